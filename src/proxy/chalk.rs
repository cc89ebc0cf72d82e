//! Chalk's doors (wire-chalk.md). Each reads what it is sent with its dialect, has it decided as every query is, and sends what
//! was built anew.

mod bulk;
mod calls;
mod sources;
mod token;
mod upload;

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::http::response::Parts as Head;
use hyper::{Method, Request, Response};

use super::body::Incoming;
use super::respond::{self, Body, Failure};
use super::route::Door;
use super::{Asked, Exchange, forward};
use crate::config::Enforcement;
use crate::dialect::chalk::headers::{self, Read as Said};
use crate::dialect::chalk::query::{Permit, Query};
use crate::dialect::chalk::{online, plan};
use crate::dialect::{self, Answer, Invalid, Unreadable};
use crate::policy::settings::Mode;
use crate::snapshot::{CallerTables, Decided, Snapshot};

const JSON: HeaderValue = HeaderValue::from_static("application/json");

impl Exchange<'_> {
    pub(super) async fn chalk(
        &mut self,
        snapshot: &Arc<Snapshot>,
        door: Door,
        roles: Option<&[String]>,
        parts: &Parts,
        incoming: Incoming,
    ) -> Result<Response<Body>, Failure> {
        // A future has room for the largest of those that it may wait for: all but the most frequent are in boxes.
        match door {
            Door::Online => self.online(snapshot, parts, incoming).await,
            Door::Feather => Box::pin(self.bulk(snapshot, parts, incoming)).await,
            Door::Token => Box::pin(self.token(snapshot, parts, incoming)).await,
            Door::Upload | Door::UploadMulti => Box::pin(self.upload(snapshot, door, roles, parts, incoming)).await,
            Door::Ping => Box::pin(self.ping(snapshot, parts, incoming)).await,
            Door::Query(method) => Box::pin(self.query_call(snapshot, method, parts, incoming)).await,
            Door::GetToken => Box::pin(self.get_token(snapshot, parts, incoming)).await,
            Door::UploadFeatures => Box::pin(self.upload_call(snapshot, false, roles, parts, incoming)).await,
            Door::UploadFeaturesBulk => Box::pin(self.upload_call(snapshot, true, roles, parts, incoming)).await,
            Door::Sources(method) => Box::pin(self.sources(snapshot, method, parts, incoming)).await,
            Door::Agent => Box::pin(self.agent(snapshot, parts, incoming)).await,
        }
    }

    /// `POST /v1/query/online`.
    async fn online(
        &mut self,
        snapshot: &Arc<Snapshot>,
        parts: &Parts,
        incoming: Incoming,
    ) -> Result<Response<Body>, Failure> {
        let asked = self.asked(snapshot, &parts.headers).await?;
        let said = said(snapshot, &parts.headers)?;
        forward::content(&parts.headers)?;
        let body = self.request_body(snapshot, incoming).await?;
        let mut request = online::read(&body, said.versioned)?;
        let decided = self.decide_chalk(snapshot, &asked, &said, request.environment.as_deref(), &mut request.query)?;
        let permit = permit(&decided, snapshot)?;

        let body = Bytes::from(online::rewrite(&request, permit));
        let upstream = || post(body.clone(), &JSON, &said);
        let (head, answer) = self.forward_engine(snapshot, parts, &upstream).await?;
        if snapshot.settings.enforcement == Enforcement::Audit {
            // Nothing is cut while enforcement is suspended.
            return Ok(forward::answer_as_it_came(head, answer));
        }
        let filtered = if forward::is_plain(&head) && forward::is_json(&head.headers) {
            online::filter(&answer, permit, &request)
        } else {
            Err(Unreadable("it is not a plain 200 in JSON".to_owned()))
        };
        let body = self.verified(answer, filtered)?;
        Ok(answered(head, body, &JSON, decided.plan.mode, permit.filtered))
    }

    /// Has a query to this environment decided.
    fn decide_chalk(
        &mut self,
        snapshot: &Arc<Snapshot>,
        asked: &Asked,
        said: &Said,
        environment: Option<&str>,
        query: &mut Query<'_>,
    ) -> Result<Arc<Decided>, Failure> {
        if let Some(named) = environment {
            headers::environment(named, snapshot.settings.environment.as_deref())?;
        }
        query.switches.extend(&said.switches);
        self.decide(snapshot, asked, dialect::Query::Chalk(query))
    }

    /// What may pass of an answer.
    fn verified(&mut self, answer: Bytes, filtered: Result<Answer, Unreadable>) -> Result<Body, Failure> {
        match filtered {
            Ok(Answer::AsItCame) => Ok(answer.into()),
            Ok(Answer::Cut { body, dropped }) => {
                self.cut(dropped);
                Ok(body.into_bytes(&answer).into())
            }
            Err(unreadable) => Err(self.withheld(&unreadable)),
        }
    }

    /// Counts what was cut of an answer.
    fn cut(&self, dropped: usize) {
        self.metrics.dropped.inc_by(u64::try_from(dropped).unwrap_or(0));
    }
}

/// A request upstream, with those of the `X-Chalk-*` headers that go there.
fn post(body: impl Into<Bytes>, kind: &HeaderValue, said: &Said) -> Request<Full<Bytes>> {
    let mut upstream = Request::new(Full::new(body.into()));
    *upstream.method_mut() = Method::POST;
    upstream.headers_mut().reserve(forward::HEADERS);
    upstream.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
    upstream.headers_mut().insert(header::ACCEPT, kind.clone());
    put(&mut upstream, said);
    upstream
}

/// An answer that may pass.
fn answered(head: Head, body: Body, kind: &HeaderValue, mode: Mode, filtered: usize) -> Response<Body> {
    let mut response = forward::answer_head(head);
    *response.body_mut() = body;
    response.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
    if mode == Mode::Filter {
        response.headers_mut().insert(respond::FILTERED, HeaderValue::from(filtered));
    }
    response
}

/// What the `X-Chalk-*` headers say.
fn said(snapshot: &Snapshot, headers: &HeaderMap) -> Result<Said, Invalid> {
    let all = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    headers::read(all, snapshot.settings.environment.as_deref())
}

/// The same of a request that passes through: what selects another graph is for those who may.
pub(super) fn may_say(
    snapshot: &Snapshot,
    tables: Option<&CallerTables>,
    headers: &HeaderMap,
) -> Result<Said, Failure> {
    let said = said(snapshot, headers)?;
    let roles = tables.map(|tables| &*tables.roles).unwrap_or_default();
    match said.switches.iter().find(|switch| !snapshot.rules.allows(roles, **switch)) {
        Some(switch) => Err(Failure::InvalidQuery(format!("`{}` is not allowed for this caller", switch.name()))),
        None => Ok(said),
    }
}

/// Puts those of them on a request upstream that go there.
pub(super) fn put<B>(request: &mut Request<B>, said: &Said) {
    for (name, value) in &said.forward {
        if let Ok(value) = HeaderValue::from_str(value) {
            request.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
}

/// What the queries of one request stand for, all together, is bounded as that of one is.
fn few(cost: usize, decided: &Decided) -> Result<usize, Invalid> {
    Some(cost.saturating_add(decided.plan.cost)).filter(|cost| *cost <= plan::MOST_FEATURES).ok_or_else(plan::too_many)
}

fn permit<'d>(decided: &'d Decided, snapshot: &Snapshot) -> Result<&'d Permit, Failure> {
    match decided.permit(snapshot.settings.name_members).map_err(Failure::FeaturesRefused)? {
        dialect::Permit::Chalk(permit) => Ok(permit),
        dialect::Permit::Feast(_) | dialect::Permit::FeastWrite(_) | dialect::Permit::Json(_) => Err(Failure::NotFound),
    }
}
