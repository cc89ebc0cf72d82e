use serde_json::json;

use super::*;
use crate::auth::KeySource;
use crate::auth::tests::support::{ED, P256, P384, RSA, TestKey, b64, jwks, section};

fn public() -> Vec<Algorithm> {
    KeySource::Static(vec![]).default_algorithms()
}

fn read(jwk: Value) -> Result<KeySet, KeyError> {
    KeySet::from_jwks(jwks(&[jwk]).as_bytes(), &public())
}

/// Why the only key of a set is passed over.
fn why(jwk: Value) -> &'static str {
    match read(jwk) {
        Err(KeyError::NoneUsable { why }) => why,
        Err(_) => "another error",
        Ok(_) => "used",
    }
}

/// The algorithms that the first key serves.
fn serves(set: &KeySet) -> Vec<Algorithm> {
    let first = set.keys.first().unwrap();
    first.verifiers.iter().map(|(name, _)| *name).collect()
}

fn with(key: &TestKey, name: &str, value: Value) -> Value {
    let mut jwk = key.jwk(json!({}));
    jwk[name] = value;
    jwk
}

#[test]
fn a_key_serves_the_algorithms_of_its_type_and_curve_alone() {
    use Algorithm::*;
    let rsa = [RS256, RS384, RS512, PS256, PS384, PS512];
    let keys = [(&*RSA, &rsa[..]), (&P256, &[ES256]), (&P384, &[ES384]), (&ED, &[EdDSA])];
    for (key, names) in keys {
        assert_eq!(serves(&read(key.jwk(json!({}))).unwrap()), names);
        let pem = KeySet::from_pem(key.pem().as_bytes(), &public()).unwrap();
        assert_eq!(serves(&pem), names);
    }
    // Those that are allowed, of them.
    let set = jwks(&[RSA.jwk(json!({}))]);
    let set = KeySet::from_jwks(set.as_bytes(), &[PS256, ES256, RS256]).unwrap();
    assert_eq!(serves(&set), [RS256, PS256]);
    // And of them the one that the key names.
    let set = read(RSA.jwk(json!({"alg": "PS256"}))).unwrap();
    assert_eq!(serves(&set), [PS256]);
    let none = KeySet::from_jwks(jwks(&[ED.jwk(json!({}))]).as_bytes(), &[ES256]);
    let serves_none = "it serves none of the allowed algorithms";
    assert_eq!(none.unwrap_err(), KeyError::NoneUsable { why: serves_none });
    assert_eq!(why(P256.jwk(json!({"alg": "ES384"}))), serves_none);
    assert_eq!(why(RSA.jwk(json!({"alg": "HS256"}))), serves_none);
    let none = KeySet::from_pem(ED.pem().as_bytes(), &[ES256]);
    assert_eq!(none.unwrap_err().to_string(), "its key 1 cannot be used: it serves none of the allowed algorithms");
}

#[test]
fn a_key_for_something_else_is_passed_over() {
    for (more, want) in [
        (json!({"use": "sig"}), "used"),
        (json!({"use": "enc"}), "its `use` is not `sig`"),
        (json!({"use": "SIG"}), "its `use` is not `sig`"),
        (json!({"key_ops": ["verify"]}), "used"),
        (json!({"key_ops": ["sign", "verify"]}), "used"),
        (json!({"key_ops": ["sign"]}), "its `key_ops` do not name `verify`"),
        (json!({"key_ops": []}), "its `key_ops` do not name `verify`"),
        (json!({"key_ops": "verify"}), "its `key_ops` do not name `verify`"),
        (json!({"key_ops": ["verify"], "use": "enc"}), "its `use` is not `sig`"),
        (json!({"alg": "ECDH-ES"}), "its `alg` is not one of ours"),
        (json!({"alg": "none"}), "its `alg` is not one of ours"),
        (json!({"alg": 1}), "a member has the wrong type"),
        (json!({"kid": 1}), "a member has the wrong type"),
        (json!({"use": null}), "a member has the wrong type"),
        (json!({"kty": "ec"}), "its type or curve is not one of ours"),
        (json!({"kty": "OKP"}), "its type or curve is not one of ours"),
        (json!({"crv": "P-521"}), "its type or curve is not one of ours"),
        (json!({"crv": "secp256k1"}), "its type or curve is not one of ours"),
    ] {
        assert_eq!(why(P256.jwk(more.clone())), want, "{more}");
    }
    let secret = TestKey::Secret(vec![7; 32]).jwk(json!({"alg": "HS256"}));
    assert_eq!(why(secret.clone()), "it is symmetric");
    let allowed = [Algorithm::HS256];
    let none = KeySet::from_jwks(jwks(&[secret]).as_bytes(), &allowed).unwrap_err();
    assert_eq!(none, KeyError::NoneUsable { why: "it is symmetric" });
    assert_eq!(why(json!("key")), "it is not an object");
    assert_eq!(why(json!({})), "its type or curve is not one of ours");
}

#[test]
fn unsound_keys_are_passed_over() {
    let bits = "an rsa key has 2048 to 8192 bits";
    let mut odd = vec![0xff; 255];
    assert_eq!(why(with(&RSA, "n", json!(b64(&odd)))), bits);
    odd.push(0xff);
    // 2047 bits, under a zero bit.
    odd[0] = 0x7f;
    assert_eq!(why(with(&RSA, "n", json!(b64(&odd)))), bits);
    assert_eq!(why(with(&RSA, "n", json!(b64([0xff; 1025])))), bits);
    assert_eq!(why(with(&RSA, "n", json!(""))), bits);
    for e in [&[1][..], &[2], &[0], &[1, 0, 0]] {
        let told = why(with(&RSA, "e", json!(b64(e))));
        assert!(["it is not sound", "its numbers are no rsa key"].contains(&told), "{e:?} {told}");
    }
    assert_eq!(why(with(&RSA, "e", json!(65537))), "a member has the wrong type");
    assert_eq!(why(with(&RSA, "e", json!("AQAB="))), "a number of it is not base64url");
    let mut lost = RSA.jwk(json!({}));
    lost.as_object_mut().unwrap().remove("n");
    assert_eq!(why(lost), "a number of it is missing");

    let length = "a coordinate has the wrong length";
    assert_eq!(why(with(&P256, "x", json!(b64([1; 31])))), length);
    assert_eq!(why(with(&P256, "y", json!(b64([1; 33])))), length);
    assert_eq!(why(with(&P256, "crv", json!("P-384"))), length);
    assert_eq!(why(with(&P256, "x", json!(b64([1; 32])))), "it is not sound");
    assert_eq!(why(with(&P256, "x", json!(b64([0xff; 32])))), "it is not sound");
    let short = "its `x` has the wrong length";
    assert_eq!(why(with(&ED, "x", json!(b64([1; 31])))), short);
    assert_eq!(why(with(&ED, "x", json!(""))), short);
}

#[test]
fn a_sign_byte_before_a_modulus_does_no_harm() {
    let jwk = RSA.jwk(json!({}));
    let n = base64url(jwk["n"].as_str().unwrap()).unwrap();
    let set = read(with(&RSA, "n", json!(b64([&[0][..], &n].concat())))).unwrap();
    assert_eq!(set.digest, read(jwk).unwrap().digest);
}

#[test]
fn a_set_is_read_strictly_and_with_a_cap() {
    let read = |text: &str| KeySet::from_jwks(text.as_bytes(), &public()).unwrap_err().to_string();
    assert_eq!(read(""), "it is not a json object with every member once");
    assert_eq!(read("[]"), "it is not a json object with every member once");
    let twice = r#"{"keys":[],"keys":[]}"#;
    assert_eq!(read(twice), "it is not a json object with every member once");
    assert_eq!(read("{}"), "it has no array `keys`");
    assert_eq!(read(r#"{"keys":{}}"#), "it has no array `keys`");
    assert_eq!(read(r#"{"keys":[]}"#), "it has no key that can be used: the list is empty");
    let many = jwks(&vec![json!({}); 257]);
    assert_eq!(read(&many), "it has 257 keys, more than 256");
    // One good key is enough.
    let mixed = jwks(&[json!({}), P256.jwk(json!({})), json!(null)]);
    assert_eq!(KeySet::from_jwks(mixed.as_bytes(), &public()).unwrap().len(), 1);
}

#[test]
fn pem_sections_that_are_no_public_key_are_named() {
    let read = |text: String| {
        let set = KeySet::from_pem(text.as_bytes(), &public());
        set.unwrap_err().to_string()
    };
    for label in ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY", "CERTIFICATE"] {
        let text = P256.pem() + &section(label, b"x");
        assert_eq!(read(text), "its section 2 is not a `PUBLIC KEY`", "{label}");
    }
    let none = "it has no key that can be used: there is no `PUBLIC KEY` section";
    assert_eq!(read(String::new()), none);
    assert_eq!(read(section("RSA PUBLIC KEY", b"x")), none);
    let key = P256.pem();
    let cut: String = key.lines().take(2).map(|line| format!("{line}\n")).collect();
    assert_eq!(read(cut), "its pem text cannot be read");
    assert_eq!(
        read(section("PUBLIC KEY", b"x")),
        "its key 1 cannot be used: its type or curve is not one that serves here"
    );
}

#[test]
fn the_digest_tells_material_names_and_uses_apart_and_not_the_order() {
    let digest = |keys: &[Value]| KeySet::from_jwks(jwks(keys).as_bytes(), &public()).unwrap().digest;
    let (a, b) = (P256.jwk(json!({"kid": "a"})), ED.jwk(json!({"kid": "b"})));
    let both = digest(&[a.clone(), b.clone()]);
    assert_eq!(both, digest(&[b.clone(), a.clone()]));
    assert_eq!(both, digest(&[json!({"kty": "oct"}), b.clone(), a.clone()]));
    let others = [
        digest(std::slice::from_ref(&a)),
        digest(std::slice::from_ref(&b)),
        digest(&[a.clone(), a.clone()]),
        digest(&[P256.jwk(json!({"kid": "c"})), b.clone()]),
        digest(&[P256.jwk(json!({})), b.clone()]),
        digest(&[P256.jwk(json!({"kid": ""})), b.clone()]),
        digest(&[TestKey::p256().jwk(json!({"kid": "a"})), b]),
        digest(&[RSA.jwk(json!({}))]),
        digest(&[RSA.jwk(json!({"alg": "RS256"}))]),
    ];
    for (at, one) in others.iter().enumerate() {
        assert_ne!(*one, both, "{at}");
        assert!(others.iter().skip(at + 1).all(|other| other != one), "{at}");
    }
}

#[test]
fn a_token_is_tried_with_the_keys_that_it_can_mean() {
    let (x, y) = (TestKey::p256(), TestKey::p256());
    let check = |keys: &[Value], kid: Option<&str>, key: &TestKey| {
        let set = KeySet::from_jwks(jwks(keys).as_bytes(), &public()).unwrap();
        set.check(kid, Algorithm::ES256, b"text", &key.sign("ES256", b"text"))
    };
    let named = |key: &TestKey, kid: &str| key.jwk(json!({ "kid": kid }));
    let bare = |key: &TestKey| key.jwk(json!({}));
    use Match::*;
    for (at, (keys, kid, want)) in [
        (vec![named(&x, "a")], Some("a"), Verified),
        (vec![named(&y, "a")], Some("a"), Wrong),
        (vec![named(&x, "a")], Some("b"), Unknown),
        (vec![named(&x, "a")], None, Verified),
        (vec![named(&y, "a")], None, Unknown),
        // Two keys of one name (RFC 7517, 4.5 has them for different types, but who knows).
        (vec![named(&y, "a"), named(&x, "a")], Some("a"), Verified),
        (vec![named(&RSA, "a"), named(&x, "a")], Some("a"), Verified),
        // The named key is not one for this algorithm.
        (vec![named(&RSA, "a")], Some("a"), Unknown),
        // A key without a name may be the one; with the named one there it is not.
        (vec![bare(&x)], Some("a"), Verified),
        (vec![bare(&y), bare(&x)], Some("a"), Verified),
        (vec![bare(&x), named(&y, "a")], Some("a"), Wrong),
        (vec![bare(&y)], Some("a"), Unknown),
        (vec![named(&x, "b"), bare(&y)], Some("a"), Unknown),
        (vec![bare(&y), bare(&RSA), bare(&x)], None, Verified),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(check(&keys, kid, &x), want, "{at}");
    }
}

#[test]
fn a_token_is_tried_with_eight_keys_that_fit() {
    let key = TestKey::p256();
    let others: Vec<Value> = (0..8).map(|_| TestKey::p256().jwk(json!({}))).collect();
    let rsa = RSA.jwk(json!({}));
    let check = |others: &[Value]| {
        let keys = [&[rsa.clone(), rsa.clone()], others, &[key.jwk(json!({}))]].concat();
        let set = KeySet::from_jwks(jwks(&keys).as_bytes(), &public()).unwrap();
        set.check(None, Algorithm::ES256, b"text", &key.sign("ES256", b"text"))
    };
    let (seven, _) = others.split_at(7);
    assert_eq!(check(seven), Match::Verified);
    assert_eq!(check(&others), Match::Unknown);
}
