//! policy.md, Resolution, read a second time and as naively as it can be: names instead of numbers, recursion instead
//! of tables, nothing remembered. It takes the documents themselves and shares no code with the library.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

type Set = BTreeSet<String>;

/// The four permissions, most restrictive first; elsewhere in this file they are their positions here.
pub const PERMISSIONS: [&str; 4] = ["Deny", "AllowInternal", "Allow", "AllowDownstream"];
const DENY: usize = 0;
const INTERNAL: usize = 1;
const ALLOW: usize = 2;
const DOWNSTREAM: usize = 3;

/// What a query comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Every feature, and every output outside the catalogue, to its permission on the row that is asked for.
    pub permissions: BTreeMap<String, &'static str>,
    /// The same where it is reached by a path.
    pub by_path: BTreeMap<String, &'static str>,
    /// For every feature the rules (1 to 7) that gave its permission: one, or one for each role that answers alone.
    pub rules: BTreeMap<String, BTreeSet<u8>>,
    /// Whether the query may run as asked.
    pub permitted: bool,
    /// Refused outputs and refused supplied features, sorted.
    pub refused: Vec<String>,
    /// The refused supplied features among them.
    pub refused_supplied: Set,
}

struct Feature {
    policy_tags: Set,
    all_tags: Set,
    inputs: Set,
    joins: Set,
    sources: Set,
    key: bool,
    opaque: bool,
}

struct Role {
    default: usize,
    tags: BTreeMap<String, usize>,
    allow: Option<Set>,
}

/// A policy over a catalogue (`Null` where there is none).
pub struct Oracle<'d> {
    policy: &'d Value,
    catalogue: &'d Value,
    features: BTreeMap<String, Feature>,
    roles: BTreeMap<String, Role>,
}

/// Some roles that answer together, and what is supplied.
struct Part<'o> {
    oracle: &'o Oracle<'o>,
    roles: Vec<&'o Role>,
    supplied: Set,
    keys: Set,
}

fn texts(list: &Value) -> Set {
    list.as_array().into_iter().flatten().map(|item| item.as_str().unwrap().to_owned()).collect()
}

fn names(map: &Value) -> Set {
    map.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
}

fn permission(value: &Value) -> usize {
    PERMISSIONS.iter().position(|name| value == name).unwrap()
}

fn union(a: Set, b: &Set) -> Set {
    a.union(b).cloned().collect()
}

/// `*` stays within one segment, `**` crosses them; `.` and `:` end a segment.
fn covers(pattern: &[u8], name: &[u8]) -> bool {
    match pattern {
        [] => name.is_empty(),
        [b'*', b'*', rest @ ..] => covers(rest, name) || (!name.is_empty() && covers(pattern, &name[1..])),
        [b'*', rest @ ..] => {
            let within = name.first().is_some_and(|c| !matches!(c, b'.' | b':'));
            covers(rest, name) || (within && covers(pattern, &name[1..]))
        }
        [byte, rest @ ..] => name.first() == Some(byte) && covers(rest, &name[1..]),
    }
}

fn namespace(name: &str) -> &str {
    name.rsplit_once(['.', ':']).map_or("", |(namespace, _)| namespace)
}

impl<'d> Oracle<'d> {
    /// Reads the documents.
    pub fn new(policy: &'d Value, catalogue: &'d Value) -> Self {
        let mut oracle = Self { policy, catalogue, features: BTreeMap::new(), roles: BTreeMap::new() };
        let named = union(names(&policy["features"]), &names(&catalogue["features"]));
        for name in named.into_iter().filter(|name| !name.contains('*')) {
            let (ours, theirs) = (&policy["features"][&name], &catalogue["features"][&name]);
            let both = |what: &str| union(texts(&ours[what]), &texts(&theirs[what]));
            let flag = |what: &str| ours[what].as_bool().or(theirs[what].as_bool()).unwrap_or(false);
            let taken_out = texts(&ours["not_inputs"]);
            let imported: Set = texts(&theirs["inputs"]).difference(&taken_out).cloned().collect();
            let policy_tags = union(texts(&ours["tags"]), &oracle.pattern_tags(&name));
            let feature = Feature {
                all_tags: union(texts(&theirs["tags"]), &policy_tags),
                policy_tags,
                inputs: union(texts(&ours["inputs"]), &imported),
                joins: both("joins"),
                sources: both("sources"),
                key: flag("key"),
                opaque: flag("opaque"),
            };
            oracle.features.insert(name, feature);
        }
        for name in names(&policy["roles"]) {
            let text = &policy["roles"][&name];
            let default = if text["default"].is_null() { ALLOW } else { permission(&text["default"]) };
            let mut tags = BTreeMap::new();
            let lists = &text["blocklists"];
            let mapped = names(&text["tags"]).into_iter().map(|tag| (permission(&text["tags"][&tag]), tag));
            let compute = texts(&lists["compute"]).into_iter().map(|tag| (DENY, tag));
            let output = texts(&lists["output"]).into_iter().map(|tag| (INTERNAL, tag));
            for (permission, tag) in mapped.chain(compute).chain(output) {
                let old = tags.get(&tag).copied().unwrap_or(permission);
                tags.insert(tag, permission.min(old));
            }
            let allow = Some(&text["datasources"]["allow"]).filter(|allow| !allow.is_null()).map(texts);
            oracle.roles.insert(name, Role { default, tags, allow });
        }
        oracle
    }

    fn pattern_tags(&self, name: &str) -> Set {
        let patterns = names(&self.policy["features"]).into_iter().filter(|pattern| pattern.contains('*'));
        let covering = patterns.filter(|pattern| covers(pattern.as_bytes(), name.as_bytes()));
        covering.flat_map(|pattern| texts(&self.policy["features"][pattern]["tags"])).collect()
    }

    /// Resolution 1, and whether the role maps none of the tags (rule 6).
    fn own(&self, name: &str, role: &Role) -> (usize, bool) {
        let (policy_tags, all_tags, key) = match self.features.get(name) {
            Some(feature) => (feature.policy_tags.clone(), feature.all_tags.clone(), feature.key),
            None if self.policy["unknown_features"] == "default" => {
                (self.pattern_tags(name), self.pattern_tags(name), false)
            }
            None => return (DENY, false),
        };
        let default = if key && role.default == DENY { INTERNAL } else { role.default };
        let mapped = |tags: &Set| tags.iter().filter_map(|tag| role.tags.get(tag)).min().copied();
        let (without, with) = (mapped(&policy_tags), mapped(&all_tags));
        let of = |permission: Option<usize>| permission.unwrap_or(default);
        match self.policy["catalogue_tags"].as_str() {
            Some("trust") => (of(with), with.is_none()),
            Some("ignore") => (of(without), without.is_none()),
            _ => (of(without).min(of(with)), without.is_none()),
        }
    }

    fn reaches(&self, role: &Role, source: &str) -> bool {
        let Some(allow) = &role.allow else { return true };
        let of = |document: &Value| document["datasources"].get(source).map(|source| texts(&source["tags"]));
        let opens = |tags: &Option<Set>| tags.as_ref().is_some_and(|tags| !tags.is_disjoint(allow));
        let (ours, theirs) = (of(self.policy), of(self.catalogue));
        match self.policy["catalogue_tags"].as_str() {
            Some("trust") => opens(&ours) || opens(&theirs),
            Some("ignore") => opens(&ours),
            _ => opens(&ours) && (theirs.as_ref().is_none_or(|tags| tags.is_empty()) || opens(&theirs)),
        }
    }

    /// Resolution 4 and 5.
    pub fn answer(&self, roles: &[String], supplied: &[String], outputs: &[String]) -> Answer {
        let is_key = |name: &&String| self.features.get(*name).is_some_and(|feature| feature.key);
        let keys: Set = supplied.iter().filter(is_key).cloned().collect();
        let supplied: Set =
            if self.policy["supplies"] == "keys" { keys.clone() } else { supplied.iter().cloned().collect() };
        let together: Vec<Vec<&Role>> = if self.policy["combine"] == "most_permissive" {
            roles.iter().map(|role| vec![&self.roles[role]]).collect()
        } else {
            vec![roles.iter().map(|role| &self.roles[role]).collect()]
        };
        let part = |roles| Part { oracle: self, roles, supplied: supplied.clone(), keys: keys.clone() };
        let all: Vec<Part<'_>> = together.into_iter().map(part).collect();
        let denies = |part: &Part<'_>, name: &String| part.own(name).0 == DENY;
        let usable: Vec<&Part<'_>> =
            all.iter().filter(|part| !supplied.iter().any(|name| denies(part, name))).collect();
        let by_all: Set = supplied.iter().filter(|name| all.iter().all(|part| denies(part, name))).cloned().collect();
        let by_any: Set = supplied.iter().filter(|name| all.iter().any(|part| denies(part, name))).cloned().collect();
        let (parts, refused_supplied) = match (usable.is_empty(), by_all.is_empty()) {
            (false, _) => (usable, Set::new()),
            (true, all_none) => (all.iter().collect(), if all_none { by_any } else { by_all }),
        };

        let best = |name: &str, on_row: bool| {
            let answers: Vec<(usize, u8)> = parts.iter().map(|part| part.resolve(name, on_row)).collect();
            let (best, _) = *answers.iter().max_by_key(|(permission, _)| permission).unwrap();
            (best, answers.iter().filter(|(p, _)| *p == best).map(|(_, rule)| *rule).collect())
        };
        let (mut permissions, mut by_path, mut rules) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for name in self.features.keys().chain(outputs) {
            let (permission, rule): (usize, BTreeSet<u8>) = best(name, true);
            permissions.insert(name.clone(), PERMISSIONS[permission]);
            by_path.insert(name.clone(), PERMISSIONS[best(name, false).0]);
            if self.features.contains_key(name) {
                rules.insert(name.clone(), rule);
            }
        }
        let refused: Set = outputs.iter().filter(|output| best(output, true).0 < ALLOW).cloned().collect();
        let refused: Vec<String> = union(refused, &refused_supplied).into_iter().collect();
        Answer { permissions, by_path, rules, permitted: refused.is_empty(), refused, refused_supplied }
    }
}

impl Part<'_> {
    /// Resolution 2.
    fn own(&self, name: &str) -> (usize, bool) {
        let each: Vec<(usize, bool)> = self.roles.iter().map(|role| self.oracle.own(name, role)).collect();
        (each.iter().map(|(own, _)| *own).min().unwrap(), each.iter().any(|(_, defaulted)| *defaulted))
    }

    /// Whether an edge stays on the row that is asked for, where its reader is on it.
    fn stays(&self, name: &str, below: &str, on_row: bool) -> bool {
        on_row && self.oracle.features[name].joins.is_empty() && namespace(name) == namespace(below)
    }

    fn given(&self, name: &str, on_row: bool) -> bool {
        if on_row { self.supplied.contains(name) } else { self.keys.contains(name) }
    }

    /// Rule 2.
    fn barred(&self, name: &str, on_row: bool) -> bool {
        let feature = &self.oracle.features[name];
        let unreached = |source: &String| self.roles.iter().any(|role| !self.oracle.reaches(role, source));
        feature.sources.iter().any(unreached)
            || feature.inputs.iter().chain(&feature.joins).any(|below| {
                let stays = self.stays(name, below, on_row);
                !self.given(below, stays) && self.barred(below, stays)
            })
    }

    /// Resolution 3: the permission and the rule that gave it.
    fn resolve(&self, name: &str, on_row: bool) -> (usize, u8) {
        let (own, defaulted) = self.own(name);
        if self.given(name, on_row) {
            return (own, 1);
        }
        let Some(feature) = self.oracle.features.get(name) else { return (own, 7) };
        if self.barred(name, on_row) {
            return (DENY, 2);
        }
        if self.oracle.policy["declassification"] == "boundary" && own == DOWNSTREAM {
            return (DOWNSTREAM, 3);
        }
        let below = |name_below: &String| self.resolve(name_below, self.stays(name, name_below, on_row)).0;
        let inputs: Vec<(&String, usize)> = feature.inputs.iter().map(|input| (input, below(input))).collect();
        if inputs.iter().any(|(_, p)| *p == DENY) || feature.joins.iter().any(|join| below(join) == DENY) {
            return (DENY, 4);
        }
        let is_key = |name: &String| self.oracle.features[name].key;
        let aside = |input: &String| is_key(input) && self.given(input, self.stays(name, input, on_row));
        let pure = feature.sources.is_empty() && !feature.opaque && inputs.iter().any(|(input, _)| !is_key(input));
        if pure && inputs.iter().all(|(input, p)| *p == DOWNSTREAM || aside(input)) {
            return (DOWNSTREAM, 5);
        }
        if self.oracle.policy["internal"] == "flows" && defaulted && inputs.iter().any(|(_, p)| *p == INTERNAL) {
            return (own.min(INTERNAL), 6);
        }
        (own, 7)
    }
}
