//! Verified tokens, so that the signature of one is checked once. The key is the SHA-256 of the whole token: two tokens with one
//! signature (another encoding, a malleable signature) are two entries, and no token is kept. Nor are its claims, so that an
//! entry is small however long its token is.
//!
//! The library spreads the entries over parts, four for each processor but none for fewer than 32 expected, each with a lock for
//! readers and writers and an even share of the room. Requests with known tokens read at the same time, also of one part: they
//! share the lock for the look-up and a clone of two pointers, and wait only while a new token is written to that part. Parts do
//! not fill evenly, so some tokens in a thousand may be verified again where all the room is needed.
//!
//! The library knows no time. Nothing is given out by the cache alone: [`TokenCache::get`] asks whether the entry is too old and
//! whether the keys that verified it still are the issuer's; `exp`, `nbf`, the bound certificate and revocation are looked at by
//! `Auth` on each request, and the policy's part (the memo) has the number of its generation.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use quick_cache::UnitWeighter;
use quick_cache::sync::Cache;

use super::keys::sha256;
use super::verify::Known;
use crate::issuer::Issued;

#[cfg(test)]
mod tests;

/// An entry is verified again after this, however far away `exp` is.
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// How many entries the library is told to expect, at most: it remembers the hashes of half as many that it let go of, each in
/// the room of an entry, and spreads the rest over locks for at least 32 of them.
const EXPECTED: u64 = 4096;

/// What names a token here: equal for equal tokens alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TokenKey([u8; 32]);

impl Hash for TokenKey {
    /// A part of it is as evenly spread as the whole; the look-up's own hash has a random key.
    fn hash<H: Hasher>(&self, state: &mut H) {
        if let Some(first) = self.0.first_chunk() {
            state.write_u64(u64::from_ne_bytes(*first));
        }
    }
}

/// A token that verified.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) known: Arc<Known>,
    /// Its place in the list of issuers.
    pub(super) issuer: usize,
    /// The generation of the issuer's keys that it verified under; worth nothing under another.
    pub(super) generation: u64,
    /// Of a token of the built-in issuer.
    pub(super) issued: Option<Arc<Issued>>,
    /// When it verified, in whole seconds from 1970.
    pub(super) since: u64,
}

/// How the token cache does, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheStatus {
    /// Requests whose token needed no verification.
    pub hits: u64,
    /// Requests whose token did.
    pub misses: u64,
    /// Tokens in it.
    pub entries: u64,
}

pub(super) struct TokenCache {
    entries: Cache<TokenKey, Entry>,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl TokenCache {
    /// Holds `entries` tokens; none when that is 0. One that is past its time goes when it is asked for, or when there is no
    /// room.
    pub(super) fn new(entries: u64) -> TokenCache {
        let expected = usize::try_from(entries.min(EXPECTED)).unwrap_or(usize::MAX);
        TokenCache {
            entries: Cache::with_weighter(expected, entries, UnitWeighter),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// The name of a token.
    pub(super) fn key(token: &str) -> TokenKey {
        TokenKey(sha256(&[token.as_bytes()]))
    }

    /// The entry, if it is not too old at `now`, since 1970, and `current` says that it still counts; tells hits from misses.
    pub(super) fn get(&self, key: &TokenKey, now: Duration, current: impl Fn(&Entry) -> bool) -> Option<Entry> {
        // A clock that was set back makes it old, too.
        let fresh = |entry: &Entry| now.abs_diff(Duration::from_secs(entry.since)) < MAX_AGE;
        let found = self.entries.get(key).filter(|entry| fresh(entry) && current(entry));
        let counter = match found {
            Some(_) => &self.hits,
            None => &self.misses,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    pub(super) fn put(&self, key: TokenKey, entry: Entry) {
        self.entries.insert(key, entry);
    }

    pub(super) fn remove(&self, key: &TokenKey) {
        self.entries.remove(key);
    }

    pub(super) fn status(&self) -> CacheStatus {
        CacheStatus {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            entries: u64::try_from(self.entries.len()).unwrap_or(u64::MAX),
        }
    }
}
