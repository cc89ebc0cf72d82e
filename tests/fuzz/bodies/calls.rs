//! Messages of calls: what is read and sent on is read again, and asks for nothing that was not permitted.

use bytes::Bytes;
use tagwarden::dialect::chalk::query::Permit;
use tagwarden::dialect::chalk::rpc::{Method, Slot, filter, read, rewrite};

const MOST: usize = 1 << 20;

/// One run.
pub fn run(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let message = Bytes::copy_from_slice(rest);
    let method = Method::ALL[usize::from(*first) % Method::ALL.len()];
    let Ok(request) = read(method, &message, first & 4 == 0, MOST) else { return };
    // The first output of each query is permitted, if it is a name.
    let permits: Vec<Permit> = request
        .queries
        .iter()
        .map(|asked| Permit {
            outputs: asked.query.outputs.iter().take(1).map(ToString::to_string).collect(),
            ..Permit::default()
        })
        .collect();
    let slots: Vec<Slot<'_>> = permits.iter().map(Slot::Sent).collect();
    if let Ok(Some(sent)) = rewrite(&request, &slots) {
        // A query of which nothing is left asks for nothing, which is none.
        if permits.iter().all(|permit| !permit.outputs.is_empty()) {
            let again = read(method, &sent, first & 4 == 0, MOST * 2).expect("what was sent is read");
            for (asked, permit) in again.queries.iter().zip(&permits) {
                assert_eq!(asked.query.outputs, permit.outputs);
                assert!(asked.query.inputs.is_empty(), "no input was permitted");
                assert!(asked.query.expressions.is_empty(), "no expression was permitted");
            }
        }
    }
    let _ = filter(&request, &slots, &message, MOST);
}
