//! The store is not there: what needs it says so, and nothing passes for want of it.

use serde_json::json;
use tagwarden::issuer::keys::SigningKeys;
use tagwarden::issuer::{ASSERTION_TYPE, assertion};

use super::{FORM, GRANT};
use crate::issuer::{Secrets, URL, World, setup, text};
use crate::support::client::request;
use crate::support::sidecar::FINE;
use crate::support::tokens::{KEY, now};
use crate::support::upstream::Upstream;

#[tokio::test]
async fn without_its_store_nothing_is_claimed_and_nothing_passes() {
    let (upstream, secrets) = (Upstream::start().await, Secrets::new());
    // Nobody listens there.
    let setup = setup(&upstream, &secrets, ", store: {redis_url: \"redis://127.0.0.1:1\"}");
    std::fs::create_dir(setup.folder.path("keys")).unwrap();
    std::fs::write(setup.folder.path("keys").join("1.pem"), include_str!("../../../fixtures/signing-key.pem")).unwrap();
    let world = World { sidecar: setup.start().await, upstream, secrets };
    let own = [("client_id", "svc"), ("client_secret", world.secrets.svc.expose())];
    // What is signed alone is given, and worth nothing until the store says that it was not revoked.
    let token = world.token().await;
    let bearer = format!("authorization: Bearer {token}\r\n");
    for answer in [
        world.sidecar.query(&token, FINE).await,
        world.sidecar.ask(request("GET", "/v1/who-am-i", &bearer, "")).await,
        world.json("/api/v1/auth/token", json!({"api_key": world.secrets.svc_key.expose()})).await,
        world.refresh("twr_x").await,
    ] {
        answer.fails(503, "KEYS_UNAVAILABLE");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    let keys = SigningKeys::read(&world.sidecar.setup.folder.path("keys")).unwrap();
    let proof = assertion(&keys, URL, u64::try_from(now()).unwrap()).unwrap();
    let proof = [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", &*proof)];
    let grant = [("grant_type", "refresh_token"), ("refresh_token", "twr_x")];
    for (path, pairs) in [
        ("/oauth/token", [&own[..], &grant].concat()),
        ("/oauth/token", grant.to_vec()),
        ("/oauth/revoke", [&own[..], &[("token", &*token)]].concat()),
        ("/oauth/revoke", [&own[..], &[("token", "garbage")]].concat()),
        ("/oauth/revoke", [&proof[..], &[("jti", "x")]].concat()),
        ("/oauth/revoke", [&proof[..], &[("family", "x")]].concat()),
        ("/oauth/introspect", [&own[..], &[("token", &*token)]].concat()),
        ("/oauth/introspect", [&own[..], &[("token", "garbage")]].concat()),
    ] {
        let answer = world.form(path, &pairs).await;
        let told = (answer.status, answer.header("retry-after"), text(&answer.json()["error"]));
        assert_eq!(told, (503, Some("1"), "temporarily_unavailable".to_owned()), "{path} {pairs:?}");
    }
    // Who is no client is told so all the same.
    let wrong = [GRANT, own[0], ("client_secret", "x")];
    assert_eq!(world.form("/oauth/token", &wrong).await.status, 401);
    assert_eq!(world.sidecar.ask(request("POST", "/oauth/revoke", FORM, "token=x")).await.status, 401);
    world.sidecar.query(&format!("{token}x"), FINE).await.fails(401, "UNAUTHORIZED");
    // What does not need it goes on.
    for path in ["/.well-known/jwks.json", "/.well-known/openid-configuration"] {
        assert_eq!(world.get(path).await.status, 200);
    }
    let key = format!("x-api-key: {}\r\ncontent-type: application/json\r\n", world.secrets.svc_key.expose());
    assert_eq!(world.sidecar.ask(request("POST", "/get-online-features", &key, FINE)).await.status, 200);
    world.sidecar.query(&KEY.token(&["readers"]), FINE).await.fails(403, "FEATURES_REFUSED");
}
