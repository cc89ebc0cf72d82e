//! Keys that the issuer's metadata names (OpenID Connect Discovery 1.0, 4; RFC 8414, 3), and the copy that outlives a restart.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::support::*;
use crate::auth::{Auth, IssuerSettings, KeySource, Refusal};

const OPENID: &str = "/.well-known/openid-configuration";

fn set(kid: &str) -> String {
    jwks(&[P256.jwk(json!({ "kid": kid }))])
}

/// The address of a provider without its path.
fn base(provider: &Provider) -> String {
    provider.url.strip_suffix("/jwks").unwrap().to_owned()
}

fn discovered(issuer: &str) -> IssuerSettings {
    IssuerSettings { issuer: issuer.to_owned(), ..settings(KeySource::Discovery) }
}

fn metadata(issuer: &str, jwks_uri: &str) -> String {
    json!({"issuer": issuer, "jwks_uri": jwks_uri, "token_endpoint": "http://127.0.0.1:1/"}).to_string()
}

fn auth(settings: IssuerSettings, pace: &TestClock) -> Arc<Auth> {
    Auth::with_pace(vec![settings], 1000, &pace.pace(), None).unwrap()
}

fn token(issuer: &str, kid: &str) -> String {
    token_with(json!({ "kid": kid }), claims(json!({ "iss": issuer })), "ES256", &P256)
}

/// Pages that are not set are 404.
async fn provider() -> Provider {
    let provider = Provider::new(String::new()).await;
    provider.reply(404, "");
    provider
}

#[tokio::test]
async fn openid_metadata_names_the_set() {
    for slash in ["", "/"] {
        let provider = provider().await;
        let issuer = format!("{}{slash}", base(&provider));
        provider.page(OPENID, 200, &metadata(&issuer, &format!("{}/keys", base(&provider))));
        provider.page("/keys", 200, &set("k1"));
        let auth = auth(discovered(&issuer), &TestClock::new());
        assert_eq!(reason(ask(&auth, &token(&issuer, "k1")).await), "accepted");
        let paths: Vec<(String, usize)> = provider.paths().into_iter().collect();
        assert_eq!(paths, [(OPENID.to_owned(), 1), ("/keys".to_owned(), 1)]);
    }
}

#[tokio::test]
async fn without_openid_metadata_that_of_oauth_is_read_between_host_and_path() {
    let provider = provider().await;
    let issuer = format!("{}/tenant/one", base(&provider));
    let oauth = "/.well-known/oauth-authorization-server/tenant/one";
    provider.page(oauth, 200, &metadata(&issuer, &format!("{}/keys", base(&provider))));
    provider.page("/keys", 200, &set("k1"));
    let auth = auth(discovered(&issuer), &TestClock::new());
    assert_eq!(reason(ask(&auth, &token(&issuer, "k1")).await), "accepted");
    let first = "/tenant/one/.well-known/openid-configuration";
    let asked: Vec<String> = provider.paths().into_keys().collect();
    assert_eq!(asked, [oauth, "/keys", first]);
}

#[tokio::test]
async fn metadata_that_is_not_the_issuers_own_gives_no_keys() {
    let provider = provider().await;
    let (issuer, keys) = (base(&provider), format!("{}/keys", base(&provider)));
    provider.page("/keys", 200, &set("k1"));
    let pages = [
        ("it is of another issuer", metadata("https://other.example", &keys)),
        ("it is of another issuer", metadata(&format!("{issuer}/"), &keys)),
        ("it names no `jwks_uri`", json!({ "issuer": issuer }).to_string()),
        ("it is no json object", "<html>".to_owned()),
        ("it is no json object", format!("{{\"issuer\":\"{issuer}\",\"issuer\":\"{issuer}\"}}")),
    ];
    for (why, page) in pages {
        provider.page(OPENID, 200, &page);
        let auth = auth(discovered(&issuer), &TestClock::new());
        let refusal = ask(&auth, &token(&issuer, "k1")).await.unwrap_err();
        assert!(matches!(refusal, Refusal::KeysUnavailable { .. }), "{why}: {refusal:?}");
    }
    assert_eq!(provider.paths().get("/keys"), None);
}

#[tokio::test]
async fn rotation_goes_through_metadata_too() {
    let provider = provider().await;
    let issuer = base(&provider);
    provider.page(OPENID, 200, &metadata(&issuer, &format!("{issuer}/old")));
    provider.page("/old", 200, &set("k1"));
    provider.page("/new", 200, &set("k2"));
    let clock = TestClock::new();
    let auth = auth(discovered(&issuer), &clock);
    assert_eq!(reason(ask(&auth, &token(&issuer, "k1")).await), "accepted");
    provider.page(OPENID, 200, &metadata(&issuer, &format!("{issuer}/new")));
    clock.advance(Duration::from_secs(11));
    assert_eq!(reason(ask(&auth, &token(&issuer, "k2")).await), "accepted");
    // And a failing document leaves the last good keys.
    provider.page(OPENID, 500, "");
    clock.advance(Duration::from_secs(11));
    assert_eq!(reason(ask(&auth, &token(&issuer, "k2")).await), "accepted");
}

#[test]
fn a_name_that_is_no_address_is_told() {
    let error = Auth::new(vec![discovered("idp")], 0).unwrap_err().to_string();
    assert!(error.starts_with("the keys of issuer `idp` cannot be fetched: "), "{error}");
}

/// A folder of one test.
fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("tagwarden-keys-{name}-{}", std::process::id()));
    std::fs::remove_dir_all(&folder).ok();
    folder
}

/// An issuer whose keys are kept there.
fn keeping(provider: &Provider, folder: &std::path::Path, stale: u64) -> IssuerSettings {
    IssuerSettings {
        keys_folder: Some(folder.to_owned()),
        stale_if_error: Duration::from_secs(stale),
        ..settings(KeySource::JwksUrl(provider.url.clone()))
    }
}

fn only_file(folder: &std::path::Path) -> PathBuf {
    let files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

#[tokio::test]
async fn keys_are_kept_over_a_restart_while_the_provider_is_down() {
    use std::os::unix::fs::PermissionsExt as _;
    let (provider, folder) = (Provider::new(set("k1")).await, folder("restart"));
    let first = auth(keeping(&provider, &folder, 3600), &TestClock::new());
    assert_eq!(reason(ask(&first, &token(ISSUER, "k1")).await), "accepted");
    let file = only_file(&folder);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    drop(first);

    provider.reply(503, "");
    let again = auth(keeping(&provider, &folder, 3600), &TestClock::new());
    let asked = provider.hits();
    assert_eq!(reason(ask(&again, &token(ISSUER, "k1")).await), "accepted");
    assert_eq!(provider.hits(), asked, "nobody is asked for what is here");
    let status = again.status().remove(0);
    assert_eq!((status.keys, status.fetches_ok), (1, 0));
    // What the provider says now counts more.
    provider.reply(200, &set("k2"));
    assert_eq!(reason(ask(&again, &token(ISSUER, "k2")).await), "accepted");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn what_is_kept_counts_for_its_issuer_and_its_time_alone() {
    let (provider, folder) = (Provider::new(set("k1")).await, folder("time"));
    let first = auth(keeping(&provider, &folder, 3600), &TestClock::new());
    assert_eq!(reason(ask(&first, &token(ISSUER, "k1")).await), "accepted");
    provider.reply(503, "");
    let file = only_file(&folder);
    let kept: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let now = kept["fetched"].as_u64().unwrap();
    let with = |name: &str, value: Value| {
        let mut changed = kept.clone();
        changed[name] = value;
        changed.to_string()
    };
    // 5 minutes fresh, an hour stale.
    let cases = [
        (with("fetched", json!(now - 3700)), true),
        (with("fetched", json!(now - 4000)), false),
        // A clock that was set back a little, and one that was years ahead when they were kept.
        (with("fetched", json!(now + 200)), true),
        (with("fetched", json!(now + 1000)), false),
        (with("fetched", json!(u64::MAX)), false),
        (with("issuer", json!("https://other.example/")), false),
        (with("set", json!({"keys": []})), false),
        ("{".to_owned(), false),
        (String::new(), false),
    ];
    for (text, counts) in cases {
        std::fs::write(&file, &text).unwrap();
        let again = auth(keeping(&provider, &folder, 3600), &TestClock::new());
        let token = token(ISSUER, "k1");
        let answer = ask(&again, &token).await;
        match counts {
            true => assert_eq!(reason(answer), "accepted", "{text}"),
            false => assert!(matches!(answer, Err(Refusal::KeysUnavailable { .. })), "{text}"),
        }
    }
    // It ends when its time is over, not a new time after each restart.
    std::fs::write(&file, with("fetched", json!(now - 3700))).unwrap();
    let clock = TestClock::new();
    let again = auth(keeping(&provider, &folder, 3600), &clock);
    clock.advance(Duration::from_secs(300));
    assert!(matches!(ask(&again, &token(ISSUER, "k1")).await, Err(Refusal::KeysUnavailable { .. })));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_changes_nothing_else() {
    let provider = Provider::new(set("k1")).await;
    let auth = auth(keeping(&provider, std::path::Path::new("/proc/nowhere"), 60), &TestClock::new());
    assert_eq!(reason(ask(&auth, &token(ISSUER, "k1")).await), "accepted");
}

#[tokio::test]
async fn a_renewed_set_of_issuers_keeps_the_keys_of_those_that_stay() {
    let provider = Provider::new(set("k1")).await;
    let stays = settings(KeySource::JwksUrl(provider.url.clone()));
    let first = Auth::new(vec![stays.clone()], 10).unwrap();
    assert_eq!(reason(ask(&first, &token(ISSUER, "k1")).await), "accepted");
    provider.reply(503, "");
    let other = IssuerSettings { issuer: "https://other.example/".into(), ..usual() };
    let looser = IssuerSettings { leeway: Duration::from_secs(5), ..stays.clone() };
    let renewed = Auth::load(Some(&first), vec![other, looser], None, None, 10).unwrap();
    drop(first);
    assert_eq!(reason(ask(&renewed, &token(ISSUER, "k1")).await), "accepted");
    assert_eq!(provider.hits(), 1);
    // Keys that are to come from elsewhere are asked for there.
    let elsewhere = IssuerSettings { keys: KeySource::JwksUrl(format!("{}2", provider.url)), ..stays };
    let renewed = Auth::load(Some(&renewed), vec![elsewhere], None, None, 10).unwrap();
    assert!(matches!(ask(&renewed, &token(ISSUER, "k1")).await, Err(Refusal::KeysUnavailable { .. })));
}
