//! What goes upstream and what may come back, once it is decided what is kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::columns::Places;
use super::{Columns, Index, Output, Permit, Sent, Spelled, Views, output};
use crate::dialect::feast::answer::Answered;
use crate::dialect::feast::request::{Request, Wanted};
use crate::dialect::{Invalid, Names, shown};
use crate::json;
use crate::policy::Policy;
use crate::policy::catalogue::{FeatureId, Member};

/// Sets of keys that are looked for one by one.
const FEW: usize = 8;

/// Everything that was asked for, under the names that the caller wants. Nothing is cut from the answer to it, so what
/// cannot be verified of that is merely recorded.
///
/// # Errors
/// [`Invalid`]: a name that Feast cannot be asked for.
pub fn unenforced(policy: &Policy, request: &Request<'_>) -> Result<Permit, Invalid> {
    let wanted = request.asked.read()?;
    let outputs: Vec<Output<'_>> = match &wanted {
        Wanted::Service(name) => {
            let members = policy.catalogue.bundles.get(&**name).map(|bundle| &bundle.members[..]).unwrap_or_default();
            let member = |member: &'_ Member| {
                let mut output = output(policy, policy.catalogue.name(member.feature)).ok()?;
                if let Some(alias) = &member.alias {
                    output.rename(alias);
                }
                Some(output)
            };
            members.iter().filter_map(member).collect()
        }
        Wanted::Features(features) => {
            features.iter().map(|written| output(policy, written)).collect::<Result<_, _>>()?
        }
    };
    let wanted = match &wanted {
        Wanted::Service(name) => Sent::service(name),
        Wanted::Features(_) => Sent::features(outputs.iter().map(|output| Arc::clone(output.reference())).collect()),
    };
    let (mut columns, mut views) = (Columns::default(), Vec::new());
    for output in &outputs {
        let name: Arc<str> = if request.full_names { Arc::clone(output.full()) } else { output.short().into() };
        columns.keep(Arc::clone(&name), name);
        views.extend(output.view());
    }
    let entities = request.entities.iter().map(|entity| entity.name.clone().into_owned()).collect();
    let (full_names, views, answered) = (request.full_names, Views::and(views), Answered::default());
    Ok(Permit { wanted, columns, entities, filtered: 0, full_names, views, answered })
}

/// Outputs, as Feast is asked for them.
pub(super) fn asked(index: &Index, outputs: &[Output<'_>]) -> Sent {
    let mut names = Names::of(&index.features, outputs.len());
    let bytes: usize = outputs.iter().map(|output| output.reference().len() + 3).sum();
    let mut json = Vec::with_capacity(bytes + 16);
    json.extend_from_slice(br#""features":["#);
    for output in outputs {
        if !names.is_empty() {
            json.push(b',');
        }
        match &output.names {
            Spelled::Known(id, known) => {
                if known.plain {
                    json.push(b'"');
                    json.extend_from_slice(known.reference.as_bytes());
                    json.push(b'"');
                } else {
                    json::write_string(&mut json, &known.reference);
                }
                names.push_feature(*id);
            }
            Spelled::Other(other) => {
                json::write_string(&mut json, &other.reference);
                names.push(Arc::clone(&other.reference).into());
            }
        }
    }
    json.push(b']');
    Sent { json, names, service: false }
}

impl Output<'_> {
    /// The view that answers it, where that is not a matter of its column.
    fn view(&self) -> Option<Arc<str>> {
        match &self.names {
            Spelled::Known(_, _) => None,
            Spelled::Other(other) => other.view(),
        }
    }
}

/// What becomes of a column whose name is that of a kept output and of a cut one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// A service was asked for by its name, and the name could mean either: it is cut.
    Strictly,
    /// The kept ones alone were asked for, each by its view: it is kept. A server that answers more than it was asked
    /// for does not get the rest through.
    Spare,
}

pub(super) fn permit<'m>(
    (policy, index): (&Policy, &Index),
    wanted: Sent,
    kept: &[Output<'_>],
    (cut, rule): (&[Output<'_>], Cut),
    needed: impl Iterator<Item = (FeatureId, &'m [(FeatureId, Arc<str>)])>,
    request: &Request<'_>,
    supplied: &[(&str, FeatureId)],
) -> Result<Permit, Invalid> {
    let entities: BTreeSet<String> = supplied.iter().map(|(name, _)| (*name).to_owned()).collect();
    // Sets of keys, together where they go by the same names: most features have the same.
    let mut lineages: BTreeMap<&[(FeatureId, Arc<str>)], BTreeSet<u32>> = BTreeMap::new();
    let mut seen = Vec::with_capacity(FEW);
    for (feature, renamed) in needed {
        let lineage = (index.key_set(feature), renamed);
        if !seen.contains(&lineage) {
            lineages.entry(renamed).or_default().insert(lineage.0);
            if seen.len() < FEW {
                seen.push(lineage);
            }
        }
    }
    for (renamed, sets) in lineages {
        let keys: BTreeSet<FeatureId> = sets.into_iter().flat_map(|set| index.keys(set)).copied().collect();
        for key in keys {
            let name = renamed.iter().find(|(id, _)| *id == key).map(|(_, name)| &**name);
            let name = name.unwrap_or_else(|| policy.catalogue.name(key));
            if !entities.contains(name) {
                let null = request.entities.iter().any(|entity| entity.name == name);
                let what = if null { "holds a null" } else { "is missing" };
                return Err(Invalid(format!("entity `{name}` {what}")));
            }
        }
    }
    let mut columns = Columns::of(&index.features, kept.len() + cut.len(), request.full_names);
    let mut shorts = Places::with_capacity(if request.full_names { 0 } else { kept.len() });
    let mut views: Vec<Arc<str>> = Vec::new();
    let mut apart = true;
    for (place, output) in kept.iter().enumerate() {
        apart &= match &output.names {
            Spelled::Known(id, known) => columns.keep_feature(*id, known),
            Spelled::Other(other) => {
                let answered = if request.full_names { Arc::clone(&other.full) } else { other.short.into() };
                columns.keep(Arc::clone(&other.full), answered)
            }
        };
        if !request.full_names {
            let hash = match &output.names {
                Spelled::Known(_, known) => known.short_hash,
                Spelled::Other(other) => columns.hash(other.short),
            };
            let is = |place: usize| kept.get(place).is_some_and(|other| other.short() == output.short());
            apart &= shorts.find(hash, is).is_none();
            shorts.add(hash, place);
        }
        views.extend(output.view());
    }
    for entity in &entities {
        let is = |place: usize| kept.get(place).is_some_and(|output| output.short() == entity);
        let taken = columns.get(entity).is_some() || shorts.find(columns.hash(entity), is).is_some();
        apart &= !taken;
    }
    if !apart {
        return Err(taken(kept, &entities, request.full_names));
    }
    for output in cut {
        if rule == Cut::Spare && entities.contains(&**output.full()) {
            continue;
        }
        let strictly = rule == Cut::Strictly;
        match &output.names {
            Spelled::Known(id, known) => columns.cut_feature(*id, known, strictly),
            Spelled::Other(other) => columns.cut(Arc::clone(&other.full), strictly),
        }
    }
    if columns.kept() == 0 {
        return Err(Invalid("no output is left that has a name of its own".to_owned()));
    }
    let (views, answered) = (Views::and(views), Answered::default());
    Ok(Permit { wanted, columns, entities, filtered: cut.len(), full_names: true, views, answered })
}

/// The first of these outputs that has the name of another, or of an entity.
fn taken(kept: &[Output<'_>], entities: &BTreeSet<String>, full_names: bool) -> Invalid {
    let (mut answered, mut full): (HashMap<&str, &str, RandomState>, HashMap<&str, &str, RandomState>) =
        Default::default();
    for output in kept {
        let name = if full_names { output.full() } else { output.short() };
        let of_entity = entities.contains(&**output.full()) || (!full_names && entities.contains(name));
        if let Some(other) = answered.insert(name, output.written).or_else(|| of_entity.then_some(name)) {
            let hint = if full_names { "" } else { "; ask for `full_feature_names`" };
            return Invalid(format!(
                "`{}` and `{}` would both be answered as `{}`{hint}",
                shown(other),
                shown(output.written),
                shown(name)
            ));
        }
        if full.insert(output.full(), output.written).is_some() {
            return Invalid(format!("`{}` means two features in one answer", shown(output.full())));
        }
    }
    Invalid("two outputs would be answered under one name".to_owned())
}
