//! Tokens verified, and known ones looked up.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaEncoding,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde_json::{Map, Value, json};
use tagwarden::auth::{
    Audiences, Auth, Credential, IssuerSettings, KeySource, Memo, Refusal, Verified, credential, subject_of,
};
use tagwarden::diagnostic::SourceFile;
use tagwarden::policy::{self, Policy};

use super::Case;

const ISSUER: &str = "https://idp.example/";
const NOW: u64 = 1_800_000_000;
/// Bindings of the policy that new tokens are held against.
const BINDINGS: usize = 1000;

/// The signature of a message.
type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

struct Key {
    algorithm: &'static str,
    jwk: Value,
    sign: Sign,
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn rsa() -> Key {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let public = pair.public_key();
    let n = public.modulus().big_endian_without_leading_zero();
    let e = public.exponent().big_endian_without_leading_zero();
    let jwk = json!({"kty": "RSA", "kid": "RS256", "n": b64(n), "e": b64(e)});
    let sign = move |message: &[u8]| {
        let mut signature = vec![0; pair.public_modulus_len()];
        let padding: &dyn RsaEncoding = &RSA_PKCS1_SHA256;
        pair.sign(padding, &SystemRandom::new(), message, &mut signature).unwrap();
        signature
    };
    Key { algorithm: "RS256", jwk, sign: Box::new(sign) }
}

fn p256() -> Key {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = pair.public_key().as_ref();
    // 4, then both coordinates (X9.62).
    let (x, y) = point.split_at(33);
    let x = x.strip_prefix(&[4]).unwrap();
    let jwk = json!({"kty": "EC", "crv": "P-256", "kid": "ES256", "x": b64(x), "y": b64(y)});
    let sign = move |message: &[u8]| pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec();
    Key { algorithm: "ES256", jwk, sign: Box::new(sign) }
}

/// As identity providers write them: ten claims.
fn token(key: &Key, number: usize) -> String {
    let signed = unsigned(key, number);
    let signature = (key.sign)(signed.as_bytes());
    format!("{signed}.{}", b64(signature))
}

/// What of it is signed.
fn unsigned(key: &Key, number: usize) -> String {
    let header = json!({"alg": key.algorithm, "typ": "at+jwt", "kid": key.algorithm});
    let claims = json!({
        "iss": ISSUER, "aud": "https://features.example/", "exp": NOW + 3600, "iat": NOW, "nbf": NOW,
        "sub": format!("user-{number}@example.com"), "jti": format!("{number:032x}"), "client_id": "fraud-svc",
        "scope": "features:read features:list", "groups": ["scoring", "readers", "everybody"],
    });
    format!("{}.{}", b64(header.to_string()), b64(claims.to_string()))
}

fn auth(keys: &[&Key], entries: u64) -> Arc<Auth> {
    let set: Vec<&Value> = keys.iter().map(|key| &key.jwk).collect();
    let source = KeySource::Static(json!({ "keys": set }).to_string().into());
    let settings = IssuerSettings {
        keys_folder: None,
        issuer: ISSUER.to_owned(),
        audiences: Audiences::OneOf(vec!["https://features.example/".to_owned()]),
        algorithms: source.default_algorithms(),
        keys: source,
        stale_if_error: Duration::ZERO,
        leeway: Duration::from_secs(30),
        require: Vec::new(),
        require_typ: None,
    };
    Auth::new(vec![settings], entries).unwrap()
}

/// A policy with a binding for each of many issuers.
fn bound() -> Policy {
    let bindings: Vec<Value> = (0..BINDINGS)
        .map(|number| json!({"roles": ["reader"], "when": {"iss": format!("https://idp-{number}.example/")}}))
        .chain([json!({"roles": ["reader"], "when": {"iss": ISSUER, "groups": "readers"}})])
        .collect();
    let text = json!({"version": 1, "roles": {"reader": {}}, "bindings": bindings}).to_string();
    let (policy, report) = policy::load(&[Arc::new(SourceFile { name: "policy.yaml".into(), text })], &[]);
    assert!(!report.has_errors(), "{report}");
    policy.unwrap()
}

fn headers(token: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [("host", "features.example"), ("accept", "*/*"), ("content-type", "application/json")] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
    headers
}

/// Nothing here waits for anybody.
fn authenticated<'h>(auth: &Auth, headers: &'h HeaderMap) -> Result<Verified<'h>, Refusal> {
    let Credential::Bearer(token) = credential(headers)? else { return Err(Refusal::Missing) };
    let now: SystemTime = UNIX_EPOCH + Duration::from_secs(NOW);
    let asked = pin!(auth.authenticate_within(token, 16 << 10, now, None));
    match asked.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => Err(Refusal::KeysUnavailable { retry_after: Duration::ZERO }),
    }
}

fn memo(policy: &Policy, claims: &Map<String, Value>) -> Memo {
    let audit = subject_of(claims).unwrap_or_default().into();
    Memo { generation: 1, roles: policy.roles_of(claims).into(), shadow: None, audit }
}

/// Resident memory of this process, in bytes. Linux alone says so.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

/// Prints what remembered tokens take of memory, with their memos, and what forged ones add to that.
pub fn memory() {
    const REMEMBERED: usize = 100_000;
    const FORGED: usize = 1_000_000;
    let (rsa, p256) = (rsa(), p256());
    let auth = auth(&[&rsa, &p256], REMEMBERED as u64);
    let roles: Arc<[u16]> = Arc::from([0]);
    let remember = |number| {
        let (headers, roles) = (headers(&token(&p256, number)), Arc::clone(&roles));
        let audit = |claims: &Map<String, Value>| json!({"subject": subject_of(claims), "issuer": ISSUER}).to_string();
        let memo =
            |claims: &Map<String, Value>| Memo { generation: 1, roles, shadow: None, audit: audit(claims).into() };
        authenticated(&auth, &headers).unwrap().caller(1, memo);
    };
    remember(0);
    let rest = resident();
    (1..REMEMBERED).for_each(remember);
    let (full, entries) = (resident(), auth.cache_status().entries);
    println!("{entries} tokens: {} bytes each", (full - rest) / entries);
    let signature = b64((rsa.sign)(b"something else"));
    for number in 0..FORGED {
        let headers = headers(&format!("{}.{signature}", unsigned(&rsa, number)));
        assert!(matches!(authenticated(&auth, &headers), Err(Refusal::Invalid { reason: "signature wrong" })));
    }
    assert_eq!(auth.cache_status().entries, entries);
    println!("{FORGED} forged tokens: {} KiB more in all", resident().saturating_sub(full) / 1024);
}

pub fn cases() -> Vec<Case> {
    let (rsa, p256, policy) = (rsa(), p256(), Arc::new(bound()));
    let case = |name: &str, key: &Key, entries: u64, others: usize| {
        let auth = auth(&[&rsa, &p256], entries);
        for number in 0..others {
            authenticated(&auth, &headers(&token(key, number))).unwrap();
        }
        let (headers, policy) = (headers(&token(key, others)), Arc::clone(&policy));
        Case::new(name, move || {
            let caller = authenticated(&auth, &headers).unwrap().caller(1, |claims| memo(&policy, claims));
            assert_eq!(caller.memo().roles.len(), 1);
        })
    };
    let mut cases = vec![
        case("tokens/known", &p256, 10_000, 0),
        case("tokens/known-of-1000", &p256, 10_000, 1000),
        case("tokens/new-rs256", &rsa, 0, 0),
        case("tokens/new-es256", &p256, 0, 0),
    ];
    let forged = |key: &Key| {
        let mut token = token(key, 0).into_bytes();
        let byte = token.iter_mut().rev().nth(19).unwrap();
        *byte = if *byte == b'A' { b'B' } else { b'A' };
        headers(&String::from_utf8(token).unwrap())
    };
    let (auth, headers) = (auth(&[&rsa, &p256], 10_000), forged(&p256));
    cases.push(Case::new("tokens/garbage-signature", move || {
        assert!(matches!(authenticated(&auth, &headers), Err(Refusal::Invalid { reason: "signature wrong" })));
    }));
    cases
}
