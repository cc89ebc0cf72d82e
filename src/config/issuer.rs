//! The built-in issuer: `issuer`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// `issuer` (config.md).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltInIssuer {
    /// `iss` of its tokens.
    pub url: String,
    /// `aud` of its tokens.
    pub audience: String,
    /// A folder of PEM signing keys (ES256).
    pub keys: PathBuf,
    /// clients.yaml.
    pub clients: PathBuf,
    /// How long an access token holds. Default 1 h.
    pub access_token_ttl: Duration,
    /// How long a refresh token holds. Default 30 d.
    pub refresh_token_ttl: Duration,
    /// What it remembers.
    pub store: StoreSettings,
    /// How long the store may be silent before tokens of ours are answered 503. Default 60 s.
    pub max_stale: Duration,
    /// Whether `X-API-Key` is a credential (`auth.api_keys`). Default true.
    pub api_keys: bool,
    /// What clients call us, without a slash at its end: where the endpoints are that the metadata names.
    pub public_url: String,
    /// With the Chalk dialect, the environment behind us: answers that give a token tell Chalk's clients where it is served.
    pub chalk_environment: Option<String>,
}

/// Where the store is: `issuer.store`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreSettings {
    /// A file of this process alone. It is made when it is missing, its folder too. Default `data/tokens.redb`.
    Embedded(PathBuf),
    /// A Redis (6.2 or newer) or Valkey, shared by replicas.
    Redis(RedisUrl),
}

/// `redis://[user:password@]host[:port][/database]`, or `rediss://` for TLS, which is verified against the roots of the machine.
/// Shows nothing of itself.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(pub String);

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisUrl(…)")
    }
}
