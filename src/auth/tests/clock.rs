//! Two clocks: the wall's says whether a token lives, the other one how old keys are. Either may jump.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::support::*;
use crate::auth::{Auth, KeySource, Refusal};

const DAY: i64 = 24 * 3600 * 1000;

#[tokio::test]
async fn a_wall_clock_that_jumps_ends_tokens_and_brings_them_back_and_touches_no_key() {
    let (provider, clock) = (Provider::new(jwks(&[P256.jwk(json!({"kid": "k1"}))])).await, TestClock::new());
    let settings = settings(KeySource::JwksUrl(provider.url.clone()));
    let auth = Auth::with_pace(vec![settings], 1000, &clock.pace(), None).unwrap();
    let token = token_with(json!({"kid": "k1"}), claims(json!({"nbf": NOW, "exp": NOW + 100})), "ES256", &P256);
    let told = async |now: SystemTime| reason(auth.authenticate(&token, now).await);
    for _ in 0..2 {
        // Forwards, back, and to before there was any time; each answer is of the time at which it is asked.
        assert_eq!(told(at(0)).await, "accepted");
        assert_eq!(told(at(3650 * DAY)).await, "expired");
        assert_eq!(told(at(0)).await, "accepted");
        assert_eq!(told(at(-DAY)).await, "not valid yet");
        assert_eq!(told(at(50_000)).await, "accepted");
        assert_eq!(told(UNIX_EPOCH - Duration::from_secs(1)).await, "not valid yet");
        assert_eq!(told(UNIX_EPOCH).await, "not valid yet");
    }
    // Remembered or not. Its keys were asked for once, and are as old as they are.
    assert!(auth.cache_status().hits > 0, "{:?}", auth.cache_status());
    assert_eq!(provider.hits(), 1);
    assert_eq!(auth.status()[0].age, Some(Duration::ZERO));
}

#[tokio::test]
async fn keys_are_too_old_by_their_own_clock_whatever_the_wall_says() {
    let (provider, clock) = (Provider::new(jwks(&[P256.jwk(json!({"kid": "k1"}))])).await, TestClock::new());
    let settings = settings(KeySource::JwksUrl(provider.url.clone()));
    let auth = Auth::with_pace(vec![settings], 1000, &clock.pace(), None).unwrap();
    let long = claims(json!({"nbf": NOW - 10_000_000, "exp": NOW + 10_000_000}));
    let token = token_with(json!({"kid": "k1"}), long, "ES256", &P256);
    assert_eq!(reason(auth.authenticate(&token, at(0)).await), "accepted");
    provider.reply(503, "");
    // Due after 5 minutes, and 24 hours more.
    clock.advance(Duration::from_secs(300 + 24 * 3600));
    for wall in [at(0), at(-DAY), at(DAY)] {
        let told = auth.authenticate(&token, wall).await.unwrap_err();
        assert!(matches!(told, Refusal::KeysUnavailable { .. }), "{told:?}");
    }
}

#[tokio::test]
async fn a_token_ends_with_its_last_millisecond_and_the_leeway_to_the_millisecond() {
    for leeway in [0, 1, 30, 3600] {
        let settings = crate::auth::IssuerSettings { leeway: Duration::from_secs(leeway), ..usual() };
        let auth = auth(settings);
        let token = token(claims(json!({"exp": NOW + 100})));
        let end = 100_000 + i64::try_from(leeway).unwrap() * 1000;
        // The second time it is remembered.
        for _ in 0..2 {
            for (millis, want) in [(end - 1, "accepted"), (end, "expired"), (end + 1, "expired")] {
                assert_eq!(reason(auth.authenticate(&token, at(millis)).await), want, "{leeway} {millis}");
            }
        }
    }
}
