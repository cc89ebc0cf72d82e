//! Uploads: `POST /v1/upload_features` and `/v1/upload_features/multi` (wire-chalk.md, section 3.5). Every feature that is
//! written is one that the caller's roles may write.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use hyper::Response;
use hyper::header;
use hyper::http::request::Parts;

use super::bulk::heavy;
use super::{JSON, answered, post, said};
use crate::config::Enforcement;
use crate::dialect::chalk::feather;
use crate::dialect::chalk::online;
use crate::dialect::chalk::query::{Permit, Switch};
use crate::dialect::chalk::table::Table;
use crate::dialect::{self, Invalid, Unreadable};
use crate::policy::settings::Mode;
use crate::proxy::body::Incoming;
use crate::proxy::respond::{Body, Failure};
use crate::proxy::route::Door;
use crate::proxy::{Asked, Exchange, forward};
use crate::snapshot::Snapshot;

impl Exchange<'_> {
    pub(super) async fn upload(
        &mut self,
        snapshot: &Arc<Snapshot>,
        door: Door,
        roles: Option<&[String]>,
        parts: &Parts,
        incoming: Incoming,
    ) -> Result<Response<Body>, Failure> {
        let asked = self.asked(snapshot, &parts.headers).await?;
        self.is_for(snapshot, &asked, roles)?;
        let said = said(snapshot, &parts.headers)?;
        if door == Door::UploadMulti {
            forward::bytes(&parts.headers)?;
        } else {
            forward::content(&parts.headers)?;
        }
        let body = self.request_body(snapshot, incoming).await?;
        let mut switches = said.switches.clone();
        let (features, forwarded, kind) = if door == Door::UploadMulti {
            let upload = feather::Upload::read(&body)?;
            let table = heavy(|| Table::read(&upload.table, snapshot.settings.limits.request_body));
            let table = table.map_err(Invalid::from)?;
            let features: Vec<String> = table.columns().map(|(name, _)| name.to_owned()).collect();
            let table = heavy(|| table.keep(|_| true)).map_err(Invalid::from)?;
            let kind = parts.headers.get(header::CONTENT_TYPE).cloned().unwrap_or(JSON);
            let upload = feather::Upload { features: features.clone(), table, ..upload };
            (features, upload.write(), kind)
        } else {
            let upload = online::read_upload(&body)?;
            switches.extend(&upload.switches);
            (upload.features, Bytes::from(upload.body), JSON)
        };
        self.decide_upload(snapshot, &asked, &features, &switches, said.versioned)?;
        let upstream = post(forwarded, &kind, &said);
        let (head, answer) = self.forward(snapshot, parts, &|| upstream.clone(), parts.uri.path(), false).await?;
        if snapshot.settings.enforcement == Enforcement::Audit {
            return Ok(forward::answer_as_it_came(head, answer));
        }
        let filtered = if forward::is_plain(&head) && forward::is_json(&head.headers) {
            let permit = Permit { inputs: features.into_iter().collect(), ..Permit::default() };
            online::filter_upload(&answer, &permit)
        } else {
            Err(Unreadable("it is not a plain 200 in JSON".to_owned()))
        };
        let body = self.verified(answer, filtered)?;
        Ok(answered(head, body, &JSON, Mode::Reject, 0))
    }

    /// Has an upload decided.
    pub(super) fn decide_upload(
        &mut self,
        snapshot: &Arc<Snapshot>,
        asked: &Asked,
        features: &[String],
        switches: &BTreeSet<Switch>,
        versioned: bool,
    ) -> Result<(), Failure> {
        let upload = dialect::Query::ChalkUpload { features, switches, versioned };
        let decided = self.decide(snapshot, asked, upload)?;
        decided.permit(snapshot.settings.name_members).map(|_| ()).map_err(Failure::FeaturesRefused)
    }
}
