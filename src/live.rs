//! Loading and reloading: files -> snapshot, and what keeps it current.
//!
//! Policy and catalogue load apart: of the two as they stand and as they were last good, the first pair that loads is
//! published, so a bad catalogue leaves the last good one under the new policy. The configuration reloads too, as a
//! whole, but for what a running process cannot change.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwap, ArcSwapOption};
use hyper::header::HeaderValue;
use tokio::runtime::Handle;

use crate::audit::Audit;
use crate::auth::{Auth, AuthError};
use crate::config::{self, Config, KeySource, UpstreamAuthorization};
use crate::diagnostic::{Report, SourceFile};
use crate::metrics::Metrics;
use crate::policy::{self, Policy};
use crate::proxy::Proxy;
use crate::proxy::route::Routes;
use crate::proxy::upstream::Upstream;
use crate::reload::{self, Digest, Files, ReadError, Source, WatchSettings, Watcher};
use crate::snapshot::{Authorization, Settings, Snapshot, Subjects};
use crate::tls::{self, TlsError};

/// Why the sidecar does not start, or a reload is refused.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Mistakes in files, each with its place.
    #[error("{0}")]
    Report(Report),
    /// Files that cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A file that is not UTF-8.
    #[error("`{0}` is not utf-8")]
    NotText(PathBuf),
    /// Keys.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// Certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A secret of ours.
    #[error("`{path}` cannot be used: {why}")]
    Secret {
        /// The file.
        path: PathBuf,
        /// Without its content.
        why: String,
    },
    /// A reload that loses too much.
    #[error("the new policy has {now} {what} where {before} are served; set `allow_shrink` if that is meant")]
    Shrunk {
        /// Roles, bindings or tagged features.
        what: &'static str,
        /// How many are served.
        before: usize,
        /// How many it has.
        now: usize,
    },
    /// Nothing watches.
    #[error(transparent)]
    Watch(#[from] reload::WatchError),
    /// Metrics.
    #[error("metrics cannot be set up: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// A configuration's file as it was read: what is watched, and from which content on.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    /// Where.
    pub path: PathBuf,
    held: Digest,
}

/// Reads a configuration file.
///
/// # Errors
/// Not readable, or mistakes in it.
pub fn read_config(path: &Path) -> Result<(Config, ConfigFile), LoadError> {
    let files = reload::read(&Source::yaml([path]))?;
    let config = parse_config(path, &files)?;
    Ok((config, ConfigFile { path: path.to_owned(), held: files.digest }))
}

fn parse_config(path: &Path, files: &Files) -> Result<Config, LoadError> {
    let texts = texts(files)?;
    let Some(file) = texts.first() else { return Err(ReadError::NoPath.into()) };
    let folder = path.parent().unwrap_or(Path::new("."));
    let (config, report) = config::read(file, folder, &|name| std::env::var(name).ok());
    config.ok_or(LoadError::Report(report))
}

/// The texts of what was read.
///
/// # Errors
/// One is not UTF-8.
pub fn texts(files: &Files) -> Result<Vec<Arc<SourceFile>>, LoadError> {
    let text = |file: &reload::File| match String::from_utf8(file.bytes.clone()) {
        Ok(text) => Ok(Arc::new(SourceFile { name: file.path.display().to_string(), text })),
        Err(_) => Err(LoadError::NotText(file.path.clone())),
    };
    files.files.iter().map(text).collect()
}

/// Policy or catalogue files, as text.
#[derive(Clone, Debug)]
struct Texts {
    files: Vec<Arc<SourceFile>>,
    digest: String,
    held: Option<Digest>,
}

impl Texts {
    fn new(files: &Files) -> Result<Self, LoadError> {
        Ok(Self { files: texts(files)?, digest: files.digest.to_string(), held: Some(files.digest) })
    }

    fn none() -> Self {
        Self { files: Vec::new(), digest: "none".to_owned(), held: None }
    }
}

/// Loads policy and catalogue as the configuration names them.
///
/// # Errors
/// Files that cannot be read, or any mistake in them.
fn load(config: &Config, policy: &Texts, catalogue: &Texts) -> Result<Policy, LoadError> {
    let (loaded, mut report) = policy::load(&policy.files, &catalogue.files);
    let Some(loaded) = loaded else { return Err(LoadError::Report(report)) };
    loaded.check_sources(config.issuers.len(), &mut report);
    if report.has_errors() { Err(LoadError::Report(report)) } else { Ok(loaded) }
}

/// A reload may not lose half of the roles, bindings or tagged features unless that is allowed.
///
/// # Errors
/// [`LoadError::Shrunk`].
pub fn check_shrink(before: &Policy, now: &Policy) -> Result<(), LoadError> {
    let tagged = |policy: &Policy| {
        let classes = &policy.catalogue.classes;
        let tagged = |class: u32| classes.get(class as usize).is_some_and(|class| !class.all_tags.is_empty());
        policy.catalogue.features().iter().filter(|feature| tagged(feature.class)).count()
    };
    let counts = [
        ("roles", before.roles.len(), now.roles.len()),
        ("bindings", before.bindings.len(), now.bindings.len()),
        ("tagged features", tagged(before), tagged(now)),
    ];
    for (what, before, now) in counts {
        if before > now && (before - now) * 2 >= before {
            return Err(LoadError::Shrunk { what, before, now });
        }
    }
    Ok(())
}

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
    /// `tagwarden.yaml`.
    pub config: State,
    /// Key files.
    pub keys: State,
    /// The listener's certificate.
    pub certificates: State,
    /// Files of our side of the upstream.
    pub upstream: State,
}

/// The running configuration and what watches its files.
pub struct Live {
    /// What requests share.
    pub proxy: Arc<Proxy>,
    /// The listener's certificate.
    pub tls: Arc<ArcSwapOption<rustls::ServerConfig>>,
    inner: Mutex<Inner>,
    /// What is shown while `inner` is busy loading.
    states: ArcSwap<States>,
    runtime: Handle,
    watch: WatchSettings,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Live")
    }
}

struct Inner {
    config: Config,
    states: States,
    good: (Texts, Texts),
    newest: (Texts, Texts),
    /// Why files cannot be read at all; what they held last is `newest` still.
    unreadable: (Option<String>, Option<String>),
    watchers: Vec<Watcher>,
    config_watcher: Option<Watcher>,
    /// A configuration that does not load, perhaps for its policy.
    waiting: Option<(PathBuf, Files)>,
}

/// What happens when a set of files changed.
type Changed = fn(&Arc<Live>, Result<Files, ReadError>);

/// What key and certificate files held before they were loaded: a change since then is told.
struct Held {
    keys: Option<Digest>,
    certificates: Option<Digest>,
    upstream: Option<Digest>,
}

impl Held {
    fn before(config: &Config) -> Self {
        let digest = |source: Option<Source>| source.and_then(|source| reload::read(&source).ok()).map(|f| f.digest);
        Self {
            keys: digest(key_source(config)),
            certificates: digest(certificate_source(config)),
            upstream: digest(upstream_source(config)),
        }
    }
}

fn key_source(config: &Config) -> Option<Source> {
    let files: Vec<&PathBuf> = config
        .issuers
        .iter()
        .filter_map(|issuer| match &issuer.keys {
            KeySource::JwksFile(path) | KeySource::PemFile(path) | KeySource::SecretFile(path) => Some(path),
            KeySource::JwksUrl(_) | KeySource::Static(_) => None,
        })
        .collect();
    (!files.is_empty()).then(|| Source::pem(files))
}

/// Files of our own side of the upstream: a token, certificates.
fn upstream_source(config: &Config) -> Option<Source> {
    let mut files: Vec<&PathBuf> = config.upstream.tls.ca.iter().collect();
    files.extend(config.upstream.tls.client.iter().flat_map(|(cert, key)| [cert, key]));
    if let UpstreamAuthorization::BearerFile(path) = &config.upstream.authorization {
        files.push(path);
    }
    (!files.is_empty()).then(|| Source::pem(files))
}

fn certificate_source(config: &Config) -> Option<Source> {
    config.listen.tls.as_ref().map(|(cert, key)| Source::pem([cert, key]))
}

impl Live {
    /// Loads everything for the first time and starts watching.
    ///
    /// # Errors
    /// [`LoadError`]: nothing is served.
    pub fn start(
        config_file: Option<ConfigFile>,
        config: Config,
        audit: Audit,
        metrics: Arc<Metrics>,
        watch: WatchSettings,
    ) -> Result<Arc<Self>, LoadError> {
        let runtime = Handle::current();
        let policy_files = reload::read(&Source::yaml([&config.policies]))?;
        let policy_texts = Texts::new(&policy_files)?;
        let catalogue_texts = read_catalogue(&config)?;
        let policy = load(&config, &policy_texts, &catalogue_texts)?;
        let held = Held::before(&config);
        let auth = Auth::new(config.issuers.clone(), config.token_cache_entries)?;
        auth.spawn_refresh();
        let settings = Arc::new(settings(&config, auth, &metrics)?);
        let tls = Arc::new(ArcSwapOption::from(server_tls(&config)?));
        let digest = digest(&policy_texts, &catalogue_texts);
        let snapshot = Snapshot::new(1, digest, policy, settings, &metrics);
        let inflight = AtomicUsize::new(0);
        let proxy = Arc::new(Proxy { snapshot: ArcSwap::from_pointee(snapshot), metrics, audit, inflight });
        let states = States {
            policy: State { stale: None, digest: policy_texts.digest.clone() },
            catalogue: State { stale: None, digest: catalogue_texts.digest.clone() },
            ..States::default()
        };
        let texts = (policy_texts, catalogue_texts);
        let inner = Inner {
            config,
            states,
            good: texts.clone(),
            newest: texts,
            unreadable: (None, None),
            watchers: Vec::new(),
            config_watcher: None,
            waiting: None,
        };
        let live = Arc::new(Self { proxy, tls, inner: Mutex::new(inner), states: ArcSwap::default(), runtime, watch });
        live.show(&live.lock());
        live.watch_files(&mut live.lock(), &held)?;
        if let Some(file) = config_file {
            live.watch_config(file)?;
        }
        Ok(live)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while reloading leaves the last state, which is whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
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
            watched.push((Source::yaml(&config.catalogue), inner.newest.1.held, Self::catalogue_changed));
        }
        watched.extend(key_source(config).map(|source| (source, held.keys, Self::keys_changed as Changed)));
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

    fn watch_config(self: &Arc<Self>, file: ConfigFile) -> Result<(), LoadError> {
        let live = Arc::downgrade(self);
        let watcher = reload::watch(Source::yaml([&file.path]), Some(file.held), self.watch, move |files| {
            if let Some(live) = live.upgrade() {
                live.config_changed(&file.path, files);
            }
        })?;
        // Unlike the others it is not replaced by what it finds.
        self.lock().config_watcher = Some(watcher);
        Ok(())
    }

    fn policy_changed(self: &Arc<Self>, files: Result<Files, ReadError>) {
        let mut inner = self.lock();
        match files.map_err(LoadError::from).and_then(|files| Texts::new(&files)) {
            Ok(texts) => {
                (inner.newest.0, inner.unreadable.0) = (texts, None);
                self.reload(&mut inner, "policy");
            }
            Err(error) => {
                let why = Some(error.to_string());
                (inner.states.policy.stale, inner.unreadable.0) = (why.clone(), why);
                self.failed("policy", &error);
            }
        }
        self.retry_config(&mut inner);
        self.show(&inner);
    }

    fn catalogue_changed(self: &Arc<Self>, files: Result<Files, ReadError>) {
        let mut inner = self.lock();
        match files.map_err(LoadError::from).and_then(|files| Texts::new(&files)) {
            Ok(texts) => {
                (inner.newest.1, inner.unreadable.1) = (texts, None);
                self.reload(&mut inner, "catalogue");
            }
            Err(error) => {
                let why = Some(error.to_string());
                (inner.states.catalogue.stale, inner.unreadable.1) = (why.clone(), why);
                self.failed("catalogue", &error);
            }
        }
        self.retry_config(&mut inner);
        self.show(&inner);
    }

    /// A configuration that did not load, perhaps for another file's sake, is tried again when that changed.
    fn retry_config(self: &Arc<Self>, inner: &mut Inner) {
        let Some((path, files)) = inner.waiting.take() else { return };
        match self.apply_config(inner, &path, &files) {
            Ok(()) => inner.states.config.stale = None,
            // It was told as failed before.
            Err(error) => {
                inner.states.config.stale = Some(error.to_string());
                inner.waiting = Some((path, files));
            }
        }
    }

    /// Publishes the first pair that loads: newest over newest, the new policy over the last good catalogue, the last
    /// good policy over the new catalogue.
    fn reload(&self, inner: &mut Inner, kind: &'static str) {
        let before = self.proxy.snapshot.load_full();
        let attempt = |policy: &Texts, catalogue: &Texts| {
            let loaded = load(&inner.config, policy, catalogue)?;
            if !inner.config.allow_shrink {
                check_shrink(&before.policy, &loaded)?;
            }
            Ok::<Policy, LoadError>(loaded)
        };
        let (newest, good) = (inner.newest.clone(), inner.good.clone());
        let mut why = None;
        for (policy, catalogue) in [(&newest.0, &newest.1), (&newest.0, &good.1), (&good.0, &newest.1)] {
            if why.is_some() && (&policy.digest, &catalogue.digest) == (&good.0.digest, &good.1.digest) {
                // It is served already.
                continue;
            }
            match attempt(policy, catalogue) {
                Ok(loaded) => {
                    inner.good = (policy.clone(), catalogue.clone());
                    let why = why.map(|error: LoadError| error.to_string());
                    let behind =
                        |newest: &Texts, good: &Texts| (newest.digest != good.digest).then(|| why.clone()).flatten();
                    let (policy_gone, catalogue_gone) = inner.unreadable.clone();
                    inner.states.policy =
                        State { stale: policy_gone.or(behind(&newest.0, policy)), digest: policy.digest.clone() };
                    inner.states.catalogue = State {
                        stale: catalogue_gone.or(behind(&newest.1, catalogue)),
                        digest: catalogue.digest.clone(),
                    };
                    let digest = digest(policy, catalogue);
                    let settings = Arc::clone(&before.settings);
                    self.publish(
                        Snapshot::new(before.generation + 1, digest, loaded, settings, &self.proxy.metrics),
                        kind,
                    );
                    if let Some(why) = why {
                        tracing::error!(kind, why, "the newest does not load; what loads of it is served");
                    }
                    return;
                }
                Err(error) => why = why.or(Some(error)),
            }
        }
        if let Some(error) = why {
            let text = Some(error.to_string());
            match kind {
                "policy" => inner.states.policy.stale = text,
                _ => inner.states.catalogue.stale = text,
            }
            self.failed(kind, &error);
        }
    }

    fn publish(&self, snapshot: Snapshot, kind: &'static str) {
        let generation = snapshot.generation;
        self.proxy.snapshot.store(Arc::new(snapshot));
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
        match settings(&inner.config, Arc::clone(&before.settings.auth), &self.proxy.metrics) {
            Ok(settings) => {
                inner.states.upstream.stale = None;
                let (generation, digest) = (before.generation + 1, before.digest.clone());
                let policy = before.policy.clone();
                let snapshot = Snapshot::new(generation, digest, policy, Arc::new(settings), &self.proxy.metrics);
                self.publish(snapshot, "upstream");
            }
            Err(error) => {
                inner.states.upstream.stale = Some(error.to_string());
                self.failed("upstream", &error);
            }
        }
        self.retry_config(&mut inner);
        self.show(&inner);
    }

    fn config_changed(self: &Arc<Self>, path: &Path, files: Result<Files, ReadError>) {
        let mut inner = self.lock();
        inner.waiting = None;
        match files {
            Ok(files) => self.try_config(&mut inner, path, files),
            Err(error) => {
                inner.states.config.stale = Some(error.to_string());
                self.failed("config", &error.into());
            }
        }
        self.show(&inner);
    }

    fn try_config(self: &Arc<Self>, inner: &mut Inner, path: &Path, files: Files) {
        match self.apply_config(inner, path, &files) {
            Ok(()) => inner.states.config.stale = None,
            Err(error) => {
                inner.states.config.stale = Some(error.to_string());
                inner.waiting = Some((path.to_owned(), files));
                self.failed("config", &error);
            }
        }
    }

    fn apply_config(self: &Arc<Self>, inner: &mut Inner, path: &Path, files: &Files) -> Result<(), LoadError> {
        let config = parse_config(path, files)?;
        let old = &inner.config;
        if (&config.listen.address, config.metrics, config.admin) != (&old.listen.address, old.metrics, old.admin) {
            tracing::warn!("`listen`, `metrics` and `admin` addresses change with a restart alone");
        }
        let policy_texts = Texts::new(&reload::read(&Source::yaml([&config.policies]))?)?;
        let catalogue_texts = read_catalogue(&config)?;
        let policy = load(&config, &policy_texts, &catalogue_texts)?;
        let before = self.proxy.snapshot.load_full();
        if !config.allow_shrink {
            check_shrink(&before.policy, &policy)?;
        }
        let tls = server_tls(&config)?;
        let _runtime = self.runtime.enter();
        let held = Held::before(&config);
        let same =
            (&config.issuers, config.token_cache_entries) == (&inner.config.issuers, inner.config.token_cache_entries);
        let auth = if same {
            // Keys that were fetched stay: their provider may not be there just now. Files are told from `held` on.
            let auth = Arc::clone(&before.settings.auth);
            for (_, reloaded) in auth.reload_files() {
                reloaded?;
            }
            auth
        } else {
            let auth = Auth::new(config.issuers.clone(), config.token_cache_entries)?;
            auth.spawn_refresh();
            auth
        };
        let settings = Arc::new(settings(&config, auth, &self.proxy.metrics)?);
        let digest = digest(&policy_texts, &catalogue_texts);
        let snapshot = Snapshot::new(before.generation + 1, digest, policy, settings, &self.proxy.metrics);
        self.tls.store(tls);
        // All that it names was loaded.
        inner.states = States {
            policy: State { stale: None, digest: policy_texts.digest.clone() },
            catalogue: State { stale: None, digest: catalogue_texts.digest.clone() },
            ..States::default()
        };
        inner.good = (policy_texts, catalogue_texts);
        inner.newest = inner.good.clone();
        inner.unreadable = (None, None);
        inner.config = config;
        self.publish(snapshot, "config");
        self.watch_files(inner, &held)
    }

    /// Shows how everything stands, in `/status` and in the metrics.
    fn show(&self, inner: &Inner) {
        self.states.store(Arc::new(inner.states.clone()));
        let metrics = &self.proxy.metrics;
        let snapshot = self.proxy.snapshot.load();
        let states = &inner.states;
        let kinds = [
            ("policy", &states.policy),
            ("catalogue", &states.catalogue),
            ("config", &states.config),
            ("keys", &states.keys),
            ("certificates", &states.certificates),
            ("upstream", &states.upstream),
        ];
        for (kind, state) in kinds {
            metrics.snapshot_stale.with_label_values(&[kind]).set(i64::from(state.stale.is_some()));
        }
        let generation = metrics.snapshot_generation.with_label_values(&["policy"]);
        let number = i64::try_from(snapshot.generation).unwrap_or(i64::MAX);
        if generation.get() != number {
            generation.set(number);
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
            metrics.snapshot_loaded.with_label_values(&["policy"]).set(now);
        }
    }
}

fn read_catalogue(config: &Config) -> Result<Texts, LoadError> {
    if config.catalogue.is_empty() {
        return Ok(Texts::none());
    }
    Texts::new(&reload::read(&Source::yaml(&config.catalogue))?)
}

/// One word for policy and catalogue together.
fn digest(policy: &Texts, catalogue: &Texts) -> String {
    format!("{}+{}", policy.digest, catalogue.digest)
}

fn server_tls(config: &Config) -> Result<Option<Arc<rustls::ServerConfig>>, LoadError> {
    let Some((cert, key)) = &config.listen.tls else { return Ok(None) };
    Ok(Some(Arc::new(tls::server_config(cert, key)?)))
}

/// The bytes of a secret's file.
///
/// # Errors
/// Not readable, or empty; the error shows nothing of it.
pub fn secret(path: &Path) -> Result<Vec<u8>, LoadError> {
    let unusable = |why: String| LoadError::Secret { path: path.to_owned(), why };
    let bytes = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
    if bytes.trim_ascii().is_empty() { Err(unusable("it is empty".to_owned())) } else { Ok(bytes) }
}

fn settings(config: &Config, auth: Arc<Auth>, metrics: &Metrics) -> Result<Settings, LoadError> {
    let authorization = match &config.upstream.authorization {
        UpstreamAuthorization::Drop => Authorization::Drop,
        UpstreamAuthorization::Forward => Authorization::Forward,
        UpstreamAuthorization::BearerFile(path) => {
            let token = secret(path)?;
            let value = HeaderValue::from_bytes(&[b"Bearer ", token.trim_ascii()].concat());
            let why = "it holds no token that fits in a header".to_owned();
            let mut value = value.map_err(|_| LoadError::Secret { path: path.clone(), why })?;
            value.set_sensitive(true);
            Authorization::Own(value)
        }
    };
    let subjects = match (&config.audit.hash_subjects, &config.audit.key_file) {
        (false, _) => Subjects::Plain,
        (true, None) => Subjects::Hashed(None),
        (true, Some(path)) => {
            let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret(path)?.trim_ascii());
            Subjects::Hashed(Some(Box::new(key)))
        }
    };
    Ok(Settings {
        auth,
        routes: Routes::new(config, metrics),
        upstream: Upstream::new(&config.upstream)?,
        authorization,
        upstream_timeout: config.upstream.timeout,
        limits: config.limits,
        name_members: config.name_members,
        audit_permitted: config.audit.permitted,
        subjects,
        decision_cache_entries: config.decision_cache_entries,
    })
}
