//! The decision on a query, in whichever dialect: what happens with it, and what is recorded of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::chalk::Switch;
use crate::config::Enforcement;
use crate::dialect::names::{Names, Recorded};
use crate::dialect::{Invalid, chalk, feast, json, shown};
use crate::policy::Policy;
use crate::policy::decide::{Name, Resolved, Verdict};
use crate::policy::permission::Permission;
use crate::policy::resolve::{RoleId, Table};
use crate::policy::settings::Mode;

/// A query as a dialect read it.
#[derive(Clone, Copy, Debug)]
pub enum Query<'q> {
    /// Feast's online query.
    Feast(&'q feast::Request<'q>),
    /// A search of Feast.
    FeastSearch(&'q feast::Search<'q>),
    /// A write to Feast.
    FeastWrite(&'q feast::Write<'q>),
    /// One query to Chalk.
    Chalk(&'q chalk::query::Query<'q>),
    /// One to a described server.
    Json(&'q json::plan::Query<'q>),
    /// An upload to Chalk.
    ChalkUpload {
        /// The features that are written.
        features: &'q [String],
        /// Parts that need a permission of their own.
        switches: &'q BTreeSet<Switch>,
        /// Whether a name without a version means version 1.
        versioned: bool,
    },
}

/// What a dialect looks up in a policy, made once for each.
#[derive(Debug, Default)]
pub struct Index {
    feast: feast::Index,
    chalk: chalk::plan::Settings,
}

/// What goes upstream and what may come back.
#[derive(Debug)]
pub enum Permit {
    /// Of Feast.
    Feast(Box<feast::Permit>),
    /// Of Feast, to write.
    FeastWrite(feast::Written),
    /// Of Chalk.
    Chalk(chalk::query::Permit),
    /// Of a described server.
    Json(Box<json::plan::Permit>),
}

/// Whose query is decided.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// The roles, sorted.
    pub roles: &'a [RoleId],
    /// Their tables.
    pub tables: &'a [Arc<Table>],
    /// Their mode.
    pub mode: Mode,
}

/// A decided query. Depends on nothing of the query but its [`Query::fingerprint`].
#[derive(Debug)]
pub struct Plan {
    /// What happens.
    pub outcome: Outcome,
    /// What the policy says; what happens is the same unless enforcement is suspended.
    pub decision: Decision,
    /// Whether the policy's answer is what happens.
    pub enforcement: Enforcement,
    /// The bundle's name, where the caller gave one: a feature service, a named query.
    pub bundle: Option<String>,
    /// The outputs as decided.
    pub outputs: Names,
    /// What counts as supplied.
    pub supplied: Vec<Recorded>,
    /// What the caller's expressions read.
    pub reads: Vec<Recorded>,
    /// Every refused feature, also where it was only taken out.
    pub refused: Vec<Refusal>,
    /// Outputs that are returned only because their lineage or a tag clears them, and through what.
    pub declassified: Vec<(String, String)>,
    /// The mode it was decided in.
    pub mode: Mode,
    /// Features that a query to Chalk stands for, each once more for each relation on the way to it.
    pub cost: usize,
}

/// What the policy says of a query, the strictest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Decision {
    /// Everything may be answered.
    Permitted,
    /// Some outputs are taken out.
    Filtered,
    /// Nothing may be answered.
    Refused,
}

impl Decision {
    /// Its word in audit lines, spans and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Permitted => "permitted",
            Self::Filtered => "filtered",
            Self::Refused => "refused",
        }
    }
}

/// What happens with a query.
#[derive(Debug)]
pub enum Outcome {
    /// It goes upstream.
    Permit(Permit),
    /// It does not; these names, as the caller wrote them, are refused.
    Refuse(Vec<String>),
    /// It cannot be meant.
    Invalid(Invalid),
}

/// A refused feature and why, for the audit.
#[derive(Debug)]
pub struct Refusal {
    /// The feature.
    pub feature: Recorded,
    /// What it resolves to.
    pub permission: Permission,
    /// Which rule decided (policy.md, Resolution 3).
    pub rule: u8,
    /// The tag that decided, where rule 7 or 1 did by one.
    pub tag: Option<Arc<str>>,
}

impl Index {
    /// Reads the policy's names. `chalk`: what the configuration lets any role do.
    pub fn new(policy: &Policy, chalk: chalk::plan::Settings) -> Self {
        Self { feast: feast::Index::new(policy), chalk }
    }

    /// Whether the configuration lets any role use a switch of the Chalk dialect.
    pub fn allows(&self, switch: Switch) -> bool {
        self.chalk.allow.contains(&switch)
    }
}

impl Permit {
    /// Of Feast.
    pub(super) fn feast(permit: feast::Permit) -> Self {
        Self::Feast(Box::new(permit))
    }

    /// How many outputs were taken out.
    pub fn filtered(&self) -> usize {
        match self {
            Self::Feast(permit) => permit.filtered,
            Self::FeastWrite(_) => 0,
            Self::Chalk(permit) => permit.filtered,
            Self::Json(permit) => permit.filtered,
        }
    }
}

impl Query<'_> {
    /// Everything that a decision on this query reads, besides the caller and the policy: compared in full by the
    /// decision cache.
    pub fn fingerprint(&self, out: &mut Vec<u8>) {
        match self {
            Self::Feast(request) => request.fingerprint(out),
            Self::FeastSearch(search) => search.fingerprint(out),
            Self::FeastWrite(write) => write.fingerprint(out),
            Self::Chalk(query) => query.fingerprint(out),
            Self::Json(query) => query.fingerprint(out),
            Self::ChalkUpload { features, switches, versioned } => {
                chalk::plan::fingerprint_of_upload(features, switches, *versioned, out)
            }
        }
    }

    /// Whether the decision is kept for the next such query; not where it has expressions, of which each is new.
    pub fn cached(&self) -> bool {
        match self {
            Self::Feast(_) | Self::FeastSearch(_) | Self::Json(_) => true,
            Self::Chalk(query) => query.expressions.is_empty(),
            Self::FeastWrite(_) | Self::ChalkUpload { .. } => false,
        }
    }

    /// Decides it. With `enforcement: audit` the decision is made all the same, and what the caller asked for goes
    /// upstream; a query that cannot be meant stays invalid.
    pub fn plan(&self, policy: &Policy, index: &Index, asker: Asker<'_>, enforcement: Enforcement) -> Plan {
        let mut plan = Plan {
            outcome: Outcome::Refuse(Vec::new()),
            decision: Decision::Refused,
            enforcement,
            bundle: None,
            outputs: Names::default(),
            supplied: Vec::new(),
            reads: Vec::new(),
            refused: Vec::new(),
            declassified: Vec::new(),
            mode: asker.mode,
            cost: 0,
        };
        plan.outcome = match self {
            Self::Feast(request) => feast::decide(&mut plan, policy, &index.feast, asker.tables, request),
            Self::FeastSearch(search) => feast::search::decide(&mut plan, policy, &index.feast, asker.tables, search),
            Self::FeastWrite(write) => Ok(feast::write::decide(&mut plan, policy, &index.feast, asker, write)),
            Self::Chalk(query) => chalk::plan::decide(&mut plan, policy, &index.chalk, asker, query),
            Self::Json(query) => json::plan::decide(&mut plan, policy, asker.tables, query),
            Self::ChalkUpload { features, switches, versioned } => {
                chalk::plan::decide_upload(&mut plan, policy, &index.chalk, asker, (features, switches, *versioned))
            }
        }
        .unwrap_or_else(Outcome::Invalid);
        plan.decision = match &plan.outcome {
            Outcome::Permit(permit) if permit.filtered() > 0 => Decision::Filtered,
            Outcome::Permit(_) => Decision::Permitted,
            Outcome::Refuse(_) | Outcome::Invalid(_) => Decision::Refused,
        };
        if enforcement == Enforcement::Audit && !matches!(plan.outcome, Outcome::Invalid(_)) {
            let all = match self {
                Self::Feast(request) => feast::unenforced(policy, request).map(Permit::feast),
                Self::FeastSearch(search) => feast::search::unenforced(policy, &index.feast, search).map(Permit::feast),
                Self::FeastWrite(write) => {
                    Ok(Permit::FeastWrite(feast::write::unenforced(policy, &index.feast, write)))
                }
                Self::Chalk(query) => Ok(Permit::Chalk(chalk::plan::unenforced(query))),
                Self::Json(_) => Ok(Permit::Json(Box::new(json::plan::unenforced(&plan.outcome)))),
                Self::ChalkUpload { .. } => Ok(Permit::Chalk(chalk::query::Permit::default())),
            };
            plan.outcome = all.map_or_else(Outcome::Invalid, Outcome::Permit);
        }
        plan
    }
}

impl Plan {
    /// Notes that a feature is refused. `feature`: how it is recorded.
    pub(super) fn refuse(&mut self, resolved: &Resolved<'_>, name: &Name<'_>, feature: &str, verdict: Verdict) {
        self.refuse_shown(resolved, name, shown(feature).into(), verdict);
    }

    /// The same of a feature that is written as it is recorded.
    pub(super) fn refuse_shown(
        &mut self,
        resolved: &Resolved<'_>,
        name: &Name<'_>,
        feature: Recorded,
        verdict: Verdict,
    ) {
        let decided_by_tag = matches!(verdict.rule, 1 | 7);
        let tag = if decided_by_tag { resolved.deciding_tag(name).cloned() } else { None };
        self.refused.push(Refusal { feature, permission: verdict.permission, rule: verdict.rule, tag });
    }
}
