//! Scanning for readers of lists of alike records, who judge what they pass over themselves: where a plain value ends, whether
//! a stretch stands once more.
//!
//! What these accept, [`object`](super::object) accepts at the same place; they accept less, and tell nothing of why.

use wide::u8x16;

use super::scan::{self, container_end, number_end, string_end};

/// The first offset from `at` on that is not white space.
#[inline]
#[must_use]
pub fn space(text: &[u8], at: usize) -> usize {
    scan::space(text, at)
}

/// The length of the string, number or literal that the text begins with.
#[inline(always)]
#[must_use]
pub fn scalar(text: &[u8]) -> Option<usize> {
    match text.first_chunk::<4>()? {
        [b'"', ..] => string(text),
        [b'-' | b'0'..=b'9', ..] => number(text),
        b"null" | b"true" => Some(4),
        b"fals" => (text.get(4) == Some(&b'e')).then_some(5),
        _ => None,
    }
}

/// [`scalar`], or that of a list of such values.
#[inline(always)]
#[must_use]
pub fn flat(text: &[u8]) -> Option<usize> {
    if text.first() == Some(&b'[') { list(text) } else { scalar(text) }
}

#[inline(never)]
fn list(text: &[u8]) -> Option<usize> {
    let mut at = space(text, 1);
    if text.get(at) == Some(&b']') {
        return Some(at + 1);
    }
    loop {
        at = space(text, at + scalar(text.get(at..)?)?);
        match text.get(at)? {
            b',' => at = space(text, at + 1),
            b']' => return Some(at + 1),
            _ => return None,
        }
    }
}

/// The length of the string that the text begins with.
#[inline(always)]
#[must_use]
pub fn string(text: &[u8]) -> Option<usize> {
    let (b'"', mut rest) = text.split_first()? else { return None };
    // Bytes beyond ASCII; of the last block those behind the end count, too.
    let mut high = 0;
    while let Some(block) = rest.first_chunk::<16>() {
        let bytes = u8x16::new(*block);
        let stops = bytes.min(u8x16::splat(0x1f)).simd_eq(bytes)
            | bytes.simd_eq(u8x16::splat(b'"'))
            | bytes.simd_eq(u8x16::splat(b'\\'));
        let stops = stops.to_bitmask();
        // The highest bit of each byte.
        high |= bytes.to_bitmask();
        if stops == 0 {
            rest = rest.get(16..)?;
            continue;
        }
        rest = rest.get(stops.trailing_zeros() as usize..)?;
        let length = text.len() - rest.len() + 1;
        match rest {
            [b'"', ..] if high == 0 => return Some(length),
            [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', behind @ ..] => rest = behind,
            [b'"', ..] => return is_utf8(text.get(..length)?).then_some(length),
            _ => break,
        }
    }
    other_string(text)
}

#[inline(never)]
fn is_utf8(text: &[u8]) -> bool {
    simdutf8::basic::from_utf8(text).is_ok()
}

/// One with an escape of other letters, or near the end.
#[cold]
#[inline(never)]
fn other_string(text: &[u8]) -> Option<usize> {
    let (end, _) = string_end(text, 1, &mut 0).ok()?;
    is_utf8(text.get(..end)?).then_some(end)
}

/// The length of the number that the text begins with: RFC 8259 section 6.
#[inline(always)]
fn number(text: &[u8]) -> Option<usize> {
    let Some(block) = text.first_chunk::<16>() else { return other_number(text) };
    let digits = u8x16::new(*block) - u8x16::splat(b'0');
    let digits = digits.min(u8x16::splat(9)).simd_eq(digits).to_bitmask();
    let first = usize::from(text.first() == Some(&b'-'));
    let whole = (digits >> first).trailing_ones() as usize;
    let zero = text.get(first) == Some(&b'0');
    if whole == 0 || (whole > 1 && zero) {
        return None;
    }
    let mut end = first + whole;
    if text.get(end) == Some(&b'.') {
        let fraction = digits.checked_shr(u32::try_from(end + 1).ok()?).unwrap_or_default().trailing_ones() as usize;
        if fraction == 0 {
            return other_number(text);
        }
        end += 1 + fraction;
    }
    match text.get(end) {
        Some(b'e' | b'E') => other_number(text),
        Some(_) if end < 16 => Some(end),
        Some(_) | None => other_number(text),
    }
}

/// A long one, one with an exponent, or near the end.
#[inline(never)]
fn other_number(text: &[u8]) -> Option<usize> {
    number_end(text, 0).ok()
}

/// Where the object ends that begins at `at`, if it is one; what stands in it is not judged.
#[must_use]
pub fn object_end(text: &[u8], at: usize) -> Option<usize> {
    if text.get(at) == Some(&b'{') { container_end(text, at).ok() } else { None }
}

/// What stands behind `stretch`, if the text begins with that; one of 16 to 64 bytes is compared fastest.
#[inline(always)]
#[must_use]
pub fn behind<'t>(text: &'t [u8], stretch: &[u8]) -> Option<&'t [u8]> {
    let (there, behind) = text.split_at_checked(stretch.len())?;
    // Its first and its last bytes, which overlap.
    let stands = match stretch.len() {
        16..=32 => ends_are_same::<16>(stretch, there),
        33..=64 => ends_are_same::<32>(stretch, there),
        _ => stretch == there,
    };
    stands.then_some(behind)
}

#[inline(always)]
fn ends_are_same<const N: usize>(a: &[u8], b: &[u8]) -> bool {
    let ends = (a.first_chunk::<N>(), b.first_chunk::<N>(), a.last_chunk::<N>(), b.last_chunk::<N>());
    let (Some(a_first), Some(b_first), Some(a_last), Some(b_last)) = ends else { return a == b };
    let differ = differ(a_first, b_first) | differ(a_last, b_last);
    differ.simd_eq(u8x16::splat(0)).to_bitmask() == 0xffff
}

/// Bits that differ, of all blocks of sixteen bytes together.
#[inline(always)]
fn differ<const N: usize>(a: &[u8; N], b: &[u8; N]) -> u8x16 {
    let pairs = a.as_chunks::<16>().0.iter().zip(b.as_chunks::<16>().0);
    pairs.fold(u8x16::splat(0), |differ, (a, b)| differ | (u8x16::new(*a) ^ u8x16::new(*b)))
}
