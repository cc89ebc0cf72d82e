//! Faults that were found once and mended: each test failed before.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::support::client::{H2, Raw, query, request};
use crate::support::sidecar::{FINE, POLICY, REFUSED, Setup, Sidecar, reader};
use crate::support::tokens::Key;
use crate::support::upstream::{Act, Upstream};
use crate::support::{until, within};

/// hyper does not ask again after it was told `Pending` while a request was served, so no timer runs.
#[tokio::test]
async fn an_http1_connection_that_is_idle_after_an_answer_ends() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with("limits: {header_timeout: 1h, idle_timeout: 1s}").start().await;
    let mut raw = sidecar.raw().await;
    assert_eq!(raw.ask(query(&reader(), FINE)).await.status, 200);
    assert_eq!(raw.end().await, b"");
}

/// PING frames are no requests, and our own keep-alive makes the other side send some.
#[tokio::test]
async fn an_http2_connection_is_idle_whatever_frames_it_sends() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with("limits: {idle_timeout: 1s}").start().await;
    let h2 = H2::pinging(sidecar.data, Duration::from_millis(100)).await;
    assert_eq!(h2.query(&reader(), FINE).await.status, 200);
    until("the end of the connection", async || h2.is_closed().then_some(())).await;
}

/// The idle deadline runs while an answer is being written.
#[tokio::test]
async fn an_answer_that_is_read_slowly_is_not_cut() {
    let upstream = Upstream::always(Act::answer("200 OK", "content-type: text/plain\r\n", vec![b'x'; 16 << 20])).await;
    let routes = "routes: [{path: /v1/open, methods: [GET], public: true}]";
    let sidecar = Setup::new(&upstream).with(routes).with("limits: {idle_timeout: 500ms}").start().await;
    let mut raw = sidecar.raw().await;
    raw.send(request("GET", "/v1/open", "", "")).await;
    until("the request upstream", async || (upstream.count() == 1).then_some(())).await;
    // Longer than an idle connection lives, and with more to come than sockets hold.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(raw.answer().await.body.len(), 16 << 20);
}

/// The gauge is counted down only where the answer is waited for.
#[tokio::test]
async fn a_caller_that_hangs_up_is_no_longer_in_flight() {
    let upstream = Upstream::always(Act::Hang).await;
    let sidecar = Sidecar::start(&upstream).await;
    let mut raw = sidecar.raw().await;
    raw.send(query(&reader(), FINE)).await;
    until("the request upstream", async || (upstream.count() == 1).then_some(())).await;
    assert_eq!(sidecar.metric("tagwarden_inflight_requests").await, 1.0);
    drop(raw);
    sidecar.until_metric("tagwarden_inflight_requests", 0.0).await;
}

/// The loop waits for a free place before it looks whether it should end.
#[tokio::test]
async fn a_server_with_as_many_connections_as_it_takes_drains_like_any() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with("limits: {connections: 1}").start().await;
    let mut raw = sidecar.raw().await;
    assert_eq!(raw.ask(query(&reader(), FINE)).await.status, 200);
    let stopping = tokio::spawn(sidecar.stop());
    assert_eq!(raw.end().await, b"", "an idle connection ends when the server drains");
    assert!(within("the end", stopping).await.unwrap());
}

/// A broken policy over a good catalogue publishes the last good pair once more and counts that as a reload.
#[tokio::test]
async fn a_broken_policy_counts_as_a_failed_reload_and_makes_no_generation() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    sidecar.setup.folder.write("policy.yaml", "version: 1\nno-such-key: 1\n");
    sidecar.until_state("policy", "stale: ").await;
    assert_eq!(sidecar.metric("tagwarden_reloads_total{kind=\"policy\",result=\"failed\"}").await, 1.0);
    assert_eq!(sidecar.metric("tagwarden_reloads_total{kind=\"policy\",result=\"ok\"}").await, 0.0);
    assert_eq!(sidecar.metric("tagwarden_snapshot_generation{kind=\"policy\"}").await, 1.0);
}

/// A token that is mounted from a file is replaced every hour (config.md: everything that is a file reloads).
#[tokio::test]
async fn a_bearer_file_that_is_replaced_is_used() {
    let upstream = Upstream::start().await;
    let setup = Setup::new(&upstream).upstream_with("authorization: {bearer_file: own.token}");
    setup.folder.write("own.token", "first");
    let sidecar = setup.start().await;
    assert_eq!(sidecar.query(&reader(), FINE).await.status, 200);
    sidecar.setup.folder.write("own.token", "second");
    until("the second token", async || {
        sidecar.query(&reader(), FINE).await;
        let sent = upstream.seen().pop().unwrap().header("authorization");
        (sent.as_deref() == Some("Bearer second")).then_some(())
    })
    .await;
}

/// config.md: all but `listen`, `metrics`, `admin` and `issuer.store` reloads.
#[tokio::test]
async fn the_limits_of_connections_reload_too() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with("limits: {inflight: 1, header_timeout: 1h}").start().await;
    let gate = Arc::new(Notify::new());
    upstream.turns_to(Act::Wait(Arc::clone(&gate), Box::new(Act::Feast)));
    let token = reader();
    let mut first = sidecar.raw().await;
    first.send(query(&token, FINE)).await;
    until("the request upstream", async || (upstream.count() == 1).then_some(())).await;
    sidecar.query(&token, FINE).await.fails(503, "OVERLOADED");
    let text =
        sidecar.setup.text().replace("{inflight: 1, header_timeout: 1h}", "{inflight: 2, header_timeout: 300ms}");
    sidecar.setup.folder.write("tagwarden.yaml", text);
    sidecar.until_metric("tagwarden_reloads_total{kind=\"config\",result=\"ok\"}", 1.0).await;
    upstream.turns_to(Act::Feast);
    assert_eq!(sidecar.query(&token, FINE).await.status, 200);
    gate.notify_waiters();
    assert_eq!(first.answer().await.status, 200);
    let mut slow = sidecar.raw().await;
    slow.send("GET /health HTTP/1.1\r\n").await;
    assert_eq!(slow.end().await, b"");
}

/// The configuration was good all the time and is not looked at again once the policy is.
#[tokio::test]
async fn a_configuration_that_waited_for_a_policy_is_taken_with_it() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    let folder = &sidecar.setup.folder;
    folder.write("policy.yaml", "broken: {");
    sidecar.until_state("policy", "stale: ").await;
    let routes = "routes: [{path: /v1/open, methods: [GET], public: true}]\n";
    folder.write("tagwarden.yaml", sidecar.setup.text() + routes);
    sidecar.until_state("config", "stale: ").await;
    folder.write("policy.yaml", POLICY.replace("pii: Deny", "pii: Allow"));
    sidecar.until_status(&reader(), REFUSED, 200).await;
    sidecar.until_state("config", "ok").await;
    assert_eq!(sidecar.ask(request("GET", "/v1/open", "", "")).await.status, 200);
}

/// Nothing in it: `Bearer ` goes upstream; likewise an empty `audit.key_file` hashes with an empty key.
#[test]
fn an_empty_secret_is_no_secret() {
    for (upstream, section) in
        [("authorization: {bearer_file: empty}", ""), ("connect_timeout: 1s", "audit: {key_file: empty}")]
    {
        let setup = Setup::at("http://127.0.0.1:9").upstream_with(upstream).with(section);
        setup.folder.write("empty", " \n");
        let config = setup.write();
        let mut child = crate::support::process::command(["serve", "--config"])
            .arg(config)
            .stderr(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let started = std::time::Instant::now();
        let ended = loop {
            match child.try_wait().unwrap() {
                None if started.elapsed() < Duration::from_secs(30) => std::thread::sleep(Duration::from_millis(10)),
                ended => break ended,
            }
        };
        child.kill().ok();
        child.wait().unwrap();
        assert_eq!(ended.and_then(|status| status.code()), Some(3), "{upstream} {section}");
    }
}

/// Connections to `/metrics` are not told to end, hold everything and cost the end two seconds.
#[tokio::test]
async fn a_scraper_that_keeps_its_connection_does_not_hold_up_the_end() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    let mut scraper = Raw::connect(sidecar.metrics).await;
    assert_eq!(scraper.ask(request("GET", "/metrics", "", "")).await.status, 200);
    let live = Arc::downgrade(&sidecar.live);
    assert!(sidecar.stop().await);
    assert!(live.upgrade().is_none(), "something is held still");
    assert_eq!(scraper.end().await, b"");
}

/// Headers of the same kind as those that are taken out.
#[tokio::test]
async fn further_identity_headers_do_not_go_upstream() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    let names = [
        "X-Forwarded",
        "Forwarded-For",
        "X-Originating-IP",
        "X-Consumer-Username",
        "X-Authorization",
        "X-Token",
        "Api-Key",
        "Via",
    ];
    let spoofed: String = names.iter().map(|name| format!("{name}: admin\r\n")).collect();
    let headers = format!("authorization: Bearer {}\r\ncontent-type: application/json\r\n{spoofed}", reader());
    assert_eq!(sidecar.ask(request("POST", "/get-online-features", &headers, FINE)).await.status, 200);
    let got = upstream.only();
    let passed: Vec<String> =
        got.headers().into_iter().filter(|(_, value)| value == "admin").map(|(name, _)| name).collect();
    assert_eq!(passed, Vec::<String>::new());
}

/// config.md, Credentials: either twice is 401; on an open route the first of the two goes upstream.
#[tokio::test]
async fn where_tokens_are_forwarded_an_open_route_forwards_none_that_nobody_verified() {
    let upstream = Upstream::start().await;
    let routes = "routes: [{path: /v1/open, methods: [GET], public: true}]";
    let sidecar = Setup::new(&upstream).upstream_with("authorization: forward").with(routes).start().await;
    let forged = format!("authorization: Bearer {}\r\n", Key::new("k1").token(&["readers"]));
    for path in ["/v1/open", "/health"] {
        let before = upstream.count();
        sidecar.ask(request("GET", path, &forged, "")).await;
        assert!(upstream.seen().iter().skip(before).all(|got| got.header("authorization").is_none()), "{path}");
    }
}
