//! Random policies, queries and answers, against a second opinion.

use std::borrow::Cow;
use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index as At, select};
use serde_json::value::RawValue;

use super::opinion::{Expected, expected};
use super::world::{ALIASES, DERIVED, ENTITIES, KEYS, Query, STORED, VALUES, World, query, world};
use super::*;

/// What an upstream does to an answer.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Drop(At),
    Double(At),
    DoubleName(At, At),
    Rename(At, String),
    Escape(At),
    Extra(String),
    ExtraEntry,
    MissingEntry(At),
    UnknownMember(At),
    NoValues(At),
    Top(&'static str),
    Status,
}

pub(super) fn change() -> impl Strategy<Value = Change> {
    let known = [&STORED[..], &DERIVED].concat().into_iter().map(|name| name.replacen(':', "__", 1));
    let names: Vec<String> = known
        .chain([&KEYS[..], &ENTITIES, &ALIASES].concat().into_iter().map(str::to_owned))
        .chain(["y", "b__x", "q", "d", "", "a:x", "a__X"].map(str::to_owned))
        .collect();
    prop_oneof![
        any::<At>().prop_map(Change::Drop),
        any::<At>().prop_map(Change::Double),
        (any::<At>(), any::<At>()).prop_map(|(a, b)| Change::DoubleName(a, b)),
        (any::<At>(), select(names.clone())).prop_map(|(at, name)| Change::Rename(at, name)),
        any::<At>().prop_map(Change::Escape),
        select(names).prop_map(Change::Extra),
        Just(Change::ExtraEntry),
        any::<At>().prop_map(Change::MissingEntry),
        any::<At>().prop_map(Change::UnknownMember),
        any::<At>().prop_map(Change::NoValues),
        select(vec![r#""x":{"values":[1]},"#, r#""Results":[],"#]).prop_map(Change::Top),
        Just(Change::Status),
    ]
}

/// An answer on its way: names as they are spelled, entries as they are written.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) names: Vec<(String, bool)>,
    pub(super) entries: Vec<String>,
    pub(super) top: &'static str,
    pub(super) status: bool,
}

impl Upstream {
    /// An answer in any order, keys in it or not, and then whatever an upstream may do to it.
    pub(super) fn answers(
        expected: &BTreeMap<String, Option<String>>,
        sent: &BTreeSet<String>,
        order: Vec<u16>,
        with_keys: u8,
        changes: &[Change],
    ) -> Self {
        let mut names: Vec<String> = expected.keys().cloned().collect();
        let keys = sent.iter().filter(|name| !expected.contains_key(*name)).enumerate();
        names.extend(keys.filter(|(n, _)| with_keys >> n & 1 == 1).map(|(_, name)| name.clone()));
        let mut order: Vec<(u16, String)> = order.into_iter().zip(names).collect();
        order.sort();
        let names: Vec<(String, bool)> = order.into_iter().map(|(_, name)| (name, false)).collect();
        let entries = (0..names.len())
            .map(|n| format!(r#"{{ "values":[{n}, {}],"statuses":["NULL_VALUE"]}}"#, VALUES[n % VALUES.len()]))
            .collect();
        let mut upstream = Self { names, entries, top: "", status: false };
        changes.iter().for_each(|change| upstream.apply(change));
        upstream
    }

    fn apply(&mut self, change: &Change) {
        let count = self.names.len();
        let next = format!(r#"{{ "values":[{}] }}"#, 1000 + self.entries.len());
        match change {
            Change::Extra(name) => {
                self.names.push((name.clone(), false));
                self.entries.push(next);
            }
            Change::ExtraEntry => self.entries.push(next),
            Change::Top(text) => self.top = text,
            Change::Status => self.status = true,
            _ if count == 0 || self.entries.len() < count => {}
            Change::Drop(at) => {
                self.names.remove(at.index(count));
                self.entries.remove(at.index(count));
            }
            Change::Double(at) => {
                self.names.push(self.names[at.index(count)].clone());
                self.entries.push(next);
            }
            Change::DoubleName(a, b) => self.names[a.index(count)] = self.names[b.index(count)].clone(),
            Change::Rename(at, name) => self.names[at.index(count)].0 = name.clone(),
            Change::Escape(at) => self.names[at.index(count)].1 = true,
            Change::MissingEntry(at) => {
                self.entries.remove(at.index(count));
            }
            Change::UnknownMember(at) => {
                let entry = &mut self.entries[at.index(count)];
                *entry = entry.replacen('{', r#"{"value":[1],"#, 1);
            }
            Change::NoValues(at) => {
                let entry = &mut self.entries[at.index(count)];
                *entry = entry.replacen("values", "statuses", 1);
            }
        }
    }

    pub(super) fn text(&self) -> String {
        let names: Vec<String> = self
            .names
            .iter()
            .map(|(name, escaped)| {
                if *escaped {
                    format!("\"{}\"", name.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect::<String>())
                } else {
                    serde_json::to_string(name).unwrap()
                }
            })
            .collect();
        let status = if self.status { r#","status":true"# } else { "" };
        format!(
            r#"{{{}"results":[{}],"metadata":{{"feature_names":[{}]}}{status}}}"#,
            self.top,
            self.entries.join(" , "),
            names.join(",")
        )
    }
}

/// The columns of an answer, in order; any member beside those that Feast has is a fault.
pub(super) fn columns(answer: &str) -> Vec<(String, String)> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body<'b> {
        #[serde(borrow)]
        results: Vec<&'b RawValue>,
        metadata: Metadata,
        #[serde(default, rename = "status")]
        _status: Option<bool>,
    }
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Metadata {
        feature_names: Vec<String>,
    }
    let body: Body<'_> = serde_json::from_str(answer).unwrap_or_else(|error| panic!("{answer}: {error}"));
    assert_eq!(body.results.len(), body.metadata.feature_names.len(), "{answer}");
    body.metadata.feature_names.into_iter().zip(body.results.iter().map(|raw| raw.get().to_owned())).collect()
}

/// A permit; for each column whether and under which name it may come back; the entities that go upstream.
pub(super) type Decided = (Permit, BTreeMap<String, Option<String>>, BTreeSet<String>);

/// Decides a query both ways; what may come back where it is permitted.
pub(super) fn decided(world: &World) -> Option<Decided> {
    let policy = alone(&world.rules);
    let body = world.query.body();
    let request = read(body.as_bytes()).unwrap();
    let roles: Vec<u16> = (0..world.roles).map(|n| policy.role_id(&format!("r{n}")).unwrap()).collect();
    let plan = plan(&policy, &roles, &request);
    match (plan.outcome, expected(&policy, &roles, &world.query)) {
        (Outcome::Refuse(names), Expected::Refused(expected)) => assert_eq!(names, expected),
        (Outcome::Invalid(_), Expected::Invalid) => {}
        (Outcome::Permit(dialect::Permit::Feast(permit)), Expected::Sent { wanted, columns, sent, filtered }) => {
            #[derive(serde::Deserialize)]
            struct Forwarded<'b> {
                #[serde(borrow)]
                entities: BTreeMap<Cow<'b, str>, &'b RawValue>,
            }
            let forwarded = rewrite(&request, &permit);
            let values: Forwarded<'_> = serde_json::from_slice(&forwarded).unwrap();
            let mut given: BTreeMap<String, String> = world
                .query
                .entities
                .iter()
                .filter(|(name, _, _)| sent.contains(*name))
                .map(|(name, value, _)| ((*name).to_owned(), format!("[ {value},{value}]")))
                .collect();
            if given.is_empty() {
                given.insert("__dummy_id".to_owned(), r#"["",""]"#.to_owned());
            }
            let values: BTreeMap<String, String> =
                values.entities.into_iter().map(|(name, raw)| (name.into_owned(), raw.get().to_owned())).collect();
            assert_eq!(values, given);
            // Numbers beyond what the parser holds: the entities were compared as texts.
            let text = String::from_utf8(forwarded).unwrap();
            let (head, rest) = text.split_once(r#","entities":{"#).unwrap();
            let (_, tail) = rest.rsplit_once(r#"},"full_feature_names":"#).unwrap();
            let rest: serde_json::Value =
                serde_json::from_str(&format!(r#"{head},"full_feature_names":{tail}"#)).unwrap();
            assert_eq!(rest, wanted);
            assert_eq!(permit.filtered, filtered);
            return Some((*permit, columns, sent));
        }
        (outcome, expected) => panic!("{outcome:?} where {expected:?} is expected of {body} under\n{}", world.rules),
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn only_what_was_decided_passes(
        world in world(),
        order in vec(any::<u16>(), 20),
        with_keys in any::<u8>(),
        changes in prop_oneof![3 => Just(Vec::new()), 4 => vec(change(), 1), 2 => vec(change(), 2)],
    ) {
        let Some((permit, expected, sent)) = decided(&world) else { return Ok(()) };
        let plain = Upstream::answers(&expected, &sent, order.clone(), with_keys, &[]).text();
        let upstream = Upstream::answers(&expected, &sent, order, with_keys, &changes);

        let distinct: BTreeSet<&str> = upstream.names.iter().map(|(name, _)| name.as_str()).collect();
        let whole = distinct.len() == upstream.names.len()
            && upstream.names.len() == upstream.entries.len()
            && distinct.iter().all(|name| expected.contains_key(*name) || sent.contains(*name))
            && expected.iter().all(|(name, kept)| kept.is_none() || distinct.contains(name.as_str()))
            && !upstream.entries.iter().any(|entry| entry.contains(r#""value":"#) || !entry.contains(r#""values""#));
        let answer = upstream.text();
        let body = world.query.body();
        let request = read(body.as_bytes()).unwrap();
        let filtered = filter(answer.as_bytes(), &request, &permit);
        // Whatever answers came before it.
        let (behind_plain, ..) = decided(&world).unwrap();
        let _ = filter(plain.as_bytes(), &request, &behind_plain);
        for permit in [&behind_plain, &permit, &behind_plain] {
            prop_assert_eq!(&filter(answer.as_bytes(), &request, permit), &filtered, "{} {}", plain, answer);
        }
        prop_assert_eq!(filtered.is_ok(), whole, "{:?}: {}", filtered, answer);
        let Ok(filtered) = filtered else { return Ok(()) };

        // Each column that passes is one of the upstream's, under the name that the caller wants, byte for byte.
        let mut left = Vec::new();
        for ((name, _), entry) in upstream.names.iter().zip(&upstream.entries) {
            match expected.get(name) {
                Some(None) => {}
                Some(Some(wanted)) => left.push((wanted.clone(), entry.clone())),
                None => left.push((name.clone(), entry.clone())),
            }
        }
        let cut = upstream.names.len() - left.len();
        let passed = match filtered {
            Answer::AsItCame => {
                prop_assert_eq!(cut, 0);
                answer
            }
            Answer::Cut { body, dropped } => {
                prop_assert_eq!(cut, dropped);
                String::from_utf8(body.whole(answer.as_bytes())).unwrap()
            }
        };
        prop_assert_eq!(columns(&passed), left);
    }

    #[test]
    fn a_plan_depends_on_the_fingerprint_alone(world in world(), other in query(), values in select(VALUES.to_vec())) {
        let policy = alone(&world.rules);
        let roles: Vec<u16> = (0..world.roles).map(|n| policy.role_id(&format!("r{n}")).unwrap()).collect();
        // The same query with other values, the same in another spelling, and another query.
        let mut revalued = world.query.clone();
        revalued.metadata = !revalued.metadata;
        revalued.entities.iter_mut().for_each(|entity| entity.1 = values);
        let mut respelled = revalued.clone();
        respelled.escaped = !respelled.escaped;
        let of = |query: &Query| {
            let body = query.body();
            let request = read(body.as_bytes()).unwrap();
            let plan = plan(&policy, &roles, &request);
            (fingerprint(&request), spelled(&plan))
        };
        let first = of(&world.query);
        prop_assert_eq!(&of(&revalued), &first);
        prop_assert_eq!(of(&respelled).1, &*first.1);
        let meaning = |query: &Query| {
            let entities: Vec<_> = query.entities.iter().map(|(name, _, null)| (*name, *null)).collect();
            let features = if query.service.is_some() { Vec::new() } else { query.features.clone() };
            // Features are told apart as they are written.
            (query.service, features, entities, query.full, query.service.is_none() && query.escaped)
        };
        prop_assert_eq!(of(&other).0 == first.0, meaning(&other) == meaning(&world.query));
    }

    #[test]
    fn fingerprints_of_different_requests_differ(a in parts(), b in parts()) {
        prop_assert_eq!(fingerprint(&of_parts(&a)) == fingerprint(&of_parts(&b)), a == b);
    }
}

/// Features or a service, entities with or without a null, full names.
type Parts = (Result<Vec<String>, String>, Vec<(String, bool)>, bool);

/// Requests that differ in little, of names made of what a fingerprint is made of.
fn parts() -> impl Strategy<Value = Parts> {
    let name =
        || select(vec!["", "f", "e", "f\u{1}\0\0\0e", "\u{1}\0\0\0", "s\u{2}\0\0\0f", "ff"]).prop_map(str::to_owned);
    let wanted = prop_oneof![3 => vec(name(), 0..3).prop_map(Ok), 1 => name().prop_map(Err)];
    (wanted, vec((name(), any::<bool>()), 0..3), any::<bool>())
}

fn of_parts((wanted, entities, full_names): &Parts) -> Request<'_> {
    let entities = entities.iter().map(|(name, has_null)| Entity {
        name: name.as_str().into(),
        values: b"[]",
        has_null: *has_null,
    });
    Request {
        asked: Asked::Wanted(match wanted {
            Ok(names) => Wanted::Features(names.iter().map(|name| name.as_str().into()).collect()),
            Err(name) => Wanted::Service(name.as_str().into()),
        }),
        entities: entities.collect(),
        full_names: *full_names,
        rows: 0,
        view_metadata: false,
    }
}
