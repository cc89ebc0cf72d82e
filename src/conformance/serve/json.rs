//! As described servers answer (wire-feast.md, section 5).

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Reply, Rows, cells, misbehave, neutral, row, told};
use crate::conformance::Dialect;
use crate::conformance::json::{self, Shape};
use crate::conformance::names::answered;
use crate::conformance::table::{Table, Upstream};
use crate::conformance::wire::Column;

/// The answer to a request.
///
/// # Errors
/// What it says with a 500.
pub fn answer(table: &Table, dialect: Dialect, path: &str, body: &Bytes) -> Result<Reply, String> {
    let Some(shape) = Shape::of(dialect).filter(|shape| shape.path() == path) else {
        return Ok(Reply::json(404, &json!({"detail": "Not Found"})));
    };
    let query = json::asked(body, shape)?;
    let rows = Rows::of(&query.supplied, query.supplied.first().map_or(1, |(_, cells)| cells.len()));
    let given = |name: &str| query.supplied.iter().find(|(other, _)| other == name);
    let column = |name: String| {
        let held = answered(table, dialect, &name);
        let cells = cells(table, &name, &rows, given(&held));
        (held, cells)
    };
    let mut columns: Vec<Column> = Vec::new();
    if let Some(bundle) = &query.bundle {
        let members = table.bundles.get(bundle).ok_or("there is no such bundle")?;
        columns.extend(members.iter().map(|member| column(member.feature.clone())));
    }
    for output in &query.outputs {
        columns.push(column(neutral(table, dialect, output).ok_or("there is no such feature")?));
    }
    misbehave(table, dialect, &rows, &mut columns);
    let told = told(table, &rows);
    if rows.how == Upstream::Fails {
        return Ok(Reply::failed(&Value::from(told.as_str()), &told));
    }
    // Keys come back beside what was asked for, once.
    let is_key = |(name, cells): &&Column| {
        cells.iter().all(|cell| row(cell).is_some()) && !columns.iter().any(|(other, _)| other == name)
    };
    let keys: Vec<Column> = query.supplied.iter().filter(is_key).cloned().collect();
    let all: Vec<Column> = keys.into_iter().chain(columns).collect();
    let tells = (rows.how == Upstream::Tells).then_some(told.as_str());
    Ok(Reply::new(200, "application/json", json::answer(shape, &all, query.types, tells)))
}
