//! Why a permission changed, by reversal: of what decided a feature on the new side (its own permission, its sources'
//! reach, its shape, the settings, what lies below it), the part is looked for that alone gives the old permission back.
//! Where that is what lies below, the cause is that of the input or join whose change does it.

use super::{Known, Work};
use crate::policy::catalogue::{Edge, Feature};
use crate::policy::diff::causes::{self, Key};
use crate::policy::diff::planes::{Below, Given, LANES, Permissions, decide, lanes};
use crate::policy::diff::rows::{Subject, Way, When};
use crate::policy::diff::union::Which;
use crate::policy::file::Layer;
use crate::policy::permission::Permission;
use crate::policy::resolve::own_of_role;

/// Some callers, the number of their cause, and the input or join through which it comes (`u32::MAX`: none).
pub(super) type Reason = (u64, u32, u32);

/// What of a feature's decision is taken from which side.
#[derive(Clone, Copy)]
struct Mix {
    own: Which,
    reach: Which,
    shape: Which,
    settings: Which,
    below: Which,
    /// One input or join from the other side than the rest.
    except: Option<u32>,
}

impl Mix {
    fn all(which: Which) -> Self {
        Self { own: which, reach: which, shape: which, settings: which, below: which, except: None }
    }

    fn with(self, part: Part, which: Which) -> Self {
        match part {
            Part::Own => Self { own: which, ..self },
            Part::Reach => Self { reach: which, ..self },
            Part::Shape => Self { shape: which, ..self },
            Part::Settings => Self { settings: which, ..self },
            Part::Below => Self { below: which, ..self },
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Own,
    Reach,
    Shape,
    Settings,
    Below,
}

const PARTS: [Part; 5] = [Part::Own, Part::Reach, Part::Shape, Part::Settings, Part::Below];

impl<'s> Work<'_, 's> {
    /// The cause for each caller, and through what it comes.
    pub(super) fn causes_of(&mut self, at: u32, way: Way, when: When, mask: u64) -> Vec<Reason> {
        let mut found = Vec::new();
        let mut left = mask;
        for lane in lanes(mask & !(self.old.present & self.new.present)) {
            let role = self.subjects.get(lane).and_then(|subject| subject.roles().first()).copied().unwrap_or(0);
            found.push((1 << lane, self.number(Key::Role(role)), u32::MAX));
            left &= !(1 << lane);
        }
        for lane in lanes(left) {
            if let Some(cause) = self.subjects.get(lane).and_then(|subject| subject.cause.clone()) {
                found.push((1 << lane, self.number(cause), u32::MAX));
                left &= !(1 << lane);
            }
        }
        let sides = (self.feature_of(Which::Old, at), self.feature_of(Which::New, at));
        match sides {
            (Some(_), None) | (None, Some(_)) if left != 0 => {
                found.push((left, self.number(Key::Feature(at)), u32::MAX))
            }
            (Some(_), None) | (None, Some(_)) => {}
            (None, None) => self.own_causes(at, way, left, &mut found),
            (Some(_), Some(_)) if when == When::Supplied => self.own_causes(at, way, left, &mut found),
            (Some(old), Some(new)) => self.by_reversal(at, way, when, left, (old, new), &mut found),
        }
        found
    }

    fn by_reversal(
        &mut self,
        at: u32,
        way: Way,
        when: When,
        mut left: u64,
        (before, after): (&Feature, &Feature),
        found: &mut Vec<Reason>,
    ) {
        let given = when.given();
        let (old, new) = (self.permissions(Which::Old, at, given), self.permissions(Which::New, at, given));
        let (own_old, own_new) = (self.own(Which::Old, at), self.own(Which::New, at));
        let own_differs = !own_old.permissions.same(own_new.permissions) | (own_old.defaulted ^ own_new.defaulted);
        let reach = |which: Which, feature: &Feature| self.half(which).parts.first().map_or(0, |p| p.reach(feature));
        let reach_differs = reach(Which::Old, before) ^ reach(Which::New, after);
        let differs = |part: Part| match part {
            Part::Own => own_differs,
            Part::Reach => reach_differs,
            Part::Shape | Part::Settings | Part::Below => u64::MAX,
        };
        let mut reverted = [(Part::Own, new); PARTS.len()];
        for (part, slot) in PARTS.into_iter().zip(&mut reverted) {
            if left & differs(part) == 0 {
                continue;
            }
            let back = self.mixed(at, given, Mix::all(Which::New).with(part, Which::Old));
            *slot = (part, back);
            let hit = left & differs(part) & back.same(old);
            self.by_part(part, at, way, when, hit, found);
            left &= !hit;
        }
        for part in PARTS {
            if left & differs(part) == 0 {
                continue;
            }
            let ahead = self.mixed(at, given, Mix::all(Which::Old).with(part, Which::New));
            let hit = left & differs(part) & ahead.same(new);
            self.by_part(part, at, way, when, hit, found);
            left &= !hit;
        }
        for (part, back) in reverted {
            let hit = left & differs(part) & !back.same(new);
            self.by_part(part, at, way, when, hit, found);
            left &= !hit;
        }
        if left != 0 {
            found.push((left, self.number(Key::Rules(at)), u32::MAX));
        }
    }

    /// Names the cause within a part, for each caller of the mask.
    fn by_part(&mut self, part: Part, at: u32, way: Way, when: When, mask: u64, found: &mut Vec<Reason>) {
        let strict = if way == Way::Gained { Which::Old } else { Which::New };
        let of_all = if mask == 0 { return } else { self.shape_of_all(part, at, strict) };
        match part {
            Part::Own => self.own_causes(at, way, mask, found),
            Part::Below => self.below_causes(at, way, when, mask, found),
            Part::Shape if of_all.is_some() => {
                let number = of_all.map_or(u32::MAX, |key| self.number(key));
                found.push((mask, number, u32::MAX));
            }
            Part::Reach | Part::Shape | Part::Settings => {
                for lane in lanes(mask) {
                    let key = match part {
                        Part::Reach => causes::reach(self.union, self.strictest(lane, at, strict), at, strict),
                        Part::Settings => self.settings_cause(at, when, lane),
                        Part::Own | Part::Shape | Part::Below => self.edge_cause(lane, at, when, strict),
                    };
                    found.push((1 << lane, self.number(key), u32::MAX));
                }
            }
        }
    }

    /// The role of a caller whose own permission is the least on a side.
    fn strictest(&self, lane: usize, at: u32, strict: Which) -> u32 {
        let roles = self.subjects.get(lane).map(Subject::roles).unwrap_or_default();
        let [first, _, ..] = roles else { return roles.first().copied().unwrap_or(0) };
        let policy = self.union.side(strict).policy;
        let Some(class) = self.union.class(strict, at) else { return *first };
        let of = |role: &&u32| {
            let id = self.union.roles.get(**role as usize).and_then(|name| policy.role_id(name));
            id.map_or(Permission::Deny, |id| own_of_role(policy, id, &class).permission)
        };
        roles.iter().min_by_key(of).copied().unwrap_or(*first)
    }

    /// Own causes depend on the caller and on the classes of both sides, and name the feature where it is a tag's.
    fn own_causes(&mut self, at: u32, way: Way, mask: u64, found: &mut Vec<Reason>) {
        let class = |which: Which| self.feature_of(which, at).map_or(u32::MAX, |feature| feature.class);
        let (old, new) = (class(Which::Old), class(Which::New));
        let strict = if way == Way::Gained { Which::Old } else { Which::New };
        let number = self.own_rows.len();
        let row = *self.own_numbers.entry((old, new, way)).or_insert(number);
        if row == number {
            self.own_rows.push([Known::Unasked; LANES]);
        }
        let mut tag: Option<(u32, u32)> = None;
        for lane in lanes(mask) {
            let known = self.own_rows.get(row).and_then(|row| row.get(lane)).copied().unwrap_or(Known::Unasked);
            let cause = match known {
                Known::Cause(cause) => cause,
                Known::Tag(word) => match tag.filter(|(last, _)| *last == word) {
                    Some((_, cause)) => cause,
                    None => {
                        let key = Key::Tag(at, self.words.get(word as usize).cloned().unwrap_or_default());
                        let cause = self.number(key);
                        tag = Some((word, cause));
                        cause
                    }
                },
                Known::Unasked => {
                    let key = causes::own(self.union, self.strictest(lane, at, strict), at, strict);
                    let (cause, word) = (self.number(key.clone()), u32::try_from(self.words.len()).unwrap_or(u32::MAX));
                    // Of names outside the catalogue each has tags of its own.
                    let known = match key {
                        _ if old.max(new) == u32::MAX => Known::Unasked,
                        Key::Mapping(..) | Key::Default(_) | Key::Setting(_) => Known::Cause(cause),
                        Key::Tag(_, text) => {
                            let word = self.words.iter().position(|known| *known == text).map_or(word, |at| at as u32);
                            if word as usize == self.words.len() {
                                self.words.push(text);
                            }
                            Known::Tag(word)
                        }
                        _ => Known::Unasked,
                    };
                    if let Some(slot) = self.own_rows.get_mut(row).and_then(|row| row.get_mut(lane)) {
                        *slot = known;
                    }
                    cause
                }
            };
            found.push((1 << lane, cause, u32::MAX));
        }
    }

    fn settings_cause(&self, at: u32, when: When, lane: usize) -> Key {
        let (old, new) = (self.union.old.policy.settings, self.union.new.policy.settings);
        let by_rule = |rule: u8| [Which::Old, Which::New].iter().any(|w| self.decided(*w, at, when).rule(lane) == rule);
        let flows = old.internal != new.internal;
        let boundary = old.declassification != new.declassification;
        Key::Setting(if flows && (!boundary || by_rule(6)) { "internal" } else { "declassification" })
    }

    /// Inputs and joins of a feature on one side, under common numbers.
    fn edges(&self, which: Which, at: u32) -> Vec<(u32, Edge)> {
        let Some(feature) = self.feature_of(which, at) else { return Vec::new() };
        let edges = self.union.side(which).policy.catalogue.edges(feature);
        edges.iter().map(|edge| (self.union.at(which, edge.to), *edge)).collect()
    }

    /// Inputs and joins that the stricter side alone has.
    fn only(&self, at: u32, strict: Which) -> Vec<(u32, Edge)> {
        let theirs = self.edges(strict.other(), at);
        let mut mine = self.edges(strict, at);
        mine.retain(|edge| !has(&theirs, edge));
        mine
    }

    /// Of several inputs that the stricter side alone has, the one that does most.
    fn edge_cause(&self, lane: usize, at: u32, when: When, strict: Which) -> Key {
        let given = if when == When::Always { Given::Nothing } else { Given::Keys };
        let weight = |(_, edge): &(u32, Edge)| {
            let parts = &self.half(strict).parts;
            let cell = parts.first().map(|planes| planes.below(edge, given).cell).unwrap_or_default();
            ((cell.barred >> lane) & 1 == 0, cell.permissions.of(lane))
        };
        let found = self.only(at, strict).into_iter().min_by_key(weight);
        found.map_or(Key::Rules(at), |(to, edge)| Key::Edge { of: at, to, input: edge.input })
    }

    /// What is different of a feature's shape, where that is the same for all callers.
    fn shape_of_all(&self, part: Part, at: u32, strict: Which) -> Option<Key> {
        if part != Part::Shape {
            return None;
        }
        match &*self.only(at, strict) {
            [] => {}
            [(to, edge)] => return Some(Key::Edge { of: at, to: *to, input: edge.input }),
            _ => return None,
        }
        if self.opaque(Which::Old, at) != self.opaque(Which::New, at) {
            return Some(Key::Opaque(at));
        }
        let source = |which: Which| -> Vec<&str> {
            let policy = self.union.side(which).policy;
            let set = self.feature_of(which, at).and_then(|f| policy.catalogue.source_sets.get(f.source_set as usize));
            let name = |id: &u32| policy.catalogue.sources.get(*id as usize).map_or("", |source| source.name.as_str());
            set.into_iter().flatten().map(name).collect()
        };
        let (here, there) = (source(strict), source(strict.other()));
        if let Some(source) = here.iter().find(|name| !there.contains(*name)) {
            return Some(Key::Source(at, (*source).to_owned()));
        }
        let (mine, theirs) = (self.edges(strict, at), self.edges(strict.other(), at));
        let key = |which: Which, at: u32| self.feature_of(which, at).is_some_and(|feature| feature.key);
        let keys = |to: &u32| key(Which::Old, *to) != key(Which::New, *to);
        if let Some(to) = mine.iter().map(|(to, _)| *to).chain([at]).find(keys) {
            return Some(Key::IsKey(to));
        }
        Some(match theirs.iter().find(|edge| !has(&mine, edge)) {
            Some((to, edge)) => Key::Edge { of: at, to: *to, input: edge.input },
            None => Key::Rules(at),
        })
    }

    fn opaque(&self, which: Which, at: u32) -> bool {
        let (files, name) = (self.union.side(which).files, self.union.name(at));
        let given = |layer: &Layer| layer.features.get(name)?.opaque.as_ref().map(|(on, _)| *on);
        given(files.rules).or_else(|| given(files.imported)).unwrap_or(false)
    }

    /// The inputs or joins that bring a change, each with its own cause: those first that do it alone.
    fn below_causes(&mut self, at: u32, way: Way, when: When, mask: u64, found: &mut Vec<Reason>) {
        let given = when.given();
        let old = self.permissions(Which::Old, at, given);
        let mut left = mask;
        let mut changed = Vec::new();
        for (to, edge) in self.edges(Which::New, at) {
            if left == 0 || self.feature_of(Which::Old, to).is_none() {
                continue;
            }
            let (was, is) = (self.below(Which::Old, to, &edge, given), self.below(Which::New, to, &edge, given));
            let barred = (was.cell.barred & !was.given) ^ (is.cell.barred & !is.given);
            let key = if was.key == is.key { 0 } else { u64::MAX };
            let differs = !was.cell.permissions.same(is.cell.permissions) | barred | (was.given ^ is.given) | key;
            if left & differs == 0 {
                continue;
            }
            let back = self.mixed(at, given, Mix { except: Some(to), ..Mix::all(Which::New) });
            let alone = left & differs & back.same(old);
            self.causes_below(to, way, alone, found);
            left &= !alone;
            changed.push((to, differs));
        }
        for (to, differs) in changed {
            self.causes_below(to, way, left & differs, found);
            left &= !differs;
        }
        if left != 0 {
            found.push((left, self.number(Key::Rules(at)), u32::MAX));
        }
    }

    /// The causes of a change of an input or join.
    fn causes_below(&mut self, to: u32, way: Way, mask: u64, found: &mut Vec<Reason>) {
        let other = if way == Way::Gained { Way::Lost } else { Way::Gained };
        for lane in lanes(mask) {
            let known = |way: Way| {
                let causes = self.memo.get(way as usize)?.get(to as usize)?.as_ref()?;
                causes.get(lane).copied().filter(|cause| *cause != u32::MAX)
            };
            if let Some(cause) = known(way).or_else(|| known(other)) {
                found.push((1 << lane, cause, to));
                continue;
            }
            // It changed in a way that has no row: as something that is supplied.
            let key = |which: Which| self.feature_of(which, to).is_some_and(|feature| feature.key);
            let own = |which: Which| self.own(which, to).permissions.of(lane);
            if key(Which::Old) == key(Which::New) && own(Which::Old) != own(Which::New) {
                let begin = found.len();
                self.own_causes(to, way, 1 << lane, found);
                found.iter_mut().skip(begin).for_each(|(_, _, through)| *through = to);
                continue;
            }
            let supplies = self.union.old.policy.settings.supplies != self.union.new.policy.settings.supplies;
            let key = match (key(Which::Old) != key(Which::New), supplies) {
                (true, _) => Key::IsKey(to),
                (false, true) => Key::Setting("supplies"),
                (false, false) => Key::Rules(to),
            };
            found.push((1 << lane, self.number(key), to));
        }
    }

    /// A feature as one derived from it sees it, with the values of one side.
    fn below(&self, which: Which, to: u32, edge: &Edge, given: Given) -> Below {
        let nothing = Below { cell: Default::default(), given: 0, key: false, input: edge.input };
        let Some(id) = self.union.id(which, to) else { return nothing };
        let edge = Edge { to: id, ..*edge };
        self.half(which).parts.first().map_or(nothing, |planes| planes.below(&edge, given))
    }

    /// A feature decided from parts of both sides, for callers with one part each.
    fn mixed(&self, at: u32, given: Given, mix: Mix) -> Permissions {
        let planes = |which: Which| self.half(which).parts.first();
        let feature = |which: Which| self.feature_of(which, at);
        let (Some(shaped), Some(reaching)) = (feature(mix.shape), feature(mix.reach)) else {
            return Permissions::default();
        };
        let (Some(reach), Some(settings)) = (planes(mix.reach), planes(mix.settings)) else {
            return Permissions::default();
        };
        let own = self.own(mix.own, at);
        if given == Given::Keys && shaped.key {
            return own.permissions;
        }
        let flags = settings.shape(shaped);
        let edges = self.union.side(mix.shape).policy.catalogue.edges(shaped);
        let below = edges.iter().map(|edge| {
            let to = self.union.at(mix.shape, edge.to);
            let which = if mix.except == Some(to) { mix.below.other() } else { mix.below };
            // What the other side does not have is taken as it is.
            let which = if self.union.id(which, to).is_some() { which } else { mix.shape };
            self.below(which, to, edge, given)
        });
        decide(own, reach.reach(reaching), flags, below).cell.permissions
    }
}

fn has(edges: &[(u32, Edge)], (to, edge): &(u32, Edge)) -> bool {
    edges.iter().any(|(other, e)| other == to && e.input == edge.input)
}
