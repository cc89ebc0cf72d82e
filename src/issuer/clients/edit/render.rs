//! A tree as YAML, where none of its text can be kept.

use std::fmt::Write as _;

use crate::yaml::{Key, Node, Value};

/// Words that a reader of YAML, of this version or an older one, takes for something else than a text.
const WORDS: &[&str] = &["null", "true", "false", "yes", "no", "on", "off", "y", "n", "inf", "nan", "infinity"];

/// A key and its value, in lines of their own. Maps are written in block style down to `depth` levels below it, and lists where
/// they stand alone; what is deeper is one line.
pub(super) fn entry(name: &str, value: &Value, indent: usize, depth: usize, end: &str) -> String {
    let margin = " ".repeat(indent);
    let mut out = format!("{margin}{}:", key(name));
    match value {
        Value::Map(entries) if depth > 0 && !entries.is_empty() => {
            out.push_str(end);
            for (Key { name, .. }, node) in entries {
                out.push_str(&entry(name, &node.value, indent + 2, depth - 1, end));
            }
        }
        Value::Seq(items) if !items.is_empty() => {
            out.push_str(end);
            for item in items {
                out.push_str(&format!("{margin}  - {}{end}", flow(&item.value)));
            }
        }
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Str(_)
        | Value::Seq(_)
        | Value::Map(_) => {
            out.push_str(&format!(" {}{end}", flow(value)));
        }
    }
    out
}

/// The whole file.
pub(super) fn file(root: &Node, end: &str) -> String {
    let Value::Map(entries) = &root.value else { return String::new() };
    entries.iter().map(|(key, node)| entry(&key.name, &node.value, 0, 2, end)).collect()
}

fn flow(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        // With a point or an exponent, so that it stays a float.
        Value::Float(value) => format!("{value:?}"),
        Value::Str(text) => key(text),
        Value::Seq(items) => {
            let items: Vec<String> = items.iter().map(|item| flow(&item.value)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Map(entries) => {
            let entry = |(name, node): &(Key, Node)| format!("{}: {}", key(&name.name), flow(&node.value));
            let entries: Vec<String> = entries.iter().map(entry).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

/// A text, bare where nobody can take it for something else.
fn key(text: &str) -> String {
    let mut bytes = text.bytes();
    let word = bytes.next().is_some_and(|b| b.is_ascii_alphabetic())
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if word && !WORDS.contains(&text.to_ascii_lowercase().as_str()) { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    let mut out = "\"".to_owned();
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            // What YAML does not print (5.1), breaks lines at, or takes for a mark of byte order.
            '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => escape(&mut out, c),
            c if c.is_control() => escape(&mut out, c),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn escape(out: &mut String, c: char) {
    write!(out, "\\u{:04x}", u32::from(c)).ok();
}
