//! Why a query gets the answer that it gets: the lineage of its outputs, at each feature the rule of policy.md that
//! decided, and what of the files made it so; and the smallest changes that would permit it.
//!
//! [`explain`] gives data; [`text`] and [`graph`] write it for people, JSON is its own serialisation; [`chain`] writes of
//! one feature what decides alone.

pub mod chain;
pub mod graph;
pub mod text;
mod why;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde::Serialize;

use crate::policy::Policy;
use crate::policy::bindings::BindingSeen;
use crate::policy::catalogue::{Edge, Feature, FeatureId};
use crate::policy::decide::{Name, Resolved};
use crate::policy::file::{Layer, PatternText};
use crate::policy::permission::Permission;
use crate::policy::resolve::{Cell, Overlay, RoleId, Table};
use crate::policy::settings::{Combine, Supplies};
use crate::policy::suggest::{self, Suggestion, name, role_ids};
pub use crate::policy::suggest::{Files, Query};
pub use why::OwnSeen;

/// The answer to a query, and why.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The caller's roles, sorted.
    pub roles: Vec<String>,
    /// `most_restrictive` or `most_permissive`.
    pub combine: &'static str,
    /// With `most_permissive`: the roles that drop out, since they may not use a supplied value (Resolution 5).
    pub dropped: Vec<String>,
    /// Whether the query may run.
    pub permitted: bool,
    /// Refused outputs and supplied features, sorted.
    pub refused: Vec<String>,
    /// What is supplied.
    pub supplied: Vec<Given>,
    /// What is asked for, in the order of the query.
    pub outputs: Vec<Output>,
    /// Every feature of the lineages, once for each set of roles that decides it.
    pub nodes: Vec<Node>,
    /// The smallest changes that permit the query; none where it is permitted.
    pub suggestions: Vec<Suggestion>,
    /// Whether the search for them stopped before it had tried everything.
    pub search_cut_short: bool,
    /// How the caller came by the roles, where claims were given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bindings: Option<Vec<BindingSeen>>,
}

/// A supplied feature.
#[derive(Clone, Debug, Serialize)]
pub struct Given {
    /// Its name.
    pub feature: String,
    /// Its own permission.
    #[serde(serialize_with = "name")]
    pub permission: Permission,
    /// It refuses the query.
    pub refused: bool,
    /// Whether it counts; with `supplies: keys` only keys do.
    pub counts: bool,
    /// Why it has that permission.
    pub why: String,
}

/// An output.
#[derive(Clone, Debug, Serialize)]
pub struct Output {
    /// As written in the query.
    pub feature: String,
    /// Its place in [`Explanation::nodes`].
    pub node: usize,
    /// Whether it may be returned.
    pub returnable: bool,
}

/// A feature of the lineage, decided.
#[derive(Clone, Debug, Serialize)]
pub struct Node {
    /// Its name.
    pub feature: String,
    /// `file:line` where it is named first; none for a name outside the catalogue.
    pub place: Option<String>,
    /// The roles that decide together: all of the caller's, or the one whose answer holds.
    pub roles: Vec<String>,
    /// What it resolves to.
    #[serde(serialize_with = "name")]
    pub permission: Permission,
    /// Which of rules 1 to 7 decided (policy.md, Resolution 3).
    pub rule: u8,
    /// What made the rule apply, in one line.
    pub why: String,
    /// The features below it that made the rule apply.
    pub because: Vec<String>,
    /// What its own tags give; none for a name that is denied for being unknown.
    pub own: Option<OwnSeen>,
    /// Its tags.
    pub tags: Vec<Tagged>,
    /// Data sources that it reads.
    pub sources: Vec<SourceSeen>,
    /// Something that callers give.
    pub key: bool,
    /// The query supplies it.
    pub supplied: bool,
    /// It is off the row that is asked for, where of the supplied values only keys count.
    pub elsewhere: bool,
    /// Inputs and joins; none below a supplied feature.
    pub reads: Vec<Read>,
    /// How many more of them there are, beyond the [`Bounds`] of what is told.
    #[serde(skip_serializing_if = "is_none")]
    pub left_out: usize,
}

fn is_none(count: &usize) -> bool {
    *count == 0
}

/// How much of a lineage is told. What made a rule apply goes before the rest.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Features in all, outputs aside.
    pub nodes: usize,
    /// Inputs and joins of one feature, and names in [`Node::because`].
    pub reads: usize,
}

impl Bounds {
    /// All of it.
    pub const NONE: Self = Self { nodes: usize::MAX, reads: usize::MAX };
}

/// A tag on a feature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tagged {
    /// The tag.
    pub tag: String,
    /// `file:line` where it is put on the feature.
    pub place: String,
    /// The pattern that puts it there, where one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// It comes from the catalogue.
    pub imported: bool,
}

/// A data source that a feature reads.
#[derive(Clone, Debug, Serialize)]
pub struct SourceSeen {
    /// Its name.
    pub source: String,
    /// `file:line` where it is declared.
    pub place: String,
    /// The roles that may not reach it.
    pub barred_for: Vec<String>,
}

/// One step of the lineage.
#[derive(Clone, Debug, Serialize)]
pub struct Read {
    /// What is read: a place in [`Explanation::nodes`].
    pub node: usize,
    /// Its name.
    pub feature: String,
    /// A join (else an input).
    pub join: bool,
}

/// Explains a query. Costs what its lineage has, and the search for changes (see [`suggest::suggest`]).
pub fn explain(policy: &Policy, files: &Files<'_>, query: &Query) -> Explanation {
    let explanation = lineage(policy, files, query);
    let found = suggest::suggest(files, query, explanation.permitted);
    Explanation { suggestions: found.suggestions, search_cut_short: found.cut_short, ..explanation }
}

/// The same without suggestions, and without the search for them.
pub fn lineage(policy: &Policy, files: &Files<'_>, query: &Query) -> Explanation {
    lineage_within(policy, files, query, Bounds::NONE)
}

/// The same of the features that are nearest to the outputs. Costs what it tells, and the tables of the roles.
pub fn lineage_within(policy: &Policy, files: &Files<'_>, query: &Query, bounds: Bounds) -> Explanation {
    let roles = role_ids(policy, query);
    let tables = policy.tables(&roles);
    let supplied: Vec<Name<'_>> = query.supplied.iter().map(|name| Name::of(policy, name)).collect();
    let outputs: Vec<Name<'_>> = query.outputs.iter().map(|name| Name::of(policy, name)).collect();
    let resolved = Resolved::new(policy, &tables, &supplied);
    let decision = resolved.decide(&outputs);
    let counts = |name: &Name<'_>| {
        policy.settings.supplies == Supplies::Any
            || matches!(name, Name::Known(id) if policy.catalogue.feature(*id).is_some_and(|feature| feature.key))
    };
    let is_key =
        |name: &Name<'_>| matches!(name, Name::Known(id) if policy.catalogue.feature(*id).is_some_and(|f| f.key));
    let values = supplied.iter().any(|name| counts(name) && !is_key(name));
    let mut walk =
        Walk { policy, files, query, bounds, parts: resolved.parts(), values, keys: Vec::new(), index: HashMap::new() };

    let mut shown_outputs = Vec::with_capacity(outputs.len());
    for ((name, verdict), (written, at)) in outputs.iter().zip(&decision.outputs).zip(query.outputs.iter().zip(0..)) {
        let subject = match name {
            Name::Known(id) => Subject::Known(*id),
            Name::Unknown(_) => Subject::Unknown(at),
        };
        let node = walk.number(Key { part: walk.best(subject), subject, elsewhere: false });
        shown_outputs.push(Output { feature: written.clone(), node, returnable: verdict.permission.returnable() });
    }
    let mut nodes = Vec::new();
    while let Some(key) = walk.keys.get(nodes.len()).copied() {
        nodes.push(walk.node(key));
    }
    let given = |(at, name): (usize, &Name<'_>)| {
        let seen: Vec<OwnSeen> = walk
            .parts
            .iter()
            .filter_map(|(table, _)| why::own(policy, &table.roles, &why::class(policy, name)?))
            .collect();
        let own = seen.into_iter().max_by_key(|own| own.permission);
        Given {
            feature: query.supplied.get(at).cloned().unwrap_or_default(),
            permission: own.as_ref().map_or(Permission::Deny, |own| own.permission),
            refused: decision.refused_supplied.contains(&at),
            counts: counts(name),
            why: own.map_or_else(|| why::UNKNOWN.to_owned(), |own| own.text()),
        }
    };
    let given: Vec<Given> = supplied.iter().enumerate().map(|(at, name)| given((at, name))).collect();
    let denied = given.iter().filter(|given| given.refused).map(|given| given.feature.clone());
    let held_back = shown_outputs.iter().filter(|output| !output.returnable).map(|output| output.feature.clone());
    let refused: BTreeSet<String> = denied.chain(held_back).collect();
    let live = |table: &Table| walk.parts.iter().any(|(part, _)| part.roles == table.roles);
    let dropped =
        tables.iter().filter(|table| !live(table)).flat_map(|table| role_names(policy, &table.roles)).collect();
    Explanation {
        roles: role_names(policy, &roles),
        combine: match policy.settings.combine {
            Combine::MostRestrictive => "most_restrictive",
            Combine::MostPermissive => "most_permissive",
        },
        dropped,
        permitted: decision.permitted,
        refused: refused.into_iter().collect(),
        supplied: given,
        outputs: shown_outputs,
        nodes,
        suggestions: Vec::new(),
        search_cut_short: false,
        bindings: None,
    }
}

fn role_names(policy: &Policy, roles: &[RoleId]) -> Vec<String> {
    roles.iter().map(|role| policy.role_name(*role).to_owned()).collect()
}

/// A feature of the catalogue, or an output outside it by its position in the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Subject {
    Known(FeatureId),
    Unknown(usize),
}

/// What tells two nodes apart. Where no values but keys are supplied, a feature is the same on and off the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    part: usize,
    subject: Subject,
    elsewhere: bool,
}

struct Walk<'w> {
    policy: &'w Policy,
    files: &'w Files<'w>,
    query: &'w Query,
    bounds: Bounds,
    parts: &'w [(&'w Table, Arc<Overlay>)],
    /// Something else than keys is supplied: the row and what lies off it differ.
    values: bool,
    keys: Vec<Key>,
    index: HashMap<Key, usize>,
}

impl Walk<'_> {
    fn number(&mut self, key: Key) -> usize {
        let next = self.keys.len();
        let number = *self.index.entry(key).or_insert(next);
        if number == next {
            self.keys.push(key);
        }
        number
    }

    fn cell(&self, key: Key) -> Option<Cell> {
        let (table, overlay) = self.parts.get(key.part)?;
        Some(match key.subject {
            Subject::Known(id) if key.elsewhere => table.cell_elsewhere(overlay, id),
            Subject::Known(id) => table.cell_on_row(overlay, id),
            Subject::Unknown(at) => {
                let name = self.query.outputs.get(at).map_or("", String::as_str);
                Cell { permission: table.unknown(self.policy, name), rule: 7, barred: false }
            }
        })
    }

    /// The part whose answer holds: the least restrictive (Resolution 5), chosen as the decision chooses.
    fn best(&self, subject: Subject) -> usize {
        let permission =
            |part: &usize| self.cell(Key { part: *part, subject, elsewhere: false }).map(|cell| cell.permission);
        (0..self.parts.len()).max_by_key(permission).unwrap_or(0)
    }

    fn node(&mut self, key: Key) -> Node {
        let cell = self.cell(key).unwrap_or(Cell { permission: Permission::Deny, rule: 7, barred: false });
        let roles: Box<[RoleId]> = self.parts.get(key.part).map(|(table, _)| table.roles.clone()).unwrap_or_default();
        let mut node = Node {
            feature: String::new(),
            place: None,
            roles: role_names(self.policy, &roles),
            permission: cell.permission,
            rule: cell.rule,
            why: String::new(),
            because: Vec::new(),
            own: None,
            tags: Vec::new(),
            sources: Vec::new(),
            key: false,
            supplied: cell.rule == 1,
            elsewhere: key.elsewhere,
            reads: Vec::new(),
            left_out: 0,
        };
        match key.subject {
            Subject::Unknown(at) => self.unknown(at, &roles, &mut node),
            Subject::Known(id) => {
                if let Some(feature) = self.policy.catalogue.feature(id) {
                    self.known(key, feature, &roles, &mut node);
                }
            }
        }
        node
    }

    fn unknown(&self, at: usize, roles: &[RoleId], node: &mut Node) {
        node.feature = self.query.outputs.get(at).cloned().unwrap_or_default();
        node.tags = why::tags(self.files, &node.feature);
        let class = why::class(self.policy, &Name::Unknown(node.feature.as_str().into()));
        node.own = class.and_then(|class| why::own(self.policy, roles, &class));
        node.why = node.own.as_ref().map_or_else(|| why::UNKNOWN.to_owned(), OwnSeen::text);
    }

    fn known(&mut self, key: Key, feature: &Feature, roles: &[RoleId], node: &mut Node) {
        let policy = self.policy;
        node.feature = feature.name.to_string();
        node.place = Some(feature.place.file_line());
        node.key = feature.key;
        node.tags = why::tags(self.files, &feature.name);
        let class = policy.catalogue.classes.get(feature.class as usize);
        node.own = class.and_then(|class| why::own(policy, roles, class));
        for source in policy.catalogue.source_sets.get(feature.source_set as usize).into_iter().flatten() {
            let Some(declared) = policy.catalogue.sources.get(*source as usize) else { continue };
            let barred: Vec<RoleId> = roles.iter().copied().filter(|role| !policy.reaches(*role, *source)).collect();
            node.sources.push(SourceSeen {
                source: declared.name.clone(),
                place: why::source_place(self.files, &declared.name),
                barred_for: role_names(policy, &barred),
            });
        }
        let mut below: Vec<(Edge, Key, Cell)> = Vec::new();
        if !node.supplied {
            for edge in policy.catalogue.edges(feature) {
                let elsewhere = self.values && (key.elsewhere || edge.off_row);
                let to = Key { part: key.part, subject: Subject::Known(edge.to), elsewhere };
                below.extend(self.cell(to).map(|cell| (*edge, to, cell)));
            }
        }
        let because = below.iter().filter(|(edge, _, cell)| match node.rule {
            2 => cell.barred && cell.rule != 1,
            4 => cell.permission == Permission::Deny,
            5 => edge.input && cell.permission == Permission::AllowDownstream,
            6 => edge.input && cell.permission == Permission::AllowInternal,
            _ => false,
        });
        // A feature can be both an input and a join.
        let because: BTreeSet<FeatureId> = because.map(|(edge, ..)| edge.to).collect();
        node.because = because.iter().map(|id| policy.catalogue.name(*id).to_owned()).collect();
        if below.len() > self.bounds.reads.min(self.bounds.nodes.saturating_sub(self.keys.len())) {
            below.sort_by_key(|(edge, ..)| !because.contains(&edge.to));
        }
        for (edge, to, _) in below {
            let known = self.index.contains_key(&to) || self.keys.len() < self.bounds.nodes;
            if !known || node.reads.len() >= self.bounds.reads {
                node.left_out += 1;
                continue;
            }
            let read = self.number(to);
            let feature = policy.catalogue.name(edge.to).to_owned();
            node.reads.push(Read { node: read, feature, join: !edge.input });
        }
        node.why = why::text(self.files, policy, roles, class, node);
        node.because.truncate(self.bounds.reads);
    }
}

/// Patterns of the policy that cover a name.
fn covering<'l>(rules: &'l Layer, name: &'l str) -> impl Iterator<Item = &'l PatternText> {
    rules.patterns.iter().filter(move |text| text.pattern.matches(name))
}
