//! What may come back without being asked for.

use std::collections::{HashMap, HashSet};

use super::{Permit, Query, is_key, known, verdict};
use crate::dialect::json::description::Place;
use crate::dialect::json::reader::NAME;
use crate::dialect::json::request::made;
use crate::policy::Policy;
use crate::policy::catalogue::FeatureId;
use crate::policy::decide::{Name, Resolved};

impl Permit {
    /// Keys that the caller gave and what the description keeps, where these names are no features that may not be
    /// returned. A key that the caller did not give is one of those, and is cut.
    pub(super) fn allow_extra(
        &mut self,
        policy: &Policy,
        resolved: &Resolved<'_>,
        query: &Query<'_>,
        given: &[Name<'_>],
    ) {
        let keys = query.supplied.iter().filter(|supply| is_key(policy, supply)).map(|supply| &*supply.written);
        let keeps = query.route.answers.iter().flat_map(|answer| &answer.keep).map(String::as_str);
        let given: HashSet<FeatureId> = given.iter().filter_map(known).collect();
        let key = |id: FeatureId| policy.catalogue.feature(id).is_some_and(|feature| feature.key);
        let shut = |id: &FeatureId| {
            let own = key(*id) && given.contains(id);
            !(own || verdict(policy, resolved, &Name::Known(*id)).permission.returnable())
        };
        let mut meanings: HashMap<&str, Vec<FeatureId>> = HashMap::new();
        for written in keys.chain(keeps) {
            meanings.entry(written).or_insert_with(|| {
                let bare = policy.catalogue.id(written).filter(|id| key(*id));
                query.meanings(written).filter_map(|name| policy.catalogue.id(&name)).chain(bare).collect()
            });
        }
        if query.means_later() && !meanings.is_empty() {
            for (feature, id) in policy.catalogue.features().iter().zip(0..) {
                if let Some(ids) = query.written(&feature.name).and_then(|written| meanings.get_mut(written)) {
                    ids.push(id);
                }
            }
        }
        for (written, ids) in meanings {
            let mut shut = ids.into_iter().filter(shut).peekable();
            if shut.peek().is_none() {
                self.extra.insert(written.to_owned());
            } else if shut.all(key) {
                self.shut.insert(written.to_owned());
            }
        }
    }
}

impl Query<'_> {
    /// What `written` may mean: a feature of the answer, or something that the caller can give.
    fn meanings(&self, written: &str) -> impl Iterator<Item = String> {
        let given = self.route.request.supplied.iter().filter(move |one| match &one.at {
            Place::Body(_) => true,
            Place::Query(own) | Place::Path(own) => own == written,
        });
        let given = given.filter_map(|one| made(&one.names, written, &self.variables));
        self.feature(written, &[]).into_iter().chain(given)
    }

    /// What the wire calls a feature, in an answer with whichever variables.
    fn written<'f>(&self, feature: &'f str) -> Option<&'f str> {
        let parts = self.route.names.read(feature)?;
        let fits = |(variable, value): &(&str, &str)| {
            let held = self.variables.iter().find(|(own, _)| own == variable);
            held.is_none_or(|(_, held)| *held == **value)
        };
        let (_, written) = parts.iter().find(|(variable, _)| *variable == NAME)?;
        parts.iter().all(fits).then_some(*written)
    }
}
