//! What is read of the bodies of searches.

use super::*;

#[test]
fn a_body_is_built_anew_from_what_is_known() {
    let policy = over_shop(ROLES);
    for (body, expected) in [
        (
            r#" {"features":["num:\u0072atio"],"query":[ 1.50, -2e3 ],"top_k":10,"distance_metric":"L2","query_string":"a \u0062","api_version":2,"full_feature_names":true,"include_feature_view_version_metadata":true,"x":1,"feature_service":""} "#,
            r#"{"features":["num:ratio"],"query":[ 1.50, -2e3 ],"top_k":10,"api_version":2,"query_string":"a \u0062","distance_metric":"L2","include_feature_view_version_metadata":true}"#,
        ),
        // What the first form has not is not sent in it.
        (
            r#"{"features":["num:ratio"],"query":[1],"distance_metric":"L2","query_string":"a","filters":{"type":"eq"},"api_version":1}"#,
            r#"{"features":["num:ratio"],"query":[1],"api_version":1}"#,
        ),
        (
            r#"{"features":["num:ratio"],"query":null,"top_k":null,"api_version":null,"filters":null,"feature_service":null}"#,
            r#"{"features":["num:ratio"],"api_version":1}"#,
        ),
        (
            r#"{"features":["num:ratio"],"api_version":2,"filters":{"filters":[{"value":[1,"a",null,true],"key":"f32","type":"nin"},{"type":"and","filters":[{"type":"gte","key":"r\u0061tio","value":1.0}]}],"type":"or"}}"#,
            r#"{"features":["num:ratio"],"api_version":2,"filters":{"type":"or","filters":[{"type":"nin","key":"f32","value":[1,"a",null,true]},{"type":"and","filters":[{"type":"gte","key":"ratio","value":1.0}]}]}}"#,
        ),
    ] {
        assert_eq!(sent(&policy, "open", body), expected, "{body}");
    }
}

#[test]
fn what_is_not_read() {
    let policy = over_shop(ROLES);
    let filters = |filter: &str| format!(r#"{{"features":["num:ratio"],"api_version":2,"filters":{filter}}}"#);
    for (body, message) in [
        (r#"{"query":[1]}"#.to_owned(), "a search asks for no `features`"),
        (r#"{"features":[],"query":[1]}"#.to_owned(), "a search asks for no `features`"),
        (
            r#"{"features":["num:ratio"],"feature_service":"s"}"#.to_owned(),
            "a search is of one view, not of a `feature_service`",
        ),
        (r#"{"features":["num:ratio"],"query":"a"}"#.to_owned(), "`query` is not a list"),
        (r#"{"features":["num:ratio"],"query":[1,"2"]}"#.to_owned(), "`query` holds something that is no number"),
        (r#"{"features":["num:ratio"],"top_k":-1}"#.to_owned(), "`top_k` is no whole number that can be meant"),
        (r#"{"features":["num:ratio"],"top_k":1e3}"#.to_owned(), "`top_k` is no whole number that can be meant"),
        (r#"{"features":["num:ratio"],"top_k":"1"}"#.to_owned(), "`top_k` is no whole number that can be meant"),
        (r#"{"features":["num:ratio"],"api_version":3}"#.to_owned(), "`api_version` is neither 1 nor 2"),
        (r#"{"features":["num:ratio"],"api_version":"2"}"#.to_owned(), "`api_version` is neither 1 nor 2"),
        (r#"{"features":["num:ratio"],"query_string":["a"]}"#.to_owned(), "`query_string` holds what are no words"),
        (
            r#"{"features":["num:ratio"],"distance_metric":"L2; drop"}"#.to_owned(),
            "`distance_metric` is not the name of a metric",
        ),
        (
            r#"{"features":["num:ratio"],"full_feature_names":1}"#.to_owned(),
            "`full_feature_names` is neither true nor false",
        ),
        (filters("[]"), "`filters` is no object"),
        (filters(r#"{"key":"f32","value":1}"#), "a filter has no `type`"),
        (
            filters(r#"{"type":"like","key":"f32","value":1}"#),
            "a filter neither compares a `key` with a `value` nor joins `filters`",
        ),
        (
            filters(r#"{"type":"eq","key":"f32"}"#),
            "a filter neither compares a `key` with a `value` nor joins `filters`",
        ),
        (
            filters(r#"{"type":"eq","key":"f32","value":1,"filters":[]}"#),
            "a filter neither compares a `key` with a `value` nor joins `filters`",
        ),
        (
            filters(r#"{"type":"and","filters":[],"key":"f32"}"#),
            "a filter neither compares a `key` with a `value` nor joins `filters`",
        ),
        (filters(r#"{"type":"and","filters":[]}"#), "a filter joins no filters"),
        (filters(r#"{"type":"and","filters":[1]}"#), "`filters` is no object"),
        (
            filters(r#"{"type":"eq","key":"f32","value":{"a":1}}"#),
            "a filter compares with more than a value or a list of values",
        ),
        (
            filters(r#"{"type":"in","key":"f32","value":[[1]]}"#),
            "a filter compares with more than a value or a list of values",
        ),
        (filters(r#"{"type":"eq","key":"f32","value":1,"x":2}"#), "a filter has something that is not of a filter"),
        (filters(r#"{"type":["eq"],"key":"f32","value":1}"#), "a filter has something that is not of a filter"),
    ] {
        assert_eq!(sent(&policy, "open", &body), format!("invalid {message}"), "{body}");
    }
    let view = Some("num");
    for (body, message) in [
        ("{}", "a search of a vector store has no `query`"),
        (r#"{"query":[]}"#, "a search of a vector store has no `query`"),
        (r#"{"query":[1]}"#, "`query` holds what are no words"),
        (r#"{"query":"a","rewrite_query":true}"#, "`rewrite_query` is not followed"),
        (r#"{"query":"a","rewrite_query":"no"}"#, "`rewrite_query` is neither true nor false"),
        (r#"{"query":"a","ranking_options":{"ranker":"auto"}}"#, "`ranking_options.ranker` is not followed"),
        (
            r#"{"query":"a","ranking_options":{"score_threshold":0}}"#,
            "`ranking_options.score_threshold` is not followed",
        ),
        (r#"{"query":"a","ranking_options":[]}"#, "`ranking_options` is no object"),
        (r#"{"query":"a","metadata":"x"}"#, "`metadata` is no object"),
        (r#"{"query":"a","max_num_results":-1}"#, "`max_num_results` is no whole number that can be meant"),
    ] {
        assert_eq!(sent_in(&policy, "open", view, body), format!("invalid {message}"), "{body}");
    }
    let body = r#"{"query":"a","rewrite_query":false,"ranking_options":{"ranker":null},"metadata":{"features_to_retrieve":null}}"#;
    assert_eq!(sent_in(&policy, "open", view, body), r#"{"query":["a"]}"#);
}
