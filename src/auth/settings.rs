//! What can be wrong with what the configuration says of an issuer.

use std::path::PathBuf;

use jsonwebtoken::Algorithm;

use super::keys::source::SourceError;
pub use crate::config::{Audiences, IssuerSettings, JudgeSettings, KeySource, OpaqueSettings};
use crate::fetch::FetchError;

/// Why the issuers cannot be set up, or a key file not be read again. Holds no key bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// Two entries for one `iss`.
    #[error("issuer `{issuer}` stands twice")]
    Twice {
        /// Its name.
        issuer: String,
    },
    /// An empty list of audiences would refuse every token.
    #[error("issuer `{issuer}` has no audience")]
    NoAudience {
        /// Its name.
        issuer: String,
    },
    /// So would an empty list of algorithms.
    #[error("issuer `{issuer}` has no algorithm")]
    NoAlgorithm {
        /// Its name.
        issuer: String,
    },
    /// HS* with public keys: what verifies would be public.
    #[error("issuer `{issuer}` may use `{algorithm:?}` only with a secret_file")]
    NeedsSecret {
        /// Its name.
        issuer: String,
        /// An HMAC.
        algorithm: Algorithm,
    },
    /// A public-key algorithm with a secret.
    #[error("issuer `{issuer}` has a secret_file, which `{algorithm:?}` cannot use")]
    NeedsPublicKey {
        /// Its name.
        issuer: String,
        /// No HMAC.
        algorithm: Algorithm,
    },
    /// The address of a key set.
    #[error("the keys of issuer `{issuer}` cannot be fetched: {reason}")]
    Url {
        /// Its name.
        issuer: String,
        /// What is wrong with the address.
        reason: FetchError,
    },
    /// A key file.
    #[error("key file `{}` of issuer `{issuer}` is not usable: {reason}", .path.display())]
    File {
        /// Its name.
        issuer: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: SourceError,
    },
    /// The secret of token introspection.
    #[error("secret file `{}` of token introspection is not usable: {reason}", .path.display())]
    Secret {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: SourceError,
    },
    /// The way to the upstream that says who a caller is.
    #[error("`{url}` cannot be asked for `/v1/who-am-i`: {reason}")]
    WhoAmI {
        /// `upstream.url`.
        url: String,
        /// What is wrong with its certificates.
        reason: String,
    },
    /// A key set that came as text.
    #[error("the key set of issuer `{issuer}` is not usable: {reason}")]
    Text {
        /// Its name.
        issuer: String,
        /// What is wrong with it.
        reason: SourceError,
    },
}
