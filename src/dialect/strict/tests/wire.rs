//! Protobuf by hand, and messages of a shape in a fixed form.

use super::*;

pub(super) fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// The tag of a field.
pub(super) fn field(number: u32, wire: u8) -> Vec<u8> {
    varint(u64::from(number) << 3 | u64::from(wire))
}

pub(super) fn number(field_number: u32, value: u64) -> Vec<u8> {
    [field(field_number, 0), varint(value)].concat()
}

pub(super) fn bytes(field_number: u32, value: &[u8]) -> Vec<u8> {
    [field(field_number, 2), varint(value.len() as u64), value.to_vec()].concat()
}

pub(super) fn text(field_number: u32, value: &str) -> Vec<u8> {
    bytes(field_number, value.as_bytes())
}

/// What a message says: its fields by number, elements of a list in their order, entries of a map by key.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Said {
    Number(u64),
    Bytes(Vec<u8>),
    Message(Vec<(u32, Said)>),
}

/// A message in a form that does not depend on the order of fields and entries, nor on packing.
pub(super) fn canonical(shape: &Shape, bytes: &[u8]) -> Said {
    Said::Message(fields(shape.fields, bytes))
}

fn fields(known: &[Field], mut rest: &[u8]) -> Vec<(u32, Said)> {
    let mut found: Vec<(u32, Said)> = Vec::new();
    while !rest.is_empty() {
        let (number, wire) = tag(&mut rest, &Place::TOP).unwrap();
        let field = known.iter().find(|field| field.number == number).unwrap();
        if field.rule == Rule::Map {
            let entry = [
                Field { number: 1, name: "key", kind: Kind::String, rule: Rule::One },
                Field { number: 2, name: "value", kind: field.kind, rule: Rule::One },
            ];
            let bytes = delimited(&mut rest, &Place::TOP).unwrap();
            found.push((number, Said::Message(fields(&entry, bytes))));
        } else if wire == 2 && own_wire(field.kind) != 2 {
            let mut packed = delimited(&mut rest, &Place::TOP).unwrap();
            while !packed.is_empty() {
                found.push((number, said(field.kind, &mut packed)));
            }
        } else {
            found.push((number, said(field.kind, &mut rest)));
        }
    }
    // Stable: elements of a list stay in their order.
    found.sort_by_key(|(number, said)| {
        let is_map = known.iter().any(|field| field.number == *number && field.rule == Rule::Map);
        (*number, if is_map { format!("{said:?}") } else { String::new() })
    });
    found
}

fn said(kind: Kind, rest: &mut &[u8]) -> Said {
    let top = &Place::TOP;
    match own_wire(kind) {
        0 => Said::Number(varint_of(rest)),
        1 => Said::Bytes(take(8, rest, top).unwrap().to_vec()),
        5 => Said::Bytes(take(4, rest, top).unwrap().to_vec()),
        _ => {
            let bytes = delimited(rest, top).unwrap();
            match kind {
                Kind::Message(shape) => canonical(shape, bytes),
                _ => Said::Bytes(bytes.to_vec()),
            }
        }
    }
}

fn varint_of(rest: &mut &[u8]) -> u64 {
    super::super::varint(rest, &Place::TOP).unwrap()
}
