//! A graph that gives a role more of a feature that was known before.

use tagwarden::policy::Permission;

use super::deployment::{Deployment, Gives};
use super::graphs::{BASE, Graph, RICH};
use super::{NOWHERE, POLICY, asked_until, asked_until_state, came_back, online, permission, seed, setup};
use crate::support::process::Process;
use crate::support::until;

/// The amount without its tag.
fn wider() -> Graph {
    BASE.tagged("transaction.amount", &[])
}

const HELD: &str = "the new graph is held, for it gives more (reader: `transaction.amount` AllowInternal -> Allow); \
                    change the policy, or set `widening: allow`";

#[tokio::test]
async fn it_is_held_and_names_who_gains_what_until_the_policy_holds_it_down() {
    let (deployment, sidecar) = seed("").await;
    // New features come with it, and wait with it.
    deployment.gives(Gives::Graph(wider().and("user.age", &[])));
    let said = asked_until_state(&sidecar, "").await;
    assert_eq!(said, format!("stale: {HELD}"));
    assert_eq!(permission(&sidecar, "transaction.amount"), Some(Permission::AllowInternal));
    assert_eq!(permission(&sidecar, "user.age"), None);
    assert_eq!(came_back(&online(&sidecar, &["transaction.amount"]).await).0, ["UNAUTHORIZED"]);
    assert_eq!(sidecar.metric("tagwarden_snapshot_stale{kind=\"graph\"}").await, 1.0);

    // A policy that changes nothing about it leaves it held, under the new policy.
    sidecar.setup.folder.write("policy.yaml", POLICY.replace("cleared: AllowDownstream", "cleared: AllowInternal"));
    until("the new policy", async || {
        (permission(&sidecar, "user.avg_transaction_amount") == Some(Permission::AllowInternal)).then_some(())
    })
    .await;
    assert_eq!(sidecar.live.states().graph.stale.as_deref(), Some(HELD));
    assert_eq!(sidecar.live.states().policy.stale, None);

    // One that holds the feature down itself lets the graph in.
    sidecar.setup.folder.write("policy.yaml", format!("{POLICY}features: {{transaction.amount: {{tags: [pii]}}}}\n"));
    sidecar.until_state("graph", "ok").await;
    assert_eq!(permission(&sidecar, "transaction.amount"), Some(Permission::AllowInternal));
    assert_eq!(permission(&sidecar, "user.age"), Some(Permission::Allow));
}

#[tokio::test]
async fn it_is_taken_once_the_configuration_allows_it() {
    let (deployment, sidecar) = seed("").await;
    deployment.gives(Gives::Graph(wider()));
    asked_until_state(&sidecar, "is held").await;
    // Another change of the configuration leaves it held.
    let text = sidecar.setup.text();
    sidecar.setup.folder.write("tagwarden.yaml", format!("{text}decision_cache: {{entries: 5}}\n"));
    sidecar.until_metric("tagwarden_reloads_total{kind=\"config\",result=\"ok\"}", 1.0).await;
    assert_eq!(sidecar.live.states().graph.stale.as_deref(), Some(HELD));
    assert_eq!(permission(&sidecar, "transaction.amount"), Some(Permission::AllowInternal));
    sidecar
        .setup
        .folder
        .write("tagwarden.yaml", text.replace("secret_file: secret", "secret_file: secret, widening: allow"));
    sidecar.until_state("graph", "ok").await;
    assert_eq!(permission(&sidecar, "transaction.amount"), Some(Permission::Allow));
    let (errors, fields) = came_back(&online(&sidecar, &["transaction.amount"]).await);
    assert_eq!((errors.len(), fields), (0, vec!["transaction.amount".into()]));
}

#[tokio::test]
async fn with_allow_it_is_taken_and_logged() {
    let deployment = Deployment::start(Gives::Graph(BASE.clone()), NOWHERE).await;
    let setup = setup(&deployment, ", widening: allow");
    let mut sidecar = Process::serve(&setup.write(), &[]).await;
    deployment.gives(Gives::Graph(wider()));
    // Whatever reads its credentials anew asks for the graph.
    setup.folder.write("secret", format!("{} ", super::CLIENT_SECRET));
    let line = sidecar.logged("the new graph gives more, and is taken").await;
    assert!(line.contains("reader: `transaction.amount` AllowInternal -> Allow"), "{line}");
    sidecar.logged("\"message\":\"reloaded\",\"kind\":\"graph\"").await;
}

#[tokio::test]
async fn what_is_new_gone_or_narrower_is_no_widening() {
    let (deployment, sidecar) = seed("").await;
    for (graph, feature, wanted) in [
        (BASE.and("user.age", &[]), "user.age", Some(Permission::Allow)),
        (BASE.and("user.age", &["pii"]), "user.age", Some(Permission::AllowInternal)),
        (BASE.clone(), "user.age", None),
        // What it was before it went is not remembered.
        (BASE.and("user.age", &[]), "user.age", Some(Permission::Allow)),
        (BASE.tagged("transaction.user_id", &["pii"]), "transaction.user_id", Some(Permission::AllowInternal)),
    ] {
        deployment.gives(Gives::Graph(graph));
        asked_until(&sidecar, feature, || (permission(&sidecar, feature) == wanted).then_some(())).await;
        assert_eq!(sidecar.live.states().graph.stale, None, "{feature}");
    }
}

/// Nothing more with nothing supplied, and more with the keys: that is more.
#[tokio::test]
async fn what_only_callers_with_keys_gain_is_held_too() {
    // The key is read from a source that is out of reach, unless it is given.
    let policy = "\
version: 1
roles:
  reader: {tags: {pii: Deny}, datasources: {allow: []}}
bindings:
  - {roles: [reader], when: {groups: readers}}
features:
  user.greeting: {inputs: [user.id]}
";
    let deployment = Deployment::start(Gives::Graph(RICH.and("user.greeting", &["pii"])), NOWHERE).await;
    let sidecar = setup(&deployment, "").policy(policy).start().await;
    deployment.gives(Gives::Graph(RICH.and("user.greeting", &[])));
    let said = asked_until_state(&sidecar, "is held").await;
    let gains = "(reader: `user.greeting` Deny -> Allow, with all keys supplied)";
    assert!(said.contains(gains), "{said}");
}

/// A policy that cannot do without the new graph is compared with what is served.
#[tokio::test]
async fn a_policy_and_a_graph_that_need_each_other_come_in_together_unless_they_give_more() {
    let (deployment, sidecar) = seed("").await;
    let policy = format!("{POLICY}features: {{user.adult: {{inputs: [user.age]}}}}\n");
    sidecar.setup.folder.write("policy.yaml", &policy);
    sidecar.until_state("policy", "the input `user.age`, which does not exist").await;
    deployment.gives(Gives::Graph(wider().and("user.age", &[])));
    asked_until_state(&sidecar, "").await;
    assert_eq!(permission(&sidecar, "user.adult"), None);
    assert_eq!(permission(&sidecar, "transaction.amount"), Some(Permission::AllowInternal));
    deployment.gives(Gives::Graph(BASE.and("user.age", &[])));
    asked_until(&sidecar, "both", || permission(&sidecar, "user.adult")).await;
    sidecar.until_state("graph", "ok").await;
    sidecar.until_state("policy", "ok").await;
}

/// The list of gains is cut.
#[tokio::test]
async fn many_gains_are_counted() {
    let names: Vec<String> = (0..14).map(|number| format!("user.secret_{number:02}")).collect();
    let of = |tags: &[&str]| names.iter().fold(BASE.clone(), |graph, name| graph.and(name, tags));
    let deployment = Deployment::start(Gives::Graph(of(&["pii"])), NOWHERE).await;
    let sidecar = setup(&deployment, "").start().await;
    deployment.gives(Gives::Graph(of(&["public"])));
    let said = asked_until_state(&sidecar, "is held").await;
    assert!(said.contains("reader: `user.secret_09` AllowInternal -> Allow; and 4 more)"), "{said}");
    assert!(!said.contains("user.secret_10"), "{said}");
}

/// What a held graph says is forgotten once the deployment takes it back.
#[tokio::test]
async fn a_graph_that_is_taken_back_is_no_longer_held() {
    let (deployment, sidecar) = seed("").await;
    deployment.gives(Gives::Graph(wider()));
    asked_until_state(&sidecar, "is held").await;
    // Not readable meanwhile, then held again.
    deployment.gives(Gives::Status(14));
    asked_until_state(&sidecar, "unavailable").await;
    deployment.gives(Gives::Graph(wider()));
    asked_until_state(&sidecar, "is held").await;
    deployment.gives(Gives::Graph(BASE.clone()));
    asked_until_state(&sidecar, "ok").await;
    assert_eq!(permission(&sidecar, "transaction.amount"), Some(Permission::AllowInternal));
}
