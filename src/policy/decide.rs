//! A whole query against the tables of a caller: what each output resolves to, and whether the query may run.

use crate::policy::Policy;
use crate::policy::catalogue::FeatureId;
use crate::policy::permission::Permission;
use crate::policy::resolve::{Cell, Overlay, Table};
use crate::policy::settings::Supplies;

/// A name of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name<'a> {
    /// A feature of the catalogue.
    Known(FeatureId),
    /// Anything else.
    Unknown(&'a str),
}

impl<'a> Name<'a> {
    /// Looks a name up.
    pub fn of(policy: &Policy, name: &'a str) -> Self {
        policy.catalogue.id(name).map_or(Self::Unknown(name), Self::Known)
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
    parts: Vec<(&'t Table, Overlay)>,
    /// Positions in `supplied` that are denied.
    refused_supplied: Vec<usize>,
}

impl<'t> Resolved<'t> {
    /// Prepares the tables for what a query supplies.
    pub fn new(policy: &'t Policy, tables: &'t [std::sync::Arc<Table>], supplied: &[Name<'_>]) -> Self {
        let is_key = |id: FeatureId| policy.catalogue.feature(id).is_some_and(|feature| feature.key);
        // With `supplies: keys` S is its keys.
        let counted: Vec<(usize, &Name<'_>)> = supplied
            .iter()
            .enumerate()
            .filter(|(_, name)| match name {
                Name::Known(id) => policy.settings.supplies == Supplies::Any || is_key(*id),
                Name::Unknown(_) => policy.settings.supplies == Supplies::Any,
            })
            .collect();
        let known: Vec<FeatureId> =
            counted.iter().filter_map(|(_, name)| if let Name::Known(id) = name { Some(*id) } else { None }).collect();
        let denies = |table: &Table, name: &Name<'_>| {
            let own = match name {
                Name::Known(id) => policy.catalogue.feature(*id).map(|feature| table.own(feature).permission),
                Name::Unknown(name) => Some(table.unknown(policy, name)),
            };
            own.is_none_or(|permission| permission == Permission::Deny)
        };
        // A role that may not use a supplied value drops out.
        let mut parts: Vec<&Table> =
            tables.iter().map(|t| &**t).filter(|t| !counted.iter().any(|(_, name)| denies(t, name))).collect();
        let mut refused_supplied = Vec::new();
        if parts.is_empty() {
            parts = tables.iter().map(|table| &**table).collect();
            let all = |name: &Name<'_>| parts.iter().all(|table| denies(table, name));
            let any = |name: &Name<'_>| parts.iter().any(|table| denies(table, name));
            refused_supplied = counted.iter().filter(|(_, name)| all(name)).map(|(at, _)| *at).collect();
            if refused_supplied.is_empty() {
                refused_supplied = counted.iter().filter(|(_, name)| any(name)).map(|(at, _)| *at).collect();
            }
        }
        let parts = parts.into_iter().map(|table| (table, table.overlay(policy, &known))).collect();
        Self { policy, parts, refused_supplied }
    }

    /// One name: the least restrictive over the parts; `by_path` where it is not on the row that is asked for.
    pub fn verdict(&self, name: &Name<'_>, by_path: bool) -> Verdict {
        let of = |(table, overlay): &(&Table, Overlay)| -> Cell {
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
