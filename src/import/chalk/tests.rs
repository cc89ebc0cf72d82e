use serde_json::Value;

use super::*;
use crate::diagnostic::{Report, SourceFile};
use crate::import::{DataSource, Member};
use crate::policy::decide::{Name, Resolved};
use crate::policy::{self, Policy};
use made::{found, packed, set, world};

mod expressions;
mod made;
mod resolvers;

const SEED: &[u8] = include_bytes!("../../../tests/fixtures/chalk/lineage/seed.export.pb");
const SEED_LINEAGE: &[u8] = include_bytes!("../../../tests/fixtures/chalk/lineage/seed.lineage.json");
const RICH: &[u8] = include_bytes!("../../../tests/fixtures/chalk/lineage/rich.export.pb");
const RICH_LINEAGE: &[u8] = include_bytes!("../../../tests/fixtures/chalk/lineage/rich.lineage.json");
const WIDE: &[u8] = include_bytes!("../../../tests/fixtures/chalk/wide/wide.export.pb");
const WIDE_GOLDEN: &str = include_str!("../../../tests/fixtures/chalk/wide/catalogue.yaml");
const WIDE_WARNINGS: &str = include_str!("../../../tests/fixtures/chalk/wide/warnings.txt");

fn import(bytes: &[u8]) -> Import {
    from_export(bytes, &Options::default()).unwrap()
}

fn load(policy: &str, catalogue: &str) -> (Option<Policy>, Report) {
    let file =
        |name: &str, text: &str| std::sync::Arc::new(SourceFile { name: name.to_owned(), text: text.to_owned() });
    policy::load(&[file("policy.yaml", policy)], &[file("catalogue.yaml", catalogue)])
}

// Real exports, against what was read out of them.

fn texts(value: &Value) -> BTreeSet<String> {
    value.as_array().into_iter().flatten().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// The features, sources and queries of a `*.lineage.json`.
fn agrees(import: &Import, lineage: &[u8]) {
    let lineage: Value = serde_json::from_slice(lineage).unwrap();
    let catalogue = &import.catalogue;
    let wanted = lineage["features"].as_array().unwrap();
    let windows = wanted.iter().filter(|feature| feature["kind"] == "windowed");
    let mut left_out = 0;
    for window in windows {
        let name = window["fqn"].as_str().unwrap();
        assert!(!catalogue.features.contains_key(name), "{name} is no feature");
        assert!(texts(&window["buckets"]).iter().all(|bucket| catalogue.features.contains_key(bucket)));
        left_out += 1;
    }
    assert_eq!(catalogue.features.len(), wanted.len() - left_out);
    for feature in wanted.iter().filter(|feature| feature["kind"] != "windowed") {
        let name = feature["fqn"].as_str().unwrap();
        let all = |of: &str| -> BTreeSet<String> {
            feature["derivations"].as_array().unwrap().iter().flat_map(|way| texts(&way[of])).collect()
        };
        let target = feature["target_namespace"].as_str().map(str::to_owned);
        let version = feature["version"]["default"].as_u64();
        let mut joins = all("join_inputs");
        joins.append(&mut texts(&feature["join_inputs"]));
        let expected = Feature {
            key: feature["primary_key"] == true,
            tags: texts(&feature["tags"]),
            inputs: all("inputs"),
            joins,
            sources: all("data_sources"),
            opaque: false,
            has_one: target.clone().filter(|_| feature["kind"] == "has_one"),
            has_many: target.filter(|_| feature["kind"] == "has_many"),
            default_version: version.filter(|_| !name.contains('@')),
        };
        assert_eq!(found(import, name), &expected, "{name}");
    }
    let sources = lineage["data_sources"].as_array().unwrap();
    assert_eq!(catalogue.datasources.len(), sources.len());
    for source in sources {
        let found = &catalogue.datasources[source["name"].as_str().unwrap()];
        assert_eq!(found.tags, texts(&source["permission_tags"]));
    }
    let queries = lineage["named_queries"].as_array().unwrap();
    assert_eq!(catalogue.bundles.len(), queries.len());
    for query in queries {
        let name = query["name"].as_str().unwrap();
        let name = query["version"].as_str().map_or(name.to_owned(), |version| format!("{name}@{version}"));
        let outputs: BTreeSet<String> = catalogue.bundles[&name]
            .iter()
            .map(|member| member.alias.clone().unwrap_or_else(|| member.feature.clone()))
            .collect();
        assert_eq!(outputs, texts(&query["outputs"]), "{name}");
    }
}

#[test]
fn the_seed_project_is_read_as_it_is() {
    let import = import(SEED);
    agrees(&import, SEED_LINEAGE);
    assert_eq!(import.warnings, Vec::<String>::new());
}

#[test]
fn the_rich_project_is_read_as_it_is() {
    let import = import(RICH);
    agrees(&import, RICH_LINEAGE);
    let python =
        |name: &str| format!("the resolver `{name}` is python: what it reads besides its inputs cannot be seen");
    assert_eq!(import.warnings, [python("src.models.get_ident"), python("src.models.get_score")]);
    let kind = import.catalogue.datasources["pg_pii"].kind.as_deref();
    assert_eq!(kind, Some("POSTGRESQL"));
}

/// Everything that chalkpy has and the others do not use: `wide/models.py`.
#[test]
fn the_golden_file_is_what_the_wide_project_gives() {
    let import = import(WIDE);
    assert_eq!(import.catalogue.to_yaml(), WIDE_GOLDEN);
    assert_eq!(import.warnings, WIDE_WARNINGS.lines().collect::<Vec<_>>());
}

#[test]
fn the_same_export_gives_the_same_catalogue_and_all_of_them_load() {
    for bytes in [SEED, RICH, WIDE] {
        assert_eq!(import(bytes), import(bytes));
        let (policy, report) = load("version: 1\n", &import(bytes).catalogue.to_yaml());
        assert!(policy.is_some(), "{report}");
    }
}

#[test]
fn the_canonical_example_decides_as_it_should() {
    let catalogue = import(SEED).catalogue;
    let average = &catalogue.features["user.avg_transaction_amount"];
    assert_eq!(average.inputs, set(&["transaction.amount"]));
    assert_eq!(average.joins, set(&["transaction.user_id", "user.id"]));
    let role = "roles: {r: {tags: {pii: AllowInternal, cleared: AllowDownstream}}}";
    // A tag that only the catalogue gives lifts nothing, unless the policy trusts it.
    for (trust, own) in [("", "Allow"), ("catalogue_tags: trust\n", "AllowDownstream")] {
        let (policy, report) = load(&format!("version: 1\n{trust}{role}\n"), &catalogue.to_yaml());
        let policy = policy.unwrap_or_else(|| panic!("{report}"));
        let tables = policy.tables(&[policy.role_id("r").unwrap()]);
        let supplied = [Name::of(&policy, "user.id")];
        let resolved = Resolved::new(&policy, &tables, &supplied);
        let permission = |name: &str| resolved.verdict(&Name::of(&policy, name), false).permission.name();
        assert_eq!(permission("user.avg_transaction_amount"), own);
        assert_eq!(permission("transaction.amount"), "AllowInternal");
        assert_eq!(permission("user.transactions"), "Allow");
        assert!(resolved.decide(&[Name::of(&policy, "user.avg_transaction_amount")]).permitted);
        assert!(!resolved.decide(&[Name::of(&policy, "transaction.amount")]).permitted);
        assert_eq!(permission("user.recent"), "Deny");
    }
}

// Exports that are not whole.

#[test]
fn files_that_did_not_import_are_named_without_their_code() {
    let failed =
        |file: &str, module: &str| proto::FailedImport { file_name: file.to_owned(), module: module.to_owned() };
    let mut export = world().export();
    export.failed =
        vec![failed("src/b.py", "src.b"), failed("src/a\n.py", "src.a"), failed("", "src.c"), failed("", " ")];
    let error = from_export(&packed(&export), &Options::default()).unwrap_err();
    let message = "the export is not whole, these files did not import: `src.c`, `src/a\\n.py`, `src/b.py`, \
                   the project as a whole";
    assert_eq!(error.to_string(), message);
}

#[test]
fn parts_that_did_not_convert_are_named() {
    let failed = |feature: &str, resolver: &str| proto::ConversionError {
        feature: feature.to_owned(),
        resolver: resolver.to_owned(),
    };
    let mut export = world().export();
    export.conversion_errors = vec![failed("user.x", ""), failed("", "src.r"), failed("", "")];
    let error = from_export(&packed(&export), &Options::default()).unwrap_err();
    let message = "the export is not whole, these parts did not convert: `src.r`, `user.x`, a part without a name";
    assert_eq!(error.to_string(), message);
}

#[test]
fn an_export_without_features_is_refused() {
    let message = "the export has no features: it is of an empty project, or of the wrong folder";
    let mut world = world();
    world.sets.clear();
    assert_eq!(world.try_import().unwrap_err().to_string(), message);
    world.sets = vec![("user", vec![made::key("user.id")])];
    assert_eq!(world.try_import().unwrap_err().to_string(), message);
    assert_eq!(from_export(b"", &Options::default()).unwrap_err().to_string(), message);
}

#[test]
fn of_a_deployments_answer_the_export_counts_before_the_graph() {
    let server = |export: Option<&[u8]>, graph: Option<&Bytes>| {
        from_server(export.map(Bytes::copy_from_slice), graph.cloned(), &Options::default())
    };
    let graph = |export: &'static [u8]| proto::Export::decode(export).unwrap().graph.unwrap();
    let (seed, rich) = (graph(SEED), graph(RICH));
    assert_eq!(server(Some(SEED), Some(&rich)).unwrap(), import(SEED));
    assert_eq!(server(None, Some(&rich)).unwrap(), import(RICH));
    assert_eq!(server(Some(b""), Some(&seed)).unwrap(), import(SEED), "an export without a graph");
    // What is missing from the project is told by the export alone.
    let failed = vec![proto::FailedImport { file_name: "src/users.py".to_owned(), module: String::new() }];
    let broken = packed(&proto::Export { failed, ..proto::Export::default() });
    let error = server(Some(&broken), Some(&seed)).unwrap_err();
    assert_eq!(error.to_string(), "the export is not whole, these files did not import: `src/users.py`");
    let empty = proto::Export { graph: Some(Bytes::new()), ..proto::Export::default() };
    for none in [server(None, None), server(Some(b""), None), server(Some(&packed(&empty)), Some(&seed))] {
        assert_eq!(none.unwrap_err(), ImportError::EmptyGraph);
    }
    assert_eq!(server(Some(b"\x0a\x7f"), Some(&seed)).unwrap_err(), proto::damaged("export"));
}

#[test]
fn the_older_form_of_the_export_is_refused() {
    let error = from_export(b"\n {\"features\": []}", &Options::default()).unwrap_err();
    assert_eq!(error.to_string(), "the export is JSON: it has to be written with `chalkpy export FILE --proto`");
}

#[test]
fn what_is_cut_short_or_damaged_is_an_error_and_never_a_panic() {
    let whole = import(RICH);
    let damaged =
        |place: &str| format!("`{place}` does not read as protobuf: it is damaged, cut short or of another kind");
    for end in (1..RICH.len()).step_by(11) {
        match from_export(&RICH[..end], &Options::default()) {
            // What comes after the graph is not read.
            Ok(import) => assert_eq!(import, whole, "{end}"),
            Err(error) => assert_eq!(error.to_string(), damaged("export"), "{end}"),
        }
    }
    let mut places = BTreeSet::new();
    for at in (0..RICH.len()).step_by(5) {
        let mut bytes = RICH.to_vec();
        bytes[at] ^= 0x45;
        if let Err(ImportError::Damaged { place }) = from_export(&bytes, &Options::default()) {
            places.insert(place.split('[').next().unwrap().to_owned());
        }
    }
    assert!(places.is_superset(&set(&["export", "graph", "graph.feature_sets", "graph.resolvers"])), "{places:?}");
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_an_answer_and_never_a_panic(bytes: Vec<u8>) {
        from_export(&bytes, &Options::default()).ok();
    }
}

// Features.

#[test]
fn a_feature_of_an_unknown_kind_stays_out() {
    let import = world().with(Bytes::from_static(&[0x3a, 0x00])).import();
    assert_eq!(
        import.warnings,
        [
            "the namespace `user` has a feature of an unknown kind, which is left out: `graph.feature_sets[0].features[10]`"
        ]
    );
}

#[test]
fn a_field_of_a_feature_that_is_newer_makes_it_opaque() {
    let mut scalar = packed(&made::scalar("user.x")).to_vec();
    scalar.extend([0x88, 0x02, 0x01]); // 33
    let feature = proto::FeatureType { kind: Some(proto::FeatureKind::Scalar(scalar.into())) };
    let import = world().with(packed(&feature)).import();
    assert!(found(&import, "user.x").opaque);
    assert_eq!(import.warnings, ["`user.x` is opaque: it has the field 33, which is newer than this import"]);
}

#[test]
fn a_relation_has_the_keys_of_its_join() {
    let bare = made::relation("user.odd", "ghost", None);
    let feature = proto::FeatureType { kind: Some(proto::FeatureKind::HasMany(packed(&bare))) };
    let import = world().with(packed(&feature)).import();
    let expected = Feature { has_many: Some("ghost".to_owned()), ..Feature::default() };
    assert_eq!(found(&import, "user.odd"), &expected);
    assert_eq!(
        import.warnings,
        [
            "the relation `user.odd` has no join: its keys are not known",
            "the relation `user.odd` leads to `ghost`, which the export does not have",
        ]
    );
    let keys = made::operation("==", &[made::column("user.name"), made::column("profile.ghost")]);
    let unknown = made::relation("user.odd", "profile", Some(keys));
    let feature = proto::FeatureType { kind: Some(proto::FeatureKind::HasOne(packed(&unknown))) };
    let import = world().with(packed(&feature)).import();
    let expected = Feature { has_one: Some("profile".to_owned()), joins: set(&["user.name"]), ..Feature::default() };
    assert_eq!(found(&import, "user.odd"), &expected);
    assert_eq!(
        import.warnings,
        [
            "the keys of the relation `user.odd` are not all known: it names `profile.ghost`, which the export does not have"
        ]
    );
}

#[test]
fn a_version_is_a_feature_and_the_bare_name_tells_the_default() {
    let import = world().import();
    assert_eq!(found(&import, "user.score").default_version, Some(2));
    assert_eq!(found(&import, "user.score@2"), &Feature::default());
    let first = proto::Scalar { version: Some(proto::VersionInfo { default: 1 }), ..made::scalar("user.x") };
    let import = world().with(made::as_scalar(&first)).import();
    assert_eq!(found(&import, "user.x").default_version, None);
}

#[test]
fn a_feature_that_stands_twice_has_the_tags_of_both() {
    let tagged = |tag: &str| made::as_scalar(&proto::Scalar { tags: vec![tag.to_owned()], ..made::scalar("user.x") });
    let import = world().with(tagged("a")).with(tagged("b")).import();
    assert_eq!(found(&import, "user.x").tags, set(&["a", "b"]));
    let relation = packed(&made::relation("user.name", "profile", None));
    let relation = packed(&proto::FeatureType { kind: Some(proto::FeatureKind::HasOne(relation)) });
    let error = world().with(relation).try_import().unwrap_err();
    assert_eq!(
        error.to_string(),
        "`graph.feature_sets[0].features[10]` is the name `user.name` again, after `another feature`"
    );
}

#[test]
fn names_that_a_catalogue_would_misread_are_refused() {
    for (full, problem) in [
        ("user.a*b", "name` is a name with `*` in it"),
        ("user.a.b", "name` is a name with `.` in it"),
        ("user.a:b", "name` is a name with `:` in it"),
        ("user.a[b", "name` is a name with `[` in it"),
        ("user.a\nb", "name` is a name with `\\n` in it"),
        ("user.", "name` is an empty name"),
        ("us@er.a", "namespace` is a name with `@` in it"),
        (".a", "namespace` is an empty name"),
    ] {
        let error = world().with(made::as_scalar(&made::scalar(full))).try_import().unwrap_err().to_string();
        assert!(error.starts_with(&format!("`graph.feature_sets[0].features[10].{problem}")), "{error}");
    }
}

// Named queries.

fn asks(name: &str, version: Option<&str>, input: &[&str], output: &[&str]) -> proto::NamedQuery {
    let list = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect();
    proto::NamedQuery {
        name: name.to_owned(),
        query_version: version.map(str::to_owned),
        input: list(input),
        output: list(output),
        output_expressions: vec![],
    }
}

fn queried(queries: &[proto::NamedQuery]) -> Result<Import, ImportError> {
    let mut world = world();
    world.graph.named_queries = queries.iter().map(packed).collect();
    world.try_import()
}

#[test]
fn a_named_query_is_a_bundle_of_its_outputs() {
    let plain = |name: &str| Member { feature: name.to_owned(), alias: None, keys: BTreeMap::new() };
    let by = |name: &str, path: &str| Member { alias: Some(path.to_owned()), ..plain(name) };
    let profile = || vec![plain("profile.id"), plain("profile.level")];
    for (output, members) in [
        (vec!["user.score@2", "user.spent__3600__"], vec![plain("user.score@2"), plain("user.spent__3600__")]),
        (vec!["user.transactions", "user.profile"], vec![plain("user.transactions"), plain("user.profile")]),
        (vec!["profile"], profile()),
        (vec!["user.profile.level"], vec![by("profile.level", "user.profile.level")]),
        (
            vec!["user.transactions[transaction.amount,transaction.at]"],
            vec![
                by("transaction.amount", "user.transactions[transaction.amount]"),
                by("transaction.at", "user.transactions[transaction.at]"),
            ],
        ),
        (
            vec!["user.transactions[transaction.lines[line.price,line.id],transaction.lines]"],
            vec![
                by("line.price", "user.transactions[transaction.lines[line.price]]"),
                by("line.id", "user.transactions[transaction.lines[line.id]]"),
                by("transaction.lines", "user.transactions[transaction.lines]"),
            ],
        ),
    ] {
        let import = queried(&[asks("q", None, &["user.id"], &output)]).unwrap();
        assert_eq!(import.catalogue.bundles["q"], members, "{output:?}");
        assert_eq!(import.warnings, Vec::<String>::new());
    }
    // Without outputs: the namespace that it is asked for.
    let import = queried(&[asks("q", Some("1.0.0"), &["profile.id", "profile.level"], &[])]).unwrap();
    assert_eq!(import.catalogue.bundles, BTreeMap::from([("q@1.0.0".to_owned(), profile())]));
}

#[test]
fn a_named_query_that_cannot_be_a_bundle_is_left_out() {
    let nested = format!("{}user.id{}", "user.transactions[".repeat(100_000), "]".repeat(100_000));
    let expression =
        proto::NamedQuery { output_expressions: vec![Bytes::new()], ..asks("q", None, &[], &["user.name"]) };
    let unknown = |output: &str| {
        (asks("q", None, &[], &["user.name", output]), format!("its `{output}` is no feature of the export"))
    };
    for (query, reason) in [
        (expression, "it has expressions of its own".to_owned()),
        (asks("q", None, &[], &[]), "it has no outputs that are known".to_owned()),
        (asks("q", None, &["ghost.id"], &[]), "it has no outputs that are known".to_owned()),
        unknown("user.ghost"),
        unknown("ghost"),
        unknown("USER.NAME"),
        unknown("user.spent"),
        unknown("user.name.first"),
        unknown("user.name[user.id]"),
        unknown("user.transactions[user.name]"),
        unknown("user.transactions[transaction]"),
        unknown("user.transactions[transaction.ghost]"),
        unknown("user.transactions[transaction.amount"),
        unknown("user.transactions[]"),
        unknown("user[user.name]"),
        unknown(""),
    ] {
        let import = queried(&[query]).unwrap();
        assert_eq!(import.catalogue.bundles, BTreeMap::new());
        assert_eq!(import.warnings, [format!("the named query `q` is left out: {reason}")]);
    }
    let import = queried(&[asks("q", None, &[], &[&nested])]).unwrap();
    assert_eq!(import.catalogue.bundles, BTreeMap::new());
}

#[test]
fn named_queries_have_names_of_their_own() {
    let error =
        queried(&[asks("q", Some("1"), &[], &["user.name"]), asks("q@1", None, &[], &["user.name"])]).unwrap_err();
    assert_eq!(error.to_string(), "`graph.named_queries[1]` is the name `q@1` again, after `graph.named_queries[0]`");
    let error = queried(&[asks("", None, &[], &["user.name"])]).unwrap_err();
    assert_eq!(error.to_string(), "`graph.named_queries[0].name` is an empty name");
}
