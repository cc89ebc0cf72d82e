//! Ways round the rules by path and header, and that they are none (wire-feast.md, section 2; config.md, Credentials).

use std::collections::BTreeSet;

use crate::support::client::{H2, request};
use crate::support::sidecar::{FINE, FINE_UPSTREAM, Setup, Sidecar, reader};
use crate::support::tokens::KEY;
use crate::support::upstream::{Act, Recorded, Upstream};

const ROUTES: &str = "\
routes:
  - {path: /v1/items, methods: [GET, POST]}
  - {path: /v1/open, methods: [GET], public: true}";

fn bearer() -> String {
    format!("authorization: Bearer {}\r\ncontent-type: application/json\r\n", reader())
}

#[tokio::test]
async fn another_spelling_of_a_route_is_not_that_route() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with(ROUTES).start().await;
    for path in [
        "/get%2Donline%2Dfeatures",
        "/%67et-online-features",
        "/get-online-features%2F",
        "/get-online-features%00",
        "/get-online-features%20",
        "/get-online-features%3Fx=1",
        "/get-online-features/",
        "/get-online-features//",
        "//get-online-features",
        "/./get-online-features",
        "/x/../get-online-features",
        "/get-online-features/.",
        "/get-online-features/..",
        "/health/../get-online-features",
        "/%2e/get-online-features",
        "/GET-ONLINE-FEATURES",
        "/Get-Online-Features",
        "/get-online-features;x=1",
        "/get-online-features;",
        "/;/get-online-features",
        "/get-online-features*",
        "/get-online-features:8080",
        "/v1%2Fitems",
        "/v1/./items",
        "/v1//items",
        "/v1/items/../items",
        "/v1/open/../items",
        "/V1/items",
        "/v1/items;a=b",
        "http://sidecar.example//get-online-features",
        "http://sidecar.example/x/../get-online-features",
        "http://sidecar.example/get%2Donline%2Dfeatures",
    ] {
        sidecar.ask(request("POST", path, &bearer(), FINE)).await.fails(404, "NOT_FOUND");
    }
    // Not even a target, for some: those answers come from the HTTP library, bare.
    for path in ["/get-online-features\\", "\\get-online-features", "/v1\\items", "/v1/items\u{e9}", "*", "x:443"] {
        let status = sidecar.ask(request("POST", path, &bearer(), FINE)).await.status;
        assert!(status == 400 || status == 404, "{path}: {status}");
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn what_is_not_on_the_list_of_routes_is_not_there() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with(ROUTES).start().await;
    let h2 = H2::connect(sidecar.data).await;
    for path in [
        "/",
        "/search",
        "/retrieve-online-documents",
        "/v1/vector_stores",
        "/v1/vector_stores/1/search",
        "/push",
        "/write-to-online-store",
        "/materialize",
        "/materialize-incremental",
        "/docs",
        "/docs/oauth2-redirect",
        "/redoc",
        "/openapi.json",
        "/chat",
        "/ws/chat",
        "/static/index.html",
        "/mcp",
        "/metrics",
        "/livez",
        "/readyz",
        "/status",
        "/explore",
        "/v1/oauth/token",
        "/.well-known/jwks.json",
        "/v1",
    ] {
        for method in ["GET", "POST"] {
            sidecar.ask(request(method, path, &bearer(), FINE)).await.fails(404, "NOT_FOUND");
            let token = format!("Bearer {}", reader());
            h2.send(method, path, &[("authorization", &token)], FINE).await.fails(404, "NOT_FOUND");
        }
    }
    assert_eq!(upstream.count(), 0);
    for address in [sidecar.metrics, sidecar.admin] {
        let answer = crate::support::client::ask(address, request("GET", "/health", "", "")).await;
        assert_eq!((answer.status, answer.text()), (404, "not found\n"));
    }
}

#[tokio::test]
async fn a_query_string_a_fragment_or_another_host_in_the_target_changes_nothing_and_goes_no_further() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with(ROUTES).start().await;
    let own_host = upstream.url.strip_prefix("http://").map(str::to_owned);
    for target in [
        "/get-online-features",
        "/get-online-features?full_feature_names=true&x=../../push",
        "/get-online-features#/../health",
        "/get-online-features?x#y",
        "http://elsewhere.example/get-online-features",
        "http://elsewhere.example:99/get-online-features?a=b",
        "https://elsewhere.example/get-online-features",
    ] {
        let before = upstream.count();
        let answer = sidecar.ask(request("POST", target, &bearer(), FINE)).await;
        assert_eq!(answer.status, 200, "{target}: {answer:?}");
        let got = &upstream.seen()[before];
        assert_eq!((got.line(), got.text()), ("POST /get-online-features HTTP/1.1", FINE_UPSTREAM), "{target}");
        assert_eq!(got.header("host"), own_host, "{target}");
    }
    for (target, passed) in [
        ("/v1/open?a=b#/v1/items", "/v1/open?a=b"),
        ("/v1/open#?a=b", "/v1/open"),
        ("http://elsewhere.example/v1/open?a=/../b", "/v1/open?a=/../b"),
    ] {
        let before = upstream.count();
        assert_eq!(sidecar.ask(request("GET", target, "", "")).await.status, 200, "{target}");
        let got = &upstream.seen()[before];
        assert_eq!((got.target(), got.header("host")), (passed, own_host.clone()), "{target}");
    }
}

/// Headers with which servers and proxies are told who or what a request is, or how it is to be taken.
const IDENTITY: &[&str] = &[
    "Cookie",
    "X-Forwarded-User",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Uri",
    "X-Forwarded-Email",
    "X-Forwarded-Access-Token",
    "Forwarded",
    "X-Real-IP",
    "X-Auth-User",
    "X-Auth-Request-User",
    "x_auth_user",
    "X.Auth.User",
    "X_Forwarded_User",
    "X-Remote-User",
    "Remote-User",
    "X-User-Id",
    "X-Original-URL",
    "X-Original-URI",
    "X-Rewrite-URL",
    "X-Original-Method",
    "X-HTTP-Method",
    "X-HTTP-Method-Override",
    "X-Method-Override",
    "X-Envoy-Original-Path",
    "X-Tagwarden-Role",
    "X-Tagwarden-Decision-Id",
    "X-Tagwarden-Filtered",
    "Proxy-Authorization",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Keep-Alive",
    "Upgrade",
    "HTTP2-Settings",
    "Range",
    "If-None-Match",
    "Accept-Encoding",
    "Origin",
    "Referer",
    "X-SSL-Client-Cert",
    "Impersonate-User",
];

fn beyond_the_known(got: &Recorded) -> Vec<String> {
    let known = ["host", "accept", "content-type", "content-length", "user-agent", "traceparent", "x-size"];
    got.headers().into_iter().map(|(name, _)| name).filter(|name| !known.contains(&name.as_str())).collect()
}

#[tokio::test]
async fn identity_headers_of_the_caller_never_go_upstream_on_any_route() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with(ROUTES).start().await;
    let spoofed: String = IDENTITY.iter().map(|name| format!("{name}: admin\r\n")).collect();
    let usual =
        "user-agent: feast\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nx-size: 9\r\n";
    let plain = format!("{spoofed}{usual}");
    let with_token = format!("{plain}{}", bearer());
    for bytes in [
        request("POST", "/get-online-features", &with_token, FINE),
        request("POST", "/v1/items", &with_token, "{}"),
        request("GET", "/v1/open", &plain, ""),
        request("GET", "/health", &plain, ""),
    ] {
        let before = upstream.count();
        let answer = sidecar.ask(bytes).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let got = &upstream.seen()[before];
        assert_eq!(beyond_the_known(got), Vec::<String>::new(), "{got:?}");
        assert_eq!((got.header("x-size").as_deref(), got.header("user-agent").as_deref()), (Some("9"), Some("feast")));
        assert!(!got.head.contains("admin"), "{got:?}");
        assert_ne!(answer.decision_id(), "admin");
    }
}

#[tokio::test]
async fn identity_headers_do_not_go_upstream_over_http2_either() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with(ROUTES).start().await;
    let hop = ["TE", "Trailer", "Keep-Alive", "Upgrade", "Proxy-Connection", "HTTP2-Settings"];
    let token = format!("Bearer {}", reader());
    let names: Vec<String> =
        IDENTITY.iter().filter(|name| !hop.contains(name)).map(|name| name.to_lowercase()).collect();
    let mut headers: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "admin")).collect();
    headers.extend([("authorization", token.as_str()), ("x-size", "9"), ("content-type", "application/json")]);
    let answer = H2::connect(sidecar.data).await.send("POST", "/v1/items", &headers, "{}").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let got = upstream.only();
    assert_eq!((beyond_the_known(&got), got.header("x-size").as_deref()), (Vec::new(), Some("9")));
}

#[tokio::test]
async fn headers_that_connection_lists_end_here_and_change_nothing_else() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    let listed = "connection: X-Secret-Size, keep-alive\r\nconnection: traceparent , authorization,content-type\r\n";
    let headers = format!("{listed}x-secret-size: 9\r\ntraceparent: 00\r\nx-size: 1\r\n{}", bearer());
    let answer = sidecar.ask(request("POST", "/get-online-features", &headers, FINE)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let got = upstream.only();
    assert_eq!(beyond_the_known(&got), Vec::<String>::new());
    assert_eq!((got.header("traceparent"), got.header("x-size").as_deref()), (None, Some("1")));
}

#[tokio::test]
async fn what_the_upstream_says_about_callers_hops_and_us_does_not_come_back() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with(ROUTES).start().await;
    let headers = "connection: x-hop, keep-alive\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nset-cookie: session=1\r\n\
        set-cookie: other=2\r\nx-tagwarden-decision-id: 00000000000000000000000000000000\r\n\
        x-tagwarden-filtered: 7\r\nx-tagwarden-role: admin\r\nlocation: http://elsewhere.example/\r\n\
        www-authenticate: Basic\r\nproxy-authenticate: Basic\r\nalt-svc: h2=\":1\"\r\netag: \"1\"\r\n\
        last-modified: Thu, 01 Jan 1970 00:00:00 GMT\r\naccept-ranges: bytes\r\ncontent-md5: x\r\ndigest: x\r\n\
        x-kept: 1\r\ncontent-type: application/json\r\n";
    let body = r#"{"results":[{"values":[1]},{"values":[44]},{"values":["de"]}],
        "metadata":{"feature_names":["customer_id","customer__age","customer__country"]}}"#;
    upstream.turns_to(Act::answer("200 OK", headers, body));
    for bytes in [request("POST", "/get-online-features", &bearer(), FINE), request("GET", "/v1/open", "", "")] {
        let answer = sidecar.ask(bytes).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let names: BTreeSet<&str> = answer.headers.iter().map(|(name, _)| name.as_str()).collect();
        let expected = ["content-length", "content-type", "date", "x-kept", "x-tagwarden-decision-id"];
        assert_eq!(names, expected.into_iter().collect::<BTreeSet<_>>());
        assert_ne!(answer.decision_id(), "00000000000000000000000000000000");
    }
}

#[tokio::test]
async fn redirects_are_neither_followed_nor_passed_on() {
    let elsewhere = Upstream::start().await;
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with(ROUTES).start().await;
    for status in [
        "300 Multiple Choices",
        "301 Moved",
        "302 Found",
        "303 See Other",
        "304 Not Modified",
        "307 Temporary",
        "308 Permanent",
    ] {
        let headers = format!("location: {}/get-online-features\r\ncontent-type: application/json\r\n", elsewhere.url);
        // A 304 has no body, whatever its length says.
        let body = if status.starts_with("304") { "" } else { "{}" };
        upstream.turns_to(Act::answer(status, &headers, body));
        for bytes in [
            request("POST", "/get-online-features", &bearer(), FINE),
            request("GET", "/v1/open", "", ""),
            request("GET", "/health", "", ""),
        ] {
            let answer = sidecar.ask(bytes).await;
            answer.fails(502, "UPSTREAM_FAILED");
            assert!(answer.header("location").is_none() && !answer.text().contains("http"), "{answer:?}");
        }
    }
    assert_eq!((elsewhere.count(), upstream.count()), (0, 21));
}

#[tokio::test]
async fn a_method_is_what_the_request_line_says() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).with(ROUTES).start().await;
    let headers = format!("x-http-method-override: POST\r\nx-method-override: POST\r\n{}", bearer());
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "post", "Post", "POSTX", "PROPFIND"] {
        let mut raw = sidecar.raw().await;
        raw.send(request(method, "/get-online-features?_method=POST", &format!("{headers}connection: close\r\n"), ""))
            .await;
        let text = String::from_utf8(raw.end().await).unwrap().to_lowercase();
        assert!(text.starts_with("http/1.1 405 ") && text.contains("\r\nallow: post\r\n"), "{method}: {text}");
    }
    assert_eq!(upstream.count(), 0);
    let token = KEY.token(&["readers"]);
    assert_eq!(sidecar.query(&token, FINE).await.status, 200);
}
