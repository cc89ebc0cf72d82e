//! Resolving and deciding: cold, cached, with supplied values.

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;

use tagwarden::config::Enforcement;
use tagwarden::diagnostic::SourceFile;
use tagwarden::dialect::{Asker, Query, chalk, feast};
use tagwarden::metrics::Metrics;
use tagwarden::policy::Policy;
use tagwarden::policy::resolve::{RoleId, Table};
use tagwarden::snapshot::{CallerTables, Part, Rules};

use super::Case;

/// How many outputs a query names.
const OUTPUTS: usize = 50;

pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        lazily("decisions/feast-50-cached".to_owned(), || {
            let world = World::new(5_000, 10);
            let request = feast::read(world.body(&["user_id"])).unwrap();
            Box::new(move || drop(black_box(world.rules.decide(&world.tables, Query::Feast(&request)))))
        }),
        cold("decisions/feast-50-cold".to_owned(), 5_000, 10, &["user_id"]),
        cold("decisions/feast-50-supplied".to_owned(), 5_000, 10, &["user_id", "amount"]),
    ];
    for features in [10, 5_000, 100_000] {
        cases.push(cold(format!("decisions/feast-50-of-{features}"), features, 10, &["user_id"]));
    }
    for roles in [1, 1_000] {
        cases.push(cold(format!("decisions/feast-50-roles-{roles}"), 5_000, roles, &["user_id"]));
    }
    for features in [5_000, 100_000] {
        cases.push(lazily(format!("resolve/table-{features}"), move || {
            let world = World::new(features, 10);
            Box::new(move || drop(black_box(Table::build(&world.rules.policy, &world.tables.roles))))
        }));
    }
    cases.push(lazily("resolve/overlay".to_owned(), || {
        let world = World::new(5_000, 10);
        let supplied = ["user_id", "amount"].map(|name| world.rules.policy.catalogue.id(name).unwrap());
        Box::new(move || {
            let table = world.tables.tables.first().unwrap();
            drop(black_box(table.overlay(&world.rules.policy, &supplied)));
        })
    }));
    cases
}

/// A decision that nobody made before, on a query that gives these entities.
fn cold(name: String, features: usize, roles: usize, given: &'static [&'static str]) -> Case {
    lazily(name, move || {
        let world = World::new(features, roles);
        let request = feast::read(world.body(given)).unwrap();
        Box::new(move || {
            let (rules, tables) = (&world.rules, &world.tables);
            let asker = Asker { roles: &tables.roles, tables: &tables.tables, mode: tables.mode };
            drop(black_box(Query::Feast(&request).plan(&rules.policy, &rules.index, asker, Enforcement::Enforce)));
        })
    })
}

/// A case that is made when it runs for the first time.
pub fn lazily(name: String, make: impl Fn() -> Box<dyn FnMut()> + 'static) -> Case {
    let mut run = None;
    Case::new(name, move || run.get_or_insert_with(&make)())
}

/// Rules over a catalogue, and a caller.
pub struct World {
    pub rules: Rules,
    pub tables: Arc<CallerTables>,
}

impl World {
    /// Views of twenty features each, every fifth feature personal, every fifth view computed on request; the caller holds
    /// all of the roles, of which each denies what is personal and filters.
    pub fn new(features: usize, roles: usize) -> Self {
        let features = features.max(2 * OUTPUTS);
        let mut catalogue = "version: 1\nfeatures:\n  user_id: {key: true}\n  amount: {key: true}\n".to_owned();
        for number in 0..features {
            let name = feature(number);
            let tags = match number {
                _ if number % 5 == 4 => "pii",
                _ if number % 3 == 0 => "internal, pricing",
                _ => "public",
            };
            let from = if on_request(number) {
                format!("inputs: [amount, \"{}\"]", feature(number - 20))
            } else {
                "joins: [user_id]".to_owned()
            };
            writeln!(catalogue, "  \"{name}\": {{tags: [{tags}], {from}}}").unwrap();
        }
        let mut policy = "version: 1\nroles:\n".to_owned();
        for role in 0..roles {
            writeln!(policy, "  role{role}: {{tags: {{pii: Deny, t{role}: Allow}}, mode: filter}}").unwrap();
        }
        let policy = load(&policy, &catalogue);
        let ids: Arc<[RoleId]> = (0..roles).map(|role| policy.role_id(&format!("role{role}")).unwrap()).collect();
        let settings = chalk::plan::Settings::default();
        let metrics = Metrics::new().unwrap();
        let rules = Rules::new(Part::Live, String::new(), policy, Enforcement::Enforce, settings, 10_000, &metrics);
        let tables = rules.tables_of(&ids).unwrap();
        Self { rules, tables }
    }

    /// A query of one row for features that stand apart in the catalogue, one in five of them personal; those that are
    /// computed on request are among them where what they need is given.
    pub fn body(&self, given: &[&str]) -> &'static [u8] {
        let count = self.rules.policy.catalogue.features().len() - 2;
        let asked =
            (0..count).step_by((count / OUTPUTS / 2) | 1).filter(|number| given.len() > 1 || !on_request(*number));
        let names: Vec<String> = asked.take(OUTPUTS).map(|number| format!("\"{}\"", feature(number))).collect();
        let given: Vec<String> = given.iter().map(|name| format!("\"{name}\":[1]")).collect();
        let (names, given) = (names.join(","), given.join(","));
        let body = format!("{{\"features\":[{names}],\"entities\":{{{given}}},\"full_feature_names\":true}}");
        body.into_bytes().leak()
    }
}

/// A fifth of the views.
fn on_request(number: usize) -> bool {
    number / 20 % 5 == 4
}

fn feature(number: usize) -> String {
    format!("user_stats_{}:feature_{}", number / 20, number)
}

fn load(policy: &str, catalogue: &str) -> Policy {
    let file = |name: &str, text: &str| [Arc::new(SourceFile { name: name.into(), text: text.into() })];
    let (policy, report) = tagwarden::policy::load(&file("policy.yaml", policy), &file("catalogue.yaml", catalogue));
    policy.unwrap_or_else(|| panic!("{report}"))
}
