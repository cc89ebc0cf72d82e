//! The recorded exports, and what is made of them: fields of protobuf cut and added, all else byte for byte.

use std::sync::LazyLock;

use bytes::Bytes;
use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field};

use crate::support::repository;

/// `chalk.artifacts.v1.Export`: its graph.
const GRAPH: u32 = 1;

/// A small project.
pub static SEED: LazyLock<Graph> = LazyLock::new(|| Graph::of("seed"));
/// The same with more tags, so that one of them is not half.
pub static BASE: LazyLock<Graph> = LazyLock::new(|| SEED.and("user.team", &["team"]).and("user.desk", &["team"]));
/// One with data sources and named queries.
pub static RICH: LazyLock<Graph> = LazyLock::new(|| Graph::of("rich"));

/// An export and the graph in it.
#[derive(Clone, Debug)]
pub struct Graph {
    export: Bytes,
}

/// A field: its number, and its content where that has a length; else the whole of it as it is.
enum Field {
    Long(u32, Vec<u8>),
    Other(Vec<u8>),
}

fn fields(message: &[u8]) -> Vec<Field> {
    let (mut fields, mut rest) = (Vec::new(), message);
    while !rest.is_empty() {
        let whole = rest;
        let (number, kind) = decode_key(&mut rest).unwrap();
        if kind == WireType::LengthDelimited {
            let length = usize::try_from(decode_varint(&mut rest).unwrap()).unwrap();
            let (content, after) = rest.split_at(length);
            fields.push(Field::Long(number, content.to_vec()));
            rest = after;
        } else {
            skip_field(kind, number, &mut rest, DecodeContext::default()).unwrap();
            fields.push(Field::Other(whole[..whole.len() - rest.len()].to_vec()));
        }
    }
    fields
}

fn packed(fields: Vec<Field>) -> Vec<u8> {
    let mut message = Vec::new();
    for field in fields {
        match field {
            Field::Long(number, content) => {
                encode_key(number, WireType::LengthDelimited, &mut message);
                encode_varint(content.len() as u64, &mut message);
                message.extend(content);
            }
            Field::Other(whole) => message.extend(whole),
        }
    }
    message
}

/// The message with each field of this number as `change` has it; `None` takes it out.
fn each(message: &[u8], of: u32, change: &mut dyn FnMut(Vec<u8>) -> Option<Vec<u8>>) -> Vec<u8> {
    let changed = |field| match field {
        Field::Long(number, content) if number == of => Some(Field::Long(number, change(content)?)),
        Field::Long(..) | Field::Other(_) => Some(field),
    };
    packed(fields(message).into_iter().filter_map(changed).collect())
}

/// The parts of a feature that are looked at, of any kind: `ScalarFeatureType` and its like.
#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    namespace: String,
    #[prost(string, repeated, tag = "15")]
    tags: Vec<String>,
}

/// `Graph` -> `FeatureSet` -> `FeatureType` -> scalar.
#[derive(Clone, PartialEq, Message)]
struct OneOf<T: Message + Default + std::fmt::Debug> {
    #[prost(message, optional, tag = "1")]
    one: Option<T>,
}

#[derive(Clone, PartialEq, Message)]
struct Set {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    features: Vec<OneOf<Named>>,
}

impl Graph {
    fn of(name: &str) -> Self {
        let path = repository(&format!("tests/fixtures/chalk/lineage/{name}.export.pb"));
        Self { export: std::fs::read(path).unwrap().into() }
    }

    /// As an export.
    pub fn export(&self) -> Bytes {
        self.export.clone()
    }

    /// The graph alone.
    pub fn graph(&self) -> Bytes {
        let mut graph = None;
        each(&self.export, GRAPH, &mut |content| {
            graph = Some(content.clone());
            Some(content)
        });
        graph.unwrap().into()
    }

    fn with(&self, mut change: impl FnMut(Vec<u8>) -> Vec<u8>) -> Self {
        Self { export: each(&self.export, GRAPH, &mut |graph| Some(change(graph))).into() }
    }

    /// With another scalar feature, which nothing computes.
    pub fn and(&self, full: &str, tags: &[&str]) -> Self {
        let (namespace, name) = full.split_once('.').unwrap();
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        let named = Named { name: name.to_owned(), namespace: namespace.to_owned(), tags };
        let set = Set { name: namespace.to_owned(), features: vec![OneOf { one: Some(named) }] };
        let more = OneOf { one: Some(set) }.encode_to_vec();
        self.with(|graph| [graph, more.clone()].concat())
    }

    /// With many of them.
    pub fn and_many(&self, count: usize) -> Self {
        (0..count).fold(self.clone(), |graph, number| graph.and(&format!("user.more_{number}"), &[]))
    }

    /// Each scalar feature as `change` has it.
    fn scalars(&self, change: &mut dyn FnMut(&Named, Vec<u8>) -> Vec<u8>) -> Self {
        let mut scalar = |content: Vec<u8>| Some(change(&Named::decode(content.as_slice()).unwrap(), content));
        self.with(|graph| {
            each(&graph, 1, &mut |set| Some(each(&set, 2, &mut |feature| Some(each(&feature, 1, &mut scalar)))))
        })
    }

    /// With a scalar feature that has these tags and no other.
    pub fn tagged(&self, full: &str, tags: &[&str]) -> Self {
        let mut found = 0;
        let changed = self.scalars(&mut |named, scalar| {
            if format!("{}.{}", named.namespace, named.name) != full {
                return scalar;
            }
            found += 1;
            let mut fields = fields(&each(&scalar, 15, &mut |_| None));
            fields.extend(tags.iter().map(|tag| Field::Long(15, tag.as_bytes().to_vec())));
            packed(fields)
        });
        assert_eq!(found, 1, "{full}");
        changed
    }
}
