//! `shadow:` (config.md): a candidate is decided beside the live policy, changes no answer, and tells where it differs.

use serde_json::{Value, json};

use crate::support::client;
use crate::support::process::Process;
use crate::support::sidecar::{FINE, POLICY, REFUSED, Setup, Sidecar, cutter, reader};
use crate::support::tokens::KEY;
use crate::support::upstream::Upstream;

const WIDER: &str = "tagwarden_shadow_disagreements_total{change=\"wider\"}";
const NARROWER: &str = "tagwarden_shadow_disagreements_total{change=\"narrower\"}";

fn with(upstream: &Upstream, candidate: &str) -> Setup {
    let setup = Setup::new(upstream).with("shadow: {policies: next.yaml}");
    setup.folder.write("next.yaml", candidate);
    setup
}

async fn counts(sidecar: &Sidecar) -> (f64, f64) {
    (sidecar.metric(WIDER).await, sidecar.metric(NARROWER).await)
}

fn wider() -> String {
    POLICY.replace("pii: Deny", "pii: Allow")
}

#[tokio::test]
async fn a_wider_candidate_is_counted_and_changes_no_answer() {
    let upstream = Upstream::start().await;
    let sidecar = with(&upstream, &wider()).start().await;
    sidecar.query(&reader(), REFUSED).await.fails(403, "FEATURES_REFUSED");
    sidecar.query(&reader(), REFUSED).await.fails(403, "FEATURES_REFUSED");
    assert_eq!(counts(&sidecar).await, (2.0, 0.0));
    let cut = sidecar.query(&cutter(), REFUSED).await;
    assert_eq!((cut.status, cut.header("x-tagwarden-filtered")), (200, Some("1")));
    assert_eq!(counts(&sidecar).await, (3.0, 0.0));
    // Where both answer the same, nothing is counted.
    assert_eq!(sidecar.query(&reader(), FINE).await.status, 200);
    assert_eq!(counts(&sidecar).await, (3.0, 0.0));
    // The audit is of the live policy alone.
    let decisions: Vec<Value> = sidecar.audit(4).await.iter().map(|line| line["decision"].clone()).collect();
    assert_eq!(decisions, ["refused", "refused", "filtered", "permitted"]);
}

#[tokio::test]
async fn a_narrower_candidate_is_counted_where_it_takes_something_away() {
    let upstream = Upstream::start().await;
    let candidate = POLICY.replace("customer:country: {", "customer:country: {tags: [pii], ");
    let sidecar = with(&upstream, &candidate).start().await;
    let answer = sidecar.query(&reader(), FINE).await;
    assert_eq!(answer.json()["metadata"]["feature_names"], json!(["customer_id", "age", "country"]));
    assert_eq!(counts(&sidecar).await, (0.0, 1.0));
    // What both refuse is the same, whatever else the candidate denies.
    let both = r#"{"features":["customer:ssn","customer:country"],"entities":{"customer_id":[1]}}"#;
    sidecar.query(&reader(), both).await.fails(403, "FEATURES_REFUSED");
    assert_eq!(counts(&sidecar).await, (0.0, 1.0));
}

#[tokio::test]
async fn one_query_can_be_both() {
    let upstream = Upstream::start().await;
    let candidate = wider().replace("customer:country: {", "customer:country: {tags: [secret], ");
    let candidate = candidate.replace("internal: AllowInternal", "internal: AllowInternal, secret: Deny");
    let sidecar = with(&upstream, &candidate).start().await;
    let all = r#"{"features":["customer:ssn","customer:country","customer:age"],"entities":{"customer_id":[1]}}"#;
    let answer = sidecar.query(&cutter(), all).await;
    assert_eq!(answer.json()["metadata"]["feature_names"], json!(["customer_id", "country", "age"]));
    assert_eq!(counts(&sidecar).await, (1.0, 1.0));
}

#[tokio::test]
async fn bindings_and_modes_of_the_candidate_count_too() {
    let upstream = Upstream::start().await;
    let candidate = POLICY.replace("groups: writers", "groups: strangers").replace("groups: cutters", "groups: nobody");
    let candidate = candidate.replace("reader: {tags", "reader: {mode: filter, tags");
    let sidecar = with(&upstream, &candidate).start().await;
    // A role where there was none; the query is not read, so the caller is what is told.
    sidecar.query(&KEY.token(&["strangers"]), FINE).await.fails(403, "FORBIDDEN");
    assert_eq!(counts(&sidecar).await, (1.0, 0.0));
    // None where there was one.
    assert_eq!(sidecar.query(&cutter(), FINE).await.status, 200);
    assert_eq!(counts(&sidecar).await, (1.0, 1.0));
    // Filtered where it was refused whole.
    sidecar.query(&reader(), REFUSED).await.fails(403, "FEATURES_REFUSED");
    assert_eq!(counts(&sidecar).await, (2.0, 1.0));
    // No role on either side.
    sidecar.query(&KEY.token(&["others"]), FINE).await.fails(403, "FORBIDDEN");
    assert_eq!(counts(&sidecar).await, (2.0, 1.0));
}

#[tokio::test]
async fn it_is_switched_off_on_and_over_by_reloads() {
    let upstream = Upstream::start().await;
    let sidecar = with(&upstream, POLICY).start().await;
    let generation = async || sidecar.metric("tagwarden_snapshot_generation{kind=\"policy\"}").await;
    let ask = async || sidecar.query(&reader(), REFUSED).await.fails(403, "FEATURES_REFUSED");
    ask().await;
    assert_eq!((counts(&sidecar).await, generation().await), ((0.0, 0.0), 1.0));

    sidecar.setup.folder.write("next.yaml", wider());
    sidecar.until_metric("tagwarden_snapshot_generation{kind=\"policy\"}", 2.0).await;
    ask().await;
    assert_eq!(counts(&sidecar).await, (1.0, 0.0));
    assert_eq!(sidecar.metric("tagwarden_reloads_total{kind=\"shadow\",result=\"ok\"}").await, 1.0);

    // The live policy catches up: the same candidate agrees with it now.
    sidecar.setup.folder.write("policy.yaml", wider());
    sidecar.until_status(&reader(), REFUSED, 200).await;
    let before = counts(&sidecar).await;
    assert_eq!(sidecar.query(&reader(), REFUSED).await.status, 200);
    assert_eq!(counts(&sidecar).await, before);

    // Off, and on again with another one.
    let text = sidecar.setup.text();
    sidecar.setup.folder.write("next.yaml", POLICY);
    sidecar.until_metric("tagwarden_snapshot_generation{kind=\"policy\"}", 4.0).await;
    sidecar.setup.folder.write("tagwarden.yaml", text.replace("shadow: {policies: next.yaml}\n", ""));
    sidecar.until_metric("tagwarden_snapshot_generation{kind=\"policy\"}", 5.0).await;
    assert_eq!(sidecar.query(&reader(), REFUSED).await.status, 200);
    assert_eq!(counts(&sidecar).await, before);
    sidecar.setup.folder.write("tagwarden.yaml", text);
    sidecar.until_metric("tagwarden_snapshot_generation{kind=\"policy\"}", 6.0).await;
    assert_eq!(sidecar.query(&reader(), REFUSED).await.status, 200);
    assert_eq!(counts(&sidecar).await, (before.0, before.1 + 1.0));
}

#[tokio::test]
async fn a_candidate_that_does_not_load_shows_and_keeps_nobody_from_anything() {
    let upstream = Upstream::start().await;
    let sidecar = with(&upstream, &wider()).start().await;
    sidecar.setup.folder.write("next.yaml", "version: 1\nrols: {}\n");
    let why = sidecar.until_state("shadow", "unknown key `rols`").await;
    assert!(why.contains("next.yaml:2:1: error[unknown-key]"), "{why}");
    assert_eq!(sidecar.metric("tagwarden_snapshot_stale{kind=\"shadow\"}").await, 1.0);
    assert_eq!(sidecar.ready().await.0, 200);
    // The last good one is compared on, also after the live policy was reloaded.
    sidecar.query(&reader(), REFUSED).await.fails(403, "FEATURES_REFUSED");
    assert_eq!(counts(&sidecar).await, (1.0, 0.0));
    sidecar.setup.folder.write("policy.yaml", POLICY.replace("cleared: AllowDownstream", "cleared: Allow"));
    sidecar.until_metric("tagwarden_snapshot_generation{kind=\"policy\"}", 2.0).await;
    sidecar.query(&reader(), REFUSED).await.fails(403, "FEATURES_REFUSED");
    assert_eq!(counts(&sidecar).await, (2.0, 0.0));
    assert!(sidecar.until_state("shadow", "rols").await.contains("rols"));
    sidecar.setup.folder.write("next.yaml", POLICY);
    sidecar.until_state("shadow", "ok").await;
    assert_eq!(sidecar.metric("tagwarden_snapshot_stale{kind=\"shadow\"}").await, 0.0);
}

#[tokio::test]
async fn it_compares_beside_a_suspended_enforcement() {
    let upstream = Upstream::start().await;
    let sidecar = with(&upstream, &wider()).with("enforcement: audit").start().await;
    assert_eq!(sidecar.query(&reader(), REFUSED).await.status, 200);
    assert_eq!(counts(&sidecar).await, (1.0, 0.0));
}

#[tokio::test]
async fn each_disagreeing_query_is_logged_once_a_generation_with_its_reason() {
    let upstream = Upstream::start().await;
    let candidate = wider().replace("customer:country: {", "customer:country: {tags: [secret], ");
    let candidate = candidate.replace("internal: AllowInternal", "internal: AllowInternal, secret: Deny");
    let setup = with(&upstream, &candidate).with("listen: {address: \"127.0.0.1:0\"}");
    let mut process = Process::serve(&setup.write(), &[]).await;
    let data = process.data;
    let ask = async |token: &str, body: &str| client::ask(data, client::query(token, body)).await.status;
    // Two callers of one role, other values: the same query.
    let again = REFUSED.replace("[1,2]", "[7]");
    assert_eq!(ask(&reader(), REFUSED).await, 403);
    assert_eq!(ask(&KEY.token_of("other", &["readers"], 99), &again).await, 403);
    assert_eq!(ask(&reader(), FINE).await, 200);
    process.logged("\"change\":\"narrower\"").await;
    let lines = |log: &str| -> Vec<Value> {
        let told = log.lines().filter(|line| line.contains("the shadow policy disagrees"));
        told.map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let told = lines(&process.log());
    let facts = |line: &Value| {
        let names = ["generation", "change", "roles", "candidate_roles", "outputs", "reason"];
        json!(names.map(|name| line[name].clone()))
    };
    let found: Vec<Value> = told.iter().map(facts).collect();
    let roles = "[\"reader\"]";
    let live = "for the live policy, `customer:ssn` is Deny by rule 7, tag `pii`";
    let next = "for the candidate, `customer:country` is Deny by rule 7, tag `secret`";
    let expected = [
        json!([1, "wider", roles, roles, "customer:age, customer:ssn", live]),
        json!([1, "narrower", roles, roles, "customer:age, customer:country", next]),
    ];
    assert_eq!(found, expected);
    // A new generation tells again.
    setup.folder.write("policy.yaml", POLICY.replace("cleared: AllowDownstream", "cleared: Allow"));
    process.logged("\"generation\":2").await;
    assert_eq!(ask(&reader(), REFUSED).await, 403);
    process.logged("\"generation\":2,\"change\":\"wider\"").await;
}

#[tokio::test]
async fn a_candidate_that_is_missing_at_the_start_is_exit_3() {
    let upstream = Upstream::start().await;
    let setup = Setup::new(&upstream).with("shadow: {policies: nowhere.yaml}");
    let config = setup.write();
    let (code, _, said) = crate::support::process::run(["serve", "--config", config.to_str().unwrap()]);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("nowhere.yaml"), "{said}");
}
