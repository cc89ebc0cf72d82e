//! The request: read strictly, built anew.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::table::Table;
use crate::dialect::Invalid;
use crate::dialect::chalk::query::{Input, Permit, Query};
use crate::json;

/// A query in JSON, as it was read.
#[derive(Clone, Debug, Default)]
pub struct Request<'b> {
    /// What is asked.
    pub query: Query<'b>,
    /// `context.environment`, to be compared with the configured one: [`headers::environment`]. Empty is none.
    ///
    /// [`headers::environment`]: crate::dialect::chalk::headers::environment
    pub environment: Option<String>,
    /// `include_meta`: how each field was computed may be in the answer; `None`: the caller did not say. What the server takes
    /// that for is its own affair, for without `true` here it does not come back.
    pub include_meta: Option<bool>,
    /// `expression_outputs` is a member, be it of an empty list.
    pub(super) expressions: bool,
    /// The values of [`Query::inputs`] as they were written; none in the header of a bulk query.
    pub(super) values: Vec<&'b [u8]>,
    /// The other members that go upstream, written anew, each with a comma before it.
    pub(super) rest: Vec<u8>,
}

/// Reads the body of `POST /v1/query/online`: one JSON object in UTF-8 without duplicate keys. `versioned`: the header
/// `X-Chalk-Features-Versioned` is `true`.
///
/// # Errors
/// [`Invalid`] names what is in the way: a key outside of the table, a value of another form, a query that asks for
/// nothing.
pub fn read(body: &[u8], versioned: bool) -> Result<Request<'_>, Invalid> {
    Table::new(body, false).read(versioned)
}

/// Reads the JSON header of one query of `POST /v1/query/feather`. `inputs` are the columns of its table; `now` is a
/// list.
///
/// # Errors
/// As in [`read`]; `inputs` among the keys, too.
pub fn read_header<'b>(header: &'b [u8], inputs: Vec<Input<'b>>, versioned: bool) -> Result<Request<'b>, Invalid> {
    let mut request = Table::new(header, true).read(versioned)?;
    request.query.inputs = inputs;
    Ok(request)
}

/// The body that goes upstream: the outputs, expressions and inputs that are permitted, values in the text that they
/// had, and the other members that were understood. The name of a query goes with its outputs, spelled out: the server adds
/// the tags that it has for that name, and no other outputs.
///
/// `inputs` and `outputs` are always written, other members where the caller has them.
pub fn rewrite(request: &Request<'_>, permit: &Permit) -> Vec<u8> {
    let values: usize = request.values.iter().map(|value| value.len() + 64).sum();
    let mut out = Vec::with_capacity(values + permit.outputs.len() * 32 + request.rest.len() + 128);
    out.extend_from_slice(br#"{"inputs":{"#);
    let inputs = request.query.inputs.iter().zip(&request.values);
    for (position, (input, value)) in inputs.filter(|(input, _)| permit.inputs.contains(&*input.name)).enumerate() {
        comma(&mut out, position);
        json::write_string(&mut out, &input.name);
        out.push(b':');
        out.extend_from_slice(value);
    }
    out.extend_from_slice(b"},");
    asked(&mut out, request, permit);
    out
}

/// The JSON header of a bulk query that goes upstream, as in [`rewrite`]; its inputs are the columns of its table.
pub fn rewrite_header(request: &Request<'_>, permit: &Permit) -> Vec<u8> {
    let mut out = Vec::with_capacity(permit.outputs.len() * 32 + request.rest.len() + 128);
    out.push(b'{');
    asked(&mut out, request, permit);
    out
}

/// All but the inputs, and the brace behind them.
fn asked(out: &mut Vec<u8>, request: &Request<'_>, permit: &Permit) {
    out.extend_from_slice(br#""outputs":["#);
    for (position, output) in permit.outputs.iter().enumerate() {
        comma(out, position);
        json::write_string(out, output);
    }
    out.push(b']');
    // Beside a name, what is left out could be what the name stands for.
    if request.expressions || request.query.name.is_some() {
        out.extend_from_slice(br#","expression_outputs":["#);
        let expressions = permit.expressions.iter().filter_map(|&position| request.query.expressions.get(position));
        for (position, expression) in expressions.enumerate() {
            comma(out, position);
            json::write_string(out, &STANDARD.encode(&expression.encoded));
        }
        out.push(b']');
    }
    out.extend_from_slice(match request.include_meta {
        Some(true) => br#","include_meta":true"#,
        Some(false) => br#","include_meta":false"#,
        None => b"",
    });
    out.extend_from_slice(&request.rest);
    out.push(b'}');
}

/// The comma before all but the first.
pub(super) fn comma(out: &mut Vec<u8>, position: usize) {
    if position > 0 {
        out.push(b',');
    }
}
