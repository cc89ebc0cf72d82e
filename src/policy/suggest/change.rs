//! One change of the policy (or of the query): how it is made, and how it is told.

use serde::Serialize;

use super::{Files, name};
use crate::diagnostic::Place;
use crate::policy::file::{Layer, Text};
use crate::policy::permission::Permission;
use crate::policy::settings::Declassification;

/// What changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Change {
    /// A role maps a tag to this permission alone, whatever its `tags` and blocklists said of it.
    MapTag {
        /// The role.
        role: String,
        /// The tag.
        tag: String,
        /// The permission.
        #[serde(serialize_with = "name")]
        to: Permission,
    },
    /// A feature loses a tag that the policy gives it by name.
    Untag {
        /// The feature.
        feature: String,
        /// The tag.
        tag: String,
    },
    /// A pattern loses a tag.
    UntagPattern {
        /// The pattern.
        pattern: String,
        /// The tag.
        tag: String,
    },
    /// A feature gets a tag that the roles map already.
    Tag {
        /// The feature.
        feature: String,
        /// The tag.
        tag: String,
    },
    /// A feature gets a tag that is new, and roles map it.
    TagNew {
        /// The feature.
        feature: String,
        /// The tag.
        tag: String,
        /// Who maps it.
        roles: Vec<String>,
        /// To what.
        #[serde(serialize_with = "name")]
        to: Permission,
    },
    /// An imported input is taken out with `not_inputs`.
    NotInput {
        /// The feature.
        feature: String,
        /// The input.
        input: String,
    },
    /// A role may read data sources of one more tag.
    AllowSource {
        /// The role.
        role: String,
        /// The tag.
        tag: String,
    },
    /// A data source gets a tag.
    TagSource {
        /// The data source.
        source: String,
        /// The tag.
        tag: String,
    },
    /// The query supplies a feature.
    Supply {
        /// The feature.
        feature: String,
    },
    /// `declassification: boundary`.
    Boundary,
}

impl Change {
    /// Makes the change. What is not there is left alone.
    pub fn apply(&self, rules: &mut Layer, imported: &Layer, supplied: &mut Vec<String>) {
        match self {
            Self::MapTag { role, tag, to } => {
                if let Some(role) = rules.roles.get_mut(role) {
                    role.tags.retain(|(text, _)| text.value != *tag);
                    role.blocked.retain(|(text, _)| text.value != *tag);
                    role.tags.push((text(tag, &role.place), *to));
                }
            }
            Self::Untag { feature, tag } => {
                if let Some(feature) = rules.features.get_mut(feature) {
                    feature.tags.retain(|text| text.value != *tag);
                }
            }
            Self::UntagPattern { pattern, tag } => {
                for text in rules.patterns.iter_mut().filter(|text| text.pattern.text() == pattern) {
                    text.tags.retain(|text| text.value != *tag);
                }
            }
            Self::Tag { feature, tag } => tag_feature(rules, imported, feature, tag),
            Self::TagNew { feature, tag, roles, to } => {
                tag_feature(rules, imported, feature, tag);
                for (_, role) in rules.roles.iter_mut().filter(|(name, _)| roles.contains(name)) {
                    role.tags.push((text(tag, &role.place), *to));
                }
                let place = roles.first().and_then(|role| rules.roles.get(role)).map(|role| role.place.clone());
                if let (Some(register), Some(place)) = (&mut rules.tags, place) {
                    register.entry(tag.clone()).or_insert(place);
                }
            }
            Self::NotInput { feature, input } => {
                over_imported(rules, imported, feature);
                if let Some(feature) = rules.features.get_mut(feature) {
                    feature.not_inputs.push(text(input, &feature.place));
                }
            }
            Self::AllowSource { role, tag } => {
                if let Some(role) = rules.roles.get_mut(role)
                    && let Some(allow) = &mut role.datasources
                {
                    allow.push(text(tag, &role.place));
                }
            }
            Self::TagSource { source, tag } => {
                if let (false, Some(below)) = (rules.datasources.contains_key(source), imported.datasources.get(source))
                {
                    // The policy's data source takes the place of the catalogue's, but for the tags.
                    let mut above = below.clone();
                    above.tags.clear();
                    rules.datasources.insert(source.clone(), above);
                }
                if let Some(source) = rules.datasources.get_mut(source) {
                    source.tags.push(text(tag, &source.place));
                }
            }
            Self::Supply { feature } => supplied.push(feature.clone()),
            Self::Boundary => {
                let place = rules.declassification.as_ref().map(|(_, place)| place.clone()).or_else(|| top(rules));
                rules.declassification = place.map(|place| (Declassification::Boundary, place));
            }
        }
    }

    /// Whether it is the same change with a permission that allows more.
    pub(super) fn exceeds(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::MapTag { role, tag, to }, Self::MapTag { role: of, tag: same, to: less }) => {
                (role, tag) == (of, same) && to > less
            }
            (Self::TagNew { feature, roles, to, .. }, Self::TagNew { feature: of, roles: same, to: less, .. }) => {
                (feature, roles) == (of, same) && to > less
            }
            _ => false,
        }
    }

    /// The same mapping to lower permissions, the lowest first.
    pub(super) fn lesser(&self) -> Vec<Self> {
        let Self::MapTag { role, tag, to } = self else { return Vec::new() };
        let lower = [Permission::AllowInternal, Permission::Allow].into_iter().filter(|lower| lower < to);
        lower.map(|to| Self::MapTag { role: role.clone(), tag: tag.clone(), to }).collect()
    }

    /// In words, with the places to go to.
    pub fn text(&self, files: &Files<'_>) -> String {
        let rules = files.rules;
        let role_at = |role: &String| rules.roles.get(role).map(|role| role.place.file_line()).unwrap_or_default();
        match self {
            Self::MapTag { role, tag, to } => {
                let all = rules.roles.get(role).into_iter().flat_map(|role| &role.tags);
                let said: Vec<&(Text, Permission)> = all.filter(|(text, _)| text.value == *tag).collect();
                let blocked = rules.roles.get(role).into_iter().flat_map(|role| &role.blocked);
                let blocked: Vec<&(Text, &str)> = blocked.filter(|(text, _)| text.value == *tag).collect();
                // A mapping beside a list would change nothing: the most restrictive counts. A list that stays may be enough.
                let listed = blocked.len() == said.len();
                let off = |list: &str| *to > Permission::AllowInternal || list == "compute";
                let (off, on): (Vec<_>, Vec<_>) = blocked.into_iter().partition(|(_, list)| off(list));
                if !off.is_empty() {
                    let lists: Vec<String> = off.iter().map(|(_, list)| format!("`blocklists.{list}`")).collect();
                    let (lists, places) = (lists.join(" and "), places(off.iter().map(|(text, _)| &text.place)));
                    let take = format!("take tag `{tag}` off {lists} of role `{role}` ({places})");
                    let enough = listed && !on.is_empty();
                    return if enough { take } else { format!("{take}, and map it to {to} in `tags` there") };
                }
                let was = said.iter().map(|(_, permission)| *permission).min().map_or("", Permission::name);
                let places = places(said.iter().map(|(text, _)| &text.place));
                format!("map tag `{tag}` to {to} in place of {was} in role `{role}` ({places})")
            }
            Self::Untag { feature, tag } => {
                let tags = rules.features.get(feature).into_iter().flat_map(|feature| &feature.tags);
                let places = places(tags.filter(|text| text.value == *tag).map(|text| &text.place));
                format!("take tag `{tag}` off feature `{feature}` ({places})")
            }
            Self::UntagPattern { pattern, tag } => {
                let patterns = rules.patterns.iter().filter(|text| text.pattern.text() == pattern);
                let tags = patterns.flat_map(|pattern| &pattern.tags).filter(|text| text.value == *tag);
                let places = places(tags.map(|text| &text.place));
                format!("take tag `{tag}` off pattern `{pattern}` ({places})")
            }
            Self::Tag { feature, tag } => {
                format!("tag feature `{feature}` with `{tag}` ({})", feature_at(files, feature))
            }
            Self::TagNew { feature, tag, roles, to } => {
                let at = feature_at(files, feature);
                let roles: Vec<String> = roles.iter().map(|role| format!("`{role}` ({})", role_at(role))).collect();
                let register = rules.tags.as_ref().and_then(|register| register.values().next());
                let register = register.map(|place| format!(", registered in `tags` ({})", place.file_line()));
                let (roles, register) = (roles.join(", "), register.unwrap_or_default());
                format!(
                    "tag feature `{feature}` ({at}) with a new tag, `{tag}`, mapped to {to} in role {roles}{register}"
                )
            }
            Self::NotInput { feature, input } => {
                let inputs = files.imported.features.get(feature).into_iter().flat_map(|feature| &feature.inputs);
                let places = places(inputs.filter(|text| text.value == *input).map(|text| &text.place));
                let at = feature_at(files, feature);
                format!(
                    "take input `{input}` ({places}) out of `{feature}` ({at}) with `not_inputs`, if it is not read after all"
                )
            }
            Self::AllowSource { role, tag } => {
                let allow = rules.roles.get(role).and_then(|role| role.datasources.as_ref()?.first());
                let at = allow.map_or_else(|| role_at(role), |text| text.place.file_line());
                format!("add `{tag}` to `datasources.allow` of role `{role}` ({at})")
            }
            Self::TagSource { source, tag } => {
                let above = rules.datasources.get(source).map(|source| source.place.file_line());
                let below = files.imported.datasources.get(source).map(|source| source.place.file_line());
                let at = above.or_else(|| below.map(|at| format!("imported at {at}"))).unwrap_or_default();
                format!("tag data source `{source}` with `{tag}` ({at})")
            }
            Self::Supply { feature } => format!("supply `{feature}` in the query, where the feature server takes it"),
            Self::Boundary => {
                let given = rules.declassification.as_ref().map(|(_, place)| place.file_line());
                let at = given.or_else(|| top(rules).map(|place| place.file_line())).unwrap_or_default();
                format!("set `declassification: boundary` for the whole policy ({at})")
            }
        }
    }
}

fn text(value: &str, place: &Place) -> Text {
    Text { value: value.to_owned(), place: place.clone() }
}

/// Names an imported feature in the policy too, where it has nothing to say yet.
fn over_imported(rules: &mut Layer, imported: &Layer, feature: &str) {
    if let (false, Some(below)) = (rules.features.contains_key(feature), imported.features.get(feature)) {
        let mut above = below.clone();
        above.tags.clear();
        above.inputs.clear();
        rules.features.insert(feature.to_owned(), above);
    }
}

fn tag_feature(rules: &mut Layer, imported: &Layer, feature: &str, tag: &str) {
    over_imported(rules, imported, feature);
    if let Some(feature) = rules.features.get_mut(feature) {
        feature.tags.push(text(tag, &feature.place));
    }
}

fn feature_at(files: &Files<'_>, feature: &str) -> String {
    let below = || files.imported.features.get(feature).map(|f| format!("imported at {}", f.place.file_line()));
    files.rules.features.get(feature).map(|f| f.place.file_line()).or_else(below).unwrap_or_default()
}

/// Where a setting would be written that no file has: with the first role.
fn top(rules: &Layer) -> Option<Place> {
    rules.roles.values().map(|role| &role.place).next().map(|place| Place { line: 1, column: 1, ..place.clone() })
}

fn places<'p>(places: impl Iterator<Item = &'p Place>) -> String {
    let mut places: Vec<String> = places.map(Place::file_line).collect();
    places.dedup();
    places.join(", ")
}
