//! THE way of a request: route -> authenticate -> read -> decide -> rewrite -> forward -> filter -> answer.

pub mod body;
mod caller;
mod chalk;
mod feast;
mod forward;
pub mod headers;
mod json;
mod own;
pub mod record;
pub mod respond;
pub mod route;
pub mod rpc;
mod spans;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use bytes::Bytes;
use hyper::body::Body as _;
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use tokio::time::Instant;

use crate::audit::Audit;
use crate::auth::{Caller, PeerCertificate};
use crate::config::{Dialect, Enforcement};
use crate::dialect::{Decision, Invalid, Outcome, Query, Unreadable};
use crate::metrics::{Metrics, RouteMetrics};
use crate::policy::Permission;
use crate::snapshot::{CallerTables, Decided, Snapshot};
use crate::trace::{Parent, TraceId, Tracer};
use body::{BodyError, Incoming};
use caller::Asked;
use record::{DecisionId, Line, Made};
use respond::{Body, Failure, Form};
use route::{Kind, Route};
use spans::Trace;

/// Bytes of an answer that may wait for those of other requests; it would cost more to have left larger ones for a while.
const TOGETHER: u64 = 16 << 10;

/// What all requests share.
#[derive(Debug)]
pub struct Proxy {
    /// The one pointer; a request loads it once.
    pub snapshot: ArcSwap<Snapshot>,
    /// Every family.
    pub metrics: Arc<Metrics>,
    /// Where decisions are logged.
    pub audit: Audit<Line>,
    /// Requests being served.
    pub inflight: AtomicUsize,
    /// Makes spans, where `tracing.otlp` asks for them.
    pub tracer: Option<Arc<Tracer>>,
}

/// One of them; it ends when this is dropped, whether it was answered or its caller hung up.
struct InFlight(Arc<Proxy>);

impl InFlight {
    /// `None` where there are `most` already.
    fn begin(proxy: &Arc<Proxy>, most: usize) -> Option<Self> {
        proxy.metrics.inflight.inc();
        let one = Self(Arc::clone(proxy));
        (proxy.inflight.fetch_add(1, Ordering::Relaxed) < most).then_some(one)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.inflight.fetch_sub(1, Ordering::Relaxed);
        self.0.metrics.inflight.dec();
    }
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'p> {
    /// Where it is.
    pub address: IpAddr,
    /// The client certificate that it showed.
    pub certificate: Option<&'p PeerCertificate>,
}

/// What is known of a request on its way, for metrics and audit.
struct Exchange<'p> {
    proxy: &'p Proxy,
    peer: Peer<'p>,
    metrics: &'p Arc<RouteMetrics>,
    decision_id: DecisionId,
    /// In which form a failure is told.
    form: Form,
    started: Instant,
    upstream: Option<Duration>,
    /// One for each query of the request.
    decisions: VecDeque<Made>,
    /// The token, or the certificate, was.
    verified: bool,
    generation: u64,
    /// Of a valid `traceparent`, or of our own span.
    trace_id: Option<TraceId>,
    trace: Option<Box<Trace>>,
}

/// Answers one request, on a connection from there. Never fails: every failure has its answer.
pub async fn handle(
    proxy: &Arc<Proxy>,
    peer: Peer<'_>,
    request: hyper::Request<hyper::body::Incoming>,
) -> Response<Body> {
    let snapshot = proxy.snapshot.load_full();
    let (parts, incoming) = request.into_parts();
    let (started, limits) = (Instant::now(), &snapshot.settings.limits);
    let coded = body::is_coded(&incoming, &parts);
    let incoming = Incoming::new(incoming, &parts, limits.request_body, started + limits.body_timeout);
    let route = match parts.uri.scheme_str() {
        None | Some("http" | "https") => snapshot.settings.routes.find(&parts.method, parts.uri.path()),
        Some(_) => Err(Failure::NotFound),
    };
    let metrics = route.as_ref().map_or(&snapshot.settings.routes.other, |route| &route.metrics);
    let parent = Parent::of(&parts.headers);
    let begin = |tracer: &Arc<Tracer>| Trace::begin(tracer, &parts, parent.as_ref(), route.as_ref().ok().copied());
    let trace = proxy.tracer.as_ref().map(begin);
    let mut exchange = Exchange {
        proxy,
        peer,
        metrics,
        decision_id: DecisionId::random(),
        form: route::form(&snapshot, &parts, route.as_ref().ok().map(|route| &route.kind)),
        started,
        upstream: None,
        decisions: VecDeque::new(),
        verified: false,
        generation: snapshot.generation,
        trace_id: trace.as_ref().map(|trace| trace.span.trace_id()).or(parent.map(|parent| parent.trace_id)),
        trace,
    };
    let in_flight = InFlight::begin(proxy, limits.inflight);
    let unfit = unfit(&parts, coded);
    let ends = unfit.is_some();
    let result = match (unfit, route, &in_flight) {
        (Some(failure), _, _) | (None, Err(failure), _) => Err(failure),
        (None, Ok(_), None) => Err(Failure::Overloaded),
        (None, Ok(route), Some(_)) => exchange.serve(&snapshot, route, &parts, incoming).await,
    };
    exchange.finish(result, ends, in_flight).await
}

/// What a request is refused for whatever it asks: where it ends, or whom it is for, is read in two ways. Its connection ends
/// with it.
fn unfit(parts: &Parts, coded: bool) -> Option<Failure> {
    if coded {
        return Some(Failure::Unsupported("A request body with a Transfer-Encoding other than chunked is not read"));
    }
    headers::unfit_host(parts).map(|wrong| Failure::InvalidQuery(wrong.to_owned()))
}

impl Exchange<'_> {
    /// Tells the log and the span. The names of what is refused are the caller's and the audit's.
    fn failed(&mut self, failure: &Failure) {
        let (decision_id, trace_id) = (self.decision_id.as_str(), self.trace_id());
        tracing::debug!(decision_id, trace_id, code = failure.code(), "a request is not served");
        if let Some(trace) = &mut self.trace {
            trace.failed(failure);
        }
    }

    fn answer(&self, result: Result<Response<Body>, Failure>) -> Response<Body> {
        let id = self.decision_id.header();
        let mut response = result.unwrap_or_else(|failure| failure.response_in(self.form, &id));
        response.headers_mut().insert(respond::DECISION_ID, id);
        response
    }

    /// Answers, hands the audit lines over, and counts. `ends`: so does the connection.
    async fn finish(
        mut self,
        result: Result<Response<Body>, Failure>,
        ends: bool,
        in_flight: Option<InFlight>,
    ) -> Response<Body> {
        if let Err(failure) = &result {
            self.failed(failure);
        }
        let mut response = self.answer(result);
        let ended = Instant::now();
        while let Some(made) = self.decisions.front() {
            if !made.is_logged(&self.decision_id) {
                self.decisions.pop_front();
                continue;
            }
            // The place first: of a caller that hangs up meanwhile there is a line all the same.
            let Ok(place) = self.proxy.audit.place().await else {
                // What cannot be recorded is not answered.
                self.decisions.clear();
                self.failed(&Failure::Overloaded);
                response = self.answer(Err(Failure::Overloaded));
                break;
            };
            if let Some(made) = self.decisions.pop_front() {
                place.send(self.line(made, status(&response), ended));
            }
        }
        self.metrics.finished(status(&response), ended - self.started, self.upstream);
        self.end_trace(Some(&response));
        drop(self);
        if ends {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if response.body().size_hint().upper().is_some_and(|bytes| bytes <= TOGETHER) {
            // Those that are ready are answered together: it is the first that wakes the other end, and costs what that costs.
            tokio::task::yield_now().await;
        }
        if let Body::Passing(passing) = response.body_mut() {
            passing.hold(in_flight);
        }
        response
    }

    fn line(&self, made: Made, status: u16, ended: Instant) -> Line {
        let (duration, time) = (ended - self.started, SystemTime::now());
        Line { made, decision_id: self.decision_id, route: Arc::clone(self.metrics), status, duration, time }
    }

    async fn serve(
        &mut self,
        snapshot: &Arc<Snapshot>,
        route: &Route,
        parts: &Parts,
        incoming: Incoming,
    ) -> Result<Response<Body>, Failure> {
        match &route.kind {
            Kind::Health => Box::pin(self.health(snapshot, parts)).await,
            Kind::Pass { roles, public } => {
                let tables = if *public {
                    None
                } else {
                    let asked = self.asked(snapshot, &parts.headers).await?;
                    self.is_for(snapshot, &asked, roles.as_deref())?;
                    Some(asked.tables)
                };
                let said = match snapshot.settings.dialect {
                    Dialect::Feast | Dialect::Json => None,
                    Dialect::Chalk => Some(chalk::may_say(snapshot, tables.as_deref(), &parts.headers)?),
                };
                Box::pin(self.pass(snapshot, parts, said.as_ref(), incoming)).await
            }
            Kind::Query => self.feast_query(snapshot, parts, incoming).await,
            Kind::FeastCall(method, roles) => {
                Box::pin(self.feast_call(snapshot, *method, roles.as_deref(), parts, incoming)).await
            }
            Kind::Feast(door, roles) => {
                Box::pin(self.feast_door(snapshot, *door, roles.as_deref(), parts, incoming)).await
            }
            Kind::Own(endpoint) => Box::pin(self.own(snapshot, *endpoint, parts, incoming)).await,
            Kind::Described(number) => self.described(snapshot, *number, parts, incoming).await,
            Kind::WhoAmI => self.who_am_i(snapshot, parts).await,
            Kind::Chalk(door, roles) => self.chalk(snapshot, *door, roles.as_deref(), parts, incoming).await,
        }
    }

    /// Tells where the candidate in the shadow of the policy would answer otherwise. Changes nothing.
    fn shadow(&self, snapshot: &Snapshot, caller: &Caller, live: Option<(&CallerTables, &Decided, Query<'_>)>) {
        let Some(compared) = snapshot.compare(caller, live) else { return };
        for disagreement in compared.disagreements.iter() {
            let change = disagreement.change.name();
            self.proxy.metrics.shadow_disagreements.with_label_values(&[change]).inc();
            if compared.first {
                tracing::warn!(
                    decision_id = self.decision_id.as_str(),
                    trace_id = self.trace_id(),
                    generation = snapshot.generation,
                    change,
                    roles = live.map_or("[]", |(tables, _, _)| &tables.names),
                    candidate_roles = compared.roles,
                    outputs = disagreement.outputs,
                    reason = disagreement.reason,
                    "the shadow policy disagrees"
                );
            }
        }
    }

    /// Has a query decided, tells the shadow, and notes what was decided.
    ///
    /// # Errors
    /// `InvalidQuery`: it cannot be meant.
    fn decide(&mut self, snapshot: &Arc<Snapshot>, asked: &Asked, query: Query<'_>) -> Result<Arc<Decided>, Failure> {
        let begun = self.trace.as_ref().map(|_| SystemTime::now());
        let decided = snapshot.rules.decide(&asked.tables, query);
        if let Some((trace, begun)) = self.trace.as_mut().zip(begun) {
            trace.decided(&decided.plan, begun);
        }
        self.shadow(snapshot, &asked.caller, Some((&asked.tables, &decided, query)));
        if let Outcome::Invalid(invalid) = &decided.plan.outcome {
            return Err(Failure::InvalidQuery(invalid.0.clone()));
        }
        match decided.plan.decision {
            Decision::Filtered => self.metrics.filtered.inc(),
            Decision::Permitted => self.metrics.permitted.inc(),
            Decision::Refused => self.metrics.refused.inc(),
        }
        for permission in Permission::ALL {
            let refused = decided.plan.refused.iter().filter(|refusal| refusal.permission == permission).count();
            if refused > 0 {
                self.proxy.metrics.outputs_refused(permission as u8, permission.name(), refused);
            }
        }
        self.note(snapshot, asked, &decided);
        Ok(decided)
    }

    /// Notes what was decided, for the audit.
    fn note(&mut self, snapshot: &Arc<Snapshot>, asked: &Asked, decided: &Arc<Decided>) {
        self.decisions.push_back(Made {
            snapshot: Arc::clone(snapshot),
            caller: asked.caller.clone(),
            tables: Arc::clone(&asked.tables),
            decided: Arc::clone(decided),
            trace_id: self.trace_id,
            unverified: false,
        });
    }

    /// An answer that cannot be verified. While enforcement is suspended it is passed on all the same (`Ok`), which is recorded.
    fn unreadable(&mut self, enforcement: Enforcement, unreadable: &Unreadable) -> Result<(), Failure> {
        match enforcement {
            Enforcement::Enforce => Err(self.withheld(unreadable)),
            Enforcement::Audit => {
                self.told(unreadable, "an answer that cannot be verified is passed on");
                self.decisions.iter_mut().for_each(|made| made.unverified = true);
                Ok(())
            }
        }
    }

    /// An answer that cannot be verified: counted, told, and not passed on.
    fn withheld(&self, unreadable: &Unreadable) -> Failure {
        self.told(unreadable, "an answer is not passed on");
        Failure::UpstreamUnreadable
    }

    fn told(&self, Unreadable(why): &Unreadable, what: &str) {
        self.proxy.metrics.upstream_errors.with_label_values(&["unreadable"]).inc();
        tracing::warn!(decision_id = self.decision_id.as_str(), trace_id = self.trace_id(), why, "{what}");
    }

    /// For lines of the log.
    fn trace_id(&self) -> Option<&str> {
        std::str::from_utf8(self.trace_id.as_ref()?).ok()
    }

    async fn request_body(&self, snapshot: &Snapshot, incoming: Incoming) -> Result<Bytes, Failure> {
        self.body(snapshot, snapshot.settings.limits.request_body, incoming).await
    }

    async fn body(&self, snapshot: &Snapshot, most: usize, incoming: Incoming) -> Result<Bytes, Failure> {
        let deadline = self.started + snapshot.settings.limits.body_timeout;
        incoming.read(most, deadline).await.map_err(|error| match error {
            BodyError::TooLarge(_) => Failure::BodyTooLarge,
            BodyError::Timeout => Failure::RequestTimeout,
            BodyError::Broken(_) => Failure::InvalidQuery("the body broke off".to_owned()),
        })
    }
}

impl Drop for Exchange<'_> {
    /// A caller that hung up leaves a line all the same: status 499, nothing was answered.
    fn drop(&mut self) {
        for made in std::mem::take(&mut self.decisions) {
            if made.is_logged(&self.decision_id) {
                self.proxy.audit.leave(self.line(made, 499, Instant::now()));
            }
        }
        self.end_trace(None);
    }
}

impl From<Invalid> for Failure {
    fn from(invalid: Invalid) -> Self {
        Self::InvalidQuery(invalid.0)
    }
}

/// The status of an answer in HTTP; that of a refused call, which is 200 there, is among its extensions.
fn status(response: &Response<Body>) -> u16 {
    response.extensions().get::<StatusCode>().copied().unwrap_or_else(|| response.status()).as_u16()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room<A, B, C, F>(_: impl Fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    /// Each connection has it, and each request writes it anew.
    #[test]
    fn a_request_on_its_way_takes_at_most_four_kib() {
        let room = room(|proxy: &'static Arc<Proxy>, peer: Peer<'static>, request| handle(proxy, peer, request));
        assert!(room <= 4 << 10, "{room} bytes");
    }
}
