//! The derivations of each feature: by expressions, resolvers, streams and models.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::super::ImportError;
use super::super::node::shown;
use super::expression::{Lineage, Walk};
use super::graph::{Declared, Graph, Kind, Recipe};
use super::proto::{self, InputKind, OutputKind};
use super::sources::Sources;

/// One way in which a feature is computed; only Chalk's planner knows which of several runs.
#[derive(Debug, Clone)]
pub(super) struct Derivation {
    /// Its name in messages: "the resolver `get_email`".
    pub via: String,
    pub lineage: Lineage,
    /// Code that can read more than its inputs.
    pub python: bool,
}

/// All derivations, by feature.
#[derive(Default)]
pub(super) struct Derivations {
    pub of: BTreeMap<String, Vec<Derivation>>,
    pub warnings: BTreeSet<String>,
}

/// The keys of each relation, from its join.
pub(super) fn keys(
    graph: &Graph,
    warnings: &mut Vec<String>,
) -> Result<BTreeMap<String, BTreeSet<String>>, ImportError> {
    let mut keys = BTreeMap::new();
    for (full, declared) in &graph.features {
        let Kind::Relation { target, .. } = &declared.kind else { continue };
        let mut walk = Walk::new(graph, full, None);
        match &declared.join {
            Some(join) => walk.expression(join, &declared.namespace)?,
            None => warnings.push(format!("the relation `{}` has no join: its keys are not known", shown(full))),
        }
        if !graph.is_namespace(target) {
            let (full, target) = (shown(full), shown(target));
            warnings.push(format!("the relation `{full}` leads to `{target}`, which the export does not have"));
        }
        let found = walk.found;
        for problem in found.problems {
            warnings.push(format!("the keys of the relation `{}` are not all known: {problem}", shown(full)));
        }
        keys.insert(full.clone(), found.inputs.into_iter().chain(found.joins).collect());
    }
    Ok(keys)
}

impl Derivations {
    fn add(&mut self, feature: String, derivation: Derivation) {
        self.of.entry(feature).or_default().push(derivation);
    }

    /// What a resolver is warned of, once for all of its outputs.
    fn warn(&mut self, via: &str, lineage: &Lineage, python: bool) {
        for problem in &lineage.problems {
            self.warnings.insert(format!("what {via} computes is opaque: {problem}"));
        }
        if python {
            self.warnings.insert(format!("{via} is python: what it reads besides its inputs cannot be seen"));
        }
    }

    /// The derivations that features have of themselves.
    pub(super) fn expressions(&mut self, graph: &Graph) -> Result<(), ImportError> {
        for (full, declared) in &graph.features {
            let mut found: Vec<Lineage> = Vec::new();
            let mut stored: Option<Lineage> = None;
            for recipe in &declared.recipes {
                let mut walk = Walk::new(graph, full, declared.window);
                match recipe {
                    Recipe::Expression(bytes) => walk.expression(bytes, &declared.namespace)?,
                    Recipe::LastFor(bytes) => walk.reference(bytes)?,
                    Recipe::Aggregation(bytes) => {
                        aggregation(&mut walk, graph, declared, bytes)?;
                        stored = Some(stored.unwrap_or_default().and(walk.found));
                        continue;
                    }
                }
                found.push(walk.found);
            }
            // What is stored is the expression's value, not another way to it.
            if let Some(stored) = stored {
                let first = if found.is_empty() { Lineage::default() } else { found.swap_remove(0) };
                found.push(first.and(stored));
            }
            for lineage in found {
                for problem in &lineage.problems {
                    self.warnings.insert(format!("`{}` is opaque: {problem}", shown(full)));
                }
                self.add(full.clone(), Derivation { via: "its expression".to_owned(), lineage, python: false });
            }
        }
        Ok(())
    }

    /// The derivations by online and offline resolvers.
    pub(super) fn resolvers(
        &mut self,
        graph: &Graph,
        resolvers: &[Bytes],
        sources: &mut Sources,
    ) -> Result<(), ImportError> {
        for (number, bytes) in resolvers.iter().enumerate() {
            let place = format!("graph.resolvers[{number}]");
            let (resolver, newer): (proto::Resolver, _) = proto::read(bytes, &place)?;
            let mut walk = Walk::new(graph, &place, None);
            for input in &resolver.inputs {
                walk.input(input)?;
            }
            if let Some(when) = &resolver.when {
                walk.expression(when, "")?;
            }
            for argument in resolver.cron_filter.iter().flat_map(|filter| &filter.args) {
                walk.reference(argument)?;
            }
            let mut lineage = walk.found;
            for source in &resolver.data_sources {
                lineage.sources.append(&mut sources.of(source));
            }
            for source in &resolver.data_sources_v1 {
                sources.undeclared(&source.name, None);
                lineage.sources.insert(source.name.clone());
            }
            let planned = resolver.static_operation.is_some() || resolver.static_operation_dataframe.is_some();
            let processed = resolver.underscore_expr.is_some() || resolver.lazyframe_expr.is_some();
            let own = resolver.sql_settings.as_ref().is_some_and(|sql| sql.is_chalk_sql_source);
            for (so, problem) in [
                (planned, "its plan is not followed"),
                (processed, "what is done to its outputs is not followed"),
                (own, "its SQL reads Chalk's own tables, which is not followed"),
            ] {
                if so {
                    lineage.problems.insert(problem.to_owned());
                }
            }
            lineage.newer(newer);
            let via = format!("the resolver `{}`", shown(&resolver.fqn));
            let python = resolver.sql_settings.is_none() && !planned;
            self.computed(graph, &place, &resolver.outputs, &Derivation { via, lineage, python })?;
        }
        Ok(())
    }

    /// The derivations by stream resolvers: their messages are no features.
    pub(super) fn streams(
        &mut self,
        graph: &Graph,
        resolvers: &[Bytes],
        sources: &mut Sources,
    ) -> Result<(), ImportError> {
        for (number, bytes) in resolvers.iter().enumerate() {
            let place = format!("graph.stream_resolvers[{number}]");
            let (resolver, newer): (proto::StreamResolver, _) = proto::read(bytes, &place)?;
            let mut lineage = Lineage::default();
            for source in resolver.source_full.iter().chain(&resolver.source) {
                lineage.sources.append(&mut sources.of(source));
            }
            if let (true, Some(source)) = (lineage.sources.is_empty(), &resolver.source_v1) {
                sources.undeclared(&source.name, None);
                lineage.sources.insert(source.name.clone());
            }
            if lineage.sources.is_empty() {
                lineage.problems.insert("it names no stream".to_owned());
            }
            lineage.newer(newer);
            let via = format!("the stream resolver `{}`", shown(&resolver.fqn));
            self.computed(graph, &place, &resolver.outputs, &Derivation { via, lineage, python: true })?;
        }
        Ok(())
    }

    /// The derivations by models, where a graph tells them.
    pub(super) fn models(&mut self, graph: &Graph, models: &[proto::Model]) {
        for model in models {
            let via = format!("the model `{}`", shown(&model.name));
            for relation in &model.relations {
                let [mut output, mut walk] = [(); 2].map(|()| Walk::new(graph, "graph.model_references", None));
                for input in &relation.input_features {
                    walk.name_in_full(input);
                }
                output.name_in_full(&relation.output_feature);
                self.warn(&via, &walk.found, false);
                for feature in output.found.inputs {
                    let lineage = walk.found.clone();
                    self.add(feature, Derivation { via: via.clone(), lineage, python: false });
                }
            }
        }
    }

    /// Adds a derivation to each feature that it gives. The keys of the hops to an output are read to place it.
    fn computed(
        &mut self,
        graph: &Graph,
        place: &str,
        outputs: &[Bytes],
        derivation: &Derivation,
    ) -> Result<(), ImportError> {
        self.warn(&derivation.via, &derivation.lineage, derivation.python);
        for (number, bytes) in outputs.iter().enumerate() {
            let place = format!("{place}.outputs[{number}]");
            let (output, newer): (proto::ResolverOutput, _) = proto::read(bytes, &place)?;
            let mut walk = Walk::new(graph, &place, None);
            match (output.kind, newer) {
                (Some(OutputKind::Feature(bytes)), None) => walk.reference(&bytes)?,
                (Some(OutputKind::Frame(bytes)), None) => walk.frame(&bytes)?,
                (None, _) | (_, Some(_)) => return Err(ImportError::UnknownOutput { place }),
            }
            let given = walk.found;
            for problem in given.problems {
                self.warnings.insert(format!("{} has an output that is not known: {problem}", derivation.via));
            }
            for feature in given.inputs {
                // A key that is both read and given only says of which row the outputs are.
                let is_key = graph.features.get(&feature).is_some_and(|declared| declared.key);
                if is_key && derivation.lineage.inputs.contains(&feature) {
                    continue;
                }
                let mut derivation = derivation.clone();
                derivation.lineage.joins.extend(given.joins.iter().cloned());
                self.add(feature, derivation);
            }
        }
        Ok(())
    }
}

impl Lineage {
    fn and(mut self, other: Lineage) -> Self {
        self.inputs.extend(other.inputs);
        self.joins.extend(other.joins);
        self.sources.extend(other.sources);
        self.problems.extend(other.problems);
        self
    }

    fn newer(&mut self, field: Option<u32>) {
        self.problems.extend(field.map(|field| format!("it has the field {field}, which is newer than this import")));
    }
}

impl Walk<'_> {
    /// An input of a resolver. Its own state is what it has read before.
    fn input(&mut self, bytes: &Bytes) -> Result<(), ImportError> {
        let input: proto::ResolverInput = self.read(bytes, "an input")?;
        match input.kind {
            Some(InputKind::Feature(bytes)) => {
                let input: proto::FeatureInput = self.read(&bytes, "an input")?;
                match input.feature {
                    Some(reference) => self.reference(&reference)?,
                    None => self.problem("an input of it names no feature".to_owned()),
                }
            }
            Some(InputKind::Frame(bytes)) => self.frame(&bytes)?,
            Some(InputKind::State(_)) => {}
            None => self.problem("an input of it is of an unknown kind".to_owned()),
        }
        Ok(())
    }

    fn name_in_full(&mut self, full: &str) {
        let (namespace, name) = full.split_once('.').unwrap_or((full, ""));
        self.name(namespace, name);
    }
}

/// A stored aggregation over the rows of another namespace: what is aggregated and filtered by are inputs; it is
/// grouped by keys of the relation to those rows, and by further inputs.
fn aggregation(walk: &mut Walk<'_>, graph: &Graph, declared: &Declared, bytes: &Bytes) -> Result<(), ImportError> {
    let stored: proto::Aggregation = walk.read(bytes, "an aggregation")?;
    let mut groups = Walk::new(graph, "group_by", None);
    for group in &stored.group_by {
        groups.reference(group)?;
    }
    let groups = groups.found;
    let is_hop = |other: &&Declared| {
        matches!(&other.kind, Kind::Relation { target, .. } if *target == stored.namespace)
            && other.namespace == declared.namespace
            && !other.joins.is_disjoint(&groups.inputs)
    };
    let keys: BTreeSet<String> =
        graph.features.values().filter(is_hop).flat_map(|relation| relation.joins.iter().cloned()).collect();
    if keys.is_empty() && stored.namespace != declared.namespace {
        walk.problem(format!("it is kept over `{}`, to which no relation leads", shown(&stored.namespace)));
    }
    walk.found.inputs.extend(groups.inputs.difference(&keys).cloned());
    walk.found.joins.extend(groups.joins);
    walk.found.joins.extend(keys);
    walk.found.problems.extend(groups.problems);
    for reference in stored.aggregate_on.iter().chain(&stored.aggregate_on_features) {
        walk.reference(reference)?;
    }
    let expressions = stored.filters.iter().chain(&stored.aggregate_on_expressions);
    for expression in expressions.chain(&stored.fold_step).chain(&stored.fold_initial_value) {
        walk.expression(expression, &stored.namespace)?;
    }
    Ok(())
}
