//! The ready descriptions of `docs/dialects`, each in a running sidecar before a server that answers as its vendor's
//! documentation says (tests/fixtures/dialects/README.md tells what the files are).

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tagwarden::diagnostic::SourceFile;
use tagwarden::dialect::json;

use crate::support::client::{self, Answer};
use crate::support::repository;
use crate::support::sidecar::{Setup, Sidecar};
use crate::support::tokens::KEY;
use crate::support::upstream::{Act, Upstream};

/// The groups of the callers; each is asked for by every case.
const CALLERS: [&str; 3] = ["scoring", "cutters", "outsiders"];

/// A file without the end of its last line.
fn text(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.strip_suffix('\n').map(str::to_owned).unwrap_or(text))
}

/// A request of a file: its line without the version, and its body.
fn request(path: &Path) -> (String, String) {
    let text = text(path).unwrap_or_else(|| panic!("{} is missing", path.display()));
    let (line, body) = text.split_once("\n\n").unwrap_or((text.as_str(), ""));
    (line.to_owned(), body.to_owned())
}

async fn start(vendor: &str, folder: &Path, upstream: &Upstream) -> Sidecar {
    let mut setup = Setup::new(upstream).with("json: dialect.yaml");
    setup.upstream = setup.upstream.replace("feast", "json");
    let description = repository(&format!("docs/dialects/{vendor}.yaml"));
    setup.folder.write("dialect.yaml", text(&description).unwrap());
    setup.policy(&text(&folder.join("policy.yaml")).unwrap()).start().await
}

/// Asks what every case of a vendor asks, as every caller.
async fn holds(vendor: &str, cases: &[&str]) {
    let folder = repository(&format!("tests/fixtures/dialects/{vendor}"));
    let files = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let there: BTreeSet<String> =
        files.filter_map(|file| file.strip_suffix(".request.http").map(str::to_owned)).collect();
    assert_eq!(there, cases.iter().map(|case| (*case).to_owned()).collect());
    let upstream = Upstream::start().await;
    let sidecar = start(vendor, &folder, &upstream).await;
    for case in cases {
        let (line, body) = request(&folder.join(format!("{case}.request.http")));
        let given = text(&folder.join(format!("{case}.upstream.json"))).unwrap_or_default();
        upstream.turns_to(Act::json("200 OK", &given));
        for caller in CALLERS {
            let before = upstream.count();
            let answer = ask(&sidecar, &line, &body, caller).await;
            let of = format!("{vendor}/{case} of {caller}");
            let refused = text(&folder.join(format!("{case}.{caller}.refused.json")));
            let asked = match refused {
                Some(expected) => refuses(&of, &answer, &expected),
                None => {
                    let cut = text(&folder.join(format!("{case}.{caller}.json")));
                    assert_eq!((answer.status, answer.text()), (200, cut.as_deref().unwrap_or(&given)), "{of}");
                    assert_eq!(answer.header("content-type"), Some("application/json"), "{of}");
                    true
                }
            };
            let seen = upstream.seen().split_off(before);
            assert_eq!(seen.len(), usize::from(asked), "{of}: {seen:#?}");
            for came in seen {
                let sent = request(&folder.join(format!("{case}.upstream.http")));
                let head = came.line().strip_suffix(" HTTP/1.1").unwrap().to_owned();
                assert_eq!((head, came.text().to_owned()), sent, "{of}");
                let kind = (!came.body.is_empty()).then(|| "application/json".to_owned());
                assert_eq!((came.header("content-type"), came.header("authorization")), (kind, None), "{of}");
            }
        }
    }
}

async fn ask(sidecar: &Sidecar, line: &str, body: &str, caller: &str) -> Answer {
    let (method, target) = line.split_once(' ').unwrap();
    let kind = if body.is_empty() { "" } else { "content-type: application/json\r\n" };
    let headers = format!("authorization: Bearer {}\r\n{kind}", KEY.token(&[caller]));
    sidecar.ask(client::request(method, target, &headers, body)).await
}

/// Checks a refusal against its file; whether the server was asked nevertheless.
fn refuses(of: &str, answer: &Answer, expected: &str) -> bool {
    let expected: Value = serde_json::from_str(expected).unwrap_or_else(|error| panic!("{of}: {error}"));
    let status = u16::try_from(expected["status"].as_u64().unwrap()).unwrap();
    assert_eq!(answer.status, status, "{of}: {}", answer.text());
    let message = answer.fails(status, expected["code"].as_str().unwrap());
    assert_eq!(answer.json()["error"]["refused"], expected["refused"], "{of}: {message}");
    if let Some(why) = expected["message"].as_str() {
        assert_eq!(message, why, "{of}");
    }
    expected["asked"].as_bool().unwrap_or_default()
}

#[test]
fn every_description_loads_without_a_finding_and_says_what_it_is() {
    let mut found = BTreeSet::new();
    for file in std::fs::read_dir(repository("docs/dialects")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let Some(stem) = name.strip_suffix(".yaml") else { continue };
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().take(3).collect();
        assert_eq!(lines[0], "# yaml-language-server: $schema=../schema/dialect.json", "{name}");
        assert!(lines[1..].iter().all(|line| line.starts_with("# ")), "{name}: {lines:?}");
        let (description, report) = json::load(&Arc::new(SourceFile { name: name.clone(), text }));
        assert!(report.diagnostics.is_empty() && description.is_some(), "{report}");
        found.insert(stem.to_owned());
    }
    for vendor in ["databricks", "hopsworks", "sagemaker", "tecton", "vertex-ai"] {
        assert!(found.contains(vendor), "{vendor} is missing: {found:?}");
    }
}

#[tokio::test]
async fn tecton() {
    holds("tecton", &["batch", "get-features", "metadata", "other-workspace", "service-id"]).await;
}

#[tokio::test]
async fn hopsworks() {
    holds("hopsworks", &["batch", "missing", "other-version", "passed-feature", "single"]).await;
}

#[tokio::test]
async fn vertex_ai() {
    holds("vertex-ai", &["key-value", "proto-struct", "streaming"]).await;
}

#[tokio::test]
async fn sagemaker() {
    holds("sagemaker", &["batch", "every-feature", "missing", "presigned"]).await;
}

#[tokio::test]
async fn databricks() {
    holds("databricks", &["dataframe-split", "invocations"]).await;
}
