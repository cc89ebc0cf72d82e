use std::sync::Arc;

use super::load;
use crate::diagnostic::{Diagnostic, SourceFile};
use crate::dialect::json::description::{Description, Method, Place, Shape, Takes, Unnamed};
use crate::dialect::json::pointer::Pointer;

fn source(text: &str) -> Arc<SourceFile> {
    Arc::new(SourceFile { name: "dialect.yaml".into(), text: text.into() })
}

fn good(text: &str) -> Description {
    let (description, report) = load(&source(text));
    assert!(report.diagnostics.is_empty(), "{report}");
    description.unwrap()
}

/// What is said of a text: `line:column code: message`.
fn said(text: &str) -> Vec<String> {
    let (description, report) = load(&source(text));
    assert_eq!(description.is_none(), report.has_errors());
    let said = |d: &Diagnostic| {
        let help = d.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        format!("{}:{} {}: {}{help}", d.place.line, d.place.column, d.code, d.message)
    };
    report.diagnostics.iter().map(said).collect()
}

/// A route that is right, but for `more`, which stands in line 4.
fn route(more: &str) -> String {
    let rest = |key: &str, text: &str| {
        if more.split(", ").any(|part| part.starts_with(&format!("{key}:"))) { "" } else { text }.to_owned()
    };
    let request = rest("request", ", request: {outputs: {body: /features/*}}");
    let answer = rest("answer", ", answer: {shape: objects, at: /results/*}");
    let path = rest("path", ", path: '/v1/{view}'");
    format!("version: 1\nroutes:\n- {{\n{more}{path}{request}{answer}}}\n")
}

fn pointer(text: &str) -> Pointer {
    Pointer::parse(text).unwrap()
}

#[test]
fn the_whole_format_is_read() {
    let description = good(
        r#"version: 1
health: /health
routes:
  - path: /v1/featureViews/{view}:fetchFeatureValues
    method: POST
    names: "{workspace}:{view}:{name}"
    scope: {workspace: {body: /params/workspaceName}}
    unnamed: filter
    request:
      untouched: false
      outputs: {body: /features/*}
      bundle: {body: /params/featureServiceName}
      supplied:
        - {body: /params/joinKeyMap}
        - {body: /passedFeatures, takes: any, names: "{view}:{name}"}
        - {query: customer_id, names: customer_id}
      force:
        - {at: /params/metadataOptions/includeNames, value: true, adds: [/metadata/features/*/name]}
        - {at: /options, value: {a: [1, 0.5, x, null]}}
        - {at: /nothing, value: null}
      pass: [/params/requestContextMap]
      pass_query: [page]
    answer:
      shape: rows
      at: /result/features
      names: /metadata/features/*/name
      aligned: [/result/statuses]
      keep: [customer_id]
      sparse: false
      pass: [/status, /metadata/sloInfo]
  - path: /FeatureGroup
    method: GET
    names: "{group}:{name}"
    unnamed: filter
    request: {untouched: true}
    answer:
      - {shape: records, at: "/Records/*/Record/*", names: /FeatureName, scope: {group: "/Records/*/FeatureGroupName"}, sparse: true}
      - {shape: objects, at: /one, scope: {group: /of/name}}
      - {shape: columns, at: /results, names: "/names/*", scope: {group: /of/deeper}}
"#,
    );
    assert_eq!(description.health.as_deref(), Some("/health"));
    let [one, two] = description.routes.as_slice() else { panic!("{description:?}") };
    let segments: Vec<String> = one.segments.iter().map(ToString::to_string).collect();
    assert_eq!(segments, ["v1", "featureViews", "{view}:fetchFeatureValues"]);
    assert_eq!(
        (one.method, one.unnamed, one.names.to_string()),
        (Method::Post, Unnamed::Filter, "{workspace}:{view}:{name}".into())
    );
    assert_eq!(one.scope, [("workspace".into(), Place::Body(pointer("/params/workspaceName")))]);
    let request = &one.request;
    assert_eq!(request.outputs, Some(Place::Body(pointer("/features/*"))));
    assert_eq!(request.bundle, Some(Place::Body(pointer("/params/featureServiceName"))));
    let supplied: Vec<_> = request.supplied.iter().map(|s| (s.at.clone(), s.names.to_string(), s.takes)).collect();
    assert_eq!(
        supplied,
        [
            (Place::Body(pointer("/params/joinKeyMap")), "{name}".into(), Takes::Keys),
            (Place::Body(pointer("/passedFeatures")), "{view}:{name}".into(), Takes::Any),
            (Place::Query("customer_id".into()), "customer_id".into(), Takes::Keys),
        ]
    );
    let values: Vec<&str> = request.force.iter().map(|force| force.value.as_str()).collect();
    assert_eq!(values, ["true", r#"{"a":[1,0.5,"x",null]}"#, "null"]);
    assert_eq!(request.force[0].adds, [pointer("/metadata/features/*/name")]);
    assert_eq!((request.pass.len(), request.pass_query.as_slice()), (1, &["page".to_owned()][..]));
    let names = pointer("/metadata/features/*/name");
    let aligned = vec![pointer("/result/statuses")];
    assert_eq!(one.answers[0].shape, Shape::Rows { names, at: pointer("/result/features"), aligned });
    assert_eq!((one.answers[0].keep.as_slice(), one.answers[0].pass.len()), (&["customer_id".to_owned()][..], 2));
    assert_eq!((two.method, two.request.untouched, two.answers.len()), (Method::Get, true, 3));
    assert_eq!(
        two.answers[0].shape,
        Shape::Records { at: pointer("/Records/*/Record/*"), name: pointer("/FeatureName") }
    );
    assert_eq!(two.answers[0].scope, [("group".into(), pointer("/Records/*/FeatureGroupName"))]);
    assert!(two.answers[0].sparse && !one.answers[0].sparse);
    assert_eq!(two.answers[1].shape, Shape::Objects { at: pointer("/one") });
    good(&route("unnamed: reject"));
}

#[test]
fn every_mistake_of_a_file_is_told_at_its_place() {
    for (text, expected) in [
        ("[]\n", vec!["1:1 wrong-kind: the description is a list, not a map"]),
        ("version: 1\n", vec!["1:1 missing: `routes` is missing: a list of what is asked, and how it is answered"]),
        ("version: 1\nroutes: []\n", vec!["2:9 empty: `routes` is empty, so nothing would be served"]),
        (
            "version: 2\nhealth: /a b\nrouts: []\nroutes: {}\n",
            vec![
                "1:10 version: `version` is not 1, the only one there is",
                "2:9 route: `health` is `/a b`, no plain path such as `/health`",
                "3:1 unknown-key: unknown key `routs` in the description (did you mean `routes`?)",
                "4:9 wrong-kind: `routes` is a map, not a list",
            ],
        ),
        (
            "version: 1\nhealth: /x\nroutes:\n- {path: /x, method: GET, unnamed: filter, answer: {shape: objects, at: ''}}\n\
             - {path: '/{a}/b', unnamed: filter, answer: {shape: objects, at: ''}}\n\
             - {path: '/{b}/b', unnamed: filter, answer: {shape: objects, at: ''}}\n\
             - {path: '/{b}/b', method: GET, unnamed: filter, answer: {shape: objects, at: ''}}\n",
            vec![
                "2:9 description: `/x` is a route too, and a health check tells nothing but a status",
                "6:3 duplicate-name: `/{b}/b` is the path of the route in line 5 too",
            ],
        ),
        (
            "version: 1\nroutes:\n- {method: PUT, unnamed: filtr, answers: []}\n",
            vec![
                "3:3 missing: a route has no `path`",
                "3:3 missing: a route has no `answer`: where its features stand",
                "3:12 unknown-word: `method` is `PUT`, not one of `POST`, `GET`",
                "3:26 unknown-word: `unnamed` is `filtr`, not one of `reject`, `filter` (did you mean `filter`?)",
                "3:33 unknown-key: unknown key `answers` in a route (did you mean `answer`?)",
            ],
        ),
    ] {
        assert_eq!(said(text), expected, "{text}");
    }
}

#[test]
fn every_mistake_of_a_route_is_told_at_its_place() {
    for (more, expected) in [
        ("path: v1", vec!["4:7 route: `path` is `v1`, no plain path such as `/v1/{view}:fetch`"]),
        ("path: '/{a}/{a}'", vec!["4:7 description: `{a}` stands twice in `path`"]),
        ("path: '/{a'", vec!["4:7 description: `path`: `{a` has a brace without its other one"]),
        (
            "path: '/{name}'",
            vec!["4:7 description: `{name}` in `path` is no variable: it is what the wire calls each feature"],
        ),
        (
            "names: '{name}{view}'",
            vec!["4:8 description: `names`: `{view}` follows another variable with nothing between them"],
        ),
        ("names: '{view}'", vec!["4:8 description: `names` is `{view}` without `{name}`, so all names would be one"]),
        (
            "names: '{veiw}:{name}'",
            vec![
                "4:8 unknown-variable: nothing gives `{veiw}`: it would come from `path`, `scope` or the `scope` of the answer (did you mean `{view}`?)",
            ],
        ),
        (
            "scope: {view: {query: v}, a-b: {body: /x/*}, name: {}, c: {path: view, body: /c}}",
            vec![
                "4:9 description: `scope.view` is given by another place of the route already",
                "4:27 description: `scope.a-b` is no variable: write letters, digits and `_`",
                "4:39 description: `body` of variable `a-b` is `/x/*`, which points with `*` at several places, and one is read",
                "4:46 description: `scope.name` is no variable to be given: it is what the wire calls each feature",
                "4:52 description: variable `name` names not exactly one of `body`, `query`",
                "4:60 unknown-key: unknown key `path` in variable `c`",
            ],
        ),
        (
            "request: {outputs: {body: /features}, bundle: {body: '/b/*'}, split: x}",
            vec![
                "4:27 description: `body` of `outputs` is `/features`, which has not exactly one `*`, for each output of a list",
                "4:54 description: `body` of `bundle` is `/b/*`, which points with `*` at several places, and one is read",
                "4:63 unknown-key: unknown key `split` in `request`",
            ],
        ),
        (
            "request: {outputs: {body: '/f/*', query: f}, bundle: {path: veiw}}",
            vec![
                "4:20 description: `outputs` names not exactly one of `body`, `query`, `path`",
                "4:61 unknown-variable: `path` of `bundle` is `veiw`, no variable of `path` (did you mean `view`?)",
            ],
        ),
        (
            "scope: {v: {body: /v}}, request: {bundle: {names: '{view}/{w}', body: /b}}",
            vec![
                "4:43 description: `bundle` stands at one place or is made by `names`, and not both",
                "4:51 unknown-variable: nothing gives `{w}`: it would come from `path` or `scope` (did you mean `{v}`?)",
            ],
        ),
        (
            "request: {bundle: {names: all}, supplied: [{body: /k}]}",
            vec!["4:27 description: `names` of `bundle` is `all` without a variable, so all requests would be one"],
        ),
        (
            "request: {bundle: {names: '{view}/{name}'}}",
            vec![
                "4:27 description: `{name}` in `names` of `bundle` is what the wire calls each feature, and no bundle",
            ],
        ),
        (
            "request: {outputs: {body: '/f/*', split: ','}}",
            vec!["4:42 description: `split` goes with `query`: a list and a variable need none"],
        ),
        (
            "request: {outputs: {body: features.0}}",
            vec![
                "4:27 description: `body` of `outputs` is `features.0`, no pointer such as `/result/features/*` (did you mean `/features.0`?)",
            ],
        ),
        (
            "request: {}",
            vec![
                "3:3 description: a request can name neither outputs nor a bundle here, so every one would be refused (say where in `request`, or `unnamed: filter`)",
            ],
        ),
        (
            "request: {untouched: true, bundle: {path: view}, force: [{at: /a, value: 1}], pass: [/b], pass_query: [c]}",
            vec![
                "4:50 description: `force` would change a request that goes upstream `untouched`",
                "4:79 description: `pass` says nothing of a request that goes upstream `untouched`",
                "4:91 description: `pass_query` says nothing of a request that goes upstream `untouched`",
            ],
        ),
        (
            "method: GET, request: {outputs: {body: '/f/*'}, supplied: [{body: /k}], force: [{at: /a, value: 1}], pass: [/b]}",
            vec![
                "4:40 description: `body` of `outputs` is in a body, and a GET has none",
                "4:67 description: `body` of an item of `supplied` is in a body, and a GET has none",
                "4:86 description: `force` puts something into a body, and a GET has none",
                "4:109 description: `pass` names members of a body, and a GET has none",
            ],
        ),
        (
            "request: {bundle: {path: view}, supplied: [{body: '/e/*/*'}, {body: /k, names: x}, {query: q, names: '{a}'}]}",
            vec![
                "4:51 description: `body` of an item of `supplied` is `/e/*/*`, which has more than one `*`",
                "4:80 description: `names` of supplied values is `x` without `{name}`, so all names would be one",
                "4:102 unknown-variable: nothing gives `{a}`: it would come from `path` or `scope`",
            ],
        ),
        (
            "request: {bundle: {path: view}, force: [{value: 1, add: []}, {at: '', value: 1e30}, {at: '/a/*'}]}",
            vec![
                "4:41 missing: an item of `force` has no `at`: where in the body it is put",
                "4:52 unknown-key: unknown key `add` in an item of `force` (did you mean `adds`?)",
                "4:67 description: `at` of `force` is ``, and not one member of the body",
                "4:78 description: `value` of `force` holds a number that is not carried exactly",
                "4:85 missing: an item of `force` has no `value`",
                "4:90 description: `at` of `force` is `/a/*`, and not one member of the body",
            ],
        ),
        (
            "request: {outputs: {body: '/p/f/*'}, supplied: [{body: /p}], pass: [/p/f/x]}",
            vec![
                "4:56 description: `/p/f/*` of `outputs` and `/p` of `supplied` lie within each other",
                "4:69 description: `/p/f/*` of `outputs` and `/p/f/x` of `pass` lie within each other",
            ],
        ),
        (
            "request: {outputs: {query: q}, bundle: {query: q}, supplied: [{path: view}, {path: view}], pass: [/a, /a], pass_query: [q]}",
            vec![
                "4:48 description: parameter `q` is of `outputs` and of `bundle`, and can be of one",
                "4:84 description: variable `view` stands twice in `supplied`",
                "4:103 description: `/a` stands twice in `pass`",
                "4:121 description: parameter `q` is of `outputs` and of `pass`, and can be of one",
            ],
        ),
    ] {
        assert_eq!(said(&route(more)), expected, "{more}");
    }
}

#[test]
fn every_mistake_of_an_answer_is_told_at_its_place() {
    for (more, expected) in [
        ("answer: x", vec!["4:9 wrong-kind: `answer` is a text, not a map"]),
        ("answer: []", vec!["4:9 empty: `answer` is a list of none, so no answer would pass"]),
        (
            "answer: {keep: x, sparse: 1}",
            vec![
                "4:9 missing: `answer` has no `shape`: `objects`, `columns`, `rows` or `records`",
                "4:9 missing: `answer` has no `at`: where its features stand",
                "4:16 wrong-kind: `keep` is a text, not a list",
                "4:27 wrong-kind: `sparse` is a number, not true or false",
            ],
        ),
        (
            "answer: {shape: object, at: a}",
            vec![
                "4:17 unknown-word: `shape` is `object`, not one of `objects`, `columns`, `rows`, `records` (did you mean `objects`?)",
                "4:29 description: `at` is `a`, no pointer such as `/result/features/*` (did you mean `/a`?)",
            ],
        ),
        (
            "answer: {shape: objects, at: '', names: /n, aligned: [/x]}",
            vec![
                "4:34 description: `names` goes with the other shapes: objects name their values themselves",
                "4:45 description: `aligned` goes with `shape: columns` and `shape: rows`",
            ],
        ),
        ("answer: {shape: rows, at: /f}", vec!["4:9 missing: `answer` has no `names`: where its features are named"]),
        (
            "answer: {shape: rows, at: /f, names: /n}",
            vec!["4:38 description: `names` is `/n`, which has not exactly one `*`, for each name of a list"],
        ),
        (
            "answer: {shape: columns, at: '/f/*', names: '/*/*'}",
            vec![
                "4:30 description: `at` is `/f/*`, and of columns it is the array: without `/*` at its end",
                "4:45 description: `names` is `/*/*`, which has not exactly one `*`, for each name of a list",
            ],
        ),
        (
            "answer: {shape: records, at: /f, names: '/n/*'}",
            vec![
                "4:30 description: `at` is `/f`, and each record is an element: it ends in `/*`",
                "4:41 description: `names` is `/n/*`, and not one member of a record, such as `/name`",
            ],
        ),
        (
            "answer: {shape: objects, at: /r, pass: [/r/x]}",
            vec!["4:9 description: `answer`: `/r` is taken as a whole, and something within it is described as well"],
        ),
        (
            "answer: [{shape: objects, at: /r}, {shape: objects, at: /r/s}]",
            vec!["4:9 description: `answer`: `/r` is taken as a whole, and something within it is described as well"],
        ),
        (
            "answer: {shape: objects, at: '/r/*/f', scope: {view: '/r/*/v', b: '/s/*/v', c: '/r/*'}}",
            vec![
                "4:48 description: `scope.view` of an answer is given by another place of the route already",
                "4:67 description: `scope.b` of an answer is `/s/*/v`, which does not go with `/r/*/f` (up to its last `*` it is the beginning of `at`, and one name or more follows)",
                "4:80 description: `scope.c` of an answer is `/r/*`, which does not go with `/r/*/f` (up to its last `*` it is the beginning of `at`, and one name or more follows)",
            ],
        ),
        (
            "names: '{g}:{name}', answer: [{shape: objects, at: /a, scope: {g: /g}}, {shape: objects, at: /b}]",
            vec![
                "4:8 description: `{g}` comes with the answer, too late for the outputs of a request",
                "4:73 description: this answer gives no `{g}`, which `names` needs",
            ],
        ),
    ] {
        assert_eq!(said(&route(more)), expected, "{more}");
    }
}
