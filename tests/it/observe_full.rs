//! An audit log that does not keep up (config.md, `audit.on_full`): no line is lost, and nothing is answered unrecorded.

use std::io::{BufRead as _, BufReader};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::support::client::query;
use crate::support::sidecar::{REFUSED, Setup, Sidecar, reader};
use crate::support::until;
use crate::support::upstream::Upstream;

/// A sidecar whose audit log is a pipe, and what reads the pipe once it is told to.
async fn piped(on_full: &str) -> (Sidecar, impl FnOnce() -> Receiver<String>) {
    let upstream = Upstream::start().await;
    let setup = Setup::new(&upstream).with(&format!("audit: {{log: pipe, on_full: {on_full}}}"));
    let path = setup.folder.path("pipe");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    // Opening an end waits for the other, which the sidecar opens.
    let opening = std::thread::spawn(move || std::fs::File::open(path).unwrap());
    let sidecar = setup.start().await;
    let pipe = opening.join().unwrap();
    let read = move || {
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                sender.send(line).ok();
            }
        });
        lines
    };
    (sidecar, read)
}

#[tokio::test]
async fn a_full_log_refuses_requests_and_loses_no_line_of_those_that_were_answered() {
    let (sidecar, read) = piped("refuse").await;
    let (token, mut raw) = (reader(), sidecar.raw().await);
    let mut answered = 0;
    let overloaded = loop {
        let answer = raw.ask(query(&token, REFUSED)).await;
        match answer.status {
            403 => answered += 1,
            _ => break answer,
        }
    };
    assert_eq!(overloaded.fails(503, "OVERLOADED"), "Too many requests at once, try again");
    assert_eq!(overloaded.header("retry-after"), Some("1"));
    assert!(!overloaded.text().contains("ssn"));
    let lines = read();
    until("room in the log", async || {
        let again = raw.ask(query(&token, REFUSED)).await.status == 403;
        answered += usize::from(again);
        again.then_some(())
    })
    .await;
    drop(raw);
    assert!(sidecar.stop().await);
    assert_eq!(lines.iter().count(), answered);
}

#[tokio::test]
async fn a_full_log_holds_requests_up_and_loses_none() {
    let (sidecar, read) = piped("block").await;
    let (token, mut raw) = (reader(), sidecar.raw().await);
    let mut answered = 0;
    loop {
        raw.send(query(&token, REFUSED)).await;
        // Before that many it is a slow machine and no full log; whichever it is later: what was asked is answered below.
        let patience = Duration::from_millis(if answered > 1000 { 500 } else { 30_000 });
        match tokio::time::timeout(patience, raw.answer()).await {
            Ok(answer) => assert_eq!(answer.status, 403),
            Err(_) => break,
        }
        answered += 1;
    }
    let lines = read();
    assert_eq!(raw.answer().await.status, 403);
    drop(raw);
    assert!(sidecar.stop().await);
    assert_eq!(lines.iter().count(), answered + 1);
    assert!(answered > 1000, "{answered}: it was the machine");
}
