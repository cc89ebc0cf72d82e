//! Errors in Feast's words and forms (wire-feast.md, Errors).

use hyper::StatusCode;
use serde_json::{Value, json};

/// Status and body of an error.
#[derive(Debug)]
pub struct Failure(pub (StatusCode, String));

/// What FastAPI says of a body that is no object.
pub const NOT_A_DICTIONARY: &str = "Input should be a valid dictionary or object to extract fields from";

/// What FastAPI says of a body that has not the right form; it gives back what it was sent.
pub fn invalid(kind: &str, place: &[&str], message: &str, input: &Value) -> Failure {
    let detail = json!({"detail": [{"type": kind, "loc": place, "msg": message, "input": input}]});
    Failure((StatusCode::UNPROCESSABLE_ENTITY, detail.to_string()))
}

/// Any exception of Python's: its text.
pub fn plain(text: &str) -> Failure {
    Failure((StatusCode::INTERNAL_SERVER_ERROR, json!(text).to_string()))
}

/// An error of Feast's own: a JSON text in a JSON text.
pub fn feast(status: StatusCode, class: &str, message: &str) -> Failure {
    let inside = format!(r#"{{"module": "feast.errors", "class": "{class}", "message": {}}}"#, json!(message));
    Failure((status, json!(inside).to_string()))
}

/// Names as Python shows a list of them.
pub fn python_list(names: &[impl AsRef<str>]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("'{}'", name.as_ref())).collect();
    format!("[{}]", quoted.join(", "))
}
