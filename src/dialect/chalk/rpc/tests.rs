use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use prost::Message as _;

use super::*;
use crate::dialect::Invalid;
use crate::dialect::chalk::proto::*;
use crate::dialect::chalk::query::{Field, Input, Switch};

mod answer;
mod random;
mod read;
mod recorded;

const MOST: usize = 1 << 20;

fn fixture(name: &str) -> Bytes {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/chalk/wire");
    Bytes::from(std::fs::read(format!("{folder}/{name}")).unwrap())
}

/// The inputs of a recorded bulk query: the column `user.id`, one row.
fn table() -> Bytes {
    let message = OnlineQueryBulkRequest::decode(fixture("grpc_query.OnlineQueryBulk.req.bin")).unwrap();
    let Some(BulkInputs::Feather(table)) = message.inputs else { panic!("it has a table") };
    table
}

fn feature(name: &str) -> OutputExpr {
    OutputExpr { expr: Some(Output::Feature(name.to_owned())) }
}

fn of(kind: ValueKind) -> Value {
    Value { kind: Some(kind) }
}

fn text(text: &str) -> Value {
    of(ValueKind::String(text.to_owned()))
}

fn list(values: Vec<Value>) -> Value {
    of(ValueKind::List(ListValue { values }))
}

fn object(fields: &[(&str, Value)]) -> Value {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    of(ValueKind::Struct(Struct { fields }))
}

/// A query for one row that asks for `user.name` by `user.id`.
fn single() -> OnlineQueryRequest {
    OnlineQueryRequest {
        inputs: BTreeMap::from([("user.id".to_owned(), of(ValueKind::Number(1.0)))]),
        outputs: vec![feature("user.name")],
        ..OnlineQueryRequest::default()
    }
}

/// The same in bulk.
fn bulk() -> OnlineQueryBulkRequest {
    OnlineQueryBulkRequest {
        inputs: Some(BulkInputs::Feather(table())),
        outputs: vec![feature("user.name")],
        body_type: FeatherBodyType::RecordBatches.into(),
        ..OnlineQueryBulkRequest::default()
    }
}

fn multi(queries: Vec<SingleQuery>) -> OnlineQueryMultiRequest {
    let queries = queries.into_iter().map(|query| GenericSingleQuery { query: Some(query) }).collect();
    OnlineQueryMultiRequest { queries }
}

fn encoded(message: &impl prost::Message) -> Bytes {
    message.encode_to_vec().into()
}

fn read_single(message: &OnlineQueryRequest) -> Result<Asked, Invalid> {
    Ok(read(Method::OnlineQuery, &encoded(message), true, MOST)?.queries.remove(0))
}

/// Everything that is asked is permitted, and may come back.
fn all(asked: &Asked) -> Permit {
    let (query, mut permit) = (&asked.query, Permit { primary_key: true, ..Permit::default() });
    permit.outputs = query.outputs.iter().map(ToString::to_string).collect();
    permit.expressions = (0..query.expressions.len()).collect();
    permit.inputs = query.inputs.iter().map(|input| input.name.to_string()).collect();
    permit.fields = query.outputs.iter().map(|name| (name.to_string(), Field::Value)).collect();
    permit
}
