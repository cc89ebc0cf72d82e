//! What can be said of features only when every role has been resolved: role by role, so that one table is held at a
//! time.

use std::collections::{BTreeMap, HashMap};

use super::others;
use crate::diagnostic::{Code, Diagnostic, Report};
use crate::policy::catalogue::{Class, Feature, FeatureId, TagId};
use crate::policy::permission::Permission;
use crate::policy::resolve::{RoleId, Table};
use crate::policy::settings::{CatalogueTags, Combine};
use crate::policy::{Binding, Policy};

/// How many names a warning shows.
const SHOWN: usize = 3;

/// Looks at every feature through the eyes of every role.
pub fn lint(policy: &Policy, report: &mut Report) {
    if policy.roles.is_empty() {
        return;
    }
    let mut seen = Seen::new(policy);
    for id in (0..policy.roles.len()).filter_map(|id| RoleId::try_from(id).ok()) {
        seen.role(id);
    }
    seen.tell(report);
}

/// What is true for a role, and for how many after it.
#[derive(Clone, Copy, Debug)]
struct For<T> {
    what: T,
    role: RoleId,
    more: usize,
}

fn count<K: std::hash::Hash + Eq, T>(map: &mut HashMap<K, For<T>>, key: K, role: RoleId, what: T) {
    map.entry(key).and_modify(|found| found.more += 1).or_insert(For { what, role, more: 0 });
}

struct Seen<'p> {
    policy: &'p Policy,
    /// Features, keys aside, that no role so far can return.
    hidden: Vec<FeatureId>,
    /// By class: some role's own permission lets it be returned.
    own_returned: Vec<bool>,
    /// By class: every role takes its default for it.
    defaulted: Vec<bool>,
    /// By class: a clearing tag and a restricting one.
    both: HashMap<u32, For<(TagId, TagId)>>,
    /// Features with tags and with inputs or joins.
    tagged: Vec<FeatureId>,
    /// Those with a clearing tag over a denied input.
    defeated: HashMap<FeatureId, For<TagId>>,
    /// Features without a tag that counts, and with inputs.
    untagged: Vec<FeatureId>,
    /// Those that can be returned over an internal input.
    over_internal: HashMap<FeatureId, For<FeatureId>>,
    /// Roles that one binding gives together, and the first such binding.
    together: BTreeMap<Vec<RoleId>, &'p Binding>,
    /// By role that is given together with others: what it returns alone.
    alone: HashMap<RoleId, Bits>,
}

impl<'p> Seen<'p> {
    fn new(policy: &'p Policy) -> Self {
        let catalogue = &policy.catalogue;
        let (features, classes) = (catalogue.features(), &catalogue.classes);
        let lifted = |feature: &Feature| {
            classes.get(feature.class as usize).is_some_and(|class| !lifting(policy, class).is_empty())
        };
        let those = |wanted: &dyn Fn(&Feature) -> bool| -> Vec<FeatureId> {
            (0..).zip(features).filter(|(_, feature)| wanted(feature)).map(|(id, _)| id).collect()
        };
        let mut together = BTreeMap::new();
        if policy.settings.combine == Combine::MostRestrictive {
            for binding in &policy.bindings {
                let mut roles = binding.roles.clone();
                roles.sort_unstable();
                roles.dedup();
                if roles.len() > 1 {
                    together.entry(roles).or_insert(binding);
                }
            }
        }
        Self {
            policy,
            hidden: those(&|feature| !feature.key),
            own_returned: vec![false; classes.len()],
            defaulted: vec![true; classes.len()],
            both: HashMap::new(),
            tagged: those(&|feature| lifted(feature) && !catalogue.edges(feature).is_empty()),
            defeated: HashMap::new(),
            untagged: those(&|feature| !lifted(feature) && catalogue.edges(feature).iter().any(|edge| edge.input)),
            over_internal: HashMap::new(),
            alone: together.keys().flatten().map(|role| (*role, Bits::default())).collect(),
            together,
        }
    }

    fn role(&mut self, id: RoleId) {
        let (policy, catalogue) = (self.policy, &self.policy.catalogue);
        let Some(role) = policy.roles.get(usize::from(id)) else { return };
        let table = Table::build(policy, &[id]);
        let mut mapped: Vec<Option<Permission>> = vec![None; catalogue.tags.len()];
        for (tag, permission) in &role.tags {
            mapped.get_mut(*tag as usize).into_iter().for_each(|slot| *slot = Some(*permission));
        }
        let with = |tags: &[TagId], wanted: fn(Permission) -> bool| {
            tags.iter().find(|tag| mapped.get(**tag as usize).copied().flatten().is_some_and(wanted)).copied()
        };
        let mut clears: Vec<Option<TagId>> = Vec::with_capacity(catalogue.classes.len());
        let owns = self.own_returned.iter_mut().zip(&mut self.defaulted);
        for ((class, number), (returned, defaulted)) in catalogue.classes.iter().zip(0..).zip(owns) {
            let own = table.own_of_class(number);
            *returned |= own.permission.returnable();
            *defaulted &= own.defaulted;
            let clearing = with(lifting(policy, class), |permission| permission == Permission::AllowDownstream);
            let restricting = clearing.and_then(|_| with(restricting(policy, class), |p| !p.returnable()));
            if let (Some(clearing), Some(restricting)) = (clearing, restricting) {
                count(&mut self.both, number, id, (clearing, restricting));
            }
            clears.push(clearing.filter(|_| restricting.is_none()));
        }
        self.hidden.retain(|number| !table.cell(*number).permission.returnable());
        for number in self.tagged.iter().filter(|number| table.cell(**number).rule == 4) {
            let class = catalogue.feature(*number).map_or(usize::MAX, |feature| feature.class as usize);
            if let Some(Some(tag)) = clears.get(class) {
                count(&mut self.defeated, *number, id, *tag);
            }
        }
        for number in self.untagged.iter().filter(|number| table.cell(**number).permission.returnable()) {
            let Some(feature) = catalogue.feature(*number) else { continue };
            let internal = |to: FeatureId| table.cell(to).permission == Permission::AllowInternal;
            if let Some(edge) = catalogue.edges(feature).iter().find(|edge| edge.input && internal(edge.to)) {
                count(&mut self.over_internal, *number, id, edge.to);
            }
        }
        if let Some(alone) = self.alone.get_mut(&id) {
            *alone = Bits::of(catalogue.features().len(), |number| table.cell(number).permission.returnable());
        }
    }

    fn tell(&self, report: &mut Report) {
        let catalogue = &self.policy.catalogue;
        let tag = |tag: TagId| catalogue.tags.name(tag);
        let role = |found: RoleId, more: usize| format!("`{}`{}", self.policy.role_name(found), others(more));
        self.never_returned(report);
        for (feature, number) in catalogue.features().iter().zip(0..) {
            let name = &feature.name;
            if let Some(found) = self.both.get(&feature.class) {
                let (clearing, restricting) = found.what;
                let message = format!(
                    "feature `{name}` has a clearing tag `{}` and a restricting one `{}` for role {}; the restricting one wins",
                    tag(clearing),
                    tag(restricting),
                    role(found.role, found.more)
                );
                report.push(Diagnostic::new(Code::ClearingAndRestricting, &feature.place, message));
            }
            if let Some(found) = self.defeated.get(&number) {
                let message = format!(
                    "tag `{}` clears feature `{name}` for role {}, and a denied input always defeats it",
                    tag(found.what),
                    role(found.role, found.more)
                );
                report.push(Diagnostic::new(Code::DefeatedTag, &feature.place, message));
            }
            if let Some(found) = self.over_internal.get(&number) {
                let message = format!(
                    "feature `{name}` has no tag that restricts it, and its internal input `{}` does not keep it from role {}",
                    catalogue.name(found.what),
                    role(found.role, found.more)
                );
                report.push(Diagnostic::new(Code::UntaggedOverInternal, &feature.place, message));
            }
        }
        self.combinations(report);
    }

    /// One warning for each reason: what every role keeps inside for one tag is meant to be hidden, and told once.
    fn never_returned(&self, report: &mut Report) {
        let catalogue = &self.policy.catalogue;
        let mut whys: HashMap<u32, Why> = HashMap::new();
        let mut hidden: BTreeMap<Why, Vec<&Feature>> = BTreeMap::new();
        for feature in self.hidden.iter().filter_map(|number| catalogue.feature(*number)) {
            let why = whys.entry(feature.class).or_insert_with(|| self.why(feature.class as usize));
            hidden.entry(*why).or_default().push(feature);
        }
        for (why, mut features) in hidden {
            features.sort_by(|a, b| a.place.order().cmp(&b.place.order()));
            let Some(first) = features.first() else { continue };
            let reason = match why {
                Why::Tag(tag) => format!("for tag `{}`", catalogue.tags.name(tag)),
                Why::Default => "for the default of every role".to_owned(),
                Why::Mixed => "for tags and defaults that differ by role".to_owned(),
                Why::Below => "for what lies below it".to_owned(),
            };
            let message = if features.len() == 1 {
                format!("no role can ever return feature `{}`, {reason}", first.name)
            } else {
                let names: Vec<String> = features.iter().take(SHOWN).map(|f| format!("`{}`", f.name)).collect();
                let more = others(features.len() - names.len());
                let reason = reason.replace(" below it", " below them");
                format!("no role can ever return {} features, {reason}: {}{more}", features.len(), names.join(", "))
            };
            report.push(Diagnostic::new(Code::NeverReturned, &first.place, message));
        }
    }

    /// Why no role returns the features of a class that none returns.
    fn why(&self, class: usize) -> Why {
        let (policy, tags) = (self.policy, &self.policy.catalogue.tags);
        let carried = policy.catalogue.classes.get(class).map(|class| restricting(policy, class)).unwrap_or_default();
        let hides = |tag: &TagId| {
            policy.roles.iter().all(|role| role.permission_of(*tag).is_some_and(|permission| !permission.returnable()))
        };
        let hiding = carried.iter().copied().filter(hides).min_by_key(|tag| tags.name(*tag));
        let of = |list: &[bool]| list.get(class).copied().unwrap_or_default();
        match hiding {
            Some(tag) => Why::Tag(tag),
            None if of(&self.own_returned) => Why::Below,
            None if of(&self.defaulted) => Why::Default,
            None => Why::Mixed,
        }
    }

    /// Roles that one binding gives together and that return less than one of them alone.
    fn combinations(&self, report: &mut Report) {
        let features = self.policy.catalogue.features();
        for (roles, binding) in &self.together {
            let together = Table::build(self.policy, roles);
            let returned = Bits::of(features.len(), |number| together.cell(number).permission.returnable());
            let lost = roles.iter().filter_map(|role| Some((role, self.alone.get(role)?.first_outside(&returned)?)));
            let lost: Vec<(&RoleId, usize)> = lost.collect();
            if let Some((role, feature)) = lost.first()
                && let Some(feature) = features.get(*feature)
            {
                let message = format!(
                    "the roles of this binding together return less than `{}`{} alone: not `{}`, for one",
                    self.policy.role_name(**role),
                    others(lost.len() - 1),
                    feature.name
                );
                report.push(Diagnostic::new(Code::RolesReturnLess, &binding.place, message));
            }
        }
    }
}

/// Why no role can return a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Why {
    /// Every role keeps what carries this tag inside.
    Tag(TagId),
    /// No role maps any of its tags, and none lets such features out.
    Default,
    /// Each role by something of its own.
    Mixed,
    /// Some role would return it by its own tags, but for its lineage or data sources.
    Below,
}

/// The tags by which a feature can be lifted (policy.md, `catalogue_tags`).
fn lifting<'c>(policy: &Policy, class: &'c Class) -> &'c [TagId] {
    match policy.settings.catalogue_tags {
        CatalogueTags::Trust => &class.all_tags,
        CatalogueTags::Restrict | CatalogueTags::Ignore => &class.policy_tags,
    }
}

/// The tags by which it can be restricted.
fn restricting<'c>(policy: &Policy, class: &'c Class) -> &'c [TagId] {
    match policy.settings.catalogue_tags {
        CatalogueTags::Trust | CatalogueTags::Restrict => &class.all_tags,
        CatalogueTags::Ignore => &class.policy_tags,
    }
}

/// A set of features, a bit each.
#[derive(Clone, Debug, Default)]
struct Bits(Vec<u64>);

impl Bits {
    fn of(count: usize, holds: impl Fn(FeatureId) -> bool) -> Self {
        let mut words = vec![0; count.div_ceil(64)];
        for number in 0..u32::try_from(count).unwrap_or(u32::MAX) {
            if let (true, Some(word)) = (holds(number), words.get_mut(number as usize / 64)) {
                *word |= 1u64 << (number % 64);
            }
        }
        Self(words)
    }

    /// The first that is in this set and not in the other.
    fn first_outside(&self, other: &Self) -> Option<usize> {
        let mut words = self.0.iter().zip(&other.0).enumerate();
        words.find_map(|(at, (mine, theirs))| {
            let lost = mine & !theirs;
            (lost != 0).then(|| at * 64 + lost.trailing_zeros() as usize)
        })
    }
}
