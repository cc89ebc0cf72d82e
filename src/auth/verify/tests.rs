use serde_json::json;

use super::*;
use crate::auth::tests::support::b64;

#[test]
fn base64url_has_one_spelling_for_each_text() {
    for (text, bytes) in
        [("", &b""[..]), ("Zg", b"f"), ("Zm8", b"fo"), ("Zm9v", b"foo"), ("-_-_", &[0xfb, 0xff, 0xbf]), ("AA", &[0])]
    {
        assert_eq!(base64url(text).as_deref(), Some(bytes), "{text}");
    }
    for text in ["Z", "Zh", "Zm9", "Zm9vZ", "Zg==", "Zg=", "+/+/", "Zm 8", "Zm8\n", "é", "\0"] {
        assert_eq!(base64url(text), None, "{text}");
    }
    let bytes: Vec<u8> = (0..=255).collect();
    for length in 0..bytes.len() {
        let (bytes, _) = bytes.split_at(length);
        assert_eq!(base64url(&b64(bytes)).unwrap(), bytes);
    }
}

/// Every text of up to four characters over a small alphabet: what decodes is what encodes to it.
#[test]
fn what_decodes_encodes_to_the_same() {
    let letters = ['A', 'B', 'E', 'Q', 'g', 'w', '_', '='];
    let mut texts = vec![String::new()];
    for _ in 0..4 {
        let longer = texts.iter().flat_map(|text| letters.map(|letter| format!("{text}{letter}")));
        texts = longer.chain([String::new()]).collect();
        for text in &texts {
            if let Some(bytes) = base64url(text) {
                assert_eq!(b64(bytes), *text);
            }
        }
    }
}

#[test]
fn what_a_token_says_of_a_certificate_is_dropped() {
    let claims =
        json!({"cert.cn": "a", "cert.san": ["b"], "cert.x5t#S256": "c", "cert.": 1, "cert": 2, "certificate": 3});
    let Value::Object(map) = claims else { panic!() };
    let claims = Claims::of_token(map, Duration::ZERO, None).map(|claims| claims.map);
    assert_eq!(claims.map(Value::Object), Ok(json!({"cert": 2, "certificate": 3})));
}
