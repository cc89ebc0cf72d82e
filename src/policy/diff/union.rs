//! What both sides name: features and roles under common numbers.

use std::collections::BTreeSet;

use crate::policy::Policy;
use crate::policy::catalogue::{Class, FeatureId, TagId};
use crate::policy::explain::Files;
use crate::policy::resolve::RoleId;
use crate::policy::settings::UnknownFeatures;

/// A policy, and the layers that it was assembled from.
#[derive(Clone, Copy, Debug)]
pub struct Side<'s> {
    /// The policy over its catalogue.
    pub policy: &'s Policy,
    /// What stands where.
    pub files: Files<'s>,
}

/// Which side: a position in a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Which {
    /// The first.
    Old,
    /// The second.
    New,
}

impl Which {
    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Old => Self::New,
            Self::New => Self::Old,
        }
    }
}

/// The features of both sides. Those of the new side come first, under its numbers: inputs before what is derived from
/// them. Then those of the old side alone; then stand-ins for names that neither side has.
#[derive(Debug)]
pub struct Union<'s> {
    /// The sides.
    pub old: Side<'s>,
    /// The sides.
    pub new: Side<'s>,
    /// Every role of either side, sorted.
    pub roles: Vec<&'s str>,
    names: Vec<String>,
    /// The old number of each feature; `u32::MAX` where it has none.
    old_ids: Vec<u32>,
    /// The common number of each old feature.
    of_old: Vec<u32>,
    /// The place of each among the sorted names.
    ranks: Vec<u32>,
    stand_ins: usize,
}

impl<'s> Union<'s> {
    /// Matches features and roles by name.
    pub fn new(old: Side<'s>, new: Side<'s>) -> Self {
        let (before, after) = (&old.policy.catalogue, &new.policy.catalogue);
        let mut names: Vec<String> = after.features().iter().map(|feature| feature.name.to_string()).collect();
        let mut old_ids: Vec<u32> = names.iter().map(|name| before.id(name).unwrap_or(u32::MAX)).collect();
        let mut of_old = Vec::with_capacity(before.features().len());
        for (feature, id) in before.features().iter().zip(0..) {
            of_old.push(after.id(&feature.name).unwrap_or_else(|| {
                names.push(feature.name.to_string());
                old_ids.push(id);
                u32::try_from(names.len() - 1).unwrap_or(u32::MAX)
            }));
        }
        let stand_ins = names.len();
        for name in strangers(old, new) {
            names.push(name);
            old_ids.push(u32::MAX);
        }
        let mut order: Vec<u32> = (0..).take(names.len()).collect();
        order.sort_by_key(|at| names.get(*at as usize));
        let mut ranks = vec![0; names.len()];
        for (at, rank) in order.iter().zip(0..) {
            if let Some(slot) = ranks.get_mut(*at as usize) {
                *slot = rank;
            }
        }
        let roles: BTreeSet<&str> = old.policy.role_names().chain(new.policy.role_names()).collect();
        Self { old, new, roles: roles.into_iter().collect(), names, old_ids, of_old, ranks, stand_ins }
    }

    /// How many features, stand-ins included.
    pub fn count(&self) -> usize {
        self.names.len()
    }

    /// One side.
    pub fn side(&self, which: Which) -> Side<'s> {
        match which {
            Which::Old => self.old,
            Which::New => self.new,
        }
    }

    /// The number of a feature on one side.
    pub fn id(&self, which: Which, at: u32) -> Option<FeatureId> {
        match which {
            Which::Old => self.old_ids.get(at as usize).copied().filter(|id| *id != u32::MAX),
            Which::New => Some(at).filter(|id| (*id as usize) < self.new.policy.catalogue.features().len()),
        }
    }

    /// The common number of a feature of one side.
    pub fn at(&self, which: Which, id: FeatureId) -> u32 {
        match which {
            Which::Old => self.of_old.get(id as usize).copied().unwrap_or(u32::MAX),
            Which::New => id,
        }
    }

    /// The name of a feature, or what a stand-in stands for.
    pub fn shown(&self, at: u32) -> String {
        let name = self.name(at);
        if (at as usize) < self.stand_ins {
            name.to_owned()
        } else {
            format!("{name} (and other names outside the catalogue)")
        }
    }

    /// The name of a feature.
    pub fn name(&self, at: u32) -> &str {
        self.names.get(at as usize).map_or("", String::as_str)
    }

    /// Its place among the sorted names.
    pub fn rank(&self, at: u32) -> u32 {
        self.ranks.get(at as usize).copied().unwrap_or(u32::MAX)
    }

    /// How many features one side has and the other has not.
    pub fn only(&self, which: Which) -> usize {
        let only = |at: &u32| self.id(which, *at).is_some() && self.id(which.other(), *at).is_none();
        (0..).take(self.stand_ins).filter(only).count()
    }

    /// The number of a role on one side.
    pub fn role_id(&self, which: Which, role: &str) -> Option<RoleId> {
        self.side(which).policy.role_id(role)
    }

    /// What decides a name on one side: its class, or that of a name outside the catalogue; `None` where it is denied
    /// for being unknown.
    pub fn class(&self, which: Which, at: u32) -> Option<Class> {
        let policy = self.side(which).policy;
        match self.id(which, at) {
            Some(id) => policy.catalogue.classes.get(policy.catalogue.feature(id)?.class as usize).cloned(),
            None => (policy.settings.unknown_features == UnknownFeatures::Default).then(|| {
                let tags: Box<[TagId]> = policy.catalogue.pattern_tags(self.name(at)).into();
                Class { policy_tags: tags.clone(), all_tags: tags, key: false }
            }),
        }
    }
}

/// Names outside both catalogues, where one side has rules for those: one that no pattern covers, and one for each
/// pattern.
fn strangers(old: Side<'_>, new: Side<'_>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    if [old, new].iter().all(|side| side.policy.settings.unknown_features == UnknownFeatures::Deny) {
        return names;
    }
    let patterns = [old, new].into_iter().flat_map(|side| &side.policy.catalogue.patterns);
    let unknown = |name: &String| [old, new].iter().all(|side| side.policy.catalogue.id(name).is_none());
    for pattern in std::iter::once("unknown").chain(patterns.map(|(pattern, _)| pattern.text())) {
        let mut filled = pattern.replace("**", "*").replace('*', "unknown");
        for _ in 0..8 {
            if unknown(&filled) {
                names.insert(filled);
                break;
            }
            filled = pattern.replace("**", "*").replace('*', &filled.replace(['.', ':'], "_"));
        }
    }
    names
}
