//! The rules for claims, and the time.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::support::*;
use crate::auth::{Audiences, IssuerSettings, Memo, Refusal};

async fn with(changes: Value) -> &'static str {
    refused(&token(claims(changes))).await
}

/// The usual claims with a member written as this text, which `json!` could not write.
async fn with_text(member: &str) -> &'static str {
    let base = claims(json!({"exp": null})).to_string();
    let base = base.strip_suffix('}').unwrap();
    let payload = format!("{base},{member}}}");
    refused(&compact(r#"{"alg":"ES256","kid":"k1"}"#, &payload, "ES256", &P256)).await
}

#[tokio::test]
async fn a_token_without_aud_is_refused() {
    assert_eq!(with(json!({"aud": null})).await, "no aud");
}

#[tokio::test]
async fn aud_is_one_of_ours_alone_or_in_a_list() {
    const SHAPE: &str = "aud not a string or an array of strings";
    for (aud, want) in [
        (json!("feature-server"), "accepted"),
        (json!("other"), "accepted"),
        (json!(["feature-server"]), "accepted"),
        (json!(["x", "feature-server"]), "accepted"),
        (json!(["feature-server", "x"]), "accepted"),
        (json!("feature-server "), "aud not ours"),
        (json!("Feature-Server"), "aud not ours"),
        (json!("feature"), "aud not ours"),
        (json!("feature-server,x"), "aud not ours"),
        (json!(""), "aud not ours"),
        (json!(["x"]), "aud not ours"),
        (json!([]), "aud not ours"),
        (json!(["feature-server", 1]), SHAPE),
        (json!([["feature-server"]]), SHAPE),
        (json!(1), SHAPE),
        (json!(true), SHAPE),
        (json!({"feature-server": true}), SHAPE),
    ] {
        assert_eq!(with(json!({ "aud": aud })).await, want, "{aud}");
    }
    assert_eq!(with_text(r#""exp":2000000100,"aud":null"#).await, "payload not a strict json object");
}

#[tokio::test]
async fn aud_is_not_looked_at_where_it_is_unchecked() {
    let unchecked = IssuerSettings { audiences: Audiences::Unchecked, ..usual() };
    let auth = auth(unchecked);
    for aud in [json!(null), json!("someone"), json!([]), json!(7)] {
        let told = reason(ask(&auth, &token(claims(json!({ "aud": aud })))).await);
        assert_eq!(told, "accepted", "{aud}");
    }
}

#[tokio::test]
async fn iss_is_compared_exactly() {
    for iss in [
        json!("https://idp.example"),
        json!("https://idp.example//"),
        json!("https://idp.example/x"),
        json!("https://idp.example/ "),
        json!("https://idp.example/\0"),
        json!("https://IDP.example/"),
        json!("http://idp.example/"),
        json!("idp.example/"),
        json!("xhttps://idp.example/"),
        json!(""),
        json!(["https://idp.example/"]),
        json!(1),
        json!(null),
    ] {
        let told = with(json!({ "iss": iss })).await;
        assert_eq!(told, "issuer not known", "{iss}");
    }
}

#[tokio::test]
async fn a_token_without_exp_is_refused() {
    assert_eq!(with(json!({"exp": null})).await, "no exp");
}

#[tokio::test]
async fn exp_nbf_and_iat_are_numbers_from_zero() {
    for value in ["\"2000000100\"", "-1", "-0.5", "null", "true", "[2000000100]", "{}"] {
        let told = with_text(&format!("\"exp\":{value}")).await;
        assert_eq!(told, "exp not a time", "{value}");
        let told = with_text(&format!("\"exp\":2000000100,\"nbf\":{value}")).await;
        assert_eq!(told, "nbf not a time", "{value}");
    }
    for value in ["\"1\"", "-1", "null"] {
        let base = claims(json!({"iat": null})).to_string();
        let payload = format!("{},\"iat\":{value}}}", base.strip_suffix('}').unwrap());
        let token = compact(r#"{"alg":"ES256","kid":"k1"}"#, &payload, "ES256", &P256);
        assert_eq!(refused(&token).await, "iat not a time", "{value}");
    }
    // No JSON, and more than a float holds.
    for value in ["NaN", "Infinity", "1e400", "0x7f", "1."] {
        let told = with_text(&format!("\"exp\":{value}")).await;
        assert_eq!(told, "payload not a strict json object", "{value}");
    }
    // Past what is counted is far away, and never wraps around to the past.
    for value in ["2000000100.5", "2e9", "18446744073709551615", "1e300", "99999999999999999999999"] {
        let told = with_text(&format!("\"exp\":{value}")).await;
        assert_eq!(told, "accepted", "{value}");
    }
    assert_eq!(with_text("\"exp\":0").await, "expired");
    assert_eq!(with_text("\"exp\":-0.0").await, "expired");
    let told = with_text("\"exp\":2000000100,\"nbf\":1e300").await;
    assert_eq!(told, "not valid yet");
    // A clock that runs ahead somewhere else is no fault of the token.
    assert_eq!(with(json!({"iat": NOW + 10_000})).await, "accepted");
}

#[tokio::test]
async fn a_token_lives_from_nbf_to_exp_and_leeway_to_the_millisecond() {
    let auth = auth(usual());
    // The usual leeway is 30 s; fractions make a token live shorter, on both sides.
    for (nbf, exp) in [(json!(NOW), json!(NOW + 100)), (json!(NOW as f64 - 0.5), json!(NOW as f64 + 100.5))] {
        let token = token(claims(json!({"nbf": nbf, "exp": exp})));
        for cached in [false, true] {
            for (millis, want) in [
                (-30_001, "not valid yet"),
                (-30_000, "accepted"),
                (0, "accepted"),
                (129_999, "accepted"),
                (130_000, "expired"),
                (1_000_000, "expired"),
            ] {
                let told = reason(auth.authenticate(&token, at(millis)).await);
                assert_eq!(told, want, "{millis} {cached} {exp}");
            }
        }
    }
    let before_all =
        reason(auth.authenticate(&token(claims(json!({"nbf": 31}))), UNIX_EPOCH - Duration::from_secs(9)).await);
    assert_eq!(before_all, "not valid yet");
}

#[tokio::test]
async fn expired_is_said_only_of_a_token_that_was_good() {
    let expired = json!({"exp": NOW - 31});
    assert_eq!(with(expired).await, "expired");
    assert_eq!(with(json!({"exp": NOW - 31, "aud": "x"})).await, "aud not ours");
    let claims = claims(json!({"exp": NOW - 31}));
    let forged = token_with(json!({"kid": "k1"}), claims, "ES256", &TestKey::p256());
    assert_eq!(refused(&forged).await, "signature wrong");
}

#[tokio::test]
async fn typ_is_that_of_an_access_token() {
    for (typ, want) in [
        (json!("JWT"), true),
        (json!("jwt"), true),
        (json!("at+jwt"), true),
        (json!("AT+JWT"), true),
        (json!("application/at+jwt"), true),
        (json!("Application/At+Jwt"), true),
        (json!("application/jwt"), false),
        (json!("rt+jwt"), false),
        (json!("dpop+jwt"), false),
        (json!("id+jwt"), false),
        (json!("logout+jwt"), false),
        (json!("JWE"), false),
        (json!("at+jwt "), false),
        (json!("application/application/at+jwt"), false),
        (json!(""), false),
    ] {
        let token = token_with(json!({"kid": "k1", "typ": typ}), claims(json!({})), "ES256", &P256);
        let want = if want { "accepted" } else { "typ not that of an access token" };
        assert_eq!(refused(&token).await, want, "{typ}");
    }
    let without = compact(r#"{"alg":"ES256","kid":"k1"}"#, &claims(json!({})).to_string(), "ES256", &P256);
    assert_eq!(refused(&without).await, "accepted");
    let number = token_with(json!({"typ": 1}), claims(json!({})), "ES256", &P256);
    assert_eq!(refused(&number).await, "typ not a string");
}

#[tokio::test]
async fn require_typ_insists() {
    let auth = auth(IssuerSettings { require_typ: Some("at+jwt".into()), ..usual() });
    for (typ, want) in
        [(json!("at+jwt"), true), (json!("application/AT+jwt"), true), (json!("JWT"), false), (json!("rt+jwt"), false)]
    {
        let token = token_with(json!({"kid": "k1", "typ": typ}), claims(json!({})), "ES256", &P256);
        let want = if want { "accepted" } else { "typ not that of an access token" };
        assert_eq!(reason(ask(&auth, &token).await), want, "{typ}");
    }
    let without = compact(r#"{"alg":"ES256","kid":"k1"}"#, &claims(json!({})).to_string(), "ES256", &P256);
    let told = reason(ask(&auth, &without).await);
    assert_eq!(told, "typ not that of an access token");
}

#[tokio::test]
async fn required_claims_must_be_there() {
    let auth = auth(IssuerSettings { require: vec!["client_id".into(), "scope".into()], ..usual() });
    for (changes, want) in [
        (json!({"client_id": "a", "scope": ""}), "accepted"),
        (json!({"client_id": "a"}), "a required claim is missing"),
        (json!({}), "a required claim is missing"),
    ] {
        let told = reason(ask(&auth, &token(claims(changes.clone()))).await);
        assert_eq!(told, want, "{changes}");
    }
    let base = claims(json!({"client_id": "a"})).to_string();
    let payload = format!("{},\"scope\":null}}", base.strip_suffix('}').unwrap());
    let null = compact(r#"{"alg":"ES256","kid":"k1"}"#, &payload, "ES256", &P256);
    let told = reason(ask(&auth, &null).await);
    assert_eq!(told, "a required claim is missing");
}

#[tokio::test]
async fn a_token_that_is_bound_to_a_proof_is_no_bearer_token() {
    for cnf in [json!({"jkt": "x"}), json!({"x5t#S256": "x"}), json!({}), json!(1)] {
        let told = with(json!({ "cnf": cnf })).await;
        assert_eq!(told, "bound to a proof that was not shown", "{cnf}");
    }
}

#[tokio::test]
async fn a_known_token_is_not_verified_again_and_keeps_its_memo() {
    let auth = auth(usual());
    let Value::Object(payload) = claims(json!({"jti": "t1", "scope": "a b"})) else { panic!() };
    let token = token(Value::Object(payload.clone()));
    let memo = |generation| Memo { generation, roles: Arc::from([1, 2]), shadow: None, audit: "".into() };
    let made = Cell::new(0);
    let mut first = None;
    for (generation, times) in [(7, 1), (7, 1), (8, 2), (7, 3)] {
        let verified = ask(&auth, &token).await.unwrap();
        // Whether it was just verified or is remembered, and for whichever generation: the claims are those of the token.
        let caller = verified.caller(generation, |claims| {
            made.set(made.get() + 1);
            assert_eq!(*claims, payload);
            memo(generation)
        });
        assert_eq!((caller.memo(), made.get()), (&memo(generation), times), "{generation}");
        assert_eq!(*verified.claims(), payload);
        first.get_or_insert(caller);
    }
    let verified = ask(&auth, &token).await.unwrap();
    let shown = format!("{verified:?} {:?} {auth:?}", first.as_ref().unwrap());
    assert_eq!(shown, "Verified { .. } Caller { .. } Auth(1 issuers)");
    // A request that read another generation meanwhile keeps its own.
    assert_eq!(first.unwrap().memo().generation, 7);
    let status = auth.cache_status();
    assert_eq!((status.hits, status.misses, status.entries), (4, 1, 1));
}

#[tokio::test]
async fn only_what_verified_is_remembered() {
    let auth = auth(usual());
    let good = token(claims(json!({})));
    let not_yet = token(claims(json!({"nbf": NOW + 50})));
    let expired = token(claims(json!({"exp": NOW - 50})));
    for (token, want) in [(&good, "accepted"), (&not_yet, "not valid yet"), (&expired, "expired")] {
        for _ in 0..2 {
            assert_eq!(reason(ask(&auth, token).await), want);
        }
    }
    let status = auth.cache_status();
    assert_eq!((status.hits, status.misses), (1, 5));
    // One that expires while it is remembered is forgotten.
    for _ in 0..2 {
        let later: SystemTime = at(1_000_000);
        let answer = auth.authenticate(&good, later).await;
        assert_eq!(answer.unwrap_err(), Refusal::Expired);
    }
    let status = auth.cache_status();
    assert_eq!((status.hits, status.misses), (2, 6));
}

#[tokio::test]
async fn a_cache_of_no_entries_remembers_nothing() {
    let auth = crate::auth::Auth::new(vec![usual()], 0).unwrap();
    let token = token(claims(json!({})));
    for _ in 0..3 {
        assert_eq!(reason(ask(&auth, &token).await), "accepted");
    }
    assert_eq!(auth.cache_status().hits, 0);
}
