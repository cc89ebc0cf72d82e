//! Each door of the data listener behind TLS 1.2 and 1.3, over HTTP/1.1 and HTTP/2; connections over a reload; upstreams whose
//! certificates or versions are not what they should be; and that nothing turns verification off.

use std::collections::BTreeSet;

use rcgen::{CertificateParams, date_time_ymd};
use rustls::version::{TLS12, TLS13};
use rustls::{ProtocolVersion, ServerConfig, SupportedProtocolVersion};
use serde_json::Value;

use crate::support::certificates::{Authority, Leaf};
use crate::support::client::{Answer, H2, Raw, request};
use crate::support::process::run;
use crate::support::sidecar::{FINE, FINE_UPSTREAM, REFUSED, Setup, Sidecar, reader};
use crate::support::tls::{BOTH, Client, Connection, Http};
use crate::support::upstream::{Act, Upstream};
use crate::support::{repository, until};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

const DOORS: &str = "routes: [{path: /v1/items, methods: [GET, POST]}, {path: /v1/open, methods: [GET], public: true}, \
                     {path: /push, methods: [POST]}, {path: /GrpcFeatureServer/GetOnlineFeatures, methods: [POST]}]";

fn listening(upstream: &Upstream, leaf: &Leaf) -> Setup {
    let setup = Setup::new(upstream).with("listen: {address: \"127.0.0.1:0\", tls: {cert: tls.crt, key: tls.key}}");
    setup.folder.write("tls.crt", &leaf.cert);
    setup.folder.write("tls.key", &leaf.key);
    setup
}

/// Any request on a connection that is there.
async fn on(connection: &mut Connection, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    match connection {
        Connection::One(raw) => raw.ask(request(method, path, headers, body)).await,
        Connection::Two(h2) => {
            let headers: Vec<(&str, &str)> = headers.lines().filter_map(|line| line.split_once(": ")).collect();
            h2.send(method, path, &headers, body).await
        }
    }
}

#[tokio::test]
async fn every_door_is_the_same_behind_tls_in_both_versions_and_protocols() {
    let (upstream, authority) = (Upstream::start().await, Authority::new("ours"));
    let sidecar = listening(&upstream, &authority.sign("sidecar.example")).with(DOORS).start().await;
    let json = "content-type: application/json\r\n";
    let bearer = format!("{json}authorization: Bearer {}\r\n", reader());
    let push = r#"{"push_source_name":"s","df":{"a":[1]}}"#;
    for version in VERSIONS {
        for http in BOTH {
            let client = Client::new(&authority, None, version);
            let stream = client.stream(&sidecar, http).await.unwrap();
            let (_, tls) = stream.get_ref();
            let alpn: &[u8] = if http == Http::Two { b"h2" } else { b"http/1.1" };
            assert_eq!((tls.protocol_version(), tls.alpn_protocol()), (Some(version.version), Some(alpn)));
            let mut connection = match http {
                Http::One => Connection::One(Box::new(Raw::over(stream))),
                Http::Two => Connection::Two(H2::over(stream).await),
            };
            let before = upstream.count();
            // Doors that answer by themselves or refuse; nothing goes upstream.
            for (method, path, headers, body, status, code) in [
                ("POST", "/get-online-features", json, FINE, 401, "UNAUTHORIZED"),
                ("POST", "/get-online-features", &bearer, REFUSED, 403, "FEATURES_REFUSED"),
                ("POST", "/get-online-features", &bearer, "{", 400, "INVALID_QUERY"),
                ("GET", "/get-online-features", &bearer, "", 405, "METHOD_NOT_ALLOWED"),
                ("GET", "/v1/items", "", "", 401, "UNAUTHORIZED"),
                ("POST", "/push", json, push, 401, "UNAUTHORIZED"),
                ("GET", "/nowhere", &bearer, "", 404, "NOT_FOUND"),
                ("GET", "/readyz", &bearer, "", 404, "NOT_FOUND"),
                ("POST", "/oauth/token", json, "{}", 404, "NOT_FOUND"),
            ] {
                let answer = on(&mut connection, method, path, headers, body).await;
                assert_eq!(answer.status, status, "{version:?} {http:?} {method} {path}: {answer:?}");
                answer.fails(status, code);
            }
            let call = "/GrpcFeatureServer/GetOnlineFeatures";
            let answer =
                on(&mut connection, "POST", call, "content-type: application/grpc\r\nte: trailers\r\n", "").await;
            match http {
                // UNAUTHENTICATED
                Http::Two => assert_eq!((answer.status, grpc_status(&answer)), (200, Some("16"))),
                Http::One => assert!((400..600).contains(&answer.status), "{answer:?}"),
            }
            assert_eq!(upstream.count(), before, "{version:?} {http:?}");
            // Those that go upstream, and what goes there.
            for (method, path, headers, body, sent) in [
                ("POST", "/get-online-features", bearer.as_str(), FINE, FINE_UPSTREAM),
                ("GET", "/v1/items?page=2", &bearer, "", ""),
                ("POST", "/v1/items", &bearer, "{}", "{}"),
                ("GET", "/v1/open", "", "", ""),
                ("GET", "/health", "", "", ""),
            ] {
                let answer = on(&mut connection, method, path, headers, body).await;
                assert_eq!(answer.status, 200, "{version:?} {http:?} {method} {path}: {answer:?}");
                let got = upstream.seen().pop().unwrap();
                assert_eq!((got.line(), got.text()), (format!("{method} {path} HTTP/1.1").as_str(), sent));
                assert_eq!(got.header("authorization"), None);
            }
            assert_eq!(upstream.count(), before + 5);
        }
    }
}

fn grpc_status(answer: &Answer) -> Option<&str> {
    answer.header("grpc-status").or(answer.trailer("grpc-status"))
}

#[tokio::test]
async fn connections_go_on_over_a_reload_and_new_ones_see_the_new_certificate() {
    let (upstream, authority) = (Upstream::start().await, Authority::new("ours"));
    let (first, second) = (authority.sign("sidecar.example"), authority.sign("sidecar.example"));
    let sidecar = listening(&upstream, &first).start().await;
    let token = reader();
    let mut kept = Vec::new();
    for version in VERSIONS {
        for http in BOTH {
            let client = Client::new(&authority, None, version).bearer(&token);
            let mut connection = client.connect(&sidecar, http).await;
            assert_eq!(client.on(&mut connection, FINE).await.status, 200);
            kept.push((client, connection, http));
        }
    }
    // The same content again is no reload.
    sidecar.setup.folder.write("tls.crt", &first.cert);
    swap(&sidecar, &second).await;
    assert_eq!(sidecar.metric("tagwarden_reloads_total{kind=\"certificates\",result=\"ok\"}").await, 1.0);
    for (client, connection, http) in &mut kept {
        // Old connections go on; a session of before is not resumed under the new certificate.
        assert_eq!(client.on(connection, FINE).await.status, 200);
        let stream = client.stream(&sidecar, *http).await.unwrap();
        assert_eq!(stream.get_ref().1.peer_certificates().unwrap()[0], second.der());
        assert_eq!(client.on(connection, FINE).await.status, 200);
    }
    sidecar.until_metric("tagwarden_connections{listener=\"data\"}", 4.0).await;
    assert_eq!(upstream.count(), 12);
}

/// Puts another pair in the place of the one that is there, and waits until it is shown.
async fn swap(sidecar: &Sidecar, to: &Leaf) {
    sidecar.setup.folder.write("tls.key", &to.key);
    sidecar.setup.folder.write("tls.crt", &to.cert);
    sidecar.until_metric("tagwarden_reloads_total{kind=\"certificates\",result=\"ok\"}", 1.0).await;
    sidecar.until_state("certificates", "ok").await;
}

#[tokio::test]
async fn a_pair_that_is_half_written_or_does_not_go_together_is_refused_and_the_old_one_goes_on() {
    let (upstream, authority) = (Upstream::start().await, Authority::new("ours"));
    let (first, second) = (authority.sign("sidecar.example"), authority.sign("sidecar.example"));
    let sidecar = listening(&upstream, &first).start().await;
    let client = Client::new(&authority, None, &TLS13).bearer(&reader());
    let chain = format!("{}{}", first.cert, authority.pem);
    let half = |text: &str| text[..text.len() / 2].to_owned();
    let cut = &chain[..first.cert.len() + authority.pem.len() / 2];
    for (file, text, said) in [
        // The certificate is whole, and what it is signed by is not: nobody could verify it.
        ("tls.crt", cut.to_owned(), "tls.crt` breaks off, or is not in PEM form throughout"),
        ("tls.crt", half(&first.cert), "tls.crt` breaks off, or is not in PEM form throughout"),
        ("tls.crt", String::new(), "tls.crt` holds no certificate in PEM form"),
        ("tls.crt", second.cert.clone(), "the certificate and its key cannot be used"),
        ("tls.key", half(&first.key), "tls.key` holds no private key in PEM form"),
        ("tls.key", String::new(), "tls.key` holds no private key in PEM form"),
        ("tls.key", second.key.clone(), "the certificate and its key cannot be used"),
    ] {
        sidecar.setup.folder.write(file, &text);
        let told = sidecar.until_state("certificates", said).await;
        assert!(!told.contains("BEGIN"), "{told}");
        let stream = client.stream(&sidecar, Http::One).await.unwrap();
        assert_eq!(stream.get_ref().1.peer_certificates().unwrap(), first.chain(), "{file} {said}");
        assert_eq!(Raw::over(stream).ask(request("GET", "/health", "", "")).await.status, 200);
        sidecar.setup.folder.write("tls.crt", &first.cert);
        sidecar.setup.folder.write("tls.key", &first.key);
        sidecar.until_state("certificates", "ok").await;
    }
    sidecar.setup.folder.write("tls.crt", &chain);
    until("the whole chain", async || {
        let stream = client.stream(&sidecar, Http::One).await.unwrap();
        (stream.get_ref().1.peer_certificates().unwrap().len() == 2).then_some(())
    })
    .await;
}

/// A server of one version of TLS.
fn of_version(leaf: &Leaf, version: &'static SupportedProtocolVersion) -> ServerConfig {
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
    builder.with_no_client_auth().with_single_cert(leaf.chain(), leaf.private()).unwrap()
}

#[tokio::test]
async fn an_upstream_whose_certificate_is_not_good_is_sent_nothing() {
    let (authority, stranger) = (Authority::new("theirs"), Authority::new("nobody's"));
    let localhost = || CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let (mut expired, mut early, mut other) = (localhost(), localhost(), localhost());
    (expired.not_before, expired.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    early.not_before = date_time_ymd(4000, 1, 1);
    other.subject_alt_names = CertificateParams::new(vec!["other.example".to_owned()]).unwrap().subject_alt_names;
    let leaves = [
        ("expired", authority.sign_as(&expired)),
        ("not valid yet", authority.sign_as(&early)),
        ("of another name", authority.sign_as(&other)),
        ("of an unknown authority", stranger.sign_as(&localhost())),
    ];
    for version in VERSIONS {
        for (what, leaf) in &leaves {
            let upstream = Upstream::tls(of_version(leaf, version)).await;
            let setup = Setup::new(&upstream).upstream_with("tls: {ca: ca.crt}").with(DOORS);
            setup.folder.write("ca.crt", &authority.pem);
            let sidecar = setup.start().await;
            sidecar.query(&reader(), FINE).await.fails(502, "UPSTREAM_FAILED");
            sidecar.ask(request("GET", "/v1/open", "", "")).await.fails(502, "UPSTREAM_FAILED");
            sidecar.ask(request("GET", "/health", "", "")).await.fails(502, "UPSTREAM_FAILED");
            assert_eq!((upstream.count(), upstream.connections()), (0, 0), "{what} {version:?}");
            let failed = sidecar.metric("tagwarden_upstream_errors_total{kind=\"connect\"}").await;
            assert_eq!(failed, 3.0, "{what} {version:?}");
        }
        let upstream = Upstream::tls(of_version(&authority.sign("localhost"), version)).await;
        let setup = Setup::new(&upstream).upstream_with("tls: {ca: ca.crt}");
        setup.folder.write("ca.crt", &authority.pem);
        assert_eq!(setup.start().await.query(&reader(), FINE).await.status, 200, "{version:?}");
        assert_eq!(upstream.only().text(), FINE_UPSTREAM);
    }
    assert_eq!(VERSIONS.map(|version| version.version), [ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3]);
}

#[tokio::test]
async fn an_authority_of_the_upstream_that_is_replaced_ends_connections_under_the_old_one() {
    let (authority, next) = (Authority::new("theirs"), Authority::new("next"));
    let upstream = Upstream::tls(authority.sign("localhost").server(None)).await;
    let setup = Setup::new(&upstream).upstream_with("tls: {ca: ca.crt}");
    setup.folder.write("ca.crt", &authority.pem);
    let sidecar = setup.start().await;
    assert_eq!(sidecar.query(&reader(), FINE).await.status, 200);
    // Half of a file is none, and the old one goes on.
    sidecar.setup.folder.write("ca.crt", format!("{}{}", next.pem, &authority.pem[..authority.pem.len() / 2]));
    sidecar.until_state("upstream", "ca.crt` breaks off, or is not in PEM form throughout").await;
    assert_eq!(sidecar.query(&reader(), FINE).await.status, 200);
    assert_eq!(upstream.connections(), 1);
    // Its server is not one of the new authority's; the connection that is open is of no use any more.
    sidecar.setup.folder.write("ca.crt", &next.pem);
    sidecar.until_status(&reader(), FINE, 502).await;
    let before = upstream.count();
    sidecar.query(&reader(), FINE).await.fails(502, "UPSTREAM_FAILED");
    assert_eq!(upstream.count(), before);
    sidecar.setup.folder.write("ca.crt", &authority.pem);
    sidecar.until_status(&reader(), FINE, 200).await;
}

/// Every name of a member, at any depth.
fn members(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(all) => {
            for (name, value) in all {
                if let ("properties", Value::Object(properties)) = (name.as_str(), value) {
                    found.extend(properties.keys().cloned());
                }
                members(value, found);
            }
        }
        Value::Array(all) => all.iter().for_each(|value| members(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

const SUSPECT: [&str; 12] = [
    "insecure",
    "verify",
    "verification",
    "skip",
    "unsafe",
    "danger",
    "trust",
    "accept_invalid",
    "self_signed",
    "check_host",
    "no_tls",
    "allow_invalid",
];

fn suspects<'n>(names: impl IntoIterator<Item = &'n str>) -> Vec<&'n str> {
    let plain = |name: &str| name.trim_start_matches('-').replace('-', "_").to_lowercase();
    names.into_iter().filter(|name| SUSPECT.iter().any(|suspect| plain(name).contains(suspect))).collect()
}

#[test]
fn no_option_turns_verification_off() {
    // The configuration has no such member,
    let (code, schema, _) = run(["schema", "config"]);
    assert_eq!(code, 0);
    let mut names = BTreeSet::new();
    members(&serde_json::from_str(&schema).unwrap(), &mut names);
    assert!(names.len() > 80 && names.contains("client_ca") && names.contains("server_name"), "{names:?}");
    assert_eq!(suspects(names.iter().map(String::as_str)), Vec::<&str>::new());
    assert_eq!(suspects(["tls_insecure_skip", "--no-verify", "ca"]).len(), 2);
    // and whoever tries one is told that there is none.
    for tls in [
        "insecure: true",
        "verify: false",
        "skip_verify: true",
        "danger_accept_invalid_certs: true",
        "ca: null, check: none",
    ] {
        let setup = Setup::at("https://localhost:9").upstream_with(&format!("tls: {{{tls}}}"));
        let config = setup.write();
        let (code, _, said) = run(["serve".into(), "--config".into(), config.into_os_string()]);
        assert!(code == 3 && said.contains("error[unknown-key]"), "{tls}: {code} {said}");
    }
    // No command has such a flag. `audit verify` is a command, and of a log.
    let (mut commands, mut seen) = (vec![Vec::<String>::new()], 0);
    while let Some(command) = commands.pop() {
        let mut arguments = command.clone();
        arguments.push("--help".to_owned());
        let (code, help, said) = run(&arguments);
        assert_eq!(code, 0, "{command:?}: {said}");
        seen += 1;
        let flags = help.split(|c: char| c.is_whitespace() || ",[]=".contains(c)).filter(|word| word.starts_with("--"));
        assert_eq!(suspects(flags), Vec::<&str>::new(), "{command:?}");
        let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
        let names = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        for name in names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help") {
            commands.push([command.clone(), vec![name.to_owned()]].concat());
        }
    }
    assert!(seen > 20, "{seen}");
    // And no code of ours takes a verifier of its own.
    let mut folders = vec![repository("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = std::fs::read_to_string(&path).unwrap();
                let own =
                    ["dangerous()", "ServerCertVerifier", "ClientCertVerifier", "with_custom_certificate_verifier"];
                let found: Vec<_> =
                    own.iter().filter(|own| text.replace("WebPkiClientVerifier", "").contains(**own)).collect();
                assert!(found.is_empty(), "{path:?}: {found:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_connection_that_agrees_on_http2_and_says_nothing_ends() {
    let (upstream, authority) = (Upstream::always(Act::Feast).await, Authority::new("ours"));
    let limits = "limits: {first_byte_timeout: 1h, header_timeout: 1h, body_timeout: 1h, idle_timeout: 300ms}";
    let sidecar = listening(&upstream, &authority.sign("sidecar.example")).with(limits).start().await;
    let client = Client::new(&authority, None, &TLS13);
    for begin in [&b""[..], b"PRI * HTTP/2.0\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut raw = Raw::over(client.stream(&sidecar, Http::Two).await.unwrap());
        raw.send(begin).await;
        raw.end().await;
        sidecar.until_metric("tagwarden_connections{listener=\"data\"}", 0.0).await;
    }
}
