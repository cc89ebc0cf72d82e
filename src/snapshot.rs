//! What a reload publishes: the policy over the catalogue, the settings, and the caches that live and die with them.
//! A request reads one snapshot, once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use hyper::header::HeaderValue;
use moka::sync::Cache;
use prometheus::IntCounter;

use crate::auth::{Auth, Caller};
use crate::config::Limits;
use crate::dialect::feast::{Index, Plan, Request};
use crate::metrics::Metrics;
use crate::policy::Policy;
use crate::policy::resolve::{RoleId, Table, Tables};
use crate::policy::settings::Mode;
use crate::proxy::route::Routes;
use crate::proxy::upstream::Upstream;

/// Bytes of tables that are kept.
const TABLES_BYTES: u64 = 256 << 20;
/// Requests with a larger fingerprint are decided each time.
const LARGEST_KEY_BYTES: usize = 64 << 10;

/// Everything that a request reads.
#[derive(Debug)]
pub struct Snapshot {
    /// Its number; each reload's is larger.
    pub generation: u64,
    /// Of the policy's and the catalogue's files, shown in the audit.
    pub digest: String,
    /// The rules.
    pub policy: Policy,
    /// What the dialect looks up in them.
    pub index: Index,
    /// What the configuration says.
    pub settings: Arc<Settings>,
    tables: Cache<Arc<[RoleId]>, Arc<CallerTables>>,
    plans: Cache<Arc<[u8]>, Arc<Decided>>,
    numbers: AtomicU32,
    counts: Counts,
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
    /// What it sees as `Authorization`.
    pub authorization: Authorization,
    /// From the request sent to the last byte of the answer.
    pub upstream_timeout: std::time::Duration,
    /// Caps and deadlines.
    pub limits: Limits,
    /// Whether members of a bundle are named on the wire.
    pub name_members: bool,
    /// Share of permitted decisions that is logged.
    pub audit_permitted: f64,
    /// How subjects are shown in the audit.
    pub subjects: Subjects,
    /// How many decisions are kept.
    pub decision_cache_entries: u64,
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

/// The tables of one set of roles.
#[derive(Debug)]
pub struct CallerTables {
    /// Unlike that of any other set in this snapshot.
    number: u32,
    /// The roles, sorted.
    pub roles: Box<[RoleId]>,
    /// Their tables.
    pub tables: Tables,
    /// Their mode.
    pub mode: Mode,
    /// Their names as a JSON list, for the audit.
    pub names: String,
}

/// A plan and the part of its audit line that is the same for every request.
#[derive(Debug)]
pub struct Decided {
    /// The plan.
    pub plan: Plan,
    /// Members of a JSON object, each with a comma behind it.
    pub audit: String,
}

#[derive(Debug)]
struct Counts {
    decision_hit: IntCounter,
    decision_miss: IntCounter,
    table_hit: IntCounter,
    table_miss: IntCounter,
}

impl Snapshot {
    /// Puts a snapshot together, with empty caches.
    pub fn new(generation: u64, digest: String, policy: Policy, settings: Arc<Settings>, metrics: &Metrics) -> Self {
        let tables = Cache::builder()
            .max_capacity(TABLES_BYTES)
            .weigher(|_: &Arc<[RoleId]>, tables: &Arc<CallerTables>| {
                let bytes: usize = tables.tables.iter().map(|table| table.bytes()).sum();
                u32::try_from(bytes).unwrap_or(u32::MAX)
            })
            .build();
        // An entry counts once for each KiB, so that `entries` bounds the memory too.
        let plans = Cache::builder()
            .max_capacity(settings.decision_cache_entries)
            .weigher(|key: &Arc<[u8]>, decided: &Arc<Decided>| {
                u32::try_from(1 + (key.len() * 4 + decided.audit.len()) / 1024).unwrap_or(u32::MAX)
            })
            .build();
        let count = |cache: &str, result: &str| metrics.cache_requests.with_label_values(&[cache, result]);
        let counts = Counts {
            decision_hit: count("decision", "hit"),
            decision_miss: count("decision", "miss"),
            table_hit: count("tables", "hit"),
            table_miss: count("tables", "miss"),
        };
        let index = Index::new(&policy);
        Self { generation, digest, policy, index, settings, tables, plans, numbers: AtomicU32::new(0), counts }
    }

    /// The tables of a caller; `None` where no binding gives it a role. Bindings are looked at once for a token and a
    /// generation.
    pub fn tables_of(&self, caller: &Caller) -> Option<Arc<CallerTables>> {
        let memo = caller.memo().load();
        let roles = match memo.as_deref() {
            Some((generation, roles)) if *generation == self.generation => Arc::clone(roles),
            Some(_) | None => {
                let roles: Arc<[RoleId]> = self.policy.roles_of(caller.claims()).into();
                caller.memo().store(Some(Arc::new((self.generation, Arc::clone(&roles)))));
                roles
            }
        };
        if roles.is_empty() {
            return None;
        }
        if let Some(tables) = self.tables.get(&*roles) {
            self.counts.table_hit.inc();
            return Some(tables);
        }
        self.counts.table_miss.inc();
        Some(self.tables.get_with(Arc::clone(&roles), || {
            let names: Vec<&str> = roles.iter().map(|role| self.policy.role_name(*role)).collect();
            // Two snapshots would have to make 2^32 role sets for a number to come twice.
            let number = self.numbers.fetch_add(1, Ordering::Relaxed);
            let tables = self.tables_by_group(&roles);
            let names = serde_json::to_string(&names).unwrap_or_else(|_| "[]".to_owned());
            Arc::new(CallerTables { number, mode: self.policy.mode_of(&roles), tables, names, roles: (*roles).into() })
        }))
    }

    /// Under `most_permissive` single roles share their table among the sets that hold them.
    fn tables_by_group(&self, roles: &[RoleId]) -> Tables {
        let groups = self.policy.groups(roles);
        if groups.len() < 2 {
            return self.policy.tables(roles);
        }
        let single = |group: &[RoleId]| {
            let cached = self.tables.get(group).and_then(|tables| tables.tables.first().cloned());
            cached.unwrap_or_else(|| Arc::new(Table::build(&self.policy, group)))
        };
        groups.iter().map(|group| single(group)).collect()
    }

    /// The decision on a request, from the cache where it was made before.
    pub fn decide(&self, tables: &CallerTables, request: &Request<'_>) -> Arc<Decided> {
        let mut key = Vec::with_capacity(256);
        key.extend_from_slice(&tables.number.to_le_bytes());
        request.fingerprint(&mut key);
        if let Some(decided) = self.plans.get(&*key) {
            self.counts.decision_hit.inc();
            return decided;
        }
        self.counts.decision_miss.inc();
        let plan = Plan::new(&self.policy, &self.index, &tables.tables, tables.mode, request);
        let audit = crate::proxy::record::of_plan(&plan);
        let decided = Arc::new(Decided { plan, audit });
        if key.len() <= LARGEST_KEY_BYTES {
            self.plans.insert(key.into(), Arc::clone(&decided));
        }
        decided
    }

    /// Entries of the decision cache and of the table cache.
    pub fn cache_entries(&self) -> (u64, u64) {
        (self.plans.entry_count(), self.tables.entry_count())
    }
}
