//! `demo`: the whole thing on embedded parts, and a tour of it.
//!
//! A small feature server ([`server`], over [`data`]) and the clients of the built-in issuer ([`issuer`]) are made at start; a
//! private temporary folder gets them, the policy and catalogue of `policies/demo/`, and a `tagwarden.yaml`. From there on it
//! is what `serve` does, on the default ports where they are free. [`tour`] then asks a few queries, says what came back and
//! why, and fails where that is not so.
//!
//! Without `--once` it stays up: it prints tokens and curl lines, tells of every reload, and takes the folder away at the
//! end. With `--once` every port is a free one, since nobody is to use them, and no token is printed.

mod data;
mod issuer;
mod server;
mod tour;

use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::signal::unix::{SignalKind, signal};

use crate::app::{Addresses, App, StartError};
use crate::cli::{complain, exit, print};
use crate::live::{self, Live, State};
use crate::reload::WatchSettings;
use crate::schema::Kind;
use issuer::{AUDIENCE, CALLERS, DANA, FRAUD, ISSUER, MARKETING, Secrets};
use tour::{ADDRESSES, Query, SCORE, Tour, Wanted};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Stop after the tour
    #[arg(long)]
    once: bool,
}

/// The policy of the demo.
const POLICY: &str = include_str!("../../policies/demo/policy.yaml");
/// The catalogue below it.
const CATALOGUE: &str = include_str!("../../policies/demo/catalogue.yaml");

pub fn run(arguments: &Arguments) -> u8 {
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("the demo's runtime cannot be started: {error}"));
            return exit::FAILED;
        }
    };
    match runtime.block_on(demo(arguments.once)) {
        Ok(true) => exit::FINE,
        Ok(false) => exit::FAILED,
        Err(message) => {
            complain(&message);
            exit::FAILED
        }
    }
}

/// A folder that nobody else can read, taken away when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("tagwarden-demo-{}", issuer::unguessable()?));
        match std::fs::DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => Ok(Self(path)),
            Err(error) => Err(format!("the folder `{}` cannot be made: {error}", path.display())),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, text: &str) -> Result<(), String> {
        let path = self.path(name);
        std::fs::write(&path, text).map_err(|error| format!("`{}` cannot be written: {error}", path.display()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            complain(&format!("the folder `{}` cannot be taken away: {error}", self.0.display()));
        }
    }
}

/// Whether the tour went as described.
async fn demo(once: bool) -> Result<bool, String> {
    let mut signals = Signals::new()?;
    let folder = Folder::new()?;
    let secrets = Secrets::new()?;
    let (upstream, feature_server) =
        server::start().await.map_err(|error| format!("the demo's feature server cannot listen: {error}"))?;
    // An editor finds the schema beside the files, not where the repository has it.
    let beside = |text: &str| text.replacen("../../docs/schema/", "", 1);
    folder.write("policy.json", &Kind::Policy.text())?;
    folder.write("policy.yaml", &beside(POLICY))?;
    folder.write("catalogue.yaml", &beside(CATALOGUE))?;
    folder.write("clients.yaml", &secrets.file())?;
    let ports = if once { [0; 3] } else { [8080, 9902, 9901] };
    let app = bind(&folder, upstream, ports).await?;

    let (at, live) = (app.addresses(), Arc::downgrade(app.live()));
    print(&heading(at, upstream, &folder.path("policy.yaml")));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut sidecar = tokio::spawn(app.run(async {
        stopped.await.ok();
    }));
    let policy = folder.path("policy.yaml");
    let tour = Tour { sidecar: format!("http://{}", at.data), secrets: &secrets, policy: &policy, live: live.clone() };
    let good = tokio::select! {
        good = tour.run() => good?,
        () = signals.next() => return Ok(false),
    };
    if !once {
        print(&invitation(at, upstream, &folder, &secrets).await?);
        tokio::select! {
            () = signals.next() => print("\nstopping\n"),
            () = tell_reloads(&live) => {}
            _ = &mut sidecar => return Err("the sidecar ended by itself".to_owned()),
        }
    }
    stop.send(()).ok();
    tokio::select! {
        finished = sidecar => finished.ok(),
        // A second signal ends it at once.
        () = signals.next() => None,
    };
    feature_server.abort();
    Ok(good)
}

/// Ctrl-C and SIGTERM.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("signals cannot be listened to: {error}");
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The sidecar, as `serve` has it. A port that is taken is replaced by a free one.
async fn bind(folder: &Folder, upstream: SocketAddr, mut ports: [u16; 3]) -> Result<App, String> {
    let path = folder.path("tagwarden.yaml");
    loop {
        folder.write("tagwarden.yaml", &configuration(upstream, ports))?;
        let (config, file) = live::read_config(&path).map_err(|error| error.to_string())?;
        match App::bind(Some(file), config, WatchSettings::default()).await {
            Ok(app) => return Ok(app),
            Err(StartError::Bind { address, error }) => {
                let taken = ports.iter_mut().find(|port| **port != 0 && **port == address.port());
                let Some(port) = taken else { return Err(StartError::Bind { address, error }.to_string()) };
                print(&format!("port {port} is taken: a free one is used in its place\n"));
                *port = 0;
            }
            Err(error @ (StartError::Load(_) | StartError::Audit(_))) => return Err(error.to_string()),
        }
    }
}

/// `data`, `metrics` and `admin` on these ports.
fn configuration(upstream: SocketAddr, [data, metrics, admin]: [u16; 3]) -> String {
    format!(
        "# What the demo runs with, as `tagwarden serve --config` reads it.
version: 1
listen: {{address: \"127.0.0.1:{data}\"}}
metrics: {{address: \"127.0.0.1:{metrics}\"}}
admin: {{address: \"127.0.0.1:{admin}\"}}
upstream: {{url: \"http://{upstream}\", dialect: feast}}
issuer:
  url: {ISSUER}
  audience: {AUDIENCE}
  keys: keys/
  clients: clients.yaml
  store: {{embedded: tokens.redb}}
policies: policy.yaml
catalogue: [catalogue.yaml]
audit: {{log: audit.jsonl}}
drain: {{delay: 0s, timeout: 5s}}
"
    )
}

fn heading(at: Addresses, upstream: SocketAddr, policy: &Path) -> String {
    format!(
        "tagwarden demo: one policy between callers and a small feature server with {customers} customers

  callers, with tokens
    -> sidecar             http://{sidecar}
         by the policy     {policy}
      -> feature server    http://{upstream}   is asked for what is permitted, nothing else

",
        customers = data::customers(),
        sidecar = at.data,
        policy = policy.display(),
    )
}

/// A query as a curl line, with the token of a file.
fn curl(query: &Query, to: SocketAddr, token: Option<PathBuf>) -> String {
    let bearer = |path: PathBuf| format!("  -H \"Authorization: Bearer $(cat '{}')\" \\\n", path.display());
    curl_with(query, to, &token.map_or_else(String::new, bearer))
}

/// The same with this header line, or none.
fn curl_with(query: &Query, to: SocketAddr, credential: &str) -> String {
    format!(
        "curl -s http://{to}/get-online-features \\\n{credential}  -H 'Content-Type: application/json' \\\n  -d '{}'\n",
        query.body()
    )
}

/// What can be done while it stays up. Writes the token files.
async fn invitation(at: Addresses, upstream: SocketAddr, folder: &Folder, secrets: &Secrets) -> Result<String, String> {
    let (client, sidecar) = (Client::builder(TokioExecutor::new()).build_http(), format!("http://{}", at.data));
    let mut tokens = String::new();
    let file = |caller: &issuer::Caller| format!("{}.token", caller.name);
    for caller in CALLERS {
        let token = secrets.token(&client, &sidecar, caller).await?;
        folder.write(&file(caller), &token)?;
        tokens.push_str(&format!("{}:\n{token}\n", caller.name));
    }
    let line =
        |query: Query, caller| curl(&Query { customers: &[1001], ..query }, at.data, Some(folder.path(&file(caller))));
    let stored = Wanted::Features(&["customer:name", "customer:ssn", "customer:income"]);
    let stored = Query { wanted: stored, customers: &[1001], ..ADDRESSES };
    let checkout = Query { wanted: Wanted::Service("checkout"), baskets: &[80.0], ..SCORE };
    let (score, addresses) = (line(Query { baskets: &[80.0], ..SCORE }, &FRAUD), line(ADDRESSES, &MARKETING));
    let (service, desk) = (line(checkout, &FRAUD), line(stored, &DANA));
    let past = curl(&stored, upstream, None);
    let (secret, key) = secrets.of(&FRAUD).ok_or("a caller is no client")?;
    let grant = format!(
        "curl -s {sidecar}/oauth/token -u '{}:{}' \\\n  -d grant_type=client_credentials\n",
        FRAUD.client,
        secret.expose()
    );
    let api_key = format!("  -H 'X-API-Key: {}' \\\n", key.expose());
    let keyed = curl_with(&Query { baskets: &[80.0], customers: &[1001], ..SCORE }, at.data, &api_key);
    Ok(format!(
        "
It stays up until Ctrl-C. Its files go away with it; they are in {folder}:
  policy.yaml      edit it: the change holds at once; a mistake is told here, and changes nothing
  catalogue.yaml   what the feature server's registry says
  clients.yaml     who gets tokens: set `disabled: true`, and its tokens are worth nothing, for good
  tagwarden.yaml   the configuration
  audit.jsonl      one line a decision
  *.token          a token for each caller, for an hour

metrics            http://{metrics}/metrics
readiness          http://{metrics}/readyz
status             http://{admin}/status
explorer           http://{admin}/explore

Tokens
{tokens}
A score, by what may not be seen
{score}
Addresses are taken out for marketing
{addresses}
A feature service
{service}
Somebody of the customer desk sees what is stored
{desk}
A new token of the built-in issuer, for a client's secret
{grant}
No token at all: an API key
{keyed}
The same past the sidecar, without any token: leave no other way to a feature server
{past}
",
        folder = folder.0.display(),
        metrics = at.metrics,
        admin = at.admin,
    ))
}

/// Says of every reload how it ended, until the sidecar is gone.
async fn tell_reloads(live: &Weak<Live>) {
    let now = || {
        let live = live.upgrade()?;
        let states = live.states();
        let kinds = [("policy", &states.policy), ("catalogue", &states.catalogue), ("configuration", &states.config)];
        let stale = |(kind, state): (&'static str, &State)| state.stale.clone().map(|why| (kind, why));
        Some((live.proxy.snapshot.load().generation, kinds.into_iter().filter_map(stale).collect::<Vec<_>>()))
    };
    let mut told = now();
    while let Some(state) = now() {
        if told.as_ref() != Some(&state) {
            let (generation, stale) = &state;
            for (kind, why) in stale {
                print(&format!("the {kind} does not load, and the one before it holds:\n{why}\n\n"));
            }
            if stale.is_empty() {
                print(&format!("reloaded, and holds: generation {generation}\n\n"));
            }
            told = Some(state);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
