use std::io::Cursor;

use arrow_array::types::Int32Type;
use arrow_array::{DictionaryArray, Int64Array, NullArray, StringArray, StructArray};
use arrow_ipc::reader::FileReader;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions};

use super::*;

mod hostile;
mod random;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/chalk/feather/");
const MOST: usize = 1 << 20;

/// Written by pyarrow; tables.py beside them says how.
fn fixture(name: &str) -> Bytes {
    Bytes::from(std::fs::read(format!("{FOLDER}{name}.arrow")).unwrap())
}

fn read(bytes: &Bytes) -> Table {
    Table::read(bytes, MOST).unwrap()
}

fn fields(of: &[(&str, Field)]) -> query::Fields {
    of.iter().map(|(name, field)| ((*name).to_owned(), field.clone())).collect()
}

/// All columns of a table.
fn all(table: &Table) -> query::Fields {
    table.columns().map(|(name, _)| (name.to_owned(), Field::Value)).collect()
}

/// What another reader makes of a file: all batches as one.
fn arrow(bytes: &[u8]) -> RecordBatch {
    let reader = FileReader::try_new(Cursor::new(bytes), None).unwrap();
    let (schema, batches) = (reader.schema(), reader.collect::<Result<Vec<_>, _>>().unwrap());
    arrow_select::concat::concat_batches(&schema, &batches).unwrap()
}

fn names(batch: &RecordBatch) -> Vec<String> {
    batch.schema().fields().iter().map(|field| field.name().clone()).collect()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// A file by arrow's own writer.
fn written(batches: &[RecordBatch], compression: Option<CompressionType>) -> Bytes {
    let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
    let mut writer = FileWriter::try_new_with_options(Vec::new(), &batches[0].schema(), options).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.into_inner().unwrap().into()
}

fn batch(columns: &[(&str, ArrayRef)]) -> RecordBatch {
    let fields = columns.iter().map(|(name, column)| (*name, Arc::clone(column), true));
    RecordBatch::try_from_iter_with_nullable(fields).unwrap()
}

fn strings(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn numbers(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

#[test]
fn columns_say_whether_any_row_of_any_batch_is_null() {
    for name in ["types.plain", "types.lz4", "types.zstd"] {
        let table = read(&fixture(name));
        assert_eq!(table.rows(), 60, "{name}");
        assert_eq!(table.columns().count(), 26, "{name}");
        assert!(table.columns().all(|(_, null)| null), "{name}");
    }
    let nulls = |bytes: &Bytes| read(bytes).columns().map(|(name, null)| (name.to_owned(), null)).collect::<Vec<_>>();
    let said = [("user.colour".to_owned(), true), ("user.id".to_owned(), false)];
    assert_eq!(nulls(&fixture("categories")), said);

    let (full, holed) = (numbers(&[Some(1), Some(2)]), numbers(&[Some(3), None]));
    let first = batch(&[("a", Arc::clone(&full)), ("b", Arc::clone(&full))]);
    let file = written(&[first, batch(&[("a", holed), ("b", full)])], None);
    assert_eq!(nulls(&file), [("a".to_owned(), true), ("b".to_owned(), false)]);

    let keys = arrow_array::Int32Array::from(vec![0, 1]);
    let values = Arc::new(StringArray::from(vec![Some("x"), None]));
    let in_values: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::try_new(keys, values).unwrap());
    let file = written(&[batch(&[("a", in_values)])], None);
    assert_eq!(nulls(&file), [("a".to_owned(), true)]);

    let whole: ArrayRef = Arc::new(arrow_array::Float64Array::from(vec![1.0, f64::INFINITY]));
    let no_number: ArrayRef = Arc::new(arrow_array::Float64Array::from(vec![1.0, f64::NAN]));
    let small: ArrayRef = Arc::new(arrow_array::Float32Array::from(vec![f32::NAN, 1.0]));
    let file = written(&[batch(&[("a", whole), ("b", no_number), ("c", small)])], None);
    assert_eq!(nulls(&file), [("a".to_owned(), false), ("b".to_owned(), true), ("c".to_owned(), true)]);

    let none = written(&[batch(&[("a", Arc::new(NullArray::new(0)))])], None);
    assert_eq!(nulls(&none), [("a".to_owned(), true)]);
}

#[test]
fn an_answer_of_which_nothing_is_cut_passes_as_it_came() {
    for name in ["types.plain", "types.lz4", "types.zstd", "pandas", "none"] {
        let bytes = fixture(name);
        let table = read(&bytes);
        assert_eq!(table.cut(&all(&table), false), Ok((bytes.clone(), 0)), "{name}");
        // Wherever it lies in memory.
        for at in 1..8 {
            let moved = Bytes::from([&[0; 8][..at], &bytes].concat()).slice(at..);
            assert_eq!(read(&moved).batches, table.batches, "{name}");
        }
    }
}

#[test]
fn what_no_column_shows_does_not_pass() {
    // The rest of a larger table, values of a dictionary, views into a buffer.
    let hidden = [
        ("sliced", "secret 12"),
        ("sliced.head", "secret 3"),
        ("categories.unused", "never shown"),
        ("categories", "nothing of the kind"),
        ("views", "nothing of the kind"),
    ];
    for (name, secret) in hidden {
        let bytes = fixture(name);
        let table = read(&bytes);
        let (passes, dropped) = table.cut(&all(&table), false).unwrap();
        assert_ne!(passes, bytes, "{name}");
        assert_eq!(dropped, 0, "{name}");
        assert_eq!(arrow(&passes), arrow(&bytes), "{name}");
        assert!(!holds(&passes, secret), "{name}");
        let again = read(&passes);
        assert!(name == "views" || again.cut(&all(&again), false) == Ok((passes.clone(), 0)), "{name}");
    }
    assert!(holds(&fixture("sliced"), "secret 12") && holds(&fixture("categories.unused"), "never shown"));
}

#[test]
fn columns_are_cut_and_what_is_left_is_equal() {
    for name in ["types.plain", "types.lz4", "types.zstd"] {
        let bytes = fixture(name);
        let came = arrow(&bytes);
        for keep in names(&came) {
            let (passes, dropped) = read(&bytes).cut(&fields(&[(&keep, Field::Value)]), false).unwrap();
            let left = arrow(&passes);
            assert_eq!((names(&left), dropped), (vec![keep.clone()], 25), "{name}");
            assert_eq!(left.column(0), came.column_by_name(&keep).unwrap(), "{name} {keep}");
            let again = read(&passes);
            assert_eq!(again.compression, read(&bytes).compression, "{name}");
            assert_eq!(again.cut(&all(&again), false), Ok((passes, 0)), "{name} {keep}");
        }
    }
}

#[test]
fn rows_of_a_has_many_are_cut_to_their_columns() {
    let columns = Field::Rows(fields(&[("transaction.id", Field::Value)]));
    let bytes = fixture("types.plain");
    for name in ["user.transactions", "user.grid", "struct"] {
        let (passes, dropped) = read(&bytes).cut(&fields(&[(name, columns.clone())]), false).unwrap();
        assert_eq!(dropped, 25 + 2);
        assert!(!holds(&passes, "transaction.card") && !holds(&passes, "card 1"), "{name}");
        let (left, came) = (arrow(&passes), arrow(&bytes));
        let text = |batch: &RecordBatch| format!("{:?}", ids(batch.column_by_name(name).unwrap()));
        assert_eq!(text(&left), text(&came), "{name}");
        let nulls = |batch: &RecordBatch| batch.column_by_name(name).unwrap().logical_nulls();
        assert_eq!(nulls(&left), nulls(&came), "{name}");
        assert!(nulls(&left).is_some(), "{name}");
    }
    // Of a map, a list of numbers and a number nothing is known; and of a struct with none of the columns.
    let none = Field::Rows(fields(&[("key", Field::Value)]));
    for name in ["map", "list", "i64", "string", "struct", "user.transactions"] {
        let (passes, dropped) = read(&bytes).cut(&fields(&[(name, none.clone())]), true).unwrap();
        assert_eq!((names(&arrow(&passes)), dropped, read(&passes).rows()), (vec![], 26, 60), "{name}");
    }
}

/// The values of `transaction.id`, with how many there are in each row.
fn ids(array: &ArrayRef) -> (Vec<String>, ArrayRef) {
    use arrow_array::cast::AsArray;
    match array.data_type() {
        DataType::Struct(_) => (vec![], Arc::clone(array.as_struct().column_by_name("transaction.id").unwrap())),
        DataType::List(_) => {
            let (mut lengths, ids) = ids(array.as_list::<i32>().values());
            lengths.push(format!("{:?}", array.as_list::<i32>().offsets()));
            (lengths, ids)
        }
        _ => {
            let (mut lengths, ids) = ids(array.as_list::<i64>().values());
            lengths.push(format!("{:?}", array.as_list::<i64>().offsets()));
            (lengths, ids)
        }
    }
}

#[test]
fn rows_within_rows_are_cut_too() {
    let id: ArrayRef = numbers(&[Some(1)]);
    let inner = StructArray::from(batch(&[("a.id", Arc::clone(&id)), ("a.ssn", strings(&["secret"]))]));
    let outer = StructArray::from(batch(&[("b.a", Arc::new(inner)), ("b.id", id)]));
    let bytes = written(&[batch(&[("user.bs", Arc::new(outer))])], None);
    let a = Field::Rows(fields(&[("a.id", Field::Value)]));
    let b = Field::Rows(fields(&[("b.a", a), ("b.id", Field::Value)]));
    let (passes, dropped) = read(&bytes).cut(&fields(&[("user.bs", b)]), false).unwrap();
    assert_eq!(dropped, 1);
    assert!(!holds(&passes, "secret") && !holds(&passes, "a.ssn"));
    let schema = arrow(&passes).schema();
    assert_eq!(schema.field(0).data_type().to_string(), r#"Struct("b.a": Struct("a.id": Int64), "b.id": Int64)"#);
}

#[test]
fn the_primary_key_passes_only_where_it_may() {
    let column = || numbers(&[Some(7)]);
    let bytes = written(&[batch(&[("__id__", column()), ("user.id", column()), ("__index__", column())])], None);
    let cut = |names_of: &[&str], key| {
        let permitted: Vec<_> = names_of.iter().map(|name| (*name, Field::Value)).collect();
        let (passes, dropped) = read(&bytes).cut(&fields(&permitted), key).unwrap();
        (names(&arrow(&passes)), dropped)
    };
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(cut(&["user.id"], false), (owned(&["user.id"]), 2));
    assert_eq!(cut(&["user.id"], true), (owned(&["__id__", "user.id", "__index__"]), 0));
    assert_eq!(cut(&["__id__"], false), (owned(&["__id__"]), 2));
    assert_eq!(cut(&[], false), (owned(&[]), 3));
}

#[test]
fn a_request_is_written_anew_with_the_columns_that_are_kept() {
    for name in ["types.plain", "types.lz4", "types.zstd", "categories", "categories.unused", "views", "pandas"] {
        let bytes = fixture(name);
        let came = arrow(&bytes);
        let kept = arrow(&read(&bytes).keep(|_| true).unwrap());
        assert_eq!(kept.columns(), came.columns(), "{name}");
        assert!(kept.schema().metadata().is_empty(), "{name}");
        let none = read(&bytes).keep(|_| false).unwrap();
        assert_eq!((read(&none).rows(), read(&none).columns().count()), (came.num_rows(), 0), "{name}");
    }
    let one = read(&fixture("pandas")).keep(|name| name == "user.name").unwrap();
    assert_eq!(names(&arrow(&one)), ["user.name"]);
    assert!(!holds(&one, "user.ssn") && !holds(&one, "000-00-0000"));
}

#[test]
fn metadata_passes_only_where_its_keys_are_known_and_nothing_is_cut() {
    let column = batch(&[("a", numbers(&[Some(1)]))]);
    let with = |schema: Schema| RecordBatch::try_new(Arc::new(schema), column.columns().to_vec()).unwrap();
    let schema =
        |key: &str| Schema::clone(&column.schema()).with_metadata(HashMap::from([(key.into(), "hush".into())]));
    let field = |key: &str| {
        let field = column.schema().field(0).clone();
        Schema::new(vec![field.with_metadata(HashMap::from([(key.to_owned(), "hush".to_owned())]))])
    };
    let permitted = fields(&[("a", Field::Value)]);
    for (schema, passes) in [
        (schema("pandas"), true),
        (schema("other"), false),
        (field("ARROW:extension:name"), true),
        (field("ARROW:extension:metadata"), true),
        (field("other"), false),
    ] {
        let bytes = written(&[with(schema)], None);
        let (out, _) = read(&bytes).cut(&permitted, false).unwrap();
        assert_eq!((out == bytes, holds(&out, "hush")), (passes, passes));
        assert!(!holds(&read(&bytes).keep(|_| true).unwrap(), "hush"));
    }
    let mut footer = FileWriter::try_new(Vec::new(), &column.schema()).unwrap();
    footer.write_metadata("key", "hush");
    footer.write(&column).unwrap();
    let bytes = Bytes::from(footer.into_inner().unwrap());
    assert!(holds(&bytes, "hush") && !holds(&read(&bytes).cut(&permitted, false).unwrap().0, "hush"));
    // The type that an extension gives to a column is kept with it.
    let extension = [with(field("ARROW:extension:name")), with(field("ARROW:extension:name"))];
    let two = RecordBatch::try_from_iter([("b", numbers(&[Some(2)]))]).unwrap();
    let both = Schema::new(vec![extension[0].schema().field(0).clone(), two.schema().field(0).clone()]);
    let both = RecordBatch::try_new(Arc::new(both), vec![Arc::clone(column.column(0)), Arc::clone(two.column(0))]);
    let (out, dropped) = read(&written(&[both.unwrap()], None)).cut(&permitted, false).unwrap();
    assert_eq!((dropped, holds(&out, "ARROW:extension:name")), (1, true));
}
