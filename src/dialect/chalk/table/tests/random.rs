//! Random tables cut at random, and files with random bytes in them.

use arrow_array::{BooleanArray, ListArray};
use arrow_buffer::OffsetBuffer;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// A column of so many rows; `kind` says of which type.
fn column(kind: u8, values: &[Option<i64>]) -> ArrayRef {
    let text = |value: &Option<i64>| value.map(|value| "x".repeat(value.rem_euclid(20) as usize) + &value.to_string());
    match kind {
        0 => Arc::new(Int64Array::from(values.to_vec())),
        1 => Arc::new(values.iter().map(text).collect::<StringArray>()),
        2 => Arc::new(values.iter().map(|value| value.map(|value| value % 2 == 0)).collect::<BooleanArray>()),
        3 => {
            let texts: Vec<_> = values.iter().map(text).collect();
            Arc::new(texts.iter().map(Option::as_deref).collect::<DictionaryArray<Int32Type>>())
        }
        4 => Arc::new(values.iter().map(text).collect::<arrow_array::StringViewArray>()),
        5 => Arc::new(NullArray::new(values.len())),
        _ => {
            let rows = StructArray::from(batch(&[("t.id", column(0, values)), ("t.text", column(1, values))]));
            let item = Arc::new(arrow_schema::Field::new("item", rows.data_type().clone(), true));
            // Each second row is empty, the others have two items.
            let lengths = (0..values.len()).map(|row| if row % 2 == 0 { 2.min(values.len() - row) } else { 0 });
            let offsets = OffsetBuffer::<i32>::from_lengths(lengths);
            Arc::new(ListArray::new(item, offsets, Arc::new(rows), None))
        }
    }
}

#[derive(Clone, Debug)]
struct Made {
    /// Of each column its type, and 0 to drop it, 1 to keep it, 2 to keep rows of one column.
    columns: Vec<(u8, u8)>,
    batches: Vec<Vec<Option<i64>>>,
    compression: Option<CompressionType>,
    slice: bool,
}

fn made() -> impl Strategy<Value = Made> {
    let values = vec(proptest::option::weighted(0.8, any::<i64>()), 0..40);
    let codec = prop_oneof![Just(None), Just(Some(CompressionType::LZ4_FRAME)), Just(Some(CompressionType::ZSTD))];
    (vec((0..7_u8, 0..3_u8), 1..6), vec(values, 1..4), codec, any::<bool>())
        .prop_map(|(columns, batches, compression, slice)| Made { columns, batches, compression, slice })
}

fn file(made: &Made) -> Bytes {
    let name = |at: usize| format!("c{at}");
    // arrow's writer takes one dictionary for all batches of a file.
    let one = made.columns.iter().any(|(kind, _)| *kind == 3);
    let batches = made.batches.iter().take(if one { 1 } else { usize::MAX }).map(|values| {
        let columns = made.columns.iter().enumerate().map(|(at, (kind, _))| (name(at), column(*kind, values), true));
        let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        let cut = if made.slice { batch.num_rows() / 3 } else { 0 };
        batch.slice(cut, batch.num_rows() - cut)
    });
    written(&batches.collect::<Vec<_>>(), made.compression)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_cut_table_holds_the_permitted_columns_and_their_values(made in made()) {
        let bytes = file(&made);
        let (table, came) = (read(&bytes), arrow(&bytes));
        let id = || Field::Rows(fields(&[("t.id", Field::Value)]));
        let permitted: query::Fields = made.columns.iter().enumerate().filter(|(_, (_, keep))| *keep > 0)
            .map(|(at, (_, keep))| (format!("c{at}"), if *keep == 1 { Field::Value } else { id() })).collect();
        let (passes, dropped) = table.cut(&permitted, false).unwrap();
        let left = arrow(&passes);
        let kept: Vec<_> = made.columns.iter().enumerate()
            .filter(|(_, (kind, keep))| *keep == 1 || *keep == 2 && *kind == 6).collect();
        prop_assert_eq!(names(&left), kept.iter().map(|(at, _)| format!("c{at}")).collect::<Vec<_>>());
        let within = kept.iter().filter(|(_, (_, keep))| *keep == 2).count();
        prop_assert_eq!(dropped, made.columns.len() - kept.len() + within);
        prop_assert_eq!(left.num_rows(), came.num_rows());
        for (at, (_, keep)) in kept {
            let name = format!("c{at}");
            let (left, came) = (left.column_by_name(&name).unwrap(), came.column_by_name(&name).unwrap());
            if *keep == 1 {
                prop_assert_eq!(left, came);
            } else {
                use arrow_array::cast::AsArray;
                let (left, came) = (left.as_list::<i32>(), came.as_list::<i32>());
                prop_assert_eq!(left.value_offsets(), came.value_offsets());
                let came_ids = came.values().as_struct().column_by_name("t.id").unwrap();
                prop_assert_eq!(left.values().as_struct().columns(), std::slice::from_ref(came_ids));
            }
        }
    }

    #[test]
    fn no_change_of_bytes_makes_a_reader_panic(
        which in 0..8_usize,
        changes in vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..6),
    ) {
        let names = ["types.plain", "types.lz4", "types.zstd", "categories", "categories.deltas", "views", "pandas", "none"];
        let mut bytes = fixture(names[which]).to_vec();
        for (at, value, how) in changes {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = value,
                1 => bytes[at] ^= 1 << (value % 8),
                // Where lengths, offsets and counts stand.
                2 => bytes.iter_mut().skip(at & !7).take(8).for_each(|byte| *byte = value),
                _ => bytes[at] = bytes[at].wrapping_add(1),
            }
        }
        if let Ok(table) = Table::read(&bytes.into(), MOST) {
            let _ = table.columns().count();
            let _ = table.cut(&all(&table), true);
            let _ = table.keep(|_| true);
        }
    }
}
