//! Features and patterns.

use std::collections::btree_map::Entry;

use super::{FileReader, LayerKind, Setting, Text, merge};
use crate::diagnostic::{Code, Diagnostic, Place, Report};
use crate::policy::pattern::Pattern;
use crate::yaml::{Node, Value};

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
const FEATURE_KEYS: &[&str] =
    &["tags", "inputs", "joins", "sources", "not_inputs", "key", "opaque", "has_one", "has_many", "default_version"];

impl FileReader<'_, '_> {
    pub(super) fn pattern(&mut self, name: &str, place: Place, node: &Node) {
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
            self.r.report.push(Diagnostic::new(Code::Pattern, &place, message).suggest(&key.name, ["tags"]));
        }
        let tags = entries.iter().find(|(key, _)| key.name == "tags").map(|(_, tags)| *tags);
        let tags = self.names(tags, "`tags`");
        self.layer.patterns.push(PatternText { pattern: Pattern::new(name), place, tags });
    }

    pub(super) fn feature(&mut self, name: &str, place: Place, node: &Node) {
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
