//! Calls of Chalk through the whole sidecar: what a caller in gRPC or Connect gets, and what reaches the server behind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message;
use tagwarden::dialect::chalk::proto::{
    ChalkError, ErrorCode, FeatureResult, GenericSingleQuery, GenericSingleResponse, OnlineQueryMultiRequest,
    OnlineQueryMultiResponse, OnlineQueryRequest, OnlineQueryResponse, OnlineQueryResult, Output, OutputExpr,
    PingRequest, PingResponse, SingleQuery, SingleResponse, Value, ValueKind,
};
use tokio::sync::Notify;

use crate::support::client::{Answer, H2, request};
use crate::support::grpc::{Act, Grpc, framed};
use crate::support::sidecar::{Setup, Sidecar, reader};
use crate::support::until;

const SECRET: &str = "000-00-0000";
const SINGLE: &str = "/chalk.engine.v1.QueryService/OnlineQuery";
const MULTI: &str = "/chalk.engine.v1.QueryService/OnlineQueryMulti";
const PING: &str = "/chalk.engine.v1.QueryService/Ping";

const POLICY: &str = "\
version: 1
roles:
  reader: {tags: {pii: Deny}}
bindings:
  - {roles: [reader], when: {groups: readers}}
features:
  user.id: {key: true}
  user.name: {joins: [user.id]}
  user.ssn: {tags: [pii], joins: [user.id]}
";

async fn sidecar(plan: impl Fn(&[u8], usize) -> Act + Send + Sync + 'static) -> (Sidecar, Grpc) {
    let (server, at) = Grpc::plan(move |called, number| plan(&called.body, number)).await;
    let mut setup = Setup::at(&format!("http://{at}"))
        .with("listen: {address: \"127.0.0.1:0\", public_url: \"http://127.0.0.1:8080\"}")
        .with("chalk: {environment: prod}")
        .policy(POLICY);
    setup.upstream = setup.upstream.replace("feast", "chalk");
    (setup.start().await, server)
}

fn asks(outputs: &[&str]) -> OnlineQueryRequest {
    let one = Value { kind: Some(ValueKind::Number(1.0)) };
    let outputs = outputs.iter().map(|name| OutputExpr { expr: Some(Output::Feature((*name).to_owned())) });
    OnlineQueryRequest {
        inputs: [("user.id".to_owned(), one)].into(),
        outputs: outputs.collect(),
        ..OnlineQueryRequest::default()
    }
}

fn says(fields: &[(&str, &str)]) -> OnlineQueryResponse {
    let result = |(field, value): &(&str, &str)| FeatureResult {
        field: (*field).to_owned(),
        value: Some(Value { kind: Some(ValueKind::String((*value).to_owned())) }),
        ..FeatureResult::default()
    };
    let results = fields.iter().map(result).collect();
    OnlineQueryResponse { data: Some(OnlineQueryResult { results }), ..OnlineQueryResponse::default() }
}

/// The server's answer, which has more than was asked for.
fn leaks() -> Act {
    Act::fine(&says(&[("user.name", "Ada"), ("user.ssn", SECRET)]).encode_to_vec())
}

async fn call(sidecar: &Sidecar, path: &str, more: &[(&str, &str)], message: &[u8]) -> Answer {
    let bearer = format!("Bearer {}", reader());
    let own = [("content-type", "application/grpc"), ("te", "trailers"), ("authorization", &bearer)];
    let headers: Vec<_> = own.into_iter().chain(more.iter().copied()).collect();
    H2::connect(sidecar.data).await.send("POST", path, &headers, framed(message)).await
}

/// The message of an answer that is fine.
#[track_caller]
fn message<M: Message + Default>(answer: &Answer) -> M {
    assert_eq!((answer.status, answer.trailer("grpc-status")), (200, Some("0")), "{answer:?}");
    answer.decision_id();
    let body = Bytes::from(answer.body.clone());
    assert_eq!(body[..5], framed(&body[5..])[..5]);
    M::decode(body.slice(5..)).unwrap()
}

/// Checks that a call ended with this status and text.
#[track_caller]
fn fails(answer: &Answer, status: &str, text: &str) {
    let told = (answer.status, answer.header("grpc-status"), answer.header("grpc-message"));
    assert_eq!(told, (200, Some(status), Some(text)), "{answer:?}");
    assert!(answer.body.is_empty() && answer.trailers.is_empty(), "{answer:?}");
    answer.decision_id();
}

#[tokio::test]
async fn what_is_permitted_comes_back_and_nothing_else() {
    let (sidecar, server) = sidecar(|_, _| leaks()).await;
    let answer = call(&sidecar, SINGLE, &[("x-custom", "1")], &asks(&["user.name"]).encode_to_vec()).await;
    assert_eq!(message::<OnlineQueryResponse>(&answer), says(&[("user.name", "Ada")]));
    assert_eq!(answer.trailer("x-chalk-trace-id"), Some("trace"));
    let called = server.seen().remove(0);
    assert_eq!(called.body, framed(&asks(&["user.name"]).encode_to_vec()));
    assert_eq!((called.head.uri.path(), called.head.headers.get("authorization")), (SINGLE, None));
    assert_eq!(called.head.headers["x-custom"], "1");
    assert_eq!(called.head.headers["x-chalk-env-id"], "prod");

    // The same in Connect, over HTTP/1.1.
    let headers = format!("authorization: Bearer {}\r\ncontent-type: application/proto\r\n", reader());
    let answer = sidecar.ask(request("POST", SINGLE, &headers, asks(&["user.name"]).encode_to_vec())).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/proto")));
    assert_eq!(OnlineQueryResponse::decode(answer.body.as_slice()).unwrap(), says(&[("user.name", "Ada")]));
    assert_eq!(answer.header("trailer-x-chalk-trace-id"), Some("trace"));
    assert_eq!(sidecar.audit(2).await[1]["route"], SINGLE);
}

#[tokio::test]
async fn what_is_not_permitted_never_reaches_the_server() {
    let (sidecar, server) = sidecar(|_, _| leaks()).await;
    for outputs in [&["user.ssn"][..], &["user.name", "user.ssn"], &["user.nothing"], &["user"], &["USER.SSN"]] {
        let answer = call(&sidecar, SINGLE, &[], &asks(outputs).encode_to_vec()).await;
        let OnlineQueryResponse { data, errors, .. } = message(&answer);
        assert_eq!(data, None);
        let [ChalkError { code, feature, message, exception, .. }] = errors.as_slice() else { panic!("{errors:?}") };
        let name = outputs.last().unwrap();
        assert_eq!((*code, feature.as_deref(), exception), (ErrorCode::Unauthorized.into(), Some(*name), &None));
        assert_eq!(*message, format!("Feature '{name}' is not authorized for this caller"));
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_refused_query_among_several_is_refused_alone() {
    let multi = |queries: Vec<OnlineQueryRequest>| {
        let queries = queries.into_iter().map(|query| GenericSingleQuery { query: Some(SingleQuery::Single(query)) });
        OnlineQueryMultiRequest { queries: queries.collect() }
    };
    let (sidecar, server) = sidecar(|_, _| {
        let single = SingleResponse::Single(says(&[("user.name", "Ada"), ("user.ssn", SECRET)]));
        let responses = vec![GenericSingleResponse { query: Some(single) }];
        Act::fine(&OnlineQueryMultiResponse { responses, errors: Vec::new() }.encode_to_vec())
    })
    .await;
    let both = multi(vec![asks(&["user.ssn"]), asks(&["user.name"])]);
    let answer: OnlineQueryMultiResponse = message(&call(&sidecar, MULTI, &[], &both.encode_to_vec()).await);
    let [first, second] = answer.responses.as_slice() else { panic!("{answer:?}") };
    let Some(SingleResponse::Single(first)) = &first.query else { panic!("{first:?}") };
    assert_eq!((first.errors[0].feature.as_deref(), &first.data), (Some("user.ssn"), &None));
    assert_eq!(second.query, Some(SingleResponse::Single(says(&[("user.name", "Ada")]))));
    assert_eq!(server.seen()[0].body, framed(&multi(vec![asks(&["user.name"])]).encode_to_vec()));
    // Two decisions were made.
    let decisions: Vec<_> = sidecar.audit(2).await.iter().map(|line| line["decision"].clone()).collect();
    assert_eq!(decisions, ["refused", "permitted"]);
}

#[tokio::test]
async fn failures_are_told_in_grpc() {
    let (sidecar, server) = sidecar(|_, _| leaks()).await;
    let query = asks(&["user.name"]).encode_to_vec();
    let unknown = call(&sidecar, "/chalk.engine.v1.QueryService/GetAggregates", &[], &query).await;
    fails(&unknown, "12", "There is no such route");
    let unknown = call(&sidecar, "/chalk.protosql.v1.SqlService/ExecuteSqlQuery", &[], &query).await;
    fails(&unknown, "12", "There is no such route");
    let more = [query.as_slice(), &[0x3a, 0]].concat();
    let text = "the message has the field 7, which is not known";
    fails(&call(&sidecar, SINGLE, &[], &more).await, "3", text);
    let text = "A message must be compressed with gzip or not at all";
    fails(&call(&sidecar, SINGLE, &[("grpc-encoding", "snappy")], &query).await, "12", text);
    let environment = call(&sidecar, SINGLE, &[("x-chalk-env-id", "dev")], &query).await;
    assert_eq!(environment.header("grpc-status"), Some("3"), "{environment:?}");
    let headers = [("content-type", "application/grpc"), ("te", "trailers")];
    let nobody = H2::connect(sidecar.data).await.send("POST", SINGLE, &headers, framed(&query)).await;
    fails(&nobody, "16", "A Bearer token is required");
    // Over HTTP/1.1 there is no gRPC, and JSON is UTF-8.
    let bearer = format!("authorization: Bearer {}\r\n", reader());
    let headers = format!("{bearer}content-type: application/grpc\r\n");
    let answer = sidecar.ask(request("POST", SINGLE, &headers, framed(&query))).await;
    assert_eq!((answer.status, answer.header("content-type")), (415, Some("application/json")));
    let headers = format!("{bearer}content-type: application/json; charset=latin1\r\n");
    let answer = sidecar.ask(request("POST", SINGLE, &headers, "{}")).await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (501, Some("unimplemented")));
    assert!(server.seen().is_empty());
    // In the metrics they have their status in HTTP.
    for (status, times) in [("400", 2.0), ("401", 1.0), ("415", 3.0)] {
        let series = format!("tagwarden_requests_total{{code=\"{status}\",route=\"{SINGLE}\"}}");
        assert_eq!(sidecar.metric(&series).await, times, "{status}");
    }
}

#[tokio::test]
async fn nobody_waits_longer_than_the_caller() {
    let (sidecar, server) = sidecar(|_, _| Act::Hang).await;
    let before = Instant::now();
    let answer = call(&sidecar, SINGLE, &[("grpc-timeout", "300m")], &asks(&["user.name"]).encode_to_vec()).await;
    fails(&answer, "4", "The feature server did not answer in time");
    assert!(before.elapsed() >= Duration::from_millis(250), "{:?}", before.elapsed());
    until("the end of the call upstream", async || (server.abandoned() == 1).then_some(())).await;
    // No time at all is left for a call.
    let answer = call(&sidecar, SINGLE, &[("grpc-timeout", "0n")], &asks(&["user.name"]).encode_to_vec()).await;
    fails(&answer, "4", "The feature server did not answer in time");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_caller_that_hangs_up_ends_its_call() {
    let gate = Arc::new(Notify::new());
    let wait = Arc::clone(&gate);
    let (sidecar, server) = sidecar(move |_, _| {
        wait.notify_one();
        Act::Hang
    })
    .await;
    let query = asks(&["user.name"]).encode_to_vec();
    tokio::select! {
        answer = call(&sidecar, SINGLE, &[], &query) => panic!("{answer:?}"),
        () = gate.notified() => {}
    }
    until("the end of the call upstream", async || (server.abandoned() == 1).then_some(())).await;
    assert_eq!(sidecar.audit(1).await[0]["status"], 499);
}

#[tokio::test]
async fn an_upstream_that_fails_is_told_without_its_words() {
    let error = [("grpc-status", "9"), ("grpc-message", "ssn 000-00-0000"), ("x-chalk-trace-id", "t")];
    let (sidecar, _) = sidecar(move |_, number| match number {
        0 => Act::Answer(vec![("content-type", "application/grpc")], Bytes::new(), error.to_vec()),
        1 => Act::Answer(vec![("content-type", "application/grpc")], framed(b"\xff"), vec![("grpc-status", "0")]),
        2 => Act::fine(&PingResponse { num: 7 }.encode_to_vec()),
        _ => Act::Die,
    })
    .await;
    let query = asks(&["user.name"]).encode_to_vec();
    let answer = call(&sidecar, SINGLE, &[], &query).await;
    fails(&answer, "9", "The feature server ended the call with an error");
    assert_eq!(answer.header("x-chalk-trace-id"), Some("t"));
    fails(&call(&sidecar, SINGLE, &[], &query).await, "14", "The feature server's answer cannot be verified");
    let ping = call(&sidecar, PING, &[], &PingRequest { num: 7 }.encode_to_vec()).await;
    assert_eq!(message::<PingResponse>(&ping), PingResponse { num: 7 });
    fails(&call(&sidecar, SINGLE, &[], &query).await, "14", "The feature server failed");
}

#[tokio::test]
async fn json_by_hand_is_a_query_like_any_other() {
    let (sidecar, server) = sidecar(|_, _| leaks()).await;
    let bearer = format!("Bearer {}", reader());
    let lines = format!("authorization: {bearer}\r\ncontent-type: application/json; charset=utf-8\r\n");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let h2 = H2::connect(sidecar.data).await;
    let permitted = r#"{"inputs": {"user.id": 1}, "outputs": [{"featureFqn": "user.name"}], "now": null}"#;
    let original = r#"{"inputs": {"user.id": 1.0}, "outputs": [{"feature_fqn": "user.name"}]}"#;
    for (number, body) in [permitted, original].into_iter().enumerate() {
        let one = sidecar.ask(request("POST", SINGLE, &lines, body)).await;
        let two = h2.send("POST", SINGLE, &headers, body).await;
        for answer in [one, two] {
            assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{answer:?}");
            let told = serde_json::json!({"data": {"results": [{"field": "user.name", "value": "Ada"}]}});
            assert_eq!(answer.json(), told);
            assert_eq!(answer.header("trailer-x-chalk-trace-id"), Some("trace"));
            answer.decision_id();
        }
        let seen = server.seen();
        assert_eq!(seen.len(), 2 * (number + 1));
        // What goes upstream is what gRPC would have sent.
        assert!(seen.iter().all(|called| called.body == framed(&asks(&["user.name"]).encode_to_vec())));
        assert_eq!(seen[0].head.headers["content-type"], "application/grpc");
    }
    let refused = r#"{"inputs": {"user.id": 1}, "outputs": [{"featureFqn": "user.name"}, {"featureFqn": "user.ssn"}]}"#;
    let answer = sidecar.ask(request("POST", SINGLE, &lines, refused)).await;
    let told = &answer.json()["errors"][0];
    assert_eq!(
        (answer.status, &told["code"], &told["feature"]),
        (200, &"ERROR_CODE_UNAUTHORIZED".into(), &"user.ssn".into())
    );
    assert_eq!(told["message"], "Feature 'user.ssn' is not authorized for this caller");
    for (body, text) in [
        ("", "the message cannot be read: the json text ends at byte 0, expected an object"),
        (r#"{"outputs": [], "overlay": {}}"#, "the message has the field `overlay`, which is not known"),
        (
            r#"{"inputs": {"user.id": 9007199254740993}, "outputs": [{"featureFqn": "user.name"}]}"#,
            "`inputs[0].value.number_value` is a whole number that would be rounded",
        ),
    ] {
        let answer = sidecar.ask(request("POST", SINGLE, &lines, body)).await;
        let told = serde_json::json!({"code": "invalid_argument", "message": text});
        assert_eq!((answer.status, answer.json()), (400, told), "{body}");
    }
    // gRPC has no JSON.
    let json = [("content-type", "application/grpc+json"), ("te", "trailers"), ("authorization", &bearer)];
    let answer = h2.send("POST", SINGLE, &json, framed(permitted.as_bytes())).await;
    fails(&answer, "12", "gRPC is read with the Content-Type application/grpc alone");
    assert_eq!(server.seen().len(), 4);
}
