use super::*;
use crate::dialect::chalk::container::{Part, read_queries, write_queries};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/chalk/feather/");
const MOST: usize = 1 << 20;

fn fixture(name: &str) -> Bytes {
    Bytes::from(std::fs::read(format!("{FOLDER}{name}")).unwrap())
}

/// The exchanges of bulk queries that were recorded, and of each of their queries what is asked for.
const EXCHANGES: [(&str, &[&[&str]]); 5] = [
    ("http_query_bulk", &[&["user.name", "user.fraud_score"]]),
    ("http_query_bulk_alias_expression", &[&["user.harmless"]]),
    ("http_query_bulk_has_many", &[&["user.name", "user.transactions[transaction.id,transaction.amount]"]]),
    ("http_multi_query", &[&["user.name"], &["user.ssn"]]),
    ("http_multi_query_named", &[&["user.fraud_score", "user.name"]]),
];

fn request(scenario: &str) -> Bytes {
    fixture(&format!("{scenario}.req.bin"))
}

fn response(scenario: &str) -> Bytes {
    fixture(&format!("{scenario}.resp.bin"))
}

/// What permits these fields; `user.transactions[a,b]` permits rows of these columns.
fn permit(fields: &[&str]) -> Permit {
    let field = |field: &&str| match field.strip_suffix(']').and_then(|field| field.split_once('[')) {
        Some((name, columns)) => {
            let columns = columns.split(',').map(|column| (column.to_owned(), Field::Value));
            (name.to_owned(), Field::Rows(columns.collect()))
        }
        None => ((*field).to_owned(), Field::Value),
    };
    Permit { fields: fields.iter().map(field).collect(), primary_key: true, ..Permit::default() }
}

fn as_is(text: &str) -> String {
    text.to_owned()
}

fn error_as_is(text: &str, _: &Permit) -> String {
    text.to_owned()
}

#[test]
fn the_recorded_answers_pass_byte_for_byte_where_all_is_permitted() {
    for (scenario, queries) in EXCHANGES {
        let permits: Vec<_> = queries.iter().map(|fields| permit(fields)).collect();
        let slots: Vec<_> = permits.iter().map(Slot::Sent).collect();
        let answer = filter(&response(scenario), &slots, as_is, error_as_is, MOST);
        assert_eq!(answer, Ok(Answer::AsItCame), "{scenario}");
        let body = response(scenario);
        assert_eq!(Container::read(&body).unwrap().write(), body, "{scenario}");
    }
}

#[test]
fn the_recorded_requests_are_read_and_written_again() {
    for (scenario, queries) in EXCHANGES {
        let body = request(scenario);
        let parts = read_queries(&body).unwrap();
        assert_eq!(parts.len(), queries.len(), "{scenario}");
        for Part { header, table } in &parts {
            json::object(header).unwrap();
            let table = Table::read(table, MOST).unwrap();
            assert_eq!(inputs(&table), [Input { name: "user.id".into(), has_null: false }], "{scenario}");
        }
        let written = write_queries(parts.into_iter().map(|part| (part.header, part.table)));
        assert_eq!(written, body, "{scenario}");
    }
}

/// The results of an answer by their names.
fn results(body: &Bytes) -> Vec<(String, Container)> {
    let results = Container::read(body).unwrap().child(RESULTS).unwrap().clone();
    results.blobs.into_iter().map(|(name, bytes)| (name, Container::read(&bytes).unwrap())).collect()
}

fn answer(results: &[(&str, Bytes)]) -> Bytes {
    let blobs = results.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.clone()));
    let results = Container { blobs: blobs.collect(), ..Container::default() };
    Container { children: vec![(RESULTS.to_owned(), results)], ..Container::default() }.write().into()
}

/// A result of these attributes and this table, with no groups.
fn result(attrs: &str, scalars: impl Into<Bytes>) -> Container {
    Container {
        attrs: Bytes::from(attrs.to_owned()),
        blobs: vec![(SCALARS.to_owned(), scalars.into())],
        children: vec![(GROUPS.to_owned(), Container::default())],
        ..Container::default()
    }
}

const NO_DATA: &str = r#"{"has_data": false, "errors": null, "meta": null}"#;

fn columns(table: &Bytes) -> Vec<String> {
    Table::read(table, MOST).unwrap().columns().map(|(name, _)| name.to_owned()).collect()
}

fn cut(body: &Bytes, slots: &[Slot<'_>]) -> (Bytes, usize) {
    match filter(body, slots, as_is, error_as_is, MOST).unwrap() {
        Answer::Cut { body, dropped } => (Bytes::from(body.whole(&[])), dropped),
        Answer::AsItCame => panic!("nothing is cut"),
    }
}

/// Why an answer to one query, which is permitted `user.name`, does not pass.
fn why(body: &Bytes) -> String {
    let permit = permit(&["user.name"]);
    filter(body, &[Slot::Sent(&permit)], as_is, error_as_is, MOST).unwrap_err().to_string()
}

/// As Chalk has it written.
fn denied() -> Bytes {
    let error = r#"{"code": "UNAUTHORIZED", "category": "NETWORK", "message": "Feature 'user.ssn' is not authorized", "display_primary_key": null, "display_primary_key_fqn": null, "exception": null, "feature": "user.ssn", "resolver": null}"#;
    Bytes::from_static(error.as_bytes())
}

#[test]
fn a_refused_answer_is_the_one_that_chalks_client_reads() {
    let body = refused(&[Slot::Refused(vec![denied()])]);
    assert_eq!(body, fixture("denied_feather_response.bin"));
    let permit = permit(&["user.name"]);
    let slots = [Slot::Refused(vec![denied(), denied()]), Slot::Sent(&permit), Slot::Refused(vec![])];
    let results = results(&refused(&slots));
    let attrs: Vec<_> =
        results.iter().map(|(name, result)| (name.as_str(), Attrs::read(&result.attrs).unwrap())).collect();
    let [("query_0", first), ("query_1", second), ("query_2", third)] = &attrs[..] else { panic!("other names") };
    assert_eq!(first.errors.as_ref().unwrap().len(), 2);
    assert_eq!(second.errors.as_ref().unwrap().len() + third.errors.as_ref().unwrap().len(), 0);
    assert!(attrs.iter().all(|(_, attrs)| !attrs.has_data && attrs.meta.is_none()));
}

#[test]
fn a_refusal_from_upstream_passes_as_it_came() {
    let permit = permit(&["user.ssn"]);
    let body = fixture("denied_feather_response.bin");
    assert_eq!(filter(&body, &[Slot::Sent(&permit)], as_is, error_as_is, MOST), Ok(Answer::AsItCame));
}

#[test]
fn columns_are_cut_to_those_of_the_permit() {
    let permitted = permit(&["user.name"]);
    let (body, dropped) = cut(&response("http_query_bulk"), &[Slot::Sent(&permitted)]);
    assert_eq!(dropped, 1);
    let [(name, left)] = &results(&body)[..] else { panic!("other results") };
    assert_eq!((name.as_str(), columns(left.blob(SCALARS).unwrap())), ("query_0", vec!["user.name".to_owned()]));
    // What else it says is as it was.
    let [(_, came)] = &results(&response("http_query_bulk"))[..] else { panic!("other results") };
    assert_eq!(left.attrs, came.attrs);
    assert_eq!(left.children, came.children);
    assert_eq!(filter(&body, &[Slot::Sent(&permitted)], as_is, error_as_is, MOST), Ok(Answer::AsItCame));

    let none = permit(&[]);
    let (body, dropped) = cut(&response("http_query_bulk"), &[Slot::Sent(&none)]);
    assert_eq!(dropped, 2);
    assert_eq!(columns(results(&body)[0].1.blob(SCALARS).unwrap()), [""; 0]);
}

#[test]
fn groups_are_cut_to_those_of_the_permit_and_their_columns() {
    let body = response("http_query_bulk_has_many");
    let left = |fields: &[&str], key| {
        let permit = Permit { primary_key: key, ..permit(fields) };
        let (body, dropped) = cut(&body, &[Slot::Sent(&permit)]);
        let groups = results(&body)[0].1.child(GROUPS).unwrap().clone();
        (groups.blobs.iter().map(|(name, table)| (name.clone(), columns(table).join(" "))).collect::<Vec<_>>(), dropped)
    };
    let group = |columns: &str| vec![("user.transactions".to_owned(), columns.to_owned())];
    let id = ["user.name", "user.transactions[transaction.id]"];
    assert_eq!(left(&id, true), (group("__id__ transaction.id"), 1));
    assert_eq!(left(&id, false), (group("transaction.id"), 2));
    assert_eq!(left(&["user.name", "user.transactions[transaction.user_id]"], false), (group(""), 3));
    // A group that is not known, and one that is known as something else.
    assert_eq!(left(&["user.name"], true), (vec![], 1));
    assert_eq!(left(&["user.name", "user.transactions"], true), (vec![], 1));
    assert_eq!(left(&["user.transactions[transaction.id]"], false), (group("transaction.id"), 3));
}

#[test]
fn a_refused_query_among_others_is_refused_alone() {
    let (name, ssn) = (permit(&["user.name"]), permit(&["user.ssn"]));
    let refuse = || Slot::Refused(vec![denied()]);
    let slots = [refuse(), Slot::Sent(&name), refuse(), Slot::Sent(&ssn)];
    let came = response("http_multi_query");
    let (body, dropped) = cut(&came, &slots);
    assert_eq!(dropped, 0);
    let (left, came) = (results(&body), results(&came));
    let names: Vec<_> = left.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["query_0", "query_1", "query_2", "query_3"]);
    assert_eq!((&left[1].1, &left[3].1), (&came[0].1, &came[1].1));
    let refusal = &results(&fixture("denied_feather_response.bin"))[0].1;
    assert_eq!((&left[0].1, &left[2].1), (refusal, refusal));

    // The permit of each query is that of its own place.
    let (body, dropped) = cut(&response("http_multi_query"), &[Slot::Sent(&ssn), refuse(), Slot::Sent(&name)]);
    assert_eq!(dropped, 2);
    let left = results(&body);
    assert_eq!(columns(left[0].1.blob(SCALARS).unwrap()), [""; 0]);
    assert_eq!(columns(left[2].1.blob(SCALARS).unwrap()), [""; 0]);
    assert!(!body.windows(11).any(|window| window == b"000-00-0000"));
}

#[test]
fn results_in_another_order_are_put_into_theirs() {
    let came = results(&response("http_multi_query"));
    let of = |at: usize| Bytes::from(came[at].1.write());
    let body = answer(&[("query_1", of(1)), ("query_0", of(0))]);
    let (name, ssn) = (permit(&["user.name"]), permit(&["user.ssn"]));
    let (left, dropped) = cut(&body, &[Slot::Sent(&name), Slot::Sent(&ssn)]);
    assert_eq!((left, dropped), (response("http_multi_query"), 0));
}

#[test]
fn exactly_the_queries_that_were_sent_are_answered() {
    let one = || Bytes::from(result(NO_DATA, "").write());
    assert_eq!(why(&answer(&[])), "the query 0 that was sent is not answered");
    assert_eq!(why(&answer(&[("query_1", one())])), "the query 0 that was sent is not answered");
    assert_eq!(why(&answer(&[("query_0", one()), ("query_1", one())])), "`query_1` is answered and was not sent");
    assert_eq!(why(&answer(&[("query_0", one()), ("x\n", one())])), "`x\\u{a}` is answered and was not sent");
    let sent = filter(&answer(&[("query_0", one())]), &[], as_is, error_as_is, MOST);
    assert_eq!(sent, Err(Unreadable("`query_0` is answered and was not sent".to_owned())));
    let refused = [Slot::Refused(vec![])];
    let body = answer(&[("query_0", one())]);
    assert!(filter(&body, &refused, as_is, error_as_is, MOST).is_err());
}

#[test]
fn errors_and_meta_pass_as_they_are_told_to() {
    let attrs = r#"{"meta": "{\"query_id\": \"q\"}", "errors": ["{\"a\": 1}", "{\"b\": \"x\"}"], "has_data": false}"#;
    let body = answer(&[("query_0", result(attrs, "").write().into())]);
    let permitted = permit(&["user.name"]);
    let slots = [Slot::Sent(&permitted)];
    assert_eq!(filter(&body, &slots, as_is, error_as_is, MOST), Ok(Answer::AsItCame));
    let with = |meta: &dyn Fn(&str) -> String, errors: &dyn Fn(&str, &Permit) -> String| match filter(
        &body, &slots, meta, errors, MOST,
    )
    .unwrap()
    {
        Answer::Cut { body, dropped: 0 } => {
            String::from_utf8(results(&Bytes::from(body.whole(&[])))[0].1.attrs.to_vec()).unwrap()
        }
        other => panic!("{other:?}"),
    };
    let none = with(&|_| "null".to_owned(), &error_as_is);
    assert_eq!(none, r#"{"has_data": false, "errors": ["{\"a\": 1}", "{\"b\": \"x\"}"], "meta": null}"#);
    let less = with(&|meta| meta.replace("\"q\"", "null"), &error_as_is);
    assert!(less.ends_with(r#""meta": "{\"query_id\": null}"}"#), "{less}");
    let told = with(&as_is, &|error, permit| {
        assert!(permit.fields.contains_key("user.name"));
        error.replace("\"x\"", "0")
    });
    assert!(told.contains(r#"["{\"a\": 1}", "{\"b\": 0}"]"#), "{told}");
}

#[test]
fn attributes_are_a_closed_set() {
    let table = results(&response("http_query_bulk"))[0].1.blob(SCALARS).unwrap().clone();
    let attrs = |attrs: &str| why(&answer(&[("query_0", result(attrs, table.clone()).write().into())]));
    for (text, why) in [
        ("{}", "a result does not say whether it has data"),
        (r#"{"has_data": 1}"#, "the attribute `has_data` of a result is not known as it is"),
        (r#"{"has_data": true, "scalar_data": "x"}"#, "the attribute `scalar_data` of a result is not known as it is"),
        (r#"{"has_data": true, "errors": {}}"#, "the attribute `errors` of a result is not known as it is"),
        (r#"{"has_data": true, "errors": [{}]}"#, "an error of a result is no text"),
        (r#"{"has_data": true, "meta": {}}"#, "the attribute `meta` of a result is not known as it is"),
    ] {
        assert_eq!(attrs(text), why, "{text}");
    }
}

#[test]
fn a_result_is_one_table_and_groups_of_tables() {
    let whole = results(&response("http_query_bulk_has_many"))[0].1.clone();
    let refused = |change: &dyn Fn(&mut Container)| {
        let mut result = whole.clone();
        change(&mut result);
        let permit = permit(&["user.name", "user.transactions[__id__]"]);
        let body = answer(&[("query_0", result.write().into())]);
        filter(&body, &[Slot::Sent(&permit)], as_is, error_as_is, MOST).unwrap_err().to_string()
    };
    let parts = "a result does not consist of `scalar_data` and `groups_data`";
    let x = || Bytes::from_static(b"x");
    assert_eq!(refused(&|result| result.blobs.push(("more".to_owned(), x()))), parts);
    assert_eq!(refused(&|result| result.blobs[0].0 = "scalars".to_owned()), parts);
    assert_eq!(refused(&|result| result.blobs.clear()), parts);
    assert_eq!(refused(&|result| result.children.clear()), parts);
    assert_eq!(refused(&|result| result.children[0].0 = "groups".to_owned()), parts);
    assert_eq!(refused(&|result| result.pydantic = Bytes::from_static(b"{\"a\": 1}")), parts);
    let groups = "`groups_data` holds more than tables";
    assert_eq!(refused(&|result| result.children[0].1.attrs = Bytes::from_static(b"{\"a\": 1}")), groups);
    assert_eq!(refused(&|result| result.children[0].1.pydantic = Bytes::from_static(b"{\"a\": 1}")), groups);
    let child = || ("c".to_owned(), Container::default());
    assert_eq!(refused(&|result| result.children[0].1.children.push(child())), groups);
    let no_file = "the table is no arrow ipc file";
    assert_eq!(refused(&|result| result.blobs[0].1 = x()), no_file);
    assert_eq!(refused(&|result| result.blobs[0].1 = Bytes::new()), no_file);
    assert_eq!(refused(&|result| result.children[0].1.blobs[0].1 = x()), no_file);

    let outer = |change: &dyn Fn(&mut Container)| {
        let mut body = Container::read(&response("http_query_bulk")).unwrap();
        change(&mut body);
        why(&body.write().into())
    };
    let more = "the answer holds more than `query_results_bytes`";
    assert_eq!(outer(&|body| body.attrs = Bytes::from_static(b"{\"a\": 1}")), more);
    assert_eq!(outer(&|body| body.pydantic = Bytes::from_static(b"{\"a\": 1}")), more);
    assert_eq!(outer(&|body| body.blobs.push(("a".to_owned(), x()))), more);
    let other = "the answer does not consist of `query_results_bytes`";
    assert_eq!(outer(&|body| body.children.push(child())), other);
    assert_eq!(outer(&|body| body.children[0].0 = "results".to_owned()), other);
    let queries = "`query_results_bytes` holds more than queries";
    assert_eq!(outer(&|body| body.children[0].1.attrs = Bytes::from_static(b"{\"a\": 1}")), queries);
    assert_eq!(outer(&|body| body.children[0].1.pydantic = Bytes::from_static(b"{\"a\": 1}")), queries);
    assert_eq!(outer(&|body| body.children[0].1.children.push(child())), queries);
}

#[test]
fn all_tables_together_unpack_to_no_more_than_they_may() {
    let body = response("http_multi_query");
    let size = |at: usize| Table::read(results(&body)[at].1.blob(SCALARS).unwrap(), MOST).unwrap().size();
    let both = size(0) + size(1);
    let (name, ssn) = (permit(&["user.name"]), permit(&["user.ssn"]));
    let slots = [Slot::Sent(&name), Slot::Sent(&ssn)];
    assert_eq!(filter(&body, &slots, as_is, error_as_is, both), Ok(Answer::AsItCame));
    let said = format!("the table unpacks to more than {} bytes or rows", size(1) - 1);
    assert_eq!(filter(&body, &slots, as_is, error_as_is, both - 1), Err(Unreadable(said)));
}

#[test]
fn an_answer_cut_short_anywhere_does_not_pass() {
    let body = response("http_query_bulk_has_many");
    let permit = permit(&["user.name", "user.transactions[transaction.id,transaction.amount]"]);
    let passes = |body: &Bytes| filter(body, &[Slot::Sent(&permit)], as_is, error_as_is, MOST);
    assert_eq!(passes(&body), Ok(Answer::AsItCame));
    for end in 0..body.len() {
        assert!(passes(&body.slice(..end)).is_err(), "{end}");
    }
    assert!(passes(&[&body[..], b"\0"].concat().into()).is_err());
}

#[test]
fn an_upload_is_read_and_written_again() {
    let body = fixture("http_multi_upload_features.req.bin");
    let upload = Upload::read(&body).unwrap();
    assert_eq!(
        (upload.features.join(" "), upload.compression.as_str()),
        ("user.id user.name".to_owned(), "uncompressed")
    );
    assert_eq!(columns(&upload.table), upload.features);
    assert_eq!(upload.write(), body);

    let refused = |change: &dyn Fn(&mut Container)| {
        let mut body = Container::read(&body).unwrap();
        change(&mut body);
        Upload::read(&body.write().into()).unwrap_err().to_string()
    };
    let parts = "the upload does not consist of `features`, `table_compression` and a table";
    let attrs = |text: &'static str| refused(&|body| body.attrs = Bytes::from_static(text.as_bytes()));
    assert_eq!(attrs(r#"{"features": [], "table_compression": "lz4", "more": null}"#), parts);
    assert_eq!(attrs(r#"{"features": [1], "table_compression": "lz4"}"#), parts);
    assert_eq!(attrs(r#"{"table_compression": "lz4"}"#), parts);
    assert_eq!(attrs(r#"{"features": []}"#), parts);
    let codec = attrs(r#"{"features": [], "table_compression": "gz`ip"}"#);
    assert_eq!(codec, "the table_compression `gz`ip` is not known");
    assert_eq!(refused(&|body| body.blobs.clear()), parts);
    assert_eq!(refused(&|body| body.blobs[0].0 = "table".to_owned()), parts);
    assert_eq!(refused(&|body| body.pydantic = Bytes::from_static(b"{\"a\": 1}")), parts);
    assert_eq!(refused(&|body| body.children.push(("a".to_owned(), Container::default()))), parts);
    assert!(Upload::read(&body.slice(1..)).is_err());
}

#[test]
fn no_change_of_bytes_lets_what_is_refused_pass() {
    // Each byte of an answer that holds a refused value, changed: it stays out, or nothing passes.
    let body = response("http_query_bulk_has_many");
    let permit = permit(&["user.transactions[transaction.id]"]);
    for at in 0..body.len() {
        for change in [1, 0x80, 0xff] {
            let mut body = body.to_vec();
            body[at] ^= change;
            if let Ok(answer) = filter(&body.into(), &[Slot::Sent(&permit)], as_is, error_as_is, MOST) {
                let Answer::Cut { body, .. } = answer else { panic!("passes as it came: byte {at}") };
                assert!(!body.whole(&[]).windows(3).any(|window| window == b"Ada"), "byte {at}");
            }
        }
    }
}
