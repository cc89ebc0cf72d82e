//! The live graph of a Chalk deployment, below the policy like a catalogue file (config.md, `catalogue`).
//!
//! ```text
//! reader: wait -> ask (token, GetGraph, tags of the dashboard) -> import -> Live::graph_read
//!   there:  as last time: nothing; else the first of (policy, files, graph) that loads is published
//!   not:    fewer than half of the features, or more for some role: the last good one is served, and says why
//! ```
//!
//! One reading at a time, each with a deadline; pauses differ from replica to replica.

mod ask;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::load::LoadError;
use super::{Layer, Live};
use crate::config::{Config, GraphSettings, Upstream};
use crate::diagnostic::SourceFile;
use crate::hex::hex;
use crate::import::Import;
use crate::policy::file::Labels;
use crate::reload::{Files, ReadError};
pub use ask::GraphError;

/// What stands where a file's name does, in messages about the graph.
const NAME: &str = "chalk_graph";
/// For how long the first reading is tried again, where that may help: a deployment that starts beside us.
const FIRST: Duration = Duration::from_secs(5);
/// Before the second try of the first reading; doubled by each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// After the first failure later on; doubled by each further one, up to `refresh`.
const RETRY: Duration = Duration::from_secs(1);
/// How many of an import's warnings are logged.
const WARNINGS: usize = 20;

/// A graph that was read: a catalogue, in the words of a file.
#[derive(Debug)]
pub(super) struct Graph {
    pub(super) file: Arc<SourceFile>,
    /// Tags of data sources in the dashboard.
    pub(super) labels: Vec<Labels>,
    pub(super) features: usize,
    /// Of all that is in it.
    pub(super) digest: String,
    warnings: Vec<String>,
}

impl Graph {
    fn new(import: Import, mut labels: Vec<Labels>) -> Self {
        labels.sort();
        let text = import.catalogue.to_yaml();
        let all = format!("{text}\0{labels:?}");
        let digest = hex(digest(&SHA256, all.as_bytes()).as_ref().get(..6).unwrap_or_default());
        let file = Arc::new(SourceFile { name: NAME.to_owned(), text });
        Self { file, labels, features: import.catalogue.features.len(), digest, warnings: import.warnings }
    }

    /// What its import found, for the log; names alone, and not without end.
    pub(super) fn tell(&self) {
        let (features, more) = (self.features, self.warnings.len().saturating_sub(WARNINGS));
        for warning in self.warnings.iter().take(WARNINGS) {
            tracing::warn!(warning, "in the deployment's graph");
        }
        tracing::info!(features, digest = self.digest, warnings_not_shown = more, "the deployment's graph was read");
    }
}

/// Whom to ask for the graph, and how.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asked {
    settings: GraphSettings,
    upstream: Upstream,
    /// `chalk.environment`, without which a configuration has no live catalogue.
    environment: String,
    /// Bytes of an answer.
    most: usize,
}

impl Asked {
    /// `None`: the catalogue has no live item.
    pub(super) fn of(config: &Config) -> Option<Self> {
        Some(Self {
            settings: config.chalk_graph.clone()?,
            upstream: config.upstream.clone(),
            environment: config.chalk.environment.clone().unwrap_or_default(),
            most: config.limits.response_body,
        })
    }

    /// Whether both ask for the same: what one read may be compared with what the other reads.
    pub(super) fn alike(&self, other: &Self) -> bool {
        let what = |asked: &Self| (asked.upstream.target.clone(), asked.settings.datasource_tags);
        what(self) == what(other) && self.environment == other.environment
    }

    /// Reads the graph.
    ///
    /// # Errors
    /// The deployment cannot be asked, or what it answers is no graph.
    pub(super) async fn read(&self) -> Result<Graph, LoadError> {
        ask::read(self).await
    }

    /// Reads it for the first time, more than once where that may help.
    pub(super) async fn first(&self) -> Result<Graph, LoadError> {
        let (until, mut pause) = (Instant::now() + FIRST, FIRST_PAUSE);
        loop {
            match self.read().await {
                Err(LoadError::Graph(error)) if error.may_pass() && Instant::now() + pause < until => {
                    tracing::warn!(%error, "the deployment's graph is not there yet");
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                read => return read,
            }
        }
    }
}

/// What reads the graph again and again, until it is dropped.
pub(super) struct Reader {
    pub(super) asked: Asked,
    number: u64,
    bell: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Reader {
    /// Starts reading; `at_once`: now, else when the time for it comes.
    pub(super) fn start(live: &Arc<Live>, runtime: &Handle, asked: Asked, at_once: bool) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let (number, bell) = (NUMBER.fetch_add(1, Ordering::Relaxed), Arc::new(Notify::new()));
        let wait = if at_once { Duration::ZERO } else { pause(asked.settings.refresh, 0, random()) };
        let task = run(Arc::downgrade(live), asked.clone(), number, Arc::clone(&bell), wait);
        Self { asked, number, bell, task: runtime.spawn(task) }
    }

    /// Has it read now.
    pub(super) fn ring(&self) {
        self.bell.notify_one();
    }
}

async fn run(live: Weak<Live>, asked: Asked, number: u64, bell: Arc<Notify>, mut wait: Duration) {
    let mut failures = 0;
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = bell.notified() => {}
        }
        let read = asked.read().await;
        failures = if read.is_ok() { 0 } else { failures + 1 };
        wait = pause(asked.settings.refresh, failures, random());
        let Some(live) = live.upgrade() else { return };
        // Loading and comparing take their time, and locks that other loading holds.
        tokio::task::spawn_blocking(move || live.graph_read(number, read)).await.ok();
    }
}

impl Live {
    /// Has the live graph read now, not when its time comes. Without one nothing happens.
    pub fn ask_for_graph(&self) {
        self.lock().reader.iter().for_each(Reader::ring);
    }

    /// The file with our credentials at the deployment is another.
    pub(super) fn graph_file_changed(self: &Arc<Self>, _: Result<Files, ReadError>) {
        self.ask_for_graph();
    }

    fn graph_read(self: &Arc<Self>, number: u64, read: Result<Graph, LoadError>) {
        let mut guard = self.lock();
        let inner = &mut *guard;
        // One that was replaced meanwhile is not heard.
        if inner.reader.as_ref().is_none_or(|reader| reader.number != number) {
            return;
        }
        match read {
            Ok(graph) => {
                let missed = inner.unreadable.graph.take().is_some();
                let of = |graph: &Option<Arc<Graph>>| graph.as_ref().map(|graph| graph.digest.clone());
                let changed = of(&inner.newest.1.graph).as_deref() != Some(&*graph.digest);
                if changed {
                    graph.tell();
                    inner.newest.1.graph = Some(Arc::new(graph));
                }
                if changed || (missed && of(&inner.newest.1.graph) != of(&inner.good.1.graph)) {
                    self.reload(inner, Layer::Graph);
                } else if missed {
                    inner.states.graph.stale = None;
                    tracing::info!("the deployment's graph can be read again, and is as it was");
                }
            }
            Err(error) => {
                let why = Some(error.to_string());
                inner.unreadable.graph.clone_from(&why);
                inner.states.graph.stale = why;
                self.failed(Layer::Graph.kind(), &error);
            }
        }
        self.retry_config(inner);
        self.show(inner);
    }
}

/// Until the next reading: a little less than `refresh`; after failures sooner, and ever later.
fn pause(refresh: Duration, failures: u32, random: u8) -> Duration {
    let (whole, least) = match failures.checked_sub(1) {
        None => (refresh, 90),
        Some(doublings) => (RETRY.saturating_mul(1 << doublings.min(16)).min(refresh), 50),
    };
    whole / 100 * (least + (100 - least) * u32::from(random) / 255)
}

/// Spreads pauses; nothing secret hangs on it.
fn random() -> u8 {
    let mut byte = [0];
    // Without randomness the pauses are the shortest ones.
    let _ = aws_lc_rs::rand::fill(&mut byte);
    let [byte] = byte;
    byte
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_under_the_refresh_and_double_after_failures() {
        let refresh = Duration::from_secs(300);
        let range = |failures| [0, 255].map(|random| pause(refresh, failures, random).as_millis());
        assert_eq!(range(0), [270_000, 300_000]);
        assert_eq!([range(1), range(2), range(5)], [[500, 1000], [1000, 2000], [8000, 16_000]]);
        assert_eq!([range(10), range(u32::MAX)], [[150_000, 300_000]; 2]);
    }
}
