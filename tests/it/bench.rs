//! The scripts of `tests/bench`, with small numbers: that they run and find what they look for. Their figures are no test's.

use std::process::Command;

use crate::support::repository;

#[test]
fn the_large_policy_is_written_checked_compared_and_reloaded() {
    let mut script = Command::new("python3");
    script.arg(repository("tests/bench/scale.py")).args(["--binary", env!("CARGO_BIN_EXE_tagwarden"), "--rounds", "1"]);
    script
        .args(["--features", "4000", "--files", "9", "--roles", "300", "--depth", "4"])
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let output = script.output().unwrap();
    let (out, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{out}{said}");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "4000 features in 9 files, 300 roles, lineage of depth 4");
    let begins = ["check ", "diff ", "diff, same ", "hot reload "];
    assert_eq!(lines.len(), 1 + begins.len(), "{out}");
    for (line, begin) in lines[1..].iter().zip(begins) {
        assert!(line.starts_with(begin) && line.contains(" MiB "), "{out}");
    }
    assert!(lines[3].contains("0 roles gain and 0 lose"), "{out}");
}
