//! Attacks that need a clock or a store of their own.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use super::endpoints::{Asked, Endpoint, Refused, Reply};
use super::revocations::KEPT;
use super::secret::Secret;
use super::*;
use crate::config::RedisUrl;
use crate::diagnostic::SourceFile;

mod chalk;

const URL: &str = "https://tokens.example";
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// argon2id of `correct horse battery`, cheap.
const CHEAP: &str = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$3Dt8JW3mbMBz5QplGZHLmfeouRYPmZYEE80zR3bE9AQ";

struct World {
    folder: PathBuf,
    issuer: Arc<Issuer>,
    secret: Secret,
    key: Secret,
}

impl World {
    async fn start() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut BuiltInIssuer)) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let name = format!("tagwarden-issuer-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        SigningKeys::read_or_make(&folder.join("keys")).unwrap();
        let mut settings = BuiltInIssuer {
            url: URL.to_owned(),
            audience: "feature-server".to_owned(),
            keys: folder.join("keys"),
            clients: folder.join("clients.yaml"),
            access_token_ttl: Duration::from_secs(3600),
            refresh_token_ttl: Duration::from_secs(86_400),
            store: StoreSettings::Embedded(folder.join("tokens.redb")),
            max_stale: Duration::from_secs(60),
            api_keys: true,
            public_url: URL.to_owned(),
            chalk_environment: None,
        };
        change(&mut settings);
        let issuer = Issuer::open(settings, None).await.unwrap();
        let world =
            Self { folder, issuer, secret: Secret::generate("s1").unwrap(), key: Secret::generate("k1").unwrap() };
        world.issuer.use_clients(world.clients(""));
        world
    }

    /// `svc` with these members besides, and two that somebody else brought a secret for.
    fn clients(&self, svc: &str) -> Clients {
        let text = format!(
            "version: 1\nclients:\n  svc: {{secrets: [{{id: s1, hash: \"{}\"}}], api_keys: [{{id: k1, hash: \"{}\"}}]{svc}}}\n  \
             brought: {{secrets: [{{id: s1, hash: '{CHEAP}'}}]}}\n  a+b: {{secrets: [{{id: s1, hash: '{CHEAP}'}}]}}\n",
            self.secret.kept(),
            self.key.kept()
        );
        let (clients, report) = clients::read(&Arc::new(SourceFile { name: "clients.yaml".into(), text }));
        clients.unwrap_or_else(|| panic!("{report}"))
    }

    async fn ask_at(
        &self,
        endpoint: Endpoint,
        headers: &[(&'static str, &str)],
        pairs: &[(&str, &str)],
        now: u64,
    ) -> Result<Reply, Refused> {
        let mut all = HeaderMap::new();
        all.insert("content-type", HeaderValue::from_static("application/x-www-form-urlencoded"));
        for (name, value) in headers {
            all.insert(*name, HeaderValue::from_str(value).unwrap());
        }
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let asked = Asked { endpoint, headers: &all, body: body.as_bytes(), address: HERE, now };
        assert_eq!(format!("{asked:?}"), format!("Asked({endpoint:?})"));
        self.issuer.answer(&asked).await
    }

    async fn ask(&self, endpoint: Endpoint, pairs: &[(&str, &str)], now: u64) -> Reply {
        self.ask_at(endpoint, &[], pairs, now).await.unwrap()
    }

    fn credentials(&self) -> [(&str, &str); 2] {
        [("client_id", "svc"), ("client_secret", self.secret.expose())]
    }

    async fn token(&self, now: u64) -> String {
        let [id, secret] = self.credentials();
        let reply = self.ask(Endpoint::Token, &[("grant_type", "client_credentials"), id, secret], now).await;
        reply.body["access_token"].as_str().unwrap_or_else(|| panic!("{}", reply.body)).to_owned()
    }

    async fn pair(&self, now: u64) -> (String, String) {
        let reply = self.ask_at(Endpoint::ApiKey, &[], &[("api_key", self.key.expose())], now).await.unwrap();
        assert_eq!(format!("{reply:?}"), "Reply(200 OK)");
        let text = |name: &str| reply.body["data"][name].as_str().unwrap().to_owned();
        (text("access_token"), text("refresh_token"))
    }

    fn standing(&self, token: &str) -> Standing {
        standing_of(&self.issuer, &claims(token))
    }

    fn keys(&self) -> Arc<SigningKeys> {
        self.issuer.keys()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

fn standing_of(issuer: &Issuer, claims: &Map<String, Value>) -> Standing {
    Issued::of(claims).map_or(Standing::Ended, |issued| issuer.standing(&issued))
}

fn claims(token: &str) -> Map<String, Value> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

#[tokio::test]
async fn a_token_is_revoked_for_as_long_as_it_is_accepted() {
    let world = World::start().await;
    let now = unix_now();
    for (after, ended) in [(3599, true), (3600, true), (3629, true), (3630, false)] {
        let token = world.token(now).await;
        let [id, secret] = world.credentials();
        let reply = world.ask(Endpoint::Revoke, &[id, secret, ("token", &token)], now + after).await;
        assert_eq!((reply.status.as_u16(), reply.body), (200, json!({})));
        assert_eq!(world.standing(&token) == Standing::Ended, ended, "{after} s after it was issued");
    }
}

#[tokio::test]
async fn the_end_of_a_family_covers_what_was_refreshed_while_it_was_ended() {
    let world = World::start().await;
    let now = unix_now();
    let (_, refresh) = world.pair(now).await;
    let hash = store::Hash::of(&refresh);
    // Whoever revokes has looked at it, and then it is refreshed, most of an hour after it began.
    let seen = world.issuer.store.family_of(&hash, now).await.unwrap().unwrap().family;
    let reply = world.ask_at(Endpoint::Refresh, &[], &[("refresh_token", &refresh)], now + 3500).await.unwrap();
    let access = reply.body["data"]["access_token"].as_str().unwrap().to_owned();
    let until = seen.ends.access;
    assert_eq!(until, now + 3600);
    world.issuer.store.revoke(&Revocation::Family { id: seen.id, until }, now + 3500).await.unwrap();
    let exp = claims(&access)["exp"].as_u64().unwrap();
    assert_eq!(exp, now + 7100);
    for later in [until + KEPT, exp + LEEWAY.as_secs()] {
        world.issuer.store.sweep(later).await.unwrap();
        assert_eq!(world.standing(&access), Standing::Ended, "at {later}");
    }
}

#[tokio::test]
async fn nothing_that_outlives_its_revocation_is_accepted() {
    let world = World::start().await;
    let now = unix_now();
    let clients = world.issuer.clients();
    let client = clients.get("svc").unwrap();
    let longest = longest(world.issuer.settings());
    for (ttl, standing) in [(longest, Standing::Good), (longest + 1, Standing::Ended), (u64::MAX, Standing::Ended)] {
        let (claims, _) = access_claims(world.issuer.settings(), client, None, ttl, now).unwrap();
        assert_eq!(standing_of(&world.issuer, &claims), standing, "{ttl}");
    }
    let (good, _) = access_claims(world.issuer.settings(), client, None, 60, now).unwrap();
    for name in ["jti", "client_id", "iat", "exp"] {
        for wrong in [json!(null), json!(-1), json!(1.5), json!(["svc"]), json!({})] {
            let mut said = good.clone();
            said.insert(name.to_owned(), wrong.clone());
            assert_eq!(standing_of(&world.issuer, &said), Standing::Ended, "{name}: {wrong}");
        }
    }
    // By jti alone nobody knows when it ends.
    let (said, _) = access_claims(world.issuer.settings(), client, None, longest, now).unwrap();
    let jti = said["jti"].as_str().unwrap();
    let proof = assertion(&world.keys(), URL, now).unwrap();
    let pairs = [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", &*proof), ("jti", jti)];
    assert_eq!(world.ask(Endpoint::Revoke, &pairs, now).await.status, 200);
    world.issuer.store.sweep(now + longest + LEEWAY.as_secs()).await.unwrap();
    assert_eq!(standing_of(&world.issuer, &said), Standing::Ended);
}

#[tokio::test]
async fn lives_of_centuries_and_clocks_before_1970_are_reckoned_with() {
    let centuries = Duration::from_millis(u64::MAX);
    let world = World::with(|settings| {
        settings.access_token_ttl = centuries;
        settings.refresh_token_ttl = centuries;
    })
    .await;
    for now in [0, unix_now(), u64::MAX - 1] {
        let token = world.token(now).await;
        assert_eq!(claims(&token)["exp"].as_u64(), Some(now.saturating_add(centuries.as_secs())));
        let (_, refresh) = world.pair(now).await;
        let again = world.ask_at(Endpoint::Refresh, &[], &[("refresh_token", &refresh)], now).await;
        assert_eq!(again.unwrap().status, 200, "{now}");
        assert_eq!(world.standing(&token), Standing::Good);
        let [id, secret] = world.credentials();
        world.ask(Endpoint::Revoke, &[id, secret, ("token", &token)], now).await;
        assert_eq!(world.standing(&token), Standing::Ended);
    }
    world.issuer.store.sweep(u64::MAX - 1).await.unwrap();
    world.issuer.use_clients(world.clients(", disabled: true"));
}

#[tokio::test]
async fn a_client_that_comes_back_while_the_store_is_down_brings_no_old_token() {
    let world =
        World::with(|settings| settings.store = StoreSettings::Redis(RedisUrl("redis://127.0.0.1:1/".into()))).await;
    let before = world.token(unix_now()).await;
    assert_eq!(world.standing(&before), Standing::Unknown, "the store was never heard");
    world.issuer.use_clients(world.clients(", disabled: true"));
    world.issuer.use_clients(world.clients(""));
    assert_eq!(world.standing(&before), Standing::Ended);
    // What begins after the second of the end counts again.
    assert_eq!(world.standing(&world.token(unix_now() + 2).await), Standing::Unknown);
}

#[tokio::test]
async fn whoever_was_on_its_way_under_the_configuration_before_is_a_client_of_now() {
    let world = World::start().await;
    let mut settings = world.issuer.settings().clone();
    settings.access_token_ttl = Duration::from_secs(60);
    let after = Issuer::open(settings, Some(&world.issuer)).await.unwrap();
    after.use_clients(world.clients(", disabled: true"));
    let [id, secret] = world.credentials();
    let grant = [("grant_type", "client_credentials"), id, secret];
    assert_eq!(world.ask(Endpoint::Token, &grant, unix_now()).await.status, 401);
    let key = [("api_key", world.key.expose())];
    let refused = world.ask_at(Endpoint::ApiKey, &[], &key, unix_now()).await;
    assert_eq!(refused, Err(Refused::ApiKey));
}

#[tokio::test]
async fn an_assertion_is_worth_something_once_and_soon() {
    let world = World::start().await;
    let now = unix_now();
    let keys = world.keys();
    let revoke = |proof: String, jti: &'static str, at: u64| {
        let world = &world;
        async move {
            let pairs = [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", &*proof), ("jti", jti)];
            world.ask(Endpoint::Revoke, &pairs, at).await.status.as_u16()
        }
    };
    let ended = |jti: &str| world.issuer.store.revocations().ended(jti, None, "", now);
    let fresh = assertion(&keys, URL, now).unwrap();
    assert_eq!((revoke(fresh.clone(), "first", now).await, ended("first")), (200, true));
    assert_eq!((revoke(fresh.clone(), "second", now).await, ended("second")), (401, false));
    let sign = |changes: Value| {
        let mut said = claims(&assertion(&keys, URL, now).unwrap());
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => said.remove(name),
                value => said.insert(name.clone(), value.clone()),
            };
        }
        said
    };
    for (changes, status) in [
        (json!({}), 200),
        (json!({"exp": now + 90}), 200),
        (json!({"exp": now + 91}), 401),
        (json!({"exp": u64::MAX}), 401),
        (json!({"exp": now}), 401),
        (json!({"exp": null}), 401),
        (json!({"exp": (now + 60).to_string()}), 401),
        (json!({"exp": -1}), 401),
        (json!({"jti": null}), 401),
        (json!({"jti": 7}), 401),
        (json!({"sub": "svc"}), 401),
        (json!({"sub": null}), 401),
        (json!({"iss": "https://tokens.example/"}), 401),
        (json!({"iss": null}), 401),
        (json!({"aud": "feature-server"}), 401),
        (json!({"aud": ["https://other.example"]}), 401),
        (json!({"aud": null}), 401),
    ] {
        let proof = keys.sign(Use::Assertion, &sign(changes.clone())).unwrap();
        assert_eq!(revoke(proof, "third", now).await, status, "{changes}");
        let access = keys.sign(Use::Access, &sign(changes.clone())).unwrap();
        assert_eq!(revoke(access, "fourth", now).await, 401, "{changes}");
    }
    assert!(!ended("fourth"));
    // Beside another way to say who asks it is none.
    for (name, value) in [("authorization", "Basic c3ZjOng="), ("x-api-key", "x")] {
        let proof = assertion(&keys, URL, now).unwrap();
        let pairs = [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", &*proof), ("jti", "fifth")];
        let reply = world.ask_at(Endpoint::Revoke, &[(name, value)], &pairs, now).await.unwrap();
        assert_eq!((reply.status.as_u16(), &reply.body["error"]), (400, &json!("invalid_request")), "{name}");
    }
    let [id, secret] = world.credentials();
    let proof = assertion(&keys, URL, now).unwrap();
    let pairs =
        [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", &*proof), ("jti", "fifth"), id, secret];
    assert_eq!(world.ask(Endpoint::Revoke, &pairs, now).await.status, 400);
    let other_type = [("client_assertion_type", "x"), ("client_assertion", &*proof), ("jti", "fifth")];
    assert_eq!(world.ask(Endpoint::Revoke, &other_type, now).await.status, 400);
    assert!(!ended("fifth"));
    // An older key that still verifies is one of ours.
    let folder = world.folder.join("keys");
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    let path = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    std::fs::File::options().append(true).open(&path).unwrap().set_modified(hour_ago).unwrap();
    std::fs::write(folder.join("2.pem"), include_str!("../../tests/fixtures/signing-key.pem")).unwrap();
    world.issuer.use_keys(SigningKeys::read(&folder).unwrap());
    assert_eq!(revoke(assertion(&keys, URL, now).unwrap(), "sixth", now).await, 200);
    std::fs::remove_file(&path).unwrap();
    world.issuer.use_keys(SigningKeys::read(&folder).unwrap());
    assert_eq!(revoke(assertion(&keys, URL, now).unwrap(), "seventh", now).await, 401);
}

#[tokio::test]
async fn a_stranger_with_many_names_has_the_place_of_one() {
    let world = World::start().await;
    let now = unix_now() / 60 * 60;
    let status = async |id: &str, secret: &str| {
        let pairs = [("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret)];
        world.ask(Endpoint::Token, &pairs, now).await.status.as_u16()
    };
    // One that fails alone takes nobody with it.
    for _ in 0..20 {
        status("a+b", "a guess").await;
    }
    let suspects = world.issuer.gate.hold(true);
    assert_eq!((status("a+b", "a guess").await, status("brought", "correct horse battery").await), (503, 200));
    drop(suspects);
    for number in 0..10 {
        assert_eq!(status(&format!("name {number}"), "a guess").await, 401);
    }
    let everybody = world.issuer.gate.hold(false);
    assert_eq!(status("a new name", "a guess").await, 401, "it has the place of suspects");
    // A right secret is good there too, and a generated one needs no place.
    assert_eq!(status("brought", "correct horse battery").await, 200);
    drop(everybody);
    let _both = (world.issuer.gate.hold(false), world.issuer.gate.hold(true));
    assert_eq!(status("svc", world.secret.expose()).await, 200);
}

#[tokio::test]
async fn no_spelling_of_a_name_escapes_the_count() {
    let world = World::start().await;
    let now = unix_now() / 60 * 60;
    let basic = async |text: &str| {
        let value = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text));
        let grant = [("grant_type", "client_credentials")];
        world.ask_at(Endpoint::Token, &[("authorization", &value)], &grant, now).await.unwrap().status.as_u16()
    };
    // As it is, and form-encoded: `a b`, `a+b`.
    for text in ["a+b:guess", "a%2Bb:guess", "a+b:gu%65ss", "%61+b:guess", "a%2bb:g+uess"].repeat(3) {
        basic(text).await;
    }
    assert!(world.issuer.store.failures("a+b", HERE, now) >= 10);
    for text in ["a+b:guess", "a%2Bb:guess"] {
        assert_eq!(basic(text).await, 429, "{text}");
    }
    assert_eq!(basic("a+b:correct horse battery").await, 200);
    assert_eq!(basic("a%2Bb:correct+horse+battery").await, 200);
    assert_eq!(basic("other:guess").await, 401);
}
