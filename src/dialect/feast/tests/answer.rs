//! Answers: recorded ones, changed ones, hostile ones.

use super::*;

/// The columns of a JSON answer by name, each as it was written.
fn parsed(answer: &str) -> BTreeMap<String, String> {
    #[derive(serde::Deserialize)]
    struct Body<'b> {
        #[serde(borrow)]
        results: Vec<&'b serde_json::value::RawValue>,
        metadata: Metadata,
    }
    #[derive(serde::Deserialize)]
    struct Metadata {
        feature_names: Vec<String>,
    }
    let body: Body<'_> = serde_json::from_str(answer).unwrap();
    assert_eq!(body.results.len(), body.metadata.feature_names.len(), "{answer}");
    body.metadata.feature_names.into_iter().zip(body.results.iter().map(|raw| raw.get().to_owned())).collect()
}

#[test]
fn recorded_answers_pass_with_their_names_given_back() {
    let policy = shop();
    let two_views = r#"{"features":["customer_profile:age","customer_profile:country","customer_activity:txn_count_7d"],"entities":{"customer_id":[1,2]}}"#;
    let full = |body: &str| body.replace("}}", r#"},"full_feature_names":true}"#);
    // In full names nothing is to be done.
    assert_eq!(answered(&policy, "all", &full(two_views), recorded!("two_views_full_names")), "as it came");
    let odfv = r#"{"features":["checkout_risk:basket_to_income","checkout_risk:avg_txn"],"entities":{"customer_id":[1,2],"basket_total":[100.0,50.0],"coupon":["x","y"]}}"#;
    assert_eq!(answered(&policy, "all", &full(odfv), recorded!("odfv_full_names")), "as it came");
    // In short ones the names are another text, and nothing else is.
    for (body, answer, names) in [
        (
            two_views,
            recorded!("two_views_full_names"),
            &[
                ("customer_profile__age", "age"),
                ("customer_profile__country", "country"),
                ("customer_activity__txn_count_7d", "txn_count_7d"),
            ][..],
        ),
        (
            odfv,
            recorded!("odfv_full_names"),
            &[("checkout_risk__basket_to_income", "basket_to_income"), ("checkout_risk__avg_txn", "avg_txn")],
        ),
        (
            r#"{"features":["num:edge__big","num:ratio","num:weird","num:f32"],"entities":{"customer_id":[1,2,3,4]}}"#,
            recorded!("numbers"),
            &[("num__f32", "f32"), ("num__edge__big", "edge__big"), ("num__ratio", "ratio"), ("num__weird", "weird")],
        ),
        (
            r#"{"features":["customer_profile:age","customer_profile:income"],"entities":{"customer_id":[4,5,10,9999]}}"#,
            recorded!("nulls"),
            &[("customer_profile__age", "age"), ("customer_profile__income", "income")],
        ),
        (
            r#"{"feature_service":"risk_service","entities":{"customer_id":[1,5],"basket_total":[10.0,20.0],"coupon":["x","y"]}}"#,
            recorded!("feature_service_full_names"),
            &[("customer_profile__", ""), ("customer_activity__", ""), ("checkout_risk__", "")],
        ),
    ] {
        let expected = names.iter().fold(answer.to_owned(), |text, (long, short)| text.replace(long, short));
        assert_eq!(answered(&policy, "all", body, answer), format!("cut 0 {expected}"));
    }
    let arrays = r#"{"features":["customer_activity:recent_amounts","customer_activity:recent_codes","customer_activity:labels","customer_activity:flags","customer_activity:blob","customer_activity:attrs","customer_activity:last_seen","customer_activity:embedding"],"entities":{"customer_id":[1,2,9999]}}"#;
    let answer = recorded!("arrays_map_bytes");
    assert_eq!(
        answered(&policy, "all", arrays, answer),
        format!("cut 0 {}", answer.replace("customer_activity__", ""))
    );
}

#[test]
fn what_may_not_pass_is_cut_from_a_service_by_name() {
    let policy = shop();
    let pair =
        r#"{"feature_service":"pair_service","entities":{"buyer_id":[1],"seller_id":[2]},"full_feature_names":true}"#;
    let answer = recorded!("feature_service_aliased");
    assert_eq!(answered(&policy, "all", pair, answer), "as it came");
    assert_eq!(
        answered(&policy, "inside", pair, answer),
        r#"cut 1 {"results":[{"values":[1],"statuses":["PRESENT"],"event_timestamps":["1970-01-01T00:00:00Z"]},{"values":[2],"statuses":["PRESENT"],"event_timestamps":["1970-01-01T00:00:00Z"]},{"values":[19],"statuses":["PRESENT"],"event_timestamps":["2026-11-22T08:00:00Z"]},{"values":[20],"statuses":["PRESENT"],"event_timestamps":["2026-11-22T08:00:00Z"]}],"metadata":{"feature_names":["buyer_id","seller_id","buyer__age","seller__age"]}}"#
    );
    // By whatever spelling of the name, in whatever order; and it may be missing.
    for names in [
        ["buyer__ssn", "buyer__age", "buyer_id", "seller__age"],
        ["seller__age", "buyer__age", "buyer_id", "buyer__ssn"],
    ] {
        let cut = answered(&policy, "inside", pair, &columns(&names).replace("__ssn", r"_\u005fs\u0073n"));
        let kept = parsed(cut.strip_prefix("cut 1 ").unwrap());
        let expected: BTreeMap<String, String> =
            parsed(&columns(&names)).into_iter().filter(|(name, _)| name != "buyer__ssn").collect();
        assert_eq!(kept, expected);
    }
    assert_eq!(answered(&policy, "inside", pair, &columns(&["seller__age", "buyer__age"])), "as it came");
    // Without the kept ones it is not the answer.
    assert_eq!(
        answered(&policy, "inside", pair, &columns(&["buyer__age", "buyer__ssn"])),
        "unreadable 2 columns were asked for and 1 of them came"
    );
}

#[test]
fn a_cut_name_is_cut_whatever_the_service_means_by_it_now() {
    // The alias is by now another view's full name; the catalogue knows that view, and pii may not be returned.
    let policy = over_shop(&format!(
        "{ROLES}\nbundles: {{s: [{{feature: \"num:f32\", as: customer_profile__ssn}}, {{feature: \"num:ratio\", as: x__ratio}}]}}"
    ));
    let body = r#"{"feature_service":"s","entities":{"customer_id":[1]}}"#;
    let answer = columns(&["customer_id", "customer_profile__ssn", "x__ratio"]);
    assert_eq!(
        answered(&policy, "inside", body, &answer),
        r#"cut 1 {"results":[{"values":[0],"statuses":["PRESENT"]},{"values":[2],"statuses":["PRESENT"]}],"metadata":{"feature_names":["customer_id","ratio"]}}"#
    );
}

#[test]
fn columns_go_by_name_and_never_by_position() {
    let policy = shop();
    let all = ["customer_id", "customer_profile__vip", "customer_profile__age"];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let names = order.map(|at| all[at]);
        let cut = answered(&policy, "all", TWO, &columns(&names));
        let short = names.map(|name| name.trim_start_matches("customer_profile__"));
        assert_eq!(cut, format!("cut 0 {}", columns(&short)));
    }
    // A key need not come back; what is asked for must.
    let without = answered(&policy, "all", TWO, &columns(&[all[2], all[1]]));
    assert_eq!(without, format!("cut 0 {}", columns(&["age", "vip"])));
}

#[test]
fn each_answer_is_judged_by_its_own_names_whatever_came_before() {
    let policy = shop();
    let body =
        r#"{"feature_service":"pair_service","entities":{"buyer_id":[1],"seller_id":[2]},"full_feature_names":true}"#;
    let usual = ["buyer_id", "seller_id", "buyer__age", "buyer__ssn", "seller__age"];
    let with_blanks = columns(&usual).replace(r#","buyer__age""#, r#" , "buyer__age""#);
    let mut answers = vec![
        columns(&usual),
        columns(&["seller__age", "buyer__ssn", "buyer__age"]),
        columns(&["buyer__ssn", "seller__age", "buyer__age"]),
        columns(&["buyer_id", "seller_id", "buyer__age", "buyer__age", "seller__age"]),
        columns(&["buyer_id", "seller_id", "buyer__age", "buyer__ssn"]),
        columns(&["buyer_id", "seller_id", "buyer__age", "buyer__ssn", "seller__age", "buyer__vip"]),
        columns(&usual).replace(r#""seller__age"]"#, r#""seller__age",1]"#),
        columns(&usual).replace(r#""seller__age"]"#, r#""seller__age"x]"#),
        // One column more, or less, than there are names.
        columns(&usual).replacen("[{", r#"[{"values":[7]},{"#, 1),
        columns(&usual).replacen(r#"{"values":[0],"statuses":["PRESENT"]},"#, "", 1),
        columns(&usual).replace("_ssn", r"_\u0073sn"),
        // The list, elsewhere and for something else.
        columns(&usual).replace("\"metadata\":{", "\"metadata\":{\"a\":1,"),
        columns(&usual).replace("\"feature_names\":", "\"feature_names\":0,\"a\":"),
        columns(&usual).replace("\"feature_names\":[", "\"feature_names\":[[").replace("]}}", "]]}}"),
        with_blanks,
        columns(&usual).replace(r#","buyer__age""#, &format!(r#",{}"buyer__age""#, " ".repeat(99))),
    ];
    // The first column, with other values, and with what a column may not have.
    for first in
        ["[0,1]", "[]", "[ 0 ]", r#"["é"]"#, "[[0]]", "[0,]", "[00]", "[\"\u{1}\"]", "{}", r#"[0],"x":[]"#, "[0]]"]
    {
        answers.push(columns(&usual).replacen("[0]", first, 1));
    }
    answers.push(columns(&usual).replacen("PRESENT", "NOT_FOUND", 1));
    answers.push(columns(&usual).replacen("statuses", "values", 1));
    let request = read(body.as_bytes()).unwrap();
    let permit = || permitted(planned(&policy, "inside", body));
    let told = |permit: &Permit, answer: &str| match filter(answer.as_bytes(), &request, permit) {
        Ok(Answer::AsItCame) => "as it came".to_owned(),
        Ok(Answer::Cut { body, dropped }) => {
            format!("cut {dropped} {}", String::from_utf8(body.whole(answer.as_bytes())).unwrap())
        }
        Err(error) => error.to_string(),
    };
    let alone: Vec<String> = answers.iter().map(|answer| told(&permit(), answer)).collect();
    assert!(alone[0].starts_with("cut 1 ") && alone[1].starts_with("cut 1 ") && alone[10].starts_with("cut 1 "));
    assert_eq!(alone[3], "column `buyer__age` stands twice");
    assert_eq!(alone[4], "2 columns were asked for and 1 of them came");
    assert_eq!(alone[5], "column `buyer__vip` was not asked for");
    assert_eq!(alone[8], "5 names stand for 6 columns");
    assert_eq!(alone[9], "5 names stand for 4 columns");
    assert_eq!(alone[13], "`metadata.feature_names` holds something that is no text");
    for before in &answers {
        let permit = permit();
        told(&permit, before);
        for (answer, alone) in answers.iter().zip(&alone).chain(answers.iter().zip(&alone).rev()) {
            assert_eq!(told(&permit, answer), *alone, "{before} {answer}");
        }
    }
}

#[test]
fn values_keep_their_text() {
    let policy = shop();
    let body = r#"{"features":["customer_profile:vip"],"entities":{"customer_id":[1]}}"#;
    for value in [
        "9007199254740993",
        "-123456789012345678901234567890123456789012345678901234567890",
        "1.7976931348623157e+308",
        "1.79E+308",
        "1e999",
        "-0",
        "-0.0",
        "0.1000000000000000055511151231257827",
        "1.50",
        "4.965921364635191e-05",
        r#""Infinity""#,
        r#""NaN""#,
        r#""\u0062\u00e9\/\ud83d\ude00\u0000\"]},""#,
        "\"bé\u{2028}\u{7f}\"",
        r#"[[], [ ], [[1.0,2.50],["x",null]], {"a" : {"b":[1e5]}, "":[]}]"#,
        r#"{"values":[1],"metadata":{"feature_names":["customer_profile__ssn"]}}"#,
        "null",
        " true ",
        "",
    ] {
        let entry = format!(
            r#"{{ "values" :[{value}],"statuses":["NOT_FOUND"] ,"event_timestamps":["1970-01-01T00:00:00Z"]}}"#
        );
        let answer = format!(
            r#"{{"results":[{entry}, {{"values":[7]}}],"metadata":{{"feature_names":["customer_profile__vip","customer_id"]}}}}"#
        );
        let expected = format!(
            r#"cut 0 {{"results":[{entry},{{"values":[7]}}],"metadata":{{"feature_names":["vip","customer_id"]}}}}"#
        );
        assert_eq!(answered(&policy, "all", body, &answer), expected);
    }
}

#[test]
fn view_metadata_comes_back_for_what_is_returned() {
    let policy = shop();
    let asks = |features: &str| {
        format!(
            r#"{{"features":[{features}],"entities":{{"customer_id":[1],"basket_total":[1.0],"coupon":["x"]}},"full_feature_names":true,"include_feature_view_version_metadata":true}}"#
        )
    };
    // Feast names the views that it read: those below a derived feature too.
    let answer = recorded!("odfv_metadata");
    assert_eq!(
        answered(&policy, "all", &asks(r#""checkout_risk:avg_txn","customer_profile:vip""#), answer),
        format!("cut 0 {}", answer.replace(r#"{"name":"customer_activity"},"#, ""))
    );
    let body = &asks(r#""num:edge__big","checkout_risk:avg_txn""#);
    let with = |views: &str| {
        columns(&["num__edge__big", "checkout_risk__avg_txn"])
            .replace("]}}", &format!(r#"],"feature_view_metadata":{views}}}}}"#))
    };
    for (views, kept) in [
        ("[]", "[]"),
        (
            r#"[{"name":"num","version":2},{"version":null, "name":"checkout_risk"}]"#,
            r#"[{"name":"num","version":2},{"version":null, "name":"checkout_risk"}]"#,
        ),
        (
            r#"[{"name":"num__edge"},{"name":"Num"},{"name":""},{},{"version":"001-01-0007"},{"n\u0061me":"n\u0075m"}]"#,
            r#"[{"n\u0061me":"n\u0075m"}]"#,
        ),
    ] {
        assert_eq!(answered(&policy, "all", body, &with(views)), format!("cut 0 {}", with(kept)));
    }
    for (views, expected) in [
        ("{}", "`feature_view_metadata` is not a list"),
        (r#"["num"]"#, "an entry of `feature_view_metadata` is not an object"),
        (r#"[{"name":"num","tags":{}}]"#, "an entry of `feature_view_metadata` has more than a name and a version"),
        (r#"[{"name":["num"]}]"#, "an entry of `feature_view_metadata` has more than a name and a version"),
        (
            r#"[{"name":"num","version":{"ssn":1}}]"#,
            "an entry of `feature_view_metadata` has more than a name and a version",
        ),
    ] {
        assert_eq!(answered(&policy, "all", body, &with(views)), format!("unreadable {expected}"));
    }
    // A service's views go by their aliases, as Feast has it; that of a column that is cut does not come back.
    let policy = over_shop(&format!(
        "{ROLES}\nbundles: {{s: [{{feature: \"customer_profile:ssn\", as: buyer__ssn}}, {{feature: \"num:f32\", as: seller__f32}}]}}"
    ));
    let body = r#"{"feature_service":"s","entities":{"customer_id":[1]},"full_feature_names":true,"include_feature_view_version_metadata":true}"#;
    let answer = columns(&["seller__f32"])
        .replace("]}}", r#"],"feature_view_metadata":[{"name":"buyer"},{"name":"seller"},{"name":"num"}]}}"#);
    assert_eq!(
        answered(&policy, "inside", body, &answer),
        format!(
            "cut 0 {}",
            columns(&["seller__f32"]).replace("]}}", r#"],"feature_view_metadata":[{"name":"seller"}]}}"#)
        )
    );
}

#[test]
fn large_answers_pass_whole() {
    // Many columns and long runs of equal texts, as Feast sends them.
    let features: Vec<String> = (0..300).map(|n| format!("v:f{n}")).collect();
    let names: Vec<String> = (0..300).map(|n| format!("v__f{n}")).collect();
    let policy = alone(&format!(
        "roles: {{r: {{}}}}\nfeatures: {{k: {{key: true}}, {}}}",
        features.iter().map(|name| format!("\"{name}\": null")).collect::<Vec<_>>().join(", ")
    ));
    let body = format!(
        r#"{{"features":{},"entities":{{"k":[1]}},"full_feature_names":true}}"#,
        serde_json::to_string(&features).unwrap()
    );
    let statuses = vec![r#""PRESENT""#; 100].join(",");
    let entries: Vec<String> = (0..300).map(|n| format!(r#"{{"values":[{n}],"statuses":[{statuses}]}}"#)).collect();
    let answer = format!(
        r#"{{"results":[{}],"metadata":{{"feature_names":{}}}}}"#,
        entries.join(","),
        serde_json::to_string(&names).unwrap()
    );
    assert_eq!(answered(&policy, "r", &body, &answer), "as it came");
    assert_eq!(
        answered(&policy, "r", &body.replace("true", "false"), &answer),
        format!("cut 0 {}", answer.replace("v__", ""))
    );
}
