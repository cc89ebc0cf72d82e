//! Files -> [`Layer`]: what the policy files, or the catalogue files, say together, with the place of every word.
//!
//! All mistakes of all files are collected (policy.md, The files).

mod binding;
mod bundle;
mod dashboard;
mod feature;
mod role;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

pub use binding::{BindingText, Wanted};
pub(super) use binding::{is_certificate, is_issuer};
pub use bundle::{BundleText, DataSourceText, MemberText};
pub use dashboard::Labels;
pub use feature::{FeatureText, PatternText};
pub use role::RoleText;

use crate::diagnostic::{Code, Diagnostic, Place, Report, SourceFile};
use crate::policy::pattern::Pattern;
use crate::policy::settings::{CatalogueTags, Combine, Declassification, Internal, Mode, Supplies, UnknownFeatures};
use crate::yaml::{self, Fields, Node, Reader, Value};

/// A word of a file and where it stands.
#[derive(Clone, Debug)]
pub struct Text {
    /// The word.
    pub value: String,
    /// Where.
    pub place: Place,
}

/// A setting and where it was given first.
pub type Setting<T> = Option<(T, Place)>;

/// Which files are read: the rules, or generated files below them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerKind {
    /// Policy files: everything.
    Policy,
    /// Catalogue files: `version`, `features`, `bundles`, `datasources`.
    Catalogue,
}

/// All files of one kind, merged.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    /// What to do with names outside the catalogue.
    pub unknown_features: Setting<UnknownFeatures>,
    /// How several roles of one caller go together.
    pub combine: Setting<Combine>,
    /// What a clearing tag clears.
    pub declassification: Setting<Declassification>,
    /// Whether an internal input makes an untagged copy internal.
    pub internal: Setting<Internal>,
    /// What tags count that only a catalogue gives.
    pub catalogue_tags: Setting<CatalogueTags>,
    /// Which values a caller may supply.
    pub supplies: Setting<Supplies>,
    /// What happens to a query with refused outputs.
    pub mode: Setting<Mode>,
    /// The register of tags, once any file has one.
    pub tags: Option<BTreeMap<String, Place>>,
    /// Roles by name.
    pub roles: BTreeMap<String, RoleText>,
    /// Bindings in the order of the files.
    pub bindings: Vec<BindingText>,
    /// Features by name.
    pub features: BTreeMap<String, FeatureText>,
    /// Patterns in the order of the files.
    pub patterns: Vec<PatternText>,
    /// Bundles by name.
    pub bundles: BTreeMap<String, BundleText>,
    /// Data sources by name.
    pub datasources: BTreeMap<String, DataSourceText>,
}

const POLICY_KEYS: &[&str] = &[
    "version",
    "unknown_features",
    "combine",
    "declassification",
    "internal",
    "catalogue_tags",
    "supplies",
    "mode",
    "tags",
    "roles",
    "bindings",
    "features",
    "bundles",
    "datasources",
];
const CATALOGUE_KEYS: &[&str] = &["version", "features", "bundles", "datasources"];
const MODES: &[(&str, Mode)] = &[("reject", Mode::Reject), ("filter", Mode::Filter)];

/// Reads all files of one kind. Mistakes go to the report; what could be read is returned all the same.
pub fn read(kind: LayerKind, files: &[Arc<SourceFile>], report: &mut Report) -> Layer {
    let mut layer = Layer::default();
    for file in files {
        match yaml::parse(file) {
            Ok(node) => {
                FileReader { kind, layer: &mut layer, r: Reader { file: Arc::clone(file), report } }.file(&node)
            }
            Err(diagnostic) => report.push(*diagnostic),
        }
    }
    layer
}

struct FileReader<'a, 'r> {
    kind: LayerKind,
    layer: &'a mut Layer,
    r: Reader<'r>,
}

impl FileReader<'_, '_> {
    fn file(&mut self, node: &Node) {
        if matches!(node.value, Value::Null) {
            self.r.error(node, Code::Empty, "the file says nothing, not even `version: 1`");
            return;
        }
        let (known, what) = match self.kind {
            LayerKind::Policy => (POLICY_KEYS, "a policy file"),
            LayerKind::Catalogue => (CATALOGUE_KEYS, "a catalogue file"),
        };
        let Some(fields) = self.r.fields(node, what, known) else { return };
        self.r.version(node, &fields);
        if self.kind == LayerKind::Policy {
            self.settings(&fields);
            self.register(&fields);
            if let Some(roles) = fields.get("roles").and_then(|n| self.r.entries(n, "`roles`")) {
                for (key, value) in roles {
                    let place = self.r.key_place(key);
                    let role = self.role(&key.name, place, value);
                    self.once("role", &key.name, role, |layer| &mut layer.roles, |role| &role.place);
                }
            }
            if let Some(items) = fields.get("bindings").and_then(|n| self.r.list(n, "`bindings`")) {
                for item in items {
                    self.binding(item);
                }
            }
        }
        if let Some(features) = fields.get("features").and_then(|n| self.r.entries(n, "`features`")) {
            for (key, value) in features {
                let place = self.r.key_place(key);
                if Pattern::is_pattern(&key.name) {
                    self.pattern(&key.name, place, value);
                } else {
                    self.feature(&key.name, place, value);
                }
            }
        }
        if let Some(bundles) = fields.get("bundles").and_then(|n| self.r.entries(n, "`bundles`")) {
            for (key, value) in bundles {
                let place = self.r.key_place(key);
                let bundle = self.bundle(&key.name, place, value);
                self.once("bundle", &key.name, bundle, |layer| &mut layer.bundles, |bundle| &bundle.place);
            }
        }
        if let Some(sources) = fields.get("datasources").and_then(|n| self.r.entries(n, "`datasources`")) {
            for (key, value) in sources {
                let place = self.r.key_place(key);
                let source = self.datasource(&key.name, place, value);
                self.once("data source", &key.name, source, |layer| &mut layer.datasources, |source| &source.place);
            }
        }
    }

    /// Puts something in its map; that it stands there already is an error naming both places.
    fn once<T>(
        &mut self,
        what: &str,
        name: &str,
        value: T,
        map: impl Fn(&mut Layer) -> &mut BTreeMap<String, T>,
        place: impl Fn(&T) -> &Place,
    ) {
        match map(self.layer).entry(name.to_owned()) {
            Entry::Vacant(slot) => {
                slot.insert(value);
            }
            Entry::Occupied(first) => {
                let first = place(first.get()).clone();
                self.r.report.push(Diagnostic::new(
                    Code::DuplicateName,
                    place(&value),
                    format!("{what} `{name}` stands twice, first at {first}"),
                ));
            }
        }
    }

    fn settings(&mut self, fields: &Fields<'_>) {
        let unknown = [("deny", UnknownFeatures::Deny), ("default", UnknownFeatures::Default)];
        self.setting(fields, "unknown_features", &unknown, |layer| &mut layer.unknown_features);
        let combine = [("most_restrictive", Combine::MostRestrictive), ("most_permissive", Combine::MostPermissive)];
        self.setting(fields, "combine", &combine, |layer| &mut layer.combine);
        let declassification = [("strict", Declassification::Strict), ("boundary", Declassification::Boundary)];
        self.setting(fields, "declassification", &declassification, |layer| &mut layer.declassification);
        let internal = [("stays", Internal::Stays), ("flows", Internal::Flows)];
        self.setting(fields, "internal", &internal, |layer| &mut layer.internal);
        let tags =
            [("restrict", CatalogueTags::Restrict), ("trust", CatalogueTags::Trust), ("ignore", CatalogueTags::Ignore)];
        self.setting(fields, "catalogue_tags", &tags, |layer| &mut layer.catalogue_tags);
        self.setting(fields, "supplies", &[("any", Supplies::Any), ("keys", Supplies::Keys)], |l| &mut l.supplies);
        self.setting(fields, "mode", MODES, |layer| &mut layer.mode);
    }

    fn setting<T: Copy + PartialEq>(
        &mut self,
        fields: &Fields<'_>,
        name: &str,
        words: &[(&str, T)],
        slot: impl Fn(&mut Layer) -> &mut Setting<T>,
    ) {
        let Some(node) = fields.get(name) else { return };
        let Some(value) = self.r.word(node, &format!("`{name}`"), words) else { return };
        let place = self.r.place(node);
        merge(slot(self.layer), value, &place, name, self.r.report);
    }

    fn register(&mut self, fields: &Fields<'_>) {
        let Some(node) = fields.get("tags") else { return };
        let Some(entries) = self.r.entries(node, "`tags`") else { return };
        for (key, value) in entries {
            if !matches!(value.value, Value::Null | Value::Str(_)) {
                self.r.error(value, Code::WrongKind, format!("the description of tag `{}` is not a text", key.name));
            }
            let place = self.r.key_place(key);
            self.layer.tags.get_or_insert_default().entry(key.name.clone()).or_insert(place);
        }
        self.layer.tags.get_or_insert_default();
    }

    fn names(&mut self, node: Option<&Node>, what: &str) -> Vec<Text> {
        let Some(items) = node.and_then(|node| self.r.list(node, what)) else { return Vec::new() };
        let mut names = Vec::with_capacity(items.len());
        for item in items {
            if let Some(text) = self.r.text(item, &format!("an item of {what}")) {
                names.push(Text { value: text.to_owned(), place: self.r.place(item) });
            }
        }
        names
    }
}

fn merge<T: Copy + PartialEq>(slot: &mut Setting<T>, value: T, place: &Place, name: &str, report: &mut Report) {
    match slot {
        None => *slot = Some((value, place.clone())),
        Some((first, at)) if *first != value => {
            let message = format!("`{name}` is given twice with different values, first at {at}");
            report.push(Diagnostic::new(Code::Conflict, place, message));
        }
        Some(_) => {}
    }
}
