//! What expressions read.

use super::super::proto::*;
use super::made::*;
use super::*;

const PROFILE: [&str; 2] = ["profile.id", "user.profile_id"];
const TRANSACTIONS: [&str; 2] = ["transaction.user_id", "user.id"];
const ROW: [&str; 5] =
    ["transaction.amount", "transaction.at", "transaction.id", "transaction.name", "transaction.user_id"];

/// `_.transactions[keys]`.
fn rows(keys: &[Bytes]) -> Bytes {
    at(&path(&["transactions"]), keys)
}

#[test]
fn an_expression_reads_what_it_names() {
    let amount = path(&["amount"]);
    let after = || function(">", &[path(&["at"]), text("2026")]);
    let outside = of(&name("__"), "name");
    let window = path(&["chalk_window"]);
    let parameter = function("lambda_parameter", &[text("x")]);
    let cases: &[(&str, Bytes, &[&str], &[&str])] = &[
        ("a feature", path(&["name"]), &["user.name"], &[]),
        ("a field of a value", path(&["name", "first"]), &["user.name"], &[]),
        ("the time", function("-", &[path(&["chalk_now"]), path(&["name"])]), &["user.name"], &[]),
        ("a literal", text("user.name"), &[], &[]),
        ("a hop", path(&["profile", "level"]), &["profile.level"], &PROFILE),
        ("a row as a whole", function("is_null", &[path(&["profile"])]), &["profile.id", "profile.level"], &PROFILE),
        ("a method of a row", method(&path(&["profile"]), "is_null", &[]), &["profile.id", "profile.level"], &PROFILE),
        ("a column", method(&rows(&[path(&["amount"])]), "mean", &[]), &["transaction.amount"], &TRANSACTIONS),
        ("a column by its path", path(&["transactions", "amount"]), &["transaction.amount"], &TRANSACTIONS),
        (
            "a column and a filter",
            method(&rows(&[amount.clone(), after()]), "sum", &[]),
            &["transaction.amount", "transaction.at"],
            &TRANSACTIONS,
        ),
        ("a row of each row counted", method(&path(&["transactions", "user"]), "count", &[]), &[], &TRANSACTIONS),
        ("rows counted", method(&path(&["transactions"]), "count", &[]), &[], &TRANSACTIONS),
        ("filtered rows counted", method(&rows(&[after()]), "count", &[]), &["transaction.at"], &TRANSACTIONS),
        ("rows as a whole", function("array_agg", &[path(&["transactions"])]), &ROW, &TRANSACTIONS),
        ("filtered rows as a whole", function("array_agg", &[rows(&[after()])]), &ROW, &TRANSACTIONS),
        ("rows under a method that is not known", method(&rows(&[after()]), "odd", &[]), &ROW, &TRANSACTIONS),
        ("rows by number", at(&rows(&[text("0")]), &[]), &ROW, &TRANSACTIONS),
        (
            "an expression chosen as the column",
            method(&rows(&[function("select", &[function("+", &[amount.clone(), path(&["at"])])])]), "sum", &[]),
            &["transaction.amount", "transaction.at"],
            &TRANSACTIONS,
        ),
        (
            "the row outside",
            method(&rows(&[function(">", &[amount.clone(), outside])]), "count", &[]),
            &["transaction.amount", "user.name"],
            &TRANSACTIONS,
        ),
        (
            "rows of rows",
            method(&rows(&[method(&at(&path(&["lines"]), &[path(&["price"])]), "sum", &[])]), "max", &[]),
            &["line.price"],
            &["line.transaction_id", "transaction.id", "transaction.user_id", "user.id"],
        ),
        (
            "a method's arguments, in the rows",
            method(&rows(&[path(&["amount"])]), "max_by", &[path(&["at"])]),
            &["transaction.amount", "transaction.at"],
            &TRANSACTIONS,
        ),
        (
            "a function's arguments after rows, which stand in both",
            function("max_by", &[rows(&[path(&["amount"])]), path(&["name"])]),
            &["transaction.amount", "transaction.name", "user.name"],
            &TRANSACTIONS,
        ),
        (
            "a chain over rows",
            method(
                &method(&method(&path(&["transactions"]), "where", &[after()]), "group_by", &[path(&["name"])]),
                "agg",
                &[method(&amount, "sum", &[])],
            ),
            // `name` could be the user's as well.
            &["transaction.amount", "transaction.at", "transaction.name", "user.name"],
            &TRANSACTIONS,
        ),
        (
            "a function of its own",
            function(
                "array_filter",
                &[path(&["name"]), function("lambda", &[text("x"), function(">", &[parameter, path(&["score@2"])])])],
            ),
            &["user.name", "user.score@2"],
            &[],
        ),
        ("a window", at(&path(&["spent"]), &[text("1h")]), &["user.spent__3600__"], &[]),
        ("a window in other words", at(&path(&["spent"]), &[text("23h 60m")]), &["user.spent__86400__"], &[]),
        (
            "a window that is not there",
            at(&path(&["spent"]), &[text("all")]),
            &["user.spent__3600__", "user.spent__86400__"],
            &[],
        ),
        (
            "the feature's window, of which it has none",
            at(&path(&["spent"]), &[window]),
            &["user.spent__3600__", "user.spent__86400__"],
            &[],
        ),
        ("all windows", function("f", &[path(&["spent"])]), &["user.spent__3600__", "user.spent__86400__"], &[]),
        // The attribute is the default version's, the name the first one's.
        ("a bare name of versions", path(&["score"]), &["user.score", "user.score@2"], &[]),
        ("the first version", path(&["score@1"]), &["user.score"], &[]),
        ("the second version", path(&["score@2"]), &["user.score@2"], &[]),
        ("columns", operation("==", &[column("user.name"), column("__chalk__.now")]), &["user.name"], &[]),
        (
            "columns over a hop",
            operation("foreign_feature_access", &[column("user.profile"), column("profile.level")]),
            &["profile.level"],
            &PROFILE,
        ),
    ];
    for (what, expression, inputs, joins) in cases {
        let import = world().x(expression.clone()).import();
        let wanted = Feature { inputs: set(inputs), joins: set(joins), ..Feature::default() };
        assert_eq!(found(&import, "user.x"), &wanted, "{what}");
        assert_eq!(import.warnings, Vec::<String>::new(), "{what}");
    }
}

#[test]
fn what_an_expression_reads_unseen_makes_it_opaque() {
    let deep = (0..200).fold(path(&["name"]), |inner, _| function("not", &[inner]));
    let newer = {
        // Field 45 of a node, a varint.
        let mut bytes = path(&["name"]).to_vec();
        bytes.extend([0xe8, 0x02, 0x01]);
        Bytes::from(bytes)
    };
    let cases = [
        (path(&["nope"]), "it names `user.nope`, which the export does not have"),
        (path(&["profile", "nope"]), "it names `profile.nope`, which the export does not have"),
        (path(&["nope\n"]), "it names `user.nope\\n`, which the export does not have"),
        (column("ghost.name"), "it names `ghost.name`, which the export does not have"),
        (
            operation("foreign_feature_access", &[column("user.ghost"), column("user.name")]),
            "it hops over `user.ghost`, which the export does not have",
        ),
        (operation("foreign_feature_access", &[text("x"), column("user.name")]), "a hop in it is no column"),
        (function("f", &[name("_")]), "it uses `_` as a whole"),
        (at(&name("_"), &[text("name")]), "it takes `_` apart by a subscript"),
        (of(&name("__"), "name"), "it uses `__`, of which it is not known what it is"),
        (function("f", &[name("thing")]), "it uses `thing`, of which it is not known what it is"),
        (function("jinja", &[text("{{User.name}}")]), "it calls `jinja`, which can read what cannot be seen"),
        (function("call_resolver", &[text("r")]), "it calls `call_resolver`, which can read what cannot be seen"),
        (Bytes::from_static(&[0x2a, 0x00]), "a part of it is of the kind 5, which is not followed"),
        (Bytes::from_static(&[0xda, 0x02, 0x00]), "a part of it is of the kind 43, which is not followed"),
        (Bytes::new(), "a part of it is of no kind"),
        (node(NodeKind::Attribute(packed(&Attribute::default()))), "a part of it is empty"),
        (node(NodeKind::Call(packed(&Call::default()))), "it calls what has no name"),
        (newer, "it has the field 45 of an expression, which is newer than this import"),
        (deep, "it is deeper than 128 levels"),
    ];
    for (expression, problem) in cases {
        let import = world().x(expression).import();
        assert!(found(&import, "user.x").opaque, "{problem}");
        assert_eq!(import.warnings, [format!("`user.x` is opaque: {problem}")]);
    }
}

#[test]
fn what_is_seen_beside_it_still_counts() {
    let import = world().x(function("concat", &[path(&["nope"]), path(&["name"])])).import();
    assert_eq!(found(&import, "user.x"), &Feature { inputs: set(&["user.name"]), opaque: true, ..Feature::default() });
}

#[test]
fn an_offline_expression_counts_too() {
    let scalar = Scalar {
        expression: Some(path(&["name"])),
        offline_expression: Some(path(&["profile", "level"])),
        ..scalar("user.x")
    };
    let import = world().with(as_scalar(&scalar)).import();
    let wanted = Feature { inputs: set(&["profile.level", "user.name"]), joins: set(&PROFILE), ..Feature::default() };
    assert_eq!(found(&import, "user.x"), &wanted);
}

#[test]
fn the_last_value_of_a_feature_is_computed_from_it() {
    let last_for = Some(packed(&reference("user.name")));
    let import = world().with(as_scalar(&Scalar { last_for, ..scalar("user.x") })).import();
    assert_eq!(found(&import, "user.x").inputs, set(&["user.name"]));
}

/// `user.x__3600__`, kept up to date from the rows of a namespace.
fn stored(aggregation: &Aggregation, expression: Option<Bytes>) -> Bytes {
    let info = WindowInfo { duration: Some(Duration { seconds: 3600 }), aggregation: Some(packed(aggregation)) };
    as_scalar(&Scalar { window_info: Some(packed(&info)), expression, ..scalar("user.x__3600__") })
}

#[test]
fn a_stored_aggregation_reads_what_it_aggregates_filters_and_groups_by() {
    let aggregation = Aggregation {
        namespace: "transaction".to_owned(),
        group_by: vec![packed(&reference("transaction.user_id")), packed(&reference("transaction.name"))],
        aggregate_on: Some(packed(&reference("transaction.amount"))),
        filters: vec![operation(">", &[column("transaction.at"), path(&["chalk_window"])])],
        ..Aggregation::default()
    };
    let wanted = Feature {
        inputs: set(&["transaction.amount", "transaction.at", "transaction.name"]),
        joins: set(&TRANSACTIONS),
        ..Feature::default()
    };
    let import = world().with(stored(&aggregation, None)).import();
    assert_eq!(found(&import, "user.x__3600__"), &wanted);
    // Of its expression it is the stored form: no second derivation, so nothing blind beside one that sees.
    let counted = Aggregation {
        aggregate_on: None,
        filters: vec![],
        group_by: vec![aggregation.group_by[0].clone()],
        ..aggregation
    };
    let expression = method(&rows(&[path(&["amount"])]), "count", &[]);
    let import = world().with(stored(&counted, Some(expression))).import();
    let wanted = Feature { inputs: set(&["transaction.amount"]), ..wanted };
    assert_eq!(found(&import, "user.x__3600__"), &wanted);
    assert_eq!(import.warnings, Vec::<String>::new());
}

#[test]
fn an_aggregation_over_rows_that_no_relation_leads_to_is_opaque() {
    let aggregation = Aggregation { namespace: "line".to_owned(), ..Aggregation::default() };
    let import = world().with(stored(&aggregation, None)).import();
    assert!(found(&import, "user.x__3600__").opaque);
    assert_eq!(import.warnings, ["`user.x__3600__` is opaque: it is kept over `line`, to which no relation leads"]);
}

#[test]
fn a_bucket_s_own_window_is_what_chalk_window_means() {
    let info = WindowInfo { duration: Some(Duration { seconds: 3600 }), aggregation: None };
    let expression = Some(at(&path(&["spent"]), &[path(&["chalk_window"])]));
    let x = Scalar { window_info: Some(packed(&info)), expression, ..scalar("user.x__3600__") };
    let import = world().with(as_scalar(&x)).import();
    assert_eq!(found(&import, "user.x__3600__").inputs, set(&["user.spent__3600__"]));
}
