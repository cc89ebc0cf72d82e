//! Each key of a request: what asks for nothing, what is used, what is refused.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

fn rest(members: &str) -> (BTreeSet<Switch>, String) {
    let text = body(members);
    let request = read(text.as_bytes(), false).unwrap_or_else(|error| panic!("{members}: {error}"));
    let built = rewrite(&request, &all_of(&request.query));
    let head = r#"{"inputs":{"user.id":1},"outputs":["user.name"]"#;
    let rest = text_of(&built).strip_prefix(head).unwrap_or_else(|| panic!("{}", text_of(&built)));
    let expressions = r#","expression_outputs":[]"#;
    let rest = if request.query.name.is_some() { rest.strip_prefix(expressions).unwrap() } else { rest };
    (request.query.switches, rest.strip_suffix('}').unwrap().to_owned())
}

fn text_of(built: &[u8]) -> &str {
    super::text(built)
}

const SWITCHES: &[(&str, Switch)] = &[
    ("explain", Switch::Explain),
    ("store_plan_stages", Switch::PlanStages),
    ("deployment_id", Switch::Branch),
    ("branch_id", Switch::Branch),
    ("staleness", Switch::Staleness),
    ("planner_options", Switch::PlannerOptions),
    ("query_context", Switch::QueryContext),
    ("value_metrics_tag_by_features", Switch::ValueMetrics),
    ("overlay_graph", Switch::OverlayGraph),
];

#[test]
fn what_asks_for_nothing_is_no_use_of_a_switch() {
    for (key, _) in SWITCHES {
        for nothing in ["null", "false", r#""""#, "{}", "[]", "{ \n }", "[ ]"] {
            assert_eq!(rest(&format!(r#""{key}":{nothing}"#)), (switches([]), String::new()), "{key} {nothing}");
        }
        for used in ["true", "0", r#"" ""#, r#"{"a":null}"#, "[null]"] {
            let text = body(&format!(r#""{key}":{used}"#));
            let read = read(text.as_bytes(), false);
            assert!(read.is_err() || !read.unwrap().query.switches.is_empty(), "{key} {used}");
        }
    }
    for nothing in ["null", "{}", r#"{"environment":null,"tags":null}"#, r#"{"environment":"","tags":[]}"#] {
        assert_eq!(rest(&format!(r#""context":{nothing}"#)), (switches([]), String::new()), "{nothing}");
    }
    for nothing in ["null", "{}", "[]", "false", r#""""#] {
        assert_eq!(rest(&format!(r#""input_schema_hint":{nothing}"#)), (switches([]), String::new()), "{nothing}");
    }
}

#[test]
fn switches_are_forwarded_as_they_were_used() {
    let graph = STANDARD.encode(b"graph");
    let graph = format!(r#""overlay_graph":"{graph}""#);
    let cases = [
        (r#""explain":true"#, Switch::Explain, r#","explain":true"#),
        (r#""explain":"only""#, Switch::Explain, r#","explain":"only""#),
        (r#""explain":"\u006fnly""#, Switch::Explain, r#","explain":"only""#),
        (r#""store_plan_stages":true"#, Switch::PlanStages, r#","store_plan_stages":true"#),
        (r#""deployment_id":"dep-1""#, Switch::Branch, r#","deployment_id":"dep-1""#),
        (r#""branch_id":"\u0062r 1""#, Switch::Branch, r#","branch_id":"br 1""#),
        (
            r#""staleness":{"user.name":"1h 30m","user":"infinity","a.b":"500ms"}"#,
            Switch::Staleness,
            r#","staleness":{"user.name":"1h 30m","user":"infinity","a.b":"500ms"}"#,
        ),
        (r#""planner_options":{"x": [1.50]}"#, Switch::PlannerOptions, r#","planner_options":{"x": [1.50]}"#),
        (
            r#""query_context":{ "region" :"eu","n": 1.0,"b":false,"z":null}"#,
            Switch::QueryContext,
            r#","query_context":{"region":"eu","n":1.0,"b":false,"z":null}"#,
        ),
        (
            r#""value_metrics_tag_by_features":[ "user.name" ]"#,
            Switch::ValueMetrics,
            r#","value_metrics_tag_by_features":["user.name"]"#,
        ),
        (&graph, Switch::OverlayGraph, &format!(",{graph}")),
        (
            r#""context":{"tags":["team:x"],"environment":"prod"}"#,
            Switch::ContextTags,
            r#","context":{"tags":["team:x"],"environment":"prod"}"#,
        ),
        (
            r#""context":{"required_resolver_tags":["fast"],"tags":null}"#,
            Switch::ContextTags,
            r#","context":{"required_resolver_tags":["fast"]}"#,
        ),
        (r#""query_name":"fraud""#, Switch::ContextTags, r#","query_name":"fraud""#),
        (
            r#""query_name_version":"1","query_name":"fraud""#,
            Switch::ContextTags,
            r#","query_name":"fraud","query_name_version":"1""#,
        ),
    ];
    for (members, switch, forwarded) in cases {
        assert_eq!(rest(members), (switches([switch]), forwarded.to_owned()), "{members}");
    }
    let request = |members: &str| read(body(members).as_bytes(), false).unwrap().query.named;
    assert_eq!(
        request(r#""staleness":{"user.name":"1h","user":"all"}"#),
        ["user", "user.name"].map(str::to_owned).into()
    );
    assert_eq!(request(r#""value_metrics_tag_by_features":["a.b"]"#), ["a.b".to_owned()].into());
}

#[test]
fn the_other_keys_are_checked() {
    let cases = [
        (r#""now":"2026-01-01T00:00:00.123456+00:00""#, r#","now":"2026-01-01T00:00:00.123456+00:00""#),
        (r#""correlation_id":"corr 1""#, r#","correlation_id":"corr 1""#),
        (r#""meta":{"k":"v","\u00e9":"\ud83d\ude00"}"#, ",\"meta\":{\"k\":\"v\",\"é\":\"😀\"}"),
        (
            r#""encoding_options":{"encode_structs_as_objects": true, "x": null}"#,
            r#","encoding_options":{"encode_structs_as_objects":true}"#,
        ),
        (
            r#""encoding_options":{"encode_structs_as_objects":false}"#,
            r#","encoding_options":{"encode_structs_as_objects":false}"#,
        ),
        (r#""encoding_options":{}"#, ""),
        (r#""context":{"environment":"prod"}"#, r#","context":{"environment":"prod"}"#),
        (r#""unheard_of":null"#, ""),
        (r#""now":null,"correlation_id":null,"meta":null,"encoding_options":null,"query_name":null"#, ""),
        (r#""query_name":"","query_name_version":"""#, ""),
    ];
    for (members, forwarded) in cases {
        assert_eq!(rest(members), (switches([]), forwarded.to_owned()), "{members}");
    }
    let text = body(r#""context":{"environment":"prod"}"#);
    assert_eq!(read(text.as_bytes(), true).unwrap().environment.as_deref(), Some("prod"));
}

#[test]
fn what_the_caller_left_out_stays_out() {
    let cases = [
        ("", "", None),
        (r#""include_meta":null,"expression_outputs":null"#, "", None),
        (r#""include_meta":true"#, r#","include_meta":true"#, Some(true)),
        (r#""include_meta":false"#, r#","include_meta":false"#, Some(false)),
        (r#""expression_outputs":[]"#, r#","expression_outputs":[]"#, None),
        // A name could stand for more.
        (r#""query_name":"a""#, r#","expression_outputs":[],"query_name":"a""#, None),
    ];
    for (members, forwarded, meta) in cases {
        let text = body(members);
        let request = read(text.as_bytes(), true).unwrap();
        assert_eq!(request.include_meta, meta, "{members}");
        let built = rewrite(&request, &all_of(&request.query));
        let expected = format!(r#"{{"inputs":{{"user.id":1}},"outputs":["user.name"]{forwarded}}}"#);
        assert_eq!(text_of(&built), expected, "{members}");
    }
}

#[test]
fn a_value_of_another_form_is_refused_by_its_name() {
    let long = "a".repeat(257);
    let cases = [
        (r#""outputs":1"#, "`outputs` is not a list"),
        (r#""outputs":[1]"#, "a value of `outputs` is not a text"),
        (r#""outputs":[null]"#, "a value of `outputs` is not a text"),
        (r#""inputs":[]"#, "`inputs` is not an object"),
        (r#""expression_outputs":"""#, "`expression_outputs` is not a list"),
        (r#""expression_outputs":[7]"#, "a value of `expression_outputs` is not a text"),
        (r#""expression_outputs":["AAA"]"#, "a value of `expression_outputs` is not standard base64"),
        (r#""expression_outputs":["AAF="]"#, "a value of `expression_outputs` is not standard base64"),
        (r#""expression_outputs":["A-A="]"#, "a value of `expression_outputs` is not standard base64"),
        (r#""expression_outputs":["AA A="]"#, "a value of `expression_outputs` is not standard base64"),
        (r#""now":"yesterday""#, "`now` is not a time of rfc 3339"),
        (r#""now":1767225600"#, "`now` is not a text"),
        (r#""now":["2026-01-01T00:00:00Z"]"#, "`now` is not a text"),
        (r#""include_meta":"true""#, "`include_meta` is neither true nor false"),
        (r#""explain":"all""#, "`explain` is neither true nor false nor `only`"),
        (r#""explain":1"#, "`explain` is neither true nor false nor `only`"),
        (r#""store_plan_stages":"yes""#, "`store_plan_stages` is neither true nor false"),
        (r#""correlation_id":7"#, "`correlation_id` is not a text"),
        (r#""correlation_id":"a\nb""#, "`correlation_id` is not printable ascii of at most 256 bytes"),
        (&format!(r#""correlation_id":"{long}""#), "`correlation_id` is not printable ascii of at most 256 bytes"),
        (r#""branch_id":"\u00e9""#, "`branch_id` is not printable ascii of at most 256 bytes"),
        (r#""deployment_id":{"a":1}"#, "`deployment_id` is not a text"),
        (r#""query_name":["fraud"]"#, "`query_name` is not a text"),
        (r#""query_name_version":"1""#, "`query_name_version` is given without `query_name`"),
        (r#""meta":{"k":1}"#, "a value of `meta` is not a text"),
        (r#""meta":"k""#, "`meta` is not an object"),
        (r#""context":[]"#, "`context` is not an object"),
        (r#""context":{"environment":1}"#, "`context.environment` is not a text"),
        (r#""context":{"tags":"a"}"#, "`context.tags` is not a list"),
        (r#""context":{"required_resolver_tags":[1]}"#, "a value of `context.required_resolver_tags` is not a text"),
        (r#""context":{"branch_id":"b"}"#, "the key `context.branch_id` is not known"),
        (r#""context":{"overlay_graph":{}}"#, "the key `context.overlay_graph` is not known"),
        (r#""encoding_options":true"#, "`encoding_options` is not an object"),
        (
            r#""encoding_options":{"encode_structs_as_objects":1}"#,
            "`encoding_options.encode_structs_as_objects` is neither true nor false",
        ),
        (r#""encoding_options":{"raw":true}"#, "the key `encoding_options.raw` is not known"),
        (r#""staleness":{"user.name":3600}"#, "a value of `staleness` is not a text"),
        (r#""staleness":{"user.name":"forever"}"#, "a value of `staleness` is not a duration"),
        (r#""staleness":{"user.name":" "}"#, "a value of `staleness` is not a duration"),
        (r#""staleness":["user.name"]"#, "`staleness` is not an object"),
        (r#""planner_options":[1]"#, "`planner_options` is not an object"),
        (r#""query_context":{"a":[]}"#, "`query_context` holds a list or an object"),
        (r#""query_context":"{}""#, "`query_context` is not an object"),
        (r#""value_metrics_tag_by_features":"user.name""#, "`value_metrics_tag_by_features` is not a list"),
        (
            r#""value_metrics_tag_by_features":["user.name","user"]"#,
            "`value_metrics_tag_by_features` has an entry that is no feature's name",
        ),
        (r#""value_metrics_tag_by_features":[{}]"#, "a value of `value_metrics_tag_by_features` is not a text"),
        (r#""overlay_graph":"graph""#, "`overlay_graph` is not standard base64"),
        (r#""overlay_graph":{"features":[]}"#, "`overlay_graph` is not a text"),
        (r#""input_schema_hint":{"user.txns":"user.txns[txn.id]"}"#, "`input_schema_hint` is not followed"),
        (r#""spine_sql_query":"select 1""#, "the key `spine_sql_query` is not known"),
        (r#""Outputs":["user.ssn"]"#, "the key `Outputs` is not known"),
        (r#""inputs_sql":false"#, "the key `inputs_sql` is not known"),
        ("\"a`b\\n\":[]", "the key `a`b\\u{a}` is not known"),
    ];
    for (members, message) in cases {
        // A member of the base is replaced, not doubled.
        let base = match members.split(':').next().unwrap() {
            r#""outputs""# => r#""inputs":{}"#,
            _ => r#""outputs":["user.name"]"#,
        };
        let text = format!("{{{base},{members}}}");
        assert_eq!(read(text.as_bytes(), true).unwrap_err().0, message, "{members}");
    }
}

#[test]
fn in_the_header_of_a_bulk_query() {
    let header = |members: &str| format!(r#"{{"outputs":["user.name"],{members}}}"#);
    let refusal = |members: &str| read_header(header(members).as_bytes(), vec![], true).unwrap_err().0;
    let message = "`inputs` stands in the header of a bulk query, of which the table is the inputs";
    assert_eq!(refusal(r#""inputs":{"user.id":1}"#), message);
    assert_eq!(refusal(r#""inputs":{}"#), message);
    assert_eq!(refusal(r#""now":"2026-01-01T00:00:00Z""#), "`now` is not a list");
    assert_eq!(refusal(r#""now":["2026-01-01T00:00:00Z","now"]"#), "a value of `now` is not a time of rfc 3339");
    let text = header(r#""now":["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"],"inputs":null,"explain":true"#);
    let request = read_header(text.as_bytes(), vec![], false).unwrap();
    assert_eq!(request.query.switches, switches([Switch::Explain]));
    assert_eq!(
        super::text(&rewrite_header(&request, &all_of(&request.query))),
        r#"{"outputs":["user.name"],"now":["2026-01-01T00:00:00Z","2026-01-02T00:00:00Z"],"explain":true}"#
    );
}

#[test]
fn times_are_those_of_rfc_3339() {
    let is_time = |text: &str| read(body(&format!(r#""now":"{text}""#)).as_bytes(), true).is_ok();
    for text in [
        "2026-01-01T00:00:00Z",
        "2026-01-01t23:59:60z",
        "2024-02-29T00:00:00.1-23:59",
        "2000-02-29T00:00:00.123456789+05:30",
        "0000-12-31T00:00:00+00:00",
    ] {
        assert!(is_time(text), "{text}");
    }
    for text in [
        "",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-01-01 00:00:00Z",
        "2026-1-01T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-01-01-01T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:61Z",
        "2026-01-01T00:00:00:00Z",
        "2026-01-01T00:00Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00.1234567890Z",
        "2026-01-01T00:00:00ZZ",
        "2026-01-01T00:00:00Z+00:00",
        "2026-01-01T00:00:00+0000",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+00:60",
        "2026-01-01T00:00:00+00:00:00",
        "+026-01-01T00:00:00Z",
        "20२6-01-01T00:00:00Z",
        "now",
    ] {
        assert!(!is_time(text), "{text}");
    }
}
