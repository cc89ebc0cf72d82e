//! Servers that are described, one of each shape (wire-feast.md, section 5): asked, answered, and their answers read.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::names::spelled;
use super::table::{Case, Table};
use super::wire::{Ask, Column, Exchange, Got, Members};
use super::{Cell, Dialect, feast};

/// The project of the records' names.
pub const PROJECT: &str = "shop";

/// How a server answers, and where it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// An object for each row.
    Objects,
    /// Names, and columns.
    Columns,
    /// Names, and rows.
    Rows,
    /// Records of one row.
    Records,
}

impl Shape {
    /// That of a dialect; all others are not described.
    pub fn of(dialect: Dialect) -> Option<Self> {
        match dialect {
            Dialect::JsonObjects => Some(Self::Objects),
            Dialect::JsonColumns => Some(Self::Columns),
            Dialect::JsonRows => Some(Self::Rows),
            Dialect::JsonRecords => Some(Self::Records),
            Dialect::Feast | Dialect::FeastGrpc | Dialect::Chalk | Dialect::ChalkFeather | Dialect::ChalkGrpc => None,
        }
    }

    /// Its path.
    pub fn path(self) -> String {
        match self {
            Self::Objects => "/v1/features".to_owned(),
            Self::Columns => "/v1/columns".to_owned(),
            Self::Rows => "/v1/rows".to_owned(),
            Self::Records => format!("/v1/records/{PROJECT}"),
        }
    }

    /// Its description.
    pub fn description(self) -> &'static str {
        match self {
            Self::Objects => include_str!("json/objects.yaml"),
            Self::Columns => include_str!("json/columns.yaml"),
            Self::Rows => include_str!("json/rows.yaml"),
            Self::Records => include_str!("json/records.yaml"),
        }
    }

    /// Where a request says outputs, a bundle, and what is supplied.
    fn places(self) -> [&'static str; 3] {
        match self {
            Self::Objects => ["features", "bundle", "rows"],
            Self::Columns => ["names", "bundle", "keys"],
            Self::Rows => ["features", "bundle", "entries"],
            Self::Records => ["FeatureNames", "Bundle", "Keys"],
        }
    }
}

/// What a query asks of the feature server.
pub struct Query {
    /// A bundle.
    pub bundle: Option<String>,
    /// Or features, as written.
    pub outputs: Vec<String>,
    /// Keys, and what else is given.
    pub supplied: Vec<Column>,
    /// Whether types are asked for, too.
    pub types: bool,
}

/// The request of a case.
pub fn ask(table: &Table, case: &Case, dialect: Dialect, shape: Shape) -> Ask {
    let supplied: Vec<Column> =
        case.supplied().into_iter().map(|(name, cells)| (spelled(table, dialect, &name), cells)).collect();
    let row = |row: usize| {
        let cell = |(name, cells): &Column| (name.clone(), cells.get(row).map_or(Value::Null, Cell::json));
        Value::Object(supplied.iter().map(cell).collect())
    };
    let given = match shape {
        Shape::Objects | Shape::Rows => (0..case.rows).map(row).collect(),
        Shape::Columns => {
            let column = |(name, cells): &Column| (name.clone(), cells.iter().map(Cell::json).collect());
            Value::Object(supplied.iter().map(column).collect())
        }
        Shape::Records => row(0),
    };
    let [outputs, bundle, place] = shape.places();
    let mut body = Map::from_iter([(place.to_owned(), given)]);
    match &case.bundle {
        Some(name) => body.insert(bundle.to_owned(), Value::from(name.as_str())),
        None => {
            let names: Vec<String> = case.outputs.iter().map(|name| spelled(table, dialect, name)).collect();
            body.insert(outputs.to_owned(), Value::from(names))
        }
    };
    let body = if shape == Shape::Rows { json!({"params": body}) } else { Value::Object(body) };
    Ask {
        path: shape.path(),
        headers: vec![("content-type", "application/json")],
        body: body.to_string().into(),
        grpc: false,
    }
}

/// What a request asks of the feature server.
///
/// # Errors
/// It is none.
pub fn asked(body: &Bytes, shape: Shape) -> Result<Query, String> {
    let body: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let types = body.pointer("/params/options/types") == Some(&Value::Bool(true));
    let body = body.get("params").unwrap_or(&body);
    let [outputs, bundle, place] = shape.places();
    let names = body.get(outputs).and_then(Value::as_array).into_iter().flatten();
    let one = |value: &Value| Cell::of_json(value).ok_or("a value is a list or an object");
    let mut supplied: Vec<Column> = Vec::new();
    let given = body.get(place).ok_or("nothing is given")?;
    for row in given.as_array().map_or(std::slice::from_ref(given), Vec::as_slice) {
        for (name, value) in row.as_object().ok_or("a row is no object")? {
            let cells = match value {
                Value::Array(values) => values.iter().map(one).collect::<Result<_, _>>()?,
                value => vec![one(value)?],
            };
            match supplied.iter_mut().find(|(other, _)| other == name) {
                Some((_, all)) => all.extend(cells),
                None => supplied.push((name.clone(), cells)),
            }
        }
    }
    Ok(Query {
        bundle: body.get(bundle).and_then(Value::as_str).map(str::to_owned),
        outputs: names.map(|name| name.as_str().unwrap_or_default().to_owned()).collect(),
        supplied,
        types,
    })
}

/// The answer that has these columns. `told`: a text beside them.
pub fn answer(shape: Shape, columns: &[Column], types: bool, told: Option<&str>) -> String {
    let rows = columns.iter().map(|(_, cells)| cells.len()).max().unwrap_or(0);
    let value = |(_, cells): &Column, row: usize| cells.get(row).map_or(Value::Null, Cell::json).to_string();
    let text = |text: &str| Value::from(text).to_string();
    let list = |items: Vec<String>| format!("[{}]", items.join(","));
    let each = |make: &dyn Fn(usize) -> String| list((0..rows).map(make).collect());
    let every = |make: &dyn Fn(&Column) -> String| list(columns.iter().map(make).collect());
    let mut members = match shape {
        Shape::Objects => {
            // A name may stand twice, which no map of serde_json has.
            let member = |column: &Column, row| format!("{}:{}", text(&column.0), value(column, row));
            let object = |row| columns.iter().map(|column| member(column, row)).collect::<Vec<_>>().join(",");
            vec![("outputs", each(&|row| format!("{{{}}}", object(row))))]
        }
        Shape::Columns => vec![
            ("columns", every(&|column| each(&|row| value(column, row)))),
            ("names", every(&|column| text(&column.0))),
            ("statuses", every(&|_| each(&|_| text("PRESENT")))),
        ],
        Shape::Rows => {
            let kind = if types { r#","type":"text""# } else { "" };
            let row = |row| every(&|column| value(column, row));
            let name = |column: &Column| format!(r#"{{"name":{}{kind}}}"#, text(&column.0));
            vec![("features", each(&row)), ("metadata", every(&name))]
        }
        Shape::Records => {
            let record =
                |column: &Column| format!(r#"{{"FeatureName":{},"Value":{}}}"#, text(&column.0), value(column, 0));
            vec![("Record", every(&record))]
        }
    };
    members.extend(told.map(|told| ("debug", text(told))));
    let members: Vec<String> = members.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

#[derive(Deserialize)]
struct Objects {
    outputs: Vec<Members<Value>>,
}

#[derive(Deserialize)]
struct Columns {
    names: Vec<String>,
    columns: Vec<Vec<Value>>,
    statuses: Vec<Vec<Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Name {
    name: String,
}

#[derive(Deserialize)]
struct Rows {
    metadata: Vec<Name>,
    features: Vec<Vec<Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Record {
    feature_name: String,
    value: Value,
}

#[derive(Deserialize)]
struct Records {
    #[serde(rename = "Record")]
    records: Vec<Record>,
}

/// What came of it.
pub fn read(exchange: &Exchange, shape: Shape) -> Got {
    if exchange.status != 200 {
        return match serde_json::from_slice(&exchange.body) {
            Ok(body) => feast::failure(exchange.status, &body),
            Err(_) if exchange.status >= 500 => Got::Failed,
            Err(_) => Got::Unread("the body is no json".to_owned()),
        };
    }
    match columns(&exchange.body, shape) {
        Ok(columns) => Got::Answer(columns),
        Err(why) => Got::Unread(why),
    }
}

fn parsed<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, String> {
    // The library's words can show a value.
    serde_json::from_slice(body).map_err(|error| format!("it is of another form in column {}", error.column()))
}

fn cell(value: &Value) -> Result<Cell, String> {
    Cell::of_json(value).ok_or_else(|| "a value is a list or an object".to_owned())
}

fn columns(body: &[u8], shape: Shape) -> Result<Vec<Column>, String> {
    match shape {
        Shape::Objects => {
            let rows = parsed::<Objects>(body)?.outputs;
            let Some(Members(first)) = rows.first() else { return Ok(Vec::new()) };
            let mut columns: Vec<Column> = first.iter().map(|(name, _)| (name.clone(), Vec::new())).collect();
            for Members(row) in &rows {
                if row.len() != columns.len() || row.iter().zip(&columns).any(|(a, b)| a.0 != b.0) {
                    return Err("rows have different features".to_owned());
                }
                for ((_, value), (_, cells)) in row.iter().zip(&mut columns) {
                    cells.push(cell(value)?);
                }
            }
            Ok(columns)
        }
        Shape::Columns => {
            let Columns { names, columns, statuses } = parsed(body)?;
            if names.len() != columns.len() || statuses.len() != columns.len() {
                return Err(format!("{} names stand for {} columns", names.len(), columns.len()));
            }
            let column =
                |(name, values): (String, Vec<Value>)| Ok((name, values.iter().map(cell).collect::<Result<_, _>>()?));
            names.into_iter().zip(columns).map(column).collect()
        }
        Shape::Rows => {
            let Rows { metadata, features } = parsed(body)?;
            let mut columns: Vec<Column> = metadata.into_iter().map(|name| (name.name, Vec::new())).collect();
            for row in features {
                if row.len() != columns.len() {
                    return Err(format!("{} names stand for {} values", columns.len(), row.len()));
                }
                for (value, (_, cells)) in row.iter().zip(&mut columns) {
                    cells.push(cell(value)?);
                }
            }
            Ok(columns)
        }
        Shape::Records => {
            let records = parsed::<Records>(body)?.records;
            records.into_iter().map(|record| Ok((record.feature_name, vec![cell(&record.value)?]))).collect()
        }
    }
}
