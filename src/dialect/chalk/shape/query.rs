//! `chalk.common.v1`, `chalk.engine.v1` and the well-known types: queries and uploads.

use super::expression::FEATURE_EXPRESSION;
use super::{Kind, Shape, many, map, of, one};
use Kind::{Bool, Bytes, Double, Enum, Int32, Int64, Message, String};

/// `google.protobuf.Timestamp`.
pub static TIMESTAMP: Shape =
    Shape { name: "google.protobuf.Timestamp", fields: &[one(1, "seconds", Int64), one(2, "nanos", Int32)] };

/// `google.protobuf.Duration`.
pub static DURATION: Shape =
    Shape { name: "google.protobuf.Duration", fields: &[one(1, "seconds", Int64), one(2, "nanos", Int32)] };

/// `google.protobuf.Value`.
pub static VALUE: Shape = Shape {
    name: "google.protobuf.Value",
    fields: &[
        of("kind", 1, "null_value", Enum(&["NULL_VALUE"])),
        of("kind", 2, "number_value", Double),
        of("kind", 3, "string_value", String),
        of("kind", 4, "bool_value", Bool),
        of("kind", 5, "struct_value", Message(&STRUCT)),
        of("kind", 6, "list_value", Message(&LIST)),
    ],
};

static STRUCT: Shape = Shape { name: "google.protobuf.Struct", fields: &[map(1, "fields", Message(&VALUE))] };

static LIST: Shape = Shape { name: "google.protobuf.ListValue", fields: &[many(1, "values", Message(&VALUE))] };

/// One output: a feature's name, or an expression.
pub static OUTPUT_EXPR: Shape = Shape {
    name: "chalk.common.v1.OutputExpr",
    fields: &[of("expr", 1, "feature_fqn", String), of("expr", 2, "feature_expression", Message(&FEATURE_EXPRESSION))],
};

/// The graph that a query brings with it is not looked into: it passes whole or not at all.
pub static CONTEXT: Shape = Shape {
    name: "chalk.common.v1.OnlineQueryContext",
    fields: &[
        one(1, "environment", String),
        many(2, "tags", String),
        many(3, "required_resolver_tags", String),
        one(4, "deployment_id", String),
        one(5, "branch_id", String),
        one(6, "correlation_id", String),
        one(7, "query_name", String),
        one(8, "query_name_version", String),
        map(9, "options", Message(&VALUE)),
        many(10, "value_metrics_tag_by_features", Message(&OUTPUT_EXPR)),
        map(11, "query_context", Message(&VALUE)),
        one(12, "overlay_graph", Bytes),
    ],
};

static EXPLAIN: Shape = Shape { name: "chalk.common.v1.ExplainOptions", fields: &[] };

static ENCODING: Shape =
    Shape { name: "chalk.common.v1.FeatureEncodingOptions", fields: &[one(1, "encode_structs_as_objects", Bool)] };

/// What is asked for beside values.
pub static RESPONSE_OPTIONS: Shape = Shape {
    name: "chalk.common.v1.OnlineQueryResponseOptions",
    fields: &[
        one(1, "include_meta", Bool),
        one(2, "explain", Message(&EXPLAIN)),
        one(3, "encoding_options", Message(&ENCODING)),
        map(4, "metadata", String),
    ],
};

/// `QueryService/OnlineQuery`.
pub static ONLINE_QUERY: Shape = Shape {
    name: "chalk.common.v1.OnlineQueryRequest",
    fields: &[
        map(1, "inputs", Message(&VALUE)),
        many(2, "outputs", Message(&OUTPUT_EXPR)),
        one(3, "now", Message(&TIMESTAMP)),
        map(4, "staleness", String),
        one(5, "context", Message(&CONTEXT)),
        one(6, "response_options", Message(&RESPONSE_OPTIONS)),
    ],
};

/// `FeatherBodyType`.
const BODY_TYPE: Kind =
    Enum(&["FEATHER_BODY_TYPE_UNSPECIFIED", "FEATHER_BODY_TYPE_TABLE", "FEATHER_BODY_TYPE_RECORD_BATCHES"]);

/// `QueryService/OnlineQueryBulk`.
pub static ONLINE_QUERY_BULK: Shape = Shape {
    name: "chalk.common.v1.OnlineQueryBulkRequest",
    fields: &[
        of("inputs", 1, "inputs_feather", Bytes),
        many(2, "outputs", Message(&OUTPUT_EXPR)),
        many(3, "now", Message(&TIMESTAMP)),
        map(4, "staleness", String),
        one(5, "context", Message(&CONTEXT)),
        one(6, "response_options", Message(&RESPONSE_OPTIONS)),
        one(7, "body_type", BODY_TYPE),
        of("inputs", 8, "inputs_sql", String),
    ],
};

static SINGLE: Shape = Shape {
    name: "chalk.common.v1.GenericSingleQuery",
    fields: &[
        of("query", 1, "single_request", Message(&ONLINE_QUERY)),
        of("query", 2, "bulk_request", Message(&ONLINE_QUERY_BULK)),
    ],
};

/// `QueryService/OnlineQueryMulti`.
pub static ONLINE_QUERY_MULTI: Shape =
    Shape { name: "chalk.common.v1.OnlineQueryMultiRequest", fields: &[many(1, "queries", Message(&SINGLE))] };

static UPLOAD_OPTIONS: Shape = Shape {
    name: "chalk.common.v1.UploadFeaturesOptions",
    fields: &[one(1, "update_mataggs", Bool), one(2, "write_offline", Bool), one(3, "write_online", Bool)],
};

/// `QueryService/UploadFeatures`.
pub static UPLOAD: Shape = Shape {
    name: "chalk.common.v1.UploadFeaturesRequest",
    fields: &[one(1, "inputs_table", Bytes), one(2, "options", Message(&UPLOAD_OPTIONS))],
};

/// `QueryService/UploadFeaturesBulk`.
pub static UPLOAD_BULK: Shape = Shape {
    name: "chalk.common.v1.UploadFeaturesBulkRequest",
    fields: &[one(1, "inputs_feather", Bytes), one(7, "body_type", BODY_TYPE)],
};

/// `QueryService/Ping`.
pub static PING: Shape = Shape { name: "chalk.engine.v1.PingRequest", fields: &[one(1, "num", Int32)] };
