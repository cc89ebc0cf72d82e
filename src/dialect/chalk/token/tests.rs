use super::*;

const US: &str = "https://features.example";
const ENVIRONMENT: &str = "envmock1";
const SECRET: &str = "hunter2-of-a-client";

/// As chalkpy 2.166.1 sends it.
const ASKED: &str = r#"{"client_id": "token-full", "client_secret": "ts-full-secret", "grant_type": "client_credentials", "scope": null}"#;

/// As a deployment answers it, with all that leads past a proxy.
fn given() -> Value {
    json!({
        "access_token": "at", "token_type": "Bearer", "expires_in": 3600, "expires_at": "2026-11-22T12:43:06+00:00",
        "api_server": "https://api.chalk.example", "primary_environment": "other",
        "engines": {"envmock1": "https://engine.chalk.example", "other": "https://other.chalk.example"},
        "grpc_engines": {"envmock1": "https://grpc.chalk.example", "other": "https://other.chalk.example"},
        "environment_id_to_name": {"envmock1": "production", "other": "staging"},
        "environment_id_to_authority": {"envmock1": "chalk.example"}, "service_prefixes": {"1": "engine"},
        "refresh_token": "rt", "metadata_server": "https://meta.chalk.example",
    })
}

fn json_of(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn a_request_is_made_anew() {
    let anew = read_token_json(ASKED.as_bytes()).unwrap();
    assert_eq!(json_of(&anew), json_of(ASKED.as_bytes()));
    let short = format!(r#"{{"grant_type":"client_credentials","client_id":"c","client_secret":"{SECRET}"}}"#);
    let anew = json_of(&read_token_json(short.as_bytes()).unwrap());
    assert_eq!(anew["scope"], Value::Null);
    let scoped = json_of(ASKED.replace("null", "\"query\"").as_bytes());
    assert_eq!(json_of(&read_token_json(scoped.to_string().as_bytes()).unwrap())["scope"], "query");
}

#[test]
fn what_else_a_request_says_is_refused_without_showing_it() {
    let with = |name: &str, value: Value| {
        let mut asked = json!({"client_id": "c", "client_secret": SECRET, "grant_type": GRANT, "scope": null});
        asked[name] = value;
        asked.to_string()
    };
    let missing = |name: &str| {
        let mut asked = json_of(ASKED.as_bytes());
        asked.as_object_mut().unwrap().remove(name);
        asked.to_string()
    };
    let object = "the body is no JSON object with every member once";
    let alone = "a token is asked for with `client_id`, `client_secret`, `grant_type` and `scope` alone";
    let grant = "the grant is `client_credentials`, and there is no other";
    for (body, message) in [
        (format!("client_secret={SECRET}&grant_type=client_credentials"), object),
        (format!(r#"{{"client_secret":"{SECRET}","client_secret":"x"}}"#), object),
        (format!(r#"["{SECRET}"]"#), object),
        (format!("{}x", with("scope", Value::Null)), object),
        (with(SECRET, json!(1)), alone),
        (with("expires_at", json!("1h")), alone),
        (with("grant_type", json!("refresh_token")), grant),
        (with("grant_type", json!(SECRET)), grant),
        (with("grant_type", Value::Null), "`grant_type` is missing, or no text"),
        (with("client_secret", json!([SECRET])), "`client_secret` is missing, or no text"),
        (with("client_id", json!("")), "`client_id` is missing, or no text"),
        (missing("client_id"), "`client_id` is missing, or no text"),
        (with("scope", json!([SECRET])), "`scope` is neither a text nor null"),
    ] {
        let error = read_token_json(body.as_bytes()).unwrap_err();
        assert_eq!(error, Invalid(message.to_owned()), "{body}");
        assert!(!format!("{error} {error:?}").contains(SECRET));
    }
}

#[test]
fn a_request_over_grpc_is_made_anew() {
    let asked = GetTokenRequest {
        client_id: "c".to_owned(),
        client_secret: SECRET.to_owned(),
        grant_type: GRANT.to_owned(),
        ..Default::default()
    };
    assert_eq!(read_token_proto(asked.clone()), Ok(asked.clone()));
    let refused = |change: &dyn Fn(&mut GetTokenRequest)| {
        let mut asked = asked.clone();
        change(&mut asked);
        let error = read_token_proto(asked).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(SECRET));
        error.0
    };
    let missing = "a token is asked for without `client_id` or without `client_secret`";
    assert_eq!(refused(&|asked| asked.client_id.clear()), missing);
    assert_eq!(refused(&|asked| asked.client_secret.clear()), missing);
    let grant = "the grant is `client_credentials`, and there is no other";
    assert_eq!(refused(&|asked| SECRET.clone_into(&mut asked.grant_type)), grant);
}

#[test]
fn an_answer_leads_nowhere_but_to_us() {
    let anew = json_of(&rewrite_token_json(given().to_string().as_bytes(), US, Some(ENVIRONMENT)).unwrap());
    let us = json!({"envmock1": "https://features.example"});
    assert_eq!(
        anew,
        json!({
            "access_token": "at", "token_type": "Bearer", "expires_in": 3600, "expires_at": "2026-11-22T12:43:06+00:00",
            "api_server": "https://features.example", "primary_environment": "envmock1",
            "engines": us, "grpc_engines": us, "environment_id_to_name": {"envmock1": "production"},
        })
    );
    // Where nobody said which environment is here, none is named, and none of the deployment's.
    let anew = json_of(&rewrite_token_json(given().to_string().as_bytes(), US, None).unwrap());
    assert_eq!((&anew["api_server"], &anew["primary_environment"]), (&json!(US), &Value::Null));
    let named = ["engines", "grpc_engines", "environment_id_to_name"].map(|key| anew[key].clone());
    assert_eq!(named, [json!({}), json!({}), json!({})]);
    // Of an answer that tells next to nothing all is there too.
    let least =
        json!({"access_token": "at", "token_type": "Bearer", "expires_in": 0, "engines": null, "expires_at": null});
    let anew = json_of(&rewrite_token_json(least.to_string().as_bytes(), US, Some(ENVIRONMENT)).unwrap());
    assert_eq!(anew["environment_id_to_name"], json!({"envmock1": "envmock1"}));
    assert_eq!((&anew["engines"], &anew["grpc_engines"], anew.get("expires_at")), (&us, &us, None));
}

#[test]
fn an_answer_without_a_token_is_not_passed_on() {
    let with = |name: &str, value: Value| {
        let mut answer = given();
        answer["access_token"] = json!(SECRET);
        answer[name] = value;
        answer.to_string()
    };
    for (body, message) in [
        (SECRET.to_owned(), "the token's answer is no JSON object"),
        (r#"{"access_token":"a","access_token":"b"}"#.to_owned(), "the token's answer is no JSON object"),
        (with("access_token", Value::Null), "the token's answer has no text `access_token`"),
        (with("access_token", json!("")), "the token's answer has no text `access_token`"),
        (with("token_type", json!(1)), "the token's answer has no text `token_type`"),
        (with("expires_in", json!("3600")), "the token's answer has no whole number `expires_in`"),
        (with("expires_in", json!(-1)), "the token's answer has no whole number `expires_in`"),
        (with("expires_at", json!("https://chalk.example/")), "the token's answer has an `expires_at` that is no time"),
        (with("expires_at", json!(7)), "the token's answer has an `expires_at` that is no time"),
    ] {
        let error = rewrite_token_json(body.as_bytes(), US, Some(ENVIRONMENT)).unwrap_err();
        assert_eq!(error, Unreadable(message.to_owned()), "{body}");
    }
}

#[test]
fn an_answer_over_grpc_leads_nowhere_but_to_us() {
    let map = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
    let given = GetTokenResponse {
        access_token: SECRET.to_owned(),
        token_type: "Bearer".to_owned(),
        expires_in: 3600,
        expires_at: Some(super::super::proto::Timestamp { seconds: 7, nanos: 1 }),
        api_server: "https://api.chalk.example".to_owned(),
        primary_environment: Some("other".to_owned()),
        engines: map("envmock1", "https://engine.chalk.example"),
        grpc_engines: map("other", "https://grpc.chalk.example"),
        environment_id_to_name: map("envmock1", "production"),
        environment_id_to_authority: map("envmock1", "chalk.example"),
        service_prefixes: BTreeMap::from([(1, "engine".to_owned())]),
    };
    let us = map("envmock1", "https://features.example");
    let wanted = GetTokenResponse {
        api_server: "https://features.example".to_owned(),
        primary_environment: Some("envmock1".to_owned()),
        engines: us.clone(),
        grpc_engines: us,
        environment_id_to_authority: BTreeMap::new(),
        service_prefixes: BTreeMap::new(),
        ..given.clone()
    };
    let anew = rewrite_token_proto(given.clone(), US, None).unwrap();
    assert_eq!((&*anew.api_server, &anew.primary_environment), (US, &None));
    assert!(anew.engines.is_empty() && anew.grpc_engines.is_empty() && anew.environment_id_to_name.is_empty());
    let anew = rewrite_token_proto(given.clone(), US, Some(ENVIRONMENT)).unwrap();
    // Field by field, for Debug shows no token.
    assert!(anew == wanted, "{anew:?}");
    let bytes = prost::Message::encode_to_vec(&anew);
    assert!(!String::from_utf8_lossy(&bytes).contains("chalk.example"));
    for broken in [
        GetTokenResponse { access_token: String::new(), ..given.clone() },
        GetTokenResponse { token_type: String::new(), ..given.clone() },
        GetTokenResponse { expires_in: -1, ..given },
    ] {
        let why = "the answer to GetToken holds no token, no type of it, or no time that it holds";
        assert_eq!(rewrite_token_proto(broken, US, Some(ENVIRONMENT)), Err(Unreadable(why.to_owned())));
    }
}
