use super::*;

const LISTED: &str = "path: /read
  names: \"profile.{name}\"
  request:
    outputs: {body: /features/*}
    supplied: [{body: /keys}]
    pass: [/options]";

#[test]
fn what_is_not_described_does_not_pass() {
    let (policy, listed) = (policy(POLICY), route(LISTED));
    for (body, expected) in [
        (
            r#"{"features":["age"],"keys":{"customer_id":1},"options":{"x": [1 ]}}"#,
            r#"sent /read {"features":["age"],"keys":{"customer_id":1},"options":{"x": [1 ]}}"#,
        ),
        (
            r#"{"features":["age"],"keys":{"customer_id":1},"debug":true}"#,
            "invalid `/debug` is not known; what is: `features`, `keys`, `options`",
        ),
        (r#"{"features":["age"],"keys":[]}"#, "invalid `/keys` is no object of names and values"),
        (r#"{"features":"age"}"#, "invalid `/features` is not a list"),
        (r#"{"features":[{}]}"#, "invalid `/features/*` is no text"),
        (r#"{"features":[null]}"#, "invalid `/features/*` holds a null"),
        (r#"{"features":["age","age"]}"#, "invalid `age` is asked for twice"),
        (
            r#"{"features":["age"],"features":["ssn"]}"#,
            "invalid the body cannot be read: the key `features` at byte 20 of the json text stands twice in its object",
        ),
        (
            r#"["age"]"#,
            "invalid the body cannot be read: unexpected byte `[` at byte 0 of the json text, expected an object",
        ),
        (r#"{"keys":{"customer_id":1}}"#, "invalid the request names no outputs"),
        (r#"{"features":[],"keys":{"customer_id":1}}"#, "invalid the request names no outputs"),
        ("{\"\u{66}eatures\":[\"\\u0061ge\"]}", "sent /read {\"features\":[\"\\u0061ge\"]}"),
    ] {
        assert_eq!(sent(&policy, &listed, "all", "/read", body), expected, "{body}");
    }
    assert_eq!(
        sent(&policy, &listed, "all", "/read?debug=1", r#"{"features":["age"]}"#),
        "invalid the parameter `debug` is not known; what is: nothing"
    );
}

#[test]
fn refused_outputs_are_taken_out_of_a_list_and_out_of_records() {
    let policy = policy(POLICY);
    let body = r#"{"features":[ "ssn" , "age","country"], "keys":{"customer_id":1}}"#;
    assert_eq!(
        sent(&policy, &route(LISTED), "cutter", "/read", body),
        r#"sent /read {"features":["age","country"],"keys":{"customer_id":1}}"#
    );
    let records = route(
        "path: /read
  names: \"profile.{name}\"
  request: {outputs: {body: /want/*/feature/name}, pass: [/want/*/as]}",
    );
    let body = r#"{"want":[{"as":1,"feature":{"name":"age"}},{"feature":{"name":"ssn"},"as":2}]}"#;
    assert_eq!(
        sent(&policy, &records, "cutter", "/read", body),
        r#"sent /read {"want":[{"as":1,"feature":{"name":"age"}}]}"#
    );
}

#[test]
fn a_query_string_is_read_and_built_anew() {
    let policy = policy(POLICY);
    let get = |split: &str| {
        route(&format!(
            "path: /v/{{view}}/read
  method: GET
  names: \"{{view}}.{{name}}\"
  request:
    outputs: {{query: f{split}}}
    supplied: [{{query: customer_id}}]
    pass_query: [page]"
        ))
    };
    let (repeated, list) = (get(""), get(", split: ','"));
    for (description, target, expected) in [
        (
            &repeated,
            "/v/profile/read?f=age&f=ssn&customer_id=a+b%2F&page=",
            "sent /v/profile/read?customer_id=a%20b%2F&page=&f=age ",
        ),
        (&list, "/v/profile/read?f=age,ssn,country", "sent /v/profile/read?f=age%2Ccountry "),
        (&list, "/v/profile/read?f=age&f=%63ountry", "sent /v/profile/read?f=age%2Ccountry "),
        (
            &list,
            "/v/profile/read?f=age&F=ssn",
            "invalid the parameter `F` is not known; what is: `customer_id`, `f`, `page`",
        ),
        (&list, "/v/profile/read?f=%zz", "invalid the query string has an escape that is none"),
        (&list, "/v/profile/read?f=%ff", "invalid the query string is no utf-8"),
        (&list, "/v/other/read?f=age", "refused age"),
        (&list, "/v/pro.file/read?f=age", "invalid of `age` no name can be made"),
    ] {
        assert_eq!(sent(&policy, description, "cutter", target, ""), expected, "{target}");
    }
    assert_eq!(sent(&policy, &list, "cutter", "/v/profile/read?f=age", "{}"), "invalid a GET has no body");
}

#[test]
fn what_is_forced_is_put_in_wherever_it_belongs() {
    let policy = policy(POLICY);
    let forced = route(
        "path: /read
  names: \"profile.{name}\"
  request:
    bundle: {body: /params/service}
    supplied: [{body: /params/keys}]
    force: [{at: /params/metadata/names, value: true, adds: []}]
    pass: [/params/metadata/types]",
    );
    for (body, expected, asked_for) in [
        (r#"{"params":{"service":"plain"}}"#, r#"{"params":{"service":"plain","metadata":{"names":true}}}"#, false),
        (
            r#"{"params":{"service":"plain","metadata":{"types":true}}}"#,
            r#"{"params":{"service":"plain","metadata":{"types":true,"names":true}}}"#,
            false,
        ),
        (
            r#"{"params":{"metadata":{"names":false},"service":"plain"}}"#,
            r#"{"params":{"metadata":{"names":true},"service":"plain"}}"#,
            false,
        ),
        (
            r#"{"params":{"metadata":null,"service":"plain"}}"#,
            r#"{"params":{"metadata":{"names":true},"service":"plain"}}"#,
            false,
        ),
        (
            r#"{"params":{"metadata":{"names":true},"service":"plain"}}"#,
            r#"{"params":{"metadata":{"names":true},"service":"plain"}}"#,
            true,
        ),
    ] {
        assert_eq!(sent(&policy, &forced, "all", "/read", body), format!("sent /read {expected}"), "{body}");
        assert_eq!(reads(&forced, "/read", body).unwrap().asked_for, [asked_for], "{body}");
    }
}

#[test]
fn a_signed_request_is_untouched_and_read_all_the_same() {
    let policy = policy(POLICY);
    let signed = route(
        "path: /group/{view}
  method: GET
  names: \"{view}.{name}\"
  unnamed: filter
  request: {untouched: true, outputs: {query: f}}",
    );
    let target = "/group/profile?X-Signature=a+b%2f&f=age&f=%63ountry";
    assert_eq!(sent(&policy, &signed, "all", target, ""), format!("sent {target} "));
    // What may be computed is cut from the answer; what may not cannot be taken out of the request.
    assert_eq!(sent(&policy, &signed, "inside", "/group/profile?f=age&f=ssn", ""), "sent /group/profile?f=age&f=ssn ");
    assert_eq!(sent(&policy, &signed, "cutter", "/group/profile?f=age&f=ssn", ""), "refused ssn");
    assert_eq!(sent(&policy, &signed, "cutter", "/group/profile?x=1", ""), "sent later /group/profile?x=1 ");
}

#[test]
fn a_bundle_can_be_named_by_several_places_together() {
    let policy = policy(&POLICY.replace("  plain:", "  shop/plain/1:"));
    let made = route(
        "path: /read/{project}
  scope: {view: {body: /view}, version: {body: /version}}
  request: {bundle: {names: \"{project}/{view}/{version}\"}}",
    );
    for (path, body, expected) in [
        ("/read/shop", r#"{"view":"plain","version":1}"#, r#"sent /read/shop {"view":"plain","version":1}"#),
        ("/read/shop", r#"{"view":"plain","version":2}"#, "refused shop/plain/2"),
        ("/read/other", r#"{"view":"plain","version":1}"#, "refused other/plain/1"),
        ("/read/shop", r#"{"view":"plain"}"#, "invalid the request names no outputs"),
        // Of two ways to read it none is taken.
        ("/read/shop", r#"{"view":"plain/1","version":1}"#, "invalid the request names no outputs"),
    ] {
        assert_eq!(sent(&policy, &made, "all", path, body), expected, "{body}");
    }
}

#[test]
fn a_variable_of_the_body_is_one_text_or_count() {
    let policy = policy(POLICY);
    let scoped = route(
        "path: /read
  names: \"{view}.{name}\"
  scope: {view: {body: /view}}
  request: {outputs: {body: /features/*}}",
    );
    for (body, expected) in [
        (r#"{"view":"profile","features":["age"]}"#, r#"sent /read {"view":"profile","features":["age"]}"#),
        (r#"{"features":["age"]}"#, "invalid of `age` no name can be made"),
        (r#"{"view":null,"features":["age"]}"#, "invalid of `age` no name can be made"),
        (r#"{"view":3,"features":["age"]}"#, "refused age"),
        (r#"{"view":3.0,"features":["age"]}"#, "invalid `/view` is neither text nor a count"),
        (r#"{"view":["profile"],"features":["age"]}"#, "invalid `/view` is no text"),
    ] {
        assert_eq!(sent(&policy, &scoped, "all", "/read", body), expected, "{body}");
    }
}
