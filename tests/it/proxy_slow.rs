//! Every deadline (config.md, `limits` and `upstream`). In each test only the deadline that it is about is short: what
//! ends, ends by that one.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::support::client::{H2, Raw, query, request};
use crate::support::sidecar::{FINE, Setup, Sidecar, reader};
use crate::support::upstream::{Act, Upstream};
use crate::support::{until, within};

const LONG: &str = "first_byte_timeout: 1h, header_timeout: 1h, body_timeout: 1h, idle_timeout: 1h";

/// With one short deadline, and the others long.
async fn hasty(upstream: &Upstream, limit: &str) -> Sidecar {
    let name = limit.split(':').next().unwrap();
    let limits = LONG.split(", ").filter(|long| !long.starts_with(name)).collect::<Vec<_>>().join(", ");
    let routes = "routes: [{path: /v1/items, methods: [POST]}]";
    let setup = Setup::new(upstream).with(&format!("limits: {{{limits}, {limit}}}")).with(routes);
    setup.upstream_with("timeout: 1h").upstream_with("connect_timeout: 1h").start().await
}

fn head(framing: &str) -> String {
    format!(
        "POST /get-online-features HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\n{framing}\r\n\r\n",
        reader()
    )
}

/// Sends a byte now and then until the other side has had enough; what it said.
async fn drip(raw: &mut Raw, bytes: &[u8]) -> String {
    let mut heard = Vec::new();
    for byte in bytes.iter().cycle() {
        match tokio::time::timeout(Duration::from_millis(20), raw.end()).await {
            Ok(said) => {
                heard = said;
                break;
            }
            Err(_) if raw.send([*byte]).await => {}
            Err(_) => break,
        }
    }
    String::from_utf8([raw.take(), heard].concat()).unwrap()
}

#[tokio::test]
async fn a_connection_without_a_first_byte_ends() {
    let upstream = Upstream::start().await;
    let sidecar = hasty(&upstream, "first_byte_timeout: 200ms").await;
    assert_eq!(sidecar.raw().await.end().await, b"");
    sidecar.until_metric("tagwarden_connections{listener=\"data\"}", 0.0).await;
}

#[tokio::test]
async fn half_of_what_http2_begins_with_is_no_first_byte() {
    let upstream = Upstream::start().await;
    let sidecar = hasty(&upstream, "first_byte_timeout: 200ms").await;
    for begin in ["P", "PRI * HT", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r"] {
        let mut raw = sidecar.raw().await;
        raw.send(begin).await;
        assert_eq!(raw.end().await, b"", "{begin}");
    }
    // A request that begins with the same letter is known by its second.
    let patient = Sidecar::start(&upstream).await;
    let mut raw = patient.raw().await;
    raw.send("P").await;
    assert_eq!(raw.ask(&query(&reader(), FINE)[1..]).await.status, 200);
}

#[tokio::test]
async fn a_head_that_comes_drop_by_drop_ends_the_connection() {
    let upstream = Upstream::start().await;
    let sidecar = hasty(&upstream, "header_timeout: 300ms").await;
    let mut raw = sidecar.raw().await;
    raw.send("POST /get-online-features HTTP/1.1\r\nhost: x\r\n").await;
    assert_eq!(drip(&mut raw, b"x-a: b\r\n").await, "");
    // So it does behind a request that was served.
    let mut raw = sidecar.raw().await;
    assert_eq!(raw.ask(query(&reader(), FINE)).await.status, 200);
    raw.send("POST /get-online-features HTTP/1.1\r\n").await;
    assert_eq!(drip(&mut raw, b"x-a: b\r\n").await, "");
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn a_head_that_stops_ends_the_connection() {
    let upstream = Upstream::start().await;
    let sidecar = hasty(&upstream, "header_timeout: 300ms").await;
    let mut raw = sidecar.raw().await;
    raw.send("GET /health HTTP/1.1\r\nhost: x\r\n").await;
    assert_eq!(raw.end().await, b"");
    // The end of one request and the beginning of the next in one piece.
    let mut raw = sidecar.raw().await;
    let mut bytes = query(&reader(), FINE);
    bytes.extend_from_slice(b"GET /health HTTP/1.1\r\nho");
    assert_eq!(raw.ask(bytes).await.status, 200);
    raw.send("s").await;
    assert_eq!(raw.end().await, b"");
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn a_body_that_does_not_come_in_time_is_408_and_ends_the_connection() {
    let upstream = Upstream::start().await;
    let sidecar = hasty(&upstream, "body_timeout: 300ms").await;
    for framing in ["content-length: 5000", "transfer-encoding: chunked"] {
        let mut raw = sidecar.raw().await;
        raw.send(head(framing)).await;
        let answer = raw.answer().await;
        assert_eq!(answer.fails(408, "REQUEST_TIMEOUT"), "The request body did not arrive in time");
        raw.end().await;
    }
    let mut raw = sidecar.raw().await;
    raw.send(head("content-length: 5000")).await;
    let text = drip(&mut raw, b" ").await;
    assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
    let bearer = format!("authorization: Bearer {}\r\ncontent-length: 9\r\n", reader());
    let mut raw = sidecar.raw().await;
    raw.ask(request("POST", "/v1/items", &bearer, "")).await.fails(408, "REQUEST_TIMEOUT");
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn an_idle_http2_connection_ends() {
    let upstream = Upstream::start().await;
    let sidecar = hasty(&upstream, "idle_timeout: 1s").await;
    let h2 = H2::connect(sidecar.data).await;
    assert_eq!(h2.query(&reader(), FINE).await.status, 200);
    until("the end of the HTTP/2 connection", async || h2.is_closed().then_some(())).await;
}

#[tokio::test]
async fn a_connection_whose_answer_takes_long_is_not_idle() {
    let upstream = Upstream::start().await;
    let sidecar = hasty(&upstream, "idle_timeout: 1s").await;
    let gate = Arc::new(Notify::new());
    upstream.turns_to(Act::Wait(Arc::clone(&gate), Box::new(Act::Feast)));
    let token = reader();
    let mut raw = sidecar.raw().await;
    raw.send(query(&token, FINE)).await;
    let h2 = H2::connect(sidecar.data).await;
    let open = async {
        until("both requests upstream", async || (upstream.count() == 2).then_some(())).await;
        // Longer than an idle connection lives.
        tokio::time::sleep(Duration::from_millis(2500)).await;
        gate.notify_waiters();
    };
    let (answer, ()) = tokio::join!(h2.query(&token, FINE), open);
    assert_eq!((raw.answer().await.status, answer.status), (200, 200));
}

#[tokio::test]
async fn an_answer_that_is_taken_piece_by_piece_is_not_cut() {
    let body = vec![b'x'; 16 << 20];
    let upstream = Upstream::always(Act::answer("200 OK", "content-type: text/plain\r\n", &body)).await;
    let routes = "routes: [{path: /v1/open, methods: [GET], public: true}]";
    let sidecar = Setup::new(&upstream).with(routes).with("limits: {idle_timeout: 1s}").start().await;
    let mut raw = sidecar.raw().await;
    raw.send(request("GET", "/v1/open", "", "")).await;
    // More than sockets hold, and longer than an idle connection lives.
    for part in 1..16 {
        raw.at_least(part << 20).await;
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    assert_eq!(raw.answer().await.body.len(), body.len());
}

#[tokio::test]
async fn an_answer_that_nobody_takes_does_not_keep_its_connection() {
    let upstream = Upstream::always(Act::answer("200 OK", "content-type: text/plain\r\n", vec![b'x'; 16 << 20])).await;
    let routes = "routes: [{path: /v1/open, methods: [GET], public: true}]";
    let sidecar = Setup::new(&upstream)
        .with(routes)
        .with("limits: {body_timeout: 300ms, header_timeout: 300ms, idle_timeout: 1h}")
        .start()
        .await;
    let mut raw = sidecar.raw().await;
    raw.send(request("GET", "/v1/open", "", "")).await;
    until("the request upstream", async || (upstream.count() == 1).then_some(())).await;
    sidecar.until_metric("tagwarden_connections{listener=\"data\"}", 0.0).await;
    assert!(raw.end().await.len() < 16 << 20);
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_in_time_is_504() {
    let upstream = Upstream::start().await;
    let setup = Setup::new(&upstream).upstream_with("timeout: 300ms").with(&format!("limits: {{{LONG}}}"));
    let sidecar = setup.with("routes: [{path: /v1/items, methods: [POST]}]").start().await;
    for act in [
        Act::Hang,
        Act::BytesThenHang(b"HTTP/1.1 200 OK\r\ncontent-ty".to_vec()),
        Act::BytesThenHang(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{\"res".to_vec(),
        ),
        Act::BytesThenHang(b"HTTP/1.1 500 Oh\r\ntransfer-encoding: chunked\r\n\r\n5\r\nsecre\r\n".to_vec()),
    ] {
        upstream.turns_to(act);
        let bearer = format!("authorization: Bearer {}\r\n", reader());
        for bytes in [query(&reader(), FINE), request("POST", "/v1/items", &bearer, "{}")] {
            let answer = sidecar.ask(bytes).await;
            assert_eq!(answer.fails(504, "UPSTREAM_TIMEOUT"), "The feature server did not answer in time");
        }
    }
    assert_eq!(sidecar.metric("tagwarden_upstream_errors_total{kind=\"timeout\"}").await, 8.0);
    // None of those was sent twice.
    assert_eq!(upstream.count(), 8);
}

#[tokio::test]
async fn an_upstream_that_does_not_take_a_connection_in_time_is_502() {
    // A listener whose queue is full answers no more connections.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let at = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(200), tokio::net::TcpStream::connect(at)).await
    {
        queue.push(stream);
    }
    let setup = Setup::at(&format!("http://{at}")).upstream_with("timeout: 1h").upstream_with("connect_timeout: 200ms");
    let sidecar = setup.start().await;
    let answer = within("an answer", sidecar.query(&reader(), FINE)).await;
    answer.fails(502, "UPSTREAM_FAILED");
    assert_eq!(sidecar.metric("tagwarden_upstream_errors_total{kind=\"connect\"}").await, 1.0);
}
