//! A Redis that dies, hangs, forgets, comes late or cannot be reached.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use tagwarden::issuer::store::{Revocation, Rotation, StoreError};

use super::server::*;
use crate::store::{NOW, begin, ended, family, newest, rotate, token};
use crate::support::until;

#[tokio::test]
async fn a_redis_that_dies_is_unavailable_and_comes_back_with_what_was_revoked() {
    let Some(mut server) = Server::start().await else { return };
    let (here, there) = (server.store().await, server.store().await);
    revoke(&here, "before").await;
    let client = Revocation::Client { id: "gone".to_owned(), issued_before: NOW, until: NOW + 1000 };
    here.revoke(&client, NOW).await.unwrap();
    let family_of_it = Revocation::Family { id: "lost".to_owned(), until: NOW + 1000 };
    here.revoke(&family_of_it, NOW).await.unwrap();
    comes_to_know(&there, "before").await;
    begin(&here, "f", "c", NOW).await;
    server.kill();

    let down = "the redis of the issuer cannot serve: ";
    let text = refused(try_rotate(&here, "f", "f-2").await);
    assert!(text == format!("{down}it refuses connections") || text == format!("{down}the connection fails"), "{text}");
    let what = Revocation::Token { jti: "meanwhile".to_owned(), until: NOW + 1000 };
    assert!(matches!(here.revoke(&what, NOW).await, Err(StoreError::Unavailable { .. })));
    assert!(!knows(&here, "meanwhile"), "what is not stored is not claimed");
    assert!(matches!(here.begin(&family("g", "c", NOW), &token("g"), NOW).await, Err(StoreError::Unavailable { .. })));
    assert!(matches!(here.sweep(NOW).await, Err(StoreError::Unavailable { .. })));
    // Verification goes on with what is known, and guesses are counted here.
    assert!(knows(&here, "before") && knows(&there, "before"));
    let address = Ipv4Addr::LOCALHOST.into();
    assert_eq!([here.failed("c", address, NOW).await, here.failed("c", address, NOW).await], [1, 2]);
    assert_eq!(here.failures("c", address, NOW), 2);
    let silence = here.revocations().silence();
    until("the silence grows", async || {
        (here.revocations().silence() > silence + Duration::from_millis(50)).then_some(())
    })
    .await;

    server.restart().await;
    serves_again(&here).await;
    begin(&here, "f", "c", NOW).await;
    assert_eq!(rotate(&here, "f", "f-2", NOW).await, Rotation::Rotated(family("f", "c", NOW)));
    until("the server is told what it lost", async || {
        (server.ask::<u32>(&["ZCARD", "tagwarden:{issuer}:revoked"]) == 2
            && server.ask::<u32>(&["HLEN", "tagwarden:{issuer}:clients"]) == 1)
            .then_some(())
    })
    .await;
    for key in ["revoked", "clients"] {
        assert!(server.ask::<i64>(&["TTL", &format!("tagwarden:{{issuer}}:{key}")]) > 0);
    }
    let third = server.store().await;
    assert!(knows(&third, "before") && ended(&third, "lost"));
    assert!(
        third.revocations().ended("x", None, "gone", NOW - 1) && !third.revocations().ended("x", None, "gone", NOW)
    );
    // Both follow again.
    revoke(&third, "after").await;
    comes_to_know(&here, "after").await;
    comes_to_know(&there, "after").await;
}

#[tokio::test]
async fn a_replica_that_was_cut_off_reads_everything_again() {
    let Some(server) = Server::start().await else { return };
    let way = Way::to(server.port).await;
    let (here, there) = (server.store().await, way.store().await);
    way.state.send(State::Cut).unwrap();
    until("it is cut off", async || there.family_of(&token("x"), NOW).await.err()).await;
    // More than one page.
    for number in 0..1500 {
        revoke(&here, &format!("j {number}")).await;
    }
    here.revoke(&Revocation::Client { id: "c d".to_owned(), issued_before: NOW, until: NOW + 9 }, NOW).await.unwrap();
    assert!(!knows(&there, "j 0"));
    way.state.send(State::Open).unwrap();
    comes_to_know(&there, "j 0").await;
    assert!((0..1500).all(|number| knows(&there, &format!("j {number}"))));
    assert!(there.revocations().ended("x", None, "c d", NOW - 1));
    revoke(&here, "later").await;
    comes_to_know(&there, "later").await;
}

#[tokio::test]
async fn a_replica_that_starts_on_an_empty_server_waits_for_those_that_know() {
    let Some(mut server) = Server::start().await else { return };
    let way = Way::to(server.port).await;
    let before = way.store().await;
    revoke(&before, "revoked").await;
    way.state.send(State::Cut).unwrap();
    until("it is cut off", async || before.family_of(&token("x"), NOW).await.err()).await;
    server.kill();
    let late = server.store().await;
    server.restart().await;
    // This one finds the server first, and nothing in it.
    let channel = "tagwarden:{issuer}:revocations:0";
    let followed = async || server.ask::<(String, u32)>(&["PUBSUB", "NUMSUB", channel]).1;
    until("the late one follows", async || (followed().await == 1).then_some(())).await;
    for _ in 0..50 {
        // As many answers as it took to read everything, and more.
        serves_again(&late).await;
    }
    assert_eq!(late.revocations().silence(), Duration::MAX, "it waits");
    way.state.send(State::Open).unwrap();
    until("the late one is heard", async || (late.revocations().silence() < Duration::MAX).then_some(())).await;
    assert!(knows(&late, "revoked"));
    // From now on there is nobody to wait for: the next is told by the server.
    assert!(knows(&server.store().await, "revoked"));
}

#[tokio::test]
async fn a_connection_that_leads_nowhere_is_given_up() {
    let Some(server) = Server::start().await else { return };
    let way = Way::to(server.port).await;
    let (here, there) = (server.store().await, way.store().await);
    way.state.send(State::Stalled).unwrap();
    let late = way.store().await;
    assert_eq!(late.revocations().silence(), Duration::MAX);
    revoke(&here, "missed").await;
    way.state.send(State::Open).unwrap();
    // What was connected before stays mute for ever.
    comes_to_know(&there, "missed").await;
    comes_to_know(&late, "missed").await;
    serves_again(&there).await;
}

#[tokio::test]
async fn a_redis_that_hangs_is_unavailable_in_time() {
    let Some(server) = Server::start().await else { return };
    let store = server.store().await;
    begin(&store, "f", "c", NOW).await;
    server.signal("-STOP");
    let start = Instant::now();
    let text = refused(try_rotate(&store, "f", "f-2").await);
    assert_eq!(text, "the redis of the issuer cannot serve: it does not answer in time");
    // 500 ms; the rest is for a slow machine.
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    // Long enough for the subscription to be given up.
    until("it is silent", async || (store.revocations().silence() > Duration::from_secs(4)).then_some(())).await;
    server.signal("-CONT");
    serves_again(&store).await;
    until("it is heard", async || (store.revocations().silence() < Duration::from_secs(2)).then_some(())).await;
    // The step that was not answered may have been done: its repeat is told so.
    let got = rotate(&store, "f", "f-2", NOW).await;
    assert_eq!(got, Rotation::Rotated(family("f", "c", NOW)));
    assert_eq!(newest(&store, "f-2", NOW).await, Some(true));
}

#[tokio::test]
async fn a_redis_that_comes_later_is_found() {
    let Some(mut server) = Server::start().await else { return };
    server.kill();
    let store = server.store().await;
    assert_eq!(store.revocations().silence(), Duration::MAX);
    assert!(matches!(store.family_of(&token("x"), NOW).await, Err(StoreError::Unavailable { .. })));
    server.restart().await;
    serves_again(&store).await;
    until("it is heard", async || (store.revocations().silence() < Duration::from_secs(2)).then_some(())).await;
}

#[tokio::test]
async fn a_redis_that_forgets_its_scripts_or_takes_no_writes_recovers() {
    let Some(server) = Server::start().await else { return };
    let store = server.store().await;
    begin(&store, "f", "c", NOW).await;
    server.ask::<()>(&["SCRIPT", "FLUSH"]);
    assert_eq!(rotate(&store, "f", "f-2", NOW).await, Rotation::Rotated(family("f", "c", NOW)));
    server.ask::<()>(&["REPLICAOF", "127.0.0.1", "1"]);
    let text = refused(try_rotate(&store, "f-2", "f-3").await);
    assert_eq!(text, "the redis of the issuer cannot serve: it answers `READONLY`");
    server.ask::<()>(&["REPLICAOF", "NO", "ONE"]);
    assert_eq!(rotate(&store, "f-2", "f-3", NOW).await, Rotation::Rotated(family("f", "c", NOW)));
}
