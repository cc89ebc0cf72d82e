//! Tokens for secrets and for API keys; what they say, and who takes them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{PUBLIC, Secrets, URL, World, claims, files, pair, part, setup, text};
use crate::support::client::request;
use crate::support::sidecar::FINE;
use crate::support::tokens::{KEY, now};
use crate::support::upstream::Upstream;

const GRANT: (&str, &str) = ("grant_type", "client_credentials");

fn basic(id: &str, secret: &str) -> String {
    format!("authorization: Basic {}\r\n", STANDARD.encode(format!("{id}:{secret}")))
}

#[tokio::test]
async fn client_credentials_give_a_token_in_every_way_that_clients_send_them() {
    let world = World::start().await;
    let secret = world.secrets.svc.expose();
    for path in ["/oauth/token", "/v1/oauth/token"] {
        let post = world.form(path, &[GRANT, ("client_id", "svc"), ("client_secret", secret)]).await;
        let basic = world.form_with(path, &basic("svc", secret), &[GRANT]).await;
        let body =
            json!({"grant_type": "client_credentials", "client_id": "svc", "client_secret": secret, "scope": null});
        let object = world.json(path, body).await;
        for answer in [post, basic, object] {
            assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")), "{answer:?}");
            let body = answer.json();
            assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(3600)));
            assert_eq!(body.as_object().unwrap().len(), 3, "{body}");
            answer.decision_id();
            assert_eq!(world.status(&text(&body["access_token"])).await, 200);
        }
    }
}

/// chalkpy sends JSON with a scope that is null, and goes on to wherever the answer says.
#[tokio::test]
async fn clients_of_chalk_are_told_to_go_on_here() {
    let (upstream, secrets) = (Upstream::start().await, Secrets::new());
    let mut setup = setup(&upstream, &secrets, "").with("chalk: {environment: envmock1}");
    setup.upstream = setup.upstream.replace("feast", "chalk");
    let sidecar = setup.start().await;
    let world = World { sidecar, upstream, secrets };
    let body = json!({
        "grant_type": "client_credentials", "client_id": "svc", "client_secret": world.secrets.svc.expose(), "scope": null,
    });
    let answer = world.json("/v1/oauth/token", body).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")), "{answer:?}");
    let given = answer.json();
    let us = json!({"envmock1": PUBLIC});
    for (name, value) in [
        ("api_server", json!(PUBLIC)),
        ("engines", us.clone()),
        ("grpc_engines", us),
        ("primary_environment", json!("envmock1")),
        ("environment_id_to_name", json!({"envmock1": "envmock1"})),
        ("expires_in", json!(3600)),
    ] {
        assert_eq!(given[name], value, "{name}");
    }
    let bearer = format!("authorization: Bearer {}\r\n", text(&given["access_token"]));
    let me = world.sidecar.ask(request("GET", "/v1/who-am-i", &bearer, "")).await;
    assert_eq!(me.json(), json!({"user": "svc", "environment_id": "envmock1", "team_id": null}));
}

#[tokio::test]
async fn a_token_is_that_of_rfc_9068_with_the_claims_of_its_client() {
    let world = World::with(", access_token_ttl: 5m").await;
    let (first, second) = (world.token().await, world.token().await);
    let said = claims(&first);
    assert_eq!(part(&first, 0)["typ"], "at+jwt");
    let iat = said["iat"].as_i64().unwrap();
    assert!((now() - iat).abs() < 60, "{iat}");
    let jti = text(&said["jti"]);
    assert!(jti.len() == 32 && jti.bytes().all(|b| b.is_ascii_hexdigit()), "{jti}");
    assert_ne!(jti, text(&claims(&second)["jti"]));
    let whole = json!({
        "iss": URL, "sub": "svc", "client_id": "svc", "aud": "feature-server", "iat": iat, "exp": iat + 300, "jti": jti,
        "groups": ["scoring"], "tier": 2,
    });
    assert_eq!(said, whole);
    // The key set has what verifies it, and nothing of what signs it.
    let set = world.get("/.well-known/jwks.json").await;
    assert_eq!((set.status, set.header("cache-control")), (200, Some("public, max-age=300")));
    let key = &set.json()["keys"][0];
    assert_eq!((&key["kid"], &key["alg"], &key["use"]), (&part(&first, 0)["kid"], &json!("ES256"), &json!("sig")));
    assert_eq!(key["d"], json!(null));
}

#[tokio::test]
async fn roles_come_by_the_bindings_and_another_issuers_tokens_go_on() {
    let world = World::start().await;
    let token = world.token().await;
    world.sidecar.query(&token, super::super::support::sidecar::REFUSED).await.fails(403, "FEATURES_REFUSED");
    let nobody = [GRANT, ("client_id", "nobody"), ("client_secret", world.secrets.nobody.expose())];
    let nobody = text(&world.form("/oauth/token", &nobody).await.json()["access_token"]);
    world.sidecar.query(&nobody, FINE).await.fails(403, "FORBIDDEN");
    // `writer`, by its own binding.
    world.sidecar.query(&KEY.token(&["readers"]), FINE).await.fails(403, "FEATURES_REFUSED");
    let line = world.sidecar.audit(2).await.remove(0);
    assert_eq!((&line["issuer"], &line["roles"]), (&json!(URL), &json!(["reader"])));
}

#[tokio::test]
async fn what_is_no_client_gets_one_answer() {
    let world = World::start().await;
    let (secret, other) = (world.secrets.svc.expose(), world.secrets.other.expose());
    let mut answers = Vec::new();
    for (id, secret) in
        [("svc", other), ("unknown", other), ("keyed", other), ("svc", "short"), ("unknown", "short"), ("", "")]
    {
        let answer = world.form("/oauth/token", &[GRANT, ("client_id", id), ("client_secret", secret)]).await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, None), "{answer:?}");
        answers.push(answer.text().to_owned());
    }
    answers.dedup();
    let told = json!({"error": "invalid_client", "error_description": "client authentication failed"});
    assert_eq!(answers, [told.to_string()]);
    let answer = world.form_with("/oauth/token", &basic("svc", other), &[GRANT]).await;
    assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Basic realm=\"tagwarden\"")));
    for headers in [
        basic("svc", secret).repeat(2),
        "authorization: Bearer a.b.c\r\n".to_owned(),
        "authorization: Basic !\r\n".to_owned(),
    ] {
        let answer = world.form_with("/oauth/token", &headers, &[GRANT]).await;
        assert!([400, 401].contains(&answer.status), "{answer:?}");
    }
    let answer = world.form("/oauth/token", &[GRANT, ("client_id", "svc")]).await;
    assert_eq!((answer.status, answer.json()["error"].as_str()), (401, Some("invalid_client")));
}

#[tokio::test]
async fn what_cannot_be_read_in_one_way_is_refused() {
    let world = World::start().await;
    let credentials = [("client_id", "svc"), ("client_secret", world.secrets.svc.expose())];
    let [id, secret] = credentials;
    let basic = basic("svc", world.secrets.svc.expose());
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);
    let cases: [Case<'_>; 7] = [
        ("", &[id, secret], "invalid_request"),
        ("", &[GRANT, GRANT, id, secret], "invalid_request"),
        ("", &[GRANT, id, id, secret], "invalid_request"),
        ("", &[("grant_type", "password"), id, secret], "unsupported_grant_type"),
        (&basic, &[GRANT, secret], "invalid_request"),
        (&basic, &[GRANT, ("client_id", "other")], "invalid_request"),
        ("", &[("grant_type", "refresh_token"), id, secret], "invalid_request"),
    ];
    for (headers, pairs, error) in cases {
        let answer = world.form_with("/oauth/token", headers, pairs).await;
        assert_eq!((answer.status, answer.json()["error"].as_str()), (400, Some(error)), "{pairs:?} {answer:?}");
    }
    let good = json!({"grant_type": "client_credentials", "client_id": "svc", "client_secret": secret.1}).to_string();
    let twice = good.replacen('{', "{\"client_id\": \"other\", ", 1);
    let number = good.replace("\"svc\"", "7");
    let json = "content-type: application/json\r\n";
    for (headers, body) in [
        (json, &*twice),
        (json, "[]"),
        (json, ""),
        (json, &number),
        ("", &good),
        ("content-type: text/plain\r\n", &good),
    ] {
        let answer = world.sidecar.ask(request("POST", "/oauth/token", headers, body)).await;
        assert_eq!(
            (answer.status, answer.json()["error"].as_str()),
            (400, Some("invalid_request")),
            "{body} {answer:?}"
        );
    }
    let large = format!("{good}{}", " ".repeat(16 * 1024));
    world.sidecar.ask(request("POST", "/oauth/token", json, large)).await.fails(413, "BODY_TOO_LARGE");
    world.get("/oauth/token").await.fails(405, "METHOD_NOT_ALLOWED");
    assert_eq!(world.upstream.count(), 0);
}

#[tokio::test]
async fn an_api_key_is_a_credential_on_every_route_and_gives_a_pair_of_tokens() {
    let world = World::start().await;
    let keyed = world.secrets.keyed_key.expose();
    let headers = format!("x-api-key: {keyed}\r\ncontent-type: application/json\r\n");
    let query = request("POST", "/get-online-features", &headers, FINE);
    for _ in 0..2 {
        assert_eq!(world.sidecar.ask(&query).await.status, 200);
    }
    let line = world.sidecar.audit(2).await.remove(1);
    assert_eq!((&line["issuer"], &line["roles"]), (&json!(URL), &json!(["cutter"])));
    // It stays here.
    let sent = world.upstream.seen().remove(0);
    assert_eq!((sent.header("x-api-key"), sent.header("authorization")), (None, None));
    assert_eq!(world.sidecar.metric("tagwarden_tokens_total{result=\"api_key\"}").await, 2.0);

    let answer = world.json("/api/v1/auth/token", json!({"api_key": keyed})).await;
    let data = answer.json()["data"].clone();
    assert_eq!((&data["token_type"], &data["expires_in"]), (&json!("Bearer"), &json!(3600)));
    let (access, refresh) = pair(&answer);
    assert_eq!(world.status(&access).await, 200);
    assert!(claims(&access)["family"].is_string());
    // A refresh token is no access token.
    world.sidecar.query(&refresh, FINE).await.fails(401, "UNAUTHORIZED");

    let mut wrong = keyed.to_owned();
    wrong.pop();
    for key in [&*wrong, "x", "", world.secrets.svc.expose(), &access, &refresh] {
        let headers = format!("x-api-key: {key}\r\ncontent-type: application/json\r\n");
        world.sidecar.ask(request("POST", "/get-online-features", &headers, FINE)).await.fails(401, "UNAUTHORIZED");
        let told = world.json("/api/v1/auth/token", json!({"api_key": key})).await.fails(401, "UNAUTHORIZED");
        assert_eq!(told, "Invalid API key");
    }
    let both = format!("{headers}authorization: Bearer {access}\r\n");
    world.sidecar.ask(request("POST", "/get-online-features", &both, FINE)).await.fails(401, "UNAUTHORIZED");
    let twice = format!("{headers}x-api-key: {keyed}\r\n");
    world.sidecar.ask(request("POST", "/get-online-features", &twice, FINE)).await.fails(401, "UNAUTHORIZED");
    let told = world.json("/api/v1/auth/token", json!({"key": keyed})).await.fails(400, "INVALID_QUERY");
    assert_eq!(told, "`api_key` is missing");
}

#[tokio::test]
async fn api_keys_can_be_turned_off() {
    let (upstream, secrets) = (Upstream::start().await, Secrets::new());
    let mut setup = setup(&upstream, &secrets, "");
    setup.auth = ", api_keys: false".to_owned();
    let sidecar = setup.start().await;
    let headers = format!("x-api-key: {}\r\ncontent-type: application/json\r\n", secrets.keyed_key.expose());
    sidecar.ask(request("POST", "/get-online-features", &headers, FINE)).await.fails(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn who_am_i_tells_who_a_token_is() {
    let world = World::start().await;
    let ask = |headers: String| world.sidecar.ask(request("GET", "/v1/who-am-i", &headers, ""));
    let told = ask(format!("authorization: Bearer {}\r\n", world.token().await)).await;
    assert_eq!((told.status, told.json()), (200, json!({"user": "svc", "environment_id": null, "team_id": null})));
    let key = ask(format!("x-api-key: {}\r\n", world.secrets.keyed_key.expose())).await;
    assert_eq!(key.json()["user"], "keyed");
    assert_eq!(ask(format!("authorization: Bearer {}\r\n", KEY.token(&[]))).await.json()["user"], "caller-1");
    ask(String::new()).await.fails(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn metadata_names_configured_addresses_whatever_host_says() {
    let world = World::start().await;
    for path in ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"] {
        let answer = world.sidecar.ask(request("GET", path, "x-forwarded-host: evil.example\r\n", "")).await;
        let body = answer.json();
        assert_eq!(body["issuer"], URL);
        for (name, path) in [
            ("token_endpoint", "/oauth/token"),
            ("jwks_uri", "/.well-known/jwks.json"),
            ("revocation_endpoint", "/oauth/revoke"),
            ("introspection_endpoint", "/oauth/introspect"),
        ] {
            assert_eq!(body[name], format!("{PUBLIC}{path}"));
        }
        assert!(!answer.text().contains("sidecar.example") && !answer.text().contains("evil"), "{}", answer.text());
    }
}

#[tokio::test]
async fn failures_are_counted_and_a_right_secret_is_never_refused_for_them() {
    let world = World::start().await;
    let wrong = [GRANT, ("client_id", "svc"), ("client_secret", world.secrets.other.expose())];
    let mut statuses = Vec::new();
    // The window begins anew each minute: at most once within these.
    for _ in 0..24 {
        statuses.push(world.form("/oauth/token", &wrong).await.status);
    }
    assert!(statuses.contains(&429) && statuses[..10].iter().all(|status| *status == 401), "{statuses:?}");
    let late = loop {
        let answer = world.form("/oauth/token", &wrong).await;
        if answer.status == 429 {
            break answer;
        }
    };
    assert_eq!(late.json()["error"], "invalid_client");
    assert!((1..=60).contains(&late.header("retry-after").unwrap().parse::<u64>().unwrap()));
    world.token().await;
    for _ in 0..24 {
        world.json("/api/v1/auth/token", json!({"api_key": "x"})).await;
    }
    let answer = loop {
        let answer = world.json("/api/v1/auth/token", json!({"api_key": "x"})).await;
        if answer.status == 429 {
            break answer;
        }
    };
    answer.fails(429, "TOO_MANY_ATTEMPTS");
    assert!(answer.header("retry-after").is_some());
    world.pair().await;
}

#[tokio::test]
async fn without_an_issuer_its_paths_are_not_there() {
    let upstream = Upstream::start().await;
    let sidecar = crate::support::sidecar::Sidecar::start(&upstream).await;
    for path in tagwarden::config::ISSUER_PATHS {
        for method in ["GET", "POST"] {
            sidecar.ask(request(method, path, "", "")).await.fails(404, "NOT_FOUND");
        }
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn secrets_and_tokens_are_in_no_file_log_metric_or_error() {
    let world = World::start().await;
    let token = world.token().await;
    let (access, refresh) = world.pair().await;
    let (access_2, refresh_2) = pair(&world.refresh(&refresh).await);
    world.status(&access_2).await;
    let headers = format!("x-api-key: {}\r\ncontent-type: application/json\r\n", world.secrets.svc_key.expose());
    world.sidecar.ask(request("POST", "/get-online-features", &headers, FINE)).await;
    let canary = "tw_s1_canary00000000000000000000000000000000000000";
    let wrong = [GRANT, ("client_id", "svc"), ("client_secret", canary)];
    let mut told = world.form("/oauth/token", &wrong).await.text().to_owned();
    told.push_str(world.refresh(canary).await.text());
    told.push_str(world.json("/api/v1/auth/token", json!({"api_key": canary})).await.text());
    told.push_str(&world.sidecar.metrics().await);
    told.push_str(&world.sidecar.status().await.to_string());
    let folder = world.sidecar.setup.folder.path("");
    let mut kept = files(&folder);
    assert!(kept.len() >= 5, "keys, clients, store, audit, configuration: {}", kept.len());
    kept.push(told.into_bytes());
    let secrets = [world.secrets.svc.expose(), world.secrets.svc_key.expose(), canary];
    let private = std::fs::read_dir(world.sidecar.setup.folder.path("keys")).unwrap().next().unwrap().unwrap().path();
    let private = std::fs::read_to_string(private).unwrap();
    let private = private.lines().nth(1).unwrap();
    for needle in secrets.into_iter().chain([&*token, &*access, &*access_2, &*refresh, &*refresh_2, private]) {
        let held = kept.iter().filter(|bytes| bytes.windows(needle.len()).any(|window| window == needle.as_bytes()));
        assert_eq!(held.count(), usize::from(needle == private), "{needle}");
    }
}
