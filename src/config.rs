//! `tagwarden.yaml`, validated (config.md, Configuration). Every mistake is reported with its place; what this version
//! does not do is refused by name, never ignored.

pub mod feast;
mod issuer;
mod issuers;
mod opaque;
mod reader;
pub mod units;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::chalk::Switch;
use crate::diagnostic::{Code, Place, Report, SourceFile};
pub use crate::tls::{ListenTls, UpstreamTls};
use crate::yaml::{self, Node, Reader, Value};
pub use issuer::{BuiltInIssuer, RedisUrl, StoreSettings};
pub use issuers::{Audiences, IssuerSettings, KeySource};
pub use opaque::{JudgeSettings, OpaqueSettings};
pub use reader::ISSUER_PATHS;

/// The whole configuration; paths are joined to the folder of the file.
#[derive(Clone, Debug)]
pub struct Config {
    /// Worker threads; `None`: the cores.
    pub threads: Option<usize>,
    /// The data listener.
    pub listen: Listen,
    /// `/metrics /livez /readyz`.
    pub metrics: SocketAddr,
    /// `/status` and the explorer page.
    pub admin: Admin,
    /// The feature server behind.
    pub upstream: Upstream,
    /// Where tokens come from.
    pub issuers: Vec<IssuerSettings>,
    /// Whose word counts for tokens that are no JWS; `None`: there are none.
    pub opaque: Option<OpaqueSettings>,
    /// The issuer of our own; `None`: there is none.
    pub issuer: Option<BuiltInIssuer>,
    /// How many verified tokens are kept.
    pub token_cache_entries: u64,
    /// Policy files: a file or a folder.
    pub policies: PathBuf,
    /// Generated files below the policy.
    pub catalogue: Vec<PathBuf>,
    /// The live graph of the deployment, beside these files; with the Chalk dialect alone.
    pub chalk_graph: Option<GraphSettings>,
    /// Whether a reload may lose half of the roles, bindings or tagged features, or of a live graph's features.
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
    /// What `chalk` says; nothing with another dialect.
    pub chalk: ChalkSettings,
    /// The description of the server behind; there with the JSON dialect, and with no other.
    pub json: Option<PathBuf>,
    /// Logs.
    pub tracing: Tracing,
}

/// The listener of operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Default `127.0.0.1:9901`.
    pub address: SocketAddr,
    /// The file of the token that is asked for; there where the address is not loopback.
    pub token_file: Option<PathBuf>,
    /// Names in `Host` that the explorer answers to, in lower case, besides `localhost` and literal addresses.
    pub hosts: Vec<String>,
    /// Whether there is an explorer; default yes.
    pub explore: bool,
}

/// What a feature server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Feast's feature server.
    Feast,
    /// A Chalk deployment.
    Chalk,
    /// A server that `json` describes.
    Json,
}

/// `chalk` (config.md): the deployment behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChalkSettings {
    /// The environment behind us, which queries must mean. `None`: nobody said which, so a query names none.
    pub environment: Option<String>,
    /// Switches that any caller may use, whatever its roles say.
    pub allow: BTreeSet<Switch>,
}

/// The live item of `catalogue` (config.md, Configuration): the graph of the deployment behind, read while we run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphSettings {
    /// Who asks for it.
    pub credentials: GraphCredentials,
    /// How often; default 5 min, at least 10 s.
    pub refresh: Duration,
    /// What happens to a graph that permits more.
    pub widening: Widening,
    /// Whether the deployment is asked for the tags that data sources have in its dashboard, too; default no.
    pub datasource_tags: bool,
}

/// The sidecar's own credentials at the deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GraphCredentials {
    /// Exchanged for a token each time.
    Client {
        /// `client_id`.
        id: String,
        /// Where the secret is.
        secret_file: PathBuf,
    },
    /// A token that somebody else keeps fresh.
    BearerFile(PathBuf),
}

impl GraphCredentials {
    /// The file with the secret.
    pub fn file(&self) -> &PathBuf {
        match self {
            Self::Client { secret_file, .. } => secret_file,
            Self::BearerFile(file) => file,
        }
    }
}

/// What happens to a graph that gives a role more of a feature that was known before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Widening {
    /// The last good one is served on.
    #[default]
    Hold,
    /// It is taken, and logged.
    Allow,
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
    /// Its certificate, and those of clients; `None`: in the clear.
    pub tls: Option<ListenTls>,
    /// What clients call us, without a slash at its end. With the Chalk dialect it is there, and has no path.
    pub public_url: Option<String>,
}

/// The feature server behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// `url` as it was written.
    pub url: String,
    /// Where it listens.
    pub target: Target,
    /// What it speaks.
    pub dialect: Dialect,
    /// Where Chalk's queries go, or calls of Feast's gRPC; `None`: to `target`.
    pub engine: Option<Engine>,
    /// Trust roots, client certificate and name, for https.
    pub tls: UpstreamTls,
    /// Default 1 s.
    pub connect_timeout: Duration,
    /// From the request sent to the last byte of the answer; default 30 s.
    pub timeout: Duration,
    /// What it sees as `Authorization`.
    pub authorization: UpstreamAuthorization,
}

/// Where Chalk's queries go, or calls of Feast's gRPC (`upstream.engine_url`): configured, never learned from an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    /// As it was written.
    pub url: String,
    /// Where it listens.
    pub target: Target,
}

impl Upstream {
    /// The way to the engine: all as here, but for the address. Without an engine of its own it is this.
    pub fn of_engine(&self) -> Self {
        let engine = self.engine.clone();
        let Engine { url, target } =
            engine.unwrap_or_else(|| Engine { url: self.url.clone(), target: self.target.clone() });
        Self { url, target, engine: None, ..self.clone() }
    }

    /// Its host, or the path of its socket.
    pub fn host(&self) -> &str {
        match &self.target {
            Target::Tcp { host, .. } => host,
            Target::Unix(path) => path.to_str().unwrap_or_default(),
        }
    }

    /// Certificates and keys of connections to it.
    pub fn tls_files(&self) -> impl Iterator<Item = &PathBuf> {
        let client = self.tls.client.iter().flat_map(|(cert, key)| [cert, key]);
        self.tls.ca.iter().chain(client)
    }
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
#[derive(Clone, Debug)]
pub struct Route {
    /// Where it stands.
    pub place: Place,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// Logs and spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracing {
    /// Default `info`.
    pub level: String,
    /// JSON (the default) or text.
    pub json: bool,
    /// Spans over OTLP; default: none.
    pub otlp: bool,
}

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
            reader::ConfigReader::new(reader, folder).config(&node)
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

impl Limits {
    /// The defaults of a dialect (config.md, `limits`).
    pub fn of(dialect: Dialect) -> Self {
        let (request_body, response_body) = match dialect {
            Dialect::Feast | Dialect::Json => (8 << 20, 64 << 20),
            Dialect::Chalk => (100 << 20, 100 << 20),
        };
        Self {
            request_body,
            response_body,
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
