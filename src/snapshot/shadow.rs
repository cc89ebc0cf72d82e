//! A candidate beside the live policy: it decides the same queries, changes no answer, and tells where it would.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::dialect::{Decision, Outcome, Plan, Query, Refusal};
use crate::policy::resolve::RoleId;
use crate::snapshot::rules::{CallerTables, Decided, Rules};

/// Queries that a generation tells of one by one; the rest is counted.
const MOST_TOLD: usize = 10_000;
/// Outputs and reasons that a line names.
const MOST_NAMED: usize = 10;

/// The candidate's rules, and what was compared.
#[derive(Debug)]
pub struct Shadow {
    /// The candidate.
    pub rules: Arc<Rules>,
    comparisons: Cache<Arc<[u8]>, Arc<Vec<Disagreement>>, ComparisonsWeigh>,
    told: Mutex<HashSet<[u8; 32]>>,
}

/// A comparison counts by its key.
#[derive(Clone, Debug)]
struct ComparisonsWeigh;

impl Weighter<Arc<[u8]>, Arc<Vec<Disagreement>>> for ComparisonsWeigh {
    fn weight(&self, key: &Arc<[u8]>, _: &Arc<Vec<Disagreement>>) -> u64 {
        1 + key.len() as u64 / 256
    }
}

/// What the candidate would answer otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disagreement {
    /// In which direction.
    pub change: Change,
    /// The outputs that one of the two returns and the other does not, at most ten and how many more.
    pub outputs: String,
    /// Which permissions and rules make it.
    pub reason: String,
}

/// In which direction a candidate differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It returns more.
    Wider,
    /// It returns less.
    Narrower,
}

impl Change {
    /// As in `shadow_disagreements_total{change}`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wider => "wider",
            Self::Narrower => "narrower",
        }
    }
}

/// What a comparison found, and whether it is found for the first time.
#[derive(Debug)]
pub struct Compared {
    /// Empty where both answer the same.
    pub disagreements: Arc<Vec<Disagreement>>,
    /// The candidate's roles of the caller, as a JSON list.
    pub roles: String,
    /// This generation did not tell of this query yet.
    pub first: bool,
}

impl Shadow {
    /// Puts a candidate beside, with nothing compared. `entries`: how many comparisons are kept.
    pub fn new(rules: Arc<Rules>, entries: u64) -> Self {
        let expected = usize::try_from(entries).unwrap_or(usize::MAX);
        let comparisons = Cache::with_weighter(expected, entries, ComparisonsWeigh);
        Self { rules, comparisons, told: Mutex::default() }
    }

    /// The same candidate, with nothing compared.
    pub fn anew(&self, entries: u64) -> Self {
        Self::new(Arc::clone(&self.rules), entries)
    }

    /// Decides a query as the candidate would, and compares. `roles`: those that the candidate's bindings give.
    pub fn compare(&self, roles: &Arc<[RoleId]>, live: (&CallerTables, &Decided), query: Query<'_>) -> Compared {
        let tables = self.rules.tables_of(roles).unwrap_or_else(|| self.rules.nobody());
        let mut key = live.0.number().to_le_bytes().to_vec();
        key.extend_from_slice(&Rules::key(&tables, query));
        let key: Arc<[u8]> = key.into();
        let disagreements = self.comparisons.get(&*key).unwrap_or_else(|| {
            let candidate = self.rules.decide(&tables, query);
            let found = Arc::new(disagreements(&live.1.plan, &candidate.plan, roles.is_empty()));
            self.comparisons.insert(Arc::clone(&key), Arc::clone(&found));
            found
        });
        let first = !disagreements.is_empty() && self.tells(&key);
        Compared { disagreements, roles: tables.names.clone(), first }
    }

    /// A caller to whom the live policy gives no role, so that its query is not read: whether the candidate gives one.
    pub fn compare_roles(&self, roles: &Arc<[RoleId]>) -> Option<Compared> {
        let tables = self.rules.tables_of(roles)?;
        let reason = "the live policy gives this caller no role".to_owned();
        let wider = Disagreement { change: Change::Wider, outputs: "not read".to_owned(), reason };
        let first = self.tells(tables.names.as_bytes());
        Some(Compared { disagreements: Arc::new(vec![wider]), roles: tables.names.clone(), first })
    }

    fn tells(&self, key: &[u8]) -> bool {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, key).as_ref());
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() == MOST_TOLD && !told.contains(&hash) {
            return false;
        }
        let first = told.insert(hash);
        if first && told.len() == MOST_TOLD {
            tracing::warn!(
                MOST_TOLD,
                "so many queries are decided otherwise by the shadow policy; further ones are only counted"
            );
        }
        first
    }
}

/// What a plan lets the caller have.
fn returned(plan: &Plan) -> Vec<&str> {
    if plan.decision == Decision::Refused {
        return Vec::new();
    }
    let refused: HashSet<&str> = plan.refused.iter().map(|refusal| &*refusal.feature).collect();
    plan.outputs.iter().filter(|output| !refused.contains(output)).collect()
}

fn disagreements(live: &Plan, candidate: &Plan, nobody: bool) -> Vec<Disagreement> {
    let (before, after) = (returned(live), returned(candidate));
    let directions =
        [(Change::Wider, &after, &before, live, candidate), (Change::Narrower, &before, &after, candidate, live)];
    let mut found = Vec::new();
    for (change, more, less, refusing, other) in directions {
        let less: HashSet<&str> = less.iter().copied().collect();
        let outputs: Vec<&str> = more.iter().copied().filter(|output| !less.contains(output)).collect();
        if outputs.is_empty() {
            continue;
        }
        let who = if change == Change::Wider { "the live policy" } else { "the candidate" };
        let reason = if nobody && change == Change::Narrower {
            "the candidate gives this caller no role".to_owned()
        } else {
            reason(who, refusing, other)
        };
        found.push(Disagreement { change, outputs: some(&outputs), reason });
    }
    found
}

/// Why `refusing` does not return what `other` does.
fn reason(who: &str, refusing: &Plan, other: &Plan) -> String {
    if let Outcome::Invalid(invalid) = &refusing.outcome {
        return format!("{who} cannot decide it: {invalid}");
    }
    let known: HashMap<&str, &Refusal> = other.refused.iter().map(|refusal| (&*refusal.feature, refusal)).collect();
    let new = |refusal: &&Refusal| known.get(&*refusal.feature).is_none_or(|o| o.permission != refusal.permission);
    let tell = |refusal: &Refusal| {
        let tag = refusal.tag.as_ref().map(|tag| format!(", tag `{tag}`")).unwrap_or_default();
        format!("`{}` is {} by rule {}{tag}", &*refusal.feature, refusal.permission, refusal.rule)
    };
    let told: Vec<String> = refusing.refused.iter().filter(new).map(tell).collect();
    if told.is_empty() {
        return format!("the mode of {who} refuses the whole query");
    }
    format!("for {who}, {}", some(&told.iter().map(String::as_str).collect::<Vec<_>>()))
}

fn some(names: &[&str]) -> String {
    let mut text = names.iter().take(MOST_NAMED).copied().collect::<Vec<_>>().join(", ");
    if let Some(more) = names.len().checked_sub(MOST_NAMED).filter(|more| *more > 0) {
        text.push_str(&format!(" and {more} more"));
    }
    text
}
