//! Where one token of a JSON text ends. The loops over bytes are here, and all of their speed.

use super::{JsonError, Span};
use std::borrow::Cow;
use std::str::Utf8Error;

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
#[inline]
pub(super) fn number_end(text: &[u8], start: usize) -> Result<usize, JsonError> {
    let digits = |first| {
        let mut at = first;
        while let Some(b'0'..=b'9') = text.get(at) {
            at += 1;
        }
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

/// The offset behind the string whose text begins at `at`, and whether it has an escape.
#[inline]
pub(super) fn string_end(text: &[u8], mut at: usize) -> Result<(usize, bool), JsonError> {
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
            None => return Err(unexpected(text, at, "the end of a string")),
        }
    }
}

/// How many bytes from `next` on repeat those from `start` on, in whole steps of `next - start`.
///
/// If an element of an array begins at either of them, one begins behind each step, and what they
/// hold was judged already: the statuses and times of a column are such runs (wire-feast.md,
/// section 2). What is compared in vain is less than one step and one chunk, so time stays linear.
#[inline]
pub(super) fn repeated(text: &[u8], start: usize, next: usize) -> usize {
    let (before, _) = text.get(start..).unwrap_or_default().as_chunks::<32>();
    let (behind, _) = text.get(next..).unwrap_or_default().as_chunks::<32>();
    let same = 32 * before.iter().zip(behind).take_while(|(a, b)| a == b).count();
    let step = next.saturating_sub(start).max(1);
    if same < step { 0 } else { same - same % step }
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

const ONES: u64 = u64::from_le_bytes([0x01; 8]);
const HIGHS: u64 = u64::from_le_bytes([0x80; 8]);

/// Eight bytes from `at` on, the first one lowest; zeros behind the end of the text.
#[inline]
fn load(text: &[u8], at: usize) -> u64 {
    let rest = text.get(at..).unwrap_or_default();
    u64::from_le_bytes(rest.first_chunk().copied().unwrap_or_else(|| padded(rest)))
}

#[cold]
fn padded<const N: usize>(rest: &[u8]) -> [u8; N] {
    let mut block = [0; N];
    block.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    block
}

/// The high bit of each byte from the lowest zero byte of `word` on may be set; below it none is.
#[inline]
fn zero(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGHS
}

/// The high bit of each byte that is zero.
#[inline]
fn zeros(word: u64) -> u64 {
    !((word & !HIGHS).wrapping_add(!HIGHS) | word) & HIGHS
}

/// The lowest bit set is that of the first byte at which a string has to be looked at closer: a
/// quotation mark, a reverse solidus, a control character. The bits above mean nothing.
#[inline]
fn string_stops(word: u64) -> u64 {
    // With bit 1 flipped, the quotation mark is 0x20 and adjoins the control characters.
    let flipped = word ^ (ONES * 0x02);
    let quotes_and_controls = flipped.wrapping_sub(ONES * 0x21) & !flipped & HIGHS;
    quotes_and_controls | zero(word ^ (ONES * u64::from(b'\\')))
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
        // Each bit becomes the parity of the quotes up to it.
        let strings = [1, 2, 4, 8, 16, 32].iter().fold(quotes, |bits, by| bits ^ bits << by);
        let strings = strings ^ within;
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

/// Whether the block has an odd number of quotation marks; none if it has brackets or reverse
/// solidi, which most blocks of an answer have not.
#[inline]
fn nothing_but_quotes(block: &[u8; 64]) -> Option<bool> {
    let (words, _) = block.as_chunks();
    let (mut quotes, mut others) = (0, 0);
    for word in words {
        let word = u64::from_le_bytes(*word);
        let folded = word | (ONES * 0x20);
        quotes ^= zeros(word ^ (ONES * u64::from(b'"')));
        others |= zero(word ^ (ONES * u64::from(b'\\')));
        others |= zero(folded ^ (ONES * u64::from(b'{')));
        others |= zero(folded ^ (ONES * u64::from(b'}')));
    }
    (others == 0).then_some(quotes.count_ones() % 2 == 1)
}

/// A bit for each byte that is `wanted` once the bits of `fold` are set, the first byte lowest.
#[inline]
fn positions(block: &[u8; 64], fold: u8, wanted: u8) -> u64 {
    let (words, _) = block.as_chunks();
    words.iter().rev().fold(0, |bits, word| {
        let word = u64::from_le_bytes(*word) | (ONES * u64::from(fold));
        let same = zeros(word ^ (ONES * u64::from(wanted)));
        // The product has the eight bits, each moved beside the one before it, in its top byte.
        bits << 8 | (same >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
    })
}
