//! The bodies of writes, read strictly and built anew; the values that are written go on byte for byte.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::{Sent, TIMES, Target, Write};
use crate::dialect::feast::request::{boolean, invalid, text, unreadable};
use crate::dialect::{Invalid, shown};
use crate::json::{self, Kind, Value};

/// Views that one materialization may name.
const MOST_VIEWS: usize = 10_000;
/// Columns of one write.
const MOST_COLUMNS: usize = 10_000;

/// A kind of write, each with a body of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kinds {
    /// `{"push_source_name", "df", "to"?, "allow_registry_cache"?, "transform_on_write"?}`.
    Push,
    /// `{"feature_view_name", "df", "allow_registry_cache"?, "transform_on_write"?}`.
    View,
    /// `{"feature_views"?, "start_ts", "end_ts", "disable_event_timestamp"?, "full_feature_names"?}`.
    Materialize,
    /// `{"feature_views"?, "end_ts", "full_feature_names"?}`.
    Incremental,
}

/// A request to write.
#[derive(Debug)]
pub struct Request<'b> {
    /// What is decided.
    pub write: Write<'b>,
    /// The body that goes upstream.
    pub body: Vec<u8>,
    /// The query that goes upstream: empty, or with its `?`.
    pub query: &'static str,
}

/// Reads a body and, of a materialization, the query (`async`, `force`). Unknown fields and parameters have no effect and are
/// not forwarded.
///
/// # Errors
/// [`Invalid`] names what is in the way.
pub fn read<'b>(kind: Kinds, body: &'b [u8], query: Option<&str>) -> Result<Request<'b>, Invalid> {
    let mut fields = Fields { body, members: json::object(body).map_err(|error| unreadable(&error))? };
    let mut out = Out(Vec::with_capacity(body.len() + 64));
    let write = match kind {
        Kinds::Push => {
            let source = fields.name("push_source_name")?;
            out.text("push_source_name", &source);
            let columns = fields.frame(&mut out)?;
            if let Some(to) = fields.text("to")? {
                may_go_to(&to)?;
                out.text("to", &to);
            }
            fields.boolean("allow_registry_cache", &mut out)?;
            fields.boolean("transform_on_write", &mut out)?;
            Write { target: Target::Source(source), columns }
        }
        Kinds::View => {
            let view = fields.name("feature_view_name")?;
            out.text("feature_view_name", &view);
            let columns = fields.frame(&mut out)?;
            fields.boolean("allow_registry_cache", &mut out)?;
            fields.boolean("transform_on_write", &mut out)?;
            Write { target: Target::Views(vec![view]), columns }
        }
        Kinds::Materialize | Kinds::Incremental => {
            if fields.take("version").is_some() {
                return invalid("`version` is not followed: it names another view than the one that is known");
            }
            let target = fields.views(&mut out)?;
            let times: &[&'static str] = if kind == Kinds::Materialize { &["start_ts", "end_ts"] } else { &["end_ts"] };
            for name in times {
                if let Some(time) = fields.text(name)? {
                    out.text(name, &time);
                }
            }
            if kind == Kinds::Materialize {
                fields.boolean("disable_event_timestamp", &mut out)?;
            }
            fields.boolean("full_feature_names", &mut out)?;
            Write { target, columns: Vec::new() }
        }
    };
    let query = match kind {
        Kinds::Push | Kinds::View => "",
        Kinds::Materialize | Kinds::Incremental => parameters(query.unwrap_or_default())?,
    };
    Ok(Request { write, body: out.end(), query })
}

/// The members of a body. A null is a field that is not given.
struct Fields<'b> {
    body: &'b [u8],
    members: Vec<json::Member<'b>>,
}

impl<'b> Fields<'b> {
    fn take(&mut self, name: &str) -> Option<Value> {
        let member = self.members.iter().find(|member| member.key == name)?;
        (member.value.kind != Kind::Null).then_some(member.value)
    }

    fn text(&mut self, name: &str) -> Result<Option<Cow<'b, str>>, Invalid> {
        let Some(value) = self.take(name) else { return Ok(None) };
        if value.kind != Kind::String {
            return invalid(format!("`{name}` is no text"));
        }
        text(self.body, value).map(Some)
    }

    fn name(&mut self, name: &str) -> Result<Cow<'b, str>, Invalid> {
        match self.text(name)? {
            Some(text) if !text.is_empty() => Ok(text),
            Some(_) | None => invalid(format!("`{name}` names nothing")),
        }
    }

    fn boolean(&mut self, name: &'static str, out: &mut Out) -> Result<(), Invalid> {
        if let Some(value) = self.take(name) {
            out.raw(name, if boolean(value, name)? { b"true" } else { b"false" });
        }
        Ok(())
    }

    /// `feature_views`; left out: every view. An empty list is refused, for it reads like either.
    fn views(&mut self, out: &mut Out) -> Result<Target<'b>, Invalid> {
        let Some(value) = self.take("feature_views") else { return Ok(Target::All) };
        if value.kind != Kind::Array {
            return invalid("`feature_views` is not a list");
        }
        let mut names: Vec<Cow<'b, str>> = Vec::new();
        for item in json::iter_elements(self.body, value).map_err(|error| unreadable(&error))? {
            let item = item.map_err(|error| unreadable(&error))?;
            if item.kind != Kind::String {
                return invalid("`feature_views` holds something that is no text");
            }
            if names.len() == MOST_VIEWS {
                return invalid(format!("`feature_views` holds more than {MOST_VIEWS} views"));
            }
            names.push(text(self.body, item)?);
        }
        if names.is_empty() {
            return invalid("`feature_views` is empty");
        }
        out.key("feature_views");
        out.0.push(b'[');
        for (position, name) in names.iter().enumerate() {
            if position > 0 {
                out.0.push(b',');
            }
            json::write_string(&mut out.0, name);
        }
        out.0.push(b']');
        Ok(Target::Views(names))
    }

    /// `df`: columns of equal lengths, each forwarded as it was written.
    fn frame(&mut self, out: &mut Out) -> Result<Vec<Sent<'b>>, Invalid> {
        let Some(value) = self.take("df") else { return invalid("`df` is missing") };
        if value.kind != Kind::Object {
            return invalid("`df` is not an object of columns");
        }
        out.key("df");
        out.0.push(b'{');
        let (mut sent, mut rows): (Vec<Sent<'b>>, Option<usize>) = (Vec::new(), None);
        for member in json::iter_members(self.body, value).map_err(|error| unreadable(&error))? {
            let json::Member { key: name, value } = member.map_err(|error| unreadable(&error))?;
            if value.kind != Kind::Array {
                return invalid(format!("column `{}` of `df` is not a list of values", shown(&name)));
            }
            few(sent.len() + 1)?;
            let (mut count, mut times, mut null) = (0, true, true);
            for item in json::iter_elements(self.body, value).map_err(|error| unreadable(&error))? {
                let item = item.map_err(|error| unreadable(&error))?;
                let is_null = item.kind == Kind::Null;
                times &= is_null || is_time_in_json(item.span.of(self.body));
                null &= is_null;
                count += 1;
            }
            if let Some(rows) = rows.replace(count).filter(|rows| *rows != count) {
                let name = shown(&name);
                return invalid(format!("column `{name}` of `df` has {count} values where others have {rows}"));
            }
            if !sent.is_empty() {
                out.0.push(b',');
            }
            json::write_string(&mut out.0, &name);
            out.0.push(b':');
            out.0.extend_from_slice(value.span.of(self.body));
            // Nulls alone tell no time.
            let times = (times && !null) || TIMES.contains(&&*name);
            sent.push(Sent { name, times });
        }
        out.0.push(b'}');
        if rows.unwrap_or_default() == 0 {
            return invalid("`df` has no rows");
        }
        Ok(sent)
    }
}

/// Whether a push may go there.
pub(in crate::dialect::feast) fn may_go_to(to: &str) -> Result<(), Invalid> {
    if matches!(to, "online" | "offline" | "online_and_offline") {
        return Ok(());
    }
    invalid("`to` is not `online`, `offline` or `online_and_offline`")
}

/// Whether so many columns are no more than a write may have.
pub(in crate::dialect::feast) fn few(columns: usize) -> Result<(), Invalid> {
    if columns > MOST_COLUMNS {
        return invalid(format!("more than {MOST_COLUMNS} columns are written"));
    }
    Ok(())
}

/// [`is_time`], of a JSON text. Numbers are not: any column could be one of those.
fn is_time_in_json(text: &[u8]) -> bool {
    text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).is_some_and(is_time)
}

/// Whether a text is a point in time as ISO 8601 writes it: a date, and what may stand behind one.
pub(in crate::dialect::feast) fn is_time(text: &[u8]) -> bool {
    let date = text.get(..10).is_some_and(|date| {
        date.iter()
            .zip(b"0000-00-00")
            .all(|(byte, form)| if *form == b'0' { byte.is_ascii_digit() } else { byte == form })
    });
    let time = |byte: &u8| byte.is_ascii_digit() || b"T :.+-Z".contains(byte);
    date && text.len() <= 40 && text.iter().all(time)
}

/// A body on its way upstream.
struct Out(Vec<u8>);

impl Out {
    fn key(&mut self, name: &str) {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        json::write_string(&mut self.0, name);
        self.0.push(b':');
    }

    fn raw(&mut self, name: &str, value: &[u8]) {
        self.key(name);
        self.0.extend_from_slice(value);
    }

    fn text(&mut self, name: &str, value: &str) {
        self.key(name);
        json::write_string(&mut self.0, value);
    }

    fn end(mut self) -> Vec<u8> {
        if self.0.is_empty() {
            self.0.push(b'{');
        }
        self.0.push(b'}');
        self.0
    }
}

/// The query of a materialization, built anew.
fn parameters(query: &str) -> Result<&'static str, Invalid> {
    let (mut seen, mut on) = (BTreeSet::new(), BTreeSet::new());
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if !matches!(name, "async" | "force") {
            continue;
        }
        if !seen.insert(name) {
            return invalid(format!("the parameter `{name}` stands twice"));
        }
        match value {
            "true" => {
                on.insert(name);
            }
            "false" => {}
            _ => return invalid(format!("the parameter `{name}` is neither true nor false")),
        }
    }
    Ok(match (on.contains("async"), on.contains("force")) {
        (false, false) => "",
        (true, false) => "?async=true",
        (false, true) => "?force=true",
        (true, true) => "?async=true&force=true",
    })
}
