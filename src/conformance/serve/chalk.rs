//! As Chalk answers (wire-chalk.md, sections 3 and 6).

use bytes::Bytes;
use prost::Message as _;
use serde_json::{Value, json};

use super::{Reply, Rows, cells, misbehave, neutral, told};
use crate::conformance::chalk::{BULK, ROW, columns, file};
use crate::conformance::table::{Table, Upstream};
use crate::conformance::wire::Column;
use crate::conformance::{Cell, Dialect};
use crate::dialect::chalk::container::{self, Container};
use crate::dialect::chalk::proto::{
    BulkInputs, ChalkError, ChalkException, ErrorCode, OnlineQueryBulkRequest, OnlineQueryBulkResponse,
    OnlineQueryMetadata, Output, OutputExpr,
};
use crate::grpc::{framed, unframed};

/// The answer to a request.
///
/// # Errors
/// What is in the way.
pub fn answer(table: &Table, dialect: Dialect, path: &str, body: &Bytes) -> Result<Reply, String> {
    match path {
        "/v1/query/online" => {
            let body: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
            let inputs = body.get("inputs").and_then(Value::as_object).into_iter().flatten();
            let supplied =
                inputs.filter_map(|(name, value)| Some((name.clone(), vec![Cell::of_json(value)?]))).collect();
            let answer = Answer::new(table, dialect, supplied, &outputs(table, &body));
            Ok(answer.online())
        }
        "/v1/query/feather" => {
            let mut results = Container::default();
            let parts = container::read_queries(body).map_err(|error| error.to_string())?;
            for (part, number) in parts.iter().zip(0..) {
                let header: Value = serde_json::from_slice(&part.header).map_err(|error| error.to_string())?;
                let supplied = columns(&part.table, &mut Vec::new())?;
                let answer = Answer::new(table, dialect, supplied, &outputs(table, &header));
                if answer.rows.how == Upstream::Fails {
                    return Ok(answer.failure());
                }
                results.blobs.push((format!("query_{number}"), answer.result()?));
            }
            let children = vec![("query_results_bytes".to_owned(), results)];
            let answer = Container { children, ..Container::default() };
            Ok(Reply::new(200, "application/octet-stream", answer.write()))
        }
        BULK => {
            let (_, message) = unframed(body)?;
            let query = OnlineQueryBulkRequest::decode(message).map_err(|error| error.to_string())?;
            let supplied = match &query.inputs {
                Some(BulkInputs::Feather(table)) => columns(table, &mut Vec::new())?,
                Some(BulkInputs::Sql(_)) | None => Vec::new(),
            };
            let name = |output: &OutputExpr| match &output.expr {
                Some(Output::Feature(name)) => Some(name.clone()),
                Some(Output::Expression(_)) | None => None,
            };
            let outputs: Vec<String> = query.outputs.iter().filter_map(name).collect();
            let bundle = query.context.as_ref().and_then(|context| context.query_name.as_deref());
            let outputs = if outputs.is_empty() { members(table, bundle) } else { outputs };
            Answer::new(table, dialect, supplied, &outputs).call()
        }
        _ => Ok(Reply::json(404, &json!({"detail": "Not Found"}))),
    }
}

fn outputs(table: &Table, query: &Value) -> Vec<String> {
    let outputs = query.get("outputs").and_then(Value::as_array).into_iter().flatten();
    let outputs: Vec<String> = outputs.filter_map(|name| name.as_str().map(str::to_owned)).collect();
    if outputs.is_empty() { members(table, query.get("query_name").and_then(Value::as_str)) } else { outputs }
}

fn members(table: &Table, bundle: Option<&str>) -> Vec<String> {
    let members = bundle.and_then(|bundle| table.bundles.get(bundle)).into_iter().flatten();
    members.map(|member| member.feature.clone()).collect()
}

struct Answer {
    rows: Rows,
    columns: Vec<Column>,
    /// Has-manys, and the columns of their rows.
    groups: Vec<(String, Vec<Column>)>,
    told: String,
}

impl Answer {
    fn new(table: &Table, dialect: Dialect, supplied: Vec<Column>, outputs: &[String]) -> Self {
        let rows = Rows::of(&supplied, supplied.first().map_or(1, |(_, cells)| cells.len()));
        let (mut columns, mut groups): (Vec<Column>, Vec<(String, Vec<Column>)>) = (Vec::new(), Vec::new());
        for output in outputs {
            if let Some(mut group) = table.columns(output) {
                if rows.how == Upstream::Adds {
                    group.extend(table.rows(&table.unasked).map(|cells| (table.unasked.clone(), cells)));
                }
                groups.push((output.split('[').next().unwrap_or_default().to_owned(), group));
                continue;
            }
            let all = match neutral(table, dialect, output) {
                Some(name) => vec![(output.clone(), name)],
                None => table.scalars(output).into_iter().map(|name| (name.clone(), name)).collect(),
            };
            for (way, name) in all {
                if !columns.iter().any(|(other, _)| *other == way) {
                    let given = supplied.iter().find(|(other, _)| *other == name);
                    columns.push((way, cells(table, &name, &rows, given)));
                }
            }
        }
        misbehave(table, dialect, &rows, &mut columns);
        let told = told(table, &rows);
        Self { rows, columns, groups, told }
    }

    /// An error beside the data, or in its place.
    fn error(&self) -> Value {
        let exception = json!({"kind": "ValueError", "message": self.told, "stacktrace": self.told,
                               "internal_stacktrace": self.told});
        json!({"code": "RESOLVER_FAILED", "category": "FIELD", "message": self.told, "feature": self.told,
               "resolver": "get", "exception": exception, "display_primary_key": self.told})
    }

    fn tells(&self) -> bool {
        self.rows.how == Upstream::Tells
    }

    fn failure(&self) -> Reply {
        let body = json!({"detail": self.told, "trace": self.told, "errors": [self.error()]});
        Reply::failed(&body, &self.told)
    }

    fn key(&self) -> Cell {
        Cell::Text(self.rows.how.key(self.rows.numbers.first().copied().unwrap_or(1)))
    }

    fn online(&self) -> Reply {
        if self.rows.how == Upstream::Fails {
            return self.failure();
        }
        let element = |(name, cells): &Column| {
            json!({"field": name, "value": cells.first().map(Cell::json), "pkey": self.key().json(), "error": null,
                   "valid": true, "ts": "2026-01-01T00:00:00Z", "meta": null})
        };
        let many = |(name, columns): &(String, Vec<Column>)| {
            let names: Vec<&String> = columns.iter().map(|(name, _)| name).collect();
            let values: Vec<Vec<Value>> =
                columns.iter().map(|(_, cells)| cells.iter().map(Cell::json).collect()).collect();
            json!({"field": name, "value": {"columns": names, "values": values}, "pkey": self.key().json(), "error": null,
                   "valid": true, "ts": "2026-01-01T00:00:00Z", "meta": null})
        };
        let data: Vec<Value> = self.columns.iter().map(element).chain(self.groups.iter().map(many)).collect();
        if !self.tells() {
            return Reply::json(200, &json!({"data": data, "errors": null, "meta": null}));
        }
        let meta = json!({"execution_duration_s": 0.1, "query_id": "q", "explain_output": self.told});
        let body = json!({"data": data, "errors": [self.error()], "meta": meta, "debug": self.told});
        Reply::json(200, &body)
    }

    /// The scalars, packed, with the key of each row.
    fn scalars(&self) -> Result<Bytes, String> {
        let keys = self.rows.numbers.iter().map(|row| Cell::Text(self.rows.how.key(*row))).collect();
        let all: Vec<Column> = [(ROW.to_owned(), keys)].into_iter().chain(self.columns.iter().cloned()).collect();
        file(&all, true)
    }

    /// The rows of each has-many, packed, with the key of the row that they belong to.
    fn groups(&self) -> Result<Vec<(String, Bytes)>, String> {
        let group = |(name, columns): &(String, Vec<Column>)| {
            let count = columns.first().map_or(0, |(_, cells)| cells.len());
            let keys = (ROW.to_owned(), vec![self.key(); count]);
            let all: Vec<Column> = [keys].into_iter().chain(columns.iter().cloned()).collect();
            Ok((name.clone(), file(&all, true)?))
        };
        self.groups.iter().map(group).collect()
    }

    fn result(&self) -> Result<Bytes, String> {
        let text = |value: Value| value.to_string();
        let attrs = match self.tells() {
            false => json!({"has_data": true, "errors": null, "meta": null}),
            true => json!({"has_data": true, "errors": [text(self.error())],
                           "meta": text(json!({"execution_duration_s": 0.1, "explain_output": self.told}))}),
        };
        let result = Container {
            attrs: attrs.to_string().into(),
            blobs: vec![("scalar_data".to_owned(), self.scalars()?)],
            children: vec![("groups_data".to_owned(), Container { blobs: self.groups()?, ..Container::default() })],
            ..Container::default()
        };
        Ok(result.write().into())
    }

    fn call(&self) -> Result<Reply, String> {
        if self.rows.how == Upstream::Fails {
            return Ok(Reply::ended(13, &self.told));
        }
        let told = || self.told.clone();
        let exception =
            ChalkException { kind: told(), message: told(), stacktrace: told(), internal_stacktrace: told() };
        let error = ChalkError {
            code: ErrorCode::ResolverFailed.into(),
            message: told(),
            feature: Some(told()),
            exception: Some(exception),
            ..ChalkError::default()
        };
        let metadata = [("debug".to_owned(), told())];
        let meta = OnlineQueryMetadata { metadata: metadata.into(), ..OnlineQueryMetadata::default() };
        let message = OnlineQueryBulkResponse {
            scalars_data: self.scalars()?,
            groups_data: self.groups()?.into_iter().map(|(name, table)| (name, table.to_vec())).collect(),
            errors: if self.tells() { vec![error] } else { Vec::new() },
            response_meta: self.tells().then_some(meta),
        };
        let body = framed(false, &message.encode_to_vec()).ok_or("the message is too large")?;
        Ok(Reply::called(body))
    }
}
