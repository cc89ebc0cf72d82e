//! Two at once.

use serde_json::{Value, json};

use crate::issuer::{World, pair, part};
use crate::support::client::{H2, request};
use crate::support::sidecar::FINE;
use crate::support::until;

const TASKS: usize = 50;

fn body(token: &str) -> String {
    json!({"refresh_token": token}).to_string()
}

/// How often a token of these could be used now: as its own client is told.
async fn newest(world: &World, tokens: &[String]) -> usize {
    let own = [("client_id", "svc"), ("client_secret", world.secrets.svc.expose())];
    let mut active = 0;
    for token in tokens {
        let told = world.form("/oauth/introspect", &[own[0], own[1], ("token", token)]).await;
        active += usize::from(told.json()["active"] == json!(true));
    }
    active
}

#[tokio::test]
async fn of_fifty_refreshes_of_one_token_at_once_one_successor_is_left() {
    let world = World::start().await;
    for http2 in [false, true] {
        let (_, refresh) = world.pair().await;
        let shared = std::sync::Arc::new(H2::connect(world.sidecar.data).await);
        let tasks: Vec<_> = (0..TASKS)
            .map(|_| {
                let (to, body, shared) = (world.sidecar.data, body(&refresh), std::sync::Arc::clone(&shared));
                tokio::spawn(async move {
                    let content = [("content-type", "application/json")];
                    if http2 {
                        return shared.send("POST", "/api/v1/auth/refresh", &content, body).await;
                    }
                    let headers = "content-type: application/json\r\n";
                    crate::support::client::ask(to, request("POST", "/api/v1/auth/refresh", headers, body)).await
                })
            })
            .collect();
        let mut pairs = Vec::new();
        for task in tasks {
            // They are within the ten seconds, so each is a repeat of the first.
            pairs.push(pair(&task.await.unwrap()));
        }
        let (access, mut tokens): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        assert_eq!(newest(&world, &tokens).await, 1, "http2 {http2}");
        assert_eq!(world.status(&access[0]).await, 200);
        tokens.sort();
        tokens.dedup();
        assert_eq!(tokens.len(), TASKS);
        // One of the others comes up: somebody has what he should not, and all of it ends.
        let mut stale = None;
        for token in &tokens {
            if newest(&world, std::slice::from_ref(token)).await == 0 {
                stale = Some(token);
                break;
            }
        }
        world.refresh(stale.unwrap()).await.fails(401, "INVALID_REFRESH_TOKEN");
        assert_eq!(newest(&world, &tokens).await, 0);
        for token in &access {
            assert_eq!(world.status(token).await, 401);
        }
    }
}

#[tokio::test]
async fn nothing_of_a_refresh_that_is_under_way_outlives_a_revocation() {
    let world = World::start().await;
    let mut overtaken = [0, 0];
    for round in 0..30 {
        let (first, refresh) = world.pair().await;
        let own = [("client_id", "svc"), ("client_secret", world.secrets.svc.expose())];
        let pairs = [own[0], own[1], ("token", &*refresh)];
        let revoke = world.form("/oauth/revoke", &pairs);
        // Sometimes the one begins first, sometimes the other.
        let (revoked, refreshed) = if round % 2 == 0 {
            tokio::join!(revoke, world.refresh(&refresh))
        } else {
            let (refreshed, revoked) = tokio::join!(world.refresh(&refresh), revoke);
            (revoked, refreshed)
        };
        assert_eq!(revoked.status, 200);
        assert_eq!(world.status(&first).await, 401);
        if refreshed.status == 200 {
            overtaken[0] += 1;
            let (access, next) = pair(&refreshed);
            assert_eq!(world.status(&access).await, 401, "round {round}");
            world.refresh(&next).await.fails(401, "INVALID_REFRESH_TOKEN");
        } else {
            overtaken[1] += 1;
            refreshed.fails(401, "INVALID_REFRESH_TOKEN");
        }
    }
    assert_eq!(overtaken.iter().sum::<i32>(), 30);
}

#[tokio::test]
async fn what_a_client_got_while_it_was_taken_out_is_worth_nothing() {
    let world = World::start().await;
    let (_, refresh) = world.pair().await;
    let secret = world.secrets.svc.expose().to_owned();
    let data = world.sidecar.data;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let hammer = tokio::spawn(async move {
        let connection = H2::connect(data).await;
        let mut tokens = Vec::new();
        let mut newest = refresh;
        let grant = format!("grant_type=client_credentials&client_id=svc&client_secret={secret}");
        let text = |value: &Value| value.as_str().map(str::to_owned);
        while !*stopped.borrow() {
            let form = [("content-type", "application/x-www-form-urlencoded")];
            let answer = connection.send("POST", "/oauth/token", &form, &grant).await;
            tokens.extend(text(&answer.json()["access_token"]));
            let json = [("content-type", "application/json")];
            let answer = connection.send("POST", "/api/v1/auth/refresh", &json, body(&newest)).await.json();
            tokens.extend(text(&answer["data"]["access_token"]));
            newest = text(&answer["data"]["refresh_token"]).unwrap_or(newest);
        }
        (tokens, newest)
    });
    until("a few tokens", async || {
        (world.sidecar.metric("tagwarden_requests_total{code=\"200\",route=\"/oauth/token\"}").await > 20.0)
            .then_some(())
    })
    .await;
    world.clients(&world.secrets.file(", disabled: true"));
    world.sidecar.until_metric("tagwarden_reloads_total{kind=\"clients\",result=\"ok\"}", 1.0).await;
    stop.send(true).unwrap();
    let (tokens, newest) = hammer.await.unwrap();
    assert!(tokens.len() > 20);
    // And when it is back.
    for back in [false, true] {
        if back {
            world.clients(&world.secrets.file(""));
            world.sidecar.until_metric("tagwarden_reloads_total{kind=\"clients\",result=\"ok\"}", 2.0).await;
        }
        let connection = H2::connect(data).await;
        for token in &tokens {
            assert_eq!(connection.query(token, FINE).await.status, 401, "back: {back}");
        }
        world.refresh(&newest).await.fails(401, "INVALID_REFRESH_TOKEN");
    }
}

#[tokio::test]
async fn every_token_of_a_change_of_keys_verifies() {
    let world = World::start().await;
    let keys = world.sidecar.setup.folder.path("keys");
    let first = std::fs::read_dir(&keys).unwrap().next().unwrap().unwrap().path();
    let hour_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    std::fs::File::options().append(true).open(&first).unwrap().set_modified(hour_ago).unwrap();
    let old = part(&world.token().await, 0)["kid"].clone();
    std::fs::write(keys.join("2.pem"), include_str!("../../../fixtures/signing-key.pem")).unwrap();
    until("a token by the new key", async || {
        let token = world.token().await;
        assert_eq!(world.status(&token).await, 200);
        (part(&token, 0)["kid"] != old).then_some(())
    })
    .await;
    // Whoever reads the set reads nothing but public members.
    let set = world.get("/.well-known/jwks.json").await;
    assert_eq!((set.header("cache-control"), set.header("set-cookie")), (Some("public, max-age=300"), None));
    for key in set.json()["keys"].as_array().unwrap() {
        let names: Vec<&String> = key.as_object().unwrap().keys().collect();
        assert_eq!(names, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
    }
}

#[tokio::test]
async fn a_connection_that_stays_open_is_no_better() {
    let world = World::start().await;
    let (token, (access, refresh)) = (world.token().await, world.pair().await);
    let open = H2::connect(world.sidecar.data).await;
    let keyed = [("x-api-key", world.secrets.svc_key.expose()), ("content-type", "application/json")];
    for token in [&token, &access] {
        // The second time it is cached.
        assert_eq!((open.query(token, FINE).await.status, open.query(token, FINE).await.status), (200, 200));
    }
    assert_eq!(open.send("POST", "/get-online-features", &keyed, FINE).await.status, 200);
    let own = [("client_id", "svc"), ("client_secret", world.secrets.svc.expose())];
    for revoked in [&token, &refresh] {
        assert_eq!(world.form("/oauth/revoke", &[own[0], own[1], ("token", revoked)]).await.status, 200);
    }
    for token in [&token, &access] {
        open.query(token, FINE).await.fails(401, "UNAUTHORIZED");
        let bearer = format!("Bearer {token}");
        let asked = open.send("GET", "/v1/who-am-i", &[("authorization", bearer.as_str())], "").await;
        assert_eq!(asked.fails(401, "UNAUTHORIZED"), "The access token is invalid");
    }
    world.clients(&world.secrets.file(", disabled: true"));
    world.sidecar.until_metric("tagwarden_reloads_total{kind=\"clients\",result=\"ok\"}", 1.0).await;
    open.send("POST", "/get-online-features", &keyed, FINE).await.fails(401, "UNAUTHORIZED");
}
