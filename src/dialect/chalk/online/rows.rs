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

mod out;

use std::collections::HashMap;

use out::Out;

use super::answer::{Cut, Element, is_time};
use super::request::Request;
use crate::dialect::Answer;
use crate::dialect::chalk::query::{Field, Permit};
use crate::json::Span;
use crate::json::records::{Stretch, flat_end, object_end, scalar_end, space, text_end};

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
        tail: None,
        instead: Vec::new(),
        fields: HashMap::default(),
        seen: Vec::new(),
        row: 1,
        key: b"",
        alone: Vec::new(),
        out: Out::default(),
    };
    let start = rows.begin()?;
    let end = rows.elements(start)?;
    rows.end(end)
}

/// What stands before a value: `{"field":"user.age","value":`.
#[derive(Clone, Copy)]
struct Head<'a> {
    stretch: Stretch<'a>,
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
struct Tail<'a> {
    stretch: Stretch<'a>,
    /// `pkey`, unless it is missing or null.
    key: Option<&'a [u8]>,
    /// The row that it is known to be of; 0: none.
    row: usize,
    /// [`Rows::instead`] stands for it: it has a primary key that may not come back.
    changes: bool,
    blank: bool,
}

struct Rows<'a> {
    body: &'a [u8],
    permit: &'a Permit,
    request: &'a Request<'a>,
    /// Those of the last row, in their order.
    heads: Vec<Head<'a>>,
    /// Which of them may stand next.
    next: usize,
    /// That of the last element that was read here.
    tail: Option<Tail<'a>>,
    instead: Vec<u8>,
    /// The number of each field that may come back.
    fields: HashMap<&'a str, usize, foldhash::fast::RandomState>,
    /// In which row each stood last; 0: in none.
    seen: Vec<usize>,
    /// Which have no primary key, wherever they stood.
    alone: Vec<bool>,
    /// The row of what was kept last, and its `pkey`.
    row: usize,
    key: &'a [u8],
    out: Out,
}

impl<'a> Rows<'a> {
    /// Behind the bracket of `data`, which stands first.
    fn begin(&mut self) -> Option<usize> {
        if self.body.starts_with(BEGIN) {
            self.out.stay(Span { start: 0, end: BEGIN.len() });
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
        if at != start {
            self.out.flush();
        }
        loop {
            let end = self.element(at)?;
            at = match self.body.get(end..)? {
                [b',', b'{', ..] => end + 1,
                [b']', ..] => return Some(end),
                _ => {
                    // Of what is written anew, blanks are no part.
                    self.out.flush();
                    let end = space(self.body, end);
                    match self.body.get(end)? {
                        b',' => space(self.body, end + 1),
                        b']' => return Some(end),
                        _ => return None,
                    }
                }
            };
        }
    }

    /// One element; where it ends.
    #[inline]
    fn element(&mut self, at: usize) -> Option<usize> {
        let head = match self.heads.get(self.next) {
            Some(head) if head.stretch.stands_at(self.body, at) => head,
            Some(_) | None => match self.other_head(at) {
                Some(head) => head,
                None => return self.strictly(at),
            },
        };
        let (is, blank, value) = (head.is, head.blank, at + head.stretch.text.len());
        self.next += 1;
        let Some(behind) = flat_end(self.body, value) else { return self.strictly(at) };
        let stays = self.tail.as_ref().is_some_and(|tail| tail.stretch.stands_at(self.body, behind));
        if !stays {
            let Some(tail) = self.new_tail(behind) else { return self.strictly(at) };
            self.tail = Some(tail);
        }
        let tail = self.tail.as_ref()?;
        let end = behind + tail.stretch.text.len();
        let (changes, key, row) = (tail.changes, tail.key, tail.row);
        match is {
            Is::Dropped => self.out.drop(),
            Is::Rows => return self.strictly(at),
            Is::Value(_) if changes && (blank || tail.blank) => return self.strictly(at),
            Is::Value(field) => {
                let row = self.once(field, key, row)?;
                if let Some(tail) = &mut self.tail {
                    tail.row = row;
                }
                self.out.keep(self.body, Span { start: at, end: if changes { behind } else { end } });
                if changes {
                    self.out.write(&self.instead);
                }
            }
        }
        Some(end)
    }

    /// The head at `at`, which is not the next: the first of a row, or a new one. [`Rows::next`] is its place.
    #[cold]
    fn other_head(&mut self, at: usize) -> Option<&Head<'a>> {
        if self.heads.first().is_some_and(|head| head.stretch.stands_at(self.body, at)) {
            self.next = 0;
            return self.heads.first();
        }
        let body = self.body;
        let mut walk = Walk::from(body, at);
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
        let head = Head { stretch: Stretch::new(body.get(at..walk.at)?), is, blank: walk.blank };
        match self.heads.get_mut(self.next) {
            Some(other) => *other = head,
            None => {
                self.next = self.heads.len();
                self.heads.push(head);
            }
        }
        self.heads.get(self.next)
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
    fn new_tail(&mut self, start: usize) -> Option<Tail<'a>> {
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
            let span = Span { start: walk.at, end: scalar_end(body, walk.at)? };
            match (key, span.of(body)) {
                (_, b"null") | (VALID, b"true" | b"false") => {}
                (PKEY, _) => pkey = Some(span),
                (TS, text) if text.starts_with(b"\"") && is_time(text) => {}
                _ => return None,
            }
            walk.go(span.end);
        }
        let whole = Span { start, end: walk.at + 1 };
        let withheld = pkey.filter(|_| !self.permit.primary_key);
        if let Some(key) = withheld {
            self.instead.clear();
            self.instead.extend_from_slice(Span { end: key.start, ..whole }.of(body));
            self.instead.extend_from_slice(b"null");
            self.instead.extend_from_slice(Span { start: key.end, ..whole }.of(body));
        }
        let key = pkey.map(|key| key.of(body));
        Some(Tail {
            stretch: Stretch::new(whole.of(body)),
            key,
            row: 0,
            changes: withheld.is_some(),
            blank: walk.blank,
        })
    }

    /// Notes a field that is kept, with its `pkey` and the row that it is known to be of; in which it is, 0 for none.
    ///
    /// `None`: it stood there already.
    #[inline]
    fn once(&mut self, field: usize, key: Option<&'a [u8]>, row: usize) -> Option<usize> {
        let Some(key) = key else {
            let alone = self.alone.get_mut(field)?;
            return (!std::mem::replace(alone, true)).then_some(0);
        };
        if row != self.row && key != self.key {
            (self.row, self.key) = (self.row + 1, key);
        }
        let seen = self.seen.get_mut(field)?;
        (std::mem::replace(seen, self.row) != self.row).then_some(self.row)
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
        let key = key.map(|key| Span { start: there(key.start), end: there(key.end) }.of(body));
        self.once(field, key, 0)?;
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
