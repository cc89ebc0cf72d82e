//! Every line of the log about a request has its `decision_id`, those that come behind the head of its answer too.

use serde_json::Value;

use crate::support::client::{H2, Raw, request};
use crate::support::process::Process;
use crate::support::sidecar::Setup;
use crate::support::upstream::{Act, Upstream};

const SETTINGS: &str = "\
routes: [{path: /v1/open, methods: [GET], public: true}]
tracing: {level: debug}
limits: {body_timeout: 500ms}";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

async fn line(process: &mut Process, message: &str) -> Value {
    serde_json::from_str(&process.logged(message).await).unwrap()
}

#[tokio::test]
async fn an_answer_that_breaks_off_on_its_way_is_told_by_its_ids() {
    let begins = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\nbegins".to_vec();
    let upstream = Upstream::always(Act::BytesThenHang(begins)).await;
    let setup = Setup::new(&upstream).upstream_with("timeout: 300ms").with(SETTINGS);
    let mut process = Process::serve(&setup.write(), &[]).await;
    let mut raw = Raw::connect(process.data).await;
    let parent = format!("traceparent: 00-{TRACE}-b7ad6b7169203331-01\r\n");
    raw.send(request("GET", "/v1/open", &parent, "")).await;
    let answer = String::from_utf8(raw.end().await).unwrap();
    let (_, id) = answer.split_once("x-tagwarden-decision-id: ").unwrap();
    let line = line(&mut process, "an answer that was passed on is cut off").await;
    assert_eq!((&line["decision_id"], &line["trace_id"]), (&Value::from(&id[..32]), &Value::from(TRACE)));
}

#[tokio::test]
async fn an_answer_that_nobody_takes_is_told_by_its_id() {
    let upstream = Upstream::always(Act::answer("200 OK", "", vec![b'x'; 16 << 20])).await;
    let setup = Setup::new(&upstream).with(SETTINGS);
    let mut process = Process::serve(&setup.write(), &[]).await;
    let h2 = H2::reluctant(process.data, 1024).await;
    let stuck = h2.begin("/v1/open").await;
    let line = line(&mut process, "an answer that nobody takes is given up").await;
    assert_eq!(line["decision_id"], stuck.headers()["x-tagwarden-decision-id"].to_str().unwrap());
}
