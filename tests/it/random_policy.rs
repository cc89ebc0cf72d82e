//! Random policies, over a catalogue or without, and queries of them.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::oracle::PERMISSIONS;

const NAMESPACES: [&str; 4] = ["user.", "user.t.", "view:", ""];
/// The last tag on features is one that no role maps.
const TAGS: usize = 6;
const SOURCES: usize = 3;
const UNKNOWN: [&str; 5] = ["user.f99", "view:f1x", "nobody", "USER.f1", "user.f1 "];
pub const PATTERNS: [&str; 12] =
    ["user.*", "user.**", "view:*", "*", "**1", "u*.f1*", "**:**", "user.*.*", "**.t.*", "***2", "*f3", "**f*1*"];

/// Each setting's words; position 0 leaves it out.
const SETTINGS: [(&str, [&str; 2]); 6] = [
    ("unknown_features", ["deny", "default"]),
    ("combine", ["most_restrictive", "most_permissive"]),
    ("declassification", ["strict", "boundary"]),
    ("internal", ["stays", "flows"]),
    ("catalogue_tags", ["trust", "ignore"]),
    ("supplies", ["any", "keys"]),
];

/// Which documents say something: the policy (1), the catalogue (2) or both (3).
type Layers = usize;

/// A feature. Edges lead to features before it: positions are taken modulo.
#[derive(Clone, Debug)]
pub struct RandomFeature {
    namespace: usize,
    named: Layers,
    key: [Option<bool>; 2],
    opaque: [Option<bool>; 2],
    tags: Vec<(Layers, usize)>,
    inputs: Vec<(Layers, usize)>,
    joins: Vec<(Layers, usize)>,
    sources: Vec<(Layers, usize)>,
    not_inputs: Vec<usize>,
}

#[derive(Clone, Debug)]
pub struct RandomRole {
    default: Option<usize>,
    tags: Vec<Option<usize>>,
    blocklists: [Vec<usize>; 2],
    allow: Option<Vec<usize>>,
}

#[derive(Clone, Debug)]
pub struct World {
    pub features: Vec<RandomFeature>,
    patterns: Vec<(usize, usize)>,
    roles: Vec<RandomRole>,
    sources: Vec<[Option<Vec<usize>>; 2]>,
    settings: Vec<usize>,
    pub with_catalogue: bool,
}

#[derive(Clone, Debug)]
pub struct Query {
    supplied: Vec<usize>,
    every_key: bool,
    outputs: Vec<usize>,
}

fn feature() -> impl Strategy<Value = RandomFeature> {
    let flag = |often: f64| {
        let given = |often: f64, on: f64| option::weighted(often, prop::bool::weighted(on));
        [given(often, 0.8), given(often / 2.0, 0.5)]
    };
    let layers = || prop_oneof![2 => Just(1usize), 2 => Just(2), 1 => Just(3)];
    let some = |n: usize, max: usize| vec((layers(), 0..n), 0..=max);
    let rarely = |n: usize| option::weighted(0.2, vec((layers(), 0..n), 1..=2)).prop_map(Option::unwrap_or_default);
    // Mostly on one row: what is supplied counts there alone.
    let namespace = prop_oneof![4 => Just(0usize), 1 => Just(1), 2 => Just(2), 1 => Just(3)];
    let own = (namespace, layers(), flag(0.3), flag(0.1), some(TAGS + 1, 2));
    let lineage = (some(64, 3), rarely(64), rarely(SOURCES), vec(0..64usize, 0..2));
    (own, lineage).prop_map(|((namespace, named, key, opaque, tags), (inputs, joins, sources, not_inputs))| {
        RandomFeature { namespace, named, key, opaque, tags, inputs, joins, sources, not_inputs }
    })
}

fn role() -> impl Strategy<Value = RandomRole> {
    let default = option::weighted(0.8, prop_oneof![2 => Just(0usize), 1 => Just(1), 3 => Just(2)]);
    let mapped = option::weighted(0.75, prop_oneof![2 => Just(0usize), 2 => Just(1), 2 => Just(2), 5 => Just(3)]);
    let list = || option::weighted(0.15, vec(0..TAGS, 0..3)).prop_map(Option::unwrap_or_default);
    (default, vec(mapped, TAGS), [list(), list()], option::weighted(0.35, vec(0..2usize, 0..3)))
        .prop_map(|(default, tags, blocklists, allow)| RandomRole { default, tags, blocklists, allow })
}

/// Up to 14 features and 3 roles, with every setting.
pub fn world() -> impl Strategy<Value = World> {
    let source = || option::weighted(0.7, vec(0..2usize, 0..3));
    let patterns = vec((0..PATTERNS.len(), 0..=TAGS), 0..3);
    let rest = (vec([source(), source()], SOURCES), vec(0..3usize, SETTINGS.len()), any::<bool>());
    (vec(feature(), 1..=14), patterns, vec(role(), 1..=3), rest).prop_map(|(features, patterns, roles, rest)| {
        let (sources, settings, with_catalogue) = rest;
        World { features, patterns, roles, sources, settings, with_catalogue }
    })
}

/// Up to 3 supplied values and perhaps every key; up to 5 outputs.
pub fn query() -> impl Strategy<Value = Query> {
    let query = (vec(0..64usize, 0..4), any::<bool>(), vec(0..64usize, 0..6));
    query.prop_map(|(supplied, every_key, outputs)| Query { supplied, every_key, outputs })
}

impl World {
    /// Names run against the order of the lineage.
    pub fn name(&self, at: usize) -> String {
        let at = at % self.features.len();
        format!("{}f{}", NAMESPACES[self.features[at].namespace], (at * 5 + 3) % 14)
    }

    pub fn roles(&self) -> Vec<String> {
        (0..self.roles.len()).map(|at| format!("r{at}")).collect()
    }

    /// Without a catalogue the policy names everything; a catalogue names something.
    fn named(&self, at: usize) -> Layers {
        match (self.with_catalogue, at) {
            (false, _) => 1,
            (true, 0) => self.features[at].named | 2,
            (true, _) => self.features[at].named,
        }
    }

    pub fn keys(&self) -> Vec<String> {
        let is_key = |at: &usize| {
            let said = |layer: usize| self.features[*at].key[layer].filter(|_| self.named(*at) & (1 << layer) > 0);
            said(0).or(said(1)).unwrap_or(false)
        };
        (0..self.features.len()).filter(is_key).map(|at| self.name(at)).collect()
    }

    /// The policy, and the catalogue or `Null`.
    pub fn documents(&self) -> [Value; 2] {
        let catalogue = if self.with_catalogue { json!({"version": 1}) } else { Value::Null };
        let mut documents = [json!({"version": 1}), catalogue];
        for at in 0..self.features.len() {
            for (layer, document) in documents.iter_mut().enumerate() {
                if self.named(at) & (1 << layer) > 0 {
                    document["features"][self.name(at)] = self.feature(at, layer);
                }
            }
        }
        for (at, given) in self.sources.iter().enumerate() {
            let with_catalogue = self.with_catalogue && given[1].is_some();
            for (layer, document) in documents.iter_mut().enumerate() {
                // What is in no catalogue is in the policy.
                let here = if layer == 0 { given[0].is_some() || !with_catalogue } else { with_catalogue };
                if here {
                    let tags = numbered("x", given[layer].as_deref().unwrap_or_default());
                    document["datasources"][format!("s{at}")] = json!({"tags": tags});
                }
            }
        }
        let policy = &mut documents[0];
        for (at, tag) in &self.patterns {
            policy["features"][PATTERNS[*at]] = json!({"tags": numbered("t", &[*tag])});
        }
        for (name, role) in self.roles().into_iter().zip(&self.roles) {
            let [compute, output] = &role.blocklists;
            let lists = json!({"compute": numbered("t", compute), "output": numbered("t", output)});
            let mut text = json!({"tags": {}, "blocklists": lists});
            for (at, permission) in role.tags.iter().enumerate() {
                if let Some(permission) = permission {
                    text["tags"][format!("t{at}")] = PERMISSIONS[*permission].into();
                }
            }
            if let Some(default) = role.default {
                text["default"] = PERMISSIONS[default].into();
            }
            if let Some(allow) = &role.allow {
                text["datasources"] = json!({"allow": numbered("x", allow)});
            }
            policy["roles"][name] = text;
        }
        for ((name, words), chosen) in SETTINGS.iter().zip(&self.settings) {
            if let Some(word) = chosen.checked_sub(1) {
                policy[name] = words[word].into();
            }
        }
        documents
    }

    /// What a document says of a feature: what it does not name at all, the other one has.
    fn feature(&self, at: usize, layer: usize) -> Value {
        let feature = &self.features[at];
        let list = |items: &[(Layers, usize)], name: &dyn Fn(usize) -> String| -> Value {
            let here = |has: Layers| self.named(at) != 3 || has & (1 << layer) > 0;
            items.iter().filter(|(has, _)| here(*has)).map(|(_, item)| name(*item)).collect()
        };
        let mut text = json!({
            "tags": list(&feature.tags, &|tag| format!("t{tag}")),
            "sources": list(&feature.sources, &|source| format!("s{source}")),
        });
        if at > 0 {
            text["inputs"] = list(&feature.inputs, &|to| self.name(to % at));
            text["joins"] = list(&feature.joins, &|to| self.name(to % at));
            if layer == 0 {
                text["not_inputs"] = feature.not_inputs.iter().map(|to| self.name(to % at)).collect();
            }
        }
        for (flag, given) in [("key", feature.key[layer]), ("opaque", feature.opaque[layer])] {
            if let Some(given) = given {
                text[flag] = given.into();
            }
        }
        text
    }
}

fn numbered(letter: &str, numbers: &[usize]) -> Vec<String> {
    numbers.iter().map(|number| format!("{letter}{number}")).collect()
}

impl Query {
    pub fn supplied(&self, world: &World) -> Vec<String> {
        let mut names = pick(world, &self.supplied);
        names.extend(world.keys().into_iter().filter(|_| self.every_key));
        names
    }

    pub fn outputs(&self, world: &World) -> Vec<String> {
        pick(world, &self.outputs)
    }
}

/// Of sixteen positions one is outside the catalogue.
fn pick(world: &World, positions: &[usize]) -> Vec<String> {
    let unknown = |at: usize| UNKNOWN[at % UNKNOWN.len()].to_owned();
    positions.iter().map(|at| if at % 16 == 15 { unknown(at / 16) } else { world.name(*at) }).collect()
}
