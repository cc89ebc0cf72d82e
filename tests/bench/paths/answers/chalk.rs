//! Answers of Chalk, in JSON and as tables; of one in five fields nothing may come back, or all of it passes.

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions};
use bytes::Bytes;
use tagwarden::dialect::Answer;
use tagwarden::dialect::chalk::container::Container;
use tagwarden::dialect::chalk::feather::{self, Slot};
use tagwarden::dialect::chalk::online;
use tagwarden::dialect::chalk::query::{Field, Permit};

use super::super::Case;

const SIZES: [(usize, usize); 3] = [(1, 10), (100, 20), (1000, 50)];
const TEXTS: [&str; 4] = ["gold", "silver", "bronze \u{e9}", "a \\\"quoted\\\" value"];

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (rows, fields) in SIZES {
        let size = format!("{rows}x{fields}");
        let records = records(rows, fields);
        for (end, permit) in permits(fields) {
            cases.push(json(format!("answers/chalk-{size}{end}"), &records, permit));
        }
        for (codec, compression) in [("", None), ("lz4-", Some(CompressionType::LZ4_FRAME))] {
            let table = container(&table(rows, fields, compression));
            for (end, permit) in permits(fields) {
                cases.push(bulk(format!("answers/feather-{codec}{size}{end}"), &table, permit));
            }
        }
    }
    cases
}

/// What permits four of five fields, and all of them.
fn permits(fields: usize) -> [(&'static str, Permit); 2] {
    let of = |all: bool| Permit {
        fields: (0..fields).filter(|n| all || n % 5 != 4).map(|n| (format!("user.f{n}"), Field::Value)).collect(),
        primary_key: true,
        ..Permit::default()
    };
    [("", of(false)), ("-uncut", of(true))]
}

fn json(name: String, body: &Bytes, permit: Permit) -> Case {
    let request = online::read(br#"{"outputs":["user.f0"]}"#, false).unwrap();
    let body = body.clone();
    Case::of_bytes(name, body.len(), move || sent(online::filter(&body, &permit, &request).unwrap(), &body))
}

fn bulk(name: String, body: &Bytes, permit: Permit) -> Case {
    let body = body.clone();
    Case::of_bytes(name, body.len(), move || {
        let slots = [Slot::Sent(&permit)];
        let filtered = feather::filter(&body, &slots, str::to_owned, |error, _| error.to_owned(), 64 << 20);
        sent(filtered.unwrap(), &body);
    })
}

/// As far as a response takes it.
fn sent(answer: Answer, came: &Bytes) {
    match answer {
        Answer::AsItCame => drop(black_box(came.clone())),
        Answer::Cut { body, .. } => drop(black_box(body.into_bytes(came))),
    }
}

/// Numbers that are the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }

    fn decimal(&mut self) -> String {
        let digits = self.below(10_000_000);
        format!("{}{}.{:04}", if self.below(2) == 0 { "" } else { "-" }, digits / 10_000, digits % 10_000)
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        let one = self.below(u64::try_from(all.len()).unwrap());
        all.get(usize::try_from(one).unwrap()).copied().unwrap()
    }
}

fn records(rows: usize, fields: usize) -> Bytes {
    let mut random = Random(88_172_645_463_325_252);
    let mut body = String::from(r#"{"data":["#);
    for row in 0..rows {
        for field in 0..fields {
            let value = match field % 4 {
                0 => random.decimal(),
                1 => random.below(1_000_000).to_string(),
                2 => format!(r#""{}""#, random.one_of(&TEXTS)),
                _ => random.one_of(&["true", "false", "true", "false", "null"]).to_owned(),
            };
            let comma = if row + field == 0 { "" } else { "," };
            let key = row + 1;
            let ts = "2026-01-01T00:00:00Z";
            write!(body, r#"{comma}{{"field":"user.f{field}","value":{value},"pkey":"{key}","ts":"{ts}"}}"#).unwrap();
        }
    }
    body.push_str(r#"],"errors":[],"meta":null}"#);
    body.into()
}

fn table(rows: usize, fields: usize, compression: Option<CompressionType>) -> Bytes {
    let mut random = Random(88_172_645_463_325_252);
    let keys: ArrayRef = Arc::new((0..rows).map(|row| Some(row.to_string())).collect::<StringArray>());
    let mut columns = vec![("__id__".to_owned(), keys)];
    for field in 0..fields {
        let all = 0..rows;
        let column: ArrayRef = match field % 4 {
            0 => Arc::new(all.map(|_| random.decimal().parse().ok()).collect::<Float64Array>()),
            1 => Arc::new(all.map(|_| i64::try_from(random.below(1_000_000)).ok()).collect::<Int64Array>()),
            2 => Arc::new(all.map(|_| Some(random.one_of(&TEXTS))).collect::<StringArray>()),
            _ => Arc::new(all.map(|_| random.one_of(&[Some(true), Some(false), None])).collect::<BooleanArray>()),
        };
        columns.push((format!("user.f{field}"), column));
    }
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
    let mut file = FileWriter::try_new_with_options(Vec::new(), &batch.schema(), options).unwrap();
    file.write(&batch).unwrap();
    file.into_inner().unwrap().into()
}

/// The answer to one bulk query.
fn container(table: &Bytes) -> Bytes {
    let result = Container {
        attrs: Bytes::from_static(br#"{"has_data": true, "errors": null, "meta": null}"#),
        blobs: vec![("scalar_data".to_owned(), table.clone())],
        children: vec![("groups_data".to_owned(), Container::default())],
        ..Container::default()
    };
    let results = Container { blobs: vec![("query_0".to_owned(), result.write().into())], ..Container::default() };
    Container { children: vec![("query_results_bytes".to_owned(), results)], ..Container::default() }.write().into()
}
