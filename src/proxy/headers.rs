//! Which headers pass: hop-by-hop, credentials and identity stay here (config.md, Credentials); and which `Host` is one.

use hyper::Version;
use hyper::header::{self, HeaderMap, HeaderName};
use hyper::http::request::Parts;

/// Headers of one hop (RFC 9110, 7.6.1), and those that we write ourselves.
fn is_ours(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "host"
            | "via"
            | "content-length"
            | "expect"
    )
}

/// Of a request: credentials, and what says how bodies are spelled.
fn is_of_a_request(name: &str) -> bool {
    matches!(
        name,
        "authorization"
            | "cookie"
            | "content-type"
            | "content-encoding"
            | "accept-encoding"
            | "accept"
            | "range"
            | "if-range"
            | "if-match"
            | "if-none-match"
            | "if-modified-since"
            | "if-unmodified-since"
            | "forwarded"
            | "from"
            | "referer"
            | "origin"
    )
}

/// Names with which proxies tell servers who or what a request is; `-` stands for `_` and `.` too.
fn is_identity(name: &str) -> bool {
    matches!(
        name,
        "keep-alive"
            | "proxy-connection"
            | "http2-settings"
            | "x-api-key"
            | "api-key"
            | "apikey"
            | "x-authorization"
            | "x-token"
            | "x-forwarded"
            | "forwarded-for"
            | "x-originating-ip"
            | "x-http-method"
            | "x-http-method-override"
            | "x-method-override"
            | "x-real-ip"
            | "x-client-ip"
            | "x-cluster-client-ip"
            | "true-client-ip"
            | "cf-connecting-ip"
            | "remote-user"
            | "remote-groups"
            | "remote-email"
            | "remote-name"
            | "x-remote-user"
            | "x-remote-group"
            | "x-user"
            | "x-user-id"
            | "x-user-email"
            | "x-user-name"
            | "x-username"
            | "x-email"
            | "x-groups"
            | "x-group"
            | "x-roles"
            | "x-role"
            | "x-identity"
            | "x-subject"
            | "x-principal"
            | "x-tenant-id"
            | "x-access-token"
            | "x-id-token"
            | "x-jwt-assertion"
            | "x-rewrite-url"
            | "x-host"
            | "x-scheme"
            | "x-url-scheme"
            | "front-end-https"
            | "ssl-client-cert"
            | "x-ssl-client-cert"
            | "x-client-cert"
            | "client-cert"
            | "client-cert-chain"
    )
}

/// Beginnings of such names.
const IDENTITY_PREFIXES: &[&str] = &[
    "x-tagwarden-",
    "x-consumer-",
    "x-credential-",
    "x-forwarded-",
    "x-auth-",
    "x-authenticated-",
    "x-authentik-",
    "x-original-",
    "x-webauth-",
    "x-envoy-",
    "x-goog-",
    "x-amzn-oidc-",
    "x-ms-client-principal",
    "x-ms-token-",
    "x-pomerium-",
    "x-remote-",
    "x-user-",
    "x-jwt-",
    "x-ssl-",
    "ssl-client-",
    "grafana-",
    "impersonate-",
];

/// Beginnings of those that say how a call is spelled (gRPC, Connect): a call that we make is spelled by us.
const RPC_PREFIXES: &[&str] = &["grpc-", "connect-"];
/// Those of Chalk's say what is asked: the dialect reads them, and writes those that go upstream.
const CHALK_PREFIX: &str = "x-chalk-";

/// Whether it has one of these beginnings, of which none is shorter than two letters.
fn begins(text: &str, with: &[&str]) -> bool {
    let head = text.as_bytes().first_chunk::<2>();
    with.iter().any(|prefix| prefix.as_bytes().first_chunk() == head && text.starts_with(prefix))
}

/// Whether a request's header goes upstream.
pub fn request_passes(name: &HeaderName, listed: &[HeaderName]) -> bool {
    let text = name.as_str();
    // An alias such as `x_auth_user` or `x.auth.user` is read as `x-auth-user` by some servers: none passes.
    let alias = text.bytes().any(|b| !(b.is_ascii_alphanumeric() || b == b'-'));
    !alias
        && !is_ours(text)
        && !is_of_a_request(text)
        && !listed.contains(name)
        && !is_identity(text)
        && !begins(text, IDENTITY_PREFIXES)
        && !begins(text, RPC_PREFIXES)
        && !text.starts_with(CHALK_PREFIX)
}

/// Takes out of an answer's headers those that do not go to the caller.
pub fn keep_answers(headers: &mut HeaderMap) {
    let listed = listed(headers);
    loop {
        // So many at once, without room being made for their names.
        let mut taken = [const { None }; 8];
        let out = headers.keys().filter(|name| !answer_passes(name, &listed));
        taken.iter_mut().zip(out).for_each(|(place, name)| *place = Some(name.clone()));
        if taken.first().is_none_or(|first| first.is_none()) {
            return;
        }
        taken.into_iter().flatten().for_each(|name| drop(headers.remove(name)));
    }
}

/// Whether an answer's header goes to the caller. Headers that vouch for the bytes of the body do not: the body is ours.
pub fn answer_passes(name: &HeaderName, listed: &[HeaderName]) -> bool {
    let text = name.as_str();
    !is_ours(text)
        && !listed.contains(name)
        && !text.starts_with("x-tagwarden-")
        && !begins(text, RPC_PREFIXES)
        && !matches!(
            text,
            "content-type"
                | "content-encoding"
                | "content-range"
                | "accept-ranges"
                | "etag"
                | "last-modified"
                | "content-md5"
                | "digest"
                | "content-digest"
                | "repr-digest"
                | "location"
                | "set-cookie"
                | "www-authenticate"
                | "alt-svc"
                | "keep-alive"
                | "proxy-connection"
        )
}

/// What is wrong about `Host` (RFC 9112, section 3.2): there is one, a host with or without a port, and HTTP/1.0 alone may come
/// without. In HTTP/2 `:authority` has its place.
pub fn unfit_host(parts: &Parts) -> Option<&'static str> {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    match (parts.version, hosts.next(), hosts.next()) {
        (Version::HTTP_11, None, _) => Some("A request without a Host header is not served over HTTP/1.1"),
        (Version::HTTP_10 | Version::HTTP_11, _, Some(_)) => {
            Some("A request with more than one Host header is not served")
        }
        (Version::HTTP_10 | Version::HTTP_11, Some(host), None) if !is_host(host.as_bytes()) => {
            Some("A request whose Host header is not a host, with or without a port, is not served")
        }
        _ => None,
    }
}

/// In the characters of RFC 3986, section 3.2.2. An empty one is a host too.
fn is_host(host: &[u8]) -> bool {
    let (name, port) = match host.iter().rposition(|byte| *byte == b':') {
        Some(colon) if !host.ends_with(b"]") => host.split_at(colon),
        _ => (host, b"".as_slice()),
    };
    let name_reads = match name.strip_prefix(b"[") {
        Some(literal) => literal
            .strip_suffix(b"]")
            .is_some_and(|literal| literal.iter().all(|byte| is_of_a_host(*byte) || *byte == b':')),
        None => name.iter().all(|byte| is_of_a_host(*byte)),
    };
    name_reads && port.iter().skip(1).all(u8::is_ascii_digit)
}

fn is_of_a_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&byte)
}

/// The headers that `Connection` lists, but for those that never pass.
pub fn listed(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(header::CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
    let names = values.flat_map(|value| value.split(',')).map(str::trim);
    names.filter(|name| !name.eq_ignore_ascii_case("keep-alive")).filter_map(|name| name.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(name: &str) -> bool {
        request_passes(&name.parse().unwrap(), &["x-listed".parse().unwrap()])
    }

    #[test]
    fn identity_never_goes_upstream() {
        for name in [
            "authorization",
            "x-api-key",
            "api-key",
            "apikey",
            "x-authorization",
            "x-token",
            "x-forwarded",
            "forwarded-for",
            "x-originating-ip",
            "cookie",
            "x-forwarded-for",
            "x-forwarded-user",
            "forwarded",
            "x-remote-user",
            "x_auth_user",
            "x.auth.user",
            "x-http-method-override",
            "x-tagwarden-role",
            "x-original-url",
            "connection",
            "transfer-encoding",
            "content-length",
            "host",
            "x-listed",
            "x-envoy-original-path",
            "accept-encoding",
            "grpc-timeout",
            "grpc-encoding",
            "connect-timeout-ms",
        ] {
            assert!(!passes(name), "{name}");
        }
    }

    #[test]
    fn a_host_has_the_characters_of_one_and_a_port_has_digits() {
        for host in [
            "",
            "x",
            "features.example",
            "EXAMPLE",
            "a_b",
            "127.0.0.1",
            "127.0.0.1:80",
            "x:",
            "[::1]",
            "[::1]:8080",
            "%41",
        ] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in [
            "a b", "a@b", "a/b", "a?b", "a#b", "a:b", "a:80:80", "::1", "[::1", "::1]", "[::1]x", "[[::1]]", "a,b c",
            "é", "a\"", "a\\b",
        ] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn other_headers_do() {
        for name in ["x-size", "user-agent", "traceparent", "tracestate", "x-request-id", "accept-language"] {
            assert!(passes(name), "{name}");
        }
    }
}
