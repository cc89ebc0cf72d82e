use super::super::proto::ChalkException;
use super::super::query::Field;
use super::*;

const ALL: [(&str, &str); 12] = [
    ("INTERNAL_SERVER_ERROR", "NETWORK"),
    ("PARSE_FAILED", "REQUEST"),
    ("RESOLVER_NOT_FOUND", "REQUEST"),
    ("INVALID_QUERY", "REQUEST"),
    ("VALIDATION_FAILED", "FIELD"),
    ("RESOLVER_FAILED", "FIELD"),
    ("RESOLVER_TIMED_OUT", "FIELD"),
    ("UPSTREAM_FAILED", "FIELD"),
    ("UNAUTHENTICATED", "NETWORK"),
    ("UNAUTHORIZED", "NETWORK"),
    ("CANCELLED", "NETWORK"),
    ("DEADLINE_EXCEEDED", "NETWORK"),
];

fn json(error: &ChalkError) -> String {
    let mut out = Vec::new();
    write_json(&mut out, error);
    String::from_utf8(out).unwrap()
}

fn stripped(text: &str, permit: &Permit) -> ChalkError {
    let wrapped = format!(r#"{{"error":{text}}}"#);
    let members = json::object(wrapped.as_bytes()).unwrap();
    strip_json(wrapped.as_bytes(), members[0].value, permit).unwrap()
}

fn permit() -> Permit {
    Permit {
        outputs: vec!["user.identity".to_owned()],
        inputs: ["user.id".to_owned()].into(),
        fields: std::iter::once(("user.name".to_owned(), Field::Value)).collect(),
        ..Permit::default()
    }
}

#[test]
fn refusals_read_as_chalks() {
    assert_eq!(
        json(&refused("user.ssn")),
        r#"{"code":"UNAUTHORIZED","category":"NETWORK","message":"Feature 'user.ssn' is not authorized for this caller","display_primary_key":null,"display_primary_key_fqn":null,"exception":null,"feature":"user.ssn","resolver":null}"#
    );
    assert_eq!(
        json(&invalid_query("`now` is not a text")),
        r#"{"code":"INVALID_QUERY","category":"REQUEST","message":"`now` is not a text","display_primary_key":null,"display_primary_key_fqn":null,"exception":null,"feature":null,"resolver":null}"#
    );
    let refused_two = refused_answer(["a.b", "a.\"c"]);
    let text = std::str::from_utf8(&refused_two).unwrap();
    let expected = [refused("a.b"), refused("a.\"c")].map(|error| json(&error)).join(",");
    assert_eq!(text, format!(r#"{{"data":[],"errors":[{expected}],"meta":null}}"#));
    let value: serde_json::Value = serde_json::from_str(text).unwrap();
    assert_eq!(value["errors"][1]["feature"], "a.\"c");
    let one = json(&error(ErrorCode::Unauthorized, "no"));
    assert_eq!(
        upload_answer(&[error(ErrorCode::Unauthorized, "no")], "d-1"),
        format!(r#"{{"errors":[{one}],"operation_id":"","trace_id":"d-1"}}"#).into_bytes()
    );
}

#[test]
fn a_failure_has_the_detail_without_which_chalkpy_sees_no_errors() {
    let errors = [invalid_query("the key `x` is not known"), refused("a.b")];
    let body = failure_body("the key `x` is not known", "d-1", &errors, &serde_json::json!({"code": "INVALID_QUERY"}));
    let [first, second] = errors.map(|error| json(&error));
    let expected = format!(
        r#"{{"detail":"the key `x` is not known","trace":"d-1","errors":[{first},{second}],"error":{{"code":"INVALID_QUERY"}}}}"#
    );
    assert_eq!(std::str::from_utf8(&body).unwrap(), expected);
}

#[test]
fn codes_are_a_closed_list_with_a_kind_each() {
    let mut messages = std::collections::BTreeSet::new();
    for (number, (name, category)) in (0..).zip(ALL) {
        let code = ErrorCode::try_from(number).unwrap();
        assert_eq!((code_name(code), code_of(name)), (name, Some(code)));
        // Whatever kind the upstream gives it.
        let from_json = stripped(&format!(r#"{{"code":"{name}","category":"FIELD","message":"m"}}"#), &permit());
        let from_proto = strip(&ChalkError { code: number, category: 7, ..ChalkError::default() }, &permit());
        assert_eq!(from_json, from_proto, "{name}");
        let expected = format!(r#"{{"code":"{name}","category":"{category}","message":"{}","#, from_json.message);
        assert!(json(&from_json).starts_with(&expected), "{}", json(&from_json));
        assert!(messages.insert(from_json.message), "{name}");
    }
    assert_eq!(code_of("unauthorized"), None);
    for unknown in [r#"{"code":"SECRET"}"#, r#"{"code":7}"#, r#"{"code":null}"#, "{}"] {
        assert_eq!(stripped(unknown, &permit()), strip(&ChalkError { code: 12, ..ChalkError::default() }, &permit()));
        assert_eq!(stripped(unknown, &permit()), error(ErrorCode::InternalServerError, "the feature server failed"));
    }
}

/// An error with a secret in each of its texts, in protobuf and in JSON.
fn planted(secret: &str) -> (ChalkError, String) {
    let some = || Some(secret.to_owned());
    let exception = ChalkException {
        kind: secret.to_owned(),
        message: secret.to_owned(),
        stacktrace: secret.to_owned(),
        internal_stacktrace: secret.to_owned(),
    };
    let proto = ChalkError {
        code: ErrorCode::ResolverFailed.into(),
        category: 2,
        message: secret.to_owned(),
        display_primary_key: some(),
        display_primary_key_fqn: some(),
        exception: Some(exception),
        feature: some(),
        resolver: some(),
    };
    let json = serde_json::json!({
        "code": "RESOLVER_FAILED", "category": secret, "message": secret, "display_primary_key": secret,
        "display_primary_key_fqn": secret, "feature": secret, "resolver": secret, secret: secret,
        "exception": {"kind": secret, "message": secret, "stacktrace": secret, "internal_stacktrace": secret},
    });
    (proto, json.to_string())
}

#[test]
fn no_text_of_an_error_comes_out() {
    for secret in ["000-00-0000", "4111111111111111", "the secret", "a..b", "1.5", ".", "", "user.ssn=000", "é.b"] {
        let (proto, text) = planted(secret);
        let expected = error(ErrorCode::ResolverFailed, "a resolver failed");
        assert_eq!(strip(&proto, &permit()), expected, "{secret}");
        assert_eq!(stripped(&text, &permit()), expected, "{secret}");
    }
}

#[test]
fn names_that_the_caller_has_already_pass() {
    for (name, passes) in [
        ("user.name", true),
        ("user.id", true),
        ("user.identity", true),
        ("user.ssn", false),
        ("User.name", false),
        ("user.name ", false),
    ] {
        let (proto, _) = planted(name);
        assert_eq!(strip(&proto, &permit()).feature.is_some(), passes, "{name}");
    }
    let (longest, long) = (format!("aa{}", ".a".repeat(127)), format!("a{}", ".a".repeat(128)));
    for (name, passes) in [
        ("my.project.get_score", true),
        ("get.<locals>.inner", true),
        ("get_score", true),
        ("get score", false),
        ("get-score", false),
        ("get.7", false),
        ("get.", false),
        (&longest, true),
        (&long, false),
    ] {
        let (proto, text) = planted(name);
        let expected = passes.then(|| name.to_owned());
        assert_eq!(
            (strip(&proto, &permit()).resolver, stripped(&text, &permit()).resolver),
            (expected.clone(), expected)
        );
    }
}

#[test]
fn the_primary_key_passes_where_it_may_come_back() {
    let (proto, text) = planted("u-1");
    // It is said to be of a feature that is no key of the query's.
    let other = Permit { primary_key: true, ..permit() };
    assert_eq!(strip(&proto, &other).display_primary_key, None);
    assert_eq!(
        (strip(&proto, &other), stripped(&text, &other).display_primary_key_fqn),
        (stripped(&text, &other), None)
    );
    let permit = Permit { inputs: ["u-1".to_owned()].into(), ..other };
    let some = Some("u-1".to_owned());
    let expected = ChalkError {
        display_primary_key: some.clone(),
        display_primary_key_fqn: some.clone(),
        feature: some,
        ..error(ErrorCode::ResolverFailed, "a resolver failed")
    };
    assert_eq!((strip(&proto, &permit), stripped(&text, &permit)), (expected.clone(), expected));
    assert_eq!(
        stripped(r#"{"code":"RESOLVER_FAILED","display_primary_key":"u-1"}"#, &permit).display_primary_key,
        None
    );
    assert_eq!(stripped(r#"{"code":"RESOLVER_FAILED","display_primary_key":7}"#, &permit).display_primary_key, None);
}
