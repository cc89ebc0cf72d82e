//! The answer: verified column by column against what was decided, by name, and cut.

use crate::dialect::feast::plan::{Column, Permit};
use crate::dialect::feast::request::Request;
use crate::dialect::{Answer, Pieces, Unreadable, shown};
use crate::json::{self, JsonError, Kind, Reader, Seen, Span, Text, Value};

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
    let came = Came::read(body, view_metadata, permit.columns.len() + permit.entities.len())?;
    let (mut verified, mut renamed) = (Columns::of(permit), false);
    let mut fates = Vec::with_capacity(came.names.len());
    for name in &came.names {
        let fate = verified.next(&name.text().map_err(|error| json_error(&error))?)?;
        renamed |= matches!(fate, Fate::Renamed(_));
        fates.push(fate);
    }
    let dropped = verified.end()?;
    if came.columns.len() != fates.len() {
        return unreadable(format!("{} names stand for {} columns", fates.len(), came.columns.len()));
    }
    if dropped == 0 && !renamed && !came.others && came.views.is_none() {
        return Ok(Answer::AsItCame);
    }

    let mut out = Pieces::with_capacity(fates.len(), 64 + 32 * fates.len());
    out.write(br#"{"results":["#);
    let kept = || fates.iter().zip(&came.columns).zip(&came.names).filter(|((fate, _), _)| **fate != Fate::Cut);
    let columns = Runs::new(body, kept().map(|((_, column), _)| *column));
    for (position, run) in columns.enumerate() {
        if position > 0 {
            out.write(b",");
        }
        out.keep(run);
    }
    out.write(br#"],"metadata":{"feature_names":["#);
    if renamed {
        for (position, ((fate, _), name)) in kept().enumerate() {
            if position > 0 {
                out.write(b",");
            }
            match fate {
                Fate::Renamed(new) => out.write_string(new),
                Fate::Kept | Fate::Cut => out.write(name.span.of(body)),
            }
        }
    } else {
        for (position, run) in Runs::new(body, kept().map(|(_, name)| name.span)).enumerate() {
            if position > 0 {
                out.write(b",");
            }
            out.write(run.of(body));
        }
    }
    out.write(b"]");
    if let Some(views) = came.views {
        views_of(body, views, permit, &mut out)?;
    }
    out.write(b"}");
    if let Some(status) = came.status {
        out.write(br#","status":"#);
        out.write(status.span.of(body));
    }
    out.write(b"}");
    Ok(Answer::Cut { body: out, dropped })
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
    /// What `feature_names` says of them.
    names: Vec<Text<'a>>,
    /// `feature_view_metadata`, where it was asked for.
    views: Option<Value>,
    status: Option<Value>,
    /// Whether there is something else.
    others: bool,
}

impl<'a> Came<'a> {
    /// Reads an answer, all of it, and once. `expected`: about so many columns.
    fn read(body: &'a [u8], view_metadata: bool, expected: usize) -> Result<Self, Unreadable> {
        Self::walk(body, view_metadata, expected).map_err(|problem| match problem {
            Problem::Json(error) => json_error(&error),
            // What is no JSON is told as that, wherever it is broken.
            Problem::Form(form) => json::whole(body).map_or_else(|error| json_error(&error), |_| Unreadable(form)),
        })
    }

    fn walk(body: &'a [u8], view_metadata: bool, expected: usize) -> Result<Self, Problem> {
        let (mut columns, mut names, mut views, mut status, mut others) = (None, None, None, None, false);
        let mut metadata = false;
        let mut reader = Reader::object(body)?;
        reader.open()?;
        while let Some(key) = reader.key()? {
            let kind = reader.kind()?;
            if key.is("results") {
                columns = Some(columns_of(&mut reader, expected)?);
            } else if key.is("metadata") {
                metadata = true;
                if kind != Kind::Object {
                    return Err(JsonError::WrongKind { expected: "an object", at: reader.at() }.into());
                }
                reader.open()?;
                while let Some(key) = reader.key()? {
                    if key.is("feature_names") {
                        names = Some(names_of(&mut reader, expected)?);
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
            (Some(columns), true, Some(names)) => Ok(Self { columns, names, views, status, others }),
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
fn names_of<'a>(reader: &mut Reader<'a>, expected: usize) -> Result<Vec<Text<'a>>, Problem> {
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
    Ok(names)
}

/// The list `results`.
fn columns_of(reader: &mut Reader<'_>, expected: usize) -> Result<Vec<Span>, Problem> {
    if reader.kind()? != Kind::Array {
        return Err(Problem::of("`results` is not a list"));
    }
    reader.open()?;
    let mut columns = Vec::with_capacity(expected);
    // Mostly the columns of an answer have their values, and else nothing, for themselves; until two of them have not.
    let (mut model, mut misses) = (None, 0);
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
        columns.push(Span { start, end: reader.at() });
        misses += usize::from(model.is_some());
        model = reader.model(start, values);
    }
    Ok(columns)
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
pub(super) struct Columns<'p> {
    permit: &'p Permit,
    /// Of each that came, where the permit has what is said of it: no two names have that at one address.
    came: Vec<usize>,
    kept: usize,
    dropped: usize,
}

impl<'p> Columns<'p> {
    pub(super) fn of(permit: &'p Permit) -> Self {
        let came = Vec::with_capacity(permit.columns.len() + permit.entities.len());
        Self { permit, came, kept: 0, dropped: 0 }
    }

    /// The next one.
    ///
    /// # Errors
    /// It was not asked for.
    pub(super) fn next(&mut self, name: &str) -> Result<Fate<'p>, Unreadable> {
        let (fate, at) = match self.permit.columns.get(name) {
            Some(column @ Column::Keep(new)) => {
                self.kept += 1;
                (if **new == *name { Fate::Kept } else { Fate::Renamed(new) }, address(column))
            }
            Some(column @ Column::Cut) => {
                self.dropped += 1;
                (Fate::Cut, address(column))
            }
            None => match self.permit.entities.get(name) {
                Some(entity) => (Fate::Kept, address(entity)),
                None => return unreadable(format!("column `{}` was not asked for", shown(name))),
            },
        };
        self.came.push(at);
        Ok(fate)
    }

    /// How many are cut, when there are no more.
    ///
    /// # Errors
    /// One of them stands twice, or one that was asked for did not come.
    pub(super) fn end(mut self) -> Result<usize, Unreadable> {
        self.came.sort_unstable();
        let twice = self.came.iter().zip(self.came.iter().skip(1)).find(|(one, next)| one == next);
        if let Some((twice, _)) = twice {
            let columns = self.permit.columns.iter().map(|(name, column)| (&**name, address(column)));
            let entities = self.permit.entities.iter().map(|entity| (&**entity, address(entity)));
            let name = columns.chain(entities).find(|(_, at)| at == twice).map_or("", |(name, _)| name);
            return unreadable(format!("column `{}` stands twice", shown(name)));
        }
        let (wanted, kept) = (self.permit.columns.values().filter(|column| **column != Column::Cut).count(), self.kept);
        if kept != wanted {
            return unreadable(format!("{wanted} columns were asked for and {kept} of them came"));
        }
        Ok(self.dropped)
    }
}

fn address<T>(of: &T) -> usize {
    std::ptr::from_ref(of).addr()
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
