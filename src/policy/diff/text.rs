//! A comparison for people: the numbers first, then each cause with what it changes.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;

use super::replay::{Change, MOST_CALLERS, Replayed};
use super::rows::{State, unpack};
use super::{Callers, Cell, Diff, Shown, Summary, Way, When};
use crate::policy::Permission;

/// How many lines one cause has, unless all are asked for.
pub const SHOWN: usize = 20;

/// The changes of one cause.
#[derive(Debug, Default)]
pub struct Group {
    /// The first of them: what may be returned first, and what changes by itself before what follows from it.
    pub rows: Vec<Shown>,
    /// Pairs of caller and feature that are not among the rows.
    pub more: usize,
    /// Features, each once.
    pub features: usize,
    /// Callers that it changes something for.
    pub callers: BTreeSet<u32>,
    last: Option<u32>,
    rest: Vec<Shown>,
}

impl Group {
    fn add(&mut self, cell: Cell, state: State, most: usize) {
        if self.last.replace(cell.feature) != Some(cell.feature) {
            self.features += 1;
        }
        if self.callers.last() != Some(&cell.caller) {
            self.callers.insert(cell.caller);
        }
        let first = state.returned() && cell.through.is_none();
        let list = if first { &mut self.rows } else { &mut self.rest };
        let full = list.len() >= most;
        let alike = |row: &&mut Shown| row.feature == cell.feature && row.state == state && row.through == cell.through;
        match list.iter_mut().rev().take_while(|row| row.feature == cell.feature).find(alike) {
            Some(row) => row.callers.push(cell.caller),
            None if full => self.more += 1,
            None => list.push(cell.shown()),
        }
    }

    fn finish(&mut self, most: usize) {
        let mut rest = std::mem::take(&mut self.rest);
        rest.sort_by_key(|row| (!row.state.returned(), row.through.is_some()));
        self.rows.extend(rest);
        self.more += self.rows.iter().skip(most).map(|row| row.callers.len()).sum::<usize>();
        self.rows.truncate(most);
    }
}

/// Changes by the number of their cause; at most `most` rows of each are kept.
pub fn groups(diff: &Diff<'_>, way: Way, callers: Callers, most: usize) -> Vec<(u32, Group)> {
    let mut groups: HashMap<u32, Group> = HashMap::new();
    diff.cells(way, callers, &mut |cell| {
        groups.entry(cell.cause).or_default().add(cell, unpack(cell.state), most);
    });
    groups.values_mut().for_each(|group| group.finish(most));
    let mut groups: Vec<(u32, Group)> = groups.into_iter().collect();
    // What opens most is read first.
    let opens = |group: &Group| group.rows.iter().any(|row| row.state.returned());
    groups.sort_by_key(|(cause, group)| (!opens(group), std::cmp::Reverse(group.features), *cause));
    groups
}

fn count(number: usize, one: &str, more: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {more}") }
}

/// The first line.
pub fn summary(summary: &Summary) -> String {
    let mut parts = vec![format!(
        "{} and {}",
        count(summary.roles_gaining, "role gains", "roles gain"),
        count(summary.roles_losing, "loses", "lose")
    )];
    let features = summary.features_newly_returned;
    parts.push(format!("{} newly be returned", count(features, "feature may", "features may")));
    if summary.features_no_longer_returned > 0 {
        parts.push(format!("{} no longer", summary.features_no_longer_returned));
    }
    let more = [
        (summary.sets_gaining, "set of roles gains together", "sets of roles gain together"),
        (summary.settings_wider, "setting is wider", "settings are wider"),
        (summary.bindings_wider, "binding gives more", "bindings give more"),
        (summary.queries_gaining, "recorded query returns more", "recorded queries return more"),
        (summary.queries_losing, "recorded query returns less", "recorded queries return less"),
    ];
    parts.extend(
        more.into_iter().filter(|(number, ..)| *number > 0).map(|(number, one, more)| count(number, one, more)),
    );
    parts.push(format!(
        "{} returned as before",
        count(
            usize::try_from(summary.still).unwrap_or(usize::MAX),
            "pair of role and feature is",
            "pairs of role and feature are"
        )
    ));
    parts.join("; ")
}

/// Writes a comparison; `all`: every row.
pub fn write(diff: &Diff<'_>, all: bool) -> String {
    let most = if all { usize::MAX } else { SHOWN };
    let mut text = summary(&diff.summary()) + "\n";
    let names = [("new roles", diff.roles_only(true).join(", ")), ("roles gone", diff.roles_only(false).join(", "))];
    for (what, names) in names.iter().filter(|(_, names)| !names.is_empty()) {
        writeln!(text, "{what}: {names}").ok();
    }
    for (new, word) in [(true, "new"), (false, "gone")] {
        let features = diff.features_only(new);
        if features > 0 {
            writeln!(text, "{} {word}", count(features, "feature is", "features are")).ok();
        }
    }
    for (way, callers, heading) in
        [(Way::Gained, Callers::Roles, "gained"), (Way::Gained, Callers::Sets, "gained by roles together")]
    {
        section(diff, way, callers, heading, most, &mut text);
    }
    if !diff.settings.is_empty() {
        text.push_str("\nsettings:\n");
        for changed in &diff.settings {
            let mark = if changed.wider { "wider: " } else { "" };
            writeln!(text, "  {mark}{}: {}", changed.at, changed.text()).ok();
        }
    }
    if !diff.bindings.is_empty() {
        text.push_str("\nbindings:\n");
        for bound in &diff.bindings {
            let word = if bound.wider { "wider: callers gain" } else { "callers lose" };
            writeln!(text, "  {}: {word} {}: {}", bound.at, bound.roles.join(", "), bound.text).ok();
        }
    }
    for (way, callers, heading) in
        [(Way::Lost, Callers::Roles, "lost"), (Way::Lost, Callers::Sets, "lost by roles together")]
    {
        section(diff, way, callers, heading, most, &mut text);
    }
    if let Some(replayed) = &diff.queries {
        queries(diff, replayed, most, &mut text);
    }
    // What stands in files does not steer the terminal.
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

fn section(diff: &Diff<'_>, way: Way, callers: Callers, heading: &str, most: usize, text: &mut String) {
    let groups = groups(diff, way, callers, most);
    if groups.is_empty() {
        return;
    }
    writeln!(text, "\n{heading}:").ok();
    for (cause, group) in groups {
        if let Some(cause) = diff.cause(cause) {
            writeln!(text, "  {}:{}: {}", cause.file, cause.line, cause.text).ok();
        }
        let names: Vec<String> = group.rows.iter().map(|row| diff.feature(row.feature)).collect();
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).min(60);
        for (row, name) in group.rows.iter().zip(&names) {
            let (states, who) = (states(row), who(diff, row, callers));
            writeln!(text, "    {name:width$}  {states:30}  {who}{}", notes(diff, row)).ok();
        }
        let more = group.more;
        if more > 0 {
            let features = count(group.features, "feature", "features");
            let callers = count(group.callers.len(), "caller", "callers");
            writeln!(text, "    and {more} more ({features}, {callers} in all)").ok();
        }
    }
}

/// `Deny -> Allow`.
pub fn states(row: &Shown) -> String {
    let shown = |permission: Option<Permission>| permission.map_or("none", Permission::name);
    format!("{} -> {}", shown(row.state.old), shown(row.state.new))
}

/// The callers of a row, the first of them.
pub fn who(diff: &Diff<'_>, row: &Shown, callers: Callers) -> String {
    let most = if callers == Callers::Roles { 4 } else { 2 };
    let name = |caller: &u32| {
        let [old, new] = diff.roles_of(*caller);
        match (callers, old == new) {
            (Callers::Roles, _) => new.first().or(old.first()).copied().unwrap_or_default().to_owned(),
            (Callers::Sets, true) => new.join(" + "),
            (Callers::Sets, false) => format!("{} (before: {})", new.join(" + "), old.join(" + ")),
        }
    };
    let mut names: Vec<String> = row.callers.iter().take(most).map(name).collect();
    let more = row.callers.len().saturating_sub(most);
    if more > 0 {
        names.push(format!("{more} more"));
    }
    names.join(", ")
}

/// Under which values, through what, by which rules.
pub fn notes(diff: &Diff<'_>, row: &Shown) -> String {
    let mut notes = String::new();
    notes.push_str(match row.state.when {
        When::Always => "",
        When::WithKeys => ", with all keys supplied",
        When::WithValues => ", with some values supplied",
        When::Supplied => ", as a supplied value",
    });
    if let Some(through) = row.through {
        write!(notes, ", through {}", diff.feature(through)).ok();
    }
    let (old, new) = (row.state.old_rule, row.state.new_rule);
    if old != new && old != 0 && new != 0 {
        write!(notes, ", rule {old} -> {new}").ok();
    }
    notes
}

fn queries(diff: &Diff<'_>, replayed: &Replayed, most: usize, text: &mut String) {
    writeln!(text, "\n{}", replay_line(replayed)).ok();
    for line in replay_notes(diff, replayed) {
        writeln!(text, "  {line}").ok();
    }
    for change in replayed.changed.iter().take(most) {
        writeln!(text, "  {}", query(change)).ok();
        for because in change.because.iter().take(most) {
            writeln!(text, "    {because}").ok();
        }
    }
    let more = replayed.changed.len().saturating_sub(most);
    if more > 0 {
        writeln!(text, "  and {more} more").ok();
    }
}

/// What a replay read and found.
pub fn replay_line(replayed: &Replayed) -> String {
    format!(
        "{} of the audit log, {}: {} would change",
        count(usize::try_from(replayed.lines).unwrap_or(usize::MAX), "line", "lines"),
        count(replayed.queries, "distinct query", "distinct queries"),
        replayed.changed.len()
    )
}

/// What is to be known of a replay.
pub fn replay_notes(diff: &Diff<'_>, replayed: &Replayed) -> Vec<String> {
    let mut notes = Vec::new();
    if replayed.unreadable > 0 {
        let first: Vec<String> = replayed.unreadable_lines.iter().map(u64::to_string).collect();
        notes.push(format!("{} lines are no audit lines, the first: {}", replayed.unreadable, first.join(", ")));
    }
    if replayed.differing_from_record > 0 {
        notes.push(format!(
            "{} of the queries were recorded otherwise than the old side decides: the log is of another policy",
            replayed.differing_from_record
        ));
    }
    if !diff.bindings.is_empty() {
        notes.push("the log has roles and no claims: what the changed bindings do is not replayed".to_owned());
    }
    notes
}

/// One recorded query, in a line.
pub fn query(change: &Change) -> String {
    let list = |names: &[String]| {
        let shown: Vec<&str> = names.iter().take(5).map(String::as_str).collect();
        let more = names.len().saturating_sub(5);
        if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
    };
    let mut text = format!("{} -> {}: ", change.old, change.new);
    let asked = match &change.query {
        Some(query) => format!("bundle {query}"),
        None => list(&change.outputs),
    };
    write!(text, "{} asks for {asked}", list(&change.roles)).ok();
    if !change.supplied.is_empty() {
        write!(text, ", given {}", list(&change.supplied)).ok();
    }
    for (word, names) in [("returns also", &change.gained), ("no longer returns", &change.lost)] {
        if !names.is_empty() {
            write!(text, "; {word} {}", list(names)).ok();
        }
    }
    let or_more = if change.callers >= MOST_CALLERS { " or more" } else { "" };
    let (times, callers) = (change.count, change.callers);
    write!(text, "; {times} times by {callers}{or_more} callers, last {}", change.last).ok();
    text
}
