//! Clients: one on a bare socket, which sends and shows bytes as they are, and one that speaks HTTP/2.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::within;

/// An answer, whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Headers, the names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
    /// What stands behind it over HTTP/2.
    pub trailers: Vec<(String, String)>,
}

impl Answer {
    /// One header; a test fails where it stands twice.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.one(&self.headers, name)
    }

    /// One trailer, likewise.
    pub fn trailer(&self, name: &str) -> Option<&str> {
        self.one(&self.trailers, name)
    }

    fn one<'a>(&self, all: &'a [(String, String)], name: &str) -> Option<&'a str> {
        let mut all = all.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let first = all.next();
        assert_eq!(all.next(), None, "`{name}` stands twice in {self:?}");
        first
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// `x-tagwarden-decision-id`, as it must be: 32 hex digits.
    pub fn decision_id(&self) -> &str {
        let id = self.header("x-tagwarden-decision-id").unwrap_or_else(|| panic!("no decision id: {self:?}"));
        assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
        id
    }

    /// Checks that it is an error of ours with this status and code, in the one form that there is; its message.
    #[track_caller]
    pub fn fails(&self, status: u16, code: &str) -> String {
        assert_eq!((self.status, self.header("content-type")), (status, Some("application/json")), "{self:?}");
        let body = self.json();
        let message = body["detail"].as_str().unwrap().to_owned();
        let mut error = serde_json::json!({"code": code, "message": message, "decision_id": self.decision_id()});
        if code == "FEATURES_REFUSED" {
            error["refused"] = body["error"]["refused"].clone();
        }
        assert_eq!(body, serde_json::json!({"detail": message, "error": error}));
        message
    }
}

/// A request as text: line, `host`, these headers (each with its line end), and a length where there is a body.
pub fn request(method: &str, path: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    let head = format!("{method} {path} HTTP/1.1\r\nhost: sidecar.example\r\n{headers}{length}\r\n");
    [head.as_bytes(), body].concat()
}

/// A Feast query by a caller with this token.
pub fn query(token: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let headers = format!("authorization: Bearer {token}\r\ncontent-type: application/json\r\n");
    request("POST", "/get-online-features", &headers, body)
}

/// A connection that is written and read byte by byte.
pub struct Raw<S = TcpStream> {
    stream: S,
    buffer: Vec<u8>,
}

impl Raw {
    /// Connects.
    pub async fn connect(to: SocketAddr) -> Self {
        let stream = within("a connection", TcpStream::connect(to)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }
}

/// One request on a connection of its own.
pub async fn ask(to: SocketAddr, request: impl AsRef<[u8]>) -> Answer {
    Raw::connect(to).await.ask(request).await
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    /// Over a stream that is there already.
    pub fn over(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Sends bytes; the other side may have gone.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        within("the other side to read", self.stream.write_all(bytes.as_ref())).await.is_ok()
    }

    /// Sends a request and reads its answer.
    pub async fn ask(&mut self, request: impl AsRef<[u8]>) -> Answer {
        self.send(request).await;
        self.answer().await
    }

    /// The next answer.
    pub async fn answer(&mut self) -> Answer {
        self.try_answer().await.expect("an answer and not the end of the connection")
    }

    /// The next answer, or `None` where the connection ends without one. Interim answers are passed over.
    pub async fn try_answer(&mut self) -> Option<Answer> {
        within("an answer", async {
            loop {
                let answer = self.one().await.ok()?;
                if answer.status >= 200 {
                    return Some(answer);
                }
            }
        })
        .await
    }

    /// The first line of an interim answer, which has come before anything else was sent.
    pub async fn interim(&mut self) -> String {
        let head = within("an interim answer", self.until(b"\r\n\r\n")).await.unwrap();
        String::from_utf8(head).unwrap().lines().next().unwrap().to_owned()
    }

    /// Waits for the end of the connection; what came before it.
    pub async fn end(&mut self) -> Vec<u8> {
        within("the end of the connection", async { while self.more().await.is_ok() {} }).await;
        std::mem::take(&mut self.buffer)
    }

    /// Reads on until so many bytes wait to be asked for.
    pub async fn at_least(&mut self, bytes: usize) {
        within("more bytes", async { while self.buffer.len() < bytes && self.more().await.is_ok() {} }).await;
    }

    /// What came and was not asked for yet.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    async fn more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    async fn until(&mut self, what: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(what.len()).position(|bytes| bytes == what) {
                return Ok(self.buffer.drain(..at + what.len()).collect());
            }
            self.more().await?;
        }
    }

    async fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.more().await?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    async fn one(&mut self) -> io::Result<Answer> {
        let head = String::from_utf8(self.until(b"\r\n\r\n").await?).unwrap();
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        let mut answer = Answer { status: status.expect("a status"), headers, body: Vec::new(), trailers: Vec::new() };
        if answer.status < 200 {
            return Ok(answer);
        }
        assert_eq!(answer.header("transfer-encoding"), None, "every answer of ours has a length");
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        answer.body = self.exactly(length).await?;
        Ok(answer)
    }
}

/// A connection that speaks HTTP/2 from its first byte.
pub struct H2 {
    sender: SendRequest<Full<Bytes>>,
}

impl H2 {
    /// Connects with prior knowledge, over a stream.
    pub async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let shaking = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = within("an HTTP/2 connection", shaking).await.unwrap();
        tokio::spawn(connection);
        Self { sender }
    }

    /// Connects with prior knowledge.
    pub async fn connect(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream).await
    }

    /// Connects, and sends a PING frame so often, with or without requests.
    pub async fn pinging(to: SocketAddr, every: Duration) -> Self {
        let stream = TokioIo::new(TcpStream::connect(to).await.unwrap());
        let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).keep_alive_interval(every).keep_alive_while_idle(true);
        let (sender, connection) = within("an HTTP/2 connection", builder.handshake(stream)).await.unwrap();
        tokio::spawn(connection);
        Self { sender }
    }

    /// Connects, and lets so many bytes of each answer come before somebody reads it.
    pub async fn reluctant(to: SocketAddr, window: u32) -> Self {
        let stream = TokioIo::new(TcpStream::connect(to).await.unwrap());
        let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(window);
        let (sender, connection) = within("an HTTP/2 connection", builder.handshake(stream)).await.unwrap();
        tokio::spawn(connection);
        Self { sender }
    }

    /// Sends a request without a body; the head of its answer, of which the body is not read yet.
    pub async fn begin(&self, path: &str) -> hyper::Response<hyper::body::Incoming> {
        let request = hyper::Request::get(format!("http://sidecar.example{path}")).body(Full::default()).unwrap();
        within("an answer over HTTP/2", self.sender.clone().send_request(request)).await.unwrap()
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends a request with these headers.
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Answer {
        let mut sender = self.sender.clone();
        let mut request = hyper::Request::builder().method(method).uri(format!("http://sidecar.example{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body.as_ref()))).unwrap();
        let response = within("an answer over HTTP/2", sender.send_request(request)).await.unwrap();
        let (head, body) = response.into_parts();
        let body = within("a body over HTTP/2", body.collect()).await.unwrap();
        let texts = |headers: &hyper::HeaderMap| {
            headers.iter().map(|(n, v)| (n.to_string(), v.to_str().unwrap().to_owned())).collect::<Vec<_>>()
        };
        let trailers = body.trailers().map(texts).unwrap_or_default();
        let headers = texts(&head.headers);
        Answer { status: head.status.as_u16(), headers, body: body.to_bytes().to_vec(), trailers }
    }

    /// A Feast query by a caller with this token.
    pub async fn query(&self, token: &str, body: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        self.send("POST", "/get-online-features", &headers, body).await
    }
}
