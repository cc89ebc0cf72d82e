//! The store that replicas share: Redis 6.2 or newer, or Valkey.
//!
//! A step is one Lua script, so nothing comes between its parts. Everything expires by itself, after lives that are counted from the
//! `now` of the arguments. All keys carry one hash tag, so that a script's keys are on one node of a cluster.
//!
//! ```text
//! tagwarden:{issuer}:token:HASH    "EXPIRES FAMILY", never changed
//! tagwarden:{issuer}:family:ID     client, newest, previous, used, begun, refresh, access
//! tagwarden:{issuer}:last          when the last refresh token expires
//! tagwarden:{issuer}:revoked       sorted set: tJTI and fFAMILY by until
//! tagwarden:{issuer}:clients       client -> "BEFORE UNTIL"
//! tagwarden:{issuer}:known         there since the first replica, or the first after a loss of data
//! tagwarden:{issuer}:failures:N    place -> count, of window N
//! tagwarden:{issuer}:revocations:D the channel of database D
//! tagwarden:{issuer}:ticks:NONCE   a replica's own channel
//! ```

mod feed;
mod link;

use std::sync::{Arc, LazyLock};

use redis::{Script, cmd};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::attempts::{Attempts, Slot, WINDOW_SECONDS, window};
use super::{Ends, Family, Hash, REPEAT_SECONDS, RedisUrl, Revocation, Revocations, Rotation, Standing, StoreError};
use crate::hex::hex;
use crate::issuer::revocations::KEPT;
use feed::Feed;
use link::{Link, Request, unavailable};

static BEGIN: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("redis/begin.lua")));
static ROTATE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("redis/rotate.lua")));
static LOOK: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("redis/look.lua")));
static REVOKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("redis/revoke.lua")));
static REVOKE_CLIENT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("redis/revoke_client.lua")));
static RESTORE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("redis/restore.lua")));
static SWEEP: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("redis/sweep.lua")));
static FAILED: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("redis/failed.lua")));

/// The scripts reckon in doubles and lives have a limit: the year 5138 is late enough.
const LATEST: u64 = 100_000_000_000;

const SWEPT_AT_ONCE: usize = 1000;

/// A Redis.
pub struct Redis {
    link: Arc<Link>,
    keys: Arc<Keys>,
    feed: AbortHandle,
    pub(super) attempts: Attempts,
    pub(super) revocations: Arc<Revocations>,
}

/// The keys that are always the same.
struct Keys {
    last: String,
    revoked: String,
    clients: String,
    known: String,
    channel: String,
}

fn key(rest: &str) -> String {
    format!("tagwarden:{{issuer}}:{rest}")
}

fn token_key(token: &str) -> String {
    key(&format!("token:{token}"))
}

fn family_key(id: &str) -> String {
    key(&format!("family:{id}"))
}

impl Redis {
    pub(super) async fn open(url: &RedisUrl) -> Result<Self, StoreError> {
        let link = Arc::new(Link::new(url)?);
        let channel = key(&format!("revocations:{}", link.database()));
        let (last, revoked, clients, known) = (key("last"), key("revoked"), key("clients"), key("known"));
        let keys = Arc::new(Keys { last, revoked, clients, known, channel });
        let revocations = Arc::new(Revocations::remote());
        let mut nonce = [0; 16];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| StoreError::Stopped)?;
        let feed = Feed {
            link: Arc::clone(&link),
            keys: Arc::clone(&keys),
            revocations: Arc::clone(&revocations),
            ticks: key(&format!("ticks:{:032x}", u128::from_be_bytes(nonce))),
        };
        let (first, done) = oneshot::channel();
        let feed = tokio::spawn(feed.follow(first)).abort_handle();
        let store = Self { link, keys, feed, attempts: Attempts::new(), revocations };
        match done.await {
            // Whoever gave the wrong password wants to know now; a server that is down comes back.
            Ok(Err(error @ StoreError::Refused { .. })) => Err(error),
            Ok(_) => Ok(store),
            Err(_) => Err(StoreError::Stopped),
        }
    }

    pub(super) async fn begin(&self, family: &Family, token: &Hash, now: u64) -> Result<(), StoreError> {
        let token = hex(&token.0);
        let mut script = BEGIN.prepare_invoke();
        script.key(family_key(&family.id)).key(token_key(&token)).key(&self.keys.last);
        script.arg(&family.client).arg(&token).arg(&family.id);
        script.arg(late(family.ends.refresh)).arg(late(family.ends.access)).arg(late(now)).arg(KEPT);
        self.link.ask(&Request::Script(script)).await
    }

    /// The family of a token that has not expired. This never changes, so it can be asked before the step.
    async fn family_id(&self, token: &str, now: u64) -> Result<Option<String>, StoreError> {
        let mut get = cmd("GET");
        get.arg(token_key(token));
        let found: Option<String> = self.link.ask(&Request::Plain(get)).await?;
        let Some(found) = found else { return Ok(None) };
        let (expires, id) = found.split_once(' ').ok_or_else(unreadable)?;
        let expires: u64 = expires.parse().map_err(|_| unreadable())?;
        Ok((now < expires).then(|| id.to_owned()))
    }

    pub(super) async fn rotate(&self, token: &Hash, next: &Hash, ends: Ends, now: u64) -> Result<Rotation, StoreError> {
        let (token, next) = (hex(&token.0), hex(&next.0));
        let Some(id) = self.family_id(&token, now).await? else { return Ok(Rotation::Ended) };
        let mut script = ROTATE.prepare_invoke();
        script.key(family_key(&id)).key(token_key(&next));
        script.key(&self.keys.last).key(&self.keys.clients).key(&self.keys.revoked);
        script.arg(&token).arg(&next).arg(&id);
        script.arg(late(ends.refresh)).arg(late(ends.access)).arg(late(now)).arg(KEPT);
        script.arg(REPEAT_SECONDS).arg(&self.keys.channel);
        let answer: Vec<String> = self.link.ask(&Request::Script(script)).await?;
        let [outcome, rest @ ..] = answer.as_slice() else { return Err(unreadable()) };
        match (outcome.as_str(), rest) {
            ("ended", []) => Ok(Rotation::Ended),
            ("rotated", rest) => Ok(Rotation::Rotated(family(id, rest)?)),
            ("repeated", rest) => Ok(Rotation::Repeated(family(id, rest)?)),
            ("reused", rest) => {
                let family = family(id, rest)?;
                self.revocations.add([Revocation::Family { id: family.id.clone(), until: family.ends.access }]);
                Ok(Rotation::Reused(family))
            }
            _ => Err(unreadable()),
        }
    }

    pub(super) async fn family_of(&self, token: &Hash, now: u64) -> Result<Option<Standing>, StoreError> {
        let token = hex(&token.0);
        let Some(id) = self.family_id(&token, now).await? else { return Ok(None) };
        let mut script = LOOK.prepare_invoke();
        script.key(family_key(&id)).key(&self.keys.clients).arg(late(now));
        let answer: Vec<String> = self.link.ask(&Request::Script(script)).await?;
        let [newest, rest @ ..] = answer.as_slice() else { return Ok(None) };
        Ok(Some(Standing { family: family(id, rest)?, newest: *newest == token }))
    }

    pub(super) async fn revoke(&self, what: &Revocation, now: u64) -> Result<(), StoreError> {
        let known = match what {
            Revocation::Client { id, issued_before, until } => {
                let mut script = REVOKE_CLIENT.prepare_invoke();
                script.key(&self.keys.clients).key(&self.keys.last);
                script.arg(id).arg(late(*issued_before)).arg(late(*until));
                script.arg(late(now)).arg(KEPT).arg(&self.keys.channel);
                let (issued_before, until) = self.link.ask(&Request::Script(script)).await?;
                Revocation::Client { id: id.clone(), issued_before, until }
            }
            Revocation::Token { jti: name, until } | Revocation::Family { id: name, until } => {
                let family = matches!(what, Revocation::Family { .. });
                let mut script = REVOKE.prepare_invoke();
                script.key(&self.keys.revoked);
                script.key(if family { family_key(name) } else { self.keys.revoked.clone() });
                script.arg(if family { "f" } else { "t" }).arg(name).arg(late(*until));
                script.arg(late(now)).arg(KEPT).arg(&self.keys.channel);
                let until: u64 = self.link.ask(&Request::Script(script)).await?;
                let name = name.clone();
                if family { Revocation::Family { id: name, until } } else { Revocation::Token { jti: name, until } }
            }
        };
        self.revocations.add([known]);
        Ok(())
    }

    /// The count of all replicas; 0 where it is not known.
    pub(super) async fn failed(&self, slot: Slot, now: u64) -> u32 {
        let mut script = FAILED.prepare_invoke();
        script.key(key(&format!("failures:{}", window(now)))).arg(slot.0).arg(2 * WINDOW_SECONDS);
        self.link.ask(&Request::Script(script)).await.unwrap_or(0)
    }

    /// What has a life of its own needs no sweeping; the members of `revoked` and `clients` have none.
    pub(super) async fn sweep(&self, now: u64) -> Result<(), StoreError> {
        loop {
            let mut script = SWEEP.prepare_invoke();
            script.key(&self.keys.revoked).key(&self.keys.clients);
            script.arg(late(now).saturating_sub(KEPT)).arg(SWEPT_AT_ONCE);
            if self.link.ask::<usize>(&Request::Script(script)).await? == 0 {
                return Ok(());
            }
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.feed.abort();
    }
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("revocations", &self.revocations).finish_non_exhaustive()
    }
}

fn late(seconds: u64) -> u64 {
    seconds.min(LATEST)
}

fn unreadable() -> StoreError {
    unavailable("what it holds does not read")
}

/// Of what a script gives: client, refresh end, access end.
fn family(id: String, fields: &[String]) -> Result<Family, StoreError> {
    let [client, refresh, access] = fields else { return Err(unreadable()) };
    let (Ok(refresh), Ok(access)) = (refresh.parse(), access.parse()) else { return Err(unreadable()) };
    Ok(Family { id, client: client.clone(), ends: Ends { refresh, access } })
}
