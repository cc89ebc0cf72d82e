use super::*;

fn by_bundle(unnamed: &str) -> Description {
    route(&format!(
        "path: /read
  names: \"profile.{{name}}\"
  unnamed: {unnamed}
  request:
    bundle: {{body: /bundle}}
    supplied: [{{body: /rows/*}}, {{body: /passed, takes: any, names: \"profile.{{name}}\"}}]"
    ))
}

#[test]
fn a_bundle_is_decided_by_its_members_and_refused_by_its_name() {
    let (policy, reject) = (policy(POLICY), by_bundle("reject"));
    for (roles, body, expected) in [
        ("all", r#"{"bundle":"whole"}"#, r#"sent /read {"bundle":"whole"}"#),
        ("analyst", r#"{"bundle":"plain"}"#, r#"sent /read {"bundle":"plain"}"#),
        ("analyst", r#"{"bundle":"whole"}"#, "refused whole"),
        ("strict", r#"{"bundle":"whole"}"#, "refused whole"),
        // It is computed and cut from the answer.
        ("inside", r#"{"bundle":"whole"}"#, r#"sent /read {"bundle":"whole"}"#),
        // It would be computed.
        ("cutter", r#"{"bundle":"whole"}"#, "refused whole"),
        // One that is not known reads like one that is denied.
        ("all", r#"{"bundle":"none"}"#, "refused none"),
        ("all", r#"{"bundle":""}"#, "invalid the request names no outputs"),
        // An alias that is another feature's name means that one, too.
        ("analyst", r#"{"bundle":"pair"}"#, "refused pair"),
        ("inside", r#"{"bundle":"pair"}"#, r#"sent /read {"bundle":"pair"}"#),
    ] {
        assert_eq!(sent(&policy, &reject, roles, "/read", body), expected, "{roles} {body}");
    }
}

#[test]
fn what_nobody_names_is_decided_on_the_answer_where_the_route_says_so() {
    let (policy, filter) = (policy(POLICY), by_bundle("filter"));
    for (body, expected) in [
        (r#"{"bundle":"none"}"#, r#"sent later /read {"bundle":"none"}"#),
        ("{}", "sent later /read {}"),
        (r#"{"bundle":"whole"}"#, "refused whole"),
    ] {
        assert_eq!(sent(&policy, &filter, "analyst", "/read", body), expected, "{body}");
    }
    let request = reads(&filter, "/read", r#"{"bundle":"none"}"#).unwrap();
    let outputs = ["age", "ssn", "new"].map(|name| crate::dialect::json::plan::Output {
        written: name.into(),
        feature: request.query.feature(name, &[]).unwrap(),
    });
    let query = Query { asked: request.query.answered(outputs.to_vec()), ..request.query.clone() };
    // In whichever mode the caller is: the route says that the answer is cut.
    let plan = planned(&policy, "analyst", &query);
    let fates: Vec<_> = ["age", "ssn", "new", "late"].map(|name| permit(&plan).fate(&query, name, &[])).into();
    use crate::dialect::json::plan::Fate::{Cut, Keep};
    assert_eq!(fates, [Some(Keep), Some(Cut), Some(Cut), None]);
    assert_eq!(plan.outputs, ["profile.age", "profile.ssn", "profile.new"]);
    assert_eq!(plan.bundle.as_deref(), Some("none"));
    // Who may have nothing of it is told so by the name that the request had.
    let Outcome::Refuse(names) = planned(&policy, "nothing", &query).outcome else { panic!("permitted") };
    assert_eq!(names, ["none"]);
}

#[test]
fn what_counts_as_supplied_is_what_the_server_takes() {
    let (policy, reject) = (policy(POLICY), by_bundle("reject"));
    let supplied = |body: &str| {
        let request = reads(&reject, "/read", body).unwrap();
        planned(&policy, "all", &request.query).supplied.join(" ")
    };
    for (body, expected) in [
        (r#"{"bundle":"plain","rows":[{"customer_id":1},{"customer_id":2}]}"#, "customer_id"),
        // A null, and a row without it.
        (r#"{"bundle":"plain","rows":[{"customer_id":1},{"customer_id":null}]}"#, ""),
        (r#"{"bundle":"plain","rows":[{"customer_id":1},{}]}"#, ""),
        (r#"{"bundle":"plain","rows":[{"customer_id":[1,null]}]}"#, ""),
        // A stored feature among the keys changes nothing.
        (r#"{"bundle":"plain","rows":[{"profile.ssn":1}]}"#, ""),
        (r#"{"bundle":"plain","passed":{"basket":1,"age":null}}"#, "profile.basket"),
    ] {
        assert_eq!(supplied(body), expected, "{body}");
    }
    // What does not count does not go upstream; a null key does.
    let body =
        r#"{"bundle":"plain","rows":[{"customer_id":null,"profile.ssn":1,"x":2}],"passed":{"basket":1,"age":null}}"#;
    assert_eq!(
        sent(&policy, &reject, "all", "/read", body),
        r#"sent /read {"bundle":"plain","rows":[{"customer_id":null}],"passed":{"basket":1}}"#
    );
    // A supplied value that is denied refuses the query.
    assert_eq!(sent(&policy, &reject, "analyst", "/read", r#"{"bundle":"plain","passed":{"ssn":1}}"#), "refused ssn");
    assert_eq!(sent(&policy, &reject, "all", "/read", r#"{"bundle":"plain","passed":{"other":1}}"#), "refused other");
}

#[test]
fn keys_that_were_given_may_come_back_unless_the_name_means_a_feature_that_may_not() {
    let policy =
        policy(&POLICY.replace("profile.basket: {}", "profile.basket: {}\n  profile.customer_id: {tags: [pii]}"));
    let plain = by_bundle("reject");
    let of = |policy: &Policy, roles: &str| {
        let request = reads(&plain, "/read", r#"{"bundle":"plain","rows":[{"customer_id":1}]}"#).unwrap();
        permit(&planned(policy, roles, &request.query)).passes("customer_id")
    };
    assert!(of(&super::policy(POLICY), "analyst"));
    assert!(of(&policy, "all"));
    assert!(!of(&policy, "analyst"));
}

#[test]
fn one_fingerprint_for_what_means_the_same_and_no_other() {
    let filter = by_bundle("filter");
    let print = |body: &str| {
        let request = reads(&filter, "/read", body).unwrap();
        let mut out = Vec::new();
        request.query.fingerprint(&mut out);
        out
    };
    let same =
        [r#"{"bundle":"a","rows":[{"customer_id":1}]}"#, r#"{"rows":[ {"customer_id":"x"}], "bundle":"\u0061"}"#];
    assert_eq!(print(same[0]), print(same[1]));
    let others = [
        r#"{"bundle":"b","rows":[{"customer_id":1}]}"#,
        r#"{"bundle":"a","rows":[{"customer_id":null}]}"#,
        r#"{"bundle":"a","passed":{"customer_id":1}}"#,
        r#"{"bundle":"a"}"#,
        r#"{"rows":[{"customer_id":1}]}"#,
        "{}",
    ];
    let mut all: Vec<_> = others.iter().map(|body| print(body)).collect();
    all.push(print(same[0]));
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count);
}
