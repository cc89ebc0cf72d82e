//! The ways round a filter of outputs (wire-chalk.md, section 5), item by item, at every door.

use serde_json::json;

use super::ask::{Door, Part, VERSIONED, ask, recorded, renamed};
use super::cases::{Both, Want::Invalid, Want::Refused, Want::Sent, stripped};
use super::decode::Got;
use super::world::CANARY;
use crate::support::client::{H2, request};
use crate::support::tokens::KEY;

/// Without any of the ways: what comes back to one who may see all. So the world has something to leak.
#[tokio::test]
async fn item_0_whoever_may_see_all_gets_the_canaries() {
    let Both { chalk, sidecar } = Both::start().await;
    for door in Door::ALL {
        let query = ask(&["user.name", "user.ssn", "user.transactions"]).expression(recorded("root"));
        let got = door.ask(&sidecar, "all", &query).await;
        let rows =
            "user.transactions<transaction.amount transaction.at transaction.id transaction.name transaction.user_id>";
        assert_eq!(got.fine().fields, ["user.name", "user.ssn", rows, "user.x", "x"], "{door:?}");
        let text = got.text();
        for seen in ["fine user.name", "CANARY user.ssn", "CANARY transaction.amount"] {
            assert!(text.contains(seen), "{door:?}: {text}");
        }
        for unseen in ["message", "stack", "plan", "debug", "smuggled", "user.secret", "resolver\""] {
            assert!(!text.contains(&format!("{CANARY} {unseen}")), "{door:?}: {text}");
        }
        assert_eq!(got.fine().errors[0].0, "RESOLVER_FAILED");
        chalk.only();
    }
}

#[tokio::test]
async fn item_1_expressions_read_only_what_may_be_returned() {
    let both = Both::start().await;
    let bare = || ask(&[]);
    for (name, field) in [
        ("root", "x"),
        ("alias", "user.x"),
        ("sum", "x"),
        ("filtered_sum", "x"),
        ("version", "x"),
        ("alias_version", "user.x"),
        // A name without a version may be the default one.
        ("arithmetic", "x"),
        ("max_by", "x"),
    ] {
        let query = bare().expression(recorded(name));
        both.case("readers", query.clone(), Refused(&[field])).await;
        both.case("cutters", query, Refused(&[field])).await;
    }
    for name in ["hop", "functions", "comparison", "count", "head", "window_call"] {
        both.case("readers", bare().expression(recorded(name)), Sent(&["=x"], &["user.x", "x"])).await;
    }
    both.case("readers", bare().expression(recorded("alias_has_one")), Sent(&["=user.x"], &["user.x"])).await;
    // Beside outputs, in both modes.
    let beside = ask(&["user.name"]).expression(recorded("root"));
    both.case("readers", beside.clone(), Refused(&["x"])).await;
    both.case("cutters", beside, Sent(&["user.name"], &["user.name"])).await;
}

#[tokio::test]
async fn item_1_what_cannot_be_followed_and_names_that_are_taken_are_refused() {
    let both = Both::start().await;
    for (name, text) in [
        ("rows", "the expression `x` has rows of `user.transactions[]` as its result: aggregate them"),
        ("resolver_call", "the expression `x` calls `call_resolver`, which is not followed"),
        ("http", "the expression `x` calls `http_request`, which is not followed"),
        ("jinja", "the expression `x` calls `jinja`, which is not followed"),
        ("secret", "the expression `x` calls `read_secret`, which is not followed"),
        ("catalog", "the expression `x` calls `catalog_call`, which is not followed"),
    ] {
        both.case("readers", ask(&[]).expression(recorded(name)), Invalid(text)).await;
    }
    let fine = recorded("functions");
    for name in ["name", "ssn", "transactions", "fraud", "user"] {
        let text = format!("the name `{name}` of an expression is taken");
        both.case("readers", ask(&[]).expression(renamed(&fine, name)), Invalid(&text)).await;
    }
    for name in ["X", "user.ssn", "a b", ""] {
        let text = format!("the name `{name}` of an expression is not of the form a-z, 0-9 and _");
        both.case("readers", ask(&[]).expression(renamed(&fine, name)), Invalid(&text)).await;
    }
    let twice = ask(&[]).expression(fine.clone()).expression(fine);
    both.case("readers", twice, Invalid("the name `x` of an expression is taken")).await;
}

#[tokio::test]
async fn item_2_an_overlay_graph_is_refused() {
    let both = Both::start().await;
    let query = ask(&["user.name"]).with(Part::Overlay);
    both.case("readers", query.clone(), Invalid("`overlay_graph` is not allowed for this caller")).await;
    both.case("switchers", query, Sent(&["user.name"], &["user.name"])).await;
}

#[tokio::test]
async fn item_3_a_named_query_is_a_bundle_of_the_catalogue() {
    let both = Both::start().await;
    let named = |name| ask(&[]).with(Part::Name(name));
    let fraud = ["user.limit", "user.name"];
    both.case("readers", named("fraud"), Sent(&fraud, &fraud)).await;
    both.case("readers", named("fraud").with(Part::Version("1.1.0")), Sent(&["user.name"], &["user.name"])).await;
    both.case("readers", named("leaky"), Refused(&["leaky"])).await;
    both.case("cutters", named("leaky"), Sent(&["user.name"], &["user.name"])).await;
    // What is not known reads like what is denied, also where only the version is not.
    both.case("readers", named("nothing"), Refused(&["nothing"])).await;
    both.case("readers", named("fraud").with(Part::Version("9")), Refused(&["fraud@9"])).await;
    both.case("readers", named("leaky").with(Part::Version("1.1.0")), Refused(&["leaky@1.1.0"])).await;
    // Beside outputs it adds tags of the server's.
    let beside = ask(&["user.name"]).with(Part::Name("fraud"));
    both.case("readers", beside.clone(), Invalid("`context_tags` is not allowed for this caller")).await;
    both.case("switchers", beside, Sent(&["user.name"], &["user.name"])).await;
    // A version alone means nothing, and a header only labels.
    for door in Door::ALL {
        let got = door.ask(&both.sidecar, "readers", &ask(&["user.name"]).with(Part::Version("1"))).await;
        assert_eq!(got.end.unwrap_err().0, "INVALID_QUERY", "{door:?}");
        let headers = [VERSIONED, ("x-chalk-query-name", "leaky")];
        let got = door.ask_with(&both.sidecar, "readers", &headers, &[ask(&["user.name"])]).await;
        both.check(door, &got, Sent(&["user.name"], &["user.name"]), "a label");
    }
}

#[tokio::test]
async fn item_4_roots_stand_for_all_that_is_below_them() {
    let both = Both::start().await;
    for root in ["user", "identity", "transaction", "user.identity", "user.transactions"] {
        both.case("readers", ask(&[root]), Refused(&[root])).await;
    }
    let scalars =
        ["user.avg", "user.count__3600__", "user.id", "user.identity_id", "user.limit", "user.name", "user.score"];
    both.case_at(&Door::VERSIONED, "cutters", ask(&["user"]), Sent(&scalars, &scalars)).await;
    // Over gRPC the last one may be its default version, which is internal.
    let clear: Vec<&str> = scalars.into_iter().filter(|name| *name != "user.score").collect();
    for door in Door::ALL.into_iter().filter(|door| !Door::VERSIONED.contains(door)) {
        both.case_at(&[door], "cutters", ask(&["user"]), Sent(&clear, &clear)).await;
    }
    let identity = ["user.identity.id", "user.identity.is_voip_phone"];
    both.case("cutters", ask(&["user.identity"]), Sent(&identity, &identity)).await;
    let rows = "user.transactions<transaction.at transaction.id transaction.name transaction.user_id>";
    let spelled = "user.transactions[transaction.at,transaction.id,transaction.name,transaction.user_id]";
    both.case("cutters", ask(&["user.transactions"]), Sent(&[spelled], &[rows])).await;
}

#[tokio::test]
async fn item_5_spellings_that_only_the_server_knows_are_refused() {
    let both = Both::start().await;
    for name in ["USER.SSN", "User.ssn", "user.SSN", "user.transactions.amount", "get_ssn", "__id__", "now"] {
        both.case("readers", ask(&[name]), Refused(&[name])).await;
        both.case("cutters", ask(&[name]), Refused(&[name])).await;
        both.case("cutters", ask(&["user.name", name]), Sent(&["user.name"], &["user.name"])).await;
    }
}

#[tokio::test]
async fn item_6_another_graph_is_not_reached() {
    let both = Both::start().await;
    let query = || ask(&["user.name"]);
    let fine = Sent(&["user.name"], &["user.name"]);
    for part in [Part::Branch, Part::Deployment] {
        both.case("readers", query().with(part), Invalid("`branch` is not allowed for this caller")).await;
        both.case("switchers", query().with(part), fine).await;
    }
    let other = "the environment `dev` is not the one that is served here";
    both.case("readers", query().with(Part::Environment("dev")), Invalid(other)).await;
    both.case("switchers", query().with(Part::Environment("dev")), Invalid(other)).await;
    both.case("readers", query().with(Part::Environment("prod")), fine).await;
    for door in Door::ALL {
        for name in ["x-chalk-branch-id", "x-chalk-preview-deployment", "x-chalk-deployment-tag"] {
            let got = door.ask_with(&both.sidecar, "readers", &[VERSIONED, (name, "b")], &[query()]).await;
            both.check(door, &got, Invalid("`branch` is not allowed for this caller"), name);
        }
        let headers = [VERSIONED, ("x-chalk-env-id", "dev")];
        let got = door.ask_with(&both.sidecar, "readers", &headers, &[query()]).await;
        both.check(door, &got, Invalid(other), "the header");
        // The header says one, the query another.
        let headers = [VERSIONED, ("x-chalk-env-id", "prod")];
        let got = door.ask_with(&both.sidecar, "readers", &headers, &[query().with(Part::Environment("dev"))]).await;
        both.check(door, &got, Invalid(other), "both");
    }
    // One query of several is enough.
    for door in Door::SEVERAL {
        let queries = [query(), query().with(Part::Environment("dev"))];
        let got = door.ask_with(&both.sidecar, "readers", &[VERSIONED], &queries).await;
        both.check(door, &got, Invalid(other), "the second");
    }
}

#[tokio::test]
async fn item_7_tags_that_choose_a_data_source_are_refused() {
    let both = Both::start().await;
    for part in [Part::Tags, Part::ResolverTags] {
        let query = ask(&["user.name"]).with(part);
        both.case("readers", query.clone(), Invalid("`context_tags` is not allowed for this caller")).await;
        both.case("switchers", query, Sent(&["user.name"], &["user.name"])).await;
    }
}

#[tokio::test]
async fn item_8_sql_as_input_is_refused() {
    let both = Both::start().await;
    let query = ask(&["user.name"]).with(Part::Sql);
    let doors = [Door::Bulk, Door::MultiBulk];
    both.case_at(&doors, "readers", query, Invalid("`inputs_sql` is not allowed for this caller")).await;
    for key in ["inputs_sql", "input_sql", "spine_sql_query"] {
        let mut body = ask(&["user.name"]).json(false);
        body[key] = json!("select ssn from users");
        let bearer = format!("Bearer {}", KEY.token(&["switchers"]));
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let answer = Door::Json.send(&both.sidecar, &headers, body.to_string().as_bytes()).await;
        let text = format!("the key `{key}` is not known");
        both.check(Door::Json, &Got::of(Door::Json, answer), Invalid(&text), key);
    }
}

#[tokio::test]
async fn item_9_side_channels_are_closed() {
    let both = Both::start().await;
    for (part, switch) in [
        (Part::Explain, "explain"),
        (Part::PlanStages, "plan_stages"),
        (Part::Planner, "planner_options"),
        (Part::Context, "query_context"),
        (Part::Staleness("user.name"), "staleness"),
        (Part::Metrics("user.name"), "value_metrics"),
        (Part::Staleness("user.ssn"), "staleness"),
        (Part::Metrics("user.ssn"), "value_metrics"),
    ] {
        let text = format!("`{switch}` is not allowed for this caller");
        both.case("readers", ask(&["user.name"]).with(part), Invalid(&text)).await;
    }
    // Where they are allowed, they name no more than may be returned.
    let fine = Sent(&["user.name"], &["user.name"]);
    for part in
        [Part::PlanStages, Part::Planner, Part::Context, Part::Staleness("user.name"), Part::Metrics("user.name")]
    {
        both.case("switchers", ask(&["user.name"]).with(part), fine).await;
    }
    for part in [Part::Staleness("user.ssn"), Part::Metrics("user.ssn"), Part::Staleness("user.secret")] {
        let (Part::Staleness(name) | Part::Metrics(name)) = part else { panic!("{part:?}") };
        both.case("switchers", ask(&["user.name"]).with(part), Refused(&[name])).await;
    }
    // The plan comes to whoever may ask for it, and did.
    for door in Door::ALL {
        let got = door.ask(&both.sidecar, "switchers", &ask(&["user.name"]).with(Part::Explain)).await;
        assert!(got.text().contains(&format!("{CANARY} plan")), "{door:?}: {}", got.text());
        assert_eq!(got.fine().errors, stripped());
    }
}

/// gRPC methods and paths over HTTP with which the same token reaches more.
#[tokio::test]
async fn item_10_other_services_are_not_there() {
    let both = Both::start().await;
    let bearer = format!("Bearer {}", KEY.token(&["all"]));
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/grpc"), ("te", "trailers")];
    let connection = H2::connect(both.sidecar.data).await;
    for method in [
        "chalk.protosql.v1.SqlService/ExecuteSqlQuery",
        "chalk.protosql.v1.SqlService/ExecuteSqlQueryStream",
        "chalk.engine.v2.DataFrameService/ExecutePlan",
        "chalk.engine.v1.OfflineStoreService/GetQueryValues",
        "chalk.engine.v1.OfflineStoreService/GetQueryLogEntries",
        "chalk.engine.v1.OfflineStoreService/GetFeatureValues",
        "chalk.engine.v1.QueryService/PlanAggregateBackfill",
        "chalk.engine.v1.QueryService/GetAggregates",
        "chalk.engine.v1.QueryService/GetPullQueryResult",
        "chalk.engine.v1.QueryService/InspectBloomFilters",
        "chalk.engine.v1.QueryService/UploadFeatures",
        "chalk.engine.v1.QueryService/UploadFeaturesBulk",
        "chalk.engine.v1.QueryService/onlinequery",
        "chalk.server.v1.DatasetMetadataService/GetDatasetPreview",
        "chalk.server.v1.OfflineQueryMetadataService/CreateOfflineQueryJob",
        "chalk.server.v1.GraphService/UpdateGraph",
        "chalk.server.v1.GraphService/ApplyGraphUpdates",
        "chalk.server.v1.TeamService/UpdateServiceToken",
        "chalk.server.v1.TeamService/UpsertFeaturePermissions",
        "chalk.server.v1.EnvironmentSecretsService/GetSecretValue",
        "chalk.server.v1.IntegrationsService/ListIntegrationsAndSecrets",
        "chalk.server.v1.IntegrationsService/GetIntegrationValue",
        "chalk.streaming.v1.SimpleStreamingService/SimpleStreamingUnaryInvoke",
    ] {
        let answer = connection.send("POST", &format!("/{method}"), &headers, [0; 5]).await;
        let told = (answer.status, answer.header("grpc-status"), answer.header("grpc-message"));
        assert_eq!(told, (200, Some("12"), Some("There is no such route")), "{method}");
        answer.decision_id();
    }
    let authorization = format!("authorization: {bearer}\r\ncontent-type: application/json\r\n");
    for path in [
        "/v1/query/plan",
        "/v1/query/run",
        "/v4/offline_query",
        "/v4/offline_query/1/preview",
        "/v1/prompt/evaluate",
        "/v1/compute_resolver_output",
        "/v1/runs/trigger",
        "/v4/resolver_replay/1",
        "/v1/dqm/test",
        "/v1/test_stream_resolver",
        "/v4/ingest_dataset",
        "/v1/branches/b/source",
        "/v1/upload_features",
        "/v1/upload_features/multi",
        "/v1/features/rows",
        "/v2/query/online",
        "/v1/query/online/",
        "/v1//query/online",
        "/V1/query/online",
        "/v1/query/%6fnline",
        "/v1/x/../query/online",
    ] {
        let answer = both.sidecar.ask(request("POST", path, &authorization, "{}")).await;
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (404, &json!("NOT_FOUND")), "{path}");
    }
    both.chalk.nothing_came();
}

#[tokio::test]
async fn item_11_only_what_was_asked_for_comes_back() {
    let both = Both::start().await;
    let fields = ["user.name", "user.transactions<transaction.id>"];
    let query = ask(&["user.name", "user.transactions[transaction.id]"]);
    both.case("readers", query.clone(), Sent(&["user.name", "user.transactions[transaction.id]"], &fields)).await;
    // Also where nothing is restricted: what is left out was not asked for.
    both.case("all", query, Sent(&["user.name", "user.transactions[transaction.id]"], &fields)).await;
    // How a field was computed comes where it was asked for, and of that no more than is known.
    for door in Door::ALL.into_iter().filter(|door| !matches!(door, Door::Feather | Door::Bulk | Door::MultiBulk)) {
        let resolver = if door.is_rpc() { "CANARY resolver" } else { "\"chosen_resolver_fqn\":\"get\"" };
        let got = door.ask(&both.sidecar, "readers", &ask(&["user.name"])).await;
        assert!(!got.text().contains(resolver), "{door:?}");
        let got = door.ask(&both.sidecar, "readers", &ask(&["user.name"]).with(Part::Meta)).await;
        assert!(got.text().contains(resolver) && !got.text().contains("debug"), "{door:?}: {}", got.text());
    }
    let dropped = |route: &str| format!("tagwarden_response_columns_dropped_total{{route=\"{route}\"}}");
    for door in Door::ALL {
        assert!(both.sidecar.metric(&dropped(door.path())).await > 10.0, "{door:?}");
    }
}
