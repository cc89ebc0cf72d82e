//! Answers that stop: another layout, columns that nobody asked for.

use super::*;

#[test]
fn a_column_that_was_not_asked_for_stops_the_answer() {
    let policy = shop();
    let cases: &[(&[&str], &str)] = &[
        (
            &["customer_profile__vip", "customer_profile__age", "customer_profile__ssn"],
            "column `customer_profile__ssn` was not asked for",
        ),
        // Short names, and other spellings of what was asked for.
        (&["vip", "age"], "column `vip` was not asked for"),
        (&["customer_profile__vip", "customer_profile:age"], "column `customer_profile:age` was not asked for"),
        (&["customer_profile__vip", "customer_profile__age "], "column `customer_profile__age ` was not asked for"),
        (&["customer_profile__vip", "Customer_Profile__age"], "column `Customer_Profile__age` was not asked for"),
        (
            &["customer_profile__vip", "customer_profile__age\0"],
            "column `customer_profile__age\\u{0}` was not asked for",
        ),
        (&["customer_profile__vip", "customer_profile__age", ""], "column `` was not asked for"),
        // A key that the caller did not send, be it one of the catalogue.
        (&["customer_profile__vip", "customer_profile__age", "coupon"], "column `coupon` was not asked for"),
        (&["customer_profile__vip", "customer_profile__age", "customer"], "column `customer` was not asked for"),
        // Twice.
        (
            &["customer_profile__vip", "customer_profile__age", "customer_profile__vip"],
            "column `customer_profile__vip` stands twice",
        ),
        (
            &["customer_id", "customer_profile__vip", "customer_id", "customer_profile__age"],
            "column `customer_id` stands twice",
        ),
        // Missing.
        (&["customer_id", "customer_profile__vip"], "2 columns were asked for and 1 of them came"),
        (&["customer_id"], "2 columns were asked for and 0 of them came"),
        (&[], "2 columns were asked for and 0 of them came"),
    ];
    for (names, expected) in cases {
        assert_eq!(answered(&policy, "all", TWO, &columns(names)), format!("unreadable {expected}"));
    }
    let doubled =
        columns(&["customer_profile__vip", "customer_profile__age", "X"]).replace('X', r"customer_profile__\u0061ge");
    assert_eq!(answered(&policy, "all", TWO, &doubled), "unreadable column `customer_profile__age` stands twice");
    // Recorded: the last of two `features` won, and short names; two features under one full name.
    let vip = r#"{"features":["customer_profile:vip"],"entities":{"customer_id":[1]}}"#;
    assert_eq!(
        answered(&policy, "analyst", vip, recorded!("dup_json_key")),
        "unreadable column `ssn` was not asked for"
    );
    let big = r#"{"features":["num:edge__big"],"entities":{"customer_id":[1]},"full_feature_names":true}"#;
    assert_eq!(
        answered(&policy, "analyst", big, recorded!("ambiguous_full_name_both")),
        "unreadable column `num__edge__big` stands twice"
    );
    assert_eq!(
        answered(
            &policy,
            "cutter",
            &big.replace("num:edge__big", "customer_profile:ssn\",\"customer_profile:vip"),
            recorded!("pii_mixed")
        ),
        "unreadable column `customer_profile__email` was not asked for"
    );
}

#[test]
fn a_stored_value_does_not_pass_under_the_name_of_an_entity_that_stayed_behind() {
    let policy = shop();
    let body = r#"{"features":["customer_profile:vip"],"entities":{"customer_id":[1],"ssn":[2],"customer_profile__ssn":[2],"coupon":[null]}}"#;
    for name in ["ssn", "customer_profile__ssn", "coupon"] {
        assert_eq!(
            answered(&policy, "analyst", body, &columns(&["customer_id", "customer_profile__vip", name])),
            format!("unreadable column `{name}` was not asked for")
        );
    }
}

#[test]
fn another_layout_is_not_read() {
    let policy = shop();
    let good = columns(&["customer_profile__vip", "customer_profile__age"]);
    let cases = [
        ("", "the answer cannot be read: the json text ends at byte 0, expected an object"),
        ("[]", "the answer cannot be read: unexpected byte `[` at byte 0 of the json text, expected an object"),
        (
            r#""{\"results\":[]}""#,
            "the answer cannot be read: unexpected byte `\\\"` at byte 0 of the json text, expected an object",
        ),
        ("{}", "the answer has no `results` or no `metadata`"),
        (r#"{"results":[]}"#, "the answer has no `results` or no `metadata`"),
        (r#"{"metadata":{"feature_names":[]}}"#, "the answer has no `results` or no `metadata`"),
        (
            r#"{"results":[],"metadata":[]}"#,
            "the answer cannot be read: the value at byte 25 of the json text is not an object",
        ),
        (
            r#"{"results":[],"metadata":null}"#,
            "the answer cannot be read: the value at byte 25 of the json text is not an object",
        ),
        (r#"{"results":[],"metadata":{}}"#, "the answer has no list `metadata.feature_names`"),
        (
            r#"{"results":[],"metadata":{"feature_names":{"val":[]}}}"#,
            "the answer has no list `metadata.feature_names`",
        ),
        (r#"{"results":{},"metadata":{"feature_names":[]}}"#, "`results` is not a list"),
        (
            r#"{"results":[],"metadata":{"feature_names":[1]}}"#,
            "`metadata.feature_names` holds something that is no text",
        ),
        (
            r#"{"results":[],"metadata":{"feature_names":["customer_profile__vip","customer_profile__age"]}}"#,
            "2 names stand for 0 columns",
        ),
    ];
    for (answer, expected) in cases {
        assert_eq!(answered(&policy, "all", TWO, answer), format!("unreadable {expected}"), "{answer}");
    }
    let changes = [
        // A byte order mark, something behind, NaN, a number spelt otherwise.
        (
            "{\"results",
            "\u{feff}{\"results",
            "the answer cannot be read: the json text has a byte order mark at byte 0",
        ),
        ("]}}", "]}} {}", "the answer cannot be read: the json text goes on behind its value at byte 169"),
        (
            "[0]",
            "[NaN]",
            "the answer cannot be read: unexpected byte `N` at byte 23 of the json text, expected a value",
        ),
        (
            "[0]",
            "[Infinity]",
            "the answer cannot be read: unexpected byte `I` at byte 23 of the json text, expected a value",
        ),
        ("[0]", "[+1]", "the answer cannot be read: unexpected byte `+` at byte 23 of the json text, expected a value"),
        ("[0]", "[1.]", "the answer cannot be read: a number that is not spelt as in json at byte 23 of the json text"),
        // Keys twice: the outermost, the metadata, an entry, a value. A value's key is not shown.
        (
            "{\"results",
            "{\"results\":[],\"r\\u0065sults",
            "the answer cannot be read: a key at byte 14 of the json text stands twice",
        ),
        (
            "]}}",
            "],\"feature\\u005fnames\":[]}}",
            "the answer cannot be read: a key at byte 167 of the json text stands twice",
        ),
        ("\"statuses\"", "\"values\"", "the answer cannot be read: a key at byte 26 of the json text stands twice"),
        (
            "[0]",
            "[{\"001-01-0007\":1,\"001-01-0007\":2}]",
            "the answer cannot be read: a key at byte 40 of the json text stands twice",
        ),
        // Names and columns.
        ("{\"values\":[0],\"statuses\":[\"PRESENT\"]},", "", "2 names stand for 1 columns"),
        ("\"results\":[", "\"results\":[{\"values\":[9]},", "2 names stand for 3 columns"),
        // Entries.
        ("{\"values\":[0],\"statuses\":[\"PRESENT\"]}", "[0]", "an entry of `results` is not an object"),
        ("{\"values\":[0],\"statuses\":[\"PRESENT\"]}", "null", "an entry of `results` is not an object"),
        ("{\"values\":[0],\"statuses\":[\"PRESENT\"]}", "{}", "an entry of `results` has no `values`"),
        ("{\"values\":[0],", "{", "an entry of `results` has no `values`"),
        ("[0]", "0", "an entry of `results` has `values`, which is not known"),
        ("[0]", "null", "an entry of `results` has `values`, which is not known"),
        ("[0]", "{\"val\":[0]}", "an entry of `results` has `values`, which is not known"),
        ("\"statuses\"", "\"raw\"", "an entry of `results` has `raw`, which is not known"),
        ("\"statuses\"", "\"Values\"", "an entry of `results` has `Values`, which is not known"),
        ("[\"PRESENT\"]", "\"PRESENT\"", "an entry of `results` has `statuses`, which is not known"),
    ];
    for (from, to, expected) in changes {
        let answer = good.replacen(from, to, 1);
        assert_ne!(answer, good);
        assert_eq!(answered(&policy, "all", TWO, &answer), format!("unreadable {expected}"), "{answer}");
    }
    let body = format!("{good}\u{e9}").into_bytes();
    let request = read(TWO.as_bytes()).unwrap();
    let permit = permitted(planned(&policy, "all", TWO));
    let error = filter(&body[..body.len() - 1], &request, &permit).unwrap_err();
    assert_eq!(error.0, "the answer cannot be read: the json text is not utf-8 at byte 168");
}

#[test]
fn members_that_are_not_known_are_left_out() {
    let policy = shop();
    let full = r#"{"features":["customer_profile:vip"],"entities":{"customer_id":[1]},"full_feature_names":true}"#;
    let good = columns(&["customer_id", "customer_profile__vip"]);
    assert_eq!(answered(&policy, "all", full, &good), "as it came");
    for (from, to) in [
        ("{\"results", "{\"debug\":{\"ssn\":\"001-01-0007\"},\"results"),
        ("{\"results", "{\"Results\":[],\"results"),
        ("]}}", "]},\"ssn\":[1]}"),
        ("]}}", "],\"rows\":[[\"001-01-0007\"]]}}"),
        ("]}}", "]},\"status\":\"001-01-0007\"}"),
        ("]}}", "]},\"status\":null}"),
        // Not asked for.
        ("]}}", "],\"feature_view_metadata\":[{\"name\":\"customer_profile\"}]}}"),
        ("]}}", "],\"feature_view_metadata\":\"001-01-0007\"}}"),
    ] {
        assert_eq!(answered(&policy, "all", full, &good.replacen(from, to, 1)), format!("cut 0 {good}"), "{to}");
    }
    // A boolean `status` is Feast's own.
    let status = good.replace("]}}", "]},\"status\":true}");
    assert_eq!(answered(&policy, "all", full, &status), "as it came");
    let other = good.replace("{\"results", "{\"x\":1,\"status\":false,\"results");
    assert_eq!(
        answered(&policy, "all", full, &other),
        format!("cut 0 {}", good.replace("]}}", "]},\"status\":false}"))
    );
    // White space and order are the upstream's where it passes whole.
    let spaced = r#" { "metadata" : { "feature_names" : [ "customer_profile__vip" ] } , "results" : [ { "event_timestamps":[], "values" : [ 1 ] } ] } "#;
    assert_eq!(answered(&policy, "all", full, spaced), "as it came");
    let short = full.replace("true", "false");
    assert_eq!(
        answered(&policy, "all", &short, spaced),
        r#"cut 0 {"results":[{ "event_timestamps":[], "values" : [ 1 ] }],"metadata":{"feature_names":["vip"]}}"#
    );
}
