//! What is too large, too slow or broken: it ends at both ends, and no text of the deployment's comes through.

use bytes::Bytes;
use prost::Message as _;
use serde_json::json;
use tagwarden::dialect::chalk::container::Container;
use tagwarden::dialect::chalk::proto::{OnlineQueryBulkResponse, OnlineQueryResponse};

use super::ask::{Door, ask, table};
use super::cases::Both;
use super::decode::{Got, fails, shows_nothing};
use super::world::{CANARY, Chalk, Say};
use crate::support::client::request;
use crate::support::sidecar::Sidecar;
use crate::support::tokens::KEY;

async fn limited(chalk: &Chalk, section: &str) -> Sidecar {
    chalk.setup().with("chalk: {environment: prod}").with(section).start().await
}

/// Checks that a caller was told of a failure, over HTTP with this status and code, in gRPC and Connect with these.
#[track_caller]
fn told(door: Door, got: &Got, http: (u16, &str, &str), rpc: (u8, &str), text: &str, say: &str) {
    got.shows_nothing();
    let answer = &got.answer;
    if door.is_grpc() {
        let told = (answer.header("grpc-status"), answer.header("grpc-message"));
        assert_eq!(told, (Some(rpc.0.to_string().as_str()), Some(text)), "{door:?} {say}");
        assert_eq!(answer.header("grpc-status-details-bin"), None);
    } else if door.is_connect() {
        assert_eq!(answer.json(), json!({"code": rpc.1, "message": text}), "{door:?} {say}");
    } else {
        assert_eq!(fails(answer, http.0, http.1, http.2), text, "{door:?} {say}");
    }
}

#[tokio::test]
async fn a_request_beyond_its_limit_is_413() {
    let chalk = Chalk::start().await;
    let sidecar = limited(&chalk, "limits: {request_body: 8KiB}").await;
    for door in Door::ALL {
        let query = ask(&["user.name"]).input("user.limit", Some(&"x".repeat(9 << 10)));
        let got = door.ask(&sidecar, "readers", &query).await;
        let http = (413, "BODY_TOO_LARGE", "PARSE_FAILED");
        told(door, &got, http, (8, "resource_exhausted"), "The request body is too large", "");
        chalk.nothing_came();
        assert_eq!(door.ask(&sidecar, "readers", &ask(&["user.name"])).await.fine().fields, ["user.name"]);
        chalk.only();
    }
    // The path of a route that passes through, and that of no query.
    let bearer = format!("authorization: Bearer {}\r\n", KEY.token(&["readers"]));
    let answer = sidecar.ask(request("POST", "/v1/oauth/token", &bearer, "x".repeat(9 << 10))).await;
    fails(&answer, 415, "UNSUPPORTED", "PARSE_FAILED");
}

#[tokio::test]
async fn an_answer_beyond_its_limit_is_not_read() {
    let chalk = Chalk::start().await;
    let sidecar = limited(&chalk, "limits: {response_body: 4KiB}").await;
    let large = CANARY.repeat(1 << 10);
    for door in Door::ALL {
        chalk.turns_to(match door.is_rpc() {
            true => Say::grpc(large.as_bytes()),
            false => Say::http(200, "application/json", large.clone()),
        });
        let got = door.ask(&sidecar, "readers", &ask(&["user.name"])).await;
        let http = (502, "UPSTREAM_UNREADABLE", "INTERNAL_SERVER_ERROR");
        let text = "The feature server's answer cannot be verified";
        told(door, &got, http, (14, "unavailable"), text, "");
    }
    assert_eq!(sidecar.metric("tagwarden_upstream_errors_total{kind=\"too_large\"}").await, 8.0);
}

#[tokio::test]
async fn nobody_waits_longer_than_the_limit() {
    let chalk = Chalk::start().await;
    let setup = chalk.setup().with("chalk: {environment: prod}").upstream_with("timeout: 50ms");
    let sidecar = setup.start().await;
    chalk.turns_to(Say::Hang);
    let late = (504, "UPSTREAM_TIMEOUT", "DEADLINE_EXCEEDED");
    let text = "The feature server did not answer in time";
    for door in Door::ALL {
        let got = door.ask(&sidecar, "readers", &ask(&["user.name"])).await;
        told(door, &got, late, (4, "deadline_exceeded"), text, "");
    }
    // Nor than the caller does.
    let sidecar = chalk.sidecar().await;
    for (door, header) in [
        (Door::Single, ("grpc-timeout", "50m")),
        (Door::Bulk, ("grpc-timeout", "50000u")),
        (Door::Multi, ("grpc-timeout", "50m")),
        (Door::Connect, ("connect-timeout-ms", "50")),
        (Door::ConnectJson, ("connect-timeout-ms", "50")),
    ] {
        let got = door.ask_with(&sidecar, "readers", &[header], &[ask(&["user.name"])]).await;
        told(door, &got, late, (4, "deadline_exceeded"), text, "");
    }
    for (header, value) in [("grpc-timeout", "soon"), ("grpc-timeout", "123456789S"), ("grpc-timeout", "-1S")] {
        let got = Door::Single.ask_with(&sidecar, "readers", &[(header, value)], &[ask(&["user.name"])]).await;
        assert_eq!(got.end.unwrap_err().0, "INVALID_QUERY", "{value}");
    }
}

#[tokio::test]
async fn errors_over_http_pass_by_their_status_alone() {
    let Both { chalk, sidecar } = Both::start().await;
    let chalks = json!({"detail": CANARY, "trace": CANARY, "errors": [{"code": "UNAUTHORIZED", "message": CANARY}]});
    for (status, kind, body, told_as) in [
        (400, "application/json", chalks.to_string(), 400),
        (401, "application/json", chalks.to_string(), 401),
        (403, "application/json", chalks.to_string(), 403),
        (404, "text/plain", CANARY.to_owned(), 404),
        (429, "text/plain", CANARY.to_owned(), 429),
        (500, "application/json", chalks.to_string(), 500),
        (502, "text/html", format!("<html>{CANARY}</html>"), 502),
        (503, "text/html", CANARY.to_owned(), 503),
        (302, "text/html", CANARY.to_owned(), 502),
        (304, "text/html", String::new(), 502),
    ] {
        chalk.turns_to(Say::Answer {
            status,
            headers: vec![
                ("content-type", kind.to_owned()),
                ("location", format!("http://{CANARY}/")),
                ("www-authenticate", format!("Bearer realm=\"{CANARY}\"")),
                ("x-chalk-debug", CANARY.to_owned()),
            ],
            body: body.into(),
            trailers: vec![],
        });
        for door in Door::ALL {
            let got = door.ask(&sidecar, "readers", &ask(&["user.name"])).await;
            let code = match status {
                401 => (16, "unauthenticated"),
                403 => (7, "permission_denied"),
                404 => (12, "unimplemented"),
                _ => (14, "unavailable"),
            };
            let http = (told_as, "UPSTREAM_FAILED", "INTERNAL_SERVER_ERROR");
            told(door, &got, http, code, "The feature server failed", &format!("{status}"));
        }
    }
}

#[tokio::test]
async fn errors_of_calls_pass_by_their_code_alone() {
    let Both { chalk, sidecar } = Both::start().await;
    let names = [
        "canceled",
        "unknown",
        "invalid_argument",
        "deadline_exceeded",
        "not_found",
        "already_exists",
        "permission_denied",
        "resource_exhausted",
        "failed_precondition",
        "aborted",
        "out_of_range",
        "unimplemented",
        "internal",
        "unavailable",
        "data_loss",
        "unauthenticated",
    ];
    // One that is not known is unknown.
    let codes = (1..=16).zip(names).chain([(99, "unknown")]);
    for (code, name) in codes {
        chalk.turns_to(Say::grpc_error(code));
        let as_told = if code > 16 { 2 } else { code };
        for door in Door::ALL.into_iter().filter(|door| door.is_rpc()) {
            let got = door.ask(&sidecar, "readers", &ask(&["user.name"])).await;
            let text = "The feature server ended the call with an error";
            told(door, &got, (0, "", ""), (as_told, name), text, name);
        }
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_verified_is_not_passed_on() {
    let Both { chalk, sidecar } = Both::start().await;
    let fine = r#"{"data":[],"errors":null,"meta":null}"#;
    let twice = format!(
        r#"{{"data":[{{"field":"user.name","value":"{CANARY}"}},{{"field":"user.name","value":"{CANARY}"}}],"errors":null}}"#
    );
    let gzip = Say::Answer {
        status: 200,
        headers: vec![("content-type", "application/json".to_owned()), ("content-encoding", "gzip".to_owned())],
        body: Bytes::from_static(fine.as_bytes()),
        trailers: vec![],
    };
    let mut cases: Vec<(Door, Say, u16)> = vec![
        (Door::Json, Say::http(200, "text/html", fine), 502),
        (Door::Json, Say::http(200, "application/json; charset=latin-1", fine), 502),
        (Door::Json, Say::http(201, "application/json", fine), 502),
        (Door::Json, Say::http(204, "application/json", ""), 502),
        (Door::Json, gzip.clone(), 502),
        (Door::Json, Say::http(200, "application/json", CANARY), 502),
        (Door::Json, Say::http(200, "application/json", format!("{fine}{CANARY}")), 502),
        (Door::Json, Say::http(200, "application/json", twice), 502),
        (Door::Json, Say::http(200, "application/json", format!(r#"{{"data":[],"data":["{CANARY}"]}}"#)), 502),
        (Door::Json, Say::http(200, "application/json", format!(r#"{{"data":"{CANARY}"}}"#)), 502),
        (Door::Json, Say::http(200, "application/json", format!(r#"{{"data":[],"errors":["{CANARY}"]}}"#)), 502),
        (Door::Feather, Say::http(200, "application/json", CANARY), 502),
        (Door::Feather, Say::http(200, "application/octet-stream", CANARY), 502),
        (Door::Feather, gzip, 502),
    ];
    // Results of another number, of another layout, with a table that is none.
    let result = |attrs: String, table: Bytes| {
        let children = vec![("groups_data".to_owned(), Container::default())];
        Container {
            attrs: attrs.into(),
            blobs: vec![("scalar_data".to_owned(), table)],
            children,
            ..Container::default()
        }
    };
    let answer = |results: Vec<(&str, Container)>| {
        let blobs = results.into_iter().map(|(name, result)| (name.to_owned(), Bytes::from(result.write())));
        let results = Container { blobs: blobs.collect(), ..Container::default() };
        let children = vec![("query_results_bytes".to_owned(), results)];
        Container { children, ..Container::default() }.write()
    };
    let good = || table(&[("user.name", Some(CANARY))]);
    let has = r#"{"has_data":true,"errors":null,"meta":null}"#.to_owned();
    let more = format!(r#"{{"has_data":true,"errors":null,"meta":null,"debug":"{CANARY}"}}"#);
    for body in [
        answer(vec![]),
        answer(vec![("query_0", result(has.clone(), good())), ("query_1", result(has.clone(), good()))]),
        answer(vec![("query_1", result(has.clone(), good()))]),
        answer(vec![("query_0", result(more, good()))]),
        answer(vec![("query_0", result(has.clone(), Bytes::from_static(b"ARROW1 CANARY")))]),
        answer(vec![("query_0", result(has.clone(), table(&[("user.name", None), ("user.name", Some(CANARY))])))]),
        [answer(vec![("query_0", result(has, good()))]).as_slice(), CANARY.as_bytes()].concat(),
    ] {
        cases.push((Door::Feather, Say::http(200, "application/octet-stream", body), 502));
    }
    for (number, (door, say, status)) in cases.into_iter().enumerate() {
        chalk.turns_to(say.clone());
        let got = door.ask(&sidecar, "readers", &ask(&["user.name"])).await;
        let http = (status, "UPSTREAM_UNREADABLE", "INTERNAL_SERVER_ERROR");
        let text = "The feature server's answer cannot be verified";
        told(door, &got, http, (14, "unavailable"), text, &format!("case {number}: {say:?}"));
    }
    let damaged = OnlineQueryBulkResponse {
        scalars_data: Bytes::from_static(b"ARROW1 CANARY"),
        ..OnlineQueryBulkResponse::default()
    };
    let no_status = Say::Answer {
        status: 200,
        headers: vec![("content-type", "application/grpc".to_owned())],
        body: Bytes::from_static(b"\0\0\0\0\x06CANARY"),
        trailers: vec![("x-debug", CANARY.to_owned())],
    };
    let two = {
        let one = crate::support::grpc::framed(&OnlineQueryResponse::default().encode_to_vec());
        Say::Answer {
            status: 200,
            headers: vec![("content-type", "application/grpc".to_owned())],
            body: [one.as_ref(), one.as_ref()].concat().into(),
            trailers: vec![("grpc-status", "0".to_owned())],
        }
    };
    for say in [
        Say::grpc(b"\x0a\xff\xff"),
        Say::http(200, "text/html", CANARY),
        Say::http(200, "application/json", fine),
        no_status,
        two,
    ] {
        chalk.turns_to(say.clone());
        for door in Door::ALL.into_iter().filter(|door| door.is_rpc()) {
            let got = door.ask(&sidecar, "readers", &ask(&["user.name"])).await;
            got.shows_nothing();
            let told = got.end.as_ref().unwrap_err();
            assert_eq!(told.0, "UNAVAILABLE", "{door:?} {say:?}: {got:?}");
        }
    }
    chalk.turns_to(Say::grpc(&damaged.encode_to_vec()));
    let got = Door::Bulk.ask(&sidecar, "readers", &ask(&["user.name"])).await;
    let text = "The feature server's answer cannot be verified".to_owned();
    assert_eq!(got.end, Err(("UNAVAILABLE".to_owned(), text)));
}

#[tokio::test]
async fn half_an_answer_is_none() {
    let Both { chalk, sidecar } = Both::start().await;
    for door in Door::ALL {
        let half = match door.is_rpc() {
            true => Say::grpc(b"CANARY"),
            false => Say::http(200, "application/json", CANARY),
        };
        chalk.turns_to(Say::Half(Box::new(half)));
        let got = door.ask(&sidecar, "readers", &ask(&["user.name"])).await;
        let http = (502, "UPSTREAM_FAILED", "INTERNAL_SERVER_ERROR");
        told(door, &got, http, (14, "unavailable"), "The feature server failed", "");
        shows_nothing(&got.answer);
        // What it says then is not what was left of it.
        chalk.turns_to(Say::World);
        assert_eq!(door.ask(&sidecar, "readers", &ask(&["user.name"])).await.fine().fields, ["user.name"]);
    }
}
