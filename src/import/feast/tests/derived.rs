//! On-demand views, stream and label views, and views of views.

use super::*;

#[test]
fn an_output_is_computed_from_every_column_of_every_source() {
    let mut aliased = projection("v", &["b"]);
    aliased["featureViewNameAlias"] = json!("other");
    aliased["batchSource"] = json!({"name": "s"});
    let import = dump(json!({
        "featureViews": [view("v", &["a", "b"], json!({})), view("w", &["c", "d"], json!({}))],
        "onDemandFeatureViews": [on_demand("o", json!({
            "one": {"featureViewProjection": projection("w", &["d"])},
            "two": {"featureViewProjection": aliased},
        }))],
    }));
    let expected = Feature { inputs: set(&["v:b", "w:d"]), ..Feature::default() };
    assert_eq!(feature(&import, "o:out"), &expected);
}

#[test]
fn a_view_given_whole_is_all_of_its_columns() {
    let import = dump(json!({
        "featureViews": [view("v", &["a", "b"], json!({}))],
        "onDemandFeatureViews": [
            on_demand("message", json!({"v": {"featureView": view("v", &["a"], json!({}))}})),
            on_demand("projection", json!({"v": {"featureViewProjection": projection("v", &[])}})),
        ],
    }));
    assert_eq!(feature(&import, "message:out").inputs, set(&["v:a", "v:b"]));
    assert_eq!(feature(&import, "projection:out").inputs, set(&["v:a", "v:b"]));
}

#[test]
fn a_projection_older_than_its_view_reads_all_of_it() {
    let import = dump(json!({
        "featureViews": [view("v", &["a", "b"], json!({}))],
        "onDemandFeatureViews": [on_demand("o", json!({"v": {"featureViewProjection": projection("v", &["gone", "a"])}}))],
    }));
    assert_eq!(feature(&import, "o:out").inputs, set(&["v:a", "v:b"]));
    let warning =
        "the on-demand view `o` reads `v:gone`, which the registry does not list: it is taken to read all of `v`";
    assert_eq!(import.warnings, [warning]);
}

#[test]
fn an_on_demand_view_that_is_stored_is_read_by_its_own_keys() {
    let mut stored = on_demand("o", json!({"v": {"featureViewProjection": projection("v", &["a"])}}));
    stored["spec"]["entities"] = json!(["customer"]);
    let mut import_of = |written: bool| {
        stored["spec"]["writeToOnlineStore"] = json!(written);
        dump(json!({
            "entities": [entity("customer", "customer_id")],
            "featureViews": [view("v", &["a"], json!({}))],
            "onDemandFeatureViews": [stored],
        }))
    };
    assert_eq!(feature(&import_of(true), "o:out").joins, set(&["customer_id"]));
    assert_eq!(feature(&import_of(false), "o:out").joins, set(&[]));
}

#[test]
fn an_on_demand_view_without_sources_is_a_warning() {
    let import = dump(json!({"onDemandFeatureViews": [view("o", &["out"], json!({}))]}));
    assert_eq!(import.warnings, ["the on-demand view `o` names no source: its outputs have no inputs"]);
    assert_eq!(feature(&import, "o:out"), &Feature::default());
}

#[test]
fn a_view_made_of_views_is_computed_from_all_of_theirs() {
    let sink = json!({"name": "sink", "type": "BATCH_FILE"});
    let source = json!({"name": "raw", "features": [{"name": "a"}], "batchSource": {"name": "elsewhere"}});
    let import = dump(json!({"featureViews": [
        view("agg", &["total"], json!({
            "sourceViews": [source], "batchSource": sink, "mode": "python", "entityColumns": [{"name": "id"}],
            "featureTransformation": {"userDefinedFunction": {"body": CODE}},
        })),
        view("raw", &["a", "b"], json!({})),
    ]}));
    let expected = Feature {
        inputs: set(&["raw:a", "raw:b"]),
        joins: set(&["id"]),
        sources: set(&["sink"]),
        ..Feature::default()
    };
    assert_eq!(feature(&import, "agg:total"), &expected);
}

#[test]
fn stream_and_label_views_are_views() {
    let kafka = json!({"name": "k", "type": "STREAM_KAFKA", "batchSource": {"name": "b", "type": "BATCH_FILE"}});
    let stream = json!({"streamSource": kafka, "entities": ["customer"], "userDefinedFunction": {"body": CODE}});
    let label = json!({"source": {"name": "p", "type": "PUSH_SOURCE"}, "entities": ["customer"], "tags": {"gold": ""}});
    let import = dump(json!({
        "entities": [entity("customer", "customer_id")],
        "streamFeatureViews": [view("s", &["a"], stream.clone())],
        "labelViews": [view("l", &["fraud"], label.clone())],
    }));
    let joins = set(&["customer_id"]);
    let streamed = Feature { joins: joins.clone(), sources: set(&["b", "k"]), ..Feature::default() };
    let labelled = Feature { joins, sources: set(&["p"]), tags: set(&["gold", "gold="]), ..Feature::default() };
    assert_eq!(feature(&import, "s:a"), &streamed);
    assert_eq!(feature(&import, "l:fraud"), &labelled);

    let mut views = [view("s", &["a"], stream), view("l", &["fraud"], label)];
    views[0]["type"] = json!("streamFeatureView");
    views[1]["type"] = json!("labelView");
    let entities = json!({"entities": [entity("customer", "customer_id")]});
    let over_rest = rest(json!({"featureViews": views}), json!({"featureServices": []}), entities).unwrap();
    assert_eq!(over_rest, import);
}

#[test]
fn a_view_of_an_unknown_kind_is_read_by_its_shape() {
    let mut views =
        [view("v", &["a"], json!({})), on_demand("o", json!({"v": {"featureView": view("v", &[], json!({}))}}))];
    views[0]["type"] = json!("tableView");
    views[1]["type"] = json!("laterView");
    let import = rest(json!({"featureViews": views}), json!({"featureServices": []}), json!({"entities": []})).unwrap();
    assert_eq!(feature(&import, "o:out").inputs, set(&["v:a"]));
    let expected = [
        "the view `o` is of the unknown kind `laterView`: it is read by its shape",
        "the view `v` is of the unknown kind `tableView`: it is read by its shape",
    ];
    assert_eq!(import.warnings, expected);
}

// Feature services.
