//! What was decided on the columns of an answer: each is asked about once, however many rows have it.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use super::layout::Part;
use super::{Column, Judge, Variable, Want, unreadable};
use crate::dialect::json::plan::Fate;
use crate::dialect::{Unreadable, shown};

/// Bytes of what a variable of the answer holds. It is a part of the name of every column, and looked up as often.
const LONGEST_VARIABLE: usize = 1024;

/// Of each alternative, with what its variables hold, the columns that were seen.
#[derive(Debug, Default)]
pub(super) struct Memos<'a, 'l> {
    known: HashMap<Key<'a, 'l>, Memo<'a, 'l>>,
    /// The number of the container that is read; the first is 1.
    container: usize,
}

/// An alternative, and its variables.
pub(super) type Key<'a, 'l> = (usize, Vec<(&'l str, Cow<'a, str>)>);

/// The columns of one alternative under one set of variables.
#[derive(Debug)]
pub(super) struct Memo<'a, 'l> {
    scope: Vec<(&'l str, Cow<'a, str>)>,
    /// Of each column, its fate and the last container that had it.
    columns: HashMap<Cow<'a, str>, (Fate, usize)>,
    container: usize,
    /// So many of the container's columns were asked for.
    kept: usize,
}

impl<'a, 'l> Memos<'a, 'l> {
    /// A container begins.
    pub fn begin(&mut self) {
        self.container += 1;
    }

    /// The columns for what the variables hold; and whether the container has none of them yet.
    pub fn of(
        &mut self,
        number: usize,
        part: &'l Part,
        held: &[Option<Cow<'a, str>>],
    ) -> Result<(&mut Memo<'a, 'l>, bool), Unreadable> {
        let mut scope = Vec::with_capacity(part.variables.len());
        for (variable, held) in part.variables.iter().zip(held) {
            let Some(held) = held else {
                return unreadable(format!("the variable `{variable}` of `{}` is missing or no text", part.at));
            };
            if held.len() > LONGEST_VARIABLE {
                let most = format!("is longer than {LONGEST_VARIABLE} bytes");
                return unreadable(format!("the variable `{variable}` of `{}` {most}", part.at));
            }
            scope.push((variable.as_str(), held.clone()));
        }
        let memo = match self.known.entry((number, scope)) {
            Entry::Occupied(memo) => memo.into_mut(),
            Entry::Vacant(place) => {
                let scope = place.key().1.clone();
                place.insert(Memo { scope, columns: HashMap::new(), container: 0, kept: 0 })
            }
        };
        let first = memo.container != self.container;
        if first {
            (memo.container, memo.kept) = (self.container, 0);
        }
        Ok((memo, first))
    }

    /// How many columns were cut, in whichever alternatives.
    pub fn cut(&self) -> usize {
        let mut cut: HashSet<(&[Variable<'_>], &str)> = HashSet::new();
        for memo in self.known.values() {
            let columns = memo.columns.iter().filter(|(_, (fate, _))| *fate == Fate::Cut);
            cut.extend(columns.map(|(name, _)| (memo.scope.as_slice(), name.as_ref())));
        }
        cut.len()
    }
}

impl<'a> Memo<'a, '_> {
    /// The fate of the container's next column.
    pub fn column(&mut self, judge: &mut Judge<'_>, part: &Part, name: Cow<'a, str>) -> Result<Fate, Unreadable> {
        let fate = match self.columns.get_mut(name.as_ref()) {
            Some((_, last)) if *last == self.container => {
                return unreadable(format!("column `{}` of `{}` stands twice", shown(&name), part.at));
            }
            Some((fate, last)) => {
                *last = self.container;
                *fate
            }
            None => {
                let Some(fate) = judge(&Column { name: &name, scope: &self.scope }) else {
                    return unreadable(format!("column `{}` of `{}` was not asked for", shown(&name), part.at));
                };
                self.columns.insert(name, (fate, self.container));
                fate
            }
        };
        self.kept += usize::from(fate == Fate::Keep);
        Ok(fate)
    }

    /// The container ends: it must have what was asked for.
    pub fn enough(&self, part: &Part, want: &Want<'_>) -> Result<(), Unreadable> {
        let wanted = if part.sparse { None } else { (want.kept)(&self.scope) };
        match wanted {
            Some(wanted) if wanted != self.kept => {
                unreadable(format!("{wanted} columns were asked for and `{}` has {} of them", part.at, self.kept))
            }
            Some(_) | None => Ok(()),
        }
    }
}
