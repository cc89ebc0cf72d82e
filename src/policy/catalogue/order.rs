//! The order of the lineage, and the circles that keep it from having one.

use std::collections::BTreeSet;

use super::build::Merged;
use super::small;
use crate::diagnostic::{Code, Diagnostic, Report};

/// Inputs and joins of one feature, by provisional number.
pub(super) struct Links {
    pub(super) inputs: Vec<u32>,
    pub(super) joins: Vec<u32>,
}
/// Numbers in an order in which inputs and joins come first; cycles are reported and left out.
pub(super) fn order(merged: &[(&str, Merged<'_>)], links: &[Links], report: &mut Report) -> Vec<u32> {
    let mut waiting: Vec<usize> = Vec::with_capacity(links.len());
    let mut readers: Vec<Vec<u32>> = vec![Vec::new(); links.len()];
    for (link, reader) in links.iter().zip(0..) {
        waiting.push(link.inputs.len() + link.joins.len());
        for target in link.inputs.iter().chain(&link.joins) {
            if let Some(list) = readers.get_mut(*target as usize) {
                list.push(reader);
            }
        }
    }
    let mut ready: std::collections::VecDeque<u32> =
        waiting.iter().zip(0..).filter(|(count, _)| **count == 0).map(|(_, number)| number).collect();
    let mut order = Vec::with_capacity(links.len());
    while let Some(number) = ready.pop_front() {
        order.push(number);
        for reader in readers.get(number as usize).into_iter().flatten() {
            if let Some(count) = waiting.get_mut(*reader as usize) {
                *count -= 1;
                if *count == 0 {
                    ready.push_back(*reader);
                }
            }
        }
    }
    if order.len() < links.len() {
        cycles(merged, links, &order, report);
    }
    order
}

fn cycles(merged: &[(&str, Merged<'_>)], links: &[Links], order: &[u32], report: &mut Report) {
    let mut open: BTreeSet<u32> = (0..small(links.len())).collect();
    for number in order {
        open.remove(number);
    }
    for _ in 0..20 {
        // What only reads a cycle is none: from any open feature a walk over open inputs ends in one.
        let Some(&start) = open.iter().next() else { return };
        let mut walk = vec![start];
        let mut at = start;
        let cycle = loop {
            let Some(link) = links.get(at as usize) else { break Vec::new() };
            let Some(&next) = link.inputs.iter().chain(&link.joins).find(|n| open.contains(n)) else {
                break Vec::new();
            };
            if let Some(position) = walk.iter().position(|n| *n == next) {
                break walk.split_off(position);
            }
            walk.push(next);
            at = next;
        };
        if cycle.is_empty() {
            open.remove(&at);
            continue;
        }
        let name = |n: &u32| merged.get(*n as usize).map_or("", |(name, _)| *name);
        let shown: Vec<&str> = cycle.iter().chain(cycle.first()).map(name).collect();
        let place = cycle.first().and_then(|n| merged.get(*n as usize)).and_then(|(_, feature)| feature.place());
        if let Some(place) = place {
            let message = format!("the lineage goes in a circle: {}", shown.join(" -> "));
            report.push(Diagnostic::new(Code::Cycle, place, message));
        }
        for number in &cycle {
            open.remove(number);
        }
    }
}
