//! The answer: cut to the permitted fields and columns, by name, and encoded anew.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use prost::Message as _;

use super::{Asked, Method, Request, Rest, Slot};
use crate::dialect::chalk::error;
use crate::dialect::chalk::proto::{
    ChalkError, FeatureResult, GenericSingleResponse, ListValue, OnlineQueryBulkResponse, OnlineQueryMetadata,
    OnlineQueryMultiResponse, OnlineQueryResponse, SingleResponse, Struct, Value, ValueKind,
};
use crate::dialect::chalk::query::{Field, Fields, Permit, Switch};
use crate::dialect::chalk::table::{Problem, Table};
use crate::dialect::{Unreadable, shown};

/// A verified answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The message, encoded anew.
    pub message: Bytes,
    /// How many fields, columns and groups were dropped; those of rows within rows once for each row.
    pub dropped: usize,
}

/// Verifies and cuts the answer to a request, of which the [`Slot::Sent`] queries were sent; those that were refused are
/// answered in their places, with their errors. `most` bounds what all tables together unpack to, in bytes and in rows.
///
/// ```text
/// data.results[]  the fields of the permit, has-many cut to their columns; no field twice
///                 pkey where the primary key may come back, meta where it was asked for, error stripped
/// scalars_data    the columns of the permit; groups_data: its has-manys, each cut to its columns
/// errors[]        stripped: their texts can carry values
/// response_meta   the closed list of section 3.1; explain_output where `explain` was asked for
/// ```
///
/// # Errors
/// [`Unreadable`]: no protobuf, other queries answered than were sent, a field or column twice, rows in another form, a
/// table that cannot be read. It names fields, never values.
pub fn filter(request: &Request, slots: &[Slot<'_>], answer: &Bytes, most: usize) -> Result<Answer, Unreadable> {
    let mut cutter = Cutter { left: most, dropped: 0 };
    let message = match (request.method, request.queries.as_slice(), slots) {
        (Method::OnlineQuery, [asked], [Slot::Sent(permit)]) => {
            cutter.single(decoded(answer)?, asked, permit)?.encode_to_vec()
        }
        (Method::OnlineQueryBulk, [asked], [Slot::Sent(permit)]) => {
            cutter.bulk(decoded(answer)?, asked, permit)?.encode_to_vec()
        }
        (Method::OnlineQueryMulti, queries, slots) => cutter.multi(decoded(answer)?, queries, slots)?.encode_to_vec(),
        (Method::OnlineQuery | Method::OnlineQueryBulk, _, _) => return unreadable("it answers what was not sent"),
    };
    Ok(Answer { message: message.into(), dropped: cutter.dropped })
}

/// The answer to a request of which no query goes upstream: the errors of each, and no data.
pub fn refused(request: &Request, slots: &[Slot<'_>]) -> Bytes {
    let errors = |slot: Option<&Slot<'_>>| match slot {
        Some(Slot::Refused(errors)) => errors.clone(),
        Some(Slot::Sent(_)) | None => Vec::new(),
    };
    let encoded = match request.method {
        Method::OnlineQuery => single_refused(errors(slots.first())).encode_to_vec(),
        Method::OnlineQueryBulk => bulk_refused(errors(slots.first())).encode_to_vec(),
        Method::OnlineQueryMulti => {
            let responses = request.queries.iter().enumerate();
            let responses = responses.map(|(at, asked)| refusal(asked, errors(slots.get(at)))).collect();
            OnlineQueryMultiResponse { responses, errors: Vec::new() }.encode_to_vec()
        }
    };
    encoded.into()
}

fn refusal(asked: &Asked, errors: Vec<ChalkError>) -> GenericSingleResponse {
    let query = match asked.rest {
        Rest::Single(_) => SingleResponse::Single(single_refused(errors)),
        Rest::Bulk(..) => SingleResponse::Bulk(bulk_refused(errors)),
    };
    GenericSingleResponse { query: Some(query) }
}

fn single_refused(errors: Vec<ChalkError>) -> OnlineQueryResponse {
    OnlineQueryResponse { errors, ..OnlineQueryResponse::default() }
}

fn bulk_refused(errors: Vec<ChalkError>) -> OnlineQueryBulkResponse {
    OnlineQueryBulkResponse { errors, ..OnlineQueryBulkResponse::default() }
}

fn unreadable<T>(message: impl Into<String>) -> Result<T, Unreadable> {
    Err(Unreadable(message.into()))
}

fn decoded<M: prost::Message + Default>(answer: &Bytes) -> Result<M, Unreadable> {
    M::decode(answer.clone()).map_err(|_| Unreadable("the answer does not read as protobuf".to_owned()))
}

/// Cuts answers; what it counts holds for all of one message.
struct Cutter {
    /// What the tables yet to come may unpack to.
    left: usize,
    dropped: usize,
}

impl Cutter {
    fn multi(
        &mut self,
        answer: OnlineQueryMultiResponse,
        queries: &[Asked],
        slots: &[Slot<'_>],
    ) -> Result<OnlineQueryMultiResponse, Unreadable> {
        let mut came = answer.responses.into_iter();
        let mut responses = Vec::with_capacity(queries.len());
        for (asked, slot) in queries.iter().zip(slots) {
            let permit = match slot {
                Slot::Refused(errors) => {
                    responses.push(refusal(asked, errors.clone()));
                    continue;
                }
                Slot::Sent(permit) => permit,
            };
            let query = match (came.next().and_then(|response| response.query), &asked.rest) {
                (Some(SingleResponse::Single(response)), Rest::Single(_)) => {
                    SingleResponse::Single(self.single(response, asked, permit)?)
                }
                (Some(SingleResponse::Bulk(response)), Rest::Bulk(..)) => {
                    SingleResponse::Bulk(self.bulk(response, asked, permit)?)
                }
                (Some(_), _) => return unreadable("a query is answered in another form than it was asked in"),
                (None, _) => return unreadable("a query that was sent is not answered"),
            };
            responses.push(GenericSingleResponse { query: Some(query) });
        }
        if came.next().is_some() {
            return unreadable("more queries are answered than were sent");
        }
        // They are of no query: nothing in them is anybody's to name.
        let nothing = Permit::default();
        let errors = answer.errors.iter().map(|error| error::strip(error, &nothing)).collect();
        Ok(OnlineQueryMultiResponse { responses, errors })
    }

    fn single(
        &mut self,
        mut answer: OnlineQueryResponse,
        asked: &Asked,
        permit: &Permit,
    ) -> Result<OnlineQueryResponse, Unreadable> {
        if let Some(data) = &mut answer.data {
            let mut seen = HashSet::new();
            for result in std::mem::take(&mut data.results) {
                let Some(field) = permit.fields.get(&result.field) else {
                    self.dropped += 1;
                    continue;
                };
                if !seen.insert(result.field.clone()) {
                    return unreadable(format!("the field `{}` stands twice in the answer", shown(&result.field)));
                }
                data.results.push(self.result(result, field, asked, permit)?);
            }
        }
        strip(&mut answer.errors, permit);
        answer.response_meta = answer.response_meta.map(|meta| self::meta(meta, asked));
        Ok(answer)
    }

    fn result(
        &mut self,
        result: FeatureResult,
        field: &Field,
        asked: &Asked,
        permit: &Permit,
    ) -> Result<FeatureResult, Unreadable> {
        let value = result.value.map(|value| self.value(value, &result.field, field)).transpose()?;
        Ok(FeatureResult {
            value,
            error: result.error.map(|error| error::strip(&error, permit)),
            ts: result.ts,
            meta: result.meta.filter(|_| asked.include_meta),
            pkey: result.pkey.filter(|_| permit.primary_key),
            field: result.field,
        })
    }

    fn value(&mut self, value: Value, name: &str, field: &Field) -> Result<Value, Unreadable> {
        match (field, value.kind) {
            (Field::Value, kind) => Ok(Value { kind }),
            (Field::Rows(_), kind @ (None | Some(ValueKind::Null(_)))) => Ok(Value { kind }),
            (Field::Rows(columns), Some(ValueKind::Struct(rows))) => self.rows(rows, name, columns),
            (Field::Rows(_), Some(_)) => {
                unreadable(format!("the rows of `{}` are not columns and values", shown(name)))
            }
        }
    }

    /// Rows of a has-many, `{"columns": [name…], "values": [[…]…]}`, cut to the permitted columns. It goes as deep as
    /// the permit does.
    fn rows(&mut self, mut rows: Struct, name: &str, permitted: &Fields) -> Result<Value, Unreadable> {
        let bad = |problem: &str| Unreadable(format!("the rows of `{}` {problem}", shown(name)));
        let mut list = |key: &str| match rows.fields.remove(key).and_then(|value| value.kind) {
            Some(ValueKind::List(list)) => Ok(list.values),
            _ => Err(bad("lack their columns or values")),
        };
        let (columns, values) = (list("columns")?, list("values")?);
        if !rows.fields.is_empty() {
            return Err(bad("have more than columns and values"));
        }
        if columns.len() != values.len() {
            return Err(bad("have other columns than values"));
        }
        let (mut names, mut kept, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
        for (column, cells) in columns.into_iter().zip(values) {
            let (Some(ValueKind::String(column)), Some(ValueKind::List(cells))) = (column.kind, cells.kind) else {
                return Err(bad("have a column without a name or a list"));
            };
            if !seen.insert(column.clone()) {
                return Err(bad(&format!("have the column `{}` twice", shown(&column))));
            }
            let Some(field) = permitted.get(&column) else {
                self.dropped += 1;
                continue;
            };
            let cells = cells.values.into_iter().map(|cell| self.value(cell, &column, field));
            kept.push(of_list(cells.collect::<Result<_, _>>()?));
            names.push(Value { kind: Some(ValueKind::String(column)) });
        }
        let fields = [("columns".to_owned(), of_list(names)), ("values".to_owned(), of_list(kept))];
        Ok(Value { kind: Some(ValueKind::Struct(Struct { fields: fields.into() })) })
    }

    fn bulk(
        &mut self,
        mut answer: OnlineQueryBulkResponse,
        asked: &Asked,
        permit: &Permit,
    ) -> Result<OnlineQueryBulkResponse, Unreadable> {
        answer.scalars_data = self.table(answer.scalars_data, |table| table.cut(&permit.fields, permit.primary_key))?;
        for (name, bytes) in std::mem::take(&mut answer.groups_data) {
            let Some(Field::Rows(columns)) = permit.fields.get(&name) else {
                self.dropped += 1;
                continue;
            };
            let cut = self.table(bytes.into(), |table| table.cut(columns, permit.primary_key))?;
            answer.groups_data.insert(name, cut.into());
        }
        strip(&mut answer.errors, permit);
        answer.response_meta = answer.response_meta.map(|meta| self::meta(meta, asked));
        Ok(answer)
    }

    /// A table, cut; no bytes are none, as in an answer that has errors alone.
    fn table(
        &mut self,
        bytes: Bytes,
        cut: impl FnOnce(&Table) -> Result<(Bytes, usize), Problem>,
    ) -> Result<Bytes, Unreadable> {
        if bytes.is_empty() {
            return Ok(bytes);
        }
        let table = Table::read(&bytes, self.left)?;
        self.left = self.left.saturating_sub(table.size());
        let (cut, dropped) = cut(&table)?;
        self.dropped += dropped;
        Ok(cut)
    }
}

fn of_list(values: Vec<Value>) -> Value {
    Value { kind: Some(ValueKind::List(ListValue { values })) }
}

fn strip(errors: &mut [ChalkError], permit: &Permit) {
    for error in errors {
        *error = error::strip(error, permit);
    }
}

/// What section 3.1 lists; maps in which anything may stand are not among it.
fn meta(meta: OnlineQueryMetadata, asked: &Asked) -> OnlineQueryMetadata {
    let explained = asked.query.switches.contains(&Switch::Explain);
    OnlineQueryMetadata {
        explain_output: meta.explain_output.filter(|_| explained),
        metadata: BTreeMap::new(),
        additional_metadata: BTreeMap::new(),
        ..meta
    }
}
