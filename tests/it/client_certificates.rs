//! Client certificates: as callers, and as the proof for tokens that are bound to them (RFC 8705).

use rcgen::string::Ia5String;
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, SanType, date_time_ymd};
use rustls::{HandshakeKind, SupportedProtocolVersion, version};
use serde_json::{Value, json};

use crate::support::certificates::{Authority, Leaf};
use crate::support::client::{Answer, H2, Raw};
use crate::support::sidecar::{FINE, POLICY, REFUSED, Setup, Sidecar, cutter, reader};
use crate::support::tls::{BOTH, Client, Connection, Http};
use crate::support::tokens::{AUDIENCE, ISSUER, KEY, now};
use crate::support::until;
use crate::support::upstream::Upstream;

const VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];
const SPIFFE: &str = "spiffe://prod.example/ns/ml/sa/scoring";

fn named(common: &str, names: &[SanType]) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common);
    params.subject_alt_names = names.to_vec();
    params
}

fn uri(text: &str) -> SanType {
    SanType::URI(Ia5String::try_from(text).unwrap())
}

/// The sidecar's authority, that of its clients, and a sidecar with these bindings beside that of readers and cutters.
struct World {
    server: Authority,
    clients: Authority,
    upstream: Upstream,
    sidecar: Sidecar,
}

impl World {
    async fn new(bindings: &str) -> Self {
        let (server, clients) = (Authority::new("ours"), Authority::new("clients"));
        Self::of(server, clients, bindings).await
    }

    async fn of(server: Authority, clients: Authority, bindings: &str) -> Self {
        let upstream = Upstream::start().await;
        let listen = "listen: {address: \"127.0.0.1:0\", tls: {cert: tls.crt, key: tls.key, client_ca: ca.crt}}";
        let policy = POLICY.replace("when: {groups:", &format!("when: {{iss: \"{ISSUER}\", groups:"));
        let policy = policy.replace("features:\n", &format!("{bindings}features:\n"));
        let setup = Setup::new(&upstream).with(listen).policy(&policy);
        let leaf = server.sign("sidecar.example");
        setup.folder.write("tls.crt", &leaf.cert);
        setup.folder.write("tls.key", &leaf.key);
        setup.folder.write("ca.crt", &clients.pem);
        let sidecar = setup.start().await;
        Self { server, clients, upstream, sidecar }
    }

    fn client(&self, leaf: Option<&Leaf>) -> Client {
        Client::new(&self.server, leaf, &version::TLS13)
    }
}

fn by_san() -> String {
    format!("  - {{roles: [reader], when: {{cert.san: \"{SPIFFE}\"}}}}\n")
}

fn authenticate(answer: &Answer) -> &str {
    answer.header("www-authenticate").unwrap()
}

const PLAIN: &str = "Bearer realm=\"tagwarden\"";
const INVALID: &str = "Bearer realm=\"tagwarden\", error=\"invalid_token\"";

#[tokio::test]
async fn a_certificate_is_the_caller_where_no_credential_is_sent() {
    let world = World::new(&by_san()).await;
    let (leaf, other) = (
        world.clients.sign_as(&named("scoring", &[uri("urn:x:other"), uri(SPIFFE)])),
        world.clients.sign_as(&named("nobody", &[uri("spiffe://prod.example/ns/ml/sa/scoring2")])),
    );
    for version in VERSIONS {
        let shown = Client::new(&world.server, Some(&leaf), version);
        let unknown = Client::new(&world.server, Some(&other), version);
        let none = Client::new(&world.server, None, version);
        for http in BOTH {
            assert_eq!(shown.ask(&world.sidecar, http, FINE).await.status, 200, "{version:?} {http:?}");
            shown.ask(&world.sidecar, http, REFUSED).await.fails(403, "FEATURES_REFUSED");
            unknown.ask(&world.sidecar, http, FINE).await.fails(403, "FORBIDDEN");
            let answer = none.ask(&world.sidecar, http, FINE).await;
            answer.fails(401, "UNAUTHORIZED");
            assert_eq!(authenticate(&answer), PLAIN);
            // Clients without one go on as they did.
            assert_eq!(none.bearer(&reader()).ask(&world.sidecar, http, FINE).await.status, 200);
        }
    }
    assert_eq!(world.upstream.count(), 2 * 2 * 2);
    assert_eq!(world.sidecar.metric("tagwarden_tokens_total{result=\"certificate\"}").await, 12.0);
    assert_eq!(world.sidecar.metric("tagwarden_tokens_total{result=\"valid\"}").await, 4.0);
    assert_eq!(world.sidecar.metric("tagwarden_tokens_total{result=\"missing\"}").await, 4.0);
}

#[tokio::test]
async fn a_credential_is_judged_alone_whatever_the_certificate() {
    let world = World::new(&by_san()).await;
    let leaf = world.clients.sign_as(&named("scoring", &[uri(SPIFFE)]));
    let shown = world.client(Some(&leaf));
    for http in BOTH {
        let mut connection = shown.connect(&world.sidecar, http).await;
        assert_eq!(shown.on(&mut connection, FINE).await.status, 200);
        for (header, challenge) in [
            (format!("authorization: Bearer {}x", reader()), INVALID),
            (format!("authorization: Bearer {}", KEY.token_of("a", &["readers"], -3600)), INVALID),
            ("authorization: Bearer ".to_owned(), INVALID),
            ("authorization: Basic eDp5".to_owned(), PLAIN),
            ("x-api-key: tw_k1_x".to_owned(), PLAIN),
            ("x-api-key: ".to_owned(), PLAIN),
            (format!("x-api-key: k\r\nauthorization: Bearer {}", reader()), INVALID),
        ] {
            let answer = shown.with(&header).on(&mut connection, FINE).await;
            assert_eq!((answer.status, authenticate(&answer)), (401, challenge), "{header}");
        }
        // The token of another role: its mode, not the certificate's; of no role: none.
        let cut = shown.bearer(&cutter()).on(&mut connection, REFUSED).await;
        assert_eq!((cut.status, cut.header("x-tagwarden-filtered")), (200, Some("1")));
        shown.bearer(&KEY.token(&[])).on(&mut connection, FINE).await.fails(403, "FORBIDDEN");
        assert_eq!(shown.on(&mut connection, FINE).await.status, 200);
    }
}

#[tokio::test]
async fn bindings_go_by_name_common_name_and_thumbprint() {
    let (server, clients) = (Authority::new("ours"), Authority::new("clients"));
    let leaf = |common: &str, names: &[SanType]| clients.sign_as(&named(common, names));
    let san = |text: &str| Ia5String::try_from(text).unwrap();
    let pinned = leaf("x", &[]);
    let (dns, mail) =
        (leaf("x", &[SanType::DnsName(san("a.example"))]), leaf("x", &[SanType::Rfc822Name(san("a@b.c"))]));
    let (ip, common) = (leaf("x", &[SanType::IpAddress("10.1.2.3".parse().unwrap())]), leaf("batch", &[]));
    let neither = leaf("Batch", &[SanType::DnsName(san("b.a.example"))]);
    // What is named only as a common name is no alternative name, and the other way round.
    let swapped = leaf("a.example", &[SanType::DnsName(san("batch"))]);
    let bindings = format!(
        "  - {{roles: [reader], when: {{cert.san: [a.example, a@b.c, 10.1.2.3]}}}}\n  \
           - {{roles: [reader], when: {{cert.cn: batch}}}}\n  \
           - {{roles: [cutter], when: {{\"cert.x5t#S256\": \"{}\"}}}}\n",
        pinned.thumbprint()
    );
    let world = World::of(server, clients, &bindings).await;
    for leaf in [&dns, &mail, &ip, &common] {
        world.client(Some(leaf)).ask(&world.sidecar, Http::One, REFUSED).await.fails(403, "FEATURES_REFUSED");
    }
    let cut = world.client(Some(&pinned)).ask(&world.sidecar, Http::One, REFUSED).await;
    assert_eq!((cut.status, cut.header("x-tagwarden-filtered")), (200, Some("1")));
    for leaf in [&neither, &swapped] {
        world.client(Some(leaf)).ask(&world.sidecar, Http::One, FINE).await.fails(403, "FORBIDDEN");
    }
    // Each certificate is a caller of its own in the audit.
    let lines = world.sidecar.audit(5).await;
    assert!(lines.iter().all(|line| line["issuer"] == "certificate"), "{lines:?}");
    let mut callers: Vec<&str> = lines.iter().map(|line| line["caller"].as_str().unwrap()).collect();
    let hashed = aws_lc_rs::digest::digest(
        &aws_lc_rs::digest::SHA256,
        format!("certificate\0{}", pinned.thumbprint()).as_bytes(),
    );
    let hex: String = hashed.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(callers.last(), Some(&hex.as_str()));
    callers.sort_unstable();
    callers.dedup();
    assert_eq!(callers.len(), 5);
}

#[tokio::test]
async fn a_certificate_that_does_not_verify_ends_the_handshake() {
    let world = World::new(&by_san()).await;
    let good = named("scoring", &[uri(SPIFFE)]);
    let (mut expired, mut early, mut for_servers) = (good.clone(), good.clone(), good.clone());
    (expired.not_before, expired.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    early.not_before = date_time_ymd(4000, 1, 1);
    for_servers.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let stranger = Authority::new("clients");
    let leaves = [
        world.clients.sign_as(&expired),
        world.clients.sign_as(&early),
        world.clients.sign_as(&for_servers),
        stranger.sign_as(&good),
        world.server.sign_as(&good),
    ];
    for version in VERSIONS {
        for (number, leaf) in leaves.iter().enumerate() {
            let client = Client::new(&world.server, Some(leaf), version);
            assert!(client.is_turned_away(&world.sidecar).await, "{version:?} {number}");
            assert!(client.bearer(&reader()).is_turned_away(&world.sidecar).await, "{version:?} {number}");
        }
        let client = Client::new(&world.server, Some(&world.clients.sign_as(&good)), version);
        assert!(!client.is_turned_away(&world.sidecar).await);
    }
    assert_eq!(world.upstream.seen().iter().filter(|got| got.target() != "/health").count(), 0);
}

#[tokio::test]
async fn a_certificate_with_a_name_that_cannot_be_read_is_no_caller() {
    let (server, clients) = (Authority::new("ours"), Authority::new("clients"));
    let names = [uri(SPIFFE), SanType::DnsName(Ia5String::try_from("a.example\0.evil.example").unwrap())];
    let leaf = clients.sign_as(&named("batch", &names));
    let bindings = format!(
        "{}  - {{roles: [reader], when: {{cert.cn: batch}}}}\n  - {{roles: [reader], when: {{\"cert.x5t#S256\": \"{}\"}}}}\n",
        by_san(),
        leaf.thumbprint()
    );
    let world = World::of(server, clients, &bindings).await;
    let client = world.client(Some(&leaf));
    client.ask(&world.sidecar, Http::One, FINE).await.fails(401, "UNAUTHORIZED");
    // It is the proof for a token all the same: that is the certificate's bytes, not its names.
    let token = bound(&json!({"x5t#S256": leaf.thumbprint()}));
    assert_eq!(client.bearer(&token).ask(&world.sidecar, Http::One, FINE).await.status, 200);
}

/// A reader's token with this `cnf`.
fn bound(cnf: &Value) -> String {
    KEY.sign(
        &json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "c", "groups": ["readers"], "exp": now() + 3600, "cnf": cnf}),
    )
}

#[tokio::test]
async fn a_bound_token_is_good_beside_its_certificate_alone_cached_or_not() {
    let world = World::new("").await;
    let (leaf, other) = (world.clients.sign_as(&named("a", &[])), world.clients.sign_as(&named("a", &[])));
    let (own, wrong, none) = (world.client(Some(&leaf)), world.client(Some(&other)), world.client(None));
    let token = bound(&json!({"x5t#S256": leaf.thumbprint()}));
    let text = none.bearer("a.b.c").ask(&world.sidecar, Http::One, FINE).await.fails(401, "UNAUTHORIZED");
    let refused = async |client: &Client, http: Http, token: &str| {
        let answer = client.bearer(token).ask(&world.sidecar, http, FINE).await;
        assert_eq!(answer.fails(401, "UNAUTHORIZED"), text);
        assert_eq!(authenticate(&answer), INVALID);
    };
    // Before it is cached.
    refused(&none, Http::One, &token).await;
    refused(&wrong, Http::One, &token).await;
    let hits = async || world.sidecar.metric("tagwarden_cache_requests_total{cache=\"token\",result=\"hit\"}").await;
    for http in BOTH {
        assert_eq!(own.bearer(&token).ask(&world.sidecar, http, FINE).await.status, 200);
        assert_eq!(own.bearer(&token).ask(&world.sidecar, http, FINE).await.status, 200);
        let before = hits().await;
        refused(&none, http, &token).await;
        refused(&wrong, http, &token).await;
        assert_eq!(hits().await, before + 2.0, "they were cached");
        assert_eq!(own.bearer(&token).ask(&world.sidecar, http, FINE).await.status, 200);
    }
    // A proof of another kind, or one more, is not understood.
    let thumbprint = leaf.thumbprint();
    for cnf in [
        json!({"jkt": thumbprint}),
        json!({"x5t#S256": thumbprint, "jkt": thumbprint}),
        json!({"x5t#S256": [thumbprint]}),
        json!({"x5t#S256": ""}),
        json!({}),
        json!(null),
        json!(thumbprint),
    ] {
        refused(&own, Http::One, &bound(&cnf)).await;
    }
    // One that is not bound needs no certificate, and is the same beside any.
    for client in [&own, &wrong, &none] {
        assert_eq!(client.bearer(&reader()).ask(&world.sidecar, Http::One, FINE).await.status, 200);
    }
}

#[tokio::test]
async fn no_token_speaks_for_a_certificate() {
    let (server, clients) = (Authority::new("ours"), Authority::new("clients"));
    let leaf = clients.sign_as(&named("batch", &[uri(SPIFFE)]));
    let bindings = format!(
        "{}  - {{roles: [reader], when: {{cert.cn: batch}}}}\n  \
           - {{roles: [reader], when: {{\"cert.x5t#S256\": \"{}\"}}}}\n  \
           - {{roles: [reader], when: {{/cert.cn: batch}}}}\n",
        by_san(),
        leaf.thumbprint()
    );
    let world = World::of(server, clients, &bindings).await;
    let claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "c", "exp": now() + 3600,
        "cert.san": [SPIFFE], "cert.cn": "batch", "cert.x5t#S256": leaf.thumbprint(),
        "cert": {"san": [SPIFFE], "cn": "batch", "x5t#S256": leaf.thumbprint()},
    });
    let token = KEY.sign(&claims);
    for client in [world.client(None), world.client(Some(&leaf))] {
        for http in BOTH {
            client.bearer(&token).ask(&world.sidecar, http, FINE).await.fails(403, "FORBIDDEN");
        }
    }
    // A binding by pointer is one by certificate as well.
    assert_eq!(world.client(Some(&leaf)).ask(&world.sidecar, Http::One, FINE).await.status, 200);
}

#[tokio::test]
async fn headers_that_tell_of_certificates_are_not_read() {
    let world = World::new(&by_san()).await;
    let leaf = world.clients.sign_as(&named("scoring", &[uri(SPIFFE)]));
    let one_line = leaf.cert.replace('\n', "%0A");
    let none = world.client(None);
    let token = bound(&json!({"x5t#S256": leaf.thumbprint()}));
    for header in [
        format!("x-forwarded-client-cert: By=x;Hash=y;Cert=\"{one_line}\";URI={SPIFFE}"),
        format!("x-forwarded-client-cert: URI={SPIFFE}"),
        format!("x-client-cert: {one_line}"),
        format!("x-ssl-client-cert: {one_line}"),
        format!("ssl-client-cert: {one_line}"),
        format!("client-cert: :{}:", leaf.cert.lines().filter(|line| !line.starts_with("--")).collect::<String>()),
        format!("x-client-cert-san: {SPIFFE}"),
    ] {
        for http in BOTH {
            none.with(&header).ask(&world.sidecar, http, FINE).await.fails(401, "UNAUTHORIZED");
            none.bearer(&token).with(&header).ask(&world.sidecar, http, FINE).await.fails(401, "UNAUTHORIZED");
        }
    }
    assert_eq!(world.upstream.count(), 0);
}

#[tokio::test]
async fn resumed_sessions_carry_the_certificate_and_end_with_its_authority() {
    let world = World::new(&by_san()).await;
    let (sidecar, folder) = (&world.sidecar, &world.sidecar.setup.folder);
    let next = Authority::new("next");
    let leaf = world.clients.sign_as(&named("scoring", &[uri(SPIFFE)]));
    let new_leaf = next.sign_as(&named("scoring", &[uri(SPIFFE)]));
    let mut olds = Vec::new();
    for version in VERSIONS {
        let client = Client::new(&world.server, Some(&leaf), version);
        let mut kept = client.connect(sidecar, Http::One).await;
        assert_eq!(client.on(&mut kept, FINE).await.status, 200);
        for http in BOTH {
            // The first with an answer brings sessions to resume.
            assert_eq!(client.ask(sidecar, http, FINE).await.status, 200);
            let stream = client.stream(sidecar, http).await.unwrap();
            assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed), "{version:?} {http:?}");
            let mut resumed = match http {
                Http::One => Connection::One(Box::new(Raw::over(stream))),
                Http::Two => Connection::Two(H2::over(stream).await),
            };
            assert_eq!(client.on(&mut resumed, FINE).await.status, 200);
            let token = client.bearer(&bound(&json!({"x5t#S256": leaf.thumbprint()})));
            assert_eq!(token.on(&mut resumed, FINE).await.status, 200);
        }
        olds.push((client, kept));
    }

    // A file that is no authority's changes nothing.
    folder.write("ca.crt", "none");
    let said = sidecar.until_state("certificates", "stale: ").await;
    assert!(said.ends_with("ca.crt` holds no certificate in PEM form"), "{said}");
    folder.write("ca.crt", format!("{}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", next.pem));
    let said = sidecar.until_state("certificates", "ca.crt` holds what no trust root can be made of").await;
    assert!(said.starts_with("stale: "), "{said}");
    assert_eq!(olds[0].0.anew().ask(sidecar, Http::One, FINE).await.status, 200);

    folder.write("ca.crt", &next.pem);
    sidecar.until_state("certificates", "ok").await;
    for (client, kept) in &mut olds {
        // Neither its sessions nor a new handshake are of use; what is open goes on.
        assert!(client.is_turned_away(sidecar).await);
        assert!(client.anew().is_turned_away(sidecar).await);
        assert_eq!(client.on(kept, FINE).await.status, 200);
    }
    assert_eq!(world.client(Some(&new_leaf)).ask(sidecar, Http::Two, FINE).await.status, 200);

    folder.write("ca.crt", format!("{}{}", world.clients.pem, next.pem));
    until("both authorities", async || (!olds[1].0.anew().is_turned_away(sidecar).await).then_some(())).await;
    assert_eq!(world.client(Some(&new_leaf)).ask(sidecar, Http::One, FINE).await.status, 200);
}

#[tokio::test]
async fn without_an_authority_nobody_is_asked() {
    let (upstream, server, clients) = (Upstream::start().await, Authority::new("ours"), Authority::new("clients"));
    let setup = Setup::new(&upstream).with("listen: {address: \"127.0.0.1:0\", tls: {cert: tls.crt, key: tls.key}}");
    let leaf = server.sign("sidecar.example");
    setup.folder.write("tls.crt", &leaf.cert);
    setup.folder.write("tls.key", &leaf.key);
    let sidecar = setup.policy(&POLICY.replace("features:\n", &format!("{}features:\n", by_san()))).start().await;
    let shown = clients.sign_as(&named("scoring", &[uri(SPIFFE)]));
    let client = Client::new(&server, Some(&shown), &version::TLS13);
    client.ask(&sidecar, Http::One, FINE).await.fails(401, "UNAUTHORIZED");
    let token = bound(&json!({"x5t#S256": shown.thumbprint()}));
    client.bearer(&token).ask(&sidecar, Http::One, FINE).await.fails(401, "UNAUTHORIZED");
}
