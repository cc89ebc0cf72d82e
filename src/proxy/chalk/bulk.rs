//! Bulk queries: `POST /v1/query/feather` (wire-chalk.md, section 3.4).

use std::sync::Arc;

use bytes::Bytes;
use hyper::Response;
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;

use super::{answered, few, permit, post, said};
use crate::config::Enforcement;
use crate::dialect::chalk::feather::{self, Slot};
use crate::dialect::chalk::online::Request;
use crate::dialect::chalk::query::{Permit, Switch};
use crate::dialect::chalk::table::Table;
use crate::dialect::chalk::{container, error, online};
use crate::dialect::{Invalid, Unreadable};
use crate::json;
use crate::policy::settings::Mode;
use crate::proxy::body::Incoming;
use crate::proxy::respond::{Body, Failure};
use crate::proxy::{Exchange, forward};
use crate::snapshot::{Decided, Snapshot};

const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// A query of a request, and what was decided of it.
struct One<'b> {
    request: Request<'b>,
    table: Table,
    decided: Arc<Decided>,
}

impl Exchange<'_> {
    pub(super) async fn bulk(
        &mut self,
        snapshot: &Arc<Snapshot>,
        parts: &Parts,
        incoming: Incoming,
    ) -> Result<Response<Body>, Failure> {
        let asked = self.asked(snapshot, &parts.headers).await;
        if !matches!(asked, Ok(_) | Err(Failure::Forbidden)) {
            asked?;
            return Err(Failure::Forbidden);
        }
        let said = said(snapshot, &parts.headers)?;
        // chalkpy says that it is JSON.
        forward::bytes(&parts.headers)?;
        let body = self.request_body(snapshot, incoming).await?;
        let queries = container::read_queries(&body)?;
        let Ok(asked) = asked else {
            // A refusal has as many results as there are queries.
            let slots: Vec<Slot<'_>> = queries.iter().map(|_| refused(&Failure::Forbidden)).collect();
            return Ok(bare(feather::refused(&slots)));
        };
        let mut all = Vec::with_capacity(queries.len());
        let mut left = snapshot.settings.limits.request_body;
        let mut cost = 0;
        for query in &queries {
            let table = heavy(|| Table::read(&query.table, left)).map_err(Invalid::from)?;
            left = left.saturating_sub(table.size());
            let mut request = online::read_header(&query.header, feather::inputs(&table), said.versioned)?;
            let environment = request.environment.clone();
            let decided = self.decide_chalk(snapshot, &asked, &said, environment.as_deref(), &mut request.query)?;
            cost = few(cost, &decided)?;
            all.push(One { request, table, decided });
        }
        let mut slots = Vec::with_capacity(all.len());
        for one in &all {
            slots.push(match permit(&one.decided, snapshot) {
                Ok(permit) => Slot::Sent(permit),
                Err(failure @ Failure::FeaturesRefused(_)) => refused(&failure),
                Err(failure) => return Err(failure),
            });
        }
        let sent = || all.iter().zip(&slots).filter_map(|(one, slot)| Some((one, permit_of(slot)?)));
        if sent().next().is_none() {
            return Ok(bare(feather::refused(&slots)));
        }

        let mut forwarded = Vec::new();
        for (one, permit) in sent() {
            let table = heavy(|| one.table.keep(|name| permit.inputs.contains(name))).map_err(Invalid::from)?;
            forwarded.push((online::rewrite_header(&one.request, permit), table));
        }
        let upstream = post(container::write_queries(forwarded), &super::JSON, &said);
        let (head, answer) = self.forward_engine(snapshot, parts, &|| upstream.clone()).await?;
        if snapshot.settings.enforcement == Enforcement::Audit {
            return Ok(forward::answer_as_it_came(head, answer));
        }
        let explained = sent().all(|(one, _)| one.request.query.switches.contains(&Switch::Explain));
        let filtered = if forward::is_plain(&head) && head.headers.get(header::CONTENT_TYPE) == Some(&OCTETS) {
            let most = snapshot.settings.limits.response_body;
            heavy(|| feather::filter(&answer, &slots, |text| meta(text, explained), stripped, most))
        } else {
            Err(Unreadable("it is not a plain 200 of bytes".to_owned()))
        };
        let body = self.verified(answer, filtered)?;
        let mode =
            if all.iter().all(|one| one.decided.plan.mode == Mode::Filter) { Mode::Filter } else { Mode::Reject };
        Ok(answered(head, body, &OCTETS, mode, sent().map(|(_, permit)| permit.filtered).sum()))
    }
}

fn permit_of<'p>(slot: &Slot<'p>) -> Option<&'p Permit> {
    match slot {
        Slot::Sent(permit) => Some(permit),
        Slot::Refused(_) => None,
    }
}

fn refused<'p>(failure: &Failure) -> Slot<'p> {
    let written = failure.chalk_errors().into_iter().map(|refused| {
        let mut text = Vec::new();
        error::write_json(&mut text, &refused);
        Bytes::from(text)
    });
    Slot::Refused(written.collect())
}

/// What may pass of the meta of a result; nothing of one that cannot be read.
fn meta(text: &str, explained: bool) -> String {
    let cut = online::filter_meta(text.as_bytes(), explained).ok().and_then(|text| String::from_utf8(text).ok());
    cut.unwrap_or_else(|| "null".to_owned())
}

/// What may pass of an error of a result.
fn stripped(text: &str, permit: &Permit) -> String {
    let read = json::whole(text.as_bytes()).and_then(|whole| error::strip_json(text.as_bytes(), whole, permit));
    let unknown =
        || error::error(crate::dialect::chalk::proto::ErrorCode::InternalServerError, "the feature server failed");
    let mut out = Vec::new();
    error::write_json(&mut out, &read.unwrap_or_else(|_| unknown()));
    String::from_utf8_lossy(&out).into_owned()
}

fn bare(body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, OCTETS);
    response
}

/// Work that takes as long as a table is large: other requests of this thread move to another one, where there are others.
pub(super) fn heavy<T>(work: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}
