//! `POST /v1/upload_features`: values that are written (wire-chalk.md, section 3.5).

use std::collections::BTreeSet;

use super::answer::{Cut, json_error, unreadable};
use super::part::{Part, unknown, unreadable as invalid};
use super::request::comma;
use crate::dialect::chalk::query::{Permit, Switch};
use crate::dialect::{Answer, Invalid, Unreadable};
use crate::json::{self, Kind, Member};

/// Bytes of an id.
const LONGEST_ID: usize = 128;

/// An upload, as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upload {
    /// The features that are written, as they are named.
    pub features: Vec<String>,
    /// Rows of values; every feature has as many.
    pub rows: usize,
    /// Parts that need a permission of their own.
    pub switches: BTreeSet<Switch>,
    /// The body that goes upstream: all of the above, built anew. `query_name`, a label, is not in it.
    pub body: Vec<u8>,
}

/// Reads the body of an upload: `{"input": {feature: [value…]}, "preview_deployment_id", "correlation_id",
/// "query_name", "meta"}`. All keys are known, as in [`read`](super::read).
///
/// # Errors
/// [`Invalid`] names what is in the way; also an upload of no features.
pub fn read_upload(body: &[u8]) -> Result<Upload, Invalid> {
    let mut upload = Upload { body: br#"{"input":{"#.to_vec(), ..Upload::default() };
    let mut rest = Vec::new();
    for Member { key, value } in json::object(body).map_err(|error| invalid(&error))? {
        let part = Part { body, value, way: &key, within: false };
        match &*key {
            _ if part.is_null() => {}
            "input" => columns(&part, &mut upload)?,
            "preview_deployment_id" if part.is_nothing() => {}
            "preview_deployment_id" | "correlation_id" => {
                let label = part.label()?;
                rest.extend_from_slice(if key == "correlation_id" {
                    br#","correlation_id":"#.as_slice()
                } else {
                    upload.switches.insert(Switch::Branch);
                    br#","preview_deployment_id":"#
                });
                json::write_string(&mut rest, &label);
            }
            "query_name" => {
                part.label()?;
            }
            "meta" => {
                rest.extend_from_slice(br#","meta":{"#);
                for (position, (key, value)) in part.members()?.iter().enumerate() {
                    comma(&mut rest, position);
                    json::write_string(&mut rest, key);
                    rest.push(b':');
                    json::write_string(&mut rest, &value.text()?);
                }
                rest.push(b'}');
            }
            _ => unknown("", &key, value)?,
        }
    }
    if upload.features.is_empty() {
        return Err(Invalid("`input` names no feature to be written".to_owned()));
    }
    upload.body.push(b'}');
    upload.body.append(&mut rest);
    upload.body.push(b'}');
    Ok(upload)
}

fn columns(part: &Part<'_, '_>, upload: &mut Upload) -> Result<(), Invalid> {
    for (position, (name, values)) in part.members()?.into_iter().enumerate() {
        if values.value.kind != Kind::Array {
            return Err(values.refuse("is not a list"));
        }
        let mut rows = 0;
        for item in json::iter_elements(values.body, values.value).map_err(|error| invalid(&error))? {
            item.map_err(|error| invalid(&error))?;
            rows += 1;
        }
        if position > 0 && rows != upload.rows {
            return Err(part.refuse("has lists of different lengths"));
        }
        upload.rows = rows;
        comma(&mut upload.body, position);
        json::write_string(&mut upload.body, &name);
        upload.body.push(b':');
        upload.body.extend_from_slice(values.raw());
        upload.features.push(name.into_owned());
    }
    Ok(())
}

/// Verifies the answer of an upload, `{"errors": […], "trace_id"}` and, of `…/multi`, `"operation_id"`: errors are stripped, all
/// else is dropped.
/// [`Permit::inputs`] are the names that an error may repeat.
///
/// # Errors
/// [`Unreadable`]: another layout.
pub fn filter_upload(body: &[u8], permit: &Permit) -> Result<Answer, Unreadable> {
    let mut cut = Cut::new(body, permit);
    let (mut errors, mut trace, mut operation) = (None, None, None);
    for Member { key, value } in json::object(body).map_err(|error| json_error(&error))? {
        match &*key {
            "errors" => errors = Some(value),
            "trace_id" if is_id(value.kind, value.span.of(body)) => trace = Some(value),
            "operation_id" if is_id(value.kind, value.span.of(body)) => operation = Some(value),
            _ => cut.changed = true,
        }
    }
    let Some(errors) = errors else { return unreadable("the answer of an upload has no `errors`") };
    cut.out.extend_from_slice(br#"{"errors":"#);
    cut.errors(errors)?;
    for (key, id) in [(r#","operation_id":"#, operation), (r#","trace_id":"#, trace)] {
        if let Some(id) = id {
            cut.out.extend_from_slice(key.as_bytes());
            cut.out.extend_from_slice(id.span.of(body));
        }
    }
    cut.out.push(b'}');
    Ok(cut.finish())
}

/// Null, or an id: letters, digits, `-` and `_`.
fn is_id(kind: Kind, text: &[u8]) -> bool {
    let id = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'"');
    kind == Kind::Null || (kind == Kind::String && text.len() <= LONGEST_ID && text.iter().all(id))
}
