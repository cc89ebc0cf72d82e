//! Two of the worked examples through the whole stack, over HTTP: data sources out of reach, and the pair of blocklists
//! (policy.md, Resolution 3.2 and The files). What a policy says in `explain` is what callers meet.

use serde_json::{Value, json};

use crate::support::client::Answer;
use crate::support::repository;
use crate::support::sidecar::{Setup, Sidecar};
use crate::support::tokens::{AUDIENCE, ISSUER, KEY, now};
use crate::support::upstream::{Act, Recorded, Upstream};

/// A feature server with one row of everything: the keys that it is given, then a column for each feature.
fn anything(request: &Recorded, _: usize) -> Act {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let column = |value: &Value| json!({"values": [value], "statuses": ["PRESENT"], "event_timestamps": [""]});
    let entities = body["entities"].as_object().unwrap();
    let keys = entities.iter().map(|(name, values)| (name.clone(), column(&values[0])));
    let features = body["features"].as_array().unwrap().iter().map(|name| {
        let name = name.as_str().unwrap().replace(':', "__");
        let value = json!(format!("value of {name}"));
        (name, column(&value))
    });
    let (names, results): (Vec<String>, Vec<Value>) = keys.chain(features).unzip();
    Act::json("200 OK", json!({"metadata": {"feature_names": names}, "results": results}).to_string())
}

async fn start(example: &str) -> (Upstream, Sidecar) {
    let upstream = Upstream::plan(anything).await;
    let setup = Setup::new(&upstream).with("catalogue: [catalogue.yaml]");
    for name in ["policy.yaml", "catalogue.yaml"] {
        let text = std::fs::read_to_string(repository("policies").join(example).join(name)).unwrap();
        setup.folder.write(name, text);
    }
    (upstream, setup.start().await)
}

/// A caller with this claim.
fn caller(claim: &str, value: &Value) -> String {
    KEY.sign(&json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "s", "exp": now() + 3600, claim: value}))
}

fn asks(entities: &Value, features: &[&str]) -> String {
    json!({"features": features, "entities": entities}).to_string()
}

fn loan(features: &[&str]) -> String {
    asks(&json!({"customer_id": [1], "requested_amount": [900]}), features)
}

fn applicant(features: &[&str]) -> String {
    asks(&json!({"applicant_id": [1], "requested_amount": [900]}), features)
}

/// The columns of an answer, in the short names that were asked for.
fn columns(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["metadata"]["feature_names"].clone()
}

/// Checks that it is a refusal of these names.
#[track_caller]
fn refuses(answer: &Answer, names: &[&str]) {
    let message = answer.fails(403, "FEATURES_REFUSED");
    assert_eq!(message, format!("Not permitted for this caller: {}", names.join(", ")));
    assert_eq!(answer.json()["error"]["refused"], json!(names));
}

/// The features that went upstream.
fn sent(request: &Recorded) -> Value {
    serde_json::from_slice::<Value>(&request.body).unwrap()["features"].clone()
}

/// What an audit line says of one refused feature.
fn refused(line: &Value, feature: &str) -> Value {
    let entries = line["refused"].as_array().unwrap();
    let found = entries.iter().find(|entry| entry["feature"] == feature);
    found.unwrap_or_else(|| panic!("{feature} is not in {line}")).clone()
}

#[tokio::test]
async fn out_of_reach_of_a_source_its_features_are_refused_with_what_is_derived_from_them() {
    let (upstream, sidecar) = start("data-sources").await;
    let growth = KEY.token(&["growth"]);
    let asked = loan(&["account:balance", "bureau:score", "lending:affordability", "lending:limit", "risk_daily:band"]);
    let denied = ["bureau:score", "lending:affordability", "lending:limit", "risk_daily:band"];
    let answer = sidecar.query(&growth, &asked).await;
    refuses(&answer, &denied);
    assert_eq!(upstream.count(), 0);

    let line = sidecar.audit(1).await.remove(0);
    assert_eq!((&line["decision"], &line["status"], &line["mode"]), (&json!("refused"), &json!(403), &json!("reject")));
    assert_eq!((&line["roles"], &line["decision_id"]), (&json!(["growth"]), &json!(answer.decision_id())));
    for feature in denied {
        // `lending:limit` carries a clearing tag; it is the source that decides.
        let entry = json!({"feature": feature, "permission": "Deny", "rule": 2, "tag": null});
        assert_eq!(refused(&line, feature), entry);
    }
    assert_eq!(line["refused"].as_array().unwrap().len(), denied.len(), "{line}");

    // The same query of a team that reaches the source.
    let risk = sidecar.query(&KEY.token(&["risk"]), &asked).await;
    let all = json!(["customer_id", "requested_amount", "balance", "score", "affordability", "limit", "band"]);
    assert_eq!(columns(&risk), all);
    assert_eq!(sent(&upstream.only()).as_array().unwrap().len(), 5);
    // Somebody in both teams has the limit of each.
    refuses(&sidecar.query(&KEY.token(&["risk", "growth"]), &loan(&["bureau:score"])).await, &["bureau:score"]);
}

#[tokio::test]
async fn in_filter_mode_what_is_out_of_reach_is_cut_and_not_even_asked_for() {
    let (upstream, sidecar) = start("data-sources").await;
    let dashboards = KEY.token(&["dashboards"]);
    let asked = loan(&["bureau:open_loans", "account:balance", "lending:limit", "lending:amount_to_balance"]);
    let answer = sidecar.query(&dashboards, asked).await;
    assert_eq!(columns(&answer), json!(["customer_id", "requested_amount", "balance", "amount_to_balance"]));
    assert_eq!(answer.header("x-tagwarden-filtered"), Some("2"));
    let built = r#"{"features":["account:balance","lending:amount_to_balance"],"entities":{"customer_id":[1],"requested_amount":[900]},"full_feature_names":true}"#;
    assert_eq!(upstream.only().text(), built);

    let line = sidecar.audit(1).await.remove(0);
    assert_eq!((&line["decision"], &line["mode"]), (&json!("filtered"), &json!("filter")));
    let entry = json!({"feature": "bureau:open_loans", "permission": "Deny", "rule": 2, "tag": null});
    assert_eq!(refused(&line, "bureau:open_loans"), entry);

    // A service is cut to the members within reach, and refused whole in the other mode.
    let page = r#"{"feature_service":"loan_page","entities":{"customer_id":[1],"requested_amount":[900]}}"#;
    let cut = sidecar.query(&dashboards, page).await;
    assert_eq!(columns(&cut), json!(["customer_id", "requested_amount", "balance", "amount_to_balance"]));
    assert_eq!(sent(&upstream.seen()[1]), json!(["account:balance", "lending:amount_to_balance"]));
    refuses(&sidecar.query(&KEY.token(&["growth"]), page).await, &["loan_page"]);
    // Nothing is left of a query for what is out of reach alone.
    refuses(&sidecar.query(&dashboards, loan(&["lending:limit"])).await, &["lending:limit"]);
    assert_eq!(upstream.count(), 2);
}

#[tokio::test]
async fn a_value_under_the_name_of_a_feature_does_not_open_what_is_computed_from_it() {
    let (upstream, sidecar) = start("data-sources").await;
    // Feast takes keys and request fields alone, and computes the rest whatever stands among the entities.
    for name in ["lending:affordability", "lending__affordability", "affordability"] {
        let entities = json!({"customer_id": [1], "requested_amount": [900], name: [0.5]});
        let answer = sidecar.query(&KEY.token(&["growth"]), asks(&entities, &["lending:limit"])).await;
        refuses(&answer, &["lending:limit"]);
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn without_any_source_the_request_alone_is_computed_with() {
    let (upstream, sidecar) = start("data-sources").await;
    let form = caller("client_id", &json!("loan-form"));
    let answer = sidecar.query(&form, loan(&["lending:rate"])).await;
    assert_eq!(columns(&answer), json!(["customer_id", "requested_amount", "rate"]));
    let more = sidecar.query(&form, loan(&["lending:rate", "account:balance", "lending:amount_to_balance"])).await;
    refuses(&more, &["account:balance", "lending:amount_to_balance"]);
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn a_source_that_is_opened_is_in_reach_from_the_next_query_on() {
    let (upstream, sidecar) = start("data-sources").await;
    let (growth, asked) = (KEY.token(&["growth"]), loan(&["lending:limit"]));
    refuses(&sidecar.query(&growth, &asked).await, &["lending:limit"]);
    let policy = sidecar.setup.folder.read("policy.yaml");
    let opened = policy.replace("datasources: {allow: [own]}", "datasources: {allow: [own, bureau]}");
    assert_ne!(policy, opened);
    sidecar.setup.folder.write("policy.yaml", opened);
    sidecar.until_status(&growth, &asked, 200).await;
    sidecar.setup.folder.write("policy.yaml", policy);
    sidecar.until_status(&growth, &asked, 403).await;
    assert!(upstream.count() >= 1);
}

/// The two forms of the blocklists: the callers that hold them.
fn scoring() -> [(&'static str, String); 2] {
    ["scoring-v1", "scoring-svc"].map(|client| (client, caller("client_id", &json!(client))))
}

#[tokio::test]
async fn what_is_on_the_compute_list_is_neither_returned_nor_computed_with() {
    let (upstream, sidecar) = start("pii-blocklist").await;
    for ((client, token), lines) in scoring().iter().zip(1..) {
        let asked = ["applicant:city", "bank:iban", "credit:balance_trend", "credit:score"];
        let answer = sidecar.query(token, applicant(&asked)).await;
        refuses(&answer, &["bank:iban", "credit:balance_trend", "credit:score"]);

        let line = sidecar.audit(lines).await.remove(lines - 1);
        assert_eq!(line["decision"], "refused", "{client}");
        for (feature, rule, tag) in [
            ("bank:iban", 7, json!("raw-bank")),
            ("credit:balance_trend", 4, Value::Null),
            ("credit:score", 4, Value::Null),
        ] {
            let entry = json!({"feature": feature, "permission": "Deny", "rule": rule, "tag": tag});
            assert_eq!(refused(&line, feature), entry, "{client}");
        }
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn what_is_on_the_output_list_is_computed_with_and_not_returned() {
    let (upstream, sidecar) = start("pii-blocklist").await;
    for ((client, token), round) in scoring().iter().zip(0_usize..) {
        let derived = ["credit:amount_to_salary", "contact:email_domain"];
        let answer = sidecar.query(token, applicant(&derived)).await;
        assert_eq!(columns(&answer), json!(["applicant_id", "requested_amount", "amount_to_salary", "email_domain"]));
        assert_eq!(sent(&upstream.seen()[round]), json!(derived), "{client}");

        let raw =
            sidecar.query(token, applicant(&["credit:amount_to_salary", "payroll:salary", "applicant:email"])).await;
        refuses(&raw, &["payroll:salary", "applicant:email"]);
        assert_eq!(upstream.count(), round + 1);

        let line = sidecar.audit(2 * round + 2).await.remove(2 * round + 1);
        let entry = |feature: &str, tag: &str| json!({"feature": feature, "permission": "AllowInternal", "rule": 7, "tag": tag});
        assert_eq!(refused(&line, "payroll:salary"), entry("payroll:salary", "hr"), "{client}");
        assert_eq!(refused(&line, "applicant:email"), entry("applicant:email", "pii"), "{client}");
    }
}

#[tokio::test]
async fn who_is_on_no_list_gets_what_is_stored() {
    let (upstream, sidecar) = start("pii-blocklist").await;
    let compliance = caller("realm_access", &json!({"roles": ["compliance"]}));
    let asked = ["bank:iban", "payroll:salary", "credit:score"];
    let answer = sidecar.query(&compliance, applicant(&asked)).await;
    assert_eq!(columns(&answer), json!(["applicant_id", "requested_amount", "iban", "salary", "score"]));
    assert_eq!(sent(&upstream.only()), json!(asked));
    sidecar.query(&caller("client_id", &json!("nobody")), applicant(&asked)).await.fails(403, "FORBIDDEN");
    assert_eq!(upstream.count(), 1);
}
