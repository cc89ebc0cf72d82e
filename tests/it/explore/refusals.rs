//! What was refused of late: bounded, without a token or a value, and there whatever the audit log is.

use serde_json::{Value, json};

use super::get;
use crate::support::sidecar::{FINE, REFUSED, Setup, Sidecar, cutter, reader};
use crate::support::tokens::KEY;
use crate::support::until;
use crate::support::upstream::Upstream;

const ALL: &str = "/explore/api/refusals";

/// The ring as soon as it has seen so many.
async fn seen(sidecar: &Sidecar, count: u64) -> Value {
    until(&format!("{count} refusals"), async || {
        let ring = get(sidecar, ALL, "").await.json();
        (ring["seen"].as_u64().unwrap() >= count).then_some(ring)
    })
    .await
}

#[tokio::test]
async fn a_refusal_tells_what_its_audit_line_tells_and_no_more() {
    let sidecar = Setup::new(&Upstream::start().await).start().await;
    assert_eq!(sidecar.query(&reader(), FINE).await.status, 200);
    let token = reader();
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let headers = format!(
        "authorization: Bearer {token}\r\ncontent-type: application/json\r\ntraceparent: 00-{trace}-b7ad6b7169203331-01\r\n"
    );
    let request = crate::support::client::request("POST", "/get-online-features", &headers, REFUSED);
    let id = sidecar.ask(request).await.decision_id().to_owned();
    assert_eq!(sidecar.query(&cutter(), REFUSED).await.status, 200);
    let ring = seen(&sidecar, 2).await;
    assert_eq!((&ring["seen"], &ring["kept"], &ring["generation"]), (&json!(2), &json!(256), &json!(1)));
    let lines = sidecar.audit(3).await;
    // The newest first.
    assert_eq!(ring["refusals"][0]["decision"], "filtered");
    let line = &lines[1];
    let expected = json!({
        "time": line["time"], "decision_id": id, "generation": 1, "caller": line["caller"], "roles": ["reader"],
        "more_roles": 0, "route": "/get-online-features", "decision": "refused", "suspended": false,
        "refused": [{"feature": "customer:ssn", "permission": "Deny", "rule": 7, "tag": "pii"}],
        "more": 0, "status": 403, "trace_id": trace,
    });
    assert_eq!(ring["refusals"][1], expected);
    assert_eq!(line["decision_id"], json!(id));
    let text = ring.to_string();
    assert!(!text.contains(&token) && !text.contains("caller-1") && !text.contains("eyJ"), "{text}");
}

#[tokio::test]
async fn no_more_are_kept_than_are_said_and_each_is_bounded() {
    let upstream = Upstream::start().await;
    let sidecar =
        Setup::new(&upstream).with("audit: {log: /dev/null, permitted: 0}").with("enforcement: audit").start().await;
    let long = "x".repeat(3000);
    let names: Vec<String> = (0..60).map(|at| format!("{long}:{at}\u{1f600}")).collect();
    let body = json!({"features": names, "entities": {"customer_id": [1]}}).to_string();
    for _ in 0..3 {
        assert_eq!(sidecar.query(&reader(), &body).await.status, 200);
    }
    let ring = seen(&sidecar, 3).await;
    let one = &ring["refusals"][0];
    assert_eq!(
        (one["refused"].as_array().unwrap().len(), &one["more"], &one["suspended"]),
        (20, &json!(40), &json!(true))
    );
    assert!(one.to_string().len() < 8 << 10, "{one}");

    let mut last = String::new();
    for _ in 0..300 {
        last = sidecar.query(&KEY.token(&["readers"]), REFUSED).await.decision_id().to_owned();
    }
    let ring = seen(&sidecar, 303).await;
    assert_eq!((ring["refusals"].as_array().unwrap().len(), &ring["seen"]), (256, &json!(303)));
    assert_eq!(ring["refusals"][0]["decision_id"], json!(last));
    assert!(!ring.to_string().contains("xxx"));
}
