//! `tagwarden conformance`, as docs/conformance.md shows it.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tagwarden::conformance::Dialect;

use crate::support::process::{Process, command, run};
use crate::support::{Folder, repository};

/// The feature server of the table, as a process.
struct Server(Child, String);

impl Server {
    fn start(arguments: &str) -> Self {
        let mut child = command(arguments.split(' ')).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let at = line.trim_end().rsplit_once("http://").unwrap_or_else(|| panic!("{line}")).1.to_owned();
        Self(child, at)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Runs a line in a shell in which `tagwarden` is this build's: exit code, standard output, standard error.
fn shell(folder: &Path, line: &str) -> (i32, String, String) {
    let program = Path::new(env!("CARGO_BIN_EXE_tagwarden")).parent().unwrap().display().to_string();
    let path = format!("{program}:{}", std::env::var("PATH").unwrap());
    let output = Command::new("sh").args(["-c", line]).current_dir(folder).env("PATH", path).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// The lines of the page that begin so.
fn shown(begins: &str) -> String {
    let page = std::fs::read_to_string(repository("docs/conformance.md")).unwrap();
    let found: Vec<&str> = page.lines().filter(|line| line.starts_with(begins)).collect();
    assert_eq!(found.len(), 1, "{begins}: {found:?}");
    found[0].to_owned()
}

#[tokio::test]
async fn the_page_holds_as_it_is_written() {
    let folder = Folder::new();
    let (code, written, _) = shell(&folder.path(""), "tagwarden conformance export conformance --dialect feast");
    assert_eq!((code, written.lines().count()), (0, 5), "{written}");

    // On free ports; all else is as it stands there.
    let serve = shown("tagwarden conformance serve ").replace(":6566", ":0");
    let server = Server::start(serve.strip_prefix("tagwarden ").unwrap());
    let config = folder.path("conformance/tagwarden.yaml");
    let mut text = std::fs::read_to_string(&config).unwrap();
    for (variable, at) in
        [("LISTEN", "127.0.0.1:0"), ("METRICS", "127.0.0.1:0"), ("ADMIN", "127.0.0.1:0"), ("UPSTREAM", &server.1)]
    {
        let (head, rest) = text.split_once(&format!("${{{variable}:-")).unwrap();
        text = format!("{head}{at}{}", rest.split_once('}').unwrap().1);
        // The public address is made of the first.
        text = text.replace("${LISTEN:-127.0.0.1:8080}", "127.0.0.1:8080");
    }
    std::fs::write(&config, text).unwrap();
    assert_eq!(shown("tagwarden serve "), "tagwarden serve --config conformance/tagwarden.yaml");
    let sidecar = Process::serve(&config, &[]).await;

    let (code, _, errors) = shell(&folder.path(""), &shown("for caller in "));
    assert_eq!(code, 0, "{errors}");
    let line = shown("tagwarden conformance run ").replace("127.0.0.1:8080", &sidecar.data.to_string());
    let (code, text, errors) = shell(&folder.path(""), &line);
    assert_eq!(code, 0, "{text}{errors}");
    let last = text.lines().last().unwrap();
    let page = std::fs::read_to_string(repository("docs/conformance.md")).unwrap();
    assert!(last.contains(" 0 with faults, ") && page.contains(last), "{last}");

    // Without anybody in front of the feature server there are faults.
    let line = shown("tagwarden conformance run ").replace("127.0.0.1:8080", &server.1);
    let (code, text, _) = shell(&folder.path(""), &line);
    assert_eq!(code, 1);
    let fault = "  FAULT AllowInternal is not returned\n          expected: refused; came: an answer\n          a value of `raw.pii` came through\n";
    assert!(text.contains(fault) && page.contains(fault), "{text}");

    let (code, json, _) =
        shell(&folder.path(""), &format!("{line} --format json --case 'Deny is not returned|not a case'"));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, &json["failed"], &json["cases"][0]["verdict"]), (1, &1.into(), &"failed".into()), "{json}");
    let (code, junit, _) = shell(&folder.path(""), &format!("{line} --format junit --case 'default|key is an output'"));
    assert_eq!(code, 1);
    assert!(junit.starts_with("<?xml") && junit.contains("<failure>expected: refused; came: an answer"), "{junit}");
    assert!(junit.contains("role&apos;s") || junit.contains("the role's default"), "{junit}");
    assert!(junit.contains("<skipped message=\"keys are of no view and no project\"/>"), "{junit}");
}

/// What is exported is what an engine loads, in every dialect.
#[test]
fn every_export_loads() {
    let folder = Folder::new();
    for dialect in Dialect::ALL.map(Dialect::name) {
        let at = folder.path(dialect).display().to_string();
        let (code, written, errors) = run(["conformance", "export", &at, "--dialect", dialect]);
        assert_eq!(code, 0, "{errors}");
        let described = written.lines().any(|line| line.ends_with("/dialect.yaml"));
        assert_eq!(described, dialect.starts_with("json-"), "{written}");
        let (code, found, errors) = run(["check", "--config", &format!("{at}/tagwarden.yaml")]);
        assert!(code == 0 && found.starts_with("0 errors, "), "{found}{errors}");
    }
}

#[test]
fn what_cannot_be_run_is_told() {
    let run = |line: &str| {
        let (code, out, errors) = run(line.split(' '));
        assert_eq!(out, "", "{line}");
        (code, errors)
    };
    let nowhere = "conformance run --target http://127.0.0.1:1 --dialect feast";
    let (code, errors) = run(nowhere);
    assert_eq!(code, 2);
    assert!(errors.starts_with("these callers have no `--token-for`: allowlist, "), "{errors}");
    assert_eq!(
        run(&format!("{nowhere} --token-for app=/nonexistent/token")).1,
        "`/nonexistent/token` cannot be read: No such file or directory (os error 2)\n"
    );
    assert_eq!(run(&format!("{nowhere} --case zzz")), (1, "there is no case to run\n".to_owned()));
    assert_eq!(
        run("conformance run --target nowhere --dialect feast --case zzz").1,
        "the address is not usable: it begins with neither `http://` nor `https://`\n"
    );
    assert_eq!(
        run("conformance export /nonexistent --dialect feast --file relations"),
        (2, "the file `relations` is not for `feast`: other names lead nowhere\n".to_owned())
    );
    assert_eq!(run("conformance export /nonexistent --dialect best").0, 2);
    // Where nobody answers every case has a fault.
    let (code, text, _) = {
        let line = format!("{nowhere} --case without.a.token");
        crate::support::process::run(line.split(' '))
    };
    assert_eq!(code, 1);
    assert!(text.contains("FAULT without a token there is no answer\n          it cannot be asked: "), "{text}");
}
