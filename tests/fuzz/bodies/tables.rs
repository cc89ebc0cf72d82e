//! Arrow files: none breaks the reader, and one that is cut holds no column but the permitted.

use std::collections::HashSet;

use bytes::Bytes;
use tagwarden::dialect::chalk::query::{Field, Fields};
use tagwarden::dialect::chalk::table::Table;

const MOST: usize = 1 << 20;

/// One run.
pub fn run(data: &[u8]) {
    let Ok(table) = Table::read(&Bytes::copy_from_slice(data), MOST) else { return };
    let names: Vec<String> = table.columns().map(|(name, _)| name.to_owned()).collect();
    // Every other column may pass.
    let kept: HashSet<&str> = names.iter().step_by(2).map(String::as_str).collect();
    if let Ok(bytes) = table.keep(|name| kept.contains(name)) {
        let again = Table::read(&bytes, MOST * 2).expect("what was written is read");
        assert!(again.columns().all(|(name, _)| kept.contains(name)));
        assert_eq!(again.rows(), table.rows());
    }
    let fields: Fields = kept.iter().map(|name| ((*name).to_owned(), Field::Value)).collect();
    if let Ok((bytes, dropped)) = table.cut(&fields, false) {
        let again = Table::read(&bytes, MOST * 2).expect("what was cut is read");
        assert!(again.columns().all(|(name, _)| kept.contains(name)));
        assert_eq!(again.columns().count() + dropped, names.len());
    }
}
