//! The wire of one unary call, and no policy: gRPC over HTTP/2 and Connect's unary protocol (wire-chalk.md, 1, 2.3, 6).
//!
//! ```text
//! caller                                            upstream: always gRPC
//!   Form::of    gRPC, Connect or none of these         request   POST, te: trailers, one message, not compressed
//!   Call::of    content type, encoding, time           answer    one message and `grpc-status: 0`,
//!   message     one, unpacked under a cap, of JSON as protobuf   or why not
//!   answered    message and trailers, or
//!   refused     the code and the text of a Failure
//! ```
//!
//! gRPC: PROTOCOL-HTTP2.md of its specification. Connect: the protocol reference at connectrpc.com, unary requests.

use std::time::Duration;

use bytes::Bytes;
use hyper::header::{self, HeaderMap, HeaderName};
use hyper::http::request::Parts;
use hyper::{Method, Version};

use super::respond::Failure;
use crate::dialect::chalk::json;
use crate::dialect::chalk::shape::methods::{self, Messages};
use crate::dialect::shown;
use crate::grpc::{self, ENCODING as GRPC_ENCODING, NotOne, digits, framed, unframed};
pub use crate::grpc::{Code, PREFIX};
pub use respond::{answered, refused};
pub use upstream::{Answer, Stopped, answer, request};

mod gzip;
mod respond;
mod upstream;

const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const CONNECT_TIMEOUT: HeaderName = HeaderName::from_static("connect-timeout-ms");
const CONNECT_VERSION: HeaderName = HeaderName::from_static("connect-protocol-version");

/// In which protocol a caller calls, and is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// gRPC, over HTTP/2.
    Grpc,
    /// Connect's unary protocol, over any HTTP.
    Connect,
}

impl Form {
    /// The protocol of a request, which its errors are told in, too. `None`: none of these, and answered as HTTP is.
    pub fn of(parts: &Parts) -> Option<Self> {
        let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok())?;
        let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if parts.method != Method::POST {
            return None;
        }
        match media.as_str() {
            "application/proto" => Some(Self::Connect),
            "application/json" => is_method(parts.uri.path()).then_some(Self::Connect),
            "application/grpc" => Some(Self::Grpc),
            _ => media.starts_with("application/grpc+").then_some(Self::Grpc),
        }
        .filter(|form| *form == Self::Connect || parts.version == Version::HTTP_2)
    }
}

/// Whether a path is that of a method: `/chalk.engine.v1.QueryService/OnlineQuery`.
fn is_method(path: &str) -> bool {
    let word = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let parts = path.strip_prefix('/').and_then(|path| path.split_once('/'));
    parts.is_some_and(|(service, method)| service.contains('.') && service.split('.').all(word) && word(method))
}

/// What the head of a call says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its protocol.
    pub form: Form,
    /// How long the caller waits from when it sent the call: `grpc-timeout`, `connect-timeout-ms`.
    pub within: Option<Duration>,
    /// Its message may be compressed (gRPC), or is (Connect).
    gzip: bool,
    /// So may that of the answer be.
    gzip_answer: bool,
    /// Its messages are in JSON, and these (Connect).
    json: Option<&'static Messages>,
}

impl Call {
    /// Reads the head of a call.
    ///
    /// # Errors
    /// `Unsupported`: a protocol, a content type, an encoding that is not read. `InvalidQuery`: what says two things or
    /// is not of its form.
    pub fn of(parts: &Parts) -> Result<Self, Failure> {
        let headers = &parts.headers;
        let Some(form) = Form::of(parts) else {
            return Err(Failure::Unsupported("A call must be gRPC over HTTP/2, or Connect"));
        };
        let media = one(headers, &header::CONTENT_TYPE)?.unwrap_or_default();
        let mut json = None;
        let (encoding, accepted) = match form {
            Form::Grpc => {
                if !["application/grpc", "application/grpc+proto"].iter().any(|own| media.eq_ignore_ascii_case(own)) {
                    return Err(Failure::Unsupported("gRPC is read with the Content-Type application/grpc alone"));
                }
                if one(headers, &header::CONTENT_ENCODING)?.is_some_and(|encoding| encoding != "identity") {
                    return Err(Failure::Unsupported("A gRPC call with a Content-Encoding is not read"));
                }
                (GRPC_ENCODING, GRPC_ACCEPT_ENCODING)
            }
            Form::Connect => {
                if is_json(media) {
                    let messages = methods::of(parts.uri.path());
                    json = Some(messages.ok_or(Failure::Unsupported("Of this method no message is known in JSON"))?);
                } else if !media.eq_ignore_ascii_case("application/proto") {
                    return Err(Failure::Unsupported(
                        "Connect is read with the Content-Types application/proto and application/json alone",
                    ));
                }
                if one(headers, &CONNECT_VERSION)?.is_some_and(|version| version != "1") {
                    return Err(Failure::Unsupported("Of Connect's protocol only the version 1 is known"));
                }
                (header::CONTENT_ENCODING, header::ACCEPT_ENCODING)
            }
        };
        let gzip = match one(headers, &encoding)? {
            None | Some("identity") => false,
            Some("gzip") => true,
            Some(_) => return Err(Failure::Unsupported("A message must be compressed with gzip or not at all")),
        };
        let within = match form {
            Form::Grpc => one(headers, &GRPC_TIMEOUT)?.map(grpc_timeout).transpose()?,
            Form::Connect => one(headers, &CONNECT_TIMEOUT)?.map(connect_timeout).transpose()?,
        };
        Ok(Self { form, within, gzip, gzip_answer: gzip && accepts_gzip(headers, &accepted), json })
    }

    /// Bytes that the body of a call may have whose message may have `most`.
    pub fn body_cap(&self, most: usize) -> usize {
        match self.form {
            Form::Grpc => most.saturating_add(PREFIX),
            Form::Connect => most,
        }
    }

    /// The one message of a body, unpacked, of at most `most` bytes; in protobuf, whatever it came in.
    ///
    /// # Errors
    /// `InvalidQuery`: no message, more than one, bytes behind it, compression that was not told or is damaged, JSON that is
    /// none of the method's. `BodyTooLarge`.
    pub async fn message(&self, body: Bytes, most: usize) -> Result<Bytes, Failure> {
        let message = self.unpacked(body, most).await?;
        let Some(messages) = self.json else { return Ok(message) };
        // Away from the threads that serve: a table is large in base64.
        let work = tokio::task::spawn_blocking(move || json::to_proto(messages.request, &message));
        let unread = |_| Failure::InvalidQuery("the message could not be read".to_owned());
        Ok(work.await.map_err(unread)??)
    }

    async fn unpacked(&self, body: Bytes, most: usize) -> Result<Bytes, Failure> {
        let (packed, message) = match self.form {
            Form::Connect => (self.gzip, body),
            Form::Grpc => unframed(&body).map_err(|problem| Failure::InvalidQuery(format!("the call {problem}")))?,
        };
        if !packed {
            return if message.len() > most { Err(Failure::BodyTooLarge) } else { Ok(message) };
        }
        if !self.gzip {
            let problem = "the message is said to be compressed, and not how: there is no `grpc-encoding`";
            return Err(Failure::InvalidQuery(problem.to_owned()));
        }
        gzip::unpack(message, most).await.map_err(|stopped| match stopped {
            gzip::Stopped::TooLarge => Failure::BodyTooLarge,
            gzip::Stopped::Damaged => Failure::InvalidQuery("the message is not one whole piece of gzip".to_owned()),
        })
    }
}

/// A header that means one thing.
fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Failure> {
    grpc::one(headers, name).map_err(|not_one| {
        Failure::InvalidQuery(match not_one {
            NotOne::Twice => format!("the header `{name}` is given twice"),
            NotOne::NoText => format!("the header `{name}` is no text"),
        })
    })
}

/// JSON in UTF-8, with nothing else said of it.
fn is_json(media: &str) -> bool {
    let mut parts = media.split(';').map(|part| part.trim().to_ascii_lowercase());
    parts.next().is_some_and(|kind| kind == "application/json")
        && parts.all(|part| matches!(part.as_str(), "charset=utf-8" | "charset=\"utf-8\""))
}

/// Whether a list of encodings has gzip, without a weight: one that is weighed may have none.
fn accepts_gzip(headers: &HeaderMap, name: &HeaderName) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|encoding| encoding.trim() == "gzip")
}

/// At most 8 digits and a unit.
fn grpc_timeout(text: &str) -> Result<Duration, Failure> {
    let wrong = || {
        Failure::InvalidQuery(format!(
            "the header `grpc-timeout` is `{}`: write digits and a unit, as in 10S",
            shown(text)
        ))
    };
    let mut rest = text.chars();
    let unit = match rest.next_back().ok_or_else(wrong)? {
        'H' => Duration::from_secs(3600),
        'M' => Duration::from_secs(60),
        'S' => Duration::from_secs(1),
        'm' => Duration::from_millis(1),
        'u' => Duration::from_micros(1),
        'n' => Duration::from_nanos(1),
        _ => return Err(wrong()),
    };
    let number = digits(rest.as_str(), 8).and_then(|number| u32::try_from(number).ok()).ok_or_else(wrong)?;
    unit.checked_mul(number).ok_or_else(wrong)
}

/// At most 10 digits: milliseconds.
fn connect_timeout(text: &str) -> Result<Duration, Failure> {
    digits(text, 10).map(Duration::from_millis).ok_or_else(|| {
        Failure::InvalidQuery(format!("the header `connect-timeout-ms` is `{}`: write milliseconds", shown(text)))
    })
}

#[cfg(test)]
mod tests;
