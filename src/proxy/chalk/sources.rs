//! Data sources, and what the caller may: `IntegrationsService` and `TeamService/GetAgent` (wire-chalk.md, sections 2.6 and 7).
//!
//! A decision on data sources has a line in the audit as each of a query has, with the source that it is about beside it
//! (`source`). While enforcement is suspended it is carried out all the same: it is no decision about features.

use std::sync::Arc;

use hyper::Response;
use hyper::http::request::Parts;
use prost::Message as _;
use serde_json::json;

use super::calls::Called;
use super::may_say;
use crate::auth::subject_of;
use crate::config::Enforcement;
use crate::dialect::chalk::agent;
use crate::dialect::chalk::integrations::{self, Asker, Call, Method, Refused, Step, data_source};
use crate::dialect::chalk::proto::{GetAgentRequest, Integration, ListIntegrationsRequest};
use crate::dialect::{Decision, Names, Outcome, Plan, shown, strict};
use crate::proxy::body::Incoming;
use crate::proxy::forward::Callee;
use crate::proxy::record::Made;
use crate::proxy::respond::{Body, Failure};
use crate::proxy::rpc::Answer;
use crate::proxy::{Asked, Exchange, record};
use crate::snapshot::{Decided, Snapshot};

impl Exchange<'_> {
    pub(super) async fn sources(
        &mut self,
        snapshot: &Arc<Snapshot>,
        method: Method,
        parts: &Parts,
        incoming: Incoming,
    ) -> Result<Response<Body>, Failure> {
        let asked = self.asked(snapshot, &parts.headers).await?;
        may_say(snapshot, Some(&asked.tables), &parts.headers)?;
        let (called, message) = self.called(snapshot, parts, snapshot.settings.limits.request_body, incoming).await?;
        let call = integrations::read(method, &message)?;
        let asker = Asker {
            policy: &snapshot.rules.policy,
            roles: &asked.tables.roles,
            environment: snapshot.settings.environment.as_deref(),
        };
        if let Err(refused) = call.admit(asker) {
            self.note_source(snapshot, &asked, &call, None, Decision::Refused);
            return Err(refused.into());
        }
        let listed = if call.looks_up() { self.listed(snapshot, &called).await? } else { Vec::new() };
        let step = call.clone().decide(asker, &listed);
        let decision = match &step {
            Ok(Step::Answer(_, dropped)) if *dropped > 0 => Decision::Filtered,
            Ok(Step::Answer(..) | Step::Forward(..)) => Decision::Permitted,
            Err(_) => Decision::Refused,
        };
        self.note_source(snapshot, &asked, &call, call.source(asker, &listed), decision);
        let (message, expected) = match step? {
            Step::Answer(message, _) => return self.bare(&called.call, message).await,
            Step::Forward(message, expected) => (message, expected),
        };
        let callee = Callee { to: &snapshot.settings.upstream, path: method.path(), read: false, authorized: true };
        let answer = self.onward(snapshot, &called, callee, &message).await?;
        let message = expected.filter(&answer.message).map_err(|unreadable| self.withheld(&unreadable))?;
        self.answer_call(&called.call, Answer { message, ..answer }).await
    }

    /// `TeamService/GetAgent`. Nobody but us knows.
    pub(super) async fn agent(
        &mut self,
        snapshot: &Arc<Snapshot>,
        parts: &Parts,
        incoming: Incoming,
    ) -> Result<Response<Body>, Failure> {
        let verified = self.authenticate(snapshot, &parts.headers).await?;
        let tables = self.heard(snapshot, &verified)?.tables;
        let (called, message) = self.called(snapshot, parts, snapshot.settings.limits.request_body, incoming).await?;
        let GetAgentRequest {} = strict::decode(&message)?;
        let permissions = agent::permissions(&snapshot.rules.policy, &tables.tables);
        let claims = verified.claims();
        let subject = subject_of(&claims).unwrap_or_default();
        let environment = snapshot.settings.environment.as_deref().unwrap_or_default();
        let answer = agent::answer(permissions, subject, environment);
        self.bare(&called.call, answer.encode_to_vec().into()).await
    }

    /// What data sources the server has.
    async fn listed(&mut self, snapshot: &Snapshot, called: &Called<'_>) -> Result<Vec<Integration>, Failure> {
        let message = ListIntegrationsRequest {}.encode_to_vec();
        let callee =
            Callee { to: &snapshot.settings.upstream, path: Method::List.path(), read: true, authorized: true };
        let answer = self.onward(snapshot, called, callee, &message).await?;
        integrations::listed(&answer.message).map_err(|unreadable| self.withheld(&unreadable))
    }

    /// Notes what was decided of data sources. `source`: what it was found to be about.
    fn note_source(
        &mut self,
        snapshot: &Arc<Snapshot>,
        asked: &Asked,
        call: &Call,
        source: Option<&Integration>,
        decision: Decision,
    ) {
        match decision {
            Decision::Filtered => self.metrics.filtered.inc(),
            Decision::Permitted => self.metrics.permitted.inc(),
            Decision::Refused => self.metrics.refused.inc(),
        }
        let plan = Plan {
            outcome: Outcome::Refuse(Vec::new()),
            decision,
            enforcement: Enforcement::Enforce,
            bundle: None,
            outputs: Names::default(),
            supplied: Vec::new(),
            reads: Vec::new(),
            refused: Vec::new(),
            declassified: Vec::new(),
            mode: asked.tables.mode,
            cost: 0,
        };
        let of = |of: fn(&Integration) -> Option<&str>| source.and_then(of).map(shown);
        let about = json!({
            "asked": call.about().map(shown),
            "name": of(|source| source.name.as_deref()),
            "kind": of(|source| data_source(source.kind).map(|kind| kind.name)),
        });
        let audit = format!("{}\"source\":{about},", record::of_plan(&plan));
        self.decisions.push_back(Made {
            snapshot: Arc::clone(snapshot),
            caller: asked.caller.clone(),
            tables: Arc::clone(&asked.tables),
            decided: Arc::new(Decided::with_audit(plan, audit)),
            trace_id: self.trace_id,
            unverified: false,
        });
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Manage => Self::Forbidden,
            Refused::NotFound => Self::NoSuchSource,
        }
    }
}
