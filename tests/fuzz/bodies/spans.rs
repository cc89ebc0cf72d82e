//! JSON texts: read where serde_json reads them, but for what two readers differ about, and cut into the same values.

use serde_json::Value as Tree;
use tagwarden::json::{self, JsonError, Kind, MAX_DEPTH, Value};

/// One run.
pub fn run(data: &[u8]) {
    let theirs = match serde_json::from_slice::<Tree>(data) {
        Ok(tree) if tree.is_array() || tree.is_object() => Ok(tree),
        Ok(_) => Err("no container".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    match (json::container(data), theirs) {
        (Ok(value), Ok(tree)) => same(data, value, &tree),
        // Nothing is computed from a number, so none is too large; one level more or less is nothing that two tell differently.
        (Ok(_), Err(why)) if why.contains("number out of range") || why.contains("recursion limit") => {}
        (Ok(_), Err(why)) => panic!("read, though {why}"),
        // The other reader drops one of the two.
        (Err(JsonError::DuplicateKey { .. }), Ok(tree)) => assert!(members(&tree) < colons(data)),
        (Err(JsonError::TooDeep { .. }), Ok(_)) => assert!(brackets(data) >= MAX_DEPTH),
        (Err(error), Ok(_)) => panic!("not read: {error}"),
        (Err(_), Err(_)) => {}
    }
}

fn same(text: &[u8], value: Value, tree: &Tree) {
    let span = value.span.of(text);
    match (value.kind, tree) {
        (Kind::Object, Tree::Object(members)) => {
            let ours = json::members(text, value).expect("an object");
            assert_eq!(ours.len(), members.len(), "no key stands twice");
            for member in ours {
                same(text, member.value, &members[&*member.key]);
            }
        }
        (Kind::Array, Tree::Array(elements)) => {
            let ours = json::elements(text, value).expect("an array");
            assert_eq!(ours.len(), elements.len());
            let counted = json::count(text, value).expect("an array");
            assert_eq!((counted.elements, counted.null), (elements.len(), elements.contains(&Tree::Null)));
            ours.into_iter().zip(elements).for_each(|(value, tree)| same(text, value, tree));
        }
        (Kind::String, Tree::String(said)) => {
            assert_eq!(json::string(text, value).expect("a string"), said.as_str());
            let mut written = Vec::new();
            json::write_string(&mut written, said);
            assert_eq!(&serde_json::from_slice::<Tree>(&written).expect("what was written"), tree);
        }
        (_, Tree::Object(_) | Tree::Array(_) | Tree::String(_)) => panic!("{:?} is {tree}", value.kind),
        _ => assert_eq!(&serde_json::from_slice::<Tree>(span).expect("a value by itself"), tree),
    }
}

fn members(tree: &Tree) -> usize {
    match tree {
        Tree::Object(map) => map.len() + map.values().map(members).sum::<usize>(),
        Tree::Array(list) => list.iter().map(members).sum(),
        _ => 0,
    }
}

fn outside_strings(text: &[u8], wanted: &[u8]) -> usize {
    let (mut count, mut within, mut escaped) = (0, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => within = !within,
            _ => count += usize::from(!within && wanted.contains(byte)),
        }
    }
    count
}

fn colons(text: &[u8]) -> usize {
    outside_strings(text, b":")
}

fn brackets(text: &[u8]) -> usize {
    outside_strings(text, b"[{")
}
