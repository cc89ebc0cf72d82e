//! What is refused, and with which words.

use super::*;

#[test]
fn an_empty_registry_is_refused() {
    let message = "the registry has no features, or the project does not exist";
    assert_eq!(refused(json!({})), message);
    assert_eq!(refused(json!({"featureViews": [], "entities": [entity("e", "id")]})), message);
    assert_eq!(refused(json!({"featureViews": [view("v", &[], json!({}))]})), message);
    let unknown_project = rest(
        json!({"featureViews": [], "pagination": {}}),
        json!({"featureServices": [], "pagination": {}}),
        json!({"entities": [], "pagination": {}}),
    );
    assert_eq!(unknown_project.unwrap_err(), ImportError::Empty);
}

#[test]
fn malformed_json_names_its_line_and_column() {
    let refused = |text: &str| from_registry_dump(text.as_bytes(), &Options::default()).unwrap_err().to_string();
    let what = "the registry dump does not read as JSON:";
    assert_eq!(refused(""), format!("{what} it ends too early, at line 1 column 0"));
    assert_eq!(refused("{\"a\":\n  [1"), format!("{what} it ends too early, at line 2 column 4"));
    assert_eq!(refused("{\"a\":\n tru}"), format!("{what} it breaks off at line 2 column 5"));
    assert_eq!(refused("{} {}"), format!("{what} it breaks off at line 1 column 4"));
    let deep = "[".repeat(100_000);
    assert_eq!(refused(&deep), format!("{what} it breaks off at line 1 column 128"));
    let not_utf8 = from_registry_dump(b"{\"a\":\"\xff\"}", &Options::default()).unwrap_err();
    assert_eq!(not_utf8.to_string(), format!("{what} it breaks off at line 1 column 7"));
    let views = from_rest(VIEWS, b"nope", ENTITIES, &Options::default()).unwrap_err();
    assert_eq!(
        views.to_string(),
        "the answer to `/feature_services` does not read as JSON: it breaks off at line 1 column 2"
    );
}

#[test]
fn a_key_that_stands_twice_is_refused() {
    let text = br#"{"featureViews": [{"spec": {"name": "v", "features": [], "name": "w"}}]}"#;
    let error = from_registry_dump(text, &Options::default()).unwrap_err();
    let message = "the registry dump does not read as JSON: the key `name` stands twice at line 1 column 63";
    assert_eq!(error.to_string(), message);
    // Escapes hide nothing.
    let text = br#"{"tags": {"pii": "true", "\u0070ii": "false"}}"#;
    let error = from_registry_dump(text, &Options::default()).unwrap_err();
    assert!(error.to_string().contains("the key `pii` stands twice"), "{error}");
}

#[test]
fn errors_name_the_place() {
    let good = || view("v", &["a"], json!({}));
    let spec = |spec: Value| json!({"featureViews": [good(), {"spec": spec}]});
    let source = |source: Value| json!({"featureViews": [good()], "onDemandFeatureViews": [on_demand("o", source)]});
    let services = |s: Value| json!({"featureViews": [good()], "featureServices": [s]});
    for (dump, message) in [
        (json!([]), "`registry dump` is not an object"),
        (json!({"featureViews": {}}), "`featureViews` is not a list"),
        (json!({"featureViews": [null]}), "`featureViews[0]` is not an object"),
        (json!({"featureViews": [good(), {}]}), "`featureViews[1].spec` is missing"),
        (spec(json!({})), "`featureViews[1].spec.name` is missing"),
        (spec(json!({"name": 3})), "`featureViews[1].spec.name` is not a string"),
        (spec(json!({"name": ""})), "`featureViews[1].spec.name` is an empty name"),
        (spec(json!({"name": "w", "features": [{}]})), "`featureViews[1].spec.features[0].name` is missing"),
        (spec(json!({"name": "w", "tags": []})), "`featureViews[1].spec.tags` is not an object"),
        (spec(json!({"name": "w", "tags": {"a": 1}})), "`featureViews[1].spec.tags.a` is not a string"),
        (spec(json!({"name": "w", "entities": "e"})), "`featureViews[1].spec.entities` is not a list"),
        (spec(json!({"name": "w", "batchSource": 1})), "`featureViews[1].spec.batchSource` is not an object"),
        (
            spec(json!({"name": "w", "sourceViews": [{"name": "ghost"}]})),
            "`featureViews[1].spec.sourceViews[0]` reads the view `ghost`, which the registry does not list",
        ),
        (
            source(json!({"g": {"featureViewProjection": projection("ghost", &[])}})),
            "`onDemandFeatureViews[0].spec.sources.g.featureViewProjection` reads the view `ghost`, which the registry does not list",
        ),
        (
            source(json!({"g": {"sqlSource": {}}})),
            "`onDemandFeatureViews[0].spec.sources.g` is a source of an unknown kind, so that its inputs cannot be told",
        ),
        (
            source(json!({"g": {"featureView": {}}})),
            "`onDemandFeatureViews[0].spec.sources.g.featureView.spec` is missing",
        ),
        (
            json!({"onDemandFeatureViews": [view("o", &["a"], json!({"writeToOnlineStore": "yes"}))]}),
            "`onDemandFeatureViews[0].spec.writeToOnlineStore` is not true or false",
        ),
        (
            json!({"featureViews": [good()], "entities": [{"spec": {"name": "e"}}]}),
            "`entities[0].spec.joinKey` is missing",
        ),
        (services(json!({"spec": {}})), "`featureServices[0].spec.name` is missing"),
        (services(service("s", json!([{}]))), "`featureServices[0].spec.features[0].featureViewName` is missing"),
        (
            services(service("s", json!([{"featureViewName": "v", "versionTag": "2"}]))),
            "`featureServices[0].spec.features[0].versionTag` is not a whole number",
        ),
        (
            services(service("s", json!([{"featureViewName": "v", "joinKeyMap": {"a": ""}}]))),
            "`featureServices[0].spec.features[0].joinKeyMap.a` is an empty name",
        ),
        (json!({"featureViews": [good()], "dataSources": [{"name": []}]}), "`dataSources[0].name` is not a string"),
    ] {
        assert_eq!(refused(dump), message);
    }
}

#[test]
fn a_name_that_stands_twice_is_refused() {
    let v = || view("v", &["a"], json!({}));
    let s = || service("s", json!([projection("v", &["a"])]));
    for (dump, message) in [
        (
            json!({"featureViews": [v(), v()]}),
            "`featureViews[1].spec.name` is the name `v` again, after `featureViews[0].spec.name`",
        ),
        (
            json!({"featureViews": [v()], "onDemandFeatureViews": [on_demand("v", json!({}))]}),
            "`onDemandFeatureViews[0].spec.name` is the name `v` again, after `featureViews[0].spec.name`",
        ),
        (
            json!({"featureViews": [view("v", &["a", "a"], json!({}))]}),
            "`featureViews[0].spec.features[1].name` is the name `a` again, after `featureViews[0].spec.features[0].name`",
        ),
        (
            json!({"featureViews": [v()], "featureServices": [s(), s()]}),
            "`featureServices[1].spec.name` is the name `s` again, after `featureServices[0].spec.name`",
        ),
        (
            json!({"featureViews": [v()], "entities": [entity("e", "a"), entity("e", "b")]}),
            "`entities[1].spec.name` is the name `e` again, after `entities[0].spec.name`",
        ),
        (
            json!({"featureViews": [v()], "entities": [entity("e", "v")]}),
            "`entities[0].spec.joinKey` is the key `v`, which is the name of a view too",
        ),
        (
            json!({"featureViews": [view("v", &["a"], json!({"entityColumns": [{"name": "v:a"}]}))]}),
            "`featureViews[0].spec.entityColumns[0].name` is the key `v:a`, which is the name of a feature too",
        ),
    ] {
        assert_eq!(refused(dump), message);
    }
}

#[test]
fn a_name_that_a_catalogue_would_misread_is_refused() {
    let message =
        |place: &str, c: &str| format!("`{place}` is a name with `{c}` in it, which a catalogue would misread");
    for (name, shown) in [("a:b", ":"), ("a@v1", "@"), ("a*", "*"), ("a\nb", "\\n")] {
        let dump = json!({"featureViews": [view(name, &["a"], json!({}))]});
        assert_eq!(refused(dump), message("featureViews[0].spec.name", shown));
    }
    let dump = json!({"featureViews": [view("v", &["a.*"], json!({}))]});
    assert_eq!(refused(dump), message("featureViews[0].spec.features[0].name", "*"));
    let dump = json!({"featureViews": [view("v", &["a"], json!({}))], "entities": [entity("e", "*")]});
    assert_eq!(refused(dump), message("entities[0].spec.joinKey", "*"));
    // A segment of its own in a feature's name is none of our business.
    let import = dump_of_one("v", "a.b:c");
    assert!(import.catalogue.features.contains_key("v:a.b:c"));
}

fn dump_of_one(view_name: &str, column: &str) -> Import {
    dump(json!({"featureViews": [view(view_name, &[column], json!({}))]}))
}

#[test]
fn an_answer_that_is_not_the_whole_list_is_refused() {
    let one =
        || json!({"featureViews": [view("v", &["a"], json!({}))], "pagination": {"totalCount": 1, "totalPages": 1}});
    let none = |list: &str| json!({list: [], "pagination": {}});
    assert!(rest(one(), none("featureServices"), none("entities")).is_ok());

    let mut page = one();
    page["pagination"] = json!({"totalCount": 8, "totalPages": 4});
    let error = rest(page, none("featureServices"), none("entities")).unwrap_err();
    assert_eq!(error.to_string(), "the answer to `/feature_views` is one page of 4: the whole list is needed");

    let failed = json!({"status_code": 404, "detail": "no such project"});
    let error = rest(one(), failed.clone(), none("entities")).unwrap_err();
    assert_eq!(error.to_string(), "`featureServices` is missing");
    let error = rest(failed, none("featureServices"), none("entities")).unwrap_err();
    assert_eq!(error.to_string(), "`featureViews` is missing");
    // Another question's answer.
    let error = rest(one(), none("featureServices"), one()).unwrap_err();
    assert_eq!(error.to_string(), "`entities` is missing");
}

#[test]
fn messages_keep_strange_names_on_one_line_and_short() {
    let long = "x".repeat(1000);
    let import = dump(json!({"featureViews": [view("v", &["a"], json!({"entities": ["two\nlines", long]}))]}));
    let head = "the view `v` is of the entity";
    let tail = "which the registry does not list: its join key is not known";
    let cut = "x".repeat(128);
    assert_eq!(import.warnings, [format!("{head} `two\\nlines`, {tail}"), format!("{head} `{cut}...`, {tail}")]);
    let dump = json!({"featureViews": [{"spec": {"name": "v", "tags": {"two\nlines": 1}}}]});
    assert_eq!(refused(dump), "`featureViews[0].spec.tags.two\\nlines` is not a string");
}

/// Every value of a registry of all kinds, replaced by one of another type in turn: there is an
/// error or a catalogue, and no message has the code of a feature in it.
#[test]
fn whatever_is_wrong_the_code_stays_out_of_the_message() {
    let function = json!({"userDefinedFunction": {"name": "f", "body": CODE, "bodyText": CODE}});
    let mut stored = on_demand(
        "o",
        json!({
            "v": {"featureViewProjection": projection("v", &["a"])},
            "r": {"requestDataSource": {"requestDataOptions": {"schema": [{"name": "basket"}]}}},
        }),
    );
    stored["spec"]["featureTransformation"] = function.clone();
    stored["spec"]["writeToOnlineStore"] = json!(true);
    let source = json!({"name": "s", "type": "BATCH_FILE", "tags": {"a": "b"}});
    let more = json!({
        "tags": {"pii": "true"}, "entities": ["e"], "entityColumns": [{"name": "id"}], "batchSource": source,
        "streamSource": {"name": "p", "type": "PUSH_SOURCE", "batchSource": source}, "featureTransformation": function,
    });
    let mut pair = projection("v", &["a"]);
    pair["featureViewNameAlias"] = json!("buyer");
    pair["joinKeyMap"] = json!({"id": "buyer_id"});
    let whole = json!({
        "entities": [entity("e", "id")],
        "featureViews": [view("v", &["a", "b"], more), view("w", &["c"], json!({"sourceViews": [{"name": "v"}]}))],
        "onDemandFeatureViews": [stored],
        "featureServices": [service("s", json!([pair, projection("o", &["out"])]))],
        "dataSources": [source],
    });
    assert_eq!(dump(whole.clone()).warnings, Vec::<String>::new());
    let mut places = Vec::new();
    pointers(&whole, String::new(), &mut places);
    assert!(places.len() > 80, "{}", places.len());
    let mut errors = 0;
    for place in &places {
        for other in [Value::Null, json!(7), json!(CODE), json!([CODE]), json!({"name": [CODE]})] {
            let mut wrong = whole.clone();
            *wrong.pointer_mut(place).unwrap() = other;
            match try_dump(&wrong) {
                // A name may be any string, so that a message may show it there.
                _ if wrong.pointer(place) == Some(&json!(CODE)) => {}
                Ok(import) => assert!(import.warnings.iter().all(|w| !w.contains(CODE)), "{place}"),
                Err(error) => {
                    errors += 1;
                    let message = error.to_string();
                    assert!(!message.contains(CODE) && !message.contains('\n'), "{place}: {message}");
                }
            }
        }
    }
    assert!(errors > 100, "{errors}");
    let text = whole.to_string();
    for cut in 0..text.len() {
        let error = from_registry_dump(&text.as_bytes()[..cut], &Options::default()).unwrap_err().to_string();
        assert!(!error.contains(CODE) && error.starts_with("the registry dump does not read as JSON"), "{error}");
    }
}

/// The JSON pointer of every value below one.
fn pointers(value: &Value, here: String, into: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Array(items) => items.iter().enumerate().map(|(i, v)| (i.to_string(), v)).collect(),
        Value::Object(fields) => fields.iter().map(|(k, v)| (k.replace('~', "~0").replace('/', "~1"), v)).collect(),
        _ => Vec::new(),
    };
    for (name, child) in children {
        let place = format!("{here}/{name}");
        into.push(place.clone());
        pointers(child, place, into);
    }
}
