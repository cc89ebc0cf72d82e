//! What a described server answers is recorded and told in no more than the policy lets through.

use serde_json::json;

use crate::support::client::request;
use crate::support::sidecar::{Setup, Sidecar, cutter};
use crate::support::upstream::{Act, Upstream};

const DESCRIPTION: &str = "\
version: 1
routes:
  - path: /v1/record
    names: \"customer:{name}\"
    unnamed: filter
    request: {supplied: [{body: /keys}]}
    answer: {shape: records, at: /record/*, names: /name}
";

async fn start(upstream: &Upstream, description: &str, section: &str) -> Sidecar {
    let mut setup = Setup::new(upstream).with("json: dialect.yaml").with(section);
    setup.upstream = setup.upstream.replace("feast", "json");
    setup.folder.write("dialect.yaml", description);
    setup.start().await
}

fn read() -> Vec<u8> {
    let headers = format!("authorization: Bearer {}\r\ncontent-type: application/json\r\n", cutter());
    request("POST", "/v1/record", &headers, r#"{"keys":{"customer_id":1}}"#)
}

fn answers(record: &str) -> Act {
    Act::json("200 OK", format!(r#"{{"record":[{record}]}}"#))
}

/// Of features that come only where they have a value, how many were cut is one bit of each.
#[tokio::test]
async fn how_many_are_cut_is_not_told_where_it_depends_on_the_values() {
    for (sparse, told) in [(false, Some("1")), (true, None)] {
        let upstream = Upstream::always(answers(r#"{"name":"age","v":1},{"name":"ssn","v":2}"#)).await;
        let description = DESCRIPTION.replace("names: /name", &format!("names: /name, sparse: {sparse}"));
        let sidecar = start(&upstream, &description, "").await;
        let answer = sidecar.ask(read()).await;
        assert_eq!((answer.status, answer.text()), (200, r#"{"record":[{"name":"age","v":1}]}"#));
        assert_eq!(answer.header("x-tagwarden-filtered"), told);
        let line = sidecar.audit(1).await.remove(0);
        assert_eq!(
            (&line["decision"], &line["outputs"]),
            (&json!("filtered"), &json!(["customer:age", "customer:ssn"]))
        );
    }
}

/// What is decided once the answer is there is recorded all the same where no answer comes, or none that is read.
#[tokio::test]
async fn a_query_whose_answer_is_not_read_leaves_a_line() {
    let lost = || Act::json("500 Internal Server Error", "{}");
    let unreadable = || answers(r#"{"v":1}"#);
    for (act, section, status, unverified) in [
        (lost(), "", 502, json!(null)),
        (unreadable(), "", 502, json!(null)),
        (unreadable(), "enforcement: audit", 200, json!(true)),
    ] {
        let upstream = Upstream::always(act).await;
        let sidecar = start(&upstream, DESCRIPTION, section).await;
        let answer = sidecar.ask(read()).await;
        let line = sidecar.audit(1).await.remove(0);
        assert_eq!(line["status"], json!(answer.status), "{line}");
        assert_eq!((line["unverified"].clone(), &line["supplied"]), (unverified, &json!(["customer_id"])), "{line}");
        assert!(answer.status == status || answer.status == 500, "{answer:?}");
    }
}
