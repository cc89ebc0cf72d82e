//! The answer: verified column by column against what was decided, by name, and cut.

mod came;
mod columns;

use std::sync::OnceLock;

use crate::dialect::feast::plan::Permit;
use crate::dialect::feast::request::Request;
use crate::dialect::{Answer, Pieces, Unreadable};
use crate::json::{self, Kind, Known, KnownModel, Model, Seen, Span, Text, Value};
use came::{Came, Names};
pub(super) use columns::{Columns, Fate};

pub(super) fn unreadable<T>(message: impl Into<String>) -> Result<T, Unreadable> {
    Err(Unreadable(message.into()))
}

pub(super) fn json_error(error: &json::JsonError) -> Unreadable {
    // The key may be one of a map that is a value.
    if let json::JsonError::DuplicateKey { at, .. } = error {
        return Unreadable(format!("the answer cannot be read: a key at byte {at} of the json text stands twice"));
    }
    Unreadable(format!("the answer cannot be read: {error}"))
}

/// Verifies and cuts an answer. Values keep their exact text.
///
/// # Errors
/// [`Unreadable`] where any column is unknown, unasked, ambiguous or missing, or the layout is another one.
pub fn filter(body: &[u8], request: &Request<'_>, permit: &Permit) -> Result<Answer, Unreadable> {
    filter_columns(body, request.view_metadata, permit)
}

/// The same of any request whose answer has this layout. `view_metadata`: it was asked for.
///
/// # Errors
/// As there.
pub fn filter_columns(body: &[u8], view_metadata: bool, permit: &Permit) -> Result<Answer, Unreadable> {
    let before = permit.answered.0.get().map(|judged| &**judged);
    let came = Came::read(body, view_metadata, permit.columns.len() + permit.entities.len(), before)?;
    let here;
    let judged = match &came.names {
        Names::Known(judged) => *judged,
        Names::Came { list, names } => {
            let judged = Judged::of(body, list, names, came.first, permit)?;
            if before.is_none() && judged.is_worth_keeping(names) {
                permit.answered.0.get_or_init(|| Box::new(judged))
            } else {
                here = judged;
                &here
            }
        }
    };
    let (names, columns) = (judged.kept.len(), came.columns.len());
    if columns != names {
        return unreadable(format!("{names} names stand for {columns} columns"));
    }
    if !judged.changes && !came.others && came.views.is_none() {
        return Ok(Answer::AsItCame);
    }

    let kept = || judged.kept.iter().zip(&came.columns).filter(|(kept, _)| **kept).map(|(_, column)| *column);
    let small = body.len() < COPIED_AT_ONCE;
    let mut out = if small {
        let columns: usize = kept().map(|column| column.end.saturating_sub(column.start) + 1).sum();
        let status = came.status.map_or(0, |status| STATUS.len() + status.span.of(body).len());
        let around = START.len() + END.len() + status;
        Pieces::written(around + columns.saturating_sub(1) + judged.names.len())
    } else {
        Pieces::with_capacity(names, 64 + names + judged.names.len())
    };
    out.write(START);
    for (position, run) in Runs::new(body, kept()).enumerate() {
        if position > 0 {
            out.write(b",");
        }
        if small { out.write(run.of(body)) } else { out.keep(run) }
    }
    out.write(&judged.names);
    if let Some(views) = came.views {
        views_of(body, views, permit, &mut out)?;
    }
    if let Some(status) = came.status {
        out.write(STATUS);
        out.write(status.span.of(body));
        out.write(b"}");
    } else {
        out.write(END);
    }
    Ok(Answer::Cut { body: out, dropped: judged.dropped })
}

/// Bytes of a column, without its values, that are kept for the next answer.
const SHORT: usize = 1 << 10;

/// Bytes of an answer that is rather copied than passed on in pieces.
const COPIED_AT_ONCE: usize = 16 << 10;

const START: &[u8] = br#"{"results":["#;
const NAMES: &[u8] = br#"],"metadata":{"feature_names":["#;
const STATUS: &[u8] = br#"},"status":"#;
const END: &[u8] = b"}}";

/// The list of names that the first answer to what a [`Permit`] permits had, and what was found of it: the next one mostly
/// has the same, byte for byte. And the first column, if it is a short one: that of an entity has the same statuses and times
/// in each answer of as many rows.
#[derive(Debug, Default)]
pub struct Answered(OnceLock<Box<Judged>>);

/// A list `feature_names`, verified.
#[derive(Debug)]
struct Judged {
    list: Known,
    /// What the first column has around its values.
    first: Option<KnownModel>,
    /// Of each column.
    kept: Vec<bool>,
    /// What is returned of it, with what stands between it and the columns.
    names: Vec<u8>,
    dropped: usize,
    /// Whether one is cut, or renamed.
    changes: bool,
}

impl Judged {
    fn of(
        body: &[u8],
        list: &Seen<'_>,
        names: &[Text<'_>],
        first: Option<Model<'_>>,
        permit: &Permit,
    ) -> Result<Self, Unreadable> {
        let (mut verified, mut renamed) = (Columns::of(permit), false);
        let mut kept = Vec::with_capacity(names.len());
        let mut out = Vec::with_capacity(NAMES.len() + list.text().len());
        out.extend_from_slice(NAMES);
        for name in names {
            let fate = verified.next(&name.text().map_err(|error| json_error(&error))?)?;
            kept.push(fate != Fate::Cut);
            if fate != Fate::Cut && out.len() > NAMES.len() {
                out.push(b',');
            }
            match fate {
                Fate::Cut => {}
                Fate::Kept => out.extend_from_slice(name.span.of(body)),
                Fate::Renamed(new) => {
                    renamed = true;
                    json::write_string(&mut out, new);
                }
            }
        }
        out.push(b']');
        let dropped = verified.end()?;
        let first = first.filter(|first| first.length() <= SHORT).map(|first| first.known());
        Ok(Self { list: list.known(), first, kept, names: out, dropped, changes: renamed || dropped > 0 })
    }

    /// Whether it is about as long as its names, and not mostly blanks.
    fn is_worth_keeping(&self, names: &[Text<'_>]) -> bool {
        let longest: usize = names.iter().map(|name| name.span.end.saturating_sub(name.span.start) + 2).sum();
        self.list.text().len() <= longest + 2
    }
}

/// Spans that have nothing but a comma between them, as one.
struct Runs<'a, I> {
    body: &'a [u8],
    spans: I,
    next: Option<Span>,
}

impl<'a, I: Iterator<Item = Span>> Runs<'a, I> {
    fn new(body: &'a [u8], mut spans: I) -> Self {
        let next = spans.next();
        Self { body, spans, next }
    }
}

impl<I: Iterator<Item = Span>> Iterator for Runs<'_, I> {
    type Item = Span;

    fn next(&mut self) -> Option<Span> {
        let mut run = self.next.take()?;
        for span in &mut self.spans {
            if span.start == run.end + 1 && self.body.get(run.end) == Some(&b',') {
                run.end = span.end;
            } else {
                self.next = Some(span);
                break;
            }
        }
        Some(run)
    }
}

/// `feature_view_metadata`, cut to the views of what is returned.
fn views_of(body: &[u8], views: Value, permit: &Permit, out: &mut Pieces) -> Result<(), Unreadable> {
    if views.kind != Kind::Array {
        return unreadable("`feature_view_metadata` is not a list");
    }
    out.write(br#","feature_view_metadata":["#);
    let mut first = true;
    for entry in json::iter_elements(body, views).map_err(|error| json_error(&error))? {
        let entry = entry.map_err(|error| json_error(&error))?;
        if entry.kind != Kind::Object {
            return unreadable("an entry of `feature_view_metadata` is not an object");
        }
        let mut keep = false;
        for member in json::members(body, entry).map_err(|error| json_error(&error))? {
            match (&*member.key, member.value.kind) {
                ("name", Kind::String) => {
                    let name = json::string(body, member.value).map_err(|error| json_error(&error))?;
                    keep = permit.returns(&name);
                }
                ("version", Kind::String | Kind::Number | Kind::Null) => {}
                _ => return unreadable("an entry of `feature_view_metadata` has more than a name and a version"),
            }
        }
        if keep {
            if !first {
                out.write(b",");
            }
            first = false;
            out.write(entry.span.of(body));
        }
    }
    out.write(b"]");
    Ok(())
}
