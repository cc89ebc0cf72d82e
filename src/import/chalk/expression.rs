//! What an expression, a reference or a data frame of the export reads.
//!
//! Chalk's scopes: `_` is the row of the feature's own namespace; within the `[]` of a has-many it
//! is the row of that one, and `__` the row outside. The further arguments of a call on a has-many
//! (`max_by(_.transactions[_.amount], _.at)`) may be meant in either; names that stand in both are
//! taken to be read in both. So the lineage found is never smaller than the true one; what cannot
//! be followed is named as a problem.

use std::collections::BTreeSet;

use bytes::Bytes;
use prost::Message as _;

use super::super::ImportError;
use super::super::node::shown;
use super::graph::{Graph, Kind};
use super::proto::{self, NodeKind, Part};
use crate::chalk::{PSEUDO, PSEUDO_NAMESPACE, duration};

mod call;

/// Levels of an expression that are followed.
const DEEPEST: usize = 128;

/// What is read to compute something.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Lineage {
    pub inputs: BTreeSet<String>,
    pub joins: BTreeSet<String>,
    pub sources: BTreeSet<String>,
    /// What could not be followed: `it calls ...`.
    pub problems: BTreeSet<String>,
}

/// What a part of an expression stands for.
enum Found {
    /// A value; what it reads is noted already.
    Value,
    /// A row of one of these namespaces; `_` itself or reached by has-one.
    Row { namespaces: Vec<String>, itself: bool },
    /// Rows of one of these namespaces, of which no column was chosen yet (`whole`) or some were.
    Rows { namespaces: Vec<String>, whole: bool },
    /// A windowed feature of which no window was chosen yet.
    Buckets(Vec<(i64, String)>),
}

/// The walk over the expressions of one derivation.
pub(super) struct Walk<'g> {
    graph: &'g Graph,
    /// Where the derivation stands, for errors.
    place: &'g str,
    /// The window of the feature, in seconds, which `_.chalk_window` stands for.
    window: Option<i64>,
    /// Which namespaces `_` can be in, outermost first.
    scopes: Vec<Vec<String>>,
    depth: usize,
    pub found: Lineage,
}

impl<'g> Walk<'g> {
    pub(super) fn new(graph: &'g Graph, place: &'g str, window: Option<i64>) -> Self {
        Walk { graph, place, window, scopes: Vec::new(), depth: 0, found: Lineage::default() }
    }

    pub(super) fn read<P: Part>(&mut self, bytes: &Bytes, what: &str) -> Result<P, ImportError> {
        let (part, newer) = proto::read(bytes, self.place)?;
        if let Some(newer) = newer {
            self.problem(format!("it has the field {newer} of {what}, which is newer than this import"));
        }
        Ok(part)
    }

    pub(super) fn problem(&mut self, problem: String) {
        self.found.problems.insert(problem);
    }

    fn unknown(&mut self, namespace: &str, name: &str) {
        let name = shown(&format!("{namespace}.{name}"));
        self.problem(format!("it names `{name}`, which the export does not have"));
    }

    /// An expression in which `_` is a row of the namespace.
    pub(super) fn expression(&mut self, bytes: &Bytes, namespace: &str) -> Result<(), ImportError> {
        self.scopes.push(vec![namespace.to_owned()]);
        let found = self.node(bytes);
        self.scopes.pop();
        self.use_up(found?);
        Ok(())
    }

    /// A feature by its reference: with the way to it, and with the columns where it is a has-many.
    pub(super) fn reference(&mut self, bytes: &Bytes) -> Result<(), ImportError> {
        let reference: proto::Reference = self.read(bytes, "a reference")?;
        self.nested(|walk| {
            for hop in &reference.path {
                let hop: proto::Reference = walk.read(hop, "a reference")?;
                walk.hop(&format!("{}.{}", hop.namespace, hop.name));
            }
            let full = format!("{}.{}", reference.namespace, reference.name);
            if let Some(frame) = &reference.df {
                walk.hop(&full);
                return walk.frame(frame);
            }
            walk.name(&reference.namespace, &reference.name);
            Ok(())
        })
    }

    /// Features by the name of a reference, which is exact.
    pub(super) fn name(&mut self, namespace: &str, name: &str) {
        if namespace == PSEUDO_NAMESPACE {
            return;
        }
        let full = format!("{namespace}.{name}");
        match self.graph.features.get(&full).map(|declared| &declared.kind) {
            None => self.unknown(namespace, name),
            Some(Kind::Scalar | Kind::Time | Kind::GroupBy) => {
                self.found.inputs.insert(full);
            }
            Some(Kind::Windowed) => self.use_up(Found::Buckets(self.graph.buckets(&full))),
            Some(Kind::Relation { target, .. }) => {
                self.hop(&full);
                self.found.inputs.append(&mut self.graph.row(target));
            }
        }
    }

    /// The columns of a data frame, all of its namespace where it names none.
    pub(super) fn frame(&mut self, bytes: &Bytes) -> Result<(), ImportError> {
        let frame: proto::Frame = self.read(bytes, "a data frame")?;
        self.nested(|walk| {
            if frame.required_columns.is_empty() && frame.optional_columns.is_empty() {
                if !walk.graph.is_namespace(&frame.root_namespace) {
                    walk.unknown(&frame.root_namespace, "*");
                }
                walk.found.inputs.append(&mut walk.graph.row(&frame.root_namespace));
            }
            for column in frame.required_columns.iter().chain(&frame.optional_columns) {
                walk.reference(column)?;
            }
            match &frame.filter {
                Some(filter) => walk.expression(filter, &frame.root_namespace),
                None => Ok(()),
            }
        })
    }

    fn hop(&mut self, relation: &str) {
        match self.graph.relation(relation) {
            Some((_, joins)) => self.found.joins.extend(joins.iter().cloned()),
            None => {
                let relation = shown(relation);
                self.problem(format!("it hops over `{relation}`, which the export does not have"));
            }
        }
    }

    /// One level deeper; what is too deep is a problem.
    fn nested(&mut self, step: impl FnOnce(&mut Self) -> Result<(), ImportError>) -> Result<(), ImportError> {
        if self.depth >= DEEPEST {
            self.problem(format!("it is deeper than {DEEPEST} levels"));
            return Ok(());
        }
        self.depth += 1;
        let done = step(self);
        self.depth -= 1;
        done
    }

    fn node(&mut self, bytes: &Bytes) -> Result<Found, ImportError> {
        let mut found = Found::Value;
        self.nested(|walk| {
            found = walk.part(bytes)?;
            Ok(())
        })?;
        Ok(found)
    }

    fn optional(&mut self, bytes: Option<&Bytes>) -> Result<Found, ImportError> {
        match bytes {
            Some(bytes) => self.node(bytes),
            None => {
                self.problem("a part of it is empty".to_owned());
                Ok(Found::Value)
            }
        }
    }

    fn part(&mut self, bytes: &Bytes) -> Result<Found, ImportError> {
        let node: proto::Node = self.read(bytes, "an expression")?;
        match node.kind {
            Some(NodeKind::Scalar(_) | NodeKind::Literal(_)) => Ok(Found::Value),
            Some(NodeKind::Identifier(name) | NodeKind::TypedIdentifier(name)) => Ok(self.identifier(&name.name)),
            Some(NodeKind::Column(bytes)) => self.column(&bytes),
            Some(NodeKind::Binary(bytes)) => self.binary(&bytes),
            Some(NodeKind::Attribute(bytes)) => {
                let part: proto::Attribute = self.read(&bytes, "an attribute")?;
                let parent = self.optional(part.parent.as_ref())?;
                let word = part.attribute.unwrap_or_default().name;
                Ok(self.attribute(parent, &word))
            }
            Some(NodeKind::Subscript(bytes)) => self.subscript(&bytes),
            Some(NodeKind::Call(bytes)) => self.call(&bytes),
            None => {
                let number = proto::numbers(bytes).unwrap_or_default().into_iter().find(|n| !matches!(n, 40 | 44));
                self.problem(match number {
                    Some(number) => format!("a part of it is of the kind {number}, which is not followed"),
                    None => "a part of it is of no kind".to_owned(),
                });
                Ok(Found::Value)
            }
        }
    }

    fn identifier(&mut self, name: &str) -> Found {
        let scope = match name {
            "_" => self.scopes.last(),
            "__" => self.scopes.len().checked_sub(2).and_then(|outside| self.scopes.get(outside)),
            _ => None,
        };
        if let Some(namespaces) = scope {
            return Found::Row { namespaces: namespaces.clone(), itself: true };
        }
        let name = shown(name);
        self.problem(format!("it uses `{name}`, of which it is not known what it is"));
        Found::Value
    }

    fn column(&mut self, bytes: &Bytes) -> Result<Found, ImportError> {
        let column: proto::Column = self.read(bytes, "a column")?;
        let relation = column.relation.unwrap_or_default().name;
        if relation.is_empty() {
            let row = self.identifier("_");
            return Ok(self.attribute(row, &column.name));
        }
        self.name(&relation, &column.name);
        Ok(Found::Value)
    }

    fn binary(&mut self, bytes: &Bytes) -> Result<Found, ImportError> {
        let binary: proto::Binary = self.read(bytes, "an operation")?;
        let mut operands = binary.operands.as_slice();
        // Hops, and at the end of them a feature: all columns.
        if binary.op == "foreign_feature_access"
            && let Some((last, hops)) = operands.split_last()
        {
            for hop in hops {
                let hop: proto::Node = self.read(hop, "an expression")?;
                if let Some(NodeKind::Column(bytes)) = hop.kind {
                    let column: proto::Column = self.read(&bytes, "a column")?;
                    self.hop(&format!("{}.{}", column.relation.unwrap_or_default().name, column.name));
                } else {
                    self.problem("a hop in it is no column".to_owned());
                }
            }
            operands = std::slice::from_ref(last);
        }
        for operand in operands {
            let found = self.node(operand)?;
            self.use_up(found);
        }
        Ok(Found::Value)
    }

    /// `parent.word`: a feature of a row, or a field of a value that has some.
    fn attribute(&mut self, parent: Found, word: &str) -> Found {
        match parent {
            Found::Value => Found::Value,
            buckets @ Found::Buckets(_) => {
                self.use_up(buckets);
                Found::Value
            }
            Found::Row { namespaces, .. } => self.feature(&namespaces, word, false),
            Found::Rows { namespaces, .. } => self.feature(&namespaces, word, true),
        }
    }

    fn feature(&mut self, namespaces: &[String], word: &str, mut many: bool) -> Found {
        let graph = self.graph;
        let (mut known, mut targets, mut buckets) = (PSEUDO.contains(&word), Vec::new(), Vec::new());
        for (full, declared) in namespaces.iter().flat_map(|namespace| graph.lookup(namespace, word)) {
            known = true;
            match &declared.kind {
                Kind::Scalar | Kind::Time | Kind::GroupBy => {
                    self.found.inputs.insert(full.to_owned());
                }
                Kind::Windowed => buckets.append(&mut graph.buckets(full)),
                Kind::Relation { many: rows, target } => {
                    self.found.joins.extend(declared.joins.iter().cloned());
                    targets.push(target.clone());
                    many |= rows;
                }
            }
        }
        if !known {
            self.unknown(namespaces.first().map_or("", String::as_str), word);
        }
        match (targets.is_empty(), buckets.is_empty()) {
            (false, _) if many => Found::Rows { namespaces: targets, whole: true },
            (false, _) => Found::Row { namespaces: targets, itself: false },
            (true, false) => Found::Buckets(buckets),
            (true, true) => Found::Value,
        }
    }

    fn subscript(&mut self, bytes: &Bytes) -> Result<Found, ImportError> {
        let part: proto::Subscript = self.read(bytes, "a subscript")?;
        let parent = self.optional(part.parent.as_ref())?;
        let (namespaces, whole) = match parent {
            Found::Buckets(buckets) => {
                self.window(buckets, &part.subscript)?;
                return Ok(Found::Value);
            }
            Found::Rows { namespaces, whole } => (namespaces, whole),
            Found::Row { namespaces, itself } => {
                if itself {
                    self.problem("it takes `_` apart by a subscript".to_owned());
                }
                (namespaces, true)
            }
            Found::Value => {
                self.all(&part.subscript)?;
                return Ok(Found::Value);
            }
        };
        let mut chosen = !whole;
        self.scopes.push(namespaces.clone());
        for key in &part.subscript {
            chosen |= self.chooses(key)?;
            let found = self.node(key)?;
            self.use_up(found);
        }
        self.scopes.pop();
        Ok(Found::Rows { namespaces, whole: !chosen })
    }

    /// Whether a key between the `[]` of a has-many is a column: operators and functions filter, literals count.
    fn chooses(&mut self, key: &Bytes) -> Result<bool, ImportError> {
        let key: proto::Node = self.read(key, "an expression")?;
        Ok(match key.kind {
            Some(NodeKind::Attribute(_) | NodeKind::Subscript(_)) => true,
            Some(NodeKind::Call(bytes)) => {
                let call: proto::Call = self.read(&bytes, "a call")?;
                match call.func {
                    Some(function) => {
                        let function: proto::Node = self.read(&function, "an expression")?;
                        match function.kind {
                            Some(NodeKind::Identifier(name)) => name.name == "select",
                            _ => true,
                        }
                    }
                    None => false,
                }
            }
            _ => false,
        })
    }

    /// The bucket that a subscript names, all of them where that cannot be told.
    fn window(&mut self, buckets: Vec<(i64, String)>, keys: &[Bytes]) -> Result<(), ImportError> {
        let mut seconds = None;
        if let [key] = keys {
            let node: proto::Node = self.read(key, "an expression")?;
            match node.kind {
                Some(NodeKind::Literal(bytes)) => {
                    let literal = proto::Literal::decode(bytes).map_err(|_| proto::damaged(self.place))?;
                    let text = literal.value.and_then(|value| value.utf8.or(value.large_utf8));
                    seconds = text.as_deref().and_then(duration);
                }
                Some(NodeKind::Attribute(bytes)) => {
                    let part: proto::Attribute = self.read(&bytes, "an attribute")?;
                    if part.attribute.is_some_and(|word| word.name == "chalk_window") {
                        seconds = self.window;
                    }
                }
                _ => {}
            }
        }
        self.all(keys)?;
        let (named, others): (Vec<_>, Vec<_>) = buckets.into_iter().partition(|(length, _)| Some(*length) == seconds);
        self.use_up(Found::Buckets(if named.is_empty() { others } else { named }));
        Ok(())
    }

    fn all(&mut self, nodes: &[Bytes]) -> Result<(), ImportError> {
        for node in nodes {
            let found = self.node(node)?;
            self.use_up(found);
        }
        Ok(())
    }

    /// A part that is used as it is: rows of which no column was chosen are all of their columns.
    fn use_up(&mut self, found: Found) {
        match found {
            Found::Value | Found::Rows { whole: false, .. } => {}
            Found::Row { itself: true, .. } => self.problem("it uses `_` as a whole".to_owned()),
            Found::Row { namespaces, .. } | Found::Rows { namespaces, .. } => {
                for namespace in namespaces {
                    self.found.inputs.append(&mut self.graph.row(&namespace));
                }
            }
            Found::Buckets(buckets) => self.found.inputs.extend(buckets.into_iter().map(|(_, full)| full)),
        }
    }
}
