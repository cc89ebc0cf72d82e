//! The two references have every key of their schema and no other, with its default, and the words that it takes.

use std::collections::BTreeMap;

use serde_json::Value;
use tagwarden::schema::Kind;

use super::{text_of, ticked};

/// What a schema says of a key: its description, and its words.
#[derive(Debug, Default)]
struct Key {
    description: String,
    words: Vec<String>,
}

/// Every key of a schema by its path; `*` is any name, `[]` any item of a list.
fn keys(root: &Value) -> BTreeMap<String, Key> {
    let mut found = BTreeMap::new();
    walk(root, root, &mut Vec::new(), &mut Vec::new(), &mut found);
    found
}

fn walk<'v>(
    root: &'v Value,
    node: &'v Value,
    path: &mut Vec<String>,
    within: &mut Vec<&'v str>,
    found: &mut BTreeMap<String, Key>,
) {
    if let Some(name) = node["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap();
        if !within.contains(&name) {
            within.push(name);
            walk(root, &root["$defs"][name], path, within, found);
            within.pop();
        }
    }
    if let (Some(word), false) = (node["const"].as_str(), path.is_empty()) {
        found.entry(path.join(".")).or_default().words.push(word.to_owned());
    }
    for alternative in ["anyOf", "oneOf"].into_iter().filter_map(|kind| node[kind].as_array()).flatten() {
        walk(root, alternative, path, within, found);
    }
    // What only says that a key is required, or what else goes with it, has no description of it.
    for (name, value) in node["properties"].as_object().into_iter().flatten() {
        path.push(name.clone());
        let key = found.entry(path.join(".")).or_default();
        if let (Some(text), "") = (value["description"].as_str(), key.description.as_str()) {
            key.description = text.replace('\n', " ");
        }
        walk(root, value, path, within, found);
        path.pop();
    }
    let patterns = node["patternProperties"].as_object().into_iter().flatten().map(|(_, value)| ("*", value));
    let rest =
        [("*", &node["additionalProperties"]), ("[]", &node["items"])].into_iter().filter(|(_, n)| n.is_object());
    for (step, value) in patterns.chain(rest) {
        path.push(step.to_owned());
        walk(root, value, path, within, found);
        path.pop();
    }
}

/// The rows of a page whose first cell is a key, by that key.
fn rows(page: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for line in text_of(page).lines() {
        let Some((key, rest)) = line.strip_prefix("| `").and_then(|rest| rest.split_once("` |")) else { continue };
        assert!(found.insert(key.to_owned(), rest.to_owned()).is_none(), "{page}: `{key}` stands twice");
    }
    found
}

/// What a page says otherwise than a schema. `others`: first cells of tables that are about something else.
fn faults(page: &str, root: &Value, others: &[&str]) -> Vec<String> {
    let (keys, mut rows) = (keys(root), rows(page));
    rows.retain(|key, _| !others.contains(&key.as_str()));
    let mut faults: Vec<String> = Vec::new();
    for key in rows.keys().filter(|key| !keys.contains_key(*key)) {
        faults.push(format!("{page} has `{key}`, which there is not"));
    }
    for (path, key) in &keys {
        // A name of somebody's own is no key, though it may have words.
        if key.description.is_empty() && path.ends_with(['*', ']']) {
            continue;
        }
        let Some(row) = rows.get(path) else {
            faults.push(format!("{page} lacks `{path}`: {}", key.description));
            continue;
        };
        let plain = row.replace('`', "");
        if let Some((_, default)) = key.description.replace('`', "").split_once("Default: ") {
            // Up to the full stop that ends the sentence, not one within an address or a file's name.
            let default = default.split(". ").next().unwrap().trim_end_matches('.');
            if !plain.contains(&format!("Default: {default}")) {
                faults.push(format!("{page}: `{path}` has another default than `{default}`"));
            }
        }
        for word in key.words.iter().filter(|word| *word != "unchecked" || path.ends_with("audiences")) {
            let told = ticked(row).contains(word.as_str()) || plain.contains(&format!("Default: {word}"));
            if !told && !path.contains("roles.*.tags") && !path.ends_with("chalk.allow.[]") {
                faults.push(format!("{page}: `{path}` takes `{word}`, which is not said"));
            }
        }
    }
    faults
}

fn schema(kind: Kind) -> Value {
    serde_json::from_str(&kind.text()).unwrap()
}

/// First cells of docs/policy.md that are no keys of a policy.
const OTHERS: &[&str] = &[
    "Deny",
    "AllowInternal",
    "Allow",
    "AllowDownstream",
    "name",
    "roles` or `caller",
    "supplied",
    "outputs",
    "expect",
];

#[test]
fn the_policy_reference_has_every_key_and_no_other() {
    let schema = schema(Kind::Policy);
    assert!(keys(&schema).len() >= 40, "{:?}", keys(&schema).keys());
    assert_eq!(faults("docs/policy.md", &schema, OTHERS), Vec::<String>::new());
}

#[test]
fn the_configuration_reference_has_every_key_and_no_other() {
    let schema = schema(Kind::Config);
    assert!(keys(&schema).len() >= 110, "{:?}", keys(&schema).keys());
    assert_eq!(faults("docs/configuration.md", &schema, &[]), Vec::<String>::new());
}

#[test]
fn a_key_that_is_missing_renamed_or_told_wrongly_is_found() {
    let mut schema = schema(Kind::Policy);
    let properties = schema["properties"].as_object_mut().unwrap();
    let mut mode = properties.remove("mode").unwrap();
    mode["description"] = "Default: filter.".into();
    properties.insert("internal".to_owned(), mode.clone());
    properties.insert("modes".to_owned(), mode);
    let found = faults("docs/policy.md", &schema, OTHERS);
    assert_eq!(
        found,
        [
            "docs/policy.md has `mode`, which there is not",
            "docs/policy.md: `internal` has another default than `filter`",
            "docs/policy.md: `internal` takes `reject`, which is not said",
            "docs/policy.md: `internal` takes `filter`, which is not said",
            "docs/policy.md lacks `modes`: Default: filter.",
        ]
    );
}
