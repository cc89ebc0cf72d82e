//! A query tried: what `resolve` says of it, why, and what the candidate would say.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::ask::OneQuery;
use super::features::{PICTURE, explained};
use super::refused::Refused;
use super::view::{View, Work};
use crate::policy::decide::{Name, Resolved};
use crate::policy::resolve::Tables;

pub(super) fn decide(work: &Work, asked: &OneQuery) -> Result<Value, Refused> {
    let view = work.live();
    let seen = work.seen(&view, &asked.caller)?;
    let roles = view.role_names(&seen.roles);
    let explanation = explained(work, &view, &roles, &asked.supplied, &asked.outputs, PICTURE);
    let (permitted, refused, permissions) = decided(&view, &seen.tables, asked);
    let shadow = work.shadow().map(|shadow| {
        let seen = shadow.seen(&asked.caller);
        let (permitted, refused, permissions) = decided(&shadow, &seen.tables, asked);
        let roles = shadow.role_names(&seen.roles);
        json!({"roles": roles, "permitted": permitted, "refused": refused, "permissions": permissions})
    });
    Ok(json!({
        "generation": work.snapshot.generation,
        "roles": roles,
        "permitted": permitted,
        "refused": refused,
        "permissions": permissions,
        "explanation": explanation,
        "shadow": shadow,
    }))
}

/// As `resolve` has it: whether it is permitted, what is refused, and the permission of each output.
fn decided<'a>(
    view: &View,
    tables: &Tables,
    asked: &'a OneQuery,
) -> (bool, Vec<&'a str>, BTreeMap<&'a str, &'static str>) {
    let policy = view.policy();
    let names = |names: &'a [String]| names.iter().map(|name| Name::of(policy, name)).collect::<Vec<_>>();
    let (supplied, outputs) = (names(&asked.supplied), names(&asked.outputs));
    let resolved = Resolved::new(policy, tables, &supplied);
    let decision = resolved.decide(&outputs);
    let denied = decision.refused_supplied.iter().filter_map(|at| asked.supplied.get(*at));
    let held_back = asked.outputs.iter().zip(&decision.outputs).filter(|(_, v)| !v.permission.returnable());
    let mut refused: Vec<&str> = denied.chain(held_back.map(|(name, _)| name)).map(String::as_str).collect();
    refused.sort_unstable();
    refused.dedup();
    let permissions =
        asked.outputs.iter().zip(&decision.outputs).map(|(name, v)| (name.as_str(), v.permission.name())).collect();
    (decision.permitted, refused, permissions)
}
