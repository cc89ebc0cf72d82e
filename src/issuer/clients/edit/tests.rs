use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::issuer::clients::read::read_at;

/// 2026-11-23T08:00:00Z.
const NOW: u64 = 1_795_420_800;
const DAY: u64 = 86_400;

fn source(text: &str) -> Arc<SourceFile> {
    Arc::new(SourceFile { name: "clients.yaml".into(), text: text.into() })
}

fn sha(byte: char) -> String {
    format!("sha256:{}", byte.to_string().repeat(64))
}

fn fresh(kind: Kind, id: &str) -> Fresh {
    Fresh { kind, id: id.to_owned(), hash: sha('f') }
}

fn claims(value: Json) -> Map<String, Json> {
    serde_json::from_value(value).unwrap()
}

/// Hashes as single letters, so that texts are short here.
fn short(text: &str) -> String {
    ["a", "b", "c", "f"].iter().fold(text.to_owned(), |text, letter| text.replace(&letter.repeat(64), letter))
}

fn long(text: &str) -> String {
    let long = |text: String, letter: &str| {
        text.replace(&format!("sha256:{letter}"), &format!("sha256:{}", letter.repeat(64)))
    };
    ["a", "b", "c", "f"].iter().fold(text.to_owned(), |text, letter| long(text, letter))
}

fn shown(edited: Result<Edited, EditError>) -> (String, Vec<String>) {
    let edited = edited.unwrap_or_else(|error| panic!("{error}"));
    (short(&edited.text), edited.notes)
}

const FILE: &str = r#"# Who may ask.
version: 1

clients:
  # The fraud team's.
  fraud-svc:                       # since 2024
    secrets:
      - {id: s1, hash: "sha256:a"} # rotated every March
    claims: {groups: [scoring]}    # as agreed
    disabled: false                # not yet

  # Nightly.
  batch:
    api_keys:
    - id: k7
      hash: "sha256:b"
# The end.
"#;

#[test]
fn a_client_is_added_after_the_others() {
    let claims = claims(json!({"groups": ["a b"], "level": 3, "yes": null, "x": {"/": 1.0}}));
    let added = add(&source(&long(FILE)), "new", &claims, &[fresh(Kind::Secret, "s1"), fresh(Kind::ApiKey, "k1")], NOW);
    let expected = FILE.replace(
        "# The end.",
        r#"  new:
    secrets:
      - {id: s1, hash: "sha256:f"}
    api_keys:
      - {id: k1, hash: "sha256:f", created: "2026-11-23"}
    claims: {groups: ["a b"], level: 3, x: {"/": 1.0}, "yes": null}
# The end."#,
    );
    assert_eq!(shown(added), (expected, vec![]));
}

#[test]
fn a_first_client_makes_the_file() {
    let added = add(&source(EMPTY), "true", &Map::new(), &[fresh(Kind::Secret, "s1")], NOW);
    let head = EMPTY.strip_suffix(" {}\n").unwrap();
    let expected = format!("{head}\n  \"true\":\n    secrets:\n      - {{id: s1, hash: \"sha256:f\"}}\n");
    assert_eq!(shown(added), (expected.clone(), vec![]));
    let commented = source("version: 1\nclients: {}  # nobody yet\n# end");
    let (text, notes) = shown(add(&commented, "a", &Map::new(), &[], NOW));
    assert_eq!((text.as_str(), notes), ("version: 1\nclients:  # nobody yet\n  a: {}\n# end", vec![]));
    assert_eq!(
        add(&commented, "a", &claims(json!({"iss": 1})), &[], NOW).unwrap_err().to_string(),
        "clients.yaml:4:14: error[claim]: claim `iss` of client `a` is the issuer's to set"
    );
}

#[test]
fn a_rotation_lets_the_old_one_end_later() {
    let rotated = rotate(&source(&long(FILE)), "fraud-svc", &fresh(Kind::Secret, "s2"), DAY, NOW);
    let expected = FILE.replace(
        r#"      - {id: s1, hash: "sha256:a"} # rotated every March
"#,
        r#"      - {id: s1, hash: "sha256:a", expires: "2026-11-24T08:00:00Z"}
      - {id: s2, hash: "sha256:f"}
"#,
    );
    let notes = [
        "secret `s1` ends at 2026-11-24T08:00:00Z",
        "`secrets` of client `fraud-svc` was written anew, and comments in it are lost",
    ];
    assert_eq!(shown(rotated), (expected, notes.map(str::to_owned).to_vec()));
}

#[test]
fn a_rotation_at_once_takes_the_old_ones_out() {
    let rotated = rotate(&source(&long(FILE)), "batch", &fresh(Kind::ApiKey, "k8"), 0, NOW);
    let expected = FILE.replace(
        "    - id: k7\n      hash: \"sha256:b\"\n",
        "      - {id: k8, hash: \"sha256:f\", created: \"2026-11-23\"}\n",
    );
    assert_eq!(shown(rotated), (expected, vec!["key `k7` has ended and was taken out".to_owned()]));
}

#[test]
fn of_three_secrets_the_one_that_ends_first_goes() {
    let of = |first: &str, second: &str| {
        let text = format!(
            "version: 1\nclients:\n  a:\n    secrets:\n      - {{id: s1, hash: \"sha256:a\"{first}}}\n      - {{id: s2, hash: \"sha256:b\"{second}}}\n"
        );
        let (text, notes) = shown(rotate(&source(&long(&text)), "a", &fresh(Kind::Secret, "s3"), DAY, NOW));
        (text.lines().skip(4).map(|line| line.trim().to_owned()).collect::<Vec<_>>(), notes)
    };
    let new = r#"- {id: s3, hash: "sha256:f"}"#;
    let (ends, early) = ("ends at 2026-11-24T08:00:00Z", "ended now, before its time: no more than two live at once");
    assert_eq!(
        of("", ", expires: 2026-11-23T09:00:00Z"),
        (
            vec![r#"- {id: s1, hash: "sha256:a", expires: "2026-11-24T08:00:00Z"}"#.to_owned(), new.to_owned()],
            vec![format!("secret `s2` {early}"), format!("secret `s1` {ends}")]
        )
    );
    // Both end with the rotation: the older one goes.
    assert_eq!(
        of(", expires: 2030-01-01T00:00:00Z", ""),
        (
            vec![r#"- {id: s2, hash: "sha256:b", expires: "2026-11-24T08:00:00Z"}"#.to_owned(), new.to_owned()],
            vec![format!("secret `s1` {early}"), format!("secret `s2` {ends}")]
        )
    );
    // What has ended makes room, and what ends early anyway keeps its words.
    assert_eq!(
        of(", expires: 2026-11-23T08:00:00Z", ", expires: 2026-11-23T10:00:00+01:00"),
        (
            vec![r#"- {id: s2, hash: "sha256:b", expires: "2026-11-23T10:00:00+01:00"}"#.to_owned(), new.to_owned()],
            vec![
                "secret `s1` has ended and was taken out".to_owned(),
                "secret `s2` ends at 2026-11-23T09:00:00Z".to_owned()
            ]
        )
    );
}

#[test]
fn keys_are_as_many_as_somebody_likes() {
    let text = "version: 1\nclients: {a: {api_keys: [{id: k1, hash: \"sha256:a\"}, {id: k2, hash: \"sha256:b\"}, {id: k3, hash: \"sha256:c\"}]}}\n";
    let (text, notes) = shown(rotate(&source(&long(text)), "a", &fresh(Kind::ApiKey, "k4"), 60, NOW));
    assert_eq!(text.matches("expires: \"2026-11-23T08:01:00Z\"").count(), 3, "{text}");
    assert_eq!(notes.len(), 3, "{notes:?}");
}

#[test]
fn a_client_without_secrets_gets_its_first() {
    let (text, notes) = shown(rotate(
        &source("version: 1\nclients:\n  a: {} # new\n  b: {}\n"),
        "a",
        &fresh(Kind::Secret, "s1"),
        DAY,
        NOW,
    ));
    assert_eq!(text, "version: 1\nclients:\n  a:\n    secrets:\n      - {id: s1, hash: \"sha256:f\"}\n  b: {}\n");
    assert_eq!(notes, ["client `a` was written anew, and comments in it are lost"]);
    let kept = "version: 1\nclients:\n  a:\n    secrets: # none\n    disabled: true\n";
    let (text, _) = shown(rotate(&source(kept), "a", &fresh(Kind::Secret, "s1"), DAY, NOW));
    assert_eq!(
        text,
        "version: 1\nclients:\n  a:\n    secrets:\n      - {id: s1, hash: \"sha256:f\"}\n    disabled: true\n"
    );
}

#[test]
fn to_disable_and_enable_changes_a_word() {
    let disabled = shown(disable(&source(&long(FILE)), "fraud-svc", true, NOW));
    assert_eq!(disabled, (FILE.replace("disabled: false ", "disabled: true "), vec![]));
    assert_eq!(shown(disable(&source(&long(&disabled.0)), "fraud-svc", false, NOW)), (FILE.to_owned(), vec![]));
    let added = FILE.replace("      hash: \"sha256:b\"\n", "      hash: \"sha256:b\"\n    disabled: true\n");
    assert_eq!(shown(disable(&source(&long(FILE)), "batch", true, NOW)), (added, vec![]));
    let same = shown(disable(&source(&long(FILE)), "batch", false, NOW));
    assert_eq!(same, (FILE.to_owned(), vec!["client `batch` is enabled already".to_owned()]));
    let flow = "version: 1\nclients: {a: {disabled: true}, b: {disabled: true}} # both\n";
    assert_eq!(
        shown(disable(&source(flow), "b", false, NOW)),
        (flow.replace("b: {disabled: true", "b: {disabled: false"), vec![])
    );
}

#[test]
fn a_client_that_is_removed_leaves_the_others_as_they_are() {
    let removed = shown(remove(&source(&long(FILE)), "fraud-svc", NOW));
    let (before, rest) = FILE.split_once("  fraud-svc:").unwrap();
    let after = rest.split_once("# not yet\n").unwrap().1;
    assert_eq!(
        removed,
        (
            format!("{before}{after}"),
            vec!["client `fraud-svc` was written anew, and comments in it are lost".to_owned()]
        )
    );
    let (text, notes) = shown(remove(&source("version: 1\nclients:\n  a: {}\n"), "a", NOW));
    assert_eq!((text.as_str(), notes), ("version: 1\nclients: {}\n", vec![]));
}

#[test]
fn what_cannot_be_spliced_is_written_anew_and_said() {
    let flow =
        "# Mine.\nversion: 1\nclients: {\n  a: {}, # the first\n  b: {claims: {x: \"no # comment\"}},\n}\n# end\n";
    let (text, notes) = shown(add(&source(flow), "c", &Map::new(), &[], NOW));
    // Lines of their own between commas can be added to.
    assert_eq!(text, flow.replace("\n}", "\n  c: {}\n}"));
    assert_eq!(notes, Vec::<String>::new());
    let flow = flow.replace("}},\n}", "}}}");
    let (text, notes) = shown(add(&source(&flow), "c", &Map::new(), &[], NOW));
    assert_eq!(
        text,
        "# Mine.\nversion: 1\nclients:\n  a: {}\n  b:\n    claims: {x: \"no # comment\"}\n  c: {}\n# end\n"
    );
    assert_eq!(notes, ["the map of clients was written anew, and comments in it are lost"]);
    let (text, notes) = shown(add(&source("{version: 1, clients: {a: {}}} # all\n"), "b", &Map::new(), &[], NOW));
    assert_eq!(text, "version: 1\nclients:\n  a: {}\n  b: {}\n");
    assert_eq!(notes, ["the file was written anew, and comments in it are lost"]);
    // What another client repeats is not changed with it.
    let alias = "version: 1\nclients:\n  a: &same\n    disabled: false\n  b: *same\n";
    let (text, notes) = shown(disable(&source(alias), "a", true, NOW));
    assert_eq!(text, "version: 1\nclients:\n  a:\n    disabled: true\n  b:\n    disabled: false\n");
    assert_eq!(notes, Vec::<String>::new());
}

#[test]
fn lines_end_as_they_did() {
    let text = "version: 1\r\nclients:\r\n  a: {}\r\n";
    let (text, _) = shown(add(&source(text), "b", &Map::new(), &[fresh(Kind::Secret, "s1")], NOW));
    assert_eq!(
        text,
        "version: 1\r\nclients:\r\n  a: {}\r\n  b:\r\n    secrets:\r\n      - {id: s1, hash: \"sha256:f\"}\r\n"
    );
    let (text, _) = shown(add(&source("version: 1\nclients:\n  a: {}"), "b", &Map::new(), &[], NOW));
    assert_eq!(text, "version: 1\nclients:\n  a: {}\n  b: {}\n");
}

#[test]
fn what_is_not_done_says_why() {
    let file = source(&long(FILE));
    let why = |edited: Result<Edited, EditError>| edited.unwrap_err().to_string();
    assert_eq!(why(add(&file, "batch", &Map::new(), &[], NOW)), "client `batch` is there already");
    assert_eq!(why(remove(&file, "batsh", NOW)), "there is no client `batsh`");
    assert_eq!(why(disable(&file, "batsh", true, NOW)), "there is no client `batsh`");
    let secret = fresh(Kind::Secret, "s2");
    assert_eq!(why(rotate(&file, "batsh", &secret, 0, NOW)), "there is no client `batsh`");
    assert_eq!(why(rotate(&file, "batch", &secret, u64::MAX, NOW)), "`--expire-old` leads beyond the year 9999");
    assert_eq!(
        why(remove(&source("version: 2\nclients: {a: {}}\n"), "a", NOW)),
        "clients.yaml:1:10: error[version]: `version` is not 1, the only one there is"
    );
}

#[test]
fn an_id_is_not_given_twice() {
    let text = long(
        "version: 1\nclients: {a: {secrets: [{id: s3, hash: \"sha256:a\"}, {id: old, hash: \"sha256:b\"}], api_keys: [{id: k1, hash: \"sha256:c\"}]}}\n",
    );
    let (clients, _) = read_at(&source(&text), NOW);
    let clients = clients.unwrap();
    let a = clients.get("a").map(|a| &**a);
    assert_eq!((next_id(a, Kind::Secret).as_str(), next_id(a, Kind::ApiKey).as_str()), ("s4", "k2"));
    assert_eq!((next_id(None, Kind::Secret).as_str(), next_id(None, Kind::ApiKey).as_str()), ("s1", "k1"));
}

/// A scalar as somebody may write it, within a line.
fn scalar() -> impl Strategy<Value = String> {
    let fixed = [
        "x",
        "1",
        "-0.5",
        "true",
        "null",
        "~",
        "\"a # b\"",
        "'it''s'",
        "\"\\u0007\"",
        "[1, {a: b}]",
        "{}",
        "2026-11-23",
    ];
    proptest::sample::select(fixed.to_vec()).prop_map(str::to_owned)
}

/// A client in one of the forms that people write.
fn client() -> impl Strategy<Value = String> {
    let comment = proptest::sample::select(vec!["", " # why", "\n    # on its own", "\n\n  # before the next"]);
    let value = (scalar(), any::<bool>(), 0..6u8, comment);
    value.prop_map(|(claim, disabled, form, comment)| {
        let hash = sha('a');
        match form {
            0 => format!(" {{}}{comment}\n"),
            1 => format!(" {{disabled: {disabled}, claims: {{x: {claim}}}}}{comment}\n"),
            2 => format!("{comment}\n    claims: {{x: {claim}}}\n    secrets: [{{id: s1, hash: \"{hash}\"}}]\n"),
            3 => format!("\n    secrets:{comment}\n    - id: s1\n      hash: >-\n        {hash}\n      # within\n\n    disabled: {disabled}\n"),
            4 => format!("\n    claims:\n      x: |\n        text\n        # no comment\n\n        more\n      y: {claim}{comment}\n"),
            _ => format!("\n      disabled: {disabled}{comment}\n      claims: {{\n        x: {claim}, # in it\n        y: [a,\n          b]}}\n"),
        }
    })
}

proptest! {
    /// Whatever is done to one client, in whatever form the file is: it is what was meant, and all others say what they said.
    #[test]
    fn a_change_never_changes_another_client(
        bodies in proptest::collection::vec(client(), 1..5),
        at in any::<prop::sample::Index>(),
        what in 0..6u8,
        anchored in any::<bool>(),
        tail in proptest::sample::select(vec!["", "# end\n", "\n...\n", "version: 1\n"]),
    ) {
        let head = if tail == "version: 1\n" { "" } else { "version: 1\n" };
        let mut text = format!("{head}clients:\n");
        for (body, n) in bodies.iter().zip(0..) {
            text.push_str(&format!("  c{n}:{body}"));
        }
        if anchored {
            text = text.replacen(" {x:", " &x {x:", 1) + "  copy: {claims: *x}\n";
            prop_assume!(text.contains("&x"));
        }
        text.push_str(tail);
        let file = source(&text);
        let (before, report) = read_at(&file, NOW);
        prop_assert!(before.is_some(), "{report}\n{text}");
        let id = format!("c{}", at.index(bodies.len()));
        let key = fresh(Kind::ApiKey, "k1");
        let secret = fresh(Kind::Secret, "s2");
        let edited = match what {
            0 => add(&file, "new", &claims(json!({"a": [1, "x: y # z"]})), &[key], NOW),
            1 => remove(&file, &id, NOW),
            2 => disable(&file, &id, true, NOW),
            3 => disable(&file, &id, false, NOW),
            4 => rotate(&file, &id, &secret, DAY, NOW),
            _ => rotate(&file, &id, &key, 0, NOW),
        };
        let edited = edited.map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        let of = |text: &str| {
            let Value::Map(root) = yaml::parse(&source(text)).unwrap().value else { panic!("{text}") };
            let clients = root.into_iter().find(|(key, _)| key.name == "clients").unwrap().1;
            let Value::Map(clients) = clients.value else { panic!("{text}") };
            clients
        };
        let (old, new) = (of(&text), of(&edited.text));
        let others = |all: &[(Key, Node)]| {
            all.iter().filter(|(key, _)| key.name != id && key.name != "new").cloned().collect::<Vec<_>>()
        };
        let (others_old, others_new) = (others(&old), others(&new));
        prop_assert_eq!(others_old.len(), others_new.len());
        for ((old_key, old), (new_key, new)) in others_old.iter().zip(&others_new) {
            prop_assert_eq!(&old_key.name, &new_key.name);
            prop_assert!(splice::same(old, new), "{}\n---\n{}", text, edited.text);
        }
        let (after, _) = read_at(&source(&edited.text), NOW);
        let after = after.unwrap();
        let client = after.get(if what == 0 { "new" } else { &id });
        match what {
            0 => prop_assert_eq!(&client.unwrap().api_keys[0].id, "k1"),
            1 => prop_assert!(client.is_none()),
            2 | 3 => prop_assert_eq!(client.unwrap().disabled, what == 2),
            4 => prop_assert_eq!(&client.unwrap().secrets.last().unwrap().id, "s2"),
            _ => prop_assert_eq!(client.unwrap().api_keys.len(), 1),
        }
        // No comment goes without a word.
        let count = |text: &str| text.matches("# ").count();
        let lost = edited.notes.iter().any(|note| note.contains("comments in it are lost"));
        prop_assert!(lost || count(&edited.text) >= count(&text), "{}\n---\n{}", text, edited.text);
    }
}
