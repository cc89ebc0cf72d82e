//! Features, lineage, bundles and data sources, interned: the policy laid over the imported catalogue.
//!
//! Features are numbered so that inputs and joins come before what is derived from them; one pass in that order
//! resolves everything.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::diagnostic::{Code, Diagnostic, Place, Report};
use crate::policy::file::{BundleText, DataSourceText, FeatureText, Layer, Text};
use crate::policy::pattern::{Pattern, namespace};

/// A feature's number: its rank in the order of the lineage.
pub type FeatureId = u32;
/// A tag's number.
pub type TagId = u32;

/// Names -> numbers, one for each distinct text.
#[derive(Clone, Debug, Default)]
pub struct Interner {
    names: Vec<Arc<str>>,
    ids: HashMap<Arc<str>, u32>,
}

impl Interner {
    /// The number of a name, a new one where it is new.
    pub fn intern(&mut self, name: &str) -> u32 {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        let name: Arc<str> = name.into();
        self.names.push(Arc::clone(&name));
        self.ids.insert(name, id);
        id
    }

    /// The number of a known name.
    pub fn get(&self, name: &str) -> Option<u32> {
        self.ids.get(name).copied()
    }

    /// The name of a number; empty for a number never given.
    pub fn name(&self, id: u32) -> &str {
        self.names.get(id as usize).map_or("", |name| name)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

/// One step of the lineage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// What is read.
    pub to: FeatureId,
    /// An input (else a join).
    pub input: bool,
    /// It leaves the row that is asked for: the reader has joins, or `to` lies in another namespace (rule 3).
    pub off_row: bool,
}

/// A feature of the catalogue.
#[derive(Clone, Debug)]
pub struct Feature {
    /// Its name, as the feature server writes it.
    pub name: Arc<str>,
    /// Where it is named first.
    pub place: Place,
    /// Which [`Class`] it belongs to.
    pub class: u32,
    /// Which set of data sources it reads.
    pub source_set: u32,
    /// Something that callers give.
    pub key: bool,
    /// It reads no data source, is not opaque and has an input that is no key: rule 5 can clear it.
    pub pure: bool,
    edges: (u32, u32),
    dependents: (u32, u32),
}

/// Features with the same tags from the same layers, and alike in being keys: they have the same own permission.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Class {
    /// Tags that the policy gives.
    pub policy_tags: Box<[TagId]>,
    /// Those and the catalogue's.
    pub all_tags: Box<[TagId]>,
    /// Something that callers give.
    pub key: bool,
}

/// A data source.
#[derive(Clone, Debug)]
pub struct DataSource {
    /// Its name.
    pub name: String,
    /// `POSTGRESQL` and the like.
    pub kind: Option<String>,
    /// The policy's tags; `None`: the policy does not know it.
    pub policy_tags: Option<Box<[TagId]>>,
    /// The catalogue's tags; `None`: the catalogue does not know it.
    pub catalogue_tags: Option<Box<[TagId]>>,
}

/// What one name in a query stands for.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// Its members in order.
    pub members: Vec<Member>,
}

/// A member of a bundle.
#[derive(Clone, Debug)]
pub struct Member {
    /// The feature.
    pub feature: FeatureId,
    /// The name under which it is answered, where that is not its own.
    pub alias: Option<Arc<str>>,
    /// Entity key of the feature and the name that callers give it under.
    pub keys: Vec<(FeatureId, Arc<str>)>,
}

/// Everything that is named, interned.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// All tags of all kinds.
    pub tags: Interner,
    /// Distinct combinations of tags.
    pub classes: Vec<Class>,
    /// Distinct sets of data sources; the first is the empty one.
    pub source_sets: Vec<Box<[u32]>>,
    /// Data sources.
    pub sources: Vec<DataSource>,
    /// Bundles by name.
    pub bundles: BTreeMap<String, Bundle>,
    /// Patterns and the tags that they add.
    pub patterns: Vec<(Pattern, Box<[TagId]>)>,
    features: Vec<Feature>,
    index: HashMap<Arc<str>, FeatureId>,
    edges: Vec<Edge>,
    dependents: Vec<Edge>,
}

impl Catalogue {
    /// The number of a feature, by its exact name.
    pub fn id(&self, name: &str) -> Option<FeatureId> {
        self.index.get(name).copied()
    }

    /// All features, inputs before what is derived from them.
    pub fn features(&self) -> &[Feature] {
        &self.features
    }

    /// One feature.
    pub fn feature(&self, id: FeatureId) -> Option<&Feature> {
        self.features.get(id as usize)
    }

    /// The name of a feature.
    pub fn name(&self, id: FeatureId) -> &str {
        self.feature(id).map_or("", |feature| &feature.name)
    }

    /// Inputs and joins of a feature.
    pub fn edges(&self, feature: &Feature) -> &[Edge] {
        self.edges.get(feature.edges.0 as usize..feature.edges.1 as usize).unwrap_or_default()
    }

    /// Who reads a feature: `to` is the reader.
    pub fn dependents(&self, id: FeatureId) -> &[Edge] {
        let Some(feature) = self.feature(id) else { return &[] };
        self.dependents.get(feature.dependents.0 as usize..feature.dependents.1 as usize).unwrap_or_default()
    }

    /// The tags that patterns give to a name (for names outside the catalogue).
    pub fn pattern_tags(&self, name: &str) -> Vec<TagId> {
        let mut tags: Vec<TagId> =
            self.patterns.iter().filter(|(p, _)| p.matches(name)).flat_map(|(_, tags)| tags.iter().copied()).collect();
        tags.sort_unstable();
        tags.dedup();
        tags
    }
}

/// A feature of both layers before it has a number.
struct Merged<'l> {
    policy: Option<&'l FeatureText>,
    imported: Option<&'l FeatureText>,
}

impl<'l> Merged<'l> {
    fn place(&self) -> Option<&'l Place> {
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

    fn flag(&self, of: impl Fn(&'l FeatureText) -> Option<bool>) -> bool {
        self.policy.and_then(&of).or_else(|| self.imported.and_then(&of)).unwrap_or(false)
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
        let name: Arc<str> = (*name).into();
        catalogue.index.insert(Arc::clone(&name), small(catalogue.features.len()));
        let place = place.clone();
        catalogue.features.push(Feature { name, place, class, source_set, key, pure, edges, dependents: (0, 0) });
    }
    dependents(&mut catalogue);
    bundles(policy, imported, &mut catalogue, report);
    catalogue
}

fn small(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
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

/// Inputs and joins of one feature, by provisional number.
struct Links {
    inputs: Vec<u32>,
    joins: Vec<u32>,
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
                        report.push(
                            Diagnostic::new(code, &text.place, message).suggest(&text.value, numbers.keys().copied()),
                        );
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

/// Numbers in an order in which inputs and joins come first; cycles are reported and left out.
fn order(merged: &[(&str, Merged<'_>)], links: &[Links], report: &mut Report) -> Vec<u32> {
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

fn sources<'l>(policy: &'l Layer, imported: &'l Layer, catalogue: &mut Catalogue) -> BTreeMap<&'l str, u32> {
    let mut names: BTreeSet<&str> = imported.datasources.keys().map(String::as_str).collect();
    names.extend(policy.datasources.keys().map(String::as_str));
    let mut ids = BTreeMap::new();
    for name in names {
        let of = |layer: &'l Layer| -> Option<&'l DataSourceText> { layer.datasources.get(name) };
        let tags = |source: &DataSourceText, tags: &mut Interner| intern_all(tags, &source.tags);
        let policy_tags = of(policy).map(|source| tags(source, &mut catalogue.tags));
        let catalogue_tags = of(imported).map(|source| tags(source, &mut catalogue.tags));
        let kind = of(policy).or(of(imported)).and_then(|source| source.kind.clone());
        ids.insert(name, small(catalogue.sources.len()));
        catalogue.sources.push(DataSource { name: name.to_owned(), kind, policy_tags, catalogue_tags });
    }
    ids
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
    for (feature, list) in catalogue.features.iter_mut().zip(readers) {
        let start = small(catalogue.dependents.len());
        catalogue.dependents.extend(list);
        feature.dependents = (start, small(catalogue.dependents.len()));
    }
}

fn bundles(policy: &Layer, imported: &Layer, catalogue: &mut Catalogue, report: &mut Report) {
    let mut texts: BTreeMap<&String, &BundleText> = imported.bundles.iter().collect();
    texts.extend(policy.bundles.iter());
    for (name, text) in texts {
        let mut members = Vec::with_capacity(text.members.len());
        for member in &text.members {
            let Some(feature) = catalogue.id(&member.feature.value) else {
                let message =
                    format!("bundle `{name}` has the member `{}`, which does not exist", member.feature.value);
                let known = catalogue.features.iter().map(|f| &*f.name);
                report.push(
                    Diagnostic::new(Code::UnknownMember, &member.feature.place, message)
                        .suggest(&member.feature.value, known),
                );
                continue;
            };
            let mut keys = Vec::new();
            for (key, renamed) in &member.keys {
                match catalogue.id(key) {
                    Some(id) => keys.push((id, renamed.as_str().into())),
                    None => {
                        let message = format!("bundle `{name}` renames key `{key}`, which does not exist");
                        report.push(Diagnostic::new(Code::UnknownMember, &member.feature.place, message));
                    }
                }
            }
            let alias = member.alias.as_deref().map(Into::into);
            members.push(Member { feature, alias, keys });
        }
        catalogue.bundles.insert(name.clone(), Bundle { members });
    }
}
