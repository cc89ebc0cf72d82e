//! Reloads under load: no request fails, and every answer is one that a policy in force gave (config.md: everything that
//! is a file reloads by itself; a reload that fails keeps what was there and shows).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use crate::support::client::{Answer, H2, Raw, query};
use crate::support::sidecar::{FINE, POLICY, REFUSED, Setup, Sidecar, reader};
use crate::support::until;
use crate::support::upstream::Upstream;

const CHANGES: usize = 50;
const REQUESTS: usize = 10_000;
const CONNECTIONS: usize = 6;

/// Every fifth one is broken, the first is not.
fn broken(number: usize) -> bool {
    number % 5 == 4
}

/// Policy `number` returns the feature of that number and no other, so that an answer names the policy that gave it.
fn numbered(number: usize) -> String {
    let features: String = (0..CHANGES)
        .map(|feature| {
            let tag = if feature == number { "open" } else { "shut" };
            format!("  view:f{feature}: {{tags: [{tag}], joins: [customer_id]}}\n")
        })
        .collect();
    let ends = if broken(number) { "roles: {reader: {}}\nno-such-key: 1\n" } else { "" };
    format!(
        "version: 1\nmode: filter\nroles:\n  reader: {{tags: {{shut: AllowInternal}}}}\n\
         bindings:\n  - {{roles: [reader], when: {{groups: readers}}}}\n\
         features:\n  customer_id: {{key: true}}\n{features}{ends}"
    )
}

fn everything() -> String {
    let features: Vec<String> = (0..CHANGES).map(|feature| format!("\"view:f{feature}\"")).collect();
    format!("{{\"features\":[{}],\"entities\":{{\"customer_id\":[1]}}}}", features.join(","))
}

/// Which policy gave an answer.
fn giver(answer: &Answer) -> usize {
    assert_eq!(answer.status, 200, "a request failed: {answer:?}");
    let body = answer.json();
    let names: Vec<&str> =
        body["metadata"]["feature_names"].as_array().unwrap().iter().flat_map(|n| n.as_str()).collect();
    assert_eq!((names.len(), names[0]), (2, "customer_id"), "{answer:?}");
    assert_eq!(body["results"][1]["values"], json!([format!("view__{} of row 0", names[1])]));
    assert_eq!(answer.header("x-tagwarden-filtered"), Some((CHANGES - 1).to_string().as_str()));
    names[1].strip_prefix('f').unwrap().parse().unwrap()
}

/// Which policies may answer: from the last that is known to be in force to the last that was written.
#[derive(Default)]
struct Window {
    in_force: AtomicUsize,
    written: AtomicUsize,
    answered: AtomicUsize,
}

impl Window {
    /// Takes the answer of a request that began when `oldest` was in force.
    fn take(&self, oldest: usize, answer: &Answer) {
        let (given, newest) = (giver(answer), self.written.load(Ordering::SeqCst));
        assert!(
            (oldest..=newest).contains(&given) && !broken(given),
            "policy {given} answered when {oldest} to {newest} could"
        );
        self.answered.fetch_add(1, Ordering::SeqCst);
    }

    fn oldest(&self) -> usize {
        self.in_force.load(Ordering::SeqCst)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_requests_while_the_policy_changes_fifty_times_and_none_fails_or_mixes_two() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).policy(&numbered(0)).start().await;
    let (window, token, body) = (Arc::new(Window::default()), reader(), everything());
    let mut clients = Vec::new();
    for number in 0..CONNECTIONS {
        let (window, request, token, body) = (Arc::clone(&window), query(&token, &body), token.clone(), body.clone());
        let share = REQUESTS / CONNECTIONS + usize::from(number < REQUESTS % CONNECTIONS);
        let at = sidecar.data;
        clients.push(tokio::spawn(async move {
            if number == 0 {
                let h2 = H2::connect(at).await;
                for _ in 0..share {
                    let oldest = window.oldest();
                    window.take(oldest, &h2.query(&token, &body).await);
                }
            } else {
                let mut raw = Raw::connect(at).await;
                for _ in 0..share {
                    let oldest = window.oldest();
                    window.take(oldest, &raw.ask(&request).await);
                }
            }
        }));
    }
    for number in 1..CHANGES {
        // Spread over the requests, and each one seen before the next.
        let due = REQUESTS / CHANGES * number;
        until("requests", async || {
            (window.answered.load(Ordering::SeqCst) >= due || clients.iter().any(|c| c.is_finished())).then_some(())
        })
        .await;
        window.written.store(number, Ordering::SeqCst);
        let before = sidecar.live.states();
        sidecar.setup.folder.write("policy.yaml", numbered(number));
        until("a reload", async || {
            let now = sidecar.live.states();
            if broken(number) {
                now.policy.stale.as_ref().map(|_| ())
            } else {
                (now.policy.digest != before.policy.digest).then_some(())
            }
        })
        .await;
        if !broken(number) {
            window.in_force.store(number, Ordering::SeqCst);
        }
    }
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(window.answered.load(Ordering::SeqCst), REQUESTS);
    assert_eq!(sidecar.metric("tagwarden_requests_total{code=\"200\",route=\"/get-online-features\"}").await, 10_000.0);
    assert_eq!(giver(&sidecar.query(&token, &body).await), CHANGES - 2, "the last one is broken");
}

#[tokio::test]
async fn a_broken_policy_keeps_the_last_good_one_and_shows() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    let good = sidecar.status().await;
    assert_eq!(
        sidecar.ready().await,
        (
            200,
            json!({
                "ready": true, "draining": false, "enforcement": "enforce",
                "checks": {"policy": "ok", "catalogue": "ok", "graph": "ok", "config": "ok", "keys": "ok", "certificates": "ok", "upstream": "ok", "shadow": "ok", "clients": "ok", "description": "ok", "admin": "ok", "issuers_without_keys": []},
            })
        )
    );
    sidecar.setup.folder.write("policy.yaml", POLICY.replace("pii: Deny", "pii: Dany"));
    let said = sidecar.until_state("policy", "stale: ").await;
    assert!(said.contains("policy.yaml:3:24: error[unknown-word]: ") && said.contains("`Dany`"), "{said}");
    sidecar.query(&reader(), REFUSED).await.fails(403, "FEATURES_REFUSED");
    assert_eq!(sidecar.query(&reader(), FINE).await.status, 200);
    // It is ready still: what it serves is whole.
    assert_eq!(sidecar.ready().await.0, 200);
    let status = sidecar.status().await;
    assert_eq!(
        (&status["policy_digest"], &status["policy"]["digest"]),
        (&good["policy_digest"], &good["policy"]["digest"])
    );
    assert!(status["policy"]["stale"].as_str().unwrap().contains("`Dany`"), "{status}");
    assert_eq!(sidecar.metric("tagwarden_snapshot_stale{kind=\"policy\"}").await, 1.0);
    assert_eq!(sidecar.metric("tagwarden_snapshot_stale{kind=\"catalogue\"}").await, 0.0);

    sidecar.setup.folder.write("policy.yaml", POLICY.replace("pii: Deny", "pii: Allow"));
    sidecar.until_state("policy", "ok").await;
    assert_eq!(sidecar.query(&reader(), REFUSED).await.status, 200);
    assert_eq!(sidecar.metric("tagwarden_snapshot_stale{kind=\"policy\"}").await, 0.0);
    let now = sidecar.status().await;
    assert!(now["generation"].as_u64() > good["generation"].as_u64() && now["policy_digest"] != good["policy_digest"]);
    let generation = sidecar.metric("tagwarden_snapshot_generation{kind=\"policy\"}").await;
    assert_eq!(Some(generation), now["generation"].as_f64());
}

#[tokio::test]
async fn a_policy_that_is_gone_empty_or_no_text_keeps_the_last_good_one() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    std::fs::remove_file(sidecar.setup.folder.path("policy.yaml")).unwrap();
    for (bytes, said) in [
        (None, "does not exist, or is a link to what does not"),
        (Some(b"".as_slice()), "error["),
        (Some(b"version: 1\nroles: {\xff: {}}\n"), "is not utf-8"),
        (Some(b"version: 1\n"), "the new policy has 0 roles where 3 are served; set `allow_shrink` if that is meant"),
    ] {
        if let Some(bytes) = bytes {
            sidecar.setup.folder.write("policy.yaml", bytes);
        }
        sidecar.until_state("policy", said).await;
        assert_eq!(sidecar.query(&reader(), FINE).await.status, 200);
        sidecar.query(&reader(), REFUSED).await.fails(403, "FEATURES_REFUSED");
    }
    sidecar.setup.folder.write("policy.yaml", POLICY);
    sidecar.until_state("policy", "ok").await;
}

#[tokio::test]
async fn a_reload_that_loses_half_of_something_waits_for_allow_shrink() {
    let upstream = Upstream::start().await;
    let fewer_roles = POLICY
        .replace("  cutter: {mode: filter, tags: {pii: Deny, internal: AllowInternal, cleared: AllowDownstream}}\n", "")
        .replace("  - {roles: [cutter], when: {groups: cutters}}\n", "")
        .replace("  writer: {default: Deny}\n", "")
        .replace("  - {roles: [writer], when: {groups: writers}}\n", "");
    let fewer_bindings = POLICY
        .replace("  - {roles: [cutter], when: {groups: cutters}}\n", "")
        .replace("  - {roles: [writer], when: {groups: writers}}\n", "");
    let fewer_tags = POLICY.replace("tags: [pii], ", "").replace("tags: [internal], ", "");
    let strict = Sidecar::start(&upstream).await;
    let lax = Setup::new(&upstream).with("allow_shrink: true").start().await;
    for (text, counts) in [
        (&fewer_roles, "1 roles where 3"),
        (&fewer_bindings, "1 bindings where 3"),
        (&fewer_tags, "1 tagged features where 3"),
    ] {
        assert_ne!(text, POLICY);
        strict.setup.folder.write("policy.yaml", text);
        let said = strict.until_state("policy", counts).await;
        assert!(said.ends_with("are served; set `allow_shrink` if that is meant"), "{said}");
        strict.query(&reader(), REFUSED).await.fails(403, "FEATURES_REFUSED");
        let before = lax.live.states();
        lax.setup.folder.write("policy.yaml", text);
        until("the smaller policy", async || (lax.live.states().policy.digest != before.policy.digest).then_some(()))
            .await;
        assert_eq!(lax.live.states().policy.stale, None);
    }
    lax.until_status(&reader(), REFUSED, 200).await;
}

const CATALOGUE: &str = "\
version: 1
features:
  customer_id: {key: true}
  customer:age: {joins: [customer_id]}
  customer:country: {joins: [customer_id]}
";

/// Rules over a catalogue: what readers may not see.
fn over_catalogue(shut: &str) -> String {
    format!(
        "version: 1\nroles: {{reader: {{tags: {{pii: Deny}}}}}}\n\
         bindings: [{{roles: [reader], when: {{groups: readers}}}}]\nfeatures:\n  \"{shut}\": {{tags: [pii]}}\n"
    )
}

#[tokio::test]
async fn a_bad_catalogue_keeps_the_last_good_one_under_the_new_policy_and_the_other_way_round() {
    let upstream = Upstream::start().await;
    let setup = Setup::new(&upstream).policy(&over_catalogue("customer:age")).with("catalogue: [catalogue.yaml]");
    setup.folder.write("catalogue.yaml", CATALOGUE);
    let sidecar = setup.start().await;
    let asked = |name: &str| format!(r#"{{"features":["customer:{name}"],"entities":{{"customer_id":[1]}}}}"#);
    let (token, folder) = (reader(), &sidecar.setup.folder);
    assert_eq!(sidecar.query(&token, asked("country")).await.status, 200);
    assert_eq!(sidecar.query(&token, asked("age")).await.status, 403);

    folder.write("catalogue.yaml", CATALOGUE.replace("joins: [customer_id]", "joins: [nobody]"));
    sidecar.until_state("catalogue", "stale: ").await;
    assert_eq!(sidecar.query(&token, asked("country")).await.status, 200);
    folder.write("policy.yaml", over_catalogue("customer:country"));
    sidecar.until_status(&token, &asked("country"), 403).await;
    assert_eq!(sidecar.query(&token, asked("age")).await.status, 200);
    let (ready, body) = sidecar.ready().await;
    assert_eq!((ready, &body["checks"]["policy"]), (200, &json!("ok")));
    let said = body["checks"]["catalogue"].as_str().unwrap().to_owned();
    assert!(said.starts_with("stale: ") && said.contains("nobody"), "{said}");
    assert_eq!(sidecar.metric("tagwarden_snapshot_stale{kind=\"catalogue\"}").await, 1.0);
    assert_eq!(sidecar.metric("tagwarden_snapshot_stale{kind=\"policy\"}").await, 0.0);

    let before = sidecar.live.states();
    folder.write("catalogue.yaml", "version: 1\n");
    until("another complaint", async || {
        let said = sidecar.live.states().catalogue.stale.clone()?;
        (!said.contains("nobody")).then_some(())
    })
    .await;
    assert_eq!(sidecar.live.states().catalogue.digest, before.catalogue.digest, "an empty one is none");
    assert_eq!(sidecar.query(&token, asked("age")).await.status, 200);

    // The other way round: a new catalogue under the last good policy.
    folder.write("policy.yaml", "version: 2\n");
    sidecar.until_state("policy", "stale: ").await;
    folder.write("catalogue.yaml", format!("{CATALOGUE}  customer:vip: {{joins: [customer_id]}}\n"));
    sidecar.until_status(&token, &asked("vip"), 200).await;
    assert_eq!(sidecar.query(&token, asked("country")).await.status, 403);
    assert_eq!(sidecar.live.states().catalogue.stale, None);
    assert!(sidecar.live.states().policy.stale.is_some());
    folder.write("policy.yaml", over_catalogue("customer:vip"));
    sidecar.until_state("policy", "ok").await;
    assert_eq!(sidecar.query(&token, asked("vip")).await.status, 403);
    assert_eq!(sidecar.query(&token, asked("country")).await.status, 200);
}

#[tokio::test]
async fn a_policy_that_is_gone_stays_so_when_the_catalogue_reloads() {
    let upstream = Upstream::start().await;
    let catalogue = "version: 1\nfeatures: {shop:size: {joins: [customer_id]}}\n";
    let setup = Setup::new(&upstream).with("catalogue: [catalogue.yaml]");
    setup.folder.write("catalogue.yaml", catalogue);
    let sidecar = setup.start().await;
    std::fs::remove_file(sidecar.setup.folder.path("policy.yaml")).unwrap();
    sidecar.until_state("policy", "does not exist").await;
    let asked = r#"{"features":["shop:price"],"entities":{"customer_id":[1]}}"#;
    sidecar.setup.folder.write("catalogue.yaml", catalogue.replace("size", "price"));
    sidecar.until_status(&reader(), asked, 200).await;
    sidecar.until_metric("tagwarden_reloads_total{kind=\"catalogue\",result=\"ok\"}", 1.0).await;
    sidecar.until_state("policy", "does not exist").await;
    assert_eq!(sidecar.metric("tagwarden_snapshot_stale{kind=\"policy\"}").await, 1.0);
}
