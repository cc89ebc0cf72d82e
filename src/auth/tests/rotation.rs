//! Keys that are fetched: rotation, outages, and how often the provider is asked.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::support::*;
use crate::auth::keys::pace::{MOST_WAITING, Pace};
use crate::auth::{Auth, IssuerStatus, KeySource, Refusal};

const SECOND: Duration = Duration::from_secs(1);

/// A set with this key under this name.
fn set(kid: &str, key: &TestKey) -> String {
    jwks(&[key.jwk(json!({ "kid": kid }))])
}

fn named(kid: &str, key: &TestKey) -> String {
    token_with(json!({ "kid": kid }), claims(json!({})), "ES256", key)
}

/// An issuer whose keys are fetched from there; nothing is fetched yet.
fn fetching(provider: &Provider, pace: &Pace) -> Arc<Auth> {
    let settings = settings(KeySource::JwksUrl(provider.url.clone()));
    Auth::with_pace(vec![settings], 1000, pace, None).unwrap()
}

impl Auth {
    /// Places that are free for requests that wait for a provider.
    fn pace_places(&self) -> usize {
        self.issuers[0].source.places()
    }
}

fn status(auth: &Auth) -> IssuerStatus {
    auth.status().remove(0)
}

/// Starts the refresh and waits for the first set.
async fn started(provider: &Provider, pace: &Pace) -> Arc<Auth> {
    let auth = fetching(provider, pace);
    auth.spawn_refresh();
    until(|| status(&auth).fetches_ok == 1).await;
    auth
}

fn unavailable(seconds: u64) -> Refusal {
    Refusal::KeysUnavailable { retry_after: Duration::from_secs(seconds) }
}

#[tokio::test]
async fn the_first_set_is_fetched_at_once() {
    let (provider, clock) = (Provider::new(set("k1", &P256)).await, TestClock::new());
    let auth = fetching(&provider, &clock.pace());
    assert_eq!(
        status(&auth),
        IssuerStatus { issuer: ISSUER.into(), fetches_ok: 0, fetches_failed: 0, age: None, stale: false, keys: 0 }
    );
    auth.spawn_refresh();
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let one = alive();
    auth.spawn_refresh();
    assert_eq!(alive(), one);
    until(|| status(&auth).fetches_ok > 0).await;
    clock.advance(7 * SECOND);
    assert_eq!(
        status(&auth),
        IssuerStatus {
            issuer: ISSUER.into(),
            fetches_ok: 1,
            fetches_failed: 0,
            age: Some(7 * SECOND),
            stale: false,
            keys: 1,
        }
    );
    assert_eq!(reason(ask(&auth, &named("k1", &P256)).await), "accepted");
    assert_eq!(provider.hits(), 1);
}

#[tokio::test]
async fn a_rotation_is_found_by_the_unknown_kid() {
    let (provider, clock) = (Provider::new(set("k1", &P256)).await, TestClock::new());
    let auth = started(&provider, &clock.pace()).await;
    let old = named("k1", &P256);
    assert_eq!(reason(ask(&auth, &old).await), "accepted");
    let new = TestKey::p256();
    provider.reply(200, &set("k2", &new));
    assert_eq!(reason(ask(&auth, &named("k2", &new)).await), "accepted");
    assert_eq!(provider.hits(), 2);
    // The old key is gone, and with it what verified under it, the cache notwithstanding.
    assert_eq!(reason(ask(&auth, &old).await), "key not known");
    assert_eq!(auth.cache_status().hits, 0);
}

#[tokio::test]
async fn a_rotation_without_names_is_found_too() {
    let clock = TestClock::new();
    let provider = Provider::new(jwks(&[P256.jwk(json!({}))])).await;
    let auth = started(&provider, &clock.pace()).await;
    let new = TestKey::p256();
    provider.reply(200, &jwks(&[new.jwk(json!({}))]));
    for header in [json!({}), json!({"kid": "whatever"})] {
        let token = token_with(header, claims(json!({})), "ES256", &new);
        assert_eq!(reason(ask(&auth, &token).await), "accepted");
    }
    assert_eq!(provider.hits(), 2);
}

#[tokio::test]
async fn a_known_kid_with_a_wrong_signature_asks_nobody() {
    let (provider, clock) = (Provider::new(set("k1", &P256)).await, TestClock::new());
    let auth = started(&provider, &clock.pace()).await;
    let told = reason(ask(&auth, &named("k1", &TestKey::p256())).await);
    assert_eq!(told, "signature wrong");
    assert_eq!(provider.hits(), 1);
}

#[tokio::test]
async fn tokens_ask_at_most_once_in_ten_seconds() {
    let (provider, clock) = (Provider::new(set("k1", &P256)).await, TestClock::new());
    let auth = started(&provider, &clock.pace()).await;
    let other = TestKey::p256();
    for (kid, wait_ms, hits) in [("a", 0, 2), ("b", 0, 2), ("c", 9_999, 2), ("d", 1, 3), ("e", 0, 3), ("f", 10_000, 4)]
    {
        clock.advance(Duration::from_millis(wait_ms));
        let told = reason(ask(&auth, &named(kid, &other)).await);
        assert_eq!(told, "key not known", "{kid}");
        assert_eq!(provider.hits(), hits, "{kid}");
    }
}

#[tokio::test]
async fn random_kids_do_not_hammer_the_provider() {
    let (provider, clock) = (Provider::new(set("k1", &P256)).await, TestClock::new());
    let auth = started(&provider, &clock.pace()).await;
    let other = TestKey::p256();
    // Ten minutes of it, three a second.
    for i in 0..1800 {
        clock.advance(SECOND / 3);
        let told = reason(ask(&auth, &named(&format!("random-{i}"), &other)).await);
        assert_eq!(told, "key not known");
    }
    assert!(provider.hits() <= 1 + 60, "{}", provider.hits());
    assert!(provider.hits() >= 50, "{}", provider.hits());
    let source = &auth.issuers[0].source;
    assert!(source.remembered() <= 1000, "{}", source.remembered());
    assert_eq!(reason(ask(&auth, &named("k1", &P256)).await), "accepted");
}

#[tokio::test]
async fn a_kid_that_a_fresh_set_did_not_have_is_remembered_for_a_minute() {
    let (provider, clock) = (Provider::new(set("k1", &P256)).await, TestClock::new());
    let auth = started(&provider, &clock.pace()).await;
    let other = TestKey::p256();
    for (wait_ms, hits) in [(0, 2), (10_000, 2), (49_999, 2), (1, 3), (59_999, 3), (1, 4)] {
        clock.advance(Duration::from_millis(wait_ms));
        let told = reason(ask(&auth, &named("gone", &other)).await);
        assert_eq!(told, "key not known");
        assert_eq!(provider.hits(), hits, "{wait_ms}");
    }
    // Meanwhile a set that has it counts at once, whoever had it fetched.
    provider.reply(200, &set("gone", &other));
    clock.advance(10 * SECOND);
    assert_eq!(reason(ask(&auth, &named("else", &P256)).await), "key not known");
    assert_eq!(reason(ask(&auth, &named("gone", &other)).await), "accepted");
    assert_eq!(provider.hits(), 5);
}

#[tokio::test]
async fn fifty_callers_share_one_fetch() {
    let (provider, clock) = (Provider::new(set("k1", &P256)).await, TestClock::new());
    let auth = started(&provider, &clock.pace()).await;
    let new = TestKey::p256();
    provider.reply(200, &set("k2", &new));
    provider.hold(true);
    let callers: Vec<_> = (0..50)
        .map(|i| {
            let auth = Arc::clone(&auth);
            let claims = claims(json!({ "jti": i.to_string() }));
            let token = token_with(json!({"kid": "k2"}), claims, "ES256", &new);
            tokio::spawn(async move { reason(ask(&auth, &token).await) })
        })
        .collect();
    // One thread runs them all: when the request has arrived each of them has had its turn, and waits.
    provider.wait_for_hits(2).await;
    assert!(callers.iter().all(|caller| !caller.is_finished()));
    provider.hold(false);
    for caller in callers {
        assert_eq!(caller.await.unwrap(), "accepted");
    }
    assert_eq!(provider.hits(), 2);
}

#[tokio::test]
async fn a_provider_that_hangs_does_not_hold_every_request() {
    let (provider, clock) = (Provider::new(set("k1", &P256)).await, TestClock::new());
    let auth = started(&provider, &clock.pace()).await;
    provider.hold(true);
    let garbage = named("k2", &TestKey::p256());
    let waiting: Vec<_> = (0..MOST_WAITING)
        .map(|_| {
            let (auth, garbage) = (Arc::clone(&auth), garbage.clone());
            tokio::spawn(async move { reason(ask(&auth, &garbage).await) })
        })
        .collect();
    until(|| auth.pace_places() == 0).await;
    // No more of them wait; whoever has a token that a key here verifies never did.
    assert_eq!(ask(&auth, &garbage).await.unwrap_err(), unavailable(1));
    assert_eq!(reason(ask(&auth, &named("k1", &P256)).await), "accepted");
    provider.hold(false);
    for one in waiting {
        assert_eq!(one.await.unwrap(), "key not known");
    }
    assert_eq!(auth.pace_places(), MOST_WAITING);
}

#[tokio::test]
async fn a_caller_who_goes_away_does_not_take_the_fetch_along() {
    let (provider, clock) = (Provider::new(set("k1", &P256)).await, TestClock::new());
    let auth = started(&provider, &clock.pace()).await;
    let new = TestKey::p256();
    provider.reply(200, &set("k2", &new));
    provider.hold(true);
    let call = || {
        let (auth, token) = (Arc::clone(&auth), named("k2", &new));
        tokio::spawn(async move { reason(ask(&auth, &token).await) })
    };
    let first = call();
    provider.wait_for_hits(2).await;
    let second = call();
    tokio::task::yield_now().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    provider.hold(false);
    assert_eq!(second.await.unwrap(), "accepted");
    assert_eq!(provider.hits(), 2);
}

#[tokio::test]
async fn a_caller_at_the_start_waits_for_the_first_set() {
    let (provider, clock) = (Provider::new(set("k1", &P256)).await, TestClock::new());
    provider.hold(true);
    let auth = fetching(&provider, &clock.pace());
    auth.spawn_refresh();
    provider.wait_for_hits(1).await;
    let caller = {
        let auth = Arc::clone(&auth);
        tokio::spawn(async move { reason(ask(&auth, &named("k1", &P256)).await) })
    };
    tokio::task::yield_now().await;
    provider.hold(false);
    assert_eq!(caller.await.unwrap(), "accepted");
    assert_eq!(provider.hits(), 1);
}

#[tokio::test]
async fn without_a_set_nobody_is_called_invalid() {
    let (provider, clock) = (Provider::new(String::new()).await, TestClock::new());
    provider.reply(500, "");
    let auth = fetching(&provider, &clock.pace());
    // Not even a forgery: nobody can tell.
    for token in [named("k1", &P256), named("k1", &TestKey::p256())] {
        assert_eq!(ask(&auth, &token).await.unwrap_err(), unavailable(10));
        assert_eq!(provider.hits(), 1);
    }
    clock.advance(3 * SECOND);
    let told = ask(&auth, &named("k1", &P256)).await.unwrap_err();
    assert_eq!(told, unavailable(7));
    assert_eq!(provider.hits(), 1);
    assert!(status(&auth).stale);
    // What needs no key to be refused is refused.
    let told = reason(ask(&auth, &token(claims(json!({"aud": "x"})))).await);
    assert_eq!(told, "aud not ours");
    provider.reply(200, &set("k1", &P256));
    clock.advance(7 * SECOND);
    assert_eq!(reason(ask(&auth, &named("k1", &P256)).await), "accepted");
    assert!(!status(&auth).stale);
}

#[tokio::test]
async fn a_provider_that_is_not_there_is_an_outage() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/jwks", listener.local_addr().unwrap());
    drop(listener);
    let auth = auth(settings(KeySource::JwksUrl(url)));
    let told = ask(&auth, &named("k1", &P256)).await.unwrap_err();
    assert_eq!(told, unavailable(10));
}

#[tokio::test]
async fn an_outage_keeps_the_last_good_keys_for_as_long_as_it_is_set() {
    let (provider, clock) = (Provider::new(set("k1", &P256)).await, TestClock::new());
    let auth = started(&provider, &clock.pace()).await;
    let known = named("k1", &P256);
    assert_eq!(reason(ask(&auth, &known).await), "accepted");
    for (code, body) in [
        (500, set("k9", &P256)),
        (302, set("k9", &P256)),
        (204, String::new()),
        (200, "<html>".into()),
        (200, "{\"keys\":[]}".into()),
        (200, set("k9", &P256).replace("P-256", "P-257")),
    ] {
        provider.reply(code, &body);
        clock.advance(10 * SECOND);
        // A key that is not here may be a new one: ours to find out, so no 401.
        let told = ask(&auth, &named("k9", &P256)).await.unwrap_err();
        assert_eq!(told, unavailable(10), "{code} {body}");
        let told = ask(&auth, &named("k8", &P256)).await.unwrap_err();
        assert_eq!(told, unavailable(10), "{code} {body}");
        assert_eq!(reason(ask(&auth, &known).await), "accepted");
    }
    assert_eq!(provider.hits(), 7);
    assert!(status(&auth).stale);
    // Due after 5 minutes, and 24 hours more.
    clock.advance(300 * SECOND + 24 * 3600 * SECOND - 60 * SECOND - SECOND / 1000);
    assert_eq!(reason(ask(&auth, &known).await), "accepted");
    let hits = auth.cache_status().hits;
    clock.advance(SECOND / 1000);
    assert_eq!(ask(&auth, &known).await.unwrap_err(), unavailable(10));
    let other = token(claims(json!({"jti": "2"})));
    assert_eq!(ask(&auth, &other).await.unwrap_err(), unavailable(10));
    assert_eq!(auth.cache_status().hits, hits);
    // The same keys again: the generation is the same, so what is remembered counts again.
    provider.reply(200, &set("k1", &P256));
    clock.advance(10 * SECOND);
    assert_eq!(reason(ask(&auth, &other).await), "accepted");
    assert_eq!(reason(ask(&auth, &known).await), "accepted");
    assert_eq!(auth.cache_status().hits, hits + 1);
}

#[tokio::test]
async fn the_same_keys_again_are_no_new_generation() {
    let (first, second) = (P256.jwk(json!({"kid": "k1"})), ED.jwk(json!({"kid": "k2"})));
    let (clock, provider) = (TestClock::new(), Provider::new(jwks(&[first.clone(), second.clone()])).await);
    let auth = started(&provider, &clock.pace()).await;
    let known = named("k1", &P256);
    assert_eq!(reason(ask(&auth, &known).await), "accepted");
    // In another order, with a member that says nothing to us.
    let mut noted = second.clone();
    noted["x5t"] = json!("AAAA");
    provider.reply(200, &jwks(&[noted, first.clone()]));
    assert_eq!(reason(ask(&auth, &named("k3", &P256)).await), "key not known");
    assert_eq!(provider.hits(), 2);
    assert_eq!(reason(ask(&auth, &known).await), "accepted");
    assert_eq!(auth.cache_status().hits, 1);
    // One key fewer is another generation, though not the one that verified.
    provider.reply(200, &jwks(&[first]));
    clock.advance(10 * SECOND);
    assert_eq!(reason(ask(&auth, &named("k4", &P256)).await), "key not known");
    assert_eq!(provider.hits(), 3);
    assert_eq!(reason(ask(&auth, &known).await), "accepted");
    assert_eq!(auth.cache_status().hits, 1);
}

#[tokio::test]
async fn one_issuer_does_not_wait_for_the_provider_of_another() {
    let clock = TestClock::new();
    let slow = Provider::new(set("k1", &P256)).await;
    slow.hold(true);
    let mut other = settings(KeySource::JwksUrl(slow.url.clone()));
    other.issuer = "https://slow.example/".into();
    let auth = Auth::with_pace(vec![other, usual()], 10, &clock.pace(), None).unwrap();
    let waiting = {
        let (auth, claims) = (Arc::clone(&auth), claims(json!({"iss": "https://slow.example/"})));
        tokio::spawn(async move { reason(ask(&auth, &token(claims)).await) })
    };
    slow.wait_for_hits(1).await;
    assert_eq!(reason(ask(&auth, &token(claims(json!({})))).await), "accepted");
    assert!(!waiting.is_finished());
    slow.hold(false);
    assert_eq!(waiting.await.unwrap(), "accepted");
}

#[tokio::test]
async fn a_failure_is_tried_again_and_again() {
    let provider = Provider::new(String::new()).await;
    provider.reply(503, "");
    let pace = Pace { retry: Duration::from_millis(1), retry_most: Duration::from_millis(2), ..Pace::default() };
    let auth = fetching(&provider, &pace);
    auth.spawn_refresh();
    until(|| status(&auth).fetches_failed >= 3).await;
    assert!(status(&auth).stale);
    provider.reply(200, &set("k1", &P256));
    until(|| status(&auth).fetches_ok == 1).await;
    let now = status(&auth);
    assert_eq!((now.stale, now.keys), (false, 1));
}

#[tokio::test]
async fn the_tasks_end_with_what_they_serve() {
    let (provider, clock) = (Provider::new(set("k1", &P256)).await, TestClock::new());
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = alive();
    let auth = started(&provider, &clock.pace()).await;
    let source = Arc::downgrade(&auth.issuers[0].source);
    assert!(alive() > before);
    drop(auth);
    // The next refresh would be minutes away.
    until(|| source.strong_count() == 0 && alive() == before).await;
}

#[test]
fn without_a_runtime_nothing_is_started_and_nothing_panics() {
    let settings = settings(KeySource::JwksUrl("http://127.0.0.1:1/jwks".into()));
    auth(settings).spawn_refresh();
}
