//! Requests that mean two things, or too much.

use super::*;

#[test]
fn a_text_that_is_not_one_object_is_refused() {
    let cases: [(&[u8], &str); 8] = [
        (b"", "the body cannot be read: the json text ends at byte 0, expected an object"),
        (b"[]", "the body cannot be read: unexpected byte `[` at byte 0 of the json text, expected an object"),
        (b"{} {}", "the body cannot be read: the json text goes on behind its value at byte 3"),
        (b"\xef\xbb\xbf{}", "the body cannot be read: the json text has a byte order mark at byte 0"),
        (b"{\"outputs\":[\"\xff\"]}", "the body cannot be read: the json text is not utf-8 at byte 13"),
        (
            br#"{"outputs":["user.name"],"outputs":["user.ssn"]}"#,
            "the body cannot be read: the key `outputs` at byte 25 of the json text stands twice in its object",
        ),
        (
            br#"{"outputs":["user.name"],"\u006futputs":["user.ssn"]}"#,
            "the body cannot be read: the key `outputs` at byte 25 of the json text stands twice in its object",
        ),
        (
            br#"{"inputs":{"user.id":1,"user.id":2},"outputs":["user.name"]}"#,
            "the body cannot be read: the key `user.id` at byte 23 of the json text stands twice in its object",
        ),
    ];
    for (body, message) in cases {
        assert_eq!(read(body, true).unwrap_err().0, message, "{}", String::from_utf8_lossy(body));
        assert_eq!(read_header(body, vec![], true).unwrap_err().0, message, "{}", String::from_utf8_lossy(body));
    }
    let deep = format!(r#"{{"inputs":{{"a":{}{}}}}}"#, "[".repeat(127), "]".repeat(127));
    assert_eq!(
        read(deep.as_bytes(), true).unwrap_err().0,
        "the body cannot be read: the json text nests deeper than 128 levels at byte 141"
    );
}

#[test]
fn what_is_no_json_is_told_as_that_wherever_it_is_broken() {
    for (whole, message) in [
        (r#"{"outputs":[1]}"#, "a value of `outputs` is not a text"),
        (r#"{"outputs":{"a.b":1}}"#, "`outputs` is not a list"),
        (r#"{"inputs":[1],"outputs":["a.b"]}"#, "`inputs` is not an object"),
        (r#"{"other":1}"#, "the key `other` is not known"),
    ] {
        assert_eq!(read(whole.as_bytes(), true).unwrap_err().0, message, "{whole}");
        let broken = format!("{whole}}}");
        let behind = format!("the body cannot be read: the json text goes on behind its value at byte {}", whole.len());
        assert_eq!(read(broken.as_bytes(), true).unwrap_err().0, behind, "{broken}");
    }
    let names = r#"{"\u006futputs":["a.\u0062"],"inputs":{"\u0061.c":null}}"#;
    let request = read(names.as_bytes(), true).unwrap();
    assert_eq!(request.query.outputs, ["a.b"]);
    assert_eq!(request.query.inputs, [Input { name: "a.c".into(), has_null: true }]);
}

#[test]
fn keys_within_are_not_doubled_either() {
    for members in [
        r#""context":{"tags":[],"tags":["a"]}"#,
        r#""meta":{"a":"1","\u0061":"2"}"#,
        r#""planner_options":{"a":{"b":1,"b":2}}"#,
        r#""staleness":{"user":"1h","user":"2h"}"#,
    ] {
        assert!(refusal(members).contains("stands twice in its object"), "{members}");
    }
}

#[test]
fn a_query_asks_for_something_and_not_without_end() {
    let nothing = "none of `outputs`, `expression_outputs` and `query_name` says what is asked for";
    for body in ["{}", r#"{"inputs":{"user.id":1},"outputs":[],"query_name":""}"#, r#"{"outputs":null}"#] {
        assert_eq!(read(body.as_bytes(), true).unwrap_err().0, nothing, "{body}");
    }
    let many = |count: usize| vec![r#""a.b""#; count].join(",");
    let outputs = |count: usize| format!(r#"{{"outputs":[{}]}}"#, many(count));
    assert_eq!(read(outputs(10_000).as_bytes(), true).unwrap().query.outputs.len(), 10_000);
    assert_eq!(read(outputs(10_001).as_bytes(), true).unwrap_err().0, "`outputs` has more than 10000 entries");
    let inputs = (0..10_001).map(|i| format!(r#""a.b{i}":1"#)).collect::<Vec<_>>().join(",");
    let inputs = format!(r#"{{"inputs":{{{inputs}}},"outputs":["a.b"]}}"#);
    assert_eq!(read(inputs.as_bytes(), true).unwrap_err().0, "`inputs` has more than 10000 members");
    let expression = super::recorded::ALIAS;
    let both = format!(r#"{{"outputs":[{}],"expression_outputs":["{expression}"]}}"#, many(10_000));
    let message = "`outputs` and `expression_outputs` have more than 10000 entries together";
    assert_eq!(read(both.as_bytes(), true).unwrap_err().0, message);
}

#[test]
fn an_expression_that_cannot_be_followed_is_refused() {
    let refusal = |base64: &str| refusal(&format!(r#""expression_outputs":["{base64}"]"#));
    assert_eq!(refusal(""), "the name `` of an expression is not of the form a-z, 0-9 and _");
    // The recorded one with `User` for its namespace.
    let other = super::recorded::ALIAS.replace("GgR1c2Vy", "GgRVc2Vy");
    assert_eq!(refusal(&other), "the expression `harmless` has the namespace `User`, which is none");
}

#[test]
fn only_what_is_permitted_goes_upstream() {
    let text = format!(
        r#"{{"inputs":{{"user.id":  1.0e0 ,"user.ssn":"000","user.\u006eame":null, "user.txns":[{{"a": [ ]}}]}},
            "outputs":["user.name","user.ssn"],"expression_outputs":["{0}","{0}"]}}"#,
        super::recorded::ALIAS
    );
    let request = read(text.as_bytes(), true).unwrap();
    let inputs: Vec<_> = request.query.inputs.iter().map(|input| (input.name.as_ref(), input.has_null)).collect();
    assert_eq!(inputs, [("user.id", false), ("user.ssn", false), ("user.name", true), ("user.txns", false)]);
    let permit = Permit {
        outputs: vec!["user.identity.id".to_owned(), "a\"b".to_owned()],
        expressions: vec![1, 7],
        inputs: ["user.id", "user.name", "user.txns", "user.other"].map(str::to_owned).into(),
        ..Permit::default()
    };
    let built = rewrite(&request, &permit);
    let (head, rest) = super::text(&built).split_once(r#""expression_outputs":["#).unwrap();
    assert_eq!(
        head,
        r#"{"inputs":{"user.id":1.0e0,"user.name":null,"user.txns":[{"a": [ ]}]},"outputs":["user.identity.id","a\"b"],"#
    );
    // The second expression alone, without the ids that the caller sent.
    let (expression, rest) = rest.split_once(']').unwrap();
    assert_eq!(rest, "}");
    assert!(expression.len() < super::recorded::ALIAS.len() && !expression.contains(','), "{expression}");
    let nothing = rewrite(&request, &Permit::default());
    assert_eq!(super::text(&nothing), r#"{"inputs":{},"outputs":[],"expression_outputs":[]}"#);
}
