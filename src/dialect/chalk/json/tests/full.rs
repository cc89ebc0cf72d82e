//! Every message that is answered, with every field that it can have: none is missing in its shape.

use super::*;

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn words() -> std::collections::BTreeMap<String, String> {
    [("a".to_owned(), "b".to_owned())].into()
}

fn time() -> Option<Timestamp> {
    Some(Timestamp { seconds: 1, nanos: 2 })
}

fn value() -> Option<Value> {
    Some(Value { kind: Some(ValueKind::Number(1.5)) })
}

fn error() -> ChalkError {
    let exception = ChalkException {
        kind: "k".to_owned(),
        message: "m".to_owned(),
        stacktrace: "s".to_owned(),
        internal_stacktrace: "i".to_owned(),
    };
    ChalkError {
        code: 11,
        category: 2,
        message: "m".to_owned(),
        display_primary_key: some("p"),
        display_primary_key_fqn: some("f"),
        exception: Some(exception),
        feature: some("f"),
        resolver: some("r"),
    }
}

fn meta() -> Option<OnlineQueryMetadata> {
    Some(OnlineQueryMetadata {
        execution_duration: Some(Duration { seconds: -1, nanos: -2 }),
        deployment_id: "d".to_owned(),
        environment_id: "e".to_owned(),
        environment_name: "n".to_owned(),
        query_id: "q".to_owned(),
        query_timestamp: time(),
        query_hash: "h".to_owned(),
        explain_output: Some(QueryExplainInfo { plan_string: some("p") }),
        metadata: words(),
        additional_metadata: [("a".to_owned(), value().unwrap())].into(),
    })
}

fn single() -> OnlineQueryResponse {
    let meta_of = FeatureMeta {
        chosen_resolver_fqn: "r".to_owned(),
        cache_hit: true,
        primitive_type: "t".to_owned(),
        version: i64::MIN,
    };
    let result = FeatureResult {
        field: "f".to_owned(),
        value: value(),
        error: Some(error()),
        ts: time(),
        meta: Some(meta_of),
        pkey: value(),
    };
    let data = Some(OnlineQueryResult { results: vec![result] });
    OnlineQueryResponse { data, errors: vec![error()], response_meta: meta() }
}

fn bulk() -> OnlineQueryBulkResponse {
    OnlineQueryBulkResponse {
        scalars_data: vec![1, 2].into(),
        groups_data: [("g".to_owned(), vec![3])].into(),
        errors: vec![error()],
        response_meta: meta(),
    }
}

fn multi() -> OnlineQueryMultiResponse {
    let single = GenericSingleResponse { query: Some(SingleResponse::Single(single())) };
    let bulk = GenericSingleResponse { query: Some(SingleResponse::Bulk(bulk())) };
    OnlineQueryMultiResponse { responses: vec![single, bulk], errors: vec![error()] }
}

fn token() -> GetTokenResponse {
    GetTokenResponse {
        access_token: "a".to_owned(),
        token_type: "t".to_owned(),
        expires_in: 3,
        expires_at: time(),
        api_server: "s".to_owned(),
        primary_environment: some("p"),
        engines: words(),
        grpc_engines: words(),
        environment_id_to_name: words(),
        environment_id_to_authority: words(),
        // Never given.
        service_prefixes: [].into(),
    }
}

fn source() -> Integration {
    let warning = IntegrationWarning {
        code: 2,
        title: "t".to_owned(),
        message: "m".to_owned(),
        config_keys: vec!["k".to_owned()],
    };
    Integration {
        id: "i".to_owned(),
        name: some("n"),
        kind: 20,
        environment_id: "e".to_owned(),
        created_at: time(),
        updated_at: time(),
        warnings: vec![warning],
    }
}

fn permissions() -> Option<FeaturePermissions> {
    Some(FeaturePermissions { tags: [("a".to_owned(), 4)].into(), default_permission: Some(3) })
}

fn agent(agent: AgentKind) -> GetAgentResponse {
    GetAgentResponse { agent: Some(Agent { agent: Some(agent) }) }
}

fn user() -> AgentKind {
    let environment = EnvironmentPermissions { feature_permissions: permissions() };
    AgentKind::User(UserAgent {
        client_id: "c".to_owned(),
        user_id: "u".to_owned(),
        team_id: "t".to_owned(),
        permissions_by_environment: [("e".to_owned(), environment)].into(),
        impersonated: true,
    })
}

fn service() -> AgentKind {
    AgentKind::ServiceToken(ServiceTokenAgent {
        id: "i".to_owned(),
        client_id: "c".to_owned(),
        team_id: "t".to_owned(),
        environment: "e".to_owned(),
        feature_permissions: permissions(),
    })
}

/// It is of its shape, and the same after it was told in JSON.
fn holds<M: prost::Message>(method: &str, message: &M) -> String {
    let bytes = message.encode_to_vec();
    let shape = messages(method).answer;
    assert_eq!(strict::check(shape, &bytes), Ok(()), "{method}");
    let text = to_json(shape, &bytes).unwrap();
    assert_eq!(to_proto(shape, &text).unwrap(), bytes, "{method}");
    String::from_utf8(text).unwrap()
}

#[test]
fn every_field_of_an_answer_is_in_its_shape() {
    holds("OnlineQuery", &single());
    holds("OnlineQueryBulk", &bulk());
    holds("OnlineQueryMulti", &multi());
    holds("UploadFeatures", &UploadFeaturesResponse { errors: vec![error()], operation_id: "o".to_owned() });
    holds("UploadFeaturesBulk", &UploadFeaturesBulkResponse { errors: vec![error()] });
    holds("Ping", &PingResponse { num: -1 });
    let told = concat!(
        r#"{"accessToken":"a","tokenType":"t","expiresIn":3,"expiresAt":"1970-01-01T00:00:01.000000002Z","#,
        r#""apiServer":"s","primaryEnvironment":"p","engines":{"a":"b"},"grpcEngines":{"a":"b"},"#,
        r#""environmentIdToName":{"a":"b"},"environmentIdToAuthority":{"a":"b"}}"#
    );
    assert_eq!(holds("GetToken", &token()), told);
    holds("ListIntegrations", &ListIntegrationsResponse { integrations: vec![source(), source()] });
    let with_secrets = IntegrationWithSecrets { integration: Some(source()) };
    holds("GetIntegration", &GetIntegrationResponse { integration_with_secrets: Some(with_secrets) });
    for method in ["GetIntegrationByName", "InsertIntegration", "UpdateIntegration"] {
        holds(method, &IntegrationResponse { integration: Some(source()) });
    }
    let (kind, message) = ("k".to_owned(), "m".to_owned());
    let tested = TestIntegrationResponse { kind, success: true, message, latency_seconds: Some(0.0) };
    let told = r#"{"kind":"k","success":true,"message":"m","latencySeconds":0.0}"#;
    assert_eq!(holds("TestIntegration", &tested), told);
    assert_eq!(holds("DeleteIntegration", &DeleteIntegrationResponse {}), "{}");
    holds("GetAgent", &agent(user()));
    let told = concat!(
        r#"{"agent":{"serviceTokenAgent":{"id":"i","clientId":"c","teamId":"t","environment":"e","featurePermissions":"#,
        r#"{"tags":{"a":"FEATURE_PERMISSION_ALLOW_DOWNSTREAM"},"defaultPermission":"FEATURE_PERMISSION_DENY"}}}}"#
    );
    assert_eq!(holds("GetAgent", &agent(service())), told);
}
