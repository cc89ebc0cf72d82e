//! What the judge says of answers that are not as they should be.

use std::collections::BTreeSet;

use super::*;
use crate::conformance::serve;

fn rules() -> Table {
    let mut tables = Table::all().unwrap_or_else(|report| panic!("{report}"));
    tables.swap_remove(0)
}

fn case(table: &Table, name: &str) -> Case {
    table.cases.iter().find(|case| case.name == name).unwrap_or_else(|| panic!("no case `{name}`")).clone()
}

/// What the feature server itself answers.
fn answer(table: &Table, case: &Case, dialect: Dialect) -> Exchange {
    let ask = ask(table, case, dialect).unwrap();
    serve::exchange(table, dialect, &ask.path, &ask.body)
}

fn refusal(text: &str) -> Exchange {
    Exchange { status: 403, body: text.to_owned().into(), ..Exchange::default() }
}

#[test]
fn what_is_permitted_passes_in_every_dialect() {
    let table = rules();
    let judge = Judge::new(&table).unwrap();
    for name in ["values stay what they are", "a bundle is answered whole"] {
        let case = case(&table, name);
        for dialect in Dialect::ALL {
            let faults = judge.faults(&case, dialect, &answer(&table, &case, dialect));
            assert_eq!(faults, Vec::<String>::new(), "{}: {name}", dialect.name());
        }
    }
}

/// The values of what is refused are found in the answers of every dialect, packed or not.
#[test]
fn what_leaks_is_found_in_every_dialect() {
    let table = rules();
    let judge = Judge::new(&table).unwrap();
    for (name, feature) in
        [("Deny is not returned", "raw.secret"), ("a number that is denied is not returned", "kept.secret_number")]
    {
        let case = case(&table, name);
        for dialect in Dialect::ALL {
            let faults = judge.faults(&case, dialect, &answer(&table, &case, dialect));
            let expected =
                ["expected: refused; came: an answer".to_owned(), format!("a value of `{feature}` came through")];
            assert_eq!(faults, expected, "{}", dialect.name());
        }
    }
}

/// A value is found wherever it stands, however it is spelled.
#[test]
fn a_leak_is_found_in_every_place() {
    let table = rules();
    let needles = Needles::new(&table).unwrap();
    let found = |exchange: &Exchange| needles.found(&[], exchange, &[]);
    let with = |text: &str| Exchange { body: text.to_owned().into(), ..Exchange::default() };
    let pair = |value: &str| vec![("x-any".to_owned(), value.as_bytes().to_vec())];
    let places = [
        with("Traceback: value-raw-secret-2"),
        with(r#"{"detail": "\u0076alue-raw-secret-3"}"#),
        with(r#"{"value\u002draw-secret-1": 1}"#),
        with(r#"{"errors": ["{\"message\": \"\\u0076alue-raw-secret-1\"}"]}"#),
        Exchange { headers: pair("x value-raw-secret-1 y"), ..Exchange::default() },
        Exchange { trailers: pair("could%20not %76alue-raw%2dsecret-1"), ..Exchange::default() },
    ];
    for exchange in &places {
        assert_eq!(found(exchange), BTreeSet::from(["raw.secret".to_owned()]), "{exchange:?}");
    }
    assert_eq!(found(&with("7310000000000002")), BTreeSet::from(["kept.secret_number".to_owned()]));
    let bytes = Exchange { body: 7_310_000_000_000_002_i64.to_le_bytes().to_vec().into(), ..Exchange::default() };
    assert_eq!(found(&bytes), BTreeSet::from(["kept.secret_number".to_owned()]));
    assert!(found(&with("raw.secret raw:secret raw__secret value-raw- 7310")).is_empty());
    // What is answered may stand anywhere.
    let fine = [("raw.secret".to_owned(), vec![table.value("raw.secret", 2).unwrap()])];
    assert!(needles.found(&fine, &with("value-raw-secret-2"), &[]).is_empty());
    assert!(!needles.found(&fine, &with("value-raw-secret-1"), &[]).is_empty());
}

#[test]
fn columns_are_held_one_by_one() {
    let table = rules();
    let case = case(&table, "rows stay aligned where outputs are taken out");
    let column = |name: &str, feature: &str, rows: &[usize]| {
        let cells = rows.iter().map(|row| table.value(feature, *row).unwrap()).collect();
        (name.to_owned(), cells)
    };
    let open = column("raw__open", "raw.open", &[1, 2, 3]);
    let cleared = column("raw__cleared", "raw.cleared", &[1, 2, 3]);
    let key = ("entity_id".to_owned(), (1..=3).map(|row| Cell::Text(format!("row-{row}"))).collect::<Vec<_>>());
    let faults = |columns: &[&Column]| {
        let got = Got::Answer(columns.iter().map(|column| (*column).clone()).collect());
        let wanted = wanted(&table, &case, Dialect::Feast);
        decision(&table, &case, Dialect::Feast, &got, &wanted)
    };
    assert_eq!(faults(&[&key, &cleared, &open]), Vec::<String>::new());
    assert_eq!(faults(&[&open, &cleared]), Vec::<String>::new());
    assert_eq!(faults(&[&key, &open]), ["`raw__cleared` is missing"]);
    assert_eq!(faults(&[&open, &cleared, &open]), ["`raw__open` came twice"]);
    let swapped = column("raw__open", "raw.open", &[2, 1, 3]);
    assert_eq!(faults(&[&swapped, &cleared]), ["`raw__open` has another value than is held, in row 1, 2"]);
    let short = column("raw__open", "raw.open", &[1, 2]);
    assert_eq!(faults(&[&short, &cleared]), ["`raw__open` has 2 rows, not 3"]);
    let pii = column("raw__pii", "raw.pii", &[1, 2, 3]);
    assert_eq!(faults(&[&open, &cleared, &pii]), ["`raw__pii` came and was not to"]);
    let nulls = ("raw__open".to_owned(), vec![Cell::Null; 3]);
    assert_eq!(faults(&[&nulls, &cleared]), ["`raw__open` has another value than is held, in row 1, 2, 3"]);
    let mut other_key = key.clone();
    other_key.1.reverse();
    assert_eq!(faults(&[&other_key, &open, &cleared]), ["`entity_id` has another value than is held, in row 1, 3"]);
}

#[test]
fn refusals_name_what_was_written_and_nothing_else() {
    let table = rules();
    let judge = Judge::new(&table).unwrap();
    let one = case(&table, "one refused output refuses the query, and it alone is named");
    let bundle = case(&table, "one refused member refuses a bundle, which alone is named");
    let body = |names: &str| {
        refusal(&format!(r#"{{"detail": "no", "error": {{"code": "FEATURES_REFUSED", "refused": [{names}]}}}}"#))
    };
    let faults = |case: &Case, names: &str| judge.faults(case, Dialect::Feast, &body(names));
    assert_eq!(faults(&one, r#""raw:pii""#), Vec::<String>::new());
    assert_eq!(faults(&one, ""), ["`raw:pii` is not named as refused"]);
    assert_eq!(faults(&one, r#""raw:pii", "raw:open""#), ["`raw:open` is named as refused"]);
    assert_eq!(faults(&bundle, r#""one_internal""#), Vec::<String>::new());
    assert_eq!(
        faults(&bundle, r#""raw:pii""#),
        ["`one_internal` is not named as refused", "`raw:pii` is named as refused"]
    );
    // gRPC has a text alone.
    let ended = |message: &str| Exchange {
        status: 200,
        headers: vec![
            ("grpc-status".to_owned(), b"7".to_vec()),
            ("grpc-message".to_owned(), message.as_bytes().to_vec()),
        ],
        ..Exchange::default()
    };
    let faults = |case: &Case, message: &str| judge.faults(case, Dialect::FeastGrpc, &ended(message));
    assert_eq!(faults(&one, "Not permitted: raw:pii"), Vec::<String>::new());
    assert_eq!(faults(&one, "Not permitted"), ["`raw:pii` is not named as refused"]);
    assert_eq!(faults(&one, "Not permitted: raw:pii, made:pure"), ["`made:pure` is named as refused"]);
    assert_eq!(faults(&bundle, "Not permitted: one_internal"), Vec::<String>::new());
    let nobody = case(&table, "a token without a role is forbidden everything");
    assert_eq!(faults(&nobody, "This caller may not"), Vec::<String>::new());
    assert_eq!(faults(&nobody, "raw:open is not for you"), ["`raw:open` is named as refused"]);
}

/// What is expected is not mistaken for something like it.
#[test]
fn ends_are_told_apart() {
    let table = rules();
    let judge = Judge::new(&table).unwrap();
    let body = |status, code: &str| Exchange {
        status,
        body: format!(r#"{{"error": {{"code": "{code}"}}}}"#).into(),
        ..Exchange::default()
    };
    let ends = [
        ("an output that is asked for twice cannot be answered twice", body(400, "INVALID_QUERY")),
        ("a token without a role is forbidden everything", body(403, "FORBIDDEN")),
        ("without a token there is no answer", body(401, "UNAUTHORIZED")),
        ("a column that comes twice, with other values, does not come through", body(502, "UPSTREAM_UNREADABLE")),
    ];
    for (name, _) in &ends {
        let case = case(&table, name);
        for (other, exchange) in &ends {
            let faults = judge.faults(&case, Dialect::Feast, exchange);
            assert_eq!(faults.is_empty(), name == other, "{name}, {other}: {faults:?}");
        }
    }
    // Feast's own status stands beside our code.
    let fails = case(&table, "an error of the feature server tells no value");
    assert_eq!(judge.faults(&fails, Dialect::Feast, &body(404, "UPSTREAM_FAILED")), Vec::<String>::new());
    let refused = case(&table, "Deny is not returned");
    assert_eq!(judge.faults(&refused, Dialect::Feast, &body(403, "FORBIDDEN")), ["expected: refused; came: forbidden"]);
    let filtered = case(&table, "filter takes out what is refused");
    let mut passes = answer(&table, &case(&table, "filter changes nothing where nothing is refused"), Dialect::Feast);
    passes.headers.push(("x-tagwarden-filtered".to_owned(), b"0".to_vec()));
    assert!(judge.faults(&filtered, Dialect::Feast, &passes).contains(&"`x-tagwarden-filtered` is not 1".to_owned()));
}
