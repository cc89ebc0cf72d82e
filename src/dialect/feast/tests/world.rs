//! Random policies, callers and queries.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Stored features; some share a short name, some a full one, one is a version, one looks like a key's name.
pub(super) const STORED: [&str; 8] = ["a:x", "a:y", "a:b__x", "a__b:x", "b:x", "b:k1", "a@v2:x", "c:d"];
pub(super) const DERIVED: [&str; 2] = ["od:x", "od:q"];
pub(super) const KEYS: [&str; 5] = ["k1", "k2", "field", "x", "c__d"];
/// What callers ask for besides the above.
pub(super) const STRANGE: [&str; 10] =
    ["a@latest:x", "b@latest:x", "a@v1:x", "a@:x", "gone:x", "gone@latest:y", "a:x:y", "x", "@latest:x", "a : x"];
pub(super) const ENTITIES: [&str; 8] = ["k1", "k2", "field", "x", "c__d", "kk", "a:x", "b__x"];
pub(super) const ALIASES: [&str; 6] = ["a__x", "a__b__x", "n__x", "n__y", "c__d", "n__q"];
pub(super) const VALUES: [&str; 8] =
    ["1", "-0.0", "1E+400", "12345678901234567890123", r#""\u0065""#, r#"{"a":[null]}"#, "[[]]", "false"];

/// A policy, a caller and a query.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) rules: String,
    pub(super) roles: usize,
    pub(super) query: Query,
}

#[derive(Clone, Debug)]
pub(super) struct Query {
    /// A service, or else the features.
    pub(super) service: Option<&'static str>,
    pub(super) features: Vec<&'static str>,
    /// Name, text of the value, whether a null stands beside it.
    pub(super) entities: Vec<(&'static str, &'static str, bool)>,
    pub(super) full: bool,
    pub(super) metadata: bool,
    pub(super) escaped: bool,
}

impl Query {
    /// The query as a body; every value stands twice, or beside a null.
    pub(super) fn body(&self) -> String {
        let spell = |text: &str| {
            if self.escaped {
                format!("\"{}\"", text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect::<String>())
            } else {
                serde_json::to_string(text).unwrap()
            }
        };
        let features: Vec<String> = self.features.iter().map(|name| spell(name)).collect();
        let wanted = match self.service {
            Some(name) => format!("{}:{}", spell("feature_service"), spell(name)),
            None => format!("{}:[{}]", spell("features"), features.join(" , ")),
        };
        let entity = |(name, value, null): &(&str, &str, bool)| {
            format!("{} : [ {value},{}]", spell(name), if *null { "null" } else { value })
        };
        let entities: Vec<String> = self.entities.iter().map(entity).collect();
        format!(
            r#"{{{wanted},"entities":{{{}}},"full_feature_names":{},"include_feature_view_version_metadata":{},"query":"*"}}"#,
            entities.join(","),
            self.full,
            self.metadata
        )
    }
}

fn permission() -> impl Strategy<Value = &'static str> {
    prop_oneof![1 => Just("Deny"), 4 => Just("AllowInternal"), 2 => Just("Allow"), 2 => Just("AllowDownstream")]
}

fn role() -> impl Strategy<Value = String> {
    let tags = vec(proptest::option::of(permission()), 3);
    let default = prop_oneof![1 => Just("Deny"), 1 => Just("AllowInternal"), 8 => Just("Allow")];
    let mode = prop_oneof![1 => Just("reject"), 3 => Just("filter")];
    (tags, default, mode).prop_map(|(tags, default, mode)| {
        let tags: Vec<String> =
            tags.iter().enumerate().filter_map(|(n, tag)| tag.map(|tag| format!("t{n}: {tag}"))).collect();
        format!("{{default: {default}, mode: {mode}, tags: {{{}}}}}", tags.join(", "))
    })
}

/// The names of `all` whose bit is set.
fn picked<'n>(all: &[&'n str], bits: u16) -> Vec<&'n str> {
    all.iter().enumerate().filter(|(n, _)| bits >> n & 1 == 1).map(|(_, name)| *name).collect()
}

fn quoted(names: &[&str]) -> String {
    serde_json::to_string(names).unwrap()
}

fn rules() -> impl Strategy<Value = (String, usize)> {
    let settings = (
        select(vec!["most_restrictive", "most_permissive"]),
        select(vec!["strict", "boundary"]),
        select(vec!["stays", "flows"]),
        select(vec!["deny", "default"]),
    );
    // Each feature: at most one tag, and what it reads.
    let features = vec((0..6_usize, any::<u16>()), STORED.len() + DERIVED.len() + KEYS.len());
    let member = (select([&STORED[..], &DERIVED].concat()), proptest::option::of(select(ALIASES.to_vec())), 0..4_u8);
    let bundles = (any::<u16>(), vec(member, 1..4));
    (settings, vec(role(), 1..3), features, bundles).prop_map(|(settings, roles, features, (plain, named))| {
        let (combine, declassification, internal, unknown) = settings;
        let mut text = format!(
            "combine: {combine}\ndeclassification: {declassification}\ninternal: {internal}\nunknown_features: {unknown}\nroles:\n"
        );
        for (n, role) in roles.iter().enumerate() {
            text.push_str(&format!("  r{n}: {role}\n"));
        }
        text.push_str("features:\n");
        let names = STORED.iter().chain(&DERIVED).chain(&KEYS);
        for (at, (name, (tag, bits))) in names.zip(&features).enumerate() {
            let reads = if at < STORED.len() {
                format!("joins: {}", quoted(&picked(&["k1", "k2", "x"], *bits & 3 | *bits >> 11 & *bits >> 12 & *bits >> 13 & 4)))
            } else if at < STORED.len() + DERIVED.len() {
                format!("inputs: {}", quoted(&picked(&[&STORED[..5], &["field"]].concat(), *bits)))
            } else {
                "key: true".to_owned()
            };
            // Few keys are tagged: a denied one refuses everything.
            let tagged = *tag < 3 && (at < STORED.len() + DERIVED.len() || bits & 7 == 0);
            let tags = if tagged { format!("t{tag}") } else { String::new() };
            text.push_str(&format!("  \"{name}\": {{tags: [{tags}], {reads}}}\n"));
        }
        let members: Vec<String> = named
            .iter()
            .map(|(feature, alias, keys)| {
                let alias = alias.map_or(String::new(), |alias| format!(", as: {alias}"));
                let keys = picked(&["k1: kk", "k2: k1"], u16::from(*keys)).join(", ");
                format!("{{feature: \"{feature}\"{alias}, keys: {{{keys}}}}}")
            })
            .collect();
        let plain = quoted(&picked(&[&STORED[..], &DERIVED].concat(), plain & plain >> 3));
        text.push_str(&format!("bundles: {{plain: {plain}, named: [{}]}}\n", members.join(", ")));
        (text, roles.len())
    })
}

/// A query, sound or not.
pub(super) fn query() -> impl Strategy<Value = Query> {
    let name = prop_oneof![
        12 => select([&STORED[..], &DERIVED].concat()),
        1 => select(STRANGE.to_vec()),
    ];
    let service =
        prop_oneof![Just(None), select(vec!["plain", "named", "named", "named", "named", "gone"]).prop_map(Some)];
    // The keys of the views are mostly there; those that collide with a feature's name mostly are not.
    let of = |there: u32, null: u32, missing: u32| {
        let given = prop_oneof![there => Just(Some(false)), null => Just(Some(true)), missing => Just(None)];
        (select(VALUES.to_vec()), given)
    };
    let entities = (vec(of(30, 1, 1), 3), vec(of(1, 1, 8), 2), vec(of(8, 1, 1), 3));
    (service, vec(name, 1..4), entities, any::<[bool; 5]>()).prop_map(
        |(service, features, entities, [full, metadata, escaped, unescaped, short])| {
            let entities = entities.0.into_iter().chain(entities.1).chain(entities.2);
            let full = full || !short;
            let mut entities: Vec<_> = ENTITIES
                .iter()
                .zip(entities)
                .filter_map(|(name, (value, null))| null.map(|null| (*name, value, null)))
                .collect();
            if entities.is_empty() {
                entities.push(("k1", "1", false));
            }
            Query { service, features, entities, full, metadata, escaped: escaped && unescaped }
        },
    )
}

/// A policy, a caller and a query.
pub(super) fn world() -> impl Strategy<Value = World> {
    (rules(), query()).prop_map(|((rules, roles), query)| World { rules, roles, query })
}
