//! What tokens are attacked with, one test each. Every one of them signs, where it can, with the issuer's real key, so that the
//! signature is not what refuses it.

mod credentials;

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::support::*;
use crate::auth::keys::{KeySet, Match};
use crate::auth::verify::Jws;
use crate::auth::{Auth, Credential, KeySource, credential, issuer_of, subject_of};
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};

#[tokio::test]
async fn the_usual_token_is_accepted() {
    let token = token(claims(json!({})));
    let caller = ask(&auth(usual()), &token).await.unwrap();
    let claims = caller.claims();
    assert_eq!(issuer_of(&claims), ISSUER);
    assert_eq!(subject_of(&claims), Some("canary-subject"));
    assert_eq!(claims.get("aud"), Some(&json!(AUDIENCE)));
}

#[tokio::test]
async fn every_algorithm_is_accepted_with_its_key() {
    let keys: [(&TestKey, &[&str]); 4] = [
        (&RSA, &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]),
        (&P256, &["ES256"]),
        (&P384, &["ES384"]),
        (&ED, &["EdDSA"]),
    ];
    for (key, algorithms) in keys {
        for alg in algorithms {
            let auth = auth(settings(KeySource::Static(
                jwks(&[key.jwk(json!({"kid": "k1", "use": "sig", "alg": alg}))]).into(),
            )));
            let token = token_with(json!({"kid": "k1"}), claims(json!({})), alg, key);
            assert_eq!(reason(ask(&auth, &token).await), "accepted", "{alg}");
        }
    }
}

#[tokio::test]
async fn alg_none_is_refused_in_every_spelling() {
    for alg in ["none", "None", "nOnE", "NONE", ""] {
        let header = json!({"alg": alg, "kid": "k1"}).to_string();
        let unsigned = format!("{}.{}", b64(&header), b64(claims(json!({})).to_string()));
        assert_eq!(refused(&format!("{unsigned}.")).await, "no signature");
        assert_eq!(refused(&unsigned).await, "not three parts");
        let signed = compact(&header, &claims(json!({})).to_string(), "ES256", &P256);
        assert_eq!(refused(&signed).await, "algorithm not known", "{alg}");
    }
    let header = json!({"kid": "k1"}).to_string();
    let signed = compact(&header, &claims(json!({})).to_string(), "ES256", &P256);
    assert_eq!(refused(&signed).await, "no algorithm");
    let header = json!({"alg": null, "kid": "k1"}).to_string();
    let signed = compact(&header, &claims(json!({})).to_string(), "ES256", &P256);
    assert_eq!(refused(&signed).await, "no algorithm");
}

#[tokio::test]
async fn an_rsa_public_key_is_no_hmac_secret() {
    let jwk = RSA.jwk(json!({"kid": "k1"}));
    let auth = auth(settings(KeySource::Static(jwks(std::slice::from_ref(&jwk)).into())));
    let modulus = jwk["n"].as_str().unwrap().as_bytes().to_vec();
    for secret in [RSA.pem().into_bytes(), modulus, jwk.to_string().into_bytes()] {
        let forged = token_with(json!({"kid": "k1"}), claims(json!({})), "HS256", &TestKey::Secret(secret));
        assert_eq!(reason(ask(&auth, &forged).await), "algorithm not allowed");
    }
}

#[tokio::test]
async fn an_rsa_jwk_without_alg_is_no_empty_hmac_key() {
    let whole = RSA.jwk(json!({"kid": "k1"}));
    for jwk in [whole, json!({"kty": "RSA", "kid": "k1"}), json!({"kty": "RSA", "kid": "k1", "n": "", "e": "AQAB"})] {
        let set = jwks(&[jwk, P256.jwk(json!({"kid": "k2"}))]);
        // It would not be one where a set might serve HMAC either.
        let allowed = [Algorithm::HS256, Algorithm::RS256, Algorithm::ES256];
        let keys = KeySet::from_jwks(set.as_bytes(), &allowed).unwrap();
        let auth = auth(settings(KeySource::Static(set.into())));
        for secret in [vec![], RSA.pem().into_bytes()] {
            for header in [json!({"kid": "k1"}), json!({})] {
                let forged = token_with(header, claims(json!({})), "HS256", &TestKey::Secret(secret.clone()));
                let jws = Jws::parse(&forged).unwrap();
                let found = keys.check(jws.kid.as_deref(), jws.algorithm, jws.signed.as_bytes(), &jws.signature);
                assert_eq!(found, Match::Unknown);
                assert_eq!(reason(ask(&auth, &forged).await), "algorithm not allowed");
            }
        }
    }
    // With HMAC allowed the issuer has a secret file and nothing else, so the two never meet.
    let folder = Folder::new();
    let secret = folder.write("secret", "a shared secret of 32 bytes or so");
    let auth = auth(settings(KeySource::SecretFile(secret)));
    for secret in [vec![], RSA.pem().into_bytes()] {
        let forged = token_with(json!({}), claims(json!({})), "HS256", &TestKey::Secret(secret));
        assert_eq!(reason(ask(&auth, &forged).await), "key not known");
    }
}

#[tokio::test]
async fn a_symmetric_key_in_a_jwk_set_is_never_used() {
    let secret = TestKey::Secret(b"a published secret of 32 bytes...".to_vec());
    let keys = [secret.jwk(json!({"kid": "s", "alg": "HS256"})), P256.jwk(json!({"kid": "k1"}))];
    let auth = auth(settings(KeySource::Static(jwks(&keys).into())));
    let forged = token_with(json!({"kid": "s"}), claims(json!({})), "HS256", &secret);
    assert_eq!(reason(ask(&auth, &forged).await), "algorithm not allowed");
    assert_eq!(auth.status()[0].keys, 1);
}

#[tokio::test]
async fn an_embedded_jwk_is_ignored() {
    let mine = TestKey::p256();
    let header = json!({"kid": "k1", "jwk": mine.jwk(json!({"kid": "k1"}))});
    let forged = token_with(header, claims(json!({})), "ES256", &mine);
    assert_eq!(refused(&forged).await, "signature wrong");
    let header = json!({"jwk": mine.jwk(json!({}))});
    let forged = token_with(header, claims(json!({})), "ES256", &mine);
    assert_eq!(refused(&forged).await, "key not known");
}

#[tokio::test]
async fn jku_and_x5u_are_not_fetched_and_x5c_is_ignored() {
    let mine = TestKey::p256();
    let trap = Provider::new(jwks(&[mine.jwk(json!({"kid": "evil"}))])).await;
    let issuer = Provider::new(jwks(&[P256.jwk(json!({"kid": "k1"}))])).await;
    let auth = auth(settings(KeySource::JwksUrl(issuer.url.clone())));
    let header = json!({"kid": "evil", "jku": trap.url, "x5u": trap.url, "x5c": ["AAAA"]});
    let forged = token_with(header.clone(), claims(json!({})), "ES256", &mine);
    assert_eq!(reason(ask(&auth, &forged).await), "key not known");
    // Beside a good key they do no harm.
    let mut header = header;
    header["kid"] = json!("k1");
    let honest = token_with(header, claims(json!({})), "ES256", &P256);
    assert_eq!(reason(ask(&auth, &honest).await), "accepted");
    assert_eq!(trap.hits(), 0);
    assert_eq!(issuer.hits(), 1);
}

#[tokio::test]
async fn a_kid_is_a_name_and_nothing_else() {
    let issuer = Provider::new(jwks(&[P256.jwk(json!({"kid": "k1"}))])).await;
    let auth = auth(settings(KeySource::JwksUrl(issuer.url.clone())));
    for kid in
        ["../../../../etc/passwd", "/dev/null", "k1\0", "k1' OR '1'='1", "K1", " k1", "", "http://127.0.0.1/jwks"]
    {
        let forged = token_with(json!({"kid": kid}), claims(json!({})), "ES256", &P256);
        assert_eq!(reason(ask(&auth, &forged).await), "key not known", "{kid}");
    }
    let long = "k".repeat(10 * 1024);
    let forged = token_with(json!({"kid": long}), claims(json!({})), "ES256", &P256);
    assert_eq!(reason(ask(&auth, &forged).await), "kid too long");
    for kid in [json!(1), json!(["k1"]), json!({"k1": 1}), json!(null)] {
        let forged = token_with(json!({"kid": kid}), claims(json!({})), "ES256", &P256);
        assert_eq!(reason(ask(&auth, &forged).await), "kid not a string");
    }
    let paths: Vec<_> = issuer.paths().into_keys().collect();
    assert_eq!(paths, ["/jwks"]);
}

#[tokio::test]
async fn crit_b64_and_zip_are_refused() {
    for more in [
        json!({"crit": ["exp"]}),
        json!({"crit": []}),
        json!({"crit": ["b64"], "b64": false}),
        json!({"b64": false}),
        json!({"b64": true}),
        json!({"zip": "DEF"}),
    ] {
        let forged = token_with(more.clone(), claims(json!({})), "ES256", &P256);
        let told = refused(&forged).await;
        assert_eq!(told, "header asks for an extension", "{more}");
    }
}

#[tokio::test]
async fn duplicate_members_are_refused() {
    const HEADER: &str = r#"{"alg":"ES256","kid":"k1"}"#;
    let payload = claims(json!({})).to_string();
    for header in [
        r#"{"alg":"ES256","kid":"k1","alg":"ES256"}"#,
        r#"{"alg":"none","alg":"ES256","kid":"k1"}"#,
        r#"{"alg":"ES256","kid":"k1","ki\u0064":"k2"}"#,
        r#"{"alg":"ES256","kid":"k1","x":{"y":1,"y":1}}"#,
    ] {
        let forged = compact(header, &payload, "ES256", &P256);
        let told = refused(&forged).await;
        assert_eq!(told, "header not a strict json object", "{header}");
    }
    let base = payload.strip_suffix('}').unwrap();
    for more in [r#""sub":"admin""#, r#""s\u0075b":"admin""#, r#""deep":[{"a":1,"a":2}]"#] {
        let forged = compact(HEADER, &format!("{base},{more}}}"), "ES256", &P256);
        let told = refused(&forged).await;
        assert_eq!(told, "payload not a strict json object", "{more}");
    }
}

#[tokio::test]
async fn what_is_no_json_object_is_refused() {
    const HEADER: &str = r#"{"alg":"ES256","kid":"k1"}"#;
    for payload in ["", "null", "[]", "\"a\"", "{} {}", "{'a':1}", "{\"a\":\"\\ud800\"}"] {
        let forged = compact(HEADER, payload, "ES256", &P256);
        let told = refused(&forged).await;
        assert_eq!(told, "payload not a strict json object", "{payload}");
    }
    let payload = claims(json!({})).to_string();
    for header in ["", "[]", "{\"alg\":\"ES256\"", "{\"alg\":\"ES256\"}x"] {
        let forged = compact(header, &payload, "ES256", &P256);
        let told = refused(&forged).await;
        assert_eq!(told, "header not a strict json object", "{header}");
    }
}

#[tokio::test]
async fn a_nested_or_encrypted_token_is_refused() {
    let inner = token(claims(json!({})));
    assert_eq!(refused(&format!("{inner}.AAAA.AAAA")).await, "not three parts");
    let header = r#"{"alg":"ES256","kid":"k1","cty":"JWT"}"#;
    let nested = compact(header, &inner, "ES256", &P256);
    assert_eq!(refused(&nested).await, "payload not a strict json object");
}

#[tokio::test]
async fn an_ecdsa_signature_of_zeros_is_refused() {
    let honest = token(claims(json!({})));
    let (signed, _) = honest.rsplit_once('.').unwrap();
    let order = "FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551";
    let order: Vec<u8> =
        (0..32).map(|i| u8::from_str_radix(order.get(2 * i..2 * i + 2).unwrap(), 16).unwrap()).collect();
    for signature in [vec![0; 64], [order.clone(), order].concat(), vec![0; 63], vec![255; 64]] {
        let forged = format!("{signed}.{}", b64(signature));
        assert_eq!(refused(&forged).await, "signature wrong");
    }
}

#[tokio::test]
async fn an_ecdsa_signature_in_der_is_refused() {
    let honest = token(claims(json!({})));
    let (signed, signature) = honest.rsplit_once('.').unwrap();
    let raw = crate::auth::verify::base64url(signature).unwrap();
    let (r, s) = raw.split_at(32);
    let integer = |number: &[u8]| [&[2, 33, 0], number].concat();
    let der = [&[0x30, 70][..], &integer(r), &integer(s)].concat();
    let forged = format!("{signed}.{}", b64(der));
    assert_eq!(refused(&forged).await, "signature wrong");
}

#[tokio::test]
async fn the_other_spelling_of_a_malleable_signature_is_another_token() {
    // n - s verifies as s does. Nobody is let in by it who was not already, but nothing may be keyed by the signature: the
    // cache takes the whole token.
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad,
        0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let honest = token(claims(json!({})));
    let (signed, signature) = honest.rsplit_once('.').unwrap();
    let mut raw = crate::auth::verify::base64url(signature).unwrap();
    let mut borrow = 0;
    for i in (0..32).rev() {
        let difference = i16::from(ORDER[i]) - i16::from(raw[32 + i]) - borrow;
        borrow = i16::from(difference < 0);
        raw[32 + i] = difference.rem_euclid(256) as u8;
    }
    let other = format!("{signed}.{}", b64(raw));
    assert_ne!(other, honest);
    let auth = auth(usual());
    assert_eq!(reason(ask(&auth, &honest).await), "accepted");
    assert_eq!(reason(ask(&auth, &other).await), "accepted");
    assert_eq!(auth.cache_status().misses, 2);
    assert_eq!(auth.cache_status().hits, 0);
}

#[tokio::test]
async fn only_the_canonical_base64url_is_read() {
    let honest = token(claims(json!({})));
    let parts: Vec<&str> = honest.split('.').collect();
    let names = ["header", "payload", "signature"];
    for (at, name) in names.iter().enumerate() {
        let with = |part: String| {
            let mut parts: Vec<String> = parts.iter().map(|p| (*p).to_owned()).collect();
            parts[at] = part;
            parts.join(".")
        };
        let part = parts[at].to_owned();
        let mut told = vec![
            with(format!("{part}=")),
            with(format!("{part}==")),
            with(format!("{part} ")),
            with(format!("\n{part}")),
            with(format!("{part}\t")),
            with(format!("{part}+")),
            with(format!("{part}/")),
            with(format!("{part}é")),
            with(format!("{part}\0")),
            with(format!("{part}%3D")),
        ];
        // A last character that carries bits which no byte holds.
        for spare in ["B", "AB", "AAB"] {
            let whole = part.len() / 4 * 4;
            let prefix: String = part.chars().take(whole).collect();
            told.push(with(format!("{prefix}{spare}")));
        }
        // Three spare characters hold two bytes; "AAB" has two bits left over, "AB" four, "B" no byte at all.
        for token in told {
            let want = format!("{name} not canonical base64url");
            assert_eq!(refused(&token).await, want, "{token}");
        }
    }
}

#[tokio::test]
async fn white_space_and_dots_around_a_token_are_refused() {
    let honest = token(claims(json!({})));
    for (forged, want) in [
        (format!("{honest}."), "not three parts"),
        (format!(".{honest}"), "not three parts"),
        (format!("{honest}.."), "not three parts"),
        (honest.replace('.', ".."), "not three parts"),
        (format!(" {honest}"), "header not canonical base64url"),
        (format!("{honest} "), "signature not canonical base64url"),
        (format!("{honest}\n"), "signature not canonical base64url"),
        (String::new(), "not three parts"),
        ("..".into(), "no signature"),
        ("..AA".into(), "header not a strict json object"),
    ] {
        assert_eq!(refused(&forged).await, want, "{forged}");
    }
}

#[tokio::test]
async fn a_token_of_one_issuer_with_the_key_of_another_is_refused() {
    let other = TestKey::p256();
    let mut second = settings(KeySource::Static(jwks(&[other.jwk(json!({"kid": "k1"}))]).into()));
    second.issuer = "https://other.example/".into();
    let auth = Auth::new(vec![usual(), second], 100).unwrap();
    for (iss, key, want) in [
        (ISSUER, &*P256, "accepted"),
        ("https://other.example/", &other, "accepted"),
        (ISSUER, &other, "signature wrong"),
        ("https://other.example/", &P256, "signature wrong"),
    ] {
        let claims = claims(json!({ "iss": iss }));
        let token = token_with(json!({"kid": "k1"}), claims, "ES256", key);
        assert_eq!(reason(ask(&auth, &token).await), want);
    }
}

#[tokio::test]
async fn the_rules_of_one_issuer_are_not_those_of_another() {
    // One key, two issuers: the lax one's acceptance is worth nothing to the strict one.
    let lax = usual();
    let mut strict = usual();
    strict.issuer = "https://strict.example/".into();
    strict.require = vec!["tenant".into()];
    strict.algorithms = vec![jsonwebtoken::Algorithm::ES384];
    strict.keys = KeySource::Static(jwks(&[P256.jwk(json!({"kid": "k1"})), P384.jwk(json!({"kid": "k2"}))]).into());
    let auth = Auth::new(vec![lax, strict], 100).unwrap();
    assert_eq!(reason(ask(&auth, &token(claims(json!({})))).await), "accepted");
    let claims = claims(json!({"iss": "https://strict.example/"}));
    let told = reason(ask(&auth, &token(claims.clone())).await);
    assert_eq!(told, "algorithm not allowed");
    let strong = token_with(json!({"kid": "k2"}), claims, "ES384", &P384);
    let told = reason(ask(&auth, &strong).await);
    assert_eq!(told, "a required claim is missing");
}

#[tokio::test]
async fn a_token_of_a_megabyte_is_refused_unread() {
    let long = token(claims(json!({"pad": "x".repeat(1 << 20)})));
    assert_eq!(refused(&long).await, "longer than the limit");
    let honest = token(claims(json!({})));
    let auth = auth(usual());
    let within = auth.authenticate_within(&honest, honest.len(), at(0), None).await;
    assert_eq!(reason(within), "accepted");
    // The cap counts for a token that is known, too.
    let beyond = auth.authenticate_within(&honest, honest.len() - 1, at(0), None).await;
    assert_eq!(reason(beyond), "longer than the limit");
}

#[tokio::test]
async fn deep_json_is_refused() {
    const HEADER: &str = r#"{"alg":"ES256","kid":"k1"}"#;
    let deep = |levels: usize| {
        let text = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let base = claims(json!({})).to_string();
        let base = base.strip_suffix('}').unwrap();
        compact(HEADER, &format!("{base},\"deep\":{text}}}"), "ES256", &P256)
    };
    assert_eq!(refused(&deep(100)).await, "accepted");
    let told = refused(&deep(3000)).await;
    assert_eq!(told, "payload not a strict json object");
}
