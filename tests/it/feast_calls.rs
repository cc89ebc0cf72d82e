//! Feast's gRPC through the whole sidecar: what a caller gets, and what reaches the server behind.

mod frames;
mod writes;

use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message;
use serde_json::json;
use tagwarden::dialect::feast::rpc::proto::{
    FeatureList, GetOnlineFeaturesRequest, GetOnlineFeaturesResponse, GetOnlineFeaturesResponseMetadata, Kind,
    RepeatedValue,
};

use crate::support::certificates::Authority;
use crate::support::client::{Answer, H2, Raw, request};
use crate::support::grpc::{Act, Called, Grpc, framed};
use crate::support::sidecar::{FINE, Setup, Sidecar, cutter, reader};
use crate::support::tls::{Client, Http};
use crate::support::tokens::KEY;
use crate::support::until;
use crate::support::upstream::Upstream;

pub const READ: &str = "/GrpcFeatureServer/GetOnlineFeatures";
pub const OPEN: &str = "routes: [{path: /GrpcFeatureServer/GetOnlineFeatures, methods: [POST]}]";
const SECRET: &[u8] = b"000-00-0000";

/// A sidecar in front of both: a server of HTTP that is never called, and one of gRPC.
async fn sidecar(
    more: &str,
    plan: impl Fn(&Called, usize) -> Act + Send + Sync + 'static,
) -> (Sidecar, Grpc, Upstream) {
    let (server, at) = Grpc::plan(plan).await;
    let http = Upstream::start().await;
    let setup = Setup::new(&http).upstream_with(&format!("engine_url: \"http://{at}\"")).with(more);
    (setup.start().await, server, http)
}

fn value(text: &[u8]) -> Bytes {
    // `string_val`
    Bytes::from([&[0x12, u8::try_from(text.len()).unwrap()], text].concat())
}

/// `int64_val` 1 and 2.
fn ids() -> Bytes {
    RepeatedValue { val: vec![Bytes::from_static(&[0x20, 1]), Bytes::from_static(&[0x20, 2])] }.encode_to_vec().into()
}

fn list(names: &[&str]) -> FeatureList {
    FeatureList { val: names.iter().map(|name| (*name).to_owned()).collect() }
}

pub fn asks(features: &[&str]) -> GetOnlineFeaturesRequest {
    GetOnlineFeaturesRequest {
        kind: Some(Kind::Features(list(features))),
        entities: [("customer_id".to_owned(), ids())].into(),
        ..GetOnlineFeaturesRequest::default()
    }
}

fn says(columns: &[(&str, &[u8])]) -> GetOnlineFeaturesResponse {
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let metadata = GetOnlineFeaturesResponseMetadata { feature_names: Some(list(&names)), ..Default::default() };
    let column = |text: &[u8]| RepeatedValue { val: vec![value(text), value(text)] }.encode_to_vec().into();
    let results = columns.iter().map(|(_, text)| column(text)).collect();
    GetOnlineFeaturesResponse { metadata: Some(metadata), results, status: true }
}

pub fn answers(columns: &[(&str, &[u8])]) -> Act {
    Act::fine(&says(columns).encode_to_vec())
}

async fn call(sidecar: &Sidecar, path: &str, token: &str, message: &[u8]) -> Answer {
    with(sidecar, path, token, &[], message).await
}

async fn with(sidecar: &Sidecar, path: &str, token: &str, more: &[(&str, &str)], message: &[u8]) -> Answer {
    let bearer = format!("Bearer {token}");
    let own = [("content-type", "application/grpc"), ("te", "trailers"), ("authorization", &bearer)];
    let headers: Vec<_> = own.into_iter().chain(more.iter().copied()).collect();
    H2::connect(sidecar.data).await.send("POST", path, &headers, framed(message)).await
}

/// The message of an answer that is fine.
#[track_caller]
fn message(answer: &Answer) -> GetOnlineFeaturesResponse {
    assert_eq!((answer.status, answer.trailer("grpc-status")), (200, Some("0")), "{answer:?}");
    answer.decision_id();
    let body = Bytes::from(answer.body.clone());
    assert_eq!(body[..5], framed(&body[5..])[..5]);
    GetOnlineFeaturesResponse::decode(body.slice(5..)).unwrap()
}

/// Checks that a call ended with this status and text.
#[track_caller]
fn fails(answer: &Answer, status: &str, text: &str) {
    let told = (answer.status, answer.header("grpc-status"), answer.header("grpc-message"));
    assert_eq!(told, (200, Some(status), Some(text)), "{answer:?}");
    assert!(answer.body.is_empty() && answer.trailers.is_empty(), "{answer:?}");
    answer.decision_id();
}

fn went(called: &Called) -> GetOnlineFeaturesRequest {
    assert_eq!(called.body[..5], framed(&called.body[5..])[..5]);
    GetOnlineFeaturesRequest::decode(called.body.slice(5..)).unwrap()
}

#[tokio::test]
async fn what_is_permitted_comes_back_under_the_names_that_were_asked_for() {
    let columns: &[(&str, &[u8])] = &[("customer_id", b"1"), ("customer__country", b"CH"), ("customer__age", b"40")];
    let (sidecar, server, http) = sidecar(OPEN, move |_, _| answers(columns)).await;
    let mut asked = asks(&["customer:age", "customer:country"]);
    asked.entities.insert("unneeded".to_owned(), ids());
    let answer = with(&sidecar, READ, &reader(), &[("x-custom", "1")], &asked.encode_to_vec()).await;
    let short: &[(&str, &[u8])] = &[("customer_id", b"1"), ("country", b"CH"), ("age", b"40")];
    assert_eq!(message(&answer), says(short));
    assert_eq!(
        (answer.header("content-type"), answer.header("x-tagwarden-filtered")),
        (Some("application/grpc"), None)
    );
    // What went upstream is what is needed, in full names, with no token.
    let called = server.seen().remove(0);
    let sent = GetOnlineFeaturesRequest { full_feature_names: true, ..asks(&["customer:age", "customer:country"]) };
    assert_eq!(called.body, framed(&sent.encode_to_vec()));
    assert_eq!((called.head.uri.path(), called.head.headers.get("authorization")), (READ, None));
    assert_eq!(
        (called.head.headers["x-custom"].as_bytes(), called.head.headers["te"].as_bytes()),
        (&b"1"[..], &b"trailers"[..])
    );

    // In full names they are as they came, byte for byte.
    asked.full_feature_names = true;
    let answer = call(&sidecar, READ, &reader(), &asked.encode_to_vec()).await;
    assert_eq!(answer.body, framed(&says(columns).encode_to_vec()));

    // The same in Connect, over HTTP/1.1; JSON is not read.
    let headers = |kind: &str| format!("authorization: Bearer {}\r\ncontent-type: {kind}\r\n", reader());
    let answer = sidecar.ask(request("POST", READ, &headers("application/proto"), asked.encode_to_vec())).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/proto")));
    assert_eq!(answer.body, says(columns).encode_to_vec());
    let answer = sidecar.ask(request("POST", READ, &headers("application/json"), FINE)).await;
    answer.fails(415, "UNSUPPORTED");

    assert_eq!(server.seen().len(), 3);
    assert!(http.seen().is_empty());
    let line = &sidecar.audit(3).await[0];
    let told = json!([READ, ["customer:age", "customer:country"], ["customer_id"], "permitted", 200]);
    assert_eq!(json!(["route", "outputs", "supplied", "decision", "status"].map(|name| &line[name])), told);
    assert_eq!(line["decision_id"].as_str().map(str::len), Some(32));
}

#[tokio::test]
async fn behind_tls_calls_are_the_same_in_both_versions_and_protocols() {
    let columns: &[(&str, &[u8])] = &[("customer_id", b"1"), ("customer__age", b"40")];
    let (server, at) = Grpc::plan(move |_, _| answers(columns)).await;
    let (http, authority) = (Upstream::start().await, Authority::new("ours"));
    let setup = Setup::new(&http).upstream_with(&format!("engine_url: \"http://{at}\"")).with(OPEN);
    let setup = setup.with("listen: {address: \"127.0.0.1:0\", tls: {cert: tls.crt, key: tls.key}}");
    let leaf = authority.sign("sidecar.example");
    setup.folder.write("tls.crt", &leaf.cert);
    setup.folder.write("tls.key", &leaf.key);
    let sidecar = setup.start().await;
    let asked = GetOnlineFeaturesRequest { full_feature_names: true, ..asks(&["customer:age"]) }.encode_to_vec();
    let secret = asks(&["customer:ssn"]).encode_to_vec();
    let bearer = format!("Bearer {}", reader());
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let client = Client::new(&authority, None, version);
        let h2 = H2::over(client.stream(&sidecar, Http::Two).await.unwrap()).await;
        let headers = [("content-type", "application/grpc"), ("te", "trailers"), ("authorization", &bearer)];
        assert_eq!(message(&h2.send("POST", READ, &headers, framed(&asked)).await), says(columns));
        // PERMISSION_DENIED and UNAUTHENTICATED
        let refused = h2.send("POST", READ, &headers, framed(&secret)).await;
        assert_eq!((refused.status, refused.header("grpc-status")), (200, Some("7")));
        let stranger = h2.send("POST", READ, &headers[..2], framed(&asked)).await;
        assert_eq!((stranger.status, stranger.header("grpc-status")), (200, Some("16")));
        // Connect, over HTTP/1.1.
        let mut raw = Raw::over(client.stream(&sidecar, Http::One).await.unwrap());
        let headers = format!("authorization: {bearer}\r\ncontent-type: application/proto\r\n");
        let answer = raw.ask(request("POST", READ, &headers, &asked)).await;
        assert_eq!((answer.status, answer.body), (200, says(columns).encode_to_vec()));
    }
    assert_eq!((server.seen().len(), http.count()), (4, 0));
}

#[tokio::test]
async fn both_doors_share_what_was_decided() {
    let columns: &[(&str, &[u8])] = &[("customer__country", b"CH"), ("customer__age", b"40")];
    let (sidecar, server, http) = sidecar(OPEN, move |_, _| answers(columns)).await;
    assert_eq!(sidecar.query(&reader(), FINE).await.status, 200);
    message(&call(&sidecar, READ, &reader(), &asks(&["customer:age", "customer:country"]).encode_to_vec()).await);
    let hits = "tagwarden_cache_requests_total{cache=\"decision\",result=\"hit\"}";
    assert_eq!((sidecar.metric(hits).await, server.seen().len(), http.seen().len()), (1.0, 1, 1));
    // The health is that of the HTTP server.
    assert_eq!(sidecar.ask(request("GET", "/health", "", "")).await.status, 200);
    assert_eq!((server.seen().len(), http.seen().len()), (1, 2));
}

#[tokio::test]
async fn what_is_not_permitted_never_reaches_the_server() {
    let (sidecar, server, _http) = sidecar(OPEN, |_, _| answers(&[("customer__ssn", SECRET)])).await;
    for (features, refused) in [
        (&["customer:age", "customer:ssn"][..], "customer:ssn"),
        (&["customer:ssn", "customer:nothing"], "customer:ssn, customer:nothing"),
        (&["nothing:age"], "nothing:age"),
        (&["customer@latest:ssn"], "customer@latest:ssn"),
        (&["customer:income"], "customer:income"),
    ] {
        let answer = call(&sidecar, READ, &reader(), &asks(features).encode_to_vec()).await;
        fails(&answer, "7", &format!("Not permitted for this caller: {refused}"));
    }
    let services =
        |name: &str| GetOnlineFeaturesRequest { kind: Some(Kind::FeatureService(name.to_owned())), ..asks(&[]) };
    for name in ["pii_service", "no_service"] {
        let answer = call(&sidecar, READ, &reader(), &services(name).encode_to_vec()).await;
        fails(&answer, "7", &format!("Not permitted for this caller: {name}"));
    }
    assert!(server.seen().is_empty());
    let lines = sidecar.audit(7).await;
    let refused = json!([{"feature": "customer:ssn", "permission": "Deny", "rule": 7, "tag": "pii"}]);
    assert_eq!(
        (&lines[0]["refused"], &lines[0]["status"], &lines[0]["decision"]),
        (&refused, &json!(403), &json!("refused"))
    );
    let decisions = format!("tagwarden_decisions_total{{decision=\"refused\",route=\"{READ}\"}}");
    assert_eq!(sidecar.metric(&decisions).await, 7.0);
}

#[tokio::test]
async fn what_a_filtering_role_may_not_see_is_cut() {
    let columns: &[(&str, &[u8])] = &[("customer__age", b"40"), ("customer_id", b"1")];
    let (sidecar, server, _http) = sidecar(OPEN, move |_, _| answers(columns)).await;
    let asked = asks(&["customer:ssn", "customer:age"]).encode_to_vec();
    let answer = call(&sidecar, READ, &cutter(), &asked).await;
    assert_eq!(message(&answer), says(&[("age", b"40"), ("customer_id", b"1")]));
    assert_eq!(answer.header("x-tagwarden-filtered"), Some("1"));
    assert_eq!(went(&server.seen()[0]).kind, Some(Kind::Features(list(&["customer:age"]))));
    // Nothing is left of it.
    let answer = call(&sidecar, READ, &cutter(), &asks(&["customer:ssn"]).encode_to_vec()).await;
    fails(&answer, "7", "Not permitted for this caller: customer:ssn");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_server_that_answers_something_else_is_not_passed_on() {
    let more: &[(&str, &[u8])] = &[("customer__age", b"40"), ("customer__ssn", SECRET)];
    let fine = says(&more[..1]).encode_to_vec();
    let (sidecar, _server, _http) = sidecar(OPEN, move |_, number| match number {
        0 => answers(more),
        1 => answers(&[("age", b"40")]),
        2 => answers(&[]),
        3 => answers(&[more[0], more[0]]),
        4 => Act::fine(&[fine.as_slice(), b"\x0a"].concat()),
        // Twice the same names: one column more than there are.
        5 => Act::fine(&[fine.as_slice(), &fine].concat()),
        // A column with a field that nobody knows.
        _ => {
            let mut answer = says(&more[..1]);
            answer.results[0] = [&answer.results[0], &b"\x4a\x03ssn"[..]].concat().into();
            Act::fine(&answer.encode_to_vec())
        }
    })
    .await;
    for _ in 0..7 {
        let answer = call(&sidecar, READ, &reader(), &asks(&["customer:age"]).encode_to_vec()).await;
        fails(&answer, "14", "The feature server's answer cannot be verified");
    }
    assert_eq!(sidecar.metric("tagwarden_upstream_errors_total{kind=\"unreadable\"}").await, 7.0);
}

#[tokio::test]
async fn who_may_not_call_is_told_so_in_grpc() {
    let routes = "routes: [{path: /GrpcFeatureServer/GetOnlineFeatures, methods: [POST], roles: [writer, cutter]}]";
    let (sidecar, server, _http) = sidecar(routes, |_, _| answers(&[("customer__age", b"40")])).await;
    let asked = asks(&["customer:age"]).encode_to_vec();
    message(&call(&sidecar, READ, &cutter(), &asked).await);
    for token in [reader(), KEY.token(&["strangers"])] {
        fails(&call(&sidecar, READ, &token, &asked).await, "7", "This caller may not use this route");
    }
    let headers = [("content-type", "application/grpc"), ("te", "trailers")];
    let nobody = H2::connect(sidecar.data).await.send("POST", READ, &headers, framed(&asked)).await;
    fails(&nobody, "16", "A Bearer token is required");
    fails(&call(&sidecar, READ, "not.a.token", &asked).await, "16", "The access token is invalid");
    let expired = KEY.token_of("svc", &["cutters"], -3600);
    fails(&call(&sidecar, READ, &expired, &asked).await, "16", "Access token has expired");
    assert_eq!(server.seen().len(), 1);
    // In the metrics they have their status in HTTP.
    for (status, times) in [("401", 3.0), ("403", 2.0), ("200", 1.0)] {
        let series = format!("tagwarden_requests_total{{code=\"{status}\",route=\"{READ}\"}}");
        assert_eq!(sidecar.metric(&series).await, times, "{status}");
    }
}

#[tokio::test]
async fn methods_that_are_not_open_are_not_implemented() {
    let (closed, server, http) = sidecar("", |_, _| answers(&[("customer__age", b"40")])).await;
    let asked = asks(&["customer:age"]).encode_to_vec();
    fails(&call(&closed, READ, &reader(), &asked).await, "12", "There is no such route");
    let (open, second, _http) = sidecar(OPEN, |_, _| answers(&[("customer__age", b"40")])).await;
    for path in [
        "/GrpcFeatureServer/Push",
        "/GrpcFeatureServer/WriteToOnlineStore",
        "/GrpcFeatureServer/getonlinefeatures",
        "/feast.serving.ServingService/GetOnlineFeatures",
        "/grpc.health.v1.Health/Check",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    ] {
        fails(&call(&open, path, &reader(), &asked).await, "12", "There is no such route");
    }
    assert!(server.seen().is_empty() && second.seen().is_empty() && http.seen().is_empty());
    // Over HTTP it is not there either, and of another method it is told as HTTP has it.
    closed.ask(request("POST", READ, "content-type: application/json\r\n", "{}")).await.fails(404, "NOT_FOUND");
    open.ask(request("GET", READ, "", "")).await.fails(405, "METHOD_NOT_ALLOWED");
}

#[tokio::test]
async fn a_call_that_cannot_be_read_is_told_what_is_in_the_way() {
    let (sidecar, server, _http) = sidecar(OPEN, |_, _| answers(&[("customer__age", b"40")])).await;
    let fine = asks(&["customer:age"]).encode_to_vec();
    let plus = |more: &[u8]| [fine.as_slice(), more].concat();
    for (message, text) in [
        (plus(&[0x38, 1]), "the message has the field 7, which is not known"),
        (plus(&[0x0a, 1, b's']), "`feature_service` is given beside `features`"),
        (plus(&[0x2a, 0]), "`request_context` cannot be followed"),
        (plus(&fine), "`features` is given twice"),
        (
            GetOnlineFeaturesRequest { entities: [].into(), ..asks(&["customer:age"]) }.encode_to_vec(),
            "`entities` is empty",
        ),
        (asks(&[]).encode_to_vec(), "neither `features` nor `feature_service` is given"),
        (asks(&["age"]).encode_to_vec(), "`age` is not of the form `view:feature`"),
    ] {
        fails(&call(&sidecar, READ, &reader(), &message).await, "3", text);
    }
    let text = "A message must be compressed with gzip or not at all";
    fails(&with(&sidecar, READ, &reader(), &[("grpc-encoding", "snappy")], &fine).await, "12", text);
    let large = Bytes::from(vec![0; (8 << 20) + 1]);
    fails(&call(&sidecar, READ, &reader(), &large).await, "8", "The request body is too large");
    // Over HTTP/1.1 there is no gRPC.
    let headers = format!("authorization: Bearer {}\r\ncontent-type: application/grpc\r\n", reader());
    sidecar.ask(request("POST", READ, &headers, framed(&fine))).await.fails(415, "UNSUPPORTED");
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_server_that_fails_is_told_without_its_words() {
    let error = vec![("grpc-status", "2"), ("grpc-message", "invalid literal for int(): 000-00-0000")];
    let (sidecar, _server, _http) = sidecar(OPEN, move |_, number| match number {
        0 => Act::Answer(vec![("content-type", "application/grpc")], Bytes::new(), error.clone()),
        1 => Act::Answer(vec![("content-type", "text/html")], Bytes::from_static(SECRET), Vec::new()),
        2 | 3 => Act::Reset,
        _ => Act::Hang,
    })
    .await;
    let asked = asks(&["customer:age"]).encode_to_vec();
    let answer = call(&sidecar, READ, &reader(), &asked).await;
    fails(&answer, "2", "The feature server ended the call with an error");
    fails(&call(&sidecar, READ, &reader(), &asked).await, "14", "The feature server's answer cannot be verified");
    fails(&call(&sidecar, READ, &reader(), &asked).await, "14", "The feature server failed");
    let before = Instant::now();
    let answer = with(&sidecar, READ, &reader(), &[("grpc-timeout", "300m")], &asked).await;
    fails(&answer, "4", "The feature server did not answer in time");
    assert!(before.elapsed() >= Duration::from_millis(250), "{:?}", before.elapsed());
}

#[tokio::test]
async fn while_enforcement_is_suspended_what_was_asked_for_passes() {
    let columns: &[(&str, &[u8])] = &[("age", b"40"), ("ssn", SECRET)];
    let more = format!("{OPEN}\nenforcement: audit");
    let (sidecar, server, _http) = sidecar(&more, move |_, number| match number {
        0 | 1 => answers(columns),
        _ => Act::fine(b"\xff"),
    })
    .await;
    let asked = asks(&["customer:age", "customer:ssn"]);
    for token in [reader(), cutter()] {
        let answer = call(&sidecar, READ, &token, &asked.encode_to_vec()).await;
        assert_eq!(answer.body, framed(&says(columns).encode_to_vec()));
        assert_eq!(answer.header("x-tagwarden-filtered"), None);
    }
    assert_eq!(went(&server.seen()[0]), asked);
    // So does what cannot be verified, which is recorded; what cannot be read does not.
    let answer = call(&sidecar, READ, &reader(), &asked.encode_to_vec()).await;
    assert_eq!((answer.trailer("grpc-status"), &*answer.body), (Some("0"), &framed(b"\xff")[..]));
    let lines = sidecar.audit(3).await;
    let said = |line: &serde_json::Value| json!(["decision", "enforcement", "unverified"].map(|name| line.get(name)));
    assert_eq!(said(&lines[0]), json!(["refused", "audit", null]));
    assert_eq!(said(&lines[1]), json!(["filtered", "audit", null]));
    assert_eq!(said(&lines[2]), json!(["refused", "audit", true]));
    let unread = [asked.encode_to_vec(), vec![0x38, 1]].concat();
    let text = "the message has the field 7, which is not known";
    fails(&call(&sidecar, READ, &reader(), &unread).await, "3", text);
}

#[tokio::test]
async fn a_caller_that_hangs_up_ends_its_call() {
    let (sidecar, server, _http) = sidecar(OPEN, |_, _| Act::Hang).await;
    let asked = asks(&["customer:age"]).encode_to_vec();
    let token = reader();
    tokio::select! {
        answer = call(&sidecar, READ, &token, &asked) => panic!("{answer:?}"),
        () = until("the call upstream", async || (server.seen().len() == 1).then_some(())) => {}
    }
    until("the end of the call upstream", async || (server.abandoned() == 1).then_some(())).await;
    assert_eq!(sidecar.audit(1).await[0]["status"], 499);
}
