use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::*;
use crate::import::{DataSource, Feature, Member};

mod derived;
mod refused;
mod services;

const DUMP_TEXT: &[u8] = include_bytes!("../../../tests/fixtures/feast/registry/registry-dump.json");
const VIEWS: &[u8] = include_bytes!("../../../tests/fixtures/feast/registry/rest-feature-views.json");
const SERVICES: &[u8] = include_bytes!("../../../tests/fixtures/feast/registry/rest-feature-services.json");
const ENTITIES: &[u8] = include_bytes!("../../../tests/fixtures/feast/registry/rest-entities.json");
const EXPORTED: &[u8] = include_bytes!("../../../tests/fixtures/feast/registry/catalog.json");
const GOLDEN: &str = include_str!("../../../tests/fixtures/feast/catalogue.yaml");

/// Stands in every function body of the texts made here; no message may have it.
const CODE: &str = "return secret_sauce";

fn whole_dump() -> Import {
    from_registry_dump(DUMP_TEXT, &Options::default()).unwrap()
}

fn whole_rest() -> Import {
    from_rest(VIEWS, SERVICES, ENTITIES, &Options::default()).unwrap()
}

fn try_dump(dump: &Value) -> Result<Import, ImportError> {
    from_registry_dump(dump.to_string().as_bytes(), &Options::default())
}

fn dump(dump: Value) -> Import {
    try_dump(&dump).unwrap()
}

fn refused(dump: Value) -> String {
    try_dump(&dump).unwrap_err().to_string()
}

fn rest(views: Value, services: Value, entities: Value) -> Result<Import, ImportError> {
    let [views, services, entities] = [views, services, entities].map(|v| v.to_string());
    from_rest(views.as_bytes(), services.as_bytes(), entities.as_bytes(), &Options::default())
}

/// A stored view of the given columns, with more fields of its `spec`.
fn view(name: &str, columns: &[&str], more: Value) -> Value {
    let columns: Vec<Value> = columns.iter().map(|name| json!({"name": name})).collect();
    let mut spec = json!({"name": name, "features": columns});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"spec": spec, "meta": {}})
}

/// An on-demand view with one output `out` and the given sources.
fn on_demand(name: &str, sources: Value) -> Value {
    view(name, &["out"], json!({"sources": sources, "userDefinedFunction": {"body": CODE}}))
}

fn projection(view: &str, columns: &[&str]) -> Value {
    let columns: Vec<Value> = columns.iter().map(|name| json!({"name": name})).collect();
    json!({"featureViewName": view, "featureColumns": columns})
}

fn service(name: &str, projections: Value) -> Value {
    json!({"spec": {"name": name, "features": projections}})
}

fn entity(name: &str, key: &str) -> Value {
    json!({"spec": {"name": name, "joinKey": key}})
}

fn set(items: &[&str]) -> BTreeSet<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

fn feature<'a>(import: &'a Import, name: &str) -> &'a Feature {
    import.catalogue.features.get(name).unwrap_or_else(|| panic!("no feature {name}"))
}

fn plain(feature: &str) -> Member {
    Member { feature: feature.to_owned(), alias: None, keys: BTreeMap::new() }
}

// The registry that Feast 0.67 made, against what Feast's own SDK says of it.

/// `catalog.json`: features with `tags`, `view_tags` and `inputs`, services with their members.
fn agrees_with_the_sdk(import: &Import, inherit: bool) {
    let exported: Value = serde_json::from_slice(EXPORTED).unwrap();
    let texts = |value: &Value| -> BTreeSet<String> {
        value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let stored: BTreeSet<&String> = import.catalogue.features.iter().filter(|(_, f)| !f.key).map(|(n, _)| n).collect();
    let expected = exported["features"].as_array().unwrap();
    assert_eq!(stored.len(), expected.len());
    for wanted in expected {
        let name = wanted["feature"].as_str().unwrap();
        let found = feature(import, name);
        // `k=v` alone, as the SDK's export knows no bare `k`.
        let mut tags = texts(&wanted["tags"]);
        if inherit {
            tags.append(&mut texts(&wanted["view_tags"]));
        }
        let pairs: BTreeSet<String> = found.tags.iter().filter(|tag| tag.contains('=')).cloned().collect();
        assert_eq!(pairs, tags, "tags of {name}");
        assert_eq!(found.tags.contains("pii"), tags.contains("pii=true"), "label pii of {name}");
        // The export writes request fields `request:SOURCE:FIELD`.
        let inputs: BTreeSet<String> = texts(&wanted["inputs"])
            .into_iter()
            .map(|input| match input.strip_prefix("request:") {
                Some(field) => field.rsplit(':').next().unwrap().to_owned(),
                None => input,
            })
            .collect();
        assert_eq!(found.inputs, inputs, "inputs of {name}");
    }
    let services = exported["services"].as_object().unwrap();
    assert_eq!(import.catalogue.bundles.keys().collect::<Vec<_>>(), services.keys().collect::<Vec<_>>());
    for (name, wanted) in services {
        let members: Vec<Member> = wanted
            .as_array()
            .unwrap()
            .iter()
            .map(|member| {
                let feature = member["feature"].as_str().unwrap();
                let (view, column) = feature.split_once(':').unwrap();
                let prefix = member["response_prefix"].as_str().unwrap();
                let keys = member["join_key_map"].as_object().unwrap();
                Member {
                    feature: feature.to_owned(),
                    alias: (prefix != view).then(|| format!("{prefix}__{column}")),
                    keys: keys.iter().map(|(k, v)| (k.clone(), v.as_str().unwrap().to_owned())).collect(),
                }
            })
            .collect();
        assert_eq!(import.catalogue.bundles[name], members, "members of {name}");
    }
    for key in exported["entities"].as_object().unwrap().values() {
        assert!(feature(import, key.as_str().unwrap()).key);
    }
}

#[test]
fn the_dump_says_what_the_sdk_says() {
    let import = whole_dump();
    agrees_with_the_sdk(&import, true);
    assert_eq!(import.warnings, Vec::<String>::new());
}

#[test]
fn the_rest_answers_say_what_the_sdk_says() {
    let import = whole_rest();
    agrees_with_the_sdk(&import, true);
    assert_eq!(import.warnings, Vec::<String>::new());
}

#[test]
fn without_inheritance_features_have_their_own_tags_alone() {
    let options = Options { inherit_view_tags: false };
    agrees_with_the_sdk(&from_registry_dump(DUMP_TEXT, &options).unwrap(), false);
    agrees_with_the_sdk(&from_rest(VIEWS, SERVICES, ENTITIES, &options).unwrap(), false);
}

#[test]
fn dump_and_rest_give_the_same_catalogue() {
    assert_eq!(whole_dump(), whole_rest());
}

#[test]
fn the_golden_file_is_what_the_dump_gives() {
    let yaml = whole_dump().catalogue.to_yaml();
    assert_eq!(yaml, GOLDEN);
}

// Tags.

#[test]
fn a_tag_is_a_label_with_and_without_its_value() {
    for (tags, labels) in [
        (json!({"class": "raw"}), set(&["class=raw"])),
        (json!({"pii": "true"}), set(&["pii=true", "pii"])),
        (json!({"pii": "TRUE"}), set(&["pii=TRUE", "pii"])),
        (json!({"pii": ""}), set(&["pii=", "pii"])),
        (json!({"pii": "false"}), set(&[])),
        (json!({"pii": "False", "a": "b"}), set(&["a=b"])),
        (json!({"pii": "truely"}), set(&["pii=truely"])),
        (json!({"pii": "no"}), set(&["pii=no"])),
        (json!({"": "true"}), set(&["=true"])),
        (json!({"feast:track_metrics": "true"}), set(&[])),
    ] {
        let column = json!({"name": "c", "tags": tags});
        let import = dump(json!({"featureViews": [{"spec": {"name": "v", "features": [column]}}]}));
        assert_eq!(feature(&import, "v:c").tags, labels, "{tags}");
    }
}

#[test]
fn a_view_s_tags_add_to_those_of_its_features() {
    let columns = json!([{"name": "a", "tags": {"pii": "false"}}, {"name": "b", "tags": {"class": "cleared"}}]);
    let view = json!({"spec": {"name": "v", "tags": {"pii": "true", "class": "raw"}, "features": columns}});
    let text = json!({"featureViews": [view]}).to_string();
    let import = from_registry_dump(text.as_bytes(), &Options::default()).unwrap();
    assert_eq!(feature(&import, "v:a").tags, set(&["class=raw", "pii", "pii=true"]));
    assert_eq!(feature(&import, "v:b").tags, set(&["class=cleared", "class=raw", "pii", "pii=true"]));
    let import = from_registry_dump(text.as_bytes(), &Options { inherit_view_tags: false }).unwrap();
    assert_eq!(feature(&import, "v:a").tags, set(&[]));
    assert_eq!(feature(&import, "v:b").tags, set(&["class=cleared"]));
}

// Keys.

#[test]
fn join_keys_and_request_fields_are_keys() {
    let request = json!({"requestDataSource": {"name": "r", "type": "REQUEST_SOURCE", "requestDataOptions": {
        "schema": [{"name": "basket", "tags": {"pii": "true"}}], "deprecatedSchema": {"coupon": "STRING"}}}});
    let columns = json!({"entityColumns": [{"name": "customer_id", "tags": {"id": ""}}], "tags": {"team": "crm"}});
    let mut customer = entity("customer", "customer_id");
    customer["spec"]["tags"] = json!({"domain": "crm"});
    let import = dump(json!({
        "entities": [customer, entity("unused", "unused_id")],
        "featureViews": [view("v", &["a"], columns)],
        "onDemandFeatureViews": [on_demand("o", json!({"r": request}))],
    }));
    let keys: BTreeMap<&str, &Feature> =
        import.catalogue.features.iter().filter(|(_, f)| f.key).map(|(n, f)| (n.as_str(), f)).collect();
    let key = |tags: &[&str]| Feature { key: true, tags: set(tags), ..Feature::default() };
    let expected = [
        ("basket", key(&["pii", "pii=true"])),
        ("coupon", key(&[])),
        // The labels of its field, not of the view and the entity.
        ("customer_id", key(&["id", "id="])),
        ("unused_id", key(&[])),
    ];
    assert_eq!(keys, expected.iter().map(|(n, f)| (*n, f)).collect());
    assert_eq!(feature(&import, "o:out").inputs, set(&["basket", "coupon"]));
    assert_eq!(feature(&import, "o:out").joins, set(&[]));
}

#[test]
fn stored_features_join_by_the_keys_of_their_view() {
    let import = dump(json!({
        "entities": [entity("customer", "customer_id"), entity("shop", "shop_id")],
        "featureViews": [
            view("listed", &["a"], json!({"entityColumns": [{"name": "customer_id"}], "entities": ["customer"]})),
            view("by_entity", &["a"], json!({"entities": ["customer", "shop"]})),
            view("renamed", &["a"], json!({"entityColumns": [{"name": "old_id"}], "entities": ["shop"]})),
        ],
    }));
    assert_eq!(feature(&import, "listed:a").joins, set(&["customer_id"]));
    assert_eq!(feature(&import, "by_entity:a").joins, set(&["customer_id", "shop_id"]));
    assert_eq!(feature(&import, "renamed:a").joins, set(&["old_id", "shop_id"]));
    assert!(feature(&import, "old_id").key);
    assert_eq!(import.warnings, Vec::<String>::new());
}

#[test]
fn the_entity_of_views_without_entities_is_skipped() {
    let none = json!({"entities": ["__dummy"], "entityColumns": [{"name": "__dummy_id"}]});
    let mut derived = on_demand("o", json!({"v": {"featureViewProjection": projection("v", &["a"])}}));
    derived["spec"]["entities"] = json!(["__dummy"]);
    derived["spec"]["entityColumns"] = json!([{"name": "__dummy_id"}]);
    derived["spec"]["writeToOnlineStore"] = json!(true);
    let import = dump(json!({
        "entities": [entity("__dummy", "__dummy_id")],
        "featureViews": [view("v", &["a"], none)],
        "onDemandFeatureViews": [derived],
    }));
    let names: Vec<&String> = import.catalogue.features.keys().collect();
    assert_eq!(names, ["o:out", "v:a"]);
    assert_eq!(feature(&import, "v:a"), &Feature::default());
    assert_eq!(feature(&import, "o:out").joins, set(&[]));
    assert_eq!(import.warnings, Vec::<String>::new());
    assert!(!GOLDEN.contains("__dummy"));
}

#[test]
fn an_entity_that_is_not_listed_is_a_warning() {
    let import = dump(json!({"featureViews": [view("v", &["a"], json!({"entities": ["ghost"]}))]}));
    let warning = "the view `v` is of the entity `ghost`, which the registry does not list: its join key is not known";
    assert_eq!(import.warnings, [warning]);
    assert_eq!(feature(&import, "v:a").joins, set(&[]));
}

// Data sources.

#[test]
fn a_source_s_kind_comes_from_its_type_or_its_class() {
    const POSTGRES: &str = "feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source.PostgreSQLSource";
    for (source, kind) in [
        (json!({"type": "BATCH_FILE"}), Some("FILE")),
        (json!({"type": "BATCH_BIGQUERY"}), Some("BIGQUERY")),
        (json!({"type": "BATCH_SNOWFLAKE"}), Some("SNOWFLAKE")),
        (json!({"type": "BATCH_REDSHIFT"}), Some("REDSHIFT")),
        (json!({"type": "STREAM_KAFKA", "dataSourceClassType": "feast.data_source.KafkaSource"}), Some("KAFKA")),
        (json!({"type": "PUSH_SOURCE"}), Some("PUSH")),
        (json!({"type": "CUSTOM_SOURCE", "dataSourceClassType": POSTGRES}), Some("POSTGRESQL")),
        (json!({"type": "CUSTOM_SOURCE", "dataSourceClassType": "own.Warehouse"}), Some("WAREHOUSE")),
        (json!({"dataSourceClassType": POSTGRES}), Some("POSTGRESQL")),
        (json!({"type": "CUSTOM_SOURCE"}), None),
        (json!({}), None),
    ] {
        let mut source = source;
        source["name"] = json!("s");
        let import = dump(json!({"featureViews": [view("v", &["a"], json!({"batchSource": source}))]}));
        let found = &import.catalogue.datasources["s"];
        assert_eq!(found.kind.as_deref(), kind, "{source}");
        assert_eq!(feature(&import, "v:a").sources, set(&["s"]));
    }
}

#[test]
fn a_push_source_brings_the_batch_source_behind_it() {
    let behind = json!({"name": "table", "type": "BATCH_BIGQUERY", "tags": {"prod": ""}});
    let push = json!({"name": "push", "type": "PUSH_SOURCE", "batchSource": behind, "tags": {"env": "prod"}});
    let import = dump(json!({"featureViews": [view("v", &["a"], json!({"streamSource": push}))]}));
    assert_eq!(feature(&import, "v:a").sources, set(&["push", "table"]));
    let source = |kind: &str, tags: &[&str]| DataSource { kind: Some(kind.to_owned()), tags: set(tags) };
    let expected = BTreeMap::from([
        ("push".to_owned(), source("PUSH", &["env=prod"])),
        ("table".to_owned(), source("BIGQUERY", &["prod", "prod="])),
    ]);
    assert_eq!(import.catalogue.datasources, expected);
}

#[test]
fn sources_that_no_view_reads_and_those_without_a_name_are_not_listed() {
    let import = dump(json!({
        "dataSources": [{"name": "idle", "type": "BATCH_FILE"}, {"name": "request", "type": "REQUEST_SOURCE"}],
        "featureViews": [view("v", &["a"], json!({"batchSource": {"type": "BATCH_FILE"}}))],
    }));
    assert_eq!(import.catalogue.datasources, BTreeMap::new());
    assert_eq!(feature(&import, "v:a").sources, set(&[]));
}

#[test]
fn of_differing_copies_of_a_source_the_common_labels_count() {
    let copy = |tags: Value| json!({"name": "s", "type": "BATCH_FILE", "tags": tags});
    let import = dump(json!({
        "dataSources": [copy(json!({"env": "prod", "a": "b"}))],
        "featureViews": [
            view("v", &["a"], json!({"batchSource": copy(json!({"env": "prod", "c": "d"}))})),
            view("w", &["a"], json!({"batchSource": copy(json!({"env": "prod", "e": "f"}))})),
        ],
    }));
    assert_eq!(import.catalogue.datasources["s"].tags, set(&["env=prod"]));
    let warning = "the data source `s` has other tags in some places: those that it has in all of them count";
    assert_eq!(import.warnings, [warning]);
}

// Lineage.
