use super::*;

/// A length and what it is the length of.
fn with_length(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u64).to_be_bytes(), bytes].concat()
}

fn queries(parts: &[&[u8]]) -> Bytes {
    Bytes::from([QUERIES.to_vec(), parts.iter().flat_map(|part| with_length(part)).collect()].concat())
}

/// A container of these four JSON texts, each with what follows it.
fn container(parts: [(&str, &[u8]); 4]) -> Bytes {
    let parts = parts.iter().flat_map(|(json, bytes)| [with_length(json.as_bytes()), bytes.to_vec()].concat());
    Bytes::from([CONTAINER.to_vec(), parts.collect()].concat())
}

const NONE: (&str, &[u8]) = ("{}", b"");

fn why(bytes: impl Into<Bytes>) -> String {
    Container::read(&bytes.into()).unwrap_err().to_string()
}

#[test]
fn queries_are_read_without_copying_and_written_the_same() {
    let body = queries(&[b"{}", b"table", b"", b""]);
    let parts = read_queries(&body).unwrap();
    assert_eq!(parts.len(), 2);
    assert_eq!((&parts[0].header[..], &parts[0].table[..]), (&b"{}"[..], &b"table"[..]));
    assert_eq!(parts[0].table.as_ptr(), body[5 + 8 + 2 + 8..].as_ptr());
    assert_eq!(write_queries(parts.iter().map(|part| (&part.header, &part.table))), body);
    assert_eq!(write_queries([(b"h", "t")]), queries(&[b"h", b"t"]));
}

#[test]
fn queries_are_one_to_a_hundred_and_end_where_the_body_does() {
    let of = |count: usize| read_queries(&queries(&vec![&b"x"[..]; 2 * count])).map(|parts| parts.len());
    let refused = |message: &str| Err(Invalid(message.to_owned()));
    assert_eq!(of(0), refused("the body holds no query"));
    assert_eq!(of(100), Ok(100));
    assert_eq!(of(101), refused("the body holds more than 100 queries"));

    let body = queries(&[b"header", b"table", b"header", b"table"]);
    let one = body.len() - (8 + 6 + 8 + 5);
    for end in 0..body.len() {
        let read = read_queries(&body.slice(..end));
        assert_eq!(read.is_ok(), end == one, "{end}");
    }
    let read = |body: &[u8]| read_queries(&Bytes::copy_from_slice(body)).map(|parts| parts.len());
    assert_eq!(read(b"chal2"), refused("the body does not begin with `chal1`"));
    assert_eq!(read(&body[..one + 3]), refused("query 1 of the body breaks off in its header"));
    assert_eq!(read(&body[..body.len() - 1]), refused("query 1 of the body breaks off in its table"));
    assert_eq!(read(&[&body[..], b"\0"].concat()), refused("query 2 of the body breaks off in its header"));
    for length in [u64::MAX, u64::MAX - 7, u64::MAX / 2, 1 << 32] {
        let body = [QUERIES, &length.to_be_bytes(), b"header"].concat();
        assert_eq!(read(&body), refused("query 0 of the body breaks off in its header"));
        let body = [QUERIES, &with_length(b"{}"), &length.to_be_bytes(), b"table"].concat();
        assert_eq!(read(&body), refused("query 0 of the body breaks off in its table"));
    }
}

#[test]
fn a_container_is_read_and_written_the_same() {
    let inner = container([(r#"{"n": 1}"#, b""), NONE, NONE, NONE]);
    let lengths = format!(r#"{{"z": {}, "a": 31}}"#, inner.len());
    let empty = container([NONE, NONE, NONE, NONE]);
    assert_eq!(empty.len(), 23 + 4 * (8 + 2));
    let lengths = lengths.replace("31", &empty.len().to_string());
    let children = [&inner[..], &empty[..]].concat();
    let blobs = ("{\"\u{e9}\": 2, \"b\": 0, \"c\": 3}", &b"xyabc"[..]);
    let bytes = container([(r#"{"a": [1.50, "x"]}"#, b""), (r#"{"m": "{}"}"#, b""), blobs, (&lengths, &children)]);
    let read = Container::read(&bytes).unwrap();
    assert_eq!(read.attrs, r#"{"a": [1.50, "x"]}"#);
    assert_eq!(read.pydantic, r#"{"m": "{}"}"#);
    let of = |text: &'static [u8]| Bytes::from_static(text);
    assert_eq!(read.blobs, [("\u{e9}".to_owned(), of(b"xy")), ("b".to_owned(), of(b"")), ("c".to_owned(), of(b"abc"))]);
    assert_eq!(read.blob("c"), Some(&of(b"abc")));
    assert_eq!(read.children.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["z", "a"]);
    assert_eq!(read.child("z").unwrap().attrs, r#"{"n": 1}"#);
    assert_eq!(read.child("a"), Some(&Container::default()));
    assert_eq!((read.child("c"), read.blob("z")), (None, None));
    assert_eq!(read.write(), bytes);
}

#[test]
fn a_container_is_exact_to_its_last_byte() {
    let child = container([NONE, NONE, (r#"{"x": 1}"#, b"x"), NONE]);
    let lengths = format!(r#"{{"c": {}}}"#, child.len());
    let bytes = container([(r#"{"a": 1}"#, b""), NONE, (r#"{"b": 3}"#, b"abc"), (&lengths, &child)]);
    Container::read(&bytes).unwrap();
    for end in 0..bytes.len() {
        assert!(Container::read(&bytes.slice(..end)).is_err(), "{end}");
    }
    let behind = format!("the container goes on behind its end at byte {}", bytes.len());
    assert_eq!(why([&bytes[..], b"\0"].concat()), behind);
    assert_eq!(why(&b"CHALK_BYTE_TRANSMISSIO"[..]), "the container does not begin with `CHALK_BYTE_TRANSMISSION`");
    assert_eq!(why(CONTAINER), "the container breaks off in its list of attributes");
    for length in [u64::MAX, u64::MAX - 30, 1 << 40] {
        let bytes = [CONTAINER, &length.to_be_bytes(), b"{}"].concat();
        assert_eq!(why(bytes), "the container breaks off in its list of attributes");
    }
    // The bytes of one name must not reach into what follows.
    let longer = container([NONE, NONE, (r#"{"b": 11}"#, b"x"), NONE]);
    assert_eq!(why(longer), "the container breaks off in its list of containers");
    let shorter = container([NONE, NONE, (r#"{"b": 0}"#, b"x"), NONE]);
    assert_eq!(why(shorter), "the container breaks off in its list of containers");
    let child = container([NONE, NONE, NONE, ("{\"c\": 62}", &child[..62])]);
    assert_eq!(why(child), "the container breaks off in its list of containers");
}

#[test]
fn lengths_are_whole_numbers_within_the_container() {
    for length in ["-1", "1.0", "1e2", "-0", "\"1\"", "null", "[1]", "18446744073709551616"] {
        let bytes = container([NONE, NONE, (&format!(r#"{{"b": {length}}}"#), b""), NONE]);
        assert_eq!(why(bytes), "the length of `b` among the bytes is no whole number", "{length}");
    }
    for length in [u64::MAX, u64::MAX / 2, 100] {
        let bytes = container([NONE, NONE, (&format!(r#"{{"b": {length}}}"#), b""), NONE]);
        assert_eq!(why(bytes), "the length of `b` among the bytes goes beyond the container", "{length}");
    }
}

#[test]
fn names_stand_once_and_json_is_objects() {
    let twice = |json: &str| {
        let why = why(container([NONE, NONE, (json, b""), NONE]));
        assert_eq!(why, "the list of bytes of the container is no json object");
    };
    twice(r#"{"a": 0, "a": 0}"#);
    twice(r#"{"a": 0, "\u0061": 0}"#);
    twice("[]");
    twice(r#"{"a": 0"#);
    assert_eq!(
        why(container([("1", b""), NONE, NONE, NONE])),
        "the list of attributes of the container is no json object"
    );
    assert_eq!(
        why(container([NONE, ("null", b""), NONE, NONE])),
        "the pydantic part of the container is no json object"
    );
}

#[test]
fn containers_are_eight_levels_deep_at_most() {
    let nested = |levels: usize| {
        let mut bytes = container([NONE, NONE, NONE, NONE]);
        for _ in 1..levels {
            bytes = container([NONE, NONE, NONE, (&format!(r#"{{"c": {}}}"#, bytes.len()), &bytes)]);
        }
        bytes
    };
    let read = Container::read(&nested(8)).unwrap();
    assert_eq!(read.write(), nested(8));
    assert_eq!(why(nested(9)), "the container is deeper than 8 levels");
    assert_eq!(why(nested(2000)), "the container is deeper than 8 levels");
}

mod random {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            parts in proptest::collection::vec((any::<Vec<u8>>(), any::<Vec<u8>>()), 1..5),
            blobs in proptest::collection::btree_map(any::<String>(), any::<Vec<u8>>(), 0..5),
        ) {
            let body = Bytes::from(write_queries(parts.clone()));
            let read = read_queries(&body).unwrap();
            let read: Vec<_> = read.iter().map(|part| (part.header.to_vec(), part.table.to_vec())).collect();
            prop_assert_eq!(read, parts);

            let blobs: Vec<_> = blobs.into_iter().map(|(name, bytes)| (name, Bytes::from(bytes))).collect();
            let child = Container { blobs: blobs.clone(), ..Container::default() };
            let whole = Container { blobs, children: vec![("child".to_owned(), child)], ..Container::default() };
            prop_assert_eq!(Container::read(&Bytes::from(whole.write())).unwrap(), whole);
        }

        #[test]
        fn no_bytes_make_a_reader_panic(
            bytes in any::<Vec<u8>>(),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let _ = read_queries(&[QUERIES, &bytes].concat().into());
            let _ = Container::read(&[CONTAINER, &bytes].concat().into());
            let child = container([NONE, NONE, (r#"{"x": 1}"#, b"x"), NONE]);
            let lengths = format!(r#"{{"c": {}}}"#, child.len());
            let mut whole = container([NONE, NONE, (r#"{"b": 3}"#, b"abc"), (&lengths, &child)]).to_vec();
            let at = at.index(whole.len());
            whole[at] = byte;
            let _ = Container::read(&whole.into());
        }
    }
}
