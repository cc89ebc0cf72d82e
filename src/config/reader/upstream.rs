//! The feature server, the routes to it, and what a request may cost.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::chalk::paths::{self, Listed};
use crate::config::reader::ConfigReader;
use crate::config::{
    Dialect, Engine, Limits, Route, Target, Upstream, UpstreamAuthorization, UpstreamTls, feast, units,
};
use crate::diagnostic::{Code, Diagnostic};
use crate::yaml::{Fields, Node, Value};

impl ConfigReader<'_, '_> {
    /// What it speaks, and all of it: the first is there though the second does not read.
    pub(super) fn upstream(&mut self, node: &Node) -> (Option<Dialect>, Option<Upstream>) {
        let keys = &["url", "engine_url", "dialect", "tls", "connect_timeout", "timeout", "authorization"];
        let Some(fields) = self.r.fields(node, "`upstream`", keys) else { return (None, None) };
        let dialect = self.dialect(node, &fields);
        (dialect, self.server(node, &fields, dialect))
    }

    fn dialect(&mut self, node: &Node, fields: &Fields<'_>) -> Option<Dialect> {
        let Some(dialect) = fields.get("dialect") else {
            self.r.error(node, Code::Missing, "`upstream.dialect` is missing: `feast`, `chalk` or `json`");
            return None;
        };
        let words = [("feast", Dialect::Feast), ("chalk", Dialect::Chalk), ("json", Dialect::Json)];
        self.r.word(dialect, "`dialect`", &words)
    }

    /// Where one listens, as `name` says.
    fn target(&mut self, name: &str, node: &Node) -> Option<(String, Target)> {
        let text = self.r.text(node, &format!("`upstream.{name}`"))?;
        let target = units::target(text, self.folder);
        if target.is_none() {
            let message =
                format!("`upstream.{name}` is `{text}`, not http://host:port, https://host:port or unix:/path");
            self.r.error(node, Code::Url, message);
        }
        Some((text.to_owned(), target?))
    }

    fn server(&mut self, node: &Node, fields: &Fields<'_>, dialect: Option<Dialect>) -> Option<Upstream> {
        let target = match fields.get("url") {
            Some(url) => self.target("url", url),
            None => {
                self.r.error(node, Code::Missing, "`upstream.url` is missing");
                None
            }
        };
        let engine = fields.get("engine_url").and_then(|node| self.target("engine_url", node));
        if let (Some((key, _)), Some(Dialect::Json)) = (fields.entry("engine_url"), dialect) {
            let place = self.r.key_place(key);
            let message = "`engine_url` goes with `dialect: feast` and `dialect: chalk`";
            self.r.report.push(Diagnostic::new(Code::Dialect, &place, message));
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
        let connect_timeout = self.duration(fields, "connect_timeout", Duration::from_secs(1));
        let timeout = self.duration(fields, "timeout", Duration::from_secs(30));
        let (url, target) = target?;
        Some(Upstream {
            url,
            target,
            dialect: dialect?,
            engine: engine.map(|(url, target)| Engine { url, target }),
            tls,
            connect_timeout,
            timeout,
            authorization,
        })
    }

    pub(super) fn routes(&mut self, node: Option<&Node>, dialect: Dialect) -> Vec<Route> {
        let Some(items) = node.and_then(|node| self.r.list(node, "`routes`")) else { return Vec::new() };
        let routes: Vec<Route> = items.iter().filter_map(|item| self.route(item, dialect)).collect();
        let mut first = BTreeMap::new();
        for (route, method) in routes.iter().flat_map(|route| route.methods.iter().map(move |method| (route, method))) {
            if let Some(line) = first.get(&(&route.path, method)) {
                let message = format!("`{method}` of route `{}` stands twice, first in line {line}", route.path);
                self.r.report.push(Diagnostic::new(Code::DuplicateName, &route.place, message));
            } else {
                first.insert((&route.path, method), route.place.line);
            }
        }
        routes
    }

    /// A path that the dialect serves anyway, or cannot let pass.
    fn dialects(&mut self, node: &Node, path: &str, dialect: Dialect) {
        let listed = match dialect {
            Dialect::Chalk => paths::listed(path),
            // What the description serves is looked at with it.
            Dialect::Json => Listed::Other,
            Dialect::Feast => feast::listed(path),
        };
        let message = match listed {
            Listed::Always => format!("`{path}` is always served by the dialect"),
            Listed::Unchecked => format!("`{path}` is more than the dialect can check, so it does not pass"),
            Listed::Optional | Listed::Other => return,
        };
        self.r.error(node, Code::Route, message);
    }

    fn route(&mut self, node: &Node, dialect: Dialect) -> Option<Route> {
        let fields = self.r.fields(node, "a route", &["path", "methods", "roles", "public"])?;
        let Some(path_node) = fields.get("path") else {
            self.r.error(node, Code::Missing, "a route without `path`");
            return None;
        };
        let path = self.r.text(path_node, "`path`")?.to_owned();
        if !path.starts_with('/') || units::plain_path(&path).is_none() {
            self.r.error(path_node, Code::Route, format!("`{path}` is no plain path such as `/v1/items`"));
        } else {
            self.dialects(path_node, &path, dialect);
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
        let by_post = match dialect {
            Dialect::Chalk => (paths::listed(&path) == Listed::Optional).then_some("an upload"),
            Dialect::Feast => feast::Method::at(&path).map(|_| "a method of gRPC"),
            Dialect::Json => None,
        };
        if let Some(what) = by_post.filter(|_| methods.iter().any(|method| method != "POST")) {
            self.r.error(node, Code::Route, format!("route `{path}` is {what}, which only POST can be"));
        }
        if let (Dialect::Feast, Some(door)) = (dialect, feast::Door::at(&path))
            && methods.iter().any(|method| method != door.method())
        {
            let message = format!("route `{path}` is read by the dialect, which only {} can be", door.method());
            self.r.error(node, Code::Route, message);
        }
        let public = fields.get("public").and_then(|node| self.r.boolean(node, "`public`")).unwrap_or(false);
        if public && methods.iter().any(|method| method != "GET" && method != "HEAD") {
            self.r.error(node, Code::Route, format!("route `{path}` is public, which only GET and HEAD can be"));
        }
        if public && dialect == Dialect::Feast && feast::Door::at(&path).is_some() {
            let message = format!("route `{path}` is public, and what the caller may see of it would not be known");
            self.r.error(node, Code::Route, message);
        }
        let roles = fields.get("roles").map(|node| self.texts(Some(node), "`roles` of a route"));
        if public && roles.is_some() {
            self.r.error(node, Code::Route, format!("route `{path}` is public and lists `roles`"));
        }
        Some(Route { place: self.r.place(node), path, methods, roles, public })
    }

    pub(super) fn limits(&mut self, node: Option<&Node>, dialect: Dialect) -> Limits {
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
            return Limits::of(dialect);
        };
        let default = Limits::of(dialect);
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
