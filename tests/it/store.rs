//! What the issuer's store does: one behaviour for both, and the file's own part.

use std::net::IpAddr;
use std::sync::Arc;

use tagwarden::issuer::revocations::KEPT;
use tagwarden::issuer::store::{Ends, Family, Hash, REPEAT_SECONDS, Revocation, Rotation, Store, StoreSettings};
use tokio::task::JoinSet;

use crate::support::Folder;

pub const NOW: u64 = 1_900_000_000;
const REFRESH: u64 = 10_000;
const ACCESS: u64 = 1_000;

/// When a pair that is issued then expires.
pub fn ends(now: u64) -> Ends {
    Ends { refresh: now + REFRESH, access: now + ACCESS }
}

pub fn token(name: &str) -> Hash {
    Hash::of(name)
}

/// A family `ID` of client `CLIENT` that was issued at `now`.
pub fn family(id: &str, client: &str, now: u64) -> Family {
    Family { id: id.to_owned(), client: client.to_owned(), ends: ends(now) }
}

/// Begins a family; its first token is named like it.
pub async fn begin(store: &Store, id: &str, client: &str, now: u64) {
    store.begin(&family(id, client, now), &token(id), now).await.unwrap();
}

pub async fn rotate(store: &Store, from: &str, to: &str, now: u64) -> Rotation {
    store.rotate(&token(from), &token(to), ends(now), now).await.unwrap()
}

/// Whether a token is the newest of its family; `None`: it is nothing.
pub async fn newest(store: &Store, name: &str, now: u64) -> Option<bool> {
    store.family_of(&token(name), now).await.unwrap().map(|standing| standing.newest)
}

pub fn ended(store: &Store, family: &str) -> bool {
    store.revocations().ended("some token", Some(family), "some client", NOW)
}

/// Every case that holds for every store. `open` opens the same store again, after the one before was dropped.
pub async fn behaviour(open: impl AsyncFn() -> Store) {
    let store = Arc::new(open().await);
    rotating(&store).await;
    repeating(&store).await;
    reusing(&store).await;
    voided(&store).await;
    expiring(&store).await;
    revoking_a_family(&store).await;
    revoking_a_client(&store).await;
    revoking_a_token(&store).await;
    failing(&store).await;
    two_at_once(&store).await;
    fifty_at_once(&store).await;
    many_families_at_once(&store).await;

    begin(&store, "kept-1", "c", NOW).await;
    rotate(&store, "kept-1", "kept-2", NOW).await;
    let store = Arc::into_inner(store).unwrap();
    drop(store);
    let store = open().await;
    kept(&store).await;
    sweeping(&store).await;
    revoking_a_family_that_is_refreshed(&store).await;
}

async fn rotating(store: &Store) {
    assert_eq!(rotate(store, "unknown", "x", NOW).await, Rotation::Ended);
    assert_eq!(store.family_of(&token("unknown"), NOW).await.unwrap(), None);

    begin(store, "ro-1", "c", NOW).await;
    assert_eq!(newest(store, "ro-1", NOW).await, Some(true));
    let later = NOW + 100;
    assert_eq!(rotate(store, "ro-1", "ro-2", later).await, Rotation::Rotated(family("ro-1", "c", later)));
    assert_eq!([newest(store, "ro-1", later).await, newest(store, "ro-2", later).await], [Some(false), Some(true)]);

    // Asked again because the answer of the store was lost: the same answer, and nothing is void.
    assert_eq!(rotate(store, "ro-1", "ro-2", later).await, Rotation::Rotated(family("ro-1", "c", later)));
    assert_eq!(newest(store, "ro-2", later).await, Some(true));
    // The same for the beginning.
    begin(store, "ro-1", "c", NOW).await;
    assert_eq!([newest(store, "ro-1", later).await, newest(store, "ro-2", later).await], [Some(false), Some(true)]);

    // The refresh token ends as the newest does, the access tokens as the last does.
    let shorter = Ends { refresh: NOW + 500, access: NOW + 600 };
    let rotation = store.rotate(&token("ro-2"), &token("ro-3"), shorter, later).await.unwrap();
    let expected = Family { ends: Ends { refresh: NOW + 500, access: later + ACCESS }, ..family("ro-1", "c", NOW) };
    assert_eq!(rotation, Rotation::Rotated(expected.clone()));
    assert_eq!(store.family_of(&token("ro-3"), later).await.unwrap().unwrap().family, expected);
    assert!(!ended(store, "ro-1"));
}

async fn repeating(store: &Store) {
    begin(store, "re-1", "c", NOW).await;
    rotate(store, "re-1", "re-2", NOW).await;
    let last = NOW + REPEAT_SECONDS;
    assert_eq!(rotate(store, "re-1", "re-3", last).await, Rotation::Repeated(family("re-1", "c", last)));
    assert_eq!([newest(store, "re-2", last).await, newest(store, "re-3", last).await], [Some(false), Some(true)]);
    // The ten seconds are counted from the use, not from the repeat.
    assert_eq!(rotate(store, "re-1", "re-4", last).await, Rotation::Repeated(family("re-1", "c", last)));
    assert_eq!(rotate(store, "re-4", "re-5", last).await, Rotation::Rotated(family("re-1", "c", last)));
    assert!(!ended(store, "re-1"));
    // Now the successor is used.
    assert_eq!(rotate(store, "re-1", "re-6", last).await, Rotation::Reused(family("re-1", "c", last)));
    assert!(ended(store, "re-1"));

    for (id, used, repeated, fine) in [
        ("late", NOW, NOW + REPEAT_SECONDS + 1, false),
        ("ahead", NOW, NOW - REPEAT_SECONDS, true), // another replica's clock
        ("far-ahead", NOW, NOW - REPEAT_SECONDS - 1, false),
    ] {
        begin(store, id, "c", NOW - 100).await;
        rotate(store, id, &format!("{id}-2"), used).await;
        match rotate(store, id, &format!("{id}-3"), repeated).await {
            Rotation::Repeated(_) => assert!(fine, "{id}"),
            Rotation::Reused(_) => assert!(!fine, "{id}"),
            other => panic!("{id}: {other:?}"),
        }
        assert_eq!(ended(store, id), !fine, "{id}");
    }
}

async fn reusing(store: &Store) {
    begin(store, "us-1", "c", NOW).await;
    rotate(store, "us-1", "us-2", NOW).await;
    rotate(store, "us-2", "us-3", NOW).await;
    assert!(!ended(store, "us-1"));
    assert_eq!(rotate(store, "us-1", "us-4", NOW).await, Rotation::Reused(family("us-1", "c", NOW)));
    assert!(ended(store, "us-1") && !ended(store, "us-2"));
    for name in ["us-1", "us-2", "us-3", "us-4"] {
        assert_eq!(newest(store, name, NOW).await, None, "{name}");
        assert_eq!(rotate(store, name, "us-5", NOW).await, Rotation::Ended, "{name}");
    }
}

async fn voided(store: &Store) {
    begin(store, "vo-1", "c", NOW).await;
    rotate(store, "vo-1", "vo-2", NOW).await;
    rotate(store, "vo-1", "vo-3", NOW).await;
    assert_eq!(rotate(store, "vo-2", "vo-4", NOW).await, Rotation::Reused(family("vo-1", "c", NOW)));
    assert_eq!(rotate(store, "vo-3", "vo-5", NOW).await, Rotation::Ended);
    assert!(ended(store, "vo-1"));
}

async fn expiring(store: &Store) {
    begin(store, "ex-1", "c", NOW).await;
    assert_eq!(rotate(store, "ex-1", "ex-2", NOW + REFRESH).await, Rotation::Ended);
    assert_eq!(newest(store, "ex-1", NOW + REFRESH).await, None);
    let last = NOW + REFRESH - 1;
    assert_eq!(newest(store, "ex-1", last).await, Some(true));
    assert_eq!(rotate(store, "ex-1", "ex-2", last).await, Rotation::Rotated(family("ex-1", "c", last)));
    // Used and expired: of no use to a thief, and no reason to revoke.
    assert_eq!(rotate(store, "ex-1", "ex-3", last + 100).await, Rotation::Ended);
    assert_eq!(newest(store, "ex-2", last + 100).await, Some(true));
}

async fn revoking_a_family(store: &Store) {
    begin(store, "fa-1", "c", NOW).await;
    begin(store, "fa-other", "c", NOW).await;
    rotate(store, "fa-1", "fa-2", NOW).await;
    let what = Revocation::Family { id: "fa-1".to_owned(), until: NOW + ACCESS };
    for _ in 0..2 {
        store.revoke(&what, NOW).await.unwrap();
        assert!(ended(store, "fa-1") && !ended(store, "fa-other"));
        assert_eq!([newest(store, "fa-1", NOW).await, newest(store, "fa-2", NOW).await], [None, None]);
        assert_eq!(rotate(store, "fa-2", "fa-3", NOW).await, Rotation::Ended);
        assert_eq!(rotate(store, "fa-1", "fa-3", NOW).await, Rotation::Ended);
    }
    assert_eq!(newest(store, "fa-other", NOW).await, Some(true));
    // One that the store never had: the access tokens end all the same.
    let what = Revocation::Family { id: "fa-unknown".to_owned(), until: NOW + ACCESS };
    store.revoke(&what, NOW).await.unwrap();
    assert!(ended(store, "fa-unknown"));
}

async fn revoking_a_client(store: &Store) {
    let end = |id: &str, issued_before, until| Revocation::Client { id: id.to_owned(), issued_before, until };
    begin(store, "cl-old", "leaver", NOW - 1).await;
    begin(store, "cl-same", "leaver", NOW).await;
    begin(store, "cl-other", "stayer", NOW - 1).await;
    store.revoke(&end("leaver", NOW, NOW - KEPT), NOW).await.unwrap();
    let holds = async || {
        let has_ended = |client, iat| store.revocations().ended("j", Some("f"), client, iat);
        assert_eq!([has_ended("leaver", NOW - 1), has_ended("leaver", NOW)], [true, false]);
        assert!(!has_ended("stayer", NOW - 1) && !has_ended("leave", NOW - 1));
        assert_eq!(newest(store, "cl-old", NOW).await, None);
        assert_eq!(rotate(store, "cl-old", "cl-old-2", NOW).await, Rotation::Ended);
        assert_eq!([newest(store, "cl-same", NOW).await, newest(store, "cl-other", NOW).await], [Some(true); 2]);
    };
    holds().await;
    // An older one that comes later takes nothing back.
    store.revoke(&end("leaver", NOW - 500, NOW - KEPT), NOW).await.unwrap();
    holds().await;
    // It outlives the families, even when the access tokens end sooner.
    store.sweep(NOW).await.unwrap();
    holds().await;
    // Back again.
    begin(store, "cl-new", "leaver", NOW + 1).await;
    assert!(matches!(rotate(store, "cl-new", "cl-new-2", NOW + 2).await, Rotation::Rotated(_)));
    // A family is as old as its beginning.
    store.revoke(&end("leaver", NOW + 2, NOW + ACCESS), NOW).await.unwrap();
    assert_eq!(rotate(store, "cl-new-2", "cl-new-3", NOW + 3).await, Rotation::Ended);
}

async fn revoking_a_token(store: &Store) {
    let long = "long ".repeat(1000);
    for jti in ["jti-1", "with spaces and \"quotes\"", "ünïcödé\n", "", &long] {
        let has_ended = || store.revocations().ended(jti, None, "jc", NOW);
        assert!(!has_ended(), "{jti}");
        let what = Revocation::Token { jti: jti.to_owned(), until: NOW + ACCESS };
        store.revoke(&what, NOW).await.unwrap();
        assert!(has_ended(), "{jti}");
    }
    assert!(!store.revocations().ended("jti-2", Some("jti-1"), "jti-1", NOW));
}

async fn failing(store: &Store) {
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    let (here, there) = (address("192.0.2.1"), address("192.0.2.2"));
    let start = NOW - NOW % 60;
    assert_eq!(store.failures("guess", here, start), 0);
    assert_eq!(store.failed("guess", here, start).await, 1);
    assert_eq!(store.failed("guess", here, start + 59).await, 2);
    assert_eq!(store.failures("guess", here, start + 59), 2);
    assert_eq!([store.failures("guess", there, start), store.failures("other", here, start)], [0, 0]);
    assert_eq!([store.failures("guess", here, start + 60), store.failed("guess", here, start + 60).await], [0, 1]);
    let long = "x".repeat(100_000);
    assert_eq!(store.failed(&long, address("2001:db8::1"), start).await, 1);
    assert_eq!(store.failed(&long, address("2001:db8::2"), start).await, 2);
}

async fn two_at_once(store: &Arc<Store>) {
    for round in 0..20 {
        let id = format!("two-{round}");
        begin(store, &id, "c", NOW).await;
        let (a, b) = (format!("{id}-a"), format!("{id}-b"));
        let task = |to: String| {
            let (store, id) = (Arc::clone(store), id.clone());
            tokio::spawn(async move { rotate(&store, &id, &to, NOW).await })
        };
        let (first, second) = (task(a.clone()), task(b.clone()));
        let got = [first.await.unwrap(), second.await.unwrap()];
        let (rotated, repeated) = (Rotation::Rotated(family(&id, "c", NOW)), Rotation::Repeated(family(&id, "c", NOW)));
        let (used, void) = if got[0] == rotated { (&b, &a) } else { (&a, &b) };
        assert!(got == [rotated.clone(), repeated.clone()] || got == [repeated, rotated], "{got:?}");
        assert_eq!([newest(store, used, NOW).await, newest(store, void, NOW).await], [Some(true), Some(false)]);
    }
}

async fn fifty_at_once(store: &Arc<Store>) {
    begin(store, "fifty", "c", NOW).await;
    let mut tasks = JoinSet::new();
    for number in 0..50 {
        let store = Arc::clone(store);
        tasks.spawn(async move { rotate(&store, "fifty", &format!("fifty-{number}"), NOW).await });
    }
    let all = tasks.join_all().await;
    assert_eq!(all.iter().filter(|got| matches!(got, Rotation::Rotated(_))).count(), 1);
    assert_eq!(all.iter().filter(|got| matches!(got, Rotation::Repeated(_))).count(), 49);
    let mut standing = Vec::new();
    for number in 0..50 {
        standing.push(newest(store, &format!("fifty-{number}"), NOW).await);
    }
    assert_eq!(standing.iter().filter(|standing| **standing == Some(true)).count(), 1);
    assert_eq!(standing.iter().filter(|standing| **standing == Some(false)).count(), 49);
    // All present a voided one, or the newest: whatever comes first, the family is over afterwards.
    let mut tasks = JoinSet::new();
    for number in 0..50 {
        let store = Arc::clone(store);
        tasks.spawn(async move { rotate(&store, &format!("fifty-{number}"), &format!("last-{number}"), NOW).await });
    }
    let all = tasks.join_all().await;
    assert_eq!(all.iter().filter(|got| matches!(got, Rotation::Reused(_))).count(), 1);
    assert!(ended(store, "fifty"));
}

async fn many_families_at_once(store: &Arc<Store>) {
    let mut tasks = JoinSet::new();
    for number in 0..50 {
        let store = Arc::clone(store);
        tasks.spawn(async move {
            let id = format!("many-{number}");
            begin(&store, &id, "c", NOW).await;
            for step in 0..3 {
                let from = if step == 0 { id.clone() } else { format!("{id}-{step}") };
                let got = rotate(&store, &from, &format!("{id}-{}", step + 1), NOW).await;
                assert_eq!(got, Rotation::Rotated(family(&id, "c", NOW)));
            }
            let what = Revocation::Token { jti: id.clone(), until: NOW + ACCESS };
            store.revoke(&what, NOW).await.unwrap();
            assert_eq!(newest(&store, &format!("{id}-3"), NOW).await, Some(true));
        });
    }
    tasks.join_all().await;
    for number in 0..50 {
        assert!(store.revocations().ended(&format!("many-{number}"), None, "x", NOW), "{number}");
    }
}

async fn kept(store: &Store) {
    let revocations = store.revocations();
    assert!(revocations.ended("jti-1", None, "x", NOW) && revocations.ended("ünïcödé\n", None, "x", NOW));
    assert!(ended(store, "fa-1") && ended(store, "us-1") && !ended(store, "fa-other"));
    assert!(revocations.ended("x", None, "leaver", NOW + 1) && !revocations.ended("x", None, "leaver", NOW + 2));
    assert_eq!([newest(store, "kept-1", NOW).await, newest(store, "kept-2", NOW).await], [Some(false), Some(true)]);
    assert_eq!(rotate(store, "us-3", "x", NOW).await, Rotation::Ended);
    assert_eq!(rotate(store, "kept-1", "kept-3", NOW + 1).await, Rotation::Repeated(family("kept-1", "c", NOW + 1)));
    assert_eq!(rotate(store, "kept-2", "kept-4", NOW + 1).await, Rotation::Reused(family("kept-1", "c", NOW + 1)));
}

/// Between the look of whoever ends it and the end.
async fn revoking_a_family_that_is_refreshed(store: &Store) {
    begin(store, "fa-late", "c", NOW).await;
    rotate(store, "fa-late", "fa-late-2", NOW + 900).await;
    let what = Revocation::Family { id: "fa-late".to_owned(), until: NOW + ACCESS };
    store.revoke(&what, NOW + 900).await.unwrap();
    store.sweep(NOW + ACCESS + KEPT).await.unwrap();
    assert!(ended(store, "fa-late") && !ended(store, "fa-1"));
}

async fn sweeping(store: &Store) {
    let jti = |store: &Store| store.revocations().ended("jti-1", None, "x", NOW);
    store.sweep(NOW + ACCESS + KEPT - 1).await.unwrap();
    assert!(jti(store));
    store.sweep(NOW + ACCESS + KEPT).await.unwrap();
    assert!(!jti(store));
    assert_eq!(newest(store, "fa-other", NOW).await, Some(true), "a family that lives is not swept");
    store.sweep(NOW + 10 * REFRESH).await.unwrap();
    assert!(!store.revocations().ended("x", None, "leaver", NOW));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_file_behaves() {
    let folder = Folder::new();
    let settings = StoreSettings::Embedded(folder.path("data/tokens.redb"));
    behaviour(async || Store::open(&settings).await.unwrap()).await;
    let store = Store::open(&settings).await.unwrap();
    assert_eq!(store.revocations().silence(), std::time::Duration::ZERO);
    // What was swept is gone for good.
    assert!(!store.revocations().ended("jti-1", None, "x", NOW));
    assert_eq!(newest(&store, "fa-other", NOW).await, None);
}

#[test]
fn hashes_and_addresses_do_not_show() {
    let url = tagwarden::issuer::store::RedisUrl("redis://:hidden@example".to_owned());
    assert_eq!(format!("{:?} {:?}", token("hidden"), StoreSettings::Redis(url)), "Hash(…) Redis(RedisUrl(…))");
    let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let hex: String = token("abc").0.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, expected, "FIPS 180-2, appendix B.1");
}
