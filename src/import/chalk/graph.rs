//! The feature sets of an export, indexed: which features there are, and what a name in an
//! expression, a resolver or a named query stands for.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::super::ImportError;
use super::super::node::shown;
use super::proto::{self, FeatureKind};

/// Characters that a catalogue would read as something else in a namespace or a feature's name.
const BAD: &[char] = &['.', ':', '*', '[', ']', ',', '"', ' '];

/// What a feature is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A value, keys, versions and the buckets of windows too.
    Scalar,
    /// The time of an observation.
    Time,
    /// A has-one or has-many hop to another namespace.
    Relation { many: bool, target: String },
    /// The name over the buckets of a window; no feature of its own.
    Windowed,
    /// An aggregate that is looked up by group.
    GroupBy,
}

/// How the export says that a feature is computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Recipe {
    /// An expression, online or offline.
    Expression(Bytes),
    /// A stored aggregation.
    Aggregation(Bytes),
    /// The last value of another feature.
    LastFor(Bytes),
}

/// One feature, before its lineage is followed.
#[derive(Debug, Clone)]
pub(super) struct Declared {
    pub namespace: String,
    pub kind: Kind,
    pub tags: BTreeSet<String>,
    pub key: bool,
    pub default_version: Option<u64>,
    /// Of a window's bucket: its length in seconds.
    pub window: Option<i64>,
    pub recipes: Vec<Recipe>,
    /// Of a relation: which keys it hops over, as the export says it.
    pub join: Option<Bytes>,
    /// Those keys.
    pub joins: BTreeSet<String>,
    /// Fields of it that are newer than this import.
    pub newer: BTreeSet<u32>,
}

/// All features, by name.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub features: BTreeMap<String, Declared>,
    /// Namespace -> name or python attribute -> features: an attribute is the default version's,
    /// a name the first one's, so that `score` can stand for two.
    names: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
}

/// What [`Graph::read`] reads of one feature.
struct New {
    namespace: String,
    name: String,
    attribute: String,
    tags: Vec<String>,
    declared: Declared,
}

impl Graph {
    /// Reads all feature sets. Features of an unknown kind are left out, with a warning.
    pub(super) fn read(sets: &[Bytes], warnings: &mut Vec<String>) -> Result<Self, ImportError> {
        let mut graph = Graph::default();
        for (number, bytes) in sets.iter().enumerate() {
            let place = format!("graph.feature_sets[{number}]");
            let (set, newer): (proto::FeatureSet, _) = proto::read(bytes, &place)?;
            if let Some(newer) = newer {
                let name = shown(&set.name);
                warnings.push(format!("the namespace `{name}` has the field {newer}, which is newer than this import"));
            }
            check_name(&set.name, &format!("{place}.name"), '@')?;
            graph.names.entry(set.name.clone()).or_default();
            for (number, bytes) in set.features.iter().enumerate() {
                let place = format!("{place}.features[{number}]");
                match feature(bytes, &place)? {
                    Some(new) => graph.add(new, &place)?,
                    None => warnings.push(format!(
                        "the namespace `{}` has a feature of an unknown kind, which is left out: `{place}`",
                        shown(&set.name)
                    )),
                }
            }
        }
        Ok(graph)
    }

    fn add(&mut self, new: New, place: &str) -> Result<(), ImportError> {
        let New { namespace, name, attribute, tags, mut declared } = new;
        check_name(&namespace, &format!("{place}.namespace"), '@')?;
        // `score@2` is a name.
        check_name(&name, &format!("{place}.name"), '*')?;
        let full = format!("{namespace}.{name}");
        declared.tags.extend(tags);
        let names = self.names.entry(namespace).or_default();
        for word in [name, attribute] {
            if !word.is_empty() {
                names.entry(word).or_default().insert(full.clone());
            }
        }
        match self.features.entry(full) {
            Entry::Vacant(slot) => {
                slot.insert(declared);
            }
            // A version stands by its own attribute and, the default one, by the bare one.
            Entry::Occupied(mut slot) if slot.get().kind == declared.kind && declared.join.is_none() => {
                let first = slot.get_mut();
                first.tags.extend(declared.tags);
                first.key |= declared.key;
                first.newer.extend(declared.newer);
                first.recipes.extend(declared.recipes);
            }
            Entry::Occupied(slot) => {
                let (name, place) = (shown(slot.key()), place.to_owned());
                return Err(ImportError::Twice { place, name, first: "another feature".to_owned() });
            }
        }
        Ok(())
    }

    /// The features that a name or attribute stands for in a namespace; none where there is none.
    pub(super) fn lookup<'g>(&'g self, namespace: &str, word: &str) -> impl Iterator<Item = (&'g str, &'g Declared)> {
        // The first version has no suffix, and only that one is meant by it.
        let first = word.strip_suffix("@1");
        let word = first.unwrap_or(word);
        let found = self.names.get(namespace).and_then(|names| names.get(word)).into_iter().flatten();
        let found = found.filter(move |full| first.is_none() || !full.contains('@'));
        found.filter_map(|full| self.features.get_key_value(full)).map(|(full, declared)| (full.as_str(), declared))
    }

    /// The relation of exactly this name: its target and keys.
    pub(super) fn relation(&self, full: &str) -> Option<(&str, &BTreeSet<String>)> {
        let declared = self.features.get(full)?;
        match &declared.kind {
            Kind::Relation { target, .. } => Some((target, &declared.joins)),
            Kind::Scalar | Kind::Time | Kind::Windowed | Kind::GroupBy => None,
        }
    }

    /// Whether there is such a namespace.
    pub(super) fn is_namespace(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// What a whole row of a namespace is: all but relations and what Chalk itself adds.
    pub(super) fn row(&self, namespace: &str) -> BTreeSet<String> {
        let own = self.features.range(format!("{namespace}.")..format!("{namespace}/"));
        own.filter(|(full, declared)| match declared.kind {
            Kind::Scalar | Kind::GroupBy => true,
            Kind::Time => !full.ends_with(".__chalk_observed_at__"),
            Kind::Relation { .. } | Kind::Windowed => false,
        })
        .map(|(full, _)| full.clone())
        .collect()
    }

    /// The buckets of a windowed feature with their length in seconds: `user.n__3600__` of `user.n`.
    pub(super) fn buckets(&self, windowed: &str) -> Vec<(i64, String)> {
        let bare = windowed.split_once('@').map_or(windowed, |(bare, _)| bare);
        let start = format!("{bare}__");
        let those = self.features.range(start.clone()..).take_while(|(full, _)| full.starts_with(&start));
        those.filter_map(|(full, declared)| Some((declared.window?, full.clone()))).collect()
    }
}

fn check_name(name: &str, place: &str, also: char) -> Result<(), ImportError> {
    let place = place.to_owned();
    if name.is_empty() {
        return Err(ImportError::EmptyName { place });
    }
    match name.chars().find(|c| BAD.contains(c) || *c == also || c.is_control()) {
        Some(character) => Err(ImportError::BadName { place, character }),
        None => Ok(()),
    }
}

/// One feature. `None`: of an unknown kind.
fn feature(bytes: &Bytes, place: &str) -> Result<Option<New>, ImportError> {
    let (feature, newer): (proto::FeatureType, _) = proto::read(bytes, place)?;
    let mut declared = Declared {
        namespace: String::new(),
        kind: Kind::Scalar,
        tags: BTreeSet::new(),
        key: false,
        default_version: None,
        window: None,
        recipes: Vec::new(),
        join: None,
        joins: BTreeSet::new(),
        newer: newer.into_iter().collect(),
    };
    let (namespace, name, attribute, tags) = match feature.kind {
        None => return Ok(None),
        Some(FeatureKind::Scalar(bytes)) => scalar(&bytes, place, &mut declared)?,
        Some(FeatureKind::HasOne(bytes)) => relation(&bytes, place, false, &mut declared)?,
        Some(FeatureKind::HasMany(bytes)) => relation(&bytes, place, true, &mut declared)?,
        Some(FeatureKind::FeatureTime(bytes)) => {
            let (time, newer): (proto::FeatureTime, _) = proto::read(&bytes, place)?;
            declared.newer.extend(newer);
            declared.kind = Kind::Time;
            (time.namespace, time.name, time.attribute_name, time.tags)
        }
        Some(FeatureKind::Windowed(bytes)) => {
            let (windowed, newer): (proto::Windowed, _) = proto::read(&bytes, place)?;
            declared.newer.extend(newer);
            declared.kind = Kind::Windowed;
            (windowed.namespace, windowed.name, windowed.attribute_name, Vec::new())
        }
        Some(FeatureKind::GroupBy(bytes)) => {
            let (group, newer): (proto::GroupBy, _) = proto::read(&bytes, place)?;
            declared.newer.extend(newer);
            declared.kind = Kind::GroupBy;
            declared.recipes.extend(group.expression.map(Recipe::Expression));
            declared.recipes.extend(group.aggregation.map(Recipe::Aggregation));
            (group.namespace, group.name, group.attribute_name, group.tags)
        }
    };
    declared.namespace.clone_from(&namespace);
    Ok(Some(New { namespace, name, attribute, tags, declared }))
}

type Names = (String, String, String, Vec<String>);

fn scalar(bytes: &Bytes, place: &str, declared: &mut Declared) -> Result<Names, ImportError> {
    let (scalar, newer): (proto::Scalar, _) = proto::read(bytes, place)?;
    declared.newer.extend(newer);
    declared.key = scalar.is_primary;
    // Of the bare name alone, and where it is not its own.
    let version = scalar.version.map(|version| u64::from(version.default));
    declared.default_version = version.filter(|version| *version > 1 && !scalar.name.contains('@'));
    declared.recipes.extend(scalar.expression.map(Recipe::Expression));
    declared.recipes.extend(scalar.offline_expression.map(Recipe::Expression));
    declared.recipes.extend(scalar.last_for.map(Recipe::LastFor));
    if let Some(bytes) = scalar.window_info {
        let (window, newer): (proto::WindowInfo, _) = proto::read(&bytes, place)?;
        declared.newer.extend(newer);
        declared.window = Some(window.duration.map_or(0, |duration| duration.seconds));
        declared.recipes.extend(window.aggregation.map(Recipe::Aggregation));
    }
    Ok((scalar.namespace, scalar.name, scalar.attribute_name, scalar.tags))
}

fn relation(bytes: &Bytes, place: &str, many: bool, declared: &mut Declared) -> Result<Names, ImportError> {
    let (relation, newer): (proto::Relation, _) = proto::read(bytes, place)?;
    declared.newer.extend(newer);
    declared.kind = Kind::Relation { many, target: relation.foreign_namespace };
    declared.join = relation.join;
    Ok((relation.namespace, relation.name, relation.attribute_name, relation.tags))
}
