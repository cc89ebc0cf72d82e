//! TLS from files: certificates, keys, trust roots. No option turns verification off.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// TLS towards the upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// Trust roots; `None`: the machine's.
    pub ca: Option<PathBuf>,
    /// Client certificate chain and key.
    pub client: Option<(PathBuf, PathBuf)>,
    /// The name its certificate must carry; `None`: the host.
    pub server_name: Option<String>,
}

/// TLS on the data listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenTls {
    /// Certificate chain, PEM.
    pub cert: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// Trust roots of client certificates, PEM; `None`: none is asked for.
    pub client_ca: Option<PathBuf>,
}

impl ListenTls {
    /// All of its files.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.cert, &self.key].into_iter().chain(&self.client_ca)
    }
}

/// What is wrong with the files. Never shows their content.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Not readable.
    #[error("`{path}` cannot be read: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// No certificate in it.
    #[error("`{0}` holds no certificate in PEM form")]
    NoCertificate(PathBuf),
    /// Not all of it can be read.
    #[error("`{0}` breaks off, or is not in PEM form throughout")]
    Cut(PathBuf),
    /// No key in it.
    #[error("`{0}` holds no private key in PEM form")]
    NoKey(PathBuf),
    /// Certificate and key do not go together, or are of a kind that is not known.
    #[error("the certificate and its key cannot be used: {0}")]
    Unusable(rustls::Error),
    /// Not all of it can be trust roots.
    #[error("`{0}` holds what no trust root can be made of")]
    Root(PathBuf),
    /// Client certificates cannot be verified.
    #[error("client certificates cannot be verified: {0}")]
    Clients(rustls::server::VerifierBuilderError),
    /// No trust roots at all.
    #[error("this machine has no trust roots, and no `ca` is given")]
    NoRoots,
    /// Not a name that a certificate can carry.
    #[error("`{0}` is no name that a certificate can carry")]
    Name(String),
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|error| TlsError::Read { path: path.to_owned(), error })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(path)?;
    // All of it or nothing: a file that is half written shows no chain without its end.
    let found: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|_| TlsError::Cut(path.to_owned()))?;
    if found.is_empty() { Err(TlsError::NoCertificate(path.to_owned())) } else { Ok(found) }
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|_| TlsError::NoKey(path.to_owned()))
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// The machine's trust roots.
///
/// # Errors
/// There are none.
pub fn native_roots() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(TlsError::NoRoots) } else { Ok(roots) }
}

/// For connections to the upstream: TLS 1.2 and 1.3.
///
/// # Errors
/// [`TlsError`].
pub fn client_config(settings: &UpstreamTls) -> Result<ClientConfig, TlsError> {
    let roots = match &settings.ca {
        Some(path) => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(certificates(path)?);
            if roots.is_empty() {
                return Err(TlsError::NoCertificate(path.clone()));
            }
            roots
        }
        None => native_roots()?,
    };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Unusable)?
        .with_root_certificates(roots);
    match &settings.client {
        Some((cert, private)) => {
            builder.with_client_auth_cert(certificates(cert)?, key(private)?).map_err(TlsError::Unusable)
        }
        None => Ok(builder.with_no_client_auth()),
    }
}

/// Roots of client certificates: all that the file holds or, since a root left out is a client locked out, an error.
fn client_roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let unusable = || TlsError::Root(path.to_owned());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&read(path)?) {
        roots.add(certificate.map_err(|_| unusable())?).map_err(|_| unusable())?;
    }
    if roots.is_empty() { Err(TlsError::NoCertificate(path.to_owned())) } else { Ok(roots) }
}

/// For the data listener: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1 by ALPN. With `client_ca` a client may show a certificate,
/// and one that does not verify ends the handshake. Sessions are resumed under the configuration that began them alone.
///
/// # Errors
/// [`TlsError`].
pub fn server_config(settings: &ListenTls) -> Result<ServerConfig, TlsError> {
    let provider = provider();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Unusable)?;
    let builder = match &settings.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(client_roots(path)?), provider);
            let verifier = verifier.allow_unauthenticated().build().map_err(TlsError::Clients)?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config =
        builder.with_single_cert(certificates(&settings.cert)?, key(&settings.key)?).map_err(TlsError::Unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
