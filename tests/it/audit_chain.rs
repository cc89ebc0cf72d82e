//! `audit verify` over what a sidecar really wrote: rotated, restarted, truncated, and with every kind of hand on it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tagwarden::audit::chain::{Hasher, Verifier};

use crate::support::client::{Raw, query};
use crate::support::process::{Process, run};
use crate::support::sidecar::{FINE, REFUSED, Setup, Sidecar, reader};
use crate::support::upstream::Upstream;
use crate::support::{Folder, until};

const KEYED: &str = "audit: {log: audit.jsonl, key_file: audit.key}";

/// With a key of the chain in its folder.
fn keyed(upstream: &Upstream) -> Setup {
    let setup = Setup::new(upstream);
    setup.folder.write("audit.key", "a key of more than sixteen bytes\n");
    setup.with(KEYED)
}

/// `audit verify`: exit code, what it said; the folder's name is left out.
fn verify(folder: &Folder, files: &[&str], more: &[&str]) -> (i32, String) {
    let mut arguments = vec![PathBuf::from("audit"), PathBuf::from("verify")];
    arguments.extend(files.iter().map(|name| folder.path(name)));
    arguments.extend(more.iter().map(|one| if *one == "audit.key" { folder.path(one) } else { PathBuf::from(one) }));
    let (code, out, said) = run(&arguments);
    assert!(out.is_empty() || said.is_empty(), "{out}{said}");
    (code, (out + &said).replace(&format!("{}/", folder.path("").to_str().unwrap().trim_end_matches('/')), ""))
}

fn lines(folder: &Folder, name: &str) -> usize {
    std::fs::read(folder.path(name)).unwrap_or_default().iter().filter(|byte| **byte == b'\n').count()
}

/// Queries without end on several connections, until told to stop.
struct Flow {
    stop: Arc<AtomicBool>,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Flow {
    fn start(sidecar: &Sidecar) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |body: &'static str| {
            let (at, stop, token) = (sidecar.data, Arc::clone(&stop), reader());
            tokio::spawn(async move {
                let mut raw = Raw::connect(at).await;
                while !stop.load(Ordering::Relaxed) {
                    raw.ask(query(&token, body)).await;
                }
            })
        };
        let clients = [FINE, REFUSED, FINE].map(client).into();
        Self { stop, clients }
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_log_rotated_by_name_while_requests_flow_is_one_chain() {
    let upstream = Upstream::start().await;
    let sidecar = keyed(&upstream).start().await;
    let flow = Flow::start(&sidecar);
    for rotated in ["audit.jsonl.2", "audit.jsonl.1"] {
        until("lines", async || (lines(&sidecar.setup.folder, "audit.jsonl") >= 20).then_some(())).await;
        let folder = &sidecar.setup.folder;
        std::fs::rename(folder.path("audit.jsonl"), folder.path(rotated)).unwrap();
    }
    until("lines", async || (lines(&sidecar.setup.folder, "audit.jsonl") >= 20).then_some(())).await;
    flow.stop().await;
    let (setup, whole) = sidecar.stop_keeping().await;
    assert!(whole);

    let folder = &setup.folder;
    let files = ["audit.jsonl.2", "audit.jsonl.1", "audit.jsonl"];
    let count: usize = files.iter().map(|name| lines(folder, name)).sum();
    let key = ["--key-file", "audit.key"];
    let (code, said) = verify(folder, &files, &key);
    assert_eq!(code, 0, "{said}");
    assert!(said.starts_with(&format!("{count} lines in 3 files, from the first line of all, head ")), "{said}");
    // Each by itself is good, and tells that it is not the beginning.
    let (code, said) = verify(folder, &files[1..2], &key);
    assert!(code == 0 && said.contains(" lines, after "), "{code} {said}");
    // In another order, or with one left out, it is not one log.
    let last = lines(folder, "audit.jsonl.2");
    let (code, said) = verify(folder, &[files[0], files[2]], &key);
    let gap = format!("audit.jsonl: between line {last} of `audit.jsonl.2` and line 1 something is missing or moved\n");
    assert_eq!((code, said), (1, gap));
    let (code, said) = verify(folder, &[files[1], files[0]], &key);
    let anew = "line 1 begins a chain of its own: when it was written, the log before it was not there\n";
    assert_eq!((code, said), (1, format!("audit.jsonl.2: {anew}")));
}

#[tokio::test]
async fn a_restart_goes_on_with_the_chain_and_tells_its_head_at_the_end() {
    let upstream = Upstream::start().await;
    let setup = keyed(&upstream);
    let config = setup.write();
    let mut heads = Vec::new();
    for _ in 0..3 {
        let mut process = Process::serve(&config, &[]).await;
        let mut raw = Raw::connect(process.data).await;
        for body in [FINE, REFUSED] {
            raw.ask(query(&reader(), body)).await;
        }
        drop(raw);
        process.terminate();
        assert_eq!(process.exit().await, 0);
        let line = until("the head", async || {
            process.log().lines().find(|line| line.contains("\"audit chain\"")).map(str::to_owned)
        })
        .await;
        let told: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(told["lines"], 2, "{line}");
        heads.push(told["head"].as_str().unwrap().to_owned());
    }
    let folder = &setup.folder;
    for head in &heads {
        let (code, said) = verify(folder, &["audit.jsonl"], &["--key-file", "audit.key", "--head", head]);
        assert_eq!((code, said), (0, format!("6 lines, from the first line of all, head {}\n", heads[2])));
    }
    // The configuration knows the key as well.
    let by_config = ["--config", config.to_str().unwrap()];
    assert_eq!(verify(folder, &["audit.jsonl"], &by_config).0, 0);
    // A last line that a crash cut is named, and the chain goes on behind the line before it.
    let text = folder.read("audit.jsonl");
    folder.write("audit.jsonl", &text[..text.len() - 40]);
    let sidecar = setup.start_from(&config).await;
    sidecar.query(&reader(), FINE).await;
    let (setup, _) = sidecar.stop_keeping().await;
    let (code, said) = verify(&setup.folder, &["audit.jsonl"], &["--key-file", "audit.key"]);
    assert_eq!((code, said.as_str()), (1, "audit.jsonl: line 6 is not a whole line of this log\n"));
    let kept: Vec<String> = setup.folder.read("audit.jsonl").lines().map(str::to_owned).collect();
    setup
        .folder
        .write("without", kept.iter().filter(|line| line.ends_with('}')).map(|l| format!("{l}\n")).collect::<String>());
    let (code, said) = verify(&setup.folder, &["without"], &["--key-file", "audit.key"]);
    assert!(code == 0 && said.starts_with("6 lines, "), "{code} {said}");
}

#[tokio::test]
async fn what_copytruncate_loses_shows_as_a_gap_with_its_place() {
    let upstream = Upstream::start().await;
    let sidecar = keyed(&upstream).start().await;
    let flow = Flow::start(&sidecar);
    let log = sidecar.setup.folder.path("audit.jsonl");
    let folder = &sidecar.setup.folder;
    until("lines", async || (lines(folder, "audit.jsonl") >= 20).then_some(())).await;
    // What a copy has while lines are added, up to the last whole one.
    let mut copy = std::fs::read(&log).unwrap();
    copy.truncate(copy.iter().rposition(|byte| *byte == b'\n').unwrap() + 1);
    let copied = copy.iter().filter(|byte| **byte == b'\n').count();
    folder.write("copy", copy);
    until("lines that nobody copies", async || (lines(folder, "audit.jsonl") > copied).then_some(())).await;
    std::fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(0).unwrap();
    until("lines", async || (lines(folder, "audit.jsonl") >= 20).then_some(())).await;
    flow.stop().await;
    let (setup, _) = sidecar.stop_keeping().await;

    let (folder, key) = (&setup.folder, ["--key-file", "audit.key"]);
    let (code, said) = verify(folder, &["copy", "audit.jsonl"], &key);
    let gap = format!("audit.jsonl: between line {copied} of `copy` and line 1 something is missing or moved\n");
    assert_eq!((code, said), (1, gap));
    for (name, begins) in [("copy", "from the first line of all"), ("audit.jsonl", "after ")] {
        let (code, said) = verify(folder, &[name], &key);
        assert!(code == 0 && said.contains(&format!("{} lines, {begins}", lines(folder, name))), "{name}: {said}");
    }
    // Put together as one file it has the gap at its line.
    let both = folder.read("copy") + &folder.read("audit.jsonl");
    folder.write("both", both);
    let (code, said) = verify(folder, &["both"], &key);
    let gap = format!("both: between line {copied} and line {} something is missing or moved\n", copied + 1);
    assert_eq!((code, said), (1, gap));
}

/// A log of six lines, its head in hex as the metric gives it, and its setup.
async fn six(setup: Setup) -> (Setup, Vec<String>, String) {
    let sidecar = setup.start().await;
    for body in [FINE, REFUSED, FINE, REFUSED, FINE, REFUSED] {
        sidecar.query(&reader(), body).await;
    }
    sidecar.until_metric("tagwarden_audit_lines_total", 6.0).await;
    let head = format!("{:012x}", sidecar.metric("tagwarden_audit_chain_head").await as u64);
    let (setup, _) = sidecar.stop_keeping().await;
    let lines: Vec<String> = setup.folder.read("audit.jsonl").lines().map(|line| format!("{line}\n")).collect();
    assert_eq!(lines.len(), 6);
    (setup, lines, head)
}

#[tokio::test]
async fn whatever_is_done_to_a_log_is_found_and_named_with_a_key_and_without() {
    let upstream = Upstream::start().await;
    for (setup, key) in
        [(keyed(&upstream), ["--key-file", "audit.key"].as_slice()), (Setup::new(&upstream), [].as_slice())]
    {
        let (setup, lines, head) = six(setup).await;
        let folder = &setup.folder;
        let found = |lines: &[&str], more: &[&str]| {
            folder.write("tampered", lines.concat());
            verify(folder, &["tampered"], &[key, more].concat())
        };
        let all: Vec<&str> = lines.iter().map(String::as_str).collect();
        let head = ["--head", head.as_str()];
        let (code, said) = found(&all, &head);
        assert!(code == 0 && said.starts_with("6 lines, from the first line of all, head "), "{said}");

        let changed = all[2].replacen("\"status\":200", "\"status\":201", 1);
        assert_ne!(changed, all[2]);
        let at = |line: &str, what: &str| line.find(what).unwrap();
        let swap = |line: &str, at: usize| {
            let mut bytes = line.as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
            String::from_utf8(bytes).unwrap()
        };
        let (prev, hash) = (swap(all[2], at(all[2], "\"prev\":\"") + 9), swap(all[2], at(all[2], "\"hash\":\"") + 9));
        let with = |at: usize, line: &'_ str| {
            let mut lines: Vec<String> = lines.clone();
            lines[at] = line.to_owned();
            lines
        };
        let without = |at: usize| all.iter().zip(0..).filter(|(_, n)| *n != at).map(|(l, _)| *l).collect::<Vec<&str>>();
        let gap =
            |before: usize| format!("between line {before} and line {} something is missing or moved", before + 1);
        let not_written = "line 3 is not what was written: its hash does not fit, under this key";
        for line in [&changed, &prev, &hash] {
            let lines = with(2, line);
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            assert_eq!(found(&lines, &[]), (1, format!("tampered: {not_written}\n")), "{line}");
        }
        let (twice, moved) = ([&all[..3], &all[2..]].concat(), [all[0], all[1], all[3], all[2], all[4], all[5]]);
        let again = [&all[..5], &all[1..2], &all[5..]].concat();
        for (lines, fault) in [
            (without(2), gap(2)),
            (without(4), gap(4)),
            (moved.to_vec(), gap(2)),
            (twice, "line 4 is the line before it once more".to_owned()),
            (again, gap(5)),
            ([&all[..3], &["\n"], &all[3..]].concat(), "line 4 is not a whole line of this log".to_owned()),
            ([&all[..5], &[&all[5][..all[5].len() - 9]]].concat(), "line 6 is not a whole line of this log".to_owned()),
            (vec![], "the log has no line".to_owned()),
        ] {
            assert_eq!(found(&lines, &[]), (1, format!("tampered: {fault}\n")), "{lines:?}");
        }
        // Whatever byte of it changes, in whatever way.
        let hasher = match key {
            [] => Hasher::Plain,
            _ => Hasher::keyed(folder.read("audit.key").as_bytes()),
        };
        let mut bytes = all.concat().into_bytes();
        let mut line = 1;
        for at in 0..bytes.len() {
            let byte = bytes[at];
            for bits in [0x01, 0x02, 0x20, 0x80] {
                bytes[at] = byte ^ bits;
                let mut verifier = Verifier::new(&hasher, None);
                let fault = verifier.read("log", bytes.as_slice()).map(|()| at).unwrap_err().to_string();
                assert!(fault.starts_with(&format!("line {line} is not ")), "byte {at} of line {line}: {fault}");
            }
            bytes[at] = byte;
            line += usize::from(byte == b'\n');
        }
        // A cut tail is a good log, until somebody remembers how far it had come; a cut beginning is told.
        assert_eq!(found(&all[..4], &[]).0, 0);
        let (code, said) = found(&all[..4], &head);
        let end = format!("… and {}… is nowhere in it: its tail is cut\n", head[1]);
        assert!(code == 1 && said.starts_with("tampered: the log ends with ") && said.ends_with(&end), "{said}");
        let (code, said) = found(&all[1..], &head);
        assert!(code == 0 && said.starts_with("5 lines, after "), "{code} {said}");
        // Under another key, or none, nothing fits.
        folder.write("other.key", "another key that is as long\n");
        let other = folder.path("other.key");
        let other = ["--key-file", other.to_str().unwrap()];
        let first = "audit.jsonl: line 1 is not what was written: its hash does not fit, under this key\n";
        assert_eq!(verify(folder, &["audit.jsonl"], &other), (1, first.to_owned()));
        assert_eq!(verify(folder, &["audit.jsonl"], &[]).0, i32::from(!key.is_empty()));
    }
}

#[test]
fn what_cannot_be_verified_is_said() {
    let folder = Folder::new();
    folder.write("empty", "");
    assert_eq!(verify(&folder, &["empty"], &[]), (1, "empty: the log has no line\n".to_owned()));
    let (code, said) = verify(&folder, &["nowhere"], &[]);
    assert!(code == 1 && said.starts_with("nowhere: the log cannot be read: "), "{code} {said}");
    for head in ["", "0123456789a", "not hexadecimal"] {
        let (code, said) = verify(&folder, &["empty"], &["--head", head]);
        assert!(code == 2 && said.contains("not 12 to 64 hexadecimal digits"), "{code} {said}");
    }
    assert_eq!(verify(&folder, &[], &[]).0, 2);
}
