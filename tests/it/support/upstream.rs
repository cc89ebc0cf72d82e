//! A feature server that writes down every byte and does what a test tells it to, however bad.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What came, byte for byte.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// On which connection, counted from 0.
    pub connection: usize,
    /// Head, with the empty line.
    pub head: String,
    /// Body.
    pub body: Vec<u8>,
}

impl Recorded {
    /// The request line.
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap()
    }

    /// The request's target.
    pub fn target(&self) -> &str {
        self.line().split(' ').nth(1).unwrap()
    }

    /// Every header, the names in lower case, in their order.
    pub fn headers(&self) -> Vec<(String, String)> {
        let lines = self.head.lines().skip(1).take_while(|line| !line.is_empty());
        lines.map(|line| line.split_once(": ").map(|(n, v)| (n.to_lowercase(), v.to_owned())).unwrap()).collect()
    }

    /// One header.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers().into_iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// What the server does with a request that it has read.
#[derive(Clone, Debug)]
pub enum Act {
    /// Answers in Feast's layout.
    Feast,
    /// Answers these bytes and goes on.
    Bytes(Vec<u8>),
    /// Answers like the other and closes without a word.
    ThenClose(Box<Act>),
    /// Answers these bytes and resets the connection.
    BytesThenReset(Vec<u8>),
    /// Answers these bytes and nothing more.
    BytesThenHang(Vec<u8>),
    /// Closes without a byte.
    Close,
    /// Resets the connection.
    Reset,
    /// Never answers.
    Hang,
    /// Waits until the gate opens, then does the other.
    Wait(Arc<Notify>, Box<Act>),
}

impl Act {
    /// An answer with this status, these headers (each with its line end) and this body.
    pub fn answer(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Self {
        Self::Bytes(whole(status, headers, body.as_ref()))
    }

    /// Closes without a word afterwards.
    pub fn then_close(self) -> Self {
        Self::ThenClose(Box::new(self))
    }

    /// A JSON answer.
    pub fn json(status: &str, body: impl AsRef<[u8]>) -> Self {
        Self::answer(status, "content-type: application/json\r\n", body)
    }
}

/// An answer with its length, as bytes.
pub fn whole(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// Chooses what happens with a request, by what it is and how many came before.
type Plan = Arc<dyn Fn(&Recorded, usize) -> Act + Send + Sync>;

struct State {
    plan: Mutex<Plan>,
    seen: Mutex<Vec<Recorded>>,
    connections: AtomicUsize,
}

/// The server; it ends with the test's runtime.
#[derive(Clone)]
pub struct Upstream {
    /// For `upstream.url`.
    pub url: String,
    state: Arc<State>,
}

impl Upstream {
    /// A good one.
    pub async fn start() -> Self {
        Self::plan(|_, _| Act::Feast).await
    }

    /// One that does the same with every request.
    pub async fn always(act: Act) -> Self {
        Self::plan(move |_, _| act.clone()).await
    }

    /// One that does what the plan says.
    pub async fn plan(plan: impl Fn(&Recorded, usize) -> Act + Send + Sync + 'static) -> Self {
        let (listener, at) = bind().await;
        let upstream = Self::new(format!("http://{at}"), plan);
        let state = Arc::clone(&upstream.state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                tokio::spawn(serve(stream, Arc::clone(&state)));
            }
        });
        upstream
    }

    /// A good one behind TLS.
    pub async fn tls(config: rustls::ServerConfig) -> Self {
        let (listener, at) = bind().await;
        let upstream = Self::new(format!("https://localhost:{}", at.port()), |_, _| Act::Feast);
        let state = Arc::clone(&upstream.state);
        let acceptor = TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(stream) = acceptor.accept(stream).await {
                    tokio::spawn(serve(stream, Arc::clone(&state)));
                }
            }
        });
        upstream
    }

    /// A good one on a socket file.
    pub fn unix(path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let upstream = Self::new(format!("unix:{}", path.display()), |_, _| Act::Feast);
        let state = Arc::clone(&upstream.state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&state)));
            }
        });
        upstream
    }

    fn new(url: String, plan: impl Fn(&Recorded, usize) -> Act + Send + Sync + 'static) -> Self {
        let state =
            State { plan: Mutex::new(Arc::new(plan)), seen: Mutex::new(Vec::new()), connections: AtomicUsize::new(0) };
        Self { url, state: Arc::new(state) }
    }

    /// From now on it does this with every request.
    pub fn turns_to(&self, act: Act) {
        *self.state.plan.lock().unwrap() = Arc::new(move |_, _| act.clone());
    }

    /// From now on it does what the plan says.
    pub fn turns_by(&self, plan: impl Fn(&Recorded, usize) -> Act + Send + Sync + 'static) {
        *self.state.plan.lock().unwrap() = Arc::new(plan);
    }

    /// Every request that came, in the order in which they were whole.
    pub fn seen(&self) -> Vec<Recorded> {
        self.state.seen.lock().unwrap().clone()
    }

    /// The only request that came.
    pub fn only(&self) -> Recorded {
        let mut seen = self.seen();
        assert_eq!(seen.len(), 1, "requests that came upstream: {seen:#?}");
        seen.remove(0)
    }

    /// How many requests came.
    pub fn count(&self) -> usize {
        self.state.seen.lock().unwrap().len()
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }
}

async fn bind() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    (listener, at)
}

/// An address where nothing listens, kept from others while it is held.
pub fn nobody() -> (tokio::net::TcpSocket, String) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    (socket, url)
}

trait Wire: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    fn reset(self);
}

impl Wire for TcpStream {
    fn reset(self) {
        self.set_zero_linger().unwrap();
    }
}

impl Wire for UnixStream {
    fn reset(self) {}
}

impl Wire for TlsStream<TcpStream> {
    fn reset(self) {
        self.get_ref().0.set_zero_linger().unwrap();
    }
}

async fn serve(mut stream: impl Wire, state: Arc<State>) {
    let connection = state.connections.fetch_add(1, Ordering::SeqCst);
    let mut buffer = Vec::new();
    while let Ok(Some(recorded)) = read(&mut stream, &mut buffer, connection).await {
        let number = {
            let mut seen = state.seen.lock().unwrap();
            seen.push(recorded.clone());
            seen.len() - 1
        };
        let plan = Arc::clone(&state.plan.lock().unwrap());
        let mut act = plan(&recorded, number);
        while let Act::Wait(gate, then) = act {
            gate.notified().await;
            act = *then;
        }
        let close = matches!(act, Act::ThenClose(_));
        while let Act::ThenClose(then) = act {
            act = *then;
        }
        let bytes = match act {
            Act::Feast => feast(&recorded),
            Act::Bytes(bytes) => bytes,
            Act::Close => return,
            Act::Reset => return stream.reset(),
            Act::BytesThenReset(bytes) => {
                stream.write_all(&bytes).await.ok();
                return stream.reset();
            }
            Act::BytesThenHang(bytes) => {
                stream.write_all(&bytes).await.ok();
                return std::future::pending().await;
            }
            Act::Hang | Act::Wait(..) | Act::ThenClose(_) => return std::future::pending().await,
        };
        if stream.write_all(&bytes).await.is_err() || close {
            return;
        }
    }
}

/// Reads one request as RFC 9112 frames it; `None` at the end of the connection.
pub async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    connection: usize,
) -> io::Result<Option<Recorded>> {
    let head_end = loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8(buffer.drain(..head_end).collect()).unwrap();
    let mut recorded = Recorded { connection, head, body: Vec::new() };
    assert_eq!(recorded.header("transfer-encoding"), None, "the sidecar knows the length of what it sends");
    let length = recorded.header("content-length").map_or(0, |length| length.parse().unwrap());
    while buffer.len() < length {
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
    recorded.body = buffer.drain(..length).collect();
    Ok(Some(recorded))
}

/// What a feature service of this server stands for.
pub fn service(name: &str) -> &'static [&'static str] {
    match name {
        "open_service" => &["customer:age", "customer:country"],
        "pii_service" => &["customer:age", "customer:ssn"],
        _ => &[],
    }
}

/// The value of a column in a row, as this server knows it.
pub fn value(column: &str, row: usize) -> String {
    format!("{column} of row {row}")
}

/// Feast's answer: join keys first, then a column for each feature; `results` before `metadata`.
pub fn feast(request: &Recorded) -> Vec<u8> {
    if request.target() != "/get-online-features" {
        return whole("200 OK", "content-type: application/json\r\n", b"{\"ok\":true}");
    }
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let texts = |list: &Value| -> Vec<String> {
        list.as_array().into_iter().flatten().map(|item| item.as_str().unwrap().to_owned()).collect()
    };
    let wanted = match body["feature_service"].as_str() {
        Some(name) => service(name).iter().map(|name| (*name).to_owned()).collect(),
        None => texts(&body["features"]),
    };
    let keys = body["entities"]["customer_id"].as_array().cloned().unwrap_or_default();
    let (mut names, mut results) = (vec!["customer_id".to_owned()], vec![column(&keys)]);
    for reference in wanted {
        let (view, feature) = reference.split_once(':').unwrap();
        let full = format!("{view}__{feature}");
        let values: Vec<Value> = (0..keys.len()).map(|row| json!(value(&full, row))).collect();
        results.push(column(&values));
        names.push(if body["full_feature_names"] == true { full } else { feature.to_owned() });
    }
    let body = format!("{{\"results\":{},\"metadata\":{}}}", json!(results), json!({"feature_names": names}));
    whole("200 OK", "server: uvicorn\r\ncontent-type: application/json\r\n", body.as_bytes())
}

fn column(values: &[Value]) -> Value {
    let rows = values.len();
    json!({"values": values, "statuses": vec!["PRESENT"; rows], "event_timestamps": vec!["1970-01-01T00:00:00Z"; rows]})
}
