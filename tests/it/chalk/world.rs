//! A Chalk that enforces nothing: one port for HTTP/1.1 and HTTP/2, every query answered with all that it has.

mod answers;

pub use answers::AWAY;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{HeaderMap, HeaderName};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::support::grpc::framed;
use crate::support::sidecar::{Setup, Sidecar};

/// What every value has that the restricted roles may not see, and every text that may carry one.
pub const CANARY: &str = "CANARY";
/// Parts of the names of restricted features; none stands in any other name.
pub const RESTRICTED: &[&str] = &["ssn", "secret", "amount", "imei", "86400", "@2"];

const CATALOGUE: &str = "\
version: 1
features:
  user.id: {key: true}
  user.name:
  user.limit:
  user.ssn:
  user.secret:
  user.copy: {inputs: [user.secret]}
  user.avg: {inputs: [transaction.amount], joins: [transaction.user_id, user.id]}
  user.score: {default_version: 2}
  user.score@2:
  user.count__3600__:
  user.count__86400__:
  user.identity_id:
  user.identity: {has_one: identity, joins: [identity.id, user.identity_id]}
  user.transactions: {has_many: transaction, joins: [transaction.user_id, user.id]}
  identity.id: {key: true}
  identity.is_voip_phone:
  identity.imei:
  transaction.id: {key: true}
  transaction.user_id:
  transaction.name:
  transaction.at:
  transaction.amount:
bundles:
  fraud: [user.limit, user.name]
  fraud@1.1.0: [user.name]
  leaky: [user.name, user.ssn]
";

/// Groups give roles: `readers` refuse a query whole, `cutters` take out what is refused, `switchers` may use every switch,
/// `all` may see everything, `writers` may write some.
pub const POLICY: &str = "\
version: 1
roles:
  reader: {tags: {pii: AllowInternal, secret: Deny, cleared: AllowDownstream, v2: AllowInternal}}
  cutter: {mode: filter, tags: {pii: AllowInternal, secret: Deny, cleared: AllowDownstream, v2: AllowInternal}}
  switcher:
    tags: {pii: AllowInternal, secret: Deny, cleared: AllowDownstream, v2: AllowInternal}
    chalk: {allow: [explain, branch, plan_stages, context_tags, overlay_graph, staleness, planner_options, query_context,
                    value_metrics, inputs_sql]}
  all: {}
  writer: {writes: [user.name, 'identity.*']}
  other-writer: {writes: [user.name, user.limit]}
bindings:
  - {roles: [reader], when: {groups: readers}}
  - {roles: [cutter], when: {groups: cutters}}
  - {roles: [switcher], when: {groups: switchers}}
  - {roles: [all], when: {groups: all}}
  - {roles: [writer], when: {groups: writers}}
  - {roles: [other-writer], when: {groups: other-writers}}
features:
  user.ssn: {tags: [pii]}
  user.secret: {tags: [secret]}
  user.avg: {tags: [cleared]}
  user.score@2: {tags: [v2]}
  user.count__86400__: {tags: [pii]}
  identity.imei: {tags: [pii]}
  transaction.amount: {tags: [pii]}
";

/// A request that came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub head: Parts,
    pub body: Bytes,
}

impl Seen {
    pub fn path(&self) -> &str {
        self.head.uri.path()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.head.headers.get_all(name).iter();
        let first = all.next().map(|value| value.to_str().unwrap());
        assert_eq!(all.next(), None, "`{name}` came twice");
        first
    }

    /// The message of a call.
    pub fn message(&self) -> Bytes {
        assert_eq!(self.body[..5], framed(&self.body[5..])[..5]);
        self.body.slice(5..)
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What is done with a request.
#[derive(Clone, Debug)]
pub enum Say {
    World,
    Answer {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Bytes,
        trailers: Vec<(&'static str, String)>,
    },
    /// The other, of which half is missing.
    Half(Box<Say>),
    Hang,
    /// Ends the connection, or over HTTP/2 the stream, without a byte.
    Close,
}

impl Say {
    pub fn http(status: u16, kind: &str, body: impl Into<Bytes>) -> Self {
        Self::Answer { status, headers: vec![("content-type", kind.to_owned())], body: body.into(), trailers: vec![] }
    }

    pub fn json(body: &Value) -> Self {
        Self::http(200, "application/json", body.to_string())
    }

    /// A message; behind it a field that nobody knows.
    pub fn grpc(message: &[u8]) -> Self {
        let body = framed(&[message, &[0x9a, 0x06, 6], CANARY.as_bytes()].concat());
        let headers = vec![("content-type", "application/grpc".to_owned())];
        Self::Answer { status: 200, headers, body, trailers: vec![("grpc-status", "0".to_owned())] }
    }

    pub fn grpc_error(code: u8) -> Self {
        let headers = vec![
            ("content-type", "application/grpc".to_owned()),
            ("grpc-status", code.to_string()),
            ("grpc-message", format!("{CANARY} message")),
            ("grpc-status-details-bin", CANARY.to_owned()),
        ];
        Self::Answer { status: 200, headers, body: Bytes::new(), trailers: vec![] }
    }
}

type Plan = Arc<dyn Fn(&Seen) -> Say + Send + Sync>;

/// The server; it ends with the test's runtime.
#[derive(Clone)]
pub struct Chalk {
    pub url: String,
    plan: Arc<Mutex<Plan>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Chalk {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at: SocketAddr = listener.local_addr().unwrap();
        let plan: Plan = Arc::new(|_| Say::World);
        let chalk = Self { url: format!("http://{at}"), plan: Arc::new(Mutex::new(plan)), seen: Arc::default() };
        let serving = chalk.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let chalk = serving.clone();
                let service = service_fn(move |request| {
                    let chalk = chalk.clone();
                    async move { chalk.answer(request).await }
                });
                let builder = auto::Builder::new(TokioExecutor::new());
                tokio::spawn(async move { builder.serve_connection(TokioIo::new(stream), service).await.ok() });
            }
        });
        chalk
    }

    /// From now on it says this.
    pub fn turns_to(&self, say: Say) {
        self.turns_by(move |_| say.clone());
    }

    pub fn turns_by(&self, plan: impl Fn(&Seen) -> Say + Send + Sync + 'static) {
        *self.plan.lock().unwrap() = Arc::new(plan);
    }

    /// What came since this was asked last.
    pub fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    /// The only request that came since then.
    #[track_caller]
    pub fn only(&self) -> Seen {
        let mut seen = self.take();
        assert_eq!(seen.len(), 1, "requests that came upstream: {seen:#?}");
        seen.remove(0)
    }

    /// Checks that nothing came since then.
    #[track_caller]
    pub fn nothing_came(&self) {
        let seen = self.take();
        assert!(seen.is_empty(), "requests that came upstream: {seen:#?}");
    }

    /// A configuration in front of it.
    pub fn setup(&self) -> Setup {
        let mut setup = Setup::at(&self.url)
            .with("listen: {address: \"127.0.0.1:0\", public_url: \"http://sidecar.example:8080\"}")
            .with("catalogue: [catalogue.yaml]")
            .policy(POLICY);
        setup.upstream = setup.upstream.replace("feast", "chalk");
        setup.folder.write("catalogue.yaml", CATALOGUE);
        setup
    }

    /// A sidecar in front of it.
    pub async fn sidecar(&self) -> Sidecar {
        self.setup().with("chalk: {environment: prod}").start().await
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Out>, std::io::Error> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
        let seen = Seen { head, body };
        self.seen.lock().unwrap().push(seen.clone());
        let plan = Arc::clone(&self.plan.lock().unwrap());
        let mut say = plan(&seen);
        if matches!(say, Say::World) {
            say = answers::world(&seen);
        }
        if matches!(say, Say::Close) {
            return Err(std::io::Error::other("as planned"));
        }
        let half = matches!(say, Say::Half(_));
        if let Say::Half(whole) = say {
            say = *whole;
        }
        let Say::Answer { status, headers, body, trailers } = say else { return std::future::pending().await };
        let left = if half { body.len() as u64 + 1 } else { 0 };
        let trailers = (!trailers.is_empty()).then(|| map(&trailers));
        let mut response = Response::new(Out { data: Some(body), trailers, left });
        *response.status_mut() = status.try_into().unwrap();
        *response.headers_mut() = map(&headers);
        Ok(response)
    }
}

fn map(headers: &[(&'static str, String)]) -> HeaderMap {
    headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
}

/// A body of one piece, and of `left` bytes that never come.
struct Out {
    data: Option<Bytes>,
    trailers: Option<HeaderMap>,
    left: u64,
}

impl Body for Out {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Poll::Ready(match self.data.take().filter(|data| !data.is_empty()) {
            Some(data) => Some(Ok(Frame::data(data))),
            None if self.left > 0 => Some(Err(std::io::Error::other("as planned"))),
            None => self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))),
        })
    }

    fn size_hint(&self) -> SizeHint {
        let there = self.data.as_ref().map_or(0, |data| data.len() as u64);
        SizeHint::with_exact(there + self.left)
    }

    fn is_end_stream(&self) -> bool {
        self.data.as_ref().is_none_or(Bytes::is_empty) && self.left == 0 && self.trailers.is_none()
    }
}
