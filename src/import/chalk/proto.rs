//! The messages of `chalkpy export --proto` that tell features, lineage, data sources and named
//! queries: by hand, with no other field than those that are read. Numbers and types from
//! chalkpy 2.166.1 (`chalk.artifacts.v1`, `chalk.graph.v1`, `chalk.expression.v1`).
//!
//! Messages with lineage in them are held as bytes by the one above and read one by one, so that
//! each can be asked for fields that are newer than this page ([`Part::FIELDS`]), and so that an
//! expression may be deeper than prost's limit of 100 messages.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;

use super::super::ImportError;
pub(super) use crate::chalk::expression::*;

/// Reads a message that was held as bytes. With it the number of a field that is newer than this
/// import, where there is one.
///
/// # Errors
/// [`ImportError::Damaged`] with the place.
pub(super) fn read<P: Part>(bytes: &Bytes, place: &str) -> Result<(P, Option<u32>), ImportError> {
    crate::chalk::expression::read(bytes).map_err(|_| damaged(place))
}

pub(super) fn damaged(place: &str) -> ImportError {
    ImportError::Damaged { place: place.to_owned() }
}

part! {
    Graph: 1..=15;
    FeatureSet: 1..=11;
    FeatureType: 1..=6;
    Scalar: 1..=8, 10..=32;
    Relation: 1..=13;
    FeatureTime: 1..=7;
    Windowed: 1..=9;
    GroupBy: 1..=15;
    WindowInfo: 1..=2;
    Aggregation: 1..=25;
    Reference: 1..=4;
    Frame: 1..=5;
    Resolver: 1..=36;
    ResolverInput: 1..=3;
    FeatureInput: 1..=2;
    ResolverOutput: 1..=2;
    StreamResolver: 1..=25, 27..=30;
    NamedQuery: 1..=17;
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Export {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub graph: Option<Bytes>,
    #[prost(message, repeated, tag = "7")]
    pub failed: Vec<FailedImport>,
    #[prost(message, repeated, tag = "10")]
    pub conversion_errors: Vec<ConversionError>,
}

/// Without its `traceback`, which quotes code.
#[derive(Clone, PartialEq, Message)]
pub(super) struct FailedImport {
    #[prost(string, tag = "1")]
    pub file_name: String,
    #[prost(string, tag = "2")]
    pub module: String,
}

/// `chalk.common.v1.ChalkError` without its message, which quotes code.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ConversionError {
    #[prost(string, tag = "104")]
    pub feature: String,
    #[prost(string, tag = "105")]
    pub resolver: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Graph {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub feature_sets: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub resolvers: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub stream_resolvers: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "7")]
    pub named_queries: Vec<Bytes>,
    #[prost(message, repeated, tag = "8")]
    pub database_sources: Vec<Source>,
    #[prost(message, repeated, tag = "9")]
    pub stream_sources: Vec<Source>,
    #[prost(message, repeated, tag = "10")]
    pub source_groups: Vec<SourceGroup>,
    #[prost(message, repeated, tag = "11")]
    pub models: Vec<Model>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FeatureSet {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub features: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FeatureType {
    #[prost(oneof = "FeatureKind", tags = "1, 2, 3, 4, 5, 6")]
    pub kind: Option<FeatureKind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum FeatureKind {
    #[prost(bytes = "bytes", tag = "1")]
    Scalar(Bytes),
    #[prost(bytes = "bytes", tag = "2")]
    HasOne(Bytes),
    #[prost(bytes = "bytes", tag = "3")]
    HasMany(Bytes),
    #[prost(bytes = "bytes", tag = "4")]
    FeatureTime(Bytes),
    #[prost(bytes = "bytes", tag = "5")]
    Windowed(Bytes),
    #[prost(bytes = "bytes", tag = "6")]
    GroupBy(Bytes),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Scalar {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub namespace: String,
    #[prost(bool, tag = "5")]
    pub is_primary: bool,
    #[prost(message, optional, tag = "12")]
    pub version: Option<VersionInfo>,
    #[prost(bytes = "bytes", optional, tag = "13")]
    pub window_info: Option<Bytes>,
    #[prost(string, repeated, tag = "15")]
    pub tags: Vec<String>,
    #[prost(bytes = "bytes", optional, tag = "18")]
    pub expression: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "20")]
    pub last_for: Option<Bytes>,
    #[prost(string, tag = "23")]
    pub attribute_name: String,
    #[prost(bytes = "bytes", optional, tag = "31")]
    pub offline_expression: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct VersionInfo {
    #[prost(uint32, tag = "1")]
    pub default: u32,
}

/// `HasOneFeatureType` and `HasManyFeatureType`, which number these fields alike.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Relation {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub namespace: String,
    #[prost(string, tag = "3")]
    pub foreign_namespace: String,
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub join: Option<Bytes>,
    #[prost(string, repeated, tag = "7")]
    pub tags: Vec<String>,
    #[prost(string, tag = "10")]
    pub attribute_name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FeatureTime {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub namespace: String,
    #[prost(string, repeated, tag = "4")]
    pub tags: Vec<String>,
    #[prost(string, tag = "7")]
    pub attribute_name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Windowed {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub namespace: String,
    #[prost(string, tag = "5")]
    pub attribute_name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct GroupBy {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub namespace: String,
    #[prost(bytes = "bytes", optional, tag = "6")]
    pub aggregation: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "8")]
    pub expression: Option<Bytes>,
    #[prost(string, repeated, tag = "10")]
    pub tags: Vec<String>,
    #[prost(string, tag = "14")]
    pub attribute_name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WindowInfo {
    #[prost(message, optional, tag = "1")]
    pub duration: Option<Duration>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub aggregation: Option<Bytes>,
}

/// `google.protobuf.Duration`; windows are whole seconds.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Duration {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
}

/// `WindowAggregation`: what is kept up to date for a windowed or grouped feature.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Aggregation {
    #[prost(string, tag = "1")]
    pub namespace: String,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub group_by: Vec<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "5")]
    pub aggregate_on: Option<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "7")]
    pub filters: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "17")]
    pub aggregate_on_features: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "19")]
    pub aggregate_on_expressions: Vec<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "21")]
    pub fold_step: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "22")]
    pub fold_initial_value: Option<Bytes>,
}

/// `FeatureReference`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Reference {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub namespace: String,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub path: Vec<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub df: Option<Bytes>,
}

/// `DataFrameType`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Frame {
    #[prost(string, tag = "1")]
    pub root_namespace: String,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub required_columns: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub optional_columns: Vec<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub filter: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Resolver {
    #[prost(string, tag = "1")]
    pub fqn: String,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub inputs: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "4")]
    pub outputs: Vec<Bytes>,
    #[prost(message, repeated, tag = "6")]
    pub data_sources_v1: Vec<OldSource>,
    #[prost(bytes = "bytes", optional, tag = "14")]
    pub when: Option<Bytes>,
    #[prost(message, optional, tag = "15")]
    pub cron_filter: Option<CronFilter>,
    #[prost(message, repeated, tag = "22")]
    pub data_sources: Vec<Source>,
    #[prost(bytes = "bytes", optional, tag = "23")]
    pub static_operation: Option<Bytes>,
    #[prost(message, optional, tag = "24")]
    pub sql_settings: Option<SqlSettings>,
    #[prost(bytes = "bytes", optional, tag = "28")]
    pub underscore_expr: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "29")]
    pub lazyframe_expr: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "30")]
    pub static_operation_dataframe: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ResolverInput {
    #[prost(oneof = "InputKind", tags = "1, 2, 3")]
    pub kind: Option<InputKind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum InputKind {
    #[prost(bytes = "bytes", tag = "1")]
    Feature(Bytes),
    #[prost(bytes = "bytes", tag = "2")]
    Frame(Bytes),
    #[prost(bytes = "bytes", tag = "3")]
    State(Bytes),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FeatureInput {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub feature: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ResolverOutput {
    #[prost(oneof = "OutputKind", tags = "1, 2")]
    pub kind: Option<OutputKind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum OutputKind {
    #[prost(bytes = "bytes", tag = "1")]
    Feature(Bytes),
    #[prost(bytes = "bytes", tag = "2")]
    Frame(Bytes),
}

/// `CronFilterWithFeatureArgs`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct CronFilter {
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub args: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SqlSettings {
    /// The SQL is over Chalk's own features, not over a data source.
    #[prost(bool, tag = "7")]
    pub is_chalk_sql_source: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StreamResolver {
    #[prost(string, tag = "1")]
    pub fqn: String,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub outputs: Vec<Bytes>,
    #[prost(message, optional, tag = "6")]
    pub source_v1: Option<OldSource>,
    #[prost(message, optional, tag = "16")]
    pub source: Option<Source>,
    #[prost(message, optional, tag = "30")]
    pub source_full: Option<Source>,
}

/// A data source or the reference to one, of a database or a stream: `DatabaseSource`,
/// `DatabaseSourceReference` and their like in `chalk.graph.v2`. Their options hold secrets.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Source {
    #[prost(string, tag = "1")]
    pub source_type: String,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, repeated, tag = "4")]
    pub permission_tags: Vec<String>,
}

/// The references of `chalk.graph.v1`, where the type is a number.
#[derive(Clone, PartialEq, Message)]
pub(super) struct OldSource {
    #[prost(string, tag = "2")]
    pub name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SourceGroup {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub default_source: Option<Source>,
    #[prost(btree_map = "string, message", tag = "3")]
    pub tagged_sources: BTreeMap<String, Source>,
}

/// `ModelReference`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Model {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, repeated, tag = "6")]
    pub relations: Vec<ModelRelation>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ModelRelation {
    #[prost(string, repeated, tag = "1")]
    pub input_features: Vec<String>,
    #[prost(string, tag = "2")]
    pub output_feature: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct NamedQuery {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, optional, tag = "2")]
    pub query_version: Option<String>,
    #[prost(string, repeated, tag = "3")]
    pub input: Vec<String>,
    #[prost(string, repeated, tag = "4")]
    pub output: Vec<String>,
    #[prost(bytes = "bytes", repeated, tag = "17")]
    pub output_expressions: Vec<Bytes>,
}
