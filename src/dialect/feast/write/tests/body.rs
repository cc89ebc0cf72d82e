//! The bodies of writes and what is answered to them.

use super::super::request::read;
use super::super::*;

/// What goes upstream of a body: body and query, the target, and the columns with `!` behind those of times.
fn sent(kind: Kinds, body: &str, query: Option<&str>) -> String {
    match read(kind, body.as_bytes(), query) {
        Err(error) => format!("invalid {error}"),
        Ok(request) => {
            let columns = request.write.columns.iter();
            let columns: String = columns.map(|c| format!(" {}{}", c.name, if c.times { "!" } else { "" })).collect();
            let target = match request.write.target {
                Target::Source(name) => format!("source {name}"),
                Target::Views(names) => format!("views {}", names.join(",")),
                Target::All => "all".to_owned(),
            };
            format!("{}{} {target}{columns}", String::from_utf8(request.body).unwrap(), request.query)
        }
    }
}

#[test]
fn a_push_is_built_anew_and_its_values_are_not_touched() {
    for (body, expected) in [
        (
            r#"{"push_source_name":"s","df":{"k":[1],"x":[ 9007199254740994.10 ],"t":["2026-01-01T00:00:00.5+00:00"]}}"#,
            r#"{"push_source_name":"s","df":{"k":[1],"x":[ 9007199254740994.10 ],"t":["2026-01-01T00:00:00.5+00:00"]}} source s k x t!"#,
        ),
        (
            r#" {"x":1,"transform_on_write":false,"allow_registry_cache":true,"to":"offline","df":{"\u0061":[null,[1,{"b":2}]]},"push_source_name":"s\u0031"}"#,
            r#"{"push_source_name":"s1","df":{"a":[null,[1,{"b":2}]]},"to":"offline","allow_registry_cache":true,"transform_on_write":false} source s1 a"#,
        ),
        (
            r#"{"push_source_name":"s","to":null,"df":{"event_timestamp":[1760000000],"created":[null],"later":[null,"2026-01-01"],"gone":[null,null]}}"#.replace("[1760000000]", "[1760000000,1]").replace("[null]", "[null,null]").leak(),
            r#"{"push_source_name":"s","df":{"event_timestamp":[1760000000,1],"created":[null,null],"later":[null,"2026-01-01"],"gone":[null,null]}} source s event_timestamp! created! later! gone"#,
        ),
        (r#"{"push_source_name":"s","df":{"x":["2026-01-01","2026-01-01 or so"]}}"#, r#"{"push_source_name":"s","df":{"x":["2026-01-01","2026-01-01 or so"]}} source s x"#),
        (r#"{"push_source_name":"s","df":{"x":[20260101]}}"#, r#"{"push_source_name":"s","df":{"x":[20260101]}} source s x"#),
        (r#"{"df":{"x":[1]}}"#, "invalid `push_source_name` names nothing"),
        (r#"{"push_source_name":"","df":{"x":[1]}}"#, "invalid `push_source_name` names nothing"),
        (r#"{"push_source_name":["s"],"df":{"x":[1]}}"#, "invalid `push_source_name` is no text"),
        (r#"{"push_source_name":"s"}"#, "invalid `df` is missing"),
        (r#"{"push_source_name":"s","df":[{"x":1}]}"#, "invalid `df` is not an object of columns"),
        (r#"{"push_source_name":"s","df":{"x":{"0":1}}}"#, "invalid column `x` of `df` is not a list of values"),
        (r#"{"push_source_name":"s","df":{"x":[1],"y":[1,2]}}"#, "invalid column `y` of `df` has 2 values where others have 1"),
        (r#"{"push_source_name":"s","df":{}}"#, "invalid `df` has no rows"),
        (r#"{"push_source_name":"s","df":{"x":[]}}"#, "invalid `df` has no rows"),
        (r#"{"push_source_name":"s","df":{"x":[1]},"to":"both"}"#, "invalid `to` is not `online`, `offline` or `online_and_offline`"),
        (r#"{"push_source_name":"s","df":{"x":[1]},"transform_on_write":"no"}"#, "invalid `transform_on_write` is neither true nor false"),
        (r#"{"push_source_name":"s","push_source_name":"t","df":{"x":[1]}}"#, "invalid the body cannot be read: the key `push_source_name` at byte 24 of the json text stands twice in its object"),
    ] {
        assert_eq!(sent(Kinds::Push, body, Some("a=b")), expected, "{body}");
    }
    let wide: Vec<String> = (0..=10_000).map(|n| format!("\"c{n}\":[1]")).collect();
    let wide = format!(r#"{{"push_source_name":"s","df":{{{}}}}}"#, wide.join(","));
    assert_eq!(sent(Kinds::Push, &wide, None), "invalid more than 10000 columns are written");
}

#[test]
fn a_write_to_a_view_is_one_view() {
    let body = r#"{"feature_view_name":"v","df":{"k":[1]},"allow_registry_cache":false,"push_source_name":"s","to":"offline"}"#;
    let built = r#"{"feature_view_name":"v","df":{"k":[1]},"allow_registry_cache":false} views v k"#;
    assert_eq!(sent(Kinds::View, body, None), built);
    assert_eq!(sent(Kinds::View, r#"{"df":{"k":[1]}}"#, None), "invalid `feature_view_name` names nothing");
}

#[test]
fn a_materialization_names_views_or_means_all() {
    let (full, more) = (Kinds::Materialize, Kinds::Incremental);
    for (kind, body, query, expected) in [
        (full, r#"{"start_ts":"a","end_ts":"b"}"#, None, r#"{"start_ts":"a","end_ts":"b"} all"#),
        (
            full,
            r#"{"feature_views":null,"disable_event_timestamp":true}"#,
            None,
            r#"{"disable_event_timestamp":true} all"#,
        ),
        (
            full,
            r#"{"feature_views":["v","w\u0031"],"end_ts":"b","start_ts":"a","full_feature_names":false,"x":1}"#,
            Some("async=true"),
            r#"{"feature_views":["v","w1"],"start_ts":"a","end_ts":"b","full_feature_names":false}?async=true views v,w1"#,
        ),
        (
            more,
            r#"{"feature_views":["v"],"end_ts":"b","start_ts":"a","disable_event_timestamp":true}"#,
            Some("x=1&force=true&async=true"),
            r#"{"feature_views":["v"],"end_ts":"b"}?async=true&force=true views v"#,
        ),
        (more, r#"{"end_ts":"b"}"#, Some("force=true&async=false"), r#"{"end_ts":"b"}?force=true all"#),
        (more, "{}", Some("%61sync=true&ASYNC=true"), "{} all"),
        (more, "{}", Some("async=yes"), "invalid the parameter `async` is neither true nor false"),
        (more, "{}", Some("async"), "invalid the parameter `async` is neither true nor false"),
        (more, "{}", Some("async=true&async=false"), "invalid the parameter `async` stands twice"),
        (more, r#"{"feature_views":[]}"#, None, "invalid `feature_views` is empty"),
        (more, r#"{"feature_views":"v"}"#, None, "invalid `feature_views` is not a list"),
        (more, r#"{"feature_views":[["v"]]}"#, None, "invalid `feature_views` holds something that is no text"),
        (more, r#"{"end_ts":5}"#, None, "invalid `end_ts` is no text"),
        (
            full,
            r#"{"feature_views":["v"],"version":"v2"}"#,
            None,
            "invalid `version` is not followed: it names another view than the one that is known",
        ),
        (full, r#"{"version":null}"#, None, "{} all"),
    ] {
        assert_eq!(sent(kind, body, query), expected, "{body}");
    }
    let many = format!(r#"{{"feature_views":[{}]}}"#, vec!["\"v\""; 10_001].join(","));
    assert_eq!(sent(full, &many, None), "invalid `feature_views` holds more than 10000 views");
}

#[test]
fn what_is_answered_has_one_of_the_known_forms() {
    let written = Written { views: BTreeSet::from(["v".to_owned(), "w".to_owned()]) };
    let push = [Kinds::Push];
    let others = [Kinds::View, Kinds::Materialize, Kinds::Incremental];
    for kind in push.into_iter().chain(others) {
        for (accepted, body, wanted) in [
            (false, "", push.contains(&kind)),
            (false, "null", others.contains(&kind)),
            (false, " null\n", others.contains(&kind)),
            (true, "", push.contains(&kind)),
            (true, "null", false),
            (false, "{}", false),
            (false, "[1]", false),
        ] {
            assert_eq!(verify(kind, accepted, body.as_bytes(), &written).is_ok(), wanted, "{kind:?} {accepted} {body}");
        }
    }
    for (body, expected) in [
        (r#"{"status":"accepted","feature_views":["v"]}"#, "fine"),
        (r#"{"feature_views":["w","v"],"status":"accepted"}"#, "fine"),
        (r#"{"status":"accepted","feature_views":[]}"#, "fine"),
        (r#"{"status":"accepted","feature_views":["v","z"]}"#, "view `z` was not to be written"),
        (
            r#"{"status":"accepted","feature_views":[1]}"#,
            "the answer cannot be read: the value at byte 38 of the json text is not a string",
        ),
        (r#"{"status":"accepted"}"#, "what is answered to a write does not say that it is accepted"),
        (r#"{"status":"done","feature_views":["v"]}"#, "what is answered to a write does not say that it is accepted"),
        (r#"{"status":"accepted","feature_views":["v"],"rows":[1]}"#, "what is answered to a write has `rows`"),
    ] {
        for kind in [Kinds::Materialize, Kinds::Incremental] {
            let said =
                verify(kind, true, body.as_bytes(), &written).map_or_else(|error| error.0, |()| "fine".to_owned());
            assert_eq!(said, expected, "{body}");
        }
        assert!(verify(Kinds::View, true, body.as_bytes(), &written).is_err(), "{body}");
    }
}
