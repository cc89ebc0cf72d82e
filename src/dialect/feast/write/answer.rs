//! What Feast answers to a write: nothing, `null`, or that it began.

use super::Written;
use super::request::Kinds;
use crate::dialect::feast::answer::{json_error, unreadable};
use crate::dialect::{Unreadable, shown};
use crate::json::{self, Kind};

/// Verifies the body of an answer, in the forms that are known; `accepted`: of a 202, else of a 200.
///
/// | | 200 | 202 |
/// |---|---|---|
/// | a push | empty | empty |
/// | a write to a view | `null` | |
/// | a materialization | `null` | `{"status":"accepted","feature_views":[…]}`, of views that are written |
///
/// # Errors
/// [`Unreadable`]: it is none of them.
pub fn verify(kind: Kinds, accepted: bool, body: &[u8], written: &Written) -> Result<(), Unreadable> {
    let fine = match (kind, accepted) {
        (Kinds::Push, _) => body.is_empty(),
        (Kinds::View | Kinds::Materialize | Kinds::Incremental, false) => body.trim_ascii() == b"null",
        (Kinds::View, true) => false,
        (Kinds::Materialize | Kinds::Incremental, true) => return accepts(body, written),
    };
    if fine { Ok(()) } else { unreadable("it is not what is answered to a write") }
}

fn accepts(body: &[u8], written: &Written) -> Result<(), Unreadable> {
    let (mut status, mut views) = (false, false);
    for member in json::object(body).map_err(|error| json_error(&error))? {
        let value = member.value;
        match (&*member.key, value.kind) {
            ("status", Kind::String) => {
                status = json::string(body, value).map_err(|error| json_error(&error))? == "accepted";
            }
            ("feature_views", Kind::Array) => {
                for view in json::iter_elements(body, value).map_err(|error| json_error(&error))? {
                    let view = view.and_then(|view| json::string(body, view)).map_err(|error| json_error(&error))?;
                    if !written.views.contains(&*view) {
                        return unreadable(format!("view `{}` was not to be written", shown(&view)));
                    }
                }
                views = true;
            }
            _ => return unreadable(format!("what is answered to a write has `{}`", shown(&member.key))),
        }
    }
    if status && views { Ok(()) } else { unreadable("what is answered to a write does not say that it is accepted") }
}
