//! Queries that were written to get round the rest.

use super::*;

#[test]
fn a_default_version_that_the_catalogue_does_not_have_denies_the_bare_name() {
    // Without the header the server answers the bare name with version 3, of which nothing is known here.
    let rules = RULES.replace("features:\n", "features:\n  user.name: {default_version: 3}\n");
    let policy = policy_of(&rules);
    let of = |outputs: &[&str], inputs: &[&str], versioned| {
        let mut query = asked(outputs, inputs);
        query.versioned = versioned;
        outcome(&policy, "all", &query)
    };
    assert_eq!(of(&["user.name"], &["user.id"], true), "sent user.name -> user.name");
    assert_eq!(of(&["user.name"], &["user.id"], false), "refused user.name");
    assert_eq!(of(&["user"], &["user.id"], false), "refused user");
    assert_eq!(of(&["transaction.user.name"], &[], false), "refused transaction.user.name");
    // Nor is it known which version is supplied.
    let mut query = asked(&["user.ssn"], &["user.id", "user.name"]);
    assert_eq!(plan(&policy, "all", &query).supplied, ["user.id", "user.name"]);
    query.versioned = false;
    assert_eq!(plan(&policy, "all", &query).supplied, ["user.id"]);

    let policy = policy_of(&RULES.replace("user.ssn: {tags", "user.ssn: {default_version: 3, tags"));
    let expression = expressions().remove("alias").unwrap();
    let query = Query { expressions: vec![expression], ..asked(&[], &["user.id"]) };
    assert_eq!(outcome(&policy, "all", &query), "refused user.x");
}

/// A policy of which `few` and `other` each may what the other may not.
const TWO: &str = "
version: 1
combine: most_permissive
features:
  user.ssn: {tags: [pii]}
  user.name: {tags: [plain]}
  user.identity_id: {tags: [way]}
  user.fraud_score: {tags: [plain]}
  user.fraud_score@2: {tags: [pii]}
  identity.phone: {tags: [pii]}
  transaction.user_id: {tags: [way]}
  transaction.amount: {tags: [pii]}
roles:
  few: {tags: {way: Deny, pii: Allow, plain: AllowInternal}}
  other: {tags: {way: Allow, pii: AllowInternal, plain: Allow}}
bindings: [{roles: [few, other], when: {sub: x}}]
";

#[test]
fn two_roles_that_each_answer_alone_make_no_way_together() {
    let policy = policy_of(TWO);
    let of = |roles: &str, output: &str| outcome(&policy, roles, &asked(&[output], &["user.id"]));
    for output in
        ["user.identity.phone", "user.transactions[transaction.amount]", "user.transactions[transaction.user.ssn]"]
    {
        for roles in ["few", "other", "few other"] {
            assert_eq!(of(roles, output), format!("refused {output}"), "{roles}");
        }
    }
    // What stands for either of two versions is one output, too.
    let mut query = asked(&["user.fraud_score"], &["user.id"]);
    query.versioned = false;
    for roles in ["few", "other", "few other"] {
        assert_eq!(outcome(&policy, roles, &query), "refused user.fraud_score", "{roles}");
    }
    // Side by side each has what it may.
    let both = asked(&["user.name", "user.ssn", "user.identity.is_voip_phone"], &["user.id"]);
    assert!(outcome(&policy, "few other", &both).starts_with("sent user.name user.ssn user.identity.is_voip_phone"));
}

#[test]
fn two_roles_that_each_answer_alone_read_no_expression_together() {
    let policy = policy_of(TWO);
    let read = |ways: &[&[&str]]| {
        let segment = |name: &&str| expression::Segment { name: (*name).to_owned(), rows: false };
        let path = |way: &&[&str]| expression::Path { segments: way.iter().map(segment).collect(), key: None };
        let reads = ways.iter().map(|way| expression::Read { path: path(way), outside: None, rows: false }).collect();
        let alias = expressions().remove("alias").unwrap();
        Query { expressions: vec![Expression { reads, ..alias }], ..asked(&[], &["user.id"]) }
    };
    let both = read(&[&["user", "ssn"], &["user", "name"]]);
    let over = read(&[&["user", "identity", "phone"]]);
    for query in [both, over] {
        for roles in ["few", "other", "few other"] {
            assert_eq!(outcome(&policy, roles, &query), "refused user.x", "{roles}");
        }
    }
    assert_eq!(outcome(&policy, "few other", &read(&[&["user", "ssn"]])), "sent  -> user.x");
}

#[test]
fn a_null_tells_nothing_of_what_there_is() {
    let policy = policy_of(RULES);
    // A denied feature, one that there is not, and a denied relation.
    for name in ["user.secret", "user.ghost", "user.hidden"] {
        let query = asked(&["user.name"], &["user.id", &format!("{name}=null")]);
        assert_eq!(outcome(&policy, "some", &query), "sent user.name -> user.name", "{name}");
        let given = asked(&["user.name"], &["user.id", name]);
        assert_eq!(outcome(&policy, "some", &given), format!("refused {name}"));
    }
    let query = asked(&["user.name"], &["user.id", "user.ghost=null", "user.hidden=null", "user.secret=null"]);
    let Outcome::Permit(dialect::Permit::Chalk(permit)) = plan(&policy, "some", &query).outcome else { panic!() };
    assert_eq!(permit.inputs, BTreeSet::from(["user.id".to_owned(), "user.secret".to_owned()]));
}

#[test]
fn how_many_were_taken_out_tells_nothing_of_what_there_is() {
    let policy = policy_of(&RULES.replace(
        "  identity.phone:",
        "  identity.id: {tags: [pii]}\n  identity.is_voip_phone: {tags: [pii]}\n  identity.phone:",
    ));
    let of = |output: &str| match plan(&policy, "cutter", &asked(&["user.name", output], &["user.id"])).outcome {
        Outcome::Permit(dialect::Permit::Chalk(permit)) => permit.filtered,
        other => panic!("{other:?}"),
    };
    for output in ["user.ssn", "user.ghost", "identity", "ghost", "user.identity", "user", "user.transactions"] {
        assert_eq!(of(output), 1, "{output}");
    }
    assert_eq!(of("user.copy"), 0);
}

#[test]
fn a_setting_names_every_version_that_its_name_may_stand_for() {
    let policy = policy_of(RULES);
    let query = |versioned| Query {
        switches: BTreeSet::from([Switch::Staleness]),
        named: BTreeSet::from(["user.fraud_score".to_owned()]),
        versioned,
        ..asked(&["user.name"], &["user.id"])
    };
    let policy_without = policy_of(&RULES.replace("explainer: {tags: {", "explainer: {tags: {v2: Deny, "));
    assert_eq!(outcome(&policy, "explainer", &query(false)), "sent user.name -> user.name");
    assert_eq!(outcome(&policy_without, "explainer", &query(true)), "sent user.name -> user.name");
    assert_eq!(outcome(&policy_without, "explainer", &query(false)), "refused user.fraud_score");
}

/// A catalogue with a namespace of `width` features beside a relation of it to itself.
fn broad(width: usize) -> Policy {
    let mut text = String::from(
        "version: 1\nroles: {all: {}}\nbindings: [{roles: [all], when: {sub: x}}]\nfeatures:\n  a.up: {has_one: a}\n  a.many: {has_many: a}\n",
    );
    (0..width).for_each(|at| text.push_str(&format!("  a.f{at}:\n")));
    let source = Arc::new(SourceFile { name: "policy.yaml".to_owned(), text });
    let (policy, report) = crate::policy::load(&[source], &[]);
    policy.unwrap_or_else(|| panic!("{report:?}"))
}

#[test]
fn few_bytes_are_no_long_decision() {
    let policy = broad(1000);
    let of = |outputs: Vec<String>| {
        let started = std::time::Instant::now();
        let outputs = outputs.into_iter().map(Into::into).collect();
        let query = Query { outputs, versioned: true, ..Query::default() };
        let found = outcome(&policy, "all", &query);
        let found = found.split_at_checked(60).map_or(&*found, |(start, _)| start).to_owned();
        (found, started.elapsed())
    };
    let many = "invalid what is asked for stands for more than 100000 features";
    let ways = |n: usize, end: &str| format!("a{}{end}", ".up".repeat(n));
    let columns: Vec<String> = (0..30_000).map(|n| format!("a{}.f{}", ".up".repeat(n / 1000 % 2), n % 1000)).collect();
    for (outputs, expected) in [
        (vec!["a".to_owned(); 10_000], many),
        (vec!["a.many".to_owned(); 10_000], many),
        (vec![ways(30_000, ".up")], many),
        (vec![ways(200, "")], many),
        (vec![format!("a.many[{}]", vec!["a.up"; 200].join(","))], many),
        (vec!["a.f1".to_owned(); 10_000], "sent a.f1 -> a.f1"),
        (vec![format!("a.many[{}]", columns.join(","))], "sent a.many[a.f0,a.f1"),
    ] {
        let (found, took) = of(outputs.clone());
        let wanted = expected.get(..60).unwrap_or(expected);
        assert!(found.starts_with(wanted), "{:.60}: {found}", outputs[0]);
        assert!(took < std::time::Duration::from_secs(5), "{:.60}: {took:?}", outputs[0]);
    }
}

#[test]
fn an_upload_writes_every_version_that_its_names_may_stand_for() {
    let roles = |writes: &str| policy_of(&RULES.replace("  all: {", &format!("  all: {{writes: [{writes}], ")));
    let of = |policy: &Policy, feature: &str, versioned: bool| {
        let (features, switches) = ([feature.to_owned()], BTreeSet::new());
        let all = [policy.role_id("all").unwrap()];
        let asker = Asker { roles: &all, tables: &policy.tables(&all), mode: Mode::Reject };
        let upload = dialect::Query::ChalkUpload { features: &features, switches: &switches, versioned };
        let plan = upload.plan(policy, &Index::new(policy, Settings::default()), asker, Enforcement::Enforce);
        matches!(plan.outcome, Outcome::Permit(_))
    };
    let first = roles("user.fraud_score, user.name");
    assert!(of(&first, "user.fraud_score", true));
    assert!(!of(&first, "user.fraud_score", false), "the server would write version 2");
    assert!(of(&first, "user.name", false));
    assert!(!of(&first, "user.fraud_score@2", true));
    let both = roles("user.fraud_score, 'user.fraud_score@2'");
    assert!(of(&both, "user.fraud_score", false));
}
