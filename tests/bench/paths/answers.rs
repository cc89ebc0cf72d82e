//! Answers verified and cut, of each dialect and size; and one of them as a tree, to compare with.

mod chalk;

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use tagwarden::dialect::feast::{self, Answered, Columns, Sent, Views};
use tagwarden::dialect::json::answer::{Layout, Want, cut};
use tagwarden::dialect::json::description;
use tagwarden::dialect::json::plan::Fate;
use tagwarden::dialect::json::pointer::Pointer;
use tagwarden::dialect::{Answer, Names};

use super::Case;

/// Rows and features.
const SIZES: [(usize, usize); 3] = [(1, 10), (100, 20), (1000, 50)];

pub fn cases() -> Vec<Case> {
    let mut cases = chalk::cases();
    for (rows, features) in SIZES {
        let size = format!("{rows}x{features}");
        cases.push(feast(format!("answers/feast-{size}"), feast_body(rows, features, false), features, true));
        let records = json_records(rows, features);
        cases.push(json(format!("answers/json-objects-{size}"), records, features, || description::Shape::Objects {
            at: pointer("/rows/*"),
        }));
        cases.push(json(format!("answers/json-columns-{size}"), feast_body(rows, features, false), features, || {
            description::Shape::Columns {
                names: pointer("/metadata/feature_names/*"),
                at: pointer("/results"),
                aligned: Vec::new(),
            }
        }));
    }
    cases.push(feast("answers/feast-1000x50-hard".to_owned(), feast_body(1000, 50, true), 50, true));
    cases.push(feast("answers/feast-1000x50-uncut".to_owned(), feast_body(1000, 50, false), 50, false));
    let body = feast_body(1000, 50, false);
    cases.push(Case::of_bytes("tree/feast-1000x50", body.len(), move || {
        black_box(serde_json::from_str::<serde_json::Value>(black_box(&body)).unwrap());
    }));
    cases
}

/// Verified, cut, and put together for the socket. `cuts`: every fifth feature.
fn feast(name: String, body: String, features: usize, cuts: bool) -> Case {
    let mut columns = Columns::default();
    for feature in 0..features {
        let name: Arc<str> = format!("user_stats__f{feature}").into();
        if cuts && is_cut(feature) {
            columns.cut(name, false);
        } else {
            columns.keep(Arc::clone(&name), name);
        }
    }
    let permit = feast::Permit {
        wanted: Sent::features(Names::default()),
        columns,
        entities: ["user_id".to_owned()].into(),
        filtered: 0,
        full_names: true,
        views: Views::and(Vec::new()),
        answered: Answered::default(),
    };
    let body = Bytes::from(body);
    // As all answers are but the first.
    passed(feast::filter_columns(&body, false, &permit).unwrap(), &body, cuts);
    Case::of_bytes(name, body.len(), move || {
        let answer = feast::filter_columns(black_box(&body), false, &permit).unwrap();
        passed(answer, &body, cuts);
    })
}

fn json(name: String, body: String, features: usize, shape: impl Fn() -> description::Shape) -> Case {
    let described =
        description::Answer { shape: shape(), keep: Vec::new(), scope: Vec::new(), sparse: false, pass: Vec::new() };
    let layout = Layout::new(&[described], &[]).unwrap();
    let asked = features + 1;
    let kept = (0..features).filter(|feature| !is_cut(*feature)).count() + 1;
    let body = Bytes::from(body);
    Case::of_bytes(name, body.len(), move || {
        let want = Want { kept: &|_| Some(kept), asked_for: &[] };
        let answer = cut(black_box(&body), &layout, &want, &mut |column| {
            let feature = column.name.rsplit_once('f').and_then(|(_, number)| number.parse::<usize>().ok());
            let Some(feature) = feature else { return Some(Fate::Keep) };
            (feature < asked).then_some(if is_cut(feature) { Fate::Cut } else { Fate::Keep })
        });
        passed(answer.unwrap(), &body, true);
    })
}

fn passed(answer: Answer, body: &Bytes, cuts: bool) {
    match answer {
        Answer::AsItCame => assert!(!cuts, "nothing was cut"),
        Answer::Cut { body: pieces, dropped } => {
            assert!(cuts && dropped > 0, "it was cut");
            black_box(pieces.into_bytes(body));
        }
    }
}

fn is_cut(feature: usize) -> bool {
    feature % 5 == 4
}

fn pointer(text: &str) -> Pointer {
    Pointer::parse(text).unwrap()
}

/// The same numbers each time: xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }

    fn of<T: Copy, const N: usize>(&mut self, choices: [T; N]) -> T {
        choices.into_iter().nth(usize::try_from(self.below(u64::try_from(N).unwrap())).unwrap()).unwrap()
    }
}

/// A value of the feature. `hard`: with blanks, lists with objects, long texts, all digits.
fn value(random: &mut Random, feature: usize, hard: bool) -> String {
    match feature % 4 {
        0 => {
            let thousands = random.below(20_000_000).cast_signed() - 10_000_000;
            let exact = f64::from(i32::try_from(thousands).unwrap()) / 10_000.0;
            format!("{:?}", if hard { exact / 7.0 } else { exact })
        }
        1 if hard => format!("[{}, {}, {{\"a\": null}}]", random.below(1000), random.below(10)),
        1 => random.below(1_000_000).to_string(),
        2 if hard => format!("\"{}\"", "a longer text with words ".repeat(random.of([1, 2, 4, 8]))),
        2 => random.of(["\"gold\"", "\"silver\"", "\"bronze é\"", r#""a \"quoted\" value""#]).to_owned(),
        _ if random.below(10) == 0 => "null".to_owned(),
        _ => (random.below(2) == 0).to_string(),
    }
}

/// An answer of Feast, with the entity `user_id`. `hard`: its statuses and times differ, too.
fn feast_body(rows: usize, features: usize, hard: bool) -> String {
    let mut random = Random(42);
    let (comma, colon) = if hard { (", ", ": ") } else { (",", ":") };
    let mut names = vec!["\"user_id\"".to_owned()];
    names.extend((0..features).map(|feature| format!("\"user_stats__f{feature}\"")));
    let mut columns = Vec::new();
    for column in 0..=features {
        let (mut values, mut statuses, mut times) = (Vec::new(), Vec::new(), Vec::new());
        for row in 0..rows {
            values.push(match column.checked_sub(1) {
                None => (row + 1).to_string(),
                Some(feature) => value(&mut random, feature, hard),
            });
            let (status, seconds) = match hard {
                true => (random.of(["PRESENT", "PRESENT", "NULL_VALUE", "NOT_FOUND"]), random.below(60)),
                false => ("PRESENT", 0),
            };
            statuses.push(format!("\"{status}\""));
            times.push(format!("\"2026-01-01T00:00:{seconds:02}Z\""));
        }
        let (values, statuses, times) = (values.join(comma), statuses.join(comma), times.join(comma));
        columns.push(format!(
            r#"{{"values"{colon}[{values}]{comma}"statuses"{colon}[{statuses}]{comma}"event_timestamps"{colon}[{times}]}}"#
        ));
    }
    let (names, columns) = (names.join(comma), columns.join(comma));
    format!(r#"{{"metadata"{colon}{{"feature_names"{colon}[{names}]}}{comma}"results"{colon}[{columns}]}}"#)
}

/// Rows as objects.
fn json_records(rows: usize, features: usize) -> String {
    let mut random = Random(42);
    let mut row = |row: usize| {
        let values =
            (0..features).map(|feature| format!(r#""user_stats__f{feature}":{}"#, value(&mut random, feature, false)));
        format!(r#"{{"user_id":{row},{}}}"#, values.collect::<Vec<_>>().join(","))
    };
    let rows: Vec<String> = (1..=rows).map(&mut row).collect();
    format!(r#"{{"rows":[{}]}}"#, rows.join(","))
}
