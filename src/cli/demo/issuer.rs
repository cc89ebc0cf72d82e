//! The demo's issuer: a key made at start, its public half as a JWK set, and tokens in the form of RFC 9068.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use jsonwebtoken::jwk::{Jwk, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

/// `iss`, as `policies/demo/policy.yaml` binds it. Nobody answers there: the sidecar has the keys in a file.
pub const ISSUER: &str = "https://issuer.demo.example/";
/// `aud`.
pub const AUDIENCE: &str = "feature-server";
/// How long a token holds, in seconds.
const LIFE_SECONDS: u64 = 3600;

/// Somebody who asks.
pub struct Caller {
    /// How the tour calls it; `sub` of its tokens, and the name of its token file.
    pub name: &'static str,
    /// `client_id`.
    pub client: &'static str,
    /// `/realm_access/roles`; empty: no such claim.
    pub groups: &'static [&'static str],
}

/// A service that scores baskets.
pub const FRAUD: Caller = Caller { name: "fraud-svc", client: "fraud-svc", groups: &[] };
/// A service that picks offers.
pub const MARKETING: Caller = Caller { name: "marketing", client: "marketing-web", groups: &[] };
/// A person who looks after customers.
pub const DANA: Caller = Caller { name: "dana", client: "desk-ui", groups: &["customer-desk"] };
/// All of them.
pub const CALLERS: &[&Caller] = &[&FRAUD, &MARKETING, &DANA];

/// The key.
pub struct Issuer {
    key: EncodingKey,
    kid: String,
    /// The public half, as a JWK set (RFC 7517).
    pub jwks: String,
}

impl Issuer {
    /// Makes an ES256 key.
    ///
    /// # Errors
    /// No random bytes, or a key that its own library does not take.
    pub fn new() -> Result<Self, String> {
        let failed = |why: String| format!("no signing key can be made: {why}");
        let pair =
            EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|error| failed(error.to_string()))?;
        let document = pair.to_pkcs8v1().map_err(|error| failed(error.to_string()))?;
        let key = EncodingKey::from_ec_der(document.as_ref());
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).map_err(|error| failed(error.to_string()))?;
        let kid = jwk.thumbprint(ThumbprintHash::SHA256).map_err(|error| failed(error.to_string()))?;
        jwk.common.key_id = Some(kid.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        Ok(Self { key, kid, jwks: json!({"keys": [jwk]}).to_string() })
    }

    /// A token for an hour.
    ///
    /// # Errors
    /// No random bytes, or a signature that fails.
    pub fn token(&self, caller: &Caller) -> Result<String, String> {
        let failed = |why: String| format!("no token can be signed: {why}");
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(self.kid.clone());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut claims = json!({
            "iss": ISSUER,
            "sub": caller.name,
            "client_id": caller.client,
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + LIFE_SECONDS,
            "jti": random_hex()?,
        });
        if let (false, Some(claims)) = (caller.groups.is_empty(), claims.as_object_mut()) {
            claims.insert("realm_access".to_owned(), json!({"roles": caller.groups}));
        }
        jsonwebtoken::encode::<Value>(&header, &claims, &self.key).map_err(|error| failed(error.to_string()))
    }
}

/// 64 random bits in hex.
///
/// # Errors
/// The machine has none.
pub fn random_hex() -> Result<String, String> {
    let mut random = [0u8; 8];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| "the machine gives no random bytes".to_owned())?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}
