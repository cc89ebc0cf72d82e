//! Bulk queries over HTTP: what their tables supply, what may come back of their answers, and uploads (wire-chalk.md,
//! sections 3.4 and 3.5).
//!
//! ```text
//! answer  {query_results_bytes: {query_0: R, query_1: R, …}}
//! R       has_data, errors, meta; scalar_data: a table; groups_data: {has-many: a table}
//! ```

use bytes::Bytes;

use super::container::Container;
use super::query::{Field, Input, Permit};
use super::table::Table;
use crate::dialect::{Answer, Invalid, Unreadable, shown};
use crate::json::{self, Kind, Value};

const RESULTS: &str = "query_results_bytes";
const SCALARS: &str = "scalar_data";
const GROUPS: &str = "groups_data";
const TABLE: &str = "table_bytes";

/// What became of a query of a request.
#[derive(Clone, Debug)]
pub enum Slot<'p> {
    /// It went upstream. The queries that did are numbered there from 0.
    Sent(&'p Permit),
    /// It did not: the JSON text of each `ChalkError` that its caller gets.
    Refused(Vec<Bytes>),
}

/// What a query's table supplies: a column each.
pub fn inputs(table: &Table) -> Vec<Input<'static>> {
    table.columns().map(|(name, has_null)| Input { name: name.to_owned().into(), has_null }).collect()
}

fn unreadable<T>(message: impl Into<String>) -> Result<T, Unreadable> {
    Err(Unreadable(message.into()))
}

/// Verifies and cuts the answer to a request, whose queries are `slots` in their order. `meta` and `errors` say what may
/// pass of the JSON text of a result's meta and of each of its errors. `most` bounds what all tables together unpack to,
/// in bytes.
///
/// # Errors
/// [`Unreadable`] where other queries are answered than were sent, a table cannot be read, or the layout is another one.
pub fn filter(
    body: &Bytes,
    slots: &[Slot<'_>],
    meta: impl Fn(&str) -> String,
    errors: impl Fn(&str, &Permit) -> String,
    most: usize,
) -> Result<Answer, Unreadable> {
    let mut answer = Container::read(body)?;
    let results = match answer.children.as_mut_slice() {
        [(name, results)] if name == RESULTS => results,
        _ => return unreadable("the answer does not consist of `query_results_bytes`"),
    };
    if !is_bare(&results.attrs) || !is_bare(&results.pydantic) || !results.children.is_empty() {
        return unreadable("`query_results_bytes` holds more than queries");
    }
    let mut came = std::mem::take(&mut results.blobs);
    let mut cutter = Cutter { meta, errors, left: most, changed: false, dropped: 0 };
    let mut sent = 0;
    for (position, slot) in slots.iter().enumerate() {
        let name = format!("query_{position}");
        let result = match slot {
            Slot::Refused(errors) => {
                cutter.changed = true;
                Bytes::from(refusal(errors))
            }
            Slot::Sent(permit) => {
                let upstream = format!("query_{sent}");
                let Some(at) = came.iter().position(|(name, _)| *name == upstream) else {
                    return unreadable(format!("the query {sent} that was sent is not answered"));
                };
                // Those before it are left only where the answer has another order.
                cutter.changed |= at > 0;
                sent += 1;
                cutter.result(&came.remove(at).1, permit)?
            }
        };
        results.blobs.push((name, result));
    }
    if let Some((name, _)) = came.first() {
        return unreadable(format!("`{}` is answered and was not sent", shown(name)));
    }
    if !is_bare(&answer.attrs) || !is_bare(&answer.pydantic) || !answer.blobs.is_empty() {
        return unreadable("the answer holds more than `query_results_bytes`");
    }
    if !cutter.changed {
        return Ok(Answer::AsItCame);
    }
    Ok(Answer::Cut { body: answer.write().into(), dropped: cutter.dropped })
}

/// The answer to a request of which no query went upstream. One that is [`Slot::Sent`] after all has no data in it.
pub fn refused(slots: &[Slot<'_>]) -> Bytes {
    let result = |(position, slot): (usize, &Slot<'_>)| {
        let errors = match slot {
            Slot::Sent(_) => &[],
            Slot::Refused(errors) => errors.as_slice(),
        };
        (format!("query_{position}"), Bytes::from(refusal(errors)))
    };
    let results = Container { blobs: slots.iter().enumerate().map(result).collect(), ..Container::default() };
    Bytes::from(Container { children: vec![(RESULTS.to_owned(), results)], ..Container::default() }.write())
}

/// The result of a query that was refused.
fn refusal(errors: &[Bytes]) -> Vec<u8> {
    let errors = errors.iter().map(|error| String::from_utf8_lossy(error).into_owned()).collect();
    let attrs = Attrs { has_data: false, errors: Some(errors), meta: None };
    Container {
        attrs: attrs.write(),
        blobs: vec![(SCALARS.to_owned(), Bytes::new())],
        children: vec![(GROUPS.to_owned(), Container::default())],
        ..Container::default()
    }
    .write()
}

/// Whether this JSON object has no members.
fn is_bare(text: &[u8]) -> bool {
    json::object(text).is_ok_and(|members| members.is_empty())
}

/// Cuts results; what it is told holds for all of one answer.
struct Cutter<M, E> {
    meta: M,
    errors: E,
    /// Bytes that the tables yet to come may unpack to.
    left: usize,
    changed: bool,
    dropped: usize,
}

impl<M: Fn(&str) -> String, E: Fn(&str, &Permit) -> String> Cutter<M, E> {
    fn result(&mut self, bytes: &Bytes, permit: &Permit) -> Result<Bytes, Unreadable> {
        let mut result = Container::read(bytes)?;
        let before = std::mem::replace(&mut self.changed, false);
        let mut attrs = Attrs::read(&result.attrs)?;
        self.attrs(&mut attrs, permit);
        if self.changed {
            result.attrs = attrs.write();
        }
        match (is_bare(&result.pydantic), result.blobs.as_mut_slice(), result.children.as_mut_slice()) {
            (true, [(scalars, table)], [(groups, tables)]) if scalars == SCALARS && groups == GROUPS => {
                if !is_bare(&tables.attrs) || !is_bare(&tables.pydantic) || !tables.children.is_empty() {
                    return unreadable("`groups_data` holds more than tables");
                }
                *table = self.table(table, attrs.has_data, |table| table.cut(&permit.fields, permit.primary_key))?;
                for (name, table) in std::mem::take(&mut tables.blobs) {
                    let Some(Field::Rows(columns)) = permit.fields.get(&name) else {
                        self.drop(1);
                        continue;
                    };
                    let table = self.table(&table, attrs.has_data, |table| table.cut(columns, permit.primary_key))?;
                    tables.blobs.push((name, table));
                }
            }
            _ => return unreadable("a result does not consist of `scalar_data` and `groups_data`"),
        }
        let changed = std::mem::replace(&mut self.changed, before);
        self.changed |= changed;
        Ok(if changed { Bytes::from(result.write()) } else { bytes.clone() })
    }

    fn attrs(&mut self, attrs: &mut Attrs, permit: &Permit) {
        for error in attrs.errors.iter_mut().flatten() {
            let passes = (self.errors)(error, permit);
            self.changed |= passes != *error;
            *error = passes;
        }
        let passes = attrs.meta.as_deref().map(&self.meta).filter(|meta| meta != "null");
        self.changed |= passes != attrs.meta;
        attrs.meta = passes;
    }

    /// A table, cut; no bytes stand for none where there is no data.
    fn table(
        &mut self,
        bytes: &Bytes,
        has_data: bool,
        cut: impl FnOnce(&Table) -> Result<(Bytes, usize), super::table::Problem>,
    ) -> Result<Bytes, Unreadable> {
        if bytes.is_empty() && !has_data {
            return Ok(Bytes::new());
        }
        let table = Table::read(bytes, self.left)?;
        self.left = self.left.saturating_sub(table.size());
        let (passes, dropped) = cut(&table)?;
        // What passes as it came is still where it was.
        self.changed |= passes.as_ptr_range() != bytes.as_ptr_range();
        self.dropped += dropped;
        Ok(passes)
    }

    fn drop(&mut self, count: usize) {
        self.changed = true;
        self.dropped += count;
    }
}

/// The attributes of a result.
struct Attrs {
    has_data: bool,
    /// The JSON text of each `ChalkError`.
    errors: Option<Vec<String>>,
    /// The JSON text of a `QueryMeta`.
    meta: Option<String>,
}

impl Attrs {
    /// A closed set; what may be null may be left out.
    fn read(text: &[u8]) -> Result<Self, Unreadable> {
        let refuse = |_| Unreadable("the attributes of a result cannot be read".to_owned());
        let (mut has_data, mut errors, mut meta) = (None, None, None);
        for member in json::object(text).map_err(refuse)? {
            match (&*member.key, member.value.kind) {
                ("has_data", Kind::Bool(yes)) => has_data = Some(yes),
                ("errors" | "meta", Kind::Null) => {}
                ("errors", Kind::Array) => {
                    let all = json::elements(text, member.value).map_err(refuse)?;
                    let all = all.into_iter().map(|value| string(text, value));
                    errors = Some(all.collect::<Result<_, _>>()?);
                }
                ("meta", Kind::String) => meta = Some(string(text, member.value)?),
                (key, _) => {
                    return unreadable(format!("the attribute `{}` of a result is not known as it is", shown(key)));
                }
            }
        }
        match has_data {
            Some(has_data) => Ok(Self { has_data, errors, meta }),
            None => unreadable("a result does not say whether it has data"),
        }
    }

    fn write(&self) -> Bytes {
        let mut out = format!(r#"{{"has_data": {}, "errors": "#, self.has_data).into_bytes();
        match &self.errors {
            None => out.extend_from_slice(b"null"),
            Some(errors) => strings(&mut out, errors),
        }
        out.extend_from_slice(br#", "meta": "#);
        match &self.meta {
            None => out.extend_from_slice(b"null"),
            Some(meta) => json::write_string(&mut out, meta),
        }
        out.push(b'}');
        Bytes::from(out)
    }
}

fn string(text: &[u8], value: Value) -> Result<String, Unreadable> {
    let string = json::string(text, value);
    string.map(|string| string.into_owned()).map_err(|_| Unreadable("an error of a result is no text".to_owned()))
}

fn strings(out: &mut Vec<u8>, all: &[String]) {
    out.push(b'[');
    for (position, one) in all.iter().enumerate() {
        if position > 0 {
            out.extend_from_slice(b", ");
        }
        json::write_string(out, one);
    }
    out.push(b']');
}

/// The body of `/v1/upload_features/multi`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// The features, as written; the columns of the table are what counts.
    pub features: Vec<String>,
    /// `table_compression`: `uncompressed`, `lz4`, `zstd`.
    pub compression: String,
    /// An Arrow IPC file, not looked into here.
    pub table: Bytes,
}

impl Upload {
    /// Reads the body.
    ///
    /// # Errors
    /// What is in the way.
    pub fn read(body: &Bytes) -> Result<Self, Invalid> {
        let upload = Container::read(body).map_err(|Unreadable(message)| Invalid(message))?;
        let refuse =
            || Invalid("the upload does not consist of `features`, `table_compression` and a table".to_owned());
        let [(name, table)] = upload.blobs.as_slice() else { return Err(refuse()) };
        if name != TABLE || !upload.children.is_empty() || !is_bare(&upload.pydantic) {
            return Err(refuse());
        }
        let text = &upload.attrs;
        let (mut features, mut compression) = (None, None);
        for member in json::object(text).map_err(|_| refuse())? {
            match (&*member.key, member.value.kind) {
                ("features", Kind::Array) => {
                    let all = json::elements(text, member.value).map_err(|_| refuse())?;
                    let all = all.into_iter().map(|value| string(text, value).map_err(|_| refuse()));
                    features = Some(all.collect::<Result<_, _>>()?);
                }
                ("table_compression", Kind::String) => {
                    compression = Some(string(text, member.value).map_err(|_| refuse())?);
                }
                _ => return Err(refuse()),
            }
        }
        let (Some(features), Some(compression)) = (features, compression) else { return Err(refuse()) };
        if !matches!(compression.as_str(), "uncompressed" | "lz4" | "zstd") {
            return Err(Invalid(format!("the table_compression `{}` is not known", shown(&compression))));
        }
        Ok(Self { features, compression, table: table.clone() })
    }

    /// The body.
    pub fn write(&self) -> Bytes {
        let mut attrs = br#"{"features": "#.to_vec();
        strings(&mut attrs, &self.features);
        attrs.extend_from_slice(br#", "table_compression": "#);
        json::write_string(&mut attrs, &self.compression);
        attrs.push(b'}');
        let blobs = vec![(TABLE.to_owned(), self.table.clone())];
        Bytes::from(Container { attrs: Bytes::from(attrs), blobs, ..Container::default() }.write())
    }
}

#[cfg(test)]
mod tests;
