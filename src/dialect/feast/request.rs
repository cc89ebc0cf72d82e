//! The request: read strictly, built anew.

use std::borrow::Cow;

use crate::dialect::feast::plan::Permit;
use crate::dialect::{Invalid, fingerprint_part, shown};
use crate::json::{self, Kind, Value};

/// Features that one query may name. What is decided and audited of each is many times longer than its name.
const MOST_FEATURES: usize = 10_000;
/// A view without entities has no key to be asked by, but Feast counts the rows by what it is sent. This is the key that it
/// gives such a view itself, with the empty text as its only value; it does not come back (feast/feature_view.py, 0.67).
pub(super) const DUMMY_KEY: &str = "__dummy_id";

/// What a caller asked for.
#[derive(Debug)]
pub struct Request<'b> {
    /// Features or a service.
    pub wanted: Wanted<'b>,
    /// Entity keys and request fields, as sent.
    pub entities: Vec<Entity<'b>>,
    /// How many rows they have.
    pub rows: usize,
    /// `full_feature_names`.
    pub full_names: bool,
    /// `include_feature_view_version_metadata`.
    pub view_metadata: bool,
}

/// The outputs that a request names.
#[derive(Debug, PartialEq, Eq)]
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
    let members = json::object(body).map_err(|error| Invalid(format!("the body cannot be read: {error}")))?;
    let (mut features, mut service, mut entities) = (None, None, None);
    let (mut full_names, mut view_metadata) = (false, false);
    for member in members {
        let value = member.value;
        if value.kind == Kind::Null {
            continue;
        }
        match &*member.key {
            "features" => features = Some(texts(body, value)?),
            "feature_service" => {
                if value.kind != Kind::String {
                    return invalid("`feature_service` is not a text");
                }
                // Feast takes the empty text for "not given".
                service = Some(text(body, value)?).filter(|name| !name.is_empty());
            }
            "entities" => entities = Some(columns(body, value)?),
            "full_feature_names" => full_names = boolean(value, "full_feature_names")?,
            "include_feature_view_version_metadata" => {
                view_metadata = boolean(value, "include_feature_view_version_metadata")?;
            }
            _ => {}
        }
    }
    let wanted = Wanted::of(service, features.unwrap_or_default())?;
    let Some((entities, rows)) = entities else { return invalid("`entities` is missing") };
    Request::of(wanted, entities, rows, full_names, view_metadata)
}

pub(super) fn unreadable(error: &json::JsonError) -> Invalid {
    Invalid(format!("the body cannot be read: {error}"))
}

pub(super) fn text(body: &[u8], value: Value) -> Result<Cow<'_, str>, Invalid> {
    json::string(body, value).map_err(|error| unreadable(&error))
}

pub(super) fn texts(body: &[u8], value: Value) -> Result<Vec<Cow<'_, str>>, Invalid> {
    if value.kind != Kind::Array {
        return invalid("`features` is not a list");
    }
    let mut list = Vec::new();
    for item in json::iter_elements(body, value).map_err(|error| unreadable(&error))? {
        let item = item.map_err(|error| unreadable(&error))?;
        if item.kind != Kind::String {
            return invalid("`features` holds something that is no text");
        }
        few(list.len() + 1)?;
        list.push(text(body, item)?);
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

fn columns(body: &[u8], value: Value) -> Result<(Vec<Entity<'_>>, Rows), Invalid> {
    if value.kind != Kind::Object {
        return invalid("`entities` is not an object");
    }
    let mut columns: Vec<Entity<'_>> = Vec::new();
    let mut rows = Rows::default();
    for member in json::members(body, value).map_err(|error| unreadable(&error))? {
        if member.value.kind != Kind::Array {
            return invalid(format!("entity `{}` is not a list of values", shown(&member.key)));
        }
        let (mut count, mut has_null) = (0, false);
        for item in json::iter_elements(body, member.value).map_err(|error| unreadable(&error))? {
            has_null |= item.map_err(|error| unreadable(&error))?.kind == Kind::Null;
            count += 1;
        }
        rows.count(&member.key, count)?;
        columns.push(Entity { name: member.key, values: member.value.span.of(body), has_null });
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
    let mut out = Vec::with_capacity(permit.wanted.length() + entities + 128);
    out.push(b'{');
    write_wanted(&mut out, &permit.wanted);
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

/// `"features":[…]` or `"feature_service":"…"`.
pub(super) fn write_wanted(out: &mut Vec<u8>, wanted: &Wanted<'_>) {
    match wanted {
        Wanted::Service(name) => {
            out.extend_from_slice(br#""feature_service":"#);
            json::write_string(out, name);
        }
        Wanted::Features(names) => {
            out.extend_from_slice(br#""features":["#);
            for (position, name) in names.iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                json::write_string(out, name);
            }
            out.push(b']');
        }
    }
}

impl<'b> Wanted<'b> {
    /// What is meant by a service, where there is one, and by features.
    pub(super) fn of(service: Option<Cow<'b, str>>, features: Vec<Cow<'b, str>>) -> Result<Self, Invalid> {
        match (service, features) {
            (Some(_), features) if !features.is_empty() => {
                invalid("`feature_service` and `features` are both given, and only one can be meant")
            }
            (Some(service), _) => Ok(Self::Service(service)),
            (None, features) if features.is_empty() => invalid("neither `features` nor `feature_service` is given"),
            (None, features) => Ok(Self::Features(features)),
        }
    }

    /// About the bytes that it is written with.
    fn length(&self) -> usize {
        match self {
            Self::Service(name) => name.len(),
            Self::Features(names) => names.iter().map(|name| name.len() + 3).sum(),
        }
    }
}

impl<'b> Request<'b> {
    /// A request for these rows of its entities, of which there are some.
    pub(super) fn of(
        wanted: Wanted<'b>,
        entities: Vec<Entity<'b>>,
        Rows(rows): Rows,
        full_names: bool,
        view_metadata: bool,
    ) -> Result<Self, Invalid> {
        match rows {
            None => invalid("`entities` is empty"),
            Some(0) => invalid("`entities` has no rows"),
            Some(rows) => Ok(Self { wanted, entities, rows, full_names, view_metadata }),
        }
    }

    /// Everything that a decision on this request reads, besides the caller and the policy: compared in full by the
    /// decision cache.
    pub fn fingerprint(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.full_names));
        let mut part = |tag: u8, text: &str| fingerprint_part(out, tag, text.as_bytes());
        match &self.wanted {
            Wanted::Service(name) => part(b's', name),
            Wanted::Features(names) => names.iter().for_each(|name| part(b'f', name)),
        }
        for entity in &self.entities {
            part(if entity.has_null { b'n' } else { b'e' }, &entity.name);
        }
    }
}
