//! What is recorded of Chalk's queries, and what holds while enforcement is suspended.

use serde_json::{Value, json};

use super::ask::{Door, Part, VERSIONED, ask, recorded};
use super::cases::{Both, Want::Invalid};
use super::went::went;
use super::world::{CANARY, Chalk, POLICY, Say};
use crate::support::sidecar::Sidecar;

async fn suspended(chalk: &Chalk) -> Sidecar {
    chalk.setup().with("chalk: {environment: prod}").with("enforcement: audit").start().await
}

#[tokio::test]
async fn a_line_says_what_was_asked_and_decided_at_every_door() {
    let Both { chalk, sidecar } = Both::start().await;
    let query = ask(&["user.avg", "user"]).expression(recorded("sum")).expression(recorded("alias_has_one"));
    for door in Door::ALL {
        // Both expressions are called `x`, in two namespaces.
        let got = door.ask(&sidecar, "cutters", &query).await;
        assert_eq!(got.end, Err(("INVALID_QUERY".to_owned(), "the name `x` of an expression is taken".to_owned())));
    }
    let query = ask(&["user.avg", "user.ssn"]).expression(recorded("sum")).input("user.limit", Some(CANARY));
    for door in Door::ALL {
        door.ask(&sidecar, "cutters", &query).await;
        door.ask(&sidecar, "readers", &ask(&[]).with(Part::Name("leaky"))).await;
        assert_eq!(went(&chalk.only())[0].outputs, ["user.avg"], "{door:?}");
    }
    let lines = sidecar.audit(2 * Door::ALL.len()).await;
    let denied = |feature: &str| json!({"feature": feature, "permission": "AllowInternal", "rule": 7, "tag": "pii"});
    for (pair, door) in lines.chunks(2).zip(Door::ALL) {
        let [query, named] = pair else { panic!("{pair:?}") };
        assert_eq!((&query["route"], &named["route"]), (&json!(door.path()), &json!(door.path())));
        assert_eq!(query["roles"], json!(["cutter"]));
        assert_eq!(
            (&query["query"], &query["outputs"]),
            (&Value::Null, &json!(["user.avg", "user.ssn", "x"])),
            "{query}"
        );
        assert_eq!(query["supplied"], json!(["user.id", "user.limit"]));
        assert_eq!(query["reads"], json!(["user.transactions[]", "user.transactions[].amount"]), "{query}");
        assert_eq!(query["refused"], json!([denied("user.ssn"), denied("transaction.amount")]), "{query}");
        assert_eq!((&query["decision"], &query["mode"]), (&json!("filtered"), &json!("filter")));
        assert_eq!(query["declassified"], json!([{"feature": "user.avg", "via": "tag cleared"}]), "{query}");
        assert_eq!((&named["query"], &named["decision"]), (&json!("leaky"), &json!("refused")));
        assert_eq!(
            (&named["outputs"], &named["refused"]),
            (&json!(["user.name", "user.ssn"]), &json!([denied("user.ssn")]))
        );
        assert_eq!((&query["status"], &named["status"]), (&json!(200), &json!(200)));
    }
    assert!(!sidecar.setup.folder.read("audit.jsonl").contains(CANARY));
}

#[tokio::test]
async fn of_several_queries_each_has_its_line() {
    let Both { sidecar, .. } = Both::start().await;
    for (number, door) in Door::SEVERAL.into_iter().enumerate() {
        let queries = [ask(&["user.name"]), ask(&["user.ssn"]), ask(&[]).with(Part::Name("fraud"))];
        let answer = door.ask_with(&sidecar, "readers", &[VERSIONED], &queries).await.answer;
        let lines = sidecar.audit(3 * (number + 1)).await;
        let lines = &lines[3 * number..];
        let said = |name: &str| lines.iter().map(|line| line[name].clone()).collect::<Vec<_>>();
        assert_eq!(said("decision"), ["permitted", "refused", "permitted"], "{door:?}");
        assert_eq!(said("query"), [Value::Null, Value::Null, json!("fraud")]);
        assert_eq!(said("outputs"), [json!(["user.name"]), json!(["user.ssn"]), json!(["user.limit", "user.name"])]);
        assert_eq!(said("decision_id"), vec![json!(answer.decision_id()); 3]);
        let series = |decision: &str| {
            let route = door.path();
            format!("tagwarden_decisions_total{{decision=\"{decision}\",route=\"{route}\"}}")
        };
        let times = if door == Door::MultiBulk { 2.0 } else { 1.0 };
        assert_eq!(sidecar.metric(&series("refused")).await, times, "{door:?}");
        assert_eq!(sidecar.metric(&series("permitted")).await, 2.0 * times, "{door:?}");
    }
}

#[tokio::test]
async fn what_was_taken_out_is_counted_in_a_header() {
    let Both { sidecar, .. } = Both::start().await;
    for door in Door::ALL {
        for (group, outputs, filtered) in [
            ("cutters", &["user.name", "user.ssn", "user.secret"][..], Some("2")),
            ("cutters", &["user.name"], Some("0")),
            ("readers", &["user.name"], None),
        ] {
            let got = door.ask(&sidecar, group, &ask(outputs)).await;
            assert_eq!(got.answer.header("x-tagwarden-filtered"), filtered, "{door:?} {group} {outputs:?}");
        }
    }
    for door in Door::SEVERAL {
        let queries = [ask(&["user.name", "user.ssn"]), ask(&["user.limit", "user.copy"])];
        let got = door.ask_with(&sidecar, "cutters", &[VERSIONED], &queries).await;
        assert_eq!(got.answer.header("x-tagwarden-filtered"), Some("2"), "{door:?}");
    }
}

#[tokio::test]
async fn decisions_are_kept_unless_they_have_expressions() {
    let Both { sidecar, .. } = Both::start().await;
    let hits = "tagwarden_cache_requests_total{cache=\"decision\",result=\"hit\"}";
    let misses = "tagwarden_cache_requests_total{cache=\"decision\",result=\"miss\"}";
    for door in Door::ALL {
        door.ask(&sidecar, "readers", &ask(&["user.name"])).await;
    }
    // It is the same query at every door, but for what a name without a version may mean there.
    assert_eq!((sidecar.metric(hits).await, sidecar.metric(misses).await), (6.0, 2.0));
    for door in Door::ALL {
        door.ask(&sidecar, "readers", &ask(&["user.name"]).expression(recorded("functions"))).await;
    }
    assert_eq!((sidecar.metric(hits).await, sidecar.metric(misses).await), (6.0, 10.0));
    // Without the header that chalkpy sends it is as over gRPC.
    Door::Json.ask_with(&sidecar, "readers", &[], &[ask(&["user.name"])]).await;
    assert_eq!((sidecar.metric(hits).await, sidecar.metric(misses).await), (7.0, 10.0));
}

#[tokio::test]
async fn a_candidate_in_the_shadow_is_told_where_it_disagrees() {
    let chalk = Chalk::start().await;
    let setup = chalk.setup().with("chalk: {environment: prod}").with("shadow: {policies: next.yaml}");
    setup.folder.write("next.yaml", POLICY.replace("pii: AllowInternal", "pii: Allow"));
    let sidecar = setup.start().await;
    let wider = "tagwarden_shadow_disagreements_total{change=\"wider\"}";
    for (number, door) in Door::ALL.into_iter().enumerate() {
        let got = door.ask(&sidecar, "readers", &ask(&["user.ssn"])).await;
        got.shows_nothing();
        door.ask(&sidecar, "readers", &ask(&["user.name"])).await;
        assert_eq!(sidecar.metric(wider).await, number as f64 + 1.0, "{door:?}");
    }
    let before = sidecar.metric(wider).await;
    Door::Json.ask(&sidecar, "readers", &ask(&[]).expression(recorded("root"))).await;
    assert_eq!(sidecar.metric(wider).await, before + 1.0);
}

#[tokio::test]
async fn suspended_what_would_be_refused_passes_whole_and_is_recorded() {
    let chalk = Chalk::start().await;
    let sidecar = suspended(&chalk).await;
    for (number, door) in Door::ALL.into_iter().enumerate() {
        let query = ask(&["user.name", "user.ssn"]).expression(recorded("root"));
        let got = door.ask(&sidecar, "cutters", &query).await;
        let text = got.text();
        for seen in ["CANARY user.ssn", "CANARY user.smuggled", "CANARY of the exception"] {
            assert!(text.contains(seen), "{door:?}: {text}");
        }
        assert_eq!(got.answer.header("x-tagwarden-filtered"), None);
        let went = went(&chalk.only()).remove(0);
        assert_eq!((went.outputs, went.expressions.len()), (vec!["user.name".to_owned(), "user.ssn".to_owned()], 1));
        let line = sidecar.audit(number + 1).await.remove(number);
        assert_eq!((&line["decision"], &line["enforcement"]), (&json!("filtered"), &json!("audit")), "{line}");
        assert_eq!(line["refused"].as_array().unwrap().len(), 2, "{line}");
    }
    let dropped = "tagwarden_response_columns_dropped_total{route=\"/v1/query/online\"}";
    assert_eq!(sidecar.metric(dropped).await, 0.0);
}

#[tokio::test]
async fn suspended_named_queries_go_by_their_name_and_nobody_needs_a_role() {
    let chalk = Chalk::start().await;
    let sidecar = suspended(&chalk).await;
    for door in Door::ALL {
        for (name, group) in [("leaky", "readers"), ("nothing", "readers"), ("leaky", "strangers")] {
            let got = door.ask(&sidecar, group, &ask(&[]).with(Part::Name(name))).await;
            assert!(got.text().contains("CANARY user.ssn"), "{door:?} {name}: {}", got.text());
            let went = went(&chalk.only()).remove(0);
            assert!(went.outputs.is_empty() && went.text.contains(name), "{door:?} {name}: {went:?}");
        }
    }
    for line in sidecar.audit(3 * Door::ALL.len()).await {
        assert_eq!((&line["decision"], &line["enforcement"]), (&json!("refused"), &json!("audit")), "{line}");
    }
}

#[tokio::test]
async fn suspended_the_rest_holds() {
    let chalk = Chalk::start().await;
    let sidecar = suspended(&chalk).await;
    let both = Both { chalk, sidecar };
    let switch = Invalid("`overlay_graph` is not allowed for this caller");
    both.case("readers", ask(&["user.name"]).with(Part::Overlay), switch).await;
    let other = Invalid("the environment `dev` is not the one that is served here");
    both.case("readers", ask(&["user.name"]).with(Part::Environment("dev")), other).await;
    let http = Invalid("the expression `x` calls `http_request`, which is not followed");
    both.case("readers", ask(&[]).expression(recorded("http")), http).await;
    for door in Door::ALL {
        // Errors are replaced all the same.
        both.chalk.turns_to(Say::http(500, "text/html", CANARY));
        let got = door.ask(&both.sidecar, "readers", &ask(&["user.name"])).await;
        got.shows_nothing();
        assert!(got.end.is_err(), "{door:?}: {got:?}");
        if door.is_rpc() {
            continue;
        }
        // What cannot be verified passes as it came.
        both.chalk.turns_to(Say::http(200, "text/plain", "as it came"));
        let ask = door.body(&[ask(&["user.name"])]);
        let bearer = format!("Bearer {}", crate::support::tokens::KEY.token(&["readers"]));
        let headers = [("authorization", bearer.as_str()), ("content-type", door.kind())];
        let answer = door.send(&both.sidecar, &headers, &ask).await;
        assert_eq!((answer.text(), answer.header("content-type")), ("as it came", Some("text/plain")), "{door:?}");
    }
}
