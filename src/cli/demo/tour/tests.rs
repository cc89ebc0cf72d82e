use serde_json::json;

use super::*;

fn judge(expected: &Expected, status: u16, taken_out: usize, body: Value) -> bool {
    fits(expected, &Answer { status, taken_out, body: body.clone() }, &columns(&body), &ADDRESSES)
}

#[test]
fn only_what_the_text_says_fits() {
    let answer = |names: &[&str], value: Value| {
        let results: Vec<Value> = names.iter().map(|_| json!({"values": ["a", value]})).collect();
        json!({"results": results, "metadata": {"feature_names": names}})
    };
    let expected = Expected::Columns(&["country"], 1);
    let good = answer(&["customer_id", "country"], json!("b"));
    assert!(judge(&expected, 200, 1, good.clone()));
    assert!(!judge(&expected, 500, 1, good.clone()));
    assert!(!judge(&expected, 200, 0, good));
    assert!(!judge(&expected, 200, 1, answer(&["customer_id", "country"], Value::Null)));
    assert!(!judge(&expected, 200, 1, answer(&["customer_id", "country", "email"], json!("b"))));
    assert!(!judge(&expected, 200, 1, answer(&["customer_id"], json!("b"))));

    let error = |code: &str, refused: &[&str]| json!({"error": {"code": code, "refused": refused}});
    let expected = Expected::Refused(&["customer:income"]);
    assert!(judge(&expected, 403, 0, error("FEATURES_REFUSED", &["customer:income"])));
    assert!(!judge(&expected, 403, 0, error("FORBIDDEN", &["customer:income"])));
    assert!(!judge(&expected, 403, 0, error("FEATURES_REFUSED", &["customer:income", "customer:age"])));
    assert!(!judge(&expected, 200, 0, error("FEATURES_REFUSED", &["customer:income"])));
    assert!(!judge(&expected, 403, 0, error("FEATURES_REFUSED", &[])));

    assert!(judge(&Expected::Unauthorized, 401, 0, error("UNAUTHORIZED", &[])));
    assert!(!judge(&Expected::Unauthorized, 401, 0, error("TOKEN_EXPIRED", &[])));
}
