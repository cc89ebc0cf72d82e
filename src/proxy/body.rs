//! Bodies: read whole, under a cap and a deadline; answered whole, with trailers where the protocol has them, or passed on as
//! they come.

pub mod passing;
mod watched;

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::mem;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use std::vec;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::Version;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::HeaderValue;
use hyper::header::{self, HeaderMap};
use hyper::http::request::Parts;
use tokio::time::{Instant, timeout_at};

use crate::upstream::is_otherwise_coded;

pub use passing::Passing;
pub use watched::Watched;

/// The body of an answer.
#[derive(Debug)]
pub enum Outgoing {
    /// Of ours, or verified.
    Whole(Whole),
    /// Of a route that is passed through.
    Passing(Box<Passing>),
    /// Either, to a caller who may leave it where it is.
    Watched(Watched),
}

impl Outgoing {
    /// To be given up where no piece of it is taken for so long, as the one of that id; what is small is handed over as it is.
    pub fn watched(self, limit: Duration, decision_id: Option<HeaderValue>) -> Self {
        match self {
            Self::Whole(whole) if whole.left <= watched::PIECE => Self::Whole(whole),
            Self::Whole(_) | Self::Passing(_) => Self::Watched(Watched::new(self, limit, decision_id)),
            Self::Watched(_) => self,
        }
    }
}

impl Default for Outgoing {
    fn default() -> Self {
        Self::Whole(Whole::default())
    }
}

impl<W: Into<Whole>> From<W> for Outgoing {
    fn from(whole: W) -> Self {
        Self::Whole(whole.into())
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Whole(whole) => {
                Pin::new(whole).poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(|never| match never {})))
            }
            Self::Passing(passing) => Pin::new(&mut **passing).poll_frame(cx),
            Self::Watched(watched) => Pin::new(watched).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(whole) => whole.is_end_stream(),
            Self::Passing(passing) => passing.is_end_stream(),
            Self::Watched(watched) => watched.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(whole) => whole.size_hint(),
            Self::Passing(passing) => passing.size_hint(),
            Self::Watched(watched) => watched.size_hint(),
        }
    }
}

/// A body that is there as a whole, in one piece or in several. With trailers it has no `Content-Length`; they are for HTTP/2
/// alone.
#[derive(Clone, Debug, Default)]
pub struct Whole {
    /// The next frame; empty: there are no more.
    next: Bytes,
    /// Those behind it, none of them empty.
    rest: vec::IntoIter<Bytes>,
    /// Bytes of all of them.
    left: usize,
    trailers: Option<HeaderMap>,
}

impl Whole {
    /// Data, then trailers.
    pub fn with_trailers(data: Bytes, trailers: HeaderMap) -> Self {
        Self { trailers: Some(trailers), ..data.into() }
    }
}

impl From<Bytes> for Whole {
    fn from(data: Bytes) -> Self {
        Self { left: data.len(), next: data, rest: vec::IntoIter::default(), trailers: None }
    }
}

/// Each a frame, so that a connection may write them at once from where they are.
impl From<Vec<Bytes>> for Whole {
    fn from(mut pieces: Vec<Bytes>) -> Self {
        pieces.retain(|piece| !piece.is_empty());
        let left = pieces.iter().map(Bytes::len).sum();
        let mut rest = pieces.into_iter();
        Self { next: rest.next().unwrap_or_default(), rest, left, trailers: None }
    }
}

impl Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.rest.next().unwrap_or_default();
        let piece = mem::replace(&mut self.next, next);
        self.left = self.left.saturating_sub(piece.len());
        let frame = if piece.is_empty() { self.trailers.take().map(Frame::trailers) } else { Some(Frame::data(piece)) };
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.next.is_empty() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let length = u64::try_from(self.left).unwrap_or(u64::MAX);
        if self.trailers.is_none() {
            return SizeHint::with_exact(length);
        }
        let mut at_least = SizeHint::new();
        at_least.set_lower(length);
        at_least
    }
}

/// Bytes of a body that are read for nothing: more costs more than the connection that it saves.
const MOST_FORGOTTEN: usize = 8 << 20;

/// How long the reset of a stream is put off whose body nobody reads. Beyond those in flight, streams cost little else; a
/// connection has no more than its limit of them.
const PUT_OFF: Duration = Duration::from_secs(1);

/// The body of a request, until somebody reads it.
///
/// Dropped unread, it is read to its end and forgotten, while the answer is on its way. A client that is still sending would
/// otherwise find its connection reset, its answer lost, or its next request on a connection that ends: chalkpy sends a head and a
/// body apart, and exchanges its credentials anew on the connection on which it was told that they are old. Over HTTP/2 its
/// stream would be reset behind the answer (RFC 9113, 8.1), for which curl 7 throws the answer away; that is put off for a second.
#[derive(Debug)]
pub struct Incoming {
    body: Option<hyper::body::Incoming>,
    /// How much is read for nothing, in bytes, and until when; 0: the connection ends.
    most: usize,
    until: Instant,
}

impl Incoming {
    /// Of the request with this head. Unread, at most `most` bytes of it are read, until then.
    pub fn new(body: hyper::body::Incoming, head: &Parts, most: usize, until: Instant) -> Self {
        // Who waits for `100 Continue` sends nothing.
        let most = if head.headers.contains_key(header::EXPECT) { 0 } else { most.min(MOST_FORGOTTEN) };
        let until = if head.version == Version::HTTP_2 { until.min(Instant::now() + PUT_OFF) } else { until };
        Self { body: Some(body), most, until }
    }

    /// [`read`]s it.
    ///
    /// # Errors
    /// [`BodyError`].
    pub async fn read(mut self, cap: usize, deadline: Instant) -> Result<Bytes, BodyError> {
        match self.body.take() {
            Some(body) => read(body, cap, deadline).await,
            None => Ok(Bytes::new()),
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let (until, mut left) = (self.until, self.most);
        let Some(mut body) = self.body.take().filter(|body| !body.is_end_stream()) else { return };
        let fits = usize::try_from(body.size_hint().lower()).is_ok_and(|announced| announced <= left);
        let (true, Ok(runtime)) = (fits && left > 0, tokio::runtime::Handle::try_current()) else { return };
        runtime.spawn(timeout_at(until, async move {
            while let Some(Ok(frame)) = body.frame().await {
                let read = frame.data_ref().map_or(0, Bytes::len);
                let Some(rest) = left.checked_sub(read) else { return };
                left = rest;
            }
        }));
    }
}

/// Whether a body is in any transfer coding but `chunked`, once. No other is taken off, and whoever passed the request on may
/// have seen its end elsewhere (RFC 9112, 6.1).
pub fn is_coded(body: &hyper::body::Incoming, head: &Parts) -> bool {
    // With a length, there is no coding.
    body.size_hint().exact().is_none() && is_otherwise_coded(&head.headers)
}

/// Why a body is not there.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// More bytes than the cap.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// It was not whole before the deadline.
    #[error("the body was not whole in time")]
    Timeout,
    /// The connection broke.
    #[error("the body broke off: {0}")]
    Broken(#[from] hyper::Error),
}

/// Reads a body of at most `cap` bytes until `deadline`.
///
/// # Errors
/// [`BodyError`].
pub async fn read(body: hyper::body::Incoming, cap: usize, deadline: Instant) -> Result<Bytes, BodyError> {
    Ok(collect_until(body, cap, deadline).await?.0)
}

/// [`collect`]s a body until `deadline`.
///
/// # Errors
/// [`BodyError`].
pub async fn collect_until<B>(body: B, cap: usize, deadline: Instant) -> Result<(Bytes, HeaderMap), BodyError>
where
    B: Body<Data = Bytes, Error = hyper::Error> + Unpin,
{
    let mut read = pin!(collect(body, cap));
    // Most bodies are there with their head; no timer is made for them.
    if let Poll::Ready(read) = poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx))).await {
        return read;
    }
    timeout_at(deadline, read).await.map_err(|_| BodyError::Timeout)?
}

/// A body of at most `cap` bytes, and the trailers behind it; empty where there are none. A body that comes in one piece is
/// not copied.
///
/// # Errors
/// [`BodyError`], not that it is late.
pub async fn collect<B>(mut body: B, cap: usize) -> Result<(Bytes, HeaderMap), BodyError>
where
    B: Body<Data = Bytes, Error = hyper::Error> + Unpin,
{
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > cap {
        return Err(BodyError::TooLarge(cap));
    }
    let mut first: Option<Bytes> = None;
    let mut rest: Option<BytesMut> = None;
    let mut trailers = HeaderMap::new();
    while !body.is_end_stream() {
        let Some(frame) = body.frame().await else { break };
        let data = match frame?.into_data() {
            Ok(data) => data,
            Err(frame) => {
                trailers = frame.into_trailers().unwrap_or_default();
                continue;
            }
        };
        let so_far = rest.as_ref().map(BytesMut::len).or(first.as_ref().map(Bytes::len)).unwrap_or(0);
        if so_far + data.len() > cap {
            return Err(BodyError::TooLarge(cap));
        }
        match (&mut rest, first.take()) {
            (Some(rest), _) => rest.extend_from_slice(&data),
            (None, None) => first = Some(data),
            (None, Some(begin)) => {
                let mut buffer = BytesMut::with_capacity(announced.max(begin.len() + data.len()));
                buffer.extend_from_slice(&begin);
                buffer.extend_from_slice(&data);
                rest = Some(buffer);
            }
        }
    }
    Ok((rest.map(BytesMut::freeze).or(first).unwrap_or_default(), trailers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pieces_are_frames_of_a_known_length() {
        let pieces = ["", "ab", "", "c", ""].map(Bytes::from).to_vec();
        let mut body = Whole::from(pieces);
        let mut seen = Vec::new();
        for left in [3, 1] {
            assert_eq!(body.size_hint().exact(), Some(left));
            assert!(!body.is_end_stream());
            seen.push(body.frame().await.unwrap().unwrap().into_data().unwrap());
        }
        assert_eq!(seen, ["ab", "c"]);
        assert!(body.is_end_stream() && body.frame().await.is_none());
        assert_eq!(body.size_hint().exact(), Some(0));
        assert!(Whole::from(vec![Bytes::new()]).is_end_stream() && Whole::from(Bytes::new()).is_end_stream());
    }
}
