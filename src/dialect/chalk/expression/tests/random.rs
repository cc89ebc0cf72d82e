//! Random expressions, and those of chalkpy with bytes turned over.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// An expression in which each attribute of a path has a name of its own.
fn tree() -> impl Strategy<Value = Bytes> {
    let column = |row: &'static str| (0_u32..1_000_000).prop_map(move |number| of(&name(row), &format!("w{number}")));
    let leaf = prop_oneof![
        20 => column("_"),
        2 => column("__"),
        4 => Just(text("t")),
        4 => Just(text("1h")),
        1 => Just(name("_")),
    ];
    let functions = ["upper", "coalesce", "select", ">", ">", "array_agg", "max_by", "call_resolver"];
    let methods = ["sum", "max", "count", "approx_top_k", "w0", "where"];
    leaf.prop_recursive(6, 40, 3, move |inner| {
        let several = proptest::collection::vec(inner.clone(), 1..3);
        prop_oneof![
            4 => (inner.clone(), 0_u32..1_000_000).prop_map(|(parent, number)| of(&parent, &format!("w{number}"))),
            2 => (inner.clone(), several.clone()).prop_map(|(parent, keys)| at(&parent, &keys)),
            1 => (proptest::sample::select(functions.to_vec()), several.clone())
                .prop_map(|(name, args)| function(name, &args)),
            4 => (inner.clone(), proptest::sample::select(methods.to_vec()), proptest::option::of(inner.clone()))
                .prop_map(|(parent, word, args)| method(&parent, word, &Vec::from_iter(args))),
            1 => several.prop_map(|operands| operation("+", &operands)),
            1 => inner.prop_map(|value| named("like", "pattern", &value)),
        ]
    })
}

/// Every name that begins with `w` and a digit, wherever it stands in the bytes.
fn words(bytes: &[u8]) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(bytes);
    let digits = |rest: &str| rest.chars().take_while(char::is_ascii_digit).collect::<String>();
    text.split('w').skip(1).map(digits).filter(|digits| !digits.is_empty()).map(|digits| format!("w{digits}")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn no_name_gets_lost(tree in tree(), namespace in "(user)?") {
        if let Ok(expression) = read(&message("x", &namespace, &tree)) {
            let segments = expression.reads.iter().flat_map(|read| &read.path.segments);
            let read: BTreeSet<String> = segments.map(|segment| segment.name.clone()).collect();
            for word in words(&tree) {
                prop_assert!(read.contains(&word), "{word} of {:?}", reads(&expression));
            }
            prop_assert_eq!(super::read(&expression.encoded).unwrap(), expression);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(
        which in any::<Index>(),
        changes in proptest::collection::vec((any::<Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = chalkpy().into_values().nth(which.index(42)).unwrap();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(expression) = read(&bytes) {
            prop_assert_eq!(read(&expression.encoded).unwrap(), expression);
        }
    }
}

#[test]
fn random_expressions_are_of_both_kinds() {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut read_ones = 0;
    for _ in 0..1000 {
        let tree = tree().new_tree(&mut runner).unwrap().current();
        read_ones += usize::from(read(&message("x", "user", &tree)).is_ok_and(|read| read.reads.len() > 1));
    }
    assert!((10..900).contains(&read_ones), "{read_ones}");
}
