//! Which headers pass: hop-by-hop, credentials and identity stay here (config.md, Credentials).

use hyper::header::{self, HeaderMap, HeaderName};

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
    fn other_headers_do() {
        for name in ["x-size", "user-agent", "traceparent", "tracestate", "x-request-id", "accept-language"] {
            assert!(passes(name), "{name}");
        }
    }
}
