//! The answer in one pass, where its elements are alike: what leads to a value, and what follows it, mostly stood once before.
//!
//! ```text
//! {"field":"user.age","value":  41  ,"pkey":"1","ts":"2026-01-01T00:00:00Z"}
//! the head                  the value  the tail
//! ```
//!
//! A head that stood at the same place of the last row, and a tail that the element before had, were judged there, and so was
//! that their keys differ. All else goes to the strict way of [`answer`](super::answer): an element of another form by itself,
//! what stands around `data` by itself, and the answer as a whole where anything is wrong, so that it says what.

use std::collections::HashMap;

use super::answer::{Cut, Element, is_time};
use super::request::Request;
use crate::dialect::chalk::query::{Field, Permit};
use crate::dialect::{Answer, Pieces};
use crate::json::Span;
use crate::json::records::{flat_end, object_end, scalar_end, space, stands_at, text_end};

/// How an answer begins that needs no other beginning.
const BEGIN: &[u8] = br#"{"data":["#;
/// How most end.
const END: &[u8] = br#"],"errors":[],"meta":null}"#;

const PKEY: &[u8] = br#""pkey""#;
const TS: &[u8] = br#""ts""#;
const VALID: &[u8] = br#""valid""#;
/// Keys that may follow the value.
const KEYS: [&[u8]; 5] = [PKEY, TS, VALID, br#""error""#, br#""meta""#];

/// What the strict way makes of the answer; `None`: it has to be asked.
pub(super) fn filter(body: &[u8], permit: &Permit, request: &Request<'_>) -> Option<Answer> {
    let mut rows = Rows {
        body,
        permit,
        request,
        heads: Vec::new(),
        next: 0,
        tail: Tail::default(),
        instead: Vec::new(),
        fields: HashMap::default(),
        seen: Vec::new(),
        row: 0,
        key: Span { start: 0, end: 0 },
        alone: Vec::new(),
        out: Out::default(),
    };
    let start = rows.begin()?;
    let end = rows.elements(start)?;
    rows.end(end)
}

/// What stands before a value: `{"field":"user.age","value":`.
#[derive(Clone, Copy)]
struct Head {
    start: usize,
    length: usize,
    is: Is,
    /// It has blanks, which what is written anew has not.
    blank: bool,
}

#[derive(Clone, Copy)]
enum Is {
    /// Not permitted.
    Dropped,
    /// A value that may come back, with the number of its field.
    Value(usize),
    /// One of which parts may.
    Rows,
}

/// What stands behind a value, brace included.
#[derive(Clone, Copy, Default)]
struct Tail {
    start: usize,
    length: usize,
    /// `pkey`, unless it is missing or null.
    key: Option<Span>,
    /// The row that it is known to be of.
    row: Option<usize>,
    /// [`Rows::instead`] stands for it: it has a primary key that may not come back.
    changes: bool,
    blank: bool,
}

/// What is kept of the answer.
#[derive(Default)]
struct Out {
    pieces: Pieces,
    /// It is another answer than the one that came.
    changed: bool,
    dropped: usize,
    /// Elements that are kept.
    kept: usize,
    /// What stays as it is, up to where it was read, and is in no piece yet.
    pending: Option<Span>,
}

/// Goes from token to token.
struct Walk<'a> {
    body: &'a [u8],
    /// Never on a blank.
    at: usize,
    /// There were blanks.
    blank: bool,
}

impl<'a> Walk<'a> {
    fn from(body: &'a [u8], at: usize) -> Self {
        let mut walk = Self { body, at, blank: false };
        walk.go(at);
        walk
    }

    /// Goes to what is at or behind this.
    fn go(&mut self, to: usize) {
        self.at = space(self.body, to);
        self.blank |= self.at != to;
    }

    fn take(&mut self, token: &[u8]) -> Option<()> {
        let is_there = self.body.get(self.at..)?.starts_with(token);
        is_there.then(|| self.go(self.at + token.len()))
    }

    fn all<const N: usize>(&mut self, tokens: [&[u8]; N]) -> Option<()> {
        tokens.iter().try_for_each(|token| self.take(token))
    }
}

impl Out {
    /// Keeps an element as it stands.
    #[inline]
    fn keep(&mut self, body: &[u8], element: Span) {
        let first = self.kept == 0;
        self.kept += 1;
        match &mut self.pending {
            // Between two that are kept a comma stands, if nothing else does.
            Some(pending) if pending.end + usize::from(!first) == element.start => pending.end = element.end,
            Some(_) | None => self.keep_apart(body, element, first),
        }
    }

    /// Behind one that is not kept, or blanks.
    fn keep_apart(&mut self, body: &[u8], Span { start, end }: Span, first: bool) {
        self.flush();
        let comma = Span { start: start.saturating_sub(1), end };
        self.pending = Some(match comma.of(body).first() {
            Some(b',') if !first => comma,
            _ if first => Span { start, end },
            _ => {
                self.pieces.write(b",");
                Span { start, end }
            }
        });
    }

    /// An element that is another than the one that came.
    fn write_element(&mut self, element: &[u8]) {
        self.flush();
        if self.kept > 0 {
            self.pieces.write(b",");
        }
        self.kept += 1;
        self.write(element);
    }

    fn write(&mut self, text: &[u8]) {
        self.flush();
        self.changed = true;
        self.pieces.write(text);
    }

    /// Keeps what stands there, whether it is an element or not.
    fn stay(&mut self, span: Span) {
        match &mut self.pending {
            Some(pending) if pending.end == span.start => pending.end = span.end,
            Some(_) | None => {
                self.flush();
                self.pending = Some(span);
            }
        }
    }

    fn drop(&mut self) {
        self.changed = true;
        self.dropped += 1;
    }

    fn flush(&mut self) {
        if let Some(pending) = self.pending.take() {
            self.pieces.keep(pending);
        }
    }
}

struct Rows<'a> {
    body: &'a [u8],
    permit: &'a Permit,
    request: &'a Request<'a>,
    /// Those of the last row, in their order.
    heads: Vec<Head>,
    /// Which of them may stand next.
    next: usize,
    /// That of the last element that was read here.
    tail: Tail,
    instead: Vec<u8>,
    /// The number of each field that may come back.
    fields: HashMap<&'a str, usize, foldhash::fast::RandomState>,
    /// In which row each stood last.
    seen: Vec<usize>,
    /// Which have no primary key, wherever they stood.
    alone: Vec<bool>,
    /// The row of what was kept last, from 1, and its `pkey`.
    row: usize,
    key: Span,
    out: Out,
}

impl<'a> Rows<'a> {
    /// Behind the bracket of `data`, which stands first.
    fn begin(&mut self) -> Option<usize> {
        if self.body.starts_with(BEGIN) {
            self.out.pending = Some(Span { start: 0, end: BEGIN.len() });
            return Some(BEGIN.len());
        }
        self.out.pieces.write(BEGIN);
        let mut walk = Walk::from(self.body, 0);
        walk.all([b"{", br#""data""#, b":", b"["])?;
        Some(walk.at)
    }

    /// The bracket behind the elements.
    fn elements(&mut self, start: usize) -> Option<usize> {
        let mut at = space(self.body, start);
        if self.body.get(at) == Some(&b']') {
            return Some(at);
        }
        loop {
            at = space(self.body, self.element(at)?);
            match self.body.get(at)? {
                b',' => at = space(self.body, at + 1),
                b']' => return Some(at),
                _ => return None,
            }
        }
    }

    /// One element; where it ends.
    #[inline]
    fn element(&mut self, at: usize) -> Option<usize> {
        let Some(head) = self.head(at) else { return self.strictly(at) };
        let value = at + head.length;
        let Some(behind) = flat_end(self.body, value) else { return self.strictly(at) };
        let mut tail = self.tail;
        if tail.length == 0 || !stands_at(self.body, tail.start, tail.length, behind) {
            let Some(new) = self.new_tail(behind) else { return self.strictly(at) };
            (tail, self.tail) = (new, new);
        }
        let end = behind + tail.length;
        match head.is {
            Is::Dropped => self.out.drop(),
            Is::Rows => return self.strictly(at),
            Is::Value(_) if tail.changes && (head.blank || tail.blank) => return self.strictly(at),
            Is::Value(field) => {
                self.once(field, tail.key, tail.row)?;
                self.tail.row = tail.key.map(|_| self.row);
                self.out.keep(self.body, Span { start: at, end: if tail.changes { behind } else { end } });
                if tail.changes {
                    self.out.write(&self.instead);
                }
            }
        }
        Some(end)
    }

    /// The head that begins at `at`.
    #[inline]
    fn head(&mut self, at: usize) -> Option<Head> {
        for next in [self.next, 0] {
            if let Some(head) = self.heads.get(next)
                && stands_at(self.body, head.start, head.length, at)
            {
                self.next = next + 1;
                return Some(*head);
            }
        }
        self.new_head(at)
    }

    /// One that did not stand where it was looked for.
    #[cold]
    fn new_head(&mut self, start: usize) -> Option<Head> {
        let body = self.body;
        let mut walk = Walk::from(body, start);
        walk.all([b"{", br#""field""#, b":"])?;
        let (name, end) = (walk.at + 1, text_end(body, walk.at)?);
        walk.go(end);
        walk.all([b",", br#""value""#, b":"])?;
        let name = std::str::from_utf8(body.get(name..end - 1)?).ok()?;
        if name.contains('\\') {
            return None;
        }
        let is = match self.permit.fields.get_key_value(name) {
            None => Is::Dropped,
            Some((name, Field::Value)) => Is::Value(self.field(name)),
            Some((_, Field::Rows(_))) => Is::Rows,
        };
        let head = Head { start, length: walk.at - start, is, blank: walk.blank };
        match self.heads.get_mut(self.next) {
            Some(other) => *other = head,
            None => self.heads.push(head),
        }
        self.next += 1;
        Some(head)
    }

    /// The number of a field.
    fn field(&mut self, name: &'a str) -> usize {
        let new = self.seen.len();
        let number = *self.fields.entry(name).or_insert(new);
        if number == new {
            self.seen.push(0);
            self.alone.push(false);
        }
        number
    }

    /// The tail that begins at `start`, if all of it may pass but for the primary key.
    fn new_tail(&mut self, start: usize) -> Option<Tail> {
        let mut tail = Tail { start, ..Tail::default() };
        let mut walk = Walk::from(self.body, start);
        let mut seen = [false; KEYS.len()];
        while self.body.get(walk.at)? != &b'}' {
            walk.take(b",")?;
            let mut keys = KEYS.iter().zip(&mut seen);
            let (key, seen) = keys.find_map(|(key, seen)| walk.take(key).map(|()| (*key, seen)))?;
            if std::mem::replace(seen, true) {
                return None;
            }
            walk.take(b":")?;
            let span = Span { start: walk.at, end: scalar_end(self.body, walk.at)? };
            match (key, span.of(self.body)) {
                (_, b"null") | (VALID, b"true" | b"false") => {}
                (PKEY, _) => tail.key = Some(span),
                (TS, text) if text.starts_with(b"\"") && is_time(text) => {}
                _ => return None,
            }
            walk.go(span.end);
        }
        let end = walk.at + 1;
        (tail.length, tail.blank) = (end - start, walk.blank);
        if let Some(key) = tail.key.filter(|_| !self.permit.primary_key) {
            tail.changes = true;
            self.instead.clear();
            self.instead.extend_from_slice(Span { start, end: key.start }.of(self.body));
            self.instead.extend_from_slice(b"null");
            self.instead.extend_from_slice(Span { start: key.end, end }.of(self.body));
        }
        Some(tail)
    }

    /// Notes a field that is kept, with its `pkey` and the row that it is known to be of. `None`: it stood in this row already.
    #[inline]
    fn once(&mut self, field: usize, key: Option<Span>, row: Option<usize>) -> Option<()> {
        let Some(key) = key else {
            let alone = self.alone.get_mut(field)?;
            return (!std::mem::replace(alone, true)).then_some(());
        };
        if row != Some(self.row) && key.of(self.body) != self.key.of(self.body) {
            (self.row, self.key) = (self.row + 1, key);
        }
        let seen = self.seen.get_mut(field)?;
        (std::mem::replace(seen, self.row) != self.row).then_some(())
    }

    /// An element in the strict way: by itself, as deep as it stands.
    #[cold]
    fn strictly(&mut self, at: usize) -> Option<usize> {
        let body = self.body;
        let end = object_end(body, at)?;
        let text = [BEGIN, body.get(at..end)?, b"]}"].concat();
        let mut cut = Cut::new(&text, self.permit);
        let Element { name, key } = match cut.only(self.request).ok()? {
            Some(element) => element,
            None => {
                self.out.drop();
                return Some(end);
            }
        };
        let (name, _) = self.permit.fields.get_key_value(&*name)?;
        let field = self.field(name);
        // From where it stands in `text` to where it stands in the answer.
        let there = |offset: usize| offset + at - BEGIN.len();
        let key = key.map(|key| Span { start: there(key.start), end: there(key.end) });
        self.once(field, key, None)?;
        if cut.changed {
            self.out.dropped += cut.dropped;
            self.out.write_element(&cut.out);
        } else {
            self.out.keep(body, Span { start: at, end });
        }
        Some(end)
    }

    /// What stands from the bracket behind the elements on.
    fn end(mut self, at: usize) -> Option<Answer> {
        let rest = self.body.get(at..)?;
        let whole = Span { start: at, end: self.body.len() };
        if rest == END {
            self.out.stay(whole);
        } else {
            let text = [BEGIN, rest].concat();
            let cut = super::answer::cut(&text, self.permit, self.request).ok()?;
            let anew = cut.out.get(BEGIN.len()..)?;
            self.out.changed |= cut.changed;
            if anew == rest {
                self.out.stay(whole);
            } else {
                self.out.flush();
                self.out.pieces.write(anew);
            }
        }
        if !self.out.changed {
            return Some(Answer::AsItCame);
        }
        self.out.flush();
        Some(Answer::Cut { body: self.out.pieces, dropped: self.out.dropped })
    }
}
