//! What stands where in a body, as a tree: read along it, and written along it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::{invalid, listed, text, unreadable};
use crate::dialect::json::description::{Force, Place, Request, Route};
use crate::dialect::json::plan::{Asked, Permit, Query};
use crate::dialect::json::pointer::{Pointer, Step};
use crate::dialect::{Invalid, shown};
use crate::json::{self, Kind, Value};

/// The described places of a request's body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    root: Node,
}

/// A place that lies in another, or is two.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is described twice, or lies within another place that is")]
pub struct LayoutError(pub Pointer);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    leaf: Option<Leaf>,
    members: Vec<(String, Node)>,
    each: Option<Box<Node>>,
    /// Something is put in below.
    forces: bool,
}

/// What stands at a place; numbers count in the description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaf {
    Output,
    Bundle,
    Variable(usize),
    Supplied(usize),
    Pass,
    Force(usize),
}

/// What was found in a body.
#[derive(Debug)]
pub(super) struct Found<'b> {
    pub outputs: Vec<Cow<'b, str>>,
    pub bundle: Option<Cow<'b, str>>,
    pub variables: Vec<Option<Cow<'b, str>>>,
    pub supplied: Vec<Supplied<'b>>,
    /// Of each forced member whether it was there with its value.
    pub forced: Vec<bool>,
    forces: &'b [Force],
}

/// What one place supplies.
#[derive(Debug, Default)]
pub(super) struct Supplied<'b> {
    pub rows: usize,
    pub names: BTreeMap<Cow<'b, str>, Held>,
}

/// In how many rows a name has a value.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Held {
    pub rows: usize,
    pub null: bool,
}

/// What is written of a body.
pub(super) struct Keeps<'q> {
    /// Outputs, as they are written there.
    outputs: BTreeSet<&'q str>,
    supplied: BTreeMap<(usize, &'q str), bool>,
}

impl<'q> Keeps<'q> {
    pub fn new(query: &'q Query<'_>, permit: &Permit) -> Self {
        let outputs = match &query.asked {
            Asked::Outputs(all) => {
                all.iter().filter(|output| permit.asks(&output.feature)).map(|output| &*output.written).collect()
            }
            Asked::Bundle(_) | Asked::Nothing | Asked::Answered { .. } => BTreeSet::new(),
        };
        Self { outputs, supplied: super::forwarded(query, permit) }
    }
}

impl<'b> Found<'b> {
    pub fn new(route: &'b Route) -> Self {
        Self {
            forces: &route.request.force,
            outputs: Vec::new(),
            bundle: None,
            variables: vec![None; route.scope.len()],
            supplied: route.request.supplied.iter().map(|_| Supplied::default()).collect(),
            forced: vec![false; route.request.force.len()],
        }
    }
}

impl Layout {
    /// Of a request and the places of its variables.
    ///
    /// # Errors
    /// [`LayoutError`].
    pub fn new(request: &Request, scope: &[(String, Place)]) -> Result<Self, LayoutError> {
        let mut root = Node::default();
        let mut put = |place: &Place, leaf: Leaf| match place {
            Place::Body(pointer) => root.put(pointer, leaf),
            Place::Query(_) | Place::Path(_) => Ok(()),
        };
        request.outputs.iter().try_for_each(|place| put(place, Leaf::Output))?;
        request.bundle.iter().try_for_each(|place| put(place, Leaf::Bundle))?;
        for (at, (_, place)) in scope.iter().enumerate() {
            put(place, Leaf::Variable(at))?;
        }
        for (at, supplied) in request.supplied.iter().enumerate() {
            put(&supplied.at, Leaf::Supplied(at))?;
        }
        for pointer in &request.pass {
            root.put(pointer, Leaf::Pass)?;
        }
        for (at, force) in request.force.iter().enumerate() {
            root.put(&force.at, Leaf::Force(at))?;
        }
        Ok(Self { root })
    }

    /// Reads a body. `open`: members that are not described are none of ours.
    pub(super) fn read<'b>(
        &self,
        body: &'b [u8],
        whole: Value,
        open: bool,
        found: &mut Found<'b>,
    ) -> Result<(), Invalid> {
        Reading { body, open, at: Vec::new() }.node(&self.root, whole, found)
    }

    /// Writes what goes upstream of a body that was read.
    pub(super) fn write(&self, body: &[u8], whole: Value, route: &Route, keeps: &Keeps<'_>, out: &mut Vec<u8>) {
        Writing { body, route, keeps }.node(&self.root, Some(whole), out);
    }
}

impl Node {
    fn put(&mut self, pointer: &Pointer, leaf: Leaf) -> Result<(), LayoutError> {
        let taken = || LayoutError(pointer.clone());
        let mut node = self;
        for step in pointer.steps() {
            if node.leaf.is_some() {
                return Err(taken());
            }
            node.forces |= matches!(leaf, Leaf::Force(_));
            node = match step {
                Step::Each if node.members.is_empty() => node.each.get_or_insert_default(),
                Step::Key(key) if node.each.is_none() => {
                    let at = node.members.iter().position(|(own, _)| own == key);
                    let at = at.unwrap_or_else(|| {
                        node.members.push((key.clone(), Node::default()));
                        node.members.len() - 1
                    });
                    &mut node.members.get_mut(at).ok_or_else(taken)?.1
                }
                Step::Each | Step::Key(_) => return Err(taken()),
            };
        }
        if node.leaf.is_some() || node.each.is_some() || !node.members.is_empty() {
            return Err(taken());
        }
        node.leaf = Some(leaf);
        node.forces |= matches!(leaf, Leaf::Force(_));
        Ok(())
    }

    fn member(&self, key: &str) -> Option<&Self> {
        self.members.iter().find(|(own, _)| own == key).map(|(_, node)| node)
    }
}

/// A body that is read; where we are in it is for messages.
struct Reading<'n, 'b> {
    body: &'b [u8],
    open: bool,
    at: Vec<&'n str>,
}

impl<'n, 'b> Reading<'n, 'b> {
    fn shown(&self) -> String {
        self.at.iter().fold(String::new(), |shown, step| shown + "/" + step)
    }

    fn node(&mut self, node: &'n Node, value: Value, found: &mut Found<'b>) -> Result<(), Invalid> {
        if let Some(leaf) = node.leaf {
            return self.leaf(leaf, value, found);
        }
        if value.kind == Kind::Null {
            return self.absent(node, found);
        }
        if let Some(each) = &node.each {
            if value.kind != Kind::Array {
                return invalid(format!("`{}` is not a list", self.shown()));
            }
            self.at.push("*");
            for item in json::iter_elements(self.body, value).map_err(|error| unreadable(&error))? {
                self.node(each, item.map_err(|error| unreadable(&error))?, found)?;
            }
            self.at.pop();
            return Ok(());
        }
        if value.kind != Kind::Object {
            return invalid(format!("`{}` is not an object", self.shown()));
        }
        let mut there = vec![false; node.members.len()];
        for member in json::iter_members(self.body, value).map_err(|error| unreadable(&error))? {
            let member = member.map_err(|error| unreadable(&error))?;
            match node.members.iter().zip(&mut there).find(|((own, _), _)| *own == *member.key) {
                Some(((key, below), there)) => {
                    *there = true;
                    self.at.push(key);
                    self.node(below, member.value, found)?;
                    self.at.pop();
                }
                None if self.open => {
                    // Some servers read keys in any case, and it goes upstream as it is.
                    if let Some((own, _)) = node.members.iter().find(|(own, _)| own.eq_ignore_ascii_case(&member.key)) {
                        let (at, name) = (self.shown(), shown(&member.key));
                        return invalid(format!("`{at}/{name}` could be read as `{at}/{own}`"));
                    }
                }
                None => {
                    let known = listed(node.members.iter().map(|(own, _)| own.as_str()));
                    return invalid(format!(
                        "`{}/{}` is not known; what is: {known}",
                        self.shown(),
                        shown(&member.key)
                    ));
                }
            }
        }
        for ((key, below), _) in node.members.iter().zip(there).filter(|(_, there)| !there) {
            self.at.push(key);
            self.absent(below, found)?;
            self.at.pop();
        }
        Ok(())
    }

    /// What is not there: a row without values is a row all the same, and an entry of the outputs names one.
    fn absent(&mut self, node: &'n Node, found: &mut Found<'b>) -> Result<(), Invalid> {
        match node.leaf {
            Some(Leaf::Supplied(at)) => {
                if let Some(place) = found.supplied.get_mut(at) {
                    place.rows += 1;
                }
            }
            Some(Leaf::Output) => return invalid(format!("`{}` is missing", self.shown())),
            Some(Leaf::Bundle | Leaf::Variable(_) | Leaf::Pass | Leaf::Force(_)) | None => {}
        }
        for (key, below) in &node.members {
            self.at.push(key);
            self.absent(below, found)?;
            self.at.pop();
        }
        // Of a list that is not there nothing is.
        Ok(())
    }

    fn leaf(&self, leaf: Leaf, value: Value, found: &mut Found<'b>) -> Result<(), Invalid> {
        let what = self.shown();
        match leaf {
            Leaf::Pass => {}
            Leaf::Output => match text(self.body, value, &what)? {
                Some(name) => found.outputs.push(name),
                None => return invalid(format!("`{what}` holds a null")),
            },
            Leaf::Bundle => found.bundle = text(self.body, value, &what)?,
            Leaf::Variable(at) => {
                if let Some(variable) = found.variables.get_mut(at) {
                    *variable = text(self.body, value, &what)?;
                }
            }
            Leaf::Supplied(at) => {
                if let Some(place) = found.supplied.get_mut(at) {
                    self.row(value, &what, place)?;
                }
            }
            Leaf::Force(at) => {
                if let (Some(forced), Some(force)) = (found.forced.get_mut(at), found.forces.get(at)) {
                    *forced = value.span.of(self.body) == force.value.as_bytes();
                }
            }
        }
        Ok(())
    }

    fn row(&self, value: Value, what: &str, place: &mut Supplied<'b>) -> Result<(), Invalid> {
        place.rows += 1;
        match value.kind {
            Kind::Null => return Ok(()),
            Kind::Object => {}
            Kind::Array | Kind::String | Kind::Number | Kind::Bool(_) => {
                return invalid(format!("`{what}` is no object of names and values"));
            }
        }
        // Of lists of several lengths the longest tells the rows; the others have none for some of them.
        let mut longest = 1;
        for member in json::iter_members(self.body, value).map_err(|error| unreadable(&error))? {
            let value = member.map_err(|error| unreadable(&error))?.value;
            if value.kind == Kind::Array {
                let items = json::iter_elements(self.body, value).map_err(|error| unreadable(&error))?;
                longest = longest.max(items.count());
            }
        }
        for member in json::iter_members(self.body, value).map_err(|error| unreadable(&error))? {
            let member = member.map_err(|error| unreadable(&error))?;
            let null = match member.value.kind {
                Kind::Null => true,
                Kind::Array => {
                    let items = json::iter_elements(self.body, member.value).map_err(|error| unreadable(&error))?;
                    let there = |item: &Result<Value, _>| item.as_ref().is_ok_and(|item| item.kind != Kind::Null);
                    items.filter(there).count() < longest
                }
                Kind::Object | Kind::String | Kind::Number | Kind::Bool(_) => false,
            };
            let held = place.names.entry(member.key).or_default();
            held.rows += 1;
            held.null |= null;
        }
        Ok(())
    }
}

/// A body that is written.
struct Writing<'w> {
    body: &'w [u8],
    route: &'w Route,
    keeps: &'w Keeps<'w>,
}

impl Writing<'_> {
    fn node(&self, node: &Node, value: Option<Value>, out: &mut Vec<u8>) {
        // Nothing stands there but what is put in.
        let value = value.filter(|value| !node.forces || value.kind != Kind::Null);
        match (node.leaf, value) {
            (Some(Leaf::Force(at)), _) => {
                let forced = self.route.request.force.get(at).map_or("null", |force| force.value.as_str());
                out.extend_from_slice(forced.as_bytes());
            }
            (Some(Leaf::Supplied(place)), Some(value)) if value.kind == Kind::Object => self.row(place, value, out),
            (Some(_), Some(value)) => out.extend_from_slice(value.span.of(self.body)),
            (None, Some(value)) if value.kind == Kind::Array => self.list(node, value, out),
            (None, Some(value)) if value.kind == Kind::Null => out.extend_from_slice(b"null"),
            (None, value) => self.object(node, value, out),
            (Some(_), None) => out.extend_from_slice(b"null"),
        }
    }

    fn list(&self, node: &Node, value: Value, out: &mut Vec<u8>) {
        out.push(b'[');
        let mut first = true;
        let each = node.each.as_deref();
        for item in json::iter_elements(self.body, value).into_iter().flatten().flatten() {
            let Some(each) = each.filter(|each| !self.is_cut(each, item)) else { continue };
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            self.node(each, Some(item), out);
        }
        out.push(b']');
    }

    /// Whether an element names an output that is taken out.
    fn is_cut(&self, node: &Node, value: Value) -> bool {
        if node.leaf == Some(Leaf::Output) {
            let name = text(self.body, value, "").ok().flatten();
            return !name.is_some_and(|name| self.keeps.outputs.contains(&*name));
        }
        if value.kind != Kind::Object {
            return false;
        }
        let members = json::iter_members(self.body, value).into_iter().flatten().flatten();
        members.into_iter().any(|member| node.member(&member.key).is_some_and(|below| self.is_cut(below, member.value)))
    }

    fn object(&self, node: &Node, value: Option<Value>, out: &mut Vec<u8>) {
        out.push(b'{');
        let (mut first, mut seen) = (true, BTreeSet::new());
        let mut key = |name: &str, out: &mut Vec<u8>| {
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            json::write_string(out, name);
            out.push(b':');
        };
        let members = value.and_then(|value| json::iter_members(self.body, value).ok());
        for member in members.into_iter().flatten().flatten() {
            let Some((name, below)) = node.members.iter().find(|(own, _)| *own == *member.key) else { continue };
            seen.insert(name.as_str());
            key(name, out);
            self.node(below, Some(member.value), out);
        }
        for (name, below) in node.members.iter().filter(|(name, node)| node.forces && !seen.contains(name.as_str())) {
            key(name, out);
            self.node(below, None, out);
        }
        out.push(b'}');
    }

    fn row(&self, place: usize, value: Value, out: &mut Vec<u8>) {
        out.push(b'{');
        let mut first = true;
        for member in json::iter_members(self.body, value).into_iter().flatten().flatten() {
            if self.keeps.supplied.get(&(place, &*member.key)) != Some(&true) {
                continue;
            }
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            json::write_string(out, &member.key);
            out.push(b':');
            out.extend_from_slice(member.value.span.of(self.body));
        }
        out.push(b'}');
    }
}
