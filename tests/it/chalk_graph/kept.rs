//! What is read again, and what is not taken: the last good graph is served, and shows.

use std::sync::Arc;

use tagwarden::policy::Permission;
use tokio::sync::Notify;

use super::deployment::{BEARER, CLIENT_SECRET, Deployment, GET_GRAPH, Gives, TOKEN};
use super::graphs::BASE;
use super::{NOWHERE, asked_until, asked_until_state, came_back, online, permission, seed, setup};
use crate::support::client::{ask, request};
use crate::support::process::Process;
use crate::support::until;

const AMOUNT: &str = "transaction.amount";

#[tokio::test]
async fn a_new_feature_is_there_after_the_next_reading() {
    let (deployment, sidecar) = seed("").await;
    let (errors, _) = came_back(&online(&sidecar, &["user.age"]).await);
    assert_eq!(errors, ["UNAUTHORIZED"]);
    let before = sidecar.status().await;
    deployment.gives(Gives::Export(BASE.and("user.age", &["pii"]).and("user.name", &[])));
    asked_until(&sidecar, "the new features", || permission(&sidecar, "user.name")).await;
    assert_eq!(permission(&sidecar, "user.age"), Some(Permission::AllowInternal));
    assert_eq!(came_back(&online(&sidecar, &["user.name"]).await), (vec![], vec!["user.name".into()]));
    assert_eq!(came_back(&online(&sidecar, &["user.age"]).await).0, ["UNAUTHORIZED"]);
    // What is shown comes after what is served.
    let now = until("its digest", async || {
        let now = sidecar.status().await;
        (now["graph"]["digest"] != before["graph"]["digest"]).then_some(now)
    })
    .await;
    assert!(now["generation"].as_u64() > before["generation"].as_u64(), "{now}");
    assert_eq!(sidecar.metric("tagwarden_reloads_total{kind=\"graph\",result=\"ok\"}").await, 1.0);

    // The same again is no news.
    let (readings, generation) = (deployment.came(GET_GRAPH).len(), now["generation"].clone());
    sidecar.live.ask_for_graph();
    deployment.until_came(GET_GRAPH, readings + 1).await;
    sidecar.live.ask_for_graph();
    deployment.until_came(GET_GRAPH, readings + 2).await;
    assert_eq!(sidecar.status().await["generation"], generation);
}

#[tokio::test]
async fn readings_that_fail_keep_the_last_good_one_and_show() {
    let (deployment, sidecar) = seed("").await;
    let good = sidecar.status().await["graph"]["digest"].clone();
    for (gives, why) in [
        (Gives::Status(14), "the deployment refuses `/chalk.server.v1.GraphService/GetGraph`: unavailable"),
        (Gives::Nothing, "the deployment's graph has no features"),
        (Gives::Bytes(b"\x0a\x7f"), "`graph` does not read as protobuf"),
    ] {
        deployment.gives(gives.clone());
        let said = asked_until_state(&sidecar, why).await;
        assert!(said.starts_with("stale: the deployment"), "{said}");
        let status = sidecar.status().await;
        assert_eq!(status["graph"]["digest"], good, "{gives:?}");
        assert!(status["graph"]["stale"].as_str().unwrap().contains(why), "{status}");
        assert_eq!(sidecar.metric("tagwarden_snapshot_stale{kind=\"graph\"}").await, 1.0);
        // It serves what it had, and is ready.
        assert_eq!(sidecar.ready().await.0, 200);
        assert_eq!(permission(&sidecar, AMOUNT), Some(Permission::AllowInternal));
        let generation = status["generation"].clone();
        deployment.gives(Gives::Graph(BASE.clone()));
        asked_until_state(&sidecar, "ok").await;
        assert_eq!(sidecar.metric("tagwarden_snapshot_stale{kind=\"graph\"}").await, 0.0);
        assert_eq!(sidecar.status().await["generation"], generation, "nothing new was published");
    }
    assert!(sidecar.metric("tagwarden_reloads_total{kind=\"graph\",result=\"failed\"}").await >= 3.0);
}

#[tokio::test]
async fn readings_that_fail_are_tried_again_soon() {
    let (deployment, sidecar) = seed(", refresh: 1h").await;
    deployment.gives(Gives::Status(14));
    let readings = deployment.came(GET_GRAPH).len();
    asked_until_state(&sidecar, "unavailable").await;
    // The first of them by a bell, the second by itself long before its hour.
    deployment.until_came(GET_GRAPH, readings + 2).await;
    deployment.gives(Gives::Graph(BASE.clone()));
    sidecar.until_state("graph", "ok").await;
}

#[tokio::test]
async fn a_graph_of_half_the_features_waits_for_allow_shrink() {
    let whole = BASE.and_many(10);
    let deployment = Deployment::start(Gives::Graph(whole.clone()), NOWHERE).await;
    let sidecar = setup(&deployment, "").start().await;
    deployment.gives(Gives::Graph(BASE.clone()));
    let why = "the new graph has 10 features where 20 are served; set `allow_shrink` if that is meant";
    asked_until_state(&sidecar, why).await;
    assert_eq!(permission(&sidecar, "user.more_9"), Some(Permission::Allow));
    // One more is more than half.
    deployment.gives(Gives::Graph(BASE.and_many(1)));
    asked_until_state(&sidecar, "ok").await;
    assert_eq!(permission(&sidecar, "user.more_9"), None);

    deployment.gives(Gives::Graph(whole));
    asked_until(&sidecar, "the whole graph", || permission(&sidecar, "user.more_9")).await;
    deployment.gives(Gives::Graph(BASE.clone()));
    asked_until_state(&sidecar, why).await;
    sidecar.setup.folder.write("tagwarden.yaml", sidecar.setup.text() + "allow_shrink: true\n");
    sidecar.until_state("graph", "ok").await;
    assert_eq!(permission(&sidecar, "user.more_9"), None);
}

#[tokio::test]
async fn a_graph_that_does_not_load_under_the_policy_keeps_the_last_good_one() {
    let deployment = Deployment::start(Gives::Graph(BASE.and("user.age", &[])), NOWHERE).await;
    let policy = format!("{}features: {{user.adult: {{inputs: [user.age]}}}}\n", super::POLICY);
    let sidecar = setup(&deployment, "").policy(&policy).start().await;
    deployment.gives(Gives::Graph(BASE.and("user.years", &[])));
    asked_until_state(&sidecar, "feature `user.adult` has the input `user.age`, which does not exist").await;
    assert_eq!(permission(&sidecar, "user.years"), None);
    assert_eq!(sidecar.ready().await.1["checks"]["policy"], "ok");
    // A policy that fits brings it in.
    sidecar.setup.folder.write("policy.yaml", policy.replace("user.age", "user.years"));
    sidecar.until_state("graph", "ok").await;
    assert_eq!(permission(&sidecar, "user.adult"), Some(Permission::Allow));
}

#[tokio::test]
async fn readings_do_not_overlap_however_often_one_is_asked_for() {
    let (deployment, sidecar) = seed("").await;
    let (gate, readings) = (Arc::new(Notify::new()), deployment.came(GET_GRAPH).len());
    deployment.gives(Gives::Wait(Arc::clone(&gate), BASE.and("user.age", &[])));
    sidecar.live.ask_for_graph();
    deployment.until_came(GET_GRAPH, readings + 1).await;
    for _ in 0..20 {
        sidecar.live.ask_for_graph();
    }
    // Nobody waits for it, and there is time for another reading to begin.
    let policy = super::POLICY.replace("pii: AllowInternal", "pii: Deny");
    sidecar.setup.folder.write("policy.yaml", policy);
    until("the policy", async || (permission(&sidecar, AMOUNT) == Some(Permission::Deny)).then_some(())).await;
    gate.notify_one();
    deployment.until_came(GET_GRAPH, readings + 2).await;
    gate.notify_one();
    until("the graph", async || permission(&sidecar, "user.age")).await;
    assert_eq!((deployment.most_at_once(), deployment.came(GET_GRAPH).len()), (1, readings + 2));
}

#[tokio::test]
async fn a_reading_has_a_deadline() {
    let deployment = Deployment::start(Gives::Graph(BASE.clone()), NOWHERE).await;
    let sidecar = setup(&deployment, "").upstream_with("timeout: 300ms").start().await;
    deployment.gives(Gives::Wait(Arc::default(), BASE.clone()));
    let why = "the deployment did not answer to `/chalk.server.v1.GraphService/GetGraph` within 300 ms";
    asked_until_state(&sidecar, why).await;
    assert_eq!(permission(&sidecar, "user.id"), Some(Permission::Allow));
    deployment.gives(Gives::Graph(BASE.clone()));
    asked_until_state(&sidecar, "ok").await;
}

#[tokio::test]
async fn a_live_item_comes_and_goes_with_the_configuration() {
    let (deployment, sidecar) = seed("").await;
    let with = sidecar.setup.text();
    let line = with.lines().find(|line| line.starts_with("catalogue:")).unwrap();
    let file = "version: 1\nfeatures: {user.file: {}}\n";
    sidecar.setup.folder.write("file.yaml", file);
    sidecar.setup.folder.write("tagwarden.yaml", with.replace(line, "catalogue: [file.yaml]\nallow_shrink: true"));
    until("no graph", async || sidecar.live.states().graph.digest.is_empty().then_some(())).await;
    assert_eq!((permission(&sidecar, "user.file"), permission(&sidecar, "user.id")), (Some(Permission::Allow), None));
    let readings = deployment.came(GET_GRAPH).len();

    // A deployment that refuses: the configuration waits, and what was there is served.
    deployment.gives(Gives::Status(7));
    sidecar.setup.folder.write("tagwarden.yaml", &with);
    sidecar.until_state("config", "the deployment refuses `/chalk.server.v1.GraphService/GetGraph`").await;
    assert_eq!(permission(&sidecar, "user.file"), Some(Permission::Allow));
    assert_eq!(deployment.came(GET_GRAPH).len(), readings + 1);
    deployment.gives(Gives::Graph(BASE.clone()));
    // Any other file has it tried again.
    sidecar.setup.folder.write("policy.yaml", format!("{}# again\n", super::POLICY));
    sidecar.until_state("config", "ok").await;
    assert_eq!((permission(&sidecar, "user.file"), permission(&sidecar, "user.id")), (None, Some(Permission::Allow)));
}

#[tokio::test]
async fn another_deployment_is_read_before_it_is_served_and_not_held_against_the_old_one() {
    let (_, sidecar) = seed("").await;
    let other = Deployment::start(Gives::Graph(BASE.tagged(AMOUNT, &[])), NOWHERE).await;
    let text = sidecar.setup.text();
    let old = text.split('"').find(|word| word.starts_with("http://127.0.0.1:") && !word.ends_with(":8080")).unwrap();
    sidecar.setup.folder.write("tagwarden.yaml", text.replace(old, &other.url));
    until("the other graph", async || (permission(&sidecar, AMOUNT) == Some(Permission::Allow)).then_some(())).await;
    assert_eq!(sidecar.live.states().graph.stale, None);
}

/// Whatever fails: texts of the deployment repeat the secret, and no log has it.
#[tokio::test]
async fn no_credential_is_in_a_log_or_a_page() {
    let deployment = Deployment::start(Gives::Graph(BASE.clone()), NOWHERE).await;
    let setup = setup(&deployment, "");
    let mut sidecar = Process::serve(&setup.write(), &["--log-level", "trace"]).await;
    deployment.gives(Gives::Status(13));
    setup.folder.write("secret", format!("{CLIENT_SECRET} "));
    sidecar.logged("GetGraph`: internal").await;
    setup.folder.write("secret", BEARER);
    sidecar.logged("it answers with 401").await;
    let mut pages = vec![sidecar.log()];
    for (at, path) in [(sidecar.metrics, "/metrics"), (sidecar.metrics, "/readyz"), (sidecar.admin, "/status")] {
        pages.push(ask(at, request("GET", path, "", "")).await.text().to_owned());
    }
    assert!(pages[2].contains("stale: the deployment gives no token for its graph"), "{}", pages[2]);
    for page in &pages {
        for canary in [CLIENT_SECRET, TOKEN, BEARER] {
            assert!(!page.contains(canary), "{canary}:\n{page}");
        }
    }
}
