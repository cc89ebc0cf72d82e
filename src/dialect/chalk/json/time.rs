//! `Timestamp` and `Duration` as texts.

/// Seconds from 1970 of the first and of the last second that a `Timestamp` may have: the years 1 to 9999.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
/// Seconds that a `Duration` may have, either way: 10,000 years.
const LONGEST: i64 = 315_576_000_000;
const SECOND: i32 = 1_000_000_000;
const DAY: i64 = 86_400;
/// Days of 400 years.
const ERA: i64 = 146_097;

/// Seconds and nanoseconds of `2026-01-02T03:04:05.006Z`, or with an offset such as `+01:00`. `None`: another text, no time,
/// or none between the years 1 and 9999.
pub(super) fn timestamp(text: &str) -> Option<(i64, i32)> {
    let (date, clock) = text.split_once('T')?;
    let [year, month, day] = parts(date, '-', [4, 2, 2])?;
    let zone = clock.find(['Z', '+', '-'])?;
    let (clock, zone) = clock.split_at_checked(zone)?;
    let (clock, nanos) = fraction(clock)?;
    let [hour, minute, second] = parts(clock, ':', [2, 2, 2])?;
    if year < 1 || !(1..=12).contains(&month) || !(1..=days(year, month)).contains(&day) {
        return None;
    }
    let offset = match zone.strip_prefix('Z') {
        Some("") => 0,
        Some(_) => return None,
        None => {
            let sign = if zone.starts_with('-') { -1 } else { 1 };
            let [hours, minutes] = parts(zone.get(1..)?, ':', [2, 2])?;
            (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))?
        }
    };
    let of_day = (hour < 24 && minute < 60 && second < 60).then_some(hour * 3600 + minute * 60 + second)?;
    let seconds = since_1970(year, month, day) * DAY + of_day - offset;
    SECONDS.contains(&seconds).then_some((seconds, nanos))
}

/// The text of it, in UTC. `None`: it is no time that a `Timestamp` may have.
pub(super) fn timestamp_text(seconds: i64, nanos: i32) -> Option<String> {
    if !SECONDS.contains(&seconds) || !(0..SECOND).contains(&nanos) {
        return None;
    }
    let (day, of_day) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    // The year is found from below: a guess that is never late, and at most a year early.
    let mut year = 1970 + day.div_euclid(366).min(day.div_euclid(365));
    while since_1970(year + 1, 1, 1) <= day {
        year += 1;
    }
    let mut month = 1;
    while month < 12 && since_1970(year, month + 1, 1) <= day {
        month += 1;
    }
    let day = day - since_1970(year, month, 1) + 1;
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{}Z", fraction_text(nanos)))
}

/// Seconds and nanoseconds, of one sign, of `-1.5s`. `None`: another text, or more than 10,000 years.
pub(super) fn duration(text: &str) -> Option<(i64, i32)> {
    let number = text.strip_suffix('s')?;
    let (sign, number) = number.strip_prefix('-').map_or((1, number), |number| (-1, number));
    let (seconds, nanos) = fraction(number)?;
    let seconds = digits(seconds).filter(|_| seconds.len() <= 12)?;
    (seconds < LONGEST || (seconds == LONGEST && nanos == 0)).then_some((i64::from(sign) * seconds, sign * nanos))
}

/// The text of it. `None`: it is no length that a `Duration` may have.
pub(super) fn duration_text(seconds: i64, nanos: i32) -> Option<String> {
    let one_sign = !(seconds < 0 && nanos > 0 || seconds > 0 && nanos < 0);
    if !one_sign || seconds.unsigned_abs() > LONGEST.unsigned_abs() || nanos.unsigned_abs() >= SECOND.unsigned_abs() {
        return None;
    }
    let sign = if seconds < 0 || nanos < 0 { "-" } else { "" };
    Some(format!("{sign}{}{}s", seconds.unsigned_abs(), fraction_text(nanos.saturating_abs())))
}

/// What stands before a point, and the nanoseconds behind it: 1 to 9 digits, where there is a point.
fn fraction(text: &str) -> Option<(&str, i32)> {
    let Some((whole, part)) = text.split_once('.') else { return Some((text, 0)) };
    let number = digits(part).filter(|_| part.len() <= 9)?;
    let scale = 10_i64.checked_pow(9_u32.checked_sub(u32::try_from(part.len()).ok()?)?)?;
    Some((whole, i32::try_from(number * scale).ok()?))
}

/// With 3, 6 or 9 digits; nothing where there is nothing.
fn fraction_text(nanos: i32) -> String {
    match nanos {
        0 => String::new(),
        nanos if nanos % 1_000_000 == 0 => format!(".{:03}", nanos / 1_000_000),
        nanos if nanos % 1000 == 0 => format!(".{:06}", nanos / 1000),
        nanos => format!(".{nanos:09}"),
    }
}

/// Numbers of exactly so many digits.
fn parts<const N: usize>(text: &str, between: char, lengths: [usize; N]) -> Option<[i64; N]> {
    let mut numbers = [0; N];
    let mut rest = text.split(between);
    for (number, length) in numbers.iter_mut().zip(lengths) {
        let text = rest.next().filter(|text| text.len() == length)?;
        *number = digits(text)?;
    }
    rest.next().is_none().then_some(numbers)
}

fn digits(text: &str) -> Option<i64> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, whose years are taken to begin in March: so the leap day is the last
/// one, and months before it have 153 days in five.
fn since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let of_era = year * 365 + year / 4 - year / 100 + of_year;
    era * ERA + of_era - 719_468
}

fn days(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}
