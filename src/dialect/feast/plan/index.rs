//! What the dialect looks up in a policy, made once for each.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::columns::hash;
use super::{Other, spelled};
use crate::dialect::{Recorded, shown};
use crate::json;
use crate::policy::Policy;
use crate::policy::catalogue::FeatureId;

/// What the dialect looks up in a policy.
#[derive(Debug, Default)]
pub struct Index {
    pub(super) features: Arc<Features>,
    /// Of each feature, by its number, which of the sets of keys its lineage ends in.
    keys: Vec<u32>,
    key_sets: Vec<Box<[FeatureId]>>,
    /// `view__feature` -> every feature that Feast would answer under that name.
    pub(super) full_names: HashMap<Arc<str>, Vec<FeatureId>, RandomState>,
    /// A view -> its features.
    pub(in crate::dialect::feast) views: BTreeMap<String, Vec<FeatureId>>,
    /// A data source that may be a push source -> the features that read it.
    pub(in crate::dialect::feast) pushed: HashMap<String, Vec<FeatureId>>,
}

/// The features of a catalogue under the names that they go by: one text for all plans.
#[derive(Debug, Default)]
pub struct Features {
    /// Of each feature, by its number; `None`: it is none that Feast can be asked for, such as a key.
    known: Box<[Option<Known>]>,
    /// What the names are hashed by.
    pub(super) hashes: RandomState,
}

impl Features {
    pub(super) fn known(&self, id: FeatureId) -> Option<&Known> {
        self.known.get(id as usize)?.as_ref()
    }

    /// As a feature is recorded; empty for what Feast cannot be asked for.
    pub fn shown(&self, id: FeatureId) -> &str {
        self.known(id).map_or("", |known| &known.shown)
    }

    /// `view:feature`, as Feast is asked for it; empty as there.
    pub fn reference(&self, id: FeatureId) -> &str {
        self.known(id).map_or("", |known| &known.reference)
    }
}

/// A feature of the catalogue under the names that it goes by.
#[derive(Debug)]
pub(super) struct Known {
    /// `view:feature`, as Feast is asked for it.
    pub(super) reference: Arc<str>,
    /// `view__feature`, as Feast answers it under full names.
    pub(super) full: Arc<str>,
    pub(super) view: Arc<str>,
    /// As it is recorded.
    pub(super) shown: Recorded,
    /// Of the full name, and of `feature` alone.
    pub(super) hash: u32,
    pub(super) short_hash: u32,
    /// Where `feature` begins in the reference.
    short: u32,
    /// In JSON the reference stands as it is.
    pub(super) plain: bool,
}

impl Known {
    pub(super) fn short(&self) -> &str {
        self.reference.get(self.short as usize..).unwrap_or_default()
    }
}

impl Index {
    /// Reads the policy's names.
    pub fn new(policy: &Policy) -> Self {
        let mut index = Self::default();
        let mut views: HashMap<Arc<str>, Arc<str>> = HashMap::new();
        let (mut all, hashes) = (Vec::with_capacity(policy.catalogue.features().len()), RandomState::default());
        for (feature, id) in policy.catalogue.features().iter().zip(0..) {
            let known = known(policy, &feature.name, &hashes, &mut views);
            if let Some((view, name)) = feature.name.split_once(':') {
                let full =
                    known.as_ref().map_or_else(|| format!("{view}__{name}").into(), |known| Arc::clone(&known.full));
                index.full_names.entry(full).or_default().push(id);
                index.views.entry(view.to_owned()).or_default().push(id);
                for source in policy.catalogue.sources_of(feature) {
                    if source.kind.as_deref().is_none_or(|kind| kind == "PUSH") {
                        index.pushed.entry(source.name.clone()).or_default().push(id);
                    }
                }
            }
            all.push(known);
        }
        index.features = Arc::new(Features { known: all.into(), hashes });
        index.find_keys(policy);
        index
    }

    /// Which of the sets of keys the lineage of a feature ends in: what Feast needs to be given to compute it.
    pub(super) fn key_set(&self, id: FeatureId) -> u32 {
        self.keys.get(id as usize).copied().unwrap_or(0)
    }

    /// The keys of a set, sorted.
    pub(super) fn keys(&self, set: u32) -> &[FeatureId] {
        self.key_sets.get(set as usize).map_or(&[], |keys| keys)
    }

    /// Inputs and joins have lower numbers than what is derived from them.
    fn find_keys(&mut self, policy: &Policy) {
        let mut sets: HashMap<Box<[FeatureId]>, u32, RandomState> = HashMap::default();
        let mut set_of = |keys: Vec<FeatureId>, all: &mut Vec<Box<[FeatureId]>>| {
            let keys: Box<[FeatureId]> = keys.into();
            *sets.entry(keys.clone()).or_insert_with(|| {
                all.push(keys);
                u32::try_from(all.len() - 1).unwrap_or(u32::MAX)
            })
        };
        // The first is the empty one.
        set_of(Vec::new(), &mut self.key_sets);
        for (feature, id) in policy.catalogue.features().iter().zip(0..) {
            let mut below: Vec<u32> =
                policy.catalogue.edges(feature).iter().map(|edge| self.key_set(edge.to)).collect();
            below.sort_unstable();
            below.dedup();
            let set = match &below[..] {
                _ if feature.key => set_of(vec![id], &mut self.key_sets),
                [] => 0,
                [one] => *one,
                [..] => {
                    let mut keys: Vec<FeatureId> = below.iter().flat_map(|set| self.keys(*set)).copied().collect();
                    keys.sort_unstable();
                    keys.dedup();
                    set_of(keys, &mut self.key_sets)
                }
            };
            self.keys.push(set);
        }
    }
}

fn known(
    policy: &Policy,
    name: &Arc<str>,
    hashes: &RandomState,
    views: &mut HashMap<Arc<str>, Arc<str>>,
) -> Option<Known> {
    // One that is not asked for by its own name, such as `view@latest:feature`, is no feature of Feast's.
    let Other { reference, full, short, .. } =
        spelled(policy, name).ok().filter(|output| *output.reference == **name)?;
    let view = name.strip_suffix(short)?.strip_suffix(':')?;
    let view = Arc::clone(views.entry(view.into()).or_insert_with_key(Arc::clone));
    let mut quoted = Vec::with_capacity(name.len() + 2);
    json::write_string(&mut quoted, name);
    let plain = quoted.len() == name.len() + 2;
    let recorded = shown(name);
    let shown = if *recorded == **name { Arc::clone(name).into() } else { recorded.into() };
    let (hash, short_hash) = (hash(hashes, &full), hash(hashes, short));
    let short = u32::try_from(reference.len() - short.len()).ok()?;
    Some(Known { reference: Arc::clone(name), full, view, shown, hash, short_hash, short, plain })
}
