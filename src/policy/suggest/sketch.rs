//! The part of the files that a query can read: its lineage, its roles, the patterns over them. What is tried on it
//! gives the same answer as on the whole, at the price of the lineage.

use std::collections::BTreeSet;

use super::{Files, Query};
use crate::policy::Policy;
use crate::policy::catalogue::FeatureId;
use crate::policy::file::Layer;

/// The two layers, cut down.
pub(super) struct Sketch {
    pub rules: Layer,
    pub imported: Layer,
}

pub(super) fn of(policy: &Policy, files: &Files<'_>, query: &Query) -> Sketch {
    let asked = || query.outputs.iter().chain(&query.supplied);
    let mut open: Vec<FeatureId> = asked().filter_map(|name| policy.catalogue.id(name)).collect();
    let mut lineage: BTreeSet<FeatureId> = BTreeSet::new();
    while let Some(id) = open.pop() {
        if let (true, Some(feature)) = (lineage.insert(id), policy.catalogue.feature(id)) {
            open.extend(policy.catalogue.edges(feature).iter().map(|edge| edge.to));
        }
    }
    let names: BTreeSet<&str> =
        lineage.iter().map(|id| policy.catalogue.name(*id)).chain(asked().map(String::as_str)).collect();
    let cut = |layer: &Layer| {
        let mut layer = Layer { bindings: Vec::new(), bundles: Default::default(), ..layer.clone() };
        layer.features.retain(|name, _| names.contains(name.as_str()));
        layer.roles.retain(|name, _| query.roles.contains(name));
        layer.patterns.retain(|text| names.iter().any(|name| text.pattern.matches(name)));
        layer
    };
    Sketch { rules: cut(files.rules), imported: cut(files.imported) }
}
