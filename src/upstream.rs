//! The way to the feature server: a pool of connections, and one retry on a fresh one.
//!
//! Feast's workers restart every 1000 requests and drop idle connections without a word. hyper-util's client retries
//! only what it has not begun to send; a read whose reused connection died before the first byte of an answer is sent
//! once more here, over a client without idle connections. Writes never are. Over HTTP/2 all requests share a
//! connection, of which nobody can tell whose request ended it: there a read is sent once more whenever the head of its
//! answer does not come, be it a server that goes away, a stream that it refused, or a connection that pings find dead.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::{Target, Upstream as Settings};
use crate::tls;

/// How long an idle connection is kept: under Feast's 30 s, so that it is ours to close.
const POOL_IDLE: Duration = Duration::from_secs(20);

/// HTTP/2: after so long without a byte, while an answer is waited for, the other end is asked for a sign of life. gRPC
/// servers count pings only where they have nothing to answer.
const PING_AFTER: Duration = Duration::from_secs(20);
/// And that is how long it may take.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// The clients of one upstream.
#[derive(Clone, Debug)]
pub struct Upstream {
    http1: Clients,
    http2: Clients,
    /// What goes before a path, for the client's pool key, `Host` and `:scheme`.
    origin: String,
}

/// What is spoken to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 with prior knowledge; under TLS by ALPN, and nothing else.
    Http2,
}

#[derive(Clone, Debug)]
struct Clients {
    pooled: Client<Connector, Full<Bytes>>,
    fresh: Client<Connector, Full<Bytes>>,
}

/// A request that came to nothing.
#[derive(Debug)]
pub enum UpstreamError {
    /// No connection.
    Connect(String),
    /// It broke before there was an answer.
    Broken(String),
}

impl Upstream {
    /// Prepares the clients; nothing is connected yet.
    ///
    /// # Errors
    /// A certificate, a key or trust roots that cannot be read.
    pub fn new(settings: &Settings) -> Result<Self, tls::TlsError> {
        let (origin, connect) = match &settings.target {
            Target::Tcp { tls, host, port } => {
                let scheme = if *tls { "https" } else { "http" };
                let tls = if *tls {
                    let name = settings.tls.server_name.as_ref().unwrap_or(host);
                    let server = ServerName::try_from(name.trim_matches(['[', ']']).to_owned());
                    let server = server.map_err(|_| tls::TlsError::Name(name.clone()))?;
                    Some(Tls::new(tls::client_config(&settings.tls)?, server))
                } else {
                    None
                };
                (format!("{scheme}://{host}:{port}"), Connect::Tcp { host: host.clone(), port: *port, tls })
            }
            Target::Unix(path) => ("http://localhost".to_owned(), Connect::Unix(path.clone())),
        };
        let connect = Arc::new(connect);
        let clients = |protocol: Protocol| {
            let connector = Connector { connect: Arc::clone(&connect), protocol, timeout: settings.connect_timeout };
            let client = |idle: usize| {
                Client::builder(TokioExecutor::new())
                    .pool_idle_timeout(POOL_IDLE)
                    .pool_max_idle_per_host(idle)
                    .pool_timer(TokioTimer::new())
                    .timer(TokioTimer::new())
                    .http2_only(protocol == Protocol::Http2)
                    .http2_keep_alive_interval(PING_AFTER)
                    .http2_keep_alive_timeout(PING_TIMEOUT)
                    .build(connector.clone())
            };
            Clients { pooled: client(usize::MAX), fresh: client(0) }
        };
        Ok(Self { http1: clients(Protocol::Http1), http2: clients(Protocol::Http2), origin })
    }

    /// The address of a path.
    pub fn uri(&self, path_and_query: &str) -> Option<Uri> {
        format!("{}{path_and_query}", self.origin).parse().ok()
    }

    /// Sends a request and waits for the head of the answer. `read`: it may be sent twice.
    ///
    /// # Errors
    /// [`UpstreamError`], after the retry where there was one.
    pub async fn send(
        &self,
        request: Request<Full<Bytes>>,
        protocol: Protocol,
        read: bool,
    ) -> Result<Response<Incoming>, UpstreamError> {
        let clients = match protocol {
            Protocol::Http1 => &self.http1,
            Protocol::Http2 => &self.http2,
        };
        let died = |error: &legacy::Error| match protocol {
            Protocol::Http1 => died_idle(error),
            Protocol::Http2 => !error.is_connect(),
        };
        let again = read.then(|| request.clone());
        match clients.pooled.request(request).await {
            Ok(response) => Ok(response),
            Err(error) => match again.filter(|_| died(&error)) {
                Some(request) => clients.fresh.request(request).await.map_err(|error| classify(&error)),
                None => Err(classify(&error)),
            },
        }
    }
}

/// A reused connection that ended before the first byte of an answer.
fn died_idle(error: &legacy::Error) -> bool {
    let Some(connected) = error.connect_info() else { return false };
    let mut extensions = hyper::http::Extensions::new();
    connected.get_extras(&mut extensions);
    extensions.get::<Arc<Traffic>>().is_some_and(|traffic| {
        traffic.requests.load(Ordering::Relaxed) > 1 && traffic.answered.load(Ordering::Relaxed) == 0
    })
}

fn classify(error: &legacy::Error) -> UpstreamError {
    use std::error::Error as _;
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    if error.is_connect() { UpstreamError::Connect(text) } else { UpstreamError::Broken(text) }
}

/// What went over a connection, seen from its socket.
#[derive(Debug, Default)]
struct Traffic {
    /// Times that writing began after reading, or first of all.
    requests: AtomicU64,
    /// Bytes read since writing last began.
    answered: AtomicU64,
}

/// Connects, within `connect_timeout`.
#[derive(Clone, Debug)]
struct Connector {
    connect: Arc<Connect>,
    protocol: Protocol,
    timeout: Duration,
}

enum Connect {
    Tcp { host: String, port: u16, tls: Option<Tls> },
    Unix(std::path::PathBuf),
}

struct Tls {
    http1: TlsConnector,
    /// Asks for h2 by ALPN.
    http2: TlsConnector,
    name: ServerName<'static>,
}

impl Tls {
    fn new(config: ClientConfig, name: ServerName<'static>) -> Self {
        let mut h2 = config.clone();
        h2.alpn_protocols = vec![b"h2".to_vec()];
        Self { http1: TlsConnector::from(Arc::new(config)), http2: TlsConnector::from(Arc::new(h2)), name }
    }

    async fn connect(&self, stream: TcpStream, protocol: Protocol) -> io::Result<TlsStream<TcpStream>> {
        match protocol {
            Protocol::Http1 => self.http1.connect(self.name.clone(), stream).await,
            Protocol::Http2 => {
                let stream = self.http2.connect(self.name.clone(), stream).await?;
                if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
                    return Err(io::Error::new(io::ErrorKind::Unsupported, "it does not speak HTTP/2 (no h2 by ALPN)"));
                }
                Ok(stream)
            }
        }
    }
}

impl std::fmt::Debug for Connect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { host, port, tls } => {
                write!(f, "{}://{host}:{port}", if tls.is_some() { "https" } else { "http" })
            }
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<Stream>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Connects to the configured address, whatever the request's.
    fn call(&mut self, _: Uri) -> Self::Future {
        let (connect, protocol, timeout) = (Arc::clone(&self.connect), self.protocol, self.timeout);
        Box::pin(async move {
            let socket = tokio::time::timeout(timeout, connect.socket(protocol))
                .await
                .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no connection in time"))??;
            Ok(TokioIo::new(Stream { socket, traffic: Arc::new(Traffic::default()), answering: true }))
        })
    }
}

impl Connect {
    async fn socket(&self, protocol: Protocol) -> io::Result<Socket> {
        match self {
            Self::Unix(path) => Ok(Socket::Unix(UnixStream::connect(path).await?)),
            Self::Tcp { host, port, tls } => {
                let stream = TcpStream::connect((host.trim_matches(['[', ']']), *port)).await?;
                stream.set_nodelay(true)?;
                Ok(match tls {
                    None => Socket::Tcp(stream),
                    Some(tls) => Socket::Tls(Box::new(tls.connect(stream, protocol).await?)),
                })
            }
        }
    }
}

/// A connection of any kind, its traffic counted.
pub struct Stream {
    socket: Socket,
    traffic: Arc<Traffic>,
    /// The last thing that happened was a read (or nothing yet): the next write begins a request.
    answering: bool,
}

enum Socket {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new().extra(Arc::clone(&self.traffic))
    }
}

impl Stream {
    fn writes(&mut self) {
        if std::mem::take(&mut self.answering) {
            self.traffic.requests.fetch_add(1, Ordering::Relaxed);
            self.traffic.answered.store(0, Ordering::Relaxed);
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = match &mut self.socket {
            Socket::Tcp(socket) => Pin::new(socket).poll_read(cx, buf),
            Socket::Tls(socket) => Pin::new(&mut **socket).poll_read(cx, buf),
            Socket::Unix(socket) => Pin::new(socket).poll_read(cx, buf),
        };
        if buf.filled().len() > before {
            self.answering = true;
            let bytes = u64::try_from(buf.filled().len() - before).unwrap_or(u64::MAX);
            self.traffic.answered.fetch_add(bytes, Ordering::Relaxed);
        }
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.writes();
        match &mut self.socket {
            Socket::Tcp(socket) => Pin::new(socket).poll_write(cx, buf),
            Socket::Tls(socket) => Pin::new(&mut **socket).poll_write(cx, buf),
            Socket::Unix(socket) => Pin::new(socket).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(socket) => Pin::new(socket).poll_flush(cx),
            Socket::Tls(socket) => Pin::new(&mut **socket).poll_flush(cx),
            Socket::Unix(socket) => Pin::new(socket).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
            Socket::Tls(socket) => Pin::new(&mut **socket).poll_shutdown(cx),
            Socket::Unix(socket) => Pin::new(socket).poll_shutdown(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.socket {
            Socket::Tcp(socket) => socket.is_write_vectored(),
            Socket::Tls(socket) => socket.is_write_vectored(),
            Socket::Unix(socket) => socket.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writes();
        match &mut self.socket {
            Socket::Tcp(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
            Socket::Tls(socket) => Pin::new(&mut **socket).poll_write_vectored(cx, bufs),
            Socket::Unix(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
        }
    }
}
