//! The refusals of late, for the explorer page: what their audit lines say, in a ring. They are put there on the thread that
//! writes the audit log, whatever that log is, and live no longer than the process.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};

use super::{Line, when};
use crate::config::Enforcement;
use crate::dialect::Decision;

/// How many are kept.
pub const KEPT: usize = 256;
/// How many refused features of one are kept; the rest is counted.
const FEATURES: usize = 20;
/// How many roles of one are kept.
const ROLES: usize = 20;
/// Characters of a name.
const NAME: usize = 256;

/// The newest refusals: queries that were refused, and those that were cut.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<Ring>);

#[derive(Debug, Default)]
struct Ring {
    kept: VecDeque<Arc<Value>>,
    seen: u64,
}

impl Refusals {
    /// Keeps what a line tells, where something was refused.
    pub fn see(&self, line: &Line) {
        let plan = &line.made.decided.plan;
        if plan.decision == Decision::Permitted && plan.refused.is_empty() {
            return;
        }
        let told = Arc::new(told(line));
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ring.seen += 1;
        if ring.kept.len() == KEPT {
            ring.kept.pop_front();
        }
        ring.kept.push_back(told);
    }

    /// Those that are kept, the newest first, and how many there were since the start.
    pub fn newest(&self) -> (Vec<Arc<Value>>, u64) {
        let ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (ring.kept.iter().rev().cloned().collect(), ring.seen)
    }
}

/// No values, no tokens: less than the audit line, and cut.
fn told(line: &Line) -> Value {
    let Line { made, decision_id, route, status, time, .. } = line;
    let plan = &made.decided.plan;
    let refused: Vec<Value> = plan
        .refused
        .iter()
        .take(FEATURES)
        .map(|refused| {
            let tag = refused.tag.as_deref().map(cut);
            json!({
                "feature": cut(&refused.feature), "permission": refused.permission.name(), "rule": refused.rule, "tag": tag,
            })
        })
        .collect();
    let policy = &made.snapshot.rules.policy;
    let roles: Vec<String> = made.tables.roles.iter().take(ROLES).map(|role| cut(policy.role_name(*role))).collect();
    // As the audit line has it: members of an object.
    let caller: Option<Map<String, Value>> =
        serde_json::from_str(&format!("{{{}}}", made.caller.memo().audit.trim_end_matches(','))).ok();
    let caller = caller.and_then(|mut members| members.remove("caller"));
    json!({
        "time": when(*time),
        "decision_id": decision_id.as_str(),
        "generation": made.snapshot.generation,
        "caller": caller,
        "roles": roles,
        "more_roles": made.tables.roles.len().saturating_sub(ROLES),
        "route": cut(&route.route),
        "decision": if plan.decision == Decision::Refused { "refused" } else { "filtered" },
        "suspended": plan.enforcement == Enforcement::Audit,
        "refused": refused,
        "more": plan.refused.len().saturating_sub(FEATURES),
        "status": status,
        "trace_id": made.trace_id.as_ref().and_then(|id| std::str::from_utf8(id).ok()),
    })
}

/// What is outside the catalogue was cut and escaped before; what policy writers call things is bounded here.
fn cut(name: &str) -> String {
    name.chars().take(NAME).collect()
}
