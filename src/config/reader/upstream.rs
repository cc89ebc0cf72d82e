//! The feature server, the routes to it, and what a request may cost.

use std::time::Duration;

use crate::config::reader::ConfigReader;
use crate::config::{Limits, Route, Upstream, UpstreamAuthorization, UpstreamTls, units};
use crate::diagnostic::Code;
use crate::yaml::{Node, Value};

/// Paths that the Feast dialect serves by itself.
const FEAST_PATHS: &[&str] = &["/get-online-features", "/health"];
/// Paths that the Feast dialect would have to read and decide, and does not yet.
const FEAST_OPTIONAL: &[&str] = &[
    "/search",
    "/retrieve-online-documents",
    "/v1/vector_stores",
    "/push",
    "/write-to-online-store",
    "/materialize",
    "/materialize-incremental",
    "/mcp",
];

impl ConfigReader<'_, '_> {
    pub(super) fn upstream(&mut self, node: &Node) -> Option<Upstream> {
        let keys = &["url", "engine_url", "dialect", "tls", "connect_timeout", "timeout", "authorization"];
        let fields = self.r.fields(node, "`upstream`", keys)?;
        self.unbuilt(&fields, "engine_url");
        let mut written = String::new();
        let target = match fields.get("url") {
            Some(url) => {
                let text = self.r.text(url, "`upstream.url`")?;
                text.clone_into(&mut written);
                let target = units::target(text, self.folder);
                if target.is_none() {
                    self.r.error(
                        url,
                        Code::Url,
                        format!("`upstream.url` is `{text}`, not http://host:port, https://host:port or unix:/path"),
                    );
                }
                target
            }
            None => {
                self.r.error(node, Code::Missing, "`upstream.url` is missing");
                None
            }
        };
        match fields.get("dialect") {
            Some(dialect) => {
                let word =
                    self.r.word(dialect, "`dialect`", &[("feast", "feast"), ("chalk", "chalk"), ("json", "json")]);
                if let Some(word) = word.filter(|word| *word != "feast") {
                    self.r.error(dialect, Code::Unsupported, format!("`dialect: {word}` is not part of this version"));
                }
            }
            None => self.r.error(node, Code::Missing, "`upstream.dialect` is missing: `feast`"),
        }
        let mut tls = UpstreamTls::default();
        if let Some(node) = fields.get("tls")
            && let Some(fields) = self.r.fields(node, "`upstream.tls`", &["ca", "cert", "key", "server_name"])
        {
            tls.ca = fields.get("ca").and_then(|node| self.path(node, "`ca`"));
            tls.client = self.pair(node, &fields, "upstream.tls");
            tls.server_name =
                fields.get("server_name").and_then(|n| self.r.text(n, "`server_name`")).map(str::to_owned);
        }
        let authorization = match fields.get("authorization") {
            None => UpstreamAuthorization::Drop,
            Some(node) if matches!(node.value, Value::Map(_)) => {
                let fields = self.r.fields(node, "`authorization`", &["bearer_file"])?;
                let file = fields.get("bearer_file").and_then(|node| self.path(node, "`bearer_file`"));
                if file.is_none() {
                    self.r.error(node, Code::Missing, "`authorization` names no `bearer_file`");
                }
                UpstreamAuthorization::BearerFile(file?)
            }
            Some(node) => {
                let words = [("drop", false), ("forward", true)];
                if self.r.word(node, "`authorization`", &words)? {
                    UpstreamAuthorization::Forward
                } else {
                    UpstreamAuthorization::Drop
                }
            }
        };
        Some(Upstream {
            url: written,
            target: target?,
            tls,
            connect_timeout: self.duration(&fields, "connect_timeout", Duration::from_secs(1)),
            timeout: self.duration(&fields, "timeout", Duration::from_secs(30)),
            authorization,
        })
    }

    pub(super) fn routes(&mut self, node: Option<&Node>) -> Vec<Route> {
        let Some(items) = node.and_then(|node| self.r.list(node, "`routes`")) else { return Vec::new() };
        items.iter().filter_map(|item| self.route(item)).collect()
    }

    fn route(&mut self, node: &Node) -> Option<Route> {
        let fields = self.r.fields(node, "a route", &["path", "methods", "roles", "public"])?;
        let Some(path_node) = fields.get("path") else {
            self.r.error(node, Code::Missing, "a route without `path`");
            return None;
        };
        let path = self.r.text(path_node, "`path`")?.to_owned();
        if FEAST_PATHS.contains(&path.as_str()) {
            self.r.error(path_node, Code::Route, format!("`{path}` is always served by the dialect"));
        } else if FEAST_OPTIONAL.iter().any(|p| path == *p || path.strip_prefix(p).is_some_and(|r| r.starts_with('/')))
        {
            let message = format!("`{path}` would have to be read by the dialect, which is not part of this version");
            self.r.error(path_node, Code::Unsupported, message);
        } else if !path.starts_with('/') || units::plain_path(&path).is_none() {
            self.r.error(path_node, Code::Route, format!("`{path}` is no plain path such as `/v1/items`"));
        }
        let methods = self.texts(fields.get("methods"), "`methods`");
        if methods.is_empty() {
            self.r.error(node, Code::Missing, format!("route `{path}` lists no `methods`"));
        }
        for method in &methods {
            if !method.bytes().all(|b| b.is_ascii_uppercase()) || matches!(method.as_str(), "CONNECT" | "TRACE") {
                self.r.error(
                    node,
                    Code::Route,
                    format!("route `{path}` lists `{method}`, which is no method that is passed on"),
                );
            }
        }
        let public = fields.get("public").and_then(|node| self.r.boolean(node, "`public`")).unwrap_or(false);
        if public && methods.iter().any(|method| method != "GET" && method != "HEAD") {
            self.r.error(node, Code::Route, format!("route `{path}` is public, which only GET and HEAD can be"));
        }
        let roles = fields.get("roles").map(|node| self.texts(Some(node), "`roles` of a route"));
        if public && roles.is_some() {
            self.r.error(node, Code::Route, format!("route `{path}` is public and lists `roles`"));
        }
        Some(Route { path, methods, roles, public })
    }

    pub(super) fn limits(&mut self, node: Option<&Node>) -> Limits {
        const KEYS: &[&str] = &[
            "request_body",
            "response_body",
            "token_bytes",
            "first_byte_timeout",
            "header_bytes",
            "connections",
            "inflight",
            "header_timeout",
            "body_timeout",
            "idle_timeout",
        ];
        let empty = Node { value: Value::Map(Vec::new()), line: 0, column: 0 };
        let node = node.unwrap_or(&empty);
        let Some(fields) = self.r.fields(node, "`limits`", KEYS).or_else(|| self.r.fields(&empty, "`limits`", KEYS))
        else {
            return Limits::default();
        };
        let default = Limits::default();
        let mut count = |name: &str, default: usize| {
            let Some(node) = fields.get(name) else { return default };
            let value = self.r.count(node, &format!("`{name}`")).and_then(|value| usize::try_from(value).ok());
            if value == Some(0) {
                self.r.error(node, Code::Limit, format!("`{name}` is 0, and nothing would be served"));
            }
            value.unwrap_or(default)
        };
        let (connections, inflight) = (count("connections", default.connections), count("inflight", default.inflight));
        Limits {
            connections,
            inflight,
            request_body: self.bytes(&fields, "request_body", default.request_body),
            response_body: self.bytes(&fields, "response_body", default.response_body),
            token_bytes: self.bytes(&fields, "token_bytes", default.token_bytes),
            header_bytes: self.bytes(&fields, "header_bytes", default.header_bytes).max(8 << 10),
            first_byte_timeout: self.duration(&fields, "first_byte_timeout", default.first_byte_timeout),
            header_timeout: self.duration(&fields, "header_timeout", default.header_timeout),
            body_timeout: self.duration(&fields, "body_timeout", default.body_timeout),
            idle_timeout: self.duration(&fields, "idle_timeout", default.idle_timeout),
        }
    }
}
