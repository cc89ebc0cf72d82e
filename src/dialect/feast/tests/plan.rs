//! What is decided, on small policies and on the shop.

use super::*;
use crate::policy::Permission;

const VIP: &str =
    r#"sent {"features":["customer_profile:vip"],"entities":{"customer_id":[1]},"full_feature_names":true}"#;

/// A query for these features of the shop's customers.
fn asks(features: &[&str]) -> String {
    let features = serde_json::to_string(features).unwrap();
    format!(r#"{{"features":{features},"entities":{{"customer_id":[1]}}}}"#)
}

#[test]
fn a_refused_output_fails_the_query_or_is_taken_out() {
    let policy = shop();
    let mixed = &asks(&["customer_profile:ssn", "customer_profile:vip", "num__edge:big"]);
    let pii = &asks(&["customer_profile:ssn"]);
    cases(
        &policy,
        &[
            ("analyst", mixed, "refused customer_profile:ssn num__edge:big"),
            ("scoring", mixed, "refused customer_profile:ssn num__edge:big"),
            ("cutter", mixed, VIP),
            ("inside", mixed, VIP),
            ("cutter", pii, "refused customer_profile:ssn"),
            ("inside", pii, "refused customer_profile:ssn"),
            (
                "all",
                pii,
                r#"sent {"features":["customer_profile:ssn"],"entities":{"customer_id":[1]},"full_feature_names":true}"#,
            ),
            ("nothing", &asks(&["customer_profile:vip"]), "refused customer_profile:vip"),
            // Roles of different modes reject; the most restrictive of both holds; no role is no permission.
            ("cutter all", mixed, "refused customer_profile:ssn num__edge:big"),
            ("cutter inside", mixed, VIP),
            ("", &asks(&["customer_profile:vip"]), "refused customer_id customer_profile:vip"),
        ],
    );
    let permit = permitted(planned(&policy, "cutter", mixed));
    assert_eq!(permit.filtered, 2);
}

#[test]
fn a_derived_feature_falls_with_its_denied_input() {
    let policy = shop();
    let body = &asks(&["email_parts:email_domain"]);
    let sent =
        r#"sent {"features":["email_parts:email_domain"],"entities":{"customer_id":[1]},"full_feature_names":true}"#;
    cases(
        &policy,
        &[
            ("analyst", body, "refused email_parts:email_domain"),
            ("cutter", body, "refused email_parts:email_domain"),
            ("scoring", body, sent),
        ],
    );
    // The caller cannot turn the input into something supplied: Feast takes no stored feature from a caller.
    let with = r#"{"features":["email_parts:email_domain"],"entities":{"customer_id":[1],"email":["x"],"customer_profile:email":["x"],"customer_profile:ssn":["x"]}}"#;
    assert_eq!(super::sent(&policy, "analyst", with), "refused email_parts:email_domain");
    assert_eq!(planned(&policy, "analyst", with).supplied, ["customer_id"]);
}

#[test]
fn denied_and_unknown_read_alike() {
    let policy = shop();
    for role in ["analyst", "cutter"] {
        for (denied, unknown) in [
            ("customer_profile:ssn", "customer_profile:ssx"),
            ("customer_profile@latest:ssn", "customer_profile@latest:ssx"),
            ("customer_profile@v1:ssn", "customer_profile@v1:ssx"),
            ("num__edge:big", "nun__edge:big"),
        ] {
            for rest in [&["customer_profile:vip"][..], &["customer_profile:vip", "num:edge__big"], &[]] {
                let of = |name: &str| sent(&policy, role, &asks(&[&[name], rest].concat())).replace(name, "NAME");
                assert_eq!(of(denied), of(unknown), "{role} {denied} {rest:?}");
            }
        }
        // A service that is denied and one that is not there, whatever else is sent or missing.
        for entities in [r#"{"customer_id":[1]}"#, r#"{"x":[1]}"#, r#"{"buyer_id":[1],"seller_id":[null]}"#] {
            let of = |name: &str| {
                let body = format!(r#"{{"feature_service":"{name}","entities":{entities}}}"#);
                sent(&policy, role, &body).replace(name, "NAME")
            };
            assert_eq!(of("pair_service"), "refused NAME", "{role} {entities}");
            assert_eq!(of("no_service"), "refused NAME", "{role} {entities}");
        }
    }
}

#[test]
fn a_name_without_a_view_is_no_feature() {
    let policy = shop();
    for name in [
        "customer_profile",
        "age",
        "",
        ":",
        ":age",
        "customer_profile:",
        "*",
        "@latest:age",
        "customer_profile__age",
        " customer_profile:age",
        "customer_profile :age",
        "customer_profile @latest:age",
        "customer_profile:age ",
        "customer_profile:\u{a0}age",
        "customer_profile:a\0ge",
    ] {
        let expected = format!("invalid `{}` is not of the form `view:feature`", crate::dialect::shown(name));
        assert_eq!(sent(&policy, "all", &asks(&["customer_profile:vip", name])), expected);
    }
    // Split at the first colon; nothing is folded or matched.
    for name in [
        "customer_profile:age:x",
        "a:b:c",
        "Customer_Profile:age",
        "customer_profile:*",
        "customer_profile::age",
        "customer_profile:\u{441}ountry",
        "customer profile:age",
    ] {
        assert_eq!(sent(&policy, "all", &asks(&["customer_profile:vip", name])), format!("refused {name}"));
    }
}

#[test]
fn a_version_needs_the_catalogue() {
    let rules = r#"
unknown_features: default
roles: {r: {}, cutter: {mode: filter}}
features: {"v:f": null, "v@v2:f": null, "v@v3:f": {tags: [t]}, "w:f": {joins: [k]}, k: {key: true}}
"#;
    let policy = alone(rules);
    let asks = |name: &str| format!(r#"{{"features":["{name}"],"entities":{{"k":[1]}}}}"#);
    let sends = |reference: &str| {
        format!(r#"sent {{"features":["{reference}"],"entities":{{"k":[1]}},"full_feature_names":true}}"#)
    };
    for (name, reference) in [
        ("v:f", "v:f"),
        ("v@latest:f", "v:f"),
        ("v@v2:f", "v@v2:f"),
        // Unknown, and `default` allows it: forwarded as it stands.
        ("x:f", "x:f"),
        ("x@latest:f", "x:f"),
        ("x:f@v1", "x:f@v1"),
    ] {
        assert_eq!(sent(&policy, "r", &asks(name)), sends(reference), "{name}");
    }
    // Feast takes an empty version and `LATEST` for `latest`, and `V2` for `v2`; the catalogue knows none of them.
    for name in [
        "v@v1:f",
        "v@V2:f",
        "v@2:f",
        "v@:f",
        "v@LATEST:f",
        "v@Latest:f",
        "v@latest@latest:f",
        "v@latest@:f",
        "v@\u{ff56}2:f",
        "x@v1:f",
        "@:f",
        "@v1:f",
        "w@v1:f",
    ] {
        assert_eq!(sent(&policy, "r", &asks(name)), format!("refused {name}"));
        assert_eq!(sent(&policy, "cutter", &asks(name)), format!("refused {name}"));
    }
    // What the policy says of one version holds for that one.
    let tagged = alone(&rules.replace("{r: {}", "{r: {tags: {t: Deny}}"));
    assert_eq!(sent(&tagged, "r", &asks("v@v3:f")), "refused v@v3:f");
    assert_eq!(sent(&tagged, "r", &asks("v@v2:f")), sends("v@v2:f"));
    // Under its own full name.
    let answer = r#"{"results":[{"values":[1]}],"metadata":{"feature_names":["v@v2__f"]}}"#;
    assert_eq!(
        answered(&policy, "r", &asks("v@v2:f"), answer),
        r#"cut 0 {"results":[{"values":[1]}],"metadata":{"feature_names":["f"]}}"#
    );
}

#[test]
fn names_outside_the_catalogue_are_denied_unless_the_policy_says_otherwise() {
    let rules = r#"
roles: {r: {tags: {pii: Deny}}, none: {default: Deny}}
features: {"v:f": null, "*:ssn": {tags: [pii]}}
"#;
    let body = |name: &str| format!(r#"{{"features":["{name}"],"entities":{{"k":[1]}}}}"#);
    assert_eq!(sent(&alone(rules), "r", &body("w:g")), "refused w:g");
    let open = alone(&format!("unknown_features: default\n{rules}"));
    let plan = planned(&open, "r", &body("w:g"));
    assert_eq!((plan.outputs, plan.supplied), (["w:g"].into_iter().collect(), vec![]));
    assert_eq!(
        sent(&open, "r", &body("w:g")),
        r#"sent {"features":["w:g"],"entities":{"__dummy_id":[""]},"full_feature_names":true}"#
    );
    assert_eq!(sent(&open, "none", &body("w:g")), "refused w:g");
    // Patterns hold for them, also behind `@latest`.
    assert_eq!(sent(&open, "r", &body("w:ssn")), "refused w:ssn");
    assert_eq!(sent(&open, "r", &body("w@latest:ssn")), "refused w@latest:ssn");
}

#[test]
fn one_name_in_an_answer_for_two_features_is_ambiguous() {
    let policy = shop();
    let full = |features: &[&str]| asks(features).replace("}}", r#"},"full_feature_names":true}"#);
    cases(
        &policy,
        &[
            // Both are called `num__edge__big`, whatever the caller wants to see.
            (
                "all",
                &full(&["num:edge__big", "num__edge:big"]),
                "invalid `num:edge__big` and `num__edge:big` would both be answered as `num__edge__big`",
            ),
            (
                "all",
                &asks(&["num:edge__big", "num__edge:big"]),
                "invalid `num__edge__big` means two features in one answer",
            ),
            // Judged among what is permitted: here one of them is denied.
            (
                "cutter",
                &full(&["num:edge__big", "num__edge:big"]),
                r#"sent {"features":["num:edge__big"],"entities":{"customer_id":[1]},"full_feature_names":true}"#,
            ),
            ("analyst", &full(&["num:edge__big", "num__edge:big"]), "refused num__edge:big"),
            // Asked for by reference, a name that could mean something else does not.
            (
                "analyst",
                &full(&["num:edge__big"]),
                r#"sent {"features":["num:edge__big"],"entities":{"customer_id":[1]},"full_feature_names":true}"#,
            ),
            // One feature twice.
            (
                "all",
                &asks(&["num:f32", "num@latest:f32"]),
                "invalid `num:f32` and `num@latest:f32` would both be answered as `f32`; ask for `full_feature_names`",
            ),
            (
                "all",
                &full(&["num:f32", "num:f32"]),
                "invalid `num:f32` and `num:f32` would both be answered as `num__f32`",
            ),
            (
                "cutter",
                &asks(&["customer_profile:ssn", "customer_profile:ssn"]),
                "refused customer_profile:ssn customer_profile:ssn",
            ),
            ("cutter", &asks(&["customer_profile:ssn", "customer_profile:vip", "customer_profile:ssn"]), VIP),
        ],
    );
    // The same short name of two views.
    let two = alone(
        "roles: {r: {tags: {t: Deny}, mode: filter}, all: {}}\nfeatures: {\"a:x\": null, \"b:x\": {tags: [t]}, \"c:id\": {joins: [id]}, id: {key: true}, d__x: {key: true}, \"d:x\": null}",
    );
    let ask = |features: &str, switches: &str| {
        format!(r#"{{"features":[{features}],"entities":{{"id":[1],"d__x":[1]}}{switches}}}"#)
    };
    cases(
        &two,
        &[
            (
                "all",
                &ask(r#""a:x","b:x""#, ""),
                "invalid `a:x` and `b:x` would both be answered as `x`; ask for `full_feature_names`",
            ),
            (
                "all",
                &ask(r#""a:x","b:x""#, r#","full_feature_names":true"#),
                r#"sent {"features":["a:x","b:x"],"entities":{"id":[1],"d__x":[1]},"full_feature_names":true}"#,
            ),
            (
                "r",
                &ask(r#""a:x","b:x""#, ""),
                r#"sent {"features":["a:x"],"entities":{"id":[1],"d__x":[1]},"full_feature_names":true}"#,
            ),
            // A feature and a key.
            (
                "all",
                &ask(r#""c:id""#, ""),
                "invalid `id` and `c:id` would both be answered as `id`; ask for `full_feature_names`",
            ),
            (
                "all",
                &ask(r#""d:x""#, r#","full_feature_names":true"#),
                "invalid `d__x` and `d:x` would both be answered as `d__x`",
            ),
        ],
    );
}

#[test]
fn data_sources_out_of_reach_bar_what_reads_them() {
    let policy = over_shop(
        "roles: {r: {datasources: {allow: [open]}, mode: filter}}\ndatasources: {cust_src: {tags: [open]}, num_src: {tags: [open]}}\ncatalogue_tags: trust",
    );
    cases(
        &policy,
        &[
            // The view is also fed by a push source, which is not open.
            ("r", &asks(&["customer_profile:vip"]), "refused customer_profile:vip"),
            (
                "r",
                &asks(&["num:f32", "email_parts:email_domain"]),
                r#"sent {"features":["num:f32"],"entities":{"customer_id":[1]},"full_feature_names":true}"#,
            ),
        ],
    );
}

#[test]
fn what_the_audit_is_told() {
    let policy = over_shop(&format!(
        "{ROLES}\n  cleared: {{mode: filter, tags: {{pii: AllowInternal, class=cleared: AllowDownstream}}}}\ncatalogue_tags: trust"
    ));
    let plan = planned(
        &policy,
        "cutter",
        &asks(&["customer_profile@latest:ssn", "email_parts:email_domain", "no:\u{e9}", "num:f32"]),
    );
    assert_eq!(plan.outputs, ["customer_profile:ssn", "email_parts:email_domain", "no:\\u{e9}", "num:f32"]);
    let refused: Vec<_> = plan.refused.iter().map(|r| (&*r.feature, r.permission, r.rule, r.tag.as_deref())).collect();
    assert_eq!(
        refused,
        [
            ("customer_profile:ssn", Permission::Deny, 7, Some("pii")),
            ("email_parts:email_domain", Permission::Deny, 4, None),
            ("no:\\u{e9}", Permission::Deny, 7, None),
        ]
    );
    assert_eq!((plan.bundle, plan.declassified), (None, vec![]));

    let plan = planned(&policy, "cleared", &asks(&["email_parts:email_domain"]));
    assert_eq!(plan.declassified, [("email_parts:email_domain".to_owned(), "tag class=cleared".to_owned())]);

    let plan = planned(&policy, "inside", r#"{"feature_service":"crm_service","entities":{"customer_id":[1]}}"#);
    assert_eq!(plan.bundle.as_deref(), Some("crm_service"));
    assert_eq!(plan.outputs.len(), 6);
    let refused: Vec<_> = plan.refused.iter().map(|r| (&*r.feature, r.permission)).collect();
    assert_eq!(
        refused,
        [("customer_profile:ssn", Permission::AllowInternal), ("customer_profile:email", Permission::AllowInternal)]
    );
}

#[test]
fn names_from_outside_are_told_short_and_printable() {
    let policy = shop();
    let long = format!("v:{}é", "x".repeat(200));
    let cut = format!("v:{}…", "x".repeat(126));
    let plan = planned(&policy, "all", &asks(&[&long]));
    assert_eq!(plan.outputs, [&*cut]);
    assert_eq!(*plan.refused[0].feature, *cut);
    let body = format!(r#"{{"feature_service":{},"entities":{{"k":[1]}}}}"#, serde_json::to_string(&long).unwrap());
    let plan = planned(&policy, "all", &body);
    assert_eq!(plan.outputs, [&*cut]);
    // What goes back to the caller is what the caller wrote.
    assert_eq!(sent(&policy, "all", &body), format!("refused {long}"));
    let no_view = format!(r#"{{"features":["{}"],"entities":{{"k":[1]}}}}"#, "é".repeat(50));
    assert_eq!(
        sent(&policy, "all", &no_view),
        format!("invalid `{}…` is not of the form `view:feature`", "\\u{e9}".repeat(22))
    );
}
