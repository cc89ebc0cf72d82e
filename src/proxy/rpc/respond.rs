//! Answers to callers: a message with its trailers, or the code and the text of a failure.

use bytes::Bytes;
use hyper::Response;
use hyper::header::{self, HeaderName, HeaderValue};

use super::{Answer, Call, Form, GRPC_ACCEPT_ENCODING, GRPC_ENCODING, framed, gzip};
use crate::dialect::Unreadable;
use crate::dialect::chalk::json;
use crate::grpc::{MESSAGE as GRPC_MESSAGE, STATUS as GRPC_STATUS, TRACE_ID};
use crate::proxy::body::Whole;
use crate::proxy::respond::{Body, DECISION_ID, Failure};

const TRAILER_TRACE_ID: HeaderName = HeaderName::from_static("trailer-x-chalk-trace-id");

/// The answer to a call, in its protocol: packed where the call was and its caller takes that.
///
/// # Errors
/// No protocol carries a message of 4 GiB, and JSON not every value.
pub async fn answered(call: &Call, answer: Answer) -> Result<Response<Body>, Unreadable> {
    let Answer { message, headers, mut trailers } = answer;
    let message = match call.json {
        None => message,
        Some(messages) => {
            let work = tokio::task::spawn_blocking(move || json::to_json(messages.answer, &message));
            let told = work.await.map_err(|_| Unreadable("its JSON was not made".to_owned()))?;
            Bytes::from(told?)
        }
    };
    let packed = if call.gzip_answer { gzip::pack(message.clone()).await } else { None };
    let is_packed = packed.is_some();
    let message = packed.unwrap_or(message);
    let mut response = Response::new(Body::default());
    *response.headers_mut() = headers;
    let gzip = HeaderValue::from_static("gzip");
    match call.form {
        Form::Grpc => {
            trailers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
            let data =
                framed(is_packed, &message).ok_or_else(|| Unreadable("4 GiB are too much for a message".to_owned()))?;
            *response.body_mut() = Whole::with_trailers(data, trailers).into();
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            if is_packed {
                response.headers_mut().insert(GRPC_ENCODING, gzip);
            }
        }
        Form::Connect => {
            *response.body_mut() = message.into();
            let headers = response.headers_mut();
            for (name, value) in &trailers {
                if let Ok(name) = HeaderName::try_from(format!("trailer-{name}")) {
                    headers.append(name, value.clone());
                }
            }
            let kind = if call.json.is_some() { "application/json" } else { "application/proto" };
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            if is_packed {
                headers.insert(header::CONTENT_ENCODING, gzip);
            }
        }
    }
    Ok(response)
}

/// A failure, in the protocol of the call: trailers alone in gRPC, JSON in Connect. Its status in HTTP is among the
/// extensions of the answer, for metrics and the audit log.
pub fn refused(form: Form, failure: &Failure, decision_id: &HeaderValue) -> Response<Body> {
    let (code, message) = (failure.grpc(), failure.message());
    let mut response = Response::new(Body::default());
    match form {
        Form::Grpc => {
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert(GRPC_STATUS, HeaderValue::from(u16::from(code.number())));
            if let Ok(message) = HeaderValue::from_str(&escaped(&message)) {
                headers.insert(GRPC_MESSAGE, message);
            }
            if matches!(failure, Failure::Unsupported(_)) {
                headers.insert(GRPC_ACCEPT_ENCODING, HeaderValue::from_static("identity,gzip"));
            }
            if let Some(trace_id) = failure.trace_id() {
                headers.insert(TRACE_ID, trace_id.clone());
            }
        }
        Form::Connect => {
            let body = serde_json::json!({"code": code.name(), "message": message}).to_string();
            *response.body_mut() = Bytes::from(body).into();
            *response.status_mut() = code.status();
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            failure.advise(headers);
            if let Some(trace_id) = failure.trace_id() {
                headers.insert(TRAILER_TRACE_ID, trace_id.clone());
            }
        }
    }
    response.headers_mut().insert(DECISION_ID, decision_id.clone());
    response.extensions_mut().insert(failure.status());
    response
}

/// `grpc-message`: all but printable ASCII, and `%`, in percent-encoding.
fn escaped(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
