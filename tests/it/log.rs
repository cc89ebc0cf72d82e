//! The log: its level and form, and what it tells of a request, its `decision_id` in every line and why it was not served.

use serde_json::Value;

use crate::support::client::{H2, Raw, ask, query, request};
use crate::support::process::Process;
use crate::support::sidecar::{FINE, POLICY, Setup};
use crate::support::tokens::KEY;
use crate::support::until;
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

/// Nothing is decided then, so that no audit line has who it was.
#[tokio::test]
async fn who_is_turned_away_is_told_as_an_audit_line_would() {
    let upstream = Upstream::start().await;
    let routes = "routes: [{path: /push, methods: [POST], roles: [writer]}]\ntracing: {level: debug}";
    let setup = Setup::new(&upstream).with(routes);
    let mut process = Process::serve(&setup.write(), &[]).await;
    let served = ask(process.data, query(&KEY.token(&["readers"]), FINE)).await;
    assert_eq!(served.status, 200);
    let audit = setup.folder.path("audit.jsonl");
    let known =
        until("the audit line", async || std::fs::read_to_string(&audit).ok().filter(|text| text.ends_with('\n')))
            .await;
    let known: Value = serde_json::from_str(&known).unwrap();

    let none = ask(process.data, query(&KEY.token(&["strangers"]), FINE)).await;
    none.fails(403, "FORBIDDEN");
    let headers = format!("authorization: Bearer {}\r\ncontent-type: application/json\r\n", KEY.token(&["readers"]));
    let other = ask(process.data, request("POST", "/push", &headers, "{}")).await;
    other.fails(403, "FORBIDDEN");
    for (answer, why) in [(none, "no binding of the policy gives it a role"), (other, "the route is for other roles")] {
        let line = line(&mut process, why).await;
        assert_eq!(line["decision_id"], answer.decision_id());
        assert_eq!((&line["caller"], &line["issuer"]), (&known["caller"], &known["issuer"]));
    }
}

/// They have the form of RFC 6749 and not ours; they are told all the same.
#[tokio::test]
async fn what_the_token_endpoint_refuses_is_told_by_its_id() {
    let upstream = Upstream::start().await;
    let setup = Setup::new(&upstream)
        .with("issuer: {url: \"http://127.0.0.1:8080\", audience: feature-server}\ntracing: {level: debug}");
    let bound = POLICY.replace("groups:", "iss: \"http://127.0.0.1:8080\", groups:");
    setup.folder.write("policy.yaml", bound);
    setup.folder.write("clients.yaml", "version: 1\nclients: {}\n");
    let mut process = Process::serve(&setup.write(), &[]).await;
    let form = "content-type: application/x-www-form-urlencoded\r\nauthorization: Basic eDp3cm9uZw==\r\n";
    let answer = ask(process.data, request("POST", "/oauth/token", form, "grant_type=client_credentials")).await;
    assert_eq!(answer.status, 401);
    let line = line(&mut process, answer.decision_id()).await;
    assert_eq!((&line["message"], &line["code"]), (&"a request is not served".into(), &"invalid_client".into()));
}

#[tokio::test]
async fn level_and_format_of_the_log_follow_the_configuration_and_a_flag_goes_before_it() {
    let upstream = Upstream::start().await;
    let setup = Setup::new(&upstream).with("tracing: {level: info}");
    let write = |tracing: &str| {
        setup.folder.write("tagwarden.yaml", setup.text().replace("tracing: {level: info}", tracing));
    };
    let refusal = "a token is refused";
    let mut process = Process::serve(&setup.write(), &[]).await;
    ask(process.data, query("nonsense", FINE)).await;
    write("tracing: {level: debug, format: text}");
    let line = until("a line of the new level", async || {
        ask(process.data, query("nonsense", FINE)).await;
        process.log().lines().find(|line| line.contains(refusal)).map(str::to_owned)
    })
    .await;
    assert!(line.contains("DEBUG") && !line.starts_with('{'), "{line}");
    write("tracing: {level: \"off\"}");
    until("silence", async || {
        let before = process.log().len();
        ask(process.data, query("nonsense", FINE)).await;
        let last = ask(process.data, query("nonsense", FINE)).await;
        assert_eq!(last.status, 401);
        (process.log().len() == before && !process.log()[before..].contains(refusal)).then_some(())
    })
    .await;
    write("tracing: {level: debug, format: json}");
    until("a line of the new format", async || {
        ask(process.data, query("nonsense", FINE)).await;
        process.log().lines().find(|line| line.starts_with('{') && line.contains(refusal)).map(|_| ())
    })
    .await;
    process.terminate();
    assert_eq!(process.exit().await, 0);

    // A flag stays, whatever the file says later.
    write("tracing: {level: info}");
    let config = setup.folder.path("tagwarden.yaml");
    let mut process = Process::serve(&config, &["--log-level", "info", "--log-format", "json"]).await;
    write("tracing: {level: trace, format: text, otlp: true}");
    let line = process.logged("`tracing.otlp` changes with a restart alone").await;
    assert!(line.starts_with('{'), "{line}");
    let line = process.logged("\"generation\":2").await;
    assert!(line.starts_with('{'), "{line}");
    ask(process.data, query("nonsense", FINE)).await;
    assert!(!process.log().contains(refusal), "{}", process.log());
}
