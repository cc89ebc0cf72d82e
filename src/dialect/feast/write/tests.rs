//! Which writes are permitted, and what is named of those that are not.

mod body;

use std::borrow::Cow;

use super::super::tests::{loaded, over_shop, source};
use super::*;
use crate::config::Enforcement;
use crate::dialect::Query;
use crate::dialect::chalk::plan::Settings;

/// Writers over the shop: of one view, of half of it each, of all.
const WRITERS: &str = r#"
roles:
  crm: {writes: ["customer_profile:*"]}
  left: {writes: ["customer_profile:ssn", "customer_profile:email", "customer_profile:income"]}
  right: {writes: ["customer_profile:age", "customer_profile:vip", "customer_profile:country"]}
  most: {writes: ["customer_profile:*", "customer_activity:txn*"]}
  all: {writes: ["**"]}
  reader: {}
"#;

fn decided(policy: &Policy, roles: &str, write: &Write<'_>) -> Plan {
    let roles: Vec<_> = roles.split_whitespace().map(|role| policy.role_id(role).unwrap()).collect();
    let index = dialect::Index::new(policy, Settings::default());
    let asker = Asker { roles: &roles, tables: &policy.tables(&roles), mode: policy.mode_of(&roles) };
    Query::FeastWrite(write).plan(policy, &index, asker, Enforcement::Enforce)
}

/// What becomes of a write to `target`: `source NAME`, `views NAMES`, `all`; with these columns, `!` behind those of times.
fn becomes(policy: &Policy, roles: &str, target: &str, columns: &str) -> String {
    let (kind, names) = target.split_once(' ').unwrap_or((target, ""));
    let target = match kind {
        "source" => Target::Source(names.into()),
        "views" => Target::Views(names.split(' ').map(Cow::from).collect()),
        _ => Target::All,
    };
    let column = |name: &str| match name.strip_suffix('!') {
        Some(name) => Sent { name: name.to_owned().into(), times: true },
        None => Sent { name: name.to_owned().into(), times: false },
    };
    let write = Write { target, columns: columns.split_whitespace().map(column).collect() };
    match decided(policy, roles, &write).outcome {
        Outcome::Permit(dialect::Permit::FeastWrite(written)) => {
            format!("written {}", written.views.into_iter().collect::<Vec<_>>().join(" "))
        }
        Outcome::Refuse(names) => format!("refused {}", names.join(" ")),
        other @ (Outcome::Permit(_) | Outcome::Invalid(_)) => panic!("{other:?}"),
    }
}

#[test]
fn a_push_writes_what_reads_the_push_source() {
    let policy = over_shop(WRITERS);
    let whole = "customer_id ssn email income age vip country event_timestamp! created!";
    for (roles, target, columns, expected) in [
        ("crm", "source cust_push", whole, "written customer_profile"),
        ("crm", "source cust_push", "customer_id vip", "written customer_profile"),
        ("all", "source cust_push", whole, "written customer_profile"),
        ("left", "source cust_push", whole, "refused cust_push"),
        // Nor where none but the writable are sent: Feast writes the others all the same, or not at all.
        ("left", "source cust_push", "customer_id ssn email income", "refused cust_push"),
        ("reader", "source cust_push", whole, "refused cust_push"),
        ("all", "source nothing", whole, "refused nothing"),
        ("reader", "source nothing", whole, "refused nothing"),
        // A data source that is no push source is not one to push to.
        ("all", "source act_src", "customer_id", "refused act_src"),
        ("all", "source customer_profile", "customer_id", "refused customer_profile"),
        // Columns of another view, of nobody, and the full name are none of this one.
        ("all", "source cust_push", "customer_id vip txn_count_7d zzz", "refused txn_count_7d zzz"),
        ("all", "source cust_push", "customer_profile:vip", "refused customer_profile:vip"),
        ("all", "source cust_push", "customer_id loaded_at!", "written customer_profile"),
        // What is not permitted tells nothing of its columns.
        ("reader", "source cust_push", "zzz", "refused cust_push"),
    ] {
        assert_eq!(becomes(&policy, roles, target, columns), expected, "{roles}: {target}: {columns}");
    }
}

#[test]
fn a_write_to_a_view_writes_all_of_it() {
    let policy = over_shop(WRITERS);
    for (roles, target, columns, expected) in [
        ("crm", "views customer_profile", "customer_id vip", "written customer_profile"),
        ("right", "views customer_profile", "customer_id vip", "refused customer_profile"),
        ("all", "views nothing", "customer_id", "refused nothing"),
        ("all", "views customer_profile@latest", "customer_id", "refused customer_profile@latest"),
        ("all", "views customer_profile:vip", "customer_id", "refused customer_profile:vip"),
        ("all", "views cust_push", "customer_id", "refused cust_push"),
        // An on-demand view is written from its inputs.
        ("all", "views email_parts", "customer_id email", "written email_parts"),
        ("crm", "views email_parts", "customer_id email", "refused email_parts"),
        ("all", "views checkout_risk", "customer_id income txn_count_7d basket_total", "written checkout_risk"),
        ("all", "views email_parts", "customer_id big", "refused big"),
    ] {
        assert_eq!(becomes(&policy, roles, target, columns), expected, "{roles}: {target}: {columns}");
    }
}

#[test]
fn of_several_views_the_unwritable_are_named() {
    let policy = over_shop(WRITERS);
    for (roles, target, expected) in [
        ("most", "views customer_profile", "written customer_profile"),
        ("most", "views customer_profile customer_activity num", "refused customer_activity num"),
        ("most", "views nothing customer_profile customer_activity", "refused nothing customer_activity"),
        ("all", "views customer_profile num__edge", "written customer_profile num__edge"),
        ("most", "all", "refused *"),
        ("reader", "all", "refused *"),
        (
            "all",
            "all",
            "written checkout_risk customer_activity customer_profile email_parts num num__edge request_only stale_view",
        ),
    ] {
        assert_eq!(becomes(&policy, roles, target, ""), expected, "{roles}: {target}");
    }
}

#[test]
fn roles_together_write_what_each_of_them_does_or_one_does() {
    let strict = over_shop(WRITERS);
    let permissive = over_shop(&format!("combine: most_permissive\n{WRITERS}"));
    for (roles, restrictive, one) in [
        ("crm all", "written customer_profile", "written customer_profile"),
        ("crm reader", "refused cust_push", "written customer_profile"),
        // Each may write a half: together they never write what none of them does.
        ("left right", "refused cust_push", "refused cust_push"),
        ("left right crm", "refused cust_push", "written customer_profile"),
        ("reader", "refused cust_push", "refused cust_push"),
        ("", "refused cust_push", "refused cust_push"),
    ] {
        assert_eq!(becomes(&strict, roles, "source cust_push", ""), restrictive, "{roles}");
        assert_eq!(becomes(&permissive, roles, "source cust_push", ""), one, "{roles}");
    }
}

#[test]
fn a_source_of_two_views_is_pushed_to_by_who_may_write_both() {
    let policy = loaded(
        r#"
roles:
  both: {writes: ["a:*", "b:*"]}
  one: {writes: ["a:*"]}
features:
  a:x: {sources: [stream]}
  b:y: {sources: [stream]}
  c:z: {sources: [files]}
  k: {key: true}
datasources:
  stream: {}
  files: {kind: FILE}
"#,
        &[],
    );
    assert_eq!(becomes(&policy, "both", "source stream", "k x y"), "written a b");
    assert_eq!(becomes(&policy, "both", "source stream", "k x y z"), "refused z");
    assert_eq!(becomes(&policy, "one", "source stream", "k x"), "refused stream");
    let empty = loaded(
        "roles: {all: {writes: ['**']}}\nfeatures: {k: {key: true}}",
        &[source("c", "version: 1\nfeatures: {j: {key: true}}")],
    );
    assert_eq!(becomes(&empty, "all", "all", ""), "refused *");
}

#[test]
fn a_column_without_a_name_is_none_of_any_view() {
    let policy = over_shop(WRITERS);
    let write =
        Write { target: Target::Source("cust_push".into()), columns: vec![Sent { name: "".into(), times: false }] };
    let Outcome::Refuse(names) = decided(&policy, "all", &write).outcome else { panic!("permitted") };
    assert_eq!(names, [""]);
}

#[test]
fn what_is_recorded_is_the_source_and_every_feature() {
    let policy = over_shop(WRITERS);
    let write =
        Write { target: Target::Source("cust_push".into()), columns: vec![Sent { name: "vip".into(), times: false }] };
    let plan = decided(&policy, "left", &write);
    assert_eq!(plan.bundle.as_deref(), Some("cust_push"));
    assert_eq!(plan.outputs.len(), 6, "{:?}", plan.outputs);
    let refused: BTreeSet<&str> = plan.refused.iter().map(|refusal| &*refusal.feature).collect();
    assert_eq!(refused, ["customer_profile:age", "customer_profile:country", "customer_profile:vip"].into());
    let unknown = Write { target: Target::Source("a\nb".into()), columns: Vec::new() };
    assert_eq!(decided(&policy, "left", &unknown).outputs, ["a\\u{a}b"]);
}
