//! What cannot be followed, and the names that an expression cannot have.

use super::*;

fn refused(expression: &Bytes) -> String {
    read(&message("x", "user", expression)).unwrap_err().0
}

#[test]
fn what_cannot_be_followed_is_refused_by_its_name() {
    let rows = |keys: &[Bytes]| at(&path(&["transactions"]), keys);
    let amount = || path(&["amount"]);
    let window = method(&name("_"), "count", &[text("1h")]);
    let chosen = rows(&[amount()]);
    let lines = at(&path(&["lines"]), &[path(&["price"])]);
    let of_nothing = Attribute { parent: None, attribute: Some(Identifier { name: "a".to_owned() }) };
    let split = function("split", &[path(&["name"])]);
    let cases: &[(&str, Bytes)] = &[
        ("has `_` as a whole as its result", name("_")),
        ("has `_` as a whole as an argument of `upper`", function("upper", &[name("_")])),
        ("has `_` as a whole as a column", method(&rows(&[name("_")]), "sum", &[])),
        ("uses `__` where there is no row outside", of(&name("__"), "name")),
        (
            "uses the parameter `ssn`, which no lambda around it has",
            function("lambda_parameter", &[text("ssn"), int(0)]),
        ),
        (
            "uses the parameter `ssn`, which no lambda around it has",
            function("lambda", &[text("x"), int(0), function("lambda_parameter", &[text("ssn"), int(0)])]),
        ),
        (
            "uses the parameter `x`, which no lambda around it has",
            function(
                "concat",
                &[
                    function("lambda", &[text("x"), int(0), function("lambda_parameter", &[text("x"), int(0)])]),
                    function("lambda_parameter", &[text("x"), int(0)]),
                ],
            ),
        ),
        ("uses the parameter ``, which no lambda around it has", function("lambda_parameter", &[int(0)])),
        ("uses `user`, of which it is not known what it is", of(&name("user"), "ssn")),
        ("uses `x`, of which it is not known what it is", function("upper", &[name("x")])),
        ("takes `a` of what is no path", of(&function("upper", &[path(&["name"])]), "a")),
        ("takes `b` of what is no path", of(&text("t"), "b")),
        ("takes `c` of what is no path", of(&at(&path(&["map"]), &[text("k")]), "c")),
        ("takes `d` of what is no path", of(&window, "d")),
        ("takes the attribute `a.b`, which is no name", path(&["a.b"])),
        ("takes the attribute `a@`, which is no name", path(&["a@"])),
        ("takes the attribute `a[1]`, which is no name", path(&["a[1]"])),
        ("takes the attribute ``, which is no name", path(&[""])),
        ("takes the attribute `\\u{e9}`, which is no name", path(&["é"])),
        ("takes `_` apart by a subscript", at(&name("_"), &[text("ssn")])),
        ("has a subscript without a key", at(&path(&["a"]), &[])),
        ("has a subscript that is no literal behind what is no path", at(&split, &[path(&["idx"])])),
        ("has a subscript that is no literal behind what is no path", at(&window, &[path(&["idx"])])),
        ("has a literal among the columns of `user.transactions[]`", rows(&[amount(), text("1h")])),
        ("has a literal among the columns of `user.transactions[]`", rows(&[text("1h"), text("1d")])),
        ("has a literal among the columns of `user.transactions[]`", at(&chosen, &[int(0)])),
        ("has rows of `user.transactions[]` as its result: aggregate them", chosen.clone()),
        (
            "has rows of `user.transactions[]` as an argument of `coalesce`: aggregate them",
            function("coalesce", std::slice::from_ref(&chosen)),
        ),
        (
            "has rows of `user.transactions[].lines[]` as a column: aggregate them",
            method(&rows(std::slice::from_ref(&lines)), "count", &[]),
        ),
        ("calls `secure_random`, which is not followed", function("secure_random", &[])),
        ("calls `UPPER`, which is not followed", function("UPPER", &[path(&["name"])])),
        ("calls the method `odd`, which is not followed", method(&chosen, "odd", &[])),
        ("calls the method `contains`, which is not followed", method(&path(&["name"]), "contains", &[text("x")])),
        ("calls the method `where`, which is not followed", method(&path(&["transactions"]), "where", &[amount()])),
        ("calls `sum` of what is no path", method(&function("upper", &[]), "sum", &[])),
        ("calls `max` of what is no path", method(&name("_"), "max", &[])),
        ("calls what is neither a function nor a method", called(&text("upper"), &[])),
        ("calls what is neither a function nor a method", called(&window, &[])),
        ("calls nothing", node(NodeKind::Call(Bytes::new()))),
        ("calls `array_agg` on nothing", function("array_agg", &[])),
        (
            "calls `max_by` on what is no `[]` of a has-many",
            function("max_by", &[path(&["transactions"]), path(&["amount"])]),
        ),
        (
            "sorts rows of `user.transactions[].lines[]` within what sorts rows",
            function("max_by", &[chosen.clone(), function("max_by", &[lines, path(&["at"])])]),
        ),
        ("has the operation `foreign_feature_access`, which is not followed", operation("foreign_feature_access", &[])),
        ("has an empty node", Bytes::new()),
        ("takes an attribute of nothing", node(NodeKind::Attribute(packed(&of_nothing)))),
        ("takes a subscript of nothing", node(NodeKind::Subscript(Bytes::new()))),
    ];
    for (message, expression) in cases {
        assert_eq!(refused(expression), format!("the expression `x` {message}"));
    }
}

#[test]
fn nodes_that_are_not_followed_are_refused_by_their_name() {
    let column = node(NodeKind::Column(packed(&Column { name: "ssn".to_owned(), relation: None })));
    assert_eq!(refused(&column), "`expr.column` cannot be followed");
    let of_number = |number: u32| {
        let tag = (number << 3) | 2;
        let tag = if tag < 128 { vec![tag as u8] } else { vec![(tag as u8 & 0x7f) | 0x80, (tag >> 7) as u8] };
        Bytes::from([tag, vec![0]].concat())
    };
    for (number, name) in [
        (2, "alias"),
        (5, "aggregate_expr"),
        (10, "case"),
        (16, "scalar_function"),
        (18, "window_expr"),
        (20, "scalar_udf_expr"),
        (41, "typed_identifier"),
        (42, "blocking_call"),
        (43, "reference"),
        (44, "this_reference"),
    ] {
        assert_eq!(refused(&of_number(number)), format!("`expr.{name}` cannot be followed"));
    }
    let deep = function("upper", &[of(&path(&["transactions"]), "name"), of_number(42)]);
    assert_eq!(refused(&deep), "`expr.call.args[1].blocking_call` cannot be followed");
    let both = Bytes::from([name("_"), path(&["ssn"])].concat());
    assert_eq!(refused(&both), "`expr.get_attribute` is given beside `identifier`");
    // The other of Chalk's two oneofs is no way round.
    let both = Bytes::from([path(&["ssn"]), node(NodeKind::Scalar(Bytes::new()))].concat());
    assert_eq!(refused(&both), "`expr.literal` is given beside `get_attribute`");
}

#[test]
fn a_depth_is_followed_and_no_more() {
    let deep = |levels: usize| (1..levels).fold(text("a"), |inner, _| function("upper", &[inner]));
    assert!(read(&message("x", "user", &deep(DEEPEST))).is_ok());
    assert_eq!(refused(&deep(DEEPEST + 1)), "the expression `x` is deeper than 40 levels");
    assert!(refused(&deep(60)).ends_with("` is deeper than 96 levels"));
}

#[test]
fn names_are_words() {
    let named = |name: &str, namespace: &str| read(&message(name, namespace, &path(&["ssn"]))).map(|read| read.name);
    for good in ["x", "total_2", "a"] {
        assert_eq!(named(good, "user"), Ok(good.to_owned()));
    }
    for bad in ["", "X", "_x", "2x", "user.ssn", "x y", "é", "x\n"] {
        let shown = shown(bad);
        let message = format!("the name `{shown}` of an expression is not of the form a-z, 0-9 and _");
        assert_eq!(named(bad, "user"), Err(Invalid(message)));
    }
    assert!(named(&"x".repeat(128), "user").is_ok() && named(&"x".repeat(129), "user").is_err());
    for bad in ["User", "user.identity", "__chalk__"] {
        let message = format!("the expression `x` has the namespace `{bad}`, which is none");
        assert_eq!(named("x", bad), Err(Invalid(message)));
    }
    let empty = packed(&FeatureExpression { output_column_name: "x".to_owned(), ..FeatureExpression::default() });
    assert_eq!(read(&empty), Err(Invalid("the expression `x` is empty".to_owned())));
}

#[test]
fn the_list_of_functions_is_sorted_and_each_reads_its_arguments_alone() {
    assert!(call::PURE.is_sorted_by(|one, other| one < other));
    for reader in ["call_resolver", "catalog_call", "http_request", "jinja", "read_secret", "over", "rand", "shift"] {
        assert!(!call::PURE.contains(&reader), "{reader}");
    }
    for name in call::PURE {
        let expression = read(&message("x", "user", &function(name, &[text("a"), path(&["ssn"])]))).unwrap();
        assert_eq!(reads(&expression), ["user.ssn"], "{name}");
    }
}
