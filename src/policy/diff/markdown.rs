//! A comparison as Markdown, for a pull request. Whatever comes from files stands in code spans.

use std::fmt::Write as _;

use super::text::{self, Group, SHOWN};
use super::{Callers, Diff, Way};

/// From how many rows on a table is folded.
const FOLDED: usize = 8;

/// Writes a comparison; `all`: every row.
pub fn write(diff: &Diff<'_>, all: bool) -> String {
    let most = if all { usize::MAX } else { SHOWN };
    let summary = diff.summary();
    let word = if summary.gains { "somebody gains access" } else { "nobody gains access" };
    let mut out = format!("## Policy: {word}\n\n{}\n", text::summary(&summary));
    for (new, word) in [(true, "New roles"), (false, "Roles gone")] {
        let roles = diff.roles_only(new);
        if !roles.is_empty() {
            let names: Vec<String> = roles.iter().map(|name| code(name)).collect();
            write!(out, "\n{word}: {}\n", names.join(", ")).ok();
        }
    }
    for (new, word) in [(true, "New features"), (false, "Features gone")] {
        let features = diff.features_only(new);
        if features > 0 {
            write!(out, "\n{word}: {features}\n").ok();
        }
    }
    section(diff, Way::Gained, Callers::Roles, "Gained access", most, &mut out);
    section(diff, Way::Gained, Callers::Sets, "Gained by roles together", most, &mut out);
    let wider = |wider: bool| if wider { "**wider**" } else { "" };
    if !diff.settings.is_empty() {
        out.push_str("\n### Settings\n\n| where | what | |\n|---|---|---|\n");
        for changed in &diff.settings {
            writeln!(out, "| {} | {} | {} |", cell(&changed.at), cell(&changed.text()), wider(changed.wider)).ok();
        }
    }
    if !diff.bindings.is_empty() {
        out.push_str("\n### Bindings\n\n| where | what | roles | |\n|---|---|---|---|\n");
        for bound in &diff.bindings {
            let word = if bound.wider { "**gained**" } else { "lost" };
            let (at, what, roles) = (cell(&bound.at), cell(&bound.text), cell(&bound.roles.join(", ")));
            writeln!(out, "| {at} | {what} | {roles} | {word} |").ok();
        }
    }
    section(diff, Way::Lost, Callers::Roles, "Lost access", most, &mut out);
    section(diff, Way::Lost, Callers::Sets, "Lost by roles together", most, &mut out);
    if let Some(replayed) = &diff.queries {
        write!(out, "\n### Recorded queries\n\n{}\n", text::replay_line(replayed)).ok();
        for note in text::replay_notes(diff, replayed) {
            write!(out, "\n{note}\n").ok();
        }
        if !replayed.changed.is_empty() {
            out.push_str("\n| query | because |\n|---|---|\n");
            for change in replayed.changed.iter().take(most) {
                let because: Vec<String> = change.because.iter().take(3).map(|text| cell(text)).collect();
                writeln!(out, "| {} | {} |", cell(&text::query(change)), because.join("<br>")).ok();
            }
            let more = replayed.changed.len().saturating_sub(most);
            if more > 0 {
                write!(out, "\nand {more} more\n").ok();
            }
        }
    }
    out
}

fn section(diff: &Diff<'_>, way: Way, callers: Callers, heading: &str, most: usize, out: &mut String) {
    let groups = text::groups(diff, way, callers, most);
    if groups.is_empty() {
        return;
    }
    write!(out, "\n### {heading}\n").ok();
    for (cause, group) in groups {
        if let Some(cause) = diff.cause(cause) {
            write!(out, "\n{}\n\n", code(&format!("{}:{}: {}", cause.file, cause.line, cause.text))).ok();
        }
        let folded = group.rows.len() > FOLDED;
        if folded {
            let (features, who) = (group.features, group.callers.len());
            write!(out, "<details><summary>{features} features, {who} callers</summary>\n\n").ok();
        }
        table(diff, &group, callers, out);
        if folded {
            out.push_str("\n</details>\n");
        }
    }
}

fn table(diff: &Diff<'_>, group: &Group, callers: Callers, out: &mut String) {
    out.push_str("| feature | callers | before -> after | |\n|---|---|---|---|\n");
    for row in &group.rows {
        let bold = if row.state.returned() { "**" } else { "" };
        let (feature, who) = (cell(&diff.feature(row.feature)), cell(&text::who(diff, row, callers)));
        let (states, notes) = (text::states(row), text::notes(diff, row));
        let notes = notes.strip_prefix(", ").map(cell).unwrap_or_default();
        writeln!(out, "| {feature} | {who} | {bold}{states}{bold} | {notes} |").ok();
    }
    if group.more > 0 {
        write!(out, "\nand {} more\n", group.more).ok();
    }
}

/// A code span in a table: there, and only there, a pipe is written with a back slash (GFM, 4.10).
fn cell(text: &str) -> String {
    // A back slash before it would take the one that is added here for itself.
    code(&text.replace("\\|", "\\\u{200b}|")).replace('|', "\\|")
}

/// A code span: its fence is longer than any run of back ticks in it (CommonMark, 6.1).
fn code(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.is_empty() {
        return text;
    }
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    // One space on either side is taken off again where both are there.
    let pad = if longest > 0 || text.starts_with(' ') || text.ends_with(' ') { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_code_span() {
        for (name, expected) in [
            ("user.ssn", "`user.ssn`"),
            ("a|b", "`a\\|b`"),
            ("a`b", "`` a`b ``"),
            ("``", "``` `` ```"),
            ("`x``y`", "``` `x``y` ```"),
            (" a ", "`  a  `"),
            ("a\nb", "`a\u{fffd}b`"),
            ("a\\|b", "`a\\\u{200b}\\|b`"),
            ("<img src=x>", "`<img src=x>`"),
            ("", ""),
        ] {
            assert_eq!(cell(name), expected);
        }
        assert_eq!(code("a|b"), "`a|b`");
    }
}
