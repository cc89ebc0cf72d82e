//! A small HTTP client for what the sidecar itself reads: the key sets of issuers and the registries of feature servers.
//!
//! GET, and POST of a form (token introspection), HTTP/1.1, over TLS or plain. No redirect is followed (the answer is handed back as it came), no connection is
//! kept, the body has a cap and the whole exchange one deadline. The root certificates are the system's (`SSL_CERT_FILE` and
//! `SSL_CERT_DIR` apply) and are read when the first https address is fetched. Errors show an address without its query.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, Method, Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::OnceCell;

#[cfg(test)]
mod tests;

/// The reason inside an error is cut here: it comes in part from the other side.
const REASON_CHARS: usize = 300;

/// An absolute `http` or `https` address that was read once; it shows itself without its query, which may hold a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Url(Uri);

impl Url {
    /// Reads an address. A fragment is dropped.
    ///
    /// # Errors
    /// [`FetchError::Url`] when it is not absolute, is neither http nor https, has no host, or carries a user or a password
    /// (they would end up in logs; secrets are files).
    pub fn parse(text: &str) -> Result<Url, FetchError> {
        let bad = |reason| FetchError::Url { reason };
        let uri: Uri = text.parse().map_err(|_| bad("it cannot be read as an address"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(bad("it begins with neither `http://` nor `https://`"));
        }
        let authority = uri.authority().ok_or_else(|| bad("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("it carries a user or a password"));
        }
        if authority.host().is_empty() {
            return Err(bad("its host is empty"));
        }
        Ok(Url(uri))
    }

    /// Whether the exchange is encrypted.
    pub fn is_https(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    /// Whether it stays on this machine.
    pub fn is_loopback(&self) -> bool {
        ["localhost", "127.0.0.1", "[::1]"].contains(&self.host())
    }

    /// The host, without the port.
    pub fn host(&self) -> &str {
        self.0.host().unwrap_or_default()
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.0.scheme_str().unwrap_or_default();
        let authority = self.0.authority().map_or("", |a| a.as_str());
        write!(f, "{scheme}://{authority}{}", self.0.path())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

/// Why nothing was fetched. No text holds a user, a password, a query, or anything of a body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The address itself.
    #[error("the address is not usable: {reason}")]
    Url {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Nothing to check a server's certificate against.
    #[error("no root certificate could be loaded: {reason}")]
    Roots {
        /// What the loader said.
        reason: String,
    },
    /// The TLS library refused its own settings.
    #[error("tls could not be set up: {reason}")]
    Tls {
        /// What it said.
        reason: String,
    },
    /// No answer: name lookup, connection, TLS handshake, or the head of the answer.
    #[error("`{url}` did not answer: {reason}")]
    Exchange {
        /// The address, without its query.
        url: String,
        /// The causes, joined.
        reason: String,
    },
    /// The answer broke off.
    #[error("the answer of `{url}` broke off: {reason}")]
    Body {
        /// The address, without its query.
        url: String,
        /// The causes, joined.
        reason: String,
    },
    /// The answer is larger than the caller takes.
    #[error("the answer of `{url}` is larger than {max_bytes} bytes")]
    TooLarge {
        /// The address, without its query.
        url: String,
        /// The cap.
        max_bytes: usize,
    },
    /// The deadline passed.
    #[error("`{url}` was not fetched within {} ms", .deadline.as_millis())]
    Deadline {
        /// The address, without its query.
        url: String,
        /// What was given for the whole.
        deadline: Duration,
    },
}

/// A whole answer, of any status.
#[derive(Clone)]
pub struct Answer {
    /// Its status; 3xx too, redirects are not followed.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, within the cap.
    pub body: Bytes,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({}, {} bytes)", self.status, self.body.len())
    }
}

/// The client. One is enough for a process; the TLS half is made when it is first needed.
pub struct Client {
    plain: Pool<HttpConnector, Full<Bytes>>,
    tls: OnceCell<Pool<HttpsConnector<HttpConnector>, Full<Bytes>>>,
    /// `None`: the system's root certificates.
    config: Option<ClientConfig>,
}

impl Default for Client {
    fn default() -> Self {
        Client::new()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    /// A client that trusts the system's root certificates.
    pub fn new() -> Client {
        Client { plain: pool(HttpConnector::new()), tls: OnceCell::new(), config: None }
    }

    /// A client that speaks TLS by this configuration: its root certificates and no other, its own certificate.
    pub fn with_tls(config: ClientConfig) -> Client {
        Client { config: Some(config), ..Client::new() }
    }

    /// Fetches `url` with these request headers beside `Host`. The body may have `max_bytes`; `deadline` covers everything from
    /// the name lookup to the last byte.
    ///
    /// # Errors
    /// Any [`FetchError`] but [`FetchError::Url`]. A status that is not 200 is no error.
    pub async fn get(
        &self,
        url: &Url,
        headers: HeaderMap,
        max_bytes: usize,
        deadline: Duration,
    ) -> Result<Answer, FetchError> {
        self.exchange(Request::new(Full::default()), url, headers, max_bytes, deadline).await
    }

    /// Sends `form` to `url` in the same way, as `application/x-www-form-urlencoded`: names and values that went through
    /// [`form_text`].
    ///
    /// # Errors
    /// The same.
    pub async fn post_form(
        &self,
        url: &Url,
        mut headers: HeaderMap,
        form: String,
        max_bytes: usize,
        deadline: Duration,
    ) -> Result<Answer, FetchError> {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        self.post(url, headers, Bytes::from(form), max_bytes, deadline).await
    }

    /// Sends `body`, of which the headers say what it is.
    ///
    /// # Errors
    /// The same.
    pub async fn post(
        &self,
        url: &Url,
        headers: HeaderMap,
        body: Bytes,
        max_bytes: usize,
        deadline: Duration,
    ) -> Result<Answer, FetchError> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        self.exchange(request, url, headers, max_bytes, deadline).await
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        url: &Url,
        headers: HeaderMap,
        max_bytes: usize,
        deadline: Duration,
    ) -> Result<Answer, FetchError> {
        let exchange = async {
            if url.is_https() {
                exchange(self.tls().await?, request, url, headers, max_bytes).await
            } else {
                exchange(&self.plain, request, url, headers, max_bytes).await
            }
        };
        match tokio::time::timeout(deadline, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(FetchError::Deadline { url: url.to_string(), deadline }),
        }
    }

    async fn tls(&self) -> Result<&Pool<HttpsConnector<HttpConnector>, Full<Bytes>>, FetchError> {
        // A failure is not remembered: a mounted bundle may appear later.
        self.tls
            .get_or_try_init(|| async {
                let config = match &self.config {
                    Some(config) => config.clone(),
                    None => tls(read_roots().await?)?,
                };
                let connector =
                    HttpsConnectorBuilder::new().with_tls_config(config).https_only().enable_http1().build();
                Ok(pool(connector))
            })
            .await
    }
}

fn pool<C: Connect + Clone>(connector: C) -> Pool<C, Full<Bytes>> {
    // Fetches are minutes apart: a kept connection would only be found closed.
    Pool::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector)
}

/// A connector for `http`, or for `https` by the system's root certificates, that speaks HTTP/1.1 and HTTP/2.
///
/// # Errors
/// [`FetchError::Roots`], [`FetchError::Tls`]; none where it is `plain`.
pub async fn connector(plain: bool) -> Result<HttpsConnector<HttpConnector>, FetchError> {
    let roots = if plain { RootCertStore::empty() } else { read_roots().await? };
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    // A request waits for no acknowledgement of the last one.
    http.set_nodelay(true);
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls(roots)?).https_or_http();
    Ok(builder.enable_all_versions().wrap_connector(http))
}

fn tls(roots: RootCertStore) -> Result<ClientConfig, FetchError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| FetchError::Tls { reason: reason(&error) })?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// The system's; reads many files.
async fn read_roots() -> Result<RootCertStore, FetchError> {
    let unfinished = |_| FetchError::Roots { reason: "the loader did not finish".into() };
    tokio::task::spawn_blocking(system_roots).await.map_err(unfinished)?
}

fn system_roots() -> Result<RootCertStore, FetchError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Systems carry a few that webpki does not read; the others serve.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(FetchError::Roots {
            reason: found.errors.first().map_or_else(|| "the system has none".into(), |error| reason(error)),
        });
    }
    Ok(roots)
}

async fn exchange<C>(
    pool: &Pool<C, Full<Bytes>>,
    mut request: Request<Full<Bytes>>,
    url: &Url,
    headers: HeaderMap,
    max_bytes: usize,
) -> Result<Answer, FetchError>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    *request.uri_mut() = url.0.clone();
    *request.headers_mut() = headers;
    let answer = pool
        .request(request)
        .await
        .map_err(|error| FetchError::Exchange { url: url.to_string(), reason: reason(&error) })?;
    let (head, mut body) = answer.into_parts();
    let too_large = || FetchError::TooLarge { url: url.to_string(), max_bytes };
    // A declared length is believed when it is too large; the count below does not rely on it.
    if body.size_hint().lower() > max_bytes as u64 {
        return Err(too_large());
    }
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| FetchError::Body { url: url.to_string(), reason: reason(&error) })?;
        if let Ok(data) = frame.into_data() {
            if data.len() > max_bytes.saturating_sub(bytes.len()) {
                return Err(too_large());
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(Answer { status: head.status, headers: head.headers, body: bytes.freeze() })
}

/// One name or value of a form (URL Standard, `application/x-www-form-urlencoded`; RFC 6749, appendix B).
pub fn form_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => text.push(char::from(*byte)),
            b' ' => text.push('+'),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// An error and its causes on one line: libraries put what matters into the last of them.
pub fn reason(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(REASON_CHARS).collect()
}
