//! `tagwarden demo`: the tour is true, the curl lines can be pasted, the policy can be edited while it runs.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};
use tagwarden::import::feast::{self, Options};

/// A temporary folder of this test's own.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tagwarden-it-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn entries(&self) -> usize {
        std::fs::read_dir(&self.0).unwrap().count()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn demo(folder: &Folder) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tagwarden"));
    command.arg("demo").env("TMPDIR", &folder.0).stdin(Stdio::null());
    command
}

#[test]
fn the_tour_is_true_and_leaves_nothing_behind() {
    let folder = Folder::new("once");
    let output = demo(&folder).arg("--once").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()), (Some(0), ""), "{text}");
    assert_eq!(folder.entries(), 0, "{text}");
    for line in [
        "1  fraud-svc scores two baskets",
        "            score          0.12                        0.512",
        "   gets     403 FEATURES_REFUSED: customer:income",
        "   gets     200, with 1 taken out",
        "            email_domain   post.example                post.example",
        "   gets     403 FEATURES_REFUSED: checkout_risk:score",
        "            band           silver                      gold",
        "   asks     feature service checkout",
        "   gets     401 UNAUTHORIZED",
        "            email          ada.brandt@post.example     carla.ricci@post.example",
        "9 of 9 queries went as described",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n---\n{text}");
    }
    assert_eq!(text.matches("ada.brandt@").count(), 1, "the address is there where the policy lets it out:\n{text}");
    assert!(!text.contains("NOT AS DESCRIBED") && !text.contains('\u{1b}'), "{text}");
    // Every signed token of the demo begins so.
    assert!(!text.contains("eyJ") && !text.contains("tw_") && !text.contains("curl"), "{text}");
    let wide: Vec<&str> = text.lines().filter(|line| line.chars().count() > 100).collect();
    let path = folder.0.display().to_string();
    assert_eq!(wide.into_iter().filter(|line| !line.contains(&path)).collect::<Vec<_>>(), Vec::<&str>::new());
}

/// A demo that stays up; stopped with the test.
struct Running {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Running {
    fn start(folder: &Folder) -> Self {
        let mut child = demo(folder).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines, said: Vec::new() }
    }

    /// Reads on until a line that begins so; the rest of that line.
    fn wait_for(&mut self, start: &str) -> String {
        loop {
            match self.lines.recv_timeout(Duration::from_secs(60)) {
                Ok(line) => {
                    self.said.push(line);
                    if let Some(rest) = self.said.last().and_then(|line| line.strip_prefix(start)) {
                        return rest.to_owned();
                    }
                }
                Err(error) => panic!("no line `{start}…`: {error}\n{}", self.said.join("\n")),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Pastes a line into a shell; the answer's status, and its body where it is JSON.
fn paste(line: &str) -> Value {
    let output = Command::new("sh").args(["-c", line]).env("no_proxy", "*").output().unwrap();
    assert!(output.status.success(), "{line}\n{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {line}\n{output:?}"))
}

fn names(answer: &Value) -> Vec<&str> {
    answer["metadata"]["feature_names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
}

#[test]
fn it_stays_up_for_curl_and_for_edits() {
    let folder = Folder::new("stay");
    let mut running = Running::start(&folder);
    running.wait_for("The same past the sidecar");
    running.wait_for("  -d ");
    let said = running.said.join("\n") + "\n\n";
    let place = said.split("they are in ").nth(1).unwrap().split(":\n").next().unwrap().to_owned();
    let place = Path::new(&place);
    assert_eq!(place.parent(), Some(folder.0.as_path()));

    let curls: Vec<&str> =
        said.match_indices("\ncurl ").map(|(at, _)| said[at + 1..].split("\n\n").next().unwrap()).collect();
    assert_eq!(curls.len(), 7, "{said}");
    let answers: Vec<Value> = curls.iter().map(|line| paste(line)).collect();
    assert_eq!(names(&answers[0]), ["customer_id", "score", "avg_amount"]);
    assert_eq!(names(&answers[1]), ["customer_id", "country", "avg_amount"]);
    assert_eq!(names(&answers[2]), ["customer_id", "country", "segment", "avg_amount", "score"]);
    assert_eq!(answers[4]["token_type"], "Bearer");
    assert_eq!(answers[5], answers[0], "an API key speaks for its client");
    assert_eq!(answers[3], answers[6], "the desk sees what is stored");
    assert_eq!(answers[3]["results"][2]["values"], json!(["900-11-1001"]));
    for caller in ["fraud-svc", "marketing", "dana"] {
        let token = std::fs::read_to_string(place.join(format!("{caller}.token"))).unwrap();
        assert!(said.contains(&format!("\n{caller}:\n{token}\n")), "{said}");
    }
    for page in ["metrics ", "readiness ", "status "] {
        let address = said.lines().find_map(|line| line.strip_prefix(page)).unwrap().trim();
        let output = Command::new("curl").args(["-sSf", "--noproxy", "*", address]).output().unwrap();
        assert!(output.status.success() && !output.stdout.is_empty(), "{address}: {output:?}");
    }

    let policy = place.join("policy.yaml");
    let original = std::fs::read_to_string(&policy).unwrap();
    let edit = |from: &str, to: &str| {
        assert_eq!(original.matches(from).count(), 1, "{from}");
        std::fs::write(&policy, original.replace(from, to)).unwrap();
    };
    edit("pii: AllowInternal               # marketing", "pii: Allow # marketing");
    running.wait_for("reloaded, and holds: generation ");
    assert_eq!(names(&paste(curls[1])), ["customer_id", "country", "email", "avg_amount"]);
    edit("mode: reject ", "mode: rejct ");
    running.wait_for("the policy does not load, and the one before it holds:");
    assert!(running.wait_for(&policy.display().to_string()).contains("error[unknown-word]"));
    assert_eq!(names(&paste(curls[1])), ["customer_id", "country", "email", "avg_amount"]);

    let audit = std::fs::read_to_string(place.join("audit.jsonl")).unwrap();
    assert!(audit.lines().count() >= 9 && audit.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
    assert!(
        !audit.contains("eyJ") && !audit.contains("tw_") && !audit.contains("900-") && !audit.contains('@'),
        "{audit}"
    );
    let status = Command::new("sh").args(["-c", &format!("kill -TERM {}", running.child.id())]).status().unwrap();
    assert!(status.success());
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
    assert_eq!(folder.entries(), 0);
}

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_policy_has_no_error_and_no_warning() {
    let output = Command::new(env!("CARGO_BIN_EXE_tagwarden"))
        .args(["check", "--deny-warnings", "--policies", "policies/demo/policy.yaml"])
        .args(["--catalogue", "policies/demo/catalogue.yaml"])
        .current_dir(repository())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!((output.status.code(), text.as_str()), (Some(0), "0 errors, 0 warnings\n"));
}

/// The demo's registry, as `feast registry-dump` writes it, without what the import does not read.
fn registry() -> Value {
    let field = |name: &str, tags: Value| json!({"name": name, "tags": tags, "valueType": "STRING"});
    let key = json!([{"name": "customer_id", "valueType": "INT64"}]);
    let none = || json!({});
    let view = |name: &str, source: &str, fields: Value| {
        json!({"spec": {
            "name": name, "entities": ["customer"], "entityColumns": key, "features": fields, "online": true,
            "batchSource": {"name": source, "type": "BATCH_FILE"},
        }})
    };
    let customer = json!([
        field("name", json!({"pii": "true"})),
        field("email", json!({"pii": "true"})),
        field("ssn", json!({"pii": "true", "sensitivity": "high"})),
        field("country", none()),
        field("age", none()),
        field("income", json!({"class": "financial"})),
        field("segment", none()),
    ]);
    let activity = json!([
        field("count_7d", none()),
        field("amount_7d", json!({"class": "raw"})),
        field("avg_amount", none()),
        field("last_merchant", json!({"pii": "true"})),
    ]);
    let columns = |names: &[&str]| names.iter().map(|name| field(name, none())).collect::<Vec<_>>();
    let reads = |view: &str, names: &[&str]| json!({"featureViewProjection": {"featureViewName": view, "featureColumns": columns(names)}});
    let computed = |name: &str, outputs: &[&str], tags: Value, sources: Value| {
        json!({"spec": {
            "name": name, "tags": tags, "features": columns(outputs), "sources": sources, "mode": "pandas",
            "entities": ["__dummy"], "entityColumns": [{"name": "__dummy_id", "valueType": "STRING"}],
        }})
    };
    let whole = reads("customer", &["name", "email", "ssn", "country", "age", "income", "segment"]);
    let request = json!({"requestDataSource": {
        "name": "checkout", "type": "REQUEST_SOURCE",
        "requestDataOptions": {"schema": [{"name": "basket_total", "valueType": "DOUBLE"}]},
    }});
    let risk = json!({
        "checkout": request, "customer": reads("customer", &["income"]), "activity": reads("activity", &["amount_7d"]),
    });
    let member = |view: &str, names: &[&str]| json!({"featureViewName": view, "featureColumns": columns(names)});
    json!({
        "entities": [
            {"spec": {"name": "__dummy", "joinKey": "__dummy_id"}},
            {"spec": {"name": "customer", "joinKey": "customer_id"}},
        ],
        "featureViews": [view("customer", "crm", customer), view("activity", "payments", activity)],
        "onDemandFeatureViews": [
            computed("checkout_risk", &["score", "basket_to_income"], none(), risk),
            computed("contact", &["email_domain"], none(), json!({"customer": whole})),
            computed("loyalty", &["band"], json!({"stage": "draft"}),
                json!({"activity": reads("activity", &["count_7d", "avg_amount"])})),
        ],
        "featureServices": [{"spec": {"name": "checkout", "features": [
            member("customer", &["country", "segment"]), member("activity", &["avg_amount"]),
            member("checkout_risk", &["score"]),
        ]}}],
    })
}

#[test]
fn the_catalogue_is_as_the_import_writes_it() {
    let import = feast::from_registry_dump(registry().to_string().as_bytes(), &Options::default()).unwrap();
    let kept = std::fs::read_to_string(repository().join("policies/demo/catalogue.yaml")).unwrap();
    let (for_editors, kept) = kept.split_once('\n').unwrap();
    assert!(for_editors.starts_with("# yaml-language-server: "), "{for_editors}");
    assert_eq!(import.catalogue.to_yaml(), kept);
    assert_eq!(import.warnings, Vec::<String>::new());
}
