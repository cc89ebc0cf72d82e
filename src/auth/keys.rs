//! The keys that an issuer signs with, read from a JWK set, a PEM file or a secret file, ready to verify with.
//!
//! A key is a list of (algorithm, verifier) from the start: which algorithms a key may serve is settled when it is read, from
//! its type, its curve and what the operator allows, and never by a token (RFC 8725, 3.1 and 3.2). The verifiers are those of
//! `aws-lc-rs`, parsed once; a key that is no point of its curve or no sound modulus is refused then, not at the first token.

use std::fmt;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{PublicEncryptingKey, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, VerificationAlgorithm,
};
use aws_lc_rs::{digest, hmac};
use jsonwebtoken::Algorithm;
use rustls::pki_types::pem::{PemObject, SectionKind};
use serde_json::{Map, Value};

use super::verify::base64url;
use crate::json::strict_object;

pub(super) mod pace;
pub(super) mod provider;
pub(super) mod source;
#[cfg(test)]
mod tests;

/// More keys than this in one set is no set of an issuer's. Bounds what a look-up walks.
const MAX_KEYS: usize = 256;
/// How many keys one token is tried with. Bounds what a token without `kid` costs.
const MAX_TRIES: usize = 8;
/// RFC 7518, 3.2 asks for the size of the hash; this is that of HS256, and the floor for all. In bytes.
const MIN_SECRET: usize = 32;
/// RFC 7518, 3.3 gives the lower; `aws-lc-rs` verifies up to the upper. In bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// An algorithm and how `aws-lc-rs` calls it.
type Scheme = (Algorithm, &'static dyn VerificationAlgorithm);

const RSA: [Scheme; 6] = [
    (Algorithm::RS256, &RSA_PKCS1_2048_8192_SHA256),
    (Algorithm::RS384, &RSA_PKCS1_2048_8192_SHA384),
    (Algorithm::RS512, &RSA_PKCS1_2048_8192_SHA512),
    (Algorithm::PS256, &RSA_PSS_2048_8192_SHA256),
    (Algorithm::PS384, &RSA_PSS_2048_8192_SHA384),
    (Algorithm::PS512, &RSA_PSS_2048_8192_SHA512),
];
const P256: [Scheme; 1] = [(Algorithm::ES256, &ECDSA_P256_SHA256_FIXED)];
const P384: [Scheme; 1] = [(Algorithm::ES384, &ECDSA_P384_SHA384_FIXED)];
const EDWARDS: [Scheme; 1] = [(Algorithm::EdDSA, &ED25519)];
const SECRET: [(Algorithm, hmac::Algorithm); 3] = [
    (Algorithm::HS256, hmac::HMAC_SHA256),
    (Algorithm::HS384, hmac::HMAC_SHA384),
    (Algorithm::HS512, hmac::HMAC_SHA512),
];

/// Why a text gives no keys. No variant holds anything of the text but a position or a count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not JSON, not an object, or a member stands twice.
    #[error("it is not a json object with every member once")]
    NotJson,
    /// Not a JWK set (RFC 7517, 5).
    #[error("it has no array `keys`")]
    NotASet,
    /// More than 256 keys.
    #[error("it has {found} keys, more than {MAX_KEYS}")]
    TooMany {
        /// How many.
        found: usize,
    },
    /// Every key was passed over, or there is none.
    #[error("it has no key that can be used: {why}")]
    NoneUsable {
        /// What is wrong with the first one.
        why: &'static str,
    },
    /// A PEM section that is not in order.
    #[error("its pem text cannot be read")]
    Pem,
    /// A section that is no public key.
    #[error("its section {section} is not a `PUBLIC KEY`")]
    NotPublic {
        /// Counted from 1.
        section: usize,
    },
    /// A public key that is not accepted.
    #[error("its key {section} cannot be used: {why}")]
    BadPem {
        /// Counted from 1.
        section: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A secret under 32 bytes.
    #[error("its secret is shorter than {MIN_SECRET} bytes")]
    ShortSecret,
}

/// The keys of one issuer, as they were read at one time.
pub(super) struct KeySet {
    keys: Vec<Key>,
    /// Equal for equal key material, names and uses, in whatever order; tells a rotation from a repeated answer.
    pub(super) digest: [u8; 32],
}

struct Key {
    kid: Option<Box<str>>,
    verifiers: Vec<(Algorithm, Verifier)>,
    digest: [u8; 32],
}

enum Verifier {
    Public(ParsedPublicKey),
    Secret(Box<hmac::Key>),
}

/// What a key set says to a signature.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Match {
    /// A key verifies it.
    Verified,
    /// The key that the token names is here, and it does not.
    Wrong,
    /// No key of that name is here for that algorithm, and none without a name verifies it: a newer set may have it.
    Unknown,
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeySet({} keys)", self.keys.len())
    }
}

impl KeySet {
    /// Reads a JWK set (RFC 7517). Keys that are not for us are passed over, as section 5 has it: another type, curve or use,
    /// a symmetric one (a published secret is none), one that serves none of `allowed`.
    pub(super) fn from_jwks(text: &[u8], allowed: &[Algorithm]) -> Result<KeySet, KeyError> {
        let set = strict_object(text).ok_or(KeyError::NotJson)?;
        let Some(Value::Array(list)) = set.get("keys") else {
            return Err(KeyError::NotASet);
        };
        if list.len() > MAX_KEYS {
            return Err(KeyError::TooMany { found: list.len() });
        }
        let mut keys = Vec::with_capacity(list.len());
        let mut first = None;
        for (at, jwk) in list.iter().enumerate() {
            match Key::from_jwk(jwk, allowed) {
                Ok(key) => keys.push(key),
                Err(why) => {
                    tracing::debug!(key = at + 1, why, "a key of the set is passed over");
                    first = first.or(Some(why));
                }
            }
        }
        KeySet::of(keys, first.unwrap_or("the list is empty"))
    }

    /// Reads `PUBLIC KEY` sections (RFC 7468, 13). The file is the operator's own, so a section that cannot be used is an error.
    pub(super) fn from_pem(text: &[u8], allowed: &[Algorithm]) -> Result<KeySet, KeyError> {
        let mut keys = Vec::new();
        for (at, section) in <(SectionKind, Vec<u8>)>::pem_slice_iter(text).enumerate() {
            let (kind, der) = section.map_err(|_| KeyError::Pem)?;
            let section = at + 1;
            if section > MAX_KEYS {
                return Err(KeyError::TooMany { found: section });
            }
            if kind != SectionKind::PublicKey {
                return Err(KeyError::NotPublic { section });
            }
            let key = Key::from_spki(&der, allowed);
            keys.push(key.map_err(|why| KeyError::BadPem { section, why })?);
        }
        KeySet::of(keys, "there is no `PUBLIC KEY` section")
    }

    /// Takes the bytes of a file as a secret, without the one line end that editors add.
    pub(super) fn from_secret(text: &[u8], allowed: &[Algorithm]) -> Result<KeySet, KeyError> {
        let secret = text.strip_suffix(b"\r\n").or(text.strip_suffix(b"\n"));
        let secret = secret.unwrap_or(text);
        if secret.len() < MIN_SECRET {
            return Err(KeyError::ShortSecret);
        }
        let mut verifiers = Vec::new();
        for (name, hash) in SECRET.iter().filter(|(name, _)| allowed.contains(name)) {
            let key = Box::new(hmac::Key::new(*hash, secret));
            verifiers.push((*name, Verifier::Secret(key)));
        }
        let key = Key::of(None, verifiers, secret).map_err(|why| KeyError::NoneUsable { why })?;
        KeySet::of(vec![key], "there is none")
    }

    /// `why` there are none, if there are none.
    fn of(keys: Vec<Key>, why: &'static str) -> Result<KeySet, KeyError> {
        if keys.is_empty() {
            return Err(KeyError::NoneUsable { why });
        }
        let mut digests: Vec<_> = keys.iter().map(|key| key.digest).collect();
        digests.sort_unstable();
        let digest = sha256(&[digests.as_flattened()]);
        Ok(KeySet { keys, digest })
    }

    /// How many keys can be used.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Checks a signature with the keys that the token names, else with those that could be meant: a key without a name, or,
    /// where the token names none, any.
    pub(super) fn check(&self, kid: Option<&str>, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> Match {
        let fitting = |named: bool| {
            self.keys
                .iter()
                .filter(move |key| match (kid, key.kid.as_deref()) {
                    (Some(wanted), Some(kid)) => named && wanted == kid,
                    (Some(_), None) => !named,
                    (None, _) => !named,
                })
                .filter_map(move |key| key.verifier(algorithm))
                .take(MAX_TRIES)
        };
        let verifies = |verifier: &Verifier| verifier.verifies(signed, signature);
        if fitting(true).next().is_some() {
            return match fitting(true).any(verifies) {
                true => Match::Verified,
                false => Match::Wrong,
            };
        }
        match fitting(false).any(verifies) {
            true => Match::Verified,
            false => Match::Unknown,
        }
    }
}

impl Verifier {
    fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        match self {
            Verifier::Public(key) => key.verify_sig(signed, signature).is_ok(),
            // In constant time.
            Verifier::Secret(key) => hmac::verify(key, signed, signature).is_ok(),
        }
    }
}

impl Key {
    /// `material` is whatever tells this key from another; it enters the digest alone.
    fn of(kid: Option<&str>, verifiers: Vec<(Algorithm, Verifier)>, material: &[u8]) -> Result<Key, &'static str> {
        if verifiers.is_empty() {
            return Err("it serves none of the allowed algorithms");
        }
        let uses: Vec<u8> = verifiers.iter().map(|(name, _)| *name as u8).collect();
        // Each part by its own digest, so that no two keys run together to the same bytes.
        let digest = sha256(&[
            &sha256(&[kid.map_or(&[][..], |_| b"kid"), kid.unwrap_or("").as_bytes()]),
            &sha256(&[&uses]),
            &sha256(&[material]),
        ]);
        Ok(Key { kid: kid.map(Into::into), verifiers, digest })
    }

    fn public(
        kid: Option<&str>,
        schemes: &[Scheme],
        material: &[u8],
        allowed: impl Fn(Algorithm) -> bool,
    ) -> Result<Key, &'static str> {
        let mut verifiers = Vec::new();
        for (name, scheme) in schemes.iter().filter(|(name, _)| allowed(*name)) {
            let key = ParsedPublicKey::new(*scheme, material).map_err(|_| "it is not sound")?;
            verifiers.push((*name, Verifier::Public(key)));
        }
        Key::of(kid, verifiers, material)
    }

    fn from_jwk(jwk: &Value, allowed: &[Algorithm]) -> Result<Key, &'static str> {
        let jwk = jwk.as_object().ok_or("it is not an object")?;
        let kid = text(jwk, "kid")?;
        if !matches!(text(jwk, "use")?, None | Some("sig")) {
            return Err("its `use` is not `sig`");
        }
        match jwk.get("key_ops") {
            None => {}
            Some(Value::Array(ops)) if ops.iter().any(|op| op == "verify") => {}
            Some(_) => return Err("its `key_ops` do not name `verify`"),
        }
        let own: Option<Algorithm> = match text(jwk, "alg")? {
            None => None,
            Some(name) => Some(name.parse().map_err(|_| "its `alg` is not one of ours")?),
        };
        let allowed = |name| allowed.contains(&name) && own.is_none_or(|own| own == name);
        match (text(jwk, "kty")?, text(jwk, "crv")?) {
            (Some("RSA"), None) => {
                let spki = rsa_spki(bytes(jwk, "n")?, bytes(jwk, "e")?)?;
                Key::public(kid, &RSA, &spki, allowed)
            }
            (Some("EC"), Some("P-256")) => Key::public(kid, &P256, &point(jwk, 32)?, allowed),
            (Some("EC"), Some("P-384")) => Key::public(kid, &P384, &point(jwk, 48)?, allowed),
            (Some("OKP"), Some("Ed25519")) => {
                let x = bytes(jwk, "x")?;
                if x.len() != 32 {
                    return Err("its `x` has the wrong length");
                }
                Key::public(kid, &EDWARDS, &x, allowed)
            }
            (Some("oct"), _) => Err("it is symmetric"),
            _ => Err("its type or curve is not one of ours"),
        }
    }

    /// From a SubjectPublicKeyInfo (RFC 5280, 4.1): the type and the curve are inside, and only their own parser takes it.
    fn from_spki(spki: &[u8], allowed: &[Algorithm]) -> Result<Key, &'static str> {
        let allowed = |name| allowed.contains(&name);
        if let Ok(key) = PublicEncryptingKey::from_der(spki) {
            rsa_size(key.key_size_bits())?;
            return Key::public(None, &RSA, spki, allowed);
        }
        for schemes in [&P256, &P384, &EDWARDS] {
            let [(_, scheme)] = schemes;
            if ParsedPublicKey::new(*scheme, spki).is_ok() {
                return Key::public(None, schemes, spki, allowed);
            }
        }
        Err("its type or curve is not one that serves here")
    }

    fn verifier(&self, algorithm: Algorithm) -> Option<&Verifier> {
        let mut verifiers = self.verifiers.iter();
        verifiers.find(|(name, _)| *name == algorithm).map(|(_, verifier)| verifier)
    }
}

/// A string member of a JWK; another type there is an error, for it would be read differently elsewhere.
fn text<'a>(jwk: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, &'static str> {
    match jwk.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err("a member has the wrong type"),
    }
}

/// Base64url member, decoded.
fn bytes(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, &'static str> {
    let text = text(jwk, name)?.ok_or("a number of it is missing")?;
    base64url(text).ok_or("a number of it is not base64url")
}

/// The point as X9.62 writes it; RFC 7518, 6.2.1.2: both coordinates in full length.
fn point(jwk: &Map<String, Value>, size: usize) -> Result<Vec<u8>, &'static str> {
    let (x, y) = (bytes(jwk, "x")?, bytes(jwk, "y")?);
    if x.len() != size || y.len() != size {
        return Err("a coordinate has the wrong length");
    }
    Ok([&[4], x.as_slice(), y.as_slice()].concat())
}

/// Through DER, for that way the library checks the key; from the numbers alone it would not.
fn rsa_spki(n: Vec<u8>, e: Vec<u8>) -> Result<Vec<u8>, &'static str> {
    // Some issuers write a sign byte although RFC 7518, 6.3.1.1 has none.
    let trim = |number: Vec<u8>| -> Vec<u8> { number.into_iter().skip_while(|byte| *byte == 0).collect() };
    let (n, e) = (trim(n), trim(e));
    let spare = n.first().map_or(0, |byte| byte.leading_zeros() as usize);
    rsa_size(n.len() * 8 - spare)?;
    let der = PublicKeyComponents { n, e }.as_der().map_err(|_| "its numbers are no rsa key")?;
    Ok(der.as_ref().to_vec())
}

fn rsa_size(bits: usize) -> Result<(), &'static str> {
    match RSA_BITS.contains(&bits) {
        true => Ok(()),
        false => Err("an rsa key has 2048 to 8192 bits"),
    }
}

/// The parts are hashed as one text.
pub(super) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    let digest = context.finish();
    for (to, from) in out.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    out
}
