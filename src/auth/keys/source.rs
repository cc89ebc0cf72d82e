//! Where the keys of one issuer come from, and which of them count now.
//!
//! A provider is asked at the start, then at the pace that it sets, then sooner while it fails; and once more when a token
//! names a key that is not here. Only one exchange with it is under way at a time, whoever wants it, and those who wait share
//! what it brings. The last good keys stay through an outage, for as long as the operator says.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use jsonwebtoken::Algorithm;
use quick_cache::sync::Cache;
use tokio::sync::watch;

use super::pace::{Pace, after_failure, after_success};
use super::provider::Provider;
use super::{KeyError, KeySet, Match};
use crate::auth::verify::Jws;
use crate::fetch::FetchError;
use crate::trace;

/// No key set is larger. In bytes.
pub(super) const MAX_BYTES: usize = 1 << 20;
/// How many unknown key names are remembered for an issuer.
const MAX_UNKNOWN: usize = 1000;

/// What the keys are read from.
pub(in crate::auth) enum Origin {
    Provider(Box<Provider>),
    Local(Local),
}

/// Keys that are here.
pub(in crate::auth) enum Local {
    JwksFile(PathBuf),
    PemFile(PathBuf),
    SecretFile(PathBuf),
    /// A JWK set.
    Text(Vec<u8>),
}

impl Local {
    fn read(&self, allowed: &[Algorithm]) -> Result<KeySet, SourceError> {
        Ok(match self {
            Local::JwksFile(path) => KeySet::from_jwks(&read(path)?, allowed)?,
            Local::PemFile(path) => KeySet::from_pem(&read(path)?, allowed)?,
            Local::SecretFile(path) => KeySet::from_secret(&read(path)?, allowed)?,
            Local::Text(text) => KeySet::from_jwks(text, allowed)?,
        })
    }
}

/// Why a source could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The exchange with the provider.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It answered something else than 200.
    #[error("the provider answered {0}")]
    Status(u16),
    /// The issuer's metadata.
    #[error("the issuer's metadata cannot be used: {0}")]
    Metadata(&'static str),
    /// The file.
    #[error("it cannot be read: {0}")]
    Read(std::io::ErrorKind),
    /// The file is no key file.
    #[error("it is larger than {MAX_BYTES} bytes")]
    TooLarge,
    /// A secret that is none.
    #[error("it is empty")]
    Empty,
    /// What was read.
    #[error(transparent)]
    Keys(#[from] KeyError),
}

/// Why a signature is not verified.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::auth) enum Unverified {
    /// The key that the token names does not verify it.
    Wrong,
    /// The issuer has no key that does.
    Unknown,
    /// Nobody can say: the keys are not here, and asking again before that is of no use.
    Unavailable { retry_after: Duration },
}

/// The keys of one issuer over time.
pub(in crate::auth) struct Source {
    issuer: String,
    algorithms: Vec<Algorithm>,
    origin: Origin,
    pace: Pace,
    loaded: ArcSwapOption<Loaded>,
    /// Held while the source is read. What is in it belongs to exchanges that tokens ask for.
    flight: Arc<tokio::sync::Mutex<Flight>>,
    /// Held while a set is published, so that no generation is given twice.
    publish: Mutex<()>,
    /// Key names that a fresh set did not have, and when.
    unknown: Cache<(Algorithm, String), Instant>,
    read_ok: AtomicU64,
    read_failed: AtomicU64,
    /// Whether the last reading failed.
    failing: AtomicBool,
    started: AtomicBool,
    /// Its closing ends the task that refreshes.
    open: watch::Sender<()>,
}

/// A key set in use.
struct Loaded {
    keys: KeySet,
    /// Counts from 1; another one when the key material is another.
    generation: u64,
    at: Instant,
    /// When it counts no longer; `None`: it stays.
    until: Option<Instant>,
}

#[derive(Default)]
struct Flight {
    asked: Option<Instant>,
}

enum Refetch {
    Done,
    Failed {
        retry_after: Duration,
    },
    /// Not now, and the last one brought what there was; or there is nobody to ask.
    Rested,
}

/// What an operator sees of it.
pub(in crate::auth) struct SourceStatus {
    pub(in crate::auth) read_ok: u64,
    pub(in crate::auth) read_failed: u64,
    pub(in crate::auth) age: Option<Duration>,
    pub(in crate::auth) failing: bool,
    pub(in crate::auth) keys: usize,
}

impl Source {
    /// Nothing is read yet: [`Source::reload`] reads a file or a text, [`Source::spawn`] a provider.
    pub(in crate::auth) fn new(issuer: String, algorithms: Vec<Algorithm>, origin: Origin, pace: Pace) -> Source {
        Source {
            issuer,
            algorithms,
            origin,
            pace,
            loaded: ArcSwapOption::empty(),
            flight: Arc::default(),
            publish: Mutex::new(()),
            unknown: Cache::new(MAX_UNKNOWN),
            read_ok: AtomicU64::new(0),
            read_failed: AtomicU64::new(0),
            failing: AtomicBool::new(false),
            started: AtomicBool::new(false),
            open: watch::Sender::new(()),
        }
    }

    /// The file that it is read from.
    pub(in crate::auth) fn file(&self) -> Option<&Path> {
        match &self.origin {
            Origin::Local(Local::JwksFile(path) | Local::PemFile(path) | Local::SecretFile(path)) => Some(path),
            Origin::Local(Local::Text(_)) | Origin::Provider(_) => None,
        }
    }

    /// The generation of the keys, while they count.
    pub(in crate::auth) fn generation(&self) -> Option<u64> {
        let loaded = self.loaded.load();
        let loaded = loaded.as_ref()?;
        self.counts(loaded).then_some(loaded.generation)
    }

    pub(in crate::auth) fn status(&self) -> SourceStatus {
        let loaded = self.loaded.load();
        let now = (self.pace.clock)();
        SourceStatus {
            read_ok: self.read_ok.load(Ordering::Relaxed),
            read_failed: self.read_failed.load(Ordering::Relaxed),
            age: loaded.as_ref().map(|l| now.saturating_duration_since(l.at)),
            failing: self.failing.load(Ordering::Relaxed),
            keys: loaded.as_ref().map_or(0, |loaded| loaded.keys.len()),
        }
    }

    /// Checks the signature; where no key here fits, asks the provider first. Gives the generation of the keys that verify it.
    pub(in crate::auth) async fn verify(self: &Arc<Self>, jws: &Jws<'_>) -> Result<u64, Unverified> {
        // Before the keys are looked at: one that ends in between then counts as ours, not as one before us.
        let seen = self.readings();
        let name = match self.check(jws) {
            Some((Match::Verified, generation)) => return Ok(generation),
            Some((Match::Wrong, _)) => return Err(Unverified::Wrong),
            Some((Match::Unknown, _)) => jws.kid.clone().map(|kid| (jws.algorithm, kid)),
            None => None,
        };
        if name.as_ref().is_some_and(|name| self.is_unknown(name)) {
            return Err(Unverified::Unknown);
        }
        let refetch = self.refetch(seen).await;
        match (self.check(jws), refetch) {
            (Some((Match::Verified, generation)), _) => Ok(generation),
            (Some((Match::Wrong, _)), _) => Err(Unverified::Wrong),
            (_, Refetch::Failed { retry_after }) => Err(Unverified::Unavailable { retry_after }),
            (None, Refetch::Done | Refetch::Rested) => Err(Unverified::Unavailable { retry_after: self.pace.floor }),
            (Some((Match::Unknown, _)), Refetch::Done) => {
                if let Some(name) = name {
                    self.unknown.insert(name, (self.pace.clock)());
                }
                Err(Unverified::Unknown)
            }
            (Some((Match::Unknown, _)), Refetch::Rested) => Err(Unverified::Unknown),
        }
    }

    /// Reads a file or text again; whether the keys are others now. What cannot be read leaves the keys as they were. A
    /// provider is not asked.
    pub(in crate::auth) fn reload(&self) -> Result<bool, SourceError> {
        let Origin::Local(local) = &self.origin else {
            return Ok(false);
        };
        self.record(self.publish(|| local.read(&self.algorithms), Duration::ZERO, None))
    }

    /// Takes a JWK set in the place of the text that there was; whether its keys are others.
    pub(in crate::auth) fn replace(&self, jwks: &[u8]) -> Result<bool, SourceError> {
        self.record(self.publish(|| Ok(KeySet::from_jwks(jwks, &self.algorithms)?), Duration::ZERO, None))
    }

    /// Starts the task that asks the provider; once, and only on a tokio runtime. It ends with the source.
    pub(in crate::auth) fn spawn(self: &Arc<Self>) {
        if !matches!(self.origin, Origin::Provider(_)) {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            tracing::error!(issuer = self.issuer, "no runtime to refresh keys on");
            return;
        };
        if !self.started.swap(true, Ordering::Relaxed) {
            runtime.spawn(refresh(Arc::downgrade(self), self.open.subscribe()));
        }
    }

    /// Places that are free for requests that wait.
    #[cfg(test)]
    pub(in crate::auth) fn places(&self) -> usize {
        self.pace.waiting.available_permits()
    }

    /// How many unknown key names are remembered.
    #[cfg(test)]
    pub(in crate::auth) fn remembered(&self) -> usize {
        self.unknown.len()
    }

    /// `None`: there are no keys that count.
    fn check(&self, jws: &Jws<'_>) -> Option<(Match, u64)> {
        let loaded = self.loaded.load();
        let loaded = loaded.as_ref().filter(|loaded| self.counts(loaded))?;
        let (kid, signed) = (jws.kid.as_deref(), jws.signed.as_bytes());
        let answer = loaded.keys.check(kid, jws.algorithm, signed, &jws.signature);
        Some((answer, loaded.generation))
    }

    fn counts(&self, loaded: &Loaded) -> bool {
        match loaded.until {
            None => true,
            Some(until) => (self.pace.clock)() < until,
        }
    }

    fn readings(&self) -> u64 {
        let failed = self.read_failed.load(Ordering::Acquire);
        self.read_ok.load(Ordering::Acquire) + failed
    }

    fn is_unknown(&self, name: &(Algorithm, String)) -> bool {
        let now = (self.pace.clock)();
        let since = self.unknown.get(name);
        since.is_some_and(|since| now.saturating_duration_since(since) < self.pace.unknown)
    }

    /// Asks the provider because of a token, unless somebody did since `seen` readings, or just now.
    async fn refetch(self: &Arc<Self>, seen: u64) -> Refetch {
        let Origin::Provider(provider) = &self.origin else { return Refetch::Rested };
        let Ok(_place) = self.pace.waiting.try_acquire() else {
            return Refetch::Failed { retry_after: Duration::from_secs(1) };
        };
        let mut flight = Arc::clone(&self.flight).lock_owned().await;
        let now = (self.pace.clock)();
        let wait = flight.asked.map_or(Duration::ZERO, |asked| {
            let passed = now.saturating_duration_since(asked);
            self.pace.floor.saturating_sub(passed)
        });
        // Whole seconds are all that Retry-After can say.
        let failed = Refetch::Failed { retry_after: wait.max(Duration::from_secs(1)) };
        let failing = || self.failing.load(Ordering::Relaxed);
        if self.readings() != seen {
            return if failing() { failed } else { Refetch::Done };
        }
        if !wait.is_zero() {
            return if failing() { failed } else { Refetch::Rested };
        }
        flight.asked = Some(now);
        let source = Arc::clone(self);
        let mut span = trace::asks("fetch keys", provider.location.url().host());
        // A task of its own, so that a caller who goes away does not take the exchange from those who wait for it.
        let exchange = tokio::spawn(async move {
            let done = source.ask().await.is_ok();
            if let (Some(span), false) = (&mut span, done) {
                span.failed("unavailable");
            }
            drop(span);
            drop(flight);
            done
        });
        match exchange.await {
            Ok(true) => Refetch::Done,
            Ok(false) | Err(_) => Refetch::Failed { retry_after: self.pace.floor.max(Duration::from_secs(1)) },
        }
    }

    /// One exchange with the provider, under the lock of `flight`. Gives the time until the next is due.
    async fn ask(&self) -> Result<Duration, SourceError> {
        let Origin::Provider(provider) = &self.origin else {
            return Ok(Duration::MAX);
        };
        let read = match provider.fetch(self.pace.deadline).await {
            Ok(fetched) => {
                let lasts = fetched.fresh.saturating_add(provider.stale_if_error);
                let keys = || Ok(KeySet::from_jwks(&fetched.body, &self.algorithms)?);
                let published = self.publish(keys, Duration::ZERO, Some(lasts));
                if published.is_ok() {
                    provider.keep(&self.issuer, &fetched).await;
                }
                published.map(|_| fetched.fresh)
            }
            Err(error) => Err(error),
        };
        self.record(read)
    }

    /// Takes what was kept of the provider's keys before a restart, where it is still good for something.
    pub(in crate::auth) fn restore(&self) {
        let Origin::Provider(provider) = &self.origin else { return };
        if self.loaded.load().is_some() {
            return;
        }
        let Some(kept) = provider.restore(&self.issuer) else { return };
        let lasts = kept.fresh.saturating_add(provider.stale_if_error).saturating_sub(kept.age);
        match self.publish(|| Ok(KeySet::from_jwks(&kept.set, &self.algorithms)?), kept.age, Some(lasts)) {
            Ok(_) => {
                tracing::info!(issuer = self.issuer, age_s = kept.age.as_secs(), "keys of before the restart are used")
            }
            Err(error) => tracing::warn!(issuer = self.issuer, %error, "keys of before the restart cannot be used"),
        }
    }

    /// Reads a set and puts it in the place of the one before; whether the keys are others now. Reading is inside the lock, so
    /// that what was read later is what stays.
    fn publish(
        &self,
        read: impl FnOnce() -> Result<KeySet, SourceError>,
        age: Duration,
        lasts: Option<Duration>,
    ) -> Result<bool, SourceError> {
        let _one_at_a_time = self.publish.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = read()?;
        let before = self.loaded.load_full();
        let (generation, changed) = match &before {
            None => (1, true),
            Some(before) if before.keys.digest == keys.digest => (before.generation, false),
            Some(before) => (before.generation + 1, true),
        };
        if changed {
            let keys = keys.len();
            tracing::info!(issuer = self.issuer, keys, generation, "keys loaded");
        }
        let now = (self.pace.clock)();
        self.loaded.store(Some(Arc::new(Loaded {
            keys,
            generation,
            at: now.checked_sub(age).unwrap_or(now),
            // Beyond what the clock counts is for ever.
            until: lasts.and_then(|lasts| now.checked_add(lasts)),
        })));
        Ok(changed)
    }

    /// Counts a reading. After its keys are published, for whoever sees the count looks for them.
    fn record<T>(&self, read: Result<T, SourceError>) -> Result<T, SourceError> {
        self.failing.store(read.is_err(), Ordering::Relaxed);
        let counter = match &read {
            Ok(_) => &self.read_ok,
            Err(error) => {
                // A file that was never good stops the start, which says so.
                if self.file().is_none() || self.read_ok.load(Ordering::Relaxed) > 0 {
                    tracing::warn!(issuer = self.issuer, %error, "keys not read, the last good ones stay");
                }
                &self.read_failed
            }
        };
        counter.fetch_add(1, Ordering::Release);
        read
    }
}

/// Asks the provider at its pace until the source is gone.
async fn refresh(source: Weak<Source>, mut open: watch::Receiver<()>) {
    let mut failures = 0;
    loop {
        let Some(source) = source.upgrade() else {
            return;
        };
        let flight = source.flight.lock().await;
        let read = source.ask().await;
        drop(flight);
        let pause = match read {
            Ok(fresh) => {
                failures = 0;
                after_success(fresh, random())
            }
            Err(_) => {
                failures += 1;
                after_failure(&source.pace, failures, random())
            }
        };
        drop(source);
        if tokio::time::timeout(pause, open.changed()).await.is_ok() {
            return;
        }
    }
}

/// Spreads pauses; nothing secret hangs on it.
fn random() -> u8 {
    let mut byte = [0];
    // Without randomness the pauses are the shortest ones.
    let _ = aws_lc_rs::rand::fill(&mut byte);
    let [byte] = byte;
    byte
}

/// Reads a whole file, if it is not larger than a key file can be.
pub(in crate::auth) fn read(path: &Path) -> Result<Vec<u8>, SourceError> {
    use std::io::Read as _;
    let fail = |error: std::io::Error| SourceError::Read(error.kind());
    let file = std::fs::File::open(path).map_err(fail)?;
    let mut text = Vec::new();
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut text).map_err(fail)?;
    if text.len() > MAX_BYTES {
        return Err(SourceError::TooLarge);
    }
    Ok(text)
}
