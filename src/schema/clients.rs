//! The shape of the issuer's clients (config.md, clients.yaml).

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::One;

/// The clients of the built-in issuer. `tagwarden client` writes this file.
#[derive(JsonSchema)]
#[schemars(title = "tagwarden clients", deny_unknown_fields)]
pub(super) struct Clients {
    /// 1.
    version: One,
    /// Clients by their `client_id`: printable ASCII without blanks, `:` and `"`.
    #[schemars(extend("propertyNames" = {"pattern": r"^[!#-9;-~]{1,128}$"}))]
    clients: BTreeMap<String, Client>,
}

/// Who may have tokens of the issuer.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Client {
    /// What it proves itself with, as hashes. Two may live at once, so that one can be replaced; expired ones may stay.
    secrets: Option<Vec<Secret>>,
    /// Keys for `X-API-Key`, as hashes.
    api_keys: Option<Vec<ApiKey>>,
    /// Claims that its tokens carry beside the issuer's own, which cannot be set.
    claims: Option<Claims>,
    /// Gets no tokens, and ends those that it has and their refresh families. Default: false.
    disabled: Option<bool>,
}

/// All but what the issuer sets by itself, and what would make a token look like something else.
struct Claims;

impl JsonSchema for Claims {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Claims".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "propertyNames": {
                "minLength": 1,
                "not": {"anyOf": [
                    {"enum": [
                        "iss", "sub", "aud", "exp", "nbf", "iat", "jti", "cnf", "client_id", "azp", "act", "may_act",
                        "family", "active", "token_type", "token_use", "typ",
                    ]},
                    {"pattern": r"^cert\."},
                ]},
            },
        })
    }
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Secret {
    /// Names it in logs and commands.
    #[schemars(extend("pattern" = ID, "examples" = ["s1"]))]
    id: String,
    /// `sha256:` and 64 hex digits for a generated secret; an argon2id hash (PHC form) for an imported one, with at most
    /// `m=65536,t=10,p=4`.
    #[schemars(extend("pattern" = r"^(sha256:[0-9a-f]{64}|\$argon2id\$v=19\$.+)$", "examples" = [SHA256]))]
    hash: String,
    /// When it ends, RFC 3339. Default: never.
    #[schemars(extend("pattern" = TIME))]
    expires: Option<String>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct ApiKey {
    /// Names it, and is part of the key: `tw_ID_…`.
    #[schemars(extend("pattern" = ID, "examples" = ["k1"]))]
    id: String,
    /// `sha256:` and 64 hex digits.
    #[schemars(extend("pattern" = "^sha256:[0-9a-f]{64}$", "examples" = [SHA256]))]
    hash: String,
    /// When it was made: a date, or RFC 3339.
    #[schemars(extend("pattern" = DATE))]
    created: Option<String>,
    /// When it ends, RFC 3339. Default: never.
    #[schemars(extend("pattern" = TIME))]
    expires: Option<String>,
}

const ID: &str = "^[a-z0-9]{1,16}$";
const TIME: &str = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$";
const DATE: &str =
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2}))?$";
/// Of `test`.
const SHA256: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
