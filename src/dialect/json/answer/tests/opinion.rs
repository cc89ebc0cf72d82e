//! What the contract expects of an answer, worked out anew: by places, on what another parser read, in the plainest way.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::world::World;
use super::*;
use crate::dialect::json::pointer::Step;

/// A step to one value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum To {
    Key(String),
    Index(usize),
}

type Address = Vec<To>;

/// What is left of an answer.
#[derive(Debug)]
pub(super) enum Left {
    /// Byte for byte.
    Whole(String),
    Map(Vec<(String, Left)>),
    List(Vec<Left>),
}

#[derive(Debug, Default)]
pub(super) struct Opinion {
    /// What is cut, by where it stands.
    cut: BTreeSet<Address>,
    /// Every column, by the variable of the answer and its name.
    pub seen: BTreeMap<(String, String), Fate>,
}

/// The members of an object in their order; `None`: another value.
fn members(raw: &str) -> Option<Vec<(String, &str)>> {
    struct Pairs;
    impl<'de> Visitor<'de> for Pairs {
        type Value = Vec<(String, &'de str)>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut pairs = Vec::new();
            while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
                pairs.push((key, value.get()));
            }
            Ok(pairs)
        }
    }
    let mut reader = serde_json::Deserializer::from_str(raw);
    let pairs = reader.deserialize_map(Pairs).ok()?;
    reader.end().ok().map(|()| pairs)
}

/// The elements of a list; `None`: another value.
fn elements(raw: &str) -> Option<Vec<&str>> {
    let elements: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
    Some(elements.into_iter().map(RawValue::get).collect())
}

fn string(raw: &str) -> Option<String> {
    serde_json::from_str(raw).ok()
}

/// Whether it is JSON in which no key stands twice.
fn strict(raw: &str) -> bool {
    if let Some(members) = members(raw) {
        let keys: BTreeSet<&String> = members.iter().map(|(key, _)| key).collect();
        return keys.len() == members.len() && members.iter().all(|(_, value)| strict(value));
    }
    match elements(raw) {
        Some(elements) => elements.into_iter().all(strict),
        None => serde_json::from_str::<&RawValue>(raw).is_ok() && !raw.trim().starts_with(['{', '[']),
    }
}

fn fits(step: &Step, to: &To) -> bool {
    match (step, to) {
        (Step::Key(key), To::Key(other)) => key == other,
        (Step::Each, To::Index(_)) => true,
        (Step::Key(_), To::Index(_)) | (Step::Each, To::Key(_)) => false,
    }
}

/// Whether the first steps are those of an address.
fn reaches(steps: &[Step], address: &[To]) -> bool {
    steps.len() >= address.len() && steps.iter().zip(address).all(|(step, to)| fits(step, to))
}

fn each() -> Step {
    Step::Each
}

/// Every place of the description, to its end.
fn described(world: &World) -> Vec<Vec<Step>> {
    let mut all: Vec<Vec<Step>> = Vec::new();
    for answer in &world.answers {
        all.extend(answer.pass.iter().map(|pass| pass.0.clone()));
        match &answer.shape {
            Shape::Objects { at } => all.push(at.0.clone()),
            Shape::Records { at, .. } => all.push(at.0.clone()),
            Shape::Columns { names, at, aligned } | Shape::Rows { names, at, aligned } => {
                all.push(names.0.clone());
                all.extend([at].into_iter().chain(aligned).map(|at| [&at.0[..], &[each()]].concat()));
            }
        }
        let within = |pointer: &Pointer| match &answer.shape {
            Shape::Records { at, .. } => pointer.0.starts_with(&at.0),
            Shape::Objects { .. } | Shape::Columns { .. } | Shape::Rows { .. } => false,
        };
        all.extend(answer.scope.iter().filter(|(_, at)| !within(at)).map(|(_, at)| at.0.clone()));
    }
    all.extend(world.force.iter().flat_map(|force| &force.adds).map(|adds| adds.0.clone()));
    all
}

impl Opinion {
    /// Every value at a place, outside of what is cut.
    fn expand<'t>(&self, text: &'t str, steps: &[Step]) -> Result<Vec<(Address, &'t str)>, String> {
        let mut found = vec![(Address::new(), text)];
        for step in steps {
            let mut next = Vec::new();
            for (address, raw) in found {
                if raw == "null" || self.cut.contains(&address) {
                    continue;
                }
                match step {
                    Step::Key(key) => {
                        let members = members(raw).ok_or("no object")?;
                        let of = members.into_iter().filter(|(own, _)| own == key);
                        next.extend(of.map(|(key, raw)| ([&address[..], &[To::Key(key)]].concat(), raw)));
                    }
                    Step::Each => {
                        let elements = elements(raw).ok_or("no list")?.into_iter().enumerate();
                        next.extend(elements.map(|(at, raw)| ([&address[..], &[To::Index(at)]].concat(), raw)));
                    }
                }
            }
            found = next;
        }
        found.retain(|(address, _)| !(0..=address.len()).any(|end| self.cut.contains(&address[..end])));
        Ok(found)
    }

    /// What a variable of an alternative holds at an address.
    fn variable(&self, world: &World, alternative: usize, text: &str, at: &[To]) -> Result<String, String> {
        let Some((_, pointer)) = world.answers[alternative].scope.first() else { return Ok(String::new()) };
        let last = pointer.0.iter().rposition(|step| *step == Step::Each).map_or(0, |last| last + 1);
        let found = self.expand(text, &pointer.0)?;
        let shared = found.into_iter().find(|(address, _)| address[..last] == at[..last]);
        shared.and_then(|(_, raw)| string(raw)).ok_or("no variable".to_owned())
    }

    fn column(&mut self, world: &World, scope: &str, name: &str) -> Result<Fate, String> {
        let column = (scope.to_owned(), name.to_owned());
        let fate = *world.fates.get(&column).ok_or(format!("`{name}` is not known"))?;
        self.seen.insert(column, fate);
        Ok(fate)
    }

    /// The names of one container, each with where it stands.
    fn container(
        &mut self,
        world: &World,
        alternative: usize,
        names: &[(String, String, Address)],
    ) -> Result<(), String> {
        let mut distinct = BTreeSet::new();
        let mut kept: BTreeMap<&str, usize> = BTreeMap::new();
        for (scope, name, address) in names {
            if !distinct.insert((scope, name)) {
                return Err(format!("`{name}` stands twice"));
            }
            let fate = self.column(world, scope, name)?;
            *kept.entry(scope).or_default() += usize::from(fate == Fate::Keep);
            if fate == Fate::Cut {
                self.cut.insert(address.clone());
            }
        }
        let all = world.answers[alternative].sparse || kept.iter().all(|(scope, kept)| *kept == world.wanted(scope));
        if all { Ok(()) } else { Err("too few".to_owned()) }
    }

    fn alternative(&mut self, world: &World, number: usize, text: &str) -> Result<bool, String> {
        let answer = &world.answers[number];
        let at = match &answer.shape {
            Shape::Objects { at } => {
                for (address, raw) in self.expand(text, &at.0)? {
                    if raw == "null" {
                        continue;
                    }
                    let scope = self.variable(world, number, text, &address)?;
                    let members = members(raw).ok_or("no object")?.into_iter();
                    let names: Vec<_> = members
                        .map(|(key, _)| (scope.clone(), key.clone(), [&address[..], &[To::Key(key)]].concat()))
                        .collect();
                    self.container(world, number, &names)?;
                    if names.is_empty() && !answer.sparse && world.wanted(&scope) > 0 {
                        return Err("an empty object".to_owned());
                    }
                }
                at
            }
            Shape::Records { at, name } => {
                let inner = answer.scope.first().is_some_and(|(_, pointer)| pointer.0.starts_with(&at.0));
                for (address, raw) in self.expand(text, &at.0[..at.0.len() - 1])? {
                    if raw == "null" {
                        continue;
                    }
                    let mut names = Vec::new();
                    for (index, record) in elements(raw).ok_or("no list")?.into_iter().enumerate() {
                        let address = [&address[..], &[To::Index(index)]].concat();
                        let found = self.expand(record, &name.0).ok().and_then(|found| string(found.first()?.1));
                        names.push((self.variable(world, number, text, &address)?, found.ok_or("no name")?, address));
                    }
                    if names.is_empty() && !inner {
                        let scope = self.variable(world, number, text, &address)?;
                        if !answer.sparse && world.wanted(&scope) > 0 {
                            return Err("no records".to_owned());
                        }
                    }
                    self.container(world, number, &names)?;
                }
                at
            }
            Shape::Columns { names, at, aligned } | Shape::Rows { names, at, aligned } => {
                let (before, behind) = names.around_each().unwrap();
                let list = self.expand(text, before)?.pop().filter(|(_, raw)| *raw != "null");
                let mut read = Vec::new();
                if let Some((address, raw)) = &list {
                    let scope = self.variable(world, number, text, address)?;
                    for (index, entry) in elements(raw).ok_or("no list")?.into_iter().enumerate() {
                        let found = self.expand(entry, behind).ok().and_then(|found| string(found.first()?.1));
                        let address = [&address[..], &[To::Index(index)]].concat();
                        read.push((scope.clone(), found.ok_or("no name")?, address));
                    }
                    self.container(world, number, &read)?;
                    if read.is_empty() && !answer.sparse && world.wanted(&scope) > 0 {
                        return Err("no names".to_owned());
                    }
                }
                for lists in [at].into_iter().chain(aligned) {
                    for (address, raw) in self.expand(text, &lists.0)? {
                        if raw == "null" {
                            continue;
                        }
                        if list.is_none() || elements(raw).ok_or("no list")?.len() != read.len() {
                            return Err("other names".to_owned());
                        }
                        for (index, (scope, name, _)) in read.iter().enumerate() {
                            if world.fates.get(&(scope.clone(), name.clone())) == Some(&Fate::Cut) {
                                self.cut.insert([&address[..], &[To::Index(index)]].concat());
                            }
                        }
                    }
                }
                let first = at.0.iter().position(|step| *step == Step::Each).unwrap_or(at.0.len());
                if self.expand(text, &at.0[..first])?.is_empty() == list.is_some() {
                    return Err("names or values are missing".to_owned());
                }
                at
            }
        };
        let first = at.0.iter().position(|step| *step == Step::Each).unwrap_or(at.0.len());
        Ok(!self.expand(text, &at.0[..first])?.is_empty())
    }

    /// What is left of a value, and whether it goes with what was forced.
    fn prune(&self, world: &World, places: &[Vec<Step>], address: &Address, raw: &str) -> (Left, bool) {
        let adds = world.force.iter().zip(&world.asked_for);
        let here = |place: &&Pointer| place.0.len() == address.len() && reaches(&place.0, address);
        let mut adds = adds.filter(|(force, _)| force.adds.iter().any(|place| here(&place))).peekable();
        let forced = adds.peek().is_some() && adds.all(|(_, asked_for)| !asked_for);

        let goes_on = places.iter().any(|place| place.len() > address.len() && reaches(place, address));
        let objects = world.answers.iter().any(|answer| match &answer.shape {
            Shape::Objects { at } => at.0.len() == address.len() && reaches(&at.0, address),
            Shape::Columns { .. } | Shape::Rows { .. } | Shape::Records { .. } => false,
        });
        let (mut gone, mut others) = (0, 0);
        let left = match (members(raw), elements(raw)) {
            (Some(members), _) if goes_on || objects => {
                let mut left = Vec::new();
                for (key, raw) in members {
                    let address = [&address[..], &[To::Key(key.clone())]].concat();
                    if self.cut.contains(&address) {
                        continue;
                    }
                    if !objects && !places.iter().any(|place| reaches(place, &address)) {
                        others += 1;
                        continue;
                    }
                    match self.prune(world, places, &address, raw) {
                        (_, true) => gone += 1,
                        (value, false) => left.push((key, value)),
                    }
                }
                let emptied = gone > 0 && left.is_empty() && others == 0;
                (Left::Map(left), emptied)
            }
            (_, Some(elements)) if goes_on => {
                let mut left = Vec::new();
                for (index, raw) in elements.into_iter().enumerate() {
                    let address = [&address[..], &[To::Index(index)]].concat();
                    if !self.cut.contains(&address) {
                        let (value, goes) = self.prune(world, places, &address, raw);
                        gone += usize::from(goes);
                        left.push(value);
                    }
                }
                let emptied = gone > 0 && gone == left.len();
                (Left::List(left), emptied)
            }
            _ => (Left::Whole(raw.to_owned()), false),
        };
        (left.0, left.1 || forced)
    }
}

/// What is left of an answer; an error: it must not pass.
pub(super) fn opinion(world: &World, text: &str) -> Result<(Opinion, Left), String> {
    let text = text.trim_matches([' ', '\n', '\t', '\r']);
    if !strict(text) || !text.starts_with(['{', '[']) {
        return Err("no strict json".to_owned());
    }
    let mut opinion = Opinion::default();
    let mut there = false;
    for number in 0..world.answers.len() {
        there |= opinion.alternative(world, number, text)?;
    }
    if !there && !world.answers.iter().any(|answer| answer.sparse) {
        return Err("none of the alternatives".to_owned());
    }
    let places = described(world);
    for place in &places {
        // Of the right kinds all the way.
        opinion.expand(text, place)?;
    }
    for (_, at) in world.answers.iter().flat_map(|answer| &answer.scope) {
        if opinion.expand(text, &at.0)?.iter().any(|(_, raw)| string(raw).is_none()) {
            return Err("a variable that is no text".to_owned());
        }
    }
    let (left, _) = opinion.prune(world, &places, &Address::new(), text);
    Ok((opinion, left))
}

/// Whether a text is what is left.
pub(super) fn same(left: &Left, raw: &str) -> bool {
    let raw = raw.trim_matches([' ', '\n', '\t', '\r']);
    match left {
        Left::Whole(whole) => whole == raw,
        Left::Map(wanted) => members(raw).is_some_and(|members| {
            members.len() == wanted.len()
                && wanted.iter().zip(members).all(|((key, left), (own, raw))| *key == own && same(left, raw))
        }),
        Left::List(wanted) => elements(raw).is_some_and(|elements| {
            elements.len() == wanted.len() && wanted.iter().zip(elements).all(|(left, raw)| same(left, raw))
        }),
    }
}

/// All that is left, one behind the other.
pub(super) fn wholes(left: &Left, out: &mut String) {
    match left {
        Left::Whole(whole) => out.push_str(whole),
        Left::Map(members) => members.iter().for_each(|(_, left)| wholes(left, out)),
        Left::List(elements) => elements.iter().for_each(|left| wholes(left, out)),
    }
}
