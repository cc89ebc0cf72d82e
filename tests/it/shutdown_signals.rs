//! The end while answers are on their way (config.md, `drain`): each signal, one and two of them, in the order in which
//! Kubernetes does things, and with an audit log that nobody reads.

use std::io::Read as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::client::{H2, Raw, ask, query, request};
use crate::support::process::{Process, command};
use crate::support::sidecar::{FINE, REFUSED, Setup, reader};
use crate::support::upstream::{Act, Upstream};
use crate::support::{until, within};

const ROUTES: &str = "routes: [{path: /v1/open, methods: [GET], public: true}]";

/// A server whose answers come in pieces, as a test sends them.
struct Streaming {
    url: String,
    listener: TcpListener,
}

impl Streaming {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { url: format!("http://{}", listener.local_addr().unwrap()), listener }
    }

    /// The next connection, on which an answer has begun.
    async fn begun(&self) -> TcpStream {
        let (mut stream, _) = within("a connection upstream", self.listener.accept()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            assert!(within("a request upstream", stream.read_buf(&mut head)).await.unwrap() > 0);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n").await.unwrap();
        stream
    }
}

async fn is_closed(sidecar: &Process) {
    until("no more connections", async || TcpStream::connect(sidecar.data).await.is_err().then_some(())).await;
}

/// What a chunked answer said so far.
async fn until_said(raw: &mut Raw, said: &mut String, what: &str) {
    within(what, async {
        while !said.contains(what) {
            raw.at_least(1).await;
            said.push_str(&String::from_utf8(raw.take()).unwrap());
        }
    })
    .await;
}

#[tokio::test]
async fn answers_that_are_streamed_are_finished_over_both_protocols_after_either_signal() {
    for signal in ["TERM", "INT"] {
        let upstream = Streaming::start().await;
        let setup = Setup::at(&upstream.url).with("drain: {delay: 0ms, timeout: 1h}").with(ROUTES);
        let mut sidecar = Process::serve(&setup.write(), &[]).await;
        let mut raw = Raw::connect(sidecar.data).await;
        raw.send(request("GET", "/v1/open", "", "")).await;
        let mut first = upstream.begun().await;
        let mut said = String::new();
        until_said(&mut raw, &mut said, "first").await;
        let h2 = H2::connect(sidecar.data).await;
        let (answer, mut second) = tokio::join!(h2.begin("/v1/open"), upstream.begun());
        let mut body = answer.into_body();
        assert_eq!(within("its beginning", body.frame()).await.unwrap().unwrap().into_data().unwrap(), "first");

        sidecar.signal(signal);
        is_closed(&sidecar).await;
        // Both go on as they come, and end as they should.
        for stream in [&mut first, &mut second] {
            stream.write_all(b"6\r\nsecond\r\n").await.unwrap();
        }
        until_said(&mut raw, &mut said, "second").await;
        assert_eq!(within("the next", body.frame()).await.unwrap().unwrap().into_data().unwrap(), "second");
        for stream in [&mut first, &mut second] {
            stream.write_all(b"0\r\n\r\n").await.unwrap();
        }
        said.push_str(&String::from_utf8(raw.end().await).unwrap());
        assert!(said.ends_with("5\r\nfirst\r\n6\r\nsecond\r\n0\r\n\r\n"), "{said}");
        assert!(within("its end", body.collect()).await.unwrap().to_bytes().is_empty());
        assert_eq!(sidecar.exit().await, 0, "{signal}");
    }
}

#[tokio::test]
async fn a_second_signal_cuts_what_is_streamed_at_once() {
    for (one, two) in [("TERM", "TERM"), ("TERM", "INT"), ("INT", "INT")] {
        let upstream = Streaming::start().await;
        let setup = Setup::at(&upstream.url).with("drain: {delay: 0ms, timeout: 1h}").with(ROUTES);
        let mut sidecar = Process::serve(&setup.write(), &[]).await;
        let mut raw = Raw::connect(sidecar.data).await;
        raw.send(request("GET", "/v1/open", "", "")).await;
        let held = upstream.begun().await;
        let mut said = String::new();
        until_said(&mut raw, &mut said, "first").await;
        sidecar.signal(one);
        is_closed(&sidecar).await;
        sidecar.signal(two);
        assert_eq!(sidecar.exit().await, 1, "{one} {two}");
        // It is cut, and does not look whole.
        said.push_str(&String::from_utf8(raw.end().await).unwrap());
        assert!(said.ends_with("5\r\nfirst\r\n"), "{said}");
        drop(held);
    }
}

#[tokio::test]
async fn what_is_streamed_for_longer_than_the_drain_is_cut_and_told() {
    let upstream = Streaming::start().await;
    let setup = Setup::at(&upstream.url).with("drain: {delay: 0ms, timeout: 300ms}").with(ROUTES);
    let mut sidecar = Process::serve(&setup.write(), &[]).await;
    let mut raw = Raw::connect(sidecar.data).await;
    raw.send(request("GET", "/v1/open", "", "")).await;
    let held = upstream.begun().await;
    sidecar.terminate();
    assert_eq!(sidecar.exit().await, 1);
    assert!(!String::from_utf8(raw.end().await).unwrap().contains("\r\n0\r\n\r\n"));
    assert!(sidecar.log().contains("not everything in flight was finished"), "{}", sidecar.log());
    drop(held);
}

/// SIGTERM comes first, and for a while afterwards callers still come, by endpoints that are not gone everywhere.
#[tokio::test]
async fn callers_that_come_after_sigterm_and_before_the_endpoint_is_gone_are_served() {
    let upstream = Upstream::start().await;
    let setup = Setup::new(&upstream).with("drain: {delay: 3s, timeout: 1h}");
    let mut sidecar = Process::serve(&setup.write(), &[]).await;
    let (token, began) = (reader(), Instant::now());
    sidecar.terminate();
    sidecar.logged("\"message\":\"draining\"").await;
    let mut served = 0;
    let mut kept = Raw::connect(sidecar.data).await;
    // Readiness says no all the while, liveness yes, and nobody is refused.
    while began.elapsed() < Duration::from_secs(2) {
        let ready = ask(sidecar.metrics, request("GET", "/readyz", "", "")).await;
        assert_eq!((ready.status, &ready.json()["draining"]), (503, &true.into()));
        assert_eq!(ask(sidecar.metrics, request("GET", "/livez", "", "")).await.status, 200);
        assert_eq!(ask(sidecar.data, query(&token, FINE)).await.status, 200);
        assert_eq!(H2::connect(sidecar.data).await.query(&token, FINE).await.status, 200);
        let answer = kept.ask(query(&token, FINE)).await;
        assert_eq!((answer.status, answer.header("connection")), (200, None));
        served += 3;
    }
    is_closed(&sidecar).await;
    assert!(began.elapsed() >= Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(sidecar.exit().await, 0);
    assert_eq!(upstream.count(), served);
    assert_eq!(setup.folder.read("audit.jsonl").lines().count(), served);
}

/// With a `preStop` that sleeps, endpoints are gone before SIGTERM: there is nothing left to wait for.
#[tokio::test]
async fn behind_a_pre_stop_it_serves_as_ever_and_a_delay_of_nothing_ends_it_at_once() {
    let upstream = Upstream::start().await;
    let setup = Setup::new(&upstream).with("drain: {delay: 0ms, timeout: 1h}");
    let mut sidecar = Process::serve(&setup.write(), &[]).await;
    let mut kept = Raw::connect(sidecar.data).await;
    let h2 = H2::connect(sidecar.data).await;
    // Until the signal nothing is told it, and it is ready.
    assert_eq!(kept.ask(query(&reader(), FINE)).await.status, 200);
    assert_eq!(h2.query(&reader(), FINE).await.status, 200);
    assert_eq!(ask(sidecar.metrics, request("GET", "/readyz", "", "")).await.status, 200);
    sidecar.terminate();
    assert_eq!(sidecar.exit().await, 0);
    assert_eq!(kept.end().await, b"");
    until("the end of the connection", async || h2.is_closed().then_some(())).await;
}

/// The audit goes to a pipe that is full and that nobody reads: its writer waits for ever.
#[tokio::test]
async fn an_audit_log_that_nobody_reads_does_not_hold_up_the_end_and_what_is_lost_is_told() {
    for twice in [false, true] {
        let setup = Setup::at("http://127.0.0.1:9").with("audit: {log: stdout}");
        let mut serve = command(["serve", "--config"]);
        serve.arg(setup.write()).stdout(Stdio::piped());
        let mut sidecar = Process::of(serve).await;
        // More than a pipe holds, and less than waits to be written.
        let (token, mut raw) = (reader(), Raw::connect(sidecar.data).await);
        for _ in 0..1000 {
            raw.ask(query(&token, REFUSED)).await.fails(403, "FEATURES_REFUSED");
        }
        sidecar.terminate();
        if twice {
            is_closed(&sidecar).await;
            sidecar.terminate();
        }
        assert_eq!(sidecar.exit().await, 1);
        let told = "the audit log was not written to its end";
        assert!(twice || sidecar.log().contains(told), "{}", sidecar.log());
        // What is there is whole up to where it was cut.
        let mut text = String::new();
        sidecar.output().read_to_string(&mut text).unwrap();
        let whole = &text[..=text.rfind('\n').unwrap()];
        assert!(whole.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
        assert!((10..1000).contains(&whole.lines().count()), "{}", whole.lines().count());
    }
}

#[tokio::test]
async fn a_hanging_upstream_does_not_hold_up_a_second_signal() {
    let upstream = Upstream::always(Act::Hang).await;
    let setup = Setup::new(&upstream).with("drain: {delay: 1h, timeout: 1h}");
    let mut sidecar = Process::serve(&setup.write(), &[]).await;
    let mut begun = Raw::connect(sidecar.data).await;
    begun.send(query(&reader(), FINE)).await;
    until("the request upstream", async || (upstream.count() == 1).then_some(())).await;
    sidecar.signal("INT");
    sidecar.logged("\"message\":\"draining\"").await;
    sidecar.signal("TERM");
    assert_eq!(sidecar.exit().await, 1);
    assert_eq!(begun.end().await, b"");
}

/// Operators send it to have files read anew; here they are anyway, and it must not end what is in flight.
#[tokio::test]
async fn sighup_ends_nothing() {
    let upstream = Upstream::start().await;
    let setup = Setup::new(&upstream).with("drain: {delay: 0ms, timeout: 1h}");
    let mut sidecar = Process::serve(&setup.write(), &[]).await;
    let mut kept = Raw::connect(sidecar.data).await;
    for _ in 0..2 {
        sidecar.signal("HUP");
        assert_eq!(kept.ask(query(&reader(), FINE)).await.status, 200);
    }
    sidecar.logged("SIGHUP does nothing").await;
    assert_eq!(ask(sidecar.metrics, request("GET", "/readyz", "", "")).await.status, 200);
    sidecar.terminate();
    assert_eq!(sidecar.exit().await, 0);
}
