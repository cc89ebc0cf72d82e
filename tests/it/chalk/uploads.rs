//! Uploads: four doors that are there once they are listed, for the roles that may write (policy.md, `writes`).

use bytes::Bytes;
use prost::Message as _;
use serde_json::{Value, json};
use tagwarden::dialect::chalk::container::Container;
use tagwarden::dialect::chalk::error::code_name;
use tagwarden::dialect::chalk::proto::{
    ChalkError, ErrorCode, UploadFeaturesBulkRequest, UploadFeaturesBulkResponse, UploadFeaturesRequest,
    UploadFeaturesResponse,
};

use super::ask::{Door, ask, names, table};
use super::decode::{fails, message, shows_nothing, text};
use super::world::{Chalk, POLICY, Say, Seen};
use crate::support::client::{Answer, H2, request};
use crate::support::grpc::framed;
use crate::support::sidecar::{Setup, Sidecar};
use crate::support::tokens::KEY;

const PATHS: [&str; 4] = [
    "/v1/upload_features",
    "/v1/upload_features/multi",
    "/chalk.engine.v1.QueryService/UploadFeatures",
    "/chalk.engine.v1.QueryService/UploadFeaturesBulk",
];

fn setup(chalk: &Chalk) -> Setup {
    let route = |path: &str| format!("{{path: {path}, methods: [POST], roles: [writer, other-writer, reader]}}");
    let routes = PATHS.map(route).join(", ");
    chalk.setup().with("chalk: {environment: prod}").with(&format!("routes: [{routes}]"))
}

fn is_rpc(path: &str) -> bool {
    path.starts_with("/chalk.")
}

/// The body of an upload of these.
fn body(path: &str, features: &[&str]) -> Vec<u8> {
    let columns: Vec<_> = features.iter().map(|name| (*name, Some("given"))).collect();
    match path {
        "/v1/upload_features" => {
            let input: serde_json::Map<_, _> =
                features.iter().map(|name| ((*name).to_owned(), json!(["given"]))).collect();
            let all = json!({"input": input, "preview_deployment_id": null, "correlation_id": null, "query_name": null,
                             "meta": null});
            all.to_string().into_bytes()
        }
        "/v1/upload_features/multi" => {
            let attrs = json!({"features": features, "table_compression": "uncompressed"});
            let blobs = vec![("table_bytes".to_owned(), table(&columns))];
            Container { attrs: attrs.to_string().into(), blobs, ..Container::default() }.write()
        }
        "/chalk.engine.v1.QueryService/UploadFeatures" => {
            let message = UploadFeaturesRequest { inputs_table: table(&columns), options: None };
            framed(&message.encode_to_vec()).to_vec()
        }
        _ => {
            let message = UploadFeaturesBulkRequest { inputs_feather: table(&columns), body_type: 0 };
            framed(&message.encode_to_vec()).to_vec()
        }
    }
}

async fn send(sidecar: &Sidecar, path: &str, groups: &[&str], more: &[(&str, &str)], body: &[u8]) -> Answer {
    let bearer = format!("Bearer {}", KEY.token(groups));
    let kind = if is_rpc(path) { "application/grpc" } else { "application/json" };
    let mut headers = vec![("authorization", bearer.as_str()), ("content-type", kind)];
    headers.extend_from_slice(more);
    if is_rpc(path) {
        headers.push(("te", "trailers"));
        return H2::connect(sidecar.data).await.send("POST", path, &headers, body).await;
    }
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    sidecar.ask(request("POST", path, &lines, body)).await
}

/// Code and feature of each error of an answer that is one.
#[track_caller]
fn errors(path: &str, answer: &Answer) -> Vec<(String, Option<String>)> {
    shows_nothing(answer);
    answer.decision_id();
    if !is_rpc(path) {
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{answer:?}");
        let body = answer.json();
        let of =
            |error: &Value| (error["code"].as_str().unwrap().to_owned(), error["feature"].as_str().map(str::to_owned));
        return body["errors"].as_array().unwrap().iter().map(of).collect();
    }
    assert_eq!((answer.status, answer.trailer("grpc-status")), (200, Some("0")), "{answer:?}");
    let errors: Vec<ChalkError> = match path.ends_with("Bulk") {
        true => UploadFeaturesBulkResponse::decode(message(answer)).unwrap().errors,
        false => UploadFeaturesResponse::decode(message(answer)).unwrap().errors,
    };
    let code = |error: &ChalkError| code_name(ErrorCode::try_from(error.code).unwrap()).to_owned();
    errors.iter().map(|error| (code(error), error.feature.clone())).collect()
}

/// The features that came upstream.
fn features(seen: &Seen) -> Vec<String> {
    match seen.path() {
        "/v1/upload_features" => seen.json()["input"].as_object().unwrap().keys().cloned().collect(),
        "/v1/upload_features/multi" => {
            let upload = Container::read(&seen.body).unwrap();
            let attrs: Value = serde_json::from_slice(&upload.attrs).unwrap();
            let names = names(upload.blob("table_bytes").unwrap());
            assert_eq!(attrs["features"], json!(names));
            names
        }
        "/chalk.engine.v1.QueryService/UploadFeatures" => {
            names(&UploadFeaturesRequest::decode(seen.message()).unwrap().inputs_table)
        }
        _ => names(&UploadFeaturesBulkRequest::decode(seen.message()).unwrap().inputs_feather),
    }
}

fn unauthorized(names: &[&str]) -> Vec<(String, Option<String>)> {
    names.iter().map(|name| ("UNAUTHORIZED".to_owned(), Some((*name).to_owned()))).collect()
}

fn stripped() -> Vec<(String, Option<String>)> {
    vec![("RESOLVER_FAILED".to_owned(), None)]
}

#[tokio::test]
async fn they_are_not_there_until_they_are_listed() {
    let chalk = Chalk::start().await;
    let sidecar = chalk.sidecar().await;
    for path in PATHS {
        let answer = send(&sidecar, path, &["writers"], &[], &body(path, &["user.name"])).await;
        if is_rpc(path) {
            assert_eq!(answer.header("grpc-status"), Some("12"), "{path}");
        } else {
            fails(&answer, 404, "NOT_FOUND", "PARSE_FAILED");
        }
    }
    chalk.nothing_came();
}

#[tokio::test]
async fn what_may_be_written_is_written_and_its_answer_stripped() {
    let chalk = Chalk::start().await;
    let sidecar = setup(&chalk).start().await;
    for path in PATHS {
        // By its name, and by a pattern.
        for all in [&["user.name"][..], &["identity.imei", "user.name"]] {
            let answer = send(&sidecar, path, &["writers"], &[], &body(path, all)).await;
            assert_eq!(errors(path, &answer), stripped(), "{path}");
            let came = chalk.only();
            assert_eq!((came.path(), came.header("x-chalk-env-id")), (path, Some("prod")));
            assert_eq!(features(&came), all, "{path}");
            assert!(String::from_utf8_lossy(&came.body).contains("given"));
        }
    }
    // chalkpy cannot read the answer to several rows without its operation.
    let answer = send(&sidecar, PATHS[1], &["writers"], &[], &body(PATHS[1], &["user.name"])).await;
    let told = answer.json();
    assert_eq!((&told["operation_id"], &told["trace_id"]), (&json!("op-1"), &json!("t-1")));
    let answer = send(&sidecar, PATHS[2], &["writers"], &[], &body(PATHS[2], &["user.name"])).await;
    assert_eq!(UploadFeaturesResponse::decode(message(&answer)).unwrap().operation_id, "op-1");
}

#[tokio::test]
async fn what_may_not_be_written_is_an_answer_with_errors() {
    let chalk = Chalk::start().await;
    let sidecar = setup(&chalk).start().await;
    for path in PATHS {
        for (group, all, refused) in [
            ("writers", &["user.limit"][..], &["user.limit"][..]),
            // One is enough.
            ("writers", &["user.limit", "user.name"], &["user.limit"]),
            ("writers", &["user.nothing"], &["user.nothing"]),
            ("writers", &["identity.nothing"], &["identity.nothing"]),
            ("writers", &["USER.NAME"], &["USER.NAME"]),
            ("writers", &["user.ssn", "user.zip"], &["user.ssn", "user.zip"]),
            // A role for which the route is, and that may write nothing.
            ("readers", &["user.name"], &["user.name"]),
        ] {
            let answer = send(&sidecar, path, &[group], &[], &body(path, all)).await;
            assert_eq!(errors(path, &answer), unauthorized(refused), "{path} {group} {all:?}");
            let id = answer.decision_id().to_owned();
            if !is_rpc(path) {
                let told = answer.json();
                assert_eq!((&told["operation_id"], &told["trace_id"]), (&json!(""), &json!(id)));
            }
        }
        // Neither is the role, nor is there one.
        for group in ["all", "strangers"] {
            let answer = send(&sidecar, path, &[group], &[], &body(path, &["user.name"])).await;
            assert_eq!(errors(path, &answer), [("UNAUTHORIZED".to_owned(), None)], "{path} {group}");
            assert!(text(&answer).contains("This caller may not use this route"));
        }
    }
    chalk.nothing_came();
}

#[tokio::test]
async fn several_roles_write_what_all_of_them_may_or_any() {
    let chalk = Chalk::start().await;
    let sidecar = setup(&chalk).start().await;
    let both = ["writers", "other-writers"];
    for path in PATHS {
        let answer = send(&sidecar, path, &both, &[], &body(path, &["user.name"])).await;
        assert_eq!(errors(path, &answer), stripped(), "{path}");
        chalk.only();
        let answer = send(&sidecar, path, &both, &[], &body(path, &["identity.imei", "user.limit"])).await;
        assert_eq!(errors(path, &answer), unauthorized(&["identity.imei", "user.limit"]), "{path}");
        chalk.nothing_came();
    }
    let sidecar = setup(&chalk).policy(&format!("{POLICY}combine: most_permissive\n")).start().await;
    for path in PATHS {
        let answer = send(&sidecar, path, &both, &[], &body(path, &["user.limit", "user.name"])).await;
        assert_eq!(errors(path, &answer), stripped(), "{path}");
        chalk.only();
        let answer = send(&sidecar, path, &both, &[], &body(path, &["user.ssn"])).await;
        assert_eq!(errors(path, &answer), unauthorized(&["user.ssn"]), "{path}");
        chalk.nothing_came();
    }
}

#[tokio::test]
async fn switches_and_damaged_bodies_are_refused() {
    let chalk = Chalk::start().await;
    let sidecar = setup(&chalk).start().await;
    for path in PATHS {
        let invalid = async |more: &[(&str, &str)], body: &[u8]| {
            let answer = send(&sidecar, path, &["writers"], more, body).await;
            shows_nothing(&answer);
            if is_rpc(path) {
                assert_eq!(answer.header("grpc-status"), Some("3"), "{path}: {answer:?}");
                return answer.header("grpc-message").unwrap().to_owned();
            }
            fails(&answer, 400, "INVALID_QUERY", "INVALID_QUERY")
        };
        let fine = body(path, &["user.name"]);
        let switch = "`branch` is not allowed for this caller";
        assert_eq!(invalid(&[("x-chalk-branch-id", "b")], &fine).await, switch, "{path}");
        let other = "the environment `dev` is not the one that is served here";
        assert_eq!(invalid(&[("x-chalk-env-id", "dev")], &fine).await, other, "{path}");
        invalid(&[], &fine[..fine.len() - 1]).await;
        invalid(&[], &[fine.as_slice(), b"x"].concat()).await;
        invalid(&[], b"").await;
    }
    for path in &PATHS[..2] {
        let more = [("content-encoding", "gzip")];
        let answer = send(&sidecar, path, &["writers"], &more, &body(path, &["user.name"])).await;
        fails(&answer, 415, "UNSUPPORTED", "PARSE_FAILED");
    }
    let mut preview: Value = serde_json::from_slice(&body(PATHS[0], &["user.name"])).unwrap();
    preview["preview_deployment_id"] = json!("p");
    let answer = send(&sidecar, PATHS[0], &["writers"], &[], preview.to_string().as_bytes()).await;
    assert_eq!(fails(&answer, 400, "INVALID_QUERY", "INVALID_QUERY"), "`branch` is not allowed for this caller");
    // The list beside the table says nothing: its columns do.
    let attrs = json!({"features": ["user.name"], "table_compression": "uncompressed"});
    let blobs = vec![("table_bytes".to_owned(), table(&[("user.ssn", Some("given"))]))];
    let lying = Container { attrs: Bytes::from(attrs.to_string()), blobs, ..Container::default() }.write();
    let answer = send(&sidecar, PATHS[1], &["writers"], &[], &lying).await;
    assert_eq!(errors(PATHS[1], &answer), unauthorized(&["user.ssn"]));
    chalk.nothing_came();
}

/// A write may have been done although its answer broke off.
#[tokio::test]
async fn they_are_sent_once() {
    let chalk = Chalk::start().await;
    let sidecar = setup(&chalk).start().await;
    let half = Say::Half(Box::new(Say::http(200, "application/json", "{\"errors\": [\"CANARY")));
    for path in PATHS {
        for broken in [half.clone(), Say::Close] {
            // So that there is a connection that was used before.
            chalk.turns_to(Say::World);
            send(&sidecar, path, &["writers"], &[], &body(path, &["user.name"])).await;
            chalk.only();
            chalk.turns_to(broken);
            let answer = send(&sidecar, path, &["writers"], &[], &body(path, &["user.name"])).await;
            shows_nothing(&answer);
            if is_rpc(path) {
                assert_eq!(answer.header("grpc-status"), Some("14"), "{path}: {answer:?}");
            } else {
                fails(&answer, 502, "UPSTREAM_FAILED", "INTERNAL_SERVER_ERROR");
            }
            chalk.only();
        }
    }
    // A query is sent once more.
    for door in Door::ALL {
        chalk.turns_to(Say::World);
        door.ask(&sidecar, "readers", &ask(&["user.name"])).await;
        chalk.only();
        chalk.turns_to(Say::Close);
        assert!(door.ask(&sidecar, "readers", &ask(&["user.name"])).await.end.is_err(), "{door:?}");
        assert_eq!(chalk.take().len(), 2, "{door:?}");
    }
}

#[tokio::test]
async fn each_is_audited_and_with_suspended_enforcement_passes() {
    let chalk = Chalk::start().await;
    let sidecar = setup(&chalk).start().await;
    for path in PATHS {
        send(&sidecar, path, &["writers"], &[], &body(path, &["user.limit", "user.name"])).await;
    }
    let denied = json!([{"feature": "user.limit", "permission": "Deny", "rule": 0, "tag": null}]);
    for (line, path) in sidecar.audit(4).await.iter().zip(PATHS) {
        assert_eq!((&line["route"], &line["decision"]), (&json!(path), &json!("refused")));
        assert_eq!(line["outputs"], json!(["user.limit", "user.name"]));
        assert_eq!((&line["refused"], &line["status"]), (&denied, &json!(200)), "{line}");
    }
    chalk.nothing_came();
    let sidecar = setup(&chalk).with("enforcement: audit").start().await;
    for path in PATHS {
        let answer = send(&sidecar, path, &["writers"], &[], &body(path, &["user.limit", "user.name"])).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert_eq!(features(&chalk.only()), ["user.limit", "user.name"], "{path}");
    }
    for line in sidecar.audit(4).await {
        assert_eq!((&line["refused"], &line["enforcement"]), (&denied, &json!("audit")), "{line}");
    }
}
