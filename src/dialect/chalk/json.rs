//! Messages in JSON, translated by their shapes from and to protobuf: the canonical mapping of protobuf.dev (ProtoJSON).
//!
//! [`to_proto`] is the strict half: no field that is not known, none under both of its names, no key twice, no number that
//! would be another one in protobuf. What comes out is read as every message is, by [`strict`](crate::dialect::strict). [`to_json`] drops
//! what is not known, as prost does.
//!
//! | in protobuf | in JSON |
//! |---|---|
//! | a field | `lowerCamelCase`, or as in the descriptors; `null` is not given |
//! | numbers of 64 bits | text; numbers are read, too |
//! | `bytes` | base64; both alphabets are read, padded or not |
//! | an enumeration | a name; numbers are read, too, and written where there is no name |
//! | `Timestamp`, `Duration` | `2026-01-02T03:04:05.006Z`, `1.5s` |
//! | `Value`, `Struct`, `ListValue` | what they stand for |

mod read;
mod time;
mod write;

pub use read::to_proto;
pub use write::to_json;

/// A field's name in JSON: `feature_fqn` is `featureFqn`.
fn camel(name: &str) -> impl Iterator<Item = char> {
    let mut upper = false;
    name.chars().filter_map(move |c| {
        if c == '_' {
            upper = true;
            return None;
        }
        Some(if std::mem::take(&mut upper) { c.to_ascii_uppercase() } else { c })
    })
}

/// The messages that JSON has a form of its own for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// An object of fields.
    Fields,
    Timestamp,
    Duration,
    Value,
    Struct,
    List,
}

impl Form {
    fn of(name: &str) -> Self {
        match name {
            "google.protobuf.Timestamp" => Self::Timestamp,
            "google.protobuf.Duration" => Self::Duration,
            "google.protobuf.Value" => Self::Value,
            "google.protobuf.Struct" => Self::Struct,
            "google.protobuf.ListValue" => Self::List,
            _ => Self::Fields,
        }
    }
}

#[cfg(test)]
mod tests;
