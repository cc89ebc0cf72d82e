//! Requests and descriptions by which something would pass that the policy refuses.

use super::*;

/// The verdict on a feature that reads a source which is closed to the role stands or falls with what is supplied.
const SOURCES: &str = "
version: 1
roles:
  open: {datasources: {allow: [prod]}}
datasources:
  shut: {kind: X, tags: [raw]}
features:
  customer_id: {key: true}
  email: {key: true}
  profile.age: {sources: [shut]}
  profile.basket: {}
  profile.score: {inputs: [profile.age]}
bundles:
  scores: [profile.score]
";

fn passed(place: &str) -> Description {
    route(&format!(
        "path: /read
  names: \"profile.{{name}}\"
  request:
    outputs: {{body: /want/*/name}}
    bundle: {{body: /bundle}}
    supplied:
    - {{body: {place}, takes: any, names: \"profile.{{name}}\"}}
    - {{body: /other, takes: any, names: \"profile.{{name}}\"}}
    - {{body: /keys}}
    pass: [/want/*/as]"
    ))
}

#[test]
fn a_value_that_some_row_has_not_is_not_supplied_however_the_row_leaves_it_out() {
    let policy = policy(SOURCES);
    for (place, rows, counts) in [
        ("/rows/*", r#"{"age":1},{"age":2}"#, true),
        ("/rows/*", r#"{"age":1},{}"#, false),
        ("/rows/*", r#"{"age":1},null"#, false),
        ("/rows/*/in", r#"{"in":{"age":1}},{"in":{"age":2}}"#, true),
        ("/rows/*/in", r#"{"in":{"age":1}},{"in":{}}"#, false),
        ("/rows/*/in", r#"{"in":{"age":1}},{"in":null}"#, false),
        ("/rows/*/in", r#"{"in":{"age":1}},{}"#, false),
        ("/rows/*/in", r#"{"in":{"age":1}},null"#, false),
        // Columns: of the rows of another one.
        ("/rows/*", r#"{"age":[1,2],"basket":[1,2]}"#, true),
        ("/rows/*", r#"{"age":[1],"basket":[1,2]}"#, false),
        ("/rows/*", r#"{"age":[]}"#, false),
    ] {
        let body = format!(r#"{{"bundle":"scores","rows":[{rows}]}}"#);
        let expected = if counts { format!("sent /read {body}") } else { "refused scores".to_owned() };
        assert_eq!(sent(&policy, &passed(place), "open", "/read", &body), expected, "{place} {rows}");
    }
}

#[test]
fn an_entry_of_the_outputs_that_names_none_is_refused() {
    let policy = policy(POLICY);
    let of = |want: &str| sent(&policy, &passed("/rows/*"), "all", "/read", &format!(r#"{{"want":[{want}]}}"#));
    assert_eq!(of(r#"{"name":"age"}"#), r#"sent /read {"want":[{"name":"age"}]}"#);
    for want in [r#"{"name":"age"},{}"#, r#"{"name":"age"},{"as":1}"#, r#"{"name":"age"},null"#] {
        assert_eq!(of(want), "invalid `/want/*/name` is missing", "{want}");
    }
}

#[test]
fn a_query_string_that_is_none_is_told_without_its_values() {
    let described =
        route("path: /read\n  method: GET\n  request: {outputs: {query: f}, supplied: [{query: customer_id}]}");
    let had = reads(&described, "/read?f=age&customer_id=secret%zz", "").unwrap_err();
    assert_eq!(had, "the query string has an escape that is none");
}

#[test]
fn what_goes_upstream_as_it_is_has_nothing_that_is_read_in_two_ways() {
    let policy = policy(POLICY);
    let of = |target: &str, body: &str, at: &str, method: &str| {
        let description = route(&format!(
            "path: /read\n  method: {method}\n  names: \"profile.{{name}}\"\n  request: {{untouched: true, outputs: {{{at}}}}}"
        ));
        sent(&policy, &description, "all", target, body)
    };
    for (target, expected) in [
        ("/read?f=age&x=1", "sent /read?f=age&x=1 "),
        ("/read?f=age&F=ssn", "invalid the parameter `F` could be read as `f`"),
        ("/read?f=age&%46=ssn", "invalid the parameter `F` could be read as `f`"),
        ("/read?f=age&x=1;f=ssn", "invalid the query string has a `;`"),
    ] {
        assert_eq!(of(target, "", "query: f", "GET"), expected, "{target}");
    }
    for (body, expected) in [
        (r#"{"f":{"n":["age"],"x":1},"x":2}"#, r#"sent /read {"f":{"n":["age"],"x":1},"x":2}"#),
        (r#"{"f":{"n":["age"],"N":["ssn"]}}"#, "invalid `/f/N` could be read as `/f/n`"),
        (r#"{"f":{"n":["age"]},"\u0046":{"n":["ssn"]}}"#, "invalid `/F` could be read as `/f`"),
    ] {
        assert_eq!(of("/read", body, "body: /f/n/*", "POST"), expected, "{body}");
    }
}
