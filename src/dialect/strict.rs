//! Strict protobuf: what a request may be, byte by byte, before prost decodes it.
//!
//! Protobuf readers skip fields that they do not know, take the last of two and merge messages that stand twice; and
//! they differ in it. A request is refused where any of that would happen, so that what was checked is what the server
//! reads: an unknown field, a field twice, two members of a oneof, a key twice, a wire type that is not the field's, a
//! group, a number that is longer than it needs to be or out of its type's range, a string that is no UTF-8, bytes
//! that break off, and levels beyond [`DEEPEST`]. Errors name the way to the field and, of what the caller sent, keys.

use std::collections::BTreeSet;

use bytes::Bytes;
use prost::Message;

use super::shape::{Field, Kind, Rule, Shape};
use crate::dialect::{Invalid, shown};
pub(super) use place::Place;

mod place;

/// Messages within messages that are followed; prost follows 100.
pub const DEEPEST: usize = 96;
/// Elements of lists and entries of maps that a message may have, all together: two bytes on the wire can be some dozens
/// once they are read.
pub const MOST: usize = 1_000_000;
/// Messages that one list may have, but for the small ones.
const MOST_MESSAGES: usize = 10_000;
/// Values and times.
const SMALL: [&str; 3] = ["google.protobuf.Value", "google.protobuf.Timestamp", "feast.types.Value"];

/// A message that a caller may send.
pub trait Request: Message + Default {
    /// What it may consist of: every field of the shape is a field of the message.
    const SHAPE: &'static Shape;
}

/// Reads a request.
///
/// # Errors
/// What is in the way, as in [`check`].
pub fn decode<R: Request>(bytes: &Bytes) -> Result<R, Invalid> {
    check(R::SHAPE, bytes)?;
    R::decode(bytes.clone()).map_err(|_| Invalid("the message does not read as protobuf".to_owned()))
}

/// Checks that a message is of a shape, in one way only. What passes, prost decodes with nothing dropped.
///
/// # Errors
/// The first thing in the way, with the way to it: `` `outputs[3]` has the field 7, which is not known ``.
pub fn check(shape: &Shape, bytes: &[u8]) -> Result<(), Invalid> {
    message(shape.fields, bytes, &Place::TOP, &mut { MOST })
}

/// `left`: elements that may yet come.
fn message(fields: &[Field], bytes: &[u8], place: &Place<'_>, left: &mut usize) -> Result<(), Invalid> {
    if place.depth() > DEEPEST {
        return Err(place.refuse(&format!("is deeper than {DEEPEST} levels")));
    }
    let mut seen = vec![0_usize; fields.len()];
    let mut chosen: Vec<(&str, &str)> = Vec::new();
    let mut keys: BTreeSet<(u32, &str)> = BTreeSet::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (number, wire) = tag(&mut rest, place)?;
        let known = fields.iter().zip(&mut seen).find(|(field, _)| field.number == number);
        let Some((field, seen)) = known else {
            return Err(place.refuse(&format!("has the field {number}, which is not known")));
        };
        let is_list = matches!(field.rule, Rule::Many | Rule::Map);
        let at = place.below(field.name, is_list.then_some(*seen));
        *seen += 1;
        if let Kind::Refused = field.kind {
            return Err(at.refuse("cannot be followed"));
        }
        if is_list {
            one_less(left)?;
        }
        match field.rule {
            Rule::Many if *seen > MOST_MESSAGES && *seen > most(field.kind) => {
                return Err(place.below(field.name, None).refuse(&format!("has more than {MOST_MESSAGES} entries")));
            }
            Rule::One | Rule::Of(_) if *seen > 1 => return Err(at.refuse("is given twice")),
            Rule::Of(oneof) => {
                if let Some((_, other)) = chosen.iter().find(|(name, _)| *name == oneof) {
                    return Err(at.refuse(&format!("is given beside `{other}`")));
                }
                chosen.push((oneof, field.name));
            }
            Rule::One | Rule::Many | Rule::Map => {}
        }
        match field.rule {
            Rule::Map => {
                of_wire(2, wire, &at)?;
                let entry = delimited(&mut rest, &at)?;
                let key = map_entry(field.kind, entry, &at, left)?;
                if !keys.insert((number, key)) {
                    return Err(at.refuse(&format!("has the key `{}` again", shown(key))));
                }
            }
            Rule::Many if wire == 2 && own_wire(field.kind) != 2 => {
                let mut packed = delimited(&mut rest, &at)?;
                while !packed.is_empty() {
                    one_less(left)?;
                    value(field.kind, own_wire(field.kind), &mut packed, &at, left)?;
                }
            }
            Rule::One | Rule::Of(_) | Rule::Many => value(field.kind, wire, &mut rest, &at, left)?,
        }
    }
    Ok(())
}

fn one_less(left: &mut usize) -> Result<(), Invalid> {
    let fewer = left.checked_sub(1);
    *left = fewer.ok_or_else(|| Invalid(format!("the message has more than {MOST} elements in its lists and maps")))?;
    Ok(())
}

/// Elements that a list of this kind may have.
fn most(kind: Kind) -> usize {
    match kind {
        Kind::Message(shape) if !SMALL.contains(&shape.name) => MOST_MESSAGES,
        _ => MOST,
    }
}

/// An entry of a map: a message with a key and a value. Returns the key.
fn map_entry<'b>(kind: Kind, entry: &'b [u8], at: &Place<'_>, left: &mut usize) -> Result<&'b str, Invalid> {
    let fields = [
        Field { number: 1, name: "key", kind: Kind::String, rule: Rule::One },
        Field { number: 2, name: "value", kind, rule: Rule::One },
    ];
    message(&fields, entry, at, left)?;
    let mut rest = entry;
    while !rest.is_empty() {
        let (number, _) = tag(&mut rest, at)?;
        if number == 1 {
            return text(delimited(&mut rest, at)?, at);
        }
        skip(kind, &mut rest, at)?;
    }
    Ok("")
}

/// One value, in the wire type that its kind has.
fn value(kind: Kind, wire: u8, rest: &mut &[u8], at: &Place<'_>, left: &mut usize) -> Result<(), Invalid> {
    of_wire(own_wire(kind), wire, at)?;
    let within = match kind {
        Kind::Bool => varint(rest, at)? <= 1,
        Kind::Enum(names) => usize::try_from(varint(rest, at)?).is_ok_and(|number| number < names.len()),
        // Negative numbers are written with 64 bits.
        Kind::Int32 => i32::try_from(varint(rest, at)?.cast_signed()).is_ok(),
        Kind::Uint32 => u32::try_from(varint(rest, at)?).is_ok(),
        Kind::Int64 | Kind::Uint64 => varint(rest, at).map(|_| true)?,
        Kind::Float => take(4, rest, at).map(|_| true)?,
        Kind::Double => take(8, rest, at).map(|_| true)?,
        Kind::String => text(delimited(rest, at)?, at).map(|_| true)?,
        Kind::Bytes => delimited(rest, at).map(|_| true)?,
        Kind::Message(shape) => message(shape.fields, delimited(rest, at)?, at, left).map(|()| true)?,
        Kind::Refused => false,
    };
    if within { Ok(()) } else { Err(at.refuse("is out of the range of its type")) }
}

/// Goes past a value that was checked.
fn skip(kind: Kind, rest: &mut &[u8], at: &Place<'_>) -> Result<(), Invalid> {
    match own_wire(kind) {
        0 => varint(rest, at).map(|_| ()),
        1 => take(8, rest, at).map(|_| ()),
        5 => take(4, rest, at).map(|_| ()),
        _ => delimited(rest, at).map(|_| ()),
    }
}

pub(super) fn of_wire(own: u8, wire: u8, at: &Place<'_>) -> Result<(), Invalid> {
    if wire == own { Ok(()) } else { Err(at.refuse(&format!("is of the wire type {wire}, not {own}"))) }
}

pub(super) fn own_wire(kind: Kind) -> u8 {
    match kind {
        Kind::Bool | Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Enum(_) => 0,
        Kind::Double => 1,
        Kind::String | Kind::Bytes | Kind::Message(_) | Kind::Refused => 2,
        Kind::Float => 5,
    }
}

/// The number of the next field, and its wire type.
pub(super) fn tag(rest: &mut &[u8], place: &Place<'_>) -> Result<(u32, u8), Invalid> {
    let tag = varint(rest, place)?;
    let number = u32::try_from(tag >> 3).ok().filter(|number| *number < 1 << 29);
    match (number, (tag & 7) as u8) {
        (None, _) => Err(place.refuse("has a field with a number beyond all fields")),
        (Some(0), _) => Err(place.refuse("has a field with the number 0")),
        (Some(number), 3 | 4) => Err(place.refuse(&format!("has a group, the field {number}"))),
        (Some(number), 6 | 7) => Err(place.refuse(&format!("has the field {number} in no wire type"))),
        (Some(number), wire) => Ok((number, wire)),
    }
}

pub(super) fn varint(rest: &mut &[u8], at: &Place<'_>) -> Result<u64, Invalid> {
    let mut number: u64 = 0;
    for (index, byte) in rest.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has room for the 64th bit alone.
        if index == 9 && bits > 1 {
            break;
        }
        number |= bits << (7 * index);
        if byte & 0x80 == 0 {
            if *byte == 0 && index > 0 {
                return Err(at.refuse("has a number that is longer than it needs to be"));
            }
            *rest = rest.get(index + 1..).unwrap_or_default();
            return Ok(number);
        }
    }
    Err(at.refuse(if rest.len() < 10 { "breaks off in a number" } else { "has a number of more than 64 bits" }))
}

pub(super) fn delimited<'b>(rest: &mut &'b [u8], at: &Place<'_>) -> Result<&'b [u8], Invalid> {
    let length = varint(rest, at)?;
    take(usize::try_from(length).unwrap_or(usize::MAX), rest, at)
}

pub(super) fn take<'b>(length: usize, rest: &mut &'b [u8], at: &Place<'_>) -> Result<&'b [u8], Invalid> {
    let Some((taken, behind)) = rest.split_at_checked(length) else {
        return Err(at.refuse("breaks off"));
    };
    *rest = behind;
    Ok(taken)
}

pub(super) fn text<'b>(bytes: &'b [u8], at: &Place<'_>) -> Result<&'b str, Invalid> {
    std::str::from_utf8(bytes).map_err(|_| at.refuse("is no UTF-8"))
}

#[cfg(test)]
mod tests;
