//! An answer that nobody looks into: it goes on as it comes, within its time and its cap.
//!
//! One that is small, or all there with its head, is answered whole all the same: what goes wrong with it has an answer then.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::BodyError;
use crate::metrics::Metrics;
use crate::proxy::record::DecisionId;
use crate::trace::TraceId;
use crate::upstream::Answer;

/// So many bytes are waited for.
pub const SMALL: usize = 64 << 10;

/// What is there of an answer without waiting.
#[derive(Debug)]
pub enum Begun {
    /// All of it.
    Whole(Vec<Bytes>),
    /// Its beginning, which may be empty.
    Part(Vec<Bytes>),
}

/// Takes what is there, at most about [`SMALL`] bytes.
///
/// # Errors
/// [`BodyError`]: it broke off, or is larger than `cap` by now.
pub async fn begin(answer: &mut Answer, cap: usize) -> Result<Begun, BodyError> {
    let (mut pieces, mut length) = (Vec::new(), 0);
    poll_fn(|cx| {
        while length < SMALL && !answer.is_end_stream() {
            let frame = match Pin::new(&mut *answer).poll_frame(cx) {
                Poll::Ready(Some(frame)) => frame?,
                Poll::Ready(None) => break,
                Poll::Pending => return Poll::Ready(Ok(Begun::Part(std::mem::take(&mut pieces)))),
            };
            if let Ok(data) = frame.into_data() {
                length += data.len();
                pieces.push(data);
            }
            if length > cap {
                return Poll::Ready(Err(BodyError::TooLarge(cap)));
            }
        }
        let pieces = std::mem::take(&mut pieces);
        Poll::Ready(Ok(if answer.is_end_stream() { Begun::Whole(pieces) } else { Begun::Part(pieces) }))
    })
    .await
}

/// What comes of it goes on; trailers do not. It breaks off where it is late, too large, or broken off itself: its head is
/// gone by then, so that the connection's end is all that can tell.
pub struct Passing {
    /// What came already.
    begun: vec::IntoIter<Bytes>,
    answer: Answer,
    cap: usize,
    left: usize,
    late: Pin<Box<Sleep>>,
    request: (DecisionId, Option<TraceId>),
    metrics: Arc<Metrics>,
    /// What ends with it.
    held: Vec<Box<dyn Send>>,
}

impl Passing {
    /// What came already and what is to come, at most `cap` bytes, until `deadline`, in answer to that request.
    pub fn new(
        begun: Vec<Bytes>,
        answer: Answer,
        cap: usize,
        deadline: Instant,
        request: (DecisionId, Option<TraceId>),
        metrics: Arc<Metrics>,
    ) -> Self {
        let late = Box::pin(sleep_until(deadline));
        Self { begun: begun.into_iter(), answer, cap, left: cap, late, request, metrics, held: Vec::new() }
    }

    /// Keeps something until it is over.
    pub fn hold(&mut self, held: impl Send + 'static) {
        self.held.push(Box::new(held));
    }

    fn stopped(&self, kind: &str, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.metrics.upstream_errors.with_label_values(&[kind]).inc();
        let (decision_id, trace_id) = &self.request;
        let trace_id = trace_id.as_ref().map(|id| String::from_utf8_lossy(id));
        tracing::warn!(decision_id = decision_id.as_str(), trace_id = trace_id.as_deref(), %error, "an answer that was passed on is cut off");
        Poll::Ready(Some(Err(error)))
    }
}

impl fmt::Debug for Passing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passing").field("left", &self.left).finish_non_exhaustive()
    }
}

impl Body for Passing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = match self.begun.next() {
            Some(begun) => Poll::Ready(Some(Ok(Frame::data(begun)))),
            None => Pin::new(&mut self.answer).poll_frame(cx),
        };
        let frame = match frame {
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(Some(Err(error))) => return self.stopped("broken", error.into()),
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => {
                return match self.late.as_mut().poll(cx) {
                    Poll::Ready(()) => self.stopped("timeout", BodyError::Timeout),
                    Poll::Pending => Poll::Pending,
                };
            }
        };
        // Behind trailers there is nothing.
        let Ok(data) = frame.into_data() else { return Poll::Ready(None) };
        match self.left.checked_sub(data.len()) {
            Some(left) => {
                self.left = left;
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            None => self.stopped("too_large", BodyError::TooLarge(self.cap)),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.begun.as_slice().is_empty() && self.answer.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let begun: usize = self.begun.as_slice().iter().map(Bytes::len).sum();
        let begun = u64::try_from(begun).unwrap_or(u64::MAX);
        match self.answer.size_hint().exact() {
            Some(left) => SizeHint::with_exact(left.saturating_add(begun)),
            None => SizeHint::new(),
        }
    }
}
