//! The shape of the issuer's clients (config.md, clients.yaml).

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{One, Text};

/// The clients of the built-in issuer. `tagwarden client` writes this file.
#[derive(JsonSchema)]
#[schemars(title = "tagwarden clients", deny_unknown_fields)]
pub(super) struct Clients {
    /// 1.
    version: One,
    /// Clients by their `client_id`.
    clients: BTreeMap<String, Client>,
}

/// Who may have tokens of the issuer.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Client {
    /// What it proves itself with, as hashes. Two may live at once, so that one can be replaced.
    #[schemars(extend("maxItems" = 2))]
    secrets: Option<Vec<Secret>>,
    /// Keys for `X-API-Key`, as hashes.
    api_keys: Option<Vec<ApiKey>>,
    /// Claims that its tokens carry beside the issuer's own, which cannot be set.
    claims: Option<Claims>,
    /// Gets no tokens, and ends those that it has and their refresh families. Default: false.
    disabled: Option<bool>,
}

/// All but what the issuer sets by itself: RFC 7519 section 4.1, `cnf` (RFC 7800), `client_id` (RFC 9068).
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
                "not": {"enum": ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "cnf", "client_id"]},
            },
        })
    }
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Secret {
    /// Names it in logs and commands.
    id: Text,
    /// `sha256:` and 64 hex digits for a generated secret; an argon2id hash (PHC form) for an imported one.
    #[schemars(extend("pattern" = r"^(sha256:[0-9a-f]{64}|\$argon2id\$.+)$"))]
    hash: String,
    /// When it ends, RFC 3339. Default: never.
    #[schemars(extend("pattern" = DATE))]
    expires: Option<String>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct ApiKey {
    /// Names it, and is part of the key: `tw_ID_…`.
    id: Text,
    /// `sha256:` and 64 hex digits.
    #[schemars(extend("pattern" = "^sha256:[0-9a-f]{64}$"))]
    hash: String,
    /// When it was made: a date, or RFC 3339.
    #[schemars(extend("pattern" = DATE))]
    created: Option<String>,
}

const DATE: &str =
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2}))?$";
