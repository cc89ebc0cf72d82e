//! Feast's online query, over HTTP and gRPC: asked, and its answer read (wire-feast.md, section 2).

pub mod rpc;

use serde_json::{Map, Value, json};

use super::names::spelled;
use super::table::{Case, Table};
use super::wire::{Ask, Column, Exchange, Got};
use super::{Cell, Dialect};

/// What a query asks of the feature server.
pub struct Query {
    /// A feature service.
    pub service: Option<String>,
    /// Or features, as written.
    pub references: Vec<String>,
    /// `entities`.
    pub supplied: Vec<Column>,
    /// `full_feature_names`.
    pub full: bool,
}

/// What a case supplies: keys, and whatever else stands among the entities.
fn entities(table: &Table, case: &Case, dialect: Dialect) -> Vec<Column> {
    let supplied = case.supplied().into_iter();
    supplied.map(|(name, cells)| (spelled(table, dialect, &name), cells)).collect()
}

/// The request of a case.
pub fn ask(table: &Table, case: &Case, dialect: Dialect) -> Ask {
    let entity = |(name, cells): Column| (name, cells.iter().map(Cell::json).collect());
    let entities: Map<String, Value> = entities(table, case, dialect).into_iter().map(entity).collect();
    let mut body = json!({"entities": entities, "full_feature_names": true});
    let (key, wanted) = match &case.bundle {
        Some(bundle) => ("feature_service", Value::from(bundle.as_str())),
        None => {
            let names = case.outputs.iter().map(|name| spelled(table, dialect, name));
            ("features", Value::from(names.collect::<Vec<_>>()))
        }
    };
    if let Some(body) = body.as_object_mut() {
        body.insert(key.to_owned(), wanted);
    }
    Ask {
        path: "/get-online-features".to_owned(),
        headers: vec![("content-type", "application/json")],
        body: body.to_string().into(),
        grpc: false,
    }
}

/// What a request asks of the feature server.
///
/// # Errors
/// It is none.
pub fn asked(body: &[u8]) -> Result<Query, String> {
    let body: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let entities = body.get("entities").and_then(Value::as_object).ok_or("no entities")?;
    let entity = |(name, values): (&String, &Value)| {
        let cells = values.as_array().into_iter().flatten().filter_map(Cell::of_json).collect();
        (name.clone(), cells)
    };
    let service = body.get("feature_service").and_then(Value::as_str).filter(|name| !name.is_empty());
    let references = body.get("features").and_then(Value::as_array).into_iter().flatten();
    Ok(Query {
        service: service.map(str::to_owned),
        references: references.map(|name| name.as_str().unwrap_or_default().to_owned()).collect(),
        supplied: entities.iter().map(entity).collect(),
        full: body.get("full_feature_names").and_then(Value::as_bool) == Some(true),
    })
}

/// What came of it.
pub fn read(exchange: &Exchange) -> Got {
    let body: Value = match serde_json::from_slice(&exchange.body) {
        Ok(body) => body,
        Err(_) if exchange.status >= 500 => return Got::Failed,
        Err(_) => return Got::Unread("the body is no json".to_owned()),
    };
    match exchange.status {
        200 => match columns(&body) {
            Ok(columns) => Got::Answer(columns),
            Err(why) => Got::Unread(why),
        },
        status => failure(status, &body),
    }
}

/// An answer that is none: by its status and the code in its body (config.md, Errors on the wire).
pub fn failure(status: u16, body: &Value) -> Got {
    let code = body.pointer("/error/code").and_then(Value::as_str).unwrap_or_default();
    match (status, code) {
        (403, "FORBIDDEN") => Got::Forbidden,
        (403, _) => match body.pointer("/error/refused").and_then(Value::as_array) {
            Some(names) => {
                Got::Refused(names.iter().map(|name| name.as_str().unwrap_or_default().to_owned()).collect())
            }
            None => Got::Unread("a 403 has no list `error.refused`".to_owned()),
        },
        // Feast's own status comes with this code.
        (_, "UPSTREAM_FAILED") => Got::Failed,
        (400, _) => Got::Invalid,
        (401, _) => Got::Unauthenticated,
        (500.., _) => Got::Failed,
        (status, _) => Got::Unread(format!("status {status}")),
    }
}

fn columns(body: &Value) -> Result<Vec<Column>, String> {
    let names = body.pointer("/metadata/feature_names").and_then(Value::as_array);
    let results = body.get("results").and_then(Value::as_array);
    let (Some(names), Some(results)) = (names, results) else {
        return Err("there are no `results` or no `metadata.feature_names`".to_owned());
    };
    if names.len() != results.len() {
        return Err(format!("{} names stand for {} columns", names.len(), results.len()));
    }
    let column = |(name, result): (&Value, &Value)| {
        let name = name.as_str().ok_or("a name is no text")?;
        let values = result.get("values").and_then(Value::as_array).ok_or("a column has no `values`")?;
        let cells: Option<Vec<Cell>> = values.iter().map(Cell::of_json).collect();
        let cells = cells.ok_or("a value is a list or an object")?;
        let aligned = ["statuses", "event_timestamps"].into_iter().filter_map(|key| result.get(key)?.as_array());
        if aligned.into_iter().any(|list| list.len() != cells.len()) {
            return Err("a column has other statuses than values".to_owned());
        }
        Ok((name.to_owned(), cells))
    };
    names.iter().zip(results).map(column).collect()
}
