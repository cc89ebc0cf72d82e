//! Targets of requests: what is let through means to every server what it meant to us. Whatever a lax server makes of a path
//! (escapes decoded, once or until none is left, slashes merged, dot segments followed, `;params` and fragments dropped, back
//! slashes turned), of a path that fits a route it makes that path; and whatever case it takes a path in, it is no other route.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use hyper::{Method, Uri};
use tagwarden::config::{Config, read};
use tagwarden::diagnostic::SourceFile;
use tagwarden::dialect::json::description::Description;
use tagwarden::metrics::Metrics;
use tagwarden::proxy::route::{Route, Routes};

const AUTH: &str = "auth: {issuers: [{issuer: \"https://idp.example/\", audiences: [a], keys: {jwks_file: j}}]}\n";
const LISTED: &str =
    "  - {path: /v1/items, methods: [GET, POST]}\n  - {path: /v1/items/closed, methods: [GET], roles: [w]}\n";
const DESCRIBED: &str = "version: 1\nroutes:\n- path: /records/{group}\n  method: GET\n  names: \"{group}.{name}\"\n  \
    request: {outputs: {query: f}}\n  answer: {shape: objects, at: /values}\n\
    - path: /models/{model}/read\n  names: \"{model}.{name}\"\n  request: {outputs: {body: /f/*}}\n  \
    answer: {shape: objects, at: /values}\n";

fn file(name: &str, text: String) -> Arc<SourceFile> {
    Arc::new(SourceFile { name: name.to_owned(), text })
}

fn config(upstream: &str, more: &str) -> Config {
    let text = format!("version: 1\nupstream: {{url: \"http://127.0.0.1:1\", {upstream}}}\n{AUTH}policies: p\n{more}");
    let (config, report) = read(&file("tagwarden.yaml", text), Path::new("/nowhere"), &|_| None);
    config.unwrap_or_else(|| panic!("{report}"))
}

/// Feast's, Chalk's, and those of a description with variables.
static ROUTES: LazyLock<[Routes; 3]> = LazyLock::new(|| {
    let metrics = Metrics::new().expect("metrics");
    let (description, report): (Option<Description>, _) =
        tagwarden::dialect::json::reader::load(&file("json.yaml", DESCRIBED.to_owned()));
    let description = description.unwrap_or_else(|| panic!("{report}"));
    let opened = "  - {path: /search, methods: [POST]}\n  - {path: /push, methods: [POST]}\n";
    let of = |upstream: &str, more: &str, description| Routes::new(&config(upstream, more), description, &metrics);
    [
        of("dialect: feast", &format!("routes:\n{LISTED}{opened}"), None),
        of("dialect: chalk", &format!("listen: {{public_url: \"http://h\"}}\nroutes:\n{LISTED}"), None),
        of("dialect: json", &format!("json: json.yaml\nroutes:\n{LISTED}"), Some(&description)),
    ]
});

fn found<'r>(routes: &'r Routes, method: &Method, path: &str) -> Option<&'r Route> {
    routes.find(method, path).ok()
}

/// One run: the first byte chooses method and routes, the rest is the target.
pub fn run(data: &[u8]) {
    let Some((first, target)) = data.split_first() else { return };
    let Ok(uri) = Uri::try_from(target) else { return };
    let method = if first & 1 == 0 { Method::GET } else { Method::POST };
    let routes = &ROUTES[usize::from(first >> 1) % 3];
    let Some(route) = found(routes, &method, uri.path()) else { return };
    // What stands in the target is the path that was matched: nothing was mended on the way.
    let written = String::from_utf8_lossy(target);
    let written = written.split(['?', '#']).next().expect("a first part");
    assert!(written.ends_with(uri.path()), "{written} was read as {}", uri.path());
    for lax in meanings(uri.path()) {
        assert_eq!(lax, uri.path(), "a server may take this for another path");
    }
    let lower = uri.path().to_ascii_lowercase();
    if let Some(other) = found(routes, &method, &lower) {
        assert_eq!(other.path, route.path, "{} and {lower} are two routes", uri.path());
    }
}

/// What servers may make of a path.
fn meanings(path: &str) -> Vec<String> {
    let once = decoded(path.as_bytes());
    let mut whole = once.clone();
    while decoded(&whole) != whole {
        whole = decoded(&whole);
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let spelled = [path.to_owned(), text(&once), text(&whole)];
    let mut all = Vec::new();
    for spelling in spelled {
        let turned = spelling.replace('\\', "/");
        let cut = |text: &str| text.split(['?', '#', '\0']).next().unwrap_or_default().trim().to_owned();
        let bare = |text: &str| {
            let segments: Vec<&str> = text.split('/').map(|part| part.split(';').next().unwrap_or_default()).collect();
            segments.join("/")
        };
        for one in [spelling.clone(), turned.clone(), cut(&turned), bare(&turned), bare(&cut(&turned))] {
            all.extend([one.clone(), merged(&one), followed(&one), followed(&merged(&one)), merged(&followed(&one))]);
        }
    }
    all
}

fn decoded(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = path;
    while let Some((byte, behind)) = rest.split_first() {
        let digits = behind.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let code = digits.filter(|two| two.bytes().all(|b| b.is_ascii_hexdigit()));
        match code.and_then(|two| u8::from_str_radix(two, 16).ok()).filter(|_| *byte == b'%') {
            Some(code) => {
                out.push(code);
                rest = &behind[2..];
            }
            None => {
                out.push(*byte);
                rest = behind;
            }
        }
    }
    out
}

/// Slashes that follow each other are one, and the last is none.
fn merged(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    format!("/{}", parts.join("/"))
}

/// RFC 3986, 5.2.4.
fn followed(path: &str) -> String {
    let mut out: Vec<&str> = Vec::new();
    for part in path.split('/').skip(1) {
        match part {
            "." => {}
            ".." => drop(out.pop()),
            part => out.push(part),
        }
    }
    format!("/{}", out.join("/"))
}
