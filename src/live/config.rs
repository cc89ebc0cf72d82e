//! The configuration reloads as a whole, but for what a running process cannot change. One that does not load, perhaps for
//! another file's sake, waits and is tried again when that changed.

use std::path::Path;
use std::sync::Arc;

use super::description::described;
use super::graph::{Asked, Graph, Reader};
use super::load::{Below, ConfigFile, LoadError, Texts, parse_config, read_catalogue, relay, server_tls, settings};
use super::shadow::{read_candidate, shown};
use super::watch::Held;
use super::{Inner, Live, State, States, Unreadable, announce, own, rules};
use crate::auth::Auth;
use crate::config::Config;
use crate::policy::Policy;
use crate::reload::{self, Files, ReadError, Source};
use crate::snapshot::Part;

impl Live {
    pub(super) fn watch_config(self: &Arc<Self>, file: ConfigFile) -> Result<(), LoadError> {
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

    pub(super) fn config_changed(self: &Arc<Self>, path: &Path, files: Result<Files, ReadError>) {
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

    pub(super) fn try_config(self: &Arc<Self>, inner: &mut Inner, path: &Path, files: Files) {
        match self.apply_config(inner, path, &files) {
            Ok(()) => inner.states.config.stale = None,
            Err(error) => {
                inner.states.config.stale = Some(error.to_string());
                inner.waiting = Some((path.to_owned(), files));
                self.failed("config", &error);
            }
        }
    }

    /// A configuration that did not load, perhaps for another file's sake, is tried again when that changed.
    pub(super) fn retry_config(self: &Arc<Self>, inner: &mut Inner) {
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

    pub(super) fn apply_config(
        self: &Arc<Self>,
        inner: &mut Inner,
        path: &Path,
        files: &Files,
    ) -> Result<(), LoadError> {
        let mut config = parse_config(path, files)?;
        let old = &inner.config;
        if (config.listen.address, config.metrics) != (old.listen.address, old.metrics) || config.admin != old.admin {
            tracing::warn!("`listen.address`, `metrics` and `admin` change with a restart alone");
        }
        if config.tracing.otlp != old.tracing.otlp {
            tracing::warn!("`tracing.otlp` changes with a restart alone");
        }
        // The file whose content reloads is the one that it was started with.
        config.admin = old.admin.clone();
        if let (Some(new), Some(old)) = (&mut config.issuer, &old.issuer)
            && new.store != old.store
        {
            tracing::warn!("`issuer.store` changes with a restart alone");
            new.store = old.store.clone();
        }
        if begun_with(&config) != begun_with(old) {
            let message =
                "`threads`, `drain`, and `log`, `key_file` and `on_full` of `audit` change with a restart alone";
            tracing::warn!("{message}");
        }
        let policy_texts = Texts::new(&reload::read(&Source::yaml([&config.policies]))?)?;
        let files = read_catalogue(&config)?;
        let before = self.proxy.snapshot.load_full();
        let graphs = self.graphs(inner, &config)?;
        let (policy, below, behind) = graphs.lay(inner, &config, &before.rules.policy, &policy_texts, &files)?;
        let (candidate, shadow) = read_candidate(&config, &below, &self.proxy.metrics)?.unzip();
        let tls = server_tls(&config)?;
        let _runtime = self.runtime.enter();
        let held = Held::before(&config);
        let parts = |config: &Config| {
            (config.issuers.clone(), config.opaque.clone(), config.issuer.clone(), config.token_cache_entries)
        };
        let same = parts(&config) == parts(&inner.config);
        let (auth, issuer, clients) = if same {
            // Keys that were fetched stay: their provider may not be there just now. Files are told from `held` on.
            let (auth, issuer) = (Arc::clone(&before.settings.auth), before.settings.issuer.clone());
            for (_, reloaded) in auth.reload_files() {
                reloaded?;
            }
            let clients = match (&config.issuer, &issuer) {
                (Some(settings), Some(issuer)) => {
                    let clients = own::read_clients(settings)?;
                    own::renew_keys(&auth, issuer)?;
                    Some(clients)
                }
                (None, _) | (_, None) => None,
            };
            (auth, issuer, clients)
        } else {
            let own = before.settings.issuer.as_deref();
            let (issuer, clients) = self.runtime.block_on(own::open(&config, own))?;
            let (issuers, opaque, _, entries) = parts(&config);
            let auth = Auth::load(Some(&before.settings.auth), issuers, opaque, issuer.clone(), entries)?;
            auth.spawn_refresh();
            (auth, issuer, clients)
        };
        let (description, described) = described(&config)?;
        let settings = Arc::new(settings(&config, auth, issuer.clone(), description, &self.proxy.metrics)?);
        let rules = rules(Part::Live, &config, policy, (&policy_texts, &below), &self.proxy.metrics);
        if let Some((issuer, clients)) = issuer.zip(clients) {
            issuer.use_clients(clients);
        }
        self.tls.store(tls);
        let unread = inner.unreadable.graph.take().filter(|_| graphs.kept);
        // All that it names was loaded, but for a graph that is held.
        inner.states = States {
            policy: State { stale: None, digest: policy_texts.digest.clone() },
            catalogue: State { stale: None, digest: below.files.digest.clone() },
            graph: State { stale: unread.clone().or(behind), digest: below.graph_digest() },
            shadow: shown(candidate.as_ref()),
            description: described,
            admin: inner.states.admin.clone(),
            ..States::default()
        };
        inner.candidate = candidate;
        inner.newest = (policy_texts.clone(), Below { graph: graphs.newest().cloned(), ..below.clone() });
        inner.good = (policy_texts, below);
        inner.unreadable = Unreadable { graph: unread, ..Unreadable::default() };
        announce(&config, &self.proxy.metrics);
        let asked = Asked::of(&config);
        if inner.reader.as_ref().map(|reader| &reader.asked) != asked.as_ref() {
            inner.reader = asked.map(|asked| Reader::start(self, &self.runtime, asked, graphs.kept));
        }
        self.logging.send_if_modified(|logging| std::mem::replace(logging, config.tracing.clone()) != config.tracing);
        inner.config = config;
        self.publish(shadow, Arc::new(rules), settings, "config");
        self.watch_files(inner, &held)
    }
}

/// What is settled when the process begins: its threads, its end, and the writer of the audit log.
fn begun_with(config: &Config) -> impl PartialEq + use<> {
    let audit = &config.audit;
    (config.threads, config.drain, audit.log.clone(), audit.key_file.clone(), audit.block_when_full)
}

/// Over which graphs a configuration may be loaded, the newest first.
struct Graphs {
    all: Vec<Option<Arc<Graph>>>,
    /// They were read before, of the same deployment.
    kept: bool,
}

impl Graphs {
    fn newest(&self) -> Option<&Arc<Graph>> {
        self.all.first()?.as_ref()
    }

    /// The policy over the first that loads with it; and why it is not the newest.
    fn lay(
        &self,
        inner: &Inner,
        config: &Config,
        served: &Policy,
        policy: &Texts,
        files: &Texts,
    ) -> Result<(Policy, Below, Option<String>), LoadError> {
        let good = self.kept.then_some(&inner.good);
        let mut why: Option<LoadError> = None;
        for graph in &self.all {
            let below = Below { files: files.clone(), graph: graph.clone() };
            match relay(config, served, good, (policy, &below)) {
                Ok(policy) => return Ok((policy, below, why.map(|error| error.to_string()))),
                Err(error) => why = Some(error),
            }
        }
        Err(why.unwrap_or(LoadError::Read(ReadError::NoPath)))
    }
}

impl Live {
    /// What is here is kept where the deployment is the same; a graph of another is read first.
    fn graphs(&self, inner: &Inner, config: &Config) -> Result<Graphs, LoadError> {
        let Some(asked) = Asked::of(config) else { return Ok(Graphs { all: vec![None], kept: false }) };
        let same = inner.reader.as_ref().is_some_and(|reader| reader.asked.alike(&asked));
        if let (Some(newest), Some(good), true) = (&inner.newest.1.graph, &inner.good.1.graph, same) {
            let mut all = vec![Some(Arc::clone(newest))];
            all.extend((newest.digest != good.digest).then(|| Some(Arc::clone(good))));
            return Ok(Graphs { all, kept: true });
        }
        let graph = self.runtime.block_on(asked.read())?;
        graph.tell();
        Ok(Graphs { all: vec![Some(Arc::new(graph))], kept: false })
    }
}
