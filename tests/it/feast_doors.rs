//! Feast's other doors, each open where `routes` lists it (wire-feast.md, section 2): vector search, vector stores, writes.

mod search;
mod writes;

use serde_json::{Value, json};

use crate::support::client::{Answer, request};
use crate::support::sidecar::{Setup, Sidecar};
use crate::support::tokens::KEY;
use crate::support::upstream::{Act, Upstream};

/// Groups are named as their role.
const POLICY: &str = "\
version: 1
roles:
  open: {}
  cutter: {mode: filter}
  blind: {tags: {pii: AllowInternal}}
  keyless: {default: Deny, tags: {shown: Allow}}
  writer: {default: Deny, writes: ['customer:*']}
  half: {writes: ['customer:age']}
  admin: {writes: ['**']}
bindings:
  - {roles: [open], when: {groups: open}}
  - {roles: [cutter], when: {groups: cutter}}
  - {roles: [blind], when: {groups: blind}}
  - {roles: [keyless], when: {groups: keyless}}
  - {roles: [writer], when: {groups: writer}}
  - {roles: [half], when: {groups: half}}
  - {roles: [admin], when: {groups: admin}}
features:
  customer_id: {key: true}
  doc_id: {key: true}
  customer:age: {joins: [customer_id], sources: [pushed]}
  customer:ssn: {tags: [pii], joins: [customer_id], sources: [pushed]}
  docs:title: {tags: [shown], joins: [doc_id], sources: [files]}
  docs:vector: {tags: [shown], joins: [doc_id], sources: [files]}
  notes:text: {tags: [pii], joins: [doc_id], sources: [files]}
  notes:vector: {joins: [doc_id], sources: [files]}
datasources:
  pushed: {kind: PUSH}
  files: {kind: FILE}
";

const DOORS: [(&str, &str); 9] = [
    ("POST", "/search"),
    ("POST", "/retrieve-online-documents"),
    ("GET", "/v1/vector_stores"),
    ("GET", "/v1/vector_stores/{id}"),
    ("POST", "/v1/vector_stores/{id}/search"),
    ("POST", "/push"),
    ("POST", "/write-to-online-store"),
    ("POST", "/materialize"),
    ("POST", "/materialize-incremental"),
];

fn setup(upstream: &Upstream) -> Setup {
    let route = |(method, path): (&str, &str)| format!("{{path: \"{path}\", methods: [{method}]}}");
    let routes = DOORS.map(route).join(", ");
    Setup::new(upstream).policy(POLICY).with(&format!("routes: [{routes}]"))
}

async fn send(sidecar: &Sidecar, role: &str, method: &str, target: &str, body: &str) -> Answer {
    let headers = format!("authorization: Bearer {}\r\ncontent-type: application/json\r\n", KEY.token(&[role]));
    sidecar.ask(request(method, target, &headers, body)).await
}

/// The names that an answer refuses.
fn refused(answer: &Answer) -> Value {
    answer.fails(403, "FEATURES_REFUSED");
    answer.json()["error"]["refused"].clone()
}

/// Body and headers without what is of this answer alone.
fn shape(answer: &Answer, name: &str) -> (u16, String, Vec<String>) {
    let headers = answer.headers.iter().map(|(name, _)| name.clone()).collect();
    (answer.status, answer.text().replace(answer.decision_id(), "ID").replace(name, "NAME"), headers)
}

#[tokio::test]
async fn only_their_own_methods_and_paths_are_there() {
    let upstream = Upstream::start().await;
    let sidecar = setup(&upstream).start().await;
    for (own, path) in DOORS {
        let target = path.replace("{id}", "vs_1");
        for method in ["GET", "POST", "PUT", "DELETE"].into_iter().filter(|method| *method != own) {
            let answer = send(&sidecar, "admin", method, &target, "{}").await;
            answer.fails(405, "METHOD_NOT_ALLOWED");
            assert_eq!(answer.header("allow"), Some(own), "{method} {path}");
        }
    }
    for target in [
        "/mcp",
        "/v1/vector_stores/vs_1/files",
        "/v1/vector_stores/vs_1/search/x",
        "/v1/vector_stores/a%2Fb",
        "/v1/vector_stores//search",
        "/v1/vector_stores/",
        "/push/",
        "//push",
        "/Push",
        "/search;x",
    ] {
        for method in ["GET", "POST"] {
            send(&sidecar, "admin", method, target, "{}").await.fails(404, "NOT_FOUND");
        }
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_token_is_asked_for_and_a_route_is_for_its_roles() {
    let upstream = Upstream::start().await;
    let routes = DOORS.map(|(method, path)| format!("{{path: \"{path}\", methods: [{method}], roles: [writer]}}"));
    let routes = format!("routes: [{}]", routes.join(", "));
    let sidecar = Setup::new(&upstream).policy(POLICY).with(&routes).start().await;
    for (method, path) in DOORS {
        let target = path.replace("{id}", "vs_1");
        sidecar
            .ask(request(method, &target, "content-type: application/json\r\n", "{}"))
            .await
            .fails(401, "UNAUTHORIZED");
        send(&sidecar, "admin", method, &target, "{}").await.fails(403, "FORBIDDEN");
        send(&sidecar, "strangers", method, &target, "{}").await.fails(403, "FORBIDDEN");
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn what_the_upstream_says_of_an_error_stays_inside() {
    let upstream = Upstream::start().await;
    let sidecar = setup(&upstream).start().await;
    for (status, code) in
        [("500 Internal Server Error", 500), ("404 Not Found", 404), ("409 Conflict", 409), ("422 X", 422)]
    {
        upstream.turns_to(Act::json(status, r#"{"error":"SECRET"}"#));
        for (method, target, body) in [
            ("POST", "/search", search::TITLES),
            ("GET", "/v1/vector_stores", ""),
            ("GET", "/v1/vector_stores/vs_1", ""),
            ("POST", "/push", writes::PUSH),
            ("POST", "/write-to-online-store", writes::WRITE),
            ("POST", "/materialize?async=true", writes::MATERIALIZE),
        ] {
            let answer = send(&sidecar, "admin", method, target, body).await;
            answer.fails(code, "UPSTREAM_FAILED");
            assert!(!answer.text().contains("SECRET"), "{target}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn bodies_are_read_as_strictly_as_those_of_the_online_query() {
    let upstream = Upstream::start().await;
    let sidecar = setup(&upstream).start().await;
    let bearer = format!("authorization: Bearer {}\r\n", KEY.token(&["admin"]));
    for (_, path) in DOORS.into_iter().filter(|(method, _)| *method == "POST") {
        let target = path.replace("{id}", "vs_1");
        for body in ["", "[]", "{\"a\":1,\"a\":2}", "\u{feff}{}", "{\"df\":NaN}", "{} {}"] {
            send(&sidecar, "admin", "POST", &target, body).await.fails(400, "INVALID_QUERY");
        }
        for kind in ["content-type: text/plain\r\n", "", "content-type: application/json\r\ncontent-encoding: gzip\r\n"]
        {
            let answer = sidecar.ask(request("POST", &target, &format!("{bearer}{kind}"), "{}")).await;
            answer.fails(415, "UNSUPPORTED");
        }
        let headers = format!("{bearer}content-type: application/json\r\n");
        let large = format!(r#"{{"query":"{}"}}"#, "a".repeat(9 << 20));
        sidecar.ask(request("POST", &target, &headers, large)).await.fails(413, "BODY_TOO_LARGE");
    }
    assert_eq!(upstream.count(), 0);
}

/// What a line says of a decision.
fn said(line: &Value) -> Value {
    json!(["route", "query", "outputs", "reads", "decision", "status"].map(|name| line[name].clone()))
}
