//! Calls of the upstream that are passed on: always gRPC, one message each way, not compressed.

use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::http::response::Parts;

use crate::dialect::Unreadable;
use crate::grpc::{self, Code};
use crate::proxy::headers;

pub use crate::grpc::request;

/// An answer that is fine.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Its message, not packed and without a prefix.
    pub message: Bytes,
    /// What its head carries beside the protocol's own.
    pub headers: HeaderMap,
    /// And what its trailers do.
    pub trailers: HeaderMap,
}

/// Why a call has no answer that may be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// It is not what gRPC has it be.
    Unreadable(Unreadable),
    /// It ended with an error. The upstream's text, which can carry values, is for the log of debugging alone.
    Status {
        /// Which.
        code: Code,
        /// As it came: in percent-encoding.
        message: String,
        /// `x-chalk-trace-id`.
        trace_id: Option<HeaderValue>,
    },
}

/// Reads an answer, of which all is there.
///
/// # Errors
/// [`Stopped`].
pub fn answer(head: &Parts, body: &Bytes, trailers: &HeaderMap) -> Result<Answer, Stopped> {
    let message = grpc::answer(head, body, trailers).map_err(|stopped| match stopped {
        grpc::Stopped::Unreadable(why) => Stopped::Unreadable(Unreadable(why)),
        grpc::Stopped::Status { code, message, trace_id } => Stopped::Status { code, message, trace_id },
    })?;
    Ok(Answer { message, headers: passing(&head.headers), trailers: passing(trailers) })
}

/// What is not of the hop, and does not speak for us or for the protocol.
fn passing(all: &HeaderMap) -> HeaderMap {
    let listed = headers::listed(all);
    let passing = all.iter().filter(|(name, _)| headers::answer_passes(name, &listed));
    passing.map(|(name, value)| (name.clone(), value.clone())).collect()
}
