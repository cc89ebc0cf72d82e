//! The answer: verified column by column against what was decided, by name, and cut.

use bytes::Bytes;
use prost::Message as _;

use super::proto::{FeatureList, GetOnlineFeaturesResponse, GetOnlineFeaturesResponseMetadata};
use crate::dialect::feast::answer::{Columns, Fate, unreadable};
use crate::dialect::feast::plan::Permit;
use crate::dialect::feast::request::Request;
use crate::dialect::strict::{Place, delimited, tag, varint};
use crate::dialect::{Invalid, Unreadable};

/// What is left of an answer.
#[derive(Debug)]
pub struct Answer {
    /// Its message.
    pub message: Bytes,
    /// How many columns were dropped.
    pub dropped: usize,
}

/// Verifies and cuts an answer. Columns that are returned keep their exact bytes; the message around them is encoded anew.
///
/// # Errors
/// [`Unreadable`] where any column is unknown, unasked, ambiguous or missing, or the layout is another one.
pub fn filter(message: &Bytes, request: &Request<'_>, permit: &Permit) -> Result<Answer, Unreadable> {
    let Ok(mut answer) = GetOnlineFeaturesResponse::decode(message.clone()) else {
        return unreadable("the answer is no protobuf");
    };
    let GetOnlineFeaturesResponseMetadata { feature_names, feature_view_metadata: mut views } =
        answer.metadata.take().unwrap_or_default();
    let names = feature_names.unwrap_or_default().val;
    let mut columns = Columns::of(permit);
    let fates = names.iter().map(|name| columns.next(name)).collect::<Result<Vec<_>, _>>()?;
    let dropped = columns.end()?;
    if answer.results.len() != names.len() {
        return unreadable(format!("{} names stand for {} columns", names.len(), answer.results.len()));
    }
    let (mut kept, mut results) = (Vec::with_capacity(names.len()), Vec::with_capacity(names.len()));
    for ((name, fate), entry) in names.iter().zip(fates).zip(answer.results) {
        column(&entry)?;
        let name = match fate {
            Fate::Cut => continue,
            Fate::Kept => name,
            Fate::Renamed(new) => new,
        };
        kept.push(name.to_owned());
        results.push(entry);
    }
    views.retain(|view| request.view_metadata && permit.returns(&view.name));
    answer.metadata = Some(GetOnlineFeaturesResponseMetadata {
        feature_names: Some(FeatureList { val: kept }),
        feature_view_metadata: views,
    });
    answer.results = results;
    Ok(Answer { message: answer.encode_to_vec().into(), dropped })
}

/// An entry of `results` has the three lists that are known, and nothing beside them.
fn column(mut rest: &[u8]) -> Result<(), Unreadable> {
    let place = Place::TOP.below("results", None);
    let mut values = false;
    let broken = |Invalid(problem): Invalid| Unreadable(format!("the answer cannot be read: {problem}"));
    while !rest.is_empty() {
        let (number, wire) = tag(&mut rest, &place).map_err(broken)?;
        values |= number == 1;
        match (number, wire) {
            // `values`, `statuses` (packed, as they are, or one by one) and `event_timestamps`
            (1..=3, 2) => delimited(&mut rest, &place).map(|_| ()),
            (2, 0) => varint(&mut rest, &place).map(|_| ()),
            _ => {
                return unreadable(format!("an entry of `results` has the field {number}, which is not known"));
            }
        }
        .map_err(broken)?;
    }
    if values { Ok(()) } else { unreadable("an entry of `results` has no `values`") }
}
