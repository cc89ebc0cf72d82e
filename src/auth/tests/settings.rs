//! Issuers as they are configured, and key files.

use std::time::Duration;

use jsonwebtoken::Algorithm;
use serde_json::json;

use super::support::*;
use crate::auth::{Audiences, Auth, IssuerSettings, KeySource};

fn error(settings: Vec<IssuerSettings>) -> String {
    Auth::new(settings, 10).unwrap_err().to_string()
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    assert_eq!(error(vec![usual(), usual()]), "issuer `https://idp.example/` stands twice");
    let none = Audiences::OneOf(vec![]);
    assert_eq!(
        error(vec![IssuerSettings { audiences: none, ..usual() }]),
        "issuer `https://idp.example/` has no audience"
    );
    assert_eq!(
        error(vec![IssuerSettings { algorithms: vec![], ..usual() }]),
        "issuer `https://idp.example/` has no algorithm"
    );
    let mixed = vec![Algorithm::ES256, Algorithm::HS384];
    assert_eq!(
        error(vec![IssuerSettings { algorithms: mixed.clone(), ..usual() }]),
        "issuer `https://idp.example/` may use `HS384` only with a secret_file"
    );
    let keys = KeySource::SecretFile("secret".into());
    assert_eq!(
        error(vec![IssuerSettings { algorithms: mixed, keys, ..usual() }]),
        "issuer `https://idp.example/` has a secret_file, which `ES256` cannot use"
    );
    for (url, why) in [
        ("ftp://idp.example/jwks", "it begins with neither `http://` nor `https://`"),
        ("/jwks", "it begins with neither `http://` nor `https://`"),
        ("https://u:p@idp.example/jwks", "it carries a user or a password"),
        ("https:// idp/", "it cannot be read as an address"),
    ] {
        assert_eq!(
            error(vec![settings(KeySource::JwksUrl(url.into()))]),
            format!(
                "the keys of issuer `https://idp.example/` cannot be fetched: \
                 the address is not usable: {why}"
            )
        );
    }
    assert_eq!(
        error(vec![settings(KeySource::Static(b"{\"keys\":[]}".to_vec()))]),
        "the key set of issuer `https://idp.example/` is not usable: \
         it has no key that can be used: the list is empty"
    );
}

#[test]
fn the_default_algorithms_are_those_of_the_page() {
    use Algorithm::*;
    let names = KeySource::JwksUrl(String::new()).default_algorithms();
    let public = [RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA];
    assert_eq!(names, public);
    let names = KeySource::SecretFile("x".into()).default_algorithms();
    assert_eq!(names, [HS256, HS384, HS512]);
}

#[test]
fn a_key_file_that_cannot_be_used_is_named_with_the_reason() {
    let folder = Folder::new();
    let private = section("PRIVATE KEY", b"whatever");
    let large = vec![b' '; (1 << 20) + 1];
    for (keys, why) in [
        (KeySource::JwksFile(folder.path("none")), "it cannot be read: entity not found"),
        (KeySource::JwksFile(folder.write("bad.json", "{")), "it is not a json object with every member once"),
        (KeySource::PemFile(folder.write("private.pem", private)), "its section 1 is not a `PUBLIC KEY`"),
        (KeySource::SecretFile(folder.write("31", [b'x'; 31])), "its secret is shorter than 32 bytes"),
        (KeySource::SecretFile(folder.write("large", large)), "it is larger than 1048576 bytes"),
    ] {
        let path = match &keys {
            KeySource::JwksFile(path) | KeySource::PemFile(path) | KeySource::SecretFile(path) => {
                path.display().to_string()
            }
            KeySource::Discovery | KeySource::JwksUrl(_) | KeySource::Static(_) => String::new(),
        };
        assert_eq!(
            error(vec![settings(keys)]),
            format!("key file `{path}` of issuer `https://idp.example/` is not usable: {why}")
        );
    }
}

#[tokio::test]
async fn a_secret_is_the_file_without_one_line_end() {
    let folder = Folder::new();
    let secret = [b'x'; 32];
    let key = |secret: &[u8]| TestKey::Secret(secret.to_vec());
    for (text, secret) in [
        (secret.to_vec(), secret.to_vec()),
        ([&secret[..], b"\n"].concat(), secret.to_vec()),
        ([&secret[..], b"\r\n"].concat(), secret.to_vec()),
        ([&secret[..], b"\n\n"].concat(), [&secret[..], b"\n"].concat()),
        ([&secret[..], b"\r"].concat(), [&secret[..], b"\r"].concat()),
        ([&secret[..], b" "].concat(), [&secret[..], b" "].concat()),
        ([&[0xff, 0][..], &secret[..]].concat(), [&[0xff, 0][..], &secret[..]].concat()),
    ] {
        let auth = auth(settings(KeySource::SecretFile(folder.write("secret", &text))));
        for alg in ["HS256", "HS384", "HS512"] {
            for header in [json!({}), json!({"kid": "any"})] {
                let token = token_with(header, claims(json!({})), alg, &key(&secret));
                assert_eq!(reason(ask(&auth, &token).await), "accepted", "{text:?}");
            }
        }
        let wrong = token_with(json!({}), claims(json!({})), "HS256", &key(b"x"));
        assert_eq!(reason(ask(&auth, &wrong).await), "key not known");
    }
}

#[tokio::test]
async fn every_kind_of_key_is_read_from_pem() {
    let folder = Folder::new();
    let all = [RSA.pem(), P256.pem(), P384.pem(), ED.pem()].concat();
    let auth = auth(settings(KeySource::PemFile(folder.write("all.pem", all))));
    assert_eq!(auth.status()[0].keys, 4);
    let keys = [("RS256", &*RSA), ("PS512", &RSA), ("ES256", &P256), ("ES384", &P384), ("EdDSA", &ED)];
    for (alg, key) in keys {
        let token = token_with(json!({"kid": "any"}), claims(json!({})), alg, key);
        assert_eq!(reason(ask(&auth, &token).await), "accepted", "{alg}");
    }
}

#[tokio::test]
async fn key_files_are_read_again_and_a_bad_one_keeps_the_last_good() {
    let folder = Folder::new();
    let pem = folder.write("k.pem", P256.pem());
    let set = folder.write("k.json", jwks(&[ED.jwk(json!({"kid": "e"}))]));
    let mut second = settings(KeySource::JwksFile(set.clone()));
    second.issuer = "https://second.example/".into();
    let first = settings(KeySource::PemFile(pem.clone()));
    let auth = Auth::new(vec![first, second, third()], 10).unwrap();
    assert_eq!(auth.files(), [pem.clone(), set.clone()]);
    let old = token(claims(json!({})));
    assert_eq!(reason(ask(&auth, &old).await), "accepted");

    let changes = || -> Vec<String> {
        let told = auth.reload_files().into_iter();
        told.map(|(path, told)| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            match told {
                Ok(changed) => format!("{name} {changed}"),
                Err(error) => format!("{name} {}", error.to_string().contains(&name)),
            }
        })
        .collect()
    };
    assert_eq!(changes(), ["k.pem false", "k.json false"]);
    assert_eq!(reason(ask(&auth, &old).await), "accepted");
    assert_eq!(auth.cache_status().hits, 1);

    for bad in ["", "no pem", &section("PUBLIC KEY", b"x")] {
        folder.write("k.pem", bad);
        let told = auth.reload_files().remove(0).1.unwrap_err().to_string();
        assert!(told.starts_with("key file `"), "{told}");
        assert!(auth.status()[0].stale);
        assert_eq!(reason(ask(&auth, &old).await), "accepted");
    }
    let status = auth.status().remove(0);
    assert_eq!((status.fetches_ok, status.fetches_failed, status.keys), (2, 3, 1));

    let new = TestKey::p256();
    folder.write("k.pem", new.pem());
    assert_eq!(changes(), ["k.pem true", "k.json false"]);
    assert!(!auth.status()[0].stale);
    assert_eq!(reason(ask(&auth, &old).await), "key not known");
    let token = token_with(json!({}), claims(json!({})), "ES256", &new);
    assert_eq!(reason(ask(&auth, &token).await), "accepted");
}

/// One without a file.
fn third() -> IssuerSettings {
    IssuerSettings { issuer: "https://third.example/".into(), ..usual() }
}

#[tokio::test]
async fn the_leeway_is_the_issuers_own() {
    let auth = auth(IssuerSettings { leeway: Duration::ZERO, ..usual() });
    let token = token(claims(json!({"nbf": NOW})));
    for (millis, want) in [(-1, "not valid yet"), (0, "accepted"), (99_999, "accepted"), (100_000, "expired")] {
        let told = reason(auth.authenticate(&token, at(millis)).await);
        assert_eq!(told, want, "{millis}");
    }
}
