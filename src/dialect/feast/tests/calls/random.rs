//! Random queries and answers, in both encodings.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::dialect::feast::rpc::proto::RepeatedValue;
use crate::dialect::feast::tests::random::{Upstream, change, columns, decided};
use crate::dialect::feast::tests::world::{Query, world};

/// The query as a message.
fn message(query: &Query) -> GetOnlineFeaturesRequest {
    let kind = match query.service {
        Some(name) => Kind::FeatureService(name.to_owned()),
        None => Kind::Features(FeatureList { val: query.features.iter().map(|name| (*name).to_owned()).collect() }),
    };
    let entity = |(name, _, null): &(&str, &str, bool)| {
        let val = vec![Bytes::from_static(ONE), Bytes::from_static(if *null { &[] } else { ONE })];
        ((*name).to_owned(), RepeatedValue { val }.encode_to_vec().into())
    };
    GetOnlineFeaturesRequest {
        kind: Some(kind),
        entities: query.entities.iter().map(entity).collect(),
        full_feature_names: query.full,
        include_feature_view_version_metadata: query.metadata,
    }
}

/// A column that says what an entry of a body says.
fn vector(entry: &str) -> Bytes {
    let mut vector = Vec::new();
    if entry.contains(r#""values""#) {
        vector.extend(bytes(1, &bytes(2, entry.as_bytes())));
    }
    if entry.contains(r#""value":"#) {
        vector.extend(number(9, 1));
    }
    vector.into()
}

/// What a request asks for: names, and whether it is a service.
fn named(request: &Request<'_>) -> (Vec<String>, bool) {
    match request.asked.read().unwrap() {
        Wanted::Features(names) => (names.iter().map(|name| name.to_string()).collect(), false),
        Wanted::Service(name) => (vec![name.into_owned()], true),
    }
}

/// The same of what is permitted.
fn named_by(permit: &Permit) -> (Vec<String>, bool) {
    (permit.wanted.names.iter().map(|name| name.to_string()).collect(), permit.wanted.service)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_call_is_decided_and_cut_as_a_body_is(
        world in world(),
        order in vec(any::<u16>(), 20),
        with_keys in any::<u8>(),
        changes in prop_oneof![3 => Just(Vec::new()), 4 => vec(change(), 1), 2 => vec(change(), 2)],
    ) {
        let body = world.query.body();
        let asked = read(body.as_bytes()).unwrap();
        let sent = decoded(&message(&world.query).encode_to_vec());
        let called = rpc::read(&sent).unwrap();
        let parts = |request: &Request<'_>| {
            let entities: BTreeSet<(String, bool)> =
                request.entities.iter().map(|e| (e.name.clone().into_owned(), e.has_null)).collect();
            (format!("{:?}", request.asked.read().unwrap()), entities, request.rows, request.full_names, request.view_metadata)
        };
        prop_assert_eq!(parts(&called), parts(&asked));

        let Some((permit, expected, keys)) = decided(&world) else { return Ok(()) };
        // What goes upstream asks for the same.
        let forwarded = decoded(&rpc::rewrite(&sent, &called, &permit));
        let again = rpc::read(&forwarded).unwrap();
        prop_assert_eq!(named(&again), named_by(&permit));
        let names: BTreeSet<&str> = again.entities.iter().map(|entity| &*entity.name).collect();
        let dummy: BTreeSet<&str> = ["__dummy_id"].into();
        let wanted: BTreeSet<&str> = keys.iter().map(String::as_str).collect();
        prop_assert_eq!(names, if wanted.is_empty() { dummy } else { wanted });
        prop_assert_eq!((again.rows, again.full_names), (2, true));

        // The same answer, on both wires.
        let upstream = Upstream::answers(&expected, &keys, order, with_keys, &changes);
        let text = upstream.text();
        let in_json = filter(text.as_bytes(), &asked, &permit);
        let mut names = GetOnlineFeaturesResponseMetadata::default();
        names.feature_names = Some(FeatureList { val: upstream.names.iter().map(|(name, _)| name.clone()).collect() });
        let answer = GetOnlineFeaturesResponse {
            metadata: Some(names),
            results: upstream.entries.iter().map(|entry| vector(entry)).collect(),
            status: upstream.status,
        };
        let top = if upstream.top.is_empty() { Vec::new() } else { bytes(9, b"x") };
        let in_proto = rpc::filter(&[answer.encode_to_vec(), top].concat().into(), &called, &permit);
        prop_assert_eq!(in_proto.is_ok(), in_json.is_ok(), "{:?} {:?}", in_proto, in_json);
        let (Ok(in_proto), Ok(in_json)) = (in_proto, in_json) else { return Ok(()) };
        let (text, dropped) = match in_json {
            Answer::AsItCame => (text.into_bytes(), 0),
            Answer::Cut { body, dropped } => (body.whole(text.as_bytes()), dropped),
        };
        let cut = columns(std::str::from_utf8(&text).unwrap());
        let cut: Left = cut.into_iter().map(|(name, entry)| (name, vector(&entry))).collect();
        prop_assert_eq!((in_proto.dropped, left(&in_proto.message)), (dropped, cut));
    }

    #[test]
    fn no_bytes_make_it_panic(
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let policy = shop();
        let (message, answer) = two_views();
        let broken = |bytes: &Bytes| {
            let mut bytes = bytes.to_vec();
            for (at, byte) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            bytes.truncate(cut.map_or(bytes.len(), |cut| cut.index(bytes.len())));
            Bytes::from(bytes)
        };
        if let Ok(message) = strict::decode::<GetOnlineFeaturesRequest>(&broken(&message))
            && let Ok(request) = rpc::read(&message)
            && let Outcome::Permit(dialect::Permit::Feast(permit)) = plan(&policy, &role(&policy, "all"), &request).outcome
        {
            // What goes on is read as it was meant.
            let sent = decoded(&rpc::rewrite(&message, &request, &permit));
            prop_assert_eq!(named(&rpc::read(&sent).unwrap()), named_by(&permit));
        }
        let message = decoded(&message);
        let request = rpc::read(&message).unwrap();
        let permit = permitted(plan(&policy, &role(&policy, "all"), &request));
        // Whatever passes has the columns that were asked for, and no others.
        if let Ok(filtered) = rpc::filter(&broken(&answer), &request, &permit) {
            let names: BTreeSet<String> = left(&filtered.message).into_iter().map(|(name, _)| name).collect();
            let asked = ["customer_profile__age", "customer_profile__country", "customer_activity__txn_count_7d"];
            prop_assert!(asked.iter().all(|name| names.contains(*name)));
            prop_assert!(names.len() == asked.len() || names.len() == asked.len() + 1 && names.contains("customer_id"));
        }
    }
}
