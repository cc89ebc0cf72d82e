//! The tree of `tagwarden.yaml` -> [`Config`], one function a section.

mod admin;
mod auth;
mod catalogue;
mod chalk;
mod issuer;
mod upstream;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{Audit, AuditLog, Config, Dialect, Drain, Enforcement, Listen, ListenTls, Tracing, units};
use crate::diagnostic::{Code, Diagnostic};
use crate::yaml::{Fields, Node, Reader, Value};

pub use issuer::PATHS as ISSUER_PATHS;

pub(super) struct ConfigReader<'r, 'f> {
    r: Reader<'r>,
    folder: &'f Path,
}

impl<'r, 'f> ConfigReader<'r, 'f> {
    pub(super) fn new(r: Reader<'r>, folder: &'f Path) -> Self {
        Self { r, folder }
    }
}

impl ConfigReader<'_, '_> {
    pub(super) fn config(&mut self, node: &Node) -> Option<Config> {
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
        self.r.version(node, &fields);
        let policies = match fields.get("policies") {
            Some(node) => self.path(node, "`policies`"),
            None => {
                self.r.error(node, Code::Missing, "`policies` is missing: a file or a folder");
                None
            }
        };
        let (dialect, upstream) = match fields.get("upstream") {
            Some(node) => self.upstream(node),
            None => {
                self.r.error(node, Code::Missing, "`upstream` is missing: where the feature server listens");
                (None, None)
            }
        };
        let listen = self.listen(fields.get("listen"));
        let chalk = self.chalk(node, &fields, dialect);
        let certificates = listen.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        let built_in = fields.get("issuer");
        let others = certificates || built_in.is_some();
        let (issuers, opaque, api_keys) = match fields.get("auth") {
            Some(auth) => self
                .auth(auth, upstream.as_ref(), others)
                .map_or((None, None, true), |(issuers, opaque, keys)| (Some(issuers), opaque, keys)),
            None if others => (Some(Vec::new()), None, true),
            None => {
                self.r.error(node, Code::Missing, "`auth` is missing: whose tokens are accepted");
                (None, None, true)
            }
        };
        let mut issuer = built_in.map(|node| self.built_in(node, listen.public_url.as_deref(), api_keys));
        if let (Some(Some(issuer)), Some(Dialect::Chalk)) = (&mut issuer, dialect) {
            issuer.chalk_environment.clone_from(&chalk.environment);
        }
        let json = self.json(node, &fields, dialect);
        let (catalogue, chalk_graph) = self.catalogue(fields.get("catalogue"), dialect, &chalk);
        // The one that is there most often, so that one mistake is not told as several.
        let dialect = dialect.unwrap_or(Dialect::Feast);
        let threads = fields.get("threads").and_then(|node| Some((node, self.size(node, "`threads`")?)));
        if let Some((node, 0)) = threads {
            self.r.error(node, Code::Threads, "`threads` is 0, and nothing would run");
        }
        let config = Config {
            threads: threads.map(|(_, count)| count),
            listen,
            metrics: self.metrics(fields.get("metrics")),
            admin: self.admin(fields.get("admin")),
            token_cache_entries: self.entries(
                fields
                    .get("auth")
                    .and_then(|n| if let Value::Map(_) = n.value { child(n, "token_cache") } else { None }),
                "`token_cache`",
            ),
            catalogue,
            chalk_graph,
            allow_shrink: fields.get("allow_shrink").and_then(|n| self.r.boolean(n, "`allow_shrink`")).unwrap_or(false),
            enforcement: self.enforcement(fields.get("enforcement")),
            shadow: self.shadow(fields.get("shadow")),
            decision_cache_entries: self.entries(fields.get("decision_cache"), "`decision_cache`"),
            routes: self.routes(fields.get("routes"), dialect),
            limits: self.limits(fields.get("limits"), dialect),
            drain: self.drain(fields.get("drain")),
            audit: self.audit(fields.get("audit")),
            name_members: self.name_members(fields.get("errors")),
            chalk,
            json,
            tracing: self.tracing(fields.get("tracing")),
            // What cannot be left out comes last, so that every other section has been read.
            upstream: upstream?,
            issuers: issuers?,
            opaque,
            issuer: match issuer {
                Some(issuer) => Some(issuer?),
                None => None,
            },
            policies: policies?,
        };
        if let Some(node) = built_in {
            self.apart(node, &config);
        }
        Some(config)
    }

    fn listen(&mut self, node: Option<&Node>) -> Listen {
        let fields = node.and_then(|node| self.r.fields(node, "`listen`", &["address", "tls", "public_url"]));
        let get = |name: &str| fields.as_ref().and_then(|fields| fields.get(name));
        let public_url = get("public_url").and_then(|node| {
            let text = self.r.text(node, "`public_url`")?;
            self.web_address(node, "listen.public_url", text);
            Some(text.trim_end_matches('/').to_owned())
        });
        let tls = get("tls").and_then(|node| {
            let fields = self.r.fields(node, "`listen.tls`", &["cert", "key", "client_ca"])?;
            let client_ca = fields.get("client_ca");
            if let (Some(node), None, None) = (client_ca, fields.get("cert"), fields.get("key")) {
                self.r.error(node, Code::Missing, "`client_ca` goes with `cert` and `key`, and neither is there");
            }
            let client_ca = client_ca.and_then(|node| self.path(node, "`client_ca`"));
            let (cert, key) = self.pair(node, &fields, "listen.tls")?;
            Some(ListenTls { cert, key, client_ca })
        });
        let address = self.address(get("address"), "`listen.address`", "127.0.0.1:8080");
        Listen { address, tls, public_url }
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

    fn metrics(&mut self, node: Option<&Node>) -> SocketAddr {
        let section = node.and_then(|node| self.r.fields(node, "`metrics`", &["address"]));
        self.address(section.as_ref().and_then(|s| s.get("address")), "`metrics.address`", "127.0.0.1:9902")
    }

    /// `json`: the description that goes with its dialect.
    fn json(&mut self, node: &Node, fields: &Fields<'_>, dialect: Option<Dialect>) -> Option<PathBuf> {
        let path = fields.get("json").and_then(|node| self.path(node, "`json`"));
        match (dialect, fields.entry("json")) {
            (Some(Dialect::Json), None) => {
                self.r.error(node, Code::Missing, "`json` is missing: the file that describes the server");
            }
            (Some(Dialect::Feast | Dialect::Chalk), Some((key, _))) => {
                let place = self.r.key_place(key);
                self.r.report.push(Diagnostic::new(Code::Dialect, &place, "`json` goes with `dialect: json`"));
            }
            (Some(Dialect::Json) | None, Some(_)) | (Some(Dialect::Feast | Dialect::Chalk) | None, None) => {}
        }
        path
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
        let mut tracing = Tracing { level: "info".to_owned(), json: true, otlp: false };
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
        tracing.otlp = fields.get("otlp").and_then(|node| self.r.boolean(node, "`otlp`")).unwrap_or(false);
        tracing
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

    fn texts(&mut self, node: Option<&Node>, what: &str) -> Vec<String> {
        let Some(items) = node.and_then(|node| self.r.list(node, what)) else { return Vec::new() };
        items.iter().filter_map(|item| self.r.text(item, &format!("an item of {what}")).map(str::to_owned)).collect()
    }

    fn entries(&mut self, node: Option<&Node>, what: &str) -> u64 {
        let fields = node.and_then(|node| self.r.fields(node, what, &["entries"]));
        fields.and_then(|f| f.get("entries").and_then(|node| self.r.count(node, "`entries`"))).unwrap_or(100_000)
    }
}

fn child<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().find(|(key, _)| key.name == name).map(|(_, value)| value).filter(|n| !matches!(n.value, Value::Null))
}
