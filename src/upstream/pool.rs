//! Kept HTTP/1.1 connections, and exchanges over them.
//!
//! A connection is driven by whoever asks over it: no task of its own stands between a request and its socket, so that an
//! answer costs one wake-up, on the thread that waits for it. Between requests nobody drives it; whether its other end is
//! still there is seen when a request is to go over it, which is then given back, and every few seconds by a sweeper.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{self, HeaderMap};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::task::unconstrained;
use tokio::time::Instant;

use super::connect::{Answered, Connector, Stream};
use super::{Make, UpstreamError, told};

/// How long an idle connection is kept: under Feast's 30 s, so that it is ours to close.
pub const IDLE: Duration = Duration::from_secs(20);
/// How often those that have ended, or were idle for too long, are looked for.
const SWEEP: Duration = Duration::from_secs(5);
/// Threads that keep connections apart from those of others.
const MOST_SHARDS: usize = 16;

/// The connections of one upstream.
#[derive(Debug)]
pub struct Pool {
    connector: Connector,
    /// One for each thread, the newest last. Nobody waits for one that is held: there are others, and new connections.
    shards: Box<[Mutex<Vec<Idle>>]>,
    swept: AtomicBool,
}

#[derive(Debug)]
struct Idle {
    line: Box<Line>,
    since: Instant,
}

/// A connection.
#[derive(Debug)]
struct Line {
    sender: SendRequest<Full<Bytes>>,
    wire: http1::Connection<TokioIo<Stream>, Full<Bytes>>,
    /// Whether its other end said anything since a request went out.
    answered: Answered,
    /// Not the first request.
    used: bool,
}

/// What became of a request that has no answer.
pub enum Lost {
    /// Nothing of it was sent.
    Unsent(UpstreamError),
    /// The connection was an old one, which had died: no byte of an answer came.
    Died(UpstreamError),
    /// Whatever else.
    Failed(UpstreamError),
}

impl Lost {
    /// `unanswered`: it went over an old connection, and no byte came.
    fn of(error: &TrySendError<Request<Full<Bytes>>>, unanswered: bool) -> Self {
        let broken = UpstreamError::Broken(told(error.error()));
        match error.message() {
            Some(_) => Self::Unsent(broken),
            None if unanswered => Self::Died(broken),
            None => Self::Failed(broken),
        }
    }
}

impl From<Lost> for UpstreamError {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Unsent(error) | Lost::Died(error) | Lost::Failed(error) => error,
        }
    }
}

impl Pool {
    /// Of connections that are made so; there is none yet.
    pub fn new(connector: Connector) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_SHARDS);
        Self { connector, shards: (0..threads).map(|_| Mutex::default()).collect(), swept: AtomicBool::new(false) }
    }

    /// Sends a request over a kept connection where there is one, and waits for the head of the answer.
    ///
    /// # Errors
    /// [`Lost`].
    pub async fn send(self: &Arc<Self>, request: Make<'_>) -> Result<Response<Answer>, Lost> {
        match self.take() {
            Some(line) => self.exchange(line, request).await,
            None => Box::pin(self.send_fresh(request)).await,
        }
    }

    /// The same over a new connection.
    ///
    /// # Errors
    /// [`Lost`].
    pub async fn send_fresh(self: &Arc<Self>, request: Make<'_>) -> Result<Response<Answer>, Lost> {
        let connect = |error: &dyn std::error::Error| Lost::Failed(UpstreamError::Connect(told(error)));
        let stream = self.connector.open().await.map_err(|error| connect(&error))?;
        tracing::trace!(to = ?self.connector.connect, "a connection upstream is made");
        let answered = stream.answered();
        let (sender, wire) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| connect(&error))?;
        self.exchange(Box::new(Line { sender, wire, answered, used: false }), request).await
    }

    async fn exchange(self: &Arc<Self>, mut line: Box<Line>, request: Make<'_>) -> Result<Response<Answer>, Lost> {
        line.answered.set(false);
        // What is polled without a waker makes progress when the wire does, and has no budget that it could exceed.
        let mut waiting = pin!(unconstrained(line.sender.try_send_request(request())));
        let wire = &mut line.wire;
        let answer = poll_fn(|cx| {
            let ended = Pin::new(&mut *wire).poll(cx).is_ready();
            match waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(answer) => Poll::Ready(Some(answer)),
                Poll::Pending if ended => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        });
        let error = match answer.await {
            Some(Ok(response)) => {
                if let Some(why) = misframed(&response) {
                    return Err(Lost::Failed(UpstreamError::Broken(why.to_owned())));
                }
                line.used = true;
                return Ok(response.map(|body| Answer { body, ended: false, line: Some((line, Arc::clone(self))) }));
            }
            Some(Err(error)) => error,
            None => {
                // One whose other end is gone ends without a word: what it did not take is given back when it is dropped.
                let Line { wire, answered, used, .. } = *line;
                drop(wire);
                let Err(error) = waiting.await else {
                    return Err(Lost::Failed(UpstreamError::Broken("the connection ended".to_owned())));
                };
                return Err(Lost::of(&error, used && !answered.get()));
            }
        };
        Err(Lost::of(&error, line.used && !line.answered.get()))
    }

    /// The newest.
    fn take(&self) -> Option<Box<Line>> {
        let own = shard(self.shards.len());
        let (before, from) = self.shards.split_at_checked(own).unwrap_or_default();
        let now = Instant::now();
        for shard in from.iter().chain(before) {
            while let Some(idle) = held(shard).and_then(|mut shard| shard.pop()) {
                // One that died is found out by the request that goes there, which is given back unsent.
                if idle.is_young(now) && idle.line.sender.is_ready() {
                    return Some(idle.line);
                }
            }
        }
        None
    }

    /// How many are kept that have not ended.
    #[cfg(test)]
    pub fn alive(&self) -> usize {
        let shards = self.shards.iter().map(|shard| shard.lock().unwrap());
        shards.map(|mut shard| shard.iter_mut().filter_map(|idle| idle.line.is_idle().then_some(())).count()).sum()
    }

    fn keep(self: Arc<Self>, line: Box<Line>) {
        let own = shard(self.shards.len());
        let (before, from) = self.shards.split_at_checked(own).unwrap_or_default();
        // Where all are held, it ends.
        if let Some(mut shard) = from.iter().chain(before).find_map(held) {
            shard.push(Idle { line, since: Instant::now() });
        }
        self.have_swept();
    }

    /// Starts the sweeper, where there is none.
    fn have_swept(self: &Arc<Self>) {
        if self.swept.load(Ordering::Relaxed) {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.swept.swap(true, Ordering::Relaxed) {
            return;
        }
        let sweeper = Sweeper(Arc::downgrade(self));
        runtime.spawn(async move {
            loop {
                tokio::time::sleep(SWEEP).await;
                let Some(pool) = sweeper.0.upgrade() else { return };
                let now = Instant::now();
                for mut shard in pool.shards.iter().filter_map(held) {
                    shard.retain_mut(|idle| idle.is_good(now));
                }
            }
        });
    }
}

/// While it is there, nobody else sweeps: where its runtime ends, another may.
struct Sweeper(Weak<Pool>);

impl Drop for Sweeper {
    fn drop(&mut self) {
        if let Some(pool) = self.0.upgrade() {
            pool.swept.store(false, Ordering::Relaxed);
        }
    }
}

/// Whether a message has a transfer coding that is not one `chunked` (RFC 9112, 6.1): to read it as chunks leaves the rest on.
pub fn is_otherwise_coded(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let first = codings.next();
    first.is_some_and(|first| !first.as_bytes().eq_ignore_ascii_case(b"chunked") || codings.next().is_some())
}

/// Why somebody else may see the end of an answer elsewhere (RFC 9112, 6.1 and 6.3); its connection ends.
fn misframed(response: &Response<Incoming>) -> Option<&'static str> {
    // One that is framed by its length has no coding.
    if response.body().size_hint().exact().is_some() {
        return None;
    }
    let headers = response.headers();
    if is_otherwise_coded(headers) {
        return Some("the answer has another transfer coding than chunked");
    }
    let both = headers.contains_key(header::TRANSFER_ENCODING) && headers.contains_key(header::CONTENT_LENGTH);
    both.then_some("the answer has a length beside its chunks")
}

/// A shard that nobody else holds.
fn held(shard: &Mutex<Vec<Idle>>) -> Option<MutexGuard<'_, Vec<Idle>>> {
    match shard.try_lock() {
        Ok(shard) => Some(shard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// The number of this thread's own shard, of so many.
fn shard(of: usize) -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static NUMBER: usize = THREADS.fetch_add(1, Ordering::Relaxed));
    NUMBER.try_with(|number| number.checked_rem(of)).ok().flatten().unwrap_or(0)
}

impl Idle {
    fn is_good(&mut self, now: Instant) -> bool {
        self.is_young(now) && self.line.is_idle()
    }

    fn is_young(&self, now: Instant) -> bool {
        now.duration_since(self.since) < IDLE
    }
}

impl Line {
    /// Whether it can take a request: the answer before was read to its end, and the other end is there. Costs no system call
    /// while its socket has nothing to tell.
    fn is_idle(&mut self) -> bool {
        let wire = pin!(unconstrained(&mut self.wire));
        wire.poll(&mut Context::from_waker(Waker::noop())).is_pending() && self.sender.is_ready()
    }
}

/// The body of an answer. Its connection is kept when it was read to its end, and ends where it was not.
#[derive(Debug)]
pub struct Answer {
    body: Incoming,
    ended: bool,
    /// What brings it; none over HTTP/2, whose connections are driven by tasks of their own.
    line: Option<(Box<Line>, Arc<Pool>)>,
}

impl From<Incoming> for Answer {
    fn from(body: Incoming) -> Self {
        Self { body, ended: false, line: None }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let Some((line, _)) = &mut this.line else { return Pin::new(&mut this.body).poll_frame(cx) };
        // What is there already, else what the wire brings. It is the wire that wakes.
        let mut without = Context::from_waker(Waker::noop());
        let mut frame = Pin::new(&mut this.body).poll_frame(&mut without);
        if frame.is_pending() {
            let _ = Pin::new(&mut line.wire).poll(cx);
            frame = Pin::new(&mut this.body).poll_frame(&mut without);
        }
        this.ended |= matches!(frame, Poll::Ready(None));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let whole = self.is_end_stream();
        if let Some((mut line, pool)) = self.line.take().filter(|_| whole)
            && (line.sender.is_ready() || line.is_idle())
        {
            pool.keep(line);
        }
    }
}
