//! A request and its answer on their way through a description and a policy, as the sidecar would take them.

use std::sync::Arc;

use serde::Serialize;

use super::recorded;
use crate::config::Enforcement;
use crate::dialect::json::Description;
use crate::dialect::json::answer::{self, Want};
use crate::dialect::json::description::{Method, Place};
use crate::dialect::json::filter::{cut, outputs};
use crate::dialect::json::plan::{Asked, Fate, Permit, Query};
use crate::dialect::json::request::{self, Incoming, Request};
use crate::dialect::{self, Answer, Asker, Index, Outcome, Plan, Unreadable, shown};
use crate::policy::Policy;
use crate::policy::decide::{Name, Resolved};
use crate::policy::resolve::{RoleId, Table};
use crate::policy::settings::Mode;

/// What decides.
#[derive(Clone, Copy)]
pub enum By<'p> {
    /// A policy, for a caller of these roles.
    Policy(&'p Policy, &'p [RoleId]),
    /// This empty one; what follows is shown as if all were permitted.
    Nothing(&'p Policy),
}

/// What came of it, as far as it came.
#[derive(Debug, Default, Serialize)]
pub struct Trial {
    pub read: Option<Read>,
    pub decided: Option<Decided>,
    /// What goes upstream; `None`: nothing.
    pub rewritten: Option<Rewritten>,
    pub cut: Option<Cut>,
    /// Why it came no further.
    pub failed: Option<Failed>,
}

/// What was read of the request.
#[derive(Debug, Serialize)]
pub struct Read {
    pub route: String,
    pub variables: Vec<Variable>,
    pub outputs: Vec<Named>,
    pub bundle: Option<String>,
    pub supplied: Vec<Supplied>,
    pub forced: Vec<Forced>,
}

#[derive(Debug, Serialize)]
pub struct Variable {
    pub name: String,
    pub value: String,
}

/// What the wire calls something, and its name in the catalogue.
#[derive(Debug, Serialize)]
pub struct Named {
    pub written: String,
    pub feature: String,
}

#[derive(Debug, Serialize)]
pub struct Supplied {
    pub at: String,
    pub written: String,
    /// `None`: no name can be made of it.
    pub feature: Option<String>,
    /// Whether it goes upstream; `None`: nothing does.
    pub sent: Option<bool>,
}

#[derive(Debug, Serialize)]
pub struct Forced {
    pub at: String,
    /// The caller had sent the same value, so what it adds to the answer stays.
    pub asked_for: bool,
}

#[derive(Debug, Serialize)]
pub struct Decided {
    /// Whether a policy was given.
    pub by_policy: bool,
    /// `permitted`, `filtered`, `refused`; `on the answer`: the request does not say what is asked for.
    pub decision: &'static str,
    pub mode: &'static str,
    pub outputs: Vec<Verdict>,
    /// As the caller wrote them.
    pub refused: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct Verdict {
    pub feature: String,
    pub permission: &'static str,
    pub rule: u8,
    pub tag: Option<String>,
    /// Whether the catalogue has it.
    pub known: bool,
}

#[derive(Debug, Serialize)]
pub struct Rewritten {
    pub line: String,
    pub body: String,
}

#[derive(Debug, Serialize)]
pub struct Cut {
    pub columns: Vec<Column>,
    /// How many columns were dropped.
    pub dropped: usize,
    /// Whether it passes byte for byte.
    pub as_it_came: bool,
    /// What the caller gets.
    pub body: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Column {
    pub written: String,
    /// `None`: no name can be made of it.
    pub feature: Option<String>,
    /// `kept`, `cut`, `passes` (it need not be asked for) or `unknown`.
    pub fate: &'static str,
}

#[derive(Debug, Serialize)]
pub struct Failed {
    /// As callers see it.
    pub code: &'static str,
    pub message: String,
}

impl Failed {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl From<Unreadable> for Failed {
    fn from(Unreadable(why): Unreadable) -> Self {
        Self::new("UPSTREAM_UNREADABLE", why)
    }
}

/// Tries a request, and its answer where there is one.
pub fn run(
    description: &Description,
    by: By<'_>,
    recorded: &recorded::Request,
    response: Option<&recorded::Response>,
) -> Trial {
    let mut trial = Trial::default();
    trial.failed = trial.way(description, by, recorded, response).err();
    trial
}

/// Who decides, and for whom.
struct Judge<'p> {
    policy: &'p Policy,
    roles: &'p [RoleId],
    tables: Arc<[Arc<Table>]>,
    enforcement: Enforcement,
}

impl<'p> Judge<'p> {
    fn new(by: By<'p>) -> Self {
        let (policy, roles, enforcement) = match by {
            By::Policy(policy, roles) => (policy, roles, Enforcement::Enforce),
            By::Nothing(policy) => (policy, &[][..], Enforcement::Audit),
        };
        Self { policy, roles, tables: policy.tables(roles), enforcement }
    }

    fn plan(&self, query: &Query<'_>) -> Plan {
        let asker = Asker { roles: self.roles, tables: &self.tables, mode: self.policy.mode_of(self.roles) };
        dialect::Query::Json(query).plan(self.policy, &Index::default(), asker, self.enforcement)
    }

    fn shown(&self, plan: &Plan, on_answer: bool) -> Decided {
        let decision = if on_answer { "on the answer" } else { plan.decision.name() };
        let mode = match plan.mode {
            Mode::Reject => "reject",
            Mode::Filter => "filter",
        };
        let refused = match &plan.outcome {
            Outcome::Refuse(names) => names.iter().map(|name| shown(name)).collect(),
            Outcome::Permit(_) | Outcome::Invalid(_) => Vec::new(),
        };
        let by_policy = self.enforcement == Enforcement::Enforce;
        Decided { by_policy, decision, mode, outputs: self.verdicts(plan), refused }
    }

    fn verdicts(&self, plan: &Plan) -> Vec<Verdict> {
        // A plan has names as they are shown.
        let known = |output: &str| {
            let mut features = self.policy.catalogue.features().iter();
            features.find(|feature| shown(&feature.name) == output).map(|feature| &*feature.name)
        };
        let supplied: Vec<Name<'_>> =
            plan.supplied.iter().map(|name| Name::of(self.policy, known(name).unwrap_or(name))).collect();
        let resolved = Resolved::new(self.policy, &self.tables, &supplied);
        let verdict = |output: &str| {
            let feature = known(output);
            if let Some(refusal) = plan.refused.iter().find(|refusal| *refusal.feature == *output) {
                let (permission, rule, tag) =
                    (refusal.permission.name(), refusal.rule, refusal.tag.as_deref().map(str::to_owned));
                return Verdict { feature: output.to_string(), permission, rule, tag, known: feature.is_some() };
            }
            let name = Name::of(self.policy, feature.unwrap_or(output));
            let verdict = resolved.verdict(&name, false);
            let tag = resolved.deciding_tag(&name).filter(|_| matches!(verdict.rule, 1 | 7)).map(|tag| tag.to_string());
            let (permission, rule) = (verdict.permission.name(), verdict.rule);
            Verdict { feature: output.to_string(), permission, rule, tag, known: feature.is_some() }
        };
        plan.outputs.iter().map(verdict).collect()
    }
}

impl Trial {
    fn way(
        &mut self,
        description: &Description,
        by: By<'_>,
        recorded: &recorded::Request,
        response: Option<&recorded::Response>,
    ) -> Result<(), Failed> {
        let method = match recorded.method.as_str() {
            "GET" => Some(Method::Get),
            "POST" => Some(Method::Post),
            _ => None,
        };
        let found = method.and_then(|method| description.route(method, &recorded.path));
        let (number, route) = found.ok_or_else(|| {
            let message = format!("no route of the description is `{} {}`", recorded.method, shown(&recorded.path));
            Failed::new("NOT_FOUND", message)
        })?;
        let incoming = Incoming { path: &recorded.path, parameters: &recorded.parameters, body: &recorded.body };
        let request = request::read(route, number, incoming).map_err(|why| Failed::new("INVALID_QUERY", why.0))?;
        let read = self.read.insert(read(&recorded.method, &request));

        let judge = Judge::new(by);
        let plan = judge.plan(&request.query);
        let permit = match &plan.outcome {
            Outcome::Invalid(why) => return Err(Failed::new("INVALID_QUERY", why.0.clone())),
            Outcome::Permit(dialect::Permit::Json(permit)) => Some(permit),
            Outcome::Permit(_) | Outcome::Refuse(_) => None,
        };
        self.decided = Some(judge.shown(&plan, permit.is_some_and(|permit| permit.on_answer)));
        let Some(permit) = permit else { return Ok(()) };
        for (shown, supply) in read.supplied.iter_mut().zip(&request.query.supplied) {
            shown.sent = Some(route.request.untouched || permit.forwards(supply));
        }
        let rewritten = request::rewrite(&request, permit);
        let body = String::from_utf8_lossy(&rewritten.body).into_owned();
        self.rewritten = Some(Rewritten { line: format!("{} {}", recorded.method, rewritten.path), body });
        let Some(response) = response else { return Ok(()) };
        if response.status != 200 {
            let message = format!("an answer with the status {} is replaced by an error", response.status);
            return Err(Failed::new("UPSTREAM_FAILED", message));
        }
        if let Some(odd) = response.odd {
            return Err(Failed::new("UPSTREAM_UNREADABLE", odd));
        }
        if !permit.on_answer {
            return self.cut(&request, permit, response);
        }
        let answered = request.query.answered(outputs(&request, permit, &response.body)?);
        let plan = judge.plan(&Query { asked: answered, ..request.query.clone() });
        self.decided = Some(judge.shown(&plan, false));
        match &plan.outcome {
            Outcome::Permit(dialect::Permit::Json(permit)) => self.cut(&request, permit, response),
            Outcome::Invalid(why) => Err(Failed::new("INVALID_QUERY", why.0.clone())),
            Outcome::Permit(_) | Outcome::Refuse(_) => Ok(()),
        }
    }

    fn cut(&mut self, request: &Request<'_>, permit: &Permit, response: &recorded::Response) -> Result<(), Failed> {
        let mut columns: Vec<Column> = Vec::new();
        // All of them are shown, also where one is in the way.
        let want = Want { kept: &|_| None, asked_for: &[] };
        answer::cut(&response.body, &request.query.route.answer, &want, &mut |column| {
            let fate = match permit.fate(&request.query, column.name, column.scope) {
                Some(Fate::Keep) => "kept",
                Some(Fate::Extra) if permit.all => "kept",
                Some(Fate::Extra) => "passes",
                Some(Fate::Cut) => "cut",
                None => "unknown",
            };
            let feature = request.query.feature(column.name, column.scope).map(|feature| shown(&feature));
            let column = Column { written: shown(column.name), feature, fate };
            if !columns.contains(&column) {
                columns.push(column);
            }
            Some(Fate::Cut)
        })?;
        let cut_to = self.cut.insert(Cut { columns, dropped: 0, as_it_came: false, body: None });
        let body = match cut(request, permit, &response.body)? {
            Answer::AsItCame => {
                cut_to.as_it_came = true;
                response.body.clone()
            }
            Answer::Cut { body, dropped } => {
                cut_to.dropped = dropped;
                body.whole(&response.body)
            }
        };
        cut_to.body = Some(String::from_utf8_lossy(&body).into_owned());
        Ok(())
    }
}

fn read(method: &str, request: &Request<'_>) -> Read {
    let query = &request.query;
    let route = query.route;
    let (mut outputs, mut bundle) = (Vec::new(), None);
    match &query.asked {
        Asked::Outputs(all) | Asked::Answered { outputs: all, .. } => {
            outputs.extend(
                all.iter().map(|output| Named { written: shown(&output.written), feature: shown(&output.feature) }),
            );
        }
        Asked::Bundle(name) => bundle = Some(shown(name)),
        Asked::Nothing => {}
    }
    let at = |place: usize| match route.request.supplied.get(place).map(|supplied| &supplied.at) {
        Some(Place::Body(pointer)) => pointer.to_string(),
        Some(Place::Query(_)) => "the query string".to_owned(),
        Some(Place::Path(_)) | None => "the path".to_owned(),
    };
    let supplied = query.supplied.iter().map(|supply| Supplied {
        at: at(supply.place),
        written: shown(&supply.written),
        feature: supply.feature.as_deref().map(shown),
        sent: None,
    });
    let variable =
        |(name, value): &(&str, std::borrow::Cow<'_, str>)| Variable { name: (*name).to_owned(), value: shown(value) };
    let forced = route.request.force.iter().zip(&request.asked_for);
    Read {
        route: format!("{method} {}", route.path),
        variables: query.variables.iter().map(variable).collect(),
        outputs,
        bundle,
        supplied: supplied.collect(),
        forced: forced.map(|(force, asked_for)| Forced { at: force.at.to_string(), asked_for: *asked_for }).collect(),
    }
}
