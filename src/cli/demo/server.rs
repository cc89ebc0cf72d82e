//! The demo's feature server: `POST /get-online-features` and `GET /health`, answering as Feast 0.67 does
//! (wire-feast.md, section 2). No tokens: whoever reaches it gets everything, as with Feast by default.

mod failure;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::data::{JOIN_KEY, ON_DEMAND, OnDemand, Output, SERVICES, STORED_AT, VIEWS, View};
use crate::proxy::body;
use failure::{Failure, NOT_A_DICTIONARY, feast, invalid, plain, python_list};

/// The time of what is not stored: join keys, on-demand values, unknown customers.
const EPOCH: &str = "1970-01-01T00:00:00Z";
/// Bytes of a request's body.
const LARGEST_BODY: usize = 1 << 20;

/// Binds a free port of the loopback address and serves until the task is aborted.
///
/// # Errors
/// No port.
pub async fn start() -> io::Result<(SocketAddr, JoinHandle<()>)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let task = tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            tokio::spawn(async move {
                let mut builder = hyper::server::conn::http1::Builder::new();
                builder.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(30));
                let service = service_fn(|request| async { Ok::<_, Infallible>(serve(request).await) });
                builder.serve_connection(TokioIo::new(stream), service).await.ok();
            });
        }
    });
    Ok((address, task))
}

async fn serve(request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (parts, incoming) = request.into_parts();
    let deadline = Instant::now() + Duration::from_secs(10);
    let (status, text) = match (parts.uri.path(), &parts.method) {
        ("/health", &Method::GET) => (StatusCode::OK, String::new()),
        ("/get-online-features", &Method::POST) => {
            let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
            let json = kind.is_some_and(|kind| kind.starts_with("application/") && kind.contains("json"));
            match body::read(incoming, LARGEST_BODY, deadline).await {
                Ok(body) if json => online_features(&body).unwrap_or_else(|failure| failure.0),
                Ok(body) => {
                    invalid(
                        "model_attributes_type",
                        &["body"],
                        NOT_A_DICTIONARY,
                        &json!(String::from_utf8_lossy(&body)),
                    )
                    .0
                }
                Err(error) => plain(&error.to_string()).0,
            }
        }
        ("/health" | "/get-online-features", _) => {
            (StatusCode::METHOD_NOT_ALLOWED, json!({"detail": "Method Not Allowed"}).to_string())
        }
        _ => (StatusCode::NOT_FOUND, json!({"detail": "Not Found"}).to_string()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// One column of an answer.
#[derive(Debug, Serialize)]
struct Column {
    values: Vec<Value>,
    statuses: Vec<&'static str>,
    event_timestamps: Vec<&'static str>,
}

#[derive(Serialize)]
struct Metadata {
    feature_names: Vec<String>,
}

/// An answer, in Feast's order: the columns before their names.
#[derive(Serialize)]
struct Answer {
    results: Vec<Column>,
    metadata: Metadata,
}

/// What a reference means.
enum Feature {
    Stored(&'static View, &'static str),
    Computed(&'static OnDemand, &'static Output),
}

impl Feature {
    fn name(&self, full: bool) -> String {
        let (view, feature) = match self {
            Self::Stored(view, column) => (view.name, *column),
            Self::Computed(view, (output, _)) => (view.name, *output),
        };
        if full { format!("{view}__{feature}") } else { feature.to_owned() }
    }
}

fn feature(reference: &str) -> Result<Feature, Failure> {
    let Some((view, feature)) = reference.split_once(':') else {
        let form = "Expected format: '<feature_view>:<feature>' or '<feature_view>@<version>:<feature>'";
        return Err(plain(&format!("Invalid feature reference '{reference}'. {form}")));
    };
    let view = view.strip_suffix("@latest").unwrap_or(view);
    let unknown = || plain(&format!("'Feature {feature} not found in projection {view}'"));
    if let Some(stored) = VIEWS.iter().find(|stored| stored.name == view) {
        let column = stored.columns().find(|column| *column == feature).ok_or_else(unknown)?;
        return Ok(Feature::Stored(stored, column));
    }
    if let Some(on_demand) = ON_DEMAND.iter().find(|on_demand| on_demand.name == view) {
        let output = on_demand.outputs.iter().find(|(name, _)| *name == feature).ok_or_else(unknown)?;
        return Ok(Feature::Computed(on_demand, output));
    }
    let message = format!("Feature view {view} does not exist in project shop");
    Err(feast(StatusCode::NOT_FOUND, "FeatureViewNotFoundException", &message))
}

/// The features that a body names; a service, where there is one, wins over a list.
fn wanted(body: &Map<String, Value>) -> Result<Vec<Feature>, Failure> {
    let service = body.get("feature_service").and_then(Value::as_str).filter(|name| !name.is_empty());
    let references: Vec<&str> = match service {
        Some(service) => match SERVICES.iter().find(|(name, _)| *name == service) {
            Some((_, members)) => members.to_vec(),
            None => {
                let message = format!("Feature service {service} does not exist in project shop");
                return Err(feast(StatusCode::NOT_FOUND, "FeatureServiceNotFoundException", &message));
            }
        },
        None => {
            let list = body.get("features").and_then(Value::as_array);
            list.into_iter().flatten().filter_map(Value::as_str).collect()
        }
    };
    if references.is_empty() {
        return Err(plain("No features specified for retrieval"));
    }
    references.into_iter().map(feature).collect()
}

fn online_features(body: &[u8]) -> Result<(StatusCode, String), Failure> {
    let body: Value = serde_json::from_slice(body)
        .map_err(|_| invalid("json_invalid", &["body"], "JSON decode error", &json!({})))?;
    let Value::Object(body) = &body else {
        return Err(invalid("model_attributes_type", &["body"], NOT_A_DICTIONARY, &body));
    };
    let Some(Value::Object(entities)) = body.get("entities") else {
        return Err(invalid("missing", &["body", "entities"], "Field required", &json!(body)));
    };
    let features = wanted(body)?;
    let full = body.get("full_feature_names").and_then(Value::as_bool).unwrap_or(false);
    let rows = rows(entities)?;
    let customers = customers(entities, &features)?;
    for (view, _) in computed(&features) {
        if view.fields.iter().any(|field| !entities.contains_key(*field)) {
            let message = format!(
                "Required request data source features {} not found in the entity rows, but required by feature views",
                python_list(view.fields)
            );
            return Err(feast(StatusCode::NOT_FOUND, "RequestDataNotFoundInEntityRowsException", &message));
        }
    }

    let (mut names, mut results) = (Vec::new(), Vec::new());
    if let Some(customers) = &customers {
        names.push(JOIN_KEY.to_owned());
        results.push(Column {
            values: customers.iter().map(|customer| json!(customer)).collect(),
            statuses: vec!["PRESENT"; rows],
            event_timestamps: vec![EPOCH; rows],
        });
    }
    let customers = customers.unwrap_or_else(|| vec![0; rows]);
    for feature in &features {
        let name = feature.name(full);
        if names.contains(&name) {
            let message = format!(
                "Duplicate features named {name} found.\nTo resolve this collision, either use the full feature name by setting 'full_feature_names=True', or ensure that the features in question have different names."
            );
            return Err(feast(StatusCode::INTERNAL_SERVER_ERROR, "FeatureNameCollisionError", &message));
        }
        names.push(name);
        results.push(column(feature, &customers, entities)?);
    }
    let answer = Answer { results, metadata: Metadata { feature_names: names } };
    let text = serde_json::to_string(&answer).map_err(|error| plain(&error.to_string()))?;
    Ok((StatusCode::OK, text))
}

fn computed(features: &[Feature]) -> impl Iterator<Item = (&'static OnDemand, &'static Output)> {
    features.iter().filter_map(|feature| match feature {
        Feature::Stored(..) => None,
        Feature::Computed(view, output) => Some((*view, *output)),
    })
}

/// How many rows are asked for.
fn rows(entities: &Map<String, Value>) -> Result<usize, Failure> {
    let mut lengths = entities.values().map(|values| values.as_array().map(Vec::len));
    let Some(first) = lengths.next() else { return Err(plain("'pop from an empty set'")) };
    let Some(rows) = first else {
        return Err(invalid("list_type", &["body", "entities"], "Input should be a valid list", &json!(entities)));
    };
    if lengths.any(|length| length != Some(rows)) {
        return Err(plain("All entity rows must have the same columns."));
    }
    Ok(rows)
}

/// The customers that are asked about; `None` where nothing that is stored is read.
fn customers(entities: &Map<String, Value>, features: &[Feature]) -> Result<Option<Vec<i64>>, Failure> {
    let stored = features.iter().any(|feature| match feature {
        Feature::Stored(..) => true,
        Feature::Computed(view, _) => !view.sources.is_empty(),
    });
    if !stored {
        return Ok(None);
    }
    let Some(values) = entities.get(JOIN_KEY).and_then(Value::as_array) else {
        let (keys, given) = (python_list(&[JOIN_KEY]), python_list(&entities.keys().collect::<Vec<_>>()));
        return Err(plain(&format!(
            "\"Missing join key values for keys: {keys}. No values provided for keys: {keys}. Provided join_key_values: {given}\""
        )));
    };
    let customer = |value: &Value| value.as_i64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
    let customers: Option<Vec<i64>> = values.iter().map(customer).collect();
    customers.map(Some).ok_or_else(|| plain("int() argument must be a string or a number"))
}

fn column(feature: &Feature, customers: &[i64], entities: &Map<String, Value>) -> Result<Column, Failure> {
    let mut column = Column { values: Vec::new(), statuses: Vec::new(), event_timestamps: Vec::new() };
    for (row, customer) in customers.iter().enumerate() {
        let (value, status, time) = match feature {
            Feature::Stored(view, name) => match view.value(*customer, name) {
                Some(value) => (value, "PRESENT", STORED_AT),
                None => (Value::Null, "NOT_FOUND", EPOCH),
            },
            Feature::Computed(view, (_, compute)) => {
                let inputs = |name: &str| {
                    if view.fields.contains(&name) {
                        return entities.get(name).and_then(|values| values.get(row)).cloned().unwrap_or_default();
                    }
                    let mut sources = view.sources.iter().filter(|(_, column)| *column == name || *column == "*");
                    let source = sources.next().and_then(|(source, _)| VIEWS.iter().find(|view| view.name == *source));
                    source.and_then(|source| source.value(*customer, name)).unwrap_or_default()
                };
                (compute(&inputs).map_err(|text| plain(&text))?, "PRESENT", EPOCH)
            }
        };
        column.values.push(value);
        column.statuses.push(status);
        column.event_timestamps.push(time);
    }
    Ok(column)
}
