//! Answers that stop: another layout, names that say nothing or two things, and very large ones.

use std::fmt::Write;
use std::time::{Duration, Instant};

use super::*;

#[track_caller]
fn stops(case: &Case, body: &str, why: &str) {
    assert_eq!(case.said(body), format!("unreadable {why}"), "{body}");
}

#[test]
fn names_that_say_nothing_or_two_things_stop_the_answer() {
    let case = Case::new(vec![plain(rows("/n/*/name", "/v", &[]))], &["a", "b"], &["c"]);
    let body = |names: &str| format!(r#"{{"v":[1,2,"secret"],"n":{names}}}"#);
    let named = |name: &str| body(&format!(r#"[{{"name":"a"}},{{"name":"b"}},{{{name}}}]"#));
    assert_eq!(case.said(&named(r#""name":"c""#)), r#"1 {"v":[1,2],"n":[{"name":"a"},{"name":"b"}]}"#);
    stops(&case, &named(r#""name":"\u0061""#), "column `a` of `/v` stands twice");
    stops(&case, &named(r#""name":"C""#), "column `C` of `/v` was not asked for");
    stops(&case, &named(r#""name":"c ""#), "column `c ` of `/v` was not asked for");
    stops(&case, &named(r#""name":"c\u0000é""#), "column `c\\u{0}\\u{e9}` of `/v` was not asked for");
    for name in [r#""name":null"#, r#""name":3"#, r#""name":["c"]"#, r#""Name":"c""#, ""] {
        stops(&case, &named(name), "entry 2 of the names `/n/*/name` is missing or no text");
    }
    stops(&case, &body(r#"["a","b","c"]"#), "entry 0 of the names `/n/*/name` is missing or no text");
    stops(&case, &body("[null]"), "entry 0 of the names `/n/*/name` is missing or no text");
    stops(&case, &body("[]"), "2 columns were asked for and `/v` has 0 of them");
    stops(&case, &body("null"), "`/v` is there without its names");
    stops(&case, &body(r#"{"name":"a"}"#), "`/v` is there without its names");
    stops(&case, r#"{"v":[1,2,3]}"#, "`/v` is there without its names");
    // Even where there is nothing to name.
    stops(&case, r#"{"v":null}"#, "the names `/n/*/name` are missing");
    stops(&case, r#"{"v":null,"n":"a"}"#, "`/n` is no list");
    stops(&case, r#"{"n":[{"name":"a"},{"name":"b"}]}"#, "`/n/*/name` is there and `/v` is missing");
    stops(&case, &named(r#""name":"c""#).replace(r#"1,2,"#, "1,"), "`/v` has 2 entries for 3 names");
    stops(&case, &named(r#""name":"c""#).replace(r#"1,2,"#, "1,2,3,"), "`/v` has 4 entries for 3 names");
    stops(&case, &named(r#""name":"c""#).replace(r#"[1,2,"secret"]"#, r#"{"a":1}"#), "`/v` is no list");
    stops(&case, &named(r#""name":"c""#).replace(r#"[1,2,"secret"]"#, "7"), "`/v` is no list");
    stops(&case, "{}", "the answer has no features at `/v`");
}

#[test]
fn records_and_objects_that_cannot_be_told_stop_the_answer() {
    let case = Case::new(vec![plain(records("/r/*", "/id/name"))], &["a"], &["b"]);
    let body = |record: &str| format!(r#"{{"r":[{{"id":{{"name":"a"}}}},{record}]}}"#);
    assert_eq!(case.said(&body(r#"{"v":1,"id":{"name":"b"}}"#)), r#"1 {"r":[{"id":{"name":"a"}}]}"#);
    for record in ["null", "1", r#"["b"]"#, "{}", r#"{"id":null}"#, r#"{"id":"b"}"#, r#"{"id":{"name":1}}"#] {
        stops(&case, &body(record), "the name of record 1 of `/r/*` is missing or no text");
    }
    stops(&case, &body(r#"{"id":{"name":"\u0061"}}"#), "column `a` of `/r/*` stands twice");
    stops(&case, r#"{"r":{"id":{"name":"a"}}}"#, "`/r` is no list");
    stops(&case, r#"{"r":[]}"#, "1 columns were asked for and `/r/*` has 0 of them");
    stops(
        &case,
        r#"{"r":[{"id":{"name":"a","name":"b"}}]}"#,
        "the answer is not read: a key at byte 24 of the json text stands twice",
    );

    let case = Case::new(vec![plain(objects("/o/*"))], &["a"], &["b"]);
    stops(&case, r#"{"o":{"a":1}}"#, "`/o` is no list");
    stops(&case, r#"{"o":[[{"a":1}]]}"#, "`/o/*` is no object");
    stops(&case, r#"{"o":["b"]}"#, "`/o/*` is no object");
    stops(&case, r#"{"o":[{"a":1,"b":2},{"b":3}]}"#, "1 columns were asked for and `/o/*` has 0 of them");
    stops(
        &case,
        r#"{"o":[{"a":1,"\u0061":2}]}"#,
        "the answer is not read: a key at byte 13 of the json text stands twice",
    );
    stops(&case, r#"{"o":[{"a":1}]}x"#, "the answer is not read: the json text goes on behind its value at byte 15");
    stops(&case, "", "the answer is not read: the json text ends at byte 0, expected an object or an array");
    assert_eq!(case.said(r#"{"o":null}"#), "as it came");
}

#[test]
fn a_variable_of_the_answer_is_not_endless() {
    let answer =
        || Described { scope: vec![("group".to_owned(), pointer("/group"))], sparse: true, ..plain(objects("/o/*")) };
    let case = Case::new(vec![answer()], &[], &[]);
    let body = |length: usize| format!(r#"{{"group":"{}","o":[{{}}]}}"#, "g".repeat(length));
    assert_eq!(case.said(&body(1024)), "as it came");
    stops(&case, &body(1025), "the variable `group` of `/o/*` is longer than 1024 bytes");
}

/// What is done for each item is done once; each with each would take minutes.
#[test]
fn large_answers_take_linear_time() {
    const MANY: usize = 60_000;
    let start = Instant::now();
    let fates = |column: &Column<'_>| {
        let last = column.name.bytes().last().unwrap_or_default();
        Some(if last.is_multiple_of(2) { Fate::Keep } else { Fate::Cut })
    };
    let cut_of = |answer: Described, body: &str| {
        let layout = Layout::new(&[answer], &[]).unwrap();
        let want = Want { kept: &|_| None, asked_for: &[] };
        cut(body.as_bytes(), &layout, &want, &mut |column| fates(column)).unwrap()
    };
    let list = |item: &dyn Fn(usize) -> String| {
        let mut out = String::new();
        (0..MANY).for_each(|n| write!(out, "{}{}", if n > 0 { "," } else { "" }, item(n)).unwrap());
        out
    };
    let dropped = |answer: &Answer| match answer {
        Answer::AsItCame => (0, 0),
        Answer::Cut { body, dropped } => (*dropped, body.len()),
    };
    let names = list(&|n| format!("\"n{n}\""));
    let numbers = list(&|_| "1".to_owned());
    let answer = cut_of(plain(columns("/n/*", "/v", &[])), &format!(r#"{{"v":[{numbers}],"n":[{names}]}}"#));
    assert_eq!(dropped(&answer).0, MANY / 2);
    let members = list(&|n| format!("\"n{n}\":{{}}"));
    assert_eq!(dropped(&cut_of(plain(objects("")), &format!("{{{members}}}"))).0, MANY / 2);
    let nested = list(&|n| format!(r#"{{"view":"{n}","list":[{{"name":"x1"}},{{"name":"x2"}}]}}"#));
    let scoped =
        Described { scope: vec![("view".to_owned(), pointer("/*/view"))], ..plain(records("/*/list/*", "/name")) };
    assert_eq!(dropped(&cut_of(scoped, &format!("[{nested}]"))).0, MANY);
    let own = list(&|n| format!(r#"{{"name":"x{}","view":"{n}"}}"#, n % 3));
    let scoped = Described { scope: vec![("view".to_owned(), pointer("/*/view"))], ..plain(records("/*", "/name")) };
    assert_eq!(dropped(&cut_of(scoped, &format!("[{own}]"))).0, MANY.div_ceil(3));
    // Members that nobody described, and lists that stay empty.
    let others = list(&|n| format!("\"k{n}\":[[[1]]]"));
    let text = format!(r#"{{{others},"o":{{}}}}"#);
    let Answer::Cut { body, dropped: 0 } = cut_of(plain(objects("/o")), &text) else { panic!("it is not cut") };
    assert_eq!(body.whole(text.as_bytes()), br#"{"o":{}}"#);
    let deep = format!(r#"{{"o":{{"n0":{}{}}}}}"#, "[".repeat(126), "]".repeat(126));
    assert_eq!(cut_of(plain(objects("/o")), &deep), Answer::AsItCame);
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}
