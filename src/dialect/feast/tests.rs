//! The whole way of a query: read, decided, rewritten, and the answer verified. `request`, `plan`, `keys`, `service`,
//! `answer`, `hostile` and `calls` (gRPC) take a step each; `random` checks all of them in a random `world` against a second `opinion`.

/// A recorded answer of a real server, asked for full feature names (but `dup_json_key`).
macro_rules! recorded {
    ($name:literal) => {
        include_str!(concat!("../../../../tests/fixtures/feast/online/", $name, ".json"))
    };
}

mod answer;
mod calls;
mod hostile;
mod keys;
mod opinion;
mod plan;
mod random;
mod request;
mod service;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::config::Enforcement;
use crate::diagnostic::SourceFile;
use crate::dialect::{self, Answer, Asker, Outcome, Plan};
use crate::policy::Policy;

/// The catalogue that the import makes of the recorded registry.
const SHOP: &str = include_str!("../../../tests/fixtures/feast/catalogue.yaml");

/// Roles over the shop. `analyst` and `cutter` are denied pii, `scoring` and `inside` may use but not return it;
/// `cutter` and `inside` are in filter mode.
const ROLES: &str = "
roles:
  analyst: {tags: {pii: Deny}}
  cutter: {tags: {pii: Deny}, mode: filter}
  scoring: {tags: {pii: AllowInternal}}
  inside: {tags: {pii: AllowInternal}, mode: filter}
  all: {}
  nothing: {default: Deny}
";

pub(super) fn source(name: &str, text: &str) -> Arc<SourceFile> {
    Arc::new(SourceFile { name: name.into(), text: text.into() })
}

pub(super) fn loaded(rules: &str, catalogue: &[Arc<SourceFile>]) -> Policy {
    let (policy, report) = crate::policy::load(&[source("policy.yaml", &format!("version: 1\n{rules}"))], catalogue);
    policy.unwrap_or_else(|| panic!("{report}"))
}

/// A policy whose features are the catalogue.
fn alone(rules: &str) -> Policy {
    loaded(rules, &[])
}

/// The usual roles over the shop.
fn shop() -> Policy {
    over_shop(ROLES)
}

/// Rules over the shop.
pub(super) fn over_shop(rules: &str) -> Policy {
    loaded(rules, &[source("catalogue.yaml", SHOP)])
}

/// Decides a body for a caller with these roles, separated by spaces.
fn planned(policy: &Policy, roles: &str, body: &str) -> Plan {
    let request = read(body.as_bytes()).unwrap_or_else(|error| panic!("{body}: {error}"));
    let roles: Vec<_> =
        roles.split_whitespace().map(|role| policy.role_id(role).unwrap_or_else(|| panic!("no role {role}"))).collect();
    plan(policy, &roles, &request)
}

/// Decides a request for a caller with these roles.
fn plan(policy: &Policy, roles: &[u16], request: &Request<'_>) -> Plan {
    let index = dialect::Index::new(policy, dialect::chalk::plan::Settings::default());
    let asker = Asker { roles, tables: &policy.tables(roles), mode: policy.mode_of(roles) };
    dialect::Query::Feast(request).plan(policy, &index, asker, Enforcement::Enforce)
}

/// The permit of a plan that has one.
fn permitted(plan: Plan) -> Permit {
    match plan.outcome {
        Outcome::Permit(dialect::Permit::Feast(permit)) => *permit,
        other @ (Outcome::Permit(_) | Outcome::Refuse(_) | Outcome::Invalid(_)) => {
            panic!("not permitted: {other:?}")
        }
    }
}

/// What becomes of a body: `sent`, `refused` or `invalid`, and the text of it.
fn sent(policy: &Policy, roles: &str, body: &str) -> String {
    let request = match read(body.as_bytes()) {
        Ok(request) => request,
        Err(error) => return format!("invalid {error}"),
    };
    match planned(policy, roles, body).outcome {
        Outcome::Permit(dialect::Permit::Feast(permit)) => {
            format!("sent {}", String::from_utf8(rewrite(&request, &permit)).unwrap())
        }
        Outcome::Permit(_) => panic!("a permit of another dialect"),
        Outcome::Refuse(names) => format!("refused {}", names.join(" ")),
        Outcome::Invalid(error) => format!("invalid {error}"),
    }
}

/// Roles, body, what becomes of it.
fn cases(policy: &Policy, cases: &[(&str, &str, &str)]) {
    for (roles, body, expected) in cases {
        assert_eq!(sent(policy, roles, body), *expected, "{roles}: {body}");
    }
}

/// What becomes of the answer to a body: `as it came`, `cut` with the number of columns dropped, or `unreadable`.
fn answered(policy: &Policy, roles: &str, body: &str, answer: &str) -> String {
    let request = read(body.as_bytes()).unwrap_or_else(|error| panic!("{body}: {error}"));
    let permit = permitted(planned(policy, roles, body));
    match filter(answer.as_bytes(), &request, &permit) {
        Ok(Answer::AsItCame) => "as it came".to_owned(),
        Ok(Answer::Cut { body, dropped }) => {
            format!("cut {dropped} {}", String::from_utf8(body.whole(answer.as_bytes())).unwrap())
        }
        Err(error) => format!("unreadable {error}"),
    }
}

const TWO: &str = r#"{"features":["customer_profile:vip","customer_profile:age"],"entities":{"customer_id":[1]}}"#;

/// An answer of these columns; the n-th one holds the number n.
fn columns(names: &[&str]) -> String {
    let entries: Vec<String> =
        (0..names.len()).map(|n| format!(r#"{{"values":[{n}],"statuses":["PRESENT"]}}"#)).collect();
    let names = serde_json::to_string(names).unwrap();
    format!(r#"{{"results":[{}],"metadata":{{"feature_names":{names}}}}}"#, entries.join(","))
}

/// All of a plan, spelled in one order.
fn spelled(plan: &Plan) -> String {
    let outcome = match &plan.outcome {
        Outcome::Permit(dialect::Permit::Feast(permit)) => {
            let columns: BTreeMap<_, _> = permit.columns.iter().collect();
            let Permit { wanted, columns: _, entities, filtered, full_names, views, answered: _ } = &**permit;
            format!("{wanted:?} {columns:?} {entities:?} {filtered} {full_names} {views:?}")
        }
        other @ (Outcome::Permit(_) | Outcome::Refuse(_) | Outcome::Invalid(_)) => format!("{other:?}"),
    };
    let Plan {
        outcome: _,
        decision,
        enforcement,
        bundle,
        outputs,
        supplied,
        reads,
        refused,
        declassified,
        mode,
        cost: _,
    } = plan;
    format!(
        "{outcome} {decision:?} {enforcement:?} {bundle:?} {outputs:?} {supplied:?} {reads:?} {refused:?} {declassified:?} {mode:?}"
    )
}

fn fingerprint(request: &Request<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    request.fingerprint(&mut out);
    out
}

#[test]
fn bodies_that_mean_the_same_have_one_fingerprint_and_one_plan() {
    let policy = shop();
    let bodies = [
        r#"{"features":["customer_profile:vip"],"entities":{"customer_id":[1]}}"#,
        r#" {"entities" : {"customer_id" : ["a", {"b": [2e9]}]}, "features" : ["customer_profile:vip"], "x" : {}} "#,
        r#"{"feature_service":"","features":["customer_profile:vip"],"entities":{"customer_id":[1]},"full_feature_names":false}"#,
        r#"{"include_feature_view_version_metadata":true,"features":["customer_profile:vip"],"entities":{"customer_id":[1]}}"#,
    ];
    let first = fingerprint(&read(bodies[0].as_bytes()).unwrap());
    for body in bodies {
        assert_eq!(fingerprint(&read(body.as_bytes()).unwrap()), first, "{body}");
        assert_eq!(
            spelled(&planned(&policy, "analyst", body)),
            spelled(&planned(&policy, "analyst", bodies[0])),
            "{body}"
        );
    }
    // A list in another spelling is found by itself, and decided alike.
    for list in [r#"[ "customer_profile:vip"]"#, r#"["customer_profile:v\u0069p"]"#] {
        let body = bodies[0].replace(r#"["customer_profile:vip"]"#, list);
        assert_ne!(fingerprint(&read(body.as_bytes()).unwrap()), first, "{body}");
        let [plan, as_before] = [&body, bodies[0]].map(|body| spelled(&planned(&policy, "analyst", body)));
        assert_eq!(plan, as_before, "{body}");
    }
}

#[test]
fn bodies_that_mean_something_else_have_another_fingerprint() {
    let bodies = [
        r#"{"features":["v:f"],"entities":{"k":[1]}}"#,
        r#"{"features":["v:f"],"entities":{"k":[1]},"full_feature_names":true}"#,
        r#"{"features":["v@latest:f"],"entities":{"k":[1]}}"#,
        r#"{"features":["v:f"],"entities":{"k":[null]}}"#,
        r#"{"features":["v:f","v:f"],"entities":{"k":[1]}}"#,
        r#"{"features":["v:f","k"],"entities":{"k":[1]}}"#,
        r#"{"features":["v:f"],"entities":{"k":[1],"v:f":[1]}}"#,
        r#"{"features":["v:f"],"entities":{"v:f":[1],"k":[1]}}"#,
        r#"{"features":["v:fk"],"entities":{"k":[1]}}"#,
        r#"{"feature_service":"v:f","entities":{"k":[1]}}"#,
        r#"{"features":["f\u0003\u0000\u0000\u0000v:f"],"entities":{"k":[1]}}"#,
        r#"{"features":["v:f"],"entities":{"k":[1],"e\u0001\u0000\u0000\u0000k":[1]}}"#,
    ];
    let prints: Vec<Vec<u8>> = bodies.iter().map(|body| fingerprint(&read(body.as_bytes()).unwrap())).collect();
    for (at, print) in prints.iter().enumerate() {
        let same: Vec<&str> = (0..at).filter(|other| prints[*other] == *print).map(|other| bodies[other]).collect();
        assert_eq!(same, [""; 0], "{}", bodies[at]);
    }
}

#[test]
fn one_plan_serves_every_request_of_its_fingerprint() {
    // The metadata switch is no part of the plan: with the same plan it is forwarded and let back, or not.
    let policy = shop();
    let asked = r#"{"features":["customer_profile:vip"],"entities":{"customer_id":[1]},"include_feature_view_version_metadata":true}"#;
    let not_asked = r#"{"features":["customer_profile:vip"],"entities":{"customer_id":[ 7 ]}}"#;
    let permit = permitted(planned(&policy, "all", not_asked));
    let answer = br#"{"results":[{"values":[false]}],"metadata":{"feature_names":["customer_profile__vip"],"feature_view_metadata":[{"name":"customer_profile"}]}}"#;
    let mut seen = Vec::new();
    for body in [asked, not_asked] {
        let request = read(body.as_bytes()).unwrap();
        seen.push(String::from_utf8(rewrite(&request, &permit)).unwrap());
        let Ok(Answer::Cut { body, dropped: 0 }) = filter(answer, &request, &permit) else { panic!("{body}") };
        seen.push(String::from_utf8(body.whole(answer)).unwrap());
    }
    assert_eq!(
        seen,
        [
            r#"{"features":["customer_profile:vip"],"entities":{"customer_id":[1]},"full_feature_names":true,"include_feature_view_version_metadata":true}"#,
            r#"{"results":[{"values":[false]}],"metadata":{"feature_names":["vip"],"feature_view_metadata":[{"name":"customer_profile"}]}}"#,
            r#"{"features":["customer_profile:vip"],"entities":{"customer_id":[ 7 ]},"full_feature_names":true}"#,
            r#"{"results":[{"values":[false]}],"metadata":{"feature_names":["vip"]}}"#,
        ]
    );
}
