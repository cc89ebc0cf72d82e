//! What came upstream, read back.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use prost::Message as _;
use serde_json::Value;
use tagwarden::dialect::chalk::container;
use tagwarden::dialect::chalk::proto::{
    BulkInputs, FeatureExpression, GenericSingleQuery, OnlineQueryBulkRequest, OnlineQueryMultiRequest,
    OnlineQueryRequest, Output, OutputExpr, SingleQuery,
};

use super::ask::names;
use super::world::Seen;

/// A query that came upstream.
#[derive(Clone, Debug, Default)]
pub struct Went {
    pub outputs: Vec<String>,
    /// Namespace and name.
    pub expressions: Vec<(String, String)>,
    pub inputs: Vec<String>,
    pub bulk: bool,
    /// All of it, also what is packed in base64.
    pub text: String,
}

/// The queries of a request that came upstream.
pub fn went(seen: &Seen) -> Vec<Went> {
    match seen.path().rsplit('/').next().unwrap() {
        "online" => vec![of_json(&seen.json(), None)],
        "feather" => container::read_queries(&seen.body)
            .unwrap()
            .iter()
            .map(|part| of_json(&serde_json::from_slice(&part.header).unwrap(), Some(&part.table)))
            .collect(),
        "OnlineQuery" => vec![of_single(&OnlineQueryRequest::decode(seen.message()).unwrap())],
        "OnlineQueryBulk" => vec![of_bulk(&OnlineQueryBulkRequest::decode(seen.message()).unwrap())],
        "OnlineQueryMulti" => {
            let message = OnlineQueryMultiRequest::decode(seen.message()).unwrap();
            let of = |query: GenericSingleQuery| match query.query.unwrap() {
                SingleQuery::Single(query) => of_single(&query),
                SingleQuery::Bulk(query) => of_bulk(&query),
            };
            message.queries.into_iter().map(of).collect()
        }
        _ => panic!("{seen:?}"),
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn expression(bytes: &Bytes) -> (String, String) {
    let FeatureExpression { namespace, output_column_name, .. } = FeatureExpression::decode(bytes.clone()).unwrap();
    (namespace, output_column_name)
}

fn of_json(query: &Value, bulk: Option<&Bytes>) -> Went {
    let outputs = query["outputs"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect();
    let expressions = query["expression_outputs"].as_array().unwrap().iter();
    let expressions: Vec<Bytes> =
        expressions.map(|text| STANDARD.decode(text.as_str().unwrap()).unwrap().into()).collect();
    let inputs = match bulk {
        Some(table) => names(table),
        None => query["inputs"].as_object().unwrap().keys().cloned().collect(),
    };
    let mut text = query.to_string();
    expressions.iter().for_each(|bytes| text.push_str(&lossy(bytes)));
    text.push_str(&bulk.map(|table| lossy(table)).unwrap_or_default());
    Went { outputs, expressions: expressions.iter().map(expression).collect(), inputs, bulk: bulk.is_some(), text }
}

fn of_outputs(outputs: &[OutputExpr]) -> (Vec<String>, Vec<(String, String)>) {
    let mut all = (Vec::new(), Vec::new());
    for output in outputs {
        match output.expr.as_ref().unwrap() {
            Output::Feature(name) => all.0.push(name.clone()),
            Output::Expression(bytes) => all.1.push(expression(bytes)),
        }
    }
    all
}

fn of_single(query: &OnlineQueryRequest) -> Went {
    let (outputs, expressions) = of_outputs(&query.outputs);
    let inputs = query.inputs.keys().cloned().collect();
    Went { outputs, expressions, inputs, bulk: false, text: lossy(&query.encode_to_vec()) }
}

fn of_bulk(query: &OnlineQueryBulkRequest) -> Went {
    let (outputs, expressions) = of_outputs(&query.outputs);
    let inputs = match query.inputs.as_ref().unwrap() {
        BulkInputs::Feather(table) => names(table),
        BulkInputs::Sql(_) => Vec::new(),
    };
    Went { outputs, expressions, inputs, bulk: true, text: lossy(&query.encode_to_vec()) }
}
