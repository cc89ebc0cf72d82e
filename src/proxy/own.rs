//! The routes of the built-in issuer: a request as [`endpoints`](crate::issuer::endpoints) read it, and their answers as HTTP.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Response};
use serde_json::{Value, json};

use super::Exchange;
use super::body::Incoming;
use super::respond::{Body, Failure};
use crate::auth::subject_of;
use crate::issuer::endpoints::{Asked, Endpoint, MAX_BODY, Refused, Reply};
use crate::snapshot::Snapshot;

impl Exchange<'_> {
    /// Who the caller is, in the form of Chalk's own.
    pub(super) async fn who_am_i(&mut self, snapshot: &Snapshot, parts: &Parts) -> Result<Response<Body>, Failure> {
        let verified = self.authenticate(snapshot, &parts.headers).await?;
        let claims = verified.claims();
        let user = subject_of(&claims);
        // Of a token that the upstream vouches for, its team was compared with the configured one.
        let team = claims.get("team_id").and_then(Value::as_str);
        let environment = snapshot.settings.environment.as_deref();
        Ok(answer(&Reply::of(json!({"user": user, "environment_id": environment, "team_id": team}))))
    }

    pub(super) async fn own(
        &mut self,
        snapshot: &Snapshot,
        endpoint: Endpoint,
        parts: &Parts,
        incoming: Incoming,
    ) -> Result<Response<Body>, Failure> {
        // Its routes are there with it alone.
        let issuer = snapshot.settings.issuer.as_ref().ok_or(Failure::NotFound)?;
        let body = match parts.method {
            Method::GET => Bytes::new(),
            _ => self.body(snapshot, MAX_BODY, incoming).await?,
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let asked = Asked { endpoint, headers: &parts.headers, body: &body, address: self.peer.address, now };
        let reply = issuer.answer(&asked).await.map_err(|refused| match refused {
            Refused::ApiKey => Failure::InvalidApiKey,
            Refused::RefreshToken => Failure::InvalidRefreshToken,
            Refused::Unreadable(why) => Failure::InvalidQuery(why),
            Refused::TooMany(retry_after) => Failure::TooManyAttempts { retry_after },
            Refused::Unavailable => Failure::IssuerUnavailable,
        })?;
        if let Some(code) = reply.body.get("error").and_then(Value::as_str) {
            let (decision_id, trace_id) = (self.decision_id.as_str(), self.trace_id());
            tracing::debug!(decision_id, trace_id, code, "a request is not served");
        }
        Ok(answer(&reply))
    }
}

fn answer(reply: &Reply) -> Response<Body> {
    let mut response = Response::new(Body::from(Bytes::from(reply.body.to_string())));
    *response.status_mut() = reply.status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // RFC 6749, 5.1; keys may be kept for the five minutes after which tagwarden itself asks again.
    let cache = if reply.public { "public, max-age=300" } else { "no-store" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    if reply.basic {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"tagwarden\""));
    }
    if let Some(seconds) = reply.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
