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

/// A column that was decided.
#[derive(Debug)]
struct Decided<'a> {
    name: Cow<'a, str>,
    fate: Fate,
    /// The last container that had it.
    last: usize,
}

/// The columns of one alternative under one set of variables.
#[derive(Debug)]
pub(super) struct Memo<'a, 'l> {
    scope: Vec<(&'l str, Cow<'a, str>)>,
    columns: Vec<Decided<'a>>,
    /// Of each, where it is.
    places: HashMap<Cow<'a, str>, usize, foldhash::fast::RandomState>,
    /// Where the next one is, if it comes in the order of the container before.
    next: usize,
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
                let (columns, places) = (Vec::new(), HashMap::default());
                place.insert(Memo { scope, columns, places, next: 0, container: 0, kept: 0 })
            }
        };
        let first = memo.container != self.container;
        if first {
            (memo.container, memo.kept, memo.next) = (self.container, 0, 0);
        }
        Ok((memo, first))
    }

    /// How many columns were cut, in whichever alternatives.
    pub fn cut(&self) -> usize {
        let mut cut: HashSet<(&[Variable<'_>], &str)> = HashSet::new();
        for memo in self.known.values() {
            let columns = memo.columns.iter().filter(|column| column.fate == Fate::Cut);
            cut.extend(columns.map(|column| (memo.scope.as_slice(), column.name.as_ref())));
        }
        cut.len()
    }
}

impl<'a> Memo<'a, '_> {
    /// The fate of the container's next column.
    pub fn column(&mut self, judge: &mut Judge<'_>, part: &Part, name: Cow<'a, str>) -> Result<Fate, Unreadable> {
        let place = match self.columns.get(self.next) {
            Some(next) if next.name == name => Some(self.next),
            Some(_) | None => self.places.get(name.as_ref()).copied(),
        };
        let place = place.unwrap_or(self.columns.len());
        self.next = place + 1;
        let fate = match self.columns.get_mut(place) {
            Some(column) if column.last == self.container => {
                return unreadable(format!("column `{}` of `{}` stands twice", shown(&name), part.at));
            }
            Some(column) => {
                column.last = self.container;
                column.fate
            }
            None => {
                let Some(fate) = judge(&Column { name: &name, scope: &self.scope }) else {
                    return unreadable(format!("column `{}` of `{}` was not asked for", shown(&name), part.at));
                };
                self.places.insert(name.clone(), place);
                self.columns.push(Decided { name, fate, last: self.container });
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
