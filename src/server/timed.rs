//! A connection with its deadlines: from the first byte of a head to its last, and between requests.
//!
//! hyper's own head timer is made anew for every request and covers idle time as well. Here one timer a connection
//! serves both: it is only moved when it would fire too late, and looked at again when it fires too early.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_rustls::server::TlsStream;

use crate::config::Limits;

/// What the service tells the stream.
#[derive(Debug, Default)]
pub struct Activity {
    /// Requests being served.
    pub serving: AtomicUsize,
    /// Requests that were begun.
    pub begun: AtomicU64,
}

/// A client's socket.
#[derive(Debug)]
pub enum Stream {
    /// In the clear.
    Plain(TcpStream),
    /// Under TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

/// A client's connection: what was read to know the protocol comes first again.
#[derive(Debug)]
pub struct Timed {
    stream: Stream,
    begin: Vec<u8>,
    activity: Arc<Activity>,
    header_timeout: Duration,
    idle_timeout: Duration,
    http2: bool,
    /// When a head began, and how many requests there had been.
    head: Option<(Instant, u64)>,
    /// When there was last nothing to do.
    idle: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

impl Timed {
    /// Wraps a socket whose first bytes were read.
    pub fn new(stream: Stream, begin: Vec<u8>, activity: Arc<Activity>, limits: &Limits, http2: bool) -> Self {
        let now = Instant::now();
        Self {
            stream,
            begin,
            activity,
            header_timeout: limits.header_timeout,
            idle_timeout: limits.idle_timeout,
            http2,
            head: None,
            idle: None,
            timer: Box::pin(sleep_until(now + limits.header_timeout.min(limits.idle_timeout))),
        }
    }

    /// Something was read.
    fn heard(&mut self) {
        self.idle = None;
        let begun = self.activity.begun.load(Ordering::Relaxed);
        let same_head = self.head.is_some_and(|(_, at)| at == begun);
        if self.activity.serving.load(Ordering::Relaxed) == 0 && !same_head {
            self.head = Some((Instant::now(), begun));
        }
    }

    /// Nothing is there to be read: is a deadline past?
    fn waits(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.activity.serving.load(Ordering::Relaxed) > 0 {
            (self.head, self.idle) = (None, None);
            return Poll::Pending;
        }
        let begun = self.activity.begun.load(Ordering::Relaxed);
        // Frames of an idle HTTP/2 connection are no head.
        self.head = self.head.filter(|(_, at)| *at == begun && !self.http2);
        let deadline = match self.head {
            Some((since, _)) => since + self.header_timeout,
            None => *self.idle.get_or_insert_with(Instant::now) + self.idle_timeout,
        };
        if self.timer.deadline() > deadline || self.timer.is_elapsed() {
            self.timer.as_mut().reset(deadline);
        }
        loop {
            ready!(self.timer.as_mut().poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "nothing came in time")));
            }
            self.timer.as_mut().reset(deadline);
        }
    }
}

impl AsyncRead for Timed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.begin.is_empty() {
            let take = self.begin.len().min(buf.remaining());
            buf.put_slice(self.begin.get(..take).unwrap_or_default());
            self.begin.drain(..take);
            self.heard();
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Ready(result) => {
                if buf.filled().len() > before {
                    self.heard();
                }
                Poll::Ready(result)
            }
            Poll::Pending => self.waits(cx),
        }
    }
}

impl AsyncWrite for Timed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
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
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
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
