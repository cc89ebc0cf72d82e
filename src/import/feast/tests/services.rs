//! Feature services as bundles.

use super::*;

fn with_service(projections: Value) -> Import {
    dump(json!({
        "entities": [entity("customer", "customer_id")],
        "featureViews": [view("v", &["a", "b"], json!({}))],
        "onDemandFeatureViews": [on_demand("o", json!({"v": {"featureViewProjection": projection("v", &["a"])}}))],
        "featureServices": [service("s", projections)],
    }))
}

#[test]
fn a_service_is_a_bundle_in_the_order_of_its_projections() {
    let import =
        with_service(json!([projection("v", &["b", "a"]), projection("o", &["out"]), projection("v", &["b"])]));
    assert_eq!(import.catalogue.bundles["s"], [plain("v:b"), plain("v:a"), plain("o:out"), plain("v:b")]);
}

#[test]
fn aliases_and_renamed_keys_go_into_the_members() {
    let mut buyer = projection("v", &["a"]);
    buyer["featureViewNameAlias"] = json!("buyer");
    buyer["joinKeyMap"] = json!({"customer_id": "buyer_id"});
    let mut keyed = projection("v", &["b"]);
    keyed["featureViewNameAlias"] = json!("");
    keyed["joinKeyMap"] = json!({"customer_id": "seller_id"});
    let import = with_service(json!([buyer, keyed]));
    let keys = |to: &str| BTreeMap::from([("customer_id".to_owned(), to.to_owned())]);
    let expected = [
        Member { feature: "v:a".to_owned(), alias: Some("buyer__a".to_owned()), keys: keys("buyer_id") },
        Member { feature: "v:b".to_owned(), alias: None, keys: keys("seller_id") },
    ];
    assert_eq!(import.catalogue.bundles["s"], expected);
    assert!(!import.catalogue.features.contains_key("buyer_id"));
}

#[test]
fn a_pinned_version_shows_in_the_name_and_as_a_warning() {
    let mut pinned = projection("v", &["a"]);
    pinned["versionTag"] = json!(2);
    let mut aliased = pinned.clone();
    aliased["featureViewNameAlias"] = json!("buyer");
    let import = with_service(json!([pinned, aliased]));
    let expected = ["v@v2__a", "buyer@v2__a"].map(|alias| Member { alias: Some(alias.to_owned()), ..plain("v:a") });
    assert_eq!(import.catalogue.bundles["s"], expected);
    let warning = "the feature service `s` uses version 2 of `v`: the tags and the lineage of the newest count";
    assert_eq!(import.warnings, [warning]);
}

#[test]
fn a_service_that_cannot_be_followed_is_left_out() {
    let mut renames = projection("v", &["a"]);
    renames["joinKeyMap"] = json!({"ghost_id": "buyer_id"});
    for (projections, reason) in [
        (json!([projection("v", &["a", "gone"])]), "the registry does not list its `v:gone`"),
        (json!([projection("ghost", &["a"])]), "the registry does not list its `ghost:a`"),
        (json!([renames]), "the registry does not list the key `ghost_id`, which it renames"),
        (json!([]), "it has no features"),
        (json!([projection("v", &[])]), "it has no features"),
    ] {
        let import = with_service(projections);
        assert_eq!(import.catalogue.bundles, BTreeMap::new());
        assert_eq!(import.warnings, [format!("the feature service `s` is left out: {reason}")]);
    }
}
