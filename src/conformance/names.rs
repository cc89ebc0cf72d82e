//! How a neutral name is spelled.

use super::table::Table;
use super::{Dialect, Family};

/// As a caller writes it, and as the catalogue has it. A name with a colon is written as it stands.
pub fn spelled(table: &Table, dialect: Dialect, name: &str) -> String {
    match dialect.family() {
        Family::Feast if name.contains(':') => name.to_owned(),
        Family::Feast if table.keys.contains(name) => name.replace('.', "_"),
        Family::Feast => match name.rsplit_once('.') {
            Some((view, feature)) => format!("{view}:{feature}"),
            None => name.to_owned(),
        },
        Family::Chalk => name.to_owned(),
    }
}

/// As the answer has it.
pub fn answered(table: &Table, dialect: Dialect, name: &str) -> String {
    let spelled = spelled(table, dialect, name);
    match dialect.family() {
        // Full names are asked for.
        Family::Feast => {
            let (view, feature) = spelled.split_once(':').unwrap_or(("", &spelled));
            let view = view.split('@').next().unwrap_or_default();
            if view.is_empty() { feature.to_owned() } else { format!("{view}__{feature}") }
        }
        Family::Chalk => spelled,
    }
}
