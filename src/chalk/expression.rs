//! The messages of expressions (`chalk.expression.v1`): by hand, with no other field than those that are read.
//!
//! A message that holds expressions holds them as bytes, to be read one by one: so each can be asked for fields that
//! are newer than this page ([`Part::FIELDS`]), and an expression may be deeper than prost's limit of 100 messages.

#![expect(missing_docs, reason = "fields have the names and the meaning that they have in Chalk's descriptors")]

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use bytes::Bytes;
use prost::Message;

/// A message of which every field is known by its number.
pub trait Part: Message + Default {
    /// The numbers of all its fields in chalkpy 2.166.1, read here or not.
    const FIELDS: &'static [RangeInclusive<u32>];
}

/// Bytes that are no such message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

/// Reads a message that was held as bytes. With it the number of a field that is newer than [`Part::FIELDS`], where
/// there is one.
///
/// # Errors
/// [`Damaged`].
pub fn read<P: Part>(bytes: &Bytes) -> Result<(P, Option<u32>), Damaged> {
    let newer = numbers(bytes).ok_or(Damaged)?.into_iter().find(|n| !P::FIELDS.iter().any(|known| known.contains(n)));
    Ok((P::decode(bytes.clone()).map_err(|_| Damaged)?, newer))
}

/// The numbers of a message's fields, in the order of the bytes. `None`: no protobuf.
pub fn numbers(mut bytes: &[u8]) -> Option<Vec<u32>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        // A length delimiter is a varint like any other.
        let tag = prost::decode_length_delimiter(&mut bytes).ok()?;
        let length = match tag & 7 {
            0 => {
                varint(&mut bytes)?;
                0
            }
            1 => 8,
            2 => prost::decode_length_delimiter(&mut bytes).ok()?,
            5 => 4,
            _ => return None,
        };
        bytes = bytes.get(length..)?;
        found.push(u32::try_from(tag >> 3).ok()?);
    }
    Some(found)
}

fn varint(bytes: &mut &[u8]) -> Option<()> {
    let length = bytes.iter().take(10).position(|byte| byte & 0x80 == 0)?;
    *bytes = bytes.get(length.checked_add(1)?..)?;
    Some(())
}

macro_rules! part {
    ($($name:ident: $($fields:expr),+;)+) => {
        $(impl $crate::chalk::expression::Part for $name {
            const FIELDS: &'static [std::ops::RangeInclusive<u32>] = &[$($fields),+];
        })+
    };
}
pub(crate) use part;

part! {
    Node: 1..=44;
    Attribute: 1..=2;
    Subscript: 1..=2;
    Call: 1..=5;
    Binary: 1..=3;
    Column: 1..=2;
}

/// `LogicalExprNode`.
#[derive(Clone, PartialEq, Message)]
pub struct Node {
    #[prost(oneof = "NodeKind", tags = "1, 3, 4, 35, 36, 37, 38, 39, 41")]
    pub kind: Option<NodeKind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub enum NodeKind {
    #[prost(bytes = "bytes", tag = "1")]
    Column(Bytes),
    #[prost(bytes = "bytes", tag = "3")]
    Scalar(Bytes),
    #[prost(bytes = "bytes", tag = "4")]
    Binary(Bytes),
    #[prost(message, tag = "35")]
    Identifier(Identifier),
    #[prost(bytes = "bytes", tag = "36")]
    Attribute(Bytes),
    #[prost(bytes = "bytes", tag = "37")]
    Subscript(Bytes),
    #[prost(bytes = "bytes", tag = "38")]
    Call(Bytes),
    #[prost(bytes = "bytes", tag = "39")]
    Literal(Bytes),
    #[prost(message, tag = "41")]
    TypedIdentifier(Identifier),
}

/// `Identifier`, and `TypedIdentifier` without its type.
#[derive(Clone, PartialEq, Message)]
pub struct Identifier {
    #[prost(string, tag = "1")]
    pub name: String,
}

/// `ExprGetAttribute`.
#[derive(Clone, PartialEq, Message)]
pub struct Attribute {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub parent: Option<Bytes>,
    #[prost(message, optional, tag = "2")]
    pub attribute: Option<Identifier>,
}

/// `ExprGetSubscript`.
#[derive(Clone, PartialEq, Message)]
pub struct Subscript {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub parent: Option<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub subscript: Vec<Bytes>,
}

/// `ExprCall`.
#[derive(Clone, PartialEq, Message)]
pub struct Call {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub func: Option<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub args: Vec<Bytes>,
    #[prost(btree_map = "string, bytes", tag = "3")]
    pub kwargs: BTreeMap<String, Vec<u8>>,
}

/// `BinaryExprNode`.
#[derive(Clone, PartialEq, Message)]
pub struct Binary {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub operands: Vec<Bytes>,
    #[prost(string, tag = "3")]
    pub op: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Column {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub relation: Option<Identifier>,
}

/// `ExprLiteral` with a text in it, such as the `"1h"` of a window.
#[derive(Clone, PartialEq, Message)]
pub struct Literal {
    #[prost(message, optional, tag = "1")]
    pub value: Option<ScalarValue>,
}

/// `chalk.arrow.v1.ScalarValue` where it is a text.
#[derive(Clone, PartialEq, Message)]
pub struct ScalarValue {
    #[prost(string, optional, tag = "5")]
    pub large_utf8: Option<String>,
    #[prost(string, optional, tag = "20")]
    pub utf8: Option<String>,
}
