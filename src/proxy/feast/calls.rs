//! Feast's gRPC (wire-feast.md, section 2): decided as what comes over HTTP is.

use std::sync::Arc;

use bytes::Bytes;
use hyper::Response;
use hyper::header::HeaderValue;
use hyper::http::request::Parts;

use crate::config::Enforcement;
use crate::dialect::feast::rpc::proto::GetOnlineFeaturesRequest;
use crate::dialect::feast::rpc::{self as queries, Method, ToWrite};
use crate::dialect::{Permit, Query, strict};
use crate::policy::settings::Mode;
use crate::proxy::body::Incoming;
use crate::proxy::forward::Callee;
use crate::proxy::respond::{self, Body, Failure};
use crate::proxy::rpc::{self, Call};
use crate::proxy::{Asked, Exchange};
use crate::snapshot::Snapshot;

impl Exchange<'_> {
    pub(in crate::proxy) async fn feast_call(
        &mut self,
        snapshot: &Arc<Snapshot>,
        method: Method,
        roles: Option<&[String]>,
        parts: &Parts,
        incoming: Incoming,
    ) -> Result<Response<Body>, Failure> {
        let asked = self.asked(snapshot, &parts.headers).await?;
        self.is_for(snapshot, &asked, roles)?;
        let (call, most) = (Call::of(parts)?, snapshot.settings.limits.request_body);
        let body = self.body(snapshot, call.body_cap(most), incoming).await?;
        let message = call.message(body, most).await?;
        match ToWrite::read(method, &message)? {
            None => self.online_features(snapshot, &asked, parts, &call, &message).await,
            Some(write) => self.write_call(snapshot, &asked, parts, &call, method, &write).await,
        }
    }

    /// `Push` and `WriteToOnlineStore`, which are sent once.
    async fn write_call(
        &mut self,
        snapshot: &Arc<Snapshot>,
        asked: &Asked,
        parts: &Parts,
        call: &Call,
        method: Method,
        write: &ToWrite,
    ) -> Result<Response<Body>, Failure> {
        let settings = &snapshot.settings;
        let decided = self.decide(snapshot, asked, Query::FeastWrite(&write.write()?))?;
        decided.permit(settings.name_members).map_err(Failure::FeaturesRefused)?;
        let upstream = rpc::request(&write.message()).ok_or(Failure::BodyTooLarge)?;
        let callee = Callee { to: &settings.engine, path: method.path(), read: false, authorized: true };
        let answer = self.call(snapshot, parts, call, callee, &|| upstream.clone()).await?;
        if let Err(unreadable) = queries::verify(&answer.message) {
            self.unreadable(settings.enforcement, &unreadable)?;
        }
        self.answer_call(call, answer).await
    }

    /// `GetOnlineFeatures`.
    async fn online_features(
        &mut self,
        snapshot: &Arc<Snapshot>,
        asked: &Asked,
        parts: &Parts,
        call: &Call,
        message: &Bytes,
    ) -> Result<Response<Body>, Failure> {
        let settings = &snapshot.settings;
        let message: GetOnlineFeaturesRequest = strict::decode(message)?;
        let request = queries::read(&message)?;
        let decided = self.decide(snapshot, asked, Query::Feast(&request))?;
        let Permit::Feast(permit) = decided.permit(settings.name_members).map_err(Failure::FeaturesRefused)? else {
            return Err(Failure::NotFound);
        };
        let upstream = rpc::request(&queries::rewrite(&message, &request, permit)).ok_or(Failure::BodyTooLarge)?;
        let path = Method::GetOnlineFeatures.path();
        let callee = Callee { to: &settings.engine, path, read: true, authorized: true };
        let mut answer = self.call(snapshot, parts, call, callee, &|| upstream.clone()).await?;
        match queries::filter(&answer.message, &request, permit) {
            Ok(filtered) if settings.enforcement == Enforcement::Enforce => {
                self.metrics.dropped.inc_by(u64::try_from(filtered.dropped).unwrap_or(0));
                answer.message = filtered.message;
            }
            // Nothing is cut while enforcement is suspended.
            Ok(_) => {}
            Err(unreadable) => self.unreadable(settings.enforcement, &unreadable)?,
        }
        let mut response = self.answer_call(call, answer).await?;
        if decided.plan.mode == Mode::Filter && settings.enforcement == Enforcement::Enforce {
            response.headers_mut().insert(respond::FILTERED, HeaderValue::from(permit.filtered));
        }
        Ok(response)
    }
}
