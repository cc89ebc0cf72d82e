//! Where a token may stand in a request; and no text of ours holds one.

use super::*;

fn headers(list: &[(&'static str, &'static [u8])]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in list {
        headers.append(*name, HeaderValue::from_bytes(value).unwrap());
    }
    headers
}

fn told(list: &[(&'static str, &'static [u8])]) -> String {
    match credential(&headers(list)) {
        Ok(Credential::Bearer(token)) => format!("token {token}"),
        Ok(Credential::ApiKey(key)) => format!("key {key}"),
        Err(refusal) => reason(Err(refusal)).to_owned(),
    }
}

#[test]
fn bearer_is_read_in_any_case_with_one_space() {
    for value in [&b"Bearer a.b-c_~+/d="[..], b"bearer a.b-c_~+/d=", b"BEARER a.b-c_~+/d="] {
        assert_eq!(told(&[("authorization", value)]), "token a.b-c_~+/d=");
    }
    const SPACE: &str = "authorization not `Bearer` and one space";
    const TOKEN: &str = "authorization not a bearer token";
    for (value, want) in [
        (&b"Bearer"[..], SPACE),
        (b"Bearer\ta.b.c", SPACE),
        (b"Bearer\t a.b.c", SPACE),
        (b"Bearer,a.b.c", SPACE),
        (b"Bearer: a.b.c", SPACE),
        (b"Bearer  a.b.c", TOKEN),
        (b"Bearer \ta.b.c", TOKEN),
        (b"Bearer ", TOKEN),
        (b"Bearer a.b.c ", TOKEN),
        (b"Bearer a.b.c, Bearer d.e.f", TOKEN),
        (b"Bearer a.b.c,d.e.f", TOKEN),
        (b"Bearer a.b.c d", TOKEN),
        (b"Bearer =", TOKEN),
        (b"Bearer a=b", TOKEN),
        (b"Bearer \"a.b.c\"", TOKEN),
        (b"Bearer a\xffb", "authorization not printable"),
    ] {
        assert_eq!(told(&[("authorization", value)]), want, "{value:?}");
    }
    // Another scheme is no attempt at a token: RFC 6750, 3.1 wants no error code then.
    for value in [&b"Basic YTpi"[..], b"", b" Bearer a.b.c", b"BearerX a.b.c", b"\tBearer a"] {
        assert_eq!(told(&[("authorization", value)]), "missing", "{value:?}");
    }
    assert_eq!(told(&[]), "missing");
}

#[test]
fn two_credentials_are_refused() {
    const TWO: &str = "more than one credential";
    let token = ("authorization", &b"Bearer a.b.c"[..]);
    let key = ("x-api-key", &b"tw_k1_x"[..]);
    assert_eq!(told(&[token, token]), TWO);
    assert_eq!(told(&[token, ("authorization", b"Basic YTpi")]), TWO);
    assert_eq!(told(&[token, ("authorization", b"")]), TWO);
    assert_eq!(told(&[token, key]), TWO);
    assert_eq!(told(&[key, key]), TWO);
    assert_eq!(told(&[key]), "key tw_k1_x");
    assert_eq!(told(&[("x-api-key", b"\xff")]), "api key not printable");
    assert_eq!(AUTHORIZATION.as_str(), "authorization");
}

/// What the texts of errors and `{:?}` must not hold.
fn clean(text: &str, canaries: &[String]) {
    for canary in canaries {
        assert!(!text.contains(canary.as_str()), "{canary} in {text}");
    }
    assert!(!text.contains('\n'), "{text}");
}

#[tokio::test]
async fn no_text_of_ours_holds_a_token_or_a_key() {
    let folder = Folder::new();
    let secret = "canary-secret-of-more-than-32-bytes!";
    let secret_file = folder.write("secret", secret);
    let short = folder.write("short", "canary-short");
    let jwk = P256.jwk(json!({"kid": "k1"}));
    let set = jwks(std::slice::from_ref(&jwk));
    let honest = token(claims(json!({"jti": "canary-jti"})));
    let mut canaries: Vec<String> = honest.split('.').map(Into::into).collect();
    for name in ["x", "y"] {
        canaries.push(jwk[name].as_str().unwrap().into());
    }
    canaries.extend(["canary-secret", "canary-short", "canary-subject", "canary-jti", "canary-user"].map(Into::into));
    canaries.extend(["canary-password", "canary-query"].map(Into::into));
    // As numbers too: that is how `{:?}` prints bytes.
    canaries.push(format!("{:?}", b"canary-s").trim_matches(['[', ']']).into());
    canaries.push(format!("{:?}", br#"{"keys""#).trim_matches(['[', ']']).into());

    let auth = Auth::new(vec![usual()], 10).unwrap();
    let caller = ask(&auth, &honest).await.unwrap();
    let mut texts = vec![
        format!("{auth:?} {caller:?} {:?} {:?}", auth.status(), auth.cache_status()),
        format!("{:?}", settings(KeySource::Static(set.clone().into()))),
        format!("{:?}", settings(KeySource::SecretFile(secret_file.clone()))),
    ];
    let url = "https://canary-user:canary-password@idp.example/jwks?token=canary-query";
    let query = "http://127.0.0.1:1/jwks?token=canary-query";
    for keys in [
        KeySource::SecretFile(short),
        KeySource::JwksFile(secret_file.clone()),
        KeySource::PemFile(secret_file),
        KeySource::JwksFile(folder.path("missing")),
        KeySource::Static(format!("{{\"keys\":[{{\"kty\":\"oct\",\"k\":\"{secret}\"}}]}}").into()),
        KeySource::Static(secret.into()),
        KeySource::JwksUrl(url.into()),
    ] {
        texts.push(format!("{keys:?}"));
        let error = Auth::new(vec![settings(keys)], 10).unwrap_err();
        texts.push(error.to_string());
        texts.push(format!("{error:?}"));
    }
    let lost = Auth::new(vec![settings(KeySource::JwksUrl(query.into()))], 10).unwrap();
    texts.push(format!("{:?}", settings(KeySource::JwksUrl(query.into()))));
    let mut forged = claims(json!({}));
    forged["iss"] = Value::from("canary-subject");
    for (auth, token) in [(&lost, honest.clone()), (&auth, token(forged)), (&auth, honest + "A")] {
        let refusal = ask(auth, &token).await.unwrap_err();
        texts.push(refusal.to_string());
        texts.push(format!("{refusal:?}"));
    }
    for text in texts {
        clean(&text, &canaries);
    }
}
