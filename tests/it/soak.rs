//! Mixed load while everything round the sidecar changes: policies and keys are swapped, the upstream dies and comes back, and
//! clients come and go. Every answer is judged, memory and descriptors are watched, and in the end the audit log is held
//! against what was answered. `TAGWARDEN_SOAK_SECONDS` says for how long; `tests/run --only soak` is the longer form.

mod clients;
mod judge;
mod upstream;
mod world;

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinHandle;

use self::clients::{Manner, REQUEST_BODY};
use self::judge::Side;
use self::upstream::Mortal;
use self::world::{Dice, Tokens, World, key_set, policy};
use crate::support::client::{ask, query, request};
use crate::support::process::{Process, run};
use crate::support::sidecar::Setup;
use crate::support::until;

/// Each of them once, and who keeps its connection twice.
const CLIENTS: [Manner; 8] = [
    Manner::Keeps,
    Manner::Keeps,
    Manner::Fresh,
    Manner::Http2,
    Manner::Http2,
    Manner::Slow,
    Manner::HangsUp,
    Manner::Resets,
];

const FINE: &str = r#"{"features":["view:open"],"entities":{"customer_id":[1,2]}}"#;
const REFUSED: &str = r#"{"features":["view:shut"],"entities":{"customer_id":[1,2]}}"#;

fn duration() -> Duration {
    let seconds = std::env::var("TAGWARDEN_SOAK_SECONDS").ok();
    Duration::from_secs(seconds.map_or(5, |seconds| seconds.parse().expect("a number of seconds")))
}

/// The sidecar as a process, its files, and what is done to it.
struct Run {
    setup: Setup,
    process: Process,
    upstream: Mortal,
    world: Arc<World>,
    done: Done,
}

/// How often.
#[derive(Default)]
struct Done {
    reloads: usize,
    broken: usize,
    rotations: usize,
    kills: usize,
}

impl Run {
    async fn start() -> Self {
        let (upstream, world) = (Mortal::start().await, Arc::new(World::new()));
        let setup = Setup::at(&upstream.url()).policy(&policy(Side::A)).with(&format!(
            "limits: {{request_body: {}KiB}}\naudit: {{log: audit.jsonl, key_file: audit.key}}\n\
             routes:\n  - {{path: /v1/items, methods: [GET], roles: [writer]}}\n  \
             - {{path: /v1/open, methods: [GET], public: true}}",
            REQUEST_BODY >> 10
        ));
        setup.folder.write("audit.key", "a key of more than sixteen bytes\n");
        setup.folder.write("jwks.json", key_set([&world.tokens(0), &world.tokens(1)]));
        let process = Process::serve(&setup.write(), &[]).await;
        Self { setup, process, upstream, world, done: Done::default() }
    }

    /// Descriptors that are open.
    fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process.id())).unwrap().count()
    }

    /// The fewest in half a second: connections of ours end a moment after we have left them.
    async fn fewest_descriptors(&self) -> usize {
        let mut fewest = self.descriptors();
        for _ in 0..50 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            fewest = fewest.min(self.descriptors());
        }
        fewest
    }

    /// Memory that is in use, in KiB.
    fn memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// The sum of every series that begins with this.
    async fn metric(&self, series: &str) -> f64 {
        let text = ask(self.process.metrics, request("GET", "/metrics", "", "")).await;
        let of = |line: &str| line.strip_prefix(series)?.rsplit_once(' ')?.1.parse::<f64>().ok();
        text.text().lines().filter_map(of).sum()
    }

    async fn digest(&self) -> String {
        let status = ask(self.process.admin, request("GET", "/status", "", "")).await.json();
        status["policy_digest"].as_str().unwrap().to_owned()
    }

    async fn policy_state(&self) -> String {
        let ready = ask(self.process.metrics, request("GET", "/readyz", "", "")).await.json();
        ready["checks"]["policy"].as_str().unwrap().to_owned()
    }

    /// The other policy, now and then after one that is broken off in its middle.
    async fn reload(&mut self) {
        let number = self.world.policies.writes();
        let text = policy(Side::of(number));
        if number % 5 == 3 {
            self.setup.folder.write("policy.yaml", &text[..text.len() / 2]);
            until("a policy that is refused", async || self.policy_state().await.starts_with("stale: ").then_some(()))
                .await;
            self.done.broken += 1;
        }
        let before = self.digest().await;
        self.setup.folder.write("policy.yaml", text);
        until("the other policy", async || (self.digest().await != before).then_some(())).await;
        // What is told follows what is in force.
        until("the end of `stale`", async || (self.policy_state().await == "ok").then_some(())).await;
        self.world.policies.holds(number);
        self.done.reloads += 1;
    }

    async fn status(&self, token: &str) -> u16 {
        ask(self.process.data, query(token, FINE)).await.status
    }

    /// A key set with a new key and without the oldest.
    async fn rotate(&mut self) {
        let number = self.world.keys.writes();
        let (old, new) = (self.world.tokens(number - 1), self.world.tokens(number));
        let gone = self.world.tokens(number - 2);
        let next = Arc::new(Tokens::new(number + 1));
        self.world.tokens.write().unwrap().push(next);
        self.setup.folder.write("jwks.json", key_set([&old, &new]));
        until("the new key", async || (self.status(&new.readers).await != 401).then_some(())).await;
        until("the end of the old key", async || (self.status(&gone.readers).await == 401).then_some(())).await;
        self.world.keys.holds(number);
        self.done.rotations += 1;
    }

    /// The upstream is gone for a moment.
    async fn kill(&mut self, dice: &mut Dice) {
        self.upstream.kill().await;
        tokio::time::sleep(Duration::from_millis(dice.below(250) as u64)).await;
        self.upstream.again().await;
        self.done.kills += 1;
    }

    fn clients(&self, dice: &mut Dice) -> Vec<JoinHandle<()>> {
        let seed = |dice: &mut Dice| dice.below(usize::MAX) as u64;
        let start = |manner| tokio::spawn(clients::ask(manner, self.process.data, Arc::clone(&self.world), seed(dice)));
        CLIENTS.map(start).into()
    }
}

/// A client that has ended has found something.
async fn none_has_failed(clients: &mut Vec<JoinHandle<()>>) {
    if let Some(at) = clients.iter().position(JoinHandle::is_finished) {
        clients.swap_remove(at).await.unwrap();
        panic!("a client ended before it was told to");
    }
}

fn mean(samples: &[usize]) -> usize {
    samples.iter().sum::<usize>() / samples.len()
}

/// Whether memory at the end is what it was when everything had been used: a fifth more, and 4 MiB for short runs, in which
/// caches still fill.
fn is_flat(first: usize, last: usize) -> bool {
    last <= first + first / 5 + 4096
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_refused_is_ever_answered_and_nothing_grows_while_everything_round_it_changes() {
    let (duration, seed) = (duration(), Dice::seed());
    println!("soak: {} s, seed {seed}", duration.as_secs());
    let mut dice = Dice::new(seed);
    let mut all = Run::start().await;
    let digest_of_a = all.digest().await;
    // Everything that is opened once is open, and the pool of connections to the upstream is empty.
    ask(all.process.data, query(&all.world.tokens(1).readers, REFUSED)).await.fails(403, "FEATURES_REFUSED");
    let before = all.fewest_descriptors().await;

    let start = Instant::now();
    let mut clients = all.clients(&mut dice);
    let (mut memory, mut most_descriptors, mut turn) = (Vec::new(), 0, 0);
    // Everything at least once, however slow the machine.
    while start.elapsed() < duration || turn < 4 {
        turn += 1;
        all.reload().await;
        if turn % 2 == 0 {
            all.rotate().await;
        }
        if turn % 3 == 1 {
            all.kill(&mut dice).await;
        }
        none_has_failed(&mut clients).await;
        memory.push(all.memory());
        most_descriptors = most_descriptors.max(all.descriptors());
        // Soon one after the other where there is little time, else one in a second.
        let pause = duration.as_millis() / 10;
        tokio::time::sleep(Duration::from_millis(u64::try_from(pause.min(800)).unwrap())).await;
    }
    clients::end(&all.world);
    for client in clients {
        client.await.unwrap();
    }

    // Nothing is left behind.
    all.kill(&mut dice).await;
    for gauge in ["tagwarden_inflight_requests ", "tagwarden_connections{listener=\"data\"}"] {
        until(gauge, async || (all.metric(gauge).await == 0.0).then_some(())).await;
    }
    // The pool is swept every five seconds.
    until(&format!("{before} descriptors"), async || (all.descriptors() <= before).then_some(())).await;
    let after = all.descriptors();
    let (warm, last) = (memory.len() / 4, memory.len() - memory.len() / 5 - 1);
    let (first, last) = (mean(&memory[warm..=(warm + memory.len() / 5)]), mean(&memory[last..]));
    assert!(is_flat(first, last), "memory grew from {first} KiB to {last} KiB: {memory:?}");

    let decisions = all.metric("tagwarden_decisions_total").await;
    until("a line for each decision", async || {
        (all.metric("tagwarden_audit_lines_total").await >= decisions).then_some(())
    })
    .await;
    assert_eq!(all.metric("tagwarden_audit_lines_total").await, decisions);
    all.process.terminate();
    assert_eq!(all.process.exit().await, 0);
    let log = all.process.log();
    assert!(!log.contains(" of row "), "the log has values: {log}");
    assert!(!log.contains("panicked"), "{log}");
    let lines = audited(&all, &digest_of_a);
    assert_eq!(lines as f64, decisions);
    told(
        &all,
        start.elapsed(),
        &format!("{first} / {last}"),
        &format!("{before} / {most_descriptors} / {after}"),
        lines,
    );
}

/// The audit log is whole, has one line for each decision, and says of each answer what the answer said; how many lines.
fn audited(all: &Run, digest_of_a: &str) -> usize {
    let folder = &all.setup.folder;
    let (log, key) = (folder.path("audit.jsonl"), folder.path("audit.key"));
    let verify = ["audit", "verify", log.to_str().unwrap(), "--key-file", key.to_str().unwrap()];
    let (code, out, said) = run(verify);
    assert_eq!(code, 0, "{out}{said}");
    let figures = all.world.figures.lock().unwrap();
    let mut lines = HashMap::new();
    for line in BufReader::new(std::fs::File::open(&log).unwrap()).lines() {
        let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let id = u128::from_str_radix(line["decision_id"].as_str().unwrap(), 16).unwrap();
        let side = if line["policy_digest"] == digest_of_a { Side::A } else { Side::B };
        assert_eq!(lines.insert(id, (line["status"].as_u64(), side)), None, "twice: {line}");
    }
    for (id, status, side) in &figures.decided {
        let line = lines.get(id).unwrap_or_else(|| panic!("{id:032x} has no line"));
        assert_eq!(line.0, Some(u64::from(*status)), "{id:032x}");
        assert!(side.is_none_or(|side| side == line.1), "{id:032x} was answered by {side:?} and decided by {line:?}");
    }
    assert!(figures.undecided.iter().all(|id| !lines.contains_key(id)), "a line for what was not decided");
    lines.len()
}

/// The figures, as a row of docs/security.md; each of the things that are to happen has happened.
fn told(all: &Run, time: Duration, memory: &str, descriptors: &str, lines: usize) {
    let (figures, done) = (all.world.figures.lock().unwrap(), &all.done);
    let answers: usize = figures.answers.values().sum();
    let codes: Vec<String> = figures.answers.iter().map(|(code, count)| format!("{code} {count}")).collect();
    println!(
        "| seconds | answers | hung up | connections | to the upstream | reloads (and broken) | kills | rotations | audit lines \
         | KiB in use, first / last | descriptors, before / most / after |\n\
         | {} | {answers} | {} | {} | {} | {} ({}) | {} | {} | {lines} | {memory} | {descriptors} |\n{}",
        time.as_secs(),
        figures.hung_up,
        figures.connections,
        all.upstream.requests(),
        done.reloads,
        done.broken,
        done.kills,
        done.rotations,
        codes.join(", "),
    );
    assert!(done.reloads > 1 && done.kills > 1 && done.rotations > 0 && figures.hung_up > 0);
    for code in ["OK", "FILTERED", "FEATURES_REFUSED", "UNAUTHORIZED", "UPSTREAM_FAILED"] {
        assert!(figures.answers.contains_key(code), "no answer was {code}: {codes:?}");
    }
}

#[test]
fn memory_that_grows_is_seen() {
    assert!(is_flat(50_000, 64_000));
    assert!(!is_flat(50_000, 64_100));
}
