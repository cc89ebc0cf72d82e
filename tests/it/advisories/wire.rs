//! How requests are framed, and what two readers of one might see differently.

use std::sync::Arc;

use tokio::sync::Notify;

use super::ROUTES;
use crate::support::client::{query, request};
use crate::support::sidecar::{FINE, FINE_UPSTREAM, Setup, Sidecar, reader};
use crate::support::tokens::KEY;
use crate::support::until;
use crate::support::upstream::{Act, Upstream};

/// CVE-2020-25017 (Envoy): of a header that stood twice the first was looked at, and both were passed on.
#[tokio::test]
async fn of_a_header_that_stands_twice_none_is_chosen() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with(ROUTES).start().await;
    let (bearer, json) = (format!("authorization: Bearer {}\r\n", reader()), "content-type: application/json\r\n");
    for (headers, status) in [
        (format!("{bearer}{bearer}{json}"), 401),
        (format!("{bearer}x-api-key: a\r\nx-api-key: b\r\n{json}"), 401),
        (format!("{bearer}{json}content-type: text/plain\r\n"), 415),
        (format!("{bearer}content-type: text/plain\r\n{json}"), 415),
        (format!("{bearer}{json}content-encoding: identity\r\ncontent-encoding: gzip\r\n"), 415),
    ] {
        let answer = sidecar.ask(request("POST", "/get-online-features", &headers, FINE)).await;
        assert_eq!(answer.status, status, "{headers}");
    }
    assert_eq!(upstream.count(), 0);
    // Of two traces neither is the one that is written down.
    let trace = |digit: &str| format!("traceparent: 00-{}-b7ad6b7169203331-01\r\n", digit.repeat(32));
    for (headers, noted) in
        [(trace("a"), true), (trace("a") + &trace("b"), false), (trace("a") + "traceparent: x\r\n", false)]
    {
        let all = format!("{bearer}{json}{headers}");
        let answer = sidecar.ask(request("POST", "/get-online-features", &all, FINE)).await;
        assert_eq!(answer.status, 200);
        let line = sidecar.audit(upstream.count()).await.pop().unwrap();
        assert_eq!(line["trace_id"].is_string(), noted, "{headers}: {line}");
    }
}

/// CVE-2024-45410 (Traefik): a caller's `Connection` took away what the proxy had put in.
#[tokio::test]
async fn connection_takes_nothing_away_that_is_ours() {
    for (setting, sent) in [
        ("authorization: {bearer_file: own}".to_owned(), Some("Bearer of-ours".to_owned())),
        ("authorization: forward".to_owned(), Some(format!("Bearer {}", reader()))),
    ] {
        let upstream = Upstream::start().await;
        let setup = Setup::new(&upstream).upstream_with(&setting);
        setup.folder.write("own", "of-ours\n");
        let sidecar = setup.start().await;
        let token =
            sent.as_ref().and_then(|sent| sent.strip_prefix("Bearer ey")).map_or_else(reader, |t| format!("ey{t}"));
        let listed = "connection: Authorization, Content-Type, Content-Length, Host, Accept, X-Size\r\n";
        let headers =
            format!("{listed}authorization: Bearer {token}\r\ncontent-type: application/json\r\nx-size: 9\r\n");
        let answer = sidecar.ask(request("POST", "/get-online-features", &headers, FINE)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let got = upstream.only();
        assert_eq!((got.header("authorization"), got.text()), (sent, FINE_UPSTREAM), "{setting}");
        assert_eq!(got.header("content-type").as_deref(), Some("application/json"));
        assert_eq!(got.header("host").as_deref(), upstream.url.strip_prefix("http://"));
        assert_eq!(got.header("x-size"), None);
    }
}

fn fetching(upstream: &Upstream, provider: &Upstream) -> Setup {
    let mut setup = Setup::new(upstream);
    setup.keys = format!("{{jwks_url: \"{}/jwks\"}}", provider.url);
    setup
}

/// CVE-2025-64527 (Envoy): two tokens while the keys cannot be fetched ended the process.
#[tokio::test]
async fn two_tokens_while_keys_cannot_be_fetched_harm_nobody() {
    let (upstream, provider) = (Upstream::start().await, Upstream::always(Act::Close).await);
    let sidecar = fetching(&upstream, &provider).start().await;
    let good = format!("authorization: Bearer {}\r\n", reader());
    for act in [Act::Close, Act::Reset, Act::json("200 OK", "{}"), Act::answer("500 Oh", "", "")] {
        provider.turns_to(act);
        for headers in [
            format!("{good}{good}"),
            format!("{good}authorization: Bearer nonsense\r\n"),
            format!("{good}x-api-key: tw_k1_x\r\n"),
        ] {
            let both = request("POST", "/get-online-features", &headers, FINE);
            sidecar.ask(both).await.fails(401, "UNAUTHORIZED");
            sidecar.query(&reader(), FINE).await.fails(503, "KEYS_UNAVAILABLE");
        }
    }
    assert_eq!(upstream.count(), 0);
    provider.turns_to(Act::json("200 OK", KEY.set()));
    sidecar.until_status(&reader(), FINE, 200).await;
}

/// CVE-2024-45809 (Envoy): a route that went while its keys were fetched ended the process.
#[tokio::test]
async fn a_configuration_that_goes_while_its_keys_are_fetched_harms_nobody() {
    let gate = Arc::new(Notify::new());
    let keys = Act::Wait(Arc::clone(&gate), Box::new(Act::json("200 OK", KEY.set())));
    let (upstream, provider) = (Upstream::start().await, Upstream::always(keys).await);
    let sidecar = fetching(&upstream, &provider).with(ROUTES).start().await;
    let (mut waiting, mut on_a_route) = (sidecar.raw().await, sidecar.raw().await);
    let items = request("GET", "/v1/items", &format!("authorization: Bearer {}\r\n", reader()), "");
    waiting.send(query(&reader(), FINE)).await;
    on_a_route.send(&items).await;
    until("a fetch, and those who wait for it", async || {
        let inflight = sidecar.metric("tagwarden_inflight_requests").await;
        (provider.count() > 0 && inflight == 2.0).then_some(())
    })
    .await;
    // Another source of keys, and no routes.
    let text = sidecar.setup.text().replace(ROUTES, "");
    let source = format!("{{jwks_url: \"{}/jwks\"}}", provider.url);
    sidecar.setup.folder.write("tagwarden.yaml", text.replace(&source, "{jwks_file: jwks.json}"));
    sidecar.until_metric("tagwarden_reloads_total{kind=\"config\",result=\"ok\"}", 1.0).await;
    assert_eq!(sidecar.query(&reader(), FINE).await.status, 200);
    gate.notify_waiters();
    // Each is answered by the configuration that it came under, the one on a route that is gone too.
    for waiting in [&mut waiting, &mut on_a_route] {
        let answer = waiting.answer().await;
        assert!([200, 503].contains(&answer.status), "{answer:?}");
        assert_eq!(waiting.ask(query(&reader(), FINE)).await.status, 200);
    }
    sidecar.ask(&items).await.fails(404, "NOT_FOUND");
    sidecar.ask(request("GET", "/v1/open", "", "")).await.fails(404, "NOT_FOUND");
}

/// RUSTSEC-2020-0008 (hyper): the body of a GET was the next request.
#[tokio::test]
async fn the_body_of_a_get_is_no_request() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with(ROUTES).start().await;
    let inner = "GET /v1/open?smuggled HTTP/1.1\r\nhost: x\r\n\r\n";
    let chunked = format!("{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len());
    for method in ["GET", "HEAD", "DELETE"] {
        for path in ["/v1/open", "/health", "/nowhere", "/get-online-features"] {
            for (framing, body) in [
                (format!("content-length: {}", inner.len()), inner.to_owned()),
                ("transfer-encoding: chunked".to_owned(), chunked.clone()),
            ] {
                let before = upstream.count();
                let mut raw = sidecar.raw().await;
                raw.send(format!(
                    "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{framing}\r\n\r\n{body}"
                ))
                .await;
                let text = String::from_utf8_lossy(&raw.end().await).into_owned();
                assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{method} {path}: {text}");
                let seen = upstream.seen().split_off(before);
                assert!(seen.len() <= 1 && seen.iter().all(|got| !got.head.contains("smuggled")), "{seen:?}");
            }
        }
    }
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame of HTTP/2 (RFC 9113, 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// `GET http://x/v1/open` in HPACK.
fn get() -> Vec<u8> {
    [&[0x82, 0x86, 0x41, 1, b'x', 0x04, 8], b"/v1/open".as_slice()].concat()
}

async fn still_serves(sidecar: &Sidecar) {
    assert_eq!(sidecar.query(&reader(), FINE).await.status, 200);
    sidecar.until_metric("tagwarden_inflight_requests", 0.0).await;
}

/// CVE-2023-44487, which those who took kube-rbac-proxy turned HTTP/2 off for: streams that are opened and reset at once.
#[tokio::test]
async fn streams_that_are_reset_at_once_end_their_connection() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with(ROUTES).start().await;
    let mut raw = sidecar.raw().await;
    raw.send([PREFACE, &frame(4, 0, 0, &[])].concat()).await;
    let mut sent = 0_u32;
    for batch in 0..200_u32 {
        let streams = (0..100).map(|number| 2 * (100 * batch + number) + 1);
        let pairs = streams.flat_map(|stream| [frame(1, 5, stream, &get()), frame(3, 0, stream, &8_u32.to_be_bytes())]);
        if !raw.send(pairs.collect::<Vec<_>>().concat()).await {
            break;
        }
        sent += 100;
    }
    raw.end().await;
    assert!(upstream.count() < 1000, "{} requests of {sent} went upstream", upstream.count());
    still_serves(&sidecar).await;
}

/// RUSTSEC-2024-0332 (h2): a head that goes on in CONTINUATION frames without end.
#[tokio::test]
async fn a_head_that_goes_on_for_ever_ends_its_connection() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with(ROUTES).start().await;
    let entry = [&[0x00, 3], b"x-a".as_slice(), &[0x7f, 0x81, 0x03], &[b'a'; 512]].concat();
    for filling in [entry.repeat(30), Vec::new()] {
        let mut raw = sidecar.raw().await;
        // END_STREAM without END_HEADERS.
        raw.send([PREFACE, &frame(4, 0, 0, &[]), &frame(1, 1, 1, &get())].concat()).await;
        let more = frame(9, 0, 1, &filling).repeat(16);
        let mut sent = 0;
        while sent < 4096 && raw.send(&more).await {
            sent += 1;
        }
        raw.end().await;
        assert!(sent < 4096, "{sent} times {} bytes were taken", more.len());
    }
    assert_eq!(upstream.count(), 0);
    still_serves(&sidecar).await;
}
