//! Chalk's online query, over its three doors: asked, and its answers read (wire-chalk.md, sections 3 and 6).

mod tables;

use bytes::Bytes;
use prost::Message as _;
use serde_json::{Map, Value, json};

use super::table::{Case, Upstream};
use super::wire::{Ask, Column, Exchange, Got};
use super::{Cell, feast};
use crate::dialect::chalk::proto::{
    BulkInputs, ChalkError, ErrorCode, FeatherBodyType, OnlineQueryBulkRequest, OnlineQueryBulkResponse,
    OnlineQueryContext, Output, OutputExpr,
};
use crate::grpc::framed;
pub use tables::{ROW, columns, file};

/// The header that chalkpy always sends: a name without a version is version 1.
const VERSIONED: (&str, &str) = ("x-chalk-features-versioned", "true");
/// The method of [`Dialect::ChalkGrpc`].
pub const BULK: &str = "/chalk.engine.v1.QueryService/OnlineQueryBulk";

/// A way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// One query in JSON.
    Online,
    /// Queries in bulk.
    Feather,
    /// The same by gRPC.
    Grpc,
}

/// The request of a case, with every member that chalkpy sends.
///
/// # Errors
/// It cannot be encoded.
pub fn ask(case: &Case, door: Door) -> Result<Ask, String> {
    let mut body = json!({
        "outputs": case.outputs, "expression_outputs": [], "now": null, "staleness": null,
        "context": {"environment": null, "tags": null, "required_resolver_tags": null}, "include_meta": false,
        "explain": false, "correlation_id": null, "query_name": case.bundle, "query_name_version": null,
        "deployment_id": null, "branch_id": null, "meta": null, "store_plan_stages": false,
        "encoding_options": {"encode_structs_as_objects": false}, "query_context": null,
        "value_metrics_tag_by_features": [], "overlay_graph": null, "input_schema_hint": null,
    });
    let json = ("content-type", "application/json");
    let of = |path: &str, headers, body: Vec<u8>, grpc| Ask {
        path: path.to_owned(),
        headers,
        body: Bytes::from(body),
        grpc,
    };
    match door {
        Door::Feather => {
            let (header, table) = (body.to_string(), file(&case.supplied(), false)?);
            let mut bytes = b"chal1".to_vec();
            for part in [header.as_bytes(), &table] {
                bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
                bytes.extend_from_slice(part);
            }
            Ok(of("/v1/query/feather", vec![json, VERSIONED], bytes, false))
        }
        Door::Grpc => {
            let output = |name: &String| OutputExpr { expr: Some(Output::Feature(name.clone())) };
            let query = OnlineQueryBulkRequest {
                inputs: Some(BulkInputs::Feather(file(&case.supplied(), true)?)),
                outputs: case.outputs.iter().map(output).collect(),
                context: Some(OnlineQueryContext { query_name: case.bundle.clone(), ..OnlineQueryContext::default() }),
                body_type: FeatherBodyType::RecordBatches.into(),
                ..OnlineQueryBulkRequest::default()
            };
            let message = framed(false, &query.encode_to_vec()).ok_or("the message is too large")?;
            let headers = vec![("content-type", "application/grpc"), ("te", "trailers")];
            Ok(Ask { path: BULK.to_owned(), headers, body: message, grpc: true })
        }
        Door::Online => {
            let first = |(name, cells): Column| (name, cells.first().map_or(Value::Null, Cell::json));
            let inputs: Map<String, Value> = case.supplied().into_iter().map(first).collect();
            if let Some(body) = body.as_object_mut() {
                body.insert("inputs".to_owned(), Value::from(inputs));
            }
            Ok(of("/v1/query/online", vec![json, VERSIONED], body.to_string().into_bytes(), false))
        }
    }
}

/// What came of it, and every text that was packed in it.
pub fn read(exchange: &Exchange, door: Door) -> (Got, Vec<Vec<u8>>) {
    let mut packed = Vec::new();
    let got = match door {
        Door::Grpc => call(exchange, &mut packed),
        Door::Feather if exchange.status == 200 && !is_json(exchange) => bulk(&exchange.body, &mut packed),
        Door::Online | Door::Feather => online(exchange),
    };
    (got.unwrap_or_else(Got::Unread), packed)
}

fn is_json(exchange: &Exchange) -> bool {
    exchange.header("content-type") == Some("application/json")
}

/// Whether errors say what became of a query: codes and features.
fn errors(errors: &[(String, Option<String>)], data: bool) -> Option<Got> {
    let refused = errors.iter().filter(|(code, _)| code == "UNAUTHORIZED");
    let names: Vec<&Option<String>> = refused.map(|(_, feature)| feature).collect();
    match names.as_slice() {
        [] => None,
        _ if data => Some(Got::Unread("it is refused and has data".to_owned())),
        [None] => Some(Got::Forbidden),
        names => Some(Got::Refused(names.iter().filter_map(|name| (*name).clone()).collect())),
    }
}

fn error(error: &Value) -> (String, Option<String>) {
    let text = |key: &str| error.get(key).and_then(Value::as_str).map(str::to_owned);
    (text("code").unwrap_or_default(), text("feature"))
}

fn online(exchange: &Exchange) -> Result<Got, String> {
    let body: Value = match serde_json::from_slice(&exchange.body) {
        Ok(body) => body,
        Err(_) if exchange.status >= 500 => return Ok(Got::Failed),
        Err(_) => return Err("the body is no json".to_owned()),
    };
    if exchange.status != 200 {
        return Ok(feast::failure(exchange.status, &body));
    }
    let data = body.get("data").and_then(Value::as_array).ok_or("there is no list `data`")?;
    let all: Vec<_> = body.get("errors").and_then(Value::as_array).into_iter().flatten().map(error).collect();
    if let Some(got) = errors(&all, !data.is_empty()) {
        return Ok(got);
    }
    let mut columns = Vec::new();
    for element in data {
        let name = element.get("field").and_then(Value::as_str).ok_or("an element has no `field`")?;
        match element.get("value") {
            Some(Value::Object(rows)) => columns.extend(group(name, many(rows)?)),
            value => {
                let cell = value.and_then(Cell::of_json).ok_or("a value is a list")?;
                columns.push((name.to_owned(), vec![cell]));
            }
        }
        match element.get("pkey") {
            None | Some(Value::Null) => {}
            Some(Value::String(key)) if Upstream::of_key(key).is_some() => {}
            Some(_) => return Err("a `pkey` is not the key that was supplied".to_owned()),
        }
    }
    Ok(Got::Answer(columns))
}

/// Rows of a has-many: `{"columns":[…],"values":[[…]…]}`.
fn many(rows: &Map<String, Value>) -> Result<Vec<Column>, String> {
    let list = |key: &str| rows.get(key).and_then(Value::as_array).ok_or_else(|| format!("rows have no `{key}`"));
    let (names, values) = (list("columns")?, list("values")?);
    if names.len() != values.len() || rows.len() != 2 {
        return Err("rows have more than columns and values".to_owned());
    }
    let column = |(name, cells): (&Value, &Value)| {
        let cells: Option<Vec<Cell>> = cells.as_array()?.iter().map(Cell::of_json).collect();
        Some((name.as_str()?.to_owned(), cells?))
    };
    names.iter().zip(values).map(column).collect::<Option<_>>().ok_or_else(|| "rows are in another form".to_owned())
}

/// A feather answer: a container of the results of queries, of which there is one.
fn bulk(body: &Bytes, packed: &mut Vec<Vec<u8>>) -> Result<Got, String> {
    let answer = tables::container(body)?;
    let results = answer.child("query_results_bytes").ok_or("there is no `query_results_bytes`")?;
    let results = tables::container(results)?;
    let result = tables::container(results.blob("query_0").ok_or("there is no `query_0`")?)?;
    let all: Vec<_> = result.attrs.get("errors").and_then(Value::as_array).into_iter().flatten().collect();
    let parsed = all.iter().filter_map(|text| serde_json::from_str::<Value>(text.as_str()?).ok());
    let all: Vec<_> = parsed.map(|value| error(&value)).collect();
    packed.push(result.attrs.to_string().into_bytes());
    let groups = tables::container(result.child("groups_data").ok_or("there is no `groups_data`")?)?;
    let mut columns = tables::columns(result.blob("scalar_data").ok_or("there is no `scalar_data`")?, packed)?;
    for (name, table) in &groups.blobs {
        columns.extend(group(name, tables::columns(table, packed)?));
    }
    Ok(errors(&all, !columns.is_empty()).unwrap_or(Got::Answer(columns)))
}

/// The columns of rows, by the has-many that they are of; not the key of the row that they belong to.
fn group(name: &str, columns: Vec<Column>) -> impl Iterator<Item = Column> {
    let columns = columns.into_iter().filter(|(column, _)| column != ROW);
    columns.map(move |(column, cells)| (format!("{name}[{column}]"), cells))
}

/// An answer of gRPC.
fn call(exchange: &Exchange, packed: &mut Vec<Vec<u8>>) -> Result<Got, String> {
    let message = match exchange.message()? {
        Ok(message) => message,
        Err(got) => return Ok(got),
    };
    let answer = OnlineQueryBulkResponse::decode(message).map_err(|_| "its message is no answer")?;
    let code = |error: &ChalkError| match ErrorCode::try_from(error.code) {
        Ok(ErrorCode::Unauthorized) => "UNAUTHORIZED".to_owned(),
        Ok(_) | Err(_) => String::new(),
    };
    let all: Vec<_> = answer.errors.iter().map(|error| (code(error), error.feature.clone())).collect();
    let mut columns = tables::columns(&answer.scalars_data, packed)?;
    for (name, table) in answer.groups_data {
        columns.extend(group(&name, tables::columns(&Bytes::from(table), packed)?));
    }
    Ok(errors(&all, !columns.is_empty()).unwrap_or(Got::Answer(columns)))
}
