//! The answer: cut to the permitted fields and columns, by name; what may pass keeps its exact text.

use std::borrow::Cow;
use std::collections::HashSet;

use super::request::{Request, comma};
use super::rows;
use crate::dialect::chalk::error;
use crate::dialect::chalk::query::{Field, Fields, Permit, Switch};
use crate::dialect::{Answer, Unreadable, shown};
use crate::json::{self, JsonError, Kind, Member, Span, Value};

/// Verifies and cuts the answer of `POST /v1/query/online`, status 200.
///
/// ```text
/// data[]   the fields of the permit, has-many cut to their columns; a field once a row: a row is a run of elements with one
///          `pkey`, and those without are one
///          pkey where the primary key may come back, meta where it was asked for, error stripped
/// errors[] stripped: their texts can carry values
/// meta     the closed list of section 3.1; explain_output where `explain` was asked for
/// ```
///
/// # Errors
/// [`Unreadable`]: another layout, a field or column twice, rows in another form. It names fields, never values.
pub fn filter(body: &[u8], permit: &Permit, request: &Request<'_>) -> Result<Answer, Unreadable> {
    rows::filter(body, permit, request).map_or_else(|| filter_strictly(body, permit, request), Ok)
}

/// The same, part by part: what [`rows`] leaves to it, and what that is held against.
///
/// # Errors
/// As in [`filter`].
pub(super) fn filter_strictly(body: &[u8], permit: &Permit, request: &Request<'_>) -> Result<Answer, Unreadable> {
    cut(body, permit, request).map(Cut::finish)
}

/// The answer, cut.
pub(super) fn cut<'a>(body: &'a [u8], permit: &'a Permit, request: &Request<'_>) -> Result<Cut<'a>, Unreadable> {
    let (mut data, mut errors, mut meta) = (None, None, None);
    let mut cut = Cut::new(body, permit);
    for Member { key, value } in json::object(body).map_err(|error| json_error(&error))? {
        match &*key {
            "data" if value.kind != Kind::Null => data = Some(value),
            "errors" => errors = Some(value),
            "meta" => meta = Some(value),
            _ => cut.changed = true,
        }
    }
    cut.out.extend_from_slice(br#"{"data":["#);
    match (data, errors) {
        (Some(data), _) => cut.data(data, request.include_meta == Some(true))?,
        (None, Some(errors)) if errors.kind == Kind::Array => cut.changed = true,
        (None, _) => return unreadable("the answer has no `data`"),
    }
    cut.out.push(b']');
    if let Some(errors) = errors {
        cut.out.extend_from_slice(br#","errors":"#);
        cut.errors(errors)?;
    }
    if let Some(meta) = meta {
        cut.out.extend_from_slice(br#","meta":"#);
        let explained = request.query.switches.contains(&Switch::Explain);
        cut.meta(meta, explained)?;
    }
    cut.out.push(b'}');
    Ok(cut)
}

/// The JSON text of the meta of one result of a bulk query, cut as that of an answer is. `explained`: `explain` was asked for.
///
/// # Errors
/// [`Unreadable`]: it is no object.
pub fn filter_meta(text: &[u8], explained: bool) -> Result<Vec<u8>, Unreadable> {
    let permit = Permit::default();
    let mut cut = Cut::new(text, &permit);
    cut.meta(json::whole(text).map_err(|error| json_error(&error))?, explained)?;
    Ok(cut.out)
}

pub(super) fn unreadable<T>(message: impl Into<String>) -> Result<T, Unreadable> {
    Err(Unreadable(message.into()))
}

pub(super) fn json_error(error: &JsonError) -> Unreadable {
    // A key may be one of a map that is a value.
    if let JsonError::DuplicateKey { at, .. } = error {
        return Unreadable(format!("the answer cannot be read: a key at byte {at} of the json text stands twice"));
    }
    Unreadable(format!("the answer cannot be read: {error}"))
}

/// The fields that stood in the row that is read, and of all the answer those without a `pkey`.
#[derive(Default)]
struct Seen<'a> {
    key: &'a [u8],
    row: HashSet<Cow<'a, str>>,
    without: HashSet<Cow<'a, str>>,
}

impl<'a> Seen<'a> {
    /// Whether the field stood not there before. `key`: the text of its `pkey`, unless that is null or missing.
    fn insert(&mut self, key: Option<&'a [u8]>, field: Cow<'a, str>) -> bool {
        let Some(key) = key else { return self.without.insert(field) };
        if self.key != key {
            self.key = key;
            self.row.clear();
        }
        self.row.insert(field)
    }
}

/// An answer on its way: `out` is the new one, `changed` whether it differs from what came.
pub(super) struct Cut<'a> {
    body: &'a [u8],
    permit: &'a Permit,
    pub out: Vec<u8>,
    pub changed: bool,
    pub dropped: usize,
}

/// An element of `data` that is kept.
pub(super) struct Element<'a> {
    /// Its `field`.
    pub name: Cow<'a, str>,
    /// Its `pkey`, unless that is null or missing.
    pub key: Option<Span>,
}

impl<'a> Cut<'a> {
    pub fn new(body: &'a [u8], permit: &'a Permit) -> Self {
        Self { body, permit, out: Vec::with_capacity(body.len()), changed: false, dropped: 0 }
    }

    pub fn finish(self) -> Answer {
        if self.changed { Answer::Cut { body: self.out.into(), dropped: self.dropped } } else { Answer::AsItCame }
    }

    fn copy(&mut self, value: Value) {
        self.out.extend_from_slice(value.span.of(self.body));
    }

    fn items(&self, value: Value, what: &str) -> Result<Vec<Value>, Unreadable> {
        if value.kind != Kind::Array {
            return unreadable(format!("{what} is not a list"));
        }
        json::elements(self.body, value).map_err(|error| json_error(&error))
    }

    fn members(&self, value: Value, what: &str) -> Result<Vec<Member<'a>>, Unreadable> {
        if value.kind != Kind::Object {
            return unreadable(format!("{what} is not an object"));
        }
        json::members(self.body, value).map_err(|error| json_error(&error))
    }

    fn data(&mut self, data: Value, with_meta: bool) -> Result<(), Unreadable> {
        let items = self.items(data, "`data`")?;
        let mut seen = Seen::default();
        let mut kept = 0;
        for item in items {
            let Some(Element { name, key }) = self.item(item, kept, with_meta)? else { continue };
            kept += 1;
            if !seen.insert(key.map(|key| key.of(self.body)), name.clone()) {
                return unreadable(format!("the field `{}` stands twice in the answer", shown(&name)));
            }
        }
        Ok(())
    }

    /// An answer of one element: writes that alone, if it is kept.
    pub fn only(&mut self, request: &Request<'_>) -> Result<Option<Element<'a>>, Unreadable> {
        let whole = json::object(self.body).map_err(|error| json_error(&error))?;
        match whole.as_slice() {
            [data] if data.key == "data" => match self.items(data.value, "`data`")?.as_slice() {
                [item] => self.item(*item, 0, request.include_meta == Some(true)),
                _ => unreadable("`data` has more than one element"),
            },
            _ => unreadable("the answer has more than `data`"),
        }
    }

    /// Writes an element of `data` that is kept, with so many before it.
    fn item(&mut self, item: Value, kept: usize, with_meta: bool) -> Result<Option<Element<'a>>, Unreadable> {
        let members = self.members(item, "an element of `data`")?;
        let name = members.iter().find(|member| member.key == "field" && member.value.kind == Kind::String);
        let Some(name) = name else { return unreadable("an element of `data` has no `field`") };
        let name = json::string(self.body, name.value).map_err(|error| json_error(&error))?;
        let permit = self.permit;
        let Some(field) = permit.fields.get(&*name) else {
            self.dropped += 1;
            self.changed = true;
            return Ok(None);
        };
        comma(&mut self.out, kept);
        self.element(item, &members, &name, field, with_meta)?;
        let key = members.iter().find(|member| member.key == "pkey" && member.value.kind != Kind::Null);
        Ok(Some(Element { name, key: key.map(|key| key.value.span) }))
    }

    /// Writes one element of `data`: as it came where nothing of it changes.
    fn element(
        &mut self,
        item: Value,
        members: &[Member<'_>],
        name: &str,
        field: &Field,
        with_meta: bool,
    ) -> Result<(), Unreadable> {
        let start = self.out.len();
        let before = std::mem::take(&mut self.changed);
        self.out.push(b'{');
        let mut written = 0;
        for Member { key, value } in members {
            let known = matches!(&**key, "field" | "value" | "pkey" | "error" | "valid" | "ts" | "meta");
            if !known {
                self.changed = true;
                continue;
            }
            comma(&mut self.out, written);
            written += 1;
            json::write_string(&mut self.out, key);
            self.out.push(b':');
            match (&**key, value.kind) {
                ("value", _) => self.value(*value, name, field)?,
                ("field", _) | ("valid", Kind::Bool(_)) | (_, Kind::Null) => self.copy(*value),
                ("pkey", _) if self.permit.primary_key => self.copy(*value),
                ("ts", Kind::String) if is_time(value.span.of(self.body)) => self.copy(*value),
                ("error", Kind::Object) => self.error(*value)?,
                ("meta", _) if with_meta => self.object(*value, "`meta` of a field", |key, kind| match key {
                    "chosen_resolver_fqn" => kind == Kind::String,
                    "cache_hit" => matches!(kind, Kind::Bool(_)),
                    "primitive_type" => matches!(kind, Kind::String | Kind::Null),
                    "version" => matches!(kind, Kind::Number | Kind::Null),
                    _ => false,
                })?,
                ("pkey" | "meta", _) => {
                    self.changed = true;
                    self.out.extend_from_slice(b"null");
                }
                _ => {
                    let what = shown(name);
                    return unreadable(format!(
                        "`{key}` of the field `{what}` is not of the kind that it has in chalk"
                    ));
                }
            }
        }
        self.out.push(b'}');
        if self.changed {
            return Ok(());
        }
        self.changed = before;
        self.out.truncate(start);
        self.copy(item);
        Ok(())
    }

    fn value(&mut self, value: Value, name: &str, field: &Field) -> Result<(), Unreadable> {
        match field {
            Field::Rows(columns) if value.kind != Kind::Null => self.rows(value, name, columns),
            Field::Rows(_) | Field::Value => {
                self.copy(value);
                Ok(())
            }
        }
    }

    /// Rows of a has-many, `{"columns":[name…],"values":[[…]…]}`, cut to the permitted columns. It goes as deep as the
    /// permit does.
    fn rows(&mut self, value: Value, name: &str, permitted: &Fields) -> Result<(), Unreadable> {
        let bad = |problem: &str| Unreadable(format!("the rows of `{}` {problem}", shown(name)));
        if value.kind != Kind::Object {
            return Err(bad("are not columns and values"));
        }
        let (mut columns, mut values) = (None, None);
        for member in self.members(value, "rows")? {
            match (&*member.key, member.value.kind) {
                ("columns", Kind::Array) => columns = Some(self.items(member.value, "`columns`")?),
                ("values", Kind::Array) => values = Some(self.items(member.value, "`values`")?),
                _ => return Err(bad("have more than columns and values")),
            }
        }
        let (Some(columns), Some(values)) = (columns, values) else { return Err(bad("lack their columns or values")) };
        if columns.len() != values.len() {
            return Err(bad("have other columns than values"));
        }
        let mut kept: Vec<(Value, Value, String, &Field)> = Vec::with_capacity(columns.len());
        let mut seen = HashSet::with_capacity(columns.len());
        for (column, cells) in columns.into_iter().zip(values) {
            if column.kind != Kind::String || cells.kind != Kind::Array {
                return Err(bad("have a column without a name or a list"));
            }
            let text = json::string(self.body, column).map_err(|error| json_error(&error))?;
            match permitted.get(&*text) {
                Some(field) => kept.push((column, cells, text.clone().into_owned(), field)),
                None => {
                    self.dropped += 1;
                    self.changed = true;
                }
            }
            if !seen.insert(text.clone()) {
                return Err(bad(&format!("have the column `{}` twice", shown(&text))));
            }
        }
        self.out.extend_from_slice(br#"{"columns":["#);
        for (position, (column, ..)) in kept.iter().enumerate() {
            comma(&mut self.out, position);
            self.copy(*column);
        }
        self.out.extend_from_slice(br#"],"values":["#);
        for (position, (_, cells, column, field)) in kept.iter().enumerate() {
            comma(&mut self.out, position);
            if matches!(field, Field::Value) {
                self.copy(*cells);
                continue;
            }
            self.out.push(b'[');
            for (position, cell) in self.items(*cells, "a column")?.into_iter().enumerate() {
                comma(&mut self.out, position);
                self.value(cell, column, field)?;
            }
            self.out.push(b']');
        }
        self.out.extend_from_slice(b"]}");
        Ok(())
    }

    /// An error of the upstream; its texts are ours now.
    fn error(&mut self, value: Value) -> Result<(), Unreadable> {
        let stripped = error::strip_json(self.body, value, self.permit).map_err(|error| json_error(&error))?;
        error::write_json(&mut self.out, &stripped);
        self.changed = true;
        Ok(())
    }

    /// `errors`: null, or a list of errors.
    pub fn errors(&mut self, errors: Value) -> Result<(), Unreadable> {
        if errors.kind == Kind::Null {
            self.copy(errors);
            return Ok(());
        }
        self.out.push(b'[');
        for (position, item) in self.items(errors, "`errors`")?.into_iter().enumerate() {
            if item.kind != Kind::Object {
                return unreadable("an element of `errors` is not an object");
            }
            comma(&mut self.out, position);
            self.error(item)?;
        }
        self.out.push(b']');
        Ok(())
    }

    /// How a query went: the closed list.
    fn meta(&mut self, meta: Value, explained: bool) -> Result<(), Unreadable> {
        self.object(meta, "`meta`", |key, kind| match key {
            "execution_duration_s" => kind == Kind::Number,
            "deployment_id" | "environment_id" | "environment_name" | "query_id" | "query_timestamp" | "query_hash" => {
                matches!(kind, Kind::String | Kind::Null)
            }
            "explain_output" => kind == Kind::Null || (explained && kind == Kind::String),
            _ => false,
        })
    }

    /// Null, or an object of which the members that `passes` names pass.
    fn object(&mut self, value: Value, what: &str, passes: impl Fn(&str, Kind) -> bool) -> Result<(), Unreadable> {
        if value.kind == Kind::Null {
            self.copy(value);
            return Ok(());
        }
        self.out.push(b'{');
        let mut written = 0;
        for Member { key, value } in self.members(value, what)? {
            if !passes(&key, value.kind) {
                self.changed = true;
                continue;
            }
            comma(&mut self.out, written);
            written += 1;
            json::write_string(&mut self.out, &key);
            self.out.push(b':');
            self.copy(value);
        }
        self.out.push(b'}');
        Ok(())
    }
}

/// A text that is a time as clients read them: digits and what stands between them.
pub(super) fn is_time(quoted: &[u8]) -> bool {
    quoted.len() <= 64 && quoted.iter().all(|b| b.is_ascii_digit() || b"\"TtZz:.+- ".contains(b))
}
