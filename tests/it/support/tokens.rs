//! An issuer of tokens: a P-256 key, its key set, and what it signs.

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
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
}

impl Key {
    /// A new one with this `kid`.
    pub fn new(name: &str) -> Self {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        Self { name: name.to_owned(), key: EncodingKey::from_ec_der(pkcs8.as_ref()) }
    }

    /// Its public part, as a JWK set.
    pub fn set(&self) -> String {
        let mut jwk = Jwk::from_encoding_key(&self.key, Algorithm::ES256).unwrap();
        jwk.common.key_id = Some(self.name.clone());
        serde_json::to_string(&JwkSet { keys: vec![jwk] }).unwrap()
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

/// Seconds since 1970.
pub fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}
