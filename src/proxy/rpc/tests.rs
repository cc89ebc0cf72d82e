use http_body_util::BodyExt as _;
use hyper::header::HeaderValue;
use hyper::{Request, StatusCode};

use super::*;
use crate::proxy::body::Outgoing;

const PATH: &str = "/chalk.engine.v1.QueryService/OnlineQuery";

fn parts(version: Version, path: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(Method::POST).uri(path).version(version);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn grpc(headers: &[(&str, &str)]) -> Result<Call, Failure> {
    let all: Vec<_> = [("content-type", "application/grpc")].into_iter().chain(headers.iter().copied()).collect();
    Call::of(&parts(Version::HTTP_2, PATH, &all))
}

fn connect(headers: &[(&str, &str)]) -> Result<Call, Failure> {
    let all: Vec<_> = [("content-type", "application/proto")].into_iter().chain(headers.iter().copied()).collect();
    Call::of(&parts(Version::HTTP_11, PATH, &all))
}

fn invalid(text: &str) -> Failure {
    Failure::InvalidQuery(text.to_owned())
}

#[test]
fn the_protocol_is_told_by_the_content_type() {
    for (version, path, content_type, form) in [
        (Version::HTTP_2, PATH, "application/grpc", Some(Form::Grpc)),
        (Version::HTTP_2, PATH, "application/grpc+proto", Some(Form::Grpc)),
        (Version::HTTP_2, "/elsewhere", "Application/gRPC+json", Some(Form::Grpc)),
        (Version::HTTP_11, PATH, "application/grpc", None),
        (Version::HTTP_2, PATH, "application/grpc-web", None),
        (Version::HTTP_11, PATH, "application/proto", Some(Form::Connect)),
        (Version::HTTP_2, PATH, "application/proto", Some(Form::Connect)),
        (Version::HTTP_11, PATH, "application/json", Some(Form::Connect)),
        (Version::HTTP_11, PATH, "application/json; charset=utf-8", Some(Form::Connect)),
        (Version::HTTP_11, "/v1/query/online", "application/json", None),
        (Version::HTTP_11, "/get-online-features", "application/json", None),
        (Version::HTTP_11, "/.well-known/jwks", "application/json", None),
        (Version::HTTP_2, PATH, "text/plain", None),
    ] {
        let found = Form::of(&parts(version, path, &[("content-type", content_type)]));
        assert_eq!(found, form, "{content_type} on {path}");
    }
    assert_eq!(Form::of(&parts(Version::HTTP_2, PATH, &[])), None);
    let mut get = parts(Version::HTTP_2, PATH, &[("content-type", "application/grpc")]);
    get.method = Method::GET;
    assert_eq!(Form::of(&get), None);
}

#[test]
fn a_head_that_is_not_read_is_unsupported() {
    let unsupported = |call: Result<Call, Failure>| match call {
        Err(Failure::Unsupported(text)) => text,
        other => panic!("{other:?}"),
    };
    let of = |content_type| unsupported(Call::of(&parts(Version::HTTP_2, PATH, &[("content-type", content_type)])));
    assert_eq!(of("application/grpc+json"), "gRPC is read with the Content-Type application/grpc alone");
    assert_eq!(of("application/grpc; x=y"), "gRPC is read with the Content-Type application/grpc alone");
    let alone = "Connect is read with the Content-Types application/proto and application/json alone";
    assert_eq!(of("application/proto; x=y"), alone);
    assert_eq!(of("application/json; charset=latin1"), alone);
    assert_eq!(of("application/json; x=y"), alone);
    let unknown =
        parts(Version::HTTP_11, "/chalk.engine.v1.QueryService/Nothing", &[("content-type", "application/json")]);
    assert_eq!(unsupported(Call::of(&unknown)), "Of this method no message is known in JSON");
    let neither = "A call must be gRPC over HTTP/2, or Connect";
    assert_eq!(of("text/plain"), neither);
    let compression = "A message must be compressed with gzip or not at all";
    assert_eq!(unsupported(grpc(&[("grpc-encoding", "deflate")])), compression);
    assert_eq!(unsupported(grpc(&[("grpc-encoding", "gzip, gzip")])), compression);
    assert_eq!(unsupported(connect(&[("content-encoding", "br")])), compression);
    assert_eq!(unsupported(grpc(&[("content-encoding", "gzip")])), "A gRPC call with a Content-Encoding is not read");
    assert_eq!(
        unsupported(connect(&[("connect-protocol-version", "2")])),
        "Of Connect's protocol only the version 1 is known"
    );
}

#[test]
fn a_header_that_says_two_things_is_refused() {
    let twice = |call: Result<Call, Failure>, name: &str| {
        assert_eq!(call, Err(invalid(&format!("the header `{name}` is given twice"))));
    };
    twice(grpc(&[("grpc-encoding", "identity"), ("grpc-encoding", "gzip")]), "grpc-encoding");
    twice(grpc(&[("grpc-timeout", "1S"), ("grpc-timeout", "2S")]), "grpc-timeout");
    twice(grpc(&[("content-type", "application/grpc")]), "content-type");
    twice(connect(&[("content-encoding", "identity"), ("content-encoding", "gzip")]), "content-encoding");
    twice(connect(&[("connect-timeout-ms", "1"), ("connect-timeout-ms", "1")]), "connect-timeout-ms");
}

#[test]
fn timeouts_are_read_strictly() {
    for (text, within) in [
        ("0n", Duration::ZERO),
        ("5n", Duration::from_nanos(5)),
        ("5u", Duration::from_micros(5)),
        ("1500m", Duration::from_millis(1500)),
        ("10S", Duration::from_secs(10)),
        ("2M", Duration::from_secs(120)),
        ("99999999H", Duration::from_secs(99_999_999 * 3600)),
    ] {
        assert_eq!(grpc(&[("grpc-timeout", text)]).unwrap().within, Some(within), "{text}");
    }
    for text in ["", "S", "10", "10s", "+1S", "-1S", " 1S", "1 S", "1.5S", "100000000S", "1S1S", "１S"] {
        let error = grpc(&[("grpc-timeout", text)]).unwrap_err();
        let said = if text.is_ascii() {
            format!("the header `grpc-timeout` is `{text}`: write digits and a unit, as in 10S")
        } else {
            "the header `grpc-timeout` is no text".to_owned()
        };
        assert_eq!(error, invalid(&said));
    }
    let within = connect(&[("connect-timeout-ms", "9999999999")]).unwrap().within;
    assert_eq!(within, Some(Duration::from_millis(9_999_999_999)));
    for text in ["", "+1", "1S", "10000000000"] {
        let error = connect(&[("connect-timeout-ms", text)]).unwrap_err();
        assert_eq!(error, invalid(&format!("the header `connect-timeout-ms` is `{text}`: write milliseconds")));
    }
    // Each protocol has its own.
    assert_eq!(grpc(&[("connect-timeout-ms", "x")]).unwrap().within, None);
    assert_eq!(connect(&[("grpc-timeout", "x")]).unwrap().within, None);
}

#[tokio::test]
async fn a_call_has_one_message() {
    let call = grpc(&[]).unwrap();
    let read = async |body: &[u8]| call.message(Bytes::copy_from_slice(body), 10).await;
    assert_eq!(read(b"\0\0\0\0\x03abc").await.unwrap(), "abc");
    assert_eq!(read(b"\0\0\0\0\0").await.unwrap(), "");
    for (body, problem) in [
        (&b""[..], "the call has no message"),
        (b"\0\0\0\0", "the call breaks off before its message"),
        (b"\0\0\0\0\x04abc", "the call breaks off in its message"),
        (b"\0\xff\xff\xff\xffabc", "the call breaks off in its message"),
        (b"\0\0\0\0\x02abc", "the call has bytes behind its message"),
        (b"\0\0\0\0\x01a\0\0\0\0\x01b", "the call has bytes behind its message"),
        (b"\x02\0\0\0\x03abc", "the call has a message with flags that are not known"),
        (b"\x80\0\0\0\x03abc", "the call has a message with flags that are not known"),
        (b"\x01\0\0\0\x03abc", "the message is said to be compressed, and not how: there is no `grpc-encoding`"),
    ] {
        assert_eq!(read(body).await, Err(invalid(problem)));
    }
    assert_eq!(read(b"\0\0\0\0\x0baaaaaaaaaaa").await, Err(Failure::BodyTooLarge));
    assert_eq!((call.body_cap(10), connect(&[]).unwrap().body_cap(10)), (15, 10));
}

#[tokio::test]
async fn a_message_is_unpacked_under_the_cap() {
    let message = Bytes::from(vec![b'a'; 1000]);
    let packed = gzip::pack(message.clone()).await.unwrap();
    let framed = framed(true, &packed).unwrap();
    let zipped = grpc(&[("grpc-encoding", "gzip")]).unwrap();
    assert_eq!(zipped.message(framed.clone(), 1000).await, Ok(message.clone()));
    assert_eq!(zipped.message(framed, 999).await, Err(Failure::BodyTooLarge));
    // What may be compressed need not be.
    assert_eq!(zipped.message(Bytes::from_static(b"\0\0\0\0\x01a"), 1000).await.unwrap(), "a");
    let damaged = invalid("the message is not one whole piece of gzip");
    assert_eq!(zipped.message(Bytes::from_static(b"\x01\0\0\0\x01a"), 1000).await, Err(damaged.clone()));

    let zipped = connect(&[("content-encoding", "gzip")]).unwrap();
    assert_eq!(zipped.message(packed.clone(), 1000).await, Ok(message));
    assert_eq!(zipped.message(packed, 999).await, Err(Failure::BodyTooLarge));
    assert_eq!(zipped.message(Bytes::from_static(b"a"), 1000).await, Err(damaged));
    let plain = connect(&[]).unwrap();
    assert_eq!(plain.message(Bytes::from_static(b"aa"), 1).await, Err(Failure::BodyTooLarge));
}

fn map(headers: &[(&str, &str)]) -> HeaderMap {
    let named = headers.iter().map(|(name, value)| (HeaderName::try_from(*name).unwrap(), value.parse().unwrap()));
    named.collect()
}

/// Status, headers, body and trailers; the texts of headers in their order.
async fn shown_answer(response: hyper::Response<Outgoing>) -> (StatusCode, Vec<String>, Bytes, Vec<String>) {
    let texts = |headers: &HeaderMap| {
        let mut all: Vec<_> = headers.iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect();
        all.sort();
        all
    };
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().map(texts).unwrap_or_default();
    (head.status, texts(&head.headers), body.to_bytes(), trailers)
}

fn fine() -> Answer {
    let message = Bytes::from(vec![b'a'; 100]);
    Answer { message, headers: map(&[("x-h", "1")]), trailers: map(&[("x-chalk-trace-id", "t")]) }
}

#[tokio::test]
async fn an_answer_has_its_trailers() {
    let call = grpc(&[]).unwrap();
    let (status, headers, body, trailers) = shown_answer(answered(&call, fine()).await.unwrap()).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers, ["content-type: application/grpc", "x-h: 1"]);
    assert_eq!(body, [b"\0\0\0\0\x64".as_slice(), &[b'a'; 100]].concat());
    assert_eq!(trailers, ["grpc-status: 0", "x-chalk-trace-id: t"]);

    let call = connect(&[]).unwrap();
    let (status, headers, body, trailers) = shown_answer(answered(&call, fine()).await.unwrap()).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers, ["content-type: application/proto", "trailer-x-chalk-trace-id: t", "x-h: 1"]);
    assert_eq!((body, trailers), (fine().message, Vec::new()));
}

#[tokio::test]
async fn an_answer_is_packed_where_the_call_was_and_its_caller_takes_it() {
    for (headers, packed) in [
        (&[("grpc-encoding", "gzip"), ("grpc-accept-encoding", "identity, deflate, gzip")][..], true),
        (&[("grpc-encoding", "gzip"), ("grpc-accept-encoding", "deflate")], false),
        (&[("grpc-encoding", "gzip")], false),
        (&[("grpc-accept-encoding", "gzip")], false),
    ] {
        let (_, headers, body, _) = shown_answer(answered(&grpc(headers).unwrap(), fine()).await.unwrap()).await;
        assert_eq!(headers.contains(&"grpc-encoding: gzip".to_owned()), packed);
        let (flag, message) = unframed(&body).unwrap();
        assert_eq!(flag, packed);
        let message = if packed { gzip::unpack(message, 100).await.unwrap() } else { message };
        assert_eq!(message, fine().message);
    }
    for (accept, packed) in [("gzip", true), ("br, gzip", true), ("gzip;q=0", false), ("x-gzip", false)] {
        let call = connect(&[("content-encoding", "gzip"), ("accept-encoding", accept)]).unwrap();
        let (_, headers, body, _) = shown_answer(answered(&call, fine()).await.unwrap()).await;
        assert_eq!(headers.contains(&"content-encoding: gzip".to_owned()), packed, "{accept}");
        let message = if packed { gzip::unpack(body, 100).await.unwrap() } else { body };
        assert_eq!(message, fine().message);
    }
}

#[tokio::test]
async fn failures_are_told_in_the_protocol_of_the_call() {
    let id = HeaderValue::from_static("id");
    let failure = Failure::InvalidQuery("`50% é` is wrong".to_owned());
    let (status, headers, body, trailers) = shown_answer(refused(Form::Grpc, &failure, &id)).await;
    assert_eq!((status, body, trailers), (StatusCode::OK, Bytes::new(), Vec::new()));
    let told = [
        "content-type: application/grpc",
        "grpc-message: `50%25 %C3%A9` is wrong",
        "grpc-status: 3",
        "x-tagwarden-decision-id: id",
    ];
    assert_eq!(headers, told);

    let (status, headers, body, _) = shown_answer(refused(Form::Connect, &failure, &id)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(headers, ["content-type: application/json", "x-tagwarden-decision-id: id"]);
    assert_eq!(body, r#"{"code":"invalid_argument","message":"`50% é` is wrong"}"#);

    // What was not read is told with what would be.
    let (_, headers, _, _) = shown_answer(refused(Form::Grpc, &Failure::Unsupported("No"), &id)).await;
    assert!(headers.contains(&"grpc-accept-encoding: identity,gzip".to_owned()), "{headers:?}");
    assert!(headers.contains(&"grpc-status: 12".to_owned()), "{headers:?}");

    let trace_id = Some(HeaderValue::from_static("t"));
    let failure = Failure::UpstreamStatus { code: Code::Aborted, trace_id };
    let (_, headers, _, _) = shown_answer(refused(Form::Grpc, &failure, &id)).await;
    assert!(headers.contains(&"x-chalk-trace-id: t".to_owned()), "{headers:?}");
    assert!(headers.contains(&"grpc-status: 10".to_owned()), "{headers:?}");
    let (status, headers, body, _) = shown_answer(refused(Form::Connect, &failure, &id)).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(headers.contains(&"trailer-x-chalk-trace-id: t".to_owned()), "{headers:?}");
    assert_eq!(body, r#"{"code":"aborted","message":"The feature server ended the call with an error"}"#);

    let (status, headers, _, _) = shown_answer(refused(Form::Connect, &Failure::TokenExpired, &id)).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let challenge = "www-authenticate: Bearer realm=\"tagwarden\", error=\"invalid_token\"";
    assert!(headers.contains(&challenge.to_owned()), "{headers:?}");
    assert_eq!(refused(Form::Grpc, &Failure::NotFound, &id).extensions().get(), Some(&StatusCode::NOT_FOUND));
}

#[test]
fn every_failure_has_its_code() {
    let retry_after = Duration::from_secs(1);
    for (failure, code) in [
        (Failure::Unauthorized { sent: false }, 16),
        (Failure::Unauthorized { sent: true }, 16),
        (Failure::TokenExpired, 16),
        (Failure::InvalidApiKey, 16),
        (Failure::InvalidRefreshToken, 16),
        (Failure::TooManyAttempts { retry_after: 1 }, 8),
        (Failure::Forbidden, 7),
        (Failure::FeaturesRefused(Vec::new()), 7),
        (Failure::InvalidQuery(String::new()), 3),
        (Failure::NotFound, 12),
        (Failure::MethodNotAllowed(String::new()), 12),
        (Failure::BodyTooLarge, 8),
        (Failure::Unsupported(""), 12),
        (Failure::RequestTimeout, 4),
        (Failure::Overloaded, 14),
        (Failure::KeysUnavailable { retry_after }, 14),
        (Failure::IssuerUnavailable, 14),
        (Failure::UpstreamFailed(None), 14),
        (Failure::UpstreamFailed(Some(StatusCode::INTERNAL_SERVER_ERROR)), 14),
        (Failure::UpstreamFailed(Some(StatusCode::UNAUTHORIZED)), 16),
        (Failure::UpstreamFailed(Some(StatusCode::FORBIDDEN)), 7),
        (Failure::UpstreamFailed(Some(StatusCode::NOT_FOUND)), 12),
        (Failure::UpstreamStatus { code: Code::DataLoss, trace_id: None }, 15),
        (Failure::UpstreamUnreadable, 14),
        (Failure::UpstreamTimeout, 4),
    ] {
        assert_eq!(failure.grpc().number(), code, "{failure:?}");
    }
    for (index, code) in Code::ALL.into_iter().enumerate() {
        assert_eq!(usize::from(code.number()), index + 1);
        assert_eq!(Code::of(u64::from(code.number())), code);
    }
    assert_eq!((Code::of(0), Code::of(17), Code::of(257)), (Code::Unknown, Code::Unknown, Code::Unknown));
}

fn upstream_answer(
    headers: &[(&str, &str)],
    body: &'static [u8],
    trailers: &[(&str, &str)],
) -> Result<Answer, Stopped> {
    let mut response = hyper::Response::new(());
    *response.headers_mut() = map(headers);
    let (head, ()) = response.into_parts();
    answer(&head, &Bytes::from_static(body), &map(trailers))
}

#[test]
fn an_answer_of_the_upstream_is_one_message_and_a_status() {
    let of_grpc = ("content-type", "application/grpc");
    let headers = [of_grpc, ("x-h", "1"), ("grpc-encoding", "identity"), ("set-cookie", "s"), ("x-tagwarden-x", "1")];
    let trailers = [("grpc-status", "0"), ("grpc-message", ""), ("x-chalk-trace-id", "t"), ("connection", "x")];
    let found = upstream_answer(&headers, b"\0\0\0\0\x01a", &trailers).unwrap();
    assert_eq!(found.message, "a");
    assert_eq!(found.headers, map(&[("x-h", "1")]));
    assert_eq!(found.trailers, map(&[("x-chalk-trace-id", "t")]));

    let ok: &[(&str, &str)] = &[("grpc-status", "0")];
    let fine: &[u8] = b"\0\0\0\0\x01a";
    let of = |headers: &[(&str, &str)], body, trailers: &[(&str, &str)], why: &str| {
        let stopped = upstream_answer(headers, body, trailers).unwrap_err();
        assert_eq!(stopped, Stopped::Unreadable(crate::dialect::Unreadable(why.to_owned())));
    };
    of(&[], fine, ok, "it is no gRPC");
    of(&[("content-type", "application/json")], fine, ok, "it is no gRPC");
    of(&[of_grpc, of_grpc], fine, ok, "it gives a header of gRPC twice");
    of(&[of_grpc], fine, &[], "it has no `grpc-status`");
    of(&[of_grpc, ("grpc-status", "0")], fine, &[], "it has a `grpc-status` before its end");
    of(&[of_grpc, ("grpc-status", "0")], b"", ok, "it has a `grpc-status` before its end");
    of(&[of_grpc, ("grpc-status", "0")], b"", &[], "it has no message");
    of(&[of_grpc], fine, &[("grpc-status", "+0")], "its `grpc-status` is no number");
    of(&[of_grpc], fine, &[("grpc-status", "")], "its `grpc-status` is no number");
    of(&[of_grpc], fine, &[("grpc-status", "0"), ("grpc-status", "7")], "it gives a header of gRPC twice");
    of(&[of_grpc, ("grpc-encoding", "gzip")], fine, ok, "it is compressed, which was not asked for");
    of(&[of_grpc], b"\x01\0\0\0\x01a", ok, "its message is compressed, which was not asked for");
    of(&[of_grpc], b"\0\0\0\0\x01a\0\0\0\0\x01b", ok, "it has bytes behind its message");
    of(&[of_grpc], b"\0\0\0\0\x02a", ok, "it breaks off in its message");
    of(&[of_grpc], b"", ok, "it has no message");
}

#[test]
fn an_error_of_the_upstream_keeps_its_code_and_its_trace() {
    let of_grpc = ("content-type", "application/grpc");
    let error = [("grpc-status", "7"), ("grpc-message", "ssn 000"), ("x-chalk-trace-id", "t"), ("x-value", "000")];
    let trace_id = Some(HeaderValue::from_static("t"));
    let stopped = Stopped::Status { code: Code::PermissionDenied, message: "ssn 000".to_owned(), trace_id };
    assert_eq!(upstream_answer(&[of_grpc], b"", &error).unwrap_err(), stopped);
    assert_eq!(upstream_answer(&[of_grpc], b"\0\0\0\0\x01a", &error).unwrap_err(), stopped);
    let in_head: Vec<_> = [of_grpc].into_iter().chain(error).collect();
    assert_eq!(upstream_answer(&in_head, b"", &[]).unwrap_err(), stopped);
}

#[tokio::test]
async fn messages_in_json_are_protobuf_within() {
    let path = "/chalk.engine.v1.QueryService/Ping";
    let call = |kind: &str, more: &[(&str, &str)]| {
        let all: Vec<_> = [("content-type", kind)].into_iter().chain(more.iter().copied()).collect();
        Call::of(&parts(Version::HTTP_11, path, &all)).unwrap()
    };
    let spelled = [
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/json;charset=UTF-8",
        "application/json; charset=\"utf-8\"",
    ];
    for kind in spelled {
        let call = call(kind, &[]);
        let body = Bytes::from_static(br#"{"num":-1}"#);
        let message = call.message(body.clone(), 10).await.unwrap();
        assert_eq!(&message[..], b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "{kind}");
        assert_eq!(call.message(body, 9).await, Err(Failure::BodyTooLarge), "{kind}");
        let answer = Answer { message, ..Answer::default() };
        let response = answered(&call, answer).await.unwrap();
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(&body[..], br#"{"num":-1}"#, "{kind}");
    }
    let call = call("application/json", &[("content-encoding", "gzip"), ("accept-encoding", "gzip")]);
    let packed = gzip::pack(Bytes::from_static(br#"{"num":"7"}"#)).await.unwrap();
    let message = call.message(packed, 100).await.unwrap();
    assert_eq!(&message[..], b"\x08\x07");
    let response = answered(&call, Answer { message, ..Answer::default() }).await.unwrap();
    assert_eq!(response.headers()[header::CONTENT_ENCODING], "gzip");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(&gzip::unpack(body, 100).await.unwrap()[..], br#"{"num":7}"#);
    let damaged = Answer { message: Bytes::from_static(b"\x08"), ..Answer::default() };
    assert!(answered(&call, damaged).await.is_err());
}
