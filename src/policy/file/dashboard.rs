//! Tags that data sources have in the dashboard of a deployment: neither the policy's nor the code's, and in no file.

use std::collections::{BTreeMap, BTreeSet};

use super::{DataSourceText, Layer, Text};
use crate::diagnostic::Place;

/// The tags of one data source in a dashboard; at least one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Labels {
    /// Its name.
    pub name: String,
    /// `POSTGRESQL` and the like; `None`: of a kind that is not known here.
    pub kind: Option<String>,
    /// Each opens it to the roles that carry it.
    pub tags: BTreeSet<String>,
}

impl Layer {
    /// Puts the tags of a dashboard beside those that the layer's files give. A dashboard knows sources by kind and name: of
    /// several of one name those of the layer's kind count, else all; of more than one, the tags that all of them have. One
    /// that no file names is added, without tags of code. `place`: where they are said to stand.
    pub fn label(&mut self, dashboard: &[Labels], place: &Place) {
        let mut named: BTreeMap<&str, Vec<&Labels>> = BTreeMap::new();
        for labels in dashboard {
            named.entry(&labels.name).or_default().push(labels);
        }
        for (name, all) in named {
            let source = self.datasources.entry(name.to_owned()).or_insert_with(|| {
                let kind = if let [only] = &*all { only.kind.clone() } else { None };
                DataSourceText { place: place.clone(), kind, tags: Vec::new(), dashboard: None }
            });
            let alike: Vec<&Labels> =
                all.iter().copied().filter(|labels| labels.kind.is_some() && labels.kind == source.kind).collect();
            let counting = if alike.is_empty() { all } else { alike };
            let mut tags: BTreeSet<&String> = counting.iter().flat_map(|labels| &labels.tags).collect();
            tags.retain(|tag| counting.iter().all(|labels| labels.tags.contains(*tag)));
            let text = |tag: &String| Text { value: tag.clone(), place: place.clone() };
            source.dashboard = Some(tags.into_iter().map(text).collect());
        }
    }
}
