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
#[inline(always)]
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
#[inline(always)]
#[must_use]
pub fn flat_end(text: &[u8], at: usize) -> Option<usize> {
    if text.get(at) == Some(&b'[') { list_end(text, at) } else { scalar_end(text, at) }
}

#[inline(never)]
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
    let (end, _) = string_end(text, at + 1, &mut 0).ok()?;
    let whole = text.get(at..end)?;
    (whole.is_ascii() || std::str::from_utf8(whole).is_ok()).then_some(end)
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

/// A stretch of a text that may stand there again.
#[derive(Clone, Copy, Debug)]
pub struct Stretch<'a> {
    /// What it is.
    pub text: &'a [u8],
    /// Its bytes, each with the bits of it that count: none behind its end.
    bytes: [(u8x16, u8x16); 4],
}

impl<'a> Stretch<'a> {
    /// A stretch; one of up to 64 bytes is found fastest.
    #[must_use]
    pub fn new(text: &'a [u8]) -> Self {
        let (mut wanted, mut counts) = ([0; 64], [0; 64]);
        wanted.iter_mut().zip(&mut counts).zip(text).for_each(|((to, counts), byte)| (*to, *counts) = (*byte, u8::MAX));
        let mut blocks = wanted.as_chunks().0.iter().zip(counts.as_chunks().0);
        let bytes = std::array::from_fn(|_| match blocks.next() {
            Some((wanted, counts)) => (u8x16::new(*wanted), u8x16::new(*counts)),
            None => (u8x16::splat(0), u8x16::splat(0)),
        });
        Self { text, bytes }
    }

    /// Whether it stands from `at` on.
    #[inline(always)]
    #[must_use]
    pub fn stands_at(&self, text: &[u8], at: usize) -> bool {
        let Some(rest) = text.get(at..) else { return false };
        let Some(blocks) = rest.first_chunk::<64>().filter(|_| self.text.len() <= 64) else {
            return rest.starts_with(self.text);
        };
        let mut differ = u8x16::splat(0);
        for (block, (wanted, counts)) in blocks.as_chunks::<16>().0.iter().zip(&self.bytes) {
            differ |= (u8x16::new(*block) ^ *wanted) & *counts;
        }
        differ.simd_eq(u8x16::splat(0)).to_bitmask() == 0xffff
    }
}
