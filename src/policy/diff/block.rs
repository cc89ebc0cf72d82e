//! Up to 64 callers compared: which permissions rose or fell.

mod reversal;

use std::collections::HashMap;

use crate::policy::catalogue::Feature;
use crate::policy::diff::causes::Key;
use crate::policy::diff::planes::{Decided, Given, LANES, Own, Permissions, Planes, lanes, own};
use crate::policy::diff::rows::{Block, Entry, Lane, State, Subject, Way, When, pack};
use crate::policy::diff::union::{Union, Which};
use crate::policy::permission::Permission;
use crate::policy::resolve::RoleId;
use crate::policy::settings::{Combine, Supplies, UnknownFeatures};

/// One side of a block: the parts that answer each alone (Resolution 5), mostly one.
struct Half<'s> {
    parts: Vec<Planes<'s>>,
    /// Callers that the side has.
    present: u64,
    roles: Vec<Vec<RoleId>>,
}

impl<'s> Half<'s> {
    fn new(union: &Union<'s>, which: Which, subjects: &[Subject]) -> Self {
        let policy = union.side(which).policy;
        let number = |role: &u32| union.roles.get(*role as usize).and_then(|name| policy.role_id(name));
        let mut present = 0;
        let mut callers: Vec<Vec<RoleId>> = Vec::with_capacity(subjects.len());
        for (subject, lane) in subjects.iter().zip(0..LANES) {
            let roles = if which == Which::Old { &subject.old } else { &subject.new };
            let ids: Vec<RoleId> = roles.iter().filter_map(number).collect();
            present |= u64::from(!ids.is_empty() && ids.len() == roles.len()) << lane;
            callers.push(ids);
        }
        let most = callers.iter().map(Vec::len).max().unwrap_or(1);
        let parts = if policy.settings.combine == Combine::MostPermissive && most > 1 {
            // One role of each caller at a time.
            let alone = |n: usize| callers.iter().map(move |roles| roles.get(n).or(roles.first()).copied());
            let alone = |n: usize| alone(n).map(|role| role.into_iter().collect()).collect::<Vec<_>>();
            (0..most).map(|n| Planes::new(policy, &alone(n))).collect()
        } else {
            vec![Planes::new(policy, &callers)]
        };
        Self { parts, present, roles: callers }
    }
}

/// What is known of an own cause.
#[derive(Clone, Copy)]
enum Known {
    /// Nothing yet, or it is another one for each feature.
    Unasked,
    /// Its number.
    Cause(u32),
    /// A tag that the feature has on one side alone.
    Tag(u32),
}

struct Work<'u, 's> {
    union: &'u Union<'s>,
    subjects: &'u [Subject],
    old: Half<'s>,
    new: Half<'s>,
    block: Block,
    numbers: HashMap<Key, u32>,
    vectors: HashMap<Vec<Lane>, (u32, u8)>,
    /// Own causes of all callers, by the classes of both sides and the way.
    own_numbers: HashMap<(u32, u32, Way), usize>,
    own_rows: Vec<[Known; LANES]>,
    /// Tags that are part of causes.
    words: Vec<String>,
    /// The cause for each caller, by feature: of gains, and of losses.
    memo: [Vec<Option<Box<[u32; LANES]>>>; 2],
}

/// Compares these callers.
pub fn compare(union: &Union<'_>, subjects: &[Subject]) -> Block {
    let (old, new) = (Half::new(union, Which::Old, subjects), Half::new(union, Which::New, subjects));
    let none = || std::iter::repeat_with(|| None).take(union.count()).collect();
    let masks = || [vec![0; union.count()], vec![0; union.count()]];
    let mut work = Work {
        union,
        subjects,
        old,
        new,
        block: Block { changed: masks(), returned: masks(), ..Block::default() },
        numbers: HashMap::new(),
        vectors: HashMap::new(),
        own_numbers: HashMap::new(),
        own_rows: Vec::new(),
        words: Vec::new(),
        memo: [none(), none()],
    };
    for at in (0..).take(union.count()) {
        work.feature(at);
    }
    let mut block = work.block;
    block.entries.sort_by_key(|entry| (union.rank(entry.feature), entry.way));
    block
}

/// Callers that share kind and supplied values.
struct Found {
    when: When,
    mask: u64,
    returned: bool,
}

impl<'s> Work<'_, 's> {
    fn half(&self, which: Which) -> &Half<'s> {
        match which {
            Which::Old => &self.old,
            Which::New => &self.new,
        }
    }

    fn feature_of(&self, which: Which, at: u32) -> Option<&'s Feature> {
        self.union.side(which).policy.catalogue.feature(self.union.id(which, at)?)
    }

    /// What a name's own tags give on one side, known there or not.
    fn own(&self, which: Which, at: u32) -> Own {
        let half = self.half(which);
        let policy = self.union.side(which).policy;
        let of = |planes: &Planes<'_>| match self.feature_of(which, at) {
            Some(feature) => planes.own(feature),
            None if policy.settings.unknown_features == UnknownFeatures::Deny => Own::default(),
            None => self.union.class(which, at).map_or_else(Own::default, |class| own(policy, &half.roles, &class)),
        };
        half.parts.first().map(of).unwrap_or_default()
    }

    fn permissions(&self, which: Which, at: u32, given: Given) -> Permissions {
        match self.union.id(which, at) {
            None => self.own(which, at).permissions,
            Some(id) => {
                let cells = self.half(which).parts.iter().map(|planes| planes.cell(id, given).permissions);
                cells.fold(Permissions::default(), Permissions::max)
            }
        }
    }

    fn decided(&self, which: Which, at: u32, when: When) -> Decided {
        if when == When::Supplied {
            return Decided::by_own(self.own(which, at), 1);
        }
        match self.feature_of(which, at) {
            None => Decided::by_own(self.own(which, at), 7),
            Some(feature) => {
                let all = self.half(which).parts.iter().map(|planes| planes.decided(feature, when.given()));
                all.reduce(Decided::or).unwrap_or_default()
            }
        }
    }

    fn feature(&mut self, at: u32) {
        let both = self.old.present & self.new.present;
        let pairs = [Given::Nothing, Given::Keys, Given::Values]
            .map(|given| (self.permissions(Which::Old, at, given), self.permissions(Which::New, at, given)));
        if let [(old, new), ..] = &pairs
            && self.union.id(Which::Old, at).is_some()
            && self.union.id(Which::New, at).is_some()
        {
            self.block.still += u64::from((old.high & new.high & both).count_ones());
        }
        let [own_old, own_new] = [Which::Old, Which::New].map(|which| {
            let feature = self.feature_of(which, at);
            let supplies = self.union.side(which).policy.settings.supplies == Supplies::Any;
            // What cannot be supplied is no news; what only one side has neither.
            feature.filter(|feature| feature.key || supplies).map(|_| self.own(which, at).permissions)
        });
        let own = own_old.zip(own_new).unwrap_or_default();
        let same = |(old, new): &(Permissions, Permissions)| old.same(*new) == u64::MAX;
        if pairs.iter().all(same) && same(&own) {
            return;
        }
        for way in [Way::Gained, Way::Lost] {
            let (from, to) = match way {
                Way::Gained => (Which::Old, Which::New),
                Way::Lost => (Which::New, Which::Old),
            };
            let turned =
                |(old, new): (Permissions, Permissions)| if way == Way::Gained { (old, new) } else { (new, old) };
            // What only the freer side has counts where it may be returned.
            let known = self.union.id(from, at).is_some() || self.union.id(to, at).is_none();
            let found = rises(pairs.map(turned), turned(own), self.half(to).present, if known { both } else { 0 });
            if !found.is_empty() {
                self.record(at, way, &found);
            }
        }
    }

    fn record(&mut self, at: u32, way: Way, found: &[Found]) {
        let mut causes: Box<[u32; LANES]> = Box::new([u32::MAX; LANES]);
        let mut rows: Vec<(u32, Lane)> = Vec::new();
        let known = [Which::Old, Which::New].map(|which| {
            // A name that no side has is shown with what it is all the same.
            self.union.id(which, at).is_some() || self.union.id(which.other(), at).is_none()
        });
        for Found { when, mask, returned } in found {
            let (old, new) = (self.decided(Which::Old, at, *when), self.decided(Which::New, at, *when));
            let mut states = [0; LANES];
            for lane in lanes(*mask) {
                let shown = |half: &Half<'_>, known: bool, decided: &Decided| {
                    let permission = decided.cell.permissions.of(lane);
                    let there = (half.present >> lane) & 1 == 1 && (known || permission != Permission::Deny);
                    if there { (Some(permission), decided.rule(lane)) } else { (None, 0) }
                };
                let (old, old_rule) = shown(&self.old, known.first() == Some(&true), &old);
                let (new, new_rule) = shown(&self.new, known.last() == Some(&true), &new);
                if let Some(slot) = states.get_mut(lane) {
                    *slot = pack(State { when: *when, old, new, old_rule, new_rule });
                }
            }
            for (mask, cause, through) in self.causes_of(at, way, *when, *mask) {
                for lane in lanes(mask) {
                    if let (Some(slot), Some(state)) = (causes.get_mut(lane), states.get(lane)) {
                        *slot = cause;
                        rows.push((through, Lane::new(lane, *state, cause)));
                    }
                }
            }
            let note = |masks: &mut [Vec<u64>; 2], mask: u64| {
                if let Some(slot) = masks.get_mut(way as usize).and_then(|masks| masks.get_mut(at as usize)) {
                    *slot |= mask;
                }
            };
            note(&mut self.block.changed, *mask);
            if *returned {
                note(&mut self.block.returned, *mask);
            }
        }
        if let Some(slot) = self.memo.get_mut(way as usize).and_then(|memo| memo.get_mut(at as usize)) {
            *slot = Some(causes);
        }
        rows.sort_unstable_by_key(|(through, lane)| (*through, lane.lane()));
        for group in rows.chunk_by(|a, b| a.0 == b.0) {
            let vector: Vec<Lane> = group.iter().map(|(_, lane)| *lane).collect();
            let through = group.first().map_or(u32::MAX, |(through, _)| *through);
            let lanes = match self.vectors.get(&vector) {
                Some(place) => *place,
                None => {
                    let start = u32::try_from(self.block.lanes.len()).unwrap_or(u32::MAX);
                    let place = (start, u8::try_from(vector.len()).unwrap_or(u8::MAX));
                    self.block.lanes.extend_from_slice(&vector);
                    // Many alike are worth finding again; a memory of all that differ is not.
                    if self.vectors.len() < 10_000 {
                        self.vectors.insert(vector, place);
                    }
                    place
                }
            };
            self.block.entries.push(Entry { feature: at, way, through, lanes });
        }
    }

    fn number(&mut self, key: Key) -> u32 {
        if let Some(number) = self.numbers.get(&key) {
            return *number;
        }
        let number = u32::try_from(self.block.causes.len()).unwrap_or(u32::MAX);
        self.block.causes.push(key.clone());
        self.numbers.insert(key, number);
        number
    }
}

/// Which callers rise, each once: what may newly be returned first, then what may be used, then what clears; each
/// under the fewest supplied values. `known`: callers for whom more than what may be returned counts.
fn rises(
    pairs: [(Permissions, Permissions); 3],
    own: (Permissions, Permissions),
    present: u64,
    known: u64,
) -> Vec<Found> {
    let returned = |(old, new): (Permissions, Permissions)| !old.high & new.high;
    let used = |(old, new): (Permissions, Permissions)| !old.usable() & new.usable() & !new.high;
    let clears = |(old, new): (Permissions, Permissions)| old.high & !old.low & new.high & new.low;
    let [nothing, keys, values] = pairs;
    let steps = [
        (When::Always, returned(nothing)),
        (When::WithKeys, returned(keys)),
        (When::WithValues, returned(values)),
        (When::Always, used(nothing) & known),
        (When::WithKeys, used(keys) & known),
        (When::WithValues, used(values) & known),
        (When::Supplied, !own.0.usable() & own.1.usable() & known),
        (When::Always, clears(nothing) & known),
        (When::WithKeys, clears(keys) & known),
        (When::WithValues, clears(values) & known),
    ];
    let mut left = present;
    let mut found = Vec::new();
    for ((when, mask), step) in steps.into_iter().zip(0..) {
        let mask = mask & left;
        left &= !mask;
        if mask != 0 {
            found.push(Found { when, mask, returned: step < 3 });
        }
    }
    found
}
