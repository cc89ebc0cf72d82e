//! Scanning for readers of lists of alike records, who judge what they pass over themselves: where a plain value ends, whether
//! a stretch stands once more.
//!
//! What these accept, [`object`](super::object) accepts at the same place; they accept less, and tell nothing of why.

use wide::u8x16;

use super::scan::{self, container_end, number_end, string_end};

/// Bytes that are looked at together, from the begin of a record on.
pub const WINDOW: usize = 192;
/// Bytes of the longest stretch that is compared within a window.
pub const LONGEST: usize = 64;

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

/// The length of the string without an escape that the text begins with.
#[inline(always)]
#[must_use]
pub fn name(text: &[u8]) -> Option<usize> {
    let window = text.first_chunk::<17>().filter(|window| window.first() == Some(&b'"'));
    if let Some([_, block @ ..]) = window {
        let bytes = u8x16::new(*block);
        let stops = bytes.min(u8x16::splat(0x1f)).simd_eq(bytes)
            | bytes.simd_eq(u8x16::splat(b'"'))
            | bytes.simd_eq(u8x16::splat(b'\\'));
        let stops = stops.to_bitmask();
        let end = stops.trailing_zeros() as usize;
        if block.get(end) == Some(&b'"') && bytes.to_bitmask() & (stops ^ stops.wrapping_sub(1)) == 0 {
            return Some(end + 2);
        }
    }
    let length = string(text)?;
    (!text.get(..length)?.contains(&b'\\')).then_some(length)
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

/// Of a plain value of up to 16 bytes that begins at `at` in the window, the length; 0: look closer.
///
/// What follows a number has to be compared with what may follow one: an exponent is not looked for.
#[inline(always)]
#[must_use]
pub fn short(window: &[u8; WINDOW], at: usize) -> usize {
    let Some(block) = window.get(at..).and_then(|rest| rest.first_chunk::<16>()) else { return 0 };
    let start = block.first_chunk::<4>().map_or(0, |start| u32::from_le_bytes(*start));
    let bytes = u8x16::new(*block);
    match start {
        NULL | TRUE => 4,
        FALS => 5 * usize::from(window.get(at + 4) == Some(&b'e')),
        _ if start & 0xff == QUOTE => {
            let stops = bytes.min(u8x16::splat(0x1f)).simd_eq(bytes)
                | bytes.simd_eq(u8x16::splat(b'"'))
                | bytes.simd_eq(u8x16::splat(b'\\'));
            // Without the first one.
            let stops = stops.to_bitmask() & 0xfffe;
            // Those before the first stop, and it.
            let before = stops ^ stops.wrapping_sub(1);
            let end = (stops.trailing_zeros() as usize).min(16);
            let high = bytes.to_bitmask() & before;
            if block.get(end) == Some(&b'"') && (high == 0 || are_pairs(bytes, high, before)) { end + 1 } else { 0 }
        }
        _ => {
            let digits = bytes - u8x16::splat(b'0');
            let others = !digits.min(u8x16::splat(9)).simd_eq(digits).to_bitmask();
            // It begins with a minus or a digit.
            let first = (others & 1) as usize;
            let minus = start & 0xff == MINUS;
            let whole = (others >> first).trailing_zeros() as usize;
            let end = first + whole;
            let zero = (start >> (8 * first)) & 0xff == ZERO;
            if (first == 1 && !minus) || whole == 0 || (zero && whole > 1) {
                return 0;
            }
            match block.get(end) {
                Some(b'.') => {
                    let fraction = (others >> (end + 1)).trailing_zeros() as usize;
                    let end = end + 1 + fraction;
                    if fraction == 0 || end > 15 { 0 } else { end }
                }
                Some(_) => end,
                None => 0,
            }
        }
    }
}

/// Whether the bytes of `high`, those of `before` beyond ASCII, are characters of two bytes: RFC 3629 section 4.
#[inline(always)]
fn are_pairs(bytes: u8x16, high: u32, before: u32) -> bool {
    // 0xc2..=0xdf, and behind each of them one of 0x80..=0xbf.
    let heads = bytes - u8x16::splat(0xc2);
    let heads = heads.min(u8x16::splat(0x1d)).simd_eq(heads).to_bitmask() & before;
    let tails = bytes - u8x16::splat(0x80);
    let tails = tails.min(u8x16::splat(0x3f)).simd_eq(tails).to_bitmask() & before;
    heads << 1 == tails && heads | tails == high
}

const NULL: u32 = u32::from_le_bytes(*b"null");
const TRUE: u32 = u32::from_le_bytes(*b"true");
const QUOTE: u32 = b'"' as u32;
const MINUS: u32 = b'-' as u32;
const ZERO: u32 = b'0' as u32;
const FALS: u32 = u32::from_le_bytes(*b"fals");

/// Whether the stretch, of up to [`LONGEST`] bytes, stands at `at` in the window.
#[inline(always)]
#[must_use]
pub fn stands(window: &[u8; WINDOW], at: usize, stretch: &[u8]) -> bool {
    let Some(there) = window.get(at..).and_then(|rest| rest.first_chunk::<LONGEST>()) else { return false };
    match stretch.len() {
        16..=32 => there.get(..stretch.len()).is_some_and(|there| ends_are_same::<16>(stretch, there)),
        33..=LONGEST => there.get(..stretch.len()).is_some_and(|there| ends_are_same::<32>(stretch, there)),
        _ => there.get(..stretch.len()) == Some(stretch),
    }
}

/// A stretch that is looked for many times: one of `N` bytes or more, and less than `N + M`, by its first `N` and its last `M`
/// bytes. `N` is a power of two, and `M` not more, or 0: a stretch of any length.
#[derive(Clone, Copy, Debug)]
pub struct Ends<'t, const N: usize, const M: usize> {
    whole: &'t [u8],
    first: [u8; N],
    last: [u8; M],
    /// Where those begin.
    at: usize,
}

impl<'t, const N: usize, const M: usize> Ends<'t, N, M> {
    /// `None`: it has another length.
    #[must_use]
    pub fn of(whole: &'t [u8]) -> Option<Self> {
        let fits = N == 0 || (N..N + M).contains(&whole.len());
        let at = whole.len().checked_sub(M)?;
        fits.then_some(Self { whole, at, first: *whole.first_chunk()?, last: *whole.last_chunk()? })
    }

    /// Whether it stands at `at` in the window.
    #[inline(always)]
    #[must_use]
    pub fn stand(&self, window: &[u8; WINDOW], at: usize) -> bool {
        if N == 0 {
            return stands(window, at, self.whole);
        }
        let Some(there) = window.get(at..at + N + M) else { return false };
        // Less than `N` it is anyway.
        let last = there.get(self.at & (N - 1)..).and_then(|rest| rest.first_chunk::<M>());
        let (Some(there), Some(last)) = (there.first_chunk::<N>(), last) else { return false };
        let differ = differ(&self.first, there) | differ(&self.last, last);
        differ.simd_eq(u8x16::splat(0)).to_bitmask() == 0xffff
    }
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
