//! Random policies: every suggestion, written into the files and loaded again, permits the query; no part of it does.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use tagwarden::diagnostic::SourceFile;
use tagwarden::policy::decide::{Name, Resolved};
use tagwarden::policy::explain::Query;
use tagwarden::policy::suggest::{Change, MAX_CHANGES, MAX_SHOWN};
use tagwarden::policy::{self, Policy};

const TAGS: [&str; 3] = ["a", "b", "c"];
const PERMISSIONS: [&str; 4] = ["Deny", "AllowInternal", "Allow", "AllowDownstream"];

/// A policy file, a catalogue file and a query.
#[derive(Clone, Debug)]
struct Case {
    policy: Value,
    catalogue: Value,
    query: Query,
}

impl Case {
    fn policy(&self) -> Option<Policy> {
        let file = |name: &str, value: &Value| Arc::new(SourceFile { name: name.into(), text: value.to_string() });
        policy::load(&[file("policy.yaml", &self.policy)], &[file("catalogue.yaml", &self.catalogue)]).0
    }

    /// Whether the query may run; `None` where the files do not load.
    fn permitted(&self) -> Option<bool> {
        let policy = self.policy()?;
        Some(self.over(&policy, |resolved, outputs| resolved.decide(outputs).permitted))
    }

    fn returnable(&self) -> BTreeSet<String> {
        let policy = self.policy().unwrap();
        self.over(&policy, |resolved, _| {
            let open = |name: &str| resolved.verdict(&Name::of(&policy, name), false).permission.returnable();
            policy.catalogue.features().iter().map(|f| f.name.to_string()).filter(|name| open(name)).collect()
        })
    }

    fn over<T>(&self, policy: &Policy, ask: impl FnOnce(&Resolved<'_>, &[Name<'_>]) -> T) -> T {
        let roles: Vec<u16> = self.query.roles.iter().map(|role| policy.role_id(role).unwrap()).collect();
        let tables = policy.tables(&roles);
        let supplied: Vec<Name<'_>> = self.query.supplied.iter().map(|name| Name::of(policy, name)).collect();
        let outputs: Vec<Name<'_>> = self.query.outputs.iter().map(|name| Name::of(policy, name)).collect();
        ask(&Resolved::new(policy, &tables, &supplied), &outputs)
    }

    /// Writes a change into the files, as a person would.
    fn with(&self, change: &Change) -> Self {
        let mut case = self.clone();
        let doc = &mut case.policy;
        match change {
            Change::MapTag { role, tag, to } => {
                for list in ["compute", "output"] {
                    remove(&mut doc["roles"][role]["blocklists"][list], tag);
                }
                doc["roles"][role]["tags"][tag] = json!(to.name());
            }
            Change::Untag { feature, tag } => remove(&mut doc["features"][feature]["tags"], tag),
            Change::UntagPattern { pattern, tag } => remove(&mut doc["features"][pattern]["tags"], tag),
            Change::Tag { feature, tag } => push(&mut doc["features"][feature]["tags"], tag),
            Change::TagNew { feature, tag, roles, to } => {
                push(&mut doc["features"][feature]["tags"], tag);
                for role in roles {
                    doc["roles"][role]["tags"][tag] = json!(to.name());
                }
                if let Some(register) = doc.get_mut("tags") {
                    register[tag] = Value::Null;
                }
            }
            Change::NotInput { feature, input } => push(&mut doc["features"][feature]["not_inputs"], input),
            Change::AllowSource { role, tag } => push(&mut doc["roles"][role]["datasources"]["allow"], tag),
            Change::TagSource { source, tag } => push(&mut doc["datasources"][source]["tags"], tag),
            Change::Supply { feature } => case.query.supplied.push(feature.clone()),
            Change::Boundary => doc["declassification"] = json!("boundary"),
        }
        case
    }

    fn with_all<'c>(&self, changes: impl IntoIterator<Item = &'c Change>) -> Self {
        changes.into_iter().fold(self.clone(), |case, change| case.with(change))
    }
}

fn push(list: &mut Value, item: &str) {
    if list.is_null() {
        *list = json!([]);
    }
    list.as_array_mut().unwrap().push(json!(item));
}

fn remove(list: &mut Value, item: &str) {
    if let Some(items) = list.as_array_mut() {
        items.retain(|one| one != item);
    } else {
        *list = json!([]);
    }
}

fn names(of: &[&str], mask: u8) -> Vec<String> {
    of.iter().enumerate().filter(|(bit, _)| mask >> bit & 1 == 1).map(|(_, name)| (*name).to_owned()).collect()
}

/// Default, what each tag maps to (4: nothing), a tag of a blocklist (3..: none), data sources allowed (4..: all).
type RoleSeed = (usize, [usize; 3], usize, u8);

fn role((default, maps, blocked, allow): RoleSeed) -> Value {
    let mut role = json!({"default": PERMISSIONS[default], "tags": {}, "blocklists": {"compute": [], "output": []}});
    for (tag, to) in TAGS.iter().zip(maps) {
        if let Some(permission) = PERMISSIONS.get(to) {
            role["tags"][tag] = json!(permission);
        }
    }
    if let Some(tag) = TAGS.get(blocked) {
        role["blocklists"]["output"] = json!([tag]);
    }
    if allow < 4 {
        role["datasources"] = json!({"allow": names(&["s", "t"], allow)});
    }
    role
}

/// Namespace, key, tags of policy and catalogue, inputs (of those before), in the catalogue or the policy, joins,
/// source (2..: none), whether the policy names it at all.
type FeatureSeed = (bool, u8, (u8, u8), (u8, bool), u8, usize, bool);

fn case(
    settings: [usize; 6],
    roles: Vec<RoleSeed>,
    features: Vec<FeatureSeed>,
    sources: [(u8, u8); 2],
    (pattern, register, supplied, output): (u8, bool, u8, usize),
) -> Case {
    let mut policy = json!({"version": 1, "roles": {}, "features": {}, "datasources": {}});
    let mut catalogue = json!({"version": 1, "features": {}, "datasources": {}});
    let words = [
        ("combine", ["most_restrictive", "most_permissive"].as_slice()),
        ("declassification", &["strict", "boundary"]),
        ("internal", &["stays", "flows"]),
        ("catalogue_tags", &["restrict", "trust", "ignore"]),
        ("supplies", &["any", "keys"]),
    ];
    for ((setting, words), pick) in words.iter().zip(settings) {
        policy[*setting] = json!(words[pick % words.len()]);
    }
    if register {
        policy["tags"] = json!({"a": null, "b": null, "c": null});
    }
    let count = roles.len();
    for (number, seed) in roles.into_iter().enumerate() {
        policy["roles"][format!("r{number}")] = role(seed);
    }
    for (name, (above, below)) in ["p", "q"].iter().zip(sources) {
        if above < 4 {
            policy["datasources"][name] = json!({"tags": names(&["s", "t"], above)});
        }
        if below < 4 || above >= 4 {
            catalogue["datasources"][name] = json!({"tags": names(&["s", "t"], below & 3)});
        }
    }
    let mut known: Vec<String> = Vec::new();
    for (number, (space, key, tags, (inputs, imported), joins, source, named)) in features.into_iter().enumerate() {
        let name = format!("{}.f{number}", if space { "x" } else { "y" });
        let before: Vec<&str> = known.iter().map(String::as_str).collect();
        let (above, below) = (&mut policy["features"], &mut catalogue["features"]);
        below[&name] = json!({"tags": names(&TAGS, tags.1), "joins": names(&before, joins)});
        if key == 0 {
            below[&name]["key"] = json!(true);
        }
        if let Some(source) = ["p", "q"].get(source) {
            below[&name]["sources"] = json!([source]);
        }
        if named || !imported {
            above[&name] = json!({"tags": names(&TAGS, tags.0)});
        }
        let layer = if imported { below } else { above };
        layer[&name]["inputs"] = json!(names(&before, inputs));
        known.push(name);
    }
    if pattern < 8 {
        policy["features"]["x.*"] = json!({"tags": names(&TAGS, pattern)});
    }
    let all: Vec<&str> = known.iter().map(String::as_str).collect();
    let output = known[output % known.len()].clone();
    let supplied = names(&all, supplied).into_iter().filter(|name| *name != output).collect();
    let roles = (0..count).map(|number| format!("r{number}")).collect();
    Case { policy, catalogue, query: Query { roles, supplied, outputs: vec![output] } }
}

fn cases() -> impl Strategy<Value = Case> {
    let role = (0..3usize, [0..5usize, 0..5usize, 0..5usize], 0..6usize, 0..12u8);
    // Few keys, few tags of the catalogue, few joins.
    let few = || prop_oneof![3 => Just(0u8), 1 => any::<u8>()];
    let feature =
        (any::<bool>(), 0..6u8, (0..8u8, few()), (any::<u8>(), any::<bool>()), few(), 0..8usize, any::<bool>());
    let settings = [0..6usize, 0..6usize, 0..6usize, 0..6usize, 0..6usize, 0..6usize];
    let query = (0..24u8, any::<bool>(), few(), any::<usize>());
    let roles = proptest::collection::vec(role, 1..3);
    let features = proptest::collection::vec(feature, 1..7);
    (settings, roles, features, [(0..6u8, 0..8u8), (0..6u8, 0..8u8)], query)
        .prop_map(|(settings, roles, features, sources, query)| case(settings, roles, features, sources, query))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_suggestion_is_true_and_minimal(case in cases()) {
        let permitted = case.permitted();
        prop_assert!(permitted.is_some(), "does not load: {:?}", case);
        let explained = super::explain(&case.policy.to_string(), &case.catalogue.to_string(), &case.query);
        prop_assert_eq!(Some(explained.permitted), permitted);
        prop_assert!(!explained.permitted || explained.suggestions.is_empty());
        prop_assert!(explained.suggestions.len() <= MAX_SHOWN);
        let before = case.returnable();
        for suggestion in &explained.suggestions {
            let changes: Vec<&Change> = suggestion.steps.iter().map(|step| &step.change).collect();
            prop_assert!((1..=MAX_CHANGES).contains(&changes.len()));
            let changed = case.with_all(changes.iter().copied());
            prop_assert_eq!(changed.permitted(), Some(true), "{:?}", suggestion);
            let mut after = changed.returnable();
            after.retain(|name| !before.contains(name) && !case.query.outputs.contains(name));
            prop_assert_eq!(&after.into_iter().collect::<Vec<_>>(), &suggestion.opens);
            for (at, change) in changes.iter().enumerate() {
                if let Change::MapTag { role, tag, to } = change {
                    for lower in policy::Permission::ALL.into_iter().filter(|lower| lower < to) {
                        let lower = Change::MapTag { role: role.clone(), tag: tag.clone(), to: lower };
                        let set = changes.iter().enumerate().map(|(n, old)| if n == at { &lower } else { *old });
                        prop_assert!(case.with_all(set).permitted() != Some(true), "more than needed: {:?}", suggestion);
                    }
                }
            }
            for part in 1..(1u32 << changes.len()) - 1 {
                let part = (0..).zip(&changes).filter(|(bit, _)| part >> bit & 1 == 1).map(|(_, change)| *change);
                prop_assert!(case.with_all(part).permitted() != Some(true), "a part would do: {:?}", suggestion);
            }
        }
        // Nothing found: then no single mapping does it, and none that is taken away.
        if !explained.permitted && explained.suggestions.is_empty() {
            for (role, tag) in case.query.roles.iter().flat_map(|role| TAGS.map(|tag| (role, tag))) {
                for to in [policy::Permission::Allow, policy::Permission::AllowInternal] {
                    let change = Change::MapTag { role: role.clone(), tag: tag.to_owned(), to };
                    prop_assert!(case.with(&change).permitted() != Some(true), "missed: {:?}", change);
                }
            }
            for (feature, tag) in case.query.outputs.iter().flat_map(|feature| TAGS.map(|tag| (feature, tag))) {
                if case.policy["features"].get(feature).is_some() {
                    let change = Change::Untag { feature: feature.clone(), tag: tag.to_owned() };
                    prop_assert!(case.with(&change).permitted() != Some(true), "missed: {:?}", change);
                }
            }
        }
    }
}
