//! Tokens that the deployment issues: its answer comes back without a way round us, and no secret stays here.

use prost::Message as _;
use serde_json::{Value, json};
use tagwarden::dialect::chalk::proto::{GetTokenRequest, GetTokenResponse};

use super::ask::{Door, ask};
use super::decode::{fails, message, shows_nothing, text};
use super::world::{AWAY, Chalk, Say};
use crate::support::client::{self, Answer, H2, request};
use crate::support::grpc::framed;
use crate::support::process::Process;
use crate::support::sidecar::Sidecar;
use crate::support::tokens::KEY;

const TOKEN: &str = "/v1/oauth/token";
const GET_TOKEN: &str = "/chalk.server.v1.AuthService/GetToken";
const PUBLIC: &str = "http://sidecar.example:8080";
const SECRET: &str = "CANARY-client-secret";

fn credentials() -> Value {
    json!({"client_id": "c", "client_secret": SECRET, "grant_type": "client_credentials", "scope": null})
}

async fn exchange(sidecar: &Sidecar, more: &str, body: impl AsRef<[u8]>) -> Answer {
    let headers = format!("content-type: application/json\r\naccept: application/json\r\n{more}");
    sidecar.ask(request("POST", TOKEN, &headers, body)).await
}

fn asked() -> GetTokenRequest {
    GetTokenRequest {
        client_id: "c".to_owned(),
        client_secret: SECRET.to_owned(),
        grant_type: "client_credentials".to_owned(),
        ..GetTokenRequest::default()
    }
}

async fn call(sidecar: &Sidecar, more: &[(&str, &str)], message: &[u8]) -> Answer {
    let headers = [("content-type", "application/grpc"), ("te", "trailers"), ("x-chalk-server", "go-api")];
    let headers: Vec<_> = headers.into_iter().chain(more.iter().copied()).collect();
    H2::connect(sidecar.data).await.send("POST", GET_TOKEN, &headers, framed(message)).await
}

#[tokio::test]
async fn no_address_but_ours_comes_back() {
    let chalk = Chalk::start().await;
    let sidecar = chalk.sidecar().await;
    let answer = exchange(&sidecar, "", credentials().to_string()).await;
    shows_nothing(&answer);
    answer.decision_id();
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")));
    assert_eq!(
        answer.json(),
        json!({
            "access_token": "token-of-the-deployment", "token_type": "Bearer", "expires_in": 3600,
            "expires_at": "2030-01-01T00:00:00Z", "api_server": PUBLIC, "primary_environment": "prod",
            "engines": {"prod": PUBLIC}, "grpc_engines": {"prod": PUBLIC}, "environment_id_to_name": {"prod": "Production"},
        })
    );
    let came = chalk.only();
    assert_eq!((came.path(), came.json()), (TOKEN, credentials()));
    assert_eq!(came.header("x-chalk-env-id"), Some("prod"));

    let answer = call(&sidecar, &[], &asked().encode_to_vec()).await;
    shows_nothing(&answer);
    answer.decision_id();
    let one = |value: &str| [("prod".to_owned(), value.to_owned())].into();
    let want = GetTokenResponse {
        access_token: "token-of-the-deployment".to_owned(),
        token_type: "Bearer".to_owned(),
        expires_in: 3600,
        api_server: PUBLIC.to_owned(),
        primary_environment: Some("prod".to_owned()),
        engines: one(PUBLIC),
        grpc_engines: one(PUBLIC),
        environment_id_to_name: one("Production"),
        ..GetTokenResponse::default()
    };
    assert!(GetTokenResponse::decode(message(&answer)).unwrap() == want);
    assert_eq!(message(&answer), want.encode_to_vec());
    let came = chalk.only();
    assert_eq!((came.path(), came.message()), (GET_TOKEN, asked().encode_to_vec().into()));

    // In Connect, as the client in Go does.
    let headers = "content-type: application/proto\r\nconnect-protocol-version: 1\r\n";
    let answer = sidecar.ask(request("POST", GET_TOKEN, headers, asked().encode_to_vec())).await;
    assert_eq!((answer.status, answer.body), (200, want.encode_to_vec()));
    chalk.only();

    // And in JSON.
    let headers = "content-type: application/json\r\nconnect-protocol-version: 1\r\n";
    let body = json!({"clientId": "c", "client_secret": SECRET, "grantType": "client_credentials", "scope": null});
    let answer = sidecar.ask(request("POST", GET_TOKEN, headers, body.to_string())).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(
        answer.json(),
        json!({
            "accessToken": "token-of-the-deployment", "tokenType": "Bearer", "expiresIn": 3600, "apiServer": PUBLIC,
            "primaryEnvironment": "prod", "engines": {"prod": PUBLIC}, "grpcEngines": {"prod": PUBLIC},
            "environmentIdToName": {"prod": "Production"},
        })
    );
    assert_eq!(chalk.only().message(), asked().encode_to_vec());
}

/// Whose credentials they are stands in the body; nobody is vouched for, whatever the rest goes with.
#[tokio::test]
async fn nobodys_token_goes_with_them() {
    let chalk = Chalk::start().await;
    for setting in ["authorization: drop", "authorization: forward", "authorization: {bearer_file: own}"] {
        let setup = chalk.setup().with("chalk: {environment: prod}").upstream_with(setting);
        setup.folder.write("own", "own-token");
        let sidecar = setup.start().await;
        let bearer = format!("Bearer {}", KEY.token(&["readers"]));
        for more in ["", &format!("authorization: {bearer}\r\n"), "authorization: Bearer x\r\ncookie: c=1\r\n"] {
            let answer = exchange(&sidecar, more, credentials().to_string()).await;
            assert_eq!(answer.status, 200, "{setting}: {answer:?}");
            let came = chalk.only();
            assert_eq!((came.header("authorization"), came.header("cookie")), (None, None), "{setting}");
        }
        call(&sidecar, &[("authorization", &bearer)], &asked().encode_to_vec()).await;
        assert_eq!(chalk.only().header("authorization"), None, "{setting}");
    }
}

#[tokio::test]
async fn what_is_no_exchange_is_refused_without_its_words() {
    let chalk = Chalk::start().await;
    let sidecar = chalk.sidecar().await;
    let with = |key: &str, value: Value| {
        let mut body = credentials();
        body[key] = value;
        body.to_string()
    };
    for body in [
        "[]".to_owned(),
        "CANARY".to_owned(),
        with("grant_type", json!("CANARY")),
        with("client_secret", json!("")),
        with("client_secret", json!(["CANARY"])),
        with("scope", json!({"CANARY": 1})),
        with("CANARY", json!(1)),
        format!("{{\"client_secret\":\"{SECRET}\",\"client_secret\":\"{SECRET}\"}}"),
    ] {
        let answer = exchange(&sidecar, "", &body).await;
        shows_nothing(&answer);
        fails(&answer, 400, "INVALID_QUERY", "INVALID_QUERY");
    }
    let form = format!("client_id=c&client_secret={SECRET}&grant_type=client_credentials");
    let headers = "content-type: application/x-www-form-urlencoded\r\n";
    let answer = sidecar.ask(request("POST", TOKEN, headers, form)).await;
    fails(&answer, 415, "UNSUPPORTED", "PARSE_FAILED");
    let large = with("client_id", json!("x".repeat(16 << 10)));
    let answer = exchange(&sidecar, "", large).await;
    assert_eq!(fails(&answer, 413, "BODY_TOO_LARGE", "PARSE_FAILED"), "The request body is too large");

    let large = GetTokenRequest { client_id: "x".repeat(16 << 10), ..asked() };
    for (message, status) in [
        (large.encode_to_vec(), "8"),
        (GetTokenRequest { grant_type: "CANARY".to_owned(), ..asked() }.encode_to_vec(), "3"),
        (GetTokenRequest { client_secret: String::new(), ..asked() }.encode_to_vec(), "3"),
        ([asked().encode_to_vec().as_slice(), b"\x12\x06CANARY"].concat(), "3"),
        ([asked().encode_to_vec().as_slice(), b"\x9a\x06\x06CANARY"].concat(), "3"),
    ] {
        let answer = call(&sidecar, &[], &message).await;
        shows_nothing(&answer);
        assert_eq!(answer.header("grpc-status"), Some(status), "{answer:?}");
    }
    chalk.nothing_came();
}

#[tokio::test]
async fn how_the_deployment_fails_is_told_without_its_words() {
    let chalk = Chalk::start().await;
    let sidecar = chalk.sidecar().await;
    let secret = format!("{{\"detail\": \"no client {SECRET}\"}}");
    let http = |status: u16, kind: &str| Say::http(status, kind, secret.clone());
    for (say, status, code) in [
        (http(401, "application/json"), 401, "UPSTREAM_FAILED"),
        (http(403, "application/json"), 403, "UPSTREAM_FAILED"),
        (http(429, "application/json"), 429, "UPSTREAM_FAILED"),
        (http(500, "text/html"), 500, "UPSTREAM_FAILED"),
        (http(302, "text/html"), 502, "UPSTREAM_FAILED"),
        (http(200, "application/json"), 502, "UPSTREAM_UNREADABLE"),
        (http(200, "text/html"), 502, "UPSTREAM_UNREADABLE"),
        (Say::Half(Box::new(http(200, "application/json"))), 502, "UPSTREAM_FAILED"),
    ] {
        chalk.turns_to(say);
        let answer = exchange(&sidecar, "", credentials().to_string()).await;
        shows_nothing(&answer);
        fails(&answer, status, code, "INTERNAL_SERVER_ERROR");
        // Attempts are counted there: it is sent once.
        chalk.only();
    }
    for (say, status) in [
        (Say::grpc_error(16), "16"),
        (Say::grpc_error(8), "8"),
        (Say::grpc(b""), "14"),
        (Say::grpc(b"\x0a\xff"), "14"),
        (http(401, "text/html"), "16"),
        (Say::Half(Box::new(Say::grpc(b""))), "14"),
    ] {
        chalk.turns_to(say.clone());
        let answer = call(&sidecar, &[], &asked().encode_to_vec()).await;
        shows_nothing(&answer);
        assert_eq!(answer.header("grpc-status"), Some(status), "{say:?}: {answer:?}");
        chalk.only();
    }
}

/// Queries go to the engine that is configured, tokens and the rest to the deployment; nobody learns another address.
#[tokio::test]
async fn queries_go_to_the_configured_engine() {
    let (chalk, engine) = (Chalk::start().await, Chalk::start().await);
    let routes = "routes: [{path: /v1/upload_features, methods: [POST]}, {path: /v1/branches/start, methods: [POST]}]";
    let setup = chalk.setup().with("chalk: {environment: prod}").with(routes);
    let sidecar = setup.upstream_with(&format!("engine_url: \"{}\"", engine.url)).start().await;
    for _ in 0..2 {
        assert!(text(&exchange(&sidecar, "", credentials().to_string()).await).contains(PUBLIC));
        assert_eq!(chalk.only().path(), TOKEN);
        call(&sidecar, &[], &asked().encode_to_vec()).await;
        assert_eq!(chalk.only().path(), GET_TOKEN);
        engine.nothing_came();
        for door in Door::ALL {
            let got = door.ask(&sidecar, "readers", &ask(&["user.name"])).await;
            assert_eq!(got.fine().fields, ["user.name"], "{door:?}");
            assert!(!got.text().contains(AWAY));
            assert_eq!(engine.only().path(), door.path());
            chalk.nothing_came();
        }
    }
    let bearer = format!("authorization: Bearer {}\r\ncontent-type: application/json\r\n", KEY.token(&["writers"]));
    let upload = request("POST", "/v1/upload_features", &bearer, r#"{"input":{"user.name":["x"]}}"#);
    assert_eq!(sidecar.ask(upload).await.status, 200);
    assert_eq!(chalk.only().path(), "/v1/upload_features");
    assert_eq!(sidecar.ask(request("POST", "/v1/branches/start", &bearer, "{}")).await.status, 200);
    assert_eq!(chalk.only().path(), "/v1/branches/start");
    assert_eq!(sidecar.ask(request("GET", "/ping", "", "")).await.status, 200);
    assert_eq!(engine.only().path(), "/ping");
    chalk.nothing_came();
}

#[tokio::test]
async fn no_output_holds_a_secret_or_a_token() {
    let chalk = Chalk::start().await;
    let setup = chalk.setup().with("chalk: {environment: prod}");
    let mut sidecar = Process::serve(&setup.write(), &["--log-level", "trace"]).await;
    let headers = "content-type: application/json\r\n";
    let body = credentials().to_string();
    let body = &body;
    for (say, status) in [
        (Say::World, 200),
        (Say::http(500, "text/html", "a page"), 500),
        (Say::http(200, "application/json", format!("{{\"access_token\": \"{SECRET}\"}}")), 502),
    ] {
        chalk.turns_to(say);
        let answer = client::ask(sidecar.data, request("POST", TOKEN, headers, body)).await;
        assert_eq!(answer.status, status);
        shows_nothing(&answer);
    }
    for bad in [&body[..body.len() - 1], &body.replace("\"scope\"", "\"CANARY\"")] {
        let answer = client::ask(sidecar.data, request("POST", TOKEN, headers, bad)).await;
        assert_eq!(answer.status, 400);
    }
    chalk.turns_to(Say::World);
    let rpc = "content-type: application/proto\r\n";
    let answer = client::ask(sidecar.data, request("POST", GET_TOKEN, rpc, asked().encode_to_vec())).await;
    assert_eq!(answer.status, 200);
    let metrics = client::ask(sidecar.metrics, request("GET", "/metrics", "", "")).await.text().to_owned();
    assert!(metrics.contains("tagwarden_requests_total{code=\"200\",route=\"/v1/oauth/token\"} 1"), "{metrics}");
    sidecar.logged("the upstream answers with an error").await;
    let audit = std::fs::read_to_string(setup.folder.path("audit.jsonl")).unwrap_or_default();
    for (name, output) in [("log", sidecar.log()), ("metrics", metrics), ("audit", audit)] {
        for canary in ["CANARY", "token-of-the-deployment"] {
            assert!(!output.contains(canary), "`{canary}` stands in the {name}: {output}");
        }
    }
}
