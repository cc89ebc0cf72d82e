//! Bodies: read whole, under a cap and a deadline.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::{Instant, timeout_at};

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

/// Reads a body of at most `cap` bytes until `deadline`. A body that comes in one piece is not copied.
///
/// # Errors
/// [`BodyError`].
pub async fn read(mut body: Incoming, cap: usize, deadline: Instant) -> Result<Bytes, BodyError> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > cap {
        return Err(BodyError::TooLarge(cap));
    }
    let mut first: Option<Bytes> = None;
    let mut rest: Option<BytesMut> = None;
    loop {
        let frame = timeout_at(deadline, body.frame()).await.map_err(|_| BodyError::Timeout)?;
        let Some(frame) = frame else { break };
        // Trailers are not passed on.
        let Ok(data) = frame?.into_data() else { continue };
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
    Ok(rest.map(BytesMut::freeze).or(first).unwrap_or_default())
}
