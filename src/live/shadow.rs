//! The policy beside the one that answers: read, loaded over the catalogue that is served, reloaded by itself.

use std::sync::Arc;

use super::load::{Below, LoadError, Texts, lay};
use super::{Inner, Live, State, rules};
use crate::config::Config;
use crate::metrics::Metrics;
use crate::reload::{self, Files, ReadError, Source};
use crate::snapshot::{Part, Shadow};

/// The policy beside the one that answers.
pub(super) struct Candidate {
    pub(super) newest: Texts,
    /// What was loaded last.
    pub(super) good: Texts,
}

impl Live {
    /// The candidate alone: what answers stays as it is, with its caches.
    pub(super) fn candidate_changed(self: &Arc<Self>, files: Result<Files, ReadError>) {
        let mut guard = self.lock();
        let inner = &mut *guard;
        let read = files.map_err(LoadError::from).and_then(|files| Texts::new(&files));
        if let Some(candidate) = &mut inner.candidate {
            let loaded = read.and_then(|texts| {
                candidate.newest = texts;
                shadow(&inner.config, &candidate.newest, &inner.good.1, &self.proxy.metrics)
            });
            match loaded {
                Ok(shadow) => {
                    candidate.good = candidate.newest.clone();
                    inner.states.shadow = shown(Some(candidate));
                    let before = self.proxy.snapshot.load_full();
                    self.publish(Some(shadow), Arc::clone(&before.rules), Arc::clone(&before.settings), "shadow");
                }
                Err(error) => {
                    inner.states.shadow.stale = Some(error.to_string());
                    self.failed("shadow", &error);
                }
            }
        }
        self.retry_config(inner);
        self.show(inner);
    }

    /// The candidate over a catalogue that is about to be served; none where it does not load over it.
    pub(super) fn shadow_over(&self, inner: &mut Inner) -> Option<Shadow> {
        let candidate = inner.candidate.as_mut()?;
        let mut why = None;
        for texts in [candidate.newest.clone(), candidate.good.clone()] {
            match shadow(&inner.config, &texts, &inner.good.1, &self.proxy.metrics) {
                Ok(shadow) => {
                    candidate.good = texts;
                    inner.states.shadow = shown(Some(candidate));
                    inner.states.shadow.stale = why;
                    return Some(shadow);
                }
                Err(error) => why = why.or(Some(error.to_string())),
            }
        }
        tracing::error!(why, "the shadow policy does not load over this catalogue, nothing is compared");
        inner.states.shadow.stale = why;
        None
    }
}

/// The candidate that a configuration names, as it stands, and over this catalogue.
pub(super) fn read_candidate(
    config: &Config,
    below: &Below,
    metrics: &Metrics,
) -> Result<Option<(Candidate, Shadow)>, LoadError> {
    let Some(path) = &config.shadow else { return Ok(None) };
    let texts = Texts::new(&reload::read(&Source::yaml([path]))?)?;
    let shadow = shadow(config, &texts, below, metrics)?;
    Ok(Some((Candidate { newest: texts.clone(), good: texts }, shadow)))
}

/// A candidate over a catalogue, with nothing compared.
fn shadow(config: &Config, candidate: &Texts, below: &Below, metrics: &Metrics) -> Result<Shadow, LoadError> {
    let policy = lay(config, candidate, below)?.policy;
    let rules = rules(Part::Shadow, config, policy, (candidate, below), metrics);
    Ok(Shadow::new(Arc::new(rules), config.decision_cache_entries))
}

pub(super) fn shown(candidate: Option<&Candidate>) -> State {
    State { stale: None, digest: candidate.map(|candidate| candidate.good.digest.clone()).unwrap_or_default() }
}
