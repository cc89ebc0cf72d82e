//! What an expression reads, and the name that it takes.

use super::*;

/// Rules over the catalogue, and beside it what the recorded expressions read.
fn wide() -> Policy {
    let more = "
  user.limit:
  user.score:
  user.score@2:
  user.identity.calls__86400__:
  identity.calls__86400__:
  transaction.name:
  transaction.at:
";
    policy_of(&RULES.replace("features:\n", &format!("features:{more}")))
}

#[test]
fn an_expression_may_read_what_may_be_returned() {
    let policy = wide();
    let expressions = expressions();
    let of = |roles: &str, name: &str| {
        let query = Query { expressions: vec![expressions[name].clone()], ..asked(&[], &["user.id"]) };
        let plan = plan(&policy, roles, &query);
        let refused: Vec<&str> = plan.refused.iter().map(|refusal| &*refusal.feature).collect();
        let outcome = match &plan.outcome {
            Outcome::Permit(dialect::Permit::Chalk(permit)) => {
                format!("sent {:?} {}", permit.expressions, shape(&permit.fields))
            }
            other => format!("{other:?}"),
        };
        format!("{outcome}; {}; {}", plan.reads.join(" "), refused.join(" "))
    };
    for (roles, name, expected) in [
        ("all", "alias", "sent [0] user.x; user.ssn; "),
        ("some", "alias", "Refuse([\"user.x\"]); user.ssn; user.ssn"),
        ("cutter", "alias", "Refuse([\"user.x\"]); user.ssn; user.ssn"),
        ("some", "hop", "sent [0] user.x x; user.identity.is_voip_phone; "),
        ("all", "sum", "sent [0] user.x x; user.transactions[] user.transactions[].amount; "),
        ("some", "sum", "Refuse([\"x\"]); user.transactions[] user.transactions[].amount; transaction.amount"),
        ("some", "count", "sent [0] user.x x; user.transactions; "),
        ("some", "window_call", "sent [0] user.x x; user.count[\"1h\"]; "),
        ("some", "window_subscript", "sent [0] user.x x; user.count[\"1h\"]; "),
        ("some", "arithmetic", "sent [0] user.x x; user.limit user.score; "),
        ("some", "array_agg", "sent [0] user.x x; user.transactions[] user.transactions[].name; "),
    ] {
        assert_eq!(of(roles, name), expected, "{roles} {name}");
    }
}

#[test]
fn a_name_beside_expressions_alone_adds_no_outputs() {
    let policy = wide();
    let alias = expressions().remove("alias").unwrap();
    let of = |outputs: &[&str]| {
        let named = Some("fraud".to_owned());
        outcome(
            &policy,
            "all",
            &Query { expressions: vec![alias.clone()], name: named, ..asked(outputs, &["user.id"]) },
        )
    };
    assert_eq!(of(&[]), "invalid `query_name` stands beside expressions alone");
    assert_eq!(of(&["user.name"]), "sent user.name -> user.name user.x");
}

#[test]
fn an_expression_takes_no_name_that_is_taken() {
    let policy = wide();
    let alias = expressions().remove("alias").unwrap();
    let of = |name: &str, namespace: &str, outputs: &[&str]| {
        let expression = Expression { name: name.to_owned(), namespace: namespace.to_owned(), ..alias.clone() };
        outcome(&policy, "all", &Query { expressions: vec![expression], ..asked(outputs, &["user.id"]) })
    };
    assert_eq!(of("x", "user", &["user.name"]), "sent user.name -> user.name user.x");
    for (name, namespace) in [("ssn", "user"), ("fraud", ""), ("user", ""), ("name", ""), ("ghost", "user")] {
        let expected = format!("invalid the name `{name}` of an expression is taken");
        assert_eq!(of(name, namespace, &["user.name", "user.ghost"]), expected);
    }
    let twice = Query { expressions: vec![alias.clone(), alias], ..asked(&[], &["user.id"]) };
    assert_eq!(outcome(&policy, "all", &twice), "invalid the name `x` of an expression is taken");
}
