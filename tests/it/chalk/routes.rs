//! One port for every protocol, a closed list of routes, and each failure in the form that Chalk's clients read.

use std::time::Duration;

use prost::Message as _;
use serde_json::json;
use tagwarden::dialect::chalk::json::{to_json, to_proto};
use tagwarden::dialect::chalk::proto::{OnlineQueryBulkResponse, PingRequest, PingResponse};
use tagwarden::dialect::chalk::shape::methods;

use super::ask::{Ask, Door, VERSIONED, ask, names};
use super::cases::{Both, Want::Refused, Want::Sent, refused, stripped};
use super::decode::{Fine, Got, fails, message, shows_nothing};
use super::world::{Chalk, Say};
use crate::support::client::{Answer, H2, request};
use crate::support::grpc::framed;
use crate::support::sidecar::Sidecar;
use crate::support::tokens::KEY;

fn bearer(group: &str) -> String {
    format!("Bearer {}", KEY.token(&[group]))
}

#[tokio::test]
async fn one_port_speaks_every_protocol_and_upstream_one_port_does() {
    let both = Both::start().await;
    let want = Sent(&["user.name"], &["user.name"]);
    let query = [ask(&["user.name"])];
    let authorization = bearer("readers");
    let h2 = H2::connect(both.sidecar.data).await;
    for door in Door::ALL {
        // As its callers do: gRPC over HTTP/2, all else over HTTP/1.1.
        let got = door.ask(&both.sidecar, "readers", &query[0]).await;
        both.check(door, &got, want, "its own");
        // And all of it over one connection of HTTP/2.
        let headers = [("authorization", authorization.as_str()), ("content-type", door.kind()), VERSIONED];
        let te = [("te", "trailers")];
        let headers: Vec<_> = headers.into_iter().chain(te.into_iter().filter(|_| door.is_grpc())).collect();
        let answer = h2.send("POST", door.path(), &headers, door.body(&query)).await;
        both.check(door, &Got::of(door, answer), want, "over HTTP/2");
        // Upstream each goes in its own protocol.
        door.ask(&both.sidecar, "readers", &query[0]).await;
        let came = both.chalk.only();
        let http2 = came.head.version == hyper::Version::HTTP_2;
        assert_eq!(http2, door.is_rpc(), "{door:?}: {came:?}");
        assert_eq!(came.header("authorization"), None);
        assert_eq!(
            came.header("content-type"),
            Some(if door.is_rpc() { "application/grpc" } else { "application/json" })
        );
    }
}

#[tokio::test]
async fn health_and_ping_say_no_more_than_that_it_is_there() {
    let both = Both::start().await;
    both.chalk.turns_by(|seen| match seen.path() {
        "/ping" => Say::http(200, "application/json", "{\"debug\": \"CANARY\"}"),
        _ => Say::World,
    });
    let answer = both.sidecar.ask(request("GET", "/ping", "", "")).await;
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b""[..]));
    assert_eq!(both.chalk.only().path(), "/ping");
    let path = "/chalk.engine.v1.QueryService/Ping";
    let body = framed(&PingRequest { num: 7 }.encode_to_vec());
    let h2 = H2::connect(both.sidecar.data).await;
    for group in ["readers", "strangers"] {
        let bearer = bearer(group);
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/grpc"), ("te", "trailers")];
        let answer = h2.send("POST", path, &headers, &body).await;
        shows_nothing(&answer);
        answer.decision_id();
        if group == "readers" {
            assert_eq!(PingResponse::decode(message(&answer)).unwrap(), PingResponse { num: 7 });
            assert_eq!(both.chalk.only().message(), PingRequest { num: 7 }.encode_to_vec());
        } else {
            assert_eq!(answer.header("grpc-status"), Some("7"), "{answer:?}");
        }
    }
    both.chalk.nothing_came();
}

#[tokio::test]
async fn what_is_not_on_the_list_is_not_there_in_any_protocol() {
    let both = Both::start().await;
    let bearer = bearer("all");
    let authorization = format!("authorization: {bearer}\r\n");
    let ask = async |method: &str, path: &str, more: &str| {
        both.sidecar.ask(request(method, path, &format!("{authorization}{more}"), "{}")).await
    };
    let text = fails(&ask("POST", "/nothing", "").await, 404, "NOT_FOUND", "PARSE_FAILED");
    assert_eq!(text, "There is no such route");
    for (method, path, allow) in [
        ("GET", "/v1/query/online", "POST"),
        ("PUT", "/v1/query/feather", "POST"),
        ("GET", "/v1/oauth/token", "POST"),
        ("POST", "/ping", "GET"),
        ("POST", "/v1/who-am-i", "GET"),
        ("DELETE", "/v1/query/online", "POST"),
    ] {
        let answer = ask(method, path, "").await;
        fails(&answer, 405, "METHOD_NOT_ALLOWED", "PARSE_FAILED");
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
    }
    // Connect, over HTTP/1.1.
    for (path, kind) in [
        ("/chalk.protosql.v1.SqlService/ExecuteSqlQuery", "application/proto"),
        ("/chalk.protosql.v1.SqlService/ExecuteSqlQuery", "application/json"),
        ("/chalk.engine.v1.QueryService/Nothing", "application/proto"),
    ] {
        let answer = ask("POST", path, &format!("content-type: {kind}\r\n")).await;
        assert_eq!((answer.status, answer.header("content-type")), (501, Some("application/json")), "{answer:?}");
        assert_eq!(answer.json(), json!({"code": "unimplemented", "message": "There is no such route"}));
        answer.decision_id();
    }
    // A method of gRPC is called by POST alone; what is not is no call.
    let h2 = H2::connect(both.sidecar.data).await;
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/grpc"), ("te", "trailers")];
    let answer = h2.send("GET", Door::Single.path(), &headers, "").await;
    fails(&answer, 405, "METHOD_NOT_ALLOWED", "PARSE_FAILED");
    assert_eq!(answer.header("allow"), Some("POST"));
    both.chalk.nothing_came();
}

/// Asks with this `authorization`, or none.
async fn with(sidecar: &Sidecar, door: Door, authorization: Option<&str>) -> Answer {
    let mut headers = vec![("content-type", door.kind())];
    headers.extend(authorization.map(|value| ("authorization", value)));
    headers.extend(door.is_grpc().then_some(("te", "trailers")));
    door.send(sidecar, &headers, &door.body(&[ask(&["user.name"])])).await
}

/// Checks that a call was told this, over HTTP with this status and these codes, in gRPC and Connect with this one.
#[track_caller]
fn told(door: Door, answer: &Answer, http: (u16, &str, &str), rpc: (&str, &str), text: &str) {
    shows_nothing(answer);
    answer.decision_id();
    if door.is_grpc() {
        let told = (answer.status, answer.header("grpc-status"), answer.header("grpc-message"));
        assert_eq!(told, (200, Some(rpc.0), Some(text)), "{door:?}");
    } else if door.is_connect() {
        assert_eq!(answer.json(), json!({"code": rpc.1, "message": text}), "{door:?}");
    } else {
        assert_eq!(fails(answer, http.0, http.1, http.2), text, "{door:?}");
    }
}

#[tokio::test]
async fn tokens_that_are_none_are_401() {
    let both = Both::start().await;
    let expired = format!("Bearer {}", KEY.token_of("c", &["readers"], -999));
    for door in Door::ALL {
        let rpc = ("16", "unauthenticated");
        let none = with(&both.sidecar, door, None).await;
        told(door, &none, (401, "UNAUTHORIZED", "UNAUTHENTICATED"), rpc, "A Bearer token is required");
        let bad = with(&both.sidecar, door, Some("Bearer CANARY")).await;
        told(door, &bad, (401, "UNAUTHORIZED", "UNAUTHENTICATED"), rpc, "The access token is invalid");
        let old = with(&both.sidecar, door, Some(&expired)).await;
        told(door, &old, (401, "TOKEN_EXPIRED", "UNAUTHENTICATED"), rpc, "Access token has expired");
        if !door.is_grpc() {
            assert_eq!(none.header("www-authenticate"), Some("Bearer realm=\"tagwarden\""), "{door:?}");
            let invalid = Some("Bearer realm=\"tagwarden\", error=\"invalid_token\"");
            assert_eq!(
                (bad.header("www-authenticate"), old.header("www-authenticate")),
                (invalid, invalid),
                "{door:?}"
            );
        }
    }
    both.chalk.nothing_came();
}

/// 401 and 403 make chalkpy exchange its credentials and ask again; so a refusal is an answer.
#[tokio::test]
async fn a_caller_without_a_role_gets_an_answer_to_each_of_its_queries() {
    let both = Both::start().await;
    let forbidden = Fine { errors: vec![("UNAUTHORIZED".to_owned(), None)], ..Fine::default() };
    for door in Door::ALL {
        let got = door.ask(&both.sidecar, "strangers", &ask(&["user.name"])).await;
        assert_eq!((got.answer.status, &got.end), (200, &Ok(vec![forbidden.clone()])), "{door:?}");
        assert!(got.text().contains("This caller may not use this route"), "{door:?}: {}", got.text());
        assert_eq!(got.answer.header("x-tagwarden-filtered"), None);
    }
    for door in Door::SEVERAL {
        let queries: Vec<Ask> = ["user.name", "user.ssn", "x"].iter().map(|name| ask(&[name])).collect();
        let got = door.ask_with(&both.sidecar, "strangers", &[VERSIONED], &queries).await;
        assert_eq!(got.end, Ok(vec![forbidden.clone(); 3]), "{door:?}");
    }
    both.chalk.nothing_came();
}

#[tokio::test]
async fn of_several_queries_the_refused_one_is_refused_alone() {
    let both = Both::start().await;
    for door in Door::SEVERAL {
        let queries: Vec<Ask> =
            ["user.ssn", "user.name", "user.secret", "user.limit"].iter().map(|name| ask(&[name])).collect();
        let got = door.ask_with(&both.sidecar, "readers", &[VERSIONED], &queries).await;
        got.shows_nothing();
        let fine = |name: &str| Fine { fields: vec![name.to_owned()], key: true, errors: stripped() };
        let want = vec![refused(&["user.ssn"]), fine("user.name"), refused(&["user.secret"]), fine("user.limit")];
        assert_eq!(got.end, Ok(want), "{door:?}");
        let went: Vec<_> = super::went::went(&both.chalk.only()).into_iter().map(|went| went.outputs).collect();
        assert_eq!(went, [["user.name"], ["user.limit"]], "{door:?}");
        // All of them: nothing goes upstream.
        let got = door.ask_with(&both.sidecar, "readers", &[VERSIONED], &[ask(&["user.ssn"]), ask(&["x"])]).await;
        assert_eq!(got.end, Ok(vec![refused(&["user.ssn"]), refused(&["x"])]), "{door:?}");
        both.chalk.nothing_came();
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_told_in_chalks_form() {
    let both = Both::start().await;
    let bearer = bearer("readers");
    let send = async |door: Door, kind: &str, more: &[(&str, &str)], body: &[u8]| {
        let mut headers = vec![("authorization", bearer.as_str()), ("content-type", kind)];
        headers.extend_from_slice(more);
        door.send(&both.sidecar, &headers, body).await
    };
    let invalid = (400, "INVALID_QUERY", "INVALID_QUERY");
    let rpc = ("3", "invalid_argument");
    let text = "the body cannot be read: unexpected byte `[` at byte 0 of the json text, expected an object";
    for (door, body, text) in [
        (Door::Json, &b"[]"[..], text),
        (Door::Json, br#"{"outputs":["user.name"],"outputs":["user.ssn"]}"#, ""),
        (Door::Json, br#"{"outputs":["user.name"],"output":["user.ssn"]}"#, "the key `output` is not known"),
        (Door::Json, br#"{"outputs":[{}]}"#, "a value of `outputs` is not a text"),
        (Door::Feather, b"chal2", "the body does not begin with `chal1`"),
        (Door::Feather, b"chal1", "the body holds no query"),
        (Door::Feather, b"chal1\0\0\0\0\0\0\0\x09{}", "query 0 of the body breaks off in its header"),
        (Door::Connect, b"\x12", ""),
        (Door::ConnectJson, b"", ""),
        (Door::ConnectJson, br#"{"outputs":[],"outputs":[]}"#, ""),
        (Door::ConnectJson, br#"{"output":[]}"#, "the message has the field `output`, which is not known"),
        (
            Door::ConnectJson,
            br#"{"outputs":[{"featureFqn":"user.name","feature_fqn":"user.ssn"}]}"#,
            "`outputs[0].feature_fqn` is given under both of its names",
        ),
        (
            Door::ConnectJson,
            br#"{"outputs":[{"featureFqn":"user.name","featureExpression":{}}]}"#,
            "`outputs[0].feature_expression` is given beside `feature_fqn`",
        ),
        (Door::ConnectJson, b"{}", "neither `outputs` nor `context.query_name` says what is asked for"),
        (Door::Connect, b"", "neither `outputs` nor `context.query_name` says what is asked for"),
    ] {
        let answer = send(door, door.kind(), &[], body).await;
        if !text.is_empty() && door.is_connect() {
            told(door, &answer, invalid, rpc, text);
        } else if door.is_connect() {
            assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("invalid_argument")));
        } else {
            let told = fails(&answer, 400, invalid.1, invalid.2);
            assert!(text.is_empty() || told == text, "{told}");
        }
        shows_nothing(&answer);
    }
    // Bytes behind the last query are another query, or nothing.
    let mut body = Door::Feather.body(&[ask(&["user.name"])]);
    body.push(0);
    let answer = send(Door::Feather, "application/json", &[], &body).await;
    assert_eq!(fails(&answer, 400, invalid.1, invalid.2), "query 1 of the body breaks off in its header");
    for (door, kind, more) in [
        (Door::Json, "text/plain", &[][..]),
        (Door::Json, "application/octet-stream", &[]),
        (Door::Json, "application/json", &[("content-encoding", "gzip")]),
        (Door::Feather, "text/plain", &[]),
        (Door::Feather, "application/json", &[("content-encoding", "gzip")]),
        (Door::Feather, "application/octet-stream", &[("content-encoding", "gzip")]),
    ] {
        let answer = send(door, kind, more, &door.body(&[ask(&["user.name"])])).await;
        let text = fails(&answer, 415, "UNSUPPORTED", "PARSE_FAILED");
        assert!(text.contains("Content-"), "{door:?} {kind}: {text}");
    }
    both.chalk.nothing_came();
    // A bulk body may say what it is.
    let body = Door::Feather.body(&[ask(&["user.name"])]);
    let answer = send(Door::Feather, "application/octet-stream", &[VERSIONED], &body).await;
    both.check(Door::Feather, &Got::of(Door::Feather, answer), Sent(&["user.name"], &["user.name"]), "octets");
}

#[tokio::test]
async fn ours_to_mend_is_503_everywhere() {
    let (chalk, provider) = (Chalk::start().await, Chalk::start().await);
    provider.turns_to(Say::http(500, "text/plain", "CANARY"));
    let mut setup = chalk.setup().with("chalk: {environment: prod}");
    setup.keys = format!("{{jwks_url: \"{}/jwks\"}}", provider.url);
    let sidecar = setup.start().await;
    let bearer = bearer("readers");
    for door in Door::ALL {
        let answer = with(&sidecar, door, Some(&bearer)).await;
        let http = (503, "KEYS_UNAVAILABLE", "INTERNAL_SERVER_ERROR");
        told(door, &answer, http, ("14", "unavailable"), "Tokens cannot be verified right now, try again");
        assert_eq!(answer.header("retry-after").is_some(), !door.is_grpc(), "{door:?}");
    }
    chalk.nothing_came();
    // The same where there are too many at once.
    let sidecar = chalk.setup().with("chalk: {environment: prod}").with("limits: {inflight: 1}").start().await;
    chalk.turns_to(Say::Hang);
    let query = ask(&["user.name"]);
    let hanging = Door::Json.ask(&sidecar, "readers", &query);
    let others = async {
        crate::support::until("the first upstream", async || (!chalk.take().is_empty()).then_some(())).await;
        for door in Door::ALL {
            let answer = with(&sidecar, door, Some(&bearer)).await;
            let http = (503, "OVERLOADED", "INTERNAL_SERVER_ERROR");
            told(door, &answer, http, ("14", "unavailable"), "Too many requests at once, try again");
        }
    };
    tokio::select! {
        got = hanging => panic!("{got:?}"),
        () = others => {}
        () = tokio::time::sleep(Duration::from_secs(20)) => panic!("it hangs"),
    }
    chalk.nothing_came();
}

#[tokio::test]
async fn members_are_named_where_the_configuration_says_so() {
    let both = Both::start().await;
    both.case("readers", ask(&["user.identity"]), Refused(&["user.identity"])).await;
    let chalk = both.chalk.clone();
    let sidecar = chalk.setup().with("chalk: {environment: prod}").with("errors: {name_members: true}").start().await;
    let open = Both { chalk, sidecar };
    open.case("readers", ask(&["user.identity"]), Refused(&["user.identity", "user.identity.imei"])).await;
    open.case("readers", ask(&["user.ssn"]), Refused(&["user.ssn"])).await;
    let leaky = ask(&[]).with(super::ask::Part::Name("leaky"));
    open.case("readers", leaky, Refused(&["leaky", "user.ssn"])).await;
}

#[tokio::test]
async fn who_a_token_is_is_said_here() {
    let both = Both::start().await;
    let headers = format!("authorization: {}\r\n", bearer("readers"));
    let answer = both.sidecar.ask(request("GET", "/v1/who-am-i", &headers, "")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["user"], "caller-1");
    let nobody = both.sidecar.ask(request("GET", "/v1/who-am-i", "", "")).await;
    fails(&nobody, 401, "UNAUTHORIZED", "UNAUTHENTICATED");
    both.chalk.nothing_came();
}

#[tokio::test]
async fn tables_in_json_are_cut_too() {
    let both = Both::start().await;
    let path = Door::Bulk.path();
    let messages = methods::of(path).unwrap();
    let h2 = H2::connect(both.sidecar.data).await;
    for (group, outputs, came, refused) in [
        ("readers", &["user.name"][..], &["__id__", "user.name"][..], 0),
        ("readers", &["user.name", "user.ssn"], &[], 1),
        ("cutters", &["user.name", "user.ssn"], &["__id__", "user.name"], 0),
    ] {
        let body = to_json(messages.request, &ask(outputs).bulk().encode_to_vec()).unwrap();
        let authorization = bearer(group);
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json"), VERSIONED];
        let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let one = both.sidecar.ask(request("POST", path, &lines, &body)).await;
        let two = h2.send("POST", path, &headers, &body).await;
        for answer in [one, two] {
            assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{answer:?}");
            let message = to_proto(messages.answer, &answer.body).unwrap();
            shows_nothing(&answer);
            let bulk = OnlineQueryBulkResponse::decode(message.clone()).unwrap();
            assert!(!String::from_utf8_lossy(&message).contains(super::world::CANARY));
            let of_ssn = bulk.errors.iter().filter(|error| error.feature.as_deref() == Some("user.ssn"));
            assert_eq!(of_ssn.count(), refused, "{group} {outputs:?}: {:?}", bulk.errors);
            let columns = if bulk.scalars_data.is_empty() { Vec::new() } else { names(&bulk.scalars_data) };
            assert_eq!(columns, came, "{group} {outputs:?}");
        }
    }
}
