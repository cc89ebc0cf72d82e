//! The conformance table: green for every dialect, and red for every hole.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tagwarden::conformance::run::{Outcome, Target, Verdict};
use tagwarden::conformance::table::{Caller, Table};
use tagwarden::conformance::{Dialect, Family, Judge, export, report, serve};

use crate::support::sidecar::{Setup, Sidecar};
use crate::support::tokens::KEY;
use crate::support::within;

/// The files of the table.
fn tables() -> Vec<Table> {
    Table::all().unwrap_or_else(|report| panic!("{report}"))
}

fn tokens(table: &Table) -> BTreeMap<String, String> {
    let token = |caller: Caller| {
        let Caller::Roles(roles) = &caller else { return None };
        let roles: Vec<&str> = roles.iter().map(String::as_str).collect();
        Some((caller.name()?, KEY.token(&roles)))
    };
    table.callers().into_iter().filter_map(token).collect()
}

/// The feature server of a file.
async fn upstream(table: &Table, dialect: Dialect) -> SocketAddr {
    serve::start(table.clone(), dialect, SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap().0
}

/// A sidecar in front of it, with what is exported for it.
async fn setup(table: &Table, dialect: Dialect) -> Setup {
    let mut setup = Setup::at(&format!("http://{}", upstream(table, dialect).await))
        .with("listen: {address: \"127.0.0.1:0\", public_url: \"http://sidecar.example:8080\"}")
        .with("catalogue: [catalogue.yaml]")
        .with(export::sections(dialect))
        .policy(&export::policy(table, dialect));
    if dialect.family() == Family::Chalk {
        setup.upstream = setup.upstream.replace("dialect: feast", "dialect: chalk");
    }
    setup.folder.write("catalogue.yaml", export::catalogue(table, dialect));
    setup
}

/// Holds what answers at an address against a file.
async fn run(at: SocketAddr, table: &Table, dialect: Dialect) -> Vec<Outcome> {
    let target = Target::new(&format!("http://{at}"), dialect, &tokens(table)).await.unwrap();
    let (judge, mut outcomes) = (Judge::new(table).unwrap(), Vec::new());
    for case in &table.cases {
        outcomes.push(within(&case.name, target.run(&judge, case)).await);
    }
    outcomes
}

async fn all_green(dialect: Dialect) {
    for table in tables().into_iter().filter(|table| table.barred(dialect).is_none()) {
        let sidecar: Sidecar = setup(&table, dialect).await.start().await;
        let outcomes = run(sidecar.data, &table, dialect).await;
        let count = report::count(&outcomes);
        assert_eq!(count.failed, 0, "{}", report::text(dialect, &outcomes));
        assert!(count.passed > 4, "{}", table.name);
    }
}

#[tokio::test]
async fn feast() {
    all_green(Dialect::Feast).await;
}

#[tokio::test]
async fn feast_grpc() {
    all_green(Dialect::FeastGrpc).await;
}

#[tokio::test]
async fn chalk() {
    all_green(Dialect::Chalk).await;
}

#[tokio::test]
async fn chalk_feather() {
    all_green(Dialect::ChalkFeather).await;
}

#[tokio::test]
async fn chalk_grpc() {
    all_green(Dialect::ChalkGrpc).await;
}

/// The cases that found something, each with what it found.
fn found(outcomes: &[Outcome]) -> BTreeMap<&str, &[String]> {
    let faults = outcomes.iter().filter_map(|outcome| match &outcome.verdict {
        Verdict::Failed(faults) => Some((outcome.case.as_str(), faults.as_slice())),
        Verdict::Passed | Verdict::NotExpressible(_) => None,
    });
    faults.collect()
}

#[tokio::test]
async fn no_enforcement_is_found() {
    for dialect in Dialect::ALL {
        let table = &tables()[0];
        let outcomes = run(upstream(table, dialect).await, table, dialect).await;
        let found = found(&outcomes);
        assert!(found.len() > 60, "{}: {}", dialect.name(), report::text(dialect, &outcomes));
    }
}
