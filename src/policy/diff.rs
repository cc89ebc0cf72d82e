//! Two versions of a policy compared: what each role gains and loses, feature by feature, and which line is the cause.
//!
//! Permissions depend on what a query supplies. Compared are a query that supplies nothing, one that supplies every key,
//! and the most that any supplied values can open ([`planes::Given::Values`]); and whether a feature may be supplied at
//! all. What permissions do not show is compared as it is written: settings, what roles may write and manage, bindings.
//!
//! The work is done in [`Comparison::block`]s that do not know each other, for whoever has threads.

pub mod block;
pub mod causes;
pub mod json;
pub mod markdown;
pub mod planes;
pub mod replay;
pub mod rest;
pub mod rows;
pub mod text;
pub mod union;

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::ops::Range;

use crate::policy::settings::Combine;
use causes::{Cause, Key};
use planes::LANES;
use rest::{Bound, Changed};
use rows::{Block, Entry, State, Subject, unpack};
pub use rows::{Way, When};
pub use union::Side;
use union::{Union, Which};

/// Up to how many roles all pairs of them are compared.
const PAIRED_ROLES: usize = 40;
/// How many callers with fewer roles than before are compared.
const MOST_REDUCED: usize = 512;

/// Two policies, and which callers are compared.
#[derive(Debug)]
pub struct Comparison<'s> {
    union: Union<'s>,
    /// Every role alone; then roles together.
    subjects: Vec<Subject>,
    bindings: Vec<Bound>,
}

/// Which callers each block has: roles alone and roles together do not mix.
fn spans(roles: usize, all: usize) -> Vec<Range<usize>> {
    let blocks = |from: usize, to: usize| (from..to).step_by(LANES).map(move |start| start..to.min(start + LANES));
    blocks(0, roles).chain(blocks(roles, all)).collect()
}

impl<'s> Comparison<'s> {
    /// Matches what both name. Cheap.
    pub fn new(old: Side<'s>, new: Side<'s>) -> Self {
        let union = Union::new(old, new);
        let bindings = rest::bindings(&union);
        let sides = |role: &str| [Which::Old, Which::New].map(|which| union.role_id(which, role).is_some());
        let mut subjects: Vec<Subject> = (0..)
            .zip(&union.roles)
            .map(|(number, name)| {
                let [before, after] = sides(name).map(|there| if there { vec![number] } else { Vec::new() });
                Subject { old: before, new: after, cause: None }
            })
            .collect();
        subjects.extend(sets(&union));
        subjects.extend(reduced(&union, &bindings));
        Self { union, subjects, bindings }
    }

    /// How many blocks there are to compare.
    pub fn blocks(&self) -> usize {
        spans(self.union.roles.len(), self.subjects.len()).len()
    }

    /// Compares one block. O(features + lineage edges) for each, and what its changes cost.
    pub fn block(&self, number: usize) -> Block {
        let span = spans(self.union.roles.len(), self.subjects.len()).into_iter().nth(number);
        block::compare(&self.union, span.and_then(|span| self.subjects.get(span)).unwrap_or_default())
    }

    /// Puts the blocks together; they are in their order.
    pub fn finish(self, blocks: Vec<Block>) -> Diff<'s> {
        let mut numbers: BTreeMap<Cause, u32> = BTreeMap::new();
        let found: Vec<Vec<Cause>> = blocks
            .iter()
            .map(|block| block.causes.iter().map(|key| causes::describe(&self.union, key)).collect())
            .collect();
        for cause in found.iter().flatten() {
            numbers.insert(cause.clone(), 0);
        }
        for (number, slot) in (0..).zip(numbers.values_mut()) {
            *slot = number;
        }
        let of = |cause: &Cause| numbers.get(cause).copied().unwrap_or(u32::MAX);
        let causes_of = found.iter().map(|causes| causes.iter().map(of).collect()).collect();
        let Self { union, subjects, bindings } = self;
        let mut settings = rest::settings(union.old, union.new);
        settings.extend(rest::roles(&union));
        let causes = numbers.into_keys().collect();
        Diff { union, subjects, bindings, blocks, causes, causes_of, settings, queries: None }
    }
}

/// Roles that go together: those that one binding gives, and all pairs where the rule of combining is another one and
/// the roles are few. Where each role answers alone on both sides, roles together gain what one of them gains.
fn sets(union: &Union<'_>) -> Vec<Subject> {
    let combine = [union.old, union.new].map(|side| side.policy.settings.combine);
    if combine == [Combine::MostPermissive; 2] {
        return Vec::new();
    }
    let number = |name: &str| union.roles.iter().position(|role| *role == name).and_then(|at| u32::try_from(at).ok());
    let on_both = |name: &str| [Which::Old, Which::New].iter().all(|which| union.role_id(*which, name).is_some());
    let given = [union.old, union.new].into_iter().flat_map(|side| rest::sets(side.files.rules));
    let mut sets: BTreeSet<Vec<u32>> = given
        .filter(|set| set.iter().all(|role| on_both(role)))
        .map(|set| set.into_iter().filter_map(number).collect())
        .collect();
    let [before, after] = combine;
    if before != after && union.roles.len() <= PAIRED_ROLES {
        let both: Vec<u32> = union.roles.iter().filter(|role| on_both(role)).filter_map(|role| number(role)).collect();
        for (position, first) in both.iter().enumerate() {
            sets.extend(both.iter().skip(position + 1).map(|second| vec![*first, *second]));
        }
    }
    let cause = (before != after).then_some(Key::Setting("combine"));
    sets.into_iter().map(|set| Subject { old: set.clone(), new: set, cause: cause.clone() }).collect()
}

/// Callers who keep some of their roles where a binding gives them fewer: with `most_restrictive` they may return more.
fn reduced(union: &Union<'_>, bindings: &[Bound]) -> Vec<Subject> {
    if union.new.policy.settings.combine == Combine::MostPermissive {
        return Vec::new();
    }
    let number = |name: &str| union.roles.iter().position(|role| *role == name).and_then(|at| u32::try_from(at).ok());
    let before = |name: &&str| union.role_id(Which::Old, name).is_some();
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for bound in bindings.iter().filter(|bound| !bound.wider) {
        let Some(text) = union.old.files.rules.bindings.get(bound.position) else { continue };
        for other in &union.new.files.rules.bindings {
            let kept: BTreeSet<&str> = other.roles.iter().map(|role| role.value.as_str()).collect();
            if !rest::together(text, other) || !kept.iter().all(before) || found.len() >= MOST_REDUCED {
                continue;
            }
            let new: BTreeSet<u32> = kept.iter().filter_map(|role| number(role)).collect();
            let mut old = new.clone();
            old.extend(bound.roles.iter().filter_map(|role| number(role)));
            if old != new && seen.insert((old.clone(), new.clone())) {
                let cause = Some(Key::Binding(Which::Old, bound.position));
                found.push(Subject { old: old.into_iter().collect(), new: new.into_iter().collect(), cause });
            }
        }
    }
    found
}

/// What is different between two policies.
#[derive(Debug)]
pub struct Diff<'s> {
    union: Union<'s>,
    subjects: Vec<Subject>,
    blocks: Vec<Block>,
    causes: Vec<Cause>,
    /// For each block the numbers of its causes.
    causes_of: Vec<Vec<u32>>,
    /// Settings that changed, the policy's and those of roles.
    pub settings: Vec<Changed>,
    /// Bindings by which callers gain or lose roles.
    pub bindings: Vec<Bound>,
    /// Recorded queries, where an audit log was replayed.
    pub queries: Option<replay::Replayed>,
}

/// Numbers for the first line.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// Somebody gains: what the exit code says.
    pub gains: bool,
    /// Roles that gain something of a feature.
    pub roles_gaining: usize,
    /// Roles that lose something.
    pub roles_losing: usize,
    /// Features that some role may newly return.
    pub features_newly_returned: usize,
    /// Features that some role may no longer return.
    pub features_no_longer_returned: usize,
    /// Pairs of role and feature that gain.
    pub gained: u64,
    /// Pairs that lose.
    pub lost: u64,
    /// Pairs that may be returned before and after, with nothing supplied.
    pub still: u64,
    /// Sets of roles that gain what none of them gains alone.
    pub sets_gaining: usize,
    /// Settings that are wider by themselves.
    pub settings_wider: usize,
    /// Bindings by which callers gain roles.
    pub bindings_wider: usize,
    /// Recorded queries that would return more.
    pub queries_gaining: usize,
    /// Recorded queries that would return less.
    pub queries_losing: usize,
}

/// A change as it is shown.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Common number of the feature.
    pub feature: u32,
    /// The input or join that brings the change.
    pub through: Option<u32>,
    /// Number of the cause.
    pub cause: u32,
    /// What changed.
    pub state: State,
    /// The callers, by number.
    pub callers: Vec<u32>,
}

/// A change for one caller.
#[derive(Clone, Copy)]
struct Cell {
    feature: u32,
    through: Option<u32>,
    cause: u32,
    state: u16,
    caller: u32,
}

impl Cell {
    fn shown(self) -> Shown {
        let Self { feature, through, cause, state, caller } = self;
        Shown { feature, through, cause, state: unpack(state), callers: vec![caller] }
    }
}

/// Roles alone, or roles together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callers {
    /// Each role by itself.
    Roles,
    /// More than one; what one of them gains or loses by itself is left out.
    Sets,
}

impl Diff<'_> {
    /// The name of a feature, as it is shown.
    pub fn feature(&self, at: u32) -> String {
        self.union.shown(at)
    }

    /// The names of a caller's roles, before and after.
    pub fn roles_of(&self, caller: u32) -> [Vec<&str>; 2] {
        let name = |role: &u32| self.union.roles.get(*role as usize).copied();
        let subject = self.subjects.get(caller as usize);
        let names = |roles: &[u32]| roles.iter().filter_map(name).collect();
        subject.map(|subject| [names(&subject.old), names(&subject.new)]).unwrap_or_default()
    }

    /// A cause by its number; those with smaller ones stand further up.
    pub fn cause(&self, number: u32) -> Option<&Cause> {
        self.causes.get(number as usize)
    }

    /// Roles that only one side has.
    pub fn roles_only(&self, new: bool) -> Vec<&str> {
        let which = if new { Which::New } else { Which::Old };
        let only = |role: &&&str| {
            self.union.role_id(which, role).is_some() && self.union.role_id(which.other(), role).is_none()
        };
        self.union.roles.iter().filter(only).copied().collect()
    }

    /// How many features only one side has.
    pub fn features_only(&self, new: bool) -> usize {
        self.union.only(if new { Which::New } else { Which::Old })
    }

    /// Shows every change in one way, features in the order of their names.
    pub fn each(&self, way: Way, callers: Callers, show: &mut dyn FnMut(&Shown)) {
        let mut rows: Vec<(u16, Shown)> = Vec::new();
        let mut last = None;
        self.cells(way, callers, &mut |cell| {
            if last.replace(cell.feature) != Some(cell.feature) {
                rows.drain(..).for_each(|(_, row)| show(&row));
            }
            let alike = |(state, row): &&mut (u16, Shown)| {
                *state == cell.state && row.cause == cell.cause && row.through == cell.through
            };
            match rows.iter_mut().find(alike) {
                Some((_, row)) => row.callers.push(cell.caller),
                None => rows.push((cell.state, cell.shown())),
            }
        });
        rows.iter().for_each(|(_, row)| show(row));
    }

    /// Every change of one feature for one caller, features in the order of their names.
    fn cells(&self, way: Way, callers: Callers, visit: &mut dyn FnMut(Cell)) {
        let singles = self.union.roles.len();
        let mut queues: Vec<(u32, &[u32], &Block, Peekable<_>)> = Vec::new();
        let spans = spans(singles, self.subjects.len());
        for ((block, causes), span) in self.blocks.iter().zip(&self.causes_of).zip(spans) {
            if (span.start < singles) == (callers == Callers::Roles) {
                let first = u32::try_from(span.start).unwrap_or(u32::MAX);
                queues.push((first, causes, block, block.entries(way).peekable()));
            }
        }
        let rank = |entry: &Entry| self.union.rank(entry.feature);
        loop {
            let next = queues.iter_mut().filter_map(|(.., entries)| entries.peek().map(|entry| rank(entry))).min();
            let Some(next) = next else { return };
            for (first, causes, block, entries) in &mut queues {
                while let Some(entry) = entries.next_if(|entry| rank(entry) == next) {
                    let (feature, through) = (entry.feature, Some(entry.through).filter(|at| *at != u32::MAX));
                    for lane in block.lanes(entry) {
                        let caller = *first + lane.lane();
                        if callers == Callers::Sets && self.by_one_alone(caller, feature, way) {
                            continue;
                        }
                        let cause = causes.get(lane.cause()).copied().unwrap_or(u32::MAX);
                        visit(Cell { feature, through, cause, state: lane.state(), caller });
                    }
                }
            }
        }
    }

    /// Whether one of a caller's roles gains (or loses) something of a feature by itself.
    fn by_one_alone(&self, caller: u32, feature: u32, way: Way) -> bool {
        let roles = self.subjects.get(caller as usize).map(Subject::roles).unwrap_or_default();
        roles.iter().any(|role| {
            let (block, lane) = (*role as usize / LANES, *role as usize % LANES);
            let masks = self.blocks.get(block).and_then(|block| block.changed.get(way as usize));
            masks.and_then(|masks| masks.get(feature as usize)).is_some_and(|mask| (mask >> lane) & 1 == 1)
        })
    }

    /// The numbers of the whole.
    pub fn summary(&self) -> Summary {
        let blocks = || self.blocks.iter().take(self.union.roles.len().div_ceil(LANES));
        let (mut pairs, mut roles, mut returned) = ([0, 0], [0, 0], [BTreeSet::new(), BTreeSet::new()]);
        for block in blocks() {
            for way in [Way::Gained, Way::Lost] {
                let changed = block.changed.get(way as usize).into_iter().flatten();
                let (all, count) = changed
                    .fold((0, 0), |(all, count), lanes: &u64| (all | lanes, count + u64::from(lanes.count_ones())));
                let newly = block.returned.get(way as usize).into_iter().flatten();
                let found = (0u32..).zip(newly).filter(|(_, lanes)| **lanes != 0).map(|(at, _)| at);
                if let (Some(pairs), Some(roles), Some(returned)) =
                    (pairs.get_mut(way as usize), roles.get_mut(way as usize), returned.get_mut(way as usize))
                {
                    *pairs += count;
                    *roles += all.count_ones() as usize;
                    returned.extend(found);
                }
            }
        }
        let mut sets: BTreeSet<u32> = BTreeSet::new();
        self.cells(Way::Gained, Callers::Sets, &mut |cell| {
            sets.insert(cell.caller);
        });
        let queries = |gaining: bool| {
            let changes = self.queries.iter().flat_map(|replayed| &replayed.changed);
            changes.filter(|change| if gaining { change.gains() } else { !change.gains() }).count()
        };
        let still = blocks().map(|block| block.still).sum();
        let [gained, lost] = pairs;
        let [roles_gaining, roles_losing] = roles;
        let [newly, no_longer] = returned.map(|features| features.len());
        let mut summary = Summary {
            gains: false,
            roles_gaining,
            roles_losing,
            features_newly_returned: newly,
            features_no_longer_returned: no_longer,
            gained,
            lost,
            still,
            sets_gaining: sets.len(),
            settings_wider: self.settings.iter().filter(|changed| changed.wider).count(),
            bindings_wider: self.bindings.iter().filter(|bound| bound.wider).count(),
            queries_gaining: queries(true),
            queries_losing: queries(false),
        };
        summary.gains = summary.gained > 0
            || [summary.sets_gaining, summary.settings_wider, summary.bindings_wider, summary.queries_gaining]
                .iter()
                .any(|count| *count > 0);
        summary
    }
}

#[cfg(test)]
mod tests;
