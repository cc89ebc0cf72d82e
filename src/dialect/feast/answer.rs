//! The answer: verified column by column against what was decided, by name, and cut.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::dialect::feast::plan::{Column, Permit};
use crate::dialect::feast::request::Request;
use crate::dialect::{Answer, Unreadable, shown};
use crate::json::{self, Kind, Value};

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
    let (mut results, mut metadata, mut status) = (None, None, None);
    let mut others = false;
    for member in json::object(body).map_err(|error| json_error(&error))? {
        match &*member.key {
            "results" => results = Some(member.value),
            "metadata" => metadata = Some(member.value),
            "status" if matches!(member.value.kind, Kind::Bool(_)) => status = Some(member.value),
            _ => others = true,
        }
    }
    let (Some(results), Some(metadata)) = (results, metadata) else {
        return unreadable("the answer has no `results` or no `metadata`");
    };
    let (mut names, mut views) = (None, None);
    for member in json::members(body, metadata).map_err(|error| json_error(&error))? {
        match &*member.key {
            "feature_names" => names = Some(member.value),
            "feature_view_metadata" if view_metadata => views = Some(member.value),
            _ => others = true,
        }
    }
    let Some(names) = names.filter(|names| names.kind == Kind::Array) else {
        return unreadable("the answer has no list `metadata.feature_names`");
    };
    if results.kind != Kind::Array {
        return unreadable("`results` is not a list");
    }

    let mut columns = Vec::with_capacity(permit.columns.len() + permit.entities.len());
    let (mut verified, mut renamed) = (Columns::of(permit), false);
    for name in json::iter_elements(body, names).map_err(|error| json_error(&error))? {
        let name = name.map_err(|error| json_error(&error))?;
        if name.kind != Kind::String {
            return unreadable("`metadata.feature_names` holds something that is no text");
        }
        let text = json::string(body, name).map_err(|error| json_error(&error))?;
        columns.push(match verified.next(text)? {
            Fate::Cut => None,
            Fate::Kept => Some(Cow::Borrowed(name.span.of(body))),
            Fate::Renamed(new) => {
                renamed = true;
                let mut spelled = Vec::with_capacity(new.len() + 2);
                json::write_string(&mut spelled, new);
                Some(Cow::Owned(spelled))
            }
        });
    }
    let dropped = verified.end()?;

    let mut entries = Vec::with_capacity(columns.len());
    for entry in json::iter_elements(body, results).map_err(|error| json_error(&error))? {
        let entry = entry.map_err(|error| json_error(&error))?;
        column(body, entry)?;
        entries.push(entry);
    }
    if entries.len() != columns.len() {
        return unreadable(format!("{} names stand for {} columns", columns.len(), entries.len()));
    }
    if dropped == 0 && !renamed && !others && views.is_none() {
        return Ok(Answer::AsItCame);
    }

    let mut out = Vec::with_capacity(body.len());
    out.extend_from_slice(br#"{"results":["#);
    let pairs = || columns.iter().zip(&entries).filter_map(|(name, entry)| Some((name.as_ref()?, entry)));
    for (position, (_, entry)) in pairs().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        out.extend_from_slice(entry.span.of(body));
    }
    out.extend_from_slice(br#"],"metadata":{"feature_names":["#);
    for (position, (name, _)) in pairs().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        out.extend_from_slice(name);
    }
    out.push(b']');
    if let Some(views) = views {
        views_of(body, views, permit, &mut out)?;
    }
    out.push(b'}');
    if let Some(status) = status {
        out.extend_from_slice(br#","status":"#);
        out.extend_from_slice(status.span.of(body));
    }
    out.push(b'}');
    Ok(Answer::Cut { body: out.into(), dropped })
}

/// What becomes of a column of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate<'p> {
    /// It is not returned.
    Cut,
    /// It is returned under the name that it came with.
    Kept,
    /// It is returned under this name.
    Renamed(&'p str),
}

/// The columns of an answer, verified by their names, one after the other.
pub(super) struct Columns<'p, 'n> {
    permit: &'p Permit,
    seen: HashSet<Cow<'n, str>>,
    kept: usize,
    dropped: usize,
}

impl<'p, 'n> Columns<'p, 'n> {
    pub(super) fn of(permit: &'p Permit) -> Self {
        let seen = HashSet::with_capacity(permit.columns.len() + permit.entities.len());
        Self { permit, seen, kept: 0, dropped: 0 }
    }

    /// The next one.
    ///
    /// # Errors
    /// It was not asked for, or it stands twice.
    pub(super) fn next(&mut self, name: Cow<'n, str>) -> Result<Fate<'p>, Unreadable> {
        let fate = match self.permit.columns.get(&*name) {
            Some(Column::Keep(new)) => {
                self.kept += 1;
                if *new == name { Fate::Kept } else { Fate::Renamed(new) }
            }
            Some(Column::Cut) => {
                self.dropped += 1;
                Fate::Cut
            }
            None if self.permit.entities.contains(&*name) => Fate::Kept,
            None => return unreadable(format!("column `{}` was not asked for", shown(&name))),
        };
        if self.seen.contains(&name) {
            return unreadable(format!("column `{}` stands twice", shown(&name)));
        }
        self.seen.insert(name);
        Ok(fate)
    }

    /// How many are cut, when there are no more.
    ///
    /// # Errors
    /// One that was asked for did not come.
    pub(super) fn end(self) -> Result<usize, Unreadable> {
        let (wanted, kept) = (self.permit.columns.values().filter(|column| **column != Column::Cut).count(), self.kept);
        if kept != wanted {
            return unreadable(format!("{wanted} columns were asked for and {kept} of them came"));
        }
        Ok(self.dropped)
    }
}

/// An entry of `results` has the three lists that are known, and nothing beside them.
fn column(body: &[u8], entry: Value) -> Result<(), Unreadable> {
    if entry.kind != Kind::Object {
        return unreadable("an entry of `results` is not an object");
    }
    let mut values = false;
    for member in json::iter_members(body, entry).map_err(|error| json_error(&error))? {
        let member = member.map_err(|error| json_error(&error))?;
        let known = matches!(&*member.key, "values" | "statuses" | "event_timestamps");
        if !known || member.value.kind != Kind::Array {
            return unreadable(format!("an entry of `results` has `{}`, which is not known", shown(&member.key)));
        }
        values |= member.key == "values";
    }
    if values { Ok(()) } else { unreadable("an entry of `results` has no `values`") }
}

/// `feature_view_metadata`, cut to the views of what is returned.
fn views_of(body: &[u8], views: Value, permit: &Permit, out: &mut Vec<u8>) -> Result<(), Unreadable> {
    if views.kind != Kind::Array {
        return unreadable("`feature_view_metadata` is not a list");
    }
    out.extend_from_slice(br#","feature_view_metadata":["#);
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
                    keep = permit.views.contains(&*name);
                }
                ("version", Kind::String | Kind::Number | Kind::Null) => {}
                _ => return unreadable("an entry of `feature_view_metadata` has more than a name and a version"),
            }
        }
        if keep {
            if !first {
                out.push(b',');
            }
            first = false;
            out.extend_from_slice(entry.span.of(body));
        }
    }
    out.push(b']');
    Ok(())
}
