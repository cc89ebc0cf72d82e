//! What is revoked, in memory: asked on every request, without a lock and without a wait.
//!
//! The names lie in many small immutable maps behind a pointer each. A request reads three of them; whoever adds a revocation
//! copies one small map, whatever the total (about a hundred entries of 100,000). A revocation only ever grows (the later end
//! and the later `issued_before` win), so the order in which they arrive, and repeats, change nothing.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

#[cfg(test)]
mod tests;

/// For how many seconds longer than `until` a revocation is kept: the leeway that verification grants to `exp`, and the
/// difference of the replicas' clocks.
pub const KEPT: u64 = 300;

const SHARDS: usize = 1024;

/// What has ended before its time. `until`, in unix seconds, is when the last token that it ends has expired by itself: the
/// revocation is forgotten [`KEPT`] seconds after that.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Revocation {
    /// One access token.
    Token {
        /// Its `jti` (RFC 7519, 4.1.7).
        jti: String,
        /// Its `exp`.
        until: u64,
    },
    /// The refresh tokens of a family, and the access tokens that were issued with them.
    Family {
        /// The family.
        id: String,
        /// [`Ends::access`](super::store::Ends::access) of the family, or anything later. The store lengthens it to that.
        until: u64,
    },
    /// Every token and every refresh family of a client that is older.
    Client {
        /// The client.
        id: String,
        /// Unix seconds: ends tokens whose `iat` is before, and families that began before. What is issued in that very second
        /// stays, so whoever disables a client at `now` passes `now + 1`.
        issued_before: u64,
        /// When the last access token of the client has expired. The store lengthens it to cover the refresh families.
        until: u64,
    },
}

/// Ends what was issued before `before`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    before: u64,
    until: u64,
}

type Map = HashMap<Box<str>, Mark>;

/// The names of one kind, spread over maps by a hash with a random key.
struct Names {
    hasher: RandomState,
    maps: Box<[ArcSwap<Map>]>,
}

impl Names {
    fn new() -> Self {
        Self { hasher: RandomState::new(), maps: (0..SHARDS).map(|_| ArcSwap::default()).collect() }
    }

    fn place(&self, name: &str) -> usize {
        // The remainder fits, so the cast loses nothing that matters.
        self.hasher.hash_one(name) as usize % SHARDS
    }

    fn ends(&self, name: &str, issued: u64) -> bool {
        let map = self.maps.get(self.place(name)).map(ArcSwap::load);
        map.is_some_and(|map| map.get(name).is_some_and(|mark| issued < mark.before))
    }

    /// Each map is replaced once, so that 100,000 entries at a time cost no more than a copy of what is there.
    fn extend(&self, entries: impl Iterator<Item = (String, Mark)>) {
        let mut groups: HashMap<usize, Vec<(String, Mark)>> = HashMap::new();
        for (name, mark) in entries {
            groups.entry(self.place(&name)).or_default().push((name, mark));
        }
        for (place, group) in groups {
            let Some(map) = self.maps.get(place) else { continue };
            map.rcu(|old| {
                let mut new = Map::clone(old);
                for (name, mark) in &group {
                    let slot = new.entry(name.as_str().into()).or_insert(*mark);
                    slot.before = slot.before.max(mark.before);
                    slot.until = slot.until.max(mark.until);
                }
                new
            });
        }
    }

    fn sweep(&self, place: usize, now: u64) {
        let Some(map) = self.maps.get(place) else { return };
        let keep = |mark: &Mark| now < mark.until.saturating_add(KEPT);
        if !map.load().values().all(keep) {
            map.rcu(|old| {
                let kept = old.iter().filter(|(_, mark)| keep(mark));
                kept.map(|(name, mark)| (name.clone(), *mark)).collect::<Map>()
            });
        }
    }

    fn all(&self) -> Vec<(String, Mark)> {
        let of =
            |map: &ArcSwap<Map>| map.load().iter().map(|(name, mark)| (name.to_string(), *mark)).collect::<Vec<_>>();
        self.maps.iter().flat_map(of).collect()
    }
}

/// What is revoked, and how long ago the store was heard from.
pub struct Revocations {
    tokens: Names,
    families: Names,
    clients: Names,
    started: Instant,
    /// Milliseconds after `started`; [`NEVER`]; `None`: the store is in this process.
    heard: Option<AtomicU64>,
}

const NEVER: u64 = u64::MAX;

impl Revocations {
    /// Empty; of a store in this process, which is always heard.
    pub(super) fn local() -> Self {
        let (tokens, families, clients) = (Names::new(), Names::new(), Names::new());
        Self { tokens, families, clients, started: Instant::now(), heard: None }
    }

    /// Empty; of a store elsewhere, not heard from yet.
    pub(super) fn remote() -> Self {
        Self { heard: Some(AtomicU64::new(NEVER)), ..Self::local() }
    }

    /// Whether an access token of ours was ended: by its `jti`, with its `family`, or with its client. `iat` in unix seconds.
    ///
    /// Knows nothing of `exp`, and not whether the store was heard from: that is [`silence`](Self::silence).
    #[must_use]
    pub fn ended(&self, jti: &str, family: Option<&str>, client: &str, iat: u64) -> bool {
        self.tokens.ends(jti, iat)
            || family.is_some_and(|family| self.families.ends(family, iat))
            || self.clients.ends(client, iat)
    }

    /// For how long nothing was heard from the store: what others revoked in this time may be unknown here. Zero for a store in
    /// this process, [`Duration::MAX`] for one that was never reached. To be held against `revocations.max_stale` (config.md).
    #[must_use]
    pub fn silence(&self) -> Duration {
        let Some(heard) = &self.heard else { return Duration::ZERO };
        match heard.load(Ordering::Acquire) {
            NEVER => Duration::MAX,
            heard => self.started.elapsed().saturating_sub(Duration::from_millis(heard)),
        }
    }

    /// Everything that was revoked until now is in here.
    pub(super) fn hear(&self) {
        if let Some(heard) = &self.heard {
            let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(NEVER - 1);
            heard.store(now, Ordering::Release);
        }
    }

    pub(super) fn add(&self, revocations: impl IntoIterator<Item = Revocation>) {
        let (mut tokens, mut families, mut clients) = (Vec::new(), Vec::new(), Vec::new());
        for revocation in revocations {
            match revocation {
                Revocation::Token { jti, until } => tokens.push((jti, Mark { before: u64::MAX, until })),
                Revocation::Family { id, until } => families.push((id, Mark { before: u64::MAX, until })),
                Revocation::Client { id, issued_before: before, until } => clients.push((id, Mark { before, until })),
            }
        }
        self.tokens.extend(tokens.into_iter());
        self.families.extend(families.into_iter());
        self.clients.extend(clients.into_iter());
    }

    /// Forgets what ended [`KEPT`] seconds before `now`, a small part at a time.
    pub(super) async fn sweep(&self, now: u64) {
        for place in 0..SHARDS {
            self.tokens.sweep(place, now);
            self.families.sweep(place, now);
            self.clients.sweep(place, now);
            tokio::task::yield_now().await;
        }
    }

    /// All of it, in no order.
    pub(super) fn all(&self) -> Vec<Revocation> {
        let tokens = self.tokens.all().into_iter().map(|(jti, mark)| Revocation::Token { jti, until: mark.until });
        let families = self.families.all().into_iter().map(|(id, mark)| Revocation::Family { id, until: mark.until });
        let clients = self.clients.all().into_iter().map(|(id, mark)| {
            let Mark { before: issued_before, until } = mark;
            Revocation::Client { id, issued_before, until }
        });
        tokens.chain(families).chain(clients).collect()
    }
}

impl std::fmt::Debug for Revocations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Revocations").field("silence", &self.silence()).finish_non_exhaustive()
    }
}
