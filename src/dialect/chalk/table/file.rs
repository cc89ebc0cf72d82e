//! The frame of an Arrow IPC file: "ARROW1", the schema, the blocks, the footer with the schema again and the places of
//! the blocks, "ARROW1" (Arrow Columnar Format, IPC File Format).

use std::ops::Range;

use arrow_buffer::Buffer;
use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::{Block, DictionaryBatch, Endianness, KeyValue, Message, MetadataVersion, RecordBatch};
use arrow_schema::SchemaRef;
use flatbuffers::{ForwardsUOffset, Vector, VerifierOptions};

use super::{Problem, shape};

/// With the least of its padding, which goes to 16, 32 or 64 bytes where a file is aligned so.
const HEAD: &[u8] = b"ARROW1\0\0";
const TAIL: &[u8] = b"ARROW1";
const CONTINUED: &[u8] = &[0xff; 4];
/// What may stand between the last block and the footer.
const END_OF_STREAM: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
/// Tables of one message's metadata: a column is two to four.
const MOST_TABLES: usize = 1 << 16;
/// What pyarrow writes beside a schema.
const SCHEMA_KEYS: &[&str] = &["pandas"];
/// What a column's metadata may say.
pub(super) const FIELD_KEYS: &[&str] = &["ARROW:extension:name", "ARROW:extension:metadata"];

/// A file whose frame was checked.
pub(super) struct File<'b> {
    pub(super) schema: SchemaRef,
    pub(super) version: MetadataVersion,
    pub(super) dictionaries: Vec<(DictionaryBatch<'b>, Body)>,
    pub(super) batches: Vec<(RecordBatch<'b>, Body)>,
    /// No bytes between the blocks, no metadata but of the known keys.
    pub(super) tidy: bool,
}

/// Where the buffers of a block lie in the file.
pub(super) struct Body(Range<usize>);

impl Body {
    pub(super) fn bytes<'b>(&self, file: &'b [u8]) -> &'b [u8] {
        file.get(self.0.clone()).unwrap_or_default()
    }

    /// `file` is the buffer of the bytes that were checked.
    pub(super) fn buffer(&self, file: &Buffer) -> Buffer {
        file.slice_with_length(self.0.start, self.0.len())
    }
}

/// A block as the footer places it.
struct Place {
    start: usize,
    metadata: usize,
    body: usize,
    dictionary: bool,
}

fn broken<T>(why: &'static str) -> Result<T, Problem> {
    Err(Problem::Broken(why))
}

impl<'b> File<'b> {
    pub(super) fn open(bytes: &'b [u8]) -> Result<Self, Problem> {
        let (length, end) = match bytes.strip_suffix(TAIL).and_then(<[u8]>::split_last_chunk::<4>) {
            Some((rest, length)) if rest.starts_with(HEAD) => (u32::from_le_bytes(*length) as usize, rest.len()),
            _ => return Err(Problem::NoFile),
        };
        let start = end.checked_sub(length).filter(|start| *start >= HEAD.len());
        let footer = start.and_then(|start| Some((start, bytes.get(start..end)?)));
        let (footer_start, footer) = footer.ok_or(Problem::Broken("its footer is longer than the file"))?;
        let footer = arrow_ipc::root_as_footer_with_opts(&bounds(footer), footer)
            .map_err(|_| Problem::Broken("its footer does not read"))?;
        let version = footer.version();
        if version != MetadataVersion::V4 && version != MetadataVersion::V5 {
            return broken("it is of a version that is not known");
        }
        let before_footer = bytes.get(..footer_start).unwrap_or_default();

        let is_padding = |at: &usize| before_footer.get(HEAD.len()..*at).is_some_and(shape::is_zero);
        let begins = |at: &usize| before_footer.get(*at..).is_some_and(|rest| rest.starts_with(CONTINUED));
        let start = [8, 16, 32, 64].into_iter().find(|at| is_padding(at) && begins(at)).unwrap_or_default();
        let (message, mut at) = message(before_footer, start, version)?;
        let head = message.header_as_schema().ok_or(Problem::Broken("it does not begin with a schema"))?;
        let foot = footer.schema().ok_or(Problem::Broken("its footer has no schema"))?;
        let mut tidy = known(footer.custom_metadata(), &[]) && known(message.custom_metadata(), &[]);
        let mut schemas = Vec::new();
        for schema in [head, foot] {
            if schema.endianness() != Endianness::Little {
                return broken("it is of another byte order");
            }
            tidy &= known(schema.custom_metadata(), SCHEMA_KEYS);
            tidy &= schema.fields().into_iter().flatten().all(known_fields);
            let schema = try_fb_to_schema(schema).map_err(|_| Problem::Broken("its schema does not read"))?;
            schemas.push((shape::dictionary_ids(&schema), schema));
        }
        let Some((ids, schema)) = schemas.pop() else { return broken("it has no schema") };
        if schemas != [(ids, schema.clone())] || message.bodyLength() != 0 {
            return broken("its footer names other columns than its beginning");
        }
        shape::follow(&schema)?;

        let mut places = Vec::new();
        let batches = footer.recordBatches().ok_or(Problem::Broken("its footer places no batches"))?;
        for (blocks, dictionary) in [(footer.dictionaries(), true), (Some(batches), false)] {
            let mut last = 0;
            for block in blocks.into_iter().flatten() {
                let place = place(block, dictionary)?;
                if place.start < last {
                    return broken("its blocks are not in order");
                }
                last = place.start;
                places.push(place);
            }
        }
        places.sort_by_key(|place| place.start);

        let (mut dictionaries, mut batches) = (Vec::new(), Vec::new());
        for place in places {
            let gap = before_footer.get(at..place.start).ok_or(Problem::Broken("its blocks overlap"))?;
            tidy &= gap.is_empty();
            let (message, start) = self::message(before_footer, place.start, version)?;
            let end = start.checked_add(place.body).filter(|end| *end <= before_footer.len());
            let end = end.ok_or(Problem::Broken("a block goes beyond the file"))?;
            let length = usize::try_from(message.bodyLength()).ok();
            if start - place.start != place.metadata || length != Some(place.body) {
                return broken("a block is not as long as its footer says");
            }
            tidy &= known(message.custom_metadata(), &[]);
            let body = Body(start..end);
            match (message.header_as_dictionary_batch(), message.header_as_record_batch()) {
                (Some(batch), _) if place.dictionary => dictionaries.push((batch, body)),
                (_, Some(batch)) if !place.dictionary => batches.push((batch, body)),
                _ => return broken("a block is not what its footer says"),
            }
            at = end;
        }
        let rest = before_footer.get(at..).unwrap_or_default();
        tidy &= rest.is_empty() || rest == END_OF_STREAM;
        Ok(Self { schema: SchemaRef::new(schema), version, dictionaries, batches, tidy })
    }
}

/// The metadata of the message at `at`, and where its body begins.
fn message(bytes: &[u8], at: usize, version: MetadataVersion) -> Result<(Message<'_>, usize), Problem> {
    let rest = bytes.get(at..).and_then(|rest| rest.strip_prefix(CONTINUED)?.split_first_chunk::<4>());
    let (length, rest) = rest.ok_or(Problem::Broken("a message does not begin where it should"))?;
    let length = u32::from_le_bytes(*length) as usize;
    let metadata = rest.get(..length).ok_or(Problem::Broken("a message breaks off"))?;
    let message = arrow_ipc::root_as_message_with_opts(&bounds(metadata), metadata)
        .map_err(|_| Problem::Broken("a message does not read"))?;
    if message.version() != version {
        return broken("its messages are of two versions");
    }
    Ok((message, at + 8 + length))
}

/// What is written once counts each time that it is pointed at, so the bounds are on what a reader would build.
fn bounds(metadata: &[u8]) -> VerifierOptions {
    let max_apparent_size = metadata.len().saturating_mul(8);
    VerifierOptions { max_tables: MOST_TABLES, max_apparent_size, ..VerifierOptions::default() }
}

fn place(block: &Block, dictionary: bool) -> Result<Place, Problem> {
    let size = |number: i64| usize::try_from(number).ok();
    let (start, metadata) = (size(block.offset()), size(block.metaDataLength().into()));
    match (start, metadata, size(block.bodyLength())) {
        (Some(start), Some(metadata), Some(body)) => Ok(Place { start, metadata, body, dictionary }),
        _ => broken("a block has a negative size"),
    }
}

fn known(list: Option<Vector<'_, ForwardsUOffset<KeyValue<'_>>>>, keys: &[&str]) -> bool {
    list.into_iter().flatten().all(|pair| pair.key().is_some_and(|key| keys.contains(&key)))
}

fn known_fields(field: arrow_ipc::Field<'_>) -> bool {
    known(field.custom_metadata(), FIELD_KEYS) && field.children().into_iter().flatten().all(known_fields)
}
