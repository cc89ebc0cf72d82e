//! What of the files decided: the tag or default behind an own permission, and one line for each rule.

use serde::Serialize;

use super::{Files, Node, Tagged, covering, name};
use crate::policy::Policy;
use crate::policy::catalogue::{Class, TagId};
use crate::policy::decide::Name;
use crate::policy::permission::Permission;
use crate::policy::resolve::{RoleId, own_of_role};
use crate::policy::settings::{CatalogueTags, UnknownFeatures};

/// Why a name outside the catalogue is denied.
pub(super) const UNKNOWN: &str = "the catalogue has no such feature";

/// What a feature's own tags give, and the role and word that decided (Resolution 1 and 2).
#[derive(Clone, Debug, Serialize)]
pub struct OwnSeen {
    /// The most restrictive over the roles.
    #[serde(serialize_with = "name")]
    pub permission: Permission,
    /// The role that gave it.
    pub role: String,
    /// The tag that the role maps to it; none: the role's default.
    pub tag: Option<String>,
    /// `file:line` of the mapping, or of the role.
    pub place: String,
    /// A key that is usable although the default is `Deny`.
    pub key: bool,
    /// A tag that only the catalogue gives would lift it and does not count (`catalogue_tags: restrict`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uncounted: Option<String>,
}

impl OwnSeen {
    /// In one line.
    pub fn text(&self) -> String {
        let Self { permission, role, place, .. } = self;
        let mut text = match &self.tag {
            Some(tag) => format!("tag {tag} is {permission} for {role} ({place})"),
            None if self.key => format!("{permission}, a key under the default Deny of {role} ({place})"),
            None => format!("{permission} by the default of {role} ({place})"),
        };
        if let Some(tag) = &self.uncounted {
            text.push_str(&format!("; tag {tag} is the catalogue's alone and lifts nothing"));
        }
        text
    }
}

/// Own permission of a class for roles that answer together; `None` without roles.
pub(super) fn own(policy: &Policy, roles: &[RoleId], class: &Class) -> Option<OwnSeen> {
    let of = |role: &RoleId| own_of_role(policy, *role, class).permission;
    let id = roles.iter().min_by_key(|role| of(role))?;
    let (permission, role) = (of(id), policy.roles.get(usize::from(*id))?);
    let catalogues = match policy.settings.catalogue_tags {
        CatalogueTags::Ignore => [].iter(),
        CatalogueTags::Restrict | CatalogueTags::Trust => class.all_tags.iter(),
    };
    let maps = |tag: &&TagId| role.permission_of(**tag) == Some(permission);
    let tag = class.policy_tags.iter().chain(catalogues).find(maps).copied();
    let mapped = role.tag_places.iter().find(|(id, to, _)| Some(*id) == tag && *to == permission);
    let lifting = |tag: &&TagId| role.permission_of(**tag).is_some_and(|lifted| lifted > permission);
    let restrict = policy.settings.catalogue_tags == CatalogueTags::Restrict;
    let uncounted = class.all_tags.iter().find(lifting).filter(|_| tag.is_none() && restrict);
    let tag_name = |id: TagId| policy.catalogue.tags.name(id).to_owned();
    Some(OwnSeen {
        permission,
        role: role.name.clone(),
        tag: tag.map(tag_name),
        place: mapped.map_or(&role.place, |(_, _, place)| place).file_line(),
        key: tag.is_none() && permission != role.default,
        uncounted: uncounted.copied().map(tag_name),
    })
}

/// The class of a name; `None` where it is denied for being unknown.
pub(super) fn class(policy: &Policy, name: &Name<'_>) -> Option<Class> {
    match name {
        Name::Known(id) => policy.catalogue.classes.get(policy.catalogue.feature(*id)?.class as usize).cloned(),
        Name::Unknown(name) => (policy.settings.unknown_features == UnknownFeatures::Default).then(|| {
            let tags: Box<[TagId]> = policy.catalogue.pattern_tags(name).into();
            Class { policy_tags: tags.clone(), all_tags: tags, key: false }
        }),
    }
}

/// All tags of a name: its own in the policy, those of patterns, the catalogue's.
pub(super) fn tags(files: &Files<'_>, name: &str) -> Vec<Tagged> {
    let mut tags = Vec::new();
    for (layer, imported) in [(files.rules, false), (files.imported, true)] {
        for text in layer.features.get(name).into_iter().flat_map(|feature| &feature.tags) {
            let (tag, place) = (text.value.clone(), text.place.file_line());
            tags.push(Tagged { tag, place, pattern: None, imported });
        }
        // Between the two: patterns stand in the policy alone.
        for pattern in covering(files.rules, name).filter(|_| !imported) {
            for text in &pattern.tags {
                let (tag, place) = (text.value.clone(), text.place.file_line());
                tags.push(Tagged { tag, place, pattern: Some(pattern.pattern.text().to_owned()), imported });
            }
        }
    }
    let mut seen: Vec<Tagged> = Vec::with_capacity(tags.len());
    for tag in tags {
        if !seen.contains(&tag) {
            seen.push(tag);
        }
    }
    seen
}

/// `file:line` of a data source: the policy's, else the catalogue's.
pub(super) fn source_place(files: &Files<'_>, source: &str) -> String {
    let text = files.rules.datasources.get(source).or_else(|| files.imported.datasources.get(source));
    text.map(|source| source.place.file_line()).unwrap_or_default()
}

/// What made the rule of a node apply.
pub(super) fn text(files: &Files<'_>, policy: &Policy, roles: &[RoleId], class: Option<&Class>, node: &Node) -> String {
    let own = node.own.as_ref().map_or_else(|| UNKNOWN.to_owned(), OwnSeen::text);
    match node.rule {
        1 => format!("supplied; {own}"),
        2 => barred(files, node),
        3 => format!("{own}, a boundary over what lies below"),
        4 => format!("denied below: {}", some(&node.because)),
        5 => match &node.own {
            Some(seen) if seen.permission < Permission::AllowDownstream => {
                format!("computed from cleared features alone, whatever its own say ({own})")
            }
            Some(_) | None => "computed from cleared features alone".to_owned(),
        },
        6 => {
            let defaulted = |role: &&RoleId| class.is_some_and(|class| own_of_role(policy, **role, class).defaulted);
            let role = roles.iter().find(defaulted).map_or("", |role| policy.role_name(*role));
            let mut text = format!("no tag is mapped for {role}, and an input is internal: {}", some(&node.because));
            if node.own.as_ref().is_some_and(|own| own.permission < Permission::AllowInternal) {
                text.push_str(&format!("; {own}"));
            }
            text
        }
        _ => own,
    }
}

fn barred(files: &Files<'_>, node: &Node) -> String {
    let Some(source) = node.sources.iter().find(|source| !source.barred_for.is_empty()) else {
        return format!("a data source out of reach lies below: {}", some(&node.because));
    };
    let role = source.barred_for.first().map_or("", String::as_str);
    let allow = files.rules.roles.get(role).map(|role| {
        let first = role.datasources.iter().flatten().next();
        first.map_or(&role.place, |text| &text.place).file_line()
    });
    format!("reads {} ({}), out of reach for {role} ({})", source.source, source.place, allow.unwrap_or_default())
}

/// The first names of a list, and how many more there are.
pub(super) fn some(names: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
