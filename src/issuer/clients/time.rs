//! Times of clients.yaml: RFC 3339, read strictly, as unix seconds.

use std::time::Duration;

use x509_cert::der::DateTime;

/// `2026-11-23T08:00:00Z`, with a fraction (which is cut) or an offset too. `None`: no such time, or before 1970 or after 9999.
/// A leap second is none.
pub(super) fn instant(text: &str) -> Option<u64> {
    let (day, rest) = text.split_once(['T', 't'])?;
    let (clock, rest) = rest.split_at_checked(8)?;
    let mut parts = clock.split(':');
    let (hour, minute, second) = (number(parts.next()?, 2)?, number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let (year, month, day) = ymd(day)?;
    let local = DateTime::new(year, month, day, hour, minute, second).ok()?.unix_duration().as_secs();
    let offset = match rest.strip_prefix('.') {
        None => rest,
        Some(fraction) => {
            let offset = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            (offset.len() < fraction.len()).then_some(offset)?
        }
    };
    if matches!(offset, "Z" | "z") {
        return Some(local);
    }
    let (sign, offset) = offset.split_at_checked(1)?;
    let (hours, minutes) = offset.split_once(':')?;
    let (hours, minutes): (u64, u64) = (number(hours, 2)?, number(minutes, 2)?);
    let seconds = (hours < 24 && minutes < 60).then_some(hours * 3600 + minutes * 60)?;
    let utc = match sign {
        "+" => local.checked_sub(seconds),
        "-" => local.checked_add(seconds),
        _ => None,
    };
    utc.filter(|utc| shown(*utc).is_some())
}

/// Whether a text is a date, `2026-11-23`, or an [`instant`].
pub(super) fn is_day_or_instant(text: &str) -> bool {
    let day = ymd(text).is_some_and(|(year, month, day)| DateTime::new(year, month, day, 0, 0, 0).is_ok());
    day || instant(text).is_some()
}

/// Unix seconds as `2026-11-23T08:00:00Z`; `None` after the year 9999.
pub fn shown(seconds: u64) -> Option<String> {
    DateTime::from_unix_duration(Duration::from_secs(seconds)).ok().map(|time| time.to_string())
}

fn ymd(text: &str) -> Option<(u16, u8, u8)> {
    let mut parts = text.split('-');
    let date = (number(parts.next()?, 4)?, number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    parts.next().is_none().then_some(date)
}

/// Exactly so many digits.
fn number<T: std::str::FromStr>(text: &str, digits: usize) -> Option<T> {
    let plain = text.len() == digits && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-11-23T08:00:00Z", 1_795_420_800),
            ("2026-11-23t08:00:00z", 1_795_420_800),
            ("2026-11-23T08:00:00.999Z", 1_795_420_800),
            ("2026-11-23T09:30:00+01:30", 1_795_420_800),
            ("2026-11-22T23:00:00-09:00", 1_795_420_800),
            ("2024-02-29T00:00:00-00:00", 1_709_164_800),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            assert_eq!(instant(text), Some(seconds), "{text}");
        }
        assert_eq!(shown(1_795_420_800).as_deref(), Some("2026-11-23T08:00:00Z"));
        assert_eq!(shown(253_402_300_800), None);
    }

    #[test]
    fn what_is_no_time_is_not_read() {
        for text in [
            "",
            "2026-11-23",
            "2026-11-23T08:00:00",
            "2026-11-23 08:00:00Z",
            "2026-11-23T08:00Z",
            "2026-11-23T24:00:00Z",
            "2026-11-23T08:60:00Z",
            "2026-12-31T23:59:60Z",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "26-11-23T08:00:00Z",
            "2026-1-23T08:00:00Z",
            "+026-11-23T08:00:00Z",
            "2026-11-23T+8:00:00Z",
            "2026-11-23T08:00:00.Z",
            "2026-11-23T08:00:00.5",
            "2026-11-23T08:00:00+0100",
            "2026-11-23T08:00:00+24:00",
            "2026-11-23T08:00:00+01:60",
            "2026-11-23T08:00:00+01:00 ",
            "2026-11-23T08:00:00ä01:00",
            "2026-11-23T08:00:0äZ",
            "1970-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "1969-12-31T23:59:59Z",
        ] {
            assert_eq!(instant(text), None, "{text}");
        }
    }

    #[test]
    fn a_day_alone_is_one() {
        assert!(is_day_or_instant("2026-11-23") && is_day_or_instant("2026-11-23T08:00:00Z"));
        for text in ["", "2026-11-31", "2026-11-23T", "2026-11-23-", "2026-11", "11/23/2026"] {
            assert!(!is_day_or_instant(text), "{text}");
        }
    }
}
