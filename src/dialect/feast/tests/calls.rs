//! The same in gRPC: messages are read strictly and decided as bodies are, and answers are cut as theirs.

mod random;
mod write;

use bytes::Bytes;
use prost::Message as _;

use super::*;
use crate::dialect::feast::rpc;
use crate::dialect::feast::rpc::proto::{
    FeatureList, FeatureViewMetadata, GetOnlineFeaturesRequest, GetOnlineFeaturesResponse,
    GetOnlineFeaturesResponseMetadata, Kind,
};
use crate::dialect::strict;

/// A query and its answer, both of a real server's gRPC.
macro_rules! call {
    ($name:literal) => {
        (
            Bytes::from_static(include_bytes!(concat!("../../../../tests/fixtures/feast/grpc/", $name, ".req.bin"))),
            Bytes::from_static(include_bytes!(concat!("../../../../tests/fixtures/feast/grpc/", $name, ".resp.bin"))),
        )
    };
}

fn two_views() -> (Bytes, Bytes) {
    call!("two_views")
}

fn bytes(number: u8, bytes: &[u8]) -> Vec<u8> {
    assert!(number < 16 && bytes.len() < 128);
    [&[number << 3 | 2, bytes.len() as u8], bytes].concat()
}

fn number(number: u8, value: u8) -> Vec<u8> {
    vec![number << 3, value]
}

/// `entities` of one name and these `Value`s.
fn entity(name: &str, values: &[&[u8]]) -> Vec<u8> {
    let list: Vec<u8> = values.iter().flat_map(|value| bytes(1, value)).collect();
    bytes(3, &[bytes(1, name.as_bytes()), bytes(2, &list)].concat())
}

/// The number 1, in `int64_val`.
const ONE: &[u8] = &[0x20, 1];

fn features(names: &[&str]) -> Vec<u8> {
    bytes(2, &names.iter().flat_map(|name| bytes(1, name.as_bytes())).collect::<Vec<u8>>())
}

fn decoded(message: &[u8]) -> GetOnlineFeaturesRequest {
    strict::decode(&Bytes::copy_from_slice(message)).unwrap()
}

/// A message in one line, or why it is none.
fn shown(message: &[u8]) -> String {
    let message: GetOnlineFeaturesRequest = match strict::decode(&Bytes::copy_from_slice(message)) {
        Ok(message) => message,
        Err(invalid) => return format!("invalid {invalid}"),
    };
    match rpc::read(&message) {
        Ok(Request { asked, entities, rows, full_names, view_metadata }) => {
            let wanted = asked.read().unwrap();
            let entities: Vec<String> =
                entities.iter().map(|e| format!("{}{}", e.name, if e.has_null { " null" } else { "" })).collect();
            format!("{wanted:?} {entities:?} {rows} {full_names} {view_metadata}")
        }
        Err(invalid) => format!("invalid {invalid}"),
    }
}

/// What becomes of the answer to a message: `cut` with the number of columns dropped and what is left, or `unreadable`.
fn answered(policy: &Policy, roles: &[u16], message: &[u8], answer: &[u8]) -> Result<(usize, Left), String> {
    let message = decoded(message);
    let request = rpc::read(&message).unwrap();
    let permit = permitted(plan(policy, roles, &request));
    let filtered = rpc::filter(&Bytes::copy_from_slice(answer), &request, &permit).map_err(|error| error.0)?;
    Ok((filtered.dropped, left(&filtered.message)))
}

/// Columns in their order: name and bytes.
type Left = Vec<(String, Bytes)>;

fn left(answer: &Bytes) -> Left {
    let answer = GetOnlineFeaturesResponse::decode(answer.clone()).unwrap();
    let names = answer.metadata.unwrap().feature_names.unwrap().val;
    assert_eq!(names.len(), answer.results.len());
    names.into_iter().zip(answer.results).collect()
}

fn role(policy: &Policy, name: &str) -> Vec<u16> {
    vec![policy.role_id(name).unwrap()]
}

/// An answer of these columns; the n-th one holds the number n.
fn says(names: &[&str]) -> GetOnlineFeaturesResponse {
    let entry = |n: usize| bytes(1, &[0x20, n as u8]).into();
    GetOnlineFeaturesResponse {
        metadata: Some(GetOnlineFeaturesResponseMetadata {
            feature_names: Some(FeatureList { val: names.iter().map(|name| (*name).to_owned()).collect() }),
            feature_view_metadata: Vec::new(),
        }),
        results: (0..names.len()).map(entry).collect(),
        status: false,
    }
}

#[test]
fn what_is_read() {
    let f = features(&["v:f"]);
    let k = entity("k", &[ONE]);
    let cases: &[(Vec<u8>, &str)] = &[
        ([f.clone(), k.clone()].concat(), r#"Features(["v:f"]) ["k"] 1 false false"#),
        ([k.clone(), number(6, 1), f.clone(), number(4, 1)].concat(), r#"Features(["v:f"]) ["k"] 1 true true"#),
        ([bytes(1, b"s"), k.clone(), number(4, 0)].concat(), r#"Service("s") ["k"] 1 false false"#),
        // Names are not judged here: neither their form, nor twice the same.
        ([features(&["", "v:f", "v:f"]), k.clone()].concat(), r#"Features(["", "v:f", "v:f"]) ["k"] 1 false false"#),
        // Entities have no order. Nulls have no kind, or the kind of nulls; one within a value is none of the column's.
        (
            [f.clone(), entity("z", &[ONE, &[0x12, 0]]), entity("a", &[&[], ONE]), entity("m", &[ONE, &[0x98, 1, 0]])]
                .concat(),
            r#"Features(["v:f"]) ["a null", "m null", "z"] 2 false false"#,
        ),
        (
            // `list_val` of one null, `unix_timestamp_set_val`, `zoned_timestamp_val`
            [f.clone(), entity("k", &[&[0xd2, 2, 2, 0x0a, 0], &[0xea, 1, 0], &[0x82, 3, 2, 8, 1]])].concat(),
            r#"Features(["v:f"]) ["k"] 3 false false"#,
        ),
        ([f.clone(), entity("", &[ONE])].concat(), r#"Features(["v:f"]) [""] 1 false false"#),
        // What is in the way.
        (k.clone(), "invalid neither `features` nor `feature_service` is given"),
        ([features(&[]), k.clone()].concat(), "invalid neither `features` nor `feature_service` is given"),
        ([bytes(1, b""), k.clone()].concat(), "invalid neither `features` nor `feature_service` is given"),
        (f.clone(), "invalid `entities` is empty"),
        ([f.clone(), entity("k", &[])].concat(), "invalid `entities` has no rows"),
        (
            [f.clone(), k.clone(), entity("l", &[ONE, ONE])].concat(),
            "invalid entity `l` has 2 values where others have 1",
        ),
        ([f.clone(), bytes(1, b"s"), k.clone()].concat(), "invalid `feature_service` is given beside `features`"),
        ([f.clone(), f.clone(), k.clone()].concat(), "invalid `features` is given twice"),
        ([f.clone(), k.clone(), k.clone()].concat(), "invalid `entities[1]` has the key `k` again"),
        ([f.clone(), k.clone(), number(7, 1)].concat(), "invalid the message has the field 7, which is not known"),
        ([f.clone(), k.clone(), number(4, 2)].concat(), "invalid `full_feature_names` is out of the range of its type"),
        ([f.clone(), k.clone(), bytes(5, b"")].concat(), "invalid `request_context` cannot be followed"),
        (
            [f.clone(), entity("k", &[&[0x20, 0x81, 0]])].concat(),
            "invalid `entities[0].value.val[0].int64_val` has a number that is longer than it needs to be",
        ),
        (
            [f.clone(), entity("k", &[&[0x20, 1, 0x12, 0]])].concat(),
            "invalid `entities[0].value.val[0].string_val` is given beside `int64_val`",
        ),
        (
            [f.clone(), entity("k", &[&[0x4a, 0]])].concat(),
            "invalid `entities[0].value.val[0]` has the field 9, which is not known",
        ),
        (
            [f.clone(), bytes(3, &[bytes(1, b"k"), bytes(2, &bytes(2, b""))].concat())].concat(),
            "invalid `entities[0].value` has the field 2, which is not known",
        ),
        ([bytes(2, &bytes(1, b"\xff")), k.clone()].concat(), "invalid `features.val[0]` is no UTF-8"),
        (vec![0x0a, 5], "invalid `feature_service` breaks off"),
        (vec![], "invalid neither `features` nor `feature_service` is given"),
    ];
    for (message, expected) in cases {
        assert_eq!(shown(message), *expected, "{message:02x?}");
    }
    // So many as over HTTP.
    let many = |count: usize| GetOnlineFeaturesRequest {
        kind: Some(Kind::Features(FeatureList { val: vec!["v:f".to_owned(); count] })),
        entities: [("k".to_owned(), Bytes::from(bytes(1, ONE)))].into(),
        ..GetOnlineFeaturesRequest::default()
    };
    assert!(rpc::read(&many(10_000)).is_ok());
    let refused = rpc::read(&many(10_001)).unwrap_err();
    assert_eq!(refused.0, "`features` holds more than 10000 features");
}

#[test]
fn recorded_calls_are_the_queries_that_bodies_are() {
    let policy = shop();
    let all = role(&policy, "all");
    let ids = |ids: &str| format!(r#""entities":{{"customer_id":[{ids}]}},"full_feature_names":true}}"#);
    let of = |wanted: &str, tail: &str| format!("{{{wanted},{tail}");
    let two = r#""features":["customer_profile:age","customer_profile:country","customer_activity:txn_count_7d"]"#;
    for ((message, _), body) in [
        (call!("two_views"), of(two, &ids("1,2"))),
        (call!("nulls"), of(r#""features":["customer_profile:age","customer_profile:income"]"#, &ids("4,5,10,9999"))),
        (call!("numbers"), of(r#""features":["num:edge__big","num:ratio","num:weird","num:f32"]"#, &ids("1,2,3,4"))),
        (
            call!("service_aliased"),
            r#"{"feature_service":"pair_service","entities":{"buyer_id":[1],"seller_id":[2]},"full_feature_names":true}"#
                .to_owned(),
        ),
    ] {
        let message = decoded(&message);
        let (called, asked) = (rpc::read(&message).unwrap(), read(body.as_bytes()).unwrap());
        let wanted = |request: &Request<'_>| format!("{:?}", request.asked.read().unwrap());
        assert_eq!(wanted(&called), wanted(&asked), "{body}");
        let given = |request: &Request<'_>| -> Vec<(String, bool)> {
            request.entities.iter().map(|entity| (entity.name.to_string(), entity.has_null)).collect()
        };
        assert_eq!(given(&called), given(&asked), "{body}");
        let rest = |request: &Request<'_>| (request.rows, request.full_names, request.view_metadata);
        assert_eq!(rest(&called), rest(&asked));
        // What goes upstream is what came: it asked for full names.
        let permit = permitted(plan(&policy, &all, &called));
        assert_eq!(decoded(&rpc::rewrite(&message, &called, &permit)), message);
    }
    // Of short names it is nothing else.
    let message = decoded(&call!("two_views_short").0);
    let request = rpc::read(&message).unwrap();
    assert!(!request.full_names);
    let permit = permitted(plan(&policy, &all, &request));
    assert_eq!(decoded(&rpc::rewrite(&message, &request, &permit)), decoded(&call!("two_views").0));
}

#[test]
fn recorded_answers_pass_with_their_names_given_back() {
    let policy = shop();
    let all = role(&policy, "all");
    for (message, answer) in
        [call!("two_views"), call!("nulls"), call!("numbers"), call!("arrays_map_bytes"), call!("service_aliased")]
    {
        let message = decoded(&message);
        let request = rpc::read(&message).unwrap();
        let permit = permitted(plan(&policy, &all, &request));
        let filtered = rpc::filter(&answer, &request, &permit).unwrap();
        // In full names nothing is to be done.
        assert_eq!((filtered.dropped, filtered.message), (0, answer));
    }
    let (message, answer) = call!("two_views_short");
    let mut expected = left(&answer);
    for (name, _) in &mut expected {
        *name = name.rsplit("__").next().unwrap().to_owned();
    }
    assert_eq!(expected[2].0, "age");
    assert_eq!(answered(&policy, &all, &message, &answer), Ok((0, expected)));
}

#[test]
fn what_may_not_pass_is_cut() {
    let policy = shop();
    let (message, answer) = call!("service_aliased");
    let mut expected = left(&answer);
    expected.retain(|(name, _)| name != "buyer__ssn");
    assert_eq!(expected.len(), 4);
    assert_eq!(answered(&policy, &role(&policy, "inside"), &message, &answer), Ok((1, expected)));
    // The ones that are not permitted are not even asked for.
    let message = [features(&["customer_profile:vip", "customer_profile:ssn"]), entity("customer_id", &[ONE])].concat();
    let message = [message, entity("other", &[ONE])].concat();
    let message = decoded(&message);
    let request = rpc::read(&message).unwrap();
    let permit = permitted(plan(&policy, &role(&policy, "cutter"), &request));
    let sent = decoded(&rpc::rewrite(&message, &request, &permit));
    assert_eq!(sent.kind, Some(Kind::Features(FeatureList { val: vec!["customer_profile:vip".to_owned()] })));
    assert_eq!(sent.entities, [("customer_id".to_owned(), Bytes::from(bytes(1, ONE)))].into());
    assert!(sent.full_feature_names && !request.full_names);
    // Without a key that it needs, it is told.
    let message = [features(&["customer_profile:vip"]), entity("customer_id", &[&[]])].concat();
    let message = decoded(&message);
    let plan = plan(&policy, &role(&policy, "all"), &rpc::read(&message).unwrap());
    let Outcome::Invalid(invalid) = plan.outcome else { panic!("{plan:?}") };
    assert_eq!(invalid.0, "entity `customer_id` holds a null");
}

#[test]
fn a_view_without_keys_is_asked_for_by_the_rows() {
    let policy = alone("roles: {r: {}}\nfeatures: {\"v:f\": {}}");
    let message = decoded(&[features(&["v:f"]), entity("k", &[ONE, ONE, ONE])].concat());
    let request = rpc::read(&message).unwrap();
    let permit = permitted(plan(&policy, &[0], &request));
    let sent = decoded(&rpc::rewrite(&message, &request, &permit));
    let text: &[u8] = &[0x12, 0];
    assert_eq!(sent, decoded(&[features(&["v:f"]), entity("__dummy_id", &[text; 3]), number(4, 1)].concat()));
}

#[test]
fn answers_that_cannot_be_verified_stop() {
    let policy = shop();
    let asked = [features(&["customer_profile:vip", "customer_profile:age"]), entity("customer_id", &[ONE])].concat();
    let (vip, age) = ("customer_profile__vip", "customer_profile__age");
    let entry = |entry: &[u8]| {
        let mut answer = says(&[vip, age]);
        answer.results[1] = Bytes::copy_from_slice(entry);
        answer.encode_to_vec()
    };
    let fine = says(&[vip, age]).encode_to_vec();
    let more = |more: Vec<u8>| [fine.clone(), more].concat();
    let missing_entry = GetOnlineFeaturesResponse { results: vec![bytes(1, ONE).into()], ..says(&[vip, age]) };
    let cases: &[(Vec<u8>, &str)] = &[
        (
            says(&[vip, age, "customer_profile__ssn"]).encode_to_vec(),
            "column `customer_profile__ssn` was not asked for",
        ),
        (says(&["vip", "age"]).encode_to_vec(), "column `vip` was not asked for"),
        (says(&[vip, age, vip]).encode_to_vec(), "column `customer_profile__vip` stands twice"),
        (says(&["customer_id", vip]).encode_to_vec(), "2 columns were asked for and 1 of them came"),
        (says(&[]).encode_to_vec(), "2 columns were asked for and 0 of them came"),
        (vec![], "2 columns were asked for and 0 of them came"),
        (missing_entry.encode_to_vec(), "2 names stand for 1 columns"),
        (more(bytes(2, &bytes(1, ONE))), "2 names stand for 3 columns"),
        // A message that stands twice is one.
        (more(bytes(1, &bytes(1, &bytes(1, b"ssn")))), "column `ssn` was not asked for"),
        (entry(&[bytes(1, ONE), number(4, 1)].concat()), "an entry of `results` has the field 4, which is not known"),
        (entry(&[bytes(1, ONE), bytes(9, b"x")].concat()), "an entry of `results` has the field 9, which is not known"),
        (entry(&number(1, 1)), "an entry of `results` has the field 1, which is not known"),
        (entry(&number(2, 1)), "an entry of `results` has no `values`"),
        (entry(&[]), "an entry of `results` has no `values`"),
        (entry(&[0x0a, 7]), "the answer cannot be read: `results` breaks off"),
        (vec![0x0a], "the answer is no protobuf"),
        (b"\x0a\x05\x0a\x03\x0a\x01\xff".to_vec(), "the answer is no protobuf"),
    ];
    let all = role(&policy, "all");
    for (answer, expected) in cases {
        assert_eq!(answered(&policy, &all, &asked, answer), Err((*expected).to_owned()), "{answer:02x?}");
    }
    assert_eq!(answered(&policy, &all, &asked, &fine).unwrap().1[1].0, "age");
    // Two features under one full name, as recorded.
    let (_, both) = call!("ambiguous_full_name");
    let asked = [features(&["num:edge__big"]), entity("customer_id", &[ONE]), number(4, 1)].concat();
    let stopped = answered(&policy, &role(&policy, "analyst"), &asked, &both);
    assert_eq!(stopped, Err("column `num__edge__big` stands twice".to_owned()));
}

#[test]
fn what_is_around_the_columns_is_known_or_dropped() {
    let policy = shop();
    let asked = [features(&["customer_profile:vip", "customer_profile:ssn"]), entity("customer_id", &[ONE])].concat();
    let mut answer = says(&["customer_profile__vip"]);
    answer.results[0] = [bytes(1, ONE), number(2, 1), bytes(2, &[1, 3]), bytes(3, b"")].concat().into();
    answer.status = true;
    let metadata = answer.metadata.as_mut().unwrap();
    let view = |name: &str| FeatureViewMetadata { name: name.to_owned(), version: 3 };
    metadata.feature_view_metadata = vec![view("customer_profile"), view("customer_activity")];
    let fine = answer.encode_to_vec();
    let hostile = [&bytes(9, b"001-01-0007"), fine.as_slice(), &number(10, 1)].concat();
    for (switch, views) in [(0, vec![]), (1, vec![view("customer_profile")])] {
        let message = decoded(&[asked.clone(), number(6, switch)].concat());
        let request = rpc::read(&message).unwrap();
        let permit = permitted(plan(&policy, &role(&policy, "cutter"), &request));
        let sent = decoded(&rpc::rewrite(&message, &request, &permit));
        assert_eq!(sent.include_feature_view_version_metadata, switch == 1);
        let filtered = rpc::filter(&Bytes::copy_from_slice(&hostile), &request, &permit).unwrap();
        let mut expected = answer.clone();
        let metadata = expected.metadata.as_mut().unwrap();
        metadata.feature_names = Some(FeatureList { val: vec!["vip".to_owned()] });
        metadata.feature_view_metadata = views;
        assert_eq!(filtered.message, expected.encode_to_vec());
    }
}
