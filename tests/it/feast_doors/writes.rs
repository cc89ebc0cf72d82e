//! Writes: what is written is what the catalogue says of a source or a view, and all of it is the writer's to write.

use serde_json::json;

use super::{refused, said, send, setup, shape};
use crate::support::upstream::{Act, Upstream};

pub const PUSH: &str = r#"{"push_source_name":"pushed","df":{"customer_id":[1],"age":[ 44.0 ],"ssn":["x"],"event_timestamp":["2026-01-01"]},"to":"online"}"#;
pub const WRITE: &str =
    r#"{"feature_view_name":"customer","df":{"customer_id":[1],"age":[44],"ssn":["x"]},"allow_registry_cache":false}"#;
pub const MATERIALIZE: &str = r#"{"feature_views":["customer"],"start_ts":"2026-01-01","end_ts":"2026-01-02"}"#;
const ALL: &str = r#"{"end_ts":"2026-01-02"}"#;

/// How Feast 0.67 answers a write.
fn feast() -> impl Fn(&crate::support::upstream::Recorded, usize) -> Act + Send + Sync + 'static {
    |got, _| match got.target() {
        "/push" => Act::answer("200 OK", "", ""),
        target if target.contains("async=true") => {
            Act::json("202 Accepted", r#"{"status":"accepted","feature_views":["customer"]}"#)
        }
        _ => Act::json("200 OK", "null"),
    }
}

#[tokio::test]
async fn a_writer_writes_and_what_goes_upstream_is_built_anew() {
    let upstream = Upstream::plan(feast()).await;
    let sidecar = setup(&upstream).start().await;
    for (target, body, line, answered) in [
        ("/push?x=1", PUSH, "POST /push HTTP/1.1", (200, "")),
        ("/write-to-online-store", WRITE, "POST /write-to-online-store HTTP/1.1", (200, "null")),
        ("/materialize", MATERIALIZE, "POST /materialize HTTP/1.1", (200, "null")),
        (
            "/materialize?x=../push&async=true",
            MATERIALIZE,
            "POST /materialize?async=true HTTP/1.1",
            (202, r#"{"status":"accepted","feature_views":["customer"]}"#),
        ),
    ] {
        let more = format!("{},\"unknown\":[1]}}", body.strip_suffix('}').unwrap());
        for role in ["writer", "admin"] {
            let before = upstream.count();
            let answer = send(&sidecar, role, "POST", target, &more).await;
            assert_eq!((answer.status, answer.text()), answered, "{target}");
            let got = &upstream.seen()[before];
            assert_eq!((got.line(), got.text()), (line, body), "{target}");
            assert_eq!(got.header("authorization"), None);
        }
    }
    let before = upstream.count();
    assert_eq!(send(&sidecar, "admin", "POST", "/materialize-incremental", ALL).await.status, 200);
    assert_eq!(upstream.seen()[before].text(), ALL);
}

#[tokio::test]
async fn who_may_not_write_all_of_it_writes_nothing_and_only_what_was_written_is_named() {
    let upstream = Upstream::plan(feast()).await;
    let sidecar = setup(&upstream).start().await;
    for role in ["half", "open", "blind"] {
        for (target, body, name) in [
            ("/push", PUSH, "pushed"),
            ("/write-to-online-store", WRITE, "customer"),
            ("/materialize", MATERIALIZE, "customer"),
            ("/materialize-incremental", ALL, "*"),
        ] {
            let answer = send(&sidecar, role, "POST", target, body).await;
            assert_eq!(refused(&answer), json!([name]), "{role} {target}");
        }
    }
    assert_eq!(refused(&send(&sidecar, "writer", "POST", "/materialize", ALL).await), json!(["*"]));
    let both = MATERIALIZE.replace(r#"["customer"]"#, r#"["customer","docs"]"#);
    assert_eq!(refused(&send(&sidecar, "writer", "POST", "/materialize", &both).await), json!(["docs"]));
    let more = PUSH.replace("\"to\"", "\"x\":0,\"to\"").replace("\"age\"", "\"title\":[\"a\"],\"age\"");
    assert_eq!(refused(&send(&sidecar, "admin", "POST", "/push", &more).await), json!(["title"]));
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn what_there_is_not_reads_like_what_is_denied() {
    let upstream = Upstream::start().await;
    let sidecar = setup(&upstream).start().await;
    for (target, body, name, other) in [
        ("/push", PUSH, "pushed", "nobody"),
        ("/write-to-online-store", WRITE, "customer", "nobody"),
        ("/materialize", MATERIALIZE, "customer", "nobody"),
        // A source that nothing is pushed to.
        ("/push", PUSH, "pushed", "files"),
    ] {
        let denied = send(&sidecar, "open", "POST", target, body).await;
        let unknown = body.replace(&format!("\"{name}\""), &format!("\"{other}\""));
        let missing = send(&sidecar, "open", "POST", target, &unknown).await;
        assert_eq!(shape(&denied, name), shape(&missing, other), "{target}");
        refused(&missing);
        assert_eq!(refused(&send(&sidecar, "admin", "POST", target, &unknown).await), json!([other]));
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn an_answer_of_another_form_is_not_passed_on() {
    let upstream = Upstream::start().await;
    let sidecar = setup(&upstream).start().await;
    let accepted = r#"{"status":"accepted","feature_views":["customer","SECRET"]}"#;
    for (target, body, status, answer) in [
        ("/push", PUSH, "200 OK", "SECRET"),
        ("/push", PUSH, "201 Created", ""),
        ("/write-to-online-store", WRITE, "200 OK", r#"{"rows":["SECRET"]}"#),
        ("/write-to-online-store", WRITE, "202 Accepted", "null"),
        ("/materialize", MATERIALIZE, "200 OK", accepted),
        ("/materialize?async=true", MATERIALIZE, "202 Accepted", accepted),
    ] {
        upstream.turns_to(Act::json(status, answer));
        let answer = send(&sidecar, "writer", "POST", target, body).await;
        answer.fails(502, "UPSTREAM_UNREADABLE");
        assert!(!answer.text().contains("SECRET"), "{target}: {answer:?}");
    }
}

#[tokio::test]
async fn a_write_is_never_sent_twice() {
    let upstream = Upstream::plan(feast()).await;
    let sidecar = setup(&upstream).start().await;
    // A connection that is kept, and dies under the next request.
    assert_eq!(send(&sidecar, "writer", "POST", "/push", PUSH).await.status, 200);
    upstream.turns_to(Act::Close);
    send(&sidecar, "writer", "POST", "/push", PUSH).await.fails(502, "UPSTREAM_FAILED");
    assert_eq!(upstream.count(), 2);
}

#[tokio::test]
async fn a_write_has_its_line_in_the_audit() {
    let upstream = Upstream::plan(feast()).await;
    let sidecar = setup(&upstream).start().await;
    send(&sidecar, "writer", "POST", "/push", PUSH).await;
    send(&sidecar, "half", "POST", "/push", PUSH).await;
    send(&sidecar, "open", "POST", "/push", &PUSH.replace("\"pushed\"", "\"nobody\"")).await;
    send(&sidecar, "writer", "POST", "/materialize", MATERIALIZE).await;
    let lines = sidecar.audit(4).await;
    let both = ["customer:age", "customer:ssn"];
    let sorted = |mut line: serde_json::Value| {
        if let Some(outputs) = line["outputs"].as_array_mut() {
            outputs.sort_by_key(|name| name.as_str().unwrap().to_owned());
        }
        said(&line)
    };
    let lines_said: Vec<_> = lines.iter().cloned().map(sorted).collect();
    assert_eq!(
        lines_said,
        [
            json!(["/push", "pushed", both, [], "permitted", 200]),
            json!(["/push", "pushed", both, [], "refused", 403]),
            json!(["/push", "nobody", ["nobody"], [], "refused", 403]),
            json!(["/materialize", null, both, [], "permitted", 200]),
        ]
    );
    assert_eq!(lines[1]["refused"], json!([{"feature": "customer:ssn", "permission": "Deny", "rule": 0, "tag": null}]));
    let values = std::fs::read_to_string(sidecar.setup.folder.path("audit.jsonl")).unwrap();
    assert!(!values.contains("44.0"), "{values}");
}

#[tokio::test]
async fn suspended_enforcement_writes_and_records() {
    let upstream = Upstream::plan(feast()).await;
    let sidecar = setup(&upstream).with("enforcement: audit").start().await;
    let answer = send(&sidecar, "open", "POST", "/push", PUSH).await;
    assert_eq!((answer.status, answer.text()), (200, ""));
    assert_eq!(upstream.only().text(), PUSH);
    upstream.turns_to(Act::json("200 OK", r#"{"rows":1}"#));
    let odd = send(&sidecar, "open", "POST", "/materialize", MATERIALIZE).await;
    assert_eq!((odd.status, odd.text()), (200, r#"{"rows":1}"#));
    let lines = sidecar.audit(2).await;
    assert_eq!((&lines[0]["decision"], &lines[0]["enforcement"]), (&json!("refused"), &json!("audit")));
    assert_eq!((lines[0].get("unverified"), &lines[1]["unverified"]), (None, &json!(true)));
}
