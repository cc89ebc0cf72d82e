//! Who calls, and what a generation of the policy makes of it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::certificate;
use super::verify::{Claims, Jws, Known};

/// What one generation makes of a caller's claims, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memo {
    /// The generation.
    pub generation: u64,
    /// By the live policy, sorted; one list for all callers who have the same.
    pub roles: Arc<[u16]>,
    /// By the candidate in its shadow, where there is one.
    pub shadow: Option<Arc<[u16]>>,
    /// What every audit line says of the caller: members of a JSON object, each with a comma behind it.
    pub audit: Box<str>,
}

/// Whoever sent a request, as the snapshot sees it that the request reads. Cheap to clone; nothing outside this module makes
/// one.
#[derive(Clone)]
pub struct Caller(Arc<Memo>);

impl Caller {
    /// The caller's roles, and what the audit says.
    pub fn memo(&self) -> &Memo {
        &self.0
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").finish_non_exhaustive()
    }
}

/// Whoever sent a request, by a token that verified, an API key or a client certificate. It lives no longer than the request:
/// the claims of a token that was known are in the token alone.
pub struct Verified<'t> {
    known: Arc<Known>,
    said: Said<'t>,
}

/// Where the claims are.
enum Said<'t> {
    /// In the token, which is the very one that verified.
    Token(&'t str),
    Claims(Arc<Claims>),
}

impl<'t> Verified<'t> {
    pub(super) fn of(claims: Arc<Claims>) -> Self {
        Self { known: Arc::clone(&claims.known), said: Said::Claims(claims) }
    }

    /// Whoever sent a token with the SHA-256 of one that verified.
    pub(super) fn again(known: Arc<Known>, token: &'t str) -> Self {
        Self { known, said: Said::Token(token) }
    }

    /// Whether it is a token that was verified before.
    pub fn was_known(&self) -> bool {
        matches!(self.said, Said::Token(_))
    }

    /// All claims of the token, or `cert.*` alone.
    pub fn claims(&self) -> Cow<'_, Map<String, Value>> {
        match &self.said {
            Said::Claims(claims) => Cow::Borrowed(&claims.map),
            // It was read before, so it can be read; one without claims would have no role.
            Said::Token(token) => Cow::Owned(Jws::claims_again(token).unwrap_or_default()),
        }
    }

    /// The caller, as one generation sees it: what `make` gives for these claims. That is done once for a generation and a
    /// token, or a connection's certificate.
    pub fn caller(&self, generation: u64, make: impl FnOnce(&Map<String, Value>) -> Memo) -> Caller {
        if let Some(memo) = self.known.memo.load().as_ref().filter(|memo| memo.generation == generation) {
            return Caller(Arc::clone(memo));
        }
        let memo = Arc::new(make(&self.claims()));
        self.known.memo.store(Some(Arc::clone(&memo)));
        Caller(memo)
    }
}

impl fmt::Debug for Verified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified").finish_non_exhaustive()
    }
}

/// `iss`: the name of an issuer of the configuration; of an opaque token what its introspection says, else the address that
/// was asked (policy.md, Bindings); `certificate` where a client certificate is the caller.
pub fn issuer_of(claims: &Map<String, Value>) -> &str {
    if thumbprint_of(claims).is_some() { "certificate" } else { text_of(claims, "iss").unwrap_or_default() }
}

/// `sub`, when it is a string, else `cert.x5t#S256`, where a client certificate is the caller.
pub fn subject_of(claims: &Map<String, Value>) -> Option<&str> {
    text_of(claims, "sub").or_else(|| thumbprint_of(claims))
}

/// `cert.x5t#S256`, where a client certificate is the caller.
pub fn thumbprint_of(claims: &Map<String, Value>) -> Option<&str> {
    text_of(claims, certificate::THUMBPRINT)
}

fn text_of<'c>(claims: &'c Map<String, Value>, name: &str) -> Option<&'c str> {
    claims.get(name).and_then(Value::as_str)
}
