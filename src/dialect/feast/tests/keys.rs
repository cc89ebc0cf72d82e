//! What callers supply: keys and request fields.

use super::*;

#[test]
fn a_missing_key_is_named() {
    let policy = shop();
    let risk = |entities: &str| format!(r#"{{"feature_service":"risk_service","entities":{entities}}}"#);
    let pair = |entities: &str| {
        format!(r#"{{"feature_service":"pair_service","entities":{entities},"full_feature_names":true}}"#)
    };
    cases(
        &policy,
        &[
            (
                "all",
                r#"{"features":["customer_profile:vip"],"entities":{"x":[1]}}"#,
                "invalid entity `customer_id` is missing",
            ),
            (
                "all",
                r#"{"features":["customer_profile:vip"],"entities":{"customer":[1]}}"#,
                "invalid entity `customer_id` is missing",
            ),
            (
                "all",
                r#"{"features":["customer_profile:vip"],"entities":{"customer_id":[1,null]}}"#,
                "invalid entity `customer_id` holds a null",
            ),
            // The keys of the whole lineage.
            ("all", &risk(r#"{"customer_id":[1],"coupon":["x"]}"#), "invalid entity `basket_total` is missing"),
            ("all", &risk(r#"{"basket_total":[1],"coupon":["x"]}"#), "invalid entity `customer_id` is missing"),
            (
                "all",
                &risk(r#"{"customer_id":[1],"basket_total":[1],"coupon":[null]}"#),
                "invalid entity `coupon` holds a null",
            ),
            (
                "all",
                r#"{"features":["request_only:basket_x2"],"entities":{"coupon":["x"],"customer_id":[1]}}"#,
                "invalid entity `basket_total` is missing",
            ),
            // Under the name that callers give it.
            ("all", &pair(r#"{"customer_id":[1],"seller_id":[2]}"#), "invalid entity `buyer_id` is missing"),
            ("all", &pair(r#"{"buyer_id":[1],"seller_id":[null]}"#), "invalid entity `seller_id` holds a null"),
            // Asked by name, Feast wants the keys of what is cut too.
            ("inside", &pair(r#"{"buyer_id":[1]}"#), "invalid entity `seller_id` is missing"),
            // What is taken out needs none, and what is refused is not said to miss one.
            (
                "cutter",
                r#"{"features":["customer_profile:ssn","request_only:basket_x2"],"entities":{"coupon":["x"],"basket_total":[1]}}"#,
                r#"sent {"features":["request_only:basket_x2"],"entities":{"coupon":["x"],"basket_total":[1]},"full_feature_names":true}"#,
            ),
            (
                "analyst",
                r#"{"features":["customer_profile:ssn"],"entities":{"x":[1]}}"#,
                "refused customer_profile:ssn",
            ),
        ],
    );
}

#[test]
fn what_is_supplied_are_the_keys_that_came_whole() {
    let policy = shop();
    let supplied = |body: &str| planned(&policy, "all", body).supplied;
    let all = r#"{"features":["num:f32"],"entities":{"coupon":["a"],"customer_id":[1],"age":[1],"num:f32":[1],"f32":[1],"buyer_id":[1]}}"#;
    assert_eq!(supplied(all), ["coupon", "customer_id"]);
    assert_eq!(supplied(&all.replace(r#"["a"]"#, "[null]")), ["customer_id"]);
    // A renamed key is the key that it stands for, and only in the service that renames it.
    let pair = r#"{"feature_service":"pair_service","entities":{"seller_id":[1],"buyer_id":[1],"coupon":["a"]},"full_feature_names":true}"#;
    assert_eq!(supplied(pair), ["customer_id", "customer_id", "coupon"]);
    assert_eq!(supplied(&pair.replace("pair_service", "crm_service")), ["coupon"]);
}

#[test]
fn a_key_that_may_not_be_used_refuses_the_query() {
    let policy = alone(
        r#"
roles: {r: {tags: {secret: Deny}}, f: {tags: {secret: Deny}, mode: filter}, listed: {default: Deny, tags: {ok: Allow}}}
features:
  account: {key: true, tags: [secret]}
  customer: {key: true}
  "v:f": {joins: [customer], tags: [ok]}
  "v:g": {joins: [account], tags: [ok]}
bundles:
  s: [{feature: "v:f", keys: {customer: buyer}}]
  both: [{feature: "v:f", keys: {customer: account}}]
"#,
    );
    let sends = r#"sent {"features":["v:f"],"entities":{"customer":[1]},"full_feature_names":true}"#;
    cases(
        &policy,
        &[
            ("r", r#"{"features":["v:f"],"entities":{"customer":[1]}}"#, sends),
            ("r", r#"{"features":["v:f"],"entities":{"customer":[1],"account":[1]}}"#, "refused account"),
            ("f", r#"{"features":["v:f"],"entities":{"customer":[1],"account":[1]}}"#, "refused account"),
            // With a null in it, it is not supplied.
            ("r", r#"{"features":["v:f"],"entities":{"customer":[1],"account":[null]}}"#, sends),
            ("r", r#"{"features":["v:g"],"entities":{"account":[1]}}"#, "refused account v:g"),
            ("r", r#"{"features":["v:g"],"entities":{"customer":[1]}}"#, "refused v:g"),
            // A key that no tag allows can still be used where the default is to deny.
            (
                "listed",
                r#"{"features":["v:f"],"entities":{"customer":[1],"account":[1]}}"#,
                r#"sent {"features":["v:f"],"entities":{"customer":[1],"account":[1]},"full_feature_names":true}"#,
            ),
            ("r", r#"{"feature_service":"s","entities":{"buyer":[1],"account":[1]}}"#, "refused account"),
            // A new name for one key that is another key's own: Feast takes the value for both, so it is both.
            ("r", r#"{"feature_service":"both","entities":{"account":[1]}}"#, "refused account"),
        ],
    );
}

#[test]
fn roles_that_answer_alone_give_the_least_restrictive() {
    let rules = r#"
combine: most_permissive
roles: {a: {default: Deny, tags: {red: Allow}}, b: {default: Deny, tags: {blue: Allow}}, nokey: {tags: {k: Deny}}}
features: {"v:r": {tags: [red]}, "v:b": {tags: [blue]}, "v:n": {joins: [id]}, id: {key: true, tags: [k]}}
"#;
    let policy = alone(rules);
    let body = |features: &str| format!(r#"{{"features":[{features}],"entities":{{"id":[1]}}}}"#);
    cases(
        &policy,
        &[
            (
                "a b",
                &body(r#""v:r","v:b""#),
                r#"sent {"features":["v:r","v:b"],"entities":{"id":[1]},"full_feature_names":true}"#,
            ),
            ("a", &body(r#""v:r","v:b""#), "refused v:b"),
            // The role that may not use the key drops out, and what only it allows with it.
            ("a nokey", &body(r#""v:n""#), "refused v:n"),
            ("nokey", &body(r#""v:r""#), "refused id"),
            (
                "a nokey",
                r#"{"features":["v:b"],"entities":{"x":[1]}}"#,
                r#"sent {"features":["v:b"],"entities":{"__dummy_id":[""]},"full_feature_names":true}"#,
            ),
        ],
    );
}
