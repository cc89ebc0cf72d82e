//! What bindings and the other rights of roles change.

use super::*;

/// The bindings, as text; whether one is wider.
fn bound(old: &str, new: &str) -> Vec<String> {
    let rules = |bindings: &str| {
        format!("combine: most_permissive\nroles: {{a: {{}}, b: {{}}}}\nfeatures: {{x: {{}}}}\nbindings:\n{bindings}")
    };
    let (old, new) = (load("old", &rules(old), ""), load("new", &rules(new), ""));
    let diff = compared(&old, &new);
    assert_eq!(diff.summary().gains, diff.bindings.iter().any(|bound| bound.wider));
    let shown = |b: &Bound| format!("{} {} {:?}: {}", b.at, if b.wider { "gain" } else { "lose" }, b.roles, b.text);
    diff.bindings.iter().map(shown).collect()
}

#[test]
fn bindings_by_whom_they_match() {
    let one = "  - {roles: [a], when: {iss: i, client_id: c}}\n";
    assert_eq!(bound(one, one), [""; 0]);
    let two = "  - {roles: [b], when: {iss: i, client_id: d}}\n";
    assert_eq!(bound(one, &format!("{one}{two}")), ["new:7 gain [\"b\"]: iss is \"i\" and client_id is \"d\": is new"]);
    assert_eq!(
        bound(&format!("{one}{two}"), one),
        ["old:7 lose [\"b\"]: iss is \"i\" and client_id is \"d\": is gone"]
    );
    // The order, and what another one gives already, are nothing.
    assert_eq!(bound(&format!("{one}{two}"), &format!("{two}{one}")), [""; 0]);
    assert_eq!(bound(one, &format!("{one}  - {{roles: [a], when: {{iss: i, client_id: c, x: y}}}}\n")), [""; 0]);
    assert_eq!(
        bound(one, &one.replace("[a]", "[a, b]")),
        ["new:6 gain [\"b\"]: iss is \"i\" and client_id is \"c\": also gives `b` (compare old:6)"]
    );
    assert_eq!(
        bound(one, &one.replace("client_id: c", "client_id: [c, 7]"))[0],
        "new:6 gain [\"a\"]: iss is \"i\" and client_id is \"c\" or 7: `client_id` may also be 7 (compare old:6)"
    );
    assert_eq!(
        bound(one, &one.replace("iss: i, ", "")),
        ["new:6 gain [\"a\"]: client_id is \"c\": claim `iss` is no longer asked for (compare old:6)"]
    );
    assert_eq!(
        bound(&one.replace("iss: i, ", ""), one),
        ["old:6 lose [\"a\"]: client_id is \"c\": claim `iss` is asked for too (compare new:6)"]
    );
    // Values of another type are others.
    assert_eq!(bound("  - {roles: [a], when: {n: 7}}\n", "  - {roles: [a], when: {n: \"7\"}}\n").len(), 2);
}

#[test]
fn what_roles_may_do_beside_reading() {
    let role = |text: &str| format!("roles: {{a: {{{text}}}}}\nfeatures: {{u.x: {{}}, u.y: {{}}}}\n");
    let changed = |old: &str, new: &str| {
        let (old, new) = (load("old", &role(old), ""), load("new", &role(new), ""));
        let diff = compared(&old, &new);
        assert_eq!(diff.summary().gains, diff.settings.iter().any(|changed| changed.wider), "{:?}", diff.settings);
        let shown = diff.settings.iter().map(|changed| format!("{}: {} {}", changed.at, changed.text(), changed.wider));
        shown.collect::<Vec<_>>()
    };
    let manage = |on: bool| format!("datasources: {{manage: {on}}}");
    assert_eq!(changed("", &manage(true)), ["new:2: `datasources.manage` of role `a` is true (was false) true"]);
    assert_eq!(changed(&manage(true), ""), ["new:2: `datasources.manage` of role `a` is false (was true) false"]);
    assert_eq!(
        changed("", "chalk: {allow: [explain]}"),
        ["new:2: `chalk.allow` of role `a` is [explain] (was []) true"]
    );
    assert_eq!(
        changed("chalk: {allow: [explain]}", ""),
        ["new:2: `chalk.allow` of role `a` is [] (was [explain]) false"]
    );
    assert_eq!(
        changed("writes: [u.x]", "writes: [\"u.*\"]"),
        ["new:2: `writes` of role `a` is [u.*] (was [u.x]): 1 features more, 0 fewer; for one `u.y` true"]
    );
    assert_eq!(
        changed("writes: [\"u.*\"]", "writes: [u.x, u.y]"),
        ["new:2: `writes` of role `a` is [u.x, u.y] (was [u.*]): 0 features more, 0 fewer false"]
    );
    assert!(changed("", "writes: [later.*]")[0].ends_with(" true"), "it matches what comes later");
    assert_eq!(
        changed("mode: reject", "mode: filter"),
        [
            "new:2: `mode` of role `a` is filter (was reject): queries with refused outputs are answered without these true"
        ]
    );
    assert_eq!(changed("mode: filter", ""), ["new:2: `mode` of role `a` is reject (was filter) false"]);
    let whole = |text: &str| format!("{text}\n{}", role(""));
    for (old, new, wider) in [
        ("mode: reject", "mode: filter", true),
        ("mode: filter", "mode: reject", false),
        ("supplies: keys", "supplies: any", true),
        ("supplies: any", "supplies: keys", false),
        ("combine: most_restrictive", "combine: most_permissive", true),
        ("internal: flows", "internal: stays", false),
    ] {
        let (old, new) = (load("old", &whole(old), ""), load("new", &whole(new), ""));
        let diff = compared(&old, &new);
        assert_eq!((diff.settings.len(), diff.summary().gains), (1, wider), "{:?}", diff.settings);
    }
}
