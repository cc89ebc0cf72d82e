//! The layouts of wire-feast.md, section 5.

use super::*;

fn scoped(mut answer: Described, variable: &str, at: &str) -> Described {
    answer.scope.push((variable.to_owned(), pointer(at)));
    answer
}

fn passing(mut answer: Described, pass: &[&str]) -> Described {
    answer.pass = pointers(pass);
    answer
}

fn sparse(answer: Described) -> Described {
    Described { sparse: true, ..answer }
}

const TECTON: &str = r#"{"result":{"features":["1", {"a": [2]}, 0.10]},
 "metadata":{"features":[{"name":"v.a","dataType":{"type":"int64"}},{"name":"v.b","dataType":{}}, {"name":"v.c","status":"PRESENT"}],"sloInfo":{"sloEligible":true}}}"#;

fn tecton_described() -> Vec<Described> {
    let shape = rows("/metadata/features/*/name", "/result/features", &[]);
    vec![passing(plain(shape), &["/metadata/features/*/dataType", "/metadata/sloInfo"])]
}

#[test]
fn tecton() {
    // What is not described, the status of the last one, is dropped; the space before it is the text's own.
    let case = Case::new(tecton_described(), &["v.a", "v.c"], &["v.b"]);
    assert_eq!(
        case.said(TECTON),
        r#"1 {"result":{"features":["1", 0.10]},
 "metadata":{"features":[{"name":"v.a","dataType":{"type":"int64"}}, {"name":"v.c"}],"sloInfo":{"sloEligible":true}}}"#
    );
    let all = Case::new(tecton_described(), &["v.a", "v.b", "v.c"], &[]);
    assert_eq!(all.said(&TECTON.replace(r#","status":"PRESENT""#, "")), "as it came");
    let first = Case::new(tecton_described(), &["v.b"], &["v.a", "v.c"]);
    assert_eq!(
        first.said(TECTON),
        r#"2 {"result":{"features":[ {"a": [2]}]},
 "metadata":{"features":[{"name":"v.b","dataType":{}}],"sloInfo":{"sloEligible":true}}}"#
    );
    let none = Case::new(tecton_described(), &[], &["v.a", "v.b", "v.c"]);
    assert_eq!(
        none.said(TECTON),
        r#"3 {"result":{"features":[]},
 "metadata":{"features":[],"sloInfo":{"sloEligible":true}}}"#
    );
}

#[test]
fn tecton_names_that_were_forced_go_again() {
    let forced = || Case::new(tecton_described(), &["v.a", "v.c"], &["v.b"]).with(&["/metadata/features/*/name"]);
    // Something is left of the first entry, so all of them stay, in step with the values.
    assert_eq!(
        forced().said(TECTON),
        r#"1 {"result":{"features":["1", 0.10]},
 "metadata":{"features":[{"dataType":{"type":"int64"}}, {}],"sloInfo":{"sloEligible":true}}}"#
    );
    let names =
        r#"{"result":{"features":[1,2,3]}, "metadata":{"features":[{"name":"v.a"},{"name":"v.b"},{ "name":"v.c" }]}}"#;
    assert_eq!(forced().said(names), r#"1 {"result":{"features":[1,3]}}"#);
    let slo = names.replace("}]}}", r#"}],"sloInfo":{}}}"#);
    assert_eq!(forced().said(&slo), r#"1 {"result":{"features":[1,3]}, "metadata":{"sloInfo":{}}}"#);
    // The caller had asked for the names.
    let mut asked = forced();
    asked.asked_for = vec![true];
    assert_eq!(
        asked.said(names),
        r#"1 {"result":{"features":[1,3]}, "metadata":{"features":[{"name":"v.a"},{ "name":"v.c" }]}}"#
    );
    // Without them, and nothing to cut, it is as the caller would have had it.
    let all = Case::new(tecton_described(), &["v.a", "v.b", "v.c"], &[]).with(&["/metadata/features/*/name"]);
    assert_eq!(all.said(names), r#"0 {"result":{"features":[1,2,3]}}"#);
    assert_eq!(
        all.said(r#"{"metadata":{"features":[{"name":"v.a"},{"name":"v.b"},{"name":"v.c"}]} , "result":{"features":[1,2,3]}}"#),
        r#"0 { "result":{"features":[1,2,3]}}"#
    );
}

#[test]
fn hopsworks() {
    let one = vec![passing(plain(rows("/metadata/*/featureName", "/features", &[])), &["/status"])];
    let body = r#"{"features":[36,"2022-01-24",null],"metadata":[{"featureName":"a","featureType":"bigint"},{"featureName":"b","featureType":"date"},{"featureName":"pk"}],"status":"COMPLETE"}"#;
    let case = Case::new(one, &["a"], &["b"]).extra(&["pk"]);
    assert_eq!(
        case.said(body),
        r#"1 {"features":[36,null],"metadata":[{"featureName":"a"},{"featureName":"pk"}],"status":"COMPLETE"}"#
    );
    let bare = body.replace(r#","featureType":"bigint""#, "").replace(r#","featureType":"date""#, "");
    assert_eq!(
        case.said(&bare.replace(r#"[{"featureName":"a"},{"featureName":"b"},{"featureName":"pk"}]"#, "null")),
        "unreadable `/features` is there without its names"
    );

    let batch =
        || passing(plain(rows("/metadata/*/featureName", "/features/*", &[])), &["/metadata/*/featureType", "/status"]);
    let body = r#"{"features":[[1,2],[3,{"a":"]"}],null,[ 5 , 6 ]],"metadata":[{"featureName":"a","featureType":"t"},{"featureName":"b"}],"status":["COMPLETE","COMPLETE","MISSING","COMPLETE"]}"#;
    let case = Case::new(vec![batch()], &["b"], &["a"]).with(&["/metadata"]);
    assert_eq!(
        case.said(body),
        r#"1 {"features":[[2],[{"a":"]"}],null,[ 6 ]],"status":["COMPLETE","COMPLETE","MISSING","COMPLETE"]}"#
    );
    assert_eq!(
        case.said(r#"{"features":[[1,2],[3]],"metadata":[{"featureName":"a"},{"featureName":"b"}]}"#),
        "unreadable `/features/*` has 1 entries for 2 names"
    );
    // Statuses beside the values of each row.
    let aligned = vec![plain(rows("/names/*", "/rows/*/values", &["/rows/*/statuses"]))];
    assert_eq!(
        Case::new(aligned, &["b"], &["a"]).said(
            r#"{"rows":[{"values":[1,2],"statuses":["x","y"]},{"values":[3,4],"statuses":null},{}],"names":["a","b"]}"#
        ),
        r#"1 {"rows":[{"values":[2],"statuses":["y"]},{"values":[4],"statuses":null},{}],"names":["b"]}"#
    );
}

#[test]
fn vertex() {
    let alternatives = || vec![plain(records("/keyValues/features/*", "/name")), plain(objects("/protoStruct"))];
    let case = Case::new(alternatives(), &["a", "c"], &["b"]);
    assert_eq!(
        case.said(r#"{"keyValues":{"features":[{"name":"b","value":{"int64Value":"1"}},{"name":"a","value":{"doubleValue":1e400}},{"value":{},"name":"c"}]}}"#),
        r#"1 {"keyValues":{"features":[{"name":"a","value":{"doubleValue":1e400}},{"value":{},"name":"c"}]}}"#
    );
    assert_eq!(
        case.said(r#"{ "protoStruct": {"a": 1.50, "\u0062": "x", "c": [ ]} ,"extra":1 }"#),
        r#"1 { "protoStruct": {"a": 1.50, "c": [ ]} }"#
    );
    assert_eq!(case.said(r#"{"protoStruct":{"a":1,"c":2}}"#), "as it came");
    assert_eq!(
        case.said(r#"{"data":{"a":1}}"#),
        "unreadable the answer has no features at `/keyValues/features/*` or `/protoStruct`"
    );
    assert_eq!(
        case.said(r#"{"keyValues":{}}"#),
        "unreadable the answer has no features at `/keyValues/features/*` or `/protoStruct`"
    );
    // Streamed: a list of answers.
    let streamed =
        vec![plain(records("/*/data/*/keyValues/features/*", "/name")), plain(objects("/*/data/*/protoStruct"))];
    let case = Case::new(streamed, &["a"], &["b"]);
    assert_eq!(
        case.said(
            r#"[{"data":[{"keyValues":{"features":[{"name":"a"},{"name":"b"}]}},{"protoStruct":{"b":1,"a":2}}]},
 {"data":[]},{"status":{}}]"#
        ),
        r#"1 [{"data":[{"keyValues":{"features":[{"name":"a"}]}},{"protoStruct":{"a":2}}]},
 {"data":[]},{}]"#
    );
    assert_eq!(case.said("[]"), "as it came");
    assert_eq!(case.said("{}"), "unreadable `` is no list");
}

#[test]
fn legacy_vertex() {
    let described = passing(
        plain(rows("/header/featureDescriptors/*/id", "/entityView/data", &[])),
        &["/entityView/entityId", "/header/entityType"],
    );
    assert_eq!(
        Case::new(vec![described], &["a"], &["b"]).said(
            r#"{"header":{"entityType":"t","featureDescriptors":[{"id":"a"},{"id":"b"}]},"entityView":{"entityId":"e","data":[{"value":{"int64Value":"1"}},{"value":{}}]}}"#
        ),
        r#"1 {"header":{"entityType":"t","featureDescriptors":[{"id":"a"}]},"entityView":{"entityId":"e","data":[{"value":{"int64Value":"1"}}]}}"#
    );
}

#[test]
fn sagemaker() {
    let one = passing(sparse(plain(records("/Record/*", "/FeatureName"))), &["/ExpiresAt"]);
    let case = Case::new(vec![one], &["a", "c"], &["b"]).extra(&["id"]);
    let body = r#"{"Record":[{"FeatureName":"id","ValueAsString":"1"},{"FeatureName":"a","ValueAsString":"2"},{"FeatureName":"b","ValueAsString":"3"}],"ExpiresAt":"t"}"#;
    assert_eq!(
        case.said(body),
        r#"1 {"Record":[{"FeatureName":"id","ValueAsString":"1"},{"FeatureName":"a","ValueAsString":"2"}],"ExpiresAt":"t"}"#
    );
    assert_eq!(case.said(r#"{"Record":null}"#), "as it came");
    // The features that may be missing are all of them, and so is the place where they would be.
    assert_eq!(case.said("{}"), "as it came");
    assert_eq!(case.said(r#"{"Records":[{"FeatureName":"b"}]}"#), "0 {}");
    assert_eq!(
        case.said(&body.replace(r#""FeatureName":"b""#, r#""FeatureName":"d""#)),
        "unreadable column `d` of `/Record/*` was not asked for"
    );

    let batch = || {
        let answer =
            scoped(plain(records("/Records/*/Record/*", "/FeatureName")), "group", "/Records/*/FeatureGroupName");
        vec![passing(answer, &["/Records/*/RecordIdentifierValueAsString", "/UnprocessedIdentifiers"])]
    };
    let case = Case::new(batch(), &["g/a", "h/b"], &["g/b", "h/a"]);
    // The group stands before its records, and behind them.
    let body = r#"{"Records":[{"FeatureGroupName":"g","RecordIdentifierValueAsString":"1","Record":[{"FeatureName":"a","V":1},{"FeatureName":"b","V":2}]},
 {"Record":[{"FeatureName":"a","V":3},{"FeatureName":"b","V":4}],"FeatureGroupName":"\u0068"}],"Errors":[{"ErrorMessage":"x"}],"UnprocessedIdentifiers":[]}"#;
    assert_eq!(
        case.said(body),
        r#"2 {"Records":[{"FeatureGroupName":"g","RecordIdentifierValueAsString":"1","Record":[{"FeatureName":"a","V":1}]},
 {"Record":[{"FeatureName":"b","V":4}],"FeatureGroupName":"\u0068"}],"UnprocessedIdentifiers":[]}"#
    );
    // Every column of an answer is told to a judge that keeps all.
    let mut found = Vec::new();
    let mut note = |column: &Column<'_>| {
        found.push(format!("{:?} {}", column.scope, column.name));
        Some(Fate::Keep)
    };
    let layout = Layout::new(&batch(), &[]).unwrap();
    cut(body.as_bytes(), &layout, &Want { kept: &|_| None, asked_for: &[] }, &mut note).unwrap();
    assert_eq!(
        found,
        [r#"[("group", "g")] a"#, r#"[("group", "g")] b"#, r#"[("group", "h")] a"#, r#"[("group", "h")] b"#]
    );
    assert_eq!(
        case.said(&body.replace(r#""FeatureGroupName":"g","#, "")),
        "unreadable the variable `group` of `/Records/*/Record/*` is missing or no text"
    );
    // Two that a reader could choose from; the key is not shown, it may be one of a value.
    assert_eq!(
        case.said(&body.replace(r#""FeatureGroupName":"g","#, r#""FeatureGroupName":"g","FeatureGroupName":"h","#)),
        "unreadable the answer is not read: a key at byte 36 of the json text stands twice"
    );
    assert_eq!(
        case.said(r#"{"Records":[{"Record":null,"FeatureGroupName":null}]}"#),
        "unreadable `/Records/*/FeatureGroupName` is no text"
    );
    // Only of the second one: what the first one said does not hold on.
    assert_eq!(
        case.said(&body.replace(r#","FeatureGroupName":"\u0068""#, "")),
        "unreadable the variable `group` of `/Records/*/Record/*` is missing or no text"
    );
    assert_eq!(
        case.said(&body.replace(r#"{"FeatureName":"a","V":1},"#, "")),
        "unreadable 1 columns were asked for and `/Records/*/Record/*` has 0 of them"
    );
}

#[test]
fn records_that_say_their_variable_themselves() {
    let answer = || vec![scoped(plain(records("/values/*", "/name")), "view", "/values/*/of/view")];
    let case = Case::new(answer(), &["v/a", "w/b"], &["w/a"]);
    let body = r#"{"values":[{"name":"a","of":{"view":"v"},"value":1},{"name":"a","of":{"view":"w"},"value":2},{"name":"b","of":{"view":"w"},"value":3}]}"#;
    assert_eq!(
        case.said(body),
        r#"1 {"values":[{"name":"a","of":{"view":"v"},"value":1},{"name":"b","of":{"view":"w"},"value":3}]}"#
    );
    assert_eq!(
        case.said(&body.replace(r#""view":"v""#, r#""view":"w""#)),
        "unreadable column `a` of `/values/*` stands twice"
    );
    assert_eq!(
        case.said(&body.replace(r#""of":{"view":"v"}"#, r#""of":"v""#)),
        "unreadable the variable `view` of `/values/*` is missing or no text"
    );
    assert_eq!(
        case.said(&body.replace(r#",{"name":"b","of":{"view":"w"},"value":3}"#, "")),
        "unreadable 1 columns were asked for and `/values/*` has 0 of them"
    );
}

#[test]
fn databricks() {
    let described = || vec![plain(objects("/outputs/*"))];
    let case = Case::new(described(), &["a", "c"], &["b"]).extra(&["id"]);
    assert_eq!(
        case.said(r#"{"outputs":[{"id":1,"a":0.10000000000000000001,"b":2,"c":null},{"b":{"a":1},"c":[1],"a":-0}, null, {"a":1,"c":2,"b":3}]}"#),
        r#"1 {"outputs":[{"id":1,"a":0.10000000000000000001,"c":null},{"c":[1],"a":-0}, null, {"a":1,"c":2}]}"#
    );
    assert_eq!(
        case.said(r#"{"outputs":[{"a":1,"b":2}]}"#),
        "unreadable 2 columns were asked for and `/outputs/*` has 1 of them"
    );
    assert_eq!(
        Case::new(vec![sparse(described().remove(0))], &["a", "c"], &["b"]).said(r#"{"outputs":[{"a":1,"b":2},{}]}"#),
        r#"1 {"outputs":[{"a":1},{}]}"#
    );
    // The whole body, and the elements of a list.
    assert_eq!(Case::new(vec![plain(objects(""))], &["a"], &["b"]).said(r#" {"b":1,"a":2} "#), r#"1  {"a":2} "#);
    assert_eq!(
        Case::new(vec![plain(objects("/*"))], &["a"], &["b"]).said(r#"[{"b":1,"a":2},{"a":3}]"#),
        r#"1 [{"a":2},{"a":3}]"#
    );
}

#[test]
fn tables_of_pandas() {
    let described = passing(plain(rows("/columns/*", "/data/*", &[])), &["/index"]);
    let case = Case::new(vec![described], &["a", "c"], &["b"]);
    assert_eq!(
        case.said(r#"{"columns":["a","b","c"],"index":[0,1],"data":[[1,2,3],[4,5,6]]}"#),
        r#"1 {"columns":["a","c"],"index":[0,1],"data":[[1,3],[4,6]]}"#
    );
    assert_eq!(case.said(r#"{"columns":["a","b","c"],"data":[]}"#), r#"1 {"columns":["a","c"],"data":[]}"#);
}

#[test]
fn feast() {
    let described = columns("/metadata/feature_names/*", "/results", &[]);
    let case = Case::new(vec![plain(described)], &["v__a", "v__c"], &["v__b"]).extra(&["id"]);
    assert_eq!(
        case.said(
            r#"{"metadata":{"feature_names":["id","v__a","v__b","v__c"]},"results":[{"values":[1]},{"values":[2],"statuses":["PRESENT"]},{"values":[3]},{"values":[4]}]}"#
        ),
        r#"1 {"metadata":{"feature_names":["id","v__a","v__c"]},"results":[{"values":[1]},{"values":[2],"statuses":["PRESENT"]},{"values":[4]}]}"#
    );
}

#[test]
fn columns_with_lists_beside_them() {
    let described = columns("/names/*", "/values", &["/types", "/more/times"]);
    let case = Case::new(vec![plain(described)], &["a"], &["b", "c"]);
    let body = r#"{"values":[[1,1],[2,2],[3,3]],"types":["x","y","z"],"names":["b","a","c"],"more":{"times":[1,2,3]}}"#;
    assert_eq!(case.said(body), r#"2 {"values":[[2,2]],"types":["y"],"names":["a"],"more":{"times":[2]}}"#);
    assert_eq!(
        case.said(&body.replace(r#","more":{"times":[1,2,3]}"#, "")),
        r#"2 {"values":[[2,2]],"types":["y"],"names":["a"]}"#
    );
    assert_eq!(case.said(&body.replace(r#","z""#, "")), "unreadable `/types` has 2 entries for 3 names");
    assert_eq!(case.said(&body.replace("[1,2,3]", "[1,2,3,4]")), "unreadable `/more/times` has 4 entries for 3 names");
    assert_eq!(case.said(&body.replace("values", "other")), "unreadable `/names/*` is there and `/values` is missing");
}
