//! Whose tokens are accepted: `auth.issuers`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use jsonwebtoken::{Algorithm, AlgorithmFamily};

use crate::fetch::Url;

/// One entry of `auth.issuers` (config.md).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerSettings {
    /// Compared exactly with `iss`.
    pub issuer: String,
    /// Whom its tokens are for.
    pub audiences: Audiences,
    /// The algorithms that its tokens may use; [`KeySource::default_algorithms`] where the file says nothing. Not empty.
    pub algorithms: Vec<Algorithm>,
    /// Where its keys come from.
    pub keys: KeySource,
    /// How long the last good keys outlive an outage of their provider, counted from when newer ones were due. Default 24 h.
    pub stale_if_error: Duration,
    /// Where the keys that are fetched are kept over a restart.
    pub keys_folder: Option<PathBuf>,
    /// How far its clock and ours may be apart. Default 30 s.
    pub leeway: Duration,
    /// Further top-level claims that must be there and not null; `exp`, `iss` and `aud` always must.
    pub require: Vec<String>,
    /// The `typ` to insist on, in any case, with or without `application/`. `None`: absent, `JWT` or `at+jwt`.
    pub require_typ: Option<String>,
}

/// Whom tokens must be for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audiences {
    /// One of these must be in `aud`. Not empty.
    OneOf(Vec<String>),
    /// `aud` is not looked at.
    Unchecked,
}

/// Where the keys of an issuer come from.
#[derive(Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A JWK set that the issuer's metadata names (OpenID Connect Discovery 1.0; RFC 8414). The default.
    Discovery,
    /// A JWK set (RFC 7517) that is fetched and refreshed.
    JwksUrl(String),
    /// A JWK set in a file.
    JwksFile(PathBuf),
    /// `PUBLIC KEY` sections.
    PemFile(PathBuf),
    /// A shared secret of at least 32 bytes, as it is but for one line end.
    SecretFile(PathBuf),
    /// The text of a JWK set.
    Static(Vec<u8>),
}

impl KeySource {
    /// The algorithms where the configuration names none: every asymmetric one, and for a shared secret the HMACs.
    pub fn default_algorithms(&self) -> Vec<Algorithm> {
        let families = match self {
            KeySource::SecretFile(_) => [AlgorithmFamily::Hmac].as_slice(),
            KeySource::Discovery
            | KeySource::JwksUrl(_)
            | KeySource::JwksFile(_)
            | KeySource::PemFile(_)
            | KeySource::Static(_) => &[AlgorithmFamily::Rsa, AlgorithmFamily::Ec, AlgorithmFamily::Ed],
        };
        families.iter().flat_map(AlgorithmFamily::algorithms).copied().collect()
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeySource::Discovery => f.write_str("Discovery"),
            KeySource::JwksUrl(url) => match Url::parse(url) {
                Ok(url) => write!(f, "JwksUrl({url:?})"),
                Err(_) => f.write_str("JwksUrl(not usable)"),
            },
            KeySource::JwksFile(path) => write!(f, "JwksFile({path:?})"),
            KeySource::PemFile(path) => write!(f, "PemFile({path:?})"),
            KeySource::SecretFile(path) => write!(f, "SecretFile({path:?})"),
            KeySource::Static(text) => write!(f, "Static({} bytes)", text.len()),
        }
    }
}
