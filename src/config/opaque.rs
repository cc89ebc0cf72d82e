//! Whose word counts for tokens that are no JWS: `auth.opaque`.

use std::path::PathBuf;
use std::time::Duration;

use super::Upstream;
use crate::fetch::Url;

/// `auth.opaque` (config.md).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpaqueSettings {
    /// Who is asked.
    pub judge: JudgeSettings,
    /// How long a good answer is kept at the most; never beyond the token's `exp`. Default 30 s.
    pub ttl: Duration,
    /// How long a bad one is. Default 5 s.
    pub negative_ttl: Duration,
}

/// Who is asked what an opaque token is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JudgeSettings {
    /// An endpoint of RFC 7662.
    Introspection {
        /// Its address.
        url: Url,
        /// The `iss` of callers where its answer names none: the address as it was written, without its query.
        issuer: String,
        /// Who we are to it.
        client_id: String,
        /// Our secret, as it is but for one line end.
        secret_file: PathBuf,
    },
    /// The upstream's `/v1/who-am-i` (Chalk).
    WhoAmI {
        /// The team that its answer must name.
        team_id: String,
        /// The environment that its answer must name.
        environment_id: String,
        /// The way to it; its `url` is the `iss` of callers.
        upstream: Box<Upstream>,
    },
}
