//! Calls of functions and of methods on rows.

use bytes::Bytes;

use super::super::super::ImportError;
use super::super::super::node::shown;
use super::super::proto::{self, NodeKind};
use super::{Found, Walk};

/// Functions that read more than their arguments: files, other resolvers, templates that name features.
const READERS: &[&str] = &[
    "call_resolver",
    "catalog_call",
    "catalog_call_async",
    "fetch_file",
    "fetch_file_raw",
    "get_server_context",
    "http_request",
    "jinja",
    "minijinja_render",
    "read_secret",
];

/// Methods of a has-many that give back its rows, and those that read none of its columns but the ones they name.
const ROWS: &[&str] = &["filter", "group_by", "head", "limit", "order_by", "slice", "sort", "where"];
const NAMED_COLUMNS: &[&str] = &["agg", "count", "select"];

impl Walk<'_> {
    pub(super) fn call(&mut self, bytes: &Bytes) -> Result<Found, ImportError> {
        let call: proto::Call = self.read(bytes, "a call")?;
        let Some(function) = &call.func else {
            self.problem("it calls what has no name".to_owned());
            return self.arguments(&call, Vec::new());
        };
        let function_node: proto::Node = self.read(function, "an expression")?;
        match function_node.kind {
            Some(NodeKind::Identifier(name)) => {
                if READERS.contains(&name.name.as_str()) {
                    let name = shown(&name.name);
                    self.problem(format!("it calls `{name}`, which can read what cannot be seen"));
                }
                self.arguments(&call, Vec::new())
            }
            Some(NodeKind::Attribute(bytes)) => {
                let part: proto::Attribute = self.read(&bytes, "an attribute")?;
                let parent = self.optional(part.parent.as_ref())?;
                let word = part.attribute.unwrap_or_default().name;
                self.method(parent, &word, &call)
            }
            _ => {
                let found = self.node(function)?;
                self.use_up(found);
                self.arguments(&call, Vec::new())
            }
        }
    }

    /// `parent.word(arguments)`.
    fn method(&mut self, parent: Found, word: &str, call: &proto::Call) -> Result<Found, ImportError> {
        let (namespaces, whole) = match parent {
            Found::Rows { namespaces, whole } => (namespaces, whole),
            Found::Row { namespaces, itself } => {
                // A grouped feature is called with the group; else a method of the row.
                let known = namespaces.iter().any(|namespace| self.graph.lookup(namespace, word).next().is_some());
                let row = Found::Row { namespaces, itself };
                let found = if known || itself { self.attribute(row, word) } else { row };
                self.use_up(found);
                return self.arguments(call, Vec::new());
            }
            other @ (Found::Value | Found::Buckets(_)) => {
                self.use_up(other);
                return self.arguments(call, Vec::new());
            }
        };
        self.arguments(call, namespaces.clone())?;
        if ROWS.contains(&word) {
            return Ok(Found::Rows { namespaces, whole });
        }
        if !NAMED_COLUMNS.contains(&word) {
            self.use_up(Found::Rows { namespaces, whole });
        }
        Ok(Found::Value)
    }

    /// Arguments, in which `_` is a row of the current namespace or one of `rows`; after an argument that is
    /// itself a has-many, of that one too.
    fn arguments(&mut self, call: &proto::Call, rows: Vec<String>) -> Result<Found, ImportError> {
        let named: Vec<Bytes> = call.kwargs.values().map(|bytes| Bytes::from(bytes.clone())).collect();
        let mut scope = self.scopes.last().cloned().unwrap_or_default();
        scope.extend(rows);
        for argument in call.args.iter().chain(&named) {
            let outside = self.scopes.pop();
            self.scopes.push(scope.clone());
            let found = self.node(argument);
            self.scopes.pop();
            self.scopes.extend(outside);
            let found = found?;
            if let Found::Rows { namespaces, .. } = &found {
                scope.extend(namespaces.iter().cloned());
            }
            self.use_up(found);
        }
        Ok(Found::Value)
    }
}
