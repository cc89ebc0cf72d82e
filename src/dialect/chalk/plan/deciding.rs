//! A query that is being decided: part by part, and what is noted of each.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use crate::dialect::chalk::expression::Expression;
use crate::dialect::chalk::names::{Budget, Leaf, Names, Part};
use crate::dialect::chalk::query::{Fields, Query};
use crate::dialect::chalk::reads::Reads;
use crate::dialect::{Invalid, Plan, Recorded, shown};
use crate::policy::Policy;
use crate::policy::catalogue::FeatureId;
use crate::policy::decide::{Name, Resolved, Verdict};
use crate::policy::permission::Permission;
use crate::policy::resolve::{Overlay, Table};

/// Of roles that each answer alone one may a part of it and another the rest: together they return nothing that none of
/// them does.
const IN_PARTS: Verdict = Verdict { permission: Permission::Deny, rule: 4 };

/// Names of a query that none of its expressions may take.
pub(super) struct Asked<'q> {
    /// Of outputs and inputs.
    names: HashSet<&'q str>,
    /// Of more than one expression.
    twice: HashSet<&'q str>,
}

impl<'q> Asked<'q> {
    pub fn of(query: &'q Query<'_>) -> Self {
        let inputs = query.inputs.iter().map(|input| input.name.as_ref());
        let names = query.outputs.iter().map(AsRef::as_ref).chain(inputs).collect();
        let mut once = HashSet::new();
        let expressions = query.expressions.iter().map(|expression| expression.name.as_str());
        Self { names, twice: expressions.filter(|name| !once.insert(*name)).collect() }
    }
}

/// A query that is being decided.
pub(super) struct Deciding<'d> {
    pub policy: &'d Policy,
    pub resolved: Resolved<'d>,
    pub plan: &'d mut Plan,
    pub budget: &'d Budget,
    /// What counts as supplied.
    pub supplied: HashSet<FeatureId>,
}

impl Deciding<'_> {
    pub fn refuse(&mut self, name: &Name<'_>, feature: &str, verdict: Verdict) {
        self.plan.refuse(&self.resolved, name, feature, verdict);
    }

    /// Supplied features that are denied, as the caller wrote them.
    pub fn denied_supplies(&mut self, supplied: &[(&str, Name<'_>)]) -> Vec<String> {
        let denied: Vec<_> = self.resolved.refused_supplied().iter().filter_map(|at| supplied.get(*at)).collect();
        for (written, name) in &denied {
            self.refuse(name, written, Verdict { permission: Permission::Deny, rule: 1 });
        }
        denied.into_iter().map(|(written, _)| (*written).to_owned()).collect()
    }

    /// Whether any of these is denied by its own tags to any of the sets of roles that answer.
    pub fn denies(&self, features: &[FeatureId]) -> bool {
        let features = || features.iter().filter_map(|id| self.policy.catalogue.feature(*id));
        let denied =
            |(table, _): &(&Table, Arc<Overlay>)| features().any(|f| table.own(f).permission == Permission::Deny);
        self.resolved.parts().iter().any(denied)
    }

    /// Whether a setting of the query may name it: a namespace, or what may be returned, whichever version it stands for.
    pub fn may_be_named(&self, names: &Names<'_>, name: &str) -> bool {
        let returnable = |id| self.resolved.verdict(&Name::Known(id), false).permission.returnable();
        match self.policy.catalogue.id(name) {
            Some(id) => {
                let other = names.default_version(id).filter(|_| !names.versioned);
                returnable(id) && other.is_none_or(|(other, _)| other.is_some_and(returnable))
            }
            None => self.policy.catalogue.namespace(name).is_some(),
        }
    }

    /// What is left of a part; `None`: nothing.
    pub fn part(&mut self, part: Part) -> Option<Part> {
        match part {
            Part::Value(leaf) => self.leaf(&leaf).then_some(Part::Value(leaf)),
            Part::Rows { way, hops, columns } => {
                if !self.usable(&hops, &way) {
                    return None;
                }
                let columns: Vec<Part> = columns.into_iter().filter_map(|column| self.part(column)).collect();
                (!columns.is_empty()).then_some(Part::Rows { way, hops, columns })
            }
        }
    }

    /// Whether the relations on a way may be used. One that is not is refused.
    fn usable(&mut self, hops: &[FeatureId], way: &str) -> bool {
        for (position, hop) in hops.iter().enumerate() {
            let verdict = self.resolved.verdict(&Name::Known(*hop), position > 0);
            if verdict.permission == Permission::Deny {
                self.refuse(&Name::Known(*hop), way, verdict);
                return false;
            }
        }
        true
    }

    fn leaf(&mut self, leaf: &Leaf) -> bool {
        if !self.usable(&leaf.hops, &leaf.way) {
            return false;
        }
        let by_path = !leaf.hops.is_empty();
        for feature in leaf.features() {
            let name = Name::Known(feature);
            let verdict = self.resolved.verdict(&name, by_path);
            if !verdict.permission.returnable() {
                self.refuse(&name, &leaf.way, verdict);
                return false;
            }
        }
        let whole = self.resolved.alone(|of| {
            let mut hops = leaf.hops.iter().enumerate();
            hops.all(|(position, hop)| of(*hop, position > 0) != Permission::Deny)
                && leaf.features().all(|feature| of(feature, by_path).returnable())
        });
        if !whole {
            self.refuse(&Name::Known(leaf.feature), &leaf.way, IN_PARTS);
            return false;
        }
        for feature in leaf.features() {
            let name = Name::Known(feature);
            if let Some(via) = self.resolved.cleared_by(&name).filter(|_| leaf.hops.is_empty()) {
                self.plan.declassified.push((leaf.way.clone(), via));
            }
        }
        true
    }

    /// The fields as which an expression may be answered, the first as the caller sees it.
    pub fn answered(
        &self,
        expression: &Expression,
        asked: &Asked<'_>,
        fields: &Fields,
    ) -> Result<Vec<String>, Invalid> {
        let catalogue = &self.policy.catalogue;
        let name = &expression.name;
        let mut answered = if expression.namespace.is_empty() {
            let roots: BTreeSet<&str> = expression.roots().collect();
            let below = roots.into_iter().map(|root| format!("{root}.{name}"));
            [name.clone()].into_iter().chain(below).collect()
        } else {
            vec![format!("{}.{name}", expression.namespace)]
        };
        let taken = |field: &String| {
            catalogue.id(field).is_some()
                || catalogue.namespace(field).is_some()
                || catalogue.bundles.contains_key(field)
                || fields.contains_key(field)
                || asked.names.contains(field.as_str())
        };
        if asked.twice.contains(name.as_str()) || answered.iter().any(taken) {
            return Err(Invalid(format!("the name `{}` of an expression is taken", shown(name))));
        }
        answered.dedup();
        Ok(answered)
    }

    /// Whether everything that an expression reads may be returned, or is a supplied key.
    pub fn expression(&mut self, expression: &Expression, field: &str) -> bool {
        let reads = Reads::of(self.policy, self.budget, expression);
        self.plan.reads.extend(reads.shown().map(Recorded::from));
        if !reads.followed {
            self.refuse(&Name::Unknown(field.into()), field, Verdict { permission: Permission::Deny, rule: 7 });
            return false;
        }
        let used = reads.used.iter().map(|(id, by_path)| (*id, *by_path, false));
        let read = reads.read.iter().map(|(id, by_path)| (*id, *by_path, true));
        let all: Vec<_> = used.chain(read).collect();
        let fine = |(id, by_path, value): (FeatureId, bool, bool), permission: Permission| {
            let is_key = self.policy.catalogue.feature(id).is_some_and(|feature| feature.key);
            let given = is_key && !by_path && self.supplied.contains(&id);
            if value {
                permission.returnable() || (given && permission != Permission::Deny)
            } else {
                permission != Permission::Deny
            }
        };
        for one in &all {
            let (id, by_path, _) = *one;
            let name = Name::Known(id);
            let verdict = self.resolved.verdict(&name, by_path);
            if !fine(*one, verdict.permission) {
                self.refuse(&name, self.policy.catalogue.name(id), verdict);
                return false;
            }
        }
        if !self.resolved.alone(|of| all.iter().all(|one| fine(*one, of(one.0, one.1)))) {
            self.refuse(&Name::Unknown(field.into()), field, IN_PARTS);
            return false;
        }
        true
    }

    /// Whether the primary key of a namespace's rows may come back.
    pub fn primary_key(&self, namespace: &str) -> bool {
        let keys = self.policy.catalogue.namespace(namespace).map(|namespace| &namespace.keys[..]).unwrap_or_default();
        let fine = |id: &FeatureId| {
            self.supplied.contains(id) || self.resolved.verdict(&Name::Known(*id), false).permission.returnable()
        };
        !keys.is_empty() && keys.iter().all(fine)
    }
}
