//! What is answered: every field that an answer of ours can have, and no other.

use super::query::{DURATION, TIMESTAMP, VALUE};
use super::server::KIND;
use super::{Kind, Shape, many, map, of, one};
use Kind::{Bool, Bytes, Double, Enum, Int32, Int64, Message, String};

/// `ErrorCode`.
const CODE: Kind = Enum(&[
    "ERROR_CODE_INTERNAL_SERVER_ERROR_UNSPECIFIED",
    "ERROR_CODE_PARSE_FAILED",
    "ERROR_CODE_RESOLVER_NOT_FOUND",
    "ERROR_CODE_INVALID_QUERY",
    "ERROR_CODE_VALIDATION_FAILED",
    "ERROR_CODE_RESOLVER_FAILED",
    "ERROR_CODE_RESOLVER_TIMED_OUT",
    "ERROR_CODE_UPSTREAM_FAILED",
    "ERROR_CODE_UNAUTHENTICATED",
    "ERROR_CODE_UNAUTHORIZED",
    "ERROR_CODE_CANCELLED",
    "ERROR_CODE_DEADLINE_EXCEEDED",
]);

/// `ErrorCodeCategory`.
const CATEGORY: Kind =
    Enum(&["ERROR_CODE_CATEGORY_NETWORK_UNSPECIFIED", "ERROR_CODE_CATEGORY_REQUEST", "ERROR_CODE_CATEGORY_FIELD"]);

static EXCEPTION: Shape = Shape {
    name: "chalk.common.v1.ChalkException",
    fields: &[
        one(1, "kind", String),
        one(2, "message", String),
        one(3, "stacktrace", String),
        one(4, "internal_stacktrace", String),
    ],
};

static ERROR: Shape = Shape {
    name: "chalk.common.v1.ChalkError",
    fields: &[
        one(1, "code", CODE),
        one(2, "category", CATEGORY),
        one(3, "message", String),
        one(101, "display_primary_key", String),
        one(102, "display_primary_key_fqn", String),
        one(103, "exception", Message(&EXCEPTION)),
        one(104, "feature", String),
        one(105, "resolver", String),
    ],
};

static EXPLAINED: Shape = Shape { name: "chalk.common.v1.QueryExplainInfo", fields: &[one(1, "plan_string", String)] };

static METADATA: Shape = Shape {
    name: "chalk.common.v1.OnlineQueryMetadata",
    fields: &[
        one(1, "execution_duration", Message(&DURATION)),
        one(2, "deployment_id", String),
        one(3, "environment_id", String),
        one(4, "environment_name", String),
        one(5, "query_id", String),
        one(6, "query_timestamp", Message(&TIMESTAMP)),
        one(7, "query_hash", String),
        one(8, "explain_output", Message(&EXPLAINED)),
        map(9, "metadata", String),
        map(10, "additional_metadata", Message(&VALUE)),
    ],
};

static FEATURE_META: Shape = Shape {
    name: "chalk.common.v1.FeatureMeta",
    fields: &[
        one(1, "chosen_resolver_fqn", String),
        one(2, "cache_hit", Bool),
        one(3, "primitive_type", String),
        one(4, "version", Int64),
    ],
};

static FEATURE_RESULT: Shape = Shape {
    name: "chalk.common.v1.FeatureResult",
    fields: &[
        one(1, "field", String),
        one(2, "value", Message(&VALUE)),
        one(3, "error", Message(&ERROR)),
        one(4, "ts", Message(&TIMESTAMP)),
        one(5, "meta", Message(&FEATURE_META)),
        one(6, "pkey", Message(&VALUE)),
    ],
};

static RESULT: Shape =
    Shape { name: "chalk.common.v1.OnlineQueryResult", fields: &[many(1, "results", Message(&FEATURE_RESULT))] };

/// To `QueryService/OnlineQuery`.
pub static ONLINE_QUERY: Shape = Shape {
    name: "chalk.common.v1.OnlineQueryResponse",
    fields: &[
        one(1, "data", Message(&RESULT)),
        many(2, "errors", Message(&ERROR)),
        one(3, "response_meta", Message(&METADATA)),
    ],
};

/// To `QueryService/OnlineQueryBulk`.
pub static ONLINE_QUERY_BULK: Shape = Shape {
    name: "chalk.common.v1.OnlineQueryBulkResponse",
    fields: &[
        one(1, "scalars_data", Bytes),
        map(2, "groups_data", Bytes),
        many(3, "errors", Message(&ERROR)),
        one(4, "response_meta", Message(&METADATA)),
    ],
};

static SINGLE: Shape = Shape {
    name: "chalk.common.v1.GenericSingleResponse",
    fields: &[
        of("query", 1, "single_response", Message(&ONLINE_QUERY)),
        of("query", 2, "bulk_response", Message(&ONLINE_QUERY_BULK)),
    ],
};

/// To `QueryService/OnlineQueryMulti`.
pub static ONLINE_QUERY_MULTI: Shape = Shape {
    name: "chalk.common.v1.OnlineQueryMultiResponse",
    fields: &[many(1, "responses", Message(&SINGLE)), many(2, "errors", Message(&ERROR))],
};

/// To `QueryService/UploadFeatures`.
pub static UPLOAD: Shape = Shape {
    name: "chalk.common.v1.UploadFeaturesResponse",
    fields: &[many(1, "errors", Message(&ERROR)), one(2, "operation_id", String)],
};

/// To `QueryService/UploadFeaturesBulk`.
pub static UPLOAD_BULK: Shape =
    Shape { name: "chalk.common.v1.UploadFeaturesBulkResponse", fields: &[many(1, "errors", Message(&ERROR))] };

/// To `QueryService/Ping`.
pub static PING: Shape = Shape { name: "chalk.engine.v1.PingResponse", fields: &[one(1, "num", Int32)] };

/// To `AuthService/GetToken`. Prefixes, whose keys are numbers, are never given.
pub static GET_TOKEN: Shape = Shape {
    name: "chalk.server.v1.GetTokenResponse",
    fields: &[
        one(1, "access_token", String),
        one(2, "token_type", String),
        one(3, "expires_in", Int32),
        one(4, "expires_at", Message(&TIMESTAMP)),
        one(5, "api_server", String),
        one(6, "primary_environment", String),
        map(7, "engines", String),
        map(8, "grpc_engines", String),
        map(9, "environment_id_to_name", String),
        map(10, "environment_id_to_authority", String),
    ],
};

/// `IntegrationWarningCode`.
const WARNING_CODE: Kind = Enum(&[
    "INTEGRATION_WARNING_CODE_UNSPECIFIED",
    "INTEGRATION_WARNING_CODE_SNOWFLAKE_UNLOAD_NOT_CONFIGURED",
    "INTEGRATION_WARNING_CODE_SNOWFLAKE_PASSWORD_AUTHENTICATION",
]);

static WARNING: Shape = Shape {
    name: "chalk.server.v1.IntegrationWarning",
    fields: &[
        one(1, "code", WARNING_CODE),
        one(2, "title", String),
        one(3, "message", String),
        many(4, "config_keys", String),
    ],
};

static INTEGRATION: Shape = Shape {
    name: "chalk.server.v1.Integration",
    fields: &[
        one(1, "id", String),
        one(2, "name", String),
        one(3, "kind", KIND),
        one(4, "environment_id", String),
        one(5, "created_at", Message(&TIMESTAMP)),
        one(6, "updated_at", Message(&TIMESTAMP)),
        many(7, "warnings", Message(&WARNING)),
    ],
};

/// To `IntegrationsService/ListIntegrations`.
pub static LIST_INTEGRATIONS: Shape = Shape {
    name: "chalk.server.v1.ListIntegrationsResponse",
    fields: &[many(1, "integrations", Message(&INTEGRATION))],
};

/// Without its secrets.
static WITH_SECRETS: Shape =
    Shape { name: "chalk.server.v1.IntegrationWithSecrets", fields: &[one(1, "integration", Message(&INTEGRATION))] };

/// To `IntegrationsService/GetIntegration`.
pub static GET_INTEGRATION: Shape = Shape {
    name: "chalk.server.v1.GetIntegrationResponse",
    fields: &[one(1, "integration_with_secrets", Message(&WITH_SECRETS))],
};

/// To `IntegrationsService/GetIntegrationByName`, and alike to `InsertIntegration` and `UpdateIntegration`.
pub static INTEGRATION_ALONE: Shape = Shape {
    name: "chalk.server.v1.GetIntegrationByNameResponse",
    fields: &[one(1, "integration", Message(&INTEGRATION))],
};

/// To `IntegrationsService/TestIntegration`, without previewed messages.
pub static TEST_INTEGRATION: Shape = Shape {
    name: "chalk.server.v1.TestIntegrationResponse",
    fields: &[
        one(1, "kind", String),
        one(2, "success", Bool),
        one(3, "message", String),
        one(4, "latency_seconds", Double),
    ],
};

/// To `IntegrationsService/DeleteIntegration`.
pub static DELETE_INTEGRATION: Shape = Shape { name: "chalk.server.v1.DeleteIntegrationResponse", fields: &[] };

/// `FeaturePermission`.
const PERMISSION: Kind = Enum(&[
    "FEATURE_PERMISSION_UNSPECIFIED",
    "FEATURE_PERMISSION_ALLOW",
    "FEATURE_PERMISSION_ALLOW_INTERNAL",
    "FEATURE_PERMISSION_DENY",
    "FEATURE_PERMISSION_ALLOW_DOWNSTREAM",
]);

static PERMISSIONS: Shape = Shape {
    name: "chalk.auth.v1.FeaturePermissions",
    fields: &[map(1, "tags", PERMISSION), one(2, "default_permission", PERMISSION)],
};

static ENVIRONMENT_PERMISSIONS: Shape = Shape {
    name: "chalk.auth.v1.EnvironmentPermissions",
    fields: &[one(3, "feature_permissions", Message(&PERMISSIONS))],
};

static USER_AGENT: Shape = Shape {
    name: "chalk.auth.v1.UserAgent",
    fields: &[
        one(1, "client_id", String),
        one(2, "user_id", String),
        one(3, "team_id", String),
        map(4, "permissions_by_environment", Message(&ENVIRONMENT_PERMISSIONS)),
        one(5, "impersonated", Bool),
    ],
};

static SERVICE_TOKEN_AGENT: Shape = Shape {
    name: "chalk.auth.v1.ServiceTokenAgent",
    fields: &[
        one(1, "id", String),
        one(2, "client_id", String),
        one(3, "team_id", String),
        one(4, "environment", String),
        one(8, "feature_permissions", Message(&PERMISSIONS)),
    ],
};

static AGENT: Shape = Shape {
    name: "chalk.auth.v1.Agent",
    fields: &[
        of("agent", 1, "user_agent", Message(&USER_AGENT)),
        of("agent", 2, "service_token_agent", Message(&SERVICE_TOKEN_AGENT)),
    ],
};

/// To `TeamService/GetAgent`.
pub static GET_AGENT: Shape =
    Shape { name: "chalk.server.v1.GetAgentResponse", fields: &[one(1, "agent", Message(&AGENT))] };
