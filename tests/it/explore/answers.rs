//! Answers are those of `resolve` and `explain` over the same files, and bounded however large a policy is.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Setup, answer, code, get, question_of};
use crate::support::process::run;
use crate::support::repository;
use crate::support::sidecar::Sidecar;
use crate::support::tokens::ISSUER;
use crate::support::upstream::Upstream;

/// The policy of the demo over its catalogue, and a candidate.
async fn demo() -> Sidecar {
    let setup =
        Setup::new(&Upstream::start().await).with("catalogue: [catalogue.yaml]").with("shadow: {policies: next.yaml}");
    let policy = std::fs::read_to_string(repository("policies/demo/policy.yaml")).unwrap();
    let policy = policy.replace("https://issuer.demo.example/", ISSUER);
    let catalogue = std::fs::read_to_string(repository("policies/demo/catalogue.yaml")).unwrap();
    let next = policy.replace("pii: AllowInternal               # marketing", "pii: Allow               # marketing");
    let next = next.replace("  customer-desk:\n", "  desk:\n").replace("[customer-desk]", "[desk]");
    assert_ne!(next, policy);
    setup.folder.write("next.yaml", next);
    setup.folder.write("catalogue.yaml", catalogue);
    setup.policy(&policy).start().await
}

/// What a command says of the files that a sidecar serves.
fn said(sidecar: &Sidecar, command: &str, more: &[&str]) -> Value {
    let folder = &sidecar.setup.folder;
    let (policy, catalogue) = (folder.path("policy.yaml"), folder.path("catalogue.yaml"));
    let files =
        ["--policies", policy.to_str().unwrap(), "--catalogue", catalogue.to_str().unwrap(), "--format", "json"];
    let arguments: Vec<&str> = [command].into_iter().chain(more.iter().copied()).chain(files).collect();
    let (code, out, complaint) = run(arguments);
    assert_eq!(code, 0, "{complaint}");
    serde_json::from_str(&out).unwrap()
}

/// All features of an answer in pages, name and permission.
async fn all(sidecar: &Sidecar, caller: &Value, limit: usize) -> serde_json::Map<String, Value> {
    let (mut found, mut offset) = (serde_json::Map::new(), 0);
    loop {
        let ask = json!({"caller": caller, "limit": limit, "offset": offset});
        let page = answer(sidecar, "features", &ask).await;
        let rows = page["rows"].as_array().unwrap();
        found.extend(rows.iter().map(|row| (row["feature"].as_str().unwrap().to_owned(), row["permission"].clone())));
        offset += rows.len();
        if offset as u64 >= page["total"].as_u64().unwrap() {
            assert_eq!(found.len(), offset);
            return found;
        }
    }
}

#[tokio::test]
async fn permissions_are_those_of_resolve_for_every_role_and_for_claims() {
    let sidecar = demo().await;
    for roles in [&["fraud-model"][..], &["marketing"], &["customer-desk"], &["fraud-model", "marketing"]] {
        let resolved = said(&sidecar, "resolve", &[&["--role"][..], roles].concat());
        for limit in [5, 200] {
            assert_eq!(
                Value::Object(all(&sidecar, &json!({"roles": roles}), limit).await),
                resolved["permissions"],
                "{roles:?}"
            );
        }
    }
    let claims = json!({"iss": ISSUER, "client_id": "fraud-svc", "email": "canary@example.com"});
    let file = sidecar.setup.folder.write("claims.json", claims.to_string());
    let resolved = said(&sidecar, "resolve", &["--claims", file.to_str().unwrap()]);
    assert_eq!(Value::Object(all(&sidecar, &json!({"claims": claims}), 200).await), resolved["permissions"]);
    let caller = answer(&sidecar, "caller", &json!({"caller": {"claims": claims}})).await;
    assert_eq!((&caller["roles"], &caller["bindings"]), (&json!(["fraud-model"]), &resolved["bindings"]));
    assert!(!caller.to_string().contains("canary"));
    // Nobody gets anything.
    let nobody = all(&sidecar, &json!({"claims": {"client_id": "stranger"}}), 200).await;
    assert!(nobody.len() == 17 && nobody.values().all(|permission| permission == "Deny"), "{nobody:?}");
}

#[tokio::test]
async fn a_feature_is_explained_as_explain_explains_it() {
    let sidecar = demo().await;
    for (role, feature) in [
        ("marketing", "checkout_risk:score"),
        ("fraud-model", "checkout_risk:score"),
        ("marketing", "contact:email_domain"),
        ("customer-desk", "customer:ssn"),
    ] {
        let mut explained = said(&sidecar, "explain", &["--role", role, "--output", feature]);
        let ask = json!({"caller": {"roles": [role]}, "feature": feature});
        let told = answer(&sidecar, "feature", &ask).await;
        // What would permit it is looked for by the command alone.
        explained["suggestions"] = json!([]);
        assert_eq!(here(&sidecar, &told["explanation"]), here(&sidecar, &explained), "{role} {feature}");
    }
    let told =
        answer(&sidecar, "feature", &json!({"caller": {"roles": ["marketing"]}, "feature": "customer:email"})).await;
    assert_eq!(told["readers"], json!({"total": 1, "features": ["contact:email_domain"]}));
    assert_eq!(told["explanation"]["nodes"][0]["permission"], "AllowInternal");
    assert_eq!(told["shadow"]["permission"], "Allow");
    assert!(told["shadow"]["why"].as_str().unwrap().contains("next.yaml:"), "{told}");
    let unknown =
        question_of(&sidecar, "feature", &json!({"caller": {"roles": ["marketing"]}, "feature": "x:y"}).to_string())
            .await;
    assert_eq!((unknown.status, code(&unknown).as_str()), (400, "INVALID_QUERY"));
}

/// Places without the folder, which a command names as it was given.
fn here(sidecar: &Sidecar, explanation: &Value) -> Value {
    let folder = format!("{}/", sidecar.setup.folder.path("").display().to_string().trim_end_matches('/'));
    serde_json::from_str(&explanation.to_string().replace(&folder, "")).unwrap()
}

#[tokio::test]
async fn a_query_is_decided_as_resolve_decides_it() {
    let sidecar = demo().await;
    for (role, supplied, outputs) in [
        ("fraud-model", &["customer_id", "basket_total"][..], &["checkout_risk:score", "customer:income"][..]),
        ("fraud-model", &["basket_total"], &["checkout_risk:score"]),
        ("marketing", &["customer:income"], &["checkout_risk:score"]),
        ("marketing", &[], &["contact:email_domain", "loyalty:band"]),
    ] {
        let mut arguments = vec!["--role", role, "--output"];
        arguments.extend(outputs);
        if !supplied.is_empty() {
            arguments.push("--supplied");
            arguments.extend(supplied);
        }
        let resolved = said(&sidecar, "resolve", &arguments);
        let told =
            answer(&sidecar, "query", &json!({"caller": {"roles": [role]}, "supplied": supplied, "outputs": outputs}))
                .await;
        assert_eq!(
            (&told["permitted"], &told["refused"]),
            (&resolved["permitted"], &resolved["refused"]),
            "{role} {outputs:?}"
        );
        for output in outputs {
            assert_eq!(told["permissions"][output], resolved["permissions"][output]);
        }
        let mut explained = said(&sidecar, "explain", &arguments);
        explained["suggestions"] = json!([]);
        explained["search_cut_short"] = json!(false);
        assert_eq!(here(&sidecar, &told["explanation"]), here(&sidecar, &explained), "{role} {outputs:?}");
    }
    // A name that nobody knows is refused like one that is denied.
    let told =
        answer(&sidecar, "query", &json!({"caller": {"roles": ["marketing"]}, "outputs": ["x:y", "customer:email"]}))
            .await;
    assert_eq!((&told["permitted"], &told["refused"]), (&json!(false), &json!(["customer:email", "x:y"])));
    assert_eq!(told["shadow"]["refused"], json!(["x:y"]));
}

#[tokio::test]
async fn the_candidate_is_compared_feature_by_feature_for_the_caller() {
    let sidecar = demo().await;
    let compare = async |caller: Value, more: Value| {
        let mut ask = json!({"caller": caller, "limit": 200});
        ask.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        answer(&sidecar, "compare", &ask).await
    };
    let told = compare(json!({"roles": ["marketing"]}), json!({})).await;
    let names = |told: &Value| {
        let rows = told["rows"].as_array().unwrap().iter();
        rows.map(|row| row["feature"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    // What `resolve` says under both.
    let resolved = said(&sidecar, "resolve", &["--role", "marketing"]);
    let path = sidecar.setup.folder.path("next.yaml");
    let catalogue = sidecar.setup.folder.path("catalogue.yaml");
    let arguments = [
        "resolve",
        "--role",
        "marketing",
        "--format",
        "json",
        "--policies",
        path.to_str().unwrap(),
        "--catalogue",
        catalogue.to_str().unwrap(),
    ];
    let other: Value = serde_json::from_str(&run(arguments).1).unwrap();
    let permissions = resolved["permissions"].as_object().unwrap();
    let differing: Vec<String> = permissions
        .iter()
        .filter(|(name, was)| other["permissions"][name.as_str()] != **was)
        .map(|(name, _)| name.clone())
        .collect();
    assert!(!differing.is_empty());
    assert_eq!(names(&told), differing);
    assert_eq!(told["counts"], json!({"wider": differing.len(), "narrower": 0}));
    let row = &told["rows"][names(&told).iter().position(|name| name == "customer:email").unwrap()];
    assert_eq!(
        row,
        &json!({"feature": "customer:email", "change": "wider",
        "live": {"permission": "AllowInternal", "rule": 7, "tag": "pii", "known": true},
        "shadow": {"permission": "Allow", "rule": 7, "tag": "pii", "known": true}})
    );
    assert_eq!(names(&compare(json!({"roles": ["marketing"]}), json!({"search": "EMAIL"})).await), ["customer:email"]);
    assert_eq!(compare(json!({"roles": ["marketing"]}), json!({"only": ["narrower"]})).await["total"], 0);
    // A role that the candidate has no more, and claims that give another one there.
    let gone = compare(json!({"roles": ["customer-desk"]}), json!({})).await;
    assert_eq!((&gone["missing"], &gone["counts"]), (&json!(["customer-desk"]), &json!({"wider": 0, "narrower": 17})));
    let claims = json!({"claims": {"iss": ISSUER, "realm_access": {"roles": ["customer-desk"]}}});
    let moved = compare(claims, json!({})).await;
    assert_eq!(
        (&moved["roles"], &moved["shadow_roles"], &moved["total"]),
        (&json!(["customer-desk"]), &json!(["desk"]), &json!(0))
    );
}

#[tokio::test]
async fn without_a_candidate_there_is_nothing_to_compare() {
    let sidecar = super::started().await;
    let answer = question_of(&sidecar, "compare", "{\"caller\":{\"roles\":[\"reader\"]},\"limit\":1}").await;
    assert_eq!((answer.status, code(&answer).as_str()), (404, "NO_SHADOW"));
    assert_eq!(get(&sidecar, "/explore/api/summary", "").await.json()["shadow"], Value::Null);
}

#[tokio::test]
async fn it_looks_for_names_and_tags_and_tells_of_reloads() {
    let sidecar = demo().await;
    let find = async |search: &str| {
        let ask = json!({"caller": {"roles": ["marketing"]}, "search": search, "limit": 200});
        let told = answer(&sidecar, "features", &ask).await;
        told["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["feature"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(find("RISK score").await, ["checkout_risk:score"]);
    assert_eq!(find("tag:pii").await, ["activity:last_merchant", "customer:email", "customer:name", "customer:ssn"]);
    assert_eq!(find("tag:pii ssn").await, ["customer:ssn"]);
    assert!(find("tag:nothing").await.is_empty() && find("nothing").await.is_empty());
    let ask = json!({"caller": {"roles": ["marketing"]}, "only": ["Deny"], "limit": 200});
    let told = answer(&sidecar, "features", &ask).await;
    assert!(told["rows"].as_array().unwrap().iter().all(|row| row["permission"] == "Deny"));
    assert_eq!(told["total"], told["counts"]["Deny"]);
    let roles = answer(&sidecar, "roles", &json!({"search": "mark", "limit": 5})).await;
    assert_eq!(
        (&roles["total"], &roles["rows"][0]["role"], &roles["rows"][0]["mode"]),
        (&json!(1), &json!("marketing"), &json!("filter"))
    );

    let changed = sidecar.setup.folder.read("policy.yaml").replace(
        "sensitivity=high: Deny\n      class=financial: Deny",
        "sensitivity=high: Deny\n      class=financial: Allow",
    );
    sidecar.setup.folder.write("policy.yaml", changed);
    sidecar.until_metric("tagwarden_snapshot_generation{kind=\"policy\"}", 2.0).await;
    let told =
        answer(&sidecar, "feature", &json!({"caller": {"roles": ["marketing"]}, "feature": "customer:income"})).await;
    assert_eq!((&told["generation"], &told["explanation"]["nodes"][0]["permission"]), (&json!(2), &json!("Allow")));
}

/// A hundred thousand features, of which one reads four thousand and one is read by nearly all.
#[tokio::test]
async fn answers_are_bounded_over_a_hundred_thousand_features() {
    const COUNT: usize = 100_000;
    let mut catalogue = "version: 1\nfeatures:\n".to_owned();
    let name = |at: usize| format!("team_{:03}:feature_{at}", at % 500);
    for at in 0..COUNT {
        let inputs = match at {
            _ if at == COUNT - 1 => (0..4000).map(name).collect(),
            _ if at % 3 == 2 => vec![name(at - 1), name(at / 2), name(0)],
            _ => Vec::new(),
        };
        let tags = if at == 3500 { "tags: [pii]" } else { "" };
        let comma = if tags.is_empty() || inputs.is_empty() { "" } else { ", " };
        let inputs = if inputs.is_empty() { String::new() } else { format!("inputs: [\"{}\"]", inputs.join("\", \"")) };
        writeln!(catalogue, "  \"{}\": {{{tags}{comma}{inputs}}}", name(at)).unwrap();
    }
    let setup =
        Setup::new(&Upstream::start().await).with("catalogue: [catalogue.yaml]").with("shadow: {policies: next.yaml}");
    setup.folder.write("catalogue.yaml", catalogue);
    let policy =
        "version: 1\nroles: {analyst: {tags: {pii: Deny}}}\nbindings: [{roles: [analyst], when: {groups: a}}]\n";
    setup.folder.write("next.yaml", policy.replace("{tags:", "{default: AllowInternal, tags:"));
    let sidecar = setup.policy(policy).start().await;
    let caller = json!({"roles": ["analyst"]});
    let last = name(COUNT - 1);
    let bounded = async |kind: &str, ask: Value, most: usize| {
        let answer = question_of(&sidecar, kind, &ask.to_string()).await;
        assert_eq!(answer.status, 200, "{kind}: {}", answer.text());
        assert!(answer.body.len() < most, "{kind}: {} bytes", answer.body.len());
        answer.json()
    };
    let told = bounded("features", json!({"caller": caller, "limit": 200, "offset": 70_000}), 64 << 10).await;
    assert_eq!((told["total"].as_u64(), told["rows"].as_array().unwrap().len()), (Some(COUNT as u64), 200));
    let told = bounded("features", json!({"caller": caller, "limit": 200, "search": last}), 4 << 10).await;
    assert_eq!(
        (&told["total"], &told["rows"][0]["permission"], &told["rows"][0]["rule"]),
        (&json!(1), &json!("Deny"), &json!(4))
    );
    // Its picture has bounds, and what decided is in it.
    let told = bounded("feature", json!({"caller": caller, "feature": last}), 200 << 10).await;
    let nodes = told["explanation"]["nodes"].as_array().unwrap();
    assert!(nodes.len() <= 150, "{}", nodes.len());
    assert_eq!(nodes[0]["left_out"], 4000 - 30);
    assert!((1..=30).contains(&nodes[0]["because"].as_array().unwrap().len()));
    assert!(nodes.iter().any(|node| node["feature"] == json!(name(3500))), "what decided is left out");
    let told = bounded("feature", json!({"caller": caller, "feature": name(0)}), 32 << 10).await;
    assert!(told["readers"]["total"].as_u64().unwrap() > 30_000);
    assert_eq!(told["readers"]["features"].as_array().unwrap().len(), 50);
    let outputs: Vec<String> = (0..200).map(|at| name(COUNT - 2 - at)).collect();
    bounded("query", json!({"caller": caller, "outputs": outputs}), 1 << 20).await;
    let told = bounded("compare", json!({"caller": caller, "limit": 200}), 64 << 10).await;
    assert!(told["counts"]["narrower"].as_u64().unwrap() > 90_000, "{}", told["counts"]);
    assert_eq!(told["rows"].as_array().unwrap().len(), 200);
}
