//! Writes in gRPC.

use super::*;
use crate::dialect::feast::rpc::proto::{PushRequest, WriteToOnlineStoreRequest};
use crate::dialect::feast::rpc::{Method, ToWrite, verify};
use crate::dialect::feast::write::{Target, Write};

/// An entry of a map.
fn entry(field: u8, name: &str, value: &[u8]) -> Vec<u8> {
    bytes(field, &[bytes(1, name.as_bytes()), bytes(2, value)].concat())
}

/// The target, and the columns with `!` behind those of times; or why it is no write.
fn shown(method: Method, message: &[u8]) -> String {
    let said = |write: &Write<'_>| {
        let target = match &write.target {
            Target::Source(name) => format!("source {name}"),
            Target::Views(names) => format!("views {}", names.join(",")),
            Target::All => "all".to_owned(),
        };
        let columns = write.columns.iter().map(|c| format!(" {}{}", c.name, if c.times { "!" } else { "" }));
        format!("{target}{}", columns.collect::<String>())
    };
    let read = ToWrite::read(method, &Bytes::copy_from_slice(message)).map(Option::unwrap);
    match read.and_then(|read| read.write().map(|write| said(&write))) {
        Ok(said) => said,
        Err(invalid) => format!("invalid {invalid}"),
    }
}

#[test]
fn a_write_is_one_row_for_one_target() {
    let (source, online) = (bytes(2, b"s"), bytes(4, b"online"));
    let push = |more: &[u8]| shown(Method::Push, &[source.as_slice(), &online, more].concat());
    let view = |more: &[u8]| shown(Method::WriteToOnlineStore, &[&bytes(2, b"v"), more].concat());
    let text = |text: &str| bytes(2, text.as_bytes());
    // As texts, as values; a number is no time, whatever it is called.
    let texts = [entry(1, "x", b"7"), entry(1, "t", b"2026-01-01T00:00:00Z"), entry(1, "event_timestamp", b"9")];
    assert_eq!(push(&texts.concat()), "source s event_timestamp! t! x");
    let values = |field| {
        let (number, time) = (entry(field, "a", ONE), entry(field, "b", &[0x40, 1]));
        let texts = [entry(field, "c", &text("2026-01-01")), entry(field, "d", &text("2026"))];
        [number, time, texts.concat(), entry(field, "e", b""), entry(field, "created", &[0x40, 1])].concat()
    };
    assert_eq!(push(&values(5)), "source s a b c! created! d e");
    assert_eq!(view(&values(4)), "views v a b c! created! d e");
    assert_eq!(view(&[entry(1, "x", b""), vec![0x18, 1]].concat()), "views v x");
    // What is in the way.
    let x = entry(1, "x", b"7");
    let both = |field| [x.clone(), entry(field, "y", ONE)].concat();
    for (said, expected) in [
        (push(&[]), "neither `features` nor `typed_features` is given"),
        (push(&both(5)), "`features` and `typed_features` are both given, and Feast takes one of them"),
        (view(&both(4)), "`features` and `typed_features` are both given, and Feast takes one of them"),
        (push(&[x.clone(), x.clone()].concat()), "`features[1]` has the key `x` again"),
        (push(&[x.clone(), source.clone()].concat()), "`stream_feature_view` is given twice"),
        (push(&[x.clone(), vec![0x30, 1]].concat()), "the message has the field 6, which is not known"),
        (view(&[x.clone(), bytes(5, b"")].concat()), "the message has the field 5, which is not known"),
        (push(&entry(5, "x", &[0x20, 1, 0x12, 0])), "`typed_features[0].value.string_val` is given beside `int64_val`"),
        (shown(Method::Push, &[online.clone(), x.clone()].concat()), "`stream_feature_view` names nothing"),
        (shown(Method::WriteToOnlineStore, &x), "`feature_view_name` names nothing"),
        (
            shown(Method::Push, &[source.clone(), x.clone()].concat()),
            "`to` is not `online`, `offline` or `online_and_offline`",
        ),
        (
            shown(Method::Push, &[source.clone(), x.clone(), bytes(4, b"Online")].concat()),
            "`to` is not `online`, `offline` or `online_and_offline`",
        ),
    ] {
        assert_eq!(said, format!("invalid {expected}"));
    }
    let wide = |columns: usize| PushRequest {
        features: (0..columns).map(|n| (format!("c{n}"), String::new())).collect(),
        stream_feature_view: "s".to_owned(),
        to: "offline".to_owned(),
        ..PushRequest::default()
    };
    assert!(shown(Method::Push, &wide(10_000).encode_to_vec()).starts_with("source s c0 "));
    assert_eq!(shown(Method::Push, &wide(10_001).encode_to_vec()), "invalid more than 10000 columns are written");
}

#[test]
fn what_goes_upstream_is_all_that_was_read() {
    let values = [("x".to_owned(), Bytes::from_static(ONE)), ("y".to_owned(), Bytes::new())];
    let push = PushRequest {
        stream_feature_view: "s".to_owned(),
        allow_registry_cache: true,
        to: "online_and_offline".to_owned(),
        typed_features: values.clone().into(),
        ..PushRequest::default()
    };
    let view = WriteToOnlineStoreRequest {
        feature_view_name: "v".to_owned(),
        features: [("x".to_owned(), "1".to_owned())].into(),
        ..WriteToOnlineStoreRequest::default()
    };
    for (method, message) in [(Method::Push, push.encode_to_vec()), (Method::WriteToOnlineStore, view.encode_to_vec())]
    {
        let read = ToWrite::read(method, &Bytes::from(message.clone())).unwrap().unwrap();
        assert_eq!(read.message(), message);
    }
    assert!(ToWrite::read(Method::GetOnlineFeatures, &Bytes::new()).unwrap().is_none());
}

#[test]
fn a_write_is_answered_with_a_word() {
    for fine in [&[][..], &[8, 1], &[8, 0]] {
        assert_eq!(verify(fine), Ok(()));
    }
    for (answer, why) in [
        (&[8, 2][..], "`status` is out of the range of its type"),
        (&[8, 1, 8, 1], "`status` is given twice"),
        (b"\x12\x03ssn", "the message has the field 2, which is not known"),
        (b"\x0a", "`status` is of the wire type 2, not 0"),
    ] {
        let told = verify(answer).unwrap_err().0;
        assert_eq!(told, format!("what is answered to a write: {why}"));
    }
}
