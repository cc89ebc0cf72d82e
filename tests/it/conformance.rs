//! The conformance table: green for every dialect, and red for every hole.

mod command;
mod holes;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tagwarden::conformance::run::{Outcome, Target};
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
    engine(table, table, dialect).await
}

/// An engine with what is exported of `serves`, in front of the feature server of a file.
async fn engine(serves: &Table, table: &Table, dialect: Dialect) -> Setup {
    let mut setup = Setup::at(&format!("http://{}", upstream(table, dialect).await))
        .with("listen: {address: \"127.0.0.1:0\", public_url: \"http://sidecar.example:8080\"}")
        .with("catalogue: [catalogue.yaml]")
        .with(export::sections(dialect))
        .policy(&export::policy(serves, dialect));
    let spoken = match dialect.family() {
        Family::Feast => "feast",
        Family::Chalk => "chalk",
        Family::Json => "json",
    };
    setup.upstream = setup.upstream.replace("dialect: feast", &format!("dialect: {spoken}"));
    if let Some(description) = export::description(dialect) {
        setup.folder.write("dialect.yaml", description);
    }
    setup.folder.write("catalogue.yaml", export::catalogue(serves, dialect));
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

#[tokio::test]
async fn json_objects() {
    all_green(Dialect::JsonObjects).await;
}

#[tokio::test]
async fn json_columns() {
    all_green(Dialect::JsonColumns).await;
}

#[tokio::test]
async fn json_rows() {
    all_green(Dialect::JsonRows).await;
}

#[tokio::test]
async fn json_records() {
    all_green(Dialect::JsonRecords).await;
}
