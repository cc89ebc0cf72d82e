//! The description is one of the files: loaded with the configuration, and reloaded by itself.

use crate::support::client;
use crate::support::sidecar::{Setup, Sidecar, reader};
use crate::support::upstream::{Act, Upstream};

const DESCRIPTION: &str = "\
version: 1
routes:
  - path: /v1/features
    request: {outputs: {body: /features/*}, supplied: [{body: /keys}]}
    answer: {shape: objects, at: /values}
";

async fn start(upstream: &Upstream) -> Sidecar {
    let mut setup = Setup::new(upstream).with("json: dialect.yaml");
    setup.upstream = setup.upstream.replace("feast", "json");
    setup.folder.write("dialect.yaml", DESCRIPTION);
    setup.start().await
}

#[tokio::test]
async fn a_broken_description_keeps_the_last_good_one_and_shows() {
    let upstream = Upstream::start().await;
    let sidecar = start(&upstream).await;
    let good = sidecar.status().await["description"]["digest"].clone();
    assert!(good.as_str().is_some_and(|digest| !digest.is_empty()), "{good}");
    sidecar.setup.folder.write("dialect.yaml", DESCRIPTION.replace("objects", "object"));
    let said = sidecar.until_state("description", "stale: ").await;
    assert!(said.contains("dialect.yaml:5:21: error[unknown-word]: `shape` is `object`"), "{said}");
    assert_eq!(sidecar.metric("tagwarden_snapshot_stale{kind=\"description\"}").await, 1.0);
    assert_eq!(sidecar.metric("tagwarden_reloads_total{kind=\"description\",result=\"failed\"}").await, 1.0);
    assert_eq!(sidecar.status().await["description"]["digest"], good);

    sidecar.setup.folder.write("dialect.yaml", DESCRIPTION.replace("/values", "/features"));
    sidecar.until_state("description", "ok").await;
    assert_eq!(sidecar.metric("tagwarden_reloads_total{kind=\"description\",result=\"ok\"}").await, 1.0);
    assert_eq!(sidecar.metric("tagwarden_snapshot_stale{kind=\"description\"}").await, 0.0);
    assert_ne!(sidecar.status().await["description"]["digest"], good);
}

#[tokio::test]
async fn a_configuration_waits_for_a_description_beside_which_its_routes_can_be() {
    let upstream = Upstream::start().await;
    let sidecar = start(&upstream).await;
    let text = sidecar.setup.text();
    let route = "routes: [{path: /v1/features, methods: [GET], public: true}]\n";
    sidecar.setup.folder.write("tagwarden.yaml", text + route);
    let said = sidecar.until_state("config", "stale: ").await;
    let clash = "error[route]: `/v1/features` matches `/v1/features`, which is served by `routes` of the configuration";
    assert!(said.contains(clash), "{said}");
    sidecar.setup.folder.write("dialect.yaml", DESCRIPTION.replace("/v1/features", "/v2/features"));
    sidecar.until_state("config", "ok").await;
    // And a description waits for nobody.
    sidecar.setup.folder.write("dialect.yaml", DESCRIPTION);
    let said = sidecar.until_state("description", "stale: ").await;
    assert!(said.contains(clash), "{said}");
}

#[tokio::test]
async fn a_new_description_takes_the_decisions_on_the_old_one_with_it() {
    let upstream = Upstream::always(Act::json("200 OK", r#"{"values":{"age":36}}"#)).await;
    let sidecar = start(&upstream).await;
    let ask = async || {
        let headers = format!("authorization: Bearer {}\r\ncontent-type: application/json\r\n", reader());
        sidecar.ask(client::request("POST", "/v1/features", &headers, r#"{"features":["age"],"keys":{}}"#)).await
    };
    // No feature is called so, and the decision is kept.
    for _ in 0..2 {
        ask().await.fails(403, "FEATURES_REFUSED");
    }
    let names = DESCRIPTION.replace("    request:", "    names: \"customer:{name}\"\n    request:");
    sidecar.setup.folder.write("dialect.yaml", names);
    sidecar.until_metric("tagwarden_reloads_total{kind=\"description\",result=\"ok\"}", 1.0).await;
    let answer = ask().await;
    assert_eq!((answer.status, answer.text()), (200, r#"{"values":{"age":36}}"#));
    // A query of the same words means another feature, and the other way round.
    sidecar.setup.folder.write("dialect.yaml", DESCRIPTION);
    sidecar.until_metric("tagwarden_reloads_total{kind=\"description\",result=\"ok\"}", 2.0).await;
    ask().await.fails(403, "FEATURES_REFUSED");
}
