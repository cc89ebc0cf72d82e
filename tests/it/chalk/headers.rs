//! The table of the `X-Chalk-*` headers (wire-chalk.md, section 2.4), row by row, over HTTP and in the metadata of calls.

use serde_json::json;

use super::ask::{Door, Part, VERSIONED, ask};
use super::cases::{Both, Want::Invalid, Want::Sent};
use super::decode::fails;
use super::world::{Chalk, Seen};
use crate::support::client::request;
use crate::support::tokens::KEY;

/// The headers of Chalk's that came upstream, sorted.
fn chalk_headers(seen: &Seen) -> Vec<(String, String)> {
    let headers = seen.head.headers.iter();
    let headers = headers.map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap().to_owned()));
    let mut all: Vec<_> = headers.filter(|(name, _)| name.replace(['_', '.'], "-").starts_with("x-chalk")).collect();
    all.sort();
    all
}

const OURS: (&str, &str) = ("x-chalk-env-id", "prod");

/// What of a header goes upstream besides our environment.
#[tokio::test]
async fn what_passes_and_what_is_left_out() {
    let both = Both::start().await;
    for (group, header, passes) in [
        ("readers", VERSIONED, true),
        ("readers", ("x-chalk-features-versioned", "false"), false),
        ("readers", ("x-chalk-env-id", ""), false),
        ("readers", ("x-chalk-branch-id", ""), false),
        ("readers", ("x-chalk-deployment-type", "engine"), true),
        ("readers", ("x-chalk-deployment-type", "engine-grpc"), true),
        ("readers", ("x-chalk-server", "engine"), true),
        ("readers", ("x-chalk-server", "go-api"), true),
        ("readers", ("x-chalk-trace-id", "t-1"), true),
        ("readers", ("x-chalk-client-id", "somebody else"), false),
        ("readers", ("x-chalk-query-name", "leaky"), false),
        ("switchers", ("x-chalk-branch-id", "b"), true),
        ("switchers", ("x-chalk-preview-deployment", "p"), true),
        ("switchers", ("x-chalk-deployment-tag", "t"), true),
        ("switchers", ("x-chalk-deployment-type", "branch"), true),
    ] {
        for door in Door::ALL {
            let got = door.ask_with(&both.sidecar, group, &[header], &[ask(&["user.name"])]).await;
            assert_eq!(got.fine().fields, ["user.name"], "{door:?} {header:?}");
            let mut want = vec![(OURS.0.to_owned(), OURS.1.to_owned())];
            want.extend(passes.then(|| (header.0.to_owned(), header.1.to_owned())));
            want.sort();
            assert_eq!(chalk_headers(&both.chalk.only()), want, "{door:?} {header:?}");
        }
    }
    for door in Door::ALL {
        door.ask_with(&both.sidecar, "readers", &[OURS], &[ask(&["user.name"])]).await;
        let came = both.chalk.only();
        assert_eq!(chalk_headers(&came), [(OURS.0.to_owned(), OURS.1.to_owned())], "{door:?}");
    }
}

#[tokio::test]
async fn what_is_refused_never_goes_upstream() {
    let both = Both::start().await;
    let switch = "`branch` is not allowed for this caller";
    let plain = |name: &str| format!("the header `{name}` has a value that is not plain");
    let unknown = |name: &str| format!("the header `{name}` is not known");
    for (header, text) in [
        (("x-chalk-branch-id", "b"), switch.to_owned()),
        (("x-chalk-preview-deployment", "p"), switch.to_owned()),
        (("x-chalk-deployment-tag", "t"), switch.to_owned()),
        (("x-chalk-deployment-type", "branch"), switch.to_owned()),
        (("x-chalk-env-id", "dev"), "the environment `dev` is not the one that is served here".to_owned()),
        (("x-chalk-env-id", "PROD"), "the environment `PROD` is not the one that is served here".to_owned()),
        (("x-chalk-env-id", "prod,dev"), plain("x-chalk-env-id")),
        (("x-chalk-trace-id", "a b"), plain("x-chalk-trace-id")),
        (
            ("x-chalk-features-versioned", "1"),
            "the header `x-chalk-features-versioned` is neither `true` nor `false`".to_owned(),
        ),
        (
            ("x-chalk-features-versioned", "True"),
            "the header `x-chalk-features-versioned` is neither `true` nor `false`".to_owned(),
        ),
        (
            ("x-chalk-deployment-type", "other"),
            "the header `x-chalk-deployment-type` has the value `other`, which is not known".to_owned(),
        ),
        (
            ("x-chalk-server", "other"),
            "the header `x-chalk-server` has the value `other`, which is not known".to_owned(),
        ),
        (("x-chalk-permissions", "all"), unknown("x-chalk-permissions")),
        (("x-chalk-", "1"), unknown("x-chalk-")),
        (("x-chalk", "1"), unknown("x-chalk")),
        // Some servers read these as the dashed ones.
        (("x_chalk_branch_id", "b"), unknown("x_chalk_branch_id")),
        (("x.chalk.env.id", "dev"), unknown("x.chalk.env.id")),
        (("x-chalk_env-id", "dev"), unknown("x-chalk_env-id")),
        (("x_chalk_features_versioned", "true"), unknown("x_chalk_features_versioned")),
    ] {
        for door in Door::ALL {
            let got = door.ask_with(&both.sidecar, "readers", &[header], &[ask(&["user.name"])]).await;
            both.check(door, &got, Invalid(&text), &format!("{door:?} {header:?}"));
        }
    }
    for header in [VERSIONED, OURS, ("x-chalk-trace-id", "t"), ("x-chalk-client-id", "c")] {
        for door in Door::ALL {
            let got = door.ask_with(&both.sidecar, "readers", &[header, header], &[ask(&["user.name"])]).await;
            let text = format!("the header `{}` stands twice", header.0);
            both.check(door, &got, Invalid(&text), &format!("{door:?} {header:?}"));
        }
    }
}

/// On routes that pass through, on pings and where credentials are exchanged, they are read as everywhere.
/// Nobody said which environment is here: who names one is not told that it is this one.
#[tokio::test]
async fn without_a_configured_environment_a_query_names_none() {
    let chalk = Chalk::start().await;
    let sidecar = chalk.setup().start().await;
    let both = Both { chalk, sidecar };
    let refused = Invalid("the environment `prod` is named, and none is configured");
    for door in Door::ALL {
        let got = door.ask_with(&both.sidecar, "readers", &[VERSIONED], &[ask(&["user.name"])]).await;
        both.check(door, &got, Sent(&["user.name"], &["user.name"]), "none is named");
        let got = door.ask_with(&both.sidecar, "readers", &[VERSIONED, OURS], &[ask(&["user.name"])]).await;
        both.check(door, &got, refused, "the header");
        let named = ask(&["user.name"]).with(Part::Environment("prod"));
        let got = door.ask_with(&both.sidecar, "readers", &[VERSIONED], &[named]).await;
        both.check(door, &got, refused, "the query");
    }
    // Nothing is put in its place.
    Door::Json.ask_with(&both.sidecar, "readers", &[], &[ask(&["user.name"])]).await;
    assert_eq!(chalk_headers(&both.chalk.only()), []);
}

#[tokio::test]
async fn they_are_read_on_every_other_way_upstream_too() {
    let chalk = Chalk::start().await;
    let routes =
        "routes: [{path: /v1/branches/start, methods: [POST]}, {path: /v1/open, methods: [GET], public: true}]";
    let sidecar = chalk.setup().with("chalk: {environment: prod}").with(routes).start().await;
    let both = Both { chalk, sidecar };
    let ask = async |group: &str, method: &str, path: &str, header: (&str, &str)| {
        let (bearer, (name, value)) = (KEY.token(&[group]), header);
        let headers =
            format!("authorization: Bearer {bearer}\r\ncontent-type: application/json\r\n{name}: {value}\r\n");
        let credentials = json!({"client_id": "c", "client_secret": "s", "grant_type": "client_credentials"});
        let body = if method == "GET" { String::new() } else { credentials.to_string() };
        both.sidecar.ask(request(method, path, &headers, body)).await
    };
    for (method, path) in [("POST", "/v1/branches/start"), ("GET", "/v1/open"), ("POST", "/v1/oauth/token")] {
        let invalid = async |header: (&str, &str)| {
            let answer = ask("readers", method, path, header).await;
            let text = fails(&answer, 400, "INVALID_QUERY", "INVALID_QUERY");
            both.chalk.nothing_came();
            text
        };
        let switch = "`branch` is not allowed for this caller";
        for name in ["x-chalk-branch-id", "x-chalk-preview-deployment", "x-chalk-deployment-tag"] {
            assert_eq!(invalid((name, "b")).await, switch, "{path}");
        }
        let other = "the environment `dev` is not the one that is served here";
        assert_eq!(invalid(("x-chalk-env-id", "dev")).await, other, "{path}");
        assert_eq!(invalid(("x_chalk_env_id", "dev")).await, "the header `x_chalk_env_id` is not known", "{path}");
        // Ours goes where none is named.
        assert_eq!(ask("readers", method, path, ("x-chalk-client-id", "c")).await.status, 200, "{path}");
        let came = both.chalk.only();
        assert_eq!((came.path(), came.header("authorization")), (path, None));
        assert_eq!(chalk_headers(&came), [(OURS.0.to_owned(), OURS.1.to_owned())], "{path}");
    }
    let answer = ask("switchers", "POST", "/v1/branches/start", ("x-chalk-branch-id", "b")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(both.chalk.only().header("x-chalk-branch-id"), Some("b"));
    // Without a token nobody has a switch.
    for (method, path) in [("GET", "/v1/open"), ("POST", "/v1/oauth/token")] {
        let answer = ask("switchers", method, path, ("x-chalk-branch-id", "b")).await;
        fails(&answer, 400, "INVALID_QUERY", "INVALID_QUERY");
    }
    for method in ["/chalk.engine.v1.QueryService/Ping", "/chalk.server.v1.AuthService/GetToken"] {
        let headers = format!(
            "authorization: Bearer {}\r\ncontent-type: application/proto\r\nx-chalk-branch-id: b\r\n",
            KEY.token(&["readers"])
        );
        let answer = both.sidecar.ask(request("POST", method, &headers, "")).await;
        assert_eq!(answer.json()["message"], "`branch` is not allowed for this caller", "{method}");
    }
    both.chalk.nothing_came();
}

#[tokio::test]
async fn credentials_and_identities_never_go_upstream() {
    let both = Both::start().await;
    for door in Door::ALL {
        let spoofed = [
            VERSIONED,
            ("cookie", "c=1"),
            ("x-tagwarden-role", "admin"),
            ("x-forwarded-user", "root"),
            ("x-user-id", "root"),
            ("grpc-metadata-x", "1"),
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ];
        let got = door.ask_with(&both.sidecar, "readers", &spoofed, &[ask(&["user.name"])]).await;
        assert_eq!(got.fine().fields, ["user.name"], "{door:?}");
        let came = both.chalk.only();
        for (name, _) in &spoofed[1..6] {
            assert_eq!(came.header(name), None, "{door:?}");
        }
        assert_eq!(came.header("authorization"), None);
        assert!(came.header("traceparent").is_some());
    }
    // The token of our own, where there is one; or the caller's, where it is said so.
    for (setting, own) in
        [("authorization: {bearer_file: own}", Some("Bearer own-token")), ("authorization: forward", None)]
    {
        let setup = both.chalk.setup().with("chalk: {environment: prod}").upstream_with(setting);
        setup.folder.write("own", "own-token");
        let sidecar = setup.start().await;
        for door in Door::ALL {
            let got = door.ask(&sidecar, "readers", &ask(&["user.name"])).await;
            assert_eq!(got.fine().fields, ["user.name"], "{door:?}");
            let came = both.chalk.only();
            let sent = came.header("authorization").unwrap();
            assert!(own.map_or(sent.starts_with("Bearer ey"), |own| sent == own), "{door:?}: {sent}");
        }
    }
    let want = Sent(&["user.name"], &["user.name"]);
    both.case("readers", ask(&["user.name"]), want).await;
}
