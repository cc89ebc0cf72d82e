//! What may come back.

use super::*;

/// A request with these members.
fn filtered(members: &str, permit: &Permit, answer: &str) -> Result<Answer, String> {
    let text = body(members);
    let request = read(text.as_bytes(), true).unwrap();
    filter(answer.as_bytes(), permit, &request).map_err(|error| error.0)
}

fn cut(permit: &Permit, answer: &str) -> (String, usize) {
    match filtered("", permit, answer).unwrap() {
        Answer::Cut { body, dropped } => (text(&body.whole(answer.as_bytes())).to_owned(), dropped),
        Answer::AsItCame => panic!("it came as it was: {answer}"),
    }
}

fn permit<const N: usize>(of: [(&str, Field); N]) -> Permit {
    Permit { fields: fields(of), ..Permit::default() }
}

fn data(elements: &str) -> String {
    format!(r#"{{"data":[{elements}],"errors":[],"meta":null}}"#)
}

#[test]
fn fields_that_are_not_permitted_are_dropped() {
    let answer = data(
        r#"{"field":"user.ssn","value":"000"}, {"field": "user.name", "value" : "\u0041da" },{"field":"User.Name","value":1}"#,
    );
    assert_eq!(
        cut(&permit([("user.name", Field::Value)]), &answer),
        (data(r#"{"field": "user.name", "value" : "\u0041da" }"#), 2)
    );
    // The name counts, not how it is spelled.
    let answer = data(r#"{"field":"user.\u006eame","value":1.00}"#);
    assert_eq!(filtered("", &permit([("user.name", Field::Value)]), &answer), Ok(Answer::AsItCame));
    assert_eq!(cut(&permit([]), &answer), (data(""), 1));
}

#[test]
fn a_field_that_stands_twice_stops_the_answer() {
    let answer = data(r#"{"field":"user.name","value":1},{"field":"user.\u006eame","value":2}"#);
    assert_eq!(
        filtered("", &permit([("user.name", Field::Value)]), &answer).unwrap_err(),
        "the field `user.name` stands twice in the answer"
    );
}

/// A row is a run of elements with one `pkey`.
#[test]
fn a_field_may_stand_again_in_another_row() {
    let element = |key: &str| format!(r#"{{"field":"user.name","value":1{key}}}"#);
    let of = |keys: &[&str]| data(&keys.iter().map(|key| element(key)).collect::<Vec<_>>().join(","));
    let permit = Permit { primary_key: true, ..permit([("user.name", Field::Value)]) };
    let (one, two, null) = (r#","pkey":1"#, r#","pkey":2"#, r#","pkey":null"#);
    let fine: [&[&str]; 4] = [&[one, two], &[one, r#","pkey":"1""#], &[one, two, one], &[one, ""]];
    for keys in fine {
        assert_eq!(filtered("", &permit, &of(keys)), Ok(Answer::AsItCame), "{keys:?}");
    }
    let twice: [&[&str]; 6] = [&[one, one], &[two, one, one], &["", null], &[null, one, ""], &[null, null], &["", ""]];
    for keys in twice {
        let refused = filtered("", &permit, &of(keys)).unwrap_err();
        assert_eq!(refused, "the field `user.name` stands twice in the answer", "{keys:?}");
    }
    // What is dropped makes no row.
    let between = r#"{"field":"user.ssn","value":1,"pkey":2}"#;
    let refused = filtered("", &permit, &data(&[&*element(one), between, &*element(one)].join(","))).unwrap_err();
    assert_eq!(refused, "the field `user.name` stands twice in the answer");
}

#[test]
fn the_primary_key_is_blanked_unless_it_may_come_back() {
    let answer = data(r#"{"field":"user.name","value":1,"pkey":"u-1"}"#);
    let mut permit = permit([("user.name", Field::Value)]);
    assert_eq!(cut(&permit, &answer), (data(r#"{"field":"user.name","value":1,"pkey":null}"#), 0));
    permit.primary_key = true;
    assert_eq!(filtered("", &permit, &answer), Ok(Answer::AsItCame));
}

#[test]
fn unknown_members_are_dropped() {
    let answer =
        r#"{"data":[{"field":"user.name","value":{"a":1},"metadata_val":7,"Value":"s"}],"debug":"s","errors":null}"#;
    let permit = permit([("user.name", Field::Value)]);
    let expected = r#"{"data":[{"field":"user.name","value":{"a":1}}],"errors":null}"#;
    assert_eq!(cut(&permit, answer), (expected.to_owned(), 0));
}

#[test]
fn how_a_field_was_computed_passes_where_it_was_asked_for() {
    let meta = r#"{"chosen_resolver_fqn":"m.get","cache_hit":true,"primitive_type":"str","version":2}"#;
    let answer = data(&format!(r#"{{"field":"user.name","value":1,"meta":{meta}}}"#));
    let permit = permit([("user.name", Field::Value)]);
    assert_eq!(filtered(r#""include_meta":true"#, &permit, &answer), Ok(Answer::AsItCame));
    assert_eq!(cut(&permit, &answer), (data(r#"{"field":"user.name","value":1,"meta":null}"#), 0));
    // Its members are a closed list, too.
    let more = answer.replace(r#""cache_hit":true"#, r#""cache_hit":"000","inputs":{"user.ssn":"000"}"#);
    let Ok(Answer::Cut { body, .. }) = filtered(r#""include_meta":true"#, &permit, &more) else { panic!() };
    let expected = data(
        r#"{"field":"user.name","value":1,"meta":{"chosen_resolver_fqn":"m.get","primitive_type":"str","version":2}}"#,
    );
    assert_eq!(text(&body.whole(more.as_bytes())), expected);
}

#[test]
fn of_the_query_a_closed_list_is_told() {
    let all = r#"{"execution_duration_s":0.001,"deployment_id":"d","environment_id":"e","environment_name":"n","query_id":"q","query_timestamp":"2026-11-22T00:00:00+00:00","query_hash":null,"explain_output":null}"#;
    let answer = |meta: &str| format!(r#"{{"data":[],"errors":[],"meta":{meta}}}"#);
    let permit = permit([]);
    assert_eq!(filtered("", &permit, &answer(all)), Ok(Answer::AsItCame));
    assert_eq!(filtered("", &permit, &answer("null")), Ok(Answer::AsItCame));
    let more =
        r#"{"execution_duration_s":1,"metadata":{"a":"s"},"explain_output":"user.ssn = 000","query_id":{"s":1}}"#;
    assert_eq!(cut(&permit, &answer(more)), (answer(r#"{"execution_duration_s":1}"#), 0));
    let explained = r#"{"explain_output":"the plan"}"#;
    assert_eq!(filtered(r#""explain":true"#, &permit, &answer(explained)), Ok(Answer::AsItCame));
    assert_eq!(filtered(r#""explain":"only""#, &permit, &answer(explained)), Ok(Answer::AsItCame));
    assert_eq!(cut(&permit, &answer(explained)), (answer("{}"), 0));
    assert_eq!(filtered("", &permit, &answer("1")).unwrap_err(), "`meta` is not an object");
}

#[test]
fn rows_are_cut_to_their_columns() {
    let rows = r#"{"columns": ["t.id", "t.\u0061mount", "t.ssn"], "values": [[1, 2], [1.50, null ], ["000", "001"]]}"#;
    let answer = data(&format!(r#"{{"field":"user.txns","value":{rows},"valid":true}}"#));
    let some = permit([("user.txns", columns(["t.amount", "t.id", "t.other"]))]);
    let expected = r#"{"columns":["t.id","t.\u0061mount"],"values":[[1, 2],[1.50, null ]]}"#;
    let expected = data(&format!(r#"{{"field":"user.txns","value":{expected},"valid":true}}"#));
    assert_eq!(cut(&some, &answer), (expected, 1));
    let none = permit([("user.txns", columns([]))]);
    let expected = data(r#"{"field":"user.txns","value":{"columns":[],"values":[]},"valid":true}"#);
    assert_eq!(cut(&none, &answer), (expected, 3));
    let all = permit([("user.txns", columns(["t.amount", "t.id", "t.ssn"]))]);
    assert_eq!(filtered("", &all, &answer), Ok(Answer::AsItCame));
    // What looks like rows under a feature that has none is its value.
    assert_eq!(filtered("", &permit([("user.txns", Field::Value)]), &answer), Ok(Answer::AsItCame));
}

#[test]
fn rows_within_rows_are_cut() {
    let items = |text: &str| format!(r#"{{"columns":["i.id","i.secret"],"values":[[{text}],["000"]]}}"#);
    let rows = format!(
        r#"{{"columns":["t.items","t.id"],"values":[[{}, null,{}],[1,2,3]]}}"#,
        items("10"),
        items(r#"{"columns":1}"#)
    );
    let answer = data(&format!(r#"{{"field":"user.txns","value":{rows}}}"#));
    let permit_of =
        |items: Field| permit([("user.txns", Field::Rows(fields([("t.items", items), ("t.id", Field::Value)])))]);
    let kept = |text: &str| format!(r#"{{"columns":["i.id"],"values":[[{text}]]}}"#);
    let expected = format!(
        r#"{{"columns":["t.items","t.id"],"values":[[{},null,{}],[1,2,3]]}}"#,
        kept("10"),
        kept(r#"{"columns":1}"#)
    );
    let expected = data(&format!(r#"{{"field":"user.txns","value":{expected}}}"#));
    assert_eq!(cut(&permit_of(columns(["i.id"])), &answer), (expected, 2));
    assert_eq!(filtered("", &permit_of(columns(["i.id", "i.secret"])), &answer), Ok(Answer::AsItCame));
    let flat = permit([("user.txns", columns(["t.id"]))]);
    let expected = data(r#"{"field":"user.txns","value":{"columns":["t.id"],"values":[[1,2,3]]}}"#);
    assert_eq!(cut(&flat, &answer), (expected, 1));
}

#[test]
fn rows_in_another_form_stop_the_answer() {
    let permit = permit([("user.txns", Field::Rows(fields([("t.items", columns(["i.id"]))])))]);
    let answer = |value: &str| data(&format!(r#"{{"field":"user.txns","value":{value}}}"#));
    assert_eq!(filtered("", &permit, &answer("null")), Ok(Answer::AsItCame));
    let layout = "the rows of `user.txns` are not columns and values";
    let cases = [
        (r#"[{"t.id":1,"t.ssn":"000"}]"#, layout),
        (r#""000""#, layout),
        ("7", layout),
        ("{}", "the rows of `user.txns` lack their columns or values"),
        (r#"{"columns":[]}"#, "the rows of `user.txns` lack their columns or values"),
        (r#"{"columns":[],"values":{}}"#, "the rows of `user.txns` have more than columns and values"),
        (r#"{"columns":[],"values":[],"rows":["000"]}"#, "the rows of `user.txns` have more than columns and values"),
        (r#"{"columns":[],"values":[["000"]]}"#, "the rows of `user.txns` have other columns than values"),
        (r#"{"columns":["t.items"],"values":[]}"#, "the rows of `user.txns` have other columns than values"),
        (
            r#"{"columns":["t.items"],"values":["000"]}"#,
            "the rows of `user.txns` have a column without a name or a list",
        ),
        (r#"{"columns":[7],"values":[[]]}"#, "the rows of `user.txns` have a column without a name or a list"),
        (r#"{"columns":["t.x","t.\u0078"],"values":[[],[]]}"#, "the rows of `user.txns` have the column `t.x` twice"),
        (r#"{"columns":["t.items"],"values":[["000"]]}"#, "the rows of `t.items` are not columns and values"),
        (r#"{"columns":["t.items"],"values":[[[{"i.id":1}]]]}"#, "the rows of `t.items` are not columns and values"),
    ];
    for (value, message) in cases {
        assert_eq!(filtered("", &permit, &answer(value)).unwrap_err(), message, "{value}");
    }
}

#[test]
fn another_layout_stops_the_answer() {
    let permit = permit([("user.name", Field::Value)]);
    let twice = "the answer cannot be read: a key at byte 50 of the json text stands twice";
    let kind = |key: &str| format!("`{key}` of the field `user.name` is not of the kind that it has in chalk");
    let cases = [
        (
            "[]".to_owned(),
            "the answer cannot be read: unexpected byte `[` at byte 0 of the json text, expected an object".to_owned(),
        ),
        ("{}".to_owned(), "the answer has no `data`".to_owned()),
        (r#"{"data":null,"errors":null}"#.to_owned(), "the answer has no `data`".to_owned()),
        (r#"{"data":{"user.ssn":"000"}}"#.to_owned(), "`data` is not a list".to_owned()),
        (data(r#""000""#), "an element of `data` is not an object".to_owned()),
        (data(r#"{"value":"000"}"#), "an element of `data` has no `field`".to_owned()),
        (data(r#"{"field":7,"value":"000"}"#), "an element of `data` has no `field`".to_owned()),
        (data(r#"{"field":"user.name","value":{"secret":1,"secret":2}}"#), twice.to_owned()),
        (data(r#"{"field":"user.name","valid":"000"}"#), kind("valid")),
        (data(r#"{"field":"user.name","ts":"the secret"}"#), kind("ts")),
        (data(r#"{"field":"user.name","ts":7}"#), kind("ts")),
        (data(r#"{"field":"user.name","error":"000"}"#), kind("error")),
        (r#"{"data":[],"errors":{}}"#.to_owned(), "`errors` is not a list".to_owned()),
        (r#"{"data":[],"errors":["000"]}"#.to_owned(), "an element of `errors` is not an object".to_owned()),
    ];
    for (answer, message) in cases {
        assert_eq!(filtered("", &permit, &answer).unwrap_err(), message, "{answer}");
    }
    // Nothing but errors is an answer.
    let errors = r#"{"errors":[{"code":"INVALID_QUERY","message":"000"}]}"#;
    let (body, dropped) = cut(&permit, errors);
    assert!(body.starts_with(r#"{"data":[],"errors":[{"code":"INVALID_QUERY","category":"REQUEST","#), "{body}");
    assert!(!body.contains("000") && dropped == 0, "{body}");
}

#[test]
fn errors_of_fields_and_of_the_query_are_stripped() {
    let secret = "SECRET-000";
    let error = format!(
        r#"{{"code":"RESOLVER_FAILED","category":"{secret}","message":"{secret}","display_primary_key":"{secret}",
            "display_primary_key_fqn":"{secret}","exception":{{"kind":"{secret}","message":"{secret}","stacktrace":"{secret}"}},
            "feature":"{secret}","resolver":"{secret}","{secret}":"{secret}"}}"#
    );
    let answer = format!(
        r#"{{"data":[{{"field":"user.name","value":null,"error":{error}}}],"errors":[{error},{error}],"{secret}":"{secret}"}}"#
    );
    let (body, _) = cut(&permit([("user.name", Field::Value)]), &answer);
    assert!(!body.contains("SECRET") && !body.contains("000"), "{body}");
    let stripped = r#"{"code":"RESOLVER_FAILED","category":"FIELD","message":"a resolver failed","display_primary_key":null,"display_primary_key_fqn":null,"exception":null,"feature":null,"resolver":null}"#;
    assert_eq!(
        body,
        format!(
            r#"{{"data":[{{"field":"user.name","value":null,"error":{stripped}}}],"errors":[{stripped},{stripped}]}}"#
        )
    );
}
