//! Who asks, and the routes besides the query: tokens, roles, what is passed on (config.md, Credentials and `routes`).

use serde_json::json;

use crate::support::Folder;
use crate::support::client::{self, Answer, Raw, request};
use crate::support::sidecar::{FINE, Setup, Sidecar, reader};
use crate::support::tokens::{AUDIENCE, ISSUER, KEY, Key, now};
use crate::support::upstream::{Act, Upstream};

const SENT: &str = "Bearer realm=\"tagwarden\", error=\"invalid_token\"";
const NOT_SENT: &str = "Bearer realm=\"tagwarden\"";

fn post(headers: &str) -> Vec<u8> {
    request("POST", "/get-online-features", &format!("{headers}content-type: application/json\r\n"), FINE)
}

fn unauthorized(answer: &Answer, challenge: &str, message: &str) {
    assert_eq!(answer.fails(401, "UNAUTHORIZED"), message);
    assert_eq!(answer.header("www-authenticate"), Some(challenge));
}

#[tokio::test]
async fn without_a_token_the_challenge_names_no_error() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    let key = format!("x-api-key: tw_k1_{}\r\n", "0".repeat(43));
    for headers in ["", "authorization: Basic dXNlcjpwYXNz\r\n", "cookie: token=abc\r\n", &key] {
        unauthorized(&sidecar.ask(post(headers)).await, NOT_SENT, "A Bearer token is required");
    }
    let in_query = request("POST", &format!("/get-online-features?access_token={}", reader()), "", FINE);
    unauthorized(&sidecar.ask(in_query).await, NOT_SENT, "A Bearer token is required");
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_token_that_does_not_verify_gives_one_text_for_all_causes() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    let claims = |more: serde_json::Value| {
        let mut claims = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "x", "groups": ["readers"], "exp": now() + 600});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        claims
    };
    let good = reader();
    let stranger = Key::new("k1");
    for token in [
        "abc".to_owned(),
        format!("{}x", good),
        stranger.token(&["readers"]),
        KEY.sign(&claims(json!({"iss": "https://idp.example"}))),
        KEY.sign(&claims(json!({"aud": "another"}))),
        KEY.sign(&claims(json!({"nbf": now() + 600}))),
        KEY.sign(&claims(json!({"exp": null}))),
        // Expired and of another key: the signature comes first.
        stranger.token_of("x", &["readers"], -3600),
    ] {
        let answer = sidecar.ask(post(&format!("authorization: Bearer {token}\r\n"))).await;
        unauthorized(&answer, SENT, "The access token is invalid");
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_token_past_its_end_is_told_apart_and_the_leeway_is_given() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    let answer = sidecar.query(&KEY.token_of("caller-1", &["readers"], -60), FINE).await;
    assert_eq!(answer.fails(401, "TOKEN_EXPIRED"), "Access token has expired");
    assert_eq!(answer.header("www-authenticate"), Some(SENT));
    assert_eq!(upstream.count(), 0);
    let late = KEY.token_of("caller-1", &["readers"], -1);
    assert_eq!(sidecar.query(&late, FINE).await.status, 200);
}

#[tokio::test]
async fn more_than_one_credential_is_none() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    let bearer = format!("authorization: Bearer {}\r\n", reader());
    assert_eq!(sidecar.ask(post(&bearer)).await.status, 200);
    for headers in [
        format!("{bearer}{bearer}"),
        format!("{bearer}Authorization: Basic dXNlcjpwYXNz\r\n"),
        format!("authorization: Basic dXNlcjpwYXNz\r\n{bearer}"),
        format!("{bearer}x-api-key: abc\r\n"),
        "x-api-key: abc\r\nx-api-key: abd\r\n".to_owned(),
    ] {
        unauthorized(&sidecar.ask(post(&headers)).await, SENT, "The access token is invalid");
    }
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn a_caller_without_a_role_is_forbidden_before_its_body_is_read() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    let headers = format!("authorization: Bearer {}\r\ncontent-type: application/json\r\n", KEY.token(&["strangers"]));
    let head = format!("POST /get-online-features HTTP/1.1\r\nhost: x\r\n{headers}content-length: 100\r\n\r\n");
    // Not one byte of the body is sent.
    let mut raw = sidecar.raw().await;
    let answer = raw.ask(head).await;
    assert_eq!(answer.fails(403, "FORBIDDEN"), "This caller may not use this route");
    assert_eq!((answer.header("www-authenticate"), upstream.count()), (None, 0));
}

#[tokio::test]
async fn health_is_open_and_shows_a_status_alone() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    upstream.turns_to(Act::answer("200 OK", "content-type: text/plain\r\nx-inside: secret\r\n", "secret"));
    for headers in ["", "authorization: Bearer nonsense\r\n"] {
        let answer = sidecar.ask(request("GET", "/health?deep=1", headers, "")).await;
        assert_eq!((answer.status, answer.body.len(), answer.header("x-inside")), (200, 0, None));
        answer.decision_id();
    }
    upstream.turns_to(Act::answer("503 Service Unavailable", "", "secret"));
    let answer = sidecar.ask(request("GET", "/health", "", "")).await;
    answer.fails(503, "UPSTREAM_FAILED");
    assert!(!answer.text().contains("secret"));
    let lines: Vec<String> = upstream.seen().iter().map(|got| got.line().to_owned()).collect();
    assert_eq!(lines, ["GET /health HTTP/1.1"; 3]);
    let other = sidecar.ask(request("POST", "/health", "", "")).await;
    other.fails(405, "METHOD_NOT_ALLOWED");
    assert_eq!(other.header("allow"), Some("GET"));
}

const ROUTES: &str = "\
routes:
  - {path: /v1/write, methods: [POST, PUT], roles: [writer]}
  - {path: /v1/items, methods: [GET, POST]}
  - {path: /v1/open, methods: [GET], public: true}";

#[tokio::test]
async fn a_listed_route_is_passed_on_with_its_query_string_and_body_for_its_roles_alone() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with(ROUTES).start().await;
    let bearer = |groups: &[&str]| format!("authorization: Bearer {}\r\n", KEY.token(groups));
    let (writer, reader, nobody) = (bearer(&["writers"]), bearer(&["readers"]), bearer(&["nobody"]));
    let form = format!("{writer}content-type: application/x-www-form-urlencoded\r\naccept: text/plain\r\n");
    let body = "a=1&b=%00\u{e9}";

    sidecar.ask(request("POST", "/v1/write", "", body)).await.fails(401, "UNAUTHORIZED");
    sidecar.ask(request("POST", "/v1/write", &nobody, body)).await.fails(403, "FORBIDDEN");
    sidecar.ask(request("POST", "/v1/write", &reader, body)).await.fails(403, "FORBIDDEN");
    sidecar.ask(request("GET", "/v1/items", &nobody, "")).await.fails(403, "FORBIDDEN");
    sidecar.ask(request("GET", "/v1/items", "", "")).await.fails(401, "UNAUTHORIZED");
    for (method, allow) in [("DELETE", "POST, PUT"), ("GET", "POST, PUT"), ("OPTIONS", "POST, PUT")] {
        let answer = sidecar.ask(request(method, "/v1/write", &writer, "")).await;
        answer.fails(405, "METHOD_NOT_ALLOWED");
        assert_eq!(answer.header("allow"), Some(allow));
    }
    sidecar.ask(request("POST", "/v1/open", &writer, "")).await.fails(405, "METHOD_NOT_ALLOWED");
    for path in ["/v1/other", "/v1", "/v1/items/1", "/v1/write/"] {
        sidecar.ask(request("GET", path, &writer, "")).await.fails(404, "NOT_FOUND");
    }
    assert_eq!(upstream.count(), 0);

    let answer = sidecar.ask(request("POST", "/v1/write?x=1&y=%2F..%2f&x=2", &form, body)).await;
    assert_eq!((answer.status, answer.text()), (200, "{\"ok\":true}"));
    let got = upstream.only();
    assert_eq!(got.line(), "POST /v1/write?x=1&y=%2F..%2f&x=2 HTTP/1.1");
    assert_eq!((got.text(), got.header("content-length")), (body, Some(body.len().to_string())));
    assert_eq!(got.header("content-type").as_deref(), Some("application/x-www-form-urlencoded"));
    assert_eq!((got.header("accept").as_deref(), got.header("authorization")), (Some("text/plain"), None));
    assert_eq!(sidecar.ask(request("GET", "/v1/items", &reader, "")).await.status, 200);
    assert_eq!(sidecar.ask(request("GET", "/v1/open?a=b", "", "")).await.status, 200);
    let open = upstream.seen().pop().unwrap();
    assert_eq!((open.line(), open.body.len()), ("GET /v1/open?a=b HTTP/1.1", 0));
}

#[tokio::test]
async fn a_head_request_is_answered_with_a_head_alone() {
    let upstream = Upstream::always(Act::Bytes(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 11\r\n\r\n".to_vec(),
    ))
    .await;
    let routes = "routes: [{path: /v1/open, methods: [GET, HEAD], public: true}]";
    let sidecar = Setup::new(&upstream).with(routes).start().await;
    let mut raw = Raw::connect(sidecar.data).await;
    raw.send(request("HEAD", "/v1/open", "connection: close\r\n", "")).await;
    let text = String::from_utf8(raw.end().await).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\n"), "{text}");
    assert_eq!(text.matches("\r\n\r\n").count(), 1, "{text}");
    assert_eq!(upstream.only().line(), "HEAD /v1/open HTTP/1.1");
}

#[tokio::test]
async fn the_upstream_sees_the_callers_token_only_where_it_is_forwarded() {
    let token = reader();
    let bearer = format!("authorization: Bearer {token}\r\nx-custom: yes\r\n");
    let folder = Folder::new();
    let own = folder.write("token", "own-token-of-the-sidecar\n");
    for (setting, sent) in [
        (String::new(), None),
        ("authorization: drop".to_owned(), None),
        ("authorization: forward".to_owned(), Some(format!("Bearer {token}"))),
        (
            format!("authorization: {{bearer_file: {}}}", own.display()),
            Some("Bearer own-token-of-the-sidecar".to_owned()),
        ),
    ] {
        let upstream = Upstream::start().await;
        let mut setup = Setup::new(&upstream);
        if !setting.is_empty() {
            setup = setup.upstream_with(&setting);
        }
        let sidecar = setup.start().await;
        assert_eq!(client::ask(sidecar.data, post(&bearer)).await.status, 200);
        let got = upstream.only();
        let all: Vec<String> =
            got.headers().into_iter().filter(|(name, _)| name == "authorization").map(|(_, value)| value).collect();
        assert_eq!(all, sent.into_iter().collect::<Vec<_>>(), "{setting}");
        assert_eq!(got.header("x-custom").as_deref(), Some("yes"));
    }
}

#[tokio::test]
async fn an_upstream_behind_a_socket_file_is_reached() {
    let folder = Folder::new();
    let upstream = Upstream::unix(&folder.path("feast.sock"));
    let sidecar = Sidecar::start(&upstream).await;
    for _ in 0..3 {
        assert_eq!(sidecar.query(&reader(), FINE).await.status, 200);
    }
    let seen = upstream.seen();
    assert!(seen.iter().all(|got| got.header("host").as_deref() == Some("localhost")), "{seen:?}");
    assert_eq!((seen.len(), upstream.connections()), (3, 1));
}
