//! Keys of one object that stand twice in it.

use std::hash::{BuildHasher, RandomState};

use super::Reader;
use crate::json::scan::unescape;
use crate::json::{JsonError, Span};

/// So many keys of an object are compared each with each, more of them by their hashes.
pub(in crate::json) const FEW_KEYS: usize = 16;

/// Characters of a key that an error shows.
pub(in crate::json) const SHOWN_KEY_CHARS: usize = 64;

impl Reader<'_> {
    /// Checks the keys of the innermost object, and forgets them. To sort them by their hashes is
    /// O(n log n) whatever keys are sent, and takes no allocation per object or plain key.
    #[inline]
    pub(super) fn distinct(&mut self) -> Result<(), JsonError> {
        let Some(open) = self.open.last() else { return Ok(()) };
        let (first, escaped) = (open.first_key, open.escaped);
        if !escaped && !open.alike {
            self.keys.truncate(first);
            return Ok(());
        }
        self.compared(first, escaped)
    }

    /// The same, where they have to be compared.
    fn compared(&mut self, first: usize, escaped: bool) -> Result<(), JsonError> {
        let text = self.text;
        let keys = self.keys.get(first..).unwrap_or_default();
        let twice = if keys.len() < 2 {
            None
        } else if keys.len() <= FEW_KEYS && !escaped {
            first_twice(keys, |a, b| a.end - a.start == b.end - b.start && a.of(text) == b.of(text)).copied()
        } else {
            hashed_twice(text, keys, &mut self.hashed)?
        };
        self.keys.truncate(first);
        let Some(key) = twice else { return Ok(()) };
        let name = unescape(text, key)?;
        let shown = name.chars().take(SHOWN_KEY_CHARS).flat_map(char::escape_default).collect();
        Err(JsonError::DuplicateKey { key: shown, at: key.start })
    }
}

/// The first key that stands for the same text as one before it. `hashed` is room for it.
fn hashed_twice(text: &[u8], keys: &[Span], hashed: &mut Vec<(u64, Span)>) -> Result<Option<Span>, JsonError> {
    // Keyed at random, so that nobody can choose keys that collide.
    let hasher = RandomState::new();
    hashed.clear();
    for &key in keys {
        hashed.push((hasher.hash_one(unescape(text, key)?.as_ref()), key));
    }
    hashed.sort_unstable_by_key(|(hash, key)| (*hash, key.start));
    let same = |a: &(_, Span), b: &(_, Span)| unescape(text, a.1) == unescape(text, b.1);
    let runs = hashed.chunk_by(|a, b| a.0 == b.0);
    let twice = runs.filter_map(|run| first_twice(run, same).map(|(_, key)| *key));
    Ok(twice.min_by_key(|key| key.start))
}

/// The first item that is the same as one before it. Quadratic: for few, or for all the same.
#[inline]
fn first_twice<T>(items: &[T], same: impl Fn(&T, &T) -> bool) -> Option<&T> {
    let twice = |(at, item)| items.iter().take(at).any(|earlier| same(earlier, item));
    items.iter().enumerate().find(|&item| twice(item)).map(|(_, item)| item)
}
