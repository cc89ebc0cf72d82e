//! `chalk.arrow.v1`: the literals of expressions, and their types.

use super::{Field, Kind, Shape, many, map, of, one};
use Kind::{Bool, Bytes, Double, Enum, Float, Int32, Int64, Message, Refused, String, Uint32, Uint64};

static EMPTY: Shape = Shape { name: "chalk.arrow.v1.EmptyMessage", fields: &[] };

/// `TimeUnit`.
const UNIT: Kind = Enum(&[
    "TIME_UNIT_UNSPECIFIED",
    "TIME_UNIT_SECOND",
    "TIME_UNIT_MILLISECOND",
    "TIME_UNIT_MICROSECOND",
    "TIME_UNIT_NANOSECOND",
]);

/// `ScalarValue`, a literal. Extension values are refused: what a server makes of one is for its plug-ins to say.
pub static SCALAR: Shape = Shape {
    name: "chalk.arrow.v1.ScalarValue",
    fields: &[
        value(1, "null_value", Message(&TYPE)),
        value(2, "bool_value", Bool),
        value(3, "float64_value", Double),
        value(4, "int64_value", Int64),
        value(5, "large_utf8_value", String),
        value(6, "timestamp_value", Message(&TIMESTAMP_VALUE)),
        value(7, "date_64_value", Int64),
        value(8, "struct_value", Message(&STRUCT_VALUE)),
        value(9, "large_list_value", Message(&LIST_VALUE)),
        value(10, "time64_value", Message(&TIME64_VALUE)),
        value(16, "duration_second_value", Int64),
        value(17, "duration_millisecond_value", Int64),
        value(18, "duration_microsecond_value", Int64),
        value(19, "duration_nanosecond_value", Int64),
        value(20, "utf8_value", String),
        value(21, "int8_value", Int32),
        value(22, "int16_value", Int32),
        value(23, "int32_value", Int32),
        value(24, "uint8_value", Uint32),
        value(25, "uint16_value", Uint32),
        value(26, "uint32_value", Uint32),
        value(27, "uint64_value", Uint64),
        value(28, "float16_value", Float),
        value(29, "float32_value", Float),
        value(30, "date_32_value", Int32),
        value(31, "time32_value", Message(&TIME32_VALUE)),
        value(32, "list_value", Message(&LIST_VALUE)),
        value(33, "fixed_size_list_value", Message(&LIST_VALUE)),
        value(34, "map_value", Message(&LIST_VALUE)),
        value(35, "binary_value", Bytes),
        value(36, "large_binary_value", Bytes),
        value(37, "fixed_size_binary_value", Message(&BINARY_VALUE)),
        value(38, "decimal128_value", Message(&DECIMAL_VALUE)),
        value(39, "decimal256_value", Message(&DECIMAL_VALUE)),
        value(40, "extension_value", Refused),
    ],
};

const fn value(number: u32, name: &'static str, kind: Kind) -> Field {
    of("value", number, name, kind)
}

static TIMESTAMP_VALUE: Shape = Shape {
    name: "chalk.arrow.v1.ScalarTimestampValue",
    fields: &[
        value(1, "time_microsecond_value", Int64),
        value(2, "time_nanosecond_value", Int64),
        value(3, "time_second_value", Int64),
        value(4, "time_millisecond_value", Int64),
        one(5, "timezone", String),
    ],
};

static TIME64_VALUE: Shape = Shape {
    name: "chalk.arrow.v1.ScalarTime64Value",
    fields: &[value(1, "time64_microsecond_value", Int64), value(2, "time64_nanosecond_value", Int64)],
};

static TIME32_VALUE: Shape = Shape {
    name: "chalk.arrow.v1.ScalarTime32Value",
    fields: &[value(1, "time32_second_value", Int32), value(2, "time32_millisecond_value", Int32)],
};

static STRUCT_VALUE: Shape = Shape {
    name: "chalk.arrow.v1.StructValue",
    fields: &[many(2, "field_values", Message(&SCALAR)), many(3, "fields", Message(&FIELD))],
};

static LIST_VALUE: Shape = Shape {
    name: "chalk.arrow.v1.ScalarListValue",
    fields: &[one(1, "arrow_data", Bytes), one(2, "schema", Message(&SCHEMA))],
};

static SCHEMA: Shape =
    Shape { name: "chalk.arrow.v1.Schema", fields: &[many(1, "columns", Message(&FIELD)), map(2, "metadata", String)] };

static BINARY_VALUE: Shape =
    Shape { name: "chalk.arrow.v1.ScalarFixedSizeBinary", fields: &[one(1, "values", Bytes), one(2, "length", Int32)] };

static DECIMAL_VALUE: Shape = Shape {
    name: "chalk.arrow.v1.DecimalValue",
    fields: &[one(1, "value", Bytes), one(2, "precision", Int32), one(3, "scale", Int32)],
};

/// `ArrowType`.
pub static TYPE: Shape = Shape {
    name: "chalk.arrow.v1.ArrowType",
    fields: &[
        arrow(1, "none", Message(&EMPTY)),
        arrow(2, "bool", Message(&EMPTY)),
        arrow(3, "float64", Message(&EMPTY)),
        arrow(4, "int64", Message(&EMPTY)),
        arrow(5, "large_utf8", Message(&EMPTY)),
        arrow(6, "timestamp", Message(&TIMESTAMP)),
        arrow(7, "date64", Message(&EMPTY)),
        arrow(8, "struct", Message(&STRUCT)),
        arrow(9, "large_list", Message(&LIST)),
        arrow(10, "time64", UNIT),
        arrow(16, "duration", UNIT),
        arrow(17, "utf8", Message(&EMPTY)),
        arrow(18, "int8", Message(&EMPTY)),
        arrow(19, "int16", Message(&EMPTY)),
        arrow(20, "int32", Message(&EMPTY)),
        arrow(21, "uint8", Message(&EMPTY)),
        arrow(22, "uint16", Message(&EMPTY)),
        arrow(23, "uint32", Message(&EMPTY)),
        arrow(24, "uint64", Message(&EMPTY)),
        arrow(25, "float16", Message(&EMPTY)),
        arrow(26, "float32", Message(&EMPTY)),
        arrow(27, "date32", Message(&EMPTY)),
        arrow(28, "time32", UNIT),
        arrow(29, "list", Message(&LIST)),
        arrow(30, "fixed_size_list", Message(&FIXED_SIZE_LIST)),
        arrow(31, "binary", Message(&EMPTY)),
        arrow(32, "large_binary", Message(&EMPTY)),
        arrow(33, "fixed_size_binary", Int32),
        arrow(34, "decimal_128", Message(&DECIMAL)),
        arrow(35, "decimal_256", Message(&DECIMAL)),
        arrow(36, "map", Message(&MAP)),
        arrow(37, "extension", Refused),
    ],
};

const fn arrow(number: u32, name: &'static str, kind: Kind) -> Field {
    of("arrow_type_enum", number, name, kind)
}

static TIMESTAMP: Shape =
    Shape { name: "chalk.arrow.v1.Timestamp", fields: &[one(1, "time_unit", UNIT), one(2, "timezone", String)] };

static STRUCT: Shape = Shape { name: "chalk.arrow.v1.Struct", fields: &[many(1, "sub_field_types", Message(&FIELD))] };

static FIELD: Shape = Shape {
    name: "chalk.arrow.v1.Field",
    fields: &[
        one(1, "name", String),
        one(2, "arrow_type", Message(&TYPE)),
        one(3, "nullable", Bool),
        many(4, "children", Message(&FIELD)),
        map(5, "metadata", String),
    ],
};

static LIST: Shape = Shape { name: "chalk.arrow.v1.List", fields: &[one(1, "field_type", Message(&FIELD))] };

static FIXED_SIZE_LIST: Shape = Shape {
    name: "chalk.arrow.v1.FixedSizeList",
    fields: &[one(1, "field_type", Message(&FIELD)), one(2, "list_size", Int32)],
};

static DECIMAL: Shape =
    Shape { name: "chalk.arrow.v1.Decimal", fields: &[one(1, "precision", Int32), one(2, "scale", Int32)] };

static MAP: Shape = Shape {
    name: "chalk.arrow.v1.Map",
    fields: &[one(1, "key_field", Message(&FIELD)), one(2, "item_field", Message(&FIELD)), one(3, "keys_sorted", Bool)],
};
