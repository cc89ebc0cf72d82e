//! The live catalogue: a Chalk deployment's own graph below the policy, read with credentials of the sidecar's own.

mod dashboard;
mod deployment;
mod first;
mod graphs;
mod kept;
mod widening;

use serde_json::{Value, json};
use tagwarden::policy::Permission;

use crate::support::client::{Answer, ask, request};
use crate::support::sidecar::{Setup, Sidecar, reader};
use crate::support::until;
use deployment::{CLIENT_ID, CLIENT_SECRET, Deployment, Gives, QUERY};
use graphs::BASE;

/// Rules over the graph's own names and tags.
const POLICY: &str = "\
version: 1
roles:
  reader: {tags: {pii: AllowInternal, cleared: AllowDownstream}}
bindings:
  - {roles: [reader], when: {groups: readers}}
";

/// How the deployment is named where addresses of answers are nobody's concern.
const NOWHERE: &str = "http://elsewhere.example";

/// A sidecar in front of it, with further members of the live item.
fn setup(deployment: &Deployment, item: &str) -> Setup {
    let credentials = format!("client_id: {CLIENT_ID}, secret_file: secret");
    bare(&deployment.url, &format!("catalogue: [{{chalk_graph: true, {credentials}{item}}}]"))
}

/// The same with this section in the place of `catalogue`.
fn bare(url: &str, catalogue: &str) -> Setup {
    let mut setup = Setup::at(url)
        .policy(POLICY)
        .with("listen: {address: \"127.0.0.1:0\", public_url: \"http://127.0.0.1:8080\"}")
        .with("chalk: {environment: prod}")
        .with(catalogue);
    setup.upstream = setup.upstream.replace("feast", "chalk");
    setup.folder.write("secret", format!("{CLIENT_SECRET}\n"));
    setup
}

/// A deployment with a small project, and a sidecar in front of it.
async fn seed(item: &str) -> (Deployment, Sidecar) {
    let deployment = Deployment::start(Gives::Graph(BASE.clone()), NOWHERE).await;
    let sidecar = setup(&deployment, item).start().await;
    (deployment, sidecar)
}

/// What a role may do with a feature, nothing supplied; `None`: the feature is not known.
fn permission(sidecar: &Sidecar, feature: &str) -> Option<Permission> {
    permission_of(sidecar, "reader", feature)
}

fn permission_of(sidecar: &Sidecar, role: &str, feature: &str) -> Option<Permission> {
    let snapshot = sidecar.live.proxy.snapshot.load();
    let policy = &snapshot.rules.policy;
    let id = policy.catalogue.id(feature)?;
    let role = policy.role_id(role).unwrap();
    Some(policy.tables(&[role])[0].cell(id).permission)
}

/// Has the graph read until something is so; nobody waits for the time of it.
async fn asked_until<T>(sidecar: &Sidecar, what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    sidecar.live.ask_for_graph();
    until(what, async || found()).await
}

/// The same until `/readyz` says this of the graph.
async fn asked_until_state(sidecar: &Sidecar, what: &str) -> String {
    sidecar.live.ask_for_graph();
    sidecar.until_state("graph", what).await
}

/// A query of a reader.
async fn online(sidecar: &Sidecar, outputs: &[&str]) -> Answer {
    let body = json!({"inputs": {"user.id": 1}, "outputs": outputs}).to_string();
    let headers = format!("authorization: Bearer {}\r\ncontent-type: application/json\r\n", reader());
    ask(sidecar.data, request("POST", QUERY, &headers, body)).await
}

/// The codes of a query's errors, and the fields of its answer.
fn came_back(answer: &Answer) -> (Vec<Value>, Vec<Value>) {
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = answer.json();
    let all = |list: &str, member: &str| {
        body[list].as_array().into_iter().flatten().map(|item| item[member].clone()).collect::<Vec<_>>()
    };
    (all("errors", "code"), all("data", "field"))
}
