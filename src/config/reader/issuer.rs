//! The built-in issuer.

use std::sync::Arc;
use std::time::Duration;

use crate::config::reader::ConfigReader;
use crate::config::{BuiltInIssuer, Config, RedisUrl, StoreSettings};
use crate::diagnostic::{Code, Diagnostic, Place, SourceFile};
use crate::fetch::Url;
use crate::yaml::{Fields, Node};

/// The paths of the issuer (config.md): nobody else's where it is configured.
pub const PATHS: [&str; 10] = [
    "/v1/oauth/token",
    "/oauth/token",
    "/api/v1/auth/token",
    "/api/v1/auth/refresh",
    "/oauth/revoke",
    "/oauth/introspect",
    "/v1/who-am-i",
    "/.well-known/openid-configuration",
    "/.well-known/oauth-authorization-server",
    "/.well-known/jwks.json",
];

const HOUR: Duration = Duration::from_secs(3600);

impl ConfigReader<'_, '_> {
    pub(super) fn built_in(&mut self, node: &Node, public_url: Option<&str>, api_keys: bool) -> Option<BuiltInIssuer> {
        let keys =
            &["url", "audience", "keys", "clients", "access_token_ttl", "refresh_token_ttl", "store", "revocations"];
        let fields = self.r.fields(node, "`issuer`", keys)?;
        let url = self.wanted(node, &fields, "issuer", "url").map(str::to_owned);
        if let (Some(url), Some(node)) = (&url, fields.get("url")) {
            self.web_address(node, "issuer.url", url);
        }
        let audience = self.wanted(node, &fields, "issuer", "audience").map(str::to_owned);
        let mut path = |name: &str, default: &str| match fields.get(name) {
            Some(node) => self.path(node, &format!("`issuer.{name}`")),
            None => Some(self.folder.join(default)),
        };
        let (keys, clients) = (path("keys", "keys"), path("clients", "clients.yaml"));
        let access_token_ttl = self.life(&fields, "access_token_ttl", HOUR);
        let refresh_token_ttl = self.life(&fields, "refresh_token_ttl", 30 * 24 * HOUR);
        let revocations = fields.get("revocations").and_then(|node| {
            let fields = self.r.fields(node, "`issuer.revocations`", &["max_stale"])?;
            Some(self.duration(&fields, "max_stale", Duration::from_secs(60)))
        });
        let store = self.store(fields.get("store"));
        let public_url = public_url.or(url.as_deref()).unwrap_or_default().trim_end_matches('/').to_owned();
        Some(BuiltInIssuer {
            url: url?,
            audience: audience?,
            keys: keys?,
            clients: clients?,
            access_token_ttl,
            refresh_token_ttl,
            store: store?,
            max_stale: revocations.unwrap_or(Duration::from_secs(60)),
            api_keys,
            public_url,
            chalk_environment: None,
        })
    }

    /// Whole seconds, for that is how `exp` counts, and at least one.
    fn life(&mut self, fields: &Fields<'_>, name: &str, default: Duration) -> Duration {
        let life = self.duration(fields, name, default);
        if let Some(node) = fields.get(name)
            && (life.as_secs() == 0 || life.subsec_nanos() > 0)
        {
            self.r.error(node, Code::Duration, format!("`issuer.{name}` is no whole number of seconds from 1 on"));
        }
        life
    }

    fn store(&mut self, node: Option<&Node>) -> Option<StoreSettings> {
        let Some(node) = node else { return Some(StoreSettings::Embedded(self.folder.join("data/tokens.redb"))) };
        let fields = self.r.fields(node, "`issuer.store`", &["embedded", "redis_url"])?;
        let embedded = fields.get("embedded").and_then(|node| self.path(node, "`embedded`"));
        let redis = fields.get("redis_url").and_then(|node| Some((node, self.r.text(node, "`redis_url`")?.to_owned())));
        match (embedded, redis) {
            (Some(path), None) => Some(StoreSettings::Embedded(path)),
            (None, Some((node, url))) => {
                let line = self.r.file.text.lines().nth((node.line as usize).saturating_sub(1)).unwrap_or_default();
                if !(url.starts_with("redis://") || url.starts_with("rediss://")) {
                    // Without the text, which may hold a password.
                    self.r.error(node, Code::Url, "`redis_url` begins with neither `redis://` nor `rediss://`");
                } else if url.contains('@') && !line.contains("${") {
                    let message = "`redis_url` holds a password: take it from a variable, such as `\"${REDIS_URL}\"`";
                    // Without its line, which holds the password.
                    let blind = Arc::new(SourceFile { name: self.r.file.name.clone(), text: String::new() });
                    let place = Place { file: blind, line: node.line, column: node.column };
                    self.r.report.push(Diagnostic::new(Code::PlainSecret, &place, message));
                }
                Some(StoreSettings::Redis(RedisUrl(url)))
            }
            (Some(_), Some(_)) | (None, None) => {
                self.r.error(node, Code::Store, "`issuer.store` names not exactly one of `embedded` and `redis_url`");
                None
            }
        }
    }

    /// An address that paths are put behind.
    pub(super) fn web_address(&mut self, node: &Node, what: &str, text: &str) {
        let plain = !text.contains(['?', '#']);
        if let Err(why) = Url::parse(text) {
            self.r.error(node, Code::Url, format!("`{what}`: {why}"));
        } else if !plain {
            self.r.error(node, Code::Url, format!("`{what}` has a query or a fragment, so no path can follow it"));
        }
    }

    /// What the issuer takes for itself is neither another issuer's nor a route's.
    pub(super) fn apart(&mut self, node: &Node, config: &Config) {
        let Some(issuer) = &config.issuer else { return };
        if config.issuers.iter().any(|other| other.issuer == issuer.url) {
            let message =
                format!("`{}` stands in `auth.issuers` too: tokens of our own need no entry there", issuer.url);
            self.r.error(node, Code::DuplicateName, message);
        }
        for route in config.routes.iter().filter(|route| PATHS.contains(&route.path.as_str())) {
            let message = format!("`{}` is the issuer's, and stands under `routes` too", route.path);
            self.r.error(node, Code::Route, message);
        }
        if issuer.max_stale.is_zero() {
            self.r.error(node, Code::Duration, "`revocations.max_stale` is 0, so no token of ours would be accepted");
        }
    }
}
