//! An explanation as a tree, one line a feature.
//!
//! What several features share is shown once and referred to after that. A deep lineage goes on in trees of its own
//! at the margin; in a large one, inputs alike that refuse nothing share a line.

use std::collections::{HashSet, VecDeque};
use std::fmt::Write as _;

use super::why::some;
use super::{Explanation, Given, Node, Read};
use crate::policy::bindings;
use crate::policy::permission::Permission;
use crate::policy::suggest::{MAX_CHANGES, Suggestion};

/// How deep a tree goes before the lineage goes on at the margin.
const DEEPEST: usize = 10;
/// From how many features on inputs alike share a line.
const LARGE: usize = 40;
/// How many alike are worth a shared line.
const ALIKE: usize = 4;

/// Writes an explanation for people.
pub fn write(explanation: &Explanation) -> String {
    let mut text = String::new();
    if let Some(seen) = &explanation.bindings {
        text.push_str(&bindings::text(seen));
    }
    head(explanation, &mut text);
    if explanation.nodes.iter().any(|node| node.elsewhere) {
        text.push_str("off the row that is asked for, only the keys of what is supplied count\n");
    }
    let mut tree = Tree { nodes: &explanation.nodes, shown: HashSet::new(), later: VecDeque::new(), text };
    for output in &explanation.outputs {
        tree.root(output.node);
    }
    let mut text = tree.text;
    suggestions(explanation, &mut text);
    plain(&text)
}

/// What stands in files and arguments does not steer the terminal.
pub(in crate::policy) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

fn head(explanation: &Explanation, text: &mut String) {
    let verdict = if explanation.permitted {
        "permitted".to_owned()
    } else {
        format!("refused: {}", explanation.refused.join(", "))
    };
    let roles = together(explanation);
    if explanation.outputs.is_empty() {
        writeln!(text, "roles: {roles}")
    } else {
        writeln!(text, "for {roles}: {verdict}")
    }
    .ok();
    for role in &explanation.dropped {
        writeln!(text, "role {role} may not use what is supplied, and drops out").ok();
    }
    for given in &explanation.supplied {
        writeln!(text, "{}", supplied(given)).ok();
    }
}

/// A supplied feature in one line.
pub(super) fn supplied(given: &Given) -> String {
    let note = match (given.refused, given.counts) {
        (true, _) => "refused; ",
        (false, true) => "",
        (false, false) => "does not count (supplies: keys); ",
    };
    format!("supplied {}  {}  {note}{}", given.feature, given.permission, given.why)
}

fn together(explanation: &Explanation) -> String {
    match explanation.roles.as_slice() {
        [role] => role.clone(),
        roles => format!("{} ({})", roles.join(", "), explanation.combine),
    }
}

struct Tree<'e> {
    nodes: &'e [Node],
    shown: HashSet<usize>,
    /// Whose lineage goes on at the margin.
    later: VecDeque<&'e Node>,
    text: String,
}

impl<'e> Tree<'e> {
    /// An output, and after it what goes on at the margin.
    fn root(&mut self, number: usize) {
        let Some(node) = self.nodes.get(number) else { return };
        self.text.push('\n');
        if !self.shown.insert(number) {
            writeln!(self.text, "{}  {}  (above)", node.feature, node.permission).ok();
            return;
        }
        writeln!(self.text, "{}", line(node)).ok();
        self.below(node, "", 1);
        while let Some(node) = self.later.pop_front() {
            writeln!(self.text, "\n{}", line(node)).ok();
            self.below(node, "", 1);
        }
    }

    fn below(&mut self, node: &'e Node, indent: &str, depth: usize) {
        let rows = self.rows(&node.reads);
        let last = rows.len().saturating_sub(1);
        for (row, at) in rows.into_iter().zip(0..) {
            let (branch, stem) = if at == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            let join = if row.first().is_some_and(|read| read.join) { "join " } else { "" };
            let Some((number, node)) = row.first().and_then(|read| Some((read.node, self.nodes.get(read.node)?)))
            else {
                continue;
            };
            self.text.push_str(indent);
            self.text.push_str(branch);
            if row.len() > 1 {
                let names: Vec<String> = row.iter().map(|read| read.feature.clone()).collect();
                let known = self.shown.contains(&number);
                let why = if known { format!("{}  (above)", node.permission) } else { reason(node) };
                writeln!(self.text, "{join}{} alike: {}  {why}", row.len(), some(&names)).ok();
                self.shown.extend(row.iter().map(|read| read.node));
            } else if !self.shown.insert(number) {
                writeln!(self.text, "{join}{}  {}  (above)", node.feature, node.permission).ok();
            } else if depth >= DEEPEST && !node.reads.is_empty() {
                writeln!(self.text, "{join}{}  {}  (below)", node.feature, node.permission).ok();
                self.later.push_back(node);
            } else {
                writeln!(self.text, "{join}{}", line(node)).ok();
                self.below(node, &format!("{indent}{stem}"), depth + 1);
            }
        }
    }

    /// The steps below a feature, those alike together where the lineage is large.
    fn rows(&self, reads: &'e [Read]) -> Vec<Vec<&'e Read>> {
        let mut kinds: Vec<Option<String>> = Vec::new();
        let mut rows: Vec<Vec<&'e Read>> = Vec::new();
        for read in reads {
            let kind = self.kind(read);
            match kinds.iter().zip(&mut rows).find(|(other, _)| kind.is_some() && **other == kind) {
                Some((_, row)) => row.push(read),
                None => {
                    kinds.push(kind);
                    rows.push(vec![read]);
                }
            }
        }
        let split = |row: Vec<&'e Read>| {
            if row.len() >= ALIKE { vec![row] } else { row.into_iter().map(|read| vec![read]).collect() }
        };
        rows.into_iter().flat_map(split).collect()
    }

    /// What steps that share a line have in common; none for one that has its own line.
    fn kind(&self, read: &Read) -> Option<String> {
        let node = self.nodes.get(read.node).filter(|node| node.permission != Permission::Deny)?;
        let join = if read.join { "join " } else { "" };
        if self.nodes.len() < LARGE {
            None
        } else if self.shown.contains(&read.node) {
            Some(format!("{join}{}  (above)", node.permission))
        } else if node.reads.is_empty() {
            Some(format!("{join}{}", reason(node)))
        } else {
            None
        }
    }
}

/// A feature, its tags and why, in one line.
pub(super) fn line(node: &Node) -> String {
    let mut tags: Vec<String> = Vec::new();
    for tag in &node.tags {
        let by = match (&tag.pattern, tag.imported) {
            (Some(pattern), _) => format!(" by {pattern}"),
            (None, true) => " imported".to_owned(),
            (None, false) => String::new(),
        };
        tags.push(format!("{}{by} {}", tag.tag, tag.place));
    }
    let tags = if tags.is_empty() { String::new() } else { format!("  [{}]", tags.join(", ")) };
    format!("{}  {}{tags}  rule {}: {}{}", node.feature, node.permission, node.rule, node.why, elsewhere(node))
}

/// The same of several features: without the places of their tags.
fn reason(node: &Node) -> String {
    let tags: Vec<&str> = node.tags.iter().map(|tag| tag.tag.as_str()).collect();
    let tags = if tags.is_empty() { String::new() } else { format!("  [{}]", tags.join(", ")) };
    format!("{}{tags}  rule {}: {}{}", node.permission, node.rule, node.why, elsewhere(node))
}

fn elsewhere(node: &Node) -> &'static str {
    if node.elsewhere { "  (off the row)" } else { "" }
}

fn suggestions(explanation: &Explanation, text: &mut String) {
    if explanation.permitted {
        return;
    }
    text.push('\n');
    if explanation.suggestions.is_empty() {
        writeln!(text, "no set of up to {MAX_CHANGES} changes was found that permits it").ok();
    } else {
        text.push_str("what would permit it, each verified; what other roles gain by it, `tagwarden diff` tells:\n");
    }
    for (suggestion, number) in explanation.suggestions.iter().zip(1..) {
        let mut lead = format!("  {number}. ");
        for step in &suggestion.steps {
            writeln!(text, "{lead}{}", step.text).ok();
            lead = "     and ".to_owned();
        }
        writeln!(text, "     {}", opens(suggestion)).ok();
    }
    if explanation.search_cut_short {
        text.push_str("the lineage is large, and the search stopped before it had tried everything\n");
    }
}

/// What else a suggestion opens.
pub(super) fn opens(suggestion: &Suggestion) -> String {
    match suggestion.opens.as_slice() {
        [] => "opens nothing else".to_owned(),
        [one] => format!("also opens {one}"),
        all => format!("also opens {} others: {}", all.len(), some(all)),
    }
}
