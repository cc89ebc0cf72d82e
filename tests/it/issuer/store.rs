//! What is told of the issuer's store, and a store that is not there.

use std::net::TcpListener;

use serde_json::{Value, json};

use super::{Secrets, World, form_at, setup, text};
use crate::support::client::request;
use crate::support::sidecar::{FINE, Sidecar, reader};
use crate::support::upstream::Upstream;

const SILENCE: &str = "tagwarden_issuer_store_silence_seconds";

async fn told(sidecar: &Sidecar) -> (Value, Value) {
    let (ready, body) = sidecar.ready().await;
    assert_eq!(ready, 200, "{body}");
    (body["checks"]["store"].clone(), sidecar.status().await["store"].clone())
}

#[tokio::test]
async fn a_file_is_never_silent() {
    let world = World::start().await;
    assert_eq!(told(&world.sidecar).await, (json!("ok"), json!({"silence_seconds": 0, "stale": null})));
    let metrics = world.sidecar.metrics().await;
    assert!(metrics.lines().any(|line| line == format!("{SILENCE} 0")), "{metrics}");

    // The gauge goes with the issuer.
    let configured = world.sidecar.setup.text();
    let without: String =
        configured.lines().filter(|line| !line.starts_with("issuer:")).map(|line| format!("{line}\n")).collect();
    world.sidecar.setup.folder.write("tagwarden.yaml", without);
    world.sidecar.until_metric("tagwarden_reloads_total{kind=\"config\",result=\"ok\"}", 1.0).await;
    let metrics = world.sidecar.metrics().await;
    assert!(!metrics.contains(SILENCE), "{metrics}");
    assert_eq!(told(&world.sidecar).await, (Value::Null, Value::Null));
}

#[tokio::test]
async fn a_redis_that_was_never_there_is_told_and_ends_only_what_needs_it() {
    let (upstream, secrets) = (Upstream::start().await, Secrets::new());
    // It takes connections and never says a word.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let store = format!(", store: {{redis_url: \"redis://{}\"}}", mute.local_addr().unwrap());
    let with = setup(&upstream, &secrets, &store);
    std::fs::create_dir(with.folder.path("keys")).unwrap();
    std::fs::write(with.folder.path("keys/1.pem"), include_str!("../../fixtures/signing-key.pem")).unwrap();
    let sidecar = with.start().await;

    let stale = "the token store was never heard from";
    let shown = json!({"silence_seconds": null, "stale": stale});
    assert_eq!(told(&sidecar).await, (json!(format!("stale: {stale}")), shown));
    assert_eq!(sidecar.metric(SILENCE).await, f64::INFINITY);

    let secret = [("client_id", "svc"), ("client_secret", secrets.svc.expose())];
    let grant = [("grant_type", "client_credentials"), secret[0], secret[1]];
    let token = text(&form_at(&sidecar, "/oauth/token", "", &grant).await.json()["access_token"]);
    let answer = sidecar.query(&token, FINE).await;
    answer.fails(503, "KEYS_UNAVAILABLE");
    assert_eq!(answer.header("retry-after"), Some("1"));
    // Another issuer's, which is heard and may not read.
    sidecar.query(&reader(), FINE).await.fails(403, "FEATURES_REFUSED");
    let by_key = format!("x-api-key: {}\r\ncontent-type: application/json\r\n", secrets.svc_key.expose());
    assert_eq!(sidecar.ask(request("POST", "/get-online-features", &by_key, FINE)).await.status, 200);
    for (path, body) in [
        ("/api/v1/auth/token", json!({"api_key": secrets.svc_key.expose()})),
        ("/api/v1/auth/refresh", json!({"refresh_token": "twr_x"})),
    ] {
        let json = "content-type: application/json\r\n";
        let answer = sidecar.ask(request("POST", path, json, body.to_string())).await;
        answer.fails(503, "KEYS_UNAVAILABLE");
        assert_eq!(answer.header("retry-after"), Some("1"), "{path}");
    }
    let answer = form_at(&sidecar, "/oauth/revoke", "", &[secret[0], secret[1], ("token", &token)]).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert_eq!(answer.json()["error"], "temporarily_unavailable");
}
