//! Attacks on which key verifies, and how.

use serde_json::{Value, json};

use super::Target;
use crate::support::sidecar::{FINE, POLICY, Setup, reader};
use crate::support::tokens::{AUDIENCE, ISSUER, KEY, Key, RSA, b64, claims, hs256, pem, unb64};
use crate::support::upstream::{Act, Upstream};

const OTHER: &str = "https://other.example/";
const SECRET: &[u8] = b"a shared secret of 32 bytes or so";

/// An issuer of these keys instead.
fn issuer_with(setup: &mut Setup, members: &str) {
    members.clone_into(&mut setup.keys);
}

#[tokio::test]
async fn alg_none_in_every_spelling() {
    let target = Target::new().await;
    let payload = b64(claims(json!({})).to_string());
    // The four letters in both cases, all sixteen of them.
    let mut spellings: Vec<String> = (0..16)
        .map(|bits| {
            let cased = |(i, c): (usize, char)| if bits >> i & 1 == 1 { c.to_ascii_uppercase() } else { c };
            "none".chars().enumerate().map(cased).collect()
        })
        .collect();
    spellings.extend(["", " none", "none ", "no\u{6e}e\0", "null", "None,ES256"].map(str::to_owned));
    for alg in spellings {
        let header = json!({"alg": alg, "kid": "k1"}).to_string();
        let unsigned = format!("{}.{payload}", b64(&header));
        target.refuses(&alg, &unsigned).await;
        target.refuses(&alg, &format!("{unsigned}.")).await;
        target.refuses(&alg, &format!("{unsigned}.AA")).await;
        // With a signature that is good, but for what the header says.
        target.refuses(&alg, &KEY.sign_with(&json!({"alg": alg}), &claims(json!({})))).await;
    }
    for alg in [json!(null), json!(0), json!(false), json!(["ES256"]), json!({"alg": "ES256"})] {
        target.refuses(&alg.to_string(), &KEY.sign_with(&json!({"alg": alg}), &claims(json!({})))).await;
    }
    target.refuses("no alg", &KEY.compact(r#"{"kid":"k1"}"#, claims(json!({})).to_string())).await;
    target.still_serves().await;
}

#[tokio::test]
async fn hs256_signed_with_the_public_key() {
    let target = Target::with(|setup| {
        let mut set: Value = serde_json::from_str(&KEY.set()).unwrap();
        set["keys"].as_array_mut().unwrap().push(RSA.jwk());
        setup.folder.write("jwks.json", set.to_string());
    })
    .await;
    let jwk: Value = serde_json::from_str(&KEY.set()).unwrap();
    let rsa_jwk = RSA.jwk();
    let number = |name: &str| rsa_jwk[name].as_str().unwrap().to_owned();
    for (what, kid, secret) in [
        ("rsa pem", "rsa", pem(&RSA.spki()).into_bytes()),
        ("rsa pem without its last line end", "rsa", pem(&RSA.spki()).trim_end().as_bytes().to_vec()),
        ("rsa der", "rsa", RSA.spki()),
        ("rsa jwk", "rsa", rsa_jwk.to_string().into_bytes()),
        ("rsa jwk set", "rsa", json!({"keys": [RSA.jwk()]}).to_string().into_bytes()),
        ("rsa modulus", "rsa", unb64(&number("n"))),
        ("rsa modulus as text", "rsa", number("n").into_bytes()),
        ("rsa, no bytes", "rsa", Vec::new()),
        ("ec pem", "k1", pem(KEY.spki()).into_bytes()),
        ("ec der", "k1", KEY.spki().to_vec()),
        ("ec jwk", "k1", jwk["keys"][0].to_string().into_bytes()),
        ("ec jwk set", "k1", KEY.set().into_bytes()),
        ("ec, no bytes", "k1", Vec::new()),
        ("ec, zeros", "k1", vec![0; 32]),
    ] {
        for header in [json!({"alg": "HS256", "kid": kid}), json!({"alg": "HS256"})] {
            target.refuses(what, &hs256(&secret, &header, &claims(json!({})))).await;
        }
        // The algorithm that the key is for, and the signature of another.
        let header = json!({"alg": if kid == "rsa" { "RS256" } else { "ES256" }, "kid": kid});
        target.refuses(what, &hs256(&secret, &header, &claims(json!({})))).await;
    }
    target.accepts("RS256", &RSA.sign(&claims(json!({})))).await;
    target.still_serves().await;
}

#[tokio::test]
async fn a_symmetric_key_in_the_key_set_and_an_empty_secret() {
    let target = Target::with(|setup| {
        let mut set: Value = serde_json::from_str(&KEY.set()).unwrap();
        let keys = set["keys"].as_array_mut().unwrap();
        keys.push(json!({"kty": "oct", "kid": "s", "alg": "HS256", "k": b64(SECRET)}));
        keys.push(json!({"kty": "RSA", "kid": "bare"}));
        setup.folder.write("jwks.json", set.to_string());
    })
    .await;
    for (kid, secret) in [("s", SECRET), ("bare", b""), ("k1", SECRET)] {
        let header = json!({"alg": "HS256", "kid": kid});
        target.refuses(kid, &hs256(secret, &header, &claims(json!({})))).await;
    }
    target.still_serves().await;
}

#[tokio::test]
async fn key_confusion_between_issuers() {
    let theirs = Key::new("k1");
    let shared = "https://shared.example/";
    let target = Target::with(|setup| {
        setup.folder.write("other.json", theirs.set());
        setup.folder.write("secret", SECRET);
        let names = format!("{{iss: [\"{ISSUER}\", \"{OTHER}\", \"{shared}\"], groups");
        setup.folder.write("policy.yaml", POLICY.replace("{groups", &names));
        issuer_with(
            setup,
            &format!(
                "{{jwks_file: jwks.json}}}}, {{issuer: \"{OTHER}\", audiences: [{AUDIENCE}], keys: {{jwks_file: other.json}}}}, \
                 {{issuer: \"{shared}\", audiences: [{AUDIENCE}], algorithms: [HS256], keys: {{secret_file: secret}}"
            ),
        );
    })
    .await;
    let of = |iss: &str| claims(json!({"iss": iss}));
    let hs = json!({"alg": "HS256", "kid": "k1"});
    for (what, token) in [
        ("the first issuer's name, the second's key", theirs.sign(&of(ISSUER))),
        ("the second issuer's name, the first's key", KEY.sign(&of(OTHER))),
        ("the shared secret for a key set's issuer", hs256(SECRET, &hs, &of(ISSUER))),
        ("the shared secret for the other key set's issuer", hs256(SECRET, &hs, &of(OTHER))),
        ("a key pair for the secret's issuer", KEY.sign(&of(shared))),
        ("the first issuer's public key for the secret's", hs256(pem(KEY.spki()).as_bytes(), &hs, &of(shared))),
        ("no secret for the secret's issuer", hs256(b"", &hs, &of(shared))),
        ("the secret with its line end", hs256(&[SECRET, b"\n"].concat(), &hs, &of(shared))),
        ("an issuer that nobody has", KEY.sign(&of("https://nobody.example/"))),
    ] {
        target.refuses(what, &token).await;
    }
    target.accepts("the second issuer", &theirs.sign(&of(OTHER))).await;
    target.accepts("the secret's issuer", &hs256(SECRET, &hs, &of(shared))).await;
    // What is remembered of one issuer is nothing to another: the same parts under the other's key.
    target.refuses("after both were seen", &theirs.sign(&of(ISSUER))).await;
    target.still_serves().await;
}

#[tokio::test]
async fn an_embedded_jwk_and_x5c() {
    let target = Target::new().await;
    let mine = Key::new("k1");
    let set: Value = serde_json::from_str(&mine.set()).unwrap();
    let jwk = &set["keys"][0];
    let chain = json!([b64(mine.spki())]);
    for header in [
        json!({"jwk": jwk}),
        json!({"jwk": set}),
        json!({"x5c": chain, "x5t": "AAAA", "x5t#S256": "AAAA"}),
        json!({"jwk": jwk, "kid": "new"}),
        json!({"jwk": jwk, "alg": "ES256", "kid": ""}),
    ] {
        target.refuses(&header.to_string(), &mine.sign_with(&header, &claims(json!({})))).await;
    }
    target.still_serves().await;
}

#[tokio::test]
async fn jku_and_x5u_fetch_nothing() {
    let mine = Key::new("evil");
    let trap = Upstream::always(Act::json("200 OK", mine.set())).await;
    let provider = Upstream::always(Act::json("200 OK", KEY.set())).await;
    let target = Target::with(|setup| issuer_with(setup, &format!("{{jwks_url: \"{}/jwks\"}}", provider.url))).await;
    target.sidecar.until_status(&reader(), FINE, 200).await;
    target.passed.set(target.upstream.count());
    for name in ["jku", "x5u", "jwks_uri", "iss", "kid", "jwk", "x5c"] {
        let header = json!({name: format!("{}/{name}", trap.url)});
        target.refuses(name, &mine.sign_with(&header, &claims(json!({})))).await;
        target.refuses(name, &mine.sign_with(&header, &claims(json!({"iss": trap.url})))).await;
    }
    let jku = json!({"jku": format!("{}/jku", trap.url), "x5u": format!("{}/x5u", trap.url)});
    target.accepts("a good token beside a jku", &KEY.sign_with(&jku, &claims(json!({})))).await;
    target.still_serves().await;
    assert_eq!((trap.count(), trap.connections()), (0, 0));
    assert!(provider.seen().iter().all(|got| got.target() == "/jwks"), "{:?}", provider.seen());
}

#[tokio::test]
async fn a_kid_that_is_a_path_a_query_or_huge() {
    let provider = Upstream::always(Act::json("200 OK", KEY.set())).await;
    let target = Target::with(|setup| issuer_with(setup, &format!("{{jwks_url: \"{}/jwks\"}}", provider.url))).await;
    target.sidecar.until_status(&reader(), FINE, 200).await;
    target.passed.set(target.upstream.count());
    let huge = "k".repeat(8 << 10);
    for kid in [
        "../../../../../../etc/passwd",
        "/dev/null",
        "file:///etc/passwd",
        "..\\..\\k1",
        "k1\0",
        "k1\0.pem",
        "k1' OR '1'='1",
        "k1'; DROP TABLE keys; --",
        "' UNION SELECT 'AA",
        "$(id)",
        "|id",
        "${jndi:ldap://127.0.0.1/a}",
        "K1",
        " k1",
        "k1 ",
        "\u{ff4b}1",
        "",
        "*",
        "k[1]",
        "http://127.0.0.1:1/jwks",
        &huge,
    ] {
        // By the issuer's own key: the name alone is what refuses it.
        target.refuses(kid, &KEY.sign_with(&json!({"kid": kid}), &claims(json!({})))).await;
        let empty = hs256(b"", &json!({"alg": "HS256", "kid": kid}), &claims(json!({})));
        target.refuses(kid, &empty).await;
    }
    for kid in [json!(1), json!(["k1"]), json!({"k1": 1}), json!(null), json!(true)] {
        target.refuses(&kid.to_string(), &KEY.sign_with(&json!({"kid": kid}), &claims(json!({})))).await;
    }
    target.still_serves().await;
    assert!(provider.seen().iter().all(|got| got.target() == "/jwks"), "{:?}", provider.seen());
    assert!(provider.count() <= 3, "{}", provider.count());
}

/// A token that is good, without its signature, and that.
fn cut() -> (String, Vec<u8>) {
    let token = reader();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    (signed.to_owned(), unb64(signature))
}

#[tokio::test]
async fn an_ecdsa_signature_of_zeros() {
    let target = Target::new().await;
    let (signed, _) = cut();
    let order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let order: Vec<u8> = (0..32).map(|i| u8::from_str_radix(&order[2 * i..2 * i + 2], 16).unwrap()).collect();
    let (zero, mut one) = (vec![0; 32], vec![0; 32]);
    one[31] = 1;
    for r in [&zero, &one, &order] {
        for s in [&zero, &one, &order] {
            let signature = b64([r.as_slice(), s].concat());
            target.refuses(&signature, &format!("{signed}.{signature}")).await;
        }
    }
    for length in [1, 2, 8, 63, 65, 96, 132] {
        target.refuses(&format!("{length} zeros"), &format!("{signed}.{}", b64(vec![0; length]))).await;
    }
    // In DER: an empty sequence, and two zeros.
    for der in [&[0x30, 0][..], &[0x30, 6, 2, 1, 0, 2, 1, 0]] {
        target.refuses("zeros in DER", &format!("{signed}.{}", b64(der))).await;
    }
    target.still_serves().await;
}

#[tokio::test]
async fn an_ecdsa_signature_in_der() {
    let target = Target::new().await;
    let (signed, raw) = cut();
    target.accepts("as it should be", &format!("{signed}.{}", b64(&raw))).await;
    let integer = |number: &[u8]| {
        let number: Vec<u8> = number.iter().copied().skip_while(|byte| *byte == 0).collect();
        let sign = if number[0] > 127 { vec![0] } else { vec![] };
        [vec![2, (sign.len() + number.len()) as u8], sign, number].concat()
    };
    let (r, s) = raw.split_at(32);
    let body = [integer(r), integer(s)].concat();
    let der = [vec![0x30, body.len() as u8], body].concat();
    target.refuses("DER", &format!("{signed}.{}", b64(der))).await;
    for (what, signature) in [
        ("r alone", r.to_vec()),
        ("s before r", [s, r].concat()),
        ("a byte more", [&raw[..], &[0]].concat()),
        ("a byte before", [&[0], &raw[..]].concat()),
        ("twice", [&raw[..], &raw[..]].concat()),
        ("a byte less", raw[..63].to_vec()),
    ] {
        target.refuses(what, &format!("{signed}.{}", b64(signature))).await;
    }
    target.still_serves().await;
}

#[tokio::test]
async fn an_empty_or_foreign_signature() {
    let target = Target::new().await;
    let (signed, raw) = cut();
    target.refuses("empty", &format!("{signed}.")).await;
    target.refuses("left out", &signed).await;
    target.refuses("the payload again", &format!("{signed}.{}", signed.split('.').nth(1).unwrap())).await;
    let other = KEY.sign(&claims(json!({"groups": ["writers"]})));
    target.refuses("that of another token", &format!("{}.{}", other.rsplit_once('.').unwrap().0, b64(raw))).await;
    for place in [0, 20, 63] {
        let (signed, mut raw) = cut();
        raw[place] ^= 1;
        target.refuses("a bit of it", &format!("{signed}.{}", b64(raw))).await;
    }
    target.still_serves().await;
}

#[tokio::test]
async fn a_token_whose_key_was_removed_though_it_was_accepted_before() {
    let target = Target::new().await;
    let (old, next) = (reader(), Key::new("k2"));
    target.accepts("at first", &old).await;
    target.accepts("again, as it is remembered", &old).await;
    target.sidecar.setup.folder.write("jwks.json", next.set());
    target.sidecar.until_status(&next.token(&["readers"]), FINE, 200).await;
    target.passed.set(target.upstream.count());
    target.refuses("remembered", &old).await;
    target.refuses("of the same key and never seen", &KEY.token_of("caller-2", &["readers"], 600)).await;
    // Its name is given to another key.
    target.sidecar.setup.folder.write("jwks.json", Key::new("k1").set());
    target.sidecar.until_status(&next.token(&["readers"]), FINE, 401).await;
    target.passed.set(target.upstream.count());
    target.refuses("under its old name", &old).await;
    // And comes back: nothing was wrong with the token.
    target.sidecar.setup.folder.write("jwks.json", KEY.set());
    target.sidecar.until_status(&old, FINE, 200).await;
    target.passed.set(target.upstream.count());
    target.still_serves().await;
}
