//! The columns of an answer, verified by their names.

use std::collections::BTreeSet;

use super::unreadable;
use crate::dialect::feast::plan::{Column, Permit};
use crate::dialect::{Unreadable, shown};

/// What becomes of a column of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::dialect::feast) enum Fate<'p> {
    /// It is not returned.
    Cut,
    /// It is returned under the name that it came with.
    Kept,
    /// It is returned under this name.
    Renamed(&'p str),
}

/// The columns of an answer, verified by their names, one after the other.
pub(in crate::dialect::feast) struct Columns<'p> {
    permit: &'p Permit,
    /// Of each column of the permit, whether it came.
    came: Vec<bool>,
    /// The entities that came.
    entities: BTreeSet<&'p str>,
    /// The place after that of the column that came last: columns mostly come as they were asked for.
    next: usize,
    /// The first that came again.
    twice: Option<String>,
    kept: usize,
    dropped: usize,
}

impl<'p> Columns<'p> {
    pub(in crate::dialect::feast) fn of(permit: &'p Permit) -> Self {
        let came = vec![false; permit.columns.len()];
        Self { permit, came, entities: BTreeSet::new(), next: 0, twice: None, kept: 0, dropped: 0 }
    }

    /// The next one.
    ///
    /// # Errors
    /// It was not asked for.
    pub(in crate::dialect::feast) fn next(&mut self, name: &str) -> Result<Fate<'p>, Unreadable> {
        let columns = &self.permit.columns;
        let in_order = columns.at(self.next, name).map(|column| (self.next, column));
        let (fate, fresh) = match in_order.or_else(|| columns.get(name)) {
            Some((place, column)) => {
                self.next = place + 1;
                let fresh = self.came.get_mut(place).is_some_and(|came| !std::mem::replace(came, true));
                let fate = match column {
                    Column::Keep(new) => {
                        self.kept += 1;
                        if new == name { Fate::Kept } else { Fate::Renamed(new) }
                    }
                    Column::Cut => {
                        self.dropped += 1;
                        Fate::Cut
                    }
                };
                (fate, fresh)
            }
            None => match self.permit.entities.get(name) {
                Some(entity) => (Fate::Kept, self.entities.insert(entity)),
                None => return unreadable(format!("column `{}` was not asked for", shown(name))),
            },
        };
        if !fresh {
            self.twice.get_or_insert_with(|| name.to_owned());
        }
        Ok(fate)
    }

    /// How many are cut, when there are no more.
    ///
    /// # Errors
    /// One of them stands twice, or one that was asked for did not come.
    pub(in crate::dialect::feast) fn end(self) -> Result<usize, Unreadable> {
        if let Some(twice) = self.twice {
            return unreadable(format!("column `{}` stands twice", shown(&twice)));
        }
        let (wanted, kept) = (self.permit.columns.kept(), self.kept);
        if kept != wanted {
            return unreadable(format!("{wanted} columns were asked for and {kept} of them came"));
        }
        Ok(self.dropped)
    }
}
