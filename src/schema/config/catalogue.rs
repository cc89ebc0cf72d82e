//! `catalogue`: files, and the live graph of a Chalk deployment.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::super::{Text, Var};
use super::Refresh;

/// An item: a file, or what is live.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum Catalogue {
    File(Text),
    Live(Live),
}

/// The graph of the Chalk deployment behind, read while we run with credentials of our own: `client_id` and `secret_file`, or
/// `bearer_file`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend(
    "oneOf" = [
        {"required": ["client_id", "secret_file"], "properties": {
            "client_id": {"type": "string"}, "secret_file": {"type": "string"}, "bearer_file": {"type": "null"}
        }},
        {"required": ["bearer_file"], "properties": {
            "client_id": {"type": "null"}, "secret_file": {"type": "null"}, "bearer_file": {"type": "string"}
        }}
    ]
))]
pub(super) struct Live {
    /// true.
    chalk_graph: Var<Always>,
    /// Who asks for it.
    client_id: Option<Text>,
    /// A file with that client's secret.
    secret_file: Option<Text>,
    /// A file with a bearer token that somebody keeps fresh.
    bearer_file: Option<Text>,
    /// How often it is read; from 10s on. Default: 5m.
    refresh: Option<Var<Refresh>>,
    /// What happens to a graph that gives a role more of a feature that was known before. Default: hold.
    widening: Option<Var<Widening>>,
    /// The tags that data sources have in Chalk's dashboard are read too, and must open a source as well. Default: false.
    datasource_tags: Option<Var<bool>>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Widening {
    /// The last good graph is served on, until the policy or this setting says otherwise.
    Hold,
    /// It is taken, and logged.
    Allow,
}

struct Always;

impl JsonSchema for Always {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Always".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "boolean", "const": true})
    }
}
