//! Where the parts of an answer are: read in one pass over it.

use super::{Judged, json_error};
use crate::dialect::{Unreadable, shown};
use crate::json::{self, JsonError, Kind, Model, Reader, Seen, Span, Text, Value};

/// Where the parts of an answer are.
pub(super) struct Came<'a> {
    /// The entries of `results`, each with the lists that are known.
    pub columns: Vec<Span>,
    /// What the first one has around its values.
    pub first: Option<Model<'a>>,
    /// What `feature_names` says of them.
    pub names: Names<'a>,
    /// `feature_view_metadata`, where it was asked for.
    pub views: Option<Value>,
    pub status: Option<Value>,
    /// Whether there is something else.
    pub others: bool,
}

/// The list `feature_names`.
pub(super) enum Names<'a> {
    /// It is this one.
    Known(&'a Judged),
    /// It is to be verified.
    Came { list: Seen<'a>, names: Vec<Text<'a>> },
}

impl<'a> Came<'a> {
    /// Reads an answer, all of it, and once. `expected`: about so many columns; `before`: the names that came before.
    pub fn read(
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
