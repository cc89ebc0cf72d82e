//! A text read once, by the letter, while whoever reads it walks through its structure.

use std::borrow::Cow;

use super::scan::{self, colon, expect, space, string_end, text_of, unexpected};
use super::{JsonError, Kind, MAX_DEPTH, Span, Value, kind_of};
pub use alike::{Known, KnownModel, Model, Seen};
#[cfg(test)]
pub(super) use keys::{FEW_KEYS, SHOWN_KEY_CHARS};

mod alike;
mod keys;

/// Bytes after which what was read is looked at for UTF-8, while it is near.
const CHECKED_AT_ONCE: usize = 16 << 10;

/// Reads a text from its begin to its end. Everything is judged on the way, what is skipped no less than what is walked
/// through: nothing of a text may be used before [`Reader::finish`] has said that it is whole.
///
/// Its rules are those of [`super::object`]. It begins at the outermost value: [`Reader::skip`] reads a value,
/// [`Reader::open`] goes into it, and then [`Reader::key`] or [`Reader::element`] lead from one to the next, and out of it.
#[derive(Debug)]
pub struct Reader<'t> {
    text: &'t [u8],
    at: usize,
    next: Next,
    /// What is open, innermost last.
    open: Vec<Open>,
    /// The keys of all open objects, those of the innermost last.
    keys: Vec<Span>,
    /// Up to here the text is UTF-8.
    checked: usize,
    /// Behind that, something that was read is not ASCII where it is not 0.
    high: u32,
    /// Reused for each object.
    hashed: Vec<(u64, Span)>,
}

/// What is to be read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// A value, which begins here.
    Value,
    /// The first member or element, or the bracket that closes.
    First,
    /// A comma, or the bracket that closes.
    Behind,
}

#[derive(Debug)]
struct Open {
    object: bool,
    /// Where the object's keys begin in [`Reader::keys`].
    first_key: usize,
    /// One of them has an escape.
    escaped: bool,
    /// A bit for each of them, told by its length and the byte that it begins with.
    marks: u64,
    /// Two of them have the same bit; without that, and without escapes, no two are the same.
    alike: bool,
}

/// A key, or a text, as it stands in a text of JSON.
#[derive(Clone, Copy, Debug)]
pub struct Text<'t> {
    text: &'t [u8],
    /// Where it stands, with its quotes.
    pub span: Span,
    escaped: bool,
}

impl<'t> Text<'t> {
    /// Its bytes, where they are what it says: where it has no escape.
    #[must_use]
    #[inline(always)]
    pub fn plain(&self) -> Option<&'t [u8]> {
        let inner = self.text.get(self.span.start + 1..self.span.end.checked_sub(1)?)?;
        (!self.escaped).then_some(inner)
    }

    /// Whether it says this, unescaped.
    #[must_use]
    #[inline(always)]
    pub fn is(&self, wanted: &str) -> bool {
        match self.plain() {
            Some(plain) => plain == wanted.as_bytes(),
            None => self.is_unescaped(wanted),
        }
    }

    #[cold]
    fn is_unescaped(&self, wanted: &str) -> bool {
        self.text().is_ok_and(|text| text == wanted)
    }

    /// What it says, unescaped; borrowed where it has no escape.
    ///
    /// # Errors
    /// It is not UTF-8.
    #[inline]
    pub fn text(&self) -> Result<Cow<'t, str>, JsonError> {
        text_of(self.text, self.span, self.escaped)
    }
}

impl<'t> Reader<'t> {
    /// Begins a text that is one JSON object.
    ///
    /// # Errors
    /// It begins with something else.
    pub fn object(text: &'t [u8]) -> Result<Self, JsonError> {
        Self::new(text, b"{", "an object")
    }

    /// Begins a text that is one JSON object or one JSON array.
    ///
    /// # Errors
    /// It begins with something else.
    pub fn container(text: &'t [u8]) -> Result<Self, JsonError> {
        Self::new(text, b"{[", "an object or an array")
    }

    /// `open`: the bytes that it may begin with.
    fn new(text: &'t [u8], open: &[u8], expected: &'static str) -> Result<Self, JsonError> {
        if text.starts_with(b"\xef\xbb\xbf") {
            return Err(JsonError::ByteOrderMark { at: 0 });
        }
        let at = space(text, 0);
        let reader = Self {
            text,
            at,
            next: Next::Value,
            open: Vec::with_capacity(8),
            keys: Vec::with_capacity(16),
            checked: 0,
            high: 0,
            hashed: Vec::new(),
        };
        match text.get(at) {
            Some(byte) if open.contains(byte) => Ok(reader),
            _ => Err(reader.fault(unexpected(text, at, expected))),
        }
    }

    /// What begins here, by its first byte; read it to know that it is one.
    ///
    /// # Errors
    /// Nothing that is a value.
    #[inline]
    pub fn kind(&self) -> Result<Kind, JsonError> {
        let kind = kind_of(self.text, self.at).filter(|_| self.next == Next::Value);
        kind.ok_or_else(|| self.fault(unexpected(self.text, self.at, "a value")))
    }

    /// Reads the value that begins here, with all that stands in it.
    ///
    /// # Errors
    /// It breaks a rule.
    #[inline]
    pub fn skip(&mut self) -> Result<Value, JsonError> {
        let kind = self.kind()?;
        let start = self.at;
        let end = match kind {
            Kind::Object | Kind::Array => self.container_end(start),
            Kind::String | Kind::Number | Kind::Bool(_) | Kind::Null => scan::scalar(self.text, start, &mut self.high),
        };
        let end = end.map_err(|error| self.fault(error))?;
        (self.at, self.next) = (end, Next::Behind);
        Ok(Value { kind, span: Span { start, end } })
    }

    /// Reads the string that begins here.
    ///
    /// # Errors
    /// It is none, or it breaks a rule.
    #[inline]
    pub fn string(&mut self) -> Result<Text<'t>, JsonError> {
        let start = self.at;
        if self.kind()? != Kind::String {
            return Err(self.fault(JsonError::WrongKind { expected: "a string", at: start }));
        }
        let read = string_end(self.text, start + 1, &mut self.high);
        let (end, escaped) = read.map_err(|error| self.fault(error))?;
        (self.at, self.next) = (end, Next::Behind);
        Ok(Text { text: self.text, span: Span { start, end }, escaped })
    }

    /// Goes into the object or the array that begins here.
    ///
    /// # Errors
    /// There is none, or it is nested too deep.
    #[inline]
    pub fn open(&mut self) -> Result<(), JsonError> {
        let at = self.at;
        let object = match self.kind()? {
            Kind::Object => true,
            Kind::Array => false,
            Kind::String | Kind::Number | Kind::Bool(_) | Kind::Null => {
                return Err(self.fault(JsonError::WrongKind { expected: "an object or an array", at }));
            }
        };
        self.enter(at, object).map_err(|error| self.fault(error))?;
        (self.at, self.next) = (at + 1, Next::First);
        Ok(())
    }

    /// The next key of the innermost object that is open, whose value begins here then; `None`: the object ends, and here
    /// is behind it.
    ///
    /// # Errors
    /// Something else stands here, or the object has a key twice.
    #[inline]
    pub fn key(&mut self) -> Result<Option<Text<'t>>, JsonError> {
        self.next_key().map_err(|error| self.fault(error))
    }

    #[inline]
    fn next_key(&mut self) -> Result<Option<Text<'t>>, JsonError> {
        let text = self.text;
        let at = space(text, self.at);
        let start = match (text.get(at), self.next) {
            _ if !self.open.last().is_some_and(|open| open.object) => return Err(unexpected(text, at, "no object")),
            (Some(b'}'), Next::First | Next::Behind) => {
                self.distinct()?;
                self.close(at);
                return Ok(None);
            }
            (Some(b','), Next::Behind) => space(text, at + 1),
            (_, Next::First) => at,
            (_, Next::Behind | Next::Value) => return Err(unexpected(text, at, "`,` or `}`")),
        };
        let (value, span, escaped) = self.note_key(start)?;
        (self.at, self.next) = (value, Next::Value);
        Ok(Some(Text { text, span, escaped }))
    }

    /// Whether the innermost array that is open has another element, which begins here then; otherwise here is behind it.
    ///
    /// # Errors
    /// Something else stands here.
    #[inline]
    pub fn element(&mut self) -> Result<bool, JsonError> {
        let text = self.text;
        let at = space(text, self.at);
        let start = match (text.get(at), self.next) {
            _ if self.open.last().is_none_or(|open| open.object) => {
                return Err(self.fault(unexpected(text, at, "no array")));
            }
            (Some(b']'), Next::First | Next::Behind) => {
                self.close(at);
                return Ok(false);
            }
            (Some(b','), Next::Behind) => space(text, at + 1),
            (_, Next::First) => at,
            (_, Next::Behind | Next::Value) => return Err(self.fault(unexpected(text, at, "`,` or `]`"))),
        };
        (self.at, self.next) = (start, Next::Value);
        Ok(true)
    }

    /// Where the reader is.
    #[must_use]
    pub fn at(&self) -> usize {
        self.at
    }

    /// The text ends here: it is whole, and was judged from its first byte to its last.
    ///
    /// # Errors
    /// Something stands behind its value, some of it was not read, or it is not UTF-8.
    pub fn finish(mut self) -> Result<(), JsonError> {
        let text = self.text;
        if self.next != Next::Behind || !self.open.is_empty() {
            return Err(self.fault(JsonError::Unread { at: self.at }));
        }
        let at = space(text, self.at);
        if at < text.len() {
            return Err(self.fault(JsonError::Trailing { at }));
        }
        self.check(at).map_err(|error| self.fault(error))
    }

    /// The innermost that is open closes with the bracket at `at`.
    #[inline]
    fn close(&mut self, at: usize) {
        self.open.pop();
        (self.at, self.next) = (at + 1, Next::Behind);
    }

    /// Judges what was read up to `end`, where no character is cut.
    fn check(&mut self, end: usize) -> Result<(), JsonError> {
        let read = self.text.get(self.checked..end).unwrap_or_default();
        if self.high != 0 && simdutf8::basic::from_utf8(read).is_err() {
            return Err(JsonError::NotUtf8 { at: self.checked });
        }
        (self.checked, self.high) = (end, 0);
        Ok(())
    }

    /// What is wrong with a text: that it is not UTF-8, before anything else.
    #[cold]
    fn fault(&self, error: JsonError) -> JsonError {
        std::str::from_utf8(self.text).map_or_else(|fault| scan::not_utf8(0, fault), |_| error)
    }

    #[inline]
    fn enter(&mut self, at: usize, object: bool) -> Result<(), JsonError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(JsonError::TooDeep { at });
        }
        self.open.push(Open { object, first_key: self.keys.len(), escaped: false, marks: 0, alike: false });
        Ok(())
    }

    /// Notes the key that must begin at `start`: where its value begins, where it stands, whether it has an escape.
    #[inline]
    fn note_key(&mut self, start: usize) -> Result<(usize, Span, bool), JsonError> {
        let behind = expect(self.text, start, b'"', "a key")?;
        let (end, escaped) = string_end(self.text, behind, &mut self.high)?;
        let value = colon(self.text, end)?;
        let span = Span { start, end };
        self.keys.push(span);
        if let Some(open) = self.open.last_mut() {
            let first = self.text.get(behind).map_or(0, |byte| usize::from(*byte));
            let mark = 1 << ((end - start + first) & 63);
            open.escaped |= escaped;
            open.alike |= open.marks & mark != 0;
            open.marks |= mark;
        }
        Ok((value, span, escaped))
    }

    /// The end of the object or array that begins at `at`.
    fn container_end(&mut self, mut at: usize) -> Result<usize, JsonError> {
        let text = self.text;
        let floor = self.open.len();
        // Whether the innermost that is open is an object.
        let mut object = false;
        'value: loop {
            at = match text.get(at) {
                Some(&bracket @ (b'{' | b'[')) => {
                    object = bracket == b'{';
                    self.enter(at, object)?;
                    at = space(text, at + 1);
                    match (text.get(at), object) {
                        (Some(b'}'), true) | (Some(b']'), false) => at,
                        (_, true) => {
                            at = self.note_key(at)?.0;
                            continue 'value;
                        }
                        (_, false) => continue 'value,
                    }
                }
                _ if object => scan::scalar(text, at, &mut self.high)?,
                _ => match scan::scalars(text, at, &mut self.high)? {
                    (at, true) => at,
                    (next, false) => {
                        at = next;
                        if let Some(b'{' | b'[') = text.get(at) {
                            continue 'value;
                        }
                        scan::scalar(text, at, &mut self.high)?
                    }
                },
            };
            // `at` is behind a value, or on the bracket that closes what is empty.
            loop {
                at = space(text, at);
                match (text.get(at), object) {
                    (Some(b','), false) => {
                        at = space(text, at + 1);
                        continue 'value;
                    }
                    (Some(b','), true) => {
                        at = self.note_key(space(text, at + 1))?.0;
                        continue 'value;
                    }
                    (Some(b']'), false) => {}
                    (Some(b'}'), true) => self.distinct()?,
                    (_, false) => return Err(unexpected(text, at, "`,` or `]`")),
                    (_, true) => return Err(unexpected(text, at, "`,` or `}`")),
                }
                at += 1;
                self.open.pop();
                if at.saturating_sub(self.checked) >= CHECKED_AT_ONCE {
                    self.check(at)?;
                }
                if self.open.len() == floor {
                    return Ok(at);
                }
                object = self.open.last().is_some_and(|open| open.object);
            }
        }
    }
}
