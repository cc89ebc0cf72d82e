//! Requests and descriptions by which something would pass that the policy refuses.

use super::*;
use crate::dialect::json::plan::Fate::{Cut, Extra, Keep};

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
fn a_value_that_is_null_in_one_place_is_not_supplied_by_another() {
    let policy = policy(SOURCES);
    let of = |body: &str| sent(&policy, &passed("/rows/*"), "open", "/read", body);
    // Of the two the null does not go upstream.
    assert_eq!(
        of(r#"{"bundle":"scores","rows":[{"age":1}],"other":{"age":null}}"#),
        r#"sent /read {"bundle":"scores","rows":[{"age":1}],"other":{}}"#
    );
    assert_eq!(
        of(r#"{"bundle":"scores","rows":[{"age":null}],"other":{"age":1}}"#),
        r#"sent /read {"bundle":"scores","rows":[{}],"other":{"age":1}}"#
    );
}

#[test]
fn a_key_that_is_null_in_one_place_is_not_supplied_by_another() {
    let policy = policy(POLICY);
    let description = route(
        "path: /read
  names: \"profile.{name}\"
  request:
    outputs: {body: /want/*}
    supplied: [{body: /one}, {body: /two}]",
    );
    let supplied = |body: &str| {
        let request = reads(&description, "/read", body).unwrap();
        planned(&policy, "all", &request.query).supplied.join(" ")
    };
    assert_eq!(
        supplied(r#"{"want":["age"],"one":{"customer_id":1},"two":{"customer_id":2}}"#),
        "customer_id customer_id"
    );
    assert_eq!(supplied(r#"{"want":["age"],"one":{"customer_id":1},"two":{"customer_id":null}}"#), "");
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
fn what_does_not_count_and_cannot_be_taken_out_is_not_sent() {
    let rest = "method: GET
  names: \"profile.{name}\"
  request:
    outputs: {query: f}";
    let supplied = "takes: any, names: \"profile.age\"";
    let untouched =
        route(&format!("path: /read\n  {rest}\n    untouched: true\n    supplied: [{{query: age, {supplied}}}]"));
    let path = route(&format!("path: \"/read/{{age}}\"\n  {rest}\n    supplied: [{{path: age, {supplied}}}]"));
    let keys = POLICY.replace("version: 1", "version: 1\nsupplies: keys");
    let message = "invalid `age` is supplied and would not count, and cannot be taken out here";
    for (rules, description, target, expected) in [
        (POLICY, &untouched, "/read?f=country&age=3", "sent /read?f=country&age=3 "),
        (POLICY, &untouched, "/read?f=country&age=", message),
        (POLICY, &untouched, "/read?f=country&age=3&age=", message),
        (&*keys, &untouched, "/read?f=country&age=3", message),
        (POLICY, &path, "/read/3?f=country", "sent /read/3?f=country "),
        (&*keys, &path, "/read/3?f=country", message),
    ] {
        assert_eq!(sent(&policy(rules), description, "all", target, ""), expected, "{target}");
    }
}

/// What becomes of columns, with these variables of the answer.
fn fates(
    policy: &Policy,
    description: &Description,
    roles: &str,
    body: &str,
    names: &[(&str, &str)],
) -> Vec<Option<crate::dialect::json::plan::Fate>> {
    let request = reads(description, "/read", body).unwrap();
    let plan = planned(policy, roles, &request.query);
    let of = |(group, name): &(&str, &str)| {
        let variables = [("group", (*group).into())];
        let variables = if group.is_empty() { &variables[..0] } else { &variables[..] };
        permit(&plan).fate(&request.query, name, variables)
    };
    names.iter().map(of).collect()
}

#[test]
fn a_key_comes_back_to_who_gave_it_or_may_see_it() {
    let rules =
        POLICY.replace("customer_id: {key: true}", "customer_id: {key: true}\n  email: {key: true, tags: [pii]}");
    let policy = policy(&rules);
    let description = description(
        "routes:
- path: /read
  names: \"profile.{name}\"
  request: {outputs: {body: /want/*}, supplied: [{body: /keys}, {body: /mail, names: \"{name}\"}]}
  answer: {shape: objects, at: /values, keep: [email, time]}",
    );
    let of = |roles: &str, body: &str| fates(&policy, &description, roles, body, &[("", "email"), ("", "time")]);
    // `strict` may use it and not see it.
    assert_eq!(of("all", r#"{"want":["age"]}"#), [Some(Extra), Some(Extra)]);
    assert_eq!(of("strict", r#"{"want":["age"],"keys":{"email":"a"}}"#), [Some(Extra), Some(Extra)]);
    assert_eq!(of("strict", r#"{"want":["age"],"keys":{"customer_id":1}}"#), [Some(Cut), Some(Extra)]);
    assert_eq!(of("strict", r#"{"want":["age"],"keys":{"email":null,"customer_id":1}}"#), [Some(Cut), Some(Extra)]);
    assert_eq!(of("analyst", r#"{"want":["age"],"keys":{"email":null,"customer_id":1}}"#), [Some(Cut), Some(Extra)]);
}

/// Names that are whole with the answer alone.
const GROUPED: &str = "routes:
- path: /read
  names: \"{group}.{name}\"
  unnamed: filter
  request: {bundle: {body: /bundle}, supplied: [{body: /keys}]}
  answer: {shape: objects, at: /groups/*/values, scope: {group: /groups/*/group}, keep: [ssn, time]}";

#[test]
fn what_is_kept_is_no_feature_of_any_group() {
    let (policy, grouped) = (policy(POLICY), description(GROUPED));
    let body = r#"{"bundle":"plain"}"#;
    let columns = [("profile", "ssn"), ("other", "ssn"), ("profile", "time"), ("profile", "age")];
    assert_eq!(fates(&policy, &grouped, "all", body, &columns), [Some(Extra), Some(Extra), Some(Extra), Some(Keep)]);
    assert_eq!(fates(&policy, &grouped, "analyst", body, &columns), [None, None, Some(Extra), Some(Keep)]);
}

#[test]
fn what_an_alias_means_in_a_group_is_not_known_so_it_is_not_let_through() {
    let (policy, grouped) = (policy(POLICY), description(GROUPED));
    assert_eq!(sent(&policy, &grouped, "all", "/read", r#"{"bundle":"plain"}"#), r#"sent /read {"bundle":"plain"}"#);
    assert_eq!(sent(&policy, &grouped, "all", "/read", r#"{"bundle":"pair"}"#), "refused pair");
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

#[test]
fn a_list_of_supplied_values_beside_a_longer_one_leaves_rows_out() {
    let policy = policy(SOURCES);
    let description = route(
        "path: /read
  names: \"profile.{name}\"
  request:
    bundle: {body: /bundle}
    supplied: [{body: /keys/*}, {body: \"/passed/*\", takes: any, names: \"profile.{name}\"}]",
    );
    for (passed, counts) in [(r#"{"age":1},{"age":2}"#, true), (r#"{"age":1}"#, false)] {
        let body =
            format!(r#"{{"bundle":"scores","keys":[{{"customer_id":1}},{{"customer_id":2}}],"passed":[{passed}]}}"#);
        let expected = if counts { format!("sent /read {body}") } else { "refused scores".to_owned() };
        assert_eq!(sent(&policy, &description, "open", "/read", &body), expected, "{passed}");
    }
}
