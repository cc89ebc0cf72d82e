//! Arrow IPC files (Feather V2), which carry the tables of bulk queries, uploads and answers.
//!
//! ```text
//! file   the frame: both magics, the schema at the head and in the footer, blocks in order, nothing between them
//! shape  the types that are followed; each buffer of a batch: where it lies, what it unpacks to
//! frame  whether a compressed buffer is one frame of lz4 or zstd and nothing more
//! write  columns cut and compacted, and a file of them
//! ```
//!
//! All sizes are checked before arrow-ipc reads a byte of a column: it takes lengths on trust in places. What goes
//! upstream is written anew. An answer of which nothing is cut passes as it came, unless something lies in the file that
//! no column shows (the rest of a larger buffer, gaps that hold bytes, metadata of unknown keys): then it is written anew.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType,
    Float16Type, Float32Type, Float64Type, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_buffer::Buffer;
use arrow_ipc::CompressionType;
use arrow_ipc::reader::{RecordBatchDecoder, read_dictionary};
use arrow_schema::{DataType, FieldRef, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;

use super::query::{self, Field};
use crate::dialect::{Invalid, Unreadable, shown};
use file::File;

mod file;
mod frame;
mod shape;
mod write;

/// Why a table is not read, or not written. Names columns, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Another beginning or end.
    #[error("the table is no arrow ipc file")]
    NoFile,
    /// What is wrong with it.
    #[error("the table cannot be read: {0}")]
    Broken(&'static str),
    /// More bytes or rows than the caller of [`Table::read`] takes.
    #[error("the table unpacks to more than {0} bytes or rows")]
    TooMuch(usize),
    /// A name that two columns have, or two members of a struct.
    #[error("column `{}` of the table stands twice", shown(.0))]
    Twice(String),
    /// A type that is not followed: a union, run ends, a list view, a struct of nothing.
    #[error("column `{}` of the table is of a type that is not followed", shown(.0))]
    Type(String),
    /// arrow cannot write what it read: rows of one batch that no dictionary holds.
    #[error("the table cannot be written anew")]
    Unwritten,
}

impl From<Problem> for Invalid {
    fn from(problem: Problem) -> Self {
        Self(problem.to_string())
    }
}

impl From<Problem> for Unreadable {
    fn from(problem: Problem) -> Self {
        Self(problem.to_string())
    }
}

/// A table that was read: all of its columns are valid.
#[derive(Debug)]
pub struct Table {
    /// As it came.
    bytes: Bytes,
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    /// Of the first batch, and of what is written anew.
    compression: Option<CompressionType>,
    /// Nothing lies in the file that no column shows, as far as its layout tells.
    tidy: bool,
    size: usize,
}

impl Table {
    /// Reads a file. `most` bounds the rows, and the bytes of all buffers together, unpacked, with 64 bytes for each array
    /// of each batch.
    ///
    /// # Errors
    /// What is in the way; [`Problem::TooMuch`] before anything is unpacked.
    pub fn read(bytes: &Bytes, most: usize) -> Result<Self, Problem> {
        let file = File::open(bytes)?;
        let (mut tidy, mut size, mut rows) = (file.tidy, 0_usize, 0_usize);
        let mut count = |checked: shape::Checked| {
            tidy &= checked.tidy;
            size = size.checked_add(checked.size).filter(|size| *size <= most).ok_or(Problem::TooMuch(most))?;
            rows = rows.checked_add(checked.rows).filter(|rows| *rows <= most).ok_or(Problem::TooMuch(most))?;
            Ok::<(), Problem>(())
        };
        let mut known = shape::dictionaries(&file.schema)?;
        for (batch, body) in &file.dictionaries {
            let values =
                known.remove(&batch.id()).ok_or(Problem::Broken("a dictionary is of no column or stands twice"))?;
            if batch.isDelta() {
                return Err(Problem::Broken("a dictionary is given in pieces"));
            }
            let data = batch.data().ok_or(Problem::Broken("a dictionary has no values"))?;
            count(shape::check(data, body.bytes(bytes), &shape::wants([&values]), most)?)?;
        }
        let wants = shape::wants(file.schema.fields().iter().map(|field| field.data_type()));
        for (batch, body) in &file.batches {
            count(shape::check(*batch, body.bytes(bytes), &wants, most)?)?;
        }

        let all = Buffer::from(bytes.clone());
        let whole = |_| Problem::Broken("its columns do not hold what its schema says");
        let mut dictionaries = HashMap::new();
        for (batch, body) in &file.dictionaries {
            let buffer = body.buffer(&all);
            read_dictionary(&buffer, *batch, &file.schema, &mut dictionaries, &file.version).map_err(whole)?;
        }
        let mut batches = Vec::with_capacity(file.batches.len());
        for (batch, body) in &file.batches {
            let buffer = body.buffer(&all);
            let schema = Arc::clone(&file.schema);
            let decoder = RecordBatchDecoder::try_new(&buffer, *batch, schema, &dictionaries, &file.version);
            batches.push(decoder.and_then(RecordBatchDecoder::read_record_batch).map_err(whole)?);
        }
        let compression = file.batches.first().and_then(|(batch, _)| batch.compression()).map(|one| one.codec());
        Ok(Self { bytes: bytes.clone(), schema: file.schema, batches, compression, tidy, size })
    }

    /// Each column, and whether any of its rows is null, or no number: pandas writes the one for the other, and what the server
    /// takes it for is not known. A column of the type null is; a dictionary's value may be.
    pub fn columns(&self) -> impl Iterator<Item = (&str, bool)> {
        self.schema.fields().iter().enumerate().map(|(index, field)| {
            let mut parts = self.batches.iter().filter_map(move |batch| batch.columns().get(index));
            let null = *field.data_type() == DataType::Null
                || parts.any(|part| part.logical_null_count() > 0 || has_nan(part));
            (field.name().as_str(), null)
        })
    }

    /// Rows of all batches.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// Bytes that were taken of `most`.
    pub fn size(&self) -> usize {
        self.size
    }

    /// For a request: the columns that are kept, in a file that is always written anew, without any metadata.
    ///
    /// # Errors
    /// [`Problem::Unwritten`].
    pub fn keep(&self, keep: impl Fn(&str) -> bool) -> Result<Bytes, Problem> {
        let kept = self.schema.fields().iter().filter(|field| keep(field.name()));
        self.write(&Schema::new(kept.map(|field| write::bare(field, &[])).collect::<Vec<_>>()))
    }

    /// For an answer: the columns that `fields` has, the columns of rows within them likewise, and the primary key where
    /// it may come back. Returns the file, which is the one that came where nothing is cut and nothing is hidden in it,
    /// and how many columns were dropped, those within others among them.
    ///
    /// # Errors
    /// [`Problem::Unwritten`].
    pub fn cut(&self, fields: &query::Fields, primary_key: bool) -> Result<(Bytes, usize), Problem> {
        let mut dropped = 0;
        let mut kept: Vec<FieldRef> = Vec::with_capacity(self.schema.fields().len());
        for field in self.schema.fields() {
            let key = primary_key && PRIMARY_KEYS.contains(&field.name().as_str());
            let permitted = if key { Some(&Field::Value) } else { fields.get(field.name()) };
            kept.extend(write::cut(field, permitted, &mut dropped));
        }
        let whole = |column: &ArrayRef| write::is_whole(column);
        if dropped == 0 && self.tidy && self.batches.iter().all(|batch| batch.columns().iter().all(whole)) {
            return Ok((self.bytes.clone(), 0));
        }
        let kept = kept.iter().map(|field| write::bare(field, file::FIELD_KEYS));
        Ok((self.write(&Schema::new(kept.collect::<Vec<_>>()))?, dropped))
    }

    /// A file of the columns of `schema`, each found by its name.
    fn write(&self, schema: &Schema) -> Result<Bytes, Problem> {
        write::file(schema, &self.batches, self.compression, self.bytes.len()).map(Bytes::from)
    }
}

/// Whether a column holds floating-point numbers that are none, or times that pandas takes for none: its NaT is the least of
/// all. Of a dictionary, whether a value of it is.
fn has_nan(part: &ArrayRef) -> bool {
    fn any<T: ArrowPrimitiveType>(part: &ArrayRef, is: impl Fn(T::Native) -> bool) -> bool {
        part.as_primitive_opt::<T>().is_some_and(|part| part.values().iter().any(|value| is(*value)))
    }
    let least = |value: i64| value == i64::MIN;
    match part.data_type() {
        DataType::Float16 => any::<Float16Type>(part, |value| value.is_nan()),
        DataType::Float32 => any::<Float32Type>(part, f32::is_nan),
        DataType::Float64 => any::<Float64Type>(part, f64::is_nan),
        DataType::Timestamp(TimeUnit::Second, _) => any::<TimestampSecondType>(part, least),
        DataType::Timestamp(TimeUnit::Millisecond, _) => any::<TimestampMillisecondType>(part, least),
        DataType::Timestamp(TimeUnit::Microsecond, _) => any::<TimestampMicrosecondType>(part, least),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => any::<TimestampNanosecondType>(part, least),
        DataType::Duration(TimeUnit::Second) => any::<DurationSecondType>(part, least),
        DataType::Duration(TimeUnit::Millisecond) => any::<DurationMillisecondType>(part, least),
        DataType::Duration(TimeUnit::Microsecond) => any::<DurationMicrosecondType>(part, least),
        DataType::Duration(TimeUnit::Nanosecond) => any::<DurationNanosecondType>(part, least),
        DataType::Dictionary(_, _) => part.as_any_dictionary_opt().is_some_and(|part| has_nan(part.values())),
        _ => false,
    }
}

/// Columns that hold the primary key of a row's root.
const PRIMARY_KEYS: [&str; 2] = ["__id__", "__index__"];

#[cfg(test)]
mod tests;
