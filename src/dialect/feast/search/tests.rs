//! Which searches are permitted, what goes upstream of them, and what comes back.

mod answers;
mod bodies;

use super::super::tests::{loaded, over_shop};
use super::*;
use crate::config::Enforcement;
use crate::dialect::chalk::plan::Settings;
use crate::dialect::{Asker, Query};

/// Roles over the shop: `open` sees everything, `merchant` not the one personal feature of the activity.
const ROLES: &str = "
catalogue_tags: trust
roles:
  open: {}
  cutter: {mode: filter}
  merchant: {tags: {pii: AllowInternal}}
  merchant-filter: {tags: {pii: AllowInternal}, mode: filter}
  allowlist: {default: Deny, tags: {team=payments: Allow}}
";

fn plan(policy: &Policy, role: &str, search: &Search<'_>, enforcement: Enforcement) -> Plan {
    let roles = [policy.role_id(role).unwrap()];
    let index = dialect::Index::new(policy, Settings::default());
    let asker = Asker { roles: &roles, tables: &policy.tables(&roles), mode: policy.mode_of(&roles) };
    Query::FeastSearch(search).plan(policy, &index, asker, enforcement)
}

fn permitted(plan: Plan) -> Permit {
    match plan.outcome {
        Outcome::Permit(dialect::Permit::Feast(permit)) => *permit,
        other @ (Outcome::Permit(_) | Outcome::Refuse(_) | Outcome::Invalid(_)) => panic!("not permitted: {other:?}"),
    }
}

fn said(outcome: Outcome, sent: impl Fn(&Permit) -> Vec<u8>) -> String {
    match outcome {
        Outcome::Permit(dialect::Permit::Feast(permit)) => String::from_utf8(sent(&permit)).unwrap(),
        Outcome::Permit(_) => panic!("a permit of another dialect"),
        Outcome::Refuse(names) => format!("refused {}", names.join(" ")),
        Outcome::Invalid(error) => format!("invalid {error}"),
    }
}

/// What becomes of the body of a search.
fn sent(policy: &Policy, role: &str, body: &str) -> String {
    match read(body.as_bytes()) {
        Err(error) => format!("invalid {error}"),
        Ok(request) => {
            let plan = plan(policy, role, &request.search, Enforcement::Enforce);
            said(plan.outcome, |permit| request.rewrite(permit))
        }
    }
}

/// The same of a search in a vector store, which stands for this view.
fn sent_in(policy: &Policy, role: &str, view: Option<&str>, body: &str) -> String {
    match read_in_store(body.as_bytes()) {
        Err(error) => format!("invalid {error}"),
        Ok(request) => {
            let plan = plan(policy, role, &request.search("vs_1", view), Enforcement::Enforce);
            said(plan.outcome, |permit| request.rewrite(permit))
        }
    }
}

fn two(features: &str, more: &str) -> String {
    format!(r#"{{"features":[{features}],"query":[1,0],"top_k":2,"api_version":2{more}}}"#)
}

#[test]
fn every_feature_of_the_view_must_be_returnable() {
    let policy = over_shop(ROLES);
    let count = r#""customer_activity:txn_count_7d""#;
    let sent_count = r#"{"features":["customer_activity:txn_count_7d"],"query":[1,0],"top_k":2,"api_version":2}"#;
    for (role, features, expected) in [
        ("open", count, sent_count),
        ("open", r#""customer_activity@latest:txn_count_7d""#, sent_count),
        ("cutter", count, sent_count),
        // The merchant is neither asked for nor filtered by, and is still what could be looked into.
        ("merchant", count, "refused customer_activity"),
        ("merchant-filter", count, "refused customer_activity"),
        ("merchant", r#""customer_activity:last_merchant""#, "refused customer_activity:last_merchant"),
        (
            "merchant-filter",
            r#""customer_activity:txn_count_7d","customer_activity:last_merchant""#,
            "refused customer_activity:last_merchant",
        ),
        // What is not there reads like what is denied; it can be taken out, for nothing ranks by it.
        ("open", r#""customer_activity:zzz""#, "refused customer_activity:zzz"),
        ("open", r#""customer_activity:txn_count_7d","customer_activity:zzz""#, "refused customer_activity:zzz"),
        ("cutter", r#""customer_activity:txn_count_7d","customer_activity:zzz""#, sent_count),
        ("cutter", r#""customer_activity:zzz""#, "refused customer_activity:zzz"),
        ("open", r#""nothing:zzz""#, "refused nothing:zzz"),
        ("cutter", r#""customer_activity@v2:txn_count_7d""#, "refused customer_activity@v2:txn_count_7d"),
        // The view of an on-demand output, and with it the view that it is computed from.
        ("merchant", r#""email_parts:email_domain""#, "refused email_parts"),
        ("merchant", r#""num:ratio""#, r#"{"features":["num:ratio"],"query":[1,0],"top_k":2,"api_version":2}"#),
        (
            "open",
            r#""num:ratio","customer_activity:zzz""#,
            "invalid `features` are of several views, and a search is of one",
        ),
        ("open", r#""txn_count_7d""#, "invalid `txn_count_7d` is not of the form `view:feature`"),
        ("open", r#""num:ratio","num@latest:ratio""#, "invalid a search would answer two columns by the name `ratio`"),
        ("open", r#""num:distance""#, "invalid a search would answer two columns by the name `distance`"),
    ] {
        assert_eq!(sent(&policy, role, &two(features, "")), expected, "{role}: {features}");
    }
}

#[test]
fn a_view_that_the_catalogue_does_not_know_is_not_searched_whatever_the_policy_says_of_unknown_features() {
    let policy = over_shop(&format!("unknown_features: default\n{ROLES}"));
    assert_eq!(sent(&policy, "open", &two(r#""nothing:zzz""#, "")), "refused nothing");
    let sent_zzz = r#"{"features":["num:zzz"],"query":[1,0],"top_k":2,"api_version":2}"#;
    assert_eq!(sent(&policy, "open", &two(r#""num:zzz""#, "")), sent_zzz);
}

#[test]
fn filters_go_by_features_of_the_view_and_by_keys() {
    let policy = over_shop(ROLES);
    let by = |key: &str| format!(r#","filters":{{"type":"eq","key":"{key}","value":1}}"#);
    let search = |role: &str, key: &str| sent(&policy, role, &two(r#""customer_activity:txn_count_7d""#, &by(key)));
    for key in ["last_merchant", "txn_amount_7d", "customer_id"] {
        let expected = format!(
            r#"{{"features":["customer_activity:txn_count_7d"],"query":[1,0],"top_k":2,"api_version":2{}}}"#,
            by(key)
        );
        assert_eq!(search("open", key), expected);
    }
    for key in ["ssn", "zzz", "customer_activity:last_merchant", "feature_name", ""] {
        assert_eq!(search("open", key), format!("refused {key}"), "{key}");
        // Where the view is closed, nothing tells a feature of it from what is none.
        assert_eq!(search("merchant", key), "refused customer_activity", "{key}");
    }
    assert_eq!(search("merchant", "last_merchant"), "refused customer_activity");
    let deep = r#","filters":{"type":"or","filters":[{"type":"eq","key":"txn_count_7d","value":1},{"type":"and","filters":[{"type":"in","key":"ssn","value":["a"]}]}]}"#;
    assert_eq!(sent(&policy, "open", &two(r#""customer_activity:embedding""#, deep)), "refused ssn");
    // A key that may not even be used.
    let denied =
        over_shop("roles: {open: {tags: {secret: Deny}}}\nfeatures: {customer_id: {key: true, tags: [secret]}}");
    let body = two(r#""customer_activity:txn_count_7d""#, &by("customer_id"));
    assert!(sent(&denied, "open", &body).starts_with("refused"), "{}", sent(&denied, "open", &body));
}

#[test]
fn a_key_that_may_not_be_seen_is_only_compared_with_what_the_caller_gives() {
    let rules = "roles: {open: {}, user: {tags: {secret: AllowInternal}}}\nfeatures: {customer_id: {key: true, tags: [secret]}}";
    let policy = over_shop(rules);
    let search = |role: &str, kind: &str| {
        let filter = format!(r#","filters":{{"type":"{kind}","key":"customer_id","value":1}}"#);
        sent(&policy, role, &two(r#""customer_activity:txn_count_7d""#, &filter))
    };
    for kind in ["eq", "in", "ne", "nin", "gt", "gte", "lt", "lte"] {
        assert!(search("open", kind).starts_with(r#"{"features""#), "{kind}");
        let told = !matches!(kind, "eq" | "in");
        assert_eq!(search("user", kind) == "refused customer_id", told, "{kind}: {}", search("user", kind));
    }
}

#[test]
fn the_first_form_may_ask_for_the_distance_and_for_keys() {
    let policy = over_shop(ROLES);
    let one = |features: &str| format!(r#"{{"features":[{features}],"query":[1],"top_k":1}}"#);
    let all = r#""customer_activity:embedding","customer_activity:distance","customer_activity:customer_id""#;
    let expected = format!(r#"{{"features":[{all}],"query":[1],"top_k":1,"api_version":1}}"#);
    assert_eq!(sent(&policy, "open", &one(all)), expected);
    // A key that may be used and not returned is an output here like another.
    assert_eq!(sent(&policy, "allowlist", &one(all)), "refused customer_activity:customer_id");
    let only = r#""customer_activity:distance""#;
    assert_eq!(sent(&policy, "merchant", &one(only)), "refused customer_activity");
}

#[test]
fn a_vector_store_is_its_view() {
    let policy = over_shop(ROLES);
    let view = Some("customer_activity");
    for (role, view, body, expected) in [
        ("open", view, r#"{"query":"a"}"#, r#"{"query":["a"]}"#),
        (
            "open",
            view,
            r#"{"query":["a","b"],"max_num_results":3,"metadata":{"features_to_retrieve":["labels"],"content_field":"x"}}"#,
            r#"{"query":["a","b"],"max_num_results":3,"metadata":{"features_to_retrieve":["labels"]}}"#,
        ),
        (
            "cutter",
            view,
            r#"{"query":"a","metadata":{"features_to_retrieve":["labels","zzz"]}}"#,
            r#"{"query":["a"],"metadata":{"features_to_retrieve":["labels"]}}"#,
        ),
        ("open", view, r#"{"query":"a","metadata":{"features_to_retrieve":["zzz"]}}"#, "refused zzz"),
        ("merchant", view, r#"{"query":"a"}"#, "refused vs_1"),
        ("open", None, r#"{"query":"a"}"#, "refused vs_1"),
        ("open", None, r#"{"query":"a","metadata":{"features_to_retrieve":["zzz"]}}"#, "refused zzz"),
        (
            "merchant",
            view,
            r#"{"query":"a","metadata":{"features_to_retrieve":["last_merchant"]}}"#,
            "refused last_merchant",
        ),
        ("open", view, r#"{"query":"a","filters":{"type":"ne","key":"ssn","value":1}}"#, "refused ssn"),
        (
            "open",
            view,
            r#"{"query":"a","metadata":{"features_to_retrieve":["a:b"]}}"#,
            "invalid `features_to_retrieve` holds a name with `:` in it",
        ),
    ] {
        assert_eq!(sent_in(&policy, role, view, body), expected, "{role}: {body}");
    }
}

#[test]
fn what_is_recorded_is_what_may_be_read() {
    let policy = over_shop(ROLES);
    let body = two(r#""customer_activity:txn_count_7d""#, "");
    let request = read(body.as_bytes()).unwrap();
    let refused = plan(&policy, "merchant", &request.search, Enforcement::Enforce);
    assert_eq!(refused.outputs, ["customer_activity:txn_count_7d"]);
    assert_eq!(refused.reads.len(), 10, "{:?}", refused.reads);
    let names: Vec<&str> = refused.refused.iter().map(|refusal| &*refusal.feature).collect();
    assert_eq!(names, ["customer_activity:last_merchant"]);
    let suspended = plan(&policy, "merchant", &request.search, Enforcement::Audit);
    assert_eq!(suspended.decision, dialect::Decision::Refused);
    let permit = permitted(suspended);
    assert_eq!(request.rewrite(&permit), body.as_bytes());
    assert!(permit.entities.contains("customer_id"), "{permit:?}");
}

#[test]
fn searches_that_mean_something_else_have_another_fingerprint() {
    let bodies = [
        r#"{"features":["v:f"],"query":[1]}"#,
        r#"{"features":["v:f"],"query":[1],"api_version":2}"#,
        r#"{"features":["v:f"],"query_string":"a","api_version":2}"#,
        r#"{"features":["v:f","v:g"],"query":[1]}"#,
        r#"{"features":["v:f"],"api_version":2,"filters":{"type":"eq","key":"v:g","value":1}}"#,
        r#"{"features":["v:f"],"api_version":2,"filters":{"type":"eq","key":"g","value":1}}"#,
    ];
    let requests: Vec<_> = bodies.iter().map(|body| read(body.as_bytes()).unwrap()).collect();
    let mut prints: Vec<Vec<u8>> = Vec::new();
    let stored = read_in_store(br#"{"query":"a"}"#).unwrap();
    let stores = [stored.search("vs_1", None), stored.search("vs_1", Some("v")), stored.search("vs_2", Some("v"))];
    for search in requests.iter().map(|request| &request.search).chain(&stores) {
        let mut print = Vec::new();
        search.fingerprint(&mut print);
        assert!(!prints.contains(&print), "{search:?}");
        prints.push(print);
    }
}

#[test]
fn a_store_is_shown_to_who_may_return_something_of_its_view() {
    let policy = over_shop(ROLES);
    let of = |role: &str| -> Vec<String> {
        let tables = policy.tables(&[policy.role_id(role).unwrap()]);
        visible(&policy, &tables).into_iter().map(str::to_owned).collect()
    };
    assert!(of("merchant").contains(&"customer_activity".to_owned()));
    assert_eq!(of("allowlist"), ["customer_activity"]);
    let keys = loaded("roles: {none: {default: Deny}}\nfeatures: {'v:f': {}, k: {key: true}}", &[]);
    assert!(visible(&keys, &keys.tables(&[keys.role_id("none").unwrap()])).is_empty());
    for (text, is) in [("vs_1a", true), ("vs_", true), ("vs1", false), ("vs_..", false), ("vs_a/b", false), ("", false)]
    {
        assert_eq!(Store::is_id(text), is, "{text}");
    }
    assert!(!Store::is_id(&format!("vs_{}", "a".repeat(65))));
}
