//! Files -> [`Layer`]: what the policy files, or the catalogue files, say together, with the place of every word.
//!
//! All mistakes of all files are collected (policy.md, The files).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use crate::diagnostic::{Code, Diagnostic, Place, Report, SourceFile};
use crate::policy::pattern::Pattern;
use crate::policy::permission::Permission;
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

/// A role as written.
#[derive(Clone, Debug)]
pub struct RoleText {
    /// Where its name stands.
    pub place: Place,
    /// `default`, `Allow` where left out.
    pub default: Permission,
    /// Tag, permission, place; blocklists included.
    pub tags: Vec<(Text, Permission)>,
    /// `datasources.allow`; `None`: every source.
    pub datasources: Option<Vec<Text>>,
    /// `datasources.manage`.
    pub manage: bool,
    /// Switches of the Chalk dialect.
    pub chalk_allow: Vec<Text>,
    /// Features or patterns that a push may write.
    pub writes: Vec<Text>,
    /// A mode of its own.
    pub mode: Option<Mode>,
}

/// A binding as written.
#[derive(Clone, Debug)]
pub struct BindingText {
    /// Where it begins.
    pub place: Place,
    /// Role names.
    pub roles: Vec<Text>,
    /// Claim (or JSON pointer), wanted values (any of), place.
    pub when: Vec<(Text, Vec<Wanted>)>,
}

/// A value that a claim must have, compared exactly and by type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A text.
    Str(String),
    /// A whole number.
    Int(i64),
    /// A boolean.
    Bool(bool),
}

/// A feature as written, in all files of the layer together.
#[derive(Clone, Debug)]
pub struct FeatureText {
    /// Where its name stands first.
    pub place: Place,
    /// Labels.
    pub tags: Vec<Text>,
    /// What it is computed from.
    pub inputs: Vec<Text>,
    /// Keys that it hops over.
    pub joins: Vec<Text>,
    /// Data sources that it reads.
    pub sources: Vec<Text>,
    /// Imported inputs that are taken out.
    pub not_inputs: Vec<Text>,
    /// Whether callers give it.
    pub key: Setting<bool>,
    /// Whether its derivation reads what cannot be seen.
    pub opaque: Setting<bool>,
    /// The namespace that a has-one hop leads to.
    pub has_one: Option<Text>,
    /// The namespace that a has-many hop leads to.
    pub has_many: Option<Text>,
    /// The version that the bare name stands for.
    pub default_version: Setting<u64>,
}

/// A pattern and the tags that it adds.
#[derive(Clone, Debug)]
pub struct PatternText {
    /// Over which names.
    pub pattern: Pattern,
    /// Where it stands.
    pub place: Place,
    /// What it adds.
    pub tags: Vec<Text>,
}

/// A bundle as written.
#[derive(Clone, Debug)]
pub struct BundleText {
    /// Where its name stands.
    pub place: Place,
    /// Its members in order.
    pub members: Vec<MemberText>,
}

/// A member of a bundle.
#[derive(Clone, Debug)]
pub struct MemberText {
    /// The feature.
    pub feature: Text,
    /// The name under which it is answered, where that is not its own.
    pub alias: Option<String>,
    /// Entity key of the feature -> the name that callers give it under.
    pub keys: Vec<(String, String)>,
}

/// A data source as written.
#[derive(Clone, Debug)]
pub struct DataSourceText {
    /// Where its name stands.
    pub place: Place,
    /// `POSTGRESQL` and the like.
    pub kind: Option<String>,
    /// Labels.
    pub tags: Vec<Text>,
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
const FEATURE_KEYS: &[&str] =
    &["tags", "inputs", "joins", "sources", "not_inputs", "key", "opaque", "has_one", "has_many", "default_version"];
const ROLE_KEYS: &[&str] = &["description", "default", "tags", "blocklists", "datasources", "chalk", "writes", "mode"];
const PERMISSIONS: &[(&str, Permission)] = &[
    ("Deny", Permission::Deny),
    ("AllowInternal", Permission::AllowInternal),
    ("Allow", Permission::Allow),
    ("AllowDownstream", Permission::AllowDownstream),
];
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
        match fields.get("version") {
            Some(Node { value: Value::Int(1), .. }) => {}
            Some(other) => self.r.error(other, Code::Version, "`version` is not 1, the only one there is"),
            None => self.r.error(node, Code::Version, "`version: 1` is missing"),
        }
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

    fn role(&mut self, name: &str, place: Place, node: &Node) -> RoleText {
        let mut role = RoleText {
            place,
            default: Permission::Allow,
            tags: Vec::new(),
            datasources: None,
            manage: false,
            chalk_allow: Vec::new(),
            writes: Vec::new(),
            mode: None,
        };
        if matches!(node.value, Value::Null) {
            return role;
        }
        let Some(fields) = self.r.fields(node, &format!("role `{name}`"), ROLE_KEYS) else { return role };
        if let Some(node) = fields.get("description") {
            self.r.text(node, "`description`");
        }
        if let Some(node) = fields.get("default")
            && let Some(default) = self.default_permission(node)
        {
            if default == Permission::AllowDownstream {
                let message = "`default` is `AllowDownstream`, which would clear everything that is not tagged";
                self.r.error(node, Code::DefaultDownstream, message);
            } else {
                role.default = default;
            }
        }
        if let Some(entries) = fields.get("tags").and_then(|n| self.r.entries(n, "`tags` of a role")) {
            for (key, value) in entries {
                let what = format!("the permission of tag `{}`", key.name);
                if let Some(permission) = self.r.word(value, &what, PERMISSIONS) {
                    role.tags.push((Text { value: key.name.clone(), place: self.r.key_place(key) }, permission));
                }
            }
        }
        if let Some(node) = fields.get("blocklists")
            && let Some(lists) = self.r.fields(node, "`blocklists`", &["compute", "output"])
        {
            for (list, permission) in [("compute", Permission::Deny), ("output", Permission::AllowInternal)] {
                let names = self.names(lists.get(list), &format!("`blocklists.{list}`"));
                role.tags.extend(names.into_iter().map(|name| (name, permission)));
            }
        }
        if let Some(node) = fields.get("datasources")
            && let Some(sources) = self.r.fields(node, "`datasources` of a role", &["allow", "manage"])
        {
            // `allow:` with nothing behind it is a slip, and must not read as every source.
            if let Some((_, allow)) = sources.raw("allow") {
                role.datasources = Some(self.names(Some(allow), "`datasources.allow`"));
            }
            if let Some(manage) = sources.get("manage") {
                role.manage = self.r.boolean(manage, "`datasources.manage`").unwrap_or(false);
            }
        }
        if let Some(node) = fields.get("chalk")
            && let Some(chalk) = self.r.fields(node, "`chalk`", &["allow"])
        {
            role.chalk_allow = self.names(chalk.get("allow"), "`chalk.allow`");
        }
        role.writes = self.names(fields.get("writes"), "`writes`");
        role.mode = fields.get("mode").and_then(|node| self.r.word(node, "`mode`", MODES));
        role
    }

    /// `default`; a misspelt one is offered what it may be.
    fn default_permission(&mut self, node: &Node) -> Option<Permission> {
        let allowed: Vec<(&str, Permission)> =
            PERMISSIONS.iter().filter(|(_, p)| *p != Permission::AllowDownstream).copied().collect();
        let downstream = matches!(&node.value, Value::Str(text) if text == Permission::AllowDownstream.name());
        if downstream { Some(Permission::AllowDownstream) } else { self.r.word(node, "`default`", &allowed) }
    }

    fn binding(&mut self, node: &Node) {
        let place = self.r.place(node);
        let Some(fields) = self.r.fields(node, "a binding", &["roles", "when"]) else { return };
        let roles = self.names(fields.get("roles"), "`roles` of a binding");
        if roles.is_empty() {
            self.r.error(node, Code::BindingRoles, "a binding without `roles` gives nothing");
        }
        let mut when = Vec::new();
        match fields.get("when").and_then(|n| self.r.entries(n, "`when`")) {
            Some(entries) if !entries.is_empty() => {
                for (key, value) in entries {
                    let claim = Text { value: key.name.clone(), place: self.r.key_place(key) };
                    when.push((claim, self.wanted(&key.name, value)));
                }
            }
            Some(_) => self.r.error(node, Code::BindingWhen, "an empty `when` would match every caller"),
            None if fields.get("when").is_none() => {
                self.r.error(node, Code::BindingWhen, "a binding without `when` would match every caller");
            }
            None => {}
        }
        let named = |prefix: &str| when.iter().any(|(claim, _)| claim.value.starts_with(prefix));
        if named("cert.") && when.iter().any(|(claim, _)| is_issuer(&claim.value)) {
            self.r.error(
                node,
                Code::BindingWhen,
                "`when` names both `iss` and `cert.*`, and a caller is one or the other",
            );
        }
        self.layer.bindings.push(BindingText { place, roles, when });
    }

    fn wanted(&mut self, claim: &str, node: &Node) -> Vec<Wanted> {
        match &node.value {
            Value::Str(text) => vec![Wanted::Str(text.clone())],
            Value::Int(number) => vec![Wanted::Int(*number)],
            Value::Bool(value) => vec![Wanted::Bool(*value)],
            Value::Seq(items) if !items.is_empty() => items
                .iter()
                .flat_map(|item| match &item.value {
                    Value::Seq(_) => {
                        self.r.error(item, Code::BindingWhen, format!("claim `{claim}` wants a list within a list"));
                        Vec::new()
                    }
                    _ => self.wanted(claim, item),
                })
                .collect(),
            other => {
                let kind = if matches!(other, Value::Seq(_)) { "an empty list" } else { other.kind() };
                let message = format!("claim `{claim}` wants {kind}, not a text, a whole number, a boolean or a list");
                self.r.error(node, Code::BindingWhen, message);
                Vec::new()
            }
        }
    }

    fn pattern(&mut self, name: &str, place: Place, node: &Node) {
        if self.kind == LayerKind::Catalogue {
            let message = format!("pattern `{name}` stands in a catalogue; patterns belong in the policy");
            self.r.report.push(Diagnostic::new(Code::Pattern, &place, message));
            return;
        }
        if !matches!(node.value, Value::Map(_)) {
            self.r.error(node, Code::Pattern, format!("pattern `{name}` says nothing; it adds `tags`"));
            return;
        }
        let entries = self.r.entries(node, &format!("pattern `{name}`")).unwrap_or_default();
        for (key, _) in entries.iter().filter(|(key, _)| key.name != "tags") {
            let place = self.r.key_place(key);
            let message = format!("pattern `{name}` has `{}`; a pattern only adds `tags`", key.name);
            self.r.report.push(Diagnostic::new(Code::Pattern, &place, message));
        }
        let tags = entries.iter().find(|(key, _)| key.name == "tags").map(|(_, tags)| *tags);
        let tags = self.names(tags, "`tags`");
        self.layer.patterns.push(PatternText { pattern: Pattern::new(name), place, tags });
    }

    fn feature(&mut self, name: &str, place: Place, node: &Node) {
        if name.is_empty() || name.chars().any(char::is_control) {
            let message = "a feature's name is empty or holds control characters";
            self.r.report.push(Diagnostic::new(Code::FeatureName, &place, message));
            return;
        }
        let what = format!("feature `{name}`");
        let fields = match node.value {
            Value::Null => None,
            _ => self.r.fields(node, &what, FEATURE_KEYS),
        };
        let mut new = FeatureText {
            place,
            tags: Vec::new(),
            inputs: Vec::new(),
            joins: Vec::new(),
            sources: Vec::new(),
            not_inputs: Vec::new(),
            key: None,
            opaque: None,
            has_one: None,
            has_many: None,
            default_version: None,
        };
        if let Some(fields) = fields {
            new.tags = self.names(fields.get("tags"), "`tags`");
            new.inputs = self.names(fields.get("inputs"), "`inputs`");
            new.joins = self.names(fields.get("joins"), "`joins`");
            new.sources = self.names(fields.get("sources"), "`sources`");
            new.not_inputs = self.names(fields.get("not_inputs"), "`not_inputs`");
            if let (LayerKind::Catalogue, Some((key, _))) = (self.kind, fields.entry("not_inputs")) {
                let place = self.r.key_place(key);
                let message = format!("{what} has `not_inputs` in a catalogue; it belongs in the policy");
                self.r.report.push(Diagnostic::new(Code::NotInputs, &place, message));
            }
            for (field, slot) in [("key", &mut new.key), ("opaque", &mut new.opaque)] {
                if let Some(node) = fields.get(field) {
                    *slot = self.r.boolean(node, &format!("`{field}`")).map(|value| (value, self.r.place(node)));
                }
            }
            for (field, slot) in [("has_one", &mut new.has_one), ("has_many", &mut new.has_many)] {
                if let Some(node) = fields.get(field) {
                    let value = self.r.text(node, &format!("`{field}`")).map(str::to_owned);
                    *slot = value.map(|value| Text { value, place: self.r.place(node) });
                }
            }
            if let Some(node) = fields.get("default_version") {
                new.default_version = self.r.count(node, "`default_version`").map(|v| (v, self.r.place(node)));
            }
        }
        match self.layer.features.entry(name.to_owned()) {
            Entry::Vacant(slot) => {
                slot.insert(new);
            }
            Entry::Occupied(slot) => slot.into_mut().join(new, self.r.report),
        }
    }

    fn bundle(&mut self, name: &str, place: Place, node: &Node) -> BundleText {
        let what = format!("bundle `{name}`");
        let mut members = Vec::new();
        for item in self.r.list(node, &what).unwrap_or_default() {
            if let Value::Str(text) = &item.value {
                let feature = Text { value: text.clone(), place: self.r.place(item) };
                members.push(MemberText { feature, alias: None, keys: Vec::new() });
                continue;
            }
            let Some(fields) = self.r.fields(item, "a member of a bundle", &["feature", "as", "keys"]) else {
                continue;
            };
            let Some(feature) = fields.get("feature") else {
                self.r.error(item, Code::BundleMember, format!("a member of {what} names no `feature`"));
                continue;
            };
            let Some(text) = self.r.text(feature, "`feature`") else { continue };
            let feature = Text { value: text.to_owned(), place: self.r.place(feature) };
            let alias = fields.get("as").and_then(|node| self.r.text(node, "`as`")).map(str::to_owned);
            let mut keys = Vec::new();
            if let Some(entries) = fields.get("keys").and_then(|n| self.r.entries(n, "`keys`")) {
                for (key, value) in entries {
                    if let Some(renamed) = self.r.text(value, &format!("the name of key `{}`", key.name)) {
                        keys.push((key.name.clone(), renamed.to_owned()));
                    }
                }
            }
            members.push(MemberText { feature, alias, keys });
        }
        BundleText { place, members }
    }

    fn datasource(&mut self, name: &str, place: Place, node: &Node) -> DataSourceText {
        let mut source = DataSourceText { place, kind: None, tags: Vec::new() };
        if matches!(node.value, Value::Null) {
            return source;
        }
        if let Some(fields) = self.r.fields(node, &format!("data source `{name}`"), &["kind", "tags"]) {
            source.kind = fields.get("kind").and_then(|node| self.r.text(node, "`kind`")).map(str::to_owned);
            source.tags = self.names(fields.get("tags"), "`tags`");
        }
        source
    }
}

/// Whether a name in `when` stands for the issuer, also as a pointer.
pub(super) fn is_issuer(claim: &str) -> bool {
    matches!(claim, "iss" | "/iss")
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

impl FeatureText {
    /// Adds what another file, or another layer, says of the same feature.
    pub fn join(&mut self, other: Self, report: &mut Report) {
        self.tags.extend(other.tags);
        self.inputs.extend(other.inputs);
        self.joins.extend(other.joins);
        self.sources.extend(other.sources);
        self.not_inputs.extend(other.not_inputs);
        for (name, slot, value) in [("key", &mut self.key, other.key), ("opaque", &mut self.opaque, other.opaque)] {
            if let Some((value, place)) = value {
                merge(slot, value, &place, name, report);
            }
        }
        if let Some((value, place)) = other.default_version {
            merge(&mut self.default_version, value, &place, "default_version", report);
        }
        for (name, slot, value) in
            [("has_one", &mut self.has_one, other.has_one), ("has_many", &mut self.has_many, other.has_many)]
        {
            match (&*slot, value) {
                (Some(first), Some(new)) if first.value != new.value => {
                    let message = format!("`{name}` leads to two namespaces, first at {}", first.place);
                    report.push(Diagnostic::new(Code::Conflict, &new.place, message));
                }
                (None, Some(new)) => *slot = Some(new),
                (Some(_) | None, _) => {}
            }
        }
    }
}
