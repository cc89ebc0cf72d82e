//! Expressions made by hand.

use super::*;

pub(super) fn message(name: &str, namespace: &str, expr: &Bytes) -> Bytes {
    let message = FeatureExpression {
        output_column_name: name.to_owned(),
        expr: Some(expr.clone()),
        namespace: namespace.to_owned(),
    };
    packed(&message)
}

pub(super) fn name(name: &str) -> Bytes {
    node(NodeKind::Identifier(Identifier { name: name.to_owned() }))
}

/// `_.a.b` of `["a", "b"]`.
pub(super) fn path(words: &[&str]) -> Bytes {
    words.iter().fold(name("_"), |parent, word| of(&parent, word))
}

pub(super) fn of(parent: &Bytes, word: &str) -> Bytes {
    let attribute = Some(Identifier { name: word.to_owned() });
    node(NodeKind::Attribute(packed(&Attribute { parent: Some(parent.clone()), attribute })))
}

pub(super) fn at(parent: &Bytes, keys: &[Bytes]) -> Bytes {
    node(NodeKind::Subscript(packed(&Subscript { parent: Some(parent.clone()), subscript: keys.to_vec() })))
}

pub(super) fn called(function: &Bytes, args: &[Bytes]) -> Bytes {
    let call = Call { func: Some(function.clone()), args: args.to_vec(), kwargs: BTreeMap::new() };
    node(NodeKind::Call(packed(&call)))
}

pub(super) fn function(function: &str, args: &[Bytes]) -> Bytes {
    called(&name(function), args)
}

pub(super) fn named(function: &str, key: &str, value: &Bytes) -> Bytes {
    let kwargs = [(key.to_owned(), value.to_vec())].into();
    node(NodeKind::Call(packed(&Call { func: Some(name(function)), args: vec![], kwargs })))
}

pub(super) fn method(parent: &Bytes, method: &str, args: &[Bytes]) -> Bytes {
    called(&of(parent, method), args)
}

pub(super) fn operation(op: &str, operands: &[Bytes]) -> Bytes {
    node(NodeKind::Binary(packed(&Binary { operands: operands.to_vec(), op: op.to_owned() })))
}

pub(super) fn text(text: &str) -> Bytes {
    let value = ScalarValue { utf8: Some(text.to_owned()), large_utf8: None };
    node(NodeKind::Literal(packed(&Literal { value: Some(value) })))
}

/// `ExprLiteral{value: ScalarValue{int64_value}}`.
pub(super) fn int(number: u8) -> Bytes {
    node(NodeKind::Literal(Bytes::from(vec![0x0a, 0x02, 0x20, number])))
}
