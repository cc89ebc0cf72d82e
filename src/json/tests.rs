use super::JsonError as E;
use super::reader::{FEW_KEYS, SHOWN_KEY_CHARS};
use super::*;
use proptest::prelude::*;
use serde_json::Value as Tree;

mod alike;
mod grammar;
mod random;
mod spans;

/// The error of a text that must have one.
#[track_caller]
fn refused(text: impl AsRef<[u8]>) -> E {
    let text = text.as_ref();
    match object(text) {
        Err(error) => error,
        Ok(_) => panic!("accepted: {}", text.escape_ascii()),
    }
}

/// What `object` must say of a text, told by another parser: it takes keys that stand twice, and drops one of them, so
/// that fewer members are left than there are colons outside of strings. None where it cannot tell.
fn oracle(text: &[u8]) -> Option<Result<Tree, String>> {
    let tree = match serde_json::from_slice::<Tree>(text) {
        Ok(tree) => tree,
        Err(error) if error.to_string().contains("number out of range") => return None,
        Err(error) => return Some(Err(error.to_string())),
    };
    if !tree.is_object() {
        return Some(Err("not an object".to_owned()));
    }
    let (mut colons, mut within, mut escaped) = (0, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => within = !within,
            b':' if !within => colons += 1,
            _ => {}
        }
    }
    Some(if colons == count_members(&tree) { Ok(tree) } else { Err("a key twice".to_owned()) })
}

fn count_members(tree: &Tree) -> usize {
    match tree {
        Tree::Object(map) => map.len() + map.values().map(count_members).sum::<usize>(),
        Tree::Array(list) => list.iter().map(count_members).sum(),
        _ => 0,
    }
}

/// [`container`] is as strict as [`object`], and no stricter, wherever a text begins.
#[track_caller]
fn reads_arrays_as_objects(text: &[u8]) {
    let started = text.trim_ascii_start().starts_with(b"{");
    if started || !text.trim_ascii_start().starts_with(b"[") {
        let expected = whole(text).map_err(|error| match error {
            E::Unexpected { byte, expected: "an object", at } => {
                E::Unexpected { byte, expected: "an object or an array", at }
            }
            E::Unterminated { expected: "an object", at } => E::Unterminated { expected: "an object or an array", at },
            error => error,
        });
        assert_eq!(container(text), expected, "{}", text.escape_ascii());
    }
    // The same as the only member of an object, and an element more; where what stands in it does not end it early.
    let array = [b"[", text, b"]"].concat();
    let held = [b"{\"a\":[", text, b"]}"].concat();
    match (container(&array), object(&held)) {
        (Ok(array), Ok(members)) => {
            assert_eq!(array.kind, Kind::Array);
            assert_eq!(array.span, Span { start: 0, end: text.len() + 2 });
            assert_eq!(members[0].value.span.end, array.span.end + 5);
        }
        (Err(_), Err(_)) => {}
        // `]},{"a":[` and the like: an object of several members, an array that goes on.
        (Err(E::Trailing { .. }), Ok(members)) => assert!(members.len() > 1, "{}", text.escape_ascii()),
        (ours, theirs) => panic!("{ours:?} but {theirs:?}: {}", text.escape_ascii()),
    }
}

#[track_caller]
fn agrees_with_oracle(text: &[u8]) {
    reads_arrays_as_objects(text);
    match (object(text), oracle(text)) {
        (_, None) => {}
        (Ok(members), Some(Ok(tree))) => assert_members(text, members, &tree),
        // The other parser may have found a later fault.
        (Err(E::DuplicateKey { .. }), Some(Err(_))) => {}
        (Err(_), Some(Err(why))) => assert_ne!(why, "a key twice", "{}", text.escape_ascii()),
        (ours, theirs) => panic!("{ours:?} but {theirs:?}: {}", text.escape_ascii()),
    }
}

/// Every span below `members`, parsed by itself, is the same part of `tree`.
#[track_caller]
fn assert_members(text: &[u8], members: Vec<Member<'_>>, tree: &Tree) {
    assert_eq!(members.len(), tree.as_object().unwrap().len());
    for Member { key, value } in members {
        assert_value(text, value, &tree[key.as_ref()]);
    }
}

#[track_caller]
fn assert_value(text: &[u8], value: Value, tree: &Tree) {
    let span = value.span.of(text);
    assert_eq!(&serde_json::from_slice::<Tree>(span).unwrap(), tree);
    assert_eq!(span.trim_ascii(), span);
    match (value.kind, tree) {
        (Kind::Object, Tree::Object(_)) => assert_members(text, members(text, value).unwrap(), tree),
        (Kind::Array, Tree::Array(trees)) => {
            let elements = elements(text, value).unwrap();
            let texts = elements.iter().map(|item| (item.kind == Kind::String).then(|| string(text, *item).unwrap()));
            assert!(iter_strings(text, value).unwrap().map(Result::unwrap).eq(texts));
            assert_eq!(elements.len(), trees.len());
            let null = elements.iter().any(|element| element.kind == Kind::Null);
            assert_eq!(count(text, value).unwrap(), Counted { elements: trees.len(), null }, "{}", text.escape_ascii());
            elements.into_iter().zip(trees).for_each(|(element, tree)| assert_value(text, element, tree));
        }
        (Kind::String, Tree::String(wanted)) => assert_eq!(string(text, value).unwrap(), wanted.as_str()),
        (Kind::Number, Tree::Number(_)) | (Kind::Null, Tree::Null) => {}
        (Kind::Bool(ours), Tree::Bool(theirs)) => assert_eq!(ours, *theirs),
        (kind, tree) => panic!("{kind:?} for {tree}"),
    }
}
