//! Project Wycheproof's vectors for JWS and for JWK sets, all of them, through the reader of tokens and the keys that production
//! verifies with. Where we say otherwise than they do stands in [`DEVIATIONS`] and, for people, in docs/tokens.md.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jsonwebtoken::Algorithm;
use serde_json::Value;

use super::support::*;
use crate::auth::keys::{KeySet, Match};
use crate::auth::verify::{Jws, base64url};

const SIGNATURE: &str = "json_web_signature_test.json";
const KEY: &str = "json_web_key_test.json";

/// What an issuer of public keys accepts unless it is told otherwise.
const PUBLIC: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// A case in which we do not do what the vectors say.
struct Deviation {
    file: &'static str,
    case: u64,
    /// What we say; the vectors say the opposite.
    verifies: bool,
    reason: &'static str,
}

const fn refused(file: &'static str, case: u64, reason: &'static str) -> Deviation {
    Deviation { file, case, verifies: false, reason }
}

const fn verified(file: &'static str, case: u64, reason: &'static str) -> Deviation {
    Deviation { file, case, verifies: true, reason }
}

const DEVIATIONS: &[Deviation] = &[
    refused(SIGNATURE, 346, "the key is for PS256 by its own `alg`, the token says PS384"),
    refused(SIGNATURE, 347, "P-521 is not spoken, and the `alg` of the key, `ES521`, is a slip of the pen for ES512"),
    refused(SIGNATURE, 350, "as 346"),
    refused(SIGNATURE, 351, "as 347"),
    verified(
        SIGNATURE,
        367,
        "byte for byte the token of 357, which is valid: the padding that it is about is not in it",
    ),
    verified(SIGNATURE, 370, "as 367"),
    refused(SIGNATURE, 372, "a `?` in the header: no letter of base64url, though other decoders pass over it"),
    refused(SIGNATURE, 373, "a `?` in the payload"),
    refused(KEY, 2, "symmetric keys in a JWK set: a published secret is none, so they are passed over"),
    verified(KEY, 7, "an RSA key with the ROCA weakness: how a key was made is its issuer's to answer for"),
    verified(KEY, 11, "47 bytes for HS384: the floor for a secret is 32 bytes, whatever the hash"),
    verified(KEY, 12, "63 bytes for HS512: as 11"),
];

fn vectors(file: &str) -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/wycheproof").join(file);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The keys of a group as an operator would give them to us; `None` where they cannot be given at all.
///
/// Public keys are a JWK set. A single symmetric key is the content of a `secret_file`, and its `alg` what the operator allows.
/// Anything else, a mixed set or several symmetric keys, can only be a set.
fn keys(group: &Value) -> Option<KeySet> {
    let given = group.get("public").or(group.get("private")).unwrap();
    let list = given.get("keys").map_or(vec![given.clone()], |keys| keys.as_array().unwrap().clone());
    match list.as_slice() {
        [key] if key["kty"] == "oct" => {
            let allowed: Vec<Algorithm> = key["alg"].as_str().unwrap().parse().into_iter().collect();
            KeySet::from_secret(&base64url(key["k"].as_str().unwrap()).unwrap(), &allowed).ok()
        }
        list => KeySet::from_jwks(jwks(list).as_bytes(), &PUBLIC).ok(),
    }
}

/// Whether a token verifies. Its payload is no JSON object in any vector, so in its place an empty one is read; the payload
/// itself has to be canonical base64url all the same, and the signature is measured over it.
fn verifies(keys: &KeySet, token: &str) -> bool {
    let parts: Vec<&str> = token.split('.').collect();
    let (read, signed) = match parts.as_slice() {
        [header, payload, signature] if base64url(payload).is_some() => {
            (format!("{header}.e30.{signature}"), format!("{header}.{payload}"))
        }
        _ => (token.to_owned(), String::new()),
    };
    let Ok(jws) = Jws::parse(&read) else { return false };
    keys.check(jws.kid.as_deref(), jws.algorithm, signed.as_bytes(), &jws.signature) == Match::Verified
}

/// Every case of a file: its group, number, token and verdict.
fn cases(file: &str) -> Vec<(Value, u64, String, String)> {
    let mut cases = Vec::new();
    for group in vectors(file)["testGroups"].as_array().unwrap() {
        for test in group["tests"].as_array().unwrap() {
            // The JSON serialization, as whoever sends it would write it.
            let token = test["jws"].as_str().map_or_else(|| test["jws"].to_string(), Into::into);
            let verdict = test["result"].as_str().unwrap().to_owned();
            cases.push((group.clone(), test["tcId"].as_u64().unwrap(), token, verdict));
        }
    }
    cases
}

#[test]
fn every_vector_is_judged_as_it_should_be_or_is_a_written_deviation() {
    for (file, valid, invalid) in [(SIGNATURE, 46, 355), (KEY, 5, 21)] {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        let mut wrong = Vec::new();
        for (group, case, token, verdict) in cases(file) {
            *counts.entry(verdict.clone()).or_default() += 1;
            let wanted = match verdict.as_str() {
                "valid" => true,
                "invalid" => false,
                other => panic!("{file} {case}: `{other}` is a verdict that no case had"),
            };
            let found = keys(&group).is_some_and(|keys| verifies(&keys, &token));
            let known = DEVIATIONS.iter().find(|known| (known.file, known.case) == (file, case));
            match known {
                Some(known) if found != known.verifies => {
                    wrong.push(format!("{file} {case}: deviates no longer, though it is said to: {}", known.reason));
                }
                Some(known) => assert_ne!(known.verifies, wanted, "{file} {case}"),
                None if found != wanted => wrong.push(format!("{file} {case}: {verdict}, and here: {found}")),
                None => {}
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        let counts: Vec<(&str, usize)> = counts.iter().map(|(verdict, n)| (verdict.as_str(), *n)).collect();
        assert_eq!(counts, [("invalid", invalid), ("valid", valid)], "{file}");
    }
}

#[test]
fn the_two_cases_that_must_not_verify_and_do_are_the_token_of_a_valid_one() {
    let all = cases(SIGNATURE);
    let token = |wanted: u64| all.iter().find(|(_, case, ..)| *case == wanted).map(|(_, _, token, _)| token.as_str());
    assert!(token(357).is_some());
    assert_eq!((token(367), token(370)), (token(357), token(357)));
}

#[test]
fn the_page_for_people_lists_the_same_deviations() {
    let page = include_str!("../../../docs/tokens.md");
    let mut listed: Vec<(String, u64, String, String)> = Vec::new();
    for line in page.lines().filter(|line| line.starts_with("| `json_web_")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let ["", file, cases, vectors, here, reason, ""] = cells.as_slice() else { panic!("{line}") };
        assert!(!reason.is_empty(), "{line}");
        for case in cases.split(", ") {
            let file = format!("{}.json", file.trim_matches('`'));
            listed.push((file, case.parse().unwrap(), (*vectors).to_owned(), (*here).to_owned()));
        }
    }
    listed.sort_unstable();
    let words = |verifies: bool| match verifies {
        true => ("invalid".to_owned(), "accepted".to_owned()),
        false => ("valid".to_owned(), "refused".to_owned()),
    };
    let mut known: Vec<(String, u64, String, String)> = DEVIATIONS
        .iter()
        .map(|known| {
            let (vectors, here) = words(known.verifies);
            (known.file.to_owned(), known.case, vectors, here)
        })
        .collect();
    known.sort_unstable();
    assert_eq!(listed, known);
}
