//! `chalk.server.v1`: tokens, data sources, the caller, the graph.

use super::query::DURATION;
use super::{Kind, Shape, map, of, one};
use Kind::{Bool, Enum, Message, String};

/// `AuthService/GetToken`.
pub static GET_TOKEN: Shape = Shape {
    name: "chalk.server.v1.GetTokenRequest",
    fields: &[
        one(1, "client_id", String),
        one(2, "client_secret", String),
        one(3, "grant_type", String),
        one(4, "scope", String),
        one(5, "expires_at", Message(&DURATION)),
    ],
};

/// `IntegrationKind`.
pub(super) const KIND: Kind = Enum(&[
    "INTEGRATION_KIND_UNSPECIFIED",
    "INTEGRATION_KIND_ATHENA",
    "INTEGRATION_KIND_AWS",
    "INTEGRATION_KIND_BIGQUERY",
    "INTEGRATION_KIND_CLICKHOUSE",
    "INTEGRATION_KIND_COHERE",
    "INTEGRATION_KIND_DATABRICKS",
    "INTEGRATION_KIND_DYNAMODB",
    "INTEGRATION_KIND_GCP",
    "INTEGRATION_KIND_KAFKA",
    "INTEGRATION_KIND_KINESIS",
    "INTEGRATION_KIND_MYSQL",
    "INTEGRATION_KIND_OPENAI",
    "INTEGRATION_KIND_POSTGRESQL",
    "INTEGRATION_KIND_PUBSUB",
    "INTEGRATION_KIND_REDSHIFT",
    "INTEGRATION_KIND_SNOWFLAKE",
    "INTEGRATION_KIND_SPANNER",
    "INTEGRATION_KIND_TRINO",
    "INTEGRATION_KIND_MSSQL",
    "INTEGRATION_KIND_HUGGINGFACE",
]);

static CONFIG_VALUE: Shape = Shape {
    name: "chalk.server.v1.IntegrationConfigValue",
    fields: &[of("value", 1, "literal", String), of("value", 2, "secret_id", String)],
};

/// `IntegrationsService/ListIntegrations`.
pub static LIST_INTEGRATIONS: Shape = Shape { name: "chalk.server.v1.ListIntegrationsRequest", fields: &[] };

/// `IntegrationsService/GetIntegration`.
pub static GET_INTEGRATION: Shape =
    Shape { name: "chalk.server.v1.GetIntegrationRequest", fields: &[one(1, "integration_id", String)] };

/// `IntegrationsService/GetIntegrationByName`.
pub static GET_INTEGRATION_BY_NAME: Shape =
    Shape { name: "chalk.server.v1.GetIntegrationByNameRequest", fields: &[one(1, "integration_name", String)] };

/// `IntegrationsService/InsertIntegration`.
pub static INSERT_INTEGRATION: Shape = Shape {
    name: "chalk.server.v1.InsertIntegrationRequest",
    fields: &[
        one(1, "name", String),
        one(2, "integration_kind", KIND),
        map(3, "environment_variables", String),
        map(4, "config", Message(&CONFIG_VALUE)),
    ],
};

/// `IntegrationsService/UpdateIntegration`.
pub static UPDATE_INTEGRATION: Shape = Shape {
    name: "chalk.server.v1.UpdateIntegrationRequest",
    fields: &[
        one(1, "name", String),
        one(2, "integration_id", String),
        map(3, "environment_variables", String),
        map(4, "config", Message(&CONFIG_VALUE)),
    ],
};

/// `IntegrationsService/TestIntegration`.
pub static TEST_INTEGRATION: Shape = Shape {
    name: "chalk.server.v1.TestIntegrationRequest",
    fields: &[
        one(1, "kind", KIND),
        map(2, "environment_variables", String),
        one(3, "integration_id", String),
        one(4, "include_preview", Bool),
        map(5, "config", Message(&CONFIG_VALUE)),
    ],
};

/// `IntegrationsService/DeleteIntegration`.
pub static DELETE_INTEGRATION: Shape =
    Shape { name: "chalk.server.v1.DeleteIntegrationRequest", fields: &[one(1, "id", String)] };

/// `TeamService/GetAgent`.
pub static GET_AGENT: Shape = Shape { name: "chalk.server.v1.GetAgentRequest", fields: &[] };

static FETCH_OPTIONS: Shape = Shape {
    name: "chalk.server.v1.GraphFetchOptions",
    fields: &[one(1, "exclude_resolver_postprocessing", Bool), one(2, "exclude_stream_resolver_parse_info", Bool)],
};

/// `GraphService/GetGraph`.
pub static GET_GRAPH: Shape = Shape {
    name: "chalk.server.v1.GetGraphRequest",
    fields: &[one(1, "deployment_id", String), one(2, "fetch_options", Message(&FETCH_OPTIONS))],
};
