//! The certificate that a client showed: a caller of its own, and the proof for tokens that are bound to it (RFC 8705).
//!
//! rustls has verified it before it is read here. It speaks by three claims, `cert.san`, `cert.cn` and `cert.x5t#S256`
//! (policy.md, Bindings), which no token can have. Headers in which proxies tell of certificates are never read.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::header::{AUTHORIZATION, HeaderMap};
use serde_json::{Map, Value};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::{DirectoryString, GeneralName};

use super::keys::sha256;
use super::verify::{Claims, Known, Life, base64url};
use super::{API_KEY, Verified};

#[cfg(test)]
mod tests;

/// What a certificate's claims begin with; a token's never do.
pub(super) const CLAIMS: &str = "cert.";
/// The claim that every certificate has: base64url of the SHA-256 of its DER.
pub(super) const THUMBPRINT: &str = "cert.x5t#S256";
/// `id-at-commonName` (X.520).
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// The SHA-256 of a certificate's DER (RFC 8705, 3.1).
pub(super) type Thumbprint = [u8; 32];

/// The certificate of the client at the other end of a connection; read once for all requests on it.
pub struct PeerCertificate {
    thumbprint: Thumbprint,
    claims: Arc<Claims>,
    /// Whether all of its names could be read.
    names: bool,
}

impl std::fmt::Debug for PeerCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PeerCertificate").finish_non_exhaustive()
    }
}

impl PeerCertificate {
    /// That of a connection whose handshake is done; `None` where the client showed none, or one that cannot be read at all.
    pub fn of(connection: &rustls::ServerConnection) -> Option<Arc<Self>> {
        // The first is the client's own (RFC 8446, 4.4.2). A resumed session has the chain that began it.
        let leaf = connection.peer_certificates()?.first()?;
        let read = Self::read(leaf);
        match &read {
            None => tracing::debug!("a client certificate cannot be read"),
            Some(read) if !read.names => tracing::debug!("the names of a client certificate cannot be read"),
            Some(_) => {}
        }
        read.map(Arc::new)
    }

    fn read(der: &[u8]) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?;
        let validity = certificate.tbs_certificate().validity();
        let (begins, ends) = (validity.not_before.to_unix_duration(), validity.not_after.to_unix_duration());
        let thumbprint = sha256(&[der]);
        let names = names(&certificate);
        let mut map = Map::new();
        if let Some((common, alternative)) = &names {
            map.extend(common.clone().map(|name| ("cert.cn".to_owned(), Value::from(name))));
            if !alternative.is_empty() {
                map.insert("cert.san".to_owned(), Value::from(alternative.clone()));
            }
        }
        map.insert(THUMBPRINT.to_owned(), Value::from(URL_SAFE_NO_PAD.encode(thumbprint)));
        // The last second counts (RFC 5280, 4.1.2.5).
        let ends = ends.saturating_add(Duration::from_secs(1));
        let known = Known { exp: ends, nbf: Some(begins), bound: None, memo: ArcSwapOption::empty() };
        let claims = Arc::new(Claims { map, known: Arc::new(known) });
        Some(Self { thumbprint, claims, names: names.is_some() })
    }

    /// The caller that it is in a request with these headers: none beside `Authorization` or `X-API-Key`, whatever they hold,
    /// none where one of its names cannot be read, and none outside its validity, which a session or a connection may outlive.
    pub fn caller(&self, headers: &HeaderMap, now: SystemTime) -> Option<Verified<'static>> {
        let sent = headers.contains_key(AUTHORIZATION) || headers.contains_key(API_KEY);
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        (!sent && self.names && self.is_valid(now)).then(|| Verified::of(Arc::clone(&self.claims)))
    }

    /// Whether it is the one that a token is bound to; `now` counts from 1970.
    pub(super) fn is(&self, bound: &Thumbprint, now: Duration) -> bool {
        verify_slices_are_equal(&self.thumbprint, bound).is_ok() && self.is_valid(now)
    }

    fn is_valid(&self, now: Duration) -> bool {
        self.claims.known.life(now, Duration::ZERO) == Life::Valid
    }
}

/// The certificate that a token's `cnf` names: `{"x5t#S256": …}` and nothing else (RFC 8705, 3.1). `None`: another proof, or
/// one more, is asked for, and none is spoken here.
pub(super) fn confirmed(cnf: &Value) -> Option<Thumbprint> {
    let members = cnf.as_object()?;
    let text = members.get("x5t#S256").filter(|_| members.len() == 1)?.as_str()?;
    base64url(text)?.try_into().ok()
}

/// The subject's common name, where there is exactly one, and the alternative names; `None`: one of them cannot be read, and
/// the others could be what they seem or not.
fn names(certificate: &Certificate) -> Option<(Option<String>, Vec<String>)> {
    let tbs = certificate.tbs_certificate();
    let common = tbs.subject().iter().filter(|attribute| attribute.oid == COMMON_NAME);
    let common = common.map(|attribute| {
        let text: DirectoryString = attribute.value.decode_as().ok()?;
        printable(&text.value())
    });
    let mut common = common.collect::<Option<Vec<String>>>()?;
    let only = if common.len() == 1 { common.pop() } else { None };
    let alternative = match tbs.get_extension::<SubjectAltName>().ok()? {
        None => Vec::new(),
        Some((_, names)) => names.0.iter().filter_map(alternative).collect::<Option<Vec<String>>>()?,
    };
    Some((only, alternative))
}

/// One alternative name as text; `None` for a kind that is passed over, `Some(None)` where it cannot be read. All kinds go in
/// one list, so a text of one kind that could be a name of another kind is none.
fn alternative(name: &GeneralName) -> Option<Option<String>> {
    let text = match name {
        GeneralName::DnsName(name) => Some(name.as_str()).filter(|name| is_dns(name)),
        GeneralName::Rfc822Name(name) => Some(name.as_str()).filter(|name| is_email(name)),
        GeneralName::UniformResourceIdentifier(name) => Some(name.as_str()).filter(|name| is_uri(name)),
        GeneralName::IpAddress(bytes) => return Some(address(bytes.as_bytes())),
        GeneralName::OtherName(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EdiPartyName(_)
        | GeneralName::RegisteredId(_) => return None,
    };
    Some(text.and_then(printable))
}

fn printable(text: &str) -> Option<String> {
    (!text.is_empty() && !text.chars().any(char::is_control)).then(|| text.to_owned())
}

fn is_dns(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._*".contains(&b)) && name.parse::<IpAddr>().is_err()
}

fn is_email(name: &str) -> bool {
    !name.contains([':', ' ']) && name.split_once('@').is_some_and(|(who, host)| !who.is_empty() && is_dns(host))
}

fn is_uri(name: &str) -> bool {
    let scheme = name.split_once(':').map(|(scheme, _)| scheme).unwrap_or_default();
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
        && name.parse::<IpAddr>().is_err()
}

/// 4 or 16 bytes (RFC 5280, 4.2.1.6).
fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok().map(|address| address.to_string())
}
