//! Feast's online query.

mod calls;

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

        let mut upstream = Request::new(Full::new(Bytes::from(feast::rewrite(&request, permit))));
        *upstream.method_mut() = Method::POST;
        let json = HeaderValue::from_static("application/json");
        upstream.headers_mut().insert(header::CONTENT_TYPE, json.clone());
        upstream.headers_mut().insert(header::ACCEPT, json.clone());
        let (head, answer) = self.forward(snapshot, parts, upstream, feast::QUERY_PATH, true).await?;

        let filtered = if forward::is_plain(&head) && forward::is_json(&head.headers) {
            feast::filter(&answer, &request, permit)
        } else {
            Err(Unreadable("it is not a plain 200 in JSON".to_owned()))
        };
        let body = match filtered {
            Ok(Answer::AsItCame) => answer,
            Ok(Answer::Cut { body, dropped }) if settings.enforcement == Enforcement::Enforce => {
                self.metrics.dropped.inc_by(u64::try_from(dropped).unwrap_or(0));
                Bytes::from(body)
            }
            // Nothing is cut while enforcement is suspended.
            Ok(Answer::Cut { .. }) => answer,
            Err(unreadable) => {
                self.unreadable(settings.enforcement, &unreadable)?;
                return Ok(forward::answer_as_it_came(&head, answer));
            }
        };
        let mut response = forward::answer_head(&head);
        *response.body_mut() = body.into();
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        if decided.plan.mode == Mode::Filter && settings.enforcement == Enforcement::Enforce {
            response.headers_mut().insert(respond::FILTERED, HeaderValue::from(permit.filtered));
        }
        Ok(response)
    }
}
