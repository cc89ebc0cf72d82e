use super::*;
use decide::{Name, Resolved};

use proptest::prelude::*;
use serde_json::json;

fn source(name: &str, text: &str) -> Arc<SourceFile> {
    Arc::new(SourceFile { name: name.into(), text: text.into() })
}

fn vectors(text: &str) -> usize {
    let mut count = 0;
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let name = case["name"].as_str().unwrap();
        let (policy, report) = load(&[source("policy.yaml", &case["policy"].to_string())], &[]);
        let policy = policy.unwrap_or_else(|| panic!("{name}: {report}"));
        let list = |key: &str| -> Vec<String> { serde_json::from_value(case[key].clone()).unwrap() };
        let (roles, supplied, outputs) = (list("roles"), list("supplied"), list("outputs"));
        let roles: Vec<RoleId> = roles.iter().map(|role| policy.role_id(role).unwrap()).collect();
        let tables = policy.tables(&roles);
        let supplied_names: Vec<Name<'_>> = supplied.iter().map(|s| Name::of(&policy, s)).collect();
        let output_names: Vec<Name<'_>> = outputs.iter().map(|s| Name::of(&policy, s)).collect();
        let resolved = Resolved::new(&policy, &tables, &supplied_names);
        let decision = resolved.decide(&output_names);

        let expected = case["expect"]["permissions"].as_object().unwrap();
        for (feature, permission) in expected {
            let verdict = resolved.verdict(&Name::of(&policy, feature), false);
            assert_eq!(verdict.permission.name(), permission, "{name}: {feature}");
        }
        let mut refused: Vec<&str> = decision.refused_supplied.iter().map(|at| supplied[*at].as_str()).collect();
        refused.extend(
            outputs.iter().zip(&decision.outputs).filter(|(_, v)| !v.permission.returnable()).map(|(o, _)| o.as_str()),
        );
        refused.sort_unstable();
        refused.dedup();
        let wanted: Vec<String> = serde_json::from_value(case["expect"]["refused"].clone()).unwrap();
        assert_eq!(refused, wanted, "{name}: refused");
        assert_eq!(decision.permitted, case["expect"]["permitted"].as_bool().unwrap(), "{name}: permitted");
        count += 1;
    }
    count
}

#[test]
fn the_handmade_vectors_hold() {
    assert_eq!(vectors(include_str!("../../tests/fixtures/vectors/handmade.jsonl")), 93);
}

#[test]
fn the_generated_vectors_hold() {
    assert_eq!(vectors(include_str!("../../tests/fixtures/vectors/generated.jsonl")), 800);
}

/// One of few texts, so that they meet; a list of them; another kind.
fn issuers() -> impl Strategy<Value = Value> {
    let text = prop::sample::select(vec!["a", "b", "c d", ""]).prop_map(Value::from);
    prop_oneof![
        4 => text.clone(),
        1 => prop::collection::vec(text, 1..3).prop_map(Value::from),
        1 => prop::sample::select(vec![json!(1), json!(true), json!([1, "b"])]),
    ]
}

fn bound() -> impl Strategy<Value = Value> {
    let claims = prop::sample::select(vec!["iss", "/iss", "x", "/x", "/iss/0", "cert.cn", "scope"]);
    let when = prop::collection::btree_map(claims, issuers(), 1..3);
    let certificate = |when: &std::collections::BTreeMap<&str, Value>| {
        when.contains_key("cert.cn") && (when.contains_key("iss") || when.contains_key("/iss"))
    };
    let when = when.prop_filter("a caller is one or the other", move |when| !certificate(when));
    (when, 0..5u8).prop_map(|(when, role)| json!({"roles": [format!("r{role}")], "when": when}))
}

proptest! {
    /// A caller is held against the bindings of its issuer alone, and gets what all of them would give.
    #[test]
    fn the_bindings_of_an_issuer_are_those_that_match(
        bindings in prop::collection::vec(bound(), 0..12),
        callers in prop::collection::vec(
            prop::collection::btree_map(
                prop::sample::select(vec!["iss", "x", "cert.cn", "scope"]),
                prop_oneof![6 => issuers(), 1 => Just(json!(null)), 1 => Just(json!({"0": "a"}))],
                0..4,
            ),
            1..8,
        ),
    ) {
        let roles: Map<String, Value> = (0..5).map(|role| (format!("r{role}"), json!({}))).collect();
        let text = json!({"version": 1, "roles": roles, "bindings": bindings}).to_string();
        let (policy, report) = load(&[source("policy.yaml", &text)], &[]);
        let Some(policy) = policy else { panic!("{report}") };
        for caller in callers {
            let claims: Map<String, Value> = caller.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            let matching = policy.bindings.iter().filter(|binding| binding.matches(&claims));
            let each: BTreeSet<RoleId> = matching.flat_map(|binding| binding.roles.iter().copied()).collect();
            prop_assert_eq!(policy.roles_of(&claims), Vec::from_iter(each));
        }
    }
}
