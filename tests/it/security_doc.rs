//! docs/security.md names tests that there are, each of the advisories has one, and none of `advisories` is missing there.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::support::repository;

fn page() -> String {
    std::fs::read_to_string(repository("docs/security.md")).unwrap()
}

/// The paths of modules between back ticks.
fn named(text: &str) -> BTreeSet<&str> {
    let plain = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:".contains(c));
    text.split('`').skip(1).step_by(2).filter(|word| word.contains("::")).filter(plain).collect()
}

/// Whether a file has a test of this name.
fn has(text: &str, test: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
    let declared = [format!("fn {test}("), format!("async fn {test}(")];
    lines.iter().enumerate().any(|(at, line)| {
        // Up to the attribute, which stands above a comment or other attributes.
        let above = lines[..at].iter().rev().take_while(|line| !line.is_empty() && !line.starts_with('}'));
        declared.iter().any(|declared| line.starts_with(declared))
            && above.take(6).any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
    })
}

/// Where the tests of a module stand: in a file of its name, or at the end of the file that it is of.
fn files(module: &str) -> Vec<PathBuf> {
    let path = module.replace("::", "/");
    let mut files = vec![format!("tests/it/{path}.rs"), format!("src/{path}.rs")];
    files.extend(path.strip_suffix("/tests").map(|of| format!("src/{of}.rs")));
    files.iter().map(|file| repository(file)).filter(|file| file.exists()).collect()
}

/// Why there is no such test.
fn fault(name: &str) -> Option<String> {
    let (module, test) = name.rsplit_once("::").unwrap();
    let files = files(module);
    let found = files.iter().any(|file| has(&std::fs::read_to_string(file).unwrap(), test));
    (!found).then(|| format!("`{name}`: no such test in {files:?}"))
}

#[test]
fn every_test_that_the_page_names_is_there() {
    let page = page();
    let names = named(&page);
    assert!(names.len() > 100, "{}", names.len());
    let faults: Vec<String> = names.iter().filter_map(|name| fault(name)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The rows of a table, of which the first cell is a number.
fn rows(section: &str) -> Vec<(usize, String)> {
    let page = page();
    let (_, rest) = page.split_once(&format!("\n## {section}\n")).unwrap();
    let text = rest.split_once("\n## ").map_or(rest, |(section, _)| section);
    let numbers = |cell: &str| cell.split(", ").map(|n| n.trim().parse().ok()).collect::<Option<Vec<usize>>>();
    let row = |line: &str| Some((numbers(line.strip_prefix("| ")?.split(" |").next()?)?, line.to_owned()));
    text.lines().filter_map(row).flat_map(|(all, line)| all.into_iter().map(move |n| (n, line.clone()))).collect()
}

#[test]
fn each_of_the_advisories_has_a_test_that_was_seen_to_fail() {
    let advisories = rows("Advisories of this class of product");
    let numbers: Vec<usize> = advisories.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=23).collect::<Vec<_>>());
    for (number, row) in &advisories {
        let test = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        assert!(!named(test).is_empty(), "{number}");
    }
    let checked = rows("Checked by taking the defence out");
    for (number, row) in &checked {
        let (_, advisory) = &advisories[number - 1];
        assert!(named(row).is_subset(&named(advisory)) && !named(row).is_empty(), "{row}");
    }
    let checked: BTreeSet<usize> = checked.into_iter().map(|(number, _)| number).collect();
    assert!(checked.iter().eq(&numbers), "{checked:?}");
}

#[test]
fn every_attack_on_tokens_has_a_test() {
    let page = page();
    let (_, rest) = page.split_once("\n## Attacks on tokens\n").unwrap();
    let rows: Vec<&str> = rest.split_once("\n## ").unwrap().0.lines().filter(|line| line.starts_with("| ")).collect();
    assert!(rows.len() > 30, "{}", rows.len());
    assert!(rows.iter().skip(1).all(|row| !named(row).is_empty()));
}

/// The rows of a section, each by its first cell.
fn cells(section: &str) -> Vec<(String, String)> {
    let page = page();
    let (_, rest) = page.split_once(&format!("\n## {section}\n")).unwrap();
    let text = rest.split_once("\n## ").map_or(rest, |(section, _)| section);
    let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
    rows.skip(1).map(|(first, rest)| (first.to_owned(), rest.to_owned())).collect()
}

#[test]
fn every_limit_of_the_configuration_has_a_test() {
    let (code, schema, _) = crate::support::process::run(["schema", "config"]);
    assert_eq!(code, 0);
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    // Limits have a schema of their own, which has `inflight` as no other has.
    let all = schema["$defs"].as_object().unwrap().values().filter_map(|one| one["properties"].as_object());
    let limits = all.into_iter().find(|properties| properties.contains_key("inflight")).unwrap();
    assert!(limits.len() >= 10, "{limits:?}");
    let rows = cells("Limits");
    for limit in limits.keys() {
        let row = rows.iter().find(|(first, _)| *first == format!("`{limit}`"));
        assert!(row.is_some_and(|(_, rest)| !named(rest).is_empty()), "{limit}");
    }
    for (first, rest) in rows.into_iter().chain(cells("TLS, the upstream, files and clocks, and the end")) {
        assert!(!named(&rest).is_empty(), "{first}");
    }
}

#[test]
fn no_test_of_an_advisory_is_missing_on_the_page() {
    let page = page();
    for module in ["paths", "claims", "wire"] {
        let text = std::fs::read_to_string(repository(&format!("tests/it/advisories/{module}.rs"))).unwrap();
        let tests =
            text.lines().filter_map(|line| line.trim_start_matches("async ").strip_prefix("fn")?.split('(').next());
        let tests: Vec<&str> = tests.map(str::trim).filter(|test| has(&text, test)).collect();
        assert!(tests.len() > 5, "{tests:?}");
        for test in tests {
            assert!(page.contains(&format!("`advisories::{module}::{test}`")), "{module}::{test}");
        }
    }
}

#[test]
fn these_tests_can_fail() {
    let text = "#[test]\nfn a() {\n}\n\nfn b() {}\n\n#[tokio::test]\n#[ignore]\nasync fn c() {\n}\n";
    assert_eq!(["a", "b", "c", "d"].map(|test| has(text, test)), [true, false, true, false]);
    assert!(fault("proxy_way::no_such_test").is_some());
    assert!(fault("nowhere::at_all").is_some() && fault("config::units::tests::only_plain_paths_are_routes").is_none());
    assert_eq!(named("`a::b` and `a`, `A::b`, `c::d::e1`"), BTreeSet::from(["a::b", "c::d::e1"]));
}
