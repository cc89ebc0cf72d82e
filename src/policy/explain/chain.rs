//! Of a feature what decides alone: the chain of lines from the feature down to the one that made it so.

use std::collections::{HashMap, VecDeque};

use super::{Explanation, Node, text};

/// Features of one list that are shown; what they have in common is mostly said by the first.
const FEATURES: usize = 5;
/// Lines of a chain that are shown; what is between its two ends is counted.
const LINES: usize = 10;

/// The chains of several outputs or supplied features of an explained query, one after the other.
pub fn all(explanation: &Explanation, features: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = features.iter().take(FEATURES).flat_map(|name| one(explanation, name)).collect();
    if let Some(more) = features.len().checked_sub(FEATURES).filter(|more| *more > 0) {
        lines.push(format!("and {more} more"));
    }
    lines
}

/// The chain of one: a line for the feature, and one below it for each step of the shortest way to a feature that decided
/// by its own tags, sources or name. A supplied value is refused by its own line.
pub fn one(explanation: &Explanation, feature: &str) -> Vec<String> {
    let given = explanation.supplied.iter().find(|given| given.feature == feature && given.refused);
    if let Some(given) = given {
        return vec![text::plain(&text::supplied(given))];
    }
    let Some(output) = explanation.outputs.iter().find(|output| output.feature == feature) else { return Vec::new() };
    let way = way(explanation, output.node);
    // Leaving out one line would take a line to say so.
    let between = way.len().checked_sub(LINES).filter(|more| *more > 1).unwrap_or(0);
    let left_out = LINES / 2..LINES / 2 + between;
    let mut lines = Vec::new();
    for (node, at) in way.into_iter().zip(0..) {
        if left_out.contains(&at) {
            if at == left_out.start {
                lines.push(format!("{}… {between} features further down", indent(lines.len())));
            }
            continue;
        }
        lines.push(text::plain(&format!("{}{}", indent(lines.len()), text::line(node))));
    }
    lines
}

fn indent(depth: usize) -> String {
    if depth == 0 { String::new() } else { format!("{}└─ ", "   ".repeat(depth - 1)) }
}

/// The shortest way from a feature along what made its rule apply, down to one that nothing below it decided.
fn way(explanation: &Explanation, from: usize) -> Vec<&Node> {
    let mut came_from: HashMap<usize, usize> = HashMap::from([(from, from)]);
    let mut open = VecDeque::from([from]);
    let mut end = from;
    while let Some(number) = open.pop_front() {
        let Some(node) = explanation.nodes.get(number) else { continue };
        end = number;
        if node.because.is_empty() {
            break;
        }
        for read in node.reads.iter().filter(|read| node.because.contains(&read.feature)) {
            came_from.entry(read.node).or_insert_with(|| {
                open.push_back(read.node);
                number
            });
        }
    }
    let mut way: Vec<usize> =
        std::iter::successors(Some(end), |at| came_from.get(at).copied().filter(|b| b != at)).collect();
    way.reverse();
    way.into_iter().filter_map(|number| explanation.nodes.get(number)).collect()
}
