//! The map that a caller is told gives no feature more than the policy does, on random policies.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::Value;
use tagwarden::diagnostic::SourceFile;
use tagwarden::dialect::chalk::agent;
use tagwarden::policy::resolve::{RoleId, own_of_role};
use tagwarden::policy::settings::Combine;
use tagwarden::policy::{Permission, Policy, load};

use crate::random_policy::{World, world};

fn read(world: &World) -> Policy {
    let [policy, catalogue] = world.documents();
    let file = |name: &str, text: &Value| Arc::new(SourceFile { name: name.to_owned(), text: text.to_string() });
    let imported: Vec<_> =
        Some(catalogue).filter(|text| !text.is_null()).iter().map(|text| file("catalogue.yaml", text)).collect();
    let (policy, report) = load(&[file("policy.yaml", &policy)], &imported);
    policy.unwrap_or_else(|| panic!("{report}"))
}

/// As Chalk's numbers have it.
fn permission(number: i32) -> Permission {
    match number {
        1 => Permission::Allow,
        2 => Permission::AllowInternal,
        3 => Permission::Deny,
        4 => Permission::AllowDownstream,
        other => panic!("{other}"),
    }
}

#[test]
fn no_feature_is_told_more_than_it_has() {
    let (said, several, exact) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let test = |(world, chosen): (World, Vec<bool>)| {
        let policy = read(&world);
        let names = world.roles();
        let chosen = names.iter().zip(&chosen).filter(|(_, chosen)| **chosen);
        let mut roles: Vec<RoleId> = chosen.map(|(name, _)| policy.role_id(name).unwrap()).collect();
        roles.sort_unstable();
        let tables = policy.tables(&roles);
        let told = agent::permissions(&policy, &tables);
        let default = permission(told.default_permission.unwrap());
        let map: BTreeMap<String, Permission> =
            told.tags.iter().map(|(tag, number)| (tag.clone(), permission(*number))).collect();
        let loose = policy.settings.combine == Combine::MostPermissive;
        prop_assert!(!loose || roles.len() < 2 || (map.is_empty() && default == Permission::Deny));
        prop_assert!(!roles.is_empty() || (map.is_empty() && default == Permission::Deny));
        let (mut as_much, catalogue) = (true, &policy.catalogue);
        for (feature, id) in catalogue.features().iter().zip(0..) {
            let class = &catalogue.classes[feature.class as usize];
            let tags = class.all_tags.iter().filter_map(|tag| map.get(catalogue.tags.name(*tag)));
            let told = tags.min().copied().unwrap_or(default);
            let each = roles.iter().map(|role| own_of_role(&policy, *role, class).permission);
            let own = if loose { each.max() } else { each.min() }.unwrap_or(Permission::Deny);
            prop_assert!(told <= own, "{} is told {told}, and has {own}", feature.name);
            as_much &= told == own;
            // Nor is what a feature reads, or what flows into it, left out.
            let cells = tables.iter().map(|table| table.cell(id));
            let most = cells.filter(|cell| matches!(cell.rule, 2 | 6)).map(|cell| cell.permission).max();
            if tables.len() < 2 {
                prop_assert!(most.is_none_or(|most| told <= most), "{} is told {told}, and has {most:?}", feature.name);
            }
        }
        let nothing = map.is_empty() && default == Permission::Deny;
        said.fetch_add(usize::from(!nothing), Ordering::Relaxed);
        several.fetch_add(usize::from(!nothing && roles.len() > 1), Ordering::Relaxed);
        exact.fetch_add(usize::from(!nothing && as_much), Ordering::Relaxed);
        Ok(())
    };
    let given = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    let config =
        ProptestConfig { cases: given.unwrap_or(2000), failure_persistence: None, ..ProptestConfig::default() };
    let cases = config.cases as usize;
    if let Err(error) = TestRunner::new(config).run(&(world(), vec(any::<bool>(), 3)), test) {
        panic!("{error}");
    }
    // It is no test of empty maps.
    let (said, several, exact) = (said.into_inner(), several.into_inner(), exact.into_inner());
    assert!(said > cases / 8 && several > cases / 50 && exact > cases / 16, "{said} {several} {exact} of {cases}");
}
