//! The columns that an answer may have, found by their names.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::index::{Features, Known};
use crate::policy::catalogue::FeatureId;

/// Column names as Feast answers them, and what becomes of each; those that were asked for first, in their order.
///
/// Columns of features that the catalogue has are numbers, and found by hashes that were made with the index: a permit has
/// one such list, and makes no text for it.
#[derive(Debug, Default)]
pub struct Columns {
    features: Option<Arc<Features>>,
    /// Whether features are answered by their full names.
    full_names: bool,
    hashes: RandomState,
    list: Vec<Entry>,
    places: Places,
    /// How many of them are kept.
    kept: usize,
}

/// What becomes of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Column<'c> {
    /// Returned under this name.
    Keep(&'c str),
    /// Cut.
    Cut,
}

#[derive(Debug)]
enum Entry {
    Feature { id: FeatureId, kept: bool },
    Other(Box<Other>),
}

#[derive(Debug)]
struct Other {
    name: Arc<str>,
    /// `None`: it is cut.
    answered: Option<Arc<str>>,
}

impl Columns {
    /// No columns yet, about so many, most of them of these features.
    pub(super) fn of(features: &Arc<Features>, capacity: usize, full_names: bool) -> Self {
        Self {
            hashes: features.hashes.clone(),
            features: Some(Arc::clone(features)),
            full_names,
            list: Vec::with_capacity(capacity),
            places: Places::with_capacity(capacity),
            kept: 0,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many are not cut.
    pub fn kept(&self) -> usize {
        self.kept
    }

    /// Of a name, for [`Places`] of the same query.
    pub(super) fn hash(&self, name: &str) -> u32 {
        hash(&self.hashes, name)
    }

    /// A column by its name: its place in the list, unlike that of any other, and what becomes of it.
    pub fn get(&self, name: &str) -> Option<(usize, Column<'_>)> {
        let place = self.find(hash(&self.hashes, name), name)?;
        let (_, column) = self.column(self.list.get(place)?);
        Some((place, column))
    }

    /// The column at a place, if it has this name.
    pub fn at(&self, place: usize, name: &str) -> Option<Column<'_>> {
        let (is, column) = self.column(self.list.get(place)?);
        (is == name).then_some(column)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Column<'_>)> {
        self.list.iter().map(|entry| self.column(entry))
    }

    /// The views of the features that are kept.
    pub(super) fn views(&self) -> impl Iterator<Item = &Arc<str>> {
        self.list.iter().filter_map(|entry| match entry {
            Entry::Feature { id, kept } => self.known(*id).filter(|_| *kept).map(|known| &known.view),
            Entry::Other(_) => None,
        })
    }

    /// Adds the column of a feature that is kept, unless there is one of its name: whether it is added.
    pub(super) fn keep_feature(&mut self, id: FeatureId, known: &Known) -> bool {
        let fresh = self.find(known.hash, &known.full).is_none();
        if fresh {
            self.add(known.hash, Entry::Feature { id, kept: true });
            self.kept += 1;
        }
        fresh
    }

    /// Adds another column that is kept, as [`keep_feature`](Self::keep_feature).
    pub fn keep(&mut self, name: Arc<str>, answered: Arc<str>) -> bool {
        let hash = hash(&self.hashes, &name);
        let fresh = self.find(hash, &name).is_none();
        if fresh {
            self.add(hash, Entry::Other(Box::new(Other { name, answered: Some(answered) })));
            self.kept += 1;
        }
        fresh
    }

    /// Cuts the column of a feature; one of its name that is kept, only `strictly`.
    pub(super) fn cut_feature(&mut self, id: FeatureId, known: &Known, strictly: bool) {
        match self.find(known.hash, &known.full) {
            Some(place) if strictly => self.cut_at(place),
            Some(_) => {}
            None => self.add(known.hash, Entry::Feature { id, kept: false }),
        }
    }

    /// Cuts another column, as [`cut_feature`](Self::cut_feature).
    pub fn cut(&mut self, name: Arc<str>, strictly: bool) {
        let hash = hash(&self.hashes, &name);
        match self.find(hash, &name) {
            Some(place) if strictly => self.cut_at(place),
            Some(_) => {}
            None => self.add(hash, Entry::Other(Box::new(Other { name, answered: None }))),
        }
    }

    fn cut_at(&mut self, place: usize) {
        let was_kept = match self.list.get_mut(place) {
            Some(Entry::Feature { kept, .. }) => std::mem::take(kept),
            Some(Entry::Other(other)) => other.answered.take().is_some(),
            None => false,
        };
        self.kept -= usize::from(was_kept);
    }

    fn add(&mut self, hash: u32, entry: Entry) {
        self.places.add(hash, self.list.len());
        self.list.push(entry);
    }

    fn find(&self, hash: u32, name: &str) -> Option<usize> {
        self.places.find(hash, |place| self.list.get(place).is_some_and(|entry| self.column(entry).0 == name))
    }

    fn known(&self, id: FeatureId) -> Option<&Known> {
        self.features.as_ref()?.known(id)
    }

    fn column<'c>(&'c self, entry: &'c Entry) -> (&'c str, Column<'c>) {
        match entry {
            Entry::Feature { id, kept } => match self.known(*id) {
                Some(known) if !kept => (&known.full, Column::Cut),
                Some(known) if self.full_names => (&known.full, Column::Keep(&known.full)),
                Some(known) => (&known.full, Column::Keep(known.short())),
                // What is no feature has no column.
                None => ("", Column::Cut),
            },
            Entry::Other(other) => (&other.name, other.answered.as_deref().map_or(Column::Cut, Column::Keep)),
        }
    }
}

/// Of a name, as [`Places`] takes it.
pub(super) fn hash(hashes: &RandomState, name: &str) -> u32 {
    // The upper half.
    u32::try_from(hashes.hash_one(name) >> 32).unwrap_or(u32::MAX)
}

/// Where things stand in a list, by hashes that nobody outside can choose.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// As many as a power of two, at least twice as many as there are things. The hash and the place plus 1; 0: none.
    slots: Vec<(u32, u32)>,
    len: usize,
}

impl Places {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self { slots: vec![(0, 0); (capacity * 2).next_power_of_two().max(8)], len: 0 }
    }

    /// The place of a thing with this hash that `is` the one.
    #[inline]
    pub(super) fn find(&self, hash: u32, is: impl Fn(usize) -> bool) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut at = hash as usize & mask;
        loop {
            let (of, next) = *self.slots.get(at)?;
            let place = (next as usize).checked_sub(1)?;
            if of == hash && is(place) {
                return Some(place);
            }
            at = (at + 1) & mask;
        }
    }

    /// Adds a place that was not found.
    #[inline]
    pub(super) fn add(&mut self, hash: u32, place: usize) {
        if self.len * 2 >= self.slots.len() {
            self.grow();
        }
        // No list has 2^32 entries: its names would be no request.
        self.put(hash, u32::try_from(place + 1).unwrap_or(u32::MAX));
        self.len += 1;
    }

    fn put(&mut self, hash: u32, next: u32) {
        let mask = self.slots.len().saturating_sub(1);
        let mut at = hash as usize & mask;
        while let Some(slot) = self.slots.get_mut(at) {
            if slot.1 == 0 {
                *slot = (hash, next);
                return;
            }
            at = (at + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let larger = vec![(0, 0); (self.slots.len() * 2).max(8)];
        for (hash, next) in std::mem::replace(&mut self.slots, larger) {
            if next != 0 {
                self.put(hash, next);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_is_found_by_its_name_at_a_place_of_its_own() {
        let mut columns = Columns::default();
        assert_eq!(columns.get("v__0"), None);
        let name = |number: usize| format!("v__{number}");
        for number in 0..1000 {
            assert!(columns.keep(name(number).into(), format!("as {number}").into()));
            assert!(!columns.keep(name(number / 2).into(), "another".into()), "{number}");
        }
        for number in 0..1000 {
            let answered = format!("as {number}");
            assert_eq!(columns.get(&name(number)), Some((number, Column::Keep(&answered))));
            assert_eq!(columns.at(number, &name(number)), Some(Column::Keep(&answered)));
            assert_eq!(columns.at(number, &name(number + 1)), None);
        }
        assert_eq!((columns.get("v__1000"), columns.len(), columns.kept()), (None, 1000, 1000));
    }

    #[test]
    fn what_is_kept_is_cut_strictly_alone_and_counted_once() {
        let mut columns = Columns::default();
        columns.keep("a".into(), "a".into());
        columns.cut("a".into(), false);
        columns.cut("b".into(), false);
        assert_eq!((columns.get("a"), columns.kept()), (Some((0, Column::Keep("a"))), 1));
        columns.cut("a".into(), true);
        columns.cut("a".into(), true);
        columns.cut("b".into(), true);
        assert_eq!(columns.iter().collect::<Vec<_>>(), [("a", Column::Cut), ("b", Column::Cut)]);
        assert_eq!((columns.len(), columns.kept()), (2, 0));
        assert!(!columns.keep("b".into(), "b".into()));
        assert_eq!(columns.get("b"), Some((1, Column::Cut)));
    }

    #[test]
    fn two_names_of_one_hash_are_two_things() {
        let mut places = Places::default();
        let names: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        for place in 0..names.len() {
            assert_eq!(places.find(7, |other| names[other] == names[place]), None);
            places.add(7, place);
        }
        for place in 0..names.len() {
            assert_eq!(places.find(7, |other| names[other] == names[place]), Some(place));
        }
        assert_eq!((places.find(8, |_| true), places.find(7, |_| false)), (None, None));
    }
}
