//! What is laid over each other: policy, catalogue files, a live graph. Each may be bad, and keeps what it held last.

use std::sync::Arc;

use super::load::{Below, LoadError, Texts, digest, relay};
use super::{Inner, Live, State, rules};
use crate::reload::{Files, ReadError};
use crate::snapshot::Part;

/// Why something cannot be read at all; what it held last is the newest still.
#[derive(Clone, Default)]
pub(super) struct Unreadable {
    pub(super) policy: Option<String>,
    pub(super) catalogue: Option<String>,
    pub(super) graph: Option<String>,
}

/// Which of those that are laid over each other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    Policy,
    Catalogue,
    Graph,
}

impl Layer {
    /// As it is called in metrics and logs.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Catalogue => "catalogue",
            Self::Graph => "graph",
        }
    }
}

impl Inner {
    pub(super) fn state(&mut self, layer: Layer) -> &mut State {
        match layer {
            Layer::Policy => &mut self.states.policy,
            Layer::Catalogue => &mut self.states.catalogue,
            Layer::Graph => &mut self.states.graph,
        }
    }
}

/// In which order a reload is tried: policy, files below it, graph below it; whether the newest.
const NEWEST_FIRST: [[bool; 3]; 7] = [
    [true, true, true],
    [true, true, false],
    [true, false, true],
    [true, false, false],
    [false, true, true],
    [false, true, false],
    [false, false, true],
];

impl Live {
    pub(super) fn layer_changed(self: &Arc<Self>, layer: Layer, files: Result<Files, ReadError>) {
        let mut guard = self.lock();
        let inner = &mut *guard;
        let read = files.map_err(LoadError::from).and_then(|files| Texts::new(&files));
        let why = read.as_ref().err().map(ToString::to_string);
        let (newest, unreadable) = match layer {
            Layer::Policy => (&mut inner.newest.0, &mut inner.unreadable.policy),
            Layer::Catalogue | Layer::Graph => (&mut inner.newest.1.files, &mut inner.unreadable.catalogue),
        };
        match read {
            Ok(texts) => {
                *newest = texts;
                *unreadable = None;
                self.reload(inner, layer);
            }
            Err(error) => {
                unreadable.clone_from(&why);
                inner.state(layer).stale = why;
                self.failed(layer.kind(), &error);
            }
        }
        self.retry_config(inner);
        self.show(inner);
    }

    /// Publishes the first that loads of newest and last good ones: the newest over the newest; else a new policy over what
    /// was below the last one; else the last good policy over what is new below it. Of what is below, files go before the graph.
    pub(super) fn reload(&self, inner: &mut Inner, layer: Layer) {
        let kind = layer.kind();
        let before = self.proxy.snapshot.load_full();
        let (newest, good) = (inner.newest.clone(), inner.good.clone());
        let (mut why, mut tried) = (None, Vec::new());
        for [policy, files, graph] in NEWEST_FIRST {
            let of = |new: bool| if new { &newest } else { &good };
            let (policy, files, graph) = (&of(policy).0, &of(files).1.files, &of(graph).1.graph);
            let below = Below { files: files.clone(), graph: graph.clone() };
            let all = digest(policy, &below);
            // What failed fails again, and what is good is served already.
            if tried.contains(&all) || (why.is_some() && all == digest(&good.0, &good.1)) {
                continue;
            }
            tried.push(all);
            match relay(&inner.config, &before.rules.policy, Some(&good), (policy, &below)) {
                Ok(loaded) => {
                    inner.good = (policy.clone(), below);
                    let why = why.map(|error: LoadError| error.to_string());
                    self.now_served(inner, why.as_deref());
                    let of = (policy, &inner.good.1);
                    let rules = rules(Part::Live, &inner.config, loaded, of, &self.proxy.metrics);
                    let shadow = self.shadow_over(inner);
                    self.publish(shadow, Arc::new(rules), Arc::clone(&before.settings), kind);
                    if let Some(why) = why {
                        tracing::error!(kind, why, "the newest does not load; what loads of it is served");
                    }
                    return;
                }
                Err(error) => why = why.or(Some(error)),
            }
        }
        if let Some(error) = why {
            inner.state(layer).stale = Some(error.to_string());
            self.failed(kind, &error);
        }
    }

    /// How the layers stand once `good` is another; `why`: the reason that it is not the newest.
    fn now_served(&self, inner: &mut Inner, why: Option<&str>) {
        let (newest, good, unreadable) = (&inner.newest, &inner.good, inner.unreadable.clone());
        let state = |unreadable: Option<String>, newest: &str, good: String| State {
            stale: unreadable.or(why.filter(|_| newest != good).map(str::to_owned)),
            digest: good,
        };
        let policy = state(unreadable.policy, &newest.0.digest, good.0.digest.clone());
        let catalogue = state(unreadable.catalogue, &newest.1.files.digest, good.1.files.digest.clone());
        let graph = state(unreadable.graph, &newest.1.graph_digest(), good.1.graph_digest());
        (inner.states.policy, inner.states.catalogue, inner.states.graph) = (policy, catalogue, graph);
    }
}
