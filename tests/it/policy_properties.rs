//! The library against the oracle, and the properties that policy.md claims, on random policies.
//!
//! `PROPTEST_CASES` sets the number of cases of every property. What each property means exactly stands at its test;
//! "permits" is, throughout: the query, each output of it in filter mode, and where no supplied feature is denied,
//! every feature.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use tagwarden::diagnostic::SourceFile;
use tagwarden::policy::decide::{Name, Resolved};
use tagwarden::policy::resolve::{RoleId, Tables};
use tagwarden::policy::{Permission, Policy, load};

use crate::oracle::{Answer, Oracle};
use crate::random_policy::{PATTERNS, Query, World, query, world};

fn file(name: &str, text: &Value) -> Arc<SourceFile> {
    Arc::new(SourceFile { name: name.to_owned(), text: text.to_string() })
}

fn loaded(policy: &[Arc<SourceFile>], catalogue: &[Arc<SourceFile>]) -> Policy {
    let (loaded, report) = load(policy, catalogue);
    loaded.unwrap_or_else(|| panic!("{report}"))
}

fn read([policy, catalogue]: &[Value; 2]) -> Policy {
    let catalogue: &[Value] = if catalogue.is_null() { &[] } else { std::slice::from_ref(catalogue) };
    let catalogue: Vec<_> = catalogue.iter().map(|document| file("catalogue.yaml", document)).collect();
    loaded(&[file("policy.yaml", policy)], &catalogue)
}

fn tables(policy: &Policy, roles: &[String]) -> Tables {
    let roles: Vec<RoleId> = roles.iter().map(|role| policy.role_id(role).unwrap()).collect();
    policy.tables(&roles)
}

/// What the library makes of a query, in the oracle's form.
fn answer(policy: &Policy, tables: &Tables, supplied: &[String], outputs: &[String]) -> Answer {
    let given: Vec<Name<'_>> = supplied.iter().map(|name| Name::of(policy, name)).collect();
    let asked: Vec<Name<'_>> = outputs.iter().map(|name| Name::of(policy, name)).collect();
    let resolved = Resolved::new(policy, tables, &given);
    let decision = resolved.decide(&asked);
    let refused_supplied: BTreeSet<String> = decision.refused_supplied.iter().map(|at| supplied[*at].clone()).collect();
    let mut refused = refused_supplied.clone();
    for (output, verdict) in outputs.iter().zip(&decision.outputs) {
        refused.extend(Some(output.clone()).filter(|_| !verdict.permission.returnable()));
    }
    let known: Vec<String> = policy.catalogue.features().iter().map(|feature| feature.name.to_string()).collect();
    let (mut permissions, mut by_path, mut rules) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for name in known.iter().chain(outputs) {
        let of = Name::of(policy, name);
        let verdict = resolved.verdict(&of, false);
        permissions.insert(name.clone(), verdict.permission.name());
        by_path.insert(name.clone(), resolved.verdict(&of, true).permission.name());
        if matches!(of, Name::Known(_)) {
            rules.insert(name.clone(), BTreeSet::from([verdict.rule]));
        }
    }
    let refused = refused.into_iter().collect();
    Answer { permissions, by_path, rules, permitted: decision.permitted, refused, refused_supplied }
}

/// The same, of documents.
fn ask(documents: &[Value; 2], roles: &[String], supplied: &[String], outputs: &[String]) -> Answer {
    let policy = read(documents);
    answer(&policy, &tables(&policy, roles), supplied, outputs)
}

/// Outputs that are answered in filter mode: none where a supplied feature is denied.
fn returned(answer: &Answer, outputs: &[String]) -> BTreeSet<String> {
    let open = |output: &&String| answer.refused_supplied.is_empty() && !answer.refused.contains(output);
    outputs.iter().filter(open).cloned().collect()
}

/// `less` permits no more than `more` does. Where a supplied feature is denied nothing is returned, and what is shown
/// is over other roles (Resolution 5), so single features are compared only where none is.
fn no_more(less: &Answer, more: &Answer, outputs: &[String]) -> Result<(), TestCaseError> {
    prop_assert!(more.permitted || !less.permitted, "the query is permitted");
    let (less_out, more_out) = (returned(less, outputs), returned(more, outputs));
    prop_assert!(less_out.is_subset(&more_out), "returned {less_out:?}, and {more_out:?}");
    if less.refused_supplied.is_empty() {
        for (what, less, more) in
            [("row", &less.permissions, &more.permissions), ("path", &less.by_path, &more.by_path)]
        {
            for (name, permission) in less {
                let more = Permission::parse(more[name]);
                prop_assert!(Permission::parse(permission) <= more, "{what} {name}: {permission}, and {more:?}");
            }
        }
    }
    Ok(())
}

/// Runs a property; failures are printed, not written to a file.
fn check<S: Strategy>(cases: u32, strategy: S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) -> u32 {
    let given = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    let config =
        ProptestConfig { cases: given.unwrap_or(cases), failure_persistence: None, ..ProptestConfig::default() };
    let cases = config.cases;
    if let Err(error) = TestRunner::new(config).run(&strategy, test) {
        panic!("{error}");
    }
    cases
}

#[test]
fn the_oracle_agrees_with_the_vectors() {
    let handmade = include_str!("../fixtures/vectors/handmade.jsonl");
    let generated = include_str!("../fixtures/vectors/generated.jsonl");
    for line in handmade.lines().chain(generated.lines()) {
        let case: Value = serde_json::from_str(line).unwrap();
        let list = |key: &str| -> Vec<String> { serde_json::from_value(case[key].clone()).unwrap() };
        let answer =
            Oracle::new(&case["policy"], &Value::Null).answer(&list("roles"), &list("supplied"), &list("outputs"));
        let found =
            json!({"permissions": answer.permissions, "permitted": answer.permitted, "refused": answer.refused});
        assert_eq!(found, case["expect"], "{}", case["name"]);
    }
}

/// Constellations that chance seldom finds, of a given key `k` and a given value `x` that is derived from cleared `c`.
#[test]
fn the_library_agrees_with_the_oracle_where_keys_and_values_meet() {
    let tags = ["a", "c", "d", "i", "none"];
    let map = json!({"a": "Allow", "c": "AllowDownstream", "d": "Deny", "i": "AllowInternal"});
    let given: [&[&str]; 6] = [&[], &["k"], &["u.x"], &["k", "u.x"], &["k", "u.f"], &["u.c", "k"]];
    for n in 0..125 {
        let [on_f, on_x, on_k] = [tags[n % 5], tags[n / 5 % 5], tags[n / 25]];
        for (default, declassification, internal) in
            [("Allow", "strict", "flows"), ("AllowInternal", "boundary", "stays"), ("Deny", "strict", "stays")]
        {
            let role = json!({"default": default, "tags": map});
            let features = json!({
                "u.c": {"tags": ["c"]},
                "k": {"key": true, "tags": [on_k]},
                "u.x": {"inputs": ["u.c"], "tags": [on_x]},
                "u.f": {"inputs": ["u.x", "k"], "tags": [on_f]},
                "u.g": {"inputs": ["u.f", "u.c"], "tags": [on_f]},
                "v:h": {"inputs": ["u.f"], "tags": [on_x]},
                "u.j": {"inputs": ["u.f"], "joins": ["k"]},
            });
            let policy = json!({"version": 1, "roles": {"r": role}, "features": features,
                "declassification": declassification, "internal": internal});
            let documents = [policy, Value::Null];
            for supplied in given {
                let supplied: Vec<String> = supplied.iter().map(|name| (*name).to_owned()).collect();
                let roles = ["r".to_owned()];
                let wanted = Oracle::new(&documents[0], &Value::Null).answer(&roles, &supplied, &[]);
                assert_eq!(ask(&documents, &roles, &supplied, &[]), wanted, "{supplied:?} with {}", documents[0]);
            }
        }
    }
}

/// One query, where the tables are new.
pub fn agrees(world: &World, query: &Query) {
    let (documents, roles) = (world.documents(), world.roles());
    let (supplied, outputs) = (query.supplied(world), query.outputs(world));
    let wanted = Oracle::new(&documents[0], &documents[1]).answer(&roles, &supplied, &outputs);
    let mut found = ask(&documents, &roles, &supplied, &outputs);
    for (name, rule) in &mut found.rules {
        assert!(rule.is_subset(&wanted.rules[name]), "{name}: {rule:?}, not {:?}", wanted.rules[name]);
        rule.clone_from(&wanted.rules[name]);
    }
    assert_eq!(found, wanted, "supplied {supplied:?}, {documents:?}");
}

/// Also: tables that were built once answer query after query.
#[test]
fn the_library_agrees_with_the_oracle() {
    let seen = RefCell::new(BTreeMap::<u8, usize>::new());
    let cases = check(2500, (world(), vec(query(), 1..4)), |(world, queries)| {
        let documents = world.documents();
        let oracle = Oracle::new(&documents[0], &documents[1]);
        let policy = read(&documents);
        let roles = world.roles();
        let tables = tables(&policy, &roles);
        for query in queries {
            let (supplied, outputs) = (query.supplied(&world), query.outputs(&world));
            let wanted = oracle.answer(&roles, &supplied, &outputs);
            let mut found = answer(&policy, &tables, &supplied, &outputs);
            for (name, rule) in &mut found.rules {
                *seen.borrow_mut().entry(*rule.first().unwrap()).or_default() += 1;
                // Where several roles give the permission, any one's rule is named.
                prop_assert!(rule.is_subset(&wanted.rules[name]), "{name}: {rule:?}, not {:?}", wanted.rules[name]);
                rule.clone_from(&wanted.rules[name]);
            }
            let [policy, catalogue] = &documents;
            prop_assert_eq!(found, wanted, "supplied {:?}, policy {}, catalogue {}", supplied, policy, catalogue);
        }
        Ok(())
    });
    let seen = seen.into_inner();
    assert!(cases < 500 || (1..=7).all(|rule| seen.get(&rule) > Some(&200)), "too few of a rule: {seen:?}");
}

/// A new tag, mapped to one permission by some roles and by no other, on some features, in one document or by pattern.
fn with_tag(world: &World, permission: &str, on: &[(usize, usize)], by: usize) -> [Value; 2] {
    let mut documents = world.documents();
    for (at, role) in world.roles().into_iter().enumerate() {
        if by & (1 << at) > 0 {
            documents[0]["roles"][role]["tags"]["added"] = permission.into();
        }
    }
    for (how, at) in on {
        let name = world.name(*at);
        let (layer, name) = match how {
            0 => (0, PATTERNS[at % PATTERNS.len()].to_owned()),
            2 if !documents[1]["features"][&name].is_null() => (1, name),
            _ => (0, name),
        };
        let tags = &mut documents[layer]["features"][name]["tags"];
        *tags = tags.as_array().cloned().unwrap_or_default().into_iter().chain([json!("added")]).collect();
    }
    documents
}

fn added() -> impl Strategy<Value = (World, Query, Vec<(usize, usize)>, usize)> {
    (world(), query(), vec((0..3usize, 0..64usize), 1..3), 1..8usize)
}

/// For a tag that each role of the caller maps to Deny or not at all.
#[test]
fn adding_a_tag_that_maps_to_deny_never_permits_more() {
    check(300, added(), |(world, query, on, by)| {
        let (roles, supplied, outputs) = (world.roles(), query.supplied(&world), query.outputs(&world));
        let before = ask(&world.documents(), &roles, &supplied, &outputs);
        let after = ask(&with_tag(&world, "Deny", &on, by), &roles, &supplied, &outputs);
        no_more(&after, &before, &outputs)
    });
}

/// For a tag that each role of the caller maps to AllowDownstream or not at all.
#[test]
fn adding_a_tag_that_maps_to_allow_downstream_never_permits_less() {
    check(300, added(), |(world, query, on, by)| {
        let (roles, supplied, outputs) = (world.roles(), query.supplied(&world), query.outputs(&world));
        let before = ask(&world.documents(), &roles, &supplied, &outputs);
        let after = ask(&with_tag(&world, "AllowDownstream", &on, by), &roles, &supplied, &outputs);
        no_more(&before, &after, &outputs)
    });
}

#[test]
fn where_only_keys_are_supplied_adding_a_join_never_permits_more() {
    check(300, (world(), query(), 0..64usize, 0..64usize), |(world, query, reader, join)| {
        let reader = reader % world.features.len();
        if reader == 0 {
            return Ok(());
        }
        let (roles, outputs) = (world.roles(), query.outputs(&world));
        let mut supplied = query.supplied(&world);
        supplied.retain(|name| world.keys().contains(name));
        let mut documents = world.documents();
        let before = ask(&documents, &roles, &supplied, &outputs);
        let joins = &mut documents[0]["features"][world.name(reader)]["joins"];
        let join = json!(world.name(join % reader));
        *joins = joins.as_array().cloned().unwrap_or_default().into_iter().chain([join]).collect();
        let after = ask(&documents, &roles, &supplied, &outputs);
        prop_assert_eq!(&after.refused_supplied, &before.refused_supplied);
        no_more(&after, &before, &outputs)
    });
}

#[test]
fn boundary_permits_all_that_strict_does() {
    check(300, (world(), query()), |(world, query)| {
        let (roles, supplied, outputs) = (world.roles(), query.supplied(&world), query.outputs(&world));
        let [strict, boundary] = ["strict", "boundary"].map(|word| {
            let mut documents = world.documents();
            documents[0]["declassification"] = word.into();
            ask(&documents, &roles, &supplied, &outputs)
        });
        prop_assert_eq!(&strict.refused_supplied, &boundary.refused_supplied);
        no_more(&strict, &boundary, &outputs)
    });
}

/// Nothing that no role alone does: output by output. (A query of two outputs may need two roles.)
#[test]
fn most_permissive_lies_between_most_restrictive_and_what_some_role_alone_does() {
    check(300, (world(), query()), |(world, query)| {
        let (roles, supplied, outputs) = (world.roles(), query.supplied(&world), query.outputs(&world));
        let [restrictive, permissive] = ["most_restrictive", "most_permissive"].map(|word| {
            let mut documents = world.documents();
            documents[0]["combine"] = word.into();
            ask(&documents, &roles, &supplied, &outputs)
        });
        no_more(&restrictive, &permissive, &outputs)?;
        let alone: Vec<Answer> =
            roles.iter().map(|role| ask(&world.documents(), std::slice::from_ref(role), &supplied, &outputs)).collect();
        for output in returned(&permissive, &outputs) {
            let by_one = alone.iter().any(|one| returned(one, &outputs).contains(&output));
            prop_assert!(by_one, "{output} is returned by no role alone");
        }
        for (name, permission) in &permissive.permissions {
            prop_assert!(
                alone.iter().any(|one| one.permissions[name] == *permission),
                "{name} is {permission} by no role alone"
            );
        }
        for one in &alone {
            no_more(one, &permissive, &outputs)?;
        }
        Ok(())
    });
}

/// Cuts a document into entries, a feature into two, and deals them to files in another order.
fn shuffled(name: &str, document: &Value, order: &[u32], files: usize) -> Vec<Arc<SourceFile>> {
    let mut entries: Vec<(&str, &str, Value)> = Vec::new();
    for (section, value) in document.as_object().into_iter().flatten().filter(|(section, _)| *section != "version") {
        let Some(map) = value.as_object() else {
            entries.push((section, "", value.clone()));
            continue;
        };
        for (name, value) in map {
            let mut rest = value.clone();
            if section == "features" && !name.contains('*') {
                let mut part = json!({});
                for (field, list) in rest.as_object_mut().unwrap() {
                    if let Some(list) = list.as_array_mut() {
                        list.reverse();
                        part[field] = list.split_off(list.len() / 2).into();
                    }
                }
                entries.push((section, name, part));
            }
            entries.push((section, name, rest));
        }
    }
    let keys = order.iter().cycle().zip(0..).map(|(key, round): (&u32, u32)| key.wrapping_mul(2 * round + 1));
    let mut keyed: Vec<(u32, _)> = keys.zip(entries).collect();
    keyed.sort_by_key(|(key, _)| *key);
    let mut dealt: Vec<BTreeMap<&str, Vec<(&str, Value)>>> = vec![BTreeMap::new(); files];
    for (key, (section, name, value)) in keyed {
        let free = |at: &usize| dealt[*at].get(section).is_none_or(|list| list.iter().all(|(other, _)| *other != name));
        let first = key as usize % files;
        let at = (first..files).chain(0..first).find(free).unwrap();
        dealt[at].entry(section).or_default().push((name, value));
    }
    let mut texts: Vec<Arc<SourceFile>> = Vec::new();
    for (at, sections) in dealt.into_iter().enumerate() {
        let mut text = String::new();
        for (section, entries) in sections.into_iter().rev() {
            let inside: Vec<String> = entries.iter().map(|(name, value)| format!("{}: {value}", json!(name))).collect();
            match entries.as_slice() {
                [("", value)] => text += &format!("{section}: {value}\n"),
                _ => text += &format!("{section}: {{{}}}\n", inside.join(", ")),
            }
        }
        texts.push(Arc::new(SourceFile { name: format!("{name}{at}.yaml"), text: text + "version: 1\n" }));
    }
    texts
}

#[test]
fn the_order_of_files_tags_roles_and_outputs_changes_nothing() {
    check(300, (world(), query(), vec(any::<u32>(), 64), 2..6usize), |(world, query, order, files)| {
        let documents = world.documents();
        let (mut roles, mut supplied, mut outputs) = (world.roles(), query.supplied(&world), query.outputs(&world));
        let whole = ask(&documents, &roles, &supplied, &outputs);
        let imported = if documents[1].is_null() { vec![] } else { shuffled("c", &documents[1], &order, files) };
        let policy = loaded(&shuffled("p", &documents[0], &order, files), &imported);
        for list in [&mut roles, &mut supplied, &mut outputs] {
            list.reverse();
            let by = order[0] as usize % list.len().max(1);
            list.rotate_left(by);
        }
        let mut cut = answer(&policy, &tables(&policy, &roles), &supplied, &outputs);
        for (name, rule) in &mut cut.rules {
            // Of several roles that give the permission any one's rule is named.
            *rule = if policy.groups(&[0, 1]).len() > 1 { whole.rules[name].clone() } else { rule.clone() };
        }
        prop_assert_eq!(cut, whole);
        Ok(())
    });
}

/// What can be read from each output without passing through S, by the lineage of the documents alone.
#[test]
fn no_barred_feature_reaches_a_returnable_output_except_through_s() {
    check(400, (world(), query()), |(mut world, query)| {
        world.with_catalogue = false;
        let supplied = query.supplied(&world);
        for role in world.roles() {
            let [policy, _] = world.documents();
            let found = ask(&[policy.clone(), Value::Null], std::slice::from_ref(&role), &supplied, &[]);
            let texts = |name: &str, list: &str| -> Vec<String> {
                serde_json::from_value(policy["features"][name][list].clone()).unwrap_or_default()
            };
            let allow: Option<Vec<String>> =
                serde_json::from_value(policy["roles"][&role]["datasources"]["allow"].clone()).unwrap();
            let reaches = |source: &String| -> bool {
                let tags: Vec<String> = serde_json::from_value(policy["datasources"][source]["tags"].clone()).unwrap();
                allow.as_ref().is_none_or(|allow| tags.iter().any(|tag| allow.contains(tag)))
            };
            let keys: BTreeSet<String> = world.keys().into_iter().filter(|key| supplied.contains(key)).collect();
            let given = if policy["supplies"] == "keys" { keys.clone() } else { supplied.iter().cloned().collect() };
            for (name, permission) in &found.permissions {
                if given.contains(name) || !Permission::parse(permission).unwrap().returnable() {
                    continue;
                }
                let mut open = vec![(name.clone(), true)];
                while let Some((at, on_row)) = open.pop() {
                    let unreached: Vec<String> = texts(&at, "sources").into_iter().filter(|s| !reaches(s)).collect();
                    prop_assert!(unreached.is_empty(), "{name} is {permission}, and reads {unreached:?} through {at}");
                    let (inputs, joins) = (texts(&at, "inputs"), texts(&at, "joins"));
                    let home = |name: &str| name.rfind(['.', ':']).map(|end| name[..end].to_owned());
                    for next in inputs.iter().chain(&joins) {
                        let on_row = on_row && joins.is_empty() && home(next) == home(&at);
                        if !(if on_row { &given } else { &keys }).contains(next) {
                            open.push((next.clone(), on_row));
                        }
                    }
                }
            }
        }
        Ok(())
    });
}

/// The properties say something only where queries are of every kind.
#[test]
fn the_random_policies_are_of_every_kind() {
    let kinds = RefCell::new(BTreeMap::<&str, usize>::new());
    let cases = check(200, (world(), query()), |(world, query)| {
        let documents = world.documents();
        let outputs = query.outputs(&world);
        let answer = ask(&documents, &world.roles(), &query.supplied(&world), &outputs);
        for (kind, holds) in [
            ("a catalogue", !documents[1].is_null()),
            ("permitted", answer.permitted && !outputs.is_empty()),
            ("an output refused", answer.refused.len() > answer.refused_supplied.len()),
            ("a supplied value refused", !answer.refused_supplied.is_empty()),
            ("a path differs", answer.permissions != answer.by_path),
        ] {
            *kinds.borrow_mut().entry(kind).or_default() += usize::from(holds);
        }
        Ok(())
    });
    let kinds = kinds.into_inner();
    assert!(cases < 100 || kinds.values().all(|n| *n * 30 > cases as usize), "too few of a kind: {kinds:?}");
}
