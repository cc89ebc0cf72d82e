//! Lists of numbers in blocks, and values that are like the one before, against another parser.

use super::*;

/// Numbers, and what is almost one.
fn arb_number() -> impl Strategy<Value = String> {
    prop_oneof![
        20 => any::<i32>().prop_map(|number| number.to_string()),
        10 => (any::<i32>(), 1..99_999_u32).prop_map(|(whole, fraction)| format!("{}.{fraction}", whole / 1000)),
        5 => any::<f64>().prop_filter("a number", |number| number.is_finite()).prop_map(|number| format!("{number:?}")),
        5 => (0..10_u8).prop_map(|digit| digit.to_string()),
        1 => prop::sample::select(vec!["true", "null", "false", "\"a\"", "[]", "{}", " 1", "1 ", "-0", "0.0", "1e5"])
            .prop_map(str::to_owned),
    ]
}

/// Shorter than a block of sixteen bytes, and longer; with an escape, and beyond ASCII.
const TEXTS: [&str; 9] = [
    r#""""#,
    r#""a""#,
    r#""PRESENT""#,
    r#""\u0059Z""#,
    r#""2026-01-01T00:00:00Z""#,
    r#""2026-01-01T00:00:01Z""#,
    r#""a \"quoted\" value, and more than two blocks""#,
    r#""é é é é é é é é é é""#,
    "1",
];

fn arb_fault() -> impl Strategy<Value = &'static str> {
    let faults = [
        "", "", "00", "01", "-", "--1", "-01", "1.", ".1", "1.2.3", "1-2", "+1", "1e", "truE", "nul", "/", ":", "\u{0}",
    ];
    prop::sample::select(faults.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn lists_of_numbers_are_judged_as_by_another_parser(
        mut numbers in prop::collection::vec(arb_number(), 1..40),
        fault in prop::option::weighted(0.6, (any::<prop::sample::Index>(), arb_fault())),
        behind in 0..80_usize,
    ) {
        if let Some((index, fault)) = fault {
            let at = index.index(numbers.len());
            numbers[at] = fault.to_owned();
        }
        let text = format!(r#"{{"a":[{}]{}}}"#, numbers.join(","), " ".repeat(behind));
        agrees_with_oracle(text.as_bytes());
    }

    #[test]
    fn lists_of_texts_that_repeat_are_judged_as_by_another_parser(
        kinds in prop::collection::vec(prop::sample::select(TEXTS.to_vec()), 1..4),
        items in prop::collection::vec((0..3_usize, 1..9_usize, prop::sample::select(vec![",", ",", ",", ", ", " ,", ",  "])), 1..9),
        change in prop::option::weighted(
            0.5,
            (any::<prop::sample::Index>(), prop::sample::select(b"\"\\, P]\x00\xc3".to_vec())),
        ),
    ) {
        let mut list = String::new();
        for (kind, times, comma) in items {
            let text = kinds[kind % kinds.len()];
            list.push_str(&format!("{text},").repeat(times - 1));
            list.push_str(text);
            list.push_str(comma);
        }
        let mut text = format!(r#"{{"a":[{list}null]{}}}"#, " ".repeat(40)).into_bytes();
        if let Some((index, byte)) = change {
            let at = 6 + index.index(list.len());
            text[at] = byte;
        }
        agrees_with_oracle(&text);
    }

    #[test]
    fn one_byte_of_a_list_of_numbers_changed(
        numbers in prop::collection::vec(arb_number(), 1..20),
        index in any::<prop::sample::Index>(),
        byte in prop::sample::select(b"0019.,-+eE/\x00\x80 ]".to_vec()),
    ) {
        let mut text = format!(r#"{{"a":[{}]{}}}"#, numbers.join(","), " ".repeat(70)).into_bytes();
        let at = 6 + index.index(text.len() - 78);
        text[at] = byte;
        agrees_with_oracle(&text);
    }

    #[test]
    fn values_like_the_one_before_are_judged_as_by_another_parser(
        lists in prop::collection::vec(prop::collection::vec(arb_number(), 0..12), 2..6),
        fault in prop::option::weighted(0.5, (any::<prop::sample::Index>(), any::<prop::sample::Index>(), arb_fault())),
        change in prop::option::weighted(0.5, (any::<prop::sample::Index>(), prop::sample::select(b"0\"]},:\xc3aP\n".to_vec()))),
    ) {
        let mut lists = lists;
        if let Some((list, index, fault)) = fault {
            let at = list.index(lists.len());
            let list = &mut lists[at];
            list.insert(index.index(list.len() + 1), fault.to_owned());
        }
        let columns: Vec<String> =
            lists.iter().map(|list| format!(r#"{{"é":["P"],"v":[{}],"s":["P","é"]}}"#, list.join(","))).collect();
        let mut text = format!(r#"{{"r":[{}]}}"#, columns.join(",")).into_bytes();
        if let Some((index, byte)) = change {
            let at = index.index(text.len());
            text[at] = byte;
        }
        assert_alike(&text);
    }
}

/// The members that [`object`] gives are those that are found where each element is tried as one like the one before it.
#[track_caller]
fn assert_alike(text: &[u8]) {
    let expected = object(text).map(|members| {
        let lists = members.iter().filter(|member| member.value.kind == Kind::Array);
        lists.flat_map(|list| elements(text, list.value).unwrap()).collect::<Vec<_>>()
    });
    match (expected, walk(text)) {
        (Ok(expected), Ok((values, _))) => assert_eq!(values, expected, "{}", text.escape_ascii()),
        (Err(_), Err(_)) => {}
        (expected, walked) => panic!("{expected:?} but {walked:?}: {}", text.escape_ascii()),
    }
}

/// The elements of the lists in an object, and how many of them were like the one before.
fn walk(text: &[u8]) -> Result<(Vec<Value>, usize), E> {
    let mut reader = Reader::object(text)?;
    let (mut values, mut alike) = (Vec::new(), 0);
    reader.open()?;
    while reader.key()?.is_some() {
        if reader.kind()? != Kind::Array {
            reader.skip()?;
            continue;
        }
        reader.open()?;
        let (mut model, mut before) = (None, None);
        while reader.element()? {
            if let Some(value) = model.as_ref().and_then(|model| reader.skip_like(model)) {
                alike += 1;
                values.push(value);
                continue;
            }
            let start = reader.at();
            if reader.kind()? != Kind::Object {
                values.push(reader.skip()?);
                continue;
            }
            reader.open()?;
            let mut list = None;
            while let Some(key) = reader.key()? {
                let value = if key.is("s") { reader.skip_again(&mut before)? } else { reader.skip()? };
                if key.is("v") && value.kind == Kind::Array {
                    list = Some(value);
                }
            }
            values.push(Value { kind: Kind::Object, span: Span { start, end: reader.at() } });
            model = list.and_then(|list| reader.model(start, list));
        }
    }
    reader.finish()?;
    Ok((values, alike))
}

#[test]
fn a_blank_within_a_run() {
    for text in TEXTS {
        for before in 1..8 {
            let run = |times: usize| vec![text; times].join(",");
            let whole = format!(r#"{{"a":[{}, {}]{}}}"#, run(before), run(8), " ".repeat(64));
            let values = object(whole.as_bytes()).map(|members| elements(whole.as_bytes(), members[0].value).unwrap());
            assert_eq!(values.unwrap().len(), before + 8, "{text}");
        }
    }
}

#[test]
fn what_is_like_the_one_before() {
    // Near the end of a text there are no blocks.
    let pad = " ".repeat(64);
    let alike = |columns: &str| walk(format!(r#"{{"r":[{columns}]}}{pad}"#).as_bytes()).map(|(_, alike)| alike);
    assert_eq!(alike(r#"{"v":[1],"s":[2]},{"v":[],"s":[2]},{"v":["a",null,true],"s":[2]}"#), Ok(2));
    assert_eq!(alike(r#"{"v":[1],"s":[2]},{"v":[1],"s":[3]},{"v":[1],"s":[3] }"#), Ok(0));
    assert_eq!(alike(r#"{"v":[1]},{"v":[[]]},{"v":[1]}"#), Ok(1));
    // Each is refused as it is by itself.
    let faults = ["1,", ",", "1,,1", "\"", "tru", "\u{0}", "1}", "\"\\x\""];
    for fault in faults {
        let text = format!(r#"{{"r":[{{"v":[1]}},{{"v":[{fault}]}}]}}"#);
        assert_eq!(walk(text.as_bytes()).unwrap_err(), refused(&text), "{fault}");
    }
    let broken = b"{\"r\":[{\"v\":[1]},{\"v\":[\"\xff\"]}]}";
    assert_eq!(walk(broken).unwrap_err(), E::NotUtf8 { at: 23 });
}
