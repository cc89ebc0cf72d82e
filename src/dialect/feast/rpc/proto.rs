//! `feast.serving`, written by hand from Feast 0.67.0's descriptors.
//!
//! Those of requests have every field of their [shape](super::shape) that is not refused, so that nothing is dropped. Those of
//! answers have what may pass; prost drops the rest when they are written again. What is never taken apart is bytes,
//! which on the wire a message is, too.

#![expect(missing_docs, reason = "fields have the names and the meaning that they have in Feast's descriptors")]

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::{Message, Oneof};

use super::shape;
use crate::dialect::shape::Shape;
use crate::dialect::strict::Request;

/// `GrpcFeatureServer/GetOnlineFeatures`.
#[derive(Clone, PartialEq, Message)]
pub struct GetOnlineFeaturesRequest {
    #[prost(oneof = "Kind", tags = "1, 2")]
    pub kind: Option<Kind>,
    /// By name, each a `RepeatedValue`.
    #[prost(btree_map = "string, bytes", tag = "3")]
    pub entities: BTreeMap<String, Bytes>,
    #[prost(bool, tag = "4")]
    pub full_feature_names: bool,
    #[prost(bool, tag = "6")]
    pub include_feature_view_version_metadata: bool,
}

impl Request for GetOnlineFeaturesRequest {
    const SHAPE: &'static Shape = &shape::GET_ONLINE_FEATURES;
}

/// `GrpcFeatureServer/Push`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PushRequest {
    #[prost(btree_map = "string, string", tag = "1")]
    pub features: BTreeMap<String, String>,
    #[prost(string, tag = "2")]
    pub stream_feature_view: String,
    #[prost(bool, tag = "3")]
    pub allow_registry_cache: bool,
    #[prost(string, tag = "4")]
    pub to: String,
    /// By name, each a `Value`.
    #[prost(btree_map = "string, bytes", tag = "5")]
    pub typed_features: BTreeMap<String, Bytes>,
}

impl Request for PushRequest {
    const SHAPE: &'static Shape = &shape::PUSH;
}

/// `GrpcFeatureServer/WriteToOnlineStore`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct WriteToOnlineStoreRequest {
    #[prost(btree_map = "string, string", tag = "1")]
    pub features: BTreeMap<String, String>,
    #[prost(string, tag = "2")]
    pub feature_view_name: String,
    #[prost(bool, tag = "3")]
    pub allow_registry_cache: bool,
    /// By name, each a `Value`.
    #[prost(btree_map = "string, bytes", tag = "4")]
    pub typed_features: BTreeMap<String, Bytes>,
}

impl Request for WriteToOnlineStoreRequest {
    const SHAPE: &'static Shape = &shape::WRITE_TO_ONLINE_STORE;
}

/// Of a `Value` the text that it may be.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Text {
    #[prost(string, optional, tag = "2")]
    pub string_val: Option<String>,
}

#[derive(Clone, PartialEq, Oneof)]
pub enum Kind {
    #[prost(string, tag = "1")]
    FeatureService(String),
    #[prost(message, tag = "2")]
    Features(FeatureList),
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct FeatureList {
    #[prost(string, repeated, tag = "1")]
    pub val: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct RepeatedValue {
    /// Each a `Value`.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub val: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct GetOnlineFeaturesResponse {
    #[prost(message, optional, tag = "1")]
    pub metadata: Option<GetOnlineFeaturesResponseMetadata>,
    /// Each a `FeatureVector`: a column.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub results: Vec<Bytes>,
    #[prost(bool, tag = "3")]
    pub status: bool,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct GetOnlineFeaturesResponseMetadata {
    #[prost(message, optional, tag = "1")]
    pub feature_names: Option<FeatureList>,
    #[prost(message, repeated, tag = "2")]
    pub feature_view_metadata: Vec<FeatureViewMetadata>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct FeatureViewMetadata {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(int32, tag = "2")]
    pub version: i32,
}
