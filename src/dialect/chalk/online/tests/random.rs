//! Random answers under random permits: what comes back is what a second opinion makes of it, to the byte.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;

const FIELDS: [&str; 6] = ["user.id", "user.name", "user.ssn", "user.txns", "user.txns@2", "user.Name"];
const COLUMNS: [&str; 4] = ["t.id", "t.amount", "t.ssn", "t.items"];
/// Values in texts that a reader of numbers or strings would write otherwise.
const VALUES: [&str; 9] =
    ["null", "1.50", "-0", "1e5", r#""\u0041""#, "[1 , 2]", r#"{ "columns" : [1] }"#, "true", "12345678901234567890"];

/// What an upstream holds in a field.
#[derive(Clone, Debug)]
enum Held {
    Value(&'static str),
    Rows(Vec<(&'static str, Vec<Held>)>),
}

#[derive(Clone, Debug)]
struct Element {
    field: &'static str,
    value: Held,
    pkey: Option<&'static str>,
    extra: bool,
    meta: bool,
}

fn held() -> impl Strategy<Value = Held> {
    let value = || select(&VALUES[..]).prop_map(Held::Value);
    let rows = |cells: BoxedStrategy<Held>| {
        (subsequence(COLUMNS.to_vec(), 0..=4).prop_shuffle(), vec(vec(cells, 0..3), 4))
            .prop_map(|(names, cells)| Held::Rows(names.into_iter().zip(cells).collect()))
    };
    let inner = rows(value().boxed());
    let cell = prop_oneof![3 => value(), 2 => inner].boxed();
    prop_oneof![value(), rows(cell)]
}

fn element(field: &'static str) -> impl Strategy<Value = Element> {
    (held(), select(vec![None, Some("null"), Some("7"), Some(r#""u""#)]), any::<bool>(), any::<bool>())
        .prop_map(move |(value, pkey, extra, meta)| Element { field, value, pkey, extra, meta })
}

fn answer() -> impl Strategy<Value = Vec<Element>> {
    subsequence(FIELDS.to_vec(), 0..=6)
        .prop_shuffle()
        .prop_flat_map(|fields| fields.into_iter().map(element).collect::<Vec<_>>())
}

fn permitted_field() -> impl Strategy<Value = Field> {
    let rows = |inner: BoxedStrategy<Field>| {
        (subsequence(COLUMNS.to_vec(), 0..=4), vec(inner, 4))
            .prop_map(|(names, fields)| Field::Rows(names.into_iter().map(str::to_owned).zip(fields).collect()))
    };
    let inner = rows(Just(Field::Value).boxed());
    let column = prop_oneof![4 => Just(Field::Value), 1 => inner].boxed();
    prop_oneof![Just(Field::Value), rows(column)]
}

fn permit() -> impl Strategy<Value = Permit> {
    (subsequence(FIELDS.to_vec(), 0..=6), vec(permitted_field(), 6), any::<bool>()).prop_map(
        |(names, fields, primary_key)| Permit {
            fields: names.into_iter().map(str::to_owned).zip(fields).collect(),
            primary_key,
            ..Permit::default()
        },
    )
}

/// What is left of a value; `None`: it is in no form that can be cut.
fn left(held: &Held, field: &Field) -> Option<Held> {
    match (held, field) {
        (_, Field::Value) => Some(held.clone()),
        (Held::Value(value), Field::Rows(_)) => (*value == "null").then(|| held.clone()),
        (Held::Rows(columns), Field::Rows(permitted)) => {
            let kept = columns.iter().filter_map(|(name, cells)| {
                let field = permitted.get(*name)?;
                let cells: Option<Vec<_>> = cells.iter().map(|cell| left(cell, field)).collect();
                Some(cells.map(|cells| (*name, cells)))
            });
            Some(Held::Rows(kept.collect::<Option<_>>()?))
        }
    }
}

fn write(held: &Held) -> String {
    match held {
        Held::Value(value) => (*value).to_owned(),
        Held::Rows(columns) => {
            let names: Vec<_> = columns.iter().map(|(name, _)| format!("\"{name}\"")).collect();
            let lists: Vec<_> = columns
                .iter()
                .map(|(_, cells)| format!("[{}]", cells.iter().map(write).collect::<Vec<_>>().join(",")))
                .collect();
            format!(r#"{{"columns":[{}],"values":[{}]}}"#, names.join(","), lists.join(","))
        }
    }
}

fn write_answer(elements: &[Element]) -> String {
    let one = |element: &Element| {
        let extra = if element.extra { r#","metadata_val":7"# } else { "" };
        let pkey = element.pkey.map(|pkey| format!(r#","pkey":{pkey}"#)).unwrap_or_default();
        let meta = if element.meta { r#","meta":{"chosen_resolver_fqn":"m.f","cache_hit":false}"# } else { "" };
        format!(r#"{{"field":"{}","value":{}{extra}{pkey}{meta}}}"#, element.field, write(&element.value))
    };
    let elements: Vec<_> = elements.iter().map(one).collect();
    format!(r#"{{"data":[{}],"errors":[],"meta":null}}"#, elements.join(","))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn exactly_the_permitted_comes_back(elements in answer(), permit in permit()) {
        let sent = write_answer(&elements);
        let text = body(r#""include_meta":true"#);
        let request = read(text.as_bytes(), true).unwrap();
        let filtered = filter(sent.as_bytes(), &permit, &request);
        let expected: Option<Vec<Element>> = elements
            .iter()
            .filter_map(|element| {
                let value = left(&element.value, permit.fields.get(element.field)?);
                let pkey = element.pkey.map(|pkey| if permit.primary_key { pkey } else { "null" });
                Some(value.map(|value| Element { value, pkey, extra: false, ..element.clone() }))
            })
            .collect();
        match (filtered, expected) {
            (Ok(Answer::AsItCame), Some(expected)) => prop_assert_eq!(write_answer(&expected), sent),
            (Ok(Answer::Cut { body, .. }), Some(expected)) => {
                let body = body.whole(sent.as_bytes());
                prop_assert_eq!(super::text(&body), write_answer(&expected));
                prop_assert_ne!(super::text(&body), sent);
            }
            (Err(error), None) => {
                // The last is `{ "columns" : [1] }` where rows are expected.
                let known = [" are not columns and values", " lack their columns or values"];
                prop_assert!(known.iter().any(|known| error.0.ends_with(known)), "{}", error);
            }
            (filtered, expected) => prop_assert!(false, "{:?} where {:?} was expected", filtered, expected),
        }
    }

    #[test]
    fn no_text_stops_the_reader(text in r#"[\[\]{}":, a-z0-9\\.]{0,60}"#, members in "\"[a-z_]{1,12}\":[\\[{\"0-9tn]{0,8}") {
        // Whatever they give, they give it without a panic.
        let _ = (read(text.as_bytes(), true), read_upload(text.as_bytes()));
        let _ = read(body(&members).as_bytes(), true);
        let _ = filter_upload(text.as_bytes(), &Permit::default());
    }
}
