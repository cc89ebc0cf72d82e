//! Secrets and API keys of clients. Generated ones have 256 random bits and are known by their SHA-256, which costs nothing to
//! compare; imported ones may be guessable and are known by an argon2id hash ([`imported`]), which costs memory and time, so that
//! only a few are verified at once ([`Gate`]).

pub mod imported;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::sync::{Semaphore, TryAcquireError};

use crate::hex::hex;
use imported::Trial;

/// What generated secrets and keys begin with, so that scanners of source code find them.
const PREFIX: &str = "tw_";
/// What refresh tokens begin with.
pub(super) const REFRESH: &str = "twr_";
/// Random bytes of a generated one, and their letters in base64url.
const BYTES: usize = 32;
const LETTERS: usize = 43;
/// The longest id of a secret or key.
const ID_LETTERS: usize = 16;

/// Verifications of imported secrets at once for anybody. Each takes up to 64 MiB.
const PLACES: usize = 3;
/// The same for addresses that have failed a lot lately.
const SUSPECT_PLACES: usize = 1;

/// A generated secret or key, `tw_<id>_<43 letters base64url of 32 random bytes>`, or what somebody sent. `Debug` shows nothing.
pub struct Secret(String);

/// Why there is no new secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The machine's source of random bytes failed.
    #[error("no random bytes can be had for a secret")]
    Random,
    /// The hash of an imported one cannot be computed, for want of memory.
    #[error("the argon2id hash of the secret cannot be computed")]
    Hash,
}

impl Secret {
    /// A new one with 256 random bits. `id` is one that [`is_id`] takes.
    ///
    /// # Errors
    /// [`SecretError::Random`].
    pub fn generate(id: &str) -> Result<Self, SecretError> {
        let mut random = [0; BYTES];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| SecretError::Random)?;
        Ok(Self(format!("{PREFIX}{id}_{}", URL_SAFE_NO_PAD.encode(random))))
    }

    /// What somebody sent.
    pub fn sent(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The text itself, to be printed once or compared.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// SHA-256 of the whole text as printed.
    pub fn hash(&self) -> [u8; 32] {
        sha256(&self.0)
    }

    /// How clients.yaml keeps it: `sha256:` and 64 hex digits.
    pub fn kept(&self) -> String {
        format!("sha256:{}", hex(&self.hash()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

pub(super) fn sha256(text: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.iter_mut().zip(digest(&SHA256, text.as_bytes()).as_ref()).for_each(|(to, from)| *to = *from);
    hash
}

/// Whether a text may name a secret or key: 1 to 16 of `a` to `z` and `0` to `9`.
pub fn is_id(text: &str) -> bool {
    (1..=ID_LETTERS).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// Whether a text has the form of a generated secret or key. It says nothing of who made it.
pub fn is_generated(text: &str) -> bool {
    let parts = text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_'));
    let letter = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    parts.is_some_and(|(id, random)| is_id(id) && random.len() == LETTERS && random.bytes().all(letter))
}

/// Whether a text looks like what the issuer gives out and nobody but it may see: secrets, keys, refresh tokens.
pub fn is_issued(text: &str) -> bool {
    is_generated(text) || text.starts_with(REFRESH)
}

/// Lets a few argon2id verifications run at once: three for anybody, and one for addresses that have failed a lot lately, so that
/// a stranger who guesses takes the places of nobody else. It outlives reloads of clients.yaml: the issuer holds one.
pub struct Gate {
    places: Arc<Semaphore>,
    suspects: Arc<Semaphore>,
    ran: Arc<AtomicU64>,
}

/// All places are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Gate {
    /// With all places free.
    pub fn new() -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        Self { places: places(PLACES), suspects: places(SUSPECT_PLACES), ran: Arc::default() }
    }

    /// How many argon2id verifications ran so far.
    pub fn ran(&self) -> u64 {
        self.ran.load(Ordering::Relaxed)
    }

    /// Tries them all, whichever is right, on a thread for blocking work; whether one is. A place is held until they are done,
    /// also when nobody waits for the answer any more.
    pub(super) async fn verify(&self, secret: String, trials: Vec<Trial>, suspect: bool) -> Result<bool, Full> {
        let places = if suspect { &self.suspects } else { &self.places };
        let place = match Arc::clone(places).try_acquire_owned() {
            Ok(place) => place,
            Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => return Err(Full),
        };
        let ran = Arc::clone(&self.ran);
        let work = tokio::task::spawn_blocking(move || {
            let right = trials.iter().fold(false, |right, trial| {
                ran.fetch_add(1, Ordering::Relaxed);
                right | trial.succeeds(secret.as_bytes())
            });
            drop(place);
            right
        });
        // The runtime is going down: ours to mend.
        work.await.map_err(|_| Full)
    }
}

#[cfg(test)]
impl Gate {
    /// Takes every place of one kind.
    pub(super) fn hold(&self, suspect: bool) -> Vec<tokio::sync::OwnedSemaphorePermit> {
        let places = if suspect { &self.suspects } else { &self.places };
        std::iter::from_fn(|| Arc::clone(places).try_acquire_owned().ok()).collect()
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_held_until_the_work_is_done_though_nobody_waits() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).max_blocking_threads(1).build().unwrap();
        let (gate, (let_go, held)) = (Arc::new(Gate::new()), std::sync::mpsc::channel::<()>());
        // The one thread for blocking work is busy, so the verification waits for it.
        runtime.spawn_blocking(move || held.recv().ok());
        runtime.block_on(async {
            let left = tokio::select! {
                biased;
                done = gate.verify("x".repeat(16), Vec::new(), true) => Some(done),
                () = std::future::ready(()) => None,
            };
            assert_eq!(left, None, "the caller goes away");
            assert_eq!(gate.verify("x".repeat(16), Vec::new(), true).await, Err(Full));
            let_go.send(()).unwrap();
            // What waits for the place gets it when the work is done.
            drop(gate.suspects.acquire().await.unwrap());
            assert_eq!(gate.verify("x".repeat(16), Vec::new(), true).await, Ok(false));
        });
    }

    #[test]
    fn a_generated_secret_has_its_form_and_no_two_are_alike() {
        let (a, b) = (Secret::generate("s1").unwrap(), Secret::generate("s1").unwrap());
        assert!(is_generated(a.expose()) && a.expose().starts_with("tw_s1_"), "{}", a.expose());
        assert_eq!(a.expose().len(), 6 + 43);
        assert_ne!(a.expose(), b.expose());
        assert_ne!(a.hash(), b.hash());
        assert_eq!(a.hash(), Secret::sent(a.expose()).hash());
        assert_eq!(format!("{a:?}"), "Secret(…)");
    }

    #[test]
    fn the_hash_is_that_of_the_whole_text() {
        assert_eq!(
            Secret::sent("test").kept(),
            "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
        );
    }

    #[test]
    fn only_the_generated_form_is_taken_for_it() {
        let random = "A".repeat(41) + "-_";
        for id in ["s1", "a", "0123456789abcdef"] {
            assert!(is_generated(&format!("tw_{id}_{random}")), "{id}");
        }
        for id in ["", "S1", "s-1", "s_1", "0123456789abcdefg", "ä"] {
            assert!(!is_generated(&format!("tw_{id}_{random}")), "{id}");
        }
        for other in [format!("TW_s1_{random}"), format!("tw_s1_{random}A"), format!("tw_s1_{}", "A".repeat(42))] {
            assert!(!is_generated(&other), "{other}");
        }
        assert!(!is_generated(&format!("tw_s1_{}=", "A".repeat(42))));
        assert!(!is_generated(""));
    }
}
