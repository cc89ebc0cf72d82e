//! The answer: verified column by column against what was decided, by name, and cut.

mod columns;

use std::sync::OnceLock;

use crate::dialect::feast::plan::Permit;
use crate::dialect::feast::request::Request;
use crate::dialect::{Answer, Pieces, Unreadable, shown};
use crate::json::{self, JsonError, Kind, Known, KnownModel, Model, Reader, Seen, Span, Text, Value};
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

/// Where the parts of an answer are.
struct Came<'a> {
    /// The entries of `results`, each with the lists that are known.
    columns: Vec<Span>,
    /// What the first one has around its values.
    first: Option<Model<'a>>,
    /// What `feature_names` says of them.
    names: Names<'a>,
    /// `feature_view_metadata`, where it was asked for.
    views: Option<Value>,
    status: Option<Value>,
    /// Whether there is something else.
    others: bool,
}

/// The list `feature_names`.
enum Names<'a> {
    /// It is this one.
    Known(&'a Judged),
    /// It is to be verified.
    Came { list: Seen<'a>, names: Vec<Text<'a>> },
}

impl<'a> Came<'a> {
    /// Reads an answer, all of it, and once. `expected`: about so many columns; `before`: the names that came before.
    fn read(
        body: &'a [u8],
        view_metadata: bool,
        expected: usize,
        before: Option<&'a Judged>,
    ) -> Result<Self, Unreadable> {
        Self::walk(body, view_metadata, expected, before).map_err(|problem| match problem {
            Problem::Json(error) => json_error(&error),
            // What is no JSON is told as that, wherever it is broken.
            Problem::Form(form) => json::whole(body).map_or_else(|error| json_error(&error), |_| Unreadable(form)),
        })
    }

    fn walk(body: &'a [u8], view_metadata: bool, expected: usize, before: Option<&'a Judged>) -> Result<Self, Problem> {
        let (mut columns, mut names, mut views, mut status, mut others) = (None, None, None, None, false);
        let mut metadata = false;
        let mut reader = Reader::object(body)?;
        reader.open()?;
        while let Some(key) = reader.key()? {
            let kind = reader.kind()?;
            if key.is("results") {
                columns = Some(columns_of(&mut reader, expected, before)?);
            } else if key.is("metadata") {
                metadata = true;
                if kind != Kind::Object {
                    return Err(JsonError::WrongKind { expected: "an object", at: reader.at() }.into());
                }
                reader.open()?;
                while let Some(key) = reader.key()? {
                    if key.is("feature_names") {
                        let known = before.filter(|judged| reader.skip_known(&judged.list).is_some());
                        names = Some(match known {
                            Some(judged) => Names::Known(judged),
                            None => names_of(&mut reader, expected)?,
                        });
                    } else if view_metadata && key.is("feature_view_metadata") {
                        views = Some(reader.skip()?);
                    } else {
                        others = true;
                        reader.skip()?;
                    }
                }
            } else if matches!(kind, Kind::Bool(_)) && key.is("status") {
                status = Some(reader.skip()?);
            } else {
                others = true;
                reader.skip()?;
            }
        }
        reader.finish()?;
        match (columns, metadata, names) {
            (Some((columns, first)), true, Some(names)) => Ok(Self { columns, first, names, views, status, others }),
            (Some(_), true, None) => Err(Problem::of(NO_NAMES)),
            (_, _, _) => Err(Problem::of("the answer has no `results` or no `metadata`")),
        }
    }
}

const NO_NAMES: &str = "the answer has no list `metadata.feature_names`";

/// What is wrong with an answer.
enum Problem {
    /// It is no JSON.
    Json(JsonError),
    /// It is another answer.
    Form(String),
}

impl Problem {
    fn of(form: impl Into<String>) -> Self {
        Self::Form(form.into())
    }
}

impl From<JsonError> for Problem {
    fn from(error: JsonError) -> Self {
        Self::Json(error)
    }
}

/// The list `feature_names`.
fn names_of<'a>(reader: &mut Reader<'a>, expected: usize) -> Result<Names<'a>, Problem> {
    let start = reader.at();
    if reader.kind()? != Kind::Array {
        return Err(Problem::of(NO_NAMES));
    }
    reader.open()?;
    let mut names = Vec::with_capacity(expected);
    while reader.element()? {
        if reader.kind()? != Kind::String {
            return Err(Problem::of("`metadata.feature_names` holds something that is no text"));
        }
        names.push(reader.string()?);
    }
    match reader.seen(start) {
        Some(list) => Ok(Names::Came { list, names }),
        None => Err(Problem::of(NO_NAMES)),
    }
}

/// The list `results`.
fn columns_of<'a>(
    reader: &mut Reader<'a>,
    expected: usize,
    before: Option<&'a Judged>,
) -> Result<(Vec<Span>, Option<Model<'a>>), Problem> {
    if reader.kind()? != Kind::Array {
        return Err(Problem::of("`results` is not a list"));
    }
    reader.open()?;
    let mut columns = Vec::with_capacity(expected);
    // Mostly the columns of an answer have their values, and else nothing, for themselves; until two of them have not.
    let (mut model, mut misses) = (before.and_then(|judged| Some(judged.first.as_ref()?.model())), 0);
    let mut first = None;
    // And where only one of their other lists is another, the other one is the same.
    let (mut statuses, mut times) = (None, None);
    while reader.element()? {
        let start = reader.at();
        let like = model.as_ref().filter(|_| misses < 2).and_then(|model| reader.skip_like(model));
        if let Some(column) = like {
            misses = 0;
            columns.push(column.span);
            continue;
        }
        let values = column(reader, &mut statuses, &mut times)?;
        // What is known of another answer does not count.
        misses += usize::from(!columns.is_empty());
        model = reader.model(start, values);
        if columns.is_empty() {
            first = model;
        }
        columns.push(Span { start, end: reader.at() });
    }
    Ok((columns, first))
}

/// An entry of `results` has the three lists that are known, and nothing beside them; its values.
///
/// `statuses`, `times`: the lists that the column before it has.
fn column<'a>(
    reader: &mut Reader<'a>,
    statuses: &mut Option<Seen<'a>>,
    times: &mut Option<Seen<'a>>,
) -> Result<Value, Problem> {
    if reader.kind()? != Kind::Object {
        return Err(Problem::of("an entry of `results` is not an object"));
    }
    reader.open()?;
    let mut values = None;
    while let Some(key) = reader.key()? {
        let is_list = reader.kind()? == Kind::Array;
        if is_list && key.is("values") {
            values = Some(reader.skip()?);
        } else if is_list && key.is("statuses") {
            reader.skip_again(statuses)?;
        } else if is_list && key.is("event_timestamps") {
            reader.skip_again(times)?;
        } else {
            let name = key.text()?;
            return Err(Problem::of(format!("an entry of `results` has `{}`, which is not known", shown(&name))));
        }
    }
    values.ok_or_else(|| Problem::of("an entry of `results` has no `values`"))
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
                    keep = permit.views.contains(&name);
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
