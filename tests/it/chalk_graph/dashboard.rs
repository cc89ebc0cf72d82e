//! Tags that data sources have in the dashboard: beside the policy's and the code's, and each must open.

use tagwarden::dialect::chalk::proto::IntegrationKind;
use tagwarden::policy::Permission;

use super::deployment::{Deployment, Gives, LIST_TAGS, TOKEN};
use super::graphs::RICH;
use super::{NOWHERE, asked_until, asked_until_state, permission, setup};
use crate::support::sidecar::Sidecar;

/// The code says `pii-db` of the source of the e-mail address.
const POLICY: &str = "\
version: 1
roles:
  reader: {datasources: {allow: [pii-db, prod]}}
bindings:
  - {roles: [reader], when: {groups: readers}}
datasources:
  pg_pii: {tags: [prod]}
";

async fn start(tags: &[(IntegrationKind, &str, &[&str])], item: &str) -> (Deployment, Sidecar) {
    let deployment = Deployment::start(Gives::Export(RICH.clone()), NOWHERE).await;
    deployment.tags(tags);
    let sidecar = setup(&deployment, item).policy(POLICY).start().await;
    (deployment, sidecar)
}

const EMAIL: &str = "user.email";
use IntegrationKind::{Postgresql, Snowflake};

#[tokio::test]
async fn they_are_asked_for_where_the_item_says_so_and_must_open_a_source_too() {
    let (deployment, sidecar) = start(&[(Postgresql, "pg_pii", &["closed"])], "").await;
    assert_eq!((permission(&sidecar, EMAIL), deployment.came(LIST_TAGS).len()), (Some(Permission::Allow), 0));

    for (tags, wanted) in [
        (&[(Postgresql, "pg_pii", &["closed"][..])][..], Permission::Deny),
        (&[(Postgresql, "pg_pii", &["closed", "prod"])], Permission::Allow),
        // Nothing is said of it.
        (&[(Postgresql, "pg_pii", &[])], Permission::Allow),
        (&[(Postgresql, "other", &["closed"])], Permission::Allow),
        // Of two with one name that of the kind counts; else both.
        (&[(Postgresql, "pg_pii", &["prod"]), (Snowflake, "pg_pii", &["closed"])], Permission::Allow),
        (&[(Snowflake, "pg_pii", &["closed"])], Permission::Deny),
        (&[(Snowflake, "pg_pii", &["prod"]), (IntegrationKind::Mysql, "pg_pii", &["pii-db"])], Permission::Deny),
    ] {
        let (deployment, sidecar) = start(tags, ", datasource_tags: true").await;
        assert_eq!(permission(&sidecar, EMAIL), Some(wanted), "{tags:?}");
        let [came] = &deployment.came(LIST_TAGS)[..] else { panic!("{:?}", deployment.came(LIST_TAGS)) };
        let sent = ["authorization", "x-chalk-server", "x-chalk-env-id"].map(|name| came.headers[name].clone());
        assert_eq!(sent, [&*format!("Bearer {TOKEN}"), "go-api", "prod"]);
    }
}

#[tokio::test]
async fn a_dashboard_that_opens_is_a_widening_and_one_that_closes_is_not() {
    let (deployment, sidecar) = start(&[(Postgresql, "pg_pii", &["prod"])], ", datasource_tags: true").await;
    deployment.tags(&[(Postgresql, "pg_pii", &["closed"])]);
    asked_until(&sidecar, "closed", || (permission(&sidecar, EMAIL) == Some(Permission::Deny)).then_some(())).await;
    assert_eq!(sidecar.live.states().graph.stale, None);
    deployment.tags(&[]);
    let said = asked_until_state(&sidecar, "is held").await;
    assert!(said.contains("reader: `user.email` Deny -> Allow"), "{said}");
    assert_eq!(permission(&sidecar, EMAIL), Some(Permission::Deny));
}

/// `trust`: a tag opens, whoever gives it. `ignore`: the policy's alone do.
#[tokio::test]
async fn the_policy_says_what_tags_of_others_count() {
    for (setting, policy_tag, dashboard, wanted) in [
        ("trust", "none", "prod", Permission::Allow),
        ("trust", "prod", "closed", Permission::Allow),
        ("trust", "none", "closed", Permission::Deny),
        ("ignore", "prod", "closed", Permission::Allow),
        ("ignore", "none", "prod", Permission::Deny),
        ("restrict", "none", "prod", Permission::Deny),
    ] {
        let deployment = Deployment::start(Gives::Export(RICH.clone()), NOWHERE).await;
        deployment.tags(&[(Postgresql, "pg_pii", &[dashboard])]);
        let policy = POLICY.replace("tags: [prod]", &format!("tags: [{policy_tag}]")).replace("pii-db, ", "");
        let policy = format!("{policy}catalogue_tags: {setting}\n");
        let sidecar = setup(&deployment, ", datasource_tags: true").policy(&policy).start().await;
        assert_eq!(permission(&sidecar, EMAIL), Some(wanted), "{setting} {policy_tag} {dashboard}");
    }
}

/// A source of the dashboard that no code reads is known all the same: whoever lists sources can be told which are open.
#[tokio::test]
async fn sources_of_the_dashboard_alone_are_known() {
    let tags: &[(IntegrationKind, &str, &[&str])] = &[(Snowflake, "lake", &["prod"]), (Postgresql, "", &["prod"])];
    let (_, sidecar) = start(tags, ", datasource_tags: true").await;
    let snapshot = sidecar.live.proxy.snapshot.load();
    let policy = &snapshot.rules.policy;
    let at = policy.catalogue.sources.iter().position(|source| source.name == "lake").unwrap();
    assert_eq!(policy.catalogue.sources[at].kind.as_deref(), Some("SNOWFLAKE"));
    assert!(policy.catalogue.sources.iter().any(|source| source.name == "postgres"), "the default of its kind");
    let role = policy.role_id("reader").unwrap();
    assert!(!policy.reaches(role, u32::try_from(at).unwrap()), "the policy does not open it");
}
