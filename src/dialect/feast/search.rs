//! Vector search (wire-feast.md, section 2): the rows of one view that are nearest to something.
//!
//! Which features a search reads stands in no request: the vector that is ranked by and the texts that are looked into are
//! the view's to know, stores differ in what they look into, and the catalogue does not say which they are. Whoever may ask
//! for an order of rows may ask for it until the values are known. So **every feature of the view must be returnable**, and
//! of what the view is computed from, of the views of that. A feature that is asked for and is not there may be taken out in
//! filter mode; nothing else can.
//!
//! Rows are found, not asked for, so the keys of the view are outputs too: one that may not be returned is cut.

mod request;
mod stores;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::answer::Answered;
use super::plan::{Other, spelled};
use super::{Columns, Index, Permit, Sent, Views};
use crate::dialect::{self, Invalid, Outcome, Plan, fingerprint_part, shown};
use crate::policy::Policy;
use crate::policy::catalogue::FeatureId;
use crate::policy::decide::{Name, Resolved, Verdict};
use crate::policy::permission::Permission;
use crate::policy::resolve::Table;
use crate::policy::settings::Mode;
pub use request::{InStore, Request, read, read_in_store};
pub use stores::{Store, filter_found, filter_stores, store, visible};

/// The name under which a search answers how near a row is.
const DISTANCE: &str = "distance";
/// The name under which it answers how well the text of a row fits.
const TEXT_RANK: &str = "text_rank";
/// The key that Feast gives a view without entities (feast/feature_view.py, 0.67).
const NO_KEY: &str = "__dummy_id";

/// A search as it was read.
#[derive(Debug, PartialEq, Eq)]
pub struct Search<'b> {
    /// What is asked for, as written: `view:feature`, or in a vector store the feature alone. In one it may be empty: all.
    pub features: Vec<Cow<'b, str>>,
    /// What filters compare.
    pub filters: Vec<Compared<'b>>,
    /// What it is a search of, and what is answered beside the features.
    pub form: Form<'b>,
}

/// What a filter compares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared<'b> {
    /// The key, as written.
    pub key: Cow<'b, str>,
    /// With values that the caller gives, as a key is given to a query (`eq`, `in`). Any other comparison tells of a value
    /// that nobody gave: asked often enough, all of it.
    pub given: bool,
}

/// A form of search.
#[derive(Debug, PartialEq, Eq)]
pub enum Form<'b> {
    /// `api_version: 1`: of the columns that are asked for, `distance` among them, those come that Feast has.
    First,
    /// `api_version: 2`: `distance` comes beside the features, and with a query in words `text_rank`.
    Second {
        /// It has a query in words.
        words: bool,
    },
    /// A vector store.
    Store {
        /// As the caller wrote it.
        id: &'b str,
        /// The view that it stands for; `None`: there is no such store.
        view: Option<&'b str>,
    },
}

/// Decides a search, and notes in the plan what is recorded. A refused one is refused by what was asked for and may not be
/// returned; where all of that may be, by the view or the vector store; where that is open, by the keys of filters.
///
/// # Errors
/// [`Invalid`]: a reference of another form, features of several views, a feature with the name of what is answered beside
/// them.
pub fn decide(
    plan: &mut Plan,
    policy: &Policy,
    index: &Index,
    tables: &[Arc<Table>],
    search: &Search<'_>,
) -> Result<Outcome, Invalid> {
    let references = search.references()?;
    let (view, asked) = asked(policy, &references, search)?;
    let resolved = Resolved::new(policy, tables, &[]);
    let (mut kept, mut refused): (Vec<&Asked<'_>>, Vec<String>) = (Vec::new(), Vec::new());
    for one in &asked {
        let name = one.name();
        let verdict = match (name, view.contains('@')) {
            (None, _) => None,
            // A pin that the catalogue does not list could be anything to Feast.
            (Some(Name::Unknown(_)), true) => Some(Verdict { permission: Permission::Deny, rule: 7 }),
            (Some(name), _) => Some(resolved.verdict(name, false)),
        };
        plan.outputs.push(shown(&one.output.reference).into());
        match (name, verdict.filter(|verdict| !verdict.permission.returnable())) {
            (Some(name), Some(verdict)) => {
                plan.refuse(&resolved, name, &one.output.reference, verdict);
                refused.push(one.written.to_owned());
            }
            (_, _) => kept.push(one),
        }
    }
    let read = read_by(policy, index, &view);
    let mut open = !read.is_empty();
    for id in &read {
        let (name, feature) = (Name::Known(*id), policy.catalogue.name(*id));
        let verdict = resolved.verdict(&name, false);
        open &= verdict.permission.returnable();
        if asked.is_empty() {
            plan.outputs.push(shown(feature).into());
        }
        if asked.iter().all(|one| one.output.name != name) {
            plan.reads.push(shown(feature).into());
            if !verdict.permission.returnable() {
                plan.refuse(&resolved, &name, feature, verdict);
            }
        }
    }
    let nothing_left = kept.is_empty() && !asked.is_empty();
    if !open || nothing_left || (plan.mode == Mode::Reject && !refused.is_empty()) {
        if refused.is_empty() {
            refused.push(match &search.form {
                Form::First | Form::Second { .. } => view.into_owned(),
                Form::Store { id, .. } => (*id).to_owned(),
            });
        }
        return Ok(Outcome::Refuse(refused));
    }
    let features: BTreeSet<&str> =
        read.iter().filter_map(|id| Some(policy.catalogue.name(*id).split_once(':')?.1)).collect();
    let usable = |id: FeatureId, given: bool| {
        let permission = resolved.verdict(&Name::Known(id), false).permission;
        permission.returnable() || (given && permission != Permission::Deny)
    };
    let filters = search.filters.iter().filter(|one| !features.contains(&*one.key));
    let key = |one: &Compared<'_>| policy.catalogue.id(&one.key).filter(|id| is_key(policy, *id));
    let filters: Vec<String> = filters
        .filter(|one| !key(one).is_some_and(|id| usable(id, one.given)))
        .map(|one| one.key.clone().into_owned())
        .collect();
    if !filters.is_empty() {
        return Ok(Outcome::Refuse(filters));
    }
    let returned = kept.iter().filter_map(|one| one.name().cloned());
    let all = read.iter().filter(|_| asked.is_empty()).map(|id| Name::Known(*id));
    for name in returned.chain(all) {
        if let (Name::Known(id), Some(via)) = (&name, resolved.cleared_by(&name)) {
            plan.declassified.push((policy.catalogue.name(*id).to_owned(), via));
        }
    }
    let returnable = |id: FeatureId| resolved.verdict(&Name::Known(id), false).permission.returnable();
    let keys = keys_of(policy, &read).into_iter().map(|id| (policy.catalogue.name(id), returnable(id)));
    let features = features.into_iter().filter(|_| asked.is_empty());
    Ok(Outcome::Permit(dialect::Permit::feast(permit(search, &view, &kept, keys, features, refused.len()))))
}

/// Everything that was asked for. Nothing is cut from the answer to it.
///
/// # Errors
/// [`Invalid`]: as [`decide`].
pub fn unenforced(policy: &Policy, index: &Index, search: &Search<'_>) -> Result<Permit, Invalid> {
    let references = search.references()?;
    let (view, asked) = asked(policy, &references, search)?;
    let read = read_by(policy, index, &view);
    let kept: Vec<&Asked<'_>> = asked.iter().collect();
    let keys = keys_of(policy, &read).into_iter().map(|id| (policy.catalogue.name(id), true));
    let features = read.iter().filter_map(|id| Some(policy.catalogue.name(*id).split_once(':')?.1));
    Ok(permit(search, &view, &kept, keys, features.filter(|_| asked.is_empty()), 0))
}

/// One thing that is asked for.
struct Asked<'q> {
    /// As the caller wrote it.
    written: &'q str,
    output: Other<'q>,
    beside: Option<Beside>,
}

/// What the first form lets a caller ask for as if it were a feature of the view.
enum Beside {
    Distance,
    Key(Name<'static>),
}

impl Asked<'_> {
    /// What is decided of it; `None`: nothing.
    fn name(&self) -> Option<&Name<'_>> {
        match &self.beside {
            None => Some(&self.output.name),
            Some(Beside::Key(name)) => Some(name),
            Some(Beside::Distance) => None,
        }
    }
}

/// The view that is searched, and what is asked for.
fn asked<'q>(
    policy: &Policy,
    references: &'q [Cow<'_, str>],
    search: &'q Search<'_>,
) -> Result<(Cow<'q, str>, Vec<Asked<'q>>), Invalid> {
    let mut view: Cow<'q, str> = match &search.form {
        Form::Store { id, view } => view.unwrap_or(id).into(),
        Form::First | Form::Second { .. } => "".into(),
    };
    let mut asked: Vec<Asked<'q>> = Vec::new();
    for (reference, written) in references.iter().zip(&search.features) {
        let output = spelled(policy, reference)?;
        let of = output.reference.split_once(':').map_or("", |(view, _)| view);
        if view.is_empty() {
            view = of.to_owned().into();
        }
        if view != of {
            return Err(Invalid("`features` are of several views, and a search is of one".to_owned()));
        }
        let known = matches!(output.name, Name::Known(_));
        let key = policy.catalogue.id(output.short).filter(|id| is_key(policy, *id));
        let beside = match (&search.form, key) {
            (Form::First, _) if output.short == DISTANCE && !known => Some(Beside::Distance),
            (Form::First, Some(key)) if !known => Some(Beside::Key(Name::Known(key))),
            (Form::First | Form::Second { .. } | Form::Store { .. }, _) => None,
        };
        let taken = match &search.form {
            Form::First => output.short == DISTANCE && known,
            Form::Second { words } => output.short == DISTANCE || (*words && output.short == TEXT_RANK),
            Form::Store { .. } => output.short == DISTANCE,
        };
        if taken || asked.iter().any(|other| other.output.short == output.short) {
            let name = shown(output.short);
            return Err(Invalid(format!("a search would answer two columns by the name `{name}`")));
        }
        asked.push(Asked { written, output, beside });
    }
    Ok((view, asked))
}

fn is_key(policy: &Policy, id: FeatureId) -> bool {
    policy.catalogue.feature(id).is_some_and(|feature| feature.key)
}

/// What a search of a view may read: its features, and of what they are computed from, those of the views of that.
fn read_by(policy: &Policy, index: &Index, view: &str) -> BTreeSet<FeatureId> {
    let (mut open, mut seen, mut read) = (vec![view], BTreeSet::new(), BTreeSet::new());
    while let Some(view) = open.pop() {
        if !seen.insert(view) {
            continue;
        }
        for id in index.views.get(view).into_iter().flatten() {
            read.insert(*id);
            let edges = policy.catalogue.feature(*id).map(|feature| policy.catalogue.edges(feature));
            let inputs = edges.unwrap_or_default().iter().filter(|edge| edge.input);
            open.extend(inputs.filter_map(|edge| Some(policy.catalogue.name(edge.to).split_once(':')?.0)));
        }
    }
    read
}

/// The keys that rows of these features are found by; where the catalogue says nothing of that, all.
fn keys_of(policy: &Policy, features: &BTreeSet<FeatureId>) -> BTreeSet<FeatureId> {
    let features = features.iter().filter_map(|id| policy.catalogue.feature(*id));
    let joins = features.flat_map(|feature| policy.catalogue.edges(feature)).filter(|edge| !edge.input);
    let keys: BTreeSet<FeatureId> = joins.map(|edge| edge.to).filter(|id| is_key(policy, *id)).collect();
    if !keys.is_empty() {
        return keys;
    }
    let all = policy.catalogue.features().iter().zip(0..);
    all.filter(|(feature, _)| feature.key).map(|(_, id)| id).collect()
}

fn permit<'k>(
    search: &Search<'_>,
    view: &str,
    kept: &[&Asked<'k>],
    keys: impl Iterator<Item = (&'k str, bool)>,
    features: impl Iterator<Item = &'k str>,
    filtered: usize,
) -> Permit {
    let mut columns = Columns::default();
    let mut cut = vec![NO_KEY];
    let mut entities: BTreeSet<String> = BTreeSet::new();
    for (key, returnable) in keys {
        if returnable {
            entities.insert(key.to_owned());
        } else {
            cut.push(key);
        }
    }
    let shorts = kept.iter().map(|one| one.output.short).chain(features);
    let mut keep = |name: &str| columns.keep(name.into(), name.into());
    match &search.form {
        // Which of it comes is Feast's to know; what comes was asked for.
        Form::First => entities.extend(shorts.map(str::to_owned)),
        Form::Second { words } => {
            let beside = [DISTANCE].into_iter().chain(words.then_some(TEXT_RANK));
            beside.chain(shorts).for_each(|name| _ = keep(name));
        }
        Form::Store { .. } => shorts.for_each(|name| _ = keep(name)),
    }
    // What is asked for comes, though a key has its name.
    cut.into_iter().for_each(|key| columns.cut(key.into(), false));
    let wanted = kept.iter().map(|one| match &search.form {
        Form::First | Form::Second { .. } => Arc::clone(&one.output.reference),
        Form::Store { .. } => one.output.short.into(),
    });
    Permit {
        wanted: Sent::features(wanted.collect()),
        columns,
        entities,
        filtered,
        full_names: false,
        views: Views::and(vec![view.into()]),
        answered: Answered::default(),
    }
}

impl Search<'_> {
    /// What is asked for, each as `view:feature`.
    fn references(&self) -> Result<Vec<Cow<'_, str>>, Invalid> {
        let Form::Store { id, view } = &self.form else {
            return Ok(self.features.iter().map(|written| Cow::Borrowed(&**written)).collect());
        };
        // What there is not reads like what is denied, also where its name could not be a view's.
        let view = view.unwrap_or(id);
        if self.features.iter().any(|name| name.contains(':')) {
            return Err(Invalid("`features_to_retrieve` holds a name with `:` in it".to_owned()));
        }
        Ok(self.features.iter().map(|name| Cow::Owned(format!("{view}:{name}"))).collect())
    }

    /// Everything that a decision on it reads, which no query is mistaken for.
    pub fn fingerprint(&self, out: &mut Vec<u8>) {
        let mut part = |tag: u8, text: &str| fingerprint_part(out, tag, text.as_bytes());
        match &self.form {
            Form::First => part(b'1', ""),
            Form::Second { words: false } => part(b'2', ""),
            Form::Second { words: true } => part(b'3', ""),
            Form::Store { id, view } => {
                part(b'I', id);
                view.iter().for_each(|view| part(b'N', view));
            }
        }
        self.features.iter().for_each(|name| part(b'f', name));
        self.filters.iter().for_each(|one| part(if one.given { b'k' } else { b'q' }, &one.key));
    }
}

#[cfg(test)]
mod tests;
