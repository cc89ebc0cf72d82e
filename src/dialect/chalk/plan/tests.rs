//! What becomes of each spelling of an output, of supplied values, of bundles, expressions and switches.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::chalk::Switch;
use crate::config::Enforcement;
use crate::diagnostic::SourceFile;
use crate::dialect::chalk::expression;
use crate::dialect::chalk::query::Input;
use crate::dialect::{Decision, Index};

mod attacks;
mod expressions;

const CATALOGUE: &str = "
version: 1
features:
  user.id: {key: true}
  user.name:
  user.ssn:
  user.secret:
  user.copy: {inputs: [user.ssn]}
  user.avg: {inputs: [transaction.amount], joins: [transaction.user_id, user.id]}
  user.fraud_score: {default_version: 2}
  user.fraud_score@2:
  user.count__3600__:
  user.count__86400__:
  user.identity_id:
  user.identity: {has_one: identity, joins: [identity.id, user.identity_id]}
  user.hidden: {has_one: identity, joins: [identity.id, user.secret]}
  user.transactions: {has_many: transaction, joins: [transaction.user_id, user.id]}
  user.__chalk_observed_at__:
  identity.id: {key: true}
  identity.is_voip_phone:
  identity.phone:
  transaction.id: {key: true}
  transaction.user_id:
  transaction.amount:
  transaction.note:
  transaction.user: {has_one: user, joins: [transaction.user_id, user.id]}
  transaction.lines: {has_many: line, joins: [line.transaction_id, transaction.id]}
  line.transaction_id:
  line.price:
  line.cost:
bundles:
  fraud: [user.fraud_score, user.name]
  fraud@1.1.0: [user.fraud_score@2]
  leaky: [user.name, user.ssn]
  wide: [user.name, {feature: identity.is_voip_phone, as: user.identity.is_voip_phone},
         {feature: transaction.id, as: 'user.transactions[transaction.id]'}]
";

const RULES: &str = "
version: 1
features:
  user.ssn: {tags: [pii]}
  user.secret: {tags: [secret]}
  user.fraud_score@2: {tags: [v2]}
  user.count__86400__: {tags: [pii]}
  user.avg: {tags: [cleared]}
  identity.phone: {tags: [pii]}
  transaction.amount: {tags: [pii]}
  line.cost: {tags: [secret]}
roles:
  all: {tags: {pii: Allow, secret: Allow, v2: Allow}}
  some: {tags: {pii: AllowInternal, secret: Deny, cleared: AllowDownstream, v2: AllowInternal}}
  cutter: {tags: {pii: AllowInternal, secret: Deny, v2: AllowInternal}, mode: filter}
  explainer: {tags: {pii: AllowInternal, secret: Deny}, chalk: {allow: [explain, staleness]}}
  brancher: {tags: {pii: AllowInternal, secret: Deny}, chalk: {allow: [branch, staleness]}}
bindings: [{roles: [all, some, cutter, explainer, brancher], when: {sub: x}}]
";

fn policy_of(rules: &str) -> Policy {
    let source = |name: &str, text: &str| Arc::new(SourceFile { name: name.to_owned(), text: text.to_owned() });
    let (policy, report) = crate::policy::load(&[source("policy.yaml", rules)], &[source("catalogue.yaml", CATALOGUE)]);
    policy.unwrap_or_else(|| panic!("{report:?}"))
}

fn asked(outputs: &[&str], inputs: &[&str]) -> Query<'static> {
    let inputs = inputs.iter().map(|name| match name.strip_suffix("=null") {
        Some(name) => Input { name: name.to_owned().into(), has_null: true },
        None => Input { name: (*name).to_owned().into(), has_null: false },
    });
    Query {
        outputs: outputs.iter().map(|output| (*output).to_owned().into()).collect(),
        inputs: inputs.collect(),
        versioned: true,
        ..Query::default()
    }
}

fn plan(policy: &Policy, roles: &str, query: &Query<'_>) -> Plan {
    let roles: Vec<_> = roles.split_whitespace().map(|role| policy.role_id(role).unwrap()).collect();
    let index = Index::new(policy, Settings::default());
    let asker = Asker { roles: &roles, tables: &policy.tables(&roles), mode: policy.mode_of(&roles) };
    dialect::Query::Chalk(query).plan(policy, &index, asker, Enforcement::Enforce)
}

fn shape(fields: &Fields) -> String {
    let fields: BTreeMap<_, _> = fields.iter().collect();
    let shown: Vec<String> = fields
        .into_iter()
        .map(|(name, field)| match field {
            Field::Value => name.clone(),
            Field::Rows(columns) => format!("{name}<{}>", shape(columns)),
        })
        .collect();
    shown.join(" ")
}

/// `sent OUTPUTS -> FIELDS`, `refused NAMES` or `invalid TEXT`.
fn outcome(policy: &Policy, roles: &str, query: &Query<'_>) -> String {
    match plan(policy, roles, query).outcome {
        Outcome::Permit(dialect::Permit::Chalk(permit)) => {
            format!("sent {} -> {}", permit.outputs.join(" "), shape(&permit.fields))
        }
        Outcome::Permit(_) => panic!("a permit of another dialect"),
        Outcome::Refuse(names) => format!("refused {}", names.join(" ")),
        Outcome::Invalid(error) => format!("invalid {error}"),
    }
}

/// Role, outputs, what becomes of them where `user.id` is supplied.
fn cases(cases: &[(&str, &[&str], &str)]) {
    let policy = policy_of(RULES);
    for (role, outputs, expected) in cases {
        assert_eq!(outcome(&policy, role, &asked(outputs, &["user.id"])), *expected, "{role}: {outputs:?}");
    }
}

#[test]
fn a_canonical_name_is_one_feature() {
    cases(&[
        ("some", &["user.name"], "sent user.name -> user.name"),
        ("some", &["user.ssn"], "refused user.ssn"),
        ("some", &["user.copy"], "sent user.copy -> user.copy"),
        ("some", &["user.avg"], "sent user.avg -> user.avg"),
        ("some", &["user.name", "user.ssn"], "refused user.ssn"),
        ("cutter", &["user.name", "user.ssn"], "sent user.name -> user.name"),
        ("cutter", &["user.ssn"], "refused user.ssn"),
        ("some", &["user.name", "user.name"], "sent user.name -> user.name"),
        ("some", &["user.count__3600__"], "sent user.count__3600__ -> user.count__3600__"),
        ("some", &["user.count__86400__"], "refused user.count__86400__"),
    ]);
}

#[test]
fn what_is_not_canonical_is_unknown_and_reads_like_what_is_denied() {
    for output in [
        "USER.NAME",
        "User.name",
        "user.Name",
        " user.name",
        "user.name ",
        "user. name",
        "user.count_1h",
        "user.count__1h__",
        "user.count",
        "user.count[\"1h\"]",
        "user.name@1",
        "user.fraud_score@1",
        "user.fraud_score@02",
        "user.transactions.amount",
        "user.transactions.id",
        "user.transactions[id]",
        "user.transactions[transaction.id, transaction.note]",
        "user.transactions[]",
        "user.transactions[transaction]",
        "user.transactions[user.name]",
        "user.transactions[transaction.id]x",
        "user.transactions[transaction.id][transaction.id]",
        "user.transactions[transaction.lines.price]",
        "user.identity[identity.id]",
        "user.name[user.id]",
        "user[user.name]",
        "user.",
        ".name",
        "user..name",
        "",
        "now",
        "__chalk__.now",
        "index",
        "__id__",
        "user.__id__",
        "user.__distance__",
        "CHALK_TS",
        "get_score",
        "ghost",
        "ghost.name",
        "user.ghost",
        "user:name",
        "user.identity.ghost",
        "user.identity.id.more",
        "user.name.first",
        "fraud",
    ] {
        let policy = policy_of(RULES);
        for roles in ["all", "some", "cutter"] {
            let found = outcome(&policy, roles, &asked(&[output], &["user.id"]));
            assert_eq!(found, format!("refused {output}"), "{roles}");
        }
    }
}

#[test]
fn roots_and_relations_are_spelled_out() {
    let user = "user.avg user.copy user.count__3600__ user.count__86400__ user.fraud_score user.id user.identity_id user.name user.secret user.ssn";
    let allowed = "user.avg user.copy user.count__3600__ user.fraud_score user.id user.identity_id user.name";
    cases(&[
        ("all", &["user"], &format!("sent {user} -> {user}")),
        ("some", &["user"], "refused user"),
        ("cutter", &["user"], &format!("sent {allowed} -> {allowed}")),
        (
            "all",
            &["user.identity"],
            "sent user.identity.id user.identity.is_voip_phone user.identity.phone -> user.identity.id user.identity.is_voip_phone user.identity.phone",
        ),
        ("some", &["user.identity"], "refused user.identity"),
        (
            "cutter",
            &["user.identity"],
            "sent user.identity.id user.identity.is_voip_phone -> user.identity.id user.identity.is_voip_phone",
        ),
        ("some", &["user.identity.is_voip_phone"], "sent user.identity.is_voip_phone -> user.identity.is_voip_phone"),
        ("some", &["user.identity.phone"], "refused user.identity.phone"),
        ("some", &["user.hidden.is_voip_phone"], "refused user.hidden.is_voip_phone"),
        ("all", &["user.hidden.is_voip_phone"], "sent user.hidden.is_voip_phone -> user.hidden.is_voip_phone"),
    ]);
}

#[test]
fn rows_of_a_has_many_are_the_columns_that_are_permitted() {
    cases(&[
        (
            "all",
            &["user.transactions"],
            "sent user.transactions[transaction.amount,transaction.id,transaction.note,transaction.user_id] -> user.transactions<transaction.amount transaction.id transaction.note transaction.user_id>",
        ),
        ("some", &["user.transactions"], "refused user.transactions"),
        (
            "cutter",
            &["user.transactions"],
            "sent user.transactions[transaction.id,transaction.note,transaction.user_id] -> user.transactions<transaction.id transaction.note transaction.user_id>",
        ),
        (
            "some",
            &["user.transactions[transaction.id,transaction.note]"],
            "sent user.transactions[transaction.id,transaction.note] -> user.transactions<transaction.id transaction.note>",
        ),
        (
            "some",
            &["user.transactions[transaction.id,transaction.amount]"],
            "refused user.transactions[transaction.id,transaction.amount]",
        ),
        (
            "cutter",
            &["user.transactions[transaction.id,transaction.amount]"],
            "sent user.transactions[transaction.id] -> user.transactions<transaction.id>",
        ),
        ("cutter", &["user.transactions[transaction.amount]"], "refused user.transactions[transaction.amount]"),
        (
            "some",
            &["user.transactions[transaction.id]", "user.name", "user.transactions[transaction.note]"],
            "sent user.name user.transactions[transaction.id,transaction.note] -> user.name user.transactions<transaction.id transaction.note>",
        ),
        (
            "cutter",
            &["user.transactions[transaction.id,transaction.lines[line.price,line.cost],transaction.user.name]"],
            "sent user.transactions[transaction.id,transaction.user.name,transaction.lines[line.price]] -> user.transactions<transaction.id transaction.lines<line.price> transaction.user.name>",
        ),
        ("some", &["user.transactions[transaction.lines]"], "refused user.transactions[transaction.lines]"),
        ("some", &["user.transactions[transaction.user.ssn]"], "refused user.transactions[transaction.user.ssn]"),
    ]);
}

#[test]
fn a_bare_name_that_may_be_the_default_version_is_both() {
    let policy = policy_of(RULES);
    let mut query = asked(&["user.fraud_score"], &["user.id"]);
    assert_eq!(outcome(&policy, "some", &query), "sent user.fraud_score -> user.fraud_score");
    query.versioned = false;
    assert_eq!(outcome(&policy, "some", &query), "refused user.fraud_score");
    assert_eq!(outcome(&policy, "all", &query), "sent user.fraud_score -> user.fraud_score user.fraud_score@2");
    query.outputs = vec!["user.fraud_score@2".into()];
    assert_eq!(outcome(&policy, "some", &query), "refused user.fraud_score@2");
    assert_eq!(outcome(&policy, "all", &query), "sent user.fraud_score@2 -> user.fraud_score@2");
}

#[test]
fn an_input_that_may_be_either_version_supplies_neither() {
    let policy = policy_of(&RULES.replace("user.fraud_score@2: {tags: [v2]}", "user.fraud_score@2: {tags: [secret]}"));
    let mut query = asked(&["user.name"], &["user.id", "user.fraud_score"]);
    assert_eq!(plan(&policy, "some", &query).supplied, ["user.id", "user.fraud_score"]);
    assert_eq!(outcome(&policy, "some", &query), "sent user.name -> user.name");
    query.versioned = false;
    assert_eq!(outcome(&policy, "some", &query), "refused user.fraud_score");
    assert_eq!(plan(&policy, "all", &query).supplied, ["user.id"]);
    assert_eq!(outcome(&policy, "all", &query), "sent user.name -> user.name");
}

#[test]
fn supplied_values_are_looked_at() {
    let policy = policy_of(RULES);
    let of = |roles: &str, inputs: &[&str]| outcome(&policy, roles, &asked(&["user.name"], inputs));
    let sent = "sent user.name -> user.name";
    assert_eq!(of("some", &[]), sent);
    assert_eq!(of("some", &["user.id", "user.ssn"]), sent);
    assert_eq!(of("some", &["user.id", "user.secret"]), "refused user.secret");
    assert_eq!(of("cutter", &["user.id", "user.secret"]), "refused user.secret");
    assert_eq!(of("some", &["user.id", "user.secret=null"]), sent);
    assert_eq!(of("some", &["USER.SECRET"]), "refused USER.SECRET");
    assert_eq!(of("all", &["USER.ID"]), "refused USER.ID");
    assert_eq!(of("all", &["user.ghost=null"]), sent);
    assert_eq!(
        of("all", &["user.transactions"]),
        "invalid the input `user.transactions` holds rows, which are not followed"
    );
    let permit = |policy: &Policy, query: &Query<'_>| match plan(policy, "all", query).outcome {
        Outcome::Permit(dialect::Permit::Chalk(permit)) => permit,
        other => panic!("{other:?}"),
    };
    let query = asked(&["user.name"], &["user.id", "user.ssn"]);
    assert_eq!(permit(&policy, &query).inputs.len(), 2);
    let keys = policy_of(&format!("{RULES}\nsupplies: keys\n"));
    assert_eq!(permit(&keys, &query).inputs, BTreeSet::from(["user.id".to_owned()]));
}

#[test]
fn a_named_query_alone_is_its_bundle() {
    let policy = policy_of(RULES);
    let of = |roles: &str, name: &str, version: Option<&str>| {
        let query =
            Query { name: Some(name.to_owned()), version: version.map(str::to_owned), ..asked(&[], &["user.id"]) };
        outcome(&policy, roles, &query)
    };
    assert_eq!(of("some", "fraud", None), "sent user.fraud_score user.name -> user.fraud_score user.name");
    assert_eq!(of("some", "fraud", Some("1.1.0")), "refused fraud@1.1.0");
    assert_eq!(of("all", "fraud", Some("1.1.0")), "sent user.fraud_score@2 -> user.fraud_score@2");
    assert_eq!(of("all", "fraud", Some("9")), "refused fraud@9");
    assert_eq!(of("all", "ghost", None), "refused ghost");
    assert_eq!(of("some", "leaky", None), "refused leaky");
    assert_eq!(of("cutter", "leaky", None), "sent user.name -> user.name");
    assert_eq!(
        of("some", "wide", None),
        "sent user.name user.identity.is_voip_phone user.transactions[transaction.id] -> user.identity.is_voip_phone user.name user.transactions<transaction.id>"
    );
    assert_eq!(
        outcome(&policy, "all", &asked(&[], &["user.id"])),
        "invalid neither `outputs` nor `query_name` is given"
    );
    // A denied input beside a bundle tells nothing of the bundle.
    for name in ["leaky", "ghost"] {
        let query = Query { name: Some(name.to_owned()), ..asked(&[], &["user.secret"]) };
        assert_eq!(outcome(&policy, "some", &query), format!("refused {name}"));
    }
}

/// The expression of a fixture: what the client sends for it is recorded.
fn expressions() -> BTreeMap<String, Expression> {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/chalk/wire/expressions.jsonl"))
            .unwrap();
    let line = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let bytes = STANDARD.decode(line["expression"].as_str().unwrap()).unwrap();
        Some((line["name"].as_str().unwrap().to_owned(), expression::read(&bytes).ok()?))
    };
    text.lines().filter_map(line).collect()
}

#[test]
fn switches_are_for_those_who_are_allowed_them() {
    let switches = |switches: &[Switch]| Query {
        switches: switches.iter().copied().collect(),
        ..asked(&["user.name"], &["user.id"])
    };
    let of = |combine: &str, roles: &str, wanted: &[Switch]| {
        let policy = policy_of(&format!("{RULES}\ncombine: {combine}\n"));
        let name = outcome(&policy, roles, &switches(wanted));
        if name.starts_with("sent") { "sent".to_owned() } else { name }
    };
    use Switch::{Branch, Explain, Staleness};
    for (combine, roles, wanted, expected) in [
        ("most_restrictive", "explainer", &[Explain][..], "sent"),
        ("most_restrictive", "some", &[Explain], "invalid `explain` is not allowed for this caller"),
        ("most_restrictive", "explainer some", &[Explain], "invalid `explain` is not allowed for this caller"),
        ("most_restrictive", "explainer brancher", &[Staleness], "sent"),
        ("most_permissive", "explainer some", &[Explain], "sent"),
        ("most_permissive", "explainer brancher", &[Explain, Staleness], "sent"),
        (
            "most_permissive",
            "explainer brancher",
            &[Explain, Branch],
            "invalid `explain`, `branch` are not allowed together for this caller",
        ),
    ] {
        assert_eq!(of(combine, roles, wanted), expected, "{combine} {roles} {wanted:?}");
    }
    // A role that may not use the switch does not answer: what it alone may have is not returned.
    let policy = policy_of(&format!("{RULES}\ncombine: most_permissive\n"));
    let query = Query { switches: BTreeSet::from([Explain]), ..asked(&["user.ssn"], &["user.id"]) };
    assert_eq!(outcome(&policy, "explainer all", &query), "refused user.ssn");
    let query = asked(&["user.ssn"], &["user.id"]);
    assert!(outcome(&policy, "explainer all", &query).starts_with("sent"));
}

#[test]
fn the_primary_key_comes_back_where_it_is_supplied_or_may_be_returned() {
    let policy =
        policy_of(&RULES.replace("features:\n", "features:\n  user.id: {tags: [pii]}\n  identity.id: {tags: [pii]}\n"));
    let of = |outputs: &[&str], inputs: &[&str]| match plan(&policy, "some", &asked(outputs, inputs)).outcome {
        Outcome::Permit(dialect::Permit::Chalk(permit)) => permit.primary_key,
        other => panic!("{other:?}"),
    };
    assert!(of(&["user.name"], &["user.id"]));
    assert!(!of(&["user.name"], &[]));
    assert!(!of(&["user.name"], &["user.id=null"]));
    assert!(!of(&["user.name", "identity.is_voip_phone"], &["user.id"]));
    assert!(
        !of(&["user.name", "user.identity.is_voip_phone"], &["user.id"]),
        "the row of a has-one has a key of its own"
    );
    assert!(of(&["user.identity.is_voip_phone"], &["user.id", "identity.id"]));
    assert!(of(&["transaction.note"], &[]), "a key that may be returned");
    assert!(!of(&["line.price"], &[]), "of a namespace without a key nothing is known");
}

#[test]
fn names_in_settings_are_namespaces_or_what_may_be_returned() {
    let policy = policy_of(RULES);
    let of = |named: &str| {
        let query = Query {
            switches: BTreeSet::from([Switch::Staleness]),
            named: BTreeSet::from([named.to_owned()]),
            ..asked(&["user.name"], &["user.id"])
        };
        outcome(&policy, "explainer", &query)
    };
    for fine in ["user.name", "user", "identity"] {
        assert_eq!(of(fine), "sent user.name -> user.name", "{fine}");
    }
    for refused in ["user.ssn", "user.ghost", "USER"] {
        assert_eq!(of(refused), format!("refused {refused}"));
    }
}

#[test]
fn the_record_says_what_was_decided_and_read() {
    let policy = policy_of(RULES);
    let plan = plan(&policy, "cutter", &asked(&["user.name", "user.transactions", "user.avg"], &["user.id"]));
    assert_eq!(plan.decision, Decision::Filtered);
    assert_eq!(plan.outputs, ["user.name", "user.transactions", "user.avg"]);
    assert_eq!(plan.supplied, ["user.id"]);
    let refused: Vec<_> = plan.refused.iter().map(|r| (&*r.feature, r.permission.name(), r.tag.as_deref())).collect();
    assert_eq!(refused, [("transaction.amount", "AllowInternal", Some("pii"))]);
}
