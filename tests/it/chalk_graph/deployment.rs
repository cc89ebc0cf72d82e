//! A Chalk deployment on one port: tokens and queries over HTTP/1.1, its graph over gRPC.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use prost::Message as _;
use serde_json::{Value, json};
use tagwarden::dialect::chalk::proto::{
    DatasourcePermissionTag, GetGraphResponse, IntegrationKind, ListDatasourcePermissionTagsResponse,
};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::graphs::Graph;
use crate::support::grpc::framed;
use crate::support::{until, within};

/// What it takes for a token.
pub const CLIENT_ID: &str = "sidecar";
/// With this.
pub const CLIENT_SECRET: &str = "canary-client-secret-7f1c";
/// What it gives for them.
pub const TOKEN: &str = "canary-deployment-token-90ab";
/// A token of somebody else's making that it takes too.
pub const BEARER: &str = "canary-bearer-token-44de";
pub const GET_TOKEN: &str = "/v1/oauth/token";
pub const GET_GRAPH: &str = "/chalk.server.v1.GraphService/GetGraph";
pub const LIST_TAGS: &str = "/chalk.server.v1.IntegrationsService/ListDatasourcePermissionTags";
pub const QUERY: &str = "/v1/query/online";

/// What GetGraph does.
#[derive(Clone, Debug)]
pub enum Gives {
    /// The graph of an export, alone.
    Graph(Graph),
    /// The export.
    Export(Graph),
    /// Neither.
    Nothing,
    /// This in the place of a graph.
    Bytes(&'static [u8]),
    /// `grpc-status`.
    Status(u8),
    /// No answer, until the gate opens; then the graph.
    Wait(Arc<Notify>, Graph),
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Came {
    pub path: String,
    pub version: Version,
    pub headers: HeaderMap,
    pub body: Bytes,
}

struct State {
    gives: Mutex<Gives>,
    tags: Mutex<Vec<(IntegrationKind, String, Vec<String>)>>,
    /// Where its answers say that it is.
    elsewhere: String,
    came: Mutex<Vec<Came>>,
    inside: AtomicUsize,
    most_inside: AtomicUsize,
}

/// The deployment; it ends with the test's runtime.
#[derive(Clone)]
pub struct Deployment {
    pub url: String,
    state: Arc<State>,
}

impl Deployment {
    /// One with this graph. All its answers name another address.
    pub async fn start(gives: Gives, elsewhere: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, gives, elsewhere)
    }

    /// The same, where somebody listens already.
    pub fn on(listener: TcpListener, gives: Gives, elsewhere: &str) -> Self {
        let state = Arc::new(State {
            gives: Mutex::new(gives),
            tags: Mutex::default(),
            elsewhere: elsewhere.to_owned(),
            came: Mutex::default(),
            inside: AtomicUsize::new(0),
            most_inside: AtomicUsize::new(0),
        });
        let deployment = Self { url: format!("http://{}", listener.local_addr().unwrap()), state: Arc::clone(&state) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let state = Arc::clone(&state);
                let service = service_fn(move |request| {
                    let state = Arc::clone(&state);
                    async move { Ok::<_, Infallible>(state.answer(request).await) }
                });
                tokio::spawn(async move {
                    auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await.ok();
                });
            }
        });
        deployment
    }

    /// From now on it gives this.
    pub fn gives(&self, gives: Gives) {
        *self.state.gives.lock().unwrap() = gives;
    }

    /// From now on its dashboard says this of data sources.
    pub fn tags(&self, tags: &[(IntegrationKind, &str, &[&str])]) {
        let owned = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect();
        *self.state.tags.lock().unwrap() =
            tags.iter().map(|(kind, name, tags)| (*kind, (*name).to_owned(), owned(tags))).collect();
    }

    /// What came at a path.
    pub fn came(&self, path: &str) -> Vec<Came> {
        self.state.came.lock().unwrap().iter().filter(|came| came.path == path).cloned().collect()
    }

    /// Waits until a path was asked for so often.
    pub async fn until_came(&self, path: &str, times: usize) {
        until(&format!("{path} {times} times"), async || (self.came(path).len() >= times).then_some(())).await;
    }

    /// How many requests of gRPC were under way at once.
    pub fn most_at_once(&self) -> usize {
        self.state.most_inside.load(Ordering::SeqCst)
    }
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

impl State {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let body = within("a request's body", body.collect()).await.unwrap().to_bytes();
        let path = head.uri.path().to_owned();
        let came =
            Came { path: path.clone(), version: head.version, headers: head.headers.clone(), body: body.clone() };
        self.came.lock().unwrap().push(came);
        let grpc = head.headers.get("content-type").is_some_and(|media| media == "application/grpc");
        let known = [TOKEN, BEARER].map(|token| format!("Bearer {token}"));
        let allowed = head.headers.get("authorization").is_some_and(|sent| known.iter().any(|token| *sent == token));
        if grpc {
            let now = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
            self.most_inside.fetch_max(now, Ordering::SeqCst);
            let answer = if allowed { self.call(&path).await } else { Err(16) };
            self.inside.fetch_sub(1, Ordering::SeqCst);
            return called(answer);
        }
        match path.as_str() {
            GET_TOKEN => self.token(&serde_json::from_slice(&body).unwrap()),
            QUERY => {
                let asked: Value = serde_json::from_slice(&body).unwrap();
                let column =
                    |name: &Value| json!({"field": name, "value": 1.5, "pkey": 1, "error": null, "valid": true});
                let data: Vec<Value> = asked["outputs"].as_array().unwrap().iter().map(column).collect();
                whole(StatusCode::OK, &json!({"data": data, "errors": null, "meta": null}))
            }
            _ => whole(StatusCode::NOT_FOUND, &json!({"detail": "not here"})),
        }
    }

    fn token(&self, asked: &Value) -> Response<Body> {
        if (&asked["client_id"], &asked["client_secret"]) != (&json!(CLIENT_ID), &json!(CLIENT_SECRET)) {
            // It says it all again, which must not end in a log.
            return whole(StatusCode::UNAUTHORIZED, &json!({"detail": format!("no such client: {asked}")}));
        }
        let engines = json!({"prod": self.elsewhere});
        let answer = json!({
            "access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600, "api_server": self.elsewhere,
            "primary_environment": "prod", "engines": engines, "grpc_engines": engines,
        });
        whole(StatusCode::OK, &answer)
    }

    async fn call(&self, path: &str) -> Result<Vec<u8>, u8> {
        // Taken out of its lock first: a graph can wait.
        let gives = self.gives.lock().unwrap().clone();
        let of = |graph: Option<Bytes>, export: Option<Bytes>| GetGraphResponse {
            graph,
            export,
            chalkpy_version: "2.166.1".to_owned(),
            ..Default::default()
        };
        match (path, gives) {
            (GET_GRAPH, gives) => Ok(match gives {
                Gives::Graph(graph) => of(Some(graph.graph()), None),
                Gives::Export(graph) => of(None, Some(graph.export())),
                Gives::Nothing => of(None, None),
                Gives::Bytes(bytes) => of(Some(Bytes::from_static(bytes)), None),
                Gives::Status(status) => return Err(status),
                Gives::Wait(gate, graph) => {
                    gate.notified().await;
                    of(Some(graph.graph()), None)
                }
            }
            .encode_to_vec()),
            (LIST_TAGS, _) => {
                let tags = self.tags.lock().unwrap().clone();
                let tag = |(kind, name, permission_tags)| DatasourcePermissionTag {
                    kind: kind as i32,
                    name,
                    permission_tags,
                    ..Default::default()
                };
                let datasource_permission_tags = tags.into_iter().map(tag).collect();
                Ok(ListDatasourcePermissionTagsResponse { datasource_permission_tags }.encode_to_vec())
            }
            _ => Err(12),
        }
    }
}

fn whole(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Full::from(body.to_string()).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    response
}

/// An error's text has a secret in it: whoever repeats it shows it.
fn called(answer: Result<Vec<u8>, u8>) -> Response<Body> {
    let (status, message, data) = match answer {
        Ok(message) => (0, "", framed(&message)),
        Err(status) => (status, CLIENT_SECRET, Bytes::new()),
    };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(u16::from(status)));
    trailers.insert("grpc-message", HeaderValue::from_static(message));
    let body = Full::new(data).with_trailers(async move { Some(Ok(trailers)) });
    let mut response = Response::new(body.boxed_unsync());
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

/// A server that nobody should come to: its address, and how many connections there were.
pub async fn elsewhere() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (at, count): (SocketAddr, _) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    (format!("http://{at}"), count)
}
