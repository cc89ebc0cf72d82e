use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use hyper::header::{ACCEPT, HeaderValue};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use super::*;

const LONG: Duration = Duration::from_secs(60);

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

/// Answers each connection with these bytes, whatever is asked, and gives the requests back when it has served them all.
fn serve(answers: Vec<&'static [u8]>) -> (String, thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let requests = move || {
        let answer = |answer: &&[u8]| {
            let (mut stream, _) = listener.accept().unwrap();
            let request = head(&mut stream);
            // The client may have gone, when the answer is too large for it.
            let _ = stream.write_all(answer);
            request
        };
        answers.iter().map(answer).collect()
    };
    (address, thread::spawn(requests))
}

/// What a thread gives back; our side of its connections goes on meanwhile.
async fn joined<T: Send + 'static>(thread: thread::JoinHandle<T>) -> T {
    let join = tokio::task::spawn_blocking(|| thread.join().unwrap());
    join.await.unwrap()
}

fn head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    String::from_utf8(head).unwrap()
}

async fn get(address: &str, max_bytes: usize) -> Result<Answer, FetchError> {
    let url = url(&format!("http://{address}/keys?secret=canary"));
    Client::new().get(&url, HeaderMap::new(), max_bytes, LONG).await
}

#[tokio::test]
async fn an_answer_comes_back_whole() {
    const ANSWER: &[u8] = b"HTTP/1.1 203 Fine\r\nx-a: 1\r\ncontent-length: 5\r\n\r\nhello";
    let (address, requests) = serve(vec![ANSWER]);
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("text/plain"));
    let url = url(&format!("http://{address}/a/b?c=d#e"));
    let answer = Client::new().get(&url, headers, 5, LONG).await.unwrap();
    assert_eq!(answer.status, 203);
    assert_eq!(answer.headers["x-a"], "1");
    assert_eq!(&answer.body[..], b"hello");
    assert_eq!(format!("{answer:?}"), "Answer(203 Non Authoritative Information, 5 bytes)");
    let request = joined(requests).await.remove(0);
    let lines: Vec<&str> = request.lines().collect();
    assert_eq!(lines[0], "GET /a/b?c=d HTTP/1.1");
    assert!(lines.contains(&"accept: text/plain"), "{request}");
    assert!(lines.contains(&format!("host: {address}").as_str()), "{request}");
    assert!(!request.contains("content-"), "{request}");
}

#[test]
fn the_text_of_a_form_is_that_of_the_url_standard() {
    let all: Vec<u8> = (0x20..0x7f).collect();
    let text = "+%21%22%23%24%25%26%27%28%29*%2B%2C-.%2F0123456789%3A%3B%3C%3D%3E%3F%40ABCDEFGHIJKLMNOPQRSTUVWXYZ%5B%5C%5D%5E_\
                %60abcdefghijklmnopqrstuvwxyz%7B%7C%7D%7E";
    assert_eq!(form_text(&all), text);
    assert_eq!(form_text("\0\r\n\u{e4}\u{20ac}".as_bytes()), "%00%0D%0A%C3%A4%E2%82%AC");
    assert_eq!(form_text(&[0xff]), "%FF");
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let (target, _never) = serve(vec![]);
    let answer = format!("HTTP/1.1 302 Found\r\nlocation: http://{target}/\r\ncontent-length: 0\r\n\r\n");
    let (address, requests) = serve(vec![Box::leak(answer.into_boxed_str()).as_bytes()]);
    let answer = get(&address, 10).await.unwrap();
    assert_eq!(answer.status, 302);
    assert_eq!(joined(requests).await.len(), 1);
}

#[tokio::test]
async fn a_body_has_a_cap_declared_or_not() {
    let declared = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhello!";
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n3\r\nlo!\r\n0\r\n\r\n";
    let closed = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello!";
    let answers: Vec<&[u8]> = vec![declared, chunked, closed];
    let (address, served) = serve([answers.clone(), answers].concat());
    for _ in 0..3 {
        assert_eq!(&get(&address, 6).await.unwrap().body[..], b"hello!");
    }
    for _ in 0..3 {
        let error = get(&address, 5).await.unwrap_err();
        let text = format!("the answer of `http://{address}/keys` is larger than 5 bytes");
        assert_eq!(error.to_string(), text);
    }
    joined(served).await;
}

#[tokio::test]
async fn a_body_that_is_declared_too_large_is_not_waited_for() {
    let (address, served) = serve(vec![b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nhell"]);
    let error = get(&address, 5).await.unwrap_err();
    assert_eq!(error.to_string(), format!("the answer of `http://{address}/keys` is larger than 5 bytes"));
    joined(served).await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_none() {
    let short = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhell";
    let garbage = b"SSH-2.0-canary\r\n\r\n";
    let (address, served) = serve(vec![short, garbage]);
    let error = get(&address, 100).await.unwrap_err().to_string();
    let text = format!("the answer of `http://{address}/keys` broke off: ");
    assert!(error.starts_with(&text), "{error}");
    let error = get(&address, 100).await.unwrap_err().to_string();
    let text = format!("`http://{address}/keys` did not answer: ");
    assert!(error.starts_with(&text), "{error}");
    assert!(!error.contains("canary"), "{error}");
    joined(served).await;
    let error = get(&address, 100).await.unwrap_err().to_string();
    assert!(error.contains("Connection refused"), "{error}");
}

#[tokio::test]
async fn the_deadline_covers_the_whole() {
    // Accepts, and says nothing; then says half.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let url = url(&format!("http://{address}/keys?secret=canary"));
    let deadline = Duration::from_millis(50);
    let error = Client::new().get(&url, HeaderMap::new(), 10, deadline).await.unwrap_err();
    let text = format!("`http://{address}/keys` was not fetched within 50 ms");
    assert_eq!(error.to_string(), text);
    let half = thread::spawn(move || {
        let _silent = listener.accept().unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhel";
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(head);
        // Until the client goes, which on a slow machine it has already.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let error = Client::new().get(&url, HeaderMap::new(), 10, deadline).await.unwrap_err();
    assert_eq!(error.to_string(), text);
    joined(half).await;
}

#[test]
fn addresses_are_read_once_and_shown_without_secrets() {
    for (text, shown) in [
        ("http://h", "http://h/"),
        ("https://h:8443/a/b?c=canary#d", "https://h:8443/a/b"),
        ("HTTPS://h/a", "https://h/a"),
        ("http://[::1]:1/a", "http://[::1]:1/a"),
    ] {
        let url = url(text);
        assert_eq!(url.to_string(), shown);
        assert_eq!(format!("{url:?}"), format!("`{shown}`"));
    }
    assert!(url("https://h/").is_https());
    assert!(!url("http://h/").is_https());
    assert_eq!(url("http://h:1/a").host(), "h");
    for (text, why) in [
        ("", "it cannot be read as an address"),
        ("http://", "it cannot be read as an address"),
        ("http://h h/", "it cannot be read as an address"),
        ("h", "it begins with neither `http://` nor `https://`"),
        ("/a", "it begins with neither `http://` nor `https://`"),
        ("file:///etc/passwd", "it cannot be read as an address"),
        ("unix:/run/x.sock", "it cannot be read as an address"),
        ("ftp://h/", "it begins with neither `http://` nor `https://`"),
        ("http://canary@h/", "it carries a user or a password"),
        ("http://u:canary@h/", "it carries a user or a password"),
        ("http://:80/", "its host is empty"),
    ] {
        let error = Url::parse(text).unwrap_err().to_string();
        assert_eq!(error, format!("the address is not usable: {why}"), "{text}");
    }
}

/// A DER value (X.690, 8.1) of under 64 KiB.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let [high, low] = u16::try_from(body.len()).unwrap().to_be_bytes();
    let length = match body.len() {
        0..=127 => vec![low],
        128..=255 => vec![0x81, low],
        _ => vec![0x82, high, low],
    };
    [&[tag][..], &length, &body].concat()
}

/// A certificate of `localhost`, signed by itself (RFC 5280, 4.1).
fn certificate() -> (CertificateDer<'static>, Vec<u8>) {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let spki: aws_lc_rs::encoding::PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
    let signed_with = der(0x30, &[&der(6, &[&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]])]);
    let name = der(0x30, &[&der(0x31, &[&der(0x30, &[&der(6, &[&[0x55, 4, 3]]), &der(12, &[b"test"])])])]);
    let from_to = der(0x30, &[&der(23, &[b"200101000000Z"]), &der(23, &[b"491231235959Z"])]);
    let names = der(4, &[&der(0x30, &[&der(0x82, &[b"localhost"])])]);
    let extension = der(0x30, &[&der(6, &[&[0x55, 0x1d, 17]]), &names]);
    let to_sign = der(
        0x30,
        &[
            &der(0xa0, &[&der(2, &[&[2]])]),
            &der(2, &[&[1]]),
            &signed_with,
            &name,
            &from_to,
            &name,
            spki.as_ref(),
            &der(0xa3, &[&der(0x30, &[&extension])]),
        ],
    );
    let signature = key.sign(&SystemRandom::new(), &to_sign).unwrap();
    let bits = der(3, &[&[0], signature.as_ref()]);
    let whole = der(0x30, &[&to_sign, &signed_with, &bits]);
    let private = key.to_pkcs8v1().unwrap().as_ref().to_vec();
    (CertificateDer::from(whole), private)
}

/// Serves one answer over TLS to each of so many connections; whether each handshake came about.
fn serve_tls(connections: usize) -> (u16, CertificateDer<'static>, thread::JoinHandle<Vec<bool>>) {
    let (certificate, private) = certificate();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], PrivatePkcs8KeyDer::from(private).into())
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let one = move |mut stream: TcpStream| -> bool {
        let mut tls = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        if tls.complete_io(&mut stream).is_err() || tls.is_handshaking() {
            return false;
        }
        let mut tls = rustls::Stream::new(&mut tls, &mut stream);
        head(&mut tls);
        tls.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").and_then(|()| tls.flush()).is_ok()
    };
    let serve = move || (0..connections).map(|_| one(listener.accept().unwrap().0)).collect();
    (port, certificate, thread::spawn(serve))
}

#[tokio::test]
async fn a_server_must_show_a_certificate_of_a_known_root_for_its_name() {
    let (port, certificate, served) = serve_tls(3);
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = Client::with_tls(tls(roots).unwrap());
    let get = async |client: &Client, host: &str| {
        let url = url(&format!("https://{host}:{port}/keys?secret=canary"));
        client.get(&url, HeaderMap::new(), 10, LONG).await
    };
    let answer = get(&client, "localhost").await.unwrap();
    assert_eq!(&answer.body[..], b"ok");
    let error = get(&client, "127.0.0.1").await.unwrap_err().to_string();
    assert!(error.contains("certificate not valid for name"), "{error}");
    let mut others = RootCertStore::empty();
    others.add(self::certificate().0).unwrap();
    let stranger = Client::with_tls(tls(others).unwrap());
    let error = get(&stranger, "localhost").await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("`https://localhost:{port}/keys` did not answer: ")));
    assert!(error.contains("invalid peer certificate"), "{error}");
    assert_eq!(joined(served).await, [true, false, false]);
}

#[tokio::test]
async fn the_roots_wait_for_the_first_https_address() {
    let (address, served) = serve(vec![b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"]);
    let client = Client::with_tls(tls(RootCertStore::empty()).unwrap());
    let plain = url(&format!("http://{address}/"));
    client.get(&plain, HeaderMap::new(), 10, LONG).await.unwrap();
    assert!(!client.tls.initialized());
    let encrypted = url(&format!("https://{address}/"));
    client.get(&encrypted, HeaderMap::new(), 10, LONG).await.unwrap_err();
    assert!(client.tls.initialized());
    joined(served).await;
}

#[derive(Debug, thiserror::Error)]
#[error("outer\nline")]
struct Outer(#[source] Inner);

#[derive(Debug, thiserror::Error)]
#[error("inner {0}")]
struct Inner(String);

#[test]
fn causes_are_joined_on_one_line_and_cut() {
    assert_eq!(reason(&Outer(Inner("x".into()))), "outer line: inner x");
    let long = reason(&Outer(Inner("x".repeat(1000))));
    assert_eq!(long.chars().count(), REASON_CHARS);
}
