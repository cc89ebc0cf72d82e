//! The decision on a request: what goes upstream, what may come back, under which names.

mod permit;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::dialect;
use crate::dialect::feast::request::{Request, Wanted};
use crate::dialect::{Invalid, Outcome, Plan, shown};
use crate::policy::Policy;
use crate::policy::catalogue::{Bundle, FeatureId};
use crate::policy::decide::{Name, Resolved, Verdict};
use crate::policy::permission::Permission;
use crate::policy::resolve::Table;
use crate::policy::settings::Mode;
pub use permit::unenforced;
use permit::{Cut, asked, permit};

/// What the dialect looks up in a policy, made once for each.
#[derive(Debug, Default)]
pub struct Index {
    /// `view__feature` -> every feature that Feast would answer under that name.
    full_names: HashMap<String, Vec<FeatureId>>,
    /// A view -> its features.
    pub(super) views: BTreeMap<String, Vec<FeatureId>>,
    /// A data source that may be a push source -> the features that read it.
    pub(super) pushed: HashMap<String, Vec<FeatureId>>,
}

impl Index {
    /// Reads the policy's names.
    pub fn new(policy: &Policy) -> Self {
        let mut index = Self::default();
        for (feature, id) in policy.catalogue.features().iter().zip(0..) {
            let Some((view, name)) = feature.name.split_once(':') else { continue };
            index.full_names.entry(format!("{view}__{name}")).or_default().push(id);
            index.views.entry(view.to_owned()).or_default().push(id);
            for source in policy.catalogue.sources_of(feature) {
                if source.kind.as_deref().is_none_or(|kind| kind == "PUSH") {
                    index.pushed.entry(source.name.clone()).or_default().push(id);
                }
            }
        }
        index
    }
}

/// What goes upstream and what may come back.
#[derive(Debug)]
pub struct Permit {
    /// What the upstream is asked for.
    pub wanted: Wanted<'static>,
    /// Column names as Feast answers them -> what becomes of them.
    pub columns: HashMap<String, Column, foldhash::fast::RandomState>,
    /// Names of entities that are forwarded; their columns may come back under the same name.
    pub entities: BTreeSet<String>,
    /// How many outputs were taken out.
    pub filtered: usize,
    /// Whether the upstream is asked for full names.
    pub full_names: bool,
    /// The names of the views whose metadata may come back.
    pub views: BTreeSet<String>,
}

/// What becomes of a column.
#[derive(Debug, PartialEq, Eq)]
pub enum Column {
    /// Returned under this name.
    Keep(String),
    /// Cut.
    Cut,
}

impl Permit {
    /// Whether an entity goes upstream.
    pub fn forwards(&self, name: &str) -> bool {
        self.entities.contains(name)
    }
}

/// One output on its way.
pub(super) struct Output<'q> {
    /// As the caller wrote it, or the member's feature.
    written: &'q str,
    pub(super) name: Name<'q>,
    /// As Feast is asked for it.
    pub(super) reference: String,
    /// As Feast answers it under full names.
    full: String,
    pub(super) short: &'q str,
    verdict: Verdict,
}

impl Output<'_> {
    /// The view that answers it, where its name says so.
    fn view(&self) -> Option<&str> {
        self.full.strip_suffix(self.short)?.strip_suffix("__")
    }
}

/// Decides a request for a caller with these tables, in the mode of the plan, and notes in it what is recorded.
///
/// # Errors
/// [`Invalid`]: it cannot be meant.
pub fn decide(
    plan: &mut Plan,
    policy: &Policy,
    index: &Index,
    tables: &[Arc<Table>],
    request: &Request<'_>,
) -> Result<Outcome, Invalid> {
    let bundle = match &request.wanted {
        Wanted::Features(_) => None,
        Wanted::Service(name) => {
            plan.bundle = Some(name.clone().into_owned());
            let Some(bundle) = policy.catalogue.bundles.get(&**name) else {
                // A service that is not known reads like one that is denied.
                plan.outputs.push(shown(name));
                return Ok(Outcome::Refuse(vec![name.clone().into_owned()]));
            };
            Some((name.as_ref(), bundle))
        }
    };
    let supplied = supplied(policy, bundle.map(|(_, bundle)| bundle), request);
    plan.supplied = supplied.iter().map(|(_, id)| policy.catalogue.name(*id).to_owned()).collect();
    let names: Vec<Name<'_>> = supplied.iter().map(|(_, id)| Name::Known(*id)).collect();
    let resolved = Resolved::new(policy, tables, &names);
    match (&request.wanted, bundle) {
        (Wanted::Features(features), _) => plan.features(policy, &resolved, features, request, &supplied),
        (Wanted::Service(_), Some((name, bundle))) => {
            plan.service(policy, index, &resolved, name, bundle, request, &supplied)
        }
        (Wanted::Service(_), None) => Ok(Outcome::Refuse(Vec::new())),
    }
}

impl Plan {
    /// Supplied features that are denied, as the caller wrote them.
    fn denied_supplies(
        &mut self,
        policy: &Policy,
        resolved: &Resolved<'_>,
        supplied: &[(&str, FeatureId)],
    ) -> Vec<String> {
        let mut names = Vec::new();
        for (written, id) in resolved.refused_supplied().iter().filter_map(|at| supplied.get(*at)) {
            names.push((*written).to_owned());
            let denied = Verdict { permission: Permission::Deny, rule: 1 };
            self.refuse(resolved, &Name::Known(*id), policy.catalogue.name(*id), denied);
        }
        names
    }

    fn features(
        &mut self,
        policy: &Policy,
        resolved: &Resolved<'_>,
        features: &[std::borrow::Cow<'_, str>],
        request: &Request<'_>,
        supplied: &[(&str, FeatureId)],
    ) -> Result<Outcome, Invalid> {
        let mut refused = self.denied_supplies(policy, resolved, supplied);
        let keys_denied = !refused.is_empty();
        let mut kept: Vec<Output<'_>> = Vec::with_capacity(features.len());
        let mut cut: Vec<Output<'_>> = Vec::new();
        for written in features {
            let mut output = output(policy, written)?;
            // A pin that the catalogue does not list could be anything to Feast.
            let pinned = matches!(output.name, Name::Unknown(_))
                && output.reference.split(':').next().is_some_and(|v| v.contains('@'));
            output.verdict = if pinned {
                Verdict { permission: Permission::Deny, rule: 7 }
            } else {
                resolved.verdict(&output.name, false)
            };
            self.outputs.push(shown(&output.reference));
            if output.verdict.permission.returnable() {
                kept.push(output);
            } else {
                self.refuse(resolved, &output.name, &output.reference, output.verdict);
                refused.push(written.clone().into_owned());
                cut.push(output);
            }
        }
        if keys_denied || kept.is_empty() || (self.mode == Mode::Reject && !refused.is_empty()) {
            return Ok(Outcome::Refuse(refused));
        }
        self.note_declassified(policy, resolved, &kept);
        let wanted = asked(&kept);
        let needed = kept.iter().filter_map(known).map(|id| (id, &[][..]));
        permit(policy, wanted, &kept, (&cut, Cut::Spare), needed, request, supplied)
            .map(|permit| Outcome::Permit(dialect::Permit::Feast(permit)))
    }

    #[expect(clippy::too_many_arguments, reason = "one call, and every one of them is read")]
    fn service(
        &mut self,
        policy: &Policy,
        index: &Index,
        resolved: &Resolved<'_>,
        service: &str,
        bundle: &Bundle,
        request: &Request<'_>,
        supplied: &[(&str, FeatureId)],
    ) -> Result<Outcome, Invalid> {
        let denied_supplies = self.denied_supplies(policy, resolved, supplied);
        // `features` can say neither an alias nor a renamed key.
        let by_name = bundle.members.iter().any(|member| member.alias.is_some() || !member.keys.is_empty());
        let (mut kept, mut cut, mut any_denied) = (Vec::new(), Vec::new(), false);
        for member in &bundle.members {
            let feature = policy.catalogue.name(member.feature);
            // A member that Feast cannot be asked for, such as a key: not the caller's mistake, and not for the caller.
            let Ok(mut output) = output(policy, feature) else {
                return Ok(Outcome::Refuse(vec![service.to_owned()]));
            };
            output.verdict = resolved.verdict(&output.name, false);
            if let Some(alias) = &member.alias {
                output.full = alias.to_string();
            }
            if by_name && output.verdict.permission.returnable() {
                // Feast answers by this name whatever it means there by now: the most restrictive meaning counts.
                let meanings = index.full_names.get(&output.full).into_iter().flatten();
                let strictest =
                    meanings.map(|id| resolved.verdict(&Name::Known(*id), false)).min_by_key(|v| v.permission);
                if let Some(strictest) = strictest.filter(|v| !v.permission.returnable()) {
                    output.verdict = Verdict { permission: Permission::AllowInternal, ..strictest };
                }
            }
            self.outputs.push(shown(feature));
            if output.verdict.permission.returnable() {
                kept.push(output);
            } else {
                any_denied |= output.verdict.permission == Permission::Deny;
                self.refuse(resolved, &output.name, feature, output.verdict);
                cut.push(output);
            }
        }
        let whole = self.mode == Mode::Reject && !cut.is_empty();
        if whole || kept.is_empty() || (by_name && any_denied) {
            // Its name alone: a denied key named beside it would tell it from a service that does not exist.
            return Ok(Outcome::Refuse(vec![service.to_owned()]));
        }
        if !denied_supplies.is_empty() {
            return Ok(Outcome::Refuse(denied_supplies));
        }
        self.note_declassified(policy, resolved, &kept);
        let wanted = if by_name { Wanted::Service(service.to_owned().into()) } else { asked(&kept) };
        // Asked by name, Feast computes the cut members too and wants their keys.
        let needed = bundle
            .members
            .iter()
            .filter(|member| by_name || kept.iter().any(|output| output.name == Name::Known(member.feature)))
            .map(|member| (member.feature, &member.keys[..]));
        let rule = if by_name { Cut::Strictly } else { Cut::Spare };
        permit(policy, wanted, &kept, (&cut, rule), needed, request, supplied)
            .map(|permit| Outcome::Permit(dialect::Permit::Feast(permit)))
    }

    fn note_declassified(&mut self, policy: &Policy, resolved: &Resolved<'_>, kept: &[Output<'_>]) {
        for output in kept {
            if let Some(via) = resolved.cleared_by(&output.name) {
                self.declassified.push((policy_name(policy, &output.name).to_owned(), via));
            }
        }
    }
}

fn policy_name<'n>(policy: &'n Policy, name: &'n Name<'_>) -> &'n str {
    match name {
        Name::Known(id) => policy.catalogue.name(*id),
        Name::Unknown(name) => name,
    }
}

fn known(output: &Output<'_>) -> Option<FeatureId> {
    match output.name {
        Name::Known(id) => Some(id),
        Name::Unknown(_) => None,
    }
}

/// `view:feature`, `view@latest:feature`, `view@v2:feature`, split at the first colon as Feast does.
pub(super) fn output<'q>(policy: &Policy, written: &'q str) -> Result<Output<'q>, Invalid> {
    let plain = |part: &str| !part.is_empty() && part.trim() == part && !part.chars().any(char::is_control);
    let (view, feature) = written.split_once(':').unwrap_or_default();
    let view = view.strip_suffix("@latest").unwrap_or(view);
    if !plain(view) || !plain(feature) {
        return Err(Invalid(format!("`{}` is not of the form `view:feature`", shown(written))));
    }
    let reference = format!("{view}:{feature}");
    let name = match policy.catalogue.id(&reference) {
        Some(id) => Name::Known(id),
        None => Name::Unknown(reference.clone().into()),
    };
    let full = format!("{view}__{feature}");
    let verdict = Verdict { permission: Permission::Deny, rule: 7 };
    Ok(Output { written, name, reference, full, short: feature, verdict })
}

/// The entities that stand for keys of the catalogue, without nulls: the name as written, the key it stands for.
fn supplied<'q>(policy: &Policy, bundle: Option<&Bundle>, request: &'q Request<'_>) -> Vec<(&'q str, FeatureId)> {
    let is_key = |id: &FeatureId| policy.catalogue.feature(*id).is_some_and(|feature| feature.key);
    let mut renamed: HashMap<&str, BTreeSet<FeatureId>> = HashMap::new();
    for (id, name) in bundle.into_iter().flat_map(|bundle| &bundle.members).flat_map(|member| &member.keys) {
        renamed.entry(name).or_default().insert(*id);
    }
    let mut supplied = Vec::new();
    for entity in request.entities.iter().filter(|entity| !entity.has_null) {
        let name = entity.name.as_ref();
        // Feast gives the value to every key that goes by this name: the renamed ones, and the one of this name.
        let mut stands_for = renamed.get(name).cloned().unwrap_or_default();
        stands_for.extend(policy.catalogue.id(name).filter(is_key));
        supplied.extend(stands_for.into_iter().map(|id| (name, id)));
    }
    supplied
}
