//! The schemas say what the readers do: the same keys, the same words, the same kinds of values; and every file names
//! the schema that it is written by.

mod walk;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use tagwarden::diagnostic::{Code, Diagnostic, Report, Severity, SourceFile};
use tagwarden::dialect::json;
use tagwarden::issuer::clients;
use tagwarden::policy::file::{self, LayerKind};
use tagwarden::policy::unit;
use tagwarden::schema::Kind;
use tagwarden::{config, policy};

use crate::support::process::run;
use crate::support::{Folder, repository};
use walk::{Schema, Step};

#[test]
fn the_files_are_what_the_command_prints() {
    for kind in Kind::ALL {
        let (code, printed, complaint) = run(["schema", kind.name()]);
        assert_eq!((code, complaint.as_str()), (0, ""), "{}", kind.name());
        let path = repository("docs/schema").join(format!("{}.json", kind.name()));
        if std::env::var_os("TAGWARDEN_BLESS").is_some() {
            std::fs::write(&path, &printed).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == printed, "{} is out of date: TAGWARDEN_BLESS=1 writes it", path.display());
    }
    assert_eq!(std::fs::read_dir(repository("docs/schema")).unwrap().count(), Kind::ALL.len());
}

#[test]
fn a_kind_that_there_is_not_is_misuse() {
    let (code, said, complaint) = run(["schema", "polices"]);
    assert_eq!((code, said.as_str()), (2, ""));
    assert!(complaint.contains("invalid value 'polices'") && complaint.contains("policy, config"), "{complaint}");
}

/// Every YAML file below a folder.
fn yaml_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            yaml_files(&path, found);
        } else if path.extension().is_some_and(|end| end == "yaml" || end == "yml") {
            found.push(path);
        }
    }
    found.sort();
}

/// The schema file that a file's first line names.
fn named(path: &Path) -> PathBuf {
    let text = std::fs::read_to_string(path).unwrap();
    let first = text.lines().next().unwrap_or_default();
    let name = first.strip_prefix("# yaml-language-server: $schema=");
    let name = name.unwrap_or_else(|| panic!("{} begins with {first:?}", path.display()));
    path.parent().unwrap().join(name).canonicalize().unwrap_or_else(|why| panic!("{}: {name}: {why}", path.display()))
}

#[test]
fn every_file_below_policies_names_its_schema() {
    let mut files = Vec::new();
    yaml_files(&repository("policies"), &mut files);
    assert!(files.len() >= 3, "{files:?}");
    for path in files {
        let below = path.strip_prefix(repository("policies")).unwrap();
        let kind = if below.components().any(|part| part.as_os_str() == "tests") { Kind::Tests } else { Kind::Policy };
        let schema = repository("docs/schema").canonicalize().unwrap().join(format!("{}.json", kind.name()));
        assert_eq!(named(&path), schema, "{}", path.display());
    }
}

#[test]
fn what_init_writes_names_the_schemas_that_it_writes() {
    let folder = Folder::new();
    let (code, _, complaint) = run(["init".into(), folder.path("").into_os_string()]);
    assert_eq!((code, complaint.as_str()), (0, ""));
    let (mut files, mut seen) = (Vec::new(), BTreeSet::new());
    yaml_files(&folder.path(""), &mut files);
    for path in files {
        let schema = named(&path);
        let kind = match path.strip_prefix(folder.path("")).unwrap().to_str().unwrap() {
            "tagwarden.yaml" => Kind::Config,
            "catalogue.yaml" | "policies/policy.yaml" => Kind::Policy,
            "policies/tests/policy.yaml" => Kind::Tests,
            other => panic!("{other}"),
        };
        assert_eq!(schema.file_name().unwrap().to_str(), Some(&*format!("{}.json", kind.name())));
        assert_eq!(std::fs::read_to_string(&schema).unwrap(), kind.text());
        seen.insert(schema);
    }
    assert_eq!(seen.len(), 3);
}

/// What the reader of a kind of file complains of; `variable` is the value of every variable.
fn complaints(kind: Kind, document: &Value, variable: Option<&str>) -> Vec<Diagnostic> {
    complaints_of(kind, document.to_string(), variable)
}

fn complaints_of(kind: Kind, text: String, variable: Option<&str>) -> Vec<Diagnostic> {
    let source = |text: String| Arc::new(SourceFile { name: "f.yaml".into(), text });
    let text = source(text);
    let mut report = Report::default();
    match kind {
        Kind::Policy => {
            file::read(LayerKind::Policy, &[text], &mut report);
        }
        Kind::Tests => {
            let policy = source(
                "{version: 1, roles: {x: null, scoring: null, fraud-model: null}, features: {x: null}}".to_owned(),
            );
            let policy = policy::load(&[policy], &[]).0.unwrap();
            unit::read(&[text], &policy, &mut report);
        }
        Kind::Config => report = config::read(&text, Path::new("/"), &|_| variable.map(str::to_owned)).1,
        Kind::Clients => report = clients::read(&text).1,
        Kind::Dialect => report = json::load(&text).1,
    }
    report.diagnostics.into_iter().filter(|said| said.code.severity() == Severity::Error).collect()
}

/// Every word that stands in the source as a literal: whatever key a reader knows is one of them.
fn literals() -> BTreeSet<String> {
    fn walk(folder: &Path, words: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, words);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = std::fs::read_to_string(path).unwrap();
                let word = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
                words.extend(text.split('"').filter(word).map(str::to_owned));
            }
        }
    }
    let mut words = BTreeSet::new();
    walk(&repository("src"), &mut words);
    words
}

/// The keys that the reader knows where an object stands: those of these that it does not call unknown.
fn known(schema: &Schema, path: &[Step], words: &BTreeSet<String>) -> BTreeSet<String> {
    let place = schema.places()[path];
    let object = schema.alternatives(place).into_iter().find(|one| one["properties"].is_object()).unwrap();
    let mut probe = schema.example(object);
    for word in words {
        probe.as_object_mut().unwrap().entry(word).or_insert(Value::Null);
    }
    let mut known = words.clone();
    for said in schema.said(path, probe) {
        let key = match said.code {
            Code::UnknownKey => said.message.split('`').nth(1),
            Code::Pattern => said.message.split('`').nth(3),
            _ => None,
        };
        known.retain(|word| Some(word.as_str()) != key);
    }
    known
}

/// What reader and schema know differently.
fn differences(schema: &Schema, words: &BTreeSet<String>) -> Vec<String> {
    let mut found = Vec::new();
    for (path, keys) in schema.objects() {
        let known = known(schema, &path, words);
        if known != keys {
            let lacks: Vec<&String> = known.difference(&keys).collect();
            let invents: Vec<&String> = keys.difference(&known).collect();
            found.push(format!("{} {path:?}: the schema lacks {lacks:?} and invents {invents:?}", schema.kind.name()));
        }
    }
    found
}

#[test]
fn the_readers_know_exactly_the_keys_of_the_schemas() {
    let words = literals();
    let mut objects = 0;
    for kind in Kind::ALL {
        let schema = Schema::new(kind);
        assert_eq!(differences(&schema, &words), Vec::<String>::new());
        objects += schema.objects().len();
    }
    assert!(objects >= 30, "{objects}");
}

#[test]
fn a_schema_that_lacks_or_invents_a_key_is_found() {
    let words = literals();
    let mut schema = Schema::new(Kind::Policy);
    let feature = schema.root["$defs"]["Feature"]["properties"].as_object_mut().unwrap();
    let joins = feature.remove("joins").unwrap();
    feature.insert("join".to_owned(), joins);
    let found = differences(&schema, &words);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].ends_with(r#"the schema lacks ["joins"] and invents ["join"]"#), "{found:?}");
}

#[test]
fn the_readers_take_exactly_the_words_of_the_schemas() {
    let (mut lists, mut words_seen) = (0, 0);
    for kind in Kind::ALL {
        let schema = Schema::new(kind);
        for (path, place) in schema.places() {
            let words = schema.words(place);
            if words.is_empty() {
                continue;
            }
            let strange = schema.said(&path, json!("no-such-word"));
            assert!(!strange.is_empty(), "{path:?}");
            for said in strange.iter().filter(|said| said.code == Code::UnknownWord) {
                lists += 1;
                let listed = said.message.split_once("not one of ").unwrap().1;
                for word in listed.split('`').skip(1).step_by(2) {
                    assert!(words.contains(word), "{path:?} takes `{word}`, of which the schema knows nothing");
                }
            }
            for word in &words {
                words_seen += 1;
                let said = schema.said(&path, json!(word));
                let bad = said.iter().find(|said| matches!(said.code, Code::UnknownWord | Code::WrongKind));
                assert!(bad.is_none(), "{path:?} `{word}`: {bad:?}");
            }
        }
    }
    assert!(lists >= 15 && words_seen >= 50, "{lists} {words_seen}");
}

/// Documents that differ from a good one in one place, and whether the reader takes them. `tests/run --only schema` gives
/// them to a validator that shares nothing with this code, and compares.
#[test]
fn every_kind_of_value_is_tried_in_every_place() {
    let mut lines = String::new();
    let mut taken = [0, 0];
    for kind in Kind::ALL {
        let schema = Schema::new(kind);
        for (path, place) in schema.places() {
            // No page is there to be switched on or off, and nobody reads it.
            if path == [Step::Key("admin".into()), Step::Key("explore".into())] {
                continue;
            }
            for value in values() {
                let document = schema.with(&path, value.clone());
                // A variable fits where some value of it does.
                let words = schema.words(place).into_iter().chain(TEXTS.iter().map(|text| (*text).to_owned()));
                let variables = words.filter(|_| value == VARIABLE).map(Some).chain([None]);
                let said: Vec<_> = variables.map(|value| complaints(kind, &document, value.as_deref())).collect();
                let said = said.iter().min_by_key(|said| said.len()).unwrap();
                taken[usize::from(said.is_empty())] += 1;
                let why = said.first().map(|said| json!({"code": said.code.name(), "message": said.message}));
                let line = json!({"schema": kind.name(), "document": document, "complaint": why});
                lines.push_str(&format!("{line}\n"));
            }
        }
    }
    assert!(taken.iter().all(|count| *count > 100), "{taken:?}");
    if let Some(file) = std::env::var_os("TAGWARDEN_SCHEMA_CASES") {
        std::fs::write(file, lines).unwrap();
    }
}

const VARIABLE: &str = "${X}";
const TEXTS: &[&str] = &[
    "",
    "1",
    "x",
    "0s",
    "30s",
    "30 s",
    "1h30m",
    "5M",
    "64KiB",
    "0KiB",
    "64KB",
    "127.0.0.1:80",
    "localhost:80",
    "[::1]:80",
    "http://x:1",
    "https://x",
    "http://u@x",
    "unix:/x",
    "/a",
    "/a/",
    "/a/../b",
    "/%61",
    "GET",
    "get",
    "TRACE",
    "$X",
    "unchecked",
    "true",
    "false",
    "Allow",
    "allow",
    "AllowDownstream",
    "x.*",
];

fn values() -> Vec<Value> {
    let mut values: Vec<Value> = TEXTS.iter().chain([&VARIABLE]).map(|text| json!(text)).collect();
    values.extend([json!(null), json!(true), json!(false), json!(0), json!(1), json!(2), json!(-1), json!(0.5)]);
    values.extend([json!([]), json!(["x"]), json!(["x", 1]), json!([""]), json!([null]), json!([["x"]])]);
    values.extend([json!({}), json!({"x": "x"}), json!({"x": null}), json!({"x": 1.5}), json!({"x": []})]);
    values.extend([json!({"x": ["x", true]}), json!({"iss": "x", "cert.cn": "x"}), json!({"x.*": {"inputs": []}})]);
    values.extend([json!({"x.*": {}}), json!({"x.*": null}), json!({"": null})]);
    values
}

/// The examples that `tests/run` gives to a validator mean the same to the readers.
#[test]
fn good_examples_are_read_and_bad_ones_are_not() {
    for (folder, good) in [("tests/schema/good", true), ("tests/schema/bad", false)] {
        let mut files = Vec::new();
        yaml_files(&repository(folder), &mut files);
        let mut counts = [0; Kind::ALL.len()];
        for path in files {
            let name = path.file_stem().unwrap().to_str().unwrap();
            let of = |kind: &Kind| name.starts_with(&format!("{}-", kind.name()));
            let at = Kind::ALL.iter().position(of).unwrap_or_else(|| panic!("{name}"));
            counts[at] += 1;
            let said = complaints_of(Kind::ALL[at], std::fs::read_to_string(&path).unwrap(), None);
            assert_eq!(said.is_empty(), good, "{name}: {said:?}");
        }
        assert!(counts.iter().all(|count| *count > 0), "{folder}: {counts:?}");
    }
}
