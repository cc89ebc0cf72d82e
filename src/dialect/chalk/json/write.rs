//! From protobuf to JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Form, camel, time};
use crate::dialect::chalk::shape::{Field, Kind, Rule, Shape};
use crate::dialect::strict::{DEEPEST, Place, delimited, of_wire, own_wire, tag, take, text, varint};
use crate::dialect::{Invalid, Unreadable, shown};
use crate::json::write_string;

/// The JSON text of a message of this shape: what is in it, without what is not known.
///
/// # Errors
/// It is no such message, says something twice, or has what JSON has no form for: a `Value` that is no finite number, a time
/// beyond the year 9999.
pub fn to_json(shape: &Shape, message: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let mut out = Vec::new();
    let written = self::message(shape, message, &Place::TOP, &mut out);
    written.map_err(|Invalid(why)| Unreadable(format!("it cannot be told in json: {why}")))?;
    Ok(out)
}

/// A value as it stands on the wire.
#[derive(Clone, Copy)]
enum Raw<'b> {
    Number(u64),
    Bytes(&'b [u8]),
}

fn message(shape: &Shape, bytes: &[u8], at: &Place<'_>, out: &mut Vec<u8>) -> Result<(), Invalid> {
    if at.depth() > DEEPEST {
        return Err(at.refuse(&format!("is deeper than {DEEPEST} levels")));
    }
    let given = given(shape.fields, bytes, at)?;
    match Form::of(shape.name) {
        Form::Fields => fields(shape.fields, &given, at, out),
        Form::Timestamp => of_time(time::timestamp_text, &given, at, out),
        Form::Duration => of_time(time::duration_text, &given, at, out),
        Form::Struct | Form::List => {
            shape.fields.iter().zip(&given).try_for_each(|(field, given)| field_value(field, given, at, out))
        }
        Form::Value => {
            let mut chosen = shape.fields.iter().zip(&given).filter(|(_, given)| !given.is_empty());
            match (chosen.next(), chosen.next()) {
                (None, _) => out.extend_from_slice(b"null"),
                (Some((Field { kind: Kind::Enum(_), .. }, _)), None) => out.extend_from_slice(b"null"),
                (Some((field, given)), None) => {
                    if let (Kind::Double, Some(Raw::Number(bits))) = (field.kind, given.first())
                        && !f64::from_bits(*bits).is_finite()
                    {
                        return Err(at.refuse("is a number that json does not have"));
                    }
                    field_value(field, given, at, out)?;
                }
                (Some(_), Some(_)) => return Err(at.refuse("is two values at once")),
            }
            Ok(())
        }
    }
}

fn fields(fields: &[Field], given: &[Vec<Raw<'_>>], at: &Place<'_>, out: &mut Vec<u8>) -> Result<(), Invalid> {
    out.push(b'{');
    let mut first = true;
    for (field, given) in fields.iter().zip(given).filter(|(_, given)| !given.is_empty()) {
        comma(&mut first, out);
        out.push(b'"');
        out.extend(camel(field.name).filter_map(|c| u8::try_from(c).ok()));
        out.extend_from_slice(b"\":");
        field_value(field, given, at, out)?;
    }
    out.push(b'}');
    Ok(())
}

/// All of a field: a value, a list or an object of entries.
fn field_value(field: &Field, given: &[Raw<'_>], up: &Place<'_>, out: &mut Vec<u8>) -> Result<(), Invalid> {
    let mut first = true;
    match field.rule {
        Rule::One | Rule::Of(_) => match given {
            [one] => value(field.kind, *one, &up.below(field.name, None), out),
            _ => Err(up.below(field.name, None).refuse("is given twice")),
        },
        Rule::Many => {
            out.push(b'[');
            for (index, element) in given.iter().enumerate() {
                comma(&mut first, out);
                value(field.kind, *element, &up.below(field.name, Some(index)), out)?;
            }
            out.push(b']');
            Ok(())
        }
        Rule::Map => {
            let fields = [
                Field { number: 1, name: "key", kind: Kind::String, rule: Rule::One },
                Field { number: 2, name: "value", kind: field.kind, rule: Rule::One },
            ];
            let mut keys = std::collections::HashSet::new();
            out.push(b'{');
            for (index, entry) in given.iter().enumerate() {
                comma(&mut first, out);
                let at = up.below(field.name, Some(index));
                let Raw::Bytes(entry) = entry else { return Err(at.refuse("is no entry")) };
                let entry = self::given(&fields, entry, &at)?;
                let [key, of_key] = entry.as_slice() else { return Err(at.refuse("is not a key and a value")) };
                let key = match key.as_slice() {
                    [] => "",
                    [Raw::Bytes(key)] => text(key, &at)?,
                    _ => return Err(at.refuse("has more than one key")),
                };
                if !keys.insert(key) {
                    return Err(at.refuse(&format!("has the key `{}` again", shown(key))));
                }
                write_string(out, key);
                out.push(b':');
                match of_key.as_slice() {
                    // Where nothing is written, the type's empty value is meant.
                    [] => value(field.kind, empty(field.kind), &at, out)?,
                    [one] => value(field.kind, *one, &at.below("value", None), out)?,
                    _ => return Err(at.refuse("has more than one value")),
                }
            }
            out.push(b'}');
            Ok(())
        }
    }
}

fn empty(kind: Kind) -> Raw<'static> {
    if own_wire(kind) == 2 { Raw::Bytes(&[]) } else { Raw::Number(0) }
}

fn value(kind: Kind, raw: Raw<'_>, at: &Place<'_>, out: &mut Vec<u8>) -> Result<(), Invalid> {
    match (kind, raw) {
        (Kind::Bool, Raw::Number(number)) => out.extend_from_slice(if number == 0 { b"false" } else { b"true" }),
        (Kind::Int32, Raw::Number(number)) => plain(number.cast_signed() as i32, out),
        (Kind::Uint32, Raw::Number(number)) => plain(number as u32, out),
        (Kind::Int64, Raw::Number(number)) => write_string(out, &number.cast_signed().to_string()),
        (Kind::Uint64, Raw::Number(number)) => write_string(out, &number.to_string()),
        (Kind::Enum(names), Raw::Number(number)) => {
            match usize::try_from(number).ok().and_then(|number| names.get(number)) {
                Some(name) => write_string(out, name),
                None => plain(number.cast_signed() as i32, out),
            }
        }
        (Kind::Float, Raw::Number(bits)) => {
            let number = f32::from_bits(bits as u32);
            real(number.into(), serde_json::to_vec(&number).ok(), out);
        }
        (Kind::Double, Raw::Number(bits)) => {
            let number = f64::from_bits(bits);
            real(number, serde_json::to_vec(&number).ok(), out);
        }
        (Kind::String, Raw::Bytes(bytes)) => write_string(out, text(bytes, at)?),
        (Kind::Bytes, Raw::Bytes(bytes)) => {
            out.push(b'"');
            out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
            out.push(b'"');
        }
        (Kind::Message(shape), Raw::Bytes(bytes)) => message(shape, bytes, at, out)?,
        (_, Raw::Number(_) | Raw::Bytes(_)) => return Err(at.refuse("is not of its type")),
    }
    Ok(())
}

fn plain(number: impl ToString, out: &mut Vec<u8>) {
    out.extend_from_slice(number.to_string().as_bytes());
}

/// A number, or the text of one that JSON does not have.
fn real(number: f64, finite: Option<Vec<u8>>, out: &mut Vec<u8>) {
    match finite.filter(|_| number.is_finite()) {
        Some(text) => out.extend_from_slice(&text),
        None if number.is_nan() => out.extend_from_slice(b"\"NaN\""),
        None => out.extend_from_slice(if number > 0.0 { b"\"Infinity\"" } else { b"\"-Infinity\"" }),
    }
}

/// `Timestamp` and `Duration`: whole seconds, and nanoseconds.
fn of_time(
    write: fn(i64, i32) -> Option<String>,
    given: &[Vec<Raw<'_>>],
    at: &Place<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Invalid> {
    let number = |index: usize| match given.get(index).map(Vec::as_slice) {
        None | Some([]) => Some(0),
        Some([Raw::Number(number)]) => Some(number.cast_signed()),
        Some(_) => None,
    };
    let nanos = number(1).and_then(|nanos| i32::try_from(nanos).ok());
    let text = number(0).zip(nanos).and_then(|(seconds, nanos)| write(seconds, nanos));
    write_string(out, &text.ok_or_else(|| at.refuse("is beyond the times that json has"))?);
    Ok(())
}

/// The values of each field, in their order.
fn given<'b>(fields: &[Field], mut rest: &'b [u8], at: &Place<'_>) -> Result<Vec<Vec<Raw<'b>>>, Invalid> {
    let mut all = vec![Vec::new(); fields.len()];
    while !rest.is_empty() {
        let (number, wire) = tag(&mut rest, at)?;
        let known = fields.iter().zip(&mut all).find(|(field, _)| field.number == number);
        let Some((field, values)) = known else {
            raw(wire, &mut rest, at)?;
            continue;
        };
        let (own, at) = (own_wire(field.kind), at.below(field.name, None));
        if field.rule == Rule::Many && wire == 2 && own != 2 {
            let mut packed = delimited(&mut rest, &at)?;
            while !packed.is_empty() {
                values.push(raw(own, &mut packed, &at)?);
            }
            continue;
        }
        of_wire(if field.rule == Rule::Map { 2 } else { own }, wire, &at)?;
        values.push(raw(wire, &mut rest, &at)?);
    }
    Ok(all)
}

fn raw<'b>(wire: u8, rest: &mut &'b [u8], at: &Place<'_>) -> Result<Raw<'b>, Invalid> {
    let fixed = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
    Ok(match wire {
        0 => Raw::Number(varint(rest, at)?),
        1 => Raw::Number(fixed(take(8, rest, at)?)),
        5 => Raw::Number(fixed(take(4, rest, at)?)),
        _ => Raw::Bytes(delimited(rest, at)?),
    })
}

fn comma(first: &mut bool, out: &mut Vec<u8>) {
    if !std::mem::take(first) {
        out.push(b',');
    }
}
