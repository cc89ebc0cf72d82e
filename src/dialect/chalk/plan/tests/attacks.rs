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
