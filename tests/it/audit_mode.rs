//! `enforcement: audit` (config.md): the feature decision is recorded and not carried out; everything else holds.

use serde_json::{Value, json};

use crate::support::client::{Answer, query, request};
use crate::support::sidecar::{FINE, REFUSED, Setup, Sidecar, cutter, reader};
use crate::support::tokens::KEY;
use crate::support::upstream::{Act, Upstream, value};

async fn suspended(upstream: &Upstream) -> Sidecar {
    Setup::new(upstream).with("enforcement: audit").start().await
}

fn names(answer: &Answer) -> Value {
    answer.json()["metadata"]["feature_names"].clone()
}

/// What a line says of the decision.
fn said(line: &Value) -> Value {
    let names = ["roles", "outputs", "decision", "enforcement", "refused", "status"];
    json!(names.map(|name| line[name].clone()))
}

#[tokio::test]
async fn what_would_be_refused_passes_whole_and_is_recorded() {
    let upstream = Upstream::start().await;
    let sidecar = suspended(&upstream).await;
    let answer = sidecar.query(&reader(), REFUSED).await;

    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(names(&answer), json!(["customer_id", "age", "ssn"]));
    assert_eq!(answer.json()["results"][2]["values"], json!([value("customer__ssn", 0), value("customer__ssn", 1)]));
    let sent =
        r#"{"features":["customer:age","customer:ssn"],"entities":{"customer_id":[1,2]},"full_feature_names":false}"#;
    assert_eq!(upstream.only().text(), sent);

    let refused = json!([{"feature": "customer:ssn", "permission": "Deny", "rule": 7, "tag": "pii"}]);
    let outputs = ["customer:age", "customer:ssn"];
    let lines = sidecar.audit(1).await;
    assert_eq!(said(&lines[0]), json!([["reader"], outputs, "refused", "audit", refused, 200]));
    assert_eq!(lines[0].get("unverified"), None);
    let at = "route=\"/get-online-features\"";
    assert_eq!(sidecar.metric(&format!("tagwarden_decisions_total{{decision=\"refused\",{at}}}")).await, 1.0);
    assert_eq!(sidecar.metric("tagwarden_outputs_refused_total{permission=\"Deny\"}").await, 1.0);
}

#[tokio::test]
async fn what_would_be_cut_stays_and_no_header_says_otherwise() {
    let upstream = Upstream::start().await;
    let sidecar = suspended(&upstream).await;
    let full = REFUSED.replace("\"entities\"", "\"full_feature_names\":true,\"entities\"");
    let answer = sidecar.query(&cutter(), full).await;

    assert_eq!((answer.status, answer.header("x-tagwarden-filtered")), (200, None));
    assert_eq!(names(&answer), json!(["customer_id", "customer__age", "customer__ssn"]));
    let line = sidecar.audit(1).await.remove(0);
    assert_eq!((&line["decision"], &line["enforcement"]), (&json!("filtered"), &json!("audit")));
    let dropped = "tagwarden_response_columns_dropped_total{route=\"/get-online-features\"}";
    assert_eq!(sidecar.metric(dropped).await, 0.0);
}

#[tokio::test]
async fn what_is_permitted_is_marked_too_and_unknown_names_pass() {
    let upstream = Upstream::start().await;
    let sidecar = suspended(&upstream).await;
    assert_eq!(sidecar.query(&reader(), FINE).await.status, 200);
    let unknown = r#"{"features":["basket:new"],"entities":{"basket_id":[null]}}"#;
    assert_eq!(sidecar.query(&reader(), unknown).await.status, 200);
    let sent = r#"{"features":["basket:new"],"entities":{"basket_id":[null]},"full_feature_names":false}"#;
    assert_eq!(upstream.seen()[1].text(), sent);

    let lines = sidecar.audit(2).await;
    assert_eq!((&lines[0]["decision"], &lines[0]["enforcement"]), (&json!("permitted"), &json!("audit")));
    assert_eq!((&lines[1]["decision"], &lines[1]["outputs"]), (&json!("refused"), &json!(["basket:new"])));
}

#[tokio::test]
async fn a_caller_without_a_role_is_served_and_recorded() {
    let upstream = Upstream::start().await;
    let routes = "routes: [{path: /open, methods: [GET]}, {path: /write, methods: [GET], roles: [writer]}]";
    let sidecar = Setup::new(&upstream).with("enforcement: audit").with(routes).start().await;
    let nobody = KEY.token(&["strangers"]);
    assert_eq!(sidecar.query(&nobody, FINE).await.status, 200);
    let line = sidecar.audit(1).await.remove(0);
    let denied = |feature: &str, rule: u8| json!({"feature": feature, "permission": "Deny", "rule": rule, "tag": null});
    let refused = [denied("customer_id", 1), denied("customer:age", 7), denied("customer:country", 7)];
    let outputs = ["customer:age", "customer:country"];
    assert_eq!(said(&line), json!([[], outputs, "refused", "audit", refused, 200]));

    let bearer = format!("authorization: Bearer {nobody}\r\n");
    assert_eq!(sidecar.ask(request("GET", "/open", &bearer, "")).await.status, 200);
    // Which roles a route is for is the route's to say, and routes hold.
    sidecar.ask(request("GET", "/write", &bearer, "")).await.fails(403, "FORBIDDEN");
}

#[tokio::test]
async fn services_go_by_their_name_known_or_not() {
    let upstream = Upstream::start().await;
    let sidecar = suspended(&upstream).await;
    let ask = |service: &str| format!(r#"{{"feature_service":"{service}","entities":{{"customer_id":[1]}}}}"#);
    let answer = sidecar.query(&reader(), ask("pii_service")).await;
    assert_eq!((answer.status, names(&answer)), (200, json!(["customer_id", "age", "ssn"])));
    let sent = r#"{"feature_service":"pii_service","entities":{"customer_id":[1]},"full_feature_names":false}"#;
    assert_eq!(upstream.seen()[0].text(), sent);

    upstream.turns_to(Act::json("200 OK", r#"{"results":[{"values":[7]}],"metadata":{"feature_names":["surprise"]}}"#));
    let answer = sidecar.query(&reader(), ask("new_service")).await;
    assert_eq!((answer.status, names(&answer)), (200, json!(["surprise"])));
    let lines = sidecar.audit(2).await;
    assert_eq!((&lines[0]["query"], lines[0].get("unverified")), (&json!("pii_service"), None));
    assert_eq!((&lines[1]["query"], &lines[1]["decision"]), (&json!("new_service"), &json!("refused")));
    assert_eq!(lines[1]["unverified"], true);
}

#[tokio::test]
async fn an_answer_that_cannot_be_verified_passes_as_it_came_and_is_recorded() {
    let upstream = Upstream::start().await;
    let sidecar = suspended(&upstream).await;
    let other = r#"{"results":[],"metadata":{"feature_names":["unasked"]}}"#;
    upstream.turns_to(Act::json("200 OK", other));
    let answer = sidecar.query(&reader(), FINE).await;
    assert_eq!((answer.status, answer.text()), (200, other));
    upstream.turns_to(Act::answer("200 OK", "content-type: text/plain\r\n", "plain"));
    let answer = sidecar.query(&reader(), FINE).await;
    assert_eq!((answer.status, answer.text(), answer.header("content-type")), (200, "plain", Some("text/plain")));
    let lines = sidecar.audit(2).await;
    assert_eq!((&lines[0]["unverified"], &lines[1]["unverified"]), (&json!(true), &json!(true)));
    assert_eq!(sidecar.metric("tagwarden_upstream_errors_total{kind=\"unreadable\"}").await, 2.0);
    // Errors are replaced all the same: they carry values.
    upstream.turns_to(Act::json("500 Oh", r#"{"detail":"secret value"}"#));
    let failed = sidecar.query(&reader(), FINE).await;
    failed.fails(500, "UPSTREAM_FAILED");
}

#[tokio::test]
async fn tokens_routes_limits_and_strict_reading_hold() {
    let upstream = Upstream::start().await;
    let limits = "limits: {request_body: 1KiB}";
    let sidecar = Setup::new(&upstream).with("enforcement: audit").with(limits).start().await;
    sidecar.query("nonsense", FINE).await.fails(401, "UNAUTHORIZED");
    sidecar.query(&KEY.token_of("c", &["readers"], -999), FINE).await.fails(401, "TOKEN_EXPIRED");
    sidecar.ask(request("POST", "/push", "", "{}")).await.fails(404, "NOT_FOUND");
    sidecar.query(&reader(), r#"{"features":["customer:age"],"features":[]}"#).await.fails(400, "INVALID_QUERY");
    let plain = r#"{"features":["age"],"entities":{"customer_id":[1]}}"#;
    sidecar.query(&reader(), plain).await.fails(400, "INVALID_QUERY");
    let large = FINE.replace("[1,2]", &format!("[{}1]", "1,".repeat(1000)));
    sidecar.query(&reader(), large).await.fails(413, "BODY_TOO_LARGE");
    assert_eq!(upstream.count(), 0);
    let own = query(&reader(), FINE);
    let own = String::from_utf8(own).unwrap().replace("content-type", "x-tagwarden-role: admin\r\ncontent-type");
    assert_eq!(sidecar.ask(own).await.status, 200);
    let sent = upstream.only();
    assert_eq!((sent.header("authorization"), sent.header("x-tagwarden-role")), (None, None));
}

#[tokio::test]
async fn it_shows_and_is_switched_by_a_reload_in_both_directions() {
    let upstream = Upstream::start().await;
    let sidecar = suspended(&upstream).await;
    assert_eq!(sidecar.metric("tagwarden_audit_mode").await, 1.0);
    let (status, ready) = sidecar.ready().await;
    assert_eq!((status, &ready["enforcement"]), (200, &json!("audit")));
    assert_eq!(sidecar.status().await["enforcement"], "audit");
    assert_eq!(sidecar.query(&reader(), REFUSED).await.status, 200);

    let text = sidecar.setup.text();
    sidecar.setup.folder.write("tagwarden.yaml", text.replace("enforcement: audit", "enforcement: enforce"));
    sidecar.until_metric("tagwarden_audit_mode", 0.0).await;
    sidecar.query(&reader(), REFUSED).await.fails(403, "FEATURES_REFUSED");
    assert_eq!(sidecar.ready().await.1["enforcement"], "enforce");

    sidecar.setup.folder.write("tagwarden.yaml", text);
    sidecar.until_metric("tagwarden_audit_mode", 1.0).await;
    assert_eq!(sidecar.query(&reader(), REFUSED).await.status, 200);
    let marks: Vec<Value> = sidecar.audit(3).await.iter().map(|line| line["enforcement"].clone()).collect();
    assert_eq!(marks, [json!("audit"), Value::Null, json!("audit")]);
}
