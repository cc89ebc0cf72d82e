//! What was tried, for people.

use super::trial::{Cut, Decided, Read, Trial, Verdict};

/// Four sections, as far as it came.
pub fn write(trial: &Trial) -> String {
    let mut sections = Vec::new();
    sections.extend(trial.read.as_ref().map(read));
    sections.extend(trial.decided.as_ref().map(decided));
    match (&trial.rewritten, &trial.decided) {
        (Some(rewritten), _) => {
            let body = [rewritten.body.as_str()].into_iter().filter(|body| !body.is_empty()).map(str::to_owned);
            sections.push(section("rewritten", std::iter::once(rewritten.line.clone()).chain(body)));
        }
        (None, Some(_)) => sections.push("rewritten: nothing goes upstream\n".to_owned()),
        (None, None) => {}
    }
    sections.extend(trial.cut.as_ref().map(cut));
    sections.join("\n")
}

fn section(title: &str, lines: impl IntoIterator<Item = String>) -> String {
    let lines: String = lines.into_iter().map(|line| format!("  {line}\n")).collect();
    format!("{title}\n{lines}")
}

/// Columns with two blanks between them, none behind the last.
fn table(rows: &[Vec<String>]) -> Vec<String> {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..count).map(|at| width(at).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn read(read: &Read) -> String {
    let row = |what: &str, cells: String| vec![what.to_owned(), cells];
    let mut rows = vec![row("route", read.route.clone())];
    rows.extend(read.variables.iter().map(|of| row("variable", format!("{} = {}", of.name, of.value))));
    rows.extend(read.bundle.iter().map(|bundle| row("bundle", bundle.clone())));
    rows.extend(read.outputs.iter().map(|of| row("output", format!("{} -> {}", of.written, of.feature))));
    rows.extend(read.supplied.iter().map(|of| {
        let feature = of.feature.as_deref().unwrap_or("no name");
        let left_out = if of.sent == Some(false) { ", not sent" } else { "" };
        row("supplied", format!("{} -> {feature} ({}{left_out})", of.written, of.at))
    }));
    rows.extend(read.forced.iter().map(|of| {
        let asked_for = if of.asked_for { " (asked for)" } else { "" };
        row("forced", format!("{}{asked_for}", of.at))
    }));
    section("read", table(&rows))
}

fn decided(decided: &Decided) -> String {
    let verdict = |of: &Verdict| {
        let tag = of.tag.as_ref().map(|tag| format!(", tag {tag}")).unwrap_or_default();
        let why = if of.known { format!("rule {}{tag}", of.rule) } else { "not in the catalogue".to_owned() };
        vec![of.feature.clone(), of.permission.to_owned(), why]
    };
    let mut lines = table(&decided.outputs.iter().map(verdict).collect::<Vec<_>>());
    if !decided.refused.is_empty() {
        lines.push(format!("refused: {}", decided.refused.join(", ")));
    }
    let title = match decided.by_policy {
        true => format!("decided: {} (mode {})", decided.decision, decided.mode),
        false => "decided: without a policy every name is unknown; what follows is as if all were permitted".to_owned(),
    };
    section(&title, lines)
}

fn cut(cut: &Cut) -> String {
    let rows: Vec<Vec<String>> = cut
        .columns
        .iter()
        .map(|of| {
            vec![of.written.clone(), of.feature.clone().unwrap_or_else(|| "no name".to_owned()), of.fate.to_owned()]
        })
        .collect();
    let title = match (&cut.body, cut.as_it_came, cut.dropped) {
        (None, _, _) => "cut: the answer does not pass".to_owned(),
        (Some(_), true, _) => "cut: nothing, the answer passes as it came".to_owned(),
        (Some(_), false, 0) => "cut: no column, what is not described alone".to_owned(),
        (Some(_), false, 1) => "cut: 1 column".to_owned(),
        (Some(_), false, count) => format!("cut: {count} columns"),
    };
    section(&title, table(&rows).into_iter().chain(cut.body.clone()))
}
