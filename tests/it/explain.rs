//! `explain`: what it writes, and that what it suggests is true.

mod random;

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::Value;
use tagwarden::diagnostic::{Report, SourceFile};
use tagwarden::policy::explain::{self, Explanation, Files, Query, graph, text};
use tagwarden::policy::file::{self, LayerKind};
use tagwarden::policy::{self, Permission};

use crate::support::repository;

/// Explains a query over a policy and a catalogue, either of which may be empty text.
fn explain(rules: &str, catalogue: &str, query: &Query) -> Explanation {
    let mut report = Report::default();
    let source = |name: &str, text: &str| Arc::new(SourceFile { name: name.into(), text: text.into() });
    let imported: Vec<_> =
        Some(catalogue).filter(|text| !text.is_empty()).map(|t| source("catalogue.yaml", t)).into_iter().collect();
    let rules = file::read(LayerKind::Policy, &[source("policy.yaml", rules)], &mut report);
    let imported = file::read(LayerKind::Catalogue, &imported, &mut report);
    let policy = policy::assemble(&rules, &imported, &mut report);
    let policy = policy.unwrap_or_else(|| panic!("{report}"));
    explain::explain(&policy, &Files { rules: &rules, imported: &imported }, query)
}

fn query(roles: &[&str], supplied: &[&str], outputs: &[&str]) -> Query {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Query { roles: owned(roles), supplied: owned(supplied), outputs: owned(outputs) }
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/explain")
}

/// Compares with a file of the golden folder; TAGWARDEN_BLESS=1 writes it anew.
fn golden(name: &str, text: &str) {
    let path = folder().join(name);
    if std::env::var_os("TAGWARDEN_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == expected, "{name} is not what it was; it is now:\n{text}");
}

fn canonical(query: &Query) -> Explanation {
    let read = |name: &str| std::fs::read_to_string(folder().join(name)).unwrap();
    explain(&read("policy.yaml"), &read("catalogue.yaml"), query)
}

#[test]
fn a_refused_feature_in_every_format() {
    let limit = canonical(&query(&["fraud-model"], &["user.id"], &["user.limit"]));
    golden("limit.txt", &text::write(&limit));
    golden("limit.json", &(serde_json::to_string_pretty(&limit).unwrap() + "\n"));
    golden("limit.mmd", &graph::mermaid(&limit));
    golden("limit.dot", &graph::dot(&limit));
}

#[test]
fn each_rule_as_text() {
    let app = &["fraud-model"][..];
    let cases = [
        ("cleared.txt", query(app, &["user.id"], &["user.spend_level"])),
        ("flows.txt", query(app, &[], &["transaction.amount_copy"])),
        ("barred.txt", query(app, &[], &["user.wealth"])),
        ("denied.txt", query(app, &[], &["user.risk"])),
        ("supplied.txt", query(app, &["user.risk", "user.income"], &["user.limit", "transaction.hour"])),
        ("two-roles.txt", query(&["fraud-model", "support"], &["user.id"], &["user.average_amount"])),
        ("denied-supplied.txt", query(app, &["device.fingerprint"], &["transaction.hour"])),
    ];
    for (name, query) in cases {
        golden(name, &text::write(&canonical(&query)));
    }
}

#[test]
fn what_is_shared_is_shown_once() {
    let shown = text::write(&canonical(&query(&["fraud-model"], &[], &["user.limit", "user.spend_level"])));
    let lines = |needle: &str| shown.lines().filter(|line| line.contains(needle)).count();
    assert_eq!(lines("user.average_amount  AllowDownstream  [cleared"), 1, "{shown}");
    assert_eq!(lines("user.average_amount  AllowDownstream  (above)"), 2, "{shown}");
    assert_eq!(lines("transaction.amount  AllowInternal"), 1, "{shown}");
    assert_eq!(lines("user.spend_level  AllowDownstream  (above)"), 2, "{shown}");
}

#[test]
fn with_most_permissive_the_role_whose_answer_holds_is_explained() {
    let rules = "version: 1
combine: most_permissive
roles:
  narrow: {default: Deny, tags: {open: Allow}}
  wide: {tags: {hr: Deny}}
features:
  user.id: {key: true, tags: [hr]}
  user.score: {}
  user.open: {tags: [open]}
";
    let both = explain(rules, "", &query(&["wide", "narrow"], &[], &["user.score", "user.open"]));
    let decided: Vec<(&str, &[String])> = both.nodes.iter().map(|node| (&*node.feature, &*node.roles)).collect();
    assert_eq!(decided[0], ("user.score", &["wide".to_owned()][..]));
    assert_eq!(both.dropped, Vec::<String>::new());
    let dropped = explain(rules, "", &query(&["wide", "narrow"], &["user.id"], &["user.score", "user.open"]));
    assert_eq!(dropped.dropped, ["wide"]);
    assert_eq!(dropped.refused, ["user.score"]);
    assert_eq!(dropped.nodes[0].why, "Deny by the default of narrow (policy.yaml:4)");
    assert!(text::write(&dropped).contains("role wide may not use what is supplied, and drops out"));
}

#[test]
fn a_clearing_tag_of_the_catalogue_alone_is_told_not_to_count() {
    let rules = "version: 1\nroles: {app: {default: Deny, tags: {open: Allow}}}\n";
    let imported = "version: 1\nfeatures:\n  user.score: {tags: [open]}\n";
    let explained = explain(rules, imported, &query(&["app"], &[], &["user.score"]));
    assert_eq!(
        explained.nodes[0].why,
        "Deny by the default of app (policy.yaml:2); tag open is the catalogue's alone and lifts nothing"
    );
    let steps: Vec<&str> = explained.suggestions[0].steps.iter().map(|step| &*step.text).collect();
    assert_eq!(steps, ["tag feature `user.score` with `open` (imported at catalogue.yaml:3)"]);
    assert_eq!(explained.suggestions.len(), 1);
}

#[test]
fn what_opens_least_is_suggested_first() {
    let rules = "version: 1
roles: {app: {tags: {pii: AllowInternal}}}
features:
  user.email: {tags: [pii]}
  user.phone: {tags: [pii]}
  user.name: {tags: [pii]}
";
    let explained = explain(rules, "", &query(&["app"], &[], &["user.email"]));
    let told: Vec<(&str, usize)> = explained.suggestions.iter().map(|s| (&*s.steps[0].text, s.opens.len())).collect();
    assert_eq!(
        told,
        [
            ("take tag `pii` off feature `user.email` (policy.yaml:4)", 0),
            ("map tag `pii` to Allow in place of AllowInternal in role `app` (policy.yaml:2)", 2)
        ]
    );
    assert!(text::write(&explained).contains("also opens 2 others: user.name, user.phone"));
}

#[test]
fn three_changes_are_found_where_two_do_not_do() {
    let rules = "version: 1
roles: {app: {tags: {a: Deny, b: Deny, c: Deny}}}
features:
  user.a: {tags: [a]}
  user.b: {tags: [b]}
  user.c: {tags: [c]}
  user.all: {inputs: [user.a, user.b, user.c]}
";
    let explained = explain(rules, "", &query(&["app"], &[], &["user.all"]));
    assert!(
        !explained.suggestions.is_empty() && explained.suggestions.iter().all(|s| s.steps.len() == 3),
        "{explained:?}"
    );
}

#[test]
fn a_lineage_of_200_features_stays_readable() {
    // 150 raw features alike, 40 aggregates over them, a chain of 10 above.
    let mut features = String::new();
    for n in 0..150 {
        features.push_str(&format!("  raw.f{n}: {{tags: [pii]}}\n"));
    }
    for n in 0..40 {
        let inputs: Vec<String> = (0..12).map(|k| format!("raw.f{}", (n * 11 + k * 7) % 150)).collect();
        features.push_str(&format!("  mid.f{n}: {{tags: [cleared], inputs: [{}]}}\n", inputs.join(", ")));
    }
    let all: Vec<String> = (0..40).map(|n| format!("mid.f{n}")).collect();
    features.push_str(&format!("  top.f0: {{inputs: [{}, raw.f3]}}\n", all.join(", ")));
    for n in 1..10 {
        features.push_str(&format!("  top.f{n}: {{inputs: [top.f{}]}}\n", n - 1));
    }
    let rules = |pii: &str| {
        format!("version: 1\nroles: {{app: {{tags: {{pii: {pii}, cleared: AllowDownstream}}}}}}\nfeatures:\n{features}")
    };
    let explained = explain(&rules("AllowInternal"), "", &query(&["app"], &[], &["top.f9"]));
    assert_eq!(explained.nodes.len(), 200);
    let shown = text::write(&explained);
    let widest = shown.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(shown.lines().count() < 500 && widest < 200, "{} lines, {widest} wide", shown.lines().count());
    assert!(shown.contains(" alike: raw.f"), "{shown}");
    // Every feature has its line (or shares one); of what is denied nothing is folded away.
    let denied = explain(&rules("Deny"), "", &query(&["app"], &[], &["top.f9"]));
    let shown = text::write(&denied);
    for node in &denied.nodes {
        assert!(shown.contains(&format!("{}  {}", node.feature, node.permission)), "{}", node.feature);
    }
    assert!(denied.nodes.iter().any(|node| node.permission == Permission::Deny));
    let told: Vec<&str> = denied.suggestions.iter().map(|suggestion| &*suggestion.steps[0].text).collect();
    assert_eq!(told[0], "supply `top.f8` in the query, where the feature server takes it");
    let map = "map tag `pii` to AllowInternal in place of Deny in role `app` (policy.yaml:2)";
    assert!(told.contains(&map), "{told:?}");
}

#[test]
fn a_deep_lineage_goes_on_at_the_margin() {
    let mut rules = String::from("version: 1\nroles: {app: null}\nfeatures:\n  x.f0: null\n");
    for n in 1..200 {
        rules.push_str(&format!("  x.f{n}: {{inputs: [x.f{}]}}\n", n - 1));
    }
    let shown = text::write(&explain(&rules, "", &query(&["app"], &[], &["x.f199"])));
    let widest = shown.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(widest < 120 && shown.lines().count() < 250, "{shown}");
    for n in 0..200 {
        assert_eq!(
            shown.lines().filter(|line| line.contains(&format!("x.f{n}  Allow  rule"))).count(),
            1,
            "x.f{n}\n{shown}"
        );
    }
}

#[test]
fn labels_do_not_break_out_of_a_graph() {
    let rules = "version: 1\nroles: {app: null}\nfeatures:\n  'user.\"]<b>\\#1': null\n";
    let explained = explain(rules, "", &query(&["app"], &[], &["user.\"]<b>\\#1"]));
    let mermaid = graph::mermaid(&explained);
    assert!(mermaid.contains("n0[\"user.#34;]#60;b#62;#92;#35;1<br/>Allow, rule 7"), "{mermaid}");
    let dot = graph::dot(&explained);
    assert!(dot.contains("label=\"user.\\\"]<b>\\\\#1\\nAllow, rule 7"), "{dot}");
}

#[test]
fn the_vectors_are_explained_as_they_are_decided() {
    for line in include_str!("../fixtures/vectors/handmade.jsonl").lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let list = |value: &Value| -> Vec<String> { serde_json::from_value(value.clone()).unwrap() };
        let (roles, supplied, outputs) = (list(&case["roles"]), list(&case["supplied"]), list(&case["outputs"]));
        let explained = explain(&case["policy"].to_string(), "", &Query { roles, supplied, outputs });
        assert_eq!(explained.permitted, case["expect"]["permitted"].as_bool().unwrap(), "{}", case["name"]);
        assert_eq!(explained.refused, list(&case["expect"]["refused"]), "{}", case["name"]);
        for output in &explained.outputs {
            let node = &explained.nodes[output.node];
            let expected = &case["expect"]["permissions"][&output.feature];
            assert_eq!((&node.feature, node.permission.name()), (&output.feature, expected.as_str().unwrap()));
        }
        // Where nothing but keys is supplied, every feature below is as the vector has it, too.
        for node in explained.nodes.iter().filter(|node| !node.elsewhere && node.place.is_some()) {
            let one_answer = case["policy"]["combine"] != "most_permissive";
            let expected = case["expect"]["permissions"][&node.feature].as_str().unwrap();
            assert!(!one_answer || node.permission.name() == expected, "{}: {}", case["name"], node.feature);
            let needs_below = matches!(node.rule, 4..=6) || (node.rule == 2 && node.sources.is_empty());
            assert!(!needs_below || !node.because.is_empty(), "{}: {}", case["name"], node.feature);
        }
    }
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let run = Command::new(env!("CARGO_BIN_EXE_tagwarden")).args(arguments).current_dir(folder()).output();
    let Output { status, stdout, stderr } = run.unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn the_command_answers_misuse_with_2_and_a_suggestion() {
    let files = ["--policies", "policy.yaml", "--catalogue", "catalogue.yaml"];
    let explain = |rest: &[&str]| run(&[&["explain"], &files[..], rest].concat());
    let cases: [(&[&str], &str); 5] = [
        (
            &["--role", "fraud-modle", "--output", "user.risk"],
            "role `fraud-modle` does not exist; did you mean `fraud-model`?\n",
        ),
        (
            &["user.rsk", "--role", "fraud-model"],
            "feature `user.rsk` of the query does not exist; did you mean `user.risk`?\n",
        ),
        (
            &["user.risk", "--role", "fraud-model", "--supplied", "user.ids"],
            "feature `user.ids` of --supplied does not exist; did you mean `user.id`?\n",
        ),
        (&["--role", "fraud-model"], "name what to explain: a feature, first of all, or --output\n"),
        (&["user.risk", "--claims", "missing.json"], "`missing.json` cannot be read: "),
    ];
    for (arguments, message) in cases {
        let (code, out, complaint) = explain(arguments);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(complaint.starts_with(message), "{complaint}");
    }
    let (code, _, complaint) = run(&["explain", "x", "--role", "a", "--policies", "catalogue.txt"]);
    assert_eq!(code, Some(3), "{complaint}");
}

#[test]
fn the_feature_may_follow_the_roles() {
    let arguments =
        ["explain", "--policies", "policy.yaml", "--catalogue", "catalogue.yaml", "--role", "fraud-model", "user.risk"];
    let (code, out, complaint) = run(&arguments);
    assert_eq!((code, complaint.as_str()), (Some(0), ""));
    let expected = text::write(&canonical(&query(&["fraud-model"], &[], &["user.risk"])));
    assert_eq!(out, expected);
}

#[test]
fn claims_are_explained_through_the_bindings() {
    let folder = std::env::temp_dir().join(format!("tagwarden-explain-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let claims = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let known = claims("known.json", r#"{"iss": "https://idp.example/", "client_id": "fraud-svc", "sub": "hidden"}"#);
    let files = ["--policies", "policy.yaml", "--catalogue", "catalogue.yaml", "--claims"];
    let bindings = "bindings:\n  policy.yaml:19 (fraud-model) matches: `iss` is \"https://idp.example/\"; \
                    `client_id` is \"fraud-svc\"\n  policy.yaml:21 (support) does not match: \
                    `/realm_access/roles` is missing (policy.yaml:22)\n";
    let (code, out, _) = run(&[&["explain", "user.risk"], &files[..], &[&known]].concat());
    assert_eq!(code, Some(0));
    assert!(out.starts_with(&format!("{bindings}for fraud-model: refused: user.risk\n")), "{out}");
    let (code, out, _) = run(&[&["explain"], &files[..], &[&known]].concat());
    assert_eq!((code, out), (Some(0), format!("{bindings}roles: fraud-model\n")));
    let (code, _, complaint) = run(&[&["explain"], &files[..], &[&known, "--format", "dot"]].concat());
    assert_eq!((code, complaint.starts_with("name what to explain: a feature")), (Some(2), true));
    let (code, out, _) = run(&[&["resolve"], &files[..], &[&known]].concat());
    assert_eq!(code, Some(0));
    assert!(out.starts_with(&format!("{bindings}\ndevice.fingerprint  ")), "{out}");
    let (_, out, _) = run(&[&["resolve"], &files[..], &[&known, "--format", "json"]].concat());
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["bindings"][0]["matched"], true);
    assert_eq!(json["bindings"][1]["claims"][1]["outcome"], "missing");

    let stranger = claims("stranger.json", r#"{"iss": "https://idp.example/", "client_id": "hidden"}"#);
    for command in ["explain", "resolve"] {
        let (code, out, complaint) = run(&[&[command], &files[..], &[&stranger, "--output", "user.risk"]].concat());
        assert_eq!((code, out.as_str()), (Some(2), ""));
        assert!(complaint.starts_with("no binding gives these claims a role\nbindings:\n"), "{complaint}");
        assert!(complaint.contains("`client_id` is not \"fraud-svc\" (policy.yaml:20)"), "{complaint}");
        assert!(!complaint.contains("hidden"));
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_blocklist_is_what_a_suggestion_goes_to_and_no_mapping_beside_it() {
    let example = |file: &str| repository(&format!("policies/pii-blocklist/{file}")).display().to_string();
    let (policy, catalogue) = (example("policy.yaml"), example("catalogue.yaml"));
    let asked = ["explain", "credit:score", "--role", "scoring-v1", "--policies", &policy, "--catalogue", &catalogue];
    let (code, out, said) = run(&asked);
    let suggested = "take tag `raw-bank` off `blocklists.compute` of role `scoring-v1` (";
    let line = out.lines().find(|line| line.contains(suggested)).unwrap_or_else(|| panic!("{out}{said}"));
    // It stays on the other list, which is what is wanted of it.
    assert!(code == Some(0) && line.ends_with("policy.yaml:17)"), "{line}");
}
