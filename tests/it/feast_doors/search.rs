//! Vector search, and vector stores.

use serde_json::json;

use super::{refused, said, send, setup, shape};
use crate::support::upstream::{Act, Upstream};

pub const TITLES: &str = r#"{"features":["docs:title"],"query":[1,0.50],"top_k":2,"api_version":2}"#;
const FOUND: &str = r#"{"results":[{"values":["a","b"]},{"values":[0.5,0.7]},{"values":[1,2]}],"metadata":{"feature_names":["title","distance","doc_id"]}}"#;
const STORE: &str = r#"{"id":"vs_1","object":"vector_store","name":"docs","status":"completed","created_at":1}"#;
const PAGE: &str = r#"{"object":"vector_store.search_results.page","search_query":["words"],"data":[{"file_id":"vs_1_7","filename":"vs_1","score":0.61,"attributes":{"title":"a"},"content":[{"type":"text","text":"a"}]}],"has_more":false,"next_page":null}"#;
const WORDS: &str = r#"{"query":"words","max_num_results":1,"metadata":{"features_to_retrieve":["title"]}}"#;

/// How Feast 0.67 answers: one store, one page.
fn feast() -> impl Fn(&crate::support::upstream::Recorded, usize) -> Act + Send + Sync + 'static {
    |got, _| match got.target() {
        "/search" | "/retrieve-online-documents" => Act::json("200 OK", FOUND),
        "/v1/vector_stores" => {
            let notes = STORE.replace("vs_1", "vs_2").replace("docs", "notes");
            let other = STORE.replace("vs_1", "vs_3").replace("docs", "unknown");
            Act::json("200 OK", format!(r#"{{"object":"list","data":[{STORE},{notes},{other}]}}"#))
        }
        "/v1/vector_stores/vs_1" => Act::json("200 OK", STORE),
        "/v1/vector_stores/vs_2" => Act::json("200 OK", STORE.replace("vs_1", "vs_2").replace("docs", "notes")),
        "/v1/vector_stores/vs_3" => Act::json("200 OK", STORE.replace("vs_1", "vs_3").replace("docs", "unknown")),
        target if target.ends_with("/search") => Act::json("200 OK", PAGE),
        _ => Act::json("404 Not Found", r#"{"error":{"message":"SECRET"}}"#),
    }
}

#[tokio::test]
async fn a_search_goes_upstream_built_anew_and_its_columns_are_verified() {
    let upstream = Upstream::plan(feast()).await;
    let sidecar = setup(&upstream).start().await;
    let more = TITLES.replace("\"top_k\"", "\"x\":[1],\"top_k\"");
    for path in ["/search", "/retrieve-online-documents"] {
        let before = upstream.count();
        let answer = send(&sidecar, "open", "POST", &format!("{path}?top_k=9"), &more).await;
        assert_eq!((answer.status, answer.text()), (200, FOUND), "{path}");
        assert_eq!(answer.header("x-tagwarden-filtered"), None);
        let got = &upstream.seen()[before];
        assert_eq!((got.line(), got.text()), (format!("POST {path} HTTP/1.1").as_str(), TITLES));
    }
    // A key that the caller may use and not see.
    let answer = send(&sidecar, "keyless", "POST", "/search", TITLES).await;
    assert_eq!(answer.json()["metadata"]["feature_names"], json!(["title", "distance"]));
    assert_eq!(answer.json()["results"].as_array().unwrap().len(), 2);
    let unknown = TITLES.replace("\"docs:title\"", "\"docs:title\",\"docs:zzz\"");
    let cut = send(&sidecar, "cutter", "POST", "/search", &unknown).await;
    assert_eq!((cut.status, cut.text(), cut.header("x-tagwarden-filtered")), (200, FOUND, Some("1")));
    assert_eq!(upstream.seen().last().unwrap().text(), TITLES);
    for body in [
        FOUND.replace("\"distance\"", "\"text\""),
        FOUND.replace("\"doc_id\"", "\"customer_id\""),
        FOUND.replace("[0.5,0.7]", "[0.5,0.7],\"rows\":[\"SECRET\"]"),
        r#"[{"title":"SECRET"}]"#.to_owned(),
    ] {
        upstream.turns_to(Act::json("200 OK", &body));
        let answer = send(&sidecar, "open", "POST", "/search", TITLES).await;
        answer.fails(502, "UPSTREAM_UNREADABLE");
        assert!(!answer.text().contains("SECRET"), "{answer:?}");
    }
}

#[tokio::test]
async fn what_ranks_and_filters_is_an_output_that_cannot_be_taken_out() {
    let upstream = Upstream::plan(feast()).await;
    let sidecar = setup(&upstream).start().await;
    let notes = TITLES.replace("docs:title", "notes:vector");
    assert_eq!(refused(&send(&sidecar, "blind", "POST", "/search", &notes).await), json!(["notes"]));
    let text = TITLES.replace("docs:title", "notes:text");
    assert_eq!(refused(&send(&sidecar, "blind", "POST", "/search", &text).await), json!(["notes:text"]));
    let by = |key: &str| {
        TITLES.replace(
            "\"api_version\"",
            &format!("\"filters\":{{\"type\":\"eq\",\"key\":\"{key}\",\"value\":1}},\"api_version\""),
        )
    };
    assert_eq!(send(&sidecar, "open", "POST", "/search", &by("title")).await.status, 200);
    assert_eq!(send(&sidecar, "keyless", "POST", "/search", &by("doc_id")).await.status, 200);
    assert_eq!(refused(&send(&sidecar, "open", "POST", "/search", &by("ssn")).await), json!(["ssn"]));
    let line = sidecar.audit(5).await;
    assert_eq!(said(&line[0]), json!(["/search", null, ["notes:vector"], ["notes:text"], "refused", 403]));
    assert_eq!(
        line[0]["refused"],
        json!([{"feature": "notes:text", "permission": "AllowInternal", "rule": 7, "tag": "pii"}])
    );
}

#[tokio::test]
async fn a_caller_sees_the_stores_of_which_something_may_be_returned() {
    let upstream = Upstream::plan(feast()).await;
    let sidecar = setup(&upstream).start().await;
    let listed = async |role: &str| -> Vec<String> {
        let answer = send(&sidecar, role, "GET", "/v1/vector_stores?limit=1", "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["data"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(listed("open").await, ["docs", "notes"]);
    assert_eq!(listed("keyless").await, ["docs"]);
    assert_eq!(listed("writer").await, [""; 0]);
    assert_eq!(upstream.seen()[0].line(), "GET /v1/vector_stores HTTP/1.1");

    let one = send(&sidecar, "keyless", "GET", "/v1/vector_stores/vs_1", "").await;
    assert_eq!((one.status, one.text()), (200, STORE));
    // Not seen, not there, not in the catalogue, no id at all: one answer.
    let missing = send(&sidecar, "keyless", "GET", "/v1/vector_stores/vs_9", "").await;
    missing.fails(404, "UPSTREAM_FAILED");
    for id in ["vs_2", "vs_3", "nothing", "{id}"] {
        let hidden = send(&sidecar, "keyless", "GET", &format!("/v1/vector_stores/{id}"), "").await;
        assert_eq!(shape(&hidden, id), shape(&missing, "vs_9"), "{id}");
    }
    upstream.turns_to(Act::json("200 OK", STORE.replace("\"status\"", "\"rows\"")));
    send(&sidecar, "open", "GET", "/v1/vector_stores/vs_1", "").await.fails(502, "UPSTREAM_UNREADABLE");
    send(&sidecar, "open", "GET", "/v1/vector_stores", "").await.fails(502, "UPSTREAM_UNREADABLE");
}

#[tokio::test]
async fn which_view_a_store_is_is_asked_before_it_is_searched() {
    let upstream = Upstream::plan(feast()).await;
    let sidecar = setup(&upstream).start().await;
    let answer = send(&sidecar, "open", "POST", "/v1/vector_stores/vs_1/search?x=1", WORDS).await;
    assert_eq!((answer.status, answer.text()), (200, PAGE));
    let seen = upstream.seen();
    let lines: Vec<&str> = seen.iter().map(|got| got.line()).collect();
    assert_eq!(lines, ["GET /v1/vector_stores/vs_1 HTTP/1.1", "POST /v1/vector_stores/vs_1/search HTTP/1.1"]);
    assert_eq!(seen[1].text(), WORDS.replace("\"words\"", "[\"words\"]"));

    let keyless = send(&sidecar, "keyless", "POST", "/v1/vector_stores/vs_1/search", WORDS).await;
    assert_eq!(keyless.text(), PAGE.replace("vs_1_7", "vs_1_0"));

    // What is closed, what is not in the catalogue and what is not there: none is searched, and all read alike.
    let before = upstream.count();
    let all = r#"{"query":"words"}"#;
    let closed = send(&sidecar, "blind", "POST", "/v1/vector_stores/vs_2/search", all).await;
    assert_eq!(refused(&closed), json!(["vs_2"]));
    for id in ["vs_3", "vs_9", "nothing"] {
        let other = send(&sidecar, "blind", "POST", &format!("/v1/vector_stores/{id}/search"), all).await;
        assert_eq!(shape(&other, id), shape(&closed, "vs_2"), "{id}");
    }
    assert!(upstream.seen()[before..].iter().all(|got| got.line().starts_with("GET ")));
    let lines = sidecar.audit(6).await;
    let route = "/v1/vector_stores/{id}/search";
    assert_eq!(said(&lines[0]), json!([route, null, ["docs:title"], ["docs:vector"], "permitted", 200]));
    assert_eq!(lines[2]["decision"], "refused");
}

#[tokio::test]
async fn what_was_found_in_a_store_is_verified_by_name() {
    let upstream = Upstream::start().await;
    let sidecar = setup(&upstream).start().await;
    let says = |store: String, page: String| {
        upstream.turns_by(move |got, _| {
            Act::json("200 OK", if got.target().ends_with("/search") { page.clone() } else { store.clone() })
        });
    };
    for (store, page) in [
        (STORE.to_owned(), PAGE.replace("\"title\"", "\"text\"")),
        (STORE.to_owned(), PAGE.replace("\"next_page\":null", "\"next_page\":\"SECRET\"")),
        (STORE.to_owned(), "null".to_owned()),
        (STORE.replace("vs_1", "vs_2"), PAGE.to_owned()),
        ("null".to_owned(), PAGE.to_owned()),
    ] {
        says(store.clone(), page.clone());
        let answer = send(&sidecar, "open", "POST", "/v1/vector_stores/vs_1/search", WORDS).await;
        answer.fails(502, "UPSTREAM_UNREADABLE");
        assert!(!answer.text().contains("SECRET"), "{store} {page}: {answer:?}");
    }
    // Texts of the content that are no attribute are not passed on.
    says(STORE.to_owned(), PAGE.replace(r#""text":"a""#, r#""text":"SECRET""#));
    let answer = send(&sidecar, "open", "POST", "/v1/vector_stores/vs_1/search", WORDS).await;
    assert_eq!((answer.status, answer.text()), (200, PAGE));
}

#[tokio::test]
async fn suspended_enforcement_searches_and_records() {
    let upstream = Upstream::plan(feast()).await;
    let sidecar = setup(&upstream).with("enforcement: audit").start().await;
    let notes = TITLES.replace("docs:title", "notes:text");
    upstream.turns_to(Act::json("200 OK", FOUND.replace("\"title\"", "\"text\"")));
    let answer = send(&sidecar, "blind", "POST", "/search", &notes).await;
    assert_eq!(
        (answer.status, answer.json()["metadata"]["feature_names"].clone()),
        (200, json!(["text", "distance", "doc_id"]))
    );
    assert_eq!(upstream.only().text(), notes);
    upstream.turns_by(feast());
    assert_eq!(send(&sidecar, "writer", "GET", "/v1/vector_stores/vs_2", "").await.status, 200);
    let listed = send(&sidecar, "writer", "GET", "/v1/vector_stores", "").await;
    assert_eq!(listed.json()["data"].as_array().unwrap().len(), 3);
    let line = sidecar.audit(1).await.remove(0);
    assert_eq!(
        (&line["decision"], &line["enforcement"], line.get("unverified")),
        (&json!("refused"), &json!("audit"), None)
    );
}
