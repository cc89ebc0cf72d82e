//! The query string, as forms write it (WHATWG URL, application/x-www-form-urlencoded): read, and built anew.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write;

use super::{Request, invalid};
use crate::dialect::Invalid;
use crate::dialect::json::description::{Place, Route};
use crate::dialect::json::plan::{Asked, Permit};

/// Parameters that one query may have.
const MOST: usize = 10_000;

/// A name and its value.
pub(super) type Parameter<'b> = (Cow<'b, str>, Cow<'b, str>);

/// All of them, in their order.
///
/// # Errors
/// [`Invalid`]: an escape that is none, or bytes that are no UTF-8.
pub(super) fn read(text: &str) -> Result<Vec<Parameter<'_>>, Invalid> {
    let mut all = Vec::new();
    for part in text.split('&').filter(|part| !part.is_empty()) {
        if all.len() == MOST {
            return invalid(format!("the query string has more than {MOST} parameters"));
        }
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        all.push((decoded(name)?, decoded(value)?));
    }
    Ok(all)
}

fn decoded(text: &str) -> Result<Cow<'_, str>, Invalid> {
    if !text.contains(['%', '+']) {
        return Ok(Cow::Borrowed(text));
    }
    // Not what it is: it may be of a value.
    let wrong = || Invalid("the query string has an escape that is none".to_owned());
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || bytes.next().and_then(|digit| char::from(digit).to_digit(16));
                let (high, low) = (digit().ok_or_else(wrong)?, digit().ok_or_else(wrong)?);
                u8::try_from(high * 16 + low).map_err(|_| wrong())?
            }
            byte => byte,
        });
    }
    String::from_utf8(out).map(Cow::Owned).map_err(|_| Invalid("the query string is no utf-8".to_owned()))
}

/// The parameters that a route knows.
pub(super) fn known(route: &Route) -> BTreeSet<&str> {
    let request = &route.request;
    let places = request.outputs.iter().chain(&request.bundle).chain(request.supplied.iter().map(|one| &one.at));
    let places = places.chain(route.scope.iter().map(|(_, place)| place));
    let named = places.filter_map(|place| match place {
        Place::Query(name) => Some(name.as_str()),
        Place::Body(_) | Place::Path(_) => None,
    });
    named.chain(request.pass_query.iter().map(String::as_str)).collect()
}

/// Appends the query string that goes upstream.
pub(super) fn write(path: &mut String, request: &Request<'_>, permit: &Permit) {
    let described = &request.query.route.request;
    let outputs = match &described.outputs {
        Some(Place::Query(name)) => Some(name.as_str()),
        _ => None,
    };
    let forwarded = super::forwarded(&request.query, permit);
    let dropped = |name: &str| {
        described.supplied.iter().enumerate().any(|(at, one)| {
            matches!(&one.at, Place::Query(own) if own == name) && forwarded.get(&(at, name)) == Some(&false)
        })
    };
    let mut mark = '?';
    let mut pair = |name: &str, value: &str| {
        path.push(std::mem::replace(&mut mark, '&'));
        encode(path, name);
        path.push('=');
        encode(path, value);
    };
    for (name, value) in &request.parameters {
        if Some(&**name) != outputs && !dropped(name) {
            pair(name, value);
        }
    }
    if let (Some(name), Asked::Outputs(all)) = (outputs, &request.query.asked) {
        let kept = all.iter().filter(|output| permit.asks(&output.feature)).map(|output| &*output.written);
        match &described.split {
            Some(split) => pair(name, &kept.collect::<Vec<_>>().join(split)),
            None => kept.for_each(|written| pair(name, written)),
        }
    }
}

/// Escapes all but the unreserved characters of RFC 3986, 2.3.
fn encode(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing to a text does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}
