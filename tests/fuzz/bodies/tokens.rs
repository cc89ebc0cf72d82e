//! Credentials: a header as it is, or a token of any header and claims that the issuer's own key has signed. What is accepted
//! has the issuer's rules kept, read by another reader; and without the key nothing is accepted but what was signed with it.

use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use tagwarden::auth::{Audiences, Auth, Credential, IssuerSettings, KeySource, credential};

use super::parts;

const NOW: u64 = 1_800_000_000;
const LEEWAY: u64 = 30;
/// The header and the claims of the one token in the corpus that was signed.
const SIGNED: [&str; 2] =
    [r#"{"alg":"ES256","kid":"k"}"#, r#"{"aud":"a","exp":1800003600,"iss":"https://idp.example/","sub":"s"}"#];

struct World {
    key: EncodingKey,
    auth: Arc<Auth>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let key = EncodingKey::from_ec_pem(include_bytes!("../../fixtures/signing-key.pem")).expect("a key");
    let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).expect("its public part");
    jwk.common.key_id = Some("k".to_owned());
    let keys = KeySource::Static(serde_json::to_vec(&JwkSet { keys: vec![jwk] }).expect("a set"));
    let issuer = IssuerSettings {
        issuer: "https://idp.example/".to_owned(),
        audiences: Audiences::OneOf(vec!["a".to_owned()]),
        algorithms: keys.default_algorithms(),
        keys,
        stale_if_error: Duration::from_secs(60),
        keys_folder: None,
        leeway: Duration::from_secs(LEEWAY),
        require: vec!["sub".to_owned()],
        require_typ: None,
    };
    World { key, auth: Auth::new(vec![issuer], 16).expect("an issuer") }
});

fn accepted(token: &str) -> bool {
    let now = UNIX_EPOCH + Duration::from_secs(NOW);
    let mut asked = pin!(WORLD.auth.authenticate(token, now));
    match asked.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer.is_ok(),
        Poll::Pending => panic!("keys that are there are waited for"),
    }
}

/// One run. The first byte is 0: header and claims of a token, which is signed. Else: `Authorization`, and a second header.
pub fn run(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let [one, two] = parts(rest);
    match first {
        0 => signed(one, two),
        _ => sent(one, two),
    }
}

fn signed(header: &[u8], claims: &[u8]) {
    let text = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
    let signature = jsonwebtoken::crypto::sign(text.as_bytes(), &WORLD.key, Algorithm::ES256).expect("a signature");
    let token = format!("{text}.{signature}");
    // What is remembered of a token is what it was.
    let taken = accepted(&token);
    assert_eq!(accepted(&token), taken);
    if !taken {
        return;
    }
    let header: Value = serde_json::from_slice(header).expect("a header");
    let claims: Value = serde_json::from_slice(claims).expect("claims");
    assert_eq!(header["alg"], "ES256");
    assert!(["crit", "b64", "zip", "enc"].iter().all(|member| header.get(member).is_none()), "{header}");
    assert!(header.get("kid").is_none_or(|kid| kid == "k"), "{header}");
    assert_eq!(claims["iss"], "https://idp.example/");
    assert!(claims["aud"] == "a" || claims["aud"].as_array().is_some_and(|all| all.contains(&json!("a"))), "{claims}");
    assert!(!claims["sub"].is_null(), "{claims}");
    let number = |name: &str| claims[name].as_f64();
    assert!(number("exp").is_some_and(|exp| exp > (NOW - LEEWAY) as f64 - 1.0), "{claims}");
    assert!(claims.get("nbf").is_none() || number("nbf").is_some_and(|nbf| nbf <= (NOW + LEEWAY) as f64), "{claims}");
}

fn sent(authorization: &[u8], second: &[u8]) {
    let mut headers = HeaderMap::new();
    let Ok(value) = HeaderValue::from_bytes(authorization) else { return };
    headers.append(AUTHORIZATION, value);
    if let Some((which, value)) = second.split_first() {
        let name = if which & 1 == 0 { AUTHORIZATION } else { HeaderName::from_static("x-api-key") };
        let Ok(value) = HeaderValue::from_bytes(value) else { return };
        headers.append(name, value);
    }
    match credential(&headers) {
        Ok(Credential::Bearer(token)) => {
            assert_eq!(headers.len(), 1, "one of two was chosen");
            let known = SIGNED.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
            let fits = token.rsplit_once('.').is_some_and(|(text, _)| text == known);
            assert!(!accepted(token) || fits, "a token that nobody signed: {token}");
        }
        Ok(Credential::ApiKey(_)) => panic!("`Authorization` is no API key"),
        Err(_) => {}
    }
}
