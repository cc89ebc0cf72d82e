//! The decision on a query to a described server: what goes upstream, what may come back.

mod extra;
mod query;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::dialect::json::description::{Takes, Unnamed};
use crate::dialect::{self, Invalid, Outcome, Plan, shown};
use crate::policy::Policy;
use crate::policy::catalogue::{Bundle, FeatureId};
use crate::policy::decide::{Name, Resolved, Verdict};
use crate::policy::permission::Permission;
use crate::policy::resolve::Table;
use crate::policy::settings::{Mode, Supplies};
pub use query::{Asked, MOST_NAMES, Output, Query, Supply};

/// What goes upstream and what may come back.
#[derive(Debug, Default)]
pub struct Permit {
    /// Features that are asked for -> whether they may come back.
    columns: HashMap<String, bool>,
    /// The same by what the wire calls them, where a bundle says so.
    aliases: HashMap<String, bool>,
    /// Names of the wire that may come back without being asked for: what the description keeps, keys that were given.
    extra: HashSet<String>,
    /// Names of the wire that may come back and may not be seen: keys that the caller did not give. They are cut.
    shut: HashSet<String>,
    /// Supplied values that go upstream, by their place and name: what one place may give another may not.
    inputs: HashMap<usize, HashSet<String>>,
    /// How many outputs were taken out.
    pub filtered: usize,
    /// How many features each container of the answer must have.
    pub kept: usize,
    /// What the answer has is decided when it is there.
    pub on_answer: bool,
    /// Nothing is held back: enforcement is suspended.
    pub all: bool,
}

/// What becomes of a column of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was asked for, and may pass.
    Keep,
    /// It may pass without being asked for.
    Extra,
    /// It may not.
    Cut,
}

impl Permit {
    /// Whether an output that was asked for goes upstream.
    pub fn asks(&self, feature: &str) -> bool {
        self.all || self.columns.get(feature) == Some(&true)
    }

    /// Whether a supplied value does.
    pub fn forwards(&self, supply: &Supply<'_>) -> bool {
        self.all || self.inputs.get(&supply.place).is_some_and(|names| names.contains(&*supply.written))
    }

    /// Whether a name of the wire may come back without being asked for.
    pub fn passes(&self, written: &str) -> bool {
        self.extra.contains(written)
    }

    /// Whether a name of the wire may come back, and is cut.
    pub fn shuts(&self, written: &str) -> bool {
        !self.all && self.shut.contains(written)
    }

    /// What becomes of a column that the wire calls `written`, in an answer with these variables. `None`: nobody asked
    /// for it.
    pub fn fate(&self, query: &Query<'_>, written: &str, variables: &[(&str, Cow<'_, str>)]) -> Option<Fate> {
        if self.all {
            return Some(Fate::Extra);
        }
        let of = |keep: &bool| if *keep { Fate::Keep } else { Fate::Cut };
        if let Some(keep) = self.aliases.get(written) {
            return Some(of(keep));
        }
        let feature = query.feature(written, variables);
        if let Some(keep) = feature.and_then(|feature| self.columns.get(&feature)) {
            return Some(of(keep));
        }
        if self.shut.contains(written) {
            return Some(Fate::Cut);
        }
        self.extra.contains(written).then_some(Fate::Extra)
    }

    /// How many features each container of an answer with these variables must have; `None`: any number of them.
    pub fn wanted(&self, variables: &[(&str, Cow<'_, str>)]) -> Option<usize> {
        // With variables of its own a container has the features of some group, and which these are is not known here.
        (!self.all && !self.on_answer && variables.is_empty()).then_some(self.kept)
    }
}

/// Decides a query for a caller with these tables, in the mode of the plan, and notes in it what is recorded.
///
/// # Errors
/// [`Invalid`]: it cannot be meant.
pub fn decide(plan: &mut Plan, policy: &Policy, tables: &[Arc<Table>], query: &Query<'_>) -> Result<Outcome, Invalid> {
    let stuck = |supply: &&Supply<'_>| supply.takes == Takes::Any && !goes(policy, supply) && !query.can_drop(supply);
    if let Some(supply) = query.supplied.iter().find(stuck) {
        let name = shown(&supply.written);
        return Err(Invalid(format!("`{name}` is supplied and would not count, and cannot be taken out here")));
    }
    // Of a key that is given here and null there nobody knows which the server takes.
    let nulls = query.supplied.iter().filter(|supply| supply.has_null && goes(policy, supply));
    let nulls: HashSet<&String> = nulls.filter_map(|supply| supply.feature.as_ref()).collect();
    let given = |supply: &&Supply<'_>| supply.feature.as_ref().is_none_or(|feature| !nulls.contains(feature));
    let supplied: Vec<(&Supply<'_>, Name<'_>)> =
        query.supplied.iter().filter(given).filter_map(|supply| Some((supply, counted(policy, supply)?))).collect();
    plan.supplied = supplied.iter().map(|(_, name)| shown(text(policy, name)).into()).collect();
    let names: Vec<Name<'_>> = supplied.iter().map(|(_, name)| name.clone()).collect();
    let resolved = Resolved::new(policy, tables, &names);
    let mut denied = Vec::new();
    for (supply, name) in resolved.refused_supplied().iter().filter_map(|at| supplied.get(*at)) {
        denied.push(supply.written.clone().into_owned());
        let verdict = Verdict { permission: Permission::Deny, rule: 1 };
        plan.refuse(&resolved, name, text(policy, name), verdict);
    }
    let mut permit = Permit::default();
    for supply in query.supplied.iter().filter(|supply| supply.feature.is_some() && goes(policy, supply)) {
        permit.inputs.entry(supply.place).or_default().insert(supply.written.clone().into_owned());
    }
    permit.allow_extra(policy, &resolved, query, &names);

    let outcome = match &query.asked {
        Asked::Outputs(outputs) => plan.outputs(policy, &resolved, query, outputs, denied, &mut permit)?,
        Asked::Answered { outputs, bundle } => {
            plan.bundle = bundle.as_ref().map(|name| name.clone().into_owned());
            plan.mode = Mode::Filter;
            permit.on_answer = true;
            let refused = plan.outputs(policy, &resolved, query, outputs, denied, &mut permit)?;
            // What the answer has is not for one who may have none of it.
            refused.map(|_| plan.bundle.iter().cloned().collect())
        }
        Asked::Bundle(name) => {
            plan.bundle = Some(name.clone().into_owned());
            match (policy.catalogue.bundles.get(&**name), query.route.unnamed) {
                (Some(bundle), _) => plan.bundle(policy, &resolved, query, name, bundle, denied, &mut permit),
                (None, Unnamed::Filter) => permit.later(denied),
                (None, Unnamed::Reject) => {
                    plan.outputs.push(shown(name).into());
                    Some(vec![name.clone().into_owned()])
                }
            }
        }
        Asked::Nothing => match query.route.unnamed {
            Unnamed::Filter => permit.later(denied),
            Unnamed::Reject => return Err(Invalid("the request names no outputs".to_owned())),
        },
    };
    Ok(match outcome {
        Some(refused) => Outcome::Refuse(refused),
        None => Outcome::Permit(dialect::Permit::Json(Box::new(permit))),
    })
}

/// Everything that was asked for, in the place of what was decided.
pub fn unenforced(decided: &Outcome) -> Permit {
    let (on_answer, extra) = match decided {
        Outcome::Permit(dialect::Permit::Json(permit)) => (permit.on_answer, permit.extra.clone()),
        Outcome::Permit(_) | Outcome::Refuse(_) | Outcome::Invalid(_) => (false, HashSet::new()),
    };
    Permit { all: true, on_answer, extra, ..Permit::default() }
}

impl Plan {
    /// What is refused; `None`: it goes upstream.
    fn outputs(
        &mut self,
        policy: &Policy,
        resolved: &Resolved<'_>,
        query: &Query<'_>,
        outputs: &[Output<'_>],
        denied: Vec<String>,
        permit: &mut Permit,
    ) -> Result<Option<Vec<String>>, Invalid> {
        let keys_denied = !denied.is_empty();
        let (mut refused, mut any_denied) = (denied, false);
        let mut kept = Vec::with_capacity(outputs.len());
        for output in outputs {
            let name = Name::of(policy, &output.feature);
            let verdict = verdict(policy, resolved, &name);
            let returnable = verdict.permission.returnable();
            if permit.columns.insert(output.feature.clone(), returnable).is_some() {
                return Err(Invalid(format!("`{}` is asked for twice", shown(&output.written))));
            }
            self.outputs.push(shown(&output.feature).into());
            if returnable {
                kept.push(name);
            } else {
                any_denied |= verdict.permission == Permission::Deny;
                self.refuse(resolved, &name, &output.feature, verdict);
                refused.push(output.written.clone().into_owned());
                permit.filtered += 1;
            }
        }
        permit.kept = kept.len();
        let stuck = any_denied && !permit.on_answer && !query.can_cut();
        let whole = self.mode == Mode::Reject && !refused.is_empty();
        if keys_denied || (kept.is_empty() && !outputs.is_empty()) || whole || stuck {
            return Ok(Some(refused));
        }
        self.note_cleared(policy, resolved, kept.iter());
        Ok(None)
    }

    #[expect(clippy::too_many_arguments, reason = "one call, and every one of them is read")]
    fn bundle(
        &mut self,
        policy: &Policy,
        resolved: &Resolved<'_>,
        query: &Query<'_>,
        name: &str,
        bundle: &Bundle,
        denied: Vec<String>,
        permit: &mut Permit,
    ) -> Option<Vec<String>> {
        let (mut any_denied, mut kept) = (false, Vec::with_capacity(bundle.members.len()));
        for member in &bundle.members {
            let feature = policy.catalogue.name(member.feature);
            let mut decided_as = Name::Known(member.feature);
            let mut verdict = verdict(policy, resolved, &decided_as);
            if let (Some(alias), true) = (&member.alias, verdict.permission.returnable()) {
                // The server answers by this name whatever it means there by now: the most restrictive meaning counts.
                let other = query.feature(alias, &[]).and_then(|other| policy.catalogue.id(&other)).map(Name::Known);
                if query.means_later() {
                    verdict.permission = Permission::AllowInternal;
                }
                if let Some(other) = other {
                    let meant = self::verdict(policy, resolved, &other);
                    if !meant.permission.returnable() {
                        verdict = Verdict { permission: Permission::AllowInternal, ..meant };
                        decided_as = other;
                    }
                }
            }
            self.outputs.push(shown(feature).into());
            let returnable = verdict.permission.returnable();
            if returnable {
                permit.kept += 1;
                kept.push(Name::Known(member.feature));
            } else {
                any_denied |= verdict.permission == Permission::Deny;
                permit.filtered += 1;
                self.refuse(resolved, &decided_as, feature, verdict);
            }
            // Of two members of one name neither is more than the other.
            let of = match &member.alias {
                Some(alias) => permit.aliases.entry(alias.to_string()),
                None => permit.columns.entry(feature.to_owned()),
            };
            of.and_modify(|keep| *keep &= returnable).or_insert(returnable);
        }
        permit.kept = permit.columns.values().chain(permit.aliases.values()).filter(|keep| **keep).count();
        let whole = self.mode == Mode::Reject && permit.filtered > 0;
        if whole || permit.kept == 0 || any_denied {
            // Its name alone: a denied key named beside it would tell it from a bundle that does not exist.
            return Some(vec![name.to_owned()]);
        }
        if !denied.is_empty() {
            return Some(denied);
        }
        self.note_cleared(policy, resolved, kept.iter());
        None
    }

    fn note_cleared<'n>(&mut self, policy: &Policy, resolved: &Resolved<'_>, kept: impl Iterator<Item = &'n Name<'n>>) {
        for name in kept {
            if let Some(via) = resolved.cleared_by(name) {
                self.declassified.push((text(policy, name).to_owned(), via));
            }
        }
    }
}

impl Permit {
    /// It goes upstream, and what the answer has is decided then.
    fn later(&mut self, denied: Vec<String>) -> Option<Vec<String>> {
        self.on_answer = true;
        Some(denied).filter(|denied| !denied.is_empty())
    }
}

/// A relation stands for features that only a server which knows relations can be asked for.
fn verdict(policy: &Policy, resolved: &Resolved<'_>, name: &Name<'_>) -> Verdict {
    match name {
        Name::Known(id) if policy.catalogue.relation(*id).is_some() => {
            Verdict { permission: Permission::Deny, rule: 7 }
        }
        Name::Known(_) | Name::Unknown(_) => resolved.verdict(name, false),
    }
}

fn known(name: &Name<'_>) -> Option<FeatureId> {
    match name {
        Name::Known(id) => Some(*id),
        Name::Unknown(_) => None,
    }
}

fn text<'n>(policy: &'n Policy, name: &'n Name<'_>) -> &'n str {
    match name {
        Name::Known(id) => policy.catalogue.name(*id),
        Name::Unknown(name) => name,
    }
}

fn is_key(policy: &Policy, supply: &Supply<'_>) -> bool {
    let id = supply.feature.as_ref().and_then(|feature| policy.catalogue.id(feature));
    id.and_then(|id| policy.catalogue.feature(id)).is_some_and(|feature| feature.key)
}

/// Whether a supplied value goes upstream: a key, null or not, and what counts of the rest.
fn goes(policy: &Policy, supply: &Supply<'_>) -> bool {
    let any = supply.takes == Takes::Any && policy.settings.supplies == Supplies::Any;
    is_key(policy, supply) || (any && !supply.has_null)
}

/// The name of a supplied value that counts as supplied: what the server takes instead of computing it.
fn counted<'q>(policy: &Policy, supply: &'q Supply<'_>) -> Option<Name<'q>> {
    if supply.has_null || !goes(policy, supply) {
        return None;
    }
    Some(match &supply.feature {
        Some(feature) => Name::of(policy, feature),
        None => Name::Unknown(Cow::Borrowed(&*supply.written)),
    })
}
