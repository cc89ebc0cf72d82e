//! A connection's deadlines: for a head, for the answer to be taken, and between requests.
//!
//! hyper's own head timer is made anew for every request and covers idle time as well, and hyper does not read while it
//! has an answer to give. So the stream only notes when something happened, and one timer a connection looks at the
//! notes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
use tokio_rustls::server::TlsStream;

use crate::config::Limits;

/// What happened on a connection, in milliseconds since it began.
#[derive(Debug)]
pub struct Activity {
    began: Instant,
    http2: bool,
    serving: AtomicUsize,
    /// When a head began; [`NONE`]: there is none.
    head: AtomicU64,
    /// When a request was last begun or answered.
    idle: AtomicU64,
    /// When bytes of an answer were last taken.
    written: AtomicU64,
    /// The other side does not take what is to be written.
    blocked: AtomicBool,
}

const NONE: u64 = u64::MAX;

/// A request in service keeps its connection from being idle.
#[derive(Debug)]
pub struct Serving(Arc<Activity>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.idle.store(self.0.now(), Ordering::Relaxed);
        self.0.serving.fetch_sub(1, Ordering::Release);
    }
}

impl Activity {
    /// From now on.
    pub fn new(http2: bool) -> Self {
        Self {
            began: Instant::now(),
            http2,
            serving: AtomicUsize::new(0),
            head: AtomicU64::new(NONE),
            idle: AtomicU64::new(0),
            written: AtomicU64::new(0),
            blocked: AtomicBool::new(false),
        }
    }

    /// A request begins: its head is whole.
    pub fn serving(self: &Arc<Self>) -> Serving {
        self.serving.fetch_add(1, Ordering::Relaxed);
        self.head.store(NONE, Ordering::Relaxed);
        Serving(Arc::clone(self))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(NONE - 1)
    }

    /// Something was read. Outside of a request it begins a head; frames of an idle HTTP/2 connection do not.
    fn heard(&self) {
        if !self.http2 && self.serving.load(Ordering::Acquire) == 0 && self.head.load(Ordering::Relaxed) == NONE {
            self.head.store(self.now(), Ordering::Relaxed);
        }
    }

    fn wrote<T>(&self, result: &Poll<io::Result<T>>) {
        match result {
            Poll::Pending => {
                if !self.blocked.swap(true, Ordering::Relaxed) {
                    self.written.store(self.now(), Ordering::Relaxed);
                }
            }
            Poll::Ready(_) => {
                if self.blocked.swap(false, Ordering::Relaxed) {
                    self.written.store(self.now(), Ordering::Relaxed);
                }
            }
        }
    }

    /// When the connection has to end if nothing happens until then.
    fn deadline(&self, limits: &Limits) -> Instant {
        let after =
            |at: &AtomicU64, limit: Duration| self.began + Duration::from_millis(at.load(Ordering::Relaxed)) + limit;
        if self.blocked.load(Ordering::Relaxed) {
            // An answer that is not taken at all ends like a body that does not come.
            after(&self.written, limits.body_timeout).max(after(&self.idle, limits.body_timeout))
        } else if self.serving.load(Ordering::Acquire) > 0 {
            // Its own deadlines hold.
            Instant::now() + limits.header_timeout.min(limits.idle_timeout)
        } else if self.head.load(Ordering::Relaxed) != NONE {
            after(&self.head, limits.header_timeout)
        } else {
            after(&self.idle, limits.idle_timeout).max(after(&self.written, limits.idle_timeout))
        }
    }

    /// Returns when the connection is past a deadline.
    pub async fn past_deadline(&self, limits: &Limits) {
        loop {
            let deadline = self.deadline(limits);
            if Instant::now() >= deadline {
                return;
            }
            // What begins meanwhile may have an earlier deadline: a head that begins now is looked at in time.
            sleep_until(deadline.min(Instant::now() + limits.header_timeout)).await;
        }
    }
}

/// A client's socket.
#[derive(Debug)]
pub enum Stream {
    /// In the clear.
    Plain(TcpStream),
    /// Under TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

/// A client's connection: what was read to know the protocol comes first again, and what happens is noted.
#[derive(Debug)]
pub struct Timed {
    stream: Stream,
    begin: Vec<u8>,
    activity: Arc<Activity>,
}

impl Timed {
    /// Wraps a socket whose first bytes were read.
    pub fn new(stream: Stream, begin: Vec<u8>, activity: Arc<Activity>) -> Self {
        Self { stream, begin, activity }
    }
}

impl AsyncRead for Timed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.begin.is_empty() {
            let take = self.begin.len().min(buf.remaining());
            buf.put_slice(self.begin.get(..take).unwrap_or_default());
            self.begin.drain(..take);
            self.activity.heard();
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.activity.heard();
        }
        read
    }
}

impl AsyncWrite for Timed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.activity.wrote(&written);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.activity.wrote(&written);
        written
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write_vectored(cx, bufs),
        }
    }
}
