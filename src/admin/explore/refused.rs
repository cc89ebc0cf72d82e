//! Why the explorer does not answer, in one table.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::json;

use super::CHALLENGE;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Refused {
    /// `Host` is no name of ours.
    Host,
    /// Another site asks.
    Foreign,
    /// No token, or another one.
    Unauthorized,
    /// There is nothing of this name.
    NotFound,
    /// A method that is not served here; those that are.
    Method(&'static str),
    /// A body that is not JSON.
    MediaType,
    /// A body beyond its bound.
    TooLarge,
    /// A body that does not come in time.
    Late,
    /// A question that cannot be read, or of what is not there.
    Asked(String),
    /// No candidate is configured.
    NoShadow,
    /// An answer beyond its bound.
    Large,
    /// Too many at once.
    Busy,
    /// Ours.
    Failed,
}

impl Refused {
    pub(super) fn response(&self) -> Response<Full<Bytes>> {
        let (status, code, message) = match self {
            Self::Host => (
                StatusCode::MISDIRECTED_REQUEST,
                "HOST",
                "the explorer answers to addresses, to localhost and to `admin.hosts` alone",
            ),
            Self::Foreign => {
                (StatusCode::FORBIDDEN, "FORBIDDEN", "another site leads here: type the address, or use a bookmark")
            }
            Self::Unauthorized => {
                (StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "the token of `admin.token_file` is needed")
            }
            Self::NotFound => (StatusCode::NOT_FOUND, "NOT_FOUND", "there is nothing here"),
            Self::Method(_) => (StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "not by this method"),
            Self::MediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED", "questions are application/json, as they are")
            }
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", "questions have 64 KiB at most"),
            Self::Late => (StatusCode::REQUEST_TIMEOUT, "REQUEST_TIMEOUT", "the body did not come in time"),
            Self::Asked(message) => (StatusCode::BAD_REQUEST, "INVALID_QUERY", message.as_str()),
            Self::NoShadow => (StatusCode::NOT_FOUND, "NO_SHADOW", "the configuration names no `shadow`"),
            Self::Large => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "ANSWER_TOO_LARGE",
                "the answer would be too large: the command line has it whole",
            ),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "OVERLOADED", "too many questions at once"),
            Self::Failed => (StatusCode::INTERNAL_SERVER_ERROR, "FAILED", "the answer could not be made"),
        };
        let body = json!({"error": {"code": code, "message": message}}).to_string();
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match self {
            Self::Unauthorized => {
                headers.insert(header::WWW_AUTHENTICATE, CHALLENGE);
            }
            Self::Method(allowed) => {
                headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
            }
            Self::Busy => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            // What was not read must not be taken for the next request.
            Self::TooLarge | Self::Late => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Self::Host
            | Self::Foreign
            | Self::NotFound
            | Self::MediaType
            | Self::Asked(_)
            | Self::NoShadow
            | Self::Large
            | Self::Failed => {}
        }
        response
    }
}
