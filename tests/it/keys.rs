//! Keys that are fetched (config.md, `auth`): what there is without them, and how long they last.

use crate::support::client::{Raw, query, request};
use crate::support::sidecar::{FINE, Setup, reader};
use crate::support::tokens::{ISSUER, KEY, Key};
use crate::support::upstream::{Act, Upstream};

fn fetching(upstream: &Upstream, provider: &Upstream) -> Setup {
    let mut setup = Setup::new(upstream);
    setup.keys = format!("{{jwks_url: \"{}/jwks\"}}", provider.url);
    setup
}

#[tokio::test]
async fn without_keys_it_is_not_ready_and_the_fault_is_ours() {
    let (upstream, provider) = (Upstream::start().await, Upstream::always(Act::answer("500 Oh", "", "")).await);
    let sidecar =
        fetching(&upstream, &provider).with("routes: [{path: /v1/open, methods: [GET], public: true}]").start().await;
    let (status, body) = sidecar.ready().await;
    assert_eq!(
        (status, &body["ready"], &body["checks"]["issuers_without_keys"][0]),
        (503, &false.into(), &ISSUER.into())
    );
    let answer = sidecar.query(&reader(), FINE).await;
    assert_eq!(answer.fails(503, "KEYS_UNAVAILABLE"), "Tokens cannot be verified right now, try again");
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait) && answer.header("www-authenticate").is_none(), "{answer:?}");
    // What is the token's own fault, and what needs no token, is answered as ever.
    sidecar.query("nonsense", FINE).await.fails(401, "UNAUTHORIZED");
    assert_eq!(sidecar.ask(request("GET", "/v1/open", "", "")).await.status, 200);
    assert!(sidecar.metric("tagwarden_tokens_total{result=\"keys_unavailable\"}").await >= 1.0);

    provider.turns_to(Act::json("200 OK", KEY.set()));
    sidecar.until_status(&reader(), FINE, 200).await;
    assert_eq!(sidecar.ready().await.0, 200);
}

#[tokio::test]
async fn keys_outlive_their_provider_and_a_new_one_is_fetched_when_it_is_first_seen() {
    let (upstream, provider) = (Upstream::start().await, Upstream::always(Act::json("200 OK", KEY.set())).await);
    let sidecar = fetching(&upstream, &provider).start().await;
    sidecar.until_status(&reader(), FINE, 200).await;
    let next = Key::new("k2");
    provider.turns_to(Act::json("200 OK", next.set()));
    sidecar.until_status(&next.token(&["readers"]), FINE, 200).await;
    sidecar.query(&reader(), FINE).await.fails(401, "UNAUTHORIZED");
    provider.turns_to(Act::Close);
    let fetched = provider.count();
    // A key that nobody has, again and again: neither refetched for each, nor the end of those that are there.
    let (stranger, mut raw) = (Key::new("k3"), Raw::connect(sidecar.data).await);
    for number in 0..50 {
        let token = stranger.token_of(&number.to_string(), &["readers"], 600);
        let status = raw.ask(query(&token, FINE)).await.status;
        assert!(status == 401 || status == 503, "{status}");
        assert_eq!(raw.ask(query(&next.token(&["readers"]), FINE)).await.status, 200);
    }
    assert!(provider.count() <= fetched + 10, "{} fetches", provider.count() - fetched);
    assert_eq!(sidecar.ready().await.0, 200);
}
