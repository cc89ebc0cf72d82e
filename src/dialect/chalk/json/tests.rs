use prost::Message as _;

use super::*;
use crate::dialect::chalk::proto::*;
use crate::dialect::chalk::shape::{Field, Kind, Rule, Shape, methods, query};
use crate::dialect::strict;
use crate::dialect::{Invalid, Unreadable};

mod full;

/// A message with one field of each kind and rule.
static ALL: Shape = Shape {
    name: "All",
    fields: &[
        Field { number: 1, name: "a_flag", kind: Kind::Bool, rule: Rule::One },
        Field { number: 2, name: "small", kind: Kind::Int32, rule: Rule::One },
        Field { number: 3, name: "count", kind: Kind::Uint32, rule: Rule::One },
        Field { number: 4, name: "choice", kind: Kind::Enum(&["NONE", "ONE", "TWO"]), rule: Rule::One },
        Field { number: 5, name: "half", kind: Kind::Float, rule: Rule::One },
        Field { number: 6, name: "real_64_value", kind: Kind::Double, rule: Rule::One },
        Field { number: 7, name: "numbers", kind: Kind::Int64, rule: Rule::Many },
        Field { number: 8, name: "words", kind: Kind::String, rule: Rule::Many },
        Field { number: 9, name: "some_entries", kind: Kind::String, rule: Rule::Map },
        Field { number: 10, name: "left", kind: Kind::String, rule: Rule::Of("side") },
        Field { number: 11, name: "right", kind: Kind::Message(&ALL), rule: Rule::Of("side") },
        Field { number: 12, name: "raw", kind: Kind::Bytes, rule: Rule::One },
        Field { number: 13, name: "large", kind: Kind::Uint64, rule: Rule::One },
        Field { number: 14, name: "value", kind: Kind::Message(&query::VALUE), rule: Rule::One },
        Field { number: 15, name: "plan", kind: Kind::Refused, rule: Rule::One },
        Field { number: 16, name: "counts", kind: Kind::Uint32, rule: Rule::Map },
        Field { number: 17, name: "time", kind: Kind::Message(&query::TIMESTAMP), rule: Rule::One },
        Field { number: 18, name: "length", kind: Kind::Message(&query::DURATION), rule: Rule::One },
        Field { number: 19, name: "values", kind: Kind::Message(&query::VALUE), rule: Rule::Map },
    ],
};

/// What comes back of a text that was read.
#[track_caller]
fn again(text: &str) -> String {
    let proto = to_proto(&ALL, text.as_bytes()).unwrap_or_else(|refused| panic!("{text}: {refused}"));
    assert_eq!(strict::check(&ALL, &proto), Ok(()), "{text}");
    String::from_utf8(to_json(&ALL, &proto).unwrap()).unwrap()
}

#[test]
fn each_kind_has_its_canonical_form() {
    for text in [
        r#"{}"#,
        r#"{"aFlag":true,"small":-2147483648,"count":4294967295,"choice":"TWO"}"#,
        r#"{"half":1.5,"real64Value":1e+300,"numbers":["-9223372036854775808","9223372036854775807"]}"#,
        r#"{"words":["","ä\"\n"],"someEntries":{"":"x","a":""},"raw":"/+8=","large":"18446744073709551615"}"#,
        r#"{"right":{"left":"l","counts":{"a":0}}}"#,
        r#"{"value":null}"#,
        r#"{"value":{"a":[1.5,"x",true,null,{}],"b":[]}}"#,
        r#"{"values":{"a":null,"b":-0.0}}"#,
        r#"{"half":"NaN","real64Value":"-Infinity"}"#,
    ] {
        assert_eq!(again(text), text);
    }
}

#[test]
fn other_spellings_are_read_too() {
    for (text, canonical) in [
        (r#" { "a_flag" : false , "real_64_value" : 0.5 } "#, r#"{"aFlag":false,"real64Value":0.5}"#),
        (
            r#"{"small":"-1","count":1.0,"large":1e2,"numbers":["1e3",2,-0,"0.50e1"]}"#,
            r#"{"small":-1,"count":1,"numbers":["1000","2","0","5"],"large":"100"}"#,
        ),
        (r#"{"choice":1}"#, r#"{"choice":"ONE"}"#),
        (r#"{"raw":"_-8"}"#, r#"{"raw":"/+8="}"#),
        (r#"{"raw":"/+8"}"#, r#"{"raw":"/+8="}"#),
        (r#"{"half":"2.5","real64Value":"-0.25"}"#, r#"{"half":2.5,"real64Value":-0.25}"#),
        (r#"{"half":"Infinity"}"#, r#"{"half":"Infinity"}"#),
        // Null is not given, but where it is a value.
        (
            r#"{"aFlag":null,"numbers":null,"someEntries":null,"right":null,"left":"x","plan":null,"values":null,"time":null}"#,
            r#"{"left":"x"}"#,
        ),
        (r#"{"value":9007199254740992}"#, r#"{"value":9007199254740992.0}"#),
        (r#"{"time":"2026-01-02T03:04:05.1+01:30"}"#, r#"{"time":"2026-01-02T01:34:05.100Z"}"#),
    ] {
        assert_eq!(again(text), canonical, "{text}");
    }
}

#[test]
fn what_means_two_things_or_nothing_is_refused() {
    let rounded = "is a whole number that would be rounded";
    let no_time = "`time` is no time as in 2026-01-02T03:04:05Z";
    let no_length = "`length` is no duration as in 1.5s";
    for (text, why) in [
        ("", "the message cannot be read: the json text ends at byte 0, expected an object"),
        ("[]", "the message cannot be read: unexpected byte `[` at byte 0 of the json text, expected an object"),
        (
            r#"{"small":1,"small":1}"#,
            "the message cannot be read: the key `small` at byte 11 of the json text stands twice in its object",
        ),
        (r#"{"aFlag":true,"a_flag":true}"#, "`a_flag` is given under both of its names"),
        (r#"{"a_flag":null,"aFlag":true}"#, "`a_flag` is given under both of its names"),
        (r#"{"some_entries":{"a":""},"someEntries":{"b":""}}"#, "`some_entries` is given under both of its names"),
        (r#"{"AFlag":true}"#, "the message has the field `AFlag`, which is not known"),
        (r#"{"right":{"1":true}}"#, "`right` has the field `1`, which is not known"),
        (r#"{"right":{"@type":"x"}}"#, "`right` has the field `@type`, which is not known"),
        (r#"{"plan":{}}"#, "`plan` cannot be followed"),
        (r#"{"aFlag":1}"#, "`a_flag` is neither true nor false"),
        (r#"{"aFlag":"true"}"#, "`a_flag` is neither true nor false"),
        (r#"{"small":2147483648}"#, "`small` is out of the range of its type"),
        (r#"{"count":-1}"#, "`count` is out of the range of its type"),
        (r#"{"large":"18446744073709551616"}"#, "`large` is out of the range of its type"),
        (r#"{"numbers":[9223372036854775808]}"#, "`numbers[0]` is out of the range of its type"),
        (r#"{"small":1.5}"#, "`small` is no whole number"),
        (r#"{"small":1e-1}"#, "`small` is no whole number"),
        (r#"{"small":1e9999999999}"#, "`small` is no whole number"),
        (r#"{"small":" 1"}"#, "`small` is no whole number"),
        (r#"{"small":"+1"}"#, "`small` is no whole number"),
        (r#"{"small":"01"}"#, "`small` is no whole number"),
        (r#"{"small":""}"#, "`small` is no whole number"),
        (r#"{"small":true}"#, "`small` is no number"),
        (r#"{"choice":"THREE"}"#, "`choice` is `THREE`, which is not among its names"),
        (r#"{"choice":3}"#, "`choice` is out of the range of its type"),
        (r#"{"half":1e39}"#, "`half` is out of the range of its type"),
        (r#"{"real64Value":1e309}"#, "`real_64_value` is out of the range of its type"),
        (r#"{"real64Value":"nan"}"#, "`real_64_value` is no number"),
        (r#"{"real64Value":"0x1"}"#, "`real_64_value` is no number"),
        (r#"{"value":9007199254740993}"#, rounded),
        (r#"{"value":1000000000000000000000000000000000000001}"#, rounded),
        (r#"{"half":16777217}"#, rounded),
        (r#"{"numbers":1}"#, "`numbers` is no list"),
        (r#"{"words":[null]}"#, "`words[0]` is no text"),
        (r#"{"counts":{"a":null}}"#, "`counts[0].value` is no number"),
        (r#"{"someEntries":[]}"#, "`some_entries` is no object of entries"),
        (r#"{"right":[]}"#, "`right` is no object"),
        (r#"{"raw":"_+8="}"#, "`raw` is no base64"),
        (r#"{"raw":"/+9"}"#, "`raw` is no base64"),
        (r#"{"raw":"/+ 8"}"#, "`raw` is no base64"),
        (r#"{"time":1}"#, "`time` is no text"),
        (r#"{"time":"2026-01-02T03:04:05"}"#, no_time),
        (r#"{"time":"2026-02-29T03:04:05Z"}"#, no_time),
        (r#"{"time":"2026-01-02t03:04:05z"}"#, no_time),
        (r#"{"time":"2026-01-02T24:00:00Z"}"#, no_time),
        (r#"{"time":"2026-01-02T03:04:60Z"}"#, no_time),
        (r#"{"time":"0001-01-01T00:00:00+00:01"}"#, no_time),
        (r#"{"time":"2026-01-02T03:04:05.Z"}"#, no_time),
        (r#"{"time":"2026-01-02T03:04:05.1234567890Z"}"#, no_time),
        (r#"{"time":"2026-1-02T03:04:05Z"}"#, no_time),
        (r#"{"length":"1"}"#, no_length),
        (r#"{"length":"+1s"}"#, no_length),
        (r#"{"length":"--1s"}"#, no_length),
        (r#"{"length":".5s"}"#, no_length),
        (r#"{"length":"315576000001s"}"#, no_length),
        (r#"{"length":"315576000000.1s"}"#, no_length),
    ] {
        let Invalid(said) = to_proto(&ALL, text.as_bytes()).unwrap_err();
        assert!(if why == rounded { said.ends_with(why) } else { said == why }, "{text}: {said}");
    }
    // Members of a oneof are for the strict reader.
    let both = to_proto(&ALL, br#"{"left":"","right":{}}"#).unwrap();
    assert_eq!(strict::check(&ALL, &both), Err(Invalid("`right` is given beside `left`".to_owned())));
}

#[test]
fn depth_and_size_are_bounded() {
    let nested = |open: &str, close: &str, levels: usize| format!("{}{}", open.repeat(levels), close.repeat(levels));
    let rights = |levels: usize| format!("{}{{}}{}", r#"{"right":"#.repeat(levels), "}".repeat(levels));
    assert!(to_proto(&ALL, rights(strict::DEEPEST).as_bytes()).is_ok());
    let Invalid(said) = to_proto(&ALL, rights(strict::DEEPEST + 1).as_bytes()).unwrap_err();
    assert!(said.ends_with("is deeper than 96 levels"), "{said}");
    let list = format!(r#"{{"value":{}}}"#, nested("[", "]", 60));
    let Invalid(said) = to_proto(&ALL, list.as_bytes()).unwrap_err();
    assert!(said.ends_with("is deeper than 96 levels"), "{said}");
    let list = |many: usize| format!(r#"{{"value":[{}0]}}"#, "0,".repeat(many - 1));
    assert!(to_proto(&ALL, list(strict::MOST).as_bytes()).is_ok());
    let more = "the message has more than 1000000 elements in its lists and maps";
    assert_eq!(to_proto(&ALL, list(strict::MOST + 1).as_bytes()), Err(Invalid(more.to_owned())));
}

#[test]
fn times_are_told_to_the_nanosecond() {
    for (seconds, nanos, text) in [
        (0, 0, "1970-01-01T00:00:00Z"),
        (-1, 999_999_999, "1969-12-31T23:59:59.999999999Z"),
        (951_782_400, 1000, "2000-02-29T00:00:00.000001Z"),
        (1_709_251_199, 120_000_000, "2024-02-29T23:59:59.120Z"),
        (-62_135_596_800, 0, "0001-01-01T00:00:00Z"),
        (253_402_300_799, 999_999_999, "9999-12-31T23:59:59.999999999Z"),
        (-2_203_891_200, 0, "1900-03-01T00:00:00Z"),
    ] {
        assert_eq!(time::timestamp_text(seconds, nanos).as_deref(), Some(text));
        assert_eq!(time::timestamp(text), Some((seconds, nanos)), "{text}");
    }
    // Every day of 800 years is the one behind the day before it.
    let mut day = time::timestamp("1600-01-01T12:00:00Z").unwrap().0;
    let mut dates = std::collections::BTreeSet::new();
    while day < time::timestamp("2400-01-01T00:00:00Z").unwrap().0 {
        let text = time::timestamp_text(day, 0).unwrap();
        assert_eq!(time::timestamp(&text), Some((day, 0)));
        assert!(dates.last().is_none_or(|last| *last < text), "{text}");
        dates.insert(text);
        day += 86_400;
    }
    assert_eq!(dates.len(), 2 * 146_097);
    assert_eq!(time::timestamp_text(253_402_300_800, 0), None);
    assert_eq!(time::timestamp_text(0, -1), None);
    for (seconds, nanos, text) in [
        (0, 0, "0s"),
        (1, 500_000_000, "1.500s"),
        (-1, -1, "-1.000000001s"),
        (0, -1000, "-0.000001s"),
        (315_576_000_000, 0, "315576000000s"),
    ] {
        assert_eq!(time::duration_text(seconds, nanos).as_deref(), Some(text));
        assert_eq!(time::duration(text), Some((seconds, nanos)), "{text}");
    }
    for (seconds, nanos) in [(1, -1), (-1, 1), (315_576_000_001, 0), (0, 1_000_000_000), (0, i32::MIN), (i64::MIN, 0)] {
        assert_eq!(time::duration_text(seconds, nanos), None, "{seconds} {nanos}");
    }
}

#[test]
fn answers_that_json_cannot_tell_do_not_pass() {
    let value = |kind| Value { kind: Some(kind) }.encode_to_vec();
    let twice = [8, 0, 8, 0];
    let of = |shape: &Shape, bytes: &[u8]| to_json(shape, bytes).map(|text| String::from_utf8(text).unwrap());
    for (shape, bytes, why) in [
        (&query::VALUE, value(ValueKind::Number(f64::NAN)), "the message is a number that json does not have"),
        (&query::VALUE, vec![26, 0, 32, 1], "the message is two values at once"),
        (&query::PING, twice.to_vec(), "`num` is given twice"),
        (&query::PING, vec![8], "`num` breaks off in a number"),
        (&query::PING, vec![10, 0], "`num` is of the wire type 2, not 0"),
        (
            &query::TIMESTAMP,
            Timestamp { seconds: 1, nanos: -1 }.encode_to_vec(),
            "the message is beyond the times that json has",
        ),
        (&ALL, vec![66, 1, 0xff], "`words` is no UTF-8"),
        (&ALL, vec![74, 0, 74, 0], "`some_entries[1]` has the key `` again"),
    ] {
        let why = format!("it cannot be told in json: {}", why.replace("`words`", "`words[0]`"));
        assert_eq!(of(shape, &bytes), Err(Unreadable(why)));
    }
    // What is not known is dropped; an entry may lack its halves; numbers may be packed; names may be missing.
    let lenient = [vec![0xa0, 6, 1, 0xaa, 6, 1, 0], vec![74, 0], vec![58, 2, 1, 2], vec![32, 9]].concat();
    assert_eq!(of(&ALL, &lenient).as_deref(), Ok(r#"{"choice":9,"numbers":["1","2"],"someEntries":{"":""}}"#));
    assert_eq!(of(&query::VALUE, &[]).as_deref(), Ok("null"));
    assert_eq!(of(&ALL, &[0x9a, 1, 0]).as_deref(), Ok(r#"{"values":{"":null}}"#));
    assert_eq!(of(&ALL, &[0x82, 1, 0]).as_deref(), Ok(r#"{"counts":{"":0}}"#));
}

fn messages(method: &str) -> &'static methods::Messages {
    let services =
        ["engine.v1.QueryService", "server.v1.AuthService", "server.v1.TeamService", "server.v1.IntegrationsService"];
    let mut paths = services.iter().map(|service| format!("/chalk.{service}/{method}"));
    paths.find_map(|path| methods::of(&path)).unwrap_or_else(|| panic!("{method}"))
}

#[test]
fn recorded_messages_come_back_as_they_were() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/chalk/wire");
    let mut found = [0, 0];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let Some((name, is_answer)) = name
            .strip_suffix(".req.bin")
            .map(|name| (name, false))
            .or(name.strip_suffix(".resp.bin").map(|name| (name, true)))
        else {
            continue;
        };
        let messages = messages(name.split_once('.').unwrap().1);
        let shape = if is_answer { messages.answer } else { messages.request };
        let bytes = std::fs::read(&path).unwrap();
        let text = to_json(shape, &bytes).unwrap();
        let back = to_proto(shape, &text).unwrap();
        assert_eq!(strict::check(shape, &back), Ok(()), "{name}");
        assert_eq!(to_json(shape, &back).unwrap(), text, "{name}");
        // Permission slugs go.
        if !(is_answer && name.ends_with("GetAgent")) {
            assert_eq!(back, bytes, "{name}: {}", String::from_utf8_lossy(&text));
        }
        found[usize::from(is_answer)] += 1;
    }
    assert_eq!(found, [18, 18]);
}
