//! Files that are made to mislead.

use super::*;

fn problem(bytes: impl Into<Bytes>) -> Problem {
    match Table::read(&bytes.into(), MOST) {
        Err(problem) => problem,
        Ok(table) => panic!("read with {} columns", table.columns().count()),
    }
}

/// The place of `part`, which is a slice of `whole`.
fn place(whole: &[u8], part: &[u8]) -> usize {
    part.as_ptr().addr() - whole.as_ptr().addr()
}

/// Of the first batch: where its body begins in the file; where its nodes and its buffers are described.
fn described(bytes: &Bytes) -> (usize, usize, usize) {
    let file = File::open(bytes).unwrap();
    let (batch, body) = file.batches.first().unwrap();
    let nodes = batch.nodes().unwrap();
    (place(bytes, body.bytes(bytes)), place(bytes, nodes.bytes()), place(bytes, batch.buffers().unwrap().bytes()))
}

fn number(bytes: &[u8], at: usize) -> i64 {
    i64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn with(bytes: &Bytes, at: usize, number: i64) -> Bytes {
    let mut bytes = bytes.to_vec();
    bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
    bytes.into()
}

fn find(bytes: &[u8], text: &str) -> Vec<usize> {
    (0..bytes.len()).filter(|at| bytes[*at..].starts_with(text.as_bytes())).collect()
}

#[test]
fn a_file_cut_short_anywhere_is_refused() {
    for name in ["types.lz4", "categories", "none"] {
        let bytes = fixture(name);
        for end in 0..bytes.len() {
            assert!(Table::read(&bytes.slice(..end), MOST).is_err(), "{name} to {end}");
            assert!(Table::read(&bytes.slice(end + 1..), MOST).is_err(), "{name} from {}", end + 1);
        }
    }
    assert_eq!(problem(&b""[..]), Problem::NoFile);
    assert_eq!(problem(&b"ARROW1\0\0ARROW1"[..]).to_string(), "the table is no arrow ipc file");
    assert_eq!(problem([&b"ARROW1\0\0"[..], &[0; 4], b"ARROW1"].concat()), Problem::Broken("its footer does not read"));
    let long = [&b"ARROW1\0\0"[..], &u32::MAX.to_le_bytes(), b"ARROW1"].concat();
    assert_eq!(problem(long).to_string(), "the table cannot be read: its footer is longer than the file");
    let bytes = fixture("none");
    assert_eq!(problem([&bytes[..], b"\0"].concat()), Problem::NoFile);
    // The footer of the second places the blocks of the first; what lies between does not pass.
    let table = read(&[&bytes[..], &bytes[..]].concat().into());
    assert_eq!((table.keep(|_| true).unwrap().len(), table.cut(&all(&table), false).unwrap().0.len()), (506, 506));
}

#[test]
fn numbers_in_place_of_any_eight_bytes_make_nothing_panic() {
    for name in ["categories", "views", "pandas", "types.lz4"] {
        let bytes = fixture(name);
        // Of the large ones their schema and the description of their first batch.
        let end = if bytes.len() < 2000 { bytes.len() - 8 } else { described(&bytes).0 };
        for at in (0..end).step_by(4) {
            let came = number(&bytes, at);
            let near = [came.wrapping_add(1), came.wrapping_sub(1)];
            for number in [0, -1, i64::MAX, i64::MIN, 1 << 40, bytes.len() as i64].into_iter().chain(near) {
                if let Ok(table) = Table::read(&with(&bytes, at, number), MOST) {
                    let _ = (table.columns().count(), table.cut(&all(&table), true), table.keep(|_| true));
                }
            }
        }
    }
}

#[test]
fn the_footer_and_the_beginning_must_name_the_same_columns() {
    let bytes = written(&[batch(&[("user.name", strings(&["Ada"])), ("user.rank", numbers(&[Some(1)]))])], None);
    let places = find(&bytes, "user.rank");
    assert_eq!(places.len(), 2);
    for at in places {
        let mut other = bytes.to_vec();
        other[at + 5] = b'd';
        let said = "the table cannot be read: its footer names other columns than its beginning";
        assert_eq!(problem(other).to_string(), said);
    }
}

#[test]
fn a_name_stands_once() {
    let columns = vec![numbers(&[Some(1)]), numbers(&[Some(2)])];
    let field = |name: &str| arrow_schema::Field::new(name, DataType::Int64, true);
    let twice = vec![field("user.id"), field("user.id")];
    let top = RecordBatch::try_new(Arc::new(Schema::new(twice.clone())), columns.clone()).unwrap();
    let within: ArrayRef = Arc::new(StructArray::new(twice.into(), columns, None));
    for table in [top, batch(&[("user.rows", within)])] {
        let said = "column `user.id` of the table stands twice";
        assert_eq!(problem(written(&[table], None)).to_string(), said);
    }
}

#[test]
fn types_that_are_not_followed_are_refused() {
    use arrow_array::{LargeListViewArray, ListViewArray, RunArray, StringArray};
    let values = || strings(&["a"]);
    let item = || Arc::new(arrow_schema::Field::new("item", DataType::Utf8, true));
    let runs = RunArray::<Int32Type>::try_new(&vec![1].into(), &StringArray::from(vec!["a"])).unwrap();
    let refused: [ArrayRef; 4] = [
        Arc::new(ListViewArray::new(item(), vec![0].into(), vec![1].into(), values(), None)),
        Arc::new(LargeListViewArray::new(item(), vec![0].into(), vec![1].into(), values(), None)),
        Arc::new(runs),
        Arc::new(StructArray::new_empty_fields(1, None)),
    ];
    for column in refused {
        let said = "column `user.odd` of the table is of a type that is not followed";
        assert_eq!(problem(written(&[batch(&[("user.odd", column)])], None)).to_string(), said);
    }
}

#[test]
fn dictionaries_come_in_one_piece() {
    let said = "a dictionary is of no column or stands twice";
    assert_eq!(problem(fixture("categories.deltas")), Problem::Broken(said));
    let word: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::from_iter(["a"]));
    let many = |count: usize| {
        let names: Vec<_> = (0..count).map(|at| at.to_string()).collect();
        let columns: Vec<_> = names.iter().map(|name| (name.as_str(), Arc::clone(&word))).collect();
        written(&[batch(&columns)], None)
    };
    assert_eq!(read(&many(1000)).columns().count(), 1000);
    assert_eq!(problem(many(1001)), Problem::Broken("it has too many dictionaries"));
}

#[test]
fn a_buffer_that_would_unpack_to_too_much_is_refused_before_it_is() {
    for (name, codec) in [("types.lz4", CompressionType::LZ4_FRAME), ("types.zstd", CompressionType::ZSTD)] {
        let bytes = fixture(name);
        assert_eq!(read(&bytes).compression, Some(codec));
        let size = read(&bytes).size();
        assert!(Table::read(&bytes, size).is_ok());
        assert_eq!(Table::read(&bytes, size - 1).unwrap_err(), Problem::TooMuch(size - 1));
        let (body, _, buffers) = described(&bytes);
        // The first buffer that is not empty begins with the size that it says it unpacks to.
        let first = (0..).map(|at| buffers + 16 * at).find(|at| number(&bytes, at + 8) > 0).unwrap();
        let prefix = body + usize::try_from(number(&bytes, first)).unwrap();
        assert!(number(&bytes, prefix) > 0 || number(&bytes, prefix) == -1);
        for much in [i64::MAX, 1 << 40, MOST as i64 + 1] {
            assert_eq!(problem(with(&bytes, prefix, much)), Problem::TooMuch(MOST), "{name}");
        }
        assert_eq!(problem(with(&bytes, prefix, -2)), Problem::Broken("a batch has a negative size"), "{name}");
        let other = Problem::Broken("its columns do not hold what its schema says");
        assert_eq!(problem(with(&bytes, prefix, 10_000)), other, "{name}");

        let bomb = written(&[batch(&[("a", Arc::new(Int64Array::from(vec![0; MOST])))])], Some(codec));
        assert!(bomb.len() < MOST / 20, "{name}");
        assert_eq!(problem(bomb), Problem::TooMuch(MOST), "{name}");
        let part = batch(&[("a", Arc::new(Int64Array::from(vec![0; MOST / 64])))]);
        assert!(Table::read(&written(&vec![part.clone(); 7], Some(codec)), MOST).is_ok(), "{name}");
        assert_eq!(problem(written(&vec![part; 8], Some(codec))), Problem::TooMuch(MOST), "{name}");
    }
    // Batches of nothing.
    let empty = batch(&[("a", numbers(&[])), ("b", Arc::new(NullArray::new(0)))]);
    assert!(Table::read(&written(&vec![empty.clone(); 10], None), 10 * 2 * 64).is_ok());
    let refused = Table::read(&written(&vec![empty; 10], None), 10 * 2 * 64 - 1);
    assert_eq!(refused.unwrap_err(), Problem::TooMuch(10 * 2 * 64 - 1));
    let said = "the table unpacks to more than 1048576 bytes or rows";
    let rows = batch(&[("a", Arc::new(NullArray::new(MOST + 1)))]);
    assert_eq!(problem(written(&[rows], None)).to_string(), said);
    let rows = batch(&[("a", Arc::new(NullArray::new(MOST / 2 + 1)))]);
    assert_eq!(problem(written(&vec![rows; 2], None)).to_string(), said);
}

#[test]
fn buffers_lie_within_their_batch_one_behind_the_other() {
    let bytes = written(&[batch(&[("a", numbers(&[Some(1)])), ("b", numbers(&[Some(2)]))])], None);
    let (body, nodes, buffers) = described(&bytes);
    // Each column: an empty validity, then a value; those of `a` and of `b`.
    let (a, b) = (buffers + 16, buffers + 48);
    assert_eq!((number(&bytes, a), number(&bytes, a + 8), number(&bytes, b + 8)), (0, 8, 8));
    assert_eq!(number(&bytes, body + usize::try_from(number(&bytes, b)).unwrap()), 2);

    let beyond = Problem::Broken("a buffer lies outside of its batch");
    for number in [-1, i64::MIN, i64::MAX, 1 << 20] {
        assert_eq!(problem(with(&bytes, b, number)), beyond);
        assert_eq!(problem(with(&bytes, b + 8, number)), beyond);
    }
    assert_eq!(problem(with(&bytes, b, 0)), Problem::Broken("the buffers of a batch overlap"));
    let other = Problem::Broken("its columns do not hold what its schema says");
    assert_eq!(problem(with(&bytes, b + 8, 0)), other);
    assert_eq!(problem(with(&bytes, b + 8, 7)), Problem::Broken("a buffer ends within a value"));
    assert_eq!(problem(with(&bytes, nodes, 2)), other);
    assert_eq!(problem(with(&bytes, nodes, -1)), Problem::Broken("a batch has a negative size"));
    assert_eq!(problem(with(&bytes, nodes, i64::MAX)), Problem::TooMuch(MOST));
    // More nulls than rows.
    assert_eq!(problem(with(&bytes, nodes + 8, 2)), Problem::TooMuch(1));
}

#[test]
fn bytes_between_the_buffers_do_not_pass() {
    let bytes = written(&[batch(&[("a", numbers(&[Some(1)])), ("b", numbers(&[Some(2)]))])], None);
    let (body, _, buffers) = described(&bytes);
    let a_ends = body + 8;
    assert!(body + usize::try_from(number(&bytes, buffers + 48)).unwrap() > a_ends + 6);
    let mut hides = bytes.to_vec();
    hides[a_ends..a_ends + 6].copy_from_slice(b"secret");
    // Behind the last block there is nothing but the end of the stream.
    let mut hides_at_the_end = bytes.to_vec();
    let end = *find(&bytes, "\u{0}\u{0}\u{0}\u{0}")
        .iter()
        .find(|at| bytes[..**at].ends_with(&[0xff; 4]) && File::open(&with(&bytes, **at, number(&bytes, **at))).is_ok())
        .unwrap();
    hides_at_the_end[end..end + 4].copy_from_slice(b"hush");
    for (bytes, secret) in [(Bytes::from(hides), "secret"), (Bytes::from(hides_at_the_end), "hush")] {
        assert!(holds(&bytes, secret));
        let table = read(&bytes);
        let (passes, dropped) = table.cut(&all(&table), false).unwrap();
        assert!(dropped == 0 && !holds(&passes, secret));
        assert_eq!(arrow(&passes), arrow(&bytes));
    }
}

#[test]
fn compressed_bytes_are_one_frame_or_do_not_pass() {
    for (name, codec) in [("types.lz4", CompressionType::LZ4_FRAME), ("types.zstd", CompressionType::ZSTD)] {
        let bytes = fixture(name);
        let (body, _, buffers) = described(&bytes);
        let mut seen = 0;
        for at in (0..60).map(|at| buffers + 16 * at) {
            let start = body + usize::try_from(number(&bytes, at)).unwrap();
            let length = usize::try_from(number(&bytes, at + 8)).unwrap();
            if length == 0 || number(&bytes, start) == -1 {
                continue;
            }
            seen += 1;
            let packed = &bytes[start + 8..start + length];
            assert!(frame::is_one(codec, packed), "{name}");
            assert!(!frame::is_one(codec, &packed[..packed.len() - 1]), "{name}");
            assert!(!frame::is_one(codec, &[packed, b"\0"].concat()), "{name}");
            assert!(!frame::is_one(codec, &[packed, packed].concat()), "{name}");
        }
        assert!(seen > 20, "{name}: {seen}");
        for end in 0..12 {
            assert!(!frame::is_one(codec, &bytes[..end]), "{name}");
        }
    }
}

#[test]
fn items_that_no_row_has_do_not_pass() {
    use arrow_array::{LargeListArray, ListArray, MapArray};
    use arrow_buffer::OffsetBuffer;
    let words = || strings(&["secret", "b", "c"]);
    let item = |data_type: &DataType| Arc::new(arrow_schema::Field::new("item", data_type.clone(), true));
    let pairs = StructArray::from(RecordBatch::try_from_iter([("key", words()), ("value", words())]).unwrap());
    let entries = Arc::new(arrow_schema::Field::new("entries", pairs.data_type().clone(), false));
    let rows = || OffsetBuffer::from_lengths([1, 1, 1]);
    let columns: [ArrayRef; 3] = [
        Arc::new(ListArray::new(item(&DataType::Utf8), rows(), words(), None)),
        Arc::new(LargeListArray::new(item(&DataType::Utf8), OffsetBuffer::from_lengths([1, 1, 1]), words(), None)),
        Arc::new(MapArray::new(entries, rows(), pairs, None, false)),
    ];
    for column in columns {
        let bytes = written(&[batch(&[("a", column)])], None);
        assert!(holds(&bytes, "secret"));
        // The first row has no items, since it begins where the second does.
        let (body, _, buffers) = described(&bytes);
        let mut hides = bytes.to_vec();
        hides[body + usize::try_from(number(&bytes, buffers + 16)).unwrap()] = 1;
        let table = read(&hides.clone().into());
        for passes in [table.cut(&all(&table), false).unwrap().0, table.keep(|_| true).unwrap()] {
            assert!(!holds(&passes, "secret"));
            assert_eq!(arrow(&passes), arrow(&hides));
        }
    }
}

#[test]
fn bytes_behind_a_frame_do_not_pass() {
    let column = Arc::new(Int64Array::from(vec![7; 500]));
    let bytes = written(&[batch(&[("a", column)])], Some(CompressionType::LZ4_FRAME));
    let (body, _, buffers) = described(&bytes);
    let length = number(&bytes, buffers + 16 + 8);
    let end = body + usize::try_from(number(&bytes, buffers + 16) + length).unwrap();
    assert_eq!(bytes[end..end + 6], [0; 6]);
    let mut hides = with(&bytes, buffers + 16 + 8, length + 6).to_vec();
    hides[end..end + 6].copy_from_slice(b"secret");
    // arrow reads the frame and looks no further.
    let table = read(&hides.into());
    let (passes, dropped) = table.cut(&all(&table), false).unwrap();
    assert!(dropped == 0 && !holds(&passes, "secret"));
    assert_eq!(arrow(&passes), arrow(&bytes));
}

#[test]
fn metadata_that_unfolds_is_refused_before_it_does() {
    use arrow_ipc as ipc;
    // Each struct has the one below it a hundred times over: a hundred million columns in a few kilobytes.
    let mut builder = flatbuffers::FlatBufferBuilder::new();
    let name = builder.create_string(&"n".repeat(1000));
    let null = ipc::Null::create(&mut builder, &ipc::NullArgs {}).as_union_value();
    let leaf = ipc::FieldArgs { name: Some(name), type_type: ipc::Type::Null, type_: Some(null), ..Default::default() };
    let mut field = ipc::Field::create(&mut builder, &leaf);
    for _ in 0..4 {
        let children = Some(builder.create_vector(&vec![field; 100]));
        let type_ = Some(ipc::Struct_::create(&mut builder, &ipc::Struct_Args {}).as_union_value());
        let args = ipc::FieldArgs { name: Some(name), type_type: ipc::Type::Struct_, type_, children, ..leaf };
        field = ipc::Field::create(&mut builder, &args);
    }
    let fields = Some(builder.create_vector(&[field]));
    let schema = Some(ipc::Schema::create(&mut builder, &ipc::SchemaArgs { fields, ..Default::default() }));
    let blocks = Some(builder.create_vector::<ipc::Block>(&[]));
    let (version, record_batches) = (ipc::MetadataVersion::V5, blocks);
    let args = ipc::FooterArgs { version, schema, recordBatches: record_batches, ..Default::default() };
    let footer = ipc::Footer::create(&mut builder, &args);
    builder.finish(footer, None);
    let footer = builder.finished_data();
    assert!(footer.len() < 4000);
    let length = u32::try_from(footer.len()).unwrap().to_le_bytes();
    let bytes = [&b"ARROW1\0\0"[..], footer, &length, b"ARROW1"].concat();
    assert_eq!(problem(bytes), Problem::Broken("its footer does not read"));
}

#[test]
fn what_pandas_takes_for_missing_is_missing_in_a_dictionary_and_among_times_too() {
    use arrow_array::types::Int8Type;
    use arrow_array::{DurationSecondArray, Float64Array, Int8Array, TimestampNanosecondArray};
    let dictionary = |values: Vec<f64>| -> ArrayRef {
        let keys = Int8Array::from(vec![0, 1]);
        Arc::new(DictionaryArray::<Int8Type>::try_new(keys, Arc::new(Float64Array::from(values))).unwrap())
    };
    let table = read(&written(
        &[batch(&[
            ("nan", dictionary(vec![1.0, f64::NAN])),
            ("numbers", dictionary(vec![1.0, 2.0])),
            ("nat", Arc::new(TimestampNanosecondArray::from(vec![1, i64::MIN]))),
            ("times", Arc::new(TimestampNanosecondArray::from(vec![1, i64::MIN + 1]))),
            ("no_span", Arc::new(DurationSecondArray::from(vec![i64::MIN, 1]))),
            ("spans", Arc::new(DurationSecondArray::from(vec![0, 1]))),
        ])],
        None,
    ));
    let missing: Vec<&str> = table.columns().filter(|(_, missing)| *missing).map(|(name, _)| name).collect();
    assert_eq!(missing, ["nan", "nat", "no_span"]);
}
