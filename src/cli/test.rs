//! `test`: policy unit tests.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use regex::Regex;
use serde_json::json;

use crate::cli::{complain, exit, policies, print};
use crate::diagnostic::Report;
use crate::policy::Policy;
use crate::policy::explain::Files;
use crate::policy::unit::{self, Outcome, Test};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Files or folders of tests; left out: the policy folder's own `tests/`
    tests: Vec<PathBuf>,
    /// The policy: a file or a folder
    #[arg(long, value_name = "PATH", default_value = "policies")]
    policies: PathBuf,
    /// A generated file below the policy
    #[arg(long, value_name = "FILE")]
    catalogue: Vec<PathBuf>,
    /// How results are written
    #[arg(long, value_enum, default_value_t = Format::Tree)]
    format: Format,
    /// Only tests whose name matches
    #[arg(long, value_name = "RE")]
    filter: Option<Regex>,
    /// Say which roles, tags and features no test touches
    #[arg(long)]
    coverage: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people
    Tree,
    /// For programs
    Json,
    /// For CI systems
    Junit,
}

pub fn run(arguments: &Arguments) -> u8 {
    match test(arguments) {
        Ok(code) => code,
        Err(message) => {
            complain(&message);
            exit::DOES_NOT_LOAD
        }
    }
}

fn test(arguments: &Arguments) -> Result<u8, String> {
    let loaded = policies::load(&arguments.policies, &arguments.catalogue, false)?;
    let Some(policy) = loaded.policy else { return Err(loaded.report.to_string()) };
    let paths = if arguments.tests.is_empty() { vec![own_tests(&arguments.policies)] } else { arguments.tests.clone() };
    let mut report = Report::default();
    let mut tests = unit::read(&policies::texts(&paths)?, &policy, &mut report);
    report.sort();
    if report.has_errors() {
        return Err(report.to_string());
    }
    for warning in &report.diagnostics {
        complain(&warning.to_string());
    }
    tests.retain(|test| arguments.filter.as_ref().is_none_or(|filter| filter.is_match(&test.name)));
    let mut outcomes: Vec<Outcome> = tests.iter().map(|test| test.run(&policy)).collect();
    let files = Files { rules: &loaded.rules, imported: &loaded.imported };
    for (test, outcome) in tests.iter().zip(&mut outcomes) {
        test.explain(&policy, &files, outcome);
    }
    let failed = outcomes.iter().filter(|outcome| !outcome.differences.is_empty()).count();
    let results: Vec<(&Test, &Outcome)> = tests.iter().zip(&outcomes).collect();
    print(&match arguments.format {
        Format::Tree => tree(&results, failed, arguments.coverage.then_some(&policy)),
        Format::Json => as_json(&results, failed, arguments.coverage.then_some(&policy)),
        Format::Junit => junit(&results, failed),
    });
    if tests.is_empty() {
        return Err("there is no test to run".to_owned());
    }
    Ok(if failed > 0 { exit::TESTS_FAILED } else { exit::FINE })
}

/// `tests/` in the policy's folder, or beside a policy that is one file.
fn own_tests(policies: &Path) -> PathBuf {
    let folder = if policies.is_dir() { policies } else { policies.parent().unwrap_or(Path::new("")) };
    folder.join("tests")
}

fn untouched(policy: &Policy, results: &[(&Test, &Outcome)]) -> unit::Untouched {
    let tests: Vec<Test> = results.iter().map(|(test, _)| (*test).clone()).collect();
    let outcomes: Vec<Outcome> = results.iter().map(|(_, outcome)| (*outcome).clone()).collect();
    unit::coverage(policy, &tests, &outcomes)
}

fn tree(results: &[(&Test, &Outcome)], failed: usize, coverage: Option<&Policy>) -> String {
    let mut text = String::new();
    let mut file = "";
    for (test, outcome) in results {
        if test.place.file.name != file {
            file = &test.place.file.name;
            text.push_str(&format!("{file}\n"));
        }
        let mark = if outcome.differences.is_empty() { "ok  " } else { "FAIL" };
        text.push_str(&format!("  {mark} {}\n", test.name));
        if !outcome.differences.is_empty() {
            text.push_str(&format!("       at {}\n", test.place));
        }
        text.push_str(&said(outcome, "       "));
    }
    text.push_str(&format!("\n{} passed, {failed} failed\n", results.len() - failed));
    if let Some(policy) = coverage {
        let left = untouched(policy, results);
        let lists = [
            ("roles", left.roles, policy.roles.len()),
            ("tags", left.tags, 0),
            ("features", left.features, policy.catalogue.features().len()),
        ];
        for (what, names, all) in lists {
            let of = if all > 0 { format!(" of {all}") } else { String::new() };
            let shown: Vec<&str> = names.iter().take(20).map(String::as_str).collect();
            let more = if names.len() > 20 { format!(" and {} more", names.len() - 20) } else { String::new() };
            let list = if names.is_empty() { String::new() } else { format!(": {}{more}", shown.join(", ")) };
            text.push_str(&format!("untouched {what}: {}{of}{list}\n", names.len()));
        }
    }
    text
}

/// What was not expected, and below each the lines that say why.
fn said(outcome: &Outcome, indent: &str) -> String {
    let mut text = String::new();
    for difference in &outcome.differences {
        text.push_str(&format!("{indent}{}\n", difference.text));
        for line in &difference.explanation {
            text.push_str(&format!("{indent}  {line}\n"));
        }
    }
    text
}

fn as_json(results: &[(&Test, &Outcome)], failed: usize, coverage: Option<&Policy>) -> String {
    let tests: Vec<_> = results
        .iter()
        .map(|(test, outcome)| {
            let differences: Vec<&str> = outcome.differences.iter().map(|found| found.text.as_str()).collect();
            // One list of lines for each difference.
            let explanation: Vec<_> = outcome.differences.iter().map(|found| &found.explanation).collect();
            json!({
                "name": test.name, "file": test.place.file.name, "line": test.place.line,
                "passed": differences.is_empty(), "differences": differences, "explanation": explanation,
            })
        })
        .collect();
    let mut all = json!({"passed": results.len() - failed, "failed": failed, "tests": tests});
    if let (Some(policy), Some(all)) = (coverage, all.as_object_mut()) {
        let left = untouched(policy, results);
        let left = json!({"roles": left.roles, "tags": left.tags, "features": left.features});
        all.insert("untouched".to_owned(), left);
    }
    format!("{all}\n")
}

fn junit(results: &[(&Test, &Outcome)], failed: usize) -> String {
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"{0}\" failures=\"{failed}\">\n  <testsuite name=\"policy\" tests=\"{0}\" failures=\"{failed}\">\n",
        results.len()
    );
    for (test, outcome) in results {
        let (name, file) = (xml(&test.name), xml(&test.place.file.name));
        let line = test.place.line;
        if outcome.differences.is_empty() {
            text.push_str(&format!(
                "    <testcase name=\"{name}\" classname=\"{file}\" file=\"{file}\" line=\"{line}\"/>\n"
            ));
        } else {
            let why = xml(said(outcome, "").trim_end());
            text.push_str(&format!(
                "    <testcase name=\"{name}\" classname=\"{file}\" file=\"{file}\" line=\"{line}\">\n      <failure message=\"not as expected\">{why}</failure>\n    </testcase>\n"
            ));
        }
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

/// Text for XML 1.0: markup escaped, characters that it cannot hold replaced.
fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
