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
    if let Some(token) = bearer(value.as_bytes()) {
        return Ok(Credential::Bearer(token));
    }
    // It is none, and what is wrong with it is found out at leisure.
    let value = value.to_str().map_err(|_| invalid("authorization not printable"))?;
    let scheme_end = |c: char| !c.is_ascii_alphanumeric();
    let scheme = value.split(scheme_end).next().unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Refusal::Missing);
    }
    let token = value.strip_prefix(scheme).and_then(|rest| rest.strip_prefix(' '));
    Err(invalid(match token {
        Some(_) => "authorization not a bearer token",
        None => "authorization not `Bearer` and one space",
    }))
}

/// The token behind `Bearer` and one space.
fn bearer(value: &[u8]) -> Option<&str> {
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    let fine = scheme.eq_ignore_ascii_case(b"Bearer ") && is_spelled(token);
    fine.then(|| simdutf8::basic::from_utf8(token).ok()).flatten()
}

/// Whether it has the letters of RFC 6750, 2.1, and no others.
pub(super) fn is_spelled(token: &[u8]) -> bool {
    // Without a branch a byte, so that the compiler looks at sixteen at once.
    let letter = |byte: u8| {
        let alphabetic = (byte | 0x20).wrapping_sub(b'a') < 26;
        // `-`, `.`, `/` and the digits stand in a row.
        let row = byte.wrapping_sub(b'-') <= b'9' - b'-';
        alphabetic | row | (byte == b'_') | (byte == b'~') | (byte == b'+')
    };
    let end = token.iter().rposition(|byte| *byte != b'=');
    let letters = end.and_then(|end| token.get(..=end));
    letters.is_some_and(|letters| letters.iter().fold(true, |all, byte| all & letter(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_letters_are_those_of_rfc_6750() {
        let ours = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
        for byte in 0..=255 {
            assert_eq!(is_spelled(&[byte]), ours(byte), "{byte}");
            // Wherever it stands: among sixteen, behind them, before an end of `=`.
            for at in 0..40 {
                let mut token = [b'a'; 40];
                token[at] = byte;
                assert_eq!(is_spelled(&token), ours(byte) || (byte == b'=' && at == 39), "{byte} at {at}");
                assert_eq!(
                    is_spelled(&[&token[..], b"=="].concat()),
                    ours(byte) || (byte == b'=' && at == 39),
                    "{byte} at {at}"
                );
            }
        }
        assert!(!is_spelled(b"") && !is_spelled(b"=") && !is_spelled(b"a=a"));
    }
}
