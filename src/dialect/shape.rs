//! What the messages of calls consist of: the tables that the strict reader of requests goes by.
//!
//! What a table leaves out is unknown, and refused.

use std::fmt;

/// A message: its fields, in any order, each number once.
pub struct Shape {
    /// Its full name in its server's descriptors: `chalk.common.v1.OutputExpr`.
    pub name: &'static str,
    /// All that it may have.
    pub fields: &'static [Field],
}

/// By its name: shapes hold themselves.
impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A field of a message.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// From 1.
    pub number: u32,
    /// As errors name it.
    pub name: &'static str,
    /// What it holds, or what each of its elements holds.
    pub kind: Kind,
    /// How often.
    pub rule: Rule,
}

/// What a field holds.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// 0 or 1.
    Bool,
    /// Within 32 bits, with a sign.
    Int32,
    /// Within 64 bits, with a sign.
    Int64,
    /// Within 32 bits.
    Uint32,
    /// Within 64 bits.
    Uint64,
    /// One of the numbers from 0, of which these are the names.
    Enum(&'static [&'static str]),
    /// Four bytes.
    Float,
    /// Eight bytes.
    Double,
    /// UTF-8.
    String,
    /// Any bytes, also those of a message that is not looked into.
    Bytes,
    /// A message of this shape.
    Message(&'static Shape),
    /// Known, and nothing that a caller may send: refused by its name.
    Refused,
}

/// How often a field may stand in its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// At most once.
    One,
    /// At most once, and none of the others with the same word.
    Of(&'static str),
    /// Any number of times; numbers may be packed.
    Many,
    /// A map from strings to the field's kind, each key once.
    Map,
}

pub(super) const fn one(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { number, name, kind, rule: Rule::One }
}

pub(super) const fn of(oneof: &'static str, number: u32, name: &'static str, kind: Kind) -> Field {
    Field { number, name, kind, rule: Rule::Of(oneof) }
}

pub(super) const fn many(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { number, name, kind, rule: Rule::Many }
}

pub(super) const fn map(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { number, name, kind, rule: Rule::Map }
}
