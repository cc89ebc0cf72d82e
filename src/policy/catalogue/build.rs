//! The policy laid over the imported catalogue, and everything in it numbered.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::order::{Links, order};
use super::{
    Bundle, Catalogue, Class, DataSource, Edge, Feature, FeatureId, Interner, Member, Namespace, Relation, TagId, small,
};
use crate::diagnostic::{Code, Diagnostic, Place, Report};
use crate::policy::file::{BundleText, DataSourceText, FeatureText, Layer, Text};
use crate::policy::pattern::namespace;

/// A feature of both layers before it has a number.
pub(super) struct Merged<'l> {
    policy: Option<&'l FeatureText>,
    imported: Option<&'l FeatureText>,
}

impl<'l> Merged<'l> {
    pub(super) fn place(&self) -> Option<&'l Place> {
        self.policy.or(self.imported).map(|feature| &feature.place)
    }

    fn all(&self, of: impl Fn(&'l FeatureText) -> &'l Vec<Text>) -> impl Iterator<Item = &'l Text> {
        self.policy.map(&of).into_iter().flatten().chain(self.imported.map(&of).into_iter().flatten())
    }

    fn inputs(&self) -> impl Iterator<Item = &'l Text> {
        let taken_out: BTreeSet<&str> =
            self.policy.iter().flat_map(|f| &f.not_inputs).map(|text| text.value.as_str()).collect();
        let imported = self.imported.iter().flat_map(|f| &f.inputs);
        let kept = imported.filter(move |text| !taken_out.contains(text.value.as_str()));
        self.policy.iter().flat_map(|f| &f.inputs).chain(kept)
    }

    /// What the policy says, else the catalogue.
    fn said<T>(&self, of: impl Fn(&'l FeatureText) -> Option<T>) -> Option<T> {
        self.policy.and_then(&of).or_else(|| self.imported.and_then(&of))
    }

    fn flag(&self, of: impl Fn(&'l FeatureText) -> Option<bool>) -> bool {
        self.said(of).unwrap_or(false)
    }

    /// Of each layer both are looked at together: a policy's has-one replaces a catalogue's has-many.
    fn relation(&self) -> Option<Relation> {
        self.said(|text| {
            let many = text.has_many.as_ref().map(|to| (to, true));
            let (to, many) = many.or(text.has_one.as_ref().map(|to| (to, false)))?;
            Some(Relation { namespace: to.value.as_str().into(), many })
        })
    }
}

/// Lays the policy over the imported catalogue. Mistakes go to the report.
pub fn build(policy: &Layer, imported: &Layer, report: &mut Report) -> Catalogue {
    let mut names: BTreeMap<&str, Merged<'_>> = BTreeMap::new();
    for (name, feature) in &imported.features {
        names.insert(name, Merged { policy: None, imported: Some(feature) });
    }
    for (name, feature) in &policy.features {
        names.entry(name).or_insert(Merged { policy: None, imported: None }).policy = Some(feature);
    }
    let mut catalogue = Catalogue { source_sets: vec![Box::default()], ..Catalogue::default() };
    let merged: Vec<(&str, Merged<'_>)> = names.into_iter().collect();
    let numbers: HashMap<&str, u32> = merged.iter().zip(0..).map(|((name, _), number)| (*name, number)).collect();

    let links = links(&merged, &numbers, report);
    let order = order(&merged, &links, report);
    for pattern in &policy.patterns {
        let tags = intern_all(&mut catalogue.tags, &pattern.tags);
        catalogue.patterns.push((pattern.pattern.clone(), tags));
    }
    let source_ids = sources(policy, imported, &mut catalogue);
    let mut rank = vec![0u32; merged.len()];
    for (&number, position) in order.iter().zip(0..) {
        if let Some(slot) = rank.get_mut(number as usize) {
            *slot = position;
        }
    }
    let mut classes: HashMap<Class, u32> = HashMap::new();
    let mut source_sets: HashMap<Box<[u32]>, u32> = HashMap::from([(Box::default(), 0)]);
    for &number in &order {
        let (Some((name, feature)), Some(link)) = (merged.get(number as usize), links.get(number as usize)) else {
            continue;
        };
        let Some(place) = feature.place() else { continue };
        let key = feature.flag(|f| f.key.as_ref().map(|(value, _)| *value));
        let class = class(feature, name, key, &mut catalogue);
        let class = *classes.entry(class).or_insert_with_key(|class| {
            catalogue.classes.push(class.clone());
            small(catalogue.classes.len() - 1)
        });
        let mut reads: Vec<u32> = Vec::new();
        for source in feature.all(|f| &f.sources) {
            match source_ids.get(source.value.as_str()) {
                Some(id) => reads.push(*id),
                None => report.push(
                    Diagnostic::new(
                        Code::UnknownSource,
                        &source.place,
                        format!("feature `{name}` reads data source `{}`, which does not exist", source.value),
                    )
                    .suggest(&source.value, source_ids.keys().copied()),
                ),
            }
        }
        reads.sort_unstable();
        reads.dedup();
        let source_set = *source_sets.entry(reads.into()).or_insert_with_key(|set| {
            catalogue.source_sets.push(set.clone());
            small(catalogue.source_sets.len() - 1)
        });
        let is_key =
            |n: &u32| merged.get(*n as usize).is_some_and(|(_, f)| f.flag(|f| f.key.as_ref().map(|(value, _)| *value)));
        let opaque = feature.flag(|f| f.opaque.as_ref().map(|(value, _)| *value));
        let pure = source_set == 0 && !opaque && link.inputs.iter().any(|n| !is_key(n));
        let start = small(catalogue.edges.len());
        let own_namespace = namespace(name);
        let steps = link.inputs.iter().map(|n| (n, true)).chain(link.joins.iter().map(|n| (n, false)));
        for (target, input) in steps {
            let (Some(to), Some((target, _))) = (rank.get(*target as usize), merged.get(*target as usize)) else {
                continue;
            };
            let off_row = !link.joins.is_empty() || namespace(target) != own_namespace;
            catalogue.edges.push(Edge { to: *to, input, off_row });
        }
        let edges = (start, small(catalogue.edges.len()));
        let (name, id): (Arc<str>, _) = ((*name).into(), small(catalogue.features.len()));
        catalogue.index.insert(Arc::clone(&name), id);
        for text in feature.policy.iter().chain(&feature.imported) {
            if let (Some(_), Some(many)) = (&text.has_one, &text.has_many) {
                let message = format!("feature `{name}` has both `has_one` and `has_many`");
                report.push(Diagnostic::new(Code::Conflict, &many.place, message));
            }
        }
        if let Some(relation) = feature.relation() {
            catalogue.relations.insert(id, relation);
        }
        if let Some(version) = feature.said(|f| f.default_version.as_ref().map(|(value, _)| *value)) {
            catalogue.default_versions.insert(id, version);
        }
        let place = place.clone();
        catalogue.features.push(Feature {
            name,
            place,
            class,
            source_set,
            key,
            pure,
            edges,
            dependents: (0, 0),
            by_key: 0,
        });
    }
    dependents(&mut catalogue);
    namespaces(&mut catalogue);
    bundles(policy, imported, &mut catalogue, report);
    catalogue
}
/// Whether a name is looked for among all features: each costs a look at every name, and a report of this length has
/// another cause than a slip of the pen.
pub(in crate::policy) fn suggestible(report: &Report) -> bool {
    report.diagnostics.len() < 100
}

fn intern_all(tags: &mut Interner, texts: &[Text]) -> Box<[TagId]> {
    let mut ids: Vec<TagId> = texts.iter().map(|text| tags.intern(&text.value)).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.into()
}

fn class(feature: &Merged<'_>, name: &str, key: bool, catalogue: &mut Catalogue) -> Class {
    let mut policy_tags: Vec<TagId> = catalogue.pattern_tags(name);
    policy_tags.extend(feature.policy.iter().flat_map(|f| &f.tags).map(|text| catalogue.tags.intern(&text.value)));
    policy_tags.sort_unstable();
    policy_tags.dedup();
    let mut all_tags = policy_tags.clone();
    all_tags.extend(feature.imported.iter().flat_map(|f| &f.tags).map(|text| catalogue.tags.intern(&text.value)));
    all_tags.sort_unstable();
    all_tags.dedup();
    Class { policy_tags: policy_tags.into(), all_tags: all_tags.into(), key }
}
fn links(merged: &[(&str, Merged<'_>)], numbers: &HashMap<&str, u32>, report: &mut Report) -> Vec<Links> {
    let mut all = Vec::with_capacity(merged.len());
    for (name, feature) in merged {
        let mut find = |texts: &mut dyn Iterator<Item = &Text>, what: &str, code: Code| {
            let mut found = Vec::new();
            for text in texts {
                match numbers.get(text.value.as_str()) {
                    Some(number) => found.push(*number),
                    None => {
                        let message = format!("feature `{name}` has the {what} `{}`, which does not exist", text.value);
                        let known = suggestible(report).then(|| merged.iter().map(|(name, _)| *name));
                        let finding = Diagnostic::new(code, &text.place, message);
                        report.push(finding.suggest(&text.value, known.into_iter().flatten()));
                    }
                }
            }
            found.sort_unstable();
            found.dedup();
            found
        };
        let inputs = find(&mut feature.inputs(), "input", Code::UnknownInput);
        let joins = find(&mut feature.all(|f| &f.joins), "join", Code::UnknownJoin);
        all.push(Links { inputs, joins });
    }
    all
}
fn sources<'l>(policy: &'l Layer, imported: &'l Layer, catalogue: &mut Catalogue) -> BTreeMap<&'l str, u32> {
    let mut names: BTreeSet<&str> = imported.datasources.keys().map(String::as_str).collect();
    names.extend(policy.datasources.keys().map(String::as_str));
    let mut ids = BTreeMap::new();
    for name in names {
        let of = |layer: &'l Layer| -> Option<&'l DataSourceText> { layer.datasources.get(name) };
        let tags = |source: &DataSourceText, tags: &mut Interner| intern_all(tags, &source.tags);
        let policy_tags = of(policy).map(|source| tags(source, &mut catalogue.tags));
        let catalogue_tags = of(imported).map(|source| tags(source, &mut catalogue.tags));
        let dashboard = of(imported).and_then(|source| source.dashboard.as_ref());
        let dashboard_tags = dashboard.map(|tags| intern_all(&mut catalogue.tags, tags));
        let kind = of(policy).or(of(imported)).and_then(|source| source.kind.clone());
        ids.insert(name, small(catalogue.sources.len()));
        catalogue.sources.push(DataSource { name: name.to_owned(), kind, policy_tags, catalogue_tags, dashboard_tags });
    }
    ids
}

fn namespaces(catalogue: &mut Catalogue) {
    // In the order of names.
    let mut ids: Vec<(&Feature, FeatureId)> = catalogue.features.iter().zip(0..).collect();
    ids.sort_unstable_by_key(|(feature, _)| &feature.name);
    let mut namespaces: HashMap<Arc<str>, Namespace> = HashMap::new();
    for (feature, id) in ids {
        let name = namespace(&feature.name);
        if !namespaces.contains_key(name) {
            namespaces.insert(name.into(), Namespace::default());
        }
        let (Some(found), None) = (namespaces.get_mut(name), catalogue.relations.get(&id)) else { continue };
        found.scalars.push(id);
        if feature.key {
            found.keys.push(id);
        }
    }
    catalogue.namespaces = namespaces;
}

fn dependents(catalogue: &mut Catalogue) {
    let mut readers: Vec<Vec<Edge>> = vec![Vec::new(); catalogue.features.len()];
    for (feature, id) in catalogue.features.iter().zip(0..) {
        for edge in catalogue.edges(feature) {
            if let Some(list) = readers.get_mut(edge.to as usize) {
                list.push(Edge { to: id, ..*edge });
            }
        }
    }
    let pure: Vec<bool> = catalogue.features.iter().map(|feature| feature.pure).collect();
    for (feature, list) in catalogue.features.iter_mut().zip(readers) {
        let by_key = |edge: &Edge| edge.input && pure.get(edge.to as usize) == Some(&true);
        let (first, rest): (Vec<Edge>, Vec<Edge>) = list.into_iter().partition(by_key);
        let start = small(catalogue.dependents.len());
        catalogue.dependents.extend(first);
        feature.by_key = small(catalogue.dependents.len());
        catalogue.dependents.extend(rest);
        feature.dependents = (start, small(catalogue.dependents.len()));
    }
}

fn bundles(policy: &Layer, imported: &Layer, catalogue: &mut Catalogue, report: &mut Report) {
    let mut texts: BTreeMap<&String, &BundleText> = imported.bundles.iter().collect();
    texts.extend(policy.bundles.iter());
    for (name, text) in texts {
        let mut members = Vec::with_capacity(text.members.len());
        for member in &text.members {
            let mut find = |name: &Text, message: String| {
                let found = catalogue.id(&name.value);
                if found.is_none() {
                    let known = suggestible(report).then(|| catalogue.features.iter().map(|feature| &*feature.name));
                    let finding = Diagnostic::new(Code::UnknownMember, &name.place, message);
                    report.push(finding.suggest(&name.value, known.into_iter().flatten()));
                }
                found
            };
            let message = format!("bundle `{name}` has the member `{}`, which does not exist", member.feature.value);
            let Some(feature) = find(&member.feature, message) else { continue };
            let mut keys = Vec::new();
            for (key, renamed) in &member.keys {
                let message = format!("bundle `{name}` renames key `{}`, which does not exist", key.value);
                keys.extend(find(key, message).map(|id| (id, renamed.as_str().into())));
            }
            let alias = member.alias.as_deref().map(Into::into);
            members.push(Member { feature, alias, keys });
        }
        catalogue.bundles.insert(name.clone(), Bundle { members });
    }
}
