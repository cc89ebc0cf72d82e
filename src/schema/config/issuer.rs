//! `issuer`: the tokens of our own.

use schemars::JsonSchema;

use super::super::{Text, Var};
use super::{AWhile, Base, Life, RedisUrl};

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Issuer {
    /// `iss` of its tokens.
    url: Var<Base>,
    /// `aud` of its tokens.
    audience: Text,
    /// A folder of PEM signing keys (ES256): the newest signs, older ones still verify. Made at the first start, but for a
    /// store that is a Redis. Default: keys/.
    keys: Option<Text>,
    /// Its clients; the file reloads, and `tagwarden client` writes it. Default: clients.yaml.
    clients: Option<Text>,
    /// How long an access token holds. Default: 1h.
    access_token_ttl: Option<Var<Life>>,
    /// How long a refresh token holds, from its last use on. Default: 30d.
    refresh_token_ttl: Option<Var<Life>>,
    /// Where refresh tokens and revocations are kept. Default: data/tokens.redb.
    store: Option<Store>,
    /// How the end of tokens reaches the replicas.
    revocations: Option<Revocations>,
}

/// Exactly one of `embedded` and `redis_url`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend(
    "oneOf" = [
        {"required": ["embedded"], "properties": {"embedded": {"type": "string"}}},
        {"required": ["redis_url"], "properties": {"redis_url": {"type": "string"}}}
    ]
))]
struct Store {
    /// A file of this process alone.
    embedded: Option<Text>,
    /// A Redis or Valkey, shared by replicas.
    redis_url: Option<Var<RedisUrl>>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Revocations {
    /// After so long without word from the store, tokens of our own are answered 503. Default: 60s.
    max_stale: Option<Var<AWhile>>,
}
