//! Calls of Chalk that were written to get round the policy, through the whole sidecar.

use bytes::Bytes;
use prost::Message;
use tagwarden::dialect::chalk::proto::{
    ErrorCode, GenericSingleQuery, OnlineQueryContext, OnlineQueryMultiRequest, OnlineQueryRequest,
    OnlineQueryResponse, Output, OutputExpr, PingRequest, PingResponse, SingleQuery, Value, ValueKind,
};

use crate::support::client::{Answer, H2, request};
use crate::support::grpc::{Act, Grpc, framed};
use crate::support::sidecar::{Setup, Sidecar, reader};

const SINGLE: &str = "/chalk.engine.v1.QueryService/OnlineQuery";
const MULTI: &str = "/chalk.engine.v1.QueryService/OnlineQueryMulti";
const PING: &str = "/chalk.engine.v1.QueryService/Ping";

const POLICY: &str = "\
version: 1
roles:
  reader: {tags: {pii: Deny}}
bindings:
  - {roles: [reader], when: {groups: readers}}
bundles:
  named: [user.name]
features:
  user.id: {key: true}
  user.name:
  user.ssn: {tags: [pii]}
  user.copy: {inputs: [user.ssn]}
  user.score: {default_version: 2}
  user.score@2: {tags: [pii]}
";

/// In front of a server that answers every call with this message.
async fn sidecar(answer: &impl Message) -> (Sidecar, Grpc) {
    let answer = answer.encode_to_vec();
    let (server, at) = Grpc::plan(move |_, _| Act::fine(&answer)).await;
    let wide: String = (0..300).map(|at| format!("  wide.f{at}:\n")).collect();
    let mut setup = Setup::at(&format!("http://{at}"))
        .with("listen: {address: \"127.0.0.1:0\", public_url: \"http://127.0.0.1:8080\"}")
        .with("chalk: {environment: prod}")
        .policy(&format!("{POLICY}{wide}"));
    setup.upstream = setup.upstream.replace("feast", "chalk");
    (setup.start().await, server)
}

fn asks(outputs: &[&str]) -> OnlineQueryRequest {
    let outputs = outputs.iter().map(|name| OutputExpr { expr: Some(Output::Feature((*name).to_owned())) });
    OnlineQueryRequest { outputs: outputs.collect(), ..OnlineQueryRequest::default() }.given("user.id", 1.0)
}

trait Given {
    fn given(self, name: &str, value: f64) -> Self;
}

impl Given for OnlineQueryRequest {
    fn given(mut self, name: &str, value: f64) -> Self {
        self.inputs.insert(name.to_owned(), Value { kind: Some(ValueKind::Number(value)) });
        self
    }
}

async fn call(sidecar: &Sidecar, path: &str, more: &[(&str, &str)], message: &impl Message) -> Answer {
    let bearer = format!("Bearer {}", reader());
    let own = [("content-type", "application/grpc"), ("te", "trailers"), ("authorization", &bearer)];
    let headers: Vec<_> = own.into_iter().chain(more.iter().copied()).collect();
    H2::connect(sidecar.data).await.send("POST", path, &headers, framed(&message.encode_to_vec())).await
}

/// The names that are refused by an answer.
#[track_caller]
fn refused(answer: &Answer) -> Vec<String> {
    assert_eq!((answer.status, answer.trailer("grpc-status")), (200, Some("0")), "{answer:?}");
    let answer = OnlineQueryResponse::decode(Bytes::from(answer.body[5..].to_vec())).unwrap();
    assert_eq!(answer.data, None);
    assert!(answer.errors.iter().all(|error| error.code == i32::from(ErrorCode::Unauthorized)), "{answer:?}");
    answer.errors.into_iter().filter_map(|error| error.feature).collect()
}

#[tokio::test]
async fn a_header_that_no_grpc_client_sends_does_not_say_which_version_is_meant() {
    let (sidecar, server) = sidecar(&OnlineQueryResponse::default()).await;
    for more in [&[][..], &[("x-chalk-features-versioned", "true")]] {
        assert_eq!(refused(&call(&sidecar, SINGLE, more, &asks(&["user.score"])).await), ["user.score"]);
        // Whichever is supplied, neither may be denied.
        let given = asks(&["user.name"]).given("user.score", 1.0);
        assert_eq!(refused(&call(&sidecar, SINGLE, more, &given).await), ["user.score"]);
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn another_graph_is_not_even_pinged() {
    let (sidecar, server) = sidecar(&PingResponse { num: 1 }).await;
    for header in ["x-chalk-branch-id", "x-chalk-preview-deployment", "x-chalk-deployment-tag"] {
        let answer = call(&sidecar, PING, &[(header, "b")], &PingRequest { num: 1 }).await;
        let told = (answer.header("grpc-status"), answer.header("grpc-message"));
        assert_eq!(told, (Some("3"), Some("`branch` is not allowed for this caller")), "{header}");
    }
    assert!(server.seen().is_empty());
    let answer = call(&sidecar, PING, &[], &PingRequest { num: 1 }).await;
    assert_eq!(answer.trailer("grpc-status"), Some("0"), "{answer:?}");
}

#[tokio::test]
async fn many_small_queries_stand_for_no_more_than_one() {
    let (sidecar, server) = sidecar(&OnlineQueryResponse::default()).await;
    let query = |number: usize| {
        // Each is another one to the decision cache.
        let query = asks(&["wide"]);
        let context = OnlineQueryContext { correlation_id: Some(number.to_string()), ..OnlineQueryContext::default() };
        GenericSingleQuery { query: Some(SingleQuery::Single(OnlineQueryRequest { context: Some(context), ..query })) }
    };
    let all = OnlineQueryMultiRequest { queries: (0..400).map(query).collect() };
    let answer = call(&sidecar, MULTI, &[], &all).await;
    let told = (answer.header("grpc-status"), answer.header("grpc-message"));
    assert_eq!(told, (Some("3"), Some("what is asked for stands for more than 100000 features")));
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_name_that_is_denied_is_told_as_one_that_there_is_not() {
    let (sidecar, server) = sidecar(&OnlineQueryResponse::default()).await;
    let headers = format!("authorization: Bearer {}\r\ncontent-type: application/json\r\n", reader());
    let ask = |body: String| sidecar.ask(request("POST", "/v1/query/online", &headers, body));
    for body in [
        r#"{"inputs":{"user.id":1},"outputs":["NAME"]}"#,
        r#"{"inputs":{"user.id":1},"outputs":["NAME","user.name"]}"#,
        r#"{"inputs":{"user.id":1},"outputs":["NAME[user.id]"]}"#,
        r#"{"inputs":{"user.id":1},"outputs":["NAME.x"]}"#,
        r#"{"inputs":{"user.id":1,"NAME":2},"outputs":["user.name"]}"#,
        r#"{"inputs":{"user.id":1,"NAME":2},"query_name":"named"}"#,
        r#"{"inputs":{"user.id":1,"NAME":2},"query_name":"nothing"}"#,
        r#"{"inputs":{},"query_name":"NAME"}"#,
    ] {
        let (denied, unknown) =
            (ask(body.replace("NAME", "user.ssn")).await, ask(body.replace("NAME", "user.sss")).await);
        assert_eq!((denied.status, unknown.status), (200, 200), "{body}");
        let text = |answer: &Answer| answer.json().to_string();
        assert_eq!(text(&denied).replace("user.ssn", "user.sss"), text(&unknown), "{body}");
        assert!(text(&unknown).contains("UNAUTHORIZED"), "{body}: {unknown:?}");
    }
    assert!(server.seen().is_empty());
}
