//! What chalkpy sent, and what it was answered.

use super::*;

/// Each recorded exchange: the method, the outputs of its first query, its switches.
const EXCHANGES: [(&str, Method, &[&str], &[Switch]); 9] = [
    ("grpc_query", Method::OnlineQueryBulk, &["user.name", "user.fraud_score"], &[]),
    (
        "grpc_query_bulk",
        Method::OnlineQueryBulk,
        &["user.name", "user.transactions[transaction.id,transaction.amount]"],
        &[],
    ),
    ("grpc_query_bulk_input_sql", Method::OnlineQueryBulk, &["user.name"], &[Switch::InputsSql]),
    ("grpc_query_denied_feature", Method::OnlineQueryBulk, &["user.ssn"], &[]),
    ("grpc_query_named_query", Method::OnlineQueryBulk, &[], &[]),
    ("grpc_query_windowed_version", Method::OnlineQueryBulk, &["user.count__3600__", "user.fraud_score@2"], &[]),
    ("grpc_query_alias_expression", Method::OnlineQueryBulk, &[], &[]),
    ("grpc_raw_online_query", Method::OnlineQuery, &["user.ssn"], &[]),
    ("grpc_multi_query", Method::OnlineQueryMulti, &["user.name"], &[]),
];

fn exchange(scenario: &str, method: Method) -> (Bytes, Bytes) {
    let name = method.path().rsplit('/').next().unwrap();
    (fixture(&format!("{scenario}.{name}.req.bin")), fixture(&format!("{scenario}.{name}.resp.bin")))
}

#[test]
fn queries_are_read() {
    for (scenario, method, outputs, switches) in EXCHANGES {
        let request = read(method, &exchange(scenario, method).0, true, MOST).unwrap();
        let asked = &request.queries[0];
        assert_eq!(asked.query.outputs, outputs, "{scenario}");
        assert_eq!(asked.query.switches, switches.iter().copied().collect(), "{scenario}");
        assert!(asked.query.versioned && asked.query.named.is_empty(), "{scenario}");
        let environment = (scenario != "grpc_raw_online_query").then_some("envmock1");
        assert_eq!(asked.environment.as_deref(), environment, "{scenario}");
        assert_eq!(asked.include_meta, scenario == "grpc_query", "{scenario}");
        let inputs: Vec<&str> = asked.query.inputs.iter().map(|input| input.name.as_ref()).collect();
        assert_eq!(inputs, if scenario == "grpc_query_bulk_input_sql" { &[][..] } else { &["user.id"] }, "{scenario}");
        assert_eq!(asked.query.name.as_deref(), (scenario == "grpc_query_named_query").then_some("fraud"));
    }
    let request = exchange("grpc_query_alias_expression", Method::OnlineQueryBulk).0;
    let request = read(Method::OnlineQueryBulk, &request, true, MOST).unwrap();
    let names: Vec<_> = request.queries[0].query.expressions.iter().map(|found| found.name.as_str()).collect();
    assert_eq!(names, ["harmless"]);
    let request = exchange("grpc_multi_query", Method::OnlineQueryMulti).0;
    let request = read(Method::OnlineQueryMulti, &request, false, MOST).unwrap();
    assert_eq!(request.queries.len(), 2);
    assert_eq!(request.queries[1].query.outputs, ["user.ssn"]);
    assert!(!request.queries[1].query.versioned);
}

/// A query, its table as columns and nulls, and their rows.
fn shown_table(query: SingleQuery) -> (SingleQuery, Vec<Input<'static>>, usize) {
    let SingleQuery::Bulk(mut query) = query else { return (query, Vec::new(), 0) };
    let (mut columns, mut rows) = (Vec::new(), 0);
    if let Some(BulkInputs::Feather(bytes)) = &query.inputs {
        let table = Table::read(bytes, MOST).unwrap();
        rows = table.rows();
        columns = table.columns().map(|(name, has_null)| Input { name: name.to_owned().into(), has_null }).collect();
        query.inputs = None;
    }
    (SingleQuery::Bulk(query), columns, rows)
}

fn queries(method: Method, message: &Bytes) -> Vec<SingleQuery> {
    match method {
        Method::OnlineQuery => vec![SingleQuery::Single(OnlineQueryRequest::decode(message.clone()).unwrap())],
        Method::OnlineQueryBulk => vec![SingleQuery::Bulk(OnlineQueryBulkRequest::decode(message.clone()).unwrap())],
        Method::OnlineQueryMulti => {
            let message = OnlineQueryMultiRequest::decode(message.clone()).unwrap();
            message.queries.into_iter().map(|query| query.query.unwrap()).collect()
        }
    }
}

#[test]
fn a_query_that_is_permitted_goes_upstream_as_it_was_meant() {
    for (scenario, method, ..) in EXCHANGES {
        let message = exchange(scenario, method).0;
        let request = read(method, &message, true, MOST).unwrap();
        let permits: Vec<Permit> = request.queries.iter().map(all).collect();
        let slots: Vec<Slot<'_>> = permits.iter().map(Slot::Sent).collect();
        let forwarded = rewrite(&request, &slots).unwrap().unwrap();
        if scenario == "grpc_query_alias_expression" {
            // The ids of its nodes stay here.
            let again = read(method, &forwarded, true, MOST).unwrap();
            assert_eq!(again.queries[0].query.expressions, request.queries[0].query.expressions);
            let id = b"c7b35079-67f8-4ce3-87df-afd071a25497";
            let has = |bytes: &[u8]| bytes.windows(id.len()).any(|some| some == id);
            assert!(has(&message) && !has(&forwarded));
            continue;
        }
        let shown = |all: Vec<SingleQuery>| all.into_iter().map(shown_table).collect::<Vec<_>>();
        assert_eq!(shown(queries(method, &message)), shown(queries(method, &forwarded)), "{scenario}");
    }
}

#[test]
fn answers_pass_where_nothing_is_cut() {
    let rows = Field::Rows(
        ["transaction.id", "transaction.amount"].iter().map(|&name| (name.to_owned(), Field::Value)).collect(),
    );
    for (scenario, method, ..) in EXCHANGES {
        let (message, response) = exchange(scenario, method);
        let request = read(method, &message, true, MOST).unwrap();
        let fields =
            ["user.name", "user.fraud_score", "user.ssn", "user.count__3600__", "user.fraud_score@2", "user.harmless"];
        let mut permit = Permit { primary_key: true, ..Permit::default() };
        permit.fields = fields.iter().map(|name| ((*name).to_owned(), Field::Value)).collect();
        permit.fields.insert("user.transactions".to_owned(), rows.clone());
        let slots = vec![Slot::Sent(&permit); request.queries.len()];
        let answer = filter(&request, &slots, &response, MOST).unwrap();
        assert_eq!(answer, Answer { message: response, dropped: 0 }, "{scenario}");
    }
}

#[test]
fn what_is_not_permitted_is_cut() {
    let (message, response) = exchange("grpc_query_bulk", Method::OnlineQueryBulk);
    let request = read(Method::OnlineQueryBulk, &message, true, MOST).unwrap();
    let rows = Field::Rows(std::iter::once(("transaction.id".to_owned(), Field::Value)).collect());
    let fields = std::iter::once(("user.transactions".to_owned(), rows)).collect();
    let permit = Permit { fields, ..Permit::default() };
    let answer = filter(&request, &[Slot::Sent(&permit)], &response, MOST).unwrap();
    let cut = OnlineQueryBulkResponse::decode(answer.message).unwrap();
    let columns = |bytes: &[u8]| -> Vec<String> {
        let table = Table::read(&Bytes::copy_from_slice(bytes), MOST).unwrap();
        table.columns().map(|(name, _)| name.to_owned()).collect()
    };
    assert_eq!(columns(&cut.groups_data["user.transactions"]), ["transaction.id"]);
    assert_eq!(columns(&cut.scalars_data), Vec::<String>::new());
    let amount = b"transaction.amount";
    assert!(!cut.groups_data["user.transactions"].windows(amount.len()).any(|bytes| bytes == amount));
    // The name, and of the rows the amount and `__id__`.
    assert_eq!(answer.dropped, 3);

    // Without the has-many its table goes.
    let answer = filter(&request, &[Slot::Sent(&Permit::default())], &response, MOST).unwrap();
    let cut = OnlineQueryBulkResponse::decode(answer.message).unwrap();
    assert_eq!((cut.groups_data, answer.dropped), (BTreeMap::new(), 2));

    // No more is unpacked than is allowed.
    let error = filter(&request, &[Slot::Sent(&permit)], &response, 10).unwrap_err();
    assert_eq!(error.0, "the table unpacks to more than 10 bytes or rows");
}
