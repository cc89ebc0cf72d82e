//! What changes beside permissions: settings, what roles may do, which callers hold them.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::diagnostic::Place;
use crate::policy::diff::union::{Side, Union, Which};
use crate::policy::file::{BindingText, Layer, RoleText, Setting, Wanted};
use crate::policy::pattern::Pattern;
use crate::policy::settings::{CatalogueTags, Combine, Declassification, Internal, Mode, Supplies, UnknownFeatures};

/// A setting of the policy, or of a role, that is another one.
#[derive(Clone, Debug, Serialize)]
pub struct Changed {
    /// The role, where it is a role's.
    pub role: Option<String>,
    /// `combine`, `mode`, `writes`, `datasources.manage` and so on.
    pub setting: String,
    /// Before.
    pub old: String,
    /// After.
    pub new: String,
    /// Somebody gains by it, whatever the features say: counts for the exit code.
    pub wider: bool,
    /// Somebody loses by it.
    pub narrower: bool,
    /// What it means, where that is more than its words.
    pub note: Option<String>,
    /// `file:line`.
    pub at: String,
    /// The same.
    #[serde(skip)]
    pub place: Option<Place>,
}

impl Changed {
    /// In words.
    pub fn text(&self) -> String {
        let of = self.role.as_ref().map(|role| format!(" of role `{role}`")).unwrap_or_default();
        let note = self.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
        format!("`{}`{of} is {} (was {}){note}", self.setting, self.new, self.old)
    }
}

/// A binding that is new, gone or another one.
#[derive(Clone, Debug, Serialize)]
pub struct Bound {
    /// `added` or `removed`.
    pub change: &'static str,
    /// What callers have that it is about.
    pub when: String,
    /// The roles that callers gain or lose by it.
    pub roles: Vec<String>,
    /// Somebody gains by it.
    pub wider: bool,
    /// What is different about it.
    pub text: String,
    /// `file:line`.
    pub at: String,
    /// Its position in its side.
    #[serde(skip)]
    pub position: usize,
}

/// `[a, b]`.
pub fn list<'t>(texts: impl Iterator<Item = &'t str>) -> String {
    format!("[{}]", texts.collect::<Vec<_>>().join(", "))
}

/// A setting, where it changed.
pub fn setting(old: Side<'_>, new: Side<'_>, name: &str) -> Option<Changed> {
    settings(old, new).into_iter().find(|changed| changed.setting == name)
}

/// The settings of the whole policy that changed.
pub fn settings(old: Side<'_>, new: Side<'_>) -> Vec<Changed> {
    let (was, is) = (old.policy.settings, new.policy.settings);
    let (from, to) = (old.files.rules, new.files.rules);
    let mut found = Vec::new();
    let mut note = |name: &str, words: [&str; 2], wider: Option<bool>, why: &str, places: [Option<Place>; 2]| {
        let [was, is] = words;
        if was == is {
            return;
        }
        let [before, after] = places;
        let place = after.or(before);
        found.push(Changed {
            role: None,
            setting: name.to_owned(),
            old: was.to_owned(),
            new: is.to_owned(),
            wider: wider == Some(true),
            narrower: wider == Some(false),
            note: Some(why.to_owned()).filter(|why| !why.is_empty()),
            at: place.as_ref().map(Place::file_line).unwrap_or_default(),
            place,
        });
    };
    fn at<T>(setting: &Setting<T>) -> Option<Place> {
        setting.as_ref().map(|(_, place)| place.clone())
    }
    let unknown = |u: UnknownFeatures| if u == UnknownFeatures::Deny { "deny" } else { "default" };
    note(
        "unknown_features",
        [unknown(was.unknown_features), unknown(is.unknown_features)],
        Some(is.unknown_features == UnknownFeatures::Default),
        "names outside the catalogue, any spelling that the feature server understands among them",
        [at(&from.unknown_features), at(&to.unknown_features)],
    );
    let combine = |c: Combine| if c == Combine::MostRestrictive { "most_restrictive" } else { "most_permissive" };
    note(
        "combine",
        [combine(was.combine), combine(is.combine)],
        Some(is.combine == Combine::MostPermissive),
        "callers with several roles",
        [at(&from.combine), at(&to.combine)],
    );
    // What these three do shows in full in the permissions.
    let declassification = |d: Declassification| if d == Declassification::Strict { "strict" } else { "boundary" };
    note(
        "declassification",
        [declassification(was.declassification), declassification(is.declassification)],
        None,
        "",
        [at(&from.declassification), at(&to.declassification)],
    );
    let internal = |i: Internal| if i == Internal::Stays { "stays" } else { "flows" };
    note("internal", [internal(was.internal), internal(is.internal)], None, "", [at(&from.internal), at(&to.internal)]);
    let tags = |t: CatalogueTags| match t {
        CatalogueTags::Restrict => "restrict",
        CatalogueTags::Trust => "trust",
        CatalogueTags::Ignore => "ignore",
    };
    note(
        "catalogue_tags",
        [tags(was.catalogue_tags), tags(is.catalogue_tags)],
        None,
        "",
        [at(&from.catalogue_tags), at(&to.catalogue_tags)],
    );
    let supplies = |s: Supplies| if s == Supplies::Any { "any" } else { "keys" };
    note(
        "supplies",
        [supplies(was.supplies), supplies(is.supplies)],
        Some(is.supplies == Supplies::Any),
        "values that callers give in the place of computed ones",
        [at(&from.supplies), at(&to.supplies)],
    );
    note(
        "mode",
        [mode(was.mode), mode(is.mode)],
        Some(is.mode == Mode::Filter),
        "queries with refused outputs are answered without these",
        [at(&from.mode), at(&to.mode)],
    );
    found
}

fn mode(mode: Mode) -> &'static str {
    if mode == Mode::Reject { "reject" } else { "filter" }
}

/// What changed of what roles may do besides reading, for roles of both sides; of a new role, what it has.
pub fn roles(union: &Union<'_>) -> Vec<Changed> {
    let mut found = Vec::new();
    for name in &union.roles {
        let of = |which: Which| union.side(which).files.rules.roles.get(*name);
        let Some(after) = of(Which::New) else { continue };
        role(union, name, of(Which::Old), after, &mut found);
    }
    found
}

fn role(union: &Union<'_>, name: &str, before: Option<&RoleText>, after: &RoleText, found: &mut Vec<Changed>) {
    let mut note =
        |setting: &str, words: [String; 2], [wider, narrower]: [bool; 2], why: Option<String>, place: &Place| {
            let [old, new] = words;
            found.push(Changed {
                role: Some(name.to_owned()),
                setting: setting.to_owned(),
                old,
                new,
                wider,
                narrower,
                note: why,
                at: place.file_line(),
                place: Some(place.clone()),
            });
        };
    let (was, is) = (before.is_some_and(|role| role.manage), after.manage);
    if was != is {
        note("datasources.manage", [was.to_string(), is.to_string()], [is, was], None, &after.place);
    }
    type Texts<'t> = BTreeSet<&'t str>;
    let switches = |role: &RoleText| -> Texts<'static> { role.chalk_allow.iter().map(|(s, _)| s.name()).collect() };
    let (was, is) = (before.map(switches).unwrap_or_default(), switches(after));
    if was != is {
        let directions = [!is.is_subset(&was), !was.is_subset(&is)];
        let words = [list(was.iter().copied()), list(is.iter().copied())];
        note("chalk.allow", words, directions, None, after.chalk_allow.first().map_or(&after.place, |(_, p)| p));
    }
    let written = |role: Option<&RoleText>| -> BTreeSet<String> {
        role.into_iter().flat_map(|role| &role.writes).map(|text| text.value.clone()).collect()
    };
    let (was, is) = (written(before), written(Some(after)));
    let matched = |patterns: &BTreeSet<String>| -> BTreeSet<&str> {
        let patterns: Vec<Pattern> = patterns.iter().map(|text| Pattern::new(text)).collect();
        let names = union.new.policy.catalogue.features().iter().map(|feature| &*feature.name);
        names.filter(|name| patterns.iter().any(|pattern| pattern.matches(name))).collect()
    };
    if was != is {
        let (could, can) = (matched(&was), matched(&is));
        let (more, fewer): (Vec<&str>, usize) =
            (can.difference(&could).copied().collect(), could.difference(&can).count());
        // What matches nothing today may match a feature of tomorrow.
        let idle = is.difference(&was).any(|text| !can.iter().any(|name| Pattern::new(text).matches(name)));
        let mut why = format!("{} features more, {fewer} fewer", more.len());
        if let [first, ..] = &*more {
            why.push_str(&format!("; for one `{first}`"));
        }
        let words = [list(was.iter().map(String::as_str)), list(is.iter().map(String::as_str))];
        let place = after.writes.first().map_or(&after.place, |text| &text.place);
        note("writes", words, [!more.is_empty() || idle, fewer > 0], Some(why), place);
    }
    // Of a new role the mode is its own matter.
    let own = |role: Option<&RoleText>| role.and_then(|role| role.mode);
    let (was, is) = (own(before), own(Some(after)));
    if before.is_some() && was != is {
        let of = |which: Which, own: Option<Mode>| own.unwrap_or(union.side(which).policy.settings.mode);
        let (was, is) = (of(Which::Old, was), of(Which::New, is));
        if was != is {
            let wider = is == Mode::Filter;
            let why = wider.then(|| "queries with refused outputs are answered without these".to_owned());
            note("mode", [mode(was).to_owned(), mode(is).to_owned()], [wider, !wider], why, &after.place);
        }
    }
}

/// Bindings by which callers gain or lose roles. One is covered where all that it gives is given on the other side to
/// everybody whom it matches.
pub fn bindings(union: &Union<'_>) -> Vec<Bound> {
    let of = |which: Which| (which, &union.side(which).files.rules.bindings);
    let mut found = Vec::new();
    for ((mine, all), (_, others)) in [(of(Which::New), of(Which::Old)), (of(Which::Old), of(Which::New))] {
        for (binding, position) in all.iter().zip(0..) {
            let given: BTreeSet<&str> = others
                .iter()
                .filter(|other| implies(binding, other))
                .flat_map(|other| other.roles.iter().map(|role| role.value.as_str()))
                .collect();
            let mut roles: Vec<String> =
                binding.roles.iter().map(|role| role.value.clone()).filter(|role| !given.contains(&**role)).collect();
            roles.sort_unstable();
            roles.dedup();
            if roles.is_empty() {
                continue;
            }
            let when = shown(binding);
            let alike = others.iter().find(|other| overlaps(binding, other) && !other.roles.is_empty());
            let text = match (mine, alike) {
                (Which::New, Some(other)) => {
                    format!("{when}: {} (compare {})", difference(other, binding), other.place.file_line())
                }
                (Which::New, None) => format!("{when}: is new"),
                (Which::Old, Some(other)) => {
                    format!("{when}: {} (compare {})", difference(binding, other), other.place.file_line())
                }
                (Which::Old, None) => format!("{when}: is gone"),
            };
            let change = if mine == Which::New { "added" } else { "removed" };
            let (wider, at) = (mine == Which::New, binding.place.file_line());
            found.push(Bound { change, when, roles, wider, text, at, position });
        }
    }
    found
}

/// Whether whoever matches `narrow` matches `wide` too.
pub fn implies(narrow: &BindingText, wide: &BindingText) -> bool {
    !wide.when.is_empty()
        && wide.when.iter().all(|(claim, values)| {
            let same = narrow.when.iter().find(|(other, _)| other.value == claim.value);
            same.is_some_and(|(_, wanted)| wanted.iter().all(|value| values.contains(value)))
        })
}

/// Whether they name a value of a claim in common: most likely the same line, edited.
fn overlaps(a: &BindingText, b: &BindingText) -> bool {
    let weight = |(claim, values): &(crate::policy::file::Text, Vec<Wanted>)| {
        let same = b.when.iter().find(|(other, _)| other.value == claim.value);
        claim.value != "iss" && same.is_some_and(|(_, others)| values.iter().any(|value| others.contains(value)))
    };
    a.when.iter().any(weight)
}

/// Whether one caller can match both: claims that hold one value by their nature do not have two.
pub fn together(a: &BindingText, b: &BindingText) -> bool {
    const SINGLE: [&str; 6] = ["iss", "/iss", "sub", "client_id", "azp", "jti"];
    a.when.iter().filter(|(claim, _)| SINGLE.contains(&&*claim.value)).all(|(claim, values)| {
        let other = b.when.iter().find(|(other, _)| other.value == claim.value);
        other.is_none_or(|(_, others)| values.iter().any(|value| others.contains(value)))
    })
}

/// What is different from one to the other.
fn difference(old: &BindingText, new: &BindingText) -> String {
    let mut parts = Vec::new();
    let names = |binding: &BindingText| -> BTreeSet<String> { binding.roles.iter().map(|r| r.value.clone()).collect() };
    let (was, is) = (names(old), names(new));
    let quoted = |names: Vec<&String>| names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let (more, fewer): (Vec<&String>, Vec<&String>) = (is.difference(&was).collect(), was.difference(&is).collect());
    if !more.is_empty() {
        parts.push(format!("also gives {}", quoted(more)));
    }
    if !fewer.is_empty() {
        parts.push(format!("no longer gives {}", quoted(fewer)));
    }
    for (claim, values) in &old.when {
        match new.when.iter().find(|(other, _)| other.value == claim.value) {
            None => parts.push(format!("claim `{}` is no longer asked for", claim.value)),
            Some((_, now)) => {
                let (more, fewer) =
                    (now.iter().filter(|v| !values.contains(v)), values.iter().filter(|v| !now.contains(v)));
                parts.extend(more.map(|value| format!("`{}` may also be {}", claim.value, value_shown(value))));
                parts.extend(fewer.map(|value| format!("`{}` may no longer be {}", claim.value, value_shown(value))));
            }
        }
    }
    for (claim, _) in new.when.iter().filter(|(claim, _)| old.when.iter().all(|(c, _)| c.value != claim.value)) {
        parts.push(format!("claim `{}` is asked for too", claim.value));
    }
    if parts.is_empty() { "is another one".to_owned() } else { parts.join("; ") }
}

fn value_shown(wanted: &Wanted) -> String {
    match wanted {
        Wanted::Str(text) => serde_json::Value::from(text.as_str()).to_string(),
        Wanted::Int(number) => number.to_string(),
        Wanted::Bool(value) => value.to_string(),
    }
}

fn shown(binding: &BindingText) -> String {
    let claims = binding.when.iter().map(|(claim, values)| {
        let values: Vec<String> = values.iter().map(value_shown).collect();
        format!("{} is {}", claim.value, values.join(" or "))
    });
    claims.collect::<Vec<_>>().join(" and ")
}

/// Sets of more than one role that bindings of a layer give together.
pub fn sets(rules: &Layer) -> impl Iterator<Item = BTreeSet<&str>> {
    let sets = rules.bindings.iter().map(|binding| binding.roles.iter().map(|role| role.value.as_str()).collect());
    sets.filter(|set: &BTreeSet<&str>| set.len() > 1)
}
