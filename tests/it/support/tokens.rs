//! An issuer of tokens: a P-256 key, its key set, and what it signs.

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256};
use aws_lc_rs::{hmac, rsa};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

/// `iss` of every token, unless a test says otherwise.
pub const ISSUER: &str = "https://idp.example/";
/// `aud` of every token.
pub const AUDIENCE: &str = "feature-server";

/// The key that the sidecars of most tests trust.
pub static KEY: LazyLock<Key> = LazyLock::new(|| Key::new("k1"));

/// A signing key.
pub struct Key {
    name: String,
    key: EncodingKey,
    public: Vec<u8>,
}

impl Key {
    /// A new one with this `kid`.
    pub fn new(name: &str) -> Self {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap();
        let public = pair.public_key().as_der().unwrap().as_ref().to_vec();
        Self { name: name.to_owned(), key: EncodingKey::from_ec_der(pkcs8.as_ref()), public }
    }

    /// Its public part, as a JWK set.
    pub fn set(&self) -> String {
        let mut jwk = Jwk::from_encoding_key(&self.key, Algorithm::ES256).unwrap();
        jwk.common.key_id = Some(self.name.clone());
        serde_json::to_string(&JwkSet { keys: vec![jwk] }).unwrap()
    }

    /// Its public part, as a SubjectPublicKeyInfo.
    pub fn spki(&self) -> &[u8] {
        &self.public
    }

    /// A token of these two texts, whatever they say, signed by ES256.
    pub fn compact(&self, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
        let signed = format!("{}.{}", b64(header), b64(payload));
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &self.key, Algorithm::ES256).unwrap();
        format!("{signed}.{signature}")
    }

    /// A token with these members in its header besides the usual ones, or in their place.
    pub fn sign_with(&self, header: &Value, claims: &Value) -> String {
        let mut members = json!({"alg": "ES256", "kid": self.name});
        members.as_object_mut().unwrap().extend(header.as_object().unwrap().clone());
        self.compact(members.to_string(), claims.to_string())
    }

    /// A token with these claims and nothing else.
    pub fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.name.clone());
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }

    /// A token of a caller in these groups, good for an hour.
    pub fn token(&self, groups: &[&str]) -> String {
        self.token_of("caller-1", groups, 3600)
    }

    /// A token of a caller by name that ends in so many seconds; below 0 it has ended.
    pub fn token_of(&self, subject: &str, groups: &[&str], ends: i64) -> String {
        self.sign(&json!({"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "groups": groups, "exp": now() + ends}))
    }
}

/// An RSA key, named `rsa`: its pair is slow to make, so there is one.
pub static RSA: LazyLock<Rsa> = LazyLock::new(|| Rsa(rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap()));

/// An RSA key.
pub struct Rsa(rsa::KeyPair);

impl Rsa {
    /// Its public part.
    pub fn jwk(&self) -> Value {
        let key = self.0.public_key();
        let (n, e) = (key.modulus(), key.exponent());
        let number = |bytes: &[u8]| b64(bytes);
        json!({
            "kty": "RSA", "kid": "rsa",
            "n": number(n.big_endian_without_leading_zero()), "e": number(e.big_endian_without_leading_zero()),
        })
    }

    /// Its public part, as a SubjectPublicKeyInfo.
    pub fn spki(&self) -> Vec<u8> {
        self.0.public_key().as_der().unwrap().as_ref().to_vec()
    }

    /// A token signed by RS256.
    pub fn sign(&self, claims: &Value) -> String {
        let header = json!({"alg": "RS256", "kid": "rsa"}).to_string();
        let signed = format!("{}.{}", b64(header), b64(claims.to_string()));
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
        format!("{signed}.{}", b64(signature))
    }
}

/// A token signed by an HMAC with SHA-256, which its header names or not.
pub fn hs256(secret: &[u8], header: &Value, claims: &Value) -> String {
    let signed = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
    format!("{signed}.{}", b64(signature))
}

/// The claims of a reader, with these in their place or besides; null takes one out.
pub fn claims(changes: Value) -> Value {
    let mut claims =
        json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "caller-1", "groups": ["readers"], "exp": now() + 3600});
    let members = claims.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => members.remove(name),
            value => members.insert(name.clone(), value.clone()),
        };
    }
    claims
}

/// Base64url without padding.
pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What base64url without padding says.
pub fn unb64(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// A `PUBLIC KEY` section as OpenSSL writes it.
pub fn pem(spki: &[u8]) -> String {
    let text = STANDARD.encode(spki);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}

/// Seconds since 1970.
pub fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}
