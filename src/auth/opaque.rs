//! Tokens that are no JWS: somebody else says what they are worth (config.md, `auth.opaque`), and that is remembered for a
//! while under the SHA-256 of the token.
//!
//! What is remembered belongs to the one server that was asked: another configuration begins anew. Good answers and bad ones
//! have caches of their own, so that garbage never drives a good token out. Garbage does not hammer the server either: it is
//! asked once at a time about a token, about a bounded number of tokens at once, and not again about the same one at once
//! where it failed or said no.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use quick_cache::sync::Cache;
use tokio::sync::watch;

use super::bearer::is_spelled;
use super::cache::{CacheStatus, TokenCache, TokenKey};
use super::keys::pace::Pace;
use super::verify::{Claims, Life};
use super::{AuthError, OpaqueSettings, PeerCertificate, Refusal, invalid, proven};
use crate::fetch::Client;
use crate::trace;
use judge::Judge;

mod judge;
#[cfg(test)]
mod tests;

/// Exchanges at once; a token beyond that is answered 503.
const MAX_EXCHANGES: usize = 64;
/// How many tokens are remembered as worth nothing.
const MAX_BAD: usize = 10_000;
/// Nothing is remembered longer, whatever the configuration says.
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// After a failure about a token, and for Retry-After.
const FLOOR: Duration = Duration::from_secs(1);
/// How far ahead of us the server's clock may be where it says `nbf`: tokens are used as soon as they are made.
const NBF_LEEWAY: Duration = Duration::from_secs(30);

/// What came of an exchange.
type Outcome = Result<Arc<Claims>, Refusal>;

#[derive(Clone)]
struct Remembered {
    outcome: Outcome,
    until: Instant,
}

/// The judge of opaque tokens, and what it said.
pub(super) struct Opaque {
    settings: OpaqueSettings,
    entries: u64,
    judge: Judge,
    pace: Pace,
    good: Cache<TokenKey, Remembered>,
    bad: Cache<TokenKey, Remembered>,
    /// The exchanges under way, for whoever waits for them.
    flights: Mutex<HashMap<TokenKey, watch::Receiver<Option<Outcome>>>>,
    hits: AtomicU64,
    misses: AtomicU64,
    /// Whether the last exchange failed.
    failing: AtomicBool,
}

impl Opaque {
    /// Reads the secret, or the certificates. `entries` good answers are remembered; 0: none.
    pub(super) fn new(
        settings: OpaqueSettings,
        entries: u64,
        client: &Arc<Client>,
        pace: &Pace,
    ) -> Result<Self, AuthError> {
        let judge = Judge::new(&settings.judge, client)?;
        Ok(Opaque {
            good: Cache::new(usize::try_from(entries).unwrap_or(usize::MAX)),
            bad: Cache::new(MAX_BAD),
            settings,
            entries,
            judge,
            pace: pace.clone(),
            flights: Mutex::default(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            failing: AtomicBool::new(false),
        })
    }

    /// Whether it was made of these.
    pub(super) fn is_of(&self, settings: &OpaqueSettings, entries: u64) -> bool {
        (&self.settings, self.entries) == (settings, entries)
    }

    /// The file that it reads again.
    pub(super) fn file(&self) -> Option<PathBuf> {
        self.judge.file()
    }

    /// Reads it; whether it holds something else now. What cannot be used leaves what was there. Answers that are remembered
    /// stay: they are the same server's.
    pub(super) fn reload(&self) -> Result<bool, AuthError> {
        self.judge.reload()
    }

    pub(super) fn status(&self) -> CacheStatus {
        CacheStatus {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            entries: u64::try_from(self.good.len() + self.bad.len()).unwrap_or(u64::MAX),
        }
    }

    /// The caller that a token speaks for at `now`, since 1970. One that is not spelled as RFC 6750, 2.1 has it never leaves.
    pub(super) async fn caller(
        self: &Arc<Self>,
        token: &str,
        now: Duration,
        peer: Option<&PeerCertificate>,
    ) -> Result<Arc<Claims>, Refusal> {
        if !is_spelled(token.as_bytes()) {
            return Err(invalid("not spelled as a bearer token"));
        }
        let key = TokenCache::key(token);
        let outcome = match self.known(&key) {
            Some(outcome) => {
                self.hits.fetch_add(1, Ordering::Relaxed);
                outcome
            }
            None => {
                self.misses.fetch_add(1, Ordering::Relaxed);
                self.ask(key, token, now).await
            }
        };
        let claims = outcome?;
        let known = &claims.known;
        proven(known, now, peer)?;
        // `exp` without leeway: it is the server's own word, and it may be asked again.
        match (known.life(now, Duration::ZERO), known.life(now, NBF_LEEWAY)) {
            (Life::Expired, _) => Err(Refusal::Expired),
            (_, Life::NotYet) => Err(invalid("not valid yet")),
            (Life::Valid | Life::NotYet, Life::Valid | Life::Expired) => Ok(claims),
        }
    }

    fn known(&self, key: &TokenKey) -> Option<Outcome> {
        let found = self.good.get(key).or_else(|| self.bad.get(key))?;
        ((self.pace.clock)() < found.until).then_some(found.outcome)
    }

    fn remember(&self, key: TokenKey, outcome: &Outcome, until: Instant) {
        let cache = if outcome.is_ok() { &self.good } else { &self.bad };
        cache.insert(key, Remembered { outcome: outcome.clone(), until });
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<TokenKey, watch::Receiver<Option<Outcome>>>> {
        // Every change of the map is one call.
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the exchange about a token; begins it where there is none.
    async fn ask(self: &Arc<Self>, key: TokenKey, token: &str, now: Duration) -> Outcome {
        let begun = {
            let mut flights = self.flights();
            match flights.get(&key) {
                Some(flight) => Ok(flight.clone()),
                None => {
                    // One may have ended since the caches were looked at; it remembers before it ends.
                    if let Some(outcome) = self.known(&key) {
                        return outcome;
                    }
                    if flights.len() >= MAX_EXCHANGES {
                        return Err(Refusal::KeysUnavailable { retry_after: FLOOR });
                    }
                    let (tell, told) = watch::channel(None);
                    flights.insert(key, told.clone());
                    Err((tell, told))
                }
            }
        };
        let mut told = match begun {
            Ok(told) => told,
            Err((tell, told)) => {
                let landing = Landing { opaque: Arc::clone(self), key };
                let token = token.to_owned();
                let mut span = trace::asks("judge token", self.judge.host());
                // A task of its own, so that a caller who goes away does not take the exchange from those who wait for it.
                tokio::spawn(async move {
                    let outcome = landing.opaque.exchange(key, &token, now).await;
                    if let (Some(span), Err(Refusal::KeysUnavailable { .. })) = (&mut span, &outcome) {
                        span.failed("unavailable");
                    }
                    drop(span);
                    drop(landing);
                    tell.send_replace(Some(outcome));
                });
                told
            }
        };
        let outcome = told.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone());
        outcome.unwrap_or(Err(Refusal::KeysUnavailable { retry_after: FLOOR }))
    }

    async fn exchange(&self, key: TokenKey, token: &str, now: Duration) -> Outcome {
        let asked = (self.pace.clock)();
        let answer = self.judge.ask(token, self.pace.deadline).await;
        let failed = answer.is_err();
        let before = self.failing.swap(failed, Ordering::Relaxed);
        let (outcome, until) = match answer {
            Ok(Ok(claims)) => {
                let left = claims.known.ends(Duration::ZERO).saturating_sub(now);
                if left.is_zero() {
                    (Err(Refusal::Expired), asked + self.settings.negative_ttl.min(MAX_AGE))
                } else {
                    (Ok(Arc::new(claims)), asked + self.settings.ttl.min(left).min(MAX_AGE))
                }
            }
            Ok(Err(reason)) => (Err(invalid(reason)), asked + self.settings.negative_ttl.min(MAX_AGE)),
            Err(why) => {
                if !before {
                    tracing::warn!(server = self.judge.issuer(), %why, "opaque tokens cannot be judged");
                }
                (Err(Refusal::KeysUnavailable { retry_after: FLOOR }), (self.pace.clock)() + FLOOR)
            }
        };
        if before && !failed {
            tracing::info!(server = self.judge.issuer(), "opaque tokens are judged again");
        }
        self.remember(key, &outcome, until);
        outcome
    }
}

/// Takes an exchange from the list however it ends.
struct Landing {
    opaque: Arc<Opaque>,
    key: TokenKey,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.opaque.flights().remove(&self.key);
    }
}

/// Whether a token is a JWS (RFC 7515, 7.1), so that nobody but its issuer's keys judges it: two dots, and a first part that
/// any reader of base64, however lenient, would find to begin as a JSON object.
pub(super) fn is_jws(token: &str) -> bool {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &URL_SAFE,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    let mut parts = token.split('.');
    let (Some(first), Some(_), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let letters = first.bytes().filter_map(|byte| match byte {
        b'+' => Some(b'-'),
        b'/' => Some(b'_'),
        byte => (byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_').then_some(byte),
    });
    let mut letters: Vec<u8> = letters.collect();
    // One letter alone is no byte.
    if letters.len() % 4 == 1 {
        letters.pop();
    }
    LENIENT.decode(&letters).is_ok_and(|header| header.trim_ascii_start().starts_with(b"{"))
}
