//! What chooses the rule of a request: its method and its path, and nothing else that a caller can write.

use super::ROUTES;
use crate::issuer::World;
use crate::support::client::{Answer, H2, request};
use crate::support::sidecar::{FINE, REFUSED, Setup, Sidecar, reader};
use crate::support::upstream::Upstream;

const JSON: &str = "content-type: application/json\r\n";

async fn start(upstream: &Upstream) -> Sidecar {
    Setup::new(upstream).with(ROUTES).start().await
}

fn bearer() -> String {
    format!("authorization: Bearer {}\r\n{JSON}", reader())
}

/// An answer without what differs from one request to the next.
fn same(answer: Answer) -> (u16, Vec<(String, String)>, Vec<u8>) {
    let mut headers = answer.headers;
    headers.retain(|(name, _)| name != "date");
    let id = headers.iter_mut().find(|(name, _)| name == "x-tagwarden-decision-id").map(|(_, id)| std::mem::take(id));
    let body = String::from_utf8(answer.body).unwrap();
    (answer.status, headers, id.map_or(body.clone(), |id| body.replace(&id, "ID")).into())
}

/// GHSA-p224-6x5r-fjpm (Oathkeeper): a rule was chosen by the path as it was written, and the server went on to another.
#[tokio::test]
async fn a_public_path_leads_to_no_other() {
    let upstream = Upstream::start().await;
    let sidecar = start(&upstream).await;
    for path in [
        "/v1/open/../items",
        "/v1/open/./../items",
        "/v1/open/../../get-online-features",
        "/v1/open/%2e%2e/items",
        "/v1/open/.%2E/items",
        "/v1/open/..%2Fitems",
        "/v1/open%2F..%2Fitems",
        "/v1/open/..;/items",
        "/v1/open;/../items",
        "/v1/open//items",
        "/v1/open/",
        "/v1//items",
        "/health/../v1/items",
        "/health/../get-online-features",
        "http://sidecar.example/v1/open/../items",
    ] {
        for method in ["GET", "POST"] {
            sidecar.ask(request(method, path, JSON, FINE)).await.fails(404, "NOT_FOUND");
            sidecar.ask(request(method, path, &bearer(), FINE)).await.fails(404, "NOT_FOUND");
        }
    }
    assert_eq!(upstream.count(), 0);
    assert_eq!(sidecar.ask(request("GET", "/v1/open", "", "")).await.status, 200);
}

/// CVE-2025-54576 (oauth2-proxy): what may go without a token was looked for in path and query together.
#[tokio::test]
async fn a_public_path_in_a_query_string_opens_nothing() {
    let upstream = Upstream::start().await;
    let sidecar = start(&upstream).await;
    let h2 = H2::connect(sidecar.data).await;
    for (path, method) in [("/v1/items", "GET"), ("/v1/items", "POST"), ("/get-online-features", "POST")] {
        for more in ["?/v1/open", "?x=/v1/open", "?/health", "?x=1&/v1/open", "?%2Fv1%2Fopen", "?/../v1/open", "?"] {
            let target = format!("{path}{more}");
            sidecar.ask(request(method, &target, JSON, FINE)).await.fails(401, "UNAUTHORIZED");
            h2.send(method, &target, &[("content-type", "application/json")], FINE).await.fails(401, "UNAUTHORIZED");
            let fragment = target.replacen('?', "#", 1);
            sidecar.ask(request(method, &fragment, JSON, FINE)).await.fails(401, "UNAUTHORIZED");
        }
    }
    for target in ["/nowhere?/v1/open", "/nowhere#/v1/open", "/?/v1/open"] {
        sidecar.ask(request("GET", target, "", "")).await.fails(404, "NOT_FOUND");
    }
    assert_eq!(upstream.count(), 0);
}

/// CVE-2026-40575 and CVE-2026-76835 (oauth2-proxy), CVE-2023-27487 (Envoy): a header said which path was meant.
#[tokio::test]
async fn no_header_says_which_path_is_meant() {
    let upstream = Upstream::start().await;
    let sidecar = start(&upstream).await;
    let h2 = H2::connect(sidecar.data).await;
    for name in [
        "x-forwarded-uri",
        "x-forwarded-path",
        "x-forwarded-prefix",
        "x-forwarded-method",
        "x-auth-request-redirect",
        "x-original-url",
        "x-original-uri",
        "x-original-path",
        "x-rewrite-url",
        "x-envoy-original-path",
        "x-envoy-original-url",
        "x-http-path-override",
        "x-http-method-override",
        "x-waws-unencoded-url",
        "forwarded",
        "location",
        "x_forwarded_uri",
        "x.original.url",
    ] {
        for value in ["/v1/open", "/health", "http://sidecar.example/v1/open", "GET", "path=/v1/open"] {
            let header = format!("{name}: {value}\r\n{JSON}");
            for (method, path) in [("GET", "/v1/items"), ("POST", "/get-online-features")] {
                sidecar.ask(request(method, path, &header, FINE)).await.fails(401, "UNAUTHORIZED");
                h2.send(method, path, &[(name, value)], FINE).await.fails(401, "UNAUTHORIZED");
            }
            let nowhere = request("GET", "/nowhere", &format!("{header}{}", bearer()), "");
            sidecar.ask(nowhere).await.fails(404, "NOT_FOUND");
        }
        let header = format!("{name}: /v1/items\r\n{}", bearer());
        let refused = sidecar.ask(request("POST", "/get-online-features", &header, REFUSED)).await;
        refused.fails(403, "FEATURES_REFUSED");
    }
    assert_eq!(upstream.count(), 0);
}

/// CVE-2026-34457 (oauth2-proxy): who called itself a health check was let in.
#[tokio::test]
async fn no_user_agent_is_let_in() {
    let upstream = Upstream::start().await;
    let sidecar = start(&upstream).await;
    for agent in [
        "GoogleHC/1.0",
        "kube-probe/1.31",
        "ELB-HealthChecker/2.0",
        "Amazon-Route53-Health-Check-Service",
        "Envoy/HC",
        "Prometheus/3.0",
        "tagwarden",
        "",
    ] {
        let header = format!("user-agent: {agent}\r\n{JSON}");
        for (method, path) in [("GET", "/v1/items"), ("POST", "/v1/items"), ("POST", "/get-online-features")] {
            sidecar.ask(request(method, path, &header, FINE)).await.fails(401, "UNAUTHORIZED");
        }
        sidecar.ask(request("GET", "/", &header, "")).await.fails(404, "NOT_FOUND");
    }
    assert_eq!(upstream.count(), 0);
}

/// CVE-2026-73553, CVE-2026-73552 and CVE-2025-46821 (Envoy RBAC): `;params`, bytes beyond ASCII and a `*` in the path passed
/// by a rule that was to refuse them.
#[tokio::test]
async fn parameters_strange_bytes_and_stars_fit_no_rule() {
    let upstream = Upstream::start().await;
    let stars = format!("{ROUTES}\n  - {{path: /v1/*, methods: [GET], public: true}}");
    let sidecar = Setup::new(&upstream).with(&stars).start().await;
    // A star in a route is a star.
    for path in ["/v1/items", "/v1/items;a", "/v1/", "/v1/x", "/v1/*x", "/v1/**", "/*", "/v1/*;", "/v1/%2A"] {
        let status = sidecar.ask(request("GET", path, "", "")).await.status;
        assert_eq!(status, if path == "/v1/items" { 401 } else { 404 }, "{path}");
    }
    for path in ["/v1/open;x=1", "/v1/open;", "/v1;x/open", "/v1/open;/../items", "/v1/items;/open", "/v1/open;?a"] {
        sidecar.ask(request("GET", path, "", "")).await.fails(404, "NOT_FOUND");
    }
    let get = |path: &[u8], headers: &[u8]| {
        [b"GET ".as_slice(), path, b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n", headers, b"\r\n"].concat()
    };
    for byte in (0x80..=0xff).chain([0, 1, 9, 11, 12, 0x7f]) {
        for path in [[b"/v1/open".as_slice(), &[byte]].concat(), [b"/v1/".as_slice(), &[byte], b"open"].concat()] {
            let mut raw = sidecar.raw().await;
            raw.send(get(&path, b"")).await;
            let text = String::from_utf8_lossy(&raw.end().await).into_owned();
            assert!(text.starts_with("HTTP/1.1 400 ") || text.starts_with("HTTP/1.1 404 "), "{byte}: {text}");
        }
        // A value that cannot be read as text is not one that is missing, nor one that is fine.
        let token = reader();
        for value in [
            [b"Bearer ", token.as_bytes(), &[byte]].concat(),
            [b"Bearer ".as_slice(), &[byte], token.as_bytes()].concat(),
        ] {
            // White space around a value is no part of it.
            if byte == 9 && value.ends_with(b"\t") {
                continue;
            }
            let mut raw = sidecar.raw().await;
            raw.send(get(b"/v1/items", &[b"authorization: ", &*value, b"\r\n"].concat())).await;
            let text = String::from_utf8_lossy(&raw.end().await).into_owned();
            assert!(text.starts_with("HTTP/1.1 401 ") || text.starts_with("HTTP/1.1 400 "), "{byte}: {text}");
        }
    }
    assert_eq!(upstream.count(), 0);
    assert_eq!(sidecar.ask(request("GET", "/v1/*", "", "")).await.status, 200);
}

/// GHSA-vhr5-ggp3-qq85 (Oathkeeper), GHSA-3q34-rx83-r6mq and its kin (heimdall): who is asked, from where and by which scheme
/// was taken from headers and from the case of a host.
#[tokio::test]
async fn no_host_or_forwarding_header_changes_a_request() {
    let upstream = Upstream::start().await;
    let sidecar = start(&upstream).await;
    let at = |target: &str, host: &str, more: &str| {
        let text = String::from_utf8(request("POST", target, &format!("{more}{}", bearer()), FINE)).unwrap();
        let line = text.lines().find(|line| line.starts_with("host:")).unwrap().to_owned();
        text.replacen(&line, &format!("host: {host}"), 1)
    };
    let path = "/get-online-features";
    let usual = same(sidecar.ask(at(path, "sidecar.example", "")).await);
    assert_eq!(usual.0, 200);
    let sent = upstream.only();
    let own = upstream.url.strip_prefix("http://").unwrap();
    let variants = [
        (path.to_owned(), "SIDECAR.example", ""),
        (path.to_owned(), "evil.example", ""),
        (path.to_owned(), own, ""),
        (path.to_owned(), "a;c=d,e", ""),
        (format!("http://EVIL.example{path}"), "x", ""),
        (format!("HTTPS://evil.example:1{path}"), "x", ""),
        (path.to_owned(), "x", "x-forwarded-proto: https\r\nx-forwarded-scheme: https\r\nx-scheme: https\r\n"),
        (path.to_owned(), "x", "x-forwarded-proto: http\r\nfront-end-https: on\r\n"),
        (path.to_owned(), "x", "x-forwarded-host: evil.example\r\nx-host: evil.example\r\nx-original-host: a\r\n"),
        (path.to_owned(), "x", "x-forwarded-for: 127.0.0.1\r\nx-real-ip: 127.0.0.1\r\ntrue-client-ip: ::1\r\n"),
        (path.to_owned(), "x", "forwarded: for=127.0.0.1;host=evil.example;proto=https\r\n"),
        (path.to_owned(), "x", "x-forwarded-port: 443\r\nx-forwarded-server: a\r\nvia: 1.1 a\r\n"),
    ];
    for (target, host, more) in variants {
        let answer = same(sidecar.ask(at(&target, host, more)).await);
        assert_eq!(answer, usual, "{target} {host} {more}");
        let got = upstream.seen().pop().unwrap();
        assert_eq!((&got.head, &got.body), (&sent.head, &sent.body), "{target} {host} {more}");
    }
}

/// GHSA-72h4-mxfc-jx37 (heimdall): a made-up `X-Forwarded-For` was the address of a caller.
#[tokio::test]
async fn a_forwarded_address_is_not_the_address_that_failures_are_counted_by() {
    let world = World::start().await;
    let wrong =
        [("grant_type", "client_credentials"), ("client_id", "svc"), ("client_secret", world.secrets.other.expose())];
    let mut statuses = Vec::new();
    // Ten a minute for an address, and a minute may begin among them.
    for number in 0..24 {
        let headers = format!(
            "x-forwarded-for: 10.0.0.{number}\r\nx-real-ip: 10.0.0.{number}\r\nforwarded: for=10.0.0.{number}\r\n\
             true-client-ip: 10.0.0.{number}\r\ncf-connecting-ip: 10.0.0.{number}\r\n"
        );
        statuses.push(world.form_with("/oauth/token", &headers, &wrong).await.status);
    }
    assert!(statuses.contains(&429) && statuses.iter().all(|status| [401, 429].contains(status)), "{statuses:?}");
}

/// GHSA-r9fw-vxmp-hwf2 (heimdall): a body of any length was taken in before anybody asked whose it was.
#[tokio::test]
async fn no_byte_of_a_strangers_body_is_waited_for() {
    let upstream = Upstream::start().await;
    let routes = format!("{ROUTES}\n  - {{path: /push, methods: [POST]}}\n  - {{path: /search, methods: [POST]}}");
    let sidecar = Setup::new(&upstream).with(&routes).start().await;
    for path in ["/get-online-features", "/v1/items", "/push", "/search"] {
        for framing in ["content-length: 8000000", "content-length: 9223372036854775807", "transfer-encoding: chunked"]
        {
            for credential in ["", "authorization: Bearer nonsense\r\n", "x-api-key: tw_k1_nonsense\r\n"] {
                let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\n{credential}{JSON}{framing}\r\n\r\n");
                // Not one byte of the body is sent.
                let mut raw = sidecar.raw().await;
                raw.ask(head).await.fails(401, "UNAUTHORIZED");
            }
        }
    }
    assert_eq!(upstream.count(), 0);
}

/// The same where other servers are spoken for.
#[tokio::test]
async fn nor_is_it_in_front_of_chalk_or_of_a_described_server() {
    let upstream = Upstream::start().await;
    let policy = "version: 1\nroles: {reader: {}}\nbindings: [{roles: [reader], when: {groups: readers}}]\n\
                  features: {user.name: {}}\n";
    let described = "version: 1\nroutes:\n  - path: /v1/record\n    names: \"user.{name}\"\n    request: {outputs: {body: /names/*}}\n\
                     \x20   answer: {shape: records, at: /record/*, names: /name}\n";
    let public = "listen: {address: \"127.0.0.1:0\", public_url: \"http://features.example\"}\nroutes:\n  \
                  - {path: /v1/upload_features, methods: [POST]}\n  - {path: /v1/upload_features/multi, methods: [POST]}";
    for (dialect, section, paths) in [
        (
            "chalk",
            public,
            &[
                "/v1/query/online",
                "/v1/query/feather",
                "/v1/upload_features",
                "/v1/upload_features/multi",
                "/chalk.engine.v1.QueryService/OnlineQuery",
                "/chalk.engine.v1.QueryService/OnlineQueryBulk",
                "/chalk.engine.v1.QueryService/OnlineQueryMulti",
                "/chalk.server.v1.TeamService/GetAgent",
            ][..],
        ),
        ("json", "json: dialect.yaml", &["/v1/record"]),
    ] {
        let mut setup = Setup::new(&upstream).policy(policy).with(section);
        setup.folder.write("dialect.yaml", described);
        setup.upstream = setup.upstream.replace("feast", dialect);
        let sidecar = setup.start().await;
        for path in paths {
            for framing in ["content-length: 8000000", "transfer-encoding: chunked"] {
                for credential in ["", "authorization: Bearer nonsense\r\n"] {
                    let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\n{credential}{JSON}{framing}\r\n\r\n");
                    let mut raw = sidecar.raw().await;
                    let answer = raw.ask(head).await;
                    assert_eq!(answer.status, 401, "{path} {framing}: {answer:?}");
                }
            }
        }
    }
    assert_eq!(upstream.count(), 0);
}

/// CVE-2022-24797 (Pomerium): profiles and metrics stood on the port for everybody.
#[tokio::test]
async fn no_page_for_operators_is_on_the_callers_port() {
    let upstream = Upstream::start().await;
    let sidecar = start(&upstream).await;
    for path in [
        "/metrics",
        "/livez",
        "/readyz",
        "/healthz",
        "/status",
        "/explore",
        "/debug/pprof",
        "/debug/pprof/heap",
        "/debug/vars",
        "/config",
        "/config_dump",
        "/stats",
        "/server_info",
        "/quitquitquit",
        "/reload",
        "/.pomerium",
        "/actuator",
        "/v1/data",
    ] {
        for headers in [JSON.to_owned(), bearer()] {
            for method in ["GET", "POST"] {
                sidecar.ask(request(method, path, &headers, "")).await.fails(404, "NOT_FOUND");
            }
        }
    }
    // Nor is anything of callers on the ports of operators, and neither changes anything.
    for address in [sidecar.metrics, sidecar.admin] {
        for (method, path) in [("POST", "/get-online-features"), ("GET", "/v1/open"), ("POST", "/status")] {
            let answer = crate::support::client::ask(address, request(method, path, &bearer(), FINE)).await;
            assert_eq!(answer.status, if method == "GET" { 404 } else { 405 }, "{path}");
        }
    }
    assert_eq!(upstream.count(), 0);
}
