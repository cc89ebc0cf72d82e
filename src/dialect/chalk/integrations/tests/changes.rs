//! Changes: who makes them, of what, and what comes back.

use super::*;

fn forwarded<M: prost::Message>(message: &M, id: Option<&str>, name: &str, kind: IntegrationKind) -> Step {
    let expected = Expected::Changed { id: id.map(str::to_owned), name: Some(name.to_owned()), kind: kind.into() };
    Step::Forward(message.encode_to_vec().into(), expected)
}

#[test]
fn who_does_not_manage_changes_nothing() {
    for roles in [&["all"][..], &["prod"], &["all", "admin"], &["prod", "prod-admin"], &[]] {
        let world = world(roles);
        for id in ["i1", "i2", "i9"] {
            let changes = [
                delete(id),
                Call::Update(update(id, "")),
                Call::Update(update(id, "events")),
                Call::Insert(insert("events", IntegrationKind::Kafka)),
            ];
            for call in changes {
                assert_eq!(call.admit(world.asker()), Err(Refused::Manage), "{roles:?} {call:?}");
                assert_eq!(world.decide(call), Err(Refused::Manage), "{roles:?}");
            }
        }
    }
}

#[test]
fn who_manages_changes_what_it_reaches() {
    let kind = IntegrationKind::Postgresql;
    let limited = world(&["prod-admin"]);
    assert_eq!(
        limited.decide(Call::Update(update("i1", ""))),
        Ok(forwarded(&update("i1", ""), Some("i1"), "pg_main", kind))
    );
    let gone = DeleteIntegrationRequest { id: "i1".to_owned() };
    assert_eq!(limited.decide(delete("i1")), Ok(Step::Forward(gone.encode_to_vec().into(), Expected::Deleted)));
    for id in ["i2", "i4", "i5", "i7", "i8", "i9"] {
        assert_eq!(limited.decide(delete(id)), Err(Refused::NotFound), "{id}");
        assert_eq!(limited.decide(Call::Update(update(id, ""))), Err(Refused::NotFound), "{id}");
        assert_eq!(limited.decide(Call::Update(update(id, "events"))), Err(Refused::NotFound), "{id}");
    }
    let admin = world(&["admin"]);
    for id in ["i1", "i2", "i3", "i4", "i5", "i6"] {
        assert!(admin.decide(delete(id)).is_ok(), "{id}");
    }
    // It is none of a data source, and another environment's.
    assert_eq!(admin.decide(delete("i7")), Err(Refused::NotFound));
    assert_eq!(admin.decide(delete("i8")), Err(Refused::NotFound));
}

#[test]
fn a_source_is_made_where_it_is_reached_whether_it_is_there_or_not() {
    let pg = IntegrationKind::Postgresql;
    let limited = world(&["prod-admin"]);
    for (name, kind) in
        [("pg_pii", pg), ("new_one", IntegrationKind::Mysql), ("nobody", pg), ("pg_main", IntegrationKind::Kafka)]
    {
        let call = Call::Insert(insert(name, kind));
        // Before the server is asked, so that not even the time tells.
        assert_eq!(call.admit(limited.asker()), Err(Refused::Manage), "{name}");
        assert_eq!(call.decide(limited.asker(), &[]), Err(Refused::Manage), "{name}");
    }
    let anew = insert("pg_main", pg);
    let call = || Call::Insert(anew.clone());
    assert_eq!(call().decide(limited.asker(), &[]), Ok(forwarded(&anew, None, "pg_main", pg)));
    // One of this name and of another kind is there, which could be overwritten.
    assert_eq!(limited.decide(call()), Err(Refused::Manage));
    assert_eq!(call().decide(limited.asker(), &server()[..4]), Ok(forwarded(&anew, None, "pg_main", pg)));
    let admin = world(&["admin"]);
    let other = insert("nobody", pg);
    assert_eq!(admin.decide(Call::Insert(other.clone())), Ok(forwarded(&other, None, "nobody", pg)));
    // What is no data source of this environment is out of everybody's reach.
    assert_eq!(admin.decide(Call::Insert(insert("events", IntegrationKind::Kafka))), Err(Refused::Manage));
}

#[test]
fn a_new_name_is_one_that_is_reached() {
    let limited = world(&["prod-admin"]);
    for name in ["pg_pii", "new_one", "nobody", "snowflake"] {
        assert_eq!(limited.decide(Call::Update(update("i1", name))), Err(Refused::Manage), "{name}");
    }
    let admin = world(&["admin"]);
    let renamed = update("i4", "nobody");
    assert_eq!(
        admin.decide(Call::Update(renamed.clone())),
        Ok(forwarded(&renamed, Some("i4"), "nobody", IntegrationKind::Mysql))
    );
}

#[test]
fn one_role_must_do_it_all_where_each_answers_alone() {
    let loose = "combine: most_permissive\n";
    let more = "  other-admin: {datasources: {allow: [pii], manage: true}}\n";
    let text = RULES.replace("  none:", &format!("{more}  none:"));
    let file = Arc::new(SourceFile { name: "policy.yaml".to_owned(), text: format!("{text}{loose}") });
    let policy = crate::policy::load(&[file], &[]).0.unwrap();
    let of = |roles: &[&str]| {
        let mut roles: Vec<RoleId> = roles.iter().map(|role| policy.role_id(role).unwrap()).collect();
        roles.sort_unstable();
        World { policy: policy.clone(), roles }
    };
    // It reaches i2 by one role and manages by another, so that no role deletes it.
    assert_eq!(of(&["all", "prod-admin"]).decide(delete("i2")), Err(Refused::Manage));
    assert!(of(&["all", "prod-admin"]).decide(delete("i1")).is_ok());
    assert!(of(&["all", "other-admin"]).decide(delete("i2")).is_ok());
    // Old and new name each by another role.
    let renamed = Call::Update(update("i1", "pg_pii"));
    assert_eq!(of(&["other-admin", "prod-admin"]).decide(renamed), Err(Refused::Manage));
    assert!(of(&["none", "admin"]).decide(delete("i4")).is_ok());
}

#[test]
fn settings_go_upstream_as_they_were_and_references_stay_references() {
    let mut request = insert("pg_main", IntegrationKind::Postgresql);
    request.environment_variables.insert("PGUSER".to_owned(), "u".to_owned());
    request.config.extend([(
        "PGHOST".to_owned(),
        IntegrationConfigValue { value: Some(ConfigValue::SecretId("pg-prod".to_owned())) },
    )]);
    let call = read_as(Method::Insert, &request).unwrap();
    let Ok(Step::Forward(message, _)) = call.decide(world(&["admin"]).asker(), &[]) else { panic!() };
    assert_eq!(InsertIntegrationRequest::decode(message), Ok(request));
}

#[test]
fn an_answer_about_another_source_does_not_pass() {
    let expected = Expected::Changed { id: Some("i1".to_owned()), name: Some("pg_main".to_owned()), kind: 13 };
    let of = |source: Option<Integration>| {
        expected.filter(&IntegrationResponse { integration: source }.encode_to_vec().into())
    };
    let right = source("i1", Some("pg_main"), IntegrationKind::Postgresql);
    let answer = IntegrationResponse { integration: Some(right.clone()) };
    assert_eq!(of(Some(right)), Ok(answer.encode_to_vec().into()));
    let another = Err(Unreadable("the answer is about another data source".to_owned()));
    for wrong in [
        source("i2", Some("pg_main"), IntegrationKind::Postgresql),
        source("i1", Some("pg_pii"), IntegrationKind::Postgresql),
        source("i1", None, IntegrationKind::Postgresql),
        source("i1", Some("pg_main"), IntegrationKind::Kafka),
    ] {
        assert_eq!(of(Some(wrong)), another);
    }
    assert_eq!(of(None), Err(Unreadable("the answer holds no data source".to_owned())));
    assert_eq!(Expected::Deleted.filter(&Bytes::from_static(b"\x0a\x07hunter2")), Ok(Bytes::new()));
}

#[test]
fn recorded_changes_go_there_and_back() {
    let world = world(&["admin"]);
    let list = listed(&fixture("ListIntegrations.resp")).unwrap();
    for (method, name, answer) in [
        (Method::Insert, "InsertIntegration", Some("InsertIntegration.resp")),
        (Method::Update, "UpdateIntegration", Some("UpdateIntegration.resp")),
        (Method::Delete, "DeleteIntegration", None),
    ] {
        let request = fixture(&format!("{name}.req"));
        let listed = if method == Method::Insert { &[][..] } else { &list };
        let Ok(Step::Forward(message, expected)) = read(method, &request).unwrap().decide(world.asker(), listed) else {
            panic!("{name}")
        };
        match method {
            Method::Insert => {
                assert_eq!(InsertIntegrationRequest::decode(message), InsertIntegrationRequest::decode(request))
            }
            Method::Update => {
                assert_eq!(UpdateIntegrationRequest::decode(message), UpdateIntegrationRequest::decode(request))
            }
            _ => assert_eq!(message, request),
        }
        let answer = answer.map(fixture).unwrap_or_default();
        assert_eq!(expected.filter(&answer), Ok(answer), "{name}");
    }
}
