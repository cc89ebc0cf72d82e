//! To the upstream and back: what was checked is sent, the whole answer is read, an error's body is replaced.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Body as _;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use tokio::time::{Instant, timeout_at};

use crate::config::Dialect;
use crate::dialect::chalk::headers::Read as Said;
use crate::proxy::Exchange;
use crate::proxy::body::{self, BodyError, Incoming, Passing, passing};
use crate::proxy::respond::{Body, Failure};
use crate::proxy::{chalk, headers, rpc, spans};
use crate::snapshot::{Authorization, Snapshot};
use crate::trace::Child;
use crate::upstream::{Answer, Make, Protocol, Upstream, UpstreamError};

/// Room for the headers that most requests take upstream, so that it is not made while they are put there.
pub(super) const HEADERS: usize = 12;

/// The way of one request upstream.
struct Way<'w> {
    to: &'w Upstream,
    path: &'w str,
    protocol: Protocol,
    /// It may be sent twice.
    read: bool,
    /// When its caller waits no longer.
    until: Option<Instant>,
    /// It goes with the token that the upstream sees.
    authorized: bool,
}

/// An answer of which the head is there.
struct Begun {
    response: Response<Answer>,
    /// Ends when all of it was read.
    span: Option<Child>,
    sent: Instant,
    /// Until when all of it has to be there.
    deadline: Instant,
}

/// A method of the upstream that is called.
#[derive(Clone, Copy)]
pub(super) struct Callee<'w> {
    pub to: &'w Upstream,
    pub path: &'w str,
    /// It may be called twice.
    pub read: bool,
    /// As a caller, or with our own credential; else without a token of anybody.
    pub authorized: bool,
}

impl Exchange<'_> {
    /// The upstream's health: its status and nothing else.
    pub(super) async fn health(&mut self, snapshot: &Snapshot, parts: &Parts) -> Result<Response<Body>, Failure> {
        let upstream = || Request::new(Full::default());
        let (head, _) = match snapshot.settings.dialect {
            Dialect::Chalk => self.forward_engine(snapshot, parts, &upstream).await?,
            // Its engine speaks gRPC alone.
            Dialect::Feast | Dialect::Json => self.forward(snapshot, parts, &upstream, parts.uri.path(), true).await?,
        };
        let mut response = Response::new(Body::default());
        *response.status_mut() = head.status;
        Ok(response)
    }

    /// A configured route: passed on with its query string, without what says who asks. `said`: what goes to a Chalk server
    /// of its own headers.
    pub(super) async fn pass(
        &mut self,
        snapshot: &Snapshot,
        parts: &Parts,
        said: Option<&Said>,
        incoming: Incoming,
    ) -> Result<Response<Body>, Failure> {
        if parts.headers.contains_key(header::CONTENT_ENCODING) {
            return Err(Failure::Unsupported("A request body with a Content-Encoding is not read"));
        }
        let body = self.request_body(snapshot, incoming).await?;
        let upstream = || {
            let mut upstream = Request::new(Full::new(body.clone()));
            *upstream.method_mut() = parts.method.clone();
            for name in [header::CONTENT_TYPE, header::ACCEPT] {
                if let Some(value) = parts.headers.get(&name) {
                    upstream.headers_mut().insert(name, value.clone());
                }
            }
            if let Some(said) = said {
                chalk::put(&mut upstream, said);
            }
            upstream
        };
        let path = parts.uri.path_and_query().map_or_else(|| parts.uri.path(), |path| path.as_str());
        let safe = parts.method == Method::GET || parts.method == Method::HEAD;
        let (to, cap) = (&snapshot.settings.upstream, snapshot.settings.limits.response_body);
        let way = Way { to, path, protocol: Protocol::Http1, read: safe, until: None, authorized: true };
        let begun = self.begin(snapshot, parts, &upstream, &way).await?;
        let announced = begun.response.body().size_hint();
        let fits = usize::try_from(announced.lower()).is_ok_and(|least| least <= cap);
        let small = announced.exact().is_some_and(|length| length <= passing::SMALL as u64);
        if !begun.response.status().is_success() || !fits || small {
            let (head, answer, _) = self.whole(begun, cap, way.protocol).await?;
            return Ok(answer_as_it_came(head, answer));
        }
        // Nothing of it is looked at.
        let (head, mut answer) = begun.response.into_parts();
        let body = match passing::begin(&mut answer, cap).await.map_err(|error| self.unread(error))? {
            passing::Begun::Whole(pieces) => pieces.into(),
            passing::Begun::Part(pieces) => {
                let metrics = Arc::clone(&self.proxy.metrics);
                let request = (self.decision_id, self.trace_id);
                Body::Passing(Box::new(Passing::new(pieces, answer, cap, begun.deadline, request, metrics)))
            }
        };
        Ok(answer_as_it_came(head, body))
    }

    /// Sends what was checked and reads the whole answer. An error's body is replaced: it can carry values.
    pub(super) async fn forward(
        &mut self,
        snapshot: &Snapshot,
        parts: &Parts,
        request: Make<'_>,
        path: &str,
        read: bool,
    ) -> Result<(hyper::http::response::Parts, Bytes), Failure> {
        let to = &snapshot.settings.upstream;
        let way = Way { to, path, protocol: Protocol::Http1, read, until: None, authorized: true };
        let (head, answer, _) = self.exchange(snapshot, parts, request, &way).await?;
        Ok((head, answer))
    }

    /// The same without a token of anybody, to where tokens are issued. It is sent once: attempts are counted there.
    pub(super) async fn forward_unauthorized(
        &mut self,
        snapshot: &Snapshot,
        parts: &Parts,
        request: Make<'_>,
    ) -> Result<(hyper::http::response::Parts, Bytes), Failure> {
        let (to, path) = (&snapshot.settings.upstream, parts.uri.path());
        let way = Way { to, path, protocol: Protocol::Http1, read: false, until: None, authorized: false };
        let (head, answer, _) = self.exchange(snapshot, parts, request, &way).await?;
        Ok((head, answer))
    }

    /// The same, to where queries go.
    pub(super) async fn forward_engine(
        &mut self,
        snapshot: &Snapshot,
        parts: &Parts,
        request: Make<'_>,
    ) -> Result<(hyper::http::response::Parts, Bytes), Failure> {
        let way = Way {
            to: &snapshot.settings.engine,
            path: parts.uri.path(),
            protocol: Protocol::Http1,
            read: true,
            until: None,
            authorized: true,
        };
        let (head, answer, _) = self.exchange(snapshot, parts, request, &way).await?;
        Ok((head, answer))
    }

    /// Calls a method of the upstream with a [`rpc::request`] of what was checked, for no longer than its caller waits.
    /// The answer is as it came, and an error's text is replaced.
    pub(super) async fn call(
        &mut self,
        snapshot: &Snapshot,
        parts: &Parts,
        call: &rpc::Call,
        callee: Callee<'_>,
        request: Make<'_>,
    ) -> Result<rpc::Answer, Failure> {
        let until = call.within.and_then(|within| self.started.checked_add(within));
        let way = Way {
            to: callee.to,
            path: callee.path,
            read: callee.read,
            authorized: callee.authorized,
            protocol: Protocol::Http2,
            until,
        };
        let (head, body, trailers) = self.exchange(snapshot, parts, request, &way).await?;
        rpc::answer(&head, &body, &trailers).map_err(|stopped| match stopped {
            rpc::Stopped::Unreadable(unreadable) => self.withheld(&unreadable),
            rpc::Stopped::Status { code, message, trace_id: theirs } => {
                self.proxy.metrics.upstream_errors.with_label_values(&["status"]).inc();
                let (decision_id, trace_id) = (self.decision_id.as_str(), self.trace_id());
                tracing::debug!(
                    decision_id,
                    trace_id,
                    code = code.name(),
                    message,
                    "the upstream answers with an error"
                );
                Failure::UpstreamStatus { code, trace_id: theirs }
            }
        })
    }

    /// The answer to a call, as its caller reads it.
    pub(super) async fn answer_call(&self, call: &rpc::Call, answer: rpc::Answer) -> Result<Response<Body>, Failure> {
        rpc::answered(call, answer).await.map_err(|unreadable| self.withheld(&unreadable))
    }

    async fn exchange(
        &mut self,
        snapshot: &Snapshot,
        parts: &Parts,
        request: Make<'_>,
        way: &Way<'_>,
    ) -> Result<(hyper::http::response::Parts, Bytes, HeaderMap), Failure> {
        let begun = self.begin(snapshot, parts, request, way).await?;
        let most = snapshot.settings.limits.response_body;
        let cap = match way.protocol {
            Protocol::Http1 => most,
            Protocol::Http2 => most.saturating_add(rpc::PREFIX),
        };
        self.whole(begun, cap, way.protocol).await
    }

    /// The head of the answer.
    async fn begin(
        &mut self,
        snapshot: &Snapshot,
        parts: &Parts,
        request: Make<'_>,
        way: &Way<'_>,
    ) -> Result<Begun, Failure> {
        let settings = &snapshot.settings;
        let authorization = match &settings.authorization {
            Authorization::Drop => None,
            _ if !way.authorized => None,
            // What nobody verified is nobody's.
            Authorization::Forward if !self.verified => None,
            Authorization::Forward => parts.headers.get(header::AUTHORIZATION),
            Authorization::Own(value) => Some(value),
        };
        let listed = headers::listed(&parts.headers);
        let mut span = self
            .trace
            .as_ref()
            .map(|trace| trace.call(way.to, way.path, request().method(), way.protocol, &self.metrics.route));
        let traced = self.trace.as_ref().zip(span.as_ref());
        let request = || {
            let mut request = request();
            for (name, value) in &parts.headers {
                if headers::request_passes(name, &listed) {
                    request.headers_mut().append(name, value.clone());
                }
            }
            if let Some(value) = authorization {
                request.headers_mut().insert(header::AUTHORIZATION, value.clone());
            }
            if let Some((trace, span)) = traced {
                trace.span.propagate(span, request.headers_mut());
            }
            request
        };
        // Those that are ready are sent together: it is the first that wakes the upstream, and costs what that costs.
        tokio::task::yield_now().await;
        let sent = Instant::now();
        let deadline = sent + settings.upstream_timeout;
        let deadline = way.until.map_or(deadline, |until| until.min(deadline));
        if deadline <= sent {
            return Err(Failure::UpstreamTimeout);
        }
        let response = timeout_at(deadline, way.to.send(&request, way.path, way.protocol, way.read)).await;
        self.upstream = Some(sent.elapsed());
        let (decision_id, trace_id) = (self.decision_id.as_str(), self.trace_id());
        let mut failed = |kind: &'static str| {
            self.proxy.metrics.upstream_errors.with_label_values(&[kind]).inc();
            if let Some(span) = &mut span {
                span.failed(kind);
            }
        };
        let response = match response {
            Ok(Ok(response)) => response,
            Ok(Err(UpstreamError::Path)) => return Err(Failure::NotFound),
            Ok(Err(UpstreamError::Connect(why))) => {
                failed("connect");
                tracing::warn!(decision_id, trace_id, why, "the upstream cannot be reached");
                return Err(Failure::UpstreamFailed(None));
            }
            Ok(Err(UpstreamError::Broken(why))) => {
                failed("broken");
                tracing::warn!(decision_id, trace_id, why, "the upstream broke off");
                return Err(Failure::UpstreamFailed(None));
            }
            Err(_) => {
                failed("timeout");
                tracing::warn!(decision_id, trace_id, "the upstream does not answer in time");
                return Err(Failure::UpstreamTimeout);
            }
        };
        if let Some(span) = &mut span {
            spans::answered(span, way.protocol, response.status());
        }
        Ok(Begun { response, span, sent, deadline })
    }

    /// The whole answer. An error's body is replaced.
    async fn whole(
        &mut self,
        begun: Begun,
        cap: usize,
        protocol: Protocol,
    ) -> Result<(hyper::http::response::Parts, Bytes, HeaderMap), Failure> {
        let Begun { response, mut span, sent, deadline } = begun;
        let (head, body) = response.into_parts();
        let read = body::collect_until(body, cap, deadline).await;
        self.upstream = Some(sent.elapsed());
        if let Some(span) = &mut span {
            spans::ended(span, protocol, &head.headers, read.as_ref().map(|(_, trailers)| trailers));
        }
        drop(span);
        let (answer, trailers) = read.map_err(|error| self.unread(error))?;
        if head.status.is_success() {
            return Ok((head, answer, trailers));
        }
        self.proxy.metrics.upstream_errors.with_label_values(&["status"]).inc();
        let (decision_id, trace_id) = (self.decision_id.as_str(), self.trace_id());
        let original = String::from_utf8_lossy(answer.get(..4096).unwrap_or(&answer));
        tracing::debug!(decision_id, trace_id, status = head.status.as_u16(), %original, "the upstream answers with an error");
        let passed = head.status.is_client_error() || head.status.is_server_error();
        Err(Failure::UpstreamFailed(passed.then_some(head.status)))
    }

    /// An answer that did not come whole.
    fn unread(&self, error: BodyError) -> Failure {
        let (kind, failure) = match &error {
            BodyError::TooLarge(_) => ("too_large", Failure::UpstreamUnreadable),
            BodyError::Timeout => ("timeout", Failure::UpstreamTimeout),
            BodyError::Broken(why) => {
                let (decision_id, trace_id) = (self.decision_id.as_str(), self.trace_id());
                tracing::warn!(decision_id, trace_id, %why, "the upstream broke off within its answer");
                ("broken", Failure::UpstreamFailed(None))
            }
        };
        self.proxy.metrics.upstream_errors.with_label_values(&[kind]).inc();
        failure
    }
}

/// The media type of a request that is read: JSON in UTF-8, not encoded.
pub(super) fn content(headers: &HeaderMap) -> Result<(), Failure> {
    unencoded(headers)?;
    if headers.get_all(header::CONTENT_TYPE).iter().count() == 1 && is_json(headers) {
        Ok(())
    } else {
        Err(Failure::Unsupported("The request body must have the Content-Type application/json"))
    }
}

/// The same of a body of bytes, which its clients may call what it is.
pub(super) fn bytes(headers: &HeaderMap) -> Result<(), Failure> {
    let mut kinds = headers.get_all(header::CONTENT_TYPE).iter();
    match (kinds.next(), kinds.next()) {
        (Some(kind), None) if kind == "application/octet-stream" => unencoded(headers),
        _ => content(headers),
    }
}

fn unencoded(headers: &HeaderMap) -> Result<(), Failure> {
    let identity = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get_all(header::CONTENT_ENCODING).iter().all(identity) {
        Ok(())
    } else {
        Err(Failure::Unsupported("A request body with a Content-Encoding is not read"))
    }
}

/// A 200 whose body is not encoded.
pub(super) fn is_plain(head: &hyper::http::response::Parts) -> bool {
    head.status == StatusCode::OK && !head.headers.contains_key(header::CONTENT_ENCODING)
}

/// `application/json` or `application/…+json`, in UTF-8.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return false };
    if value == "application/json" {
        return true;
    }
    let Ok(value) = value.to_str() else { return false };
    let mut parts = value.split(';').map(|part| part.trim().to_ascii_lowercase());
    let media = parts.next().unwrap_or_default();
    let json = media == "application/json" || (media.starts_with("application/") && media.ends_with("+json"));
    json && parts
        .all(|part| !part.starts_with("charset") || matches!(part.as_str(), "charset=utf-8" | "charset=\"utf-8\""))
}

/// The upstream's head without what is of its hop, vouches for its bytes, or speaks for us.
pub(super) fn answer_head(head: hyper::http::response::Parts) -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    headers::keep_answers(response.headers_mut());
    response
}

/// An answer byte for byte.
pub(super) fn answer_as_it_came(mut head: hyper::http::response::Parts, answer: impl Into<Body>) -> Response<Body> {
    let vouched = [header::CONTENT_TYPE, header::CONTENT_ENCODING]
        .map(|name| head.headers.remove(&name).map(|value| (name, value)));
    let mut response = answer_head(head);
    *response.body_mut() = answer.into();
    response.headers_mut().extend(vouched.into_iter().flatten());
    response
}
