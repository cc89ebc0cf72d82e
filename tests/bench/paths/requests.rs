//! Requests read and rewritten.

mod chalk;

use std::hint::black_box;

use tagwarden::config::Enforcement;
use tagwarden::dialect::{Asker, Outcome, Permit, Query, feast};
use tagwarden::proxy::record::DecisionId;

use super::Case;
use super::decisions::{World, lazily};

pub fn cases() -> Vec<Case> {
    let mut cases = chalk::cases();
    cases.push(Case::new("requests/decision-id", || drop(black_box(DecisionId::random().header()))));
    for (rows, outputs) in [(1, 10), (100, 20), (1_000, 50)] {
        cases.push(lazily(format!("requests/feast-{rows}x{outputs}"), move || {
            let world = World::new(100, 10);
            let features: Vec<String> =
                (0..outputs).map(|number| format!("\"user_stats_{}:feature_{number}\"", number / 20)).collect();
            let rows: Vec<String> = (1..=rows).map(|row: usize| row.to_string()).collect();
            let (features, rows) = (features.join(", "), rows.join(", "));
            let body = format!("{{\"features\": [{features}], \"entities\": {{\"user_id\": [{rows}]}}}}").into_bytes();
            let tables = &world.tables;
            let asker = Asker { roles: &tables.roles, tables: &tables.tables, mode: tables.mode };
            let plan = Query::Feast(&feast::read(&body).unwrap()).plan(
                &world.rules.policy,
                &world.rules.index,
                asker,
                Enforcement::Enforce,
            );
            Box::new(move || {
                let Outcome::Permit(Permit::Feast(permit)) = &plan.outcome else { panic!("{:?}", plan.outcome) };
                let request = feast::read(&body).unwrap();
                drop(black_box(feast::rewrite(&request, permit)));
            })
        }));
    }
    cases
}
