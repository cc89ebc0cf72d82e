//! The end of tokens, and what is said of them (RFC 7009, RFC 7662).

use serde_json::json;

use super::{World, claims, pair};

type Pairs<'a> = [(&'a str, &'a str); 2];

fn svc(world: &World) -> Pairs<'_> {
    [("client_id", "svc"), ("client_secret", world.secrets.svc.expose())]
}

fn other(world: &World) -> Pairs<'_> {
    [("client_id", "other"), ("client_secret", world.secrets.other.expose())]
}

async fn call(world: &World, path: &str, client: Pairs<'_>, token: &str) -> (u16, serde_json::Value) {
    let answer = world.form(path, &[client[0], client[1], ("token", token)]).await;
    (answer.status, answer.json())
}

#[tokio::test]
async fn an_access_token_is_revoked_by_its_own_client_alone() {
    let world = World::start().await;
    let (token, bystander) = (world.token().await, world.token().await);
    assert_eq!(world.status(&token).await, 200);
    assert_eq!(call(&world, "/oauth/revoke", other(&world), &token).await, (200, json!({})));
    assert_eq!(world.status(&token).await, 200);
    assert_eq!(call(&world, "/oauth/revoke", svc(&world), &token).await, (200, json!({})));
    assert_eq!((world.status(&token).await, world.status(&bystander).await), (401, 200));
    assert_eq!(call(&world, "/oauth/revoke", svc(&world), "garbage").await, (200, json!({})));
    let answer = world.form("/oauth/revoke", &[("token", &token)]).await;
    assert_eq!((answer.status, answer.json()["error"].as_str()), (401, Some("invalid_client")));
    let answer = world.form("/oauth/revoke", &svc(&world)).await;
    assert_eq!((answer.status, answer.json()["error"].as_str()), (400, Some("invalid_request")));
}

#[tokio::test]
async fn a_refresh_token_is_revoked_with_its_family() {
    let world = World::start().await;
    let (access, refresh) = world.pair().await;
    let (second, newest) = pair(&world.refresh(&refresh).await);
    assert_eq!(call(&world, "/oauth/revoke", other(&world), &newest).await, (200, json!({})));
    assert_eq!(world.status(&second).await, 200);
    assert_eq!(call(&world, "/oauth/revoke", svc(&world), &newest).await, (200, json!({})));
    assert_eq!((world.status(&access).await, world.status(&second).await), (401, 401));
    world.refresh(&newest).await.fails(401, "INVALID_REFRESH_TOKEN");
}

#[tokio::test]
async fn introspection_tells_a_client_of_its_own_tokens() {
    let world = World::start().await;
    let token = world.token().await;
    let (status, told) = call(&world, "/oauth/introspect", svc(&world), &token).await;
    let mut whole = claims(&token);
    whole["active"] = json!(true);
    whole["token_type"] = json!("Bearer");
    assert_eq!((status, told), (200, whole));
    let inactive = (200, json!({"active": false}));
    assert_eq!(call(&world, "/oauth/introspect", other(&world), &token).await, inactive);
    assert_eq!(call(&world, "/oauth/introspect", svc(&world), "garbage").await, inactive);
    call(&world, "/oauth/revoke", svc(&world), &token).await;
    assert_eq!(call(&world, "/oauth/introspect", svc(&world), &token).await, inactive);

    let (_, refresh) = world.pair().await;
    let (_, told) = call(&world, "/oauth/introspect", svc(&world), &refresh).await;
    assert_eq!(
        (&told["active"], &told["client_id"], &told["token_type"]),
        (&json!(true), &json!("svc"), &json!("refresh_token"))
    );
    assert_eq!(call(&world, "/oauth/introspect", other(&world), &refresh).await, inactive);
    pair(&world.refresh(&refresh).await);
    assert_eq!(call(&world, "/oauth/introspect", svc(&world), &refresh).await, inactive);
    let answer = world.form("/oauth/introspect", &[("token", &token)]).await;
    assert_eq!((answer.status, answer.json()["error"].as_str()), (401, Some("invalid_client")));
}
