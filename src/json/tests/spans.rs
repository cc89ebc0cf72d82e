//! Texts that break off or are changed, what is passed over, and what is cut out of a text or written into one.

use super::*;

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
