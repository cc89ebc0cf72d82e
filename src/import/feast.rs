//! A Feast registry -> catalogue: `feast registry-dump`, the REST registry's answers, whose `spec`
//! objects have the same shape, or the registry file itself (wire-feast.md, section 3). Checked
//! against Feast 0.67.
//!
//! ```text
//! stored view (batch, stream, label)   view:feature  {joins: its keys, sources: its sources}
//! view made of views                   view:feature  {inputs: every feature of those views, …}
//! on-demand view                       view:output   {inputs: every column of every source}
//! entity, request source               join key, request field  {key: true}
//! feature service                      a bundle
//! ```
//!
//! Feast knows no lineage of one output, only what a view reads, so the lineage here is never
//! smaller than the true one; `not_inputs` in the policy makes it so.
//!
//! **Labels.** The tag `k=v` is the label `k=v`; where `v` is empty or `true` (in any case) it is
//! `k` as well; where `v` is `false` it is no label at all. A feature has its own labels and its
//! view's, both: a feature that says `pii=false` in a view of `pii=true` is still `pii`. Keys have
//! the labels of their fields, not those of views and entities.
//!
//! **What the two sources do not tell alike.** The REST registry keeps label views out of
//! `/feature_views`; the dump keeps out on-demand views without a transformation, and Feast 0.67
//! cannot dump on-demand views in Python mode at all. Services that use a view which is not there
//! are left out of the catalogue, with a warning.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::node::{Node, read_json, shown};
use super::{Import, ImportError};
use found::Found;

mod found;
mod registry_db;

pub use registry_db::from_registry_db;

/// The entity and join key of views without entities; Feast puts them into every registry.
const NO_ENTITY: &str = "__dummy";
const NO_KEY: &str = "__dummy_id";

/// A tag in which Feast keeps a setting of an on-demand view.
const SETTING: &str = "feast:track_metrics";

const DUMP: &str = "registry dump";

/// How to read a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// A view's tags count for each of its features. Default: true.
    pub inherit_view_tags: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { inherit_view_tags: true }
    }
}

/// The catalogue of what `feast registry-dump` prints (one JSON object in UTF-8).
///
/// # Errors
/// Any [`ImportError`] but `OnePage`; nothing is imported then.
pub fn from_registry_dump(text: &[u8], options: &Options) -> Result<Import, ImportError> {
    from_dump(&read_json(text, DUMP)?, options)
}

fn from_dump(dump: &Value, options: &Options) -> Result<Import, ImportError> {
    let top = Node::top(dump, DUMP);
    let mut registry = Registry::default();
    for list in ["featureViews", "streamFeatureViews", "labelViews"] {
        for view in top.items(list)? {
            registry.add_view(&view, false)?;
        }
    }
    for view in top.items("onDemandFeatureViews")? {
        registry.add_view(&view, true)?;
    }
    registry.add_entities(top.items("entities")?)?;
    registry.add_services(top.items("featureServices")?)?;
    registry.data_sources = top.items("dataSources")?;
    Found::walk(&registry, options)
}

/// The catalogue of what a REST registry answers for one project to `GET /feature_views`,
/// `GET /feature_services` and `GET /entities` (asked without `limit`: whole lists).
///
/// # Errors
/// Any [`ImportError`]; nothing is imported then. A project that Feast does not know is `Empty`.
pub fn from_rest(
    feature_views: &[u8],
    feature_services: &[u8],
    entities: &[u8],
    options: &Options,
) -> Result<Import, ImportError> {
    const VIEWS: &str = "answer to `/feature_views`";
    const SERVICES: &str = "answer to `/feature_services`";
    const ENTITIES: &str = "answer to `/entities`";
    let views = read_json(feature_views, VIEWS)?;
    let services = read_json(feature_services, SERVICES)?;
    let entities = read_json(entities, ENTITIES)?;
    let mut registry = Registry::default();
    for view in answer(&views, VIEWS, "featureViews")? {
        registry.add_view(&view, false)?;
    }
    registry.add_entities(answer(&entities, ENTITIES, "entities")?)?;
    registry.add_services(answer(&services, SERVICES, "featureServices")?)?;
    Found::walk(&registry, options)
}

/// The list of one answer. It must be there, so that an error's body is not taken for an empty
/// list, and whole.
fn answer<'a>(value: &'a Value, document: &'static str, list: &str) -> Result<Vec<Node<'a>>, ImportError> {
    let top = Node::top(value, document);
    top.required(list)?;
    if let Some(pagination) = top.field("pagination")?
        && let Some(pages) = pagination.field("totalPages")?
    {
        let pages = pages.number()?;
        if pages > 1 {
            return Err(ImportError::OnePage { document, pages });
        }
    }
    top.items(list)
}

/// What the registry lists, by name, before anything is followed.
#[derive(Default)]
struct Registry<'a> {
    views: BTreeMap<&'a str, View<'a>>,
    /// Without `__dummy`.
    entities: BTreeMap<&'a str, Node<'a>>,
    services: BTreeMap<&'a str, Node<'a>>,
    data_sources: Vec<Node<'a>>,
    warnings: Vec<String>,
}

struct View<'a> {
    spec: Node<'a>,
    on_demand: bool,
    /// Its features, outputs with an on-demand view; no keys.
    columns: BTreeMap<&'a str, Node<'a>>,
}

impl<'a> Registry<'a> {
    /// A view of the dump's lists, which tell its kind, or of the REST registry's one list, where
    /// `type` does.
    fn add_view(&mut self, node: &Node<'a>, on_demand: bool) -> Result<(), ImportError> {
        let spec = node.required("spec")?;
        let name = name_of(&spec, "name", &[':', '@', '*'])?;
        // A stored view has no field of that name.
        let looks_on_demand = spec.field("sources")?.is_some();
        let on_demand = match node.text_of("type")? {
            Some("onDemandFeatureView") => true,
            Some("featureView" | "streamFeatureView" | "labelView") => false,
            None => on_demand || looks_on_demand,
            Some(other) => {
                let (name, other) = (shown(name), shown(other));
                self.warnings
                    .push(format!("the view `{name}` is of the unknown kind `{other}`: it is read by its shape"));
                looks_on_demand
            }
        };
        let mut columns: BTreeMap<&str, Node> = BTreeMap::new();
        for field in spec.items("features")? {
            let column = name_of(&field, "name", &['*'])?;
            if let Some(first) = columns.get(column) {
                return Err(twice(&field, column, first));
            }
            columns.insert(column, field);
        }
        if let Some(first) = self.views.get(name) {
            return Err(twice(&spec, name, &first.spec));
        }
        let view = View { spec, on_demand, columns };
        self.views.insert(name, view);
        Ok(())
    }

    fn add_entities(&mut self, entities: Vec<Node<'a>>) -> Result<(), ImportError> {
        for entity in entities {
            let spec = entity.required("spec")?;
            let name = name_of(&spec, "name", &[])?;
            if name == NO_ENTITY {
                continue;
            }
            if let Some(first) = self.entities.get(name) {
                return Err(twice(&spec, name, first));
            }
            self.entities.insert(name, spec);
        }
        Ok(())
    }

    fn add_services(&mut self, services: Vec<Node<'a>>) -> Result<(), ImportError> {
        for service in services {
            let spec = service.required("spec")?;
            let name = name_of(&spec, "name", &[])?;
            if let Some(first) = self.services.get(name) {
                return Err(twice(&spec, name, first));
            }
            self.services.insert(name, spec);
        }
        Ok(())
    }

    fn has(&self, view: &str, column: &str) -> bool {
        let view = self.views.get(view);
        view.is_some_and(|view| view.columns.contains_key(column))
    }

    /// Every feature of a view that another one reads.
    fn all_of(&self, place: &Node<'a>, view: &str) -> Result<BTreeSet<String>, ImportError> {
        let Some(found) = self.views.get(view) else {
            let (place, view) = (place.place.clone(), shown(view));
            return Err(ImportError::UnknownView { place, view });
        };
        Ok(found.columns.keys().map(|c| full(view, c)).collect())
    }
}

/// A feature's name in the catalogue, as Feast writes it in a request.
fn full(view: &str, column: &str) -> String {
    format!("{view}:{column}")
}

/// A name in a field: not empty, without control characters and without those in `bad`.
fn name_of<'a>(node: &Node<'a>, field: &str, bad: &[char]) -> Result<&'a str, ImportError> {
    let node = node.required(field)?;
    let name = node.text()?;
    check_name(name, &node.place, bad)?;
    Ok(name)
}

fn check_name(name: &str, place: &str, bad: &[char]) -> Result<(), ImportError> {
    let place = place.to_owned();
    if name.is_empty() {
        return Err(ImportError::EmptyName { place });
    }
    match name.chars().find(|c| bad.contains(c) || c.is_control()) {
        Some(character) => Err(ImportError::BadName { place, character }),
        None => Ok(()),
    }
}

fn twice(again: &Node<'_>, name: &str, first: &Node<'_>) -> ImportError {
    ImportError::Twice { place: again.below("name"), name: shown(name), first: first.below("name") }
}

#[cfg(test)]
mod tests;
