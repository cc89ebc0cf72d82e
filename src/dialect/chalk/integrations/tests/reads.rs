//! Questions: what is reached, what is answered.

use super::*;

#[test]
fn a_caller_sees_what_it_reaches() {
    let all = ["pg_main", "pg_pii", "events", "new_one", "pg_main", "i6"];
    for (roles, wanted) in [
        (&["all"][..], &all[..]),
        (&["prod"], &["pg_main", "events", "i6"]),
        (&["pii"], &["pg_pii"]),
        (&["none"], &[]),
        (&["all", "prod"], &["pg_main", "events", "i6"]),
        (&["prod", "pii"], &[]),
        (&[], &[]),
    ] {
        assert_eq!(world(roles).names(), wanted, "{roles:?}");
    }
    let loose = "combine: most_permissive\n";
    for (roles, wanted) in [
        (&["prod", "pii"][..], &["pg_main", "pg_pii", "events", "i6"][..]),
        (&["all", "none"], &all),
        (&["none"], &[]),
        (&[], &[]),
    ] {
        assert_eq!(world_of(loose, roles).names(), wanted, "{roles:?}");
    }
}

#[test]
fn another_environment_has_no_sources_here() {
    let world = world(&["all"]);
    let elsewhere = Asker { environment: Some("other"), ..world.asker() };
    let get = |asker| Call::Get("i8".to_owned()).decide(asker, &server());
    assert_eq!(get(world.asker()), Err(Refused::NotFound));
    assert!(matches!(get(elsewhere), Ok(Step::Answer(..))));
    // Nobody said which one is here.
    assert_eq!(get(Asker { environment: None, ..world.asker() }), Err(Refused::NotFound));
}

#[test]
fn without_an_environment_none_is_of_ours() {
    let world = world(&["all"]);
    let nowhere = Asker { environment: None, ..world.asker() };
    let listed = |mut sources: Vec<Integration>, of_none: bool| {
        sources.iter_mut().filter(|_| of_none).for_each(|source| source.environment_id.clear());
        let Ok(Step::Answer(message, _)) = Call::List.decide(nowhere, &sources) else { panic!() };
        ListIntegrationsResponse::decode(message).unwrap().integrations.len()
    };
    assert_eq!(listed(server(), false), 0);
    assert!(listed(server(), true) > 0);
}

#[test]
fn one_source_is_answered_from_the_list() {
    let world = world(&["prod"]);
    let wanted = source("i1", Some("pg_main"), IntegrationKind::Postgresql);
    let answer = GetIntegrationResponse {
        integration_with_secrets: Some(IntegrationWithSecrets { integration: Some(wanted.clone()) }),
    };
    let step = Step::Answer(answer.encode_to_vec().into(), 0);
    assert_eq!(world.decide(Call::Get("i1".to_owned())), Ok(step));
    let answer = IntegrationResponse { integration: Some(wanted) };
    let step = Step::Answer(answer.encode_to_vec().into(), 0);
    // The other one of this name is out of reach, and so not in the way.
    assert_eq!(world.decide(Call::GetByName("pg_main".to_owned())), Ok(step));
}

#[test]
fn what_is_out_of_reach_is_as_what_is_not_there() {
    let world = world(&["prod"]);
    for id in ["i2", "i4", "i5", "i7", "i8", "i9", "I1", "pg_main"] {
        assert_eq!(world.decide(Call::Get(id.to_owned())), Err(Refused::NotFound), "{id}");
        assert_eq!(world.decide(Call::Test(saved(id))), Err(Refused::NotFound), "{id}");
    }
    for name in ["pg_pii", "new_one", "nobody", "PG_MAIN", "i1"] {
        assert_eq!(world.decide(Call::GetByName(name.to_owned())), Err(Refused::NotFound), "{name}");
    }
    // Which of two that are both within reach is meant, nobody can say.
    let both = super::world(&["all"]);
    assert_eq!(both.decide(Call::GetByName("pg_main".to_owned())), Err(Refused::NotFound));
    let mut twice = server();
    twice.push(source("i1", Some("pg_pii"), IntegrationKind::Postgresql));
    for roles in [&["prod"][..], &["all"]] {
        let world = super::world(roles);
        assert_eq!(Call::Get("i1".to_owned()).decide(world.asker(), &twice), Err(Refused::NotFound), "{roles:?}");
    }
}

#[test]
fn a_saved_source_is_tested_by_who_reaches_it() {
    let world = world(&["prod"]);
    let forwarded = |test: &TestIntegrationRequest, kind: IntegrationKind| {
        Ok(Step::Forward(test.encode_to_vec().into(), Expected::Tested { kind: kind.into() }))
    };
    assert_eq!(world.decide(Call::Test(saved("i1"))), forwarded(&saved("i1"), IntegrationKind::Postgresql));
    let of = |kind: IntegrationKind| TestIntegrationRequest { kind: kind.into(), ..saved("i1") };
    let same = of(IntegrationKind::Postgresql);
    assert_eq!(world.decide(Call::Test(same.clone())), forwarded(&same, IntegrationKind::Postgresql));
    assert_eq!(world.decide(Call::Test(of(IntegrationKind::Kafka))), Err(Refused::NotFound));
    // Nobody has a preview, whoever asks for one.
    let preview = TestIntegrationRequest { include_preview: Some(true), ..saved("i1") };
    assert_eq!(read_as(Method::Test, &preview), Ok(Call::Test(saved("i1"))));
}

#[test]
fn settings_of_a_test_are_for_who_manages() {
    let inline = TestIntegrationRequest {
        kind: IntegrationKind::Postgresql.into(),
        config: literal(),
        ..TestIntegrationRequest::default()
    };
    let variables = TestIntegrationRequest {
        environment_variables: [("PGHOST".to_owned(), "evil.example".to_owned())].into(),
        ..saved("i1")
    };
    let over = TestIntegrationRequest { config: literal(), ..saved("i1") };
    let nothing = TestIntegrationRequest { kind: 13, ..TestIntegrationRequest::default() };
    for test in [&inline, &variables, &over, &nothing] {
        for (roles, permitted) in
            [(&["prod"][..], false), (&["all"], false), (&["prod-admin"], true), (&["admin"], true)]
        {
            let world = world(roles);
            let call = Call::Test(test.clone());
            assert_eq!(call.admit(world.asker()).is_ok(), permitted, "{roles:?}: {test:?}");
            let expected = Expected::Tested { kind: 13 };
            let wanted =
                if permitted { Ok(Step::Forward(test.encode_to_vec().into(), expected)) } else { Err(Refused::Manage) };
            assert_eq!(world.decide(call), wanted, "{roles:?}: {test:?}");
        }
    }
    assert!(!Call::Test(inline).looks_up() && Call::Test(variables).looks_up());
    let beyond = TestIntegrationRequest { config: literal(), ..saved("i2") };
    assert_eq!(world(&["prod-admin"]).decide(Call::Test(beyond)), Err(Refused::NotFound));
}

#[test]
fn a_test_tells_whether_it_worked_and_no_more() {
    let expected = Expected::Tested { kind: IntegrationKind::Postgresql.into() };
    for (success, text) in [(true, "ok"), (false, "the data source cannot be connected to")] {
        let mut from = TestIntegrationResponse {
            kind: "postgresql://u:hunter2@db".to_owned(),
            success,
            message: "row 1: 000-00-0000, password hunter2".to_owned(),
            latency_seconds: Some(0.5),
        };
        let mut message = from.encode_to_vec();
        // A previewed message: `aHVudGVyMg==`.
        message.extend([0x2a, 0x0e, 0x0a, 0x0c]);
        message.extend(b"aHVudGVyMg==");
        let wanted = TestIntegrationResponse {
            kind: "postgresql".to_owned(),
            success,
            message: text.to_owned(),
            latency_seconds: Some(0.5),
        };
        assert_eq!(expected.filter(&message.into()), Ok(wanted.encode_to_vec().into()));
        for odd in [f64::NAN, f64::INFINITY, -1.0] {
            from.latency_seconds = Some(odd);
            let wanted = TestIntegrationResponse { latency_seconds: None, ..wanted.clone() };
            assert_eq!(expected.filter(&from.encode_to_vec().into()), Ok(wanted.encode_to_vec().into()), "{odd}");
        }
    }
}

#[test]
fn warnings_are_of_a_closed_list() {
    let told = |code| IntegrationWarning {
        code,
        title: "hunter2".to_owned(),
        message: "hunter2".to_owned(),
        config_keys: vec!["hunter2".to_owned()],
    };
    let mut one = source("i1", Some("pg_main"), IntegrationKind::Postgresql);
    one.warnings = vec![told(2), told(0), told(3), told(1)];
    let Ok(Step::Answer(answer, 0)) = Call::List.decide(world(&["all"]).asker(), &[one]) else { panic!() };
    assert!(!String::from_utf8_lossy(&answer).contains("hunter2"));
    let list = ListIntegrationsResponse::decode(answer).unwrap();
    let codes: Vec<i32> = list.integrations[0].warnings.iter().map(|warning| warning.code).collect();
    assert_eq!(codes, [2, 1]);
}

#[test]
fn recorded_questions_are_answered_as_they_were() {
    let world = world(&["all"]);
    let list = listed(&fixture("ListIntegrations.resp")).unwrap();
    let answered = |method, request: Bytes| match read(method, &request).unwrap().decide(world.asker(), &list) {
        Ok(Step::Answer(answer, 0)) => answer,
        other => panic!("{other:?}"),
    };
    assert_eq!(answered(Method::List, Bytes::new()), fixture("ListIntegrations.resp"));
    assert_eq!(answered(Method::Get, fixture("GetIntegration.req")), fixture("GetIntegration.resp"));
    let test = read(Method::Test, &fixture("TestIntegration.req")).unwrap();
    let Ok(Step::Forward(message, expected)) = test.decide(world.asker(), &list) else { panic!() };
    assert_eq!(message, fixture("TestIntegration.req"));
    assert_eq!(expected.filter(&fixture("TestIntegration.resp")), Ok(fixture("TestIntegration.resp")));
    let damaged = Unreadable("the answer about data sources is no such message".to_owned());
    assert_eq!(listed(&Bytes::from_static(b"\x0a\xff")), Err(damaged));
}
