//! The rules: what the policy files say, laid over the catalogue, and what that gives a caller.
//!
//! The whole contract is one truth table. For a feature f, the first row that applies decides:
//!
//! | rule | when | permission |
//! |---|---|---|
//! | 1 | the query supplies f | own(f) |
//! | 2 | f, or what it is computed from, reads a data source out of reach | `Deny` |
//! | 3 | `declassification: boundary` and own(f) is `AllowDownstream` | `AllowDownstream` |
//! | 4 | an input or a join is denied | `Deny` |
//! | 5 | f is a pure derivative of cleared features | `AllowDownstream` |
//! | 6 | `internal: flows`, f is untagged for a role, an input is internal | at most `AllowInternal` |
//! | 7 | else | own(f) |
//!
//! Everything here is pure: bytes and numbers in, decisions out.

mod binding;
pub mod bindings;
pub mod catalogue;
pub mod decide;
pub mod diff;
pub mod explain;
pub mod file;
pub mod lint;
pub mod pattern;
pub mod permission;
pub mod resolve;
pub mod settings;
pub mod suggest;
pub mod unit;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;
use serde_json::{Map, Value};

use crate::chalk::Switch;
use crate::diagnostic::{Code, Diagnostic, Place, Report, SourceFile};
pub use binding::Binding;
use binding::ByIssuer;
use catalogue::{Catalogue, FeatureId, TagId};
use file::{BindingText, Layer, LayerKind, RoleText, Text};
pub use permission::Permission;
use resolve::{RoleId, Table, Tables};
use settings::{CatalogueTags, Combine, Declassification, Internal, Mode, Supplies, UnknownFeatures};

/// Settings of the whole policy.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// What a name outside the catalogue is.
    pub unknown_features: UnknownFeatures,
    /// How roles go together.
    pub combine: Combine,
    /// What a clearing tag does over a denied input.
    pub declassification: Declassification,
    /// Whether internal inputs make untagged features internal.
    pub internal: Internal,
    /// What the catalogue's tags count.
    pub catalogue_tags: CatalogueTags,
    /// What callers may supply.
    pub supplies: Supplies,
    /// What happens to refused outputs, where a role has no mode of its own.
    pub mode: Mode,
}

/// What a caller holds.
#[derive(Clone, Debug)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub place: Place,
    /// For features of which no tag is mapped.
    pub default: Permission,
    /// Its own mode.
    pub mode: Option<Mode>,
    /// Features or patterns that it may write.
    pub writes: Vec<String>,
    /// Where each mapped tag stands.
    pub tag_places: Vec<(TagId, Permission, Place)>,
    /// Whether it is limited to some data sources.
    pub limits_sources: bool,
    /// Whether it may create and change data sources.
    manages: bool,
    /// The switches of the Chalk dialect that it may use.
    switches: BTreeSet<Switch>,
    tags: HashMap<TagId, Permission, RandomState>,
    reach: Option<Vec<bool>>,
}

impl Role {
    /// What the role maps a tag to.
    pub fn permission_of(&self, tag: TagId) -> Option<Permission> {
        self.tags.get(&tag).copied()
    }
}

/// What credentials a configuration accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sources {
    /// How many sources there are: issuers, client certificates.
    pub count: usize,
    /// Whether certificates are one of them.
    pub certificates: bool,
}

/// The policy over the catalogue, checked and interned.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Settings of the whole.
    pub settings: Settings,
    /// Features, lineage, bundles, data sources.
    pub catalogue: Catalogue,
    /// Roles, by number.
    pub roles: Vec<Role>,
    /// Bindings, in the order of the files.
    pub bindings: Vec<Binding>,
    by_issuer: ByIssuer,
    role_ids: BTreeMap<String, RoleId>,
    /// Where `unknown_features` is said.
    unknown_features: Option<Place>,
}

/// Reads policy and catalogue files and lays one over the other. The report has every error of every file, in order;
/// with an error among them there is no policy.
pub fn load(policy: &[Arc<SourceFile>], catalogue: &[Arc<SourceFile>]) -> (Option<Policy>, Report) {
    let mut report = Report::default();
    let rules = file::read(LayerKind::Policy, policy, &mut report);
    let imported = file::read(LayerKind::Catalogue, catalogue, &mut report);
    empty_catalogue(catalogue, &imported, &mut report);
    let policy = assemble(&rules, &imported, &mut report);
    report.sort();
    (policy, report)
}

/// Catalogue files without a feature are an error: most likely an import that went wrong. Where one of them does not
/// read, that is the mistake.
pub fn empty_catalogue(files: &[Arc<SourceFile>], imported: &Layer, report: &mut Report) {
    let told = |file: &Arc<SourceFile>| report.diagnostics.iter().any(|found| Arc::ptr_eq(&found.place.file, file));
    if let (Some(first), true, false) = (files.first(), imported.features.is_empty(), files.iter().any(told)) {
        report.push(Diagnostic::new(Code::EmptyCatalogue, &Place::file(first), "the catalogue has no feature"));
    }
}

/// Lays rules over a catalogue that were read before; `None` where the report has an error.
pub fn assemble(rules: &Layer, imported: &Layer, report: &mut Report) -> Option<Policy> {
    let mut catalogue = catalogue::build(rules, imported, report);
    let settings = Settings {
        unknown_features: given(rules.unknown_features.as_ref()),
        combine: given(rules.combine.as_ref()),
        declassification: given(rules.declassification.as_ref()),
        internal: given(rules.internal.as_ref()),
        catalogue_tags: given(rules.catalogue_tags.as_ref()),
        supplies: given(rules.supplies.as_ref()),
        mode: given(rules.mode.as_ref()),
    };
    registered(rules, report);
    if let (Some(role), true) = (rules.roles.values().next(), rules.roles.len() > usize::from(RoleId::MAX)) {
        report.push(Diagnostic::new(Code::TooManyRoles, &role.place, "there are more than 65535 roles"));
        return None;
    }
    let mut role_ids = BTreeMap::new();
    let mut roles = Vec::new();
    for ((name, text), id) in rules.roles.iter().zip(0..) {
        role_ids.insert(name.clone(), id);
        roles.push(role(name, text, &mut catalogue));
    }
    let unknown_features = rules.unknown_features.as_ref().map(|(_, place)| place.clone());
    let mut policy = Policy {
        settings,
        catalogue,
        roles,
        bindings: Vec::new(),
        by_issuer: ByIssuer::default(),
        role_ids,
        unknown_features,
    };
    policy.reach(rules);
    for text in &rules.bindings {
        let binding = policy.binding(text, report);
        policy.bindings.push(binding);
    }
    policy.by_issuer = ByIssuer::of(&policy.bindings);
    if report.has_errors() { None } else { Some(policy) }
}

fn given<T: Copy + Default>(setting: Option<&(T, Place)>) -> T {
    setting.map(|(value, _)| *value).unwrap_or_default()
}

fn role(name: &str, text: &RoleText, catalogue: &mut Catalogue) -> Role {
    let mut tags: HashMap<TagId, Permission, RandomState> = HashMap::default();
    let mut tag_places = Vec::new();
    for (tag, permission) in &text.tags {
        let id = catalogue.tags.intern(&tag.value);
        tag_places.push((id, *permission, tag.place.clone()));
        // A tag in `tags` and in a blocklist: the most restrictive.
        tags.entry(id).and_modify(|old| *old = (*old).min(*permission)).or_insert(*permission);
    }
    Role {
        name: name.to_owned(),
        place: text.place.clone(),
        default: text.default,
        mode: text.mode,
        writes: text.writes.iter().map(|text| text.value.clone()).collect(),
        tag_places,
        limits_sources: text.datasources.is_some(),
        manages: text.manage,
        switches: text.chalk_allow.iter().map(|(switch, _)| *switch).collect(),
        tags,
        reach: None,
    }
}

/// Once any file has a register, a policy tag that is not in it is an error.
fn registered(rules: &Layer, report: &mut Report) {
    let Some(register) = &rules.tags else { return };
    let in_features = rules.features.values().flat_map(|feature| &feature.tags);
    let in_patterns = rules.patterns.iter().flat_map(|pattern| &pattern.tags);
    let in_roles = rules.roles.values().flat_map(|role| &role.tags).map(|(tag, _)| tag);
    for tag in in_features.chain(in_patterns).chain(in_roles) {
        if !register.contains_key(&tag.value) {
            report.push(
                Diagnostic::new(Code::UnregisteredTag, &tag.place, format!("tag `{}` is not in `tags`", tag.value))
                    .suggest(&tag.value, register.keys().map(String::as_str)),
            );
        }
    }
}

impl Policy {
    /// The number of a role.
    pub fn role_id(&self, name: &str) -> Option<RoleId> {
        self.role_ids.get(name).copied()
    }

    /// The names of all roles, sorted.
    pub fn role_names(&self) -> impl Iterator<Item = &str> {
        self.role_ids.keys().map(String::as_str)
    }

    /// The name of a role.
    pub fn role_name(&self, id: RoleId) -> &str {
        self.roles.get(usize::from(id)).map_or("", |role| &role.name)
    }

    /// Whether a role may read from a data source.
    pub fn reaches(&self, role: RoleId, source: u32) -> bool {
        let Some(role) = self.roles.get(usize::from(role)) else { return false };
        role.reach.as_ref().is_none_or(|reach| reach.get(source as usize).copied().unwrap_or(false))
    }

    /// Whether roles may use a switch of the Chalk dialect: all of them under `most_restrictive`, one of them under
    /// `most_permissive`, where a query is each role's alone ([`groups`](Self::groups)) and this is to be asked of that one.
    /// No role: no.
    pub fn allows(&self, roles: &[RoleId], switch: Switch) -> bool {
        self.every(roles, |role| role.switches.contains(&switch))
    }

    /// Whether roles may create and change data sources (`datasources.manage`), likewise.
    pub fn manages(&self, roles: &[RoleId]) -> bool {
        self.every(roles, |role| role.manages)
    }

    /// Whether roles may reach a data source of this name and kind (`datasources.allow`), likewise. One that neither policy nor
    /// catalogue knows, or knows as another kind, no tag can open: a role reaches it where it is not limited at all.
    pub fn reaches_named(&self, roles: &[RoleId], name: &str, kind: &str) -> bool {
        let known = self.catalogue.sources.iter().position(|source| {
            source.name == name && source.kind.as_deref().is_none_or(|known| known.eq_ignore_ascii_case(kind))
        });
        let opened = |reach: &Vec<bool>| known.and_then(|at| reach.get(at)).copied().unwrap_or(false);
        self.every(roles, |role| role.reach.as_ref().is_none_or(opened))
    }

    /// Whether roles may write a feature of the catalogue (`writes`), likewise.
    pub fn writes(&self, roles: &[RoleId], feature: &str) -> bool {
        let may = |role: &Role| role.writes.iter().any(|text| pattern::Pattern::new(text).matches(feature));
        self.catalogue.id(feature).is_some() && self.every(roles, may)
    }

    /// Those of the features that roles may not write together, in their order: of several roles each may write all, or,
    /// under `most_permissive`, one may. Where each may write some of them and none all, those that some role may not.
    pub fn unwritable(&self, roles: &[RoleId], features: &[FeatureId]) -> Vec<FeatureId> {
        let patterns = roles.iter().map(|id| {
            let writes = self.roles.get(usize::from(*id)).map(|role| &role.writes[..]).unwrap_or_default();
            writes.iter().map(|text| pattern::Pattern::new(text)).collect::<Vec<_>>()
        });
        let patterns: Vec<Vec<pattern::Pattern>> = patterns.collect();
        let may = |role: &[pattern::Pattern], id: FeatureId| role.iter().any(|p| p.matches(self.catalogue.name(id)));
        let refused = |one: &dyn Fn(FeatureId) -> bool| features.iter().copied().filter(|id| one(*id)).collect();
        let some_may_not: Vec<FeatureId> =
            refused(&|id| patterns.is_empty() || patterns.iter().any(|role| !may(role, id)));
        if self.settings.combine == Combine::MostRestrictive {
            return some_may_not;
        }
        if patterns.iter().any(|role| features.iter().all(|id| may(role, *id))) {
            return Vec::new();
        }
        let none_may: Vec<FeatureId> = refused(&|id| !patterns.iter().any(|role| may(role, id)));
        if none_may.is_empty() { some_may_not } else { none_may }
    }

    fn every(&self, roles: &[RoleId], may: impl Fn(&Role) -> bool) -> bool {
        let may = |id: &RoleId| self.roles.get(usize::from(*id)).is_some_and(&may);
        match self.settings.combine {
            Combine::MostRestrictive => !roles.is_empty() && roles.iter().all(may),
            Combine::MostPermissive => roles.iter().any(may),
        }
    }

    fn reach(&mut self, rules: &Layer) {
        for (role, text) in self.roles.iter_mut().zip(rules.roles.values()) {
            let Some(allow) = &text.datasources else { continue };
            let allow: Vec<TagId> = allow.iter().filter_map(|tag| self.catalogue.tags.get(&tag.value)).collect();
            let opens = |tags: &Option<Box<[TagId]>>| tags.iter().flatten().any(|tag| allow.contains(tag));
            // Who gives no tag says nothing of who may read.
            let silent = |tags: &Option<Box<[TagId]>>| tags.as_ref().is_none_or(|tags| tags.is_empty());
            let reach = self.catalogue.sources.iter().map(|source| match self.settings.catalogue_tags {
                CatalogueTags::Trust => {
                    opens(&source.policy_tags) || opens(&source.catalogue_tags) || opens(&source.dashboard_tags)
                }
                CatalogueTags::Ignore => opens(&source.policy_tags),
                CatalogueTags::Restrict => {
                    opens(&source.policy_tags)
                        && (silent(&source.catalogue_tags) || opens(&source.catalogue_tags))
                        && (source.dashboard_tags.is_none() || opens(&source.dashboard_tags))
                }
            });
            role.reach = Some(reach.collect());
        }
    }

    fn binding(&self, text: &BindingText, report: &mut Report) -> Binding {
        let mut roles = Vec::new();
        for name in &text.roles {
            match self.role_id(&name.value) {
                Some(id) => roles.push(id),
                None => report.push(
                    Diagnostic::new(Code::UnknownRole, &name.place, format!("role `{}` does not exist", name.value))
                        .suggest(&name.value, self.role_names()),
                ),
            }
        }
        let when = text.when.iter().map(|(claim, wanted)| (claim.value.clone(), wanted.clone())).collect();
        Binding { place: text.place.clone(), roles, when }
    }

    /// With more than one source of credentials every `when` names `iss` or a `cert.*` (policy.md, Bindings). What asks for
    /// a certificate where none is asked for is a warning.
    pub fn check_sources(&self, sources: Sources, report: &mut Report) {
        for binding in &self.bindings {
            let mut names = binding.when.iter().map(|(claim, _)| claim.as_str());
            let certificate = names.clone().find(|claim| file::is_certificate(claim));
            if let (Some(claim), false) = (certificate, sources.certificates) {
                let message = format!("`when` names `{claim}`, and `listen.tls.client_ca` asks for no certificate");
                report.push(Diagnostic::new(Code::NoCertificates, &binding.place, message));
            }
            if sources.count > 1 && certificate.is_none() && !names.any(file::is_issuer) {
                let message =
                    "`when` names neither `iss` nor `cert.*`, and there is more than one source of credentials";
                report.push(Diagnostic::new(Code::BindingWhen, &binding.place, message));
            }
        }
    }

    /// What the Chalk dialect cannot serve: a Chalk server understands more spellings of a feature than stand in any catalogue,
    /// so that a name outside it may be a feature whose tags nobody looked at (policy.md, Resolution 1).
    pub fn check_chalk(&self, report: &mut Report) {
        if let (UnknownFeatures::Default, Some(place)) = (self.settings.unknown_features, &self.unknown_features) {
            let message =
                "`unknown_features: default` does not go with `dialect: chalk`: it would open other spellings";
            report.push(Diagnostic::new(Code::Dialect, place, message));
        }
    }

    /// The roles that a caller's claims give, sorted, each once; all bindings that match add up.
    pub fn roles_of(&self, claims: &Map<String, Value>) -> Vec<RoleId> {
        let of = self.by_issuer.candidates(&self.bindings, claims).filter(|binding| binding.matches(claims));
        let mut roles: Vec<RoleId> = of.flat_map(|binding| binding.roles.iter().copied()).collect();
        roles.sort_unstable();
        roles.dedup();
        roles
    }

    /// Which roles answer together: all at once, or each alone (Resolution 5).
    pub fn groups(&self, roles: &[RoleId]) -> Vec<Box<[RoleId]>> {
        match self.settings.combine {
            Combine::MostRestrictive => vec![roles.into()],
            Combine::MostPermissive => roles.iter().map(|role| [*role].into()).collect(),
        }
    }

    /// The tables of a set of roles, built afresh.
    pub fn tables(&self, roles: &[RoleId]) -> Tables {
        self.groups(roles).iter().map(|group| Arc::new(Table::build(self, group))).collect()
    }

    /// The mode of a caller: that of its roles; of different ones, `reject`.
    pub fn mode_of(&self, roles: &[RoleId]) -> Mode {
        let mut modes = roles
            .iter()
            .filter_map(|role| self.roles.get(usize::from(*role)))
            .map(|role| role.mode.unwrap_or(self.settings.mode));
        let Some(first) = modes.next() else { return Mode::Reject };
        if modes.all(|mode| mode == first) { first } else { Mode::Reject }
    }
}

/// The texts of a layer's tags, for lints.
pub(crate) fn texts(list: &[Text]) -> impl Iterator<Item = &str> {
    list.iter().map(|text| text.value.as_str())
}

#[cfg(test)]
mod tests;
