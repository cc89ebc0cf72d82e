//! The spans of a request, by the semantic conventions of HTTP and RPC. Where none are made, each is one branch.
//!
//! Never a caller's name, a token, a feature or a value. A path is told where it is the route's own, since a placeholder may
//! stand for somebody's key, and a query string never.

use std::future::Future;
use std::time::SystemTime;

use hyper::header::HeaderMap;
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode, Version};

use super::Exchange;
use super::body::BodyError;
use super::respond::{Body, Failure, Form};
use super::route::Route;
use super::rpc::{self, Code};
use crate::auth::{Refusal, Verified};
use crate::dialect::{Decision, Plan};
use crate::grpc::STATUS;
use crate::trace::{Child, Parent, Request, SpanKind, Tracer};
use crate::upstream::{Protocol, Upstream};

/// The span of a request, and what it tells at its end.
#[derive(Debug)]
pub(super) struct Trace {
    pub span: Request,
    /// The strictest of all its queries.
    decision: Option<Decision>,
    refused: usize,
    filtered: usize,
    failure: Option<(&'static str, Code)>,
}

impl Trace {
    pub(super) fn begin(tracer: &Tracer, parts: &Parts, parent: Option<&Parent>, route: Option<&Route>) -> Box<Self> {
        let (method, route) = (method(&parts.method), route.map(|route| route.metrics.route.as_str()));
        // What a stranger asks for is no name of a span.
        let name = route.map_or_else(|| method.to_owned(), |route| format!("{method} {route}"));
        let mut span = tracer.request(name, &parts.headers, parent);
        if span.is_recording() {
            span.set("http.request.method", method);
            if let Some(route) = route {
                span.set("http.route", route.to_owned());
                if route == parts.uri.path() {
                    span.set("url.path", route.to_owned());
                }
            }
            let version = match parts.version {
                Version::HTTP_2 => "2",
                Version::HTTP_10 => "1.0",
                _ => "1.1",
            };
            span.set("network.protocol.version", version);
        }
        Box::new(Self { span, decision: None, refused: 0, filtered: 0, failure: None })
    }

    /// Verifies a token, whose span is made where it took more than a look into the cache.
    pub(super) async fn verified<'t>(
        &self,
        started: SystemTime,
        verifying: impl Future<Output = Result<Verified<'t>, Refusal>>,
    ) -> Result<Verified<'t>, Refusal> {
        let verified = self.span.within(verifying).await;
        if !verified.as_ref().is_ok_and(|verified| verified.was_known()) {
            let mut span = self.span.child(SpanKind::Internal, "verify token".to_owned(), Some(started));
            match &verified {
                Err(Refusal::KeysUnavailable { .. }) => span.failed("keys_unavailable"),
                Err(Refusal::Invalid { .. } | Refusal::Missing) => span.set("tagwarden.token", "invalid"),
                Err(Refusal::Expired) => span.set("tagwarden.token", "expired"),
                Ok(_) => span.set("tagwarden.token", "valid"),
            }
        }
        verified
    }

    /// A query was decided.
    pub(super) fn decided(&mut self, plan: &Plan, started: SystemTime) {
        self.decision = self.decision.max(Some(plan.decision));
        let out = plan.refused.len();
        let (refused, filtered) = if plan.decision == Decision::Refused { (out, 0) } else { (0, out) };
        self.refused += refused;
        self.filtered += filtered;
        let mut span = self.span.child(SpanKind::Internal, "decide".to_owned(), Some(started));
        if span.is_recording() {
            span.set("tagwarden.decision", plan.decision.name());
            counts(|name, count| span.set(name, count), refused, filtered);
        }
    }

    /// What it ends with, if not with an answer of the upstream.
    pub(super) fn failed(&mut self, failure: &Failure) {
        self.failure = Some((failure.code(), failure.grpc()));
    }

    /// A call of the upstream. The second: its method.
    pub(super) fn call(&self, to: &Upstream, path: &str, method: &Method, protocol: Protocol, route: &str) -> Child {
        let (calls, own) = (protocol == Protocol::Http2, self::method(method));
        // The path of a method is one of ours; that of a request may carry keys.
        let name = if calls { path.trim_start_matches('/').to_owned() } else { format!("{own} {route}") };
        let mut span = self.span.child(SpanKind::Client, name, None);
        if span.is_recording() {
            let (address, port) = to.address();
            span.set("server.address", address.to_owned());
            if let Some(port) = port {
                span.set("server.port", i64::from(port));
            }
            if calls {
                span.set("rpc.system.name", "grpc");
                span.set("rpc.method", path.trim_start_matches('/').to_owned());
            } else {
                span.set("http.request.method", own);
                if path == route {
                    span.set("url.full", format!("{}{path}", to.origin()));
                }
                span.set("url.template", route.to_owned());
            }
        }
        span
    }
}

fn counts(mut set: impl FnMut(&'static str, i64), refused: usize, filtered: usize) {
    for (name, count) in [("tagwarden.outputs.refused", refused), ("tagwarden.outputs.filtered", filtered)] {
        set(name, i64::try_from(count).unwrap_or(i64::MAX));
    }
}

/// A method of the standards; any other is a word of the caller's.
fn method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "CONNECT" => "CONNECT",
        "OPTIONS" => "OPTIONS",
        "TRACE" => "TRACE",
        "PATCH" => "PATCH",
        _ => "_OTHER",
    }
}

/// The head of an upstream's answer is there.
pub(super) fn answered(span: &mut Child, protocol: Protocol, status: StatusCode) {
    span.set("http.response.status_code", i64::from(status.as_u16()));
    if protocol == Protocol::Http1 && status.as_u16() >= 400 {
        span.failed(status.as_str().to_owned());
    }
}

/// All of it is there, or it broke off.
pub(super) fn ended(span: &mut Child, protocol: Protocol, head: &HeaderMap, read: Result<&HeaderMap, &BodyError>) {
    let trailers = match read {
        Ok(trailers) => trailers,
        Err(BodyError::Timeout) => return span.failed("timeout"),
        Err(BodyError::TooLarge(_)) => return span.failed("too_large"),
        Err(BodyError::Broken(_)) => return span.failed("broken"),
    };
    if protocol == Protocol::Http2 {
        let number =
            trailers.get(&STATUS).or_else(|| head.get(&STATUS)).and_then(|value| value.to_str().ok()?.parse().ok());
        match number {
            Some(0) => span.set("rpc.response.status_code", "OK"),
            Some(number) => {
                let code = Code::of(number).name().to_ascii_uppercase();
                span.set("rpc.response.status_code", code.clone());
                span.failed(code);
            }
            None => span.failed("unreadable"),
        }
    }
}

impl Exchange<'_> {
    /// Ends the span of a request with its answer; `None`: its caller hung up.
    pub(super) fn end_trace(&mut self, answer: Option<&Response<Body>>) {
        let Some(mut trace) = self.trace.take() else { return };
        let span = &mut trace.span;
        if !span.is_recording() {
            return;
        }
        span.set("tagwarden.decision_id", self.decision_id.as_str().to_owned());
        span.set("tagwarden.generation", i64::try_from(self.generation).unwrap_or(i64::MAX));
        if let Some(decision) = trace.decision {
            span.set("tagwarden.decision", decision.name());
            counts(|name, count| span.set(name, count), trace.refused, trace.filtered);
        }
        if let Some((code, _)) = trace.failure {
            span.set("tagwarden.error.code", code);
        }
        let Some(answer) = answer else {
            span.failed("cancelled");
            return;
        };
        let status = super::status(answer);
        span.set("http.response.status_code", i64::from(answer.status().as_u16()));
        if let Form::Rpc(form) = self.form {
            let code = trace.failure.map(|(_, code)| code.name());
            let (system, code) = match form {
                rpc::Form::Grpc => ("grpc", Some(code.map_or_else(|| "OK".to_owned(), str::to_ascii_uppercase))),
                // Without an error it has no code.
                rpc::Form::Connect => ("connectrpc", code.map(str::to_owned)),
            };
            span.set("rpc.system.name", system);
            if self.metrics.route.starts_with('/') {
                span.set("rpc.method", self.metrics.route.trim_start_matches('/').to_owned());
            }
            if let Some(code) = code {
                span.set("rpc.response.status_code", code);
            }
        }
        if status >= 500 {
            span.failed(trace.failure.map_or("upstream", |(code, _)| code));
        }
    }
}
