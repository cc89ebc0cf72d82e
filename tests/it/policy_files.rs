//! Files: how files and layers merge; which callers a binding gives its roles. (Mistakes stand in golden.rs.)

use std::sync::Arc;

use serde_json::{Map, Value, json};
use tagwarden::chalk::Switch;
use tagwarden::diagnostic::SourceFile;
use tagwarden::policy::settings::Mode;
use tagwarden::policy::{Policy, load};

type Files = Vec<Arc<SourceFile>>;

fn file(name: &str, text: &str) -> Arc<SourceFile> {
    Arc::new(SourceFile { name: name.to_owned(), text: text.to_owned() })
}

fn files(texts: &[&str]) -> Files {
    texts.iter().zip('a'..).map(|(text, name)| file(&format!("{name}.yaml"), &format!("version: 1\n{text}"))).collect()
}

fn loaded(policy: &[&str], catalogue: &[&str]) -> Policy {
    let (policy, report) = load(&files(policy), &files(catalogue));
    policy.unwrap_or_else(|| panic!("{report}"))
}

/// A feature in one line: what the merged layers say of it.
fn shown(policy: &Policy) -> Vec<String> {
    let catalogue = &policy.catalogue;
    let mut lines = Vec::new();
    for feature in catalogue.features() {
        let class = &catalogue.classes[feature.class as usize];
        let tags = |ids: &[u32]| ids.iter().map(|id| catalogue.tags.name(*id)).collect::<Vec<_>>();
        let edges = |input: bool| {
            let edges = catalogue.edges(feature).iter().filter(|edge| edge.input == input);
            edges.map(|edge| catalogue.name(edge.to)).collect::<Vec<_>>()
        };
        let sources = catalogue.source_sets[feature.source_set as usize].iter();
        let mut line = feature.name.to_string();
        for (what, mut list) in [
            ("tags", tags(&class.policy_tags)),
            ("with the catalogue's", tags(&class.all_tags)),
            ("inputs", edges(true)),
            ("joins", edges(false)),
            ("sources", sources.map(|id| catalogue.sources[*id as usize].name.as_str()).collect()),
            ("", [("key", feature.key), ("pure", feature.pure)].iter().filter(|f| f.1).map(|f| f.0).collect()),
        ] {
            list.sort_unstable();
            if !list.is_empty() {
                line += &format!(" | {what} {}", list.join(" "));
            }
        }
        lines.push(line.replace("|  ", "| "));
    }
    lines.sort();
    lines
}

#[test]
fn a_feature_in_several_files_has_the_union() {
    let a = "
features:
  user.a: {tags: [x, y], inputs: [user.b], sources: [s1], key: true}
  user.b:
  user.c: {joins: [user.b]}
datasources: {s1: }
mode: filter
tags: {x: }";
    let b = "
features:
  user.b:
  user.a: {tags: [y, z], inputs: [user.c, user.b], joins: [user.b], sources: [s2, s1], key: true}
  user.*: {tags: [p]}
  user.c:
datasources: {s2: {tags: [prod]}}
mode: filter
tags: {y: , z: , p: }";
    let wanted = [
        "user.a | tags p x y z | with the catalogue's p x y z | inputs user.b user.c | joins user.b | sources s1 s2 | key",
        "user.b | tags p | with the catalogue's p",
        "user.c | tags p | with the catalogue's p | joins user.b",
    ];
    assert_eq!(shown(&loaded(&[a, b], &[])), wanted);
    assert_eq!(shown(&loaded(&[b, a], &[])), wanted);
    assert_eq!(loaded(&[a, b], &[]).settings.mode, Mode::Filter);
}

#[test]
fn the_policy_is_laid_over_the_catalogue() {
    let policy = "
features:
  user.*: {tags: [p]}
  user.a: {tags: [x], inputs: [user.new], joins: [user.id], sources: [s2]}
  user.out: {inputs: [user.kept], not_inputs: [user.a, user.kept, user.gone, user.later]}
  user.id: {key: true}
  user.not_key: {key: false, opaque: false}
  user.black: {opaque: true}
  user.new:
datasources: {s2: }";
    let catalogue = "
features:
  user.a: {tags: [x, y], inputs: [user.b], joins: [user.b], sources: [s1]}
  user.b: {key: true}
  user.out: {inputs: [user.a, user.b, user.c, user.kept, user.gone]}
  user.not_key: {key: true, inputs: [user.c], opaque: true}
  user.black: {inputs: [user.c], opaque: false}
  user.c:
  user.id:
  user.kept: {inputs: [user.c]}
datasources: {s1: }";
    assert_eq!(
        shown(&loaded(&[policy], &[catalogue])),
        [
            "user.a | tags p x | with the catalogue's p x y | inputs user.b user.new | joins user.b user.id | sources s1 s2",
            "user.b | tags p | with the catalogue's p | key",
            "user.black | tags p | with the catalogue's p | inputs user.c",
            "user.c | tags p | with the catalogue's p",
            "user.id | tags p | with the catalogue's p | key",
            "user.kept | tags p | with the catalogue's p | inputs user.c | pure",
            "user.new | tags p | with the catalogue's p",
            "user.not_key | tags p | with the catalogue's p | inputs user.c | pure",
            "user.out | tags p | with the catalogue's p | inputs user.b user.c user.kept | pure",
        ]
    );
}

#[test]
fn the_policys_bundles_and_sources_replace_the_catalogues() {
    let policy = "
features: {user.a: }
bundles: {one: [{feature: user.b, as: bee, keys: {user.id: buyer_id}}, user.a]}
datasources: {pg: {tags: [prod]}, own: {kind: MYSQL}}";
    let catalogue = "
features: {user.b: , user.id: {key: true}}
bundles: {one: [user.b], two: [user.id, user.a]}
datasources: {pg: {kind: POSTGRESQL, tags: [hr]}, sf: {kind: SNOWFLAKE}}";
    let policy = loaded(&[policy], &[catalogue]);
    let catalogue = &policy.catalogue;
    let mut bundles = Vec::new();
    for (name, bundle) in &catalogue.bundles {
        for member in &bundle.members {
            let keys: Vec<_> = member.keys.iter().map(|(key, as_)| (catalogue.name(*key), &**as_)).collect();
            bundles.push((name.as_str(), catalogue.name(member.feature), member.alias.as_deref(), keys));
        }
    }
    assert_eq!(
        bundles,
        [
            ("one", "user.b", Some("bee"), vec![("user.id", "buyer_id")]),
            ("one", "user.a", None, vec![]),
            ("two", "user.id", None, vec![]),
            ("two", "user.a", None, vec![]),
        ]
    );
    let tags = |tags: &Option<Box<[u32]>>| -> Option<Vec<&str>> {
        tags.as_ref().map(|tags| tags.iter().map(|tag| catalogue.tags.name(*tag)).collect())
    };
    let sources: Vec<_> = catalogue
        .sources
        .iter()
        .map(|source| {
            (source.name.as_str(), source.kind.as_deref(), tags(&source.policy_tags), tags(&source.catalogue_tags))
        })
        .collect();
    assert_eq!(
        sources,
        [
            ("own", Some("MYSQL"), Some(vec![]), None),
            ("pg", None, Some(vec!["prod"]), Some(vec!["hr"])),
            ("sf", Some("SNOWFLAKE"), None, Some(vec![])),
        ]
    );
}

/// Whether a caller with these claims gets the one role of the one binding.
fn matches(when: &Value, claims: &Value) -> bool {
    let binding = json!([{"roles": ["app"], "when": when}]);
    let policy = loaded(&[&format!("roles: {{app: }}\nbindings: {binding}\n")], &[]);
    let claims: &Map<String, Value> = claims.as_object().unwrap();
    !policy.roles_of(claims).is_empty()
}

#[test]
fn claims_match_exactly_and_by_type() {
    let max = i64::MAX;
    for (when, claims, expected) in [
        (json!({"sub": "a"}), json!({"sub": "a"}), true),
        (json!({"sub": "a"}), json!({"sub": "A"}), false),
        (json!({"sub": "a"}), json!({"sub": "a "}), false),
        (json!({"sub": "a"}), json!({"Sub": "a"}), false),
        (json!({"sub": "a"}), json!({"sub": null}), false),
        (json!({"sub": "a"}), json!({"sub": {"a": "a"}}), false),
        (json!({"sub": "a"}), json!({}), false),
        // Types.
        (json!({"n": 1}), json!({"n": 1}), true),
        (json!({"n": 1}), json!({"n": "1"}), false),
        (json!({"n": 1}), json!({"n": 1.0}), false),
        (json!({"n": 1}), json!({"n": true}), false),
        (json!({"n": "1"}), json!({"n": "1"}), true),
        (json!({"n": "1"}), json!({"n": 1}), false),
        (json!({"n": -7}), json!({"n": -7}), true),
        (json!({"n": max}), json!({"n": max}), true),
        (json!({"n": max}), json!({"n": max - 1}), false),
        (json!({"n": true}), json!({"n": true}), true),
        (json!({"n": true}), json!({"n": false}), false),
        (json!({"n": true}), json!({"n": "true"}), false),
        (json!({"n": true}), json!({"n": 1}), false),
        (json!({"n": false}), json!({"n": false}), true),
        (json!({"n": false}), json!({}), false),
        (json!({"n": "true"}), json!({"n": true}), false),
        // A list has it as a member; a list within it does not count.
        (json!({"groups": "a"}), json!({"groups": ["b", "a"]}), true),
        (json!({"groups": "a"}), json!({"groups": ["ab"]}), false),
        (json!({"groups": "a"}), json!({"groups": [["a"]]}), false),
        (json!({"groups": "a"}), json!({"groups": []}), false),
        (json!({"groups": 1}), json!({"groups": ["1", 1]}), true),
        (json!({"groups": 1}), json!({"groups": ["1"]}), false),
        // Any of a wanted list.
        (json!({"sub": ["a", "b"]}), json!({"sub": "b"}), true),
        (json!({"sub": ["a", "b"]}), json!({"sub": ["c", "b"]}), true),
        (json!({"sub": ["a", "b"]}), json!({"sub": "c"}), false),
        (json!({"sub": ["a", 1, true]}), json!({"sub": 1}), true),
        (json!({"sub": ["a", 1, true]}), json!({"sub": "1"}), false),
        // Scopes, as texts, by word; nothing else.
        (json!({"scope": "read"}), json!({"scope": "write read"}), true),
        (json!({"scp": "read"}), json!({"scp": "read write"}), true),
        (json!({"scope": "read"}), json!({"scope": "read:all reader"}), false),
        (json!({"scope": "read"}), json!({"scope": "READ"}), false),
        (json!({"scope": "read"}), json!({"scope": ["read", "write"]}), true),
        (json!({"scope": "read"}), json!({"scope": ["read write"]}), false),
        (json!({"scope": ["admin", "read"]}), json!({"scope": "read write"}), true),
        (json!({"scope": "read write"}), json!({"scope": "write read"}), false),
        (json!({"roles": "read"}), json!({"roles": "read write"}), false),
        // All must match.
        (json!({"a": 1, "b": 2}), json!({"a": 1, "b": 2, "c": 3}), true),
        (json!({"a": 1, "b": 2}), json!({"a": 1, "b": 3}), false),
        (json!({"a": 1, "b": 2}), json!({"a": 1}), false),
    ] {
        assert_eq!(matches(&when, &claims), expected, "{when} over {claims}");
    }
}

/// RFC 6901, where the name begins with `/`; else the claim of exactly that name.
#[test]
fn claims_are_named_or_pointed_at() {
    for (name, claims, expected) in [
        ("/sub", json!({"sub": "x"}), true),
        ("/realm_access/roles", json!({"realm_access": {"roles": ["y", "x"]}}), true),
        ("/realm_access/roles", json!({"realm_access": {"roles": []}}), false),
        ("/realm_access/roles", json!({"realm_access": {}}), false),
        ("/realm_access/roles", json!({"realm_access": "x"}), false),
        ("/realm_access/roles", json!({"realm_access/roles": "x"}), false),
        ("realm_access/roles", json!({"realm_access": {"roles": "x"}}), false),
        ("https://idp.example/roles", json!({"https://idp.example/roles": ["x"]}), true),
        ("realm.roles", json!({"realm.roles": "x"}), true),
        ("realm.roles", json!({"realm": {"roles": "x"}}), false),
        ("/https:~1~1idp.example~1roles", json!({"https://idp.example/roles": ["x"]}), true),
        ("/a~1b", json!({"a/b": "x"}), true),
        ("/a~1b", json!({"a": {"b": "x"}}), false),
        ("/a~0b", json!({"a~b": "x"}), true),
        ("/a~01b", json!({"a~1b": "x"}), true),
        ("/a~01b", json!({"a/b": "x"}), false),
        ("/r/a~1b/c~0d/e~01", json!({"r": {"a/b": {"c~d": {"e~1": "x"}}}}), true),
        ("/groups/1", json!({"groups": ["y", "x"]}), true),
        ("/groups/0", json!({"groups": ["y", "x"]}), false),
        ("/groups/01", json!({"groups": ["y", "x"]}), false),
        ("/groups/-", json!({"groups": ["y", "x"]}), false),
        ("/", json!({"": "x"}), true),
        ("//a", json!({"": {"a": "x"}}), true),
        ("/a/", json!({"a": {"": "x"}}), true),
        ("/a/", json!({"a": "x"}), false),
    ] {
        assert_eq!(matches(&json!({name: "x"}), &claims), expected, "{name} in {claims}");
    }
}

#[test]
fn all_bindings_that_match_add_up() {
    let policy = loaded(
        &[
            "
roles: {zoo: , analyst: , auditor: {mode: filter}}
bindings:
  - {roles: [zoo, auditor], when: {iss: x}}
  - {roles: [analyst], when: {iss: x, team: [risk, fraud]}}
  - {roles: [analyst, auditor], when: {sub: root}}",
            "
bindings:
  - {roles: [zoo], when: {sub: [root, toor]}}",
        ],
        &[],
    );
    for (claims, expected, mode) in [
        (json!({}), vec![], Mode::Reject),
        (json!({"iss": "y", "team": "risk"}), vec![], Mode::Reject),
        (json!({"iss": "x"}), vec!["auditor", "zoo"], Mode::Reject),
        (json!({"iss": "x", "team": "fraud"}), vec!["analyst", "auditor", "zoo"], Mode::Reject),
        (json!({"iss": "x", "sub": "root"}), vec!["analyst", "auditor", "zoo"], Mode::Reject),
        (json!({"sub": "toor"}), vec!["zoo"], Mode::Reject),
    ] {
        let roles = policy.roles_of(claims.as_object().unwrap());
        assert_eq!(roles.iter().map(|role| policy.role_name(*role)).collect::<Vec<_>>(), expected, "{claims}");
        assert_eq!(policy.mode_of(&roles), mode, "{claims}");
    }
    assert_eq!(policy.mode_of(&[policy.role_id("auditor").unwrap()]), Mode::Filter);
}

/// More than 65535 cannot be numbered; a golden file of so many would be a megabyte.
#[test]
fn more_roles_than_can_be_numbered_are_an_error() {
    let roles = |count: u32| (0..count).map(|number| format!("  r{number:05}:\n")).collect::<String>();
    let load = |count: u32| load(&[file("p.yaml", &format!("version: 1\nroles:\n{}", roles(count)))], &[]);
    assert!(load(65_535).0.is_some());
    let (policy, report) = load(65_536);
    assert!(policy.is_none());
    assert_eq!(
        report.to_string(),
        "p.yaml:3:3: error[too-many-roles]: there are more than 65535 roles\n 3 |   r00000:\n   |   ^"
    );
}

#[test]
fn relations_versions_and_namespaces_are_told() {
    let catalogue = "
features:
  user.id: {key: true}
  user.name: {}
  user.score: {default_version: 2}
  user.score@2: {}
  user.count__3600__: {}
  user.account: {has_one: account, joins: [user.id]}
  user.cards: {has_one: card, joins: [user.id]}
  user.home: {has_one: place, joins: [user.id]}
  account.zip: {}
  account.id: {key: true}
  account.area: {}
";
    let policy = "
features:
  user.cards: {has_many: card}
  user.home: {tags: [pii]}
  user.score: {default_version: 3}
  user.age: {inputs: [user.name]}
";
    let policy = loaded(&[policy], &[catalogue]);
    let catalogue = &policy.catalogue;
    let id = |name: &str| catalogue.id(name).unwrap();
    let relation = |name: &str| catalogue.relation(id(name)).map(|to| (&*to.namespace, to.many));
    assert_eq!(relation("user.account"), Some(("account", false)));
    // The policy's replaces the catalogue's; where it says nothing, the catalogue's holds.
    assert_eq!(relation("user.cards"), Some(("card", true)));
    assert_eq!(relation("user.home"), Some(("place", false)));
    assert_eq!(relation("user.name"), None);
    assert_eq!(catalogue.default_version(id("user.score")), Some(3));
    assert_eq!(catalogue.default_version(id("user.score@2")), None);
    let names = |ids: &[u32]| ids.iter().map(|id| catalogue.name(*id)).collect::<Vec<_>>();
    let user = catalogue.namespace("user").unwrap();
    let scalars = ["user.age", "user.count__3600__", "user.id", "user.name", "user.score", "user.score@2"];
    assert_eq!((names(&user.scalars), names(&user.keys)), (scalars.to_vec(), vec!["user.id"]));
    let account = catalogue.namespace("account").unwrap();
    assert_eq!(names(&account.scalars), ["account.area", "account.id", "account.zip"]);
    for name in ["card", "User", "user.name", ""] {
        assert_eq!(catalogue.namespace(name), None, "{name}");
    }
}

#[test]
fn what_roles_together_may_do_beside_reading() {
    let roles = "
roles:
  both: {datasources: {manage: true}, chalk: {allow: [explain, branch]}}
  one: {datasources: {manage: false}, chalk: {allow: [explain]}}
  none: {}
";
    for (combine, together) in [("most_restrictive", false), ("most_permissive", true)] {
        let policy = loaded(&[&format!("combine: {combine}{roles}")], &[]);
        let ids = |names: &[&str]| names.iter().map(|name| policy.role_id(name).unwrap()).collect::<Vec<_>>();
        let allows = |names: &[&str], switch| policy.allows(&ids(names), switch);
        assert!(allows(&["both"], Switch::Branch) && allows(&["one", "both"], Switch::Explain), "{combine}");
        assert!(!allows(&["both"], Switch::InputsSql) && !allows(&[], Switch::Explain), "{combine}");
        assert_eq!(allows(&["one", "both"], Switch::Branch), together, "{combine}");
        assert_eq!(allows(&["none", "both"], Switch::Explain), together, "{combine}");
        assert!(policy.manages(&ids(&["both"])) && !policy.manages(&ids(&["one", "none"])), "{combine}");
        assert!(!policy.manages(&[]), "{combine}");
        assert_eq!(policy.manages(&ids(&["both", "one"])), together, "{combine}");
    }
}
