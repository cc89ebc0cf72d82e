//! The decision on a request: what goes upstream, what may come back, under which names.

mod columns;
mod index;
mod permit;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use foldhash::fast::RandomState;

use crate::dialect;
use crate::dialect::feast::answer::Answered;
use crate::dialect::feast::request::{Request, Wanted};
use crate::dialect::{Invalid, Names, Outcome, Plan, Recorded, shown};
use crate::json;
use crate::policy::Policy;
use crate::policy::catalogue::{Bundle, FeatureId};
use crate::policy::decide::{Name, Resolved, Verdict};
use crate::policy::permission::Permission;
use crate::policy::resolve::Table;
use crate::policy::settings::Mode;
pub use columns::{Column, Columns};
use index::Known;
pub use index::{Features, Index};
pub use permit::unenforced;
use permit::{Cut, asked, permit};

/// What goes upstream and what may come back.
#[derive(Debug)]
pub struct Permit {
    /// What the upstream is asked for.
    pub wanted: Sent,
    /// Column names as Feast answers them -> what becomes of them.
    pub columns: Columns,
    /// Names of entities that are forwarded; their columns may come back under the same name.
    pub entities: BTreeSet<String>,
    /// How many outputs were taken out.
    pub filtered: usize,
    /// Whether the upstream is asked for full names.
    pub full_names: bool,
    /// Views of which something is returned.
    pub views: Views,
    /// What the first answer said of its columns.
    pub answered: Answered,
}

/// What the upstream is asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Sent {
    /// `"features":[…]` or `"feature_service":"…"`.
    pub json: Vec<u8>,
    /// The features, or the service alone.
    pub names: Names,
    /// It is a service.
    pub service: bool,
}

/// Views, looked up where an answer tells of them.
#[derive(Debug)]
pub struct Views {
    /// Those that no column of a feature is of.
    others: Vec<Arc<str>>,
    all: OnceLock<HashSet<Arc<str>, RandomState>>,
}

impl Views {
    /// Those of the features that are returned, and these, which may stand more than once.
    pub fn and(others: Vec<Arc<str>>) -> Self {
        Self { others, all: OnceLock::new() }
    }
}

impl Sent {
    /// Features, under the names by which the upstream is asked for them.
    pub fn features(names: Names) -> Self {
        let mut json = br#""features":["#.to_vec();
        for (position, name) in names.references().enumerate() {
            if position > 0 {
                json.push(b',');
            }
            json::write_string(&mut json, name);
        }
        json.push(b']');
        Self { json, names, service: false }
    }

    /// A service.
    pub fn service(name: &str) -> Self {
        let mut json = br#""feature_service":"#.to_vec();
        json::write_string(&mut json, name);
        Self { json, names: [name].into_iter().collect(), service: true }
    }
}

impl Permit {
    /// Whether an entity goes upstream.
    pub fn forwards(&self, name: &str) -> bool {
        self.entities.contains(name)
    }

    /// Whether something of a view is returned.
    pub fn returns(&self, view: &str) -> bool {
        let all = || self.columns.views().chain(&self.views.others).cloned().collect();
        self.views.all.get_or_init(all).contains(view)
    }
}

const UNDECIDED: Verdict = Verdict { permission: Permission::Deny, rule: 7 };

/// One output on its way.
struct Output<'q> {
    /// As the caller wrote it, or the member's feature.
    written: &'q str,
    name: Name<'q>,
    names: Spelled<'q>,
    verdict: Verdict,
}

/// The names of an output.
enum Spelled<'q> {
    /// Those that the index has of a feature.
    Known(FeatureId, &'q Known),
    /// Others.
    Other(Box<Other<'q>>),
}

/// Names that the index does not have.
pub(super) struct Other<'q> {
    pub(super) name: Name<'q>,
    /// As Feast is asked for it.
    pub(super) reference: Arc<str>,
    /// As Feast answers it under full names.
    full: Arc<str>,
    pub(super) short: &'q str,
}

impl Other<'_> {
    /// The view that answers it, where its name says so.
    fn view(&self) -> Option<Arc<str>> {
        self.full.strip_suffix(self.short)?.strip_suffix("__").map(Arc::from)
    }
}

impl<'q> Output<'q> {
    fn of_known(written: &'q str, id: FeatureId, known: &'q Known) -> Self {
        Self { written, name: Name::Known(id), names: Spelled::Known(id, known), verdict: UNDECIDED }
    }

    fn reference(&self) -> &Arc<str> {
        match &self.names {
            Spelled::Known(_, known) => &known.reference,
            Spelled::Other(other) => &other.reference,
        }
    }

    fn full(&self) -> &Arc<str> {
        match &self.names {
            Spelled::Known(_, known) => &known.full,
            Spelled::Other(other) => &other.full,
        }
    }

    fn short(&self) -> &str {
        match &self.names {
            Spelled::Known(_, known) => known.short(),
            Spelled::Other(other) => other.short,
        }
    }

    /// Answers it under another name.
    fn rename(&mut self, full: &Arc<str>) {
        match &mut self.names {
            Spelled::Known(_, known) => {
                let (name, reference, full) = (self.name.clone(), Arc::clone(&known.reference), Arc::clone(full));
                self.names = Spelled::Other(Box::new(Other { name, reference, full, short: known.short() }));
            }
            Spelled::Other(other) => other.full = Arc::clone(full),
        }
    }

    /// As it is recorded.
    fn shown(&self) -> Recorded {
        match &self.names {
            Spelled::Known(_, known) => known.shown.clone(),
            Spelled::Other(other) => shown(&other.reference).into(),
        }
    }

    fn record(&self, outputs: &mut Names) {
        match &self.names {
            Spelled::Known(id, _) => outputs.push_feature(*id),
            Spelled::Other(_) => outputs.push(self.shown()),
        }
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
    let wanted = request.asked.read()?;
    let bundle = match &wanted {
        Wanted::Features(_) => None,
        Wanted::Service(name) => {
            plan.bundle = Some(name.clone().into_owned());
            let Some(bundle) = policy.catalogue.bundles.get(&**name) else {
                // A service that is not known reads like one that is denied.
                plan.outputs.push(shown(name).into());
                return Ok(Outcome::Refuse(vec![name.clone().into_owned()]));
            };
            Some((name.as_ref(), bundle))
        }
    };
    let supplied = supplied(policy, bundle.map(|(_, bundle)| bundle), request);
    let recorded = |id: FeatureId| Some(Arc::clone(&policy.catalogue.feature(id)?.name).into());
    plan.supplied = supplied.iter().filter_map(|(_, id)| recorded(*id)).collect();
    let names: Vec<Name<'_>> = supplied.iter().map(|(_, id)| Name::Known(*id)).collect();
    let resolved = Resolved::new(policy, tables, &names);
    match (&wanted, bundle) {
        (Wanted::Features(features), _) => plan.features(policy, index, &resolved, features, request, &supplied),
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
        index: &Index,
        resolved: &Resolved<'_>,
        features: &[Cow<'_, str>],
        request: &Request<'_>,
        supplied: &[(&str, FeatureId)],
    ) -> Result<Outcome, Invalid> {
        let denied_supplies = self.denied_supplies(policy, resolved, supplied);
        let mut kept: Vec<Output<'_>> = Vec::with_capacity(features.len());
        let mut cut: Vec<Output<'_>> = Vec::new();
        self.outputs = Names::of(&index.features, features.len());
        for written in features {
            let mut output = found(policy, index, written)?;
            // A pin that the catalogue does not list could be anything to Feast.
            let pinned = matches!(output.name, Name::Unknown(_))
                && output.reference().split(':').next().is_some_and(|v| v.contains('@'));
            output.verdict = if pinned {
                Verdict { permission: Permission::Deny, rule: 7 }
            } else {
                resolved.verdict(&output.name, false)
            };
            output.record(&mut self.outputs);
            if output.verdict.permission.returnable() {
                kept.push(output);
            } else {
                self.refuse_shown(resolved, &output.name, output.shown(), output.verdict);
                cut.push(output);
            }
        }
        if !denied_supplies.is_empty() || kept.is_empty() || (self.mode == Mode::Reject && !cut.is_empty()) {
            let refused = cut.iter().map(|output| output.written.to_owned());
            return Ok(Outcome::Refuse(denied_supplies.into_iter().chain(refused).collect()));
        }
        self.note_declassified(policy, resolved, &kept);
        let wanted = asked(index, &kept);
        let needed = kept.iter().filter_map(known).map(|id| (id, &[][..]));
        permit((policy, index), wanted, &kept, (&cut, Cut::Spare), needed, request, supplied)
            .map(|permit| Outcome::Permit(dialect::Permit::feast(permit)))
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
        self.outputs = Names::of(&index.features, bundle.members.len());
        for member in &bundle.members {
            let feature = policy.catalogue.name(member.feature);
            // A member that Feast cannot be asked for, such as a key: not the caller's mistake, and not for the caller.
            let Ok(mut output) = found(policy, index, feature) else {
                return Ok(Outcome::Refuse(vec![service.to_owned()]));
            };
            output.verdict = resolved.verdict(&output.name, false);
            if let Some(alias) = &member.alias {
                output.rename(alias);
            }
            if by_name && output.verdict.permission.returnable() {
                // Feast answers by this name whatever it means there by now: the most restrictive meaning counts.
                let meanings = index.full_names.get(output.full()).into_iter().flatten();
                let strictest =
                    meanings.map(|id| resolved.verdict(&Name::Known(*id), false)).min_by_key(|v| v.permission);
                if let Some(strictest) = strictest.filter(|v| !v.permission.returnable()) {
                    output.verdict = Verdict { permission: Permission::AllowInternal, ..strictest };
                }
            }
            output.record(&mut self.outputs);
            if output.verdict.permission.returnable() {
                kept.push(output);
            } else {
                any_denied |= output.verdict.permission == Permission::Deny;
                self.refuse_shown(resolved, &output.name, output.shown(), output.verdict);
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
        let wanted = if by_name { Sent::service(service) } else { asked(index, &kept) };
        // Asked by name, Feast computes the cut members too and wants their keys.
        let needed = bundle
            .members
            .iter()
            .filter(|member| by_name || kept.iter().any(|output| output.name == Name::Known(member.feature)))
            .map(|member| (member.feature, &member.keys[..]));
        let rule = if by_name { Cut::Strictly } else { Cut::Spare };
        permit((policy, index), wanted, &kept, (&cut, rule), needed, request, supplied)
            .map(|permit| Outcome::Permit(dialect::Permit::feast(permit)))
    }

    fn note_declassified(&mut self, policy: &Policy, resolved: &Resolved<'_>, kept: &[Output<'_>]) {
        for output in kept.iter().filter(|output| output.verdict.may_be_cleared()) {
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
pub(super) fn spelled<'q>(policy: &Policy, written: &'q str) -> Result<Other<'q>, Invalid> {
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
    let full = format!("{view}__{feature}").into();
    Ok(Other { name, reference: reference.into(), full, short: feature })
}

/// An output without what an index knows of it.
fn output<'q>(policy: &Policy, written: &'q str) -> Result<Output<'q>, Invalid> {
    let other = spelled(policy, written)?;
    let name = other.name.clone();
    Ok(Output { written, name, names: Spelled::Other(Box::new(other)), verdict: UNDECIDED })
}

/// The same, mostly without a look at the name: it is one of the catalogue.
fn found<'q>(policy: &Policy, index: &'q Index, written: &'q str) -> Result<Output<'q>, Invalid> {
    let known = |id: FeatureId| Some((id, index.features.known(id)?));
    if let Some((id, known)) = policy.catalogue.id(written).and_then(known) {
        return Ok(Output::of_known(written, id, known));
    }
    let output = output(policy, written)?;
    // One that goes by another name, too.
    let known = if let Name::Known(id) = &output.name { known(*id) } else { None };
    Ok(known.map_or(output, |(id, known)| Output::of_known(written, id, known)))
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
