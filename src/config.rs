//! `tagwarden.yaml`, validated (config.md, Configuration). Every mistake is reported with its place; what this version
//! does not do is refused by name, never ignored.

mod issuers;
pub mod units;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::Algorithm;

use crate::diagnostic::{Code, Diagnostic, Report, SourceFile};
pub use crate::tls::UpstreamTls;
use crate::yaml::{self, Fields, Node, Reader, Value};
pub use issuers::{Audiences, IssuerSettings, KeySource};

/// The whole configuration; paths are joined to the folder of the file.
#[derive(Clone, Debug)]
pub struct Config {
    /// Worker threads; `None`: the cores.
    pub threads: Option<usize>,
    /// The data listener.
    pub listen: Listen,
    /// `/metrics /livez /readyz`.
    pub metrics: SocketAddr,
    /// `/status`.
    pub admin: SocketAddr,
    /// The feature server behind.
    pub upstream: Upstream,
    /// Where tokens come from.
    pub issuers: Vec<IssuerSettings>,
    /// How many verified tokens are kept.
    pub token_cache_entries: u64,
    /// Policy files: a file or a folder.
    pub policies: PathBuf,
    /// Generated files below the policy.
    pub catalogue: Vec<PathBuf>,
    /// Whether a reload may lose half of the roles, bindings or tagged features.
    pub allow_shrink: bool,
    /// Whether what the policy says is what happens.
    pub enforcement: Enforcement,
    /// A candidate, decided beside the live policy: a file or a folder.
    pub shadow: Option<PathBuf>,
    /// How many decisions are kept.
    pub decision_cache_entries: u64,
    /// Routes besides the dialect's own.
    pub routes: Vec<Route>,
    /// Sizes, counts and deadlines.
    pub limits: Limits,
    /// What SIGTERM does.
    pub drain: Drain,
    /// Where decisions are logged.
    pub audit: Audit,
    /// Whether members of a bundle are named on the wire.
    pub name_members: bool,
    /// Logs.
    pub tracing: Tracing,
}

/// Whether what the policy says is what happens (config.md, Audit enforcement).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Enforcement {
    /// It is.
    #[default]
    Enforce,
    /// It is recorded, and what was asked for goes upstream.
    Audit,
}

/// The data listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Default `127.0.0.1:8080`.
    pub address: SocketAddr,
    /// Certificate chain and key, PEM.
    pub tls: Option<(PathBuf, PathBuf)>,
}

/// The feature server behind.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Where it listens.
    pub target: Target,
    /// Trust roots, client certificate and name, for https.
    pub tls: UpstreamTls,
    /// Default 1 s.
    pub connect_timeout: Duration,
    /// From the request sent to the last byte of the answer; default 30 s.
    pub timeout: Duration,
    /// What it sees as `Authorization`.
    pub authorization: UpstreamAuthorization,
}

/// Where a feature server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Over TCP.
    Tcp {
        /// https.
        tls: bool,
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// A socket file.
    Unix(PathBuf),
}

/// What the upstream sees as `Authorization`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamAuthorization {
    /// Nothing.
    Drop,
    /// What the caller sent.
    Forward,
    /// `Bearer` and what stands in a file.
    BearerFile(PathBuf),
}

/// A route besides the dialect's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The exact path.
    pub path: String,
    /// Methods.
    pub methods: Vec<String>,
    /// Who may; `None`: any caller with a role.
    pub roles: Option<Vec<String>>,
    /// No token asked (GET and HEAD alone).
    pub public: bool,
}

/// Every cap and deadline (config.md, `limits`).
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a request body.
    pub request_body: usize,
    /// Bytes of an upstream's answer.
    pub response_body: usize,
    /// Bytes of a token.
    pub token_bytes: usize,
    /// Bytes of a request's head.
    pub header_bytes: usize,
    /// Connections at once.
    pub connections: usize,
    /// Requests at once.
    pub inflight: usize,
    /// Until the protocol is known, TLS handshake included.
    pub first_byte_timeout: Duration,
    /// From the first byte of a head to its last.
    pub header_timeout: Duration,
    /// From the head to the last byte of the body.
    pub body_timeout: Duration,
    /// Between requests on one connection.
    pub idle_timeout: Duration,
}

/// What SIGTERM does: not ready, go on for `delay`, then finish what is in flight within `timeout`.
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    /// Default 5 s.
    pub delay: Duration,
    /// Default 25 s.
    pub timeout: Duration,
}

/// Where decisions are logged.
#[derive(Clone, Debug)]
pub struct Audit {
    /// Default stdout.
    pub log: AuditLog,
    /// Share of permitted decisions that is logged, 0 to 1; refusals always are.
    pub permitted: f64,
    /// Whether subjects are hashed (the default) or plain.
    pub hash_subjects: bool,
    /// Key of the subject hash.
    pub key_file: Option<PathBuf>,
    /// A full queue blocks requests (the default) or refuses them.
    pub block_when_full: bool,
}

/// The place of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditLog {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Appended to a file.
    File(PathBuf),
}

/// Logs.
#[derive(Clone, Debug)]
pub struct Tracing {
    /// Default `info`.
    pub level: String,
    /// JSON (the default) or text.
    pub json: bool,
}

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

/// Reads a configuration. `variables` looks up `${NAME}`; `folder` is where relative paths start.
/// With an error in the report there is none.
pub fn read(
    file: &Arc<SourceFile>,
    folder: &Path,
    variables: &dyn Fn(&str) -> Option<String>,
) -> (Option<Config>, Report) {
    let mut report = Report::default();
    let config = match yaml::parse(file) {
        Ok(mut node) => {
            let mut reader = Reader { file: Arc::clone(file), report: &mut report };
            substitute(&mut reader, &mut node, variables);
            ConfigReader { r: reader, folder }.config(&node)
        }
        Err(diagnostic) => {
            report.push(*diagnostic);
            None
        }
    };
    report.sort();
    (config.filter(|_| !report.has_errors()), report)
}

/// `${NAME}` and `${NAME:-default}` in every text value.
fn substitute(reader: &mut Reader<'_>, node: &mut Node, variables: &dyn Fn(&str) -> Option<String>) {
    match &mut node.value {
        Value::Seq(items) => items.iter_mut().for_each(|item| substitute(reader, item, variables)),
        Value::Map(entries) => entries.iter_mut().for_each(|(_, value)| substitute(reader, value, variables)),
        Value::Str(text) if text.contains("${") => match units::expand(text, variables) {
            Ok(value) => {
                node.value = match value.as_str() {
                    "true" => Value::Bool(true),
                    "false" => Value::Bool(false),
                    digits => digits.parse().map_or(Value::Str(value), Value::Int),
                };
            }
            Err(message) => reader.error(node, Code::Variable, message),
        },
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Str(_) => {}
    }
}

struct ConfigReader<'r, 'f> {
    r: Reader<'r>,
    folder: &'f Path,
}

impl ConfigReader<'_, '_> {
    fn config(&mut self, node: &Node) -> Option<Config> {
        const KEYS: &[&str] = &[
            "version",
            "threads",
            "listen",
            "metrics",
            "admin",
            "upstream",
            "auth",
            "policies",
            "allow_shrink",
            "catalogue",
            "enforcement",
            "shadow",
            "decision_cache",
            "routes",
            "limits",
            "drain",
            "audit",
            "errors",
            "chalk",
            "tracing",
            "json",
            "issuer",
        ];
        let fields = self.r.fields(node, "the configuration", KEYS)?;
        match fields.get("version") {
            Some(Node { value: Value::Int(1), .. }) => {}
            Some(other) => self.r.error(other, Code::Version, "`version` is not 1, the only one there is"),
            None => self.r.error(node, Code::Version, "`version: 1` is missing"),
        }
        for key in ["json", "issuer", "chalk"] {
            self.unbuilt(&fields, key);
        }
        let policies = match fields.get("policies") {
            Some(node) => self.path(node, "`policies`"),
            None => {
                self.r.error(node, Code::Missing, "`policies` is missing: a file or a folder");
                None
            }
        };
        let upstream = match fields.get("upstream") {
            Some(node) => self.upstream(node),
            None => {
                self.r.error(node, Code::Missing, "`upstream` is missing: where the feature server listens");
                None
            }
        };
        let issuers = match fields.get("auth") {
            Some(auth) => self.auth(auth),
            None => {
                self.r.error(node, Code::Missing, "`auth` is missing: whose tokens are accepted");
                None
            }
        };
        let config = Config {
            threads: fields.get("threads").and_then(|n| self.size(n, "`threads`")),
            listen: self.listen(fields.get("listen")),
            metrics: self.section_address(&fields, "metrics", "127.0.0.1:9902", &["address"]),
            admin: self.section_address(
                &fields,
                "admin",
                "127.0.0.1:9901",
                &["address", "token_file", "hosts", "explore"],
            ),
            upstream: upstream?,
            token_cache_entries: self.entries(
                fields
                    .get("auth")
                    .and_then(|n| if let Value::Map(_) = n.value { child(n, "token_cache") } else { None }),
                "`token_cache`",
            ),
            issuers: issuers?,
            policies: policies?,
            catalogue: self.catalogue(fields.get("catalogue")),
            allow_shrink: fields.get("allow_shrink").and_then(|n| self.r.boolean(n, "`allow_shrink`")).unwrap_or(false),
            enforcement: self.enforcement(fields.get("enforcement")),
            shadow: self.shadow(fields.get("shadow")),
            decision_cache_entries: self.entries(fields.get("decision_cache"), "`decision_cache`"),
            routes: self.routes(fields.get("routes")),
            limits: self.limits(fields.get("limits")),
            drain: self.drain(fields.get("drain")),
            audit: self.audit(fields.get("audit")),
            name_members: self.name_members(fields.get("errors")),
            tracing: self.tracing(fields.get("tracing")),
        };
        if config.threads == Some(0) {
            self.r.error(node, Code::Threads, "`threads` is 0, and nothing would run");
        }
        Some(config)
    }

    fn unbuilt(&mut self, fields: &Fields<'_>, key: &str) {
        if let Some((key, _)) = fields.entry(key) {
            let place = self.r.key_place(key);
            let message = format!("`{}` is not part of this version", key.name);
            self.r.report.push(Diagnostic::new(Code::Unsupported, &place, message));
        }
    }

    fn path(&mut self, node: &Node, what: &str) -> Option<PathBuf> {
        self.r.text(node, what).map(|text| self.folder.join(text))
    }

    fn duration(&mut self, fields: &Fields<'_>, name: &str, default: Duration) -> Duration {
        let Some(node) = fields.get(name) else { return default };
        let parsed = match &node.value {
            Value::Str(text) => units::duration(text),
            _ => None,
        };
        parsed.unwrap_or_else(|| {
            self.r.error(
                node,
                Code::Duration,
                format!("`{name}` is no duration such as `250ms`, `30s`, `5m`, `1h` or `30d`"),
            );
            default
        })
    }

    fn bytes(&mut self, fields: &Fields<'_>, name: &str, default: usize) -> usize {
        let Some(node) = fields.get(name) else { return default };
        let parsed = match &node.value {
            Value::Str(text) => units::bytes(text),
            Value::Int(number) => usize::try_from(*number).ok(),
            _ => None,
        };
        parsed.filter(|bytes| *bytes > 0).unwrap_or_else(|| {
            self.r.error(node, Code::Size, format!("`{name}` is no size such as `64KiB` or `8MiB`"));
            default
        })
    }

    fn size(&mut self, node: &Node, what: &str) -> Option<usize> {
        self.r.count(node, what).and_then(|count| usize::try_from(count).ok())
    }

    fn address(&mut self, node: Option<&Node>, what: &str, default: &str) -> SocketAddr {
        let fallback = || default.parse().unwrap_or_else(|_| SocketAddr::from(([127, 0, 0, 1], 0)));
        let Some(node) = node else { return fallback() };
        let Some(text) = self.r.text(node, what) else { return fallback() };
        text.parse().unwrap_or_else(|_| {
            self.r.error(node, Code::Address, format!("{what} is `{text}`, not an address such as `127.0.0.1:8080`"));
            fallback()
        })
    }

    fn section_address(&mut self, fields: &Fields<'_>, name: &str, default: &str, keys: &[&str]) -> SocketAddr {
        let section = fields.get(name).and_then(|node| self.r.fields(node, &format!("`{name}`"), keys));
        if let Some(section) = &section {
            for key in ["token_file", "hosts"] {
                self.unbuilt(section, key);
            }
        }
        let address =
            self.address(section.as_ref().and_then(|s| s.get("address")), &format!("`{name}.address`"), default);
        if let (Some(node), "admin") = (section.as_ref().and_then(|s| s.get("address")), name)
            && !address.ip().is_loopback()
        {
            self.r.error(
                node,
                Code::Unsupported,
                "`admin.address` is not loopback, and its token is not part of this version",
            );
        }
        address
    }

    fn listen(&mut self, node: Option<&Node>) -> Listen {
        let fields = node.and_then(|node| self.r.fields(node, "`listen`", &["address", "tls", "public_url"]));
        let get = |name: &str| fields.as_ref().and_then(|fields| fields.get(name));
        if let Some(node) = get("public_url") {
            self.r.text(node, "`public_url`");
        }
        let tls = get("tls").and_then(|node| {
            let fields = self.r.fields(node, "`listen.tls`", &["cert", "key", "client_ca"])?;
            self.unbuilt(&fields, "client_ca");
            self.pair(node, &fields, "listen.tls")
        });
        Listen { address: self.address(get("address"), "`listen.address`", "127.0.0.1:8080"), tls }
    }

    /// `cert` and `key`, both or neither.
    fn pair(&mut self, node: &Node, fields: &Fields<'_>, what: &str) -> Option<(PathBuf, PathBuf)> {
        let cert = fields.get("cert").and_then(|node| self.path(node, "`cert`"));
        let key = fields.get("key").and_then(|node| self.path(node, "`key`"));
        if cert.is_some() != key.is_some() {
            self.r.error(node, Code::Missing, format!("`{what}` needs `cert` and `key` together"));
        }
        cert.zip(key)
    }

    fn upstream(&mut self, node: &Node) -> Option<Upstream> {
        let keys = &["url", "engine_url", "dialect", "tls", "connect_timeout", "timeout", "authorization"];
        let fields = self.r.fields(node, "`upstream`", keys)?;
        self.unbuilt(&fields, "engine_url");
        let target = match fields.get("url") {
            Some(url) => {
                let text = self.r.text(url, "`upstream.url`")?;
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
            target: target?,
            tls,
            connect_timeout: self.duration(&fields, "connect_timeout", Duration::from_secs(1)),
            timeout: self.duration(&fields, "timeout", Duration::from_secs(30)),
            authorization,
        })
    }

    fn auth(&mut self, node: &Node) -> Option<Vec<IssuerSettings>> {
        let fields = self.r.fields(node, "`auth`", &["issuers", "opaque", "token_cache", "api_keys"])?;
        self.unbuilt(&fields, "opaque");
        if let Some(node) = fields.get("api_keys") {
            // Without the built-in issuer there are none, whatever this says.
            self.r.boolean(node, "`api_keys`");
        }
        let items = match fields.get("issuers") {
            Some(issuers) => self.r.list(issuers, "`auth.issuers`")?,
            None => &[],
        };
        if items.is_empty() {
            self.r.error(node, Code::Missing, "`auth.issuers` names no issuer, so no token would be accepted");
        }
        let issuers: Vec<IssuerSettings> = items.iter().filter_map(|item| self.issuer(item)).collect();
        for (item, issuer) in items.iter().zip(&issuers) {
            if issuers.iter().filter(|other| other.issuer == issuer.issuer).count() > 1 {
                self.r.error(item, Code::DuplicateName, format!("issuer `{}` stands twice", issuer.issuer));
            }
        }
        Some(issuers)
    }

    fn issuer(&mut self, node: &Node) -> Option<IssuerSettings> {
        let keys = &[
            "issuer",
            "audiences",
            "algorithms",
            "keys",
            "stale_if_error",
            "keys_folder",
            "leeway",
            "require",
            "require_typ",
        ];
        let fields = self.r.fields(node, "an issuer", keys)?;
        self.unbuilt(&fields, "keys_folder");
        let issuer = match fields.get("issuer") {
            Some(node) => self.r.text(node, "`issuer`").map(str::to_owned),
            None => {
                self.r.error(node, Code::Missing, "an issuer without `issuer`");
                None
            }
        };
        let audiences = match fields.get("audiences") {
            Some(Node { value: Value::Str(word), .. }) if word == "unchecked" => Some(Audiences::Unchecked),
            Some(list) => {
                let names = self.texts(Some(list), "`audiences`");
                if names.is_empty() {
                    self.r.error(
                        list,
                        Code::Audiences,
                        "`audiences` is empty; the word `unchecked` turns the check off",
                    );
                }
                Some(Audiences::OneOf(names))
            }
            None => {
                self.r.error(node, Code::Audiences, "`audiences` is missing; the word `unchecked` turns the check off");
                None
            }
        };
        let source = match fields.get("keys") {
            Some(node) => self.keys(node),
            None => {
                let message = "`keys` is missing, and discovery is not part of this version";
                self.r.error(node, Code::Unsupported, message);
                None
            }
        };
        let secret = matches!(source, Some(KeySource::SecretFile(_)));
        let algorithms = match fields.get("algorithms") {
            Some(node) => self.algorithms(node, secret),
            None => source.as_ref().map(KeySource::default_algorithms).unwrap_or_default(),
        };
        Some(IssuerSettings {
            issuer: issuer?,
            audiences: audiences?,
            algorithms,
            keys: source?,
            stale_if_error: self.duration(&fields, "stale_if_error", Duration::from_secs(24 * 3600)),
            leeway: self.duration(&fields, "leeway", Duration::from_secs(30)),
            require: self.texts(fields.get("require"), "`require`"),
            require_typ: fields.get("require_typ").and_then(|n| self.r.text(n, "`require_typ`")).map(str::to_owned),
        })
    }

    fn keys(&mut self, node: &Node) -> Option<KeySource> {
        if let Value::Str(word) = &node.value {
            let message = if word == "discovery" {
                "`keys: discovery` is not part of this version; give `jwks_url`".to_owned()
            } else {
                format!("`keys` is `{word}`, not jwks_url, jwks_file, pem_file or secret_file")
            };
            self.r.error(node, Code::Unsupported, message);
            return None;
        }
        let fields = self.r.fields(node, "`keys`", &["jwks_url", "jwks_file", "pem_file", "secret_file"])?;
        let mut sources = Vec::new();
        if let Some(node) = fields.get("jwks_url") {
            let text = self.r.text(node, "`jwks_url`")?;
            if !(text.starts_with("https://") || text.starts_with("http://")) {
                self.r.error(node, Code::Url, "`jwks_url` is neither http nor https");
            }
            sources.push(KeySource::JwksUrl(text.to_owned()));
        }
        type FromFile = fn(PathBuf) -> KeySource;
        let files: [(&str, FromFile); 3] = [
            ("jwks_file", KeySource::JwksFile),
            ("pem_file", KeySource::PemFile),
            ("secret_file", KeySource::SecretFile),
        ];
        for (name, source) in files {
            if let Some(node) = fields.get(name) {
                sources.extend(self.path(node, &format!("`{name}`")).map(source));
            }
        }
        if sources.len() != 1 {
            self.r.error(node, Code::Keys, "`keys` names not exactly one source");
        }
        sources.pop()
    }

    fn algorithms(&mut self, node: &Node, secret: bool) -> Vec<Algorithm> {
        let mut algorithms = Vec::new();
        for item in self.r.list(node, "`algorithms`").unwrap_or_default() {
            let words = if secret { units::SYMMETRIC } else { units::ASYMMETRIC };
            let other = if secret { units::ASYMMETRIC } else { units::SYMMETRIC };
            if let Value::Str(text) = &item.value
                && other.iter().any(|(name, _)| name == text)
            {
                let message = if secret {
                    format!("algorithm `{text}` does not go with a `secret_file`")
                } else {
                    format!("algorithm `{text}` goes only with a `secret_file`")
                };
                self.r.error(item, Code::Algorithm, message);
                continue;
            }
            algorithms.extend(self.r.word(item, "an algorithm", words));
        }
        if algorithms.is_empty() {
            self.r.error(node, Code::Algorithm, "`algorithms` is empty, so no token would be accepted");
        }
        algorithms
    }

    fn texts(&mut self, node: Option<&Node>, what: &str) -> Vec<String> {
        let Some(items) = node.and_then(|node| self.r.list(node, what)) else { return Vec::new() };
        items.iter().filter_map(|item| self.r.text(item, &format!("an item of {what}")).map(str::to_owned)).collect()
    }

    fn entries(&mut self, node: Option<&Node>, what: &str) -> u64 {
        let fields = node.and_then(|node| self.r.fields(node, what, &["entries"]));
        fields.and_then(|f| f.get("entries").and_then(|node| self.r.count(node, "`entries`"))).unwrap_or(100_000)
    }

    fn catalogue(&mut self, node: Option<&Node>) -> Vec<PathBuf> {
        let Some(items) = node.and_then(|node| self.r.list(node, "`catalogue`")) else { return Vec::new() };
        let mut files = Vec::new();
        for item in items {
            if matches!(item.value, Value::Map(_)) {
                self.r.error(item, Code::Unsupported, "a live catalogue is not part of this version");
            } else {
                files.extend(self.path(item, "a catalogue"));
            }
        }
        files
    }

    fn enforcement(&mut self, node: Option<&Node>) -> Enforcement {
        let words = [("enforce", Enforcement::Enforce), ("audit", Enforcement::Audit)];
        node.and_then(|node| self.r.word(node, "`enforcement`", &words)).unwrap_or_default()
    }

    fn shadow(&mut self, node: Option<&Node>) -> Option<PathBuf> {
        let node = node?;
        let fields = self.r.fields(node, "`shadow`", &["policies"])?;
        match fields.get("policies") {
            Some(node) => self.path(node, "`shadow.policies`"),
            None => {
                self.r.error(node, Code::Missing, "`shadow` names no `policies`: the candidate, a file or a folder");
                None
            }
        }
    }

    fn routes(&mut self, node: Option<&Node>) -> Vec<Route> {
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

    fn limits(&mut self, node: Option<&Node>) -> Limits {
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

    fn drain(&mut self, node: Option<&Node>) -> Drain {
        let default = Drain { delay: Duration::from_secs(5), timeout: Duration::from_secs(25) };
        let Some(fields) = node.and_then(|node| self.r.fields(node, "`drain`", &["delay", "timeout"])) else {
            return default;
        };
        Drain {
            delay: self.duration(&fields, "delay", default.delay),
            timeout: self.duration(&fields, "timeout", default.timeout),
        }
    }

    fn audit(&mut self, node: Option<&Node>) -> Audit {
        let mut audit =
            Audit { log: AuditLog::Stdout, permitted: 1.0, hash_subjects: true, key_file: None, block_when_full: true };
        let keys = &["log", "permitted", "subject", "key_file", "on_full"];
        let Some(fields) = node.and_then(|node| self.r.fields(node, "`audit`", keys)) else { return audit };
        if let Some(text) = fields.get("log").and_then(|node| self.r.text(node, "`audit.log`")) {
            audit.log = match text {
                "stdout" => AuditLog::Stdout,
                "stderr" => AuditLog::Stderr,
                path => AuditLog::File(self.folder.join(path)),
            };
        }
        if let Some(node) = fields.get("permitted") {
            let share = match node.value {
                Value::Float(share) => share,
                Value::Int(0) => 0.0,
                Value::Int(1) => 1.0,
                _ => -1.0,
            };
            if (0.0..=1.0).contains(&share) {
                audit.permitted = share;
            } else {
                self.r.error(node, Code::Share, "`audit.permitted` is no share from 0 to 1");
            }
        }
        if let Some(node) = fields.get("subject") {
            audit.hash_subjects = self.r.word(node, "`subject`", &[("hash", true), ("plain", false)]).unwrap_or(true);
        }
        audit.key_file = fields.get("key_file").and_then(|node| self.path(node, "`key_file`"));
        if let Some(node) = fields.get("on_full") {
            audit.block_when_full =
                self.r.word(node, "`on_full`", &[("block", true), ("refuse", false)]).unwrap_or(true);
        }
        audit
    }

    fn name_members(&mut self, node: Option<&Node>) -> bool {
        let fields = node.and_then(|node| self.r.fields(node, "`errors`", &["name_members"]));
        fields.and_then(|f| f.get("name_members").and_then(|n| self.r.boolean(n, "`name_members`"))).unwrap_or(false)
    }

    fn tracing(&mut self, node: Option<&Node>) -> Tracing {
        let mut tracing = Tracing { level: "info".to_owned(), json: true };
        let Some(fields) = node.and_then(|node| self.r.fields(node, "`tracing`", &["level", "format", "otlp"])) else {
            return tracing;
        };
        if let Some(node) = fields.get("level") {
            let words = ["trace", "debug", "info", "warn", "error", "off"].map(|word| (word, word));
            tracing.level = self.r.word(node, "`tracing.level`", &words).unwrap_or("info").to_owned();
        }
        if let Some(node) = fields.get("format") {
            tracing.json = self.r.word(node, "`tracing.format`", &[("json", true), ("text", false)]).unwrap_or(true);
        }
        if let Some(node) = fields.get("otlp")
            && self.r.boolean(node, "`otlp`") == Some(true)
        {
            self.r.error(node, Code::Unsupported, "`otlp` is not part of this version");
        }
        tracing
    }
}

fn child<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().find(|(key, _)| key.name == name).map(|(_, value)| value).filter(|n| !matches!(n.value, Value::Null))
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_body: 8 << 20,
            response_body: 64 << 20,
            token_bytes: 16 << 10,
            header_bytes: 32 << 10,
            connections: 10_000,
            inflight: 4096,
            first_byte_timeout: Duration::from_secs(5),
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
        }
    }
}

#[cfg(test)]
mod tests;
