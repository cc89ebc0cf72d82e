//! The command line as a script sees it (config.md, Command line): what is printed where, and exit codes.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use serde_json::{Value, json};

use crate::support::process::run;
use crate::support::sidecar::{POLICY, Setup};
use crate::support::{Folder, repository};

fn text(path: impl AsRef<std::path::Path>) -> String {
    path.as_ref().to_str().unwrap().to_owned()
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

#[test]
fn resolve_says_what_the_vectors_say() {
    let folder = Folder::new();
    let mut compared = 0;
    for file in ["handmade.jsonl", "generated.jsonl"] {
        let lines = std::fs::read_to_string(repository(&format!("tests/fixtures/vectors/{file}"))).unwrap();
        for line in lines.lines().step_by(40) {
            let vector: Value = serde_json::from_str(line).unwrap();
            let policy = folder.write("policy.yaml", vector["policy"].to_string());
            let mut arguments: Vec<String> = ["resolve", "--format", "json", "--policies"].map(str::to_owned).into();
            arguments.push(text(policy));
            for (flag, member) in [("--role", "roles"), ("--supplied", "supplied"), ("--output", "outputs")] {
                let names = strings(&vector[member]);
                if !names.is_empty() {
                    arguments.push(flag.to_owned());
                    arguments.extend(names);
                }
            }
            let name = &vector["name"];
            let (code, out, said) = run(&arguments);
            let named = [strings(&vector["supplied"]), strings(&vector["outputs"])].concat();
            let unknown = named.iter().find(|name| vector["policy"]["features"].get(name.as_str()).is_none());
            match unknown.filter(|_| vector["policy"]["unknown_features"] != "default") {
                Some(feature) => {
                    assert_eq!(code, 2, "{name}: {said}");
                    assert!(said.contains(&format!("feature `{feature}` of --")), "{name}: {said}");
                }
                None => {
                    assert_eq!(code, 0, "{name}: {said}");
                    assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), vector["expect"], "{name}");
                    compared += 1;
                }
            }
        }
    }
    assert!(compared >= 15, "{compared}");
}

#[test]
fn resolve_prints_a_table_and_takes_claims_and_refuses_names_that_do_not_exist() {
    let folder = Folder::new();
    let policy = text(folder.write("policy.yaml", POLICY));
    let resolve = |more: &[&str]| {
        run(["resolve", "--policies", &policy].into_iter().chain(more.iter().copied()).collect::<Vec<_>>())
    };
    let (code, out, _) = resolve(&["--role", "reader", "--output", "customer:age", "customer:ssn"]);
    assert_eq!(code, 0);
    assert!(out.contains("customer:ssn      Deny\n") && out.contains("customer:vip      AllowDownstream\n"), "{out}");
    assert!(out.ends_with("\nthe query is refused: customer:ssn\n"), "{out}");
    let (_, out, _) = resolve(&["--role", "reader", "--output", "customer:age"]);
    assert!(out.ends_with("\nthe query is permitted\n"), "{out}");
    let claims = text(folder.write("claims.json", r#"{"iss":"x","groups":["writers"]}"#));
    let (code, out, _) = resolve(&["--claims", &claims, "--format", "json"]);
    let permissions = serde_json::from_str::<Value>(&out).unwrap()["permissions"]["customer:age"].clone();
    assert_eq!((code, permissions), (0, json!("Deny")));

    let nobody = text(folder.write("claims.json", r#"{"groups":["nobody"]}"#));
    for (more, said) in [
        (vec!["--role", "raeder"], "role `raeder` does not exist; did you mean `reader`?"),
        (
            vec!["--role", "reader", "--output", "customer:agee"],
            "feature `customer:agee` of --output does not exist; did you mean `customer:age`?",
        ),
        (vec!["--role", "reader", "--supplied", "nokey"], "feature `nokey` of --supplied does not exist"),
        (vec!["--claims", &nobody], "no binding gives these claims a role"),
    ] {
        let (code, out, errors) = resolve(&more);
        assert_eq!((code, out.as_str(), errors.lines().next()), (2, "", Some(said)));
    }
    assert_eq!(resolve(&[]).0, 2, "neither roles nor claims");
    let (code, _, errors) = run(["resolve", "--role", "reader", "--policies", "/nowhere/at/all.yaml"]);
    assert!(code == 3 && errors.contains("does not exist"), "{errors}");
}

/// A policy about which there is nothing to say.
const CLEAN: &str = "\
version: 1
roles:
  reader: {tags: {pii: Deny}}
  officer: {tags: {pii: Allow}}
bindings:
  - {roles: [reader], when: {groups: readers}}
  - {roles: [officer], when: {groups: officers}}
features:
  customer_id: {key: true}
  customer:ssn: {tags: [pii], joins: [customer_id]}
";

#[test]
fn check_finds_nothing_in_a_good_policy() {
    let folder = Folder::new();
    let policy = text(folder.write("policy.yaml", CLEAN));
    for format in [&[][..], &["--deny-warnings"], &["--format", "text"]] {
        let (code, out, said) = run([&["check", "--policies", &policy], format].concat());
        assert_eq!((code, out.as_str(), said.as_str()), (0, "0 errors, 0 warnings\n", ""));
    }
    let (code, out, _) = run(["check", "--policies", &policy, "--format", "github"]);
    assert_eq!((code, out.as_str()), (0, ""));
    let (code, out, _) = run(["check", "--policies", &policy, "--format", "json"]);
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, found), (0, json!({"errors": 0, "warnings": 0, "findings": []})));
}

#[test]
fn check_shows_a_warning_and_fails_for_it_only_where_warnings_are_denied() {
    let folder = Folder::new();
    let policy =
        text(folder.write(
            "policy.yaml",
            CLEAN.replace("groups: officers", "groups: readers").replace("[officer]", "[reader]"),
        ));
    let (code, out, said) = run(["check", "--policies", &policy]);
    assert_eq!((code, out.as_str()), (0, "0 errors, 1 warning\n"), "{said}");
    assert!(said.contains("policy.yaml:4:3: warning[unbound-role]: no binding gives role `officer`"), "{said}");
    let denied = run(["check", "--policies", &policy, "--deny-warnings"]);
    assert_eq!(denied, (3, out, said));
}

#[test]
fn check_tells_every_mistake_with_its_place_in_each_format() {
    let folder = Folder::new();
    let broken = POLICY
        .replace("pii: Deny", "pii: Dany")
        .replace("joins: [customer_id]}\n  customer:country", "joins: [nokey]}\n  customer:country");
    let policy = text(folder.write("po,licy.yaml", broken));
    let (code, out, said) = run(["check", "--policies", &policy]);
    assert_eq!((code, out.as_str()), (3, "3 errors, 0 warnings\n"));
    for line in [":3:24: error[unknown-word]: ", "help: did you mean `Deny`", ":13:", "`nokey`"] {
        assert!(said.contains(line), "{line}\n---\n{said}");
    }
    let (code, out, _) = run(["check", "--policies", &policy, "--format", "json"]);
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &found["warnings"]), (3, &json!(0)));
    assert_eq!(found["errors"].as_u64().unwrap() as usize, found["findings"].as_array().unwrap().len());
    let first = &found["findings"][0];
    assert_eq!((&first["severity"], &first["code"]), (&json!("error"), &json!("unknown-word")));
    assert_eq!((&first["file"], &first["line"], &first["column"]), (&json!(policy), &json!(3), &json!(24)));
    let (code, out, _) = run(["check", "--policies", &policy, "--format", "github"]);
    let begin = format!("::error file={},line=3,col=24,title=unknown-word::", policy.replace(',', "%2C"));
    assert!(code == 3 && out.starts_with(&begin), "{out}");
    assert_eq!(out.lines().count() as u64, found["errors"].as_u64().unwrap());
}

#[test]
fn check_takes_the_candidate_in_the_shadow_too_and_tells_what_both_share_once() {
    let setup = Setup::at("http://127.0.0.1:9").with("catalogue: [catalogue.yaml]\nshadow: {policies: next.yaml}");
    setup.folder.write("catalogue.yaml", "version: 1\nfeatures: {shop:size: {joins: [customer_id]}}\n");
    setup.folder.write("next.yaml", POLICY);
    let config = text(setup.write());
    let alone = run(["check", "--policies", &text(setup.folder.path("policy.yaml"))]);
    let (code, out, said) = run(["check", "--config", &config]);
    assert_eq!(
        (code, alone.1.as_str(), out.as_str()),
        (0, "0 errors, 2 warnings\n", "0 errors, 4 warnings\n"),
        "{said}"
    );
    setup.folder.write("catalogue.yaml", "version: 1\nfeatures: {shop:size: {joins: [nobody]}}\n");
    setup.folder.write("next.yaml", POLICY.replacen("pii: Deny", "pii: Dany", 1));
    let (code, out, said) = run(["check", "--config", &config]);
    assert_eq!((code, out.as_str()), (3, "2 errors, 0 warnings\n"), "{said}");
    assert!(said.contains("next.yaml:3:24: error[unknown-word]") && said.matches("`nobody`").count() == 1, "{said}");
}

#[test]
fn check_takes_a_configuration_with_all_that_it_names() {
    let setup = Setup::at("http://127.0.0.1:9").with("catalogue: [catalogue.yaml]");
    setup.folder.write("catalogue.yaml", "version: 1\nfeatures: {shop:size: {joins: [customer_id]}}\n");
    let config = text(setup.write());
    let (code, out, said) = run(["check", "--config", &config]);
    assert_eq!((code, out.as_str()), (0, "0 errors, 2 warnings\n"), "{said}");
    setup.folder.write("catalogue.yaml", "version: 1\nfeatures: {shop:size: {joins: [nobody]}}\n");
    let (code, _, said) = run(["check", "--config", &config]);
    assert!(code == 3 && said.contains("catalogue.yaml:2:") && said.contains("`nobody`"), "{said}");
    setup.folder.write("tagwarden.yaml", setup.text() + "polices: x\n");
    let (code, out, said) = run(["check", "--config", &config]);
    assert_eq!((code, out.as_str()), (3, "1 error, 0 warnings\n"));
    assert!(said.contains("tagwarden.yaml:") && said.contains("unknown key `polices`"), "{said}");
    // What the command line names is looked at whatever the configuration says.
    let broken = text(setup.folder.write("broken.yaml", "version: 1\nrols: {}\n"));
    let (code, _, both) = run(["check", "--config", &config, "--policies", &broken]);
    assert!(code == 3 && both.contains(&said) && both.contains("broken.yaml:2:1: error[unknown-key]"), "{both}");
}

#[test]
fn check_against_the_policy_before_finds_what_a_reload_would_refuse() {
    let folder = Folder::new();
    let old = text(folder.write("old.yaml", POLICY));
    let smaller = POLICY.replace("tags: [pii], ", "").replace("tags: [internal], ", "");
    let new = text(folder.write("new.yaml", smaller));
    let (code, _, said) = run(["check", "--policies", &new, "--against", &old]);
    let shrunk = "new.yaml:1:1: error[shrunk]: the new policy has 1 tagged features where 3 are served";
    assert!(code == 3 && said.contains(shrunk), "{said}");
    assert_eq!(run(["check", "--policies", &old, "--against", &old]).0, 0);

    let setup = Setup::at("http://127.0.0.1:9");
    let against =
        |setup: &Setup| run(["check", "--config", &text(setup.write()), "--policies", &new, "--against", &old]);
    assert_eq!(against(&setup).0, 3);
    assert_eq!(against(&setup.with("allow_shrink: true")).0, 0, "a reload would take it");
    let broken = text(folder.write("broken.yaml", "version: 1\nrols: {}\n"));
    let (code, out, said) = run(["check", "--policies", &new, "--against", &broken]);
    assert_eq!((code, out.as_str()), (3, ""));
    assert!(said.starts_with("the old policy does not load:\n") && said.contains("broken.yaml:2:1: "), "{said}");
}

/// A server that answers one request like this; its address.
fn answering(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"GET /readyz HTTP/1.1\r\n"));
        stream.write_all(answer.as_bytes()).unwrap();
    });
    at
}

#[test]
fn healthcheck_asks_readyz_where_the_configuration_has_it() {
    let ask = |metrics: String| {
        let mut setup = Setup::at("http://127.0.0.1:9");
        setup.metrics = metrics;
        let config = text(setup.write());
        run(["healthcheck", "--config", &config])
    };
    let ready = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
    assert_eq!(ask(answering(ready)), (0, "ready\n".to_owned(), String::new()));
    let anywhere = answering(ready).replace("127.0.0.1", "0.0.0.0");
    assert_eq!(ask(anywhere).0, 0, "what listens everywhere is asked here");
    let draining = "HTTP/1.1 503 No\r\ncontent-length: 17\r\n\r\n{\"draining\":true}";
    let (code, out, said) = ask(answering(draining));
    assert_eq!((code, out.as_str(), said.as_str()), (1, "", "not ready: {\"draining\":true}\n"));
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = held.local_addr().unwrap().to_string();
    drop(held);
    let (code, out, said) = ask(gone);
    assert!(code == 1 && out.is_empty() && said.lines().count() == 1, "{said}");
    assert_eq!(run(["healthcheck", "--config", "/nowhere/at/all.yaml"]).0, 3);
}

#[test]
fn version_and_completions_are_printed() {
    let version = format!("tagwarden {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(["version"]), (0, version.clone(), String::new()));
    assert_eq!(run(["--version"]), (0, version, String::new()));
    let (code, script, said) = run(["completion", "bash"]);
    assert_eq!((code, said.as_str()), (0, ""));
    for word in ["_tagwarden()", "complete -F _tagwarden", "healthcheck", "--deny-warnings", "--log-level"] {
        assert!(script.contains(word), "{word}");
    }
    for shell in ["zsh", "fish"] {
        let (code, script, _) = run(["completion", shell]);
        assert!(code == 0 && script.contains("healthcheck"), "{shell}");
    }
}

#[test]
fn misuse_is_2_and_prints_to_standard_error_alone() {
    for arguments in [
        vec![],
        vec!["sevre"],
        vec!["serve"],
        vec!["serve", "--confg", "x"],
        vec!["serve", "--config", "x", "--log-level", "loud"],
        vec!["check"],
        vec!["check", "--policies", "x", "--format", "xml"],
        vec!["resolve", "--role", "a"],
        vec!["resolve", "--policies", "x", "--role", "a", "--claims", "y"],
        vec!["completion", "tcsh"],
        vec!["catalogue", "import", "elsewhere", "x"],
        vec!["catalogue", "merge"],
    ] {
        let (code, out, said) = run(&arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}: {said}");
        assert!(!said.is_empty(), "{arguments:?}");
    }
    for help in [vec!["--help"], vec!["help"], vec!["serve", "--help"]] {
        let (code, out, _) = run(&help);
        assert!(code == 0 && out.contains("Usage: tagwarden"), "{out}");
    }
}

#[test]
fn what_feast_wrote_is_told_by_its_content() {
    let expected = std::fs::read_to_string(repository("tests/fixtures/feast/catalogue.yaml")).unwrap();
    let file = text(repository("tests/fixtures/feast/registry/registry.db"));
    for source in [file.clone(), format!("{file}?project=shop")] {
        let (code, out, said) = run(["catalogue", "import", "feast", &source]);
        assert_eq!((code, out.as_str(), said.as_str()), (0, expected.as_str(), ""));
    }
    let (code, out, said) = run(["catalogue", "import", "feast", &format!("{file}?project=lab")]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert_eq!(said, "the registry has no features, or the project does not exist\n");
    let dump = text(repository("tests/fixtures/feast/registry/registry-dump.json"));
    let (code, _, said) = run(["catalogue", "import", "feast", &format!("{dump}?project=shop")]);
    assert_eq!(code, 1);
    assert!(said.ends_with("is a dump, which is of one project: leave ?project= out\n"), "{said}");
}

#[test]
fn a_chalk_export_is_imported_with_its_warnings() {
    let wide = |name: &str| repository(&format!("tests/fixtures/chalk/wide/{name}"));
    let (code, out, said) = run(["catalogue", "import", "chalk", &text(wide("wide.export.pb"))]);
    let expected = |name: &str| std::fs::read_to_string(wide(name)).unwrap();
    assert_eq!((code, out.as_str()), (0, expected("catalogue.yaml").as_str()));
    let warnings: String = expected("warnings.txt").lines().map(|line| format!("warning: {line}\n")).collect();
    assert_eq!(said, warnings);
    let (_, opaque, _) = run(["catalogue", "import", "chalk", &text(wide("wide.export.pb")), "--opaque-resolvers"]);
    assert!(opaque.contains(r#""user.email": {inputs: ["user.id"], opaque: true}"#), "{opaque}");
    let (code, out, said) = run(["catalogue", "import", "chalk", &text(wide("models.py"))]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert_eq!(said, "`export` does not read as protobuf: it is damaged, cut short or of another kind\n");
}

#[test]
fn catalogues_are_merged_where_they_agree() {
    let folder = Folder::new();
    let first = folder.write("a.yaml", "version: 1\nfeatures: {x: {key: true}}\n");
    let second = folder.write("b.yaml", "version: 1\nfeatures: {x: {tags: [pii]}, y: null}\n");
    let third = folder.write("c.yaml", "version: 1\nfeatures: {x: {key: false}}\n");
    let (code, out, said) = run(["catalogue", "merge", &text(&first), &text(&second)]);
    assert_eq!((code, said.as_str()), (0, ""));
    assert!(out.ends_with("\nfeatures:\n  \"x\": {key: true, tags: [\"pii\"]}\n  \"y\": null\n"), "{out}");
    let (code, out, said) = run(["catalogue", "merge", &text(&first), &text(&third)]);
    assert_eq!((code, out.as_str()), (3, ""));
    assert!(said.contains("c.yaml:2:21: error[conflict]") && said.contains("a.yaml:2:21"), "{said}");
    let (code, _, said) = run(["catalogue", "merge", &text(&first), "no such file"]);
    assert_eq!(code, 1);
    assert!(said.starts_with("`no such file` cannot be read: "), "{said}");
}

#[test]
fn an_import_prints_the_catalogue_or_replaces_the_file() {
    let dump = text(repository("tests/fixtures/feast/registry/registry-dump.json"));
    let expected = std::fs::read_to_string(repository("tests/fixtures/feast/catalogue.yaml")).unwrap();
    let (code, out, said) = run(["catalogue", "import", "feast", &dump]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(out, expected);
    let folder = Folder::new();
    let file = folder.write("catalogue.yaml", "old");
    let (code, out, said) = run(["catalogue", "import", "feast", &dump, "-o", &text(&file)]);
    assert_eq!((code, out.as_str()), (0, ""));
    assert!(said.contains("features and 3 bundles in `"), "{said}");
    assert_eq!(folder.read("catalogue.yaml"), expected);
    let broken = text(folder.write("broken.json", "{"));
    let (code, out, said) = run(["catalogue", "import", "feast", &broken, "-o", &text(&file)]);
    assert_eq!((code, out.as_str()), (1, ""), "{said}");
    assert_eq!(folder.read("catalogue.yaml"), expected, "what was there stays");
}
