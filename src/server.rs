//! The data listener: accept, TLS, protocol detection, limits, drain.

mod timed;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use crate::config::Limits;
use crate::proxy::respond::Body;
use crate::proxy::{self, Proxy};
use timed::{Activity, Stream, Timed};

/// What HTTP/2 connections begin with (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Streams at once on one HTTP/2 connection.
const STREAMS: u32 = 256;

/// A bound listener.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    proxy: Arc<Proxy>,
    tls: Arc<ArcSwapOption<rustls::ServerConfig>>,
    limits: Limits,
}

impl Server {
    /// Binds. `tls` holds the certificate, which a reload replaces.
    ///
    /// # Errors
    /// The address cannot be had.
    pub async fn bind(
        address: SocketAddr,
        proxy: Arc<Proxy>,
        tls: Arc<ArcSwapOption<rustls::ServerConfig>>,
        limits: Limits,
    ) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await?, proxy, tls, limits })
    }

    /// Where it is bound.
    ///
    /// # Errors
    /// The socket is gone.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` turns true, then accepts nothing more and finishes what is in flight within `drain`.
    /// Whether all of it was finished.
    pub async fn serve(self, mut stop: watch::Receiver<bool>, drain: Duration) -> bool {
        let graceful = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(self.limits.connections));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, most likely: those that are open go on, and close.
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let connection = Connection {
                proxy: Arc::clone(&self.proxy),
                tls: self.tls.load_full(),
                limits: self.limits,
                watcher: graceful.watcher(),
            };
            let gauge = self.proxy.metrics.connections.with_label_values(&["data"]);
            tokio::spawn(async move {
                gauge.inc();
                if let Err(error) = connection.serve(stream).await {
                    tracing::debug!(%error, "a connection ended");
                }
                gauge.dec();
                drop(place);
            });
        }
        drop(self.listener);
        tokio::time::timeout(drain, graceful.shutdown()).await.is_ok()
    }
}

struct Connection {
    proxy: Arc<Proxy>,
    tls: Option<Arc<rustls::ServerConfig>>,
    limits: Limits,
    watcher: Watcher,
}

impl Connection {
    async fn serve(self, stream: TcpStream) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        stream.set_nodelay(true)?;
        let limits = self.limits;
        let known = tokio::time::timeout(limits.first_byte_timeout, handshake(stream, self.tls)).await;
        let (stream, begin, http2) = known.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        if begin.is_empty() && !http2 {
            return Ok(());
        }
        let activity = Arc::new(Activity::default());
        let io = TokioIo::new(Timed::new(stream, begin, Arc::clone(&activity), &limits, http2));
        let proxy = self.proxy;
        let service = service_fn(move |request: Request<Incoming>| {
            let (proxy, busy) = (Arc::clone(&proxy), Busy::new(&activity));
            async move {
                let response: Response<Body> = proxy::handle(&proxy, request).await;
                drop(busy);
                Ok::<_, Infallible>(response)
            }
        });
        if http2 {
            let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            builder
                .timer(TokioTimer::new())
                .max_concurrent_streams(STREAMS)
                .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
                .keep_alive_interval(Duration::from_secs(20))
                .keep_alive_timeout(Duration::from_secs(20));
            self.watcher.watch(builder.serve_connection(io, service)).await?;
        } else {
            let mut builder = hyper::server::conn::http1::Builder::new();
            // Head and idle deadlines are kept by the stream itself, one timer a connection.
            builder
                .timer(TokioTimer::new())
                .header_read_timeout(None)
                .max_buf_size(limits.header_bytes.max(8 << 10))
                .half_close(false);
            self.watcher.watch(builder.serve_connection(io, service)).await?;
        }
        Ok(())
    }
}

/// A request in service keeps its connection from being idle.
struct Busy(Arc<Activity>);

impl Busy {
    fn new(activity: &Arc<Activity>) -> Self {
        activity.begun.fetch_add(1, Ordering::Relaxed);
        activity.serving.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(activity))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.serving.fetch_sub(1, Ordering::Relaxed);
    }
}

/// TLS where there is any, then the bytes that tell HTTP/2 from HTTP/1.1.
async fn handshake(stream: TcpStream, tls: Option<Arc<rustls::ServerConfig>>) -> io::Result<(Stream, Vec<u8>, bool)> {
    use tokio::io::AsyncReadExt as _;

    let mut stream = match tls {
        None => Stream::Plain(stream),
        Some(config) => {
            let stream = TlsAcceptor::from(config).accept(stream).await?;
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let stream = Stream::Tls(Box::new(stream));
            if http2 {
                return Ok((stream, Vec::new(), true));
            }
            stream
        }
    };
    let mut begin = Vec::with_capacity(PREFACE.len());
    while begin.len() < PREFACE.len() && PREFACE.starts_with(&begin) {
        let mut rest = [0u8; PREFACE.len()];
        let room = rest.get_mut(begin.len()..).unwrap_or_default();
        let read = stream.read(room).await?;
        if read == 0 {
            break;
        }
        begin.extend_from_slice(room.get(..read).unwrap_or_default());
    }
    let http2 = begin == PREFACE;
    Ok((stream, begin, http2))
}
