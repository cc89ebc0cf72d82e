//! Feast's online query, and the doors that `routes` opens.

mod calls;
mod doors;

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response};

use super::body::Incoming;
use super::respond::{self, Body, Failure};
use super::{Exchange, forward};
use crate::config::Enforcement;
use crate::dialect::feast;
use crate::dialect::{Answer, Permit, Query, Unreadable};
use crate::policy::settings::Mode;
use crate::snapshot::Snapshot;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

impl Exchange<'_> {
    pub(super) async fn feast_query(
        &mut self,
        snapshot: &Arc<Snapshot>,
        parts: &Parts,
        incoming: Incoming,
    ) -> Result<Response<Body>, Failure> {
        let settings = &snapshot.settings;
        let asked = self.asked(snapshot, &parts.headers).await?;
        forward::content(&parts.headers)?;
        let body = self.request_body(snapshot, incoming).await?;
        let request = feast::read(&body)?;
        let decided = self.decide(snapshot, &asked, Query::Feast(&request))?;
        let Permit::Feast(permit) = decided.permit(settings.name_members).map_err(Failure::FeaturesRefused)? else {
            return Err(Failure::NotFound);
        };

        let body = Bytes::from(feast::rewrite(&request, permit));
        let upstream = || post(body.clone());
        let (head, answer) = self.forward(snapshot, parts, &upstream, feast::QUERY_PATH, true).await?;
        let filtered = in_json(&head).and_then(|()| feast::filter(&answer, &request, permit));
        let filtered_out = (decided.plan.mode == Mode::Filter).then_some(permit.filtered);
        self.feast_answer(settings.enforcement, head, answer, filtered, filtered_out)
    }

    /// What passes of an answer; `filtered_out`: how many outputs were taken out, where that is told.
    fn feast_answer(
        &mut self,
        enforcement: Enforcement,
        head: hyper::http::response::Parts,
        answer: Bytes,
        filtered: Result<Answer, Unreadable>,
        filtered_out: Option<usize>,
    ) -> Result<Response<Body>, Failure> {
        let body: Body = match filtered {
            Ok(Answer::AsItCame) => answer.into(),
            Ok(Answer::Cut { body, dropped }) if enforcement == Enforcement::Enforce => {
                self.metrics.dropped.inc_by(u64::try_from(dropped).unwrap_or(0));
                body.into_bytes(&answer).into()
            }
            // Nothing is cut while enforcement is suspended.
            Ok(Answer::Cut { .. }) => answer.into(),
            Err(unreadable) => {
                self.unreadable(enforcement, &unreadable)?;
                return Ok(forward::answer_as_it_came(head, answer));
            }
        };
        let mut response = forward::answer_head(head);
        *response.body_mut() = body;
        response.headers_mut().insert(header::CONTENT_TYPE, JSON);
        if let Some(filtered_out) = filtered_out.filter(|_| enforcement == Enforcement::Enforce) {
            response.headers_mut().insert(respond::FILTERED, HeaderValue::from(filtered_out));
        }
        Ok(response)
    }
}

/// A body of ours on its way to Feast.
fn post(body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    request.headers_mut().reserve(forward::HEADERS);
    request.headers_mut().insert(header::CONTENT_TYPE, JSON);
    request.headers_mut().insert(header::ACCEPT, JSON);
    request
}

/// Whether an answer is one that is read.
fn in_json(head: &hyper::http::response::Parts) -> Result<(), Unreadable> {
    if forward::is_plain(head) && forward::is_json(&head.headers) {
        Ok(())
    } else {
        Err(Unreadable("it is not a plain 200 in JSON".to_owned()))
    }
}
