//! JSON Schemas (draft 2020-12) of the files that people write: for editors, which complete and explain while one
//! types, and for validators. `docs/schema/` holds them as files.
//!
//! The types below are shapes and nothing else, no file is read through them; the doc comment of a field is what an
//! editor shows. The readers ([`crate::config`], [`crate::policy`], …) know more: names that must exist, what excludes what
//! between files. A test holds each shape against its reader, key by key and word by word.
#![expect(dead_code, reason = "shapes for the derive macro: nobody makes a value of them")]

/// A type that is a text of one form, with its pattern and examples.
macro_rules! texts {
    ($($(#[doc = $doc:literal])+ $name:ident $pattern:literal $examples:tt;)+) => {$(
        $(#[doc = $doc])+
        struct $name;

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "description": concat!($($doc),+).trim(),
                    "type": "string",
                    "pattern": $pattern,
                    "examples": $examples,
                })
            }
        }
    )+};
}

mod clients;
mod config;
mod dialect;
mod policy;
mod unit;

use std::borrow::Cow;
use std::marker::PhantomData;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// Which files a schema describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Policy files and catalogue files (policy.md, The files).
    Policy,
    /// `tagwarden.yaml` (config.md, Configuration).
    Config,
    /// Unit tests of a policy (config.md, Policy unit tests).
    Tests,
    /// `clients.yaml` of the built-in issuer (config.md).
    Clients,
    /// The description of a server of the JSON dialect (docs/dialects/README.md).
    Dialect,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Policy, Self::Config, Self::Tests, Self::Clients, Self::Dialect];

    /// Its name on the command line, and of its file in `docs/schema/`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Config => "config",
            Self::Tests => "tests",
            Self::Clients => "clients",
            Self::Dialect => "dialect",
        }
    }

    /// The schema as JSON, two blanks a level, with a line end.
    pub fn text(self) -> String {
        let generator = SchemaSettings::draft2020_12().into_generator();
        let schema = match self {
            Self::Policy => generator.into_root_schema_for::<policy::Policy>(),
            Self::Config => generator.into_root_schema_for::<config::Config>(),
            Self::Tests => generator.into_root_schema_for::<unit::Tests>(),
            Self::Clients => generator.into_root_schema_for::<clients::Clients>(),
            Self::Dialect => generator.into_root_schema_for::<dialect::Description>(),
        };
        let mut schema = schema.to_value();
        flatten(&mut schema);
        // The alternate form is the indented one.
        format!("{schema:#}\n")
    }
}

/// Alternatives within alternatives become one list: an editor shows what it is told, level by level.
fn flatten(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(flatten),
        Value::Object(members) => {
            members.values_mut().for_each(flatten);
            let Some(Value::Array(alternatives)) = members.get_mut("anyOf") else { return };
            let inner = |one: Value| match one {
                Value::Object(mut only) if only.len() == 1 => match only.remove("anyOf") {
                    Some(Value::Array(all)) => all,
                    Some(other) => vec![json!({"anyOf": other})],
                    None => vec![Value::Object(only)],
                },
                other => vec![other],
            };
            *alternatives = std::mem::take(alternatives).into_iter().flat_map(inner).collect();
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A text that is not empty.
struct Text;

impl JsonSchema for Text {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "minLength": 1})
    }
}

/// The only version of a file that there is.
struct One;

impl JsonSchema for One {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "One".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "const": 1})
    }
}

/// A whole number from a least one on, without the word of a machine's type that derived schemas carry.
struct Count<const LEAST: u64>;

impl<const LEAST: u64> JsonSchema for Count<LEAST> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Count{LEAST}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "minimum": LEAST})
    }
}

/// `${NAME}` or `${NAME:-default}`, alone or within a text: an environment variable. In tagwarden.yaml alone.
struct Variable;

impl JsonSchema for Variable {
    fn schema_name() -> Cow<'static, str> {
        "Variable".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An environment variable: `${NAME}`, or `${NAME:-default}` where it may be unset or empty.",
            "type": "string",
            "pattern": r"\$\{[A-Za-z0-9_]+(:-[^}]*)?\}",
            "examples": ["${NAME:-default}"],
        })
    }
}

/// A scalar of tagwarden.yaml, or a variable in its place.
struct Var<T>(PhantomData<T>);

impl<T: JsonSchema> JsonSchema for Var<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{}_or_variable", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [generator.subschema_for::<T>(), generator.subschema_for::<Variable>()]})
    }
}

/// What may be done with a feature, most restrictive first.
#[derive(JsonSchema)]
enum Permission {
    /// May not be used at all, and neither may what is computed from it.
    Deny,
    /// May be computed and used, never returned.
    AllowInternal,
    /// May be returned; clears nothing that is computed from it.
    Allow,
    /// May be returned, and clears what is computed from such features alone.
    AllowDownstream,
}

/// A part of a query to Chalk that is refused unless it is allowed by name.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Switch {
    /// The plan of the query in the answer.
    Explain,
    /// Another branch, deployment, preview or deployment tag: other tags, another lineage.
    Branch,
    /// Values between the stages are kept.
    PlanStages,
    /// Which data source answers: `context.tags`, required resolver tags, a `query_name` beside outputs.
    ContextTags,
    /// Features and resolvers of the caller's making.
    OverlayGraph,
    /// How old cached values may be.
    Staleness,
    /// How the query is executed.
    PlannerOptions,
    /// Values that resolvers can read.
    QueryContext,
    /// Values as labels of metrics.
    ValueMetrics,
    /// SQL over the stores as input.
    InputsSql,
}

/// For a key that may be left out and not be null: nothing behind it is a slip, and must not read as left out.
fn not_null(schema: &mut Schema) {
    if let Some(kinds) = schema.get_mut("type").and_then(|kinds| kinds.as_array_mut()) {
        kinds.retain(|kind| kind != "null");
    }
}
