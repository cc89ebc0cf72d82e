//! What is in force, what was written, and the figures of a run.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::judge::{Asked, FEATURES, Side, Verdict, Window, judge, permitted};
use crate::support::client::Answer;
use crate::support::tokens::Key;

/// The text of a policy: two roles, of which one is cut and one is refused.
pub fn policy(side: Side) -> String {
    let features: String = FEATURES
        .iter()
        .map(|name| {
            let tag = if permitted(side, name) { "given" } else { "kept" };
            format!("  view:{name}: {{tags: [{tag}], joins: [customer_id]}}\n")
        })
        .collect();
    format!(
        "version: 1\nroles:\n  reader: {{tags: {{kept: Deny}}}}\n  cutter: {{mode: filter, tags: {{kept: Deny}}}}\n  \
         writer: {{default: Deny}}\nbindings:\n  - {{roles: [reader], when: {{groups: readers}}}}\n  \
         - {{roles: [cutter], when: {{groups: cutters}}}}\n  - {{roles: [writer], when: {{groups: writers}}}}\n\
         features:\n  customer_id: {{key: true}}\n{features}"
    )
}

/// Versions of a file as they come.
#[derive(Default)]
pub struct Versions {
    in_force: AtomicUsize,
    written: AtomicUsize,
}

impl Versions {
    /// The next one is about to be written; its number.
    pub fn writes(&self) -> usize {
        self.written.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// It is known to be in force.
    pub fn holds(&self, number: usize) {
        self.in_force.store(number, Ordering::SeqCst);
    }

    /// How many there were.
    pub fn count(&self) -> usize {
        self.in_force.load(Ordering::SeqCst)
    }
}

/// The tokens of one key.
pub struct Tokens {
    pub key: Key,
    pub readers: String,
    pub cutters: String,
    pub writers: String,
    pub expired: String,
}

impl Tokens {
    pub fn new(number: usize) -> Self {
        let key = Key::new(&format!("soak-{number}"));
        // Longer than any run.
        let of = |groups: &[&str], ends| key.token_of("soak", groups, ends);
        let (readers, cutters) = (of(&["readers"], 86_400), of(&["cutters"], 86_400));
        let (writers, expired) = (of(&["writers"], 86_400), of(&["readers"], -600));
        Self { key, readers, cutters, writers, expired }
    }
}

/// A key set of these keys.
pub fn key_set(keys: [&Tokens; 2]) -> String {
    let of = |tokens: &Tokens| serde_json::from_str::<Value>(&tokens.key.set()).unwrap()["keys"][0].clone();
    json!({"keys": keys.map(of)}).to_string()
}

/// Clients and the one who changes things, together.
pub struct World {
    pub policies: Versions,
    pub keys: Versions,
    /// By the number of their key.
    pub tokens: RwLock<Vec<Arc<Tokens>>>,
    pub stop: AtomicBool,
    pub figures: Mutex<Figures>,
    stranger: Tokens,
}

/// What happened.
#[derive(Default)]
pub struct Figures {
    /// Answers by what they were.
    pub answers: BTreeMap<String, usize>,
    /// Clients that hung up, at whatever point.
    pub hung_up: usize,
    /// Connections of clients.
    pub connections: usize,
    /// By decision id, for the audit log: status, and the policy where the answer tells.
    pub decided: Vec<(u128, u16, Option<Side>)>,
    /// Ids of answers for which nothing was decided.
    pub undecided: Vec<u128>,
}

/// When a request began.
pub struct Begun {
    policy: usize,
    keys: usize,
}

impl World {
    /// Policy 0 and key set 1, of the keys 0 and 1, are in force.
    pub fn new() -> Self {
        let keys = Versions { in_force: AtomicUsize::new(1), written: AtomicUsize::new(1) };
        let tokens = RwLock::new((0..=2).map(|number| Arc::new(Tokens::new(number))).collect());
        Self {
            policies: Versions::default(),
            keys,
            tokens,
            stop: AtomicBool::new(false),
            figures: Mutex::default(),
            stranger: Tokens::new(0),
        }
    }

    /// Tokens by the number of their key, which is one of the last that there are.
    pub fn tokens(&self, number: usize) -> Arc<Tokens> {
        Arc::clone(&self.tokens.read().unwrap()[number])
    }

    /// Of a key that is called like one of ours and is none.
    pub fn stranger(&self) -> &Tokens {
        &self.stranger
    }

    /// Whether the load is to end.
    pub fn over(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// A request is about to be sent.
    pub fn begins(&self) -> Begun {
        Begun { policy: self.policies.in_force.load(Ordering::SeqCst), keys: self.keys.in_force.load(Ordering::SeqCst) }
    }

    /// Its answer is there: judged and counted.
    #[track_caller]
    pub fn takes(&self, asked: &Asked, begun: &Begun, answer: &Answer) {
        let policies = Window { oldest: begun.policy, newest: self.policies.written.load(Ordering::SeqCst) };
        let keys = Window { oldest: begun.keys, newest: self.keys.written.load(Ordering::SeqCst) };
        let verdict = judge(asked, answer, policies, keys).unwrap_or_else(|why| panic!("{why}"));
        let Verdict { code, decided, side } = verdict;
        let id = u128::from_str_radix(answer.decision_id(), 16).unwrap();
        let mut figures = self.figures.lock().unwrap();
        *figures.answers.entry(code).or_default() += 1;
        if decided {
            figures.decided.push((id, answer.status, side));
        } else {
            figures.undecided.push(id);
        }
    }
}

/// Numbers that look random and are the same for the same start (splitmix64).
pub struct Dice(u64);

impl Dice {
    pub fn new(start: u64) -> Self {
        Self(start)
    }

    /// Of the clock, so that no two runs are one.
    pub fn seed() -> u64 {
        u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() & u128::from(u64::MAX)).unwrap()
    }

    /// Below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }
}
