//! Blocks that show a terminal: lines that begin with `$ ` are typed, what follows each is what it prints, both streams
//! together. A line `...` stands for any number of lines, and `…` within a line for any text. A command that fails is followed by `$ echo $?`.
//!
//! With TAGWARDEN_BLESS=1 the documents are written anew with what the commands print.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use tagwarden::diagnostic::SourceFile;
use tagwarden::yaml::{self, Node, Value};

/// A command and what it is shown to print.
struct Step {
    command: String,
    shown: Vec<String>,
}

/// Whether a block shows a terminal.
pub fn is_session(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("$ "))
}

/// A shell in a folder, in which `tagwarden` is this build's and git is nobody's in particular.
pub fn shell(folder: &Path, line: &str) -> Command {
    let program = Path::new(env!("CARGO_BIN_EXE_tagwarden"));
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", line])
        .current_dir(folder)
        .env("PATH", format!("{}:{path}", program.parent().unwrap().display()))
        .env("HOME", folder)
        .env("no_proxy", "*")
        .env_remove("TAGWARDEN_CONFIG")
        .envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")])
        .envs([("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_0", "init.defaultBranch"), ("GIT_CONFIG_VALUE_0", "main")])
        .envs([("GIT_AUTHOR_NAME", "a"), ("GIT_AUTHOR_EMAIL", "a@b.example")])
        .envs([("GIT_COMMITTER_NAME", "a"), ("GIT_COMMITTER_EMAIL", "a@b.example")]);
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        shell.env_remove(name);
    }
    shell
}

/// Runs the commands of a block. How many there were, and the block with what they really print.
pub fn run(place: &str, text: &str, folder: &Path) -> (usize, String) {
    let steps = steps(place, text);
    let (mut real, mut failed) = (String::new(), 0);
    for (step, number) in steps.iter().zip(1..) {
        let (printed, code) = if step.command == "echo $?" {
            (format!("{failed}\n"), 0)
        } else {
            let output = shell(folder, &format!("exec 2>&1\n{}", step.command)).output().unwrap();
            (String::from_utf8(output.stdout).unwrap(), output.status.code().unwrap())
        };
        let told = steps.get(number).is_some_and(|next| next.command == "echo $?");
        assert!(code == 0 || told, "{place}: `{}` is {code}, and nothing shows it\n{printed}", step.command);
        failed = code;
        let lines: Vec<&str> = printed.lines().collect();
        real.push_str(&format!("$ {}\n", step.command));
        let shown: Vec<&str> = step.shown.iter().map(String::as_str).collect();
        for line in if matches(&shown, &lines) { shown } else { lines } {
            real.push_str(line);
            real.push('\n');
        }
    }
    (steps.len(), real)
}

fn steps(place: &str, text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut goes_on = false;
    for line in text.lines() {
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (None, None) => panic!("{place}: a terminal begins with a command"),
            (None, Some(step)) if goes_on => step.command.push_str(&format!("\n{line}")),
            (None, Some(step)) => step.shown.push(line.to_owned()),
            (Some(command), _) => steps.push(Step { command: command.to_owned(), shown: Vec::new() }),
        }
        goes_on = line.ends_with('\\') && (goes_on || line.starts_with("$ "));
    }
    steps
}

/// Runs the steps of a GitHub workflow, as for a pull request towards the branch `main`; how many there were. A step that
/// looks at `$REVIEWED` fails without it, and passes with it.
pub fn job(place: &str, text: &str, folder: &Path) -> usize {
    let file = Arc::new(SourceFile { name: place.to_owned(), text: text.to_owned() });
    let mut scripts = Vec::new();
    let node = yaml::parse(&file).unwrap_or_else(|why| panic!("{why}"));
    runs(&node, &mut scripts);
    let step = |script: &str, reviewed: &str| {
        let mut step = shell(folder, &format!("set -e\n{script}"));
        step.envs([("GITHUB_BASE_REF", "main"), ("GITHUB_STEP_SUMMARY", "summary.md"), ("REVIEWED", reviewed)]);
        let output = step.output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.success(), said)
    };
    assert!(shell(folder, "git update-ref refs/remotes/origin/main main").status().unwrap().success());
    for script in &scripts {
        let (passes, said) = step(script, "true");
        assert!(passes, "{place}: `{script}`\n{said}");
        if script.contains("$REVIEWED") {
            assert!(!step(script, "false").0, "{place}: `{script}` passes although nobody reviewed it");
        }
    }
    scripts.len()
}

/// The texts under `run`, in their order.
fn runs(node: &Node, found: &mut Vec<String>) {
    match &node.value {
        Value::Map(entries) => {
            for (key, value) in entries {
                match &value.value {
                    Value::Str(script) if key.name == "run" => found.push(script.clone()),
                    _ => runs(value, found),
                }
            }
        }
        Value::Seq(items) => items.iter().for_each(|item| runs(item, found)),
        _ => {}
    }
}

/// Whether lines are as shown; `...` is any number of them.
fn matches(shown: &[&str], lines: &[&str]) -> bool {
    match (shown.split_first(), lines.split_first()) {
        (None, None) => true,
        (Some((&"...", rest)), _) => (0..=lines.len()).any(|skipped| matches(rest, &lines[skipped..])),
        (Some((shown, shown_rest)), Some((line, rest))) => alike(shown, line) && matches(shown_rest, rest),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

/// Whether a line is as shown; `…` is any text of at least one character.
pub fn alike(shown: &str, line: &str) -> bool {
    let mut parts = shown.split('…');
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let skipped = rest.chars().next().map_or(0, char::len_utf8);
        let Some(at) = rest[skipped..].find(part) else { return false };
        rest = &rest[skipped + at + part.len()..];
    }
    rest.len() > last.len() && rest.ends_with(last)
}

#[test]
fn a_terminal_that_shows_something_else_is_noticed() {
    let folder = std::env::temp_dir();
    let same = |text: &str| run("here", text, &folder).1 == text;
    assert!(same("$ printf 'a\\nb\\n'\na\nb\n"));
    assert!(same("$ printf 'a\\nb\\nc\\n'\na\n...\n"));
    assert!(same("$ printf 'a\\n' \\\n    >&2\na\n$ sh -c 'exit 3'\n$ echo $?\n3\n"));
    assert!(same("$ command -v tagwarden > /dev/null && echo found\nfound\n"));
    assert_eq!(
        run("here", "$ printf 'a\\nb\\nc\\n'\na\nc\n$ true\nx\n", &folder).1,
        "$ printf 'a\\nb\\nc\\n'\na\nb\nc\n$ true\n"
    );
    assert!(!same("$ printf 'a\\nb\\n'\n...\nc\n"));
    assert!(same("$ echo id=1,x=2,end\nid=…,x=…,end\n") && !same("$ echo id=,x=2,end\nid=…,x=…,end\n"));
    assert!(!same("$ echo id=1,x=2,end\nid=…,y=…,end\n") && !same("$ echo id=1\nid=…,end\n"));
    assert!(alike("a…", "ab") && !alike("a…", "a") && !alike("a", "ab") && !alike("…b…", "ab"));
}
