//! The store that replicas share, against a real server: `redis-server` or `valkey-server` from the PATH. Without one these tests
//! fail; `TAGWARDEN_NO_REDIS=1` skips them on purpose.

mod faults;
mod server;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tagwarden::issuer::store::{Revocation, Rotation, Store};

use crate::store::{NOW, begin, behaviour, ended, family, newest, rotate, token};
use crate::support::{Folder, until};
use server::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_redis_behaves() {
    let Some(server) = Server::start().await else { return };
    behaviour(async || server.store().await).await;
}

#[tokio::test]
async fn everything_expires_by_itself_and_is_on_one_slot() {
    let Some(server) = Server::start().await else { return };
    let store = server.store().await;
    begin(&store, "secret-token", "c", NOW).await;
    begin(&store, "b-1", "c", NOW).await;
    rotate(&store, "secret-token", "secret-next", NOW).await;
    rotate(&store, "b-1", "b-2", NOW).await;
    rotate(&store, "b-2", "b-3", NOW).await;
    rotate(&store, "b-1", "b-4", NOW).await;
    revoke(&store, "j").await;
    let client = Revocation::Client { id: "c".to_owned(), issued_before: NOW, until: NOW };
    store.revoke(&client, NOW).await.unwrap();
    store.failed("c", Ipv4Addr::LOCALHOST.into(), NOW).await;
    let mut keys: Vec<String> = server.ask(&["KEYS", "*"]);
    keys.sort();
    assert_eq!(keys.len(), 11, "{keys:?}");
    for key in &keys {
        assert!(key.starts_with("tagwarden:{issuer}:"), "{key}");
        let life: i64 = server.ask(&["TTL", key]);
        let longest = if key.ends_with(":known") { 31 * 86_400 } else { 10_300 };
        assert!((1..=longest).contains(&life), "{key}: {life}");
        assert!(key.contains(":family:") || !key.contains("secret"), "tokens are hashes: {key}");
    }
    // A family that rotates lives longer.
    rotate(&store, "secret-next", "secret-last", NOW + 5000).await;
    let life: i64 = server.ask(&["TTL", "tagwarden:{issuer}:family:secret-token"]);
    assert!(life > 10_200, "{life}");
}

#[tokio::test]
async fn a_sweep_goes_through_all_of_it() {
    let Some(server) = Server::start().await else { return };
    let store = server.store().await;
    let mut script = "for i = 1, 2500 do redis.call('ZADD', 'tagwarden:{issuer}:revoked', ".to_owned();
    script.push_str(&format!("{NOW} + i % 2, 't' .. i) end"));
    server.ask::<()>(&["EVAL", &script, "0"]);
    let left = || server.ask::<u32>(&["ZCARD", "tagwarden:{issuer}:revoked"]);
    for (now, expected) in [(NOW + 299, 2500), (NOW + 300, 1250), (NOW + 301, 0)] {
        store.sweep(now).await.unwrap();
        assert_eq!(left(), expected);
    }
}

#[tokio::test]
async fn replicas_hear_of_each_other_in_under_a_second() {
    let Some(server) = Server::start().await else { return };
    let (here, there) = (server.store().await, server.store().await);
    let start = Instant::now();
    revoke(&here, "a token of hers").await;
    assert!(knows(&here, "a token of hers"));
    comes_to_know(&there, "a token of hers").await;
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());

    begin(&here, "f", "c", NOW).await;
    rotate(&there, "f", "f-2", NOW).await;
    rotate(&here, "f-2", "f-3", NOW).await;
    assert_eq!(rotate(&there, "f", "f-4", NOW).await, Rotation::Reused(family("f", "c", NOW)));
    assert!(ended(&there, "f"));
    until("the reuse is known", async || ended(&here, "f").then_some(())).await;
    assert_eq!(rotate(&here, "f-3", "f-5", NOW).await, Rotation::Ended);

    let client = Revocation::Client { id: "a client".to_owned(), issued_before: NOW, until: NOW + 9 };
    here.revoke(&client, NOW).await.unwrap();
    until("the client is known", async || there.revocations().ended("x", None, "a client", NOW - 1).then_some(()))
        .await;
    assert!(!there.revocations().ended("x", None, "a client", NOW));

    let count = |store: Store| async move { store.failed("c", Ipv4Addr::LOCALHOST.into(), NOW).await };
    assert_eq!([count(here).await, count(there).await], [1, 2]);
}

#[tokio::test]
async fn a_replica_alone_hears_its_ticks() {
    let Some(server) = Server::start().await else { return };
    let stores = [server.store().await, server.store().await, server.store().await];
    let channels: Vec<String> = server.ask(&["PUBSUB", "CHANNELS", "tagwarden:{issuer}:ticks:*"]);
    assert_eq!(channels.len(), stores.len(), "{channels:?}");
    for channel in &channels {
        assert_eq!(server.ask::<(String, u32)>(&["PUBSUB", "NUMSUB", channel]).1, 1);
    }
    // What is heard is the ticks: a session without them is over after three seconds, and the next hears first of all. So the
    // sessions have to be the same ones.
    let sessions = || {
        let list: String = server.ask(&["CLIENT", "LIST", "TYPE", "pubsub"]);
        list.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let before = sessions();
    assert_eq!(before.len(), stores.len(), "{before:?}");
    for store in &stores {
        let mut before = Duration::ZERO;
        until("it hears a tick", async || {
            let silence = store.revocations().silence();
            (silence < std::mem::replace(&mut before, silence)).then_some(())
        })
        .await;
    }
    assert_eq!(sessions(), before);
}

/// All replicas of a fleet say it: the one that reads the file first, or that finds the server empty first, is enough for the
/// others, or what is sent would grow with the square of the replicas.
#[tokio::test]
async fn what_a_server_knows_already_is_not_published_again() {
    let Some(server) = Server::start().await else { return };
    let published = || {
        let calls: String = server.ask(&["INFO", "commandstats"]);
        let count = calls.lines().find_map(|line| line.strip_prefix("cmdstat_publish:calls="));
        count.map_or(0, |rest| rest.split(',').next().unwrap().parse::<u32>().unwrap())
    };
    let (revoked, clients) = ("tagwarden:{issuer}:revoked", "tagwarden:{issuer}:clients");
    let kept = || server.ask::<String>(&["HGET", clients, "a client"]);
    let restore = |end: &str, client: &str| {
        let script = include_str!("../../src/issuer/store/redis/restore.lua");
        let entries = ["t", end, "a token", "f", end, "a family", "c", client, "a client"];
        server.ask::<u32>(&[&["EVAL", script, "2", revoked, clients, "a channel"], &entries[..]].concat());
        published()
    };
    assert_eq!([restore("20", "5 20"), restore("20", "5 20"), restore("19", "4 19")], [3, 3, 3]);
    assert_eq!([restore("21", "4 21"), restore("21", "6 9")], [6, 7]);
    assert_eq!((server.ask::<u32>(&["ZSCORE", revoked, "ta token"]), kept().as_str()), (21, "6 21"));

    let revoke = |before: &str, end: &str| {
        let script = include_str!("../../src/issuer/store/redis/revoke_client.lua");
        let last = "tagwarden:{issuer}:last";
        let given: (u64, u64) =
            server.ask(&["EVAL", script, "2", clients, last, "a client", before, end, "1", "300", "a channel"]);
        (given, published())
    };
    assert_eq!([revoke("6", "21"), revoke("5", "20")], [((6, 21), 7), ((6, 21), 7)]);
    assert_eq!([revoke("7", "21"), revoke("7", "22")], [((7, 21), 8), ((7, 22), 9)]);
    assert_eq!(kept(), "7 22");
}

#[tokio::test]
async fn another_database_is_another_issuer() {
    let Some(server) = Server::start().await else { return };
    let (ours, theirs) = (server.store().await, open(&format!("{}1", server.url())).await.unwrap());
    begin(&ours, "f", "c", NOW).await;
    assert_eq!(newest(&theirs, "f", NOW).await, None);
    revoke(&ours, "ours").await;
    // Each is told of its own; what comes later on the same connection shows that the other was not on it.
    revoke(&theirs, "theirs").await;
    let third = open(&format!("{}1", server.url())).await.unwrap();
    assert!(knows(&third, "theirs") && !knows(&third, "ours"));
    revoke(&third, "last").await;
    comes_to_know(&theirs, "last").await;
    assert!(!knows(&theirs, "ours"));
}

#[tokio::test]
async fn wrong_credentials_are_told_at_once_and_never_shown() {
    let with = |port: u16| ["--port", &port.to_string(), "--requirepass", "right-word"].map(str::to_owned).to_vec();
    let Some(server) = Server::start_with(Folder::new(), with).await else { return };
    let port = server.port;
    for (login, code) in [(":wrong-word@", "WRONGPASS"), ("someone:right-word@", "WRONGPASS"), ("", "NOAUTH")] {
        let error = open(&format!("redis://{login}127.0.0.1:{port}")).await.unwrap_err();
        let expected = format!("the redis of the issuer refuses the credentials of `redis_url`: `{code}`");
        assert_eq!(error.to_string(), expected, "{login}");
        assert!(!format!("{error:?}").contains("word"), "{error:?}");
    }
    let store = open(&format!("redis://:right-word@127.0.0.1:{port}")).await.unwrap();
    begin(&store, "f", "c", NOW).await;
    assert_eq!(newest(&store, "f", NOW).await, Some(true));
    assert!(!format!("{store:?}").contains("word") && !format!("{store:?}").contains("127.0.0.1"), "{store:?}");
}

#[tokio::test]
async fn urls_that_are_none_say_why_and_show_nothing() {
    let parts = "it is not `redis://user:password@host:port/database` with each part percent-encoded";
    for (url, reason) in [
        ("hidden", "it has no scheme"),
        ("http://hidden@example", "its scheme is neither `redis` nor `rediss`"),
        ("unix:///hidden", "its scheme is neither `redis` nor `rediss`"),
        ("rediss://:hidden@example/#insecure", "it has a fragment"),
        ("redis://:hidden@example:port", parts),
        ("redis://:hidden@example/database", parts),
        ("redis://", parts),
    ] {
        let error = open(url).await.unwrap_err();
        assert_eq!(error.to_string(), format!("`redis_url` cannot be read: {reason}"), "{url}");
        assert!(!format!("{error:?}").contains("hidden"), "{error:?}");
    }
}

/// The roots of the machine are read from where the environment says, so the part that trusts runs in a process of its own.
#[tokio::test]
async fn tls_is_verified() {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let (folder, authority) = (Folder::new(), params.self_signed(&key).unwrap().pem());
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap().pem();
    let (ca, cert, key) = (
        folder.write("ca.pem", authority),
        folder.write("cert.pem", leaf),
        folder.write("key.pem", key.serialize_pem()),
    );
    let with = |port: u16| {
        let [ca, cert, key] = [&ca, &cert, &key].map(|path| path.to_str().unwrap());
        let files = ["--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", ca];
        let port = port.to_string();
        let rest = ["--port", "0", "--tls-port", &port, "--tls-auth-clients", "no"];
        files.into_iter().chain(rest).map(str::to_owned).collect()
    };
    let Some(server) = Server::start_with(folder, with).await else { return };
    let url = format!("rediss://localhost:{}", server.port);
    // Unknown to this process, whether it has roots or not.
    match open(&url).await {
        Ok(store) => {
            let text = store.family_of(&token("x"), NOW).await.unwrap_err().to_string();
            assert_eq!(text, "the redis of the issuer cannot serve: the connection fails");
        }
        Err(error) => assert_eq!(
            error.to_string(),
            "the redis of the issuer cannot be reached over tls: this machine has no trust roots, and no `ca` is given"
        ),
    }
    let part = |url: &str| {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["store_redis::the_part_that_trusts", "--exact", "--ignored", "--nocapture"])
            .env("SSL_CERT_FILE", &ca)
            .env("TAGWARDEN_TEST_REDIS", url)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    };
    let got = part(&url);
    assert!(got.contains("rotated over tls"), "{got}");
    // The certificate is good, and of another name.
    let got = part(&format!("rediss://127.0.0.1:{}", server.port));
    assert!(got.contains("refused: the redis of the issuer cannot serve: the connection fails"), "{got}");
}

#[tokio::test]
#[ignore = "a part of `tls_is_verified`"]
async fn the_part_that_trusts() {
    let store = open(&std::env::var("TAGWARDEN_TEST_REDIS").unwrap()).await.unwrap();
    match store.begin(&family("f", "c", NOW), &token("f"), NOW).await {
        Ok(()) => {
            assert_eq!(rotate(&store, "f", "f-2", NOW).await, Rotation::Rotated(family("f", "c", NOW)));
            println!("rotated over tls");
        }
        Err(error) => println!("refused: {error}"),
    }
}
