//! The fuzz targets without a fuzzer: each takes its kept corpus, and changes of it that are the same each time. With the fuzzer:
//! `tests/fuzz/run`.

#[path = "../fuzz/bodies/mod.rs"]
mod bodies;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use crate::support::repository;

/// Changes of the corpus that each target takes; in the long run so many times more.
const CHANGES: usize = 1000;
const LONGER: usize = 20;

/// What a change of a byte alone would take long to find.
const WORDS: [&[u8]; 24] = [
    b"\0",
    b"{}",
    b"[]",
    b"\"\"",
    b"null",
    b"true",
    b"1e999",
    b"-0",
    b"\\u0000",
    b"\\ud800",
    b"\xef\xbb\xbf",
    b"%2f",
    b"%2e",
    b"/../",
    b"//",
    b";a",
    b"\r\n",
    b": ",
    b"- ",
    b"version: 1\n",
    b"*a",
    b"&a ",
    b"\xff\xff\xff\xff",
    b"customer:ssn",
];

/// Numbers that look random and are the same for the same start (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end.max(1) as u64).unwrap()
    }
}

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = repository("tests/fuzz/corpus").join(target);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

fn changed(dice: &mut Dice, inputs: &[(PathBuf, Vec<u8>)]) -> Vec<u8> {
    let mut input = inputs[dice.below(inputs.len())].1.clone();
    for _ in 0..=dice.below(4) {
        let at = dice.below(input.len() + 1);
        let end = (at + dice.below(16)).min(input.len());
        match dice.below(7) {
            0 if at < input.len() => input[at] ^= 1 << dice.below(8),
            1 if at < input.len() => input[at] = u8::try_from(dice.below(256)).unwrap(),
            2 => drop(input.splice(at..end, [])),
            3 => {
                let twice = input[at..end].to_vec();
                drop(input.splice(at..at, twice));
            }
            4 => {
                let other = &inputs[dice.below(inputs.len())].1;
                let from = dice.below(other.len() + 1);
                drop(input.splice(at.., other[from..].iter().copied()));
            }
            _ => drop(input.splice(at..at, WORDS[dice.below(WORDS.len())].iter().copied())),
        }
    }
    input
}

fn takes(run: bodies::Run, what: &str, input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| run(input))).is_err() {
        panic!("{what} was not taken: \"{}\"", input.escape_ascii());
    }
}

fn takes_corpus_and_changes(target: &str) {
    let run = bodies::ALL.iter().find(|(name, _)| *name == target).unwrap().1;
    let inputs = corpus(target);
    assert!(!inputs.is_empty());
    for (path, input) in &inputs {
        takes(run, &path.display().to_string(), input);
    }
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let longer = if std::env::var_os("TAGWARDEN_LONG").is_some() { LONGER } else { 1 };
    for number in 0..CHANGES * longer {
        let input = changed(&mut dice, &inputs);
        takes(run, &format!("change {number}"), &input);
    }
}

/// One test for each target, so that they run side by side.
macro_rules! targets {
    ($($target:ident)*) => {
        $(#[test]
        fn $target() {
            takes_corpus_and_changes(stringify!($target));
        })*

        const TESTED: &[&str] = &[$(stringify!($target)),*];
    };
}

targets! {
    calls configuration containers described described_requests expressions feast online paths policies resolver spans tables tokens
}

#[test]
fn every_target_is_built_and_tested_and_has_a_corpus() {
    let names = |folder: &str| -> BTreeSet<String> {
        let files = std::fs::read_dir(repository("tests/fuzz").join(folder)).unwrap();
        files.map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    };
    let all: BTreeSet<String> = bodies::ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(all.len(), bodies::ALL.len());
    assert_eq!(TESTED.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>(), all);
    assert_eq!((names("targets"), names("corpus")), (all.clone(), all.clone()));
    let manifest = std::fs::read_to_string(repository("tests/fuzz/Cargo.toml")).unwrap();
    let built = manifest.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    assert_eq!(built.skip(1).map(str::to_owned).collect::<BTreeSet<_>>(), all);
}

#[test]
fn what_a_target_does_not_take_is_told() {
    let told = catch_unwind(|| takes(|data| assert_ne!(data, b"\0bad"), "change 1", b"\0bad"));
    assert_eq!(told.unwrap_err().downcast_ref::<String>().unwrap(), "change 1 was not taken: \"\\x00bad\"");
}
