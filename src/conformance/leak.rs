//! Values that came and should not have, wherever they stand.

use std::collections::{BTreeSet, HashMap};

use regex::bytes::Regex;
use serde_json::Value;

use super::Cell;
use super::table::{ROWS, Table};
use super::wire::{Column, Exchange, Got};

/// The values of a file of the table, to be looked for.
#[derive(Debug)]
pub struct Needles {
    any: Regex,
    /// Whose each is.
    of: HashMap<Vec<u8>, Vec<(String, Cell)>>,
}

impl Needles {
    /// All that are long enough to be found without doubt.
    ///
    /// # Errors
    /// They are too many to be looked for.
    pub fn new(table: &Table) -> Result<Self, String> {
        let mut of: HashMap<Vec<u8>, Vec<(String, Cell)>> = HashMap::new();
        for name in table.held() {
            for cell in (1..=ROWS).filter_map(|row| table.value(name, row)) {
                for needle in cell.needles() {
                    of.entry(needle).or_default().push((name.to_owned(), cell.clone()));
                }
            }
        }
        let escaped = |needle: &Vec<u8>| needle.iter().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
        let all: BTreeSet<String> = of.keys().map(escaped).collect();
        let any = format!("(?-u){}", all.into_iter().collect::<Vec<_>>().join("|"));
        let any = Regex::new(&any).map_err(|error| format!("the values cannot be looked for: {error}"))?;
        Ok(Self { any, of })
    }

    /// Features of which a value is somewhere in an exchange, and not one of those that are answered. `also`: texts that were
    /// packed in it.
    pub fn found(&self, answered: &[Column], exchange: &Exchange, also: &[Vec<u8>]) -> BTreeSet<String> {
        let fine: Vec<&Cell> = answered.iter().flat_map(|(_, cells)| cells).collect();
        let mut found = BTreeSet::new();
        for place in places(exchange, also) {
            for hit in self.any.find_iter(&place) {
                let whose = self.of.get(hit.as_bytes()).into_iter().flatten();
                found.extend(whose.filter(|(_, cell)| !fine.contains(&cell)).map(|(name, _)| name.clone()));
            }
        }
        found
    }
}

/// The bytes as they came, and without the escapes that a wire writes texts with.
fn places(exchange: &Exchange, also: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut places = vec![exchange.body.to_vec()];
    for (name, value) in exchange.headers.iter().chain(&exchange.trailers) {
        places.extend([name.clone().into_bytes(), value.clone(), unescaped(value)]);
    }
    places.extend(also.iter().cloned());
    if let Ok(body) = serde_json::from_slice(&exchange.body) {
        texts(&body, &mut places);
    }
    places
}

/// Without percent encoding, as `grpc-message` has it.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let hex = after.first_chunk::<2>().filter(|_| *first == b'%').and_then(|two| std::str::from_utf8(two).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                plain.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    plain
}

/// Every text of a JSON body, keys too; what is JSON in a text as well.
fn texts(value: &Value, places: &mut Vec<Vec<u8>>) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
        Value::String(text) => {
            places.push(text.clone().into_bytes());
            if let Ok(inner @ (Value::Object(_) | Value::Array(_) | Value::String(_))) = serde_json::from_str(text) {
                texts(&inner, places);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| texts(item, places)),
        Value::Object(members) => {
            for (key, value) in members {
                places.push(key.clone().into_bytes());
                texts(value, places);
            }
        }
    }
}

/// The texts of what was read, which a wire may have packed.
pub fn unpacked(got: &Got) -> Vec<Vec<u8>> {
    let Got::Answer(columns) = got else { return Vec::new() };
    let cells = columns.iter().flat_map(|(name, cells)| {
        let texts = cells.iter().map(|cell| match cell {
            Cell::Text(text) => text.clone().into_bytes(),
            Cell::Null | Cell::Bool(_) | Cell::Int(_) | Cell::Float(_) => cell.json().to_string().into_bytes(),
        });
        texts.chain([name.clone().into_bytes()]).collect::<Vec<_>>()
    });
    cells.collect()
}
