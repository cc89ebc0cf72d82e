//! Keys, tokens, a provider of keys, and a clock, for tests.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512,
};
use aws_lc_rs::{hmac, rand};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::auth::keys::pace::Pace;
use crate::auth::{Audiences, Auth, IssuerSettings, KeySource, Refusal, Verified};

pub const ISSUER: &str = "https://idp.example/";
pub const AUDIENCE: &str = "feature-server";
/// The moment at which tests ask, in seconds since 1970; tokens of `claims` expire 100 s later.
pub const NOW: u64 = 2_000_000_000;

/// Base64url without padding.
pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for chunk in bytes.as_ref().chunks(3) {
        let at = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for i in 0..=chunk.len() {
            out.push(char::from(LETTERS[(bits >> (18 - 6 * i) & 63) as usize]));
        }
    }
    out
}

/// A key that tests sign with.
pub enum TestKey {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Secret(Vec<u8>),
}

/// Slow to make in a debug build, so made once.
pub static RSA: LazyLock<TestKey> = LazyLock::new(|| TestKey::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()));
/// The key of the issuer of most tests.
pub static P256: LazyLock<TestKey> = LazyLock::new(TestKey::p256);
pub static P384: LazyLock<TestKey> =
    LazyLock::new(|| TestKey::P384(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap()));
pub static ED: LazyLock<TestKey> = LazyLock::new(|| TestKey::Ed(Ed25519KeyPair::generate().unwrap()));

impl TestKey {
    pub fn p256() -> TestKey {
        TestKey::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub fn sign(&self, alg: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            TestKey::Rsa(pair) => {
                let padding: &dyn aws_lc_rs::signature::RsaEncoding = match alg {
                    "RS256" => &RSA_PKCS1_SHA256,
                    "RS384" => &RSA_PKCS1_SHA384,
                    "RS512" => &RSA_PKCS1_SHA512,
                    "PS256" => &RSA_PSS_SHA256,
                    "PS384" => &RSA_PSS_SHA384,
                    "PS512" => &RSA_PSS_SHA512,
                    other => panic!("{other} with an rsa key"),
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut signature).unwrap();
                signature
            }
            TestKey::P256(pair) | TestKey::P384(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            TestKey::Ed(pair) => pair.sign(message).as_ref().to_vec(),
            TestKey::Secret(secret) => {
                let hash = match alg {
                    "HS384" => hmac::HMAC_SHA384,
                    "HS512" => hmac::HMAC_SHA512,
                    _ => hmac::HMAC_SHA256,
                };
                let key = hmac::Key::new(hash, secret);
                hmac::sign(&key, message).as_ref().to_vec()
            }
        }
    }

    /// The public key as a JWK with these members besides.
    pub fn jwk(&self, more: Value) -> Value {
        let curve = |name: &str, point: &[u8]| {
            let (x, y) = point[1..].split_at(point.len() / 2);
            json!({"kty": "EC", "crv": name, "x": b64(x), "y": b64(y)})
        };
        let mut jwk = match self {
            TestKey::Rsa(pair) => {
                let key = pair.public_key();
                let n = key.modulus().big_endian_without_leading_zero();
                let e = key.exponent().big_endian_without_leading_zero();
                json!({"kty": "RSA", "n": b64(n), "e": b64(e)})
            }
            TestKey::P256(pair) => curve("P-256", pair.public_key().as_ref()),
            TestKey::P384(pair) => curve("P-384", pair.public_key().as_ref()),
            TestKey::Ed(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": b64(pair.public_key())})
            }
            TestKey::Secret(secret) => json!({"kty": "oct", "k": b64(secret)}),
        };
        let members = more.as_object().unwrap().clone();
        jwk.as_object_mut().unwrap().extend(members);
        jwk
    }

    /// The public key as a `PUBLIC KEY` section.
    pub fn pem(&self) -> String {
        let der: PublicKeyX509Der<'_> = match self {
            TestKey::Rsa(pair) => pair.public_key().as_der().unwrap(),
            TestKey::P256(pair) | TestKey::P384(pair) => pair.public_key().as_der().unwrap(),
            TestKey::Ed(pair) => pair.public_key().as_der().unwrap(),
            TestKey::Secret(_) => panic!("a secret has no public key"),
        };
        section("PUBLIC KEY", der.as_ref())
    }
}

/// A PEM section (RFC 7468).
pub fn section(label: &str, der: &[u8]) -> String {
    let mut text = b64(der).replace('-', "+").replace('_', "/");
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

/// A JWK set.
pub fn jwks(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

/// Claims that verify at `NOW`, with these in their place or besides; null takes one out.
pub fn claims(changes: Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 100, "iat": NOW, "sub": "canary-subject",
    });
    let members = claims.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => members.remove(name),
            value => members.insert(name.clone(), value.clone()),
        };
    }
    claims
}

/// A token of these two texts, whatever they say, signed with the algorithm `alg`.
pub fn compact(header: &str, payload: &str, alg: &str, key: &TestKey) -> String {
    let signed = format!("{}.{}", b64(header), b64(payload));
    let signature = key.sign(alg, signed.as_bytes());
    format!("{signed}.{}", b64(signature))
}

/// A token with the header that fits, and these members of it besides.
pub fn token_with(header: Value, claims: Value, alg: &str, key: &TestKey) -> String {
    let mut members = json!({"alg": alg, "typ": "at+jwt"});
    let more = header.as_object().unwrap().clone();
    members.as_object_mut().unwrap().extend(more);
    compact(&members.to_string(), &claims.to_string(), alg, key)
}

/// A token signed with `P256` that names it `k1`.
pub fn token(claims: Value) -> String {
    token_with(json!({"kid": "k1"}), claims, "ES256", &P256)
}

/// An issuer with this key source and everything else as it is by default.
pub fn settings(keys: KeySource) -> IssuerSettings {
    IssuerSettings {
        keys_folder: None,
        issuer: ISSUER.into(),
        audiences: Audiences::OneOf(vec!["other".into(), AUDIENCE.into()]),
        algorithms: keys.default_algorithms(),
        keys,
        stale_if_error: Duration::from_secs(24 * 3600),
        leeway: Duration::from_secs(30),
        require: vec![],
        require_typ: None,
    }
}

/// The issuer of most tests: it has `P256` under the name `k1`.
pub fn usual() -> IssuerSettings {
    settings(KeySource::Static(jwks(&[P256.jwk(json!({"kid": "k1"}))]).into()))
}

pub fn auth(settings: IssuerSettings) -> Arc<Auth> {
    Auth::new(vec![settings], 100).unwrap()
}

/// `NOW` and so many milliseconds.
pub fn at(millis: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis((NOW as i64 * 1000 + millis) as u64)
}

/// What an issuer says to a token at `NOW`.
pub async fn ask<'t>(auth: &Auth, token: &'t str) -> Result<Verified<'t>, Refusal> {
    auth.authenticate(token, at(0)).await
}

/// The reason of a refusal, or what else came out.
pub fn reason(answer: Result<Verified<'_>, Refusal>) -> &'static str {
    match answer {
        Ok(_) => "accepted",
        Err(Refusal::Invalid { reason }) => reason,
        Err(Refusal::Missing) => "missing",
        Err(Refusal::Expired) => "expired",
        Err(Refusal::KeysUnavailable { .. }) => "keys unavailable",
    }
}

/// What the issuer of most tests says to a token at `NOW`.
pub async fn refused(token: &str) -> &'static str {
    reason(ask(&auth(usual()), token).await)
}

/// A folder that is gone with the value.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        let mut name = [0; 16];
        rand::fill(&mut name).unwrap();
        let path = std::env::temp_dir().join(format!("tagwarden-{}", b64(name)));
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let path: &Path = &self.0;
        let _ = std::fs::remove_dir_all(path);
    }
}

/// A clock that a test moves.
#[derive(Clone)]
pub struct TestClock {
    start: Instant,
    millis: Arc<AtomicU64>,
}

impl TestClock {
    pub fn new() -> TestClock {
        TestClock { start: Instant::now(), millis: Arc::default() }
    }

    pub fn advance(&self, by: Duration) {
        self.millis.fetch_add(by.as_millis() as u64, Ordering::SeqCst);
    }

    /// The ordinary pace by this clock.
    pub fn pace(&self) -> Pace {
        let clock = self.clone();
        let now = move || clock.start + Duration::from_millis(clock.millis.load(Ordering::SeqCst));
        Pace {
            clock: Arc::new(now),
            // Only a test that hangs gets there.
            deadline: Duration::from_secs(60),
            ..Pace::default()
        }
    }
}

/// A provider of keys, or a judge of tokens, on a loopback port: it counts, fails and waits as a test wants.
pub struct Provider {
    pub url: String,
    hits: Arc<AtomicUsize>,
    paths: Arc<Mutex<BTreeMap<String, usize>>>,
    seen: Arc<Mutex<Vec<(Parts, String)>>>,
    reply: Arc<Mutex<(u16, String)>>,
    /// What is answered on one path alone.
    pages: Arc<Mutex<BTreeMap<String, (u16, String)>>>,
    open: watch::Sender<bool>,
}

impl Provider {
    pub async fn new(body: String) -> Provider {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let provider = Provider {
            url: format!("http://{}/jwks", listener.local_addr().unwrap()),
            hits: Arc::default(),
            paths: Arc::default(),
            seen: Arc::default(),
            reply: Arc::new(Mutex::new((200, body))),
            pages: Arc::default(),
            open: watch::Sender::new(true),
        };
        let (hits, reply) = (Arc::clone(&provider.hits), Arc::clone(&provider.reply));
        let (paths, gate) = (Arc::clone(&provider.paths), provider.open.subscribe());
        let (pages, seen) = (Arc::clone(&provider.pages), Arc::clone(&provider.seen));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (hits, reply) = (Arc::clone(&hits), Arc::clone(&reply));
                let (paths, gate, pages) = (Arc::clone(&paths), gate.clone(), Arc::clone(&pages));
                let seen = Arc::clone(&seen);
                let answer = move |request: Request<Incoming>| {
                    hits.fetch_add(1, Ordering::SeqCst);
                    let path = request.uri().path().to_owned();
                    let page = pages.lock().unwrap().get(&path).cloned();
                    *paths.lock().unwrap().entry(path).or_default() += 1;
                    let (reply, mut gate, seen) = (Arc::clone(&reply), gate.clone(), Arc::clone(&seen));
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await.unwrap().to_bytes();
                        seen.lock().unwrap().push((head, String::from_utf8(body.into()).unwrap()));
                        // Closed when the test is over.
                        let _ = gate.wait_for(|open| *open).await;
                        let (status, body) = page.unwrap_or_else(|| reply.lock().unwrap().clone());
                        let body = Full::new(Bytes::from(body));
                        Ok::<_, Infallible>(Response::builder().status(status).body(body).unwrap())
                    }
                };
                let serve = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service_fn(answer));
                tokio::spawn(serve);
            }
        });
        provider
    }

    pub fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }

    pub fn paths(&self) -> BTreeMap<String, usize> {
        self.paths.lock().unwrap().clone()
    }

    /// The requests, with their bodies.
    pub fn seen(&self) -> Vec<(Parts, String)> {
        self.seen.lock().unwrap().clone()
    }

    pub fn reply(&self, status: u16, body: &str) {
        *self.reply.lock().unwrap() = (status, body.to_owned());
    }

    pub fn page(&self, path: &str, status: u16, body: &str) {
        self.pages.lock().unwrap().insert(path.to_owned(), (status, body.to_owned()));
    }

    /// Answers wait until it is opened again.
    pub fn hold(&self, hold: bool) {
        self.open.send_replace(!hold);
    }

    pub async fn wait_for_hits(&self, hits: usize) {
        until(|| self.hits() >= hits).await;
    }
}

/// Lets everything else run until it is so. The time is only there so that what never comes about fails and does not hang.
pub async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(120), wait).await;
    waited.expect("what was waited for came about");
}
