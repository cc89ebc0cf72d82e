//! What an expression reads, looked up in the catalogue: each way to features and relations (policy.md, "What a caller
//! writes is not a feature").

use std::collections::BTreeSet;

use super::expression::{Expression, Path, Read};
use super::names::{Budget, Names, Part};
use crate::chalk::{PSEUDO, PSEUDO_NAMESPACE};
use crate::policy::Policy;
use crate::policy::catalogue::FeatureId;

/// A feature, and whether it is reached by a path.
type Reached = (FeatureId, bool);

/// What an expression reads.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// Features of which the value is read.
    pub read: BTreeSet<Reached>,
    /// Relations that are only used.
    pub used: BTreeSet<Reached>,
    /// The ways as written.
    ways: BTreeSet<String>,
    /// Whether all of them could be followed.
    pub followed: bool,
}

impl Expression {
    /// The namespaces in which its ways begin.
    pub(super) fn roots(&self) -> impl Iterator<Item = &str> {
        let of_reads = self.reads.iter().filter_map(|read| read.path.segments.first()).map(|first| first.name.as_str());
        let own = Some(self.namespace.as_str()).filter(|namespace| !namespace.is_empty());
        own.into_iter().chain(of_reads).filter(|root| *root != PSEUDO_NAMESPACE)
    }
}

impl Reads {
    /// Follows every way of an expression, as far as the budget goes.
    pub fn of(policy: &Policy, budget: &Budget, expression: &Expression) -> Self {
        let mut reads = Self { followed: true, ..Self::default() };
        for read in &expression.reads {
            reads.ways.insert(read.path.to_string());
            let ways = [Some(&read.path), read.outside.as_ref()];
            let mut found = false;
            for path in ways.into_iter().flatten() {
                let mut one = Self::default();
                if one.way(policy, budget, path, read).is_some() {
                    found = true;
                    reads.read.append(&mut one.read);
                    reads.used.append(&mut one.used);
                }
            }
            reads.followed &= found;
        }
        reads
    }

    /// The ways as the audit shows them.
    pub fn shown(&self) -> impl Iterator<Item = String> {
        self.ways.iter().map(|way| crate::dialect::shown(way))
    }

    /// Follows one way; `None`: it means nothing in this catalogue.
    fn way(&mut self, policy: &Policy, budget: &Budget, path: &Path, read: &Read) -> Option<()> {
        let catalogue = &policy.catalogue;
        // Of a bare name every version that it may stand for counts.
        let names = Names { policy, versioned: false, budget };
        let (first, rest) = path.segments.split_first()?;
        let mut namespace = first.name.as_str();
        let mut hops: Vec<FeatureId> = Vec::new();
        if first.rows {
            return None;
        }
        for (position, segment) in rest.iter().enumerate() {
            let last = position + 1 == rest.len();
            let bucket =
                path.bucket().filter(|_| last).and_then(|bucket| catalogue.id(&format!("{namespace}.{bucket}")));
            let Some(id) = bucket.or_else(|| catalogue.id(&format!("{namespace}.{}", segment.name))) else {
                return (last && !segment.rows).then(|| self.pseudo(policy, namespace, &segment.name, &hops)).flatten();
            };
            let Some(relation) = catalogue.relation(id) else {
                // The rest are fields of its value.
                if segment.rows {
                    return None;
                }
                let other = match names.default_version(id) {
                    Some((other, _)) => Some(other?),
                    None => None,
                };
                self.read.extend([Some(id), other].into_iter().flatten().map(|id| (id, !hops.is_empty())));
                return Some(());
            };
            if (segment.rows && !relation.many) || (last && path.key.is_some()) {
                return None;
            }
            self.used.insert((id, !hops.is_empty()));
            hops.push(id);
            namespace = &relation.namespace;
        }
        if path.key.is_some() {
            return None;
        }
        if read.rows {
            return (!hops.is_empty()).then_some(());
        }
        for part in names.row(namespace, &hops, namespace)? {
            if let Part::Value(leaf) = part {
                self.read.extend(leaf.features().map(|id| (id, !hops.is_empty())));
            }
        }
        Some(())
    }

    /// A name that Chalk makes up. Of those, `__id__` is the primary key and `__distance__` tells of values.
    fn pseudo(&mut self, policy: &Policy, namespace: &str, name: &str, hops: &[FeatureId]) -> Option<()> {
        let known = policy.catalogue.namespace(namespace);
        if !PSEUDO.contains(&name) || (known.is_none() && namespace != PSEUDO_NAMESPACE) {
            return None;
        }
        match name {
            "__distance__" => None,
            "__id__" => {
                let keys = &known?.keys;
                self.read.extend(keys.iter().map(|key| (*key, !hops.is_empty())));
                (!keys.is_empty()).then_some(())
            }
            _ => Some(()),
        }
    }
}
