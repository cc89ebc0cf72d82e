//! Another system's registry -> catalogue (policy.md, "Policy over catalogue").
//!
//! A catalogue is a generated file: features with their tags and lineage, bundles and data
//! sources. Everything here is pure: bytes in, data out; who reads the files or asks the server
//! is the command line. An import fails closed: what it cannot read is an error that names the
//! place in the text or file, what it can read but not follow is a warning.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::diagnostic::{Code, Report, Severity, SourceFile};
use crate::policy::{
    self,
    file::{Layer, LayerKind},
};

pub mod chalk;
pub mod feast;
pub mod merge;
mod node;

/// What an import found, and what its reader should know about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The catalogue, with at least one feature in it that is not a key.
    pub catalogue: Catalogue,
    /// One line each, sorted: lower case, no full stop, names in backticks.
    pub warnings: Vec<String>,
}

/// The catalogue as data, in a fixed order: the same registry gives the same file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// By name, as the feature server writes it: `view:feature` with Feast, `namespace.name` with
    /// Chalk; Feast's keys by their own.
    pub features: BTreeMap<String, Feature>,
    /// By the name that a query uses; the members in the order of the registry.
    pub bundles: BTreeMap<String, Vec<Member>>,
    /// By name: with Feast those that a feature reads, with Chalk all that are declared, too.
    pub datasources: BTreeMap<String, DataSource>,
}

/// One feature or key (policy.md, "Words").
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Feature {
    /// An entity key or a request field: something that callers give.
    pub key: bool,
    /// Labels.
    pub tags: BTreeSet<String>,
    /// Names of the features that it is computed from.
    pub inputs: BTreeSet<String>,
    /// Names of the keys that it is looked up by.
    pub joins: BTreeSet<String>,
    /// Names of the data sources that it is read from.
    pub sources: BTreeSet<String>,
    /// Its derivation reads what cannot be seen: its inputs alone never clear it (policy.md, Resolution 3.5).
    pub opaque: bool,
    /// A relation: the namespace that a has-one hop leads to; `joins` are its keys.
    pub has_one: Option<String>,
    /// A relation: the namespace that a has-many hop leads to; `joins` are its keys.
    pub has_many: Option<String>,
    /// The version that the bare name stands for where the query does not say: `2` for `name@2`.
    pub default_version: Option<u64>,
}

/// One member of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The feature's name in the catalogue.
    pub feature: String,
    /// The column's name in an answer with full names, where it is not the feature's own: `as`.
    pub alias: Option<String>,
    /// The feature's join key -> the key that the caller gives in its place.
    pub keys: BTreeMap<String, String>,
}

/// One data source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DataSource {
    /// In capitals: `POSTGRESQL`, `FILE`. `None` where the registry does not tell.
    pub kind: Option<String>,
    /// Labels.
    pub tags: BTreeSet<String>,
}

/// Why nothing was imported. Messages hold names and places, never a value or a feature's code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// No JSON, deeper than 128 levels, or an object that has a key twice.
    #[error("the {document} does not read as JSON: {problem}")]
    Unreadable {
        /// Which of the texts.
        document: &'static str,
        /// What is wrong, with line and column (from 1).
        problem: String,
    },
    /// A field that has to be there is not.
    #[error("`{place}` is missing")]
    Missing {
        /// The way to it: `featureViews[3].spec.name`.
        place: String,
    },
    /// A value of another type.
    #[error("`{place}` is not {wanted}")]
    WrongType {
        /// The way to it.
        place: String,
        /// What it should be, with its article.
        wanted: &'static str,
    },
    /// A name without a character in it.
    #[error("`{place}` is an empty name")]
    EmptyName {
        /// The way to it.
        place: String,
    },
    /// A name that a catalogue would read as something else (a pattern, a segment, a version), or that has a control
    /// character.
    #[error("`{place}` is a name with `{}` in it, which a catalogue would misread", .character.escape_debug())]
    BadName {
        /// The way to it.
        place: String,
        /// The first such character.
        character: char,
    },
    /// Two things of one kind have one name.
    #[error("`{place}` is the name `{name}` again, after `{first}`")]
    Twice {
        /// The way to the second.
        place: String,
        /// The name.
        name: String,
        /// The way to the first.
        first: String,
    },
    /// A key has the name of something else.
    #[error("`{place}` is the key `{name}`, which is the name of a {other} too")]
    KeyTaken {
        /// The way to the key.
        place: String,
        /// The name.
        name: String,
        /// `view` or `feature`.
        other: &'static str,
    },
    /// The lineage leads to a view that is not there: removed, or hidden from who asked.
    #[error("`{place}` reads the view `{view}`, which the registry does not list")]
    UnknownView {
        /// The way to the source.
        place: String,
        /// The view's name.
        view: String,
    },
    /// A source of which it cannot be told what is read.
    #[error("`{place}` is a source of an unknown kind, so that its inputs cannot be told")]
    UnknownSource {
        /// The way to the source.
        place: String,
    },
    /// A part of a list that the server gave out by pages.
    #[error("the {document} is one page of {pages}: the whole list is needed")]
    OnePage {
        /// Which of the texts.
        document: &'static str,
        /// How many pages there are.
        pages: u64,
    },
    /// A registry without a feature; Feast answers so for a project that it does not know.
    #[error("the registry has no features, or the project does not exist")]
    Empty,
    /// No protobuf of the expected kind, or a part of it.
    #[error("`{place}` does not read as protobuf: it is damaged, cut short or of another kind")]
    Damaged {
        /// The way to the message: `graph.resolvers[3]`; the document's name at the top.
        place: String,
    },
    /// A registry file that holds more than one project, where a feature server serves one.
    #[error("the registry holds the projects {projects}: name one of them")]
    ManyProjects {
        /// All of them, in backticks.
        projects: String,
    },
    /// Chalk's export in its older form, which has no lineage.
    #[error("the export is JSON: it has to be written with `chalkpy export FILE --proto`")]
    JsonExport,
    /// Files of the project that did not import, so that what they define is missing from the export.
    #[error("the export is not whole, these files did not import: {files}")]
    FailedImports {
        /// All of them, in backticks.
        files: String,
    },
    /// Parts of the project that did not convert, so that they are missing from the export.
    #[error("the export is not whole, these parts did not convert: {parts}")]
    FailedConversions {
        /// Features and resolvers by name, in backticks.
        parts: String,
    },
    /// A resolver of which it cannot be told what it computes.
    #[error("`{place}` is an output of an unknown kind, so that what the resolver computes cannot be told")]
    UnknownOutput {
        /// The way to it: `graph.resolvers[3].outputs[0]`.
        place: String,
    },
    /// An export without a feature: of an empty folder, or of the wrong one.
    #[error("the export has no features: it is of an empty project, or of the wrong folder")]
    EmptyExport,
    /// A deployment that answers without a feature.
    #[error("the deployment's graph has no features: nothing is deployed, or the environment is another one")]
    EmptyGraph,
}

const HEADER: &str = "\
# Written by `tagwarden catalogue import`, and written anew by the next one.
# What people decide (tags, inputs, reviews) goes into the policy, which stands above it.
version: 1
";

impl Catalogue {
    /// The catalogue file (policy.md, "The files"): a feature, member or data source a line, all
    /// names in double quotes, sections without content left out.
    pub fn to_yaml(&self) -> String {
        let mut text = String::from(HEADER);
        let features = self.features.iter();
        section(
            &mut text,
            "features",
            features.map(|(name, feature)| format!("  {}: {}\n", quoted(name), feature.flow())),
        );
        let bundles = self.bundles.iter();
        section(&mut text, "bundles", bundles.map(|(name, members)| bundle(name, members)));
        let sources = self.datasources.iter();
        section(
            &mut text,
            "datasources",
            sources.map(|(name, source)| format!("  {}: {}\n", quoted(name), source.flow())),
        );
        text
    }
}

impl Feature {
    fn flow(&self) -> String {
        flow([
            self.key.then(|| "key: true".to_owned()),
            self.has_one.as_ref().map(|namespace| format!("has_one: {}", quoted(namespace))),
            self.has_many.as_ref().map(|namespace| format!("has_many: {}", quoted(namespace))),
            self.default_version.map(|version| format!("default_version: {version}")),
            list("tags", &self.tags),
            list("inputs", &self.inputs),
            list("joins", &self.joins),
            list("sources", &self.sources),
            self.opaque.then(|| "opaque: true".to_owned()),
        ])
    }
}

impl Member {
    fn flow(&self) -> String {
        if self.alias.is_none() && self.keys.is_empty() {
            return quoted(&self.feature);
        }
        let keys = self.keys.iter();
        let keys: Vec<String> = keys.map(|(from, to)| format!("{}: {}", quoted(from), quoted(to))).collect();
        flow([
            Some(format!("feature: {}", quoted(&self.feature))),
            self.alias.as_ref().map(|alias| format!("as: {}", quoted(alias))),
            (!keys.is_empty()).then(|| format!("keys: {{{}}}", keys.join(", "))),
        ])
    }
}

impl DataSource {
    fn flow(&self) -> String {
        flow([self.kind.as_ref().map(|kind| format!("kind: {}", quoted(kind))), list("tags", &self.tags)])
    }
}

/// The circles of a catalogue's lineage, a warning each: such a catalogue does not load under a
/// policy that leaves them whole.
fn circles(catalogue: &Catalogue) -> Vec<String> {
    let file = Arc::new(SourceFile { name: "catalogue".to_owned(), text: catalogue.to_yaml() });
    let mut report = Report::default();
    let layer = policy::file::read(LayerKind::Catalogue, &[file], &mut report);
    policy::catalogue::build(&Layer::default(), &layer, &mut report);
    let errors = report.diagnostics.into_iter().filter(|diagnostic| diagnostic.severity() == Severity::Error);
    errors
        .map(|error| {
            if error.code == Code::Cycle {
                format!("{}: a step of it has to be taken out by `not_inputs` in the policy", error.message)
            } else {
                error.message
            }
        })
        .collect()
}

fn section(text: &mut String, name: &str, entries: impl Iterator<Item = String>) {
    let body: String = entries.collect();
    if !body.is_empty() {
        text.push_str(&format!("\n{name}:\n{body}"));
    }
}

fn bundle(name: &str, members: &[Member]) -> String {
    if members.is_empty() {
        return format!("  {}: []\n", quoted(name));
    }
    let lines = members.iter().map(|member| format!("    - {}\n", member.flow()));
    format!("  {}:\n{}", quoted(name), lines.collect::<String>())
}

fn flow<const N: usize>(parts: [Option<String>; N]) -> String {
    let said: Vec<String> = parts.into_iter().flatten().collect();
    if said.is_empty() {
        return "null".to_owned();
    }
    format!("{{{}}}", said.join(", "))
}

fn list(name: &str, items: &BTreeSet<String>) -> Option<String> {
    let items: Vec<String> = items.iter().map(|item| quoted(item)).collect();
    (!items.is_empty()).then(|| format!("{name}: [{}]", items.join(", ")))
}

/// A string as JSON and YAML both read it. Characters that YAML does not take, and those that a
/// reviewer of the file would not see, are escaped.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len().saturating_add(2));
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff0}'..='\u{ffff}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests;
