//! What of the files made a permission change: the line, in words.

use crate::diagnostic::Place;
use crate::policy::catalogue::{Class, TagId};
use crate::policy::diff::rest;
use crate::policy::diff::union::{Side, Union, Which};
use crate::policy::file::{FeatureText, RoleText, Text};
use crate::policy::permission::Permission;
use crate::policy::resolve::{RoleId, own_of_role};
use crate::policy::settings::CatalogueTags;

/// A cause as it is found: roles by their common number, features too, tags and data sources by what names them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// Only one side has the role.
    Role(u32),
    /// Only one side has the feature.
    Feature(u32),
    /// What a role maps a tag to.
    Mapping(u32, String),
    /// What a role gives where no tag is mapped.
    Default(u32),
    /// A tag that one side puts on a feature.
    Tag(u32, String),
    /// Whether callers give it.
    IsKey(u32),
    /// Whether its derivation can be seen.
    Opaque(u32),
    /// An input (else a join) of a feature that one side has.
    Edge {
        /// Whose.
        of: u32,
        /// What is read.
        to: u32,
        /// An input.
        input: bool,
    },
    /// A data source that one side has a feature read.
    Source(u32, String),
    /// Which sources a role may reach.
    Reach(u32),
    /// The tags of a data source.
    SourceTags(String),
    /// A setting of the whole policy.
    Setting(&'static str),
    /// A binding of the new side (else of the old one), by its position.
    Binding(Which, usize),
    /// Nothing simpler was found.
    Rules(u32),
}

/// The line that made permissions change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Cause {
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// What is different there.
    pub text: String,
}

/// What of a class decides for a role: the permission, and the tag; no tag: the default.
fn decider(side: Side<'_>, role: RoleId, class: &Class) -> (Permission, Option<TagId>) {
    let permission = own_of_role(side.policy, role, class).permission;
    let maps = |tag: &&TagId| side.policy.roles.get(usize::from(role)).and_then(|r| r.permission_of(**tag));
    let imported = match side.policy.settings.catalogue_tags {
        CatalogueTags::Ignore => [].iter(),
        CatalogueTags::Restrict | CatalogueTags::Trust => class.all_tags.iter(),
    };
    let tag = class.policy_tags.iter().chain(imported).find(|tag| maps(tag) == Some(permission)).copied();
    (permission, tag)
}

/// Why a role's own permission of a feature is another one. `strict`: the side on which it permits less.
pub fn own(union: &Union<'_>, role: u32, at: u32, strict: Which) -> Key {
    let name = union.roles.get(role as usize).copied().unwrap_or_default();
    let [(a, class_a, role_a), (b, class_b, role_b)] = match both(union, name, at, strict) {
        Ok(found) => found,
        Err(key) => return key.unwrap_or(Key::Role(role)),
    };
    let tag_name = |side: Side<'_>, tag: TagId| side.policy.catalogue.tags.name(tag).to_owned();
    let mapping = |side: Side<'_>, id: RoleId, tag: &str| {
        side.policy.roles.get(usize::from(id))?.permission_of(side.policy.catalogue.tags.get(tag)?)
    };
    let carries = |side: Side<'_>, class: &Class, tag: &str| {
        class.all_tags.iter().any(|t| side.policy.catalogue.tags.name(*t) == tag)
    };
    // Of one tag: what is different about it.
    let about = |tag: String| {
        if mapping(a, role_a, &tag) != mapping(b, role_b, &tag) {
            Some(Key::Mapping(role, tag))
        } else if carries(a, &class_a, &tag) != carries(b, &class_b, &tag) {
            Some(Key::Tag(at, tag))
        } else {
            None
        }
    };
    let ((mine, tag_a), (theirs, tag_b)) = (decider(a, role_a, &class_a), decider(b, role_b, &class_b));
    let defaults =
        [(a, role_a), (b, role_b)].map(|(side, id)| side.policy.roles.get(usize::from(id)).map(|r| r.default));
    let [default_a, default_b] = defaults;
    // What held it down there; else what lifts it here.
    if mine != theirs {
        if let Some(key) = tag_a.and_then(|tag| about(tag_name(a, tag))) {
            return key;
        }
        if tag_a.is_none() && tag_b.is_none() && default_a != default_b {
            return Key::Default(role);
        }
        if let Some(key) = tag_b.filter(|_| tag_a.is_none()).and_then(|tag| about(tag_name(b, tag))) {
            return key;
        }
    }
    let all = class_a.all_tags.iter().map(|tag| tag_name(a, *tag));
    let mut all = all.chain(class_b.all_tags.iter().map(|tag| tag_name(b, *tag)));
    if let Some(key) = all.find_map(about) {
        return key;
    }
    if default_a != default_b {
        return Key::Default(role);
    }
    if class_a.key != class_b.key {
        return Key::IsKey(at);
    }
    if a.policy.settings.catalogue_tags != b.policy.settings.catalogue_tags {
        return Key::Setting("catalogue_tags");
    }
    // The same tags from other layers.
    let moved = class_a.all_tags.first().map(|tag| tag_name(a, *tag));
    moved.map_or(Key::Rules(at), |tag| Key::Tag(at, tag))
}

type OfSide<'s> = (Side<'s>, Class, RoleId);

/// Role and class on both sides; else what is missing, `None` for the role.
fn both<'s>(union: &Union<'s>, role: &str, at: u32, strict: Which) -> Result<[OfSide<'s>; 2], Option<Key>> {
    let unknown = || {
        let one = union.id(Which::Old, at).is_some() != union.id(Which::New, at).is_some();
        Some(if one { Key::Feature(at) } else { Key::Setting("unknown_features") })
    };
    let of = |which: Which| -> Result<OfSide<'s>, Option<Key>> {
        let id = union.role_id(which, role).ok_or(None)?;
        Ok((union.side(which), union.class(which, at).ok_or_else(unknown)?, id))
    };
    Ok([of(strict)?, of(strict.other())?])
}

/// Why a feature itself is out of a role's reach on one side alone.
pub fn reach(union: &Union<'_>, role: u32, at: u32, strict: Which) -> Key {
    let name = union.roles.get(role as usize).copied().unwrap_or_default();
    let reads = |which: Which| -> Vec<u32> {
        let policy = union.side(which).policy;
        let feature = union.id(which, at).and_then(|id| policy.catalogue.feature(id));
        let set = feature.and_then(|feature| policy.catalogue.source_sets.get(feature.source_set as usize));
        set.map(|set| set.to_vec()).unwrap_or_default()
    };
    let source = |which: Which, source: u32| {
        union.side(which).policy.catalogue.sources.get(source as usize).map_or("", |source| &source.name)
    };
    let (a, b) = (strict, strict.other());
    let open: Vec<&str> = reads(b).into_iter().map(|id| source(b, id)).collect();
    let shut: Vec<&str> = reads(a)
        .into_iter()
        .filter(|id| union.role_id(a, name).is_some_and(|role| !union.side(a).policy.reaches(role, *id)))
        .map(|id| source(a, id))
        .collect();
    if let Some(gone) = shut.iter().find(|source| !open.contains(*source)) {
        return Key::Source(at, (*gone).to_owned());
    }
    let allow = |which: Which| {
        let text = union.side(which).files.rules.roles.get(name);
        text.and_then(|role| role.datasources.as_ref()).map(|allow| sorted(allow.iter().map(|tag| &*tag.value)))
    };
    if allow(a) != allow(b) {
        return Key::Reach(role);
    }
    let tags = |which: Which, source: &str| source_tags(union.side(which), source);
    match shut.iter().find(|source| tags(a, source) != tags(b, source)) {
        Some(source) => Key::SourceTags((*source).to_owned()),
        None => Key::Setting("catalogue_tags"),
    }
}

fn sorted<'t>(texts: impl Iterator<Item = &'t str>) -> Vec<&'t str> {
    let mut list: Vec<&str> = texts.collect();
    list.sort_unstable();
    list.dedup();
    list
}

/// The policy's tags of a data source, the catalogue's, and a dashboard's.
fn source_tags<'s>(side: Side<'s>, source: &str) -> [Option<Vec<&'s str>>; 3] {
    let [rules, imported] = [side.files.rules, side.files.imported].map(|layer| layer.datasources.get(source));
    let texts = |tags: &'s Vec<Text>| sorted(tags.iter().map(|tag| tag.value.as_str()));
    let dashboard = imported.and_then(|source| source.dashboard.as_ref());
    [rules.map(|source| &source.tags), imported.map(|source| &source.tags), dashboard].map(|tags| tags.map(texts))
}

fn texts<'s>(side: Side<'s>, feature: &str) -> impl Iterator<Item = &'s FeatureText> {
    [side.files.rules, side.files.imported].into_iter().filter_map(move |layer| layer.features.get(feature))
}

fn role<'s>(side: Side<'s>, name: &str) -> Option<&'s RoleText> {
    side.files.rules.roles.get(name)
}

/// Says what a cause is and where it stands: on the new side, but for what only the old one has.
pub fn describe(union: &Union<'_>, key: &Key) -> Cause {
    let found = words(union, key);
    let (place, text) = found.unwrap_or_else(|| (None, "the files differ".to_owned()));
    let (file, line) = place.map_or_else(|| (String::new(), 1), |place| (place.file.name.clone(), place.line.max(1)));
    Cause { file, line, text }
}

fn words(union: &Union<'_>, key: &Key) -> Option<(Option<Place>, String)> {
    let (old, new) = (union.old, union.new);
    let role_name = |role: &u32| union.roles.get(*role as usize).copied().unwrap_or_default();
    let both = |name: &str| (role(old, name), role(new, name));
    let at_feature = |at: u32| {
        let name = union.name(at);
        let place = texts(new, name).chain(texts(old, name)).next().map(|text| text.place.clone());
        (name, place)
    };
    Some(match key {
        Key::Role(id) => match both(role_name(id)) {
            (None, Some(text)) => (Some(text.place.clone()), format!("role `{}` is new", role_name(id))),
            (text, _) => (text.map(|text| text.place.clone()), format!("role `{}` is gone", role_name(id))),
        },
        Key::Feature(at) => {
            let (name, place) = at_feature(*at);
            let word = if union.id(Which::New, *at).is_some() { "new" } else { "gone" };
            (place, format!("feature `{name}` is {word}"))
        }
        Key::Mapping(id, tag) => {
            let name = role_name(id);
            let of = |text: Option<&RoleText>| {
                let mapped = text?.tags.iter().filter(|(mapped, _)| mapped.value == *tag);
                mapped.min_by_key(|(_, permission)| *permission).map(|(text, to)| (text.place.clone(), *to))
            };
            let (before, after) = both(name);
            match (of(before), of(after)) {
                (Some((_, was)), Some((place, to))) => {
                    (Some(place), format!("role `{name}` maps tag `{tag}` to {to} (was {was})"))
                }
                (None, Some((place, to))) => {
                    (Some(place), format!("role `{name}` maps tag `{tag}` to {to} (was not mapped)"))
                }
                (was, None) => {
                    let (place, was) = was?;
                    (Some(place), format!("role `{name}` no longer maps tag `{tag}` (was {was})"))
                }
            }
        }
        Key::Default(id) => {
            let name = role_name(id);
            let (before, after) = both(name);
            let (before, after) = (before?, after?);
            let text = format!("the default of role `{name}` is {} (was {})", after.default, before.default);
            (Some(after.place.clone()), text)
        }
        Key::Tag(at, tag) => return Some(tag_words(union, *at, tag)),
        Key::IsKey(at) => {
            let name = union.name(*at);
            let key = |side: Side<'_>| {
                side.policy.catalogue.id(name).and_then(|id| side.policy.catalogue.feature(id)).is_some_and(|f| f.key)
            };
            let flags = texts(new, name).chain(texts(old, name)).find_map(|text| text.key.clone());
            let word = if key(new) { "a key now" } else { "no key any more" };
            (flags.map(|(_, place)| place).or(at_feature(*at).1), format!("feature `{name}` is {word}"))
        }
        Key::Opaque(at) => {
            let name = union.name(*at);
            let given = |side: Side<'_>| texts(side, name).find_map(|text| text.opaque.clone());
            let word = if given(new).is_some_and(|(on, _)| on) { "opaque now" } else { "no longer opaque" };
            let place = given(new).or(given(old)).map(|(_, place)| place);
            (place, format!("feature `{name}` is {word}"))
        }
        Key::Edge { of, to, input } => return Some(edge_words(union, *of, *to, *input)),
        Key::Source(at, source) => {
            let name = union.name(*at);
            let place = |side: Side<'_>| {
                let mut all = texts(side, name).flat_map(|text| &text.sources);
                all.find(|text| text.value == *source).map(|text| text.place.clone())
            };
            match place(new) {
                Some(place) => (Some(place), format!("feature `{name}` now reads data source `{source}`")),
                None => (place(old), format!("feature `{name}` no longer reads data source `{source}`")),
            }
        }
        Key::Reach(id) => {
            let name = role_name(id);
            let shown = |text: Option<&RoleText>| match text.and_then(|role| role.datasources.as_ref()) {
                None => "left out: every source".to_owned(),
                Some(tags) => rest::list(tags.iter().map(|tag| &*tag.value)),
            };
            let (before, after) = both(name);
            let first = after.and_then(|role| role.datasources.iter().flatten().next()).map(|text| text.place.clone());
            let text = format!("`datasources.allow` of role `{name}` is {} (was {})", shown(after), shown(before));
            (first.or(after.map(|role| role.place.clone())), text)
        }
        Key::SourceTags(source) => {
            let declared = |side: Side<'_>| {
                let layers = [side.files.rules, side.files.imported];
                layers.into_iter().find_map(|l| l.datasources.get(source)).map(|text| text.place.clone())
            };
            let shown = |side: Side<'_>| rest::list(source_tags(side, source).into_iter().flatten().flatten());
            let text = format!("the tags of data source `{source}` are {} (were {})", shown(new), shown(old));
            (declared(new).or(declared(old)), text)
        }
        Key::Setting(name) => {
            let setting = rest::setting(old, new, name)?;
            (setting.place.clone(), setting.text())
        }
        Key::Binding(which, position) => {
            let word = match which {
                Which::Old => "is gone or gives other roles",
                Which::New => "is new or gives other roles",
            };
            let binding = union.side(*which).files.rules.bindings.get(*position)?;
            (
                Some(binding.place.clone()),
                format!("the binding of {} {word}", rest::list(binding.roles.iter().map(|r| &*r.value))),
            )
        }
        Key::Rules(at) => {
            let (name, place) = at_feature(*at);
            (place, format!("feature `{name}` is decided otherwise"))
        }
    })
}

fn tag_words(union: &Union<'_>, at: u32, tag: &str) -> (Option<Place>, String) {
    let name = union.name(at);
    fn find<'s>(side: Side<'s>, name: &str, tag: &str) -> Option<(Place, Option<&'s str>)> {
        let own = side.files.rules.features.get(name).into_iter().flat_map(|text| &text.tags);
        let imported = side.files.imported.features.get(name).into_iter().flat_map(|text| &text.tags);
        let own = own.chain(imported).find(|text| text.value == tag).map(|text| (text.place.clone(), None));
        own.or_else(|| {
            let covering = side.files.rules.patterns.iter().filter(|text| text.pattern.matches(name));
            let mut tags = covering.flat_map(|text| text.tags.iter().map(move |tag| (tag, text.pattern.text())));
            tags.find(|(text, _)| text.value == tag).map(|(text, pattern)| (text.place.clone(), Some(pattern)))
        })
    }
    match (find(union.old, name, tag), find(union.new, name, tag)) {
        (None, Some((place, Some(pattern)))) => (Some(place), format!("pattern `{pattern}` adds tag `{tag}`")),
        (None, Some((place, None))) => (Some(place), format!("feature `{name}` has the new tag `{tag}`")),
        (Some((place, Some(pattern))), None) => {
            (Some(place), format!("pattern `{pattern}` no longer adds tag `{tag}`"))
        }
        (Some((place, None)), None) => (Some(place), format!("feature `{name}` no longer has tag `{tag}`")),
        (_, Some((place, _))) => (Some(place), format!("tag `{tag}` of feature `{name}` comes from another layer")),
        (None, None) => (None, format!("tag `{tag}` of feature `{name}` is another one")),
    }
}

fn edge_words(union: &Union<'_>, of: u32, to: u32, input: bool) -> (Option<Place>, String) {
    let (name, target) = (union.name(of), union.name(to));
    let what = if input { "input" } else { "join" };
    let place = |side: Side<'_>| {
        let lists = texts(side, name).flat_map(|text| if input { &text.inputs } else { &text.joins });
        lists.into_iter().find(|text| text.value == target).map(|text| text.place.clone())
    };
    let reads = |side: Side<'_>| {
        let catalogue = &side.policy.catalogue;
        let feature = catalogue.id(name).and_then(|id| catalogue.feature(id));
        let mut edges = feature.into_iter().flat_map(|feature| catalogue.edges(feature));
        edges.any(|edge| edge.input == input && catalogue.name(edge.to) == target)
    };
    let taken_out = |side: Side<'_>| {
        let lists = side.files.rules.features.get(name).into_iter().flat_map(|text| &text.not_inputs);
        lists.into_iter().find(|text| text.value == target).map(|text| text.place.clone())
    };
    match (reads(union.old), reads(union.new)) {
        (false, true) => match taken_out(union.old).filter(|_| input) {
            Some(was) => (
                place(union.new).or(Some(was)),
                format!("`not_inputs` no longer takes input `{target}` out of feature `{name}`"),
            ),
            None => (place(union.new), format!("feature `{name}` has the new {what} `{target}`")),
        },
        (true, false) => match taken_out(union.new).filter(|_| input) {
            Some(place) => (Some(place), format!("`not_inputs` takes input `{target}` out of feature `{name}`")),
            None => (place(union.old), format!("feature `{name}` no longer has the {what} `{target}`")),
        },
        (_, _) => (place(union.new), format!("the {what} `{target}` of feature `{name}` is another one")),
    }
}
