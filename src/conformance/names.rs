//! How a neutral name is spelled.

use super::json::PROJECT;
use super::table::Table;
use super::{Dialect, Family};

/// As a caller writes it. A name with a colon is written as it stands.
pub fn spelled(table: &Table, dialect: Dialect, name: &str) -> String {
    let key = table.keys.contains(name);
    match dialect.family() {
        Family::Feast if name.contains(':') => name.to_owned(),
        Family::Feast | Family::Json if key => name.replace('.', "_"),
        Family::Feast => match name.rsplit_once('.') {
            Some((view, feature)) => format!("{view}:{feature}"),
            None => name.to_owned(),
        },
        Family::Chalk | Family::Json => name.to_owned(),
    }
}

/// As the catalogue has it. Also a pattern, which is no longer one of a whole name where it does not begin with a star.
pub fn catalogued(table: &Table, dialect: Dialect, name: &str) -> String {
    let spelled = spelled(table, dialect, name);
    let of_project = dialect == Dialect::JsonRecords && !table.keys.contains(name) && !name.starts_with('*');
    if of_project { format!("{PROJECT}.{spelled}") } else { spelled }
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
        Family::Chalk | Family::Json => spelled,
    }
}
