//! Canaries: secrets of a kind that nobody could mistake, and every output searched for them.

use serde_json::json;

use crate::support::client::{ask, query, request};
use crate::support::process::Process;
use crate::support::sidecar::{FINE, REFUSED, Setup};
use crate::support::tokens::{AUDIENCE, ISSUER, KEY, now};
use crate::support::until;
use crate::support::upstream::{Act, Upstream};

const OWN_TOKEN: &str = "canary-own-token-3f9d1c";
const HASH_KEY: &str = "canary-hash-key-77aa02-and-more-of-it";
const SUBJECT: &str = "canary-subject-51be44";
const CLAIM: &str = "canary-claim-9e0d37";
const VALUE: &str = "canary-value-c2f6a8";
const SUPPLIED: &str = "canary-supplied-0d4412";
const API_KEY: &str = "tw_k1_canary-api-key-aa19";
const COOKIE: &str = "canary-cookie-58c0";
const HEADER: &str = "canary-header-1ab7";

/// An answer to [`FINE`] or to its first half.
fn valued(names: &str) -> String {
    let column = format!("{{\"values\":[\"{VALUE}\",\"{VALUE}\"]}}");
    let columns = vec![column; names.split(',').count()].join(",");
    format!("{{\"results\":[{columns}],\"metadata\":{{\"feature_names\":[{names}]}}}}")
}

#[tokio::test]
async fn no_output_holds_a_token_a_secret_or_a_value() {
    let upstream = Upstream::plan(|request, number| {
        let names = "\"customer_id\",\"customer__age\",\"customer__country\"";
        match number % 4 {
            0 => Act::json("200 OK", valued(names)),
            1 => Act::json("200 OK", valued("\"customer__ssn\"")),
            2 => Act::answer(
                "500 Oh",
                "x-inside: canary-header-1ab7\r\n",
                format!("only for the debug log: {}", request.connection),
            ),
            _ => Act::Bytes(format!("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n{VALUE}").into()).then_close(),
        }
    })
    .await;
    let setup = Setup::new(&upstream)
        .upstream_with("authorization: {bearer_file: own.token}")
        .with("audit: {log: audit.jsonl, key_file: hash.key}")
        .with("routes: [{path: /v1/open, methods: [GET], public: true}]")
        .with("tracing: {level: trace}");
    setup.folder.write("own.token", OWN_TOKEN);
    setup.folder.write("hash.key", HASH_KEY);
    let config = setup.write();
    let mut sidecar = Process::serve(&config, &["--log-level", "trace"]).await;

    let claims = |ends: i64| json!({"iss": ISSUER, "aud": AUDIENCE, "sub": SUBJECT, "groups": ["readers"], "note": CLAIM, "exp": now() + ends});
    let (good, expired) = (KEY.sign(&claims(600)), KEY.sign(&claims(-600)));
    let forged = format!("{}.{}", good.rsplit_once('.').unwrap().0, "A".repeat(86));
    let supplied = FINE.replace("[1,2]", &format!("[\"{SUPPLIED}\",2]"));
    let mut answers = Vec::new();
    for token in [&good, &good, &good, &good, &expired, &forged, "canary-no-jws-6d11"] {
        answers.push(ask(sidecar.data, query(token, &supplied)).await);
    }
    for body in [
        REFUSED.replace("[1,2]", &format!("[\"{SUPPLIED}\",2]")),
        supplied.replace("}}", ""),
        supplied.replace("\"customer:age\"", "5"),
    ] {
        answers.push(ask(sidecar.data, query(&good, body)).await);
    }
    let spoofed =
        format!("authorization: Bearer {good}\r\nx-api-key: {API_KEY}\r\ncookie: {COOKIE}\r\nx-other: {HEADER}\r\n");
    answers.push(ask(sidecar.data, request("POST", "/get-online-features", &spoofed, &supplied)).await);
    answers.push(ask(sidecar.data, request("GET", "/nowhere", &spoofed, "")).await);
    answers.push(
        ask(sidecar.data, request("GET", "/v1/open", &format!("cookie: {COOKIE}\r\nx-other: {HEADER}\r\n"), "")).await,
    );
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 502, 500, 502, 401, 401, 401, 403, 400, 400, 401, 404, 200]);
    assert!(upstream.seen().iter().all(|got| got.header("authorization") == Some(format!("Bearer {OWN_TOKEN}"))));

    // Reloads that fail, for what they complain of.
    setup.folder.write("jwks.json", format!("{{\"keys\":[{{\"kty\":\"{OWN_TOKEN}\"}}]}}"));
    sidecar.logged("\"kind\":\"keys\"").await;
    setup.folder.write("tagwarden.yaml", setup.text() + "limits: {inflight: none}\n");
    sidecar.logged("\"kind\":\"config\"").await;

    let get = |path: &str| request("GET", path, "", "");
    let audit = until("the audit lines", async || {
        let text = std::fs::read_to_string(setup.folder.path("audit.jsonl")).ok()?;
        (text.matches('\n').count() == 5).then_some(text)
    })
    .await;
    let pages = [
        ("metrics", ask(sidecar.metrics, get("/metrics")).await.text().to_owned()),
        ("readyz", ask(sidecar.metrics, get("/readyz")).await.text().to_owned()),
        ("status", ask(sidecar.admin, get("/status")).await.text().to_owned()),
        ("audit", audit),
        ("log", sidecar.log()),
    ];
    // The first answer is the caller's own, and so is the last.
    let errors = answers[1..answers.len() - 1].iter().map(|answer| ("an error", format!("{answer:?}")));
    let signature = |token: &str| token.rsplit_once('.').unwrap().1.to_owned();
    let payload = good.split('.').nth(1).unwrap();
    let canaries = [
        OWN_TOKEN,
        HASH_KEY,
        SUBJECT,
        CLAIM,
        VALUE,
        SUPPLIED,
        API_KEY,
        COOKIE,
        HEADER,
        &signature(&good),
        &signature(&expired),
        payload,
        "canary-no-jws-6d11",
    ];
    for (place, text) in pages.into_iter().chain(errors) {
        assert!(!text.is_empty(), "{place}");
        for canary in canaries {
            // The claims and the value of an error are what the debug log may show, and does not.
            assert!(!text.contains(canary), "{canary} in {place}:\n{}", around(&text, canary));
        }
    }
    assert!(sidecar.log().contains("only for the debug log"), "it was not written at the level that this test means");
}

/// The line that holds it.
fn around(text: &str, canary: &str) -> String {
    text.lines().filter(|line| line.contains(canary)).collect::<Vec<_>>().join("\n")
}
