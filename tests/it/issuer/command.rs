//! `token`: the program beside a running issuer.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};

use super::{Secrets, URL, World, claims, pair, part};
use crate::support::client::request;
use crate::support::process::command;
use crate::support::sidecar::FINE;

/// Runs `token …` with this input: exit code, standard output, standard error.
async fn token(arguments: &[&str], input: &str) -> (i32, String, String) {
    let mut command = command(["token"].iter().chain(arguments));
    let input = input.to_owned();
    let run = move || {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn config(world: &World) -> String {
    world.sidecar.setup.folder.path("tagwarden.yaml").display().to_string()
}

async fn fine(arguments: &[&str], input: &str) -> String {
    let (code, out, said) = token(arguments, input).await;
    assert_eq!((code, said.as_str()), (0, ""), "{arguments:?}");
    out
}

#[tokio::test]
async fn a_minted_token_is_one_of_the_issuers_own() {
    let world = World::start().await;
    let config = config(&world);
    let printed = fine(&["mint", "--config", &config, "--client", "svc"], "").await;
    let minted = printed.trim();
    assert_eq!(world.status(minted).await, 200);
    let said = claims(minted);
    let (iat, exp) = (said["iat"].as_i64().unwrap(), said["exp"].as_i64().unwrap());
    assert_eq!((exp - iat, &said["groups"], &said["tier"]), (3600, &json!(["scoring"]), &json!(2)));
    let more = ["--ttl", "10m", "--claim", "groups=[\"cutters\"]", "--claim", "ticket=a b"];
    let arguments = [&["mint", "--config", &config, "--client", "svc"][..], &more].concat();
    let said = claims(fine(&arguments, "").await.trim());
    let life = said["exp"].as_i64().unwrap() - said["iat"].as_i64().unwrap();
    assert_eq!((life, &said["groups"], &said["ticket"]), (600, &json!(["cutters"]), &json!("a b")));
}

#[tokio::test]
async fn what_would_not_be_accepted_is_not_minted() {
    let world = World::start().await;
    let config = config(&world);
    world.sidecar.setup.folder.write("clients.yaml", world.secrets.file(", disabled: true"));
    let cases: [(&[&str], &str); 6] = [
        (&["--client", "unknown"], "there is no client `unknown`\n"),
        (&["--client", "svc"], "client `svc` is disabled, so no token of its is accepted\n"),
        (
            &["--client", "other", "--ttl", "31d"],
            "`--ttl` is not from 1 s to 2592000 s, the longer of the issuer's two, for which revocations are kept\n",
        ),
        (&["--client", "other", "--claim", "a=1", "--claim", "a=2"], "claim `a` is given twice\n"),
        (&["--client", "other", "--claim", "sub=x"], "claim `sub`"),
        (&["--client", "other", "--claim", "cnf={}"], "claim `cnf`"),
    ];
    for (more, why) in cases {
        let (code, out, said) = token(&[&["mint", "--config", &config][..], more].concat(), "").await;
        assert_eq!((code, out.as_str()), (2, ""), "{said}");
        assert!(said.starts_with(why), "{said}");
    }
    let without =
        world.sidecar.setup.folder.write("without.yaml", world.sidecar.setup.text().replace("issuer: {url", "# {url"));
    let (code, _, said) = token(&["mint", "--config", without.to_str().unwrap(), "--client", "svc"], "").await;
    assert_eq!((code, said.as_str()), (3, "the configuration has no `issuer`\n"));
}

#[tokio::test]
async fn a_token_is_shown_without_its_signature() {
    let world = World::start().await;
    let config = config(&world);
    let minted = world.token().await;
    let signature = minted.rsplit('.').next().unwrap();
    for (arguments, input) in
        [(vec!["inspect", &*minted], ""), (vec!["inspect"], &*minted), (vec!["inspect", "-"], &minted)]
    {
        let out = fine(&arguments, input).await;
        assert!(!out.contains(signature), "{out}");
        let told: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((&told["header"], &told["claims"]), (&part(&minted, 0), &claims(&minted)));
        assert_eq!(told["signature"], "not checked");
        assert!(told["expires"].as_str().unwrap().starts_with("in 3"), "{out}");
    }
    let checked = |token: String| {
        let config = config.clone();
        async move {
            let out = fine(&["inspect", "--config", &config], &token).await;
            serde_json::from_str::<Value>(&out).unwrap()["signature"].clone()
        }
    };
    assert_eq!(checked(minted.clone()).await, "good");
    let other = crate::support::tokens::KEY.token(&[]);
    assert_eq!(checked(other).await, "not an access token of this issuer");
    let (code, out, said) = token(&["inspect", "canary-opaque"], "").await;
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(said.starts_with("it is no JWS") && !said.contains("canary"), "{said}");
    assert_eq!(token(&["inspect"], "\n").await.0, 2);
}

#[tokio::test]
async fn tokens_and_families_are_revoked_at_the_running_issuer() {
    let world = World::start().await;
    let (config, url) = (config(&world), format!("http://{}/", world.sidecar.data));
    let revoke = |what: Vec<String>, input: String| {
        let arguments = ["revoke", "--config", &config, "--url", &url].map(str::to_owned);
        async move {
            let all: Vec<String> = arguments.into_iter().chain(what).collect();
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            assert_eq!(fine(&all, &input).await, "revoked\n");
        }
    };
    let (by_token, by_input, by_jti) = (world.token().await, world.token().await, world.token().await);
    revoke(vec![by_token.clone()], String::new()).await;
    assert_eq!((world.status(&by_token).await, world.status(&by_input).await), (401, 200));
    revoke(vec!["-".into()], by_input.clone()).await;
    assert_eq!((world.status(&by_input).await, world.status(&by_jti).await), (401, 200));
    revoke(vec!["--jti".into(), claims(&by_jti)["jti"].as_str().unwrap().to_owned()], String::new()).await;
    assert_eq!(world.status(&by_jti).await, 401);
    let (access, refresh) = world.pair().await;
    let (second, newest) = pair(&world.refresh(&refresh).await);
    let family = claims(&access)["family"].as_str().unwrap().to_owned();
    revoke(vec!["--family".into(), family], String::new()).await;
    assert_eq!((world.status(&access).await, world.status(&second).await), (401, 401));
    world.refresh(&newest).await.fails(401, "INVALID_REFRESH_TOKEN");
    // A minted one that lives longer than those of the issuer.
    let minted = fine(&["mint", "--config", &config, "--client", "other", "--ttl", "30d"], "").await;
    let minted = minted.trim().to_owned();
    assert_eq!(world.status(&minted).await, 200);
    revoke(vec![], minted.clone()).await;
    assert_eq!(world.status(&minted).await, 401);
}

#[tokio::test]
async fn another_key_or_address_revokes_nothing() {
    let (world, other) = (World::start().await, World::start().await);
    let victim = world.token().await;
    let url = format!("http://{}", world.sidecar.data);
    let (code, out, said) = token(&["revoke", "--config", &config(&other), "--url", &url, &victim], "").await;
    let told = "the issuer answered 401: client authentication failed\n";
    assert_eq!((code, out.as_str(), said.as_str()), (1, "", told));
    assert_eq!(world.status(&victim).await, 200);
    let (code, _, said) = token(&["revoke", "--config", &config(&world), "--url", "ftp://x", &victim], "").await;
    assert_eq!(code, 2);
    assert!(said.starts_with("`--url`: ") && !said.contains(&victim), "{said}");
    let (code, _, said) =
        token(&["revoke", "--config", &config(&world), "--url", "http://127.0.0.1:1", &victim], "").await;
    assert_eq!(code, 1);
    assert!(said.starts_with("the issuer does not answer: "), "{said}");
    let both = ["revoke", "--config", &config(&world), "--url", &url, "--jti", "x", "--family", "y"];
    assert_eq!(token(&both, "").await.0, 2);
}

#[tokio::test]
async fn an_assertion_opens_no_other_door() {
    use tagwarden::issuer::{ASSERTION_TYPE, assertion, keys::SigningKeys};
    let world = World::start().await;
    let keys = SigningKeys::read(&world.sidecar.setup.folder.path("keys")).unwrap();
    let now = u64::try_from(crate::support::tokens::now()).unwrap();
    let fresh = assertion(&keys, URL, now).unwrap();
    let shown = |assertion: &str| {
        let pairs = [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", assertion), ("jti", "x")];
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    for (assertion, status) in [
        (fresh.clone(), 200),
        (assertion(&keys, URL, now - 60).unwrap(), 401),
        (assertion(&keys, URL, now + 600).unwrap(), 401),
        (assertion(&keys, "https://other.example", now).unwrap(), 401),
        (world.token().await, 401),
    ] {
        let pairs = shown(&assertion);
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(world.form("/oauth/revoke", &pairs).await.status, status, "{assertion}");
        for path in ["/oauth/token", "/oauth/introspect"] {
            let pairs = [&pairs[..], &[("grant_type", "client_credentials"), ("token", "x")]].concat();
            assert_eq!(world.form(path, &pairs).await.status, 401);
        }
    }
    // Nor does one that was never shown before, for it is good once.
    for path in ["/oauth/token", "/oauth/introspect"] {
        let unused = shown(&assertion(&keys, URL, now).unwrap());
        let mut pairs: Vec<(&str, &str)> = unused.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        pairs.extend([("grant_type", "client_credentials"), ("token", "x")]);
        assert_eq!(world.form(path, &pairs).await.status, 401, "{path}");
    }
    for bearer in [fresh, assertion(&keys, URL, now).unwrap()] {
        world.sidecar.query(&bearer, FINE).await.fails(401, "UNAUTHORIZED");
    }
    // Without it, nobody names another's.
    let Secrets { svc, .. } = &world.secrets;
    let own = [("client_id", "svc"), ("client_secret", svc.expose())];
    for what in [("jti", "x"), ("family", "x")] {
        let answer = world.form("/oauth/revoke", &[own[0], own[1], what]).await;
        assert_eq!((answer.status, answer.json()["error"].as_str()), (400, Some("invalid_request")));
    }
    let answer = world.sidecar.ask(request("POST", "/oauth/revoke?token=x", "", "")).await;
    assert_eq!(answer.status, 400);
}
