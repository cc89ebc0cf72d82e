//! Callers that do not take their answers: each is given up after `limits.body_timeout`, with all that it held.

use std::time::Duration;

use http_body_util::BodyExt as _;

use crate::support::client::{H2, Raw, request};
use crate::support::process::Process;
use crate::support::sidecar::{Setup, Sidecar};
use crate::support::upstream::{Act, Upstream};
use crate::support::{until, within};

const ROUTES: &str = "routes: [{path: /v1/open, methods: [GET], public: true}]";
/// More than sockets hold.
const LARGE: usize = 16 << 20;

async fn large() -> Upstream {
    Upstream::always(Act::answer("200 OK", "content-type: text/plain\r\n", vec![b'x'; LARGE])).await
}

/// Only what is under test ends anything.
async fn hasty(upstream: &Upstream, limits: &str) -> Sidecar {
    let limits = format!("limits: {{body_timeout: 2s, header_timeout: 300ms, idle_timeout: 1h, {limits}}}");
    Setup::new(upstream).upstream_with("timeout: 1h").with(ROUTES).with(&limits).start().await
}

#[tokio::test]
async fn an_answer_over_http2_that_nobody_takes_gives_its_place_back() {
    let upstream = large().await;
    let sidecar = hasty(&upstream, "inflight: 1").await;
    let h2 = H2::reluctant(sidecar.data, 1024).await;
    let stuck = h2.begin("/v1/open").await;
    assert_eq!(stuck.status(), 200);
    until("the request in flight", async || (sidecar.metric("tagwarden_inflight_requests").await == 1.0).then_some(()))
        .await;
    sidecar.until_metric("tagwarden_inflight_requests", 0.0).await;
    // The connection is good for others, and for this caller's other requests.
    upstream.turns_to(Act::answer("200 OK", "content-type: text/plain\r\n", "small"));
    assert_eq!(sidecar.ask(request("GET", "/v1/open", "", "")).await.text(), "small");
    assert_eq!(h2.send("GET", "/v1/open", &[], "").await.text(), "small");
    // Whoever reads on finds that it broke off, and not that it ended.
    let rest = within("the end of the answer", stuck.into_body().collect()).await;
    assert!(rest.is_err());
}

#[tokio::test]
async fn an_answer_over_http2_that_is_taken_now_and_then_comes_whole() {
    let upstream = large().await;
    let sidecar = hasty(&upstream, "inflight: 1").await;
    let h2 = H2::reluctant(sidecar.data, 1 << 20).await;
    let mut body = h2.begin("/v1/open").await.into_body();
    let (mut taken, mut rests) = (0, 0);
    while let Some(frame) = within("more of it", body.frame()).await {
        taken += frame.unwrap().into_data().unwrap().len();
        if taken >> 21 > rests {
            rests += 1;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
    // Longer, together, than one piece may wait.
    assert_eq!((taken, rests), (LARGE, 8));
}

/// An upstream that is slow is held to its own deadline, not to that of whoever reads.
#[tokio::test]
async fn an_answer_that_comes_slowly_is_not_taken_for_one_that_nobody_takes() {
    let begins = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\nbegins".to_vec();
    let upstream = Upstream::always(Act::BytesThenHang(begins)).await;
    let sidecar = Setup::new(&upstream)
        .upstream_with("timeout: 1500ms")
        .with(ROUTES)
        .with("limits: {body_timeout: 200ms}")
        .start()
        .await;
    let h2 = H2::connect(sidecar.data).await;
    let mut body = h2.begin("/v1/open").await.into_body();
    let first = within("its beginning", body.frame()).await.unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), "begins");
    let end = within("its end", body.frame()).await.unwrap();
    assert!(end.is_err());
    assert_eq!(sidecar.metric("tagwarden_upstream_errors_total{kind=\"timeout\"}").await, 1.0);
}

#[tokio::test]
async fn callers_that_never_read_cost_a_bounded_memory_and_end() {
    let upstream = large().await;
    let limits = "limits: {body_timeout: 3s, header_timeout: 300ms, idle_timeout: 3s}";
    let setup = Setup::new(&upstream).upstream_with("timeout: 1h").with(ROUTES).with(limits);
    let sidecar = Process::serve(&setup.write(), &[]).await;
    let small = request("GET", "/nowhere", "", "");
    crate::support::client::ask(sidecar.data, &small).await;
    let before = sidecar.memory("VmHWM");
    let (mut ones, mut twos) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        let mut raw = Raw::connect(sidecar.data).await;
        raw.send(request("GET", "/v1/open", "", "")).await;
        ones.push(raw);
        let h2 = H2::reluctant(sidecar.data, 1024).await;
        let answer = h2.begin("/v1/open").await;
        twos.push((h2, answer));
    }
    until("the requests upstream", async || (upstream.count() == 40).then_some(())).await;
    let metric = async |series: &str| {
        let answer = crate::support::client::ask(sidecar.metrics, request("GET", "/metrics", "", "")).await;
        let found = answer.text().lines().find_map(|line| line.strip_prefix(series)?.trim().parse::<f64>().ok());
        found.unwrap_or(0.0)
    };
    until("nothing in flight", async || (metric("tagwarden_inflight_requests").await == 0.0).then_some(())).await;
    until("no connection", async || (metric("tagwarden_connections{listener=\"data\"}").await == 0.0).then_some(()))
        .await;
    let most = sidecar.memory("VmHWM") - before;
    // 640 MiB were answered.
    assert!(most < 80 << 10, "{most} KiB for forty of them");
}
