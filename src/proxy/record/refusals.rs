//! The refusals of late, for the explorer page: what their audit lines say, in a ring. They are put there on the thread that
//! writes the audit log, whatever that log is, and live no longer than the process. Of each request that is refused there is one,
//! and hardly any is ever looked at: a copy of the line is kept, and read when somebody looks.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::{Line, Writer};
use crate::dialect::Decision;

/// How many are kept.
pub const KEPT: usize = 256;
/// How many refused features of one are kept; the rest is counted.
const FEATURES: usize = 20;
/// How many roles of one are kept.
const ROLES: usize = 20;
/// Characters of a name.
const NAME: usize = 256;
/// Bytes of a line that is kept as it is; of a longer one what is shown is kept, which the names of roles alone can make longer.
const LINE: usize = 8 << 10;

/// The newest refusals: queries that were refused, and those that were cut.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<Ring>);

#[derive(Debug, Default)]
struct Ring {
    /// JSON objects, each without the brace at its end.
    kept: VecDeque<Vec<u8>>,
    seen: u64,
}

impl Refusals {
    /// Keeps what a line tells, where something was refused. `text`: its object without the brace at its end, by that writer.
    pub fn see(&self, line: &Line, text: &[u8], writer: &mut Writer) {
        let plan = &line.made.decided.plan;
        if plan.decision == Decision::Permitted && plan.refused.is_empty() {
            return;
        }
        let mut short = Vec::new();
        if text.len() > LINE {
            short = writer.short(line, FEATURES);
            if short.len() > LINE {
                short = told(&short).to_string().into_bytes();
                short.pop();
            }
        }
        let text = if short.is_empty() { text } else { &short };
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ring.seen += 1;
        let oldest = if ring.kept.len() == KEPT { ring.kept.pop_front() } else { None };
        let mut room = oldest.unwrap_or_default();
        room.clear();
        room.extend_from_slice(text);
        ring.kept.push_back(room);
    }

    /// Those that are kept, the newest first, and how many there were since the start.
    pub fn newest(&self) -> (Vec<Value>, u64) {
        let ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (kept, seen) = (ring.kept.clone(), ring.seen);
        drop(ring);
        (kept.iter().rev().map(|text| told(text)).collect(), seen)
    }
}

/// No values, no tokens: less than the audit line, and cut.
fn told(text: &[u8]) -> Value {
    let mut line: Value = serde_json::from_slice(&[text, b"}"].concat()).unwrap_or_default();
    let mut taken = |name: &str| line.get_mut(name).map(Value::take).unwrap_or_default();
    let (refused, more) = first(taken("refused"), taken("more"), FEATURES);
    let (roles, more_roles) = first(taken("roles"), taken("more_roles"), ROLES);
    let shown = |refusal: &Value| {
        let (permission, rule) = (&refusal["permission"], &refusal["rule"]);
        json!({"feature": cut(&refusal["feature"]), "permission": permission, "rule": rule, "tag": cut(&refusal["tag"])})
    };
    json!({
        "time": taken("time"),
        "decision_id": taken("decision_id"),
        "generation": taken("generation"),
        "caller": taken("caller"),
        "roles": roles.iter().map(cut).collect::<Vec<_>>(),
        "more_roles": more_roles,
        "route": cut(&taken("route")),
        "decision": taken("decision"),
        "suspended": taken("enforcement") == "audit" || taken("suspended") == true,
        "refused": refused.iter().map(shown).collect::<Vec<_>>(),
        "more": more,
        "status": taken("status"),
        "trace_id": taken("trace_id"),
    })
}

/// The first of a list, and how many are left out, with those that were left out of it before.
fn first(list: Value, before: Value, most: usize) -> (Vec<Value>, u64) {
    let Value::Array(mut list) = list else { return (Vec::new(), 0) };
    let over = list.len().saturating_sub(most) as u64;
    list.truncate(most);
    (list, over + before.as_u64().unwrap_or_default())
}

/// What is outside the catalogue was cut and escaped before; what policy writers call things is bounded here.
fn cut(name: &Value) -> Option<String> {
    Some(name.as_str()?.chars().take(NAME).collect())
}
