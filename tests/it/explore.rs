//! The explorer page (docs/explore.md): whom it answers, and with what on every answer. What a browser makes of it is held by
//! tests/explore.

mod answers;
mod refusals;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::client::{Answer, Raw, ask, request};
use crate::support::process::run;
use crate::support::sidecar::{Setup, Sidecar};
use crate::support::upstream::Upstream;

const TOKEN: &str = "0123456789abcdef-operators";

/// A request under this name, with these headers, each with its line end.
fn named(method: &str, path: &str, host: &str, headers: &str, body: &str) -> Vec<u8> {
    let text = String::from_utf8(request(method, path, headers, body)).unwrap();
    text.replace("host: sidecar.example", &format!("host: {host}")).into_bytes()
}

async fn get(sidecar: &Sidecar, path: &str, headers: &str) -> Answer {
    ask(sidecar.admin, named("GET", path, "127.0.0.1:9901", headers, "")).await
}

/// A question that is answered.
async fn answer(sidecar: &Sidecar, name: &str, question: &Value) -> Value {
    let answer = question_of(sidecar, name, &question.to_string()).await;
    assert_eq!(answer.status, 200, "{name}: {}", answer.text());
    answer.json()
}

async fn question_of(sidecar: &Sidecar, name: &str, question: &str) -> Answer {
    let path = format!("/explore/api/{name}");
    ask(sidecar.admin, named("POST", &path, "localhost", "content-type: application/json\r\n", question)).await
}

/// The code of an error of the explorer's.
fn code(answer: &Answer) -> String {
    let body = answer.json();
    assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
    body["error"]["code"].as_str().unwrap().to_owned()
}

/// With this in the section of the admin listener.
async fn with_admin(setup: Setup, member: &str) -> Sidecar {
    let text = setup.text();
    let changed =
        text.replace("admin: {address: \"127.0.0.1:0\"", &format!("admin: {{address: \"127.0.0.1:0\", {member}"));
    assert_ne!(changed, text);
    let path = setup.folder.write("tagwarden.yaml", changed);
    setup.start_from(&path).await
}

async fn started() -> Sidecar {
    Setup::new(&Upstream::start().await).start().await
}

#[tokio::test]
async fn it_answers_to_addresses_localhost_and_configured_names_alone() {
    let sidecar = with_admin(Setup::new(&Upstream::start().await), "hosts: [Tagwarden.Example]").await;
    let status = async |host: &str, path: &str| ask(sidecar.admin, named("GET", path, host, "", "")).await;
    for ours in ["127.0.0.1:9901", "localhost", "LOCALHOST:1", "[::1]:9901", "10.1.2.3", "tagwarden.example:80"] {
        for path in ["/explore", "/explore/api/summary"] {
            assert_eq!(status(ours, path).await.status, 200, "{ours} {path}");
        }
    }
    let foreign = [
        "evil.example",
        "evil.example:9901",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "a@localhost",
        "localhost.",
        "",
    ];
    for foreign in foreign {
        for path in ["/explore", "/explore/api/summary", "/explore/api/nothing", "/explore/nothing"] {
            let answer = status(foreign, path).await;
            assert_eq!((answer.status, code(&answer).as_str()), (421, "HOST"), "{foreign} {path}");
        }
    }
    // A name in the target, and two of them.
    let whole = b"GET http://evil.example/explore HTTP/1.1\r\nhost: localhost\r\n\r\n";
    assert_eq!(ask(sidecar.admin, whole).await.status, 421);
    let two = b"GET /explore HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\n\r\n";
    assert!(ask(sidecar.admin, two).await.status >= 400);
    // `/status` is asked by programs, under whatever name.
    assert_eq!(status("sidecar.shop.svc", "/status").await.status, 200);
}

#[tokio::test]
async fn other_sites_are_refused_by_origin_and_by_what_the_browser_says() {
    let sidecar = started().await;
    let origins = [
        ("http://127.0.0.1:9901", 200),
        ("https://127.0.0.1:9901", 200),
        ("http://127.0.0.1:9902", 403),
        ("http://localhost:9901", 403),
        ("https://evil.example", 403),
        ("null", 403),
        ("", 403),
    ];
    for (origin, status) in origins {
        let answer = get(&sidecar, "/explore/api/summary", &format!("origin: {origin}\r\n")).await;
        assert_eq!(answer.status, status, "{origin}");
    }
    for (site, status) in [("same-origin", 200), ("none", 200), ("same-site", 403), ("cross-site", 403), ("x", 403)] {
        for path in ["/explore", "/explore/api/summary"] {
            assert_eq!(
                get(&sidecar, path, &format!("sec-fetch-site: {site}\r\n")).await.status,
                status,
                "{site} {path}"
            );
        }
    }
    let twice = "sec-fetch-site: none\r\nsec-fetch-site: cross-site\r\n";
    assert_eq!(get(&sidecar, "/explore/api/summary", twice).await.status, 403);
}

#[tokio::test]
async fn the_page_runs_its_own_style_and_script_alone() {
    let sidecar = started().await;
    let page = get(&sidecar, "/explore", "").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let inside = |name: &str| {
        let (_, rest) = page.text().split_once(&format!("<{name}>")).unwrap();
        let text = rest.split_once(&format!("</{name}>")).unwrap().0;
        format!("'sha256-{}'", STANDARD.encode(digest(&SHA256, text.as_bytes())))
    };
    let policy = page.header("content-security-policy").unwrap();
    let rules: Vec<&str> = policy.split("; ").collect();
    let (script, style) = (format!("script-src {}", inside("script")), format!("style-src {}", inside("style")));
    let expected = [
        "default-src 'none'",
        &script,
        &style,
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ];
    assert_eq!(rules, expected);
}

#[tokio::test]
async fn every_answer_says_that_it_is_nobody_elses() {
    let sidecar = started().await;
    let mut answers = Vec::new();
    for path in
        ["/explore", "/explore/api/summary", "/explore/api/refusals", "/explore/", "/explore/x", "/explore/api/x"]
    {
        answers.push(get(&sidecar, path, "").await);
    }
    answers.push(question_of(&sidecar, "features", "{}").await);
    answers.push(ask(sidecar.admin, named("GET", "/explore", "evil.example", "", "")).await);
    answers.push(get(&sidecar, "/explore", "origin: null\r\n").await);
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 200, 200, 404, 404, 404, 400, 421, 403]);
    for (at, answer) in answers.iter().enumerate() {
        let expected = [
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
        ];
        for (name, value) in expected {
            assert_eq!(answer.header(name), Some(value), "{name} {at}");
        }
        assert!(answer.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"));
        assert_eq!(answer.header("access-control-allow-origin"), None);
        if at > 0 {
            assert_eq!(answer.header("content-type"), Some("application/json"));
        }
    }
}

#[tokio::test]
async fn questions_come_by_their_method_as_json_and_small() {
    let sidecar = started().await;
    for (method, path, allowed) in [
        ("POST", "/explore", "GET, HEAD"),
        ("DELETE", "/explore", "GET, HEAD"),
        ("POST", "/explore/api/summary", "GET, HEAD"),
        ("OPTIONS", "/explore/api/refusals", "GET, HEAD"),
        ("GET", "/explore/api/features", "POST"),
        ("OPTIONS", "/explore/api/query", "POST"),
        ("PUT", "/explore/api/compare", "POST"),
    ] {
        let answer = ask(sidecar.admin, named(method, path, "localhost", "", "")).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allowed)), "{method} {path}");
    }
    let fine = json!({"caller": {"roles": ["reader"]}, "limit": 1}).to_string();
    let kinds = [
        "",
        "content-type: text/plain\r\n",
        "content-type: application/json; charset=utf-8\r\n",
        "content-type: application/x-www-form-urlencoded\r\n",
        "content-type: application/json\r\ncontent-encoding: gzip\r\n",
        "content-type: application/json\r\ncontent-type: application/json\r\n",
    ];
    for kind in kinds {
        let answer = ask(sidecar.admin, named("POST", "/explore/api/features", "localhost", kind, &fine)).await;
        assert_eq!((answer.status, code(&answer).as_str()), (415, "UNSUPPORTED"), "{kind}");
    }
    let padded = |bytes: usize| fine.replace('}', &format!("{}}}", " ".repeat((bytes - fine.len()) / 2)));
    let at = padded((64 << 10) - 2);
    assert!(at.len() <= 64 << 10 && at.len() > (64 << 10) - 4);
    assert_eq!(question_of(&sidecar, "features", &at).await.status, 200);
    let beyond = question_of(&sidecar, "features", &padded((64 << 10) + 2)).await;
    assert_eq!((beyond.status, code(&beyond).as_str()), (413, "BODY_TOO_LARGE"));
    let name = "n".repeat(1025);
    let names = vec!["customer:age"; 201];
    for wrong in [
        "".to_owned(),
        "[]".to_owned(),
        "{\"caller\":{\"roles\":[\"reader\"]},\"limit\":1,\"limit\":2}".to_owned(),
        "{\"caller\":{\"claims\":{\"a\":1,\"\\u0061\":2}},\"limit\":1}".to_owned(),
        json!({"caller": {"roles": ["reader"]}, "limit": 1, "more": 1}).to_string(),
        json!({"caller": {"roles": ["reader"], "claims": {}}, "limit": 1}).to_string(),
        json!({"caller": {"roles": []}, "limit": 1}).to_string(),
        json!({"caller": {"roles": [name]}, "limit": 1}).to_string(),
        json!({"caller": {"roles": names}, "limit": 1}).to_string(),
        json!({"caller": {"roles": ["raeder"]}, "limit": 1}).to_string(),
        json!({"caller": {"roles": ["reader"]}, "limit": 0}).to_string(),
        json!({"caller": {"roles": ["reader"]}, "limit": 201}).to_string(),
        json!({"caller": {"roles": ["reader"]}, "limit": 1, "only": ["allow"]}).to_string(),
        json!({"caller": {"roles": ["reader"]}}).to_string(),
    ] {
        let answer = question_of(&sidecar, "features", &wrong).await;
        assert_eq!((answer.status, code(&answer).as_str()), (400, "INVALID_QUERY"), "{wrong}");
    }
    let said = question_of(&sidecar, "features", "{\"caller\":{\"roles\":[\"raeder\"]},\"limit\":1}").await;
    assert_eq!(said.json()["error"]["message"], "role `raeder` does not exist; did you mean `reader`?");
    let body = json!({"caller": {"roles": ["reader"]}, "outputs": names}).to_string();
    assert_eq!(question_of(&sidecar, "query", &body).await.status, 400);
}

#[tokio::test]
async fn where_there_is_a_token_status_and_data_ask_for_it_and_the_page_does_not() {
    let setup = Setup::new(&Upstream::start().await);
    setup.folder.write("operators", format!("{TOKEN}\n"));
    let sidecar = with_admin(setup, "token_file: operators").await;
    let bearer = |token: &str| format!("authorization: Bearer {token}\r\n");
    let paths =
        ["/status", "/explore/api/summary", "/explore/api/refusals", "/explore/api/features", "/explore/api/nothing"];
    let wrong = [
        String::new(),
        bearer("0123456789abcdef-somebody"),
        bearer(""),
        bearer(&TOKEN[..TOKEN.len() - 1]),
        bearer(&format!("{TOKEN}x")),
        format!("authorization: Basic {TOKEN}\r\n"),
        format!("authorization: {TOKEN}\r\n"),
        bearer(TOKEN) + &bearer(TOKEN),
    ];
    for path in paths {
        for headers in &wrong {
            let answer = get(&sidecar, path, headers).await;
            assert_eq!(
                (answer.status, answer.header("www-authenticate")),
                (401, Some("Bearer realm=\"tagwarden\"")),
                "{path} {headers}"
            );
            assert!(!answer.text().contains("generation"));
        }
    }
    assert_eq!(get(&sidecar, &format!("/explore/api/summary?access_token={TOKEN}"), "").await.status, 401);
    assert_eq!(get(&sidecar, "/explore", "").await.status, 200);
    for scheme in ["Bearer", "bearer"] {
        let headers = format!("authorization: {scheme} {TOKEN}\r\n");
        assert_eq!(get(&sidecar, "/status", &headers).await.status, 200);
        assert_eq!(get(&sidecar, "/explore/api/summary", &headers).await.status, 200);
    }
    // Who is let in is still no other site.
    let both = bearer(TOKEN) + "origin: https://evil.example\r\n";
    assert_eq!(get(&sidecar, "/explore/api/summary", &both).await.status, 403);

    // The file reloads; one that is no token keeps the last good one, and shows.
    let new = "fedcba9876543210-operators";
    sidecar.setup.folder.write("operators", "short");
    let why = sidecar.until_state("admin", "shorter than 16 characters").await;
    assert!(!why.contains("`short`"), "{why}");
    assert_eq!(get(&sidecar, "/status", &bearer(TOKEN)).await.status, 200);
    sidecar.setup.folder.write("operators", new);
    sidecar.until_state("admin", "ok").await;
    assert_eq!(get(&sidecar, "/status", &bearer(TOKEN)).await.status, 401);
    assert_eq!(get(&sidecar, "/status", &bearer(new)).await.status, 200);
    // A reload of the configuration takes nothing away.
    let text = sidecar.setup.folder.read("tagwarden.yaml").replace(", token_file: operators", "");
    sidecar.setup.folder.write("tagwarden.yaml", text);
    sidecar.until_metric("tagwarden_reloads_total{kind=\"config\",result=\"ok\"}", 1.0).await;
    assert_eq!(get(&sidecar, "/status", "").await.status, 401);
}

#[test]
fn an_address_that_others_reach_is_not_listened_on_without_a_token() {
    let setup = Setup::at("http://127.0.0.1:9");
    let text = |admin: &str| setup.text().replace("admin: {address: \"127.0.0.1:0\"}", &format!("admin: {admin}"));
    let start = |admin: &str| {
        let config = setup.folder.write("tagwarden.yaml", text(admin));
        run(["serve", "--config", config.to_str().unwrap()])
    };
    let (code, _, said) = start("{address: \"0.0.0.0:0\"}");
    assert_eq!(code, 3);
    assert!(said.contains("error[missing]: `admin.address` is not loopback, and there is no `token_file`"), "{said}");
    for (content, why) in [
        ("", "is empty"),
        ("  \n", "is empty"),
        ("0123456789abcde\n", "shorter than 16 characters"),
        ("0123456789 abcdef", "more than one word"),
        ("0123456789abcdef\u{e9}", "more than one word"),
    ] {
        setup.folder.write("operators", content);
        for address in ["0.0.0.0:0", "127.0.0.1:0"] {
            let (code, _, said) = start(&format!("{{address: \"{address}\", token_file: operators}}"));
            assert_eq!(code, 3, "{content:?}: {said}");
            assert!(said.contains(why) && said.contains("operators"), "{content:?}: {said}");
            assert!(content.trim().is_empty() || !said.contains(content.trim()), "{said}");
        }
    }
    let (code, _, said) = start("{hosts: [\"tagwarden.example:80\"]}");
    assert_eq!(code, 3);
    assert!(said.contains("`hosts` has `tagwarden.example:80`"), "{said}");
}

#[tokio::test]
async fn an_address_that_others_reach_is_listened_on_with_a_token() {
    let setup = Setup::new(&Upstream::start().await);
    setup.folder.write("operators", TOKEN);
    let text = setup
        .text()
        .replace("admin: {address: \"127.0.0.1:0\"}", "admin: {address: \"0.0.0.0:0\", token_file: operators}");
    let path = setup.folder.write("tagwarden.yaml", text);
    let sidecar = setup.start_from(&path).await;
    let at = std::net::SocketAddr::from(([127, 0, 0, 1], sidecar.admin.port()));
    let status = async |headers: &str| ask(at, named("GET", "/status", "x", headers, "")).await.status;
    assert_eq!(status("").await, 401);
    assert_eq!(status(&format!("authorization: Bearer {TOKEN}\r\n")).await, 200);
}

#[tokio::test]
async fn without_it_there_is_nothing_below_its_path() {
    let sidecar = with_admin(Setup::new(&Upstream::start().await), "explore: false").await;
    for path in ["/explore", "/explore/api/summary", "/explore/api/refusals"] {
        assert_eq!(get(&sidecar, path, "").await.status, 404, "{path}");
    }
    assert_eq!(get(&sidecar, "/status", "").await.status, 200);
    // Nor at the other listeners where there is one.
    let sidecar = started().await;
    for at in [sidecar.data, sidecar.metrics] {
        assert_eq!(ask(at, named("GET", "/explore", "localhost", "", "")).await.status, 404);
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_holds_nobody_up() {
    let sidecar = started().await;
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut raw = Raw::connect(sidecar.admin).await;
        let head = "POST /explore/api/features HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 60000\r\n\r\n{";
        raw.send(head).await;
        slow.push(raw);
    }
    let fine = json!({"caller": {"roles": ["reader"]}, "limit": 1});
    assert_eq!(answer(&sidecar, "features", &fine).await["total"], 8);
}
