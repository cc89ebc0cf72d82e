//! The places of a description, as an answer grows along them.

use std::collections::BTreeMap;

use crate::dialect::json::pointer::Step;

/// What a value is made of.
#[derive(Debug)]
pub(super) enum Grown {
    Map(BTreeMap<String, Grown>),
    /// For each name of an alternative, or any number.
    Each(Box<Grown>, Option<usize>),
    Cell,
    /// The name of the entry that is written.
    Name,
    /// The variable of an alternative.
    Variable(usize),
    Objects(usize),
    Records(usize),
}

/// Puts a leaf behind a way, with what is on it.
pub(super) fn grow(place: &mut Option<Grown>, way: &[Step], leaf: Grown) {
    match way {
        [] => *place = Some(leaf),
        [Step::Key(name), rest @ ..] => {
            let Grown::Map(members) = place.get_or_insert_with(|| Grown::Map(BTreeMap::new())) else {
                panic!("{name}")
            };
            let mut member = members.remove(name);
            grow(&mut member, rest, leaf);
            members.insert(name.clone(), member.unwrap());
        }
        [Step::Each, rest @ ..] => {
            let (element, of) = match place.take() {
                Some(Grown::Each(element, of)) => (Some(*element), of),
                _ => (None, None),
            };
            let mut element = element;
            grow(&mut element, rest, leaf);
            *place = Some(Grown::Each(Box::new(element.unwrap()), of));
        }
    }
}

/// Says whose names a list has.
pub(super) fn mark(place: &mut Option<Grown>, way: &[Step], alternative: usize) {
    fn down(grown: &mut Grown, way: &[Step], alternative: usize) {
        match (grown, way) {
            (Grown::Each(_, of), []) => *of = Some(alternative),
            (Grown::Each(element, _), [_, rest @ ..]) => down(element, rest, alternative),
            (Grown::Map(members), [Step::Key(name), rest @ ..]) => {
                down(members.get_mut(name).unwrap(), rest, alternative);
            }
            (grown, way) => panic!("{grown:?} {way:?}"),
        }
    }
    down(place.as_mut().unwrap(), way, alternative);
}
