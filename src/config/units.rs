//! Durations, sizes, addresses and variables, as config.md spells them.

use std::path::Path;
use std::time::Duration;

use jsonwebtoken::Algorithm;

use super::Target;

/// Algorithms that need a public key; the default list of an issuer.
pub const ASYMMETRIC: &[(&str, Algorithm)] = &[
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
];

/// Algorithms that need a shared secret.
pub const SYMMETRIC: &[(&str, Algorithm)] =
    &[("HS256", Algorithm::HS256), ("HS384", Algorithm::HS384), ("HS512", Algorithm::HS512)];

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, unit))
}

/// `250ms`, `30s`, `5m`, `1h`, `30d`.
pub fn duration(text: &str) -> Option<Duration> {
    let (count, unit) = split_unit(text)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    count.checked_mul(millis).map(Duration::from_millis)
}

/// `64KiB`, `8MiB`, `1GiB`, `512B`.
pub fn bytes(text: &str) -> Option<usize> {
    let (count, unit) = split_unit(text)?;
    let factor: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    count.checked_mul(factor).and_then(|bytes| usize::try_from(bytes).ok())
}

/// `http://host:port`, `https://host`, `unix:/path`; nothing behind the port.
pub fn target(text: &str, folder: &Path) -> Option<Target> {
    if let Some(path) = text.strip_prefix("unix:") {
        return (!path.is_empty()).then(|| Target::Unix(folder.join(path)));
    }
    let uri: hyper::Uri = text.parse().ok()?;
    let tls = match uri.scheme_str()? {
        "http" => false,
        "https" => true,
        _ => return None,
    };
    let authority = uri.authority()?;
    if authority.as_str().contains('@') || !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return None;
    }
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    Some(Target::Tcp { tls, host: authority.host().to_owned(), port })
}

/// Replaces `${NAME}` and `${NAME:-default}`.
///
/// # Errors
/// A variable that is not set and has no default, or a `${` that does not end.
pub fn expand(text: &str, variables: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let Some((inside, after)) = after.split_once('}') else {
            return Err("a `${` does not end with `}`".to_owned());
        };
        let (name, default) = inside.split_once(":-").map_or((inside, None), |(name, default)| (name, Some(default)));
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(format!("`{name}` is no name of a variable"));
        }
        match (variables(name).filter(|value| !value.is_empty() || default.is_none()), default) {
            (Some(value), _) => out.push_str(&value),
            (None, Some(default)) => out.push_str(default),
            (None, None) => return Err(format!("variable `{name}` is not set")),
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// A path that means itself: absolute, ASCII, no escapes, no empty, `.` or `..` segments, no `;`, no back slash.
pub fn plain_path(path: &str) -> Option<&str> {
    let rest = path.strip_prefix('/')?;
    let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'%' | b';' | b'\\' | b'?' | b'#');
    let segments_fine = rest.is_empty() || rest.split('/').all(|segment| !matches!(segment, "" | "." | ".."));
    (rest.bytes().all(plain) && segments_fine).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_read_as_documented() {
        assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(duration("30d"), Some(Duration::from_secs(30 * 86_400)));
        assert_eq!(duration("30"), None);
        assert_eq!(duration("s"), None);
        assert_eq!(duration("-1s"), None);
        assert_eq!(bytes("8MiB"), Some(8 << 20));
        assert_eq!(bytes("8MB"), None);
    }

    #[test]
    fn variables_expand() {
        let look = |name: &str| (name == "A").then(|| "x".to_owned());
        assert_eq!(expand("${A}-${B:-y}", &look).as_deref(), Ok("x-y"));
        assert_eq!(expand("${B}", &look), Err("variable `B` is not set".to_owned()));
        assert_eq!(expand("${B", &look), Err("a `${` does not end with `}`".to_owned()));
    }

    #[test]
    fn targets_are_closed() {
        let at = |text: &str| target(text, Path::new("/etc"));
        assert_eq!(at("http://127.0.0.1:6566"), Some(Target::Tcp { tls: false, host: "127.0.0.1".into(), port: 6566 }));
        assert_eq!(at("https://f.internal"), Some(Target::Tcp { tls: true, host: "f.internal".into(), port: 443 }));
        assert_eq!(at("unix:/run/f.sock"), Some(Target::Unix("/run/f.sock".into())));
        for wrong in ["ftp://x", "http://u:p@x", "http://x/path", "x:80", "unix:"] {
            assert_eq!(at(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_plain_paths_are_routes() {
        for plain in ["/", "/a", "/v1/items", "/a.b/c-d_e~f"] {
            assert!(plain_path(plain).is_some(), "{plain}");
        }
        for other in ["", "a", "//a", "/a/", "/a//b", "/./a", "/a/..", "/a%2Fb", "/a;x", "/a\\b", "/a b", "/ä"] {
            assert!(plain_path(other).is_none(), "{other}");
        }
    }
}
