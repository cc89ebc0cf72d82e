//! Feast's gRPC, `GrpcFeatureServer/GetOnlineFeatures` (wire-feast.md, section 2).

use bytes::Bytes;
use prost::{Message, Oneof};

use super::super::names::spelled;
use super::super::table::{Case, Table};
use super::super::wire::{Ask, Column, Exchange, Got};
use super::super::{Cell, Dialect};
use crate::dialect::feast::rpc::proto::{
    FeatureList, GetOnlineFeaturesRequest, GetOnlineFeaturesResponse, GetOnlineFeaturesResponseMetadata, Kind,
    RepeatedValue,
};
use crate::grpc::{framed, unframed};

/// The method.
pub const PATH: &str = "/GrpcFeatureServer/GetOnlineFeatures";

/// `feast.types.Value`, of the kinds that the table has.
#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(oneof = "Of", tags = "2, 3, 4, 5, 6, 7, 19")]
    of: Option<Of>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Of {
    #[prost(string, tag = "2")]
    Text(String),
    #[prost(int32, tag = "3")]
    Int32(i32),
    #[prost(int64, tag = "4")]
    Int(i64),
    #[prost(double, tag = "5")]
    Double(f64),
    #[prost(float, tag = "6")]
    Float(f32),
    #[prost(bool, tag = "7")]
    Bool(bool),
    #[prost(int32, tag = "19")]
    Null(i32),
}

/// `feast.serving.GetOnlineFeaturesResponse.FeatureVector`.
#[derive(Clone, PartialEq, Message)]
struct Vector {
    #[prost(message, repeated, tag = "1")]
    values: Vec<Value>,
    /// `PRESENT` is 1.
    #[prost(int32, repeated, tag = "2")]
    statuses: Vec<i32>,
}

fn value(cell: &Cell) -> Value {
    let of = match cell {
        Cell::Null => None,
        Cell::Bool(value) => Some(Of::Bool(*value)),
        Cell::Int(value) => Some(Of::Int(*value)),
        Cell::Float(value) => Some(Of::Double(*value)),
        Cell::Text(text) => Some(Of::Text(text.clone())),
    };
    Value { of }
}

fn cell(value: Value) -> Cell {
    match value.of {
        None | Some(Of::Null(_)) => Cell::Null,
        Some(Of::Text(text)) => Cell::Text(text),
        Some(Of::Int32(value)) => Cell::Int(value.into()),
        Some(Of::Int(value)) => Cell::Int(value),
        Some(Of::Double(value)) => Cell::Float(value),
        Some(Of::Float(value)) => Cell::Float(value.into()),
        Some(Of::Bool(value)) => Cell::Bool(value),
    }
}

/// The call of a case.
///
/// # Errors
/// It is too large for a message.
pub fn ask(table: &Table, case: &Case, dialect: Dialect) -> Result<Ask, String> {
    let entity = |(name, cells): Column| {
        let values = cells.iter().map(|cell| Bytes::from(value(cell).encode_to_vec())).collect();
        (name, Bytes::from(RepeatedValue { val: values }.encode_to_vec()))
    };
    let names = case.outputs.iter().map(|name| spelled(table, dialect, name)).collect();
    let kind = match &case.bundle {
        Some(bundle) => Kind::FeatureService(bundle.clone()),
        None => Kind::Features(FeatureList { val: names }),
    };
    let request = GetOnlineFeaturesRequest {
        kind: Some(kind),
        entities: super::entities(table, case, dialect).into_iter().map(entity).collect(),
        full_feature_names: true,
        include_feature_view_version_metadata: false,
    };
    let body = framed(false, &request.encode_to_vec()).ok_or("the message is too large")?;
    let headers = vec![("content-type", "application/grpc"), ("te", "trailers")];
    Ok(Ask { path: PATH.to_owned(), headers, body, grpc: true })
}

/// What came of it.
pub fn read(exchange: &Exchange) -> Got {
    call(exchange).unwrap_or_else(Got::Unread)
}

fn call(exchange: &Exchange) -> Result<Got, String> {
    let message = match exchange.message()? {
        Ok(message) => message,
        Err(got) => return Ok(got),
    };
    let answer = GetOnlineFeaturesResponse::decode(message).map_err(|_| "its message is no answer")?;
    let names = answer.metadata.unwrap_or_default().feature_names.unwrap_or_default().val;
    if names.len() != answer.results.len() {
        return Err(format!("{} names stand for {} columns", names.len(), answer.results.len()));
    }
    let column = |(name, result): (String, Bytes)| {
        let Vector { values, statuses } = Vector::decode(result).map_err(|_| "a column is no `FeatureVector`")?;
        if !statuses.is_empty() && statuses.len() != values.len() {
            return Err("a column has other statuses than values".to_owned());
        }
        Ok((name, values.into_iter().map(cell).collect()))
    };
    let columns: Result<Vec<Column>, String> = names.into_iter().zip(answer.results).map(column).collect();
    Ok(Got::Answer(columns?))
}

/// What a call asks of the feature server.
///
/// # Errors
/// It is none.
pub fn asked(body: &Bytes) -> Result<super::Query, String> {
    let (_, message) = unframed(body)?;
    let message = GetOnlineFeaturesRequest::decode(message).map_err(|error| error.to_string())?;
    let entity = |(name, list): (String, Bytes)| {
        let values = RepeatedValue::decode(list).map_err(|error| error.to_string())?.val.into_iter();
        let cells: Result<Vec<Cell>, prost::DecodeError> = values.map(|one| Value::decode(one).map(cell)).collect();
        Ok((name, cells.map_err(|error| error.to_string())?))
    };
    let supplied: Result<Vec<Column>, String> = message.entities.into_iter().map(entity).collect();
    let (service, references) = match message.kind {
        Some(Kind::FeatureService(name)) => (Some(name).filter(|name| !name.is_empty()), Vec::new()),
        Some(Kind::Features(list)) => (None, list.val),
        None => (None, Vec::new()),
    };
    Ok(super::Query { service, references, supplied: supplied?, full: message.full_feature_names })
}

/// The message that answers these columns. `told`: a text beside them, in fields that nobody knows.
///
/// # Errors
/// It is too large for a message.
pub fn answer(columns: &[Column], told: Option<&str>) -> Result<Bytes, String> {
    let vector = |(_, cells): &Column| {
        let values: Vec<Value> = cells.iter().map(value).collect();
        Bytes::from(Vector { statuses: vec![1; values.len()], values }.encode_to_vec())
    };
    let names = FeatureList { val: columns.iter().map(|(name, _)| name.clone()).collect() };
    let metadata = GetOnlineFeaturesResponseMetadata {
        feature_names: Some(names),
        ..GetOnlineFeaturesResponseMetadata::default()
    };
    let message = GetOnlineFeaturesResponse {
        metadata: Some(metadata),
        results: columns.iter().map(vector).collect(),
        status: true,
    };
    let unknown = told.map(|text| Unknown { debug: text.to_owned() }.encode_to_vec()).unwrap_or_default();
    framed(false, &[message.encode_to_vec(), unknown].concat()).ok_or_else(|| "the message is too large".to_owned())
}

/// A field that no descriptor of Feast has.
#[derive(Clone, PartialEq, Eq, Message)]
struct Unknown {
    #[prost(string, tag = "99")]
    debug: String,
}
