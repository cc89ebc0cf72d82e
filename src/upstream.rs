//! The way to the feature server: a pool of connections, and one retry on a fresh one.
//!
//! Feast's workers restart every 1000 requests and drop idle connections without a word. hyper-util's client retries
//! only what it has not begun to send; a read whose reused connection died before the first byte of an answer is sent
//! once more here, over a client without idle connections. Writes never are.

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
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::{Target, Upstream as Settings};
use crate::tls;

/// How long an idle connection is kept: under Feast's 30 s, so that it is ours to close.
const POOL_IDLE: Duration = Duration::from_secs(20);

/// The clients of one upstream.
#[derive(Clone, Debug)]
pub struct Upstream {
    pooled: Client<Connector, Full<Bytes>>,
    fresh: Client<Connector, Full<Bytes>>,
    /// What goes before a path, for the client's pool key and the Host header.
    origin: String,
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
            Target::Tcp { tls: false, host, port } => {
                (format!("http://{host}:{port}"), Connect::Tcp { host: host.clone(), port: *port, tls: None })
            }
            Target::Tcp { tls: true, host, port } => {
                let config = tls::client_config(&settings.tls)?;
                let name = settings.tls.server_name.clone().unwrap_or_else(|| host.clone());
                let name = ServerName::try_from(name.trim_matches(['[', ']']).to_owned())
                    .map_err(|_| tls::TlsError::Name(name.clone()))?;
                // The scheme is http for the client: TLS is the connector's.
                let tls = Some((TlsConnector::from(Arc::new(config)), name));
                (format!("http://{host}:{port}"), Connect::Tcp { host: host.clone(), port: *port, tls })
            }
            Target::Unix(path) => ("http://localhost".to_owned(), Connect::Unix(path.clone())),
        };
        let connector = Connector { connect: Arc::new(connect), timeout: settings.connect_timeout };
        let client = |idle: usize| {
            Client::builder(TokioExecutor::new())
                .pool_idle_timeout(POOL_IDLE)
                .pool_max_idle_per_host(idle)
                .pool_timer(TokioTimer::new())
                .build(connector.clone())
        };
        Ok(Self { pooled: client(usize::MAX), fresh: client(0), origin })
    }

    /// The address of a path.
    pub fn uri(&self, path_and_query: &str) -> Option<Uri> {
        format!("{}{path_and_query}", self.origin).parse().ok()
    }

    /// Sends a request and waits for the head of the answer. `read`: it may be sent twice.
    ///
    /// # Errors
    /// [`UpstreamError`], after the retry where there was one.
    pub async fn send(&self, request: Request<Full<Bytes>>, read: bool) -> Result<Response<Incoming>, UpstreamError> {
        let again = read.then(|| request.clone());
        match self.pooled.request(request).await {
            Ok(response) => Ok(response),
            Err(error) => match again.filter(|_| died_idle(&error)) {
                Some(request) => self.fresh.request(request).await.map_err(|error| classify(&error)),
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
    timeout: Duration,
}

enum Connect {
    Tcp { host: String, port: u16, tls: Option<(TlsConnector, ServerName<'static>)> },
    Unix(std::path::PathBuf),
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
        let (connect, timeout) = (Arc::clone(&self.connect), self.timeout);
        Box::pin(async move {
            let socket = tokio::time::timeout(timeout, connect.socket())
                .await
                .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no connection in time"))??;
            Ok(TokioIo::new(Stream { socket, traffic: Arc::new(Traffic::default()), answering: true }))
        })
    }
}

impl Connect {
    async fn socket(&self) -> io::Result<Socket> {
        match self {
            Self::Unix(path) => Ok(Socket::Unix(UnixStream::connect(path).await?)),
            Self::Tcp { host, port, tls } => {
                let stream = TcpStream::connect((host.trim_matches(['[', ']']), *port)).await?;
                stream.set_nodelay(true)?;
                Ok(match tls {
                    None => Socket::Tcp(stream),
                    Some((connector, name)) => {
                        let stream = connector.connect(name.clone(), stream).await?;
                        Socket::Tls(Box::new(stream))
                    }
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
