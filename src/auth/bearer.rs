//! Where the token of a request stands, and how it is spelled.

use hyper::header::{AUTHORIZATION, HeaderMap};

use super::{API_KEY, Refusal, invalid};

/// The token of a request: one `Authorization` header, `Bearer` in any case, one space, and a token in the letters of RFC 6750,
/// 2.1. A token anywhere else is none (RFC 6750, 2.3 is not spoken).
///
/// # Errors
/// [`Refusal::Missing`] without `Authorization`, or with another scheme; [`Refusal::Invalid`] where it cannot be read in one
/// way only, `X-API-Key` beside it included (config.md, "Credentials").
pub fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let keys = headers.get_all(API_KEY).iter().count();
    let (first, second) = (all.next(), all.next());
    if second.is_some() || keys > 1 || (first.is_some() && keys > 0) {
        return Err(invalid("more than one credential"));
    }
    let Some(value) = first else {
        return Err(Refusal::Missing);
    };
    let value = value.to_str().map_err(|_| invalid("authorization not printable"))?;
    let scheme_end = |c: char| !c.is_ascii_alphanumeric();
    let scheme = value.split(scheme_end).next().unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Refusal::Missing);
    }
    let token = value
        .split_once(' ')
        .and_then(|(before, token)| (before == scheme).then_some(token))
        .ok_or(invalid("authorization not `Bearer` and one space"))?;
    if is_spelled(token) { Ok(token) } else { Err(invalid("authorization not a bearer token")) }
}

/// Whether it has the letters of RFC 6750, 2.1, and no others.
pub(super) fn is_spelled(token: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    let letters = token.trim_end_matches('=');
    !letters.is_empty() && letters.bytes().all(letter)
}
