//! Recorded messages, damaged at random: what is read means what goes upstream, and nothing else is passed on.

use proptest::prelude::*;

use super::*;

const RECORDED: [(&str, Method); 6] = [
    ("grpc_raw_online_query.OnlineQuery", Method::OnlineQuery),
    ("grpc_query.OnlineQueryBulk", Method::OnlineQueryBulk),
    ("grpc_query_named_query.OnlineQueryBulk", Method::OnlineQueryBulk),
    ("grpc_query_alias_expression.OnlineQueryBulk", Method::OnlineQueryBulk),
    ("grpc_query_bulk_input_sql.OnlineQueryBulk", Method::OnlineQueryBulk),
    ("grpc_multi_query.OnlineQueryMulti", Method::OnlineQueryMulti),
];

/// Bytes that are overwritten, taken out or put in; places are shares of the whole.
fn damage() -> impl Strategy<Value = Vec<(u16, u8, u8)>> {
    proptest::collection::vec((any::<u16>(), 0..3_u8, any::<u8>()), 1..4)
}

fn damaged(bytes: &[u8], damage: &[(u16, u8, u8)]) -> Bytes {
    let mut bytes = bytes.to_vec();
    for (place, what, byte) in damage {
        let at = usize::from(*place) * bytes.len() / (usize::from(u16::MAX) + 1);
        match what {
            0 if at < bytes.len() => bytes[at] = *byte,
            1 if at < bytes.len() => drop(bytes.remove(at)),
            _ => bytes.insert(at, *byte),
        }
    }
    bytes.into()
}

fn meaning(request: &Request) -> Vec<(Vec<u8>, Option<String>, bool)> {
    let of = |asked: &Asked| {
        let mut fingerprint = Vec::new();
        asked.query.fingerprint(&mut fingerprint);
        (fingerprint, asked.environment.clone(), asked.include_meta)
    };
    request.queries.iter().map(of).collect()
}

proptest! {
    #[test]
    fn what_goes_upstream_is_what_was_read((at, damage) in (0..RECORDED.len(), damage())) {
        let (name, method) = RECORDED[at];
        let message = damaged(&fixture(&format!("{name}.req.bin")), &damage);
        let Ok(request) = read(method, &message, true, MOST) else { return Ok(()) };
        let permits: Vec<Permit> = request.queries.iter().map(all).collect();
        let slots: Vec<Slot<'_>> = permits.iter().map(Slot::Sent).collect();
        let forwarded = rewrite(&request, &slots).unwrap().unwrap();
        let again = read(method, &forwarded, true, MOST).unwrap();
        prop_assert_eq!(meaning(&again), meaning(&request));
        // Nothing is lost on the way, and nothing new is written the second time.
        prop_assert_eq!(rewrite(&again, &slots).unwrap().unwrap(), forwarded);
    }

    #[test]
    fn an_answer_holds_no_field_that_is_not_permitted((at, damage) in (0..RECORDED.len(), damage())) {
        let (name, method) = RECORDED[at];
        let request = read(method, &fixture(&format!("{name}.req.bin")), true, MOST).unwrap();
        let permit = Permit { fields: std::iter::once(("user.name".to_owned(), Field::Value)).collect(), ..Permit::default() };
        let slots = vec![Slot::Sent(&permit); request.queries.len()];
        let answer = damaged(&fixture(&format!("{name}.resp.bin")), &damage);
        let Ok(answer) = filter(&request, &slots, &answer, MOST) else { return Ok(()) };
        let bulk = |response: OnlineQueryBulkResponse| {
            if response.scalars_data.is_empty() {
                return Vec::new();
            }
            let table = Table::read(&response.scalars_data, MOST).unwrap();
            assert!(response.groups_data.is_empty());
            table.columns().map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
        };
        let single = |response: OnlineQueryResponse| {
            let results = response.data.map(|data| data.results).unwrap_or_default();
            results.into_iter().map(|result| result.field).collect::<Vec<_>>()
        };
        let names = match method {
            Method::OnlineQuery => single(OnlineQueryResponse::decode(answer.message).unwrap()),
            Method::OnlineQueryBulk => bulk(OnlineQueryBulkResponse::decode(answer.message).unwrap()),
            Method::OnlineQueryMulti => {
                let answer = OnlineQueryMultiResponse::decode(answer.message).unwrap();
                let names = answer.responses.into_iter().map(|response| match response.query.unwrap() {
                    SingleResponse::Single(response) => single(response),
                    SingleResponse::Bulk(response) => bulk(response),
                });
                names.flatten().collect()
            }
        };
        prop_assert!(names.iter().all(|name| name == "user.name"), "{:?}", names);
    }
}
