//! The expressions that callers write: what they read (policy.md, "What a caller writes is not a feature").
//!
//! ```text
//! _.user.ssn                                    user.ssn
//! User.ssn.alias(…), in the namespace `user`    user.ssn
//! _.user.identity.is_voip_phone                 user.identity.is_voip_phone
//! _.user.count("1h"), _.user.count["1h"]        user.count["1h"]
//! _.user.transactions[_.amount, _.at > x].sum() user.transactions[].amount, user.transactions[].at, the rows
//! _.user.transactions.count()                   the rows of user.transactions
//! ```
//!
//! `_` is the row of the expression's namespace, or of all namespaces where it has none; within the `[]` of a has-many
//! it is a row of that one, and `__` the row outside. Which of the names are features, relations and windows is for
//! the catalogue to say; here are the ways ([`Read`]). An expression is a tree of these and of functions from a closed
//! list that read their arguments alone; everything else is refused by its name, and so are names but `_` and `__`
//! (Chalk takes another for `_.name`), rows that are not aggregated, and the policies of calls.
//!
//! What is read is built anew: ids and display texts, which nobody checked, are not in it.

use std::collections::BTreeSet;

use bytes::Bytes;
use prost::Message as _;

use super::proto::FeatureExpression;
use crate::chalk::expression::{Attribute, Binary, Identifier, Literal, Node, NodeKind, Subscript};
use crate::dialect::{Invalid, shown, strict};
use path::Way;
pub use path::{Path, Read, Segment};

mod call;
mod path;

/// Levels of nodes that are followed.
const DEEPEST: usize = 40;

/// The operators of `binary_expr`.
const OPERATORS: &[&str] =
    &["!=", "%", "*", "+", "-", "/", "//", "<", "<=", "==", ">", ">=", "and", "in", "not in", "or"];

/// An output of the caller's making.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    /// The column's name in the answer: `[a-z][a-z0-9_]*`. With a namespace it stands there as `namespace.name`.
    pub name: String,
    /// The namespace that it is evaluated in; empty: the root of all.
    pub namespace: String,
    /// Everything that it reads.
    pub reads: BTreeSet<Read>,
    /// The same expression as a `FeatureExpression`, built from what was read.
    pub encoded: Bytes,
}

/// What an expression reads, from a `FeatureExpression` (in JSON it is base64 in `expression_outputs`).
///
/// # Errors
/// Protobuf that is not [strict], a name or a namespace of another form, and what cannot be followed: with the way to
/// it, or with the expression's name and what it does.
pub fn read(bytes: &[u8]) -> Result<Expression, Invalid> {
    let message: FeatureExpression = strict::decode(&Bytes::copy_from_slice(bytes))?;
    let FeatureExpression { output_column_name: name, expr, namespace } = message;
    if !is_word(&name) {
        return Err(Invalid(format!("the name `{}` of an expression is not of the form a-z, 0-9 and _", shown(&name))));
    }
    let refused = |problem: String| Invalid(format!("the expression `{}` {problem}", shown(&name)));
    if !namespace.is_empty() && !is_word(&namespace) {
        return Err(refused(format!("has the namespace `{}`, which is none", shown(&namespace))));
    }
    let Some(expr) = expr else { return Err(refused("is empty".to_owned())) };
    let mut walk =
        Walk { scopes: vec![Way::root(&namespace)], depth: 0, parameters: Vec::new(), reads: BTreeSet::new() };
    let expr = walk.value(&expr, "its result").map_err(refused)?;
    let message =
        FeatureExpression { output_column_name: name.clone(), expr: Some(expr), namespace: namespace.clone() };
    Ok(Expression { name, namespace, reads: walk.reads, encoded: packed(&message) })
}

/// `[a-z][a-z0-9_]*`, and not beyond 128 bytes.
fn is_word(text: &str) -> bool {
    let rest = text.strip_prefix(|c: char| c.is_ascii_lowercase());
    rest.is_some_and(|rest| rest.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'))
        && text.len() <= 128
}

/// A name within a way: letters, digits and `_`, and `@2` behind them.
fn is_segment(text: &str) -> bool {
    let (name, version) = text.split_once('@').unwrap_or((text, "1"));
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !version.is_empty()
        && version.chars().all(|c| c.is_ascii_digit())
}

fn packed(message: &impl prost::Message) -> Bytes {
    message.encode_to_vec().into()
}

fn node(kind: NodeKind) -> Bytes {
    packed(&Node { kind: Some(kind) })
}

/// What a node stands for.
enum Found {
    /// A value; what it reads is noted already.
    Value,
    /// `_` or `__`.
    Row(Way),
    /// A way that nobody has read yet: a feature, a relation, a field of a value.
    Way(Way),
    /// Rows of a has-many, of which some columns were chosen or none.
    Rows { way: Way, chosen: bool },
}

/// What a problem says, after the expression's name.
type Problem = String;

struct Walk {
    /// What `_` is, outermost first.
    scopes: Vec<Way>,
    depth: usize,
    /// Of the lambdas around.
    parameters: Vec<String>,
    reads: BTreeSet<Read>,
}

impl Walk {
    /// A node, and the same node built anew.
    fn node(&mut self, bytes: &Bytes) -> Result<(Found, Bytes), Problem> {
        if self.depth >= DEEPEST {
            return Err(format!("is deeper than {DEEPEST} levels"));
        }
        self.depth += 1;
        let found = self.part(bytes);
        self.depth -= 1;
        found
    }

    fn part(&mut self, bytes: &Bytes) -> Result<(Found, Bytes), Problem> {
        match kind(bytes)? {
            NodeKind::Identifier(name) => Ok((Found::Row(self.row(&name.name)?), node(NodeKind::Identifier(name)))),
            NodeKind::Attribute(bytes) => {
                let (parent, built, word) = self.attribute(&bytes)?;
                let way = match parent {
                    Found::Row(way) | Found::Way(way) if way.path.key.is_none() => way,
                    Found::Rows { way, .. } => way,
                    Found::Value | Found::Row(_) | Found::Way(_) => {
                        return Err(format!("takes `{}` of what is no path", shown(&word)));
                    }
                };
                Ok((Found::Way(way.then(&word)), built))
            }
            NodeKind::Subscript(bytes) => self.subscript(&bytes),
            NodeKind::Call(bytes) => self.call(&bytes),
            literal @ (NodeKind::Literal(_) | NodeKind::Scalar(_)) => Ok((Found::Value, node(literal))),
            NodeKind::Binary(bytes) => {
                let mut binary = Binary::decode(bytes).map_err(|_| "has a damaged operation")?;
                if !OPERATORS.contains(&binary.op.as_str()) {
                    return Err(format!("has the operation `{}`, which is not followed", shown(&binary.op)));
                }
                for operand in &mut binary.operands {
                    *operand = self.value(operand, "an operand")?;
                }
                Ok((Found::Value, node(NodeKind::Binary(packed(&binary)))))
            }
            NodeKind::Column(_) => Err("names a column, which is not followed".to_owned()),
            NodeKind::TypedIdentifier(_) => Err("has a name with a type, which is not followed".to_owned()),
        }
    }

    /// A node that is used as a value, built anew. `what` it is, for errors.
    fn value(&mut self, bytes: &Bytes, what: &str) -> Result<Bytes, Problem> {
        let (found, built) = self.node(bytes)?;
        self.use_up(found, what)?;
        Ok(built)
    }

    fn use_up(&mut self, found: Found, what: &str) -> Result<(), Problem> {
        match found {
            Found::Value => {}
            Found::Way(way) => {
                self.reads.insert(way.read(false));
            }
            Found::Row(_) => return Err(format!("has `_` as a whole as {what}")),
            Found::Rows { way, .. } => {
                return Err(format!("has rows of `{}` as {what}: aggregate them", way.path));
            }
        }
        Ok(())
    }

    fn row(&self, name: &str) -> Result<Way, Problem> {
        let outside = |levels: usize| self.scopes.len().checked_sub(levels).and_then(|at| self.scopes.get(at));
        let scope = match name {
            "_" => outside(1).cloned(),
            // Where `_` may be the row outside, `__` may be the one outside of that.
            "__" => outside(2).cloned().map(|way| match outside(3) {
                Some(beyond) if outside(1).is_some_and(|scope| scope.outside.is_some()) => {
                    Way { outside: Some(beyond.path.clone()), ..way }
                }
                _ => way,
            }),
            _ => return Err(format!("uses `{}`, of which it is not known what it is", shown(name))),
        };
        scope.ok_or_else(|| "uses `__` where there is no row outside".to_owned())
    }

    /// `parent.word`, of which nobody knows yet whether it is a way or a method.
    fn attribute(&mut self, bytes: &Bytes) -> Result<(Found, Bytes, String), Problem> {
        let part = Attribute::decode(bytes.clone()).map_err(|_| "has a damaged attribute")?;
        let Some(parent) = part.parent else { return Err("takes an attribute of nothing".to_owned()) };
        let word = part.attribute.unwrap_or_default().name;
        if !is_segment(&word) {
            return Err(format!("takes the attribute `{}`, which is no name", shown(&word)));
        }
        let (found, parent) = self.node(&parent)?;
        let built = Attribute { parent: Some(parent), attribute: Some(Identifier { name: word.clone() }) };
        Ok((found, node(NodeKind::Attribute(packed(&built))), word))
    }

    /// `parent[keys]`: a window or a part of a value where the key is a literal, else rows of a has-many.
    fn subscript(&mut self, bytes: &Bytes) -> Result<(Found, Bytes), Problem> {
        let part = Subscript::decode(bytes.clone()).map_err(|_| "has a damaged subscript")?;
        let Some(parent) = part.parent else { return Err("takes a subscript of nothing".to_owned()) };
        let (parent, built) = self.node(&parent)?;
        let (found, keys) = match (parent, part.subscript.as_slice()) {
            (Found::Row(_), _) => return Err("takes `_` apart by a subscript".to_owned()),
            (_, []) => return Err("has a subscript without a key".to_owned()),
            (Found::Value, [key]) if is_literal(key)? => (Found::Value, vec![self.value(key, "a key")?]),
            (Found::Way(way), [key]) if is_literal(key)? => {
                let found = match literal_text(key)? {
                    Some(text) if way.path.key.is_none() => Found::Way(way.with_key(&text)),
                    _ => {
                        self.use_up(Found::Way(way), "a part")?;
                        Found::Value
                    }
                };
                (found, vec![self.value(key, "a key")?])
            }
            (Found::Way(way), keys) if way.path.key.is_none() => self.rows(way, false, keys)?,
            (Found::Rows { way, chosen }, keys) => self.rows(way, chosen, keys)?,
            (Found::Value | Found::Way(_), _) => {
                return Err("has a subscript that is no literal behind what is no path".to_owned());
            }
        };
        let built = Subscript { parent: Some(built), subscript: keys };
        Ok((found, node(NodeKind::Subscript(packed(&built)))))
    }

    /// The columns and filters in the `[]` of a has-many.
    fn rows(&mut self, way: Way, mut chosen: bool, keys: &[Bytes]) -> Result<(Found, Vec<Bytes>), Problem> {
        let way = way.with_rows();
        self.reads.insert(way.clone().read(true));
        self.scopes.push(way.clone());
        let mut built = Vec::new();
        for key in keys {
            if is_literal(key)? {
                return Err(format!("has a literal among the columns of `{}`", way.path));
            }
            chosen |= chooses(key)?;
            built.push(self.value(key, "a column")?);
        }
        self.scopes.pop();
        Ok((Found::Rows { way, chosen }, built))
    }
}

fn kind(bytes: &Bytes) -> Result<NodeKind, Problem> {
    let node = Node::decode(bytes.clone()).map_err(|_| "has a damaged node")?;
    node.kind.ok_or_else(|| "has an empty node".to_owned())
}

fn is_literal(bytes: &Bytes) -> Result<bool, Problem> {
    Ok(matches!(kind(bytes)?, NodeKind::Literal(_) | NodeKind::Scalar(_)))
}

/// The text of a literal that is one.
fn literal_text(bytes: &Bytes) -> Result<Option<String>, Problem> {
    let NodeKind::Literal(bytes) = kind(bytes)? else { return Ok(None) };
    let literal = Literal::decode(bytes).map_err(|_| "has a damaged literal")?;
    Ok(literal.value.and_then(|value| value.utf8.or(value.large_utf8)))
}

/// Whether a key between the `[]` of a has-many is a column; operators and functions filter.
fn chooses(bytes: &Bytes) -> Result<bool, Problem> {
    Ok(match kind(bytes)? {
        NodeKind::Attribute(_) | NodeKind::Subscript(_) => true,
        NodeKind::Call(bytes) => match call::function(&bytes)? {
            Some(name) => name == "select",
            None => true,
        },
        _ => false,
    })
}

#[cfg(test)]
mod tests;
