//! The data listener: accept, TLS, protocol detection, limits, drain.

mod timed;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot, watch};
use tokio_rustls::TlsAcceptor;

use crate::auth::PeerCertificate;
use crate::config::Limits;
use crate::proxy::body::Outgoing;
use crate::proxy::respond::DECISION_ID;
use crate::proxy::{self, Peer, Proxy};
use timed::{Activity, Stream, Timed};

/// What HTTP/2 connections begin with (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Streams at once on one HTTP/2 connection.
const STREAMS: u32 = 256;
/// Of the descriptors that the process may have, the share that callers get: another for their requests upstream, and for
/// probes, files and keys.
const SHARE: usize = 2;
/// How long a connection that was told to end may take to say so.
const GOODBYE: Duration = Duration::from_secs(1);

/// A bound listener.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    proxy: Arc<Proxy>,
    tls: Arc<ArcSwapOption<rustls::ServerConfig>>,
}

/// Open connections.
#[derive(Debug, Default)]
struct Open {
    count: AtomicUsize,
    one_ended: Notify,
}

impl Open {
    /// Waits until there are fewer than `most()`, which a reload may change.
    async fn below(&self, most: impl Fn() -> usize) {
        loop {
            let ended = self.one_ended.notified();
            if self.count.load(Ordering::Relaxed) < most() {
                return;
            }
            // A raised limit is seen without an end.
            tokio::time::timeout(Duration::from_secs(1), ended).await.ok();
        }
    }

    /// Waits until there is none.
    async fn none(&self) {
        self.below(|| 1).await;
    }
}

/// One of them; it ends when this is dropped.
struct Place(Arc<Open>);

impl Place {
    fn take(open: &Arc<Open>) -> Self {
        open.count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(open))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
        self.0.one_ended.notify_waiters();
    }
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
    ) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await?, proxy, tls })
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
        let open = Arc::new(Open::default());
        let limits = || self.proxy.snapshot.load().settings.limits;
        let room = descriptors().map_or(usize::MAX, |most| (most / SHARE).max(1));
        let wanted = limits().connections;
        if wanted > room {
            tracing::warn!(
                connections = room,
                wanted,
                "fewer connections at once than `limits.connections`, for the process may not open more files"
            );
        }
        loop {
            let accept = async {
                // Who comes later waits, rather than take the last descriptor from probes and from those who are served.
                open.below(|| limits().connections.min(room)).await;
                self.listener.accept().await
            };
            let accepted = tokio::select! {
                accepted = accept => accepted,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            let (stream, from) = match accepted {
                Ok((stream, from)) => (stream, from.ip()),
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
                from,
                limits: limits(),
                stop: stop.clone(),
            };
            let gauge = self.proxy.metrics.connections.with_label_values(&["data"]);
            let place = Place::take(&open);
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
        tokio::time::timeout(drain, open.none()).await.is_ok()
    }
}

/// How many files and sockets this process may have open (its soft limit); `None` where the system does not say, or has none.
fn descriptors() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

struct Connection {
    proxy: Arc<Proxy>,
    tls: Option<Arc<rustls::ServerConfig>>,
    from: IpAddr,
    limits: Limits,
    stop: watch::Receiver<bool>,
}

impl Connection {
    async fn serve(mut self, stream: TcpStream) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        stream.set_nodelay(true)?;
        let limits = self.limits;
        let known = tokio::select! {
            known = tokio::time::timeout(limits.first_byte_timeout, handshake(stream, self.tls.take())) => known,
            _ = self.stop.wait_for(|stop| *stop) => return Ok(()),
        };
        let Begun { stream, begin, http2, peer } = known.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        if begin.is_empty() && !http2 {
            return Ok(());
        }
        let activity = Arc::new(Activity::new(http2));
        let io = TokioIo::new(Timed::new(stream, begin, Arc::clone(&activity)));
        let (proxy, served, from) = (Arc::clone(&self.proxy), Arc::clone(&activity), self.from);
        let service = service_fn(move |request: Request<Incoming>| {
            let (proxy, peer, serving) = (Arc::clone(&proxy), peer.clone(), served.serving());
            async move {
                let peer = Peer { address: from, certificate: peer.as_deref() };
                let mut response = proxy::handle(&proxy, peer, request).await;
                if let Outgoing::Passing(passing) = response.body_mut() {
                    passing.hold(serving);
                }
                // Over HTTP/1.1 the connection is past its deadline where an answer is not taken.
                Ok::<_, Infallible>(if http2 {
                    let decision_id = response.headers().get(DECISION_ID).cloned();
                    response.map(|body| body.watched(limits.body_timeout, decision_id))
                } else {
                    response
                })
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
            let connection = pin!(builder.serve_connection(io, service));
            self.watch(connection, &activity, |connection| connection.graceful_shutdown()).await?;
        } else {
            let mut builder = hyper::server::conn::http1::Builder::new();
            // Head and idle deadlines are kept by `watch`.
            builder
                .timer(TokioTimer::new())
                .header_read_timeout(None)
                .max_header_size(limits.header_bytes)
                .half_close(false);
            let connection = pin!(builder.serve_connection(io, service));
            self.watch(connection, &activity, |connection| connection.graceful_shutdown()).await?;
        }
        Ok(())
    }

    /// Drives a connection until it ends, is past a deadline, or the server stops. A task of its own watches for the latter
    /// two, so that requests do not.
    async fn watch<C: Future<Output = hyper::Result<()>>>(
        &self,
        mut connection: Pin<&mut C>,
        activity: &Arc<Activity>,
        goodbye: impl Fn(Pin<&mut C>),
    ) -> hyper::Result<()> {
        let (mut tell, told) = oneshot::channel();
        let (activity, limits, mut stop) = (Arc::clone(activity), self.limits, self.stop.clone());
        tokio::spawn(async move {
            let stopped = tokio::select! {
                () = tell.closed() => return,
                () = activity.past_deadline(&limits) => false,
                _ = stop.wait_for(|stop| *stop) => true,
            };
            tell.send(stopped).ok();
        });
        let stopped = tokio::select! {
            biased;
            ended = &mut connection => return ended,
            stopped = told => stopped.unwrap_or(true),
        };
        goodbye(connection.as_mut());
        if stopped {
            // What is in flight is finished; the server limits how long that may take.
            return connection.await;
        }
        tracing::debug!("a connection is past its deadline");
        tokio::time::timeout(GOODBYE, connection).await.unwrap_or(Ok(()))
    }
}

/// A connection of which the protocol is known.
struct Begun {
    stream: Stream,
    /// What was read of it.
    begin: Vec<u8>,
    http2: bool,
    /// Of a client that showed one.
    peer: Option<Arc<PeerCertificate>>,
}

/// TLS where there is any, then the bytes that tell HTTP/2 from HTTP/1.1.
async fn handshake(stream: TcpStream, tls: Option<Arc<rustls::ServerConfig>>) -> io::Result<Begun> {
    use tokio::io::AsyncReadExt as _;

    let (mut stream, peer) = match tls {
        None => (Stream::Plain(stream), None),
        Some(config) => {
            let stream = TlsAcceptor::from(config).accept(stream).await?;
            let peer = PeerCertificate::of(stream.get_ref().1);
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let stream = Stream::Tls(Box::new(stream));
            if http2 {
                return Ok(Begun { stream, begin: Vec::new(), http2, peer });
            }
            (stream, peer)
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
    Ok(Begun { stream, begin, http2, peer })
}
