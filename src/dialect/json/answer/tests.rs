//! Answers of each shape as their servers give them, verified and cut.

use std::collections::HashSet;

use super::*;
use crate::dialect::json::description::{Answer as Described, Force, Shape};
use crate::dialect::json::pointer::Pointer;

mod hostile;
mod layouts;
mod opinion;
mod random;
mod vendors;
mod world;

pub(super) fn pointer(text: &str) -> Pointer {
    Pointer::parse(text).unwrap()
}

pub(super) fn pointers(texts: &[&str]) -> Vec<Pointer> {
    texts.iter().map(|text| pointer(text)).collect()
}

pub(super) fn objects(at: &str) -> Shape {
    Shape::Objects { at: pointer(at) }
}

pub(super) fn columns(names: &str, at: &str, aligned: &[&str]) -> Shape {
    Shape::Columns { names: pointer(names), at: pointer(at), aligned: pointers(aligned) }
}

pub(super) fn rows(names: &str, at: &str, aligned: &[&str]) -> Shape {
    Shape::Rows { names: pointer(names), at: pointer(at), aligned: pointers(aligned) }
}

pub(super) fn records(at: &str, name: &str) -> Shape {
    Shape::Records { at: pointer(at), name: pointer(name) }
}

/// Where a shape stands, and nothing else.
pub(super) fn plain(shape: Shape) -> Described {
    Described { shape, keep: Vec::new(), scope: Vec::new(), sparse: false, pass: Vec::new() }
}

pub(super) fn force(adds: &[&str]) -> Force {
    Force { at: pointer("/options"), value: "true".to_owned(), adds: pointers(adds) }
}

/// A server, and what a caller may have of it: `kept` and `cut` as `name` or, with variables of the answer, `value/name`.
#[derive(Default)]
pub(super) struct Case {
    pub answers: Vec<Described>,
    pub force: Vec<Force>,
    /// Of each entry of `force`, whether the caller had asked for it.
    pub asked_for: Vec<bool>,
    pub kept: Vec<&'static str>,
    pub cut: Vec<&'static str>,
    /// What may pass beside them.
    pub extra: Vec<&'static str>,
    /// Whether all that was kept must come.
    pub all: bool,
}

impl Case {
    /// With everything that was kept in each container, and every forced member put in.
    pub fn new(answers: Vec<Described>, kept: &[&'static str], cut: &[&'static str]) -> Self {
        Self { answers, kept: kept.to_vec(), cut: cut.to_vec(), all: true, ..Self::default() }
    }

    pub fn with(mut self, adds: &[&str]) -> Self {
        self.force.push(force(adds));
        self.asked_for.push(false);
        self
    }

    pub fn extra(mut self, names: &[&'static str]) -> Self {
        self.extra = names.to_vec();
        self
    }

    pub fn answered(&self, body: &str) -> Result<Answer, Unreadable> {
        let layout = Layout::new(&self.answers, &self.force).unwrap();
        let scoped = |scope: &[Variable<'_>], name: &str| {
            let values = scope.iter().map(|(_, value)| value.as_ref());
            values.chain([name]).collect::<Vec<_>>().join("/")
        };
        let of_scope = |scope: &[Variable<'_>]| {
            let prefix = scoped(scope, "");
            self.kept.iter().filter(|name| name.starts_with(&prefix)).count()
        };
        let kept = |scope: &[Variable<'_>]| self.all.then(|| of_scope(scope));
        let mut asked = HashSet::new();
        let mut judge = |column: &Column<'_>| {
            let name = scoped(column.scope, column.name);
            let again = !asked.insert(name.clone());
            assert!(!again || self.answers.len() > 1, "`{name}` is asked about twice");
            let of = |names: &[&str], fate| names.contains(&name.as_str()).then_some(fate);
            of(&self.kept, Fate::Keep).or(of(&self.cut, Fate::Cut)).or(of(&self.extra, Fate::Extra))
        };
        cut(body.as_bytes(), &layout, &Want { kept: &kept, asked_for: &self.asked_for }, &mut judge)
    }

    /// The answer with how many columns were cut, `as it came`, or `unreadable` and why.
    pub fn said(&self, body: &str) -> String {
        match self.answered(body) {
            Ok(Answer::AsItCame) => "as it came".to_owned(),
            Ok(Answer::Cut { body: left, dropped }) => {
                format!("{dropped} {}", String::from_utf8(left.whole(body.as_bytes())).unwrap())
            }
            Err(Unreadable(why)) => format!("unreadable {why}"),
        }
    }
}
