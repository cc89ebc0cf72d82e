//! Faults of reloads and limits that were found once and mended: each test failed before.

use crate::support::process::Process;
use crate::support::sidecar::{FINE, Setup, reader};
use crate::support::tokens::{KEY, Key};
use crate::support::upstream::{Act, Upstream};

/// A zero is passed over without a word, and the default holds.
#[test]
fn a_limit_of_nothing_is_a_mistake() {
    for limit in ["connections", "inflight"] {
        let setup = Setup::at("http://127.0.0.1:9").with(&format!("limits: {{{limit}: 0}}"));
        let said = tagwarden::live::read_config(&setup.write()).unwrap_err().to_string();
        assert!(said.contains("error[") && said.contains(&format!("`{limit}`")), "{said}");
    }
}

/// A new configuration forgets the keys that were fetched, and asks again at once or not at all.
#[tokio::test]
async fn keys_that_were_fetched_outlive_a_reload_of_the_configuration() {
    let (upstream, provider) = (Upstream::start().await, Upstream::always(Act::json("200 OK", KEY.set())).await);
    let mut setup = Setup::new(&upstream);
    setup.keys = format!("{{jwks_url: \"{}/jwks\"}}", provider.url);
    let sidecar = setup.start().await;
    sidecar.until_status(&reader(), FINE, 200).await;
    provider.turns_to(Act::answer("500 Oh", "", ""));
    let routes = "routes: [{path: /v1/open, methods: [GET], public: true}]\n";
    sidecar.setup.folder.write("tagwarden.yaml", sidecar.setup.text() + routes);
    sidecar.until_metric("tagwarden_reloads_total{kind=\"config\",result=\"ok\"}", 1.0).await;
    assert_eq!(sidecar.query(&reader(), FINE).await.status, 200);
    assert_eq!(sidecar.ready().await.0, 200);
}

/// Key files that are named no longer are stale for ever; so are certificates and files of the upstream.
#[tokio::test]
async fn a_configuration_that_names_good_files_ends_what_was_said_of_bad_ones() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::new(&upstream).start().await;
    let (folder, other) = (&sidecar.setup.folder, Key::new("k2"));
    folder.write("jwks.json", "nonsense");
    sidecar.until_state("keys", "stale: ").await;
    folder.write("other.json", other.set());
    folder.write("tagwarden.yaml", sidecar.setup.text().replace("jwks.json", "other.json"));
    sidecar.until_status(&other.token(&["readers"]), FINE, 200).await;
    sidecar.until_state("keys", "ok").await;
    assert_eq!(sidecar.metric("tagwarden_snapshot_stale{kind=\"keys\"}").await, 0.0);
}

/// Routes for roles that nobody can hold, and paths that look like patterns, were taken without a word.
#[tokio::test]
async fn routes_that_fit_nobody_or_nothing_are_told_at_the_start_and_at_a_reload() {
    let upstream = Upstream::start().await;
    let setup = Setup::new(&upstream)
        .with("routes: [{path: /v1/items, methods: [GET], roles: [reader, raeder]}, {path: '/v1/*', methods: [GET]}]");
    let config = setup.write();
    let mut process = Process::serve(&config, &[]).await;
    let line = process.logged("route `/v1/items` is for role `raeder`, which the policy does not define").await;
    assert!(line.contains("WARN") && line.contains("tagwarden.yaml:"), "{line}");
    process.logged("route `/v1/*` is no pattern: only this very path is like it").await;
    std::fs::write(&config, setup.text().replace("raeder", "raider")).unwrap();
    process.logged("is for role `raider`, which the policy does not define").await;
    assert!(!process.log().contains("role `reader`"), "{}", process.log());
}

/// Of two routes for one request the first counted, and the second was never looked at.
#[test]
fn a_route_that_stands_twice_is_a_mistake() {
    let twice =
        "routes: [{path: /a, methods: [GET], roles: [r]}, {path: /b, methods: [GET]}, {path: /a, methods: [GET]}]";
    let setup = Setup::at("http://127.0.0.1:9").with(twice);
    let said = tagwarden::live::read_config(&setup.write()).unwrap_err().to_string();
    assert!(said.contains("error[duplicate-name]: `GET` of route `/a` stands twice, first in line "), "{said}");
    let other = Setup::at("http://127.0.0.1:9").with(&twice.replacen("[GET]", "[POST]", 1));
    tagwarden::live::read_config(&other.write()).unwrap();
}
