//! One thing passed off as another.

use serde_json::{Value, json};
use tagwarden::issuer::keys::SigningKeys;
use tagwarden::issuer::{ASSERTION_TYPE, assertion};

use super::GRANT;
use crate::issuer::{Secrets, URL, World, claims, form_at, part, policy, section, setup};
use crate::support::client::request;
use crate::support::sidecar::{FINE, Setup};
use crate::support::tokens::{ISSUER, KEY, Key, b64, hs256, now, unb64};
use crate::support::upstream::{Act, Upstream};

/// The header and the claims of a token, signed by the world's own key, whatever they say.
fn signed(world: &World, header: &Value, claims: &Value) -> String {
    let pem = std::fs::read_dir(world.sidecar.setup.folder.path("keys")).unwrap().next().unwrap().unwrap().path();
    let key = jsonwebtoken::EncodingKey::from_ec_pem(&std::fs::read(pem).unwrap()).unwrap();
    let text = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
    let signature = jsonwebtoken::crypto::sign(text.as_bytes(), &key, jsonwebtoken::Algorithm::ES256).unwrap();
    format!("{text}.{signature}")
}

fn proof(world: &World, url: &str) -> String {
    let keys = SigningKeys::read(&world.sidecar.setup.folder.path("keys")).unwrap();
    assertion(&keys, url, u64::try_from(now()).unwrap()).unwrap()
}

/// Shows a text at every place where one kind of credential is good; the places that took it.
async fn taken(world: &World, text: &str) -> Vec<&'static str> {
    let (sidecar, svc) = (&world.sidecar, ("client_id", "svc"));
    let content = "content-type: application/json\r\n";
    let bearer = format!("authorization: Bearer {text}\r\n{content}");
    let key = format!("x-api-key: {text}\r\n{content}");
    let own = ("client_secret", world.secrets.svc.expose());
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", text), svc, own];
    let assertion = [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", text), ("jti", "x")];
    let query = async |headers: &str| sidecar.ask(request("POST", "/get-online-features", headers, FINE)).await.status;
    let all = [
        ("bearer", query(&bearer).await),
        ("who-am-i", sidecar.ask(request("GET", "/v1/who-am-i", &bearer, "")).await.status),
        ("x-api-key", query(&key).await),
        ("auth/token", world.json("/api/v1/auth/token", json!({"api_key": text})).await.status),
        ("client_secret", world.form("/oauth/token", &[GRANT, svc, ("client_secret", text)]).await.status),
        ("client_assertion", world.form("/oauth/revoke", &assertion).await.status),
        // The last, for it uses up what it takes.
        ("refresh grant", world.form("/oauth/token", &refresh).await.status),
        ("auth/refresh", world.refresh(text).await.status),
    ];
    all.iter().for_each(|(place, status)| assert!([200, 400, 401, 403].contains(status), "{place} {status}"));
    all.into_iter().filter(|(_, status)| *status == 200).map(|(place, _)| place).collect()
}

#[tokio::test]
async fn one_kind_of_credential_is_never_taken_for_another() {
    let world = World::start().await;
    let (access, refresh) = world.pair().await;
    let (secret, key) = (world.secrets.svc.expose(), world.secrets.svc_key.expose());
    let kept = world.secrets.svc_key.kept();
    for (what, text, places) in [
        ("an access token", &*access, vec!["bearer", "who-am-i"]),
        ("a secret", secret, vec!["client_secret"]),
        ("an API key", key, vec!["x-api-key", "auth/token"]),
        ("an assertion", &proof(&world, URL), vec!["client_assertion"]),
        // Its second use within ten seconds is a repeat.
        ("a refresh token", &refresh, vec!["refresh grant", "auth/refresh"]),
        ("the hash of a key", &kept, vec![]),
        ("a foreign issuer's token", &KEY.token(&["readers"]), vec!["who-am-i"]),
        ("a family", claims(&access)["family"].as_str().unwrap(), vec![]),
        ("a jti", claims(&access)["jti"].as_str().unwrap(), vec![]),
    ] {
        assert_eq!(taken(&world, text).await, places, "{what}");
    }
}

#[tokio::test]
async fn a_token_is_taken_with_every_claim_as_the_issuer_signs_it_alone() {
    let world = World::start().await;
    let token = world.token().await;
    let (header, good) = (part(&token, 0), claims(&token));
    let with = |value: &Value, changes: Value| {
        let mut all = value.clone();
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => drop(all.as_object_mut().unwrap().remove(name)),
                value => all[name] = value.clone(),
            }
        }
        all
    };
    let ask = async |token: String| world.sidecar.query(&token, FINE).await;
    assert_eq!(ask(signed(&world, &header, &good)).await.status, 200, "the key is the right one");
    for changes in [
        json!({"iss": format!("{URL}/")}),
        json!({"iss": URL.to_uppercase()}),
        json!({"iss": [URL]}),
        json!({"iss": ISSUER}),
        json!({"iss": null}),
        json!({"aud": "another"}),
        json!({"aud": URL}),
        json!({"aud": ["feature-server", 7]}),
        json!({"aud": null}),
        json!({"sub": null}),
        json!({"jti": null}),
        json!({"iat": null}),
        json!({"iat": "0"}),
        json!({"exp": null}),
        json!({"exp": now() + 31 * 86_400}),
        json!({"exp": u64::MAX}),
        json!({"nbf": now() + 600}),
        json!({"client_id": null}),
        json!({"client_id": "unknown"}),
        json!({"client_id": ["svc"]}),
        json!({"cnf": {"x5t#S256": "AAAA"}}),
        json!({"cnf": {"jkt": "x"}}),
    ] {
        let answer = ask(signed(&world, &header, &with(&good, changes.clone()))).await;
        assert_eq!(answer.fails(401, "UNAUTHORIZED"), "The access token is invalid", "{changes}");
    }
    for changes in [
        json!({"typ": null}),
        json!({"typ": "JWT"}),
        json!({"typ": "client-authentication+jwt"}),
        json!({"typ": "at+jwt "}),
        json!({"typ": ["at+jwt"]}),
        json!({"kid": "another"}),
        json!({"alg": "ES384"}),
        json!({"alg": "none"}),
        json!({"crit": ["exp"]}),
        json!({"b64": false}),
    ] {
        let answer = ask(signed(&world, &with(&header, changes.clone()), &good)).await;
        answer.fails(401, "UNAUTHORIZED");
    }
    // Whoever knows what everybody may know.
    let set = world.get("/.well-known/jwks.json").await;
    let jwk = &set.json()["keys"][0];
    let point = [unb64(jwk["x"].as_str().unwrap()), unb64(jwk["y"].as_str().unwrap())].concat();
    let hs256_header = with(&header, json!({"alg": "HS256"}));
    for secret in [set.text().as_bytes(), jwk.to_string().as_bytes(), &point, b"", &[&[4], &*point].concat()] {
        ask(hs256(secret, &hs256_header, &good)).await.fails(401, "UNAUTHORIZED");
        ask(hs256(secret, &header, &good)).await.fails(401, "UNAUTHORIZED");
    }
    // Another issuer's key, under its name, ours, and with its own key in the header.
    let stranger = Key::new("k9");
    for (key, changes) in [
        (&*KEY, json!({})),
        (&*KEY, header.clone()),
        (&stranger, header.clone()),
        (
            &stranger,
            json!({"typ": "at+jwt", "jwk": serde_json::from_str::<Value>(&stranger.set()).unwrap()["keys"][0]}),
        ),
    ] {
        ask(key.sign_with(&changes, &good)).await.fails(401, "UNAUTHORIZED");
    }
    // Ours under the name of another.
    let foreign = with(&good, json!({"iss": ISSUER, "groups": ["readers"]}));
    ask(signed(&world, &header, &foreign)).await.fails(401, "UNAUTHORIZED");
    // No signature, and one that is the wrong way round.
    let (body, signature) = token.rsplit_once('.').unwrap();
    let mut swapped = unb64(signature);
    swapped.rotate_left(32);
    for signature in ["", "AA", &b64([0; 64]), &b64(swapped)] {
        ask(format!("{body}.{signature}")).await.fails(401, "UNAUTHORIZED");
    }
    assert_eq!(world.upstream.count(), 1);
    assert_eq!(world.status(&token).await, 200);
}

#[tokio::test]
async fn a_token_of_another_configuration_is_none() {
    let world = World::start().await;
    let (token, (_, refresh)) = (world.token().await, world.pair().await);
    let text = world.sidecar.setup.text();
    let old = format!("issuer: {{url: \"{URL}\", audience: feature-server");
    let mut loads = 0.0;
    for other in [
        format!("issuer: {{url: \"{URL}/\", audience: feature-server"),
        format!("issuer: {{url: \"{URL}\", audience: feature-servers"),
    ] {
        world.sidecar.setup.folder.write("tagwarden.yaml", text.replace(&old, &other));
        loads += 1.0;
        world.sidecar.until_metric("tagwarden_reloads_total{kind=\"config\",result=\"ok\"}", loads).await;
        world.sidecar.query(&token, FINE).await.fails(401, "UNAUTHORIZED");
        let now_on = world.token().await;
        let own = [("client_id", "svc"), ("client_secret", world.secrets.svc.expose())];
        let told = world.form("/oauth/introspect", &[own[0], own[1], ("token", &*token)]).await;
        assert_eq!(told.json(), json!({"active": false}));
        world.sidecar.setup.folder.write("tagwarden.yaml", &text);
        loads += 1.0;
        world.sidecar.until_metric("tagwarden_reloads_total{kind=\"config\",result=\"ok\"}", loads).await;
        assert_eq!((world.status(&token).await, world.status(&now_on).await), (200, 401));
    }
    // Families are of the store, and go on.
    assert_eq!(world.refresh(&refresh).await.status, 200);
}

#[tokio::test]
async fn two_that_share_keys_but_not_a_name_share_nothing_else() {
    let world = World::start().await;
    let (upstream, secrets) = (Upstream::start().await, Secrets::new());
    let other = Setup::new(&upstream).policy(&policy().replace(URL, "https://other.example"));
    let other = other.with(&section("").replace(URL, "https://other.example"));
    other.folder.write("clients.yaml", secrets.file(""));
    std::fs::create_dir(other.folder.path("keys")).unwrap();
    let pem = std::fs::read_dir(world.sidecar.setup.folder.path("keys")).unwrap().next().unwrap().unwrap().path();
    std::fs::copy(&pem, other.folder.path("keys").join("k.pem")).unwrap();
    let other = World { sidecar: other.start().await, upstream, secrets };
    let (ours, theirs) = (world.token().await, other.token().await);
    assert_eq!(part(&ours, 0), part(&theirs, 0));
    assert_eq!((world.status(&ours).await, other.status(&theirs).await), (200, 200));
    world.sidecar.query(&theirs, FINE).await.fails(401, "UNAUTHORIZED");
    other.sidecar.query(&ours, FINE).await.fails(401, "UNAUTHORIZED");
    let shown = |proof: String, token: String| {
        let pairs =
            [("client_assertion_type", ASSERTION_TYPE.to_owned()), ("client_assertion", proof), ("token", token)];
        let sidecar = &world.sidecar;
        async move {
            let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (*name, value.as_str())).collect();
            form_at(sidecar, "/oauth/revoke", "", &pairs).await.status
        }
    };
    assert_eq!(shown(proof(&world, "https://other.example"), ours.clone()).await, 401);
    assert_eq!(world.status(&ours).await, 200);
    assert_eq!(shown(proof(&world, URL), ours.clone()).await, 200);
    assert_eq!(world.status(&ours).await, 401);
}

#[tokio::test]
async fn an_issuer_that_looks_like_ours_is_another() {
    let (upstream, secrets) = (Upstream::start().await, Secrets::new());
    let setup = setup(&upstream, &secrets, "");
    let entry =
        |name: &str| format!("{{issuer: \"{name}\", audiences: [feature-server], keys: {{jwks_file: jwks.json}}}}, ");
    let names = [format!("{URL}/"), "https://Tokens.example".to_owned(), "https://tokens.example:443".to_owned()];
    let entries: String = names.iter().map(|name| entry(name)).collect();
    let text = setup.text().replace("issuers: [", &format!("issuers: [{entries}"));
    let config = setup.folder.write("tagwarden.yaml", &text);
    let world = World { sidecar: setup.start_from(&config).await, upstream, secrets };
    let (token, header) = (world.token().await, json!({"typ": "at+jwt"}));
    let mut said = claims(&token);
    for name in &names {
        said["iss"] = json!(name);
        // A caller like any other, to whom no binding gives a role.
        world.sidecar.query(&KEY.sign_with(&header, &said), FINE).await.fails(403, "FORBIDDEN");
        world.sidecar.query(&signed(&world, &part(&token, 0), &said), FINE).await.fails(401, "UNAUTHORIZED");
    }
    said["iss"] = json!(URL);
    world.sidecar.query(&KEY.sign_with(&header, &said), FINE).await.fails(401, "UNAUTHORIZED");
    // Under the very name there is no entry.
    world
        .sidecar
        .setup
        .folder
        .write("tagwarden.yaml", text.replace(&format!("\"{URL}/\", aud"), &format!("\"{URL}\", aud")));
    let said = world.sidecar.until_state("config", "need no entry there").await;
    assert!(said.contains("duplicate-name"), "{said}");
}

#[tokio::test]
async fn a_judge_of_opaque_tokens_sees_nothing_of_the_issuer_and_does_not_speak_for_it() {
    let says = |iss: &str| {
        Act::json(
            "200 OK",
            json!({"active": true, "token_type": "Bearer", "iss": iss, "client_id": "svc", "groups": "scoring"})
                .to_string(),
        )
    };
    let (upstream, secrets) = (Upstream::start().await, Secrets::new());
    let judge = Upstream::always(says("https://elsewhere.example")).await;
    let mut setup = setup(&upstream, &secrets, "");
    setup.folder.write("secret", "secret of the judge");
    let at = format!("{{url: \"{}/introspect\", client_id: us, secret_file: secret}}", judge.url);
    setup.auth = format!(", opaque: {{introspection: {at}, ttl: 1h, negative_ttl: 0s}}");
    let world = World { sidecar: setup.start().await, upstream, secrets };
    let (_, refresh) = world.pair().await;
    for text in [world.secrets.svc.expose(), world.secrets.svc_key.expose(), &refresh, "twr_x"] {
        world.sidecar.query(text, FINE).await.fails(401, "UNAUTHORIZED");
    }
    assert_eq!(judge.count(), 0);
    world.sidecar.query("tw_another", FINE).await.fails(403, "FORBIDDEN");
    assert_eq!(judge.count(), 1);
    judge.turns_to(says(URL));
    world.sidecar.query("opaque", FINE).await.fails(401, "UNAUTHORIZED");
    world.sidecar.query("opaque", FINE).await.fails(401, "UNAUTHORIZED");
    assert_eq!(judge.count(), 2, "what it said is remembered, and refused again");
}
