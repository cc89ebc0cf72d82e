//! Traces and logs: spans as a collector gets them, the trace that the upstream sees, and the ids that tie all of it together.

mod exporter;

use prost::Message as _;
use serde_json::Value;

use crate::feast_calls;
use crate::support::client::{Answer, H2, ask, query, request};
use crate::support::collector::{Collector, ON, Seen};
use crate::support::grpc::{Grpc, framed};
use crate::support::process::Process;
use crate::support::sidecar::{FINE, POLICY, REFUSED, Setup, cutter, reader};
use crate::support::tokens::ISSUER;
use crate::support::until;
use crate::support::upstream::{Act, Recorded, Upstream};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// A Feast query with these headers beside its token.
fn traced(token: &str, headers: &str, body: &str) -> Vec<u8> {
    let all = format!("authorization: Bearer {token}\r\ncontent-type: application/json\r\n{headers}");
    request("POST", "/get-online-features", &all, body)
}

fn parent(flags: &str) -> String {
    format!("traceparent: 00-{TRACE}-{CALLER}-{flags}\r\ntracestate: a=1,b=2\r\nbaggage: k=v\r\n")
}

#[track_caller]
fn one<'s>(spans: &'s [Seen], name: &str) -> &'s Seen {
    let mut all = spans.iter().filter(|seen| seen.span.name == name);
    let first = all.next().unwrap_or_else(|| panic!("no `{name}` in {spans:#?}"));
    assert!(all.next().is_none(), "`{name}` twice in {spans:#?}");
    first
}

async fn metric(process: &Process, series: &str) -> f64 {
    let text = ask(process.metrics, request("GET", "/metrics", "", "")).await.text().to_owned();
    let found = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    found.map_or(0.0, |value| value.parse().unwrap())
}

async fn audit(setup: &Setup, answer: &Answer) -> Value {
    until("the audit line", async || {
        let text = std::fs::read_to_string(setup.folder.path("audit.jsonl")).ok()?;
        let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.find(|line| line["decision_id"] == answer.decision_id())
    })
    .await
}

#[tokio::test]
async fn a_request_is_one_trace_from_its_caller_to_the_feature_server() {
    let (upstream, collector) = (Upstream::start().await, Collector::start().await);
    let setup = Setup::new(&upstream).with(ON);
    let process = collector.process(&setup, &[]).await;
    let token = reader();
    let answer = ask(process.data, traced(&token, &parent("01"), FINE)).await;
    assert_eq!(answer.status, 200);
    let spans = collector.of(&answer).await;
    assert_eq!(spans.len(), 4, "{spans:#?}");
    assert!(spans.iter().all(|seen| seen.trace() == TRACE), "{spans:#?}");

    let server = &spans[0];
    assert_eq!(server.span.name, "POST /get-online-features");
    // 1 is INTERNAL, 2 SERVER, 3 CLIENT.
    assert_eq!((server.span.kind, server.parent().as_str()), (2, CALLER));
    let port = upstream.url.rsplit_once(':').unwrap().1;
    for (name, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/get-online-features"),
        ("url.path", "/get-online-features"),
        ("http.response.status_code", "200"),
        ("network.protocol.version", "1.1"),
        ("tagwarden.decision_id", answer.decision_id()),
        ("tagwarden.decision", "permitted"),
        ("tagwarden.generation", "1"),
        ("tagwarden.outputs.refused", "0"),
        ("tagwarden.outputs.filtered", "0"),
    ] {
        assert_eq!(server.get(name), value, "{name}: {server:#?}");
    }
    assert!(!server.is_error());

    assert_eq!(one(&spans, "verify token").span.kind, 1);
    let decide = one(&spans, "decide");
    assert_eq!((decide.span.kind, decide.get("tagwarden.decision")), (1, "permitted"));
    let client = spans.iter().find(|seen| seen.span.kind == 3).unwrap();
    assert_eq!(client.span.name, "POST /get-online-features");
    let full = format!("{}/get-online-features", upstream.url);
    for (name, value) in [
        ("http.request.method", "POST"),
        ("server.address", "127.0.0.1"),
        ("server.port", port),
        ("url.full", full.as_str()),
        ("http.response.status_code", "200"),
    ] {
        assert_eq!(client.get(name), value, "{name}: {client:#?}");
    }
    for child in [decide, client] {
        assert!(child.span.start_time_unix_nano >= server.span.start_time_unix_nano);
        assert!(child.span.end_time_unix_nano <= server.span.end_time_unix_nano);
    }

    // The upstream's parent is our call of it.
    let seen = upstream.only();
    assert_eq!(seen.header("traceparent"), Some(format!("00-{TRACE}-{}-01", client.id())));
    assert_eq!(seen.header("tracestate").as_deref(), Some("a=1,b=2"));
    assert_eq!(seen.header("baggage").as_deref(), Some("k=v"));
    assert_eq!(audit(&setup, &answer).await["trace_id"], TRACE);

    // A token that was verified is not verified again; what is taken out is counted.
    assert_eq!(collector.of(&ask(process.data, query(&token, FINE)).await).await.len(), 3);
    let cut = collector.of(&ask(process.data, query(&cutter(), REFUSED)).await).await;
    assert_eq!((cut[0].get("tagwarden.decision"), cut[0].get("tagwarden.outputs.filtered")), ("filtered", "1"));
}

#[tokio::test]
async fn one_id_finds_a_request_in_its_answer_its_span_its_audit_line_and_the_log() {
    let (upstream, collector) = (Upstream::start().await, Collector::start().await);
    let setup = Setup::new(&upstream).with("tracing: {level: debug, otlp: true}");
    let mut process = collector.process(&setup, &[]).await;

    let refused = ask(process.data, query(&reader(), REFUSED)).await;
    refused.fails(403, "FEATURES_REFUSED");
    let spans = collector.of(&refused).await;
    let (own, line) = (&spans[0], audit(&setup, &refused).await);
    assert_eq!((own.get("tagwarden.decision"), own.get("tagwarden.outputs.refused")), ("refused", "1"));
    assert_eq!((own.get("tagwarden.error.code"), own.is_error()), ("FEATURES_REFUSED", false));
    // No traceparent came: the trace begins here, and is in the audit all the same.
    assert_eq!((own.parent(), own.trace()), (String::new(), line["trace_id"].as_str().unwrap().to_owned()));
    let told: Value = serde_json::from_str(&process.logged(refused.decision_id()).await).unwrap();
    assert_eq!((&told["trace_id"], &told["message"]), (&line["trace_id"], &Value::from("a request is not served")));
    assert_eq!(told["code"], "FEATURES_REFUSED");

    upstream.turns_to(Act::Close);
    let failed = ask(process.data, traced(&reader(), &parent("01"), FINE)).await;
    failed.fails(502, "UPSTREAM_FAILED");
    let spans = collector.of(&failed).await;
    let call = spans.iter().find(|seen| seen.span.kind == 3).unwrap();
    assert_eq!((call.get("error.type"), call.is_error()), ("broken", true));
    assert_eq!((spans[0].get("error.type"), spans[0].is_error()), ("UPSTREAM_FAILED", true));
    assert_eq!(spans[0].trace(), TRACE);
    let line = audit(&setup, &failed).await;
    assert_eq!((&line["trace_id"], &line["status"]), (&Value::from(TRACE), &Value::from(502)));
    let told = process.logged("the upstream broke off").await;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["decision_id"], &told["trace_id"]), (&line["decision_id"], &Value::from(TRACE)));
}

#[tokio::test]
async fn nothing_of_a_caller_a_token_or_a_value_is_in_a_span_or_the_log() {
    let plan = |request: &Recorded, _| match request.target() {
        "/get-online-features" => Act::Feast,
        _ => Act::json("200 OK", "{}"),
    };
    let (upstream, collector) = (Upstream::plan(plan).await, Collector::start().await);
    let setup = Setup::new(&upstream).with(ON).with("routes: [{path: /v1/open, methods: [GET], public: true}]");
    let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20canary-key,x-tenant=t1");
    let process = collector.process(&setup, &[headers, ("RUST_LOG", "trace")]).await;
    let body = FINE.replace("[1,2]", "[\"canary-key-of-a-person\",2]");
    let mut answers = vec![
        ask(process.data, query(&reader(), &body)).await,
        ask(process.data, query("canary-token", &body)).await,
        ask(process.data, request("GET", "/v1/open?who=canary-query", "", "")).await,
        ask(process.data, request("CANARY", "/canary-path?canary", "user-agent: canary\r\n", "")).await,
    ];
    answers.push(ask(process.data, query(&reader(), REFUSED)).await);
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 401, 200, 404, 403]);
    for answer in &answers {
        collector.of(answer).await;
    }
    let spans = format!("{:?}", collector.spans());
    for word in ["canary", "customer", "caller-1", "readers", reader().split('.').nth(1).unwrap()] {
        assert!(!spans.contains(word), "{word}: {spans}");
    }
    assert!(spans.contains("\"_OTHER\""), "{spans}");
    let log = process.log();
    assert!(log.contains("spans are exported") && !log.contains("canary"), "{log}");
    // The collector alone sees its headers.
    let sent = collector.server.seen();
    assert!(sent.iter().all(|sent| sent.header("authorization").as_deref() == Some("Bearer canary-key")));
    assert_eq!((sent[0].line(), sent[0].header("x-tenant").as_deref()), ("POST /v1/traces HTTP/1.1", Some("t1")));
}

#[tokio::test]
async fn what_its_caller_does_not_sample_is_not_sampled_and_says_so_upstream() {
    let (upstream, collector) = (Upstream::start().await, Collector::start().await);
    let setup = Setup::new(&upstream).with(ON);
    let process = collector.process(&setup, &[]).await;
    let unsampled = ask(process.data, traced(&reader(), &parent("00"), FINE)).await;
    let sampled = ask(process.data, traced(&reader(), &parent("01"), FINE)).await;
    collector.of(&sampled).await;
    let spans = collector.requests(1).await;
    assert!(spans.iter().all(|seen| seen.get("tagwarden.decision_id") != unsampled.decision_id()), "{spans:#?}");
    let went = upstream.seen()[0].header("traceparent").unwrap();
    let parts: Vec<&str> = went.split('-').collect();
    assert_eq!((parts[0], parts[1], parts[3]), ("00", TRACE, "00"));
    assert_ne!(parts[2], CALLER);
    assert_eq!(audit(&setup, &unsampled).await["trace_id"], TRACE);
}

#[tokio::test]
async fn a_traceparent_that_is_none_begins_a_trace_and_its_state_stays_here() {
    let (upstream, collector) = (Upstream::start().await, Collector::start().await);
    let setup = Setup::new(&upstream).with(ON);
    let process = collector.process(&setup, &[]).await;
    let wrong = [
        "traceparent: nonsense\r\ntracestate: a=1\r\n".to_owned(),
        format!("{}traceparent: 00-{TRACE}-{CALLER}-01\r\n", parent("01")),
        format!("traceparent: 00-{TRACE}-0000000000000000-01\r\ntracestate: a=1\r\n"),
    ];
    for (number, headers) in wrong.iter().enumerate() {
        let answer = ask(process.data, traced(&reader(), headers, FINE)).await;
        assert_eq!(answer.status, 200);
        let own = collector.of(&answer).await.remove(0);
        assert_ne!(own.trace(), TRACE, "{headers}");
        let went = upstream.seen()[number].clone();
        let parents: Vec<_> = went.headers().into_iter().filter(|(name, _)| name == "traceparent").collect();
        assert_eq!(parents.len(), 1, "{headers}");
        assert_eq!(parents[0].1.split('-').nth(1).unwrap(), own.trace());
        assert_eq!(went.header("tracestate"), None);
    }
}

#[tokio::test]
async fn without_spans_a_trace_passes_as_it_came() {
    let (upstream, collector) = (Upstream::start().await, Collector::start().await);
    let off = [("", ""), ("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")];
    for (number, (name, value)) in off.into_iter().enumerate() {
        let section = if name.is_empty() { "tracing: {otlp: false}" } else { ON };
        let setup = Setup::new(&upstream).with(section);
        let variables = [(name, value)];
        let set = if name.is_empty() { 0 } else { 1 };
        let mut process = collector.process(&setup, &variables[..set]).await;
        let answer = ask(process.data, traced(&reader(), &parent("01"), FINE)).await;
        assert_eq!(answer.status, 200);
        let went = upstream.seen()[number].clone();
        assert_eq!(went.header("traceparent"), Some(format!("00-{TRACE}-{CALLER}-01")));
        assert_eq!(went.header("tracestate").as_deref(), Some("a=1,b=2"));
        assert_eq!(audit(&setup, &answer).await["trace_id"], TRACE);
        process.terminate();
        assert_eq!(process.exit().await, 0);
    }
    // Those that were there would have been sent at the end.
    assert_eq!(collector.server.count(), 0);
}

#[tokio::test]
async fn a_call_by_grpc_is_in_the_trace_too() {
    let columns: &[(&str, &[u8])] = &[("customer_id", b"1"), ("customer__age", b"40")];
    let (server, at) = Grpc::plan(move |_, _| feast_calls::answers(columns)).await;
    let (http, collector) = (Upstream::start().await, Collector::start().await);
    let setup =
        Setup::new(&http).upstream_with(&format!("engine_url: \"http://{at}\"")).with(ON).with(feast_calls::OPEN);
    let process = collector.process(&setup, &[]).await;
    let call = async |features: &[&str]| {
        let (bearer, parent) = (format!("Bearer {}", reader()), format!("00-{TRACE}-{CALLER}-01"));
        let own = [("content-type", "application/grpc"), ("te", "trailers"), ("authorization", bearer.as_str())];
        let headers = [own.as_slice(), &[("traceparent", parent.as_str())]].concat();
        let message = framed(&feast_calls::asks(features).encode_to_vec());
        H2::connect(process.data).await.send("POST", feast_calls::READ, &headers, message).await
    };
    let spans = collector.of(&call(&["customer:age"]).await).await;
    let method = feast_calls::READ.trim_start_matches('/');
    let client = one(&spans, method);
    for seen in [&spans[0], client] {
        assert_eq!(seen.trace(), TRACE);
        for (name, value) in [("rpc.system.name", "grpc"), ("rpc.method", method), ("rpc.response.status_code", "OK")] {
            assert_eq!(seen.get(name), value, "{name}: {seen:#?}");
        }
    }
    let went = server.seen().remove(0).head.headers["traceparent"].to_str().unwrap().to_owned();
    assert_eq!(went, format!("00-{TRACE}-{}-01", client.id()));

    let refused = collector.of(&call(&["customer:ssn"]).await).await;
    assert_eq!(refused[0].get("rpc.response.status_code"), "PERMISSION_DENIED");
    assert_eq!(refused[0].get("http.response.status_code"), "200");
}

#[tokio::test]
async fn who_judges_a_token_is_asked_within_the_trace() {
    let (upstream, collector) = (Upstream::start().await, Collector::start().await);
    let provider = Upstream::always(Act::json("200 OK", r#"{"active": false}"#)).await;
    let mut setup = Setup::new(&upstream).with(ON);
    let judge = format!("{{url: \"{}/introspect\", client_id: us, secret_file: secret}}", provider.url);
    setup.auth = format!(", opaque: {{introspection: {judge}, ttl: 1h, negative_ttl: 1h}}");
    setup.folder.write("secret", "s");
    let setup = setup.policy(&POLICY.replace("{groups: ", &format!("{{iss: \"{ISSUER}\", groups: ")));
    let process = collector.process(&setup, &[]).await;
    for judged in [1, 0] {
        let answer = ask(process.data, query("an-opaque-token", FINE)).await;
        answer.fails(401, "UNAUTHORIZED");
        let spans = collector.of(&answer).await;
        let asked: Vec<_> = spans.iter().filter(|seen| seen.span.name == "judge token").collect();
        assert_eq!(asked.len(), judged, "{spans:#?}");
        assert!(asked.iter().all(|seen| (seen.span.kind, seen.get("server.address")) == (3, "127.0.0.1")));
        assert_eq!(one(&spans, "verify token").get("tagwarden.token"), "invalid");
    }
}
