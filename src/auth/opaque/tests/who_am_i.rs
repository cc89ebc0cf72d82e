//! The upstream as the judge (Chalk).

use super::*;
use crate::config::{Dialect, Target, Upstream, UpstreamAuthorization, UpstreamTls};

const FINE: &str = r#"{"user": "u1", "environment_id": "e1", "team_id": "t1", "permissions": ["query.online"]}"#;

fn who_am_i(url: &str, target: Target) -> OpaqueSettings {
    let upstream = Upstream {
        url: url.to_owned(),
        target,
        dialect: Dialect::Chalk,
        engine: None,
        tls: UpstreamTls::default(),
        connect_timeout: Duration::from_secs(60),
        timeout: Duration::from_secs(60),
        authorization: UpstreamAuthorization::Drop,
    };
    OpaqueSettings {
        judge: JudgeSettings::WhoAmI {
            team_id: "t1".into(),
            environment_id: "e1".into(),
            upstream: Box::new(upstream),
        },
        ttl: Duration::from_secs(30),
        negative_ttl: Duration::from_secs(5),
    }
}

async fn world(answer: &str) -> World {
    let (provider, clock) = (Provider::new(answer.to_owned()).await, TestClock::new());
    let url = provider.url.strip_suffix("/jwks").unwrap();
    let port = url.rsplit(':').next().unwrap().parse().unwrap();
    let target = Target::Tcp { tls: false, host: "127.0.0.1".into(), port };
    let auth = Auth::at_pace(
        vec![usual()],
        Judges { opaque: Some(who_am_i(url, target)), own: None },
        100,
        &clock.pace(),
        None,
    )
    .unwrap();
    World { provider, auth, clock, folder: Folder::new() }
}

#[tokio::test]
async fn the_upstream_is_asked_with_the_token_alone_and_its_members_are_claims() {
    let world = world(FINE).await;
    let caller = ask(&world.auth, TOKEN).await.unwrap();
    let (head, body) = world.provider.seen().remove(0);
    assert_eq!((head.method.as_str(), head.uri.to_string().as_str(), &*body), ("GET", "/v1/who-am-i", ""));
    let mut headers: Vec<(&str, &str)> = head.headers.iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect();
    headers.sort_unstable();
    let url = world.provider.url.strip_suffix("/jwks").unwrap();
    let bearer = format!("Bearer {TOKEN}");
    assert_eq!(headers, [("authorization", &*bearer), ("host", url.strip_prefix("http://").unwrap())]);
    let claims = json!({"iss": url, "sub": "u1", "user": "u1", "environment_id": "e1", "team_id": "t1",
        "permissions": ["query.online"]});
    assert_eq!(json!(caller.claims()), claims);
    assert_eq!((world.ask(TOKEN).await, world.provider.hits()), ("accepted", 1));
}

#[tokio::test]
async fn it_speaks_for_its_own_team_and_environment_and_as_itself() {
    let world = world("").await;
    for (answer, said) in [
        (json!({"user": "u", "team_id": "t2", "environment_id": "e1"}), "of another team"),
        (json!({"user": "u", "team_id": null, "environment_id": "e1"}), "of another team"),
        (json!({"user": "u", "environment_id": "e1"}), "of another team"),
        (json!({"user": "u", "team_id": ["t1"], "environment_id": "e1"}), "of another team"),
        (json!({"user": "u", "team_id": "t1", "environment_id": "e2"}), "of another environment"),
        (json!({"user": "u", "team_id": "t1", "environment_id": null}), "of another environment"),
        (json!({"user": "u", "team_id": "t1"}), "of another environment"),
        (
            json!({"user": "u", "team_id": "t1", "environment_id": "e1", "cnf": {}}),
            "bound to a proof that was not shown",
        ),
        (json!({"user": "u", "team_id": "t1", "environment_id": "e1", "exp": NOW}), "expired"),
        (json!({"user": "u", "team_id": "t1", "environment_id": "e1"}), "accepted"),
    ] {
        assert_eq!(world.told(answer.clone()).await, said, "{answer}");
    }
    let other = json!({"user": "u", "team_id": "t1", "environment_id": "e1", "iss": ISSUER, "sub": "s"});
    world.provider.reply(200, &other.to_string());
    let caller = ask(&world.auth, "impostor").await.unwrap();
    let url = world.provider.url.strip_suffix("/jwks").unwrap();
    assert_eq!((issuer_of(&caller.claims()), subject_of(&caller.claims())), (url, Some("s")));
    let before = world.provider.hits();
    assert_eq!(world.ask(&token(claims(json!({"iss": "https://other.example/"})))).await, "issuer not known");
    assert_eq!(world.provider.hits(), before);
}

#[tokio::test]
async fn a_token_that_it_refuses_is_invalid_and_a_failure_of_its_own_is_not() {
    let world = world("").await;
    for (status, said) in [
        (401, "not known to the upstream"),
        (403, "not known to the upstream"),
        (404, "keys unavailable"),
        (302, "keys unavailable"),
        (429, "keys unavailable"),
        (500, "keys unavailable"),
    ] {
        world.provider.reply(status, FINE);
        let (token, before) = (format!("t{}", world.provider.hits()), world.provider.hits());
        assert_eq!(world.ask(&token).await, said, "{status}");
        assert_eq!((world.ask(&token).await, world.provider.hits()), (said, before + 1), "{status}");
    }
    for body in ["", "[]", &format!("{{\"team_id\":\"{}\"}}", "t".repeat(64 * 1024)), "{\"user\":1,\"user\":2}"] {
        world.provider.reply(200, body);
        assert_eq!(world.ask(&format!("t{}", world.provider.hits())).await, "keys unavailable", "{body:.40}");
    }
    world.provider.reply(200, FINE);
    world.pass(5);
    assert_eq!(world.ask("t0").await, "accepted");
}

#[tokio::test]
async fn certificates_that_cannot_be_used_are_told_with_the_upstream() {
    let folder = Folder::new();
    let target = Target::Tcp { tls: true, host: "localhost".into(), port: 1 };
    let mut opaque = who_am_i("https://localhost:1", target);
    if let JudgeSettings::WhoAmI { upstream, .. } = &mut opaque.judge {
        upstream.tls.ca = Some(folder.write("ca.crt", "none"));
    }
    let error = Auth::load(None, vec![], Some(opaque), None, 1).unwrap_err().to_string();
    let why = format!("`{}` holds no certificate in PEM form", folder.path("ca.crt").display());
    assert_eq!(error, format!("`https://localhost:1` cannot be asked for `/v1/who-am-i`: {why}"));
}
