//! The last part of the walk, with the policies that it has made by then, over HTTP: what the candidate in the shadow is
//! shown to log, and the commands over metrics and the audit log.

use std::path::Path;

use serde_json::{Value, json};

use super::{WORKSHOP, blocks, session, text_of};
use crate::support::client::{ask, query, request};
use crate::support::process::Process;
use crate::support::sidecar::Setup;
use crate::support::tokens::{AUDIENCE, ISSUER, KEY, now};
use crate::support::upstream::Upstream;

/// The blocks of the walk that begin with this name, in their order.
fn files(name: &str) -> Vec<String> {
    let found = blocks(WORKSHOP, &text_of(WORKSHOP)).into_iter().map(|block| block.text);
    found.filter(|text| text.lines().next() == Some(&format!("# {name}"))).collect()
}

/// A folder of policies.
fn write(folder: &Path, policy: &str, reviews: &str) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("policy.yaml"), policy).unwrap();
    std::fs::write(folder.join("reviews.yaml"), reviews).unwrap();
}

#[tokio::test]
async fn the_shadow_logs_what_the_walk_shows() {
    let upstream = Upstream::start().await;
    let setup = Setup { policies: "policies".to_owned(), ..Setup::new(&upstream) };
    let setup = setup.with("catalogue: [catalogue.yaml]").with("shadow: {policies: policies-next/}");
    let policy = files("policies/policy.yaml").remove(0).replace("reviewd:", "reviewed:");
    let reviews = files("policies/reviews.yaml");
    write(&setup.folder.path("policies"), &policy, &reviews[0]);
    let next = policy.replace("class=financial: Deny", "class=financial: AllowInternal");
    write(&setup.folder.path("policies-next"), &next, &reviews[1]);
    let dump = super::repository().join("docs/workshop/registry-dump.json");
    let import = format!("tagwarden catalogue import feast '{}' -o catalogue.yaml", dump.display());
    assert!(session::shell(&setup.folder.path(""), &import).output().unwrap().status.success());

    let mut process = Process::serve(&setup.write(), &[]).await;
    let token = |claim: &str, value: Value| {
        KEY.sign(&json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "s", "exp": now() + 3600, claim: value}))
    };
    let of = |what: Value| {
        let mut body = json!({"entities": {"customer_id": [1], "basket_total": [80.0]}});
        body.as_object_mut().unwrap().extend(what.as_object().unwrap().clone());
        body.to_string()
    };
    let (marketing, scoring) = (token("groups", json!(["marketing"])), token("client_id", json!("scoring-svc")));
    let service = of(json!({"feature_service": "checkout"}));
    assert_eq!(ask(process.data, query(&marketing, service)).await.status, 200);
    let division = of(json!({"features": ["checkout_risk:basket_to_income"]}));
    assert_eq!(ask(process.data, query(&scoring, division)).await.status, 200);
    process.logged("\"change\":\"narrower\"").await;

    let page = text_of(WORKSHOP);
    let log = process.log();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("the shadow policy disagrees")).collect();
    assert_eq!(told.len(), 2, "{log}");
    for line in told {
        let told: Value = serde_json::from_str(line).unwrap();
        let mut shown = line.to_owned();
        for name in ["timestamp", "decision_id"] {
            shown = shown.replace(told[name].as_str().unwrap(), "…");
        }
        assert!(page.contains(&shown), "{WORKSHOP} does not show this line:\n{shown}");
    }
    let metrics = ask(process.metrics, request("GET", "/metrics", "", "")).await.text().to_owned();
    let counts = metrics.lines().filter(|line| line.starts_with("tagwarden_shadow_disagreements_total"));
    let counts = counts.collect::<Vec<_>>().join("\n");
    assert!(page.contains(&format!("\n{counts}\n")), "{WORKSHOP} does not show these:\n{counts}");
}
