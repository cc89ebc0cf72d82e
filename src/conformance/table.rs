//! The table: what the files of `tests/conformance` say.

mod read;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::wire::Column;
use super::{Cell, Dialect};
use crate::diagnostic::{Report, SourceFile};

/// The files, by name; a test holds that all of the folder are here.
const FILES: &[(&str, &str)] = &[
    ("rules", include_str!("../../tests/conformance/rules.yaml")),
    ("permissive", include_str!("../../tests/conformance/permissive.yaml")),
    ("boundary", include_str!("../../tests/conformance/boundary.yaml")),
    ("flows", include_str!("../../tests/conformance/flows.yaml")),
    ("supplies", include_str!("../../tests/conformance/supplies.yaml")),
    ("aliases", include_str!("../../tests/conformance/aliases.yaml")),
    ("relations", include_str!("../../tests/conformance/relations.yaml")),
];

/// Rows for which the feature server holds values; no case asks for more.
pub const ROWS: usize = 3;
/// Rows of every has-many: the first ones of its namespace.
const MANY: usize = 2;

/// A file: a policy over a catalogue, what the feature server holds, and cases.
#[derive(Clone, Debug)]
pub struct Table {
    /// The file's name, without its end.
    pub name: &'static str,
    /// What it is about, in a line.
    pub about: String,
    /// The dialects that it is for.
    pub reach: Option<Reach>,
    /// What a case supplies unless it says otherwise.
    pub defaults: Vec<String>,
    /// Entity keys.
    pub keys: BTreeSet<String>,
    /// The feature that the feature server answers where it answers what nobody asked for.
    pub unasked: String,
    /// The policy file without its version and bindings, in neutral names.
    pub policy: Map<String, Value>,
    /// The catalogue file without its version, in neutral names.
    pub catalogue: Map<String, Value>,
    /// The features of the catalogue, keys and relations too.
    pub features: BTreeSet<String>,
    /// What the bundles stand for.
    pub bundles: BTreeMap<String, Vec<Member>>,
    /// The cases.
    pub cases: Vec<Case>,
    /// Relations.
    relations: BTreeMap<String, Relation>,
    /// Values that are given, by row.
    values: BTreeMap<String, Vec<Cell>>,
}

/// A relation.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Relation {
    /// The namespace that it leads to.
    namespace: String,
    /// Whether it leads to rows.
    many: bool,
}

/// A member of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What it is.
    pub feature: String,
    /// As what it is answered.
    pub alias: Option<String>,
}

/// Which dialects can express something, and why not the others.
#[derive(Clone, Debug)]
pub struct Reach {
    /// Names of dialects or of their families.
    pub dialects: Vec<String>,
    /// Whether these alone can, or all others.
    pub only: bool,
    /// Why.
    pub because: String,
}

impl Reach {
    /// Why a dialect is not among them.
    pub fn bars(&self, dialect: Dialect) -> Option<&str> {
        let named = self.dialects.iter().any(|word| dialect.is(word));
        (named != self.only).then_some(self.because.as_str())
    }
}

/// A case.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// Who asks.
    pub caller: Caller,
    /// What is asked for, as written.
    pub outputs: Vec<String>,
    /// Or the bundle.
    pub bundle: Option<String>,
    /// The keys that are supplied.
    pub keys: Vec<String>,
    /// What is supplied besides.
    pub supplied: Vec<(String, Cell)>,
    /// For how many rows.
    pub rows: usize,
    /// How the feature server behaves.
    pub upstream: Upstream,
    /// What must come of it.
    pub expect: Expect,
    /// What is answered where that is not just what was asked for.
    pub answer: Option<Vec<String>>,
    /// Which dialects can express it.
    pub reach: Option<Reach>,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Caller {
    /// Without a token.
    Anonymous,
    /// With a token that has these roles: none, one or several.
    Roles(Vec<String>),
}

impl Caller {
    /// How its token is called: its roles with `+` between them, `nobody` without one; `None` without a token.
    pub fn name(&self) -> Option<String> {
        match self {
            Self::Anonymous => None,
            Self::Roles(roles) if roles.is_empty() => Some("nobody".to_owned()),
            Self::Roles(roles) => Some(roles.join("+")),
        }
    }
}

/// How the feature server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// As it should.
    Well,
    /// A column that nobody asked for comes, too.
    Adds,
    /// The first column comes a second time, with other values.
    Doubles,
    /// The first column does not come.
    Drops,
    /// In the place of the first column another one comes.
    Renames,
    /// An error comes that tells a value, in its headers too.
    Fails,
    /// Wherever the body has room beside the columns a value is told: unknown members, errors, metadata. Not in headers, which an
    /// engine may pass on as they are.
    Tells,
}

impl Upstream {
    /// The words of the table.
    pub const WORDS: [(&'static str, Self); 7] = [
        ("well", Self::Well),
        ("adds", Self::Adds),
        ("doubles", Self::Doubles),
        ("drops", Self::Drops),
        ("renames", Self::Renames),
        ("fails", Self::Fails),
        ("tells", Self::Tells),
    ];

    fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, own)| *own == self).map_or("", |(word, _)| word)
    }

    /// The value of every key in a row, from 1: it goes through any engine, and tells the feature server how to behave.
    pub fn key(self, row: usize) -> String {
        match self {
            Self::Well => format!("row-{row}"),
            _ => format!("row-{row}-{}", self.word()),
        }
    }

    /// What the value of a key says: the row, and how to behave.
    pub fn of_key(text: &str) -> Option<(usize, Self)> {
        let rest = text.strip_prefix("row-")?;
        let (row, word) = rest.split_once('-').unwrap_or((rest, "well"));
        let (_, how) = Self::WORDS.into_iter().find(|(own, _)| *own == word)?;
        Some((row.parse().ok().filter(|row| (1..=ROWS).contains(row))?, how))
    }
}

/// What must come of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// All of it is answered.
    Permitted,
    /// All but these is answered.
    Filtered(Vec<String>),
    /// Nothing is, and these are named.
    Refused(Vec<String>),
    /// It cannot be meant.
    Invalid,
    /// The caller has no role.
    Forbidden,
    /// There is no caller.
    Unauthenticated,
    /// What the feature server should not have said does not come through: a failure, or what is fine of the answer.
    Withheld,
}

impl Table {
    /// All of them.
    ///
    /// # Errors
    /// The mistakes of a file.
    pub fn all() -> Result<Vec<Self>, Report> {
        FILES.iter().map(|(name, text)| Self::read(name, text)).collect()
    }

    /// The names of the files.
    pub fn names() -> impl Iterator<Item = &'static str> {
        FILES.iter().map(|(name, _)| *name)
    }

    fn read(name: &'static str, text: &str) -> Result<Self, Report> {
        let file = SourceFile { name: format!("tests/conformance/{name}.yaml"), text: text.to_owned() };
        read::table(name, &Arc::new(file))
    }

    /// Why a dialect cannot express any of it.
    pub fn barred(&self, dialect: Dialect) -> Option<&str> {
        self.reach.as_ref()?.bars(dialect)
    }

    /// What the feature server holds for a name in a row, from 1; of a key what is supplied. `None` where the name leads
    /// nowhere.
    pub fn value(&self, name: &str, row: usize) -> Option<Cell> {
        let name = self.feature(name)?;
        if self.keys.contains(&name) {
            return Some(Cell::Text(Upstream::Well.key(row)));
        }
        let given = self.values.get(&name).and_then(|values| values.get(row.checked_sub(1)?));
        let made = || Cell::Text(format!("value-{}-{row}", name.replace('.', "-")));
        Some(given.cloned().unwrap_or_else(made))
    }

    /// The feature that a name leads to, over has-ones: `order.buyer.name` is `buyer.name`.
    fn feature(&self, name: &str) -> Option<String> {
        let mut at = name.to_owned();
        while !self.features.contains(&at) || self.relations.contains_key(&at) {
            let (namespace, rest) = self.relations.iter().find_map(|(name, relation)| {
                let rest = at.strip_prefix(name.as_str())?.strip_prefix('.')?;
                Some((&relation.namespace, rest.to_owned()))
            })?;
            at = format!("{namespace}.{rest}");
        }
        Some(at)
    }

    /// The scalar features of a namespace, by the way to it.
    pub fn scalars(&self, way: &str) -> Vec<String> {
        let namespace = self.relations.get(way).map_or(way, |relation| &relation.namespace);
        let scalars = self.features.iter().filter(|name| !self.relations.contains_key(*name));
        let below = scalars.filter_map(|name| name.strip_prefix(namespace)?.strip_prefix('.'));
        below.map(|rest| format!("{way}.{rest}")).collect()
    }

    /// The columns of `person.orders` or `person.orders[order.id,order.item]`, a has-many.
    pub fn columns(&self, written: &str) -> Option<Vec<Column>> {
        let (way, inner) = match written.split_once('[') {
            Some((way, inner)) => (way, Some(inner.strip_suffix(']')?)),
            None => (written, None),
        };
        let relation = self.relations.get(way).filter(|relation| relation.many)?;
        let names = match inner {
            Some(inner) => inner.split(',').map(str::to_owned).collect(),
            None => self.scalars(&relation.namespace),
        };
        names.into_iter().map(|name| self.rows(&name).map(|cells| (name, cells))).collect()
    }

    /// The values of a feature in the rows of a has-many.
    pub fn rows(&self, feature: &str) -> Option<Vec<Cell>> {
        (1..=MANY).map(|row| self.value(feature, row)).collect()
    }

    /// Every feature that has a value of its own.
    pub fn held(&self) -> impl Iterator<Item = &str> {
        let held =
            self.features.iter().filter(|name| !self.keys.contains(*name) && !self.relations.contains_key(*name));
        held.map(String::as_str)
    }

    /// Everybody who asks.
    pub fn callers(&self) -> BTreeSet<Caller> {
        self.cases.iter().map(|case| case.caller.clone()).collect()
    }
}

impl Case {
    /// What is answered in full, as written, and as what where that is another name.
    pub fn asked<'c>(&'c self, table: &'c Table) -> Vec<(&'c str, Option<&'c str>)> {
        match (&self.answer, &self.bundle) {
            (Some(names), _) => names.iter().map(|name| (name.as_str(), None)).collect(),
            (None, Some(bundle)) => {
                let members = table.bundles.get(bundle).into_iter().flatten();
                members.map(|member| (member.feature.as_str(), member.alias.as_deref())).collect()
            }
            (None, None) => self.outputs.iter().map(|name| (name.as_str(), None)).collect(),
        }
    }

    /// What is supplied: keys, and what there is besides; a column each.
    pub fn supplied(&self) -> Vec<Column> {
        let keys = self.keys.iter().map(|key| {
            let cells = (1..=self.rows).map(|row| Cell::Text(self.upstream.key(row)));
            (key.clone(), cells.collect())
        });
        let others = self.supplied.iter().map(|(name, value)| (name.clone(), vec![value.clone(); self.rows]));
        keys.chain(others).collect()
    }

    /// The values that are answered for a name, in so many rows: what is supplied, where that is taken; else what is held.
    /// `person.orders[order.id]` are those of the rows of a has-many. `None` where the name leads nowhere.
    pub fn wanted(&self, table: &Table, name: &str, rows: usize) -> Option<Vec<Cell>> {
        if let Some((_, column)) = name.split_once('[') {
            return table.rows(column.strip_suffix(']')?);
        }
        if table.keys.contains(name) {
            return Some((1..=rows).map(|row| Cell::Text(self.upstream.key(row))).collect());
        }
        let keys_alone = table.policy.get("supplies").and_then(Value::as_str) == Some("keys");
        match self.supplied.iter().find(|(other, _)| other == name && !keys_alone) {
            Some((_, value)) => Some(vec![value.clone(); rows]),
            None => (1..=rows).map(|row| table.value(name, row)).collect(),
        }
    }

    /// Why a dialect cannot express it.
    pub fn barred<'c>(&'c self, table: &'c Table, dialect: Dialect) -> Option<&'c str> {
        let own = || self.reach.as_ref()?.bars(dialect);
        if let Some(why) = table.barred(dialect).or_else(own) {
            return Some(why);
        }
        let single = matches!(dialect, Dialect::Chalk | Dialect::JsonRecords);
        (self.rows > 1 && single).then_some("a query is for one row")
    }
}

#[cfg(test)]
mod tests;
