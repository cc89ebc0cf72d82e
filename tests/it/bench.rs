//! The scripts of `tests/bench`, with small numbers: that they run and find what they look for. Their figures are no test's.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::support::{Folder, repository};

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

/// A script of `tests/bench` with this build; the folder is for what it writes.
fn bench(script: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new("python3");
    command
        .arg(repository("tests/bench").join(script))
        .args(["--binary", env!("CARGO_BIN_EXE_tagwarden")])
        .args(arguments);
    let output = command.env("PYTHONDONTWRITEBYTECODE", "1").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// The cells of a row of a Markdown table.
fn row<'t>(table: &'t str, begin: &str) -> Vec<&'t str> {
    let line = table
        .lines()
        .find(|line| line.starts_with(&format!("| {begin} |")))
        .unwrap_or_else(|| panic!("no row {begin}: {table}"));
    line.trim_matches('|').split('|').map(str::trim).collect()
}

#[test]
fn the_comparison_checks_every_peer_and_measures_them_beside_each_other() {
    let folder = Folder::new();
    let file = folder.path("table.md");
    let small = ["--stand-alone", "--cells", "feast:small:4", "--rounds", "1", "--duration", "1", "--tokens", "8"];
    let (code, out, said) = bench("compare", &[&small[..], &["--md", file.to_str().unwrap()]].concat());
    assert_eq!(code, Some(0), "{out}{said}");
    assert!(said.ends_with("every check holds: nginx, haproxy, haproxy-again, tagwarden\n"), "{said}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), out);
    for about in [
        "- command: tests/bench/compare --binary ",
        "- date: 20",
        "- machine: ",
        "- versions: nginx 1.",
        "- rounds: 1 of 1 s, 8 tokens",
    ] {
        assert!(out.lines().any(|line| line.starts_with(about)), "{about}: {out}");
    }
    assert!(out.contains("**Feast, 1 x 10 (1,165 bytes), 4 connections**"), "{out}");
    for peer in ["nginx", "haproxy", "haproxy-again", "tagwarden"] {
        let cells = row(&out, peer);
        assert!(
            cells.len() == 11 && cells[1].parse::<f64>().unwrap() > 0.0 && cells[9].parse::<f64>().unwrap() > 1.0,
            "{out}"
        );
        assert_eq!(cells[10], "0", "lost: {out}");
    }
    assert_eq!(row(&out, "haproxy")[3], "1.00");
}

/// Every dialect and size, and a build that gives out what it must not.
#[test]
fn the_comparison_finds_a_peer_that_answers_what_is_not_due() {
    let folder = Folder::new();
    let loose = folder.path("loose");
    let opened = r#"sed -i 's/"tags": \["pii"\]/"tags": ["public"]/g' policy.yaml"#;
    std::fs::write(&loose, format!("#!/bin/sh\n{opened}\nexec '{}' \"$@\"\n", env!("CARGO_BIN_EXE_tagwarden")))
        .unwrap();
    std::fs::set_permissions(&loose, std::fs::Permissions::from_mode(0o755)).unwrap();
    let checked = [
        "--stand-alone",
        "--check-only",
        "--tokens",
        "2",
        "--peers",
        "haproxy,nginx-lua,tagwarden,old",
        "--old",
        loose.to_str().unwrap(),
    ];
    let (code, out, said) =
        bench("compare", &[&checked[..], &["--cells", "feast:small:1,feast:large:1,chalk:small:1"]].concat());
    assert_eq!(code, Some(1), "{out}{said}");
    let due = |kind: &str| format!("fault: old: {kind}: a reader gets another answer than is due");
    let faults: Vec<&str> = said.lines().collect();
    assert_eq!(faults, [due("chalk small"), due("feast large"), due("feast small")], "{out}");
}

#[test]
fn what_a_request_costs_is_measured_by_features_roles_and_tokens() {
    let parts = ["--only", "features", "--only", "roles", "--only", "tokens", "--only", "sizes"];
    let small = ["--rounds", "1", "--duration", "1", "--most", "1000", "--roles", "3"];
    let (code, out, said) = bench("flat.py", &[&parts[..], &small].concat());
    assert_eq!(code, Some(0), "{out}{said}");
    for point in ["10 features", "1,000 features", "1 role", "3 roles", "1 token", "1,000 tokens"] {
        let cells = row(&out, point);
        let numbers: Vec<f64> = [1, 3, 4, 5].iter().map(|at| cells[*at].parse().unwrap()).collect();
        assert!(cells.len() == 6 && numbers.iter().all(|number| *number > 0.0), "{out}");
    }
    let sizes =
        ["50 features: their files, bytes", "the audit line of a query of 10 features, bytes", "`/metrics`: series"];
    for what in sizes {
        assert!(row(&out, what)[1].replace(',', "").parse::<u32>().unwrap() > 100, "{out}");
    }
}

#[test]
fn what_a_reload_does_to_callers_is_measured_and_too_much_of_it_fails() {
    let small = ["--only", "reload", "--most", "1000", "--reloads", "1", "--before", "1"];
    let (code, out, said) = bench("flat.py", &[&small[..], &["--times", "0.0001"]].concat());
    let times = said.strip_prefix("flat: p99 is ").unwrap_or_else(|| panic!("{out}{said}"));
    let (times, rest) = times.split_once(' ').unwrap();
    assert_eq!((code, rest), (Some(1), "times as long during a reload, and may be 0.0001 times\n"), "{out}");
    let cells = row(&out, "1");
    let numbers: Vec<f64> = cells[1..8].iter().map(|cell| cell.parse().unwrap()).collect();
    assert!(cells.len() == 9 && numbers.iter().all(|number| *number > 0.0), "{out}");
    let due =
        format!(" requests in all, 0 lost; 1,000 features. p99 during a reload is {times} times that before it.\n");
    assert!(out.contains(&due), "{out}");
}

/// Valgrind and the benchmark are stood in for: what is built and counted there takes minutes.
#[test]
fn counts_are_compared_and_what_grew_is_named() {
    let folder = Folder::new();
    let script = |name: &str, text: &str| {
        let path = folder.path(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    };
    // It is given options, the benchmark, `--count` and a name.
    script(
        "valgrind",
        r#"while [ "$1" != --count ]; do file=$1; shift; done; n=$(sed -n "s|^# $2 ||p" "$file"); echo "==1== Collected : $n" >&2"#,
    );
    let list = |cases: &[(&str, u32)]| {
        let (names, counts): (Vec<_>, Vec<_>) = cases.iter().map(|(n, count)| (*n, format!("# {n} {count}"))).unzip();
        format!("{}\necho {}", counts.join("\n"), names.join(" "))
    };
    let old = script("old", &list(&[("a/same", 1000), ("a/more", 1000), ("a/grown", 1000), ("b/gone", 7)]));
    let new = script("new", &list(&[("a/same", 1000), ("a/more", 1099), ("a/grown", 1101), ("c/new", 5)]));
    let run = |arguments: &[&str]| {
        let path = format!("{}:{}", folder.path("").display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("python3");
        command.arg(repository("tests/bench/counts")).arg("--binary").arg(&new).args(arguments).env("PATH", path);
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let words =
        |out: &str| out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>();
    let (code, out, said) = run(&[]);
    assert_eq!(
        (code, words(&out)),
        (Some(0), ["a/same 1000", "a/more 1099", "a/grown 1101", "c/new 5"].map(str::to_owned).into()),
        "{said}"
    );
    let before = old.to_str().unwrap();
    let (code, out, said) = run(&["--old-binary", before]);
    let all = [
        "before now",
        "a/same 1000 1000 +0.0 %",
        "a/more 1000 1099 +9.9 %",
        "a/grown 1000 1101 +10.1 %",
        "c/new 5 new",
        "b/gone 7 gone",
    ];
    assert_eq!((code, words(&out)), (Some(1), all.map(str::to_owned).into()), "{said}");
    assert_eq!(said, "grown by more than 10 %: a/grown\n");
    let (code, out, said) = run(&["--old-binary", before, "--only", "a/", "--limit", "11"]);
    assert_eq!((code, words(&out)), (Some(0), all[..4].iter().map(|line| (*line).to_owned()).collect()), "{said}");
    // A case that is not counted is no case of 0.
    script("valgrind", "echo '==1== Collected : 0' >&2");
    let (code, _, said) = run(&["--only", "a/same"]);
    assert!(code == Some(1) && said.starts_with("a/same is not counted: "), "{said}");
}
