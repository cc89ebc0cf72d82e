//! `POST /v1/oauth/token`, where the deployment behind issues the tokens (wire-chalk.md, sections 2.1 and 2.2).

use bytes::Bytes;
use hyper::Response;
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;

use super::{JSON, may_say, post};
use crate::dialect::Unreadable;
use crate::dialect::chalk::token;
use crate::issuer::endpoints::MAX_BODY;
use crate::proxy::body::Incoming;
use crate::proxy::respond::{Body, Failure};
use crate::proxy::{Exchange, forward};
use crate::snapshot::Snapshot;

impl Exchange<'_> {
    /// What is asked and what is answered are made anew: no address but ours comes back.
    pub(super) async fn token(
        &mut self,
        snapshot: &Snapshot,
        parts: &Parts,
        incoming: Incoming,
    ) -> Result<Response<Body>, Failure> {
        let said = may_say(snapshot, None, &parts.headers)?;
        forward::content(&parts.headers)?;
        let body = self.body(snapshot, MAX_BODY, incoming).await?;
        let upstream = post(token::read_token_json(&body)?, &JSON, &said);
        // Whose credentials they are stands in the body; nobody is vouched for.
        let (head, answer) = self.forward_unauthorized(snapshot, parts, &|| upstream.clone()).await?;
        let settings = &snapshot.settings;
        let rewritten = if forward::is_plain(&head) && forward::is_json(&head.headers) {
            let environment = settings.environment.as_deref();
            token::rewrite_token_json(&answer, &settings.public_url, environment)
        } else {
            Err(Unreadable("it is not a plain 200 in JSON".to_owned()))
        };
        let body = rewritten.map_err(|unreadable| self.withheld(&unreadable))?;
        let mut response = forward::answer_head(head);
        *response.body_mut() = Bytes::from(body).into();
        response.headers_mut().insert(header::CONTENT_TYPE, JSON);
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }
}
