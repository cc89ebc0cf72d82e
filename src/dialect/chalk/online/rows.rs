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

mod head;
mod out;
mod run;
mod tail;
mod walk;

use std::collections::HashMap;
use std::ops::Range;

use head::{Head, Is};
use out::Out;
use tail::Tail;
use walk::Walk;

use super::answer::{Cut, Element};
use super::request::Request;
use crate::dialect::Answer;
use crate::dialect::chalk::query::Permit;
use crate::json::Span;
use crate::json::records::{self, behind, object_end, space};

/// How an answer begins that needs no other beginning.
const BEGIN: &[u8] = br#"{"data":["#;
/// How most end.
const END: &[u8] = br#"],"errors":[],"meta":null}"#;

/// Fields that there is room for at first.
const FEW_FIELDS: usize = 64;

/// What the strict way makes of the answer; `None`: it has to be asked.
pub(super) fn filter(body: &[u8], permit: &Permit, request: &Request<'_>) -> Option<Answer> {
    let fields = permit.fields.len().min(FEW_FIELDS);
    let mut rows = Rows {
        body,
        permit,
        request,
        heads: Vec::with_capacity(fields),
        next: 0,
        tail: None,
        instead: Vec::new(),
        fields: HashMap::with_capacity_and_hasher(fields, foldhash::fast::RandomState::default()),
        seen: Vec::with_capacity(fields),
        row: 1,
        key: b"",
        first: false,
        in_order: true,
        unmarked: 0..0,
        out: Out::new(body),
    };
    let start = rows.begin()?;
    let end = rows.elements(start)?;
    rows.end(end)
}

/// Where a field stood.
#[derive(Default)]
struct Seen {
    /// In which row last; 0: in none.
    row: usize,
    /// Without a primary key.
    alone: bool,
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
    /// Where each stood.
    seen: Vec<Seen>,
    /// The row of what was kept last, and its `pkey`.
    row: usize,
    key: &'a [u8],
    /// All of that row is the element before, which has the head before the next.
    first: bool,
    /// Each head was the first one of its field, and none took another's place: no two are of one field.
    in_order: bool,
    /// Which heads stood in that row, without its being noted in `seen`.
    unmarked: Range<usize>,
    out: Out<'a>,
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
            let mut end = self.run(end)?;
            while let Some(first) = self.next_row(end) {
                end = self.run(first)?;
            }
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

    /// Notes what is not noted yet.
    fn mark(&mut self) {
        let heads = self.heads.get(std::mem::take(&mut self.unmarked)).unwrap_or_default();
        for head in heads {
            if let Is::Value(field) = head.is
                && let Some(seen) = self.seen.get_mut(field)
            {
                seen.row = self.row;
            }
        }
    }

    /// One element; where it ends.
    #[inline]
    fn element(&mut self, at: usize) -> Option<usize> {
        let Head { text, is, blank } = match self.heads.get(self.next) {
            Some(head) if self.is_at(at, head.text) => *head,
            Some(_) | None => match self.other_head(at) {
                Some(head) => head,
                None => return self.strictly(at),
            },
        };
        self.next += 1;
        let Some(behind) = self.value_end(at + text.len(), records::flat) else { return self.strictly(at) };
        let stays = self.tail.as_ref().is_some_and(|tail| self.is_at(behind, tail.text));
        if !stays {
            let Some(tail) = self.next_tail(behind).or_else(|| self.new_tail(behind)) else { return self.strictly(at) };
            self.tail = Some(tail);
        }
        let Tail { text, key, row, changes, blank: tail_blank } = *self.tail.as_ref()?;
        let end = behind + text.len();
        match is {
            Is::Dropped => self.out.drop(),
            Is::Rows => return self.strictly(at),
            Is::Value(_) if changes && (blank || tail_blank) => return self.strictly(at),
            Is::Value(field) => {
                let before = self.row;
                let now = self.once(field, key.map(|key| key.of(text)), row)?;
                self.first = self.row != before;
                if now != row
                    && let Some(tail) = &mut self.tail
                {
                    tail.row = now;
                }
                self.out.keep(Span { start: at, end: if changes { behind } else { end } });
                if changes {
                    self.out.write(&self.instead);
                }
            }
        }
        Some(end)
    }

    /// Whether this stands there.
    #[inline]
    fn is_at(&self, at: usize, stretch: &[u8]) -> bool {
        self.body.get(at..).and_then(|rest| behind(rest, stretch)).is_some()
    }

    /// Where a value ends that begins there; `length` knows its kind.
    #[inline]
    fn value_end(&self, at: usize, length: impl Fn(&[u8]) -> Option<usize>) -> Option<usize> {
        Some(at + length(self.body.get(at..)?)?)
    }

    /// Notes a field that is kept, with its `pkey` and the row that it is known to be of; in which it is, 0 for none.
    ///
    /// `None`: it stood there already.
    #[inline]
    fn once(&mut self, field: usize, key: Option<&'a [u8]>, row: usize) -> Option<usize> {
        let Some(key) = key else {
            let seen = self.seen.get_mut(field)?;
            return (!std::mem::replace(&mut seen.alone, true)).then_some(0);
        };
        if row != self.row && key != self.key {
            (self.row, self.key) = (self.row + 1, key);
            self.unmarked = 0..0;
        } else {
            self.mark();
        }
        let seen = self.seen.get_mut(field)?;
        (std::mem::replace(&mut seen.row, self.row) != self.row).then_some(self.row)
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
            self.out.keep(Span { start: at, end });
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
