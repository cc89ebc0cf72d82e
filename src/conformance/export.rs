//! What an engine is given to serve a file of the table: policy, catalogue, configuration, callers.

use serde_json::{Map, Value, json};

use super::json::Shape;
use super::names::catalogued;
use super::table::Table;
use super::{Dialect, Family};

/// The claim that says which roles a caller has, and a binding for each role.
const CLAIM: &str = "groups";

/// A file to be written.
#[derive(Clone, Debug)]
pub struct File {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub text: String,
}

/// All of them.
pub fn files(table: &Table, dialect: Dialect) -> Vec<File> {
    let head = format!("# The conformance table, file `{}`: {}.\n", table.name, table.about);
    let file = |name, text: String| File { name, text: format!("{head}{text}") };
    let mut files = vec![
        file("policy.yaml", policy(table, dialect)),
        file("catalogue.yaml", catalogue(table, dialect)),
        file("tagwarden.yaml", configuration(dialect)),
        file("clients.yaml", clients(table)),
        File { name: "callers", text: callers(table).into_iter().map(|name| name + "\n").collect() },
    ];
    files.extend(description(dialect).map(|text| File { name: "dialect.yaml", text: text.to_owned() }));
    files
}

/// What describes the feature server, where its dialect needs that.
pub fn description(dialect: Dialect) -> Option<&'static str> {
    Shape::of(dialect).map(Shape::description)
}

/// The names of those who ask with a token.
pub fn callers(table: &Table) -> Vec<String> {
    table.callers().iter().filter_map(super::table::Caller::name).collect()
}

/// The policy, with a binding for each role: of callers whose claim `groups` has its name.
pub fn policy(table: &Table, dialect: Dialect) -> String {
    let mut policy = respelled(table, dialect, &table.policy);
    let roles: Vec<String> = table
        .policy
        .get("roles")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, _)| name.clone())
        .collect();
    let binding = |role: &String| json!({"roles": [role], "when": {CLAIM: role}});
    policy.insert("bindings".to_owned(), roles.iter().map(binding).collect());
    yaml(policy)
}

/// The catalogue.
pub fn catalogue(table: &Table, dialect: Dialect) -> String {
    yaml(respelled(table, dialect, &table.catalogue))
}

fn respelled(table: &Table, dialect: Dialect, file: &Map<String, Value>) -> Map<String, Value> {
    let spell = |name: &str| catalogued(table, dialect, name);
    let mut file = file.clone();
    if let Some(Value::Object(features)) = file.get_mut("features") {
        *features = std::mem::take(features)
            .into_iter()
            .map(|(name, feature)| (spell(&name), names(&spell, feature)))
            .collect();
    }
    if let Some(Value::Object(bundles)) = file.get_mut("bundles") {
        for (_, members) in bundles {
            *members = texts(&spell, std::mem::take(members));
        }
    }
    if let Some(Value::Object(roles)) = file.get_mut("roles") {
        for writes in roles.values_mut().filter_map(|role| role.get_mut("writes")) {
            *writes = texts(&spell, std::mem::take(writes));
        }
    }
    file
}

/// What a feature names.
fn names(spell: &impl Fn(&str) -> String, feature: Value) -> Value {
    let Value::Object(mut members) = feature else { return feature };
    for key in ["inputs", "joins", "not_inputs"] {
        if let Some(list) = members.get_mut(key) {
            *list = texts(spell, std::mem::take(list));
        }
    }
    Value::Object(members)
}

/// Names in a list; a member of a bundle may be more than one, and say by which keys it is found.
fn texts(spell: &impl Fn(&str) -> String, list: Value) -> Value {
    let one = |value: Value| match value {
        Value::String(name) => Value::from(spell(&name)),
        Value::Object(mut member) => {
            if let Some(feature) = member.get("feature").and_then(Value::as_str).map(spell) {
                member.insert("feature".to_owned(), Value::from(feature));
            }
            if let Some(Value::Object(keys)) = member.get_mut("keys") {
                *keys = std::mem::take(keys).into_iter().map(|(key, name)| (spell(&key), name)).collect();
            }
            Value::Object(member)
        }
        other => other,
    };
    match list {
        Value::Array(items) => items.into_iter().map(one).collect(),
        other => other,
    }
}

fn configuration(dialect: Dialect) -> String {
    let family = match dialect.family() {
        Family::Feast => "feast",
        Family::Chalk => "chalk",
        Family::Json => "json",
    };
    let more = sections(dialect);
    format!(
        "version: 1
listen: {{address: \"${{LISTEN:-127.0.0.1:8080}}\", public_url: \"http://${{LISTEN:-127.0.0.1:8080}}\"}}
metrics: {{address: \"${{METRICS:-127.0.0.1:9902}}\"}}
admin: {{address: \"${{ADMIN:-127.0.0.1:9901}}\"}}
upstream: {{url: \"http://${{UPSTREAM:-127.0.0.1:6566}}\", dialect: {family}}}
issuer:                       # `tagwarden token mint` makes the callers' tokens
  url: https://conformance.example/
  audience: conformance
  keys: keys/
  clients: clients.yaml
  store: {{embedded: tokens.redb}}
policies: policy.yaml
catalogue: [catalogue.yaml]
audit: {{log: audit.jsonl}}
{more}"
    )
}

/// What a configuration needs for a dialect, besides what all need.
pub fn sections(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Feast => "",
        Dialect::FeastGrpc => "routes: [{path: /GrpcFeatureServer/GetOnlineFeatures, methods: [POST]}]\n",
        Dialect::Chalk | Dialect::ChalkFeather | Dialect::ChalkGrpc => "chalk: {environment: conformance}\n",
        Dialect::JsonObjects | Dialect::JsonColumns | Dialect::JsonRows | Dialect::JsonRecords => {
            "json: dialect.yaml\n"
        }
    }
}

/// A client for everybody who asks: its roles are in the claim that the bindings look at.
fn clients(table: &Table) -> String {
    let mut text = "version: 1\nclients:\n".to_owned();
    for caller in table.callers() {
        let (Some(name), super::table::Caller::Roles(roles)) = (caller.name(), &caller) else { continue };
        text.push_str(&format!("  {name}: {{claims: {{{CLAIM}: [{}]}}}}\n", roles.join(", ")));
    }
    text
}

/// A file of version 1 in YAML: maps in blocks, all else in the flow of JSON.
fn yaml(file: Map<String, Value>) -> String {
    let mut text = "version: 1\n".to_owned();
    block(&mut text, 0, &file);
    text
}

fn block(text: &mut String, indent: usize, map: &Map<String, Value>) {
    for (key, value) in map {
        let plain = key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-'));
        let key = if plain && !key.is_empty() { key.clone() } else { Value::from(key.as_str()).to_string() };
        text.push_str(&format!("{:indent$}{key}:", ""));
        match value {
            Value::Object(inner)
                if !inner.is_empty() && inner.values().any(|value| value.is_object() || value.is_null()) =>
            {
                text.push('\n');
                block(text, indent + 2, inner);
            }
            Value::Null => text.push('\n'),
            Value::Object(_) | Value::Array(_) | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                text.push_str(&format!(" {value}\n"));
            }
        }
    }
}
