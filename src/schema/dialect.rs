//! The shape of the description of a server (docs/dialects/README.md).

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{One, Text};

texts! {
    /// A plain path: ASCII, no escapes, no empty, `.` or `..` segments, no variables.
    PlainPath r#"^/$|^(/(?!\.{1,2}(/|$))[!"$&'()*+,\-.0-9:<=>@A-Z\[\]^_`a-z|~]+)+$"# ["/health"];
    /// A plain path with variables: `{variable}` is one or more plain characters of one segment. `{name}` is none.
    Path r#"^(?!.*\{name\})(/$|(/(?!\.{1,2}(/|$))(?=[^/])[!"$&'()*+,\-.0-9:<=>@A-Z\[\]^_`a-z|~]*(\{[A-Za-z0-9_]+\}[!"$&'()*+,\-.0-9:<=>@A-Z\[\]^_`a-z|~]+)*(\{[A-Za-z0-9_]+\})?)+$)"# ["/v1/views/{view}:fetch"];
    /// A text with variables, `{view}:{name}`: each once, with text between them.
    Template r"^(?=.)[^{}]*(\{[A-Za-z0-9_]+\}[^{}]+)*(\{[A-Za-z0-9_]+\})?$" ["{view}:{name}"];
    /// A text with variables, of which `{name}` is one: what the wire calls a feature.
    Names r"^(?=.*\{name\})[^{}]*(\{[A-Za-z0-9_]+\}[^{}]+)*(\{[A-Za-z0-9_]+\})?$" ["{view}:{name}"];
    /// A text with variables, of which `{name}` is none.
    Together r"^(?=.*\{)(?!.*\{name\})[^{}]*(\{[A-Za-z0-9_]+\}[^{}]+)*(\{[A-Za-z0-9_]+\})?$" ["{workspace}/{service}"];
    /// A place in JSON: RFC 6901, with `*` for every element of an array. The empty text is the whole.
    Pointer r"^(/([^~/]|~[01])*)*$" ["/params/requestContextMap"];
    /// A place within JSON: RFC 6901, with `*` for every element of an array.
    Inner r"^(/([^~/]|~[01])*)+$" ["/status"];
    /// A place that is one: without `*`.
    Single r"^(/(?!\*(/|$))([^~/]|~[01])*)*$" ["/params/featureServiceName"];
    /// A place with exactly one `*`.
    Each r"^(/(?!\*(/|$))([^~/]|~[01])*)*/\*(/(?!\*(/|$))([^~/]|~[01])*)*$" ["/features/*"];
    /// A place with at most one `*`.
    Rows r"^(/(?!\*(/|$))([^~/]|~[01])*)*(/\*(/(?!\*(/|$))([^~/]|~[01])*)*)?$" ["/entries/*"];
    /// A place in the body that is one member: without `*`.
    Member r"^(/(?!\*(/|$))([^~/]|~[01])*)+$" ["/params/metadataOptions/includeNames"];
    /// Where names are.
    AnswerNames r"^(/([^~/]|~[01])*)+$" ["/names/*"];
    /// A place in an answer that holds one text: behind its last `*` it has one name or more.
    Held r"^(/([^~/]|~[01])*)*/(?!\*$)([^~/]|~[01])*$" ["/Records/*/FeatureGroupName"];
}

/// How a feature server is spoken to: its routes, and what stands where in requests and answers. What is not described does
/// not pass.
#[derive(JsonSchema)]
#[schemars(title = "tagwarden dialect", deny_unknown_fields)]
pub(super) struct Description {
    /// 1.
    version: One,
    /// A path that tells the server's health by its status alone: GET, and no token is asked. Default: none.
    health: Option<PlainPath>,
    /// What is asked, and how it is answered. Tried in their order; a path without variables comes first.
    #[schemars(length(min = 1))]
    routes: Vec<Route>,
}

/// A route that is read and decided.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend(
    "anyOf" = [
        {"required": ["unnamed"], "properties": {"unnamed": {"const": "filter"}}},
        {"required": ["request"], "properties": {"request": {"type": "object", "anyOf": [
            {"required": ["outputs"], "properties": {"outputs": {"type": "object"}}},
            {"required": ["bundle"], "properties": {"bundle": {"type": "object"}}}
        ]}}}
    ],
    "if" = {"required": ["method"], "properties": {"method": {"const": "GET"}}},
    "then" = {"properties": {
        "scope": {"additionalProperties": {"properties": {"body": {"type": "null"}}}},
        "request": {"properties": {
            "outputs": {"properties": {"body": {"type": "null"}}},
            "bundle": {"properties": {"body": {"type": "null"}}},
            "supplied": {"items": {"properties": {"body": {"type": "null"}}}},
            "force": {"maxItems": 0},
            "pass": {"maxItems": 0}
        }}
    }}
))]
struct Route {
    /// The path, with variables.
    path: Path,
    /// Default: POST.
    method: Option<Method>,
    /// The catalogue's name of what the wire calls `{name}`. Its variables are the path's, and those of `scope`, of the
    /// request or of the answer. Default: `{name}`.
    names: Option<Names>,
    /// Further variables, each from one place of the request.
    scope: Option<Variables<Given>>,
    /// What happens where a request names neither outputs nor a bundle of the catalogue. Default: reject.
    unnamed: Option<Unnamed>,
    /// What stands where in a request. Anything else is refused.
    request: Option<Request>,
    /// Where the features stand in an answer: one way, or alternatives of which at least one is there. What is not
    /// described does not pass.
    answer: Answers,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "UPPERCASE")]
enum Method {
    /// With a JSON body.
    Post,
    /// Without a body.
    Get,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Unnamed {
    /// It is sent, the names that the answer has are decided, and what is refused is cut.
    Filter,
    /// It is refused.
    Reject,
}

/// A map from variables to something.
struct Variables<T>(std::marker::PhantomData<T>);

impl<T: JsonSchema> JsonSchema for Variables<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Variables_of_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "propertyNames": {"pattern": "^(?!name$)[A-Za-z0-9_]+$"},
            "additionalProperties": generator.subschema_for::<T>(),
        })
    }
}

/// Where a variable is: exactly one of these.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend(
    "oneOf" = [
        {"required": ["body"], "properties": {"body": {"type": "string"}, "query": {"type": "null"}}},
        {"required": ["query"], "properties": {"body": {"type": "null"}, "query": {"type": "string"}}}
    ]
))]
struct Given {
    /// In the body.
    body: Option<Single>,
    /// A parameter of the query string.
    query: Option<Text>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend(
    "if" = {"required": ["untouched"], "properties": {"untouched": {"const": true}}},
    "then" = {"properties": {"force": {"type": "null"}, "pass": {"type": "null"}, "pass_query": {"type": "null"}}}
))]
struct Request {
    /// Path, query string and body go upstream byte for byte, as where they are signed: nothing is taken out, nothing put in.
    /// Default: false.
    untouched: Option<bool>,
    /// Where the outputs are named. Left out: a request cannot name them.
    outputs: Option<Outputs>,
    /// Where the name of a bundle of the catalogue is.
    bundle: Option<Bundle>,
    /// Where values are that the caller gives.
    supplied: Option<Vec<Supplied>>,
    /// What is put into the body.
    force: Option<Vec<Force>>,
    /// Further members of the body that go upstream as they are.
    pass: Option<Vec<Pointer>>,
    /// Further parameters of the query string that do.
    pass_query: Option<Vec<Text>>,
}

/// Exactly one of `body`, `query` and `path`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend(
    "oneOf" = [
        {"required": ["query"], "properties": {
            "body": {"type": "null"}, "query": {"type": "string"}, "path": {"type": "null"}
        }},
        {"required": ["body"], "properties": {
            "body": {"type": "string"}, "query": {"type": "null"}, "path": {"type": "null"}, "split": {"type": "null"}
        }},
        {"required": ["path"], "properties": {
            "body": {"type": "null"}, "query": {"type": "null"}, "path": {"type": "string"}, "split": {"type": "null"}
        }}
    ]
))]
struct Outputs {
    /// In the body: each output.
    body: Option<Each>,
    /// A parameter of the query string, once for each output, or several of them with `split` between.
    query: Option<Text>,
    /// A variable of the path: the only output.
    path: Option<Text>,
    /// What stands between several outputs of one parameter.
    split: Option<Text>,
}

/// Exactly one of these.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend(
    "oneOf" = [
        {"required": ["body"], "properties": {
            "body": {"type": "string"}, "query": {"type": "null"}, "path": {"type": "null"}, "names": {"type": "null"}
        }},
        {"required": ["query"], "properties": {
            "body": {"type": "null"}, "query": {"type": "string"}, "path": {"type": "null"}, "names": {"type": "null"}
        }},
        {"required": ["path"], "properties": {
            "body": {"type": "null"}, "query": {"type": "null"}, "path": {"type": "string"}, "names": {"type": "null"}
        }},
        {"required": ["names"], "properties": {
            "body": {"type": "null"}, "query": {"type": "null"}, "path": {"type": "null"}, "names": {"type": "string"}
        }}
    ]
))]
struct Bundle {
    /// In the body.
    body: Option<Single>,
    /// A parameter of the query string.
    query: Option<Text>,
    /// A variable of the path.
    path: Option<Text>,
    /// Made of variables of the path and of `scope`, where it takes several to tell bundles apart.
    names: Option<Together>,
}

/// Values that the caller gives: exactly one of `body`, `query` and `path`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend(
    "oneOf" = [
        {"required": ["body"], "properties": {
            "body": {"type": "string"}, "query": {"type": "null"}, "path": {"type": "null"},
            "names": {"anyOf": [{"type": "null"}, {"pattern": r"\{name\}"}]}
        }},
        {"required": ["query"], "properties": {
            "body": {"type": "null"}, "query": {"type": "string"}, "path": {"type": "null"}
        }},
        {"required": ["path"], "properties": {
            "body": {"type": "null"}, "query": {"type": "null"}, "path": {"type": "string"}
        }}
    ]
))]
struct Supplied {
    /// In the body: an object from names to values or lists of values; with `*`, each of a list of such objects.
    body: Option<Rows>,
    /// A parameter of the query string, whose name is `{name}`.
    query: Option<Text>,
    /// A variable of the path, whose name is `{name}`.
    path: Option<Text>,
    /// What the server takes from callers. Default: keys.
    takes: Option<Takes>,
    /// The catalogue's name of what is called `{name}` there. Default: `{name}`.
    names: Option<Template>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Takes {
    /// Keys of the catalogue alone.
    Keys,
    /// Any feature, in the place of computing it.
    Any,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Force {
    /// Where in the body.
    at: Member,
    /// The value.
    value: Any,
    /// What it adds to the answer: taken out again unless the caller had sent the same value.
    adds: Option<Vec<Inner>>,
}

/// Any value.
struct Any;

impl JsonSchema for Any {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Any".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"examples": [true]})
    }
}

#[derive(JsonSchema)]
#[schemars(untagged)]
enum Answers {
    One(Answer),
    Several(#[schemars(length(min = 1))] Vec<Answer>),
}

/// Where features stand in an answer.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend(
    "oneOf" = [
        {"required": ["names"], "properties": {
            "shape": {"const": "rows"},
            "at": {"pattern": "^/"},
            "names": {"type": "string", "pattern": r"^(/(?!\*(/|$))[^/]*)*/\*(/(?!\*(/|$))[^/]*)*$"}
        }},
        {"required": ["names"], "properties": {
            "shape": {"const": "columns"},
            "at": {"pattern": "^/", "not": {"pattern": r"/\*$"}},
            "names": {"type": "string", "pattern": r"^(/(?!\*(/|$))[^/]*)*/\*(/(?!\*(/|$))[^/]*)*$"}
        }},
        {"required": ["names"], "properties": {
            "shape": {"const": "records"},
            "at": {"pattern": r"/\*$"},
            "names": {"type": "string", "pattern": r"^(/(?!\*(/|$))[^/]*)+$"},
            "aligned": {"type": "null"}
        }},
        {"properties": {"shape": {"const": "objects"}, "names": {"type": "null"}, "aligned": {"type": "null"}}}
    ]
))]
struct Answer {
    /// How they stand there.
    shape: Shape,
    /// Where: of objects each of them, of columns the array, of rows each row, of records each record, with `/*` at the end.
    at: Pointer,
    /// Of columns and rows each name, with one `*`; of records the name within a record.
    names: Option<AnswerNames>,
    /// Further arrays that are cut at the same indices as columns and rows.
    aligned: Option<Vec<Inner>>,
    /// Names that are no features and may pass, as the wire writes them.
    keep: Option<Vec<Text>>,
    /// Variables from the answer: each pointer goes with `at` up to its last `*`.
    scope: Option<Variables<Held>>,
    /// Features that were asked for may be missing. Default: false.
    sparse: Option<bool>,
    /// Further members that may pass.
    pass: Option<Vec<Inner>>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Shape {
    /// An array of names, and rows with the values at the same indices.
    Rows,
    /// An array of names, and an array of columns at the same indices.
    Columns,
    /// A list of records that name themselves.
    Records,
    /// Objects from names to values.
    Objects,
}
