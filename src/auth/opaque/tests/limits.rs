//! How often the server is asked, and what happens when it fails.

use super::*;
use tokio::task::JoinSet;

#[tokio::test]
async fn a_good_answer_lasts_for_its_time_and_no_longer_than_exp() {
    let world = World::new(&active(json!({"exp": NOW + 20}))).await;
    let short = active(json!({"exp": NOW + 20}));
    for (answer, lasts) in [(short, 20), (active(json!({})), 30), (active(json!({"exp": NOW + 1000})), 30)] {
        world.provider.reply(200, &answer);
        let (token, before) = (format!("t{}", world.provider.hits()), world.provider.hits());
        for _ in 0..3 {
            assert_eq!(world.ask(&token).await, "accepted");
        }
        world.pass(lasts - 1);
        assert_eq!((world.ask(&token).await, world.provider.hits()), ("accepted", before + 1));
        world.pass(1);
        world.provider.reply(200, r#"{"active": false}"#);
        assert_eq!((world.ask(&token).await, world.provider.hits()), ("not active", before + 2));
    }
    let status = world.auth.opaque_status().unwrap();
    assert_eq!((status.hits, status.misses), (9, 6));
    assert_eq!(world.auth.cache_status().misses, 0);
}

#[tokio::test]
async fn the_time_is_looked_at_on_every_request() {
    let world = World::new(&active(json!({"exp": NOW + 20, "nbf": NOW}))).await;
    assert_eq!(world.ask(TOKEN).await, "accepted");
    for (millis, said) in [(19_999, "accepted"), (20_000, "expired"), (-30_000, "accepted"), (-30_001, "not valid yet")]
    {
        assert_eq!(reason(world.auth.authenticate(TOKEN, at(millis)).await), said, "{millis}");
    }
    assert_eq!(world.provider.hits(), 1);
}

#[tokio::test]
async fn a_bad_answer_lasts_for_its_own_time() {
    let world = World::new("").await;
    for (answer, said) in [
        (json!({"active": false}), "not active"),
        (json!({"active": true, "token_type": "Bearer", "exp": NOW - 1}), "expired"),
        (json!({"active": true, "typ": "Refresh"}), "not an access token"),
    ] {
        world.provider.reply(200, &answer.to_string());
        let (token, before) = (format!("t{}", world.provider.hits()), world.provider.hits());
        assert_eq!(world.ask(&token).await, said);
        world.provider.reply(200, &active(json!({})));
        world.pass(4);
        assert_eq!((world.ask(&token).await, world.provider.hits()), (said, before + 1));
        world.pass(1);
        assert_eq!((world.ask(&token).await, world.provider.hits()), ("accepted", before + 2));
    }
}

#[tokio::test]
async fn what_is_worth_nothing_drives_nothing_good_out_and_is_bounded() {
    let world = World::with(&active(json!({})), vec![], 1).await;
    assert_eq!(world.ask(TOKEN).await, "accepted");
    let opaque = world.auth.opaque.as_ref().unwrap();
    let later = (opaque.pace.clock)() + Duration::from_secs(60);
    for number in 0..3 * MAX_BAD {
        opaque.remember(TokenCache::key(&number.to_string()), &Err(invalid("not active")), later);
    }
    // The library rounds up, so that its parts are of one size.
    let (held, room) = (opaque.bad.len(), opaque.bad.capacity());
    assert!(held as u64 == room && (MAX_BAD..MAX_BAD + 200).contains(&held), "{held} of {room}");
    assert_eq!((world.ask(TOKEN).await, world.provider.hits()), ("accepted", 1));
}

#[tokio::test]
async fn with_no_room_every_request_asks() {
    let world = World::with(&active(json!({})), vec![], 0).await;
    for hits in 1..4 {
        assert_eq!((world.ask(TOKEN).await, world.provider.hits()), ("accepted", hits));
    }
}

/// So many requests with these tokens, under way.
fn asking(world: &World, tokens: impl Iterator<Item = String>) -> JoinSet<&'static str> {
    let mut all = JoinSet::new();
    for token in tokens {
        let auth = Arc::clone(&world.auth);
        all.spawn(async move { reason(ask(&auth, &token).await) });
    }
    all
}

fn flights(world: &World) -> usize {
    world.auth.opaque.as_ref().unwrap().flights().len()
}

#[tokio::test]
async fn a_hundred_requests_with_one_new_token_are_one_exchange() {
    let world = World::new(&active(json!({}))).await;
    world.provider.hold(true);
    let all = asking(&world, (0..100).map(|_| TOKEN.to_owned()));
    let misses = || world.auth.opaque_status().unwrap().misses;
    until(|| misses() == 100).await;
    world.provider.hold(false);
    assert_eq!(all.join_all().await, ["accepted"; 100]);
    assert_eq!((world.provider.hits(), flights(&world)), (1, 0));
}

#[tokio::test]
async fn who_goes_away_does_not_take_the_exchange_from_others() {
    let world = World::new(&active(json!({}))).await;
    world.provider.hold(true);
    let mut first = asking(&world, [TOKEN.to_owned()].into_iter());
    world.provider.wait_for_hits(1).await;
    first.shutdown().await;
    let second = asking(&world, [TOKEN.to_owned()].into_iter());
    until(|| world.auth.opaque_status().unwrap().misses == 2).await;
    world.provider.hold(false);
    assert_eq!(second.join_all().await, ["accepted"]);
    assert_eq!(world.provider.hits(), 1);
}

#[tokio::test]
async fn garbage_asks_about_so_many_tokens_at_once_and_no_more() {
    let world = World::new(&active(json!({}))).await;
    assert_eq!(world.ask("known").await, "accepted");
    world.provider.hold(true);
    let all = asking(&world, (0..MAX_EXCHANGES).map(|number| format!("garbage-{number}")));
    until(|| flights(&world) == MAX_EXCHANGES).await;
    // At once, without an exchange, and not remembered; what is known is served, and who waits for another's may.
    let more = Err(Refusal::KeysUnavailable { retry_after: FLOOR });
    assert_eq!(ask(&world.auth, "one-more").await.map(|_| ()), more);
    assert_eq!(world.ask("known").await, "accepted");
    let sharing = asking(&world, ["garbage-0".to_owned()].into_iter());
    world.provider.wait_for_hits(1 + MAX_EXCHANGES).await;
    world.provider.reply(200, r#"{"active": false}"#);
    world.provider.hold(false);
    assert_eq!(all.join_all().await, ["not active"; MAX_EXCHANGES]);
    assert_eq!(sharing.join_all().await, ["not active"]);
    assert_eq!((world.provider.hits(), flights(&world)), (1 + MAX_EXCHANGES, 0));
    world.provider.reply(200, &active(json!({})));
    assert_eq!(world.ask("one-more").await, "accepted");
}

#[tokio::test]
async fn a_server_that_fails_is_a_503_and_is_asked_again_a_second_later() {
    let world = World::new(&active(json!({}))).await;
    assert_eq!(world.ask("known").await, "accepted");
    let large = format!("{{\"active\":true,\"x\":\"{}\"}}", "x".repeat(64 * 1024));
    for (status, body) in [
        (500, "{\"active\":true}"),
        (503, ""),
        // Our secret is wrong, which says nothing of the token.
        (401, "{\"error\":\"invalid_client\"}"),
        (403, "{\"active\":false}"),
        (400, "{\"active\":false}"),
        (302, ""),
        (204, ""),
        (201, "{\"active\":true}"),
        (200, ""),
        (200, "[]"),
        (200, "true"),
        (200, "{\"active\":true"),
        (200, "{\"active\":false,\"active\":true}"),
        (200, "{\"active\":true,\"a\":{\"b\":1,\"b\":2}}"),
        (200, &*large),
    ] {
        world.provider.reply(status, body);
        let (token, before) = (format!("t{}", world.provider.hits()), world.provider.hits());
        let unavailable = Err(Refusal::KeysUnavailable { retry_after: Duration::from_secs(1) });
        assert_eq!(ask(&world.auth, &token).await.map(|_| ()), unavailable, "{status} {body:.40}");
        // Remembered for the floor alone.
        assert_eq!(world.ask(&token).await, "keys unavailable");
        assert_eq!(world.provider.hits(), before + 1, "{status} {body:.40}");
        assert_eq!(world.ask("known").await, "accepted");
        world.provider.reply(200, &active(json!({})));
        world.pass(1);
        assert_eq!((world.ask(&token).await, world.provider.hits()), ("accepted", before + 2));
    }
}

#[tokio::test]
async fn nobody_there_is_a_503() {
    let world = World::new("").await;
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut opaque = settings(&world.provider, &world.folder);
    let url = format!("http://{}/", gone.local_addr().unwrap());
    drop(gone);
    if let JudgeSettings::Introspection { url: at, .. } = &mut opaque.judge {
        *at = Url::parse(&url).unwrap();
    }
    let auth = Auth::load(None, vec![], Some(opaque), None, 1).unwrap();
    assert_eq!(reason(ask(&auth, TOKEN).await), "keys unavailable");
}

#[tokio::test]
async fn a_server_that_hangs_is_a_503_at_the_deadline() {
    let world = World::new("").await;
    world.provider.hold(true);
    let pace = Pace { deadline: Duration::from_millis(10), ..Pace::default() };
    let opaque = Some(settings(&world.provider, &world.folder));
    let auth = Auth::at_pace(vec![], Judges { opaque, own: None }, 1, &pace, None).unwrap();
    assert_eq!(reason(ask(&auth, TOKEN).await), "keys unavailable");
}
