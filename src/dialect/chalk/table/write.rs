//! Columns cut to what may be seen, compacted to what they show, and written.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{
    Array, ArrayRef, BooleanArray, FixedSizeListArray, GenericListArray, MapArray, OffsetSizeTrait, RecordBatch,
    RecordBatchOptions, StructArray,
};
use arrow_buffer::{BooleanBuffer, OffsetBuffer};
use arrow_ipc::writer::{FileWriter, IpcWriteOptions};
use arrow_ipc::{CompressionType, MetadataVersion};
use arrow_schema::{ArrowError, DataType, FieldRef, Fields, Schema, SchemaRef};
use arrow_select::concat::concat_batches;
use arrow_select::dictionary::garbage_collect_any_dictionary;

use super::Problem;
use crate::dialect::chalk::query::{self, Field};

/// What is left of a column where it may hold no more than `permitted`; adds to `dropped` what is not.
pub(super) fn cut(field: &FieldRef, permitted: Option<&Field>, dropped: &mut usize) -> Option<FieldRef> {
    let before = *dropped;
    let left = match permitted {
        Some(Field::Value) => Some(Arc::clone(field)),
        Some(Field::Rows(columns)) => {
            let data_type = rows(field.data_type(), columns, dropped);
            data_type.map(|data_type| Arc::new(field.as_ref().clone().with_data_type(data_type)))
        }
        None => None,
    };
    if left.is_none() {
        *dropped = before + 1;
    }
    left
}

/// A struct, or a list of structs, with the members that `columns` names; none where none is left or it is neither.
fn rows(data_type: &DataType, columns: &query::Fields, dropped: &mut usize) -> Option<DataType> {
    let mut within = |item: &FieldRef| {
        let data_type = rows(item.data_type(), columns, dropped)?;
        Some(Arc::new(item.as_ref().clone().with_data_type(data_type)))
    };
    match data_type {
        DataType::List(item) => Some(DataType::List(within(item)?)),
        DataType::LargeList(item) => Some(DataType::LargeList(within(item)?)),
        DataType::FixedSizeList(item, size) => Some(DataType::FixedSizeList(within(item)?, *size)),
        DataType::Struct(fields) => {
            let left = fields.iter().filter_map(|field| cut(field, columns.get(field.name()), dropped));
            let left: Vec<_> = left.collect();
            (!left.is_empty()).then(|| DataType::Struct(left.into()))
        }
        _ => None,
    }
}

/// The field with no other metadata than of these keys, at any depth.
pub(super) fn bare(field: &FieldRef, keys: &[&str]) -> FieldRef {
    let metadata: HashMap<_, _> = field.metadata().iter().filter(|(key, _)| keys.contains(&key.as_str())).collect();
    let metadata: HashMap<_, _> = metadata.into_iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    let data_type = match field.data_type() {
        DataType::List(item) => DataType::List(bare(item, keys)),
        DataType::LargeList(item) => DataType::LargeList(bare(item, keys)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(bare(item, keys), *size),
        DataType::Map(entries, sorted) => DataType::Map(bare(entries, keys), *sorted),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|field| bare(field, keys)).collect()),
        flat => flat.clone(),
    };
    Arc::new(field.as_ref().clone().with_data_type(data_type).with_metadata(metadata))
}

/// Whether a column shows all that its buffers hold.
pub(super) fn is_whole(array: &ArrayRef) -> bool {
    match array.data_type() {
        DataType::Boolean => array.as_boolean_opt().is_some_and(|array| {
            let bits = array.values();
            let bytes = bits.inner().as_slice();
            let used = bits.offset() + bits.len();
            let last = bytes.get(used / 8).copied().unwrap_or_default();
            used % 8 == 0 || last >> (used % 8) == 0
        }),
        DataType::Binary => array.as_binary_opt::<i32>().is_some_and(|a| all_shown(a.value_offsets(), a.value_data())),
        DataType::Utf8 => array.as_string_opt::<i32>().is_some_and(|a| all_shown(a.value_offsets(), a.value_data())),
        DataType::LargeBinary => {
            array.as_binary_opt::<i64>().is_some_and(|a| all_shown(a.value_offsets(), a.value_data()))
        }
        DataType::LargeUtf8 => {
            array.as_string_opt::<i64>().is_some_and(|a| all_shown(a.value_offsets(), a.value_data()))
        }
        DataType::List(_) => array.as_list_opt::<i32>().is_some_and(|a| all_items(a.value_offsets(), a.values())),
        DataType::LargeList(_) => array.as_list_opt::<i64>().is_some_and(|a| all_items(a.value_offsets(), a.values())),
        DataType::Map(_, _) => array.as_map_opt().is_some_and(|map| {
            let entries: ArrayRef = Arc::new(map.entries().clone());
            all_items(map.value_offsets(), &entries)
        }),
        DataType::FixedSizeList(_, _) => array.as_fixed_size_list_opt().is_some_and(|a| is_whole(a.values())),
        DataType::Struct(_) => array.as_struct_opt().is_some_and(|a| a.columns().iter().all(is_whole)),
        DataType::Dictionary(_, _) => array.as_any_dictionary_opt().is_some_and(|dictionary| {
            let used = garbage_collect_any_dictionary(dictionary).ok();
            let used = used.and_then(|used| Some(used.as_any_dictionary_opt()?.values().len()));
            used == Some(dictionary.values().len()) && is_whole(dictionary.values())
        }),
        DataType::BinaryView | DataType::Utf8View => false,
        _ => true,
    }
}

fn bounds<O: OffsetSizeTrait>(offsets: &[O]) -> (usize, usize) {
    let end = |offset: Option<&O>| offset.map(|offset| offset.as_usize()).unwrap_or_default();
    (end(offsets.first()), end(offsets.last()))
}

fn all_shown<O: OffsetSizeTrait>(offsets: &[O], data: &[u8]) -> bool {
    let (first, last) = bounds(offsets);
    first == 0 && data.get(last..).is_none_or(|rest| rest.iter().all(|byte| *byte == 0))
}

fn all_items<O: OffsetSizeTrait>(offsets: &[O], items: &ArrayRef) -> bool {
    bounds(offsets) == (0, items.len()) && is_whole(items)
}

/// The column as one of the type `to`, which has the same members or fewer, with no more in its buffers than it shows.
fn compact(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    let other = || ArrowError::SchemaError("another type".to_owned());
    Ok(match to {
        // The writer takes no more than its rows.
        DataType::Boolean if is_whole(array) => Arc::clone(array),
        DataType::Boolean => {
            let array = array.as_boolean_opt().ok_or_else(other)?;
            let bits: BooleanBuffer = array.values().iter().collect();
            Arc::new(BooleanArray::new(bits, array.nulls().cloned()))
        }
        DataType::BinaryView => Arc::new(array.as_binary_view_opt().ok_or_else(other)?.gc()),
        DataType::Utf8View => Arc::new(array.as_string_view_opt().ok_or_else(other)?.gc()),
        DataType::Dictionary(_, values) => {
            let used = garbage_collect_any_dictionary(array.as_any_dictionary_opt().ok_or_else(other)?)?;
            let used = used.as_any_dictionary_opt().ok_or_else(other)?;
            used.with_values(compact(used.values(), values)?)
        }
        DataType::List(item) => list::<i32>(array, item)?,
        DataType::LargeList(item) => list::<i64>(array, item)?,
        DataType::FixedSizeList(item, size) => {
            let array = array.as_fixed_size_list_opt().ok_or_else(other)?;
            let items = compact(array.values(), item.data_type())?;
            Arc::new(FixedSizeListArray::try_new(Arc::clone(item), *size, items, array.nulls().cloned())?)
        }
        DataType::Map(entries, sorted) => {
            let array = array.as_map_opt().ok_or_else(other)?;
            let (first, last) = bounds(array.value_offsets());
            let pairs: ArrayRef = Arc::new(array.entries().slice(first, last - first));
            let pairs = compact(&pairs, entries.data_type())?;
            let pairs = pairs.as_struct_opt().ok_or_else(other)?.clone();
            let offsets = OffsetBuffer::from_lengths(array.offsets().lengths());
            Arc::new(MapArray::try_new(Arc::clone(entries), offsets, pairs, array.nulls().cloned(), *sorted)?)
        }
        DataType::Struct(fields) => {
            let array = array.as_struct_opt().ok_or_else(other)?;
            let members = members(array.fields(), array.columns(), fields)?;
            Arc::new(StructArray::try_new(fields.clone(), members, array.nulls().cloned())?)
        }
        // The writer cuts these to what they show.
        _ => Arc::clone(array),
    })
}

/// The columns of `to`, which are those of `from` or fewer, in the same order.
fn members(from: &Fields, columns: &[ArrayRef], to: &Fields) -> Result<Vec<ArrayRef>, ArrowError> {
    let mut columns = from.iter().zip(columns);
    let mut next = |field: &FieldRef| {
        let column = columns.find(|(own, _)| own.name() == field.name()).map(|(_, column)| column);
        compact(column.ok_or_else(|| ArrowError::SchemaError("no such column".to_owned()))?, field.data_type())
    };
    to.iter().map(&mut next).collect()
}

fn list<O: OffsetSizeTrait>(array: &ArrayRef, item: &FieldRef) -> Result<ArrayRef, ArrowError> {
    let other = || ArrowError::SchemaError("another type".to_owned());
    let array = array.as_list_opt::<O>().ok_or_else(other)?;
    let (first, last) = bounds(array.value_offsets());
    let items = compact(&array.values().slice(first, last - first), item.data_type())?;
    let offsets = OffsetBuffer::<O>::from_lengths(array.offsets().lengths());
    Ok(Arc::new(GenericListArray::<O>::try_new(Arc::clone(item), offsets, items, array.nulls().cloned())?))
}

/// A file of the columns of `schema`, which are those of the batches or fewer, in the same order; `room`: about how many bytes
/// it may be.
pub(super) fn file(
    schema: &Schema,
    batches: &[RecordBatch],
    compression: Option<CompressionType>,
    room: usize,
) -> Result<Vec<u8>, Problem> {
    try_file(schema, batches, compression, room).map_err(|_| Problem::Unwritten)
}

fn try_file(
    schema: &Schema,
    batches: &[RecordBatch],
    compression: Option<CompressionType>,
    room: usize,
) -> Result<Vec<u8>, ArrowError> {
    // A dictionary may stand in a file once, and what of it is used differs from batch to batch.
    let joined = match batches {
        [first, _, ..] if has_dictionary(schema.fields().iter()) => vec![concat_batches(&first.schema(), batches)?],
        _ => batches.to_vec(),
    };
    let schema = SchemaRef::new(schema.clone());
    let options = IpcWriteOptions::try_new(8, false, MetadataVersion::V5)?.try_with_compression(compression)?;
    let mut writer = FileWriter::try_new_with_options(Vec::with_capacity(room), &schema, options)?;
    for batch in &joined {
        let columns = members(batch.schema_ref().fields(), batch.columns(), schema.fields())?;
        let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        writer.write(&RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &rows)?)?;
    }
    writer.into_inner()
}

fn has_dictionary<'f>(mut fields: impl Iterator<Item = &'f FieldRef>) -> bool {
    fields.any(|field| match field.data_type() {
        DataType::Dictionary(_, _) => true,
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => has_dictionary(std::iter::once(item)),
        DataType::Struct(fields) => has_dictionary(fields.iter()),
        _ => false,
    })
}
