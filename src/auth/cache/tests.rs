use super::*;
use crate::auth::tests::support::{
    Folder, NOW, P256, Provider, TestKey, ask, at, auth, b64, claims, jwks, reason, settings, token, token_with, usual,
};
use crate::auth::verify::Claims;
use crate::auth::{Auth, KeySource, Memo};
use serde_json::{Value, json};

#[tokio::test]
async fn an_entry_goes_at_exp_and_is_verified_again_after_a_day() {
    const DAY: i64 = 24 * 3600;
    for (lives, end, told) in [(100, 130, "expired"), (3600, 3630, "expired"), (1 << 60, DAY, "accepted")] {
        let auth = auth(usual());
        let token = token(claims(json!({"exp": NOW + lives})));
        let at = |seconds: i64| at(seconds * 1000);
        let held = || (auth.cache.status().hits, auth.cache.status().misses, auth.cache.status().entries);
        for (seconds, said, counts) in [(0, "accepted", (0, 1, 1)), (end - 1, "accepted", (1, 1, 1))] {
            assert_eq!(reason(auth.authenticate(&token, at(seconds)).await), said);
            assert_eq!(held(), counts, "{lives}");
        }
        assert_eq!(reason(auth.authenticate(&token, at(end)).await), told, "{lives}");
        // What is expired is found, and forgotten; what is old is verified and remembered anew.
        assert_eq!(held(), if told == "expired" { (2, 1, 0) } else { (1, 2, 1) }, "{lives}");
        assert_eq!(reason(auth.authenticate(&token, at(end + 1)).await), told, "{lives}");
        assert_eq!(held(), if told == "expired" { (2, 2, 0) } else { (2, 2, 1) }, "{lives}");
    }
}

#[tokio::test]
async fn a_clock_that_was_set_back_a_day_is_not_trusted_with_what_was_verified() {
    let auth = auth(usual());
    let token = token(claims(json!({})));
    for (millis, misses) in [(0, 1), (-86_399_000, 1), (-86_400_000, 2), (-86_400_000, 2)] {
        assert_eq!(reason(auth.authenticate(&token, at(millis)).await), "accepted");
        assert_eq!(auth.cache.status().misses, misses, "{millis}");
    }
}

/// What is past its time takes no room from what is used.
#[tokio::test]
async fn what_nobody_asks_for_makes_room() {
    let (_folder, auth, key) = quick(64);
    let sized = |i: usize| token_with(json!({}), claims(json!({"jti": i.to_string()})), "HS256", &key);
    for i in 0..64 {
        auth.authenticate(&sized(i), at(129_999)).await.unwrap();
    }
    let used = sized(1000);
    for i in 64..1000 {
        assert_eq!(reason(ask(&auth, &used).await), "accepted");
        assert_eq!(reason(ask(&auth, &sized(i)).await), "accepted");
    }
    assert_eq!(auth.cache.status().entries, 64);
    assert!(auth.cache.status().hits > 900, "{:?}", auth.cache.status());
}

#[tokio::test]
async fn it_holds_as_many_as_it_is_told() {
    let auth = Auth::new(vec![usual()], 10).unwrap();
    for i in 0..100 {
        ask(&auth, &token(claims(json!({"jti": i.to_string()})))).await.unwrap();
    }
    let status = auth.cache.status();
    assert_eq!((status.entries, status.hits, status.misses), (10, 0, 100));
}

#[test]
fn a_token_is_named_by_its_sha_256() {
    let name = TokenCache::key("abc");
    let hex: String = name.0.iter().map(|byte| format!("{byte:02x}")).collect();
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

/// Tokens in the cache, and how many there may be.
fn held(auth: &Auth) -> (u64, u64) {
    (auth.cache.status().entries, auth.cache.entries.capacity())
}

#[tokio::test]
async fn twenty_thousand_tokens_and_as_much_garbage_take_a_thousand_entries() {
    let (_folder, auth, key) = quick(1024);
    for i in 0..20_000 {
        let honest = token_with(json!({}), claims(json!({"jti": i.to_string()})), "HS256", &key);
        assert_eq!(reason(ask(&auth, &honest).await), "accepted");
        let (entries, room) = held(&auth);
        // The library spreads them over parts of the room, by chance, so that the first do not fill it.
        assert!(room == 1024 && (entries == room || entries < room && i < 4000), "{entries} of {room} after {i}");
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
    assert_eq!(held(&auth), (1024, 1024));
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
    assert_eq!(held(&auth), (1, 100));
    assert!(auth.issuers[0].source.remembered() <= 1000);
    assert_eq!(provider.hits(), 1);
}

#[tokio::test]
async fn a_long_token_takes_no_more_room_than_a_short_one() {
    let (_folder, auth, key) = quick(32);
    let sized = |i: usize, bytes: usize| {
        let claims = claims(json!({"jti": i.to_string(), "pad": "x".repeat(bytes)}));
        token_with(json!({}), claims, "HS256", &key)
    };
    for i in 0..100 {
        assert_eq!(reason(ask(&auth, &sized(i, 9000)).await), "accepted");
    }
    assert_eq!(held(&auth), (32, 32));
    // Nothing of what it says is in what is kept.
    assert_eq!((size_of::<Entry>(), size_of::<Known>(), size_of::<Memo>()), (40, 48, 56));
}

/// An entry whose token says nothing more than when it ends.
fn entry() -> Entry {
    let Value::Object(claims) = json!({"exp": 1}) else { panic!() };
    let known = Claims::of_token(claims, Duration::from_secs(1), None).unwrap().known;
    Entry { known, issuer: 0, generation: 1, issued: None, since: 0 }
}

fn bytes(cache: &TokenCache) -> usize {
    let used = cache.entries.memory_used();
    used.entries + used.map
}

#[test]
fn a_million_tokens_take_no_more_memory_than_fill_the_room() {
    let (cache, entry) = (TokenCache::new(1024), entry());
    let put = |numbers: std::ops::Range<u32>| {
        for number in numbers {
            cache.put(TokenKey(sha256(&[&number.to_be_bytes()])), entry.clone());
        }
        (cache.status().entries, bytes(&cache))
    };
    let (entries, full) = put(0..50_000);
    assert_eq!(entries, 1024);
    assert_eq!(put(50_000..1_000_000), (1024, full));
    // What was let go of is gone: one pointer for each entry, and ours.
    assert_eq!(Arc::strong_count(&entry.known), 1025);
}

#[test]
fn a_hundred_thousand_entries_take_at_most_160_bytes_each() {
    let (cache, entry) = (TokenCache::new(100_000), entry());
    for number in 0..300_000_u32 {
        cache.put(TokenKey(sha256(&[&number.to_be_bytes()])), entry.clone());
    }
    assert_eq!(cache.status().entries, 100_000);
    let each = bytes(&cache) / 100_000;
    assert!((72..=160).contains(&each), "{each}");
}
