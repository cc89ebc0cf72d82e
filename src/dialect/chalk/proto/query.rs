//! `chalk.common.v1` and `chalk.engine.v1`: queries, uploads and their answers.

#![expect(missing_docs, reason = "fields have the names and the meaning that they have in Chalk's descriptors")]

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::{Enumeration, Message, Oneof};

use super::{Duration, Timestamp, Value};

/// `QueryService/OnlineQuery`.
#[derive(Clone, PartialEq, Message)]
pub struct OnlineQueryRequest {
    #[prost(btree_map = "string, message", tag = "1")]
    pub inputs: BTreeMap<String, Value>,
    #[prost(message, repeated, tag = "2")]
    pub outputs: Vec<OutputExpr>,
    #[prost(message, optional, tag = "3")]
    pub now: Option<Timestamp>,
    #[prost(btree_map = "string, string", tag = "4")]
    pub staleness: BTreeMap<String, String>,
    #[prost(message, optional, tag = "5")]
    pub context: Option<OnlineQueryContext>,
    #[prost(message, optional, tag = "6")]
    pub response_options: Option<OnlineQueryResponseOptions>,
}

/// `QueryService/OnlineQueryBulk`, which chalkpy sends for single queries, too.
#[derive(Clone, PartialEq, Message)]
pub struct OnlineQueryBulkRequest {
    #[prost(oneof = "BulkInputs", tags = "1, 8")]
    pub inputs: Option<BulkInputs>,
    #[prost(message, repeated, tag = "2")]
    pub outputs: Vec<OutputExpr>,
    #[prost(message, repeated, tag = "3")]
    pub now: Vec<Timestamp>,
    #[prost(btree_map = "string, string", tag = "4")]
    pub staleness: BTreeMap<String, String>,
    #[prost(message, optional, tag = "5")]
    pub context: Option<OnlineQueryContext>,
    #[prost(message, optional, tag = "6")]
    pub response_options: Option<OnlineQueryResponseOptions>,
    #[prost(enumeration = "FeatherBodyType", tag = "7")]
    pub body_type: i32,
}

#[derive(Clone, PartialEq, Oneof)]
pub enum BulkInputs {
    /// An Arrow file.
    #[prost(bytes = "bytes", tag = "1")]
    Feather(Bytes),
    /// SQL over Chalk's stores.
    #[prost(string, tag = "8")]
    Sql(String),
}

/// What the bytes of a table are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum FeatherBodyType {
    Unspecified = 0,
    Table = 1,
    RecordBatches = 2,
}

/// `QueryService/OnlineQueryMulti`.
#[derive(Clone, PartialEq, Message)]
pub struct OnlineQueryMultiRequest {
    #[prost(message, repeated, tag = "1")]
    pub queries: Vec<GenericSingleQuery>,
}

#[derive(Clone, PartialEq, Message)]
pub struct GenericSingleQuery {
    #[prost(oneof = "SingleQuery", tags = "1, 2")]
    pub query: Option<SingleQuery>,
}

#[derive(Clone, PartialEq, Oneof)]
pub enum SingleQuery {
    #[prost(message, tag = "1")]
    Single(OnlineQueryRequest),
    #[prost(message, tag = "2")]
    Bulk(OnlineQueryBulkRequest),
}

#[derive(Clone, PartialEq, Message)]
pub struct OutputExpr {
    #[prost(oneof = "Output", tags = "1, 2")]
    pub expr: Option<Output>,
}

#[derive(Clone, PartialEq, Oneof)]
pub enum Output {
    /// A feature's name, as the caller writes it.
    #[prost(string, tag = "1")]
    Feature(String),
    /// A `FeatureExpression`, to be read by [`expression::read`](crate::dialect::chalk::expression::read).
    #[prost(bytes = "bytes", tag = "2")]
    Expression(Bytes),
}

#[derive(Clone, PartialEq, Message)]
pub struct FeatureExpression {
    #[prost(string, tag = "1")]
    pub output_column_name: String,
    /// A `LogicalExprNode`.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub expr: Option<Bytes>,
    #[prost(string, tag = "3")]
    pub namespace: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct OnlineQueryContext {
    #[prost(string, tag = "1")]
    pub environment: String,
    #[prost(string, repeated, tag = "2")]
    pub tags: Vec<String>,
    #[prost(string, repeated, tag = "3")]
    pub required_resolver_tags: Vec<String>,
    #[prost(string, optional, tag = "4")]
    pub deployment_id: Option<String>,
    #[prost(string, optional, tag = "5")]
    pub branch_id: Option<String>,
    #[prost(string, optional, tag = "6")]
    pub correlation_id: Option<String>,
    #[prost(string, optional, tag = "7")]
    pub query_name: Option<String>,
    #[prost(string, optional, tag = "8")]
    pub query_name_version: Option<String>,
    #[prost(btree_map = "string, message", tag = "9")]
    pub options: BTreeMap<String, Value>,
    #[prost(message, repeated, tag = "10")]
    pub value_metrics_tag_by_features: Vec<OutputExpr>,
    #[prost(btree_map = "string, message", tag = "11")]
    pub query_context: BTreeMap<String, Value>,
    /// A `chalk.graph.v1.OverlayGraph`, which nobody has looked into.
    #[prost(bytes = "bytes", optional, tag = "12")]
    pub overlay_graph: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub struct OnlineQueryResponseOptions {
    #[prost(bool, tag = "1")]
    pub include_meta: bool,
    /// Asked for where it is there.
    #[prost(message, optional, tag = "2")]
    pub explain: Option<ExplainOptions>,
    #[prost(message, optional, tag = "3")]
    pub encoding_options: Option<FeatureEncodingOptions>,
    #[prost(btree_map = "string, string", tag = "4")]
    pub metadata: BTreeMap<String, String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct ExplainOptions {}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct FeatureEncodingOptions {
    #[prost(bool, tag = "1")]
    pub encode_structs_as_objects: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct OnlineQueryResponse {
    #[prost(message, optional, tag = "1")]
    pub data: Option<OnlineQueryResult>,
    #[prost(message, repeated, tag = "2")]
    pub errors: Vec<ChalkError>,
    #[prost(message, optional, tag = "3")]
    pub response_meta: Option<OnlineQueryMetadata>,
}

#[derive(Clone, PartialEq, Message)]
pub struct OnlineQueryResult {
    #[prost(message, repeated, tag = "1")]
    pub results: Vec<FeatureResult>,
}

#[derive(Clone, PartialEq, Message)]
pub struct FeatureResult {
    #[prost(string, tag = "1")]
    pub field: String,
    #[prost(message, optional, tag = "2")]
    pub value: Option<Value>,
    #[prost(message, optional, tag = "3")]
    pub error: Option<ChalkError>,
    #[prost(message, optional, tag = "4")]
    pub ts: Option<Timestamp>,
    #[prost(message, optional, tag = "5")]
    pub meta: Option<FeatureMeta>,
    #[prost(message, optional, tag = "6")]
    pub pkey: Option<Value>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct FeatureMeta {
    #[prost(string, tag = "1")]
    pub chosen_resolver_fqn: String,
    #[prost(bool, tag = "2")]
    pub cache_hit: bool,
    #[prost(string, tag = "3")]
    pub primitive_type: String,
    #[prost(int64, tag = "4")]
    pub version: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct OnlineQueryBulkResponse {
    /// An Arrow file; empty in an answer that has errors alone.
    #[prost(bytes = "bytes", tag = "1")]
    pub scalars_data: Bytes,
    /// An Arrow file for each has-many.
    #[prost(btree_map = "string, bytes", tag = "2")]
    pub groups_data: BTreeMap<String, Vec<u8>>,
    #[prost(message, repeated, tag = "3")]
    pub errors: Vec<ChalkError>,
    #[prost(message, optional, tag = "4")]
    pub response_meta: Option<OnlineQueryMetadata>,
}

#[derive(Clone, PartialEq, Message)]
pub struct OnlineQueryMultiResponse {
    #[prost(message, repeated, tag = "1")]
    pub responses: Vec<GenericSingleResponse>,
    #[prost(message, repeated, tag = "2")]
    pub errors: Vec<ChalkError>,
}

#[derive(Clone, PartialEq, Message)]
pub struct GenericSingleResponse {
    #[prost(oneof = "SingleResponse", tags = "1, 2")]
    pub query: Option<SingleResponse>,
}

#[derive(Clone, PartialEq, Oneof)]
pub enum SingleResponse {
    #[prost(message, tag = "1")]
    Single(OnlineQueryResponse),
    #[prost(message, tag = "2")]
    Bulk(OnlineQueryBulkResponse),
}

#[derive(Clone, PartialEq, Message)]
pub struct OnlineQueryMetadata {
    #[prost(message, optional, tag = "1")]
    pub execution_duration: Option<Duration>,
    #[prost(string, tag = "2")]
    pub deployment_id: String,
    #[prost(string, tag = "3")]
    pub environment_id: String,
    #[prost(string, tag = "4")]
    pub environment_name: String,
    #[prost(string, tag = "5")]
    pub query_id: String,
    #[prost(message, optional, tag = "6")]
    pub query_timestamp: Option<Timestamp>,
    #[prost(string, tag = "7")]
    pub query_hash: String,
    #[prost(message, optional, tag = "8")]
    pub explain_output: Option<QueryExplainInfo>,
    #[prost(btree_map = "string, string", tag = "9")]
    pub metadata: BTreeMap<String, String>,
    #[prost(btree_map = "string, message", tag = "10")]
    pub additional_metadata: BTreeMap<String, Value>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryExplainInfo {
    #[prost(string, optional, tag = "1")]
    pub plan_string: Option<String>,
}

/// One entry of `errors`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ChalkError {
    #[prost(enumeration = "ErrorCode", tag = "1")]
    pub code: i32,
    #[prost(enumeration = "ErrorCodeCategory", tag = "2")]
    pub category: i32,
    #[prost(string, tag = "3")]
    pub message: String,
    #[prost(string, optional, tag = "101")]
    pub display_primary_key: Option<String>,
    #[prost(string, optional, tag = "102")]
    pub display_primary_key_fqn: Option<String>,
    #[prost(message, optional, tag = "103")]
    pub exception: Option<ChalkException>,
    #[prost(string, optional, tag = "104")]
    pub feature: Option<String>,
    #[prost(string, optional, tag = "105")]
    pub resolver: Option<String>,
}

/// What a resolver raised. Its texts can carry values.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ChalkException {
    #[prost(string, tag = "1")]
    pub kind: String,
    #[prost(string, tag = "2")]
    pub message: String,
    #[prost(string, tag = "3")]
    pub stacktrace: String,
    #[prost(string, tag = "4")]
    pub internal_stacktrace: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum ErrorCode {
    InternalServerError = 0,
    ParseFailed = 1,
    ResolverNotFound = 2,
    InvalidQuery = 3,
    ValidationFailed = 4,
    ResolverFailed = 5,
    ResolverTimedOut = 6,
    UpstreamFailed = 7,
    Unauthenticated = 8,
    Unauthorized = 9,
    Cancelled = 10,
    DeadlineExceeded = 11,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum ErrorCodeCategory {
    Network = 0,
    Request = 1,
    Field = 2,
}

/// `QueryService/UploadFeatures`.
#[derive(Clone, PartialEq, Message)]
pub struct UploadFeaturesRequest {
    #[prost(bytes = "bytes", tag = "1")]
    pub inputs_table: Bytes,
    #[prost(message, optional, tag = "2")]
    pub options: Option<UploadFeaturesOptions>,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct UploadFeaturesOptions {
    #[prost(bool, optional, tag = "1")]
    pub update_mataggs: Option<bool>,
    #[prost(bool, optional, tag = "2")]
    pub write_offline: Option<bool>,
    #[prost(bool, optional, tag = "3")]
    pub write_online: Option<bool>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct UploadFeaturesResponse {
    #[prost(message, repeated, tag = "1")]
    pub errors: Vec<ChalkError>,
    #[prost(string, tag = "2")]
    pub operation_id: String,
}

/// `QueryService/UploadFeaturesBulk`.
#[derive(Clone, PartialEq, Message)]
pub struct UploadFeaturesBulkRequest {
    #[prost(bytes = "bytes", tag = "1")]
    pub inputs_feather: Bytes,
    #[prost(enumeration = "FeatherBodyType", tag = "7")]
    pub body_type: i32,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct UploadFeaturesBulkResponse {
    #[prost(message, repeated, tag = "1")]
    pub errors: Vec<ChalkError>,
}

/// `QueryService/Ping`.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct PingRequest {
    #[prost(int32, tag = "1")]
    pub num: i32,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct PingResponse {
    #[prost(int32, tag = "1")]
    pub num: i32,
}
