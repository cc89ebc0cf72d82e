//! Refresh tokens: one use each, and what a second use costs.

use serde_json::json;

use super::{World, claims, pair};
use crate::support::sidecar::FINE;

#[tokio::test]
async fn a_refresh_token_is_used_once_and_its_successor_goes_on() {
    let world = World::start().await;
    let (access, refresh) = world.pair().await;
    let family = claims(&access)["family"].clone();
    let mut newest = refresh;
    for _ in 0..3 {
        let (access, refresh) = pair(&world.refresh(&newest).await);
        assert_eq!(claims(&access)["family"], family);
        assert_eq!(world.status(&access).await, 200);
        assert_ne!(refresh, newest);
        newest = refresh;
    }
    assert_eq!(world.status(&access).await, 200);
}

#[tokio::test]
async fn a_repeat_gets_a_new_successor_while_the_first_is_unused() {
    let world = World::start().await;
    let (_, first) = world.pair().await;
    let (_, lost) = pair(&world.refresh(&first).await);
    let (access, second) = pair(&world.refresh(&first).await);
    let (_, third) = pair(&world.refresh(&second).await);
    assert_eq!(world.status(&access).await, 200);
    // The successor that was void comes up after all: somebody else has it, and both are out.
    world.refresh(&lost).await.fails(401, "INVALID_REFRESH_TOKEN");
    world.refresh(&third).await.fails(401, "INVALID_REFRESH_TOKEN");
    world.sidecar.query(&access, FINE).await.fails(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn a_second_use_after_the_successor_was_used_ends_the_family_and_its_access_tokens() {
    let world = World::start().await;
    let (first_access, first) = world.pair().await;
    let (_, second) = pair(&world.refresh(&first).await);
    let (third_access, third) = pair(&world.refresh(&second).await);
    // Another family of the same client is no part of this.
    let (other_access, other) = world.pair().await;
    assert_eq!((world.status(&first_access).await, world.status(&third_access).await), (200, 200));
    let told = world.refresh(&first).await.fails(401, "INVALID_REFRESH_TOKEN");
    assert_eq!(told, "Refresh token is invalid or expired");
    world.refresh(&third).await.fails(401, "INVALID_REFRESH_TOKEN");
    // Cached or not.
    assert_eq!((world.status(&first_access).await, world.status(&third_access).await), (401, 401));
    assert_eq!(world.status(&other_access).await, 200);
    pair(&world.refresh(&other).await);
}

#[tokio::test]
async fn garbage_and_other_tokens_are_no_refresh_tokens() {
    let world = World::start().await;
    let (access, refresh) = world.pair().await;
    for token in ["", "x", "twr_", &access, world.secrets.svc_key.expose(), &format!("{refresh}=")] {
        let told = world.refresh(token).await.fails(401, "INVALID_REFRESH_TOKEN");
        assert_eq!(told, "Refresh token is invalid or expired");
    }
    pair(&world.refresh(&refresh).await);
}

#[tokio::test]
async fn the_refresh_grant_asks_a_client_that_has_a_secret_for_it() {
    let world = World::start().await;
    let (_, refresh) = world.pair().await;
    let grant = [("grant_type", "refresh_token"), ("refresh_token", &*refresh)];
    let svc = [("client_id", "svc"), ("client_secret", world.secrets.svc.expose())];
    let other = [("client_id", "other"), ("client_secret", world.secrets.other.expose())];
    let answer = world.form("/oauth/token", &grant).await;
    assert_eq!((answer.status, answer.json()["error"].as_str()), (401, Some("invalid_client")));
    let answer = world.form("/oauth/token", &[grant, other].concat()).await;
    assert_eq!((answer.status, answer.json()["error"].as_str()), (400, Some("invalid_grant")));
    // Neither used it up.
    let answer = world.form("/oauth/token", &[grant, svc].concat()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = answer.json();
    assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(3600)));
    assert!(body["refresh_token"].as_str().unwrap().starts_with("twr_"));
    assert_eq!(world.status(body["access_token"].as_str().unwrap()).await, 200);

    // One that has keys alone is known by the token.
    let (_, refresh) =
        pair(&world.json("/api/v1/auth/token", json!({"api_key": world.secrets.keyed_key.expose()})).await);
    let grant = [("grant_type", "refresh_token"), ("refresh_token", &*refresh)];
    let answer = world.form("/oauth/token", &[grant[0], grant[1], ("client_id", "svc")]).await;
    assert_eq!(answer.json()["error"], "invalid_grant");
    let answer = world.form("/oauth/token", &[grant[0], grant[1], ("client_id", "keyed")]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn a_refresh_token_expires() {
    let world = World::with(", refresh_token_ttl: 1s").await;
    let (_, refresh) = world.pair().await;
    // Asking what it is worth does not use it, and so does not make it last.
    let secret = world.secrets.svc.expose();
    let asked = [("client_id", "svc"), ("client_secret", secret), ("token", &*refresh)];
    crate::support::until("the refresh token to expire", async || {
        let answer = world.form("/oauth/introspect", &asked).await;
        (answer.json()["active"] == false).then_some(())
    })
    .await;
    world.refresh(&refresh).await.fails(401, "INVALID_REFRESH_TOKEN");
}

#[tokio::test]
async fn families_and_revocations_outlive_a_restart() {
    let World { sidecar, upstream, secrets } = World::start().await;
    let world = World { sidecar, upstream, secrets };
    let (_, first) = world.pair().await;
    let (ended, second) = pair(&world.refresh(&first).await);
    pair(&world.refresh(&second).await);
    world.refresh(&first).await.fails(401, "INVALID_REFRESH_TOKEN");
    let (access, kept) = world.pair().await;
    let World { sidecar, upstream, secrets } = world;
    let (setup, _) = sidecar.stop_keeping().await;
    let world = World { sidecar: setup.start().await, upstream, secrets };
    assert_eq!((world.status(&ended).await, world.status(&access).await), (401, 200));
    pair(&world.refresh(&kept).await);
    world.refresh(&kept).await;
}
