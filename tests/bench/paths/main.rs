//! What the parts of a request's way cost, each by itself: reading, deciding, filtering, tokens.
//!
//! ```text
//! cargo bench --bench paths                 times, by criterion
//! cargo test --bench paths                  each case once, in the profile of the tests: that they run
//! cargo bench --bench paths -- --list-cases   the names of all cases, one a line
//! cargo bench --bench paths -- --count NAME   runs a case once, for callgrind: its instructions are those within `counted`
//! cargo bench --bench paths -- --memory       what remembered tokens take of memory, and forged ones; on Linux
//! ```
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark that is not set up ends")]

mod answers;
mod decisions;
mod requests;
mod tokens;

use std::collections::BTreeSet;

use criterion::{Criterion, Throughput};

/// One thing that is measured.
pub struct Case {
    /// `part/what`, without spaces.
    pub name: String,
    /// Bytes that it goes through, where that is what it costs by; else 0.
    pub bytes: u64,
    /// Once.
    pub run: Box<dyn FnMut()>,
}

impl Case {
    /// A case that is not measured by bytes.
    pub fn new(name: impl Into<String>, run: impl FnMut() + 'static) -> Self {
        Self { name: name.into(), bytes: 0, run: Box::new(run) }
    }

    /// One that goes through so many bytes.
    pub fn of_bytes(name: impl Into<String>, bytes: usize, run: impl FnMut() + 'static) -> Self {
        Self { name: name.into(), bytes: u64::try_from(bytes).unwrap(), run: Box::new(run) }
    }
}

fn cases() -> Vec<Case> {
    [answers::cases(), decisions::cases(), requests::cases(), tokens::cases()].into_iter().flatten().collect()
}

/// What callgrind counts: `--toggle-collect='*paths::counted*'`, as tests/bench/counts says.
#[inline(never)]
fn counted(run: &mut dyn FnMut()) {
    run();
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let after = |flag: &str| arguments.iter().position(|argument| argument == flag).map(|at| at + 1);
    if after("--list-cases").is_some() {
        for case in cases() {
            println!("{}", case.name);
        }
    } else if after("--memory").is_some() {
        tokens::memory();
    } else if let Some(name) = after("--count").and_then(|at| arguments.get(at)) {
        let mut case = cases().into_iter().find(|case| case.name == *name).expect("no case has this name");
        // Caches are filled, lazy parts made.
        for _ in 0..3 {
            (case.run)();
        }
        counted(&mut case.run);
    } else if after("--bench").is_none() {
        // `cargo bench` says that it is one. The closing line is that of a test, which tests/run adds up.
        let (mut names, mut passed) = (BTreeSet::new(), 0);
        for mut case in cases() {
            assert!(
                case.name.split_once('/').is_some_and(|(part, what)| !part.is_empty() && !what.is_empty()),
                "`{}`",
                case.name
            );
            assert!(!case.name.contains(char::is_whitespace), "`{}`", case.name);
            assert!(names.insert(case.name.clone()), "two cases have the name `{}`", case.name);
            (case.run)();
            passed += 1;
        }
        println!("test result: ok. {passed} passed; 0 failed");
    } else {
        let mut criterion = Criterion::default().configure_from_args();
        for mut case in cases() {
            let (part, what) = case.name.split_once('/').unwrap();
            let mut group = criterion.benchmark_group(part);
            if case.bytes > 0 {
                group.throughput(Throughput::Bytes(case.bytes));
            }
            group.bench_function(what, |bencher| bencher.iter(|| (case.run)()));
        }
        criterion.final_summary();
    }
}
