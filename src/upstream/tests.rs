use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::*;
use crate::config::{Target, UpstreamAuthorization, UpstreamTls};

/// A server that answers each request of a connection with the next of these; behind the last it closes without a word.
struct Server {
    port: u16,
    connections: Arc<AtomicUsize>,
    /// Lines of requests, each with the number of its connection.
    seen: Arc<Mutex<Vec<(usize, String)>>>,
    /// Connections that ended: one permit each.
    ended: Arc<Semaphore>,
}

impl Server {
    async fn start(answers: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (connections, seen, ended) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<_>>::default(), Semaphore::new(0));
        let this = Self { port, connections, seen, ended: Arc::new(ended) };
        let (connections, seen, ended) =
            (Arc::clone(&this.connections), Arc::clone(&this.seen), Arc::clone(&this.ended));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = connections.fetch_add(1, Ordering::SeqCst);
                let (seen, ended) = (Arc::clone(&seen), Arc::clone(&ended));
                tokio::spawn(async move {
                    serve(stream, number, answers, &seen).await;
                    ended.add_permits(1);
                });
            }
        });
        this
    }

    fn upstream(&self) -> Upstream {
        Upstream::new(&Settings {
            url: String::new(),
            target: Target::Tcp { tls: false, host: "127.0.0.1".to_owned(), port: self.port },
            tls: UpstreamTls::default(),
            dialect: crate::config::Dialect::Feast,
            engine: None,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(5),
            authorization: UpstreamAuthorization::Drop,
        })
        .unwrap()
    }

    fn seen(&self) -> Vec<(usize, String)> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits for a connection to end.
    async fn one_ends(&self) {
        self.ended.acquire().await.unwrap().forget();
    }
}

async fn serve(mut stream: TcpStream, number: usize, answers: &[&str], seen: &Mutex<Vec<(usize, String)>>) {
    let mut buffer = Vec::new();
    for answer in answers {
        let head = loop {
            if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        };
        let text = String::from_utf8(buffer.drain(..head).collect()).unwrap();
        seen.lock().unwrap().push((number, text.lines().next().unwrap().to_owned()));
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";

async fn get(upstream: &Upstream, path: &str, read: bool) -> Result<String, UpstreamError> {
    let response = upstream.send(&|| Request::new(Full::default()), path, Protocol::Http1, read).await?;
    let body = response.into_body().collect().await.unwrap().to_bytes();
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_connection_is_kept_when_its_answer_was_read_to_the_end() {
    let server = Server::start(&[OK, CHUNKED, OK, "HTTP/1.1 204 No Content\r\n\r\n", OK]).await;
    let upstream = server.upstream();
    for (path, answer) in [("/1", "ok"), ("/2?x=1", "ok"), ("/3", "ok"), ("/4", ""), ("/5", "ok")] {
        assert_eq!(get(&upstream, path, false).await.unwrap(), answer);
    }
    let lines = ["/1", "/2?x=1", "/3", "/4", "/5"].map(|path| (0, format!("GET {path} HTTP/1.1")));
    assert_eq!(server.seen(), lines);
}

#[tokio::test]
async fn a_connection_ends_whose_answer_was_not_read() {
    let server = Server::start(&["HTTP/1.1 200 OK\r\ncontent-length: 200000\r\n\r\nbegins", OK]).await;
    let upstream = server.upstream();
    let request = || Request::new(Full::default());
    let mut response = upstream.send(&request, "/", Protocol::Http1, true).await.unwrap();
    let begin = response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(begin, "begins");
    drop(response);
    server.one_ends().await;
    upstream.send(&request, "/", Protocol::Http1, true).await.unwrap();
    assert_eq!(server.connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_request_that_is_given_up_ends_its_connection() {
    let server = Server::start(&["", OK]).await;
    let upstream = server.upstream();
    let waits = get(&upstream, "/", true);
    tokio::time::timeout(Duration::from_millis(200), waits).await.unwrap_err();
    server.one_ends().await;
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_write_goes_over_a_new_connection_where_the_kept_one_is_known_to_have_ended() {
    let server = Server::start(&[OK]).await;
    let upstream = server.upstream();
    for number in 0..3 {
        assert_eq!(get(&upstream, "/", false).await.unwrap(), "ok");
        server.one_ends().await;
        // Until the runtime has heard of the end.
        while upstream.http1.alive() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(server.seen().last(), Some(&(number, "GET / HTTP/1.1".to_owned())));
    }
}

#[tokio::test]
async fn a_kept_connection_that_ended_later_gives_its_request_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server {
        port: listener.local_addr().unwrap().port(),
        connections: Arc::default(),
        seen: Arc::default(),
        ended: Arc::new(Semaphore::new(0)),
    };
    let upstream = server.upstream();
    for read in [false, true, false] {
        let answers = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                assert_ne!(stream.read_buf(&mut head).await.unwrap(), 0);
            }
            stream.write_all(OK.as_bytes()).await.unwrap();
            stream
        };
        let both = async { tokio::join!(answers, get(&upstream, "/", read)) };
        let (stream, answer) = tokio::time::timeout(Duration::from_secs(10), both).await.unwrap();
        assert_eq!(answer.unwrap(), "ok");
        // It ends while nobody drives it. The end is there at once, and the runtime looks at its sockets when it has nothing
        // to do; the next request finds it out.
        drop(stream);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_path_is_one_or_nothing_is_sent() {
    let server = Server::start(&[OK]).await;
    let upstream = server.upstream();
    for path in ["", "*", "example.com:80", "http://example.com/", "/ two", "/\u{7f}"] {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let sent = upstream.send(&|| Request::new(Full::default()), path, protocol, true).await;
            assert!(matches!(sent, Err(UpstreamError::Path)), "{path:?} over {protocol:?}");
        }
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
}

/// Reads a request and answers.
async fn answer(stream: &mut TcpStream, bytes: &str) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        assert_ne!(stream.read_buf(&mut head).await.unwrap(), 0);
    }
    stream.write_all(bytes.as_bytes()).await.unwrap();
}

/// Response splitting: what stands behind an answer, and came before the next request went out, is no answer to it.
#[tokio::test]
async fn bytes_behind_an_answer_are_nobodys_answer() {
    const SPLIT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    const NONE: &str = "HTTP/1.1 204 No Content\r\n\r\n";
    for (what, begin, behind, late) in [
        ("in one piece", OK, SPLIT, false),
        ("a beginning", OK, "H", false),
        ("behind chunks", CHUNKED, SPLIT, false),
        ("behind none", NONE, SPLIT, false),
        ("an interim answer", OK, "HTTP/1.1 100 Continue\r\n\r\n", false),
        ("later", OK, SPLIT, true),
        ("later, behind none", NONE, SPLIT, true),
    ] {
        for busy in [false, true] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let server = Server {
                port: listener.local_addr().unwrap().port(),
                connections: Arc::default(),
                seen: Arc::default(),
                ended: Arc::new(Semaphore::new(0)),
            };
            let upstream = server.upstream();
            let first = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                answer(&mut stream, &if late { begin.to_owned() } else { format!("{begin}{behind}") }).await;
                stream
            };
            let (mut stream, got) = tokio::join!(first, get(&upstream, "/", false));
            assert_eq!(got.unwrap(), if begin == NONE { "" } else { "ok" }, "{what}");
            if late {
                stream.write_all(behind.as_bytes()).await.unwrap();
            }
            // The runtime looks at its sockets when it has nothing to do.
            tokio::time::sleep(Duration::from_millis(1)).await;
            let second = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                answer(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nown").await;
            };
            // A task that did much in one go is not given what its sockets have, until it has let others go first.
            while busy && tokio::task::coop::has_budget_remaining() {
                tokio::task::coop::consume_budget().await;
            }
            let both = async { tokio::join!(get(&upstream, "/", false), second) };
            let both = tokio::time::timeout(Duration::from_secs(10), both).await;
            let (got, ()) = both.unwrap_or_else(|_| panic!("{what}, busy: {busy}: no new connection"));
            assert_eq!(got.unwrap(), "own", "{what}, busy: {busy}");
        }
    }
}

/// RFC 9112, 6.1 and 6.3: an answer whose end two readers may see in two places is none, and its connection ends.
#[tokio::test]
async fn an_answer_that_is_framed_in_two_ways_is_refused() {
    for (framing, why) in [
        ("content-length: 2\r\ntransfer-encoding: chunked", "the answer has a length beside its chunks"),
        ("transfer-encoding: chunked\r\ncontent-length: 2", "the answer has a length beside its chunks"),
        ("content-length: 99\r\ntransfer-encoding: CHUNKED", "the answer has a length beside its chunks"),
        ("transfer-encoding: gzip, chunked", "the answer has another transfer coding than chunked"),
        ("transfer-encoding: chunked, chunked", "the answer has another transfer coding than chunked"),
        ("transfer-encoding: x\r\ntransfer-encoding: chunked", "the answer has another transfer coding than chunked"),
        (
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
            "the answer has another transfer coding than chunked",
        ),
        ("transfer-encoding: identity", "the answer has another transfer coding than chunked"),
        ("content-length: 2\r\ntransfer-encoding: chunked, x", "the answer has another transfer coding than chunked"),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n2\r\nok\r\n0\r\n\r\n").leak();
        let server = Server::start(vec![OK, answer, OK].leak()).await;
        let upstream = server.upstream();
        assert_eq!(get(&upstream, "/", true).await.unwrap(), "ok");
        match get(&upstream, "/", true).await {
            Err(UpstreamError::Broken(said)) => assert_eq!(said, why, "{framing}"),
            other => panic!("{framing}: {other:?}"),
        }
        server.one_ends().await;
        // It was not sent again: there was an answer.
        assert_eq!(server.seen().len(), 2, "{framing}");
        assert_eq!(get(&upstream, "/", true).await.unwrap(), "ok");
        assert_eq!(server.connections.load(Ordering::SeqCst), 2);
    }
}
