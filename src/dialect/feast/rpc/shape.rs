//! What the messages of callers consist of: numbers, names and types are those of Feast 0.67.0's descriptors.

use crate::dialect::shape::{Kind, Shape, many, map, of, one};
use Kind::{Bool, Bytes, Double, Enum, Float, Int32, Int64, Message, Refused, String};

/// `GrpcFeatureServer/GetOnlineFeatures`.
pub static GET_ONLINE_FEATURES: Shape = Shape {
    name: "feast.serving.GetOnlineFeaturesRequest",
    fields: &[
        of("kind", 1, "feature_service", String),
        of("kind", 2, "features", Message(&FEATURE_LIST)),
        map(3, "entities", Message(&REPEATED_VALUE)),
        one(4, "full_feature_names", Bool),
        one(5, "request_context", Refused),
        one(6, "include_feature_view_version_metadata", Bool),
    ],
};

/// `GrpcFeatureServer/Push`.
pub static PUSH: Shape = Shape {
    name: "PushRequest",
    fields: &[
        map(1, "features", String),
        one(2, "stream_feature_view", String),
        one(3, "allow_registry_cache", Bool),
        one(4, "to", String),
        map(5, "typed_features", Message(&VALUE)),
    ],
};

/// `GrpcFeatureServer/WriteToOnlineStore`.
pub static WRITE_TO_ONLINE_STORE: Shape = Shape {
    name: "WriteToOnlineStoreRequest",
    fields: &[
        map(1, "features", String),
        one(2, "feature_view_name", String),
        one(3, "allow_registry_cache", Bool),
        map(4, "typed_features", Message(&VALUE)),
    ],
};

/// What is answered to either: `PushResponse`, `WriteToOnlineStoreResponse`.
pub static WRITTEN: Shape = Shape { name: "PushResponse", fields: &[one(1, "status", Bool)] };

static FEATURE_LIST: Shape = Shape { name: "feast.serving.FeatureList", fields: &[many(1, "val", String)] };

static REPEATED_VALUE: Shape = Shape { name: "feast.types.RepeatedValue", fields: &[many(1, "val", Message(&VALUE))] };

/// One value. Without a kind it is a null.
pub static VALUE: Shape = Shape {
    name: "feast.types.Value",
    fields: &[
        of("val", 1, "bytes_val", Bytes),
        of("val", 2, "string_val", String),
        of("val", 3, "int32_val", Int32),
        of("val", 4, "int64_val", Int64),
        of("val", 5, "double_val", Double),
        of("val", 6, "float_val", Float),
        of("val", 7, "bool_val", Bool),
        of("val", 8, "unix_timestamp_val", Int64),
        of("val", 11, "bytes_list_val", Message(&BYTES_LIST)),
        of("val", 12, "string_list_val", Message(&STRING_LIST)),
        of("val", 13, "int32_list_val", Message(&INT32_LIST)),
        of("val", 14, "int64_list_val", Message(&INT64_LIST)),
        of("val", 15, "double_list_val", Message(&DOUBLE_LIST)),
        of("val", 16, "float_list_val", Message(&FLOAT_LIST)),
        of("val", 17, "bool_list_val", Message(&BOOL_LIST)),
        of("val", 18, "unix_timestamp_list_val", Message(&INT64_LIST)),
        of("val", 19, "null_val", Enum(&["NULL"])),
        of("val", 20, "map_val", Message(&MAP)),
        of("val", 21, "map_list_val", Message(&MAP_LIST)),
        of("val", 22, "bytes_set_val", Message(&BYTES_LIST)),
        of("val", 23, "string_set_val", Message(&STRING_LIST)),
        of("val", 24, "int32_set_val", Message(&INT32_LIST)),
        of("val", 25, "int64_set_val", Message(&INT64_LIST)),
        of("val", 26, "double_set_val", Message(&DOUBLE_LIST)),
        of("val", 27, "float_set_val", Message(&FLOAT_LIST)),
        of("val", 28, "bool_set_val", Message(&BOOL_LIST)),
        of("val", 29, "unix_timestamp_set_val", Message(&INT64_LIST)),
        of("val", 32, "json_val", String),
        of("val", 33, "json_list_val", Message(&STRING_LIST)),
        of("val", 34, "struct_val", Message(&MAP)),
        of("val", 35, "struct_list_val", Message(&MAP_LIST)),
        of("val", 36, "uuid_val", String),
        of("val", 37, "time_uuid_val", String),
        of("val", 38, "uuid_list_val", Message(&STRING_LIST)),
        of("val", 39, "time_uuid_list_val", Message(&STRING_LIST)),
        of("val", 40, "uuid_set_val", Message(&STRING_LIST)),
        of("val", 41, "time_uuid_set_val", Message(&STRING_LIST)),
        of("val", 42, "list_val", Message(&REPEATED_VALUE)),
        of("val", 43, "set_val", Message(&REPEATED_VALUE)),
        of("val", 44, "decimal_val", String),
        of("val", 45, "decimal_list_val", Message(&STRING_LIST)),
        of("val", 46, "decimal_set_val", Message(&STRING_LIST)),
        of("val", 47, "scalar_map_val", Message(&SCALAR_MAP)),
        of("val", 48, "zoned_timestamp_val", Message(&ZONED_TIMESTAMP)),
    ],
};

// Each set is as the list of its kind, but for the name.
static BYTES_LIST: Shape = Shape { name: "feast.types.BytesList", fields: &[many(1, "val", Bytes)] };
static STRING_LIST: Shape = Shape { name: "feast.types.StringList", fields: &[many(1, "val", String)] };
static INT32_LIST: Shape = Shape { name: "feast.types.Int32List", fields: &[many(1, "val", Int32)] };
static INT64_LIST: Shape = Shape { name: "feast.types.Int64List", fields: &[many(1, "val", Int64)] };
static DOUBLE_LIST: Shape = Shape { name: "feast.types.DoubleList", fields: &[many(1, "val", Double)] };
static FLOAT_LIST: Shape = Shape { name: "feast.types.FloatList", fields: &[many(1, "val", Float)] };
static BOOL_LIST: Shape = Shape { name: "feast.types.BoolList", fields: &[many(1, "val", Bool)] };

static MAP: Shape = Shape { name: "feast.types.Map", fields: &[map(1, "val", Message(&VALUE))] };
static MAP_LIST: Shape = Shape { name: "feast.types.MapList", fields: &[many(1, "val", Message(&MAP))] };

static SCALAR_MAP: Shape =
    Shape { name: "feast.types.ScalarMap", fields: &[many(1, "val", Message(&SCALAR_MAP_ENTRY))] };
static SCALAR_MAP_ENTRY: Shape = Shape {
    name: "feast.types.ScalarMapEntry",
    fields: &[one(1, "key", Message(&MAP_KEY)), one(2, "value", Message(&VALUE))],
};
static MAP_KEY: Shape = Shape {
    name: "feast.types.MapKey",
    fields: &[
        of("key", 1, "int32_key", Int32),
        of("key", 2, "int64_key", Int64),
        of("key", 3, "float_key", Float),
        of("key", 4, "double_key", Double),
        of("key", 5, "bool_key", Bool),
        of("key", 6, "unix_timestamp_key", Int64),
        of("key", 7, "bytes_key", Bytes),
        of("key", 8, "uuid_key", String),
        of("key", 9, "time_uuid_key", String),
        of("key", 10, "decimal_key", String),
    ],
};

static ZONED_TIMESTAMP: Shape =
    Shape { name: "feast.types.ZonedTimestamp", fields: &[one(1, "unix_timestamp", Int64), one(2, "zone", String)] };
