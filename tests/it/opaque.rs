//! Tokens that are no JWS, through the running sidecar (config.md, `auth.opaque`).

use serde_json::json;

use crate::support::Folder;
use crate::support::client::{query, request};
use crate::support::process::Process;
use crate::support::sidecar::{FINE, POLICY, Setup, reader};
use crate::support::tokens::{ISSUER, KEY};
use crate::support::upstream::{Act, Upstream};

const TOKEN: &str = "canary-opaque-token";
const SECRET: &str = "canary-client-secret";

fn introspected(setup: Setup, provider: &Upstream) -> Setup {
    let introspection = format!("{{url: \"{}/introspect\", client_id: us, secret_file: secret}}", provider.url);
    opaque(setup, &format!("introspection: {introspection}, ttl: 1h, negative_ttl: 0s"), &provider.url)
}

/// Bindings for the issuer of JWTs, and for who is asked of other tokens.
fn opaque(mut setup: Setup, opaque: &str, url: &str) -> Setup {
    setup.auth = format!(", opaque: {{{opaque}}}");
    setup.folder.write("secret", SECRET);
    let (bindings, end) = (POLICY.find("bindings:").unwrap(), POLICY.find("features:").unwrap());
    let bound = format!(
        "bindings:\n  - {{roles: [reader], when: {{iss: \"{ISSUER}\", groups: readers}}}}\n  \
         - {{roles: [reader], when: {{iss: \"{url}/introspect\", client_id: app}}}}\n  \
         - {{roles: [cutter], when: {{iss: \"{url}\", user: u1}}}}\n  \
         - {{roles: [writer], when: {{iss: nobody}}}}\n"
    );
    setup.policy(&format!("{}{bound}{}", &POLICY[..bindings], &POLICY[end..]))
}

fn active() -> Act {
    Act::json("200 OK", json!({"active": true, "client_id": "app", "token_type": "Bearer"}).to_string())
}

#[tokio::test]
async fn an_opaque_token_is_introspected_once_and_goes_through_the_bindings() {
    let (upstream, provider) = (Upstream::start().await, Upstream::always(active()).await);
    let sidecar = introspected(Setup::new(&upstream), &provider).start().await;
    for _ in 0..3 {
        assert_eq!(sidecar.query(TOKEN, FINE).await.status, 200);
    }
    assert_eq!(sidecar.query(&reader(), FINE).await.status, 200);
    assert_eq!(provider.count(), 1);
    let sent = provider.seen().remove(0);
    assert_eq!(
        (sent.line(), sent.text()),
        ("POST /introspect HTTP/1.1", "token=canary-opaque-token&token_type_hint=access_token",)
    );
    // us:canary-client-secret
    assert_eq!(sent.header("authorization").unwrap(), "Basic dXM6Y2FuYXJ5LWNsaWVudC1zZWNyZXQ=");
    let line = sidecar.audit(4).await.remove(0);
    assert_eq!(
        (line["issuer"].as_str(), &line["roles"]),
        (Some(&*format!("{}/introspect", provider.url)), &json!(["reader"]))
    );
    assert_eq!(sidecar.metric("tagwarden_cache_requests_total{cache=\"opaque\",result=\"hit\"}").await, 2.0);
    assert_eq!(sidecar.metric("tagwarden_cache_requests_total{cache=\"opaque\",result=\"miss\"}").await, 1.0);
    assert_eq!(sidecar.metric("tagwarden_tokens_total{result=\"valid\"}").await, 4.0);
    // Nothing of the token goes upstream.
    for seen in upstream.seen() {
        assert!(!seen.head.contains("canary") && seen.header("authorization").is_none(), "{}", seen.head);
    }
}

#[tokio::test]
async fn a_token_that_is_not_active_is_401_and_a_server_that_fails_503() {
    let no = Act::json("200 OK", r#"{"active":false}"#);
    let (upstream, provider) = (Upstream::start().await, Upstream::always(no).await);
    let sidecar = introspected(Setup::new(&upstream), &provider).start().await;
    let answer = sidecar.query(TOKEN, FINE).await;
    assert_eq!(answer.fails(401, "UNAUTHORIZED"), "The access token is invalid");
    assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"tagwarden\", error=\"invalid_token\""));
    provider.turns_to(Act::json("200 OK", r#"{"active":true,"token_type":"Bearer","exp":1000000000}"#));
    assert_eq!(sidecar.query("expired", FINE).await.fails(401, "TOKEN_EXPIRED"), "Access token has expired");
    for (token, act) in [("t1", Act::answer("500 Oh", "", "")), ("t2", Act::Close), ("t3", Act::Reset)] {
        provider.turns_to(act);
        let answer = sidecar.query(token, FINE).await;
        assert_eq!(answer.fails(503, "KEYS_UNAVAILABLE"), "Tokens cannot be verified right now, try again");
        assert_eq!((answer.header("retry-after"), answer.header("www-authenticate")), (Some("1"), None));
        // Others are unmoved.
        assert_eq!(sidecar.query(&reader(), FINE).await.status, 200);
        provider.turns_to(active());
        sidecar.until_status(token, FINE, 200).await;
    }
    // A JWT that does not verify is nobody else's business.
    let asked = provider.count();
    sidecar.query(&format!("{}x", KEY.token(&["readers"])), FINE).await.fails(401, "UNAUTHORIZED");
    assert_eq!(provider.count(), asked);
}

#[tokio::test]
async fn the_secret_reloads_by_itself() {
    let (upstream, provider) = (Upstream::start().await, Upstream::always(active()).await);
    let sidecar = introspected(Setup::new(&upstream), &provider).start().await;
    sidecar.setup.folder.write("secret", "");
    let why = sidecar.until_state("keys", "of token introspection is not usable: it is empty").await;
    assert!(!why.contains("canary"), "{why}");
    sidecar.setup.folder.write("secret", "next\n");
    sidecar.until_state("keys", "ok").await;
    assert_eq!(sidecar.query(TOKEN, FINE).await.status, 200);
    // us:next
    assert_eq!(provider.seen().remove(0).header("authorization").unwrap(), "Basic dXM6bmV4dA==");
}

#[tokio::test]
async fn the_upstream_says_who_it_is_over_its_socket_without_an_issuer() {
    let folder = Folder::new();
    let upstream = Upstream::unix(&folder.path("feast.sock"));
    upstream.turns_by(|request, _| match request.target() {
        "/v1/who-am-i" if request.header("authorization").as_deref() == Some("Bearer canary-opaque-token") => {
            Act::json("200 OK", r#"{"user":"u1","team_id":"t","environment_id":"e"}"#)
        }
        "/v1/who-am-i" => Act::json("401 Unauthorized", "{}"),
        _ => Act::Feast,
    });
    let setup = opaque(Setup::new(&upstream), "who_am_i: {team_id: t, environment_id: e}", &upstream.url);
    let text = setup.text();
    let (issuers, opaque) = (text.find("issuers: ").unwrap(), text.find("opaque: ").unwrap());
    let config = setup.folder.write("tagwarden.yaml", format!("{}{}", &text[..issuers], &text[opaque..]));
    let sidecar = setup.start_from(&config).await;
    assert_eq!(sidecar.ready().await.0, 200);
    let head =
        format!("x-client: 1\r\ncookie: a=b\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\n");
    let answer = sidecar.ask(request("POST", "/get-online-features", &head, FINE)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    sidecar.query("another", FINE).await.fails(401, "UNAUTHORIZED");
    // No issuer, so no JWT, and it is not shown to the upstream.
    sidecar.query(&reader(), FINE).await.fails(401, "UNAUTHORIZED");
    let asked: Vec<_> = upstream.seen().into_iter().filter(|seen| seen.target() == "/v1/who-am-i").collect();
    assert_eq!(asked.len(), 2);
    let names: Vec<String> = asked[0].headers().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["authorization", "host"]);
}

#[tokio::test]
async fn neither_token_nor_secret_stands_in_a_log() {
    let (upstream, provider) = (Upstream::start().await, Upstream::always(Act::answer("500 Oh", "", "")).await);
    let setup = introspected(Setup::new(&upstream), &provider).with("tracing: {level: trace}");
    let process = Process::serve(&setup.write(), &["--log-level", "trace"]).await;
    for act in [Act::answer("500 Oh", "", ""), active(), Act::Close] {
        provider.turns_to(act);
        for token in [TOKEN.to_owned(), format!("{TOKEN}-{}", provider.count())] {
            crate::support::client::ask(process.data, query(&token, FINE)).await;
        }
    }
    let log = process.log();
    assert!(log.contains("opaque tokens cannot be judged"), "{log}");
    assert!(!log.contains("canary") && !log.contains("Y2FuYXJ5"), "{log}");
}
