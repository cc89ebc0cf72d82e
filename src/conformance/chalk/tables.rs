//! Arrow files and containers of bytes, with arrow and serde_json alone.

use std::io::Cursor;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array as _, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_ipc::CompressionType;
use arrow_ipc::reader::FileReader;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions};
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use serde_json::{Map, Value};

use crate::conformance::Cell;
use crate::conformance::wire::{Column, Members};

/// The key of a row, in every table.
pub const ROW: &str = "__id__";

fn array(cells: &[Cell]) -> ArrayRef {
    let kind = cells.iter().find(|cell| **cell != Cell::Null);
    match kind {
        Some(Cell::Int(_)) => {
            let values = cells.iter().map(|cell| if let Cell::Int(value) = cell { Some(*value) } else { None });
            Arc::new(values.collect::<Int64Array>())
        }
        Some(Cell::Float(_)) => {
            let values = cells.iter().map(|cell| if let Cell::Float(value) = cell { Some(*value) } else { None });
            Arc::new(values.collect::<Float64Array>())
        }
        Some(Cell::Bool(_)) => {
            let values = cells.iter().map(|cell| if let Cell::Bool(value) = cell { Some(*value) } else { None });
            Arc::new(values.collect::<BooleanArray>())
        }
        Some(Cell::Text(_) | Cell::Null) | None => {
            let values = cells.iter().map(|cell| if let Cell::Text(text) = cell { Some(text.as_str()) } else { None });
            Arc::new(values.collect::<StringArray>())
        }
    }
}

/// An Arrow file of these columns; a name may stand twice.
///
/// # Errors
/// Columns of other lengths.
pub fn file(columns: &[Column], packed: bool) -> Result<Bytes, String> {
    let arrays: Vec<ArrayRef> = columns.iter().map(|(_, cells)| array(cells)).collect();
    let field = |((name, _), array): (&Column, &ArrayRef)| Field::new(name, array.data_type().clone(), true);
    let schema = Arc::new(Schema::new(columns.iter().zip(&arrays).map(field).collect::<Vec<_>>()));
    let compression = packed.then_some(CompressionType::LZ4_FRAME);
    let written = || {
        let options = IpcWriteOptions::default().try_with_compression(compression)?;
        let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)?;
        let mut writer = FileWriter::try_new_with_options(Vec::new(), &schema, options)?;
        writer.write(&batch)?;
        writer.into_inner()
    };
    let bytes = written().map_err(|error: arrow_schema::ArrowError| format!("a table cannot be written: {error}"))?;
    Ok(bytes.into())
}

/// The columns of an Arrow file, none of no bytes. Every text in it, the schema's too, goes to `texts`.
///
/// # Errors
/// It cannot be read.
pub fn columns(bytes: &Bytes, texts: &mut Vec<Vec<u8>>) -> Result<Vec<Column>, String> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let failed = |error: arrow_schema::ArrowError| format!("a table cannot be read: {error}");
    let reader = FileReader::try_new(Cursor::new(bytes), None).map_err(failed)?;
    let schema = reader.schema();
    texts.push(format!("{:?} {:?}", schema, reader.custom_metadata()).into_bytes());
    let mut columns: Vec<Column> = schema.fields().iter().map(|field| (field.name().clone(), Vec::new())).collect();
    for batch in reader {
        let batch = batch.map_err(failed)?;
        for (array, (name, cells)) in batch.columns().iter().zip(&mut columns) {
            // What lies in the buffers, whether a row points to it or not.
            texts.extend(array.to_data().buffers().iter().map(|buffer| buffer.as_slice().to_vec()));
            for row in 0..array.len() {
                cells.push(cell(array, row).ok_or_else(|| format!("the column `{name}` is of another type"))?);
            }
        }
    }
    Ok(columns)
}

fn cell(array: &ArrayRef, row: usize) -> Option<Cell> {
    if array.is_null(row) {
        return Some(Cell::Null);
    }
    Some(match array.data_type() {
        DataType::Utf8 => Cell::Text(array.as_string_opt::<i32>()?.value(row).to_owned()),
        DataType::LargeUtf8 => Cell::Text(array.as_string_opt::<i64>()?.value(row).to_owned()),
        DataType::Int64 => Cell::Int(array.as_primitive_opt::<Int64Type>()?.value(row)),
        DataType::Float64 => Cell::Float(array.as_primitive_opt::<Float64Type>()?.value(row)),
        DataType::Boolean => Cell::Bool(array.as_boolean_opt()?.value(row)),
        _ => return None,
    })
}

/// A container: attributes, bytes by name, containers by name, the latter not looked into.
pub struct Container {
    /// Plain fields.
    pub attrs: Value,
    /// Bytes.
    pub blobs: Vec<(String, Bytes)>,
    /// Containers.
    children: Vec<(String, Bytes)>,
}

impl Container {
    /// Bytes by name.
    pub fn blob(&self, name: &str) -> Option<&Bytes> {
        self.blobs.iter().find(|(own, _)| own == name).map(|(_, bytes)| bytes)
    }

    /// A container by name.
    pub fn child(&self, name: &str) -> Option<&Bytes> {
        self.children.iter().find(|(own, _)| own == name).map(|(_, bytes)| bytes)
    }
}

/// Reads a container (wire-chalk.md, section 3.4).
///
/// # Errors
/// It is none.
pub fn container(bytes: &Bytes) -> Result<Container, String> {
    let broken = || "a container breaks off".to_owned();
    let mut rest =
        bytes.strip_prefix(b"CHALK_BYTE_TRANSMISSION").map(|rest| bytes.slice_ref(rest)).ok_or("it is no container")?;
    let section = |rest: &mut Bytes| {
        let (length, _) = rest.split_first_chunk::<8>().ok_or_else(broken)?;
        let end = usize::try_from(u64::from_be_bytes(*length)).ok().and_then(|length| length.checked_add(8));
        let end = end.filter(|end| *end <= rest.len()).ok_or_else(broken)?;
        let json = serde_json::from_slice::<Map<String, Value>>(&rest.slice(8..end));
        *rest = rest.slice(end..);
        json.map_err(|_| "a part of a container is no json object".to_owned())
    };
    let attrs = section(&mut rest)?;
    section(&mut rest)?;
    let mut parts = [Vec::new(), Vec::new()];
    for part in &mut parts {
        // serde_json's map is sorted, and the bytes are in the order of the text.
        let lengths = ordered(&rest).ok_or_else(broken)?;
        section(&mut rest)?;
        for (name, length) in lengths {
            let length = length.filter(|length| *length <= rest.len()).ok_or_else(broken)?;
            part.push((name, rest.split_to(length)));
        }
    }
    let [blobs, children] = parts;
    if !rest.is_empty() {
        return Err("a container goes on behind its end".to_owned());
    }
    Ok(Container { attrs: Value::Object(attrs), blobs, children })
}

/// Names and lengths, in the order of the text.
fn ordered(section: &Bytes) -> Option<Vec<(String, Option<usize>)>> {
    let (length, rest) = section.split_first_chunk::<8>()?;
    let text = rest.get(..usize::try_from(u64::from_be_bytes(*length)).ok()?)?;
    let Members(all) = serde_json::from_slice::<Members<u64>>(text).ok()?;
    Some(all.into_iter().map(|(name, length)| (name, usize::try_from(length).ok())).collect())
}
