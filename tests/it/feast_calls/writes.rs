//! Writes over gRPC: `Push` and `WriteToOnlineStore`.

use tagwarden::dialect::feast::rpc::proto::{PushRequest, WriteToOnlineStoreRequest};

use super::*;

pub(super) const PUSH: &str = "/GrpcFeatureServer/Push";
const WRITE: &str = "/GrpcFeatureServer/WriteToOnlineStore";
const ROUTES: &str = "routes: [{path: /GrpcFeatureServer/Push, methods: [POST]}, \
    {path: /GrpcFeatureServer/WriteToOnlineStore, methods: [POST], roles: [writer, half]}]";
pub(super) const POLICY: &str = "\
version: 1
roles:
  reader: {}
  half: {writes: ['customer:age']}
  writer: {default: Deny, writes: ['customer:*']}
bindings:
  - {roles: [reader], when: {groups: readers}}
  - {roles: [half], when: {groups: half}}
  - {roles: [writer], when: {groups: writers}}
features:
  customer_id: {key: true}
  customer:age: {joins: [customer_id], sources: [pushed]}
  customer:ssn: {tags: [pii], joins: [customer_id], sources: [pushed]}
datasources:
  pushed: {kind: PUSH}
";

async fn writable(more: &str, act: Act) -> (Sidecar, Grpc) {
    let (server, at) = Grpc::plan(move |_, _| act.clone()).await;
    let setup = Setup::at(&format!("http://{at}")).with(ROUTES).with(more).policy(POLICY);
    (setup.start().await, server)
}

/// `status: true`.
fn done() -> Act {
    Act::fine(&[8, 1])
}

/// `int64_val` 7.
fn seven() -> Bytes {
    Bytes::from_static(&[0x20, 7])
}

pub(super) fn push(columns: &[&str]) -> PushRequest {
    PushRequest {
        stream_feature_view: "pushed".to_owned(),
        to: "online".to_owned(),
        typed_features: columns.iter().map(|name| ((*name).to_owned(), seven())).collect(),
        ..PushRequest::default()
    }
}

fn write(view: &str, columns: &[&str]) -> WriteToOnlineStoreRequest {
    WriteToOnlineStoreRequest {
        feature_view_name: view.to_owned(),
        allow_registry_cache: true,
        features: columns.iter().map(|name| ((*name).to_owned(), "7".to_owned())).collect(),
        ..WriteToOnlineStoreRequest::default()
    }
}

pub(super) fn of(group: &str) -> String {
    KEY.token(&[group])
}

#[tokio::test]
async fn who_may_write_all_of_a_target_writes_it() {
    let (sidecar, server) = writable("", done()).await;
    let columns = ["customer_id", "age", "ssn", "event_timestamp"];
    let calls = [(PUSH, push(&columns).encode_to_vec()), (WRITE, write("customer", &columns).encode_to_vec())];
    for (number, (path, message)) in calls.iter().enumerate() {
        let answer = call(&sidecar, path, &of("writers"), message).await;
        assert_eq!((answer.status, answer.trailer("grpc-status")), (200, Some("0")), "{answer:?}");
        assert_eq!(answer.body, framed(&[8, 1]));
        let called = server.seen().remove(number);
        assert_eq!((called.head.uri.path(), called.body), (*path, framed(message)));
        assert_eq!(called.head.headers.get("authorization"), None);
    }
    let lines = sidecar.audit(2).await;
    let told = json!([PUSH, "pushed", ["customer:age", "customer:ssn"], "permitted"]);
    assert_eq!(json!(["route", "query", "outputs", "decision"].map(|name| &lines[0][name])), told);
    assert_eq!(lines[1]["outputs"], json!(["customer:age", "customer:ssn"]));
}

#[tokio::test]
async fn who_may_not_writes_nothing() {
    let (sidecar, server) = writable("", done()).await;
    let named = |names: &str| format!("Not permitted for this caller: {names}");
    for (group, path, message, status, text) in [
        ("readers", PUSH, push(&["age"]).encode_to_vec(), "7", named("pushed")),
        ("half", PUSH, push(&["age"]).encode_to_vec(), "7", named("pushed")),
        ("half", WRITE, write("customer", &["age"]).encode_to_vec(), "7", named("customer")),
        // Not even told whether there is such a one.
        ("writers", WRITE, write("other", &["age"]).encode_to_vec(), "7", named("other")),
        ("writers", WRITE, write("customer", &["age", "new"]).encode_to_vec(), "7", named("new")),
        (
            "readers",
            WRITE,
            write("customer", &["age"]).encode_to_vec(),
            "7",
            "This caller may not use this route".into(),
        ),
        ("writers", PUSH, push(&[]).encode_to_vec(), "3", "neither `features` nor `typed_features` is given".into()),
        (
            "writers",
            PUSH,
            [push(&["age"]).encode_to_vec(), vec![0x30, 1]].concat(),
            "3",
            "the message has the field 6, which is not known".into(),
        ),
        // A query is no write.
        ("writers", READ, asks(&["customer:age"]).encode_to_vec(), "12", "There is no such route".into()),
    ] {
        fails(&call(&sidecar, path, &of(group), &message).await, status, &text);
    }
    assert!(server.seen().is_empty());
    assert_eq!(sidecar.audit(5).await[0]["decision"], "refused");
}

#[tokio::test]
async fn a_write_is_sent_once_and_answered_with_a_word() {
    let (sidecar, server) = writable("", Act::Die).await;
    let message = push(&["age"]).encode_to_vec();
    fails(&call(&sidecar, PUSH, &of("writers"), &message).await, "14", "The feature server failed");
    assert_eq!(server.seen().len(), 1);
    let told = vec![("grpc-status", "13"), ("grpc-message", "Type of 000-00-0000")];
    let error = Act::Answer(vec![("content-type", "application/grpc")], Bytes::new(), told);
    let (sidecar, _server) = writable("", error).await;
    let answer = call(&sidecar, PUSH, &of("writers"), &message).await;
    fails(&answer, "13", "The feature server ended the call with an error");
    let (sidecar, _server) = writable("", Act::fine(b"\x08\x01\x12\x0b000-00-0000")).await;
    let answer = call(&sidecar, PUSH, &of("writers"), &message).await;
    fails(&answer, "14", "The feature server's answer cannot be verified");
}

#[tokio::test]
async fn while_enforcement_is_suspended_a_write_is_recorded_and_passes() {
    let (sidecar, server) = writable("enforcement: audit", Act::fine(b"\x12\x00")).await;
    let message = push(&["age"]).encode_to_vec();
    let answer = call(&sidecar, PUSH, &of("half"), &message).await;
    assert_eq!((answer.trailer("grpc-status"), &*answer.body), (Some("0"), &framed(b"\x12\x00")[..]));
    assert_eq!(server.seen()[0].body, framed(&message));
    let line = sidecar.audit(1).await.remove(0);
    let told = json!(["refused", "audit", true]);
    assert_eq!(json!(["decision", "enforcement", "unverified"].map(|name| &line[name])), told);
}
