//! What was found out of a credential: for whom it counts, and for how long.

use serde_json::{Value, json};

use crate::issuer::{World, claims as claims_of};
use crate::support::client::request;
use crate::support::process;
use crate::support::sidecar::{FINE, POLICY, REFUSED, Setup, Sidecar, reader};
use crate::support::tokens::{AUDIENCE, KEY, b64, claims, unb64};
use crate::support::upstream::{Act, Upstream};

const TOKEN: &str = "an-opaque-token";

fn said(active: bool) -> Act {
    Act::json(
        "200 OK",
        json!({"active": active, "client_id": "app", "scope": "read", "token_type": "Bearer"}).to_string(),
    )
}

/// Bindings for a client of an introspection server, wherever that is.
fn bound(when: &str) -> String {
    POLICY
        .replace("{groups: readers}", &format!("{{iss: [{when}], client_id: app, scope: read}}"))
        .replace("{groups: cutters}", "{iss: nobody, groups: cutters}")
        .replace("{groups: writers}", "{iss: nobody, groups: writers}")
}

fn introspected(mut setup: Setup, server: &Upstream, policy: &str) -> Setup {
    let url = &server.url;
    setup.auth = format!(
        ", opaque: {{introspection: {{url: \"{url}/introspect\", client_id: us, secret_file: secret}}, ttl: 1h, \
         negative_ttl: 0s}}"
    );
    setup.folder.write("secret", "a secret of ours");
    setup.policy(policy)
}

fn names(servers: &[&Upstream]) -> String {
    let names: Vec<String> = servers.iter().map(|server| format!("\"{}/introspect\"", server.url)).collect();
    names.join(", ")
}

async fn write(sidecar: &Sidecar, token: &str) -> u16 {
    let headers = format!("authorization: Bearer {token}\r\n");
    sidecar.ask(request("POST", "/v1/write", &headers, "x")).await.status
}

/// CVE-2021-32701 (Oathkeeper): what was remembered of a token let it pass where more was asked for.
#[tokio::test]
async fn what_was_introspected_for_one_route_is_no_leave_for_another() {
    let (upstream, server) = (Upstream::start().await, Upstream::always(said(true)).await);
    let routes = "routes: [{path: /v1/write, methods: [POST], roles: [writer]}]";
    let policy = bound(&names(&[&server]));
    let sidecar = introspected(Setup::new(&upstream), &server, &policy).with(routes).start().await;
    for token in [TOKEN, "another-opaque-token"] {
        // In both orders, and the second time from memory.
        for _ in 0..2 {
            if token == TOKEN {
                assert_eq!(sidecar.query(token, FINE).await.status, 200);
            }
            assert_eq!(write(&sidecar, token).await, 403, "{token}");
            sidecar.query(token, REFUSED).await.fails(403, "FEATURES_REFUSED");
            assert_eq!(sidecar.query(token, FINE).await.status, 200);
        }
    }
    assert_eq!((server.count(), upstream.count()), (2, 6));
    // A policy that asks for another scope asks it of those that are remembered, too.
    sidecar.setup.folder.write("policy.yaml", policy.replace("scope: read", "scope: write"));
    sidecar.until_status(TOKEN, FINE, 403).await;
    assert_eq!(server.count(), 2);
}

/// CVE-2026-33496 (Oathkeeper): what one server said of a token was taken for what another says.
#[tokio::test]
async fn an_introspection_answer_for_one_issuer_serves_no_other() {
    let upstream = Upstream::start().await;
    let (first, second) = (Upstream::always(said(true)).await, Upstream::always(said(false)).await);
    let policy = bound(&names(&[&first, &second]));
    let sidecar = introspected(Setup::new(&upstream), &first, &policy).start().await;
    let text = sidecar.setup.text();
    for _ in 0..2 {
        assert_eq!(sidecar.query(TOKEN, FINE).await.status, 200);
    }
    assert_eq!((first.count(), second.count()), (1, 0));
    sidecar.setup.folder.write("tagwarden.yaml", text.replace(&first.url, &second.url));
    sidecar.until_metric("tagwarden_reloads_total{kind=\"config\",result=\"ok\"}", 1.0).await;
    sidecar.query(TOKEN, FINE).await.fails(401, "UNAUTHORIZED");
    // It has been asked itself; and what it says counts under its own name alone.
    assert_eq!((first.count(), second.count()), (1, 1));
    second.turns_to(said(true));
    assert_eq!(sidecar.query(TOKEN, FINE).await.status, 200);
    sidecar.setup.folder.write("policy.yaml", bound(&names(&[&first])));
    sidecar.until_status(TOKEN, FINE, 403).await;
}

/// CVE-2026-40574 (oauth2-proxy): `a@evil.example@corp.example` was of corp.example.
#[tokio::test]
async fn a_claim_that_only_looks_like_the_wanted_one_gives_no_role() {
    let upstream = Upstream::start().await;
    let when = "{email: ann@corp.example, email_verified: true, scope: features}";
    let sidecar = Setup::new(&upstream).policy(&POLICY.replace("{groups: readers}", when)).start().await;
    let good = json!({"email": "ann@corp.example", "email_verified": true, "scope": "openid features"});
    let asked = async |name: &str, value: Value| {
        let mut all = good.clone();
        all[name] = value;
        sidecar.query(&KEY.sign(&claims(all)), FINE).await
    };
    for email in [
        json!("ann@evil.example@corp.example"),
        json!("ann@corp.example@evil.example"),
        json!("ann@corp.example "),
        json!(" ann@corp.example"),
        json!("ann@corp.example\n"),
        json!("ann@corp.example\u{0}"),
        json!("ann@corp.example,bob@corp.example"),
        json!("\"ann\"@corp.example"),
        json!("<ann@corp.example>"),
        json!("Ann@corp.example"),
        json!("ann@CORP.example"),
        json!("ann@corp.example."),
        json!("ann@corp\u{ff0e}example"),
        json!("\u{430}nn@corp.example"),
        json!("@corp.example"),
        json!("joann@corp.example"),
        json!("*"),
        json!(""),
        json!([]),
        json!(["ann@evil.example", "@corp.example"]),
        json!([["ann@corp.example"]]),
        json!({"ann@corp.example": true}),
        json!(true),
        json!(1),
        json!(null),
    ] {
        asked("email", email).await.fails(403, "FORBIDDEN");
    }
    for verified in [json!("true"), json!(1), json!(false), json!({}), json!(["true"]), json!(null)] {
        asked("email_verified", verified).await.fails(403, "FORBIDDEN");
    }
    for scope in ["featuresx", "xfeatures", "features,openid", "features\topenid", "features:read", "Features", ""] {
        asked("scope", json!(scope)).await.fails(403, "FORBIDDEN");
    }
    assert_eq!(upstream.count(), 0);
    assert_eq!(asked("email", json!("ann@corp.example")).await.status, 200);
}

/// CVE-2026-66908 (Camel), GHSA-vgj4-345g-jcf8 (Cloudreve), CVE-2026-125370 (Kubero): what was not configured was not checked,
/// and the secret was one that everybody has.
#[test]
fn what_is_not_configured_is_not_taken_for_granted() {
    let (keys, secret) = ("keys: {jwks_file: jwks.json}", "algorithms: [HS256], keys: {secret_file: secret}");
    let cases = [
        (format!("issuer: \"https://i/\", {keys}"), "audiences"),
        (format!("issuer: \"https://i/\", audiences: [], {keys}"), "`audiences` is empty"),
        (format!("audiences: [a], {keys}"), "issuer"),
        (format!("issuer: \"\", audiences: [a], {keys}"), "issuer"),
        ("issuer: \"https://i/\", audiences: [a], algorithms: [HS256]".to_owned(), "only with a `secret_file`"),
        (format!("issuer: \"https://i/\", audiences: [a], algorithms: [HS256], {keys}"), "HS256"),
        (format!("issuer: \"https://i/\", audiences: [a], algorithms: [none], {keys}"), "none"),
        (format!("issuer: \"https://i/\", audiences: [a], algorithms: [], {keys}"), "algorithm"),
        ("issuer: \"https://i/\", audiences: [a], keys: {secret: changeme}".to_owned(), "secret"),
        (format!("issuer: \"https://i/\", audiences: [a], {secret}"), "secret"),
    ];
    for (issuer, named) in cases {
        let setup = Setup::at("http://127.0.0.1:9");
        let (before, after) = (setup.text(), format!("issuers: [{{{issuer}}}]"));
        let (start, end) = (before.find("issuers: [").unwrap(), before.find("}}]").unwrap() + 3);
        let config = setup.folder.write("tagwarden.yaml", format!("{}{after}{}", &before[..start], &before[end..]));
        // Where a secret is asked for it is empty, then the first that comes to mind.
        for content in ["", "\n", "secret", "changeme"] {
            setup.folder.write("secret", content);
            let (code, _, told) = process::run(["serve".as_ref(), "--config".as_ref(), config.as_os_str()]);
            assert_eq!(code, 3, "{issuer}: {told}");
            assert!(told.contains(named), "{issuer}: {told}");
        }
    }
}

/// The same, of what a token leaves out.
#[tokio::test]
async fn a_claim_that_is_left_out_matches_nothing() {
    let upstream = Upstream::start().await;
    let when = "{client_id: app, scope: features}";
    let sidecar = Setup::new(&upstream).policy(&POLICY.replace("{groups: readers}", when)).start().await;
    let good = json!({"client_id": "app", "scope": "features"});
    assert_eq!(sidecar.query(&KEY.sign(&claims(good.clone())), FINE).await.status, 200);
    for name in ["client_id", "scope"] {
        let mut less = good.clone();
        less.as_object_mut().unwrap().remove(name);
        sidecar.query(&KEY.sign(&claims(less.clone())), FINE).await.fails(403, "FORBIDDEN");
        less[name] = json!("");
        sidecar.query(&KEY.sign(&claims(less)), FINE).await.fails(403, "FORBIDDEN");
    }
    for name in ["iss", "aud", "exp"] {
        let mut less = claims(good.clone());
        less.as_object_mut().unwrap().remove(name);
        sidecar.query(&KEY.sign(&less), FINE).await.fails(401, "UNAUTHORIZED");
    }
    assert_eq!(upstream.count(), 1);
}

/// The same, of the keys of an issuer that was just set up.
#[tokio::test]
async fn two_new_issuers_of_one_name_share_no_key() {
    let (one, other) = (World::start().await, World::start().await);
    let (ours, theirs) = (one.token().await, other.token().await);
    assert_eq!(claims_of(&ours)["iss"], claims_of(&theirs)["iss"]);
    assert_eq!((one.status(&ours).await, other.status(&theirs).await), (200, 200));
    assert_eq!((one.status(&theirs).await, other.status(&ours).await), (401, 401));
}

/// heimdall #3444: what a lax verifier had remembered was good enough for a strict one.
#[tokio::test]
async fn what_a_lax_configuration_accepted_a_strict_one_does_not() {
    let upstream = Upstream::start().await;
    let setup = Setup::new(&upstream);
    let strict = setup.text();
    let lax = strict.replace(&format!("audiences: [{AUDIENCE}]"), "audiences: unchecked");
    assert_ne!(lax, strict);
    let config = setup.folder.write("tagwarden.yaml", &lax);
    let sidecar = setup.start_from(&config).await;
    let elsewhere = KEY.sign(&claims(json!({"aud": "elsewhere"})));
    let untyped = KEY.sign_with(&json!({"typ": "JWT"}), &claims(json!({})));
    for token in [&elsewhere, &elsewhere, &untyped, &untyped] {
        assert_eq!(sidecar.query(token, FINE).await.status, 200);
    }
    assert_eq!(sidecar.metric("tagwarden_cache_requests_total{cache=\"token\",result=\"hit\"}").await, 2.0);
    let (folder, reloads) = (&sidecar.setup.folder, "tagwarden_reloads_total{kind=\"config\",result=\"ok\"}");
    folder.write("tagwarden.yaml", &strict);
    sidecar.until_metric(reloads, 1.0).await;
    sidecar.query(&elsewhere, FINE).await.fails(401, "UNAUTHORIZED");
    assert_eq!(sidecar.query(&untyped, FINE).await.status, 200);
    for (number, more) in [(2.0, "require_typ: at+jwt"), (3.0, "require: [tenant]")] {
        folder.write("tagwarden.yaml", strict.replace("keys: {", &format!("{more}, keys: {{")));
        sidecar.until_metric(reloads, number).await;
        sidecar.query(&untyped, FINE).await.fails(401, "UNAUTHORIZED");
    }
    folder.write("tagwarden.yaml", &strict);
    sidecar.until_status(&reader(), FINE, 200).await;
}

/// What was revoked is the token's name, not its spelling: of a signature (r, s) the other half (r, n - s) is as good.
#[tokio::test]
async fn a_revoked_token_is_revoked_in_both_spellings_of_its_signature() {
    let world = World::start().await;
    let token = world.token().await;
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let order: Vec<u8> = (0..32).map(|i| u8::from_str_radix(&order[2 * i..2 * i + 2], 16).unwrap()).collect();
    let (mut raw, mut borrow) = (unb64(signature), 0);
    for i in (0..32).rev() {
        let difference = i16::from(order[i]) - i16::from(raw[32 + i]) - borrow;
        borrow = i16::from(difference < 0);
        raw[32 + i] = difference.rem_euclid(256) as u8;
    }
    let other = format!("{signed}.{}", b64(raw));
    assert_ne!(other, token);
    assert_eq!((world.status(&token).await, world.status(&other).await), (200, 200));
    let pairs = [("client_id", "svc"), ("client_secret", world.secrets.svc.expose()), ("token", &*token)];
    assert_eq!(world.form("/oauth/revoke", &pairs).await.status, 200);
    assert_eq!((world.status(&token).await, world.status(&other).await), (401, 401));
    assert_eq!(world.upstream.count(), 2);
}
