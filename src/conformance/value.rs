//! A value of the fixture.

use serde_json::Value;

/// The value of a feature in a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// None.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A text.
    Text(String),
}

/// Characters that a value needs to be found in bytes without doubt.
const LONG: usize = 10;
/// And of its 8 bytes, those that are neither 0 nor 255.
const PLAIN: usize = 4;

impl Cell {
    /// In JSON.
    pub fn json(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::from(*value),
            Self::Int(value) => Value::from(*value),
            Self::Float(value) => Value::from(*value),
            Self::Text(text) => Value::from(text.as_str()),
        }
    }

    /// Out of JSON; `None` for lists and objects, which no value of the table is.
    pub fn of_json(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => match number.as_i64() {
                Some(value) => Self::Int(value),
                None => Self::Float(number.as_f64()?),
            },
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(_) | Value::Object(_) => return None,
        })
    }

    /// What it looks like in bytes, in every form that a wire gives it; empty where it is too common to be looked for.
    pub fn needles(&self) -> Vec<Vec<u8>> {
        let number = |text: String, bytes: [u8; 8]| {
            // Paddings and offsets of tables are mostly of these two.
            let plain = bytes.iter().filter(|byte| !matches!(byte, 0 | 0xff)).count() < PLAIN;
            let [text, bytes] = [text.into_bytes(), bytes.to_vec()];
            match (text.len() < LONG, plain) {
                (true, _) => Vec::new(),
                (false, true) => vec![text],
                (false, false) => vec![text, bytes],
            }
        };
        match self {
            Self::Null | Self::Bool(_) => Vec::new(),
            Self::Int(value) => number(value.to_string(), value.to_le_bytes()),
            Self::Float(value) => number(Value::from(*value).to_string(), value.to_le_bytes()),
            Self::Text(text) if text.len() < LONG => Vec::new(),
            Self::Text(text) => vec![text.clone().into_bytes()],
        }
    }
}
