//! Attacks on how a token is written.

use serde_json::json;

use super::Target;
use crate::support::client::request;
use crate::support::sidecar::{FINE, reader};
use crate::support::tokens::{KEY, b64, claims};

const HEADER: &str = r#"{"alg":"ES256","kid":"k1"}"#;

#[tokio::test]
async fn crit_names_what_must_be_understood() {
    let target = Target::new().await;
    for crit in [json!(["exp"]), json!(["b64"]), json!([]), json!(["x"]), json!(null), json!("exp"), json!({})] {
        let header = json!({"crit": crit, "exp": 1, "x": 1});
        target.refuses(&crit.to_string(), &KEY.sign_with(&header, &claims(json!({})))).await;
    }
    target.still_serves().await;
}

#[tokio::test]
async fn b64_false_leaves_the_payload_as_it_is() {
    let target = Target::new().await;
    for header in [json!({"b64": false}), json!({"b64": false, "crit": ["b64"]}), json!({"b64": true})] {
        target.refuses(&header.to_string(), &KEY.sign_with(&header, &claims(json!({})))).await;
    }
    // A detached payload (RFC 7515, appendix F).
    let token = reader();
    let (header, rest) = token.split_once('.').unwrap();
    let (_, signature) = rest.split_once('.').unwrap();
    target.refuses("detached", &format!("{header}..{signature}")).await;
    target.still_serves().await;
}

#[tokio::test]
async fn zip_bombs() {
    let target = Target::new().await;
    // With claims that are good as they are, for a verifier that passes over `zip`.
    for zip in [json!("DEF"), json!("def"), json!("GZIP"), json!(null), json!("")] {
        target.refuses(&zip.to_string(), &KEY.sign_with(&json!({"zip": zip}), &claims(json!({})))).await;
    }
    // A megabyte of nothing: DEFLATE as RFC 1951 has it, one literal and copies of it.
    let bomb = [&[0x63, 0x00][..], &[0x8c, 0x08, 0x00, 0xc0].repeat(1000)].concat();
    for header in [r#"{"alg":"ES256","kid":"k1","zip":"DEF"}"#, HEADER] {
        target.refuses(header, &KEY.compact(header, &bomb)).await;
    }
    target.still_serves().await;
}

#[tokio::test]
async fn duplicate_members_in_header_and_claims() {
    let target = Target::new().await;
    let payload = claims(json!({})).to_string();
    for header in [
        r#"{"alg":"ES256","kid":"k1","alg":"ES256"}"#,
        r#"{"alg":"none","alg":"ES256","kid":"k1"}"#,
        r#"{"alg":"ES256","alg":"none","kid":"k1"}"#,
        r#"{"alg":"ES256","kid":"k1","kid":"k1"}"#,
        r#"{"alg":"ES256","kid":"k1","\u0061lg":"none"}"#,
        r#"{"alg":"ES256","kid":"k1","x":{"y":1,"y":1}}"#,
    ] {
        target.refuses(header, &KEY.compact(header, &payload)).await;
    }
    let base = payload.strip_suffix('}').unwrap();
    for more in [
        r#""sub":"admin""#,
        r#""s\u0075b":"admin""#,
        r#""groups":["writers"]"#,
        r#""exp":99999999999"#,
        r#""iss":"https://other.example/""#,
        r#""aud":"feature-server""#,
        r#""deep":[{"a":1,"a":2}]"#,
    ] {
        target.refuses(more, &KEY.compact(HEADER, format!("{base},{more}}}"))).await;
        target.refuses(more, &KEY.compact(HEADER, format!("{{{more},{}", &payload[1..]))).await;
    }
    target.still_serves().await;
}

#[tokio::test]
async fn json_serialization_in_both_forms() {
    let target = Target::new().await;
    let token = reader();
    let parts: Vec<&str> = token.split('.').collect();
    let signature = json!({"protected": parts[0], "signature": parts[2]});
    let flat = json!({"payload": parts[1], "protected": parts[0], "signature": parts[2]}).to_string();
    let general = json!({"payload": parts[1], "signatures": [signature]}).to_string();
    for form in [flat, general] {
        target.refuses(&form, &form).await;
        target.refuses("as base64url", &b64(&form)).await;
        target.refuses("in three parts", &format!("{}.{}.{}", b64(&form), parts[1], parts[2])).await;
    }
    target.still_serves().await;
}

#[tokio::test]
async fn base64url_that_is_not_canonical() {
    let target = Target::new().await;
    let token = reader();
    let parts: Vec<&str> = token.split('.').collect();
    for place in 0..3 {
        let part = parts[place];
        let whole = &part[..part.len() / 4 * 4];
        for changed in [
            format!("{part}="),
            format!("{part}=="),
            format!("{part}==="),
            format!("{part}+"),
            format!("{part}/"),
            format!("{part}~"),
            format!("{part}%3D"),
            format!("{part},"),
            format!("{part}:"),
            format!(" {part}"),
            // A character with bits that no byte holds, and one that holds none.
            format!("{whole}AB"),
            format!("{whole}AAB"),
            format!("{whole}A"),
        ] {
            let mut parts: Vec<&str> = parts.clone();
            parts[place] = &changed;
            target.refuses(&changed, &parts.join(".")).await;
        }
    }
    // 64 bytes of signature leave four bits over: each of the fifteen other spellings says the same bytes.
    let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (before, last) = token.split_at(token.len() - 1);
    let value = letters.find(last).unwrap();
    assert_eq!(value % 16, 0);
    for spare in 1..16 {
        let spelling = &letters[value + spare..=value + spare];
        target.refuses(spelling, &format!("{before}{spelling}")).await;
    }
    // The alphabet with `+` and `/`.
    let standard: String = token
        .chars()
        .map(|c| {
            if c == '-' {
                '+'
            } else if c == '_' {
                '/'
            } else {
                c
            }
        })
        .collect();
    if standard != token {
        target.refuses("the other alphabet", &standard).await;
    }
    target.still_serves().await;
}

#[tokio::test]
async fn dots_and_white_space_around_a_token() {
    let target = Target::new().await;
    let token = reader();
    for changed in [
        format!("{token}."),
        format!(".{token}"),
        format!("{token}.."),
        format!("{token}.e30"),
        token.replace('.', ".."),
        token.replace('.', ". "),
        token.replace('.', ":"),
        token.replacen('.', "", 1),
        format!("\t{token}"),
        format!("\"{token}\""),
        format!("{token},{token}"),
        format!("{token};"),
        format!("{token} {token}"),
        "..".to_owned(),
        ".".to_owned(),
        "...".to_owned(),
        "a".to_owned(),
    ] {
        target.refuses(&changed, &changed).await;
    }
    target.still_serves().await;
    // What stands at the end of a header's line is not part of its value (RFC 9110, 5.5).
    target.accepts("white space at the end of the line", &format!("{token} \t")).await;
}

#[tokio::test]
async fn a_jwe_in_five_parts() {
    let target = Target::new().await;
    let inner = reader();
    for (alg, enc) in [("RSA-OAEP", "A256GCM"), ("dir", "A128CBC-HS256"), ("ECDH-ES", "A256GCM"), ("ES256", "A256GCM")]
    {
        let header = json!({"alg": alg, "enc": enc, "kid": "k1", "cty": "JWT"}).to_string();
        let five = [b64(header), String::new(), b64([0; 12]), b64(&inner), b64([0; 16])].join(".");
        target.refuses(alg, &five).await;
        target.refuses(alg, &five.replacen("..", ".AA.", 1)).await;
    }
    target.refuses("two parts more", &format!("{inner}.AA.AA")).await;
    target.still_serves().await;
}

#[tokio::test]
async fn nested_tokens() {
    let target = Target::new().await;
    let inner = reader();
    for header in [r#"{"alg":"ES256","kid":"k1","cty":"JWT"}"#, HEADER] {
        target.refuses(header, &KEY.compact(header, &inner)).await;
        target.refuses(header, &KEY.compact(header, format!("\"{inner}\""))).await;
        target.refuses(header, &KEY.compact(header, json!({"jwt": inner}).to_string())).await;
    }
    target.still_serves().await;
}

#[tokio::test]
async fn header_or_claims_that_are_no_object() {
    let target = Target::new().await;
    let payload = claims(json!({})).to_string();
    let deep = format!("{},\"deep\":{}{}}}", payload.strip_suffix('}').unwrap(), "[".repeat(2000), "]".repeat(2000));
    for text in ["", "null", "[]", "1", "\"a\"", "{}x", "{} {}", "{'a':1}", "{\"a\":\"\\ud800\"}", "{\"a\":1,}", &deep]
    {
        target.refuses(text, &KEY.compact(HEADER, text)).await;
        target.refuses(text, &KEY.compact(text, &payload)).await;
    }
    let list = format!("[{payload}]");
    target.refuses("claims in a list", &KEY.compact(HEADER, &list)).await;
    target.refuses("a byte order mark", &KEY.compact(HEADER, format!("\u{feff}{payload}"))).await;
    target.refuses("no UTF-8", &KEY.compact(HEADER, payload.replace("caller-1", "\u{1}").as_bytes())).await;
    let latin: Vec<u8> =
        payload.replace("caller-1", "\u{7f}").bytes().map(|b| if b == 0x7f { 0xe9 } else { b }).collect();
    target.refuses("Latin-1", &KEY.compact(HEADER, latin)).await;
    target.still_serves().await;
}

#[tokio::test]
async fn a_token_of_one_byte_more_than_16_kib() {
    let target = Target::new().await;
    // By one character of `pad` the token grows by 1 or 2, so the length is met by one of four names.
    let exactly = |bytes: usize| {
        let sized = |pad: usize, kid: &str| KEY.sign_with(&json!({"x": kid}), &claims(json!({"pad": "x".repeat(pad)})));
        let find = |kid: &&str| {
            let empty = sized(0, kid).len();
            let about = (bytes - empty) * 3 / 4;
            (about.saturating_sub(4)..about + 5).map(|pad| sized(pad, kid)).find(|token| token.len() == bytes)
        };
        ["", "a", "aa", "aaa"].iter().find_map(find).unwrap()
    };
    target.accepts("16 KiB", &exactly(16 << 10)).await;
    target.refuses("16 KiB and one byte", &exactly((16 << 10) + 1)).await;
    target.refuses("much more", &exactly(24 << 10)).await;
    // Over what all headers may have: no token is read.
    let long = format!("authorization: Bearer {}\r\n", "a".repeat(1 << 20));
    let mut raw = target.sidecar.raw().await;
    raw.send(request("POST", "/get-online-features", &long, FINE)).await;
    if let Some(answer) = raw.try_answer().await {
        assert_eq!(answer.status, 431);
    }
    target.still_serves().await;
}
