//! Framing: whatever the bytes, one reading of them, and nothing upstream that was not decided (RFC 9112, 11.2).

use crate::support::client::{Raw, query, request};
use crate::support::sidecar::{FINE, FINE_UPSTREAM, REFUSED, Setup, Sidecar, reader};
use crate::support::upstream::{Act, Upstream};

const ROUTES: &str = "\
routes:
  - {path: /v1/items, methods: [GET, POST]}
  - {path: /v1/open, methods: [GET], public: true}";

/// A query's head up to its framing, by a caller who may ask it.
fn head(version: &str) -> String {
    format!(
        "POST /get-online-features HTTP/{version}\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\n",
        reader()
    )
}

fn chunked(body: &str) -> String {
    format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
}

/// All that comes back for these bytes, and how many answers that is.
async fn told(sidecar: &Sidecar, bytes: impl AsRef<[u8]>) -> (String, usize) {
    let mut raw = sidecar.raw().await;
    raw.send(bytes).await;
    let text = String::from_utf8(raw.end().await).unwrap();
    let answers = text.matches("HTTP/1.").count();
    (text, answers)
}

#[tokio::test]
async fn framing_that_two_servers_read_in_two_ways_is_refused_and_ends_the_connection() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with(ROUTES).start().await;
    // What would be a request of its own to whoever takes the other length.
    let inner = "GET /v1/open?smuggled HTTP/1.1\r\nhost: x\r\n\r\n";
    let length = FINE.len();
    let whole = chunked(FINE);
    for (what, framing) in [
        ("two lengths", format!("content-length: {length}\r\ncontent-length: 0\r\n\r\n{FINE}{inner}")),
        ("two lengths, the other way", format!("content-length: 0\r\ncontent-length: {length}\r\n\r\n{FINE}{inner}")),
        ("a list of lengths", format!("content-length: {length}, 0\r\n\r\n{FINE}{inner}")),
        ("a signed length", format!("content-length: +{length}\r\n\r\n{FINE}{inner}")),
        ("a negative length", format!("content-length: -1\r\n\r\n{FINE}{inner}")),
        ("a length in hex", format!("content-length: 0x{length:x}\r\n\r\n{FINE}{inner}")),
        ("a length with a point", format!("content-length: {length}.0\r\n\r\n{FINE}{inner}")),
        ("an empty length", format!("content-length:\r\n\r\n{FINE}{inner}")),
        ("a length beyond 64 bits", format!("content-length: 18446744073709551617\r\n\r\n{FINE}{inner}")),
        ("an unknown coding", format!("transfer-encoding: xchunked\r\n\r\n{whole}{inner}")),
        ("identity", format!("transfer-encoding: identity\r\n\r\n{whole}{inner}")),
        ("chunked not last", format!("transfer-encoding: chunked, identity\r\n\r\n{whole}{inner}")),
        (
            "chunked not last, in two lines",
            format!("transfer-encoding: chunked\r\ntransfer-encoding: gzip\r\n\r\n{whole}{inner}"),
        ),
        ("a space before the colon", format!("transfer-encoding : chunked\r\n\r\n{whole}{inner}")),
        ("a tab before the colon", format!("content-length\t: {length}\r\n\r\n{FINE}{inner}")),
        ("a vertical tab", format!("transfer-encoding:\x0bchunked\r\n\r\n{whole}{inner}")),
        (
            "a folded line",
            format!("x-a: b\r\n transfer-encoding: chunked\r\ncontent-length: {length}\r\n\r\n{FINE}{inner}"),
        ),
        ("a folded framing", format!("transfer-encoding:\r\n chunked\r\n\r\n{whole}{inner}")),
        (
            "a bare carriage return",
            format!("x-a: b\rtransfer-encoding: chunked\r\ncontent-length: {length}\r\n\r\n{FINE}{inner}"),
        ),
        ("a nul", format!("x-a: b\0c\r\ncontent-length: {length}\r\n\r\n{FINE}{inner}")),
        ("a name with a space", format!("x a: b\r\ncontent-length: {length}\r\n\r\n{FINE}{inner}")),
        ("a line without a colon", format!("nonsense\r\ncontent-length: {length}\r\n\r\n{FINE}{inner}")),
        ("a header without a name", format!(": x\r\ncontent-length: {length}\r\n\r\n{FINE}{inner}")),
    ] {
        let (text, answers) = told(&sidecar, head("1.1") + &framing).await;
        assert!(text.starts_with("HTTP/1.1 400 ") && answers == 1, "{what}: {text}");
        assert_eq!(upstream.count(), 0, "{what}");
    }
}

#[tokio::test]
async fn chunks_that_two_servers_read_in_two_ways_are_refused_and_end_the_connection() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with(ROUTES).start().await;
    let inner = "GET /v1/open?smuggled HTTP/1.1\r\nhost: x\r\n\r\n";
    let size = FINE.len();
    for (what, body) in [
        ("a size beyond 64 bits", format!("1{:016x}\r\n{FINE}\r\n0\r\n\r\n", size)),
        ("many digits", format!("f{}\r\n{FINE}\r\n0\r\n\r\n", "f".repeat(40))),
        ("0x before the size", format!("0x{size:x}\r\n{FINE}\r\n0\r\n\r\n")),
        ("a sign before the size", format!("+{size:x}\r\n{FINE}\r\n0\r\n\r\n")),
        ("a size that is no number", format!("zz\r\n{FINE}\r\n0\r\n\r\n")),
        ("no size", format!("\r\n{FINE}\r\n0\r\n\r\n")),
        ("more than the size", format!("{:x}\r\n{FINE}xx\r\n0\r\n\r\n", size)),
        ("an end without a carriage return", format!("{size:x}\r\n{FINE}\n0\r\n\r\n")),
        ("an extension with a line feed", format!("{size:x};a\nb\r\n{FINE}\r\n0\r\n\r\n")),
        ("a size line with a bare line feed", format!("{size:x}\n{FINE}\r\n0\r\n\r\n")),
    ] {
        let bytes = format!("{}transfer-encoding: chunked\r\n\r\n{body}{inner}", head("1.1"));
        let (text, answers) = told(&sidecar, bytes).await;
        assert!(text.starts_with("HTTP/1.1 400 ") && answers == 1, "{what}: {text}");
        assert_eq!(upstream.count(), 0, "{what}");
    }
}

/// RFC 9112, 6.3: the transfer coding wins over the length; what follows the chunks is another request, with no
/// credentials of the first.
#[tokio::test]
async fn a_length_beside_chunks_never_frames_a_body() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with(ROUTES).start().await;
    let inner = "POST /v1/items HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    for framing in [
        "content-length: 5\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
        "content-length: 4000\r\ntransfer-encoding: Chunked\r\n",
    ] {
        let before = upstream.count();
        let (text, _) = told(&sidecar, format!("{}{framing}\r\n{}{inner}", head("1.1"), chunked(FINE))).await;
        let seen = upstream.seen().split_off(before);
        if text.starts_with("HTTP/1.1 400 ") {
            assert!(seen.is_empty(), "{seen:?}");
            continue;
        }
        assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
        assert_eq!(seen.iter().map(|got| got.text()).collect::<Vec<_>>(), [FINE_UPSTREAM]);
        assert_eq!(seen[0].header("content-length"), Some(FINE_UPSTREAM.len().to_string()));
        assert!(text.matches("HTTP/1.1 401 ").count() == 1 || text.matches("HTTP/1.1 ").count() == 1, "{text}");
    }
}

/// CVE-2026-2835: a 1.0 server frames by length or by the end of the connection, never by chunks.
#[tokio::test]
async fn http_1_0_knows_no_chunks() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with(ROUTES).start().await;
    let inner = "GET /v1/open HTTP/1.0\r\n\r\n";
    let framing = format!("transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n{}{inner}", chunked(FINE));
    let (text, answers) = told(&sidecar, head("1.0") + &framing).await;
    assert!(text.starts_with("HTTP/1.0 400 ") || text.starts_with("HTTP/1.1 400 "), "{text}");
    assert_eq!((answers, upstream.count()), (1, 0));
}

#[tokio::test]
async fn http_1_0_is_answered_and_ends_unless_it_asks_to_go_on() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    let length = format!("content-length: {}\r\n\r\n{FINE}", FINE.len());
    let (text, answers) = told(&sidecar, head("1.0") + &length).await;
    assert!(text.starts_with("HTTP/1.0 200 ") && answers == 1, "{text}");
    let mut raw = sidecar.raw().await;
    for _ in 0..2 {
        let answer = raw.ask(format!("{}connection: keep-alive\r\n{length}", head("1.0"))).await;
        assert_eq!((answer.status, answer.header("connection")), (200, Some("keep-alive")));
    }
    assert_eq!(upstream.count(), 3);
    assert!(upstream.seen().iter().all(|got| got.line() == "POST /get-online-features HTTP/1.1"));
}

#[tokio::test]
async fn one_connection_carries_many_requests_and_a_refused_one_among_them_changes_nothing() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    let token = reader();
    let mut raw = sidecar.raw().await;
    for _ in 0..20 {
        assert_eq!(raw.ask(query(&token, FINE)).await.status, 200);
        raw.ask(query(&token, REFUSED)).await.fails(403, "FEATURES_REFUSED");
        raw.ask(request("POST", "/get-online-features", "content-type: application/json\r\n", FINE))
            .await
            .fails(401, "UNAUTHORIZED");
        raw.ask(request("POST", "/nowhere", "", FINE)).await.fails(404, "NOT_FOUND");
    }
    assert_eq!(upstream.count(), 20);
    assert!(upstream.seen().iter().all(|got| got.text() == FINE_UPSTREAM));
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    let token = reader();
    let one = r#"{"features":["customer:vip"],"entities":{"customer_id":[5]}}"#;
    let all = [query(&token, FINE), query(&token, REFUSED), request("GET", "/x", "", ""), query(&token, one)].concat();
    let mut raw = sidecar.raw().await;
    raw.send(all).await;
    let first = raw.answer().await;
    assert!(first.status == 200 && first.text().contains("country"), "{first:?}");
    raw.answer().await.fails(403, "FEATURES_REFUSED");
    raw.answer().await.fails(404, "NOT_FOUND");
    let last = raw.answer().await;
    assert!(last.status == 200 && last.text().contains("vip"), "{last:?}");
    assert_eq!(upstream.count(), 2);
}

/// CVE-2026-2833: bytes behind an upgrade are HTTP still.
#[tokio::test]
async fn an_upgrade_is_not_offered_and_not_taken() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with(ROUTES).start().await;
    let inner = "POST /v1/items HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    for protocol in ["websocket", "h2c"] {
        let before = upstream.count();
        let upgrade = format!(
            "connection: upgrade, http2-settings\r\nupgrade: {protocol}\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n"
        );
        let bytes = [request("GET", "/v1/open", &upgrade, ""), inner.into()].concat();
        let (text, answers) = told(&sidecar, bytes).await;
        assert!(text.starts_with("HTTP/1.1 200 ") && answers == 2, "{text}");
        assert!(text.contains("HTTP/1.1 401 "), "{text}");
        let seen = upstream.seen().split_off(before);
        assert_eq!(seen.len(), 1, "{seen:?}");
        assert!(seen[0].header("upgrade").is_none() && seen[0].header("connection").is_none(), "{seen:?}");
    }
    upstream.turns_to(Act::Bytes(
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nsecret".to_vec(),
    ));
    let mut raw = sidecar.raw().await;
    let answer = raw.ask(request("GET", "/v1/open", "connection: upgrade\r\nupgrade: websocket\r\n", "")).await;
    answer.fails(502, "UPSTREAM_FAILED");
}

#[tokio::test]
async fn tunnels_and_targets_without_a_path_lead_nowhere() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with(ROUTES).start().await;
    let host = upstream.url.strip_prefix("http://").unwrap();
    for (line, statuses) in [
        (format!("CONNECT {host} HTTP/1.1"), [400, 404]),
        ("OPTIONS * HTTP/1.1".to_owned(), [400, 404]),
        ("GET  HTTP/1.1".to_owned(), [400, 400]),
        ("GET get-online-features HTTP/1.1".to_owned(), [400, 404]),
        ("GET /v1/open HTTP/9.9".to_owned(), [400, 400]),
        ("GET /v1/open".to_owned(), [400, 400]),
        ("GET /v1/open HTTP/1.1 HTTP/1.1".to_owned(), [400, 400]),
    ] {
        let (text, answers) = told(&sidecar, format!("{line}\r\nhost: x\r\nconnection: close\r\n\r\n")).await;
        let status: u16 = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        assert!(statuses.contains(&status) && answers == 1, "{line}: {text}");
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_body_is_asked_for_only_once_its_caller_is_known() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    let expecting = format!("expect: 100-continue\r\ncontent-length: {}\r\n\r\n", FINE.len());
    let mut raw = Raw::connect(sidecar.data).await;
    let stranger = "POST /get-online-features HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    raw.send(format!("{stranger}{expecting}")).await;
    // No `100 Continue` before it, or it would be the first line.
    let text = String::from_utf8(raw.end().await).unwrap();
    assert!(text.starts_with("HTTP/1.1 401 "), "{text}");

    let mut raw = Raw::connect(sidecar.data).await;
    raw.send(head("1.1") + &expecting).await;
    assert_eq!(raw.interim().await, "HTTP/1.1 100 Continue");
    assert_eq!(raw.ask(FINE).await.status, 200);
    assert_eq!((upstream.only().text(), upstream.only().header("expect")), (FINE_UPSTREAM, None));
}
