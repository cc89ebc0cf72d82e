//! Random texts, and random bytes, held against another parser.

use super::*;

/// Pieces that strings of a text are made of: what needs an escape, and what looks like structure.
fn arb_string() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec!["\\", "\"", "\\\"", "[", "]", "{", "}", ",", ":", "\n", "\u{0}", "PRESENT", "/"]),
        2 => prop::sample::select(vec!["é", "😀", "\u{2028}", "x", " ", "u0061", "0123456789abcdef"]),
    ];
    prop_oneof![prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat()), any::<String>()]
}

fn arb_tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        Just(Tree::Null),
        any::<bool>().prop_map(Tree::from),
        any::<i64>().prop_map(Tree::from),
        any::<f64>().prop_map(Tree::from),
        arb_string().prop_map(Tree::from),
        (arb_string(), 1..20_usize).prop_map(|(text, count)| Tree::from(vec![text; count])),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Tree::from),
            arb_members(inner, 5).prop_map(Tree::from),
        ]
    })
}

fn arb_members(
    inner: impl Strategy<Value = Tree>,
    most: usize,
) -> impl Strategy<Value = serde_json::Map<String, Tree>> {
    prop::collection::vec((arb_string(), inner), 0..most).prop_map(|members| members.into_iter().collect())
}

/// An object, printed close, with white space, or with an escape for each letter of its strings.
fn arb_text() -> impl Strategy<Value = String> {
    (arb_members(arb_tree(), 2 * FEW_KEYS), 0..3).prop_map(|(members, style)| match style {
        0 => serde_json::to_string(&members).unwrap(),
        1 => serde_json::to_string_pretty(&members).unwrap(),
        _ => {
            let text = serde_json::to_string(&members).unwrap();
            let mut before = ' ';
            let mut within = false;
            let mut escape = |char: char| {
                let bare = before != '\\';
                before = if char == '\\' && !bare { ' ' } else { char };
                within ^= char == '"' && bare;
                if within && bare && char.is_ascii_uppercase() {
                    format!("\\u{:04X}", u32::from(char))
                } else {
                    char.into()
                }
            };
            text.chars().map(&mut escape).collect()
        }
    })
}

proptest! {
    #[test]
    fn printed_texts_are_read_and_cut_into_the_same_values(text in arb_text()) {
        let tree = serde_json::from_str(&text).unwrap();
        assert_members(text.as_bytes(), object(text.as_bytes()).unwrap(), &tree);
    }

    #[test]
    fn mutated_texts_are_judged_as_by_another_parser(
        text in arb_text(),
        mutations in prop::collection::vec((any::<prop::sample::Index>(), 0..4, any::<u8>(), 0..16_usize), 1..4),
    ) {
        let mut text = text.into_bytes();
        for (index, what, byte, alike) in mutations {
            let at = index.index(text.len());
            let byte = b"\"\\[]{},:0-.eE u\n".get(alike).copied().filter(|_| byte > 40).unwrap_or(byte);
            match what {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                2 if text.len() > 1 => drop(text.remove(at)),
                _ => {
                    let end = text.len().min(at + alike);
                    let twice = text[at..end].to_vec();
                    drop(text.splice(at..at, twice));
                }
            }
        }
        agrees_with_oracle(&text);
    }

    #[test]
    fn any_bytes_are_judged_as_by_another_parser(text in "[\\[\\]{}\",:\\\\ua01e.\\- ]{0,40}") {
        agrees_with_oracle(text.as_bytes());
        agrees_with_oracle(format!("{{\"a\":{text}}}").as_bytes());
    }

    #[test]
    fn no_value_makes_a_cut_panic_or_go_on_for_ever(
        text in "[\\[\\]{}\",:\\\\ua01é ]{0,80}",
        start in 0..90_usize,
        end in prop_oneof![0..90_usize, Just(usize::MAX)],
    ) {
        let text = text.as_bytes();
        for span in [Span { start, end }, Span { start: usize::MAX, end }, Span { start: 0, end: text.len() }] {
            let _ = string(text, Value { kind: Kind::String, span });
            if let Ok(elements) = iter_elements(text, Value { kind: Kind::Array, span }) {
                prop_assert!(elements.count() <= text.len());
            }
            if let Ok(members) = iter_members(text, Value { kind: Kind::Object, span }) {
                prop_assert!(members.count() <= text.len());
            }
        }
    }

    #[test]
    fn written_strings_read_back(plain in arb_string()) {
        let mut text = b"{\"a\":".to_vec();
        write_string(&mut text, &plain);
        prop_assert_eq!(&text[5..], serde_json::to_vec(&plain).unwrap());
        text.push(b'}');
        let value = object(&text).unwrap()[0].value;
        prop_assert_eq!(string(&text, value).unwrap(), plain);
    }
}
