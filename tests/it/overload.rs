//! Overload: thousands of idle connections, more requests than there are places, no descriptors left, and bodies of strangers.
//! Each limit alone is in `proxy_limits` and `proxy_slow`; the table of all is in docs/security.md.

use std::convert::Infallible;
use std::pin::Pin;
use std::process::Command;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::support::client::{H2, Raw, ask, query, request};
use crate::support::process::Process;
use crate::support::sidecar::{FINE, POLICY, REFUSED, Setup, Sidecar, reader};
use crate::support::upstream::{Act, Upstream};
use crate::support::{until, within};

/// What HTTP/2 connections begin with, and SETTINGS without any.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Connections that the long form holds, and the short one; all but a few of them idle.
fn many() -> usize {
    if std::env::var_os("TAGWARDEN_LONG").is_some() { 10_000 } else { 2_000 }
}

/// This process may open as many files as the system lets it.
fn open_files(at_least: usize) {
    let pid = std::process::id().to_string();
    let read = || {
        let text = std::fs::read_to_string("/proc/self/limits").unwrap();
        let line = text.lines().find(|line| line.starts_with("Max open files")).unwrap().to_owned();
        let mut figures = line.split_whitespace().skip(3).map(|figure| figure.parse().unwrap_or(usize::MAX));
        (figures.next().unwrap(), figures.next().unwrap())
    };
    let (soft, hard) = read();
    if soft < at_least {
        let limit = format!("--nofile={}", hard.min(1 << 20));
        assert!(Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap().success());
    }
    assert!(read().0 >= at_least, "this test needs {at_least} files, and may open {}", read().0);
}

async fn metric(sidecar: &Process, series: &str) -> f64 {
    let answer = ask(sidecar.metrics, request("GET", "/metrics", "", "")).await;
    answer.text().lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok()).unwrap_or(0.0)
}

async fn until_connections(sidecar: &Process, count: usize) {
    until(&format!("{count} connections"), async || {
        (metric(sidecar, "tagwarden_connections{listener=\"data\"}").await == count as f64).then_some(())
    })
    .await;
}

#[tokio::test]
async fn thousands_of_idle_connections_cost_little_and_keep_nobody_out() {
    let (most, count) = (many(), many() - 10);
    open_files(count + 1000);
    let upstream = Upstream::start().await;
    let limits = format!("limits: {{connections: {most}, first_byte_timeout: 1h, idle_timeout: 1h}}");
    let setup = Setup::new(&upstream).with(&limits);
    let sidecar = Process::serve_with_files(&setup.write(), 2 * most).await;
    let (token, nowhere) = (reader(), request("GET", "/nowhere", "", ""));
    assert_eq!(ask(sidecar.data, query(&token, FINE)).await.status, 200);
    until_connections(&sidecar, 0).await;
    let (memory, files) = (sidecar.memory("VmRSS"), sidecar.descriptors());
    let mut idle = Vec::with_capacity(count);
    for number in 0..count {
        let mut raw = Raw::connect(sidecar.data).await;
        match number % 3 {
            // No byte; one that was served; one that speaks HTTP/2.
            0 => {}
            1 => assert_eq!(raw.ask(&nowhere).await.status, 404),
            _ => {
                raw.send(HELLO).await;
                raw.at_least(9).await;
            }
        }
        idle.push(raw);
    }
    until_connections(&sidecar, count).await;
    let each = sidecar.memory("VmRSS").saturating_sub(memory) * 1024 / count;
    println!("{count} idle connections: {each} bytes each");
    assert!(each < 48 << 10, "{each} bytes for each of {count}");
    // Others are served, and so are they.
    assert_eq!(ask(sidecar.data, query(&token, FINE)).await.status, 200);
    assert_eq!(H2::connect(sidecar.data).await.query(&token, FINE).await.status, 200);
    for raw in idle.iter_mut().step_by(3).take(5) {
        assert_eq!(raw.ask(query(&token, FINE)).await.status, 200);
    }
    drop(idle);
    until_connections(&sidecar, 0).await;
    until("all descriptors back", async || (sidecar.descriptors() <= files + 2).then_some(())).await;
    assert_eq!(ask(sidecar.data, query(&token, FINE)).await.status, 200);
}

#[tokio::test]
async fn of_a_burst_as_many_as_have_a_place_are_served_and_the_others_are_told_before_those_are() {
    const PLACES: usize = 8;
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with(&format!("limits: {{inflight: {PLACES}}}")).start().await;
    let gate = Arc::new(Notify::new());
    upstream.turns_to(Act::Wait(Arc::clone(&gate), Box::new(Act::Feast)));
    let token = reader();
    let (h2, mut accepted) = (Arc::new(H2::connect(sidecar.data).await), Vec::new());
    for number in 0..PLACES {
        let (h2, token, at) = (Arc::clone(&h2), token.clone(), sidecar.data);
        accepted.push(tokio::spawn(async move {
            if number % 2 == 0 { h2.query(&token, FINE).await } else { ask(at, query(&token, FINE)).await }
        }));
    }
    until("all places taken", async || (upstream.count() == PLACES).then_some(())).await;
    // Nothing of what follows waits for the gate.
    let mut kept = sidecar.raw().await;
    for number in 0..200 {
        let answer = if number % 2 == 0 { h2.query(&token, FINE).await } else { kept.ask(query(&token, FINE)).await };
        assert_eq!(answer.fails(503, "OVERLOADED"), "Too many requests at once, try again");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    assert_eq!(upstream.count(), PLACES);
    assert!(accepted.iter().all(|task| !task.is_finished()));
    gate.notify_waiters();
    for task in accepted {
        assert_eq!(task.await.unwrap().status, 200);
    }
    upstream.turns_to(Act::Feast);
    assert_eq!(kept.ask(query(&token, FINE)).await.status, 200);
    sidecar.until_metric("tagwarden_inflight_requests", 0.0).await;
}

#[tokio::test]
async fn callers_do_not_take_the_last_descriptors_from_probes_and_from_those_who_are_served() {
    let upstream = Upstream::start().await;
    let setup = Setup::new(&upstream).with("limits: {first_byte_timeout: 1h, idle_timeout: 1h}");
    let mut sidecar = Process::serve_with_files(&setup.write(), 100).await;
    sidecar.logged("fewer connections at once than `limits.connections`").await;
    let token = reader();
    let mut first = Raw::connect(sidecar.data).await;
    assert_eq!(first.ask(query(&token, FINE)).await.status, 200);
    let mut rest = Vec::new();
    for _ in 0..100 {
        rest.push(Raw::connect(sidecar.data).await);
    }
    until_connections(&sidecar, 50).await;
    // Those who are served are, each time over a new connection upstream; so are probes, and what is reloaded.
    upstream.turns_to(Act::Feast.then_close());
    for _ in 0..5 {
        assert_eq!(first.ask(query(&token, FINE)).await.status, 200);
        assert_eq!(ask(sidecar.metrics, request("GET", "/readyz", "", "")).await.status, 200);
    }
    setup.folder.write("policy.yaml", POLICY.replace("pii: Deny", "pii: Allow"));
    until("the new policy", async || (first.ask(query(&token, REFUSED)).await.status == 200).then_some(())).await;
    assert!(!sidecar.log().contains("a connection cannot be accepted"), "{}", sidecar.log());
    // Who waited is served when there is room.
    let mut last = rest.pop().unwrap();
    rest.clear();
    assert_eq!(last.ask(query(&token, FINE)).await.status, 200);
    sidecar.terminate();
    drop(last);
    drop(first);
    assert_eq!(sidecar.exit().await, 0);
}

#[tokio::test]
async fn without_descriptors_those_that_are_open_go_on_and_with_them_everybody_does() {
    let upstream = Upstream::start().await;
    let setup = Setup::new(&upstream).with("limits: {first_byte_timeout: 1h, idle_timeout: 1h}");
    let sidecar = Process::serve_with_files(&setup.write(), 64).await;
    let token = reader();
    let mut first = Raw::connect(sidecar.data).await;
    assert_eq!(first.ask(query(&token, FINE)).await.status, 200);
    // Whoever comes, to whichever door, takes what there is.
    let (mut rest, unused) = (Vec::new(), sidecar.descriptors());
    for _ in 0..64 {
        for at in [sidecar.data, sidecar.metrics, sidecar.admin] {
            rest.push(Raw::connect(at).await);
        }
    }
    until("all of them taken", async || (sidecar.descriptors() >= 64).then_some(())).await;
    assert!(sidecar.descriptors() < 100, "{} and {unused}", sidecar.descriptors());
    // The connection to the upstream is there.
    for _ in 0..3 {
        assert_eq!(first.ask(query(&token, FINE)).await.status, 200);
    }
    // Where there is none it cannot be made, perhaps: told, and no more than that.
    upstream.turns_to(Act::Feast.then_close());
    assert_eq!(first.ask(query(&token, FINE)).await.status, 200);
    let answer = first.ask(query(&token, FINE)).await;
    assert!(matches!(answer.status, 200 | 502), "{answer:?}");
    upstream.turns_to(Act::Feast);
    setup.folder.write("policy.yaml", POLICY.replace("pii: Deny", "pii: Allow"));
    rest.clear();
    until("an answer on a new connection", async || {
        let mut raw = Raw::connect(sidecar.data).await;
        raw.send(query(&token, FINE)).await;
        (raw.try_answer().await?.status == 200).then_some(())
    })
    .await;
    // What changed meanwhile is read.
    until("the new policy", async || (ask(sidecar.data, query(&token, REFUSED)).await.status == 200).then_some(()))
        .await;
    assert_eq!(ask(sidecar.metrics, request("GET", "/readyz", "", "")).await.status, 200);
    assert_eq!(first.ask(query(&token, FINE)).await.status, 200);
}

#[tokio::test]
async fn nothing_of_a_strangers_upload_is_kept() {
    const BODY: usize = 8 << 20;
    let upstream = Upstream::start().await;
    let setup = Setup::new(&upstream)
        .with("routes: [{path: /v1/items, methods: [POST]}]")
        .with("limits: {body_timeout: 1h, idle_timeout: 1h}");
    let sidecar = Process::serve(&setup.write(), &[]).await;
    assert_eq!(ask(sidecar.data, query(&reader(), FINE)).await.status, 200);
    let before = sidecar.memory("VmHWM");
    let mut open = Vec::new();
    let forged = "authorization: Bearer e30.e30.e30\r\n";
    for number in 0..24 {
        let path = if number % 2 == 0 { "/get-online-features" } else { "/v1/items" };
        let token = if number % 3 == 0 { forged } else { "" };
        let framing =
            if number % 4 < 2 { format!("content-length: {BODY}") } else { "transfer-encoding: chunked".into() };
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: x\r\n{token}content-type: application/json\r\n{framing}\r\n\r\n");
        let mut raw = Raw::connect(sidecar.data).await;
        // Not one byte of it is waited for,
        raw.ask(head).await.fails(401, "UNAUTHORIZED");
        // and all but the last byte may come.
        if number % 4 < 2 {
            raw.send(vec![b' '; BODY - 1]).await;
        } else {
            let piece = [b"10000\r\n".as_slice(), &[b' '; 1 << 16], b"\r\n"].concat();
            for _ in 0..BODY / (1 << 16) - 1 {
                raw.send(&piece).await;
            }
        }
        open.push(raw);
    }
    let h2 = H2::connect(sidecar.data).await;
    for _ in 0..8 {
        let answer = h2.send("POST", "/v1/items", &[], vec![b' '; BODY]).await;
        answer.fails(401, "UNAUTHORIZED");
    }
    let most = sidecar.memory("VmHWM") - before;
    println!("{most} KiB for {} MiB", 32 * 8);
    assert!(most < 32 << 10, "{most} KiB");
    assert_eq!(upstream.count(), 1);
    drop(open);
}

/// The short deadlines hold over HTTP/2 as over HTTP/1.1.
#[tokio::test]
async fn drops_over_http2_end_too() {
    let upstream = Upstream::start().await;
    let limits = "limits: {first_byte_timeout: 1h, header_timeout: 1h, body_timeout: 300ms, idle_timeout: 500ms}";
    let sidecar = Setup::new(&upstream).with(limits).with("routes: [{path: /v1/items, methods: [POST]}]").start().await;
    // Half of a head, byte by byte: HEADERS of 100 bytes, of which some come.
    for begin in [&b"\0\0\x64\x01\x04\0\0\0\x01"[..], b"\0\0\x64\x01", b"\0\0\x01\x01\0\0\0\0\x01\x82"] {
        let mut raw = sidecar.raw().await;
        raw.send(HELLO).await;
        raw.send(begin).await;
        let dripping = async {
            loop {
                sleep(Duration::from_millis(20)).await;
                let ended = timeout(Duration::from_millis(1), raw.end()).await.is_ok();
                if ended || !raw.send([0x40]).await {
                    return;
                }
            }
        };
        within("the end of the connection", dripping).await;
    }
    sidecar.until_metric("tagwarden_connections{listener=\"data\"}", 0.0).await;
    // A body that never ends: its stream does.
    let stream = TokioIo::new(TcpStream::connect(sidecar.data).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let head = hyper::Request::post("http://sidecar.example/v1/items");
    let head = head.header("authorization", format!("Bearer {}", reader()));
    let answer = within("an answer", sender.send_request(head.body(Never).unwrap())).await.unwrap();
    assert_eq!(answer.status(), 408);
    let text = within("its body", answer.into_body().collect()).await.unwrap().to_bytes();
    assert!(text.starts_with(b"{\"detail\":\"The request body did not arrive in time\""), "{text:?}");
    assert_eq!(upstream.count(), 0);
}

/// A body that neither comes nor ends.
struct Never;

impl hyper::body::Body for Never {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

#[tokio::test]
async fn a_stranger_who_asks_and_asks_takes_no_place_from_others() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    let h2 = H2::connect(sidecar.data).await;
    for _ in 0..300 {
        h2.query("nonsense", FINE).await.fails(401, "UNAUTHORIZED");
    }
    assert_eq!(sidecar.metric("tagwarden_inflight_requests").await, 0.0);
    assert_eq!(h2.query(&reader(), FINE).await.status, 200);
}
