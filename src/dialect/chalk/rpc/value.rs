//! The small parts of a request that are checked alike wherever they stand.

use crate::dialect::Invalid;
use crate::dialect::chalk::proto::{Timestamp, Value, ValueKind};

/// Bytes of a label: a name, an id, a tag.
const LONGEST_LABEL: usize = 256;
/// The years 1 and 9999 (`google/protobuf/timestamp.proto`).
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// Why a part is refused, in words that follow its name.
pub(super) fn refuse(way: &str, problem: &str) -> Invalid {
    Invalid(format!("`{way}` {problem}"))
}

/// A name or an id: printable ASCII, and not beyond 256 bytes.
pub(super) fn label(way: &str, text: &str) -> Result<(), Invalid> {
    if text.len() <= LONGEST_LABEL && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
        return Ok(());
    }
    Err(refuse(way, &format!("is not printable ascii of at most {LONGEST_LABEL} bytes")))
}

/// A label that is left out where it is empty.
pub(super) fn optional(way: &str, text: &mut Option<String>) -> Result<(), Invalid> {
    label(way, text.as_deref().unwrap_or_default())?;
    *text = text.take().filter(|text| !text.is_empty());
    Ok(())
}

pub(super) fn time(way: &str, time: Timestamp) -> Result<(), Invalid> {
    let fine = SECONDS.contains(&time.seconds) && (0..1_000_000_000).contains(&time.nanos);
    if fine { Ok(()) } else { Err(refuse(way, "is not a time of the years 1 to 9999")) }
}

pub(super) fn is_null(value: &Value) -> bool {
    matches!(value.kind, Some(ValueKind::Null(_)))
}

/// Whether a value is one of JSON, and every value within it. One without a kind means nothing, and numbers that are none
/// may be read as missing (`google/protobuf/struct.proto`): then what counts as supplied would be computed.
pub(super) fn is_whole(value: &Value) -> bool {
    match &value.kind {
        None => false,
        Some(ValueKind::Number(number)) => number.is_finite(),
        Some(ValueKind::Null(_) | ValueKind::String(_) | ValueKind::Bool(_)) => true,
        Some(ValueKind::Struct(fields)) => fields.fields.values().all(is_whole),
        Some(ValueKind::List(list)) => list.values.iter().all(is_whole),
    }
}
