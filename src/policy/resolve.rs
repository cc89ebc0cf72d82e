//! The rules of policy.md, Resolution, as one dense table for a set of roles, and an overlay of what a query's
//! supplied values change.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use foldhash::fast::RandomState;

use crate::policy::Policy;
use crate::policy::catalogue::{Class, Edge, Feature, FeatureId, TagId};
use crate::policy::permission::Permission;
use crate::policy::settings::{CatalogueTags, Declassification, Internal, UnknownFeatures};

/// A role's number.
pub type RoleId = u16;

/// What a feature's own tags give, before its lineage is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own {
    /// The most restrictive of what its tags map to, else the default.
    pub permission: Permission,
    /// For at least one of the roles none of its tags is mapped (rule 6).
    pub defaulted: bool,
}

/// A resolved feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// What may be done with it.
    pub permission: Permission,
    /// Which of rules 1 to 7 decided.
    pub rule: u8,
    /// It is barred, or something that it is computed from is (rule 2).
    pub barred: bool,
}

/// One table for the roles that answer together: all of a caller's (most_restrictive), or a single one.
#[derive(Debug)]
pub struct Table {
    /// The roles, sorted.
    pub roles: Box<[RoleId]>,
    own: Box<[Own]>,
    barred: Box<[bool]>,
    cells: Box<[Cell]>,
    overlays: Overlays,
}

/// Overlays of one table that queries needed lately, oldest first: callers supply the same few keys again and again.
#[derive(Debug, Default)]
struct Overlays(RwLock<Vec<Kept>>);

/// Which features are supplied, sorted, and what they change.
type Kept = (Box<[FeatureId]>, Arc<Overlay>);

/// Overlays that a table keeps.
const MOST_OVERLAYS: usize = 16;
/// So many cells in them are kept of the smallest table, of a larger one an eighth of what it has itself.
const OVERLAY_CELLS: usize = 1024;
/// What one of them takes at most.
const OVERLAY_CELL_BYTES: usize = 24;

type Cells = HashMap<FeatureId, Cell, RandomState>;

/// What changes in a [`Table`] where a query supplies values. `row`: on the row that is asked for; `elsewhere`: where
/// the lineage has left it and only keys are known.
#[derive(Debug, Default)]
pub struct Overlay {
    supplied: BTreeSet<FeatureId>,
    keys: BTreeSet<FeatureId>,
    row: Cells,
    elsewhere: Cells,
    touched: Touched,
}

/// Which features an overlay may say something of, by the last bits of their numbers: most queries ask for others.
#[derive(Debug, Default)]
struct Touched([u64; 16]);

impl Touched {
    fn add(&mut self, id: FeatureId) {
        if let Some(word) = self.0.get_mut((id >> 6 & 15) as usize) {
            *word |= 1 << (id & 63);
        }
    }

    fn may_have(&self, id: FeatureId) -> bool {
        self.0.get((id >> 6 & 15) as usize).is_some_and(|word| word >> (id & 63) & 1 == 1)
    }
}

impl Overlay {
    fn cells(&self) -> usize {
        self.supplied.len() + self.row.len() + self.elsewhere.len()
    }
}

impl Table {
    /// Resolves every feature for these roles with nothing supplied. O(features + lineage edges).
    pub fn build(policy: &Policy, roles: &[RoleId]) -> Self {
        let catalogue = &policy.catalogue;
        let own = catalogue.classes.iter().map(|class| own_of_class(policy, roles, class)).collect();
        let barred = catalogue
            .source_sets
            .iter()
            .map(|set| set.iter().any(|source| roles.iter().any(|role| !policy.reaches(*role, *source))))
            .collect();
        let mut table = Self { roles: roles.into(), own, barred, cells: Box::default(), overlays: Overlays::default() };
        let mut cells: Vec<Cell> = Vec::with_capacity(catalogue.features().len());
        for feature in catalogue.features() {
            let cell = table.compute(policy, feature, |_| false, |edge| cell_at(&cells, edge.to));
            cells.push(cell);
        }
        table.cells = cells.into();
        table
    }

    /// What a feature's own tags give.
    pub fn own(&self, feature: &Feature) -> Own {
        self.own_of_class(feature.class)
    }

    /// What the tags of a class give.
    pub fn own_of_class(&self, class: u32) -> Own {
        // A class that the table was not built for cannot be: deny.
        self.own.get(class as usize).copied().unwrap_or(Own { permission: Permission::Deny, defaulted: true })
    }

    /// A feature with nothing supplied.
    pub fn cell(&self, id: FeatureId) -> Cell {
        cell_at(&self.cells, id)
    }

    /// How many bytes the table takes with its overlays, for the bound of the cache that holds it.
    pub fn bytes(&self) -> usize {
        let itself = size_of_val(&*self.cells) + size_of_val(&*self.own) + self.barred.len() + 64;
        itself + self.overlay_room() * OVERLAY_CELL_BYTES + MOST_OVERLAYS * size_of::<Overlay>()
    }

    /// How many cells its overlays may have together.
    fn overlay_room(&self) -> usize {
        (self.cells.len() / 8).max(OVERLAY_CELLS)
    }

    /// Own permission of a name outside the catalogue.
    pub fn unknown(&self, policy: &Policy, name: &str) -> Permission {
        match policy.settings.unknown_features {
            UnknownFeatures::Deny => Permission::Deny,
            UnknownFeatures::Default => {
                let tags: Box<[TagId]> = policy.catalogue.pattern_tags(name).into();
                let class = Class { policy_tags: tags.clone(), all_tags: tags, key: false };
                own_of_class(policy, &self.roles, &class).permission
            }
        }
    }

    /// The first rule that applies (Resolution 3), for a feature that is not itself supplied.
    fn compute(
        &self,
        policy: &Policy,
        feature: &Feature,
        supplied: impl Fn(&Edge) -> bool,
        cell: impl Fn(&Edge) -> Cell,
    ) -> Cell {
        let own = self.own(feature);
        let mut barred = self.barred.get(feature.source_set as usize).copied().unwrap_or(true);
        let mut denied = false;
        let mut internal = false;
        let mut cleared = feature.pure;
        for edge in policy.catalogue.edges(feature) {
            let given = supplied(edge);
            let below = cell(edge);
            barred |= below.barred && !given;
            denied |= below.permission == Permission::Deny;
            if edge.input {
                internal |= below.permission == Permission::AllowInternal;
                let aside = given && policy.catalogue.feature(edge.to).is_some_and(|f| f.key);
                cleared &= aside || below.permission == Permission::AllowDownstream;
            }
        }
        let boundary = policy.settings.declassification == Declassification::Boundary;
        let flows = policy.settings.internal == Internal::Flows;
        let (permission, rule) = if barred {
            (Permission::Deny, 2)
        } else if boundary && own.permission == Permission::AllowDownstream {
            (Permission::AllowDownstream, 3)
        } else if denied {
            (Permission::Deny, 4)
        } else if cleared {
            (Permission::AllowDownstream, 5)
        } else if flows && own.defaulted && internal {
            (own.permission.min(Permission::AllowInternal), 6)
        } else {
            (own.permission, 7)
        };
        Cell { permission, rule, barred }
    }

    /// [`overlay`](Self::overlay), unless it is kept.
    pub fn overlaid(&self, policy: &Policy, supplied: &[FeatureId]) -> Arc<Overlay> {
        let mut supplied = Cow::Borrowed(supplied);
        // Mostly it is one key.
        if !supplied.is_sorted_by(|one, next| one < next) {
            let supplied = supplied.to_mut();
            supplied.sort_unstable();
            supplied.dedup();
        }
        let kept = self.overlays.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, overlay)) = kept.iter().find(|(of, _)| **of == *supplied) {
            return Arc::clone(overlay);
        }
        drop(kept);
        let overlay = Arc::new(self.overlay(policy, &supplied));
        let room = self.overlay_room();
        if overlay.cells() <= room {
            let mut kept = self.overlays.0.write().unwrap_or_else(PoisonError::into_inner);
            kept.push(((*supplied).into(), Arc::clone(&overlay)));
            while kept.len() > MOST_OVERLAYS || kept.iter().map(|(_, overlay)| overlay.cells()).sum::<usize>() > room {
                kept.remove(0);
            }
        }
        overlay
    }

    /// What a query's supplied features change. Costs what they touch.
    pub fn overlay(&self, policy: &Policy, supplied: &[FeatureId]) -> Overlay {
        let mut overlay = self.changes(policy, supplied);
        let mut touched = Touched::default();
        overlay.row.keys().chain(overlay.elsewhere.keys()).for_each(|id| touched.add(*id));
        overlay.touched = touched;
        overlay
    }

    fn changes(&self, policy: &Policy, supplied: &[FeatureId]) -> Overlay {
        let catalogue = &policy.catalogue;
        let is_key = |id: &FeatureId| catalogue.feature(*id).is_some_and(|feature| feature.key);
        // Until it is made, every feature is looked up.
        let touched = Touched([u64::MAX; 16]);
        let supplied = supplied.iter().copied().collect();
        let mut overlay = Overlay { supplied, touched, ..Overlay::default() };
        overlay.keys = overlay.supplied.iter().copied().filter(is_key).collect();

        let mut open = BTreeSet::new();
        for id in &overlay.keys {
            let changed = self.supply(policy, *id, self.cell(*id), &mut overlay.elsewhere);
            let readers = if changed { catalogue.dependents(*id) } else { catalogue.dependents_by_key(*id) };
            open.extend(readers.iter().map(|edge| edge.to));
        }
        while let Some(id) = open.pop_first() {
            let Some(feature) = catalogue.feature(id).filter(|_| !overlay.keys.contains(&id)) else { continue };
            let new = self.compute(
                policy,
                feature,
                |edge| overlay.keys.contains(&edge.to),
                |edge| self.cell_elsewhere(&overlay, edge.to),
            );
            if new != self.cell(id) {
                overlay.elsewhere.insert(id, new);
                open.extend(catalogue.dependents(id).iter().map(|edge| edge.to));
            }
        }

        // What is no key counts on the row that is asked for alone.
        let values: Vec<FeatureId> = overlay.supplied.difference(&overlay.keys).copied().collect();
        for id in values {
            let before = self.cell_elsewhere(&overlay, id);
            self.supply(policy, id, before, &mut overlay.row);
            open.extend(catalogue.dependents(id).iter().filter(|e| !e.off_row).map(|e| e.to));
        }
        while let Some(id) = open.pop_first() {
            let Some(feature) = catalogue.feature(id).filter(|_| !overlay.supplied.contains(&id)) else { continue };
            let new = self.compute(
                policy,
                feature,
                |edge| if edge.off_row { overlay.keys.contains(&edge.to) } else { overlay.supplied.contains(&edge.to) },
                |edge| {
                    if edge.off_row {
                        self.cell_elsewhere(&overlay, edge.to)
                    } else {
                        self.cell_on_row(&overlay, edge.to)
                    }
                },
            );
            if new != self.cell_elsewhere(&overlay, id) {
                overlay.row.insert(id, new);
                open.extend(catalogue.dependents(id).iter().filter(|e| !e.off_row).map(|e| e.to));
            }
        }
        overlay
    }

    /// Rule 1 for one supplied feature; whether its readers can see a difference in it.
    fn supply(&self, policy: &Policy, id: FeatureId, before: Cell, cells: &mut Cells) -> bool {
        let Some(feature) = policy.catalogue.feature(id) else { return false };
        let permission = self.own(feature).permission;
        cells.insert(id, Cell { permission, rule: 1, barred: before.barred });
        permission != before.permission || before.barred
    }

    /// A feature on the row that is asked for.
    pub fn cell_on_row(&self, overlay: &Overlay, id: FeatureId) -> Cell {
        if !overlay.touched.may_have(id) {
            return self.cell(id);
        }
        overlay.row.get(&id).copied().unwrap_or_else(|| self.cell_elsewhere(overlay, id))
    }

    /// A feature that is reached by a path, or read by another namespace.
    pub fn cell_elsewhere(&self, overlay: &Overlay, id: FeatureId) -> Cell {
        if !overlay.touched.may_have(id) {
            return self.cell(id);
        }
        overlay.elsewhere.get(&id).copied().unwrap_or_else(|| self.cell(id))
    }
}

fn cell_at(cells: &[Cell], id: FeatureId) -> Cell {
    cells.get(id as usize).copied().unwrap_or(Cell { permission: Permission::Deny, rule: 7, barred: true })
}

/// own(f), the most restrictive over the roles (Resolution 1 and 2).
fn own_of_class(policy: &Policy, roles: &[RoleId], class: &Class) -> Own {
    let mut own = Own { permission: Permission::AllowDownstream, defaulted: false };
    for role in roles {
        let one = own_of_role(policy, *role, class);
        own.permission = own.permission.min(one.permission);
        own.defaulted |= one.defaulted;
    }
    if roles.is_empty() { Own { permission: Permission::Deny, defaulted: true } } else { own }
}

/// own(f, role) (Resolution 1).
pub fn own_of_role(policy: &Policy, role: RoleId, class: &Class) -> Own {
    let Some(role) = policy.roles.get(usize::from(role)) else {
        return Own { permission: Permission::Deny, defaulted: true };
    };
    let mapped = |tags: &[TagId]| tags.iter().filter_map(|tag| role.permission_of(*tag)).min();
    let fallback = if class.key && role.default == Permission::Deny { Permission::AllowInternal } else { role.default };
    let (with, without) = (mapped(&class.all_tags), mapped(&class.policy_tags));
    let of = |permission: Option<Permission>| permission.unwrap_or(fallback);
    match policy.settings.catalogue_tags {
        CatalogueTags::Trust => Own { permission: of(with), defaulted: with.is_none() },
        CatalogueTags::Ignore => Own { permission: of(without), defaulted: without.is_none() },
        CatalogueTags::Restrict => Own { permission: of(with).min(of(without)), defaulted: without.is_none() },
    }
}

/// The tables of a caller's roles: one for all together, or one a role (Resolution 5).
pub type Tables = Arc<[Arc<Table>]>;
