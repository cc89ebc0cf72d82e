//! Names of outputs: each spelling of wire-chalk.md, section 4, that means one thing, spelled out; all others mean nothing.
//!
//! ```text
//! user.name, user.score@2, user.count__3600__   the feature
//! user                                          the scalar features of the namespace
//! user.identity.is_voip_phone                   identity.is_voip_phone, over the relation user.identity
//! user.identity                                 the scalar features of identity, over the relation
//! user.transactions                             rows of the scalar features of transaction
//! user.transactions[transaction.id]             rows of these; within the brackets all of the above again
//! ```
//!
//! The catalogue's names are compared byte by byte: another case, a window as `["1h"]` or `_1h`, `@1`, a way through a
//! has-many with dots, a resolver's name and blanks are unknown names, and what is unknown is denied.

use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};

use crate::dialect::Invalid;
use crate::policy::Policy;
use crate::policy::catalogue::FeatureId;

/// Brackets within brackets that are followed.
const DEEPEST: usize = 8;

/// Features that all that is asked for may stand for, a feature once more for each relation on the way to it. A name of
/// few bytes is as many as its namespace has.
pub const MOST_FEATURES: usize = 100_000;

/// What is left of [`MOST_FEATURES`].
#[derive(Debug)]
pub(super) struct Budget(Cell<Option<usize>>);

impl Budget {
    pub fn new() -> Self {
        Self(Cell::new(Some(MOST_FEATURES)))
    }

    /// `None`: there is too little left, and from now on nothing.
    fn take(&self, features: usize, hops: usize) -> Option<()> {
        let cost = features.saturating_mul(hops.saturating_add(1));
        self.0.set(self.0.get().and_then(|left| left.checked_sub(cost)));
        self.0.get().map(|_| ())
    }

    /// How many were taken.
    ///
    /// # Errors
    /// More than there may be.
    pub fn taken(&self) -> Result<usize, Invalid> {
        let left = self.0.get().ok_or_else(too_many)?;
        Ok(MOST_FEATURES.saturating_sub(left))
    }
}

/// More is asked for than [`MOST_FEATURES`].
pub fn too_many() -> Invalid {
    Invalid(format!("what is asked for stands for more than {MOST_FEATURES} features"))
}

/// A part of what an output stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The value of a feature.
    Value(Leaf),
    /// Rows of a has-many.
    Rows {
        /// `user.transactions`: how it is answered.
        way: String,
        /// The relations that lead there, its own the last.
        hops: Vec<FeatureId>,
        /// What is asked of each row.
        columns: Vec<Part>,
    },
}

/// A feature and the way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leaf {
    /// `user.identity.is_voip_phone`: how it is asked for and answered.
    pub way: String,
    /// The relations that lead there.
    pub hops: Vec<FeatureId>,
    /// What it is.
    pub feature: FeatureId,
    /// What it is as well, and as what that is answered: the default version, for which the bare name may stand.
    pub or: Option<(FeatureId, String)>,
}

impl Part {
    /// How it is answered.
    pub fn way(&self) -> &str {
        match self {
            Self::Value(leaf) => &leaf.way,
            Self::Rows { way, .. } => way,
        }
    }
}

impl Leaf {
    /// Everything that it can be.
    pub fn features(&self) -> impl Iterator<Item = FeatureId> {
        [self.feature].into_iter().chain(self.or.as_ref().map(|(id, _)| *id))
    }
}

/// Looks names up.
pub(super) struct Names<'p> {
    pub policy: &'p Policy,
    /// Whether a name without a version is version 1.
    pub versioned: bool,
    pub budget: &'p Budget,
}

impl Names<'_> {
    /// What an output stands for; `None`: nothing that the catalogue has, or more than the budget does.
    pub fn output(&self, written: &str) -> Option<Vec<Part>> {
        self.part(written, &[], "", DEEPEST)
    }

    /// `prefix` and `before`: the way and the relations to the row on which the name begins.
    fn part(&self, written: &str, before: &[FeatureId], prefix: &str, levels: usize) -> Option<Vec<Part>> {
        let (head, inner) = match written.split_once('[') {
            Some((head, rest)) => (head, Some(rest.strip_suffix(']')?)),
            None => (written, None),
        };
        let catalogue = &self.policy.catalogue;
        let Some((way, last)) = head.rsplit_once('.') else {
            // A namespace is no column.
            return (inner.is_none() && before.is_empty()).then(|| self.row(head, before, head)).flatten();
        };
        let mut segments = way.split('.');
        let mut namespace = segments.next()?;
        let mut hops = before.to_vec();
        for segment in segments {
            let hop = catalogue.id(&format!("{namespace}.{segment}"))?;
            // Through the rows of a has-many leads a projection alone.
            let relation = catalogue.relation(hop).filter(|relation| !relation.many)?;
            namespace = &relation.namespace;
            hops.push(hop);
        }
        let id = catalogue.id(&format!("{namespace}.{last}"))?;
        let way = format!("{prefix}{head}");
        let Some(relation) = catalogue.relation(id) else {
            self.budget.take(1, hops.len())?;
            return inner.is_none().then(|| self.leaf(way, hops, id)).flatten().map(|leaf| vec![Part::Value(leaf)]);
        };
        hops.push(id);
        if !relation.many {
            return inner.is_none().then(|| self.row(&relation.namespace, &hops, &way)).flatten();
        }
        let columns = match inner {
            None => self.row(&relation.namespace, &hops, &relation.namespace)?,
            Some(inner) => {
                let mut columns = Vec::new();
                for column in split(inner) {
                    // A column begins at the row of the has-many.
                    let begins = column.strip_prefix(&*relation.namespace)?.starts_with('.');
                    columns.extend(self.part(column, &hops, "", levels.checked_sub(1)?).filter(|_| begins)?);
                }
                columns
            }
        };
        (!columns.is_empty()).then(|| vec![Part::Rows { way, hops, columns }])
    }

    /// The scalar features of a namespace, as reached by a way. Versions beside the first are asked for by name alone.
    pub fn row(&self, namespace: &str, hops: &[FeatureId], way: &str) -> Option<Vec<Part>> {
        let catalogue = &self.policy.catalogue;
        let scalars = &catalogue.namespace(namespace)?.scalars;
        self.budget.take(scalars.len(), hops.len())?;
        let named = scalars.iter().filter_map(|id| Some((*id, catalogue.name(*id).rsplit_once('.')?.1)));
        let row: Vec<Part> = named
            .filter(|(_, name)| !name.contains('@') && *name != "__chalk_observed_at__")
            .map(|(id, name)| self.leaf(format!("{way}.{name}"), hops.to_vec(), id).map(Part::Value))
            .collect::<Option<_>>()?;
        (!row.is_empty()).then_some(row)
    }

    /// `None`: it may stand for a version that the catalogue does not have, of which nobody knows what it reads.
    fn leaf(&self, way: String, hops: Vec<FeatureId>, feature: FeatureId) -> Option<Leaf> {
        let or = match self.default_version(feature).filter(|_| !self.versioned) {
            Some((id, version)) => Some((id?, format!("{way}@{version}"))),
            None => None,
        };
        Some(Leaf { way, hops, feature, or })
    }

    /// The default version of a name that has one beside the first: the feature, where the catalogue has it, and its number.
    pub fn default_version(&self, id: FeatureId) -> Option<(Option<FeatureId>, u64)> {
        let catalogue = &self.policy.catalogue;
        let version = catalogue.default_version(id).filter(|version| *version > 1)?;
        Some((catalogue.id(&format!("{}@{version}", catalogue.name(id))), version))
    }
}

/// The parts between the commas that are in no further brackets.
fn split(inner: &str) -> impl Iterator<Item = &str> {
    let mut open = 0usize;
    inner.split(move |c| {
        match c {
            '[' => open += 1,
            ']' => open = open.saturating_sub(1),
            _ => {}
        }
        c == ',' && open == 0
    })
}

/// Parts spelled out, those of one has-many together: how each is asked for.
pub(super) fn spelled(parts: &[Part]) -> Vec<String> {
    let mut values = Vec::new();
    let mut seen: HashSet<&str> = HashSet::new();
    let mut rows: BTreeMap<&str, Vec<Part>> = BTreeMap::new();
    for part in parts {
        match part {
            Part::Value(leaf) if !seen.insert(&leaf.way) => {}
            Part::Value(leaf) => values.push(leaf.way.clone()),
            Part::Rows { way, columns, .. } => rows.entry(way).or_default().extend_from_slice(columns),
        }
    }
    values.extend(rows.into_iter().map(|(way, columns)| format!("{way}[{}]", spelled(&columns).join(","))));
    values
}
