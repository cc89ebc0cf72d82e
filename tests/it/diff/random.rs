//! Random policies compared: what the words of 64 callers give is what their tables give, and no change goes missing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::Value;
use tagwarden::diagnostic::{Report, SourceFile};
use tagwarden::policy::catalogue::FeatureId;
use tagwarden::policy::diff::planes::{Given, Planes};
use tagwarden::policy::diff::{Callers, Comparison, Diff, Side, Way, When};
use tagwarden::policy::explain::Files;
use tagwarden::policy::file::{self, Layer, LayerKind};
use tagwarden::policy::resolve::{RoleId, Table};
use tagwarden::policy::settings::{Supplies, UnknownFeatures};
use tagwarden::policy::{self, Permission, Policy};

use crate::random_policy::{World, world};

pub struct Loaded {
    policy: Policy,
    rules: Layer,
    imported: Layer,
}

impl Loaded {
    fn new([rules, catalogue]: &[Value; 2]) -> Self {
        let mut report = Report::default();
        let source = |name: &str, value: &Value| Arc::new(SourceFile { name: name.into(), text: value.to_string() });
        let rules = file::read(LayerKind::Policy, &[source("policy.yaml", rules)], &mut report);
        let imported: Vec<_> =
            Some(catalogue).filter(|c| !c.is_null()).map(|c| source("catalogue.yaml", c)).into_iter().collect();
        let imported = file::read(LayerKind::Catalogue, &imported, &mut report);
        let policy = policy::assemble(&rules, &imported, &mut report).unwrap_or_else(|| panic!("{report}"));
        Self { policy, rules, imported }
    }

    fn side(&self) -> Side<'_> {
        Side { policy: &self.policy, files: Files { rules: &self.rules, imported: &self.imported } }
    }
}

fn compared<'l>(old: &'l Loaded, new: &'l Loaded) -> Diff<'l> {
    let comparison = Comparison::new(old.side(), new.side());
    let blocks = (0..comparison.blocks()).map(|number| comparison.block(number)).collect();
    comparison.finish(blocks)
}

/// Role and feature to when, before, after.
type Rows = BTreeMap<(String, String), (When, Option<Permission>, Option<Permission>)>;

fn rows(diff: &Diff<'_>, way: Way) -> Rows {
    let mut rows = Rows::new();
    diff.each(way, Callers::Roles, &mut |row| {
        for caller in &row.callers {
            let [old, new] = diff.roles_of(*caller);
            let role = new.first().or(old.first()).unwrap().to_string();
            let change = (row.state.when, row.state.old, row.state.new);
            let cause = diff.cause(row.cause).unwrap();
            assert!(!cause.text.is_empty() && !cause.file.is_empty() && cause.line > 0, "{row:?}: {cause:?}");
            assert!(rows.insert((role, diff.feature(row.feature)), change).is_none(), "twice: {row:?}");
        }
    });
    rows
}

fn cases(cases: u32) -> TestRunner {
    let given = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    TestRunner::new(ProptestConfig {
        cases: given.unwrap_or(cases),
        failure_persistence: None,
        ..ProptestConfig::default()
    })
}

fn check<S: Strategy>(count: u32, strategy: S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    if let Err(error) = cases(count).run(&strategy, test) {
        panic!("{error}");
    }
}

/// Two worlds, mostly alike: one value of the first's documents is taken from the second's.
fn pair() -> impl Strategy<Value = (World, World, usize)> {
    (world(), world(), 0..12usize)
}

/// The documents of a pair. Of the second, one part of the first is the second's, or all is.
fn documents((first, second, part): &(World, World, usize)) -> [[Value; 2]; 2] {
    let (old, other) = (first.documents(), second.documents());
    let mut new = old.clone();
    if *part == 11 {
        return [old, other];
    }
    let layer = part % 2;
    let keys = ["roles", "features", "datasources", "combine", "declassification", "internal"];
    let key = keys[part / 2];
    if new[layer].is_null() {
        return [old, new];
    }
    match key {
        // Lineage of the other world over names of this one would not load: tags and flags alone.
        "features" => {
            let names: Vec<String> =
                new[layer][key].as_object().into_iter().flat_map(|all| all.keys().cloned()).collect();
            for (name, there) in
                names.iter().zip(other[layer][key].as_object().into_iter().flat_map(|all| all.values()))
            {
                for field in ["tags", "key", "opaque"] {
                    if new[layer][key][name].is_object()
                        && !name.contains('*')
                        && let Some(value) = there.get(field)
                    {
                        new[layer][key][name][field] = value.clone();
                    }
                }
            }
            // And one feature that loses what it is computed from.
            if let Some(name) = names.last().filter(|name| !name.contains('*')) {
                for field in ["inputs", "joins"] {
                    if new[layer][key][name][field].is_array() {
                        new[layer][key][name][field] = Value::Array(Vec::new());
                    }
                }
            }
        }
        "datasources" if other[layer][key].is_object() => {
            let names: BTreeSet<String> =
                new[layer][key].as_object().into_iter().flat_map(|all| all.keys().cloned()).collect();
            for name in names {
                if !other[layer][key][&name].is_null() {
                    new[layer][key][&name] = other[layer][key][&name].clone();
                }
            }
        }
        "datasources" => {}
        _ if layer == 1 => {}
        _ => new[layer][key] = other[layer][key].clone(),
    }
    for document in &mut new {
        if let Some(all) = document.as_object_mut() {
            all.retain(|_, value| !value.is_null());
        }
    }
    [old, new]
}

fn lanes(policy: &Policy) -> Vec<Vec<RoleId>> {
    let count = RoleId::try_from(policy.roles.len()).unwrap();
    let mut lanes: Vec<Vec<RoleId>> = (0..count).map(|role| vec![role]).collect();
    lanes.push((0..count).collect());
    lanes
}

#[test]
fn the_words_agree_with_the_tables() {
    check(600, world(), |world| {
        let loaded = Loaded::new(&world.documents());
        let policy = &loaded.policy;
        let lanes = lanes(policy);
        let planes = Planes::new(policy, &lanes);
        let features: Vec<FeatureId> = (0..).take(policy.catalogue.features().len()).collect();
        let keys: Vec<FeatureId> =
            features.iter().copied().filter(|id| policy.catalogue.feature(*id).unwrap().key).collect();
        for (roles, lane) in lanes.iter().zip(0..) {
            let table = Table::build(policy, roles);
            let overlay = table.overlay(policy, &keys);
            for id in &features {
                let feature = policy.catalogue.feature(*id).unwrap();
                let own = planes.own(feature);
                prop_assert_eq!(own.permissions.of(lane), table.own(feature).permission);
                for (given, cell) in
                    [(Given::Nothing, table.cell(*id)), (Given::Keys, table.cell_on_row(&overlay, *id))]
                {
                    let decided = planes.decided(feature, given);
                    prop_assert_eq!(decided.cell.permissions.of(lane), cell.permission, "{} {:?}", feature.name, given);
                    prop_assert_eq!(decided.rule(lane), cell.rule, "{} {:?}", feature.name, given);
                    prop_assert_eq!(planes.cell(*id, given).permissions.of(lane), cell.permission);
                }
            }
        }
        Ok(())
    });
}

#[test]
fn no_supplied_values_open_more_than_the_most() {
    let supplied = proptest::collection::vec(any::<bool>(), 14);
    check(600, (world(), supplied), |(world, chosen)| {
        let loaded = Loaded::new(&world.documents());
        let policy = &loaded.policy;
        let lanes = lanes(policy);
        let planes = Planes::new(policy, &lanes);
        for (roles, lane) in lanes.iter().zip(0..) {
            let table = Table::build(policy, roles);
            let may = |id: &FeatureId| {
                let feature = policy.catalogue.feature(*id).unwrap();
                let counts = feature.key || policy.settings.supplies == Supplies::Any;
                counts && table.own(feature).permission != Permission::Deny
            };
            let all = (0..).zip(&chosen).take(policy.catalogue.features().len());
            let given: Vec<FeatureId> = all.filter(|(_, on)| **on).map(|(id, _)| id).filter(may).collect();
            let overlay = table.overlay(policy, &given);
            for feature in policy.catalogue.features() {
                let id = policy.catalogue.id(&feature.name).unwrap();
                if given.contains(&id) {
                    continue;
                }
                let most = planes.cell(id, Given::Values).permissions.of(lane);
                for cell in [table.cell_on_row(&overlay, id), table.cell_elsewhere(&overlay, id), table.cell(id)] {
                    prop_assert!(cell.permission <= most, "{}: {} and {most}", feature.name, cell.permission);
                }
            }
        }
        Ok(())
    });
}

#[test]
fn a_policy_does_not_differ_from_itself() {
    check(200, world(), |world| {
        let (old, new) = (Loaded::new(&world.documents()), Loaded::new(&world.documents()));
        let diff = compared(&old, &new);
        for way in [Way::Gained, Way::Lost] {
            for callers in [Callers::Roles, Callers::Sets] {
                diff.each(way, callers, &mut |row| panic!("{row:?}"));
            }
        }
        prop_assert!(diff.settings.is_empty() && diff.bindings.is_empty() && !diff.summary().gains);
        Ok(())
    });
}

#[test]
fn what_is_gained_one_way_is_lost_the_other() {
    check(400, pair(), |pair| {
        let [old, new] = documents(&pair).map(|documents| Loaded::new(&documents));
        let (there, back) = (compared(&old, &new), compared(&new, &old));
        let turned = |rows: Rows| -> Rows { rows.into_iter().map(|(k, (when, a, b))| (k, (when, b, a))).collect() };
        prop_assert_eq!(rows(&there, Way::Gained), turned(rows(&back, Way::Lost)));
        prop_assert_eq!(rows(&there, Way::Lost), turned(rows(&back, Way::Gained)));
        let (one, other) = (there.summary(), back.summary());
        prop_assert_eq!((one.gained, one.lost, one.still), (other.lost, other.gained, other.still));
        Ok(())
    });
}

/// What a role may do with a name, with nothing and with all keys supplied.
fn permissions(loaded: &Loaded, role: &str, names: &BTreeSet<String>) -> BTreeMap<String, [Permission; 2]> {
    let policy = &loaded.policy;
    let Some(id) = policy.role_id(role) else { return BTreeMap::new() };
    let table = Table::build(policy, &[id]);
    let features = (0..).zip(policy.catalogue.features());
    let keys: Vec<FeatureId> = features.filter(|(_, feature)| feature.key).map(|(id, _)| id).collect();
    let overlay = table.overlay(policy, &keys);
    let of = |name: &String| match policy.catalogue.id(name) {
        Some(id) => [table.cell(id).permission, table.cell_on_row(&overlay, id).permission],
        None => [table.unknown(policy, name); 2],
    };
    names.iter().map(|name| (name.clone(), of(name))).collect()
}

#[test]
fn the_rows_are_what_the_tables_differ_in() {
    check(600, pair(), |pair| {
        let [old, new] = documents(&pair).map(|documents| Loaded::new(&documents));
        let diff = compared(&old, &new);
        let (gained, lost) = (rows(&diff, Way::Gained), rows(&diff, Way::Lost));
        let known = |loaded: &Loaded| -> BTreeSet<String> {
            loaded.policy.catalogue.features().iter().map(|feature| feature.name.to_string()).collect()
        };
        let (before, after) = (known(&old), known(&new));
        let names: BTreeSet<String> = before.union(&after).cloned().collect();
        let roles: BTreeSet<&str> = old.policy.role_names().chain(new.policy.role_names()).collect();
        for role in roles {
            let [was, is] = [&old, &new].map(|loaded| permissions(loaded, role, &names));
            for name in &names {
                let one =
                    |all: &BTreeMap<String, [Permission; 2]>| all.get(name).copied().unwrap_or([Permission::Deny; 2]);
                let (was, is) = (one(&was), one(&is));
                let both = before.contains(name)
                    && after.contains(name)
                    && old.policy.role_id(role).is_some()
                    && new.policy.role_id(role).is_some();
                // Of what only one side has, what may be returned counts.
                let rises =
                    |from: Permission, to: Permission| to > from && (both || (to.returnable() && !from.returnable()));
                let key = (role.to_owned(), name.clone());
                for (rows, from, to) in [(&gained, was, is), (&lost, is, was)] {
                    let expected = from.iter().zip(to).any(|(from, to)| rises(*from, to));
                    let row = rows.get(&key);
                    prop_assert!(row.is_some() || !expected, "{key:?} is missing: {was:?} {is:?}");
                    let Some((when, old, new)) = row else { continue };
                    let shown = (old.unwrap_or(Permission::Deny), new.unwrap_or(Permission::Deny));
                    match when {
                        When::Always => prop_assert_eq!(shown, (was[0], is[0]), "{:?}", key),
                        When::WithKeys => prop_assert_eq!(shown, (was[1], is[1]), "{:?}", key),
                        When::WithValues | When::Supplied => {}
                    }
                }
            }
        }
        let outside = [&old, &new].iter().any(|l| l.policy.settings.unknown_features == UnknownFeatures::Default);
        let strange = |rows: &Rows| rows.keys().any(|(_, name)| name.ends_with("outside the catalogue)"));
        prop_assert!(outside || !(strange(&gained) || strange(&lost)));
        prop_assert_eq!(diff.summary().gained, gained.len() as u64);
        Ok(())
    });
}

/// How many roles is no matter: callers beyond the first 64 are compared like those.
#[test]
fn many_roles_are_compared_in_blocks() {
    let rules = |permission: &str| {
        let roles: serde_json::Map<String, Value> = (0..150)
            .map(|n| {
                (format!("r{n:03}"), serde_json::json!({"tags": {"t": if n % 2 == 0 { permission } else { "Deny" }}}))
            })
            .collect();
        [
            serde_json::json!({"version": 1, "roles": roles, "features": {"x": {"tags": ["t"]}, "y": {"inputs": ["x"]}}}),
            Value::Null,
        ]
    };
    let (old, new) = (Loaded::new(&rules("Deny")), Loaded::new(&rules("Allow")));
    let diff = compared(&old, &new);
    let gained = rows(&diff, Way::Gained);
    assert_eq!((gained.len(), diff.summary().roles_gaining, diff.summary().features_newly_returned), (150, 75, 2));
    assert!(gained.contains_key(&("r148".to_owned(), "y".to_owned())) && rows(&diff, Way::Lost).is_empty());
}
