//! What a reload publishes: the policy over the catalogue, a candidate in its shadow, the settings, and the caches that
//! live and die with them. A request reads one snapshot, once.

mod rules;
mod shadow;
mod written;

use std::sync::Arc;

use hyper::header::HeaderValue;

use crate::auth::{Auth, Caller, Memo, Verified};
use crate::config::{Dialect, Enforcement, Limits};
use crate::dialect::Query;
use crate::dialect::json::Description;
use crate::issuer::Issuer;
use crate::proxy::{record, route::Routes};
use crate::upstream::Upstream;
pub use rules::{CallerTables, Decided, Part, Rules};
pub use shadow::{Change, Compared, Disagreement, Shadow};
pub use written::Written;

/// Everything that a request reads.
#[derive(Debug)]
pub struct Snapshot {
    /// Its number; each reload's is larger.
    pub generation: u64,
    /// What answers.
    pub rules: Arc<Rules>,
    /// What is only compared.
    pub shadow: Option<Shadow>,
    /// What the configuration says.
    pub settings: Arc<Settings>,
}

/// What the configuration says, ready for use.
#[derive(Debug)]
pub struct Settings {
    /// Who a caller is.
    pub auth: Arc<Auth>,
    /// The closed list.
    pub routes: Routes,
    /// The feature server.
    pub upstream: Upstream,
    /// Where its queries go (Chalk), or its calls (Feast): the same, but for a server with an engine of its own.
    pub engine: Upstream,
    /// What it speaks.
    pub dialect: Dialect,
    /// How a described server is spoken to.
    pub description: Option<Arc<Description>>,
    /// What clients call us.
    pub public_url: String,
    /// Of Chalk, the environment behind us.
    pub environment: Option<String>,
    /// The issuer of our own, where there is one.
    pub issuer: Option<Arc<Issuer>>,
    /// What it sees as `Authorization`.
    pub authorization: Authorization,
    /// From the request sent to the last byte of the answer.
    pub upstream_timeout: std::time::Duration,
    /// Caps and deadlines.
    pub limits: Limits,
    /// Whether what the policy says is what happens.
    pub enforcement: Enforcement,
    /// Whether members of a bundle are named on the wire.
    pub name_members: bool,
    /// Share of permitted decisions that is logged.
    pub audit_permitted: f64,
    /// How subjects are shown in the audit.
    pub subjects: Subjects,
}

/// What the upstream sees as `Authorization`.
#[derive(Debug)]
pub enum Authorization {
    /// Nothing.
    Drop,
    /// What the caller sent.
    Forward,
    /// A token of our own, marked sensitive.
    Own(HeaderValue),
}

/// How subjects are shown in the audit.
pub enum Subjects {
    /// HMAC-SHA-256 under this key, or a plain SHA-256 without one.
    Hashed(Option<Box<aws_lc_rs::hmac::Key>>),
    /// As they are.
    Plain,
}

impl std::fmt::Debug for Subjects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Hashed(_) => "Hashed",
            Self::Plain => "Plain",
        })
    }
}

impl Snapshot {
    /// The caller, with its roles by the live policy and by the candidate. Bindings are looked at once for a token and a
    /// generation.
    pub fn caller(&self, verified: &Verified<'_>) -> Caller {
        verified.caller(self.generation, |claims| Memo {
            generation: self.generation,
            roles: self.rules.roles_of(claims),
            shadow: self.shadow.as_ref().map(|shadow| shadow.rules.roles_of(claims)),
            audit: record::of_caller(claims, &self.settings.subjects).into(),
        })
    }

    /// The tables of a caller; `None` where no binding gives it a role.
    pub fn tables_of(&self, caller: &Caller) -> Option<Arc<CallerTables>> {
        self.rules.tables_of(&caller.memo().roles)
    }

    /// What the candidate would do otherwise; `None` without one. Without a decision (a caller who has no role is not
    /// heard) the roles alone are compared.
    pub fn compare(&self, caller: &Caller, live: Option<(&CallerTables, &Decided, Query<'_>)>) -> Option<Compared> {
        let shadow = self.shadow.as_ref()?;
        let roles = caller.memo().shadow.as_ref()?;
        match live {
            Some((tables, decided, query)) => Some(shadow.compare(roles, (tables, decided), query)),
            None => shadow.compare_roles(roles),
        }
    }
}
