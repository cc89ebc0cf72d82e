//! The worst that can become of a policy file (config.md: a reload that fails keeps what was there and shows): emptied, shrunk,
//! not to be read, written in pieces, swapped while it is read; and keys that vanish. What is refused stays refused throughout.

use std::io::Write as _;
use std::os::unix::fs::symlink;

use crate::reload_files::mount;
use crate::support::client::{Raw, query};
use crate::support::sidecar::{FINE, POLICY, REFUSED, Setup, Sidecar, reader};
use crate::support::tokens::{KEY, Key};
use crate::support::until;
use crate::support::upstream::{Act, Upstream};

/// So many roles, bindings and tagged features besides those that the queries are about.
fn wide(count: usize) -> String {
    let (roles, rest) = POLICY.split_once("bindings:\n").unwrap();
    let (bindings, rest) = rest.split_once("features:\n").unwrap();
    let (features, bundles) = rest.split_once("bundles:\n").unwrap();
    let many = |line: &dyn Fn(usize) -> String| (0..count).map(line).collect::<String>();
    format!(
        "{roles}{}bindings:\n{bindings}{}features:\n{features}{}bundles:\n{bundles}",
        many(&|n| format!("  r{n}: {{tags: {{pii: Deny}}}}\n")),
        many(&|n| format!("  - {{roles: [r{n}], when: {{groups: g{n}}}}}\n")),
        many(&|n| format!("  wide:f{n}: {{tags: [pii], joins: [customer_id]}}\n")),
    )
}

async fn holds(sidecar: &Sidecar) {
    assert_eq!(sidecar.query(&reader(), FINE).await.status, 200);
    sidecar.query(&reader(), REFUSED).await.fails(403, "FEATURES_REFUSED");
}

#[tokio::test]
async fn a_policy_that_loses_nine_tenths_waits_for_allow_shrink() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).policy(&wide(97)).start().await;
    let good = sidecar.live.states().policy.digest.clone();
    // Of a hundred each; less than half of them may go.
    for (kept, told) in [(7, Some("has 10 roles where 100 are served")), (47, Some("has 50 roles")), (48, None)] {
        sidecar.setup.folder.write("policy.yaml", wide(kept));
        match told {
            Some(told) => {
                let said = sidecar.until_state("policy", told).await;
                assert!(said.ends_with("set `allow_shrink` if that is meant"), "{said}");
                assert_eq!(sidecar.live.states().policy.digest, good);
            }
            None => {
                sidecar.until_state("policy", "ok").await;
                assert_ne!(sidecar.live.states().policy.digest, good);
            }
        }
        holds(&sidecar).await;
    }
    // What is served now is what the next one is compared with.
    sidecar.setup.folder.write("policy.yaml", wide(7));
    sidecar.until_state("policy", "has 10 roles where 51 are served").await;
    // What is meant is said, and taken.
    let text = sidecar.setup.text() + "allow_shrink: true\n";
    sidecar.setup.folder.write("tagwarden.yaml", text);
    sidecar.until_state("policy", "ok").await;
    holds(&sidecar).await;
}

#[tokio::test]
async fn a_policy_that_cannot_be_read_keeps_the_last_good_one() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    let (path, folder) = (sidecar.setup.folder.path("policy.yaml"), &sidecar.setup.folder);
    let remove = || {
        std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir_all(&path)).unwrap();
    };
    // A link to nothing, one to itself, a pipe, an empty folder, a file that is too large. Who may read everything reads
    // what has no permission, too, so that is not among them.
    remove();
    symlink("nowhere.yaml", &path).unwrap();
    sidecar.until_state("policy", "does not exist, or is a link to what does not").await;
    holds(&sidecar).await;
    remove();
    symlink("policy.yaml", &path).unwrap();
    sidecar.until_state("policy", "is a link that leads in a circle").await;
    holds(&sidecar).await;
    remove();
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    sidecar.until_state("policy", "is neither a file nor a folder").await;
    holds(&sidecar).await;
    remove();
    std::fs::create_dir(&path).unwrap();
    sidecar.until_state("policy", "has no file that ends in").await;
    holds(&sidecar).await;
    remove();
    let large = std::fs::File::create(&path).unwrap();
    large.set_len((64 << 20) + 1).unwrap();
    sidecar.until_state("policy", "is larger than 64 MiB").await;
    holds(&sidecar).await;
    remove();
    folder.write("policy.yaml", POLICY.replace("pii: Deny", "pii: Allow"));
    sidecar.until_status(&reader(), REFUSED, 200).await;
    sidecar.until_state("policy", "ok").await;
}

/// Written in place, so that whoever looks in between sees a part of it. Wherever it is cut, nothing is given that neither the
/// whole one nor the one before gives.
#[tokio::test]
async fn a_policy_that_is_written_in_pieces_opens_nothing() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::start(&upstream).await;
    let path = sidecar.setup.folder.path("policy.yaml");
    let text = format!("{POLICY}# the end\n");
    let (token, mut raw) = (reader(), Raw::connect(sidecar.data).await);
    let mut refused = 0;
    for at in (0..text.len()).step_by(37).chain([text.len() - 1]) {
        std::fs::write(&path, &text[..at]).unwrap();
        // A reload of it is done, whatever came of it.
        let before = reloads(&sidecar).await;
        until("a look at it", async || {
            let moved = reloads(&sidecar).await != before || sidecar.live.states().policy.stale.is_some();
            raw.ask(query(&token, REFUSED)).await.fails(403, "FEATURES_REFUSED");
            refused += 1;
            moved.then_some(())
        })
        .await;
        raw.ask(query(&token, REFUSED)).await.fails(403, "FEATURES_REFUSED");
    }
    std::fs::write(&path, &text).unwrap();
    sidecar.until_state("policy", "ok").await;
    holds(&sidecar).await;
    assert!(refused > 20, "{refused}");
}

async fn reloads(sidecar: &Sidecar) -> f64 {
    let text = sidecar.metrics().await;
    let all = text.lines().filter(|line| line.starts_with("tagwarden_reloads_total{kind=\"policy\""));
    all.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

/// In small writes, one soon after the other, as `cp` and editors do: it is read when it is quiet.
#[tokio::test]
async fn a_policy_that_is_written_slowly_is_read_when_it_is_whole() {
    let upstream = Upstream::start().await;
    let setup = Setup::new(&upstream);
    // As in production: a tenth of a second of quiet.
    let mut sidecar = crate::support::process::Process::serve(&setup.write(), &[]).await;
    let ask = async |body| crate::support::client::ask(sidecar.data, query(&reader(), body)).await.status;
    let failures = || sidecar.log().matches("a reload failed").count();
    // A machine that was busy left more than the quiet between two writes: written again.
    for _ in 0..50 {
        let (open, before) = (ask(REFUSED).await == 200, failures());
        let text = if open { POLICY.to_owned() } else { POLICY.replace("pii: Deny", "pii: Allow") };
        let mut file = std::fs::File::create(setup.folder.path("policy.yaml")).unwrap();
        let (mut last, mut longest) = (std::time::Instant::now(), std::time::Duration::ZERO);
        for piece in text.as_bytes().chunks(100) {
            file.write_all(piece).unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            longest = longest.max(last.elapsed());
            last = std::time::Instant::now();
        }
        drop(file);
        let status = if open { 403 } else { 200 };
        until("the new policy", async || (ask(REFUSED).await == status).then_some(())).await;
        if longest < std::time::Duration::from_millis(50) {
            assert_eq!(failures(), before, "{}", sidecar.log());
            sidecar.terminate();
            assert_eq!(sidecar.exit().await, 0);
            return;
        }
    }
    panic!("never written without a pause");
}

/// A policy in two files of which each generation names the tag anew: half of one and half of another would refuse nothing.
#[tokio::test]
async fn swaps_while_a_policy_is_read_never_mix_two_of_them() {
    let upstream = Upstream::start().await;
    let mut setup = Setup::new(&upstream);
    let mounted = setup.folder.path("mounted");
    let (roles, features) = POLICY.split_once("features:\n").unwrap();
    let generation = |number: usize| {
        let tag = format!("pii{number}");
        let second = format!("version: 1\nfeatures:\n{features}").replace("[pii]", &format!("[{tag}]"));
        [("a.yaml", roles.replace("pii:", &format!("{tag}:"))), ("b.yaml", second)]
    };
    mount(&mounted, "0", &generation(0));
    setup.policies = "mounted".to_owned();
    let sidecar = setup.start().await;
    holds(&sidecar).await;
    let (token, mut raw) = (reader(), Raw::connect(sidecar.data).await);
    let mut before = reloads(&sidecar).await;
    for number in 1..200 {
        mount(&mounted, &number.to_string(), &generation(number));
        raw.ask(query(&token, REFUSED)).await.fails(403, "FEATURES_REFUSED");
        if number % 10 == 0 {
            // Without an end of them there would be no quiet, and no reload.
            before = until("a reload", async || Some(reloads(&sidecar).await).filter(|now| *now > before)).await;
        } else {
            // About as long as the quiet: some begin to be read when the next one comes.
            tokio::time::sleep(std::time::Duration::from_millis(number as u64 % 8)).await;
        }
    }
    let last = generation(200);
    let opens = last.clone().map(|(name, text)| (name, text.replace("pii200: Deny", "pii200: Allow")));
    mount(&mounted, "200", &last);
    // The last one is in force in the end, and no look at any of them failed for good.
    sidecar.until_state("policy", "ok").await;
    raw.ask(query(&token, REFUSED)).await.fails(403, "FEATURES_REFUSED");
    mount(&mounted, "201", &opens);
    sidecar.until_status(&token, REFUSED, 200).await;
    let failed = sidecar.metric("tagwarden_reloads_total{kind=\"policy\",result=\"failed\"}").await;
    let done = sidecar.metric("tagwarden_reloads_total{kind=\"policy\",result=\"ok\"}").await;
    assert!(done >= 2.0, "{done} and {failed}");
}

/// The provider goes, comes back with an empty set, with none, with half of one: its keys were good, and are kept.
#[tokio::test]
async fn keys_that_vanish_are_kept_over_an_outage_and_nothing_passes_without_any() {
    let (upstream, provider) = (Upstream::start().await, Upstream::always(Act::json("200 OK", KEY.set())).await);
    let mut setup = Setup::new(&upstream);
    setup.keys = format!("{{jwks_url: \"{}/jwks\"}}", provider.url);
    let sidecar = setup.start().await;
    sidecar.until_status(&reader(), FINE, 200).await;
    let stranger = Key::new("k9");
    for act in [
        Act::Close,
        Act::json("200 OK", r#"{"keys":[]}"#),
        Act::json("200 OK", "{}"),
        Act::json("404 Not Found", "{}"),
        Act::BytesThenReset(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"keys\":[".to_vec()),
    ] {
        provider.turns_to(act);
        // A key that nobody knows makes it ask; whether it may ask so soon again does not matter.
        let status = sidecar.query(&stranger.token(&["readers"]), FINE).await.status;
        assert!(status == 401 || status == 503, "{status}");
        holds(&sidecar).await;
        assert_eq!(sidecar.ready().await.0, 200);
    }
    // At the start there are none to be kept: nothing passes, and it is ours to mend.
    let upstream = Upstream::start().await;
    for act in [Act::Close, Act::json("200 OK", r#"{"keys":[]}"#)] {
        provider.turns_to(act);
        let mut setup = Setup::new(&upstream);
        setup.keys = format!("{{jwks_url: \"{}/jwks\"}}", provider.url);
        let sidecar = setup.start().await;
        sidecar.query(&reader(), FINE).await.fails(503, "KEYS_UNAVAILABLE");
        assert_eq!(sidecar.ready().await.0, 503);
    }
    assert_eq!(upstream.count(), 0);
}
