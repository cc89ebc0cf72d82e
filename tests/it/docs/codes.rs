//! docs/troubleshooting.md has a section for every code on the wire, with the bodies as they are sent.

use std::collections::BTreeSet;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::HeaderValue;
use serde_json::Value;
use tagwarden::proxy::respond::Failure;

use super::{section, text_of};

const PAGE: &str = "docs/troubleshooting.md";

/// Every failure, with the words of the page's examples.
fn failures() -> Vec<Failure> {
    let wait = Duration::from_secs(1);
    vec![
        Failure::Unauthorized { sent: false },
        Failure::Unauthorized { sent: true },
        Failure::TokenExpired,
        Failure::InvalidApiKey,
        Failure::InvalidClient,
        Failure::InvalidRefreshToken,
        Failure::TooManyAttempts { retry_after: 1 },
        Failure::Forbidden,
        Failure::FeaturesRefused(vec!["customer:income".to_owned()]),
        Failure::InvalidQuery("entity `basket_total` is missing".to_owned()),
        Failure::NotFound,
        Failure::NoSuchSource,
        Failure::MethodNotAllowed("POST".to_owned()),
        Failure::BodyTooLarge,
        Failure::Unsupported("The request body must have the Content-Type application/json"),
        Failure::RequestTimeout,
        Failure::Overloaded,
        Failure::KeysUnavailable { retry_after: wait },
        Failure::IssuerUnavailable,
        Failure::UpstreamFailed(None),
        Failure::UpstreamUnreadable,
        Failure::UpstreamTimeout,
    ]
}

/// The codes of the one table of the program: what is not among [`failures`] is missed by this.
fn codes() -> BTreeSet<String> {
    let source = text_of("src/proxy/respond.rs");
    source.lines().filter_map(|line| line.split_once("=> \"")?.1.strip_suffix("\",")).map(str::to_owned).collect()
}

fn sections(text: &str) -> Vec<(&str, &str)> {
    let part = section(text, "By code");
    part.split("\n### ").skip(1).map(|one| one.split_once('\n').unwrap()).collect()
}

/// What the page says of a code otherwise than the program does.
fn faults(text: &str) -> Vec<String> {
    let (mut faults, failures) = (Vec::new(), failures());
    let sections = sections(text);
    let names: BTreeSet<String> = sections.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(failures.iter().map(|failure| failure.code().to_owned()).collect::<BTreeSet<_>>(), codes());
    faults.extend(codes().difference(&names).map(|code| format!("{code} has no section")));
    faults.extend(names.difference(&codes()).map(|code| format!("there is no code {code}")));
    for (name, text) in sections {
        let mine: Vec<&Failure> = failures.iter().filter(|failure| failure.code() == name).collect();
        let (status, rest) = text.trim_start().split_once('\n').unwrap();
        for failure in &mine {
            let grpc = failure.grpc().name().to_uppercase();
            if !status.contains(failure.status().as_str()) || !text.contains(&format!("`{grpc}`")) {
                faults.push(format!("{name} has another status or code of gRPC than {} {grpc}", failure.status()));
            }
            if !rest.contains(&failure.message()) {
                faults.push(format!("{name} does not say `{}`", failure.message()));
            }
        }
        let shown: Vec<&str> = rest.lines().filter(|line| line.starts_with('{')).collect();
        if shown.is_empty() {
            faults.push(format!("{name} shows no body"));
        }
        for body in shown {
            let bodies = mine.iter().map(|failure| sent(failure));
            if !bodies.into_iter().any(|sent| sent == body) {
                faults.push(format!("{name} shows a body that is not sent: {body}"));
            }
        }
        for who in ["\n- Application team: ", "\n- Operator: "] {
            if !rest.contains(who) {
                faults.push(format!("{name} has no `{}`", who.trim()));
            }
        }
    }
    faults
}

/// The body, with the id as the page writes it.
fn sent(failure: &Failure) -> String {
    let response = failure.response(&HeaderValue::from_static("ID"));
    assert_ne!(response.status(), StatusCode::OK);
    let bytes = bytes_of(response.into_body());
    let body: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(body["error"]["decision_id"], "ID");
    String::from_utf8(bytes).unwrap().replace("\"ID\"", "\"…\"")
}

fn bytes_of(body: tagwarden::proxy::respond::Body) -> Vec<u8> {
    use http_body_util::BodyExt as _;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(body.collect()).unwrap_or_else(|_| panic!("no body")).to_bytes().to_vec()
}

#[test]
fn every_code_on_the_wire_has_its_section_with_what_is_sent() {
    assert!(codes().len() >= 15, "{:?}", codes());
    assert_eq!(faults(&text_of(PAGE)), Vec::<String>::new());
}

#[test]
fn a_code_that_is_missing_made_up_or_told_wrongly_is_found() {
    let text = text_of(PAGE)
        .replace("### OVERLOADED", "### OVERLOAD")
        .replace("Status 415", "Status 400")
        .replace("\"message\":\"There is no such route\"", "\"message\":\"There is none\"");
    let found = faults(&text);
    let has = |what: &str| found.iter().any(|fault| fault.starts_with(what));
    assert!(has("OVERLOADED has no section") && has("there is no code OVERLOAD"), "{found:?}");
    assert!(has("UNSUPPORTED has another status") && has("NOT_FOUND shows a body that is not sent"), "{found:?}");
}
