//! Warnings: a policy that loads and probably does not say what was meant (policy.md, The files, last paragraph).

use crate::diagnostic::{Code, Diagnostic, Report};
use crate::policy::Policy;
use crate::policy::catalogue::Feature;
use crate::policy::file::Layer;
use crate::policy::permission::Permission;
use crate::policy::resolve::{RoleId, Table};
use crate::policy::texts;

/// Looks for all of them. O(roles x (features + lineage edges)).
pub fn lint(policy: &Policy, rules: &Layer, imported: &Layer, report: &mut Report) {
    roles(policy, report);
    patterns(policy, rules, report);
    catalogue_tags(rules, imported, report);
    let tables: Vec<Table> = (0..policy.roles.len())
        .filter_map(|id| RoleId::try_from(id).ok())
        .map(|id| Table::build(policy, &[id]))
        .collect();
    features(policy, &tables, report);
    combinations(policy, &tables, report);
}

fn roles(policy: &Policy, report: &mut Report) {
    let carried: std::collections::HashSet<u32> =
        policy.catalogue.classes.iter().flat_map(|class| class.all_tags.iter().copied()).collect();
    for (role, id) in policy.roles.iter().zip(0..) {
        if !policy.bindings.is_empty() && !policy.bindings.iter().any(|binding| binding.roles.contains(&id)) {
            let message = format!("no binding gives role `{}`", role.name);
            report.push(Diagnostic::new(Code::UnboundRole, &role.place, message));
        }
        for (tag, _, place) in &role.tag_places {
            if !carried.contains(tag) {
                let name = policy.catalogue.tags.name(*tag);
                let message = format!("role `{}` maps tag `{name}`, which no feature carries", role.name);
                let known = carried.iter().map(|tag| policy.catalogue.tags.name(*tag));
                report.push(Diagnostic::new(Code::UnusedTag, place, message).suggest(name, known));
            }
        }
        let raw =
            |feature: &&Feature| feature.source_set == 0 && !feature.key && policy.catalogue.edges(feature).is_empty();
        let unsourced = policy.catalogue.features().iter().filter(raw).count();
        if role.limits_sources && unsourced > 0 {
            let message = format!(
                "role `{}` is limited to some data sources, and {unsourced} raw features name none, so the limit passes them by",
                role.name
            );
            report.push(Diagnostic::new(Code::NoSource, &role.place, message));
        }
    }
}

fn patterns(policy: &Policy, rules: &Layer, report: &mut Report) {
    for pattern in &rules.patterns {
        if !policy.catalogue.features().iter().any(|feature| pattern.pattern.matches(&feature.name)) {
            let message = format!("pattern `{}` matches no feature", pattern.pattern.text());
            report.push(Diagnostic::new(Code::UnusedPattern, &pattern.place, message));
        }
    }
}

fn catalogue_tags(rules: &Layer, imported: &Layer, report: &mut Report) {
    for (name, feature) in &rules.features {
        let known: Vec<&str> = imported.features.get(name).map(|f| texts(&f.inputs).collect()).unwrap_or_default();
        for text in feature.not_inputs.iter().filter(|text| !known.contains(&text.value.as_str())) {
            let message = format!("`not_inputs` of `{name}` takes out `{}`, which is no imported input", text.value);
            report.push(Diagnostic::new(Code::UnusedNotInput, &text.place, message));
        }
    }
    let Some(register) = &rules.tags else { return };
    for tag in imported.features.values().flat_map(|feature| &feature.tags) {
        if !register.contains_key(&tag.value) {
            let message = format!("the catalogue's tag `{}` is not in the policy's `tags`", tag.value);
            report.push(Diagnostic::new(Code::UnregisteredCatalogueTag, &tag.place, message));
        }
    }
}

fn features(policy: &Policy, tables: &[Table], report: &mut Report) {
    if policy.roles.is_empty() {
        return;
    }
    for (feature, id) in policy.catalogue.features().iter().zip(0..) {
        let name = &feature.name;
        if !feature.key && tables.iter().all(|table| !table.cell(id).permission.returnable()) {
            let message = format!("no role can ever return feature `{name}`");
            report.push(Diagnostic::new(Code::NeverReturned, &feature.place, message));
        }
        let Some(class) = policy.catalogue.classes.get(feature.class as usize) else { continue };
        for (role, table) in policy.roles.iter().zip(tables) {
            let with = |wanted: &dyn Fn(Permission) -> bool| {
                class.all_tags.iter().find(|tag| role.permission_of(**tag).is_some_and(wanted)).copied()
            };
            let clearing = with(&|permission| permission == Permission::AllowDownstream);
            let restricting = with(&|permission| permission < Permission::Allow);
            if let (Some(clearing), Some(restricting)) = (clearing, restricting) {
                let (clearing, restricting) =
                    (policy.catalogue.tags.name(clearing), policy.catalogue.tags.name(restricting));
                let message = format!(
                    "feature `{name}` has a clearing tag `{clearing}` and a restricting one `{restricting}` for role `{}`; the restricting one wins",
                    role.name
                );
                report.push(Diagnostic::new(Code::ClearingAndRestricting, &feature.place, message));
            } else if let Some(clearing) = clearing
                && table.cell(id).rule == 4
            {
                let message = format!(
                    "tag `{}` clears feature `{name}` for role `{}`, and a denied input always defeats it",
                    policy.catalogue.tags.name(clearing),
                    role.name
                );
                report.push(Diagnostic::new(Code::DefeatedTag, &feature.place, message));
            }
            let internal = policy
                .catalogue
                .edges(feature)
                .iter()
                .find(|edge| edge.input && table.cell(edge.to).permission == Permission::AllowInternal);
            if let Some(edge) = internal
                && class.all_tags.is_empty()
                && table.cell(id).permission.returnable()
            {
                let message = format!(
                    "feature `{name}` has no tag, and role `{}` may return it although its input `{}` is internal",
                    role.name,
                    policy.catalogue.name(edge.to)
                );
                report.push(Diagnostic::new(Code::UntaggedOverInternal, &feature.place, message));
            }
        }
    }
}

/// Roles that one binding gives together and that return less than one of them alone.
fn combinations(policy: &Policy, tables: &[Table], report: &mut Report) {
    for binding in policy.bindings.iter().filter(|binding| binding.roles.len() > 1) {
        let together = policy.tables(&binding.roles);
        for role in &binding.roles {
            let Some(alone) = tables.get(usize::from(*role)) else { continue };
            let lost = (0..).zip(policy.catalogue.features()).find(|(id, _)| {
                alone.cell(*id).permission.returnable()
                    && !together.iter().any(|table| table.cell(*id).permission.returnable())
            });
            if let Some((_, feature)) = lost {
                let message = format!(
                    "the roles of this binding together return less than `{}` alone, for one `{}`",
                    policy.role_name(*role),
                    feature.name
                );
                report.push(Diagnostic::new(Code::RolesReturnLess, &binding.place, message));
            }
        }
    }
}
