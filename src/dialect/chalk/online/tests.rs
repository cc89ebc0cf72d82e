use std::collections::BTreeSet;

use super::*;
use crate::dialect::Answer;
use crate::dialect::chalk::headers;
use crate::dialect::chalk::query::{Field, Fields, Input, Permit, Query, Switch};

mod answer;
mod hostile;
mod random;
mod recorded;
mod rows;
mod table;
mod upload;

/// A request for `user.name` with more members.
fn body(members: &str) -> String {
    let comma = if members.is_empty() { "" } else { "," };
    format!(r#"{{"inputs":{{"user.id":1}},"outputs":["user.name"]{comma}{members}}}"#)
}

fn refusal(members: &str) -> String {
    read(body(members).as_bytes(), true).unwrap_err().0
}

fn switches<const N: usize>(of: [Switch; N]) -> BTreeSet<Switch> {
    of.into()
}

/// Everything that a query asks for.
fn all_of(query: &Query<'_>) -> Permit {
    Permit {
        outputs: query.outputs.iter().map(ToString::to_string).collect(),
        expressions: (0..query.expressions.len()).collect(),
        inputs: query.inputs.iter().map(|input| input.name.to_string()).collect(),
        primary_key: true,
        ..Permit::default()
    }
}

fn fields<const N: usize>(of: [(&str, Field); N]) -> Fields {
    of.into_iter().map(|(name, field)| (name.to_owned(), field)).collect()
}

fn columns<const N: usize>(of: [&str; N]) -> Field {
    Field::Rows(of.into_iter().map(|name| (name.to_owned(), Field::Value)).collect())
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}
