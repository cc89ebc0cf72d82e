//! The shape of policy and catalogue files (policy.md, The files).

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{Count, One, Permission, Switch, Text, not_null};

/// A policy file: who may be given which feature. A catalogue file has `version`, `features`, `bundles` and
/// `datasources` alone. Files of a folder are merged.
#[derive(JsonSchema)]
#[schemars(title = "tagwarden policy or catalogue", deny_unknown_fields)]
pub(super) struct Policy {
    /// 1, in each file.
    version: One,
    /// What a name outside the catalogue is. Default: deny.
    unknown_features: Option<UnknownFeatures>,
    /// How several roles of one caller go together. Default: most_restrictive.
    combine: Option<Combine>,
    /// What a clearing tag over a denied input does. Default: strict.
    declassification: Option<Declassification>,
    /// Whether a feature without mapped tags over an internal input is internal. Default: stays.
    internal: Option<Internal>,
    /// What tags count that only a catalogue gives. Default: restrict.
    catalogue_tags: Option<CatalogueTags>,
    /// Which values a caller may supply in place of computing them. Default: any.
    supplies: Option<Supplies>,
    /// What happens to a query of which some outputs are refused; a role may have its own. Default: reject.
    mode: Option<Mode>,
    /// The register of tags, each with its meaning. Once any file has one, a tag that is not in it is an error.
    tags: Option<BTreeMap<String, Option<String>>>,
    /// Roles by name. A role with nothing to say maps no tag and permits by its default.
    roles: Option<BTreeMap<String, Option<Role>>>,
    /// Which callers hold which roles. All that match add up; a caller without any is refused.
    bindings: Option<Vec<Binding>>,
    /// Features by name (`namespace.name` or `view:feature`), and patterns over names (with `*` or `**`).
    features: Option<Features>,
    /// What one name in a query stands for: a Feast feature service, a Chalk named query. Name to members, in order.
    bundles: Option<BTreeMap<String, Vec<Member>>>,
    /// Where raw features are read from, by name.
    datasources: Option<BTreeMap<String, Option<DataSource>>>,
}

/// A name with `*` is a pattern, which only adds tags; any other is a feature, which may have nothing to say.
struct Features;

impl JsonSchema for Features {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Features".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "propertyNames": {"pattern": r"^[^\u0000-\u001f\u007f-\u009f]+$"},
            "patternProperties": {
                r"\*": generator.subschema_for::<Pattern>(),
                r"^[^*]*$": generator.subschema_for::<Option<Feature>>(),
            },
            "additionalProperties": false,
        })
    }
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum UnknownFeatures {
    /// Denied, before any tag or pattern.
    Deny,
    /// Resolved like a feature without inputs. Not with the Chalk dialect.
    Default,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Combine {
    /// All roles decide at once, and the most restrictive of them holds.
    MostRestrictive,
    /// Each role answers the whole query alone, and the least restrictive answer holds.
    MostPermissive,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Declassification {
    /// A `Deny` anywhere below wins.
    Strict,
    /// A feature whose own tag is `AllowDownstream` may be returned although what lies below is denied.
    Boundary,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Internal {
    /// It takes the role's default.
    Stays,
    /// It is at most `AllowInternal`.
    Flows,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum CatalogueTags {
    /// They can make a feature stricter, never lift it.
    Restrict,
    /// They count like any.
    Trust,
    /// They do not count.
    Ignore,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Supplies {
    /// Whatever the feature server takes.
    Any,
    /// Entity keys and request fields alone.
    Keys,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Mode {
    /// The query fails whole, with the refused outputs named.
    Reject,
    /// The refused outputs are taken out of request and answer.
    Filter,
}

/// What a caller holds.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Role {
    /// What the role is for.
    description: Option<Text>,
    /// The permission of features none of whose tags is mapped. Default: Allow.
    default: Option<Default>,
    /// What the role may do with features that carry a tag; of several tags the most restrictive counts.
    tags: Option<BTreeMap<String, Permission>>,
    /// The older form of `tags`; where both name a tag, the more restrictive wins.
    blocklists: Option<Blocklists>,
    /// Which data sources the role may reach. Left out: every one.
    datasources: Option<Reach>,
    /// Switches of the Chalk dialect.
    chalk: Option<Chalk>,
    /// Features or patterns that a push may write. Left out: none.
    writes: Option<Vec<Text>>,
    /// The role's own mode. Default: the policy's. A caller whose roles differ is in `reject`.
    mode: Option<Mode>,
}

/// The permission of what no tag decides. Never `AllowDownstream`, which would clear everything that is not tagged.
#[derive(JsonSchema)]
enum Default {
    /// An allowlist: what no tag opens stays closed. Keys can still be used.
    Deny,
    /// May be computed and used, never returned.
    AllowInternal,
    /// May be returned.
    Allow,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Blocklists {
    /// Tags that are `Deny`.
    compute: Option<Vec<Text>>,
    /// Tags that are `AllowInternal`.
    output: Option<Vec<Text>>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Reach {
    /// Only sources that carry one of these tags; an empty list: none. Left out: every source.
    #[schemars(transform = not_null)]
    allow: Option<Vec<Text>>,
    /// May create and change them. Default: false.
    manage: Option<bool>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Chalk {
    /// Switches that this role may use.
    allow: Option<Vec<Switch>>,
}

/// Gives roles to the callers whose claims match.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Binding {
    /// Names of roles.
    #[schemars(length(min = 1))]
    roles: Vec<Text>,
    /// Claims that must all match: a top-level claim, or from `/` on a JSON pointer into the claims. A list-valued claim
    /// matches by membership, `scope` and `scp` by word; a list of wanted values means any of them. By type, exactly.
    #[schemars(extend(
        "minProperties" = 1,
        "dependentSchemas" = {
            "iss": {"propertyNames": {"not": {"pattern": "^/?cert\\."}}},
            "/iss": {"propertyNames": {"not": {"pattern": "^/?cert\\."}}}
        },
        "examples" = [{"iss": "https://idp.example/", "client_id": "fraud-svc"}]
    ))]
    when: BTreeMap<String, Wanted>,
}

/// A value that a claim must have, or several of which it must have one.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Wanted {
    One(Scalar),
    AnyOf(#[schemars(length(min = 1))] Vec<Scalar>),
}

#[derive(JsonSchema)]
#[schemars(untagged, inline)]
enum Scalar {
    Text(String),
    Integer(Integer),
    Boolean(bool),
}

/// A whole number, without the word of a machine's type.
struct Integer;

impl JsonSchema for Integer {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Integer".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer"})
    }
}

/// A named value that the feature server can return. What several files say of it adds up.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Feature {
    /// Labels, which roles map to permissions.
    tags: Option<Vec<Text>>,
    /// The features that it is computed from.
    inputs: Option<Vec<Text>>,
    /// The keys that a has-many or has-one hops over.
    joins: Option<Vec<Text>>,
    /// Data sources that it reads.
    sources: Option<Vec<Text>>,
    /// Imported inputs that it does not have after all. In the policy alone, after a review.
    not_inputs: Option<Vec<Text>>,
    /// An entity key or a request field: something that callers give. Default: false.
    key: Option<bool>,
    /// Its derivation reads what the lineage does not show, so that nothing clears it. Default: false.
    opaque: Option<bool>,
    /// The namespace that it leads to, one row.
    has_one: Option<Text>,
    /// The namespace that it leads to, many rows.
    has_many: Option<Text>,
    /// The version that the bare name stands for.
    default_version: Option<Count<0>>,
}

/// Adds tags to every feature whose name it covers: `*` stays within a segment, `**` crosses them.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Pattern {
    /// What it adds.
    #[schemars(transform = not_null)]
    tags: Option<Vec<Text>>,
}

/// A member of a bundle: a feature, or one under another name.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Member {
    Feature(String),
    Renamed(Renamed),
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Renamed {
    /// The feature.
    feature: Text,
    /// The name under which it is answered. Default: its own.
    #[schemars(rename = "as")]
    alias: Option<Text>,
    /// Entity key of the feature to the name that callers give it under.
    keys: Option<BTreeMap<String, Text>>,
}

/// Where raw features are read from.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct DataSource {
    /// What it is, such as POSTGRESQL.
    kind: Option<Text>,
    /// Labels, which `datasources.allow` of a role names.
    tags: Option<Vec<Text>>,
}
