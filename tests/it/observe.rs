//! What operators see: metrics, probes, `/status`, the audit log (config.md, Metrics and Audit line).

use serde_json::{Value, json};

use crate::support::client::{ask, query, request};
use crate::support::sidecar::{FINE, REFUSED, Setup, Sidecar, cutter, reader};
use crate::support::tokens::{ISSUER, KEY};
use crate::support::upstream::{Act, Upstream};

#[tokio::test]
async fn traffic_shows_in_the_documented_families() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    let (token, cutter) = (reader(), cutter());
    for (who, body, status) in
        [(&token, FINE, 200), (&token, FINE, 200), (&token, REFUSED, 403), (&cutter, REFUSED, 200)]
    {
        assert_eq!(sidecar.query(who, body).await.status, status);
    }
    let internal = r#"{"features":["customer:income"],"entities":{"customer_id":[1]}}"#;
    sidecar.query(&token, internal).await.fails(403, "FEATURES_REFUSED");
    sidecar.query("nonsense", FINE).await.fails(401, "UNAUTHORIZED");
    sidecar.query(&KEY.token_of("c", &["readers"], -999), FINE).await.fails(401, "TOKEN_EXPIRED");
    sidecar.ask(request("GET", "/nowhere", "", "")).await.fails(404, "NOT_FOUND");
    sidecar.ask(request("POST", "/get-online-features", "", FINE)).await.fails(401, "UNAUTHORIZED");
    upstream.turns_to(Act::answer("500 Oh", "", ""));
    sidecar.query(&token, FINE).await.fails(500, "UPSTREAM_FAILED");

    sidecar.until_metric("tagwarden_audit_lines_total", 6.0).await;
    let text = sidecar.metrics().await;
    let at = "route=\"/get-online-features\"";
    let version = env!("CARGO_PKG_VERSION");
    for line in [
        format!("tagwarden_build_info{{version=\"{version}\"}} 1"),
        format!("tagwarden_requests_total{{code=\"200\",{at}}} 3"),
        format!("tagwarden_requests_total{{code=\"401\",{at}}} 3"),
        format!("tagwarden_requests_total{{code=\"403\",{at}}} 2"),
        format!("tagwarden_requests_total{{code=\"500\",{at}}} 1"),
        "tagwarden_requests_total{code=\"404\",route=\"other\"} 1".to_owned(),
        format!("tagwarden_request_duration_seconds_count{{{at}}} 9"),
        format!("tagwarden_upstream_duration_seconds_count{{{at}}} 4"),
        format!("tagwarden_overhead_seconds_count{{{at}}} 9"),
        format!("tagwarden_decisions_total{{decision=\"permitted\",{at}}} 3"),
        format!("tagwarden_decisions_total{{decision=\"filtered\",{at}}} 1"),
        format!("tagwarden_decisions_total{{decision=\"refused\",{at}}} 2"),
        "tagwarden_outputs_refused_total{permission=\"Deny\"} 2".to_owned(),
        "tagwarden_outputs_refused_total{permission=\"AllowInternal\"} 1".to_owned(),
        format!("tagwarden_response_columns_dropped_total{{{at}}} 0"),
        "tagwarden_tokens_total{result=\"valid\"} 6".to_owned(),
        "tagwarden_tokens_total{result=\"invalid\"} 1".to_owned(),
        "tagwarden_tokens_total{result=\"expired\"} 1".to_owned(),
        "tagwarden_tokens_total{result=\"missing\"} 1".to_owned(),
        "tagwarden_cache_requests_total{cache=\"decision\",result=\"hit\"} 2".to_owned(),
        "tagwarden_cache_requests_total{cache=\"decision\",result=\"miss\"} 4".to_owned(),
        "tagwarden_cache_entries{cache=\"token\"}".to_owned(),
        "tagwarden_snapshot_generation{kind=\"policy\"} 1".to_owned(),
        "tagwarden_snapshot_loaded_timestamp_seconds{kind=\"policy\"}".to_owned(),
        "tagwarden_snapshot_stale{kind=\"policy\"} 0".to_owned(),
        format!("tagwarden_jwks_fetches_total{{issuer=\"{ISSUER}\",result=\"ok\"}} 1"),
        format!("tagwarden_jwks_age_seconds{{issuer=\"{ISSUER}\"}}"),
        "tagwarden_upstream_errors_total{kind=\"status\"} 1".to_owned(),
        "tagwarden_audit_mode 0".to_owned(),
        "tagwarden_shadow_disagreements_total{change=\"wider\"} 0".to_owned(),
        "tagwarden_shadow_disagreements_total{change=\"narrower\"} 0".to_owned(),
        "tagwarden_audit_lines_total 6".to_owned(),
        "tagwarden_audit_chain_head ".to_owned(),
        "tagwarden_connections{listener=\"data\"}".to_owned(),
        "tagwarden_connections{listener=\"metrics\"} 1".to_owned(),
        "tagwarden_inflight_requests 0".to_owned(),
        "process_resident_memory_bytes".to_owned(),
    ] {
        assert!(text.lines().any(|shown| shown.starts_with(&line)), "{line}\n---\n{text}");
    }
    // Nothing with a caller or a feature in a label.
    for name in ["caller-1", "customer", "readers", "cutter"] {
        assert!(!text.contains(name), "{name}\n---\n{text}");
    }
}

#[tokio::test]
async fn probes_and_status_answer_to_get_alone_and_each_on_its_listener() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    let get = |path: &str| request("GET", path, "", "");
    let live = ask(sidecar.metrics, get("/livez")).await;
    assert_eq!((live.status, live.text(), live.header("cache-control")), (200, "ok\n", Some("no-store")));
    assert_eq!(ask(sidecar.metrics, get("/readyz")).await.status, 200);
    assert_eq!(ask(sidecar.metrics, get("/metrics")).await.header("content-type"), Some("text/plain; version=0.0.4"));
    for (address, path) in
        [(sidecar.metrics, "/status"), (sidecar.admin, "/metrics"), (sidecar.admin, "/readyz"), (sidecar.admin, "/")]
    {
        assert_eq!(ask(address, get(path)).await.status, 404, "{path}");
    }
    for (address, path) in [(sidecar.metrics, "/readyz"), (sidecar.admin, "/status")] {
        assert_eq!(ask(address, request("POST", path, "", "x")).await.status, 405, "{path}");
    }
    let status = sidecar.status().await;
    let digest = status["policy"]["digest"].as_str().unwrap();
    assert!(digest.len() == 12 && digest.bytes().all(|b| b.is_ascii_hexdigit()), "{digest}");
    let state = |digest: &str| json!({"digest": digest, "stale": null});
    let mut expected = json!({
        "version": env!("CARGO_PKG_VERSION"), "generation": 1, "policy_digest": format!("{digest}+none"),
        "roles": 3, "bindings": 3, "features": 8, "bundles": 2, "draining": false, "enforcement": "enforce",
        "policy": state(digest), "catalogue": state("none"), "graph": state(""), "config": state(""), "keys": state(""), "certificates": state(""), "upstream": state(""),
        "shadow": state(""),
        "clients": state(""),
        "description": state(""),
        "admin": state(""),
        "issuers": [{"issuer": ISSUER, "keys": 1, "stale": false}],
    });
    expected["issuers"][0]["age_seconds"] = status["issuers"][0]["age_seconds"].clone();
    assert_eq!(status, expected);
}

/// A line without what differs from request to request, which is checked.
fn fixed(mut line: Value, id: &str) -> Value {
    let time = line["time"].as_str().unwrap();
    assert!(time.len() == 27 && time.starts_with("20") && time.ends_with('Z') && &time[10..11] == "T", "{time}");
    assert_eq!(line["decision_id"], id);
    for name in ["prev", "hash"] {
        let hash = line[name].as_str().unwrap();
        assert!(hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()), "{name}: {hash}");
    }
    assert!(line["duration_us"].is_u64(), "{line}");
    for name in ["time", "decision_id", "duration_us", "prev", "hash"] {
        line.as_object_mut().unwrap().remove(name);
    }
    line
}

#[tokio::test]
async fn a_decision_leaves_one_line_with_exactly_the_documented_members() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    let digest = sidecar.status().await["policy_digest"].clone();
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let traced = |token: &str, body: &str| {
        let head = format!("traceparent: 00-{trace}-b7ad6b7169203331-01\r\n");
        String::from_utf8(query(token, body)).unwrap().replacen("host:", &format!("{head}host:"), 1)
    };
    let permitted = sidecar.ask(traced(&reader(), FINE)).await;
    let refused = sidecar.query(&reader(), REFUSED).await;
    let filtered = sidecar.query(&cutter(), REFUSED).await;
    let service = r#"{"feature_service":"pii_service","entities":{"customer_id":[1]}}"#;
    let by_name = sidecar.query(&reader(), service).await;
    let derived = r#"{"features":["customer:vip","basket:ratio"],"entities":{"customer_id":[1],"basket_total":[2.5]}}"#;
    let cleared = sidecar.query(&reader(), derived).await;
    let odd = format!(r#"{{"features":["no:\"\u202e\u00e4{}"],"entities":{{"customer_id":[1]}}}}"#, "x".repeat(300));
    let unknown = sidecar.query(&reader(), odd).await;

    let lines = sidecar.audit(6).await;
    let answers = [&permitted, &refused, &filtered, &by_name, &cleared, &unknown];
    let fixed: Vec<Value> =
        lines.iter().zip(answers).map(|(line, answer)| fixed(line.clone(), answer.decision_id())).collect();
    let caller = fixed[0]["caller"].clone();
    let hash = caller.as_str().unwrap();
    assert!(hash.len() == 32 && hash.bytes().all(|b| b.is_ascii_hexdigit()), "{hash}");
    let ssn = json!({"feature": "customer:ssn", "permission": "Deny", "rule": 7, "tag": "pii"});
    let line = |more: Value| {
        let mut line = json!({
            "generation": 1, "policy_digest": digest, "caller": caller, "issuer": ISSUER, "roles": ["reader"],
            "route": "/get-online-features", "query": null, "outputs": ["customer:age", "customer:ssn"],
            "supplied": ["customer_id"], "reads": [], "mode": "reject", "decision": "refused", "refused": [ssn],
            "declassified": [], "status": 403, "trace_id": null,
        });
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line
    };
    assert_eq!(
        fixed[0],
        line(json!({
            "outputs": ["customer:age", "customer:country"], "decision": "permitted", "refused": [], "status": 200,
            "trace_id": trace,
        }))
    );
    assert_eq!(fixed[1], line(json!({})));
    assert_eq!(fixed[2], line(json!({"roles": ["cutter"], "mode": "filter", "decision": "filtered", "status": 200})));
    assert_eq!(fixed[3], line(json!({"query": "pii_service"})));
    assert_eq!((&fixed[4]["outputs"], &fixed[4]["status"]), (&json!(["customer:vip", "basket:ratio"]), &json!(200)));
    assert_eq!(fixed[4]["supplied"], json!(["customer_id", "basket_total"]));
    let name = fixed[5]["refused"][0]["feature"].as_str().unwrap();
    assert!(name.starts_with("no:\"\\u{202e}\\u{e4}xxx") && name.len() <= 140 && name.ends_with('…'), "{name}");
    assert_eq!(fixed[5]["outputs"], json!([name]));
}

#[tokio::test]
async fn callers_are_told_apart_by_a_stable_hash_or_by_name_where_the_configuration_says_so() {
    let upstream = Upstream::start().await;
    let callers = async |sections: &str, key: &str| -> Vec<Value> {
        let mut setup = Setup::new(&upstream);
        setup.folder.write("hash.key", key);
        setup = setup.with(sections);
        let sidecar = setup.start().await;
        for who in ["anna", "bert", "anna"] {
            assert_eq!(sidecar.query(&KEY.token_of(who, &["readers"], 60), FINE).await.status, 200);
        }
        sidecar.audit(3).await.into_iter().map(|line| line["caller"].clone()).collect()
    };
    assert_eq!(callers("audit: {log: audit.jsonl, subject: plain}", "x").await, ["anna", "bert", "anna"]);
    let hashed = callers("", "x").await;
    assert!(hashed[0] == hashed[2] && hashed[0] != hashed[1], "{hashed:?}");
    assert_eq!(callers("", "x").await, hashed, "it is the same in every process");
    let keyed = "audit: {log: audit.jsonl, key_file: hash.key}";
    let one = callers(keyed, "a key of more than sixteen bytes").await;
    assert!(one[0] == one[2] && one[0] != one[1] && one[0] != hashed[0], "{one:?}");
    assert_eq!(callers(keyed, "a key of more than sixteen bytes").await, one);
    assert_ne!(callers(keyed, "another key that is as long").await[0], one[0]);
}

#[tokio::test]
async fn without_a_share_of_the_permitted_refusals_and_cuts_are_logged_all_the_same() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with("audit: {log: audit.jsonl, permitted: 0.0}").start().await;
    for _ in 0..5 {
        assert_eq!(sidecar.query(&reader(), FINE).await.status, 200);
    }
    sidecar.query(&reader(), REFUSED).await.fails(403, "FEATURES_REFUSED");
    assert_eq!(sidecar.query(&cutter(), REFUSED).await.status, 200);
    let decisions: Vec<Value> = sidecar.audit(2).await.into_iter().map(|line| line["decision"].clone()).collect();
    assert_eq!(decisions, ["refused", "filtered"]);
    sidecar.until_metric("tagwarden_audit_lines_total", 2.0).await;
}

#[tokio::test]
async fn a_share_of_the_permitted_is_a_share() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with("audit: {log: audit.jsonl, permitted: 0.5}").start().await;
    let (token, mut raw) = (reader(), sidecar.raw().await);
    for _ in 0..400 {
        assert_eq!(raw.ask(query(&token, FINE)).await.status, 200);
    }
    drop(raw);
    let (setup, _) = sidecar.stop_keeping().await;
    // Twelve standard deviations: it does not fail by chance.
    let lines = setup.folder.read("audit.jsonl").lines().count();
    assert!((80..=320).contains(&lines), "{lines}");
}

#[tokio::test]
async fn the_line_is_written_before_the_next_request_can_tell() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    for status in [401, 404, 500] {
        upstream.turns_to(Act::answer(&format!("{status} No"), "", "secret"));
        sidecar.query(&reader(), FINE).await.fails(status, "UPSTREAM_FAILED");
    }
    let lines = sidecar.audit(3).await;
    let statuses: Vec<&Value> = lines.iter().map(|line| &line["status"]).collect();
    assert_eq!(statuses, [&json!(401), &json!(404), &json!(500)]);
    // What is not decided leaves no line.
    sidecar.query(&reader(), "{").await.fails(400, "INVALID_QUERY");
    sidecar.query("nonsense", FINE).await.fails(401, "UNAUTHORIZED");
    sidecar.query(&reader(), REFUSED).await.fails(403, "FEATURES_REFUSED");
    assert_eq!(sidecar.audit(4).await[3]["status"], 403);
}
