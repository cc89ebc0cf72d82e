//! `test` tells of each difference what of the files decides it: as a tree, in JSON, in JUnit's form.

use serde_json::{Value, json};

use crate::support::Folder;
use crate::support::process::run;

const POLICY: &str = "\
version: 1
roles:
  app: {tags: {pii: Deny, inner: AllowInternal, cleared: AllowDownstream}}
bindings:
  - roles: [app]
    when: {client_id: app-svc}
features:
  id: {key: true}
  raw.ssn: {tags: [pii], joins: [id]}
  mid.hash: {inputs: [raw.ssn, raw.age]}
  raw.age: {joins: [id]}
  top.risk: {tags: [cleared], inputs: [raw.age, mid.hash]}
  'raw.in*': {tags: [inner]}
  raw.income: {joins: [id]}
";

fn ask(policy: &str, tests: &str, format: &str) -> (i32, String, String) {
    let folder = Folder::new();
    let policy = folder.write("policy.yaml", policy);
    let tests = folder.write("tests.yaml", format!("version: 1\ntests:\n{tests}"));
    let (code, out, said) =
        run(["test", "--policies", policy.to_str().unwrap(), tests.to_str().unwrap(), "--format", format]);
    let name = |text: String| text.replace(folder.path("").to_str().unwrap(), "");
    (code, name(out), name(said))
}

#[test]
fn a_refusal_is_explained_down_to_the_tag_that_decided() {
    let tests =
        "  - {name: risk is served, roles: [app], supplied: [id], outputs: [top.risk], expect: {permitted: true}}\n";
    let (code, out, _) = ask(POLICY, tests, "tree");
    assert_eq!(code, 4);
    assert_eq!(
        out,
        "tests.yaml
  FAIL risk is served
       at tests.yaml:3:5
       permitted: expected true, is false
       `top.risk` is refused: Deny by rule 4
         top.risk  Deny  [cleared policy.yaml:12]  rule 4: denied below: mid.hash
         └─ mid.hash  Deny  rule 4: denied below: raw.ssn
            └─ raw.ssn  Deny  [pii policy.yaml:9]  rule 7: tag pii is Deny for app (policy.yaml:3)

0 passed, 1 failed
"
    );
}

const SEVERAL: &str = "
  - name: several
    caller: {client_id: app-svc}
    supplied: [id, raw.ssn]
    outputs: [raw.age, raw.income]
    expect: {refused: [raw.age], permissions: {raw.income: Allow, top.risk: Allow}}
  - {name: fine, roles: [app], outputs: [raw.age], expect: {permitted: true}}
  - {name: stranger, caller: {client_id: who}, outputs: [raw.age], expect: {permitted: true}}
  - {name: open, roles: [app], outputs: [raw.age, id], expect: {permitted: false}}
";

#[test]
fn each_difference_has_its_own_lines_and_no_feature_is_explained_twice() {
    let (code, out, _) = ask(POLICY, SEVERAL, "json");
    assert_eq!(code, 4);
    let all: Value = serde_json::from_str(&out).unwrap();
    let test = |at: usize| (all["tests"][at]["differences"].clone(), all["tests"][at]["explanation"].clone());
    let (differences, explanation) = test(0);
    assert_eq!(
        differences,
        json!([
            "`raw.age` is not refused: Allow by rule 7",
            "`raw.income` is refused and was not expected to be: AllowInternal by rule 7, tag `inner`",
            "`raw.ssn` is refused and was not expected to be: Deny by rule 1, tag `pii`",
            "`raw.income`: expected Allow, is AllowInternal by rule 7, tag `inner`",
            "`top.risk`: expected Allow, is Deny by rule 4",
        ])
    );
    assert_eq!(
        explanation,
        json!([
            ["raw.age  Allow  rule 7: Allow by the default of app (policy.yaml:3)"],
            [
                "raw.income  AllowInternal  [inner by raw.in* policy.yaml:13]  rule 7: tag inner is AllowInternal for app (policy.yaml:3)"
            ],
            ["supplied raw.ssn  Deny  refused; tag pii is Deny for app (policy.yaml:3)"],
            [],
            [
                "top.risk  Deny  [cleared policy.yaml:12]  rule 4: denied below: mid.hash",
                "└─ mid.hash  Deny  rule 4: denied below: raw.ssn  (off the row)",
                "   └─ raw.ssn  Deny  [pii policy.yaml:9]  rule 7: tag pii is Deny for app (policy.yaml:3)  (off the row)",
            ],
        ])
    );
    assert_eq!(test(1), (json!([]), json!([])));
    assert_eq!(
        test(2),
        (
            json!(["no binding gives this caller a role, so `permitted: false` is all there is"]),
            json!([[
                "bindings:",
                "  policy.yaml:5 (app) does not match: `client_id` is not \"app-svc\" (policy.yaml:6)"
            ]])
        )
    );
    assert_eq!(
        test(3),
        (
            json!(["permitted: expected false, is true"]),
            json!([[
                "raw.age  Allow  rule 7: Allow by the default of app (policy.yaml:3)",
                "id  Allow  rule 7: Allow by the default of app (policy.yaml:3)"
            ]])
        )
    );
}

#[test]
fn a_failure_of_junit_has_them_in_its_body() {
    let tests = "  - {name: risk, roles: [app], outputs: [top.risk], expect: {permissions: {top.risk: Allow}}}\n";
    let (code, out, _) = ask(POLICY, tests, "junit");
    assert_eq!(code, 4);
    let body = out.split_once("<failure message=\"not as expected\">").unwrap().1.split_once("</failure>").unwrap().0;
    assert_eq!(
        body,
        "`top.risk`: expected Allow, is Deny by rule 4\n  \
         top.risk  Deny  [cleared policy.yaml:12]  rule 4: denied below: mid.hash\n  \
         └─ mid.hash  Deny  rule 4: denied below: raw.ssn\n     \
         └─ raw.ssn  Deny  [pii policy.yaml:9]  rule 7: tag pii is Deny for app (policy.yaml:3)"
    );
}

#[test]
fn of_a_large_lineage_the_two_ends_of_the_shortest_way_are_shown() {
    let mut policy = POLICY.to_owned();
    // A long way to one denied feature, and beside each step something that decides nothing.
    policy.push_str("  f.f0: {inputs: [raw.ssn]}\n");
    for n in 1..200 {
        policy.push_str(&format!("  g.g{n}: null\n  f.f{n}: {{inputs: [g.g{n}, f.f{}]}}\n", n - 1));
    }
    let tests = "  - {name: deep, roles: [app], outputs: [f.f199], expect: {permitted: true}}\n";
    let (_, out, _) = ask(&policy, tests, "json");
    let all: Value = serde_json::from_str(&out).unwrap();
    let lines: Vec<&str> =
        all["tests"][0]["explanation"][1].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert_eq!(lines.len(), 11, "{lines:#?}");
    assert!(lines[0].starts_with("f.f199  Deny") && lines[4].trim_start().starts_with("└─ f.f195  Deny"), "{lines:#?}");
    assert_eq!(lines[5].trim_start(), "└─ … 191 features further down");
    assert!(lines[6].trim_start().starts_with("└─ f.f3  Deny"), "{lines:#?}");
    assert!(lines[10].trim_start().starts_with("└─ raw.ssn  Deny  [pii"), "{lines:#?}");
    // A shorter way to another denied feature is the one that is told.
    let shorter = policy.replace("  f.f190: {inputs: [g.g190, ", "  g.ssn: {tags: [pii]}\n  f.f190: {inputs: [g.ssn, ");
    let (_, out, _) = ask(&shorter, tests, "tree");
    assert!(
        out.contains("f.f190  Deny  rule 4: denied below: g.ssn, f.f189\n") && !out.contains("further down"),
        "{out}"
    );
    assert!(out.contains("└─ g.ssn  Deny  [pii"), "{out}");
}
