//! The upstream as it is: closing idle connections, breaking off, failing with values in its errors, answering what
//! nobody can verify (wire-feast.md, section 2; config.md, Errors on the wire).

use crate::support::client::{Raw, query, request};
use crate::support::sidecar::{FINE, FINE_UPSTREAM, Setup, Sidecar, reader};
use crate::support::upstream::{Act, Upstream, nobody};

const ROUTES: &str = "\
routes:
  - {path: /v1/items, methods: [GET, POST]}
  - {path: /v1/open, methods: [GET], public: true}";

const HALF: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{\"results\":";

/// The first request on each connection is answered, the later ones end like this.
async fn dying(later: Act) -> Upstream {
    let seen = std::sync::Mutex::new(std::collections::HashSet::new());
    Upstream::plan(
        move |request, _| {
            if seen.lock().unwrap().insert(request.connection) { Act::Feast } else { later.clone() }
        },
    )
    .await
}

fn items(method: &str) -> Vec<u8> {
    let body = if method == "POST" { "{\"write\":1}" } else { "" };
    request(method, "/v1/items", &format!("authorization: Bearer {}\r\n", reader()), body)
}

#[tokio::test]
async fn one_connection_is_used_again_and_again() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    let mut raw = sidecar.raw().await;
    for _ in 0..30 {
        assert_eq!(raw.ask(query(&reader(), FINE)).await.status, 200);
    }
    assert_eq!((upstream.count(), upstream.connections()), (30, 1));
}

#[tokio::test]
async fn an_upstream_that_closes_idle_connections_without_a_word_costs_no_read() {
    let upstream = Upstream::always(Act::Feast.then_close()).await;
    let sidecar = Sidecar::start(&upstream).await;
    let mut raw = sidecar.raw().await;
    let token = reader();
    for number in 0..200 {
        let answer = raw.ask(query(&token, FINE)).await;
        assert_eq!(answer.status, 200, "{number}: {answer:?}");
    }
    // Read by read it was one request, or one that died unread and one more.
    assert!(upstream.seen().iter().all(|got| got.text() == FINE_UPSTREAM));
    assert!(upstream.connections() >= 200, "{}", upstream.connections());
}

#[tokio::test]
async fn a_read_whose_reused_connection_dies_before_an_answer_is_sent_once_more() {
    for later in [Act::Close, Act::Reset] {
        let upstream = dying(later).await;
        let sidecar = Setup::new(&upstream).with(ROUTES).start().await;
        let mut raw = sidecar.raw().await;
        assert_eq!(raw.ask(query(&reader(), FINE)).await.status, 200);
        assert_eq!(raw.ask(query(&reader(), FINE)).await.status, 200);
        let seen = upstream.seen();
        let on: Vec<usize> = seen.iter().map(|got| got.connection).collect();
        assert_eq!(on, [0, 0, 1]);
        assert!(seen.iter().all(|got| got.text() == FINE_UPSTREAM));
        // So is one that is passed on, where its method only reads.
        assert_eq!(raw.ask(items("GET")).await.status, 200);
        assert_eq!(raw.ask(items("GET")).await.status, 200);
        assert_eq!(sidecar.metric("tagwarden_upstream_errors_total{kind=\"broken\"}").await, 0.0);
    }
}

#[tokio::test]
async fn it_is_sent_no_third_time() {
    let upstream = Upstream::plan(|_, number| if number == 0 { Act::Feast } else { Act::Close }).await;
    let sidecar = Sidecar::start(&upstream).await;
    let mut raw = sidecar.raw().await;
    assert_eq!(raw.ask(query(&reader(), FINE)).await.status, 200);
    raw.ask(query(&reader(), FINE)).await.fails(502, "UPSTREAM_FAILED");
    assert_eq!(upstream.count(), 3);
}

#[tokio::test]
async fn nothing_is_sent_again_once_a_byte_of_an_answer_came() {
    for later in [
        Act::Bytes(b"H".to_vec()).then_close(),
        Act::BytesThenReset(b"HTTP/1.1 2".to_vec()),
        Act::Bytes(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()).then_close(),
        Act::Bytes(HALF.to_vec()).then_close(),
        Act::BytesThenReset(HALF.to_vec()),
    ] {
        let upstream = dying(later.clone()).await;
        let sidecar = Sidecar::start(&upstream).await;
        let mut raw = sidecar.raw().await;
        assert_eq!(raw.ask(query(&reader(), FINE)).await.status, 200);
        let answer = raw.ask(query(&reader(), FINE)).await;
        answer.fails(502, "UPSTREAM_FAILED");
        assert_eq!(upstream.count(), 2, "{later:?}");
    }
}

#[tokio::test]
async fn nothing_is_sent_again_that_died_on_a_fresh_connection() {
    for act in [Act::Close, Act::Reset] {
        let upstream = Upstream::always(act).await;
        let sidecar = Sidecar::start(&upstream).await;
        for tried in 1..4 {
            sidecar.query(&reader(), FINE).await.fails(502, "UPSTREAM_FAILED");
            assert_eq!((upstream.count(), upstream.connections()), (tried, tried));
        }
        assert_eq!(sidecar.metric("tagwarden_upstream_errors_total{kind=\"broken\"}").await, 3.0);
    }
}

#[tokio::test]
async fn a_write_is_never_sent_again() {
    for later in [Act::Close, Act::Reset] {
        let upstream = dying(later).await;
        let sidecar = Setup::new(&upstream).with(ROUTES).start().await;
        let mut raw = sidecar.raw().await;
        assert_eq!(raw.ask(items("POST")).await.status, 200);
        raw.ask(items("POST")).await.fails(502, "UPSTREAM_FAILED");
        assert_eq!(upstream.count(), 2);
        // The next one finds a connection that lives.
        assert_eq!(raw.ask(items("POST")).await.status, 200);
        assert_eq!(upstream.count(), 3);
    }
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_502() {
    let (_held, url) = nobody();
    let sidecar = Setup::at(&url).with(ROUTES).start().await;
    for bytes in [query(&reader(), FINE), items("POST"), request("GET", "/health", "", "")] {
        let answer = sidecar.ask(bytes).await;
        assert_eq!(answer.fails(502, "UPSTREAM_FAILED"), "The feature server failed");
        assert!(!answer.text().contains("127.0.0.1"));
    }
    assert_eq!(sidecar.metric("tagwarden_upstream_errors_total{kind=\"connect\"}").await, 3.0);
}

#[tokio::test]
async fn an_error_keeps_its_status_and_loses_its_body_and_headers() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with(ROUTES).start().await;
    let secret = "\"invalid literal for int() with base 10: '001-01-0007'\"";
    for status in [400, 401, 403, 404, 405, 407, 408, 409, 418, 422, 429, 499, 500, 501, 502, 503, 504, 599] {
        let headers = "content-type: application/json\r\nx-secret: 001-01-0007\r\nretry-after: 1\r\nallow: X\r\n";
        upstream.turns_to(Act::answer(&format!("{status} Reason001"), headers, secret));
        for bytes in [query(&reader(), FINE), items("POST"), items("GET"), request("GET", "/health", "", "")] {
            let answer = sidecar.ask(bytes).await;
            assert_eq!(answer.fails(status, "UPSTREAM_FAILED"), "The feature server failed");
            let shown = format!("{answer:?}");
            assert!(!shown.contains("001-01-0007") && !shown.contains("literal"), "{shown}");
            let names: Vec<&str> = answer.headers.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["content-type", "x-tagwarden-decision-id", "content-length", "date"]);
        }
    }
    assert_eq!(sidecar.metric("tagwarden_upstream_errors_total{kind=\"status\"}").await, 72.0);
}

#[tokio::test]
async fn an_answer_that_is_not_a_plain_200_in_json_is_unreadable() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with(ROUTES).start().await;
    let body = r#"{"results":[{"values":["SECRET"]},{"values":["SECRET"]}],
        "metadata":{"feature_names":["customer__age","customer__country"]}}"#;
    let json = "content-type: application/json\r\n";
    upstream.turns_to(Act::answer("200 OK", json, body));
    assert_eq!(sidecar.query(&reader(), FINE).await.status, 200);
    for (status, headers, body) in [
        ("201 Created", json, body),
        ("202 Accepted", json, body),
        ("203 Non-Authoritative", json, body),
        ("206 Partial Content", json, body),
        ("299 Odd", json, body),
        ("204 No Content", json, ""),
        ("200 OK", "", body),
        ("200 OK", "content-type: text/html\r\n", "<html>SECRET</html>"),
        ("200 OK", "content-type: text/plain\r\n", body),
        ("200 OK", "content-type: application/json; charset=utf-16\r\n", body),
        ("200 OK", "content-type: application/json\r\ncontent-encoding: gzip\r\n", body),
        ("200 OK", "content-type: application/json\r\ncontent-encoding: identity\r\n", body),
        ("200 OK", json, "\u{feff}{}"),
        ("200 OK", json, "null"),
    ] {
        upstream.turns_to(Act::answer(status, headers, body));
        let answer = sidecar.query(&reader(), FINE).await;
        assert_eq!(answer.fails(502, "UPSTREAM_UNREADABLE"), "The feature server's answer cannot be verified");
        assert!(!answer.text().contains("SECRET"), "{answer:?}");
    }
    assert_eq!(sidecar.metric("tagwarden_upstream_errors_total{kind=\"unreadable\"}").await, 14.0);
}

#[tokio::test]
async fn what_is_passed_on_comes_back_as_it_is() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with(ROUTES).start().await;
    let headers = "content-type: text/html\r\ncontent-encoding: gzip\r\ncache-control: no-store\r\n";
    upstream.turns_to(Act::answer("201 Created", headers, b"\x1f\x8b\x00\xff"));
    let answer = sidecar.ask(items("POST")).await;
    assert_eq!((answer.status, answer.body.as_slice()), (201, b"\x1f\x8b\x00\xff".as_slice()));
    assert_eq!(answer.header("content-type"), Some("text/html"));
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    upstream.turns_to(Act::Bytes(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()));
    let mut raw = Raw::connect(sidecar.data).await;
    assert_eq!(raw.ask(items("POST")).await.status, 204);
    assert_eq!(raw.ask(items("GET")).await.status, 204);
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_502_and_its_connection_is_not_used_again() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    for bytes in [
        "SSH-2.0-OpenSSH\r\n\r\n",
        "HTTP/1.1 200\r\nbroken header\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nSECRET",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nSECRET\r\n",
    ] {
        upstream.turns_to(Act::Bytes(bytes.into()));
        let before = (upstream.count(), upstream.connections());
        let answer = sidecar.query(&reader(), FINE).await;
        answer.fails(502, "UPSTREAM_FAILED");
        assert!(!answer.text().contains("SECRET"), "{answer:?}");
        assert_eq!(upstream.count(), before.0 + 1, "{bytes}");
        upstream.turns_to(Act::Feast.then_close());
        assert_eq!(sidecar.query(&reader(), FINE).await.status, 200);
        assert!(upstream.connections() > before.1, "{bytes}");
    }
}

#[tokio::test]
async fn interim_answers_of_the_upstream_are_passed_over() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </secret>\r\n\r\n";
    let answer = r#"{"results":[{"values":[1]},{"values":[2]}],"metadata":{"feature_names":["customer__age","customer__country"]}}"#;
    let whole = format!(
        "{interim}HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{answer}",
        answer.len()
    );
    let upstream = Upstream::always(Act::Bytes(whole.into())).await;
    let sidecar = Sidecar::start(&upstream).await;
    for _ in 0..2 {
        let answer = sidecar.query(&reader(), FINE).await;
        assert_eq!((answer.status, answer.header("link")), (200, None));
    }
}

const OPEN: &str = "routes: [{path: /v1/open, methods: [GET], public: true}]";

fn chunked(chunks: &[&str]) -> Act {
    let body: String = chunks.iter().map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())).collect();
    Act::BytesThenHang(format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{body}").into_bytes())
}

#[tokio::test]
async fn what_is_passed_on_goes_on_as_it_comes_and_counts_as_in_flight() {
    let upstream = Upstream::always(chunked(&["first", "second"])).await;
    let sidecar = Setup::new(&upstream).with(OPEN).start().await;
    let mut raw = sidecar.raw().await;
    raw.send(request("GET", "/v1/open", "", "")).await;
    raw.at_least("HTTP/1.1 200 OK\r\n".len() + "5\r\nfirst\r\n6\r\nsecond\r\n".len()).await;
    sidecar.until_metric("tagwarden_inflight_requests", 1.0).await;
    drop(raw);
    // The caller is gone, and with it the request.
    sidecar.until_metric("tagwarden_inflight_requests", 0.0).await;
}

#[tokio::test]
async fn what_is_passed_on_breaks_off_where_it_is_late_or_too_large() {
    let upstream = Upstream::start().await;
    let setup = Setup::new(&upstream).upstream_with("timeout: 300ms").with(OPEN);
    let sidecar = setup.with("limits: {response_body: 1MiB}").start().await;
    let known = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\nbegins".to_vec();
    for (act, kind, comes) in [
        (chunked(&["slow"]), "timeout", "slow"),
        (chunked(&[&"x".repeat(2 << 20)]), "too_large", ""),
        (Act::BytesThenHang(known.clone()), "timeout", "begins"),
        (Act::BytesThenReset(known), "broken", ""),
    ] {
        upstream.turns_to(act);
        let name = format!("tagwarden_upstream_errors_total{{kind=\"{kind}\"}}");
        let before = sidecar.metric(&name).await;
        let mut raw = sidecar.raw().await;
        raw.send(request("GET", "/v1/open", "connection: close\r\n", "")).await;
        let text = String::from_utf8(raw.end().await).unwrap();
        // Where it broke off before anything of it went on, it has an answer.
        let told = ["HTTP/1.1 200 OK\r\n", "HTTP/1.1 502 Bad Gateway\r\n"];
        assert!(text.is_empty() || told.iter().any(|line| text.starts_with(line)), "{kind}: {text}");
        assert!(text.contains(comes) && !text.contains("\r\n0\r\n\r\n"), "{kind}: {text}");
        assert!(text.len() < (1 << 20) + 1000, "{kind}: {} bytes", text.len());
        sidecar.until_metric(&name, before + 1.0).await;
    }
    // One that says so beforehand does not begin.
    upstream.turns_to(Act::answer("200 OK", "", "x".repeat((1 << 20) + 1)));
    sidecar.ask(request("GET", "/v1/open", "", "")).await.fails(502, "UPSTREAM_UNREADABLE");
    upstream.turns_to(Act::answer("200 OK", "", "x".repeat(1 << 20)));
    assert_eq!(sidecar.ask(request("GET", "/v1/open", "", "")).await.body.len(), 1 << 20);
}
