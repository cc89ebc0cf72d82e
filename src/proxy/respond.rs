//! The only table from what went wrong to what the caller sees (config.md, Errors on the wire).

use std::time::Duration;

use bytes::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::rpc::{self, Code};
use crate::dialect::chalk::error;
use crate::dialect::chalk::proto::{ChalkError, ErrorCode};

/// `x-tagwarden-decision-id`.
pub const DECISION_ID: HeaderName = HeaderName::from_static("x-tagwarden-decision-id");
/// `x-tagwarden-filtered`.
pub const FILTERED: HeaderName = HeaderName::from_static("x-tagwarden-filtered");

/// A body of ours or a verified one of the upstream.
pub type Body = super::body::Outgoing;

/// In which form a caller is told of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Ours.
    Plain,
    /// Ours, with what Chalk's clients look for.
    Chalk,
    /// The same, of a query: what is refused is an answer with errors.
    ChalkQuery,
    /// The same, of an upload.
    ChalkUpload,
    /// gRPC or Connect.
    Rpc(rpc::Form),
}

/// Every way in which a request ends without the upstream's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No token (`sent` false), or one that does not verify.
    Unauthorized {
        /// Whether there was a token.
        sent: bool,
    },
    /// The signature is good and `exp` is past.
    TokenExpired,
    /// An API key that is nobody's, where one is exchanged for tokens.
    InvalidApiKey,
    /// Client credentials that are nobody's, where a call exchanges them for a token.
    InvalidClient,
    /// A refresh token that is unknown, expired, used or revoked.
    InvalidRefreshToken,
    /// Failed secrets.
    TooManyAttempts {
        /// Seconds until they are counted anew.
        retry_after: u64,
    },
    /// No binding gives the caller a role, or the route is not for its roles.
    Forbidden,
    /// The query is not permitted; the names are the caller's own.
    FeaturesRefused(Vec<String>),
    /// Not readable, ambiguous, or in a form that cannot be checked.
    InvalidQuery(String),
    /// Not on the list of routes.
    NotFound,
    /// There is no such data source, or none that the caller reaches.
    NoSuchSource,
    /// On it with other methods.
    MethodNotAllowed(String),
    /// The request's body is too large.
    BodyTooLarge,
    /// A content type or encoding that is not read.
    Unsupported(&'static str),
    /// The request's body did not come in time.
    RequestTimeout,
    /// Too many requests in flight, or the audit log does not keep up.
    Overloaded,
    /// There are no keys to verify a token with: ours to mend.
    KeysUnavailable {
        /// When to try again.
        retry_after: Duration,
    },
    /// The issuer's store is down: ours to mend.
    IssuerUnavailable,
    /// The upstream refused, broke off, redirected (`None`) or answered with an error (its status).
    UpstreamFailed(Option<StatusCode>),
    /// The upstream ended a call with an error.
    UpstreamStatus {
        /// Which.
        code: Code,
        /// What it can be looked up by there.
        trace_id: Option<HeaderValue>,
    },
    /// The upstream's answer cannot be verified.
    UpstreamUnreadable,
    /// The upstream did not answer in time.
    UpstreamTimeout,
}

impl Failure {
    /// The status on the wire.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Unauthorized { .. }
            | Self::TokenExpired
            | Self::InvalidApiKey
            | Self::InvalidClient
            | Self::InvalidRefreshToken => StatusCode::UNAUTHORIZED,
            Self::TooManyAttempts { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Forbidden | Self::FeaturesRefused(_) => StatusCode::FORBIDDEN,
            Self::InvalidQuery(_) => StatusCode::BAD_REQUEST,
            Self::NotFound | Self::NoSuchSource => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unsupported(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Overloaded | Self::KeysUnavailable { .. } | Self::IssuerUnavailable => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::UpstreamFailed(status) => status.unwrap_or(StatusCode::BAD_GATEWAY),
            Self::UpstreamStatus { code, .. } => code.status(),
            Self::UpstreamUnreadable => StatusCode::BAD_GATEWAY,
            Self::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The stable word.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unauthorized { .. } | Self::InvalidApiKey | Self::InvalidClient => "UNAUTHORIZED",
            Self::InvalidRefreshToken => "INVALID_REFRESH_TOKEN",
            Self::TooManyAttempts { .. } => "TOO_MANY_ATTEMPTS",
            Self::TokenExpired => "TOKEN_EXPIRED",
            Self::Forbidden => "FORBIDDEN",
            Self::FeaturesRefused(_) => "FEATURES_REFUSED",
            Self::InvalidQuery(_) => "INVALID_QUERY",
            Self::NotFound | Self::NoSuchSource => "NOT_FOUND",
            Self::MethodNotAllowed(_) => "METHOD_NOT_ALLOWED",
            Self::BodyTooLarge => "BODY_TOO_LARGE",
            Self::Unsupported(_) => "UNSUPPORTED",
            Self::RequestTimeout => "REQUEST_TIMEOUT",
            Self::Overloaded => "OVERLOADED",
            Self::KeysUnavailable { .. } | Self::IssuerUnavailable => "KEYS_UNAVAILABLE",
            Self::UpstreamFailed(_) | Self::UpstreamStatus { .. } => "UPSTREAM_FAILED",
            Self::UpstreamUnreadable => "UPSTREAM_UNREADABLE",
            Self::UpstreamTimeout => "UPSTREAM_TIMEOUT",
        }
    }

    /// The code in gRPC and Connect: of those that config.md lists, but for what the upstream said itself.
    pub fn grpc(&self) -> Code {
        match self {
            Self::Unauthorized { .. }
            | Self::TokenExpired
            | Self::InvalidApiKey
            | Self::InvalidClient
            | Self::InvalidRefreshToken => Code::Unauthenticated,
            Self::Forbidden | Self::FeaturesRefused(_) => Code::PermissionDenied,
            Self::InvalidQuery(_) => Code::InvalidArgument,
            Self::NotFound | Self::MethodNotAllowed(_) | Self::Unsupported(_) => Code::Unimplemented,
            Self::NoSuchSource => Code::NotFound,
            Self::TooManyAttempts { .. } | Self::BodyTooLarge => Code::ResourceExhausted,
            Self::RequestTimeout | Self::UpstreamTimeout => Code::DeadlineExceeded,
            Self::Overloaded | Self::KeysUnavailable { .. } | Self::IssuerUnavailable | Self::UpstreamUnreadable => {
                Code::Unavailable
            }
            Self::UpstreamFailed(Some(StatusCode::UNAUTHORIZED)) => Code::Unauthenticated,
            Self::UpstreamFailed(Some(StatusCode::FORBIDDEN)) => Code::PermissionDenied,
            Self::UpstreamFailed(Some(StatusCode::NOT_FOUND)) => Code::Unimplemented,
            Self::UpstreamFailed(_) => Code::Unavailable,
            Self::UpstreamStatus { code, .. } => *code,
        }
    }

    /// What the upstream's error can be looked up by.
    pub fn trace_id(&self) -> Option<&HeaderValue> {
        if let Self::UpstreamStatus { trace_id, .. } = self { trace_id.as_ref() } else { None }
    }

    /// The text, the same in all protocols.
    pub fn message(&self) -> String {
        match self {
            Self::Unauthorized { sent: false } => "A Bearer token is required".to_owned(),
            Self::Unauthorized { sent: true } => "The access token is invalid".to_owned(),
            Self::TokenExpired => "Access token has expired".to_owned(),
            Self::InvalidApiKey => "Invalid API key".to_owned(),
            Self::InvalidClient => "Client authentication failed".to_owned(),
            Self::InvalidRefreshToken => "Refresh token is invalid or expired".to_owned(),
            Self::TooManyAttempts { .. } => "Too many failed attempts, try again later".to_owned(),
            Self::Forbidden => "This caller may not use this route".to_owned(),
            Self::FeaturesRefused(names) => {
                let shown: Vec<&str> = names.iter().take(20).map(String::as_str).collect();
                let more = names.len().saturating_sub(shown.len());
                let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
                format!("Not permitted for this caller: {}{rest}", shown.join(", "))
            }
            Self::InvalidQuery(message) => message.clone(),
            Self::NotFound => "There is no such route".to_owned(),
            Self::NoSuchSource => "There is no such data source".to_owned(),
            Self::MethodNotAllowed(_) => "This route does not take this method".to_owned(),
            Self::BodyTooLarge => "The request body is too large".to_owned(),
            Self::Unsupported(what) => (*what).to_owned(),
            Self::RequestTimeout => "The request body did not arrive in time".to_owned(),
            Self::Overloaded => "Too many requests at once, try again".to_owned(),
            Self::KeysUnavailable { .. } => "Tokens cannot be verified right now, try again".to_owned(),
            Self::IssuerUnavailable => "Tokens cannot be issued right now, try again".to_owned(),
            Self::UpstreamFailed(_) => "The feature server failed".to_owned(),
            Self::UpstreamStatus { .. } => "The feature server ended the call with an error".to_owned(),
            Self::UpstreamUnreadable => "The feature server's answer cannot be verified".to_owned(),
            Self::UpstreamTimeout => "The feature server did not answer in time".to_owned(),
        }
    }

    /// The whole answer, as the caller's client reads it best.
    pub fn response_in(&self, form: Form, decision_id: &HeaderValue) -> Response<Body> {
        match (form, self) {
            (Form::Plain, _) => self.response(decision_id),
            (Form::Rpc(form), _) => rpc::refused(form, self, decision_id),
            // Never 403: chalkpy takes it for a bad token, and asks again with another (wire-chalk.md, 3.3).
            (Form::ChalkQuery | Form::ChalkUpload, Self::Forbidden | Self::FeaturesRefused(_)) => {
                let errors = self.chalk_errors();
                let body = match form {
                    Form::ChalkUpload => error::upload_answer(&errors, decision_id.to_str().unwrap_or_default()),
                    Form::ChalkQuery | Form::Chalk | Form::Plain | Form::Rpc(_) => error::answer(&errors),
                };
                let mut response = Response::new(Body::from(Bytes::from(body)));
                let headers = response.headers_mut();
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
                headers.insert(DECISION_ID, decision_id.clone());
                response
            }
            (Form::Chalk | Form::ChalkQuery | Form::ChalkUpload, _) => {
                let mut response = self.response(decision_id);
                let id = decision_id.to_str().unwrap_or_default();
                let body = error::failure_body(&self.message(), id, &self.chalk_errors(), &self.error(id));
                *response.body_mut() = Body::from(Bytes::from(body));
                response
            }
        }
    }

    /// The same for Chalk's clients, who know a closed list of codes (config.md, Errors on the wire).
    pub fn chalk_errors(&self) -> Vec<ChalkError> {
        let code = match self {
            Self::FeaturesRefused(names) => return names.iter().map(|name| error::refused(name)).collect(),
            Self::Unauthorized { .. }
            | Self::TokenExpired
            | Self::InvalidApiKey
            | Self::InvalidClient
            | Self::InvalidRefreshToken => ErrorCode::Unauthenticated,
            Self::Forbidden => ErrorCode::Unauthorized,
            Self::InvalidQuery(_) => ErrorCode::InvalidQuery,
            Self::NotFound
            | Self::NoSuchSource
            | Self::MethodNotAllowed(_)
            | Self::Unsupported(_)
            | Self::BodyTooLarge => ErrorCode::ParseFailed,
            Self::RequestTimeout | Self::UpstreamTimeout => ErrorCode::DeadlineExceeded,
            Self::TooManyAttempts { .. }
            | Self::Overloaded
            | Self::KeysUnavailable { .. }
            | Self::IssuerUnavailable
            | Self::UpstreamFailed(_)
            | Self::UpstreamStatus { .. }
            | Self::UpstreamUnreadable => ErrorCode::InternalServerError,
        };
        vec![error::error(code, self.message())]
    }

    /// What `error` holds in every body of ours.
    fn error(&self, decision_id: &str) -> Value {
        let mut error = json!({"code": self.code(), "message": self.message(), "decision_id": decision_id});
        if let (Self::FeaturesRefused(names), Some(error)) = (self, error.as_object_mut()) {
            error.insert("refused".to_owned(), json!(names));
        }
        error
    }

    /// The whole answer over HTTP.
    pub fn response(&self, decision_id: &HeaderValue) -> Response<Body> {
        let error = self.error(decision_id.to_str().unwrap_or_default());
        let body = json!({"detail": self.message(), "error": error}).to_string();
        let mut response = Response::new(Body::from(Bytes::from(body)));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(DECISION_ID, decision_id.clone());
        self.advise(headers);
        response
    }

    /// Headers that say what to do about it.
    pub fn advise(&self, headers: &mut HeaderMap) {
        match self {
            Self::Unauthorized { sent: false }
            | Self::InvalidApiKey
            | Self::InvalidClient
            | Self::InvalidRefreshToken => {
                let bare = HeaderValue::from_static("Bearer realm=\"tagwarden\"");
                headers.insert(header::WWW_AUTHENTICATE, bare);
            }
            Self::Unauthorized { sent: true } | Self::TokenExpired => {
                let invalid = HeaderValue::from_static("Bearer realm=\"tagwarden\", error=\"invalid_token\"");
                headers.insert(header::WWW_AUTHENTICATE, invalid);
            }
            Self::MethodNotAllowed(allow) => {
                if let Ok(allow) = HeaderValue::from_str(allow) {
                    headers.insert(header::ALLOW, allow);
                }
            }
            Self::TooManyAttempts { retry_after } => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from((*retry_after).max(1)));
            }
            Self::Overloaded | Self::IssuerUnavailable => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::KeysUnavailable { retry_after } => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after.as_secs().max(1)));
            }
            Self::RequestTimeout | Self::BodyTooLarge => {
                // The rest of the body is not read.
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Self::Forbidden
            | Self::FeaturesRefused(_)
            | Self::InvalidQuery(_)
            | Self::NotFound
            | Self::NoSuchSource
            | Self::Unsupported(_)
            | Self::UpstreamFailed(_)
            | Self::UpstreamStatus { .. }
            | Self::UpstreamUnreadable
            | Self::UpstreamTimeout => {}
        }
    }
}
