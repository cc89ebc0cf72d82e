//! Recorded queries decided under both sides (config.md, Audit line).
//!
//! A log is folded into its distinct queries line by line, so that it takes no more memory than those. What is decided
//! is what was recorded: roles, outputs, supplied names; who holds which roles is not asked again.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::policy::Policy;
use crate::policy::decide::{Name, Resolved};
use crate::policy::diff::union::Side;
use crate::policy::permission::Permission;
use crate::policy::resolve::{RoleId, Table, own_of_role};
use crate::policy::settings::Mode;

/// Callers of one query are counted up to this.
pub const MOST_CALLERS: usize = 1000;
/// Unreadable lines are named up to this.
const MOST_NAMED: usize = 10;

/// What of an audit line is read.
#[derive(Debug, Deserialize)]
struct Line {
    time: String,
    caller: String,
    roles: Vec<String>,
    #[serde(default)]
    query: Option<String>,
    outputs: Vec<String>,
    supplied: Vec<String>,
    mode: String,
    decision: String,
    #[serde(default)]
    refused: Vec<serde::de::IgnoredAny>,
}

/// What tells queries apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Asked {
    roles: Vec<String>,
    query: Option<String>,
    outputs: Vec<String>,
    supplied: Vec<String>,
    mode: String,
}

#[derive(Debug, Default)]
struct Seen {
    count: u64,
    callers: HashSet<String>,
    last: String,
    /// As it was decided last; `None`: by nothing that a policy says.
    decision: Option<String>,
}

/// A log that is being read.
#[derive(Debug, Default)]
pub struct Log {
    queries: HashMap<Asked, Seen>,
    lines: u64,
    unreadable: u64,
    named: Vec<u64>,
}

impl Log {
    /// Takes one line, with its number from 1. Empty lines are nothing.
    pub fn line(&mut self, number: u64, bytes: &[u8]) {
        if bytes.trim_ascii().is_empty() {
            return;
        }
        self.lines += 1;
        let Ok(Line { time, caller, mut roles, query, mut outputs, mut supplied, mode, decision, refused }) =
            serde_json::from_slice(bytes)
        else {
            self.unreadable += 1;
            if self.named.len() < MOST_NAMED {
                self.named.push(number);
            }
            return;
        };
        for list in [&mut roles, &mut outputs, &mut supplied] {
            list.sort_unstable();
            list.dedup();
        }
        let seen = self.queries.entry(Asked { roles, query, outputs, supplied, mode }).or_default();
        seen.count += 1;
        if seen.callers.len() < MOST_CALLERS {
            seen.callers.insert(caller);
        }
        if time >= seen.last {
            seen.last = time;
            // A refusal that names nothing was for the form of the query.
            let decided = matches!(&*decision, "permitted" | "filtered") || !refused.is_empty();
            seen.decision = Some(decision).filter(|_| decided);
        }
    }

    /// How many lines there were.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Whether any line was one of an audit log.
    pub fn readable(&self) -> bool {
        !self.queries.is_empty()
    }

    /// Decides every distinct query under both sides.
    pub fn replay(self, old: Side<'_>, new: Side<'_>) -> Replayed {
        let mut queries: Vec<(Asked, Seen)> = self.queries.into_iter().collect();
        // By roles, so that tables are built once for each set of them, and dropped.
        queries.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut replayed = Replayed {
            lines: self.lines,
            unreadable: self.unreadable,
            unreadable_lines: self.named,
            queries: queries.len(),
            ..Replayed::default()
        };
        for group in queries.chunk_by(|(a, _), (b, _)| a.roles == b.roles) {
            let Some((first, _)) = group.first() else { continue };
            let (before, after) = (Callers::new(old.policy, &first.roles), Callers::new(new.policy, &first.roles));
            for (asked, seen) in group {
                let (was, is) = (before.outcome(old, asked), after.outcome(new, asked));
                let disagrees = seen.decision.as_ref().is_some_and(|recorded| recorded != was.word());
                let change = || Change {
                    roles: asked.roles.clone(),
                    query: asked.query.clone(),
                    outputs: asked.outputs.clone(),
                    supplied: asked.supplied.clone(),
                    old: was.word(),
                    new: is.word(),
                    gained: is.returned.difference(&was.returned).cloned().collect(),
                    lost: was.returned.difference(&is.returned).cloned().collect(),
                    because: because(&was, &is),
                    recorded: seen.decision.clone(),
                    count: seen.count,
                    callers: seen.callers.len(),
                    last: seen.last.clone(),
                };
                if disagrees {
                    replayed.differing_from_record += 1;
                }
                if was.returned != is.returned || was.word() != is.word() {
                    replayed.changed.push(change());
                } else if disagrees && replayed.notes.len() < MOST_NAMED {
                    replayed.notes.push(change());
                }
            }
        }
        replayed.changed.sort_by(|a, b| (b.gains(), b.count, &a.outputs).cmp(&(a.gains(), a.count, &b.outputs)));
        replayed
    }
}

/// What a replay found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Replayed {
    /// Lines of the log.
    pub lines: u64,
    /// Those that are no audit lines.
    pub unreadable: u64,
    /// The numbers of the first of them.
    pub unreadable_lines: Vec<u64>,
    /// Distinct queries.
    pub queries: usize,
    /// Queries of which the old side decides otherwise than was recorded: the log is of another policy.
    pub differing_from_record: u64,
    /// The queries that would change; those that gain first, the most frequent first.
    pub changed: Vec<Change>,
    /// Some of those that do not change, and that were decided otherwise when they were recorded.
    pub notes: Vec<Change>,
}

/// A recorded query that would be decided otherwise.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// The caller's roles, sorted.
    pub roles: Vec<String>,
    /// The bundle, where one was asked for.
    pub query: Option<String>,
    /// What was asked for, sorted.
    pub outputs: Vec<String>,
    /// What was supplied.
    pub supplied: Vec<String>,
    /// `permitted`, `filtered` or `refused` by the old side.
    pub old: &'static str,
    /// By the new side.
    pub new: &'static str,
    /// Outputs that would newly be returned.
    pub gained: Vec<String>,
    /// Outputs that would no longer be.
    pub lost: Vec<String>,
    /// Which features, permissions and rules make the difference.
    pub because: Vec<String>,
    /// As it was recorded last.
    pub recorded: Option<String>,
    /// How often it was recorded.
    pub count: u64,
    /// By how many distinct callers; counted up to [`MOST_CALLERS`].
    pub callers: usize,
    /// When it was recorded last.
    pub last: String,
}

impl Change {
    /// Whether it would return more.
    pub fn gains(&self) -> bool {
        !self.gained.is_empty() || (self.old == "refused" && self.new != "refused")
    }
}

/// What comes of a query.
struct Outcome {
    permitted: bool,
    returned: BTreeSet<String>,
    /// What each name resolves to, and by which rule; supplied ones that are denied included.
    verdicts: BTreeMap<String, (Permission, u8)>,
    /// Why it is refused whatever the features say.
    whole: Option<String>,
}

impl Outcome {
    fn refused(whole: String) -> Self {
        Self { permitted: false, returned: BTreeSet::new(), verdicts: BTreeMap::new(), whole: Some(whole) }
    }

    fn word(&self) -> &'static str {
        match (self.permitted, self.returned.is_empty()) {
            (true, _) => "permitted",
            (false, false) => "filtered",
            (false, true) => "refused",
        }
    }
}

fn because(old: &Outcome, new: &Outcome) -> Vec<String> {
    let mut found: Vec<String> = new.whole.iter().chain(&old.whole).cloned().collect();
    for (name, (is, rule)) in &new.verdicts {
        if let Some((was, old_rule)) = old.verdicts.get(name).filter(|(was, _)| was != is) {
            found.push(format!("{name}: {was} by rule {old_rule} -> {is} by rule {rule}"));
        } else if !old.verdicts.contains_key(name) && old.whole.is_none() {
            found.push(format!("{name}: {is} by rule {rule}"));
        }
    }
    found
}

/// The roles of some queries under one side.
struct Callers {
    missing: Vec<String>,
    tables: Vec<Arc<Table>>,
    mode: Mode,
    roles: Vec<RoleId>,
}

impl Callers {
    fn new(policy: &Policy, names: &[String]) -> Self {
        let missing: Vec<String> = names.iter().filter(|name| policy.role_id(name).is_none()).cloned().collect();
        let mut roles: Vec<RoleId> = names.iter().filter_map(|name| policy.role_id(name)).collect();
        roles.sort_unstable();
        let tables = if missing.is_empty() && !roles.is_empty() { policy.tables(&roles).to_vec() } else { Vec::new() };
        Self { missing, tables, mode: policy.mode_of(&roles), roles }
    }

    /// As the sidecar decides it (policy.md, Resolution 4 and what follows).
    fn outcome(&self, side: Side<'_>, asked: &Asked) -> Outcome {
        if self.roles.is_empty() && self.missing.is_empty() {
            return Outcome::refused("the caller has no role".to_owned());
        }
        if !self.missing.is_empty() {
            return Outcome::refused(format!("there is no role {}", self.missing.join(", ")));
        }
        let policy = side.policy;
        let bundle = match &asked.query {
            None => None,
            Some(name) => match policy.catalogue.bundles.get(name) {
                None => return Outcome::refused(format!("there is no bundle {name}")),
                found => found,
            },
        };
        let supplied: Vec<Name<'_>> = asked.supplied.iter().map(|name| Name::of(policy, name)).collect();
        let outputs: Vec<Name<'_>> = asked.outputs.iter().map(|name| Name::of(policy, name)).collect();
        let resolved = Resolved::new(policy, &self.tables, &supplied);
        let decision = resolved.decide(&outputs);
        let mut verdicts = BTreeMap::new();
        for at in &decision.refused_supplied {
            if let (Some(name), Some(given)) = (asked.supplied.get(*at), supplied.get(*at)) {
                verdicts.insert(name.clone(), (self.own(policy, given), 1));
            }
        }
        for (name, verdict) in asked.outputs.iter().zip(&decision.outputs) {
            verdicts.entry(name.clone()).or_insert((verdict.permission, verdict.rule));
        }
        let open = asked.outputs.iter().zip(&decision.outputs).filter(|(_, verdict)| verdict.permission.returnable());
        let mut returned: BTreeSet<String> = open.map(|(name, _)| name.clone()).collect();
        // A bundle with aliases or renamed keys is asked for by its name: what is denied cannot be taken out of it.
        let by_name =
            bundle.is_some_and(|bundle| bundle.members.iter().any(|m| m.alias.is_some() || !m.keys.is_empty()));
        let stuck = by_name && decision.outputs.iter().any(|verdict| verdict.permission == Permission::Deny);
        if !decision.permitted && (self.mode == Mode::Reject || !decision.refused_supplied.is_empty() || stuck) {
            returned.clear();
        }
        Outcome { permitted: decision.permitted, returned, verdicts, whole: None }
    }

    /// What a supplied name's own tags give at best.
    fn own(&self, policy: &Policy, name: &Name<'_>) -> Permission {
        let Name::Known(id) = name else { return Permission::Deny };
        let feature = policy.catalogue.feature(*id);
        let class = feature.and_then(|feature| policy.catalogue.classes.get(feature.class as usize));
        let each = self.roles.iter().filter_map(|role| Some(own_of_role(policy, *role, class?).permission));
        each.min().unwrap_or(Permission::Deny)
    }
}
