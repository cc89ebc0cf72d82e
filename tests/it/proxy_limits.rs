//! Every cap (config.md, `limits`): what is beyond it is refused, and what is at it is not.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::support::client::{H2, query, request};
use crate::support::sidecar::{FINE, Setup, Sidecar, reader};
use crate::support::upstream::{Act, Upstream};
use crate::support::{until, within};

async fn limited(upstream: &Upstream, limits: &str) -> Sidecar {
    let routes = "routes: [{path: /v1/items, methods: [GET, POST]}, {path: /v1/open, methods: [GET], public: true}]";
    Setup::new(upstream).with(&format!("limits: {{{limits}}}")).with(routes).start().await
}

/// A query of exactly so many bytes.
fn sized(bytes: usize) -> String {
    format!("{FINE}{}", " ".repeat(bytes - FINE.len()))
}

#[tokio::test]
async fn a_request_body_beyond_its_limit_is_413_and_one_at_it_passes() {
    let upstream = Upstream::start().await;
    let sidecar = limited(&upstream, "request_body: 1KiB").await;
    let token = reader();
    assert_eq!(sidecar.query(&token, sized(1024)).await.status, 200);
    let answer = sidecar.query(&token, sized(1025)).await;
    assert_eq!(answer.fails(413, "BODY_TOO_LARGE"), "The request body is too large");
    let bearer = format!("authorization: Bearer {token}\r\n");
    sidecar.ask(request("POST", "/v1/items", &bearer, sized(1025))).await.fails(413, "BODY_TOO_LARGE");
    // Over HTTP/2 it ends the stream and not the connection.
    let h2 = H2::connect(sidecar.data).await;
    let answer = h2.query(&token, &sized(1025)).await;
    answer.fails(413, "BODY_TOO_LARGE");
    assert_eq!(answer.header("connection"), None);
    assert_eq!(h2.query(&token, &sized(1024)).await.status, 200);
    assert_eq!(upstream.count(), 2);
}

#[tokio::test]
async fn a_length_beyond_the_limit_is_413_before_any_byte_of_the_body() {
    let upstream = Upstream::start().await;
    let sidecar = limited(&upstream, "request_body: 1KiB").await;
    let head = format!(
        "POST /get-online-features HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: 9223372036854775807\r\n\r\n",
        reader()
    );
    let mut raw = sidecar.raw().await;
    raw.ask(head).await.fails(413, "BODY_TOO_LARGE");
    raw.end().await;
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_chunked_body_is_413_as_soon_as_it_is_beyond_the_limit() {
    let upstream = Upstream::start().await;
    let sidecar = limited(&upstream, "request_body: 1KiB").await;
    let head = |token: &str| {
        format!(
            "POST /get-online-features HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        )
    };
    let mut raw = sidecar.raw().await;
    raw.send(head(&reader())).await;
    // It never ends: the answer comes in the middle.
    for _ in 0..5 {
        raw.send(format!("100\r\n{}\r\n", " ".repeat(256))).await;
    }
    raw.answer().await.fails(413, "BODY_TOO_LARGE");
    raw.end().await;
    let mut raw = sidecar.raw().await;
    let at_it = format!("{}400\r\n{}\r\n0\r\n\r\n", head(&reader()), sized(1024));
    assert_eq!(raw.ask(at_it).await.status, 200);
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn an_answer_beyond_its_limit_is_not_passed_on() {
    let body = format!("{{\"x\":\"{}\"}}", "SECRET".repeat(400));
    let chunked =
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let until_the_end = format!("HTTP/1.0 200 OK\r\n\r\n{body}");
    let lying = "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n".to_owned();
    let acts = [
        Act::answer("200 OK", "", &body),
        Act::Bytes(chunked.into()),
        Act::Bytes(until_the_end.into()).then_close(),
        Act::Bytes(lying.into()),
    ];
    let upstream = Upstream::start().await;
    let sidecar = limited(&upstream, "response_body: 2KiB").await;
    for act in acts {
        upstream.turns_to(act);
        for bytes in [query(&reader(), FINE), request("GET", "/v1/open", "", "")] {
            let answer = sidecar.ask(bytes).await;
            answer.fails(502, "UPSTREAM_UNREADABLE");
            assert!(!answer.text().contains("SECRET"));
        }
    }
    upstream.turns_to(Act::answer("200 OK", "content-type: text/plain\r\n", "x".repeat(2048)));
    assert_eq!(sidecar.ask(request("GET", "/v1/open", "", "")).await.body.len(), 2048);
}

#[tokio::test]
async fn a_token_beyond_its_limit_is_refused_unread() {
    let upstream = Upstream::start().await;
    let token = reader();
    let fits = limited(&upstream, &format!("token_bytes: {}B", token.len())).await;
    assert_eq!(fits.query(&token, FINE).await.status, 200);
    let sidecar = limited(&upstream, &format!("token_bytes: {}B", token.len() - 1)).await;
    let answer = sidecar.query(&token, FINE).await;
    assert_eq!(answer.fails(401, "UNAUTHORIZED"), "The access token is invalid");
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn a_head_beyond_its_limit_ends_the_connection_over_http1_and_the_request_over_http2() {
    let upstream = Upstream::start().await;
    let sidecar = limited(&upstream, "header_bytes: 8KiB").await;
    let large = "x".repeat(9000);
    for headers in [format!("x-a: {large}\r\n"), "x-a: bcdefgh\r\n".repeat(900)] {
        let mut raw = sidecar.raw().await;
        raw.send(request("GET", "/v1/open", &headers, "")).await;
        let text = String::from_utf8(raw.end().await).unwrap();
        assert!(text.starts_with("HTTP/1.1 431 ") && text.matches("HTTP/").count() == 1, "{text}");
    }
    let long = format!("/v1/open?{large}");
    let mut raw = sidecar.raw().await;
    raw.send(request("GET", &long, "", "")).await;
    let text = String::from_utf8(raw.end().await).unwrap();
    assert!(text.starts_with("HTTP/1.1 431 ") || text.starts_with("HTTP/1.1 414 "), "{text}");
    let h2 = H2::connect(sidecar.data).await;
    let answer = h2.send("GET", "/v1/open", &[("x-a", &large)], "").await;
    assert_eq!(answer.status, 431);
    assert_eq!(h2.send("GET", "/v1/open", &[("x-a", "b")], "").await.status, 200);
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn a_request_beyond_those_in_flight_is_503_at_once_and_the_next_is_served() {
    let upstream = Upstream::start().await;
    let sidecar = limited(&upstream, "inflight: 2").await;
    let gate = Arc::new(Notify::new());
    upstream.turns_to(Act::Wait(Arc::clone(&gate), Box::new(Act::Feast)));
    let token = reader();
    let mut waiting = [sidecar.raw().await, sidecar.raw().await];
    for raw in &mut waiting {
        raw.send(query(&token, FINE)).await;
    }
    until("two requests upstream", async || (upstream.count() == 2).then_some(())).await;
    assert_eq!(sidecar.metric("tagwarden_inflight_requests").await, 2.0);
    let answer = sidecar.query(&token, FINE).await;
    assert_eq!(answer.fails(503, "OVERLOADED"), "Too many requests at once, try again");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(upstream.count(), 2);
    // What is answered without work is answered.
    sidecar.ask(request("GET", "/nowhere", "", "")).await.fails(404, "NOT_FOUND");
    gate.notify_waiters();
    for raw in &mut waiting {
        assert_eq!(raw.answer().await.status, 200);
    }
    upstream.turns_to(Act::Feast);
    assert_eq!(sidecar.query(&token, FINE).await.status, 200);
    sidecar.until_metric("tagwarden_inflight_requests", 0.0).await;
}

#[tokio::test]
async fn a_connection_beyond_the_limit_waits_until_another_ends() {
    let upstream = Upstream::start().await;
    let sidecar = limited(&upstream, "connections: 2").await;
    let token = reader();
    let (mut first, mut second) = (sidecar.raw().await, sidecar.raw().await);
    assert_eq!(first.ask(query(&token, FINE)).await.status, 200);
    assert_eq!(second.ask(query(&token, FINE)).await.status, 200);
    let mut third = sidecar.raw().await;
    third.send(query(&token, FINE)).await;
    // The two go on; the third is not accepted yet.
    assert_eq!(first.ask(query(&token, FINE)).await.status, 200);
    assert_eq!(sidecar.metric("tagwarden_connections{listener=\"data\"}").await, 2.0);
    assert_eq!(upstream.count(), 3);
    drop(second);
    assert_eq!(third.answer().await.status, 200);
    assert_eq!(upstream.count(), 4);
}

#[tokio::test]
async fn a_caller_that_hangs_up_gives_its_place_back_and_leaves_a_line() {
    let upstream = Upstream::start().await;
    let sidecar = limited(&upstream, "inflight: 1").await;
    upstream.turns_to(Act::Hang);
    let token = reader();
    let mut raw = sidecar.raw().await;
    raw.send(query(&token, FINE)).await;
    until("the request upstream", async || (upstream.count() == 1).then_some(())).await;
    drop(raw);
    upstream.turns_to(Act::Feast);
    let served = within("a place", async {
        loop {
            let answer = sidecar.query(&token, FINE).await;
            if answer.status == 200 {
                return true;
            }
            answer.fails(503, "OVERLOADED");
        }
    });
    assert!(served.await);
    let lines = sidecar.audit(2).await;
    assert_eq!((&lines[0]["status"], &lines[0]["decision"]), (&499.into(), &"permitted".into()));
}
