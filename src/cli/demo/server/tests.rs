use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::diagnostic::SourceFile;
use crate::policy;

fn ask(body: Value) -> (u16, Value) {
    let (status, text) = online_features(body.to_string().as_bytes()).unwrap_or_else(|failure| failure.0);
    (status.as_u16(), serde_json::from_str(&text).unwrap())
}

#[test]
fn stored_features_answer_as_feast_does() {
    let body =
        json!({"features": ["customer:age", "activity@latest:count_7d"], "entities": {"customer_id": [1001, 7]}});
    let (status, text) = online_features(body.to_string().as_bytes()).ok().unwrap();
    assert_eq!(status, StatusCode::OK);
    // Byte for byte as Feast 0.67 writes it, so the order counts too.
    assert_eq!(
        text,
        concat!(
            r#"{"results":[{"values":[1001,7],"statuses":["PRESENT","PRESENT"],"#,
            r#""event_timestamps":["1970-01-01T00:00:00Z","1970-01-01T00:00:00Z"]},"#,
            r#"{"values":[34,null],"statuses":["PRESENT","NOT_FOUND"],"#,
            r#""event_timestamps":["2026-11-22T08:00:00Z","1970-01-01T00:00:00Z"]},"#,
            r#"{"values":[4,null],"statuses":["PRESENT","NOT_FOUND"],"#,
            r#""event_timestamps":["2026-11-22T08:00:00Z","1970-01-01T00:00:00Z"]}],"#,
            r#""metadata":{"feature_names":["customer_id","age","count_7d"]}}"#,
        )
    );
}

#[test]
fn on_demand_views_and_services_compute_from_what_is_stored_and_sent() {
    let entities = json!({"customer_id": [1001, 1007], "basket_total": [100.0, 10.0]});
    let (status, answer) = ask(
        json!({"feature_service": "checkout", "features": ["ignored:too"], "entities": entities, "full_feature_names": true}),
    );
    assert_eq!(status, 200);
    let names =
        ["customer_id", "customer__country", "customer__segment", "activity__avg_amount", "checkout_risk__score"];
    assert_eq!(answer["metadata"]["feature_names"], json!(names));
    // 100 beside 54000 a year and 212.4 a week; customer 1007 has no income.
    assert_eq!(answer["results"][4]["values"], json!([0.141, null]));
    assert_eq!(answer["results"][4]["event_timestamps"], json!([EPOCH, EPOCH]));
    let (_, answer) =
        ask(json!({"features": ["contact:email_domain", "loyalty:band"], "entities": {"customer_id": ["1006"]}}));
    assert_eq!(answer["results"][0]["values"], json!([1006]));
    assert_eq!(answer["results"][1]["values"], json!(["firm.example"]));
    assert_eq!(answer["results"][2]["values"], json!(["gold"]));
}

#[test]
fn mistakes_are_told_in_feasts_words() {
    let one = json!({"customer_id": [1001]});
    let of = |features: Value, entities: &Value| ask(json!({"features": features, "entities": entities}));
    let cases = [
        (of(json!(["nope:age"]), &one), 404, "Feature view nope does not exist in project shop"),
        (of(json!(["customer:nope"]), &one), 500, "'Feature nope not found in projection customer'"),
        (of(json!(["age"]), &one), 500, "Invalid feature reference 'age'."),
        (of(json!([]), &one), 500, "No features specified for retrieval"),
        (of(json!(["customer:age", "customer:age"]), &one), 500, "Duplicate features named age found."),
        (of(json!(["customer:age"]), &json!({"other": [1]})), 500, "Provided join_key_values: ['other']"),
        (of(json!(["checkout_risk:score"]), &one), 404, "Required request data source features ['basket_total']"),
        (
            of(json!(["checkout_risk:score"]), &json!({"customer_id": [1001], "basket_total": ["x"]})),
            500,
            "unsupported operand type(s) for /: 'str' and 'float'",
        ),
        (
            of(json!(["customer:age"]), &json!({"customer_id": [1001], "basket_total": []})),
            500,
            "All entity rows must have the same columns.",
        ),
        (of(json!(["customer:age"]), &json!({})), 500, "'pop from an empty set'"),
        (ask(json!({"feature_service": "nope", "entities": one})), 404, "Feature service nope does not exist"),
    ];
    for ((status, body), wanted, text) in cases {
        assert_eq!(status, wanted, "{body}");
        assert!(body.as_str().unwrap().contains(text), "{body}");
    }
    let (status, body) = ask(json!({"features": ["customer:age"]}));
    assert_eq!((status, &body["detail"][0]["loc"]), (422, &json!(["body", "entities"])));
    assert_eq!(online_features(b"{").err().unwrap().0.0, StatusCode::UNPROCESSABLE_ENTITY);
}

/// The registry that the catalogue was imported from is this server's.
#[test]
fn the_catalogue_is_of_what_is_served() {
    let file = |name: &str, text: &str| vec![Arc::new(SourceFile { name: name.to_owned(), text: text.to_owned() })];
    let catalogue = file("catalogue.yaml", include_str!("../../../../policies/demo/catalogue.yaml"));
    let (policy, report) = policy::load(&file("policy.yaml", "version: 1"), &catalogue);
    let catalogue = policy.unwrap_or_else(|| panic!("{report}")).catalogue;

    let mut wanted: Vec<(String, BTreeSet<String>)> = vec![(JOIN_KEY.to_owned(), BTreeSet::new())];
    for view in VIEWS {
        let joins = BTreeSet::from([JOIN_KEY.to_owned()]);
        wanted.extend(view.columns().map(|column| (format!("{}:{column}", view.name), joins.clone())));
    }
    for view in ON_DEMAND {
        let mut inputs: BTreeSet<String> = view.fields.iter().map(|field| (*field).to_owned()).collect();
        for (source, column) in view.sources {
            let source = VIEWS.iter().find(|view| view.name == *source).unwrap();
            let read = source.columns().filter(|name| name == column || *column == "*");
            inputs.extend(read.map(|name| format!("{}:{name}", source.name)));
        }
        wanted.extend(view.fields.iter().map(|field| ((*field).to_owned(), BTreeSet::new())));
        wanted.extend(view.outputs.iter().map(|(output, _)| (format!("{}:{output}", view.name), inputs.clone())));
    }
    wanted.sort();
    let edges = |feature| catalogue.edges(feature).iter().map(|edge| catalogue.name(edge.to).to_owned()).collect();
    let mut listed: Vec<(String, BTreeSet<String>)> =
        catalogue.features().iter().map(|feature| (feature.name.to_string(), edges(feature))).collect();
    listed.sort();
    assert_eq!(listed, wanted);

    let services: Vec<(String, Vec<&str>)> = catalogue
        .bundles
        .iter()
        .map(|(name, bundle)| (name.clone(), bundle.members.iter().map(|m| catalogue.name(m.feature)).collect()))
        .collect();
    assert_eq!(services, SERVICES.iter().map(|(name, all)| ((*name).to_owned(), all.to_vec())).collect::<Vec<_>>());
}
