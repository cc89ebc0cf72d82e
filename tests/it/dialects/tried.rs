//! `dialect try`: what it shows, word for word (`tests/golden/dialect`; TAGWARDEN_BLESS=1 writes it anew), and how it ends.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{Folder, process, repository};

/// Exit code, standard output, standard error; run where the names of files are the same on every machine.
fn tried(arguments: &[&str]) -> (i32, String, String) {
    let output = process::command(["dialect", "try"].iter().chain(arguments))
        .current_dir(repository("tests/golden/dialect"))
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

const POLICY: [&str; 2] = ["--policies", "policy.yaml"];

/// A file of the folder, what makes it, and the exit code.
const CASES: &[(&str, &[&str], &[&str], i32)] = &[
    ("rows-cutter.txt", &["rows.request", "rows.response"], &["--role", "cutter"], 0),
    ("rows-cutter.json", &["rows.request", "rows.response"], &["--role", "cutter", "--format", "json"], 0),
    ("rows-reader.txt", &["rows.request", "rows.response"], &["--role", "reader"], 0),
    ("rows-nobody.txt", &["rows.request", "rows.response"], &[], 0),
    ("rows-unanswered.txt", &["rows.request"], &["--role", "cutter"], 0),
    ("bundle-cutter.txt", &["bundle.request", "bundle.response"], &["--role", "cutter"], 0),
    ("strange-cutter.txt", &["rows.request", "strange.response"], &["--role", "cutter"], 1),
    ("strange-cutter.json", &["rows.request", "strange.response"], &["--role", "cutter", "--format", "json"], 1),
    ("records-cutter.txt", &["records.request", "records.response"], &["--role", "cutter"], 0),
    ("records-unanswered.txt", &["records.request"], &["--role", "cutter"], 0),
    ("denied-cutter.txt", &["denied.request"], &["--role", "cutter"], 0),
    ("invalid.txt", &["invalid.request"], &[], 1),
    ("other.txt", &["other.request"], &[], 1),
    ("failed-cutter.txt", &["rows.request", "failed.response"], &["--role", "cutter"], 1),
];

fn run((_, files, more, _): &(&str, &[&str], &[&str], i32)) -> (i32, String, String) {
    let mut arguments = vec!["dialect.yaml"];
    arguments.extend(["--request", "--response"].into_iter().zip(*files).flat_map(|(key, file)| [key, file]));
    arguments.extend(POLICY.into_iter().filter(|_| more.contains(&"--role")));
    arguments.extend(*more);
    tried(&arguments)
}

#[test]
fn what_is_tried_is_told_word_for_word() {
    let (mut wrong, bless) = (String::new(), std::env::var_os("TAGWARDEN_BLESS").is_some());
    let folder = repository("tests/golden/dialect");
    for case in CASES {
        let (code, out, said) = run(case);
        assert_eq!(code, case.3, "{}: {out}{said}", case.0);
        assert_eq!(said.is_empty(), code == 0 || case.0.ends_with(".json"), "{}: {said}", case.0);
        let shown = out + &said;
        if std::fs::read_to_string(folder.join(case.0)).unwrap_or_default() != shown {
            wrong += &format!("--- {}\n{shown}", case.0);
            if bless {
                std::fs::write(folder.join(case.0), &shown).unwrap();
            }
        }
    }
    assert!(wrong.is_empty() || bless, "found, and TAGWARDEN_BLESS=1 makes it the golden files:\n{wrong}");
    let kept: BTreeSet<String> = CASES.iter().map(|case| case.0.to_owned()).collect();
    let is_shown = |name: &String| name.ends_with(".txt") || name.ends_with(".json");
    let there = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    assert_eq!(there.filter(is_shown).collect::<BTreeSet<_>>(), kept);
}

#[test]
fn what_the_caller_gets_holds_nothing_that_is_refused() {
    let case = CASES.iter().find(|case| case.0 == "rows-cutter.json").unwrap();
    let shown: Value = serde_json::from_str(&run(case).1).unwrap();
    assert_eq!(shown["decided"]["decision"], "filtered");
    let sent: Value = serde_json::from_str(shown["rewritten"]["body"].as_str().unwrap()).unwrap();
    assert_eq!(sent["features"], json!(["age"]));
    assert_eq!(sent["options"], json!({"types": true, "names": true}));
    let got = shown["cut"]["body"].as_str().unwrap();
    assert!(got.contains("36") && !got.contains("5100"), "{got}");
    // Nobody asked for the names, and nothing that is not described passes.
    assert!(!got.contains("\"name\"") && !got.contains("trace"), "{got}");
}

#[test]
fn what_does_not_load_and_what_is_meant_wrongly_ends_as_for_every_command() {
    let request = ["--request", "rows.request"];
    let ends = |description: &str, more: &[&str]| tried(&[&[description], &request[..], more].concat());
    let cases: &[(&str, &[&str], i32, &str)] = &[
        ("policy.yaml", &[], 3, "error[missing]: `routes` is missing"),
        ("none.yaml", &[], 3, "none.yaml"),
        ("dialect.yaml", &["--policies", "dialect.yaml", "--role", "reader"], 3, "error[unknown-key]"),
        ("dialect.yaml", &POLICY, 2, "name who asks: --role or --claims"),
        ("dialect.yaml", &["--policies", "policy.yaml", "--role", "raeder"], 2, "did you mean `reader`?"),
        ("dialect.yaml", &["--role", "reader"], 2, "--policies"),
        ("dialect.yaml", &["--response", "none.json"], 2, "`none.json` cannot be read"),
        ("dialect.yaml", &["--response", "rows.request"], 1, "UPSTREAM_UNREADABLE: "),
    ];
    for (description, more, code, message) in cases {
        let (ended, out, said) = ends(description, more);
        assert_eq!(ended, *code, "{more:?}: {out}{said}");
        assert!(said.contains(message), "{more:?}: {said}");
    }
    let (code, _, said) = tried(&["dialect.yaml", "--request", "policy.yaml"]);
    assert_eq!(code, 2);
    let form = "`policy.yaml` holds no request: `POST /path HTTP/1.1`, headers, an empty line and the body\n";
    assert_eq!(said, form);
}

/// The fixtures of the ready descriptions, which a running sidecar is held to as well (vendors.rs).
#[test]
fn what_is_tried_is_what_the_sidecar_does() {
    let folder = Folder::new();
    let mut tried_cases = 0;
    for vendor in std::fs::read_dir(repository("tests/fixtures/dialects")).unwrap() {
        let vendor = vendor.unwrap().path();
        let Ok(files) = std::fs::read_dir(&vendor) else { continue };
        let files = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let cases = files.filter_map(|file| file.strip_suffix(".request.http").map(str::to_owned));
        let text = |name: String| {
            let text = std::fs::read_to_string(vendor.join(name)).ok()?;
            Some(text.strip_suffix('\n').map(str::to_owned).unwrap_or(text))
        };
        let name = vendor.file_name().unwrap().to_str().unwrap();
        for (case, caller) in cases.flat_map(|case| ["scoring", "cutters", "outsiders"].map(|of| (case.clone(), of))) {
            let claims = folder.write("claims.json", json!({"groups": [caller]}).to_string());
            let path = |name: String| vendor.join(name).into_os_string();
            let mut arguments = vec!["dialect".into(), "try".into()];
            arguments.push(repository(&format!("docs/dialects/{name}.yaml")).into_os_string());
            arguments.extend(["--request".into(), path(format!("{case}.request.http"))]);
            let answered = text(format!("{case}.upstream.json"));
            if answered.is_some() {
                arguments.extend(["--response".into(), path(format!("{case}.upstream.json"))]);
            }
            arguments.extend(["--policies".into(), path("policy.yaml".to_owned())]);
            arguments.extend(["--claims".into(), claims.into_os_string(), "--format".into(), "json".into()]);
            let (code, out, said) = process::run(arguments);
            let of = format!("{name}/{case} of {caller}");
            let shown: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{of}: {error}: {out}{said}"));
            tried_cases += 1;
            let refused = text(format!("{case}.{caller}.refused.json"));
            let refused: Option<Value> = refused.map(|text| serde_json::from_str(&text).unwrap());
            let fails = refused.as_ref().is_some_and(|refused| refused["code"] != "FEATURES_REFUSED");
            assert_eq!((code, shown["failed"].is_null()), (i32::from(fails), !fails), "{of}: {shown:#}");
            let sent = text(format!("{case}.upstream.http"));
            let asked = refused.as_ref().is_none_or(|refused| refused["asked"] == true);
            let line = format!("{}\n\n{}", text_of(&shown["rewritten"]["line"]), text_of(&shown["rewritten"]["body"]));
            match sent.filter(|_| asked) {
                Some(sent) => assert_eq!(line.trim_end(), sent.trim_end(), "{of}"),
                None => assert!(shown["rewritten"].is_null(), "{of}: {shown:#}"),
            }
            match refused {
                Some(refused) if fails => {
                    assert_eq!(shown["failed"]["code"], refused["code"], "{of}");
                    assert!(refused["message"].is_null() || shown["failed"]["message"] == refused["message"], "{of}");
                }
                Some(refused) => {
                    assert_eq!(shown["decided"]["decision"], "refused", "{of}");
                    assert_eq!(shown["decided"]["refused"], refused["refused"], "{of}");
                    assert!(shown["cut"].is_null(), "{of}: {shown:#}");
                }
                None => {
                    let cut = text(format!("{case}.{caller}.json"));
                    assert_eq!(shown["cut"]["as_it_came"], cut.is_none(), "{of}");
                    assert_eq!(shown["cut"]["body"].as_str(), cut.or(answered).as_deref(), "{of}");
                }
            }
        }
    }
    assert!(tried_cases >= 57, "{tried_cases}");
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
