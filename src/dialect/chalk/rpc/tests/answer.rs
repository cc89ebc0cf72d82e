//! Answers as no good server gives them.

use super::*;
use crate::dialect::chalk::error;

const SECRET: &str = "000-00-0000";

fn result(field: &str, value: Value) -> FeatureResult {
    FeatureResult { field: field.to_owned(), value: Some(value), ..FeatureResult::default() }
}

fn answer_of(results: Vec<FeatureResult>) -> OnlineQueryResponse {
    OnlineQueryResponse { data: Some(OnlineQueryResult { results }), ..OnlineQueryResponse::default() }
}

fn permit() -> Permit {
    let deeper = Field::Rows(std::iter::once(("item.name".to_owned(), Field::Value)).collect());
    let columns =
        [("transaction.id".to_owned(), Field::Value), ("transaction.items".to_owned(), deeper)].into_iter().collect();
    let fields = [("user.name".to_owned(), Field::Value), ("user.transactions".to_owned(), Field::Rows(columns))];
    Permit { fields: fields.into_iter().collect(), ..Permit::default() }
}

fn request(message: &OnlineQueryRequest) -> Request {
    read(Method::OnlineQuery, &encoded(message), true, MOST).unwrap()
}

fn cut(answer: &OnlineQueryResponse) -> (OnlineQueryResponse, usize) {
    let found = filter(&request(&single()), &[Slot::Sent(&permit())], &encoded(answer), MOST).unwrap();
    (OnlineQueryResponse::decode(found.message).unwrap(), found.dropped)
}

fn unreadable(answer: &OnlineQueryResponse) -> String {
    filter(&request(&single()), &[Slot::Sent(&permit())], &encoded(answer), MOST).unwrap_err().0
}

fn leaky_error() -> ChalkError {
    ChalkError {
        code: ErrorCode::ResolverFailed.into(),
        category: ErrorCodeCategory::Field.into(),
        message: format!("ssn {SECRET} is odd"),
        display_primary_key: Some(SECRET.to_owned()),
        exception: Some(ChalkException { message: SECRET.to_owned(), ..ChalkException::default() }),
        feature: Some("user.ssn".to_owned()),
        ..ChalkError::default()
    }
}

#[test]
fn fields_pass_by_name_alone() {
    let fine = result("user.name", text("Ada"));
    let answer = answer_of(vec![result("user.ssn", text(SECRET)), fine.clone(), result("USER.NAME", text(SECRET))]);
    assert_eq!(cut(&answer), (answer_of(vec![fine.clone()]), 2));
    let text = unreadable(&answer_of(vec![fine.clone(), fine]));
    assert_eq!(text, "the field `user.name` stands twice in the answer");
    let errors = vec![error::strip(&leaky_error(), &permit())];
    let only_errors = OnlineQueryResponse { errors, ..OnlineQueryResponse::default() };
    assert_eq!(cut(&OnlineQueryResponse { errors: vec![leaky_error()], ..Default::default() }), (only_errors, 0));
}

#[test]
fn what_stands_beside_a_value_passes_where_it_may() {
    let meta = FeatureMeta { chosen_resolver_fqn: "get_name".to_owned(), ..FeatureMeta::default() };
    let whole = FeatureResult {
        error: Some(leaky_error()),
        ts: Some(Timestamp { seconds: 1, nanos: 2 }),
        meta: Some(meta),
        pkey: Some(text(SECRET)),
        ..result("user.name", text("Ada"))
    };
    let explained = QueryExplainInfo { plan_string: Some("plan".to_owned()) };
    let answer = OnlineQueryResponse {
        response_meta: Some(OnlineQueryMetadata {
            query_id: "q".to_owned(),
            explain_output: Some(explained),
            metadata: [("k".to_owned(), SECRET.to_owned())].into(),
            additional_metadata: [("k".to_owned(), text(SECRET))].into(),
            ..OnlineQueryMetadata::default()
        }),
        errors: vec![leaky_error()],
        ..answer_of(vec![whole.clone()])
    };
    let (found, _) = cut(&answer);
    assert!(!encoded(&found).windows(SECRET.len()).any(|bytes| bytes == SECRET.as_bytes()), "{found:?}");
    let of_query = found.response_meta.unwrap();
    assert_eq!((of_query.query_id.as_str(), of_query.explain_output), ("q", None));
    let of_field = &found.data.unwrap().results[0];
    assert_eq!((&of_field.ts, &of_field.meta, &of_field.pkey), (&whole.ts, &None, &None));
    assert_eq!(of_field.error.as_ref().unwrap().message, "a resolver failed");

    // Where it was asked for, and the key may come back.
    let mut message = single();
    let explain = Some(ExplainOptions {});
    message.response_options = Some(OnlineQueryResponseOptions { include_meta: true, explain, ..Default::default() });
    let permit = Permit { primary_key: true, ..permit() };
    let found = filter(&request(&message), &[Slot::Sent(&permit)], &encoded(&answer), MOST).unwrap();
    let found = OnlineQueryResponse::decode(found.message).unwrap();
    assert_eq!(found.response_meta.unwrap().explain_output.unwrap().plan_string.as_deref(), Some("plan"));
    let of_field = &found.data.unwrap().results[0];
    assert_eq!((&of_field.meta, &of_field.pkey), (&whole.meta, &whole.pkey));
}

fn rows(columns: &[(&str, Vec<Value>)]) -> Value {
    let names = columns.iter().map(|(name, _)| text(name)).collect();
    let values = columns.iter().map(|(_, values)| list(values.clone())).collect();
    object(&[("columns", list(names)), ("values", list(values))])
}

#[test]
fn rows_are_cut_to_their_columns_at_every_depth() {
    let items = rows(&[("item.name", vec![text("a")]), ("item.price", vec![text(SECRET)])]);
    let kept = rows(&[("item.name", vec![text("a")])]);
    let null = of(ValueKind::Null(0));
    let of_user = |items: Vec<Value>, more: bool| {
        let mut columns = vec![("transaction.id", vec![text("1"), text("2")]), ("transaction.items", items)];
        columns.extend(more.then(|| ("transaction.amount", vec![text(SECRET), text(SECRET)])));
        answer_of(vec![result("user.transactions", rows(&columns))])
    };
    let answer = of_user(vec![items.clone(), null.clone()], true);
    assert_eq!(cut(&answer), (of_user(vec![kept, null.clone()], false), 2));
    let none = answer_of(vec![result("user.transactions", null)]);
    assert_eq!(cut(&none), (none, 0));

    let bad = |value: Value| unreadable(&answer_of(vec![result("user.transactions", value)]));
    assert_eq!(bad(text(SECRET)), "the rows of `user.transactions` are not columns and values");
    assert_eq!(bad(object(&[])), "the rows of `user.transactions` lack their columns or values");
    let (names, values) = (list(vec![text("transaction.id")]), list(vec![list(Vec::new())]));
    let more = object(&[("columns", names.clone()), ("values", values.clone()), ("x", text(SECRET))]);
    assert_eq!(bad(more), "the rows of `user.transactions` have more than columns and values");
    let fewer = object(&[("columns", names.clone()), ("values", list(Vec::new()))]);
    assert_eq!(bad(fewer), "the rows of `user.transactions` have other columns than values");
    let flat = object(&[("columns", names), ("values", list(vec![text(SECRET)]))]);
    assert_eq!(bad(flat), "the rows of `user.transactions` have a column without a name or a list");
    let twice = rows(&[("transaction.id", Vec::new()), ("transaction.id", Vec::new())]);
    assert_eq!(bad(twice), "the rows of `user.transactions` have the column `transaction.id` twice");
    let deep = rows(&[("transaction.items", vec![list(vec![text(SECRET)])])]);
    assert_eq!(bad(deep), "the rows of `transaction.items` are not columns and values");
}

#[test]
fn an_answer_that_is_no_protobuf_is_not_passed_on() {
    let found = filter(&request(&single()), &[Slot::Sent(&permit())], &Bytes::from_static(b"\x0a\xff"), MOST);
    assert_eq!(found.unwrap_err().0, "the answer does not read as protobuf");
    // What is not known there is dropped.
    let known = answer_of(vec![result("user.name", text("Ada"))]);
    let more = [&encoded(&known)[..], &[0xfa, 0x01, 11], SECRET.as_bytes()].concat();
    let found = filter(&request(&single()), &[Slot::Sent(&permit())], &more.into(), MOST).unwrap();
    assert_eq!(found.message, encoded(&known));
}

#[test]
fn tables_are_read_or_the_answer_is_not_passed_on() {
    let request = read(Method::OnlineQueryBulk, &encoded(&bulk()), true, MOST).unwrap();
    let of = |answer: &OnlineQueryBulkResponse| filter(&request, &[Slot::Sent(&permit())], &encoded(answer), MOST);
    let broken = OnlineQueryBulkResponse { scalars_data: Bytes::from_static(b"ARROW1"), ..Default::default() };
    assert_eq!(of(&broken).unwrap_err().0, "the table is no arrow ipc file");
    let groups_data = [("user.transactions".to_owned(), b"ARROW1".to_vec())].into();
    let broken = OnlineQueryBulkResponse { groups_data, ..Default::default() };
    assert_eq!(of(&broken).unwrap_err().0, "the table is no arrow ipc file");
    // A has-many that is permitted as a value alone is none, and one that is not permitted is not looked at.
    let groups_data = [("user.name".to_owned(), b"x".to_vec()), ("user.ssn".to_owned(), b"x".to_vec())].into();
    let other = OnlineQueryBulkResponse { groups_data, errors: vec![leaky_error()], ..Default::default() };
    let found = of(&other).unwrap();
    let errors = vec![error::strip(&leaky_error(), &permit())];
    let kept = OnlineQueryBulkResponse { errors, ..Default::default() };
    assert_eq!((OnlineQueryBulkResponse::decode(found.message).unwrap(), found.dropped), (kept, 2));
}

#[test]
fn a_refused_query_is_answered_in_its_place() {
    let message = multi(vec![
        SingleQuery::Bulk(bulk()),
        SingleQuery::Single(single()),
        SingleQuery::Single(single()),
        SingleQuery::Bulk(bulk()),
    ]);
    let request = read(Method::OnlineQueryMulti, &encoded(&message), true, MOST).unwrap();
    let (permit, refusal) = (permit(), |name: &str| Slot::Refused(vec![error::refused(name)]));
    let slots = [refusal("user.a"), Slot::Sent(&permit), refusal("user.b"), Slot::Sent(&permit)];
    let in_bulk = |response| GenericSingleResponse { query: Some(SingleResponse::Bulk(response)) };
    let alone = |response| GenericSingleResponse { query: Some(SingleResponse::Single(response)) };
    let of = |responses: Vec<GenericSingleResponse>| {
        let answer = OnlineQueryMultiResponse { responses, errors: vec![leaky_error()] };
        filter(&request, &slots, &encoded(&answer), MOST)
    };
    let whole = answer_of(vec![result("user.name", text("Ada")), result("user.ssn", text(SECRET))]);
    let bulk = OnlineQueryBulkResponse::default();
    let found = of(vec![alone(whole.clone()), in_bulk(bulk.clone())]).unwrap();
    let refused_bulk =
        OnlineQueryBulkResponse { errors: vec![error::refused("user.a")], ..OnlineQueryBulkResponse::default() };
    let refused_single =
        OnlineQueryResponse { errors: vec![error::refused("user.b")], ..OnlineQueryResponse::default() };
    let expected = OnlineQueryMultiResponse {
        responses: vec![
            in_bulk(refused_bulk.clone()),
            alone(answer_of(vec![result("user.name", text("Ada"))])),
            alone(refused_single),
            in_bulk(bulk.clone()),
        ],
        errors: vec![error::strip(&leaky_error(), &Permit::default())],
    };
    assert_eq!((OnlineQueryMultiResponse::decode(found.message).unwrap(), found.dropped), (expected, 1));

    let why = |responses| of(responses).unwrap_err().0;
    let other_form = "a query is answered in another form than it was asked in";
    assert_eq!(why(vec![in_bulk(bulk.clone()), alone(whole.clone())]), other_form);
    assert_eq!(why(vec![alone(whole.clone())]), "a query that was sent is not answered");
    let unset = GenericSingleResponse { query: None };
    assert_eq!(why(vec![unset, in_bulk(bulk.clone())]), "a query that was sent is not answered");
    let more = vec![alone(whole.clone()), in_bulk(bulk.clone()), in_bulk(bulk)];
    assert_eq!(why(more), "more queries are answered than were sent");
}

#[test]
fn a_request_of_which_nothing_is_sent_is_answered_with_errors() {
    let refusal = Slot::Refused(vec![error::refused("user.ssn")]);
    let errors = vec![error::refused("user.ssn")];
    let in_single = OnlineQueryResponse { errors: errors.clone(), ..Default::default() };
    assert_eq!(refused(&request(&single()), std::slice::from_ref(&refusal)), encoded(&in_single));
    let request = read(Method::OnlineQueryBulk, &encoded(&bulk()), true, MOST).unwrap();
    let in_bulk = OnlineQueryBulkResponse { errors, ..Default::default() };
    assert_eq!(refused(&request, std::slice::from_ref(&refusal)), encoded(&in_bulk));
    let message = multi(vec![SingleQuery::Bulk(bulk()), SingleQuery::Single(single())]);
    let request = read(Method::OnlineQueryMulti, &encoded(&message), true, MOST).unwrap();
    let responses = [SingleResponse::Bulk(in_bulk), SingleResponse::Single(in_single)];
    let responses = responses.map(|query| GenericSingleResponse { query: Some(query) }).into();
    let all = OnlineQueryMultiResponse { responses, errors: Vec::new() };
    assert_eq!(refused(&request, &[refusal.clone(), refusal.clone()]), encoded(&all));
    // What was not sent is not answered.
    let found = filter(&super::answer::request(&single()), &[refusal], &encoded(&all), MOST);
    assert_eq!(found.unwrap_err().0, "it answers what was not sent");
}
