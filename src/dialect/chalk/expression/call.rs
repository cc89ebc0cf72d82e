//! Calls: functions from a closed list, aggregations of rows, windows.

use bytes::Bytes;
use prost::Message as _;

use super::{Found, Problem, Walk, Way, is_literal, kind, literal_text, node, packed};
use crate::chalk::expression::{Call, NodeKind};
use crate::dialect::shown;

/// Functions that read their arguments and nothing else, as chalkpy's `F` and its operators name them, sorted. Not among them
/// is what calls models, resolvers or other servers, reads files, secrets or the graph, renders templates, names
/// columns in texts (`over`), is random, or numbers rows.
#[rustfmt::skip]
pub(super) const PURE: &[&str] = &[
    "!=", "%", "&", "*", "**", "+", "-", "/", "//", "<", "<<", "<=", "==", ">", ">=", ">>", "^", "abs", "acos", "and",
    "array_add", "array_average", "array_constructor", "array_cum_sum", "array_distinct", "array_duplicates",
    "array_except", "array_filter", "array_has_duplicates", "array_intersect", "array_join", "array_max",
    "array_median", "array_min", "array_mode", "array_normalize", "array_position", "array_reduce", "array_remove",
    "array_sort", "array_sort_desc", "array_stddev", "array_sum", "array_transform", "arrays_overlap", "asin", "atan",
    "atan2", "bankers_round", "between", "bitwise_and", "bitwise_arithmetic_shift_right", "bitwise_left_shift",
    "bitwise_not", "bitwise_or", "bitwise_right_shift", "bitwise_xor", "bytes_to_string_base64",
    "bytes_to_string_hex", "bytes_to_string_utf8", "cardinality", "cast", "cbrt", "ceil", "chr", "clamp", "coalesce",
    "concat", "contains", "cos", "cosh", "cosine_similarity_vector", "date_trunc", "day", "day_of_month",
    "day_of_week", "day_of_year", "degrees", "distinct_from", "dot_product_vector", "e", "element_at", "ends_with",
    "exp", "flatten", "floor", "format_datetime", "format_datetime_in_timezone", "from_base", "from_big_endian_32",
    "from_big_endian_64", "from_iso8601_timestamp", "from_snappy", "from_unixtime", "geometry_as_geojson",
    "geometry_from_geojson", "geometry_nearest_points", "get_json_value", "get_json_value_strict", "greatest",
    "gunzip", "h3_cell_to_lat_lon_degrees", "h3_cell_to_lat_lon_radians", "h3_lat_lon_to_cell", "hour",
    "hour_in_timezone", "if_else", "is_federal_holiday", "is_null", "is_us_federal_holiday", "jaccard_similarity",
    "jaro_winkler_distance", "json_extract_array", "json_parse", "json_stringify", "jsonify",
    "last_day_of_month", "least", "length", "levenshtein_distance", "like", "ln", "log10", "log2",
    "longest_common_subsequence", "lower", "lpad", "ltrim", "map_from_arrays", "map_get", "map_key_exists",
    "map_keys", "map_values", "md5", "month", "negate", "normal_cdf", "not", "or", "parse_datetime", "partial_ratio",
    "pi", "pow", "power", "quarter", "radians", "regexp_extract", "regexp_extract_all", "regexp_like",
    "regexp_replace", "regexp_split", "remove_nulls", "replace", "reverse", "round", "rpad", "rtrim", "scalar_max",
    "scalar_min", "scale_vector", "select", "sequence", "sequence_matcher_ratio", "sha1", "sha256", "sha512", "sign",
    "sin", "slice", "sort_order", "split", "split_part", "spooky_hash_v2_32", "spooky_hash_v2_64", "sqrt", "st_area",
    "st_astext", "st_boundary", "st_buffer", "st_centroid", "st_contains", "st_convexhull", "st_crosses",
    "st_difference", "st_dimension", "st_disjoint", "st_distance", "st_endpoint", "st_envelope", "st_envelopeaspts",
    "st_equals", "st_exteriorring", "st_geometries", "st_geometryfromtext", "st_geometryn", "st_geometrytype",
    "st_interiorringn", "st_interiorrings", "st_intersection", "st_intersects", "st_isclosed", "st_isempty",
    "st_isring", "st_issimple", "st_isvalid", "st_length", "st_linefromtext", "st_linestring", "st_multipoint",
    "st_numgeometries", "st_numinteriorring", "st_numpoints", "st_overlaps", "st_point", "st_pointn", "st_points",
    "st_polygon", "st_relate", "st_startpoint", "st_symdifference", "st_touches", "st_union", "st_within", "st_x",
    "st_xmax", "st_xmin", "st_y", "st_ymax", "st_ymin", "starts_with", "string_to_bytes_base64",
    "string_to_bytes_hex", "string_to_bytes_utf8", "strpos", "strrpos", "struct_pack", "substr", "tanh", "to_base",
    "to_iso8601", "to_snappy", "to_unixtime", "token_set_ratio", "token_sort_ratio", "total_seconds", "trim",
    "unidecode_normalize", "unidecode_to_ascii", "upper", "url_extract_host", "url_extract_path",
    "url_extract_protocol", "week_of_year", "width_bucket", "word_stem", "year", "zip_with", "|", "~",
];

/// The functions that make and name what is not of the row.
const LAMBDA: &str = "lambda";
const PARAMETER: &str = "lambda_parameter";

/// Functions whose first argument is rows; `_` in the others is one of them.
const OVER_ROWS: &[&str] = &["array_agg", "max_by", "max_by_n", "min_by", "min_by_n", "set_agg"];

/// Methods of rows that read the chosen columns, and in their arguments columns of the same rows.
const AGGREGATIONS: &[&str] = &[
    "all",
    "any",
    "approx_count_distinct",
    "approx_percentile",
    "approx_top_k",
    "array_agg",
    "count",
    "kurtosis",
    "max",
    "max_by_n",
    "mean",
    "median",
    "min",
    "min_by_n",
    "set_agg",
    "skewness",
    "std",
    "std_pop",
    "std_sample",
    "stddev",
    "stddev_pop",
    "stddev_sample",
    "sum",
    "var",
    "var_pop",
    "var_sample",
    "vector_mean",
    "vector_sum",
];

/// The name of the function that a call calls; `None`: a method.
pub(super) fn function(bytes: &Bytes) -> Result<Option<String>, Problem> {
    match kind(&decoded(bytes)?.func.unwrap_or_default())? {
        NodeKind::Identifier(name) => Ok(Some(name.name)),
        _ => Ok(None),
    }
}

fn decoded(bytes: &Bytes) -> Result<Call, Problem> {
    Call::decode(bytes.clone()).map_err(|_| "has a damaged call".to_owned())
}

impl Walk {
    pub(super) fn call(&mut self, bytes: &Bytes) -> Result<(Found, Bytes), Problem> {
        let mut call = decoded(bytes)?;
        let Some(function) = call.func.take() else { return Err("calls nothing".to_owned()) };
        let (found, function) = match kind(&function)? {
            NodeKind::Identifier(name) => {
                self.function(&name.name, &mut call)?;
                (Found::Value, node(NodeKind::Identifier(name)))
            }
            NodeKind::Attribute(bytes) => {
                let (parent, built, word) = self.attribute(&bytes)?;
                (self.method(parent, &word, &mut call)?, built)
            }
            _ => return Err("calls what is neither a function nor a method".to_owned()),
        };
        call.func = Some(function);
        Ok((found, node(NodeKind::Call(packed(&call)))))
    }

    fn function(&mut self, name: &str, call: &mut Call) -> Result<(), Problem> {
        if name == LAMBDA {
            return self.lambda(call);
        }
        if name == PARAMETER {
            // One that no lambda around it has could be a column to whoever looks it up.
            let of = call.args.first().map(literal_text).transpose()?.flatten().unwrap_or_default();
            if !self.parameters.contains(&of) {
                return Err(format!("uses the parameter `{}`, which no lambda around it has", shown(&of)));
            }
            return self.arguments(call, "an argument of `lambda_parameter`");
        }
        if PURE.binary_search(&name).is_ok() {
            return self.arguments(call, &format!("an argument of `{name}`"));
        }
        if !OVER_ROWS.contains(&name) {
            return Err(format!("calls `{}`, which is not followed", shown(name)));
        }
        let Some((first, _)) = call.args.split_first_mut() else {
            return Err(format!("calls `{name}` on nothing"));
        };
        let (found, built) = self.node(first)?;
        *first = built;
        let way = match found {
            Found::Rows { way, chosen } => {
                self.columns(&way, chosen);
                Some(way)
            }
            // Values of a has-many that were reached by its name, or a list.
            other => {
                self.use_up(other, &format!("an argument of `{name}`"))?;
                None
            }
        };
        match (way, call.args.len(), call.kwargs.is_empty()) {
            (_, 1, true) => return Ok(()),
            (Some(way), _, _) => self.within(&way, |walk| walk.others(call, name))?,
            (None, _, _) => return Err(format!("calls `{name}` on what is no `[]` of a has-many")),
        }
        Ok(())
    }

    /// `lambda(name, type, …, body)`: in the body its names are parameters.
    fn lambda(&mut self, call: &mut Call) -> Result<(), Problem> {
        let before = self.parameters.len();
        for argument in &call.args {
            if is_literal(argument)? {
                self.parameters.extend(literal_text(argument)?);
            }
        }
        let done = self.arguments(call, "an argument of `lambda`");
        self.parameters.truncate(before);
        done
    }

    /// `parent.word(arguments)`.
    fn method(&mut self, parent: Found, word: &str, call: &mut Call) -> Result<Found, Problem> {
        if let Some(window) = window(call)?
            && let Found::Row(way) | Found::Way(way) = &parent
            && way.path.key.is_none()
        {
            let way = way.clone().then(word).with_key(&window);
            if way.path.bucket().is_some() {
                self.arguments(call, "a window")?;
                return Ok(Found::Way(way));
            }
        }
        if !AGGREGATIONS.contains(&word) {
            return Err(format!("calls the method `{}`, which is not followed", shown(word)));
        }
        let way = match parent {
            Found::Rows { way, chosen } => {
                if word != "count" {
                    self.columns(&way, chosen);
                }
                way
            }
            Found::Way(way) => {
                self.reads.insert(way.clone().read(word == "count"));
                way
            }
            Found::Value | Found::Row(_) => return Err(format!("calls `{word}` of what is no path")),
        };
        let is_plain = call.args.iter().chain(&named(call)).map(is_literal).collect::<Result<Vec<_>, _>>()?;
        if is_plain.contains(&false) {
            self.within(&way, |walk| walk.arguments(call, &format!("an argument of `{word}`")))?;
        } else {
            self.arguments(call, "a literal")?;
        }
        Ok(Found::Value)
    }

    /// Rows are aggregated: all their columns are read where none was chosen.
    fn columns(&mut self, way: &Way, chosen: bool) {
        if !chosen {
            self.reads.insert(way.clone().read(false));
        }
    }

    /// In this `_` is one of the rows, or the row outside.
    fn within(&mut self, rows: &Way, walk: impl FnOnce(&mut Walk) -> Result<(), Problem>) -> Result<(), Problem> {
        let rows = rows.clone().with_rows();
        self.reads.insert(rows.clone().read(true));
        let scope = self.scopes.last();
        if scope.is_some_and(|scope| scope.outside.is_some()) {
            return Err(format!("sorts rows of `{}` within what sorts rows", rows.path));
        }
        let outside = scope.map(|scope| scope.path.clone());
        self.scopes.push(Way { path: rows.path, outside });
        let done = walk(self);
        self.scopes.pop();
        done
    }

    fn arguments(&mut self, call: &mut Call, what: &str) -> Result<(), Problem> {
        for argument in &mut call.args {
            *argument = self.value(argument, what)?;
        }
        self.named_arguments(call, what)
    }

    /// The arguments behind the first.
    fn others(&mut self, call: &mut Call, name: &str) -> Result<(), Problem> {
        let what = format!("an argument of `{name}`");
        for argument in call.args.iter_mut().skip(1) {
            *argument = self.value(argument, &what)?;
        }
        self.named_arguments(call, &what)
    }

    fn named_arguments(&mut self, call: &mut Call, what: &str) -> Result<(), Problem> {
        for argument in call.kwargs.values_mut() {
            *argument = self.value(&Bytes::copy_from_slice(argument), what)?.to_vec();
        }
        Ok(())
    }
}

fn named(call: &Call) -> Vec<Bytes> {
    call.kwargs.values().map(|bytes| Bytes::copy_from_slice(bytes)).collect()
}

/// The one text that a windowed feature is called with.
fn window(call: &Call) -> Result<Option<String>, Problem> {
    match call.args.as_slice() {
        [only] if call.kwargs.is_empty() => literal_text(only),
        _ => Ok(None),
    }
}
