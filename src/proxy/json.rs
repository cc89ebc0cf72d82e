//! Queries to a described server.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response};

use super::body::Incoming;
use super::respond::{self, Body, Failure};
use super::{Asked, Exchange, forward};
use crate::config::Enforcement;
use crate::dialect::json::description::Method as Described;
use crate::dialect::json::filter::{cut, outputs};
use crate::dialect::json::plan::{Permit, Query};
use crate::dialect::json::request::{self, Request as Read};
use crate::dialect::{self, Answer, Outcome, Unreadable};
use crate::policy::settings::Mode;
use crate::snapshot::{Decided, Snapshot};

const JSON: HeaderValue = HeaderValue::from_static("application/json");

impl Exchange<'_> {
    pub(super) async fn described(
        &mut self,
        snapshot: &Arc<Snapshot>,
        number: usize,
        parts: &Parts,
        incoming: Incoming,
    ) -> Result<Response<Body>, Failure> {
        let settings = &snapshot.settings;
        let routes = settings.description.as_ref().map(|description| &description.routes);
        let Some(route) = routes.and_then(|routes| routes.get(number)) else { return Err(Failure::NotFound) };
        let asked = self.asked(snapshot, &parts.headers).await?;
        if route.method == Described::Post {
            forward::content(&parts.headers)?;
        }
        let body = self.request_body(snapshot, incoming).await?;
        let incoming =
            request::Incoming { path: parts.uri.path(), parameters: parts.uri.query().unwrap_or(""), body: &body };
        let request = request::read(route, number, incoming)?;
        let decided = self.decide_described(snapshot, &asked, &request.query)?;
        let permit = permit(&decided, snapshot)?;

        let rewritten = request::rewrite(&request, permit);
        let body = Bytes::from(rewritten.body);
        let upstream = || {
            let mut upstream = Request::new(Full::new(body.clone()));
            if route.method == Described::Post {
                *upstream.method_mut() = Method::POST;
                upstream.headers_mut().insert(header::CONTENT_TYPE, JSON);
            }
            upstream.headers_mut().insert(header::ACCEPT, JSON);
            upstream
        };
        let (head, answer) = self.forward(snapshot, parts, &upstream, &rewritten.path, true).await?;

        let filtered = if forward::is_plain(&head) && forward::is_json(&head.headers) {
            self.filter(snapshot, &asked, &request, &decided, &answer)?
        } else {
            Err(Unreadable("it is not a plain 200 in JSON".to_owned()))
        };
        let (body, filtered) = match filtered {
            Ok((Answer::AsItCame, filtered)) => (answer.into(), filtered),
            Ok((Answer::Cut { body, dropped }, filtered)) => {
                self.metrics.dropped.inc_by(u64::try_from(dropped).unwrap_or(0));
                (Body::from(body.into_bytes(&answer)), filtered)
            }
            Err(unreadable) => {
                self.unreadable(settings.enforcement, &unreadable)?;
                return Ok(forward::answer_as_it_came(head, answer));
            }
        };
        let mut response = forward::answer_head(head);
        *response.body_mut() = body;
        response.headers_mut().insert(header::CONTENT_TYPE, JSON);
        if let Some(filtered) = filtered.filter(|_| settings.enforcement == Enforcement::Enforce) {
            response.headers_mut().insert(respond::FILTERED, HeaderValue::from(filtered));
        }
        Ok(response)
    }

    /// Has a query decided. One whose outputs the answer will tell is decided then, and noted now in case it never is.
    fn decide_described(
        &mut self,
        snapshot: &Arc<Snapshot>,
        asked: &Asked,
        query: &Query<'_>,
    ) -> Result<Arc<Decided>, Failure> {
        let decided = snapshot.rules.decide(&asked.tables, dialect::Query::Json(query));
        match &decided.plan.outcome {
            Outcome::Permit(dialect::Permit::Json(permit)) if permit.on_answer => {
                self.note(snapshot, asked, &decided);
                Ok(decided)
            }
            Outcome::Permit(_) | Outcome::Refuse(_) | Outcome::Invalid(_) => {
                self.decide(snapshot, asked, dialect::Query::Json(query))
            }
        }
    }

    /// What may pass of an answer, and in filter mode how many outputs were taken out.
    fn filter(
        &mut self,
        snapshot: &Arc<Snapshot>,
        asked: &Asked,
        request: &Read<'_>,
        decided: &Decided,
        body: &Bytes,
    ) -> Result<Result<(Answer, Option<usize>), Unreadable>, Failure> {
        let before = permit(decided, snapshot)?;
        if !before.on_answer {
            let filtered = (decided.plan.mode == Mode::Filter).then_some(before.filtered);
            return Ok(cut(request, before, body).map(|answer| (answer, filtered)));
        }
        let outputs = match outputs(request, before, body) {
            Ok(outputs) => outputs,
            Err(unreadable) => return Ok(Err(unreadable)),
        };
        let query = Query { asked: request.query.answered(outputs), ..request.query.clone() };
        self.decisions.pop_back();
        let decided = self.decide(snapshot, asked, dialect::Query::Json(&query))?;
        let after = permit(&decided, snapshot)?;
        // Where features without a value do not come, their number tells which of the refused have one.
        let told = !query.route.answers.iter().any(|answer| answer.sparse);
        Ok(cut(request, after, body).map(|answer| (answer, told.then_some(after.filtered))))
    }
}

fn permit<'d>(decided: &'d Decided, snapshot: &Snapshot) -> Result<&'d Permit, Failure> {
    match decided.permit(snapshot.settings.name_members).map_err(Failure::FeaturesRefused)? {
        dialect::Permit::Json(permit) => Ok(permit),
        dialect::Permit::Feast(_) | dialect::Permit::FeastWrite(_) | dialect::Permit::Chalk(_) => {
            Err(Failure::NotFound)
        }
    }
}
