//! Bundles and data sources.

use super::{FileReader, Text};
use crate::diagnostic::{Code, Place};
use crate::yaml::{Node, Value};

/// A bundle as written.
#[derive(Clone, Debug)]
pub struct BundleText {
    /// Where its name stands.
    pub place: Place,
    /// Its members in order.
    pub members: Vec<MemberText>,
}

/// A member of a bundle.
#[derive(Clone, Debug)]
pub struct MemberText {
    /// The feature.
    pub feature: Text,
    /// The name under which it is answered, where that is not its own.
    pub alias: Option<String>,
    /// Entity key of the feature -> the name that callers give it under.
    pub keys: Vec<(Text, String)>,
}

/// A data source as written.
#[derive(Clone, Debug)]
pub struct DataSourceText {
    /// Where its name stands.
    pub place: Place,
    /// `POSTGRESQL` and the like.
    pub kind: Option<String>,
    /// Labels.
    pub tags: Vec<Text>,
    /// Those of a dashboard; `None`: it says nothing. No file has them ([`Layer::label`](super::Layer::label)).
    pub dashboard: Option<Vec<Text>>,
}

impl FileReader<'_, '_> {
    pub(super) fn bundle(&mut self, name: &str, place: Place, node: &Node) -> BundleText {
        let what = format!("bundle `{name}`");
        let mut members = Vec::new();
        for item in self.r.list(node, &what).unwrap_or_default() {
            if let Value::Str(text) = &item.value {
                let feature = Text { value: text.clone(), place: self.r.place(item) };
                members.push(MemberText { feature, alias: None, keys: Vec::new() });
                continue;
            }
            let Some(fields) = self.r.fields(item, "a member of a bundle", &["feature", "as", "keys"]) else {
                continue;
            };
            let Some(feature) = fields.get("feature") else {
                self.r.error(item, Code::BundleMember, format!("a member of {what} names no `feature`"));
                continue;
            };
            let Some(text) = self.r.text(feature, "`feature`") else { continue };
            let feature = Text { value: text.to_owned(), place: self.r.place(feature) };
            let alias = fields.get("as").and_then(|node| self.r.text(node, "`as`")).map(str::to_owned);
            let mut keys = Vec::new();
            if let Some(entries) = fields.get("keys").and_then(|n| self.r.entries(n, "`keys`")) {
                for (key, value) in entries {
                    if let Some(renamed) = self.r.text(value, &format!("the name of key `{}`", key.name)) {
                        let key = Text { value: key.name.clone(), place: self.r.key_place(key) };
                        keys.push((key, renamed.to_owned()));
                    }
                }
            }
            members.push(MemberText { feature, alias, keys });
        }
        BundleText { place, members }
    }

    pub(super) fn datasource(&mut self, name: &str, place: Place, node: &Node) -> DataSourceText {
        let mut source = DataSourceText { place, kind: None, tags: Vec::new(), dashboard: None };
        if matches!(node.value, Value::Null) {
            return source;
        }
        if let Some(fields) = self.r.fields(node, &format!("data source `{name}`"), &["kind", "tags"]) {
            source.kind = fields.get("kind").and_then(|node| self.r.text(node, "`kind`")).map(str::to_owned);
            source.tags = self.names(fields.get("tags"), "`tags`");
        }
        source
    }
}
