//! From JSON to protobuf.

use base64::Engine as _;
use base64::alphabet::{self, Alphabet};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;

use super::{Form, camel, time};
use crate::dialect::chalk::shape::{Field, Kind, Rule, Shape};
use crate::dialect::strict::{DEEPEST, MOST, Place, own_wire};
use crate::dialect::{Invalid, shown};
use crate::json::{self, JsonError, Value};

/// Digits of a whole number that are followed; no type has as many.
const MOST_DIGITS: usize = 38;

const fn base64(alphabet: &Alphabet) -> GeneralPurpose {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(alphabet, config)
}
const STANDARD: GeneralPurpose = base64(&alphabet::STANDARD);
const URL_SAFE: GeneralPurpose = base64(&alphabet::URL_SAFE);

/// The message that a JSON text stands for, of this shape. It is yet to be checked.
///
/// # Errors
/// The first thing in the way, with the way to it in the names of the descriptors.
pub fn to_proto(shape: &Shape, text: &[u8]) -> Result<Bytes, Invalid> {
    let whole = json::whole(text).map_err(unread)?;
    let mut out = Vec::new();
    Reader { text, left: MOST }.message(shape, whole, &Place::TOP, &mut out)?;
    Ok(out.into())
}

fn unread(error: JsonError) -> Invalid {
    Invalid(format!("the message cannot be read: {error}"))
}

struct Reader<'t> {
    text: &'t [u8],
    /// Elements of lists and entries of maps that may yet come.
    left: usize,
}

impl Reader<'_> {
    fn message(&mut self, shape: &Shape, value: Value, at: &Place<'_>, out: &mut Vec<u8>) -> Result<(), Invalid> {
        if at.depth() > DEEPEST {
            return Err(at.refuse(&format!("is deeper than {DEEPEST} levels")));
        }
        match Form::of(shape.name) {
            Form::Fields => self.fields(shape, value, at, out),
            Form::Timestamp => {
                let text = self.string(value, at)?;
                let moment =
                    time::timestamp(&text).ok_or_else(|| at.refuse("is no time as in 2026-01-02T03:04:05Z"))?;
                seconds(moment, out);
                Ok(())
            }
            Form::Duration => {
                let text = self.string(value, at)?;
                let length = time::duration(&text).ok_or_else(|| at.refuse("is no duration as in 1.5s"))?;
                seconds(length, out);
                Ok(())
            }
            Form::Value => self.value(shape, value, at, out),
            Form::Struct => shape.fields.iter().try_for_each(|field| self.map(field, value, at, out)),
            Form::List => shape.fields.iter().try_for_each(|field| self.list(field, value, at, out)),
        }
    }

    fn fields(&mut self, shape: &Shape, value: Value, at: &Place<'_>, out: &mut Vec<u8>) -> Result<(), Invalid> {
        if value.kind != json::Kind::Object {
            return Err(at.refuse("is no object"));
        }
        let mut seen = vec![false; shape.fields.len()];
        for member in json::members(self.text, value).map_err(unread)? {
            let key = member.key.as_ref();
            let named = |field: &Field| field.name == key || camel(field.name).eq(key.chars());
            let Some((field, seen)) = shape.fields.iter().zip(&mut seen).find(|(field, _)| named(field)) else {
                return Err(at.refuse(&format!("has the field `{}`, which is not known", shown(key))));
            };
            if std::mem::replace(seen, true) {
                return Err(at.below(field.name, None).refuse("is given under both of its names"));
            }
            if member.value.kind == json::Kind::Null
                && (matches!(field.rule, Rule::Many | Rule::Map) || !is_value(field.kind))
            {
                continue;
            }
            match field.rule {
                Rule::One | Rule::Of(_) => self.field(field, member.value, &at.below(field.name, None), out)?,
                Rule::Many => self.list(field, member.value, at, out)?,
                Rule::Map => self.map(field, member.value, at, out)?,
            }
        }
        Ok(())
    }

    fn list(&mut self, field: &Field, value: Value, up: &Place<'_>, out: &mut Vec<u8>) -> Result<(), Invalid> {
        if value.kind != json::Kind::Array {
            return Err(up.below(field.name, None).refuse("is no list"));
        }
        for (index, element) in json::iter_elements(self.text, value).map_err(unread)?.enumerate() {
            self.one_less()?;
            self.field(field, element.map_err(unread)?, &up.below(field.name, Some(index)), out)?;
        }
        Ok(())
    }

    fn map(&mut self, field: &Field, value: Value, up: &Place<'_>, out: &mut Vec<u8>) -> Result<(), Invalid> {
        if value.kind != json::Kind::Object {
            return Err(up.below(field.name, None).refuse("is no object of entries"));
        }
        let of_entry = Field { number: 2, name: "value", kind: field.kind, rule: Rule::One };
        for (index, member) in json::iter_members(self.text, value).map_err(unread)?.enumerate() {
            self.one_less()?;
            let member = member.map_err(unread)?;
            let at = up.below(field.name, Some(index));
            let mut entry = Vec::new();
            delimited(1, member.key.as_bytes(), &mut entry);
            self.field(&of_entry, member.value, &at.below("value", None), &mut entry)?;
            delimited(field.number, &entry, out);
        }
        Ok(())
    }

    /// One value with its tag.
    fn field(&mut self, field: &Field, value: Value, at: &Place<'_>, out: &mut Vec<u8>) -> Result<(), Invalid> {
        let range = || at.refuse("is out of the range of its type");
        let Field { number, kind, .. } = *field;
        let of_varint = match kind {
            Kind::Bool => match value.kind {
                json::Kind::Bool(given) => u64::from(given),
                _ => return Err(at.refuse("is neither true nor false")),
            },
            Kind::Int32 => i64::from(i32::try_from(self.whole(value, at)?).map_err(|_| range())?).cast_unsigned(),
            Kind::Int64 => i64::try_from(self.whole(value, at)?).map_err(|_| range())?.cast_unsigned(),
            Kind::Uint32 => u32::try_from(self.whole(value, at)?).map_err(|_| range())?.into(),
            Kind::Uint64 => u64::try_from(self.whole(value, at)?).map_err(|_| range())?,
            Kind::Enum(names) => self.enumerated(names, value, at)?,
            Kind::Float => {
                let text = self.number(value, at)?;
                let given: f32 = special(&text).map_or_else(|| real(&text, at), |special| Ok(special as f32))?;
                exact(&text, f64::from(given), at)?;
                tag(number, kind, out);
                out.extend_from_slice(&given.to_le_bytes());
                return Ok(());
            }
            Kind::Double => {
                let given = self.double(value, at)?;
                tag(number, kind, out);
                out.extend_from_slice(&given.to_le_bytes());
                return Ok(());
            }
            Kind::String => {
                delimited(number, self.string(value, at)?.as_bytes(), out);
                return Ok(());
            }
            Kind::Bytes => {
                let text = self.string(value, at)?;
                let engine = if text.contains(['-', '_']) { URL_SAFE } else { STANDARD };
                let given = engine.decode(text.as_bytes()).map_err(|_| at.refuse("is no base64"))?;
                delimited(number, &given, out);
                return Ok(());
            }
            Kind::Message(shape) => {
                let mut inner = Vec::new();
                self.message(shape, value, at, &mut inner)?;
                delimited(number, &inner, out);
                return Ok(());
            }
            Kind::Refused => return Err(at.refuse("cannot be followed")),
        };
        tag(number, kind, out);
        varint(of_varint, out);
        Ok(())
    }

    /// `google.protobuf.Value`: its member by the value's own kind.
    fn value(&mut self, shape: &Shape, value: Value, at: &Place<'_>, out: &mut Vec<u8>) -> Result<(), Invalid> {
        let number = match value.kind {
            json::Kind::Null => {
                out.extend_from_slice(&[1 << 3, 0]);
                return Ok(());
            }
            json::Kind::Number => 2,
            json::Kind::String => 3,
            json::Kind::Bool(_) => 4,
            json::Kind::Object => 5,
            json::Kind::Array => 6,
        };
        let mut members = shape.fields.iter().filter(|field| field.number == number);
        members.try_for_each(|field| self.field(field, value, &at.below(field.name, None), out))
    }

    fn enumerated(&self, names: &[&str], value: Value, at: &Place<'_>) -> Result<u64, Invalid> {
        let number = if value.kind == json::Kind::String {
            let name = self.string(value, at)?;
            let number = names.iter().position(|known| *known == name);
            number.ok_or_else(|| at.refuse(&format!("is `{}`, which is not among its names", shown(&name))))?
        } else {
            let number = usize::try_from(self.whole(value, at)?).ok();
            number.filter(|number| *number < names.len()).ok_or_else(|| at.refuse("is out of the range of its type"))?
        };
        u64::try_from(number).map_err(|_| at.refuse("is out of the range of its type"))
    }

    fn string(&self, value: Value, at: &Place<'_>) -> Result<std::borrow::Cow<'_, str>, Invalid> {
        if value.kind != json::Kind::String {
            return Err(at.refuse("is no text"));
        }
        json::string(self.text, value).map_err(unread)
    }

    /// A number, or the text of one.
    fn number(&self, value: Value, at: &Place<'_>) -> Result<std::borrow::Cow<'_, str>, Invalid> {
        match value.kind {
            json::Kind::String => json::string(self.text, value).map_err(unread),
            json::Kind::Number => Ok(String::from_utf8_lossy(value.span.of(self.text))),
            _ => Err(at.refuse("is no number")),
        }
    }

    fn whole(&self, value: Value, at: &Place<'_>) -> Result<i128, Invalid> {
        whole(&self.number(value, at)?).ok_or_else(|| at.refuse("is no whole number"))
    }

    fn double(&self, value: Value, at: &Place<'_>) -> Result<f64, Invalid> {
        let text = self.number(value, at)?;
        let given = special(&text).map_or_else(|| real(&text, at), Ok)?;
        exact(&text, given, at)?;
        Ok(given)
    }

    fn one_less(&mut self) -> Result<(), Invalid> {
        let fewer = self.left.checked_sub(1);
        self.left =
            fewer.ok_or_else(|| Invalid(format!("the message has more than {MOST} elements in its lists and maps")))?;
        Ok(())
    }
}

fn is_value(kind: Kind) -> bool {
    matches!(kind, Kind::Message(shape) if Form::of(shape.name) == Form::Value)
}

/// The numbers that JSON does not have.
fn special(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

fn real<F: std::str::FromStr + Into<f64> + Copy>(text: &str, at: &Place<'_>) -> Result<F, Invalid> {
    let number = split(text).and_then(|_| text.parse::<F>().ok()).ok_or_else(|| at.refuse("is no number"))?;
    if number.into().is_finite() { Ok(number) } else { Err(at.refuse("is out of the range of its type")) }
}

/// Refuses whole numbers that would become others: an identifier would be another one's.
fn exact(text: &str, number: f64, at: &Place<'_>) -> Result<(), Invalid> {
    match whole(text) {
        // Beyond 2^53 not every whole number is one; casts of those that are lose nothing.
        Some(whole) if number as i128 == whole => Ok(()),
        None if split(text).is_none_or(|(_, before, behind, _)| !behind.is_empty() || before.len() <= MOST_DIGITS) => {
            Ok(())
        }
        Some(_) | None => Err(at.refuse("is a whole number that would be rounded")),
    }
}

/// The parts of a number in JSON's grammar: its sign, the digits before and behind its point, its exponent.
fn split(text: &str) -> Option<(bool, &str, &str, i32)> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => {
            let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            // Beyond any type either way.
            (mantissa, digits(unsigned).then(|| exponent.parse().unwrap_or(i32::MAX))?)
        }
        None => (text, 0),
    };
    let (minus, mantissa) = mantissa.strip_prefix('-').map_or((false, mantissa), |mantissa| (true, mantissa));
    let (before, behind) = match mantissa.split_once('.') {
        Some((before, behind)) => (before, digits(behind).then_some(behind)?),
        None => (mantissa, ""),
    };
    let plain = digits(before) && (before.len() == 1 || !before.starts_with('0'));
    plain.then_some((minus, before, behind, exponent))
}

/// A number that is a whole one, however it is spelled. `None`: it is not, or has more digits than any type.
fn whole(text: &str) -> Option<i128> {
    let (minus, before, behind, exponent) = split(text)?;
    let all = [before, behind].concat();
    let significant = all.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    let trailing = all.len().checked_sub(all.trim_end_matches('0').len())?;
    let zeros = i64::from(exponent) - i64::try_from(behind.len()).ok()? + i64::try_from(trailing).ok()?;
    let zeros = u32::try_from(zeros).ok()?;
    if significant.len() > MOST_DIGITS {
        return None;
    }
    let number = significant.parse::<i128>().ok()?.checked_mul(10_i128.checked_pow(zeros)?)?;
    Some(if minus { -number } else { number })
}

/// `Timestamp` and `Duration` have the same fields; none of them is written where it is 0, as everywhere in protobuf.
fn seconds((seconds, nanos): (i64, i32), out: &mut Vec<u8>) {
    for (number, value) in [(1, seconds), (2, i64::from(nanos))].into_iter().filter(|(_, value)| *value != 0) {
        tag(number, Kind::Int64, out);
        varint(value.cast_unsigned(), out);
    }
}

fn tag(number: u32, kind: Kind, out: &mut Vec<u8>) {
    varint(u64::from(number) << 3 | u64::from(own_wire(kind)), out);
}

fn delimited(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    tag(number, Kind::Bytes, out);
    varint(u64::try_from(bytes.len()).unwrap_or(u64::MAX), out);
    out.extend_from_slice(bytes);
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number > 0x7f {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
