//! Clients and signing keys that change while the sidecar runs.

use serde_json::json;

use super::{Secrets, World, form_at, part, policy, section, setup};
use crate::support::client::request;
use crate::support::process;
use crate::support::sidecar::{FINE, Setup};
use crate::support::until;
use crate::support::upstream::Upstream;

async fn until_clients(world: &World, reloads: f64) {
    world.sidecar.until_metric("tagwarden_reloads_total{kind=\"clients\",result=\"ok\"}", reloads).await;
}

#[tokio::test]
async fn a_disabled_client_is_out_with_all_that_it_has_and_its_old_tokens_stay_out() {
    let world = World::start().await;
    let (token, (access, refresh)) = (world.token().await, world.pair().await);
    assert_eq!((world.status(&token).await, world.status(&access).await), (200, 200));
    world.clients(&world.secrets.file(", disabled: true"));
    until_clients(&world, 1.0).await;
    assert_eq!((world.status(&token).await, world.status(&access).await), (401, 401));
    world.refresh(&refresh).await.fails(401, "INVALID_REFRESH_TOKEN");
    let headers = format!("x-api-key: {}\r\ncontent-type: application/json\r\n", world.secrets.svc_key.expose());
    let by_key = || request("POST", "/get-online-features", &headers, FINE);
    world.sidecar.ask(by_key()).await.fails(401, "UNAUTHORIZED");
    let secret = [("client_id", "svc"), ("client_secret", world.secrets.svc.expose())];
    let grant = [("grant_type", "client_credentials"), secret[0], secret[1]];
    assert_eq!(world.form("/oauth/token", &grant).await.status, 401);
    let other = [("client_id", "other"), ("client_secret", world.secrets.other.expose())];
    let other = [("grant_type", "client_credentials"), other[0], other[1]];
    assert_eq!(world.form("/oauth/token", &other).await.status, 200);

    world.clients(&world.secrets.file(""));
    until_clients(&world, 2.0).await;
    assert_eq!(world.sidecar.ask(by_key()).await.status, 200);
    assert_eq!((world.status(&token).await, world.status(&access).await), (401, 401));
    world.refresh(&refresh).await.fails(401, "INVALID_REFRESH_TOKEN");
    // What is issued in the second of the end ends with it.
    until("a token that holds", async || (world.status(&world.token().await).await == 200).then_some(())).await;
}

#[tokio::test]
async fn a_client_that_is_removed_is_out_and_one_that_is_added_is_in() {
    let world = World::start().await;
    let (token, (_, refresh)) = (world.token().await, world.pair().await);
    let whole = world.secrets.file("");
    let without: String =
        whole.lines().filter(|line| !line.starts_with("  svc:")).map(|line| format!("{line}\n")).collect();
    world.clients(&without);
    until_clients(&world, 1.0).await;
    assert_eq!(world.status(&token).await, 401);
    world.refresh(&refresh).await.fails(401, "INVALID_REFRESH_TOKEN");
    world.clients(&whole);
    until_clients(&world, 2.0).await;
    assert_eq!(world.status(&token).await, 401);
    until("a token that holds", async || (world.status(&world.token().await).await == 200).then_some(())).await;
}

#[tokio::test]
async fn an_api_key_that_is_taken_away_takes_its_tokens_along() {
    let world = World::start().await;
    let (token, (access, refresh)) = (world.token().await, world.pair().await);
    assert_eq!((world.status(&token).await, world.status(&access).await), (200, 200));
    let whole = world.secrets.file("");
    let key = format!("api_keys: [{{id: k1, hash: \"{}\", created: 2026-11-22", world.secrets.svc_key.kept());
    assert!(whole.contains(&key));
    // Expired: no more of them.
    world.clients(&whole.replace(&key, &format!("{key}, expires: 2026-11-22T00:00:00Z")));
    until_clients(&world, 1.0).await;
    world.refresh(&refresh).await.fails(401, "INVALID_REFRESH_TOKEN");
    assert_eq!((world.status(&token).await, world.status(&access).await), (200, 200));
    // Another in its place, though of the same name.
    world.clients(&whole.replace(&key, &key.replace(&world.secrets.svc_key.kept(), &Secrets::new().svc_key.kept())));
    until_clients(&world, 2.0).await;
    world.refresh(&refresh).await.fails(401, "INVALID_REFRESH_TOKEN");
    assert_eq!((world.status(&token).await, world.status(&access).await), (200, 401));
    world.clients(&whole);
    until_clients(&world, 3.0).await;
    super::pair(&world.refresh(&refresh).await);
}

#[tokio::test]
async fn clients_that_do_not_load_leave_those_that_there_were() {
    let world = World::start().await;
    let token = world.token().await;
    world.clients("version: 1\nclients: {svc: {secret: x}}\n");
    let said = world.sidecar.until_state("clients", "clients.yaml").await;
    assert!(said.contains("clients.yaml:2:"), "{said}");
    assert_eq!(world.status(&token).await, 200);
    world.token().await;
    world.clients(&world.secrets.file(""));
    world.sidecar.until_state("clients", "ok").await;
}

#[tokio::test]
async fn a_new_signing_key_signs_at_once_and_the_old_one_verifies_until_it_is_taken_away() {
    let world = World::start().await;
    let old = world.token().await;
    assert_eq!(world.status(&old).await, 200);
    let keys = world.sidecar.setup.folder.path("keys");
    let first = std::fs::read_dir(&keys).unwrap().next().unwrap().unwrap().path();
    // As old as keys are when they are rotated.
    let hour_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    std::fs::File::options().append(true).open(&first).unwrap().set_modified(hour_ago).unwrap();
    std::fs::write(keys.join("2.pem"), include_str!("../../fixtures/signing-key.pem")).unwrap();
    let kid = |token: &str| part(token, 0)["kid"].clone();
    let new = until("a token by the new key", async || {
        let token = world.token().await;
        (kid(&token) != kid(&old)).then_some(token)
    })
    .await;
    assert_eq!((world.status(&old).await, world.status(&new).await), (200, 200));
    let set = world.get("/.well-known/jwks.json").await.json();
    assert_eq!(
        set["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect::<Vec<_>>(),
        [kid(&new), kid(&old)]
    );
    std::fs::remove_file(&first).unwrap();
    until("the old key to be gone", async || (world.status(&old).await == 401).then_some(())).await;
    assert_eq!(world.status(&new).await, 200);
    // A file that is no key changes nothing.
    std::fs::write(keys.join("3.pem"), "x").unwrap();
    let said = world.sidecar.until_state("keys", "3.pem").await;
    assert!(said.contains("P-256"), "{said}");
    assert_eq!(world.status(&world.token().await).await, 200);
}

#[tokio::test]
async fn a_configuration_reload_keeps_the_store_and_changes_the_rest() {
    let world = World::start().await;
    let (access, refresh) = world.pair().await;
    let text = world
        .sidecar
        .setup
        .text()
        .replace("audience: feature-server", "audience: feature-server, access_token_ttl: 5m");
    world.sidecar.setup.folder.write("tagwarden.yaml", &text);
    world.sidecar.until_metric("tagwarden_reloads_total{kind=\"config\",result=\"ok\"}", 1.0).await;
    assert_eq!(world.status(&access).await, 200);
    let answer = world.refresh(&refresh).await;
    assert_eq!(answer.json()["data"]["expires_in"], json!(300));
    // The store is another with a restart alone.
    let text = text.replace("audience: feature-server", "store: {embedded: elsewhere.redb}, audience: feature-server");
    world.sidecar.setup.folder.write("tagwarden.yaml", &text);
    world.sidecar.until_metric("tagwarden_reloads_total{kind=\"config\",result=\"ok\"}", 2.0).await;
    world.refresh(answer.json()["data"]["refresh_token"].as_str().unwrap()).await;
    assert!(!world.sidecar.setup.folder.path("elsewhere.redb").exists());
}

#[tokio::test]
async fn an_issuer_comes_and_goes_with_the_configuration() {
    let (upstream, secrets) = (Upstream::start().await, Secrets::new());
    let with = setup(&upstream, &secrets, "");
    let text = with.text();
    let without: String =
        text.lines().filter(|line| !line.starts_with("issuer:")).map(|line| format!("{line}\n")).collect();
    let config = with.folder.write("tagwarden.yaml", &without);
    let sidecar = with.start_from(&config).await;
    let grant = [("grant_type", "client_credentials"), ("client_id", "svc"), ("client_secret", secrets.svc.expose())];
    form_at(&sidecar, "/oauth/token", "", &grant).await.fails(404, "NOT_FOUND");
    for (text, status) in [(&text, 200), (&without, 404), (&text, 200)] {
        sidecar.setup.folder.write("tagwarden.yaml", text);
        until("the issuer", async || {
            (form_at(&sidecar, "/oauth/token", "", &grant).await.status == status).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_start_without_clients_says_how_they_are_made() {
    let (upstream, secrets) = (Upstream::start().await, Secrets::new());
    let setup = setup(&upstream, &secrets, "");
    let config = setup.write();
    std::fs::remove_file(setup.folder.path("clients.yaml")).unwrap();
    let (code, _, said) = process::run(["serve", "--config", config.to_str().unwrap()]);
    assert_eq!(code, 3);
    assert!(said.ends_with("clients.yaml` does not exist: `tagwarden client add` makes it\n"), "{said}");
}

#[tokio::test]
async fn an_issuer_alone_needs_no_section_for_others() {
    let (upstream, secrets) = (Upstream::start().await, Secrets::new());
    let setup = Setup::new(&upstream).policy(&policy()).with(&section(""));
    setup.folder.write("clients.yaml", secrets.file(""));
    let text: String =
        setup.text().lines().filter(|line| !line.starts_with("auth:")).map(|line| format!("{line}\n")).collect();
    let config = setup.folder.write("tagwarden.yaml", text);
    let sidecar = setup.start_from(&config).await;
    let grant = [("grant_type", "client_credentials"), ("client_id", "svc"), ("client_secret", secrets.svc.expose())];
    let token = form_at(&sidecar, "/oauth/token", "", &grant).await.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(sidecar.query(&token, FINE).await.status, 200);
}
