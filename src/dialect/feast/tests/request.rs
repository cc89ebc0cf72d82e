//! Reading and building bodies.

use super::*;

/// A request in one line: what is wanted, the entities with the text of their values, the switches.
fn shown(body: &[u8]) -> String {
    let request = read(body).unwrap_or_else(|error| panic!("{}: {error}", String::from_utf8_lossy(body)));
    let mut line = match &request.asked.read().unwrap() {
        Wanted::Features(names) => format!("{names:?}"),
        Wanted::Service(name) => format!("service {name:?}"),
    };
    for entity in &request.entities {
        let null = if entity.has_null { " null" } else { "" };
        line.push_str(&format!(" {}={}{null}", entity.name, String::from_utf8_lossy(entity.values)));
    }
    line.push_str(if request.full_names { " full" } else { "" });
    line.push_str(if request.view_metadata { " metadata" } else { "" });
    line
}

#[test]
fn what_is_read() {
    let cases = [
        (r#"{"features":["v:f"],"entities":{"k":[1]}}"#, r#"["v:f"] k=[1]"#),
        // The order of the members says nothing; unknown ones have no effect, whatever their case.
        (r#"{"entities":{"k":[1]},"x":{"features":[]},"Features":["v:g"],"features":["v:f"]}"#, r#"["v:f"] k=[1]"#),
        ("\r\n\t {\"features\" :\t[ \"v:f\" ]\n, \"entities\": {\"k\":[ 1 ,2]} } \n", r#"["v:f"] k=[ 1 ,2]"#),
        // Escaped keys and names are what they spell.
        (r#"{"f\u0065atures":["\u0076\u003af"],"entities":{"\u006b":["\u006b"]}}"#, r#"["v:f"] k=["\u006b"]"#),
        (r#"{"features":["\ud83d\ude00:\/\t"],"entities":{"k":[1]}}"#, r#"["😀:/\t"] k=[1]"#),
        // Names are not judged here: neither their form, nor twice the same.
        (
            r#"{"features":["ssn","","v:f","v:f"," v:f"],"entities":{"":[1]}}"#,
            r#"["ssn", "", "v:f", "v:f", " v:f"] =[1]"#,
        ),
        (r#"{"feature_service":"s","entities":{"k":[1]}}"#, r#"service "s" k=[1]"#),
        (r#"{"feature_service":"s","features":[],"entities":{"k":[1]}}"#, r#"service "s" k=[1]"#),
        (r#"{"feature_service":"s","features":null,"entities":{"k":[1]}}"#, r#"service "s" k=[1]"#),
        // Blank is not empty: Feast takes it for a name.
        (r#"{"feature_service":" ","entities":{"k":[1]}}"#, r#"service " " k=[1]"#),
        (r#"{"feature_service":"","features":["v:f"],"entities":{"k":[1]}}"#, r#"["v:f"] k=[1]"#),
        (r#"{"feature_service":null,"features":["v:f"],"entities":{"k":[1]}}"#, r#"["v:f"] k=[1]"#),
        (
            r#"{"features":["v:f"],"entities":{"k":[1]},"full_feature_names":true,"include_feature_view_version_metadata":true}"#,
            r#"["v:f"] k=[1] full metadata"#,
        ),
        (
            r#"{"features":["v:f"],"entities":{"k":[1]},"full_feature_names":null,"include_feature_view_version_metadata":false}"#,
            r#"["v:f"] k=[1]"#,
        ),
        // A null within a value is no null of the column.
        (
            r#"{"features":["v:f"],"entities":{"a":[1,null],"b":[[null],{"x":null}],"c":["null",0],"d":[false,""]}}"#,
            r#"["v:f"] a=[1,null] null b=[[null],{"x":null}] c=["null",0] d=[false,""]"#,
        ),
        // Values keep their text.
        (
            r#"{"features":["v:f"],"entities":{"k":[9007199254740993123456789,-0,-0.0,1E+2,1e999,"a\u0000",[[1.50]]]}}"#,
            r#"["v:f"] k=[9007199254740993123456789,-0,-0.0,1E+2,1e999,"a\u0000",[[1.50]]]"#,
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(shown(body.as_bytes()), expected, "{body}");
    }
}

#[test]
fn what_is_not_read() {
    let deep = format!(r#"{{"features":["v:f"],"entities":{{"k":[{}1{}]}}}}"#, "[".repeat(126), "]".repeat(126));
    let long = format!(r#"{{"features":["v:f"],"entities":{{"{}":1}}}}"#, "é".repeat(40));
    let long_error = format!("entity `{}…` is not a list of values", "\\u{e9}".repeat(22));
    let cases: &[(&str, &str)] = &[
        ("", "the body cannot be read: the json text ends at byte 0, expected an object"),
        ("{\"features\":", "the body cannot be read: the json text ends at byte 12, expected a value"),
        ("[]", "the body cannot be read: unexpected byte `[` at byte 0 of the json text, expected an object"),
        ("null", "the body cannot be read: unexpected byte `n` at byte 0 of the json text, expected an object"),
        ("{} {}", "the body cannot be read: the json text goes on behind its value at byte 3"),
        ("\u{feff}{}", "the body cannot be read: the json text has a byte order mark at byte 0"),
        (
            "{'features':[]}",
            "the body cannot be read: unexpected byte `\\'` at byte 1 of the json text, expected a key",
        ),
        (
            "{\"features\":[],}",
            "the body cannot be read: unexpected byte `}` at byte 15 of the json text, expected a key",
        ),
        ("{/**/}", "the body cannot be read: unexpected byte `/` at byte 1 of the json text, expected a key"),
        (
            r#"{"features":["v:f"],"entities":{"k":[NaN]}}"#,
            "the body cannot be read: unexpected byte `N` at byte 37 of the json text, expected a value",
        ),
        (
            r#"{"features":["v:f"],"entities":{"k":[-Infinity]}}"#,
            "the body cannot be read: a number that is not spelt as in json at byte 37 of the json text",
        ),
        (
            r#"{"features":["v:f"],"entities":{"k":[01]}}"#,
            "the body cannot be read: a number that is not spelt as in json at byte 37 of the json text",
        ),
        (
            r#"{"features":["v:\ud800"],"entities":{"k":[1]}}"#,
            "the body cannot be read: a lone surrogate at byte 16 of the json text",
        ),
        // A key twice, at any depth, however it is spelt, also where nobody looks.
        (
            r#"{"features":["v:f"],"features":["v:g"],"entities":{"k":[1]}}"#,
            "the body cannot be read: the key `features` at byte 20 of the json text stands twice in its object",
        ),
        (
            r#"{"features":["v:f"],"f\u0065atures":["v:g"],"entities":{"k":[1]}}"#,
            "the body cannot be read: the key `features` at byte 20 of the json text stands twice in its object",
        ),
        (
            r#"{"features":["v:f"],"entities":{"k":[1],"\u006b":[2]}}"#,
            "the body cannot be read: the key `k` at byte 40 of the json text stands twice in its object",
        ),
        (
            r#"{"features":["v:f"],"entities":{"k":[{"a":1,"a":2}]}}"#,
            "the body cannot be read: the key `a` at byte 44 of the json text stands twice in its object",
        ),
        (
            r#"{"x":[{"a":1,"b":2,"\u0061":3}],"features":["v:f"],"entities":{"k":[1]}}"#,
            "the body cannot be read: the key `a` at byte 19 of the json text stands twice in its object",
        ),
        (&deep, "the body cannot be read: the json text nests deeper than 128 levels at byte 162"),
        // Which of the two is meant.
        (
            r#"{"features":["v:f"],"feature_service":"s","entities":{"k":[1]}}"#,
            "`feature_service` and `features` are both given, and only one can be meant",
        ),
        (
            r#"{"feature\u005fservice":"s","entities":{"k":[1]},"features":[""]}"#,
            "`feature_service` and `features` are both given, and only one can be meant",
        ),
        ("{}", "neither `features` nor `feature_service` is given"),
        (r#"{"features":[],"entities":{"k":[1]}}"#, "neither `features` nor `feature_service` is given"),
        (r#"{"feature_service":"","entities":{"k":[1]}}"#, "neither `features` nor `feature_service` is given"),
        (r#"{"feature_service":null,"features":null}"#, "neither `features` nor `feature_service` is given"),
        // Kinds: no text for a list, no `"yes"` for a boolean.
        (r#"{"features":"v:f","entities":{"k":[1]}}"#, "`features` is not a list"),
        (r#"{"features":{"v":"f"},"entities":{"k":[1]}}"#, "`features` is not a list"),
        (r#"{"features":["v:f",null],"entities":{"k":[1]}}"#, "`features` holds something that is no text"),
        (r#"{"features":[["v:f"]],"entities":{"k":[1]}}"#, "`features` holds something that is no text"),
        (r#"{"feature_service":["s"],"entities":{"k":[1]}}"#, "`feature_service` is not a text"),
        (r#"{"feature_service":false,"features":["v:f"]}"#, "`feature_service` is not a text"),
        (
            r#"{"features":["v:f"],"entities":{"k":[1]},"full_feature_names":"yes"}"#,
            "`full_feature_names` is neither true nor false",
        ),
        (
            r#"{"features":["v:f"],"entities":{"k":[1]},"full_feature_names":1}"#,
            "`full_feature_names` is neither true nor false",
        ),
        (
            r#"{"features":["v:f"],"entities":{"k":[1]},"include_feature_view_version_metadata":[]}"#,
            "`include_feature_view_version_metadata` is neither true nor false",
        ),
        // Entities: columns of one length.
        (r#"{"features":["v:f"]}"#, "`entities` is missing"),
        (r#"{"features":["v:f"],"entities":null}"#, "`entities` is missing"),
        (r#"{"features":["v:f"],"entities":{}}"#, "`entities` is empty"),
        (r#"{"features":["v:f"],"entities":[{"k":1}]}"#, "`entities` is not an object"),
        (r#"{"features":["v:f"],"entities":{"k":1}}"#, "entity `k` is not a list of values"),
        (r#"{"features":["v:f"],"entities":{"k":null}}"#, "entity `k` is not a list of values"),
        (r#"{"features":["v:f"],"entities":{"k":{"val":[1]}}}"#, "entity `k` is not a list of values"),
        (&long, &long_error),
        (r#"{"features":["v:f"],"entities":{"k":[]}}"#, "`entities` has no rows"),
        (r#"{"features":["v:f"],"entities":{"k":[1,2],"x":[3]}}"#, "entity `x` has 1 values where others have 2"),
        (r#"{"features":["v:f"],"entities":{"a\n":[],"b":[1]}}"#, "entity `b` has 1 values where others have 0"),
    ];
    for (body, expected) in cases {
        let all = read(body.as_bytes()).and_then(|request| request.asked.read().map(drop));
        assert_eq!(all.map_err(|error| error.0).unwrap_err(), *expected, "{body}");
    }
}

#[test]
fn other_encodings_are_not_read() {
    let body = r#"{"features":["customer_profile:ssn"],"entities":{"customer_id":[1]}}"#;
    let wide = |order: fn(u16) -> [u8; 2]| body.encode_utf16().flat_map(order).collect::<Vec<u8>>();
    let cases: [(Vec<u8>, &str); 4] = [
        (wide(u16::to_be_bytes), "unexpected byte `\\x00` at byte 0 of the json text, expected an object"),
        (wide(u16::to_le_bytes), "unexpected byte `\\x00` at byte 1 of the json text, expected a key"),
        ([b"\xff\xfe".to_vec(), wide(u16::to_le_bytes)].concat(), "the json text is not utf-8 at byte 0"),
        (b"{\"features\":[\"v:\xe9\"]}".to_vec(), "the json text is not utf-8 at byte 16"),
    ];
    for (body, expected) in cases {
        assert_eq!(read(&body).unwrap_err().0, format!("the body cannot be read: {expected}"));
    }
}

#[test]
fn the_body_is_built_from_what_was_understood() {
    let policy = shop();
    let cases = [
        // Unknown members, spelling and white space stay behind; values keep their text.
        (
            r#"{ "query" : "*", "entities" : { "customer\u005fid" : [ 1 , "2", 3.50, 1e2, 9007199254740993 ] }, "features" : [ "customer_profile:\u0076ip", "customer_profile@latest:age" ] }"#,
            r#"{"features":["customer_profile:vip","customer_profile:age"],"entities":{"customer_id":[ 1 , "2", 3.50, 1e2, 9007199254740993 ]},"full_feature_names":true}"#,
        ),
        // Entities that are no keys stay behind: a stored feature by either name, an entity's name, what nobody knows.
        (
            r#"{"features":["customer_profile:vip"],"entities":{"age":[99],"customer_profile:age":[99],"customer_profile__age":[99],"customer":[2],"x\"":[1],"customer_id":[1]}}"#,
            r#"{"features":["customer_profile:vip"],"entities":{"customer_id":[1]},"full_feature_names":true}"#,
        ),
        // Keys and request fields go along in the caller's order, those with a null do not.
        (
            r#"{"features":["checkout_risk:avg_txn"],"entities":{"coupon":["x\/y"],"customer_id":[{"a":[]}],"basket_total":[1.0]},"include_feature_view_version_metadata":true,"full_feature_names":true}"#,
            r#"{"features":["checkout_risk:avg_txn"],"entities":{"coupon":["x\/y"],"customer_id":[{"a":[]}],"basket_total":[1.0]},"full_feature_names":true,"include_feature_view_version_metadata":true}"#,
        ),
        (
            r#"{"features":["customer_profile:vip"],"entities":{"customer_id":[1],"coupon":[null]}}"#,
            r#"{"features":["customer_profile:vip"],"entities":{"customer_id":[1]},"full_feature_names":true}"#,
        ),
        // A service without aliases goes as its features.
        (
            r#"{"feature_service":"crm_service","features":[],"entities":{"customer_id":[1]}}"#,
            r#"{"features":["customer_profile:ssn","customer_profile:email","customer_profile:income","customer_profile:age","customer_profile:vip","customer_profile:country"],"entities":{"customer_id":[1]},"full_feature_names":true}"#,
        ),
        // One with aliases and renamed keys by name.
        (
            r#"{"feature_service":"pair\u005fservice","entities":{"buyer_id":[1],"seller_id":[2],"coupon":["x"],"other":[3]},"full_feature_names":true}"#,
            r#"{"feature_service":"pair_service","entities":{"buyer_id":[1],"seller_id":[2],"coupon":["x"]},"full_feature_names":true}"#,
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(sent(&policy, "all", body), format!("sent {expected}"), "{body}");
    }
}

#[test]
fn a_view_without_entities_is_asked_by_the_key_that_feast_gives_it() {
    let policy = alone("roles: {r: {}}\nfeatures: {\"v:f\": null, k: {key: true}}");
    for (entities, forwarded) in [
        (r#"{"x":[1]}"#, r#"{"__dummy_id":[""]}"#),
        (r#"{"__dummy_id":["a",[],null]}"#, r#"{"__dummy_id":["","",""]}"#),
        (r#"{"k":[1,null]}"#, r#"{"__dummy_id":["",""]}"#),
        (r#"{"x":[1,2],"k":[3,4]}"#, r#"{"k":[3,4]}"#),
    ] {
        let expected = format!(r#"sent {{"features":["v:f"],"entities":{forwarded},"full_feature_names":true}}"#);
        assert_eq!(sent(&policy, "r", &format!(r#"{{"features":["v:f"],"entities":{entities}}}"#)), expected);
    }
}

#[test]
fn a_query_names_ten_thousand_features_at_most() {
    let body = |count: usize| {
        let names = vec!["\"v:f\""; count].join(",");
        format!(r#"{{"features":[{names}],"entities":{{"k":[1]}}}}"#)
    };
    let names = |count: usize| match read(body(count).as_bytes()).unwrap().asked.read() {
        Ok(Wanted::Features(names)) => names.len().to_string(),
        Ok(Wanted::Service(service)) => panic!("{service}"),
        Err(invalid) => invalid.0,
    };
    assert_eq!(names(10_000), "10000");
    assert_eq!(names(10_001), "`features` holds more than 10000 features");
    let policy = alone("roles: {r: {}}");
    assert_eq!(sent(&policy, "r", &body(10_001)), "invalid `features` holds more than 10000 features");
}

#[test]
fn names_are_escaped_anew() {
    let policy = alone(
        r#"
unknown_features: default
roles: {all: {}}
features: {"k\"\\é": {key: true}, "v\\:\"f": {joins: ["k\"\\é"]}}
bundles: {"s\"}": [{feature: "v\\:\"f", as: "a\"b"}]}
"#,
    );
    let cases = [
        (
            r#"{"features":["\u0076\\:\"f"],"entities":{"k\"\u005c\u00e9":[1]}}"#,
            r#"{"features":["v\\:\"f"],"entities":{"k\"\\é":[1]},"full_feature_names":true}"#,
        ),
        (
            r#"{"features":["\"]:,x\u2028\u00e9"],"entities":{"x":[1]}}"#,
            "{\"features\":[\"\\\"]:,x\u{2028}é\"],\"entities\":{\"__dummy_id\":[\"\"]},\"full_feature_names\":true}",
        ),
        (
            r#"{"feature_service":"\u0073\"}","entities":{"k\"\\é":[1]}}"#,
            r#"{"feature_service":"s\"}","entities":{"k\"\\é":[1]},"full_feature_names":true}"#,
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(sent(&policy, "all", body), format!("sent {expected}"), "{body}");
    }
}

#[test]
fn the_new_body_reads_as_what_was_decided() {
    // What goes upstream is itself a request that means the same, and that is rewritten to itself.
    let policy = shop();
    for body in [
        r#"{"features":["customer_profile@latest:vip","num:ratio"],"entities":{"age":[1],"customer_id":[1]},"z":1}"#,
        r#"{"feature_service":"risk_service","entities":{"customer_id":[1],"basket_total":[1],"coupon":[2]}}"#,
        r#"{"feature_service":"pair_service","entities":{"buyer_id":[1],"seller_id":[1]},"full_feature_names":true}"#,
    ] {
        let once = sent(&policy, "all", body);
        let again = sent(&policy, "all", once.strip_prefix("sent ").unwrap());
        assert_eq!(once, again);
    }
}
