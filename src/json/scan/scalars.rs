//! Elements of an array that are texts, numbers and literals: most of an answer.

use wide::u8x16;

use super::{LANES, no_digits, number_end, space, string_end, string_stops};
use crate::json::JsonError;

/// Bytes in which most elements of an array end.
const WINDOW: usize = 2 * LANES;

/// Elements of an array from `at` on, where one begins, as far as they are texts, numbers and literals. Where that ends:
/// behind an element, or where one begins that is not read here. `high` as in [`string_end`].
pub(in crate::json) fn scalars(text: &[u8], mut at: usize, high: &mut u32) -> Result<(usize, bool), JsonError> {
    let mut high_here = 0;
    // The window with which the last element that was a text began, and where: nothing before there is one, for a text has its
    // quotes. And whether it repeated the one before it.
    let (mut before, mut before_upper, mut before_at, mut again) = (u8x16::splat(0), u8x16::splat(0), at, false);
    // How often whole blocks of numbers are still looked for in vain: not before there are two.
    let mut tries = None;
    let ended = loop {
        let Some(window) = text.get(at..).and_then(<[u8]>::first_chunk::<WINDOW>) else {
            break (space(text, at), false);
        };
        let [first, ..] = *window;
        let end = if first == b'"' {
            let block = lower(window);
            let step = at - before_at;
            if block == before && step > 0 && (step <= LANES || upper(window) == before_upper) {
                if step <= LANES && !again {
                    again = true;
                    (before_upper, before_at) = (upper(window), at);
                    at += step;
                    continue;
                }
                let same = repeated(text, before_at, at);
                if same > 0 {
                    // Where the next one begins, or a blank before it: it is read by itself.
                    at += same;
                    before = u8x16::splat(0);
                    continue;
                }
            }
            (before, before_upper, before_at, again) = (block, upper(window), at, false);
            high_here |= block.to_bitmask();
            let mut stops = string_stops(block) & !1;
            if stops == 0 {
                let block = upper(window);
                high_here |= block.to_bitmask();
                stops = string_stops(block) << LANES;
            }
            let stop = stops.trailing_zeros() as usize;
            if window.get(stop) == Some(&b'"') { at + stop + 1 } else { string_end(text, at + stop, &mut high_here)?.0 }
        } else if first.is_ascii_digit() || first == b'-' {
            if tries > Some(0)
                && let Some(block) = text.get(at..).and_then(<[u8]>::first_chunk)
            {
                let whole = numbers(block);
                if whole > 0 {
                    at += whole;
                    tries = Some(TRIES);
                    continue;
                }
                tries = tries.map(|tries| tries - 1);
            }
            let end = short_number(window, lower(window));
            match window.get(end & (WINDOW - 1)) {
                Some(b',') if end > 0 => {
                    tries = tries.or(Some(TRIES));
                    at + end
                }
                Some(b'e' | b'E') => number_end(text, at)?,
                Some(_) if end > 0 => at + end,
                Some(_) | None => number_end(text, at)?,
            }
        } else if first >= b'f' {
            let length = short_literal(window);
            if length == 0 {
                break (at, false);
            }
            at += length;
            continue;
        } else if first <= b' ' {
            let behind = space(text, at);
            if behind == at {
                break (at, false);
            }
            at = behind;
            continue;
        } else {
            break (at, false);
        };
        at = end + 1;
        if text.get(end) != Some(&b',') {
            let comma = space(text, end);
            if text.get(comma) != Some(&b',') {
                break (end, true);
            }
            at = comma + 1;
        }
        if text.get(at) == Some(&b' ') {
            at += 1;
        }
    };
    *high |= high_here;
    Ok(ended)
}

/// Blocks of numbers that are looked for in vain before numbers are read one by one.
const TRIES: u32 = 4;

/// How many bytes of the block are numbers with a comma behind each, nothing between them, and of the usual spelling: RFC 8259
/// section 6 without exponents. 0: none, or one that has to be looked at closer.
#[inline(always)]
fn numbers(block: &[u8; 64]) -> usize {
    let (mut digits, mut zeros, mut commas, mut minuses, mut points) = (0_u64, 0_u64, 0_u64, 0_u64, 0_u64);
    for lane in block.as_chunks::<LANES>().0.iter().rev() {
        let lane = u8x16::new(*lane);
        let bits = |byte| u64::from(lane.simd_eq(u8x16::splat(byte)).to_bitmask());
        let values = lane - u8x16::splat(b'0');
        digits = digits << LANES | u64::from(values.min(u8x16::splat(9)).simd_eq(values).to_bitmask());
        zeros = zeros << LANES | bits(b'0');
        commas = commas << LANES | bits(b',');
        minuses = minuses << LANES | bits(b'-');
        points = points << LANES | bits(b'.');
    }
    // Up to the last comma before what is something else.
    let others = !(digits | commas | minuses | points);
    let last = (commas & (others & others.wrapping_neg()).wrapping_sub(1)).leading_zeros();
    let Some(region) = u64::MAX.checked_shr(last) else { return 0 };
    let starts = commas << 1 | 1;
    let first_digits = starts & digits | minuses << 1;
    let fractions = points << 1;
    // Where the digits end that follow a point: the sum carries through them.
    let behind_fractions = digits.wrapping_add(fractions & digits) & !digits;
    let wrong = minuses & !starts
        | starts & !(digits | minuses)
        | first_digits & !digits
        | (first_digits & zeros) << 1 & digits
        | (points | commas) & !(digits << 1)
        | fractions & !digits
        | points & behind_fractions;
    if wrong & region == 0 { 64 - last as usize } else { 0 }
}

/// The length of the literal with which the window begins and of the comma behind it; 0: these are not there. There is no
/// branch that depends on which it is, for what is true or false is hard to guess.
#[inline(always)]
fn short_literal(window: &[u8; WINDOW]) -> usize {
    let [a, b, c, d, e, f, ..] = *window;
    let six = u64::from_le_bytes([a, b, c, d, e, f, 0, 0]);
    let five = six & 0xff_ffff_ffff;
    let is_false = six == u64::from_le_bytes(*b"false,\0\0");
    let others = (five == u64::from_le_bytes(*b"true,\0\0\0")) | (five == u64::from_le_bytes(*b"null,\0\0\0"));
    5 * usize::from(others) + 6 * usize::from(is_false)
}

/// How many bytes from `next` on repeat those from `start` on, in whole steps of `next - start`.
///
/// If an element of an array begins at either of them, one begins behind each step, and what they
/// hold was judged already: the statuses and times of a column are such runs (wire-feast.md,
/// section 2). What is compared in vain is less than one step and one chunk, so time stays linear.
#[inline]
fn repeated(text: &[u8], start: usize, next: usize) -> usize {
    const WIDE: usize = 4 * LANES;
    let (before, behind) = (text.get(start..).unwrap_or_default(), text.get(next..).unwrap_or_default());
    let mut same = 0;
    let (wide, _) = before.as_chunks::<WIDE>();
    let (wide_behind, _) = behind.as_chunks::<WIDE>();
    for (a, b) in wide.iter().zip(wide_behind) {
        if !equal(a, b) {
            break;
        }
        same += WIDE;
    }
    let (narrow, _) = before.get(same..).unwrap_or_default().as_chunks::<LANES>();
    let (narrow_behind, _) = behind.get(same..).unwrap_or_default().as_chunks::<LANES>();
    for (a, b) in narrow.iter().zip(narrow_behind) {
        let different = !u8x16::new(*a).simd_eq(u8x16::new(*b)).to_bitmask() & 0xffff;
        if different != 0 {
            same += different.trailing_zeros() as usize;
            break;
        }
        same += LANES;
    }
    let step = next.saturating_sub(start).max(1);
    if same < step { 0 } else { same - same % step }
}

#[inline(always)]
fn equal(a: &[u8; 4 * LANES], b: &[u8; 4 * LANES]) -> bool {
    let (a, _) = a.as_chunks::<LANES>();
    let (b, _) = b.as_chunks::<LANES>();
    let all = a.iter().zip(b).fold(u8x16::splat(0xff), |all, (a, b)| all & u8x16::new(*a).simd_eq(u8x16::new(*b)));
    all.to_bitmask() == 0xffff
}

/// The offset in `window` behind the number with which it begins, if it is of the usual spelling and ends there; 0: look
/// closer. An exponent behind it is not looked for.
#[inline(always)]
fn short_number(window: &[u8; WINDOW], block: u8x16) -> usize {
    let others = no_digits(block);
    // It begins with a minus or a digit.
    let first = (others & 1) as usize;
    let whole = (others >> first).trailing_zeros() as usize;
    let end = first + whole;
    let zero = window.get(first) == Some(&b'0');
    if whole == 0 || zero && whole > 1 {
        return 0;
    }
    if window.get(end & (WINDOW - 1)) != Some(&b'.') {
        return if end < LANES { end } else { 0 };
    }
    let digits = (others >> ((end + 1) & 31)).trailing_zeros() as usize;
    match end + 1 + digits {
        _ if digits == 0 => 0,
        end if end < LANES => end,
        LANES => match no_digits(upper(window)).trailing_zeros() as usize {
            LANES => 0,
            digits => LANES + digits,
        },
        _ => 0,
    }
}

/// The first half of a window.
#[inline(always)]
fn lower(window: &[u8; WINDOW]) -> u8x16 {
    window.first_chunk().map_or(u8x16::splat(0), |block| u8x16::new(*block))
}

/// The second half of a window.
#[inline(always)]
fn upper(window: &[u8; WINDOW]) -> u8x16 {
    window.last_chunk().map_or(u8x16::splat(0), |block| u8x16::new(*block))
}
