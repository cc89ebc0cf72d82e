//! What stands before the value of an element.

use super::walk::Walk;
use super::{Rows, Seen};
use crate::dialect::chalk::query::Field;
use crate::json::Span;
use crate::json::records::{self, space};

/// How an element mostly begins.
const FIELD: &[u8] = br#"{"field":"#;
/// What mostly stands between its name and its value.
const VALUE: &[u8] = br#","value":"#;

/// What stands before a value: `{"field":"user.age","value":`.
#[derive(Clone, Copy)]
pub(super) struct Head<'a> {
    pub text: &'a [u8],
    pub is: Is,
    /// It has blanks, which what is written anew has not.
    pub blank: bool,
}

#[derive(Clone, Copy)]
pub(super) enum Is {
    /// Not permitted.
    Dropped,
    /// A value that may come back, with the number of its field.
    Value(usize),
    /// One of which parts may.
    Rows,
}

impl<'a> Rows<'a> {
    /// The head at `at`, which is not the next: the first of a row, or a new one. [`Rows::next`] is its place.
    pub(super) fn other_head(&mut self, at: usize) -> Option<Head<'a>> {
        if let Some(first) = self.heads.first()
            && self.is_at(at, first.text)
        {
            self.next = 0;
            return Some(*first);
        }
        let (name, value, blank) = self.plain_head(at).or_else(|| self.blank_head(at))?;
        let name = self.body.get(name.start + 1..name.end - 1)?;
        let is = match self.permit.fields.get_key_value(std::str::from_utf8(name).ok()?) {
            None => Is::Dropped,
            Some((name, Field::Value)) => Is::Value(self.field(name)),
            Some((_, Field::Rows(_))) => Is::Rows,
        };
        let head = Head { text: self.body.get(at..value)?, is, blank };
        if self.next < self.heads.len() {
            self.mark();
            self.in_order = false;
        }
        match self.heads.get_mut(self.next) {
            Some(other) => *other = head,
            None => {
                self.next = self.heads.len();
                self.heads.push(head);
            }
        }
        Some(head)
    }

    /// Of the head at `at`, if it has no blanks: where its name stands, where the value begins, and that.
    #[inline]
    fn plain_head(&mut self, at: usize) -> Option<(Span, usize, bool)> {
        let start = self.body.get(at..)?.starts_with(FIELD).then_some(at + FIELD.len())?;
        let end = self.value_end(start, records::name)?;
        let value = self.body.get(end..)?.starts_with(VALUE).then_some(end + VALUE.len())?;
        (space(self.body, value) == value).then_some((Span { start, end }, value, false))
    }

    /// The same of any.
    #[cold]
    fn blank_head(&mut self, at: usize) -> Option<(Span, usize, bool)> {
        let mut walk = Walk::from(self.body, at);
        walk.all([b"{", br#""field""#, b":"])?;
        let name = Span { start: walk.at, end: self.value_end(walk.at, records::name)? };
        walk.go(name.end);
        walk.all([b",", br#""value""#, b":"])?;
        Some((name, walk.at, walk.blank))
    }

    /// The number of a field.
    pub(super) fn field(&mut self, name: &'a str) -> usize {
        let new = self.seen.len();
        let number = *self.fields.entry(name).or_insert(new);
        if number == new {
            self.seen.push(Seen::default());
        } else {
            self.in_order = false;
        }
        number
    }
}
