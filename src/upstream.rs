//! The way to the feature server: a pool of connections, and one retry on a fresh one.
//!
//! Feast's workers restart every 1000 requests and drop idle connections without a word. A read whose reused connection
//! died before the first byte of an answer is sent once more over a fresh one, and so is whatever was not sent at all;
//! writes that were sent never are. Over HTTP/2 all requests share a connection, of which nobody can tell whose request
//! ended it: there a read is sent once more whenever the head of its answer does not come, be it a server that goes away,
//! a stream that it refused, or a connection that pings find dead.

mod connect;
mod pool;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderValue};
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::ServerName;

use crate::config::{Target, Upstream as Settings};
use crate::tls;
use connect::{Connect, Connector, Tls};
pub use pool::{Answer, is_otherwise_coded};
use pool::{Lost, Pool};

/// HTTP/2: after so long without a byte, while an answer is waited for, the other end is asked for a sign of life. gRPC
/// servers count pings only where they have nothing to answer.
const PING_AFTER: Duration = Duration::from_secs(20);
/// And that is how long it may take.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// The connections of one upstream.
#[derive(Clone, Debug)]
pub struct Upstream {
    http1: Arc<Pool>,
    host: HeaderValue,
    http2: Clients,
    /// What goes before a path over HTTP/2, for `:scheme`, `:authority` and the pool's key.
    origin: String,
    /// Its host, or the path of its socket; its port.
    address: (String, Option<u16>),
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

/// What makes a request, each time that it is sent: one that may be sent twice is not kept, which would cost a copy of all.
pub type Make<'m> = &'m (dyn Fn() -> Request<Full<Bytes>> + Send + Sync);

/// A request that came to nothing.
#[derive(Debug)]
pub enum UpstreamError {
    /// It has no such path.
    Path,
    /// No connection.
    Connect(String),
    /// It broke before there was an answer.
    Broken(String),
}

impl Upstream {
    /// Prepares the pools; nothing is connected yet.
    ///
    /// # Errors
    /// A certificate, a key or trust roots that cannot be read, or a host that is no name.
    pub fn new(settings: &Settings) -> Result<Self, tls::TlsError> {
        let (origin, host, connect) = match &settings.target {
            Target::Tcp { tls, host, port } => {
                let (scheme, default) = if *tls { ("https", 443) } else { ("http", 80) };
                let tls = if *tls {
                    let name = settings.tls.server_name.as_ref().unwrap_or(host);
                    let server = ServerName::try_from(name.trim_matches(['[', ']']).to_owned());
                    let server = server.map_err(|_| tls::TlsError::Name(name.clone()))?;
                    Some(Tls::new(tls::client_config(&settings.tls)?, server))
                } else {
                    None
                };
                let authority = if *port == default { host.clone() } else { format!("{host}:{port}") };
                let connect = Connect::Tcp { host: host.clone(), port: *port, tls };
                (format!("{scheme}://{host}:{port}"), authority, connect)
            }
            Target::Unix(path) => ("http://localhost".to_owned(), "localhost".to_owned(), Connect::Unix(path.clone())),
        };
        let host = HeaderValue::try_from(&host).map_err(|_| tls::TlsError::Name(host))?;
        let (connect, timeout) = (Arc::new(connect), settings.connect_timeout);
        let connector = |protocol| Connector { connect: Arc::clone(&connect), protocol, timeout };
        let client = |idle: usize| {
            Client::builder(TokioExecutor::new())
                .pool_idle_timeout(pool::IDLE)
                .pool_max_idle_per_host(idle)
                .pool_timer(TokioTimer::new())
                .timer(TokioTimer::new())
                .http2_only(true)
                .http2_keep_alive_interval(PING_AFTER)
                .http2_keep_alive_timeout(PING_TIMEOUT)
                .build(connector(Protocol::Http2))
        };
        let http2 = Clients { pooled: client(usize::MAX), fresh: client(0) };
        let address = match &settings.target {
            Target::Tcp { host, port, .. } => (host.clone(), Some(*port)),
            Target::Unix(path) => (path.display().to_string(), None),
        };
        Ok(Self { http1: Arc::new(Pool::new(connector(Protocol::Http1))), host, http2, origin, address })
    }

    /// Where it is: its host and port, or the path of its socket.
    pub fn address(&self) -> (&str, Option<u16>) {
        (&self.address.0, self.address.1)
    }

    /// What goes before a path in an address of it.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Sends a request to a path, with its query where it has one, and waits for the head of the answer. Sets the request's
    /// address and `Host`. `read`: it may be sent twice.
    ///
    /// # Errors
    /// [`UpstreamError`], after the retry where there was one.
    pub async fn send(
        &self,
        request: Make<'_>,
        path: &str,
        protocol: Protocol,
        read: bool,
    ) -> Result<Response<Answer>, UpstreamError> {
        let path = path.starts_with('/').then(|| PathAndQuery::try_from(path).ok()).flatten();
        let path = path.ok_or(UpstreamError::Path)?;
        match protocol {
            Protocol::Http1 => {
                let request = || {
                    let mut request = request();
                    *request.uri_mut() = Uri::from(path.clone());
                    request.headers_mut().insert(header::HOST, self.host.clone());
                    request
                };
                match self.http1.send(&request).await {
                    Ok(response) => Ok(response),
                    // In boxes, as is all that is rarely needed: a request on its way has room for everything it may wait for.
                    Err(Lost::Unsent(_)) => Ok(Box::pin(self.http1.send_fresh(&request)).await?),
                    Err(Lost::Died(_)) if read => Ok(Box::pin(self.http1.send_fresh(&request)).await?),
                    Err(lost) => Err(lost.into()),
                }
            }
            Protocol::Http2 => {
                let uri: Uri = format!("{}{}", self.origin, path).parse().map_err(|_| UpstreamError::Path)?;
                let request = || {
                    let mut request = request();
                    *request.uri_mut() = uri.clone();
                    request
                };
                Box::pin(self.send_http2(&request, read)).await
            }
        }
    }

    async fn send_http2(&self, request: Make<'_>, read: bool) -> Result<Response<Answer>, UpstreamError> {
        let response = match self.http2.pooled.request(request()).await {
            Err(error) if read && !error.is_connect() => self.http2.fresh.request(request()).await,
            sent => sent,
        };
        response.map(|response| response.map(Answer::from)).map_err(|error| classify(&error))
    }
}

fn classify(error: &legacy::Error) -> UpstreamError {
    if error.is_connect() { UpstreamError::Connect(told(error)) } else { UpstreamError::Broken(told(error)) }
}

/// An error with its causes, in one line.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}
