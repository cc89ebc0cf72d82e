//! Calls of the upstream: always gRPC, one message each way, not compressed.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::response::Parts;
use hyper::{Method, Request, StatusCode};

use super::respond::{GRPC_STATUS, TRACE_ID};
use super::{Code, GRPC_ENCODING, digits, framed, one, unframed};
use crate::dialect::Unreadable;
use crate::proxy::headers;

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

/// The request with this message; no metadata yet. `None`: no protocol carries a message of 4 GiB.
pub fn request(message: &[u8]) -> Option<Request<Full<Bytes>>> {
    let mut request = Request::new(Full::new(framed(false, message)?));
    *request.method_mut() = Method::POST;
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    request.headers_mut().insert(header::TE, HeaderValue::from_static("trailers"));
    Some(request)
}

/// Reads an answer, of which all is there.
///
/// # Errors
/// [`Stopped`].
pub fn answer(head: &Parts, body: &Bytes, trailers: &HeaderMap) -> Result<Answer, Stopped> {
    let unreadable = |why: &str| Stopped::Unreadable(Unreadable(why.to_owned()));
    let header = |headers: &HeaderMap, name: &HeaderName| {
        one(headers, name)
            .map(|value| value.map(str::to_owned))
            .map_err(|_| unreadable("it gives a header of gRPC twice"))
    };
    if head.status != StatusCode::OK {
        return Err(unreadable("it is not of the status 200"));
    }
    let media = header(&head.headers, &header::CONTENT_TYPE)?.unwrap_or_default();
    if !["application/grpc", "application/grpc+proto"].contains(&media.as_str()) {
        return Err(unreadable("it is no gRPC"));
    }
    // An answer without a message has its trailers in its head.
    let (first, last) = (header(&head.headers, &GRPC_STATUS)?, header(trailers, &GRPC_STATUS)?);
    let (status, behind) = match (first, last) {
        (Some(status), None) if body.is_empty() && trailers.is_empty() => (status, &head.headers),
        (None, Some(status)) => (status, trailers),
        (None, None) => return Err(unreadable("it has no `grpc-status`")),
        (Some(_), _) => return Err(unreadable("it has a `grpc-status` before its end")),
    };
    let status = digits(&status, 3).ok_or_else(|| unreadable("its `grpc-status` is no number"))?;
    if status != 0 {
        let message = behind.get("grpc-message").map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let trace_id = behind.get(TRACE_ID).or(head.headers.get(TRACE_ID)).cloned();
        return Err(Stopped::Status { code: Code::of(status), message: message.unwrap_or_default(), trace_id });
    }
    if header(&head.headers, &GRPC_ENCODING)?.is_some_and(|encoding| encoding != "identity") {
        return Err(unreadable("it is compressed, which was not asked for"));
    }
    let (packed, message) = unframed(body).map_err(unreadable_body)?;
    if packed {
        return Err(unreadable("its message is compressed, which was not asked for"));
    }
    Ok(Answer { message, headers: passing(&head.headers), trailers: passing(trailers) })
}

fn unreadable_body(problem: &str) -> Stopped {
    Stopped::Unreadable(Unreadable(format!("it {problem}")))
}

/// What is not of the hop, and does not speak for us or for the protocol.
fn passing(all: &HeaderMap) -> HeaderMap {
    let listed = headers::listed(all);
    let passing = all.iter().filter(|(name, _)| headers::answer_passes(name, &listed));
    passing.map(|(name, value)| (name.clone(), value.clone())).collect()
}
