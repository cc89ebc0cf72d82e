use std::collections::BTreeSet;

use super::*;
use crate::import::{chalk, feast};
use crate::policy;

fn file(name: &str, body: &str) -> Arc<SourceFile> {
    Arc::new(SourceFile { name: name.to_owned(), text: format!("version: 1\n{body}\n") })
}

fn merged(first: &str, second: &str) -> Result<Catalogue, String> {
    merge(&[file("a.yaml", first), file("b.yaml", second)]).map_err(|report| {
        let messages = report.diagnostics.iter().map(|d| format!("{}: {}", d.place, d.message));
        messages.collect::<Vec<_>>().join("\n")
    })
}

fn set(items: &[&str]) -> BTreeSet<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

#[test]
fn features_are_united() {
    let first = "features: {x: {tags: [a], inputs: [i], joins: [j], sources: [s], key: true, has_one: n}, only: null}";
    let second = "features: {x: {tags: [b, a], inputs: [k], opaque: true, default_version: 2}, other: {has_many: m}}";
    let catalogue = merged(first, second).unwrap();
    let expected = Feature {
        key: true,
        tags: set(&["a", "b"]),
        inputs: set(&["i", "k"]),
        joins: set(&["j"]),
        sources: set(&["s"]),
        opaque: true,
        has_one: Some("n".to_owned()),
        has_many: None,
        default_version: Some(2),
    };
    assert_eq!(catalogue.features["x"], expected);
    assert_eq!(catalogue.features["only"], Feature::default());
    assert_eq!(catalogue.features["other"], Feature { has_many: Some("m".to_owned()), ..Feature::default() });
    assert_eq!(merged(second, first).unwrap(), catalogue);
}

#[test]
fn what_two_files_say_differently_is_an_error_that_names_both() {
    for (first, second, message) in [
        (
            "features: {x: {key: true}}",
            "features: {x: {key: false}}",
            "`key` is given twice with different values, first at a.yaml:2:21",
        ),
        (
            "features: {x: {opaque: true}}",
            "features: {x: {opaque: false}}",
            "`opaque` is given twice with different values, first at a.yaml:2:24",
        ),
        (
            "features: {x: {has_one: n}}",
            "features: {x: {has_one: m}}",
            "`has_one` leads to two namespaces, first at a.yaml:2:25",
        ),
        (
            "features: {x: {has_many: n}}",
            "features: {x: {has_many: m}}",
            "`has_many` leads to two namespaces, first at a.yaml:2:26",
        ),
        (
            "features: {x: {default_version: 2}}",
            "features: {x: {default_version: 3}}",
            "`default_version` is given twice with different values, first at a.yaml:2:33",
        ),
        ("bundles: {q: [x]}", "bundles: {q: [x, x]}", "bundle `q` stands twice and not alike, first at a.yaml:2:11"),
        (
            "bundles: {q: [x]}",
            "bundles: {q: [{feature: x, as: y}]}",
            "bundle `q` stands twice and not alike, first at a.yaml:2:11",
        ),
        (
            "datasources: {s: {tags: [a]}}",
            "datasources: {s: {tags: [b]}}",
            "data source `s` stands twice and not alike, first at a.yaml:2:15",
        ),
        (
            "datasources: {s: {kind: FILE}}",
            "datasources: {s: null}",
            "data source `s` stands twice and not alike, first at a.yaml:2:15",
        ),
    ] {
        let error = merged(first, second).unwrap_err();
        assert!(error.starts_with("b.yaml:2:") && error.ends_with(message), "{error}");
    }
}

#[test]
fn the_same_content_twice_is_fine() {
    let text = "features: {x: {key: true, has_many: n}}\nbundles: {q: [x, {feature: x, as: y, keys: {x: z}}]}\ndatasources: {s: {kind: FILE, tags: [a, b]}}";
    let turned = text.replace("[a, b]", "[b, a]");
    let catalogue = merged(text, &turned).unwrap();
    assert_eq!(catalogue, merge(&[file("a.yaml", text)]).unwrap());
    assert_eq!(catalogue.bundles["q"].len(), 2);
}

#[test]
fn what_is_no_catalogue_is_an_error() {
    for (text, message) in [
        ("roles: {r: null}", "unknown"),
        (
            "features: {\"user.*\": {tags: [pii]}}",
            "pattern `user.*` stands in a catalogue; patterns belong in the policy",
        ),
        ("features: {x: {not_inputs: [y]}}", "feature `x` has `not_inputs` in a catalogue; it belongs in the policy"),
    ] {
        let error = merged("features: {x: null}", text).unwrap_err();
        assert!(error.starts_with("b.yaml:2:") && error.contains(message), "{error}");
    }
    let all = merged("features: {x: {key: maybe}}", "features: {y: 1}").unwrap_err();
    assert!(all.contains("a.yaml:2:") && all.contains("b.yaml:2:"), "{all}");
}

#[test]
fn imports_of_two_systems_become_one_file_that_loads() {
    let dump = include_bytes!("../../../tests/fixtures/feast/registry/registry-dump.json");
    let export = include_bytes!("../../../tests/fixtures/chalk/lineage/rich.export.pb");
    let feast = feast::from_registry_dump(dump, &feast::Options::default()).unwrap().catalogue;
    let chalk = chalk::from_export(export, &chalk::Options::default()).unwrap().catalogue;
    let source =
        |name: &str, catalogue: &Catalogue| Arc::new(SourceFile { name: name.to_owned(), text: catalogue.to_yaml() });
    let files = [source("feast.yaml", &feast), source("chalk.yaml", &chalk)];
    let one = merge(&files).unwrap();
    assert_eq!(one.features.len(), feast.features.len() + chalk.features.len());
    assert_eq!(merge(&[source("one.yaml", &one)]).unwrap(), one);
    let policy = [file("policy.yaml", "features: null")];
    let (policy, report) = policy::load(&policy, &[source("one.yaml", &one)]);
    assert!(policy.is_some(), "{report}");
}
