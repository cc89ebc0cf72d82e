//! Engines with a hole, and the cases that find it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tagwarden::conformance::run::{Outcome, Verdict};
use tagwarden::conformance::table::{Case, Expect, Table, Upstream};
use tagwarden::conformance::{Dialect, Family, report};

use super::{engine, run, setup, tables, upstream};

/// One of each family, and of each wire.
const SOME: [Dialect; 3] = [Dialect::Feast, Dialect::ChalkGrpc, Dialect::JsonRows];

/// What a run found, by case.
struct Found {
    faults: BTreeMap<String, Vec<String>>,
    text: String,
}

impl Found {
    fn of(dialect: Dialect, outcomes: Vec<Outcome>) -> Self {
        let text = report::text(dialect, &outcomes);
        let faults = outcomes.into_iter().filter_map(|outcome| match outcome.verdict {
            Verdict::Failed(faults) => Some((outcome.case, faults)),
            Verdict::Passed | Verdict::NotExpressible(_) => None,
        });
        Self { faults: faults.collect(), text }
    }

    /// Checks that these cases found it, and those did not.
    #[track_caller]
    fn is(&self, by: &[&str], not_by: &[&str]) {
        for case in by {
            assert!(self.faults.contains_key(*case), "`{case}` did not find it\n{}", self.text);
        }
        for case in not_by {
            assert!(!self.faults.contains_key(*case), "`{case}` is no case of it\n{}", self.text);
        }
    }

    /// Checks that a case found this.
    #[track_caller]
    fn says(&self, case: &str, fault: &str) {
        let faults = self.faults.get(case).map(Vec::as_slice).unwrap_or_default();
        assert!(faults.iter().any(|found| found == fault), "`{case}` does not say `{fault}`\n{}", self.text);
    }

    /// Checks that every case of a kind found it.
    #[track_caller]
    fn is_all(&self, table: &Table, dialect: Dialect, kind: impl Fn(&Case) -> bool) {
        let mut cases =
            table.cases.iter().filter(|case| case.barred(table, dialect).is_none() && kind(case)).peekable();
        assert!(cases.peek().is_some());
        self.is(&cases.map(|case| case.name.as_str()).collect::<Vec<_>>(), &[]);
    }
}

fn rules() -> Table {
    tables().swap_remove(0)
}

fn refuses(case: &Case) -> bool {
    matches!(case.expect, Expect::Refused(_) | Expect::Filtered(_) | Expect::Forbidden)
}

/// The feature server itself: nobody is in front of it.
#[tokio::test]
async fn no_enforcement_at_all() {
    let table = rules();
    for dialect in Dialect::ALL {
        let found = Found::of(dialect, run(upstream(&table, dialect).await, &table, dialect).await);
        found.is_all(&table, dialect, refuses);
        found.is_all(&table, dialect, |case| case.expect == Expect::Unauthenticated);
        // What does not come cannot leak.
        let misbehaves = |case: &Case| !matches!(case.upstream, Upstream::Well | Upstream::Drops);
        found.is_all(&table, dialect, misbehaves);
        found.says("AllowInternal is not returned", "a value of `raw.pii` came through");
        found.says("AllowInternal is not returned", "expected: refused; came: an answer");
    }
}

/// A sidecar that decides nothing and cuts nothing: `enforcement: audit`.
#[tokio::test]
async fn neither_decision_nor_filter() {
    let table = rules();
    for dialect in Dialect::ALL {
        let sidecar = setup(&table, dialect).await.with("enforcement: audit").start().await;
        let found = Found::of(dialect, run(sidecar.data, &table, dialect).await);
        found.is_all(&table, dialect, refuses);
        // The answers of these queries are permitted: it is their filter that is missing.
        let unfiltered = |case: &Case| matches!(case.upstream, Upstream::Adds | Upstream::Renames | Upstream::Doubles);
        found.is_all(&table, dialect, unfiltered);
        found.is(&[], &["without a token there is no answer", "an error of the feature server tells no value"]);
        // Of a described server what the description does not have never passes.
        if dialect.family() != Family::Json {
            found.is(&["nothing beside the columns tells a value"], &[]);
        }
        found.says("a column that nobody asked for does not come through", "a value of `raw.secret` came through");
    }
}

/// An engine that serves another file than it is held against.
async fn holed(dialect: Dialect, table: &Table, hole: impl Fn(&mut Table)) -> Found {
    let mut serves = table.clone();
    hole(&mut serves);
    let sidecar = engine(&serves, table, dialect).await.start().await;
    Found::of(dialect, run(sidecar.data, table, dialect).await)
}

/// A section of a file, entry by entry.
fn entries<'t>(file: &'t mut Map<String, Value>, section: &str) -> impl Iterator<Item = &'t mut Map<String, Value>> {
    file[section].as_object_mut().unwrap().values_mut().filter_map(Value::as_object_mut)
}

/// What every role maps a tag to.
fn maps(table: &mut Table, tag: &str, permission: &str) {
    for tags in entries(&mut table.policy, "roles").filter_map(|role| role.get_mut("tags")) {
        if let Some(mapped) = tags.get_mut(tag) {
            *mapped = permission.into();
        }
    }
}

#[tokio::test]
async fn lineage_is_ignored() {
    let table = rules();
    for dialect in SOME {
        let found = holed(dialect, &table, |table| {
            for feature in entries(&mut table.catalogue, "features").chain(entries(&mut table.policy, "features")) {
                feature.retain(|key, _| !["inputs", "joins", "not_inputs"].contains(&key.as_str()));
            }
        })
        .await;
        found.is(
            &[
                "a denied input denies",
                "a denied input denies at any depth",
                "a denied join denies",
                "a default of Deny denies what is made of it",
                "a clearing tag is no boundary over a denied input, where declassification is strict",
                "what is computed from a barred feature is barred, at any depth",
                "nothing clears what is barred",
                "a derivative of what is cleared is returned whatever its own tags say, AllowInternal",
                "lineage counts in a bundle",
            ],
            &["AllowInternal is not returned", "Deny is not returned", "a data source out of reach is barred"],
        );
        found.says("a denied input denies", "a value of `made.of_denied` came through");
    }
}

#[tokio::test]
async fn what_is_internal_comes_through() {
    let table = rules();
    for dialect in SOME {
        let found = holed(dialect, &table, |table| maps(table, "pii", "Allow")).await;
        found.is(
            &[
                "AllowInternal is not returned",
                "of several tags the most restrictive counts, Allow and AllowInternal",
                "one refused member refuses a bundle, which alone is named",
                "filter takes out what is refused",
                "of several roles the most restrictive counts",
                "a pattern tags what it matches",
            ],
            &["Deny is not returned", "a denied input denies"],
        );
        found.says("filter takes out what is refused", "`x-tagwarden-filtered` is not 1");
    }
}

#[tokio::test]
async fn what_is_permitted_is_taken_out() {
    let table = rules();
    for dialect in SOME {
        let found = holed(dialect, &table, |table| maps(table, "cleared", "AllowInternal")).await;
        found.is(
            &[
                "AllowDownstream is returned",
                "filter changes nothing where nothing is refused",
                "rows stay aligned where outputs are taken out",
                "being cleared goes down the lineage",
            ],
            &["Deny is not returned", "AllowInternal is not returned"],
        );
        let column = if dialect == Dialect::Feast { "raw__cleared" } else { "raw.cleared" };
        found.says("filter changes nothing where nothing is refused", &format!("`{column}` is missing"));
    }
}

#[tokio::test]
async fn everything_is_refused() {
    let table = rules();
    for dialect in SOME {
        let found = holed(dialect, &table, |table| {
            for role in entries(&mut table.policy, "roles") {
                role.retain(|key, _| key == "mode");
                role.insert("default".to_owned(), "Deny".into());
            }
        })
        .await;
        found.is_all(&table, dialect, |case| {
            matches!(case.expect, Expect::Permitted | Expect::Filtered(_) | Expect::Withheld)
        });
        found.says("a feature without tags takes the role's default", "expected: permitted; came: refused");
    }
}

#[tokio::test]
async fn members_of_bundles_are_named() {
    let table = rules();
    for dialect in [Dialect::Feast, Dialect::FeastGrpc, Dialect::Chalk, Dialect::JsonObjects] {
        let sidecar = setup(&table, dialect).await.with("errors: {name_members: true}").start().await;
        let found = Found::of(dialect, run(sidecar.data, &table, dialect).await);
        found.is(
            &["one refused member refuses a bundle, which alone is named", "lineage counts in a bundle"],
            &["one refused output refuses the query, and it alone is named"],
        );
    }
}
