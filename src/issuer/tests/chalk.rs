//! What Chalk's clients ask for: the same grant over HTTP and over gRPC.

use super::*;
use crate::dialect::chalk::proto::{GetTokenRequest, GetTokenResponse, Timestamp};
use crate::issuer::chalk::TokenRefused;

async fn world() -> World {
    World::with(|settings| settings.chalk_environment = Some("envmock1".to_owned())).await
}

fn asked(id: &str, secret: &str) -> GetTokenRequest {
    GetTokenRequest {
        client_id: id.to_owned(),
        client_secret: secret.to_owned(),
        grant_type: "client_credentials".to_owned(),
        ..Default::default()
    }
}

impl World {
    async fn rpc(&self, request: &GetTokenRequest, now: u64) -> Result<GetTokenResponse, TokenRefused> {
        let answer = self.issuer.get_token(request, &HeaderMap::new(), HERE, now).await;
        let shown = format!("{answer:?} {}", answer.as_ref().err().map(ToString::to_string).unwrap_or_default());
        let kept = [self.secret.expose(), &request.client_secret, answer.as_ref().map_or("", |a| &a.access_token)];
        for secret in kept.iter().filter(|secret| secret.len() > 3) {
            assert!(!shown.contains(secret), "{shown}");
        }
        answer
    }
}

#[tokio::test]
async fn both_ways_give_a_token_and_lead_to_us_alone() {
    let world = world().await;
    let now = unix_now();
    let [id, secret] = world.credentials();
    let reply = world.ask(Endpoint::Token, &[("grant_type", "client_credentials"), id, secret], now).await;
    let expires_at = time(now + 3600);
    let us = json!({"envmock1": URL});
    let whole = json!({
        "access_token": reply.body["access_token"], "token_type": "Bearer", "expires_in": 3600, "expires_at": expires_at,
        "api_server": URL, "primary_environment": "envmock1", "engines": us, "grpc_engines": us,
        "environment_id_to_name": {"envmock1": "envmock1"},
    });
    assert_eq!(reply.body, whole);
    let answer = world.rpc(&asked("svc", world.secret.expose()), now).await.unwrap();
    let map = |value: &str| std::collections::BTreeMap::from([("envmock1".to_owned(), value.to_owned())]);
    let whole = GetTokenResponse {
        access_token: answer.access_token.clone(),
        token_type: "Bearer".to_owned(),
        expires_in: 3600,
        expires_at: Some(Timestamp { seconds: i64::try_from(now + 3600).unwrap(), nanos: 0 }),
        api_server: URL.to_owned(),
        primary_environment: Some("envmock1".to_owned()),
        engines: map(URL),
        grpc_engines: map(URL),
        environment_id_to_name: map("envmock1"),
        ..Default::default()
    };
    assert!(answer == whole, "{answer:?}");
    for token in [reply.body["access_token"].as_str().unwrap(), &answer.access_token] {
        assert_eq!((world.standing(token), &claims(token)["sub"]), (Standing::Good, &json!("svc")));
    }
    // A refreshed one leads to us too; what an API key gets is in a form of its own.
    let (_, refresh) = world.pair(now).await;
    let pairs = [("grant_type", "refresh_token"), ("refresh_token", &*refresh), id, secret];
    let reply = world.ask(Endpoint::Token, &pairs, now).await;
    assert_eq!((&reply.body["engines"], &reply.body["expires_at"]), (&us, &json!(expires_at)), "{}", reply.status);
    assert_eq!(reply.body.as_object().unwrap().len(), 10);
}

fn time(seconds: u64) -> String {
    clients::time::shown(seconds).unwrap()
}

#[tokio::test]
async fn without_the_dialect_a_token_comes_alone() {
    let world = World::start().await;
    let [id, secret] = world.credentials();
    let reply = world.ask(Endpoint::Token, &[("grant_type", "client_credentials"), id, secret], unix_now()).await;
    let members: Vec<&String> = reply.body.as_object().unwrap().keys().collect();
    assert_eq!(members, ["access_token", "expires_in", "token_type"]);
}

#[tokio::test]
async fn what_gets_no_token_over_grpc() {
    let world = world().await;
    let now = unix_now();
    let secret = world.secret.expose();
    let refused = async |request: GetTokenRequest| world.rpc(&request, now).await.unwrap_err();
    let grant = TokenRefused::Request("the grant is client_credentials");
    for other in ["", "refresh_token", "CLIENT_CREDENTIALS", secret] {
        assert_eq!(refused(GetTokenRequest { grant_type: other.to_owned(), ..asked("svc", secret) }).await, grant);
    }
    for (id, given) in [("svc", "wrong"), ("svc", ""), ("", secret), ("nobody", secret), ("svc ", secret)] {
        assert_eq!(refused(asked(id, given)).await, TokenRefused::Client, "{id}");
    }
    let long = TokenRefused::Request("the credentials are too long");
    assert_eq!(refused(asked(&"x".repeat(20_000), "wrong")).await, long);
    // One credential a request, whatever it is.
    for header in ["authorization", "x-api-key"] {
        let headers = [(HeaderName::from_static(header), HeaderValue::from_static("x"))].into_iter().collect();
        let answer = world.issuer.get_token(&asked("svc", secret), &headers, HERE, now).await;
        let why = TokenRefused::Request("more than one way of client authentication");
        assert!(answer.as_ref().err() == Some(&why), "{answer:?}");
    }
    world.issuer.use_clients(world.clients(", disabled: true"));
    assert_eq!(refused(asked("svc", secret)).await, TokenRefused::Client);
}

#[tokio::test]
async fn attempts_count_together_and_slow_hashes_are_verified() {
    let world = world().await;
    let now = unix_now() / 60 * 60;
    let brought = world.rpc(&asked("brought", "correct horse battery"), now).await.unwrap();
    assert_eq!(claims(&brought.access_token)["sub"], "brought");
    let wrong = [("grant_type", "client_credentials"), ("client_id", "brought"), ("client_secret", "wrong")];
    for _ in 0..5 {
        assert_eq!(world.ask(Endpoint::Token, &wrong, now).await.status, 401);
        assert_eq!(world.rpc(&asked("brought", "wrong"), now).await.unwrap_err(), TokenRefused::Client);
    }
    assert_eq!(world.ask(Endpoint::Token, &wrong, now).await.status, 429);
    let over = world.rpc(&asked("brought", "wrong"), now).await.unwrap_err();
    assert!(matches!(over, TokenRefused::TooMany { retry_after: 60 }), "{over:?}");
    assert_eq!(over.to_string(), "client authentication failed, too often by now");
    // A right secret is never refused for it.
    assert!(world.rpc(&asked("brought", "correct horse battery"), now).await.is_ok());
}
