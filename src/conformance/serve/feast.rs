//! As Feast answers (wire-feast.md, section 2).

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Reply, Rows, cells, misbehave, neutral, told};
use crate::conformance::names::{answered, spelled};
use crate::conformance::table::{Table, Upstream};
use crate::conformance::wire::Column;
use crate::conformance::{Cell, Dialect};

/// The answer to a request.
///
/// # Errors
/// What Feast says with a 500.
pub fn answer(table: &Table, dialect: Dialect, path: &str, body: &Bytes) -> Result<Reply, String> {
    if path != "/get-online-features" {
        return Ok(Reply::json(404, &json!({"detail": "Not Found"})));
    }
    let body: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let entities = body.get("entities").and_then(Value::as_object).ok_or("no entities")?;
    let entity = |(name, values): (&String, &Value)| {
        let cells = values.as_array().into_iter().flatten().filter_map(Cell::of_json).collect();
        (name.clone(), cells)
    };
    let supplied: Vec<Column> = entities.iter().map(entity).collect();
    let rows = Rows::of(&supplied, supplied.first().map_or(1, |(_, cells)| cells.len()));
    let full = body.get("full_feature_names").and_then(Value::as_bool) == Some(true);
    let column = |feature: &str, alias: Option<&str>| {
        let name = alias.map_or_else(|| answered(table, dialect, feature), str::to_owned);
        let short = feature.rsplit('.').next().unwrap_or_default().to_owned();
        (if full { name } else { short }, cells(table, feature, &rows, None))
    };
    let mut columns: Vec<Column> = Vec::new();
    match body.get("feature_service").and_then(Value::as_str).filter(|name| !name.is_empty()) {
        Some(service) => {
            let members = table.bundles.get(service).ok_or("Feature service does not exist")?;
            columns.extend(members.iter().map(|member| column(&member.feature, member.alias.as_deref())));
        }
        None => {
            for reference in body.get("features").and_then(Value::as_array).into_iter().flatten() {
                let reference = reference.as_str().unwrap_or_default();
                let feature = neutral(table, dialect, reference).ok_or("Feature not found in projection")?;
                columns.push(column(&feature, None));
            }
        }
    }
    misbehave(table, dialect, &rows, &mut columns);
    if rows.how == Upstream::Fails {
        let told = told(table, &rows);
        let mut reply = Reply::json(500, &Value::from(told.as_str()));
        reply.headers.push(("x-debug", told));
        return Ok(reply);
    }
    // Join keys are columns too, before all others.
    let keys: Vec<Column> = supplied
        .into_iter()
        .filter(|(name, _)| table.keys.iter().any(|key| spelled(table, dialect, key) == *name))
        .collect();
    let all: Vec<Column> = keys.into_iter().chain(columns).collect();
    let result = |(_, cells): &Column| {
        let values: Vec<Value> = cells.iter().map(Cell::json).collect();
        let times = vec!["1970-01-01T00:00:00Z"; values.len()];
        json!({"statuses": vec!["PRESENT"; values.len()], "event_timestamps": times, "values": values})
    };
    let names: Vec<&String> = all.iter().map(|(name, _)| name).collect();
    let results: Vec<Value> = all.iter().map(result).collect();
    let mut answer = json!({"results": results, "metadata": {"feature_names": names}});
    if rows.how != Upstream::Tells {
        return Ok(Reply::json(200, &answer));
    }
    let told = told(table, &rows);
    for place in ["", "/metadata"] {
        if let Some(Value::Object(members)) = answer.pointer_mut(place) {
            members.insert("debug".to_owned(), Value::from(told.as_str()));
        }
    }
    Ok(Reply::json(200, &answer))
}
