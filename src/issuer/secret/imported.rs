//! Imported secrets: argon2id (RFC 9106) in the PHC form, `$argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>`. What a file may ask for
//! is bounded, since everybody who sends a secret makes us compute it.

use argon2::password_hash::{PasswordHash, Salt, SaltString};
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;

use super::SecretError;

/// The most memory that a hash may ask for: 64 MiB, in KiB as `m` has it.
pub const MAX_MEMORY_KIB: u32 = 64 << 10;
/// The most passes, `t`.
pub const MAX_PASSES: u32 = 10;
/// The most lanes, `p`.
pub const MAX_LANES: u32 = 4;
/// The shortest salt that argon2 takes, in bytes (RFC 9106, 3.1).
const MIN_SALT_BYTES: usize = 8;

/// What a verification costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::issuer) struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// The hash of an imported secret.
#[derive(Clone)]
pub(in crate::issuer) struct Imported {
    pub(in crate::issuer) cost: Cost,
    salt: Vec<u8>,
    output: Vec<u8>,
}

/// Why a hash is not taken. No text holds the hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// Neither form.
    #[error("is neither `sha256:` and 64 hex digits nor an argon2id hash in the PHC form")]
    Form,
    /// A PHC text of something else.
    #[error("is of another algorithm than argon2id, which alone is verified")]
    Algorithm,
    /// Another version than 1.3.
    #[error("is not of version 19 of argon2id")]
    Version,
    /// `keyid`, `data`, or what nobody knows.
    #[error("has a parameter besides `m`, `t` and `p`, or one that argon2id does not take")]
    Parameter,
    /// More than is computed for strangers.
    #[error("costs more than `m=65536,t=10,p=4`, the most that is computed")]
    Cost,
    /// Argon2 takes 8 bytes at least.
    #[error("has a salt of less than 8 bytes")]
    Salt,
}

impl Imported {
    /// Reads the PHC form.
    ///
    /// # Errors
    /// [`HashError`].
    pub(in crate::issuer) fn parse(text: &str) -> Result<Self, HashError> {
        let hash = PasswordHash::new(text).map_err(|_| HashError::Form)?;
        if hash.algorithm != Algorithm::Argon2id.ident() {
            return Err(HashError::Algorithm);
        }
        if hash.version != Some(Version::V0x13.into()) {
            return Err(HashError::Version);
        }
        let params = Params::try_from(&hash).map_err(|_| HashError::Parameter)?;
        if !params.keyid().is_empty() || !params.data().is_empty() {
            return Err(HashError::Parameter);
        }
        let cost = Cost { memory_kib: params.m_cost(), passes: params.t_cost(), lanes: params.p_cost() };
        if cost.memory_kib > MAX_MEMORY_KIB || cost.passes > MAX_PASSES || cost.lanes > MAX_LANES {
            return Err(HashError::Cost);
        }
        let (Some(salt), Some(output)) = (hash.salt, hash.hash) else { return Err(HashError::Form) };
        let mut bytes = [0; Salt::MAX_LENGTH];
        let salt = salt.decode_b64(&mut bytes).map_err(|_| HashError::Form)?.to_vec();
        if salt.len() < MIN_SALT_BYTES {
            return Err(HashError::Salt);
        }
        Ok(Self { cost, salt, output: output.as_bytes().to_vec() })
    }

    fn is_of(&self, secret: &[u8]) -> bool {
        let Cost { memory_kib, passes, lanes } = self.cost;
        let Ok(params) = Params::new(memory_kib, passes, lanes, Some(self.output.len())) else { return false };
        let mut output = vec![0; self.output.len()];
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon.hash_password_into(secret, &self.salt, &mut output).is_ok()
            && verify_slices_are_equal(&output, &self.output).is_ok()
    }
}

/// How clients.yaml keeps a secret that somebody brings: argon2id with 19 MiB, two passes and one lane, and a salt of its own.
///
/// # Errors
/// [`SecretError`].
pub fn hash(secret: &str) -> Result<String, SecretError> {
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| SecretError::Random)?;
    let salt = SaltString::encode_b64(&random).map_err(|_| SecretError::Hash)?;
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT);
    let hash = argon.hash_password(secret.as_bytes(), &salt).map_err(|_| SecretError::Hash)?;
    Ok(hash.to_string())
}

/// One verification: of a client's hash, or one that only costs as much.
pub(in crate::issuer) enum Trial {
    Real(Imported),
    Padding(Cost),
}

impl Trial {
    pub(super) fn succeeds(&self, secret: &[u8]) -> bool {
        match self {
            Self::Real(imported) => imported.is_of(secret),
            Self::Padding(cost) => {
                // Nothing that anybody sends makes it right.
                std::hint::black_box(Imported { cost: *cost, salt: vec![0; 16], output: vec![0; 32] }.is_of(secret));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9106 has no vector without a key and associated data; this is of the reference implementation's test.c, version 0x13.
    const KNOWN: &str = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

    #[test]
    fn a_hash_of_another_implementation_is_verified() {
        let known = Imported::parse(KNOWN).unwrap();
        assert!(known.is_of(b"password"));
        assert!(!known.is_of(b"passwore"));
        assert!(!known.is_of(b""));
    }

    #[test]
    fn what_is_hashed_here_is_read_here() {
        let text = hash("correct horse battery").unwrap();
        assert!(text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{text}");
        let imported = Imported::parse(&text).unwrap();
        assert_eq!(imported.cost, Cost { memory_kib: 19_456, passes: 2, lanes: 1 });
        assert!(imported.is_of(b"correct horse battery") && !imported.is_of(b"correct horse batterz"));
        assert_ne!(hash("correct horse battery").unwrap(), text);
    }

    #[test]
    fn what_is_not_taken_says_why() {
        let rest = "$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        let why = |text: &str| Imported::parse(text).err();
        for (head, expected) in [
            ("$argon2id$v=19$m=65536,t=10,p=4", None),
            ("$argon2id$v=19$m=65537,t=1,p=1", Some(HashError::Cost)),
            ("$argon2id$v=19$m=256,t=11,p=1", Some(HashError::Cost)),
            ("$argon2id$v=19$m=256,t=1,p=5", Some(HashError::Cost)),
            ("$argon2i$v=19$m=256,t=1,p=1", Some(HashError::Algorithm)),
            ("$argon2id$v=16$m=256,t=1,p=1", Some(HashError::Version)),
            ("$argon2id$m=256,t=1,p=1", Some(HashError::Version)),
            ("$argon2id$v=19$m=1,t=1,p=1", Some(HashError::Parameter)),
            ("$argon2id$v=19$m=256,t=1,p=1,keyid=AAAA", Some(HashError::Parameter)),
            ("$argon2id$v=19$m=256,t=1,x=1", Some(HashError::Parameter)),
        ] {
            assert_eq!(why(&format!("{head}{rest}")), expected, "{head}");
        }
        assert_eq!(why("$argon2id$v=19$m=256,t=2,p=1$c29tZQ$nf65EOgLrQMR/uIPnA4rEg"), Some(HashError::Salt));
        for text in
            ["", "hunter2", "$argon2id$x", "$argon2id$v=19$m=256,t=2,p=1", "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ"]
        {
            assert_eq!(why(text), Some(HashError::Form), "{text}");
        }
    }
}
