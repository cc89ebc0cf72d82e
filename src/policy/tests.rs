use super::*;
use decide::{Name, Resolved};

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
