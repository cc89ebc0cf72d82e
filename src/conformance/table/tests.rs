//! The table holds together.

use super::*;

#[test]
fn every_file_reads_and_every_policy_loads() {
    for table in Table::all().unwrap_or_else(|report| panic!("{report}")) {
        assert!(table.cases.len() >= 5, "{}: {}", table.name, table.cases.len());
        assert!(table.features.contains(&table.unasked), "{}", table.unasked);
    }
}
