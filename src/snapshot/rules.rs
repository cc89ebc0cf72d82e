//! A policy ready to decide by: what the dialect looks up in it, and the caches that live and die with it.

use std::cell::Cell;
use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use foldhash::quality::RandomState;
use prometheus::IntCounter;
use quick_cache::Weighter;
use quick_cache::sync::{Cache, DefaultLifecycle};
use serde_json::{Map, Value};

use crate::chalk::Switch;
use crate::config::Enforcement;
use crate::dialect::chalk::plan::Settings;
use crate::dialect::{Asker, Index, Outcome, Permit, Plan, Query};
use crate::metrics::Metrics;
use crate::policy::Policy;
use crate::policy::resolve::{RoleId, Table, Tables};
use crate::policy::settings::Mode;
use crate::proxy::record;
use crate::snapshot::Written;

#[cfg(test)]
mod tests;

/// Bytes of tables that are kept.
const TABLES_BYTES: u64 = 256 << 20;
/// About how many these are: few, so that the cache has few parts, and a set of many large tables fits in one.
const TABLES: usize = 64;
/// Requests with a larger fingerprint are decided each time.
const LARGEST_KEY_BYTES: usize = 64 << 10;
/// About what a plan holds of each feature that a short name stands for: its name as output and as field.
const FEATURE_BYTES: usize = 256;
/// Sets of roles that callers share a list of; a caller with another set has a list of its own.
const SHARED_SETS: usize = 4096;
/// About what a line says of each name.
const NAME_BYTES: usize = 64;
/// The number of the set without a role; 2^32 sets would have to be made for it to come twice.
const NOBODY: u32 = u32::MAX;

thread_local! {
    /// Where a thread writes the key that it looks for.
    static KEY: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The policy over the catalogue.
#[derive(Debug)]
pub struct Rules {
    /// Of the policy's and the catalogue's files, shown in the audit.
    pub digest: String,
    /// What the files say.
    pub policy: Policy,
    /// What the dialect looks up in them.
    pub index: Index,
    /// The files.
    pub written: Written,
    enforcement: Enforcement,
    tables: Cache<Arc<[RoleId]>, Arc<CallerTables>, TablesWeigh>,
    plans: Cache<Arc<[u8]>, Arc<Decided>, PlansWeigh, RandomState>,
    numbers: AtomicU32,
    sets: Mutex<HashSet<Arc<[RoleId]>>>,
    counts: Counts,
}

/// The tables of one set of roles.
#[derive(Debug)]
pub struct CallerTables {
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
    audit: OnceLock<String>,
}

#[derive(Debug)]
struct Counts {
    decision_hit: IntCounter,
    decision_miss: IntCounter,
    table_hit: IntCounter,
    table_miss: IntCounter,
}

/// Tables count by their bytes.
#[derive(Clone, Debug)]
struct TablesWeigh;

impl Weighter<Arc<[RoleId]>, Arc<CallerTables>> for TablesWeigh {
    fn weight(&self, _: &Arc<[RoleId]>, tables: &Arc<CallerTables>) -> u64 {
        tables.tables.iter().map(|table| table.bytes() as u64).sum()
    }
}

/// A plan counts once for each KiB, so that the number of entries bounds the memory too.
#[derive(Clone, Debug)]
struct PlansWeigh;

impl Weighter<Arc<[u8]>, Arc<Decided>> for PlansWeigh {
    fn weight(&self, key: &Arc<[u8]>, decided: &Arc<Decided>) -> u64 {
        let plan = &decided.plan;
        let named = (plan.outputs.len() + plan.reads.len() + plan.refused.len()) * NAME_BYTES;
        let bytes = key.len() * 4 + named + plan.cost * FEATURE_BYTES;
        1 + bytes as u64 / 1024
    }
}

/// Whose caches they are, in `cache_requests_total{cache}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What answers.
    Live,
    /// What is only compared.
    Shadow,
}

impl Decided {
    /// A decision; its part of the audit line is made when there is one.
    pub fn new(plan: Plan) -> Self {
        Self { plan, audit: OnceLock::new() }
    }

    /// One whose line says more.
    pub fn with_audit(plan: Plan, audit: String) -> Self {
        Self { plan, audit: audit.into() }
    }

    /// What every line about it says: members of a JSON object, each with a comma behind it.
    pub fn audit(&self) -> &str {
        self.audit.get_or_init(|| record::of_plan(&self.plan))
    }

    /// What goes upstream and may come back.
    ///
    /// # Errors
    /// The names that are refused, as the caller wrote them; with `name_members` those behind a bundle, a namespace or a
    /// relation, too.
    pub fn permit(&self, name_members: bool) -> Result<&Permit, Vec<String>> {
        let written = match &self.plan.outcome {
            Outcome::Permit(permit) => return Ok(permit),
            Outcome::Refuse(names) => names,
            // It is told before.
            Outcome::Invalid(_) => return Err(Vec::new()),
        };
        let mut names = written.clone();
        if name_members {
            let members = self.plan.refused.iter().map(|refusal| &*refusal.feature);
            let written: HashSet<&str> = written.iter().map(String::as_str).collect();
            names.extend(members.filter(|member| !written.contains(member)).map(str::to_owned));
        }
        Err(names)
    }
}

impl CallerTables {
    /// Unlike that of any other set under the same rules.
    pub(super) fn number(&self) -> u32 {
        self.number
    }
}

impl Rules {
    /// Puts rules together, with empty caches. `entries`: how many decisions are kept.
    pub fn new(
        part: Part,
        digest: String,
        policy: Policy,
        enforcement: Enforcement,
        chalk: Settings,
        entries: u64,
        metrics: &Metrics,
    ) -> Self {
        let tables = Cache::with_weighter(TABLES, TABLES_BYTES, TablesWeigh);
        let estimate = usize::try_from(entries).unwrap_or(usize::MAX);
        let plans = Cache::with(estimate, entries, PlansWeigh, RandomState::default(), DefaultLifecycle::default());
        let (decision, table) = match part {
            Part::Live => ("decision", "tables"),
            Part::Shadow => ("shadow", "shadow_tables"),
        };
        let count = |cache: &str, result: &str| metrics.cache_requests.with_label_values(&[cache, result]);
        let counts = Counts {
            decision_hit: count(decision, "hit"),
            decision_miss: count(decision, "miss"),
            table_hit: count(table, "hit"),
            table_miss: count(table, "miss"),
        };
        let index = Index::new(&policy, chalk);
        Self {
            digest,
            policy,
            index,
            written: Written::default(),
            enforcement,
            tables,
            plans,
            numbers: AtomicU32::new(0),
            sets: Mutex::default(),
            counts,
        }
    }

    /// With the files that they were read from.
    pub fn with_files(self, written: Written) -> Self {
        Self { written, ..self }
    }

    /// The roles that a caller's claims give, sorted, each once. Callers with the same roles share one list.
    pub fn roles_of(&self, claims: &Map<String, Value>) -> Arc<[RoleId]> {
        let roles = self.policy.roles_of(claims);
        // Every change of the set is one call.
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = sets.get(&*roles) {
            return Arc::clone(shared);
        }
        let roles: Arc<[RoleId]> = roles.into();
        if sets.len() < SHARED_SETS {
            sets.insert(Arc::clone(&roles));
        }
        roles
    }

    /// The tables of a set of roles, sorted; `None` for the empty set.
    pub fn tables_of(&self, roles: &Arc<[RoleId]>) -> Option<Arc<CallerTables>> {
        if roles.is_empty() {
            return None;
        }
        if let Some(tables) = self.tables.get(&**roles) {
            self.counts.table_hit.inc();
            return Some(tables);
        }
        self.counts.table_miss.inc();
        let made = self.tables.get_or_insert_with(roles, || {
            let names: Vec<&str> = roles.iter().map(|role| self.policy.role_name(*role)).collect();
            let number = self.numbers.fetch_add(1, Ordering::Relaxed);
            let tables = self.tables_by_group(roles);
            let names = serde_json::to_string(&names).unwrap_or_else(|_| "[]".to_owned());
            let mode = self.policy.mode_of(roles);
            Ok::<_, Infallible>(Arc::new(CallerTables { number, mode, tables, names, roles: (**roles).into() }))
        });
        made.ok()
    }

    /// The tables of a caller without a role: everything is denied.
    pub fn nobody(&self) -> Arc<CallerTables> {
        Arc::new(CallerTables {
            number: NOBODY,
            roles: [].into(),
            tables: Arc::from(Vec::new()),
            mode: self.policy.mode_of(&[]),
            names: "[]".to_owned(),
        })
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

    /// What a decision on this query reads: the caller's set of roles, and the query's fingerprint.
    pub(super) fn key(tables: &CallerTables, query: Query<'_>) -> Vec<u8> {
        let mut key = Vec::with_capacity(256);
        Self::write_key(tables, query, &mut key);
        key
    }

    fn write_key(tables: &CallerTables, query: Query<'_>, key: &mut Vec<u8>) {
        key.extend_from_slice(&tables.number.to_le_bytes());
        query.fingerprint(key);
    }

    /// The decision on a query, from the cache where it was made before.
    pub fn decide(&self, tables: &CallerTables, query: Query<'_>) -> Arc<Decided> {
        if !query.cached() {
            return self.decide_anew(tables, query);
        }
        let mut key = KEY.try_with(Cell::take).unwrap_or_default();
        key.clear();
        Self::write_key(tables, query, &mut key);
        let decided = match self.plans.get(&*key) {
            Some(decided) => {
                self.counts.decision_hit.inc();
                decided
            }
            None => {
                let decided = self.decide_anew(tables, query);
                if key.len() <= LARGEST_KEY_BYTES {
                    self.plans.insert(Arc::from(&*key), Arc::clone(&decided));
                }
                decided
            }
        };
        if key.capacity() <= LARGEST_KEY_BYTES {
            // A thread that ends needs it no more.
            let _ = KEY.try_with(|kept| kept.set(key));
        }
        decided
    }

    fn decide_anew(&self, tables: &CallerTables, query: Query<'_>) -> Arc<Decided> {
        self.counts.decision_miss.inc();
        let asker = Asker { roles: &tables.roles, tables: &tables.tables, mode: tables.mode };
        Arc::new(Decided::new(query.plan(&self.policy, &self.index, asker, self.enforcement)))
    }

    /// Whether roles may use a switch of the Chalk dialect.
    pub fn allows(&self, roles: &[RoleId], switch: Switch) -> bool {
        self.index.allows(switch) || self.policy.allows(roles, switch)
    }

    /// Entries of the decision cache and of the table cache.
    pub fn cache_entries(&self) -> (u64, u64) {
        (self.plans.len() as u64, self.tables.len() as u64)
    }
}
