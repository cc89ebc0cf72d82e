//! What it answers: every feature that there is, asked for or not, and what else could carry a value.

use bytes::Bytes;
use prost::Message as _;
use serde_json::{Value, json};
use tagwarden::dialect::chalk::container::Container;
use tagwarden::dialect::chalk::proto::{
    ChalkError, ChalkException, ErrorCode, FeatureMeta, FeatureResult, GenericSingleResponse, GetTokenResponse,
    ListValue, OnlineQueryBulkResponse, OnlineQueryMetadata, OnlineQueryMultiResponse, OnlineQueryResponse,
    OnlineQueryResult, PingRequest, PingResponse, QueryExplainInfo, SingleResponse, Struct, UploadFeaturesBulkResponse,
    UploadFeaturesResponse, Value as Proto, ValueKind,
};

use super::{CANARY, Say, Seen};
use crate::chalk::ask::table;
use crate::chalk::went::{Went, went};

/// Everything that is not a has-many, and whether restricted roles may not see it. A path shows what it leads to.
const SCALARS: &[(&str, bool)] = &[
    ("user.id", false),
    ("user.name", false),
    ("user.limit", false),
    ("user.ssn", true),
    ("user.secret", true),
    ("user.copy", true),
    ("user.avg", false),
    ("user.score", false),
    ("user.score@2", true),
    ("user.count__3600__", false),
    ("user.count__86400__", true),
    ("user.identity_id", false),
    ("user.identity.id", false),
    ("user.identity.is_voip_phone", false),
    ("user.identity.imei", true),
    ("identity.imei", true),
    ("transaction.amount", true),
    // Nobody asked for it, and no catalogue has it.
    ("user.smuggled", true),
];
/// The columns of `user.transactions`.
const COLUMNS: &[(&str, bool)] = &[
    ("transaction.id", false),
    ("transaction.user_id", false),
    ("transaction.name", false),
    ("transaction.at", false),
    ("transaction.amount", true),
];
const ROWS: &str = "user.transactions";

fn value(name: &str, restricted: bool) -> String {
    if restricted { format!("{CANARY} {name}") } else { format!("fine {name}") }
}

/// The answer to a request, with all that there is.
pub fn world(seen: &Seen) -> Say {
    let path = seen.path().to_owned();
    match path.rsplit('/').next().unwrap() {
        "online" => Say::json(&online(&went(seen)[0], seen)),
        "feather" => {
            let asked = went(seen);
            let results = asked.iter().enumerate().map(|(at, went)| (format!("query_{at}"), result(went, seen)));
            let results = Container { blobs: results.collect(), ..Container::default() };
            let children = vec![("query_results_bytes".to_owned(), results)];
            Say::http(200, "application/octet-stream", Container { children, ..Container::default() }.write())
        }
        "OnlineQuery" => Say::grpc(&single(&went(seen)[0], seen).encode_to_vec()),
        "OnlineQueryBulk" => Say::grpc(&bulk(&went(seen)[0], seen).encode_to_vec()),
        "OnlineQueryMulti" => {
            let response = |went: &Went| match went.bulk {
                true => SingleResponse::Bulk(bulk(went, seen)),
                false => SingleResponse::Single(single(went, seen)),
            };
            let responses =
                went(seen).iter().map(|went| GenericSingleResponse { query: Some(response(went)) }).collect();
            Say::grpc(&OnlineQueryMultiResponse { responses, errors: vec![error()] }.encode_to_vec())
        }
        "Ping" => {
            let PingRequest { num } = PingRequest::decode(seen.message()).unwrap();
            Say::grpc(&PingResponse { num }.encode_to_vec())
        }
        "token" => Say::json(&token()),
        "GetToken" => {
            let one = |value: &str| [("prod".to_owned(), value.to_owned())].into();
            let answer = GetTokenResponse {
                access_token: "token-of-the-deployment".to_owned(),
                token_type: "Bearer".to_owned(),
                expires_in: 3600,
                api_server: AWAY.to_owned(),
                primary_environment: Some("prod".to_owned()),
                engines: one(AWAY),
                grpc_engines: one(AWAY),
                environment_id_to_name: [("prod", "Production"), ("dev", "Development")]
                    .map(|(id, name)| (id.to_owned(), name.to_owned()))
                    .into(),
                environment_id_to_authority: one(AWAY),
                service_prefixes: [(1, AWAY.to_owned())].into(),
                ..GetTokenResponse::default()
            };
            Say::grpc(&answer.encode_to_vec())
        }
        "upload_features" => Say::json(&json!({"errors": [error_json()], "trace_id": "t-1", "debug": CANARY})),
        "multi" => {
            let errors = json!([error_json()]);
            Say::json(&json!({"operation_id": "op-1", "trace_id": "t-1", "errors": errors, "debug": CANARY}))
        }
        "UploadFeatures" => {
            let answer = UploadFeaturesResponse { errors: vec![error()], operation_id: "op-1".to_owned() };
            Say::grpc(&answer.encode_to_vec())
        }
        "UploadFeaturesBulk" => Say::grpc(&UploadFeaturesBulkResponse { errors: vec![error()] }.encode_to_vec()),
        _ => Say::json(&json!({"ok": true})),
    }
}

/// Where a client goes that is led round us.
pub const AWAY: &str = "http://engine-behind.example:9";

/// What the deployment says of a token.
fn token() -> Value {
    json!({
        "access_token": "token-of-the-deployment", "token_type": "Bearer", "expires_in": 3600,
        "expires_at": "2030-01-01T00:00:00Z", "api_server": AWAY, "primary_environment": "prod",
        "engines": {"prod": AWAY, "dev": AWAY}, "grpc_engines": {"prod": AWAY},
        "environment_id_to_name": {"prod": "Production", "dev": "Development"},
        "environment_id_to_authority": {"prod": AWAY}, "service_prefixes": {"1": AWAY}, "debug": CANARY,
    })
}

fn error() -> ChalkError {
    let text = |what: &str| format!("{CANARY} {what}");
    ChalkError {
        code: ErrorCode::ResolverFailed.into(),
        message: text("message"),
        exception: Some(ChalkException {
            kind: text("kind"),
            message: text("of the exception"),
            stacktrace: text("stack"),
            internal_stacktrace: text("stack within"),
        }),
        feature: Some("user.ssn".to_owned()),
        resolver: Some(text("resolver")),
        ..ChalkError::default()
    }
}

fn error_json() -> Value {
    let text = |what: &str| format!("{CANARY} {what}");
    json!({
        "code": "RESOLVER_FAILED", "category": "FIELD", "message": text("message"), "feature": "user.ssn",
        "resolver": text("resolver"), "debug": text("debug"),
        "exception": {"kind": text("kind"), "message": text("of the exception"), "stacktrace": text("stack"),
                      "internal_stacktrace": text("stack within")},
    })
}

/// Every scalar and its value. A name without a version is the default one, unless the caller says otherwise.
fn scalars(went: &Went, seen: &Seen) -> Vec<(String, String)> {
    let versioned = seen.header("x-chalk-features-versioned") == Some("true");
    let mut all: Vec<(String, String)> = SCALARS
        .iter()
        .map(|(name, restricted)| {
            ((*name).to_owned(), value(name, *restricted || (*name == "user.score" && !versioned)))
        })
        .collect();
    for (namespace, name) in &went.expressions {
        let way = if namespace.is_empty() { name.clone() } else { format!("{namespace}.{name}") };
        all.push((way.clone(), value(&way, false)));
        if namespace.is_empty() {
            all.push((format!("user.{name}"), value(name, false)));
        }
    }
    all
}

fn meta() -> Value {
    json!({
        "execution_duration_s": 0.1, "deployment_id": "d-1", "environment_id": "prod", "environment_name": "prod",
        "query_id": "q-1", "query_timestamp": "2026-01-01T00:00:00Z", "query_hash": "h",
        "explain_output": format!("{CANARY} plan"), "debug": format!("{CANARY} debug"),
    })
}

fn online(went: &Went, seen: &Seen) -> Value {
    let element = |name: &str, value: Value| {
        json!({"field": name, "value": value, "pkey": "1", "error": null, "valid": true,
               "ts": "2026-01-01T00:00:00Z", "debug": CANARY,
               "meta": {"chosen_resolver_fqn": "get", "cache_hit": false, "primitive_type": null, "version": 1,
                        "debug": CANARY}})
    };
    let mut data: Vec<Value> = scalars(went, seen).iter().map(|(name, value)| element(name, json!(value))).collect();
    let names: Vec<_> = COLUMNS.iter().map(|(name, _)| json!(name)).collect();
    let values: Vec<_> = COLUMNS.iter().map(|(name, restricted)| json!([value(name, *restricted)])).collect();
    data.push(element(ROWS, json!({"columns": names, "values": values})));
    json!({"data": data, "errors": [error_json()], "meta": meta(), "debug": CANARY})
}

fn columns(all: &[(String, String)]) -> Bytes {
    let key = ("__id__".to_owned(), "1".to_owned());
    let all: Vec<_> = [&key].into_iter().chain(all).collect();
    table(&all.iter().map(|(name, value)| (name.as_str(), Some(value.as_str()))).collect::<Vec<_>>())
}

fn rows() -> Bytes {
    let all: Vec<_> = COLUMNS.iter().map(|(name, restricted)| ((*name).to_owned(), value(name, *restricted))).collect();
    columns(&all)
}

fn result(went: &Went, seen: &Seen) -> Bytes {
    let attrs = json!({
        "has_data": true, "errors": [error_json().to_string()], "meta": meta().to_string(),
    });
    let other = ("user.smuggled_rows".to_owned(), rows());
    let groups = Container { blobs: vec![(ROWS.to_owned(), rows()), other], ..Container::default() };
    let result = Container {
        attrs: attrs.to_string().into(),
        blobs: vec![("scalar_data".to_owned(), columns(&scalars(went, seen)))],
        children: vec![("groups_data".to_owned(), groups)],
        ..Container::default()
    };
    result.write().into()
}

fn text(text: &str) -> Proto {
    Proto { kind: Some(ValueKind::String(text.to_owned())) }
}

fn list(values: Vec<Proto>) -> Proto {
    Proto { kind: Some(ValueKind::List(ListValue { values })) }
}

fn metadata() -> OnlineQueryMetadata {
    OnlineQueryMetadata {
        query_id: "q-1".to_owned(),
        explain_output: Some(QueryExplainInfo { plan_string: Some(format!("{CANARY} plan")) }),
        metadata: [(CANARY.to_owned(), CANARY.to_owned())].into(),
        additional_metadata: [(CANARY.to_owned(), text(CANARY))].into(),
        ..OnlineQueryMetadata::default()
    }
}

fn single(went: &Went, seen: &Seen) -> OnlineQueryResponse {
    let element = |name: &str, value: Proto| FeatureResult {
        field: name.to_owned(),
        value: Some(value),
        pkey: Some(text("1")),
        meta: Some(FeatureMeta { chosen_resolver_fqn: format!("{CANARY} resolver"), ..FeatureMeta::default() }),
        ..FeatureResult::default()
    };
    let mut results: Vec<_> = scalars(went, seen).iter().map(|(name, value)| element(name, text(value))).collect();
    let names = COLUMNS.iter().map(|(name, _)| text(name)).collect();
    let values = COLUMNS.iter().map(|(name, restricted)| list(vec![text(&value(name, *restricted))])).collect();
    let fields = [("columns".to_owned(), list(names)), ("values".to_owned(), list(values))].into();
    results.push(element(ROWS, Proto { kind: Some(ValueKind::Struct(Struct { fields })) }));
    OnlineQueryResponse {
        data: Some(OnlineQueryResult { results }),
        errors: vec![error()],
        response_meta: Some(metadata()),
    }
}

fn bulk(went: &Went, seen: &Seen) -> OnlineQueryBulkResponse {
    let groups = [(ROWS.to_owned(), rows().to_vec()), ("user.smuggled_rows".to_owned(), rows().to_vec())];
    OnlineQueryBulkResponse {
        scalars_data: columns(&scalars(went, seen)),
        groups_data: groups.into(),
        errors: vec![error()],
        response_meta: Some(metadata()),
    }
}
