//! `chalk.expression.v1`: the nodes of an expression, and `FeatureExpression` around them.

use super::arrow::SCALAR;
use super::{Field, Kind, Shape, many, map, of, one};
use Kind::{Bool, Message, Refused, String};

/// An output of the caller's making.
pub static FEATURE_EXPRESSION: Shape = Shape {
    name: "chalk.common.v1.FeatureExpression",
    fields: &[one(1, "output_column_name", String), one(2, "expr", Message(&NODE)), one(3, "namespace", String)],
};

/// `LogicalExprNode`. Its two oneofs are taken as one: which member of two counted would be for the server to choose.
/// What is refused here reads what cannot be seen, or has a meaning in plans alone; chalkpy sends none of it.
pub static NODE: Shape = Shape {
    name: "chalk.expression.v1.LogicalExprNode",
    fields: &[
        node(1, "column", Refused),
        node(2, "alias", Refused),
        node(3, "literal", Message(&SCALAR)),
        node(4, "binary_expr", Message(&BINARY)),
        node(5, "aggregate_expr", Refused),
        node(6, "is_null_expr", Refused),
        node(7, "is_not_null_expr", Refused),
        node(8, "not_expr", Refused),
        node(9, "between", Refused),
        node(10, "case", Refused),
        node(11, "cast", Refused),
        node(12, "sort", Refused),
        node(13, "negative", Refused),
        node(14, "in_list", Refused),
        node(15, "wildcard", Refused),
        node(16, "scalar_function", Refused),
        node(17, "try_cast", Refused),
        node(18, "window_expr", Refused),
        node(19, "aggregate_udf_expr", Refused),
        node(20, "scalar_udf_expr", Refused),
        node(21, "get_indexed_field", Refused),
        node(22, "grouping_set", Refused),
        node(23, "cube", Refused),
        node(24, "rollup", Refused),
        node(25, "is_true", Refused),
        node(26, "is_false", Refused),
        node(27, "is_unknown", Refused),
        node(28, "is_not_true", Refused),
        node(29, "is_not_false", Refused),
        node(30, "is_not_unknown", Refused),
        node(31, "like", Refused),
        node(32, "ilike", Refused),
        node(33, "similar_to", Refused),
        node(34, "placeholder", Refused),
        node(35, "identifier", Message(&IDENTIFIER)),
        node(36, "get_attribute", Message(&ATTRIBUTE)),
        node(37, "get_subscript", Message(&SUBSCRIPT)),
        node(38, "call", Message(&CALL)),
        node(39, "literal_value", Message(&LITERAL)),
        one(40, "expr_id", String),
        node(41, "typed_identifier", Refused),
        node(42, "blocking_call", Refused),
        node(43, "reference", Refused),
        one(44, "this_reference", Refused),
    ],
};

const fn node(number: u32, name: &'static str, kind: Kind) -> Field {
    of("expr_type and expr_form", number, name, kind)
}

static IDENTIFIER: Shape = Shape { name: "chalk.expression.v1.Identifier", fields: &[one(1, "name", String)] };

static ATTRIBUTE: Shape = Shape {
    name: "chalk.expression.v1.ExprGetAttribute",
    fields: &[one(1, "parent", Message(&NODE)), one(2, "attribute", Message(&IDENTIFIER))],
};

static SUBSCRIPT: Shape = Shape {
    name: "chalk.expression.v1.ExprGetSubscript",
    fields: &[one(1, "parent", Message(&NODE)), many(2, "subscript", Message(&NODE))],
};

/// Without policies: they write arguments to logs and caches that outlive the query.
static CALL: Shape = Shape {
    name: "chalk.expression.v1.ExprCall",
    fields: &[
        one(1, "func", Message(&NODE)),
        many(2, "args", Message(&NODE)),
        map(3, "kwargs", Message(&NODE)),
        one(4, "repr_override", String),
        many(5, "policies", Refused),
    ],
};

static LITERAL: Shape = Shape {
    name: "chalk.expression.v1.ExprLiteral",
    fields: &[one(1, "value", Message(&SCALAR)), one(2, "is_arrow_scalar_object", Bool)],
};

static BINARY: Shape = Shape {
    name: "chalk.expression.v1.BinaryExprNode",
    fields: &[many(1, "operands", Message(&NODE)), one(3, "op", String)],
};
