//! What is written where, at the level that writes most.

use serde_json::json;
use tagwarden::issuer::keys::SigningKeys;
use tagwarden::issuer::secret::imported;
use tagwarden::issuer::{ASSERTION_TYPE, assertion};

use super::{FORM, GRANT, basic};
use crate::issuer::{Secrets, URL, files, pair, setup, text};
use crate::support::client::{H2, ask, query, request};
use crate::support::process::Process;
use crate::support::sidecar::FINE;
use crate::support::tokens::now;
use crate::support::until;
use crate::support::upstream::Upstream;

#[tokio::test]
async fn no_log_at_its_lowest_level_holds_a_secret_a_key_or_a_token() {
    const BROUGHT: &str = "canary secret that somebody brought";
    let (upstream, secrets) = (Upstream::start().await, Secrets::new());
    let setup = setup(&upstream, &secrets, "");
    let more = format!("  brought: {{secrets: [{{id: s1, hash: '{}'}}]}}\n", imported::hash(BROUGHT).unwrap());
    setup.folder.write("clients.yaml", secrets.file("") + &more);
    let mut process = Process::serve(&setup.write(), &["--log-level", "trace"]).await;
    let form = |path: &str, headers: &str, pairs: &[(&str, &str)]| {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        ask(process.data, request("POST", path, &format!("{FORM}{headers}"), body))
    };
    let json = "content-type: application/json\r\n";
    let object =
        |path: &'static str, body: serde_json::Value| ask(process.data, request("POST", path, json, body.to_string()));

    let credentials = basic(format!("svc:{}", secrets.svc.expose()));
    let token = text(&form("/oauth/token", &credentials, &[GRANT]).await.json()["access_token"]);
    let brought = [GRANT, ("client_id", "brought"), ("client_secret", BROUGHT)];
    assert_eq!(form("/oauth/token", "", &brought).await.status, 200);
    let wrong = "canary-wrong-secret";
    assert_eq!(
        form("/oauth/token", "", &[GRANT, ("client_id", "brought"), ("client_secret", wrong)]).await.status,
        401
    );
    let (access, refresh) = pair(&object("/api/v1/auth/token", json!({"api_key": secrets.svc_key.expose()})).await);
    let (access_2, refresh_2) = pair(&object("/api/v1/auth/refresh", json!({"refresh_token": refresh})).await);
    let (_, refresh_3) = pair(&object("/api/v1/auth/refresh", json!({"refresh_token": refresh_2})).await);
    // Used twice: the family ends, and that is told.
    assert_eq!(object("/api/v1/auth/refresh", json!({"refresh_token": refresh})).await.status, 401);
    assert_eq!(ask(process.data, query(&token, FINE)).await.status, 200);
    assert_eq!(ask(process.data, query(&access_2, FINE)).await.status, 401);
    assert_eq!(ask(process.data, query(&refresh_3, FINE)).await.status, 401);
    let http2 = H2::connect(process.data).await;
    let key = [("x-api-key", secrets.svc_key.expose()), ("content-type", "application/json")];
    assert_eq!(http2.send("POST", "/get-online-features", &key, FINE).await.status, 200);
    let bearer = format!("Bearer {token}");
    assert_eq!(http2.send("GET", "/v1/who-am-i", &[("authorization", bearer.as_str())], "").await.status, 200);
    for path in ["/oauth/introspect", "/oauth/revoke"] {
        assert_eq!(form(path, &credentials, &[("token", &token)]).await.status, 200);
    }
    let keys = SigningKeys::read(&setup.folder.path("keys")).unwrap();
    let proof = assertion(&keys, URL, u64::try_from(now()).unwrap()).unwrap();
    let pairs = [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", &*proof), ("token", &*access)];
    assert_eq!(form("/oauth/revoke", "", &pairs).await.status, 200);
    // A file with a mistake, which is told.
    setup.folder.write("clients.yaml", "version: 1\nclients: {x: {secrets: [canary-in-a-file]}}\n");
    until("the mistake to be told", async || process.log().contains("clients.yaml:2:").then_some(())).await;

    let told = ask(process.metrics, request("GET", "/metrics", "", "")).await.text().to_owned()
        + ask(process.admin, request("GET", "/status", "", "")).await.text();
    process.terminate();
    process.logged("a refresh token was used twice").await;
    let mut outputs = files(&setup.folder.path("data"));
    outputs.push(std::fs::read(setup.folder.path("audit.jsonl")).unwrap());
    outputs.push((process.log() + &told).into_bytes());
    let private = std::fs::read_dir(setup.folder.path("keys")).unwrap().next().unwrap().unwrap().path();
    let private = std::fs::read_to_string(private).unwrap();
    let signature = |token: &str| token.rsplit('.').next().unwrap().to_owned();
    let encoded = credentials.trim().rsplit(' ').next().unwrap().to_owned();
    let needles = [
        BROUGHT,
        wrong,
        "canary",
        secrets.svc.expose(),
        secrets.svc_key.expose(),
        &refresh,
        &refresh_2,
        &refresh_3,
        &encoded,
        &signature(&token),
        &signature(&access),
        &signature(&proof),
        private.lines().nth(1).unwrap(),
    ];
    for needle in needles {
        let held = outputs.iter().any(|bytes| bytes.windows(needle.len()).any(|window| window == needle.as_bytes()));
        assert!(!held, "{needle}");
    }
}
