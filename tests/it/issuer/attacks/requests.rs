//! Requests that are read in one way here and in another elsewhere, and those that cost more than they should.

use serde_json::json;

use super::{FORM, basic};
use crate::issuer::{Secrets, World, policy, setup};
use crate::support::client::{H2, request};
use crate::support::sidecar::{FINE, REFUSED, Setup};
use crate::support::upstream::Upstream;

/// The good form of `svc`.
fn form(world: &World) -> String {
    format!("grant_type=client_credentials&client_id=svc&client_secret={}", world.secrets.svc.expose())
}

#[tokio::test]
async fn parameters_are_those_of_the_body_alone() {
    let world = World::start().await;
    let query = form(&world);
    for (method, body, status) in [("POST", "grant_type=client_credentials", 401), ("POST", "", 400), ("GET", "", 405)]
    {
        let answer = world.sidecar.ask(request(method, &format!("/oauth/token?{query}"), FORM, body)).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    // Nor do they change what the body says.
    let other = format!("/oauth/token?{}", query.replace("svc", "other"));
    assert_eq!(world.sidecar.ask(request("POST", &other, FORM, &query)).await.status, 200);
    let key = world.secrets.svc_key.expose();
    let json = "content-type: application/json\r\n";
    let answer = world.sidecar.ask(request("POST", &format!("/api/v1/auth/token?api_key={key}"), json, "{}")).await;
    answer.fails(400, "INVALID_QUERY");
    let (token, (_, refresh)) = (world.token().await, world.pair().await);
    for path in [format!("/oauth/revoke?token={token}"), format!("/oauth/revoke?token={refresh}&{query}")] {
        world.sidecar.ask(request("POST", &path, &format!("{FORM}{}", basic(form_of(&world))), "x=y")).await;
    }
    assert_eq!((world.status(&token).await, world.refresh(&refresh).await.status), (200, 200));
    for path in [format!("/get-online-features?access_token={token}"), format!("/v1/who-am-i?access_token={token}")] {
        let method = if path.contains("who") { "GET" } else { "POST" };
        world
            .sidecar
            .ask(request(method, &path, json, if method == "GET" { "" } else { FINE }))
            .await
            .fails(401, "UNAUTHORIZED");
    }
}

fn form_of(world: &World) -> String {
    format!("svc:{}", world.secrets.svc.expose())
}

#[tokio::test]
async fn the_type_of_a_body_is_said_once_and_kept_to() {
    let world = World::start().await;
    let form = form(&world);
    let object =
        json!({"grant_type": "client_credentials", "client_id": "svc", "client_secret": world.secrets.svc.expose()});
    let object = object.to_string();
    let json = "content-type: application/json\r\n";
    for (headers, body) in [
        (FORM.to_owned(), &form),
        ("content-type: APPLICATION/X-WWW-FORM-URLENCODED\r\n".to_owned(), &form),
        ("content-type: application/x-www-form-urlencoded; charset=utf-8\r\n".to_owned(), &form),
        ("Content-Type: Application/Json ; charset=\"UTF-8\"\r\n".to_owned(), &object),
    ] {
        assert_eq!(world.sidecar.ask(request("POST", "/oauth/token", &headers, body)).await.status, 200, "{headers}");
    }
    let parts = format!("--x\r\ncontent-disposition: form-data; name=\"grant_type\"\r\n\r\n{form}\r\n--x--\r\n");
    for (headers, body) in [
        (format!("{FORM}{json}"), &form),
        (format!("{json}{FORM}"), &form),
        (format!("{json}{FORM}"), &object),
        (FORM.repeat(2), &form),
        (FORM.to_owned(), &object),
        (json.to_owned(), &form),
        ("content-type: application/json, application/x-www-form-urlencoded\r\n".to_owned(), &object),
        ("content-type: application/jsonx\r\n".to_owned(), &object),
        ("content-type: text/json\r\n".to_owned(), &object),
        ("content-type: \r\n".to_owned(), &form),
        (String::new(), &form),
        ("content-type: multipart/form-data; boundary=x\r\n".to_owned(), &parts),
        (format!("{FORM}content-encoding: gzip\r\n"), &form),
        (format!("{FORM}content-encoding: identity\r\n"), &form),
        (format!("{json}content-encoding: gzip\r\n"), &object),
    ] {
        let answer = world.sidecar.ask(request("POST", "/oauth/token", &headers, body)).await;
        assert_eq!((answer.status, &answer.json()["error"]), (400, &json!("invalid_request")), "{headers} {answer:?}");
        let refused = world.sidecar.ask(request("POST", "/api/v1/auth/token", &headers, body)).await;
        refused.fails(400, "INVALID_QUERY");
    }
    let utf16: Vec<u8> = object.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for body in [
        utf16,
        [b"\xef\xbb\xbf", object.as_bytes()].concat(),
        object
            .replacen("svc", "svc\\u0000", 1)
            .replacen("svc\\u0000", "s\\u0076c\",\"client_id\":\"other", 1)
            .into_bytes(),
        object.replacen("\"svc\"", "[\"svc\"]", 1).into_bytes(),
        object.replacen("\"svc\"", "{\"svc\":1}", 1).into_bytes(),
        object.replacen("\"svc\"", "true", 1).into_bytes(),
        object.replacen("{", "{\"client_i\\u0064\":\"svc\",", 1).into_bytes(),
        format!("{object}{object}").into_bytes(),
        b"null".to_vec(),
        b"\"grant_type\"".to_vec(),
        [vec![b'['; 10_000], vec![b']'; 6000]].concat(),
    ] {
        let answer = world.sidecar.ask(request("POST", "/oauth/token", json, &body)).await;
        assert_eq!(answer.status, 400, "{}", String::from_utf8_lossy(&body));
    }
    let chunked = format!("POST /oauth/token HTTP/1.1\r\nhost: x\r\n{FORM}transfer-encoding: chunked\r\n\r\n");
    let chunks: String =
        form.as_bytes().chunks(7).map(|c| format!("{:x}\r\n{}\r\n", c.len(), String::from_utf8_lossy(c))).collect();
    // What comes behind the end is no parameter.
    let trailers = "0\r\nclient_id: other\r\nauthorization: Basic b3RoZXI6eA==\r\n\r\n";
    assert_eq!(world.sidecar.ask(format!("{chunked}{chunks}{trailers}")).await.status, 200);
}

#[tokio::test]
async fn no_other_spelling_of_a_path_or_method_leads_to_the_issuer() {
    let world = World::start().await;
    let form = form(&world);
    for path in [
        "//oauth/token",
        "/oauth//token",
        "/oauth/token/",
        "/oauth%2Ftoken",
        "/oauth%2ftoken",
        "/%6fauth/token",
        "/oauth/token;x",
        "/oauth/token;x=y",
        "/oauth/./token",
        "/x/../oauth/token",
        "/oauth/token%00",
        "/oauth/token%20",
        "/oauth/token.json",
        "/OAuth/token",
        "/oauth\\token",
        "/v2/oauth/token",
        "/api/v1/auth/token/",
        "/.well-known//jwks.json",
        "/.well-known/jwks.json/",
        "/.well-known/../oauth/token",
    ] {
        for method in ["POST", "GET"] {
            let answer = world.sidecar.ask(request(method, path, FORM, if method == "GET" { "" } else { &form })).await;
            assert!([400, 404].contains(&answer.status), "{method} {path} {answer:?}");
        }
    }
    let tricks = "x-http-method-override: POST\r\nx-http-method: POST\r\nx-method-override: POST\r\nx-original-url: /oauth/token\r\n";
    for path in ["/oauth/token", "/oauth/revoke", "/oauth/introspect", "/api/v1/auth/token", "/api/v1/auth/refresh"] {
        for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "post"] {
            let answer = world.sidecar.ask(request(method, path, &format!("{FORM}{tricks}"), "")).await;
            answer.fails(405, "METHOD_NOT_ALLOWED");
            assert_eq!(answer.header("allow"), Some("POST"));
        }
    }
    for path in ["/.well-known/jwks.json", "/.well-known/openid-configuration", "/v1/who-am-i"] {
        world
            .sidecar
            .ask(request("POST", path, &format!("{FORM}x-http-method-override: GET\r\n"), "x=y"))
            .await
            .fails(405, "METHOD_NOT_ALLOWED");
    }
    // A whole address in the line, and Host, name nothing.
    let answer = world.sidecar.ask(request("POST", "http://evil.example/oauth/token", FORM, &form)).await;
    assert_eq!(answer.status, 200);
    let answer =
        world.sidecar.ask(request("GET", "http://evil.example/.well-known/openid-configuration", "", "")).await;
    assert!(answer.status == 200 && !answer.text().contains("evil"), "{answer:?}");
    assert_eq!(world.upstream.count(), 0);
}

#[tokio::test]
async fn nothing_of_a_request_is_told_back() {
    let world = World::start().await;
    let canary = "canary\r\nset-cookie: a=b";
    let encoded: String = form_urlencoded::byte_serialize(canary.as_bytes()).collect();
    let json = "content-type: application/json\r\n";
    for path in ["/oauth/token", "/oauth/revoke", "/oauth/introspect", "/api/v1/auth/token", "/api/v1/auth/refresh"] {
        let names = [
            "grant_type",
            "client_id",
            "client_secret",
            "refresh_token",
            "token",
            "api_key",
            "client_assertion",
            "scope",
        ];
        let mut bodies = vec![format!("{encoded}=1&{encoded}=2"), format!("{encoded}&{encoded}"), encoded.clone()];
        bodies.extend(names.map(|name| format!("{name}={encoded}")));
        bodies.extend(names.map(|name| format!("{name}={encoded}&{name}={encoded}")));
        bodies.push(format!("client_id=canary&client_secret=canary&grant_type={encoded}"));
        bodies.push(format!("client_assertion=canary&client_assertion_type={encoded}"));
        let mut objects =
            vec![json!({canary: {}}).to_string(), format!("{{\"canary\":1,\"canary\":2}}"), "\"canary\"".to_owned()];
        objects.extend(names.map(|name| json!({name: canary}).to_string()));
        objects.extend(names.map(|name| json!({name: [canary]}).to_string()));
        let bodies = bodies.iter().map(|body| (FORM, body)).chain(objects.iter().map(|body| (json, body)));
        for (headers, body) in bodies {
            let headers =
                format!("{headers}user-agent: canary\r\ncookie: canary=1\r\norigin: https://canary.example\r\n");
            let answer = world.sidecar.ask(request("POST", path, &headers, body)).await;
            assert!((400..500).contains(&answer.status), "{path} {body} {answer:?}");
            let whole = format!("{:?}{}", answer.headers, answer.text());
            assert!(!whole.contains("canary") && answer.header("set-cookie").is_none(), "{path} {body} {whole}");
            assert!(answer.header("access-control-allow-origin").is_none());
        }
        let headers = format!("{FORM}content-type: canary\r\nauthorization: canary\r\nx-api-key: canary\r\n");
        assert!(!world.sidecar.ask(request("POST", path, &headers, "a=b")).await.text().contains("canary"));
    }
}

#[tokio::test]
async fn a_large_or_slow_body_is_not_waited_for() {
    let (world, upstream, secrets) = (World::start().await, Upstream::start().await, Secrets::new());
    let impatient = setup(&upstream, &secrets, "").with("limits: {body_timeout: 100ms}").start().await;
    let head = |path: &str, more: &str| format!("POST {path} HTTP/1.1\r\nhost: x\r\n{FORM}{more}\r\n");
    for path in ["/oauth/token", "/oauth/revoke", "/oauth/introspect", "/api/v1/auth/token", "/api/v1/auth/refresh"] {
        // Nothing of it was sent.
        let announced = world.sidecar.ask(head(path, "content-length: 16385\r\n")).await;
        announced.fails(413, "BODY_TOO_LARGE");
        let mut raw = world.sidecar.raw().await;
        raw.send(head(path, "transfer-encoding: chunked\r\n")).await;
        raw.send(format!("4000\r\n{}\r\n1\r\nx\r\n", "x".repeat(0x4000))).await;
        raw.answer().await.fails(413, "BODY_TOO_LARGE");
        let slow = impatient.ask(head(path, "content-length: 100\r\n") + "grant_type=").await;
        slow.fails(408, "REQUEST_TIMEOUT");
    }
    let fits = format!("{}&x={}", form(&world), "x".repeat(16 * 1024 - form(&world).len() - 3));
    assert_eq!(fits.len(), 16 * 1024);
    assert_eq!(world.sidecar.ask(request("POST", "/oauth/token", FORM, fits)).await.status, 200);
}

#[tokio::test]
async fn garbage_is_written_nowhere() {
    let world = World::start().await;
    let folder = world.sidecar.setup.folder.path("data");
    let before = crate::issuer::files(&folder);
    assert_eq!(before.len(), 1);
    let connection = H2::connect(world.sidecar.data).await;
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let own = format!("client_id=svc&client_secret={}", world.secrets.svc.expose());
    let foreign = crate::support::tokens::KEY.token(&[]);
    for number in 0..200 {
        let garbage = format!("garbage-{number}");
        for (path, body, statuses) in [
            ("/oauth/token", format!("grant_type=client_credentials&client_id={garbage}&client_secret=x"), [401, 401]),
            ("/oauth/token", format!("grant_type=refresh_token&refresh_token=twr_{garbage}&{own}"), [400, 400]),
            ("/api/v1/auth/refresh", format!("refresh_token=twr_{garbage}"), [401, 401]),
            ("/api/v1/auth/token", format!("api_key=tw_k1_{garbage}"), [401, 429]),
            ("/oauth/introspect", format!("token={garbage}&{own}"), [200, 200]),
            ("/oauth/revoke", format!("token={garbage}&{own}"), [200, 200]),
            ("/oauth/revoke", format!("token={foreign}&{own}"), [200, 200]),
            ("/oauth/revoke", format!("jti={garbage}&{own}"), [400, 400]),
        ] {
            let answer = connection.send("POST", path, &headers, &body).await;
            assert!(statuses.contains(&answer.status), "{path} {body} {answer:?}");
        }
    }
    assert!(crate::issuer::files(&folder) == before, "the store was written");
}

#[tokio::test]
async fn an_api_key_is_judged_where_keys_are_and_goes_nowhere() {
    let (upstream, secrets) = (Upstream::start().await, Secrets::new());
    let setup = setup(&upstream, &secrets, "").with("routes: [{path: /v1/open, methods: [GET], public: true}]");
    let world = World { sidecar: setup.start().await, upstream, secrets };
    let key = world.secrets.keyed_key.expose();
    let json = "content-type: application/json\r\n";
    for value in [key, "tw_k1_wrong"] {
        for path in ["/v1/open", "/health"] {
            let headers = format!("x-api-key: {value}\r\nx_api_key: {value}\r\ncookie: x-api-key={value}\r\n");
            assert_eq!(world.sidecar.ask(request("GET", path, &headers, "")).await.status, 200, "{path}");
        }
    }
    let query =
        |headers: String| world.sidecar.ask(request("POST", "/get-online-features", &format!("{json}{headers}"), FINE));
    assert_eq!(query(format!("x-api-key: {key}\r\ncookie: session=1\r\n")).await.status, 200);
    let access = world.token().await;
    for headers in [
        format!("cookie: x-api-key={key}\r\n"),
        format!("x_api_key: {key}\r\n"),
        format!("api-key: {key}\r\n"),
        format!("x-api-key: {key},{key}\r\n"),
        format!("x-api-key: Bearer {key}\r\n"),
        format!("x-api-key: {access}\r\n"),
        format!("x-api-key:\r\nauthorization: Bearer {access}\r\n"),
        format!("authorization: {key}\r\n"),
        format!("authorization: Bearer {key}\r\n"),
        format!("authorization: Basic {key}\r\nx-api-key: {key}\r\n"),
        basic(format!("keyed:{key}")),
    ] {
        query(headers).await.fails(401, "UNAUTHORIZED");
    }
    for seen in world.upstream.seen() {
        assert!(!seen.head.contains("tw_k1") && seen.header("cookie").is_none(), "{}", seen.head);
    }
}

#[tokio::test]
async fn an_api_key_is_asked_for_while_enforcement_is_suspended_too() {
    let (upstream, secrets) = (Upstream::start().await, Secrets::new());
    let setup: Setup = setup(&upstream, &secrets, "").policy(&policy()).with("enforcement: audit");
    let sidecar = setup.start().await;
    let query = |key: &str| {
        let headers = format!("content-type: application/json\r\nx-api-key: {key}\r\n");
        sidecar.ask(request("POST", "/get-online-features", &headers, REFUSED))
    };
    assert_eq!(query(secrets.keyed_key.expose()).await.status, 200);
    query("tw_k1_wrong").await.fails(401, "UNAUTHORIZED");
    query(secrets.keyed_key.expose().strip_prefix('t').unwrap()).await.fails(401, "UNAUTHORIZED");
    assert_eq!(upstream.count(), 1);
}
