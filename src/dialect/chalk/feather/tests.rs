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
            assert_eq!(inputs(&table), [Input { name: "user.id".to_owned(), has_null: false }], "{scenario}");
        }
        let written = write_queries(parts.into_iter().map(|part| (part.header, part.table)));
        assert_eq!(written, body, "{scenario}");
    }
}
