//! The revocations of all replicas: everything that is stored, then everything that is published.
//!
//! A session subscribes first and reads all afterwards, so that nothing falls in between. Every second it publishes a tick over the
//! connection that also carries the requests; as long as the ticks come back, the subscription delivers and both connections lead to
//! the same server. When they stay away the session is over and the next one begins. Ticks have a channel of their own in each
//! replica, on the same connection: on the common one, what the server sends would grow with the square of the replicas.
//!
//! A server may come back empty. Replicas that were there before give it back what was revoked; one that only starts waits for
//! them the first time, or it would take what they know to be revoked. A key says that somebody was there already.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use redis::{PushInfo, PushKind, Value, cmd};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::link::{Link, Request, unavailable};
use super::{Keys, RESTORE};
use crate::issuer::revocations::{Revocation, Revocations};
use crate::issuer::store::StoreError;

const TICK: Duration = Duration::from_secs(1);

/// A session whose ticks stay away for so long is over.
const SILENCE: Duration = Duration::from_secs(3);

/// Between two sessions: from the first to the second, doubled each time.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// After so long everybody who lost the server has found it again: the longest pause, with some time for the session to begin.
const RETURN: Duration = Duration::from_secs(2);

/// A month: a replica that starts later waits once more.
const KNOWN_SECONDS: u64 = 31 * 86_400;

/// How many entries are read or restored with one request.
const AT_ONCE: usize = 1000;

/// The task behind [`Redis`](super::Redis).
pub(super) struct Feed {
    pub(super) link: Arc<Link>,
    pub(super) keys: Arc<Keys>,
    pub(super) revocations: Arc<Revocations>,
    /// The channel of our ticks. No other replica has it.
    pub(super) ticks: String,
}

impl Feed {
    /// Follows for ever. `first` gets what became of the first attempt, once all that is stored is known.
    pub(super) async fn follow(self, first: oneshot::Sender<Result<(), StoreError>>) {
        let (mut first, mut pause, mut down) = (Some(first), PAUSE.0, false);
        loop {
            let error = match self.begin().await {
                Ok(pushes) => {
                    self.revocations.hear();
                    if let Some(first) = first.take() {
                        first.send(Ok(())).ok();
                    }
                    if down {
                        tracing::info!("the redis of the issuer serves again");
                    }
                    down = false;
                    let began = Instant::now();
                    let error = tokio::select! {
                        error = self.listen(pushes) => error,
                        error = self.beat() => error,
                    };
                    // Sessions that end as they begin must not read everything again and again.
                    if began.elapsed() > SILENCE {
                        pause = PAUSE.0;
                    }
                    error
                }
                Err(error) => error,
            };
            if !down {
                tracing::warn!(%error, "the redis of the issuer is not heard: revocations of other replicas are not known");
                down = true;
            }
            if let Some(first) = first.take() {
                first.send(Err(error)).ok();
            }
            sleep(pause).await;
            pause = PAUSE.1.min(pause * 2);
        }
    }

    /// Subscribes, reads everything, and gives back what was forgotten there.
    async fn begin(&self) -> Result<Subscription, StoreError> {
        let (sender, pushes) = unbounded_channel();
        let live = self.link.subscribe(&[&self.keys.channel, &self.ticks], sender).await?;
        let known = self.revocations.all();
        let stored = self.read().await?;
        // A Redis that lost its data, or that took over from one, must not forget what was revoked: replicas start from it.
        let there: HashSet<&Revocation> = stored.iter().collect();
        let lost: Vec<&Revocation> = known.iter().filter(|one| !there.contains(one)).collect();
        for lost in lost.chunks(AT_ONCE) {
            let mut script = RESTORE.prepare_invoke();
            script.key(&self.keys.revoked).key(&self.keys.clients).arg(&self.keys.channel);
            for one in lost {
                let (kind, name) = name(one);
                let value = match one {
                    Revocation::Token { until, .. } | Revocation::Family { until, .. } => until.to_string(),
                    Revocation::Client { issued_before, until, .. } => format!("{issued_before} {until}"),
                };
                script.arg(kind.to_string()).arg(value).arg(name);
            }
            self.link.ask::<()>(&Request::Script(script)).await?;
        }
        self.revocations.add(stored);
        if self.revocations.silence() == Duration::MAX && !self.is_known().await? {
            // We bring nothing back. Whoever knew what this server has lost, if it lost anything, does within a pause.
            sleep(RETURN).await;
            self.revocations.add(self.read().await?);
        }
        let mut know = cmd("SET");
        know.arg(&self.keys.known).arg(1).arg("EX").arg(KNOWN_SECONDS);
        self.link.ask::<()>(&Request::Plain(know)).await?;
        Ok(Subscription { pushes, _live: live })
    }

    /// Whether replicas have brought back what they knew since the server was last empty.
    async fn is_known(&self) -> Result<bool, StoreError> {
        let mut exists = cmd("EXISTS");
        exists.arg(&self.keys.known);
        self.link.ask(&Request::Plain(exists)).await
    }

    /// Everything that was there all the while is found; what is added meanwhile is published as well.
    async fn read(&self) -> Result<Vec<Revocation>, StoreError> {
        let mut all = Vec::new();
        for (command, key) in [("ZSCAN", &self.keys.revoked), ("HSCAN", &self.keys.clients)] {
            let mut cursor = "0".to_owned();
            loop {
                let mut scan = cmd(command);
                scan.arg(key).arg(&cursor).arg("COUNT").arg(AT_ONCE);
                let (next, page): (String, Vec<String>) = self.link.ask(&Request::Plain(scan)).await?;
                for pair in page.chunks_exact(2) {
                    let [name, value] = pair else { continue };
                    let text = if command == "ZSCAN" {
                        name.split_at_checked(1).map(|(kind, name)| format!("{kind} {value} {name}"))
                    } else {
                        Some(format!("c {value} {name}"))
                    };
                    all.extend(text.as_deref().and_then(parse));
                }
                if next == "0" {
                    break;
                }
                cursor = next;
            }
        }
        Ok(all)
    }

    /// Adds what is published, until the connection ends.
    async fn listen(&self, mut subscription: Subscription) -> StoreError {
        while let Some(PushInfo { kind, data }) = subscription.pushes.recv().await {
            match (kind, data.as_slice()) {
                (PushKind::Message, [Value::BulkString(channel), _]) if channel == self.ticks.as_bytes() => {
                    self.revocations.hear();
                }
                (PushKind::Message, [_, Value::BulkString(text)]) => match std::str::from_utf8(text) {
                    // Of a replica of an older version, for itself.
                    Ok(text) if text.starts_with("tick ") => {}
                    Ok(text) => match parse(text) {
                        Some(revocation) => self.revocations.add([revocation]),
                        None => {
                            tracing::warn!("a revocation of another replica does not read: is it of another version")
                        }
                    },
                    Err(_) => tracing::warn!("a revocation of another replica is no text"),
                },
                (PushKind::Disconnection, _) => break,
                _ => {}
            }
        }
        unavailable("the subscription ended")
    }

    /// Ticks, until they are not heard.
    async fn beat(&self) -> StoreError {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.revocations.silence() < SILENCE {
            ticks.tick().await;
            let mut publish = cmd("PUBLISH");
            publish.arg(&self.ticks).arg("");
            // A tick that is not published is not heard.
            self.link.ask::<()>(&Request::Plain(publish)).await.ok();
        }
        unavailable("the subscription is silent")
    }
}

struct Subscription {
    pushes: UnboundedReceiver<PushInfo>,
    _live: Arc<super::link::Live>,
}

/// The kind, and the name in it.
fn name(revocation: &Revocation) -> (char, &str) {
    match revocation {
        Revocation::Token { jti, .. } => ('t', jti),
        Revocation::Family { id, .. } => ('f', id),
        Revocation::Client { id, .. } => ('c', id),
    }
}

/// `t UNTIL JTI`, `f UNTIL ID`, `c BEFORE UNTIL ID`: as the scripts publish it. The name is last, whatever is in it.
fn parse(text: &str) -> Option<Revocation> {
    let (kind, rest) = text.split_once(' ')?;
    let (number, rest) = rest.split_once(' ')?;
    let number = number.parse().ok()?;
    match kind {
        "t" => Some(Revocation::Token { jti: rest.to_owned(), until: number }),
        "f" => Some(Revocation::Family { id: rest.to_owned(), until: number }),
        "c" => {
            let (until, id) = rest.split_once(' ')?;
            Some(Revocation::Client { id: id.to_owned(), issued_before: number, until: until.parse().ok()? })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_reads() {
        let token = |jti: &str| Some(Revocation::Token { jti: jti.to_owned(), until: 7 });
        assert_eq!([parse("t 7 a"), parse("t 7 a b  c"), parse("t 7 ")], [token("a"), token("a b  c"), token("")]);
        assert_eq!(parse("f 7 x"), Some(Revocation::Family { id: "x".to_owned(), until: 7 }));
        let client = Revocation::Client { id: "a b".to_owned(), issued_before: 6, until: 7 };
        assert_eq!(parse("c 6 7 a b"), Some(client));
        for bad in ["", "t", "t 7", "x 7 a", "t -1 a", "t a 7", "c 6 7", "c 6 a b", "t 18446744073709551616 a"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
