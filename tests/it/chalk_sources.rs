//! Chalk's data sources and the caller's own policy, through a running sidecar.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use prost::Message;
use serde_json::{Value, json};
use tagwarden::chalk::paths;
use tagwarden::dialect::chalk::proto::*;

use crate::support::client::{Answer, H2, ask, request};
use crate::support::grpc::{Act, Called, Grpc, framed};
use crate::support::sidecar::{Setup, Sidecar};
use crate::support::tokens::KEY;

const SERVICE: &str = "/chalk.server.v1.IntegrationsService/";
const AGENT: &str = "/chalk.server.v1.TeamService/GetAgent";
const SECRET: &str = "hunter2";
const POLICY: &str = "\
version: 1
roles:
  all: {tags: {pii: Deny}}
  prod: {datasources: {allow: [prod]}, tags: {pii: AllowInternal, cleared: AllowDownstream}}
  admin: {datasources: {manage: true}, default: Deny}
bindings:
  - {roles: [all], when: {groups: all}}
  - {roles: [prod], when: {groups: prod}}
  - {roles: [admin], when: {groups: admin}}
features:
  user.id: {key: true}
  user.ssn: {tags: [pii], sources: [pg_main]}
datasources:
  pg_main: {kind: POSTGRESQL, tags: [prod]}
  pg_pii: {kind: POSTGRESQL, tags: [pii]}
";

/// A deployment that tells its secrets where it can.
struct Chalk {
    calls: Grpc,
    sidecar: Sidecar,
}

fn source(id: &str, name: &str) -> Integration {
    Integration {
        id: id.to_owned(),
        name: Some(name.to_owned()),
        kind: IntegrationKind::Postgresql.into(),
        environment_id: "envmock1".to_owned(),
        ..Integration::default()
    }
}

/// Of the methods that answer with sources, all have them as field 1; the secret stands behind in one that is not known.
fn with_secret(message: &impl Message) -> Vec<u8> {
    let mut bytes = message.encode_to_vec();
    bytes.extend([0xfa, 0x01, u8::try_from(SECRET.len()).unwrap()]);
    bytes.extend(SECRET.as_bytes());
    bytes
}

fn deployment(sources: &Mutex<Vec<Integration>>, called: &Called) -> Act {
    let mut sources = sources.lock().unwrap();
    let message = called.body.slice(5..);
    let method = called.head.uri.path().strip_prefix(SERVICE).unwrap_or_default();
    let of = |integration: Integration| IntegrationResponse { integration: Some(integration) };
    Act::fine(&match method {
        "ListIntegrations" => with_secret(&ListIntegrationsResponse { integrations: sources.clone() }),
        "InsertIntegration" => {
            let asked = InsertIntegrationRequest::decode(message).unwrap();
            sources.push(Integration { kind: asked.integration_kind, ..source("new", &asked.name) });
            with_secret(&of(sources.last().unwrap().clone()))
        }
        "UpdateIntegration" => {
            let asked = UpdateIntegrationRequest::decode(message).unwrap();
            let found = sources.iter_mut().find(|source| source.id == asked.integration_id).unwrap();
            found.name = Some(asked.name).filter(|name| !name.is_empty()).or(found.name.clone());
            with_secret(&of(found.clone()))
        }
        "DeleteIntegration" => {
            let asked = DeleteIntegrationRequest::decode(message).unwrap();
            sources.retain(|source| source.id != asked.id);
            with_secret(&DeleteIntegrationResponse {})
        }
        "TestIntegration" => with_secret(&TestIntegrationResponse {
            kind: "postgresql".to_owned(),
            success: false,
            message: format!("no route to postgresql://u:{SECRET}@db"),
            latency_seconds: Some(0.25),
        }),
        _ => return Act::Reset,
    })
}

async fn start(act: impl Fn(&Called, usize) -> Act + Send + Sync + 'static, more: &str) -> Chalk {
    let (calls, at) = Grpc::plan(act).await;
    let mut setup = Setup::at(&format!("http://{at}"))
        .with("listen: {address: \"127.0.0.1:0\", public_url: \"http://127.0.0.1:8080\"}")
        .with("chalk: {environment: envmock1}")
        .with(more)
        .upstream_with("authorization: forward")
        .policy(POLICY);
    setup.upstream = setup.upstream.replace("feast", "chalk");
    Chalk { calls, sidecar: setup.start().await }
}

async fn chalk_with(more: &str) -> Chalk {
    let sources = Mutex::new(vec![source("i1", "pg_main"), source("i2", "pg_pii"), source("i3", "new_one")]);
    start(move |called, _| deployment(&sources, called), more).await
}

async fn chalk() -> Chalk {
    chalk_with("").await
}

impl Chalk {
    async fn raw(&self, group: &str, path: &str, more: &[(&str, &str)], message: &[u8]) -> Answer {
        let bearer = format!("Bearer {}", KEY.token(&[group]));
        let headers = [("content-type", "application/grpc"), ("te", "trailers"), ("authorization", &bearer)];
        let headers: Vec<_> = headers.into_iter().chain(more.iter().copied()).collect();
        let answer = H2::connect(self.sidecar.data).await.send("POST", path, &headers, framed(message)).await;
        assert!(!format!("{answer:?}").contains(SECRET) && !contains(&answer.body), "{answer:?}");
        answer.decision_id();
        answer
    }

    async fn call(&self, group: &str, method: &str, message: &impl Message) -> Answer {
        self.raw(group, &format!("{SERVICE}{method}"), &[], &message.encode_to_vec()).await
    }

    /// The names of the list, as a caller has it.
    async fn names(&self, group: &str) -> Vec<String> {
        let list: ListIntegrationsResponse =
            fine(&self.call(group, "ListIntegrations", &ListIntegrationsRequest {}).await);
        list.integrations.into_iter().map(|source| source.name.unwrap()).collect()
    }

    /// The methods that reached the deployment.
    fn seen(&self) -> Vec<String> {
        let path = |called: &Called| called.head.uri.path().to_owned();
        self.calls.seen().iter().map(|called| path(called).replace(SERVICE, "")).collect()
    }
}

fn contains(bytes: &[u8]) -> bool {
    bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes())
}

#[track_caller]
fn fine<M: Message + Default>(answer: &Answer) -> M {
    assert_eq!((answer.status, answer.trailer("grpc-status")), (200, Some("0")), "{answer:?}");
    M::decode(&answer.body[5..]).unwrap()
}

#[track_caller]
fn fails(answer: &Answer, status: &str, message: &str) {
    let told = (answer.status, answer.header("grpc-status"), answer.header("grpc-message"));
    assert_eq!(told, (200, Some(status), Some(message)), "{answer:?}");
    assert!(answer.body.is_empty());
}

fn by_id(id: &str) -> GetIntegrationRequest {
    GetIntegrationRequest { integration_id: id.to_owned() }
}

fn saved(id: &str) -> TestIntegrationRequest {
    TestIntegrationRequest { integration_id: Some(id.to_owned()), ..TestIntegrationRequest::default() }
}

fn insert(name: &str) -> InsertIntegrationRequest {
    let value = IntegrationConfigValue { value: Some(ConfigValue::Literal(SECRET.to_owned())) };
    InsertIntegrationRequest {
        name: name.to_owned(),
        integration_kind: IntegrationKind::Mysql.into(),
        config: [("PASSWORD".to_owned(), value)].into(),
        ..InsertIntegrationRequest::default()
    }
}

#[tokio::test]
async fn callers_see_the_sources_that_they_reach() {
    let chalk = chalk().await;
    assert_eq!(chalk.names("all").await, ["pg_main", "pg_pii", "new_one"]);
    assert_eq!(chalk.names("prod").await, ["pg_main"]);
    let got: GetIntegrationResponse = fine(&chalk.call("prod", "GetIntegration", &by_id("i1")).await);
    assert_eq!(got.integration_with_secrets.unwrap().integration.unwrap(), source("i1", "pg_main"));
    let name = GetIntegrationByNameRequest { integration_name: "pg_main".to_owned() };
    let got: IntegrationResponse = fine(&chalk.call("prod", "GetIntegrationByName", &name).await);
    assert_eq!(got.integration.unwrap(), source("i1", "pg_main"));
    let tested: TestIntegrationResponse = fine(&chalk.call("prod", "TestIntegration", &saved("i1")).await);
    assert_eq!((tested.success, tested.message.as_str()), (false, "the data source cannot be connected to"));
    // The questions are the list's, which has no secrets; they go as their caller, to the environment that is served.
    assert_eq!(chalk.seen(), [&["ListIntegrations"; 5][..], &["TestIntegration"]].concat());
    for called in chalk.calls.seen() {
        assert!(called.head.headers["authorization"].to_str().unwrap().starts_with("Bearer ey"));
        assert_eq!(called.head.headers["x-chalk-env-id"], "envmock1");
    }
    assert_eq!(chalk.calls.seen()[5].body, framed(&saved("i1").encode_to_vec()));
}

#[tokio::test]
async fn what_is_out_of_reach_is_not_there() {
    let chalk = chalk().await;
    for id in ["i2", "i3", "i9"] {
        fails(&chalk.call("prod", "GetIntegration", &by_id(id)).await, "5", "There is no such data source");
        fails(&chalk.call("prod", "TestIntegration", &saved(id)).await, "5", "There is no such data source");
    }
    for name in ["pg_pii", "new_one", "nobody"] {
        let name = GetIntegrationByNameRequest { integration_name: name.to_owned() };
        fails(&chalk.call("prod", "GetIntegrationByName", &name).await, "5", "There is no such data source");
    }
    fails(
        &chalk
            .call("all", "GetIntegrationByName", &GetIntegrationByNameRequest { integration_name: "a-b".to_owned() })
            .await,
        "3",
        "the name `a-b` has more in it than letters, digits and underscores",
    );
    assert_eq!(chalk.seen(), ["ListIntegrations"; 9]);
}

#[tokio::test]
async fn who_does_not_manage_changes_nothing_and_asks_for_nothing() {
    let chalk = chalk().await;
    let update = UpdateIntegrationRequest { integration_id: "i1".to_owned(), ..UpdateIntegrationRequest::default() };
    let inline = TestIntegrationRequest { kind: 13, config: insert("x").config, ..TestIntegrationRequest::default() };
    for group in ["all", "prod"] {
        for answer in [
            chalk.call(group, "InsertIntegration", &insert("pg_main")).await,
            chalk.call(group, "UpdateIntegration", &update).await,
            chalk.call(group, "DeleteIntegration", &DeleteIntegrationRequest { id: "i1".to_owned() }).await,
            chalk.call(group, "TestIntegration", &inline).await,
        ] {
            fails(&answer, "7", "This caller may not use this route");
        }
    }
    fails(
        &chalk.call("nobody", "ListIntegrations", &ListIntegrationsRequest {}).await,
        "7",
        "This caller may not use this route",
    );
    assert_eq!(chalk.seen(), [""; 0]);
}

#[tokio::test]
async fn who_manages_makes_changes_and_removes() {
    let chalk = chalk().await;
    let made: IntegrationResponse = fine(&chalk.call("admin", "InsertIntegration", &insert("lake")).await);
    let wanted = Integration { kind: IntegrationKind::Mysql.into(), ..source("new", "lake") };
    assert_eq!(made.integration.unwrap(), wanted);
    let update = UpdateIntegrationRequest {
        integration_id: "new".to_owned(),
        name: "lake_2".to_owned(),
        ..UpdateIntegrationRequest::default()
    };
    let changed: IntegrationResponse = fine(&chalk.call("admin", "UpdateIntegration", &update).await);
    assert_eq!(changed.integration.unwrap().name.unwrap(), "lake_2");
    let DeleteIntegrationResponse {} =
        fine(&chalk.call("admin", "DeleteIntegration", &DeleteIntegrationRequest { id: "new".to_owned() }).await);
    assert_eq!(chalk.names("admin").await, ["pg_main", "pg_pii", "new_one"]);
    let changes = ["ListIntegrations", "InsertIntegration", "ListIntegrations", "UpdateIntegration"];
    assert_eq!(chalk.seen(), [&changes[..], &["ListIntegrations", "DeleteIntegration", "ListIntegrations"]].concat());
    assert_eq!(chalk.calls.seen()[1].body, framed(&insert("lake").encode_to_vec()));

    let lines = chalk.sidecar.audit(4).await;
    let told = |line: &Value| json!([line["route"], line["decision"], line["source"], line["status"]]);
    let route = |method: &str| format!("{SERVICE}{method}");
    assert_eq!(
        lines.iter().map(told).collect::<Vec<_>>(),
        [
            json!([route("InsertIntegration"), "permitted", {"asked": "lake", "name": null, "kind": null}, 200]),
            json!([route("UpdateIntegration"), "permitted", {"asked": "new", "name": "lake", "kind": "MYSQL"}, 200]),
            json!([route("DeleteIntegration"), "permitted", {"asked": "new", "name": "lake_2", "kind": "MYSQL"}, 200]),
            json!([route("ListIntegrations"), "permitted", {"asked": null, "name": null, "kind": null}, 200]),
        ]
    );
    assert!(lines.iter().all(|line| line["outputs"] == json!([]) && line["roles"] == json!(["admin"])));
    assert!(!format!("{lines:?}").contains(SECRET));
}

#[tokio::test]
async fn refusals_stand_in_the_audit_and_are_counted() {
    let chalk = chalk().await;
    chalk.names("prod").await;
    chalk.call("prod", "GetIntegration", &by_id("i2")).await;
    chalk.call("prod", "InsertIntegration", &insert("pg_pii")).await;
    let lines = chalk.sidecar.audit(3).await;
    let told: Vec<Value> =
        lines.iter().map(|line| json!([line["decision"], line["source"]["asked"], line["status"]])).collect();
    assert_eq!(
        told,
        [json!(["filtered", null, 200]), json!(["refused", "i2", 404]), json!(["refused", "pg_pii", 403])]
    );
    let count = |method: &str, decision: &str| {
        format!("tagwarden_decisions_total{{decision=\"{decision}\",route=\"{SERVICE}{method}\"}}")
    };
    for (method, decision) in
        [("ListIntegrations", "filtered"), ("GetIntegration", "refused"), ("InsertIntegration", "refused")]
    {
        assert_eq!(chalk.sidecar.metric(&count(method, decision)).await, 1.0, "{method}");
    }
}

#[tokio::test]
async fn the_rest_of_the_service_is_not_there() {
    let chalk = chalk().await;
    for method in [
        "ListIntegrationsAndSecrets",
        "GetIntegrationValue",
        "ListDatasourcePermissionTags",
        "GetDatasourcePermissionTag",
        "UpsertDatasourcePermissionTag",
        "DeleteDatasourcePermissionTag",
        "ListSnowflakeNamedStages",
        "listIntegrations",
    ] {
        fails(&chalk.raw("admin", &format!("{SERVICE}{method}"), &[], b"").await, "12", "There is no such route");
    }
    fails(
        &chalk.raw("admin", "/chalk.server.v1.TeamService/UpdateServiceToken", &[], b"").await,
        "12",
        "There is no such route",
    );
    assert_eq!(chalk.seen(), [""; 0]);
}

#[tokio::test]
async fn no_change_is_sent_twice() {
    let act = |called: &Called, _| match called.head.uri.path().ends_with("/ListIntegrations") {
        true => Act::fine(&ListIntegrationsResponse { integrations: vec![source("i1", "pg_main")] }.encode_to_vec()),
        false => Act::Die,
    };
    let chalk = start(act, "").await;
    let update = UpdateIntegrationRequest { integration_id: "i1".to_owned(), ..UpdateIntegrationRequest::default() };
    for answer in [
        chalk.call("admin", "InsertIntegration", &insert("lake")).await,
        chalk.call("admin", "UpdateIntegration", &update).await,
        chalk.call("admin", "DeleteIntegration", &DeleteIntegrationRequest { id: "i1".to_owned() }).await,
        chalk.call("admin", "TestIntegration", &saved("i1")).await,
    ] {
        fails(&answer, "14", "The feature server failed");
    }
    let changes: Vec<String> = chalk.seen().into_iter().filter(|method| method != "ListIntegrations").collect();
    assert_eq!(changes, ["InsertIntegration", "UpdateIntegration", "DeleteIntegration", "TestIntegration"]);
}

#[tokio::test]
async fn what_the_deployment_says_wrong_is_not_passed_on() {
    for (list, change, status, message) in [
        (Act::fine(b"\x0a\xff"), None, "14", "The feature server's answer cannot be verified"),
        (Act::Reset, None, "14", "The feature server failed"),
        (
            Act::Answer(
                vec![("content-type", "application/grpc"), ("grpc-status", "13"), ("grpc-message", SECRET)],
                Bytes::new(),
                Vec::new(),
            ),
            None,
            "13",
            "The feature server ended the call with an error",
        ),
        (
            Act::fine(&ListIntegrationsResponse { integrations: vec![source("i1", "pg_main")] }.encode_to_vec()),
            Some(Act::fine(&IntegrationResponse { integration: Some(source("i2", "pg_pii")) }.encode_to_vec())),
            "14",
            "The feature server's answer cannot be verified",
        ),
    ] {
        let lists = change.is_none();
        let act = move |called: &Called, _| match called.head.uri.path().ends_with("/ListIntegrations") {
            true => list.clone(),
            false => change.clone().unwrap(),
        };
        let chalk = start(act, "").await;
        let update =
            UpdateIntegrationRequest { integration_id: "i1".to_owned(), ..UpdateIntegrationRequest::default() };
        fails(&chalk.call("admin", "UpdateIntegration", &update).await, status, message);
        let reached = if lists { &["ListIntegrations"][..] } else { &["ListIntegrations", "UpdateIntegration"] };
        // A read that broke off may be sent again.
        assert_eq!(chalk.seen().iter().collect::<std::collections::BTreeSet<_>>().len(), reached.len());
        assert_eq!(chalk.seen().last().unwrap(), reached.last().unwrap());
    }
}

#[tokio::test]
async fn suspended_enforcement_opens_no_source() {
    let chalk = chalk_with("enforcement: audit").await;
    assert_eq!(chalk.names("prod").await, ["pg_main"]);
    assert_eq!(chalk.names("nobody").await, [""; 0]);
    fails(&chalk.call("prod", "GetIntegration", &by_id("i2")).await, "5", "There is no such data source");
    fails(&chalk.call("nobody", "InsertIntegration", &insert("lake")).await, "7", "This caller may not use this route");
    let answer = chalk.raw("nobody", AGENT, &[], b"").await;
    assert_eq!(permissions(&answer.body[5..]), FeaturePermissions { tags: [].into(), default_permission: Some(3) });
}

#[tokio::test]
async fn a_branch_and_another_environment_have_no_sources() {
    let chalk = chalk().await;
    let list = format!("{SERVICE}ListIntegrations");
    let branch = chalk.raw("all", &list, &[("x-chalk-branch-id", "b")], b"").await;
    fails(&branch, "3", "`branch` is not allowed for this caller");
    for path in [list.as_str(), AGENT] {
        let other = chalk.raw("all", path, &[("x-chalk-env-id", "other")], b"").await;
        fails(&other, "3", "the environment `other` is not the one that is served here");
    }
    assert_eq!(chalk.seen(), [""; 0]);
}

/// Of a service token that says no more than who it is and what it may.
fn permissions(message: &[u8]) -> FeaturePermissions {
    let answer = GetAgentResponse::decode(message).unwrap();
    assert_eq!(answer.encode_to_vec(), message, "something is not known");
    let Some(AgentKind::ServiceToken(agent)) = answer.agent.unwrap().agent else { panic!("it is another agent") };
    let permissions = agent.feature_permissions.clone().unwrap();
    assert_eq!(
        agent,
        ServiceTokenAgent {
            id: "caller-1".to_owned(),
            client_id: "caller-1".to_owned(),
            team_id: String::new(),
            environment: "envmock1".to_owned(),
            feature_permissions: Some(permissions.clone()),
        }
    );
    permissions
}

#[tokio::test]
async fn callers_are_told_their_own_policy_by_us() {
    let chalk = chalk().await;
    let of = |tags: &[(&str, i32)], default: i32| FeaturePermissions {
        tags: tags.iter().map(|(tag, permission)| ((*tag).to_owned(), *permission)).collect(),
        default_permission: Some(default),
    };
    for (group, wanted) in
        [("all", of(&[("pii", 3)], 1)), ("prod", of(&[("cleared", 4), ("pii", 2)], 1)), ("admin", of(&[], 3))]
    {
        let answer = chalk.raw(group, AGENT, &[], b"").await;
        assert_eq!(answer.trailer("grpc-status"), Some("0"));
        assert_eq!(permissions(&answer.body[5..]), wanted, "{group}");
        // Over Connect, too.
        let headers = format!(
            "authorization: Bearer {}\r\ncontent-type: application/proto\r\ncontent-length: 0\r\n",
            KEY.token(&[group])
        );
        let answer = ask(chalk.sidecar.data, request("POST", AGENT, &headers, b"")).await;
        assert_eq!((answer.status, permissions(&answer.body)), (200, wanted), "{group}");
    }
    fails(&chalk.raw("nobody", AGENT, &[], b"").await, "7", "This caller may not use this route");
    fails(&chalk.raw("all", AGENT, &[], b"\x08\x01").await, "3", "the message has the field 1, which is not known");
    let unknown = H2::connect(chalk.sidecar.data).await;
    let headers = [("content-type", "application/grpc"), ("te", "trailers")];
    fails(&unknown.send("POST", AGENT, &headers, framed(b"")).await, "16", "A Bearer token is required");
    assert_eq!(chalk.seen(), [""; 0]);
}

/// What the list of paths says is served, is.
#[tokio::test]
async fn every_method_that_is_always_there_has_a_route() {
    let chalk = Arc::new(chalk().await);
    for path in paths::RPC {
        let answer = chalk.raw("all", path, &[], b"\xff").await;
        assert_eq!(answer.header("grpc-status"), Some("3"), "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn sources_are_told_in_json_without_their_secrets() {
    let chalk = chalk().await;
    let bearer = format!("Bearer {}", KEY.token(&["prod"]));
    let lines = format!("authorization: {bearer}\r\ncontent-type: application/json\r\n");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let path = format!("{SERVICE}ListIntegrations");
    let one = ask(chalk.sidecar.data, request("POST", &path, &lines, "{}")).await;
    let two = H2::connect(chalk.sidecar.data).await.send("POST", &path, &headers, "{}").await;
    for answer in [one, two] {
        let source =
            json!({"id": "i1", "name": "pg_main", "kind": "INTEGRATION_KIND_POSTGRESQL", "environmentId": "envmock1"});
        assert_eq!((answer.status, answer.json()), (200, json!({"integrations": [source]})));
        assert!(!contains(&answer.body));
    }
    let answer = ask(chalk.sidecar.data, request("POST", AGENT, &lines, "{}")).await;
    let permissions = &answer.json()["agent"]["serviceTokenAgent"]["featurePermissions"];
    let tags = json!({"cleared": "FEATURE_PERMISSION_ALLOW_DOWNSTREAM", "pii": "FEATURE_PERMISSION_ALLOW_INTERNAL"});
    assert_eq!(*permissions, json!({"tags": tags, "defaultPermission": "FEATURE_PERMISSION_ALLOW"}));
    let other = ask(
        chalk.sidecar.data,
        request("POST", &format!("{SERVICE}GetIntegration"), &lines, r#"{"integrationId": "i2"}"#),
    )
    .await;
    assert_eq!((other.status, &other.json()["code"]), (404, &json!("not_found")));
}
