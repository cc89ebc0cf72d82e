//! A token as text: canonical JWS compact form, strict JSON, and the rules for its claims. Pure: keys and time come from outside.
//!
//! Everything here is read before a signature is checked, so it is written against hostile input: one reading for every token
//! (RFC 8725, 2.4 and 3), nothing that a header asks us to fetch, and no claim that is trusted for more than choosing an issuer.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use crate::auth::Memo;
use crate::auth::certificate::{self, Thumbprint};
use crate::json::strict_object;

#[cfg(test)]
mod tests;

/// A longer `kid` names no key of anybody's; it is refused before it is looked for or remembered. In bytes.
const MAX_KID: usize = 256;

/// Why a token is refused: for the debug log and for metrics, never for the caller. A closed set of literals.
pub(super) type Reason = &'static str;

/// A token that is worth nothing without the proof that it is bound to (RFC 8705, 3.1; RFC 9449, 6.1).
pub(super) const NO_PROOF: Reason = "bound to a proof that was not shown";

/// A token whose form is in order. Nothing in it is verified yet.
pub(super) struct Jws<'a> {
    /// `header.payload` as it was sent: what the signature covers.
    pub(super) signed: &'a str,
    pub(super) signature: Vec<u8>,
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
    typ: Option<String>,
    claims: Map<String, Value>,
}

impl<'a> Jws<'a> {
    /// Reads a token of RFC 7515, 7.1: three base64url parts without padding, the first two JSON objects.
    ///
    /// `jku`, `x5u`, `jwk` and `x5c` are not looked at: a token does not bring its own key (RFC 8725, 3.5 and 3.10).
    pub(super) fn parse(token: &'a str) -> Result<Jws<'a>, Reason> {
        let (signed, signature) = token.rsplit_once('.').ok_or("not three parts")?;
        let (header, payload) = signed.split_once('.').ok_or("not three parts")?;
        if payload.contains('.') {
            return Err("not three parts");
        }
        if signature.is_empty() {
            return Err("no signature");
        }
        let header = base64url(header).ok_or("header not canonical base64url")?;
        let payload = base64url(payload).ok_or("payload not canonical base64url")?;
        let signature = base64url(signature).ok_or("signature not canonical base64url")?;
        let mut header = strict_object(&header).ok_or("header not a strict json object")?;
        // We understand no extension, and RFC 7515, 4.1.11 has it that one which must be understood is then refused. `b64`
        // (RFC 7797) and `zip` change what is signed or said.
        if ["crit", "b64", "zip"].iter().any(|m| header.contains_key(*m)) {
            return Err("header asks for an extension");
        }
        let algorithm = match header.get("alg") {
            Some(Value::String(name)) => name.parse().map_err(|_| "algorithm not known")?,
            _ => return Err("no algorithm"),
        };
        let kid = optional_text(&mut header, "kid").ok_or("kid not a string")?;
        if kid.as_ref().is_some_and(|kid| kid.len() > MAX_KID) {
            return Err("kid too long");
        }
        let typ = optional_text(&mut header, "typ").ok_or("typ not a string")?;
        let claims = strict_object(&payload).ok_or("payload not a strict json object")?;
        Ok(Jws { signed, signature, algorithm, kid, typ, claims })
    }

    /// The claims of a token that was parsed and verified before: those that [`Rules::check`] gave of it.
    pub(super) fn claims_again(token: &str) -> Option<Map<String, Value>> {
        let (signed, _) = token.rsplit_once('.')?;
        let (_, payload) = signed.split_once('.')?;
        strict_object(&base64url(payload)?).map(without_certificate)
    }

    /// `iss`, to choose the issuer by; not verified.
    pub(super) fn issuer(&self) -> Option<&str> {
        self.claims.get("iss").and_then(Value::as_str)
    }
}

/// What one issuer asks of a token beside the signature.
pub(super) struct Rules {
    /// Any one of these must be in `aud`; `None`: it is not looked at.
    pub(super) audiences: Option<Vec<String>>,
    /// Further claims that must be there.
    pub(super) require: Vec<String>,
    /// `None`: a `typ` that access tokens have, or none.
    pub(super) require_typ: Option<String>,
}

impl Rules {
    /// Everything that does not depend on the time. Takes the claims, for they are worth something only afterwards.
    pub(super) fn check(&self, jws: &mut Jws<'_>) -> Result<Claims, Reason> {
        let typ = jws.typ.as_deref().map(media_type);
        let fits = match (&self.require_typ, &typ) {
            (Some(wanted), Some(typ)) => *typ == media_type(wanted),
            (Some(_), None) => false,
            // RFC 8725, 3.11 and RFC 9068, 2.1: an id token has `JWT` too, but refresh tokens, DPoP proofs and the like say so.
            (None, Some(typ)) => typ == "at+jwt" || is_jwt(jws.typ.as_deref()),
            (None, None) => true,
        };
        if !fits {
            return Err("typ not that of an access token");
        }
        let claims = std::mem::take(&mut jws.claims);
        let exp = match claims.get("exp") {
            // Down, so that a fraction never makes a token live longer.
            Some(exp) => numeric_date(exp, f64::floor).ok_or("exp not a time")?,
            None => return Err("no exp"),
        };
        let nbf = match claims.get("nbf") {
            Some(nbf) => Some(numeric_date(nbf, f64::ceil).ok_or("nbf not a time")?),
            None => None,
        };
        // Not compared with the clock: a token is not refused for the skew of who made it (nbf is there for that).
        if let Some(iat) = claims.get("iat") {
            numeric_date(iat, f64::floor).ok_or("iat not a time")?;
        }
        if let Some(wanted) = &self.audiences {
            audience(claims.get("aud"), wanted)?;
        }
        let missing = |name: &String| claims.get(name).is_none_or(Value::is_null);
        if self.require.iter().any(missing) {
            return Err("a required claim is missing");
        }
        Claims::of_token(claims, exp, nbf)
    }
}

/// The claims of a token that follows its issuer's rules, or of a client certificate, and what was found out from them.
pub(super) struct Claims {
    pub(super) map: Map<String, Value>,
    pub(super) known: Arc<Known>,
}

/// What is kept of a token or certificate: what is asked on every request, and nothing else of what it says. A hundred
/// thousand of them are remembered.
pub(super) struct Known {
    pub(super) exp: Duration,
    pub(super) nbf: Option<Duration>,
    /// The certificate that must be shown beside it (`cnf`).
    pub(super) bound: Option<Box<Thumbprint>>,
    /// What one generation made of its claims.
    pub(super) memo: ArcSwapOption<Memo>,
}

/// Where a moment lies in a token's life.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Life {
    NotYet,
    Valid,
    Expired,
}

impl Claims {
    /// Those of a token. What it says under `cert.*` is dropped: only a certificate speaks there (policy.md, Bindings).
    pub(super) fn of_token(map: Map<String, Value>, exp: Duration, nbf: Option<Duration>) -> Result<Self, Reason> {
        let map = without_certificate(map);
        let bound = match map.get("cnf") {
            Some(cnf) => Some(Box::new(certificate::confirmed(cnf).ok_or(NO_PROOF)?)),
            None => None,
        };
        Ok(Self { map, known: Arc::new(Known { exp, nbf, bound, memo: ArcSwapOption::empty() }) })
    }
}

impl Known {
    /// `now` and the claims count from 1970; valid while `nbf - leeway <= now < exp + leeway` (RFC 7519, 4.1.4 and 4.1.5).
    pub(super) fn life(&self, now: Duration, leeway: Duration) -> Life {
        if now >= self.ends(leeway) {
            Life::Expired
        } else if self.nbf.is_some_and(|nbf| now.saturating_add(leeway) < nbf) {
            Life::NotYet
        } else {
            Life::Valid
        }
    }

    /// The first moment at which it is expired.
    pub(super) fn ends(&self, leeway: Duration) -> Duration {
        self.exp.saturating_add(leeway)
    }
}

impl Claims {
    /// What a server says of a token that is no JWS: as of a JWT, but that `exp` may be missing (RFC 7662, 2.2) and nobody
    /// asks for `aud` or more.
    pub(super) fn told(map: Map<String, Value>) -> Result<Claims, Reason> {
        let exp = match map.get("exp") {
            Some(exp) => numeric_date(exp, f64::floor).ok_or("exp not a time")?,
            None => Duration::MAX,
        };
        let nbf = match map.get("nbf") {
            Some(nbf) => Some(numeric_date(nbf, f64::ceil).ok_or("nbf not a time")?),
            None => None,
        };
        Claims::of_token(map, exp, nbf)
    }
}

fn without_certificate(mut map: Map<String, Value>) -> Map<String, Value> {
    map.retain(|name, _| !name.starts_with(certificate::CLAIMS));
    map
}

/// RFC 7519, 4.1.3: a string or an array of strings; one that is anything else is refused whole.
fn audience(aud: Option<&Value>, wanted: &[String]) -> Result<(), Reason> {
    const SHAPE: Reason = "aud not a string or an array of strings";
    let one = |value: &Value| match value {
        Value::String(aud) => Ok(wanted.contains(aud)),
        _ => Err(SHAPE),
    };
    let matches = match aud {
        None => return Err("no aud"),
        Some(Value::Array(list)) => list.iter().try_fold(false, |found, value| one(value).map(|ours| ours || found))?,
        Some(value) => one(value)?,
    };
    if matches { Ok(()) } else { Err("aud not ours") }
}

/// RFC 7519, 2: seconds since 1970, perhaps with a fraction. Not a string, not negative; beyond what we count: far away.
fn numeric_date(value: &Value, round: fn(f64) -> f64) -> Option<Duration> {
    let Value::Number(number) = value else {
        return None;
    };
    let seconds = match number.as_u64() {
        Some(seconds) => seconds,
        None => {
            let seconds = number.as_f64()?;
            if !seconds.is_finite() || seconds < 0.0 {
                return None;
            }
            // `as` saturates, so a huge one stays in the future.
            round(seconds) as u64
        }
    };
    Some(Duration::from_secs(seconds))
}

/// RFC 7515, 4.1.9: media types compare without case, and `application/` may be left out.
fn media_type(typ: &str) -> String {
    let typ = typ.to_ascii_lowercase();
    typ.strip_prefix("application/").map(str::to_owned).unwrap_or(typ)
}

/// `JWT` as RFC 7519, 5.1 writes it, alone.
fn is_jwt(typ: Option<&str>) -> bool {
    typ.is_some_and(|typ| typ.eq_ignore_ascii_case("jwt"))
}

/// A string member that may be absent: `None` when it is there and no string.
fn optional_text(object: &mut Map<String, Value>, name: &str) -> Option<Option<String>> {
    match object.remove(name) {
        None => Some(None),
        Some(Value::String(text)) => Some(Some(text)),
        Some(_) => None,
    }
}

/// Base64url without padding (RFC 4648, 5), in its one canonical spelling: what is left over in the last character is zero.
/// Another spelling of the same bytes would be another token with the same signature.
pub(super) fn base64url(text: &str) -> Option<Vec<u8>> {
    // The engine takes no padding and no left-over bits.
    URL_SAFE_NO_PAD.decode(text).ok()
}
