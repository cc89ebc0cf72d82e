//! The table holds together.

use std::path::Path;

use super::*;
use crate::conformance::export;
use crate::policy;

fn tables() -> Vec<Table> {
    Table::all().unwrap_or_else(|report| panic!("{report}"))
}

#[test]
fn every_file_of_the_folder_is_there() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let files: BTreeSet<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(files, Table::names().map(|name| format!("{name}.yaml")).collect());
}

/// A dialect's policy and catalogue load, and every feature, bundle and role of the cases is in them or meant not to be.
#[test]
fn every_policy_loads_in_every_dialect() {
    for table in tables() {
        for dialect in Dialect::ALL.into_iter().filter(|dialect| table.barred(*dialect).is_none()) {
            let file = |name: &str, text| Arc::new(SourceFile { name: name.to_owned(), text });
            let (rules, catalogue) = (export::policy(&table, dialect), export::catalogue(&table, dialect));
            let (policy, report) = policy::load(&[file("policy", rules)], &[file("catalogue", catalogue)]);
            let policy = policy.unwrap_or_else(|| panic!("{} {}: {report}", table.name, dialect.name()));
            assert_eq!(policy.catalogue.features().len(), table.features.len(), "{}", table.name);
        }
        assert!(table.features.contains(&table.unasked), "{}", table.unasked);
        assert!(table.cases.len() > 7, "{}", table.name);
    }
}

/// What a case refuses could be found where it leaked.
#[test]
fn every_refused_value_can_be_found() {
    let mut refused = 0;
    for table in tables() {
        for case in &table.cases {
            let (Expect::Refused(names) | Expect::Filtered(names)) = &case.expect else { continue };
            for name in names.iter().filter(|name| table.value(name, 1).is_some() && !table.keys.contains(*name)) {
                let needles = (1..=ROWS).map(|row| table.value(name, row).unwrap().needles());
                assert!(needles.into_iter().all(|needles| !needles.is_empty()), "{}: {name}", table.name);
                refused += 1;
            }
        }
    }
    assert!(refused > 100, "{refused}");
}

/// Each value is that of one feature in one row.
#[test]
fn every_value_is_recognised() {
    for table in tables() {
        let mut seen: BTreeMap<Vec<u8>, (String, usize)> = BTreeMap::new();
        for (name, row) in table.held().flat_map(|name| (1..=ROWS).map(move |row| (name, row))) {
            for needle in table.value(name, row).unwrap().needles() {
                let other = seen.insert(needle, (name.to_owned(), row));
                assert_eq!(other, None, "{}: {name} in row {row}", table.name);
            }
        }
    }
}

#[test]
fn the_value_of_a_key_says_how_to_behave() {
    for (_, how) in Upstream::WORDS {
        assert_eq!(Upstream::of_key(&how.key(2)), Some((2, how)));
    }
    assert_eq!(["row-0", "row-4", "row-1-well2", "row-", "1"].map(Upstream::of_key), [None; 5]);
}

#[test]
fn a_name_leads_over_has_ones() {
    let table = tables().into_iter().find(|table| table.name == "relations").unwrap();
    let text = |name: &str| table.value(name, 2);
    assert_eq!(text("person.home.city"), Some(Cell::Text("value-home-city-2".to_owned())));
    // As lax as real servers are.
    assert_eq!(text("person.orders.item"), Some(Cell::Text("value-order-item-2".to_owned())));
    assert_eq!([text("person.home"), text("person.house.city"), text("city")], [const { None }; 3]);
    assert_eq!(table.scalars("person.home"), ["person.home.city", "person.home.id", "person.home.rent"]);
    let columns = table.columns("person.orders[order.item]").unwrap();
    let item = |row| Cell::Text(format!("value-order-item-{row}"));
    assert_eq!(columns, [("order.item".to_owned(), vec![item(1), item(2)])]);
}

/// A file that says something wrong is told of, in its place.
#[test]
fn mistakes_are_told_in_their_places() {
    let head = "version: 1\nabout: a\nunasked: r.a\nkeys: [e.id]\npolicy: {roles: {app: {}}}\n\
                catalogue: {features: {e.id: {key: true}, r.a: null}}\n";
    let cases = [
        ("{name: n, roles: [apple], outputs: [r.a], expect: permitted}", "there is no role `apple`"),
        ("{name: n, roles: [app], outputs: [r.b], expect: permitted}", "nothing is held for `r.b`"),
        ("{name: n, roles: [app], expect: permitted}", "a case has either `outputs` or `bundle`"),
        ("{name: n, roles: [app], outputs: [r.a]}", "a case without `expect` could not fail"),
        ("{name: n, roles: [app], outputs: [r.a], expect: {}}", "`expect` has either `filtered` or `refused`"),
        ("{name: n, roles: [app], outputs: [r.a], rows: 4, expect: permitted}", "`rows` is not between 1 and 3"),
        ("{name: n, roles: [app], outputs: [r.a], upstream: ads, expect: withheld}", "`upstream` is `ads`, not one of"),
    ];
    for (case, message) in cases {
        let report = Table::read("t", &format!("{head}cases:\n  - {case}\n")).unwrap_err().to_string();
        assert!(report.contains(message) && report.contains("t.yaml:8:"), "{report}");
    }
    let twice = "{name: n, roles: [app], outputs: [r.a], expect: permitted}";
    let report = Table::read("t", &format!("{head}cases: [{twice}, {twice}]\n")).unwrap_err().to_string();
    assert!(report.contains("the case `n` stands twice"), "{report}");
}
