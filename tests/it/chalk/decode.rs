//! Answers, read alike from every door.

use bytes::Bytes;
use prost::Message as _;
use serde_json::Value;
use tagwarden::dialect::chalk::container::Container;
use tagwarden::dialect::chalk::error::code_name;
use tagwarden::dialect::chalk::json::to_proto;
use tagwarden::dialect::chalk::proto::{
    ChalkError, ErrorCode, OnlineQueryBulkResponse, OnlineQueryMultiResponse, OnlineQueryResponse, SingleResponse,
    ValueKind,
};
use tagwarden::dialect::chalk::shape::answer as shape;

use super::ask::{Door, names};
use super::world::CANARY;
use crate::support::client::Answer;
use crate::support::grpc::framed;

/// The answer to one query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fine {
    /// Sorted; rows as `user.transactions<transaction.id transaction.name>`.
    pub fields: Vec<String>,
    /// Whether the primary key came.
    pub key: bool,
    /// Code and feature of each.
    pub errors: Vec<(String, Option<String>)>,
}

/// What a caller got.
#[derive(Clone, Debug)]
pub struct Got {
    pub answer: Answer,
    /// The answer to each query; or the code and the text of a failure.
    pub end: Result<Vec<Fine>, (String, String)>,
}

/// The message of a body of gRPC.
pub fn message(answer: &Answer) -> Bytes {
    assert_eq!(answer.body[..5], framed(&answer.body[5..])[..5], "{answer:?}");
    Bytes::copy_from_slice(&answer.body[5..])
}

/// Checks that a failure over HTTP has the form that chalkpy reads (wire-chalk.md, section 3.3), and ours in it; its text.
#[track_caller]
pub fn fails(answer: &Answer, status: u16, code: &str, chalk: &str) -> String {
    assert_eq!((answer.status, answer.header("content-type")), (status, Some("application/json")), "{answer:?}");
    let (body, id) = (answer.json(), answer.decision_id());
    let text = body["detail"].as_str().unwrap();
    assert_eq!(body["trace"], id);
    assert_eq!((&body["error"]["code"], &body["error"]["decision_id"]), (&code.into(), &id.into()), "{body}");
    assert_eq!(body["error"]["message"], text);
    let errors = body["errors"].as_array().unwrap();
    let codes: Vec<_> = errors.iter().map(|error| &error["code"]).collect();
    assert_eq!(codes, [chalk], "{body}");
    assert_eq!(errors[0]["message"], text);
    assert_eq!(errors[0]["exception"], Value::Null);
    text.to_owned()
}

impl Got {
    #[track_caller]
    pub fn of(door: Door, answer: Answer) -> Self {
        answer.decision_id();
        let end = match door {
            Door::Json | Door::Feather if answer.status != 200 => {
                let body = answer.json();
                let own = &body["error"];
                let code = own["code"].as_str().unwrap().to_owned();
                Err((code, own["message"].as_str().unwrap().to_owned()))
            }
            Door::Json => Ok(vec![of_json(&answer.json())]),
            Door::Feather => {
                assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
                Ok(of_feather(&Bytes::copy_from_slice(&answer.body)))
            }
            Door::Connect | Door::ConnectJson if answer.status != 200 => {
                let body = answer.json();
                Err((of_code(body["code"].as_str().unwrap()), body["message"].as_str().unwrap().to_owned()))
            }
            Door::ConnectJson => {
                assert_eq!(answer.header("content-type"), Some("application/json"));
                let message = to_proto(&shape::ONLINE_QUERY, &answer.body).unwrap();
                Ok(vec![of_single(&OnlineQueryResponse::decode(message).unwrap())])
            }
            Door::Connect => Ok(vec![of_single(&OnlineQueryResponse::decode(&answer.body[..]).unwrap())]),
            Door::Single | Door::Bulk | Door::Multi | Door::MultiBulk => of_grpc(door, &answer),
        };
        Self { answer, end }
    }

    /// The answer to the only query.
    #[track_caller]
    pub fn fine(&self) -> &Fine {
        match &self.end {
            Ok(all) if all.len() == 1 => &all[0],
            end => panic!("{end:?}"),
        }
    }

    /// Everything that came, as text.
    pub fn text(&self) -> String {
        text(&self.answer)
    }

    /// Checks that nothing came that is not for the restricted.
    #[track_caller]
    pub fn shows_nothing(&self) {
        shows_nothing(&self.answer);
    }
}

/// Everything that came, as text.
pub fn text(answer: &Answer) -> String {
    let Answer { headers, trailers, body, .. } = answer;
    format!("{headers:?} {trailers:?} {}", String::from_utf8_lossy(body))
}

/// Checks that nothing came that is not for the restricted.
#[track_caller]
pub fn shows_nothing(answer: &Answer) {
    assert!(!text(answer).contains(CANARY), "{}", text(answer));
}

fn of_code(name: &str) -> String {
    let code = match name {
        "3" | "invalid_argument" => "INVALID_QUERY",
        "16" | "unauthenticated" => "UNAUTHORIZED",
        "8" | "resource_exhausted" => "BODY_TOO_LARGE",
        "14" | "unavailable" => "UNAVAILABLE",
        "4" | "deadline_exceeded" => "UPSTREAM_TIMEOUT",
        "12" | "unimplemented" => "UNIMPLEMENTED",
        other => other,
    };
    code.to_owned()
}

fn of_grpc(door: Door, answer: &Answer) -> Result<Vec<Fine>, (String, String)> {
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/grpc")), "{answer:?}");
    if let Some(status) = answer.header("grpc-status") {
        assert!(answer.body.is_empty() && answer.trailers.is_empty(), "{answer:?}");
        let text = answer.header("grpc-message").unwrap().to_owned();
        // The number of a query among several.
        let text = text.strip_prefix("in `queries[0]`: ").map(str::to_owned).unwrap_or(text);
        return Err((of_code(status), text));
    }
    assert_eq!(answer.trailer("grpc-status"), Some("0"), "{answer:?}");
    let message = message(answer);
    Ok(match door {
        Door::Bulk => vec![of_bulk(&OnlineQueryBulkResponse::decode(message).unwrap())],
        Door::Multi | Door::MultiBulk => {
            let answer = OnlineQueryMultiResponse::decode(message).unwrap();
            let of = |response: &SingleResponse| match response {
                SingleResponse::Single(response) => of_single(response),
                SingleResponse::Bulk(response) => of_bulk(response),
            };
            answer.responses.iter().map(|response| of(response.query.as_ref().unwrap())).collect()
        }
        _ => vec![of_single(&OnlineQueryResponse::decode(message).unwrap())],
    })
}

fn shown(name: &str, mut columns: Vec<String>) -> String {
    columns.sort();
    format!("{name}<{}>", columns.join(" "))
}

fn of_errors(errors: &[Value]) -> Vec<(String, Option<String>)> {
    let of = |error: &Value| (error["code"].as_str().unwrap().to_owned(), error["feature"].as_str().map(str::to_owned));
    errors.iter().map(of).collect()
}

fn of_json(body: &Value) -> Fine {
    let mut fine = Fine { errors: of_errors(body["errors"].as_array().unwrap()), ..Fine::default() };
    for element in body["data"].as_array().unwrap() {
        let name = element["field"].as_str().unwrap();
        fine.key |= !element["pkey"].is_null();
        fine.fields.push(match element["value"]["columns"].as_array() {
            Some(columns) => shown(name, columns.iter().map(|name| name.as_str().unwrap().to_owned()).collect()),
            None => name.to_owned(),
        });
    }
    fine.fields.sort();
    fine
}

/// The columns of a table, and whether the primary key is among them.
fn columns(table: &Bytes) -> (Vec<String>, bool) {
    let mut names = names(table);
    let before = names.len();
    names.retain(|name| name != "__id__");
    let key = names.len() < before;
    (names, key)
}

fn of_feather(body: &Bytes) -> Vec<Fine> {
    let answer = Container::read(body).unwrap();
    let [(name, results)] = answer.children.as_slice() else { panic!("{answer:?}") };
    assert_eq!(name, "query_results_bytes");
    let result = |(at, (name, bytes)): (usize, &(String, Bytes))| {
        assert_eq!(*name, format!("query_{at}"));
        let result = Container::read(bytes).unwrap();
        let attrs: Value = serde_json::from_slice(&result.attrs).unwrap();
        let errors = attrs["errors"].as_array().cloned().unwrap_or_default();
        let errors: Vec<Value> =
            errors.iter().map(|error| serde_json::from_str(error.as_str().unwrap()).unwrap()).collect();
        let mut fine = Fine { errors: of_errors(&errors), ..Fine::default() };
        let scalars = result.blob("scalar_data").unwrap();
        assert_eq!(attrs["has_data"], !scalars.is_empty());
        if !scalars.is_empty() {
            (fine.fields, fine.key) = columns(scalars);
        }
        for (name, table) in &result.child("groups_data").unwrap().blobs {
            fine.fields.push(shown(name, columns(table).0));
        }
        fine.fields.sort();
        fine
    };
    results.blobs.iter().enumerate().map(result).collect()
}

fn of_chalk(errors: &[ChalkError]) -> Vec<(String, Option<String>)> {
    let code = |error: &ChalkError| code_name(ErrorCode::try_from(error.code).unwrap()).to_owned();
    errors.iter().map(|error| (code(error), error.feature.clone())).collect()
}

fn of_single(answer: &OnlineQueryResponse) -> Fine {
    let mut fine = Fine { errors: of_chalk(&answer.errors), ..Fine::default() };
    for result in answer.data.iter().flat_map(|data| &data.results) {
        fine.key |= result.pkey.is_some();
        fine.fields.push(match result.value.as_ref().unwrap().kind.as_ref().unwrap() {
            ValueKind::Struct(rows) => {
                let Some(ValueKind::List(columns)) = &rows.fields["columns"].kind else { panic!("{rows:?}") };
                let text = |value: &tagwarden::dialect::chalk::proto::Value| match &value.kind {
                    Some(ValueKind::String(text)) => text.clone(),
                    other => panic!("{other:?}"),
                };
                shown(&result.field, columns.values.iter().map(text).collect())
            }
            _ => result.field.clone(),
        });
    }
    fine.fields.sort();
    fine
}

fn of_bulk(answer: &OnlineQueryBulkResponse) -> Fine {
    let mut fine = Fine { errors: of_chalk(&answer.errors), ..Fine::default() };
    if !answer.scalars_data.is_empty() {
        (fine.fields, fine.key) = columns(&answer.scalars_data);
    }
    for (name, table) in &answer.groups_data {
        fine.fields.push(shown(name, columns(&table.clone().into()).0));
    }
    fine.fields.sort();
    fine
}
