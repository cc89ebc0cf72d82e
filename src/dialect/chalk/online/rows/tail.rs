//! What stands behind the value of an element.

use super::Rows;
use super::walk::Walk;
use crate::dialect::chalk::online::answer::is_time;
use crate::json::Span;
use crate::json::records;

const PKEY: &[u8] = br#""pkey""#;
const TS: &[u8] = br#""ts""#;
const VALID: &[u8] = br#""valid""#;
/// Keys that may follow the value.
const KEYS: [&[u8]; 5] = [PKEY, TS, VALID, br#""error""#, br#""meta""#];

/// What stands behind a value, brace included.
pub(super) struct Tail<'a> {
    pub text: &'a [u8],
    /// Where its `pkey` stands in it, unless that is missing or null.
    pub key: Option<Span>,
    /// The row that it is known to be of; 0: none.
    pub row: usize,
    /// [`Rows::instead`](super::Rows) stands for it: it has a primary key that may not come back.
    pub changes: bool,
    pub blank: bool,
}

impl<'a> Rows<'a> {
    /// The tail that begins at `start`, if it is that of the element before but for the primary key.
    pub(super) fn next_tail(&mut self, start: usize) -> Option<Tail<'a>> {
        let Tail { text, key, blank, .. } = *self.tail.as_ref()?;
        let key = key?;
        let (before, behind) = (text.get(..key.start)?, text.get(key.end..)?);
        let key = self.is_at(start, before).then_some(start + before.len())?;
        let key = Span { start: key, end: self.value_end(key, records::scalar)? };
        let is_there = self.is_at(key.end, behind) && key.of(self.body) != b"null";
        is_there.then(|| self.tail(Span { start, end: key.end + behind.len() }, Some(key), blank))
    }

    /// The tail that begins at `start`, if all of it may pass but for the primary key.
    pub(super) fn new_tail(&mut self, start: usize) -> Option<Tail<'a>> {
        let body = self.body;
        let mut walk = Walk::from(body, start);
        let mut seen = [false; KEYS.len()];
        let mut pkey = None;
        while body.get(walk.at)? != &b'}' {
            walk.take(b",")?;
            let mut keys = KEYS.iter().zip(&mut seen);
            let (key, seen) = keys.find_map(|(key, seen)| walk.take(key).map(|()| (*key, seen)))?;
            if std::mem::replace(seen, true) {
                return None;
            }
            walk.take(b":")?;
            let span = Span { start: walk.at, end: self.value_end(walk.at, records::scalar)? };
            match (key, span.of(body)) {
                (_, b"null") | (VALID, b"true" | b"false") => {}
                (PKEY, _) => pkey = Some(span),
                (TS, text) if text.starts_with(b"\"") && is_time(text) => {}
                _ => return None,
            }
            walk.go(span.end);
        }
        Some(self.tail(Span { start, end: walk.at + 1 }, pkey, walk.blank))
    }

    /// The tail that stands there, with its `pkey`.
    fn tail(&mut self, whole: Span, key: Option<Span>, blank: bool) -> Tail<'a> {
        let text = whole.of(self.body);
        let from = |offset: usize| offset - whole.start;
        let key = key.map(|key| Span { start: from(key.start), end: from(key.end) });
        let withheld = key.filter(|_| !self.permit.primary_key);
        if let Some(key) = withheld {
            self.instead.clear();
            self.instead.extend_from_slice(text.get(..key.start).unwrap_or_default());
            self.instead.extend_from_slice(b"null");
            self.instead.extend_from_slice(text.get(key.end..).unwrap_or_default());
        }
        Tail { text, key, row: 0, changes: withheld.is_some(), blank }
    }
}
