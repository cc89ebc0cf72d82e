//! A query and its answer together: what the answer has where the request did not say, and what of it may pass.

use std::collections::HashSet;

use crate::dialect::json::answer::{self, Want};
use crate::dialect::json::plan::{Fate, MOST_NAMES, Output, Permit};
use crate::dialect::json::request::Request;
use crate::dialect::{Answer, Unreadable};

/// The features of an answer, each once, but for what may pass without being asked for.
///
/// # Errors
/// An answer that cannot be verified, or that has more than [`MOST_NAMES`] features.
pub fn outputs<'b>(request: &Request<'_>, permit: &Permit, body: &[u8]) -> Result<Vec<Output<'b>>, Unreadable> {
    let (mut seen, mut outputs) = (HashSet::new(), Vec::new());
    let want = Want { kept: &|_| None, asked_for: &[] };
    answer::cut(body, &request.query.route.answer, &want, &mut |column| {
        if permit.passes(column.name) {
            return Some(Fate::Extra);
        }
        if permit.shuts(column.name) {
            return Some(Fate::Cut);
        }
        let feature = request.query.feature(column.name, column.scope)?;
        if seen.insert(feature.clone()) {
            outputs.push(Output { written: column.name.to_owned().into(), feature });
        }
        Some(Fate::Cut)
    })?;
    if outputs.len() > MOST_NAMES {
        return Err(Unreadable(format!("it has more than {MOST_NAMES} features")));
    }
    Ok(outputs)
}

/// What may pass of an answer.
///
/// # Errors
/// An answer that cannot be verified.
pub fn cut(request: &Request<'_>, permit: &Permit, body: &[u8]) -> Result<Answer, Unreadable> {
    let query = &request.query;
    let want = Want { kept: &|scope| permit.wanted(scope), asked_for: &request.asked_for };
    answer::cut(body, &query.route.answer, &want, &mut |column| permit.fate(query, column.name, column.scope))
}
