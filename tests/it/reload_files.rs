//! Reloads of the other files: what Kubernetes mounts, keys, `tagwarden.yaml` itself.

use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::json;

use crate::support::client::request;
use crate::support::process::Process;
use crate::support::sidecar::{FINE, POLICY, REFUSED, Setup, Sidecar, reader};
use crate::support::tokens::{AUDIENCE, ISSUER, KEY, Key};
use crate::support::until;
use crate::support::upstream::Upstream;

/// Mounts files as Kubernetes mounts a ConfigMap: names that lead through `..data`, which is swapped by one rename.
pub fn mount(folder: &Path, version: &str, files: &[(&str, impl AsRef<[u8]>)]) {
    let inside = folder.join(format!("..2026_{version}"));
    std::fs::create_dir_all(&inside).unwrap();
    for (name, text) in files {
        std::fs::write(inside.join(name), text).unwrap();
        let link = folder.join(name);
        if link.symlink_metadata().is_err() {
            symlink(Path::new("..data").join(name), link).unwrap();
        }
    }
    let data = folder.join("..data");
    let old = std::fs::read_link(&data).ok();
    symlink(inside.file_name().unwrap(), folder.join("..data_tmp")).unwrap();
    std::fs::rename(folder.join("..data_tmp"), &data).unwrap();
    if let Some(old) = old {
        std::fs::remove_dir_all(folder.join(old)).unwrap();
    }
}

#[tokio::test]
async fn a_swap_of_a_mounted_folder_reloads_policy_and_keys() {
    let upstream = Upstream::start().await;
    let mut setup = Setup::new(&upstream);
    let mounted = setup.folder.path("mounted");
    let (other, denies, allows) = (Key::new("k2"), POLICY, POLICY.replace("pii: Deny", "pii: Allow"));
    mount(&mounted, "1", &[("rules.yaml", denies), ("jwks.json", &KEY.set())]);
    (setup.policies, setup.keys) = ("mounted".to_owned(), "{jwks_file: mounted/jwks.json}".to_owned());
    let sidecar = setup.start().await;
    assert_eq!(sidecar.query(&reader(), FINE).await.status, 200);
    assert_eq!(sidecar.query(&reader(), REFUSED).await.status, 403);

    mount(&mounted, "2", &[("rules.yaml", &allows), ("jwks.json", &KEY.set())]);
    sidecar.until_status(&reader(), REFUSED, 200).await;
    mount(&mounted, "3", &[("rules.yaml", &allows), ("jwks.json", &other.set())]);
    sidecar.until_status(&other.token(&["readers"]), REFUSED, 200).await;
    assert_eq!(sidecar.query(&reader(), FINE).await.status, 401);
    // Swapped back: what is served is by content.
    mount(&mounted, "4", &[("rules.yaml", denies), ("jwks.json", &KEY.set())]);
    sidecar.until_status(&reader(), REFUSED, 403).await;
    assert_eq!(sidecar.query(&other.token(&["readers"]), FINE).await.status, 401);
    assert_eq!(sidecar.live.states().policy.stale, None);
}

#[tokio::test]
async fn a_swap_of_a_mounted_folder_reloads_the_configuration() {
    let upstream = Upstream::start().await;
    let setup = Setup::new(&upstream);
    let mounted = setup.folder.path("mounted");
    let text = setup.text();
    let more = format!("{text}routes: [{{path: /v1/open, methods: [GET], public: true}}]\n");
    let rest = [("policy.yaml", POLICY), ("jwks.json", &*KEY.set())];
    mount(&mounted, "1", &[rest[0], rest[1], ("tagwarden.yaml", &text)]);
    let sidecar = setup.start_from(&mounted.join("tagwarden.yaml")).await;
    let open = request("GET", "/v1/open", "", "");
    assert_eq!(sidecar.ask(&open).await.status, 404);
    mount(&mounted, "2", &[rest[0], rest[1], ("tagwarden.yaml", &more)]);
    until("the route", async || (sidecar.ask(&open).await.status == 200).then_some(())).await;
    mount(&mounted, "3", &[rest[0], rest[1], ("tagwarden.yaml", &text)]);
    until("no route", async || (sidecar.ask(&open).await.status == 404).then_some(())).await;
}

#[tokio::test]
async fn a_key_set_that_is_replaced_refuses_the_old_tokens_and_takes_the_new_ones() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    let next = Key::new("k2");
    let (old, new) = (reader(), next.token(&["readers"]));
    // Both were seen before, so neither answer comes from where tokens are kept.
    assert_eq!(sidecar.query(&old, FINE).await.status, 200);
    assert_eq!(sidecar.query(&new, FINE).await.status, 401);
    sidecar.setup.folder.write("jwks.json", next.set());
    sidecar.until_status(&new, FINE, 200).await;
    let answer = sidecar.query(&old, FINE).await;
    assert_eq!(answer.fails(401, "UNAUTHORIZED"), "The access token is invalid");
    sidecar.until_metric("tagwarden_reloads_total{kind=\"keys\",result=\"ok\"}", 1.0).await;

    let good = sidecar.setup.folder.read("jwks.json");
    for (text, said) in [("{\"keys\":[]}", "stale: "), ("nonsense", "stale: "), (&good[..40], "stale: ")] {
        sidecar.setup.folder.write("jwks.json", text);
        let said = sidecar.until_state("keys", said).await;
        assert!(said.contains("jwks.json") && !said.contains("nonsense"), "{said}");
        assert_eq!(sidecar.query(&new, FINE).await.status, 200);
        assert_eq!(sidecar.metric("tagwarden_snapshot_stale{kind=\"keys\"}").await, 1.0);
        sidecar.setup.folder.write("jwks.json", &good);
        sidecar.until_state("keys", "ok").await;
    }
    assert_eq!(sidecar.metric("tagwarden_reloads_total{kind=\"keys\",result=\"failed\"}").await, 3.0);
    assert_eq!(sidecar.metric("tagwarden_snapshot_stale{kind=\"keys\"}").await, 0.0);
    let issuers = &sidecar.status().await["issuers"];
    assert_eq!((&issuers[0]["issuer"], &issuers[0]["keys"]), (&json!(ISSUER), &json!(1)));
}

#[tokio::test]
async fn the_configuration_reloads_routes_limits_and_wording() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    let (folder, token) = (&sidecar.setup.folder, reader());
    let text = sidecar.setup.text();
    let open = request("GET", "/v1/open", "", "");
    let service = r#"{"feature_service":"pii_service","entities":{"customer_id":[1]}}"#;
    let long = format!("{FINE}{}", " ".repeat(200));
    assert_eq!(sidecar.ask(&open).await.status, 404);
    assert_eq!(sidecar.query(&token, &long).await.status, 200);

    folder.write(
        "tagwarden.yaml",
        format!(
            "{text}routes: [{{path: /v1/open, methods: [GET], public: true}}]\nlimits: {{request_body: 128B}}\n\
             errors: {{name_members: true}}\n"
        ),
    );
    until("the route", async || (sidecar.ask(&open).await.status == 200).then_some(())).await;
    sidecar.query(&token, &long).await.fails(413, "BODY_TOO_LARGE");
    assert_eq!(sidecar.query(&token, FINE).await.status, 200);
    let refused = sidecar.query(&token, service).await.json()["error"]["refused"].clone();
    assert_eq!(refused, json!(["pii_service", "customer:ssn"]));
    assert_eq!(sidecar.metric("tagwarden_reloads_total{kind=\"config\",result=\"ok\"}").await, 1.0);

    // Another upstream, and another issuer in the place of ours.
    let other = Upstream::start().await;
    let moved = text.replace(&upstream.url, &other.url).replace(ISSUER, "https://another.example/");
    folder.write("tagwarden.yaml", moved);
    sidecar.until_status(&token, FINE, 401).await;
    let claims = json!({"iss": "https://another.example/", "aud": AUDIENCE, "groups": ["readers"],
        "exp": crate::support::tokens::now() + 600});
    let before = upstream.count();
    assert_eq!(sidecar.query(&KEY.sign(&claims), FINE).await.status, 200);
    assert_eq!((other.count(), upstream.count()), (1, before));
    assert_eq!(sidecar.ask(&open).await.status, 404);
}

#[tokio::test]
async fn a_broken_configuration_keeps_the_running_one_and_shows_every_mistake() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with("routes: [{path: /v1/open, methods: [GET], public: true}]").start().await;
    let text = sidecar.setup.text();
    sidecar
        .setup
        .folder
        .write("tagwarden.yaml", text.replace("path: /v1/open", "path: /v1/open/") + "limits: {inflight: many}\n");
    let said = sidecar.until_state("config", "stale: ").await;
    assert!(said.contains("error[route]: `/v1/open/` is no plain path such as `/v1/items`"), "{said}");
    assert!(said.contains("tagwarden.yaml:") && said.contains("`inflight`"), "{said}");
    assert_eq!(sidecar.ask(request("GET", "/v1/open", "", "")).await.status, 200);
    assert_eq!(sidecar.query(&reader(), FINE).await.status, 200);
    assert_eq!(sidecar.metric("tagwarden_snapshot_stale{kind=\"config\"}").await, 1.0);
    assert_eq!(sidecar.metric("tagwarden_reloads_total{kind=\"config\",result=\"failed\"}").await, 1.0);
    assert!(sidecar.status().await["config"]["stale"].as_str().unwrap().contains("/v1/open/"));
    // A policy that changes meanwhile reloads under the running configuration.
    sidecar.setup.folder.write("policy.yaml", POLICY.replace("pii: Deny", "pii: Allow"));
    sidecar.until_status(&reader(), REFUSED, 200).await;

    sidecar.setup.folder.write("tagwarden.yaml", text);
    sidecar.until_state("config", "ok").await;
    assert_eq!(sidecar.metric("tagwarden_snapshot_stale{kind=\"config\"}").await, 0.0);
}

#[tokio::test]
async fn a_configuration_that_names_other_files_watches_those() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    let folder = &sidecar.setup.folder;
    folder.write("other.yaml", POLICY.replace("pii: Deny", "pii: Allow"));
    folder.write("tagwarden.yaml", sidecar.setup.text().replace("policies: policy.yaml", "policies: other.yaml"));
    sidecar.until_status(&reader(), REFUSED, 200).await;
    folder.write("policy.yaml", "nonsense");
    folder.write("other.yaml", POLICY);
    sidecar.until_status(&reader(), REFUSED, 403).await;
    assert_eq!(sidecar.live.states().policy.stale, None);
}

#[tokio::test]
async fn what_takes_a_restart_is_told_and_nothing_else_is() {
    let upstream = Upstream::start().await;
    for (section, told) in [
        ("threads: 3", true),
        ("drain: {delay: 1s}", true),
        ("audit: {log: stderr}", true),
        ("audit: {log: audit.jsonl, on_full: refuse}", true),
        ("audit: {log: audit.jsonl, permitted: 0.5, subject: plain}", false),
        ("limits: {inflight: 7}", false),
    ] {
        let setup = Setup::new(&upstream);
        let mut process = Process::serve(&setup.write(), &[]).await;
        let setup = setup.with(section);
        setup.write();
        process.logged("\"kind\":\"config\"").await;
        // What is told stands before what says that the change holds.
        assert_eq!(process.log().contains("`audit` change with a restart alone"), told, "{section}\n{}", process.log());
    }
}
