//! The walk over a registry: what it says, followed and put into a catalogue's terms.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::super::node::{Node, shown};
use super::super::{Catalogue, DataSource, Feature, Import, ImportError, Member};
use super::{NO_ENTITY, NO_KEY, Options, Registry, SETTING, check_name, full, name_of};

/// What the walk over the registry finds.
#[derive(Default)]
pub(super) struct Found {
    features: BTreeMap<String, Feature>,
    /// The labels of each key, and the way to where it stands first.
    keys: BTreeMap<String, (BTreeSet<String>, String)>,
    bundles: BTreeMap<String, Vec<Member>>,
    sources: BTreeMap<String, DataSource>,
    warnings: Vec<String>,
}

impl Found {
    /// The catalogue of a registry.
    pub(super) fn walk(registry: &Registry<'_>, options: &Options) -> Result<Import, ImportError> {
        let mut found = Found { warnings: registry.warnings.clone(), ..Found::default() };
        for entity in registry.entities.values() {
            let key = name_of(entity, "joinKey", &['*'])?;
            found.key(key, entity.below("joinKey"));
        }
        for (name, view) in &registry.views {
            let mut base = Feature::default();
            if view.on_demand {
                found.on_demand(registry, name, &view.spec, &mut base)?;
            } else {
                found.stored(registry, name, &view.spec, &mut base)?;
            }
            if options.inherit_view_tags {
                labels(&view.spec, &mut base.tags)?;
            }
            for (column, field) in &view.columns {
                let mut feature = base.clone();
                labels(field, &mut feature.tags)?;
                found.features.insert(full(name, column), feature);
            }
        }
        if found.features.is_empty() {
            return Err(ImportError::Empty);
        }
        found.top_sources(registry)?;
        found.services(registry)?;
        found.finish(registry)
    }

    fn key(&mut self, name: &str, place: String) -> &mut BTreeSet<String> {
        let entry = self.keys.entry(name.to_owned());
        &mut entry.or_insert_with(|| (BTreeSet::new(), place)).0
    }

    /// A view whose features are read from the online store.
    fn stored(
        &mut self,
        registry: &Registry<'_>,
        name: &str,
        spec: &Node<'_>,
        base: &mut Feature,
    ) -> Result<(), ImportError> {
        base.joins = self.joins(registry, name, spec)?;
        // `source` is what label views call theirs.
        for field in ["batchSource", "streamSource", "source"] {
            if let Some(source) = spec.field(field)? {
                base.sources.append(&mut self.source(&source)?);
            }
        }
        for source in spec.items("sourceViews")? {
            let view = name_of(&source, "name", &[])?;
            base.inputs.append(&mut registry.all_of(&source, view)?);
        }
        Ok(())
    }

    /// A view that is computed in the feature server. Join keys come with its inputs, unless it is
    /// written to the online store and read from there by its own.
    fn on_demand(
        &mut self,
        registry: &Registry<'_>,
        name: &str,
        spec: &Node<'_>,
        base: &mut Feature,
    ) -> Result<(), ImportError> {
        let sources = spec.entries("sources")?;
        if sources.is_empty() {
            self.warnings
                .push(format!("the on-demand view `{}` names no source: its outputs have no inputs", shown(name)));
        }
        for (_, source) in &sources {
            let mut inputs = if let Some(projection) = source.field("featureViewProjection")? {
                self.projected(registry, name, &projection)?
            } else if let Some(view) = source.field("featureView")? {
                registry.all_of(source, name_of(&view.required("spec")?, "name", &[])?)?
            } else if let Some(request) = source.field("requestDataSource")? {
                self.request_fields(&request)?
            } else {
                let place = source.place.clone();
                return Err(ImportError::UnknownSource { place });
            };
            base.inputs.append(&mut inputs);
        }
        if spec.flag_of("writeToOnlineStore")? {
            base.joins = self.joins(registry, name, spec)?;
        }
        Ok(())
    }

    /// The columns that an on-demand view takes from another view. A list that is empty or older
    /// than the view means all of them: rather too many inputs than one too few.
    fn projected(
        &mut self,
        registry: &Registry<'_>,
        reader: &str,
        projection: &Node<'_>,
    ) -> Result<BTreeSet<String>, ImportError> {
        let view = name_of(projection, "featureViewName", &[])?;
        let all = registry.all_of(projection, view)?;
        let mut inputs = BTreeSet::new();
        for field in projection.items("featureColumns")? {
            let column = name_of(&field, "name", &[])?;
            if !registry.has(view, column) {
                let (reader, column, view) = (shown(reader), shown(column), shown(view));
                self.warnings.push(format!(
                    "the on-demand view `{reader}` reads `{view}:{column}`, which the registry does \
                     not list: it is taken to read all of `{view}`"
                ));
                return Ok(all);
            }
            inputs.insert(full(view, column));
        }
        Ok(if inputs.is_empty() { all } else { inputs })
    }

    /// The fields of a request source, each a key by its bare name.
    fn request_fields(&mut self, source: &Node<'_>) -> Result<BTreeSet<String>, ImportError> {
        let mut fields = BTreeSet::new();
        let Some(options) = source.field("requestDataOptions")? else {
            return Ok(fields);
        };
        for field in options.items("schema")? {
            let name = name_of(&field, "name", &['*'])?;
            labels(&field, self.key(name, field.below("name")))?;
            fields.insert(name.to_owned());
        }
        // The older form: name -> type.
        for (name, node) in options.entries("deprecatedSchema")? {
            check_name(name, &node.place, &['*'])?;
            self.key(name, node.place);
            fields.insert(name.to_owned());
        }
        Ok(fields)
    }

    /// The join keys of a view: those that it lists, and those of its entities. Feast fills in the
    /// former when a view is applied, the latter are older.
    fn joins(&mut self, registry: &Registry<'_>, view: &str, spec: &Node<'_>) -> Result<BTreeSet<String>, ImportError> {
        let mut joins = BTreeSet::new();
        for field in spec.items("entityColumns")? {
            let name = name_of(&field, "name", &['*'])?;
            if name != NO_KEY {
                labels(&field, self.key(name, field.below("name")))?;
                joins.insert(name.to_owned());
            }
        }
        let listed = !joins.is_empty();
        for entity in spec.items("entities")? {
            let entity = entity.text()?;
            if let Some(entity) = registry.entities.get(entity) {
                joins.insert(name_of(entity, "joinKey", &['*'])?.to_owned());
            } else if entity != NO_ENTITY && !listed {
                let (view, entity) = (shown(view), shown(entity));
                self.warnings.push(format!(
                    "the view `{view}` is of the entity `{entity}`, which the registry does not \
                     list: its join key is not known"
                ));
            }
        }
        Ok(joins)
    }

    /// The name of a data source, and that of the batch source behind a push or stream source.
    /// Feast keeps a copy of a source in each view that reads it. A label opens a source to the
    /// roles that carry it (policy.md, "The files"), so that only those that all copies have count.
    fn source(&mut self, node: &Node<'_>) -> Result<BTreeSet<String>, ImportError> {
        if node.text_of("type")? == Some("REQUEST_SOURCE") {
            return Ok(BTreeSet::new());
        }
        let mut names = match node.field("batchSource")? {
            Some(behind) => self.source(&behind)?,
            None => BTreeSet::new(),
        };
        let Some(name) = node.text_of("name")? else {
            return Ok(names);
        };
        names.insert(name.to_owned());
        let mut copy = DataSource { kind: kind_of(node)?, tags: BTreeSet::new() };
        labels(node, &mut copy.tags)?;
        match self.sources.entry(name.to_owned()) {
            Entry::Vacant(entry) => {
                entry.insert(copy);
            }
            Entry::Occupied(mut entry) => {
                let known = entry.get_mut();
                known.kind = known.kind.take().or(copy.kind);
                if known.tags != copy.tags {
                    known.tags.retain(|tag| copy.tags.contains(tag));
                    self.warnings.push(format!(
                        "the data source `{}` has other tags in some places: those that it has in \
                         all of them count",
                        shown(name)
                    ));
                }
            }
        }
        Ok(names)
    }

    /// The dump's own list of data sources: one more copy of each. Sources that no view reads stay
    /// out, as the REST registry's answers do not have them.
    fn top_sources(&mut self, registry: &Registry<'_>) -> Result<(), ImportError> {
        let read: BTreeSet<String> = self.sources.keys().cloned().collect();
        for source in &registry.data_sources {
            self.source(source)?;
        }
        self.sources.retain(|name, _| read.contains(name));
        Ok(())
    }

    fn services(&mut self, registry: &Registry<'_>) -> Result<(), ImportError> {
        for (name, spec) in &registry.services {
            match self.members(registry, name, spec)? {
                Ok(members) => {
                    self.bundles.insert((*name).to_owned(), members);
                }
                Err(reason) => {
                    self.warnings.push(format!("the feature service `{}` is left out: {reason}", shown(name)))
                }
            }
        }
        Ok(())
    }

    /// The members of a service in the order of its projections, or why it cannot be a bundle.
    fn members(
        &mut self,
        registry: &Registry<'_>,
        service: &str,
        spec: &Node<'_>,
    ) -> Result<Result<Vec<Member>, String>, ImportError> {
        let mut members = Vec::new();
        for projection in spec.items("features")? {
            let view = name_of(&projection, "featureViewName", &[])?;
            let alias = projection.text_of("featureViewNameAlias")?;
            let mut prefix = alias.map(str::to_owned);
            if let Some(version) = projection.field("versionTag")? {
                let version = version.number()?;
                // `name_to_use` in Feast's feature_view_projection.py.
                prefix = Some(format!("{}@v{version}", alias.unwrap_or(view)));
                let (service, view) = (shown(service), shown(view));
                self.warnings.push(format!(
                    "the feature service `{service}` uses version {version} of `{view}`: the tags \
                     and the lineage of the newest count"
                ));
            }
            let mut keys = BTreeMap::new();
            for (key, given) in projection.entries("joinKeyMap")? {
                let renamed = given.text()?;
                check_name(renamed, &given.place, &[])?;
                if !self.keys.contains_key(key) {
                    return Ok(Err(format!("the registry does not list the key `{}`, which it renames", shown(key))));
                }
                keys.insert(key.to_owned(), renamed.to_owned());
            }
            for field in projection.items("featureColumns")? {
                let column = name_of(&field, "name", &[])?;
                if !registry.has(view, column) {
                    let missing = shown(&full(view, column));
                    return Ok(Err(format!("the registry does not list its `{missing}`")));
                }
                members.push(Member {
                    feature: full(view, column),
                    alias: prefix.as_ref().map(|prefix| format!("{prefix}__{column}")),
                    keys: keys.clone(),
                });
            }
        }
        if members.is_empty() {
            return Ok(Err("it has no features".to_owned()));
        }
        Ok(Ok(members))
    }

    fn finish(mut self, registry: &Registry<'_>) -> Result<Import, ImportError> {
        for (name, (tags, place)) in self.keys {
            let other = if registry.views.contains_key(name.as_str()) {
                Some("view")
            } else if self.features.contains_key(&name) {
                Some("feature")
            } else {
                None
            };
            if let Some(other) = other {
                let name = shown(&name);
                return Err(ImportError::KeyTaken { place, name, other });
            }
            let key = Feature { key: true, tags, ..Feature::default() };
            self.features.insert(name, key);
        }
        self.warnings.sort();
        self.warnings.dedup();
        let catalogue = Catalogue { features: self.features, bundles: self.bundles, datasources: self.sources };
        Ok(Import { catalogue, warnings: self.warnings })
    }
}

/// `FILE` of `BATCH_FILE`, `KAFKA` of `STREAM_KAFKA`, `PUSH` of `PUSH_SOURCE`; where the type says
/// nothing, `POSTGRESQL` of the class `….PostgreSQLSource`.
fn kind_of(source: &Node<'_>) -> Result<Option<String>, ImportError> {
    let kind = source.text_of("type")?.unwrap_or("INVALID");
    if !matches!(kind, "INVALID" | "CUSTOM_SOURCE") {
        let kind = kind.strip_prefix("BATCH_").unwrap_or(kind);
        let kind = kind.strip_prefix("STREAM_").unwrap_or(kind);
        let kind = kind.strip_suffix("_SOURCE").unwrap_or(kind);
        return Ok(Some(kind.to_owned()));
    }
    let class = source.text_of("dataSourceClassType")?;
    let class = class.and_then(|class| class.rsplit('.').next());
    Ok(class.map(|class| {
        let kind = class.strip_suffix("Source").unwrap_or(class);
        kind.to_ascii_uppercase()
    }))
}

/// The labels that a node's `tags` give (module page, "Labels").
fn labels(node: &Node<'_>, into: &mut BTreeSet<String>) -> Result<(), ImportError> {
    for (key, value) in node.entries("tags")? {
        let value = value.text()?;
        if key == SETTING || value.eq_ignore_ascii_case("false") {
            continue;
        }
        into.insert(format!("{key}={value}"));
        if !key.is_empty() && (value.is_empty() || value.eq_ignore_ascii_case("true")) {
            into.insert(key.to_owned());
        }
    }
    Ok(())
}
