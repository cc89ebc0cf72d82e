//! What resolvers, streams and models derive, and from which sources.

use super::super::proto::*;
use super::made::*;
use super::*;

const PYTHON: &str = "the resolver `r` is python: what it reads besides its inputs cannot be seen";

fn x_of(resolver: &Resolver) -> Feature {
    found(&world().plain_x().resolver(resolver).import(), "user.x").clone()
}

/// A resolver of `user.x` with one input.
fn of_input(input: Bytes) -> Resolver {
    Resolver { inputs: vec![input], ..sql("r", &[], &["user.x"]) }
}

#[test]
fn a_resolver_computes_its_outputs_from_its_inputs() {
    let hop = Reference { path: vec![packed(&reference("user.profile"))], ..reference("profile.level") };
    let filtered = Frame {
        filter: Some(operation("==", &[column("transaction.at"), column("__chalk__.now")])),
        ..frame("transaction", &["transaction.amount"])
    };
    let filtered = Reference { df: Some(packed(&filtered)), ..reference("user.transactions") };
    let of_frame = |frame: &Frame| packed(&ResolverInput { kind: Some(InputKind::Frame(packed(frame))) });
    let (profile, transactions) = (["profile.id", "user.profile_id"], ["transaction.user_id", "user.id"]);
    let row = ["transaction.amount", "transaction.at", "transaction.id", "transaction.name", "transaction.user_id"];
    let state = packed(&ResolverInput { kind: Some(InputKind::State(Bytes::new())) });
    let cases: &[(&str, Bytes, &[&str], &[&str])] = &[
        ("a feature", takes(&reference("user.name")), &["user.name"], &[]),
        ("the time", takes(&reference("__chalk__.now")), &[], &[]),
        ("its state", state, &[], &[]),
        ("a window", takes(&reference("user.spent__3600__")), &["user.spent__3600__"], &[]),
        ("all windows", takes(&reference("user.spent")), &["user.spent__3600__", "user.spent__86400__"], &[]),
        ("a feature over a hop", takes(&hop), &["profile.level"], &profile),
        ("a has-one", takes(&reference("user.profile")), &["profile.id", "profile.level"], &profile),
        (
            "columns",
            takes(&columns("user.transactions", "transaction", &["transaction.at"])),
            &["transaction.at"],
            &transactions,
        ),
        ("filtered columns", takes(&filtered), &["transaction.amount", "transaction.at"], &transactions),
        ("all columns", takes(&columns("user.transactions", "transaction", &[])), &row, &transactions),
        ("a data frame", of_frame(&frame("transaction", &["transaction.at"])), &["transaction.at"], &[]),
        ("a whole data frame", of_frame(&frame("transaction", &[])), &row, &[]),
    ];
    for (what, input, inputs, joins) in cases {
        let wanted = Feature { inputs: set(inputs), joins: set(joins), ..Feature::default() };
        assert_eq!(x_of(&of_input(input.clone())), wanted, "{what}");
    }
}

#[test]
fn what_decides_whether_a_resolver_runs_is_an_input() {
    let when = Some(operation("==", &[column("user.name"), text("x")]));
    let cron_filter = Some(CronFilter { args: vec![packed(&reference("user.score"))] });
    let resolver = Resolver { when, cron_filter, ..sql("r", &["user.spent__3600__"], &["user.x"]) };
    assert_eq!(x_of(&resolver).inputs, set(&["user.name", "user.score", "user.spent__3600__"]));
}

#[test]
fn what_a_resolver_reads_unseen_makes_its_outputs_opaque() {
    let plan = Some(Bytes::new());
    let newer = packed(&ResolverInput { kind: None }).into_iter().chain([0x20, 0x01]).collect();
    let own = SqlSettings { is_chalk_sql_source: true };
    for (resolver, problem) in [
        (of_input(takes(&reference("user.ghost"))), "it names `user.ghost`, which the export does not have"),
        (of_input(packed(&ResolverInput { kind: None })), "an input of it is of an unknown kind"),
        (
            of_input(takes(&columns("user.ghost", "user", &["user.name"]))),
            "it hops over `user.ghost`, which the export does not have",
        ),
        (Resolver { static_operation: plan.clone(), ..sql("r", &[], &["user.x"]) }, "its plan is not followed"),
        (
            Resolver { static_operation_dataframe: plan.clone(), ..resolver("r", &[], &["user.x"]) },
            "its plan is not followed",
        ),
        (
            Resolver { underscore_expr: plan.clone(), ..sql("r", &[], &["user.x"]) },
            "what is done to its outputs is not followed",
        ),
        (
            Resolver { lazyframe_expr: plan, ..sql("r", &[], &["user.x"]) },
            "what is done to its outputs is not followed",
        ),
        (
            Resolver { sql_settings: Some(own), ..sql("r", &[], &["user.x"]) },
            "its SQL reads Chalk's own tables, which is not followed",
        ),
    ] {
        let import = world().plain_x().resolver(&resolver).import();
        assert!(found(&import, "user.x").opaque, "{problem}");
        assert_eq!(import.warnings, [format!("what the resolver `r` computes is opaque: {problem}")]);
    }
    let import = world().plain_x().resolver(&of_input(newer)).import();
    assert!(found(&import, "user.x").opaque);
    assert!(import.warnings.contains(
        &"what the resolver `r` computes is opaque: it has the field 4 of an input, which is newer than this import".to_owned()
    ));
}

#[test]
fn a_field_of_a_resolver_that_is_newer_makes_its_outputs_opaque() {
    let mut world = world().plain_x();
    let mut bytes = packed(&sql("r", &["user.name"], &["user.x"])).to_vec();
    bytes.extend([0xa8, 0x02, 0x01]); // 37
    world.graph.resolvers.push(bytes.into());
    let import = world.import();
    assert!(found(&import, "user.x").opaque);
    let warning = "what the resolver `r` computes is opaque: it has the field 37, which is newer than this import";
    assert_eq!(import.warnings, [warning]);
}

#[test]
fn an_output_of_an_unknown_kind_is_refused() {
    let resolver = Resolver { outputs: vec![packed(&ResolverOutput { kind: None })], ..resolver("r", &[], &[]) };
    let error = world().resolver(&resolver).try_import().unwrap_err();
    let message = "`graph.resolvers[0].outputs[0]` is an output of an unknown kind, so that what the resolver computes \
                   cannot be told";
    assert_eq!(error.to_string(), message);
}

#[test]
fn an_output_that_is_not_there_is_a_warning() {
    let import = world().resolver(&sql("r", &[], &["user.ghost"])).import();
    let warning =
        "the resolver `r` has an output that is not known: it names `user.ghost`, which the export does not have";
    assert_eq!(import.warnings, [warning]);
}

#[test]
fn an_output_over_a_relation_is_placed_by_its_keys() {
    let output = gives(&columns("user.transactions", "transaction", &["transaction.amount"]));
    let resolver = Resolver { outputs: vec![output], ..sql("r", &["user.name"], &[]) };
    let import = world().resolver(&resolver).import();
    let wanted =
        Feature { inputs: set(&["user.name"]), joins: set(&["transaction.user_id", "user.id"]), ..Feature::default() };
    assert_eq!(found(&import, "transaction.amount"), &wanted);
}

#[test]
fn an_output_data_frame_is_all_of_its_columns() {
    let all = packed(&ResolverOutput { kind: Some(OutputKind::Frame(packed(&frame("profile", &[])))) });
    let resolver = Resolver { outputs: vec![all], ..sql("r", &["user.name"], &[]) };
    let import = world().resolver(&resolver).import();
    assert_eq!(found(&import, "profile.level").inputs, set(&["user.name"]));
    assert_eq!(found(&import, "profile.id").inputs, set(&["user.name"]));
}

#[test]
fn a_key_that_is_read_and_given_is_not_derived() {
    let import = world().resolver(&sql("r", &["user.id", "user.name"], &["user.id", "user.score"])).import();
    assert_eq!(found(&import, "user.id"), &Feature { key: true, ..Feature::default() });
    assert_eq!(found(&import, "user.score").inputs, set(&["user.id", "user.name"]));
    // Any other value that is given anew is derived from the rest.
    let import = world().resolver(&sql("r", &["user.name", "user.score"], &["user.name"])).import();
    assert_eq!(found(&import, "user.name").inputs, set(&["user.score"]));
}

#[test]
fn a_key_that_is_only_given_is_derived() {
    let import = world().resolver(&sql("r", &["user.name"], &["user.id"])).import();
    let wanted = Feature { key: true, inputs: set(&["user.name"]), ..Feature::default() };
    assert_eq!(found(&import, "user.id"), &wanted);
}

// Several derivations.

#[test]
fn a_derivation_that_sees_nothing_beside_one_that_does_is_opaque() {
    let only_keys = sql("blind", &["user.id"], &["user.x"]);
    let nothing = sql("blind", &[], &["user.x"]);
    for blind in [only_keys, nothing] {
        let import = world().x(path(&["name"])).resolver(&blind).import();
        assert!(found(&import, "user.x").opaque);
        let warning = "`user.x` is opaque: the resolver `blind` computes it from no input that can be seen";
        assert_eq!(import.warnings, [warning]);
        // Alone it is plain: without inputs nothing is cleared by them.
        assert!(!found(&world().plain_x().resolver(&blind).import(), "user.x").opaque);
    }
    let import = world().x(path(&["name"])).resolver(&sql("r", &["user.score"], &["user.x"])).import();
    assert_eq!(found(&import, "user.x"), &Feature { inputs: set(&["user.name", "user.score"]), ..Feature::default() });
    assert_eq!(import.warnings, Vec::<String>::new());
}

#[test]
fn on_demand_everything_that_python_computes_is_opaque() {
    for (resolver, python) in
        [(resolver("r", &["user.name"], &["user.x"]), true), (sql("r", &["user.name"], &["user.x"]), false)]
    {
        let mut world = world().plain_x().resolver(&resolver);
        let warnings = if python { vec![PYTHON.to_owned()] } else { vec![] };
        assert!(!found(&world.import(), "user.x").opaque);
        assert_eq!(world.import().warnings, warnings);
        world.options.opaque_resolvers = true;
        assert_eq!(found(&world.import(), "user.x").opaque, python);
        assert_eq!(world.import().warnings, warnings);
    }
    let mut expression = world().x(path(&["name"]));
    expression.options.opaque_resolvers = true;
    assert!(!found(&expression.import(), "user.x").opaque);
}

#[test]
fn circles_are_named_with_what_to_do() {
    let world =
        world().resolver(&sql("a", &["user.name"], &["user.id"])).resolver(&sql("b", &["user.id"], &["user.name"]));
    let import = world.import();
    assert_eq!(
        import.warnings,
        ["the lineage goes in a circle: user.id -> user.name -> user.id: a step of it has to be taken out by \
         `not_inputs` in the policy"]
    );
    // And that is enough.
    let catalogue = import.catalogue.to_yaml();
    let (policy, report) = load("version: 1\nfeatures: {user.id: {not_inputs: [user.name]}}\n", &catalogue);
    assert!(policy.is_some(), "{report}");
    assert!(load("version: 1\n", &catalogue).0.is_none());
}

// Sources.

fn read_from(sources: Vec<Source>) -> World {
    let resolver = Resolver { data_sources: sources, ..sql("r", &[], &["user.x"]) };
    world().plain_x().resolver(&resolver)
}

fn database(kind: &str, tags: &[&str]) -> DataSource {
    DataSource { kind: Some(kind.to_owned()), tags: set(tags) }
}

#[test]
fn data_sources_are_declared_with_their_tags_and_read_by_name() {
    let mut world = read_from(vec![source("postgres", "main", &[])]);
    world.graph.database_sources = vec![source("postgres", "main", &["prod"]), source("bigquery", "idle", &["eu"])];
    world.graph.stream_sources = vec![source("kafka", "events", &[])];
    let import = world.import();
    assert_eq!(found(&import, "user.x").sources, set(&["main"]));
    let expected = BTreeMap::from([
        ("events".to_owned(), database("KAFKA", &[])),
        ("idle".to_owned(), database("BIGQUERY", &["eu"])),
        ("main".to_owned(), database("POSTGRESQL", &["prod"])),
    ]);
    assert_eq!(import.catalogue.datasources, expected);
    assert_eq!(import.warnings, Vec::<String>::new());
}

#[test]
fn a_group_of_sources_is_all_of_them() {
    let mut world = read_from(vec![source("chalk::db_source_group", "group", &[])]);
    world.graph.database_sources = ["a", "b", "c"].map(|name| source("postgres", name, &[name])).to_vec();
    world.graph.source_groups = vec![SourceGroup {
        name: "group".to_owned(),
        default_source: Some(source("postgres", "a", &[])),
        tagged_sources: BTreeMap::from([("x".to_owned(), source("postgres", "c", &[]))]),
    }];
    assert_eq!(found(&world.import(), "user.x").sources, set(&["a", "c"]));
    world.graph.source_groups.clear();
    let import = world.import();
    assert_eq!(found(&import, "user.x").sources, set(&["group"]));
    assert_eq!(import.catalogue.datasources["group"], DataSource::default());
    assert_eq!(import.warnings, ["the data source `group` is read and not declared: it has no tags"]);
}

#[test]
fn a_source_that_is_not_declared_has_no_tags() {
    let import = read_from(vec![source("postgres", "ghost", &["prod"]), source("mysql", "", &[])]).import();
    assert_eq!(found(&import, "user.x").sources, set(&["ghost", "mysql"]));
    assert_eq!(import.catalogue.datasources["ghost"], database("POSTGRESQL", &[]));
    let warnings =
        ["ghost", "mysql"].map(|name| format!("the data source `{name}` is read and not declared: it has no tags"));
    assert_eq!(import.warnings, warnings);
    let old = Resolver { data_sources_v1: vec![OldSource { name: "old".to_owned() }], ..sql("r", &[], &["user.x"]) };
    assert_eq!(x_of(&old).sources, set(&["old"]));
}

#[test]
fn of_two_sources_with_one_name_the_common_tags_count() {
    let mut world = read_from(vec![]);
    world.graph.database_sources = vec![source("postgres", "s", &["a", "b"]), source("mysql", "s", &["b", "c"])];
    let import = world.import();
    assert_eq!(import.catalogue.datasources["s"], database("POSTGRESQL", &["b"]));
    assert_eq!(
        import.warnings,
        ["the data source `s` stands twice and not alike: the tags that it has in both places count"]
    );
}

// Streams and models.

#[test]
fn a_stream_resolver_reads_its_stream() {
    let stream = StreamResolver {
        fqn: "st".to_owned(),
        outputs: vec![gives(&reference("user.x"))],
        source: Some(source("kafka", "events", &[])),
        ..StreamResolver::default()
    };
    let mut world = world().plain_x();
    world.graph.stream_sources = vec![source("kafka", "events", &[])];
    world.graph.stream_resolvers = vec![packed(&stream)];
    let import = world.import();
    assert_eq!(found(&import, "user.x"), &Feature { sources: set(&["events"]), ..Feature::default() });
    let python = "the stream resolver `st` is python: what it reads besides its inputs cannot be seen";
    assert_eq!(import.warnings, [python]);

    world.graph.stream_resolvers = vec![packed(&StreamResolver { source: None, ..stream })];
    let import = world.import();
    assert!(found(&import, "user.x").opaque);
    let unknown = "what the stream resolver `st` computes is opaque: it names no stream";
    assert_eq!(import.warnings, [python, unknown]);
}

#[test]
fn a_model_computes_its_output_from_its_inputs() {
    let relation = ModelRelation {
        input_features: vec!["user.name".to_owned(), "user.ghost".to_owned()],
        output_feature: "user.x".to_owned(),
    };
    let mut world = world().plain_x();
    world.graph.models = vec![Model { name: "m".to_owned(), relations: vec![relation] }];
    let import = world.import();
    assert_eq!(found(&import, "user.x"), &Feature { inputs: set(&["user.name"]), opaque: true, ..Feature::default() });
    let warning = "what the model `m` computes is opaque: it names `user.ghost`, which the export does not have";
    assert_eq!(import.warnings, [warning]);
}
