//! The shape of policy unit tests (config.md, Policy unit tests).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::Value;

use super::{One, Permission, Text, not_null};

/// Unit tests of a policy, which `tagwarden test` runs.
#[derive(JsonSchema)]
#[schemars(title = "tagwarden policy tests", deny_unknown_fields)]
pub(super) struct Tests {
    /// 1.
    version: One,
    /// The tests.
    tests: Vec<Test>,
}

/// One test: who asks for what, and what must come of it. It has either `roles` or `caller`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend(
    "oneOf" = [
        {"required": ["roles"], "properties": {"roles": {"type": "array"}}},
        {"required": ["caller"], "properties": {"caller": {"type": "object"}}}
    ]
))]
struct Test {
    /// What it is called.
    name: Text,
    /// The roles that the caller holds.
    #[schemars(length(min = 1))]
    roles: Option<Vec<Text>>,
    /// The caller's claims, which go through the bindings.
    caller: Option<BTreeMap<String, Value>>,
    /// Features whose values the query gives.
    supplied: Option<Vec<Text>>,
    /// Features that it asks for.
    outputs: Option<Vec<Text>>,
    /// What must come of it. What is left out is not looked at.
    expect: Expect,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend(
    "anyOf" = [
        {"required": ["permitted"], "properties": {"permitted": {"type": "boolean"}}},
        {"required": ["refused"]},
        {"required": ["permissions"], "properties": {"permissions": {"type": "object", "minProperties": 1}}}
    ]
))]
struct Expect {
    /// Whether the query may run.
    permitted: Option<bool>,
    /// Exactly what is refused: outputs and supplied features.
    #[schemars(transform = not_null)]
    refused: Option<Vec<Text>>,
    /// What these features resolve to.
    permissions: Option<BTreeMap<String, Permission>>,
}
