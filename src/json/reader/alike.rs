//! Values that are like the one before: compared with it, where it was judged.

use super::{CHECKED_AT_ONCE, Next, Reader};
use crate::json::{JsonError, Kind, Span, Value, kind_of, scan};

/// Bytes of a list that is not looked through for a second element.
const LONG: usize = 64;

/// What stands around a list in a value that a [`Reader`] read, and goes for that one alone: whatever else is in it, and all that it begins and ends with.
///
/// ```text
/// {"values":[  1,2  ],"statuses":["PRESENT","PRESENT"]}
/// the head          the tail
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Model<'t> {
    head: &'t [u8],
    tail: &'t [u8],
    /// How many are open around it.
    depth: usize,
    /// The list has one element, or none.
    single: bool,
}

/// A value that a [`Reader`] read, and goes for that one alone.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'t> {
    text: &'t [u8],
    kind: Kind,
    depth: usize,
}

/// A [`Model`] for readers of other texts.
#[derive(Clone, Debug)]
pub struct KnownModel {
    head: Box<[u8]>,
    tail: Box<[u8]>,
    depth: usize,
    single: bool,
}

impl KnownModel {
    /// The same.
    #[must_use]
    pub fn model(&self) -> Model<'_> {
        let Self { head, tail, depth, single } = self;
        Model { head, tail, depth: *depth, single: *single }
    }
}

impl Model<'_> {
    /// Bytes of it.
    #[must_use]
    pub fn length(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// The same, for readers of other texts; its own reader must have [finished](Reader::finish).
    #[must_use]
    pub fn known(&self) -> KnownModel {
        let Self { head, tail, depth, single } = *self;
        KnownModel { head: head.into(), tail: tail.into(), depth, single }
    }
}

/// A value that a [`Reader`] read, for readers of other texts.
#[derive(Clone, Debug)]
pub struct Known {
    text: Box<[u8]>,
    kind: Kind,
    depth: usize,
}

impl Known {
    /// Its bytes.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.text
    }
}

impl<'t> Seen<'t> {
    /// Its bytes.
    #[must_use]
    pub fn text(&self) -> &'t [u8] {
        self.text
    }

    /// The same, for readers of other texts; its own reader must have [finished](Reader::finish).
    #[must_use]
    pub fn known(&self) -> Known {
        Known { text: self.text.into(), kind: self.kind, depth: self.depth }
    }
}

impl<'t> Reader<'t> {
    /// The object or array that was just read, which began at `start`; `None`: it is another value.
    #[must_use]
    pub fn seen(&self, start: usize) -> Option<Seen<'t>> {
        let text = self.text.get(start..self.at).filter(|_| self.next == Next::Behind)?;
        let kind = kind_of(self.text, start).filter(|kind| matches!(kind, Kind::Object | Kind::Array))?;
        Some(Seen { text, kind, depth: self.open.len() })
    }

    /// [`Reader::skip`], if the value that begins here is a known one, byte for byte: it was judged where it was read, and is
    /// compared and no more. Otherwise nothing is read.
    #[inline]
    pub fn skip_known(&mut self, known: &Known) -> Option<Value> {
        let start = self.at;
        if self.next != Next::Value || self.open.len() != known.depth || !stands_at(self.text, start, &known.text) {
            return None;
        }
        let end = start + known.text.len();
        (self.at, self.next) = (end, Next::Behind);
        Some(Value { kind: known.kind, span: Span { start, end } })
    }

    /// [`Reader::skip`]. If it is `before` once more, byte for byte, it was judged there, and is compared and no more;
    /// `before` is this one then.
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn skip_again(&mut self, before: &mut Option<Seen<'t>>) -> Result<Value, JsonError> {
        let (start, depth) = (self.at, self.open.len());
        if let Some(seen) = before
            && seen.depth == depth
            && self.next == Next::Value
            && stands_at(self.text, start, seen.text)
        {
            let end = start + seen.text.len();
            (self.at, self.next) = (end, Next::Behind);
            return Ok(Value { kind: seen.kind, span: Span { start, end } });
        }
        let value = self.skip()?;
        // Others do not say themselves where they end.
        if let Kind::Object | Kind::Array = value.kind {
            *before = Some(Seen { text: value.span.of(self.text), kind: value.kind, depth });
        }
        Ok(value)
    }

    /// What stands around `list` in the value that was just read, which began at `start`; `None`: it is no list of it.
    #[must_use]
    pub fn model(&self, start: usize, list: Value) -> Option<Model<'t>> {
        let (inner, close) = (list.span.start + 1, list.span.end.checked_sub(1)?);
        let (head, tail) = (self.text.get(start..inner)?, self.text.get(close..self.at)?);
        let is_list = list.kind == Kind::Array && self.next == Next::Behind;
        // It is no matter whether that is right.
        let single = self.text.get(inner..close).is_some_and(|list| list.len() < LONG && !list.contains(&b','));
        is_list.then_some(Model { head, tail, depth: self.open.len(), single })
    }

    /// [`Reader::skip`], if the value that begins here is one like the model, with other texts, numbers and literals in the
    /// list: the rest stands there byte for byte, was judged there, and is compared and no more. Otherwise nothing is read.
    ///
    /// Time is linear in what is read then and what is read instead: where a value is another one, it differs from the model
    /// before it ends.
    #[inline]
    pub fn skip_like(&mut self, model: &Model<'t>) -> Option<Value> {
        let start = self.at;
        if self.next != Next::Value || self.open.len() != model.depth || !stands_at(self.text, start, model.head) {
            return None;
        }
        let first = start + model.head.len();
        let mut high = 0;
        let alone = if model.single { scan::scalar(self.text, first, &mut high).ok() } else { None };
        if let Some(behind) = alone.filter(|behind| stands_at(self.text, *behind, model.tail)) {
            return self.skipped_like(model, first, behind, high);
        }
        let behind = match scan::scalars(self.text, first, &mut high) {
            Ok((behind, true)) => behind,
            // The list is empty.
            Ok((at, false)) if at == first && self.text.get(at) == Some(&b']') => at,
            // The last one, or something else.
            Ok((at, false)) => scan::scalar(self.text, at, &mut high).ok()?,
            Err(_) => return None,
        };
        if !stands_at(self.text, behind, model.tail) {
            return None;
        }
        self.skipped_like(model, first, behind, high)
    }

    /// What is in the list, from `first` to `behind`, was judged but for UTF-8.
    #[inline(always)]
    fn skipped_like(&mut self, model: &Model<'t>, first: usize, behind: usize, high: u32) -> Option<Value> {
        let start = self.at;
        // The rest is UTF-8 where it was judged; most of an answer is the rest.
        if high != 0 && simdutf8::basic::from_utf8(self.text.get(first..behind)?).is_err() {
            return None;
        }
        let end = behind + model.tail.len();
        if end.saturating_sub(self.checked) >= CHECKED_AT_ONCE {
            self.check(end).ok()?;
        }
        (self.at, self.next) = (end, Next::Behind);
        Some(Value { kind: kind_of(self.text, start)?, span: Span { start, end } })
    }
}

#[inline]
fn stands_at(text: &[u8], at: usize, wanted: &[u8]) -> bool {
    text.get(at..).is_some_and(|rest| rest.starts_with(wanted))
}
