mod callers;
mod recorded;

use std::sync::Arc;

use super::replay::Log;
use super::*;
use crate::diagnostic::{Report, SourceFile};
use crate::policy::explain::Files;
use crate::policy::file::{self, Layer, LayerKind};
use crate::policy::{Policy, assemble};

struct Loaded {
    policy: Policy,
    rules: Layer,
    imported: Layer,
}

fn load(name: &str, rules: &str, catalogue: &str) -> Loaded {
    let mut report = Report::default();
    let source = |name: String, text: &str| Arc::new(SourceFile { name, text: format!("version: 1\n{text}") });
    let rules = file::read(LayerKind::Policy, &[source(name.to_owned(), rules)], &mut report);
    let imported: Vec<_> = Some(catalogue).filter(|text| !text.is_empty()).into_iter().collect();
    let imported: Vec<_> = imported.into_iter().map(|text| source(format!("catalogue-{name}"), text)).collect();
    let imported = file::read(LayerKind::Catalogue, &imported, &mut report);
    let policy = assemble(&rules, &imported, &mut report).unwrap_or_else(|| panic!("{report}"));
    Loaded { policy, rules, imported }
}

fn side(loaded: &Loaded) -> Side<'_> {
    Side { policy: &loaded.policy, files: Files { rules: &loaded.rules, imported: &loaded.imported } }
}

fn compared<'l>(old: &'l Loaded, new: &'l Loaded) -> Diff<'l> {
    let comparison = Comparison::new(side(old), side(new));
    let blocks = (0..comparison.blocks()).map(|number| comparison.block(number)).collect();
    comparison.finish(blocks)
}

/// Every row in one way: `role feature: Old -> New, notes (file:line: cause)`.
fn rows(diff: &Diff<'_>, way: Way, callers: Callers) -> Vec<String> {
    let mut rows = Vec::new();
    diff.each(way, callers, &mut |row| {
        let cause = diff.cause(row.cause).unwrap();
        for caller in &row.callers {
            let one = Shown { callers: vec![*caller], ..row.clone() };
            let (who, feature) = (text::who(diff, &one, callers), diff.feature(row.feature));
            let (states, notes) = (text::states(row), text::notes(diff, row));
            rows.push(format!("{who} {feature}: {states}{notes} ({}:{}: {})", cause.file, cause.line, cause.text));
        }
    });
    rows
}

/// What is gained and what is lost from one policy, or catalogue, to the other.
fn changes(old: [&str; 2], new: [&str; 2]) -> [Vec<String>; 2] {
    let (old, new) = (load("old", old[0], old[1]), load("new", new[0], new[1]));
    let diff = compared(&old, &new);
    [Way::Gained, Way::Lost].map(|way| rows(&diff, way, Callers::Roles))
}

fn gains(old: &str, new: &str) -> Vec<String> {
    let [gained, lost] = changes([old, ""], [new, ""]);
    assert_eq!(lost, Vec::<String>::new());
    gained
}

const RULES: &str = "\
roles:
  a: {tags: {pii: Deny}}
  b: {tags: {pii: AllowInternal, open: AllowDownstream}, datasources: {allow: [prod]}}
features:
  k: {key: true}
  u.raw: {tags: [pii], sources: [pg]}
  u.sum: {inputs: [u.raw]}
  u.far: {inputs: [u.sum], joins: [k]}
datasources: {pg: {tags: [prod]}}
";

#[test]
fn a_mapping_changes_what_is_tagged_so_and_what_is_derived_from_it() {
    let gained = gains(RULES, &RULES.replace("pii: Deny", "pii: Allow"));
    let cause = "(new:3: role `a` maps tag `pii` to Allow (was Deny))";
    assert_eq!(
        gained,
        [
            format!("a u.far: Deny -> Allow, through u.sum, rule 4 -> 7 {cause}"),
            format!("a u.raw: Deny -> Allow {cause}"),
            format!("a u.sum: Deny -> Allow, through u.raw, rule 4 -> 7 {cause}"),
        ]
    );
    let used = gains(RULES, &RULES.replace("pii: Deny", "pii: AllowInternal"));
    assert_eq!(used[1], "a u.raw: Deny -> AllowInternal (new:3: role `a` maps tag `pii` to AllowInternal (was Deny))");
    let gone = gains(RULES, &RULES.replace("{tags: {pii: Deny}}", "{}"));
    assert_eq!(gone[1], "a u.raw: Deny -> Allow (old:3: role `a` no longer maps tag `pii` (was Deny))");
    let [gained, lost] = changes([&RULES.replace("{tags: {pii: Deny}}", "{}"), ""], [RULES, ""]);
    assert_eq!(gained, Vec::<String>::new());
    assert_eq!(lost[1], "a u.raw: Allow -> Deny (new:3: role `a` maps tag `pii` to Deny (was not mapped))");
}

#[test]
fn a_default_and_a_role() {
    let old = "roles: {a: {default: Deny}}\nfeatures: {x: {}, y: {tags: [t]}}\n";
    let gained = gains(old, &old.replace("default: Deny", "default: Allow"));
    let cause = "(new:2: the default of role `a` is Allow (was Deny))";
    assert_eq!(gained, [format!("a x: Deny -> Allow {cause}"), format!("a y: Deny -> Allow {cause}")]);
    let gained = gains(old, &old.replace("}}\nfeatures", "}, b: {default: Deny, tags: {t: Allow}}}\nfeatures"));
    assert_eq!(gained, ["b y: none -> Allow (new:2: role `b` is new)"]);
    // A new role that returns nothing gains nothing.
    assert_eq!(gains(old, &old.replace("}}\nfeatures", "}, b: {default: AllowInternal}}\nfeatures")), [""; 0]);
}

#[test]
fn tags_of_features_patterns_and_catalogues() {
    let gained = gains(RULES, &RULES.replace("{tags: [pii], sources", "{sources"));
    assert!(
        gained.contains(&"a u.raw: Deny -> Allow (old:7: feature `u.raw` no longer has tag `pii`)".to_owned()),
        "{gained:?}"
    );
    let pattern = |tag: &str| {
        format!("roles: {{a: {{tags: {{pii: Deny}}}}}}\nfeatures:\n  u.x: {{}}\n  u.*: {{tags: [{tag}]}}\n")
    };
    let gained = gains(&pattern("pii"), &pattern("open"));
    assert_eq!(gained, ["a u.x: Deny -> Allow (old:5: pattern `u.*` no longer adds tag `pii`)"]);
    let [gained, lost] = changes([&pattern("open"), ""], [&pattern("pii"), ""]);
    assert_eq!(gained, Vec::<String>::new());
    assert_eq!(lost, ["a u.x: Allow -> Deny (new:5: pattern `u.*` adds tag `pii`)"]);
    let rules = "roles: {a: {default: Deny, tags: {open: Allow}}}\n";
    let [gained, _] = changes(
        [rules, "features: {x: {}}\n"],
        [&format!("{rules}features: {{x: {{tags: [open]}}}}\n"), "features: {x: {}}\n"],
    );
    assert_eq!(gained, ["a x: Deny -> Allow (new:3: feature `x` has the new tag `open`)"]);
    // A tag that the catalogue had too counts by the policy alone.
    let [gained, _] = changes(
        [rules, "features: {x: {tags: [open]}}\n"],
        [&format!("{rules}features: {{x: {{tags: [open]}}}}\n"), "features: {x: {tags: [open]}}\n"],
    );
    assert_eq!(gained, ["a x: Deny -> Allow (new:3: tag `open` of feature `x` comes from another layer)"]);
}

#[test]
fn lineage_that_is_cut_and_lineage_that_is_new() {
    let gained = gains(RULES, &RULES.replace("u.sum: {inputs: [u.raw]}", "u.sum: {}"));
    let cause = "(old:8: feature `u.sum` no longer has the input `u.raw`)";
    assert_eq!(
        gained,
        [
            format!("a u.far: Deny -> Allow, through u.sum, rule 4 -> 7 {cause}"),
            format!("a u.sum: Deny -> Allow, rule 4 -> 7 {cause}"),
        ]
    );
    let joined = |join: &str| {
        format!(
            "roles: {{a: {{tags: {{pii: Deny}}}}}}\nfeatures:\n  u.k: {{tags: [pii]}}\n  u.x: {{joins: [{join}]}}\n"
        )
    };
    assert_eq!(
        gains(&joined("u.k"), &joined("")),
        ["a u.x: Deny -> Allow, rule 4 -> 7 (old:5: feature `u.x` no longer has the join `u.k`)"]
    );
    let [_, lost] = changes([&joined(""), ""], [&joined("u.k"), ""]);
    assert_eq!(lost, ["a u.x: Allow -> Deny, rule 7 -> 4 (new:5: feature `u.x` has the new join `u.k`)"]);
    let rules = "roles: {a: {tags: {pii: Deny}}}\nfeatures:\n  u.raw: {tags: [pii]}\n";
    let imported = "features:\n  u.raw: {}\n  u.sum: {inputs: [u.raw]}\n";
    let [gained, _] = changes([rules, imported], [&format!("{rules}  u.sum: {{not_inputs: [u.raw]}}\n"), imported]);
    assert_eq!(
        gained,
        ["a u.sum: Deny -> Allow, rule 4 -> 7 (new:5: `not_inputs` takes input `u.raw` out of feature `u.sum`)"]
    );
}

#[test]
fn what_makes_a_derivative_pure() {
    let rules = |more: &str| {
        format!(
            "roles: {{a: {{default: AllowInternal, tags: {{open: AllowDownstream}}}}}}\nfeatures:\n  u.o: {{tags: [open]}}\n  u.x: {{inputs: [u.o]{more}}}\ndatasources: {{pg: null}}\n"
        )
    };
    assert_eq!(
        gains(&rules(", opaque: true"), &rules("")),
        ["a u.x: AllowInternal -> AllowDownstream, rule 7 -> 5 (old:5: feature `u.x` is no longer opaque)"]
    );
    assert_eq!(
        gains(&rules(", sources: [pg]"), &rules("")),
        [
            "a u.x: AllowInternal -> AllowDownstream, rule 7 -> 5 (old:5: feature `u.x` no longer reads data source `pg`)"
        ]
    );
    let keyed = |key: &str| {
        format!(
            "roles: {{a: {{default: Deny, tags: {{open: AllowDownstream}}}}}}\nfeatures:\n  k: {{{key}}}\n  u.o: {{tags: [open]}}\n  u.x: {{inputs: [u.o, k]}}\n"
        )
    };
    let gained = gains(&keyed(""), &keyed("key: true"));
    assert_eq!(
        gained,
        [
            "a k: Deny -> AllowInternal (new:4: feature `k` is a key now)",
            "a u.x: Deny -> AllowDownstream, with all keys supplied, through k, rule 4 -> 5 (new:4: feature `k` is a key now)",
        ]
    );
}

#[test]
fn data_sources() {
    let gained = gains(
        &RULES.replace("pii: AllowInternal", "pii: Allow").replace("allow: [prod]", "allow: []"),
        &RULES.replace("pii: AllowInternal", "pii: Allow"),
    );
    let cause = "(new:4: `datasources.allow` of role `b` is [prod] (was []))";
    assert_eq!(gained[1], format!("b u.raw: Deny -> Allow, rule 2 -> 7 {cause}"));
    assert_eq!(gained[0], format!("b u.far: Deny -> Allow, through u.sum, rule 2 -> 7 {cause}"));
    let all = gains(RULES, &RULES.replace("datasources: {allow: [prod]}", "datasources: {}"));
    assert_eq!(all, [""; 0], "it reached the one source before");
    let gained = gains(&RULES.replace("{pg: {tags: [prod]}}", "{pg: {tags: [dev]}}"), RULES);
    assert!(gained.contains(&"b u.raw: Deny -> AllowInternal, rule 2 -> 7 (new:10: the tags of data source `pg` are [prod] (were [dev]))".to_owned()), "{gained:?}");
    let gained =
        gains(&RULES.replace("pg: {tags: [prod]}", "pg: {tags: [dev]}"), &RULES.replace(", sources: [pg]", ""));
    assert!(
        gained.contains(
            &"b u.raw: Deny -> AllowInternal, rule 2 -> 7 (old:7: feature `u.raw` no longer reads data source `pg`)"
                .to_owned()
        ),
        "{gained:?}"
    );
}

#[test]
fn settings_that_decide() {
    let rules = "roles: {a: {tags: {pii: Deny, open: AllowDownstream}}}\nfeatures:\n  u.raw: {tags: [pii]}\n  u.x: {tags: [open], inputs: [u.raw]}\n";
    assert_eq!(
        gains(rules, &format!("{rules}declassification: boundary\n")),
        ["a u.x: Deny -> AllowDownstream, rule 4 -> 3 (new:6: `declassification` is boundary (was strict))"]
    );
    let rules =
        "roles: {a: {tags: {pii: AllowInternal}}}\nfeatures:\n  u.raw: {tags: [pii]}\n  u.x: {inputs: [u.raw]}\n";
    assert_eq!(
        gains(&format!("{rules}internal: flows\n"), rules),
        ["a u.x: AllowInternal -> Allow, rule 6 -> 7 (old:6: `internal` is stays (was flows))"]
    );
    let rules = "roles: {a: {default: Deny, tags: {open: Allow}}}\n";
    let imported = "features: {x: {tags: [open]}}\n";
    let [gained, _] = changes([rules, imported], [&format!("catalogue_tags: trust\n{rules}"), imported]);
    assert_eq!(gained, ["a x: Deny -> Allow (new:2: `catalogue_tags` is trust (was restrict))"]);
}

#[test]
fn features_that_one_side_has() {
    let old = "roles: {a: {tags: {pii: AllowInternal}}}\nfeatures:\n  x: {}\n";
    let [gained, lost] = changes([old, ""], [&format!("{old}  y: {{}}\n  z: {{tags: [pii]}}\n"), ""]);
    assert_eq!((gained, lost), (vec!["a y: none -> Allow (new:5: feature `y` is new)".to_owned()], vec![]));
    let [gained, lost] = changes([&format!("{old}  y: {{}}\n"), ""], [old, ""]);
    assert_eq!((gained, lost), (vec![], vec!["a y: Allow -> none (old:5: feature `y` is gone)".to_owned()]));
}

#[test]
fn names_outside_the_catalogue_count_where_they_are_not_denied() {
    let rules = |unknown: &str, default: &str| {
        format!(
            "unknown_features: {unknown}\nroles: {{a: {{default: {default}, tags: {{pii: Deny}}}}}}\nfeatures:\n  x: {{tags: [ok]}}\n  u.*: {{tags: [pii]}}\n"
        )
    };
    let (old, new) = (load("old", &rules("deny", "Allow"), ""), load("new", &rules("default", "Allow"), ""));
    let diff = compared(&old, &new);
    assert_eq!(
        rows(&diff, Way::Gained, Callers::Roles),
        [
            "a unknown (and other names outside the catalogue): Deny -> Allow (new:2: `unknown_features` is default (was deny): names outside the catalogue, any spelling that the feature server understands among them)"
        ]
    );
    assert!(diff.settings[0].wider);
    let gained = gains(&rules("default", "Deny"), &rules("default", "Allow"));
    let cause = "(new:3: the default of role `a` is Allow (was Deny))";
    assert!(
        gained.contains(&format!("a unknown (and other names outside the catalogue): Deny -> Allow {cause}")),
        "{gained:?}"
    );
    let open = rules("default", "Allow").replace("tags: [pii]", "tags: [ok]");
    let gained = gains(&rules("default", "Allow"), &open);
    assert_eq!(
        gained,
        [
            "a u.unknown (and other names outside the catalogue): Deny -> Allow (old:6: pattern `u.*` no longer adds tag `pii`)"
        ]
    );
}

#[test]
fn values_that_callers_supply_open_what_nothing_else_does() {
    // `u.x` is denied for `u.raw` on both sides; given that one, `u.o` held it back.
    let rules = |o: &str| {
        format!(
            "roles: {{a: {{tags: {{no: Deny, pii: AllowInternal}}}}}}\nfeatures:\n  s: {{tags: [no]}}\n  u.raw: {{inputs: [s]}}\n  u.o: {{tags: [{o}]}}\n  u.x: {{inputs: [u.raw, u.o]}}\n"
        )
    };
    let gained = gains(&rules("no"), &rules("pii"));
    let cause = "(old:6: feature `u.o` no longer has tag `no`)";
    assert_eq!(
        gained,
        [
            format!("a u.o: Deny -> AllowInternal {cause}"),
            format!("a u.x: Deny -> Allow, with some values supplied, through u.o, rule 4 -> 7 {cause}"),
        ]
    );
    // Off the row that is asked for only keys count: `u.raw` cannot be given there.
    let apart = |o: &str| rules(o).replace("u.o", "v.o").replace("u.x", "v.x");
    let gained = gains(&apart("no"), &apart("pii"));
    assert_eq!(gained, ["a v.o: Deny -> AllowInternal (old:6: feature `v.o` no longer has tag `no`)"]);
    // Denied by what lies below all the same, and now it may be given.
    let rules = |tag: &str| {
        format!(
            "roles: {{a: {{tags: {{no: Deny, pii: AllowInternal}}}}}}\nfeatures:\n  s: {{tags: [no]}}\n  x: {{tags: [{tag}], inputs: [s], joins: [s]}}\n"
        )
    };
    assert_eq!(
        gains(&rules("no"), &rules("pii")),
        ["a x: Deny -> AllowInternal, as a supplied value (old:5: feature `x` no longer has tag `no`)"]
    );
}

#[test]
fn roles_together() {
    let rules = "roles: {a: {tags: {pii: Deny}}, b: {default: Deny, tags: {open: Allow}}}\nfeatures: {x: {}, y: {tags: [open, pii]}, z: {tags: [open]}}\n";
    let (old, new) = (load("old", rules, ""), load("new", &format!("{rules}combine: most_permissive\n"), ""));
    let diff = compared(&old, &new);
    assert_eq!(rows(&diff, Way::Gained, Callers::Roles), [""; 0]);
    let cause = "(new:4: `combine` is most_permissive (was most_restrictive): callers with several roles)";
    assert_eq!(
        rows(&diff, Way::Gained, Callers::Sets),
        [format!("a + b x: Deny -> Allow {cause}"), format!("a + b y: Deny -> Allow {cause}")]
    );
    assert!(diff.summary().gains && diff.summary().sets_gaining == 1);
    // What one of them gains alone is not told again.
    let wider = rules.replace("pii: Deny", "pii: Allow") + "bindings: [{roles: [a, b], when: {c: d}}]\n";
    let (old, new) = (load("old", rules, ""), load("new", &wider, ""));
    let diff = compared(&old, &new);
    assert_eq!(rows(&diff, Way::Gained, Callers::Sets), [""; 0]);
    assert_eq!(rows(&diff, Way::Gained, Callers::Roles).len(), 1);
}

#[test]
fn fewer_roles_can_return_more() {
    let rules = |roles: &str| {
        format!(
            "roles: {{a: {{}}, b: {{default: Deny}}}}\nfeatures: {{x: {{}}}}\nbindings: [{{roles: [{roles}], when: {{c: d}}}}]\n"
        )
    };
    let (old, new) = (load("old", &rules("a, b"), ""), load("new", &rules("a"), ""));
    let diff = compared(&old, &new);
    assert_eq!(
        rows(&diff, Way::Gained, Callers::Sets),
        ["a (before: a + b) x: Deny -> Allow (old:4: the binding of [a, b] is gone or gives other roles)"]
    );
    assert!(diff.summary().gains);
    // Other clients: nobody has both.
    let apart = |b: &str| {
        format!(
            "roles: {{a: {{}}, b: {{default: Deny}}}}\nfeatures: {{x: {{}}}}\nbindings:\n  - {{roles: [a], when: {{client_id: one}}}}\n{b}"
        )
    };
    let (old, new) =
        (load("old", &apart("  - {roles: [b], when: {client_id: two}}\n"), ""), load("new", &apart(""), ""));
    assert!(!compared(&old, &new).summary().gains);
    let (old, new) = (load("old", &apart("  - {roles: [b], when: {group: two}}\n"), ""), load("new", &apart(""), ""));
    assert!(compared(&old, &new).summary().gains);
}
