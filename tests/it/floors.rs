//! The house: a file uses the floors below its own, and its own children; some floors are pure.

use std::collections::BTreeSet;
use std::path::Path;

use crate::support::repository;

/// From the top down. Modules of one floor do not know each other, but where they stand together in one name.
const FLOORS: &[&[&str]] = &[
    &["main"],
    &["cli"],
    &["conformance"],
    &["app"],
    &["admin", "server"],
    &["live"],
    // What a request goes through and what it reads are made for each other.
    &["proxy+snapshot"],
    &["auth"],
    &["issuer"],
    &["dialect", "import"],
    &["policy"],
    &["metrics", "audit", "trace", "upstream"],
    &["config", "reload"],
    &["tls", "fetch", "grpc"],
    &["chalk"],
    &["json", "yaml", "schema"],
    &["diagnostic", "hex"],
];

/// No runtime, no network, no log, no file, no clock: bytes and time are arguments.
const PURE: &[&str] = &["policy", "dialect", "import", "chalk", "json", "yaml", "schema", "diagnostic", "hex"];
const IMPURE: &[&str] = &[
    "tokio",
    "tokio_rustls",
    "hyper",
    "hyper_util",
    "tracing",
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "std::io",
    "SystemTime",
    "Instant",
];

/// The floor of a module, and the name under which it stands there.
fn floor(module: &str) -> (usize, &'static str) {
    let found = FLOORS.iter().enumerate().find_map(|(number, floor)| {
        let name = floor.iter().find(|name| name.split('+').any(|one| one == module))?;
        Some((number, *name))
    });
    found.unwrap_or_else(|| panic!("module `{module}` has no floor: add it to the list"))
}

/// The code of a file: no comments, no literals, no tests at its end.
fn code(text: &str) -> String {
    let (mut code, mut rest) = (String::new(), text.split("#[cfg(test)]\nmod tests {").next().unwrap());
    while let Some(c) = rest.chars().next() {
        let skip = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |at| at + 2),
            '"' => {
                let mut escaped = false;
                let end = rest[1..].find(|c| {
                    let ends = c == '"' && !escaped;
                    escaped = c == '\\' && !escaped;
                    ends
                });
                end.map_or(rest.len(), |at| at + 2)
            }
            'r' if rest.starts_with("r#\"") => rest.find("\"#").map_or(rest.len(), |at| at + 2),
            _ => 0,
        };
        if skip > 0 {
            rest = &rest[skip..];
            continue;
        }
        if rest.starts_with("'\"'") {
            rest = &rest[3..];
            continue;
        }
        code.push(c);
        rest = &rest[c.len_utf8()..];
    }
    code
}

/// The modules behind every `root` of a text: `root::a::…`, and each of `root::{a::…, b}`.
fn modules(code: &str, root: &str) -> BTreeSet<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices(&format!("{root}::")) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let rest = &code[at + root.len() + 2..];
        let Some(group) = rest.strip_prefix('{') else {
            found.insert(word(rest));
            continue;
        };
        let (mut depth, mut fresh) = (1, true);
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => fresh = true,
                _ if fresh && c.is_alphabetic() => {
                    found.insert(word(&group[at..]));
                    fresh = false;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    found
}

/// Every file of `src` but tests: its path below `src`, its module, its code.
fn sources() -> Vec<(String, String, String)> {
    fn walk(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            match path.is_dir() {
                true if name != "tests" => walk(&path, files),
                false if name.ends_with(".rs") && name != "tests.rs" => files.push(path),
                _ => {}
            }
        }
    }
    let (root, mut files) = (repository("src"), Vec::new());
    walk(&root, &mut files);
    files.sort();
    let source = |path: &std::path::PathBuf| {
        let below = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        let module = below.split('/').next().unwrap().trim_end_matches(".rs").to_owned();
        (below, module, code(&std::fs::read_to_string(path).unwrap()))
    };
    files.iter().map(source).filter(|(_, module, _)| module != "lib").collect()
}

#[test]
fn no_arrow_points_up() {
    let sources = sources();
    assert!(sources.len() > 30, "{}", sources.len());
    let mut up = Vec::new();
    for (file, module, code) in &sources {
        let (own, name) = floor(module);
        let root = if module == "main" { "tagwarden" } else { "crate" };
        for used in modules(code, root) {
            let (other, other_name) = floor(&used);
            if used != *module && other_name != name && other <= own {
                up.push(format!("src/{file} uses {used}"));
            }
        }
    }
    assert!(up.is_empty(), "arrows that point up or aside:\n{}", up.join("\n"));
}

#[test]
fn the_pure_floors_are_pure() {
    let mut impure = Vec::new();
    for (file, _, code) in sources().iter().filter(|(_, module, _)| PURE.contains(&module.as_str())) {
        let words: BTreeSet<&str> = code.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
        let of_std = modules(code, "std");
        for name in IMPURE {
            let uses = match name.strip_prefix("std::") {
                Some(module) => of_std.contains(module),
                None => words.contains(name),
            };
            if uses {
                impure.push(format!("src/{file} uses {name}"));
            }
        }
    }
    assert!(impure.is_empty(), "not pure:\n{}", impure.join("\n"));
}

#[test]
fn these_tests_can_fail() {
    let text = "use crate::{a::B, c::{D, E}, f};\n// crate::g\nfn h() -> crate::i::J { \"crate::k \\\" crate::l\"; mycrate::m }";
    assert_eq!(modules(&code(text), "crate").into_iter().collect::<Vec<_>>(), ["a", "c", "f", "i"]);
    assert_eq!(code("a /* b */ c // d\n r#\"e\"# '\"' f"), "a  c \n   f");
    assert!(floor("main") < floor("cli") && floor("snapshot") == floor("proxy"));
    let below = code("use x;\n#[cfg(test)]\nmod tests {\n use crate::y; }");
    assert_eq!(below.trim(), "use x;");
}
