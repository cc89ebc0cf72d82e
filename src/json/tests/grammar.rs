//! What is read and what is refused, with what is said of it: byte by byte, keys that stand twice, depth.

use super::*;

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
