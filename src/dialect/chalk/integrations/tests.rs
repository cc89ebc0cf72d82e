//! Who reaches which data source, who may change it, and what of the answers passes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::diagnostic::SourceFile;
use crate::dialect::chalk::proto::{
    ConfigValue, GetIntegrationByNameRequest, GetIntegrationRequest, IntegrationConfigValue, IntegrationWarning,
    ListIntegrationsRequest, TestIntegrationResponse, Timestamp,
};
use crate::dialect::{Invalid, Unreadable};

mod changes;
mod reads;

const RULES: &str = "
version: 1
roles:
  all:
  admin: {datasources: {manage: true}}
  prod: {datasources: {allow: [prod]}}
  prod-admin: {datasources: {allow: [prod], manage: true}}
  pii: {datasources: {allow: [pii]}}
  none: {datasources: {allow: []}}
datasources:
  pg_main: {kind: POSTGRESQL, tags: [prod]}
  pg_pii: {kind: postgresql, tags: [pii]}
  events: {tags: [prod]}
  snowflake: {kind: SNOWFLAKE, tags: [prod]}
features:
  user.id: {key: true}
";

fn policy(more: &str) -> Policy {
    let file = Arc::new(SourceFile { name: "policy.yaml".to_owned(), text: format!("{RULES}{more}") });
    let (policy, report) = crate::policy::load(&[file], &[]);
    policy.unwrap_or_else(|| panic!("{report}"))
}

/// A rule set and the roles of a caller.
struct World {
    policy: Policy,
    roles: Vec<RoleId>,
}

fn world(roles: &[&str]) -> World {
    world_of("", roles)
}

fn world_of(more: &str, roles: &[&str]) -> World {
    let policy = policy(more);
    let mut roles: Vec<RoleId> = roles.iter().map(|role| policy.role_id(role).unwrap()).collect();
    roles.sort_unstable();
    World { policy, roles }
}

impl World {
    fn asker(&self) -> Asker<'_> {
        Asker { policy: &self.policy, roles: &self.roles, environment: Some("envmock1") }
    }

    fn decide(&self, call: Call) -> Result<Step, Refused> {
        call.decide(self.asker(), &server())
    }

    /// The names that the list has for this caller, ids where there is none.
    fn names(&self) -> Vec<String> {
        let Ok(Step::Answer(message, dropped)) = self.decide(Call::List) else { panic!() };
        let integrations = ListIntegrationsResponse::decode(message).unwrap().integrations;
        assert_eq!(integrations.len() + dropped, server().len());
        integrations.into_iter().map(|source| source.name.unwrap_or(source.id)).collect()
    }
}

fn source(id: &str, name: Option<&str>, kind: IntegrationKind) -> Integration {
    Integration {
        id: id.to_owned(),
        name: name.map(str::to_owned),
        kind: kind.into(),
        environment_id: "envmock1".to_owned(),
        created_at: Some(Timestamp { seconds: 1, nanos: 2 }),
        ..Integration::default()
    }
}

/// What the server has.
fn server() -> Vec<Integration> {
    let mut elsewhere = source("i8", Some("pg_main"), IntegrationKind::Postgresql);
    elsewhere.environment_id = "other".to_owned();
    vec![
        source("i1", Some("pg_main"), IntegrationKind::Postgresql),
        source("i2", Some("pg_pii"), IntegrationKind::Postgresql),
        source("i3", Some("events"), IntegrationKind::Kafka),
        source("i4", Some("new_one"), IntegrationKind::Mysql),
        // Another one than that of the policy.
        source("i5", Some("pg_main"), IntegrationKind::Redshift),
        // The default source of its kind.
        source("i6", None, IntegrationKind::Snowflake),
        source("i7", Some("events"), IntegrationKind::Openai),
        elsewhere,
    ]
}

fn setting(value: ConfigValue) -> BTreeMap<String, IntegrationConfigValue> {
    [("PGPASSWORD".to_owned(), IntegrationConfigValue { value: Some(value) })].into()
}

fn literal() -> BTreeMap<String, IntegrationConfigValue> {
    setting(ConfigValue::Literal("hunter2".to_owned()))
}

fn insert(name: &str, kind: IntegrationKind) -> InsertIntegrationRequest {
    InsertIntegrationRequest {
        name: name.to_owned(),
        integration_kind: kind.into(),
        config: literal(),
        ..InsertIntegrationRequest::default()
    }
}

fn update(id: &str, name: &str) -> UpdateIntegrationRequest {
    UpdateIntegrationRequest {
        name: name.to_owned(),
        integration_id: id.to_owned(),
        config: literal(),
        ..UpdateIntegrationRequest::default()
    }
}

fn saved(id: &str) -> TestIntegrationRequest {
    TestIntegrationRequest { integration_id: Some(id.to_owned()), ..TestIntegrationRequest::default() }
}

fn delete(id: &str) -> Call {
    Call::Delete(DeleteIntegrationRequest { id: id.to_owned() })
}

fn read_as<M: prost::Message>(method: Method, message: &M) -> Result<Call, Invalid> {
    read(method, &message.encode_to_vec().into())
}

fn refused(why: &str) -> Result<Call, Invalid> {
    Err(Invalid(why.to_owned()))
}

fn fixture(name: &str) -> Bytes {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/chalk/wire");
    std::fs::read(format!("{folder}/datasources_crud.{name}.bin")).unwrap().into()
}

#[test]
fn each_method_has_its_path_among_those_that_are_served() {
    for method in Method::ALL {
        assert!(crate::chalk::paths::RPC.contains(&method.path()), "{method:?}");
    }
    let of_the_service = |path: &&&str| path.contains("IntegrationsService");
    assert_eq!(crate::chalk::paths::RPC.iter().filter(of_the_service).count(), Method::ALL.len());
}

#[test]
fn names_and_kinds_are_those_of_data_sources() {
    let kind = IntegrationKind::Postgresql;
    for name in ["pg", "PG_1", "_", "1"] {
        assert_eq!(read_as(Method::Insert, &insert(name, kind)), Ok(Call::Insert(insert(name, kind))));
        assert_eq!(read_as(Method::Update, &update("i1", name)), Ok(Call::Update(update("i1", name))));
        let by_name = GetIntegrationByNameRequest { integration_name: name.to_owned() };
        assert_eq!(read_as(Method::GetByName, &by_name), Ok(Call::GetByName(name.to_owned())));
    }
    for name in ["pg-1", "pg main", "pg.main", "püg", "pg\n", "pg\u{0}", "../pg", "pg'"] {
        let shown = crate::dialect::shown(name);
        let wanted = refused(&format!("the name `{shown}` has more in it than letters, digits and underscores"));
        assert_eq!(read_as(Method::Insert, &insert(name, kind)), wanted);
        assert_eq!(read_as(Method::Update, &update("i1", name)), wanted);
        let by_name = GetIntegrationByNameRequest { integration_name: name.to_owned() };
        assert_eq!(read_as(Method::GetByName, &by_name), wanted);
    }
    let missing = refused("the name of a data source is missing");
    assert_eq!(read_as(Method::Insert, &insert("", kind)), missing);
    assert_eq!(read_as(Method::GetByName, &GetIntegrationByNameRequest::default()), missing);
    assert_eq!(read_as(Method::Update, &update("i1", "")), Ok(Call::Update(update("i1", ""))));

    let kinds: Vec<i32> = (-1..=22).filter(|number| data_source(*number).is_some()).collect();
    assert_eq!(kinds, [1, 3, 4, 6, 7, 9, 10, 11, 13, 14, 15, 16, 17, 18, 19]);
    for number in 0..=20 {
        let request = InsertIntegrationRequest { integration_kind: number, ..insert("pg", kind) };
        let test = TestIntegrationRequest { kind: number, config: literal(), ..TestIntegrationRequest::default() };
        let wanted = (!kinds.contains(&number)).then(|| format!("the kind {number} is none of a data source"));
        assert_eq!(read_as(Method::Insert, &request).err(), wanted.clone().map(Invalid), "{number}");
        assert_eq!(read_as(Method::Test, &test).err(), wanted.map(Invalid), "{number}");
    }
}

#[test]
fn what_is_missing_or_unknown_is_refused() {
    let missing = refused("the id of a data source is missing");
    assert_eq!(read_as(Method::Get, &GetIntegrationRequest::default()), missing);
    assert_eq!(read_as(Method::Update, &update("", "")), missing);
    assert_eq!(read_as(Method::Delete, &DeleteIntegrationRequest::default()), missing);
    // A test without an id is one of settings, so that it has a kind.
    assert_eq!(read_as(Method::Test, &saved("")), refused("the kind 0 is none of a data source"));
    let empty = InsertIntegrationRequest {
        config: [("PGHOST".to_owned(), IntegrationConfigValue::default())].into(),
        ..insert("pg", IntegrationKind::Mysql)
    };
    assert_eq!(read_as(Method::Insert, &empty), refused("the setting `PGHOST` has no value"));
    assert_eq!(read_as(Method::List, &ListIntegrationsRequest {}), Ok(Call::List));
    for method in Method::ALL {
        let unknown = Bytes::from_static(&[0x98, 0x06, 0x01]);
        assert_eq!(read(method, &unknown), refused("the message has the field 99, which is not known"), "{method:?}");
    }
}

#[test]
fn no_setting_is_in_what_is_printed() {
    let mut variables = insert("pg", IntegrationKind::Mysql);
    variables.environment_variables.insert("P".to_owned(), "hunter2".to_owned());
    let test = TestIntegrationRequest { config: literal(), ..saved("i1") };
    let calls = [Call::Insert(variables.clone()), Call::Update(update("i1", "pg")), Call::Test(test)];
    assert!(!format!("{calls:?}").contains("hunter2"), "{calls:?}");
    // A setting that does not read is told by its key.
    let mut message = variables.encode_to_vec();
    message.extend([0x1a, 0x0c, 0x0a, 0x01, b'P', 0x12, 0x07]);
    message.extend(b"hunter2");
    let Err(Invalid(why)) = read(Method::Insert, &message.into()) else { panic!() };
    assert_eq!(why, "`environment_variables[1]` has the key `P` again");
}
