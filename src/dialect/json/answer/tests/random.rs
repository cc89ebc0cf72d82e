//! Random descriptions and answers, right and wrong ones, against a second opinion.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::opinion::{opinion, same, wholes};
use super::world::{World, world};
use super::*;

/// What the engine says, and every column that it asked about.
fn engine(world: &World, text: &str) -> (Result<Answer, Unreadable>, BTreeMap<(String, String), Fate>) {
    let layout = Layout::new(&world.answers, &world.force).unwrap();
    let mut seen = BTreeMap::new();
    let scope = |scope: &[Variable<'_>]| scope.first().map(|(_, value)| value.to_string()).unwrap_or_default();
    let mut judge = |column: &Column<'_>| {
        let column = (scope(column.scope), column.name.to_owned());
        let fate = *world.fates.get(&column)?;
        seen.insert(column, fate);
        Some(fate)
    };
    let want = Want { kept: &|held| Some(world.wanted(&scope(held))), asked_for: &world.asked_for };
    let answer = cut(text.as_bytes(), &layout, &want, &mut judge);
    (answer, seen)
}

/// What every value and every undescribed member of a random answer bears.
fn marks(text: &str) -> BTreeSet<&str> {
    text.split('§').filter(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())).collect()
}

/// How an answer was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Taken {
    Refused,
    AsItCame,
    Cut,
}

fn agree(world: &World, text: &str) -> Taken {
    let (answer, seen) = engine(world, text);
    let (opinion, left) = match (opinion(world, text), &answer) {
        (Ok(expected), Ok(_)) => expected,
        (Err(_), Err(_)) => return Taken::Refused,
        // The other parser lets half a surrogate pair pass where it reads nothing of it.
        (Ok(_), Err(Unreadable(why))) if why.contains("surrogate") => return Taken::Refused,
        (expected, _) => {
            panic!("{answer:?} where {:?} is expected of {text}\nby {world:?}", expected.map(|(_, left)| left))
        }
    };
    assert_eq!(seen, opinion.seen, "{text}\n{world:?}");
    let refused = opinion.seen.values().filter(|fate| **fate == Fate::Cut).count();
    let (passed, taken) = match &answer {
        Ok(Answer::Cut { body, dropped }) => {
            assert_eq!(*dropped, refused, "{text}\n{world:?}");
            (Cow::Owned(String::from_utf8(body.whole(text.as_bytes())).unwrap()), Taken::Cut)
        }
        _ => (Cow::Borrowed(text), Taken::AsItCame),
    };
    let passed = &*passed;
    assert!(same(&left, passed), "{passed}\nis not {left:?}\nof {text}\nby {world:?}");
    // Nothing else, in whatever place or spelling, and nothing that would be cut again.
    let mut all = String::new();
    wholes(&left, &mut all);
    assert!(marks(passed).is_subset(&marks(&all)), "{passed} of {text}\nby {world:?}");
    if world.force.is_empty() {
        assert_eq!(engine(world, passed).0, Ok(Answer::AsItCame), "{passed}\nof {text}\nby {world:?}");
    }
    taken
}

/// What may happen to a text on its way.
#[derive(Clone, Debug)]
enum Change {
    /// One character becomes another.
    Flip(prop::sample::Index, char),
    Truncate(prop::sample::Index),
    /// A part is repeated elsewhere.
    Repeat(prop::sample::Index, usize, prop::sample::Index),
    /// Two texts change their places: names, keys, values.
    Swap(prop::sample::Index, prop::sample::Index),
    /// One text becomes another one.
    Copy(prop::sample::Index, prop::sample::Index),
    Remove(prop::sample::Index, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<prop::sample::Index>;
    let byte = prop::sample::select("\"\\[]{},:01abcnu \n§".chars().collect::<Vec<_>>());
    prop_oneof![
        2 => (at(), byte).prop_map(|(at, to)| Change::Flip(at, to)),
        1 => at().prop_map(Change::Truncate),
        2 => (at(), 1..30_usize, at()).prop_map(|(from, length, to)| Change::Repeat(from, length, to)),
        4 => (at(), at()).prop_map(|(a, b)| Change::Swap(a, b)),
        4 => (at(), at()).prop_map(|(a, b)| Change::Copy(a, b)),
        1 => (at(), 1..10_usize).prop_map(|(at, length)| Change::Remove(at, length)),
    ]
}

/// Where the strings of a text are, quotes included.
fn strings(text: &[char]) -> Vec<(usize, usize)> {
    let (mut found, mut start, mut escaped) = (Vec::new(), None, false);
    for (at, c) in text.iter().enumerate() {
        match (c, start) {
            _ if escaped => escaped = false,
            ('\\', Some(_)) => escaped = true,
            ('"', None) => start = Some(at),
            ('"', Some(begin)) => {
                found.push((begin, at + 1));
                start = None;
            }
            _ => {}
        }
    }
    found
}

fn changed(text: &str, changes: &[Change]) -> String {
    let mut text: Vec<char> = text.chars().collect();
    for change in changes {
        let strings = strings(&text);
        if text.is_empty() || strings.is_empty() {
            break;
        }
        let part = |at: &prop::sample::Index| {
            let (start, end) = strings[at.index(strings.len())];
            (start, end, text[start..end].to_vec())
        };
        match change {
            Change::Flip(at, to) => {
                let at = at.index(text.len());
                text[at] = *to;
            }
            Change::Truncate(at) => text.truncate(at.index(text.len())),
            Change::Repeat(from, length, to) => {
                let from = from.index(text.len());
                let part = text[from..text.len().min(from + length)].to_vec();
                let to = to.index(text.len());
                text.splice(to..to, part);
            }
            Change::Swap(a, b) => {
                let (mut a, mut b) = (part(a), part(b));
                if a.0 > b.0 {
                    std::mem::swap(&mut a, &mut b);
                }
                if a.0 < b.0 {
                    text.splice(b.0..b.1, a.2);
                    text.splice(a.0..a.1, b.2);
                }
            }
            Change::Copy(a, b) => {
                let (a, b) = (part(a), part(b));
                text.splice(b.0..b.1, a.2);
            }
            Change::Remove(at, length) => {
                let at = at.index(text.len());
                let end = text.len().min(at + length);
                text.drain(at..end);
            }
        }
    }
    text.into_iter().collect()
}

/// The choices that make a world; what they made is what a failure shows.
struct Tape(Vec<u16>);

impl std::fmt::Debug for Tape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} choices", self.0.len())
    }
}

fn tape() -> impl Strategy<Value = Tape> {
    vec(any::<u16>(), 0..400).prop_map(Tape)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn only_what_may_pass_is_left_and_all_of_it(tape in tape()) {
        let world = world(tape.0);
        agree(&world, &world.text);
    }

    #[test]
    fn whatever_happens_to_an_answer_nothing_more_passes(tape in tape(), changes in vec(change(), 1..4)) {
        let world = world(tape.0);
        agree(&world, &changed(&world.text, &changes));
    }
}

/// That the random answers are worth it: of every kind there are many.
#[test]
fn random_answers_are_of_every_kind() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut count: BTreeMap<(&str, Taken), usize> = BTreeMap::new();
    for _ in 0..2000 {
        let world = world(tape().new_tree(&mut runner).unwrap().current().0);
        let taken = agree(&world, &world.text);
        for answer in &world.answers {
            let shape = match answer.shape {
                Shape::Objects { .. } => "objects",
                Shape::Columns { .. } => "columns",
                Shape::Rows { .. } => "rows",
                Shape::Records { .. } => "records",
            };
            *count.entry((shape, taken)).or_default() += 1;
        }
    }
    for shape in ["objects", "columns", "rows", "records"] {
        for (taken, least) in [(Taken::Refused, 20), (Taken::AsItCame, 5), (Taken::Cut, 60)] {
            let times = count.get(&(shape, taken)).copied().unwrap_or_default();
            assert!(times >= least, "{shape} {taken:?}: {times} of {count:?}");
        }
    }
}
