//! Where the token of a request stands, and how it is spelled.

use hyper::header::{AUTHORIZATION, HeaderMap};

use super::{API_KEY, Refusal, invalid};

/// What a request brings to say who sent it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Credential<'r> {
    /// A token: one `Authorization` header, `Bearer` in any case, one space, and a token in the letters of RFC 6750, 2.1.
    Bearer(&'r str),
    /// `X-API-Key`.
    ApiKey(&'r str),
}

impl std::fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential")
    }
}

/// The credential of a request. A token anywhere else is none (RFC 6750, 2.3 is not spoken).
///
/// # Errors
/// [`Refusal::Missing`] without one, or with another scheme; [`Refusal::Invalid`] where it cannot be read in one way only, and
/// where there is more than one (config.md, "Credentials").
pub fn credential(headers: &HeaderMap) -> Result<Credential<'_>, Refusal> {
    let (mut all, mut keys) = (headers.get_all(AUTHORIZATION).iter(), headers.get_all(API_KEY).iter());
    let (first, second) = (all.next(), all.next());
    let (key, another) = (keys.next(), keys.next());
    if second.is_some() || another.is_some() || (first.is_some() && key.is_some()) {
        return Err(invalid("more than one credential"));
    }
    if let Some(key) = key {
        return key.to_str().map(Credential::ApiKey).map_err(|_| invalid("api key not printable"));
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
    if is_spelled(token) { Ok(Credential::Bearer(token)) } else { Err(invalid("authorization not a bearer token")) }
}

/// Whether it has the letters of RFC 6750, 2.1, and no others.
pub(super) fn is_spelled(token: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    let letters = token.trim_end_matches('=');
    !letters.is_empty() && letters.bytes().all(letter)
}
