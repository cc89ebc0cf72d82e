//! What a caller asks of Chalk, however it is spelled (JSON, feather, gRPC), and what of it goes upstream and may come back.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use super::expression::Expression;
pub use crate::chalk::Switch;

/// A query as it was read, of a text in which most names stand as they are meant.
#[derive(Clone, Debug, Default)]
pub struct Query<'b> {
    /// Outputs by name, as written (wire-chalk.md, section 4).
    pub outputs: Vec<Cow<'b, str>>,
    /// Outputs of the caller's making.
    pub expressions: Vec<Expression>,
    /// What is supplied.
    pub inputs: Vec<Input<'b>>,
    /// `query_name`; with no outputs a bundle.
    pub name: Option<String>,
    /// `query_name_version`.
    pub version: Option<String>,
    /// Whether a name without a version means version 1 (`X-Chalk-Features-Versioned: true`); else the default version.
    pub versioned: bool,
    /// Parts that need a permission of their own.
    pub switches: BTreeSet<Switch>,
    /// Features and namespaces that such parts name; only those of the catalogue are forwarded.
    pub named: BTreeSet<String>,
}

/// A value, or in bulk a column of values, that is supplied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input<'b> {
    /// The feature, as written.
    pub name: Cow<'b, str>,
    /// It is null, or holds one: it supplies nothing (policy.md, What S is).
    pub has_null: bool,
}

/// What goes upstream and what may come back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permit {
    /// The outputs that are asked for by name, each feature spelled out.
    pub outputs: Vec<String>,
    /// Positions in [`Query::expressions`] of those that are asked for.
    pub expressions: Vec<usize>,
    /// Names of the inputs that are forwarded.
    pub inputs: BTreeSet<String>,
    /// The fields of an answer that may come back; all else is dropped.
    pub fields: Fields,
    /// Whether the primary key may come back: `pkey`, `__id__`, `display_primary_key`.
    pub primary_key: bool,
    /// How many outputs, as the caller wrote them, were taken out, whole or in part. How many features that is would tell what
    /// there is.
    pub filtered: usize,
}

/// Fields, or columns, by name. Names of the upstream's are looked up in it, for each answer anew: its hashes are quick, and
/// seeded at random in each process.
pub type Fields = HashMap<String, Field, foldhash::fast::RandomState>;

/// What a field of an answer may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// A value.
    Value,
    /// Rows of a has-many, with these columns (`transaction.amount`); others are cut.
    Rows(Fields),
}
