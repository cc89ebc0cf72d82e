//! What the judge must not let pass.

use serde_json::json;

use super::*;

const ALWAYS: Window = Window { oldest: 1, newest: 1 };
const ID: &str = "0123456789abcdef0123456789abcdef";

fn query(cut: bool, names: &[&'static str]) -> Asked {
    Asked { token: Token::Key(1), wish: Wish::Features { cut, names: names.to_vec() } }
}

fn answer(status: u16, body: impl ToString) -> Answer {
    let headers = vec![("x-tagwarden-decision-id".to_owned(), ID.to_owned())];
    Answer { status, headers, body: body.to_string().into_bytes(), trailers: Vec::new() }
}

fn values(kept: &[&str], dropped: usize) -> Answer {
    let column = |name: &&str| json!({"values": [format!("view__{name} of row 0"), format!("view__{name} of row 1")]});
    let results: Vec<Value> = [json!({"values": [1, 2]})].into_iter().chain(kept.iter().map(column)).collect();
    let names: Vec<&str> = ["customer_id"].into_iter().chain(kept.iter().copied()).collect();
    let mut answer = answer(200, json!({"results": results, "metadata": {"feature_names": names}}));
    answer.headers.push(("x-tagwarden-filtered".to_owned(), dropped.to_string()));
    answer
}

fn error(status: u16, code: &str, refused: &[&str]) -> Answer {
    answer(status, json!({"error": {"code": code, "decision_id": ID, "refused": refused}}))
}

/// Why it does not pass, when policy `number` was in force all the time.
fn fault(asked: &Asked, answer: &Answer, number: usize) -> String {
    let policies = Window { oldest: number, newest: number };
    judge(asked, answer, policies, ALWAYS).expect_err("it passed")
}

#[test]
fn what_one_policy_explains_passes() {
    let all = query(true, &FEATURES);
    let a = Window { oldest: 0, newest: 0 };
    let verdict = judge(&all, &values(&["open", "x0", "x1", "x2"], 4), a, ALWAYS).unwrap();
    assert_eq!(verdict, Verdict { code: "FILTERED".to_owned(), decided: true, side: Some(Side::A) });
    let both = Window { oldest: 0, newest: 1 };
    let verdict = judge(&all, &values(&["open", "y0", "y1", "y2"], 4), both, ALWAYS).unwrap();
    assert_eq!(verdict.side, Some(Side::B));
    let refused = error(403, "FEATURES_REFUSED", &["view:y0"]);
    let verdict = judge(&query(false, &["y0", "open"]), &refused, a, ALWAYS).unwrap();
    assert_eq!((verdict.side, verdict.decided), (Some(Side::A), true));
}

#[test]
fn a_mix_of_two_policies_does_not_pass() {
    let both = Window { oldest: 0, newest: 1 };
    for mix in [&["open", "x0", "y0"][..], &["open", "x0", "x1", "y2"], &["open", "x0", "x1", "x2", "y0", "y1", "y2"]] {
        let asked = query(true, &FEATURES);
        let why = judge(&asked, &values(mix, 8 - mix.len()), both, ALWAYS).expect_err("it passed");
        assert!(why.starts_with("no policy explains "), "{why}");
    }
    let refused = error(403, "FEATURES_REFUSED", &["view:x0", "view:y0"]);
    let why = judge(&query(false, &["x0", "y0", "open"]), &refused, both, ALWAYS).expect_err("it passed");
    assert!(why.starts_with("no policy in force refuses "), "{why}");
}

#[test]
fn what_is_never_given_what_is_missing_and_what_is_over_do_not_pass() {
    let all = query(true, &FEATURES);
    assert!(fault(&all, &values(&["open", "x0", "x1", "x2", "shut"], 3), 0).starts_with("no policy explains "));
    assert!(fault(&all, &values(&["open", "x0", "x1"], 5), 0).starts_with("no policy explains "));
    assert!(fault(&all, &values(&["open", "x0", "x1", "x2"], 4), 1).starts_with("[A] was not in force"));
    assert!(fault(&all, &values(&["open", "x0", "x1", "x2"], 3), 0).starts_with("`x-tagwarden-filtered` is 3 and 4"));
    let mut hidden = values(&["open", "x0", "x1", "x2"], 4);
    hidden.headers.push(("etag".to_owned(), "view__shut of row 0".to_owned()));
    assert!(fault(&all, &hidden, 0).starts_with("no policy explains "));
    let whole = query(false, &["open", "y0"]);
    assert!(fault(&whole, &values(&["open", "y0"], 0), 0).starts_with("[B] was not in force"));
    assert!(fault(&whole, &values(&["open"], 1), 0).starts_with("no policy explains "), "a reader's are not cut");
    assert!(fault(&whole, &error(502, "UPSTREAM_FAILED", &[]), 0).starts_with("it should not have gone upstream"));
}

#[test]
fn an_error_with_a_value_without_a_code_or_without_an_id_does_not_pass() {
    let asked = query(true, &["open"]);
    let mut tells = error(502, "UPSTREAM_FAILED", &[]);
    tells.headers.push(("x-values".to_owned(), "view__open of row 0".to_owned()));
    assert!(fault(&asked, &tells, 0).starts_with("an error tells of "));
    assert!(fault(&asked, &error(418, "TEAPOT", &[]), 0).starts_with("TEAPOT with 418 is not on the list"));
    assert!(fault(&asked, &error(500, "UPSTREAM_UNREADABLE", &[]), 0).contains("is not on the list"));
    assert!(fault(&asked, &error(503, "OVERLOADED", &[]), 0).starts_with("not an error that it could be"));
    assert!(fault(&asked, &answer(502, "<html>"), 0).starts_with("no error of ours"));
    let mut bare = values(&["open"], 0);
    bare.headers.clear();
    assert!(fault(&asked, &bare, 0).starts_with("there is no decision id"));
    let mut two = error(502, "UPSTREAM_FAILED", &[]);
    two.headers[0].1 = ID.replace('0', "f");
    assert!(fault(&asked, &two, 0).starts_with("header and body give two ids"));
}

#[test]
fn a_token_counts_as_long_as_its_key_is_in_force() {
    let keys = |oldest, newest| Window { oldest, newest };
    let judged = |token, answer: &Answer, window| {
        let asked = Asked { token, wish: Wish::Features { cut: true, names: vec!["open"] } };
        judge(&asked, answer, ALWAYS, window).is_ok()
    };
    let (good, bad, late) = (values(&["open"], 0), error(401, "UNAUTHORIZED", &[]), error(401, "TOKEN_EXPIRED", &[]));
    // Set 5 holds the keys 4 and 5.
    for (key, known) in [(3, false), (4, true), (5, true), (6, false)] {
        assert_eq!(judged(Token::Key(key), &good, keys(5, 5)), known, "{key}");
        assert_eq!(judged(Token::Key(key), &bad, keys(5, 5)), !known, "{key}");
        assert_eq!(judged(Token::Expired(key), &late, keys(5, 5)), known, "{key}");
        assert!(!judged(Token::Expired(key), &good, keys(5, 5)) && !judged(Token::Key(key), &late, keys(5, 5)));
    }
    // While it goes and while it comes, both may be.
    for key in [4, 6] {
        assert!(judged(Token::Key(key), &good, keys(5, 6)) && judged(Token::Key(key), &bad, keys(5, 6)));
    }
    assert!(!judged(Token::Bad, &good, keys(5, 5)) && judged(Token::Bad, &bad, keys(5, 5)));
    assert!(judged(Token::Unasked, &good, keys(5, 5)) && !judged(Token::Unasked, &bad, keys(5, 5)));
}
