use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::diagnostic::SourceFile;
use crate::issuer::secret::Secret;
use read::read_at;

/// 2026-11-23T08:00:00Z.
const NOW: u64 = 1_795_420_800;
/// A cheap argon2id hash of `correct horse battery`, and a dearer one of `troubador & three`.
const CHEAP: &str = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$3Dt8JW3mbMBz5QplGZHLmfeouRYPmZYEE80zR3bE9AQ";
const DEARER: &str = "$argon2id$v=19$m=16,t=2,p=1$c29tZXNhbHQ$T1pUbaJmXVblribnEkyDzTmqF2lKi2z037ezjTVhmP4";

fn source(text: &str) -> Arc<SourceFile> {
    Arc::new(SourceFile { name: "clients.yaml".into(), text: text.into() })
}

fn load(text: &str) -> Clients {
    let (clients, report) = read_at(&source(text), NOW);
    clients.unwrap_or_else(|| panic!("{report}"))
}

/// What is said of a text: `line:column code: message`.
fn said(text: &str) -> Vec<String> {
    let (clients, report) = read_at(&source(text), NOW);
    assert_eq!(clients.is_none(), report.has_errors());
    let said =
        |d: &crate::diagnostic::Diagnostic| format!("{}:{} {}: {}", d.place.line, d.place.column, d.code, d.message);
    report.diagnostics.iter().map(said).collect()
}

fn sha(byte: char) -> String {
    format!("sha256:{}", byte.to_string().repeat(64))
}

#[test]
fn the_example_of_the_contract_is_read() {
    let clients = load(&format!(
        "version: 1
clients:
  fraud-svc:
    secrets: [{{id: s1, hash: \"{}\", expires: null}}]
    api_keys: [{{id: k1, hash: \"{}\", created: 2026-11-22}}]
    claims: {{groups: [scoring], level: 3, share: 0.5, on: true, none: null, deep: {{a: [1, x]}}}}
    disabled: false
  batch: {{}}
",
        sha('a'),
        sha('b')
    ));
    let client = clients.get("fraud-svc").unwrap();
    assert_eq!((client.secrets[0].id.as_str(), client.secrets[0].expires), ("s1", None));
    assert_eq!(client.api_keys[0].created.as_deref(), Some("2026-11-22"));
    assert_eq!(
        Value::Object(client.claims.clone()),
        json!({"groups": ["scoring"], "level": 3, "share": 0.5, "on": true, "none": null, "deep": {"a": [1, "x"]}})
    );
    assert!(!client.disabled && client.has_secrets() && !clients.get("batch").unwrap().has_secrets());
    let ids: Vec<&str> = clients.iter().map(|client| client.id.as_str()).collect();
    assert_eq!(ids, ["batch", "fraud-svc"]);
    assert_eq!(format!("{clients:?} {client:?}"), "Clients(2) Client(\"fraud-svc\")");
}

#[test]
fn every_mistake_is_told_at_its_place() {
    let a = sha('a');
    for (text, expected) in [
        ("version: 2\nclients: {}\n", vec!["1:10 version: `version` is not 1, the only one there is"]),
        ("clients: {}\n", vec!["1:1 version: `version: 1` is missing"]),
        ("version: 1\n", vec!["1:1 missing: `clients` is missing: a map of clients by their id"]),
        ("version: 1\nclients: []\n", vec!["2:10 wrong-kind: `clients` is a list, not a map"]),
        ("version: 1\nclients: {a: }\n", vec!["2:12 wrong-kind: client `a` is nothing, not a map"]),
        ("version: 1\nclients: {}\nclient: {}\n", vec!["3:1 unknown-key: unknown key `client` in the clients' file"]),
        ("version: 1\nclients: {a: {secret: []}}\n", vec!["2:15 unknown-key: unknown key `secret` in client `a`"]),
        (
            "version: 1\nclients:\n  a: {}\n  a: {}\n",
            vec!["4:3 duplicate-key: `a` stands twice in `clients`, first in line 3"],
        ),
        (
            "version: 1\nclients:\n  \"\": {}\n  a:b: {}\n  a b: {}\n  'a\"': {}\n  ä: {}\n",
            vec![
                "3:3 client-id: client id `` is empty",
                "4:3 client-id: client id `a:b` has what is no ASCII letter, digit or sign, or a `:` or `\"`",
                "5:3 client-id: client id `a b` has what is no ASCII letter, digit or sign, or a `:` or `\"`",
                "6:3 client-id: client id `a\"` has what is no ASCII letter, digit or sign, or a `:` or `\"`",
                "7:3 client-id: client id `ä` has what is no ASCII letter, digit or sign, or a `:` or `\"`",
            ],
        ),
        (
            "version: 1\nclients: {a: {disabled: yes, secrets: x, claims: [x], api_keys: {}}}\n",
            vec![
                "2:25 wrong-kind: `disabled` of client `a` is a text, not true or false",
                "2:39 wrong-kind: `secrets` of client `a` is a text, not a list",
                "2:50 wrong-kind: `claims` of client `a` is a list, not a map",
                "2:65 wrong-kind: `api_keys` of client `a` is a map, not a list",
            ],
        ),
        (
            "version: 1\nclients: {a: {claims: {sub: x, cert.cn: x, \"\": x, ok: 1, big: 18446744073709551615}}}\n",
            vec![
                "2:24 claim: claim `sub` of client `a` is the issuer's to set",
                "2:32 claim: claim `cert.cn` of client `a` is for client certificates",
                "2:44 claim: claim `` of client `a` has no name",
                "2:63 claim: claim `big` of client `a` holds a number that is not carried exactly",
            ],
        ),
        (
            "version: 1\nclients: {a: {claims: {x: {y: 1, y: 2}}}}\n",
            vec!["2:34 duplicate-key: `y` stands twice in claim `x` of client `a`, first in line 2"],
        ),
        (
            "version: 1\nclients: {a: {secrets: [{}, x]}}\n",
            vec![
                "2:25 missing: a secret of client `a` has no `id`",
                "2:25 missing: a secret of client `a` has no `hash`",
                "2:29 wrong-kind: a secret of client `a` is a text, not a map",
            ],
        ),
        (
            "version: 1\nclients: {a: {api_keys: [{id: K1, hash: \"\", created: x}, {}]}}\n",
            vec![
                "2:31 secret-id: `id` of an API key of client `a` is not 1 to 16 of `a` to `z` and `0` to `9`",
                "2:41 empty: `hash` of an API key of client `a` is empty",
                "2:54 time: `created` of an API key of client `a` is `x`, neither a date nor a time of RFC 3339",
                "2:58 missing: an API key of client `a` has no `id`",
                "2:58 missing: an API key of client `a` has no `hash`",
            ],
        ),
    ] {
        assert_eq!(said(text), expected, "{text}");
    }
    let secrets = |list: &str| said(&format!("version: 1\nclients:\n  a:\n    secrets:\n{list}"));
    assert_eq!(
        secrets(&format!("    - {{id: s1, hash: \"{a}\", expires: 2026-11-23}}\n    - {{id: s1, hash: \"{a}\"}}\n")),
        [
            "5:106 time: `expires` of a secret of client `a` is `2026-11-23`, not a time of RFC 3339",
            "6:12 duplicate-name: `id` of a secret of client `a` is `s1` like that of the one in line 5",
        ]
    );
    for (hash, why) in [
        ("hunter2", "is neither `sha256:` and 64 hex digits nor an argon2id hash in the PHC form"),
        (&a.to_uppercase(), "is neither `sha256:` and 64 hex digits nor an argon2id hash in the PHC form"),
        (a.strip_suffix('a').unwrap(), "is neither `sha256:` and 64 hex digits nor an argon2id hash in the PHC form"),
        (&CHEAP.replace("argon2id", "argon2d"), "is of another algorithm than argon2id, which alone is verified"),
        (&CHEAP.replace("v=19", "v=16"), "is not of version 19 of argon2id"),
        (&CHEAP.replace("m=8", "m=99999"), "costs more than `m=65536,t=10,p=4`, the most that is computed"),
    ] {
        assert_eq!(
            secrets(&format!("    - {{id: s1, hash: '{hash}'}}\n")),
            [format!("5:22 hash: `hash` of a secret of client `a` {why}")]
        );
    }
    let keys = |list: &str| {
        said(&format!(
            "version: 1\nclients:\n  a:\n    api_keys:\n{list}  b: {{api_keys: [{{id: k9, hash: '{a}'}}]}}\n"
        ))
    };
    assert_eq!(
        keys(&format!("    - {{id: k1, hash: '{CHEAP}'}}\n    - {{id: k2, hash: '{a}'}}\n")),
        [
            "5:22 hash: `hash` of an API key of client `a` is not `sha256:` and 64 hex digits in lower case",
            "7:33 duplicate-name: an API key of client `b` is also a key of client `a`, and tells nobody apart",
        ]
    );
}

#[test]
fn two_secrets_live_at_once_and_expired_ones_may_stay() {
    let of = |expires: [&str; 4]| {
        let items = expires
            .iter()
            .zip(1..)
            .map(|(expires, n)| format!("  - {{id: s{n}, hash: '{}', expires: {expires}}}\n", sha('a')));
        said(&format!("version: 1\nclients:\n a:\n  secrets:\n{}", items.collect::<String>()))
    };
    let (past, now, next) = ("2026-11-23T07:59:59Z", "2026-11-23T08:00:00Z", "2026-11-23T08:00:01Z");
    assert_eq!(of([past, next, now, "null"]), Vec::<String>::new());
    let third = "8:5 too-many-secrets: client `a` has a third secret that has not expired, and two may live at once";
    assert_eq!(of([past, "null", next, next]), [third]);
    assert_eq!(of(["null", "null", past, next]), [third]);
    assert_eq!(of(["null", "null", past, "x"]).len(), 1, "what cannot be read is not counted");
}

#[test]
fn no_claim_takes_the_place_of_one_of_the_issuers() {
    for name in [
        "iss",
        "sub",
        "aud",
        "exp",
        "nbf",
        "iat",
        "jti",
        "cnf",
        "client_id",
        "azp",
        "act",
        "may_act",
        "family",
        "active",
        "token_type",
        "token_use",
        "typ",
    ] {
        assert_eq!(claim_error(name), Some("is the issuer's to set"), "{name}");
    }
    for name in ["scope", "scp", "groups", "roles", "entitlements", "certificate", "ISS", "/iss", "tenant"] {
        assert_eq!(claim_error(name), None, "{name}");
    }
    assert_eq!(claim_error("cert.x5t#S256"), Some("is for client certificates"));
    assert_eq!(id_error(&"x".repeat(128)), None);
    assert_eq!(id_error(&"x".repeat(129)), Some("is longer than 128 letters"));
    assert_eq!(id_error("a/b\\c#{}'*&!%@`"), None);
}

#[test]
fn no_line_of_the_file_is_shown() {
    for text in [
        "version: 1\nclients: {a: {secrets: [{id: hunter2-the-first, hash: hunter2}]}}\n",
        "version: 1\nclients: {a: {secrets: [{id: s1, hash: \"hunter2}]}}\n",
        "version: 1\nclients: {a: {secrets: [{id: s1, hash: hunter2\n",
        "version: 1\nclients: {a: {secrets: [{id: s1, hash: !!int hunter2}]}}\n",
        "version: 1\nclients: {a: {secrets: [{id: s1, hash: *hunter2}]}}\n",
        "version: 1\nclients:\n  a: b: hunter2\n",
        "version: 1\nclients: {a: {secrets: [{id: s1, hash: !hunter2 x}]}}\n",
        "version: 1\nclients: {a: {secrets: [{id: s1, hash: &hunter2 &hunter2 x}]}}\n",
        "version: 1\nclients: {a: {secrets: [{id: s1, hash: \"\\hunter2\"}]}}\n",
        "version: 1\nclients: {a: {secrets: [{id: s1, hash: !!bool hunter2}]}}\n",
        "version: 1\nclients: {a: {secrets: [{id: s1, hash: !!float hunter2}]}}\n",
        "version: 1\nclients: {a: {secrets: [{id: s1, hash: !!binary hunter2}]}}\n",
        "version: 1\nclients: {a: {secrets: [{id: s1, hash: @hunter2}]}}\n",
        "version: 1\nclients: {a: {secrets: [{id: s1, <<: hunter2}]}}\n",
        "%hunter2 x\nversion: 1\nclients: {}\nhunter2\n",
        "version: 1\nclients: {a: {secrets: hunter2, api_keys: [hunter2]}}\n",
    ] {
        let (clients, report) = read_at(&source(text), NOW);
        let shown = report.to_string();
        assert!(clients.is_none() && shown.starts_with("clients.yaml:"), "{text}: {shown}");
        assert!(!shown.contains("hunter2"), "{text}: {shown}");
    }
}

#[test]
fn a_key_names_its_client_while_both_are_good() {
    let keys: Vec<Secret> = (1..=3).map(|n| Secret::generate(&format!("k{n}")).unwrap()).collect();
    let hash = |n: usize| keys[n].kept();
    let clients = load(&format!(
        "version: 1
clients:
  a: {{api_keys: [{{id: k1, hash: '{}'}}, {{id: k2, hash: '{}', expires: 2026-11-23T08:00:10Z}}]}}
  b: {{disabled: true, api_keys: [{{id: k3, hash: '{}'}}]}}
",
        hash(0),
        hash(1),
        hash(2)
    ));
    let who = |key: &str, now: u64| clients.by_api_key(key, now).map(|client| client.id.as_str());
    assert_eq!(who(keys[0].expose(), u64::MAX), Some("a"));
    assert_eq!(who(keys[1].expose(), NOW + 9), Some("a"));
    assert_eq!(who(keys[1].expose(), NOW + 10), None, "expired");
    assert_eq!(who(keys[2].expose(), NOW), None, "of a disabled client");
    assert_eq!(who(keys[0].expose().trim_start_matches('t'), NOW), None);
    assert_eq!(who(&hash(0), NOW), None, "a hash is no key");
    assert_eq!(who("", NOW), None);
}

/// Clients of every kind; `a`: generated, `m`: both kinds, `i`: imported, `two`: two imported, `off`: disabled, `old`: expired.
fn everybody(a: &Secret, m: &Secret, off: &Secret, old: &Secret) -> Clients {
    load(&format!(
        "version: 1
clients:
  a: {{secrets: [{{id: s1, hash: '{}'}}, {{id: s2, hash: '{}', expires: 2026-11-23T08:00:10Z}}]}}
  m: {{secrets: [{{id: s1, hash: '{}'}}, {{id: s2, hash: '{CHEAP}'}}]}}
  i: {{secrets: [{{id: s1, hash: '{DEARER}'}}]}}
  two: {{secrets: [{{id: s1, hash: '{CHEAP}'}}, {{id: s2, hash: '{DEARER}'}}]}}
  twice: {{secrets: [{{id: s1, hash: '{CHEAP}', expires: 2026-11-23T08:00:10Z}}, {{id: s2, hash: '{CHEAP}'}}]}}
  off: {{disabled: true, secrets: [{{id: s1, hash: '{}'}}, {{id: s2, hash: '{CHEAP}'}}]}}
  old: {{secrets: [{{id: s1, hash: '{}', expires: 2026-11-23T08:00:00Z}}, {{id: s2, hash: '{CHEAP}', expires: 2026-11-23T08:00:00Z}}]}}
  keys: {{}}
",
        a.kept(),
        sha('a'),
        m.kept(),
        off.kept(),
        old.kept(),
    ))
}

fn secrets() -> [Secret; 4] {
    [1, 2, 3, 4].map(|_| Secret::generate("s1").unwrap())
}

#[tokio::test]
async fn a_generated_secret_is_compared_without_argon2() {
    let [a, m, off, old] = secrets();
    let (clients, gate) = (everybody(&a, &m, &off, &old), Gate::new());
    let _held = (gate.hold(false), gate.hold(true));
    let wrong = Secret::generate("s1").unwrap();
    for (id, secret, good) in [
        ("a", &a, true),
        ("m", &m, true),
        ("a", &m, false),
        ("a", &wrong, false),
        ("i", &a, false),
        ("off", &off, false),
        ("old", &old, false),
        ("keys", &a, false),
        ("nobody", &a, false),
        ("", &a, false),
    ] {
        let found = clients.authenticate(id, secret.expose(), NOW, &gate, false).await.map(|client| client.id.clone());
        assert_eq!(found, if good { Ok(id.to_owned()) } else { Err(Denied::Wrong) }, "{id}");
    }
    assert!(clients.authenticate("old", old.expose(), NOW - 1, &gate, true).await.is_ok(), "it is looked at now");
    assert_eq!(gate.ran(), 0);
}

#[tokio::test]
async fn every_other_secret_costs_the_same_for_everybody() {
    let [a, m, off, old] = secrets();
    let (clients, gate) = (everybody(&a, &m, &off, &old), Gate::new());
    let (horse, troubador) = ("correct horse battery", "troubador & three");
    for (id, secret, good) in [
        ("m", horse, true),
        ("i", troubador, true),
        ("two", horse, true),
        ("two", troubador, true),
        ("twice", horse, true),
        ("m", troubador, false),
        ("i", horse, false),
        ("a", horse, false),
        ("off", horse, false),
        ("old", horse, false),
        ("keys", horse, false),
        ("nobody", horse, false),
        ("nobody", "", false),
    ] {
        let before = gate.ran();
        let found = clients.authenticate(id, secret, NOW, &gate, false).await.map(|client| client.id.clone());
        assert_eq!(found, if good { Ok(id.to_owned()) } else { Err(Denied::Wrong) }, "{id} {secret}");
        // Two of the cheap kind, which `twice` has, and one of the other.
        assert_eq!(gate.ran() - before, 3, "{id} {secret}");
    }
    assert!(clients.authenticate("old", horse, NOW - 1, &gate, false).await.is_ok(), "it is looked at now");
}

#[tokio::test]
async fn without_imported_secrets_nothing_is_computed() {
    let (clients, gate) = (load("version: 1\nclients: {a: {}}\n"), Gate::new());
    assert_eq!(clients.authenticate("a", "anything at all", NOW, &gate, false).await.err(), Some(Denied::Wrong));
    assert_eq!(
        Clients::none().authenticate("a", "anything at all", NOW, &gate, false).await.err(),
        Some(Denied::Wrong)
    );
    assert_eq!(gate.ran(), 0);
}

#[tokio::test]
async fn a_suspect_takes_the_places_of_nobody_else() {
    let [a, m, off, old] = secrets();
    let (clients, gate) = (everybody(&a, &m, &off, &old), Gate::new());
    let ask = async |suspect| {
        let found = clients.authenticate("i", "troubador & three", NOW, &gate, suspect).await;
        found.map(|client| client.id.clone())
    };
    let suspects = gate.hold(true);
    assert_eq!(suspects.len(), 1);
    assert_eq!((ask(true).await, ask(false).await), (Err(Denied::Busy), Ok("i".to_owned())));
    let everybody = gate.hold(false);
    assert_eq!(everybody.len(), 3);
    let ran = gate.ran();
    assert_eq!((ask(true).await, ask(false).await), (Err(Denied::Busy), Err(Denied::Busy)));
    assert_eq!(gate.ran(), ran);
    drop(suspects);
    assert_eq!((ask(true).await, ask(false).await), (Ok("i".to_owned()), Err(Denied::Busy)));
    drop(everybody);
    assert_eq!(ask(false).await, Ok("i".to_owned()));
}
