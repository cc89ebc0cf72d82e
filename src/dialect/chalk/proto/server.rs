//! `chalk.server.v1` and `chalk.auth.v1`: tokens, data sources, the caller, the graph.

#![expect(missing_docs, reason = "fields have the names and the meaning that they have in Chalk's descriptors")]

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use prost::{Enumeration, Message, Oneof};

use super::{Duration, Timestamp};

/// `AuthService/GetToken`.
#[derive(Clone, PartialEq, Eq, Message)]
#[prost(skip_debug)]
pub struct GetTokenRequest {
    #[prost(string, tag = "1")]
    pub client_id: String,
    #[prost(string, tag = "2")]
    pub client_secret: String,
    #[prost(string, tag = "3")]
    pub grant_type: String,
    #[prost(string, optional, tag = "4")]
    pub scope: Option<String>,
    #[prost(message, optional, tag = "5")]
    pub expires_at: Option<Duration>,
}

/// The answer to it. The addresses and prefixes lead round a proxy.
#[derive(Clone, PartialEq, Eq, Message)]
#[prost(skip_debug)]
pub struct GetTokenResponse {
    #[prost(string, tag = "1")]
    pub access_token: String,
    #[prost(string, tag = "2")]
    pub token_type: String,
    #[prost(int32, tag = "3")]
    pub expires_in: i32,
    #[prost(message, optional, tag = "4")]
    pub expires_at: Option<Timestamp>,
    #[prost(string, tag = "5")]
    pub api_server: String,
    #[prost(string, optional, tag = "6")]
    pub primary_environment: Option<String>,
    #[prost(btree_map = "string, string", tag = "7")]
    pub engines: BTreeMap<String, String>,
    #[prost(btree_map = "string, string", tag = "8")]
    pub grpc_engines: BTreeMap<String, String>,
    #[prost(btree_map = "string, string", tag = "9")]
    pub environment_id_to_name: BTreeMap<String, String>,
    #[prost(btree_map = "string, string", tag = "10")]
    pub environment_id_to_authority: BTreeMap<String, String>,
    #[prost(btree_map = "int32, string", tag = "11")]
    pub service_prefixes: BTreeMap<i32, String>,
}

/// The number that Chalk has for each kind of data source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum IntegrationKind {
    Unspecified = 0,
    Athena = 1,
    Aws = 2,
    Bigquery = 3,
    Clickhouse = 4,
    Cohere = 5,
    Databricks = 6,
    Dynamodb = 7,
    Gcp = 8,
    Kafka = 9,
    Kinesis = 10,
    Mysql = 11,
    Openai = 12,
    Postgresql = 13,
    Pubsub = 14,
    Redshift = 15,
    Snowflake = 16,
    Spanner = 17,
    Trino = 18,
    Mssql = 19,
    Huggingface = 20,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Integration {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, optional, tag = "2")]
    pub name: Option<String>,
    #[prost(enumeration = "IntegrationKind", tag = "3")]
    pub kind: i32,
    #[prost(string, tag = "4")]
    pub environment_id: String,
    #[prost(message, optional, tag = "5")]
    pub created_at: Option<Timestamp>,
    #[prost(message, optional, tag = "6")]
    pub updated_at: Option<Timestamp>,
    #[prost(message, repeated, tag = "7")]
    pub warnings: Vec<IntegrationWarning>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct IntegrationWarning {
    #[prost(int32, tag = "1")]
    pub code: i32,
    #[prost(string, tag = "2")]
    pub title: String,
    #[prost(string, tag = "3")]
    pub message: String,
    #[prost(string, repeated, tag = "4")]
    pub config_keys: Vec<String>,
}

/// One setting of a data source.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct IntegrationConfigValue {
    #[prost(oneof = "ConfigValue", tags = "1, 2")]
    pub value: Option<ConfigValue>,
}

#[derive(Clone, PartialEq, Eq, Oneof)]
#[prost(skip_debug)]
pub enum ConfigValue {
    /// In plain text; it can be a password.
    #[prost(string, tag = "1")]
    Literal(String),
    /// The name of a secret.
    #[prost(string, tag = "2")]
    SecretId(String),
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct ListIntegrationsRequest {}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct ListIntegrationsResponse {
    #[prost(message, repeated, tag = "1")]
    pub integrations: Vec<Integration>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct GetIntegrationRequest {
    #[prost(string, tag = "1")]
    pub integration_id: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct GetIntegrationResponse {
    #[prost(message, optional, tag = "1")]
    pub integration_with_secrets: Option<IntegrationWithSecrets>,
}

/// Without its secrets: they never pass.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct IntegrationWithSecrets {
    #[prost(message, optional, tag = "1")]
    pub integration: Option<Integration>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct GetIntegrationByNameRequest {
    #[prost(string, tag = "1")]
    pub integration_name: String,
}

/// The answer to `GetIntegrationByName`, `InsertIntegration` and `UpdateIntegration`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct IntegrationResponse {
    #[prost(message, optional, tag = "1")]
    pub integration: Option<Integration>,
}

#[derive(Clone, PartialEq, Eq, Message)]
#[prost(skip_debug)]
pub struct InsertIntegrationRequest {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(enumeration = "IntegrationKind", tag = "2")]
    pub integration_kind: i32,
    #[prost(btree_map = "string, string", tag = "3")]
    pub environment_variables: BTreeMap<String, String>,
    #[prost(btree_map = "string, message", tag = "4")]
    pub config: BTreeMap<String, IntegrationConfigValue>,
}

#[derive(Clone, PartialEq, Eq, Message)]
#[prost(skip_debug)]
pub struct UpdateIntegrationRequest {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub integration_id: String,
    #[prost(btree_map = "string, string", tag = "3")]
    pub environment_variables: BTreeMap<String, String>,
    #[prost(btree_map = "string, message", tag = "4")]
    pub config: BTreeMap<String, IntegrationConfigValue>,
}

#[derive(Clone, PartialEq, Eq, Message)]
#[prost(skip_debug)]
pub struct TestIntegrationRequest {
    #[prost(enumeration = "IntegrationKind", tag = "1")]
    pub kind: i32,
    #[prost(btree_map = "string, string", tag = "2")]
    pub environment_variables: BTreeMap<String, String>,
    #[prost(string, optional, tag = "3")]
    pub integration_id: Option<String>,
    #[prost(bool, optional, tag = "4")]
    pub include_preview: Option<bool>,
    #[prost(btree_map = "string, message", tag = "5")]
    pub config: BTreeMap<String, IntegrationConfigValue>,
}

/// Without previewed messages, which are data of the source.
#[derive(Clone, PartialEq, Message)]
pub struct TestIntegrationResponse {
    #[prost(string, tag = "1")]
    pub kind: String,
    #[prost(bool, tag = "2")]
    pub success: bool,
    #[prost(string, tag = "3")]
    pub message: String,
    #[prost(double, optional, tag = "4")]
    pub latency_seconds: Option<f64>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct DeleteIntegrationRequest {
    #[prost(string, tag = "1")]
    pub id: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct DeleteIntegrationResponse {}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct ListDatasourcePermissionTagsRequest {}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct ListDatasourcePermissionTagsResponse {
    #[prost(message, repeated, tag = "1")]
    pub datasource_permission_tags: Vec<DatasourcePermissionTag>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct DatasourcePermissionTag {
    #[prost(enumeration = "IntegrationKind", tag = "1")]
    pub kind: i32,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, repeated, tag = "3")]
    pub permission_tags: Vec<String>,
    #[prost(message, optional, tag = "4")]
    pub created_at: Option<Timestamp>,
    #[prost(message, optional, tag = "5")]
    pub updated_at: Option<Timestamp>,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct GetAgentRequest {}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct GetAgentResponse {
    #[prost(message, optional, tag = "1")]
    pub agent: Option<Agent>,
}

/// Who asks, of the kinds that query.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Agent {
    #[prost(oneof = "AgentKind", tags = "1, 2")]
    pub agent: Option<AgentKind>,
}

#[derive(Clone, PartialEq, Eq, Oneof)]
pub enum AgentKind {
    #[prost(message, tag = "1")]
    User(UserAgent),
    #[prost(message, tag = "2")]
    ServiceToken(ServiceTokenAgent),
}

/// Without team permissions.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct UserAgent {
    #[prost(string, tag = "1")]
    pub client_id: String,
    #[prost(string, tag = "2")]
    pub user_id: String,
    #[prost(string, tag = "3")]
    pub team_id: String,
    #[prost(btree_map = "string, message", tag = "4")]
    pub permissions_by_environment: BTreeMap<String, EnvironmentPermissions>,
    #[prost(bool, tag = "5")]
    pub impersonated: bool,
}

/// Without permission slugs and claims.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct EnvironmentPermissions {
    #[prost(message, optional, tag = "3")]
    pub feature_permissions: Option<FeaturePermissions>,
}

/// Without permission slugs and claims.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ServiceTokenAgent {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub client_id: String,
    #[prost(string, tag = "3")]
    pub team_id: String,
    #[prost(string, tag = "4")]
    pub environment: String,
    #[prost(message, optional, tag = "8")]
    pub feature_permissions: Option<FeaturePermissions>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct FeaturePermissions {
    #[prost(btree_map = "string, enumeration(FeaturePermission)", tag = "1")]
    pub tags: BTreeMap<String, i32>,
    #[prost(enumeration = "FeaturePermission", optional, tag = "2")]
    pub default_permission: Option<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum FeaturePermission {
    Unspecified = 0,
    Allow = 1,
    AllowInternal = 2,
    Deny = 3,
    AllowDownstream = 4,
}

/// `GraphService/GetGraph`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct GetGraphRequest {
    #[prost(string, tag = "1")]
    pub deployment_id: String,
    #[prost(message, optional, tag = "2")]
    pub fetch_options: Option<GraphFetchOptions>,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct GraphFetchOptions {
    #[prost(bool, tag = "1")]
    pub exclude_resolver_postprocessing: bool,
    #[prost(bool, tag = "2")]
    pub exclude_stream_resolver_parse_info: bool,
}

/// The graph as bytes, for the importer.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct GetGraphResponse {
    /// A `chalk.graph.v1.Graph`.
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub graph: Option<Bytes>,
    #[prost(string, tag = "2")]
    pub chalkpy_version: String,
    #[prost(string, optional, tag = "3")]
    pub tag: Option<String>,
    /// A `chalk.artifacts.v1.Export`.
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub export: Option<Bytes>,
    #[prost(string, tag = "5")]
    pub deployment_id: String,
}

/// `Debug` that names the message alone, or what of it is no secret.
macro_rules! secret {
    ($($name:ident { $($shown:ident),* })+) => {
        $(impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))$(.field(stringify!($shown), &self.$shown))*.finish_non_exhaustive()
            }
        })+
    };
}

secret! {
    GetTokenRequest { client_id, grant_type }
    GetTokenResponse { expires_in, primary_environment }
    InsertIntegrationRequest { name, integration_kind }
    UpdateIntegrationRequest { name, integration_id }
    TestIntegrationRequest { kind, integration_id }
    ConfigValue {}
}
