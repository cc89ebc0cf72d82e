//! Where one token of a JSON text ends. The loops over bytes are here, and all of their speed.

use super::{Counted, JsonError, Span};
use std::borrow::Cow;
use std::str::Utf8Error;
use wide::u8x16;

pub(super) use scalars::scalars;

mod scalars;

/// Bytes that are looked at at once.
const LANES: usize = 16;

/// The error for what stands at `at`, be it a byte or the end of the text.
#[cold]
pub(super) fn unexpected(text: &[u8], at: usize, expected: &'static str) -> JsonError {
    match text.get(at) {
        Some(&byte) => JsonError::Unexpected { byte, expected, at },
        None => JsonError::Unterminated { expected, at: text.len() },
    }
}

/// The error for bytes from `start` on that are not UTF-8.
pub(super) fn not_utf8(start: usize, error: Utf8Error) -> JsonError {
    JsonError::NotUtf8 { at: start + error.valid_up_to() }
}

/// The first offset from `at` on that is not white space.
#[inline]
pub(super) fn space(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\t' | b'\r') = text.get(at) {
        at += 1;
    }
    at
}

/// The offset behind the byte `wanted`, which must stand at `at`.
#[inline]
pub(super) fn expect(text: &[u8], at: usize, wanted: u8, expected: &'static str) -> Result<usize, JsonError> {
    if text.get(at) == Some(&wanted) { Ok(at + 1) } else { Err(unexpected(text, at, expected)) }
}

/// Where the value begins whose key ends at `at`.
#[inline]
pub(super) fn colon(text: &[u8], at: usize) -> Result<usize, JsonError> {
    expect(text, space(text, at), b':', "`:`").map(|behind| space(text, behind))
}

/// The offset behind the literal that begins at `at`.
pub(super) fn literal_end(text: &[u8], at: usize) -> Result<usize, JsonError> {
    let (literal, expected): (&[u8], _) = match text.get(at) {
        Some(b't') => (b"true", "`true`"),
        Some(b'f') => (b"false", "`false`"),
        Some(b'n') => (b"null", "`null`"),
        _ => return Err(unexpected(text, at, "a value")),
    };
    if text.get(at..).is_some_and(|rest| rest.starts_with(literal)) {
        return Ok(at + literal.len());
    }
    let right = literal.iter().zip(at..).take_while(|(byte, at)| text.get(*at) == Some(byte));
    Err(unexpected(text, at + right.count(), expected))
}

/// The offset behind the number that begins at `start`. RFC 8259 section 6.
pub(super) fn number_end(text: &[u8], start: usize) -> Result<usize, JsonError> {
    let digits = |first| {
        let at = digits_end(text, first);
        if at > first {
            Ok(at)
        } else if at < text.len() {
            Err(JsonError::Number { at: start })
        } else {
            Err(unexpected(text, at, "a digit"))
        }
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

/// The first offset from `at` on that has no digit.
#[inline]
fn digits_end(text: &[u8], mut at: usize) -> usize {
    loop {
        let others = no_digits(block_or_padded(text, at));
        at += others.trailing_zeros() as usize;
        if others != 1 << LANES {
            return at;
        }
    }
}

/// The offset behind the string whose text begins at `at`, and whether it has an escape. `high` is no longer 0 if it has
/// something that is not ASCII; it may be so, too, if something behind it has.
#[inline]
pub(super) fn string_end(text: &[u8], mut at: usize, high: &mut u32) -> Result<(usize, bool), JsonError> {
    let mut escaped = false;
    loop {
        let block = block_or_padded(text, at);
        *high |= block.to_bitmask();
        let stops = string_stops(block);
        if stops == 0 {
            at += LANES;
            continue;
        }
        at += stops.trailing_zeros() as usize;
        match text.get(at) {
            Some(b'"') => return Ok((at + 1, escaped)),
            Some(b'\\') => {
                at = match text.get(at + 1) {
                    Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => at + 2,
                    Some(b'u') if plain_unit(text, at) => at + 6,
                    _ => escape(text, at)?.1,
                };
                escaped = true;
            }
            Some(_) => return Err(JsonError::Control { at }),
            None => return Err(unexpected(text, at, "the end of a string")),
        }
    }
}

/// Whether the `\u` escape at `at` is whole and no half of a surrogate pair.
#[inline(always)]
fn plain_unit(text: &[u8], at: usize) -> bool {
    let Some(&[_, _, a, b, c, d]) = text.get(at..).and_then(<[u8]>::first_chunk) else { return false };
    let hexadecimal = [a, b, c, d].iter().fold(true, |all, digit| all & digit.is_ascii_hexdigit());
    hexadecimal && !matches!(a, b'd' | b'D')
}

/// The offset behind the text, the number or the literal that begins at `at`; `high` as in [`string_end`].
#[inline]
pub(super) fn scalar(text: &[u8], at: usize, high: &mut u32) -> Result<usize, JsonError> {
    match text.get(at) {
        Some(b'"') => string_end(text, at + 1, high).map(|(end, _)| end),
        Some(b'-' | b'0'..=b'9') => number_end(text, at),
        _ => literal_end(text, at),
    }
}

/// Sixteen bytes from `at` on; none where the text has not as many.
#[inline(always)]
fn block(text: &[u8], at: usize) -> Option<u8x16> {
    text.get(at..)?.first_chunk().map(|block| u8x16::new(*block))
}

/// The same; zeros behind the end of the text.
#[inline(always)]
fn block_or_padded(text: &[u8], at: usize) -> u8x16 {
    block(text, at).unwrap_or_else(|| u8x16::new(padded(text.get(at..).unwrap_or_default())))
}

/// A bit for each byte at which a string has to be looked at closer, the first one lowest: a quotation mark, a reverse
/// solidus, a control character.
#[inline(always)]
fn string_stops(block: u8x16) -> u32 {
    let controls = block.min(u8x16::splat(0x1f)).simd_eq(block);
    let marks = block.simd_eq(u8x16::splat(b'"')) | block.simd_eq(u8x16::splat(b'\\'));
    (controls | marks).to_bitmask()
}

/// A bit for each byte that is no digit, the first one lowest; and one behind them.
#[inline(always)]
fn no_digits(block: u8x16) -> u32 {
    let values = block - u8x16::splat(b'0');
    !values.min(u8x16::splat(9)).simd_eq(values).to_bitmask() & 0xffff | 1 << LANES
}

/// [`unescape`], where it is known whether it is `escaped`.
#[inline]
pub(super) fn text_of(text: &[u8], span: Span, escaped: bool) -> Result<Cow<'_, str>, JsonError> {
    let inner = text.get(span.start.saturating_add(1)..span.end.saturating_sub(1)).filter(|_| !escaped);
    match inner.map(std::str::from_utf8) {
        Some(Ok(plain)) => Ok(Cow::Borrowed(plain)),
        Some(Err(_)) | None => unescape(text, span),
    }
}

/// The text of the string at `span`, which has its quotes.
pub(super) fn unescape(text: &[u8], span: Span) -> Result<Cow<'_, str>, JsonError> {
    let start = span.start.saturating_add(1);
    let quoted = text.get(..span.end).and_then(|text| text.strip_suffix(b"\""));
    let Some((text, raw)) = quoted.and_then(|text| Some((text, text.get(start..)?))) else {
        return Err(unexpected(text, span.start, "a whole string"));
    };
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
    let first = code_unit(text, at)?;
    if let Some(Ok(char)) = char::decode_utf16([first]).next() {
        return Ok((char, at + 6));
    }
    // Half of a pair; its other half must follow at once.
    if text.get(at + 6..at + 8) == Some(b"\\u")
        && let Some(Ok(char)) = char::decode_utf16([first, code_unit(text, at + 6)?]).next()
    {
        return Ok((char, at + 12));
    }
    Err(JsonError::LoneSurrogate { at })
}

/// The four digits of the `\u` escape at `at`.
fn code_unit(text: &[u8], at: usize) -> Result<u16, JsonError> {
    let mut unit = 0;
    for at_digit in at + 2..at + 6 {
        let Some(&byte) = text.get(at_digit) else {
            return Err(unexpected(text, at_digit, "a hexadecimal digit"));
        };
        let digit = char::from(byte).to_digit(16).and_then(|digit| u16::try_from(digit).ok());
        unit = unit << 4 | digit.ok_or(JsonError::Escape { at })?;
    }
    Ok(unit)
}

#[cold]
fn padded<const N: usize>(rest: &[u8]) -> [u8; N] {
    let mut block = [0; N];
    if let Some(begin) = block.get_mut(..rest.len()) {
        begin.copy_from_slice(rest);
    }
    block
}

/// The offset behind the object or array that begins at `start`, found by counting brackets.
pub(super) fn container_end(text: &[u8], start: usize) -> Result<usize, JsonError> {
    let mut depth = 0;
    // What a block leaves to the next one: all bits set within a string; bit 0 set behind a
    // reverse solidus.
    let mut within = 0;
    let mut escaped = 0;
    let mut at = start;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let block = &rest.first_chunk().copied().unwrap_or_else(|| padded(rest));
        if depth > 0
            && escaped == 0
            && let Some(odd_quotes) = nothing_but_quotes(block)
        {
            within ^= 0_u64.wrapping_sub(u64::from(odd_quotes));
            at += 64;
            continue;
        }
        let mut quotes = positions(block, 0, b'"') & !escaped;
        let mut solidi = positions(block, 0, b'\\') & !escaped;
        escaped = 0;
        while solidi != 0 {
            let solidus = solidi & solidi.wrapping_neg();
            quotes &= !(solidus << 1);
            solidi &= !(solidus | solidus << 1);
            escaped = solidus >> 63;
        }
        let strings = parities(quotes) ^ within;
        within = 0_u64.wrapping_sub(strings >> 63);
        // Bit 5 is what `{` has more than `[`, and `}` than `]`.
        let opening = positions(block, 0x20, b'{') & !strings;
        let mut brackets = opening | positions(block, 0x20, b'}') & !strings;
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
        at += 64;
    }
    Err(unexpected(text, text.len(), "a closing bracket"))
}

/// What stands in an array, counted by its commas; `None`: it has arrays, objects or escapes.
pub(super) fn count_plain(inner: &[u8]) -> Option<Counted> {
    let (mut commas, mut nulls, mut within) = (0, 0, 0_u64);
    for rest in inner.chunks(64) {
        let block = &rest.first_chunk().copied().unwrap_or_else(|| padded(rest));
        let strings = parities(positions(block, 0, b'"')) ^ within;
        within = 0_u64.wrapping_sub(strings >> 63);
        let brackets = (positions(block, 0x20, b'{') | positions(block, 0x20, b'}')) & !strings;
        if brackets | positions(block, 0, b'\\') != 0 {
            return None;
        }
        commas += (positions(block, 0, b',') & !strings).count_ones() as usize;
        // Of all values but texts, only null has that letter.
        nulls |= positions(block, 0, b'n') & !strings;
    }
    let some = space(inner, 0) < inner.len();
    Some(Counted { elements: commas + usize::from(some), null: nulls != 0 })
}

/// Each bit becomes the parity of the bits up to it.
#[inline]
fn parities(bits: u64) -> u64 {
    [1, 2, 4, 8, 16, 32].iter().fold(bits, |bits, by| bits ^ bits << by)
}

/// Whether the block has an odd number of quotation marks; none if it has brackets or reverse
/// solidi, which most blocks of an answer have not.
#[inline]
fn nothing_but_quotes(block: &[u8; 64]) -> Option<bool> {
    let (lanes, _) = block.as_chunks::<LANES>();
    let mut others = u8x16::splat(0);
    for lane in lanes {
        let lane = u8x16::new(*lane);
        let folded = lane | u8x16::splat(0x20);
        let brackets = folded.simd_eq(u8x16::splat(b'{')) | folded.simd_eq(u8x16::splat(b'}'));
        others |= lane.simd_eq(u8x16::splat(b'\\')) | brackets;
    }
    (!others.any()).then(|| positions(block, 0, b'"').count_ones() % 2 == 1)
}

/// A bit for each byte that is `wanted` once the bits of `fold` are set, the first byte lowest.
#[inline]
fn positions(block: &[u8; 64], fold: u8, wanted: u8) -> u64 {
    let (lanes, _) = block.as_chunks::<LANES>();
    lanes.iter().rev().fold(0, |bits, lane| {
        let same = (u8x16::new(*lane) | u8x16::splat(fold)).simd_eq(u8x16::splat(wanted));
        bits << LANES | u64::from(same.to_bitmask())
    })
}
