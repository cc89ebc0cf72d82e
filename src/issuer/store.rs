//! What the issuer remembers: refresh families, revocations, failed attempts. One interface over two stores, which behave alike:
//! a file of this process, or a Redis that several replicas share.
//!
//! Times are unix seconds given as arguments; nothing in here reads the clock of the machine or of the server. Refresh tokens are
//! known by their SHA-256 alone. Every token of a family is remembered until it expires, so that any second use is seen.
//!
//! **Rotation** (RFC 9700, 4.14). A family has one newest token. Using it makes a successor the newest, in one atomic step. Using
//! the token before it again within [`REPEAT_SECONDS`], while the newest is unused, makes a further successor the newest and voids
//! the one before. Everything else that once belonged to the family revokes it, and a **voided successor** is part of that: it may
//! be in the hands of the thief or of the owner, and if its use only failed, a thief who repeats a stolen token within the ten
//! seconds would keep the family while its owner is locked out, unseen. So both are out and the owner authenticates again. The
//! cost: two threads of one client that refresh the same token at once, and keep the wrong answer, lose the family.

mod attempts;
mod embedded;
mod redis;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};

pub use super::revocations::{Revocation, Revocations};
pub use crate::config::{RedisUrl, StoreSettings};
use crate::tls::TlsError;
pub use attempts::WINDOW_SECONDS;
use attempts::{Attempts, Slot};
use embedded::Embedded;
use redis::Redis;

/// For so many seconds after its use a refresh token may be repeated, in case the answer was lost.
pub const REPEAT_SECONDS: u64 = 10;

/// SHA-256 of a refresh token. Shows nothing of itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// Of the token as it is sent.
    #[must_use]
    pub fn of(token: &str) -> Self {
        let mut hash = [0; 32];
        hash.iter_mut().zip(digest(&SHA256, token.as_bytes()).as_ref()).for_each(|(to, from)| *to = *from);
        Self(hash)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash(…)")
    }
}

/// When a pair of tokens expires, in unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The refresh token.
    pub refresh: u64,
    /// The access token. Of a [`Family`]: the one that expires last; revoking the family must last until then.
    pub access: u64,
}

/// The refresh tokens that came of one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// 128 random bits in hex, and what it came of.
    pub id: String,
    /// Whose it is.
    pub client: String,
    /// When its newest refresh token and the last of its access tokens expire.
    pub ends: Ends,
}

/// What became of a refresh token that was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// It was the newest: its successor now is. (The same successor offered twice is one rotation that was asked for twice.)
    Rotated(Family),
    /// It was used at most [`REPEAT_SECONDS`] ago and its successor is unused: that one is void, the new one is the newest.
    Repeated(Family),
    /// It was used before, or voided by a repeat: the family and its access tokens are revoked.
    Reused(Family),
    /// Unknown, expired, or of a family or client that was revoked.
    Ended,
}

/// A refresh token, looked at without using it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its family, which lives.
    pub family: Family,
    /// Whether it could be rotated: the newest, unused.
    pub newest: bool,
}

/// Why the store did not do it. No text holds an address, a password or a token.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Redis is down, hangs, or cannot serve at the moment: 503. Whether the step was done is not known; all of them can be repeated.
    #[error("the redis of the issuer cannot serve: {reason}")]
    Unavailable {
        /// What it looks like from here.
        reason: String,
    },
    /// Redis wants other credentials.
    #[error("the redis of the issuer refuses the credentials of `redis_url`: `{code}`")]
    Refused {
        /// The first word of its answer.
        code: String,
    },
    /// Not a URL of a Redis.
    #[error("`redis_url` cannot be read: {reason}")]
    Url {
        /// Why; without the text itself.
        reason: &'static str,
    },
    /// No TLS can be had.
    #[error("the redis of the issuer cannot be reached over tls: {0}")]
    Tls(#[from] TlsError),
    /// Another process has the file.
    #[error("`{0}` is in use by another process: replicas share a redis, not a file")]
    Locked(PathBuf),
    /// The file or its folder cannot be made, opened or written.
    #[error("the token store `{path}` cannot be opened: {error}")]
    Open {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file is something else, or damaged.
    #[error("`{path}` does not read as a token store: {error}")]
    Content {
        /// The file.
        path: PathBuf,
        /// Why.
        error: Box<::redb::Error>,
    },
    /// The disk failed: 503.
    #[error("the token store cannot be read or written: {0}")]
    Disk(Box<::redb::Error>),
    /// The program is ending: 503.
    #[error("the token store has stopped")]
    Stopped,
}

/// The store of the issuer. To be shared behind an `Arc`.
#[derive(Debug)]
pub enum Store {
    /// A file.
    Embedded(Embedded),
    /// A Redis.
    Redis(Redis),
}

impl Store {
    /// Opens it. Everything that a file holds is known afterwards, and everything that a Redis holds, if it can be reached: a Redis
    /// that is down is logged and tried again and again, and [`Revocations::silence`] says so meanwhile.
    ///
    /// # Errors
    /// For a file [`StoreError::Locked`], [`StoreError::Open`], [`StoreError::Content`]; for a Redis [`StoreError::Url`],
    /// [`StoreError::Tls`], [`StoreError::Refused`].
    pub async fn open(settings: &StoreSettings) -> Result<Self, StoreError> {
        match settings {
            StoreSettings::Embedded(path) => Embedded::open(path).await.map(Self::Embedded),
            StoreSettings::Redis(url) => Redis::open(url).await.map(Self::Redis),
        }
    }

    /// Remembers a new family with its first token. Repeating it changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Disk`], [`StoreError::Stopped`]; so for all that follow.
    pub async fn begin(&self, family: &Family, token: &Hash, now: u64) -> Result<(), StoreError> {
        match self {
            Self::Embedded(store) => store.begin(family, token, now).await,
            Self::Redis(store) => store.begin(family, token, now).await,
        }
    }

    /// Uses a refresh token, in one atomic step that is durable before it is answered: `next`, which expires as `ends` says, is its
    /// successor if the rotation is [`Rotated`](Rotation::Rotated) or [`Repeated`](Rotation::Repeated), and nothing otherwise.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub async fn rotate(&self, token: &Hash, next: &Hash, ends: Ends, now: u64) -> Result<Rotation, StoreError> {
        match self {
            Self::Embedded(store) => store.rotate(token, next, ends, now).await,
            Self::Redis(store) => store.rotate(token, next, ends, now).await,
        }
    }

    /// Looks at a refresh token (RFC 7009, RFC 7662); `None` where a rotation would be [`Ended`](Rotation::Ended).
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub async fn family_of(&self, token: &Hash, now: u64) -> Result<Option<Standing>, StoreError> {
        match self {
            Self::Embedded(store) => store.family_of(token, now).await,
            Self::Redis(store) => store.family_of(token, now).await,
        }
    }

    /// Revokes. Known to [`revocations`](Self::revocations) when it returns, and to other replicas in under a second.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub async fn revoke(&self, what: &Revocation, now: u64) -> Result<(), StoreError> {
        match self {
            Self::Embedded(store) => store.revoke(what, now).await,
            Self::Redis(store) => store.revoke(what, now).await,
        }
    }

    /// Counts a failed secret and gives how many there were, this one included, from this address for this client in the current
    /// window of [`WINDOW_SECONDS`] (it begins when `now` is a multiple of them). An IPv6 address stands for its /64. The tables
    /// have a fixed size, and two that fall on one place count together. Replicas count together; a Redis that is down leaves the
    /// count of this one.
    pub async fn failed(&self, client: &str, address: IpAddr, now: u64) -> u32 {
        let ours = self.attempts().failed(client, address, now);
        match self {
            Self::Embedded(_) => ours,
            Self::Redis(store) => store.failed(Slot::shared(client, address), now).await.max(ours),
        }
    }

    /// What [`failed`](Self::failed) has counted in this process, whose memory and time it is about; without counting.
    pub fn failures(&self, client: &str, address: IpAddr, now: u64) -> u32 {
        self.attempts().failures(client, address, now)
    }

    /// For how many clients an address has failed, as [`failures`](Self::failures) counts.
    pub fn clients_failed(&self, address: IpAddr, now: u64) -> u32 {
        self.attempts().clients_failed(address, now)
    }

    fn attempts(&self) -> &Attempts {
        match self {
            Self::Embedded(store) => &store.attempts,
            Self::Redis(store) => &store.attempts,
        }
    }

    /// What is revoked.
    pub fn revocations(&self) -> &Arc<Revocations> {
        match self {
            Self::Embedded(store) => &store.revocations,
            Self::Redis(store) => &store.revocations,
        }
    }

    /// Drops what has expired, in small steps between which others have their turn. To be called every few minutes.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub async fn sweep(&self, now: u64) -> Result<(), StoreError> {
        self.revocations().sweep(now).await;
        match self {
            Self::Embedded(store) => store.sweep(now).await,
            Self::Redis(store) => store.sweep(now).await,
        }
    }
}
