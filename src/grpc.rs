//! gRPC as a client speaks it: one message each way, not compressed (PROTOCOL-HTTP2.md of its specification).
//!
//! Shared by calls that are passed on for callers and by those that the sidecar makes itself. Nothing is sent here.

use bytes::{BufMut as _, Bytes, BytesMut};
use http_body_util::Full;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::response::Parts;
use hyper::{Method, Request, StatusCode};

pub use code::Code;

mod code;

/// Bytes before a message: whether it is compressed, and its length.
pub const PREFIX: usize = 5;
/// How messages are compressed.
pub const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
/// How a call ended: 0, or a [`Code`].
pub const STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// In words.
pub const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// What Chalk's clients look a call up by; it carries no values.
pub const TRACE_ID: HeaderName = HeaderName::from_static("x-chalk-trace-id");

/// Why a call has no answer that may be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// It is not what gRPC has it be. The text follows `the answer`, and has nothing of it.
    Unreadable(String),
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

/// The request with this message; no address and no metadata yet. `None`: no protocol carries a message of 4 GiB.
pub fn request(message: &[u8]) -> Option<Request<Full<Bytes>>> {
    let mut request = Request::new(Full::new(framed(false, message)?));
    *request.method_mut() = Method::POST;
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    request.headers_mut().insert(header::TE, HeaderValue::from_static("trailers"));
    Some(request)
}

/// The message of an answer, of which all is there.
///
/// # Errors
/// [`Stopped`].
pub fn answer(head: &Parts, body: &Bytes, trailers: &HeaderMap) -> Result<Bytes, Stopped> {
    let unreadable = |why: &str| Stopped::Unreadable(why.to_owned());
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
    let (first, last) = (header(&head.headers, &STATUS)?, header(trailers, &STATUS)?);
    let (status, behind) = match (first, last) {
        (Some(status), None) if body.is_empty() && trailers.is_empty() => (status, &head.headers),
        (None, Some(status)) => (status, trailers),
        (None, None) => return Err(unreadable("it has no `grpc-status`")),
        (Some(_), _) => return Err(unreadable("it has a `grpc-status` before its end")),
    };
    let status = digits(&status, 3).ok_or_else(|| unreadable("its `grpc-status` is no number"))?;
    if status != 0 {
        let message = behind.get(MESSAGE).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let trace_id = behind.get(TRACE_ID).or(head.headers.get(TRACE_ID)).cloned();
        return Err(Stopped::Status { code: Code::of(status), message: message.unwrap_or_default(), trace_id });
    }
    if header(&head.headers, &ENCODING)?.is_some_and(|encoding| encoding != "identity") {
        return Err(unreadable("it is compressed, which was not asked for"));
    }
    let (packed, message) = unframed(body).map_err(|problem| Stopped::Unreadable(format!("it {problem}")))?;
    if packed {
        return Err(unreadable("its message is compressed, which was not asked for"));
    }
    Ok(message)
}

/// The message of a body that has exactly one, and whether it is compressed. Errors follow a subject.
///
/// # Errors
/// No message, more than one, bytes behind it, flags that are not known.
pub fn unframed(body: &Bytes) -> Result<(bool, Bytes), &'static str> {
    let Some(([flag, length @ ..], rest)) = body.split_first_chunk::<PREFIX>() else {
        return Err(if body.is_empty() { "has no message" } else { "breaks off before its message" });
    };
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    match (flag, rest.len()) {
        (0 | 1, there) if there == length => Ok((*flag == 1, body.slice(PREFIX..))),
        (0 | 1, there) if there < length => Err("breaks off in its message"),
        (0 | 1, _) => Err("has bytes behind its message"),
        _ => Err("has a message with flags that are not known"),
    }
}

/// A message with its prefix; `None` where it has 4 GiB.
pub fn framed(packed: bool, message: &[u8]) -> Option<Bytes> {
    let length = u32::try_from(message.len()).ok()?;
    let mut framed = BytesMut::with_capacity(PREFIX.saturating_add(message.len()));
    framed.put_u8(u8::from(packed));
    framed.put_u32(length);
    framed.put_slice(message);
    Some(framed.freeze())
}

/// A header that means one thing.
///
/// # Errors
/// It is there twice, or it is no text.
pub fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, NotOne> {
    let mut all = headers.get_all(name).iter();
    let Some(value) = all.next() else { return Ok(None) };
    if all.next().is_some() {
        return Err(NotOne::Twice);
    }
    value.to_str().map(Some).map_err(|_| NotOne::NoText)
}

/// Why a header does not mean one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotOne {
    /// It is given twice.
    Twice,
    /// It is no text.
    NoText,
}

/// A number of at most so many digits.
pub fn digits(text: &str, most: usize) -> Option<u64> {
    let fine = text.len() <= most && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| fine)
}
