//! The messages of `feast.core` that the import reads, without their other fields.

use std::collections::BTreeMap;

use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(super) struct Registry {
    #[prost(message, repeated, tag = "1")]
    pub entities: Vec<Entity>,
    #[prost(message, repeated, tag = "6")]
    pub feature_views: Vec<View>,
    #[prost(message, repeated, tag = "7")]
    pub feature_services: Vec<Service>,
    #[prost(message, repeated, tag = "8")]
    pub on_demand_feature_views: Vec<OnDemandView>,
    #[prost(message, repeated, tag = "12")]
    pub data_sources: Vec<Source>,
    #[prost(message, repeated, tag = "14")]
    pub stream_feature_views: Vec<StreamView>,
    #[prost(message, repeated, tag = "19")]
    pub label_views: Vec<LabelView>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Entity {
    #[prost(message, optional, tag = "1")]
    pub spec: Option<EntitySpec>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct EntitySpec {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "4")]
    pub join_key: String,
    #[prost(string, tag = "9")]
    pub project: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct View {
    #[prost(message, optional, tag = "1")]
    pub spec: Option<ViewSpec>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ViewSpec {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub project: String,
    #[prost(string, repeated, tag = "3")]
    pub entities: Vec<String>,
    #[prost(message, repeated, tag = "4")]
    pub features: Vec<Field>,
    #[prost(btree_map = "string, string", tag = "5")]
    pub tags: BTreeMap<String, String>,
    #[prost(message, optional, boxed, tag = "7")]
    pub batch_source: Option<Box<Source>>,
    #[prost(message, optional, boxed, tag = "9")]
    pub stream_source: Option<Box<Source>>,
    #[prost(message, repeated, tag = "12")]
    pub entity_columns: Vec<Field>,
    #[prost(message, repeated, tag = "14")]
    pub source_views: Vec<ViewSpec>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StreamView {
    #[prost(message, optional, tag = "1")]
    pub spec: Option<StreamViewSpec>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StreamViewSpec {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub project: String,
    #[prost(string, repeated, tag = "3")]
    pub entities: Vec<String>,
    #[prost(message, repeated, tag = "4")]
    pub features: Vec<Field>,
    #[prost(message, repeated, tag = "5")]
    pub entity_columns: Vec<Field>,
    #[prost(btree_map = "string, string", tag = "7")]
    pub tags: BTreeMap<String, String>,
    #[prost(message, optional, tag = "10")]
    pub batch_source: Option<Source>,
    #[prost(message, optional, tag = "11")]
    pub stream_source: Option<Source>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct LabelView {
    #[prost(message, optional, tag = "1")]
    pub spec: Option<LabelViewSpec>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct LabelViewSpec {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub project: String,
    #[prost(string, repeated, tag = "3")]
    pub entities: Vec<String>,
    #[prost(message, repeated, tag = "4")]
    pub features: Vec<Field>,
    #[prost(btree_map = "string, string", tag = "5")]
    pub tags: BTreeMap<String, String>,
    #[prost(message, optional, tag = "7")]
    pub source: Option<Source>,
    #[prost(message, repeated, tag = "11")]
    pub entity_columns: Vec<Field>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct OnDemandView {
    #[prost(message, optional, tag = "1")]
    pub spec: Option<OnDemandViewSpec>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct OnDemandViewSpec {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub project: String,
    #[prost(message, repeated, tag = "3")]
    pub features: Vec<Field>,
    #[prost(btree_map = "string, message", tag = "4")]
    pub sources: BTreeMap<String, OnDemandSource>,
    #[prost(btree_map = "string, string", tag = "7")]
    pub tags: BTreeMap<String, String>,
    #[prost(bool, tag = "12")]
    pub write_to_online_store: bool,
    #[prost(string, repeated, tag = "13")]
    pub entities: Vec<String>,
    #[prost(message, repeated, tag = "14")]
    pub entity_columns: Vec<Field>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct OnDemandSource {
    #[prost(message, optional, tag = "1")]
    pub feature_view: Option<View>,
    #[prost(message, optional, tag = "2")]
    pub request_data_source: Option<Source>,
    #[prost(message, optional, tag = "3")]
    pub feature_view_projection: Option<Projection>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Service {
    #[prost(message, optional, tag = "1")]
    pub spec: Option<ServiceSpec>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ServiceSpec {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub project: String,
    #[prost(message, repeated, tag = "3")]
    pub features: Vec<Projection>,
}

/// `FeatureViewProjection`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Projection {
    #[prost(string, tag = "1")]
    pub feature_view_name: String,
    #[prost(message, repeated, tag = "2")]
    pub feature_columns: Vec<Field>,
    #[prost(string, tag = "3")]
    pub feature_view_name_alias: String,
    #[prost(btree_map = "string, string", tag = "4")]
    pub join_key_map: BTreeMap<String, String>,
    #[prost(int32, optional, tag = "10")]
    pub version_tag: Option<i32>,
}

/// `FeatureSpecV2`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Field {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(btree_map = "string, string", tag = "3")]
    pub tags: BTreeMap<String, String>,
}

/// `DataSource`, without its options, which hold addresses and queries.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Source {
    #[prost(int32, tag = "1")]
    pub kind: i32,
    #[prost(string, tag = "17")]
    pub data_source_class_type: String,
    #[prost(message, optional, tag = "18")]
    pub request_data_options: Option<RequestOptions>,
    #[prost(string, tag = "20")]
    pub name: String,
    #[prost(string, tag = "21")]
    pub project: String,
    #[prost(btree_map = "string, string", tag = "24")]
    pub tags: BTreeMap<String, String>,
    #[prost(message, optional, boxed, tag = "26")]
    pub batch_source: Option<Box<Source>>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RequestOptions {
    /// Name -> type.
    #[prost(btree_map = "string, int32", tag = "2")]
    pub deprecated_schema: BTreeMap<String, i32>,
    #[prost(message, repeated, tag = "3")]
    pub schema: Vec<Field>,
}
