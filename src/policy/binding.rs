//! Which callers hold which roles: bindings held against claims (policy.md, Bindings).

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::file::{self, Wanted};
use super::resolve::RoleId;
use crate::diagnostic::Place;

/// Which callers hold which roles.
#[derive(Clone, Debug)]
pub struct Binding {
    /// Where it stands.
    pub place: Place,
    /// The roles that it gives.
    pub roles: Vec<RoleId>,
    /// Claim or JSON pointer, and the values of which one must match; all must.
    pub(super) when: Vec<(String, Vec<Wanted>)>,
}

/// Where the bindings stand that may match, by what they ask of `iss`: a caller is held against those of its issuer alone.
#[derive(Clone, Debug, Default)]
pub(super) struct ByIssuer {
    /// Those that ask for this very text, among others perhaps.
    of: HashMap<String, Vec<usize>>,
    /// Those that do not ask for `iss`.
    any: Vec<usize>,
}

impl ByIssuer {
    pub(super) fn of(bindings: &[Binding]) -> Self {
        let mut index = Self::default();
        for (at, binding) in bindings.iter().enumerate() {
            let Some((_, wanted)) = binding.when.iter().find(|(claim, _)| file::is_issuer(claim)) else {
                index.any.push(at);
                continue;
            };
            for wanted in wanted {
                if let Wanted::Str(issuer) = wanted {
                    let places = index.of.entry(issuer.clone()).or_default();
                    // Once, though it is written twice.
                    if places.last() != Some(&at) {
                        places.push(at);
                    }
                }
            }
        }
        index
    }

    /// The bindings that may match these claims: all that do, and few that do not.
    pub(super) fn candidates<'b>(
        &'b self,
        bindings: &'b [Binding],
        claims: &Map<String, Value>,
    ) -> impl Iterator<Item = &'b Binding> {
        let (of, any, all): (&[usize], &[usize], &[Binding]) = match claims.get("iss") {
            None => (&[], &self.any, &[]),
            Some(Value::String(issuer)) => (self.of.get(issuer).map_or(&[], Vec::as_slice), &self.any, &[]),
            // No trusted issuer is called so; of a list each item counts.
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                (&[], &[], bindings)
            }
        };
        of.iter().chain(any).filter_map(|at| bindings.get(*at)).chain(all)
    }
}

impl Binding {
    /// Whether all wanted claims are there.
    pub(super) fn matches(&self, claims: &Map<String, Value>) -> bool {
        !self.when.is_empty()
            && self.when.iter().all(|(name, wanted)| {
                claim(claims, name).is_some_and(|found| wanted.iter().any(|wanted| holds(name, found, wanted)))
            })
    }
}

/// A claim by its name, or by a JSON pointer (RFC 6901) where the name begins with `/`. A `cert.*` beside `iss` is a token's,
/// so none.
pub(super) fn claim<'c>(claims: &'c Map<String, Value>, name: &str) -> Option<&'c Value> {
    if file::is_certificate(name) && claims.contains_key("iss") {
        return None;
    }
    let Some(pointer) = name.strip_prefix('/') else { return claims.get(name) };
    let (first, rest) = pointer.split_once('/').map_or((pointer, None), |(first, rest)| (first, Some(rest)));
    let top = claims.get(&first.replace("~1", "/").replace("~0", "~"))?;
    rest.map_or(Some(top), |rest| top.pointer(&format!("/{rest}")))
}

/// Exactly and by type; a list by membership; `scope` and `scp` texts by word.
pub(super) fn holds(name: &str, found: &Value, wanted: &Wanted) -> bool {
    match (found, wanted) {
        (Value::Array(items), _) => items.iter().any(|item| !item.is_array() && holds("", item, wanted)),
        (Value::String(text), Wanted::Str(wanted)) => {
            text == wanted || (matches!(name, "scope" | "scp") && text.split(' ').any(|word| word == wanted))
        }
        (Value::Number(number), Wanted::Int(wanted)) => number.as_i64() == Some(*wanted),
        (Value::Bool(value), Wanted::Bool(wanted)) => value == wanted,
        (Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null | Value::Object(_), _) => false,
    }
}
