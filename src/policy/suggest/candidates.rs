//! What stands in the way of a query, read off its lineage, and the changes that might help with it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{Change, Files, State};
use crate::policy::Policy;
use crate::policy::catalogue::{Class, Feature, FeatureId, TagId};
use crate::policy::decide::Name;
use crate::policy::file::FeatureText;
use crate::policy::permission::Permission;
use crate::policy::resolve::{Overlay, RoleId, Table, own_of_role};
use crate::policy::settings::{CatalogueTags, Declassification, Internal, Supplies};

/// Names for tags that no file uses.
pub(super) struct NewTags {
    internal: String,
    allow: String,
    downstream: String,
    source: String,
}

impl NewTags {
    pub(super) fn of(policy: &Policy, files: &Files<'_>) -> Self {
        let used = |name: &str| {
            policy.catalogue.tags.get(name).is_some()
                || files.rules.tags.as_ref().is_some_and(|register| register.contains_key(name))
                || files
                    .rules
                    .roles
                    .values()
                    .flat_map(|role| role.datasources.iter().flatten())
                    .any(|t| t.value == name)
        };
        let free = |name: &str| {
            let numbered = (2..).map(|number: u32| format!("{name}-{number}"));
            std::iter::once(name.to_owned()).chain(numbered).find(|name| !used(name)).unwrap_or_default()
        };
        Self {
            internal: free("usable"),
            allow: free("reviewed"),
            downstream: free("cleared"),
            source: free("reachable"),
        }
    }

    fn for_permission(&self, to: Permission) -> &str {
        match to {
            Permission::Deny | Permission::AllowInternal => &self.internal,
            Permission::Allow => &self.allow,
            Permission::AllowDownstream => &self.downstream,
        }
    }
}

/// What might help: first what would help at the most features, then what reaches least.
#[derive(Default)]
pub(super) struct Candidates {
    pub changes: Vec<Change>,
    /// How many things stand in the way; 0 where the query is permitted. With roles that each answer alone: for the
    /// role that has the fewest.
    pub in_the_way: usize,
}

impl Candidates {
    pub(super) fn of(state: &State<'_>, new_tags: &NewTags) -> Self {
        let mut changes: Vec<Change> = Vec::new();
        let mut in_the_way: Option<usize> = None;
        for table in state.tables.iter() {
            let count = match state.permitted() {
                true => 0,
                false => Walk::over(state, table, new_tags, &mut changes),
            };
            in_the_way = Some(in_the_way.map_or(count, |least| least.min(count)));
        }
        // What stands in the way at many features comes first: a large lineage is not tried to its end.
        let mut counted: Vec<(usize, Change)> = Vec::new();
        let mut numbers: HashMap<Change, usize> = HashMap::new();
        for change in changes {
            let next = counted.len();
            let number = *numbers.entry(change.clone()).or_insert(next);
            match counted.get_mut(number) {
                Some((count, _)) => *count += 1,
                None => counted.push((1, change)),
            }
        }
        counted.sort_by_key(|(count, change)| (Reverse(*count), reach(change)));
        let changes = counted.into_iter().map(|(_, change)| change).collect();
        Self { changes, in_the_way: in_the_way.unwrap_or(0) }
    }
}

/// How far a change reaches by its nature: one feature, a role, the whole policy; last what takes something out of
/// sight.
pub(super) fn reach(change: &Change) -> (u8, u8) {
    match change {
        Change::TagNew { to, .. } => (0, *to as u8),
        Change::Tag { .. } => (1, 0),
        Change::Untag { .. } => (2, 0),
        Change::MapTag { to, .. } => (3, *to as u8),
        Change::TagSource { .. } => (4, 0),
        Change::UntagPattern { .. } => (5, 0),
        Change::AllowSource { .. } => (6, 0),
        Change::Supply { .. } => (7, 0),
        Change::NotInput { .. } => (8, 0),
        Change::Boundary => (9, 0),
    }
}

/// The walk for one set of roles that answer together.
struct Walk<'w, 's> {
    state: &'w State<'s>,
    table: &'w Table,
    overlay: Overlay,
    new_tags: &'w NewTags,
    changes: &'w mut Vec<Change>,
    seen: HashSet<(FeatureId, bool, Permission)>,
    open: Vec<(FeatureId, bool, Permission)>,
    in_the_way: usize,
}

impl Walk<'_, '_> {
    fn over(state: &State<'_>, table: &Table, new_tags: &NewTags, changes: &mut Vec<Change>) -> usize {
        let policy = &state.policy;
        let is_key = |id: &FeatureId| policy.catalogue.feature(*id).is_some_and(|feature| feature.key);
        let counted: Vec<Name<'_>> = state
            .names(&state.draft.query.supplied)
            .into_iter()
            .filter(|name| policy.settings.supplies == Supplies::Any || matches!(name, Name::Known(id) if is_key(id)))
            .collect();
        let known: Vec<FeatureId> =
            counted.iter().filter_map(|name| if let Name::Known(id) = name { Some(*id) } else { None }).collect();
        let overlay = table.overlay(policy, &known);
        let (seen, open) = (HashSet::new(), Vec::new());
        let mut walk = Walk { state, table, overlay, new_tags, changes, seen, open, in_the_way: 0 };
        for name in &counted {
            walk.lift_name(name, Permission::AllowInternal);
        }
        for name in state.names(&state.draft.query.outputs) {
            match name {
                Name::Known(id) => walk.open.push((id, false, Permission::Allow)),
                Name::Unknown(_) => walk.lift_name(&name, Permission::Allow),
            }
        }
        while let Some(next) = walk.open.pop() {
            if walk.seen.insert(next) {
                walk.feature(next.0, next.1, next.2);
            }
        }
        walk.in_the_way
    }

    /// A feature that must come to `need`, on the row or off it.
    fn feature(&mut self, id: FeatureId, elsewhere: bool, need: Permission) {
        let (policy, table) = (&self.state.policy, self.table);
        let Some(feature) = policy.catalogue.feature(id) else { return };
        let at = |walk: &Self, id: FeatureId, elsewhere: bool| {
            if elsewhere { table.cell_elsewhere(&walk.overlay, id) } else { table.cell_on_row(&walk.overlay, id) }
        };
        let cell = at(self, id, elsewhere);
        if cell.permission >= need {
            return;
        }
        let own = table.own(feature);
        if cell.rule == 1 {
            return self.lift(feature, need, false);
        }
        self.sources(feature);
        let boundary = policy.settings.declassification == Declassification::Boundary;
        let flows = policy.settings.internal == Internal::Flows && own.defaulted;
        let (mut denied, mut internal) = (false, false);
        for edge in policy.catalogue.edges(feature) {
            let off = elsewhere || edge.off_row;
            let below = at(self, edge.to, off);
            let closed = below.permission == Permission::Deny || (below.barred && below.rule != 1);
            let held = flows && edge.input && below.permission == Permission::AllowInternal;
            if closed || held {
                self.in_the_way += 1;
                if edge.input {
                    self.take_out(feature, edge.to);
                }
                self.supply(edge.to);
                self.open.push((edge.to, off, if closed { Permission::AllowInternal } else { Permission::Allow }));
            }
            denied |= closed;
            internal |= held;
        }
        if denied && flows {
            // What is denied now may be internal then.
            self.aside(|walk| walk.lift(feature, need, true));
        }
        if denied && own.permission == Permission::AllowDownstream && !boundary {
            self.changes.push(Change::Boundary);
        }
        if denied && boundary {
            self.aside(|walk| walk.lift(feature, Permission::AllowDownstream, false));
        }
        if own.permission < need || internal {
            self.lift(feature, need, internal);
        }
        if own.permission < need && feature.pure {
            // The other way: what it is computed from is cleared (rule 5).
            for edge in policy.catalogue.edges(feature).iter().filter(|edge| edge.input) {
                let below = at(self, edge.to, elsewhere || edge.off_row);
                let Some(input) = policy.catalogue.feature(edge.to) else { continue };
                let given = below.rule == 1 && input.key;
                if !given && below.permission != Permission::AllowDownstream {
                    self.aside(|walk| walk.lift(input, Permission::AllowDownstream, false));
                }
            }
        }
    }

    /// Collects changes for another way to the same end, which is not counted as in the way.
    fn aside(&mut self, collect: impl FnOnce(&mut Self)) {
        let before = self.in_the_way;
        collect(self);
        self.in_the_way = before;
    }

    fn lift_name(&mut self, name: &Name<'_>, need: Permission) {
        let policy = &self.state.policy;
        match name {
            Name::Known(id) => {
                if let Some(feature) = policy.catalogue.feature(*id) {
                    self.lift(feature, need, false);
                }
            }
            Name::Unknown(name) => {
                if self.table.unknown(policy, name) < need {
                    self.in_the_way += 1;
                    let tags: Box<[TagId]> = policy.catalogue.pattern_tags(name).into();
                    let class = Class { policy_tags: tags.clone(), all_tags: tags, key: false };
                    for role in &self.table.roles {
                        self.unrestrict(*role, name, &class, need);
                    }
                }
            }
        }
    }

    /// Brings a feature's own permission to `need`; `mapped`: some tag of it must be mapped for every role (rule 6).
    fn lift(&mut self, feature: &Feature, need: Permission, mapped: bool) {
        let policy = &self.state.policy;
        let Some(class) = policy.catalogue.classes.get(feature.class as usize) else { return };
        let mut lacking: Vec<RoleId> = Vec::new();
        for role in &self.table.roles {
            let own = own_of_role(policy, *role, class);
            if own.permission < need {
                self.in_the_way += 1 + self.unrestrict(*role, &feature.name, class, need);
            }
            let default = policy.roles.get(usize::from(*role)).map_or(Permission::Deny, |role| role.default);
            if (own.permission < need && default < need) || (mapped && own.defaulted) {
                lacking.push(*role);
            }
        }
        if lacking.is_empty() {
            return;
        }
        self.in_the_way += usize::from(mapped);
        let feature = feature.name.to_string();
        let known = self.known_tag(&lacking, class, need);
        // A known tag that gives more than is needed is one way; a new one that gives no more is the other.
        if known.as_ref().is_none_or(|(most, _)| *most > need) {
            let roles = lacking.iter().map(|role| policy.role_name(*role).to_owned()).collect();
            let tag = self.new_tags.for_permission(need).to_owned();
            self.changes.push(Change::TagNew { feature: feature.clone(), tag, roles, to: need });
        }
        if let Some((_, tag)) = known {
            self.changes.push(Change::Tag { feature, tag });
        }
    }

    /// The tag that gives all these roles what is needed, and no role less; of several the one that gives least, with
    /// the most that it gives.
    fn known_tag(&self, lacking: &[RoleId], class: &Class, need: Permission) -> Option<(Permission, String)> {
        let policy = &self.state.policy;
        let role = |id: &RoleId| policy.roles.get(usize::from(*id));
        let first = role(lacking.first()?)?;
        let fits = |tag: TagId| {
            !class.policy_tags.contains(&tag)
                && lacking.iter().all(|id| role(id).and_then(|role| role.permission_of(tag)).is_some_and(|p| p >= need))
                && self.table.roles.iter().filter_map(role).all(|r| r.permission_of(tag).is_none_or(|p| p >= need))
        };
        let most = |tag: TagId| lacking.iter().filter_map(|id| role(id)?.permission_of(tag)).max();
        let tags = first.tag_places.iter().map(|(tag, _, _)| *tag).filter(|tag| fits(*tag));
        tags.filter_map(|tag| Some((most(tag)?, policy.catalogue.tags.name(tag).to_owned()))).min()
    }

    /// Changes that take away what a role's tags restrict; how many tags do.
    fn unrestrict(&mut self, role: RoleId, feature: &str, class: &Class, need: Permission) -> usize {
        let policy = &self.state.policy;
        let rules = &self.state.draft.rules;
        let Some(role) = policy.roles.get(usize::from(role)) else { return 0 };
        let counting = match policy.settings.catalogue_tags {
            CatalogueTags::Ignore => &class.policy_tags,
            CatalogueTags::Restrict | CatalogueTags::Trust => &class.all_tags,
        };
        let restricting: Vec<TagId> =
            counting.iter().copied().filter(|tag| role.permission_of(*tag).is_some_and(|p| p < need)).collect();
        for id in &restricting {
            let tag = policy.catalogue.tags.name(*id).to_owned();
            if rules.features.get(feature).is_some_and(|text| text.tags.iter().any(|text| text.value == tag)) {
                self.changes.push(Change::Untag { feature: feature.to_owned(), tag: tag.clone() });
            }
            let covering = rules.patterns.iter().filter(|text| text.pattern.matches(feature));
            for text in covering.filter(|text| text.tags.iter().any(|text| text.value == tag)) {
                let pattern = text.pattern.text().to_owned();
                self.changes.push(Change::UntagPattern { pattern, tag: tag.clone() });
            }
            self.changes.push(Change::MapTag { role: role.name.clone(), tag, to: need });
        }
        restricting.len()
    }

    /// Data sources that the feature reads itself and a role may not reach.
    fn sources(&mut self, feature: &Feature) {
        let policy = &self.state.policy;
        let set = policy.catalogue.source_sets.get(feature.source_set as usize);
        for id in set.into_iter().flatten() {
            let Some(source) = policy.catalogue.sources.get(*id as usize) else { continue };
            for role in self.table.roles.iter().filter(|role| !policy.reaches(**role, *id)) {
                self.in_the_way += 1;
                let role = policy.role_name(*role).to_owned();
                let texts = self.state.draft.rules.roles.get(&role).and_then(|role| role.datasources.as_ref());
                let allow: BTreeSet<&str> = texts.into_iter().flatten().map(|text| text.value.as_str()).collect();
                let carried = source.policy_tags.iter().chain(&source.catalogue_tags).flat_map(|tags| tags.iter());
                let carried: BTreeSet<&str> = carried.map(|tag| policy.catalogue.tags.name(*tag)).collect();
                let of_policy = |tag: &str| {
                    let tags = source.policy_tags.iter().flat_map(|tags| tags.iter());
                    tags.into_iter().any(|id| policy.catalogue.tags.name(*id) == tag)
                };
                for tag in allow.union(&carried).filter(|tag| !of_policy(tag)) {
                    let (source, tag) = (source.name.clone(), (*tag).to_owned());
                    self.changes.push(Change::TagSource { source, tag });
                }
                for tag in carried.difference(&allow) {
                    self.changes.push(Change::AllowSource { role: role.clone(), tag: (*tag).to_owned() });
                }
                if carried.is_empty() && allow.is_empty() {
                    let tag = self.new_tags.source.clone();
                    self.changes.push(Change::TagSource { source: source.name.clone(), tag: tag.clone() });
                    self.changes.push(Change::AllowSource { role, tag });
                }
            }
        }
    }

    /// `not_inputs`, for an input that the catalogue alone gives.
    fn take_out(&mut self, feature: &Feature, input: FeatureId) {
        let draft = self.state.draft;
        let input = self.state.policy.catalogue.name(input);
        let of = |features: &BTreeMap<String, FeatureText>| {
            features.get(&*feature.name).is_some_and(|text| text.inputs.iter().any(|text| text.value == input))
        };
        if of(&draft.imported.features) && !of(&draft.rules.features) {
            self.changes.push(Change::NotInput { feature: feature.name.to_string(), input: input.to_owned() });
        }
    }

    /// A value of the caller's in the place of one that is computed; never what is asked for.
    fn supply(&mut self, id: FeatureId) {
        let (policy, query) = (&self.state.policy, &self.state.draft.query);
        let Some(feature) = policy.catalogue.feature(id) else { return };
        let name = feature.name.to_string();
        let counts = feature.key || policy.settings.supplies == Supplies::Any;
        if counts && !query.supplied.contains(&name) && !query.outputs.contains(&name) {
            self.changes.push(Change::Supply { feature: name });
        }
    }
}
