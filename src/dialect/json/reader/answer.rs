//! `answer` of a route.

use super::{DescriptionReader, Variables};
use crate::diagnostic::{Code, Diagnostic};
use crate::dialect::json::description::{Answer, Shape};
use crate::dialect::json::pointer::{Pointer, Step};
use crate::yaml::{Fields, Node, Value};

/// The words of `shape`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Objects,
    Columns,
    Rows,
    Records,
}

impl DescriptionReader<'_, '_> {
    /// One, or the alternatives of a list; at least one, unless there is a mistake.
    pub(super) fn answers<'n>(&mut self, node: &'n Node, given: &Variables) -> Option<Vec<(&'n Node, Answer)>> {
        let alternatives = match &node.value {
            Value::Seq(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        if alternatives.is_empty() {
            self.r.error(node, Code::Empty, "`answer` is a list of none, so no answer would pass");
        }
        let read: Vec<_> = alternatives.iter().filter_map(|node| Some((node, self.answer(node, given)?))).collect();
        (read.len() == alternatives.len()).then_some(read)
    }

    fn answer(&mut self, node: &Node, given: &Variables) -> Option<Answer> {
        const KEYS: &[&str] = &["shape", "at", "names", "aligned", "keep", "scope", "sparse", "pass"];
        const SHAPES: &[(&str, Word)] =
            &[("objects", Word::Objects), ("columns", Word::Columns), ("rows", Word::Rows), ("records", Word::Records)];
        let fields = self.r.fields(node, "`answer`", KEYS)?;
        let word = match fields.get("shape") {
            Some(node) => self.r.word(node, "`shape`", SHAPES),
            None => {
                let message = "`answer` has no `shape`: `objects`, `columns`, `rows` or `records`";
                self.r.error(node, Code::Missing, message);
                None
            }
        };
        // The empty pointer is the whole answer, so it is there as a text.
        let at = match fields.get("at") {
            Some(node) => self.pointer(node, "`at`").map(|pointer| (node, pointer)),
            None => {
                self.r.error(node, Code::Missing, "`answer` has no `at`: where its features stand");
                None
            }
        };
        let shape = word.and_then(|word| self.shape(node, &fields, word, at.clone()));
        let keep = self.texts(fields.get("keep"), "`keep`");
        let sparse = fields.get("sparse").and_then(|node| self.r.boolean(node, "`sparse`")).unwrap_or(false);
        let pass = self.pointers(fields.get("pass"), "`pass` of an answer").into_iter().map(|(_, p)| p).collect();
        let mut scope = Vec::new();
        let entries = fields.get("scope").and_then(|node| self.r.entries(node, "`scope` of an answer"));
        let taken: Vec<String> = given.of_request().map(str::to_owned).collect();
        for (key, node) in entries.unwrap_or_default() {
            let what = format!("`scope.{}` of an answer", key.name);
            self.variable(key, &what, &taken);
            let Some(pointer) = self.pointer(node, &what) else { continue };
            if let Some((_, at)) = &at
                && !goes_with(&pointer, at)
            {
                let place = self.r.place(node);
                let message = format!("{what} is `{pointer}`, which does not go with `{at}`");
                let help = "up to its last `*` it is the beginning of `at`, and one name or more follows";
                self.r.report.push(Diagnostic::new(Code::Description, &place, message).help(help));
            }
            scope.push((key.name.clone(), pointer));
        }
        Some(Answer { shape: shape?, keep, scope, sparse, pass })
    }

    fn shape(&mut self, node: &Node, fields: &Fields<'_>, word: Word, at: Option<(&Node, Pointer)>) -> Option<Shape> {
        let list = matches!(word, Word::Columns | Word::Rows);
        let aligned = self.pointers(fields.get("aligned"), "`aligned`").into_iter().map(|(_, p)| p).collect();
        if let (false, Some((key, _))) = (list, fields.entry("aligned")) {
            let place = self.r.key_place(key);
            let message = "`aligned` goes with `shape: columns` and `shape: rows`";
            self.r.report.push(Diagnostic::new(Code::Description, &place, message));
        }
        if let (Word::Objects, Some((key, _))) = (word, fields.entry("names")) {
            let place = self.r.key_place(key);
            let message = "`names` goes with the other shapes: objects name their values themselves";
            self.r.report.push(Diagnostic::new(Code::Description, &place, message));
        }
        let names = match (word, fields.get("names")) {
            (Word::Objects, _) => None,
            (_, Some(node)) => self.pointer(node, "`names` of an answer").map(|names| (node, names)),
            (_, None) => {
                self.r.error(node, Code::Missing, "`answer` has no `names`: where its features are named");
                None
            }
        };
        if let Some((node, names)) = &names {
            if list && names.around_each().is_none() {
                let message = format!("`names` is `{names}`, which has not exactly one `*`, for each name of a list");
                self.mistake(node, message);
            }
            if !list && (names.steps().is_empty() || names.steps().contains(&Step::Each)) {
                self.mistake(node, format!("`names` is `{names}`, and not one member of a record, such as `/name`"));
            }
        }
        if let Some((node, at)) = &at {
            let ends = at.steps().last() == Some(&Step::Each);
            if word == Word::Records && !ends {
                self.mistake(node, format!("`at` is `{at}`, and each record is an element: it ends in `/*`"));
            }
            if word == Word::Columns && ends {
                self.mistake(node, format!("`at` is `{at}`, and of columns it is the array: without `/*` at its end"));
            }
        }
        let (at, names) = (at.map(|(_, at)| at), names.map(|(_, names)| names));
        Some(match word {
            Word::Objects => Shape::Objects { at: at? },
            Word::Columns => Shape::Columns { at: at?, names: names?, aligned },
            Word::Rows => Shape::Rows { at: at?, names: names?, aligned },
            Word::Records => Shape::Records { at: at?, name: names? },
        })
    }
}

/// Whether a place says one thing of what stands at another: both lie in the same elements.
fn goes_with(pointer: &Pointer, at: &Pointer) -> bool {
    let steps = pointer.steps();
    let last = steps.iter().rposition(|step| *step == Step::Each);
    let (shared, behind) = steps.split_at(last.map_or(0, |last| last + 1));
    at.steps().starts_with(shared) && !behind.is_empty()
}
