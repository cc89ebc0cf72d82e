use super::*;
use crate::chalk::paths;

fn file(text: &str) -> Arc<SourceFile> {
    Arc::new(SourceFile { name: "tagwarden.yaml".into(), text: text.into() })
}

fn load(text: &str) -> Result<Config, String> {
    let (config, report) = read(&file(text), Path::new("/etc/tagwarden"), &|_| None);
    config.ok_or_else(|| report.to_string())
}

const SMALLEST: &str = "\
version: 1
upstream: {url: http://127.0.0.1:6566, dialect: feast}
auth: {issuers: [{issuer: https://idp.example/, audiences: [f], keys: {jwks_file: jwks.json}}]}
policies: policies/
";

#[test]
fn the_smallest_configuration_has_the_documented_defaults() {
    let config = load(SMALLEST).unwrap();
    assert_eq!(config.listen.address.to_string(), "127.0.0.1:8080");
    assert_eq!(config.metrics.to_string(), "127.0.0.1:9902");
    assert_eq!(config.admin.address.to_string(), "127.0.0.1:9901");
    assert_eq!(config.policies, Path::new("/etc/tagwarden/policies/"));
    assert_eq!(config.issuers[0].keys, KeySource::JwksFile("/etc/tagwarden/jwks.json".into()));
    assert_eq!(config.issuers[0].leeway, Duration::from_secs(30));
    assert_eq!(config.issuers[0].algorithms.len(), 9);
    assert_eq!(config.token_cache_entries, 100_000);
    assert_eq!(config.limits.request_body, 8 << 20);
    assert_eq!(config.limits.idle_timeout, Duration::from_secs(75));
    assert_eq!(config.drain.delay, Duration::from_secs(5));
    assert!(config.audit.block_when_full && config.audit.hash_subjects);
    assert_eq!(config.issuer, None);
}

#[test]
fn the_smallest_issuer_has_the_documented_defaults() {
    let (head, rest) = SMALLEST.split_once("auth:").unwrap();
    let rest = rest.split_once('\n').unwrap().1;
    let issuer = "issuer: {url: \"https://a.example/\", audience: f}\n";
    let config = load(&format!("{head}{rest}{issuer}")).unwrap();
    assert!(config.issuers.is_empty() && config.opaque.is_none());
    let told = config.issuer.unwrap();
    let whole = BuiltInIssuer {
        url: "https://a.example/".into(),
        audience: "f".into(),
        keys: "/etc/tagwarden/keys".into(),
        clients: "/etc/tagwarden/clients.yaml".into(),
        access_token_ttl: Duration::from_secs(3600),
        refresh_token_ttl: Duration::from_secs(30 * 86_400),
        store: StoreSettings::Embedded("/etc/tagwarden/data/tokens.redb".into()),
        max_stale: Duration::from_secs(60),
        api_keys: true,
        public_url: "https://a.example".into(),
        chalk_environment: None,
    };
    assert_eq!(told, whole);
    let more = format!("{SMALLEST}{issuer}listen: {{public_url: \"https://b.example/x/\"}}\n")
        .replace("auth: {", "auth: {api_keys: false, ");
    let told = load(&more).unwrap().issuer.unwrap();
    assert_eq!((told.public_url.as_str(), told.api_keys), ("https://b.example/x", false));
    let redis = issuer.replace("audience: f", "audience: f, store: {redis_url: \"redis://127.0.0.1/\"}");
    let told = load(&format!("{SMALLEST}{redis}")).unwrap().issuer.unwrap();
    assert_eq!(told.store, StoreSettings::Redis(RedisUrl("redis://127.0.0.1/".into())));
    let plain = redis.replace("redis://", "redis://u:word@");
    let error = load(&format!("{SMALLEST}{plain}")).unwrap_err();
    assert!(error.contains("error[plain-secret]") && !error.contains("u:word"), "{error}");
}

#[test]
fn every_mistake_is_reported_at_once() {
    let error = load(
        "version: 2
lisen: {}
upstream: {url: ftp://x, dialect: fest}
auth: {issuers: [{issuer: a, audiences: [], keys: {jwks_url: file:///x}, algorithms: [HS256]}]}
limits: {request_body: 8MB, idle_timeout: 75}
issuer: {url: x}
",
    )
    .unwrap_err();
    for message in [
        "tagwarden.yaml:1:10: error[version]: `version` is not 1, the only one there is",
        "tagwarden.yaml:2:1: error[unknown-key]: unknown key `lisen` in the configuration",
        "help: did you mean `listen`?",
        "error[url]: `upstream.url` is `ftp://x`, not http://host:port, https://host:port or unix:/path",
        "error[unknown-word]: `dialect` is `fest`, not one of `feast`, `chalk`, `json`",
        "error[audiences]: `audiences` is empty; the word `unchecked` turns the check off",
        "error[url]: `jwks_url` is neither http nor https",
        "error[algorithm]: algorithm `HS256` goes only with a `secret_file`",
        "error[missing]: `issuer.audience` is missing",
        "error[url]: `issuer.url`: the address is not usable",
        "error[missing]: `policies` is missing: a file or a folder",
    ] {
        assert!(error.contains(message), "{message}\n---\n{error}");
    }
}

#[test]
fn routes_of_the_dialect_cannot_be_listed() {
    for (route, message) in [
        ("{path: /get-online-features, methods: [POST]}", "is always served by the dialect"),
        ("{path: /mcp, methods: [POST]}", "`/mcp` is more than the dialect can check, so it does not pass"),
        ("{path: /v1/vector_stores/x/search, methods: [POST]}", "is more than the dialect can check"),
        ("{path: /push/x, methods: [POST]}", "is more than the dialect can check"),
        ("{path: /search, methods: [GET]}", "route `/search` is read by the dialect, which only POST can be"),
        ("{path: /v1/vector_stores, methods: [GET, POST]}", "is read by the dialect, which only GET can be"),
        ("{path: /v1/vector_stores, methods: [GET], public: true}", "what the caller may see of it would not be known"),
        ("{path: /a/../b, methods: [GET]}", "is no plain path"),
        ("{path: /info, methods: [POST], public: true}", "is public, which only GET and HEAD can be"),
        ("{path: /info}", "lists no `methods`"),
    ] {
        let error = load(&format!("{SMALLEST}routes: [{route}]\n")).unwrap_err();
        assert!(error.contains(message), "{route}\n{error}");
    }
}

#[test]
fn the_doors_of_the_dialect_are_listed_as_they_are_written() {
    let doors =
        feast::Door::ALL.map(|door| format!("{{path: '{}', methods: [{}], roles: [r]}}", door.path(), door.method()));
    let config = load(&format!("{SMALLEST}routes: [{}]\n", doors.join(", "))).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.routes.len(), 9);
}

const CHALK: &str = "\
version: 1
listen: {public_url: \"http://127.0.0.1:8080/\"}
upstream: {url: https://api.chalk.example, dialect: chalk}
auth: {issuers: [{issuer: https://idp.example/, audiences: [f], keys: {jwks_file: jwks.json}}]}
policies: policies/
chalk: {environment: prod}
";

#[test]
fn the_smallest_configuration_of_chalk_has_the_documented_defaults() {
    let config = load(CHALK).unwrap();
    assert_eq!(config.upstream.dialect, Dialect::Chalk);
    assert_eq!(config.listen.public_url.as_deref(), Some("http://127.0.0.1:8080"));
    assert_eq!(config.chalk, ChalkSettings { environment: Some("prod".into()), allow: BTreeSet::new() });
    assert_eq!((config.limits.request_body, config.limits.response_body), (100 << 20, 100 << 20));
    assert_eq!((config.upstream.engine.as_ref(), config.upstream.of_engine()), (None, config.upstream.clone()));
    let none = ["", "chalk: {environment: null, allow: []}\n"]
        .map(|section| load(&CHALK.replace("chalk: {environment: prod}\n", section)).unwrap().chalk);
    assert_eq!(none, [ChalkSettings::default(), ChalkSettings::default()]);
    let feast = load(SMALLEST).unwrap();
    assert_eq!(
        (feast.upstream.dialect, feast.chalk, feast.listen.public_url),
        (Dialect::Feast, ChalkSettings::default(), None)
    );
    assert_eq!((feast.limits.request_body, feast.limits.response_body), (8 << 20, 64 << 20));
}

#[test]
fn the_engine_is_reached_as_the_upstream_is() {
    let text = CHALK.replace(
        "dialect: chalk",
        "dialect: chalk, engine_url: \"http://10.0.0.7:7002\", timeout: 7s, tls: {ca: ca.crt}",
    ) + "limits: {request_body: 1MiB}\n";
    let text = text.replace("environment: prod", "environment: prod, allow: [staleness, explain, explain]");
    let config = load(&text).unwrap();
    let engine = config.upstream.of_engine();
    assert_eq!(engine.url, "http://10.0.0.7:7002");
    assert_eq!(engine.target, Target::Tcp { tls: false, host: "10.0.0.7".into(), port: 7002 });
    assert_eq!((&engine.tls, engine.timeout), (&config.upstream.tls, Duration::from_secs(7)));
    assert_eq!(config.upstream.target, Target::Tcp { tls: true, host: "api.chalk.example".into(), port: 443 });
    assert_eq!((config.limits.request_body, config.limits.response_body), (1 << 20, 100 << 20));
    assert_eq!(config.chalk.allow, BTreeSet::from([Switch::Explain, Switch::Staleness]));
    // Where Feast's gRPC is; its HTTP stays where it was.
    let feast =
        load(&SMALLEST.replace("dialect: feast", "dialect: feast, engine_url: \"http://10.0.0.7:50051\"")).unwrap();
    let at = |host: &str, port| Target::Tcp { tls: false, host: host.into(), port };
    assert_eq!(feast.upstream.of_engine().target, at("10.0.0.7", 50051));
    assert_eq!(feast.upstream.target, load(SMALLEST).unwrap().upstream.target);
    let issuer = "issuer: {url: \"https://a.example/\", audience: f}\n";
    let issuer = load(&format!("{CHALK}{issuer}")).unwrap().issuer.unwrap();
    assert_eq!((&*issuer.public_url, issuer.chalk_environment.as_deref()), ("http://127.0.0.1:8080", Some("prod")));
}

#[test]
fn uploads_to_chalk_are_served_once_listed() {
    let listed = |route: &str| load(&format!("{CHALK}routes: [{route}]\n"));
    for path in paths::OPTIONAL {
        let config = listed(&format!("{{path: {path}, methods: [POST], roles: [writer]}}")).unwrap();
        assert_eq!(config.routes[0].path, path);
        let error = listed(&format!("{{path: {path}, methods: [GET], public: true}}")).unwrap_err();
        assert!(error.contains("is an upload, which only POST can be"), "{error}");
    }
    for path in paths::HTTP.into_iter().chain(paths::RPC) {
        let error = listed(&format!("{{path: {path}, methods: [POST]}}")).unwrap_err();
        assert!(error.contains(&format!("`{path}` is always served by the dialect")), "{error}");
    }
    let error = listed("{path: /v4/offline_query, methods: [POST]}").unwrap_err();
    assert!(error.contains("`/v4/offline_query` is more than the dialect can check, so it does not pass"), "{error}");
    // Another dialect's are nobody's here, and the other way round.
    assert!(listed("{path: /search, methods: [POST]}").is_ok());
    assert!(load(&format!("{SMALLEST}routes: [{{path: /v1/query/plan, methods: [POST]}}]\n")).is_ok());
}

#[test]
fn no_path_follows_the_public_url_of_chalk() {
    for (url, message) in [
        (
            "http://f.example/x",
            "`listen.public_url` is `http://f.example/x`; with `dialect: chalk` no path follows the host",
        ),
        ("http://f.example/?x", "`listen.public_url` has a query or a fragment"),
        ("http://f.example/x#y", "`listen.public_url` has a query or a fragment"),
        ("http://u:p@f.example", "it carries a user or a password"),
        ("f.example:80", "`listen.public_url`: the address is not usable"),
        ("unix:/run/x", "`listen.public_url`: the address is not usable"),
    ] {
        let error = load(&CHALK.replace("http://127.0.0.1:8080/", url)).unwrap_err();
        assert!(error.contains(message) && error.matches("error[").count() == 1, "{url}\n{error}");
    }
}

#[test]
fn variables_stand_in_for_texts_numbers_and_words() {
    let text = SMALLEST.replace("http://127.0.0.1:6566", "\"http://127.0.0.1:${PORT}\"")
        + "threads: ${THREADS:-3}\nallow_shrink: ${SHRINK}\n";
    let look = |name: &str| match name {
        "PORT" => Some("7001".to_owned()),
        "SHRINK" => Some("true".to_owned()),
        _ => None,
    };
    let (config, report) = read(&file(&text), Path::new("/"), &look);
    let config = config.unwrap_or_else(|| panic!("{report}"));
    assert_eq!(config.upstream.target, Target::Tcp { tls: false, host: "127.0.0.1".into(), port: 7001 });
    assert_eq!((config.threads, config.allow_shrink), (Some(3), true));
}
