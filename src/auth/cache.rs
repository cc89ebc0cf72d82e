//! Verified tokens, so that the signature of one is checked once. The key is the SHA-256 of the whole token: two tokens with one
//! signature (another encoding, a malleable signature) are two entries, and no token is kept.
//!
//! An entry counts once for each KiB of its token, so that the number of entries bounds the memory of their claims too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::sync::Cache;

use super::keys::sha256;
use super::verify::Claims;

#[cfg(test)]
mod tests;

/// An entry is verified again after this, however far away `exp` is.
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// What names a token here: equal for equal tokens alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TokenKey {
    sha256: [u8; 32],
    /// How many entries it counts for.
    weight: u32,
}

/// A token that verified.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) claims: Arc<Claims>,
    /// Its place in the list of issuers.
    pub(super) issuer: usize,
    /// The generation of the issuer's keys that it verified under; worth nothing under another.
    pub(super) generation: u64,
    /// From its insertion to its `exp`.
    pub(super) left: Duration,
}

/// How the token cache does, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheStatus {
    /// Requests whose token needed no verification.
    pub hits: u64,
    /// Requests whose token did.
    pub misses: u64,
    /// Tokens in it, about.
    pub entries: u64,
}

pub(super) struct TokenCache {
    entries: Cache<TokenKey, Entry>,
    hits: AtomicU64,
    misses: AtomicU64,
}

struct AtExp;

impl Expiry<TokenKey, Entry> for AtExp {
    fn expire_after_create(&self, _: &TokenKey, entry: &Entry, _: Instant) -> Option<Duration> {
        Some(entry.left.min(MAX_AGE))
    }

    fn expire_after_update(&self, _: &TokenKey, entry: &Entry, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(entry.left.min(MAX_AGE))
    }
}

impl TokenCache {
    /// Holds `entries` tokens of less than 1 KiB, fewer longer ones; none when that is 0.
    pub(super) fn new(entries: u64) -> TokenCache {
        TokenCache {
            entries: Cache::builder()
                .max_capacity(entries)
                .weigher(|key: &TokenKey, _: &Entry| key.weight)
                .expire_after(AtExp)
                .build(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// The name of a token, with the room that it takes.
    pub(super) fn key(token: &str) -> TokenKey {
        let weight = u32::try_from(1 + token.len() / 1024).unwrap_or(u32::MAX);
        TokenKey { sha256: sha256(&[token.as_bytes()]), weight }
    }

    /// The entry, if `current` says that it still counts; tells hits from misses.
    pub(super) fn get(&self, key: &TokenKey, current: impl Fn(&Entry) -> bool) -> Option<Entry> {
        let found = self.entries.get(key).filter(current);
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
        self.entries.invalidate(key);
    }

    pub(super) fn status(&self) -> CacheStatus {
        CacheStatus {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            entries: self.entries.entry_count(),
        }
    }
}
