//! Many tokens through the running sidecar: what is remembered, what is fetched, and that nobody else feels it. How much it costs
//! is measured by tests/bench/tokens.py; nothing here depends on the time that it takes.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::client::{Raw, query};
use crate::support::sidecar::{FINE, POLICY, Setup, Sidecar, reader};
use crate::support::tokens::{ISSUER, KEY, b64, claims, unb64};
use crate::support::until;
use crate::support::upstream::{Act, Upstream};

const VALID: usize = 2000;
/// Of each of the four kinds.
const GARBAGE: usize = 1250;

/// Sends these tokens one after the other on one connection, and expects this status of each.
async fn send(to: SocketAddr, tokens: impl Iterator<Item = String>, status: u16) {
    let mut raw = Raw::connect(to).await;
    for (number, token) in tokens.enumerate() {
        let answer = raw.ask(query(&token, FINE)).await;
        assert_eq!(answer.status, status, "token {number}: {answer:?}");
    }
}

/// Waits until so many tokens are remembered. The cache counts what was put into it when it is next asked, so it is.
async fn until_remembered(sidecar: &Sidecar, token: &str, tokens: f64) {
    until(&format!("{tokens} tokens that are remembered"), async || {
        assert_eq!(sidecar.query(token, FINE).await.status, 200);
        (sidecar.metric("tagwarden_cache_entries{cache=\"token\"}").await == tokens).then_some(())
    })
    .await;
}

fn valid(number: usize) -> String {
    KEY.sign(&claims(json!({"sub": format!("caller-{number}"), "jti": number.to_string()})))
}

/// Another token with the same length: one bit of what it says or is signed by is another.
fn changed(token: &str, number: usize) -> String {
    let mut parts: Vec<Vec<u8>> = token.split('.').map(unb64).collect();
    let part = &mut parts[number % 3];
    let at = number * 31 % part.len();
    part[at] ^= 1 << (number % 8);
    parts.iter().map(b64).collect::<Vec<_>>().join(".")
}

/// A number's own bytes, which say nothing.
fn noise(number: usize, kind: u8) -> Vec<u8> {
    (0..64u8).flat_map(|at| [kind, at, (number % 251) as u8, (number / 251) as u8]).collect()
}

#[tokio::test]
async fn garbage_leaves_nothing_behind_and_hurts_nobody() {
    let keys = Act::answer("200 OK", "cache-control: max-age=3600\r\n", KEY.set());
    let (upstream, provider) = (Upstream::start().await, Upstream::always(keys).await);
    let begun = Instant::now();
    let mut setup = Setup::new(&upstream);
    setup.keys = format!("{{jwks_url: \"{}/jwks\"}}", provider.url);
    // There is room for 100,000 tokens, so that whatever is remembered shows.
    let sidecar = setup.start().await;
    let token = reader();
    sidecar.until_status(&token, FINE, 200).await;
    let to = sidecar.data;
    let cache = |series: &str| format!("tagwarden_cache_{series}");
    let before = sidecar.metric("tagwarden_tokens_total{result=\"valid\"}").await;

    // Valid ones, each twice: all are remembered, and verified once.
    let known: Arc<Vec<String>> = Arc::new((0..VALID).map(valid).collect());
    let misses = sidecar.metric(&cache("requests_total{cache=\"token\",result=\"miss\"}")).await;
    for _ in 0..2 {
        send(to, known.iter().cloned(), 200).await;
    }
    let valid = VALID as f64;
    assert_eq!(sidecar.metric("tagwarden_tokens_total{result=\"valid\"}").await, before + 2.0 * valid);
    let after = sidecar.metric(&cache("requests_total{cache=\"token\",result=\"miss\"}")).await;
    assert_eq!(after, misses + valid, "verified again");
    until_remembered(&sidecar, &token, 1.0 + valid).await;
    // What callers have in common is remembered once.
    let decisions = sidecar.metric(&cache("entries{cache=\"decision\"}")).await;
    assert!(decisions <= 1.0, "{decisions} decisions of one query of one role");

    // Garbage of four kinds at once, while somebody goes on asking with tokens that are known and with new ones.
    let stop = Arc::new(AtomicBool::new(false));
    let good = tokio::spawn({
        let (stop, known) = (Arc::clone(&stop), Arc::clone(&known));
        async move {
            let (mut raw, mut asked) = (Raw::connect(to).await, 0);
            while !stop.load(Ordering::Relaxed) {
                let fresh = (asked % 10 == 9).then(|| KEY.token_of(&format!("new-{asked}"), &["readers"], 3600));
                let token = fresh.as_ref().unwrap_or(&known[asked % VALID]);
                let answer = raw.ask(query(token, FINE)).await;
                assert_eq!(answer.status, 200, "the good caller's query {asked}: {answer:?}");
                asked += 1;
            }
            asked
        }
    });
    let signed = known[0].rsplit_once('.').unwrap().0.to_owned();
    let unknown = |number: usize| {
        let header = json!({"alg": "ES256", "kid": format!("nobody-{number}")}).to_string();
        format!("{}.{}.{}", b64(header), b64(claims(json!({})).to_string()), b64(vec![1; 64]))
    };
    let random = |number: usize| [1, 2, 3].map(|kind| b64(noise(number, kind))).join(".");
    let forged = |number: usize| format!("{signed}.{}", b64(&noise(number, 7)[..64]));
    let spoilt = |number: usize| changed(&known[number], number);
    tokio::join!(
        send(to, (0..GARBAGE).map(random), 401),
        send(to, (0..GARBAGE).map(forged), 401),
        send(to, (0..GARBAGE).map(unknown), 401),
        send(to, (0..GARBAGE).map(spoilt), 401),
    );
    stop.store(true, Ordering::Relaxed);
    let asked = good.await.unwrap();
    assert!(asked > 100, "{asked} queries of the good caller beside 5,000 of garbage");

    assert_eq!(sidecar.metric("tagwarden_tokens_total{result=\"invalid\"}").await, 4.0 * GARBAGE as f64);
    // Of all that came, the good caller's new tokens alone are remembered beside those that were known.
    let fresh = (asked / 10) as f64;
    until_remembered(&sidecar, &token, 1.0 + valid + fresh).await;
    let decisions = sidecar.metric(&cache("entries{cache=\"decision\"}")).await;
    assert!(decisions <= 1.0, "{decisions} decisions of one query of one role");
    // The keys were asked for at the start and by the first unknown name; further names, once in ten seconds, however many.
    let (fetched, most) = (provider.count() as u64, 2 + begun.elapsed().as_secs() / 10);
    assert!((2..=most).contains(&fetched), "{fetched} fetches of the keys, at most {most} are due");
}

/// What a token says is not kept, so it is read again where another policy asks for more of it.
#[tokio::test]
async fn a_known_token_is_held_against_what_a_new_policy_asks_for() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    let token = KEY.sign(&claims(json!({"sub": "someone", "team": "fraud", "level": [1, 7]})));
    let verified = async || sidecar.metric("tagwarden_cache_requests_total{cache=\"token\",result=\"miss\"}").await;
    sidecar.until_status(&token, FINE, 200).await;
    let before = verified().await;
    let bound = |when: &str| POLICY.replace("{groups: readers}", when);
    for (when, status) in [
        ("{team: fraud, level: 8}", 403),
        ("{team: fraud, level: 7}", 200),
        ("{nobody: asks}", 403),
        ("{sub: someone}", 200),
    ] {
        sidecar.setup.folder.write("policy.yaml", bound(when));
        sidecar.until_status(&token, FINE, status).await;
    }
    assert_eq!(verified().await, before, "the signature was verified once");
    // Every line names the same caller, whichever policy it was decided by.
    let log = sidecar.setup.folder.path("audit.jsonl");
    let callers = until("a line for each policy that lets it pass", async || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let whole = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let lines: Vec<Value> = whole.collect();
        let generations: BTreeSet<_> = lines.iter().map(|line| line["generation"].as_u64()).collect();
        (generations.len() == 3).then_some(lines)
    })
    .await;
    let callers: BTreeSet<_> =
        callers.iter().map(|line| (line["caller"].to_string(), line["issuer"].as_str())).collect();
    assert_eq!((callers.len(), callers.first().unwrap().1), (1, Some(ISSUER)), "{callers:?}");
}
