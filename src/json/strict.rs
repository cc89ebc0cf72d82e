//! A small JSON text as a tree, read strictly: claims, metadata, parameters, registries.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// A name as a message shows it: on one line, and not without end.
pub fn shown(name: &str) -> String {
    const LONGEST: usize = 128;
    let mut out: String = name.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if name.chars().nth(LONGEST).is_some() {
        out.push_str("...");
    }
    out
}

/// A JSON value in which no member stands twice, at any depth (RFC 8725, 2.4: parsers differ on which one counts, and whoever
/// reads it after us might choose the other).
///
/// # Errors
/// Another text, or one that is nested deeper than `serde_json` reads (128 levels).
pub fn strict_value(text: &[u8]) -> serde_json::Result<Value> {
    serde_json::from_slice::<Strict>(text).map(|Strict(value)| value)
}

/// [`strict_value`], where it is an object.
pub fn strict_object(text: &[u8]) -> Option<Map<String, Value>> {
    match strict_value(text) {
        Ok(Value::Object(object)) => Some(object),
        Ok(_) | Err(_) => None,
    }
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Strict;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Strict, E> {
        Ok(Strict(Value::Null))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Strict, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Strict(Value::Array(list)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Strict, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if object.contains_key(&key) {
                let key = shown(&key);
                return Err(de::Error::custom(format!("the key `{key}` stands twice")));
            }
            let Strict(value) = entries.next_value()?;
            object.insert(key, value);
        }
        Ok(Strict(Value::Object(object)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn strict_json_is_the_same_json() {
        let text = json!({
            "a": null, "b": [true, false, {"c": {}}], "d": -1, "e": 18446744073709551615u64, "f": 1.5,
            "g": "\u{1f600}\u{0}\"", "": [],
        });
        assert_eq!(strict_value(text.to_string().as_bytes()).unwrap(), text);
        assert_eq!(strict_object(br#"{"a":1,"a":1}"#), None);
        assert_eq!(strict_object(br#"{"b":{"a":1,"\u0061":1}}"#), None);
        assert_eq!(strict_object(b"\xef\xbb\xbf{}"), None);
        assert_eq!(strict_object(b"{\"a\":\"\xff\"}"), None);
        assert_eq!(strict_object(b"[]"), None);
    }
}
