//! Every way in which an upstream fails has its error, is never taken for the next answer, and leaves a pool that serves
//! (config.md, Errors on the wire). What `proxy_upstream`, `proxy_slow` and `proxy_limits` show is not here again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::client::{Answer, query, request};
use crate::support::sidecar::{FINE, Setup, Sidecar, reader};
use crate::support::upstream::{Act, Recorded, Upstream, nobody};
use crate::support::within;

const ROUTES: &str = "\
routes:
  - {path: /v1/items, methods: [GET, POST]}
  - {path: /v1/open, methods: [GET], public: true}";

const SECRET: &str = "SECRET-001";
const FAILED: Expected = Expected::Fails(502, "UPSTREAM_FAILED");
const UNREADABLE: Expected = Expected::Fails(502, "UPSTREAM_UNREADABLE");
const TIMEOUT: Expected = Expected::Fails(504, "UPSTREAM_TIMEOUT");

#[derive(Clone, Copy, Debug)]
enum Expected {
    /// An error of ours: status and code.
    Fails(u16, &'static str),
    /// This body, as it came.
    Passes(&'static str),
    /// Nothing that is asked here: what is not looked into has no such fault.
    Unasked,
}

impl Expected {
    #[track_caller]
    fn holds(self, what: &str, answer: &Answer) {
        match self {
            Self::Fails(status, code) => {
                assert_eq!(answer.status, status, "{what}: {answer:?}");
                answer.fails(status, code);
                assert!(!format!("{answer:?}").contains(SECRET), "{what}: {answer:?}");
            }
            Self::Passes(body) => assert_eq!((answer.status, answer.text()), (200, body), "{what}"),
            Self::Unasked => {}
        }
    }
}

fn write(number: usize) -> Vec<u8> {
    let headers = format!("authorization: Bearer {}\r\n", reader());
    request("POST", "/v1/items", &headers, format!("{{\"write\":{number}}}"))
}

fn open() -> Vec<u8> {
    request("GET", "/v1/open", "", "")
}

/// A good answer to anything, and this text about what it answers.
fn own(recorded: &Recorded) -> Act {
    match recorded.target() {
        "/get-online-features" => Act::Feast,
        _ => Act::answer("200 OK", "", format!("{} {}", recorded.line(), recorded.text())),
    }
}

/// A sidecar on a connection that it has used, of which the next request ends like this.
async fn failing(upstream: &Upstream, sidecar: &Sidecar, act: &Act, bytes: &[u8]) -> Answer {
    upstream.turns_by(|recorded, _| own(recorded));
    assert_eq!(sidecar.ask(open()).await.text(), "GET /v1/open HTTP/1.1 ");
    upstream.turns_to(act.clone());
    sidecar.ask(bytes).await
}

fn raw(head: &str, body: &str) -> Act {
    Act::Bytes(format!("HTTP/1.1 {head}\r\n\r\n{body}").into_bytes())
}

fn columns(value: &str) -> String {
    format!(
        "{{\"results\":[{{\"values\":[1,2]}},{{\"values\":[{value},2]}},{{\"values\":[1,2]}}],\
         \"metadata\":{{\"feature_names\":[\"customer_id\",\"customer__age\",\"customer__country\"]}}}}"
    )
}

#[tokio::test]
async fn every_fault_has_its_error_and_the_next_request_its_own_answer() {
    let upstream = Upstream::start().await;
    let setup = Setup::new(&upstream).with(ROUTES).with("limits: {response_body: 1MiB}");
    let sidecar = setup.start().await;
    let json = "content-type: application/json";
    let split = format!("{SECRET}HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{SECRET}");
    let half = format!("HTTP/1.1 200 OK\r\n{json}\r\ncontent-length: 99\r\n\r\n");
    let chunk = format!("HTTP/1.1 200 OK\r\n{json}\r\ntransfer-encoding: chunked\r\n\r\n9\r\n");
    let whole = |value: &str| Act::json("200 OK", columns(value));
    let long = "x".repeat(600_000);
    let same = [FAILED, FAILED];
    for (what, act, [asked, passed]) in [
        ("a reset within the head", Act::BytesThenReset(b"HTTP/1.1 200 O".to_vec()), same),
        ("an end within the head", raw("200 OK\r\nx-a: b", "").cut(8), same),
        ("a reset behind the head", Act::BytesThenReset(half.clone().into()), same),
        ("an end behind the head", Act::Bytes(half.clone().into()).then_close(), same),
        ("a reset within the body", Act::BytesThenReset((half.clone() + SECRET).into()), same),
        ("a reset within a chunk", Act::BytesThenReset((chunk.clone() + SECRET).into()), same),
        ("an end within a chunk", Act::Bytes((chunk.clone() + SECRET).into()).then_close(), same),
        ("an end between chunks", Act::Bytes(format!("{chunk}{}\r\n", &SECRET[..9]).into()).then_close(), same),
        (
            "an end before the last line",
            Act::Bytes(format!("{chunk}{}\r\n0\r\n", &SECRET[..9]).into()).then_close(),
            same,
        ),
        (
            "a length that is too long",
            raw(&format!("200 OK\r\n{json}\r\ncontent-length: 15"), SECRET).then_close(),
            same,
        ),
        (
            "a length that is too short",
            raw(&format!("200 OK\r\n{json}\r\ncontent-length: 3"), &format!("{{}} {SECRET}")),
            [UNREADABLE, Expected::Passes("{} ")],
        ),
        ("another answer behind it", raw("200 OK\r\ncontent-length: 0", &split), [UNREADABLE, Expected::Passes("")]),
        ("a length and chunks", raw("200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked", &split), same),
        ("chunks and a length", raw("200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5", "0\r\n\r\n"), same),
        ("a coding before chunked", raw("200 OK\r\ntransfer-encoding: gzip, chunked", "0\r\n\r\n"), same),
        ("another coding", raw("200 OK\r\ntransfer-encoding: x", SECRET).then_close(), same),
        (
            "chunks of HTTP/1.0",
            Act::Bytes(b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_vec()),
            same,
        ),
        ("two lengths", raw("200 OK\r\ncontent-length: 5\r\ncontent-length: 10", SECRET), same),
        ("a list of lengths", raw("200 OK\r\ncontent-length: 5, 10", SECRET), same),
        ("a signed length", raw("200 OK\r\ncontent-length: +5", SECRET), same),
        ("a negative length", raw("200 OK\r\ncontent-length: -5", SECRET), same),
        ("a length in hex", raw("200 OK\r\ncontent-length: 0x5", SECRET), same),
        ("an empty length", raw("200 OK\r\ncontent-length:", SECRET), same),
        ("a length beyond 64 bits", raw("200 OK\r\ncontent-length: 18446744073709551621", SECRET), same),
        (
            "a size beyond 64 bits",
            raw("200 OK\r\ntransfer-encoding: chunked", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
            same,
        ),
        ("a signed size", raw("200 OK\r\ntransfer-encoding: chunked", "+5\r\nhello\r\n0\r\n\r\n"), same),
        ("more than a chunk's size", raw("200 OK\r\ntransfer-encoding: chunked", "5\r\nhelloo\r\n0\r\n\r\n"), same),
        ("an endless extension", raw("200 OK\r\ntransfer-encoding: chunked", &format!("5;{long}")), same),
        ("endless trailers", raw("200 OK\r\ntransfer-encoding: chunked", &format!("0\r\nx-a: {long}")), same),
        ("an endless header", raw(&format!("200 OK\r\nx-a: {long}"), ""), same),
        ("headers without number", raw(&format!("200 OK{}", "\r\nx-a: b".repeat(5000)), ""), same),
        ("a folded header", raw("200 OK\r\nx-a: b\r\n content-length: 0", ""), same),
        ("a space before a colon", raw("200 OK\r\ncontent-length : 0", ""), same),
        ("a nul in a value", raw("200 OK\r\nx-a: b\0\r\ncontent-length: 0", ""), same),
        ("a bare carriage return", raw("200 OK\r\nx-a: b\rc: d\r\ncontent-length: 0", ""), same),
        ("a switch of protocols", raw("101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade", SECRET), same),
        ("HTTP/2", Act::Bytes(b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64".to_vec()), same),
        ("another version", Act::Bytes(b"HTTP/3.0 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec()), same),
        ("no version", Act::Bytes(SECRET.into()).then_close(), same),
        ("NaN", whole("NaN"), [UNREADABLE, Expected::Unasked]),
        ("infinity", whole("-Infinity"), [UNREADABLE, Expected::Unasked]),
        ("a value that is no JSON", whole(SECRET), [UNREADABLE, Expected::Unasked]),
        ("lists without end", whole(&"[".repeat(500_000)), [UNREADABLE, Expected::Unasked]),
        (
            "lists too deep",
            whole(&format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))),
            [UNREADABLE, Expected::Unasked],
        ),
        ("objects too deep", whole(&"{\"a\":".repeat(100_000)), [UNREADABLE, Expected::Unasked]),
        ("half of it", Act::json("200 OK", &columns("1")[..90]), [UNREADABLE, Expected::Unasked]),
    ] {
        for (bytes, expected) in [(query(&reader(), FINE), asked), (open(), passed), (write(1), passed)] {
            if matches!(expected, Expected::Unasked) {
                continue;
            }
            let before = upstream.count();
            let answer = failing(&upstream, &sidecar, &act, &bytes).await;
            expected.holds(what, &answer);
            // One to use the connection, and this one: once, for a byte of its answer had come.
            assert_eq!(upstream.count(), before + 2, "{what}");
            upstream.turns_by(|recorded, _| own(recorded));
            let next = sidecar.ask(write(2)).await;
            assert_eq!((next.status, next.text()), (200, "POST /v1/items HTTP/1.1 {\"write\":2}"), "{what}");
            assert_eq!(sidecar.query(&reader(), FINE).await.status, 200, "{what}");
            assert_eq!(upstream.count(), before + 4, "{what}");
        }
    }
    sidecar.until_metric("tagwarden_inflight_requests", 0.0).await;
}

trait Cut {
    fn cut(self, by: usize) -> Self;
}

impl Cut for Act {
    /// Without its last bytes, and closed.
    fn cut(self, by: usize) -> Self {
        let Self::Bytes(mut bytes) = self else { panic!("no bytes") };
        bytes.truncate(bytes.len() - by);
        Self::Bytes(bytes).then_close()
    }
}

/// Lawful forms that look odd are answered.
#[tokio::test]
async fn odd_answers_that_mean_one_thing_are_passed_on() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with(ROUTES).start().await;
    for (what, act) in [
        ("the same length twice", raw("200 OK\r\ncontent-length: 5\r\ncontent-length: 5", "hello")),
        (
            "chunks with all that they may have",
            raw("200 OK\r\nTransfer-Encoding: Chunked", "05;a=b\r\nhello\r\n0\r\nx-a: b\r\n\r\n"),
        ),
        ("no reason", raw("200 \r\ncontent-length: 5", "hello")),
        ("no length", raw("200 OK", "hello").then_close()),
        ("HTTP/1.0", Act::Bytes(b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello".to_vec()).then_close()),
        ("a reset behind it", Act::BytesThenReset(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello".to_vec())),
        ("an end that is announced", raw("200 OK\r\nconnection: close\r\ncontent-length: 5", "hello").then_close()),
    ] {
        for bytes in [open(), write(1)] {
            let before = upstream.count();
            let answer = failing(&upstream, &sidecar, &act, &bytes).await;
            assert_eq!((answer.status, answer.text()), (200, "hello"), "{what}");
            upstream.turns_by(|recorded, _| own(recorded));
            let next = sidecar.ask(write(2)).await;
            assert_eq!(next.text(), "POST /v1/items HTTP/1.1 {\"write\":2}", "{what}");
            assert_eq!(upstream.count(), before + 3, "{what}");
        }
    }
}

/// Workers that end after so many requests, each with its connections: no read and no write is lost, and none comes twice.
#[tokio::test]
async fn workers_that_restart_lose_nothing_and_see_nothing_twice() {
    for (what, last) in [("without a word", ""), ("with a word", "connection: close\r\n")] {
        let upstream = Upstream::start().await;
        let sidecar = Setup::new(&upstream).with(ROUTES).start().await;
        upstream.turns_by(move |recorded, number| {
            let good = match recorded.target() {
                "/get-online-features" => Act::Feast,
                _ if number % 100 == 99 => Act::answer("200 OK", last, recorded.text()),
                _ => Act::answer("200 OK", "", recorded.text()),
            };
            if number % 100 == 99 { good.then_close() } else { good }
        });
        let mut callers = Vec::new();
        for caller in 0..4 {
            let mut raw = sidecar.raw().await;
            callers.push(tokio::spawn(async move {
                let token = reader();
                for number in 0..100 {
                    let number = caller * 100 + number;
                    let answer = raw.ask(write(number)).await;
                    assert_eq!((answer.status, answer.text()), (200, format!("{{\"write\":{number}}}").as_str()));
                    assert_eq!(raw.ask(query(&token, FINE)).await.status, 200);
                }
            }));
        }
        for caller in callers {
            caller.await.unwrap();
        }
        let seen = upstream.seen();
        let mut writes: Vec<&str> = seen.iter().filter(|got| got.target() == "/v1/items").map(Recorded::text).collect();
        writes.sort_unstable();
        writes.dedup();
        assert_eq!((seen.len(), writes.len()), (800, 400), "{what}");
        assert!(upstream.connections() > 8, "{what}: {} connections: this shows nothing", upstream.connections());
        assert_eq!(sidecar.metric("tagwarden_upstream_errors_total{kind=\"broken\"}").await, 0.0, "{what}");
    }
}

#[tokio::test]
async fn an_upstream_that_comes_back_is_used_again_at_once() {
    let (held, url) = nobody();
    let sidecar = Setup::at(&url).with(ROUTES).start().await;
    for bytes in [write(1), open(), query(&reader(), FINE)] {
        FAILED.holds("nobody", &sidecar.ask(bytes).await);
    }
    let listener = held.listen(16).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            assert_ne!(stream.read(&mut request).await.unwrap(), 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await.unwrap();
        }
    });
    for bytes in [write(2), open()] {
        Expected::Passes("hello").holds("somebody", &sidecar.ask(bytes).await);
    }
}

/// A server that reads heads alone, and does this with the connection then.
struct Rude {
    url: String,
    heads: Arc<AtomicUsize>,
}

impl Rude {
    async fn start<F>(act: impl Fn(TcpStream) -> F + Clone + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heads = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&heads);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (act, count) = (act.clone(), Arc::clone(&count));
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
                        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    count.fetch_add(1, Ordering::SeqCst);
                    act(stream).await;
                });
            }
        });
        Self { url, heads }
    }

    /// In front of it, with little patience where that is what is expected to end.
    async fn sidecar(&self, expected: Expected) -> Sidecar {
        let setup = Setup::at(&self.url).with(ROUTES).with("limits: {response_body: 1MiB, request_body: 8MiB}");
        let patience = if matches!(expected, Expected::Fails(504, _)) { "500ms" } else { "30s" };
        setup.upstream_with(&format!("timeout: {patience}")).start().await
    }
}

fn large() -> Vec<u8> {
    request("POST", "/v1/items", &format!("authorization: Bearer {}\r\n", reader()), vec![b'x'; 8 << 20])
}

/// A body that nobody reads: its answer is there, and is given; the connection, with a request half written, is not used again.
#[tokio::test]
async fn an_answer_before_the_request_was_read_is_given_and_ends_the_connection() {
    for (status, told) in [("413 Too Large", 413), ("503 Busy", 503), ("200 OK", 200)] {
        let rude = Rude::start(move |mut stream| async move {
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 5\r\n\r\nhello");
            stream.write_all(answer.as_bytes()).await.unwrap();
            // Nothing of the body is read, and the connection stays.
            std::future::pending::<()>().await;
        })
        .await;
        let sidecar = rude.sidecar(FAILED).await;
        for number in 1..4 {
            let answer = sidecar.ask(large()).await;
            match told {
                200 => assert_eq!((answer.status, answer.text()), (200, "hello")),
                _ => {
                    answer.fails(told, "UPSTREAM_FAILED");
                }
            }
            assert_eq!(rude.heads.load(Ordering::SeqCst), number);
        }
    }
}

#[tokio::test]
async fn a_write_of_which_half_was_read_is_not_sent_again() {
    for hangs in [false, true] {
        let rude = Rude::start(move |stream| async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            stream.set_zero_linger().unwrap();
        })
        .await;
        let expected = if hangs { TIMEOUT } else { FAILED };
        let sidecar = rude.sidecar(expected).await;
        for number in 1..3 {
            expected.holds("half read", &sidecar.ask(large()).await);
            assert_eq!(rude.heads.load(Ordering::SeqCst), number);
        }
    }
}

/// What never ends, ends by a limit or by the time, and nothing of it is kept.
#[tokio::test]
async fn what_an_upstream_sends_without_end_ends() {
    let json = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    let chunked = format!("{json}transfer-encoding: chunked\r\n\r\n");
    for (what, begin, unit, expected) in [
        ("interim answers", String::new(), "HTTP/1.1 103 Early Hints\r\nlink: </SECRET-001>\r\n\r\n", TIMEOUT),
        ("bare interim answers", String::new(), "HTTP/1.1 100 Continue\r\n\r\n", TIMEOUT),
        ("empty lines", String::new(), "\r\n", FAILED),
        ("a header", format!("{json}x-a: "), SECRET, FAILED),
        ("headers", json.to_owned(), "x-a: SECRET-001\r\n", FAILED),
        ("chunks", chunked.clone(), "a\r\nSECRET-001\r\n", UNREADABLE),
        ("spaces", format!("{json}\r\n"), "          ", UNREADABLE),
        ("an announced body", format!("{json}content-length: 1048577\r\n\r\n"), SECRET, UNREADABLE),
        ("an extension", format!("{chunked}5;"), SECRET, FAILED),
        ("zeros of a size", chunked.clone(), "0000000000", TIMEOUT),
        ("trailers", format!("{chunked}0\r\n"), "x-a: SECRET-001\r\n", FAILED),
    ] {
        let units = unit.repeat(1000);
        let (first, units) = (Arc::new(begin), Arc::new(units));
        let rude = Rude::start(move |mut stream| {
            let (first, units) = (Arc::clone(&first), Arc::clone(&units));
            async move {
                let mut on = stream.write_all(first.as_bytes()).await.is_ok();
                while on {
                    on = stream.write_all(units.as_bytes()).await.is_ok();
                    tokio::task::yield_now().await;
                }
            }
        })
        .await;
        let sidecar = rude.sidecar(expected).await;
        let answer = within(what, sidecar.query(&reader(), FINE)).await;
        expected.holds(what, &answer);
        assert_eq!(rude.heads.load(Ordering::SeqCst), 1, "{what}");
    }
}
