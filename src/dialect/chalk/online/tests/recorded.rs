//! What chalkpy 2.166.1 sent, and what it was answered.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::*;

/// One exchange a line: its headers of Chalk's, and the body and the answer, or the headers of a bulk body's queries.
const RECORDED: &str = include_str!("../../../../../tests/fixtures/chalk/wire/online.jsonl");

/// `User.ssn.alias("harmless")`, as in `http_query_alias_expression`.
pub(super) const ALIAS: &str = "CghoYXJtbGVzcxJgogI2Ci2aAgMKAV/CAiQ4MTNiMzFlYi03ZGE3LTRhZmYtODJhYS1iMGZhYTdkODVkOGMSBQoDc3NuwgIkZjEzZjEyOTctNGNiMC00YjgxLWE4YTgtNGEzYmZhMjM1YzU5GgR1c2Vy";

fn recorded(path: &str) -> Vec<(String, Value)> {
    let lines = RECORDED.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let found: Vec<_> = lines
        .filter(|line| line["path"] == path)
        .map(|line| (line["name"].as_str().unwrap().to_owned(), line))
        .collect();
    assert!(!found.is_empty(), "{path}");
    found
}

fn read_headers(line: &Value) -> headers::Read {
    let list: Vec<(&str, &[u8])> = line["headers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|header| (header[0].as_str().unwrap(), header[1].as_str().unwrap().as_bytes()))
        .collect();
    headers::read(list, Some("envmock1")).unwrap()
}

/// What was sent, without what asks for nothing: the second opinion on what goes upstream.
fn understood(sent: &str, request: &Request<'_>) -> Value {
    let nothing =
        |value: &Value| value.is_null() || matches!(value.to_string().as_str(), "false" | "\"\"" | "{}" | "[]");
    let mut sent: Value = serde_json::from_str(sent).unwrap();
    let object = sent.as_object_mut().unwrap();
    object["context"].as_object_mut().unwrap().retain(|_, value| !nothing(value));
    let always = ["inputs", "outputs", "expression_outputs", "include_meta"];
    object.retain(|key, value| always.contains(&key.as_str()) || !nothing(value));
    let built = request.query.expressions.iter().map(|expression| STANDARD.encode(&expression.encoded).into());
    object["expression_outputs"] = Value::Array(built.collect());
    sent
}

#[test]
fn requests_are_read_and_built_anew() {
    let mut with_switches = Vec::new();
    for (name, line) in recorded(QUERY_PATH) {
        let versioned = read_headers(&line).versioned;
        assert_eq!(versioned, name != "http_query_unversioned_header", "{name}");
        let sent = line["request"].as_str().unwrap();
        let request = read(sent.as_bytes(), versioned).unwrap_or_else(|error| panic!("{name}: {error}"));
        let query = &request.query;
        assert_eq!(query.versioned, versioned, "{name}");
        assert_eq!(query.inputs, [Input { name: "user.id".into(), has_null: false }], "{name}");
        let json: Value = serde_json::from_str(sent).unwrap();
        assert_eq!(serde_json::to_value(&query.outputs).unwrap(), json["outputs"], "{name}");
        assert_eq!(query.expressions.len(), json["expression_outputs"].as_array().unwrap().len(), "{name}");
        assert_eq!(request.environment.as_deref(), json["context"]["environment"].as_str(), "{name}");
        if !query.switches.is_empty() {
            with_switches.push((name.clone(), query.switches.clone(), query.named.clone()));
        }
        let built = rewrite(&request, &all_of(query));
        assert_eq!(serde_json::from_slice::<Value>(&built).unwrap(), understood(sent, &request), "{name}");
        // Built anew, it reads the same.
        let again = read(&built, versioned);
        if query.name.is_none() || !query.outputs.is_empty() {
            let again = again.unwrap();
            assert_eq!(rewrite(&again, &all_of(&again.query)), built, "{name}");
        }
    }
    let all_options = switches([
        Switch::ContextTags,
        Switch::Staleness,
        Switch::PlannerOptions,
        Switch::QueryContext,
        Switch::ValueMetrics,
    ]);
    assert_eq!(
        with_switches,
        [
            ("http_query_all_options".to_owned(), all_options, BTreeSet::from(["user.name".to_owned()])),
            ("http_query_env_and_branch".to_owned(), switches([Switch::Branch]), BTreeSet::new()),
            ("http_query_overlay_graph".to_owned(), switches([Switch::OverlayGraph]), BTreeSet::new()),
        ]
    );
}

#[test]
fn a_named_query_is_a_bundle() {
    for (name, line) in recorded(QUERY_PATH) {
        let request = read(line["request"].as_str().unwrap().as_bytes(), true).unwrap();
        let names = (request.query.name.as_deref(), request.query.version.as_deref());
        let expected = match name.as_str() {
            "http_query_named_query" => (Some("fraud"), None),
            "http_query_named_query_version" => (Some("fraud"), Some("1.1.0")),
            "http_query_all_options" => (Some("adhoc"), Some("1")),
            _ => (None, None),
        };
        assert_eq!(names, expected, "{name}");
    }
}

#[test]
fn headers_are_read() {
    for (name, line) in recorded(QUERY_PATH) {
        let read = read_headers(&line);
        let branch = name == "http_query_env_and_branch";
        assert_eq!(read.switches, if branch { switches([Switch::Branch]) } else { switches([]) }, "{name}");
        let mut expected = vec![
            ("x-chalk-env-id", "envmock1"),
            if branch { ("x-chalk-branch-id", "br1") } else { ("x-chalk-deployment-type", "engine") },
        ];
        if name != "http_query_unversioned_header" {
            expected.push(("x-chalk-features-versioned", "true"));
        }
        expected.sort_unstable();
        // One that brings its own Authorization knows no environment; it is sent all the same.
        assert_eq!(read.environment.is_none(), name == "http_caller_managed_authorization", "{name}");
        let mut forward: Vec<_> = read.forward.iter().map(|(name, value)| (*name, value.as_str())).collect();
        forward.sort_unstable();
        assert_eq!(forward, expected, "{name}");
    }
}

#[test]
fn headers_of_bulk_queries_are_read_and_built_anew() {
    let mut outputs = Vec::new();
    for (name, line) in recorded("/v1/query/feather") {
        read_headers(&line);
        for query in line["queries"].as_array().unwrap() {
            let sent = query.as_str().unwrap();
            let inputs = vec![Input { name: "user.id".into(), has_null: true }];
            let request = read_header(sent.as_bytes(), inputs.clone(), true).unwrap();
            assert_eq!((&request.query.inputs, request.include_meta), (&inputs, Some(true)), "{name}");
            assert_eq!(request.query.switches, switches([]), "{name}");
            let built = rewrite_header(&request, &all_of(&request.query));
            assert_eq!(serde_json::from_slice::<Value>(&built).unwrap(), understood(sent, &request), "{name}");
            let expressions = request.query.expressions.iter().map(|expression| expression.name.as_str());
            outputs.push(format!("{name}: {:?} {:?}", request.query.outputs, expressions.collect::<Vec<_>>()));
        }
    }
    assert_eq!(
        outputs,
        [
            r#"http_multi_query: ["user.name"] []"#,
            r#"http_multi_query: ["user.ssn"] []"#,
            r#"http_multi_query_named: [] []"#,
            r#"http_query_bulk: ["user.name", "user.fraud_score"] []"#,
            r#"http_query_bulk_alias_expression: [] ["harmless"]"#,
            r#"http_query_bulk_has_many: ["user.name", "user.transactions[transaction.id,transaction.amount]"] []"#,
        ]
    );
}

/// What the fields of an answer hold.
fn everything_in(answer: &Value) -> Permit {
    let field = |value: &Value| match value["columns"].as_array() {
        Some(names) => {
            Field::Rows(names.iter().map(|name| (name.as_str().unwrap().to_owned(), Field::Value)).collect())
        }
        None => Field::Value,
    };
    let data = answer["data"].as_array().unwrap();
    let fields = data.iter().map(|item| (item["field"].as_str().unwrap().to_owned(), field(&item["value"])));
    Permit { fields: fields.collect(), primary_key: true, ..Permit::default() }
}

#[test]
fn answers_pass_byte_for_byte_where_nothing_is_cut() {
    let mut with_errors = Vec::new();
    for (name, line) in recorded(QUERY_PATH) {
        let request = read(line["request"].as_str().unwrap().as_bytes(), true).unwrap();
        let answer = line["response"].as_str().unwrap();
        let json: Value = serde_json::from_str(answer).unwrap();
        let filtered = filter(answer.as_bytes(), &everything_in(&json), &request).unwrap();
        if json["errors"] == serde_json::json!([]) {
            assert_eq!(filtered, Answer::AsItCame, "{name}");
        } else {
            with_errors.push(name);
            assert!(matches!(filtered, Answer::Cut { dropped: 0, .. }), "{filtered:?}");
        }
    }
    assert_eq!(with_errors, ["http_fail_200_unauthorized", "http_query_unknown_feature"]);
}

#[test]
fn no_field_of_an_answer_passes_that_was_not_permitted() {
    for (name, line) in recorded(QUERY_PATH) {
        let request = read(line["request"].as_str().unwrap().as_bytes(), true).unwrap();
        let answer = line["response"].as_str().unwrap();
        let json: Value = serde_json::from_str(answer).unwrap();
        let Answer::Cut { body, dropped } = filter(answer.as_bytes(), &Permit::default(), &request).unwrap() else {
            panic!("{name}")
        };
        let body = body.whole(answer.as_bytes());
        assert_eq!(dropped, json["data"].as_array().unwrap().len(), "{name}");
        assert!(text(&body).starts_with(r#"{"data":[],"errors":["#), "{name}: {}", text(&body));
    }
}

#[test]
fn an_upload_is_read_and_built_anew() {
    let [(_, line)] = &recorded(UPLOAD_PATH)[..] else { panic!() };
    let upload = read_upload(line["request"].as_str().unwrap().as_bytes()).unwrap();
    assert_eq!((&upload.features[..], upload.rows), (&["user.id".to_owned(), "user.name".to_owned()][..], 1));
    assert_eq!(text(&upload.body), r#"{"input":{"user.id":[1],"user.name":["B"]}}"#);
    let answer = line["response"].as_str().unwrap();
    assert_eq!(filter_upload(answer.as_bytes(), &Permit::default()), Ok(Answer::AsItCame));
}
