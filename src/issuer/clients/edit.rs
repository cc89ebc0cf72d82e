//! Changes of clients.yaml as a text: what is not touched keeps its place, its form and its comments. Pure: the text and the time
//! are arguments.

mod render;
mod splice;

use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::{Client, Clients, LIVE_SECRETS, read, time};
use crate::diagnostic::{Report, SourceFile};
use crate::yaml::{self, Key, Node, Value};
use splice::Part;

/// What a client proves itself with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `client_secret`.
    Secret,
    /// `X-API-Key`.
    ApiKey,
}

/// A new secret or key, as the file keeps it.
#[derive(Clone, Debug)]
pub struct Fresh {
    /// Which.
    pub kind: Kind,
    /// Names it: [`next_id`].
    pub id: String,
    /// `sha256:…` or `$argon2id$…`.
    pub hash: String,
}

/// The file after a change.
#[derive(Debug)]
pub struct Edited {
    /// Its whole text.
    pub text: String,
    /// What the person should know: what ended, which comments were lost. One line each.
    pub notes: Vec<String>,
}

/// Why a change is not made.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The file, before the change or after it.
    #[error("{0}")]
    Report(Report),
    /// A new client has the id of another.
    #[error("client `{0}` is there already")]
    Exists(String),
    /// A client that is not there.
    #[error("there is no client `{0}`")]
    Unknown(String),
    /// A time past what is written.
    #[error("`--expire-old` leads beyond the year 9999")]
    TooLate,
}

/// What a first client finds where there is no file yet.
pub const EMPTY: &str = "# The issuer's clients. `tagwarden client` writes this file; secrets and keys are kept as hashes.\n\
                         version: 1\nclients: {}\n";

/// A name that no secret or key of the client has: `s1`, `s2`, … or `k1`, `k2`, ….
pub fn next_id(client: Option<&Client>, kind: Kind) -> String {
    let (letter, ids): (_, Vec<&str>) = match kind {
        Kind::Secret => ('s', client.iter().flat_map(|client| &client.secrets).map(|kept| kept.id.as_str()).collect()),
        Kind::ApiKey => ('k', client.iter().flat_map(|client| &client.api_keys).map(|kept| kept.id.as_str()).collect()),
    };
    let numbers = ids.iter().filter_map(|id| id.strip_prefix(letter)?.parse::<u32>().ok());
    // After the last, and not in the place of one that is gone: logs tell them apart.
    format!("{letter}{}", numbers.max().unwrap_or(0).saturating_add(1))
}

/// Adds a client.
///
/// # Errors
/// [`EditError::Exists`], or the file does not load, before or with it.
pub fn add(
    file: &Arc<SourceFile>,
    id: &str,
    claims: &Map<String, Json>,
    fresh: &[Fresh],
    now: u64,
) -> Result<Edited, EditError> {
    let (clients, mut tree) = load(file, now)?;
    if clients.get(id).is_some() {
        return Err(EditError::Exists(id.to_owned()));
    }
    let mut entries = Vec::new();
    for (kind, name) in LISTS {
        let items: Vec<Node> = fresh.iter().filter(|fresh| fresh.kind == kind).map(|fresh| item(fresh, now)).collect();
        if !items.is_empty() {
            entries.push((key(name), node(Value::Seq(items))));
        }
    }
    if !claims.is_empty() {
        entries.push((key("claims"), node(from_json(&Json::Object(claims.clone())))));
    }
    if let Some(map) = map_of(&mut tree, &["clients"]) {
        map.push((key(id), node(Value::Map(entries))));
    }
    write(file, &tree, id, Part::NewClient, now)
}

/// Gives a client a new secret or key, and lets the others of its kind end after so many seconds, where they do not end
/// before. What has ended goes out of the file.
///
/// # Errors
/// [`EditError::Unknown`], [`EditError::TooLate`], or the file does not load.
pub fn rotate(file: &Arc<SourceFile>, id: &str, fresh: &Fresh, seconds: u64, now: u64) -> Result<Edited, EditError> {
    let (clients, mut tree) = load(file, now)?;
    let client = clients.get(id).ok_or_else(|| EditError::Unknown(id.to_owned()))?;
    let latest = now.saturating_add(seconds);
    let shown = time::shown(latest).ok_or(EditError::TooLate)?;
    let old: Vec<(&str, Option<u64>)> = match fresh.kind {
        Kind::Secret => client.secrets.iter().map(|kept| (kept.id.as_str(), kept.expires)).collect(),
        Kind::ApiKey => client.api_keys.iter().map(|kept| (kept.id.as_str(), kept.expires)).collect(),
    };
    let ends = |expires: Option<u64>| expires.map_or(latest, |expires| expires.min(latest));
    let mut live: Vec<(&str, u64)> =
        old.iter().map(|(id, expires)| (*id, ends(*expires))).filter(|(_, ends)| *ends > now).collect();
    let (word, list) = words(fresh.kind);
    let mut notes = Vec::new();
    let ended = old.iter().filter(|(id, _)| live.iter().all(|(living, _)| living != id));
    notes.extend(ended.map(|(id, _)| format!("{word} `{id}` has ended and was taken out")));
    // Keys are as many as somebody likes.
    while fresh.kind == Kind::Secret && live.len() >= LIVE_SECRETS {
        let Some(first) = (0..live.len()).min_by_key(|at| live.get(*at).map(|(_, ends)| *ends)) else { break };
        let (gone, _) = live.remove(first);
        notes.push(format!("{word} `{gone}` ended now, before its time: no more than two live at once"));
    }
    notes.extend(live.iter().filter_map(|(id, ends)| Some(format!("{word} `{id}` ends at {}", time::shown(*ends)?))));
    let Some(entries) = map_of(&mut tree, &["clients", id]) else { return Err(EditError::Unknown(id.to_owned())) };
    let mut items = take_list(entries, list);
    items.retain(|item| text_of(item, "id").is_some_and(|id| live.iter().any(|(living, _)| *living == id)));
    for item in &mut items {
        let before = text_of(item, "id").and_then(|id| old.iter().find(|(old, _)| *old == id));
        // One that ends earlier anyway keeps its text.
        if before.is_some_and(|(_, expires)| expires.is_none_or(|expires| expires > latest)) {
            set(item, "expires", Value::Str(shown.clone()));
        }
    }
    items.push(item(fresh, now));
    put(entries, list, Value::Seq(items));
    let mut edited = write(file, &tree, id, Part::Key(list), now)?;
    notes.append(&mut edited.notes);
    Ok(Edited { notes, ..edited })
}

/// Disables a client, or enables it again.
///
/// # Errors
/// [`EditError::Unknown`], or the file does not load.
pub fn disable(file: &Arc<SourceFile>, id: &str, disabled: bool, now: u64) -> Result<Edited, EditError> {
    let (clients, mut tree) = load(file, now)?;
    let client = clients.get(id).ok_or_else(|| EditError::Unknown(id.to_owned()))?;
    if client.disabled == disabled {
        let notes = vec![format!("client `{id}` is {} already", if disabled { "disabled" } else { "enabled" })];
        return Ok(Edited { text: file.text.clone(), notes });
    }
    if let Some(entries) = map_of(&mut tree, &["clients", id]) {
        put(entries, "disabled", Value::Bool(disabled));
    }
    write(file, &tree, id, Part::Key("disabled"), now)
}

/// Takes a client out.
///
/// # Errors
/// [`EditError::Unknown`], or the file does not load.
pub fn remove(file: &Arc<SourceFile>, id: &str, now: u64) -> Result<Edited, EditError> {
    let (clients, mut tree) = load(file, now)?;
    if clients.get(id).is_none() {
        return Err(EditError::Unknown(id.to_owned()));
    }
    if let Some(map) = map_of(&mut tree, &["clients"]) {
        map.retain(|(key, _)| key.name != id);
    }
    write(file, &tree, id, Part::OldClient, now)
}

const LISTS: [(Kind, &str); 2] = [(Kind::Secret, "secrets"), (Kind::ApiKey, "api_keys")];

/// What one is called, and the key of their list.
fn words(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Secret => ("secret", "secrets"),
        Kind::ApiKey => ("key", "api_keys"),
    }
}

fn load(file: &Arc<SourceFile>, now: u64) -> Result<(Clients, Node), EditError> {
    let (clients, report) = read::read_at(file, now);
    match (clients, yaml::parse(file)) {
        (Some(clients), Ok(tree)) => Ok((clients, tree)),
        (None, _) | (_, Err(_)) => Err(EditError::Report(report)),
    }
}

/// The text that reads as `tree`; nothing is written that does not load.
fn write(file: &Arc<SourceFile>, tree: &Node, id: &str, part: Part, now: u64) -> Result<Edited, EditError> {
    let (text, lost) = splice::splice(file, tree, id, part);
    let edited = Arc::new(SourceFile { name: file.name.clone(), text });
    let (_, report) = read::read_at(&edited, now);
    if report.has_errors() {
        return Err(EditError::Report(report));
    }
    let notes = lost.map(|what| format!("{what} was written anew, and comments in it are lost")).into_iter().collect();
    Ok(Edited { text: edited.text.clone(), notes })
}

fn node(value: Value) -> Node {
    Node { value, line: 0, column: 0 }
}

fn key(name: &str) -> Key {
    Key { name: name.to_owned(), line: 0, column: 0 }
}

fn item(fresh: &Fresh, now: u64) -> Node {
    let text = |text: &str| node(Value::Str(text.to_owned()));
    let mut entries = vec![(key("id"), text(&fresh.id)), (key("hash"), text(&fresh.hash))];
    if let (Kind::ApiKey, Some((day, _))) =
        (fresh.kind, time::shown(now).as_deref().and_then(|now| now.split_once('T')))
    {
        entries.push((key("created"), text(day)));
    }
    node(Value::Map(entries))
}

/// The entries of a map below a tree.
fn map_of<'n>(tree: &'n mut Node, path: &[&str]) -> Option<&'n mut Vec<(Key, Node)>> {
    let Value::Map(entries) = &mut tree.value else { return None };
    let Some((first, rest)) = path.split_first() else { return Some(entries) };
    map_of(entries.iter_mut().find(|(key, _)| key.name == *first).map(|(_, node)| node)?, rest)
}

/// The items under a key; none where it is not there, or nothing is behind it.
fn take_list(entries: &mut [(Key, Node)], name: &str) -> Vec<Node> {
    let found = entries.iter_mut().find_map(|(key, node)| match &mut node.value {
        Value::Seq(items) if key.name == name => Some(std::mem::take(items)),
        _ => None,
    });
    found.unwrap_or_default()
}

/// Sets a key, at the end where it is new.
fn put(entries: &mut Vec<(Key, Node)>, name: &str, value: Value) {
    match entries.iter_mut().find(|(key, _)| key.name == name) {
        Some((_, node)) => node.value = value,
        None => entries.push((key(name), node(value))),
    }
}

fn set(item: &mut Node, name: &str, value: Value) {
    if let Value::Map(entries) = &mut item.value {
        put(entries, name, value);
    }
}

fn text_of<'n>(item: &'n Node, name: &str) -> Option<&'n str> {
    let Value::Map(entries) = &item.value else { return None };
    entries.iter().find_map(|(key, node)| match &node.value {
        Value::Str(text) if key.name == name => Some(text.as_str()),
        _ => None,
    })
}

fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(value), _) => Value::Int(value),
            (None, value) => Value::Float(value.unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::Str(text.clone()),
        Json::Array(items) => Value::Seq(items.iter().map(|item| node(from_json(item))).collect()),
        Json::Object(members) => {
            Value::Map(members.iter().map(|(name, value)| (key(name), node(from_json(value)))).collect())
        }
    }
}

#[cfg(test)]
mod tests;
