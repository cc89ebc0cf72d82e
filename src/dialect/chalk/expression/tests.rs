use std::collections::BTreeMap;

use base64::Engine as _;

use super::*;
use crate::chalk::expression::{Call, Column, ScalarValue};
use crate::dialect::chalk::proto::{OnlineQueryBulkRequest, Output};

mod made;
mod random;
mod refused;

use made::*;

/// What an expression reads: `rows` behind a way of which only the rows are, `or` before the way from the row outside.
fn reads(expression: &Expression) -> Vec<String> {
    let read = |read: &Read| {
        let outside = read.outside.as_ref().map(|path| format!(" or {path}")).unwrap_or_default();
        format!("{}{outside}{}", read.path, if read.rows { " rows" } else { "" })
    };
    expression.reads.iter().map(read).collect()
}

/// What chalkpy 2.166.1 sent in recorded queries, and what it makes of expressions of each kind, beside their python.
const CHALKPY: &str = include_str!("../../../../tests/fixtures/chalk/wire/expressions.jsonl");

fn chalkpy() -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for line in CHALKPY.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let [name, text] = ["name", "expression"].map(|key| line[key].as_str().unwrap());
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
        assert_eq!(found.insert(name.to_owned(), bytes), None);
    }
    found
}

#[test]
fn what_chalkpy_writes_is_read() {
    let transactions = |columns: &[&str]| -> Vec<String> {
        let columns = columns.iter().map(|column| format!("user.transactions[].{column}"));
        std::iter::once("user.transactions[] rows".to_owned()).chain(columns).collect()
    };
    let just = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let sorted = |by: &[&str]| {
        let by = by.iter().map(|by| format!("user.transactions[].{by} or {by}"));
        let mut reads: Vec<_> = transactions(&["name"]).into_iter().chain(by).collect();
        reads.sort();
        reads
    };
    let cases: Vec<(&str, &str, Vec<String>)> = vec![
        // Recorded: User.ssn.alias("harmless") with outputs empty, by JSON and in a bulk query, and
        // _.user.transactions[_.amount].sum().alias("total").
        ("http_query_alias_expression", "user", just(&["user.ssn"])),
        ("http_query_bulk_alias_expression", "user", just(&["user.ssn"])),
        ("http_query_underscore_expression", "", transactions(&["amount"])),
        ("alias", "user", just(&["user.ssn"])),
        ("alias_has_one", "user", just(&["user.identity.is_voip_phone"])),
        ("alias_window", "user", just(&["user.count__3600__"])),
        ("alias_version", "user", just(&["user.score@2"])),
        ("root", "", just(&["user.ssn"])),
        ("version", "", just(&["user.score@2"])),
        ("hop", "", just(&["user.identity.is_voip_phone"])),
        ("window_call", "", just(&["user.count[\"1h\"]"])),
        ("window_subscript", "", just(&["user.count[\"1h\"]"])),
        ("window_of_hop", "", just(&["user.identity.calls[\"1d\"]"])),
        ("sum", "", transactions(&["amount"])),
        ("filtered_sum", "", transactions(&["amount", "at", "chalk_now"])),
        ("outer", "", [just(&["user.limit"]), transactions(&["amount"])].concat()),
        ("count", "", just(&["user.transactions rows"])),
        ("filtered_count", "", transactions(&["name"])),
        ("arithmetic", "", just(&["user.limit", "user.score"])),
        ("comparison", "", just(&["user.limit", "user.name"])),
        ("functions", "", just(&["user.name"])),
        ("cast", "", just(&["user.limit"])),
        ("if_then_else", "", just(&["user.limit", "user.name"])),
        ("array_agg", "", transactions(&["name"])),
        ("head", "", transactions(&["name"])),
        ("max_by", "", sorted(&["amount"])),
        ("max_by_sorted", "", sorted(&["amount", "at"])),
        ("top_k", "", sorted(&["amount"])),
        ("percentile", "", transactions(&["amount"])),
        (
            "nested",
            "",
            just(&[
                "user.transactions[] rows",
                "user.transactions[].lines[] rows",
                "user.transactions[].lines[].price",
            ]),
        ),
        ("element", "", just(&["user.name"])),
        ("lambda", "", transactions(&["amount"])),
        ("struct", "", just(&["user.limit", "user.name"])),
    ];
    let refused: &[(&str, &str)] = &[
        ("rows", "the expression `x` has rows of `user.transactions[]` as its result: aggregate them"),
        ("resolver_call", "the expression `x` calls `call_resolver`, which is not followed"),
        ("http", "the expression `x` calls `http_request`, which is not followed"),
        ("jinja", "the expression `x` calls `jinja`, which is not followed"),
        ("secret", "the expression `x` calls `read_secret`, which is not followed"),
        ("catalog", "the expression `x` calls `catalog_call`, which is not followed"),
        ("cached", "`expr.call.policies[0]` cannot be followed"),
        ("over", "the expression `x` calls `over`, which is not followed"),
        ("field_of_call", "the expression `x` takes `a` of what is no path"),
    ];
    let mut chalkpy = chalkpy();
    for (name, namespace, expected) in cases {
        let expression = read(&chalkpy.remove(name).unwrap()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut found = reads(&expression);
        found.sort();
        let mut expected = expected;
        expected.sort();
        assert_eq!((found, expression.namespace.as_str()), (expected, namespace), "{name}");
        assert_eq!(read(&expression.encoded).unwrap(), expression, "{name}");
    }
    for (name, message) in refused {
        assert_eq!(read(&chalkpy.remove(*name).unwrap()), Err(Invalid((*message).to_owned())), "{name}");
    }
    assert_eq!(chalkpy.into_keys().collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn an_expression_in_grpc_is_read_as_in_json() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/chalk/wire");
    let bytes = std::fs::read(format!("{folder}/grpc_query_alias_expression.OnlineQueryBulk.req.bin")).unwrap();
    let query: OnlineQueryBulkRequest = strict::decode(&bytes.into()).unwrap();
    let [Output::Expression(bytes)] = &query.outputs.iter().filter_map(|o| o.expr.clone()).collect::<Vec<_>>()[..]
    else {
        panic!("{query:?}");
    };
    let expression = read(bytes).unwrap();
    assert_eq!((expression.name.as_str(), expression.namespace.as_str()), ("harmless", "user"));
    assert_eq!(reads(&expression), ["user.ssn"]);
}

#[test]
fn what_is_built_anew_is_the_expression_without_its_ids() {
    let alias = &chalkpy()["alias"];
    let encoded = read(alias).unwrap().encoded;
    assert_eq!(encoded, message("x", "user", &path(&["ssn"])));
    assert!(encoded.len() + 2 * 39 == alias.len(), "{} {}", encoded.len(), alias.len());
    // Display texts go, literals stay as they are.
    let shown = Bytes::from(
        [
            packed(&Call { func: Some(name("upper")), args: vec![text("a")], kwargs: [].into() }).to_vec(),
            b"\x22\x06hidden".to_vec(),
        ]
        .concat(),
    );
    let expression = read(&message("x", "user", &node(NodeKind::Call(shown)))).unwrap();
    assert_eq!(expression.encoded, message("x", "user", &function("upper", &[text("a")])));
}

#[test]
fn by_hand() {
    let user = |words: &[&str]| path(&[&["user"], words].concat());
    let rows = |keys: &[Bytes]| at(&user(&["transactions"]), keys);
    let amount = || path(&["amount"]);
    let cases: &[(&str, Bytes, &[&str])] = &[
        ("a literal", text("user.ssn"), &[]),
        ("a literal of a plan", node(NodeKind::Scalar(Bytes::new())), &[]),
        ("a namespace", user(&[]), &["user"]),
        ("a field of a value", user(&["name", "first"]), &["user.name.first"]),
        ("an operation of a plan", operation("+", &[user(&["a"]), user(&["b"])]), &["user.a", "user.b"]),
        ("a column by its path", method(&user(&["transactions", "amount"]), "sum", &[]), &["user.transactions.amount"]),
        ("a whole has-many", method(&user(&["transactions"]), "sum", &[]), &["user.transactions"]),
        (
            "filtered rows, of which no column was chosen",
            method(&rows(&[function(">", &[amount(), text("1")])]), "max", &[]),
            &["user.transactions[]", "user.transactions[] rows", "user.transactions[].amount"],
        ),
        (
            "a column of filtered rows",
            method(&of(&rows(&[function(">", &[amount(), text("1")])]), "at"), "max", &[]),
            &["user.transactions[] rows", "user.transactions[].amount", "user.transactions[].at"],
        ),
        (
            "a selected expression",
            method(&rows(&[function("select", &[function("+", &[amount(), path(&["fee"])])])]), "sum", &[]),
            &["user.transactions[] rows", "user.transactions[].amount", "user.transactions[].fee"],
        ),
        (
            "a filter in a second subscript",
            method(&at(&rows(&[amount()]), &[function(">", &[path(&["at"]), text("1")])]), "sum", &[]),
            &["user.transactions[] rows", "user.transactions[].amount", "user.transactions[].at"],
        ),
        // Were `list` no has-many, `_.idx` would be the user's: its mark says so.
        (
            "an index that is no literal",
            method(&at(&user(&["list"]), &[path(&["idx"])]), "max", &[]),
            &["user.list[] rows", "user.list[].idx"],
        ),
        ("an element by a number", at(&user(&["list"]), &[int(0)]), &["user.list"]),
        ("an element by a text", at(&user(&["map"]), &[text("k")]), &["user.map[\"k\"]"]),
        ("a part of a part", at(&at(&user(&["map"]), &[text("k")]), &[text("l")]), &["user.map[\"k\"]"]),
        (
            "a window behind a hop",
            method(&user(&["identity"]), "calls", &[text("1d")]),
            &["user.identity.calls[\"1d\"]"],
        ),
        ("a named argument", named("like", "pattern", &user(&["name"])), &["user.name"]),
        (
            "columns to sort by, of a has-many that was not chosen from",
            method(&user(&["transactions"]), "approx_top_k", &[amount()]),
            &["user.transactions", "user.transactions[] rows", "user.transactions[].amount or amount"],
        ),
        (
            "the row outside of one of two rows",
            {
                let lines = at(&path(&["lines"]), &[path(&["price"])]);
                let sorted = function("max_by", &[lines, of(&name("__"), "note")]);
                method(&rows(&[function("select", &[sorted])]), "sum", &[])
            },
            &[
                "user.transactions[] rows",
                "user.transactions[].lines[] rows",
                "user.transactions[].lines[].price",
                "user.transactions[].note or note",
            ],
        ),
    ];
    for (name, expression, expected) in cases {
        let expression = read(&message("x", "", expression)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(reads(&expression), *expected, "{name}");
        assert_eq!(read(&expression.encoded).unwrap(), expression, "{name}");
    }
}

#[test]
fn a_key_is_a_window_where_it_is_a_duration() {
    let bucket = |name: &str, key: &str| {
        let segments = vec![Segment { name: name.to_owned(), rows: false }];
        Path { segments, key: Some(key.to_owned()) }.bucket()
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(bucket("count", "1h"), some("count__3600__"));
    assert_eq!(bucket("count", "1d 12h"), some("count__129600__"));
    assert_eq!(bucket("count", "all"), some("count__all__"));
    assert_eq!(bucket("count", "infinity"), some("count__all__"));
    assert_eq!(bucket("count", "-1w"), some("count__neg604800__"));
    assert_eq!(bucket("count@2", "1h"), some("count__3600__@2"));
    assert_eq!(bucket("count", "k"), None);
    assert_eq!(bucket("count", ""), None);
    assert_eq!(Path::default().bucket(), None);
}
