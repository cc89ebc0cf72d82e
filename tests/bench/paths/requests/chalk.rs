//! Queries to Chalk: read, their fingerprint taken, written anew with four of five outputs.

use std::hint::black_box;

use tagwarden::dialect::chalk::online;
use tagwarden::dialect::chalk::query::Permit;

use super::super::Case;

pub fn cases() -> Vec<Case> {
    [(1, 10), (100, 20), (1000, 50)].map(|(rows, outputs)| query(rows, outputs)).into()
}

fn query(rows: usize, outputs: usize) -> Case {
    let names: Vec<String> = (0..outputs).map(|number| format!("user.f{number}")).collect();
    let ids: Vec<String> = (1..=rows).map(|row| row.to_string()).collect();
    let body = format!(r#"{{"inputs":{{"user.id":[{}]}},"outputs":["{}"]}}"#, ids.join(","), names.join(r#"",""#));
    let kept = names.into_iter().enumerate().filter(|(number, _)| number % 5 != 4).map(|(_, name)| name);
    let permit = Permit { outputs: kept.collect(), inputs: ["user.id".to_owned()].into(), ..Permit::default() };
    let mut fingerprint = Vec::new();
    Case::of_bytes(format!("requests/chalk-{rows}x{outputs}"), body.len(), move || {
        let request = online::read(body.as_bytes(), false).unwrap();
        fingerprint.clear();
        request.query.fingerprint(&mut fingerprint);
        drop(black_box(online::rewrite(&request, &permit)));
    })
}
