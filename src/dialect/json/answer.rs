//! The answer of a described server: verified column by column, by name, and cut.
//!
//! A [`Layout`] says what each place of an answer is. [`cut`] reads an answer by it, asks of every column whether it may
//! pass, and takes out what may not, what no description mentions, and what only a forced member of the request added.
//! What stays keeps its bytes, white space and all.
//!
//! Time is linear in the answer, times log n for n cuts of it; the call stack grows with the pointers of the description
//! alone, whatever is answered.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::dialect::json::plan::Fate;
use crate::dialect::{Answer, Unreadable};
use crate::json::{self, JsonError, Kind, Value};

use columns::Memos;
use holes::{Holes, List};
use layout::{Bind, Node, Part, What};

mod columns;
mod holes;
mod layout;

pub use layout::{Layout, LayoutError};

/// A variable of the answer and what it holds.
pub type Variable<'a> = (&'a str, Cow<'a, str>);

/// A column, as it is shown to who decides.
#[derive(Clone, Copy, Debug)]
pub struct Column<'a> {
    /// As the wire calls it, unescaped.
    pub name: &'a str,
    /// The variables of the answer, in the order of the description.
    pub scope: &'a [Variable<'a>],
}

/// What is wanted of an answer.
#[derive(Clone, Copy)]
pub struct Want<'p> {
    /// How many columns each container with these variables of the answer must have that are [`Fate::Keep`]; `None`: any
    /// number. Not asked where the description says `sparse`.
    pub kept: &'p dyn Fn(&[Variable<'_>]) -> Option<usize>,
    /// Of each entry of the request's `force`, whether the caller had asked for it; otherwise, and where it does not say, what
    /// only such entries add is taken out.
    pub asked_for: &'p [bool],
}

/// Decides on columns; `None`: nobody asked for it.
type Judge<'j> = dyn FnMut(&Column<'_>) -> Option<Fate> + 'j;

fn unreadable<T>(message: impl Into<String>) -> Result<T, Unreadable> {
    Err(Unreadable(message.into()))
}

fn json_error(error: &JsonError) -> Unreadable {
    // The key may be one of a map that is a value.
    if let JsonError::DuplicateKey { at, .. } = error {
        return Unreadable(format!("the answer is not read: a key at byte {at} of the json text stands twice"));
    }
    Unreadable(format!("the answer is not read: {error}"))
}

/// Verifies and cuts an answer. `judge` is asked once for each column, a name with the variables of its container, in each
/// alternative; `None`: nobody asked for it. `dropped` of the answer counts the columns that were cut, each once.
///
/// # Errors
/// [`Unreadable`]: a column that nobody asked for, a name that is missing, null or twice in its container, a list of another length
/// than its names, another kind of value than described, none of the described alternatives, too few columns.
pub fn cut(
    body: &[u8],
    layout: &Layout,
    want: &Want<'_>,
    judge: &mut dyn FnMut(&Column<'_>) -> Option<Fate>,
) -> Result<Answer, Unreadable> {
    let whole = json::container(body).map_err(|error| json_error(&error))?;
    let mut walk = Walk {
        body,
        layout,
        want,
        judge,
        there: vec![false; layout.answers.len()],
        scope: layout.answers.iter().map(|part| vec![None; part.variables.len()]).collect(),
        named: Vec::with_capacity(layout.answers.len()),
        memos: Memos::default(),
        holes: Holes::new(body),
    };
    walk.bind(&layout.root.binds, whole)?;
    for (number, part) in layout.answers.iter().enumerate() {
        let named = walk.names(number, part, whole)?;
        walk.named.push(named);
    }
    walk.value(&layout.root, whole)?;
    walk.complete()?;
    let dropped = walk.memos.cut();
    Ok(walk.holes.rest().map_or(Answer::AsItCame, |body| Answer::Cut { body, dropped }))
}

/// One answer as it is read.
struct Walk<'a, 'l, 'j> {
    body: &'a [u8],
    layout: &'l Layout,
    want: &'j Want<'j>,
    judge: &'j mut Judge<'j>,
    /// Of each alternative, whether the answer has it.
    there: Vec<bool>,
    /// Of each alternative, what its variables hold at the moment.
    scope: Vec<Vec<Option<Cow<'a, str>>>>,
    /// Of each alternative whose names stand in a list, whether each of them is kept; `None`: there is no list.
    named: Vec<Option<Rc<[bool]>>>,
    memos: Memos<'a, 'l>,
    holes: Holes<'a>,
}

impl<'a, 'l> Walk<'a, 'l, '_> {
    /// The names of an alternative that has them in a list: of each, whether it is kept.
    fn names(&mut self, number: usize, part: &'l Part, whole: Value) -> Result<Option<Rc<[bool]>>, Unreadable> {
        let Some((at, before, behind)) = &part.names else { return Ok(None) };
        let Some(list) = member(self.body, whole, before)?.filter(|list| list.kind == Kind::Array) else {
            return Ok(None);
        };
        self.memos.begin();
        let scope = self.scope.get(number).map(Vec::as_slice).unwrap_or_default();
        let (memo, _) = self.memos.of(number, part, scope)?;
        let mut names = Vec::new();
        for element in json::iter_elements(self.body, list).map_err(|error| json_error(&error))? {
            let element = element.map_err(|error| json_error(&error))?;
            let Some(name) = text(self.body, element, behind)? else {
                return unreadable(format!("entry {} of the names `{at}` is missing or no text", names.len()));
            };
            names.push(memo.column(self.judge, part, name)? != Fate::Cut);
        }
        memo.enough(part, self.want)?;
        Ok(Some(names.into()))
    }

    /// Reads a value. Whether it goes: because a forced member of the request added it, or because nothing is left of it
    /// without what those added.
    fn value(&mut self, node: &'l Node, value: Value) -> Result<bool, Unreadable> {
        for number in &node.there {
            if let Some(there) = self.there.get_mut(*number) {
                *there = true;
            }
        }
        self.bind(&node.binds, value)?;
        let emptied = match (&node.what, value.kind) {
            (What::Unsaid | What::Pass | What::Value, _) | (What::Text, Kind::String) => false,
            // It holds nothing.
            (What::Object(_) | What::Each { .. } | What::Members(_) | What::Records(_), Kind::Null) => false,
            (What::Object(members), Kind::Object) => self.object(members, value)?,
            (What::Each { element, of: None }, Kind::Array) => self.each(element, value)?,
            (What::Each { element, of: Some(number) }, Kind::Array) => self.list(node, element, *number, value)?,
            (What::Members(number), Kind::Object) => self.members(*number, value).map(|()| false)?,
            (What::Records(number), Kind::Array) => self.records(*number, value).map(|()| false)?,
            (What::Text, _) => return unreadable(format!("`{}` is no text", node.at)),
            (What::Object(_) | What::Members(_), _) => return unreadable(format!("`{}` is no object", node.at)),
            (What::Each { .. } | What::Records(_), _) => return unreadable(format!("`{}` is no list", node.at)),
        };
        let put_in = |entry: &usize| self.want.asked_for.get(*entry) != Some(&true);
        Ok(emptied || !node.added.is_empty() && node.added.iter().all(put_in))
    }

    /// Members that are described; the others are dropped.
    fn object(&mut self, described: &'l BTreeMap<String, Node>, value: Value) -> Result<bool, Unreadable> {
        let mut list = List::new(value);
        let (mut left, mut forced, mut others) = (false, false, false);
        for member in json::iter_members(self.body, value).map_err(|error| json_error(&error))? {
            let member = member.map_err(|error| json_error(&error))?;
            let mark = self.holes.mark();
            let Some(node) = described.get(&*member.key) else {
                others = true;
                self.holes.drop(&mut list, member.value);
                continue;
            };
            if self.value(node, member.value)? {
                forced = true;
                self.holes.forget(mark);
                self.holes.drop(&mut list, member.value);
            } else {
                left = true;
                self.holes.keep(&mut list, member.value);
            }
        }
        self.holes.close(&list);
        Ok(forced && !left && !others)
    }

    /// Every element by itself. None goes alone, so that lists beside this one stay in step.
    fn each(&mut self, element: &'l Node, value: Value) -> Result<bool, Unreadable> {
        let (mut left, mut forced) = (false, false);
        for item in json::iter_elements(self.body, value).map_err(|error| json_error(&error))? {
            let item = item.map_err(|error| json_error(&error))?;
            if self.value(element, item)? { forced = true } else { left = true }
        }
        Ok(forced && !left)
    }

    /// A list that has an element for each name of an alternative.
    fn list(&mut self, node: &Node, element: &'l Node, number: usize, value: Value) -> Result<bool, Unreadable> {
        let Some(named) = self.named.get(number).cloned().flatten() else {
            return unreadable(format!("`{}` is there without its names", node.at));
        };
        let mut list = List::new(value);
        let (mut left, mut forced, mut count) = (false, false, 0);
        for item in json::iter_elements(self.body, value).map_err(|error| json_error(&error))? {
            let item = item.map_err(|error| json_error(&error))?;
            // What has no name is dropped, and counted below.
            if named.get(count) == Some(&true) {
                if self.value(element, item)? {
                    forced = true
                } else {
                    left = true
                }
                self.holes.keep(&mut list, item);
            } else {
                self.holes.drop(&mut list, item);
            }
            count += 1;
        }
        if count != named.len() {
            return unreadable(format!("`{}` has {count} entries for {} names", node.at, named.len()));
        }
        self.holes.close(&list);
        Ok(forced && !left)
    }

    /// An object from names to values.
    fn members(&mut self, number: usize, value: Value) -> Result<(), Unreadable> {
        let Some(part) = self.layout.answers.get(number) else { return Ok(()) };
        self.memos.begin();
        let scope = self.scope.get(number).map(Vec::as_slice).unwrap_or_default();
        let (memo, _) = self.memos.of(number, part, scope)?;
        let mut list = List::new(value);
        for member in json::iter_members(self.body, value).map_err(|error| json_error(&error))? {
            let member = member.map_err(|error| json_error(&error))?;
            match memo.column(self.judge, part, member.key)? {
                Fate::Keep | Fate::Extra => self.holes.keep(&mut list, member.value),
                Fate::Cut => self.holes.drop(&mut list, member.value),
            }
        }
        self.holes.close(&list);
        memo.enough(part, self.want)
    }

    /// A list of records that name themselves.
    fn records(&mut self, number: usize, value: Value) -> Result<(), Unreadable> {
        let Some(part) = self.layout.answers.get(number) else { return Ok(()) };
        self.memos.begin();
        let mut scope = self.scope.get(number).cloned().unwrap_or_default();
        // What the variables held, each once, where the records say it; otherwise it is known by now.
        let mut scopes = Vec::new();
        if part.inner.is_empty() {
            self.memos.of(number, part, &scope)?;
            scopes.push(scope.clone());
        }
        let mut list = List::new(value);
        let records = json::iter_elements(self.body, value).map_err(|error| json_error(&error))?;
        for (index, record) in records.enumerate() {
            let record = record.map_err(|error| json_error(&error))?;
            let Some(name) = text(self.body, record, &part.name)? else {
                return unreadable(format!("the name of record {index} of `{}` is missing or no text", part.at));
            };
            for (variable, keys) in &part.inner {
                let held = text(self.body, record, keys)?;
                if let Some(place) = scope.get_mut(*variable) {
                    *place = held;
                }
            }
            let (memo, first) = self.memos.of(number, part, &scope)?;
            if first {
                scopes.push(scope.clone());
            }
            match memo.column(self.judge, part, name)? {
                Fate::Keep | Fate::Extra => self.holes.keep(&mut list, record),
                Fate::Cut => self.holes.drop(&mut list, record),
            }
        }
        self.holes.close(&list);
        scopes.iter().try_for_each(|scope| self.memos.of(number, part, scope)?.0.enough(part, self.want))
    }

    /// Notes what the variables hold whose values stand within this one.
    fn bind(&mut self, binds: &'l [Bind], value: Value) -> Result<(), Unreadable> {
        for bind in binds {
            let held = text(self.body, value, &bind.keys)?;
            let place = self.scope.get_mut(bind.answer).and_then(|scope| scope.get_mut(bind.variable));
            if let Some(place) = place {
                *place = held;
            }
        }
        Ok(())
    }

    /// One alternative at least is there, and those that are there have their names.
    fn complete(&self) -> Result<(), Unreadable> {
        for ((part, there), named) in self.layout.answers.iter().zip(&self.there).zip(&self.named) {
            let Some((names, ..)) = &part.names else { continue };
            if *there && named.is_none() {
                return unreadable(format!("the names `{names}` are missing"));
            }
            if !*there && named.is_some() {
                return unreadable(format!("`{names}` is there and `{}` is missing", part.at));
            }
        }
        // A feature that may be missing may be the only one.
        if !self.there.contains(&true) && !self.layout.answers.iter().any(|part| part.sparse) {
            let places: Vec<String> = self.layout.answers.iter().map(|part| format!("`{}`", part.at)).collect();
            return unreadable(format!("the answer has no features at {}", places.join(" or ")));
        }
        Ok(())
    }
}

/// The member behind these keys; `None` also where another kind of value stands on the way.
fn member(body: &[u8], mut value: Value, keys: &[String]) -> Result<Option<Value>, Unreadable> {
    for key in keys {
        if value.kind != Kind::Object {
            return Ok(None);
        }
        let mut found = None;
        for member in json::iter_members(body, value).map_err(|error| json_error(&error))? {
            let member = member.map_err(|error| json_error(&error))?;
            if member.key == *key {
                found = Some(member.value);
                break;
            }
        }
        let Some(next) = found else { return Ok(None) };
        value = next;
    }
    Ok(Some(value))
}

/// The text behind these keys, unescaped; `None` also where something else stands there.
fn text<'a>(body: &'a [u8], value: Value, keys: &[String]) -> Result<Option<Cow<'a, str>>, Unreadable> {
    let text = member(body, value, keys)?.filter(|text| text.kind == Kind::String);
    text.map(|text| json::string(body, text)).transpose().map_err(|error| json_error(&error))
}

#[cfg(test)]
mod tests;
