//! Who may ask from a browser: the page itself alone. Other sites that the same browser has open can neither read an answer
//! nor have one made, also where a name of theirs leads here (DNS rebinding).

use std::net::{Ipv4Addr, Ipv6Addr};

use hyper::Request;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::Authority;

use super::refused::Refused;

/// On every answer, whatever it is.
const HARDENED: [(HeaderName, HeaderValue); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
];
/// What an answer that is no page may do.
const NOTHING: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; sandbox");

/// Puts on an answer what browsers are to know of it.
pub(super) fn harden(headers: &mut HeaderMap) {
    for (name, value) in HARDENED {
        headers.insert(name, value);
    }
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(NOTHING);
}

/// Refuses what comes under a name that is not ours, or from another site.
pub(super) fn check<B>(request: &Request<B>, hosts: &[String]) -> Result<(), Refused> {
    let host = only(request.headers(), &header::HOST)?.ok_or(Refused::Host)?;
    let authority: Authority = host.parse().map_err(|_| Refused::Host)?;
    // One of `user@host` is nobody's Host; in the target a name can stand, too.
    let named = [Some(&authority), request.uri().authority()];
    if host.contains('@') || !named.into_iter().flatten().all(|name| is_ours(name.host(), hosts)) {
        return Err(Refused::Host);
    }
    if let Some(origin) = only(request.headers(), &header::ORIGIN)? {
        let site = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        if !site.is_some_and(|site| site.eq_ignore_ascii_case(host)) {
            return Err(Refused::Foreign);
        }
    }
    match only(request.headers(), &HeaderName::from_static("sec-fetch-site"))? {
        None | Some("same-origin" | "none") => Ok(()),
        Some(_) => Err(Refused::Foreign),
    }
}

/// A header that stands once or not at all.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Refused> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| Refused::Foreign),
        (Some(_), Some(_)) => Err(Refused::Foreign),
    }
}

/// A name that no stranger's DNS can give: an address as it is, `localhost`, or one that was configured.
fn is_ours(host: &str, hosts: &[String]) -> bool {
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    bracketed.map_or_else(|| host.parse::<Ipv4Addr>().is_ok(), |inner| inner.parse::<Ipv6Addr>().is_ok())
        || host.eq_ignore_ascii_case("localhost")
        || hosts.iter().any(|known| host.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_strangers_dns_can_say_is_ours() {
        let hosts = ["tagwarden.example".to_owned()];
        for ours in
            ["127.0.0.1", "10.0.0.7", "[::1]", "localhost", "LocalHost", "tagwarden.example", "TAGWARDEN.example"]
        {
            assert!(is_ours(ours, &hosts), "{ours}");
        }
        let foreign = [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "tagwarden.example.",
            "a.tagwarden.example",
            "::1",
            "[evil.example]",
            "[127.0.0.1]",
            "127.1",
            "0x7f000001",
            "2130706433",
            "localhost.",
        ];
        for foreign in foreign {
            assert!(!is_ours(foreign, &hosts), "{foreign}");
        }
    }
}
