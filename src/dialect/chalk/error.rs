//! Errors as Chalk's clients know them (wire-chalk.md, sections 3.2 and 3.3), in JSON and in protobuf.
//!
//! Ours say what they say. Those of the upstream can carry values in every text: of these the code, names that are the
//! caller's already, and the name of a resolver pass ([`strip`], [`strip_json`]).

use super::proto::{ChalkError, ErrorCode, ErrorCodeCategory};
use super::query::Permit;
use crate::json::{self, JsonError, Kind, Value};

/// Bytes of a resolver's name.
const LONGEST_RESOLVER: usize = 256;

/// A code in JSON, its kind, and what is said of one that came from upstream.
fn entry(code: ErrorCode) -> (&'static str, ErrorCodeCategory, &'static str) {
    use ErrorCodeCategory::{Field, Network, Request};
    match code {
        ErrorCode::InternalServerError => ("INTERNAL_SERVER_ERROR", Network, "the feature server failed"),
        ErrorCode::ParseFailed => ("PARSE_FAILED", Request, "the feature server does not know a name of the query"),
        ErrorCode::ResolverNotFound => ("RESOLVER_NOT_FOUND", Request, "the feature server found no resolver"),
        ErrorCode::InvalidQuery => ("INVALID_QUERY", Request, "the feature server calls the query invalid"),
        ErrorCode::ValidationFailed => ("VALIDATION_FAILED", Field, "a value did not validate"),
        ErrorCode::ResolverFailed => ("RESOLVER_FAILED", Field, "a resolver failed"),
        ErrorCode::ResolverTimedOut => ("RESOLVER_TIMED_OUT", Field, "a resolver took too long"),
        ErrorCode::UpstreamFailed => ("UPSTREAM_FAILED", Field, "a resolver that this feature needs failed"),
        ErrorCode::Unauthenticated => ("UNAUTHENTICATED", Network, "the feature server does not know the caller"),
        ErrorCode::Unauthorized => ("UNAUTHORIZED", Network, "the feature server does not permit it"),
        ErrorCode::Cancelled => ("CANCELLED", Network, "the feature server cancelled the query"),
        ErrorCode::DeadlineExceeded => ("DEADLINE_EXCEEDED", Network, "the feature server ran out of time"),
    }
}

/// The code's name in JSON: `INVALID_QUERY`.
pub fn code_name(code: ErrorCode) -> &'static str {
    entry(code).0
}

/// The code of this name; one that is not known is none of Chalk's, and its clients cannot read it.
pub fn code_of(name: &str) -> Option<ErrorCode> {
    (0..=11).filter_map(|number| ErrorCode::try_from(number).ok()).find(|code| code_name(*code) == name)
}

/// An error of ours.
pub fn error(code: ErrorCode, message: impl Into<String>) -> ChalkError {
    let (_, category, _) = entry(code);
    ChalkError { code: code.into(), category: category.into(), message: message.into(), ..ChalkError::default() }
}

/// The refusal of one feature, by the name that the caller wrote: denied and unknown read alike.
pub fn refused(feature: &str) -> ChalkError {
    let message = format!("Feature '{feature}' is not authorized for this caller");
    ChalkError { feature: Some(feature.to_owned()), ..error(ErrorCode::Unauthorized, message) }
}

/// A query that cannot be checked; `message` names what is in the way.
pub fn invalid_query(message: impl Into<String>) -> ChalkError {
    error(ErrorCode::InvalidQuery, message)
}

/// An error of the upstream without what can carry values: a code of the closed list with its kind and a text of ours;
/// `feature` where it is a name of the permit, `resolver` where it reads as a dotted name, the primary key where that
/// may come back and is said to be one of a name of the permit. No exception.
pub fn strip(from: &ChalkError, permit: &Permit) -> ChalkError {
    let code = ErrorCode::try_from(from.code).unwrap_or(ErrorCode::InternalServerError);
    let (_, _, message) = entry(code);
    // Of another namespace's row it is another feature, and what it is of is not in the value.
    let named = from.display_primary_key_fqn.as_deref().is_some_and(|name| is_named(permit, name));
    let key = |text: &Option<String>| text.clone().filter(|_| permit.primary_key && named);
    ChalkError {
        display_primary_key: key(&from.display_primary_key),
        display_primary_key_fqn: key(&from.display_primary_key_fqn),
        feature: from.feature.clone().filter(|name| is_named(permit, name)),
        resolver: from.resolver.clone().filter(|name| is_resolver(name)),
        ..error(code, message)
    }
}

/// [`strip`] for an error in JSON; `value` is an object of `text`. What is not of its kind there is left out.
///
/// # Errors
/// `value` is not an object of `text`.
pub fn strip_json(text: &[u8], value: Value, permit: &Permit) -> Result<ChalkError, JsonError> {
    // One without a code is as one with an unknown code.
    let mut found = ChalkError { code: ErrorCode::InternalServerError.into(), ..ChalkError::default() };
    for member in json::iter_members(text, value)? {
        let member = member?;
        if member.value.kind != Kind::String {
            continue;
        }
        let text = || json::string(text, member.value).map(std::borrow::Cow::into_owned);
        match &*member.key {
            "code" => found.code = code_of(&text()?).unwrap_or(ErrorCode::InternalServerError).into(),
            "display_primary_key" => found.display_primary_key = Some(text()?),
            "display_primary_key_fqn" => found.display_primary_key_fqn = Some(text()?),
            "feature" => found.feature = Some(text()?),
            "resolver" => found.resolver = Some(text()?),
            _ => {}
        }
    }
    Ok(strip(&found, permit))
}

/// A name that the caller was permitted, so that an error tells nothing by it.
fn is_named(permit: &Permit, name: &str) -> bool {
    permit.fields.contains_key(name)
        || permit.inputs.contains(name)
        || permit.outputs.iter().any(|output| output == name)
}

/// `my.project.get_score`, `get_score.<locals>.inner`: no segment is empty or begins with a digit.
fn is_resolver(name: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '<' | '>');
    name.len() <= LONGEST_RESOLVER
        && name.split('.').all(|part| part.chars().all(word) && !part.starts_with(|c: char| c.is_ascii_digit()))
        && name.split('.').all(|part| !part.is_empty())
}

/// Appends an error in JSON, with all keys that Chalk sends; `exception` is always null.
pub fn write_json(out: &mut Vec<u8>, error: &ChalkError) {
    let code = ErrorCode::try_from(error.code).unwrap_or(ErrorCode::InternalServerError);
    let (code, category, _) = entry(code);
    let category = match category {
        ErrorCodeCategory::Network => "NETWORK",
        ErrorCodeCategory::Request => "REQUEST",
        ErrorCodeCategory::Field => "FIELD",
    };
    let members = [
        ("{\"code\":", Some(code)),
        (",\"category\":", Some(category)),
        (",\"message\":", Some(error.message.as_str())),
        (",\"display_primary_key\":", error.display_primary_key.as_deref()),
        (",\"display_primary_key_fqn\":", error.display_primary_key_fqn.as_deref()),
        (",\"exception\":", None),
        (",\"feature\":", error.feature.as_deref()),
        (",\"resolver\":", error.resolver.as_deref()),
    ];
    for (key, text) in members {
        out.extend_from_slice(key.as_bytes());
        match text {
            Some(text) => json::write_string(out, text),
            None => out.extend_from_slice(b"null"),
        }
    }
    out.push(b'}');
}

/// Appends errors as a list.
pub fn write_list<'e>(out: &mut Vec<u8>, errors: impl IntoIterator<Item = &'e ChalkError>) {
    out.push(b'[');
    for (position, error) in errors.into_iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        write_json(out, error);
    }
    out.push(b']');
}

/// The body of an answer of `/v1/query/online` that has errors alone; status 200, as Chalk answers
/// (wire-chalk.md, section 3.3).
pub fn answer(errors: &[ChalkError]) -> Vec<u8> {
    let mut out = br#"{"data":[],"errors":"#.to_vec();
    write_list(&mut out, errors);
    out.extend_from_slice(br#","meta":null}"#);
    out
}

/// [`answer`] with one error for each refused name.
pub fn refused_answer<'n>(names: impl IntoIterator<Item = &'n str>) -> Vec<u8> {
    answer(&names.into_iter().map(refused).collect::<Vec<_>>())
}

/// The body of an answer of `/v1/upload_features` or `…/multi` that has errors alone; status 200. chalkpy reads no answer of the
/// latter without `operation_id`; there is none.
pub fn upload_answer(errors: &[ChalkError], decision_id: &str) -> Vec<u8> {
    let mut out = br#"{"errors":"#.to_vec();
    write_list(&mut out, errors);
    out.extend_from_slice(br#","operation_id":"","trace_id":"#);
    json::write_string(&mut out, decision_id);
    out.push(b'}');
    out
}

/// The body of a failure, status 400 and beyond: `{"detail", "trace", "errors", "error"}`; chalkpy needs `detail` to see
/// `errors`. `own`: what every body of ours has beside them.
pub fn failure_body(message: &str, decision_id: &str, errors: &[ChalkError], own: &serde_json::Value) -> Vec<u8> {
    let mut out = br#"{"detail":"#.to_vec();
    json::write_string(&mut out, message);
    out.extend_from_slice(br#","trace":"#);
    json::write_string(&mut out, decision_id);
    out.extend_from_slice(br#","errors":"#);
    write_list(&mut out, errors);
    out.extend_from_slice(br#","error":"#);
    out.extend_from_slice(own.to_string().as_bytes());
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests;
