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
Codes are stable; the words of a message may change. This page is generated from the list of codes in the program.

| code | severity | what it means | what to do |
|---|---|---|---|
";

#[test]
fn the_page_of_findings_is_the_list_of_codes() {
    let mut page = HEAD.to_owned();
    for code in Code::ALL {
        writeln!(page, "| `{code}` | {} | {} | {} |", code.severity(), code.means(), code.remedy()).unwrap();
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
