//! Answers in one pass: what comes back is what the strict way makes of the same answer, to the byte, error or not.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::super::answer::filter_strictly;
use super::super::rows;
use super::*;

const NAMES: [&str; 6] = ["user.id", "user.name", r"user.n\u0061me", "user.ssn", "user.txns", "user.zoë"];
const VALUES: [&str; 34] = [
    "null",
    "true",
    "false",
    "0",
    "-0.5",
    "-609.1078",
    "123456",
    "12345678901234567890",
    "1e5",
    "1.5E-7",
    "0.1234567890123456789",
    r#""""#,
    r#""gold""#,
    r#""bronze é""#,
    r#""a \"quoted\" value""#,
    r#""a text that goes on for more than sixteen bytes""#,
    r#""\u0041\ud83d\ude00""#,
    r#""\\\"\/\b\f\n\r\t\\""#,
    r#""\\\\\\\\\\\\\\\\""#,
    r#""fifteen bytes \"""#,
    r#""日本語の文字列がここに長く続いています""#,
    r#""ascii for sixteen, then é and \" and zoë""#,
    "-123456789012.5",
    "123456789012345",
    "1234567890123.25",
    "-0",
    "0.0",
    "[]",
    "[1, 2.5 ,null]",
    r#"["a",[1]]"#,
    r#"{"a": {"b": [1]}}"#,
    r#"{"columns":["t.id","t.ssn"],"values":[[1,2],["s","t"]]}"#,
    r#"{"columns":["t.id"],"values":[[1,2]]}"#,
    // What is not JSON.
    "01",
];
const TAILS: [&str; 19] = [
    "",
    r#","pkey":"1","ts":"2026-01-01T00:00:00Z""#,
    r#","pkey":"1","ts":"2026-01-01T00:00:00Z""#,
    r#","pkey":"1""#,
    r#","pkey":1"#,
    r#","pkey":null,"error":null,"valid":true,"ts":null,"meta":null"#,
    r#","pkey":"1","error":null,"valid":true,"ts":"2026-01-01T00:00:00Z","meta":null"#,
    r#", "pkey": "1", "ts": "2026-01-01T00:00:00Z""#,
    r#","pkey":[1]"#,
    r#","ts":"2026-01-01T00:00:00Z","pkey":"1""#,
    r#","valid":true,"pkey":"1","ts":"2026-01-01 00:00:00.123456+00:00","error":null"#,
    r#","pkey":"zoë \"1\" \u0031","ts":null"#,
    r#","meta":{"chosen_resolver_fqn":"m.f","cache_hit":false},"pkey":"1""#,
    r#","error":{"code":"RESOLVER_FAILED","message":"000"}"#,
    r#","ts":"the secret""#,
    r#","extra":7,"pkey":"1""#,
    r#","pkey":"1","pkey":"1""#,
    r#","pk\u0065y":"1""#,
    r#","value":1"#,
];
const ENDS: [&str; 8] = [
    r#"],"errors":[],"meta":null}"#,
    r#"],"errors":[],"meta":null}"#,
    "] }\n",
    r#"], "errors": null}"#,
    r#"],"errors":[{"code":"RESOLVER_FAILED","message":"000"}],"meta":{"query_id":"q","s":1}}"#,
    r#"],"errors":[],"meta":null,"more":1}"#,
    r#"],"errors":[],"data":[]}"#,
    r#"],"errors":{}}"#,
];

/// Rows of mostly the same fields, with one way to write them, mostly.
fn answer() -> impl Strategy<Value = String> {
    let of_row = vec((select(&NAMES[..]), select(&TAILS[..])), 1..5);
    let values = vec(select(&VALUES[..VALUES.len() - 1]), 16);
    let odd = proptest::option::weighted(0.3, (any::<Index>(), select(&VALUES[..]), select(&TAILS[..])));
    let begins = select(vec![r#"{"data":["#, r#"{"data":["#, "{ \"data\" : [ "]);
    let (commas, colons) = (select(vec![",", ",", ", ", " ,\n"]), select(vec![":", ":", ": "]));
    (of_row, 1..6usize, values, odd, begins, commas, colons, select(&ENDS[..])).prop_map(
        |(of_row, rows, values, odd, begin, comma, colon, end)| {
            let mut values = values.into_iter().cycle();
            let mut elements = Vec::new();
            for row in 0..rows {
                for (name, tail) in &of_row {
                    let tail = tail.replace("\"1\"", &format!("\"{row}\""));
                    let value = values.next().unwrap();
                    elements.push((*name, value, tail));
                }
            }
            if let Some((at, value, tail)) = odd {
                let at = at.index(elements.len());
                (elements[at].1, elements[at].2) = (value, tail.to_owned());
            }
            let elements: Vec<String> = elements
                .iter()
                .map(|(name, value, tail)| format!(r#"{{"field"{colon}"{name}","value"{colon}{value}{tail}}}"#))
                .collect();
            format!("{begin}{}{end}", elements.join(comma))
        },
    )
}

/// A byte taken out, put in or replaced, or a stretch moved.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let bytes = select(b"{}[],:\"\\ 0e.-n\x00\x1f\x80\xc3".to_vec());
    (answer(), vec((0..4u8, any::<Index>(), any::<Index>(), bytes), 1..3)).prop_map(|(answer, changes)| {
        let mut body = answer.into_bytes();
        for (what, at, other, byte) in changes {
            let (at, other) = (at.index(body.len()), other.index(body.len()));
            match what {
                0 => drop(body.remove(at)),
                1 => body.insert(at, byte),
                2 => body[at] = byte,
                _ => {
                    let stretch = body[at.min(other)..at.max(other)].to_vec();
                    body.splice(at..at, stretch);
                }
            }
        }
        body
    })
}

fn permits() -> impl Strategy<Value = Permit> {
    let field = prop_oneof![3 => Just(Field::Value), 1 => Just(columns(["t.id"]))];
    (vec(proptest::option::weighted(0.8, field), NAMES.len()), any::<bool>()).prop_map(|(given, primary_key)| {
        let named = NAMES.iter().map(|name| name.replace(r"\u0061", "a")).zip(given);
        let fields = named.filter_map(|(name, field)| Some((name, field?))).collect();
        Permit { fields, primary_key, ..Permit::default() }
    })
}

/// Both ways; and the same with so much behind the answer that all of it is within windows.
fn both(body: &[u8], permit: &Permit, with_meta: bool) -> [Result<(Vec<u8>, usize), String>; 2] {
    let [one, strict] = both_as_it_is(&[body, &[b' '; 200]].concat(), permit, with_meta);
    assert_eq!(one, strict, "before blanks: {}", String::from_utf8_lossy(body));
    both_as_it_is(body, permit, with_meta)
}

fn both_as_it_is(body: &[u8], permit: &Permit, with_meta: bool) -> [Result<(Vec<u8>, usize), String>; 2] {
    let asked = self::body(if with_meta { r#""include_meta":true"# } else { "" });
    let request = read(asked.as_bytes(), true).unwrap();
    [filter(body, permit, &request), filter_strictly(body, permit, &request)].map(|filtered| match filtered {
        Ok(Answer::AsItCame) => Ok((b"as it came".to_vec(), 0)),
        Ok(Answer::Cut { body: cut, dropped }) => Ok((cut.whole(body), dropped)),
        Err(error) => Err(error.0),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn one_pass_is_the_strict_way(body in answer(), permit in permits(), with_meta in any::<bool>()) {
        let [one, strict] = both(body.as_bytes(), &permit, with_meta);
        prop_assert_eq!(one, strict, "{}", body);
    }

    #[test]
    fn whatever_happens_to_an_answer(body in mutated(), permit in permits(), with_meta in any::<bool>()) {
        let [one, strict] = both(&body, &permit, with_meta);
        prop_assert_eq!(one, strict, "{}", String::from_utf8_lossy(&body));
    }
}

/// No byte of an answer is passed over.
#[test]
fn every_change_of_a_byte_is_judged_as_strictly() {
    let element = |row: usize, name: &str, value: &str| {
        format!(r#"{{"field":"{name}","value":{value},"pkey":"{row}","ts":"2026-01-01T00:00:00Z"}}"#)
    };
    let elements: Vec<String> = (0..3)
        .flat_map(|row| {
            [("user.id", "-12.5"), ("user.ssn", "7"), ("user.name", "\"bronze é\"")]
                .map(|(name, value)| element(row, name, value))
        })
        .collect();
    let body = format!(r#"{{"data":[{}],"errors":[],"meta":null}}"#, elements.join(",")).into_bytes();
    let fields = fields([("user.id", Field::Value), ("user.name", Field::Value)]);
    for primary_key in [true, false] {
        let permit = Permit { fields: fields.clone(), primary_key, ..Permit::default() };
        for at in 0..body.len() {
            for byte in *b"\"\\{}[],: 0n\x00\xff" {
                let mut body = body.clone();
                body[at] = byte;
                let [one, strict] = both(&body, &permit, false);
                assert_eq!(one, strict, "byte {at}: {}", String::from_utf8_lossy(&body));
            }
        }
    }
}

/// Whatever order fields and rows come in, none of a row passes twice.
#[test]
fn a_field_stands_once_in_a_row_in_any_order() {
    const FIELDS: [&str; 4] = ["user.a", "user.b", "user.dropped", "user.c"];
    let permit = Permit {
        fields: fields([("user.a", Field::Value), ("user.b", Field::Value), ("user.c", Field::Value)]),
        primary_key: true,
        ..Permit::default()
    };
    let element = |name: &str, key: usize| format!(r#"{{"field":"{name}","value":{key},"pkey":"{key}"}}"#);
    let known = FIELDS.map(|name| element(name, 1)).join(",");
    let (mut refused, mut passed) = (0, 0);
    for order in 0..4_usize.pow(5) {
        // At which of the elements another row begins.
        for rows in [0b1, 0b11, 0b101, 0b1001, 0b1_0001, 0b11_0001, 0b1_0101, 0b0] {
            let (mut order, mut key) = (order, 1);
            let elements: Vec<String> = (0..5)
                .map(|at| {
                    let name = FIELDS[order % 4];
                    order /= 4;
                    key += rows >> at & 1;
                    element(name, key)
                })
                .collect();
            let body = format!(r#"{{"data":[{known},{}],"errors":[],"meta":null}}"#, elements.join(","));
            let [one, strict] = both_as_it_is(format!("{body}{:200}", "").as_bytes(), &permit, false);
            *(if strict.is_ok() { &mut passed } else { &mut refused }) += 1;
            assert_eq!(one, strict, "{body}");
        }
    }
    assert!(refused > 1000 && passed > 1000, "{refused} refused, {passed} passed");
}

/// A value at the begin of a window: what is short is read as the strict way reads it.
#[test]
fn values_of_any_spelling_are_judged_as_strictly() {
    let texts = [
        "0",
        "-0",
        "00",
        "-01",
        "1.",
        "1.5",
        "-1.25",
        ".5",
        "1.5.2",
        "1e5",
        "1.5e-7",
        "1E",
        "-",
        "--1",
        "1-",
        "12345678901234",
        "123456789012345",
        "1234567890123456",
        "1234567.12345678",
        "1234567.123456789",
        "true",
        "false",
        "null",
        "nul",
        "truee",
        "fals",
        "falsy",
        "True",
        r#""""#,
        r#""a""#,
        r#""é""#,
        r#""éa""#,
        r#""aé"#,
        r#""12345678901234""#,
        r#""123456789012345""#,
        r#""1234567890123é""#,
        r#""12345678901234é""#,
        r#""1234\"5""#,
        r#""a\q""#,
        r#""ж€😀""#,
        r#""a\u0001""#,
        r#""\t""#,
        "[]",
        "[1,2]",
        "[1,",
        "{}",
        "1 ",
        " 1",
        "1\n",
        "",
    ];
    let mut values: Vec<Vec<u8>> = texts.map(|text| text.as_bytes().to_vec()).into();
    // Not UTF-8, or not by the shortest way.
    for bytes in
        [&b"\xc3"[..], b"\xa9", b"\xc3\xc3\xa9", b"\xc3\xa9\xa9", b"\xc1\xbf", b"\xc0\x80", b"\xdf\xbf", b"\xc2\x80"]
    {
        values.push([&b"\""[..], bytes, b"\""].concat());
        values.push([&b"\"a"[..], bytes, b"b\""].concat());
    }
    for bytes in [&b"\xe2\x82\xac"[..], b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xff", b"\x7f", b"\x1f", b"\x00"] {
        values.push([&b"\""[..], bytes, b"\""].concat());
    }
    let permit = Permit { fields: fields([("user.id", Field::Value)]), primary_key: true, ..Permit::default() };
    let mut read = 0;
    for value in &values {
        // As a value in a run, as one that begins a row, and as a key.
        let row = |id: &[u8], other: &[u8], key: &[u8]| {
            [
                &br#"{"field":"user.id","value":"#[..],
                id,
                br#","pkey":"#,
                key,
                br#"},{"field":"user.other","value":"#,
                other,
                br#","pkey":"#,
                key,
                b"}",
            ]
            .concat()
        };
        for last in [row(b"1", value, b"2"), row(value, b"1", b"2"), row(b"1", b"1", value)] {
            let body =
                [&b"{\"data\":["[..], &row(b"1", b"1", b"1"), b",", &last, br#"],"errors":[],"meta":null}"#].concat();
            let [one, strict] = both(&body, &permit, false);
            read += usize::from(strict.is_ok());
            assert_eq!(one, strict, "{}", String::from_utf8_lossy(&body));
        }
    }
    assert!(read > 60, "{read}");
}

/// Elements that have their keys in another order, or one twice, and an answer that ends anywhere.
#[test]
fn other_orders_and_ends_are_judged_as_strictly() {
    let usual = r#"{"field":"user.id","value":1,"pkey":"1","ts":"2026-01-01T00:00:00Z"}"#;
    let row = |row: usize| {
        let elements = NAMES.map(|name| {
            format!(r#"{{"field":"{name}","value":"zoë \"{row}","pkey":"{row}","ts":"2026-01-01T00:00:00Z"}}"#)
        });
        elements.join(",")
    };
    let permit = Permit {
        fields: fields([("user.id", Field::Value), ("user.ssn", Field::Value)]),
        primary_key: true,
        ..Permit::default()
    };
    for other in [
        r#"{"value":1,"field":"user.id","pkey":"1"}"#,
        r#"{"pkey":"1","field":"user.id","value":1}"#,
        r#"{"field":"user.id","pkey":"1","value":1}"#,
        r#"{"field":"user.id","field":"user.id","value":1,"pkey":"1"}"#,
        r#"{"field":"user.id","value":1,"value":1,"pkey":"1"}"#,
        r#"{"field":"user.id","value":1,"pkey":"1","field":"user.ssn"}"#,
        r#"{"field":"user.id","value":1,"pkey":"1","ts":null,"ts":null}"#,
        r#"{"field":"user.id","value":{"a":1,"a":2},"pkey":"1"}"#,
        r#"{"field":"user.zip","value":{"a":1,"a":2},"pkey":"1"}"#,
        r#"{"field":"user.zip","value":[1,[2,{"a":[]}]],"pkey":"1"}"#,
        r#"{"field":"user\u002eid","value":1,"pkey":"1"}"#,
        r#"{"field":"user.id"}"#,
        r#"{"value":1}"#,
        r#"{"field":7,"value":1}"#,
        "{}",
        "[]",
        "7",
        usual,
    ] {
        for elements in [
            format!("{other},{usual}"),
            format!("{usual},{other}"),
            format!("{},{other},{}", row(1), row(2)),
            format!("{},{},{other}", row(1), row(2)),
        ] {
            let body = format!(r#"{{"data":[{elements}],"errors":[],"meta":null}}"#);
            let [one, strict] = both(body.as_bytes(), &permit, false);
            assert_eq!(one, strict, "{body}");
        }
    }
    let body = format!(r#"{{"data":[{},{},{usual}],"errors":[],"meta":null}}"#, row(1), row(2));
    assert!(both(body.as_bytes(), &permit, false)[0].is_ok());
    for end in 0..body.len() {
        let [one, strict] = both(&body.as_bytes()[..end], &permit, false);
        assert!(one.is_err(), "{end} bytes of {body}");
        assert_eq!(one, strict, "{end} bytes of {body}");
    }
}

/// That nothing of these goes the whole strict way is what makes them fast.
#[test]
fn alike_elements_are_read_in_one_pass() {
    let permit = Permit {
        fields: fields([("user.id", Field::Value), ("user.txns", columns(["t.id"]))]),
        primary_key: true,
        ..Permit::default()
    };
    let asked = body("");
    let request = read(asked.as_bytes(), true).unwrap();
    for (end, rows) in ENDS.iter().take(6).flat_map(|end| [(*end, true), (*end, false)]) {
        let rows = if rows { format!(r#",{{"field":"user.txns","value":{}}}"#, VALUES[31]) } else { String::new() };
        for comma in [",", ", "] {
            let elements: Vec<String> = VALUES[..VALUES.len() - 1]
                .iter()
                .enumerate()
                .map(|(row, value)| format!(r#"{{"field":"user.id","value":{value},"pkey":{row},"ts":null}}"#))
                .collect();
            let body = format!(r#"{{"data":[{}{rows}{end}"#, elements.join(comma));
            assert!(rows::filter(body.as_bytes(), &permit, &request).is_some(), "{body}");
        }
    }
}
