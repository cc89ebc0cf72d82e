//! THE way of a request: route -> authenticate -> read -> decide -> rewrite -> forward -> filter -> answer.

pub mod body;
pub mod headers;
pub mod record;
pub mod respond;
pub mod route;
pub mod upstream;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use tokio::time::{Instant, timeout_at};

use crate::audit::Audit;
use crate::auth::{self, Caller, Refusal};
use crate::dialect::feast::{self, Answer, Outcome};
use crate::metrics::{Metrics, RouteMetrics};
use crate::snapshot::{Authorization, CallerTables, Decided, Snapshot};
use body::BodyError;
use respond::{Body, Failure};
use route::{Kind, Route};
use upstream::UpstreamError;

/// What all requests share.
#[derive(Debug)]
pub struct Proxy {
    /// The one pointer; a request loads it once.
    pub snapshot: ArcSwap<Snapshot>,
    /// Every family.
    pub metrics: Arc<Metrics>,
    /// Where decisions are logged.
    pub audit: Audit,
    /// Requests being served.
    pub inflight: AtomicUsize,
}

/// One of them; it ends when this is dropped, whether it was answered or its caller hung up.
struct InFlight<'p>(&'p Proxy);

impl<'p> InFlight<'p> {
    /// `None` where there are `most` already.
    fn begin(proxy: &'p Proxy, most: usize) -> Option<Self> {
        proxy.metrics.inflight.inc();
        let one = Self(proxy);
        (proxy.inflight.fetch_add(1, Ordering::Relaxed) < most).then_some(one)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.inflight.fetch_sub(1, Ordering::Relaxed);
        self.0.metrics.inflight.dec();
    }
}

/// What is known of a request on its way, for metrics and audit.
struct Exchange<'p> {
    proxy: &'p Proxy,
    metrics: RouteMetrics,
    decision_id: HeaderValue,
    started: Instant,
    upstream: Option<Duration>,
    decision: Option<Made>,
    /// The token was.
    verified: bool,
}

/// A decision that was made, until its line is written.
struct Made {
    snapshot: Arc<Snapshot>,
    caller: Caller,
    tables: Arc<CallerTables>,
    decided: Arc<Decided>,
    trace_id: Option<String>,
}

/// Answers one request. Never fails: every failure has its answer.
pub async fn handle(proxy: &Proxy, request: Request<Incoming>) -> Response<Body> {
    let snapshot = proxy.snapshot.load_full();
    let (parts, incoming) = request.into_parts();
    let route = snapshot.settings.routes.find(&parts.method, parts.uri.path());
    let metrics = route.as_ref().map_or(&snapshot.settings.routes.other, |route| &route.metrics).clone();
    let mut exchange = Exchange {
        proxy,
        metrics,
        decision_id: decision_id(),
        started: Instant::now(),
        upstream: None,
        decision: None,
        verified: false,
    };
    let in_flight = InFlight::begin(proxy, snapshot.settings.limits.inflight);
    let result = match (route, &in_flight) {
        (Err(failure), _) => Err(failure),
        (Ok(_), None) => Err(Failure::Overloaded),
        (Ok(route), Some(_)) => exchange.serve(&snapshot, route, &parts, incoming).await,
    };
    let response = exchange.answer(result);
    exchange.finish(response).await
}

impl Exchange<'_> {
    fn answer(&self, result: Result<Response<Body>, Failure>) -> Response<Body> {
        let mut response = result.unwrap_or_else(|failure| failure.response(&self.decision_id));
        response.headers_mut().insert(respond::DECISION_ID, self.decision_id.clone());
        response
    }

    /// Writes the audit line and the metrics.
    async fn finish(mut self, mut response: Response<Body>) -> Response<Body> {
        if let Some(made) = self.decision.take() {
            let line = made.line(&self, response.status().as_u16());
            if let Some(line) = line
                && self.proxy.audit.write(line).await.is_err()
            {
                // What cannot be recorded is not answered.
                response = self.answer(Err(Failure::Overloaded));
            }
        }
        self.metrics.finished(response.status().as_u16(), self.started.elapsed(), self.upstream);
        response
    }

    async fn serve(
        &mut self,
        snapshot: &Arc<Snapshot>,
        route: &Route,
        parts: &Parts,
        incoming: Incoming,
    ) -> Result<Response<Body>, Failure> {
        match &route.kind {
            Kind::Health => self.health(snapshot, parts).await,
            Kind::Pass { roles, public } => {
                if !*public {
                    let (_, tables) = self.caller(snapshot, &parts.headers).await?;
                    let holds =
                        |name: &String| tables.roles.iter().any(|role| snapshot.policy.role_name(*role) == name);
                    if roles.as_ref().is_some_and(|roles| !roles.iter().any(holds)) {
                        return Err(Failure::Forbidden);
                    }
                }
                self.pass(snapshot, parts, incoming).await
            }
            Kind::Query => self.query(snapshot, parts, incoming).await,
        }
    }

    /// Who sent the request, and what its roles may. Nothing of the body is read before.
    async fn caller(
        &mut self,
        snapshot: &Snapshot,
        headers: &HeaderMap,
    ) -> Result<(Caller, Arc<CallerTables>), Failure> {
        let settings = &snapshot.settings;
        let count = |result: &str| self.proxy.metrics.tokens.with_label_values(&[result]).inc();
        let verified = match auth::bearer(headers) {
            Ok(token) => settings.auth.authenticate_within(token, settings.limits.token_bytes, SystemTime::now()).await,
            Err(refusal) => Err(refusal),
        };
        let caller = verified.map_err(|refusal| match refusal {
            Refusal::Missing => {
                count("missing");
                Failure::Unauthorized { sent: false }
            }
            Refusal::Invalid { reason } => {
                count("invalid");
                tracing::debug!(reason, "a token is refused");
                Failure::Unauthorized { sent: true }
            }
            Refusal::Expired => {
                count("expired");
                Failure::TokenExpired
            }
            Refusal::KeysUnavailable { retry_after } => {
                count("keys_unavailable");
                Failure::KeysUnavailable { retry_after }
            }
        })?;
        count("valid");
        self.verified = true;
        let tables = snapshot.tables_of(&caller).ok_or(Failure::Forbidden)?;
        Ok((caller, tables))
    }

    /// Feast's online query.
    async fn query(
        &mut self,
        snapshot: &Arc<Snapshot>,
        parts: &Parts,
        incoming: Incoming,
    ) -> Result<Response<Body>, Failure> {
        let settings = &snapshot.settings;
        let (caller, tables) = self.caller(snapshot, &parts.headers).await?;
        content(&parts.headers)?;
        let body = self.request_body(snapshot, incoming).await?;
        let request = feast::read(&body).map_err(|invalid| Failure::InvalidQuery(invalid.0))?;

        let decided = snapshot.decide(&tables, &request);
        let permit = match &decided.plan.outcome {
            Outcome::Invalid(invalid) => return Err(Failure::InvalidQuery(invalid.0.clone())),
            Outcome::Refuse(names) => {
                self.decided(snapshot, caller, tables, &decided, &parts.headers);
                let members = settings.name_members && decided.plan.service.is_some();
                let named = decided.plan.refused.iter().map(|refusal| refusal.feature.clone());
                let all = names.iter().cloned().chain(named.filter(|_| members)).collect();
                return Err(Failure::FeaturesRefused(all));
            }
            Outcome::Permit(permit) => {
                self.decided(snapshot, caller, tables, &decided, &parts.headers);
                permit
            }
        };

        let forwarded = feast::rewrite(&body, &request, permit);
        let mut upstream = Request::new(Full::new(Bytes::from(forwarded)));
        *upstream.method_mut() = Method::POST;
        let json = HeaderValue::from_static("application/json");
        upstream.headers_mut().insert(header::CONTENT_TYPE, json.clone());
        upstream.headers_mut().insert(header::ACCEPT, json.clone());
        let (head, answer) = self.forward(snapshot, parts, upstream, feast::QUERY_PATH, true).await?;

        let unreadable = |why: &str| {
            self.proxy.metrics.upstream_errors.with_label_values(&["unreadable"]).inc();
            tracing::warn!(
                decision_id = self.decision_id.to_str().unwrap_or_default(),
                why,
                "an answer is not passed on"
            );
            Failure::UpstreamUnreadable
        };
        if head.status != StatusCode::OK
            || !is_json(&head.headers)
            || head.headers.contains_key(header::CONTENT_ENCODING)
        {
            return Err(unreadable("it is not a plain 200 in JSON"));
        }
        let filtered = feast::filter(&answer, &request, permit).map_err(|why| unreadable(&why.0))?;
        let body = match filtered {
            Answer::AsItCame => answer,
            Answer::Cut { body, dropped } => {
                self.metrics.dropped.inc_by(u64::try_from(dropped).unwrap_or(0));
                Bytes::from(body)
            }
        };
        let mut response = answer_head(&head);
        *response.body_mut() = Full::new(body);
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        if decided.plan.mode == crate::policy::settings::Mode::Filter {
            response.headers_mut().insert(respond::FILTERED, HeaderValue::from(permit.filtered));
        }
        Ok(response)
    }

    fn decided(
        &mut self,
        snapshot: &Arc<Snapshot>,
        caller: Caller,
        tables: Arc<CallerTables>,
        decided: &Arc<Decided>,
        headers: &HeaderMap,
    ) {
        match &decided.plan.outcome {
            Outcome::Permit(permit) if permit.filtered > 0 => self.metrics.filtered.inc(),
            Outcome::Permit(_) => self.metrics.permitted.inc(),
            Outcome::Refuse(_) | Outcome::Invalid(_) => self.metrics.refused.inc(),
        }
        for refusal in &decided.plan.refused {
            self.proxy.metrics.outputs_refused.with_label_values(&[refusal.permission.name()]).inc();
        }
        let traceparent = headers.get("traceparent").and_then(|value| value.to_str().ok());
        self.decision = Some(Made {
            snapshot: Arc::clone(snapshot),
            caller,
            tables,
            decided: Arc::clone(decided),
            trace_id: traceparent.and_then(record::trace_id).map(str::to_owned),
        });
    }

    /// The upstream's health: its status and nothing else.
    async fn health(&mut self, snapshot: &Arc<Snapshot>, parts: &Parts) -> Result<Response<Body>, Failure> {
        let mut upstream = Request::new(Full::default());
        *upstream.method_mut() = Method::GET;
        let (head, _) = self.forward(snapshot, parts, upstream, feast::HEALTH_PATH, true).await?;
        let mut response = Response::new(Full::default());
        *response.status_mut() = head.status;
        Ok(response)
    }

    /// A configured route: passed on with its query string, without what says who asks.
    async fn pass(
        &mut self,
        snapshot: &Arc<Snapshot>,
        parts: &Parts,
        incoming: Incoming,
    ) -> Result<Response<Body>, Failure> {
        if parts.headers.contains_key(header::CONTENT_ENCODING) {
            return Err(Failure::Unsupported("A request body with a Content-Encoding is not read"));
        }
        let body = self.request_body(snapshot, incoming).await?;
        let mut upstream = Request::new(Full::new(body));
        *upstream.method_mut() = parts.method.clone();
        for name in [header::CONTENT_TYPE, header::ACCEPT] {
            if let Some(value) = parts.headers.get(&name) {
                upstream.headers_mut().insert(name, value.clone());
            }
        }
        let path = parts.uri.path_and_query().map_or_else(|| parts.uri.path(), |path| path.as_str());
        let safe = parts.method == Method::GET || parts.method == Method::HEAD;
        let (head, answer) = self.forward(snapshot, parts, upstream, path, safe).await?;
        let mut response = answer_head(&head);
        *response.body_mut() = Full::new(answer);
        for name in [header::CONTENT_TYPE, header::CONTENT_ENCODING] {
            if let Some(value) = head.headers.get(&name) {
                response.headers_mut().insert(name, value.clone());
            }
        }
        Ok(response)
    }

    async fn request_body(&self, snapshot: &Snapshot, incoming: Incoming) -> Result<Bytes, Failure> {
        let limits = &snapshot.settings.limits;
        let deadline = self.started + limits.body_timeout;
        body::read(incoming, limits.request_body, deadline).await.map_err(|error| match error {
            BodyError::TooLarge(_) => Failure::BodyTooLarge,
            BodyError::Timeout => Failure::RequestTimeout,
            BodyError::Broken(_) => Failure::InvalidQuery("the body broke off".to_owned()),
        })
    }

    /// Sends what was checked and reads the whole answer. An error's body is replaced: it can carry values.
    async fn forward(
        &mut self,
        snapshot: &Snapshot,
        parts: &Parts,
        mut request: Request<Full<Bytes>>,
        path: &str,
        read: bool,
    ) -> Result<(hyper::http::response::Parts, Bytes), Failure> {
        let settings = &snapshot.settings;
        let count = |kind: &str| self.proxy.metrics.upstream_errors.with_label_values(&[kind]).inc();
        let Some(uri) = settings.upstream.uri(path) else { return Err(Failure::NotFound) };
        *request.uri_mut() = uri;
        let listed = headers::listed(&parts.headers);
        for (name, value) in &parts.headers {
            if headers::request_passes(name, &listed) {
                request.headers_mut().append(name, value.clone());
            }
        }
        match &settings.authorization {
            Authorization::Drop => {}
            // What nobody verified is nobody's.
            Authorization::Forward if !self.verified => {}
            Authorization::Forward => {
                if let Some(value) = parts.headers.get(header::AUTHORIZATION) {
                    request.headers_mut().insert(header::AUTHORIZATION, value.clone());
                }
            }
            Authorization::Own(value) => {
                request.headers_mut().insert(header::AUTHORIZATION, value.clone());
            }
        }
        let sent = Instant::now();
        let deadline = sent + settings.upstream_timeout;
        let result = async {
            let response = match timeout_at(deadline, settings.upstream.send(request, read)).await {
                Ok(Ok(response)) => response,
                Ok(Err(UpstreamError::Connect(why))) => {
                    count("connect");
                    tracing::warn!(why, "the upstream cannot be reached");
                    return Err(Failure::UpstreamFailed(None));
                }
                Ok(Err(UpstreamError::Broken(why))) => {
                    count("broken");
                    tracing::warn!(why, "the upstream broke off");
                    return Err(Failure::UpstreamFailed(None));
                }
                Err(_) => {
                    count("timeout");
                    return Err(Failure::UpstreamTimeout);
                }
            };
            let (head, body) = response.into_parts();
            let answer =
                body::read(body, settings.limits.response_body, deadline).await.map_err(|error| match error {
                    BodyError::TooLarge(_) => {
                        count("too_large");
                        Failure::UpstreamUnreadable
                    }
                    BodyError::Timeout => {
                        count("timeout");
                        Failure::UpstreamTimeout
                    }
                    BodyError::Broken(why) => {
                        count("broken");
                        tracing::warn!(%why, "the upstream broke off within its answer");
                        Failure::UpstreamFailed(None)
                    }
                })?;
            Ok((head, answer))
        }
        .await;
        self.upstream = Some(sent.elapsed());
        let (head, answer) = result?;
        if head.status.is_success() {
            return Ok((head, answer));
        }
        count("status");
        let decision_id = self.decision_id.to_str().unwrap_or_default();
        let original = String::from_utf8_lossy(answer.get(..4096).unwrap_or(&answer));
        tracing::debug!(decision_id, status = head.status.as_u16(), %original, "the upstream answers with an error");
        let passed = head.status.is_client_error() || head.status.is_server_error();
        Err(Failure::UpstreamFailed(passed.then_some(head.status)))
    }
}

impl Made {
    /// The line, unless it is one of the permitted that are not sampled.
    fn line(&self, exchange: &Exchange<'_>, status: u16) -> Option<Vec<u8>> {
        let id = exchange.decision_id.to_str().unwrap_or_default();
        let permitted = self.decided.plan.refused.is_empty() && matches!(self.decided.plan.outcome, Outcome::Permit(_));
        if permitted && !sampled(id, self.snapshot.settings.audit_permitted) {
            return None;
        }
        let duration = exchange.started.elapsed();
        let (route, trace_id) = (exchange.metrics.route.as_str(), self.trace_id.as_deref());
        let (caller, tables) = (&self.caller, &self.tables);
        Some(record::line(&self.snapshot, caller, tables, &self.decided, id, route, trace_id, status, duration))
    }
}

impl Drop for Exchange<'_> {
    /// A caller that hung up leaves a line all the same: status 499, nothing was answered.
    fn drop(&mut self) {
        if let Some(made) = self.decision.take()
            && let Some(line) = made.line(self, 499)
        {
            let audit = self.proxy.audit.clone();
            tokio::spawn(async move { audit.write(line).await });
        }
    }
}

/// Whether a decision is among the share that is logged: by its random id.
fn sampled(decision_id: &str, share: f64) -> bool {
    let head = decision_id.get(..8).and_then(|head| u32::from_str_radix(head, 16).ok()).unwrap_or(0);
    f64::from(head) < share * 4_294_967_296.0
}

/// 128 random bits in hex.
fn decision_id() -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut random = [0u8; 16];
    if aws_lc_rs::rand::fill(&mut random).is_err() {
        return HeaderValue::from_static("00000000000000000000000000000000");
    }
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
    let hex: Vec<u8> = random.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
    HeaderValue::from_bytes(&hex).unwrap_or_else(|_| HeaderValue::from_static("00000000000000000000000000000000"))
}

/// The media type of a request that is read: JSON in UTF-8, not encoded.
fn content(headers: &HeaderMap) -> Result<(), Failure> {
    let identity = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if !headers.get_all(header::CONTENT_ENCODING).iter().all(identity) {
        return Err(Failure::Unsupported("A request body with a Content-Encoding is not read"));
    }
    if headers.get_all(header::CONTENT_TYPE).iter().count() == 1 && is_json(headers) {
        Ok(())
    } else {
        Err(Failure::Unsupported("The request body must have the Content-Type application/json"))
    }
}

/// `application/json` or `application/…+json`, in UTF-8.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let mut parts = value.split(';').map(|part| part.trim().to_ascii_lowercase());
    let media = parts.next().unwrap_or_default();
    let json = media == "application/json" || (media.starts_with("application/") && media.ends_with("+json"));
    json && parts
        .all(|part| !part.starts_with("charset") || matches!(part.as_str(), "charset=utf-8" | "charset=\"utf-8\""))
}

/// The upstream's head without what is of its hop, vouches for its bytes, or speaks for us.
fn answer_head(head: &hyper::http::response::Parts) -> Response<Body> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = head.status;
    let listed = headers::listed(&head.headers);
    for (name, value) in &head.headers {
        if headers::answer_passes(name, &listed) {
            response.headers_mut().append(name, value.clone());
        }
    }
    response
}
