//! The data sources of an export, with the tags that code gives them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::super::DataSource;
use super::super::node::shown;
use super::proto::{self, Source};

/// The type of a reference to a group, of which a query's tags choose one (wire-chalk.md, 5.7).
const GROUP: &str = "chalk::db_source_group";

/// Data sources by name, and the groups over them.
#[derive(Default)]
pub(super) struct Sources {
    pub known: BTreeMap<String, DataSource>,
    groups: BTreeMap<String, BTreeSet<String>>,
    pub warnings: BTreeSet<String>,
}

impl Sources {
    pub(super) fn read(graph: &proto::Graph) -> Self {
        let mut sources = Sources::default();
        for source in graph.database_sources.iter().chain(&graph.stream_sources) {
            sources.declare(source);
        }
        for group in &graph.source_groups {
            let members = group.default_source.iter().chain(group.tagged_sources.values());
            let members = members.flat_map(|source| sources.of(source)).collect();
            sources.groups.insert(group.name.clone(), members);
        }
        sources
    }

    /// A label opens a source to the roles that carry it, so that of two sources with one name only the labels of
    /// both count.
    fn declare(&mut self, source: &Source) {
        let copy = DataSource { kind: kind(source), tags: source.permission_tags.iter().cloned().collect() };
        match self.known.entry(name(source)) {
            Entry::Vacant(slot) => {
                slot.insert(copy);
            }
            Entry::Occupied(mut slot) => {
                let text = shown(slot.key());
                let first = slot.get_mut();
                if *first != copy {
                    first.tags.retain(|tag| copy.tags.contains(tag));
                    self.warnings.insert(format!(
                        "the data source `{text}` stands twice and not alike: the tags that it has in both places count"
                    ));
                }
            }
        }
    }

    /// The names of the data sources that a reference stands for: all of a group.
    pub(super) fn of(&mut self, reference: &Source) -> BTreeSet<String> {
        let name = name(reference);
        if reference.source_type == GROUP {
            if let Some(members) = self.groups.get(&name) {
                return members.clone();
            }
            self.undeclared(&name, None);
        } else {
            self.undeclared(&name, kind(reference));
        }
        BTreeSet::from([name])
    }

    /// A source that is read and not declared: no tag opens it.
    pub(super) fn undeclared(&mut self, name: &str, kind: Option<String>) {
        if !self.known.contains_key(name) {
            self.warnings.insert(format!("the data source `{}` is read and not declared: it has no tags", shown(name)));
            self.known.insert(name.to_owned(), DataSource { kind, tags: BTreeSet::new() });
        }
    }
}

/// The name; the default source of its type, which has none, is called by the type.
fn name(source: &Source) -> String {
    if source.name.is_empty() { source.source_type.clone() } else { source.name.clone() }
}

/// In capitals, as Chalk's own list of integrations has them.
fn kind(source: &Source) -> Option<String> {
    match source.source_type.as_str() {
        "" => None,
        "postgres" => Some("POSTGRESQL".to_owned()),
        other => Some(other.to_uppercase()),
    }
}
