//! The way of a query: read, decided, rewritten, forwarded, filtered (policy.md; config.md, Errors on the wire).

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::client::{self, Answer, H2, request};
use crate::support::sidecar::{FINE, FINE_UPSTREAM, POLICY, REFUSED, Setup, Sidecar, cutter, reader};
use crate::support::tokens::KEY;
use crate::support::upstream::{Act, Upstream, nobody, value};

fn names(answer: &Answer) -> serde_json::Value {
    answer.json()["metadata"]["feature_names"].clone()
}

#[tokio::test]
async fn a_permitted_query_goes_upstream_rebuilt_byte_for_byte() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    let answer = sidecar.query(&reader(), FINE).await;

    assert_eq!(answer.status, 200, "{answer:?}");
    let got = upstream.only();
    assert_eq!(got.line(), "POST /get-online-features HTTP/1.1");
    assert_eq!(got.text(), FINE_UPSTREAM);
    let host = upstream.url.strip_prefix("http://").unwrap().to_owned();
    let length = FINE_UPSTREAM.len().to_string();
    let sent: BTreeSet<(String, String)> = got.headers().into_iter().collect();
    let own = [("accept", "application/json"), ("content-length", &length), ("content-type", "application/json")];
    let own = own.into_iter().chain([("host", host.as_str())]).map(|(n, v)| (n.to_owned(), v.to_owned()));
    assert_eq!(sent, own.collect());

    assert_eq!(names(&answer), json!(["customer_id", "age", "country"]));
    assert_eq!(answer.json()["results"][1]["values"], json!([value("customer__age", 0), value("customer__age", 1)]));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("x-tagwarden-filtered"), None);
}

#[tokio::test]
async fn only_what_was_understood_goes_upstream() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    let body = r#" { "note":"x", "feature\u005fservice":"", "entities" : {"customer_id":[ 1 , 2.50 ], "remark":["a","b"],
        "customer:vip":[true,true]}, "features":["customer@latest:age"], "full_feature_names":true, "now":1 } "#;
    let answer = sidecar.query(&reader(), body).await;

    assert_eq!(names(&answer), json!(["customer_id", "customer__age"]));
    let built = r#"{"features":["customer:age"],"entities":{"customer_id":[ 1 , 2.50 ]},"full_feature_names":true}"#;
    assert_eq!(upstream.only().text(), built);
}

#[tokio::test]
async fn in_reject_mode_one_refused_output_refuses_the_whole_query() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    let body = r#"{"features":["customer:age","customer:ssn","customer:income"],"entities":{"customer_id":[1]}}"#;
    let answer = sidecar.query(&reader(), body).await;

    let message = answer.fails(403, "FEATURES_REFUSED");
    assert_eq!(message, "Not permitted for this caller: customer:ssn, customer:income");
    assert_eq!(answer.json()["error"]["refused"], json!(["customer:ssn", "customer:income"]));
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn in_filter_mode_refused_outputs_are_taken_out_of_request_and_answer() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    let answer = sidecar.query(&cutter(), REFUSED).await;

    assert_eq!((answer.status, names(&answer)), (200, json!(["customer_id", "age"])));
    assert_eq!(answer.header("x-tagwarden-filtered"), Some("1"));
    let built = r#"{"features":["customer:age"],"entities":{"customer_id":[1,2]},"full_feature_names":true}"#;
    assert_eq!(upstream.only().text(), built);

    let whole = sidecar.query(&cutter(), FINE).await;
    assert_eq!((whole.status, whole.header("x-tagwarden-filtered")), (200, Some("0")));

    let none_left = r#"{"features":["customer:ssn","customer:income"],"entities":{"customer_id":[1]}}"#;
    let refused = sidecar.query(&cutter(), none_left).await;
    refused.fails(403, "FEATURES_REFUSED");
    assert_eq!(refused.json()["error"]["refused"], json!(["customer:ssn", "customer:income"]));
    assert_eq!(upstream.count(), 2);
}

#[tokio::test]
async fn an_internal_feature_is_used_and_never_returned() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    let body = |features: &str| {
        format!(r#"{{"features":[{features}],"entities":{{"customer_id":[7],"basket_total":[9.5]}}}}"#)
    };
    let derived = sidecar.query(&reader(), body(r#""basket:ratio""#)).await;
    assert_eq!((derived.status, names(&derived)), (200, json!(["customer_id", "ratio"])));
    assert!(upstream.only().text().contains(r#""entities":{"customer_id":[7],"basket_total":[9.5]}"#));
    let raw = sidecar.query(&reader(), body(r#""basket:ratio","customer:income""#)).await;
    raw.fails(403, "FEATURES_REFUSED");
    assert_eq!(raw.json()["error"]["refused"], json!(["customer:income"]));
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn a_column_that_was_not_asked_for_stops_the_whole_answer() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    let column = |text: &str| format!(r#"{{"values":["{text}"],"statuses":["PRESENT"],"event_timestamps":[]}}"#);
    let answers = |names: &str, columns: &[&str]| {
        let columns: Vec<String> = columns.iter().map(|text| column(text)).collect();
        format!(r#"{{"results":[{}],"metadata":{{"feature_names":[{names}]}}}}"#, columns.join(","))
    };
    let asked = r#"{"features":["customer:age"],"entities":{"customer_id":[1]}}"#;
    let good = answers(r#""customer_id","customer__age""#, &["1", "44"]);
    upstream.turns_to(Act::json("200 OK", &good));
    assert_eq!(sidecar.query(&reader(), asked).await.status, 200);
    for (what, body) in [
        ("one more", answers(r#""customer_id","customer__age","customer__ssn""#, &["1", "44", "SECRET"])),
        ("another", answers(r#""customer_id","customer__ssn""#, &["1", "SECRET"])),
        ("short names", answers(r#""customer_id","age""#, &["1", "SECRET"])),
        ("a name twice", answers(r#""customer__age","customer__age""#, &["44", "SECRET"])),
        ("a column without a name", answers(r#""customer__age""#, &["44", "SECRET"])),
        ("a name without a column", answers(r#""customer_id","customer__age""#, &["SECRET"])),
        ("none", answers(r#""customer_id""#, &["SECRET"])),
        ("no names", format!(r#"{{"results":[{}]}}"#, column("SECRET"))),
        ("names twice", good.replace(r#""metadata""#, r#""metadata":{"feature_names":[]},"metadata""#)),
        ("rows", r#"[{"customer__age":"SECRET"}]"#.to_owned()),
        ("half of it", good.replace("}}", "")),
        ("nothing", String::new()),
    ] {
        upstream.turns_to(Act::json("200 OK", &body));
        for caller in [reader(), cutter()] {
            let answer = sidecar.query(&caller, asked).await;
            answer.fails(502, "UPSTREAM_UNREADABLE");
            assert!(!answer.text().contains("SECRET"), "{what}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn what_is_denied_and_what_does_not_exist_read_alike() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    let asked = |name: &str| format!(r#"{{"features":["{name}"],"entities":{{"customer_id":[1]}}}}"#);
    let service = |name: &str| format!(r#"{{"feature_service":"{name}","entities":{{"customer_id":[1]}}}}"#);
    let alike = |answer: &Answer, name: &str| {
        answer.fails(403, "FEATURES_REFUSED");
        assert_eq!(answer.json()["error"]["refused"], json!([name]));
        let headers: Vec<String> = answer.headers.iter().map(|(name, _)| name.clone()).collect();
        (answer.text().replace(answer.decision_id(), "ID").replace(name, "NAME"), headers)
    };
    for token in [reader(), cutter()] {
        let denied = alike(&sidecar.query(&token, asked("customer:ssn")).await, "customer:ssn");
        for unknown in ["customer:sxn", "nowhere:ssn", "CUSTOMER:SSN"] {
            assert_eq!(alike(&sidecar.query(&token, asked(unknown)).await, unknown), denied);
        }
        // A service is judged by its members; for a caller who may see some of them it is cut and not refused.
        if token == reader() {
            let denied = alike(&sidecar.query(&token, service("pii_service")).await, "pii_service");
            let unknown = alike(&sidecar.query(&token, service("no_service")).await, "no_service");
            assert_eq!(unknown, denied);
        }
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_refused_service_is_named_and_its_members_are_not_unless_the_configuration_says_so() {
    let upstream = Upstream::start().await;
    let asked = r#"{"feature_service":"pii_service","entities":{"customer_id":[1]}}"#;
    let sidecar = Sidecar::start(&upstream).await;
    let answer = sidecar.query(&reader(), asked).await;
    assert_eq!(answer.fails(403, "FEATURES_REFUSED"), "Not permitted for this caller: pii_service");
    assert_eq!(answer.json()["error"]["refused"], json!(["pii_service"]));
    assert!(!answer.text().contains("ssn"), "{answer:?}");

    let naming = Setup::new(&upstream).with("errors: {name_members: true}").start().await;
    let answer = naming.query(&reader(), asked).await;
    answer.fails(403, "FEATURES_REFUSED");
    assert_eq!(answer.json()["error"]["refused"], json!(["pii_service", "customer:ssn"]));
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_service_goes_upstream_as_the_members_that_were_decided() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    let asked = |name: &str| format!(r#"{{"feature_service":"{name}","entities":{{"customer_id":[1,2]}}}}"#);
    let whole = sidecar.query(&reader(), asked("open_service")).await;
    assert_eq!((whole.status, names(&whole)), (200, json!(["customer_id", "age", "country"])));
    let cut = sidecar.query(&cutter(), asked("pii_service")).await;
    assert_eq!((cut.status, names(&cut)), (200, json!(["customer_id", "age"])));
    assert_eq!(cut.header("x-tagwarden-filtered"), Some("1"));
    let seen: Vec<String> = upstream.seen().iter().map(|got| got.text().to_owned()).collect();
    let one = FINE_UPSTREAM.replace(r#","customer:country""#, "");
    assert_eq!(seen, [FINE_UPSTREAM, one.as_str()]);

    let both = r#"{"feature_service":"open_service","features":["customer:age"],"entities":{"customer_id":[1]}}"#;
    let message = sidecar.query(&reader(), both).await.fails(400, "INVALID_QUERY");
    assert_eq!(message, "`feature_service` and `features` are both given, and only one can be meant");
    assert_eq!(upstream.count(), 2);
}

#[tokio::test]
async fn two_outputs_of_one_name_are_refused_unless_full_names_tell_them_apart() {
    let policy = POLICY.replace("bundles:", "  shop:age: {joins: [customer_id]}\nbundles:");
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).policy(&policy).start().await;
    let short = r#"{"features":["customer:age","shop:age"],"entities":{"customer_id":[1]}}"#;
    let message = sidecar.query(&reader(), short).await.fails(400, "INVALID_QUERY");
    let expected = "`customer:age` and `shop:age` would both be answered as `age`; ask for `full_feature_names`";
    assert_eq!(message, expected);
    let full = short.replace(r#","entities""#, r#","full_feature_names":true,"entities""#);
    assert_eq!(names(&sidecar.query(&reader(), full).await), json!(["customer_id", "customer__age", "shop__age"]));
}

#[tokio::test]
async fn every_answer_has_a_decision_id_of_its_own_and_errors_have_one_form() {
    let (_held, gone) = nobody();
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with("limits: {request_body: 1KiB}").start().await;
    let without = Setup::at(&gone).start().await;
    let token = reader();
    let bearer = format!("authorization: Bearer {token}\r\n");
    let typed = format!("{bearer}content-type: application/json\r\n");
    let post = |headers: &str, body: &str| request("POST", "/get-online-features", headers, body);
    let large = format!("{{\"x\":\"{}\"}}", "x".repeat(1024));
    let expired = KEY.token_of("caller-1", &["readers"], -3600);
    let cases = [
        (post("", FINE), 401, "UNAUTHORIZED"),
        (client::query(&expired, FINE), 401, "TOKEN_EXPIRED"),
        (client::query(&KEY.token(&["nobody"]), FINE), 403, "FORBIDDEN"),
        (client::query(&token, REFUSED), 403, "FEATURES_REFUSED"),
        (client::query(&token, "{"), 400, "INVALID_QUERY"),
        (request("GET", "/nowhere", "", ""), 404, "NOT_FOUND"),
        (request("PUT", "/get-online-features", &typed, FINE), 405, "METHOD_NOT_ALLOWED"),
        (post(&typed, &large), 413, "BODY_TOO_LARGE"),
        (post(&bearer, FINE), 415, "UNSUPPORTED"),
    ];
    let mut ids = BTreeSet::new();
    for (bytes, status, code) in cases {
        let answer = sidecar.ask(bytes).await;
        answer.fails(status, code);
        assert!(ids.insert(answer.decision_id().to_owned()));
    }
    assert_eq!(upstream.count(), 0);
    let failed = without.query(&token, FINE).await;
    assert_eq!(failed.fails(502, "UPSTREAM_FAILED"), "The feature server failed");
    let good = [sidecar.query(&token, FINE).await, sidecar.ask(request("GET", "/health", "", "")).await];
    for answer in good.iter().chain([&failed]) {
        assert!(ids.insert(answer.decision_id().to_owned()));
    }
    let other = sidecar.ask(request("PATCH", "/get-online-features", "", "")).await;
    assert_eq!((other.status, other.header("allow")), (405, Some("POST")));
}

#[tokio::test]
async fn http2_with_prior_knowledge_goes_the_same_way_on_the_same_port() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    let h2 = H2::connect(sidecar.data).await;
    let fine = h2.query(&reader(), FINE).await;
    assert_eq!((fine.status, names(&fine)), (200, json!(["customer_id", "age", "country"])));
    fine.decision_id();
    assert_eq!(upstream.only().text(), FINE_UPSTREAM);
    h2.query(&reader(), REFUSED).await.fails(403, "FEATURES_REFUSED");
    h2.send("GET", "/nowhere", &[], "").await.fails(404, "NOT_FOUND");
    let cut = h2.query(&cutter(), REFUSED).await;
    assert_eq!((cut.status, cut.header("x-tagwarden-filtered")), (200, Some("1")));
    // Streams at once on one connection.
    let token = reader();
    let many = futures(&h2, &token).await;
    assert!(many.iter().all(|answer| answer.status == 200 && names(answer) == names(&fine)), "{many:?}");
}

async fn futures(h2: &H2, token: &str) -> Vec<Answer> {
    let (a, b, c, d) =
        tokio::join!(h2.query(token, FINE), h2.query(token, FINE), h2.query(token, FINE), h2.query(token, FINE));
    vec![a, b, c, d]
}
