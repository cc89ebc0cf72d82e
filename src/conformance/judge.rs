//! Whether an exchange is what a case expects. No fault shows a value.

use super::chalk::{self, Door};
use super::json::{self, Shape};
use super::leak::{self, Needles};
use super::names::{answered, spelled};
use super::table::{Case, Expect, Table};
use super::wire::{Ask, Column, Exchange, Got};
use super::{Cell, Dialect, Family, feast};

/// The request of a case.
pub fn ask(table: &Table, case: &Case, dialect: Dialect) -> Result<Ask, String> {
    match dialect {
        Dialect::Feast => Ok(feast::ask(table, case, dialect)),
        Dialect::FeastGrpc => feast::rpc::ask(table, case, dialect),
        Dialect::Chalk => chalk::ask(case, Door::Online),
        Dialect::ChalkFeather => chalk::ask(case, Door::Feather),
        Dialect::ChalkGrpc => chalk::ask(case, Door::Grpc),
        Dialect::JsonObjects => Ok(json::ask(table, case, dialect, Shape::Objects)),
        Dialect::JsonColumns => Ok(json::ask(table, case, dialect, Shape::Columns)),
        Dialect::JsonRows => Ok(json::ask(table, case, dialect, Shape::Rows)),
        Dialect::JsonRecords => Ok(json::ask(table, case, dialect, Shape::Records)),
    }
}

/// Judges the cases of a file.
#[derive(Debug)]
pub struct Judge<'t> {
    /// The file.
    pub table: &'t Table,
    needles: Needles,
}

impl<'t> Judge<'t> {
    /// A judge of a file.
    ///
    /// # Errors
    /// Its values cannot be looked for.
    pub fn new(table: &'t Table) -> Result<Self, String> {
        Ok(Self { table, needles: Needles::new(table)? })
    }

    /// What is wrong; empty where nothing is.
    pub fn faults(&self, case: &Case, dialect: Dialect, exchange: &Exchange) -> Vec<String> {
        faults(self, case, dialect, exchange)
    }
}

fn faults(judge: &Judge<'_>, case: &Case, dialect: Dialect, exchange: &Exchange) -> Vec<String> {
    let table = judge.table;
    let (got, packed) = match dialect {
        Dialect::Feast => (feast::read(exchange), Vec::new()),
        Dialect::FeastGrpc => (feast::rpc::read(exchange), Vec::new()),
        Dialect::Chalk => chalk::read(exchange, Door::Online),
        Dialect::ChalkFeather => chalk::read(exchange, Door::Feather),
        Dialect::ChalkGrpc => chalk::read(exchange, Door::Grpc),
        Dialect::JsonObjects => (json::read(exchange, Shape::Objects), Vec::new()),
        Dialect::JsonColumns => (json::read(exchange, Shape::Columns), Vec::new()),
        Dialect::JsonRows => (json::read(exchange, Shape::Rows), Vec::new()),
        Dialect::JsonRecords => (json::read(exchange, Shape::Records), Vec::new()),
    };
    let wanted = wanted(table, case, dialect);
    let mut faults = decision(table, case, dialect, &got, &wanted);
    let also: Vec<Vec<u8>> = packed.into_iter().chain(leak::unpacked(&got)).collect();
    let fine: &[Column] = match case.expect {
        Expect::Permitted | Expect::Filtered(_) | Expect::Withheld => &wanted,
        Expect::Refused(_) | Expect::Invalid | Expect::Forbidden | Expect::Unauthenticated => &[],
    };
    let leaks = judge.needles.found(fine, exchange, &also);
    faults.extend(leaks.iter().map(|name| format!("a value of `{name}` came through")));
    if let (Some(count), Expect::Filtered(_) | Expect::Permitted) =
        (exchange.header("x-tagwarden-filtered"), &case.expect)
    {
        let names = if let Expect::Filtered(names) = &case.expect { names.len() } else { 0 };
        if count.parse() != Ok(names) {
            faults.push(format!("`x-tagwarden-filtered` is not {names}"));
        }
    }
    faults
}

/// The columns that a case is answered with.
fn wanted(table: &Table, case: &Case, dialect: Dialect) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    for (name, alias) in case.asked(table) {
        if matches!(&case.expect, Expect::Filtered(names) if names.iter().any(|other| other == name)) {
            continue;
        }
        let column = alias.map_or_else(|| answered(table, dialect, name), str::to_owned);
        if columns.iter().any(|(other, _)| *other == column) {
            continue;
        }
        columns.push((column, case.wanted(table, name, case.rows).unwrap_or_default()));
    }
    columns
}

/// Columns that may be there without being asked for: the keys, as they were supplied.
fn echoed(table: &Table, case: &Case, dialect: Dialect) -> Vec<Column> {
    let rows: Vec<Cell> = (1..=case.rows).map(|row| Cell::Text(case.upstream.key(row))).collect();
    let mut echoed: Vec<Column> = case.keys.iter().map(|key| (answered(table, dialect, key), rows.clone())).collect();
    if dialect.family() == Family::Chalk {
        echoed.push((chalk::ROW.to_owned(), rows));
    }
    echoed
}

fn decision(table: &Table, case: &Case, dialect: Dialect, got: &Got, wanted: &[Column]) -> Vec<String> {
    let other = |expected: &str| vec![format!("expected: {expected}; came: {}", got.shown())];
    match (&case.expect, got) {
        (Expect::Permitted | Expect::Filtered(_), Got::Answer(columns)) => {
            let mut faults = held(columns, wanted, &echoed(table, case, dialect));
            for (name, _) in wanted {
                if !columns.iter().any(|(own, _)| own == name) {
                    faults.push(format!("`{name}` is missing"));
                }
            }
            faults
        }
        (Expect::Withheld, Got::Answer(columns)) => held(columns, wanted, &echoed(table, case, dialect)),
        (Expect::Withheld, Got::Failed)
        | (Expect::Invalid, Got::Invalid)
        | (Expect::Forbidden, Got::Forbidden)
        | (Expect::Unauthenticated, Got::Unauthenticated) => Vec::new(),
        (Expect::Refused(_), Got::Refused(came)) => named(&refused(table, case, dialect), came),
        (Expect::Refused(_) | Expect::Forbidden, Got::Denied(text)) => {
            named(&refused(table, case, dialect), &mentioned(table, case, dialect, text))
        }
        (Expect::Permitted, _) => other("permitted"),
        (Expect::Filtered(_), _) => other("an answer without what is refused"),
        (Expect::Refused(_), _) => other("refused"),
        (Expect::Invalid, _) => other("invalid"),
        (Expect::Forbidden, _) => other("forbidden"),
        (Expect::Unauthenticated, _) => other("unauthenticated"),
        (Expect::Withheld, _) => other("a failure, or what is fine of the answer"),
    }
}

/// What must be named, as written: a bundle is named as it is.
fn refused(table: &Table, case: &Case, dialect: Dialect) -> Vec<String> {
    let Expect::Refused(names) = &case.expect else { return Vec::new() };
    let is_bundle = |name: &String| case.bundle.as_ref() == Some(name);
    let spell = |name: &String| if is_bundle(name) { name.clone() } else { spelled(table, dialect, name) };
    names.iter().map(spell).collect()
}

/// The names of the case and of the table that stand in a text.
fn mentioned(table: &Table, case: &Case, dialect: Dialect, text: &str) -> Vec<String> {
    let words: Vec<&str> = text.split([' ', ',', ';', '`', '\'', '"']).collect();
    let known = table.features.iter().chain(&case.outputs).chain(&case.keys).map(|name| spelled(table, dialect, name));
    let mut found: Vec<String> =
        known.chain(case.bundle.clone()).filter(|name| words.contains(&name.as_str())).collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn named(names: &[String], came: &[String]) -> Vec<String> {
    let missing = names.iter().filter(|name| !came.contains(name));
    let more = came.iter().filter(|name| !names.contains(name));
    let missing = missing.map(|name| format!("`{name}` is not named as refused"));
    missing.chain(more.map(|name| format!("`{}` is named as refused", crate::dialect::shown(name)))).collect()
}

/// Everything that came is one of these, once, with its values.
fn held(columns: &[Column], wanted: &[Column], echoed: &[Column]) -> Vec<String> {
    let mut faults = Vec::new();
    for (position, (name, cells)) in columns.iter().enumerate() {
        let shown = crate::dialect::shown(name);
        if columns.iter().take(position).any(|(other, _)| other == name) {
            faults.push(format!("`{shown}` came twice"));
        }
        match wanted.iter().chain(echoed).find(|(other, _)| other == name) {
            None => faults.push(format!("`{shown}` came and was not to")),
            Some((_, expected)) if expected.len() != cells.len() => {
                faults.push(format!("`{shown}` has {} rows, not {}", cells.len(), expected.len()));
            }
            Some((_, expected)) => {
                let rows = expected.iter().zip(cells).zip(1..);
                let differ: Vec<String> = rows.filter(|((a, b), _)| a != b).map(|(_, row)| row.to_string()).collect();
                if !differ.is_empty() {
                    faults.push(format!("`{shown}` has another value than is held, in row {}", differ.join(", ")));
                }
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests;
