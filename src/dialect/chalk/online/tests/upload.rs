//! Uploads in JSON.

use super::*;

#[test]
fn each_key_of_an_upload() {
    let upload = |members: &str| {
        let text = format!(r#"{{"input":{{"user.id":[1, 2],"user.name":["A",null]}}{members}}}"#);
        read_upload(text.as_bytes()).map_err(|error| error.0)
    };
    let plain = upload("").unwrap();
    assert_eq!(plain.features, ["user.id", "user.name"]);
    assert_eq!((plain.rows, plain.switches.len()), (2, 0));
    let base = r#"{"input":{"user.id":[1, 2],"user.name":["A",null]}"#;
    let cases = [
        ("", ""),
        (r#","x":null,"meta":null,"query_name":null,"preview_deployment_id":null,"correlation_id":null"#, ""),
        (r#","correlation_id":"c-1""#, r#","correlation_id":"c-1""#),
        (r#","query_name":"label""#, ""),
        (r#","meta":{"a":"b"}"#, r#","meta":{"a":"b"}"#),
        (r#","preview_deployment_id":"""#, ""),
    ];
    for (members, rest) in cases {
        let upload = upload(members).unwrap();
        assert_eq!((text(&upload.body), upload.switches), (&*format!("{base}{rest}}}"), switches([])), "{members}");
    }
    let branch = upload(r#","preview_deployment_id":"p-1""#).unwrap();
    assert_eq!(text(&branch.body), format!(r#"{base},"preview_deployment_id":"p-1"}}"#));
    assert_eq!(branch.switches, switches([Switch::Branch]));
    let cases = [
        (r#","branch_id":"b""#, "the key `branch_id` is not known"),
        (r#","meta":{"a":1}"#, "a value of `meta` is not a text"),
        (r#","correlation_id":"\u0000""#, "`correlation_id` is not printable ascii of at most 256 bytes"),
        (r#","query_name":7"#, "`query_name` is not a text"),
        (r#","preview_deployment_id":true"#, "`preview_deployment_id` is not a text"),
    ];
    for (members, message) in cases {
        assert_eq!(upload(members).unwrap_err(), message, "{members}");
    }
    let cases = [
        ("{}", "`input` names no feature to be written"),
        (r#"{"input":{}}"#, "`input` names no feature to be written"),
        (r#"{"input":[]}"#, "`input` is not an object"),
        (r#"{"input":{"a.b":1}}"#, "a value of `input` is not a list"),
        (r#"{"input":{"a.b":[1],"a.c":[]}}"#, "`input` has lists of different lengths"),
        (
            r#"{"input":{"a.b":[1],"a.\u0062":[2]}}"#,
            "the body cannot be read: the key `a.b` at byte 20 of the json text stands twice in its object",
        ),
    ];
    for (body, message) in cases {
        assert_eq!(read_upload(body.as_bytes()).unwrap_err().0, message, "{body}");
    }
}

#[test]
fn the_answer_of_an_upload_is_stripped() {
    let permit = Permit { inputs: ["user.name".to_owned()].into(), ..Permit::default() };
    let pass = r#"{"errors": [], "trace_id": "t-1_A"}"#;
    assert_eq!(filter_upload(pass.as_bytes(), &permit), Ok(Answer::AsItCame));
    let several = r#"{"operation_id":"op1","trace_id":null,"errors":[]}"#;
    assert_eq!(filter_upload(several.as_bytes(), &permit), Ok(Answer::AsItCame));
    let more = several.replace("null", "null,\"x\":1");
    let Answer::Cut { body, .. } = filter_upload(more.as_bytes(), &permit).unwrap() else { panic!() };
    assert_eq!(text(&body.whole(more.as_bytes())), r#"{"errors":[],"operation_id":"op1","trace_id":null}"#);
    let told = several.replace("op1", "ssn 000");
    let Answer::Cut { body, .. } = filter_upload(told.as_bytes(), &permit).unwrap() else { panic!() };
    assert_eq!(text(&body.whole(told.as_bytes())), r#"{"errors":[],"trace_id":null}"#);
    let answer = r#"{"trace_id":"the secret","errors":[{"code":"VALIDATION_FAILED","message":"000","feature":"user.name"}],"x":1}"#;
    let Answer::Cut { body, dropped } = filter_upload(answer.as_bytes(), &permit).unwrap() else { panic!() };
    assert_eq!(
        (text(&body.whole(answer.as_bytes())), dropped),
        (
            r#"{"errors":[{"code":"VALIDATION_FAILED","category":"FIELD","message":"a value did not validate","display_primary_key":null,"display_primary_key_fqn":null,"exception":null,"feature":"user.name","resolver":null}]}"#,
            0
        )
    );
    assert_eq!(filter_upload(b"{}", &permit).unwrap_err().0, "the answer of an upload has no `errors`");
    assert_eq!(filter_upload(br#"{"errors":7}"#, &permit).unwrap_err().0, "`errors` is not a list");
}
