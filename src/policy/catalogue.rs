//! Features, lineage, bundles and data sources, interned: the policy laid over the imported catalogue.
//!
//! Features are numbered so that inputs and joins come before what is derived from them; one pass in that order
//! resolves everything.

mod build;
mod order;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub use build::build;
pub(super) use build::suggestible;

use foldhash::fast::RandomState;

use crate::diagnostic::Place;
use crate::policy::pattern::Pattern;

/// A feature's number: its rank in the order of the lineage.
pub type FeatureId = u32;
/// A tag's number.
pub type TagId = u32;

/// Names -> numbers, one for each distinct text.
#[derive(Clone, Debug, Default)]
pub struct Interner {
    names: Vec<Arc<str>>,
    ids: HashMap<Arc<str>, u32, RandomState>,
}

impl Interner {
    /// The number of a name, a new one where it is new.
    pub fn intern(&mut self, name: &str) -> u32 {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        let name: Arc<str> = name.into();
        self.names.push(Arc::clone(&name));
        self.ids.insert(name, id);
        id
    }

    /// The number of a known name.
    pub fn get(&self, name: &str) -> Option<u32> {
        self.ids.get(name).copied()
    }

    /// The name of a number; empty for a number never given.
    pub fn name(&self, id: u32) -> &str {
        self.names.get(id as usize).map_or("", |name| name)
    }

    /// The same, as it is shared.
    pub fn shared(&self, id: u32) -> Option<&Arc<str>> {
        self.names.get(id as usize)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

/// One step of the lineage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// What is read.
    pub to: FeatureId,
    /// An input (else a join).
    pub input: bool,
    /// It leaves the row that is asked for: the reader has joins, or `to` lies in another namespace (rule 3).
    pub off_row: bool,
}

/// A feature of the catalogue.
#[derive(Clone, Debug)]
pub struct Feature {
    /// Its name, as the feature server writes it.
    pub name: Arc<str>,
    /// Where it is named first.
    pub place: Place,
    /// Which [`Class`] it belongs to.
    pub class: u32,
    /// Which set of data sources it reads.
    pub source_set: u32,
    /// Something that callers give.
    pub key: bool,
    /// It reads no data source, is not opaque and has an input that is no key: rule 5 can clear it.
    pub pure: bool,
    edges: (u32, u32),
    dependents: (u32, u32),
    /// Up to here those come first that [`Catalogue::dependents_by_key`] gives.
    by_key: u32,
}

/// Features with the same tags from the same layers, and alike in being keys: they have the same own permission.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Class {
    /// Tags that the policy gives.
    pub policy_tags: Box<[TagId]>,
    /// Those and the catalogue's.
    pub all_tags: Box<[TagId]>,
    /// Something that callers give.
    pub key: bool,
}

/// A data source.
#[derive(Clone, Debug)]
pub struct DataSource {
    /// Its name.
    pub name: String,
    /// `POSTGRESQL` and the like.
    pub kind: Option<String>,
    /// The policy's tags; `None`: the policy does not know it.
    pub policy_tags: Option<Box<[TagId]>>,
    /// The catalogue's tags; `None`: the catalogue does not know it.
    pub catalogue_tags: Option<Box<[TagId]>>,
    /// The tags of a dashboard; `None`: there is none, or it says nothing of it.
    pub dashboard_tags: Option<Box<[TagId]>>,
}

/// What one name in a query stands for.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// Its members in order.
    pub members: Vec<Member>,
}

/// A member of a bundle.
#[derive(Clone, Debug)]
pub struct Member {
    /// The feature.
    pub feature: FeatureId,
    /// The name under which it is answered, where that is not its own.
    pub alias: Option<Arc<str>>,
    /// Entity key of the feature and the name that callers give it under.
    pub keys: Vec<(FeatureId, Arc<str>)>,
}

/// A feature that stands for those of another namespace (policy.md, Relations and roots).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// The namespace that it leads to.
    pub namespace: Arc<str>,
    /// A has-many (else a has-one).
    pub many: bool,
}

/// The features of one namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// All but relations, sorted by their names: what its root stands for. Versions and windows are among them.
    pub scalars: Vec<FeatureId>,
    /// Those of them that are keys, in the same order.
    pub keys: Vec<FeatureId>,
}

/// Everything that is named, interned.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// All tags of all kinds.
    pub tags: Interner,
    /// Distinct combinations of tags.
    pub classes: Vec<Class>,
    /// Distinct sets of data sources; the first is the empty one.
    pub source_sets: Vec<Box<[u32]>>,
    /// Data sources.
    pub sources: Vec<DataSource>,
    /// Bundles by name.
    pub bundles: BTreeMap<String, Bundle>,
    /// Patterns and the tags that they add.
    pub patterns: Vec<(Pattern, Box<[TagId]>)>,
    relations: HashMap<FeatureId, Relation>,
    default_versions: HashMap<FeatureId, u64>,
    namespaces: HashMap<Arc<str>, Namespace>,
    features: Vec<Feature>,
    index: HashMap<Arc<str>, FeatureId, RandomState>,
    edges: Vec<Edge>,
    dependents: Vec<Edge>,
}

impl Catalogue {
    /// The number of a feature, by its exact name.
    pub fn id(&self, name: &str) -> Option<FeatureId> {
        self.index.get(name).copied()
    }

    /// All features, inputs before what is derived from them.
    pub fn features(&self) -> &[Feature] {
        &self.features
    }

    /// One feature.
    pub fn feature(&self, id: FeatureId) -> Option<&Feature> {
        self.features.get(id as usize)
    }

    /// The name of a feature.
    pub fn name(&self, id: FeatureId) -> &str {
        self.feature(id).map_or("", |feature| &feature.name)
    }

    /// Inputs and joins of a feature.
    pub fn edges(&self, feature: &Feature) -> &[Edge] {
        self.edges.get(feature.edges.0 as usize..feature.edges.1 as usize).unwrap_or_default()
    }

    /// The data sources that a feature reads itself.
    pub fn sources_of(&self, feature: &Feature) -> impl Iterator<Item = &DataSource> {
        let set = self.source_sets.get(feature.source_set as usize);
        set.into_iter().flatten().filter_map(|id| self.sources.get(*id as usize))
    }

    /// Who reads a feature: `to` is the reader.
    pub fn dependents(&self, id: FeatureId) -> &[Edge] {
        let Some(feature) = self.feature(id) else { return &[] };
        self.dependents.get(feature.dependents.0 as usize..feature.dependents.1 as usize).unwrap_or_default()
    }

    /// Who can see of a key that it is given: pure derivatives that have it as an input (rule 5 sets given keys aside).
    pub fn dependents_by_key(&self, id: FeatureId) -> &[Edge] {
        let Some(feature) = self.feature(id) else { return &[] };
        self.dependents.get(feature.dependents.0 as usize..feature.by_key as usize).unwrap_or_default()
    }

    /// What a feature leads to; `None`: it is a scalar.
    pub fn relation(&self, id: FeatureId) -> Option<&Relation> {
        self.relations.get(&id)
    }

    /// The version that a bare name stands for, where its feature says so (`default_version`).
    pub fn default_version(&self, id: FeatureId) -> Option<u64> {
        self.default_versions.get(&id).copied()
    }

    /// A namespace by its exact name; one without features is none.
    pub fn namespace(&self, name: &str) -> Option<&Namespace> {
        self.namespaces.get(name)
    }

    /// The tags that patterns give to a name (for names outside the catalogue).
    pub fn pattern_tags(&self, name: &str) -> Vec<TagId> {
        let mut tags: Vec<TagId> =
            self.patterns.iter().filter(|(p, _)| p.matches(name)).flat_map(|(_, tags)| tags.iter().copied()).collect();
        tags.sort_unstable();
        tags.dedup();
        tags
    }
}

fn small(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
