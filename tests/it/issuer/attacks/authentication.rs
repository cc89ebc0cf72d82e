//! Who asks: said in one way, and learnt by nobody else.

use tagwarden::issuer::secret::imported;

use super::{GRANT, basic};
use crate::issuer::World;

#[tokio::test]
async fn basic_credentials_are_read_in_one_way() {
    let world = World::start().await;
    // A colon, what form-encoding changes, and what is no ASCII.
    let secret = "pä:ss+%41&=w rd";
    let more = format!("  brought: {{secrets: [{{id: s1, hash: '{}'}}]}}\n", imported::hash(secret).unwrap());
    world.clients(&(world.secrets.file("") + &more));
    world.sidecar.until_metric("tagwarden_reloads_total{kind=\"clients\",result=\"ok\"}", 1.0).await;
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let ask = async |headers: &str| world.form_with("/oauth/token", headers, &[GRANT]).await;
    let generated = world.secrets.svc.expose();
    let plain = basic(format!("brought:{secret}"));
    for headers in [
        plain.clone(),
        basic(format!("brought:{}", encoded(secret))),
        basic(format!("{}:{}", "%62rought", encoded(secret))),
        basic(format!("svc:{generated}")).replace("Basic", "bAsIc"),
        basic(format!("svc:{generated}")),
    ] {
        assert_eq!(ask(&headers).await.status, 200, "{headers}");
    }
    let pairs = [GRANT, ("client_id", "brought"), ("client_secret", secret)];
    assert_eq!(world.form("/oauth/token", &pairs).await.status, 200);
    let named = world.form_with("/oauth/token", &plain, &[GRANT, ("client_id", "brought")]).await;
    assert_eq!(named.status, 200);

    let long = "x".repeat(20_000);
    let good = format!("svc:{generated}");
    let unpadded = basic(format!("{good}  "));
    assert!(unpadded.contains('='), "{unpadded}");
    let mut bare = format!("{}\r\n", unpadded.trim_end().trim_end_matches('='));
    for headers in [
        basic(encoded(&encoded(&format!("brought:{secret}")))),
        basic(format!("brought:{}", encoded(&encoded(secret)))),
        basic(format!("brought:{}", secret.replace('ä', "a\u{308}"))),
        basic(format!("svc%3A{generated}")),
        basic(format!("svc:{generated}\n")),
        basic(format!("svc: {generated}")),
        basic(format!("svc :{generated}")),
        basic(format!("Svc:{generated}")),
        basic(format!(":{generated}")),
        basic("svc:"),
        basic(":"),
        basic("svc"),
        basic(""),
        basic(generated),
        basic([good.as_bytes(), b"\xff"].concat()),
        basic([b"svc\0:", generated.as_bytes()].concat()),
        basic(format!("{long}:{generated}")),
        basic(format!("svc:{long}")),
        basic(&good).replace("Basic ", "Basic"),
        basic(&good).replace("Basic ", "Basic\t"),
        basic(&good).replace("Basic ", "Basic x "),
        basic(&good).replace("Basic ", "Bearer "),
        basic(&good).replace("\r\n", "====\r\n"),
        std::mem::take(&mut bare),
    ] {
        let answer = ask(&headers).await;
        let shown = &headers[..headers.len().min(80)];
        // Who fails too often is told so.
        assert!([401, 429].contains(&answer.status), "{shown} {answer:?}");
        assert_eq!(answer.json()["error"], "invalid_client", "{shown}");
    }
}

#[tokio::test]
async fn one_way_of_client_authentication_a_request() {
    let world = World::start().await;
    let secret = world.secrets.svc.expose();
    let good = basic(format!("svc:{secret}"));
    let key = format!("x-api-key: {}\r\n", world.secrets.svc_key.expose());
    let (id, post) = (("client_id", "svc"), ("client_secret", secret));
    let assertion = ("client_assertion", "x.y.z");
    for path in ["/oauth/token", "/v1/oauth/token", "/oauth/revoke", "/oauth/introspect"] {
        for (headers, pairs) in [
            (good.repeat(2), vec![]),
            (format!("{good}{}", basic("svc:wrong")), vec![]),
            (good.clone(), vec![post]),
            (good.clone(), vec![("client_secret", "")]),
            (good.clone(), vec![assertion]),
            (good.clone(), vec![("client_id", "other")]),
            (String::new(), vec![id, post, assertion]),
            (format!("{good}{key}"), vec![]),
            (format!("{good}x-api-key: \r\n"), vec![]),
            (key.clone(), vec![id, post]),
            (key.repeat(2), vec![]),
            (String::new(), vec![id, post, ("client_id", "svc")]),
            (String::new(), vec![id, post, ("client_secret", secret)]),
        ] {
            let pairs = [&[GRANT, ("token", "x")], &pairs[..]].concat();
            let answer = world.form_with(path, &headers, &pairs).await;
            let error = answer.json()["error"].as_str().map(str::to_owned);
            assert_eq!((answer.status, error.as_deref()), (400, Some("invalid_request")), "{path} {headers}{pairs:?}");
        }
    }
    // A key alone says nothing of who may have a token for a secret.
    assert_eq!(world.form_with("/oauth/token", &key, &[GRANT]).await.status, 401);
}

#[tokio::test]
async fn who_is_a_client_is_told_by_no_status_body_or_header() {
    let world = World::start().await;
    let text = world.secrets.file(", disabled: true");
    world.clients(&text);
    world.sidecar.until_metric("tagwarden_reloads_total{kind=\"clients\",result=\"ok\"}", 1.0).await;
    let wrong = world.secrets.svc_key.expose();
    // Disabled, known, without a secret, unknown: over the count, in one window of it.
    let minute = || crate::support::tokens::now() / 60;
    let told = loop {
        let (begun, mut told) = (minute(), Vec::new());
        for id in ["svc", "other", "keyed", "unknown"] {
            let mut answers = Vec::new();
            for number in 0..13 {
                let path = if number % 2 == 0 { "/oauth/token" } else { "/oauth/introspect" };
                let pairs = [GRANT, ("token", "x"), ("client_id", id), ("client_secret", wrong)];
                let mut answer = world.form(path, &pairs).await;
                answer
                    .headers
                    .retain(|(name, _)| !["date", "x-tagwarden-decision-id", "retry-after"].contains(&&**name));
                answers.push((answer.status, answer.headers.clone(), answer.text().to_owned()));
            }
            told.push(answers);
        }
        if begun == minute() {
            break told;
        }
    };
    let statuses: Vec<u16> = told[0].iter().map(|(status, _, _)| *status).collect();
    assert_eq!(statuses, [[401; 10].as_slice(), &[429; 3]].concat());
    assert!(told.iter().all(|answers| *answers == told[0]), "{told:?}");
}
