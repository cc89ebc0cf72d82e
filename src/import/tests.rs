use serde_json::{Value, json};

use super::*;

const DUMP: &[u8] = include_bytes!("../../tests/fixtures/feast/registry/registry-dump.json");

fn set(items: &[&str]) -> BTreeSet<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

fn plain(feature: &str) -> Member {
    Member { feature: feature.to_owned(), alias: None, keys: BTreeMap::new() }
}

/// A catalogue as the YAML's data.
fn as_data(catalogue: &Catalogue) -> Value {
    let keep = |pairs: Vec<(&str, Value)>| -> Value {
        let said: serde_json::Map<String, Value> = pairs
            .into_iter()
            .filter(|(_, value)| {
                !matches!(value, Value::Null | Value::Bool(false))
                    && value.as_array().is_none_or(|a| !a.is_empty())
                    && value.as_object().is_none_or(|o| !o.is_empty())
            })
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        if said.is_empty() { Value::Null } else { Value::Object(said) }
    };
    let features: BTreeMap<&String, Value> = catalogue
        .features
        .iter()
        .map(|(name, f)| {
            let fields = vec![
                ("key", json!(f.key)),
                ("tags", json!(f.tags)),
                ("inputs", json!(f.inputs)),
                ("joins", json!(f.joins)),
                ("sources", json!(f.sources)),
                ("opaque", json!(f.opaque)),
                ("has_one", json!(f.has_one)),
                ("has_many", json!(f.has_many)),
                ("default_version", json!(f.default_version)),
            ];
            (name, keep(fields))
        })
        .collect();
    let bundles: BTreeMap<&String, Vec<Value>> = catalogue
        .bundles
        .iter()
        .map(|(name, members)| {
            let members = members.iter().map(|m| match (&m.alias, m.keys.is_empty()) {
                (None, true) => json!(m.feature),
                _ => keep(vec![("feature", json!(m.feature)), ("as", json!(m.alias)), ("keys", json!(m.keys))]),
            });
            (name, members.collect())
        })
        .collect();
    let sources: BTreeMap<&String, Value> = catalogue
        .datasources
        .iter()
        .map(|(name, s)| (name, keep(vec![("kind", json!(s.kind)), ("tags", json!(s.tags))])))
        .collect();
    keep(vec![
        ("version", json!(1)),
        ("features", json!(features)),
        ("bundles", json!(bundles)),
        ("datasources", json!(sources)),
    ])
}

fn reads_back(catalogue: &Catalogue) {
    let yaml = catalogue.to_yaml();
    let data: Value = serde_saphyr::from_str(&yaml).unwrap_or_else(|e| panic!("{e}\n{yaml}"));
    assert_eq!(data, as_data(catalogue));
}

#[test]
fn the_yaml_reads_back_as_the_catalogue() {
    reads_back(&feast::from_registry_dump(DUMP, &feast::Options::default()).unwrap().catalogue);
    reads_back(&Catalogue::default());
}

#[test]
fn yaml_leaves_no_name_to_be_misread() {
    let names = [
        "yes",
        "null",
        "1.5",
        "0x1f",
        "1:30",
        "a: b",
        "a #b",
        "- a",
        "*a",
        "&a",
        "!a",
        "%a",
        "{a}",
        "[a, b]",
        "a\"b\\c",
        "a\nb\tc\u{7}",
        "\u{7f}\u{85}\u{a0}",
        "\u{2028}\u{2029}\u{202e}",
        "\u{feff}\u{ffff}",
        "größe",
        "日本",
        "\u{1f600}",
        " a ",
        "'a'",
    ];
    let mut catalogue = Catalogue::default();
    let all = set(&names);
    for name in names {
        let everything = Feature {
            key: true,
            tags: all.clone(),
            inputs: all.clone(),
            joins: all.clone(),
            sources: all.clone(),
            opaque: true,
            has_one: Some(name.to_owned()),
            has_many: Some(name.to_owned()),
            default_version: Some(2),
        };
        catalogue.features.insert(name.to_owned(), everything);
        let keys = BTreeMap::from([(name.to_owned(), name.to_owned())]);
        let member = Member { feature: name.to_owned(), alias: Some(name.to_owned()), keys };
        catalogue.bundles.insert(name.to_owned(), vec![plain(name), member]);
        catalogue.datasources.insert(name.to_owned(), DataSource { kind: Some(name.to_owned()), tags: all.clone() });
    }
    reads_back(&catalogue);
    let yaml = catalogue.to_yaml();
    let hidden: Vec<char> = yaml.chars().filter(|c| c.is_control() && *c != '\n').collect();
    assert_eq!(hidden, Vec::<char>::new());
    assert!(yaml.contains(r#""\u2028\u2029\u202e": "#));
}

#[test]
fn yaml_is_short_where_there_is_little_to_say() {
    let features = BTreeMap::from([
        ("a:b".to_owned(), Feature::default()),
        ("k".to_owned(), Feature { key: true, ..Feature::default() }),
    ]);
    let keys = BTreeMap::from([("k".to_owned(), "l".to_owned())]);
    let bundles = BTreeMap::from([
        ("none".to_owned(), vec![]),
        (
            "some".to_owned(),
            vec![
                plain("a:b"),
                Member { feature: "a:b".to_owned(), alias: Some("c__b".to_owned()), keys: BTreeMap::new() },
                Member { feature: "a:b".to_owned(), alias: None, keys },
            ],
        ),
    ]);
    let datasources = BTreeMap::from([("s".to_owned(), DataSource::default())]);
    let yaml = Catalogue { features, bundles, datasources }.to_yaml();
    let (header, body) = yaml.split_once("version: 1\n").unwrap();
    assert!(header.lines().all(|line| line.starts_with("# ")), "{header}");
    let expected = "
features:
  \"a:b\": null
  \"k\": {key: true}

bundles:
  \"none\": []
  \"some\":
    - \"a:b\"
    - {feature: \"a:b\", as: \"c__b\"}
    - {feature: \"a:b\", keys: {\"k\": \"l\"}}

datasources:
  \"s\": null
";
    assert_eq!(body, expected);
}
