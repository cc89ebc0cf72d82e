//! Writes (wire-feast.md, section 2): every feature that is written is one that the caller's roles may write
//! (policy.md, `writes`), all of them together. What is written stands in no request: a push names a source and a write a
//! view, so the features are those that the catalogue knows of it.
//!
//! | request | writes |
//! |---|---|
//! | a push | all features that read the push source (`sources`), of whichever view |
//! | a write to a view, a materialization of views | all their features |
//! | a materialization that names no view | all features of the catalogue |
//!
//! Feast writes whole rows: a view without a column for each of its features it does not write, and columns that it does
//! not know it drops (feast/feature_store.py, `write_to_online_store`, 0.67). Here such columns are refused, so that none of
//! a view that the catalogue does not know yet is sent.

mod answer;
mod request;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};

use super::Index;
use crate::dialect::{self, Asker, Outcome, Plan, Refusal, fingerprint_part, shown};
use crate::policy::Policy;
use crate::policy::catalogue::FeatureId;
use crate::policy::permission::Permission;
pub use answer::verify;
pub use request::{Kinds, Request, read};
pub(super) use request::{few, is_time, may_go_to};

/// A write as it was read.
#[derive(Debug, PartialEq, Eq)]
pub struct Write<'b> {
    /// Where it goes.
    pub target: Target<'b>,
    /// The columns that are sent; none where Feast reads them from its offline store.
    pub columns: Vec<Sent<'b>>,
}

/// Where a write goes.
#[derive(Debug, PartialEq, Eq)]
pub enum Target<'b> {
    /// A push source, by its name.
    Source(Cow<'b, str>),
    /// Views, by their names.
    Views(Vec<Cow<'b, str>>),
    /// Every view.
    All,
}

/// A column that is sent.
#[derive(Debug, PartialEq, Eq)]
pub struct Sent<'b> {
    /// Its name, as Feast takes it: a feature's without its view, or a key's.
    pub name: Cow<'b, str>,
    /// It holds points in time and nothing else, so it may be one of the timestamps of the source, whose names the
    /// catalogue does not know. Feast's own clients call them as in [`TIMES`].
    pub times: bool,
}

/// The timestamps that Feast's own clients send (feast/infra/online_stores/remote.py, 0.67).
pub const TIMES: [&str; 2] = ["event_timestamp", "created"];

/// What may be answered to a write.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The names of the views that are written.
    pub views: BTreeSet<String>,
}

/// What a refused write of everything is refused as.
const EVERYTHING: &str = "*";

impl Target<'_> {
    /// Its features, by the names that the caller wrote; `None`: nobody knows such a one.
    fn features<'t>(&'t self, index: &'t Index) -> Vec<(&'t str, Option<Cow<'t, [FeatureId]>>)> {
        let known = |found: Option<&'t Vec<FeatureId>>| found.map(|features| Cow::Borrowed(features.as_slice()));
        match self {
            Self::Source(name) => vec![(&**name, known(index.pushed.get(&**name)))],
            Self::Views(names) => names.iter().map(|name| (&**name, known(index.views.get(&**name)))).collect(),
            Self::All => {
                let all: Vec<FeatureId> = index.views.values().flatten().copied().collect();
                vec![(EVERYTHING, (!all.is_empty()).then_some(Cow::Owned(all)))]
            }
        }
    }
}

/// Decides a write, and notes in the plan what is recorded. Refused are, by the names that the caller wrote, the source or
/// the views of which a feature may not be written, alike whether there is such a one or not; else the columns that no
/// feature is written from.
pub fn decide(plan: &mut Plan, policy: &Policy, index: &Index, asker: Asker<'_>, write: &Write<'_>) -> Outcome {
    if let Target::Source(name) = &write.target {
        plan.bundle = Some(name.clone().into_owned());
    }
    let targets = write.target.features(index);
    let mut all: Vec<FeatureId> = targets.iter().filter_map(|(_, found)| found.as_deref()).flatten().copied().collect();
    all.sort_unstable();
    all.dedup();
    plan.outputs = all.iter().map(|id| shown(policy.catalogue.name(*id))).collect();
    plan.outputs.extend(targets.iter().filter(|(_, found)| found.is_none()).map(|(name, _)| shown(name)));
    let denied: HashSet<FeatureId> = policy.unwritable(asker.roles, &all).into_iter().collect();
    let unwritable = |found: &Option<Cow<'_, [FeatureId]>>| {
        found.as_ref().is_none_or(|features| features.iter().any(|id| denied.contains(id)))
    };
    let mut refused: Vec<String> =
        targets.iter().filter(|(_, found)| unwritable(found)).map(|(name, _)| (*name).to_owned()).collect();
    let refuse =
        |feature: String| Refusal { feature: feature.into(), permission: Permission::Deny, rule: 0, tag: None };
    plan.refused
        .extend(all.iter().filter(|id| denied.contains(id)).map(|id| refuse(shown(policy.catalogue.name(*id)))));
    if refused.is_empty() {
        let takes = columns_of(policy, &all);
        let unknown = write.columns.iter().filter(|sent| !sent.times && !takes(&sent.name));
        refused.extend(unknown.map(|sent| sent.name.clone().into_owned()));
        plan.refused.extend(refused.iter().map(|name| refuse(shown(name))));
    }
    if refused.is_empty() {
        Outcome::Permit(dialect::Permit::FeastWrite(written(policy, &all)))
    } else {
        Outcome::Refuse(refused)
    }
}

/// What was asked for; what the answer to it may say is known as far as the catalogue goes.
pub fn unenforced(policy: &Policy, index: &Index, write: &Write<'_>) -> Written {
    let targets = write.target.features(index);
    let all: Vec<FeatureId> = targets.iter().filter_map(|(_, found)| found.as_deref()).flatten().copied().collect();
    written(policy, &all)
}

fn written(policy: &Policy, features: &[FeatureId]) -> Written {
    let views = features.iter().filter_map(|id| policy.catalogue.name(*id).split_once(':'));
    Written { views: views.map(|(view, _)| view.to_owned()).collect() }
}

/// Whether a column is one of these features, one of their inputs (an on-demand view is written from those), or a key.
fn columns_of<'p>(policy: &'p Policy, features: &[FeatureId]) -> impl Fn(&str) -> bool + 'p {
    let short = |id: FeatureId| policy.catalogue.name(id).split_once(':').map(|(_, name)| name);
    let mut names: HashSet<&str> = features.iter().copied().filter_map(short).collect();
    let known = features.iter().filter_map(|id| policy.catalogue.feature(*id));
    names.extend(known.flat_map(|feature| policy.catalogue.edges(feature)).filter_map(|edge| short(edge.to)));
    move |name| {
        let key = policy.catalogue.id(name).and_then(|id| policy.catalogue.feature(id));
        names.contains(name) || key.is_some_and(|feature| feature.key)
    }
}

impl Write<'_> {
    /// What a decision reads of it, which no query is mistaken for.
    pub fn fingerprint(&self, out: &mut Vec<u8>) {
        let mut part = |tag: u8, text: &str| fingerprint_part(out, tag, text.as_bytes());
        match &self.target {
            Target::Source(name) => part(b'S', name),
            Target::Views(names) => names.iter().for_each(|name| part(b'V', name)),
            Target::All => part(b'A', ""),
        }
        self.columns.iter().for_each(|sent| part(if sent.times { b't' } else { b'c' }, &sent.name));
    }
}

#[cfg(test)]
mod tests;
