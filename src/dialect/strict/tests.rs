use prost::Message as _;

use super::*;
use crate::dialect::chalk::proto::*;
use crate::dialect::chalk::shape::{query, server};

mod random;
mod wire;

use wire::{bytes, field, number, text};

static INNER: Shape = Shape {
    name: "Inner",
    fields: &[
        Field { number: 1, name: "deeper", kind: Kind::Message(&INNER), rule: Rule::One },
        Field { number: 2, name: "word", kind: Kind::String, rule: Rule::One },
    ],
};

/// One field of each kind and rule.
static ALL: Shape = Shape {
    name: "All",
    fields: &[
        Field { number: 1, name: "flag", kind: Kind::Bool, rule: Rule::One },
        Field { number: 2, name: "small", kind: Kind::Int32, rule: Rule::One },
        Field { number: 3, name: "count", kind: Kind::Uint32, rule: Rule::One },
        Field { number: 4, name: "choice", kind: Kind::Enum(&["NONE", "ONE", "TWO"]), rule: Rule::One },
        Field { number: 5, name: "half", kind: Kind::Float, rule: Rule::One },
        Field { number: 6, name: "whole", kind: Kind::Double, rule: Rule::One },
        Field { number: 7, name: "numbers", kind: Kind::Int64, rule: Rule::Many },
        Field { number: 8, name: "words", kind: Kind::String, rule: Rule::Many },
        Field { number: 9, name: "entries", kind: Kind::String, rule: Rule::Map },
        Field { number: 10, name: "left", kind: Kind::String, rule: Rule::Of("side") },
        Field { number: 11, name: "right", kind: Kind::Message(&INNER), rule: Rule::Of("side") },
        Field { number: 12, name: "raw", kind: Kind::Bytes, rule: Rule::One },
        Field { number: 13, name: "large", kind: Kind::Uint64, rule: Rule::One },
        Field { number: 14, name: "halves", kind: Kind::Float, rule: Rule::Many },
        Field { number: 15, name: "plan", kind: Kind::Refused, rule: Rule::One },
        Field { number: 16, name: "counts", kind: Kind::Uint32, rule: Rule::Map },
    ],
};

fn entry(key: &str, value: &[u8]) -> Vec<u8> {
    [text(1, key), bytes(2, value)].concat()
}

#[test]
fn what_is_of_the_shape_passes() {
    let minus = number(2, (-1_i64).cast_unsigned());
    let nested = bytes(11, &bytes(1, &text(2, "a")));
    let cases: &[(&str, Vec<u8>)] = &[
        ("nothing", vec![]),
        ("numbers", [number(1, 1), minus, number(3, u64::from(u32::MAX)), number(13, u64::MAX)].concat()),
        ("fixed numbers", [field(5, 5), vec![0; 4], field(6, 1), vec![0; 8]].concat()),
        ("any order", [text(8, "b"), number(1, 0), text(8, "a")].concat()),
        ("a list", [number(7, 1), number(7, 2)].concat()),
        ("a packed list", bytes(7, &[1, 2, 0x80, 1])),
        ("an empty packed list", bytes(7, &[])),
        ("a packed list beside a plain one", [bytes(7, &[1]), number(7, 2)].concat()),
        ("a packed list of fixed numbers", bytes(14, &[0; 8])),
        ("a map", [bytes(9, &entry("a", b"x")), bytes(9, &entry("b", b"x"))].concat()),
        ("a map whose value comes first", bytes(9, &[text(2, "x"), text(1, "a")].concat())),
        ("a map with an entry that is empty", bytes(9, &[])),
        ("a map of numbers", bytes(16, &[number(2, 300), text(1, "a")].concat())),
        ("one of two", nested),
    ];
    for (name, bytes) in cases {
        assert_eq!(check(&ALL, bytes), Ok(()), "{name}");
    }
}

#[test]
fn each_fault_is_refused_by_its_place() {
    let deep = |levels: usize| (0..levels).fold(vec![], |inner, _| bytes(1, &inner));
    let deeper = bytes(11, &deep(DEEPEST));
    assert_eq!(check(&ALL, &bytes(11, &deep(DEEPEST - 1))), Ok(()));
    let too_deep = check(&ALL, &deeper).unwrap_err().0;
    assert!(too_deep.starts_with("`….deeper.deeper.") && too_deep.ends_with(".deeper` is deeper than 96 levels"));

    let twice_in_an_entry = bytes(9, &[text(1, "a"), text(1, "a")].concat());
    let last = [0x80_u8, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02];
    let cases: &[(&str, Vec<u8>)] = &[
        ("the message has the field 17, which is not known", number(17, 1)),
        ("`right` has the field 3, which is not known", bytes(11, &number(3, 1))),
        ("`right.deeper` has the field 3, which is not known", bytes(11, &bytes(1, &number(3, 1)))),
        ("`flag` is given twice", [number(1, 1), number(1, 1)].concat()),
        ("`right` is given twice", [bytes(11, &[]), bytes(11, &[])].concat()),
        ("`right` is given beside `left`", [text(10, "a"), bytes(11, &[])].concat()),
        ("`left` is given beside `right`", [bytes(11, &[]), text(10, "a")].concat()),
        ("`flag` is of the wire type 2, not 0", text(1, "a")),
        ("`words[1]` is of the wire type 0, not 2", [text(8, "a"), number(8, 1)].concat()),
        ("`half` is of the wire type 1, not 5", [field(5, 1), vec![0; 8]].concat()),
        ("`numbers[0]` is of the wire type 5, not 0", [field(7, 5), vec![0; 4]].concat()),
        ("`entries[0]` is of the wire type 0, not 2", number(9, 1)),
        ("the message has a group, the field 1", [field(1, 3), field(1, 4)].concat()),
        ("the message has a group, the field 99", field(99, 4)),
        ("the message has the field 1 in no wire type", field(1, 6)),
        ("the message has a field with the number 0", field(0, 0)),
        ("the message has a field with a number beyond all fields", field(1 << 29, 0)),
        ("the message has a number that is longer than it needs to be", vec![0x88, 0x00, 1]),
        ("`flag` has a number that is longer than it needs to be", [field(1, 0), vec![0x81, 0x00]].concat()),
        ("`words[0]` has a number that is longer than it needs to be", [field(8, 2), vec![0x81, 0x00, b'a']].concat()),
        ("`large` has a number of more than 64 bits", [field(13, 0), last.to_vec()].concat()),
        ("`large` has a number of more than 64 bits", [field(13, 0), vec![0x80; 11]].concat()),
        ("`large` breaks off in a number", [field(13, 0), vec![0x80; 3]].concat()),
        ("the message breaks off in a number", vec![0x80]),
        ("`half` breaks off", [field(5, 5), vec![0; 3]].concat()),
        ("`words[0]` breaks off", [field(8, 2), vec![2, b'a']].concat()),
        ("`right.word` breaks off", bytes(11, &[field(2, 2), vec![2, b'a']].concat())),
        ("`halves[0]` breaks off", bytes(14, &[0; 7])),
        ("`numbers[0]` breaks off in a number", bytes(7, &[1, 0x80])),
        ("`words[0]` is no UTF-8", bytes(8, &[0xff])),
        ("`entries[0].key` is no UTF-8", bytes(9, &bytes(1, &[0xff]))),
        ("`entries[1]` has the key `a` again", [bytes(9, &entry("a", b"")), bytes(9, &entry("a", b"x"))].concat()),
        ("`entries[1]` has the key `` again", [bytes(9, &[]), bytes(9, &text(1, ""))].concat()),
        ("`entries[0]` has the field 3, which is not known", bytes(9, &number(3, 1))),
        ("`entries[0].key` is given twice", twice_in_an_entry),
        ("`entries[0].value` is of the wire type 0, not 2", bytes(9, &number(2, 1))),
        ("`flag` is out of the range of its type", number(1, 2)),
        ("`choice` is out of the range of its type", number(4, 3)),
        ("`small` is out of the range of its type", number(2, 1 << 31)),
        ("`count` is out of the range of its type", number(3, 1 << 32)),
        ("`plan` cannot be followed", bytes(15, &[])),
    ];
    for (message, bytes) in cases {
        assert_eq!(check(&ALL, bytes), Err(Invalid((*message).to_owned())), "{bytes:02x?}");
    }
}

#[test]
fn what_is_small_on_the_wire_is_bounded_in_memory() {
    let empty = |number: u32, count: usize| bytes(number, &[]).repeat(count);
    let of = |shape: &Shape, bytes: &[u8]| check(shape, bytes).map_err(|Invalid(why)| why);
    let few = |name: &str| Err(format!("`{name}` has more than 10000 entries"));
    let all = Err("the message has more than 1000000 elements in its lists and maps".to_owned());
    assert_eq!(of(&query::ONLINE_QUERY_MULTI, &empty(1, 10_000)), Ok(()));
    assert_eq!(of(&query::ONLINE_QUERY_MULTI, &empty(1, 10_001)), few("queries"));
    assert_eq!(of(&query::ONLINE_QUERY, &empty(2, 10_001)), few("outputs"));
    // Values and times are small.
    assert_eq!(of(&query::ONLINE_QUERY_BULK, &empty(3, 1_000_000)), Ok(()));
    assert_eq!(of(&query::ONLINE_QUERY_BULK, &empty(3, 1_000_001)), all);
    let list = |count: usize| bytes(6, &empty(1, count));
    assert_eq!(of(&query::VALUE, &list(1_000_000)), Ok(()));
    assert_eq!(of(&query::VALUE, &list(1_000_001)), all);
    let values = bytes(3, &[text(1, "k"), bytes(2, &empty(1, 999_999))].concat());
    assert_eq!(of(&crate::dialect::feast::rpc::shape::GET_ONLINE_FEATURES, &values), Ok(()));
    // They count together, wherever they stand, packed or not.
    let nested = bytes(6, &bytes(1, &list(500_000)).repeat(2));
    assert_eq!(of(&query::VALUE, &nested), all);
    assert_eq!(of(&ALL, &bytes(7, &vec![1; 999_999])), Ok(()));
    assert_eq!(of(&ALL, &bytes(7, &vec![1; 1_000_001])), all);
    assert_eq!(of(&ALL, &[empty(8, 999_999), bytes(9, &entry("a", b"")), bytes(9, &entry("b", b""))].concat()), all);
}

#[test]
fn every_message_of_a_request_is_strict() {
    let unknown = field(1000, 0).into_iter().chain([1]).collect::<Vec<u8>>();
    let refused = "the message has the field 1000, which is not known";
    assert_eq!(decode::<PingRequest>(&unknown.clone().into()), Err(Invalid(refused.to_owned())));
    let context = OnlineQueryContext { environment: "e".to_owned(), ..OnlineQueryContext::default() };
    let mut context = context.encode_to_vec();
    context.extend(&unknown);
    let query = bytes(1, &bytes(2, &bytes(5, &context)));
    let refused = "`queries[0].bulk_request.context` has the field 1000, which is not known";
    assert_eq!(decode::<OnlineQueryMultiRequest>(&query.into()), Err(Invalid(refused.to_owned())));
    let both = bytes(2, &[text(1, "user.id"), bytes(2, &text(1, "x"))].concat());
    let refused = "`outputs[0].feature_expression` is given beside `feature_fqn`";
    assert_eq!(decode::<OnlineQueryRequest>(&both.into()), Err(Invalid(refused.to_owned())));
    let blocking = bytes(2, &bytes(2, &bytes(2, &bytes(42, &[]))));
    let refused = "`outputs[0].feature_expression.expr.blocking_call` cannot be followed";
    assert_eq!(decode::<OnlineQueryRequest>(&blocking.into()), Err(Invalid(refused.to_owned())));
}

fn fixtures(suffix: &str) -> Vec<(String, String, Bytes)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/chalk/wire");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if let Some(name) = name.strip_suffix(suffix) {
            let (_, method) = name.split_once('.').unwrap();
            found.push((name.to_owned(), method.to_owned(), std::fs::read(&path).unwrap().into()));
        }
    }
    found.sort();
    found
}

fn again<R: Request>(name: &str, bytes: &Bytes) {
    let message: R = decode(bytes).unwrap_or_else(|refused| panic!("{name}: {refused}"));
    assert_eq!(wire::canonical(R::SHAPE, &message.encode_to_vec()), wire::canonical(R::SHAPE, bytes), "{name}");
}

#[test]
fn recorded_requests_are_strict_and_keep_every_field() {
    let fixtures = fixtures(".req.bin");
    assert_eq!(fixtures.len(), 18);
    for (name, method, bytes) in fixtures {
        match method.as_str() {
            "OnlineQuery" => again::<OnlineQueryRequest>(&name, &bytes),
            "OnlineQueryBulk" => again::<OnlineQueryBulkRequest>(&name, &bytes),
            "OnlineQueryMulti" => again::<OnlineQueryMultiRequest>(&name, &bytes),
            "UploadFeatures" => again::<UploadFeaturesRequest>(&name, &bytes),
            "GetToken" => again::<GetTokenRequest>(&name, &bytes),
            "GetIntegration" => again::<GetIntegrationRequest>(&name, &bytes),
            "InsertIntegration" => again::<InsertIntegrationRequest>(&name, &bytes),
            "UpdateIntegration" => again::<UpdateIntegrationRequest>(&name, &bytes),
            "TestIntegration" => again::<TestIntegrationRequest>(&name, &bytes),
            "DeleteIntegration" => again::<DeleteIntegrationRequest>(&name, &bytes),
            other => panic!("{name}: {other}"),
        }
    }
}

fn same<M: prost::Message + Default>(name: &str, bytes: &Bytes) {
    assert_eq!(M::decode(bytes.clone()).unwrap().encode_to_vec(), bytes.to_vec(), "{name}");
}

#[test]
fn recorded_answers_are_written_again_as_they_were() {
    let fixtures = fixtures(".resp.bin");
    assert_eq!(fixtures.len(), 18);
    for (name, method, bytes) in fixtures {
        match method.as_str() {
            "OnlineQuery" => same::<OnlineQueryResponse>(&name, &bytes),
            "OnlineQueryBulk" => same::<OnlineQueryBulkResponse>(&name, &bytes),
            "OnlineQueryMulti" => same::<OnlineQueryMultiResponse>(&name, &bytes),
            "UploadFeatures" => same::<UploadFeaturesResponse>(&name, &bytes),
            "GetToken" => same::<GetTokenResponse>(&name, &bytes),
            "InsertIntegration" | "UpdateIntegration" => same::<IntegrationResponse>(&name, &bytes),
            "GetIntegration" => same::<GetIntegrationResponse>(&name, &bytes),
            "ListIntegrations" => same::<ListIntegrationsResponse>(&name, &bytes),
            "TestIntegration" => same::<TestIntegrationResponse>(&name, &bytes),
            // Its permission slugs go.
            "GetAgent" => {
                let answer = GetAgentResponse::decode(bytes.clone()).unwrap();
                let Some(AgentKind::ServiceToken(agent)) = answer.agent.clone().unwrap().agent else { panic!() };
                let permissions = FeaturePermissions { tags: [].into(), default_permission: Some(1) };
                assert_eq!(agent.client_id, "token-full");
                assert_eq!(agent.feature_permissions, Some(permissions));
                assert_eq!(bytes.len() - answer.encode_to_vec().len(), 5);
            }
            other => panic!("{name}: {other}"),
        }
    }
}

#[test]
fn answers_lose_what_is_not_known_and_what_never_passes() {
    let errors = bytes(2, &[number(1, 9), text(3, "m"), text(999, "new")].concat());
    let answer = OnlineQueryResponse::decode(&*[errors, text(77, "new")].concat()).unwrap();
    assert_eq!(answer.encode_to_vec(), bytes(2, &[number(1, 9), text(3, "m")].concat()));
    assert_eq!(answer.errors[0].code(), ErrorCode::Unauthorized);
    let integration = bytes(1, &text(1, "int1"));
    let secrets = bytes(1, &[integration.clone(), bytes(2, &text(5, "hunter2"))].concat());
    let answer = GetIntegrationResponse::decode(&*secrets).unwrap();
    assert_eq!(answer.encode_to_vec(), bytes(1, &integration));
}

#[test]
fn debug_has_no_secret() {
    let config: std::collections::BTreeMap<_, _> =
        [("P".to_owned(), IntegrationConfigValue { value: Some(ConfigValue::Literal("hunter2".to_owned())) })].into();
    let variables: std::collections::BTreeMap<_, _> = [("P".to_owned(), "hunter2".to_owned())].into();
    let token =
        GetTokenRequest { client_id: "c".to_owned(), client_secret: "hunter2".to_owned(), ..Default::default() };
    let answer = GetTokenResponse { access_token: "hunter2".to_owned(), ..Default::default() };
    let insert = InsertIntegrationRequest {
        config: config.clone(),
        environment_variables: variables.clone(),
        ..Default::default()
    };
    let update = UpdateIntegrationRequest {
        config: config.clone(),
        environment_variables: variables.clone(),
        ..Default::default()
    };
    let test =
        TestIntegrationRequest { config: config.clone(), environment_variables: variables, ..Default::default() };
    let shown = format!("{token:?}{answer:?}{insert:?}{update:?}{test:?}{config:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains(r#"GetTokenRequest { client_id: "c", grant_type: "", .. }"#), "{shown}");
}

#[test]
fn shapes_have_each_number_once() {
    fn walk(shape: &'static Shape, seen: &mut BTreeSet<&'static str>) {
        if !seen.insert(shape.name) {
            return;
        }
        let numbers: BTreeSet<u32> = shape.fields.iter().map(|field| field.number).collect();
        let names: BTreeSet<&str> = shape.fields.iter().map(|field| field.name).collect();
        assert_eq!((numbers.len(), names.len()), (shape.fields.len(), shape.fields.len()), "{}", shape.name);
        for field in shape.fields {
            if let Kind::Message(shape) = field.kind {
                walk(shape, seen);
            }
        }
    }
    let mut seen = BTreeSet::new();
    walk(&query::ONLINE_QUERY_MULTI, &mut seen);
    walk(&server::TEST_INTEGRATION, &mut seen);
    walk(&crate::dialect::feast::rpc::shape::GET_ONLINE_FEATURES, &mut seen);
    assert!(seen.len() > 50, "{seen:?}");
}
