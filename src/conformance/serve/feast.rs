//! As Feast answers (wire-feast.md, section 2).

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Reply, Rows, cells, misbehave, neutral, row, told};
use crate::conformance::feast::{self, Query, rpc};
use crate::conformance::names::answered;
use crate::conformance::table::{Table, Upstream};
use crate::conformance::wire::Column;
use crate::conformance::{Cell, Dialect};

/// The answer to a request.
///
/// # Errors
/// What Feast says with a 500.
pub fn answer(table: &Table, dialect: Dialect, path: &str, body: &Bytes) -> Result<Reply, String> {
    let call = match path {
        "/get-online-features" => false,
        rpc::PATH => true,
        _ => return Ok(Reply::json(404, &json!({"detail": "Not Found"}))),
    };
    let query = if call { rpc::asked(body)? } else { feast::asked(body)? };
    let rows = Rows::of(&query.supplied, query.supplied.first().map_or(1, |(_, cells)| cells.len()));
    let columns = columns(table, dialect, query, &rows)?;
    let told = told(table, &rows);
    let tells = (rows.how == Upstream::Tells).then_some(told.as_str());
    Ok(match (rows.how == Upstream::Fails, call) {
        (true, true) => Reply::ended(13, &told),
        (true, false) => Reply::failed(&Value::from(told.as_str()), &told),
        (false, true) => Reply::called(rpc::answer(&columns, tells)?),
        (false, false) => Reply::json(200, &json(&columns, tells)),
    })
}

fn columns(table: &Table, dialect: Dialect, query: Query, rows: &Rows) -> Result<Vec<Column>, String> {
    let column = |feature: &str, alias: Option<&str>| {
        let name = alias.map_or_else(|| answered(table, dialect, feature), str::to_owned);
        let short = feature.rsplit('.').next().unwrap_or_default().to_owned();
        (if query.full { name } else { short }, cells(table, feature, rows, None))
    };
    let mut columns: Vec<Column> = Vec::new();
    if let Some(service) = &query.service {
        let members = table.bundles.get(service).ok_or("Feature service does not exist")?;
        columns.extend(members.iter().map(|member| column(&member.feature, member.alias.as_deref())));
    }
    for reference in &query.references {
        let feature = neutral(table, dialect, reference).ok_or("Feature not found in projection")?;
        columns.push(column(&feature, None));
    }
    misbehave(table, dialect, rows, &mut columns);
    // Join keys are columns too, before all others.
    let is_key = |(_, cells): &Column| cells.iter().all(|cell| row(cell).is_some());
    let keys = query.supplied.into_iter().filter(is_key);
    Ok(keys.chain(columns).collect())
}

fn json(columns: &[Column], told: Option<&str>) -> Value {
    let result = |(_, cells): &Column| {
        let values: Vec<Value> = cells.iter().map(Cell::json).collect();
        let times = vec!["1970-01-01T00:00:00Z"; values.len()];
        json!({"statuses": vec!["PRESENT"; values.len()], "event_timestamps": times, "values": values})
    };
    let names: Vec<&String> = columns.iter().map(|(name, _)| name).collect();
    let results: Vec<Value> = columns.iter().map(result).collect();
    let mut answer = json!({"results": results, "metadata": {"feature_names": names}});
    for (place, told) in ["", "/metadata"].into_iter().zip([told, told]) {
        if let (Some(Value::Object(members)), Some(told)) = (answer.pointer_mut(place), told) {
            members.insert("debug".to_owned(), Value::from(told));
        }
    }
    answer
}
