//! The documentation is true: every YAML block loads, every command runs or is covered by a test that is named here.

mod codes;
mod keys;
mod links;
mod rollout;
mod session;
mod start;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tagwarden::diagnostic::SourceFile;
use tagwarden::dialect::{Answer, json};
use tagwarden::issuer::clients;
use tagwarden::{config, policy, yaml};

/// A walk that begins in an empty folder.
const WORKSHOP: &str = "docs/workshop.md";
/// The first ten minutes; [`start`] walks them, with servers.
const START: &str = "docs/start.md";
/// Another one, and then examples of descriptions.
const DIALECTS: &str = "docs/dialects/README.md";

/// The README, the changelog, what is under docs/, and the page of each worked example.
fn documents() -> Vec<String> {
    let list = |folder: &str| {
        let entries = std::fs::read_dir(repository().join(folder)).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    };
    let pages = list("docs").into_iter().filter(|name| name.ends_with(".md")).map(|name| format!("docs/{name}"));
    let examples = list("policies").into_iter().map(|name| format!("policies/{name}/README.md"));
    ["README.md", "CHANGELOG.md", DIALECTS].map(str::to_owned).into_iter().chain(pages).chain(examples).collect()
}

/// What is not run here (whole, or where it ends with a space, its beginning), and the place and text of the test that
/// covers it.
const COVERED: &[(&str, &str, &str)] = &[
    ("cargo run --release -- demo", "tests/it/demo.rs", "fn it_stays_up_for_curl_and_for_edits("),
    ("tests/run", ".ci/run", "tests/run"),
    ("tests/run --only supply", "tests/run", "step supply "),
    ("tests/run --only e2e", "tests/run", "step e2e "),
    ("tests/run --only release", "tests/run", "step release "),
    ("sha256sum -c SHA256SUMS", "tests/release/test_archive.py", "def test_the_checksums_hold_until_a_byte_changes("),
    (
        "tar -x --strip-components=1 -C /usr/local -f ",
        "tests/release/test_archive.py",
        "def test_it_unpacks_over_a_prefix_and_runs(",
    ),
    ("docker build ", "tests/release/test_image.py", "def test_an_engine_makes_the_same_of_it("),
    (
        "docker run --read-only ",
        "tests/release/test_image.py",
        "def test_it_serves_as_nobody_without_capabilities_and_ends_when_told(",
    ),
    ("tests/supply/rebuild HEAD", "tests/run", "nice -n 19 tests/supply/rebuild HEAD "),
    ("feast serve -h 127.0.0.1 -p ", "tests/e2e/conftest.py", r#"[FEAST, "serve", "-h", "127.0.0.1", "-p", port"#),
    ("python3 inhouse_server.py 8000", "tests/e2e/test_inhouse.py", "def server("),
    (
        "curl -s http://127.0.0.1:8000/features ",
        "tests/e2e/test_inhouse.py",
        "def test_every_request_gets_what_the_page_shows(",
    ),
    (
        "curl -s 'http://127.0.0.1:8000/features/customer/1?feature=age&feature=email'",
        "tests/e2e/test_inhouse.py",
        "def test_every_request_gets_what_the_page_shows(",
    ),
    (
        "curl -s http://127.0.0.1:8080/features ",
        "tests/e2e/test_inhouse.py",
        "def test_every_request_gets_what_the_page_shows(",
    ),
    (
        "curl -s 'http://127.0.0.1:8080/features/customer/1?feature=age&feature=bank_country' ",
        "tests/e2e/test_inhouse.py",
        "def test_every_request_gets_what_the_page_shows(",
    ),
    ("helm ", "tests/charts/test_contents.py", "def test_every_command_of_the_page_runs("),
    ("kubectl ", "tests/charts/test_contents.py", "def test_every_command_of_the_page_runs("),
    ("mkdir -p keys && openssl genpkey ", "tests/charts/test_contents.py", "def test_every_command_of_the_page_runs("),
    ("feast listen -a ", "tests/e2e/conftest.py", r#"[FEAST, "listen", "-a", f"127.0.0.1:{port}"]"#),
    ("import grpc", "tests/e2e/test_feast_grpc.py", "def test_what_is_permitted_is_as_feast_gives_it("),
    ("feast registry-dump > registry-dump.json", "tests/e2e/conftest.py", r#"feast_repo.feast("registry-dump")"#),
    (
        "tagwarden catalogue import feast \"http://127.0.0.1:6572/api/v1?project=shop\" -o catalogue.yaml",
        "tests/e2e/test_feast_refused.py",
        "def test_the_rest_registry_gives_the_same_catalogue(",
    ),
    (
        "tagwarden serve --config tagwarden.yaml",
        "tests/e2e/conftest.py",
        r#"[TAGWARDEN, "serve", "--config", self.config]"#,
    ),
    ("curl -s http://127.0.0.1:8080/get-online-features ", "tests/e2e/test_feast_replay.py", "def test_accepted("),
    (
        "tagwarden diff git:origin/main:policies policies --catalogue catalogue.yaml --format markdown",
        "tests/it/diff.rs",
        "fn a_side_may_be_a_revision(",
    ),
    (
        "tagwarden diff policy.yaml policy-next.yaml --against audit.jsonl",
        "tests/it/diff.rs",
        "fn recorded_queries_are_replayed(",
    ),
    (
        "curl -s http://127.0.0.1:9902/metrics | grep tagwarden_shadow_disagreements_total",
        "tests/it/docs/rollout.rs",
        "fn the_shadow_logs_what_the_walk_shows(",
    ),
    (
        r#"grep '"decision":"refused"' audit.jsonl"#,
        "tests/it/audit_mode.rs",
        "fn what_would_be_refused_passes_whole_and_is_recorded(",
    ),
    ("cargo build --release", "tests/it/bench.rs", "fn the_large_policy_is_written_checked_compared_and_reloaded("),
    (
        "tests/bench/compare --stand-alone --md table.md",
        "tests/it/bench.rs",
        "fn the_comparison_checks_every_peer_and_measures_them_beside_each_other(",
    ),
    ("tests/bench/flat.py", "tests/it/bench.rs", "fn what_a_request_costs_is_measured_by_features_roles_and_tokens("),
    ("tests/bench/counts", "tests/it/bench.rs", "fn counts_are_compared_and_what_grew_is_named("),
    ("tests/bench/counts --against HEAD~1", "tests/it/bench.rs", "fn counts_are_compared_and_what_grew_is_named("),
    ("tests/bench/scale.py", "tests/it/bench.rs", "fn the_large_policy_is_written_checked_compared_and_reloaded("),
    (
        "curl -s http://127.0.0.1:8080/oauth/token -u \"fraud-svc:$SECRET\" -d grant_type=client_credentials",
        "tests/e2e/test_oauth_clients.py",
        "def test_curl(",
    ),
    ("tests/bench/tokens.py", "tests/e2e/test_bench_tokens.py", "def test_every_part_of_the_token_bench_runs("),
    (
        "chalkpy export export.pb --directory . --proto",
        "tests/e2e/test_chalk_tokens.py",
        "def test_an_export_is_a_catalogue(",
    ),
    (
        "from chalk.client import ChalkClient",
        "tests/e2e/test_chalk_tokens.py",
        "def test_the_client_gets_its_token_and_stays_here(",
    ),
    (
        "tagwarden conformance serve --dialect feast --listen 127.0.0.1:6566",
        "tests/it/conformance/command.rs",
        "fn the_page_holds_as_it_is_written(",
    ),
    (
        "tagwarden serve --config conformance/tagwarden.yaml",
        "tests/it/conformance/command.rs",
        "fn the_page_holds_as_it_is_written(",
    ),
    ("for caller in $(cat conformance/callers); do ", "tests/it/conformance/command.rs", r#"shown("for caller in ")"#),
    (
        "tagwarden conformance run --target http://127.0.0.1:8080 --dialect feast ",
        "tests/it/conformance/command.rs",
        "fn the_page_holds_as_it_is_written(",
    ),
    ("curl -s http://127.0.0.1:9902/metrics", "tests/prometheus/stack.py", "def scrape("),
    (
        "promtool check config prometheus.yml",
        "tests/prometheus/test_live.py",
        "def test_the_configuration_of_the_page_is_one(",
    ),
    ("prometheus --config.file=prometheus.yml ", "tests/prometheus/conftest.py", "def scrape_config("),
    ("from feast import FeatureStore", "tests/e2e/test_feast_client.py", "def test_the_client_reads_unchanged("),
];

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text_of(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A fenced block: where it begins, its language, its text without the indentation of the fence.
struct Block {
    place: String,
    line: usize,
    indent: usize,
    language: String,
    text: String,
}

fn blocks(document: &str, markdown: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (line, number) in markdown.lines().zip(1..) {
        let (indent, rest) = (line.len() - line.trim_start().len(), line.trim_start());
        match (&mut open, rest.strip_prefix("```")) {
            (None, Some(language)) => {
                let place = format!("{document}:{number}");
                open = Some(Block { place, line: number, indent, language: language.to_owned(), text: String::new() });
            }
            (None, None) => {}
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => {
                block.text.push_str(line.get(block.indent..).unwrap_or_default());
                block.text.push('\n');
            }
        }
    }
    assert!(open.is_none(), "{document}: a block does not end");
    blocks
}

/// A folder like the reader's own: what the blocks so far have put into it, and a registry.
struct Folder(PathBuf);

impl Folder {
    fn new(document: &str) -> Self {
        let name = format!("tagwarden-docs-{}-{}", document.replace('/', "-"), std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        let fixture = "tests/fixtures/feast/registry/registry-dump.json";
        let dump = if document == WORKSHOP { "docs/workshop/registry-dump.json" } else { fixture };
        std::fs::copy(repository().join(dump), path.join("registry-dump.json")).unwrap();
        if document == "docs/chalk.md" {
            let export = repository().join("tests/fixtures/chalk/lineage/rich.export.pb");
            std::fs::copy(export, path.join("export.pb")).unwrap();
        }
        if document.starts_with("policies/") {
            copy(repository().join(document).parent().unwrap(), &path);
        }
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let place = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir_all(&place).unwrap();
            copy(&entry.path(), &place);
        } else {
            std::fs::copy(entry.path(), place).unwrap();
        }
    }
}

fn source(name: &str, text: &str) -> Arc<SourceFile> {
    Arc::new(SourceFile { name: name.to_owned(), text: text.to_owned() })
}

/// Loads a YAML block as what its first line says it is, and puts it where a command would look for it.
fn load(block: &Block, folder: &Folder) {
    let name = block.text.lines().next().and_then(|line| line.strip_prefix("# ")).unwrap_or_default();
    let file = source(&block.place, &block.text);
    let report = match name {
        // Of a file that `tests/run --only charts` renders.
        path if path.starts_with("charts/") => {
            let shown = block.text.split_once('\n').map_or("", |(_, rest)| rest);
            assert!(text_of(path).contains(shown), "{}: that is not what stands in {path}", block.place);
            return;
        }
        // The commands that follow load it.
        path if ["policies/", WORKSHOP].iter().any(|from| block.place.starts_with(from))
            || (block.place.starts_with(DIALECTS) && path != "dialect.yaml") =>
        {
            let path = folder.0.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, &block.text).unwrap();
            return;
        }
        "policy.yaml" => {
            let catalogue = source("catalogue", &text_of("tests/fixtures/feast/catalogue.yaml"));
            policy::load(&[file], &[catalogue]).1
        }
        "clients.yaml" => clients::read(&file).1,
        "policy-next.yaml" => policy::load(&[file], &[]).1,
        "catalogue.yaml" => policy::load(&[source("policy", "version: 1")], &[file]).1,
        "dialect.yaml" => json::load(&file).1,
        "tagwarden.yaml" => config::read(&file, &folder.0, &|_| None).1,
        // Those of Prometheus and its operator: tests/prometheus runs with the one and reads the other.
        "prometheus.yml" | "servicemonitor.yaml" => {
            yaml::parse(&file).unwrap_or_else(|why| panic!("{why}"));
            return;
        }
        // Feast's own: the end-to-end tests make the same one in Python.
        "feature_store.yaml" => {
            yaml::parse(&file).unwrap_or_else(|why| panic!("{why}"));
            return;
        }
        other => panic!("{}: the first line of a yaml block names what it is, not `{other}`", block.place),
    };
    assert_eq!(report.errors(), 0, "{report}");
    if !["catalogue.yaml", "clients.yaml"].contains(&name) {
        std::fs::write(folder.0.join(name), &block.text).unwrap();
    }
}

/// An example of an answer has the features `age` and `country` by the description before it, and nothing that is cut.
fn answer(block: &Block, folder: &Folder) {
    let text = std::fs::read_to_string(folder.0.join("dialect.yaml")).unwrap();
    let (description, report) = json::load(&source("dialect.yaml", &text));
    let description = description.unwrap_or_else(|| panic!("{report}"));
    let layout = &description.routes[0].answer;
    let mut names = Vec::new();
    let want = json::answer::Want { kept: &|_| Some(2), asked_for: &[] };
    let cut = json::answer::cut(block.text.as_bytes(), layout, &want, &mut |column| {
        names.push(column.name.to_owned());
        Some(json::plan::Fate::Keep)
    });
    let cut = cut.unwrap_or_else(|why| panic!("{}: {why:?}", block.place));
    assert_eq!(names, ["age", "country"], "{}", block.place);
    assert_eq!(cut, Answer::AsItCame, "{}", block.place);
}

/// The commands of a block: a line each, those that end with a back slash joined.
fn commands(block: &Block) -> Vec<String> {
    let text = block.text.replace("\\\n", " ");
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

fn covers(begins: &str, command: &str) -> bool {
    command == begins || (begins.ends_with(' ') && command.starts_with(begins))
}

/// Runs what a document shows; how many blocks were loaded and commands were run. Gives the document as it should be.
fn walk(document: &str, used: &mut BTreeSet<&str>) -> (usize, usize, String) {
    let folder = Folder::new(document);
    let text = text_of(document);
    let mut real: Vec<String> = text.lines().map(str::to_owned).collect();
    let (mut loaded, mut ran) = (0, 0);
    // What a block really prints may be longer or shorter than what it shows.
    let mut moved = 0_isize;
    for block in blocks(document, &text) {
        let lines = match block.language.as_str() {
            "yaml" => {
                load(&block, &folder);
                loaded += 1;
                if block.text.starts_with("# .github/workflows/") {
                    ran += session::job(&block.place, &block.text, &folder.0);
                }
                Vec::new()
            }
            "console" if session::is_session(&block.text) => {
                let (steps, printed) = session::run(&block.place, &block.text, &folder.0);
                let indent = " ".repeat(block.indent);
                let indented = |line: &str| if line.is_empty() { String::new() } else { format!("{indent}{line}") };
                let printed: Vec<String> = printed.lines().map(indented).collect();
                let (from, shown) = (block.line.saturating_add_signed(moved), block.text.lines().count());
                moved += printed.len().cast_signed() - shown.cast_signed();
                real.splice(from..from + shown, printed);
                ran += steps;
                Vec::new()
            }
            "console" | "sh" => commands(&block),
            "python" => commands(&block).into_iter().take(1).collect(),
            "text" => Vec::new(),
            "json" => {
                answer(&block, &folder);
                Vec::new()
            }
            other => panic!("{}: a block of the language `{other}`", block.place),
        };
        for command in lines {
            if let Some((begins, ..)) = COVERED.iter().find(|(begins, ..)| covers(begins, &command)) {
                used.insert(begins);
                continue;
            }
            assert!(command.starts_with("tagwarden "), "{}: nothing covers `{command}`", block.place);
            let output = session::shell(&folder.0, &command).output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{}: `{command}`\n{text}{errors}", block.place);
            assert!(!command.starts_with("tagwarden check ") || text.contains("0 errors, "), "{command}\n{text}");
            ran += 1;
        }
    }
    (loaded, ran, real.join("\n") + "\n")
}

#[test]
fn every_block_loads_and_every_command_runs_and_prints_what_is_shown() {
    let mut used: BTreeSet<&str> = BTreeSet::new();
    let (mut loaded, mut ran) = (0, 0);
    for document in documents().into_iter().filter(|document| document != START) {
        let (blocks, commands, real) = walk(&document, &mut used);
        if std::env::var_os("TAGWARDEN_BLESS").is_some() {
            std::fs::write(repository().join(&document), &real).unwrap();
        }
        let text = text_of(&document);
        let differs = text.lines().zip(real.lines()).zip(1..).find(|((shown, real), _)| shown != real);
        assert!(text == real, "{document} does not show what is printed, first at {differs:?}; it is:\n{real}");
        (loaded, ran) = (loaded + blocks, ran + commands);
    }
    assert_eq!(used, COVERED.iter().map(|(begins, ..)| *begins).collect(), "one of the list stands nowhere");
    assert!(loaded >= 8 && ran >= 8, "{loaded} blocks and {ran} commands");
}

#[test]
fn what_covers_the_rest_is_there() {
    for (begins, place, text) in COVERED {
        assert!(text_of(place).contains(text), "`{begins}`: no `{text}` in {place}");
    }
}

fn section<'t>(text: &'t str, heading: &str) -> &'t str {
    let text = text.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no `{heading}`")).1;
    text.split_once("\n## ").map_or(text, |(section, _)| section)
}

/// The words between back ticks.
fn ticked(text: &str) -> BTreeSet<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn the_readme_lists_every_command_and_none_that_is_not_there() {
    let output = Command::new(env!("CARGO_BIN_EXE_tagwarden")).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let commands = help.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    let names = commands.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    let names: BTreeSet<&str> =
        names.filter_map(|line| line.split(' ').next()).filter(|name| *name != "help").collect();
    let readme = text_of("README.md");
    let rows = section(&readme, "Commands").lines().filter_map(|line| line.strip_prefix("| `")?.split(" |").next());
    let listed: BTreeSet<&str> = rows.flat_map(|row| row.split(", ")).map(|name| name.trim_matches('`')).collect();
    assert_eq!(listed, names);
    let missing = ticked(section(&readme, "Not there yet"));
    assert!(missing.contains("json"), "{missing:?}");
    assert_eq!(missing.intersection(&names).collect::<Vec<_>>(), Vec::<&&str>::new());
}
