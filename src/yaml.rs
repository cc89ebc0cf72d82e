//! A YAML text as a tree with a place on every value, and a reader over it that collects every mistake instead of
//! stopping at the first.
//!
//! The parser (`serde-saphyr`) bounds aliases, depth and size; duplicate keys are left to [`Reader::fields`], which
//! reports both places.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value as Json};
use serde_saphyr::Spanned;

use crate::diagnostic::{Code, Diagnostic, Place, Report, SourceFile};

/// The largest text that is read, 64 MiB.
pub const MAX_TEXT_BYTES: usize = 64 << 20;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// A value of the core schema; booleans are `true` and `false` alone.
#[derive(Clone, Debug)]
pub enum Value {
    /// Nothing, `~`, `null`.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A text.
    Str(String),
    /// A list.
    Seq(Vec<Node>),
    /// A map, in the order of the text, duplicate keys included.
    Map(Vec<(Key, Node)>),
}

impl Value {
    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Str(_) => "a text",
            Self::Seq(_) => "a list",
            Self::Map(_) => "a map",
        }
    }

    /// The same in JSON, as it stands; of a key that stands twice the last.
    pub fn as_json(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Bool(value) => Json::Bool(*value),
            Self::Int(number) => Json::from(*number),
            Self::Float(number) => Json::from(*number),
            Self::Str(text) => Json::String(text.clone()),
            Self::Seq(items) => items.iter().map(|item| item.value.as_json()).collect(),
            Self::Map(entries) => entries.iter().map(|(key, node)| (key.name.clone(), node.value.as_json())).collect(),
        }
    }
}

/// A key of a map and where it stands.
#[derive(Clone, Debug)]
pub struct Key {
    /// The name.
    pub name: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

struct Raw(Value);

fn small(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

impl From<Spanned<Raw>> for Node {
    fn from(raw: Spanned<Raw>) -> Self {
        Self { value: raw.value.0, line: small(raw.referenced.line()), column: small(raw.referenced.column()) }
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw(Value::Int(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        // Beyond i64 no number has a meaning here; it stays a number, so that no text is equal to it.
        Ok(Raw(i64::try_from(value).map_or(Value::Float(value as f64), Value::Int)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw(Value::Float(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw(Value::Str(value.to_owned())))
    }

    fn visit_string<E>(self, value: String) -> Result<Raw, E> {
        Ok(Raw(Value::Str(value)))
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        deserializer.deserialize_any(Self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element::<Spanned<Raw>>()? {
            items.push(item.into());
        }
        Ok(Raw(Value::Seq(items)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key::<Spanned<String>>()? {
            let key =
                Key { name: key.value, line: small(key.referenced.line()), column: small(key.referenced.column()) };
            entries.push((key, access.next_value::<Spanned<Raw>>()?.into()));
        }
        Ok(Raw(Value::Map(entries)))
    }
}

/// Reads one document.
///
/// # Errors
/// The parser's first mistake, with its place.
pub fn parse(file: &Arc<SourceFile>) -> Result<Node, Box<Diagnostic>> {
    if file.text.len() > MAX_TEXT_BYTES {
        return Err(Box::new(Diagnostic::new(Code::Syntax, &Place::file(file), "the file is larger than 64 MiB")));
    }
    let budget = serde_saphyr::budget! {
        max_reader_input_bytes: Some(MAX_TEXT_BYTES),
        max_events: 40_000_000,
        max_nodes: 20_000_000,
        max_total_scalar_bytes: MAX_TEXT_BYTES,
        max_depth: 64,
    };
    let options = serde_saphyr::options! {
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::PassThrough,
        strict_booleans: true,
        budget: budget,
    };
    match serde_saphyr::from_str_with_options::<Spanned<Raw>>(&file.text, options) {
        Ok(raw) => Ok(raw.into()),
        Err(error) => {
            let (line, column) = error.location().map_or((0, 0), |l| (small(l.line()), small(l.column())));
            let place = Place { file: Arc::clone(file), line, column };
            let text = error.without_snippet().to_string();
            let text = text.split(" at line ").next().unwrap_or_default().replace('\n', " ");
            let alias = ["alias references", "simple key expected", "while scanning an anchor"];
            let diagnostic = match unquoted(file, &place) {
                Some(name) if alias.iter().any(|begins| text.starts_with(begins)) => {
                    let message = format!("`{name}` is read as an alias, which names nothing here");
                    let help = format!("a pattern that begins with `*` is quoted: '{name}'");
                    Diagnostic::new(Code::Syntax, &place, message).help(help)
                }
                Some(_) | None => Diagnostic::new(Code::Syntax, &place, plain(&text)),
            };
            Err(Box::new(diagnostic))
        }
    }
}

/// The parser's words without those of its programming interface.
fn plain(text: &str) -> &str {
    const KNOWN: &[(&str, &str)] = &[
        ("multiple YAML documents", "a second document begins; a file has one"),
        ("budget breached: Depth", "lists and maps lie deeper within each other than 64 levels"),
        ("budget breached: ", "the file, with its aliases written out, is larger than is read"),
        ("recursive references ", "an alias stands within what it repeats"),
        ("non-finite float ", "a number is not finite"),
        ("invalid ", "a value is not what its `!!` says that it is"),
        ("unexpected character: ", "no value begins with this character"),
        ("YAML merge value ", "what `<<` merges is no map"),
    ];
    match KNOWN.iter().find(|(begins, _)| text.starts_with(begins)) {
        Some((_, plain)) => plain,
        None if text.contains("null into string") || text.contains("expected string scalar") => "a key is not a text",
        None => text.split("; use ").next().unwrap_or(text),
    }
}

/// The word at a place that begins with `*`, which nobody quoted.
fn unquoted(file: &SourceFile, place: &Place) -> Option<String> {
    let index = usize::try_from(place.line.checked_sub(1)?).ok()?;
    let skip = usize::try_from(place.column.saturating_sub(1)).ok()?;
    let rest: String = file.text.lines().nth(index)?.chars().skip(skip).collect();
    let word = rest.split([' ', ',', '}', ']', '\t']).next().unwrap_or_default().trim_end_matches(':');
    word.starts_with('*').then(|| word.to_owned())
}

/// Reads values out of a tree; every mistake goes to the report and yields `None`.
pub struct Reader<'r> {
    /// The file that is read.
    pub file: Arc<SourceFile>,
    /// Where mistakes go.
    pub report: &'r mut Report,
}

/// The entries of a map whose keys are known and stand once.
pub struct Fields<'n> {
    entries: Vec<(&'n Key, &'n Node)>,
}

impl<'n> Fields<'n> {
    /// The value under a key; a null value counts as left out.
    pub fn get(&self, name: &str) -> Option<&'n Node> {
        self.entry(name).map(|(_, node)| node)
    }

    /// Key and value; a null value counts as left out.
    pub fn entry(&self, name: &str) -> Option<(&'n Key, &'n Node)> {
        self.raw(name).filter(|(_, node)| !matches!(node.value, Value::Null))
    }

    /// Key and value, null values too.
    pub fn raw(&self, name: &str) -> Option<(&'n Key, &'n Node)> {
        self.entries.iter().find(|(key, _)| key.name == name).copied()
    }
}

impl Reader<'_> {
    /// The place of a value.
    pub fn place(&self, node: &Node) -> Place {
        Place { file: Arc::clone(&self.file), line: node.line, column: node.column }
    }

    /// The place of a key.
    pub fn key_place(&self, key: &Key) -> Place {
        Place { file: Arc::clone(&self.file), line: key.line, column: key.column }
    }

    /// Reports a mistake at a value.
    pub fn error(&mut self, node: &Node, code: Code, message: impl Into<String>) {
        let place = self.place(node);
        self.report.push(Diagnostic::new(code, &place, message));
    }

    fn wrong_kind(&mut self, node: &Node, what: &str, wanted: &str) {
        self.error(node, Code::WrongKind, format!("{what} is {}, not {wanted}", node.value.kind()));
    }

    /// The entries of a map, each key once; `None` where it is no map.
    pub fn entries<'n>(&mut self, node: &'n Node, what: &str) -> Option<Vec<(&'n Key, &'n Node)>> {
        let Value::Map(entries) = &node.value else {
            self.wrong_kind(node, what, "a map");
            return None;
        };
        let mut seen = std::collections::HashMap::with_capacity(entries.len());
        let mut kept = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            if let Some(first) = seen.insert(key.name.as_str(), key) {
                let place = self.key_place(key);
                let line = first.line;
                self.report.push(Diagnostic::new(
                    Code::DuplicateKey,
                    &place,
                    format!("`{}` stands twice in {what}, first in line {line}", key.name),
                ));
            } else {
                kept.push((key, value));
            }
        }
        Some(kept)
    }

    /// The entries of a map with known keys; an unknown one is reported with the nearest known.
    pub fn fields<'n>(&mut self, node: &'n Node, what: &str, known: &[&str]) -> Option<Fields<'n>> {
        let entries = self.entries(node, what)?;
        for (key, _) in &entries {
            if !known.contains(&key.name.as_str()) {
                let place = self.key_place(key);
                self.report.push(
                    Diagnostic::new(Code::UnknownKey, &place, format!("unknown key `{}` in {what}", key.name))
                        .suggest(&key.name, known.iter().copied()),
                );
            }
        }
        Some(Fields { entries })
    }

    /// The items of a list.
    pub fn list<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Node]> {
        if let Value::Seq(items) = &node.value {
            return Some(items);
        }
        self.wrong_kind(node, what, "a list");
        None
    }

    /// A text that is not empty.
    pub fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        match &node.value {
            Value::Str(text) if text.is_empty() => {
                self.error(node, Code::Empty, format!("{what} is empty"));
                None
            }
            Value::Str(text) => Some(text),
            _ => {
                self.wrong_kind(node, what, "a text");
                None
            }
        }
    }

    /// A boolean.
    pub fn boolean(&mut self, node: &Node, what: &str) -> Option<bool> {
        if let Value::Bool(value) = node.value {
            return Some(value);
        }
        self.wrong_kind(node, what, "true or false");
        None
    }

    /// A whole number that is not negative.
    pub fn count(&mut self, node: &Node, what: &str) -> Option<u64> {
        match node.value {
            Value::Int(value) if value >= 0 => u64::try_from(value).ok(),
            _ => {
                self.wrong_kind(node, what, "a whole number");
                None
            }
        }
    }

    /// That a file is of the only version there is.
    pub fn version(&mut self, node: &Node, fields: &Fields<'_>) {
        match fields.get("version") {
            Some(Node { value: Value::Int(1), .. }) => {}
            Some(other) => self.error(other, Code::Version, "`version` is not 1, the only one there is"),
            None => self.error(node, Code::Version, "`version: 1` is missing"),
        }
    }

    /// Any value, as JSON has it. What JSON cannot carry exactly is a mistake of `code`.
    pub fn json(&mut self, node: &Node, what: &str, code: Code) -> Option<Json> {
        Some(match &node.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Int(value) => Json::from(*value),
            // Beyond 63 bits a whole number is read as the nearest that a float can be.
            Value::Float(value) if value.abs() < i64::MAX as f64 => Json::from(Number::from_f64(*value)?),
            Value::Float(_) => {
                self.error(node, code, format!("{what} holds a number that is not carried exactly"));
                return None;
            }
            Value::Str(text) => Json::from(text.as_str()),
            Value::Seq(items) => items.iter().filter_map(|item| self.json(item, what, code)).collect(),
            Value::Map(_) => {
                let entries = self.entries(node, what)?;
                let read = |(key, node): (&Key, &Node)| Some((key.name.clone(), self.json(node, what, code)?));
                Json::Object(entries.into_iter().filter_map(read).collect())
            }
        })
    }

    /// One of a closed list of words.
    pub fn word<T: Copy>(&mut self, node: &Node, what: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(node, what)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let wanted: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        let place = self.place(node);
        self.report.push(
            Diagnostic::new(Code::UnknownWord, &place, format!("{what} is `{text}`, not one of {}", wanted.join(", ")))
                .suggest(text, words.iter().map(|(word, _)| *word)),
        );
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Arc<SourceFile> {
        Arc::new(SourceFile { name: "f.yaml".into(), text: text.into() })
    }

    #[test]
    fn a_duplicate_key_names_both_lines() {
        let file = file("a: 1\nb: 2\na: 3\n");
        let node = parse(&file).unwrap();
        let mut report = Report::default();
        Reader { file, report: &mut report }.entries(&node, "the file").unwrap();
        assert_eq!(report.diagnostics[0].message, "`a` stands twice in the file, first in line 1");
        assert_eq!((report.diagnostics[0].place.line, report.diagnostics[0].place.column), (3, 1));
    }

    #[test]
    fn an_unquoted_pattern_is_explained() {
        let error = parse(&file("features:\n  *.ssn: {tags: [pii]}\n")).unwrap_err();
        assert_eq!(error.message, "`*.ssn` is read as an alias, which names nothing here");
        assert_eq!(error.help.as_deref(), Some("a pattern that begins with `*` is quoted: '*.ssn'"));
        assert_eq!(error.place.line, 2);
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut text = String::from("a: &a [x,x,x,x,x,x,x,x,x,x]\n");
        for (this, last) in
            ["b", "c", "d", "e", "f", "g", "h", "i"].iter().zip(["a", "b", "c", "d", "e", "f", "g", "h"])
        {
            text.push_str(&format!(
                "{this}: &{this} [*{last},*{last},*{last},*{last},*{last},*{last},*{last},*{last},*{last},*{last}]\n"
            ));
        }
        assert_eq!(parse(&file(&text)).unwrap_err().code, Code::Syntax);
    }

    #[test]
    fn more_than_is_read_is_refused_before_it_is_parsed() {
        let error = parse(&file(&" ".repeat(MAX_TEXT_BYTES + 1))).unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (Code::Syntax, "the file is larger than 64 MiB"));
    }

    #[test]
    fn yes_and_no_are_texts() {
        let node = parse(&file("country: no\n")).unwrap();
        let Value::Map(entries) = node.value else { panic!("no map") };
        assert!(matches!(&entries[0].1.value, Value::Str(text) if text == "no"));
    }
}
