//! The messages of expressions (`chalk.expression.v1`).

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;

/// `LogicalExprNode`.
#[derive(Clone, PartialEq, Message)]
pub(in crate::import::chalk) struct Node {
    #[prost(oneof = "NodeKind", tags = "1, 3, 4, 35, 36, 37, 38, 39, 41")]
    pub kind: Option<NodeKind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(in crate::import::chalk) enum NodeKind {
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
    #[prost(message, tag = "39")]
    Literal(Literal),
    #[prost(message, tag = "41")]
    TypedIdentifier(Identifier),
}

/// `Identifier`, and `TypedIdentifier` without its type.
#[derive(Clone, PartialEq, Message)]
pub(in crate::import::chalk) struct Identifier {
    #[prost(string, tag = "1")]
    pub name: String,
}

/// `ExprGetAttribute`.
#[derive(Clone, PartialEq, Message)]
pub(in crate::import::chalk) struct Attribute {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub parent: Option<Bytes>,
    #[prost(message, optional, tag = "2")]
    pub attribute: Option<Identifier>,
}

/// `ExprGetSubscript`.
#[derive(Clone, PartialEq, Message)]
pub(in crate::import::chalk) struct Subscript {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub parent: Option<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub subscript: Vec<Bytes>,
}

/// `ExprCall`.
#[derive(Clone, PartialEq, Message)]
pub(in crate::import::chalk) struct Call {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub func: Option<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub args: Vec<Bytes>,
    #[prost(btree_map = "string, bytes", tag = "3")]
    pub kwargs: BTreeMap<String, Vec<u8>>,
}

/// `BinaryExprNode`.
#[derive(Clone, PartialEq, Message)]
pub(in crate::import::chalk) struct Binary {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub operands: Vec<Bytes>,
    #[prost(string, tag = "3")]
    pub op: String,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::import::chalk) struct Column {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub relation: Option<Identifier>,
}

/// `ExprLiteral` with a text in it, such as the `"1h"` of a window.
#[derive(Clone, PartialEq, Message)]
pub(in crate::import::chalk) struct Literal {
    #[prost(message, optional, tag = "1")]
    pub value: Option<ScalarValue>,
}

/// `chalk.arrow.v1.ScalarValue` where it is a text.
#[derive(Clone, PartialEq, Message)]
pub(in crate::import::chalk) struct ScalarValue {
    #[prost(string, optional, tag = "5")]
    pub large_utf8: Option<String>,
    #[prost(string, optional, tag = "20")]
    pub utf8: Option<String>,
}
