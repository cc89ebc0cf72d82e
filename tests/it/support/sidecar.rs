//! The sidecar as production composes it, on ports of its own, from files in a folder of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tagwarden::app::App;
use tagwarden::live::{self, Live};
use tagwarden::reload::WatchSettings;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::client::{self, Answer, Raw};
use super::tokens::{AUDIENCE, ISSUER, KEY};
use super::upstream::Upstream;
use super::{Folder, until, within};

/// The policy of most tests. Groups give roles: `readers` refuse a query whole, `cutters` take out what is refused.
pub const POLICY: &str = "\
version: 1
roles:
  reader: {tags: {pii: Deny, internal: AllowInternal, cleared: AllowDownstream}}
  cutter: {mode: filter, tags: {pii: Deny, internal: AllowInternal, cleared: AllowDownstream}}
  writer: {default: Deny}
bindings:
  - {roles: [reader], when: {groups: readers}}
  - {roles: [cutter], when: {groups: cutters}}
  - {roles: [writer], when: {groups: writers}}
features:
  customer_id: {key: true}
  basket_total: {key: true}
  customer:age: {joins: [customer_id]}
  customer:country: {joins: [customer_id]}
  customer:income: {tags: [internal], joins: [customer_id]}
  customer:ssn: {tags: [pii], joins: [customer_id]}
  customer:vip: {tags: [cleared], joins: [customer_id]}
  basket:ratio: {inputs: [customer:income, basket_total]}
bundles:
  open_service: [customer:age, customer:country]
  pii_service: [customer:age, customer:ssn]
";

/// A query that readers may ask.
pub const FINE: &str = r#"{"features":["customer:age","customer:country"],"entities":{"customer_id":[1,2]}}"#;
/// The same as it goes upstream.
pub const FINE_UPSTREAM: &str =
    r#"{"features":["customer:age","customer:country"],"entities":{"customer_id":[1,2]},"full_feature_names":true}"#;
/// A query that they may not.
pub const REFUSED: &str = r#"{"features":["customer:age","customer:ssn"],"entities":{"customer_id":[1,2]}}"#;

/// Files for a sidecar.
pub struct Setup {
    /// Where they lie.
    pub folder: Folder,
    /// `upstream`, in flow style, without its braces.
    pub upstream: String,
    /// Further sections of the configuration, each with its line end.
    pub more: String,
    /// Where probes are answered.
    pub metrics: String,
    /// The policy's file or folder.
    pub policies: String,
    /// Where keys come from.
    pub keys: String,
    /// Further members of `auth`, each after a comma.
    pub auth: String,
}

/// A token of a reader.
pub fn reader() -> String {
    KEY.token(&["readers"])
}

/// A token of a cutter.
pub fn cutter() -> String {
    KEY.token(&["cutters"])
}

impl Setup {
    /// In front of this upstream, with the policy and the key of most tests.
    pub fn new(upstream: &Upstream) -> Self {
        Self::at(&upstream.url)
    }

    /// In front of this address.
    pub fn at(url: &str) -> Self {
        let folder = Folder::new();
        folder.write("policy.yaml", POLICY);
        folder.write("jwks.json", KEY.set());
        Self {
            folder,
            upstream: format!("url: \"{url}\", dialect: feast"),
            more: String::new(),
            metrics: "127.0.0.1:0".to_owned(),
            policies: "policy.yaml".to_owned(),
            keys: "{jwks_file: jwks.json}".to_owned(),
            auth: String::new(),
        }
    }

    /// With this section of the configuration.
    pub fn with(mut self, section: &str) -> Self {
        self.more.push_str(section);
        self.more.push('\n');
        self
    }

    /// With this beside the upstream's address.
    pub fn upstream_with(mut self, member: &str) -> Self {
        self.upstream.push_str(", ");
        self.upstream.push_str(member);
        self
    }

    /// With this policy.
    pub fn policy(self, text: &str) -> Self {
        self.folder.write("policy.yaml", text);
        self
    }

    /// The text of `tagwarden.yaml`. The drain is short unless a section says otherwise, and so are its lines.
    pub fn text(&self) -> String {
        let mut text = format!(
            "version: 1\nmetrics: {{address: \"{}\"}}\nadmin: {{address: \"127.0.0.1:0\"}}\nupstream: {{{}}}\n\
             auth: {{issuers: [{{issuer: \"{ISSUER}\", audiences: [{AUDIENCE}], keys: {}}}]{}}}\n\
             policies: {}\n{}",
            self.metrics, self.upstream, self.keys, self.auth, self.policies, self.more
        );
        let sections = [
            ("listen:", "listen: {address: \"127.0.0.1:0\"}\n"),
            ("drain:", "drain: {delay: 0ms, timeout: 5s}\n"),
            ("audit:", "audit: {log: audit.jsonl}\n"),
        ];
        for (key, default) in sections {
            if !text.lines().any(|line| line.starts_with(key)) {
                text.push_str(default);
            }
        }
        text
    }

    /// Writes `tagwarden.yaml`.
    pub fn write(&self) -> PathBuf {
        self.folder.write("tagwarden.yaml", self.text())
    }

    /// Starts it.
    pub async fn start(self) -> Sidecar {
        let config = self.write();
        self.start_from(&config).await
    }

    /// Starts it with a configuration that is written already.
    pub async fn start_from(self, config: &Path) -> Sidecar {
        let (config, file) = live::read_config(config).unwrap_or_else(|error| panic!("{error}"));
        let watch = WatchSettings {
            quiet: Duration::from_millis(5),
            longest: Duration::from_millis(100),
            poll: Duration::from_millis(250),
            events: true,
        };
        let app = App::bind(Some(file), config, watch).await.unwrap_or_else(|error| panic!("{error}"));
        let (at, live) = (app.addresses(), Arc::clone(app.live()));
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(app.run(async {
            stopped.await.ok();
        }));
        Sidecar { data: at.data, metrics: at.metrics, admin: at.admin, setup: self, live, stop, task }
    }
}

/// A running sidecar; it ends with the test's runtime.
pub struct Sidecar {
    /// Callers.
    pub data: SocketAddr,
    /// Prometheus and probes.
    pub metrics: SocketAddr,
    /// Operators.
    pub admin: SocketAddr,
    /// Its files.
    pub setup: Setup,
    /// What it runs on.
    pub live: Arc<Live>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<bool>,
}

impl Sidecar {
    /// In front of this upstream.
    pub async fn start(upstream: &Upstream) -> Self {
        Setup::new(upstream).start().await
    }

    /// A Feast query, on a connection of its own.
    pub async fn query(&self, token: &str, body: impl AsRef<[u8]>) -> Answer {
        client::ask(self.data, client::query(token, body)).await
    }

    /// Any request, on a connection of its own.
    pub async fn ask(&self, request: impl AsRef<[u8]>) -> Answer {
        client::ask(self.data, request).await
    }

    /// A connection.
    pub async fn raw(&self) -> Raw {
        Raw::connect(self.data).await
    }

    /// `/readyz`: its status and what it says.
    pub async fn ready(&self) -> (u16, Value) {
        let answer = client::ask(self.metrics, client::request("GET", "/readyz", "", "")).await;
        (answer.status, answer.json())
    }

    /// `/status`.
    pub async fn status(&self) -> Value {
        client::ask(self.admin, client::request("GET", "/status", "", "")).await.json()
    }

    /// `/metrics`.
    pub async fn metrics(&self) -> String {
        client::ask(self.metrics, client::request("GET", "/metrics", "", "")).await.text().to_owned()
    }

    /// Waits until `/readyz` says `ok` of a kind of file, or else something that holds this text; what it says.
    pub async fn until_state(&self, kind: &str, what: &str) -> String {
        until(&format!("{kind}: {what}"), async || {
            let (_, body) = self.ready().await;
            let said = body["checks"][kind].as_str().unwrap().to_owned();
            let found = if what == "ok" { said == what } else { said.starts_with("stale: ") && said.contains(what) };
            found.then_some(said)
        })
        .await
    }

    /// Waits until a query is answered with this status.
    pub async fn until_status(&self, token: &str, body: &str, status: u16) {
        until(&format!("an answer {status}"), async || (self.query(token, body).await.status == status).then_some(()))
            .await;
    }

    /// One series by its whole name, labels in the order of the alphabet; 0 where there is none.
    pub async fn metric(&self, series: &str) -> f64 {
        let text = self.metrics().await;
        let found = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        found.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Waits until a series has this value.
    pub async fn until_metric(&self, series: &str, value: f64) {
        until(&format!("{series} {value}"), async || (self.metric(series).await == value).then_some(())).await;
    }

    /// Waits for so many whole lines of the audit log.
    pub async fn audit(&self, lines: usize) -> Vec<Value> {
        let path = self.setup.folder.path("audit.jsonl");
        let text = until(&format!("{lines} audit lines"), async || {
            std::fs::read_to_string(&path).ok().filter(|text| text.matches('\n').count() >= lines)
        })
        .await;
        let parsed: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(parsed.len(), lines, "{text}");
        parsed
    }

    /// Tells it to end, as SIGTERM does; whether everything in flight was finished.
    pub async fn stop(self) -> bool {
        self.stop_keeping().await.1
    }

    /// The same; its files are kept.
    pub async fn stop_keeping(self) -> (Setup, bool) {
        drop(self.live);
        self.stop.send(()).ok();
        (self.setup, within("the sidecar to end", self.task).await.unwrap())
    }
}
