//! The keys that the issuer signs with: a folder of PEM files, ES256. The newest signs, all verify.

use std::fmt;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use jsonwebtoken::jwk::{Jwk, KeyAlgorithm, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use rustls::pki_types::pem::{PemObject, SectionKind};
use serde_json::{Map, Value, json};

use super::IssuerError;

#[cfg(test)]
mod tests;

/// `typ` of access tokens (RFC 9068, 2.1).
const ACCESS: &str = "at+jwt";
/// `typ` of what we prove ourselves with to a running issuer (RFC 7523, 2.2).
const ASSERTION: &str = "client-authentication+jwt";
/// More files than this are no folder of keys.
const MAX_KEYS: usize = 64;

/// What a JWS of ours is for. One is never taken for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// An access token.
    Access,
    /// A client assertion of the issuer's own commands.
    Assertion,
}

impl Use {
    fn typ(self) -> &'static str {
        match self {
            Self::Access => ACCESS,
            Self::Assertion => ASSERTION,
        }
    }
}

/// The keys as the folder held them at one time. Shows nothing of them.
pub struct SigningKeys {
    /// The newest last.
    keys: Vec<SigningKey>,
    /// The public halves: a JWK set (RFC 7517, 5), the newest first.
    pub jwks: String,
}

struct SigningKey {
    kid: String,
    sign: EncodingKey,
    verify: DecodingKey,
    public: Jwk,
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKeys({})", self.keys.len())
    }
}

impl SigningKeys {
    /// Reads every `*.pem` of a folder: one P-256 private key each (PKCS#8, or SEC 1 as openssl writes it). The newest is the one
    /// with the latest time of change, in seconds; of two that are equally new, as in a Secret of Kubernetes, the last by name.
    ///
    /// # Errors
    /// [`IssuerError::Keys`]: a folder that cannot be read or holds no key, a file that holds something else.
    pub fn read(folder: &Path) -> Result<Self, IssuerError> {
        let entries = fs::read_dir(folder).map_err(|error| bad(folder, error.to_string()))?;
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| bad(folder, error.to_string()))?.path();
            let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
            if hidden || path.extension().is_none_or(|end| end != "pem") {
                continue;
            }
            let changed = fs::metadata(&path).and_then(|meta| meta.modified());
            let changed = changed.map_err(|error| bad(&path, error.to_string()))?;
            files.push((seconds(changed), path));
        }
        files.sort();
        if files.is_empty() {
            return Err(bad(folder, "it holds no `.pem` file with a signing key".to_owned()));
        }
        if files.len() > MAX_KEYS {
            return Err(bad(folder, format!("it holds more than {MAX_KEYS} keys")));
        }
        let keys: Result<Vec<_>, _> = files.iter().map(|(_, path)| SigningKey::read(path)).collect();
        let keys = keys?;
        let public: Vec<_> = keys.iter().rev().map(|key| &key.public).collect();
        let jwks = json!({"keys": public}).to_string();
        Ok(Self { keys, jwks })
    }

    /// [`read`](Self::read), and where there is no key yet, one is made (the folder too), readable by its owner alone.
    ///
    /// # Errors
    /// As there; a folder that cannot be written.
    pub fn read_or_make(folder: &Path) -> Result<Self, IssuerError> {
        let none = match fs::read_dir(folder) {
            Ok(entries) => !entries.flatten().any(|entry| entry.path().extension().is_some_and(|end| end == "pem")),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        if none {
            let path = make(folder)?;
            tracing::info!(path = %path.display(), "a signing key was made");
        }
        Self::read(folder)
    }

    /// Signs claims with the newest key.
    ///
    /// # Errors
    /// [`IssuerError::Sign`]: no random numbers.
    pub fn sign(&self, what: Use, claims: &Map<String, Value>) -> Result<String, IssuerError> {
        let key = self.keys.last().ok_or(IssuerError::Sign)?;
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(what.typ().to_owned());
        header.kid = Some(key.kid.clone());
        jsonwebtoken::encode(&header, claims, &key.sign).map_err(|_| IssuerError::Sign)
    }

    /// The claims of a token that one of these keys signed for this use, by this issuer and for this audience, and that has not
    /// expired at `now` (unix seconds); `None`: anything else.
    pub fn verify(&self, what: Use, token: &str, issuer: &str, audience: &str, now: u64) -> Option<Map<String, Value>> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        if header.typ.as_deref() != Some(what.typ()) {
            return None;
        }
        let kid = header.kid?;
        let key = self.keys.iter().find(|key| key.kid == kid)?;
        let mut validation = Validation::new(Algorithm::ES256);
        // By our own clock, below.
        validation.validate_exp = false;
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        let claims = jsonwebtoken::decode::<Map<String, Value>>(token, &key.verify, &validation).ok()?.claims;
        (now < claims.get("exp")?.as_u64()?).then_some(claims)
    }
}

impl SigningKey {
    fn read(path: &Path) -> Result<Self, IssuerError> {
        const NO_KEY: &str = "it is not one P-256 private key (`openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256` \
                              makes one)";
        let text = fs::read(path).map_err(|error| bad(path, error.to_string()))?;
        let sections: Result<Vec<_>, _> = <(SectionKind, Vec<u8>)>::pem_slice_iter(&text).collect();
        let sections = sections.map_err(|_| bad(path, NO_KEY.to_owned()))?;
        let [(SectionKind::PrivateKey | SectionKind::EcPrivateKey, der)] = sections.as_slice() else {
            return Err(bad(path, NO_KEY.to_owned()));
        };
        let pair = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der);
        Self::of(&pair.map_err(|_| bad(path, NO_KEY.to_owned()))?).ok_or_else(|| bad(path, NO_KEY.to_owned()))
    }

    fn of(pair: &EcdsaKeyPair) -> Option<Self> {
        let sign = EncodingKey::from_ec_der(pair.to_pkcs8v1().ok()?.as_ref());
        let mut public = Jwk::from_encoding_key(&sign, Algorithm::ES256).ok()?;
        let kid = public.thumbprint(ThumbprintHash::SHA256).ok()?;
        public.common.key_id = Some(kid.clone());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        public.common.key_algorithm = Some(KeyAlgorithm::ES256);
        let verify = DecodingKey::from_jwk(&public).ok()?;
        Some(Self { kid, sign, verify, public })
    }
}

/// Makes a key in a folder, whole or not at all.
fn make(folder: &Path) -> Result<PathBuf, IssuerError> {
    let failed = |error: io::Error| bad(folder, format!("no key can be made there: {error}"));
    let none = |_| bad(folder, "the machine gives no random numbers".to_owned());
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(none)?;
    let der = pair.to_pkcs8v1().map_err(none)?;
    let key = SigningKey::of(&pair).ok_or(IssuerError::Sign)?;
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    let path = folder.join(format!("{}.pem", key.kid));
    let begun = folder.join(format!(".{}.new", key.kid));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&begun).map_err(failed)?;
    let written = file.write_all(pem(der.as_ref()).as_bytes()).and_then(|()| file.sync_all());
    written.and_then(|()| fs::rename(&begun, &path)).map_err(|error| {
        fs::remove_file(&begun).ok();
        failed(error)
    })?;
    Ok(path)
}

/// PKCS#8 as RFC 7468, 10 writes it.
fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut lines = String::from("-----BEGIN PRIVATE KEY-----\n");
    for (at, letter) in text.chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            lines.push('\n');
        }
        lines.push(letter);
    }
    lines.push_str("\n-----END PRIVATE KEY-----\n");
    lines
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn bad(path: &Path, why: String) -> IssuerError {
    IssuerError::Keys { path: path.to_owned(), why }
}
