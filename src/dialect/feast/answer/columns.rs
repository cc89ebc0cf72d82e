//! The columns of an answer, verified by their names.

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
    /// Of each that came, where the permit has what is said of it: no two names have that at one address. And its position.
    came: Vec<(usize, usize)>,
    kept: usize,
    dropped: usize,
}

impl<'p> Columns<'p> {
    pub(in crate::dialect::feast) fn of(permit: &'p Permit) -> Self {
        let came = Vec::with_capacity(permit.columns.len() + permit.entities.len());
        Self { permit, came, kept: 0, dropped: 0 }
    }

    /// The next one.
    ///
    /// # Errors
    /// It was not asked for.
    pub(in crate::dialect::feast) fn next(&mut self, name: &str) -> Result<Fate<'p>, Unreadable> {
        let (fate, at) = match self.permit.columns.get(name) {
            Some(column @ Column::Keep(new)) => {
                self.kept += 1;
                (if **new == *name { Fate::Kept } else { Fate::Renamed(new) }, address(column))
            }
            Some(column @ Column::Cut) => {
                self.dropped += 1;
                (Fate::Cut, address(column))
            }
            None => match self.permit.entities.get(name) {
                Some(entity) => (Fate::Kept, address(entity)),
                None => return unreadable(format!("column `{}` was not asked for", shown(name))),
            },
        };
        self.came.push((at, self.came.len()));
        Ok(fate)
    }

    /// How many are cut, when there are no more.
    ///
    /// # Errors
    /// One of them stands twice, or one that was asked for did not come.
    pub(in crate::dialect::feast) fn end(mut self) -> Result<usize, Unreadable> {
        self.came.sort_unstable();
        let twice = self.came.iter().zip(self.came.iter().skip(1)).filter(|(one, next)| one.0 == next.0);
        // The first that came again, wherever the permit has it.
        if let Some((twice, _)) = twice.map(|(_, next)| next).min_by_key(|(_, position)| *position) {
            let columns = self.permit.columns.iter().map(|(name, column)| (&**name, address(column)));
            let entities = self.permit.entities.iter().map(|entity| (&**entity, address(entity)));
            let name = columns.chain(entities).find(|(_, at)| at == twice).map_or("", |(name, _)| name);
            return unreadable(format!("column `{}` stands twice", shown(name)));
        }
        let (wanted, kept) = (self.permit.columns.values().filter(|column| **column != Column::Cut).count(), self.kept);
        if kept != wanted {
            return unreadable(format!("{wanted} columns were asked for and {kept} of them came"));
        }
        Ok(self.dropped)
    }
}

fn address<T>(of: &T) -> usize {
    std::ptr::from_ref(of).addr()
}
