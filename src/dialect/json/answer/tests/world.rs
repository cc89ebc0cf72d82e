//! Random descriptions, and answers of servers that they describe.

use std::collections::BTreeMap;

use super::*;
use crate::dialect::json::pointer::Step;
use grown::{Grown, grow, mark};

mod grown;

const NAMES: [&str; 8] = ["a", "b", "long_name", "q\"uote", "s\\la/sh~", "tab\t", "", "é😀"];
const SCOPES: [&str; 2] = ["g", "h\"é"];

/// A described server, what a caller may have of it, and an answer.
#[derive(Debug)]
pub(super) struct World {
    pub answers: Vec<Described>,
    pub force: Vec<Force>,
    pub asked_for: Vec<bool>,
    /// By the variable of the answer, empty without one, and the name.
    pub fates: BTreeMap<(String, String), Fate>,
    pub text: String,
}

impl World {
    /// How many columns a container with this variable must have.
    pub fn wanted(&self, scope: &str) -> usize {
        self.fates.iter().filter(|((own, _), fate)| own == scope && **fate == Fate::Keep).count()
    }
}

/// Writes an answer, and everything else, by choices; without any left it takes the first and plainest.
struct Maker {
    choices: std::vec::IntoIter<u16>,
    answers: Vec<Described>,
    fates: BTreeMap<(String, String), Fate>,
    /// Of each alternative, its variable at the moment.
    scope: Vec<String>,
    /// Of each alternative, the names of its list.
    names: Vec<Option<Vec<String>>>,
    /// The name that is written.
    name: String,
    marks: usize,
    out: String,
}

fn key(text: &str) -> Step {
    Step::Key(text.to_owned())
}

pub(super) fn world(choices: Vec<u16>) -> World {
    let mut maker = Maker {
        choices: choices.into_iter(),
        answers: Vec::new(),
        fates: BTreeMap::new(),
        scope: vec![String::new(); 2],
        names: vec![None, None],
        name: String::new(),
        marks: 0,
        out: String::new(),
    };
    let count = 1 + usize::from(maker.one_in(3));
    for number in 0..count {
        let answer = maker.answer(number, count == 1);
        maker.answers.push(answer);
    }
    let (force, asked_for) = maker.force();
    let known = 1 + maker.pick(NAMES.len());
    for scope in ["", SCOPES[0], SCOPES[1]] {
        for name in &NAMES[..known] {
            let fate = [Fate::Keep, Fate::Cut, Fate::Cut, Fate::Extra][maker.pick(4)];
            maker.fates.insert((scope.to_owned(), (*name).to_owned()), fate);
        }
    }
    let grown = maker.grown(&force);
    maker.space();
    maker.write(&grown, true);
    maker.space();
    World { answers: maker.answers, force, asked_for, fates: maker.fates, text: maker.out }
}

impl Maker {
    fn pick(&mut self, among: usize) -> usize {
        usize::from(self.choices.next().unwrap_or_default()) % among
    }

    fn one_in(&mut self, times: usize) -> bool {
        self.pick(times) == times - 1
    }

    /// A way to a place: keys and lists.
    fn way(&mut self, first: &str) -> Vec<Step> {
        let mut way = vec![key(first)];
        for _ in 0..self.pick(3) {
            way.push(if self.one_in(2) { Step::Each } else { key(["x", "y~/"][self.pick(2)]) });
        }
        way
    }

    fn answer(&mut self, number: usize, alone: bool) -> Described {
        let first = format!("value{number}");
        let mut way = self.way(&first);
        if alone && self.one_in(5) {
            way.remove(0);
        }
        let mut pass = Vec::new();
        // Where a variable may stand: before the first of these steps.
        let mut inner = false;
        let shape = match self.pick(4) {
            0 => Shape::Objects { at: Pointer(way.clone()) },
            1 => {
                way.push(Step::Each);
                inner = self.one_in(4);
                let deep = if self.one_in(3) { "/of/name" } else { "/name" };
                Shape::Records { at: Pointer(way.clone()), name: pointer(deep) }
            }
            columns => {
                let mut names = vec![key(&format!("names{number}"))];
                names.extend(self.one_in(2).then(|| key("list")));
                names.push(Step::Each);
                if self.one_in(2) {
                    pass.extend(self.one_in(2).then(|| [&names[..], &[key("type")]].concat()));
                    names.push(key("name"));
                }
                way = vec![key(&first)];
                if columns == 3 {
                    way.extend(self.one_in(2).then(|| key("x")));
                    way.extend(self.one_in(2).then_some(Step::Each));
                }
                let beside = way.clone();
                way.push(key("values"));
                let beside = |name| Pointer([&beside[..], &[key(name)]].concat());
                let aligned: Vec<Pointer> = ["one", "two"].into_iter().filter(|_| self.one_in(3)).map(beside).collect();
                let names = Pointer(names);
                if columns == 3 {
                    if aligned.is_empty() {
                        way.extend(self.one_in(2).then_some(Step::Each));
                    }
                    Shape::Rows { names, at: Pointer(way.clone()), aligned }
                } else {
                    Shape::Columns { names, at: Pointer(way.clone()), aligned }
                }
            }
        };
        for end in 0..way.len() {
            if matches!(way[end], Step::Key(_)) && self.one_in(4) {
                pass.push([&way[..end], &[key("pass")]].concat());
            }
        }
        let mut scope = Vec::new();
        if self.one_in(3) {
            let names = matches!(shape, Shape::Columns { .. } | Shape::Rows { .. });
            let ends = (0..way.len()).rev().filter(|end| matches!(way[*end], Step::Key(_)));
            let mut ends = ends.filter(|end| if names { *end == 0 } else { *end == 0 || way[end - 1] == Step::Each });
            if inner {
                scope.push(("group".to_owned(), Pointer([&way[..], &[key("group")]].concat())));
            } else if let Some(end) = ends.next() {
                scope.push(("group".to_owned(), Pointer([&way[..end], &[key(&format!("group{number}"))]].concat())));
            }
        }
        Described {
            shape,
            keep: Vec::new(),
            scope,
            sparse: self.one_in(3),
            pass: pass.into_iter().map(Pointer).collect(),
        }
    }

    fn force(&mut self) -> (Vec<Force>, Vec<bool>) {
        let mut places: Vec<Pointer> = self.answers.iter().flat_map(|answer| answer.pass.clone()).collect();
        for answer in &self.answers {
            if let Shape::Columns { names, .. } | Shape::Rows { names, .. } = &answer.shape {
                let (before, _) = names.around_each().unwrap();
                places.extend([names.clone(), Pointer(before.to_vec()), Pointer(vec![names.0[0].clone()])]);
            }
        }
        let object = |answer: &Described| match &answer.shape {
            Shape::Objects { at } | Shape::Records { at, .. } => matches!(at.0.first(), Some(Step::Key(_))),
            Shape::Columns { .. } | Shape::Rows { .. } => true,
        };
        if self.answers.iter().all(object) {
            places.push(pointer("/added"));
        }
        let mut force = Vec::new();
        for _ in 0..self.pick(3) {
            let adds: Vec<Pointer> = places.iter().filter(|_| self.one_in(3)).cloned().collect();
            force.push(Force { at: pointer("/x"), value: "true".to_owned(), adds });
        }
        let asked_for = force.iter().map(|_| self.one_in(3)).collect();
        (force, asked_for)
    }

    /// All places of the description.
    fn grown(&self, force: &[Force]) -> Grown {
        let mut root = None;
        for (number, answer) in self.answers.iter().enumerate() {
            match &answer.shape {
                Shape::Objects { at } => grow(&mut root, &at.0, Grown::Objects(number)),
                Shape::Records { at, .. } => grow(&mut root, &at.0[..at.0.len() - 1], Grown::Records(number)),
                Shape::Columns { names, at, aligned } | Shape::Rows { names, at, aligned } => {
                    grow(&mut root, &names.0, Grown::Name);
                    mark(&mut root, names.around_each().unwrap().0, number);
                    for list in [at].into_iter().chain(aligned) {
                        grow(&mut root, &[&list.0[..], &[Step::Each]].concat(), Grown::Cell);
                        mark(&mut root, &list.0, number);
                    }
                }
            }
            for (_, at) in answer.scope.iter().filter(|(name, at)| at.0.last() != Some(&key(name))) {
                grow(&mut root, &at.0, Grown::Variable(number));
            }
            answer.pass.iter().for_each(|pass| grow(&mut root, &pass.0, Grown::Cell));
        }
        if force.iter().flat_map(|force| &force.adds).any(|adds| *adds == pointer("/added")) {
            grow(&mut root, &[key("added")], Grown::Cell);
        }
        root.unwrap()
    }

    fn space(&mut self) {
        let space = ["", "", "", " ", "\n\t"][self.pick(5)];
        self.out.push_str(space);
    }

    fn string(&mut self, text: &str) {
        if self.one_in(4) {
            let units: Vec<String> = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            self.out.push_str(&format!("\"{}\"", units.concat()));
        } else {
            self.out.push_str(&serde_json::to_string(text).unwrap());
        }
    }

    /// A value that is like no other one.
    fn cell(&mut self) {
        self.marks += 1;
        let mark = format!("§{}§", self.marks);
        let (before, power) = (["", "-", "0."][self.pick(3)], ["0", "999", "-400"][self.pick(3)]);
        let number = format!("{before}7{:03}e{power}", self.marks);
        let cell = match self.pick(7) {
            0 => format!("\"{mark}\""),
            1 => format!("[ {number} ,\"{mark}\"]"),
            2 => format!("{{\"a\" : [\"]}}\\\\\\\"{mark}\" ], \"b\":{number}}}"),
            3 => number,
            4 => "null".to_owned(),
            5 => format!("{{\"{mark}\":[[],{{}},[ null]]}}"),
            _ => format!("\"\\u0022\\n{mark}\""),
        };
        self.out.push_str(&cell);
    }

    /// Names of a container: all that must come, others, and now and then too few, too many, or one that nobody knows.
    fn some_names(&mut self, alternative: usize, scope: &str) -> Vec<String> {
        let sparse = self.answers[alternative].sparse;
        let known: Vec<(String, Fate)> = self
            .fates
            .iter()
            .filter(|((own, _), _)| own == scope)
            .map(|((_, name), fate)| (name.clone(), *fate))
            .collect();
        let mut names = Vec::new();
        for (name, fate) in known {
            let comes = if fate == Fate::Keep && !sparse { !self.one_in(60) } else { !self.one_in(3) };
            if comes {
                let at = self.pick(names.len() + 1);
                names.insert(at, name);
            }
        }
        if self.one_in(60) {
            names.push("unknown".to_owned());
        }
        if self.one_in(60) && !names.is_empty() {
            let again = names[self.pick(names.len())].clone();
            names.push(again);
        }
        names
    }

    /// Items between brackets, with white space anywhere.
    fn items<T>(&mut self, [open, close]: [char; 2], items: Vec<T>, mut write: impl FnMut(&mut Self, T)) {
        self.out.push(open);
        self.space();
        for (position, item) in items.into_iter().enumerate() {
            if position > 0 {
                self.out.push(',');
                self.space();
            }
            write(self, item);
            self.space();
        }
        self.out.push(close);
    }

    fn key(&mut self, key: &str) {
        self.string(key);
        self.space();
        self.out.push(':');
        self.space();
    }

    fn write(&mut self, grown: &Grown, top: bool) {
        if self.one_in(40) && !top {
            let other = ["null", "0", "[]", "{}", "\"§0§\""][self.pick(5)];
            return self.out.push_str(other);
        }
        match grown {
            Grown::Cell => self.cell(),
            Grown::Name => self.string(&self.name.clone()),
            Grown::Variable(alternative) => self.string(&self.scope[*alternative].clone()),
            Grown::Map(members) => {
                for member in members.values() {
                    if let Grown::Variable(alternative) = member {
                        self.scope[*alternative] = SCOPES[self.pick(2)].to_owned();
                    }
                }
                let mut written: Vec<Option<(&String, &Grown)>> = Vec::new();
                for member in members {
                    let must = !matches!(member.1, Grown::Cell) && top;
                    if !self.one_in(if must { 50 } else { 6 }) || matches!(member.1, Grown::Name) {
                        let at = self.pick(written.len() + 1);
                        written.insert(at, Some(member));
                    }
                }
                if self.one_in(6) {
                    let at = self.pick(written.len() + 1);
                    written.insert(at, None);
                }
                self.items(['{', '}'], written, |own, member| match member {
                    Some((key, member)) => {
                        own.key(key);
                        own.write(member, false);
                    }
                    None => {
                        own.key("undescribed");
                        own.cell();
                    }
                });
            }
            Grown::Each(element, None) => {
                let count = self.pick(4);
                self.items(['[', ']'], vec![(); count], |own, ()| own.write(element, false));
            }
            Grown::Each(element, Some(alternative)) => {
                if self.names[*alternative].is_none() {
                    let scope = self.scope[*alternative].clone();
                    self.names[*alternative] = Some(self.some_names(*alternative, &scope));
                }
                let mut names = self.names[*alternative].clone().unwrap();
                if self.one_in(60) {
                    names.push("one more".to_owned());
                }
                if self.one_in(60) {
                    names.pop();
                }
                self.items(['[', ']'], names, |own, name| {
                    own.name = name;
                    own.write(element, matches!(**element, Grown::Map(_)));
                });
            }
            Grown::Objects(alternative) => {
                let scope = self.scope[*alternative].clone();
                let names = self.some_names(*alternative, &scope);
                self.items(['{', '}'], names, |own, name| {
                    own.key(&name);
                    own.cell();
                });
            }
            Grown::Records(alternative) => self.records(*alternative),
        }
    }

    fn records(&mut self, alternative: usize) {
        let answer = self.answers[alternative].clone();
        let Shape::Records { at, name } = &answer.shape else { panic!("{answer:?}") };
        let inner = answer.scope.first().is_some_and(|(_, place)| place.0.starts_with(&at.0));
        let scopes: Vec<String> =
            if inner { SCOPES.map(str::to_owned).to_vec() } else { vec![self.scope[alternative].clone()] };
        let mut records = Vec::new();
        for scope in scopes {
            for name in self.some_names(alternative, &scope) {
                let at = self.pick(records.len() + 1);
                records.insert(at, (scope.clone(), name));
            }
        }
        let deep = name.0.len() > 1;
        self.items(['[', ']'], records, |own, (scope, name)| {
            let mut members = vec!["name", "value"];
            members.extend(inner.then_some("group"));
            let first = own.pick(members.len());
            members.rotate_left(first);
            own.items(['{', '}'], members, |own, member| match member {
                "name" if deep => {
                    own.key("of");
                    own.items(['{', '}'], vec![()], |own, ()| {
                        own.key("name");
                        own.string(&name);
                    });
                }
                "value" => {
                    own.key("value");
                    own.cell();
                }
                member => {
                    own.key(member);
                    own.string(if member == "group" { &scope } else { &name });
                }
            });
        });
    }
}
