//! Chalk's doors: queries in JSON, tokens (wire-chalk.md). Each reads what it is sent with its dialect, has it decided as every
//! query is, and sends what was built anew.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response};

use super::respond::{self, Body, Failure};
use super::route::Door;
use super::{Exchange, forward};
use crate::config::Enforcement;
use crate::dialect::chalk::headers::{self, Read as Said};
use crate::dialect::chalk::online::{self, Answer};
use crate::dialect::chalk::query::Permit;
use crate::dialect::{self, Invalid, Query, Unreadable};
use crate::policy::settings::Mode;
use crate::snapshot::{Decided, Snapshot};

impl Exchange<'_> {
    pub(super) async fn chalk(
        &mut self,
        snapshot: &Arc<Snapshot>,
        door: &Door,
        parts: &Parts,
        incoming: Incoming,
    ) -> Result<Response<Body>, Failure> {
        match door {
            Door::Online => self.online(snapshot, parts, incoming).await,
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
        if let Some(named) = &request.environment {
            headers::environment(named, snapshot.settings.environment.as_deref())?;
        }
        request.query.switches.extend(&said.switches);
        let decided = self.decide(snapshot, &asked, Query::Chalk(&request.query))?;
        let permit = permit(&decided, snapshot)?;

        let mut upstream = Request::new(Full::new(Bytes::from(online::rewrite(&request, permit))));
        *upstream.method_mut() = Method::POST;
        let json = HeaderValue::from_static("application/json");
        upstream.headers_mut().insert(header::CONTENT_TYPE, json.clone());
        upstream.headers_mut().insert(header::ACCEPT, json.clone());
        put(&mut upstream, &said);
        let (head, answer) = self.forward_engine(snapshot, parts, upstream).await?;
        if snapshot.settings.enforcement == Enforcement::Audit {
            // Nothing is cut while enforcement is suspended.
            return Ok(forward::answer_as_it_came(&head, answer));
        }
        let filtered = if forward::is_plain(&head) && forward::is_json(&head.headers) {
            online::filter(&answer, permit, &request)
        } else {
            Err(Unreadable("it is not a plain 200 in JSON".to_owned()))
        };
        let body = match filtered {
            Ok(Answer::AsItCame) => answer,
            Ok(Answer::Cut { body, dropped }) => {
                self.metrics.dropped.inc_by(u64::try_from(dropped).unwrap_or(0));
                Bytes::from(body)
            }
            Err(unreadable) => {
                self.unreadable(Enforcement::Enforce, &unreadable)?;
                Bytes::new()
            }
        };
        let mut response = forward::answer_head(&head);
        *response.body_mut() = body.into();
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        if decided.plan.mode == Mode::Filter {
            response.headers_mut().insert(respond::FILTERED, HeaderValue::from(permit.filtered));
        }
        Ok(response)
    }
}

/// What the `X-Chalk-*` headers say.
fn said(snapshot: &Snapshot, headers: &HeaderMap) -> Result<Said, Invalid> {
    let all = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    headers::read(all, snapshot.settings.environment.as_deref())
}

/// Puts those of them on a request upstream that go there.
fn put<B>(request: &mut Request<B>, said: &Said) {
    for (name, value) in &said.forward {
        if let Ok(value) = HeaderValue::from_str(value) {
            request.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
}

fn permit<'d>(decided: &'d Decided, snapshot: &Snapshot) -> Result<&'d Permit, Failure> {
    match decided.permit(snapshot.settings.name_members).map_err(Failure::FeaturesRefused)? {
        dialect::Permit::Chalk(permit) => Ok(permit),
        dialect::Permit::Feast(_) => Err(Failure::NotFound),
    }
}
