//! `diff` as a script and a pull request see it: exit codes, forms, revisions of git, recorded queries.

mod random;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::process::{command, run};
use crate::support::{Folder, repository};

const POLICY: &str = "\
version: 1
roles:
  analyst: {tags: {pii: Deny}}
  scoring: {tags: {pii: AllowInternal}}
bindings:
  - {roles: [analyst], when: {group: analysts}}
  - {roles: [scoring], when: {client_id: scoring-svc}}
features:
  customer:id: {key: true}
  customer:ssn: {tags: [pii], joins: [customer:id]}
  customer:age: {joins: [customer:id]}
  customer:risk: {inputs: [customer:ssn], joins: [customer:id]}
";

fn text(path: impl AsRef<Path>) -> String {
    path.as_ref().to_str().unwrap().to_owned()
}

/// Two files of a folder of their own.
fn files(old: &str, new: &str) -> (Folder, String, String) {
    let folder = Folder::new();
    let (old, new) = (text(folder.write("old.yaml", old)), text(folder.write("new.yaml", new)));
    (folder, old, new)
}

fn wider() -> String {
    POLICY.replace("pii: Deny", "pii: Allow")
}

#[test]
fn the_exit_code_says_whether_somebody_gains() {
    for (old, new, code) in [
        (POLICY, POLICY, 0),
        (POLICY, &wider(), 5),
        (&wider(), POLICY, 0),
        (POLICY, &POLICY.replace("pii: Deny", "pii: AllowInternal"), 5),
        (POLICY, &POLICY.replace("group: analysts", "group: [analysts, all]"), 5),
        // Who is of both loses the role that denies.
        (POLICY, &POLICY.replace("  - {roles: [analyst], when: {group: analysts}}\n", ""), 5),
        (POLICY, &POLICY.replace("  - {roles: [scoring], when: {client_id: scoring-svc}}\n", ""), 0),
        (POLICY, &format!("{POLICY}mode: filter\n"), 5),
        (POLICY, &POLICY.replace("version: 1\n", "version: 1\n# a remark\n"), 0),
        (POLICY, &POLICY.replace("pii: Deny", "pii: Dany"), 3),
        (&POLICY.replace("pii: Deny", "pii: Dany"), POLICY, 3),
    ] {
        let (_folder, old, new) = files(old, new);
        let (found, out, said) = run(["diff", &old, &new]);
        assert_eq!(found, code, "{out}{said}");
        assert_eq!(code == 3, !said.is_empty(), "{said}");
    }
    let (_folder, old, new) = files(POLICY, &POLICY.replace("pii: Deny", "pii: Dany"));
    let (_, out, said) = run(["diff", &old, &new]);
    assert!(out.is_empty() && said.starts_with("the new policy does not load:\n") && said.contains("`Dany`"), "{said}");
    let (_, _, said) = run(["diff", &new, &old]);
    assert!(said.starts_with("the old policy does not load:\n"), "{said}");
    let (code, _, said) = run(["diff", &old, "/nowhere/at/all.yaml"]);
    assert!(code == 3 && said.contains("does not exist"), "{said}");
    for misuse in [vec!["diff"], vec!["diff", &old], vec!["diff", &old, &new, "--format", "xml"]] {
        let (code, out, _) = run(&misuse);
        assert_eq!((code, out.as_str()), (2, ""), "{misuse:?}");
    }
}

#[test]
fn text_has_the_numbers_first_and_groups_by_cause() {
    let (_folder, old, new) = files(POLICY, &wider());
    let (_, out, _) = run(["diff", &old, &new]);
    let expected = format!(
        "1 role gains and 0 lose; 2 features may newly be returned; 5 pairs of role and feature are returned as before\n\
         \n\
         gained:\n  \
         {new}:3: role `analyst` maps tag `pii` to Allow (was Deny)\n    \
         customer:ssn   Deny -> Allow                   analyst\n    \
         customer:risk  Deny -> Allow                   analyst, through customer:ssn, rule 4 -> 7\n"
    );
    assert_eq!(out, expected);
}

#[test]
fn every_member_of_the_json_form_is_documented() {
    let page = std::fs::read_to_string(repository("docs/diff.md")).unwrap();
    let table = page.split_once("\n## JSON\n").unwrap().1;
    let (_folder, old, new) = files(POLICY, &wider().replace("scoring-svc", "other-svc"));
    let (_, out, _) = run(["diff", &old, &new, "--format", "json"]);
    let found: Value = serde_json::from_str(&out).unwrap();
    let all = found.as_object().unwrap().iter();
    let inner = ["summary", "bindings", "gained"].into_iter().flat_map(|name| {
        let member = &found[name];
        member.get(0).unwrap_or(member).as_object().unwrap().keys()
    });
    for name in all.map(|(name, _)| name).chain(inner) {
        assert!(table.contains(&format!("`{name}`")), "{name} is not described");
    }
}

#[test]
fn long_lists_are_cut_unless_all_is_asked_for() {
    let many: String = (0..50).map(|n| format!("  f{n:02}: {{tags: [pii]}}\n")).collect();
    let (_folder, old, new) = files(&format!("{POLICY}{many}"), &format!("{}{many}", wider()));
    let (_, out, _) = run(["diff", &old, &new]);
    assert!(out.contains("    and 32 more (52 features, 1 caller in all)\n"), "{out}");
    assert_eq!(out.lines().filter(|line| line.contains(" -> ")).count(), 20);
    let (_, out, _) = run(["diff", &old, &new, "--all"]);
    assert_eq!(out.lines().filter(|line| line.starts_with("    ")).count(), 52);
    let (_, out, _) = run(["diff", &old, &new, "--format", "markdown"]);
    assert!(
        out.contains("<details><summary>52 features, 1 callers</summary>") && out.contains("\nand 32 more\n"),
        "{out}"
    );
    let (_, out, _) = run(["diff", &old, &new, "--format", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["gained"].as_array().unwrap().len(), 52);
}

#[test]
fn json_has_the_shape_that_is_documented() {
    let new = wider().replace("scoring-svc", "other-svc") + "mode: filter\n";
    let (_folder, old, new) = files(POLICY, &new);
    let (code, out, _) = run(["diff", &old, &new, "--format", "json"]);
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &found["summary"]["gains"]), (5, &json!(true)));
    let names: Vec<&String> = found.as_object().unwrap().keys().collect();
    let wanted = [
        "bindings",
        "features_added",
        "features_removed",
        "gained",
        "lost",
        "roles_added",
        "roles_removed",
        "sets_gained",
        "sets_lost",
        "settings",
        "summary",
    ];
    assert_eq!(names, wanted);
    let cause = json!({"file": new, "line": 3, "text": "role `analyst` maps tag `pii` to Allow (was Deny)"});
    assert_eq!(
        found["gained"],
        json!([
            {"role": "analyst", "feature": "customer:risk", "when": "always", "returned": true, "old": "Deny", "new": "Allow",
             "old_rule": 4, "new_rule": 7, "through": "customer:ssn", "cause": cause},
            {"role": "analyst", "feature": "customer:ssn", "when": "always", "returned": true, "old": "Deny", "new": "Allow",
             "old_rule": 7, "new_rule": 7, "through": null, "cause": cause},
        ])
    );
    assert_eq!(found["settings"][0]["setting"], "mode");
    assert_eq!(found["settings"][0]["at"], format!("{new}:13"));
    let changes: Vec<&Value> = found["bindings"].as_array().unwrap().iter().map(|bound| &bound["change"]).collect();
    assert_eq!(changes, ["added", "removed"]);
}

#[test]
fn markdown_keeps_what_comes_from_files_in_code_spans() {
    let name = "a|b`c<img src=x>__d__";
    let more = |tag: &str| format!("{POLICY}  {name:?}: {{tags: [{tag}]}}\n");
    let (_folder, old, new) = files(&more("pii"), &more("other"));
    let (code, out, _) = run(["diff", &old, &new, "--format", "markdown"]);
    assert_eq!(code, 5);
    assert!(
        out.starts_with("## Policy: somebody gains access\n\n2 roles gain and 0 lose; 1 feature may newly"),
        "{out}"
    );
    assert!(out.contains("| `` a\\|b`c<img src=x>__d__ `` | `analyst` | **Deny -> Allow** |  |\n"), "{out}");
    assert!(
        out.contains(&format!("\n`` {old}:13: feature `a|b`c<img src=x>__d__` no longer has tag `pii` ``\n")),
        "{out}"
    );
    let (_, out, _) = run(["diff", &new, &old, "--format", "markdown"]);
    assert!(out.starts_with("## Policy: nobody gains access\n") && out.contains("\n### Lost access\n"), "{out}");
}

#[test]
fn control_characters_of_files_do_not_reach_the_terminal() {
    let more = |tag: &str| {
        POLICY
            .replace("pii: Deny", "\"p\\e[31mx\": Deny")
            .replace("tags: [pii], joins", &format!("tags: [{tag}], joins"))
    };
    let (_folder, old, new) = files(&more("\"p\\e[31mx\""), &more("other"));
    for format in ["text", "markdown", "json"] {
        let (code, out, said) = run(["diff", &old, &new, "--format", format]);
        assert!(code == 5 && !out.contains('\u{1b}'), "{out}{said}");
    }
}

fn line(roles: &[&str], outputs: &[&str], decision: &str) -> String {
    let line = json!({
        "time": "2026-11-22T10:00:00Z", "decision_id": "x", "generation": 1, "caller": "c", "issuer": "i", "roles": roles,
        "route": "/get-online-features", "query": null, "outputs": outputs, "supplied": ["customer:id"], "reads": [],
        "mode": "reject", "decision": decision, "refused": [], "declassified": [], "status": 200, "duration_us": 1,
        "trace_id": null, "prev": "0", "hash": "0"
    });
    format!("{line}\n")
}

#[test]
fn recorded_queries_are_replayed() {
    let (folder, old, new) = files(POLICY, &wider());
    let log = folder.write(
        "audit.jsonl",
        [
            line(&["analyst"], &["customer:ssn", "customer:age"], "refused"),
            "{\"level\":\"INFO\"}\n".to_owned(),
            line(&["analyst"], &["customer:age"], "permitted"),
            line(&["analyst"], &["customer:age", "customer:ssn"], "refused"),
        ]
        .concat(),
    );
    let log = text(log);
    let (code, out, said) = run(["diff", &old, &new, "--against", &log]);
    assert_eq!(code, 5);
    assert!(
        out.starts_with("1 role gains and 0 lose; 2 features may newly be returned; 1 recorded query returns more; "),
        "{out}"
    );
    assert!(
        out.ends_with(
            "\n4 lines of the audit log, 2 distinct queries: 1 would change\n  \
             1 lines are no audit lines, the first: 2\n  \
             refused -> permitted: analyst asks for customer:age, customer:ssn, given customer:id; returns also customer:age, \
             customer:ssn; 2 times by 1 callers, last 2026-11-22T10:00:00Z\n    \
             customer:ssn: Deny by rule 7 -> Allow by rule 7\n"
        ),
        "{out}"
    );
    assert_eq!(said, "1 lines of the audit log are no audit lines, the first is line 2\n");
    let (code, out, _) = run(["diff", &new, &old, "--against", &log, "--format", "json"]);
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &found["summary"]["queries_losing"]), (0, &json!(1)));
    assert_eq!(found["queries"]["changed"][0]["lost"], json!(["customer:age", "customer:ssn"]));
    let (_, out, _) = run(["diff", &old, &new, "--against", &log, "--format", "markdown"]);
    assert!(
        out.contains("\n### Recorded queries\n") && out.contains("`customer:ssn: Deny by rule 7 -> Allow by rule 7`"),
        "{out}"
    );
    // Bindings are not in a log.
    let bound = text(folder.write("bound.yaml", POLICY.replace("analysts", "all")));
    let (_, out, _) = run(["diff", &old, &bound, "--against", &log]);
    assert!(out.contains("what the changed bindings do is not replayed"), "{out}");
    for (content, code) in [("no line\nof any log\n", 2), ("", 0)] {
        let other = text(folder.write("other.jsonl", content));
        let (found, _, said) = run(["diff", &old, &old, "--against", &other]);
        assert_eq!(found, code, "{said}");
    }
    let (code, _, said) = run(["diff", &old, &new, "--against", "/nowhere/at/all"]);
    assert!(code == 2 && said.contains("cannot be read"), "{said}");
}

#[test]
fn a_catalogue_of_each_side() {
    let folder = Folder::new();
    let policy = text(folder.write("policy.yaml", "version: 1\nroles: {a: {tags: {pii: Deny}}}\n"));
    let old = text(folder.write("before.yaml", "version: 1\nfeatures: {x: {tags: [pii]}}\n"));
    let new = text(folder.write("after.yaml", "version: 1\nfeatures: {x: {}}\n"));
    let (code, out, _) = run(["diff", &policy, &policy, "--catalogue", &new, "--old-catalogue", &old]);
    assert!(code == 5 && out.contains(&format!("{old}:2: feature `x` no longer has tag `pii`")), "{out}");
    assert_eq!(run(["diff", &policy, &policy, "--catalogue", &new]).0, 0);
    let empty = text(folder.write("empty.yaml", "version: 1\nfeatures: {}\n"));
    assert_eq!(run(["diff", &policy, &policy, "--catalogue", &empty]).0, 3);
}

/// git in a folder, with a user and without the machine's own configuration.
fn git(folder: &Path, arguments: &[&str]) {
    let mut git = Command::new("git");
    git.current_dir(folder).args([
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@example.org",
        "-c",
        "init.defaultBranch=main",
    ]);
    git.args(arguments).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    let output = git.output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn within(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output =
        command(arguments).current_dir(folder).env("GIT_CEILING_DIRECTORIES", std::env::temp_dir()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_side_may_be_a_revision() {
    let folder = Folder::new();
    let root = folder.path("");
    let sub = folder.path("deploy/policies/teams");
    std::fs::create_dir_all(sub.join("tests")).unwrap();
    let file = folder.path("deploy/policies/roles.yaml");
    std::fs::write(&file, POLICY).unwrap();
    std::fs::write(sub.join("more.yml"), "version: 1\nfeatures: {team:x: {tags: [pii]}}\n").unwrap();
    std::fs::write(sub.join("tests/t.yaml"), "not a policy").unwrap();
    std::fs::write(sub.join("README.md"), "not a policy").unwrap();
    std::fs::write(sub.join(".hidden.yaml"), "not a policy").unwrap();
    std::fs::create_dir(folder.path("deploy/docs")).unwrap();
    std::fs::write(folder.path("deploy/docs/README.md"), "not a policy").unwrap();
    git(&root, &["init", "-q"]);
    git(&root, &["add", "-A", "-f"]);
    git(&root, &["commit", "-q", "-m", "one"]);
    std::fs::write(&file, wider()).unwrap();
    let (code, out, said) = within(&root, &["diff", "git:HEAD:deploy/policies", "deploy/policies"]);
    assert_eq!(code, 5, "{said}");
    assert!(out.contains("deploy/policies/roles.yaml:3: role `analyst` maps") && out.contains("team:x"), "{out}");
    // The other way round what is cited is the revision's.
    std::fs::write(&file, POLICY.replace("{tags: {pii: Deny}}", "{}")).unwrap();
    let (_, out, _) = within(&root, &["diff", "git:HEAD:deploy/policies", "deploy/policies"]);
    assert!(out.contains("  git:HEAD:deploy/policies/roles.yaml:3: role `analyst` no longer maps tag `pii`"), "{out}");
    git(&root, &["commit", "-q", "-a", "-m", "two"]);
    let below = folder.path("deploy");
    for (at, old, new, code) in [
        (&root, "git:HEAD~1:deploy/policies", "git:HEAD:deploy/policies", 5),
        (&root, "git:HEAD:deploy/policies/", "git:HEAD~1:deploy/policies", 0),
        // Relative to the current folder.
        (&below, "git:HEAD~1:policies", "git:HEAD:./policies", 5),
        (&below, "git:HEAD:policies", "git:main:../deploy/policies/../policies", 0),
        (&below, "git:HEAD:policies/roles.yaml", "policies/roles.yaml", 0),
        (&sub, "git:HEAD:", "git:HEAD~1:.", 0),
    ] {
        let (found, out, said) = within(at, &["diff", old, new]);
        assert_eq!(found, code, "{old} {new}: {out}{said}");
    }
    let absolute = format!("git:HEAD:{}", text(std::fs::canonicalize(&below).unwrap().join("policies")));
    assert_eq!(within(&root, &["diff", &absolute, "git:HEAD:deploy/policies"]).0, 0);
    for (old, said) in [
        ("git:nope:deploy/policies", "revision `nope` does not exist in this repository"),
        ("git:--output=x:deploy/policies", "revision `--output=x` does not exist in this repository"),
        ("git:-h:deploy/policies", "revision `-h` does not exist in this repository"),
        ("git:HEAD:--help", "`--help` does not exist in revision `HEAD`"),
        ("git:HEAD:deploy/*", "`deploy/*` does not exist in revision `HEAD`"),
        ("git:HEAD::(top)deploy", "`:(top)deploy` does not exist in revision `HEAD`"),
        ("git:HEAD:../x", "`../x` leads out of this repository"),
        ("git:HEAD:/elsewhere/x", "`/elsewhere/x` lies outside this repository"),
        ("git:HEAD:deploy/docs", "folder `git:HEAD:deploy/docs` has no file that ends in .yaml or .yml"),
        ("git:HEAD", "`git:HEAD` is not of the form `git:REV:PATH`"),
        ("git::x", "`git::x` is not of the form `git:REV:PATH`"),
    ] {
        let (code, out, errors) = within(&root, &["diff", old, "deploy/policies"]);
        assert!(code == 3 && out.is_empty() && errors.starts_with(said), "{old}: {errors}{out}");
    }
    let outside = Folder::new();
    let (code, _, said) = within(&outside.path(""), &["diff", "git:HEAD:x", "git:HEAD:x"]);
    assert!(code == 3 && said.starts_with("git failed: not a git repository"), "{said}");
    let output = command(["diff", "git:HEAD:x", "git:HEAD:x"]).env("PATH", "/nowhere").output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("git cannot be started: "));
}
