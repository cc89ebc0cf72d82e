//! Tokens that are no JWS, through the front door, against a server on a loopback port.

mod limits;
mod who_am_i;

use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::*;
use crate::auth::tests::support::*;
use crate::auth::{Auth, IssuerSettings, JudgeSettings, Judges, issuer_of, subject_of};
use crate::fetch::Url;

const TOKEN: &str = "canary-token+/~==";
const SECRET: &str = "canary:secret %&\u{e4}";

/// A server that introspects, and one Auth that asks it.
struct World {
    provider: Provider,
    auth: Arc<Auth>,
    clock: TestClock,
    folder: Folder,
}

fn settings(provider: &Provider, folder: &Folder) -> OpaqueSettings {
    OpaqueSettings {
        judge: JudgeSettings::Introspection {
            url: Url::parse(&format!("{}?tenant=1", provider.url)).unwrap(),
            issuer: provider.url.clone(),
            client_id: "the client/1".into(),
            secret_file: folder.path("secret"),
        },
        ttl: Duration::from_secs(30),
        negative_ttl: Duration::from_secs(5),
    }
}

fn active(more: Value) -> String {
    let mut answer = json!({"active": true, "sub": "someone", "token_type": "Bearer"});
    answer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    answer.to_string()
}

impl World {
    async fn new(answer: &str) -> World {
        World::with(answer, vec![usual()], 100).await
    }

    async fn with(answer: &str, issuers: Vec<IssuerSettings>, entries: u64) -> World {
        let (provider, folder, clock) = (Provider::new(answer.to_owned()).await, Folder::new(), TestClock::new());
        folder.write("secret", format!("{SECRET}\n"));
        let opaque = Some(settings(&provider, &folder));
        let auth = Auth::at_pace(issuers, Judges { opaque, own: None }, entries, &clock.pace(), None).unwrap();
        World { provider, auth, clock, folder }
    }

    async fn ask(&self, token: &str) -> &'static str {
        reason(ask(&self.auth, token).await)
    }

    /// What it says with this answer, of a token that it never saw.
    async fn told(&self, answer: Value) -> &'static str {
        self.provider.reply(200, &answer.to_string());
        self.ask(&format!("t{}", self.provider.hits())).await
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

#[tokio::test]
async fn the_request_is_that_of_rfc_7662_and_nothing_more() {
    let world = World::new(&active(json!({}))).await;
    assert_eq!(world.ask(TOKEN).await, "accepted");
    let (head, body) = world.provider.seen().remove(0);
    assert_eq!((head.method.as_str(), head.uri.to_string().as_str()), ("POST", "/jwks?tenant=1"));
    assert_eq!(body, "token=canary-token%2B%2F%7E%3D%3D&token_type_hint=access_token");
    // RFC 6749, 2.3.1: each part is form-encoded by itself, so the colon between them is the only one.
    let pair = STANDARD.encode("the+client%2F1:canary%3Asecret+%25%26%C3%A4");
    let headers: Vec<(&str, &str)> = head.headers.iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect();
    let host = world.provider.url.strip_prefix("http://").unwrap().strip_suffix("/jwks").unwrap();
    let basic = format!("Basic {pair}");
    let mut expected = vec![
        ("accept", "application/json"),
        ("authorization", &*basic),
        ("content-length", "62"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("host", host),
    ];
    let mut headers = headers;
    headers.sort_unstable();
    expected.sort_unstable();
    assert_eq!(headers, expected);
}

#[tokio::test]
async fn the_claims_are_those_of_the_answer() {
    let world =
        World::new(&active(json!({"client_id": "c", "groups": ["a", "b"], "scope": "x y", "nickname": null}))).await;
    let caller = ask(&world.auth, TOKEN).await.unwrap();
    let claims = json!({"active": true, "sub": "someone", "client_id": "c", "groups": ["a", "b"], "scope": "x y",
        "iss": world.provider.url, "token_type": "Bearer"});
    assert_eq!(json!(caller.claims()), claims);
    assert_eq!((issuer_of(&caller.claims()), subject_of(&caller.claims())), (&*world.provider.url, Some("someone")));
    // policy.md, Bindings: the answer's `iss` counts, whoever's it is.
    for issuer in ["https://elsewhere.example/", ISSUER] {
        world.provider.reply(200, &active(json!({"iss": issuer})));
        assert_eq!(issuer_of(&ask(&world.auth, &format!("t{}", issuer.len())).await.unwrap().claims()), issuer);
    }
    assert_eq!(world.told(json!({"active": true, "iss": ["x"]})).await, "iss not a string");
}

#[tokio::test]
async fn only_what_is_active_by_the_boolean_true_is_accepted() {
    let world = World::new("").await;
    for active in [json!(false), json!("true"), json!(1), json!([true]), json!(null)] {
        let said = world.told(json!({"active": active, "sub": "x", "token_type": "Bearer"})).await;
        assert_eq!(said, "not active", "{active}");
    }
    assert_eq!(world.told(json!({"sub": "x", "token_type": "Bearer"})).await, "not active");
    assert_eq!(world.told(json!({"active": true, "token_type": "Bearer"})).await, "accepted");
}

#[tokio::test]
async fn a_refresh_token_is_no_access_token() {
    let world = World::new("").await;
    for member in ["token_type", "token_use", "typ"] {
        for kind in ["Bearer", "bearer", "access_token", "at+jwt"] {
            assert_eq!(world.told(json!({"active": true, member: kind})).await, "accepted", "{member}: {kind}");
        }
        for kind in ["refresh_token", "Refresh", "refresh", "Offline", "id", "ID", "DPoP", "mac", ""] {
            assert_eq!(
                world.told(json!({"active": true, member: kind})).await,
                "not an access token",
                "{member}: {kind}"
            );
        }
        assert_eq!(world.told(json!({"active": true, member: ["bearer"]})).await, "not an access token");
    }
    let mixed = json!({"active": true, "token_type": "Bearer", "token_use": "refresh_token"});
    assert_eq!(world.told(mixed).await, "not an access token");
    // What oidc-provider 8 says of a refresh token; a null is nothing either.
    let unsaid = json!({"active": true, "sub": "alice", "client_id": "c", "exp": NOW + 60, "scope": "openid"});
    assert_eq!(world.told(unsaid).await, "of no kind that is said");
    assert_eq!(world.told(json!({"active": true, "token_type": null})).await, "of no kind that is said");
}

#[tokio::test]
async fn the_times_of_an_answer_hold() {
    let world = World::new("").await;
    for (claims, said) in [
        (json!({"exp": NOW + 1}), "accepted"),
        (json!({"exp": NOW}), "expired"),
        (json!({"exp": NOW - 10}), "expired"),
        (json!({"exp": null}), "accepted"),
        (json!({"exp": "2033"}), "exp not a time"),
        (json!({"exp": -1}), "exp not a time"),
        (json!({"nbf": NOW + 30}), "accepted"),
        (json!({"nbf": NOW + 31}), "not valid yet"),
        (json!({"nbf": {}}), "nbf not a time"),
        (json!({"cnf": {"jkt": "x"}}), "bound to a proof that was not shown"),
    ] {
        let mut answer = json!({"active": true, "token_type": "Bearer"});
        answer.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        assert_eq!(world.told(answer).await, said, "{claims}");
    }
}

#[tokio::test]
async fn a_jws_is_never_introspected() {
    let world = World::new(&active(json!({"iss": ISSUER}))).await;
    let good = token(claims(json!({})));
    let (header, rest) = good.split_once('.').unwrap();
    let forged = token_with(json!({"kid": "k1"}), claims(json!({})), "ES256", &TestKey::p256());
    assert_eq!(world.ask(&good).await, "accepted");
    assert_eq!(world.ask(&forged).await, "signature wrong");
    assert_eq!(world.ask(&token(claims(json!({"iss": "https://other.example/"})))).await, "issuer not known");
    assert_eq!(world.ask(&token(claims(json!({"exp": NOW - 100})))).await, "expired");
    assert_eq!(world.ask(&format!("{header}.x.y")).await, "payload not canonical base64url");
    assert_eq!(world.ask(&format!("{header}..")).await, "no signature");
    // What a lenient reader would still take for the same header.
    for header in [
        format!("{header}="),
        format!("{header}A"),
        format!("~{header}"),
        b64(" \n{}"),
        b64("{\"a\":1,\"a\":2}"),
        b64("{"),
    ] {
        let answer = world.ask(&format!("{header}.{rest}")).await;
        assert!(answer.starts_with("header not") || answer == "no algorithm", "{header}: {answer}");
    }
    assert_eq!(world.provider.hits(), 0);
    for opaque in
        ["a.b.c", &format!("{}.b.c", b64("[1]")), header, &format!("{header}.x"), &format!("{good}.x.y"), ".."]
    {
        let before = world.provider.hits();
        assert_eq!(world.ask(opaque).await, "accepted", "{opaque}");
        assert_eq!(world.provider.hits(), before + 1, "{opaque}");
    }
}

#[tokio::test]
async fn what_was_never_a_bearer_token_never_leaves() {
    let world = World::new(&active(json!({}))).await;
    for token in ["", "=", "a b", "a\r\nx: y", "\u{e4}", "a=b", "a%20", "a&token=b", "a\0"] {
        assert_eq!(world.ask(token).await, "not spelled as a bearer token", "{token:?}");
    }
    let long = "a".repeat(101);
    assert_eq!(reason(world.auth.authenticate_within(&long, 100, at(0), None).await), "longer than the limit");
    assert_eq!(world.provider.hits(), 0);
    assert_eq!(reason(world.auth.authenticate_within(&long, 101, at(0), None).await), "accepted");
}

#[tokio::test]
async fn without_a_judge_they_are_refused_as_ever() {
    assert_eq!(refused(TOKEN).await, "not three parts");
}

#[tokio::test]
async fn the_secret_reloads_and_a_bad_one_changes_nothing() {
    let world = World::new(&active(json!({}))).await;
    let path = world.folder.path("secret");
    assert_eq!(world.auth.files(), vec![path.clone()]);
    let reload = || world.auth.reload_files().remove(0);
    let sent = || world.provider.seen().last().unwrap().0.headers["authorization"].to_str().unwrap().to_owned();
    let basic = |secret: &str| format!("Basic {}", STANDARD.encode(format!("the+client%2F1:{secret}")));
    assert_eq!(reload(), (path.clone(), Ok(false)));
    for (text, secret) in [("next\r\n", "next"), ("two \n\n", "two+%0A"), ("other", "other")] {
        world.folder.write("secret", text);
        assert_eq!(reload().1, Ok(true));
        world.ask(secret).await;
        world.ask(&format!("{}", secret.len())).await;
        assert_eq!(sent(), basic(secret));
    }
    for (text, why) in [("", "it is empty"), ("\n", "it is empty")] {
        world.folder.write("secret", text);
        let error = reload().1.unwrap_err().to_string();
        assert_eq!(error, format!("secret file `{}` of token introspection is not usable: {why}", path.display()));
    }
    world.ask("last").await;
    assert_eq!(sent(), basic("other"));
    std::fs::remove_file(&path).unwrap();
    let opaque = Some(settings(&world.provider, &world.folder));
    let error = Auth::load(None, vec![], opaque, None, 1).unwrap_err().to_string();
    let why = "it cannot be read: entity not found";
    assert_eq!(error, format!("secret file `{}` of token introspection is not usable: {why}", path.display()));
}

#[tokio::test]
async fn another_server_knows_nothing_of_what_this_one_said() {
    let world = World::new(&active(json!({}))).await;
    world.ask(TOKEN).await;
    let opaque = settings(&world.provider, &world.folder);
    // The same configuration keeps what was said.
    let same = Auth::load(Some(&world.auth), vec![usual()], Some(opaque.clone()), None, 100).unwrap();
    assert_eq!((reason(ask(&same, TOKEN).await), world.provider.hits()), ("accepted", 1));
    let other = Provider::new(json!({"active": false}).to_string()).await;
    let elsewhere = Auth::load(Some(&same), vec![usual()], Some(settings(&other, &world.folder)), None, 100).unwrap();
    assert_eq!((reason(ask(&elsewhere, TOKEN).await), other.hits()), ("not active", 1));
    let none = Auth::load(Some(&same), vec![usual()], None, None, 100).unwrap();
    assert_eq!(reason(ask(&none, TOKEN).await), "not three parts");
}

#[test]
fn a_judge_shows_no_secret() {
    let settings = OpaqueSettings {
        judge: JudgeSettings::Introspection {
            url: Url::parse("https://idp.example/i?secret=canary").unwrap(),
            issuer: "https://idp.example/i".into(),
            client_id: "c".into(),
            secret_file: "s".into(),
        },
        ttl: Duration::ZERO,
        negative_ttl: Duration::ZERO,
    };
    assert!(!format!("{settings:?}").contains("canary"), "{settings:?}");
}
