//! A Chalk project -> catalogue: what `chalkpy export FILE --proto` writes, without a server
//! (wire-chalk.md, sections 7 to 11). Checked against chalkpy 2.166.1.
//!
//! ```text
//! scalar, time, group-by         namespace.name  {tags, inputs, joins, sources}
//! primary key                    namespace.name  {key: true, …}
//! version, window                namespace.name@2, namespace.name__3600__: features of their own
//! has-one, has-many              namespace.name  {has_one: target, joins: its keys}
//! data source                    name            {kind, tags: its permission tags}
//! named query                    a bundle `name` or `name@version`
//! ```
//!
//! A feature can have several derivations (an expression, resolvers, streams) and only Chalk's
//! planner knows which runs: it has the inputs of all of them. The name over the buckets of a
//! window is no feature (it carries no tags): it stays out and is so refused. A key that a resolver
//! both reads and gives is not derived by it.
//!
//! **Opaque**, so that its inputs alone never clear it, is a feature with a derivation that reads
//! what cannot be resolved, or that has no input but keys beside another that has; with
//! [`Options::opaque_resolvers`] everything that python computes. Each is a warning, and so is each
//! python resolver: what it reads besides its inputs nobody sees.
//!
//! Tags are as the project has them: `override_feature_tags` is applied in the export already.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use prost::Message as _;

use super::node::shown;
use super::{Catalogue, Feature, Import, ImportError};
use graph::{Declared, Graph, Kind};
use lineage::{Derivation, Derivations};
use sources::Sources;

mod expression;
mod graph;
mod lineage;
mod proto;
mod queries;
mod sources;

/// How to read an export.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Everything that a python resolver computes is opaque. Default: false.
    pub opaque_resolvers: bool,
}

/// The catalogue of what `chalkpy export FILE --proto` wrote (`chalk.artifacts.v1.Export`).
///
/// # Errors
/// `JsonExport`, `Damaged`, `FailedImports` and `FailedConversions` (chalkpy exports what is left
/// of a broken project and ends with 0), `EmptyExport`, `UnknownOutput`, and those of names
/// (`EmptyName`, `BadName`, `Twice`); nothing is imported then.
pub fn from_export(bytes: &[u8], options: &Options) -> Result<Import, ImportError> {
    if bytes.trim_ascii_start().first() == Some(&b'{') {
        return Err(ImportError::JsonExport);
    }
    let graph = of_export(Bytes::copy_from_slice(bytes))?;
    of_graph(&graph.ok_or(ImportError::EmptyExport)?, options)
}

/// The catalogue of what a running deployment says of itself (`GraphService/GetGraph`): the export where it gives one
/// (`chalk.artifacts.v1.Export`, which tells what of the project is missing), else the graph alone (`chalk.graph.v1.Graph`).
///
/// # Errors
/// Those of [`from_export`] but `JsonExport`; with neither, or with an empty one, `EmptyGraph`.
pub fn from_server(export: Option<Bytes>, graph: Option<Bytes>, options: &Options) -> Result<Import, ImportError> {
    let exported = export.map(of_export).transpose()?.flatten();
    let imported = match exported.or(graph) {
        Some(graph) => of_graph(&graph, options),
        None => Err(ImportError::EmptyGraph),
    };
    imported.map_err(|error| if error == ImportError::EmptyExport { ImportError::EmptyGraph } else { error })
}

/// The graph of an export from which nothing is missing.
fn of_export(bytes: Bytes) -> Result<Option<Bytes>, ImportError> {
    let export = proto::Export::decode(bytes).map_err(|_| proto::damaged("export"))?;
    whole(&export)?;
    Ok(export.graph)
}

fn of_graph(bytes: &Bytes, options: &Options) -> Result<Import, ImportError> {
    let (message, newer): (proto::Graph, _) = proto::read(bytes, "graph")?;
    let mut warnings = Vec::new();
    if let Some(newer) = newer {
        warnings.push(format!("the graph has the field {newer}, which is newer than this import"));
    }
    let mut graph = Graph::read(&message.feature_sets, &mut warnings)?;
    for (relation, keys) in lineage::keys(&graph, &mut warnings)? {
        if let Some(declared) = graph.features.get_mut(&relation) {
            declared.joins = keys;
        }
    }
    let mut sources = Sources::read(&message);
    let mut derivations = Derivations::default();
    derivations.expressions(&graph)?;
    derivations.resolvers(&graph, &message.resolvers, &mut sources)?;
    derivations.streams(&graph, &message.stream_resolvers, &mut sources)?;
    derivations.models(&graph, &message.models);
    let bundles = queries::bundles(&graph, &message.named_queries, &mut warnings)?;

    let mut features = BTreeMap::new();
    for (full, declared) in &graph.features {
        let ways = derivations.of.remove(full).unwrap_or_default();
        if let Some(feature) = feature(full, declared, ways, &graph, options, &mut warnings) {
            features.insert(full.clone(), feature);
        }
    }
    if features.values().all(|feature| feature.key) {
        return Err(ImportError::EmptyExport);
    }
    let catalogue = Catalogue { features, bundles, datasources: sources.known };
    warnings.extend(derivations.warnings);
    warnings.extend(sources.warnings);
    warnings.append(&mut super::circles(&catalogue));
    warnings.sort();
    warnings.dedup();
    Ok(Import { catalogue, warnings })
}

/// That nothing of the project is missing from the export.
fn whole(export: &proto::Export) -> Result<(), ImportError> {
    let listed = |names: BTreeSet<String>| names.into_iter().collect::<Vec<_>>().join(", ");
    if !export.failed.is_empty() {
        let files = export.failed.iter().map(|failed| match (failed.file_name.trim(), failed.module.trim()) {
            ("", "") => "the project as a whole".to_owned(),
            ("", module) => format!("`{}`", shown(module)),
            (file, _) => format!("`{}`", shown(file)),
        });
        return Err(ImportError::FailedImports { files: listed(files.collect()) });
    }
    if !export.conversion_errors.is_empty() {
        let parts = export.conversion_errors.iter().map(|error| match (error.feature.trim(), error.resolver.trim()) {
            ("", "") => "a part without a name".to_owned(),
            ("", resolver) => format!("`{}`", shown(resolver)),
            (feature, _) => format!("`{}`", shown(feature)),
        });
        return Err(ImportError::FailedConversions { parts: listed(parts.collect()) });
    }
    Ok(())
}

/// A feature of the catalogue; `None` for the name over the buckets of a window.
fn feature(
    full: &str,
    declared: &Declared,
    ways: Vec<Derivation>,
    graph: &Graph,
    options: &Options,
    warnings: &mut Vec<String>,
) -> Option<Feature> {
    let mut feature = Feature { key: declared.key, tags: declared.tags.clone(), ..Feature::default() };
    feature.default_version = declared.default_version;
    for newer in &declared.newer {
        feature.opaque = true;
        warnings
            .push(format!("`{}` is opaque: it has the field {newer}, which is newer than this import", shown(full)));
    }
    match &declared.kind {
        Kind::Windowed => return None,
        Kind::Relation { many, target } => {
            let relation = if *many { &mut feature.has_many } else { &mut feature.has_one };
            *relation = Some(target.clone());
            feature.joins.clone_from(&declared.joins);
        }
        Kind::Scalar | Kind::Time | Kind::GroupBy => {}
    }
    let is_key = |name: &String| graph.features.get(name).is_some_and(|declared| declared.key);
    let sees = |way: &Derivation| way.lineage.inputs.iter().any(|name| name != full && !is_key(name));
    if ways.iter().any(sees)
        && let Some(blind) = ways.iter().find(|way| !sees(way))
    {
        feature.opaque = true;
        let full = shown(full);
        warnings.push(format!("`{full}` is opaque: {} computes it from no input that can be seen", blind.via));
    }
    for way in ways {
        feature.opaque |= !way.lineage.problems.is_empty() || (options.opaque_resolvers && way.python);
        feature.inputs.extend(way.lineage.inputs);
        feature.joins.extend(way.lineage.joins);
        feature.sources.extend(way.lineage.sources);
    }
    // Its own value on another row has the same permission.
    feature.inputs.remove(full);
    feature.joins.remove(full);
    Some(feature)
}

#[cfg(test)]
mod tests;
