//! Services: what they stand for, and what is asked by name.

use super::*;
use crate::dialect::feast::plan::Column;

#[test]
fn a_denied_key_does_not_tell_a_denied_service_from_an_unknown_one() {
    let policy = alone(
        r#"
roles: {r: {tags: {secret: Deny, pii: Deny}}}
features:
  account: {key: true, tags: [secret]}
  customer: {key: true}
  "v:f": {joins: [account]}
  "v:g": {tags: [pii]}
bundles:
  denied: ["v:g"]
  keyed: ["v:f"]
  renamed: [{feature: "v:f", keys: {account: buyer}}]
"#,
    );
    for service in ["denied", "keyed", "renamed", "missing"] {
        let body = format!(r#"{{"feature_service":"{service}","entities":{{"account":[1],"buyer":[1]}}}}"#);
        assert_eq!(sent(&policy, "r", &body), format!("refused {service}"));
    }
    // Named by features, what is refused and what may not be supplied are both said.
    let body = r#"{"features":["v:g","v:x"],"entities":{"account":[1]}}"#;
    assert_eq!(sent(&policy, "r", body), "refused account v:g v:x");
}

#[test]
fn a_service_stands_for_its_members() {
    let policy = shop();
    let crm = r#"{"feature_service":"crm_service","entities":{"customer_id":[1]}}"#;
    let rest = r#"sent {"features":["customer_profile:income","customer_profile:age","customer_profile:vip","customer_profile:country"],"entities":{"customer_id":[1]},"full_feature_names":true}"#;
    // The service's name alone is said, never a member's.
    cases(
        &policy,
        &[
            ("analyst", crm, "refused crm_service"),
            ("scoring", crm, "refused crm_service"),
            ("cutter", crm, rest),
            ("inside", crm, rest),
            ("nothing", crm, "refused crm_service"),
        ],
    );
    let permit = permitted(planned(&policy, "cutter", crm));
    assert_eq!(permit.filtered, 2);
    // An unaliased member does not need a key that only what was taken out needs.
    let mixed = over_shop(&format!(
        "{ROLES}\nbundles: {{mixed: [\"customer_profile:ssn\", \"request_only:basket_x2\"], none: []}}"
    ));
    let body = r#"{"feature_service":"mixed","entities":{"basket_total":[2],"coupon":["x"]}}"#;
    cases(
        &mixed,
        &[
            (
                "cutter",
                body,
                r#"sent {"features":["request_only:basket_x2"],"entities":{"basket_total":[2],"coupon":["x"]},"full_feature_names":true}"#,
            ),
            ("all", body, "invalid entity `customer_id` is missing"),
            ("all", r#"{"feature_service":"none","entities":{"customer_id":[1]}}"#, "refused none"),
        ],
    );
}

#[test]
fn a_service_by_name_is_never_asked_for_what_is_denied() {
    let policy = shop();
    let pair =
        r#"{"feature_service":"pair_service","entities":{"buyer_id":[1],"seller_id":[2]},"full_feature_names":true}"#;
    let sends = format!("sent {pair}");
    cases(
        &policy,
        &[
            ("all", pair, &sends),
            ("analyst", pair, "refused pair_service"),
            ("scoring", pair, "refused pair_service"),
            // A denied member refuses in filter mode too, an internal one is cut from the answer.
            ("cutter", pair, "refused pair_service"),
            ("inside", pair, &sends),
            // Short names would be two of a kind.
            (
                "all",
                &pair.replace("true", "false"),
                "invalid `customer_profile:age` and `customer_profile:age` would both be answered as `age`; ask for `full_feature_names`",
            ),
        ],
    );
    let permit = permitted(planned(&policy, "inside", pair));
    let column = |name: &str| permit.columns.get(name).map(|(_, column)| column);
    assert_eq!(column("buyer__ssn"), Some(Column::Cut));
    assert_eq!(column("buyer__age"), Some(Column::Keep("buyer__age")));
    assert_eq!(permit.filtered, 1);
    assert_eq!(permit.entities.iter().collect::<Vec<_>>(), ["buyer_id", "seller_id"]);
}

#[test]
fn a_member_that_cannot_be_asked_for_refuses_its_service() {
    let policy = alone("roles: {r: {}}\nfeatures: {k: {key: true}, \"v:f\": {joins: [k]}}\nbundles: {s: [\"v:f\", k]}");
    assert_eq!(sent(&policy, "r", r#"{"feature_service":"s","entities":{"k":[1]}}"#), "refused s");
}

#[test]
fn a_service_by_name_takes_the_strictest_meaning_of_a_name() {
    let rules = |alias: &str| {
        format!(
            "{ROLES}\nbundles: {{s: [{{feature: \"num:f32\", as: {alias}}}, {{feature: \"num:ratio\", as: other__ratio}}]}}"
        )
    };
    let body = r#"{"feature_service":"s","entities":{"customer_id":[1]},"full_feature_names":true}"#;
    // The alias is another view's full name, and that feature may not be returned.
    for alias in ["customer_profile__ssn", "num__edge__big"] {
        let policy = over_shop(&rules(alias));
        cases(
            &policy,
            &[
                ("all", body, &format!("sent {body}")),
                ("analyst", body, "refused s"),
                ("scoring", body, "refused s"),
                ("cutter", body, &format!("sent {body}")),
            ],
        );
        let plan = planned(&policy, "cutter", body);
        let Outcome::Permit(dialect::Permit::Feast(permit)) = &plan.outcome else { panic!("not permitted") };
        assert_eq!(permit.columns.get(alias).map(|(_, column)| column), Some(Column::Cut), "{alias}");
        assert_eq!((permit.filtered, &*plan.refused[0].feature), (1, "num:f32"));
    }
    let policy = over_shop(&rules("customer_profile__age"));
    assert_eq!(sent(&policy, "analyst", body), format!("sent {body}"));
}

#[test]
fn two_members_of_one_name_are_cut_where_one_of_them_is() {
    let policy = over_shop(&format!(
        "{ROLES}\nbundles: {{s: [{{feature: \"num:f32\", as: x__y}}, {{feature: \"customer_profile:ssn\", as: x__y}}, {{feature: \"num:ratio\", as: x__z}}]}}"
    ));
    let body = r#"{"feature_service":"s","entities":{"customer_id":[1]},"full_feature_names":true}"#;
    let permit = permitted(planned(&policy, "inside", body));
    assert_eq!(permit.columns.get("x__y").map(|(_, column)| column), Some(Column::Cut));
    cases(&policy, &[("all", body, "invalid `num:f32` and `customer_profile:ssn` would both be answered as `x__y`")]);
}
