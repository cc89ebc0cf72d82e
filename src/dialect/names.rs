//! Names in the order of a query, which a plan holds as numbers of the catalogue.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::dialect::feast::Features;
use crate::policy::catalogue::FeatureId;

/// A name as it is recorded. Of one that the catalogue has there is one text for all plans.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Recorded(Arc<str>);

impl From<&str> for Recorded {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Recorded {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<Arc<str>> for Recorded {
    fn from(text: Arc<str>) -> Self {
        Self(text)
    }
}

impl Deref for Recorded {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Recorded {
    fn borrow(&self) -> &str {
        self
    }
}

impl PartialEq<&str> for Recorded {
    fn eq(&self, other: &&str) -> bool {
        **self == **other
    }
}

impl PartialEq<String> for Recorded {
    fn eq(&self, other: &String) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// Names in order. Of features that the catalogue has these are numbers: no text is copied or shared until somebody reads it.
#[derive(Clone, Default)]
pub struct Names {
    /// What the numbers are of.
    features: Option<Arc<Features>>,
    list: Vec<One>,
}

#[derive(Clone)]
enum One {
    Feature(FeatureId),
    Text(Recorded),
}

impl Names {
    /// An empty list, for names of which most are of these features; about so many.
    pub(super) fn of(features: &Arc<Features>, capacity: usize) -> Self {
        Self { features: Some(Arc::clone(features)), list: Vec::with_capacity(capacity) }
    }

    /// Adds a name.
    pub fn push(&mut self, name: Recorded) {
        self.list.push(One::Text(name));
    }

    /// Adds one of the features that this is [`of`](Self::of).
    pub(super) fn push_feature(&mut self, id: FeatureId) {
        self.list.push(One::Feature(id));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Each, a feature as it is recorded.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.texts(Features::shown)
    }

    /// Each, a feature as Feast is asked for it.
    pub fn references(&self) -> impl Iterator<Item = &str> {
        self.texts(Features::reference)
    }

    fn texts<'n>(&'n self, of: fn(&'n Features, FeatureId) -> &'n str) -> impl Iterator<Item = &'n str> {
        self.list.iter().map(move |one| match one {
            One::Feature(id) => self.features.as_ref().map_or("", |features| of(features, *id)),
            One::Text(text) => text,
        })
    }
}

impl<T: Into<Recorded>> Extend<T> for Names {
    fn extend<I: IntoIterator<Item = T>>(&mut self, names: I) {
        self.list.extend(names.into_iter().map(|name| One::Text(name.into())));
    }
}

impl<T: Into<Recorded>> FromIterator<T> for Names {
    fn from_iter<I: IntoIterator<Item = T>>(names: I) -> Self {
        let mut list = Self::default();
        list.extend(names);
        list
    }
}

impl PartialEq for Names {
    fn eq(&self, other: &Self) -> bool {
        self.references().eq(other.references())
    }
}

impl Eq for Names {}

impl<const N: usize> PartialEq<[&str; N]> for Names {
    fn eq(&self, other: &[&str; N]) -> bool {
        self.iter().eq(other.iter().copied())
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
