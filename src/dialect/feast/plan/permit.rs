//! What goes upstream and what may come back, once it is decided what is kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::{Column, Output, Permit, output};
use crate::dialect::feast::request::{Request, Wanted};
use crate::dialect::{Invalid, shown};
use crate::policy::Policy;
use crate::policy::catalogue::{FeatureId, Member};

/// Everything that was asked for, under the names that the caller wants. Nothing is cut from the answer to it, so what
/// cannot be verified of that is merely recorded.
///
/// # Errors
/// [`Invalid`]: a name that Feast cannot be asked for.
pub fn unenforced(policy: &Policy, request: &Request<'_>) -> Result<Permit, Invalid> {
    let outputs: Vec<Output<'_>> = match &request.wanted {
        Wanted::Service(name) => {
            let members = policy.catalogue.bundles.get(&**name).map(|bundle| &bundle.members[..]).unwrap_or_default();
            let member = |member: &'_ Member| {
                let mut output = output(policy, policy.catalogue.name(member.feature)).ok()?;
                if let Some(alias) = &member.alias {
                    output.full = alias.to_string();
                }
                Some(output)
            };
            members.iter().filter_map(member).collect()
        }
        Wanted::Features(features) => {
            features.iter().map(|written| output(policy, written)).collect::<Result<_, _>>()?
        }
    };
    let wanted = match &request.wanted {
        Wanted::Service(name) => Wanted::Service(name.clone().into_owned().into()),
        Wanted::Features(_) => asked(&outputs),
    };
    let (mut columns, mut views) = (HashMap::with_capacity_and_hasher(outputs.len(), <_>::default()), BTreeSet::new());
    for output in &outputs {
        let name = if request.full_names { output.full.as_str() } else { output.short };
        columns.insert(name.to_owned(), Column::Keep(name.to_owned()));
        views.extend(output.view().map(str::to_owned));
    }
    let entities = request.entities.iter().map(|entity| entity.name.clone().into_owned()).collect();
    Ok(Permit { wanted, columns, entities, filtered: 0, full_names: request.full_names, views })
}

/// Outputs, as Feast is asked for them.
pub(super) fn asked(outputs: &[Output<'_>]) -> Wanted<'static> {
    Wanted::Features(outputs.iter().map(|output| output.reference.clone().into()).collect())
}

/// What becomes of a column whose name is that of a kept output and of a cut one.
#[derive(Clone, Copy)]
pub(super) enum Cut {
    /// A service was asked for by its name, and the name could mean either: it is cut.
    Strictly,
    /// The kept ones alone were asked for, each by its view: it is kept. A server that answers more than it was asked
    /// for does not get the rest through.
    Spare,
}

/// Keys in the lineage of features: what Feast needs to be given to compute them.
fn keys_below(policy: &Policy, mut open: Vec<FeatureId>) -> BTreeSet<FeatureId> {
    let (mut keys, mut seen) = (BTreeSet::new(), BTreeSet::new());
    while let Some(id) = open.pop() {
        let Some(feature) = policy.catalogue.feature(id).filter(|_| seen.insert(id)) else { continue };
        if feature.key {
            keys.insert(id);
        } else {
            open.extend(policy.catalogue.edges(feature).iter().map(|edge| edge.to));
        }
    }
    keys
}

pub(super) fn permit<'m>(
    policy: &Policy,
    wanted: Wanted<'static>,
    kept: &[Output<'_>],
    (cut, rule): (&[Output<'_>], Cut),
    needed: impl Iterator<Item = (FeatureId, &'m [(FeatureId, Arc<str>)])>,
    request: &Request<'_>,
    supplied: &[(&str, FeatureId)],
) -> Result<Permit, Invalid> {
    let entities: BTreeSet<String> = supplied.iter().map(|(name, _)| (*name).to_owned()).collect();
    // One walk for all whose keys go by the same names: a caller may name one feature a million times.
    let mut lineages: BTreeMap<&[(FeatureId, Arc<str>)], Vec<FeatureId>> = BTreeMap::new();
    for (feature, renamed) in needed {
        lineages.entry(renamed).or_default().push(feature);
    }
    for (renamed, features) in lineages {
        for key in keys_below(policy, features) {
            let name = renamed.iter().find(|(id, _)| *id == key).map(|(_, name)| &**name);
            let name = name.unwrap_or_else(|| policy.catalogue.name(key));
            if !entities.contains(name) {
                let null = request.entities.iter().any(|entity| entity.name == name);
                let what = if null { "holds a null" } else { "is missing" };
                return Err(Invalid(format!("entity `{name}` {what}")));
            }
        }
    }
    let mut columns = HashMap::with_capacity_and_hasher(kept.len() + cut.len(), <_>::default());
    let mut answered: BTreeMap<&str, &str> = BTreeMap::new();
    let mut views = BTreeSet::new();
    for output in kept {
        let name = if request.full_names { output.full.as_str() } else { output.short };
        let taken = entities.contains(name) || entities.contains(&output.full);
        if let Some(other) = answered.insert(name, output.written).or(taken.then_some(name)) {
            let hint = if request.full_names { "" } else { "; ask for `full_feature_names`" };
            return Err(Invalid(format!(
                "`{}` and `{}` would both be answered as `{}`{hint}",
                shown(other),
                shown(output.written),
                shown(name)
            )));
        }
        if columns.insert(output.full.clone(), Column::Keep(name.to_owned())).is_some() {
            return Err(Invalid(format!("`{}` means two features in one answer", shown(&output.full))));
        }
        views.extend(output.view().map(str::to_owned));
    }
    for output in cut {
        match rule {
            Cut::Strictly => {
                columns.insert(output.full.clone(), Column::Cut);
            }
            Cut::Spare if entities.contains(&output.full) => {}
            Cut::Spare => {
                columns.entry(output.full.clone()).or_insert(Column::Cut);
            }
        }
    }
    if !columns.values().any(|column| matches!(column, Column::Keep(_))) {
        return Err(Invalid("no output is left that has a name of its own".to_owned()));
    }
    Ok(Permit { wanted, columns, entities, filtered: cut.len(), full_names: true, views })
}
