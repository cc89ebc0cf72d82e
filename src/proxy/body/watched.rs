//! An answer over HTTP/2 that somebody has to take.
//!
//! The next piece of an answer is asked for only where its stream has room. Where a caller gives none, nothing of the answer is
//! looked at, its own deadlines neither: it would be held, with its place among those in flight and its connection to the
//! upstream, for as long as the caller's connection lives. Over HTTP/1.1 the connection itself ends by then.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::HeaderValue;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::{BodyError, Outgoing};

/// Bytes that are handed over at once. What is handed over is out of reach until its stream or connection ends.
pub const PIECE: usize = 256 << 10;

/// Gives its answer up when no piece of it was asked for in a while.
#[derive(Debug)]
pub struct Watched {
    held: Arc<Mutex<Held>>,
    /// Its end is that of whoever watches.
    _over: oneshot::Sender<()>,
}

#[derive(Debug)]
struct Held {
    /// `None`: given up.
    answer: Option<Outgoing>,
    /// What is left of a piece that was too large to be handed over at once.
    rest: Bytes,
    /// Since when the next piece waits to be asked for; `None`: it was asked for, and is not there yet.
    waits: Option<Instant>,
}

impl Watched {
    /// To be given up when a piece waits for so long. Without a runtime nobody watches.
    pub fn new(answer: Outgoing, limit: Duration, decision_id: Option<HeaderValue>) -> Self {
        let held = Held { answer: Some(answer), rest: Bytes::new(), waits: Some(Instant::now()) };
        let (held, (_over, over)) = (Arc::new(Mutex::new(held)), oneshot::channel());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(watch(Arc::downgrade(&held), over, limit, decision_id));
        }
        Self { held, _over }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        locked(&self.held)
    }
}

fn locked(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    // A panic of another leaves an answer that is read on or given up.
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn watch(
    held: Weak<Mutex<Held>>,
    mut over: oneshot::Receiver<()>,
    limit: Duration,
    decision_id: Option<HeaderValue>,
) {
    loop {
        let next = {
            let Some(held) = held.upgrade() else { return };
            let mut held = locked(&held);
            let next = held.waits.unwrap_or_else(Instant::now) + limit;
            if next > Instant::now() {
                next
            } else {
                held.rest = Bytes::new();
                let given_up = held.answer.take();
                drop(held);
                let decision_id = decision_id.as_ref().and_then(|id| id.to_str().ok());
                tracing::debug!(decision_id, "an answer that nobody takes is given up");
                return drop(given_up);
            }
        };
        tokio::select! {
            _ = &mut over => return,
            () = sleep_until(next) => {}
        }
    }
}

impl Held {
    /// At most so much of it at once; the rest comes next.
    fn piece(&mut self, mut data: Bytes) -> Frame<Bytes> {
        if data.len() > PIECE {
            self.rest = data.split_off(PIECE);
        }
        Frame::data(data)
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut held = self.held();
        let rest = std::mem::take(&mut held.rest);
        let frame = match &mut held.answer {
            None => return Poll::Ready(Some(Err(BodyError::Timeout))),
            Some(_) if !rest.is_empty() => Poll::Ready(Some(Ok(held.piece(rest)))),
            Some(answer) => match Pin::new(answer).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(match frame.into_data() {
                    Ok(data) => held.piece(data),
                    Err(trailers) => trailers,
                }))),
                other => other,
            },
        };
        held.waits = frame.is_ready().then(Instant::now);
        frame
    }

    fn is_end_stream(&self) -> bool {
        let held = self.held();
        held.rest.is_empty() && held.answer.as_ref().is_some_and(Outgoing::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.held();
        let (answer, rest) = (held.answer.as_ref().map(Outgoing::size_hint), held.rest.len() as u64);
        match answer.and_then(|answer| answer.exact()) {
            Some(left) => SizeHint::with_exact(left.saturating_add(rest)),
            None => SizeHint::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    fn pieces(sizes: &[usize]) -> Outgoing {
        sizes.iter().map(|size| Bytes::from(vec![b'x'; *size])).collect::<Vec<_>>().into()
    }

    #[tokio::test]
    async fn it_comes_whole_in_pieces_of_a_bounded_size_and_its_watch_ends_with_it() {
        let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let before = alive();
        let mut body = Watched::new(pieces(&[2 * PIECE + 1, 5, PIECE]), Duration::from_secs(3600), None);
        let mut seen = Vec::new();
        for left in [3 * PIECE + 6, 2 * PIECE + 6, PIECE + 6, PIECE + 5, PIECE] {
            assert!(!body.is_end_stream());
            assert_eq!(body.size_hint().exact(), Some(left as u64));
            seen.push(body.frame().await.unwrap().unwrap().into_data().unwrap().len());
        }
        assert_eq!(seen, [PIECE, PIECE, 1, 5, PIECE]);
        assert!(body.is_end_stream() && body.frame().await.is_none());
        assert_eq!(alive(), before + 1);
        drop(body);
        tokio::time::timeout(Duration::from_secs(30), async {
            while alive() > before {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn what_is_not_asked_for_is_given_up_and_does_not_look_whole() {
        let mut body = Watched::new(pieces(&[PIECE, PIECE]), Duration::from_millis(20), None);
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap().len(), PIECE);
        tokio::time::timeout(Duration::from_secs(30), async {
            while body.held().answer.is_some() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .unwrap();
        assert!(!body.is_end_stream() && body.size_hint().exact().is_none());
        assert!(matches!(body.frame().await, Some(Err(BodyError::Timeout))));
    }

    #[test]
    fn small_ones_are_not_watched() {
        let small = pieces(&[PIECE / 2, PIECE / 2]).watched(Duration::ZERO, None);
        assert!(matches!(small, Outgoing::Whole(_)));
        assert!(matches!(pieces(&[PIECE, 1]).watched(Duration::ZERO, None), Outgoing::Watched(_)));
    }
}
