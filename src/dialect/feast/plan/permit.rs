//! What goes upstream and what may come back, once it is decided what is kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::{Column, Columns, Index, Output, Permit, Sent, Views, output};
use crate::dialect::feast::answer::Answered;
use crate::dialect::feast::request::{Request, Wanted};
use crate::dialect::{Invalid, shown};
use crate::json;
use crate::policy::Policy;
use crate::policy::catalogue::{FeatureId, Member};

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
                    output.full = Arc::clone(alias);
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
        Wanted::Features(_) => asked(&outputs),
    };
    let (mut columns, mut views) = (Columns::default(), Vec::new());
    for output in &outputs {
        let name = output.answered(request.full_names);
        columns.insert(Arc::clone(&name), Column::Keep(name));
        views.extend(output.view());
    }
    let entities = request.entities.iter().map(|entity| entity.name.clone().into_owned()).collect();
    let (full_names, views, answered) = (request.full_names, Views::of(views), Answered::default());
    Ok(Permit { wanted, columns, entities, filtered: 0, full_names, views, answered })
}

/// Outputs, as Feast is asked for them.
pub(super) fn asked(outputs: &[Output<'_>]) -> Sent {
    let mut names = Vec::with_capacity(outputs.len());
    let bytes: usize = outputs.iter().map(|output| output.reference.len() + 3).sum();
    let mut json = Vec::with_capacity(bytes + 16);
    json.extend_from_slice(br#""features":["#);
    for output in outputs {
        if !names.is_empty() {
            json.push(b',');
        }
        if output.known.is_some_and(|known| known.plain) {
            json.push(b'"');
            json.extend_from_slice(output.reference.as_bytes());
            json.push(b'"');
        } else {
            json::write_string(&mut json, &output.reference);
        }
        names.push(Arc::clone(&output.reference));
    }
    json.push(b']');
    Sent { json, names, service: false }
}

impl Output<'_> {
    /// The name under which the caller is answered.
    fn answered(&self, full_names: bool) -> Arc<str> {
        if full_names { Arc::clone(&self.full) } else { self.short.into() }
    }
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
    let mut last = None;
    for (feature, renamed) in needed {
        let set = index.key_set(feature);
        if last.replace((set, renamed)) != Some((set, renamed)) {
            lineages.entry(renamed).or_default().insert(set);
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
    let mut columns = Columns::with_capacity_and_hasher(kept.len() + cut.len(), RandomState::default());
    let mut answered: HashMap<&str, &str, RandomState> = HashMap::default();
    let mut views: Vec<Arc<str>> = Vec::with_capacity(kept.len());
    for output in kept {
        let short = if request.full_names { None } else { Some(output.short) };
        // Under full names a name that is taken is one of `columns`.
        let other = match short {
            Some(short) => answered.insert(short, output.written),
            None if !columns.contains_key(&output.full) => None,
            None => kept.iter().find(|other| other.full == output.full).map(|other| other.written),
        };
        let taken = || entities.contains(&*output.full) || short.is_some_and(|short| entities.contains(short));
        let name = short.unwrap_or(&output.full);
        if let Some(other) = other.or_else(|| taken().then_some(name)) {
            let hint = if request.full_names { "" } else { "; ask for `full_feature_names`" };
            return Err(Invalid(format!(
                "`{}` and `{}` would both be answered as `{}`{hint}",
                shown(other),
                shown(output.written),
                shown(name)
            )));
        }
        let answered = Column::Keep(output.answered(request.full_names));
        if columns.insert(Arc::clone(&output.full), answered).is_some() {
            return Err(Invalid(format!("`{}` means two features in one answer", shown(&output.full))));
        }
        views.extend(output.view().filter(|view| views.last() != Some(view)));
    }
    for output in cut {
        match rule {
            Cut::Strictly => {
                columns.insert(Arc::clone(&output.full), Column::Cut);
            }
            Cut::Spare if entities.contains(&*output.full) => {}
            Cut::Spare => {
                columns.entry(Arc::clone(&output.full)).or_insert(Column::Cut);
            }
        }
    }
    if !columns.values().any(|column| matches!(column, Column::Keep(_))) {
        return Err(Invalid("no output is left that has a name of its own".to_owned()));
    }
    let (views, answered) = (Views::of(views), Answered::default());
    Ok(Permit { wanted, columns, entities, filtered: cut.len(), full_names: true, views, answered })
}
