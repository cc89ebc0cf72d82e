//! The live policy beside the candidate: features whose permission differs for a caller.

use serde_json::{Value, json};

use super::ask::Listed;
use super::features::{Words, decided_by};
use super::refused::Refused;
use super::view::{View, Work};
use crate::policy::catalogue::FeatureId;
use crate::policy::decide::{Name, Resolved, Verdict};

pub(super) fn list(work: &Work, asked: &Listed) -> Result<Value, Refused> {
    let (live, shadow) = (work.live(), work.shadow().ok_or(Refused::NoShadow)?);
    let (seen, other) = (work.seen(&live, &asked.caller)?, shadow.seen(&asked.caller));
    let before = Resolved::new(live.policy(), &seen.tables, &[]);
    let after = Resolved::new(shadow.policy(), &other.tables, &[]);
    let words = Words::new(&asked.search);
    let wanted = |change: &str| asked.only.as_ref().is_none_or(|only| only.iter().any(|name| name == change));
    let (mut counts, mut total, mut rows) = ([0usize; 2], 0, Vec::new());
    for (name, here, there) in merged(&live, &shadow) {
        let found = here.is_some_and(|id| words.find(&live, id)) || there.is_some_and(|id| words.find(&shadow, id));
        if !found {
            continue;
        }
        let (one, two) = (verdict(&before, name, here), verdict(&after, name, there));
        let (change, at) = match one.permission.cmp(&two.permission) {
            std::cmp::Ordering::Less => ("wider", 0),
            std::cmp::Ordering::Greater => ("narrower", 1),
            std::cmp::Ordering::Equal => continue,
        };
        if let Some(count) = counts.get_mut(at) {
            *count += 1;
        }
        if !wanted(change) {
            continue;
        }
        if total >= asked.offset && rows.len() < asked.limit {
            let told = |resolved: &Resolved<'_>, id: Option<FeatureId>, verdict: Verdict| {
                let tag = id.and_then(|id| decided_by(resolved, id, verdict));
                json!({"permission": verdict.permission.name(), "rule": verdict.rule, "tag": tag, "known": id.is_some()})
            };
            let (live, shadow) = (told(&before, here, one), told(&after, there, two));
            rows.push(json!({"feature": name, "change": change, "live": live, "shadow": shadow}));
        }
        total += 1;
    }
    let [wider, narrower] = counts;
    Ok(json!({
        "generation": work.snapshot.generation,
        "roles": live.role_names(&seen.roles),
        "shadow_roles": shadow.role_names(&other.roles),
        "missing": other.missing,
        "total": total,
        "counts": {"wider": wider, "narrower": narrower},
        "offset": asked.offset,
        "rows": rows,
    }))
}

fn verdict(resolved: &Resolved<'_>, name: &str, id: Option<FeatureId>) -> Verdict {
    resolved.verdict(&id.map_or_else(|| Name::Unknown(name.into()), Name::Known), false)
}

/// Every feature of either policy, by name.
fn merged<'v>(
    live: &'v View,
    shadow: &'v View,
) -> impl Iterator<Item = (&'v str, Option<FeatureId>, Option<FeatureId>)> {
    let names = |view: &'v View| {
        let name = |id: &FeatureId| (view.policy().catalogue.name(*id), *id);
        view.sorted().iter().map(name).peekable()
    };
    let (mut live, mut shadow) = (names(live), names(shadow));
    std::iter::from_fn(move || {
        let order = match (live.peek(), shadow.peek()) {
            (Some((one, _)), Some((two, _))) => one.cmp(two),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (None, None) => return None,
        };
        let here = if order.is_le() { live.next() } else { None };
        let there = if order.is_ge() { shadow.next() } else { None };
        let name = here.or(there).map(|(name, _)| name)?;
        Some((name, here.map(|(_, id)| id), there.map(|(_, id)| id)))
    })
}
