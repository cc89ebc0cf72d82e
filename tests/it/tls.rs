//! TLS on both sides: the listener's certificate and its reload, and whom the sidecar takes for the upstream.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::certificates::{Authority, Leaf};
use crate::support::client::{H2, Raw, query};
use crate::support::sidecar::{FINE, FINE_UPSTREAM, Setup, Sidecar, reader};
use crate::support::until;
use crate::support::upstream::Upstream;

/// A TLS connection of a client that trusts this authority and offers these protocols.
async fn connect(sidecar: &Sidecar, authority: &Authority, alpn: &[&[u8]]) -> std::io::Result<TlsStream<TcpStream>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(authority.roots()).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let stream = TcpStream::connect(sidecar.data).await?;
    stream.set_nodelay(true)?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("sidecar.example").unwrap(), stream).await
}

fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

fn listening(upstream: &Upstream, leaf: &Leaf) -> Setup {
    let setup = Setup::new(upstream).with("listen: {address: \"127.0.0.1:0\", tls: {cert: tls.crt, key: tls.key}}");
    setup.folder.write("tls.crt", &leaf.cert);
    setup.folder.write("tls.key", &leaf.key);
    setup
}

#[tokio::test]
async fn the_protocol_is_agreed_on_and_both_are_served() {
    let (upstream, authority) = (Upstream::start().await, Authority::new("ours"));
    let sidecar = listening(&upstream, &authority.sign("sidecar.example")).start().await;
    for alpn in [&[][..], &[b"http/1.1".as_slice()]] {
        let stream = connect(&sidecar, &authority, alpn).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), alpn.first().copied());
        assert_eq!(Raw::over(stream).ask(query(&reader(), FINE)).await.status, 200);
    }
    let stream = connect(&sidecar, &authority, &[b"h2", b"http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    assert_eq!(H2::over(stream).await.query(&reader(), FINE).await.status, 200);
    assert!(upstream.seen().iter().all(|got| got.text() == FINE_UPSTREAM) && upstream.count() == 3);
    assert!(connect(&sidecar, &authority, &[b"spdy/3"]).await.is_err());
    // In the clear nothing is served.
    let mut raw = sidecar.raw().await;
    raw.send(query(&reader(), FINE)).await;
    assert!(!String::from_utf8_lossy(&raw.end().await).contains("HTTP/"));
    assert_eq!(upstream.count(), 3);
}

#[tokio::test]
async fn half_a_handshake_ends() {
    let (upstream, authority) = (Upstream::start().await, Authority::new("ours"));
    let limits = "limits: {first_byte_timeout: 300ms, header_timeout: 1h, idle_timeout: 1h}";
    let sidecar = listening(&upstream, &authority.sign("sidecar.example")).with(limits).start().await;
    for begin in [&b""[..], b"\x16\x03\x01\x02\x00\x01\x00\x01"] {
        let mut raw = sidecar.raw().await;
        raw.send(begin).await;
        assert_eq!(raw.end().await, b"");
    }
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_new_connections_and_a_broken_one_to_none() {
    let (upstream, authority) = (Upstream::start().await, Authority::new("ours"));
    let (first, second) = (authority.sign("sidecar.example"), authority.sign("sidecar.example"));
    let sidecar = listening(&upstream, &first).start().await;
    let old = connect(&sidecar, &authority, &[]).await.unwrap();
    assert_eq!(shown(&old), first.der());
    let mut kept = Raw::over(old);
    assert_eq!(kept.ask(query(&reader(), FINE)).await.status, 200);

    // Half of the new pair does not go with the other half of the old one.
    sidecar.setup.folder.write("tls.crt", &second.cert);
    let said = sidecar.until_state("certificates", "stale: ").await;
    assert!(said.contains("the certificate and its key cannot be used"), "{said}");
    assert_eq!(shown(&connect(&sidecar, &authority, &[]).await.unwrap()), first.der());
    assert_eq!(sidecar.metric("tagwarden_snapshot_stale{kind=\"certificates\"}").await, 1.0);
    sidecar.setup.folder.write("tls.key", &second.key);
    sidecar.until_state("certificates", "ok").await;
    assert_eq!(shown(&connect(&sidecar, &authority, &[]).await.unwrap()), second.der());
    // The old connection goes on.
    assert_eq!(kept.ask(query(&reader(), FINE)).await.status, 200);

    sidecar.setup.folder.write("tls.key", "no key");
    let said = sidecar.until_state("certificates", "stale: ").await;
    assert!(said.ends_with("tls.key` holds no private key in PEM form"), "{said}");
    assert_eq!(shown(&connect(&sidecar, &authority, &[]).await.unwrap()), second.der());
}

#[tokio::test]
async fn only_the_upstream_that_is_meant_is_spoken_to() {
    let (authority, stranger) = (Authority::new("theirs"), Authority::new("nobody's"));
    let upstream = Upstream::tls(authority.sign("localhost").server(None)).await;
    let other_name = Upstream::tls(authority.sign("feast.internal").server(None)).await;
    let with = async |upstream: &Upstream, ca: &Authority, more: &str| {
        let setup = Setup::new(upstream).upstream_with(&format!("tls: {{ca: ca.crt{more}}}"));
        setup.folder.write("ca.crt", &ca.pem);
        setup.start().await.query(&reader(), FINE).await
    };
    assert_eq!(with(&upstream, &authority, "").await.status, 200);
    assert_eq!(upstream.only().text(), FINE_UPSTREAM);
    with(&upstream, &stranger, "").await.fails(502, "UPSTREAM_FAILED");
    with(&other_name, &authority, "").await.fails(502, "UPSTREAM_FAILED");
    with(&upstream, &authority, ", server_name: feast.internal").await.fails(502, "UPSTREAM_FAILED");
    assert_eq!((upstream.count(), other_name.count()), (1, 0));
    assert_eq!(with(&other_name, &authority, ", server_name: feast.internal").await.status, 200);
    // The machine's own roots do not know this authority.
    let sidecar = Setup::new(&upstream).upstream_with("tls: {server_name: localhost}").start().await;
    sidecar.query(&reader(), FINE).await.fails(502, "UPSTREAM_FAILED");
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn an_upstream_that_asks_for_a_certificate_gets_ours() {
    let authority = Authority::new("theirs");
    let upstream = Upstream::tls(authority.sign("localhost").server(Some(&authority))).await;
    let ours = authority.sign("sidecar.example");
    let start = async |more: &str| {
        let setup = Setup::new(&upstream).upstream_with(&format!("tls: {{ca: ca.crt{more}}}"));
        setup.folder.write("ca.crt", &authority.pem);
        setup.folder.write("c.crt", &ours.cert);
        setup.folder.write("c.key", &ours.key);
        setup.start().await
    };
    start("").await.query(&reader(), FINE).await.fails(502, "UPSTREAM_FAILED");
    assert_eq!(upstream.count(), 0);
    let sidecar = start(", cert: c.crt, key: c.key").await;
    for _ in 0..3 {
        assert_eq!(sidecar.query(&reader(), FINE).await.status, 200);
    }
    until("one connection for all", async || (upstream.count() == 3).then_some(())).await;
}
