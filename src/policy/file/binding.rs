//! Bindings.

use super::{FileReader, Text};
use crate::diagnostic::{Code, Place};
use crate::yaml::{Node, Value};

/// A binding as written.
#[derive(Clone, Debug)]
pub struct BindingText {
    /// Where it begins.
    pub place: Place,
    /// Role names.
    pub roles: Vec<Text>,
    /// Claim (or JSON pointer), wanted values (any of), place.
    pub when: Vec<(Text, Vec<Wanted>)>,
}

/// A value that a claim must have, compared exactly and by type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A text.
    Str(String),
    /// A whole number.
    Int(i64),
    /// A boolean.
    Bool(bool),
}

impl FileReader<'_, '_> {
    pub(super) fn binding(&mut self, node: &Node) {
        let place = self.r.place(node);
        let Some(fields) = self.r.fields(node, "a binding", &["roles", "when"]) else { return };
        let roles = self.names(fields.get("roles"), "`roles` of a binding");
        if roles.is_empty() {
            self.r.error(node, Code::BindingRoles, "a binding without `roles` gives nothing");
        }
        let mut when = Vec::new();
        match fields.get("when").and_then(|n| self.r.entries(n, "`when`")) {
            Some(entries) if !entries.is_empty() => {
                for (key, value) in entries {
                    let claim = Text { value: key.name.clone(), place: self.r.key_place(key) };
                    when.push((claim, self.wanted(&key.name, value)));
                }
            }
            Some(_) => self.r.error(node, Code::BindingWhen, "an empty `when` would match every caller"),
            None if fields.get("when").is_none() => {
                self.r.error(node, Code::BindingWhen, "a binding without `when` would match every caller");
            }
            None => {}
        }
        let names = |kind: fn(&str) -> bool| when.iter().any(|(claim, _)| kind(&claim.value));
        if names(is_certificate) && names(is_issuer) {
            self.r.error(
                node,
                Code::BindingWhen,
                "`when` names both `iss` and `cert.*`, and a caller is one or the other",
            );
        }
        self.layer.bindings.push(BindingText { place, roles, when });
    }

    fn wanted(&mut self, claim: &str, node: &Node) -> Vec<Wanted> {
        match &node.value {
            Value::Str(text) => vec![Wanted::Str(text.clone())],
            Value::Int(number) => vec![Wanted::Int(*number)],
            Value::Bool(value) => vec![Wanted::Bool(*value)],
            Value::Seq(items) if !items.is_empty() => items
                .iter()
                .flat_map(|item| match &item.value {
                    Value::Seq(_) => {
                        self.r.error(item, Code::BindingWhen, format!("claim `{claim}` wants a list within a list"));
                        Vec::new()
                    }
                    _ => self.wanted(claim, item),
                })
                .collect(),
            other => {
                let kind = if matches!(other, Value::Seq(_)) { "an empty list" } else { other.kind() };
                let message = format!("claim `{claim}` wants {kind}, not a text, a whole number, a boolean or a list");
                self.r.error(node, Code::BindingWhen, message);
                Vec::new()
            }
        }
    }
}

/// Whether a name in `when` stands for a client certificate's claim, also as a pointer.
pub fn is_certificate(claim: &str) -> bool {
    claim.strip_prefix('/').unwrap_or(claim).starts_with("cert.")
}

/// Whether a name in `when` stands for the issuer, also as a pointer.
pub fn is_issuer(claim: &str) -> bool {
    matches!(claim, "iss" | "/iss")
}
