//! Finds and cuts spans of a JSON text without building a tree.
//!
//! [`object`] reads a whole text by the letter of RFC 8259, in one pass, and gives the members of
//! its outermost object as ranges of bytes; [`container`] takes an array, too. [`members`], [`elements`] and [`string`] then cut
//! further into a [`Value`] of it, so that what is kept of a text can be passed on byte for byte.
//! Nothing is allocated per value.
//!
//! The text is hostile: time is linear in it, times log n for n keys of one object; nesting is
//! limited to [`MAX_DEPTH`] and takes no call stack; nothing here panics, whatever [`Value`] is
//! handed back with whatever text.

use std::borrow::Cow;

pub use reader::{Known, KnownModel, Model, Reader, Seen, Text};
use scan::{colon, container_end, count_plain, expect, scalar, space, string_end, text_of, unescape, unexpected};
pub use strict::{shown, strict_object, strict_value};

/// Levels of nesting that a text may have; the outermost value is the first.
pub const MAX_DEPTH: usize = 128;

/// A half-open range of bytes of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset behind the last byte.
    pub end: usize,
}

impl Span {
    /// The bytes of the span; empty where it lies outside of `text`.
    #[must_use]
    pub fn of<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        text.get(self.start..self.end).unwrap_or_default()
    }
}

/// What a value is, told by its first byte. RFC 8259 section 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// `"…"`
    String,
    /// Of any size and precision, never read as one.
    Number,
    /// `true` or `false`
    Bool(bool),
    /// `null`
    Null,
}

/// A value of a text: its kind, and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    /// What it is.
    pub kind: Kind,
    /// Where it stands, without white space around it; a string with its quotes.
    pub span: Span,
}

/// A member of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// The key, unescaped; borrowed from the text where it has no escape.
    pub key: Cow<'a, str>,
    /// The value.
    pub value: Value,
}

/// Why a text is not read. `at` is the offset of the byte in question, from 0; `expected` is what
/// could have stood there. No variant shows more of the text than one byte or one key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the fields mean the same in all variants, and are told above")]
pub enum JsonError {
    /// RFC 8259 section 8.1.
    #[error("the json text is not utf-8 at byte {at}")]
    NotUtf8 { at: usize },
    /// RFC 8259 section 8.1: must not be sent, may be skipped; so readers differ.
    #[error("the json text has a byte order mark at byte {at}")]
    ByteOrderMark { at: usize },
    /// A byte that cannot stand where it does; escaped unless printable ASCII.
    #[error("unexpected byte `{}` at byte {at} of the json text, expected {expected}", byte.escape_ascii())]
    Unexpected { byte: u8, expected: &'static str, at: usize },
    /// The text ends too early.
    #[error("the json text ends at byte {at}, expected {expected}")]
    Unterminated { expected: &'static str, at: usize },
    /// Something other than white space behind the outermost value.
    #[error("the json text goes on behind its value at byte {at}")]
    Trailing { at: usize },
    /// More than [`MAX_DEPTH`] levels.
    #[error("the json text nests deeper than {MAX_DEPTH} levels at byte {at}")]
    TooDeep { at: usize },
    /// Two keys of an object are equal once unescaped; `at` is the later one. `key` is cut to 64
    /// characters, then escaped to ASCII.
    #[error("the key `{key}` at byte {at} of the json text stands twice in its object")]
    DuplicateKey { key: String, at: usize },
    /// A `\u` escape of half a surrogate pair: it stands for no character.
    #[error("a lone surrogate at byte {at} of the json text")]
    LoneSurrogate { at: usize },
    /// RFC 8259 section 7.
    #[error("an escape that json does not have at byte {at} of the json text")]
    Escape { at: usize },
    /// RFC 8259 section 7: U+0000 to U+001F must be escaped.
    #[error("a bare control character in a string at byte {at} of the json text")]
    Control { at: usize },
    /// RFC 8259 section 6; `at` is where the number begins.
    #[error("a number that is not spelt as in json at byte {at} of the json text")]
    Number { at: usize },
    /// Whoever reads it stopped before its end.
    #[error("the json text was not read from byte {at} on")]
    Unread { at: usize },
    /// The value is not of the kind that was asked for.
    #[error("the value at byte {at} of the json text is not {expected}")]
    WrongKind { expected: &'static str, at: usize },
}

/// Reads a text that is one JSON object, by RFC 8259 and stricter where readers differ: UTF-8
/// without byte order mark, nothing behind the object but white space, no key twice in an object
/// at any depth (compared unescaped), no lone surrogates, at most [`MAX_DEPTH`] levels.
///
/// # Errors
/// What is wrong with the text; a duplicate key is told at the end of its object.
pub fn object(text: &[u8]) -> Result<Vec<Member<'_>>, JsonError> {
    let mut reader = Reader::object(text)?;
    reader.open()?;
    let mut members = Vec::new();
    while let Some(key) = reader.key()? {
        let value = reader.skip()?;
        members.push((key, value));
    }
    reader.finish()?;
    members.into_iter().map(|(key, value)| Ok(Member { key: key.text()?, value })).collect()
}

/// [`object`], as one value of the text.
///
/// # Errors
/// As there.
pub fn whole(text: &[u8]) -> Result<Value, JsonError> {
    all_of(Reader::object(text)?)
}

/// [`whole`], of a text that is one JSON object or one JSON array: as strict, and as deep.
///
/// # Errors
/// As there.
pub fn container(text: &[u8]) -> Result<Value, JsonError> {
    all_of(Reader::container(text)?)
}

fn all_of(mut reader: Reader<'_>) -> Result<Value, JsonError> {
    let whole = reader.skip()?;
    reader.finish()?;
    Ok(whole)
}

/// The members of an object, in the order of the text. `value` comes from [`object`] or was cut
/// from what came from it, so it is not judged again: of a text that [`object`] never read, this
/// accepts more than the grammar.
///
/// # Errors
/// `value` is not an object of `text`.
pub fn members(text: &[u8], value: Value) -> Result<Vec<Member<'_>>, JsonError> {
    iter_members(text, value)?.collect()
}

/// [`members`], one at a time and without allocating but for keys with escapes.
///
/// # Errors
/// `value` is not an object of `text`.
pub fn iter_members(text: &[u8], value: Value) -> Result<Members<'_>, JsonError> {
    wants(value, Kind::Object, "an object")?;
    Items::new(text, value, b'}').map(Members)
}

/// The elements of an array, in the order of the text; not judged again, as in [`members`].
///
/// # Errors
/// `value` is not an array of `text`.
pub fn elements(text: &[u8], value: Value) -> Result<Vec<Value>, JsonError> {
    iter_elements(text, value)?.collect()
}

/// [`elements`], one at a time and without allocating.
///
/// # Errors
/// `value` is not an array of `text`.
pub fn iter_elements(text: &[u8], value: Value) -> Result<Elements<'_>, JsonError> {
    wants(value, Kind::Array, "an array")?;
    Items::new(text, value, b']').map(Elements)
}

/// The texts of an array's strings, as [`string`] gives them, one at a time; `None` for an element of another kind. Not judged
/// again, as in [`members`].
///
/// # Errors
/// `value` is not an array of `text`.
pub fn iter_strings(text: &[u8], value: Value) -> Result<Strings<'_>, JsonError> {
    let Elements(items) = iter_elements(text, value)?;
    // Of all of it at once; where that fails, each tells what is wrong with it.
    let from = items.at;
    let plain = items.text.get(from..).and_then(|inner| simdutf8::basic::from_utf8(inner).ok()).unwrap_or_default();
    Ok(Strings { items, plain, from })
}

/// How many elements an array has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// All of them.
    pub elements: usize,
    /// One is null.
    pub null: bool,
}

/// Counts the elements of an array; not judged again, as in [`members`].
///
/// # Errors
/// `value` is not an array of `text`.
pub fn count(text: &[u8], value: Value) -> Result<Counted, JsonError> {
    let elements = iter_elements(text, value)?;
    let inner = elements.0.text.get(elements.0.at..).unwrap_or_default();
    // One number, mostly.
    if (1..=20).contains(&inner.len()) && inner.iter().all(u8::is_ascii_digit) {
        return Ok(Counted { elements: 1, null: false });
    }
    if let Some(counted) = count_plain(inner) {
        return Ok(counted);
    }
    let mut counted = Counted { elements: 0, null: false };
    for element in elements {
        counted.null |= element?.kind == Kind::Null;
        counted.elements += 1;
    }
    Ok(counted)
}

/// The text of a string, unescaped; borrowed where it has no escape.
///
/// # Errors
/// `value` is not a string of `text`.
pub fn string(text: &[u8], value: Value) -> Result<Cow<'_, str>, JsonError> {
    wants(value, Kind::String, "a string")?;
    unescape(text, value.span)
}

/// Appends `s` to `out` as a JSON string, quotes included. Escaped is what RFC 8259 section 7
/// demands and nothing more: the quotation mark, the reverse solidus, U+0000 to U+001F.
pub fn write_string(out: &mut Vec<u8>, s: &str) {
    out.push(b'"');
    let bytes = s.as_bytes();
    // Most have nothing to escape.
    if !bytes.iter().any(|&byte| matches!(byte, b'"' | b'\\' | ..b' ')) {
        out.extend_from_slice(bytes);
        out.push(b'"');
        return;
    }
    let mut copied = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let escape = match byte {
            b'"' | b'\\' => byte,
            b'\x08' => b'b',
            b'\x0c' => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            ..b' ' => b'u',
            _ => continue,
        };
        out.extend_from_slice(bytes.get(copied..at).unwrap_or_default());
        out.extend_from_slice(&[b'\\', escape]);
        if escape == b'u' {
            out.extend_from_slice(format!("{byte:04x}").as_bytes());
        }
        copied = at + 1;
    }
    out.extend_from_slice(bytes.get(copied..).unwrap_or_default());
    out.push(b'"');
}

/// The members of an object, from [`iter_members`]; ends behind the first error.
#[derive(Clone, Debug)]
pub struct Members<'a>(Items<'a>);

impl<'a> Iterator for Members<'a> {
    type Item = Result<Member<'a>, JsonError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next(|text, start| {
            let (end, escaped) = string_end(text, expect(text, start, b'"', "a key")?, &mut 0)?;
            let value = skip(text, colon(text, end)?)?;
            let key = text_of(text, Span { start, end }, escaped)?;
            Ok((Member { key, value }, value.span.end))
        })
    }
}

/// The elements of an array, from [`iter_elements`]; ends behind the first error.
#[derive(Clone, Debug)]
pub struct Elements<'a>(Items<'a>);

impl Iterator for Elements<'_> {
    type Item = Result<Value, JsonError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next(|text, start| skip(text, start).map(|value| (value, value.span.end)))
    }
}

/// The texts of an array's strings, from [`iter_strings`]; ends behind the first error.
#[derive(Clone, Debug)]
pub struct Strings<'a> {
    items: Items<'a>,
    /// What stands in the array, from this offset of the text on.
    plain: &'a str,
    from: usize,
}

impl<'a> Iterator for Strings<'a> {
    type Item = Result<Option<Cow<'a, str>>, JsonError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (plain, from) = (self.plain, self.from);
        self.items.next(|text, start| {
            if text.get(start) != Some(&b'"') {
                return skip(text, start).map(|value| (None, value.span.end));
            }
            let (end, escaped) = string_end(text, start + 1, &mut 0)?;
            let inner = (start + 1).wrapping_sub(from)..(end - 1).wrapping_sub(from);
            let string = match plain.get(inner).filter(|_| !escaped) {
                Some(plain) => Cow::Borrowed(plain),
                None => text_of(text, Span { start, end }, escaped)?,
            };
            Ok((Some(string), end))
        })
    }
}

/// What stands between two brackets, with commas between.
#[derive(Clone, Debug)]
struct Items<'a> {
    /// Ends before the closing bracket.
    text: &'a [u8],
    /// Behind the opening bracket, or behind the last item.
    at: usize,
    first: bool,
}

impl<'a> Items<'a> {
    fn new(text: &'a [u8], Value { span, .. }: Value, close: u8) -> Result<Self, JsonError> {
        let at = span.start.saturating_add(1);
        match text.get(..span.end).and_then(<[u8]>::split_last) {
            Some((&last, text)) if last == close && at <= text.len() => Ok(Self { text, at, first: true }),
            _ => Err(unexpected(text, span.end.saturating_sub(1), "a closing bracket")),
        }
    }

    /// The next item; `read` makes it and its end of the text and its start.
    #[inline]
    fn next<T>(
        &mut self,
        read: impl FnOnce(&'a [u8], usize) -> Result<(T, usize), JsonError>,
    ) -> Option<Result<T, JsonError>> {
        let text = self.text;
        let at = space(text, self.at);
        if at >= text.len() {
            return None;
        }
        let first = std::mem::take(&mut self.first);
        let start = if first { Ok(at) } else { expect(text, at, b',', "a comma") };
        let item = start.and_then(|start| read(text, space(text, start)));
        self.at = item.as_ref().map_or(text.len(), |(_, end)| *end);
        Some(item.map(|(item, _)| item))
    }
}

/// The value that begins at `start`; what stands in an object or array is taken on trust.
fn skip(text: &[u8], start: usize) -> Result<Value, JsonError> {
    let end = match text.get(start) {
        Some(b'{' | b'[') => container_end(text, start)?,
        _ => scalar(text, start, &mut 0)?,
    };
    let kind = kind_of(text, start).ok_or_else(|| unexpected(text, start, "a value"))?;
    Ok(Value { kind, span: Span { start, end } })
}

/// What begins at `at`, by its first byte.
#[inline]
fn kind_of(text: &[u8], at: usize) -> Option<Kind> {
    Some(match text.get(at)? {
        b'{' => Kind::Object,
        b'[' => Kind::Array,
        b'"' => Kind::String,
        b't' => Kind::Bool(true),
        b'f' => Kind::Bool(false),
        b'n' => Kind::Null,
        b'-' | b'0'..=b'9' => Kind::Number,
        _ => return None,
    })
}

fn wants(value: Value, kind: Kind, expected: &'static str) -> Result<(), JsonError> {
    if value.kind == kind {
        return Ok(());
    }
    Err(JsonError::WrongKind { expected, at: value.span.start })
}

mod reader;
pub mod records;
mod scan;
mod strict;

#[cfg(test)]
mod tests;
