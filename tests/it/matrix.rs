//! The sidecar and the upstream agree on what a request was: bytes of every kind, in front of hyper and of nginx
//! (`tests/fixtures/matrix`; `tests/e2e` has the same in front of uvicorn).

use std::convert::Infallible;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::{TcpListener, UnixStream};
use tokio::time::timeout;

use crate::support::client::request;
use crate::support::sidecar::{Setup, Sidecar, reader};
use crate::support::{Folder, repository, until};

/// Bytes, and what becomes of them; the README beside them says how to read it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    sent: String,
    answers: Vec<u16>,
    #[serde(default)]
    ends: bool,
    #[serde(default)]
    sees: Vec<Seen>,
}

/// A request as a server read it, a character for each byte.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Seen {
    line: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: String,
}

const QUERY: &str = r#"{"features":["customer:age"],"entities":{"customer_id":[1]}}"#;
const QUERY_UPSTREAM: &str =
    r#"{"features":["customer:age"],"entities":{"customer_id":[1]},"full_feature_names":true}"#;
const ANSWER: &str =
    r#"{"results":[{"values":[1]},{"values":[30]}],"metadata":{"feature_names":["customer_id","customer__age"]}}"#;
const INNER: &str = "GET /v1/open?inner HTTP/1.1\r\nhost: x\r\n\r\n";
const ROUTES: &str = "\
routes:
  - {path: /v1/items, methods: [POST]}
  - {path: /v1/open, methods: [GET], public: true}
catalogue: [catalogue.yaml]";

/// Only a case that fails waits for so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// A character for each byte.
fn text(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(c).unwrap()).collect()
}

impl Case {
    fn all() -> Vec<Self> {
        let file = std::fs::read(repository("tests/fixtures/matrix/cases.json")).unwrap();
        serde_json::from_slice(&file).unwrap()
    }

    fn bytes(&self, token: &str) -> Vec<u8> {
        let sent = self.sent.replace("@bearer@", &format!("authorization: Bearer {token}"));
        let sent = sent.replace("@query@", QUERY).replace("@length@", &QUERY.len().to_string());
        bytes(&sent.replace("@inner@", INNER))
    }

    fn sees(&self) -> Vec<Seen> {
        let body = |seen: &Seen| seen.body.replace("@query upstream@", QUERY_UPSTREAM);
        self.sees.iter().map(|seen| Seen { body: body(seen), ..seen.clone() }).collect()
    }
}

/// A hyper server that writes down what it read, and answers with method and target.
#[derive(Clone, Default)]
struct Recorder {
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<Mutex<usize>>,
}

impl Recorder {
    /// Where it listens: host and port.
    async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap().to_string();
        let this = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *this.connections.lock().unwrap() += 1;
                let recorder = this.clone();
                let service = service_fn(move |request| recorder.clone().answer(request));
                let connection =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        at
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let mut headers: Vec<_> =
            head.headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect();
        let mut took = |name: &str| {
            let at = headers.iter().position(|(n, _)| n == name);
            at.map(|at| headers.remove(at).1)
        };
        let host = took("host").unwrap_or_default();
        assert!(host == "localhost" || host.starts_with("127.0.0.1:"), "host: {host}");
        if let Some(length) = took("content-length") {
            assert_eq!(length, body.len().to_string());
        } else {
            assert!(body.is_empty() && !headers.iter().any(|(name, _)| name == "transfer-encoding"), "{headers:?}");
        }
        headers.sort();
        let line = format!("{} {}", head.method, head.uri);
        let (kind, answer) = if head.uri.path() == "/get-online-features" {
            ("application/json", Bytes::from(ANSWER))
        } else {
            ("text/plain", Bytes::from(line.clone()))
        };
        self.seen.lock().unwrap().push(Seen { line, headers, body: text(&body) });
        Ok(Response::builder().header("content-type", kind).body(Full::new(answer)).unwrap())
    }

    fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

async fn sidecar(url: &str) -> Sidecar {
    let fixture = |name: &str| std::fs::read_to_string(repository("tests/fixtures/matrix").join(name)).unwrap();
    let setup = Setup::at(url).policy(&fixture("policy.yaml")).with(ROUTES);
    setup.folder.write("catalogue.yaml", fixture("catalogue.yaml"));
    setup.start().await
}

/// What is wrong with a case; nothing, where nothing is. `number` tells its own requests from all others.
async fn wrong(case: &Case, number: usize, sidecar: &Sidecar, recorder: &Recorder) -> Option<String> {
    let before = recorder.count();
    let mut raw = sidecar.raw().await;
    raw.send(case.bytes(&reader())).await;
    let mut answers = Vec::new();
    let mut wrong = String::new();
    while answers.len() < case.answers.len() {
        match timeout(PATIENCE, raw.try_answer()).await {
            Ok(Some(answer)) => answers.push(answer.status),
            Ok(None) | Err(_) => break,
        }
    }
    let mut sees = case.sees();
    let probe = async |raw: &mut crate::support::client::Raw, name: &str| {
        let target = format!("/v1/open?{name}={number}");
        let line = format!("GET {target}");
        let answer = raw.ask(request("GET", &target, "", "")).await;
        let own = (answer.status, answer.text()) == (200, line.as_str());
        (Seen { line, headers: Vec::new(), body: String::new() }, own, format!("{answer:?}"))
    };
    if case.ends {
        match timeout(PATIENCE, raw.end()).await {
            Ok(rest) if rest.is_empty() => {}
            Ok(rest) => write!(wrong, " more came: {}", text(&rest)).unwrap(),
            Err(_) => write!(wrong, " the connection goes on: {}", text(&raw.take())).unwrap(),
        }
    } else if answers == case.answers {
        let (seen, own, answer) = probe(&mut raw, "same").await;
        sees.push(seen);
        if !own {
            write!(wrong, " the next request of the connection: {answer}").unwrap();
        }
    }
    let (seen, own, answer) = probe(&mut sidecar.raw().await, "other").await;
    sees.push(seen);
    if !own {
        write!(wrong, " the next request of another connection: {answer}").unwrap();
    }
    if answers != case.answers {
        write!(wrong, " answers: {answers:?}").unwrap();
    }
    let seen = recorder.seen.lock().unwrap().split_off(before);
    recorder.seen.lock().unwrap().extend(seen.iter().cloned());
    if seen != sees {
        write!(wrong, " seen upstream: {seen:?}").unwrap();
    }
    (!wrong.is_empty()).then(|| format!("{}:{wrong}", case.name))
}

/// All cases, one after the other; how many requests went upstream.
async fn all_agree(sidecar: &Sidecar, recorder: &Recorder) -> usize {
    let mut all = Vec::new();
    for (number, case) in Case::all().iter().enumerate() {
        all.extend(wrong(case, number, sidecar, recorder).await);
    }
    assert!(all.is_empty(), "{} cases:\n{}", all.len(), all.join("\n"));
    recorder.count()
}

#[tokio::test]
async fn the_sidecar_and_a_hyper_upstream_agree_on_every_request() {
    let recorder = Recorder::default();
    let at = recorder.start().await;
    let sidecar = sidecar(&format!("http://{at}")).await;
    assert!(all_agree(&sidecar, &recorder).await > 200);
    // Nothing of all that cost a connection: what went upstream was one request after the other.
    assert_eq!(*recorder.connections.lock().unwrap(), 1);
}

/// nginx on a socket file, which passes on what it read, as it read it.
struct Nginx {
    child: Child,
    folder: Folder,
}

impl Nginx {
    async fn start(to: &str) -> Self {
        let folder = Folder::new();
        let at = folder.path("");
        let at = at.display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|kind| format!("{kind}_temp_path {at}/{kind};\n"))
            .collect();
        let config = folder.write(
            "nginx.conf",
            format!(
                "daemon off; master_process off; pid {at}/pid; error_log stderr crit;\nevents {{}}\nhttp {{\n{temporary}\
                 log_format told '$status $request_length $request';\naccess_log {at}/access told;\n\
                 underscores_in_headers on; ignore_invalid_headers off; merge_slashes off; keepalive_requests 100000;\n\
                 upstream recorder {{ server {to}; keepalive 4; }}\n\
                 server {{ listen unix:{at}/socket; location / {{ proxy_pass http://recorder; proxy_http_version 1.1;\n\
                 proxy_set_header Connection \"\"; proxy_set_header Host $http_host; }} }}\n}}\n"
            ),
        );
        let program = ["/usr/sbin/nginx", "/usr/bin/nginx"].iter().find(|path| Path::new(path).is_file());
        let mut command = Command::new(program.unwrap_or(&"nginx"));
        command.arg("-p").arg(folder.path("")).args(["-e", "stderr", "-c"]).arg(config).stdin(Stdio::null());
        let mut child = command.spawn().expect("nginx, which tests/run installs");
        let socket = folder.path("socket");
        until("nginx to listen", async || {
            assert_eq!(child.try_wait().unwrap(), None, "nginx ended");
            UnixStream::connect(&socket).await.ok()
        })
        .await;
        Self { child, folder }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[tokio::test]
async fn the_sidecar_and_nginx_agree_on_every_request() {
    let recorder = Recorder::default();
    let nginx = Nginx::start(&recorder.start().await).await;
    let sidecar = sidecar(&format!("unix:{}", nginx.folder.path("socket").display())).await;
    let count = all_agree(&sidecar, &recorder).await;
    // One line for each, none that nginx refused, and no byte between them.
    let log = until("nginx's log", async || {
        let log = std::fs::read_to_string(nginx.folder.path("access")).unwrap();
        (log.lines().count() >= count).then_some(log)
    })
    .await;
    assert_eq!(log.lines().count(), count, "{log}");
    assert!(log.lines().all(|line| line.starts_with("200 ") && line.ends_with(" HTTP/1.1")), "{log}");
}
