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
use std::ops::Range;

use out::Out;

use super::answer::{Cut, Element, is_time};
use super::request::Request;
use crate::dialect::Answer;
use crate::dialect::chalk::query::{Field, Permit};
use crate::json::Span;
use crate::json::records::{self, LONGEST, WINDOW, behind, object_end, space};

/// How an answer begins that needs no other beginning.
const BEGIN: &[u8] = br#"{"data":["#;
/// How most end.
const END: &[u8] = br#"],"errors":[],"meta":null}"#;

const PKEY: &[u8] = br#""pkey""#;
const TS: &[u8] = br#""ts""#;
const VALID: &[u8] = br#""valid""#;
/// Keys that may follow the value.
const KEYS: [&[u8]; 5] = [PKEY, TS, VALID, br#""error""#, br#""meta""#];

/// Fields that there is room for at first.
const FEW_FIELDS: usize = 64;
/// How an element mostly begins.
const FIELD: &[u8] = br#"{"field":"#;
/// What mostly stands between its name and its value.
const VALUE: &[u8] = br#","value":"#;

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

/// What stands before a value: `{"field":"user.age","value":`.
#[derive(Clone, Copy)]
struct Head<'a> {
    text: &'a [u8],
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
    text: &'a [u8],
    /// Where its `pkey` stands in it, unless that is missing or null.
    key: Option<Span>,
    /// The row that it is known to be of; 0: none.
    row: usize,
    /// [`Rows::instead`] stands for it: it has a primary key that may not come back.
    changes: bool,
    blank: bool,
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

    /// The elements behind the one that ended at `end`, as long as they have the next heads and its tail; where the last
    /// one ends. It is the case that all speed comes from: what one of these needs that it has not is left to
    /// [`Self::element`].
    #[inline]
    fn run(&mut self, end: usize) -> Option<usize> {
        let first = std::mem::take(&mut self.first);
        let Some(Tail { text: tail, key, row, changes: false, .. }) = self.tail else { return Some(end) };
        if key.is_some() && row != self.row {
            return Some(end);
        }
        // Heads that are all of other fields than the one element before, and than each other, are none that stood in the
        // row: they are noted when it has more elements than these.
        let from = self.next;
        if first && key.is_some() && self.in_order {
            let end = match tail.len() {
                16..32 => self.run_through::<16, 16, true>(end, tail, row),
                32..48 => self.run_through::<32, 16, true>(end, tail, row),
                48..LONGEST => self.run_through::<32, 32, true>(end, tail, row),
                _ => self.run_through::<0, 0, true>(end, tail, row),
            };
            self.unmarked = from..self.next;
            end
        } else {
            // Row 0: the elements have no key.
            let row = if key.is_some() { row } else { 0 };
            self.run_through::<0, 0, false>(end, tail, row)
        }
    }

    /// [`Self::run`]: the first `N` and the last `M` bytes of the tail, which overlap, are all of it; or they are 0. `NEW`:
    /// what is kept did not stand in the row yet.
    #[inline(always)]
    fn run_through<const N: usize, const M: usize, const NEW: bool>(
        &mut self,
        end: usize,
        tail: &[u8],
        row: usize,
    ) -> Option<usize> {
        let body = self.body;
        let Some(ends) = records::Ends::<N, M>::of(tail) else { return Some(end) };
        let mut rest = body.get(end..)?;
        let mut next = self.next;
        for head in self.heads.get(next..)? {
            let Some(window) = rest.first_chunk::<WINDOW>() else { break };
            let value = 1 + head.text.len();
            if window.first() != Some(&b',') || !records::stands(window, 1, head.text) {
                break;
            }
            let mut behind = value + records::short(window, value);
            let stays = behind != value && ends.stand(window, behind);
            if !stays {
                let long = rest.get(value..)?;
                let Some(length) = records::flat(long) else { break };
                behind = value + length;
                if !rest.get(behind..).is_some_and(|rest| rest.starts_with(tail)) {
                    break;
                }
            }
            let Some(left) = rest.get(behind + tail.len()..) else { break };
            match head.is {
                Is::Dropped => self.out.drop(),
                Is::Value(field) => {
                    if !NEW {
                        let seen = self.seen.get_mut(field)?;
                        let twice = match row {
                            0 => std::mem::replace(&mut seen.alone, true),
                            _ => std::mem::replace(&mut seen.row, row) == row,
                        };
                        if twice {
                            return None;
                        }
                    }
                    self.out.keep_next(Span { start: body.len() - rest.len(), end: body.len() - left.len() });
                }
                Is::Rows => break,
            }
            rest = left;
            next += 1;
        }
        self.next = next;
        Some(body.len() - rest.len())
    }

    /// The first element of a row, behind the one that ended at `end`, if it has the first head, and the tail of the one before
    /// but for its primary key; where it ends.
    fn next_row(&mut self, end: usize) -> Option<usize> {
        let window = self.body.get(end..)?.first_chunk::<WINDOW>()?;
        let Head { text: head, is: Is::Value(field), .. } = *self.heads.first()? else { return None };
        let Tail { text: tail, key: Some(key), changes: false, .. } = *self.tail.as_ref()? else { return None };
        let value = 1 + head.len();
        if window.first() != Some(&b',') || head.len() > LONGEST || !records::stands(window, 1, head) {
            return None;
        }
        let (before, behind) = (tail.get(..key.start)?, tail.get(key.end..)?);
        let start = value + length_of(records::short(window, value))?;
        let rest = window.get(start..)?;
        if behind.len() > LONGEST || !rest.starts_with(before) {
            return None;
        }
        let key_start = start + before.len();
        let key_end = key_start + length_of(records::short(window, key_start))?;
        let key = window.get(key_start..key_end)?;
        if key == self.key || key == b"null" || !records::stands(window, key_end, behind) {
            return None;
        }
        let seen = self.seen.get_mut(field)?;
        let span = Span { start: end + 1, end: end + key_end + behind.len() };
        let text = self.body.get(end + start..span.end)?;
        let key = Span { start: key_start - start, end: key_end - start };
        let tail = self.tail.as_mut()?;
        self.row += 1;
        (tail.text, tail.key, tail.row) = (text, Some(key), self.row);
        (seen.row, self.key) = (self.row, key.of(text));
        (self.unmarked, self.next, self.first) = (0..0, 1, true);
        self.out.keep(span);
        Some(span.end)
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

    /// The head at `at`, which is not the next: the first of a row, or a new one. [`Rows::next`] is its place.
    fn other_head(&mut self, at: usize) -> Option<Head<'a>> {
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
    fn field(&mut self, name: &'a str) -> usize {
        let new = self.seen.len();
        let number = *self.fields.entry(name).or_insert(new);
        if number == new {
            self.seen.push(Seen::default());
        } else {
            self.in_order = false;
        }
        number
    }

    /// The tail that begins at `start`, if it is that of the element before but for the primary key.
    fn next_tail(&mut self, start: usize) -> Option<Tail<'a>> {
        let Tail { text, key, blank, .. } = *self.tail.as_ref()?;
        let key = key?;
        let (before, behind) = (text.get(..key.start)?, text.get(key.end..)?);
        let key = self.is_at(start, before).then_some(start + before.len())?;
        let key = Span { start: key, end: self.value_end(key, records::scalar)? };
        let is_there = self.is_at(key.end, behind) && key.of(self.body) != b"null";
        is_there.then(|| self.tail(Span { start, end: key.end + behind.len() }, Some(key), blank))
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

/// None of 0.
fn length_of(length: usize) -> Option<usize> {
    (length > 0).then_some(length)
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
