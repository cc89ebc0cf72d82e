//! Named queries -> bundles.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::super::node::shown;
use super::super::{ImportError, Member};
use super::graph::{Graph, Kind};
use super::proto;

/// Projections within projections that are followed.
const DEEPEST: usize = 8;

/// The bundles `name` and `name@version`. What cannot be one is left out, with a warning.
pub(super) fn bundles(
    graph: &Graph,
    queries: &[Bytes],
    warnings: &mut Vec<String>,
) -> Result<BTreeMap<String, Vec<Member>>, ImportError> {
    let mut bundles = BTreeMap::new();
    let mut places: BTreeMap<String, String> = BTreeMap::new();
    for (number, bytes) in queries.iter().enumerate() {
        let place = format!("graph.named_queries[{number}]");
        let (query, newer): (proto::NamedQuery, _) = proto::read(bytes, &place)?;
        if query.name.is_empty() {
            return Err(ImportError::EmptyName { place: format!("{place}.name") });
        }
        let name = match query.query_version.as_deref() {
            None | Some("") => query.name.clone(),
            Some(version) => format!("{}@{version}", query.name),
        };
        if let Some(first) = places.insert(name.clone(), place.clone()) {
            return Err(ImportError::Twice { place, name: shown(&name), first });
        }
        let members = match newer {
            Some(newer) => Err(format!("it has the field {newer}, which is newer than this import")),
            None => members(graph, &query),
        };
        match members {
            Ok(members) => {
                bundles.insert(name, members);
            }
            Err(reason) => warnings.push(format!("the named query `{}` is left out: {reason}", shown(&name))),
        }
    }
    Ok(bundles)
}

fn members(graph: &Graph, query: &proto::NamedQuery) -> Result<Vec<Member>, String> {
    if !query.output_expressions.is_empty() {
        return Err("it has expressions of its own".to_owned());
    }
    let mut members = Vec::new();
    for output in &query.output {
        match leaves(graph, output, DEEPEST) {
            Some(leaves) => members.extend(leaves),
            None => return Err(format!("its `{}` is no feature of the export", shown(output))),
        }
    }
    if query.output.is_empty() {
        // Without outputs: all features of the namespace that it is asked for.
        let mut namespaces: Vec<&str> = query.input.iter().filter_map(|input| input.split('.').next()).collect();
        namespaces.dedup();
        members.extend(namespaces.into_iter().flat_map(|namespace| graph.row(namespace)).map(plain));
    }
    if members.is_empty() {
        return Err("it has no outputs that are known".to_owned());
    }
    Ok(members)
}

fn plain(feature: String) -> Member {
    Member { feature, alias: None, keys: BTreeMap::new() }
}

/// The features that an output names, one or, for a projection, several. Those that are reached over a relation have
/// their own way there as alias: `user.identity.phone`, `user.transactions[transaction.amount]`. A relation that is
/// named as a whole is one member. `None`: something in it is not known.
fn leaves(graph: &Graph, output: &str, levels: usize) -> Option<Vec<Member>> {
    let (head, inner) = match output.split_once('[') {
        Some((head, rest)) => (head, Some(rest.strip_suffix(']')?)),
        None => (output, None),
    };
    let Some((way, last)) = head.rsplit_once('.') else {
        return (inner.is_none() && graph.is_namespace(head)).then(|| graph.row(head).into_iter().map(plain).collect());
    };
    let mut hops = way.split('.');
    let mut namespace = hops.next()?;
    let mut direct = inner.is_none();
    for hop in hops {
        (namespace, _) = graph.relation(&format!("{namespace}.{hop}"))?;
        direct = false;
    }
    let feature = format!("{namespace}.{last}");
    let Some(inner) = inner else {
        graph.features.get(&feature).filter(|declared| declared.kind != Kind::Windowed)?;
        let alias = (!direct).then(|| output.to_owned());
        return Some(vec![Member { feature, alias, keys: BTreeMap::new() }]);
    };
    let (target, _) = graph.relation(&feature)?;
    let mut members = Vec::new();
    for part in parts(inner) {
        // A column is a feature of the target, never a namespace.
        if !part.strip_prefix(target).is_some_and(|rest| rest.starts_with('.')) {
            return None;
        }
        for leaf in leaves(graph, part, levels.checked_sub(1)?)? {
            let column = leaf.alias.unwrap_or_else(|| leaf.feature.clone());
            members.push(Member { alias: Some(format!("{head}[{column}]")), ..plain(leaf.feature) });
        }
    }
    Some(members)
}

/// The parts between the commas that are in no further brackets.
fn parts(inner: &str) -> Vec<&str> {
    let mut open = 0usize;
    inner
        .split(|c| {
            match c {
                '[' => open = open.saturating_add(1),
                ']' => open = open.saturating_sub(1),
                _ => {}
            }
            c == ',' && open == 0
        })
        .collect()
}
