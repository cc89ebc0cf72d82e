//! Scanning for readers of lists of alike records, who judge what they pass over themselves: where a plain value ends, whether
//! a stretch stands once more.
//!
//! What these accept, [`object`](super::object) accepts at the same place; they accept less, and tell nothing of why.

use wide::{i8x16, u8x16};

use super::scan::{self, container_end, number_end, string_end};

/// The first offset from `at` on that is not white space.
#[inline]
#[must_use]
pub fn space(text: &[u8], at: usize) -> usize {
    scan::space(text, at)
}

/// The offset behind the string, number or literal that begins at `at`.
#[inline]
#[must_use]
pub fn scalar_end(text: &[u8], at: usize) -> Option<usize> {
    let literal = |literal: &[u8]| text.get(at..)?.starts_with(literal).then_some(at + literal.len());
    match text.get(at)? {
        b'"' => text_end(text, at),
        b'-' | b'0'..=b'9' => digits_end(text, at),
        b't' => literal(b"true"),
        b'f' => literal(b"false"),
        b'n' => literal(b"null"),
        _ => None,
    }
}

/// [`scalar_end`], or that behind a list of such values.
#[inline]
#[must_use]
pub fn flat_end(text: &[u8], at: usize) -> Option<usize> {
    if text.get(at) == Some(&b'[') { list_end(text, at) } else { scalar_end(text, at) }
}

fn list_end(text: &[u8], at: usize) -> Option<usize> {
    let mut at = space(text, at + 1);
    if text.get(at) == Some(&b']') {
        return Some(at + 1);
    }
    loop {
        at = space(text, scalar_end(text, at)?);
        match text.get(at)? {
            b',' => at = space(text, at + 1),
            b']' => return Some(at + 1),
            _ => return None,
        }
    }
}

/// The offset behind the string that begins at `at`.
#[inline]
#[must_use]
pub fn text_end(text: &[u8], at: usize) -> Option<usize> {
    if text.get(at) != Some(&b'"') {
        return None;
    }
    let mut next = at + 1;
    while let Some(block) = text.get(next..).and_then(|rest| rest.first_chunk::<16>()) {
        let bytes = i8x16::new(block.map(u8::cast_signed));
        // As signed bytes, those beyond ASCII stand below the control characters.
        let stops = bytes.simd_lt(i8x16::splat(0x20))
            | bytes.simd_eq(i8x16::splat(b'"'.cast_signed()))
            | bytes.simd_eq(i8x16::splat(b'\\'.cast_signed()));
        let stops = stops.to_bitmask();
        if stops == 0 {
            next += 16;
            continue;
        }
        let end = next + stops.trailing_zeros() as usize;
        if text.get(end) == Some(&b'"') {
            return Some(end + 1);
        }
        break;
    }
    other_text_end(text, at)
}

/// One with an escape, beyond ASCII, or near the end.
#[cold]
#[inline(never)]
fn other_text_end(text: &[u8], at: usize) -> Option<usize> {
    let (end, _) = string_end(text, at + 1).ok()?;
    std::str::from_utf8(text.get(at..end)?).ok()?;
    Some(end)
}

/// The offset behind the number that begins at `at`: RFC 8259 section 6.
#[inline]
fn digits_end(text: &[u8], at: usize) -> Option<usize> {
    let Some(block) = text.get(at..).and_then(|rest| rest.first_chunk::<16>()) else {
        return number_end(text, at).ok();
    };
    let bytes = u8x16::new(*block);
    let digits = bytes - u8x16::splat(b'0');
    let digits = digits.min(u8x16::splat(9)).simd_eq(digits).to_bitmask();
    let first = usize::from(block.first() == Some(&b'-'));
    let whole = (digits >> first).trailing_ones() as usize;
    if whole == 0 || (whole > 1 && block.get(first) == Some(&b'0')) {
        return None;
    }
    let mut end = first + whole;
    if block.get(end) == Some(&b'.') {
        let fraction = (digits >> (end + 1)).trailing_ones() as usize;
        if fraction == 0 {
            return number_end(text, at).ok();
        }
        end += 1 + fraction;
    }
    match block.get(end) {
        Some(b'e' | b'E') | None => number_end(text, at).ok(),
        Some(_) => Some(at + end),
    }
}

/// Where the object ends that begins at `at`, if it is one; what stands in it is not judged.
#[must_use]
pub fn object_end(text: &[u8], at: usize) -> Option<usize> {
    if text.get(at) == Some(&b'{') { container_end(text, at).ok() } else { None }
}

/// Whether the `length` bytes from `at` on are those from `before` on.
#[inline]
#[must_use]
pub fn stands_at(text: &[u8], before: usize, length: usize, at: usize) -> bool {
    let (Some(a), Some(b)) = (stretch(text, before, length), stretch(text, at, length)) else { return false };
    let (Some(a_last), Some(b_last)) = (a.last_chunk::<16>(), b.last_chunk::<16>()) else { return a == b };
    // The last ones overlap those before them.
    let ((a, _), (b, _)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    alike(a_last, b_last) && a.iter().zip(b).all(|(a, b)| alike(a, b))
}

#[inline]
fn stretch(text: &[u8], at: usize, length: usize) -> Option<&[u8]> {
    text.get(at..)?.get(..length)
}

#[inline]
fn alike(a: &[u8; 16], b: &[u8; 16]) -> bool {
    u128::from_ne_bytes(*a) == u128::from_ne_bytes(*b)
}
