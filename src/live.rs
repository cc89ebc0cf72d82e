//! Loading and reloading: files -> snapshot, and what keeps it current.
//!
//! Policy and catalogue load apart: of the two as they stand and as they were last good, the first pair that loads is
//! published, so a bad catalogue leaves the last good one under the new policy. A candidate (`shadow:`) is laid over the
//! catalogue that is served; one that does not load never keeps the policy from being reloaded. The configuration reloads
//! too, as a whole, but for what a running process cannot change. A live graph is a part of the catalogue that is asked for.

mod admin;
mod config;
mod description;
mod graph;
mod layers;
mod load;
mod own;
mod routes;
mod shadow;
mod watch;
mod widening;

use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::runtime::Handle;

use crate::audit::Audit;
use crate::auth::Auth;
use crate::config::{Config, Enforcement, Tracing};
use crate::dialect;
use crate::dialect::json::Description;
use crate::metrics::Metrics;
use crate::policy::Policy;
use crate::proxy::Proxy;
use crate::proxy::record::Line;
use crate::reload::{self, Digest, Files, ReadError, Source, WatchSettings, Watcher};
use crate::snapshot::{Part, Rules, Settings, Shadow, Snapshot};
use crate::trace::Tracer;
pub use admin::AdminToken;
use description::described;
pub use description::read_description;
pub use graph::GraphError;
use graph::{Asked, Reader};
use layers::{Layer, Unreadable};
use load::{Below, Texts, digest, lay, read_catalogue, server_tls, settings, written};
pub use load::{ConfigFile, LoadError, check_shrink, read_config, secret, sources, texts};
pub use own::read_clients;
pub use routes::lint_routes;
use shadow::{Candidate, read_candidate, shown};
use watch::{
    Held, admin_source, certificate_source, client_source, description_source, graph_source, key_source,
    upstream_source,
};

/// How one kind of file stands, for `/status` and `/readyz`.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Why the newest does not load; what was there before is served.
    pub stale: Option<String>,
    /// What is served.
    pub digest: String,
}

/// All kinds.
#[derive(Clone, Debug, Default)]
pub struct States {
    /// Policy files.
    pub policy: State,
    /// Catalogue files.
    pub catalogue: State,
    /// The live graph below them.
    pub graph: State,
    /// `tagwarden.yaml`.
    pub config: State,
    /// Key files.
    pub keys: State,
    /// The listener's certificate.
    pub certificates: State,
    /// Files of our side of the upstream.
    pub upstream: State,
    /// The candidate's files.
    pub shadow: State,
    /// The issuer's clients.
    pub clients: State,
    /// The description of a server of the JSON dialect.
    pub description: State,
    /// The admin listener's token.
    pub admin: State,
}

impl States {
    /// Each kind with its name.
    pub fn all(&self) -> [(&'static str, &State); 11] {
        [
            ("policy", &self.policy),
            ("catalogue", &self.catalogue),
            ("graph", &self.graph),
            ("config", &self.config),
            ("keys", &self.keys),
            ("certificates", &self.certificates),
            ("upstream", &self.upstream),
            ("shadow", &self.shadow),
            ("clients", &self.clients),
            ("description", &self.description),
            ("admin", &self.admin),
        ]
    }
}

/// The running configuration and what watches its files.
pub struct Live {
    /// What requests share.
    pub proxy: Arc<Proxy>,
    /// The listener's certificate.
    pub tls: Arc<ArcSwapOption<rustls::ServerConfig>>,
    /// What operators show to the admin listener; none is asked for where the configuration names no file.
    pub admin_token: ArcSwapOption<AdminToken>,
    inner: Mutex<Inner>,
    /// What is shown while `inner` is busy loading.
    states: ArcSwap<States>,
    runtime: Handle,
    watch: WatchSettings,
    /// How logs are to be written.
    logging: tokio::sync::watch::Sender<Tracing>,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Live")
    }
}

struct Inner {
    config: Config,
    states: States,
    good: (Texts, Below),
    newest: (Texts, Below),
    unreadable: Unreadable,
    candidate: Option<Candidate>,
    reader: Option<Reader>,
    watchers: Vec<Watcher>,
    config_watcher: Option<Watcher>,
    /// A configuration that does not load, perhaps for its policy.
    waiting: Option<(PathBuf, Files)>,
}

/// What happens when a set of files changed.
type Changed = fn(&Arc<Live>, Result<Files, ReadError>);

impl Live {
    /// Loads everything for the first time and starts watching.
    ///
    /// # Errors
    /// [`LoadError`]: nothing is served.
    pub async fn start(
        config_file: Option<ConfigFile>,
        config: Config,
        audit: Audit<Line>,
        metrics: Arc<Metrics>,
        watch: WatchSettings,
    ) -> Result<Arc<Self>, LoadError> {
        let runtime = Handle::current();
        let policy_files = reload::read(&Source::yaml([&config.policies]))?;
        let policy_texts = Texts::new(&policy_files)?;
        let files = read_catalogue(&config)?;
        let held = Held::before(&config);
        let asked = Asked::of(&config);
        let graph = match &asked {
            Some(asked) => Some(Arc::new(asked.first().await?)),
            None => None,
        };
        graph.iter().for_each(|graph| graph.tell());
        let below = Below { files, graph };
        let policy = lay(&config, &policy_texts, &below)?.policy;
        let (issuer, clients) = own::open(&config, None).await?;
        let (issuers, opaque) = (config.issuers.clone(), config.opaque.clone());
        let auth = Auth::load(None, issuers, opaque, issuer.clone(), config.token_cache_entries)?;
        auth.spawn_refresh();
        if let Some((issuer, clients)) = issuer.as_ref().zip(clients) {
            issuer.use_clients(clients);
        }
        let (description, described) = described(&config)?;
        let settings = Arc::new(settings(&config, auth, issuer, description, &metrics)?);
        let tls = Arc::new(ArcSwapOption::from(server_tls(&config)?));
        let admin_token = ArcSwapOption::from(admin::token(&config)?);
        let (candidate, shadow) = read_candidate(&config, &below, &metrics)?.unzip();
        let rules = rules(Part::Live, &config, policy, (&policy_texts, &below), &metrics);
        announce(&config, &metrics);
        let snapshot = Snapshot { generation: 1, rules: Arc::new(rules), shadow, settings };
        let inflight = AtomicUsize::new(0);
        let tracer =
            if config.tracing.otlp { Tracer::from_environment(&metrics.spans_dropped)?.map(Arc::new) } else { None };
        let proxy = Arc::new(Proxy { snapshot: ArcSwap::from_pointee(snapshot), metrics, audit, inflight, tracer });
        let logging = tokio::sync::watch::Sender::new(config.tracing.clone());
        let states = States {
            policy: State { stale: None, digest: policy_texts.digest.clone() },
            catalogue: State { stale: None, digest: below.files.digest.clone() },
            graph: State { stale: None, digest: below.graph_digest() },
            shadow: shown(candidate.as_ref()),
            description: described,
            ..States::default()
        };
        let texts = (policy_texts, below);
        let inner = Inner {
            config,
            states,
            good: texts.clone(),
            newest: texts,
            unreadable: Unreadable::default(),
            candidate,
            reader: None,
            watchers: Vec::new(),
            config_watcher: None,
            waiting: None,
        };
        let (inner, states) = (Mutex::new(inner), ArcSwap::default());
        let live = Arc::new(Self { proxy, tls, admin_token, inner, states, runtime, watch, logging });
        live.show(&live.lock());
        live.watch_files(&mut live.lock(), &held)?;
        let reader = asked.map(|asked| Reader::start(&live, &live.runtime, asked, false));
        live.lock().reader = reader;
        if let Some(file) = config_file {
            live.watch_config(file)?;
        }
        Ok(live)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while reloading leaves the last state, which is whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How logs are to be written, from now on.
    pub fn logging(&self) -> tokio::sync::watch::Receiver<Tracing> {
        self.logging.subscribe()
    }

    /// How everything stands.
    pub fn states(&self) -> Arc<States> {
        self.states.load_full()
    }

    /// Watches policies, catalogue, keys and certificates of the current configuration, from what was read on.
    fn watch_files(self: &Arc<Self>, inner: &mut Inner, held: &Held) -> Result<(), LoadError> {
        inner.watchers.clear();
        let config = &inner.config;
        let mut watched: Vec<(Source, Option<Digest>, Changed)> =
            vec![(Source::yaml([&config.policies]), inner.newest.0.held, Self::policy_changed)];
        if !config.catalogue.is_empty() {
            watched.push((Source::yaml(&config.catalogue), inner.newest.1.files.held, Self::catalogue_changed));
        }
        if let (Some(path), Some(candidate)) = (&config.shadow, &inner.candidate) {
            watched.push((Source::yaml([path]), candidate.newest.held, Self::candidate_changed));
        }
        watched.extend(client_source(config).map(|source| (source, held.clients, Self::clients_changed as Changed)));
        watched.extend(key_source(config).map(|source| (source, held.keys, Self::keys_changed as Changed)));
        let description = description_source(config);
        watched.extend(description.map(|source| (source, held.description, Self::description_changed as Changed)));
        watched.extend(graph_source(config).map(|source| (source, held.graph, Self::graph_file_changed as Changed)));
        watched.extend(admin_source(config).map(|source| (source, held.admin, Self::admin_changed as Changed)));
        let certificates = certificate_source(config);
        let upstream = upstream_source(config);
        watched.extend(upstream.map(|source| (source, held.upstream, Self::upstream_changed as Changed)));
        watched.extend(certificates.map(|source| (source, held.certificates, Self::certificates_changed as Changed)));
        for (source, held, changed) in watched {
            let live = Arc::downgrade(self);
            let watcher = reload::watch(source, held, self.watch, move |files| {
                if let Some(live) = live.upgrade() {
                    changed(&live, files);
                }
            })?;
            inner.watchers.push(watcher);
        }
        Ok(())
    }

    fn policy_changed(self: &Arc<Self>, files: Result<Files, ReadError>) {
        self.layer_changed(Layer::Policy, files);
    }

    fn catalogue_changed(self: &Arc<Self>, files: Result<Files, ReadError>) {
        self.layer_changed(Layer::Catalogue, files);
    }

    fn publish(&self, shadow: Option<Shadow>, rules: Arc<Rules>, settings: Arc<Settings>, kind: &'static str) {
        // Reloads hold the lock, so no other comes between.
        let generation = self.proxy.snapshot.load().generation + 1;
        self.proxy.snapshot.store(Arc::new(Snapshot { generation, rules, shadow, settings }));
        self.proxy.metrics.reloads.with_label_values(&[kind, "ok"]).inc();
        tracing::info!(kind, generation, "reloaded");
    }

    fn failed(&self, kind: &'static str, error: &LoadError) {
        self.proxy.metrics.reloads.with_label_values(&[kind, "failed"]).inc();
        tracing::error!(kind, %error, "a reload failed; the last good one is served");
    }

    fn keys_changed(self: &Arc<Self>, _: Result<Files, ReadError>) {
        let auth = Arc::clone(&self.proxy.snapshot.load().settings.auth);
        let mut inner = self.lock();
        inner.states.keys.stale = None;
        for (path, result) in auth.reload_files() {
            match result {
                Ok(false) => {}
                Ok(true) => {
                    self.proxy.metrics.reloads.with_label_values(&["keys", "ok"]).inc();
                    tracing::info!(path = %path.display(), "keys reloaded");
                }
                Err(error) => {
                    inner.states.keys.stale = Some(error.to_string());
                    self.failed("keys", &error.into());
                }
            }
        }
        self.own_keys_changed(&mut inner);
        self.retry_config(&mut inner);
        self.show(&inner);
    }

    fn certificates_changed(self: &Arc<Self>, _: Result<Files, ReadError>) {
        let mut inner = self.lock();
        match server_tls(&inner.config) {
            Ok(config) => {
                self.tls.store(config);
                inner.states.certificates.stale = None;
                self.proxy.metrics.reloads.with_label_values(&["certificates", "ok"]).inc();
                tracing::info!("certificates reloaded");
            }
            Err(error) => {
                inner.states.certificates.stale = Some(error.to_string());
                self.failed("certificates", &error);
            }
        }
        self.retry_config(&mut inner);
        self.show(&inner);
    }

    /// A token or a certificate for the upstream: the same policy under new settings.
    fn upstream_changed(self: &Arc<Self>, _: Result<Files, ReadError>) {
        let mut inner = self.lock();
        let before = self.proxy.snapshot.load_full();
        match self.settings_anew(&inner.config, before.settings.description.clone()) {
            Ok(settings) => {
                // It may be asked for the graph with these, too.
                inner.reader.iter().for_each(Reader::ring);
                inner.states.upstream.stale = None;
                let shadow = before.shadow.as_ref().map(|shadow| shadow.anew(inner.config.decision_cache_entries));
                self.publish(shadow, Arc::clone(&before.rules), Arc::new(settings), "upstream");
            }
            Err(error) => {
                inner.states.upstream.stale = Some(error.to_string());
                self.failed("upstream", &error);
            }
        }
        self.retry_config(&mut inner);
        self.show(&inner);
    }

    /// Of files that were read again, under who is accepted as before.
    fn settings_anew(&self, config: &Config, description: Option<Arc<Description>>) -> Result<Settings, LoadError> {
        let before = self.proxy.snapshot.load();
        let (auth, issuer) = (Arc::clone(&before.settings.auth), before.settings.issuer.clone());
        settings(config, auth, issuer, description, &self.proxy.metrics)
    }

    /// Shows how everything stands, in `/status` and in the metrics.
    fn show(&self, inner: &Inner) {
        let metrics = &self.proxy.metrics;
        let snapshot = self.proxy.snapshot.load();
        for (kind, state) in inner.states.all() {
            metrics.snapshot_stale.with_label_values(&[kind]).set(i64::from(state.stale.is_some()));
        }
        metrics.inflight_limit.set(i64::try_from(snapshot.settings.limits.inflight).unwrap_or(i64::MAX));
        let generation = metrics.snapshot_generation.with_label_values(&["policy"]);
        let number = i64::try_from(snapshot.generation).unwrap_or(i64::MAX);
        if generation.get() != number {
            generation.set(number);
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
            metrics.snapshot_loaded.with_label_values(&["policy"]).set(now);
        }
        // Last: whoever sees it sees its metrics.
        self.states.store(Arc::new(inner.states.clone()));
    }
}

/// `of`: what the policy was read from.
fn rules(part: Part, config: &Config, policy: Policy, of: (&Texts, &Below), metrics: &Metrics) -> Rules {
    let enforcement = match part {
        Part::Live => {
            routes::tell(config, &policy);
            config.enforcement
        }
        // What it would do is what it says.
        Part::Shadow => Enforcement::Enforce,
    };
    let chalk = dialect::chalk::plan::Settings { allow: config.chalk.allow.clone() };
    let digest = digest(of.0, of.1);
    let entries = config.decision_cache_entries;
    Rules::new(part, digest, policy, enforcement, chalk, entries, metrics).with_files(written(of.0, of.1))
}

/// A suspended enforcement is told, loudly, each time that it is loaded.
fn announce(config: &Config, metrics: &Metrics) {
    let suspended = config.enforcement == Enforcement::Audit;
    metrics.audit_mode.set(i64::from(suspended));
    if suspended {
        tracing::warn!("`enforcement: audit`: what the policy refuses is recorded, and passes");
    }
}
