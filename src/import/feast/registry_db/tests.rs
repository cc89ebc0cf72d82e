use super::messages::*;
use super::*;
use crate::import::feast::from_registry_dump;

/// The file of the registry that `registry-dump.json` was printed from, without the code in it.
const FILE: &[u8] = include_bytes!("../../../../tests/fixtures/feast/registry/registry.db");
const DUMP: &[u8] = include_bytes!("../../../../tests/fixtures/feast/registry/registry-dump.json");

fn import(registry: &Registry, project: Option<&str>) -> Result<Import, ImportError> {
    from_registry_db(&registry.encode_to_vec(), project, &Options::default())
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn field(name: &str) -> Field {
    Field { name: text(name), ..Field::default() }
}

fn view(project: &str, name: &str) -> View {
    let spec = ViewSpec { name: text(name), project: text(project), features: vec![field("a")], ..ViewSpec::default() };
    View { spec: Some(spec) }
}

#[test]
fn the_file_gives_the_catalogue_of_its_dump() {
    for inherit_view_tags in [true, false] {
        let options = Options { inherit_view_tags };
        let dump = from_registry_dump(DUMP, &options).unwrap();
        assert_eq!(from_registry_db(FILE, None, &options).unwrap(), dump);
        assert_eq!(from_registry_db(FILE, Some("shop"), &options).unwrap(), dump);
    }
}

#[test]
fn every_kind_of_view_is_read() {
    let tags = |name: &str| std::collections::BTreeMap::from([(text(name), text("true"))]);
    let source = |name: &str, kind: i32| Source { name: text(name), kind, ..Source::default() };
    let stream = StreamViewSpec {
        name: text("stream"),
        features: vec![field("s")],
        entity_columns: vec![field("id")],
        tags: tags("live"),
        batch_source: Some(source("table", 2)),
        stream_source: Some(Source { batch_source: Some(Box::new(source("behind", 99))), ..source("kafka", 3) }),
        ..StreamViewSpec::default()
    };
    let label = LabelViewSpec {
        name: text("label"),
        features: vec![field("l")],
        entities: vec![text("customer")],
        source: Some(source("push", 9)),
        ..LabelViewSpec::default()
    };
    let old = RequestOptions { deprecated_schema: [(text("old"), 1)].into(), schema: vec![field("new")] };
    let request = Source { request_data_options: Some(old), ..source("request", 7) };
    let on_demand = OnDemandViewSpec {
        name: text("od"),
        features: vec![field("out")],
        sources: [
            (text("r"), OnDemandSource { request_data_source: Some(request), ..OnDemandSource::default() }),
            (text("v"), OnDemandSource { feature_view: Some(view("", "v")), ..OnDemandSource::default() }),
        ]
        .into(),
        ..OnDemandViewSpec::default()
    };
    let derived = ViewSpec { source_views: vec![view("", "v").spec.unwrap()], ..view("", "w").spec.unwrap() };
    let pinned = Projection {
        feature_view_name: text("v"),
        feature_columns: vec![field("a")],
        feature_view_name_alias: text("alias"),
        join_key_map: [(text("customer_id"), text("buyer_id"))].into(),
        version_tag: Some(2),
    };
    let customer = EntitySpec { name: text("customer"), join_key: text("customer_id"), ..EntitySpec::default() };
    let registry = Registry {
        entities: vec![Entity { spec: Some(customer) }],
        feature_views: vec![view("", "v"), View { spec: Some(derived) }],
        feature_services: vec![Service {
            spec: Some(ServiceSpec { name: text("service"), features: vec![pinned], ..ServiceSpec::default() }),
        }],
        on_demand_feature_views: vec![OnDemandView { spec: Some(on_demand) }],
        stream_feature_views: vec![StreamView { spec: Some(stream) }],
        label_views: vec![LabelView { spec: Some(label) }],
        data_sources: vec![],
    };
    let import = import(&registry, None).unwrap();
    let (_, yaml) =
        import.catalogue.to_yaml().split_once("version: 1\n").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let expected = r#"
features:
  "customer_id": {key: true}
  "id": {key: true}
  "label:l": {joins: ["customer_id"], sources: ["push"]}
  "new": {key: true}
  "od:out": {inputs: ["new", "old", "v:a"]}
  "old": {key: true}
  "stream:s": {tags: ["live", "live=true"], joins: ["id"], sources: ["behind", "kafka", "table"]}
  "v:a": null
  "w:a": {inputs: ["v:a"]}

bundles:
  "service":
    - {feature: "v:a", as: "alias@v2__a", keys: {"customer_id": "buyer_id"}}

datasources:
  "behind": {kind: "TYPE_99"}
  "kafka": {kind: "KAFKA"}
  "push": {kind: "PUSH"}
  "table": {kind: "BIGQUERY"}
"#;
    assert_eq!(yaml, expected);
}

#[test]
fn one_project_of_several_has_to_be_named() {
    let registry = Registry { feature_views: vec![view("shop", "v"), view("lab", "w")], ..Registry::default() };
    let error = import(&registry, None).unwrap_err();
    assert_eq!(error.to_string(), "the registry holds the projects `lab`, `shop`: name one of them");
    let shop = import(&registry, Some("shop")).unwrap();
    assert_eq!(shop.catalogue.features.keys().collect::<Vec<_>>(), ["v:a"]);
    let empty = "the registry has no features, or the project does not exist";
    assert_eq!(import(&registry, Some("ghost")).unwrap_err().to_string(), empty);
    assert_eq!(import(&Registry::default(), None).unwrap_err().to_string(), empty);
}

#[test]
fn what_cannot_be_read_is_refused_with_its_place() {
    let unknown = OnDemandViewSpec {
        name: text("od"),
        features: vec![field("out")],
        sources: [(text("s"), OnDemandSource::default())].into(),
        ..OnDemandViewSpec::default()
    };
    let on_demand_feature_views = vec![OnDemandView { spec: Some(unknown) }];
    for (registry, message) in [
        (
            Registry { feature_views: vec![View { spec: None }], ..Registry::default() },
            "`featureViews[0].spec` is missing",
        ),
        (
            Registry { feature_views: vec![view("", "")], ..Registry::default() },
            "`featureViews[0].spec.name` is missing",
        ),
        (
            Registry { on_demand_feature_views, ..Registry::default() },
            "`onDemandFeatureViews[0].spec.sources.s` is a source of an unknown kind, so that its inputs cannot be told",
        ),
    ] {
        assert_eq!(import(&registry, None).unwrap_err().to_string(), message);
    }
}

#[test]
fn what_is_cut_short_or_damaged_is_an_answer_and_never_a_panic() {
    let damaged = "`registry file` does not read as protobuf: it is damaged, cut short or of another kind";
    let mut refused = 0;
    for end in (1..FILE.len()).step_by(7) {
        if let Err(ImportError::Damaged { place }) = from_registry_db(&FILE[..end], None, &Options::default()) {
            assert_eq!(ImportError::Damaged { place }.to_string(), damaged);
            refused += 1;
        }
    }
    assert!(refused > FILE.len() / 14, "{refused}");
    for at in (0..FILE.len()).step_by(7) {
        let mut bytes = FILE.to_vec();
        bytes[at] ^= 0x45;
        from_registry_db(&bytes, None, &Options::default()).ok();
    }
    let json = from_registry_db(DUMP, None, &Options::default()).unwrap_err();
    assert_eq!(json.to_string(), damaged);
}
