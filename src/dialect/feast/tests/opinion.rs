//! What the contract expects of a query, worked out anew: it shares nothing with the dialect but the permission of a
//! single feature.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::world::Query;
use super::*;
use crate::policy::catalogue::FeatureId;
use crate::policy::decide::{Name, Resolved};
use crate::policy::permission::Permission;
use crate::policy::settings::Mode;

/// What the second opinion expects of a query.
#[derive(Debug)]
pub(super) enum Expected {
    Sent {
        /// The body without its entities.
        wanted: serde_json::Value,
        /// Full name -> the name that the caller wants; `None`: cut.
        columns: BTreeMap<String, Option<String>>,
        sent: BTreeSet<String>,
        filtered: usize,
    },
    Refused(Vec<String>),
    Invalid,
}

/// Keys that are needed to compute a feature, by the plainest walk.
fn keys(policy: &Policy, id: FeatureId) -> BTreeSet<FeatureId> {
    let feature = policy.catalogue.feature(id).unwrap();
    if feature.key {
        return BTreeSet::from([id]);
    }
    policy.catalogue.edges(feature).iter().flat_map(|edge| keys(policy, edge.to)).collect()
}

/// An output of the second opinion.
struct Asked {
    written: String,
    reference: String,
    id: Option<FeatureId>,
    full: String,
    short: String,
    permission: Permission,
    renamed: BTreeMap<FeatureId, String>,
}

/// Decides a query by the letter of the contract, in the plainest way.
pub(super) fn expected(policy: &Policy, roles: &[u16], query: &Query) -> Expected {
    let tables = policy.tables(roles);
    let reject = policy.mode_of(roles) == Mode::Reject;
    let bundle = match query.service {
        Some(name) => match policy.catalogue.bundles.get(name) {
            Some(bundle) => Some(bundle),
            None => return Expected::Refused(vec![name.to_owned()]),
        },
        None => None,
    };
    let is_key = |id: &FeatureId| policy.catalogue.feature(*id).unwrap().key;

    let mut supplied: Vec<(&str, FeatureId)> = Vec::new();
    for (name, _, null) in &query.entities {
        let mut ids: BTreeSet<FeatureId> = policy.catalogue.id(name).filter(is_key).into_iter().collect();
        for (id, renamed) in bundle.iter().flat_map(|bundle| &bundle.members).flat_map(|member| &member.keys) {
            if **renamed == **name {
                ids.insert(*id);
            }
        }
        supplied.extend(ids.into_iter().filter(|_| !null).map(|id| (*name, id)));
    }
    let sent: BTreeSet<String> = supplied.iter().map(|(name, _)| (*name).to_owned()).collect();
    let names: Vec<Name<'_>> = supplied.iter().map(|(_, id)| Name::Known(*id)).collect();
    let resolved = Resolved::new(policy, &tables, &names);
    let permission = |name: &Name<'_>| resolved.verdict(name, false).permission;

    let mut asked = Vec::new();
    for written in query.features.iter().filter(|_| bundle.is_none()) {
        let Some((view, short)) = written.split_once(':') else { return Expected::Invalid };
        let view = view.strip_suffix("@latest").unwrap_or(view);
        if [view, short].iter().any(|part| part.is_empty() || part.contains(' ')) {
            return Expected::Invalid;
        }
        let reference = format!("{view}:{short}");
        let id = policy.catalogue.id(&reference);
        let permission = match id {
            Some(id) => permission(&Name::Known(id)),
            None if view.contains('@') => Permission::Deny,
            None => permission(&Name::Unknown(Cow::Borrowed(&reference))),
        };
        asked.push(Asked {
            written: (*written).to_owned(),
            full: format!("{view}__{short}"),
            short: short.to_owned(),
            renamed: BTreeMap::new(),
            reference,
            id,
            permission,
        });
    }
    let by_name = bundle.is_some_and(|b| b.members.iter().any(|m| m.alias.is_some() || !m.keys.is_empty()));
    for member in bundle.iter().flat_map(|bundle| &bundle.members) {
        let name = policy.catalogue.name(member.feature);
        let (view, short) = name.split_once(':').unwrap();
        let full = member.alias.as_ref().map_or(format!("{view}__{short}"), |alias| alias.to_string());
        let mut allowed = permission(&Name::Known(member.feature));
        if by_name && allowed.returnable() {
            let mut meanings = policy
                .catalogue
                .features()
                .iter()
                .filter(|f| f.name.contains(':') && f.name.replacen(':', "__", 1) == full);
            if meanings.any(|f| !permission(&Name::of(policy, &f.name)).returnable()) {
                allowed = Permission::AllowInternal;
            }
        }
        asked.push(Asked {
            written: name.to_owned(),
            reference: name.to_owned(),
            id: Some(member.feature),
            full,
            short: short.to_owned(),
            permission: allowed,
            renamed: member.keys.iter().map(|(id, name)| (*id, name.to_string())).collect(),
        });
    }

    let denied: Vec<&str> = resolved.refused_supplied().iter().map(|at| supplied[*at].0).collect();
    let (kept, cut): (Vec<&Asked>, Vec<&Asked>) = asked.iter().partition(|asked| asked.permission.returnable());
    if let Some(service) = query.service {
        let barred = by_name && cut.iter().any(|asked| asked.permission == Permission::Deny);
        if kept.is_empty() || barred || reject && !cut.is_empty() {
            return Expected::Refused(vec![service.to_owned()]);
        }
        if !denied.is_empty() {
            return Expected::Refused(denied.into_iter().map(str::to_owned).collect());
        }
    } else if !denied.is_empty() || kept.is_empty() || reject && !cut.is_empty() {
        let written = cut.iter().map(|asked| asked.written.as_str());
        return Expected::Refused(denied.into_iter().chain(written).map(str::to_owned).collect());
    }

    let wanted_name = |asked: &Asked| if query.full { asked.full.clone() } else { asked.short.clone() };
    let distinct = |names: Vec<String>| names.iter().collect::<BTreeSet<_>>().len() == names.len();
    let taken = |asked: &&&Asked| sent.contains(&asked.full) || sent.contains(&wanted_name(asked));
    let computed = asked.iter().filter(|asked| by_name || asked.permission.returnable());
    let missing = computed.filter_map(|asked| Some((asked, asked.id?))).any(|(asked, id)| {
        let name = |id: &FeatureId| asked.renamed.get(id).map_or(policy.catalogue.name(*id), String::as_str).to_owned();
        keys(policy, id).iter().any(|id| !sent.contains(&name(id)))
    });
    if missing
        || kept.iter().any(|asked| taken(&asked))
        || !distinct(kept.iter().map(|asked| wanted_name(asked)).collect())
        || !distinct(kept.iter().map(|asked| asked.full.clone()).collect())
    {
        return Expected::Invalid;
    }
    let mut columns: BTreeMap<String, Option<String>> =
        kept.iter().map(|asked| (asked.full.clone(), Some(wanted_name(asked)))).collect();
    if by_name {
        columns.extend(cut.iter().map(|asked| (asked.full.clone(), None)));
    } else {
        // A server that answers all that the caller named, whatever it was asked for.
        for asked in cut.iter().filter(|asked| !sent.contains(&asked.full)) {
            columns.entry(asked.full.clone()).or_insert(None);
        }
    }
    if columns.values().all(Option::is_none) {
        return Expected::Invalid;
    }
    let references: Vec<&str> = kept.iter().map(|asked| asked.reference.as_str()).collect();
    let mut wanted = if by_name {
        serde_json::json!({"feature_service": query.service})
    } else {
        serde_json::json!({"features": references})
    };
    wanted["full_feature_names"] = true.into();
    if query.metadata {
        wanted["include_feature_view_version_metadata"] = true.into();
    }
    Expected::Sent { wanted, columns, sent, filtered: cut.len() }
}
