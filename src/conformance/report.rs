//! What came of a run, for people, programs and CI systems.

use serde_json::json;

use super::Dialect;
use super::run::{Outcome, Verdict};

/// How many cases went how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// As they should.
    pub passed: usize,
    /// Not so.
    pub failed: usize,
    /// Cases that the dialect cannot express.
    pub not_expressible: usize,
}

/// Counts them.
pub fn count(outcomes: &[Outcome]) -> Count {
    let mut count = Count::default();
    for outcome in outcomes {
        match outcome.verdict {
            Verdict::Passed => count.passed += 1,
            Verdict::Failed(_) => count.failed += 1,
            Verdict::NotExpressible(_) => count.not_expressible += 1,
        }
    }
    count
}

/// For people.
pub fn text(dialect: Dialect, outcomes: &[Outcome]) -> String {
    let (mut text, mut file) = (String::new(), "");
    for outcome in outcomes {
        if outcome.file != file {
            file = outcome.file;
            text.push_str(&format!("{file}\n"));
        }
        let name = &outcome.case;
        match &outcome.verdict {
            Verdict::Passed => text.push_str(&format!("  ok    {name}\n")),
            Verdict::NotExpressible(why) => {
                text.push_str(&format!("  -     {name}\n          not in this dialect: {why}\n"))
            }
            Verdict::Failed(faults) => {
                text.push_str(&format!("  FAULT {name}\n"));
                for fault in faults {
                    text.push_str(&format!("          {fault}\n"));
                }
            }
        }
    }
    let Count { passed, failed, not_expressible } = count(outcomes);
    text.push_str(&format!(
        "\n{}: {passed} passed, {failed} with faults, {not_expressible} that the dialect cannot express\n",
        dialect.name()
    ));
    text
}

/// For programs.
pub fn json(dialect: Dialect, outcomes: &[Outcome]) -> String {
    let case = |outcome: &Outcome| {
        let (verdict, faults, because) = match &outcome.verdict {
            Verdict::Passed => ("passed", &[][..], None),
            Verdict::Failed(faults) => ("failed", faults.as_slice(), None),
            Verdict::NotExpressible(why) => ("not_expressible", &[][..], Some(why)),
        };
        json!({"file": outcome.file, "case": outcome.case, "verdict": verdict, "faults": faults, "because": because})
    };
    let Count { passed, failed, not_expressible } = count(outcomes);
    let cases: Vec<_> = outcomes.iter().map(case).collect();
    let all = json!({"dialect": dialect.name(), "passed": passed, "failed": failed, "not_expressible": not_expressible,
                     "cases": cases});
    format!("{all}\n")
}

/// For CI systems.
pub fn junit(dialect: Dialect, outcomes: &[Outcome]) -> String {
    let Count { failed, not_expressible, .. } = count(outcomes);
    let (suite, all) = (dialect.name(), outcomes.len());
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"{all}\" failures=\"{failed}\">\n  \
         <testsuite name=\"{suite}\" tests=\"{all}\" failures=\"{failed}\" skipped=\"{not_expressible}\">\n"
    );
    for outcome in outcomes {
        let head = format!("    <testcase name=\"{}\" classname=\"{suite}.{}\"", xml(&outcome.case), outcome.file);
        match &outcome.verdict {
            Verdict::Passed => text.push_str(&format!("{head}/>\n")),
            Verdict::NotExpressible(why) => {
                text.push_str(&format!("{head}>\n      <skipped message=\"{}\"/>\n    </testcase>\n", xml(why)));
            }
            Verdict::Failed(faults) => {
                let why = xml(&faults.join("\n"));
                text.push_str(&format!("{head}>\n      <failure>{why}</failure>\n    </testcase>\n"));
            }
        }
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
