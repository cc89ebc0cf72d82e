//! Warnings: a policy that loads and probably does not say what was meant (policy.md, The files, last paragraph).
//!
//! One mistake is one warning, however many roles and features it touches: it names the first, and counts the others.

mod features;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::diagnostic::{Code, Diagnostic, Place, Report};
use crate::policy::catalogue::{Feature, suggestible};
use crate::policy::file::{Layer, Text};
use crate::policy::pattern::Pattern;
use crate::policy::settings::UnknownFeatures;
use crate::policy::{Policy, texts};

/// Looks for all of them. O(roles x (features + lineage edges)) time, O(features) memory.
pub fn lint(policy: &Policy, rules: &Layer, imported: &Layer, report: &mut Report) {
    bound(policy, report);
    mapped_tags(policy, report);
    sources(policy, rules, imported, report);
    names(policy, rules, report);
    not_inputs(rules, imported, report);
    catalogue_tags(rules, imported, report);
    features::lint(policy, report);
}

/// Roles that no caller can hold.
fn bound(policy: &Policy, report: &mut Report) {
    if let (Some(role), true) = (policy.roles.first(), policy.bindings.is_empty()) {
        let message = format!("no binding gives role `{}`{}", role.name, others(policy.roles.len() - 1));
        report.push(Diagnostic::new(Code::UnboundRole, &role.place, message));
        return;
    }
    let bound: HashSet<u16> = policy.bindings.iter().flat_map(|binding| binding.roles.iter().copied()).collect();
    for (role, _) in policy.roles.iter().zip(0..).filter(|(_, id)| !bound.contains(id)) {
        let message = format!("no binding gives role `{}`", role.name);
        report.push(Diagnostic::new(Code::UnboundRole, &role.place, message));
    }
}

/// Tags that roles map and no feature carries.
fn mapped_tags(policy: &Policy, report: &mut Report) {
    let carried: HashSet<u32> =
        policy.catalogue.classes.iter().flat_map(|class| class.all_tags.iter().copied()).collect();
    let known: BTreeSet<&str> = carried.iter().map(|tag| policy.catalogue.tags.name(*tag)).collect();
    let mut unused: BTreeMap<u32, (&str, &Place, BTreeSet<&str>)> = BTreeMap::new();
    for role in &policy.roles {
        for (tag, _, place) in role.tag_places.iter().filter(|(tag, ..)| !carried.contains(tag)) {
            unused.entry(*tag).or_insert_with(|| (&role.name, place, BTreeSet::new())).2.insert(&role.name);
        }
    }
    for (tag, (role, place, roles)) in unused {
        let name = policy.catalogue.tags.name(tag);
        let (more, map) = (others(roles.len() - 1), if roles.len() == 1 { "maps" } else { "map" });
        let message = format!("role `{role}`{more} {map} tag `{name}`, which no feature carries");
        report.push(Diagnostic::new(Code::UnusedTag, place, message).suggest(name, known.iter().copied()));
    }
}

/// Limits of roles to some data sources that do not do what they seem to.
fn sources(policy: &Policy, rules: &Layer, imported: &Layer, report: &mut Report) {
    let limited = policy.roles.iter().filter(|role| role.limits_sources);
    // What is looked up by keys alone is raw all the same; another join may read a source of its own.
    let is_key = |id| policy.catalogue.feature(id).is_some_and(|feature| feature.key);
    let looked_up = |feature: &Feature| policy.catalogue.edges(feature).iter().all(|e| !e.input && is_key(e.to));
    let raw = |feature: &&Feature| feature.source_set == 0 && !feature.key && looked_up(feature);
    let unsourced: Vec<&Feature> = policy.catalogue.features().iter().filter(raw).collect();
    if let (Some(role), Some(feature)) = (limited.clone().next(), unsourced.first()) {
        let (count, raw) = (limited.count(), unsourced.len());
        let message = format!(
            "role `{}`{} {} limited to some data sources, and raw feature `{}`{} {} the limit by",
            role.name,
            others(count - 1),
            if count == 1 { "is" } else { "are" },
            feature.name,
            others(raw - 1),
            if raw == 1 { "names none, so it passes" } else { "name none, so they pass" },
        );
        report.push(Diagnostic::new(Code::NoSource, &role.place, message));
    }
    let declared = rules.datasources.values().chain(imported.datasources.values());
    let known: BTreeSet<&str> = declared.flat_map(|source| texts(&source.tags)).collect();
    for (name, role) in &rules.roles {
        for tag in role.datasources.iter().flatten().filter(|tag| !known.contains(tag.value.as_str())) {
            let message = format!("role `{name}` may read data sources with tag `{}`, which none carries", tag.value);
            let finding = Diagnostic::new(Code::UnusedTag, &tag.place, message);
            report.push(finding.suggest(&tag.value, known.iter().copied()));
        }
    }
}

/// Patterns that match nothing, and written features that do not exist.
fn names(policy: &Policy, rules: &Layer, report: &mut Report) {
    let features = || policy.catalogue.features().iter().map(|feature| &*feature.name);
    for pattern in &rules.patterns {
        if !features().any(|name| pattern.pattern.matches(name)) {
            let message = format!("pattern `{}` matches no feature", pattern.pattern.text());
            report.push(Diagnostic::new(Code::UnusedPattern, &pattern.place, message));
        }
    }
    let closed = policy.settings.unknown_features == UnknownFeatures::Deny;
    for (role, text) in &rules.roles {
        for Text { value, place } in &text.writes {
            let pattern = Pattern::is_pattern(value).then(|| Pattern::new(value));
            match pattern {
                Some(pattern) if !features().any(|name| pattern.matches(name)) => {
                    let message = format!("role `{role}` may write `{value}`, and the pattern matches no feature");
                    report.push(Diagnostic::new(Code::UnusedPattern, place, message));
                }
                None if closed && policy.catalogue.id(value).is_none() => {
                    let message = format!("role `{role}` may write feature `{value}`, which does not exist");
                    let known = suggestible(report).then(features).into_iter().flatten();
                    report.push(Diagnostic::new(Code::UnknownFeature, place, message).suggest(value, known));
                }
                Some(_) | None => {}
            }
        }
    }
}

fn not_inputs(rules: &Layer, imported: &Layer, report: &mut Report) {
    for (name, feature) in &rules.features {
        let known: BTreeSet<&str> =
            imported.features.get(name).map(|feature| texts(&feature.inputs).collect()).unwrap_or_default();
        for text in feature.not_inputs.iter().filter(|text| !known.contains(text.value.as_str())) {
            let message = format!("`not_inputs` of `{name}` takes out `{}`, which is no imported input", text.value);
            let finding = Diagnostic::new(Code::UnusedNotInput, &text.place, message);
            report.push(finding.suggest(&text.value, known.iter().copied()));
        }
    }
}

/// Tags of the catalogue that the register does not know, once each.
fn catalogue_tags(rules: &Layer, imported: &Layer, report: &mut Report) {
    let Some(register) = &rules.tags else { return };
    let mut found: BTreeMap<&str, Vec<&Place>> = BTreeMap::new();
    for tag in imported.features.values().flat_map(|feature| &feature.tags) {
        if !register.contains_key(&tag.value) {
            found.entry(&tag.value).or_default().push(&tag.place);
        }
    }
    for (tag, places) in found {
        let Some(first) = places.iter().min_by_key(|place| place.order()) else { continue };
        let message =
            format!("the catalogue's tag `{tag}`, on {} features, is not in the policy's `tags`", places.len());
        let message = if places.len() == 1 { message.replace("features", "feature") } else { message };
        let finding = Diagnostic::new(Code::UnregisteredCatalogueTag, first, message);
        report.push(finding.suggest(tag, register.keys().map(String::as_str)));
    }
}

/// ` and 2 others`, or nothing.
fn others(count: usize) -> String {
    match count {
        0 => String::new(),
        1 => " and 1 other".to_owned(),
        more => format!(" and {more} others"),
    }
}
