//! An explanation as a graph, for Mermaid and for Graphviz: what is read points at its reader, the permission is the
//! colour, a join is dashed, an output has a thick border.

use std::fmt::Write as _;

use super::text::opens;
use super::{Explanation, Node};
use crate::policy::permission::Permission;

/// Fill and border of a permission.
fn colours(permission: Permission) -> (&'static str, &'static str) {
    match permission {
        Permission::Deny => ("#f6c1c1", "#a32020"),
        Permission::AllowInternal => ("#fbe3b5", "#a36a00"),
        Permission::Allow => ("#d3e6f8", "#1f5f99"),
        Permission::AllowDownstream => ("#cdeccf", "#2b7a30"),
    }
}

/// A Mermaid flowchart.
pub fn mermaid(explanation: &Explanation) -> String {
    let mut text = notes(explanation, "%%");
    text.push_str("flowchart BT\n");
    for (node, number) in explanation.nodes.iter().zip(0..) {
        let label: Vec<String> = label(node).iter().map(|line| mermaid_text(line)).collect();
        writeln!(text, "  n{number}[\"{}\"]:::{}", label.join("<br/>"), node.permission).ok();
    }
    for (node, number) in explanation.nodes.iter().zip(0..) {
        for read in &node.reads {
            let arrow = if read.join { "-. join .->" } else { "-->" };
            writeln!(text, "  n{} {arrow} n{number}", read.node).ok();
        }
    }
    for output in &explanation.outputs {
        writeln!(text, "  style n{} stroke-width:4px", output.node).ok();
    }
    for permission in Permission::ALL {
        let (fill, stroke) = colours(permission);
        writeln!(text, "  classDef {permission} fill:{fill},stroke:{stroke},color:#000").ok();
    }
    text
}

/// A Graphviz digraph.
pub fn dot(explanation: &Explanation) -> String {
    let mut text = notes(explanation, "//");
    text.push_str("digraph lineage {\n  rankdir=BT;\n  node [shape=box, style=filled, fontname=\"sans-serif\"];\n");
    for (node, number) in explanation.nodes.iter().zip(0..) {
        let label: Vec<String> = label(node).iter().map(|line| dot_text(line)).collect();
        let (fill, stroke) = colours(node.permission);
        let width = if explanation.outputs.iter().any(|output| output.node == number) { ", penwidth=4" } else { "" };
        let label = label.join("\\n");
        writeln!(text, "  n{number} [label=\"{label}\", fillcolor=\"{fill}\", color=\"{stroke}\"{width}];").ok();
    }
    for (node, number) in explanation.nodes.iter().zip(0..) {
        for read in &node.reads {
            let style = if read.join { " [style=dashed, label=\"join\"]" } else { "" };
            writeln!(text, "  n{} -> n{number}{style};", read.node).ok();
        }
    }
    text.push_str("}\n");
    text
}

fn label(node: &Node) -> Vec<String> {
    let mut lines = vec![node.feature.clone(), format!("{}, rule {}", node.permission, node.rule)];
    if !node.tags.is_empty() {
        let tags: Vec<String> = node.tags.iter().map(|tag| format!("{} ({})", tag.tag, tag.place)).collect();
        lines.push(format!("tags {}", tags.join(", ")));
    }
    lines.push(node.why.clone());
    lines
}

/// The verdict and what would change it, as comments.
fn notes(explanation: &Explanation, mark: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let verdict = if explanation.permitted {
        "permitted".to_owned()
    } else {
        format!("refused: {}", explanation.refused.join(", "))
    };
    lines.push(format!("for {}: {verdict}", explanation.roles.join(", ")));
    for suggestion in &explanation.suggestions {
        let steps: Vec<&str> = suggestion.steps.iter().map(|step| step.text.as_str()).collect();
        lines.push(format!("would permit it: {} ({})", steps.join(" and "), opens(suggestion)));
    }
    let plain = |line: &String| line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    lines.iter().map(|line| format!("{mark} {}\n", plain(line))).collect()
}

/// Mermaid reads HTML and Markdown in labels; all that could be either is written as a code.
fn mermaid_text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '#' | '<' | '>' | '&' | '`' | '\\' | '*' | ';' => {
                write!(safe, "#{};", u32::from(c)).ok();
            }
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

fn dot_text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => safe.extend(['\\', c]),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}
