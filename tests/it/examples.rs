//! The worked examples under `policies/`: each loads without a warning, passes its own tests, leaves nothing untested, and
//! has a page that says how to try it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use tagwarden::diagnostic::SourceFile;
use tagwarden::policy;

use crate::support::process::run;
use crate::support::{Folder, repository};

/// The folders of the examples.
fn examples() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(repository("policies")).unwrap();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    folders.sort_unstable();
    folders
}

/// Where the policy is, and what lies below it: the whole folder where it has no catalogue.
fn files(example: &std::path::Path) -> Vec<String> {
    let at = |name: &str| example.join(name).display().to_string();
    if example.join("catalogue.yaml").exists() {
        vec!["--policies".into(), at("policy.yaml"), "--catalogue".into(), at("catalogue.yaml")]
    } else {
        vec!["--policies".into(), at("")]
    }
}

fn tagwarden(command: &str, example: &std::path::Path, more: &[&str]) -> (i32, String, String) {
    run([command.to_owned()].into_iter().chain(files(example)).chain(more.iter().map(|text| (*text).to_owned())))
}

/// What a role or several get, with these keys given.
fn permissions(example: &str, roles: &[&str], supplied: &[&str]) -> BTreeMap<String, String> {
    let more: Vec<&str> = ["--role"]
        .iter()
        .chain(roles)
        .chain(&["--supplied"])
        .chain(supplied)
        .chain(&["--format", "json"])
        .copied()
        .collect();
    let (code, text, errors) = tagwarden("resolve", &repository("policies").join(example), &more);
    assert_eq!((code, &*errors), (0, ""));
    let answer: Value = serde_json::from_str(&text).unwrap();
    serde_json::from_value(answer["permissions"].clone()).unwrap()
}

#[test]
fn there_are_the_five_and_the_demo() {
    let names: Vec<String> =
        examples().iter().map(|folder| folder.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    let six =
        ["data-sources", "declassified-aggregates", "demo", "pii-blocklist", "several-roles", "third-party-allowlist"];
    assert_eq!(names, six);
}

#[test]
fn each_loads_without_a_warning() {
    for example in examples() {
        let (code, text, errors) = tagwarden("check", &example, &["--deny-warnings"]);
        assert_eq!((code, &*text, &*errors), (0, "0 errors, 0 warnings\n", ""), "{}", example.display());
    }
}

#[test]
fn each_passes_its_tests_and_leaves_nothing_untested() {
    for example in examples() {
        let (code, text, errors) = tagwarden("test", &example, &["--coverage", "--format", "json"]);
        assert_eq!((code, &*errors), (0, ""), "{}", example.display());
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert!(answer["passed"].as_u64() >= Some(6), "{}: {text}", example.display());
        if example.file_name().unwrap() != "demo" {
            let none = serde_json::json!({"roles": [], "tags": [], "features": []});
            assert_eq!(answer["untouched"], none, "{}", example.display());
        }
    }
}

#[test]
fn each_has_a_page_that_says_how_to_try_it_and_what_goes_wrong() {
    for example in examples() {
        let page = std::fs::read_to_string(example.join("README.md")).unwrap();
        let mut wanted = vec!["tagwarden check ", "tagwarden test ", "tagwarden resolve "];
        if example.file_name().unwrap() != "demo" {
            wanted.extend(["tagwarden explain ", "## Try it\n", "## Make it yours\n", "## Traps\n"]);
            let lines = page.lines().count();
            assert!(lines <= 130, "{}: {lines} lines are no page", example.display());
        }
        for text in wanted {
            assert!(page.contains(text), "{}: no `{text}`", example.display());
        }
    }
}

#[test]
fn every_yaml_names_its_schema() {
    for example in examples() {
        let of = |folder: PathBuf, schema: &str| {
            let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            let mut files = 0;
            for path in entries.filter(|path| path.extension().is_some_and(|extension| extension == "yaml")) {
                let text = std::fs::read_to_string(&path).unwrap();
                assert_eq!(text.lines().next(), Some(schema), "{}", path.display());
                files += 1;
            }
            assert!(files > 0, "{}", example.display());
        };
        of(example.clone(), "# yaml-language-server: $schema=../../docs/schema/policy.json");
        of(example.join("tests"), "# yaml-language-server: $schema=../../../docs/schema/tests.json");
    }
}

#[test]
fn the_two_forms_of_a_blocklist_give_the_same() {
    for supplied in [&["applicant_id"][..], &["applicant_id", "requested_amount"]] {
        let older = permissions("pii-blocklist", &["scoring-v1"], supplied);
        assert_eq!(older, permissions("pii-blocklist", &["scoring"], supplied));
        assert_eq!(older["payroll:salary"], "AllowInternal");
        assert_eq!(older["bank:balance"], "Deny");
    }
}

#[test]
fn with_the_other_combine_the_same_roles_give_what_all_of_them_allow() {
    let roles = ["staff", "pricing", "support"];
    let keys = ["customer_id", "product_id"];
    let either = permissions("several-roles", &roles, &keys);
    for name in ["product:cost", "product:margin", "customer:name", "customer:orders"] {
        assert_eq!(either[name], "Allow", "{name}");
    }
    assert_eq!(either["offer:price"], "Deny");

    let folder = Folder::new();
    for name in ["settings", "roles", "bindings", "features"] {
        let name = format!("{name}.yaml");
        let text = std::fs::read_to_string(repository("policies/several-roles").join(&name)).unwrap();
        folder.write(&name, text.replace("combine: most_permissive", "combine: most_restrictive"));
    }
    let path = folder.path("").display().to_string();
    let flags = ["resolve", "--policies", &path, "--role"];
    let (code, text, _) = run(flags.iter().chain(&roles).chain(&["--format", "json"]));
    let all: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(code, 0);
    for name in ["product:cost", "product:margin", "customer:name", "customer:orders", "offer:price"] {
        assert_eq!(all["permissions"][name], "Deny", "{name}");
    }
    assert_eq!(all["permissions"]["product:title"], "Allow");
}

/// The words between back ticks.
fn ticked(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The callers of a column: each role that its head names, or those that it adds to `staff`.
fn callers<'t>(head: &'t str, all: &[String]) -> Vec<Vec<&'t str>> {
    if head == "with both" {
        return vec![vec!["staff", "pricing", "support"]];
    }
    let roles: Vec<&str> = ticked(head).into_iter().filter(|name| all.iter().any(|role| role == name)).collect();
    if head.starts_with("with ") {
        return vec![["staff"].into_iter().chain(roles).collect()];
    }
    roles.into_iter().map(|role| vec![role]).collect()
}

#[test]
fn the_table_of_each_page_says_what_its_policy_gives() {
    for example in examples() {
        let name = example.file_name().unwrap().to_str().unwrap();
        let (roles, keys) = roles_and_keys(&example);
        let page = std::fs::read_to_string(example.join("README.md")).unwrap();
        let mut compared = 0;
        let mut heads: Vec<&str> = Vec::new();
        for line in page.lines() {
            let Some(row) = line.strip_prefix('|').and_then(|line| line.strip_suffix('|')) else {
                heads.clear();
                continue;
            };
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            if heads.is_empty() {
                heads = cells;
                continue;
            }
            for (head, cell) in heads.iter().zip(&cells).skip(1) {
                let wanted: &[&str] = match cell.trim_matches('*') {
                    cell if cell.starts_with("returned") => &["Allow", "AllowDownstream"],
                    cell if cell.starts_with("used, not returned") => &["AllowInternal"],
                    cell if cell.starts_with("denied") => &["Deny"],
                    _ => continue,
                };
                for caller in callers(head, &roles) {
                    let given: Vec<&str> = keys.iter().map(String::as_str).collect();
                    let permissions = permissions(name, &caller, &given);
                    for feature in ticked(cells[0]) {
                        let Some(permission) = permissions.get(feature) else { continue };
                        assert!(
                            wanted.contains(&permission.as_str()),
                            "{name}: {feature} for {caller:?}: {permission}"
                        );
                        compared += 1;
                    }
                }
            }
        }
        assert!(compared >= 12, "{name}: {compared} permissions in its table");
    }
}

/// The roles of an example, and its keys.
fn roles_and_keys(example: &std::path::Path) -> (Vec<String>, Vec<String>) {
    let read = |name: &str| {
        let text = std::fs::read_to_string(example.join(name)).ok()?;
        Some(Arc::new(SourceFile { name: name.to_owned(), text }))
    };
    let rules = ["policy.yaml", "settings.yaml", "roles.yaml", "bindings.yaml", "features.yaml"];
    let rules: Vec<_> = rules.into_iter().filter_map(read).collect();
    let imported: Vec<_> = read("catalogue.yaml").into_iter().collect();
    let (policy, report) = policy::load(&rules, &imported);
    let policy = policy.unwrap_or_else(|| panic!("{report}"));
    let keys = policy.catalogue.features().iter().filter(|feature| feature.key).map(|feature| feature.name.to_string());
    (policy.role_names().map(str::to_owned).collect(), keys.collect())
}
