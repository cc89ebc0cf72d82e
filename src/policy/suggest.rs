//! The smallest changes of the policy that would permit a query, each verified by resolving again.
//!
//! What might help is read off the lineage ([`candidates`]). Single changes are tried first, then pairs, then, where
//! neither helps, up to five by going on with whatever leaves the least in the way. They are tried on the part of the
//! files that the query can read, and verified on the whole.

mod candidates;
mod change;
mod sketch;

use std::collections::BTreeSet;

use serde::{Serialize, Serializer};

use crate::diagnostic::Report;
use crate::policy::decide::{Name, Resolved};
use crate::policy::file::Layer;
use crate::policy::permission::Permission;
use crate::policy::resolve::{RoleId, Tables};
use crate::policy::{self, Policy};
use candidates::{Candidates, NewTags};
pub use change::Change;

/// How many sets are shown.
pub const MAX_SHOWN: usize = 5;
/// How many changes a set has at most.
pub const MAX_CHANGES: usize = 5;

/// How many candidates are tried in pairs.
const PAIRED: usize = 60;
/// From how many first steps a larger set is looked for.
const SEEDS: usize = 6;
/// How many sets that work are compared by what else they open.
const COMPARED: usize = 40;

/// What was read: the layers that a policy was assembled from, for the places of its words.
#[derive(Clone, Copy, Debug)]
pub struct Files<'f> {
    /// The policy files.
    pub rules: &'f Layer,
    /// The catalogue files.
    pub imported: &'f Layer,
}

/// What is explained: a query of a caller with these roles. Roles that the policy does not have give nothing.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// The caller's roles.
    pub roles: Vec<String>,
    /// What the query supplies.
    pub supplied: Vec<String>,
    /// What it asks for.
    pub outputs: Vec<String>,
}

/// A set of changes that permits the query, and of which no part does.
#[derive(Clone, Debug, Serialize)]
pub struct Suggestion {
    /// What to do, and where.
    pub steps: Vec<Step>,
    /// The other features that these roles could then get, sorted.
    pub opens: Vec<String>,
}

/// One change.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// What changes.
    #[serde(flatten)]
    pub change: Change,
    /// In words, with `file:line`.
    pub text: String,
}

/// What a search found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The sets, the ones that open least first; at most [`MAX_SHOWN`].
    pub suggestions: Vec<Suggestion>,
    /// The search stopped before it had tried everything.
    pub cut_short: bool,
}

/// Looks for changes that permit a query; none for one that is permitted. Resolves some thousands of times what the
/// lineage has, fewer times where the lineage is large, and the whole catalogue once for each set that works.
pub fn suggest(files: &Files<'_>, query: &Query, permitted: bool) -> Found {
    if permitted {
        return Found::default();
    }
    let whole = Draft { rules: files.rules.clone(), imported: files.imported, query: query.clone() };
    let Some(before) = whole.state() else { return Found::default() };
    let sketch = sketch::of(&before.policy, files, query);
    let draft = Draft { rules: sketch.rules, imported: &sketch.imported, query: query.clone() };
    let size = draft.rules.features.len() + sketch.imported.features.len();
    let new_tags = NewTags::of(&before.policy, files);
    let mut search = Search {
        draft: &draft,
        new_tags: &new_tags,
        budget: (400_000 / (size + 20)).clamp(100, 4000),
        found: Vec::new(),
    };
    search.run();
    let (cut_short, found) = (search.budget == 0, search.weakest());

    let returnable = before.returnable();
    let mut suggestions: Vec<Suggestion> = found
        .into_iter()
        .take(COMPARED)
        .filter_map(|changes| {
            let changed = whole.with(&changes);
            let after = changed.state().filter(State::permitted)?;
            let asked = |name: &String| query.outputs.contains(name);
            let opens =
                after.returnable().into_iter().filter(|name| !returnable.contains(name) && !asked(name)).collect();
            let step = |change: Change| Step { text: change.text(files), change };
            Some(Suggestion { steps: changes.into_iter().map(step).collect(), opens })
        })
        .collect();
    suggestions.sort_by_key(order);
    Found { suggestions: pick(suggestions), cut_short }
}

/// What else it opens, how many changes it takes, how far they reach.
fn order(suggestion: &Suggestion) -> (usize, usize, Vec<(u8, u8)>) {
    let reach = suggestion.steps.iter().map(|step| candidates::reach(&step.change)).collect();
    (suggestion.opens.len(), suggestion.steps.len(), reach)
}

/// The first of each kind, then more of the same: a choice of ways, not one way with five names.
fn pick(suggestions: Vec<Suggestion>) -> Vec<Suggestion> {
    let kind = |suggestion: &Suggestion| -> Vec<u8> {
        let mut kinds: Vec<u8> = suggestion.steps.iter().map(|step| candidates::reach(&step.change).0).collect();
        kinds.sort_unstable();
        kinds
    };
    let (mut first, mut more): (Vec<Suggestion>, Vec<Suggestion>) = Default::default();
    for suggestion in suggestions {
        let alike = first.iter().any(|other| kind(other) == kind(&suggestion));
        if alike { more.push(suggestion) } else { first.push(suggestion) }
    }
    first.truncate(MAX_SHOWN);
    more.truncate(MAX_SHOWN - first.len());
    first.extend(more);
    first.sort_by_key(order);
    first
}

/// Files and a query, as they would be.
#[derive(Clone)]
struct Draft<'f> {
    rules: Layer,
    imported: &'f Layer,
    query: Query,
}

impl Draft<'_> {
    fn with(&self, changes: &[Change]) -> Self {
        let mut draft = self.clone();
        for change in changes {
            change.apply(&mut draft.rules, draft.imported, &mut draft.query.supplied);
        }
        draft
    }

    /// Resolves; `None` where the files do not load.
    fn state(&self) -> Option<State<'_>> {
        let policy = policy::assemble(&self.rules, self.imported, &mut Report::default())?;
        let tables = policy.tables(&role_ids(&policy, &self.query));
        Some(State { draft: self, policy, tables })
    }
}

/// A draft that loads.
struct State<'d> {
    draft: &'d Draft<'d>,
    policy: Policy,
    tables: Tables,
}

impl State<'_> {
    fn names<'n>(&self, names: &'n [String]) -> Vec<Name<'n>> {
        names.iter().map(|name| Name::of(&self.policy, name)).collect()
    }

    fn permitted(&self) -> bool {
        let (supplied, outputs) = (self.names(&self.draft.query.supplied), self.names(&self.draft.query.outputs));
        Resolved::new(&self.policy, &self.tables, &supplied).decide(&outputs).permitted
    }

    fn returnable(&self) -> BTreeSet<String> {
        let supplied = self.names(&self.draft.query.supplied);
        let resolved = Resolved::new(&self.policy, &self.tables, &supplied);
        let features = (0..).zip(self.policy.catalogue.features());
        let open = features.filter(|(id, _)| resolved.verdict(&Name::Known(*id), false).permission.returnable());
        open.map(|(_, feature)| feature.name.to_string()).collect()
    }
}

/// The numbers of the roles of a query, sorted, each once.
pub(super) fn role_ids(policy: &Policy, query: &Query) -> Vec<RoleId> {
    let ids: BTreeSet<RoleId> = query.roles.iter().filter_map(|role| policy.role_id(role)).collect();
    ids.into_iter().collect()
}

/// The spelling of a permission, for serialisation.
pub(super) fn name<S: Serializer>(permission: &Permission, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(permission.name())
}

/// Whether a set asks for all that another one does, or for more.
fn asks_for(set: &[Change], other: &[Change]) -> bool {
    other.iter().all(|change| set.iter().any(|one| one == change || one.exceeds(change)))
}

struct Search<'s> {
    draft: &'s Draft<'s>,
    new_tags: &'s NewTags,
    /// How many more times may be resolved.
    budget: usize,
    found: Vec<Vec<Change>>,
}

impl Search<'_> {
    fn run(&mut self) {
        let Some(start) = self.draft.state() else { return };
        let pool = Candidates::of(&start, self.new_tags).changes;
        for change in &pool {
            self.try_set(std::slice::from_ref(change));
        }
        if self.found.len() >= MAX_SHOWN {
            return;
        }
        let paired: Vec<&Change> = pool.iter().take(PAIRED).collect();
        for (first, rest) in paired.iter().zip(1..) {
            for second in paired.iter().skip(rest) {
                self.try_set(&[(*first).clone(), (*second).clone()]);
            }
        }
        if self.found.is_empty() {
            for seed in pool.iter().take(SEEDS) {
                self.descend(seed);
            }
        }
    }

    fn spend(&mut self) -> bool {
        let left = self.budget > 0;
        self.budget = self.budget.saturating_sub(1);
        left
    }

    fn works(&mut self, changes: &[Change]) -> bool {
        self.spend() && self.draft.with(changes).state().is_some_and(|state| state.permitted())
    }

    /// The sets that ask for no more than is needed: none with a change of which a lesser form would do.
    fn weakest(self) -> Vec<Vec<Change>> {
        let needless = |set: &Vec<Change>| self.found.iter().any(|other| other != set && asks_for(set, other));
        self.found.iter().filter(|set| !needless(set)).cloned().collect()
    }

    /// Keeps a set that works, unless a set that was found asks for no more than a part of it.
    fn try_set(&mut self, changes: &[Change]) {
        let known = self.found.iter().any(|found| asks_for(changes, found));
        if !known && self.works(changes) {
            let weakest = self.weaken(changes);
            self.found.push(weakest);
        }
    }

    /// The same changes with the lowest permissions that still do, whatever is left of the budget.
    fn weaken(&self, changes: &[Change]) -> Vec<Change> {
        let mut set = changes.to_vec();
        for at in 0..set.len() {
            let lesser = set.get(at).map(Change::lesser).unwrap_or_default();
            let with = |change: Change| -> Vec<Change> {
                (0..).zip(&set).map(|(n, old)| if n == at { change.clone() } else { old.clone() }).collect()
            };
            let works = |set: &Vec<Change>| self.draft.with(set).state().is_some_and(|state| state.permitted());
            if let Some(weaker) = lesser.into_iter().map(with).find(works) {
                set = weaker;
            }
        }
        set
    }

    /// Goes on from one change with whatever leaves the least in the way, and keeps the smallest part that works.
    fn descend(&mut self, seed: &Change) {
        let mut changes = vec![seed.clone()];
        while changes.len() < MAX_CHANGES {
            let drafted = self.draft.with(&changes);
            let Some(state) = drafted.state() else { return };
            let here = Candidates::of(&state, self.new_tags);
            let mut best: Option<(usize, Change)> = None;
            for next in here.changes {
                if !self.spend() {
                    return;
                }
                let drafted = drafted.with(std::slice::from_ref(&next));
                let Some(state) = drafted.state() else { continue };
                let left = Candidates::of(&state, self.new_tags).in_the_way;
                if left < here.in_the_way && best.as_ref().is_none_or(|(least, _)| left < *least) {
                    best = Some((left, next));
                }
            }
            let Some((left, next)) = best else { return };
            changes.push(next);
            if left == 0 && self.works(&changes) {
                return self.smallest_part(&changes);
            }
        }
    }

    fn smallest_part(&mut self, changes: &[Change]) {
        let mut parts: Vec<u32> = (1..1 << changes.len()).collect();
        parts.sort_by_key(|part| part.count_ones());
        for part in parts {
            let part: Vec<Change> =
                (0..).zip(changes).filter(|(bit, _)| part >> bit & 1 == 1).map(|(_, change)| change.clone()).collect();
            let before = self.found.len();
            self.try_set(&part);
            if self.found.len() > before {
                return;
            }
        }
    }
}
