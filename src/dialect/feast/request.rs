//! The request: read strictly, built anew.

use std::borrow::Cow;

use crate::dialect::feast::plan::Permit;
use crate::dialect::{Invalid, fingerprint_part, shown};
use crate::json::{self, Counted, JsonError, Kind, Reader, Value};

/// Features that one query may name. What is decided and audited of each is many times longer than its name.
const MOST_FEATURES: usize = 10_000;
/// A view without entities has no key to be asked by, but Feast counts the rows by what it is sent. This is the key that it
/// gives such a view itself, with the empty text as its only value; it does not come back (feast/feature_view.py, 0.67).
pub(super) const DUMMY_KEY: &str = "__dummy_id";

const BOTH: &str = "`feature_service` and `features` are both given, and only one can be meant";
const NEITHER: &str = "neither `features` nor `feature_service` is given";

/// What a caller asked for.
#[derive(Debug)]
pub struct Request<'b> {
    /// Features or a service.
    pub asked: Asked<'b>,
    /// Entity keys and request fields, as sent.
    pub entities: Vec<Entity<'b>>,
    /// How many rows they have.
    pub rows: usize,
    /// `full_feature_names`.
    pub full_names: bool,
    /// `include_feature_view_version_metadata`.
    pub view_metadata: bool,
}

/// The outputs that a request names, as far as they are read.
#[derive(Debug)]
pub enum Asked<'b> {
    /// `features`: a list in this body that is not empty. What it holds is read where the request is decided: most are
    /// decided already, and found by the text.
    List(&'b [u8], Value),
    /// What was read.
    Wanted(Wanted<'b>),
}

/// The outputs that a request names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted<'b> {
    /// `features`, as written.
    Features(Vec<Cow<'b, str>>),
    /// `feature_service`.
    Service(Cow<'b, str>),
}

/// A column of `entities`.
#[derive(Debug)]
pub struct Entity<'b> {
    /// Its name.
    pub name: Cow<'b, str>,
    /// The list of values, one a row, as it was written.
    pub values: &'b [u8],
    /// It holds a null, so it supplies nothing (policy.md, What S is).
    pub has_null: bool,
}

pub(super) fn invalid<T>(message: impl Into<String>) -> Result<T, Invalid> {
    Err(Invalid(message.into()))
}

/// Reads a body: one JSON object in UTF-8 without duplicate keys. Unknown fields have no effect and are not forwarded.
///
/// # Errors
/// [`Invalid`] names what is in the way.
pub fn read(body: &[u8]) -> Result<Request<'_>, Invalid> {
    walk(body).map_err(|problem| match problem {
        Problem::Json(error) => unreadable(&error),
        // What is no JSON is told as that, wherever it is broken.
        Problem::Form(form) => json::whole(body).map_or_else(|error| unreadable(&error), |_| form),
    })
}

/// What is wrong with a body.
enum Problem {
    /// It is no JSON.
    Json(JsonError),
    /// It asks for nothing that can be meant.
    Form(Invalid),
}

impl From<JsonError> for Problem {
    fn from(error: JsonError) -> Self {
        Self::Json(error)
    }
}

impl From<Invalid> for Problem {
    fn from(form: Invalid) -> Self {
        Self::Form(form)
    }
}

fn walk(body: &[u8]) -> Result<Request<'_>, Problem> {
    let (mut features, mut service, mut entities) = (None, None, None);
    let (mut full_names, mut view_metadata) = (false, false);
    let mut reader = Reader::object(body)?;
    reader.open()?;
    while let Some(key) = reader.key()? {
        let kind = reader.kind()?;
        if kind == Kind::Object && key.is("entities") {
            entities = Some(columns(body, &mut reader)?);
            continue;
        }
        let value = reader.skip()?;
        if kind == Kind::Null {
            continue;
        }
        if key.is("features") {
            features = some(body, value)?;
        } else if key.is("feature_service") {
            if kind != Kind::String {
                return Ok(invalid("`feature_service` is not a text")?);
            }
            // Feast takes the empty text for "not given".
            service = Some(text(body, value)?).filter(|name| !name.is_empty());
        } else if key.is("entities") {
            return Ok(invalid("`entities` is not an object")?);
        } else if key.is("full_feature_names") {
            full_names = boolean(value, "full_feature_names")?;
        } else if key.is("include_feature_view_version_metadata") {
            view_metadata = boolean(value, "include_feature_view_version_metadata")?;
        }
    }
    reader.finish()?;
    let asked = match (service, features) {
        (Some(_), Some(_)) => return Ok(invalid(BOTH)?),
        (Some(service), None) => Asked::Wanted(Wanted::Service(service)),
        (None, Some(list)) => Asked::List(body, list),
        (None, None) => return Ok(invalid(NEITHER)?),
    };
    let Some((entities, rows)) = entities else { return Ok(invalid("`entities` is missing")?) };
    Ok(Request::of(asked, entities, rows, full_names, view_metadata)?)
}

pub(super) fn unreadable(error: &json::JsonError) -> Invalid {
    Invalid(format!("the body cannot be read: {error}"))
}

pub(super) fn text(body: &[u8], value: Value) -> Result<Cow<'_, str>, Invalid> {
    json::string(body, value).map_err(|error| unreadable(&error))
}

/// `features`, unless it is empty.
fn some(body: &[u8], value: Value) -> Result<Option<Value>, Invalid> {
    if value.kind != Kind::Array {
        return invalid("`features` is not a list");
    }
    let inner = value.span.of(body).strip_prefix(b"[").unwrap_or_default().trim_ascii_start();
    Ok((inner != b"]").then_some(value))
}

pub(super) fn texts(body: &[u8], value: Value) -> Result<Vec<Cow<'_, str>>, Invalid> {
    if value.kind != Kind::Array {
        return invalid("`features` is not a list");
    }
    // A name and what is around it is longer, mostly.
    let about = value.span.of(body).len() / 16;
    let mut list = Vec::with_capacity(about.min(256));
    for item in json::iter_strings(body, value).map_err(|error| unreadable(&error))? {
        let Some(name) = item.map_err(|error| unreadable(&error))? else {
            return invalid("`features` holds something that is no text");
        };
        few(list.len() + 1)?;
        list.push(name);
    }
    Ok(list)
}

/// Whether so many features are no more than a query may name.
pub(super) fn few(features: usize) -> Result<(), Invalid> {
    if features > MOST_FEATURES {
        return invalid(format!("`features` holds more than {MOST_FEATURES} features"));
    }
    Ok(())
}

pub(super) fn boolean(value: Value, name: &str) -> Result<bool, Invalid> {
    match value.kind {
        Kind::Bool(value) => Ok(value),
        Kind::Object | Kind::Array | Kind::String | Kind::Number | Kind::Null => {
            invalid(format!("`{name}` is neither true nor false"))
        }
    }
}

/// The object `entities`.
fn columns<'b>(body: &'b [u8], reader: &mut Reader<'b>) -> Result<(Vec<Entity<'b>>, Rows), Problem> {
    let mut columns: Vec<Entity<'_>> = Vec::new();
    let mut rows = Rows::default();
    reader.open()?;
    while let Some(key) = reader.key()? {
        let value = reader.skip()?;
        let name = key.text()?;
        if value.kind != Kind::Array {
            return Ok(invalid(format!("entity `{}` is not a list of values", shown(&name)))?);
        }
        let Counted { elements, null } = json::count(body, value)?;
        rows.count(&name, elements)?;
        columns.push(Entity { name, values: value.span.of(body), has_null: null });
    }
    Ok((columns, rows))
}

/// How many rows the entities have: all as many.
#[derive(Default)]
pub(super) struct Rows(Option<usize>);

impl Rows {
    /// An entity has so many values.
    pub(super) fn count(&mut self, entity: &str, values: usize) -> Result<(), Invalid> {
        let rows = *self.0.get_or_insert(values);
        if rows != values {
            return invalid(format!("entity `{}` has {values} values where others have {rows}", shown(entity)));
        }
        Ok(())
    }
}

/// The body that goes upstream: what was decided, and the values of the entities that it needs as they were written.
pub fn rewrite(request: &Request<'_>, permit: &Permit) -> Vec<u8> {
    let entities: usize = request.entities.iter().map(|e| e.values.len() + e.name.len() + 8).sum();
    let mut out = Vec::with_capacity(permit.wanted.json.len() + entities + 128);
    out.push(b'{');
    out.extend_from_slice(&permit.wanted.json);
    out.extend_from_slice(br#","entities":{"#);
    let mut first = true;
    for entity in request.entities.iter().filter(|entity| permit.forwards(&entity.name)) {
        if !first {
            out.push(b',');
        }
        first = false;
        json::write_string(&mut out, &entity.name);
        out.push(b':');
        out.extend_from_slice(entity.values);
    }
    if first {
        json::write_string(&mut out, DUMMY_KEY);
        out.extend_from_slice(br#":["""#);
        out.extend_from_slice(br#","""#.repeat(request.rows.saturating_sub(1)).as_slice());
        out.push(b']');
    }
    out.extend_from_slice(if permit.full_names {
        br#"},"full_feature_names":true"#
    } else {
        br#"},"full_feature_names":false"#
    });
    if request.view_metadata {
        out.extend_from_slice(br#","include_feature_view_version_metadata":true"#);
    }
    out.push(b'}');
    out
}

/// `["…",…]`
fn list(names: &[Cow<'_, str>]) -> Vec<u8> {
    let mut out = vec![b'['];
    for (position, name) in names.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        json::write_string(&mut out, name);
    }
    out.push(b']');
    out
}

impl Asked<'_> {
    /// All of it.
    ///
    /// # Errors
    /// [`Invalid`]: `features` holds what is no text, or too much.
    pub fn read(&self) -> Result<Wanted<'_>, Invalid> {
        match self {
            Self::List(body, list) => texts(body, *list).map(Wanted::Features),
            Self::Wanted(wanted) => Ok(wanted.clone()),
        }
    }
}

impl<'b> Wanted<'b> {
    /// What is meant by a service, where there is one, and by features.
    pub(super) fn of(service: Option<Cow<'b, str>>, features: Vec<Cow<'b, str>>) -> Result<Self, Invalid> {
        match (service, features) {
            (Some(_), features) if !features.is_empty() => invalid(BOTH),
            (Some(service), _) => Ok(Self::Service(service)),
            (None, features) if features.is_empty() => invalid(NEITHER),
            (None, features) => Ok(Self::Features(features)),
        }
    }
}

impl<'b> Request<'b> {
    /// A request for these rows of its entities, of which there are some.
    pub(super) fn of(
        asked: Asked<'b>,
        entities: Vec<Entity<'b>>,
        Rows(rows): Rows,
        full_names: bool,
        view_metadata: bool,
    ) -> Result<Self, Invalid> {
        match rows {
            None => invalid("`entities` is empty"),
            Some(0) => invalid("`entities` has no rows"),
            Some(rows) => Ok(Self { asked, entities, rows, full_names, view_metadata }),
        }
    }

    /// Everything that a decision on this request reads, besides the caller and the policy: compared in full by the
    /// decision cache.
    pub fn fingerprint(&self, out: &mut Vec<u8>) {
        let entities: usize = self.entities.iter().map(|entity| entity.name.len() + 5).sum();
        out.push(u8::from(self.full_names));
        match &self.asked {
            Asked::List(body, list) => {
                let text = list.span.of(body);
                out.reserve(text.len() + 5 + entities);
                fingerprint_part(out, b'l', text);
            }
            Asked::Wanted(Wanted::Service(name)) => fingerprint_part(out, b's', name.as_bytes()),
            // As the list that is written like this: it is the same query.
            Asked::Wanted(Wanted::Features(names)) => fingerprint_part(out, b'l', &list(names)),
        }
        for entity in &self.entities {
            fingerprint_part(out, if entity.has_null { b'n' } else { b'e' }, entity.name.as_bytes());
        }
    }
}
