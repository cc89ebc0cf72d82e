//! `auth`: whose tokens are accepted.

use schemars::JsonSchema;

use super::super::{Count, Text, Var};
use super::{Duration, Endpoint, Url};

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Auth {
    /// Issuers of tokens.
    issuers: Option<Vec<Issuer>>,
    /// Who says what a token is worth that is no JWS. Left out: nothing.
    opaque: Option<Opaque>,
    /// Verified tokens that are kept.
    token_cache: Option<TokenCache>,
    /// Whether `X-API-Key` is a credential, with the built-in issuer. Default: true.
    api_keys: Option<Var<bool>>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct TokenCache {
    /// How many. Default: 100000.
    entries: Option<Var<Count<0>>>,
}

/// Who is asked: exactly one of `introspection` and `who_am_i`. A JWS never gets there.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend(
    "oneOf" = [
        {"required": ["introspection"], "properties": {"introspection": {"type": "object"}}},
        {"required": ["who_am_i"], "properties": {"who_am_i": {"type": "object"}}}
    ]
))]
struct Opaque {
    /// An endpoint of RFC 7662.
    introspection: Option<Introspection>,
    /// The upstream's `/v1/who-am-i` (Chalk).
    who_am_i: Option<WhoAmI>,
    /// How long a good answer is kept, at most to the token's `exp`. Default: 30s.
    ttl: Option<Var<Duration>>,
    /// How long a bad one is. Default: 5s.
    negative_ttl: Option<Var<Duration>>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Introspection {
    /// Where.
    url: Var<Endpoint>,
    /// Who we are there.
    client_id: Text,
    /// Our secret there, in a file; it reloads.
    secret_file: Text,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct WhoAmI {
    /// The team that callers must be of.
    team_id: Text,
    /// The environment that they must be of.
    environment_id: Text,
}

/// One issuer, and how its tokens are judged. With a `secret_file` its algorithms are HMACs alone, else none of them.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend(
    "if" = {"required": ["keys"], "properties": {"keys": {
        "required": ["secret_file"], "properties": {"secret_file": {"type": "string"}}
    }}},
    "then" = {"properties": {"algorithms": {"items": {
        "anyOf": [{"enum": ["HS256", "HS384", "HS512"]}, {"$ref": "#/$defs/Variable"}]
    }}}},
    "else" = {"properties": {"algorithms": {"items": {"not": {"enum": ["HS256", "HS384", "HS512"]}}}}},
    // Keys that are discovered are found under the issuer's name.
    "allOf" = [{
        "if": {"properties": {"keys": {"type": ["string", "null"]}}},
        "then": {"properties": {"issuer": {"pattern": "^https?://|\\$\\{"}}}
    }]
))]
struct Issuer {
    /// Compared with `iss`, letter by letter.
    issuer: Text,
    /// Whom its tokens must be for; `unchecked` in place of the list turns the check off, loudly.
    audiences: Audiences,
    /// What its tokens may be signed with. Default: RS256 to ES384 and EdDSA; with a `secret_file` HS256 to HS512.
    #[schemars(length(min = 1))]
    algorithms: Option<Vec<Var<Algorithm>>>,
    /// Where its keys come from. Default: discovery.
    keys: Option<Source>,
    /// How long the last good keys outlive an outage of their source. Default: 24h.
    stale_if_error: Option<Var<Duration>>,
    /// Where keys that are fetched are kept over a restart: a folder.
    keys_folder: Option<Text>,
    /// How far its clock and ours may be apart. Default: 30s.
    leeway: Option<Var<Duration>>,
    /// Further claims that must be there; `exp`, `iss` and (unless `unchecked`) `aud` always must.
    require: Option<Vec<Text>>,
    /// The `typ` that its tokens must have, such as at+jwt (RFC 9068). Default: none, JWT or at+jwt.
    require_typ: Option<Text>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
enum Audiences {
    OneOf(#[schemars(length(min = 1))] Vec<Text>),
    Word(Var<Unchecked>),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Unchecked {
    /// `aud` is not looked at.
    Unchecked,
}

/// An algorithm of signatures (RFC 7518 section 3.1, RFC 8037).
#[derive(JsonSchema)]
enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
    HS256,
    HS384,
    HS512,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
enum Source {
    Word(Var<Discovery>),
    Named(Keys),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Discovery {
    /// The issuer's metadata names the key set (OpenID Connect Discovery 1.0; RFC 8414); `issuer` is an address then.
    Discovery,
}

/// Where the keys of an issuer come from: exactly one of these.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend(
    "oneOf" = [
        {"required": ["jwks_url"], "properties": {"jwks_url": {"type": "string"}}},
        {"required": ["jwks_file"], "properties": {"jwks_file": {"type": "string"}}},
        {"required": ["pem_file"], "properties": {"pem_file": {"type": "string"}}},
        {"required": ["secret_file"], "properties": {"secret_file": {"type": "string"}}}
    ]
))]
struct Keys {
    /// A JWK set (RFC 7517) that is fetched and refreshed.
    jwks_url: Option<Var<Url>>,
    /// A JWK set in a file; it reloads.
    jwks_file: Option<Text>,
    /// Public keys in a PEM file; it reloads.
    pem_file: Option<Text>,
    /// A shared secret of at least 32 bytes in a file; it reloads.
    secret_file: Option<Text>,
}
