//! What passes of the answers to searches. The answers are those of a real server, shortened.

use super::super::super::filter_columns;
use super::*;
use crate::dialect::Answer;

const SECOND: &str = r#"{"results":[{"values":[9,10],"statuses":["PRESENT","PRESENT"]},{"values":[0.547722578048706,0.5385165214538574],"statuses":["PRESENT","PRESENT"]},{"values":[10,9],"statuses":["PRESENT","PRESENT"]}],"metadata":{"feature_names":["txn_count_7d","distance","customer_id"]}}"#;

fn shown_as(came: &str, answer: Result<Answer, crate::dialect::Unreadable>) -> String {
    match answer {
        Ok(Answer::AsItCame) => "as it came".to_owned(),
        Ok(Answer::Cut { body, dropped }) => {
            format!("cut {dropped} {}", String::from_utf8(body.whole(came.as_bytes())).unwrap())
        }
        Err(error) => format!("unreadable {error}"),
    }
}

fn answered(role: &str, body: &str, answer: &str) -> String {
    let policy = over_shop(ROLES);
    let request = read(body.as_bytes()).unwrap();
    let permit = permitted(plan(&policy, role, &request.search, Enforcement::Enforce));
    shown_as(answer, filter_columns(answer.as_bytes(), request.view_metadata, &permit))
}

#[test]
fn columns_are_verified_by_name_and_the_distance_is_the_only_one_beside() {
    let body = two(r#""customer_activity:txn_count_7d""#, "");
    assert_eq!(answered("open", &body, SECOND), "as it came");
    // A key that may be used and not returned is cut: nobody supplied it.
    assert_eq!(
        answered("allowlist", &body, SECOND),
        r#"cut 1 {"results":[{"values":[9,10],"statuses":["PRESENT","PRESENT"]},{"values":[0.547722578048706,0.5385165214538574],"statuses":["PRESENT","PRESENT"]}],"metadata":{"feature_names":["txn_count_7d","distance"]}}"#
    );
    for (name, wrong) in [("distance", "text_rank"), ("distance", "last_merchant"), ("customer_id", "basket_total")] {
        let answer = SECOND.replace(&format!("\"{name}\""), &format!("\"{wrong}\""));
        assert_eq!(answered("open", &body, &answer), format!("unreadable column `{wrong}` was not asked for"));
    }
    let twice = SECOND.replace("\"customer_id\"", "\"distance\"");
    assert_eq!(answered("open", &body, &twice), "unreadable column `distance` stands twice");
    let missing = r#"{"results":[{"values":[]}],"metadata":{"feature_names":["txn_count_7d"]}}"#;
    assert_eq!(answered("open", &body, missing), "unreadable 2 columns were asked for and 1 of them came");
    let none = r#"{"results":[{"values":[],"statuses":[]},{"values":[],"statuses":[]}],"metadata":{"feature_names":["txn_count_7d","distance"]}}"#;
    assert_eq!(answered("open", &body, none), "as it came");
}

#[test]
fn words_bring_their_rank() {
    let body = two(r#""customer_activity:txn_count_7d""#, r#","query_string":"a""#);
    assert_eq!(answered("open", &body, SECOND), "unreadable 3 columns were asked for and 2 of them came");
    let ranked = SECOND.replace("\"customer_id\"", "\"text_rank\"");
    assert_eq!(answered("open", &body, &ranked), "as it came");
}

#[test]
fn the_metadata_of_the_view_comes_where_it_was_asked_for() {
    let with = SECOND
        .replace("]}}", r#"],"feature_view_metadata":[{"name":"customer_activity"},{"name":"num","version":2}]}}"#);
    let body = two(r#""customer_activity:txn_count_7d""#, r#","include_feature_view_version_metadata":true"#);
    let expected = SECOND.replace("]}}", r#"],"feature_view_metadata":[{"name":"customer_activity"}]}}"#);
    assert_eq!(answered("open", &body, &with), format!("cut 0 {expected}"));
    assert_eq!(answered("open", &two(r#""customer_activity:txn_count_7d""#, ""), &with), format!("cut 0 {SECOND}"));
}

#[test]
fn of_the_first_form_comes_what_there_is() {
    let asked = r#"{"features":["customer_activity:embedding","customer_activity:txn_count_7d","customer_activity:distance","customer_activity:customer_id"],"query":[1]}"#;
    let answer = |names: &str, columns: usize| {
        let columns = vec![r#"{"values":[1]}"#; columns].join(",");
        format!(r#"{{"results":[{columns}],"metadata":{{"feature_names":[{names}]}}}}"#)
    };
    for (names, columns, expected) in [
        (r#""embedding","distance","customer_id""#, 3, "as it came"),
        (r#""embedding""#, 1, "as it came"),
        (r#""embedding","last_merchant""#, 2, "unreadable column `last_merchant` was not asked for"),
        (r#""embedding","embedding""#, 2, "unreadable column `embedding` stands twice"),
    ] {
        assert_eq!(answered("open", asked, &answer(names, columns)), expected, "{names}");
    }
    let fewer = r#"{"features":["customer_activity:embedding"],"query":[1]}"#;
    let expected = "unreadable column `distance` was not asked for";
    assert_eq!(answered("open", fewer, &answer(r#""embedding","distance""#, 2)), expected);
}

const FOUND: &str = r#"{"object":"vector_store.search_results.page","search_query":["ab"],"data":[{"file_id":"vs_1_50","filename":"vs_1","score":0.6461106235593925,"attributes":{"txn_count_7d":15,"last_merchant":"m-4"},"content":[{"type":"text","text":"m-4"}]},{"file_id":"vs_1_49","filename":"vs_1","score":0.64,"attributes":{"txn_count_7d":16},"content":[{"type":"text","text":"{'txn_count_7d': 16}"}]}],"has_more":false,"next_page":null}"#;

fn found_with(policy: &Policy, role: &str, body: &str, answer: &str) -> String {
    let request = read_in_store(body.as_bytes()).unwrap();
    let search = request.search("vs_1", Some("customer_activity"));
    let permit = permitted(plan(policy, role, &search, Enforcement::Enforce));
    shown_as(answer, filter_found(answer.as_bytes(), "vs_1", &request, &permit))
}

#[test]
fn what_was_found_is_built_anew_from_attributes_that_were_asked_for() {
    let policy = over_shop(ROLES);
    let both = r#"{"query":"ab","metadata":{"features_to_retrieve":["txn_count_7d","last_merchant"]}}"#;
    let anew = FOUND.replace("{'txn_count_7d': 16}", r#"{\"txn_count_7d\":16}"#);
    assert_eq!(found_with(&policy, "open", both, FOUND), format!("cut 0 {anew}"));
    assert_eq!(found_with(&policy, "open", r#"{"query":"ab"}"#, FOUND), format!("cut 0 {anew}"));
    // The words are the caller's, and the content is that of the attributes, whatever the server says of either.
    let lies = FOUND.replace(r#"["ab"]"#, r#"["SECRET"]"#).replace(r#""text":"m-4""#, r#""text":"SECRET""#);
    assert_eq!(found_with(&policy, "open", both, &lies), format!("cut 0 {anew}"));
    // The keys in the id of a row are cut with them.
    let numbered = anew.replace("vs_1_50", "vs_1_0").replace("vs_1_49", "vs_1_1");
    assert_eq!(found_with(&policy, "allowlist", both, FOUND), format!("cut 0 {numbered}"));
    // So are those that the catalogue does not know.
    let rules =
        "features: {'customer_activity:txn_count_7d': {}, 'customer_activity:last_merchant': {}}\nroles: {open: {}}";
    let keyless = loaded(rules, &[]);
    assert_eq!(found_with(&keyless, "open", both, FOUND), format!("cut 0 {numbered}"));
    let no_key = FOUND.replace(r#""last_merchant":"m-4""#, r#""__dummy_id":"","last_merchant":"m-4""#);
    assert_eq!(found_with(&policy, "open", both, &no_key), format!("cut 1 {anew}"));
}

#[test]
fn what_cannot_be_verified_of_it_is_refused_by_name() {
    let policy = over_shop(ROLES);
    let one = r#"{"query":"ab","metadata":{"features_to_retrieve":["txn_count_7d"]}}"#;
    assert_eq!(found_with(&policy, "open", one, FOUND), "unreadable attribute `last_merchant` was not asked for");
    let all = r#"{"query":"ab"}"#;
    let of_another = "unreadable a row of what was found is of another vector store";
    for (from, to, expected) in [
        ("\"last_merchant\"", "\"ssn\"", "unreadable attribute `ssn` was not asked for"),
        ("\"last_merchant\"", "\"customer_id\"", "unreadable attribute `customer_id` was not asked for"),
        ("vs_1_50", "vs_2_50", of_another),
        ("vs_1_50", "vs_150", of_another),
        (
            r#""filename":"vs_1""#,
            r#""filename":"vs_2""#,
            "unreadable a row of what was found is not whole, or of another vector store",
        ),
        (r#""score":0.64,"#, "", "unreadable a row of what was found is not whole, or of another vector store"),
        (r#""score":0.64,"#, r#""score":"x","#, "unreadable a row of what was found has `score`, which is not known"),
        (
            r#""score":0.64,"#,
            r#""rows":[],"score":0.64,"#,
            "unreadable a row of what was found has `rows`, which is not known",
        ),
        (r#""next_page":null"#, r#""next_page":"x""#, "unreadable what was found has `next_page`, which is not known"),
        (r#""next_page":null"#, r#""next_page":null,"z":1"#, "unreadable what was found has `z`, which is not known"),
        (".page", ".leaf", "unreadable it is no page of what was found"),
        (
            r#""attributes":{"txn_count_7d":16}"#,
            r#""attributes":[]"#,
            "unreadable a row of what was found has `attributes`, which is not known",
        ),
    ] {
        assert_eq!(found_with(&policy, "open", all, &FOUND.replace(from, to)), expected, "{from} {to}");
    }
}

#[test]
fn stores_are_verified_and_cut() {
    let one = |id: &str, view: &str| {
        format!(
            r#"{{"id":"{id}","object":"vector_store","name":"{view}","status":"completed","created_at":1795418217}}"#
        )
    };
    let list = |stores: &[String]| format!(r#"{{"object":"list","data":[{}]}}"#, stores.join(","));
    let both = list(&[one("vs_1", "a"), one("vs_2", "b")]);
    let seen = |views: &[&'static str], text: &str| {
        shown_as(text, filter_stores(text.as_bytes(), &views.iter().copied().collect()))
    };
    assert_eq!(seen(&["a", "b", "c"], &both), "as it came");
    assert_eq!(seen(&["b"], &both), format!("cut 1 {}", list(&[one("vs_2", "b")])));
    assert_eq!(seen(&[], &both), format!("cut 2 {}", list(&[])));
    for (from, to, expected) in [
        ("\"list\"", "\"page\"", "unreadable it is no list of vector stores"),
        ("\"status\"", "\"rows\"", "unreadable a vector store has `rows`, which is not known"),
        (
            "\"object\":\"vector_store\"",
            "\"object\":\"file\"",
            "unreadable a vector store has `object`, which is not known",
        ),
        ("\"name\":\"b\",", "", "unreadable a vector store has no `id` or no `name`"),
        ("\"data\":[", "\"more\":1,\"data\":[", "unreadable the list of vector stores has `more`"),
        ("\"data\":[", "\"data\":[1,", "unreadable a vector store is not an object"),
    ] {
        assert_eq!(seen(&["a", "b"], &both.replace(from, to)), expected, "{to}");
    }
    let text = one("vs_1", "a");
    assert_eq!(store(text.as_bytes(), "vs_1"), Ok(Store { id: "vs_1".into(), view: "a".into() }));
    assert_eq!(store(text.as_bytes(), "vs_2").unwrap_err().0, "it is about another vector store");
}
