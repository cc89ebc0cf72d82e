//! A whole query against the tables of a caller: what each output resolves to, and whether the query may run.

use std::borrow::Cow;
use std::sync::Arc;

use crate::policy::Policy;
use crate::policy::catalogue::{Edge, FeatureId};
use crate::policy::permission::Permission;
use crate::policy::resolve::{Cell, Overlay, Table};
use crate::policy::settings::Supplies;

/// A name of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name<'a> {
    /// A feature of the catalogue.
    Known(FeatureId),
    /// Anything else.
    Unknown(Cow<'a, str>),
}

impl<'a> Name<'a> {
    /// Looks a name up.
    pub fn of(policy: &Policy, name: &'a str) -> Self {
        policy.catalogue.id(name).map_or(Self::Unknown(Cow::Borrowed(name)), Self::Known)
    }
}

/// What is decided of one output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What may be done with it.
    pub permission: Permission,
    /// Which of rules 1 to 7 decided (policy.md, Resolution 3).
    pub rule: u8,
}

impl Verdict {
    /// Whether [`Resolved::cleared_by`] has to look into it.
    pub fn may_be_cleared(self) -> bool {
        self.rule == 5 || (matches!(self.rule, 3 | 7) && self.permission == Permission::AllowDownstream)
    }
}

/// A query decided (Resolution 4 and 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// For each output, in the order of the query.
    pub outputs: Vec<Verdict>,
    /// Positions of the supplied features that are denied.
    pub refused_supplied: Vec<usize>,
    /// Whether everything may be answered as asked.
    pub permitted: bool,
}

/// A caller's tables under one set of supplied features.
pub struct Resolved<'t> {
    policy: &'t Policy,
    parts: Vec<(&'t Table, Arc<Overlay>)>,
    /// Positions in `supplied` that are denied.
    refused_supplied: Vec<usize>,
}

impl<'t> Resolved<'t> {
    /// Prepares the tables for what a query supplies.
    pub fn new(policy: &'t Policy, tables: &'t [Arc<Table>], supplied: &[Name<'_>]) -> Self {
        let is_key = |id: FeatureId| policy.catalogue.feature(id).is_some_and(|feature| feature.key);
        // With `supplies: keys` S is its keys.
        let counts = |name: &Name<'_>| {
            policy.settings.supplies == Supplies::Any || matches!(name, Name::Known(id) if is_key(*id))
        };
        let counted = || supplied.iter().enumerate().filter(|(_, name)| counts(name));
        let id = |name: &Name<'_>| if let Name::Known(id) = name { Some(*id) } else { None };
        let known: Vec<FeatureId> = counted().filter_map(|(_, name)| id(name)).collect();
        let denies = |table: &Table, name: &Name<'_>| {
            let own = match name {
                Name::Known(id) => policy.catalogue.feature(*id).map(|feature| table.own(feature).permission),
                Name::Unknown(name) => Some(table.unknown(policy, name)),
            };
            own.is_none_or(|permission| permission == Permission::Deny)
        };
        // A role that may not use a supplied value drops out.
        let uses = |table: &&'t Arc<Table>| !counted().any(|(_, name)| denies(table, name));
        let overlaid = |table: &'t Arc<Table>| (&**table, table.overlaid(policy, &known));
        let mut parts: Vec<_> = tables.iter().filter(uses).map(overlaid).collect();
        let mut refused_supplied = Vec::new();
        if parts.is_empty() {
            parts = tables.iter().map(overlaid).collect();
            let all = |name: &Name<'_>| tables.iter().all(|table| denies(table, name));
            let any = |name: &Name<'_>| tables.iter().any(|table| denies(table, name));
            refused_supplied = counted().filter(|(_, name)| all(name)).map(|(at, _)| at).collect();
            if refused_supplied.is_empty() {
                refused_supplied = counted().filter(|(_, name)| any(name)).map(|(at, _)| at).collect();
            }
        }
        Self { policy, parts, refused_supplied }
    }

    /// One name: the least restrictive over the parts; `by_path` where it is not on the row that is asked for.
    pub fn verdict(&self, name: &Name<'_>, by_path: bool) -> Verdict {
        let of = |(table, overlay): &(&Table, Arc<Overlay>)| -> Cell {
            match name {
                Name::Known(id) if by_path => table.cell_elsewhere(overlay, *id),
                Name::Known(id) => table.cell_on_row(overlay, *id),
                Name::Unknown(name) => Cell { permission: table.unknown(self.policy, name), rule: 7, barred: false },
            }
        };
        let best = self.parts.iter().map(of).max_by_key(|cell| cell.permission);
        best.map_or(Verdict { permission: Permission::Deny, rule: 7 }, |cell| Verdict {
            permission: cell.permission,
            rule: cell.rule,
        })
    }

    /// The tag that gave a feature its own permission; `None` where a default did.
    pub fn deciding_tag(&self, name: &Name<'_>) -> Option<&'t Arc<str>> {
        let Name::Known(id) = name else { return None };
        let feature = self.policy.catalogue.feature(*id)?;
        let class = self.policy.catalogue.classes.get(feature.class as usize)?;
        self.parts.iter().find_map(|(table, _)| {
            let own = table.own(feature).permission;
            let decides = |tag: &u32| {
                let roles = table.roles.iter().filter_map(|role| self.policy.roles.get(usize::from(*role)));
                roles.into_iter().any(|role| role.permission_of(*tag) == Some(own))
            };
            class.all_tags.iter().find(|tag| decides(tag)).and_then(|tag| self.policy.catalogue.tags.shared(*tag))
        })
    }

    /// Where a feature is returned only because its lineage or a tag clears it: through what.
    pub fn cleared_by(&self, name: &Name<'_>) -> Option<String> {
        let Name::Known(id) = name else { return None };
        let feature = self.policy.catalogue.feature(*id)?;
        let (table, overlay, cell) = self
            .parts
            .iter()
            .map(|(table, overlay)| (table, overlay, table.cell_on_row(overlay, *id)))
            .max_by_key(|(_, _, cell)| cell.permission)?;
        let edges = self.policy.catalogue.edges(feature);
        let below = |edge: &&Edge| {
            if edge.off_row { table.cell_elsewhere(overlay, edge.to) } else { table.cell_on_row(overlay, edge.to) }
        };
        match cell.rule {
            5 if !table.own(feature).permission.returnable() => {
                let inputs = edges.iter().filter(|edge| edge.input).map(|edge| self.policy.catalogue.name(edge.to));
                Some(inputs.collect::<Vec<_>>().join(", "))
            }
            3 | 7 if cell.permission == Permission::AllowDownstream => {
                let hidden = edges.iter().any(|edge| edge.input && !below(&edge).permission.returnable());
                self.deciding_tag(name).filter(|_| hidden).map(|tag| format!("tag {tag}"))
            }
            _ => None,
        }
    }

    /// Whether one of the sets of roles that answer is enough by itself. `enough` is given what that one says of a feature,
    /// `by_path` as in [`verdict`](Self::verdict).
    pub fn alone(&self, enough: impl Fn(&dyn Fn(FeatureId, bool) -> Permission) -> bool) -> bool {
        self.parts.iter().any(|(table, overlay)| {
            enough(&|id, by_path| {
                let cell = if by_path { table.cell_elsewhere(overlay, id) } else { table.cell_on_row(overlay, id) };
                cell.permission
            })
        })
    }

    /// The sets of roles that answer, those aside that a supplied value rules out; each table with what S changes.
    pub fn parts(&self) -> &[(&'t Table, Arc<Overlay>)] {
        &self.parts
    }

    /// Positions in the supplied list that are denied.
    pub fn refused_supplied(&self) -> &[usize] {
        &self.refused_supplied
    }

    /// Decides a query.
    pub fn decide(&self, outputs: &[Name<'_>]) -> Decision {
        let outputs: Vec<Verdict> = outputs.iter().map(|name| self.verdict(name, false)).collect();
        let permitted = self.refused_supplied.is_empty() && outputs.iter().all(|v| v.permission.returnable());
        Decision { outputs, refused_supplied: self.refused_supplied.clone(), permitted }
    }
}
