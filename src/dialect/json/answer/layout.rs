//! The places of a route's answers as one tree: each value of an answer has one meaning, or none.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::dialect::json::description::{Answer, Force, Shape};
use crate::dialect::json::pointer::{Pointer, Step};
use crate::json::MAX_DEPTH;

/// Where what stands in the answers of a route; made once for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    pub(super) root: Node,
    pub(super) answers: Vec<Part>,
}

/// Why places do not make a layout. The field is the pointer in question.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// One place holds the other.
    #[error("`{0}` is taken as a whole, and something within it is described as well")]
    Within(String),
    /// Two meanings.
    #[error("`{0}` is described in two ways")]
    Two(String),
    /// A key and a `*` behind one place.
    #[error("`{0}` cannot be an object and an array")]
    Kinds(String),
    /// Of columns or rows.
    #[error("`{0}` needs one `*`, which stands for each name")]
    Names(String),
    /// Of records.
    #[error("`{0}` needs `*` as its last step, which stands for each record")]
    Records(String),
    /// Within a record.
    #[error("`{0}` needs the keys from a record to its name, without `*`")]
    RecordName(String),
    /// A variable of the answer.
    #[error("`{0}` does not go with the features up to its last `*`, or ends there")]
    Scope(String),
    /// A variable of names that hold for every row.
    #[error("`{0}` has a `*`, but one list of names holds for all columns or rows")]
    ScopeOfRows(String),
    /// Taken out again.
    #[error("`{0}` holds values of features: what is forced must not add them")]
    Adds(String),
    /// No JSON text is read so deep.
    #[error("a place has more than {MAX_DEPTH} steps: `{0}`…")]
    Deep(String),
}

/// A value of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Node {
    /// Its pointer.
    pub at: String,
    pub what: What,
    /// The forced members of the request that add it.
    pub added: Vec<usize>,
    /// The alternatives that are there where it is.
    pub there: Vec<usize>,
    pub binds: Vec<Bind>,
}

/// What a value is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum What {
    /// Nothing said yet.
    #[default]
    Unsaid,
    /// An object of which these members are described.
    Object(BTreeMap<String, Node>),
    /// An array; `of`: it has an element for each name of that alternative, and is cut with them.
    Each { element: Box<Node>, of: Option<usize> },
    /// It passes whole.
    Pass,
    /// A text that passes: a name, a variable.
    Text,
    /// What stands for one name.
    Value,
    /// An object from names to values, of that alternative.
    Members(usize),
    /// An array of records, of that alternative.
    Records(usize),
}

/// A variable whose value stands within the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bind {
    pub answer: usize,
    /// Which of [`Part::variables`].
    pub variable: usize,
    pub keys: Vec<String>,
}

/// One alternative.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    /// The pointer to its features.
    pub at: String,
    /// The pointer to its names, and the keys before and behind its `*`; where names stand in a list of their own.
    pub names: Option<(String, Vec<String>, Vec<String>)>,
    /// From a record to its name.
    pub name: Vec<String>,
    /// The variables of the answer.
    pub variables: Vec<String>,
    /// Those of them that stand within a record, and the keys to there.
    pub inner: Vec<(usize, Vec<String>)>,
    pub sparse: bool,
}

impl Layout {
    /// Puts together what a description says of the answers of one route.
    ///
    /// # Errors
    /// [`LayoutError`]: places that lie within each other or mean two things.
    pub fn new(answers: &[Answer], force: &[Force]) -> Result<Self, LayoutError> {
        let mut layout = Self::default();
        for (number, answer) in answers.iter().enumerate() {
            layout.answer(number, answer)?;
        }
        let adds = force.iter().enumerate();
        let mut adds: Vec<_> = adds.flat_map(|(number, force)| force.adds.iter().map(move |at| (number, at))).collect();
        // What is added within something that is added comes first, whatever their order.
        adds.sort_by_key(|(_, at)| Reverse(at.steps().len()));
        for (number, at) in adds {
            let node = layout.node(at.steps())?;
            if node.holds_values() {
                return Err(LayoutError::Adds(at.to_string()));
            }
            if node.what == What::Unsaid {
                node.what = What::Pass;
            }
            node.added.push(number);
        }
        Ok(layout)
    }

    fn answer(&mut self, number: usize, answer: &Answer) -> Result<(), LayoutError> {
        let mut part = Part { sparse: answer.sparse, ..Part::default() };
        let at = match &answer.shape {
            Shape::Objects { at } => {
                self.set(at.steps(), What::Members(number))?;
                at
            }
            Shape::Columns { names, at, aligned } => {
                part.names = Some(self.names(number, names)?);
                for list in [at].into_iter().chain(aligned) {
                    self.list(number, list.steps())?;
                }
                at
            }
            Shape::Rows { names, at, aligned } => {
                part.names = Some(self.names(number, names)?);
                for list in [at].into_iter().chain(aligned) {
                    self.list(number, list.steps())?;
                }
                at
            }
            Shape::Records { at, name } => {
                part.name = keys(name.steps())
                    .filter(|keys| !keys.is_empty())
                    .ok_or_else(|| LayoutError::RecordName(name.to_string()))?;
                let records = at.steps().split_last().filter(|(last, _)| **last == Step::Each);
                let (_, records) = records.ok_or_else(|| LayoutError::Records(at.to_string()))?;
                self.set(records, What::Records(number))?;
                at
            }
        };
        part.at = at.to_string();
        let first = at.steps().iter().position(|step| *step == Step::Each).unwrap_or(at.steps().len());
        self.node(at.steps().get(..first).unwrap_or_default())?.there.push(number);
        for (variable, pointer) in &answer.scope {
            self.variable(number, &mut part, at, variable, pointer)?;
        }
        for pointer in &answer.pass {
            self.set(pointer.steps(), What::Pass)?;
        }
        self.answers.push(part);
        Ok(())
    }

    /// The list of names of an alternative.
    fn names(&mut self, number: usize, names: &Pointer) -> Result<(String, Vec<String>, Vec<String>), LayoutError> {
        let (before, behind) = names.around_each().ok_or_else(|| LayoutError::Names(names.to_string()))?;
        self.set(names.steps(), What::Text)?;
        self.cut(number, before)?;
        let parts = keys(before).zip(keys(behind));
        let (before, behind) = parts.ok_or_else(|| LayoutError::Names(names.to_string()))?;
        Ok((names.to_string(), before, behind))
    }

    /// A list that has a value for each name of an alternative.
    fn list(&mut self, number: usize, at: &[Step]) -> Result<(), LayoutError> {
        self.set(&[at, &[Step::Each]].concat(), What::Value)?;
        self.cut(number, at)
    }

    /// Says which alternative's names an array is cut with.
    fn cut(&mut self, number: usize, at: &[Step]) -> Result<(), LayoutError> {
        match &mut self.node(at)?.what {
            What::Each { of: of @ None, .. } => *of = Some(number),
            What::Each { of: Some(other), .. } if *other == number => {}
            _ => return Err(LayoutError::Two(shown(at))),
        }
        Ok(())
    }

    fn variable(
        &mut self,
        answer: usize,
        part: &mut Part,
        at: &Pointer,
        variable: &str,
        pointer: &Pointer,
    ) -> Result<(), LayoutError> {
        let steps = pointer.steps();
        let last = steps.iter().rposition(|step| *step == Step::Each).map_or(0, |last| last + 1);
        let (shared, rest) = steps.split_at_checked(last).unwrap_or_default();
        let rest = keys(rest).filter(|rest| !rest.is_empty() && at.steps().starts_with(shared));
        let rest = rest.ok_or_else(|| LayoutError::Scope(pointer.to_string()))?;
        if part.names.is_some() && last > 0 {
            return Err(LayoutError::ScopeOfRows(pointer.to_string()));
        }
        let number = part.variables.len();
        part.variables.push(variable.to_owned());
        if !part.name.is_empty() && shared == at.steps() {
            part.inner.push((number, rest));
            return Ok(());
        }
        self.set(steps, What::Text)?;
        self.node(shared)?.binds.push(Bind { answer, variable: number, keys: rest });
        Ok(())
    }

    /// Says what a place is.
    fn set(&mut self, at: &[Step], what: What) -> Result<(), LayoutError> {
        let node = self.node(at)?;
        match &node.what {
            What::Unsaid => node.what = what,
            What::Object(_) | What::Each { .. } => return Err(LayoutError::Within(shown(at))),
            other if *other == what => {}
            What::Pass | What::Text | What::Value | What::Members(_) | What::Records(_) => {
                return Err(LayoutError::Two(shown(at)));
            }
        }
        Ok(())
    }

    /// The node of a place, with the objects and arrays on the way.
    fn node(&mut self, at: &[Step]) -> Result<&mut Node, LayoutError> {
        if at.len() > MAX_DEPTH {
            return Err(LayoutError::Deep(shown(at.get(..4).unwrap_or_default())));
        }
        let mut node = &mut self.root;
        for (depth, step) in at.iter().enumerate() {
            if node.what == What::Unsaid {
                node.what = match step {
                    Step::Key(_) => What::Object(BTreeMap::new()),
                    Step::Each => What::Each { element: Box::default(), of: None },
                };
            }
            node = match (&mut node.what, step) {
                (What::Object(members), Step::Key(key)) => members.entry(key.clone()).or_default(),
                (What::Each { element, .. }, Step::Each) => element,
                (What::Object(_) | What::Each { .. }, Step::Key(_) | Step::Each) => {
                    return Err(LayoutError::Kinds(node.at.clone()));
                }
                _ => return Err(LayoutError::Within(node.at.clone())),
            };
            node.at = shown(at.get(..=depth).unwrap_or_default());
        }
        Ok(node)
    }
}

impl Node {
    fn holds_values(&self) -> bool {
        match &self.what {
            What::Value | What::Members(_) | What::Records(_) => true,
            What::Object(members) => members.values().any(Self::holds_values),
            What::Each { element, .. } => element.holds_values(),
            What::Unsaid | What::Pass | What::Text => false,
        }
    }
}

/// Steps that are keys, all of them.
fn keys(steps: &[Step]) -> Option<Vec<String>> {
    let key = |step: &Step| match step {
        Step::Key(key) => Some(key.clone()),
        Step::Each => None,
    };
    steps.iter().map(key).collect()
}

fn shown(steps: &[Step]) -> String {
    Pointer(steps.to_vec()).to_string()
}
