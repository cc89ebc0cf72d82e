use super::JsonError as E;
use super::reader::{FEW_KEYS, SHOWN_KEY_CHARS};
use super::*;
use proptest::prelude::*;
use serde_json::Value as Tree;

mod alike;

/// The error of a text that must have one.
#[track_caller]
fn refused(text: impl AsRef<[u8]>) -> E {
    let text = text.as_ref();
    match object(text) {
        Err(error) => error,
        Ok(_) => panic!("accepted: {}", text.escape_ascii()),
    }
}

/// What `object` must say of a text, told by another parser: it takes keys that stand twice, and drops one of them, so
/// that fewer members are left than there are colons outside of strings. None where it cannot tell.
fn oracle(text: &[u8]) -> Option<Result<Tree, String>> {
    let tree = match serde_json::from_slice::<Tree>(text) {
        Ok(tree) => tree,
        Err(error) if error.to_string().contains("number out of range") => return None,
        Err(error) => return Some(Err(error.to_string())),
    };
    if !tree.is_object() {
        return Some(Err("not an object".to_owned()));
    }
    let (mut colons, mut within, mut escaped) = (0, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => within = !within,
            b':' if !within => colons += 1,
            _ => {}
        }
    }
    Some(if colons == count_members(&tree) { Ok(tree) } else { Err("a key twice".to_owned()) })
}

fn count_members(tree: &Tree) -> usize {
    match tree {
        Tree::Object(map) => map.len() + map.values().map(count_members).sum::<usize>(),
        Tree::Array(list) => list.iter().map(count_members).sum(),
        _ => 0,
    }
}

/// [`container`] is as strict as [`object`], and no stricter, wherever a text begins.
#[track_caller]
fn reads_arrays_as_objects(text: &[u8]) {
    let started = text.trim_ascii_start().starts_with(b"{");
    if started || !text.trim_ascii_start().starts_with(b"[") {
        let expected = whole(text).map_err(|error| match error {
            E::Unexpected { byte, expected: "an object", at } => {
                E::Unexpected { byte, expected: "an object or an array", at }
            }
            E::Unterminated { expected: "an object", at } => E::Unterminated { expected: "an object or an array", at },
            error => error,
        });
        assert_eq!(container(text), expected, "{}", text.escape_ascii());
    }
    // The same as the only member of an object, and an element more; where what stands in it does not end it early.
    let array = [b"[", text, b"]"].concat();
    let held = [b"{\"a\":[", text, b"]}"].concat();
    match (container(&array), object(&held)) {
        (Ok(array), Ok(members)) => {
            assert_eq!(array.kind, Kind::Array);
            assert_eq!(array.span, Span { start: 0, end: text.len() + 2 });
            assert_eq!(members[0].value.span.end, array.span.end + 5);
        }
        (Err(_), Err(_)) => {}
        // `]},{"a":[` and the like: an object of several members, an array that goes on.
        (Err(E::Trailing { .. }), Ok(members)) => assert!(members.len() > 1, "{}", text.escape_ascii()),
        (ours, theirs) => panic!("{ours:?} but {theirs:?}: {}", text.escape_ascii()),
    }
}

#[track_caller]
fn agrees_with_oracle(text: &[u8]) {
    reads_arrays_as_objects(text);
    match (object(text), oracle(text)) {
        (_, None) => {}
        (Ok(members), Some(Ok(tree))) => assert_members(text, members, &tree),
        // The other parser may have found a later fault.
        (Err(E::DuplicateKey { .. }), Some(Err(_))) => {}
        (Err(_), Some(Err(why))) => assert_ne!(why, "a key twice", "{}", text.escape_ascii()),
        (ours, theirs) => panic!("{ours:?} but {theirs:?}: {}", text.escape_ascii()),
    }
}

/// Every span below `members`, parsed by itself, is the same part of `tree`.
#[track_caller]
fn assert_members(text: &[u8], members: Vec<Member<'_>>, tree: &Tree) {
    assert_eq!(members.len(), tree.as_object().unwrap().len());
    for Member { key, value } in members {
        assert_value(text, value, &tree[key.as_ref()]);
    }
}

#[track_caller]
fn assert_value(text: &[u8], value: Value, tree: &Tree) {
    let span = value.span.of(text);
    assert_eq!(&serde_json::from_slice::<Tree>(span).unwrap(), tree);
    assert_eq!(span.trim_ascii(), span);
    match (value.kind, tree) {
        (Kind::Object, Tree::Object(_)) => assert_members(text, members(text, value).unwrap(), tree),
        (Kind::Array, Tree::Array(trees)) => {
            let elements = elements(text, value).unwrap();
            assert_eq!(elements.len(), trees.len());
            let null = elements.iter().any(|element| element.kind == Kind::Null);
            assert_eq!(count(text, value).unwrap(), Counted { elements: trees.len(), null }, "{}", text.escape_ascii());
            elements.into_iter().zip(trees).for_each(|(element, tree)| assert_value(text, element, tree));
        }
        (Kind::String, Tree::String(wanted)) => assert_eq!(string(text, value).unwrap(), wanted.as_str()),
        (Kind::Number, Tree::Number(_)) | (Kind::Null, Tree::Null) => {}
        (Kind::Bool(ours), Tree::Bool(theirs)) => assert_eq!(ours, *theirs),
        (kind, tree) => panic!("{kind:?} for {tree}"),
    }
}

#[test]
fn accepts_what_the_grammar_has() {
    for text in [
        "{}",
        " {\t} \r\n",
        "{\"\":0}",
        r#"{"a":{},"b":[],"c":"","d":0,"e":true,"f":false,"g":null}"#,
        "\n{ \"a\" :\t[ 1 ,\r2 , { } , [ ] ] , \"b\" : { \"a\" : 1 } }\n",
        r#"{"a":[0,-0,1,-1,10,1.0,-0.5,0.25e1,1E1,1e+1,1e-1,0e0,1.5E-07,9007199254740994]}"#,
        r#"{"a":1.7976931348623157e308,"b":123456789012345678901234567890,"c":0.10000000149011612}"#,
        r#"{"a":"\"\\\/\b\f\n\r\t","b":"\u0000\u00e9\u20AC\uD83d\uDe00\uffff"}"#,
        "{\"a\":\"\u{7f}\u{80}é€😀\u{feff}\u{fffe}\u{10ffff}\"}",
        r#"{"é":1,"e\u0301":2}"#,
        r#"{"a":{"a":{"a":1},"b":1},"b":[{"a":1},{"a":2}]}"#,
        r#"{"a":[[1,[2,[3]]],[],[[]],[[],[]]]}"#,
        r#"{"a":"[{]}\"[{","b":["\\",{"c":"\\\""}]}"#,
        r#"{"a":["x","x","x" ,"x", "x","x"],"b":["x",null,"x",1,"x",{},"x",[]]}"#,
        r#"{"a":" :, "}"#,
        r#"{"constructor":1,"__proto__":2,"A":3,"a":4}"#,
    ] {
        let tree = serde_json::from_str(text).unwrap();
        assert_members(text.as_bytes(), object(text.as_bytes()).unwrap(), &tree);
        agrees_with_oracle(text.as_bytes());
    }
    // Of any size, as nothing is computed from it.
    assert_eq!(object(br#"{"a":[1e999,-1E+99999,0.1e-99999]}"#).unwrap().len(), 1);
}

#[test]
fn refuses_what_the_grammar_has_not() {
    let unexpected = |byte, expected, at| E::Unexpected { byte, expected, at };
    let ends = |expected, at| E::Unterminated { expected, at };
    let table: &[(&[u8], E)] = &[
        (b"", ends("an object", 0)),
        (b" \n", ends("an object", 2)),
        (b"[]", unexpected(b'[', "an object", 0)),
        (b"null", unexpected(b'n', "an object", 0)),
        (b"\"a\"", unexpected(b'"', "an object", 0)),
        (b"1", unexpected(b'1', "an object", 0)),
        (b"\xef\xbb\xbf{}", E::ByteOrderMark { at: 0 }),
        (b"\xff\xfe{\0}\0", E::NotUtf8 { at: 0 }),
        (b"{\0}\0", unexpected(0, "a key", 1)),
        (b"\x0c{}", unexpected(0x0c, "an object", 0)),
        (b"\xc2\xa0{}", unexpected(0xc2, "an object", 0)),
        (b"{}{}", E::Trailing { at: 2 }),
        (b"{} x", E::Trailing { at: 3 }),
        (b"{}\0", E::Trailing { at: 2 }),
        (b"{}}", E::Trailing { at: 2 }),
        (b"{},", E::Trailing { at: 2 }),
        (b"{} // a", E::Trailing { at: 3 }),
        (b"{/**/}", unexpected(b'/', "a key", 1)),
        (b"{", ends("a key", 1)),
        (b"{]", unexpected(b']', "a key", 1)),
        (b"{,}", unexpected(b',', "a key", 1)),
        (b"{a:1}", unexpected(b'a', "a key", 1)),
        (b"{'a':1}", unexpected(b'\'', "a key", 1)),
        (b"{1:1}", unexpected(b'1', "a key", 1)),
        (b"{\"a\"}", unexpected(b'}', "`:`", 4)),
        (b"{\"a\" 1}", unexpected(b'1', "`:`", 5)),
        (b"{\"a\",1}", unexpected(b',', "`:`", 4)),
        (b"{\"a\"::1}", unexpected(b':', "a value", 5)),
        (b"{\"a\":}", unexpected(b'}', "a value", 5)),
        (b"{\"a\":,}", unexpected(b',', "a value", 5)),
        (b"{\"a\":1", ends("`,` or `}`", 6)),
        (b"{\"a\":1]", unexpected(b']', "`,` or `}`", 6)),
        (b"{\"a\":1,}", unexpected(b'}', "a key", 7)),
        (b"{\"a\":1,,\"b\":2}", unexpected(b',', "a key", 7)),
        (b"{\"a\":1 \"b\":2}", unexpected(b'"', "`,` or `}`", 7)),
        (b"{\"a\":1:2}", unexpected(b':', "`,` or `}`", 6)),
        (b"{\"a\":[}", unexpected(b'}', "a value", 6)),
        (b"{\"a\":[1}", unexpected(b'}', "`,` or `]`", 7)),
        (b"{\"a\":[1 2]}", unexpected(b'2', "`,` or `]`", 8)),
        (b"{\"a\":[1,]}", unexpected(b']', "a value", 8)),
        (b"{\"a\":[\"x\",]}", unexpected(b']', "a value", 10)),
        (b"{\"a\":[,1]}", unexpected(b',', "a value", 6)),
        (b"{\"a\":[1,,2]}", unexpected(b',', "a value", 8)),
        (b"{\"a\":[\"x\":1]}", unexpected(b':', "`,` or `]`", 9)),
        (b"{\"a\":[1", ends("`,` or `]`", 7)),
        (b"{\"a\":[]]}", unexpected(b']', "`,` or `}`", 7)),
        (b"{\"a\":True}", unexpected(b'T', "a value", 5)),
        (b"{\"a\":tru}", unexpected(b'}', "`true`", 8)),
        (b"{\"a\":truth}", unexpected(b't', "`true`", 8)),
        (b"{\"a\":truee}", unexpected(b'e', "`,` or `}`", 9)),
        (b"{\"a\":fals3}", unexpected(b'3', "`false`", 9)),
        (b"{\"a\":nul", ends("`null`", 8)),
        (b"{\"a\":nil}", unexpected(b'i', "`null`", 6)),
        (b"{\"a\":NaN}", unexpected(b'N', "a value", 5)),
        (b"{\"a\":Infinity}", unexpected(b'I', "a value", 5)),
        (b"{\"a\":-Infinity}", E::Number { at: 5 }),
        (b"{\"a\":undefined}", unexpected(b'u', "a value", 5)),
        (b"{\"a\":+1}", unexpected(b'+', "a value", 5)),
        (b"{\"a\":.5}", unexpected(b'.', "a value", 5)),
        (b"{\"a\":-}", E::Number { at: 5 }),
        (b"{\"a\":--1}", E::Number { at: 5 }),
        (b"{\"a\":-.5}", E::Number { at: 5 }),
        (b"{\"a\":1.}", E::Number { at: 5 }),
        (b"{\"a\":1.e1}", E::Number { at: 5 }),
        (b"{\"a\":1.2.3}", unexpected(b'.', "`,` or `}`", 8)),
        (b"{\"a\":1e}", E::Number { at: 5 }),
        (b"{\"a\":1e+}", E::Number { at: 5 }),
        (b"{\"a\":1e1.5}", unexpected(b'.', "`,` or `}`", 8)),
        (b"{\"a\":01}", E::Number { at: 5 }),
        (b"{\"a\":-00}", E::Number { at: 5 }),
        (b"{\"a\":0x1f}", unexpected(b'x', "`,` or `}`", 6)),
        (b"{\"a\":1_000}", unexpected(b'_', "`,` or `}`", 6)),
        (b"{\"a\":1n}", unexpected(b'n', "`,` or `}`", 6)),
        ("{\"a\":\u{661}}".as_bytes(), unexpected(0xd9, "a value", 5)),
        (b"{\"a\":\"", ends("the end of a string", 6)),
        (b"{\"a\":\"b}", ends("the end of a string", 8)),
        (b"{\"a\":\"b\nc\"}", E::Control { at: 7 }),
        (b"{\"a\":\"b\tc\"}", E::Control { at: 7 }),
        (b"{\"a\":\"\0\"}", E::Control { at: 6 }),
        (b"{\"a\":\"123456789\x1f\"}", E::Control { at: 15 }),
        (b"{\"\n\":1}", E::Control { at: 2 }),
        (b"{\"a\":\"\\x41\"}", E::Escape { at: 6 }),
        (b"{\"a\":\"\\'\"}", E::Escape { at: 6 }),
        (b"{\"a\":\"\\U0041\"}", E::Escape { at: 6 }),
        (b"{\"a\":\"\\\n\"}", E::Escape { at: 6 }),
        (b"{\"a\":\"\\u004\"}", E::Escape { at: 6 }),
        (b"{\"a\":\"\\u+041\"}", E::Escape { at: 6 }),
        (b"{\"a\":\"\\u00g0\"}", E::Escape { at: 6 }),
        (b"{\"a\":\"\\u{41}\"}", E::Escape { at: 6 }),
        (b"{\"a\":\"\\", ends("an escape", 7)),
        (b"{\"a\":\"\\u00", ends("a hexadecimal digit", 10)),
        (b"{\"a\":\"\\ud800\"}", E::LoneSurrogate { at: 6 }),
        (b"{\"a\":\"\\udc00\"}", E::LoneSurrogate { at: 6 }),
        (b"{\"a\":\"\\ude00\\ud83d\"}", E::LoneSurrogate { at: 6 }),
        (b"{\"a\":\"\\ud83d\\ud83d\"}", E::LoneSurrogate { at: 6 }),
        (b"{\"a\":\"\\ud83d\\u0041\"}", E::LoneSurrogate { at: 6 }),
        (b"{\"a\":\"\\ud83dx\\ude00\"}", E::LoneSurrogate { at: 6 }),
        (b"{\"a\":\"\\ud83d\\n\"}", E::LoneSurrogate { at: 6 }),
        (b"{\"a\":\"\\ud83d\\ude0\"}", E::Escape { at: 12 }),
        (b"{\"\\ud800\":1}", E::LoneSurrogate { at: 2 }),
        (b"{\"a\":\"\xff\"}", E::NotUtf8 { at: 6 }),
        (b"{\"a\":\"\xc0\xaf\"}", E::NotUtf8 { at: 6 }),
        (b"{\"a\":\"\xed\xa0\xbd\"}", E::NotUtf8 { at: 6 }),
        (b"{\"a\":\"\xf4\x90\x80\x80\"}", E::NotUtf8 { at: 6 }),
        (b"{\"a\":\"\xe2\x82\"}", E::NotUtf8 { at: 6 }),
    ];
    for (text, wanted) in table {
        assert_eq!(&refused(text), wanted, "{}", text.escape_ascii());
        agrees_with_oracle(text);
    }
}

#[test]
fn error_texts() {
    let long_key = format!("{{\"{0}\":1,\"{0}\":2}}", "é".repeat(70));
    let shown = format!(
        "the key `{}` at byte 146 of the json text stands twice in its object",
        r"\u{e9}".repeat(SHOWN_KEY_CHARS)
    );
    let deep = "{\"a\":".repeat(MAX_DEPTH + 1);
    let table: &[(&str, &str)] = &[
        ("\u{feff}{}", "the json text has a byte order mark at byte 0"),
        ("{\n}\u{7}", "the json text goes on behind its value at byte 3"),
        ("{\u{7}", "unexpected byte `\\x07` at byte 1 of the json text, expected a key"),
        ("{\"a\"", "the json text ends at byte 4, expected `:`"),
        (&deep, "the json text nests deeper than 128 levels at byte 640"),
        ("{\"a\\n\":1,\"a\\n\":1}", "the key `a\\n` at byte 9 of the json text stands twice in its object"),
        (&long_key, &shown),
        ("{\"a\":\"\\udead\"}", "a lone surrogate at byte 6 of the json text"),
        ("{\"\\q\":1}", "an escape that json does not have at byte 2 of the json text"),
        ("{\"\u{0}\":1}", "a bare control character in a string at byte 2 of the json text"),
        ("{\"a\":-x}", "a number that is not spelt as in json at byte 5 of the json text"),
    ];
    for (text, wanted) in table {
        assert_eq!(refused(text).to_string(), *wanted);
    }
    assert_eq!(refused(b"{\"\x80").to_string(), "the json text is not utf-8 at byte 2");
    let text = b"{\"a\": 1}";
    let error = elements(text, object(text).unwrap()[0].value).unwrap_err();
    assert_eq!(error.to_string(), "the value at byte 6 of the json text is not an array");
}

#[test]
fn an_array_is_read_as_strictly_as_an_object() {
    for text in ["[]", " [ ] ", "[1,[2],{\"a\":{\"a\":1}},\"x\",\"x\",null]\n", "{}", "[{}]"] {
        let value = container(text.as_bytes()).unwrap();
        assert_eq!(value.span.of(text.as_bytes()), text.trim().as_bytes());
        assert_eq!(value.kind == Kind::Array, text.trim().starts_with('['), "{text}");
    }
    let text = br#" [{"a":1}, "x" ,[2]] "#;
    let cut: Vec<_> =
        elements(text, container(text).unwrap()).unwrap().iter().map(|value| value.span.of(text)).collect();
    assert_eq!(cut, [&br#"{"a":1}"#[..], br#""x""#, b"[2]"]);
    for (text, why) in [
        ("", "the json text ends at byte 0, expected an object or an array"),
        ("null", "unexpected byte `n` at byte 0 of the json text, expected an object or an array"),
        ("1", "unexpected byte `1` at byte 0 of the json text, expected an object or an array"),
        ("[] []", "the json text goes on behind its value at byte 3"),
        ("[1,]", "unexpected byte `]` at byte 3 of the json text, expected a value"),
        ("[1}", "unexpected byte `}` at byte 2 of the json text, expected `,` or `]`"),
        ("[", "the json text ends at byte 1, expected a value"),
        ("[{\"a\":1,\"\\u0061\":2}]", "the key `a` at byte 8 of the json text stands twice in its object"),
        ("\u{feff}[]", "the json text has a byte order mark at byte 0"),
        (&"[".repeat(129), "the json text nests deeper than 128 levels at byte 128"),
    ] {
        assert_eq!(container(text.as_bytes()).unwrap_err().to_string(), why);
    }
    assert_eq!(container(("[".repeat(128) + &"]".repeat(128)).as_bytes()).unwrap().span.end, 256);
}

#[test]
fn keys_that_stand_twice() {
    let many = |last: &str| {
        let keys: Vec<_> = (0..100).map(|n| format!("\"k{n}\":{n}")).collect();
        format!("{{{},\"{last}\":0}}", keys.join(","))
    };
    let at_end = |text: &str| text.rfind(",\"").unwrap() + 1;
    for (text, key, at) in [
        (r#"{"a":1,"a":1}"#.to_owned(), "a", 7),
        (r#"{"a":1,"b":2,"a":3,"b":4}"#.to_owned(), "a", 13),
        (r#"{"a":1,"\u0061":2}"#.to_owned(), "a", 7),
        (r#"{"\u0061":1,"b":0,"a":2}"#.to_owned(), "a", 18),
        (r#"{"\u0061":1,"\u0061":2}"#.to_owned(), "a", 12),
        (r#"{"\uD83D\uDE00":1,"😀":2}"#.to_owned(), "\\u{1f600}", 18),
        (r#"{"\/":1,"/":2}"#.to_owned(), "/", 8),
        (r#"{"":1,"":2}"#.to_owned(), "", 6),
        (r#"{"x":[0,{"y":{"a":1,"a":2}}]}"#.to_owned(), "a", 20),
        (r#"{"a":{"b":1,"c":[{"d":1}]},"b":2,"a":3}"#.to_owned(), "a", 33),
        (r#"{"b":{"a":1},"a":[{"a":1},{"a":2}],"b":{}}"#.to_owned(), "b", 35),
        (many("k42"), "k42", at_end(&many("k42"))),
        (many("\\u006b7"), "k7", at_end(&many("\\u006b7"))),
        (format!(r#"{{"x":{}}}"#, many("k0")), "k0", 5 + at_end(&many("k0"))),
        (format!("{{{}}}", "\"a\":1,".repeat(1000).trim_end_matches(',')), "a", 7),
    ] {
        assert_eq!(refused(&text), E::DuplicateKey { key: key.to_owned(), at }, "{text}");
        agrees_with_oracle(text.as_bytes());
    }
    assert_eq!(object(many("k100").as_bytes()).unwrap().len(), 101);
    // Where more than one stands twice, it is the first one, whatever the hashes are.
    let two = many("k42").replace("\"k98\":", "\"k13\":").replace("\"k99\":", "\"k0\":");
    let at = two.rfind("\"k13\"").unwrap();
    assert_eq!(refused(&two), E::DuplicateKey { key: "k13".to_owned(), at });
}

#[test]
fn many_keys_are_not_compared_each_with_each() {
    // Each with each would be 2 * 10^10 comparisons, of keys that differ in their last bytes.
    let keys: Vec<_> = (0..200_000).map(|n| format!("\"a_long_prefix_of_all_keys_{n:06}\":[]")).collect();
    let text = format!("{{\"a\":{{{}}}}}", keys.join(","));
    let outer = object(text.as_bytes()).unwrap();
    assert_eq!(iter_members(text.as_bytes(), outer[0].value).unwrap().count(), 200_000);
}

#[test]
fn depth() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = |levels: usize| format!("{{\"a\":{}1{}}}", open.repeat(levels - 1), close.repeat(levels - 1));
        let text = nested(MAX_DEPTH);
        let mut value = object(text.as_bytes()).unwrap()[0].value;
        for _ in 1..MAX_DEPTH {
            value = match value.kind {
                Kind::Array => elements(text.as_bytes(), value).unwrap()[0],
                _ => members(text.as_bytes(), value).unwrap()[0].value,
            };
        }
        assert_eq!(value.span.of(text.as_bytes()), b"1");
        let at = 5 + open.len() * (MAX_DEPTH - 1);
        assert_eq!(refused(nested(MAX_DEPTH + 1)), E::TooDeep { at });
        let endless = format!("{{\"a\":{}", open.repeat(1_000_000));
        assert_eq!(refused(&endless), E::TooDeep { at });
    }
    // Levels that were left do not count.
    let wide = format!("{{\"a\":[{}[]]}}", "[[]],{\"a\":{}},".repeat(1000));
    agrees_with_oracle(wide.as_bytes());
    assert_eq!(object(wide.as_bytes()).unwrap().len(), 1);
    // Cutting takes no call stack either.
    let endless = "[".repeat(1_000_000) + "]";
    let value = Value { kind: Kind::Array, span: Span { start: 0, end: endless.len() } };
    let error = E::Unterminated { expected: "a closing bracket", at: 1_000_000 };
    assert_eq!(elements(endless.as_bytes(), value), Err(error));
}

const SAMPLE: &str = r#" {"results":[{"values":[1,-2.5e+3,null,true,false,"é\ud83d\ude00\n"],"statuses":["PRESENT","PRESENT",
 "PRESENT","PRESENT","PRESENT","PRESENT","PRESENT","PRESENT"],"event_timestamps":["1970-01-01T00:00:00Z",
 "1970-01-01T00:00:00Z"]}, {"values":[[],{},[{"a":{"b":"]}"}}]]}],"metadata":{"feature_names":["a\\","b"]}}"#;

#[test]
fn a_text_cut_anywhere_is_refused() {
    let text = SAMPLE.as_bytes();
    let whole = object(text).unwrap();
    assert_eq!(whole.len(), 2);
    for end in 0..text.len() {
        let text = &text[..end];
        match refused(text) {
            E::Unterminated { at, .. } => assert_eq!(at, end),
            E::NotUtf8 { at } => assert!(!SAMPLE.is_char_boundary(end) && at == end - 1, "{at} of {end}"),
            E::LoneSurrogate { at } => assert_eq!(&text[at..at + 6], b"\\ud83d"),
            error => panic!("{error} of {end}"),
        }
        agrees_with_oracle(text);
        // A value of the whole text does not fit the cut one.
        if end < whole[0].value.span.end {
            assert!(iter_elements(text, whole[0].value).is_err(), "{end}");
        }
    }
}

#[test]
fn one_byte_changed_anywhere() {
    for at in 0..SAMPLE.len() {
        for byte in *b"\"\\[]{},: 0-.eut\n\0\x7f\xff" {
            let mut text = SAMPLE.as_bytes().to_vec();
            text[at] = byte;
            agrees_with_oracle(&text);
        }
    }
}

/// Skipping looks at 64 bytes at a time: everything that matters stands at every place of a block here.
#[test]
fn containers_are_skipped_wherever_they_stand() {
    for inner in [r#"{"k":"]}\\"}"#, r#"["\"[{",[[]],{"a":"\\\"\\\\"},""]"#, r#"{"\\":["\\\\\"",{}]}"#, "[]", "{}"] {
        for length in 0..130 {
            let plain = "x".repeat(length);
            let mut pads =
                vec![plain.clone(), format!("{plain}\\\"{}", "[".repeat(70)), format!("{plain}\\\"{}", "y".repeat(70))];
            pads.extend(["\\\\", "\\\"", "é"].map(|filler| filler.repeat(length)));
            for pad in pads {
                let text = format!("{{\"a\":[{inner},[\"{pad}\",{inner},\"{pad}\"] ,{inner}],\"b\":{inner}}}");
                let text = text.as_bytes();
                let outer = object(text).unwrap();
                let list = elements(text, outer[0].value).unwrap();
                let cut: Vec<_> = list.iter().map(|value| value.span.of(text)).collect();
                assert_eq!([cut[0], cut[2], outer[1].value.span.of(text)], [inner.as_bytes(); 3]);
                let middle = elements(text, list[1]).unwrap();
                assert_eq!((cut.len(), middle.len()), (3, 3));
                assert_eq!(middle[1].span.of(text), inner.as_bytes());
                assert_eq!(string(text, middle[2]).unwrap().len(), pad.replace("\\\\", "_").replace("\\\"", "_").len());
            }
        }
    }
}

/// Elements that repeat are passed over in one go: whatever ends the run must still be seen.
#[test]
fn runs_of_equal_strings() {
    for element in ["", "x", "PRESENT", "1970-01-01T00:00:00Z", "\\n\\u00e9", &"long ".repeat(20)] {
        for comma in [",", ", ", ",\n\t"] {
            for count in 1..40 {
                let run = vec![format!("\"{element}\""); count].join(comma);
                for (tail, error) in
                    [("", None), (",", Some(b']')), (",1", None), ("]", Some(b']')), ("\"", Some(b'"'))]
                {
                    let text = format!("{{\"a\":[{run}{tail}]}}");
                    agrees_with_oracle(text.as_bytes());
                    match error {
                        None => {
                            let outer = object(text.as_bytes()).unwrap();
                            let elements = elements(text.as_bytes(), outer[0].value).unwrap();
                            assert_eq!(elements.len(), count + tail.len() / 2, "{text}");
                        }
                        Some(wanted) => {
                            assert!(matches!(refused(&text), E::Unexpected { byte, .. } if byte == wanted), "{text}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn spans_keep_the_spelling() {
    let text = br#"{"a" : [ 1.50 , -0 , 1E+2,"\u0041" ] , "b\u0062":{"c":1e400}, "d" :null }"#;
    let outer = object(text).unwrap();
    let keys: Vec<_> = outer.iter().map(|member| member.key.as_ref()).collect();
    assert_eq!(keys, ["a", "bb", "d"]);
    assert!(matches!(outer[0].key, Cow::Borrowed(_)) && matches!(outer[1].key, Cow::Owned(_)));
    assert_eq!(outer[0].value.span.of(text), br#"[ 1.50 , -0 , 1E+2,"\u0041" ]"#);
    let start = text.len() - b"null }".len();
    assert_eq!(outer[2].value, Value { kind: Kind::Null, span: Span { start, end: start + 4 } });
    let cut: Vec<_> = elements(text, outer[0].value).unwrap().iter().map(|value| value.span.of(text)).collect();
    assert_eq!(cut, [&b"1.50"[..], b"-0", b"1E+2", br#""\u0041""#]);
    let inner = members(text, outer[1].value).unwrap();
    assert_eq!((inner[0].key.as_ref(), inner[0].value.span.of(text)), ("c", &b"1e400"[..]));
}

#[test]
fn values_of_another_kind_or_text() {
    let text = br#"{"a":[],"b":{},"c":"x","d":1}"#;
    let outer = object(text).unwrap();
    let wrong = |expected, at| E::WrongKind { expected, at };
    assert_eq!(elements(text, outer[1].value).unwrap_err(), wrong("an array", 12));
    assert_eq!(members(text, outer[0].value).unwrap_err(), wrong("an object", 5));
    assert_eq!(string(text, outer[3].value).unwrap_err(), wrong("a string", 27));
    assert_eq!(string(b"{}", outer[2].value), Err(E::Unterminated { expected: "a whole string", at: 2 }));
    assert_eq!(elements(b"{}", outer[0].value), Err(E::Unterminated { expected: "a closing bracket", at: 2 }));
    let short = Value { kind: Kind::Array, span: Span { start: 0, end: 3 } };
    assert_eq!(elements(b"[1,2]", short), Err(E::Unexpected { byte: b',', expected: "a closing bracket", at: 2 }));
    assert_eq!(Span { start: 3, end: 2 }.of(text), b"");
    assert_eq!(Span { start: 0, end: usize::MAX }.of(text), b"");
    // An iterator ends behind its first error.
    let value = Value { kind: Kind::Array, span: Span { start: 0, end: 7 } };
    let seen: Vec<_> = iter_elements(b"[1 2,3]", value).unwrap().take(9).collect();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[1], Err(E::Unexpected { byte: b'2', expected: "a comma", at: 3 }));
}

#[test]
fn strings_are_written_as_the_grammar_demands() {
    for (plain, wanted) in [
        ("", r#""""#),
        ("view:feature", r#""view:feature""#),
        ("\"\\/", r#""\"\\/""#),
        ("a\u{0}\u{8}\t\n\u{b}\u{c}\r\u{1f}z", r#""a\u0000\b\t\n\u000b\f\r\u001fz""#),
        ("\u{7f}\u{80}é\u{2028}😀", "\"\u{7f}\u{80}é\u{2028}😀\""),
    ] {
        let mut out = b"[".to_vec();
        write_string(&mut out, plain);
        assert_eq!(String::from_utf8(out).unwrap(), format!("[{wanted}"));
    }
}

/// Pieces that strings of a text are made of: what needs an escape, and what looks like structure.
fn arb_string() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec!["\\", "\"", "\\\"", "[", "]", "{", "}", ",", ":", "\n", "\u{0}", "PRESENT", "/"]),
        2 => prop::sample::select(vec!["é", "😀", "\u{2028}", "x", " ", "u0061", "0123456789abcdef"]),
    ];
    prop_oneof![prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat()), any::<String>()]
}

fn arb_tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        Just(Tree::Null),
        any::<bool>().prop_map(Tree::from),
        any::<i64>().prop_map(Tree::from),
        any::<f64>().prop_map(Tree::from),
        arb_string().prop_map(Tree::from),
        (arb_string(), 1..20_usize).prop_map(|(text, count)| Tree::from(vec![text; count])),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Tree::from),
            arb_members(inner, 5).prop_map(Tree::from),
        ]
    })
}

fn arb_members(
    inner: impl Strategy<Value = Tree>,
    most: usize,
) -> impl Strategy<Value = serde_json::Map<String, Tree>> {
    prop::collection::vec((arb_string(), inner), 0..most).prop_map(|members| members.into_iter().collect())
}

/// An object, printed close, with white space, or with an escape for each letter of its strings.
fn arb_text() -> impl Strategy<Value = String> {
    (arb_members(arb_tree(), 2 * FEW_KEYS), 0..3).prop_map(|(members, style)| match style {
        0 => serde_json::to_string(&members).unwrap(),
        1 => serde_json::to_string_pretty(&members).unwrap(),
        _ => {
            let text = serde_json::to_string(&members).unwrap();
            let mut before = ' ';
            let mut within = false;
            let mut escape = |char: char| {
                let bare = before != '\\';
                before = if char == '\\' && !bare { ' ' } else { char };
                within ^= char == '"' && bare;
                if within && bare && char.is_ascii_uppercase() {
                    format!("\\u{:04X}", u32::from(char))
                } else {
                    char.into()
                }
            };
            text.chars().map(&mut escape).collect()
        }
    })
}

proptest! {
    #[test]
    fn printed_texts_are_read_and_cut_into_the_same_values(text in arb_text()) {
        let tree = serde_json::from_str(&text).unwrap();
        assert_members(text.as_bytes(), object(text.as_bytes()).unwrap(), &tree);
    }

    #[test]
    fn mutated_texts_are_judged_as_by_another_parser(
        text in arb_text(),
        mutations in prop::collection::vec((any::<prop::sample::Index>(), 0..4, any::<u8>(), 0..16_usize), 1..4),
    ) {
        let mut text = text.into_bytes();
        for (index, what, byte, alike) in mutations {
            let at = index.index(text.len());
            let byte = b"\"\\[]{},:0-.eE u\n".get(alike).copied().filter(|_| byte > 40).unwrap_or(byte);
            match what {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                2 if text.len() > 1 => drop(text.remove(at)),
                _ => {
                    let end = text.len().min(at + alike);
                    let twice = text[at..end].to_vec();
                    drop(text.splice(at..at, twice));
                }
            }
        }
        agrees_with_oracle(&text);
    }

    #[test]
    fn any_bytes_are_judged_as_by_another_parser(text in "[\\[\\]{}\",:\\\\ua01e.\\- ]{0,40}") {
        agrees_with_oracle(text.as_bytes());
        agrees_with_oracle(format!("{{\"a\":{text}}}").as_bytes());
    }

    #[test]
    fn no_value_makes_a_cut_panic_or_go_on_for_ever(
        text in "[\\[\\]{}\",:\\\\ua01é ]{0,80}",
        start in 0..90_usize,
        end in prop_oneof![0..90_usize, Just(usize::MAX)],
    ) {
        let text = text.as_bytes();
        for span in [Span { start, end }, Span { start: usize::MAX, end }, Span { start: 0, end: text.len() }] {
            let _ = string(text, Value { kind: Kind::String, span });
            if let Ok(elements) = iter_elements(text, Value { kind: Kind::Array, span }) {
                prop_assert!(elements.count() <= text.len());
            }
            if let Ok(members) = iter_members(text, Value { kind: Kind::Object, span }) {
                prop_assert!(members.count() <= text.len());
            }
        }
    }

    #[test]
    fn written_strings_read_back(plain in arb_string()) {
        let mut text = b"{\"a\":".to_vec();
        write_string(&mut text, &plain);
        prop_assert_eq!(&text[5..], serde_json::to_vec(&plain).unwrap());
        text.push(b'}');
        let value = object(&text).unwrap()[0].value;
        prop_assert_eq!(string(&text, value).unwrap(), plain);
    }
}
