use super::*;
use crate::auth::tests::support::{
    Folder, NOW, P256, Provider, TestKey, ask, at, auth, b64, claims, jwks, reason, settings, token, token_with, until,
    usual,
};
use crate::auth::{Auth, KeySource};
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
    let auth = Auth::new(vec![usual()], 10).unwrap();
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
    let hex: String = name.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

/// An issuer of HS256, which is quick to sign, and its key.
fn quick(entries: u64) -> (Folder, std::sync::Arc<Auth>, TestKey) {
    let folder = Folder::new();
    let secret = b"a shared secret of 32 bytes or so".to_vec();
    let file = folder.write("secret", &secret);
    let auth = Auth::new(vec![settings(KeySource::SecretFile(file))], entries).unwrap();
    (folder, auth, TestKey::Secret(secret))
}

/// Tokens in the cache once it has done what it put off, and how much they count for.
fn held(auth: &Auth) -> (u64, u64) {
    auth.cache.entries.run_pending_tasks();
    (auth.cache.status().entries, auth.cache.entries.weighted_size())
}

#[tokio::test]
async fn twenty_thousand_tokens_and_as_much_garbage_take_a_thousand_entries() {
    let (_folder, auth, key) = quick(1000);
    for i in 0..20_000 {
        let honest = token_with(json!({}), claims(json!({"jti": i.to_string()})), "HS256", &key);
        assert_eq!(reason(ask(&auth, &honest).await), "accepted");
        if i % 1000 == 999 {
            assert_eq!(held(&auth), (1000, 1000), "after {i}");
        }
    }
    let stranger = TestKey::Secret(b"a secret that nobody knows of here".to_vec());
    for i in 0..20_000 {
        // Refused by the signature, by its form, and by the form of its JSON: none leaves anything.
        let (garbage, want) = match i % 3 {
            0 => {
                let name = json!({"kid": i.to_string()});
                (token_with(name, claims(json!({})), "HS256", &stranger), "key not known")
            }
            1 => (format!("{}.{}.{}", b64(i.to_string()), b64("{}"), b64("x")), "header not a strict json object"),
            _ => (b64(i.to_string()), "not three parts"),
        };
        assert_eq!(reason(ask(&auth, &garbage).await), want);
    }
    assert_eq!(held(&auth), (1000, 1000));
    let status = auth.cache.status();
    assert_eq!((status.hits, status.misses), (0, 40_000));
}

#[tokio::test]
async fn key_names_that_nobody_has_take_a_thousand_entries_and_one_fetch() {
    let provider = Provider::new(jwks(&[P256.jwk(json!({"kid": "k1"}))])).await;
    let auth = auth(settings(KeySource::JwksUrl(provider.url.clone())));
    ask(&auth, &token(claims(json!({})))).await.unwrap();
    let stranger = TestKey::Secret(vec![0; 32]);
    for i in 0..5_000 {
        // The signature is of no curve's; the name is looked for first.
        let forged = token_with(json!({"kid": i.to_string(), "alg": "ES256"}), claims(json!({})), "HS256", &stranger);
        assert_eq!(reason(ask(&auth, &forged).await), "key not known");
    }
    assert_eq!(held(&auth), (1, 1));
    assert!(auth.issuers[0].source.remembered() <= 1000);
    assert_eq!(provider.hits(), 1);
}

#[tokio::test]
async fn a_long_token_takes_the_room_of_many() {
    let (_folder, auth, key) = quick(100);
    let sized = |i: usize, bytes: usize| {
        let claims = claims(json!({"jti": i.to_string(), "pad": "x".repeat(bytes)}));
        token_with(json!({}), claims, "HS256", &key)
    };
    for (bytes, weight) in [(0, 1), (3000, 5), (9000, 12)] {
        let one = sized(0, bytes);
        assert_eq!((1 + one.len() / 1024, TokenCache::key(&one).weight), (weight, weight as u32));
    }
    for i in 0..200 {
        assert_eq!(reason(ask(&auth, &sized(i, 9000)).await), "accepted");
    }
    assert_eq!(held(&auth), (8, 96));
    // One that is larger than the whole cache is let in all the same, and not kept.
    let (_folder, small, key) = quick(4);
    let long = token_with(json!({}), claims(json!({"pad": "x".repeat(9000)})), "HS256", &key);
    for _ in 0..2 {
        assert_eq!(reason(ask(&small, &long).await), "accepted");
        assert_eq!((held(&small), small.cache.status().hits), ((0, 0), 0));
    }
}
