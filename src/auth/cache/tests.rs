use super::*;
use crate::auth::tests::support::{NOW, ask, at, auth, claims, token, until, usual};
use serde_json::json;

#[tokio::test]
async fn an_entry_goes_at_exp_and_after_a_day_at_the_latest() {
    for (lives, left) in [(100, 130), (3600, 3630), (1 << 60, 24 * 3600)] {
        let auth = auth(usual());
        let token = token(claims(json!({"exp": NOW + lives})));
        ask(&auth, &token).await.unwrap();
        let key = TokenCache::key(&token);
        let entry = auth.cache.get(&key, |_| true).unwrap();
        let left = Some(Duration::from_secs(left));
        assert_eq!(AtExp.expire_after_create(&key, &entry, Instant::now()), left);
        assert_eq!(AtExp.expire_after_update(&key, &entry, Instant::now(), None), left);
    }
}

#[tokio::test]
async fn what_is_past_its_time_is_gone() {
    // Verified at the last moment: the library's own clock takes it away, not a request.
    let auth = auth(usual());
    let token = token(claims(json!({})));
    auth.authenticate(&token, at(129_999)).await.unwrap();
    let held = || {
        auth.cache.entries.run_pending_tasks();
        auth.cache.status().entries
    };
    until(|| held() == 0).await;
    assert!(auth.cache.get(&TokenCache::key(&token), |_| true).is_none());
}

#[tokio::test]
async fn it_holds_as_many_as_it_is_told() {
    let auth = crate::auth::Auth::new(vec![usual()], 10).unwrap();
    for i in 0..100 {
        ask(&auth, &token(claims(json!({"jti": i.to_string()})))).await.unwrap();
    }
    auth.cache.entries.run_pending_tasks();
    let status = auth.cache.status();
    assert_eq!((status.entries, status.hits, status.misses), (10, 0, 100));
}

#[test]
fn a_token_is_named_by_its_sha_256() {
    let name = TokenCache::key("abc");
    let hex: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}
