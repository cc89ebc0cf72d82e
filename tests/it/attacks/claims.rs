//! Attacks on what a token says. All of them are signed by the issuer's own key.

use serde_json::{Value, json};

use super::{EXPIRED, INVALID, Target};
use crate::support::sidecar::FINE;
use crate::support::tokens::{AUDIENCE, ISSUER, KEY, Key, claims, now};

/// Refuses a claim of each of these values.
async fn refuses_each(target: &Target, name: &str, values: Vec<Value>) {
    for value in values {
        let mut all = claims(json!({}));
        all[name] = value.clone();
        target.refuses(&format!("{name}: {value}"), &KEY.sign(&all)).await;
    }
    target.refuses(&format!("no {name}"), &KEY.sign(&claims(json!({name: null})))).await;
}

/// A token whose claims are this text, with `NAME` in the place of a claim's value.
fn with_literal(name: &str, literal: &str) -> String {
    let text = claims(json!({name: "@"})).to_string().replace("\"@\"", literal);
    KEY.compact(r#"{"alg":"ES256","kid":"k1"}"#, text)
}

#[tokio::test]
async fn an_audience_that_is_not_ours() {
    let target = Target::new().await;
    let values = json!([
        "", "feature", "feature-server2", "xfeature-server", "Feature-Server", "feature-server ", " feature-server",
        "feature-server\u{0}", "feature-server,other", "other feature-server", "https://feature-server", "*",
        "featur\u{435}-server", [], ["other"], ["feature", "-server"], [["feature-server"]], ["feature-server", 1],
        [1, "feature-server"], ["feature-server", null], ["feature-server", {}], {"feature-server": 1},
        {"0": "feature-server"}, 0, 1, true, null,
    ]);
    refuses_each(&target, "aud", values.as_array().unwrap().clone()).await;
    target.accepts("among others", &KEY.sign(&claims(json!({"aud": ["other", AUDIENCE]})))).await;
    target.still_serves().await;
}

#[tokio::test]
async fn an_issuer_that_is_almost_ours() {
    let target = Target::new().await;
    let values = json!([
        "", "https://idp.example", "https://idp.example//", "https://IDP.example/", "HTTPS://idp.example/",
        "http://idp.example/", "https://idp.example/ ", " https://idp.example/", "https://idp.example/\u{0}",
        "https://idp.example/x", "https://idp.example/?", "https://idp.example/#", "https://idp.example:443/",
        "https://idp.example.evil.example/", "https://evil.example/?https://idp.example/", "https://idp.example./",
        "https://user@idp.example/", "https://\u{456}dp.example/", "https://idp\u{ff0e}example/",
        "https://idp.e\u{301}xample/", "https://%69dp.example/", "https:\\/\\/idp.example\\/", [ISSUER],
        [ISSUER, ISSUER], [], {"iss": ISSUER}, 1, true, null,
    ]);
    refuses_each(&target, "iss", values.as_array().unwrap().clone()).await;
    target.still_serves().await;
}

#[tokio::test]
async fn an_exp_that_is_no_time() {
    let target = Target::new().await;
    let soon = (now() + 600).to_string();
    let values = json!([
        "", soon, "never", "9999-12-31T23:59:59Z", -1, -1.5, -9_223_372_036_854_775_808_i64, [], [now() + 600],
        {"exp": now() + 600}, true, null,
    ]);
    refuses_each(&target, "exp", values.as_array().unwrap().clone()).await;
    for literal in
        ["NaN", "Infinity", "-Infinity", "1e400", "-0.5", "0x7fffffff", "+9999999999", "09999999999", "9999999999."]
    {
        target.refuses(literal, &with_literal("exp", literal)).await;
    }
    target.still_serves().await;
}

#[tokio::test]
async fn an_exp_that_is_a_fraction_or_huge_is_a_time() {
    let target = Target::new().await;
    // RFC 7519, 2: a NumericDate may have a fraction. Beyond what we count is far away, and never wraps into the past.
    for literal in
        [format!("{}.5", now() + 600), "1e300".into(), "18446744073709551615".into(), "99999999999999999999".into()]
    {
        target.accepts(&literal, &with_literal("exp", &literal)).await;
    }
    // Past, in whatever way it is written: told apart, for the signature is good.
    for literal in ["0", "0.0", "-0", "1", "1.5", "1e3", "1700000000.999"] {
        let answer = target.sidecar.query(&with_literal("exp", literal), FINE).await;
        target.turned_away(literal, &answer, EXPIRED);
    }
    target.still_serves().await;
}

#[tokio::test]
async fn an_expired_token_is_told_so_only_under_a_good_signature() {
    let target = Target::new().await;
    let expired = KEY.token_of("caller-1", &["readers"], -3600);
    let answer = target.sidecar.query(&expired, FINE).await;
    target.turned_away("the issuer's own", &answer, EXPIRED);
    target.refuses("of another key", &Key::new("k1").token_of("caller-1", &["readers"], -3600)).await;
    target.refuses("of another key by another name", &Key::new("k9").token_of("caller-1", &["readers"], -3600)).await;
    target.refuses("with its signature cut", &expired[..expired.len() - 4]).await;
    let old = |more: Value| {
        let mut all = claims(json!({"exp": now() - 3600}));
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        KEY.sign(&all)
    };
    target.refuses("and for somebody else", &old(json!({"aud": "other"}))).await;
    target.refuses("and of nobody's", &old(json!({"iss": "https://nobody.example/"}))).await;
    // Once more: what is told does not depend on what was asked before.
    let answer = target.sidecar.query(&expired, FINE).await;
    assert_eq!(answer.text().contains("TOKEN_EXPIRED"), EXPIRED != INVALID);
    target.turned_away("the issuer's own, again", &answer, EXPIRED);
    target.still_serves().await;
}

#[tokio::test]
async fn an_nbf_in_the_future_or_of_no_time() {
    let target = Target::new().await;
    for nbf in [json!(now() + 60), json!(now() + 3600), json!(now() as f64 + 60.5), json!(u64::MAX), json!(1e300)] {
        target.refuses(&nbf.to_string(), &KEY.sign(&claims(json!({"nbf": nbf})))).await;
    }
    for nbf in [json!("0"), json!(""), json!(-1), json!([]), json!({}), json!(true)] {
        target.refuses(&nbf.to_string(), &KEY.sign(&claims(json!({"nbf": nbf})))).await;
    }
    target.refuses("null", &with_literal("nbf", "null")).await;
    target.accepts("in the past", &KEY.sign(&claims(json!({"nbf": now() - 60})))).await;
    target.still_serves().await;
}

#[tokio::test]
async fn an_iat_that_is_no_time_and_one_in_the_future() {
    let target = Target::new().await;
    for iat in [json!("0"), json!(""), json!(-1), json!([]), json!({}), json!(true)] {
        target.refuses(&iat.to_string(), &KEY.sign(&claims(json!({"iat": iat})))).await;
    }
    target.refuses("null", &with_literal("iat", "null")).await;
    // When it was made is no statement on when it holds (RFC 7519, 4.1.6): `nbf` is. It does not prolong anything either.
    target.accepts("in the future", &KEY.sign(&claims(json!({"iat": now() + 3600})))).await;
    let late = KEY.sign(&claims(json!({"iat": now() + 3600, "exp": now() - 60})));
    let answer = target.sidecar.query(&late, FINE).await;
    target.turned_away("in the future, and over", &answer, EXPIRED);
    target.still_serves().await;
}

#[tokio::test]
async fn a_sub_that_is_somebody_else_in_disguise() {
    let target = Target::new().await;
    // A name that another claim or another spelling brings is not `sub`, and what is no string is no name.
    let mut subjects = Vec::new();
    let strange = [
        json!("caller-1"),
        json!("caller-1 "),
        json!("Caller-1"),
        json!("c\u{430}ller-1"),
        json!("caller-1\u{0}"),
        json!(""),
        json!(["caller-1"]),
        json!({"sub": "caller-1"}),
        json!(1),
        json!(true),
    ];
    for sub in &strange {
        target
            .accepts(&sub.to_string(), &KEY.sign(&claims(json!({"sub": sub, "SUB": "x", "username": "caller-1"}))))
            .await;
    }
    for line in target.sidecar.audit(strange.len()).await {
        subjects.push(line["caller"].clone());
    }
    let (names, others) = subjects.split_at(6);
    for (place, name) in names.iter().enumerate() {
        assert!(name.is_string() && !names[..place].contains(name), "{} has the name of another", strange[place]);
    }
    // The last of them is that of nobody.
    assert!(others.iter().all(|other| *other == names[5]), "{subjects:?}");
    target.still_serves().await;
}

#[tokio::test]
async fn a_token_of_another_kind_by_its_typ() {
    let target = Target::new().await;
    for typ in [
        "rt+jwt",
        "refresh",
        "Refresh",
        "id_token",
        "logout+jwt",
        "dpop+jwt",
        "secevent+jwt",
        "JOSE",
        "",
        "jwt ",
        "at+jwt;a=b",
    ] {
        target.refuses(typ, &KEY.sign_with(&json!({"typ": typ}), &claims(json!({})))).await;
    }
    for typ in [json!(1), json!(["at+jwt"]), json!(null)] {
        target.refuses(&typ.to_string(), &KEY.sign_with(&json!({"typ": typ}), &claims(json!({})))).await;
    }
    for typ in ["JWT", "at+jwt", "AT+JWT", "application/at+jwt"] {
        target.accepts(typ, &KEY.sign_with(&json!({"typ": typ}), &claims(json!({})))).await;
    }
    target.still_serves().await;
}

#[tokio::test]
async fn an_id_or_refresh_token_where_require_typ_is_set() {
    let target = Target::with(|setup| setup.keys.push_str(", require_typ: at+jwt")).await;
    for typ in
        ["JWT", "jwt", "application/jwt", "rt+jwt", "refresh", "id_token", "dpop+jwt", "", "at+jwt ", "at", "xat+jwt"]
    {
        target.refuses(typ, &KEY.sign_with(&json!({"typ": typ}), &claims(json!({})))).await;
    }
    // None at all, or in the wrong place.
    target.refuses("none", &KEY.sign_with(&json!({}), &claims(json!({})))).await;
    target.refuses("in the claims", &KEY.sign_with(&json!({"typ": "JWT"}), &claims(json!({"typ": "at+jwt"})))).await;
    target.refuses("as `cty`", &KEY.sign_with(&json!({"cty": "at+jwt"}), &claims(json!({})))).await;
    for typ in ["at+jwt", "AT+jwt", "application/at+jwt"] {
        target.accepts(typ, &KEY.sign_with(&json!({"typ": typ}), &claims(json!({})))).await;
    }
}

#[tokio::test]
async fn a_token_that_is_bound_to_a_proof() {
    let target = Target::new().await;
    for cnf in [json!({"jkt": "AAAA"}), json!({"x5t#S256": "AAAA"}), json!({}), json!(1), json!("x")] {
        target.refuses(&cnf.to_string(), &KEY.sign(&claims(json!({"cnf": cnf})))).await;
    }
    target.still_serves().await;
}
