//! Several catalogue files -> one, with the same meaning as all of them loaded side by side
//! (policy.md, "The files").
//!
//! Features are united: tags, inputs, joins and sources add up, and what is said once (`key`,
//! `opaque`, `has_one`, `has_many`, `default_version`) holds. What two files say differently is an
//! error that names both places. A bundle or data source may stand in several files where it is the
//! same in all of them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::{Catalogue, DataSource, Feature, Member};
use crate::diagnostic::{Code, Diagnostic, Place, Report, SourceFile};
use crate::policy::file::{self, BundleText, DataSourceText, FeatureText, LayerKind, Text};

/// The one catalogue of all files, in any order of them.
///
/// # Errors
/// The report, sorted, where a file does not read as a catalogue, or contradicts
/// another one.
pub fn merge(files: &[Arc<SourceFile>]) -> Result<Catalogue, Report> {
    let mut report = Report::default();
    let mut features: BTreeMap<String, FeatureText> = BTreeMap::new();
    let mut bundles: BTreeMap<String, (Vec<Member>, Place)> = BTreeMap::new();
    let mut datasources: BTreeMap<String, (DataSource, Place)> = BTreeMap::new();
    for file in files {
        let layer = file::read(LayerKind::Catalogue, std::slice::from_ref(file), &mut report);
        for (name, feature) in layer.features {
            match features.entry(name) {
                Entry::Vacant(slot) => {
                    slot.insert(feature);
                }
                Entry::Occupied(slot) => slot.into_mut().join(feature, &mut report),
            }
        }
        for (name, bundle) in layer.bundles {
            let place = bundle.place.clone();
            same("bundle", name, members(bundle), place, &mut bundles, &mut report);
        }
        for (name, source) in layer.datasources {
            let place = source.place.clone();
            same("data source", name, datasource(source), place, &mut datasources, &mut report);
        }
    }
    if report.has_errors() {
        report.sort();
        return Err(report);
    }
    Ok(Catalogue {
        features: features.into_iter().map(|(name, feature)| (name, self::feature(feature))).collect(),
        bundles: bundles.into_iter().map(|(name, (members, _))| (name, members)).collect(),
        datasources: datasources.into_iter().map(|(name, (source, _))| (name, source)).collect(),
    })
}

/// Puts something in its map, where it may stand already if it is the same.
fn same<T: PartialEq>(
    what: &str,
    name: String,
    content: T,
    place: Place,
    map: &mut BTreeMap<String, (T, Place)>,
    report: &mut Report,
) {
    match map.entry(name) {
        Entry::Vacant(slot) => {
            slot.insert((content, place));
        }
        Entry::Occupied(slot) => {
            let (first, at) = slot.get();
            if *first != content {
                let message = format!("{what} `{}` stands twice and not alike, first at {at}", slot.key());
                report.push(Diagnostic::new(Code::Conflict, &place, message));
            }
        }
    }
}

fn words<C: FromIterator<String>>(texts: Vec<Text>) -> C {
    texts.into_iter().map(|text| text.value).collect()
}

fn feature(text: FeatureText) -> Feature {
    let value = |setting: file::Setting<bool>| setting.is_some_and(|(value, _)| value);
    Feature {
        key: value(text.key),
        tags: words(text.tags),
        inputs: words(text.inputs),
        joins: words(text.joins),
        sources: words(text.sources),
        opaque: value(text.opaque),
        has_one: text.has_one.map(|text| text.value),
        has_many: text.has_many.map(|text| text.value),
        default_version: text.default_version.map(|(version, _)| version),
    }
}

fn members(bundle: BundleText) -> Vec<Member> {
    let member = |member: file::MemberText| Member {
        feature: member.feature.value,
        alias: member.alias,
        keys: member.keys.into_iter().map(|(key, renamed)| (key.value, renamed)).collect(),
    };
    bundle.members.into_iter().map(member).collect()
}

fn datasource(text: DataSourceText) -> DataSource {
    DataSource { kind: text.kind, tags: words(text.tags) }
}

#[cfg(test)]
mod tests;
