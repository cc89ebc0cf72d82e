//! Mistakes and what is said of them, word for word: `tests/golden/check/<mistake>.yaml`, or a folder of that name, and
//! beside it `<mistake>.stderr`.
//!
//! A file is a policy; one whose name begins with `config-` is a configuration, and one with `clients-` is read as the issuer's
//! clients, one with `dialect-` as the description of a server, without a command. In a folder, `policy.yaml`, else
//! `policies/`, else the whole is the policy; `catalogue.yaml` lies below it, `old.yaml` is the policy before,
//! `tagwarden.yaml` a configuration to begin with; with `tests/`, policy tests are read. `TAGWARDEN_BLESS=1` writes what
//! is said now.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use tagwarden::diagnostic::{Code, Severity, SourceFile};
use tagwarden::dialect::json;
use tagwarden::issuer::clients;

use crate::support::{process, repository};

/// Codes that no golden file can show, and why.
const WITHOUT: &[(Code, &str)] = &[(Code::TooManyRoles, "it takes 65,536 roles: policy_files.rs makes them")];

/// In the place of a command: clients.yaml is read.
const CLIENTS: &str = "(clients)";
/// Likewise the description of a server.
const DIALECT: &str = "(dialect)";

/// What is said of a mistake.
struct Case {
    name: String,
    arguments: Vec<String>,
}

fn folder() -> PathBuf {
    repository("tests/golden/check")
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        let (name, arguments) = match file.strip_suffix(".yaml") {
            Some(name) if name.starts_with("config-") => {
                (name.to_owned(), vec!["check".into(), "--config".into(), file])
            }
            Some(name) if name.starts_with("clients-") => (name.to_owned(), vec![CLIENTS.into(), file]),
            Some(name) if name.starts_with("dialect-") => (name.to_owned(), vec![DIALECT.into(), file]),
            Some(name) => (name.to_owned(), vec!["check".into(), "--policies".into(), file]),
            None if path.is_dir() => (file.clone(), of_folder(&path, &file)),
            None => continue,
        };
        cases.push(Case { name, arguments });
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

fn of_folder(path: &Path, name: &str) -> Vec<String> {
    let has = |part: &str| path.join(part).exists().then(|| format!("{name}/{part}"));
    let mut arguments = match (has("tests"), has("tagwarden.yaml")) {
        (Some(tests), _) => vec!["test".to_owned(), tests],
        (None, Some(config)) => vec!["check".to_owned(), "--config".to_owned(), config],
        (None, None) => vec!["check".to_owned()],
    };
    if has("tagwarden.yaml").is_none() {
        let policy = has("policy.yaml").or_else(|| has("policies")).unwrap_or_else(|| name.to_owned());
        arguments.extend(["--policies".to_owned(), policy]);
        arguments.extend(has("catalogue.yaml").into_iter().flat_map(|file| ["--catalogue".to_owned(), file]));
    }
    arguments.extend(has("old.yaml").into_iter().flat_map(|file| ["--against".to_owned(), file]));
    arguments
}

impl Case {
    /// Exit code, standard output, standard error; run where the names of files are the same on every machine.
    fn run(&self, more: &[&str]) -> (i32, String, String) {
        if let [what @ (CLIENTS | DIALECT), name] = self.arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            let text = std::fs::read_to_string(folder().join(name)).unwrap();
            let source = Arc::new(SourceFile { name: name.to_owned(), text });
            let (read, report) = match what {
                CLIENTS => {
                    let (read, report) = clients::read(&source);
                    (read.is_some(), report)
                }
                _ => {
                    let (read, report) = json::load(&source);
                    (read.is_some(), report)
                }
            };
            return (if read { 0 } else { 3 }, String::new(), format!("{report}\n"));
        }
        let mut command = process::command(self.arguments.iter().map(String::as_str).chain(more.iter().copied()));
        let output = command.current_dir(folder()).env_remove("TAGWARDEN_GOLDEN").output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    fn golden(&self) -> PathBuf {
        folder().join(format!("{}.stderr", self.name))
    }

    fn findings(&self) -> Vec<Finding> {
        let text = std::fs::read_to_string(self.golden()).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        text.lines().filter_map(Finding::read).collect()
    }
}

/// The first line of a finding.
#[derive(Debug, PartialEq)]
struct Finding {
    place: (String, u32, u32),
    severity: String,
    code: String,
    message: String,
}

impl Finding {
    fn read(line: &str) -> Option<Self> {
        let mut parts = line.splitn(4, ':');
        let (file, line, column) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let (head, message) = parts.next()?.split_once("]: ")?;
        let (severity, code) = head.trim_start().split_once('[')?;
        Some(Self {
            place: (file.to_owned(), line, column),
            severity: severity.to_owned(),
            code: code.to_owned(),
            message: message.to_owned(),
        })
    }
}

#[test]
fn every_mistake_is_told_word_for_word() {
    let (mut wrong, bless) = (String::new(), std::env::var_os("TAGWARDEN_BLESS").is_some());
    for case in cases() {
        let (code, out, said) = case.run(&[]);
        let golden = std::fs::read_to_string(case.golden()).unwrap_or_default();
        if said != golden {
            wrong += &format!("--- {}\n{said}", case.name);
            if bless {
                std::fs::write(case.golden(), &said).unwrap();
            }
        }
        let found: Vec<Finding> = said.lines().filter_map(Finding::read).collect();
        let errors = found.iter().filter(|finding| finding.severity == "error").count();
        if case.arguments[0] == "check" {
            assert_eq!(code, if errors > 0 { 3 } else { 0 }, "{}", case.name);
            let counted = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
            let counts = format!("{}, {}\n", counted(errors, "error"), counted(found.len() - errors, "warning"));
            assert_eq!(out, counts, "{}", case.name);
        } else {
            assert_eq!(code == 3, errors > 0, "{}: {code}", case.name);
        }
        assert!(!found.is_empty(), "{} is no mistake: {said}", case.name);
    }
    assert!(wrong.is_empty() || bless, "found, and TAGWARDEN_BLESS=1 makes it the golden files:\n{wrong}");
}

#[test]
fn every_code_stands_in_a_golden_file() {
    let shown: BTreeSet<String> = cases().iter().flat_map(Case::findings).map(|finding| finding.code).collect();
    for code in Code::ALL {
        match WITHOUT.iter().find(|(without, _)| without == code) {
            None => assert!(shown.contains(code.name()), "no golden file shows `{code}`"),
            Some((_, reason)) => assert!(!shown.contains(code.name()), "`{code}` is shown, whatever `{reason}` says"),
        }
    }
    let severities = |severity| Code::ALL.iter().filter(|code| code.severity() == severity).count();
    assert!(severities(Severity::Error) > 30 && severities(Severity::Warning) > 10);
}

#[test]
fn no_golden_file_is_left_over() {
    let goldens: BTreeSet<PathBuf> = cases().iter().map(Case::golden).collect();
    assert!(goldens.len() >= 50, "{}", goldens.len());
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let known = path.is_dir() || path.extension().is_some_and(|ext| ext == "yaml") || goldens.contains(&path);
        assert!(known, "{} belongs to no mistake", path.display());
    }
}

#[test]
fn several_mistakes_in_several_files_come_out_together_in_order() {
    let case = cases().into_iter().find(|case| case.name == "several-files").unwrap();
    let places: Vec<_> = case.findings().into_iter().map(|finding| finding.place).collect();
    assert!(places.is_sorted(), "{places:?}");
    let files: BTreeSet<&str> = places.iter().map(|(file, ..)| file.as_str()).collect();
    assert!(files.len() == 3 && places.len() >= 9, "{places:?}");
    assert!(places.windows(2).any(|two| two[0].0 == two[1].0 && two[0].1 == two[1].1), "two in one line: {places:?}");
}

#[test]
fn every_message_is_of_one_style() {
    let mut told: BTreeMap<String, String> = BTreeMap::new();
    for case in cases() {
        for Finding { place, severity, code, message } in case.findings() {
            let place = format!("{place:?}: {message}");
            assert!(message.starts_with(|c: char| c.is_lowercase() || c == '`'), "{place}");
            assert!(!message.ends_with('.'), "{place}");
            let types = ["Some(", "None", "String", "i64", "u64", "Vec", "serde", "from_str", "::"];
            assert!(!types.iter().any(|word| message.contains(word)), "{place}");
            let listed = Code::ALL.iter().find(|listed| listed.name() == code).unwrap_or_else(|| panic!("{place}"));
            assert_eq!(listed.severity().to_string(), severity, "{place}");
            // No two mistakes are told alike: what is the same is of one kind.
            assert_eq!(*told.entry(message).or_insert(code.clone()), code, "{place}");
        }
    }
}

#[test]
fn the_formats_for_programs_say_the_same_on_standard_output_alone() {
    for name in ["several-files", "clearing-and-restricting", "config-route"] {
        let case = cases().into_iter().find(|case| case.name == name).unwrap();
        let expected = case.findings();
        let (_, out, said) = case.run(&["--format", "json"]);
        assert_eq!(said, "");
        let found: Value = serde_json::from_str(&out).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let number = |value: &Value| u32::try_from(value.as_u64().unwrap()).unwrap();
        let read = |finding: &Value| Finding {
            place: (text(&finding["file"]), number(&finding["line"]), number(&finding["column"])),
            severity: text(&finding["severity"]),
            code: text(&finding["code"]),
            message: text(&finding["message"]),
        };
        assert_eq!(found["findings"].as_array().unwrap().iter().map(read).collect::<Vec<_>>(), expected);
        let golden = std::fs::read_to_string(case.golden()).unwrap();
        for finding in found["findings"].as_array().unwrap() {
            assert!(golden.contains(&format!(" | {}\n", text(&finding["shown"]))), "{finding}");
            let help = finding["help"].as_str().unwrap_or_default();
            assert!(golden.contains(help), "{finding}");
        }
        let (_, out, said) = case.run(&["--format", "github"]);
        assert_eq!(said, "");
        let line = |f: &Finding| {
            let (file, line, column) = &f.place;
            format!("::{} file={file},line={line},col={column},title={}::{}", f.severity, f.code, f.message)
        };
        let lines: Vec<String> = expected.iter().map(line).collect();
        assert_eq!(out.lines().count(), lines.len());
        assert!(out.lines().zip(&lines).all(|(out, line)| out.starts_with(line)), "{out}\n{lines:?}");
    }
}
