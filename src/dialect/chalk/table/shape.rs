//! The types that are followed, and what a batch must consist of for them: nodes and buffers in their order.

use std::collections::{HashMap, HashSet};

use arrow_ipc::{BodyCompressionMethod, CompressionType, RecordBatch};
use arrow_schema::{DataType, Field, Fields, Schema};

use super::{Problem, frame};

/// For each one arrow goes through all columns.
const MOST_DICTIONARIES: usize = 1000;
/// What an array takes beside its buffers: many batches with few rows or none are much for their bytes.
const ARRAY: usize = 64;

/// Refuses columns of types that are not followed, and names that stand twice.
pub(super) fn follow(schema: &Schema) -> Result<(), Problem> {
    members(schema.fields())
}

fn members(fields: &Fields) -> Result<(), Problem> {
    let mut names = HashSet::with_capacity(fields.len());
    for field in fields {
        if !names.insert(field.name()) {
            return Err(Problem::Twice(field.name().clone()));
        }
        followed(field, field.data_type())?;
    }
    Ok(())
}

/// `data_type` is the field's, or that of the values of its dictionary.
fn followed(field: &Field, data_type: &DataType) -> Result<(), Problem> {
    let refused = || Err(Problem::Type(field.name().clone()));
    match data_type {
        DataType::Null
        | DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::UInt64
        | DataType::Float16
        | DataType::Float32
        | DataType::Float64
        | DataType::Timestamp(_, _)
        | DataType::Date32
        | DataType::Date64
        | DataType::Time32(_)
        | DataType::Time64(_)
        | DataType::Duration(_)
        | DataType::Interval(_)
        | DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Decimal32(_, _)
        | DataType::Decimal64(_, _)
        | DataType::Decimal128(_, _)
        | DataType::Decimal256(_, _) => Ok(()),
        DataType::FixedSizeBinary(width) => {
            if *width > 0 {
                Ok(())
            } else {
                refused()
            }
        }
        DataType::List(item) | DataType::LargeList(item) => followed(item, item.data_type()),
        DataType::FixedSizeList(item, size) if *size > 0 => followed(item, item.data_type()),
        DataType::Struct(fields) if !fields.is_empty() => members(fields),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => members(pair),
            _ => refused(),
        },
        DataType::Dictionary(_, values) if !values.is_nested() && !is_dictionary(values) => followed(field, values),
        DataType::FixedSizeList(_, _)
        | DataType::Struct(_)
        | DataType::Dictionary(_, _)
        | DataType::ListView(_)
        | DataType::LargeListView(_)
        | DataType::Union(_, _)
        | DataType::RunEndEncoded(_, _) => refused(),
    }
}

fn is_dictionary(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Dictionary(_, _))
}

/// Calls `each` for every field of a dictionary with its id and the type of the values, in the order of the columns.
fn each_dictionary<'s>(fields: &'s Fields, each: &mut impl FnMut(i64, &'s DataType)) {
    for field in fields {
        each_within(field, each);
    }
}

#[expect(deprecated, reason = "the id of a dictionary is nowhere else")]
fn each_within<'s>(field: &'s Field, each: &mut impl FnMut(i64, &'s DataType)) {
    match field.data_type() {
        DataType::Dictionary(_, values) => each(field.dict_id().unwrap_or_default(), values),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => each_within(item, each),
        DataType::Map(entries, _) => each_within(entries, each),
        DataType::Struct(fields) => each_dictionary(fields, each),
        _ => {}
    }
}

/// The ids of all dictionaries, in the order of the columns.
pub(super) fn dictionary_ids(schema: &Schema) -> Vec<i64> {
    let mut ids = Vec::new();
    each_dictionary(schema.fields(), &mut |id, _| ids.push(id));
    ids
}

/// What the values of each dictionary are.
pub(super) fn dictionaries(schema: &Schema) -> Result<HashMap<i64, DataType>, Problem> {
    let mut all: HashMap<i64, DataType> = HashMap::new();
    let mut agree = true;
    each_dictionary(schema.fields(), &mut |id, values| {
        agree &= all.entry(id).or_insert_with(|| values.clone()) == values;
    });
    if all.len() > MOST_DICTIONARIES {
        return Err(Problem::Broken("it has too many dictionaries"));
    }
    if agree { Ok(all) } else { Err(Problem::Broken("a dictionary is of two types")) }
}

/// A node or a buffer of a batch.
pub(super) enum Want {
    /// How many rows and nulls.
    Node,
    /// A bit for each row; may be left out where nothing is null.
    Validity,
    /// A bit for each row.
    Bits,
    /// So many bytes for each row.
    Fixed(usize),
    /// So many bytes for each row and one more.
    Offsets(usize),
    /// What offsets point into.
    Data,
    /// Sixteen bytes for each row, and any number of buffers that they point into.
    Views,
}

/// What a batch of columns of these types consists of.
pub(super) fn wants<'t>(types: impl IntoIterator<Item = &'t DataType>) -> Vec<Want> {
    let mut out = Vec::new();
    for data_type in types {
        want(data_type, &mut out);
    }
    out
}

fn want(data_type: &DataType, out: &mut Vec<Want>) {
    out.push(Want::Node);
    if *data_type != DataType::Null {
        out.push(Want::Validity);
    }
    match data_type {
        DataType::Boolean => out.push(Want::Bits),
        DataType::Binary | DataType::Utf8 => out.extend([Want::Offsets(4), Want::Data]),
        DataType::LargeBinary | DataType::LargeUtf8 => out.extend([Want::Offsets(8), Want::Data]),
        DataType::BinaryView | DataType::Utf8View => out.push(Want::Views),
        DataType::FixedSizeBinary(width) => out.push(Want::Fixed(usize::try_from(*width).unwrap_or_default())),
        DataType::List(item) | DataType::Map(item, _) => {
            out.push(Want::Offsets(4));
            want(item.data_type(), out);
        }
        DataType::LargeList(item) => {
            out.push(Want::Offsets(8));
            want(item.data_type(), out);
        }
        DataType::FixedSizeList(item, _) => want(item.data_type(), out),
        DataType::Struct(fields) => fields.iter().for_each(|field| want(field.data_type(), out)),
        DataType::Dictionary(keys, _) => out.push(Want::Fixed(keys.primitive_width().unwrap_or_default())),
        flat => out.extend(flat.primitive_width().map(Want::Fixed)),
    }
}

/// What a batch holds.
pub(super) struct Checked {
    /// Bytes of its buffers, unpacked, and of its arrays.
    pub(super) size: usize,
    pub(super) rows: usize,
    /// No bytes between the buffers or behind what their columns need.
    pub(super) tidy: bool,
}

/// Checks that a batch consists of what is wanted, within its body and within `most` bytes and rows.
pub(super) fn check(batch: RecordBatch<'_>, body: &[u8], wants: &[Want], most: usize) -> Result<Checked, Problem> {
    let compression = match batch.compression() {
        Some(how) if how.method() != BodyCompressionMethod::BUFFER => {
            return Err(Problem::Broken("it is compressed in a way that is not known"));
        }
        Some(how) if !matches!(how.codec(), CompressionType::LZ4_FRAME | CompressionType::ZSTD) => {
            return Err(Problem::Broken("it is compressed with a codec that is not known"));
        }
        how => how.map(|how| how.codec()),
    };
    let missing = Problem::Broken("a batch has fewer parts than its columns");
    let (Some(nodes), Some(buffers)) = (batch.nodes(), batch.buffers()) else { return Err(missing) };
    let mut nodes = nodes.iter();
    let mut buffers = buffers.iter();
    let mut counts = batch.variadicBufferCounts().into_iter().flatten();
    let mut body = Body { body, at: 0, compression, most, size: 0, tidy: true };
    let (mut rows, mut nulls) = (0, 0);
    for want in wants {
        let mut next =
            |need: Option<usize>, width: usize| body.take(buffers.next().ok_or_else(|| missing.clone())?, need, width);
        match want {
            Want::Node => {
                let node = nodes.next().ok_or_else(|| missing.clone())?;
                rows = amount(node.length(), most)?;
                nulls = amount(node.null_count(), rows)?;
                body.count(ARRAY)?;
            }
            Want::Validity => next(Some(if nulls > 0 { rows.div_ceil(8) } else { 0 }), 1)?,
            Want::Bits => next(Some(rows.div_ceil(8)), 1)?,
            Want::Fixed(width) => next(rows.checked_mul(*width), *width)?,
            Want::Offsets(width) => next(rows.checked_add(1).and_then(|rows| rows.checked_mul(*width)), *width)?,
            Want::Data => next(None, 1)?,
            Want::Views => {
                next(rows.checked_mul(16), 16)?;
                for _ in 0..counts.next().ok_or_else(|| missing.clone())? {
                    next(None, 1)?;
                }
                // Which of their bytes the views show is not followed.
                body.tidy = false;
            }
        }
    }
    if nodes.next().is_some() || buffers.next().is_some() || counts.next().is_some() {
        return Err(Problem::Broken("a batch has more parts than its columns"));
    }
    let rest = body.body.get(body.at..).unwrap_or_default();
    let tidy = body.tidy && is_zero(rest);
    Ok(Checked { size: body.size, rows: amount(batch.length(), most)?, tidy })
}

fn amount(number: i64, most: usize) -> Result<usize, Problem> {
    let number = usize::try_from(number).map_err(|_| Problem::Broken("a batch has a negative size"))?;
    if number > most { Err(Problem::TooMuch(most)) } else { Ok(number) }
}

pub(super) fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// The body of a batch, gone through buffer by buffer.
struct Body<'b> {
    body: &'b [u8],
    /// Behind the last buffer.
    at: usize,
    compression: Option<CompressionType>,
    most: usize,
    size: usize,
    tidy: bool,
}

impl Body<'_> {
    /// Goes past a buffer of which the columns show the first `need` bytes, or all; of values of `width` bytes.
    fn take(&mut self, buffer: &arrow_ipc::Buffer, need: Option<usize>, width: usize) -> Result<(), Problem> {
        let beyond = Problem::Broken("a buffer lies outside of its batch");
        let (Ok(start), Ok(length)) = (usize::try_from(buffer.offset()), usize::try_from(buffer.length())) else {
            return Err(beyond);
        };
        let end = start.checked_add(length);
        let Some((end, bytes)) = end.and_then(|end| Some((end, self.body.get(start..end)?))) else {
            return Err(beyond);
        };
        if length == 0 {
            return Ok(());
        }
        let gap = self.body.get(self.at..start).ok_or(Problem::Broken("the buffers of a batch overlap"))?;
        self.tidy &= is_zero(gap);
        self.at = end;
        let (size, plain) = match self.compression {
            None => (length, Some(bytes)),
            Some(codec) => self.unpacked(codec, bytes)?,
        };
        // arrow panics where it looks at a part of a value. Padding makes whole values of all widths but odd ones.
        if width.is_power_of_two() && size % width != 0 {
            return Err(Problem::Broken("a buffer ends within a value"));
        }
        self.count(size)?;
        self.tidy &= match (need, plain) {
            (Some(need), Some(bytes)) => bytes.get(need..).is_none_or(is_zero),
            (Some(need), None) => size <= need,
            (None, _) => true,
        };
        Ok(())
    }

    fn count(&mut self, size: usize) -> Result<(), Problem> {
        self.size = self.size.checked_add(size).filter(|size| *size <= self.most).ok_or(Problem::TooMuch(self.most))?;
        Ok(())
    }

    /// What a buffer says that it unpacks to, and its bytes where it is not compressed after all.
    fn unpacked<'b>(&mut self, codec: CompressionType, bytes: &'b [u8]) -> Result<(usize, Option<&'b [u8]>), Problem> {
        let Some((size, packed)) = bytes.split_first_chunk::<8>() else {
            return Err(Problem::Broken("a compressed buffer breaks off"));
        };
        match i64::from_le_bytes(*size) {
            -1 => Ok((packed.len(), Some(packed))),
            0 => {
                self.tidy &= packed.is_empty();
                Ok((0, None))
            }
            size => {
                self.tidy &= frame::is_one(codec, packed);
                Ok((amount(size, self.most)?, None))
            }
        }
    }
}
