//! A server of gRPC that writes down what it is called with and answers as a test tells it to.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderName};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

/// A call, whole.
#[derive(Clone, Debug)]
pub struct Called {
    /// On which connection, counted from 0.
    pub connection: usize,
    /// Path, headers and the rest of its head.
    pub head: Parts,
    /// Body.
    pub body: Bytes,
}

/// What happens with a call.
#[derive(Clone, Debug)]
pub enum Act {
    /// Head, body, trailers.
    Answer(Vec<(&'static str, &'static str)>, Bytes, Vec<(&'static str, &'static str)>),
    /// The stream is reset.
    Reset,
    /// The connection is gone, without a word.
    Die,
    /// Never answers.
    Hang,
    /// Waits until the gate opens, then does the other.
    Wait(Arc<Notify>, Box<Act>),
}

/// A message with its prefix.
pub fn framed(message: &[u8]) -> Bytes {
    [&[0], u32::try_from(message.len()).unwrap().to_be_bytes().as_slice(), message].concat().into()
}

impl Act {
    /// A good answer with this message.
    pub fn fine(message: &[u8]) -> Self {
        let trailers = vec![("grpc-status", "0"), ("x-chalk-trace-id", "trace")];
        Self::Answer(vec![("content-type", "application/grpc")], framed(message), trailers)
    }
}

type Plan = Arc<dyn Fn(&Called, usize) -> Act + Send + Sync>;

/// The server; it ends with the test's runtime.
#[derive(Clone)]
pub struct Grpc {
    plan: Plan,
    seen: Arc<Mutex<Vec<Called>>>,
    connections: Arc<AtomicUsize>,
    abandoned: Arc<AtomicUsize>,
}

/// Counts a call that its caller gave up.
struct Hanging(Arc<AtomicUsize>);

impl Drop for Hanging {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Grpc {
    fn new(plan: impl Fn(&Called, usize) -> Act + Send + Sync + 'static) -> Self {
        Self { plan: Arc::new(plan), seen: Arc::default(), connections: Arc::default(), abandoned: Arc::default() }
    }

    /// One that does what the plan says, by what a call is and how many came before.
    pub async fn plan(plan: impl Fn(&Called, usize) -> Act + Send + Sync + 'static) -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (server, at) = (Self::new(plan), listener.local_addr().unwrap());
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        (server, at)
    }

    /// The same behind TLS.
    pub async fn tls(config: rustls::ServerConfig, act: Act) -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (server, at) = (Self::new(move |_, _| act.clone()), listener.local_addr().unwrap());
        let (serving, acceptor) = (server.clone(), TlsAcceptor::from(Arc::new(config)));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(stream) = acceptor.accept(stream).await {
                    tokio::spawn(serving.clone().serve(stream));
                }
            }
        });
        (server, at)
    }

    /// The same on a socket file.
    pub fn unix(listener: UnixListener, act: Act) -> Self {
        let server = Self::new(move |_, _| act.clone());
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        server
    }

    /// What it was called with.
    pub fn seen(&self) -> Vec<Called> {
        self.seen.lock().unwrap().clone()
    }

    /// Calls that hung until their caller gave them up.
    pub fn abandoned(&self) -> usize {
        self.abandoned.load(Ordering::SeqCst)
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let number = self.connections.fetch_add(1, Ordering::SeqCst);
        let dead = Arc::new(Notify::new());
        let dying = Arc::clone(&dead);
        let service = service_fn(move |request| {
            let (server, dying) = (self.clone(), Arc::clone(&dying));
            async move { server.answer(number, request, &dying).await }
        });
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .max_header_list_size(64 << 10)
            .serve_connection(TokioIo::new(stream), service);
        tokio::select! {
            _ = connection => {}
            () = dead.notified() => {}
        }
    }

    async fn answer(
        &self,
        connection: usize,
        request: Request<Incoming>,
        dead: &Notify,
    ) -> Result<Response<UnsyncBoxBody<Bytes, std::convert::Infallible>>, std::io::Error> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
        let called = Called { connection, head, body };
        let number = {
            let mut seen = self.seen.lock().unwrap();
            seen.push(called.clone());
            seen.len() - 1
        };
        let mut act = (self.plan)(&called, number);
        while let Act::Wait(gate, then) = act {
            gate.notified().await;
            act = *then;
        }
        match act {
            Act::Answer(head, body, trailers) => {
                let mut response = Response::new(Full::new(body));
                *response.headers_mut() = map(&head);
                Ok(response.map(|body| {
                    if trailers.is_empty() {
                        return body.boxed_unsync();
                    }
                    body.with_trailers(async move { Some(Ok(map(&trailers))) }).boxed_unsync()
                }))
            }
            Act::Reset => Err(std::io::Error::other("as planned")),
            Act::Die => {
                dead.notify_one();
                std::future::pending().await
            }
            Act::Hang | Act::Wait(..) => {
                let _hanging = Hanging(Arc::clone(&self.abandoned));
                std::future::pending().await
            }
        }
    }
}

fn map(headers: &[(&'static str, &'static str)]) -> HeaderMap {
    headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
}
