//! What a request may say, and what it may not.

use super::*;

fn refused(message: &OnlineQueryRequest) -> String {
    read_single(message).unwrap_err().0
}

fn with(context: OnlineQueryContext) -> OnlineQueryRequest {
    OnlineQueryRequest { context: Some(context), ..single() }
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn nothing_is_asked_for_by_what_is_empty_or_false() {
    let context = OnlineQueryContext {
        deployment_id: some(""),
        branch_id: some(""),
        correlation_id: some(""),
        query_name: some(""),
        query_name_version: some(""),
        options: [("store_plan_stages", of(ValueKind::Bool(false))), ("x", of(ValueKind::Null(0)))]
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
        overlay_graph: Some(Bytes::new()),
        ..OnlineQueryContext::default()
    };
    let asked = read_single(&with(context)).unwrap();
    assert_eq!(asked.query.switches, BTreeSet::new());
    assert_eq!((asked.query.name, asked.query.version, asked.environment), (None, None, None));
    assert_eq!(asked.query.outputs, ["user.name"]);
    assert_eq!(asked.query.inputs, [Input { name: "user.id".into(), has_null: false }]);
}

#[test]
fn every_switch_is_seen_and_goes_upstream() {
    type Change = fn(&mut OnlineQueryRequest, &mut OnlineQueryContext);
    let cases: [(Switch, Change); 13] = [
        (Switch::Explain, |message, _| {
            let explain = Some(ExplainOptions {});
            message.response_options = Some(OnlineQueryResponseOptions { explain, ..Default::default() });
        }),
        (Switch::Branch, |_, context| context.branch_id = Some("b".to_owned())),
        (Switch::Branch, |_, context| context.deployment_id = Some("d".to_owned())),
        (Switch::PlanStages, |_, context| {
            context.options = [("store_plan_stages".to_owned(), of(ValueKind::Bool(true)))].into();
        }),
        (Switch::PlannerOptions, |_, context| {
            context.options = [("pack_groups".to_owned(), of(ValueKind::Bool(false)))].into();
        }),
        (Switch::ContextTags, |_, context| context.tags = vec!["t".to_owned()]),
        (Switch::ContextTags, |_, context| context.required_resolver_tags = vec!["t".to_owned()]),
        (Switch::ContextTags, |_, context| context.query_name = Some("q".to_owned())),
        (Switch::Staleness, |message, _| message.staleness = [("user.name".to_owned(), "1h".to_owned())].into()),
        (Switch::QueryContext, |_, context| context.query_context = [("k".to_owned(), text("v"))].into()),
        (Switch::ValueMetrics, |_, context| context.value_metrics_tag_by_features = vec![feature("user.name")]),
        (Switch::OverlayGraph, |_, context| context.overlay_graph = Some(Bytes::from_static(b"g"))),
        (Switch::QueryContext, |_, context| context.query_context = [("k".to_owned(), of(ValueKind::Null(0)))].into()),
    ];
    for (switch, change) in cases {
        let (mut message, mut context) = (single(), OnlineQueryContext::default());
        change(&mut message, &mut context);
        message.context = Some(context);
        let request = read(Method::OnlineQuery, &encoded(&message), true, MOST).unwrap();
        let asked = &request.queries[0];
        assert_eq!(asked.query.switches, BTreeSet::from([switch]));
        let names = matches!(switch, Switch::Staleness | Switch::ValueMetrics);
        assert_eq!(asked.query.named.contains("user.name"), names, "{switch:?}");
        let forwarded = rewrite(&request, &[Slot::Sent(&all(asked))]).unwrap().unwrap();
        assert_eq!(OnlineQueryRequest::decode(forwarded).unwrap(), message, "{switch:?}");
    }
}

#[test]
fn inputs_supply_what_is_not_null() {
    let mut message = single();
    let nested = list(vec![object(&[("a", of(ValueKind::Null(0)))])]);
    message.inputs.extend([("user.a".to_owned(), of(ValueKind::Null(0))), ("user.b".to_owned(), nested)]);
    let inputs = read_single(&message).unwrap().query.inputs;
    let inputs: Vec<_> = inputs.iter().map(|input| (input.name.as_ref(), input.has_null)).collect();
    assert_eq!(inputs, [("user.a", true), ("user.b", false), ("user.id", false)]);
}

#[test]
fn only_the_permitted_goes_upstream() {
    let mut message = single();
    message.inputs.insert("user.ssn".to_owned(), text("000-00-0000"));
    message.outputs.push(feature("user"));
    message.context =
        Some(OnlineQueryContext { environment: "production".to_owned(), ..OnlineQueryContext::default() });
    let request = read(Method::OnlineQuery, &encoded(&message), true, MOST).unwrap();
    let permit = Permit {
        outputs: vec!["user.name".to_owned(), "user.age".to_owned()],
        inputs: ["user.id".to_owned()].into(),
        ..Permit::default()
    };
    let forwarded = rewrite(&request, &[Slot::Sent(&permit)]).unwrap().unwrap();
    let mut expected = OnlineQueryRequest { context: message.context, ..single() };
    expected.outputs = vec![feature("user.name"), feature("user.age")];
    assert_eq!(OnlineQueryRequest::decode(forwarded).unwrap(), expected);

    let request = read(Method::OnlineQueryBulk, &encoded(&bulk()), true, MOST).unwrap();
    let forwarded = rewrite(&request, &[Slot::Sent(&Permit::default())]).unwrap().unwrap();
    let forwarded = OnlineQueryBulkRequest::decode(forwarded).unwrap();
    let Some(BulkInputs::Feather(table)) = forwarded.inputs else { panic!("it has a table") };
    assert_eq!(Table::read(&table, MOST).unwrap().columns().count(), 0);
    assert_eq!(forwarded.outputs, []);
}

#[test]
fn a_name_is_a_bundle_or_a_choice_of_tags() {
    let mut named = with(OnlineQueryContext {
        query_name: some("fraud"),
        query_name_version: some("1.1.0"),
        ..OnlineQueryContext::default()
    });
    named.outputs.clear();
    let request = read(Method::OnlineQuery, &encoded(&named), true, MOST).unwrap();
    let query = &request.queries[0].query;
    assert_eq!((query.name.as_deref(), query.version.as_deref()), (Some("fraud"), Some("1.1.0")));
    assert_eq!(query.switches, BTreeSet::new());
    let goes = |permit: &Permit| {
        let forwarded = rewrite(&request, &[Slot::Sent(permit)]).unwrap().unwrap();
        let forwarded = OnlineQueryRequest::decode(forwarded).unwrap();
        (forwarded.outputs, forwarded.context.unwrap().query_name)
    };
    // Its members are spelled out beside its name.
    let permit = Permit { outputs: vec!["user.name".to_owned()], ..Permit::default() };
    assert_eq!(goes(&permit), (vec![feature("user.name")], some("fraud")));
    // Without enforcement nobody knows them.
    assert_eq!(goes(&Permit::default()), (Vec::new(), some("fraud")));

    let mut version = with(OnlineQueryContext { query_name_version: some("1"), ..OnlineQueryContext::default() });
    assert_eq!(refused(&version), "`context.query_name_version` is given without `context.query_name`");
    version.outputs.clear();
    version.context = None;
    assert_eq!(refused(&version), "neither `outputs` nor `context.query_name` says what is asked for");
}

#[test]
fn what_is_not_of_its_form_is_refused() {
    let none = Value { kind: None };
    let hole = || [("x".to_owned(), none.clone())].into();
    let long = "a".repeat(257);
    let context = |change: fn(&mut OnlineQueryContext)| {
        let mut context = OnlineQueryContext::default();
        change(&mut context);
        refused(&with(context))
    };
    let mut message = single();
    message.inputs = hole();
    assert_eq!(refused(&message), "the input `x` has a value that is none");
    message.inputs = [("x".to_owned(), list(vec![object(&[("a", none.clone())])]))].into();
    assert_eq!(refused(&message), "the input `x` has a value that is none");
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        message.inputs = [("x".to_owned(), of(ValueKind::Number(number)))].into();
        assert_eq!(refused(&message), "the input `x` has a value that is none");
    }
    message = single();
    message.outputs.push(OutputExpr { expr: None });
    assert_eq!(refused(&message), "`outputs[1]` is neither a feature nor an expression");
    message = single();
    message.outputs = vec![OutputExpr { expr: Some(Output::Expression(Bytes::new())) }];
    assert_eq!(refused(&message), "the name `` of an expression is not of the form a-z, 0-9 and _");
    message = single();
    message.now = Some(Timestamp { seconds: 253_402_300_800, nanos: 0 });
    assert_eq!(refused(&message), "`now` is not a time of the years 1 to 9999");
    message.now = Some(Timestamp { seconds: 0, nanos: -1 });
    assert_eq!(refused(&message), "`now` is not a time of the years 1 to 9999");
    message = single();
    message.staleness = [("user.name".to_owned(), "soon".to_owned())].into();
    assert_eq!(refused(&message), "`staleness` has a value that is not a duration");
    message = with(OnlineQueryContext { environment: long, ..OnlineQueryContext::default() });
    assert_eq!(refused(&message), "`context.environment` is not printable ascii of at most 256 bytes");
    let found = context(|context| context.tags = vec!["a\n".to_owned()]);
    assert_eq!(found, "`context.tags` is not printable ascii of at most 256 bytes");
    let found = context(|context| context.branch_id = Some("é".to_owned()));
    assert_eq!(found, "`context.branch_id` is not printable ascii of at most 256 bytes");
    let found = context(|context| context.options = [("store_plan_stages".to_owned(), text("true"))].into());
    assert_eq!(found, "`context.options.store_plan_stages` is neither true nor false");
    let found = context(|context| context.query_context = [("k".to_owned(), list(Vec::new()))].into());
    assert_eq!(found, "`context.query_context` holds a list or an object");
    let expression = OutputExpr { expr: Some(Output::Expression(Bytes::new())) };
    message =
        with(OnlineQueryContext { value_metrics_tag_by_features: vec![expression], ..OnlineQueryContext::default() });
    assert_eq!(refused(&message), "`context.value_metrics_tag_by_features` has an entry that is no feature's name");
    let namespace = feature("user");
    let mut message =
        with(OnlineQueryContext { value_metrics_tag_by_features: vec![namespace], ..OnlineQueryContext::default() });
    assert_eq!(refused(&message), "`context.value_metrics_tag_by_features` names `user`, which is no feature");
    for (way, context) in [
        ("options", OnlineQueryContext { options: hole(), ..OnlineQueryContext::default() }),
        ("query_context", OnlineQueryContext { query_context: hole(), ..OnlineQueryContext::default() }),
    ] {
        assert_eq!(refused(&with(context)), format!("`context.{way}` has a value that is none"));
    }
    message = single();
    message.outputs = vec![feature("user.name"); 10_001];
    assert_eq!(refused(&message), "`outputs` has more than 10000 entries");
}

#[test]
fn a_bulk_query_has_a_table_or_a_switch() {
    let refused = |message: &OnlineQueryBulkRequest, most| {
        read(Method::OnlineQueryBulk, &encoded(message), true, most).unwrap_err().0
    };
    let mut message = bulk();
    message.inputs = None;
    assert_eq!(refused(&message, MOST), "neither `inputs_feather` nor `inputs_sql` is given");
    message.inputs = Some(BulkInputs::Feather(Bytes::from_static(b"ARROW1")));
    assert_eq!(refused(&message, MOST), "the table is no arrow ipc file");
    assert_eq!(refused(&bulk(), 1), "the table unpacks to more than 1 bytes or rows");
    message = bulk();
    message.now = vec![Timestamp { seconds: i64::MAX, nanos: 0 }];
    assert_eq!(refused(&message, MOST), "`now` is not a time of the years 1 to 9999");
}

#[test]
fn protobuf_that_means_two_things_is_refused() {
    let read = |method, bytes: &[u8]| read(method, &Bytes::copy_from_slice(bytes), true, MOST).unwrap_err().0;
    let whole = encoded(&single());
    let unknown = [&whole[..], &[0x3a, 0]].concat();
    assert_eq!(read(Method::OnlineQuery, &unknown), "the message has the field 7, which is not known");
    let twice = [&whole[..], &[0x1a, 0, 0x1a, 0]].concat();
    assert_eq!(read(Method::OnlineQuery, &twice), "`now` is given twice");
    let both = [&encoded(&bulk())[..], &[0x42, 0]].concat();
    assert_eq!(read(Method::OnlineQueryBulk, &both), "`inputs_sql` is given beside `inputs_feather`");
    assert_eq!(read(Method::OnlineQuery, &whole[..whole.len() - 1]), "`outputs[0]` breaks off");
    // A message of another method.
    let other = read(Method::OnlineQueryMulti, &whole);
    assert_eq!(other, "`queries[0].single_request` has the field 14, which is not known");
}

#[test]
fn several_queries_are_read_each_by_itself() {
    let refused = |message: &OnlineQueryMultiRequest, most| {
        read(Method::OnlineQueryMulti, &encoded(message), true, most).unwrap_err().0
    };
    assert_eq!(refused(&multi(Vec::new()), MOST), "`queries` is empty");
    let unset = OnlineQueryMultiRequest { queries: vec![GenericSingleQuery { query: None }] };
    assert_eq!(refused(&unset, MOST), "in `queries[0]`: neither `single_request` nor `bulk_request` is given");
    let mut bad = single();
    bad.outputs.clear();
    let message = multi(vec![SingleQuery::Bulk(bulk()), SingleQuery::Single(bad)]);
    let text = "in `queries[1]`: neither `outputs` nor `context.query_name` says what is asked for";
    assert_eq!(refused(&message, MOST), text);
    let mut half = single();
    half.outputs = vec![feature("user.name"); 5001];
    let message = multi(vec![SingleQuery::Single(half.clone()), SingleQuery::Single(half)]);
    assert_eq!(refused(&message, MOST), "`outputs` has more than 10000 entries");
    // One bound holds for all tables.
    let size = Table::read(&table(), MOST).unwrap().size();
    let message = multi(vec![SingleQuery::Bulk(bulk()), SingleQuery::Bulk(bulk())]);
    read(Method::OnlineQueryMulti, &encoded(&message), true, 2 * size).unwrap();
    let text = format!("in `queries[1]`: the table unpacks to more than {} bytes or rows", size - 1);
    assert_eq!(refused(&message, 2 * size - 1), text);

    let message = multi(vec![SingleQuery::Bulk(bulk()), SingleQuery::Single(single())]);
    let request = read(Method::OnlineQueryMulti, &encoded(&message), true, MOST).unwrap();
    let permit = all(&request.queries[1]);
    let slots = [Slot::Refused(Vec::new()), Slot::Sent(&permit)];
    let forwarded = rewrite(&request, &slots).unwrap().unwrap();
    let expected = multi(vec![SingleQuery::Single(single())]);
    assert_eq!(OnlineQueryMultiRequest::decode(forwarded).unwrap(), expected);
    assert_eq!(rewrite(&request, &[Slot::Refused(Vec::new()), Slot::Refused(Vec::new())]).unwrap(), None);
}
