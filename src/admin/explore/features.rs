//! Features of a caller: all that are looked for, and one with its lineage.

use serde_json::{Value, json};

use super::ask::{Listed, OneFeature};
use super::refused::Refused;
use super::view::{View, Work};
use crate::policy::catalogue::FeatureId;
use crate::policy::decide::{Name, Resolved, Verdict};
use crate::policy::explain::{self, Bounds, Explanation, Query};
use crate::policy::permission::Permission;
use crate::policy::settings::UnknownFeatures;

/// Of a lineage: what fits in a picture.
pub(super) const PICTURE: Bounds = Bounds { nodes: 150, reads: 30 };
/// Tags of a feature in a list.
const MOST_TAGS: usize = 8;
/// Readers of a feature that are told.
const MOST_READERS: usize = 50;

/// What is looked for: words that all stand in a name, in whatever case; `tag:x` asks for that tag.
pub(super) struct Words<'s> {
    words: Vec<&'s str>,
    tags: Vec<&'s str>,
}

impl<'s> Words<'s> {
    pub(super) fn new(search: &'s str) -> Self {
        let (tags, words): (Vec<&str>, Vec<&str>) =
            search.split_whitespace().partition(|word| word.starts_with("tag:"));
        Self { words, tags: tags.into_iter().filter_map(|tag| tag.strip_prefix("tag:")).collect() }
    }

    pub(super) fn all_in(&self, name: &str) -> bool {
        let has =
            |word: &&str| name.as_bytes().windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes()));
        self.words.iter().all(has)
    }

    /// Whether a feature is looked for.
    pub(super) fn find(&self, view: &View, id: FeatureId) -> bool {
        let catalogue = &view.policy().catalogue;
        let Some(feature) = catalogue.feature(id) else { return false };
        let tags = || catalogue.classes.get(feature.class as usize).map(|class| &*class.all_tags).unwrap_or_default();
        let has = |tag: &&str| catalogue.tags.get(tag).is_some_and(|tag| tags().contains(&tag));
        self.tags.iter().all(has) && self.all_in(&feature.name)
    }
}

/// The features of a search with their permissions, by name.
pub(super) fn list(work: &Work, asked: &Listed) -> Result<Value, Refused> {
    let view = work.live();
    let seen = work.seen(&view, &asked.caller)?;
    let policy = view.policy();
    let resolved = Resolved::new(policy, &seen.tables, &[]);
    let words = Words::new(&asked.search);
    let wanted = |permission: Permission| {
        asked.only.as_ref().is_none_or(|only| only.iter().any(|name| name == permission.name()))
    };
    let (mut counts, mut total, mut rows) = ([0usize; 4], 0, Vec::new());
    for id in view.sorted().iter().copied().filter(|id| words.find(&view, *id)) {
        let verdict = resolved.verdict(&Name::Known(id), false);
        if let Some(count) = counts.get_mut(verdict.permission as usize) {
            *count += 1;
        }
        if !wanted(verdict.permission) {
            continue;
        }
        if total >= asked.offset && rows.len() < asked.limit {
            rows.push(row(&view, &resolved, id, verdict));
        }
        total += 1;
    }
    let counts: serde_json::Map<String, Value> = Permission::ALL
        .into_iter()
        .zip(counts)
        .map(|(permission, count)| (permission.name().to_owned(), json!(count)))
        .collect();
    Ok(json!({
        "generation": work.snapshot.generation,
        "roles": view.role_names(&seen.roles),
        "total": total,
        "counts": counts,
        "offset": asked.offset,
        "rows": rows,
    }))
}

fn row(view: &View, resolved: &Resolved<'_>, id: FeatureId, verdict: Verdict) -> Value {
    let catalogue = &view.policy().catalogue;
    let feature = catalogue.feature(id);
    let class = feature.and_then(|feature| catalogue.classes.get(feature.class as usize));
    let all = class.map(|class| &*class.all_tags).unwrap_or_default();
    let tags: Vec<&str> = all.iter().take(MOST_TAGS).map(|tag| catalogue.tags.name(*tag)).collect();
    json!({
        "feature": catalogue.name(id),
        "permission": verdict.permission.name(),
        "rule": verdict.rule,
        "tag": decided_by(resolved, id, verdict),
        "tags": tags,
        "more_tags": all.len().saturating_sub(MOST_TAGS),
        "key": feature.is_some_and(|feature| feature.key),
    })
}

/// The tag that decided, where a rule looks at the feature's own tags.
pub(super) fn decided_by(resolved: &Resolved<'_>, id: FeatureId, verdict: Verdict) -> Option<String> {
    let own = matches!(verdict.rule, 1 | 3 | 7);
    resolved.deciding_tag(&Name::Known(id)).filter(|_| own).map(|tag| tag.to_string())
}

/// One feature: its lineage explained, who reads it, and what the candidate says of it.
pub(super) fn one(work: &Work, asked: &OneFeature) -> Result<Value, Refused> {
    let view = work.live();
    let seen = work.seen(&view, &asked.caller)?;
    let policy = view.policy();
    let id = policy.catalogue.id(&asked.feature);
    if id.is_none() && policy.settings.unknown_features == UnknownFeatures::Deny {
        return Err(Refused::Asked("there is no such feature".to_owned()));
    }
    let roles = view.role_names(&seen.roles);
    let explanation = explained(work, &view, &roles, &[], std::slice::from_ref(&asked.feature), PICTURE);
    let dependents = id.map(|id| policy.catalogue.dependents(id)).unwrap_or_default();
    let mut readers: Vec<&str> = dependents.iter().map(|edge| policy.catalogue.name(edge.to)).collect();
    readers.sort_unstable();
    readers.dedup();
    let count = readers.len();
    readers.truncate(MOST_READERS);
    let shadow = work.shadow().map(|shadow| {
        let seen = shadow.seen(&asked.caller);
        let roles = shadow.role_names(&seen.roles);
        let only = Bounds { nodes: 1, ..PICTURE };
        let told = explained(work, &shadow, &roles, &[], std::slice::from_ref(&asked.feature), only);
        told.nodes.into_iter().next()
    });
    Ok(json!({
        "generation": work.snapshot.generation,
        "roles": roles,
        "explanation": explanation,
        "readers": {"total": count, "features": readers},
        "shadow": shadow,
    }))
}

/// As `explain` tells it, within bounds.
pub(super) fn explained(
    work: &Work,
    view: &View,
    roles: &[&str],
    supplied: &[String],
    outputs: &[String],
    bounds: Bounds,
) -> Explanation {
    let roles = roles.iter().map(|role| (*role).to_owned()).collect();
    let query = Query { roles, supplied: supplied.to_vec(), outputs: outputs.to_vec() };
    explain::lineage_within(view.policy(), &view.files(&work.views), &query, bounds)
}
