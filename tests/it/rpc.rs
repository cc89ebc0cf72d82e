//! One unary call from a caller over HTTP/2 or HTTP/1.1 to a server of gRPC and back: the wire alone, without a policy.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tagwarden::config::{Dialect, Target, Upstream as Settings, UpstreamAuthorization};
use tagwarden::proxy::body::{self, BodyError};
use tagwarden::proxy::respond::{Body, Failure};
use tagwarden::proxy::rpc::{self, Call, Form};
use tagwarden::tls::UpstreamTls;
use tagwarden::upstream::{Protocol, Upstream, UpstreamError};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::support::certificates::Authority;
use crate::support::client::{Answer, H2, ask, request};
use crate::support::grpc::{Act, Called, Grpc, framed};
use crate::support::upstream::nobody;
use crate::support::{Folder, until, within};

const PATH: &str = "/chalk.engine.v1.QueryService/OnlineQuery";
const MOST: usize = 32 << 20;

fn settings(target: Target) -> Settings {
    Settings {
        url: "http://chalk.example".to_owned(),
        target,
        dialect: Dialect::Chalk,
        engine: None,
        tls: UpstreamTls::default(),
        connect_timeout: Duration::from_secs(5),
        timeout: Duration::from_secs(30),
        authorization: UpstreamAuthorization::Drop,
    }
}

fn tcp(at: SocketAddr, tls: bool) -> Settings {
    let host = if tls { "localhost".to_owned() } else { at.ip().to_string() };
    settings(Target::Tcp { tls, host, port: at.port() })
}

fn upstream(at: SocketAddr) -> Upstream {
    Upstream::new(&tcp(at, false)).unwrap()
}

/// Calls the upstream with a message.
async fn call(upstream: &Upstream, message: &[u8], read: bool) -> Result<rpc::Answer, Failure> {
    let request = rpc::request(message).unwrap();
    let response = within("the upstream", upstream.send(&|| request.clone(), PATH, Protocol::Http2, read)).await;
    let (head, body) = response.map_err(|_| Failure::UpstreamFailed(None))?.into_parts();
    let read = within("its body", body::collect(body, MOST + rpc::PREFIX)).await;
    let (body, trailers) = read.map_err(|error| match error {
        BodyError::TooLarge(_) => Failure::UpstreamUnreadable,
        BodyError::Timeout => Failure::UpstreamTimeout,
        BodyError::Broken(_) => Failure::UpstreamFailed(None),
    })?;
    rpc::answer(&head, &body, &trailers).map_err(|stopped| match stopped {
        rpc::Stopped::Unreadable(_) => Failure::UpstreamUnreadable,
        rpc::Stopped::Status { code, trace_id, .. } => Failure::UpstreamStatus { code, trace_id },
    })
}

async fn answered(upstream: &Upstream, request: Request<Incoming>) -> Result<Response<Body>, Failure> {
    let (parts, incoming) = request.into_parts();
    let of_call = Call::of(&parts)?;
    let deadline = Instant::now() + Duration::from_secs(30);
    let body = body::read(incoming, of_call.body_cap(MOST), deadline).await;
    let body = body.map_err(|_| Failure::BodyTooLarge)?;
    let message = of_call.message(body, MOST).await?;
    rpc::answered(&of_call, call(upstream, &message, true).await?).await.map_err(|_| Failure::UpstreamUnreadable)
}

/// A sidecar without a policy in front of this upstream.
async fn door(upstream: Upstream) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let upstream = upstream.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let upstream = upstream.clone();
                async move {
                    let form = Form::of(&request_parts(&request)).unwrap();
                    let id = HeaderValue::from_static("0123456789abcdef0123456789abcdef");
                    let answer = answered(&upstream, request).await;
                    Ok::<_, Infallible>(answer.unwrap_or_else(|failure| rpc::refused(form, &failure, &id)))
                }
            });
            let builder = auto::Builder::new(TokioExecutor::new());
            tokio::spawn(async move { builder.serve_connection(TokioIo::new(stream), service).await.ok() });
        }
    });
    at
}

fn request_parts(request: &Request<Incoming>) -> hyper::http::request::Parts {
    let mut copy = Request::new(());
    (*copy.method_mut(), *copy.uri_mut()) = (request.method().clone(), request.uri().clone());
    (*copy.version_mut(), *copy.headers_mut()) = (request.version(), request.headers().clone());
    copy.into_parts().0
}

async fn grpc(door: SocketAddr, more: &[(&str, &str)], body: &[u8]) -> Answer {
    let headers: Vec<_> =
        [("content-type", "application/grpc"), ("te", "trailers")].into_iter().chain(more.iter().copied()).collect();
    H2::connect(door).await.send("POST", PATH, &headers, body).await
}

#[tokio::test]
async fn a_call_goes_there_and_back() {
    let (server, at) = Grpc::plan(|_, _| Act::fine(b"answer")).await;
    let door = door(upstream(at)).await;
    let answer = grpc(door, &[("grpc-timeout", "10S")], &framed(b"question")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/grpc")));
    assert_eq!(answer.body, framed(b"answer"));
    assert_eq!((answer.header("grpc-status"), answer.trailer("grpc-status")), (None, Some("0")));
    assert_eq!(answer.trailer("x-chalk-trace-id"), Some("trace"));

    let Called { head, body, .. } = server.seen().remove(0);
    assert_eq!((head.method.as_str(), head.uri.to_string()), ("POST", format!("http://{at}{PATH}")));
    assert_eq!(body, framed(b"question"));
    assert_eq!(
        (&head.headers["te"], &head.headers["content-type"]),
        (&"trailers".parse().unwrap(), &"application/grpc".parse().unwrap())
    );
    assert!(!head.headers.keys().any(|name| name.as_str().starts_with("grpc-")), "{:?}", head.headers);
}

#[tokio::test]
async fn a_caller_of_connect_is_answered_in_connect() {
    let (server, at) = Grpc::plan(|_, number| {
        let error = vec![("content-type", "application/grpc"), ("grpc-status", "5"), ("grpc-message", "ssn 000")];
        if number < 2 { Act::fine(b"answer") } else { Act::Answer(error, Bytes::new(), Vec::new()) }
    })
    .await;
    let door = door(upstream(at)).await;
    let headers = [("content-type", "application/proto"), ("connect-protocol-version", "1")];
    let over_h2 = H2::connect(door).await.send("POST", PATH, &headers, b"question").await;
    let headers = "content-type: application/proto\r\nconnect-timeout-ms: 1000\r\n";
    let over_h1 = ask(door, request("POST", PATH, headers, b"question")).await;
    for answer in [over_h2, over_h1] {
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/proto")));
        assert_eq!((answer.text(), answer.header("content-length")), ("answer", Some("6")));
        assert_eq!(answer.header("trailer-x-chalk-trace-id"), Some("trace"));
        assert_eq!(answer.trailers, []);
    }
    assert!(server.seen().iter().all(|called| called.body == framed(b"question")));

    let answer = ask(door, request("POST", PATH, headers, b"question")).await;
    assert_eq!((answer.status, answer.header("content-type")), (404, Some("application/json")));
    assert_eq!(answer.text(), r#"{"code":"not_found","message":"The feature server ended the call with an error"}"#);
}

#[tokio::test]
async fn errors_are_told_with_trailers_alone() {
    let answers: [(Act, &str, &str); 7] = [
        (
            Act::Answer(
                vec![("content-type", "application/grpc")],
                framed(b"half"),
                vec![("grpc-status", "7"), ("grpc-message", "ssn 000"), ("x-value", "000"), ("x-chalk-trace-id", "t")],
            ),
            "7",
            "The feature server ended the call with an error",
        ),
        (
            Act::Answer(vec![("content-type", "application/grpc")], framed(b"answer"), Vec::new()),
            "14",
            "The feature server's answer cannot be verified",
        ),
        (
            Act::Answer(vec![("content-type", "text/html")], Bytes::from_static(b"<p>"), Vec::new()),
            "14",
            "The feature server's answer cannot be verified",
        ),
        (
            Act::Answer(
                vec![("content-type", "application/grpc")],
                [framed(b"a"), framed(b"b")].concat().into(),
                vec![("grpc-status", "0")],
            ),
            "14",
            "The feature server's answer cannot be verified",
        ),
        (Act::fine(&vec![0; MOST + 1]), "14", "The feature server's answer cannot be verified"),
        (Act::Reset, "14", "The feature server failed"),
        (Act::Die, "14", "The feature server failed"),
    ];
    for (act, status, message) in answers {
        let shown = format!("{act:?}").chars().take(200).collect::<String>();
        let (_, at) = Grpc::plan(move |_, _| act.clone()).await;
        let answer = grpc(door(upstream(at)).await, &[], &framed(b"question")).await;
        assert_eq!((answer.status, answer.body.len(), answer.trailers.len()), (200, 0, 0), "{shown}");
        assert_eq!((answer.header("grpc-status"), answer.header("grpc-message")), (Some(status), Some(message)));
        assert_eq!(answer.decision_id(), "0123456789abcdef0123456789abcdef");
        let trace = (status == "7").then_some("t");
        assert_eq!((answer.header("x-chalk-trace-id"), answer.header("x-value")), (trace, None), "{shown}");
    }
    let (_socket, url) = nobody();
    let nobody = upstream(url.strip_prefix("http://").unwrap().parse().unwrap());
    let answer = grpc(door(nobody).await, &[], &framed(b"question")).await;
    assert_eq!(answer.header("grpc-status"), Some("14"));
}

#[tokio::test]
async fn large_messages_go_both_ways() {
    let (server, at) = Grpc::plan(|called, _| Act::fine(&called.body[5..])).await;
    let door = door(upstream(at)).await;
    let message: Vec<u8> = (0..MOST).map(|at| (at % 251) as u8).collect();
    let answer = grpc(door, &[], &framed(&message)).await;
    assert_eq!(answer.trailer("grpc-status"), Some("0"));
    assert!(answer.body == framed(&message));
    let answer = grpc(door, &[], &framed(&vec![0; MOST + 1])).await;
    assert_eq!((answer.header("grpc-status"), server.seen().len()), (Some("8"), 1));
}

#[tokio::test]
async fn what_is_compressed_on_the_way_here_is_not_upstream() {
    let (server, at) = Grpc::plan(|_, _| Act::fine(&[b'a'; 1000])).await;
    let door = door(upstream(at)).await;
    // `question`, as gzip packs it.
    let packed = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff\x2b\x2c\x4d\x2d\x2e\xc9\xcc\xcf\x03\x00\x4e\x49\xf7\xb6\x08\x00\x00\x00";
    let body = [&[1, 0, 0, 0, u8::try_from(packed.len()).unwrap()], &packed[..]].concat();
    let headers = [("grpc-encoding", "gzip"), ("grpc-accept-encoding", "identity,gzip")];
    let answer = grpc(door, &headers, &body).await;
    assert_eq!((answer.header("grpc-encoding"), answer.trailer("grpc-status")), (Some("gzip"), Some("0")));
    assert!(answer.body[0] == 1 && answer.body.len() < 100, "{answer:?}");
    assert_eq!(server.seen()[0].body, framed(b"question"));
    let answer = grpc(door, &[("grpc-encoding", "zstd")], &body).await;
    assert_eq!(answer.header("grpc-status"), Some("12"));
    assert_eq!(answer.header("grpc-accept-encoding"), Some("identity,gzip"));
    assert_eq!(server.seen().len(), 1);
}

/// The first call is answered, the second ends like this, the others are answered.
async fn second(act: Act) -> (Grpc, Upstream) {
    let (server, at) = Grpc::plan(move |_, number| if number == 1 { act.clone() } else { Act::fine(b"answer") }).await;
    let upstream = upstream(at);
    assert!(call(&upstream, b"", false).await.is_ok());
    (server, upstream)
}

#[tokio::test]
async fn a_read_that_nobody_began_to_answer_is_sent_once_more() {
    for act in [Act::Die, Act::Reset] {
        let (server, upstream) = second(act).await;
        assert_eq!(call(&upstream, b"q", true).await.unwrap().message, "answer");
        let connections: Vec<_> = server.seen().iter().map(|called| called.connection).collect();
        assert_eq!(connections, [0, 0, 1]);
    }
}

#[tokio::test]
async fn a_write_and_an_answer_that_began_are_never_sent_again() {
    for act in [Act::Die, Act::Reset] {
        let (server, upstream) = second(act).await;
        assert_eq!(call(&upstream, b"q", false).await.unwrap_err(), Failure::UpstreamFailed(None));
        assert_eq!(server.seen().len(), 2);
    }
    let half = Act::Answer(vec![("content-type", "application/grpc")], Bytes::from_static(b"\0\0"), Vec::new());
    let (server, upstream) = second(half).await;
    assert_eq!(call(&upstream, b"q", true).await.unwrap_err(), Failure::UpstreamUnreadable);
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn calls_share_a_connection() {
    let gate = Arc::new(Notify::new());
    let wait = Arc::clone(&gate);
    let act = move |_: &Called, _| Act::Wait(Arc::clone(&wait), Box::new(Act::fine(b"answer")));
    let (server, at) = Grpc::plan(act).await;
    let upstream = upstream(at);
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let upstream = upstream.clone();
            tokio::spawn(async move { call(&upstream, b"q", false).await })
        })
        .collect();
    until("all to wait", async || (server.seen().len() == 8).then_some(())).await;
    (0..8).for_each(|_| gate.notify_one());
    gate.notify_waiters();
    for call in calls {
        assert_eq!(within("an answer", call).await.unwrap().unwrap().message, "answer");
    }
    assert!(server.seen().iter().all(|called| called.connection == 0));
}

#[tokio::test]
async fn under_tls_h2_is_agreed_on_or_there_is_no_call() {
    let authority = Authority::new("ours");
    let leaf = authority.sign("localhost");
    let folder = Folder::new();
    let ca = folder.write("ca.crt", &authority.pem);
    for (alpn, spoken) in [(&[&b"h2"[..], b"http/1.1"][..], true), (&[b"http/1.1"], false), (&[], false)] {
        let mut config = leaf.server(None);
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let (server, at) = Grpc::tls(config, Act::fine(b"answer")).await;
        let tls = UpstreamTls { ca: Some(ca.clone()), ..UpstreamTls::default() };
        let upstream = Upstream::new(&Settings { tls, ..tcp(at, true) }).unwrap();
        if spoken {
            assert_eq!(call(&upstream, b"q", false).await.unwrap().message, "answer");
            assert_eq!(server.seen()[0].head.uri.scheme_str(), Some("https"));
            continue;
        }
        let request = rpc::request(b"q").unwrap();
        let error =
            within("the upstream", upstream.send(&|| request.clone(), PATH, Protocol::Http2, true)).await.unwrap_err();
        let UpstreamError::Connect(why) = error else { panic!("{error:?}") };
        if alpn.is_empty() {
            assert!(why.ends_with("it does not speak HTTP/2 (no h2 by ALPN)"), "{why}");
        }
        assert!(server.seen().is_empty());
    }
}

#[tokio::test]
async fn a_socket_file_is_called_too() {
    let folder = Folder::new();
    let path = folder.path("chalk.sock");
    let server = Grpc::unix(UnixListener::bind(&path).unwrap(), Act::fine(b"answer"));
    let upstream = Upstream::new(&settings(Target::Unix(path))).unwrap();
    assert_eq!(call(&upstream, b"q", true).await.unwrap().message, "answer");
    assert_eq!(server.seen()[0].head.uri.authority().unwrap().as_str(), "localhost");
}

#[tokio::test]
async fn an_upstream_is_told_when_nobody_waits_any_longer() {
    let (server, at) = Grpc::plan(|_, number| if number == 0 { Act::Hang } else { Act::fine(b"answer") }).await;
    let upstream = upstream(at);
    tokio::select! {
        answer = call(&upstream, b"q", true) => panic!("{answer:?}"),
        () = until("a call", async || (!server.seen().is_empty()).then_some(())) => {}
    }
    until("the end of the call", async || (server.abandoned() == 1).then_some(())).await;
    // The connection is good for others.
    assert!(call(&upstream, b"q", false).await.is_ok());
    assert_eq!(server.seen()[1].connection, 0);
}
