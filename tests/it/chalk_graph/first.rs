//! The first reading: whom it asks and how, and that nothing is served without a graph.

use std::sync::atomic::Ordering;

use hyper::Version;
use serde_json::{Value, json};
use tagwarden::app::App;
use tagwarden::live;
use tagwarden::policy::Permission;
use tagwarden::reload::WatchSettings;
use tokio::net::TcpListener;

use super::deployment::{
    BEARER, CLIENT_ID, CLIENT_SECRET, Came, Deployment, GET_GRAPH, GET_TOKEN, Gives, LIST_TAGS, TOKEN, elsewhere,
};
use super::graphs::{RICH, SEED};
use super::{NOWHERE, asked_until, bare, came_back, online, permission, setup};
use crate::support::process;
use crate::support::sidecar::Setup;
use crate::support::upstream::nobody;
use crate::support::within;

fn header<'c>(came: &'c Came, name: &str) -> &'c str {
    came.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn it_is_read_with_credentials_of_our_own_at_the_upstream_and_nowhere_else() {
    let (other, connections) = elsewhere().await;
    let deployment = Deployment::start(Gives::Graph(SEED.clone()), &other).await;
    let sidecar = setup(&deployment, "").start().await;

    let [token] = &deployment.came(GET_TOKEN)[..] else { panic!("{:?}", deployment.came(GET_TOKEN)) };
    assert_eq!((token.version, header(token, "content-type")), (Version::HTTP_11, "application/json"));
    assert_eq!((header(token, "accept"), header(token, "authorization")), ("application/json", ""));
    let asked: Value = serde_json::from_slice(&token.body).unwrap();
    let wanted = json!({
        "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "grant_type": "client_credentials", "scope": null,
    });
    assert_eq!(asked, wanted);
    let [graph] = &deployment.came(GET_GRAPH)[..] else { panic!("{:?}", deployment.came(GET_GRAPH)) };
    assert_eq!((graph.version, &*graph.body), (Version::HTTP_2, &[0; 5][..]));
    let sent = ["authorization", "x-chalk-server", "x-chalk-env-id", "te"].map(|name| header(graph, name));
    assert_eq!(sent, [&format!("Bearer {TOKEN}"), "go-api", "prod", "trailers"]);
    // Nobody asked for these.
    assert_eq!(deployment.came(LIST_TAGS).len(), 0);
    assert_eq!(connections.load(Ordering::SeqCst), 0, "an address of an answer was followed");

    // What it names is served, and its tags count.
    assert_eq!(permission(&sidecar, "transaction.amount"), Some(Permission::AllowInternal));
    let refused = came_back(&online(&sidecar, &["transaction.amount"]).await);
    assert_eq!(refused, (vec![json!("UNAUTHORIZED")], vec![]));
    let (errors, fields) = came_back(&online(&sidecar, &["user.avg_transaction_amount"]).await);
    assert_eq!((errors, fields), (vec![], vec![json!("user.avg_transaction_amount")]));
    assert_eq!(deployment.came(super::QUERY).len(), 1, "what is refused does not go upstream");

    let status = sidecar.status().await;
    let digest = status["graph"]["digest"].as_str().unwrap();
    assert!(digest.len() == 12 && digest.bytes().all(|b| b.is_ascii_hexdigit()), "{digest}");
    assert_eq!((&status["features"], &status["graph"]["stale"]), (&json!(8), &json!(null)));
    let whole = format!("{}+none+{digest}", status["policy"]["digest"].as_str().unwrap());
    assert_eq!(status["policy_digest"], whole);
    assert_eq!(sidecar.ready().await.1["checks"]["graph"], "ok");
}

#[tokio::test]
async fn the_export_is_read_where_there_is_one() {
    let deployment = Deployment::start(Gives::Export(RICH.clone()), NOWHERE).await;
    let sidecar = setup(&deployment, "").start().await;
    assert_eq!(permission(&sidecar, "user.score@2"), Some(Permission::Allow));
    let snapshot = sidecar.live.proxy.snapshot.load();
    let bundles: Vec<&String> = snapshot.rules.policy.catalogue.bundles.keys().collect();
    assert_eq!(bundles, ["fraud", "fraud@1.1.0"]);
}

#[tokio::test]
async fn a_bearer_token_of_a_file_is_sent_as_it_is_and_read_again_when_it_changes() {
    let deployment = Deployment::start(Gives::Graph(SEED.clone()), NOWHERE).await;
    let setup = bare(&deployment.url, "catalogue: [{chalk_graph: true, bearer_file: token}]");
    setup.folder.write("token", format!(" {BEARER}\n"));
    let sidecar = setup.start().await;
    let sent = |deployment: &Deployment| -> Vec<String> {
        deployment.came(GET_GRAPH).iter().map(|came| header(came, "authorization").to_owned()).collect()
    };
    assert_eq!(sent(&deployment), [format!("Bearer {BEARER}")]);
    assert_eq!(deployment.came(GET_TOKEN).len(), 0);
    sidecar.setup.folder.write("token", TOKEN);
    deployment.until_came(GET_GRAPH, 2).await;
    assert_eq!(sent(&deployment)[1], format!("Bearer {TOKEN}"));
    sidecar.setup.folder.write("token", "expired");
    sidecar
        .until_state("graph", "the deployment refuses `/chalk.server.v1.GraphService/GetGraph`: unauthenticated")
        .await;
    sidecar.setup.folder.write("token", "\u{e4}\n\u{1}");
    sidecar.until_state("graph", "it holds no bearer token that a header can carry").await;
    sidecar.setup.folder.write("token", BEARER);
    sidecar.until_state("graph", "ok").await;
}

/// Why it does not start.
async fn refused(setup: Setup) -> String {
    let (config, file) = live::read_config(&setup.write()).unwrap_or_else(|error| panic!("{error}"));
    let started = within("the end of the start", App::bind(Some(file), config, WatchSettings::default())).await;
    started.err().unwrap_or_else(|| panic!("it started")).to_string()
}

#[tokio::test]
async fn nothing_is_served_without_a_graph() {
    for (gives, why) in [
        (Gives::Status(7), "the deployment refuses `/chalk.server.v1.GraphService/GetGraph`: permission_denied"),
        (
            Gives::Nothing,
            "the deployment's graph does not import: the deployment's graph has no features: nothing is deployed, or the environment is another one",
        ),
        (
            Gives::Bytes(b""),
            "the deployment's graph does not import: the deployment's graph has no features: nothing is deployed, or the environment is another one",
        ),
        (
            Gives::Bytes(b"\x0a\x7f"),
            "the deployment's graph does not import: `graph` does not read as protobuf: it is damaged, cut short or of another kind",
        ),
    ] {
        let deployment = Deployment::start(gives.clone(), NOWHERE).await;
        assert_eq!(refused(setup(&deployment, "")).await, why, "{gives:?}");
        assert_eq!(deployment.came(GET_GRAPH).len(), 1, "{gives:?} is not tried again");
    }
    let deployment = Deployment::start(Gives::Graph(SEED.clone()), NOWHERE).await;
    let wrong = setup(&deployment, "");
    wrong.folder.write("secret", "canary-wrong-secret");
    assert_eq!(refused(wrong).await, "the deployment gives no token for its graph: it answers with 401");
    let small = setup(&deployment, "").with("limits: {response_body: 100B}");
    let why = "the deployment's answer to `/chalk.server.v1.GraphService/GetGraph` is larger than 105 bytes";
    assert_eq!(refused(small).await, why);
    let (_kept, url) = nobody();
    let late = bare(&url, "catalogue: [{chalk_graph: true, client_id: sidecar, secret_file: secret}]");
    let why = refused(late).await;
    assert!(why.starts_with("the deployment did not answer to `/v1/oauth/token`: "), "{why}");
    let empty = setup(&deployment, "");
    empty.folder.write("secret", "\n");
    let why = refused(empty).await;
    assert!(why.ends_with("/secret` cannot be used: it is empty"), "{why}");
}

#[tokio::test]
async fn the_process_ends_with_3_and_says_why() {
    let deployment = Deployment::start(Gives::Status(5), NOWHERE).await;
    let config = setup(&deployment, "");
    let path = config.write();
    let run =
        tokio::task::spawn_blocking(move || process::run(["serve".as_ref(), "--config".as_ref(), path.as_os_str()]));
    let (code, _, said) = within("its end", run).await.unwrap();
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("the deployment refuses `/chalk.server.v1.GraphService/GetGraph`: not_found"), "{said}");
}

#[tokio::test]
async fn a_deployment_that_comes_up_beside_us_is_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let deployment = Deployment::on(listener, Gives::Status(14), NOWHERE);
    let starting = tokio::spawn(setup(&deployment, "").start());
    deployment.until_came(GET_GRAPH, 2).await;
    deployment.gives(Gives::Graph(SEED.clone()));
    let sidecar = within("the start", starting).await.unwrap();
    assert_eq!(permission(&sidecar, "user.id"), Some(Permission::Allow));
}

#[tokio::test]
async fn files_lie_beside_it_and_one_digest_covers_both() {
    let deployment = Deployment::start(Gives::Graph(SEED.clone()), NOWHERE).await;
    let item = "{chalk_graph: true, client_id: sidecar, secret_file: secret}";
    let setup = bare(&deployment.url, &format!("catalogue: [{item}, more.yaml]")).with("shadow: {policies: next.yaml}");
    let file = |tag: &str| format!("version: 1\nfeatures:\n  user.nickname: {{tags: [{tag}], inputs: [user.id]}}\n");
    setup.folder.write("more.yaml", file("pii"));
    setup.folder.write("next.yaml", super::POLICY.replace("AllowInternal", "Deny"));
    let sidecar = setup.start().await;
    let digests = |sidecar: &crate::support::sidecar::Sidecar| {
        let snapshot = sidecar.live.proxy.snapshot.load();
        (snapshot.rules.digest.clone(), snapshot.shadow.as_ref().unwrap().rules.digest.clone())
    };
    let first = digests(&sidecar);
    assert_eq!(permission(&sidecar, "user.nickname"), Some(Permission::AllowInternal));
    // The candidate lies over the same two.
    let below = |digest: &str| digest.split_once('+').unwrap().1.to_owned();
    assert_eq!(below(&first.0), below(&first.1));
    let shadow = sidecar.live.proxy.snapshot.load_full();
    let candidate = &shadow.shadow.as_ref().unwrap().rules.policy;
    assert!(["user.nickname", "transaction.amount"].iter().all(|name| candidate.catalogue.id(name).is_some()));

    deployment.gives(Gives::Graph(SEED.and("user.age", &[])));
    asked_until(&sidecar, "the new graph", || permission(&sidecar, "user.age")).await;
    let second = digests(&sidecar);
    sidecar.setup.folder.write("more.yaml", file("cleared"));
    let third =
        crate::support::until("the new file", async || Some(digests(&sidecar)).filter(|now| *now != second)).await;
    let all = [first, second, third].map(|(served, candidate)| {
        assert_eq!(below(&served), below(&candidate));
        below(&served)
    });
    let parts: Vec<Vec<&str>> = all.iter().map(|digest| digest.split('+').collect()).collect();
    // The file, then the graph.
    assert!(parts[0][0] == parts[1][0] && parts[0][1] != parts[1][1], "{all:?}");
    assert!(parts[1][0] != parts[2][0] && parts[1][1] == parts[2][1], "{all:?}");
    assert_eq!(permission(&sidecar, "user.age"), Some(Permission::Allow), "the graph is still below");
}
