//! Finds and cuts spans of a JSON text without building a tree.
//!
//! [`object`] reads a whole text by the letter of RFC 8259, in one pass, and gives the members of its outermost
//! object as byte ranges. [`members`], [`elements`] and [`string`] then cut further into a [`Value`] of it, so that
//! what is kept of a text can be passed on byte for byte. Nothing is allocated per value.
//!
//! The text is hostile: time is O(n) for text, O(n log n) for the keys of one object, nesting is limited to
//! [`MAX_DEPTH`] and takes no call stack, and nothing here panics, whatever [`Value`] is handed back with whatever
//! text.

use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};
use std::str::Utf8Error;

/// Levels of nesting that a text may have; the outermost object is the first.
pub const MAX_DEPTH: usize = 128;

/// Up to this many keys of an object are compared each with each; more of them are sorted by a keyed hash.
const FEW_KEYS: usize = 16;

/// Characters of a key that an error shows.
const SHOWN_KEY_CHARS: usize = 64;

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

/// What a value is, told by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Object,
    Array,
    String,
    Number,
    Bool(bool),
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

/// Why a text is not read. `at` is the offset of the byte in question, from 0; no variant shows more of the text than
/// one byte or a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// RFC 8259 section 8.1.
    #[error("the json text is not utf-8 at byte {at}")]
    NotUtf8 { at: usize },
    /// RFC 8259 section 8.1 forbids to send one; a reader that skips it sees another text than one that does not.
    #[error("a byte order mark at byte {at} of the json text")]
    ByteOrderMark { at: usize },
    /// A byte that cannot stand where it does.
    #[error("unexpected byte `{}` at byte {at} of the json text, expected {expected}", byte.escape_ascii())]
    Unexpected { byte: u8, expected: &'static str, at: usize },
    /// The text ends within the object.
    #[error("the json text ends at byte {at}, expected {expected}")]
    Unterminated { expected: &'static str, at: usize },
    /// Something other than white space behind the object.
    #[error("the json text goes on at byte {at} behind its object")]
    Trailing { at: usize },
    /// More than [`MAX_DEPTH`] levels.
    #[error("the json text nests deeper than {MAX_DEPTH} levels at byte {at}")]
    TooDeep { at: usize },
    /// Two keys of an object are equal once unescaped. `key` is cut to 64 characters, then escaped to ASCII.
    #[error("the key `{key}` at byte {at} of the json text stands twice in its object")]
    DuplicateKey { key: String, at: usize },
    /// A `\u` escape of half a surrogate pair: it stands for no character.
    #[error("a lone surrogate at byte {at} of the json text")]
    LoneSurrogate { at: usize },
    /// RFC 8259 section 7.
    #[error("an escape at byte {at} of the json text that json does not have")]
    Escape { at: usize },
    /// RFC 8259 section 7: U+0000 to U+001F must be escaped.
    #[error("a bare control character at byte {at} in a string of the json text")]
    Control { at: usize },
    /// RFC 8259 section 6.
    #[error("a number at byte {at} of the json text that is not spelt as json has it")]
    Number { at: usize },
    /// The value asked for is not of the kind that was asked for.
    #[error("the value at byte {at} of the json text is not {expected}")]
    WrongKind { expected: &'static str, at: usize },
}

/// Reads a text that is one JSON object, by RFC 8259 and stricter where readers differ: UTF-8 without byte order mark,
/// nothing behind the object but white space, no key twice in an object at any depth (compared unescaped), no lone
/// surrogates, at most [`MAX_DEPTH`] levels. Numbers may have any size and precision.
///
/// # Errors
/// The first fault of the text; of a duplicate key it is told when its object ends.
pub fn object(text: &[u8]) -> Result<Vec<Member<'_>>, JsonError> {
    if text.starts_with(b"\xef\xbb\xbf") {
        return Err(JsonError::ByteOrderMark { at: 0 });
    }
    std::str::from_utf8(text).map_err(|error| not_utf8(0, error))?;
    let start = space(text, 0);
    expect(text, start, b'{', "an object")?;
    let mut reader = Reader { text, ..Reader::default() };
    let end = space(text, reader.value(start)?);
    if end < text.len() {
        return Err(JsonError::Trailing { at: end });
    }
    Ok(reader.outermost)
}

/// The members of an object, in the order of the text. `value` comes from [`object`] and its like, so this only cuts:
/// of a text that was not read before, it may accept more than the grammar.
///
/// # Errors
/// `value` is not an object of `text`.
pub fn members<'a>(text: &'a [u8], value: Value) -> Result<Vec<Member<'a>>, JsonError> {
    iter_members(text, value)?.collect()
}

/// [`members`], one at a time and without allocating but for escaped keys.
///
/// # Errors
/// `value` is not an object of `text`.
pub fn iter_members(text: &[u8], value: Value) -> Result<Members<'_>, JsonError> {
    wants(value, Kind::Object, "an object")?;
    Items::new(text, value, b'}').map(Members)
}

/// The elements of an array, in the order of the text. As [`members`], this only cuts.
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

/// The text of a string, unescaped; borrowed where it has no escape.
///
/// # Errors
/// `value` is not a string of `text`.
pub fn string(text: &[u8], value: Value) -> Result<Cow<'_, str>, JsonError> {
    wants(value, Kind::String, "a string")?;
    unescape(text, value.span)
}

/// Appends `s` to `out` as a JSON string, quotes included. Escaped is what RFC 8259 section 7 demands and nothing more:
/// the quotation mark, the reverse solidus, and U+0000 to U+001F.
pub fn write_string(out: &mut Vec<u8>, s: &str) {
    out.push(b'"');
    let bytes = s.as_bytes();
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

/// The members of an object, from [`iter_members`].
#[derive(Clone, Debug)]
pub struct Members<'a>(Items<'a>);

impl<'a> Iterator for Members<'a> {
    type Item = Result<Member<'a>, JsonError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next_by(|text, start| {
            let (end, _) = string_end(text, start)?;
            let value = skip(text, colon(text, end)?)?;
            Ok((Member { key: unescape(text, Span { start, end })?, value }, value.span.end))
        })
    }
}

/// The elements of an array, from [`iter_elements`].
#[derive(Clone, Debug)]
pub struct Elements<'a>(Items<'a>);

impl Iterator for Elements<'_> {
    type Item = Result<Value, JsonError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next_by(|text, start| skip(text, start).map(|value| (value, value.span.end)))
    }
}

/// What stands between two brackets, with commas between.
#[derive(Clone, Debug)]
struct Items<'a> {
    /// Ends before the closing bracket.
    text: &'a [u8],
    /// Behind the opening bracket or the last item.
    at: usize,
    first: bool,
}

impl<'a> Items<'a> {
    fn new(text: &'a [u8], value: Value, close: u8) -> Result<Self, JsonError> {
        let at = value.span.start.saturating_add(1);
        match text.get(..value.span.end).and_then(<[u8]>::split_last) {
            Some((&last, text)) if last == close && at <= text.len() => Ok(Self { text, at, first: true }),
            _ => Err(unexpected(text, value.span.end.saturating_sub(1), "a closing bracket")),
        }
    }

    /// The next item, read by `read` (text, its start -> the item, its end). Ends behind the first error.
    fn next_by<T>(
        &mut self,
        read: impl FnOnce(&'a [u8], usize) -> Result<(T, usize), JsonError>,
    ) -> Option<Result<T, JsonError>> {
        let mut at = space(self.text, self.at);
        if at >= self.text.len() {
            return None;
        }
        let comma = if std::mem::take(&mut self.first) { Ok(at) } else { expect(self.text, at, b',', "a comma") };
        let item = comma.and_then(|next| {
            at = space(self.text, next);
            read(self.text, at)
        });
        self.at = item.as_ref().map_or(self.text.len(), |(_, end)| *end);
        Some(item.map(|(item, _)| item))
    }
}

/// Reads a text once, by the letter.
#[derive(Default)]
struct Reader<'a> {
    text: &'a [u8],
    /// What is open, innermost last.
    open: Vec<Open>,
    /// The keys of all open objects, the innermost one's last.
    keys: Vec<Span>,
    /// The members of the outermost object.
    outermost: Vec<Member<'a>>,
    /// Where the value of the outermost object's last key begins.
    outermost_value: usize,
    /// Reused by [`Reader::distinct`].
    hashed: Vec<(u64, Span)>,
    /// Keyed at random, so that nobody can send keys that collide.
    hasher: RandomState,
}

#[derive(Clone, Copy)]
struct Open {
    object: bool,
    /// The object's first one of [`Reader::keys`].
    first_key: usize,
    /// A key of the object has an escape.
    escaped: bool,
}

impl<'a> Reader<'a> {
    /// The end of the value that begins at `at`, and in front of which nothing is open.
    fn value(&mut self, mut at: usize) -> Result<usize, JsonError> {
        let text = self.text;
        // Whether the innermost that is open is an object; without meaning while nothing is open.
        let mut object = false;
        'value: loop {
            at = match text.get(at) {
                Some(b'"') => {
                    let (end, _) = string_end(text, at)?;
                    if !object && text.get(end) == Some(&b',') {
                        let next = space(text, end + 1);
                        at = next + repeated(text, at, next);
                        continue 'value;
                    }
                    end
                }
                Some(b'-' | b'0'..=b'9') => number_end(text, at)?,
                Some(b'[') => {
                    self.enter(at, false)?;
                    object = false;
                    at = space(text, at + 1);
                    if text.get(at) != Some(&b']') {
                        continue 'value;
                    }
                    at
                }
                Some(b'{') => {
                    self.enter(at, true)?;
                    object = true;
                    at = space(text, at + 1);
                    if text.get(at) != Some(&b'}') {
                        at = self.key(at)?;
                        continue 'value;
                    }
                    at
                }
                _ => literal_end(text, at)?,
            };
            // `at` is behind a scalar, or on the bracket that closes what is empty. Close whatever ends here.
            loop {
                let end = at;
                at = space(text, at);
                if object && self.open.len() == 1 {
                    self.note_outermost(end)?;
                }
                match (text.get(at), object) {
                    (Some(b','), false) => {
                        at = space(text, at + 1);
                        continue 'value;
                    }
                    (Some(b','), true) => {
                        at = self.key(space(text, at + 1))?;
                        continue 'value;
                    }
                    (Some(b']'), false) => {}
                    (Some(b'}'), true) => self.distinct()?,
                    (_, false) => {
                        return Err(unexpected(text, at, "a comma or the end of the array"));
                    }
                    (_, true) => {
                        return Err(unexpected(text, at, "a comma or the end of the object"));
                    }
                }
                at += 1;
                self.open.pop();
                match self.open.last() {
                    Some(open) => object = open.object,
                    None => return Ok(at),
                }
            }
        }
    }

    fn enter(&mut self, at: usize, object: bool) -> Result<(), JsonError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(JsonError::TooDeep { at });
        }
        self.open.push(Open { object, first_key: self.keys.len(), escaped: false });
        Ok(())
    }

    /// Notes the key that must begin at `at`; where its value begins.
    fn key(&mut self, at: usize) -> Result<usize, JsonError> {
        expect(self.text, at, b'"', "a key")?;
        let (end, escaped) = string_end(self.text, at)?;
        self.keys.push(Span { start: at, end });
        let value = colon(self.text, end)?;
        if let Some(open) = self.open.last_mut() {
            open.escaped |= escaped;
        }
        if self.open.len() == 1 {
            self.outermost_value = value;
        }
        Ok(value)
    }

    fn note_outermost(&mut self, end: usize) -> Result<(), JsonError> {
        if let Some(&key) = self.keys.last() {
            let value = value_of(self.text, self.outermost_value, end)?;
            self.outermost.push(Member { key: unescape(self.text, key)?, value });
        }
        Ok(())
    }

    /// Checks the keys of the object that ends, and forgets them. Sorting by a keyed hash keeps the time at
    /// O(n log n) whatever keys are sent, and needs neither an allocation per object nor one per plain key.
    fn distinct(&mut self) -> Result<(), JsonError> {
        let text = self.text;
        let Some(open) = self.open.last() else {
            return Ok(());
        };
        let keys = self.keys.get(open.first_key..).unwrap_or_default();
        if keys.len() < 2 {
            self.keys.truncate(open.first_key);
            return Ok(());
        }
        let twice = if keys.len() <= FEW_KEYS && !open.escaped {
            first_twice(keys, |a, b| a.of(text) == b.of(text)).copied()
        } else {
            self.hashed.clear();
            for &key in keys {
                self.hashed.push((self.hasher.hash_one(unescape(text, key)?.as_ref()), key));
            }
            self.hashed.sort_unstable_by_key(|(hash, _)| *hash);
            let same = |a: &(u64, Span), b: &(u64, Span)| unescape(text, a.1) == unescape(text, b.1);
            let runs = self.hashed.chunk_by(|a, b| a.0 == b.0);
            runs.filter_map(|run| first_twice(run, same)).map(|(_, key)| *key).min_by_key(|key| key.start)
        };
        self.keys.truncate(open.first_key);
        let Some(key) = twice else { return Ok(()) };
        let shown = unescape(text, key)?.chars().take(SHOWN_KEY_CHARS).flat_map(char::escape_default).collect();
        Err(JsonError::DuplicateKey { key: shown, at: key.start })
    }
}

/// The first item that is the same as one before it; quadratic, for few items.
fn first_twice<T>(items: &[T], same: impl Fn(&T, &T) -> bool) -> Option<&T> {
    items
        .iter()
        .enumerate()
        .find_map(|(i, item)| items.iter().take(i).any(|earlier| same(earlier, item)).then_some(item))
}

/// How many bytes from `next` on repeat those from `start` on, in whole steps of `next - start`. Where two elements of
/// an array begin there, so does one behind each step, and what repeats was read already. The statuses and times of a
/// column are such runs (wire-feast.md, section 2). What is looked at in vain is less than a step and one chunk.
#[inline]
fn repeated(text: &[u8], start: usize, next: usize) -> usize {
    let (before, _) = text.get(start..).unwrap_or_default().as_chunks::<32>();
    let (behind, _) = text.get(next..).unwrap_or_default().as_chunks::<32>();
    let same = 32 * before.iter().zip(behind).take_while(|(a, b)| a == b).count();
    let step = (next - start).max(1);
    if same < step { 0 } else { same - same % step }
}

fn not_utf8(start: usize, error: Utf8Error) -> JsonError {
    JsonError::NotUtf8 { at: start + error.valid_up_to() }
}

fn wants(value: Value, kind: Kind, expected: &'static str) -> Result<(), JsonError> {
    if value.kind == kind { Ok(()) } else { Err(JsonError::WrongKind { expected, at: value.span.start }) }
}

/// The error for what stands at `at`, be it a byte or the end.
#[cold]
fn unexpected(text: &[u8], at: usize, expected: &'static str) -> JsonError {
    match text.get(at) {
        Some(&byte) => JsonError::Unexpected { byte, expected, at },
        None => JsonError::Unterminated { expected, at: text.len() },
    }
}

/// The offset behind the byte `wanted`, which must stand at `at`.
fn expect(text: &[u8], at: usize, wanted: u8, expected: &'static str) -> Result<usize, JsonError> {
    if text.get(at) == Some(&wanted) { Ok(at + 1) } else { Err(unexpected(text, at, expected)) }
}

/// Where the value begins whose key ends at `at`.
fn colon(text: &[u8], at: usize) -> Result<usize, JsonError> {
    expect(text, space(text, at), b':', "a colon").map(|behind| space(text, behind))
}

/// The first offset from `at` on that is not white space.
#[inline]
fn space(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\t' | b'\r') = text.get(at) {
        at += 1;
    }
    at
}

fn value_of(text: &[u8], start: usize, end: usize) -> Result<Value, JsonError> {
    let kind = match text.get(start) {
        Some(b'{') => Kind::Object,
        Some(b'[') => Kind::Array,
        Some(b'"') => Kind::String,
        Some(b't') => Kind::Bool(true),
        Some(b'f') => Kind::Bool(false),
        Some(b'n') => Kind::Null,
        Some(b'-' | b'0'..=b'9') => Kind::Number,
        _ => return Err(unexpected(text, start, "a value")),
    };
    Ok(Value { kind, span: Span { start, end } })
}

/// The value that begins at `start`; what stands in an object or array is taken on trust.
fn skip(text: &[u8], start: usize) -> Result<Value, JsonError> {
    let end = match text.get(start) {
        Some(b'"') => string_end(text, start)?.0,
        Some(b'{' | b'[') => container_end(text, start)?,
        Some(b'-' | b'0'..=b'9') => number_end(text, start)?,
        _ => literal_end(text, start)?,
    };
    value_of(text, start, end)
}

fn literal_end(text: &[u8], at: usize) -> Result<usize, JsonError> {
    let literal: &[u8] = match text.get(at) {
        Some(b't') => b"true",
        Some(b'f') => b"false",
        Some(b'n') => b"null",
        _ => return Err(unexpected(text, at, "a value")),
    };
    let end = at + literal.len();
    if text.get(at..end) == Some(literal) {
        return Ok(end);
    }
    let wrong = literal.iter().zip(at..).find(|(byte, at)| text.get(*at) != Some(byte));
    Err(unexpected(text, wrong.map_or(end, |(_, at)| at), "`true`, `false` or `null`"))
}

/// RFC 8259 section 6.
#[inline]
fn number_end(text: &[u8], start: usize) -> Result<usize, JsonError> {
    let digits = |at| match digits_end(text, at) {
        end if end > at => Ok(end),
        end if end >= text.len() => Err(unexpected(text, end, "a digit")),
        _ => Err(JsonError::Number { at: start }),
    };
    let first = if text.get(start) == Some(&b'-') { start + 1 } else { start };
    let mut at = digits(first)?;
    if text.get(first) == Some(&b'0') && at > first + 1 {
        return Err(JsonError::Number { at: start });
    }
    if text.get(at) == Some(&b'.') {
        at = digits(at + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = text.get(at) {
            at += 1;
        }
        at = digits(at)?;
    }
    Ok(at)
}

#[inline]
fn digits_end(text: &[u8], mut at: usize) -> usize {
    while let Some(b'0'..=b'9') = text.get(at) {
        at += 1;
    }
    at
}

/// The offset behind the string that begins at `start`, and whether it has an escape.
#[inline]
fn string_end(text: &[u8], start: usize) -> Result<(usize, bool), JsonError> {
    let mut at = start + 1;
    let mut escaped = false;
    loop {
        let stops = string_stops(load(text, at));
        if stops == 0 {
            at += 8;
            continue;
        }
        at += stops.trailing_zeros() as usize / 8;
        match text.get(at) {
            Some(b'"') => return Ok((at + 1, escaped)),
            Some(b'\\') => {
                (_, at) = escape(text, at)?;
                escaped = true;
            }
            Some(_) => return Err(JsonError::Control { at }),
            None => return Err(unexpected(text, at, "the end of the string")),
        }
    }
}

/// The character of the escape at `at`, and the offset behind it. RFC 8259 section 7.
fn escape(text: &[u8], at: usize) -> Result<(char, usize), JsonError> {
    let char = match text.get(at + 1) {
        Some(b'"') => '"',
        Some(b'\\') => '\\',
        Some(b'/') => '/',
        Some(b'b') => '\x08',
        Some(b'f') => '\x0c',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unicode_escape(text, at),
        Some(_) => return Err(JsonError::Escape { at }),
        None => return Err(unexpected(text, at + 1, "an escape")),
    };
    Ok((char, at + 2))
}

fn unicode_escape(text: &[u8], at: usize) -> Result<(char, usize), JsonError> {
    let unit = |at: usize| {
        let digits = text.get(at + 2..at + 6).ok_or_else(|| unexpected(text, text.len(), "a hexadecimal digit"))?;
        let unit = digits.iter().try_fold(0, |unit, &byte| Some(unit << 4 | char::from(byte).to_digit(16)?));
        unit.and_then(|unit| u16::try_from(unit).ok()).ok_or(JsonError::Escape { at })
    };
    let first = unit(at)?;
    if let Some(Ok(char)) = char::decode_utf16([first]).next() {
        return Ok((char, at + 6));
    }
    // Half of a pair: the other half must follow at once.
    if text.get(at + 6..at + 8) == Some(b"\\u")
        && let Some(Ok(char)) = char::decode_utf16([first, unit(at + 6)?]).next()
    {
        return Ok((char, at + 12));
    }
    Err(JsonError::LoneSurrogate { at })
}

/// The text of the string at `span`, which has its quotes.
fn unescape(text: &[u8], span: Span) -> Result<Cow<'_, str>, JsonError> {
    let start = span.start.saturating_add(1);
    let text = text.get(..span.end).and_then(|text| text.strip_suffix(b"\"")).unwrap_or_default();
    let raw = text.get(start..).ok_or_else(|| unexpected(text, span.start, "a string"))?;
    let raw = std::str::from_utf8(raw).map_err(|error| not_utf8(start, error))?;
    if !raw.contains('\\') {
        return Ok(Cow::Borrowed(raw));
    }
    let mut whole = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((plain, _)) = rest.split_once('\\') {
        let (char, end) = escape(text, text.len() - rest.len() + plain.len())?;
        whole.push_str(plain);
        whole.push(char);
        rest = raw.get(end - start..).unwrap_or_default();
    }
    whole.push_str(rest);
    Ok(Cow::Owned(whole))
}

const ONES: u64 = u64::from_le_bytes([0x01; 8]);
const HIGHS: u64 = u64::from_le_bytes([0x80; 8]);

/// Eight bytes from `at` on, the first one lowest; zeros behind the end of the text.
#[inline]
fn load(text: &[u8], at: usize) -> u64 {
    let rest = text.get(at..).unwrap_or_default();
    u64::from_le_bytes(rest.first_chunk::<8>().copied().unwrap_or_else(|| padded(rest)))
}

#[cold]
fn padded<const N: usize>(rest: &[u8]) -> [u8; N] {
    let mut block = [0; N];
    for (to, from) in block.iter_mut().zip(rest) {
        *to = *from;
    }
    block
}

/// The high bit of the first byte that a string cannot just go on over: quotation mark, reverse solidus, control
/// character. Bits above that one mean nothing.
#[inline]
fn string_stops(word: u64) -> u64 {
    // Flipping bit 1 puts the quotation mark beside the control characters: both are then below 0x21.
    let quotes_and_controls = word ^ (ONES * 0x02);
    let solidi = word ^ (ONES * 0x5c);
    ((quotes_and_controls.wrapping_sub(ONES * 0x21) & !quotes_and_controls) | (solidi.wrapping_sub(ONES) & !solidi))
        & HIGHS
}

/// Whether a block has an odd number of quotation marks, and whether it has brackets or reverse solidi.
#[inline]
fn glance(block: &[u8; 64]) -> (bool, bool) {
    let has_zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let (words, _) = block.as_chunks::<8>();
    let (mut quotes, mut special) = (0, 0);
    for word in words {
        let word = u64::from_le_bytes(*word);
        let other = word ^ (ONES * u64::from(b'"'));
        quotes ^= (other & !HIGHS).wrapping_add(!HIGHS) | other;
        let lower = word | (ONES * 0x20);
        special |= has_zero(word ^ (ONES * u64::from(b'\\')))
            | has_zero(lower ^ (ONES * u64::from(b'{')))
            | has_zero(lower ^ (ONES * u64::from(b'}')));
    }
    // An even number of words: the complements cancel out.
    ((quotes & HIGHS).count_ones() % 2 == 1, special & HIGHS != 0)
}

/// A bit for each of 64 bytes that is `wanted` once `fold` is set in it, the first one lowest.
#[inline]
fn where_is(block: &[u8; 64], fold: u8, wanted: u8) -> u64 {
    let (words, _) = block.as_chunks::<8>();
    words.iter().rev().fold(0, |bits, word| {
        let other = (u64::from_le_bytes(*word) | (ONES * u64::from(fold))) ^ (ONES * u64::from(wanted));
        let same = !((other & !HIGHS).wrapping_add(!HIGHS) | other) & HIGHS;
        // Gathers the eight high bits in the topmost byte.
        bits << 8 | (same >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
    })
}

/// The offset behind the object or array that begins at `start`, by counting brackets outside of strings.
fn container_end(text: &[u8], start: usize) -> Result<usize, JsonError> {
    let mut depth = 0_u32;
    // Carried from block to block: all bits set if it begins within a string, bit 0 if with an escaped byte.
    let mut within = 0;
    let mut escaped = 0;
    let mut at = start;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let block = rest.first_chunk().copied().unwrap_or_else(|| padded(rest));
        if depth > 0
            && escaped == 0
            && let (odd, false) = glance(&block)
        {
            within ^= 0_u64.wrapping_sub(u64::from(odd));
            at += 64;
            continue;
        }
        let mut quotes = where_is(&block, 0, b'"') & !escaped;
        let mut solidi = where_is(&block, 0, b'\\') & !escaped;
        escaped = 0;
        while solidi != 0 {
            let solidus = solidi & solidi.wrapping_neg();
            quotes &= !(solidus << 1);
            solidi &= !(solidus | solidus << 1);
            escaped = solidus >> 63;
        }
        let strings = [1, 2, 4, 8, 16, 32].iter().fold(quotes, |bits, by| bits ^ bits << by) ^ within;
        within = 0_u64.wrapping_sub(strings >> 63);
        // Bit 5 tells `[` from `{` and `]` from `}`.
        let opening = where_is(&block, 0x20, b'{') & !strings;
        let closing = where_is(&block, 0x20, b'}') & !strings;
        if depth > closing.count_ones() {
            depth = depth - closing.count_ones() + opening.count_ones();
        } else {
            let mut brackets = opening | closing;
            while brackets != 0 {
                let bracket = brackets & brackets.wrapping_neg();
                brackets ^= bracket;
                if opening & bracket != 0 {
                    depth += 1;
                } else if depth > 1 {
                    depth -= 1;
                } else {
                    return Ok(at + bracket.trailing_zeros() as usize + 1);
                }
            }
        }
        at += 64;
    }
    Err(unexpected(text, text.len(), "a closing bracket"))
}

#[cfg(test)]
mod tests;
