//! `docs/findings.md` is the list of codes, and nothing else is.

use std::fmt::Write as _;
use std::sync::Arc;

use tagwarden::diagnostic::{Code, SourceFile};
use tagwarden::policy;

use crate::support::repository;

const HEAD: &str = "\
# Findings

What `tagwarden check` finds, and what `serve` refuses to start or reload with. Each finding has a place, a code and,
where a name is close to a known one, a suggestion:

```text
policy.yaml:3:25: error[unknown-word]: the permission of tag `pii` is `Dany`, not one of `Deny`, `AllowInternal`, `Allow`, `AllowDownstream`
 3 |   scoring: {tags: {pii: Dany}}
   |                         ^
   = help: did you mean `Deny`?
```

With an error nothing loads. With a warning it does, and probably does not say what was meant; `--deny-warnings` makes
warnings fail. `--format json` and `--format github` write findings for programs and for annotations in pull requests.
Codes are stable; the words of a message may change. This page is generated from the list of codes in the program, and the
examples below the table are what `check` says of files among its tests. [All pages](README.md).

| code | severity | what it means | what to do |
|---|---|---|---|
";

const EXAMPLES: &str = "
## Examples

Of each code one: its place, the line that is wrong, and where a name is close to another one what was probably meant; below it
what to do.
";

/// A code that no file shows, and why.
const WITHOUT: &[(Code, &str)] = &[(Code::TooManyRoles, "No example: it takes 65,536 roles.")];

/// Every finding that is held word for word by `golden`: the name of its case, and the finding with the line that it shows.
fn shown() -> Vec<(String, String)> {
    let mut files: Vec<_> =
        std::fs::read_dir(repository("tests/golden/check")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "stderr"));
    let mut found: Vec<(String, String)> = Vec::new();
    for path in files {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let begins = found.len();
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            if line.contains(": error[") || line.contains(": warning[") {
                found.push((name.clone(), String::new()));
            }
            if let Some((_, text)) = found.get_mut(begins..).and_then(<[_]>::last_mut)
                && (text.is_empty() || line.starts_with(' '))
            {
                writeln!(text, "{line}").unwrap();
            }
        }
    }
    found
}

/// The example of a code: of the case that is named like it, else the shortest one with a line to show.
fn example(code: Code, shown: &[(String, String)]) -> String {
    let marks = [format!(": error[{code}]: "), format!(": warning[{code}]: ")];
    let mine = shown.iter().filter(|(_, text)| marks.iter().any(|mark| text.contains(mark)));
    let best = mine.min_by_key(|(name, text)| {
        let lines = text.lines().count();
        (lines == 1, name != &code.to_string(), lines > 4, text.lines().next().unwrap().len(), name, text)
    });
    match (best, WITHOUT.iter().find(|(without, _)| *without == code)) {
        (Some((_, text)), None) => format!("```text\n{text}```\n"),
        (None, Some((_, why))) => format!("{why}\n"),
        (Some(_), Some(_)) => panic!("`{code}` has an example after all"),
        (None, None) => panic!("no file of tests/golden/check shows `{code}`"),
    }
}

#[test]
fn the_page_of_findings_is_the_list_of_codes() {
    let mut page = HEAD.to_owned();
    for code in Code::ALL {
        let (severity, means, remedy) = (code.severity(), code.means(), code.remedy());
        writeln!(page, "| [`{code}`](#{code}) | {severity} | {means} | {remedy} |").unwrap();
    }
    page.push_str(EXAMPLES);
    let shown = shown();
    for code in Code::ALL {
        let remedy = code.remedy().replace("; ", ";\n");
        write!(page, "\n### {code}\n\n{}\nTo mend it: {remedy}.\n", example(*code, &shown)).unwrap();
    }
    let path = repository("docs/findings.md");
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    if found != page && std::env::var_os("TAGWARDEN_BLESS").is_some() {
        std::fs::write(path, page).unwrap();
    } else {
        assert!(found == page, "docs/findings.md is stale: TAGWARDEN_BLESS=1 cargo test --test it findings writes it");
    }
}

#[test]
fn the_example_of_the_page_is_true() {
    let text = "version: 1\nroles:\n  scoring: {tags: {pii: Dany}}\n".to_owned();
    let file = Arc::new(SourceFile { name: "policy.yaml".to_owned(), text });
    let (_, report) = policy::load(&[file], &[]);
    assert!(HEAD.contains(&format!("```text\n{report}\n```")), "{report}");
}
