//! Calls in gRPC and Connect (wire-chalk.md, sections 2.3 and 6). Upstream they are gRPC.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hyper::Response;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use prost::Message;

use super::bulk::heavy;
use super::{few, may_say, permit, put, said};
use crate::config::Enforcement;
use crate::dialect::chalk::headers::Read as Said;
use crate::dialect::chalk::proto::{
    GetTokenRequest, GetTokenResponse, PingRequest, PingResponse, UploadFeaturesBulkRequest,
    UploadFeaturesBulkResponse, UploadFeaturesRequest, UploadFeaturesResponse,
};
use crate::dialect::chalk::query::Permit;
use crate::dialect::chalk::rpc::{self as queries, Method, Slot};
use crate::dialect::chalk::table::Table;
use crate::dialect::chalk::{error, token};
use crate::dialect::{Invalid, Unreadable, strict};
use crate::issuer::chalk::TokenRefused;
use crate::issuer::endpoints::MAX_BODY;
use crate::policy::settings::Mode;
use crate::proxy::Exchange;
use crate::proxy::body::Incoming;
use crate::proxy::forward::Callee;
use crate::proxy::respond::{self, Body, Failure};
use crate::proxy::rpc::{self, Answer, Call};
use crate::snapshot::Snapshot;

/// Whether a name without a version means version 1. No client says so over gRPC, so that it is not known whether a server
/// listens to `x-chalk-features-versioned` there.
const VERSIONED: bool = false;

/// A call as it came.
pub(super) struct Called<'p> {
    pub parts: &'p Parts,
    pub call: Call,
    pub said: Said,
}

impl Exchange<'_> {
    /// The head of a call, and its message of at most `most` bytes. Nothing of that is read before the caller is known, but
    /// for credentials.
    pub(super) async fn called<'p>(
        &mut self,
        snapshot: &Snapshot,
        parts: &'p Parts,
        most: usize,
        incoming: Incoming,
    ) -> Result<(Called<'p>, Bytes), Failure> {
        let call = Call::of(parts)?;
        let said = said(snapshot, &parts.headers)?;
        let body = self.body(snapshot, call.body_cap(most), incoming).await?;
        let message = call.message(body, most).await?;
        Ok((Called { parts, call, said }, message))
    }

    /// Calls the method of this name upstream.
    pub(super) async fn onward(
        &mut self,
        snapshot: &Snapshot,
        called: &Called<'_>,
        callee: Callee<'_>,
        message: &[u8],
    ) -> Result<Answer, Failure> {
        let mut request = rpc::request(message).ok_or(Failure::BodyTooLarge)?;
        put(&mut request, &called.said);
        self.call(snapshot, called.parts, &called.call, callee, &|| request.clone()).await
    }

    /// `QueryService/Ping`, for any caller with a role.
    pub(super) async fn ping(
        &mut self,
        snapshot: &Snapshot,
        parts: &Parts,
        incoming: Incoming,
    ) -> Result<Response<Body>, Failure> {
        let asked = self.asked(snapshot, &parts.headers).await?;
        may_say(snapshot, Some(&asked.tables), &parts.headers)?;
        let (called, message) = self.called(snapshot, parts, snapshot.settings.limits.request_body, incoming).await?;
        let request: PingRequest = strict::decode(&message)?;
        let callee = Callee { to: &snapshot.settings.engine, path: parts.uri.path(), read: true, authorized: true };
        let answer = self.onward(snapshot, &called, callee, &request.encode_to_vec()).await?;
        let message: PingResponse = self.decoded(&answer.message)?;
        self.answer_call(&called.call, Answer { message: message.encode_to_vec().into(), ..answer }).await
    }

    /// `QueryService/OnlineQuery`, `OnlineQueryBulk` and `OnlineQueryMulti`.
    pub(super) async fn query_call(
        &mut self,
        snapshot: &Arc<Snapshot>,
        method: Method,
        parts: &Parts,
        incoming: Incoming,
    ) -> Result<Response<Body>, Failure> {
        let asked = match self.asked(snapshot, &parts.headers).await {
            Err(Failure::Forbidden) => None,
            asked => Some(asked?),
        };
        let (called, message) = self.called(snapshot, parts, snapshot.settings.limits.request_body, incoming).await?;
        let limits = snapshot.settings.limits;
        let mut request = heavy(|| queries::read(method, &message, VERSIONED, limits.request_body))?;
        let Some(asked) = asked else {
            // A refusal has as many answers as there are queries.
            let slots: Vec<Slot<'_>> = request.queries.iter().map(|_| refused(&Failure::Forbidden)).collect();
            return self.bare(&called.call, queries::refused(&request, &slots)).await;
        };
        let mut all = Vec::with_capacity(request.queries.len());
        let mut cost = 0;
        for one in &mut request.queries {
            let environment = one.environment.clone();
            let decided = self.decide_chalk(snapshot, &asked, &called.said, environment.as_deref(), &mut one.query)?;
            cost = few(cost, &decided)?;
            all.push(decided);
        }
        let mut slots = Vec::with_capacity(all.len());
        for decided in &all {
            slots.push(match permit(decided, snapshot) {
                Ok(permit) => Slot::Sent(permit),
                Err(failure @ Failure::FeaturesRefused(_)) => refused(&failure),
                Err(failure) => return Err(failure),
            });
        }
        let Some(message) = heavy(|| queries::rewrite(&request, &slots))? else {
            return self.bare(&called.call, queries::refused(&request, &slots)).await;
        };
        let callee = Callee { to: &snapshot.settings.engine, path: parts.uri.path(), read: true, authorized: true };
        let answer = self.onward(snapshot, &called, callee, &message).await?;
        if snapshot.settings.enforcement == Enforcement::Audit {
            // Nothing is cut while enforcement is suspended.
            return self.answer_call(&called.call, answer).await;
        }
        let filtered = heavy(|| queries::filter(&request, &slots, &answer.message, limits.response_body));
        let filtered = filtered.map_err(|unreadable| self.withheld(&unreadable))?;
        self.cut(filtered.dropped);
        let message = filtered.message;
        let mut response = self.answer_call(&called.call, Answer { message, ..answer }).await?;
        if all.iter().all(|decided| decided.plan.mode == Mode::Filter) {
            let of = |slot: &Slot<'_>| if let Slot::Sent(permit) = slot { permit.filtered } else { 0 };
            let cut: usize = slots.iter().map(of).sum();
            response.headers_mut().insert(respond::FILTERED, HeaderValue::from(cut));
        }
        Ok(response)
    }

    /// `QueryService/UploadFeatures` and, `bulk`, `UploadFeaturesBulk`.
    pub(super) async fn upload_call(
        &mut self,
        snapshot: &Arc<Snapshot>,
        bulk: bool,
        roles: Option<&[String]>,
        parts: &Parts,
        incoming: Incoming,
    ) -> Result<Response<Body>, Failure> {
        let asked = self.asked(snapshot, &parts.headers).await;
        let asked = asked.and_then(|asked| self.is_for(snapshot, &asked, roles).map(|()| asked));
        if matches!(asked, Err(Failure::Forbidden)) {
            return self.bare(&Call::of(parts)?, upload_refused(bulk, &Failure::Forbidden)).await;
        }
        let asked = asked?;
        let (called, message) = self.called(snapshot, parts, snapshot.settings.limits.request_body, incoming).await?;
        let most = snapshot.settings.limits.request_body;
        let anew = |bytes: &Bytes| {
            heavy(|| {
                let table = Table::read(bytes, most)?;
                let features: Vec<String> = table.columns().map(|(name, _)| name.to_owned()).collect();
                Ok((features, table.keep(|_| true)?))
            })
            .map_err(|problem: crate::dialect::chalk::table::Problem| Invalid::from(problem))
        };
        let (features, forwarded) = if bulk {
            let mut request: UploadFeaturesBulkRequest = strict::decode(&message)?;
            let (features, table) = anew(&request.inputs_feather)?;
            request.inputs_feather = table;
            (features, request.encode_to_vec())
        } else {
            let mut request: UploadFeaturesRequest = strict::decode(&message)?;
            let (features, table) = anew(&request.inputs_table)?;
            request.inputs_table = table;
            (features, request.encode_to_vec())
        };
        match self.decide_upload(snapshot, &asked, &features, &called.said.switches, VERSIONED) {
            Ok(()) => {}
            Err(failure @ Failure::FeaturesRefused(_)) => {
                return self.bare(&called.call, upload_refused(bulk, &failure)).await;
            }
            Err(failure) => return Err(failure),
        }
        let callee = Callee { to: &snapshot.settings.engine, path: parts.uri.path(), read: false, authorized: true };
        let answer = self.onward(snapshot, &called, callee, &forwarded).await?;
        let permit = Permit { inputs: features.into_iter().collect::<BTreeSet<_>>(), ..Permit::default() };
        let message = if bulk {
            let mut message: UploadFeaturesBulkResponse = self.decoded(&answer.message)?;
            message.errors.iter_mut().for_each(|from| *from = error::strip(from, &permit));
            message.encode_to_vec()
        } else {
            let mut message: UploadFeaturesResponse = self.decoded(&answer.message)?;
            message.errors.iter_mut().for_each(|from| *from = error::strip(from, &permit));
            message.encode_to_vec()
        };
        self.answer_call(&called.call, Answer { message: message.into(), ..answer }).await
    }

    /// `AuthService/GetToken`: by the issuer of our own, or by the deployment behind.
    pub(super) async fn get_token(
        &mut self,
        snapshot: &Snapshot,
        parts: &Parts,
        incoming: Incoming,
    ) -> Result<Response<Body>, Failure> {
        let settings = &snapshot.settings;
        may_say(snapshot, None, &parts.headers)?;
        let (called, message) = self.called(snapshot, parts, MAX_BODY, incoming).await?;
        let request: GetTokenRequest = strict::decode(&message)?;
        let message = if let Some(issuer) = &settings.issuer {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            let answer = issuer.get_token(&request, &parts.headers, self.peer.address, now).await;
            answer.map_err(|refused| match refused {
                TokenRefused::Request(why) => Failure::InvalidQuery(why.to_owned()),
                TokenRefused::Client => Failure::InvalidClient,
                TokenRefused::TooMany { retry_after } => Failure::TooManyAttempts { retry_after },
                TokenRefused::Unavailable => Failure::IssuerUnavailable,
            })?
        } else {
            let request = token::read_token_proto(request)?;
            let callee = Callee { to: &settings.upstream, path: parts.uri.path(), read: false, authorized: false };
            let answer = self.onward(snapshot, &called, callee, &request.encode_to_vec()).await?;
            let answer: GetTokenResponse = self.decoded(&answer.message)?;
            let environment = settings.environment.as_deref();
            let rewritten = token::rewrite_token_proto(answer, &settings.public_url, environment);
            rewritten.map_err(|unreadable| self.withheld(&unreadable))?
        };
        self.bare(&called.call, message.encode_to_vec().into()).await
    }

    /// An answer of ours.
    pub(super) async fn bare(&mut self, call: &Call, message: Bytes) -> Result<Response<Body>, Failure> {
        self.answer_call(call, Answer { message, headers: HeaderMap::new(), trailers: HeaderMap::new() }).await
    }

    /// A message of the upstream; what is not known of it is dropped.
    fn decoded<M: Message + Default>(&mut self, message: &Bytes) -> Result<M, Failure> {
        let read = M::decode(message.clone());
        read.map_err(|_| self.withheld(&Unreadable("the answer is no protobuf".to_owned())))
    }
}

fn refused<'p>(failure: &Failure) -> Slot<'p> {
    Slot::Refused(failure.chalk_errors())
}

fn upload_refused(bulk: bool, failure: &Failure) -> Bytes {
    let errors = failure.chalk_errors();
    let message = if bulk {
        UploadFeaturesBulkResponse { errors }.encode_to_vec()
    } else {
        UploadFeaturesResponse { errors, ..UploadFeaturesResponse::default() }.encode_to_vec()
    };
    message.into()
}
